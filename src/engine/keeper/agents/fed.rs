//! Takes messages of the feed in, and keeps those that may be older than what is known until that is clear.
//!
//! A message says what one agent does. It confirms no change of ours and settles no doubt: snapshots alone do, since a message
//! is not an answer to anything and may be lost.

use crate::domain::agents::merge::{Fed, Known, Merged, merge_fed};
use crate::domain::agents::roster::{AgentIndex, AgentSlot};
use crate::domain::ids::AgentId;
use crate::engine::keeper::Keeper;
use crate::engine::keeper::record::Pass;

impl Keeper {
    /// Takes messages in, in the feed's order. Agents beyond the roster are nobody's concern.
    pub(in crate::engine::keeper) fn take_fed(&mut self, pass: &mut Pass, messages: Vec<(AgentId, Fed)>) {
        for (agent, mut fed) in messages {
            let Some(index) = self.roster.find(agent.as_str()) else { continue };
            // It is from before now; where its instant says otherwise, the clock was set back on its way here.
            fed.received_at = fed.received_at.min(pass.now);
            fed.began_at = fed.began_at.min(fed.received_at);
            // A stay that was told before, and that a snapshot has shown to be over, is not entered again by being told again.
            if self.is_told_again(index, &fed) && !self.held_fed.contains_key(&agent) && self.is_elsewhere(index, &fed)
            {
                continue;
            }
            match self.held_fed.remove(&agent) {
                // What was lost between the two may have been that which showed it to be old.
                Some(held) if held.connection != fed.connection => {}
                // Told again, it is the same change, and whatever is told later is less in doubt.
                Some(held) if held.state == fed.state => fed.began_at = fed.began_at.min(held.began_at),
                // What is known follows in the feed: what was kept came before it.
                Some(_) if self.is_in(index, &fed) => {}
                Some(held) => self.merge_message(pass, index, held, true),
                None => {}
            }
            self.merge_message(pass, index, fed, false);
        }
    }

    /// Believes what nothing has shown to be old for as long as a message may be on its way. Once the connection is lost nothing
    /// will: then it is for the snapshots to say.
    pub(in crate::engine::keeper) fn believe_held(&mut self, pass: &mut Pass) {
        let (late_by, connection) = (self.late_by(), self.link.feed().losses);
        self.held_fed.retain(|_, fed| fed.connection == connection);
        let due: Vec<AgentId> = self
            .held_fed
            .iter()
            .filter(|(_, fed)| pass.now.since(fed.received_at) > late_by)
            .map(|(agent, _)| agent.clone())
            .collect();
        for agent in due {
            let (Some(fed), Some(index)) = (self.held_fed.remove(&agent), self.roster.find(agent.as_str())) else {
                continue;
            };
            self.merge_message(pass, index, fed, true);
        }
    }

    /// Whether it is the stay that the feed told of last; if not, it is from now on.
    fn is_told_again(&mut self, index: AgentIndex, fed: &Fed) -> bool {
        let late_by = self.late_by() + fed.waited;
        let last = &mut self.files[index.position()].last_fed;
        if last.as_ref().is_some_and(|(state, since)| *state == fed.state && fed.began_at <= *since + late_by) {
            return true;
        }
        *last = Some((fed.state.clone(), fed.began_at));
        false
    }

    /// Whether the agent is in sight, and in another state.
    fn is_elsewhere(&self, index: AgentIndex, fed: &Fed) -> bool {
        let now = self.roster.get(index).and_then(AgentSlot::observed);
        now.is_some_and(|now| now.state != fed.state && !now.state.is_out_of_sight())
    }

    fn is_in(&self, index: AgentIndex, fed: &Fed) -> bool {
        self.roster.get(index).and_then(AgentSlot::observed).is_some_and(|now| now.state == fed.state)
    }

    /// One message; `believed` where it is no longer in doubt.
    fn merge_message(&mut self, pass: &mut Pass, index: AgentIndex, fed: Fed, believed: bool) {
        let Some(slot) = self.roster.get(index) else { return };
        let (agent, known, seen_at) = (slot.id().clone(), slot.observed().cloned(), fed.received_at);
        let told = believed || self.files[index.position()].told_by_feed;
        let same = self.is_in(index, &fed);
        // Before the first snapshot since the load nobody knows whether the clock was set since the stay was stored: another
        // state says something all the same, and the stored instant is not compared.
        let unread = !told && known.is_some() && self.files[index.position()].row.is_none();
        let merged = match (unread, same) {
            (true, true) => Merged::Nothing,
            (true, false) => merge_fed(Known { told: true, ..self.known(index) }, &fed),
            (false, _) => merge_fed(Known { told, ..self.known(index) }, &fed),
        };
        match (merged, known) {
            (Merged::Changed(now), known) => self.enter(pass, index, known.as_ref(), now, seen_at),
            (Merged::Settled(now), Some(estimate)) => {
                self.files[index.position()].told_by_feed = true;
                self.settle_instant(pass, index, &estimate, now, seen_at);
            }
            (Merged::Contradiction, _) => {
                self.held_fed.insert(agent, fed);
            }
            (Merged::Nothing | Merged::Queue(_) | Merged::Settled(_) | Merged::Between(_), _) if same => {
                let file = &mut self.files[index.position()];
                (file.told_by_feed, file.missed) = (!unread, None);
                self.roster.seen(index, seen_at);
            }
            (Merged::Nothing | Merged::Queue(_) | Merged::Settled(_) | Merged::Between(_), _) => {}
        }
    }
}
