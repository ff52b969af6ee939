//! One pass of the keeper: what it is about to commit, and what to send after the commit.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use tokio::sync::oneshot;

use crate::domain::agents::roster::AgentIndex;
use crate::domain::changes::transition::Transition;
use crate::domain::ids::{AgentId, ChangeSetId, RuleId, TransitionId};
use crate::domain::time::UtcMicros;
use crate::engine::agents::agent_list::AgentList;
use crate::engine::live::snapshot::Snapshot;
use crate::engine::platform::calls::HeldSlot;
use crate::engine::rules::approvals::ApprovalError;
use crate::store::{CallWrite, Commit};

/// What one pass is about to commit, and what to send after the commit.
pub(super) struct Pass {
    /// The instant of the pass.
    pub now: UtcMicros,
    /// Everything that is committed together.
    pub commit: Commit,
    /// The rows of changed transitions, as of the end of the pass.
    pub(super) transition_rows: BTreeMap<TransitionId, Transition>,
    /// Agents whose counters changed.
    pub(super) changed_counters: BTreeSet<AgentIndex>,
    /// Agents and rules whose rule memory changed.
    pub(super) changed_memory: BTreeSet<(AgentIndex, RuleId)>,
    /// Agents that leave the roster with this commit.
    pub finished_agents: Vec<AgentId>,
    /// State POSTs to send.
    pub state_changes: Vec<(TransitionId, CallWrite, HeldSlot)>,
    /// Agents whose plans to query from the platform.
    pub plan_queries: Vec<AgentIndex>,
    /// Replies to send.
    pub replies: Vec<Box<dyn FnOnce() + Send>>,
    /// Requests for the live view.
    pub snapshot_replies: Vec<oneshot::Sender<Snapshot>>,
    /// How many previews of bulk changes the pass stores.
    pub new_previews: u64,
    /// The bulk changes that the pass starts or cancels.
    pub change_sets: HashSet<ChangeSetId>,
    /// The transitions that a person decided on, with the reply channels.
    pub decision_replies: Vec<(TransitionId, oneshot::Sender<Result<Transition, ApprovalError>>)>,
    /// Requests for the list of agents.
    pub agent_list_replies: Vec<oneshot::Sender<AgentList>>,
}

impl Pass {
    pub(super) fn new(now: UtcMicros) -> Self {
        Self {
            now,
            commit: Commit::default(),
            transition_rows: BTreeMap::new(),
            changed_counters: BTreeSet::new(),
            changed_memory: BTreeSet::new(),
            finished_agents: Vec::new(),
            state_changes: Vec::new(),
            plan_queries: Vec::new(),
            replies: Vec::new(),
            snapshot_replies: Vec::new(),
            new_previews: 0,
            change_sets: HashSet::new(),
            decision_replies: Vec::new(),
            agent_list_replies: Vec::new(),
        }
    }

    /// Sends a reply after the commit.
    pub(super) fn reply_after_commit<T: Send + 'static>(&mut self, reply: oneshot::Sender<T>, value: T) {
        // The requester may be gone.
        self.replies.push(Box::new(move || drop(reply.send(value))));
    }

    /// Returns the row of a transition that this pass changed.
    pub(super) fn transition_row(&self, id: TransitionId) -> Option<&Transition> {
        self.transition_rows.get(&id)
    }

    /// Marks an agent's counters for the commit.
    pub(super) fn mark_counters_changed(&mut self, index: AgentIndex) {
        self.changed_counters.insert(index);
    }

    /// Marks the rule memory of an agent for the commit.
    pub(super) fn mark_memory_changed(&mut self, index: AgentIndex, rule: &RuleId) {
        self.changed_memory.insert((index, rule.clone()));
    }

    /// Adds or replaces a transition's row in the commit.
    pub(super) fn save_row(&mut self, transition: Transition) {
        self.transition_rows.insert(transition.id, transition);
    }
}
