//! Takes wishes in: people's requests and rules' intents become transitions, newer ones take the place of waiting ones.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::book::Open;
use crate::domain::agents::roster::AgentIndex;
use crate::domain::agents::state::AgentState;
use crate::domain::changes::change_set::ONLY_THE_REASON;
use crate::domain::changes::policy::OnContact;
use crate::domain::changes::priority::Priority;
use crate::domain::changes::transition::{Actor, Status, Step, Transition};
use crate::domain::ids::{AgentId, ChangeSetId, ReasonCode, TransitionId};
use crate::domain::time::UtcMicros;
use crate::engine::changes::door::{ChangeRequest, DoorError, IdempotencyKey, Taken};
use crate::engine::changes::repeats::Answer;
use crate::engine::keeper::Keeper;
use crate::engine::keeper::record::Pass;

/// The way to answer a request.
type Reply = oneshot::Sender<Result<Vec<Taken>, DoorError>>;

/// What a transition is made of; the rest follows from the pass.
pub(in crate::engine::keeper) struct Wish {
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
    /// Takes a request in; the answer leaves after the commit, and says where the transitions stand after this pass.
    pub(in crate::engine::keeper) fn take_request(&mut self, pass: &mut Pass, request: ChangeRequest, reply: Reply) {
        match self.check_settable(&request.target) {
            Ok(()) => {
                let taken = self.open_request(pass, &request);
                self.answers.push(PendingAnswer { taken, key: request.idempotency, actor: request.actor, reply });
            }
            Err(error) => pass.replies.push(Box::new(move || drop(reply.send(Err(error))))),
        }
    }

    /// Whether the platform can set a state.
    pub(in crate::engine::keeper) fn check_settable(&self, target: &AgentState) -> Result<(), DoorError> {
        let settable = self.link.platform.capabilities().settable;
        if settable.contains(target) {
            return Ok(());
        }
        Err(DoorError::NotSettable {
            tenant: self.link.tenant.clone(),
            state: target.clone(),
            settable: settable.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        })
    }

    fn open_request(&mut self, pass: &mut Pass, request: &ChangeRequest) -> Vec<Taken> {
        let policy = &self.settings.policy;
        let deadline = pass.now + request.deadline.unwrap_or(policy.deadline);
        let on_contact = request.on_contact.unwrap_or(policy.on_contact);
        let mut taken = Vec::with_capacity(request.agents.len());
        let mut explanation = json!({"asked_by": &*request.actor});
        if request.even_if_in_state {
            explanation[Transition::EVEN_IF_IN_STATE] = json!(true);
        }
        for agent in &request.agents {
            let Some(index) = self.roster.find(agent.as_str()) else {
                taken.push(unknown(agent, self.link.tenant.as_str()));
                continue;
            };
            let wish = Wish {
                target: request.target.clone(),
                reason: request.reason.clone().unwrap_or_else(|| request.target.default_reason()),
                priority: Priority::Person,
                actor: Actor::Person { id: request.actor.clone() },
                note: request.note.clone(),
                on_contact,
                deadline,
                explanation: explanation.clone(),
                change_set: None,
            };
            let note = self.what_is_left_alone(index, request);
            let id = self.open(pass, index, wish);
            taken.push(Taken {
                id: Some(id),
                agent: agent.clone(),
                status: String::new(),
                error: None,
                refused_by: None,
                note,
            });
        }
        taken
    }

    /// What is said to somebody who names a reason for an agent who is in the state already: to be there is enough.
    fn what_is_left_alone(&self, index: AgentIndex, request: &ChangeRequest) -> Option<String> {
        let named = request.reason.as_ref().filter(|_| !request.even_if_in_state)?;
        let seen = self.roster.get(index)?.observed()?;
        let is_other = seen.state == request.target && seen.reason.as_ref() != Some(named);
        is_other.then(|| format!("already {}: {ONLY_THE_REASON}", seen.state))
    }

    /// Makes a transition, and settles which of the agent's waiting ones stays: one transition in flight per agent, and of
    /// those that have not left the newer of equal or higher priority.
    pub(in crate::engine::keeper) fn open(&mut self, pass: &mut Pass, index: AgentIndex, wish: Wish) -> TransitionId {
        let id = TransitionId(self.link.random.id_at(pass.now));
        let Some(slot) = self.roster.get(index) else { return id };
        let agent = slot.id().clone();
        let transition = Transition {
            id,
            tenant: self.link.tenant.clone(),
            agent: agent.clone(),
            target: wish.target,
            reason: wish.reason,
            priority: wish.priority,
            actor: wish.actor,
            note: wish.note,
            on_contact: wish.on_contact,
            requested_at: pass.now,
            deadline: wish.deadline,
            before: slot.observed().map(|observed| observed.state.clone()),
            explanation: wish.explanation,
            attempts: 0,
            violation: None,
            latency_ms: None,
            change_set: wish.change_set,
            status: Status::Requested,
        };
        let waiting = self.book.waiting(&agent).map(|open| (open.transition.id, open.transition.priority));
        self.record_request(pass, &transition);
        let priority = transition.priority;
        self.book.insert(Open::new(transition));
        self.mark_busy(&agent);
        if let Some((other, its_priority)) = waiting {
            let (loser, winner) = if priority >= its_priority { (other, id) } else { (id, other) };
            self.step(pass, loser, Step::Supersede(winner));
        }
        id
    }

    /// Fills in where the transitions of the pass's requests stand, stores the answers that have a key, and lets them leave
    /// with the commit.
    pub(in crate::engine::keeper) fn finish_answers(&mut self, pass: &mut Pass) {
        for mut pending in std::mem::take(&mut self.answers) {
            for one in pending.taken.iter_mut().filter(|one| one.status.is_empty()) {
                if let Some(row) = one.id.and_then(|id| pass.row(id)) {
                    (one.status, one.error) = (row.status.name().to_owned(), hindrance(row));
                    one.refused_by = row.refused_by();
                }
            }
            let answer = Answer::taken(&pending.taken);
            if let Some(key) = &pending.key {
                let tenant = Some(self.link.tenant.clone());
                pass.commit.idempotency.push(answer.row(tenant, pending.actor, key, pass.now));
            }
            let PendingAnswer { taken, reply, .. } = pending;
            pass.replies.push(Box::new(move || drop(reply.send(Ok(taken)))));
        }
    }

    /// Calls off what has not left.
    pub(in crate::engine::keeper) fn cancel(
        &mut self,
        pass: &mut Pass,
        id: TransitionId,
        actor: Arc<str>,
        reply: oneshot::Sender<Option<Transition>>,
    ) {
        let may = self.book.get(id).is_some_and(|open| open.transition.status.has_not_left());
        if may {
            self.step(pass, id, Step::Cancel(Actor::Person { id: actor }.label()));
        }
        let row = pass.row(id).filter(|_| may).cloned();
        pass.replies.push(Box::new(move || drop(reply.send(row))));
    }
}

/// An answer that waits for the end of the pass.
#[derive(Debug)]
pub(in crate::engine::keeper) struct PendingAnswer {
    taken: Vec<Taken>,
    key: Option<IdempotencyKey>,
    actor: Arc<str>,
    reply: Reply,
}

/// What stands in a transition's way or ended it, for whoever asked.
pub(in crate::engine) fn hindrance(transition: &Transition) -> Option<String> {
    let detail = transition.outcome();
    match (transition.violation, detail) {
        (Some(violation), Some(detail)) if detail != violation.code() => Some(format!("{violation}: {detail}")),
        (Some(violation), _) => Some(violation.code().to_owned()),
        (None, detail) => detail,
    }
}

fn unknown(agent: &AgentId, tenant: &str) -> Taken {
    Taken {
        id: None,
        agent: agent.clone(),
        status: "refused".to_owned(),
        error: Some(format!(
            "{tenant} has no agent {agent}: import a schedule that names the agent, or list it in the tenant's `agents`"
        )),
        refused_by: None,
        note: None,
    }
}
