//! How the keeper stands, put down for whoever shows it.

use super::Keeper;
use crate::domain::agents::state::AgentState;
use crate::domain::time::UtcMicros;
use crate::engine::operations::meter::{Counts, KeeperFacts};
use crate::platform::breaker::State;

impl Keeper {
    /// Puts down how the picture, the open transitions and the breaker stand, now and then.
    pub(super) fn tell_facts(&self, now: UtcMicros) {
        if !self.link.meter.wants_facts(now) {
            return;
        }
        let mut open = Counts::new();
        for transition in self.book.iter() {
            *open.entry(transition.transition.status.name()).or_default() += 1;
        }
        let (halted, probing) = match self.breaker.state() {
            State::Closed => (None, false),
            State::Open { since, .. } => (Some(since), false),
            State::Probing { since, .. } => (Some(since), true),
        };
        let ago = |since| self.link.clock.monotonic().saturating_sub(since);
        self.link.meter.tell(KeeperFacts {
            at: now,
            agents: self.agents_by_state(),
            open,
            halted_since: halted.map(|since| now - ago(since)),
            probing,
            stale_after: self.settings.decide.stale_after,
            oversize_bytes: self.settings.sight.oversize_bytes,
            sight_from: self.sight_ages(now).map(|(_, _, age)| now - age).min(),
        });
    }

    fn agents_by_state(&self) -> Counts {
        let mut agents = Counts::new();
        for slot in self.roster.slots() {
            *agents.entry(slot.observed().map_or("unseen", |observed| word(&observed.state))).or_default() += 1;
        }
        agents
    }
}

/// The word for a state in metrics; names that no table of ours knows are one, since there may be any number of them.
fn word(state: &AgentState) -> &'static str {
    match state {
        AgentState::Ready => "ready",
        AgentState::NotReady => "not_ready",
        AgentState::Paused => "paused",
        AgentState::Idle => "idle",
        AgentState::LoggedOut => "logged_out",
        AgentState::OnContact => "on_contact",
        AgentState::AfterContactWork => "after_contact_work",
        AgentState::Unknown(_) => "other",
    }
}
