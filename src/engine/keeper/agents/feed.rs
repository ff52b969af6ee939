//! Handles observations from the live feed, and holds those that may be older than the known state.
//!
//! An observation tells what one agent does. Only snapshots confirm changes and settle doubt, because a feed message
//! answers no request and may be lost.

use crate::domain::agents::merge::{FeedObservation, KnownState, MergeResult, merge_feed};
use crate::domain::agents::roster::{AgentIndex, AgentRecord};
use crate::domain::ids::AgentId;
use crate::engine::keeper::pass::Pass;
use crate::engine::keeper::state::Keeper;

impl Keeper {
    /// Handles observations in the feed's order. Agents outside the roster are ignored.
    pub(in crate::engine::keeper) fn handle_feed_observations(
        &mut self,
        pass: &mut Pass,
        messages: Vec<(AgentId, FeedObservation)>,
    ) {
        for (agent, mut observation) in messages {
            let Some(index) = self.roster.find(agent.as_str()) else { continue };
            // It was received before now; a later instant means that the clock was set back in between.
            observation.received_at = observation.received_at.min(pass.now);
            observation.estimated_start = observation.estimated_start.min(observation.received_at);
            // A repeated observation does not reopen an interval that a snapshot has shown to be over.
            if self.is_repeated(index, &observation)
                && !self.held_feed.contains_key(&agent)
                && self.is_in_other_state(index, &observation)
            {
                continue;
            }
            match self.held_feed.remove(&agent) {
                // A lost message might have shown the held observation to be old.
                Some(held) if held.connection != observation.connection => {}
                // A repetition is the same change and makes a later observation less doubtful.
                Some(held) if held.state == observation.state => {
                    observation.estimated_start = observation.estimated_start.min(held.estimated_start);
                }
                // The feed shows the known state next, so the held observation came before it.
                Some(_) if self.is_in_state(index, &observation) => {}
                Some(held) => self.merge_feed_observation(pass, index, held, true),
                None => {}
            }
            self.merge_feed_observation(pass, index, observation, false);
        }
    }

    /// Applies held observations that nothing has shown to be old within the longest delay of a message. After a lost
    /// connection held observations are dropped, and snapshots decide.
    pub(in crate::engine::keeper) fn apply_held_feed(&mut self, pass: &mut Pass) {
        let (max_delay, connection) = (self.max_delay(), self.link.feed().losses);
        self.held_feed.retain(|_, fed| fed.connection == connection);
        let due: Vec<AgentId> = self
            .held_feed
            .iter()
            .filter(|(_, fed)| pass.now.since(fed.received_at) > max_delay)
            .map(|(agent, _)| agent.clone())
            .collect();
        for agent in due {
            let (Some(observation), Some(index)) = (self.held_feed.remove(&agent), self.roster.find(agent.as_str()))
            else {
                continue;
            };
            self.merge_feed_observation(pass, index, observation, true);
        }
    }

    /// Returns whether the observation repeats the feed's last interval; if not, remembers it as the last one.
    fn is_repeated(&mut self, index: AgentIndex, observation: &FeedObservation) -> bool {
        let max_delay = self.max_delay() + observation.buffered_for;
        let last = &mut self.agent_tracking[index.position()].last_feed_state;
        if last.as_ref().is_some_and(|(state, since)| {
            *state == observation.state && observation.estimated_start <= *since + max_delay
        }) {
            return true;
        }
        *last = Some((observation.state.clone(), observation.estimated_start));
        false
    }

    /// Returns whether the agent is observed in another state.
    fn is_in_other_state(&self, index: AgentIndex, observation: &FeedObservation) -> bool {
        let now = self.roster.get(index).and_then(AgentRecord::observed);
        now.is_some_and(|now| now.state != observation.state && !now.state.is_unobserved())
    }

    fn is_in_state(&self, index: AgentIndex, observation: &FeedObservation) -> bool {
        self.roster.get(index).and_then(AgentRecord::observed).is_some_and(|now| now.state == observation.state)
    }

    /// Merges one observation; `is_trusted` if it is no longer held for being possibly old.
    fn merge_feed_observation(
        &mut self,
        pass: &mut Pass,
        index: AgentIndex,
        observation: FeedObservation,
        is_trusted: bool,
    ) {
        let Some(slot) = self.roster.get(index) else { return };
        let (agent, known, observed_at) = (slot.id().clone(), slot.observed().cloned(), observation.received_at);
        let is_reported = is_trusted || self.agent_tracking[index.position()].is_reported_by_feed;
        let is_same_state = self.is_in_state(index, &observation);
        // Before the first snapshot since the load, it is unknown whether the clock was set after the interval was
        // stored. Another state is still news, but the stored instant is not compared.
        let is_unverified =
            !is_reported && known.is_some() && self.agent_tracking[index.position()].latest_row.is_none();
        let merged = if is_unverified && is_same_state {
            MergeResult::Unchanged
        } else {
            let reported_by_feed = is_reported || is_unverified;
            merge_feed(KnownState { reported_by_feed, ..self.known_state(index) }, &observation)
        };
        match (merged, known) {
            (MergeResult::Changed(now), known) => self.enter_state(pass, index, known.as_ref(), now, observed_at),
            (MergeResult::TimeCorrected(now), Some(estimate)) => {
                self.agent_tracking[index.position()].is_reported_by_feed = true;
                self.settle_instant(pass, index, &estimate, now, observed_at);
            }
            (MergeResult::Contradiction, _) => {
                self.held_feed.insert(agent, observation);
            }
            (
                MergeResult::Unchanged
                | MergeResult::DetailsChanged(_)
                | MergeResult::TimeCorrected(_)
                | MergeResult::Inserted(_),
                _,
            ) => {
                if is_same_state {
                    let tracking = &mut self.agent_tracking[index.position()];
                    (tracking.is_reported_by_feed, tracking.missed_snapshots) = (!is_unverified, None);
                    self.roster.mark_observed(index, observed_at);
                }
            }
        }
    }
}
