//! The open transitions of one tenant, by agent, by status and in dispatch order.
//!
//! This type only keeps order; every change of a status goes through [`crate::engine::keeper::state::Keeper`].

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::domain::agents::agent::ObservedState;
use crate::domain::agents::roster::BlockingTransition;
use crate::domain::changes::priority::Priority;
use crate::domain::changes::transition::{Transition, TransitionStatus};
use crate::domain::ids::{AgentId, TransitionId};
use crate::domain::time::UtcMicros;

/// An open transition with data that only this process remembers.
#[derive(Clone, Debug)]
pub(in crate::engine::keeper) struct OpenTransition {
    /// The transition's row.
    pub transition: Transition,
    /// The agent's state when the last attempt was sent; an agent still in it has not moved.
    pub baseline: Option<ObservedState>,
    /// The number of failed attempts in succession.
    pub failures: u32,
    /// Attempts that never reached the platform, or were probes of a failing one. They do not count against the limit;
    /// only the deadline ends them.
    pub uncounted_attempts: u32,
    /// The number of snapshots that could have shown the change and did not, since the acceptance or since the doubt
    /// became readable.
    pub unconfirmed_snapshots: u32,
    /// Whether a history row already holds the change; what follows is done by the agent.
    pub is_in_history: bool,
}

impl OpenTransition {
    pub(in crate::engine::keeper) fn new(transition: Transition) -> Self {
        Self {
            transition,
            baseline: None,
            failures: 0,
            uncounted_attempts: 0,
            unconfirmed_snapshots: 0,
            is_in_history: false,
        }
    }

    /// Restores a stored transition. Its row does not tell which attempts reached the platform, so they are counted
    /// anew; the deadline still ends it.
    pub(in crate::engine::keeper) fn restored(
        transition: Transition,
        baseline: Option<ObservedState>,
        is_in_history: bool,
    ) -> Self {
        let attempts = transition.attempts;
        Self { baseline, failures: attempts, uncounted_attempts: attempts, is_in_history, ..Self::new(transition) }
    }

    /// Returns whether `max_attempts` attempts have reached the platform.
    pub(in crate::engine::keeper) fn has_used_attempts(&self, max_attempts: u32) -> bool {
        self.transition.attempts.saturating_sub(self.uncounted_attempts) >= max_attempts
    }
}

type QueueKey = (Reverse<Priority>, UtcMicros, TransitionId);

/// All open transitions.
#[derive(Default, Debug)]
pub(in crate::engine::keeper) struct OpenTransitions {
    open: BTreeMap<TransitionId, OpenTransition>,
    /// The unsent transitions in dispatch order.
    queue: BTreeSet<QueueKey>,
    by_agent: HashMap<AgentId, Vec<TransitionId>>,
}

fn queue_key(transition: &Transition) -> QueueKey {
    (Reverse(transition.priority), transition.requested_at, transition.id)
}

impl OpenTransitions {
    pub(in crate::engine::keeper) fn insert(&mut self, open: OpenTransition) {
        let id = open.transition.id;
        if open.transition.status.is_unsent() {
            self.queue.insert(queue_key(&open.transition));
        }
        let of_agent = self.by_agent.entry(open.transition.agent.clone()).or_default();
        if !of_agent.contains(&id) {
            of_agent.push(id);
        }
        self.open.insert(id, open);
    }

    pub(in crate::engine::keeper) fn get(&self, id: TransitionId) -> Option<&OpenTransition> {
        self.open.get(&id)
    }

    pub(in crate::engine::keeper) fn get_mut(&mut self, id: TransitionId) -> Option<&mut OpenTransition> {
        self.open.get_mut(&id)
    }

    /// Sets the status that results from a step, and returns the new row. A transition in a final status is removed.
    pub(in crate::engine::keeper) fn set_status(
        &mut self,
        id: TransitionId,
        status: TransitionStatus,
    ) -> Option<Transition> {
        let open = self.open.get_mut(&id)?;
        self.queue.remove(&queue_key(&open.transition));
        open.transition.status = status;
        let transition = open.transition.clone();
        if transition.status.is_final() {
            self.open.remove(&id);
            if let Some(of_agent) = self.by_agent.get_mut(&transition.agent) {
                of_agent.retain(|other| *other != id);
                if of_agent.is_empty() {
                    self.by_agent.remove(&transition.agent);
                }
            }
        } else if transition.status.is_unsent() {
            self.queue.insert(queue_key(&transition));
        }
        Some(transition)
    }

    /// Replaces the row of a transition that stays open, and returns the new row.
    pub(in crate::engine::keeper) fn replace(
        &mut self,
        id: TransitionId,
        update: impl Fn(Transition) -> Transition,
    ) -> Option<Transition> {
        let open = self.open.get_mut(&id)?;
        let is_queued = self.queue.remove(&queue_key(&open.transition));
        open.transition = update(open.transition.clone());
        if is_queued {
            self.queue.insert(queue_key(&open.transition));
        }
        Some(open.transition.clone())
    }

    /// Returns the open transitions of an agent, oldest first.
    pub(in crate::engine::keeper) fn of_agent(&self, agent: &AgentId) -> impl Iterator<Item = &OpenTransition> {
        self.by_agent.get(agent).into_iter().flatten().filter_map(|id| self.open.get(id))
    }

    /// Returns the agent's transition that is being sent or in doubt.
    pub(in crate::engine::keeper) fn in_flight(&self, agent: &AgentId) -> Option<&OpenTransition> {
        self.of_agent(agent).find(|open| open.transition.status.is_in_flight())
    }

    /// Returns the agent's transition that takes effect when the contact ends.
    pub(in crate::engine::keeper) fn pending(&self, agent: &AgentId) -> Option<&OpenTransition> {
        self.of_agent(agent).find(|open| matches!(open.transition.status, TransitionStatus::Pending { .. }))
    }

    /// Returns the agent's transition that has not been sent.
    pub(in crate::engine::keeper) fn waiting(&self, agent: &AgentId) -> Option<&OpenTransition> {
        self.of_agent(agent).find(|open| open.transition.status.is_unsent())
    }

    /// Returns the open transition of an agent that blocks the most rules.
    pub(in crate::engine::keeper) fn blocking_transition(&self, agent: &AgentId) -> Option<BlockingTransition> {
        self.of_agent(agent).map(|open| BlockingTransition::from_transition(&open.transition)).max()
    }

    /// Returns the unsent transitions, the most urgent and oldest first.
    pub(in crate::engine::keeper) fn queue(&self) -> impl Iterator<Item = TransitionId> {
        self.queue.iter().map(|(_, _, id)| *id)
    }

    /// Returns all open transitions.
    pub(in crate::engine::keeper) fn iter(&self) -> impl Iterator<Item = &OpenTransition> {
        self.open.values()
    }

    /// Returns how many transitions are being sent.
    pub(in crate::engine::keeper) fn sending_count(&self) -> usize {
        // There are few at any time, limited by the setting for parallel calls.
        self.open.values().filter(|open| matches!(open.transition.status, TransitionStatus::Sending { .. })).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::agents::state::AgentState;
    use crate::domain::changes::policy::OnContact;
    use crate::domain::changes::transition::Actor;

    fn transition(attempts: u32) -> Transition {
        Transition {
            id: TransitionId(uuid::Uuid::nil()),
            tenant: "acme".into(),
            agent: AgentId::new("u_1"),
            target: AgentState::Ready,
            reason: AgentState::Ready.default_reason(),
            priority: Priority::Person,
            actor: Actor::Daemon,
            note: None,
            on_contact: OnContact::Now,
            requested_at: UtcMicros::EPOCH,
            deadline: UtcMicros::MAX,
            before: None,
            explanation: serde_json::Value::Null,
            attempts,
            violation: None,
            latency_ms: None,
            change_set: None,
            status: TransitionStatus::Requested,
        }
    }

    #[test]
    fn attempts_that_never_arrived_do_not_count_also_after_a_restart() {
        let mut open = OpenTransition::new(transition(6));
        assert!(open.has_used_attempts(5));
        open.uncounted_attempts = 2;
        assert!(!open.has_used_attempts(5));
        let mut restored = OpenTransition::restored(transition(40), None, false);
        assert!(!restored.has_used_attempts(5), "an outage's forty tries may all have been refused connections");
        restored.transition.attempts += 5;
        assert!(restored.has_used_attempts(5));
    }
}
