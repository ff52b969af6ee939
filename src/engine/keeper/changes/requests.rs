//! Turns people's requests and rules' intents into transitions; newer transitions supersede waiting ones.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::open_transitions::OpenTransition;
use crate::domain::agents::roster::AgentIndex;
use crate::domain::agents::state::AgentState;
use crate::domain::changes::change_set::ONLY_REASON_CHANGES;
use crate::domain::changes::policy::OnContact;
use crate::domain::changes::priority::Priority;
use crate::domain::changes::transition::{Actor, Transition, TransitionStatus, TransitionStep};
use crate::domain::ids::{AgentId, ChangeSetId, ReasonCode, TransitionId};
use crate::domain::time::UtcMicros;
use crate::engine::changes::idempotency::StoredResponse;
use crate::engine::changes::request::{ChangeRequest, KeeperError, RequestedChange, describe_obstacle};
use crate::engine::keeper::pass::Pass;
use crate::engine::keeper::state::{Keeper, PendingReply, Reply};

/// The input for a transition; the rest comes from the pass.
pub(in crate::engine::keeper) struct TransitionRequest {
    pub target: AgentState,
    pub reason: ReasonCode,
    pub priority: Priority,
    pub actor: Actor,
    pub note: Option<String>,
    pub on_contact: OnContact,
    pub deadline: UtcMicros,
    pub explanation: Value,
    pub change_set: Option<ChangeSetId>,
}

impl Keeper {
    /// Handles a request. The reply is sent after the commit and shows the transitions as of the end of this pass.
    pub(in crate::engine::keeper) fn handle_request(&mut self, pass: &mut Pass, request: ChangeRequest, reply: Reply) {
        match self.check_settable(&request.target) {
            Ok(()) => {
                let changes = self.open_requested_transitions(pass, &request);
                self.pending_replies.push(PendingReply {
                    changes,
                    key: request.idempotency,
                    actor: request.actor,
                    reply,
                });
            }
            Err(error) => pass.reply_after_commit(reply, Err(error)),
        }
    }

    /// Checks that the platform can set a state.
    pub(in crate::engine::keeper) fn check_settable(&self, target: &AgentState) -> Result<(), KeeperError> {
        let settable = self.link.platform.capabilities().settable;
        if settable.contains(target) {
            return Ok(());
        }
        Err(KeeperError::NotSettable {
            tenant: self.link.tenant.clone(),
            state: target.clone(),
            settable: settable.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        })
    }

    fn open_requested_transitions(&mut self, pass: &mut Pass, request: &ChangeRequest) -> Vec<RequestedChange> {
        let policy = &self.settings.policy;
        let deadline = pass.now + request.deadline.unwrap_or(policy.deadline);
        let on_contact = request.on_contact.unwrap_or(policy.on_contact);
        let mut changes = Vec::with_capacity(request.agents.len());
        let mut explanation = json!({"asked_by": &*request.actor});
        if request.even_if_in_state {
            explanation[Transition::EVEN_IF_IN_STATE] = json!(true);
        }
        for agent in &request.agents {
            let Some(index) = self.roster.find(agent.as_str()) else {
                let tenant = &self.link.tenant;
                let remedy = "import a schedule that names the agent, or list it in the tenant's `agents`";
                changes.push(refused_change(agent, format!("{tenant} has no agent {agent}: {remedy}")));
                continue;
            };
            let reason = request.reason.clone().unwrap_or_else(|| request.target.default_reason());
            if let Err(failure) = self.link.platform.check_settable(agent, &request.target, &reason) {
                changes.push(refused_change(agent, failure.to_string()));
                continue;
            }
            let transition_request = TransitionRequest {
                target: request.target.clone(),
                reason,
                priority: Priority::Person,
                actor: Actor::Person { id: request.actor.clone() },
                note: request.note.clone(),
                on_contact,
                deadline,
                explanation: explanation.clone(),
                change_set: None,
            };
            let note = self.unchanged_note(index, request);
            let id = self.open_transition(pass, index, transition_request);
            changes.push(RequestedChange {
                id: Some(id),
                agent: agent.clone(),
                status: String::new(),
                error: None,
                refused_by: None,
                note,
            });
        }
        changes
    }

    /// Returns a note for an agent already in the state with another reason: nothing is sent, unless the request asks
    /// for the reason too.
    fn unchanged_note(&self, index: AgentIndex, request: &ChangeRequest) -> Option<String> {
        let reason = request.reason.as_ref().filter(|_| !request.even_if_in_state)?;
        let observed = self.roster.get(index)?.observed()?;
        let has_other_reason = observed.state == request.target && observed.reason.as_ref() != Some(reason);
        has_other_reason.then(|| format!("already {}: {ONLY_REASON_CHANGES}", observed.state))
    }

    /// Opens a transition and decides which of the agent's waiting ones stays. Each agent has one transition in flight,
    /// and of the unsent ones the newer of equal or higher priority stays.
    pub(in crate::engine::keeper) fn open_transition(
        &mut self,
        pass: &mut Pass,
        index: AgentIndex,
        request: TransitionRequest,
    ) -> TransitionId {
        let id = TransitionId(self.link.random.time_ordered_id(pass.now));
        let Some(slot) = self.roster.get(index) else { return id };
        let agent = slot.id().clone();
        let transition = Transition {
            id,
            tenant: self.link.tenant.clone(),
            agent: agent.clone(),
            target: request.target,
            reason: request.reason,
            priority: request.priority,
            actor: request.actor,
            note: request.note,
            on_contact: request.on_contact,
            requested_at: pass.now,
            deadline: request.deadline,
            before: slot.observed().map(|observed| observed.state.clone()),
            explanation: request.explanation,
            attempts: 0,
            violation: None,
            latency_ms: None,
            change_set: request.change_set,
            status: TransitionStatus::Requested,
        };
        let waiting = self.open_transitions.waiting(&agent).map(|open| (open.transition.id, open.transition.priority));
        self.record_request(pass, &transition);
        let priority = transition.priority;
        self.open_transitions.insert(OpenTransition::new(transition));
        self.update_blocking_transition(&agent);
        if let Some((other, other_priority)) = waiting {
            let (loser, winner) = if priority >= other_priority { (other, id) } else { (id, other) };
            self.apply_step(pass, loser, TransitionStep::Supersede(winner));
        }
        id
    }

    /// Completes the replies to the pass's requests with the status of their transitions, stores those with a key, and
    /// schedules them to be sent after the commit.
    pub(in crate::engine::keeper) fn finish_replies(&mut self, pass: &mut Pass) {
        for mut pending in std::mem::take(&mut self.pending_replies) {
            for change in pending.changes.iter_mut().filter(|change| change.status.is_empty()) {
                if let Some(row) = change.id.and_then(|id| pass.transition_row(id)) {
                    (change.status, change.error) = (row.status.name().to_owned(), describe_obstacle(row));
                    change.refused_by = row.refused_by();
                }
            }
            let response = StoredResponse::from_changes(&pending.changes);
            if let Some(key) = &pending.key {
                let tenant = Some(self.link.tenant.clone());
                pass.commit.idempotency.push(response.into_row(tenant, pending.actor, key, pass.now));
            }
            pass.reply_after_commit(pending.reply, Ok(pending.changes));
        }
    }

    /// Cancels a transition that has not been sent, or withdraws a pending one.
    pub(in crate::engine::keeper) fn cancel_transition(
        &mut self,
        pass: &mut Pass,
        id: TransitionId,
        actor: Arc<str>,
        reply: oneshot::Sender<Option<Transition>>,
    ) {
        let status = self.open_transitions.get(id).map(|open| open.transition.status.clone());
        let actor = Actor::Person { id: actor };
        let is_cancellable = match status {
            Some(status) if status.is_unsent() => {
                self.apply_step(pass, id, TransitionStep::Cancel(actor.label()));
                true
            }
            Some(TransitionStatus::Pending { .. }) => self.withdraw_pending(pass, id, actor, "a person cancelled it"),
            _ => false,
        };
        let row = pass.transition_row(id).filter(|_| is_cancellable).cloned();
        pass.reply_after_commit(reply, row);
    }
}

/// Returns the result for an agent for whom no transition is opened.
fn refused_change(agent: &AgentId, error: String) -> RequestedChange {
    RequestedChange {
        id: None,
        agent: agent.clone(),
        status: "refused".to_owned(),
        error: Some(error),
        refused_by: None,
        note: None,
    }
}
