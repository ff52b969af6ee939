//! The open transitions of one tenant: which agent each is for, which may leave next, which are under way.
//!
//! It keeps order and nothing else; every change of a status goes through [`crate::engine::keeper::Keeper`].

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::domain::agents::agent::Observed;
use crate::domain::agents::roster::Busy;
use crate::domain::changes::priority::Priority;
use crate::domain::changes::transition::{Status, Transition};
use crate::domain::ids::{AgentId, TransitionId};
use crate::domain::time::UtcMicros;

/// An open transition and what only this process has to remember of it.
#[derive(Clone, Debug)]
pub(in crate::engine::keeper) struct Open {
    /// The row.
    pub transition: Transition,
    /// What the agent was in when the last attempt left: an agent that is still in it has not moved.
    pub baseline: Option<Observed>,
    /// Failed tries in a row.
    pub failures: u32,
    /// Tries that never reached the platform, or were probes of one that fails for everyone; they do not count against the limit, the deadline alone ends them.
    pub unsent: u32,
    /// Snapshots that could have shown it and did not: since the acceptance, or since the doubt became readable.
    pub unshown: u32,
    /// A row of history holds the change already: what follows is the agent's own doing.
    pub shown: bool,
}

impl Open {
    pub(in crate::engine::keeper) fn new(transition: Transition) -> Self {
        Self { transition, baseline: None, failures: 0, unsent: 0, unshown: 0, shown: false }
    }

    /// One that the store remembers. Which of its attempts reached the platform is not in its row: they count anew, and the
    /// deadline ends them at the latest.
    pub(in crate::engine::keeper) fn restored(transition: Transition, baseline: Option<Observed>, shown: bool) -> Self {
        let attempts = transition.attempts;
        Self { baseline, failures: attempts, unsent: attempts, shown, ..Self::new(transition) }
    }

    /// Whether so many attempts have reached the platform.
    pub(in crate::engine::keeper) fn has_spent(&self, most: u32) -> bool {
        self.transition.attempts.saturating_sub(self.unsent) >= most
    }
}

type Place = (Reverse<Priority>, UtcMicros, TransitionId);

/// All open transitions.
#[derive(Default, Debug)]
pub(in crate::engine::keeper) struct Book {
    open: BTreeMap<TransitionId, Open>,
    /// Those that have not left, in the order in which they may.
    line: BTreeSet<Place>,
    by_agent: HashMap<AgentId, Vec<TransitionId>>,
}

fn place(transition: &Transition) -> Place {
    (Reverse(transition.priority), transition.requested_at, transition.id)
}

impl Book {
    pub(in crate::engine::keeper) fn insert(&mut self, open: Open) {
        let id = open.transition.id;
        if open.transition.status.has_not_left() {
            self.line.insert(place(&open.transition));
        }
        let of_agent = self.by_agent.entry(open.transition.agent.clone()).or_default();
        if !of_agent.contains(&id) {
            of_agent.push(id);
        }
        self.open.insert(id, open);
    }

    pub(in crate::engine::keeper) fn get(&self, id: TransitionId) -> Option<&Open> {
        self.open.get(&id)
    }

    pub(in crate::engine::keeper) fn get_mut(&mut self, id: TransitionId) -> Option<&mut Open> {
        self.open.get_mut(&id)
    }

    /// Puts in the status that a step gave, and forgets the transition when it is final; gives the row as it now is.
    pub(in crate::engine::keeper) fn set_status(&mut self, id: TransitionId, status: Status) -> Option<Transition> {
        let open = self.open.get_mut(&id)?;
        self.line.remove(&place(&open.transition));
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
        } else if transition.status.has_not_left() {
            self.line.insert(place(&transition));
        }
        Some(transition)
    }

    /// Puts in another row for an open transition, which stays open; gives it as it now is.
    pub(in crate::engine::keeper) fn replace(
        &mut self,
        id: TransitionId,
        with: impl Fn(Transition) -> Transition,
    ) -> Option<Transition> {
        let open = self.open.get_mut(&id)?;
        let in_line = self.line.remove(&place(&open.transition));
        open.transition = with(open.transition.clone());
        if in_line {
            self.line.insert(place(&open.transition));
        }
        Some(open.transition.clone())
    }

    /// The open transitions of an agent, oldest first.
    pub(in crate::engine::keeper) fn of_agent(&self, agent: &AgentId) -> impl Iterator<Item = &Open> {
        self.by_agent.get(agent).into_iter().flatten().filter_map(|id| self.open.get(id))
    }

    /// The agent's transition that is on its way or in doubt.
    pub(in crate::engine::keeper) fn in_flight(&self, agent: &AgentId) -> Option<&Open> {
        self.of_agent(agent).find(|open| open.transition.status.is_in_flight())
    }

    /// The agent's transition that has not left.
    pub(in crate::engine::keeper) fn waiting(&self, agent: &AgentId) -> Option<&Open> {
        self.of_agent(agent).find(|open| open.transition.status.has_not_left())
    }

    /// The one of an agent's open transitions that keeps most rules off.
    pub(in crate::engine::keeper) fn busy(&self, agent: &AgentId) -> Option<Busy> {
        self.of_agent(agent).map(|open| Busy::of(&open.transition)).max()
    }

    /// Those that have not left, the most urgent and oldest first.
    pub(in crate::engine::keeper) fn line(&self) -> impl Iterator<Item = TransitionId> {
        self.line.iter().map(|(_, _, id)| *id)
    }

    /// All of them.
    pub(in crate::engine::keeper) fn iter(&self) -> impl Iterator<Item = &Open> {
        self.open.values()
    }

    /// How many are on their way.
    pub(in crate::engine::keeper) fn sending(&self) -> usize {
        // Few at any time: bounded by the setting for parallel calls.
        self.open.values().filter(|open| matches!(open.transition.status, Status::Sending { .. })).count()
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
            status: Status::Requested,
        }
    }

    #[test]
    fn attempts_that_never_arrived_do_not_count_also_after_a_restart() {
        let mut open = Open::new(transition(6));
        assert!(open.has_spent(5));
        open.unsent = 2;
        assert!(!open.has_spent(5));
        let mut restored = Open::restored(transition(40), None, false);
        assert!(!restored.has_spent(5), "an outage's forty tries may all have been refused connections");
        restored.transition.attempts += 5;
        assert!(restored.has_spent(5));
    }
}
