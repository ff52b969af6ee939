//! Metrics about the keeper's state.

use super::state::Keeper;
use crate::domain::agents::state::AgentState;
use crate::domain::time::UtcMicros;
use crate::engine::operations::meter::{Counts, KeeperFacts};
use crate::platform::breaker::State;

impl Keeper {
    /// Reports the live view, the open transitions and the breaker as metrics, if a report is due.
    pub(super) fn report_metrics(&self, now: UtcMicros) {
        if !self.link.meter.are_facts_due(now) {
            return;
        }
        let mut open = Counts::new();
        for transition in self.open_transitions.iter() {
            *open.entry(transition.transition.status.name()).or_default() += 1;
        }
        let (halted, probing) = match self.breaker.state() {
            State::Closed => (None, false),
            State::Open { since, .. } => (Some(since), false),
            State::Probing { since, .. } => (Some(since), true),
        };
        let elapsed = |since| self.link.clock.monotonic().saturating_sub(since);
        self.link.meter.set_facts(KeeperFacts {
            at: now,
            agents: self.count_agents_by_state(),
            open,
            halted_since: halted.map(|since| now - elapsed(since)),
            probing,
            stale_after: self.settings.decide.stale_after,
            oversize_bytes: self.settings.observation.oversize_bytes,
            oldest_observation: self.observation_ages(now).map(|(_, _, age)| now - age).min(),
        });
    }

    fn count_agents_by_state(&self) -> Counts {
        let mut agents = Counts::new();
        for slot in self.roster.agents() {
            *agents.entry(slot.observed().map_or("unseen", |observed| metric_label(&observed.state))).or_default() += 1;
        }
        agents
    }
}

/// Returns the metric label of a state. All unknown states share one label, since there may be any number of them.
fn metric_label(state: &AgentState) -> &'static str {
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
