//! What rules want and a person decides: the changes of rules in mode `approve`, which wait until somebody accepts or denies them
//! or their deadline passes.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use utoipa::ToSchema;

use crate::domain::agent::Agent;
use crate::domain::ids::{AgentId, ReasonCode, RuleId, TeamName, TenantId, TransitionId};
use crate::domain::priority::Priority;
use crate::domain::rights::{Asker, Teams};
use crate::domain::state::AgentState;
use crate::domain::time::UtcMicros;
use crate::domain::transition::{Actor, Transition, WaitReason};
use crate::engine::door::{Door, DoorError};
use crate::engine::keeper::hindrance;
use crate::engine::message::Message;
use crate::store::{ReadError, Reader, StoredTransition};

/// What a person decides.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// It goes on.
    Accept {
        /// The person's words.
        note: Option<String>,
    },
    /// It ends, and the rule leaves the agent alone for a while.
    Deny {
        /// Why.
        note: String,
    },
}

/// A decision, as the keeper gets it. Answered after the commit with the transition as it then stands.
#[derive(Debug)]
pub struct DecisionMessage {
    /// Which transition.
    pub id: TransitionId,
    /// What was decided.
    pub decision: Decision,
    /// By whom.
    pub asker: Asker,
    /// The teams of whoever decides.
    pub teams: Teams,
    /// The answer.
    pub reply: oneshot::Sender<Result<Transition, ApprovalError>>,
}

/// Why a decision was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ApprovalError {
    /// The way to the keeper.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// No such transition, or none of the asker's teams.
    #[error("no change {0} waits or waited for an approval")]
    NotFound(TransitionId),
    /// It is decided, or its time is over.
    #[error("it does not wait for an approval any more: it is {status}")]
    TooLate {
        /// Where it stands.
        status: &'static str,
    },
}

/// A change that waits for a person.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ApprovalView {
    /// The transition.
    pub transition: TransitionId,
    /// For whom.
    pub agent: AgentId,
    /// The name; personal.
    #[schema(value_type = Option<String>)]
    pub name: Option<Arc<str>>,
    /// The team.
    pub team: Option<TeamName>,
    /// The state now, by the newest row of history.
    pub state: Option<AgentState>,
    /// The state when the rule asked.
    pub before: Option<AgentState>,
    /// The wanted state.
    pub to: AgentState,
    /// With this reason.
    pub reason: ReasonCode,
    /// The rule that wants it.
    pub rule: RuleId,
    /// In this version.
    #[schema(value_type = String)]
    pub rule_version: Arc<str>,
    /// What the rule found, in a line.
    pub because: String,
    /// The rule's class: `mandatory_break`, `schedule` or `housekeeping`.
    #[schema(value_type = String)]
    pub priority: Priority,
    /// When the rule asked.
    pub asked_at: UtcMicros,
    /// It ends then by itself.
    pub expires_at: UtcMicros,
}

/// What became of a decision.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Decided {
    /// The transition.
    pub transition: TransitionId,
    /// For whom.
    pub agent: AgentId,
    /// Where it stands, after policy was asked again.
    pub status: String,
    /// What holds it or ended it, in words.
    pub error: Option<String>,
}

impl From<&Transition> for Decided {
    fn from(transition: &Transition) -> Self {
        Self {
            transition: transition.id,
            agent: transition.agent.clone(),
            status: transition.status.name().to_owned(),
            error: hindrance(transition),
        }
    }
}

/// A page of a list.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// The last of the page before.
    pub after: Option<TransitionId>,
    /// So many at most.
    pub limit: usize,
}

/// The way to approvals. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Approvals {
    door: Door,
    reader: Reader,
}

impl Approvals {
    /// Over these keepers and this store.
    pub const fn new(door: Door, reader: Reader) -> Self {
        Self { door, reader }
    }

    /// What waits for a person, the oldest first, for one agent or all of these teams. The second is where the next page begins.
    pub async fn list(
        &self,
        tenant: &TenantId,
        teams: &Teams,
        agent: Option<&AgentId>,
        Page { after, limit }: Page,
    ) -> Result<(Vec<ApprovalView>, Option<TransitionId>), ReadError> {
        let mut waiting = self.reader.open_transitions(tenant).await?;
        waiting.retain(|stored| {
            let it = &stored.transition;
            it.status.waits_for() == Some(WaitReason::Approval)
                && after.is_none_or(|after| it.id > after)
                && agent.is_none_or(|agent| it.agent == *agent)
        });
        if waiting.is_empty() {
            return Ok((Vec::new(), None));
        }
        let agents = self.reader.agents(tenant).await?;
        let agents: HashMap<&AgentId, &Agent> = agents.iter().map(|stored| (&stored.agent.id, &stored.agent)).collect();
        let states = self.reader.latest_states(tenant).await?;
        let states: HashMap<&AgentId, &AgentState> =
            states.iter().map(|stored| (&stored.row.agent, &stored.row.state)).collect();
        let of = |id: &AgentId| agents.get(id).copied();
        waiting.retain(|stored| {
            let team = of(&stored.transition.agent).and_then(|agent| agent.team.as_ref());
            teams.as_ref().is_none_or(|mine| team.is_some_and(|team| mine.contains(team)))
        });
        let more = waiting.len() > limit;
        waiting.truncate(limit);
        let next = waiting.last().filter(|_| more).map(|stored| stored.transition.id);
        let view = |stored: StoredTransition| {
            let it = stored.transition;
            let Actor::Rule { id, version } = it.actor else { return None };
            let who = of(&it.agent);
            let because = it.explanation.get("because").and_then(|text| text.as_str()).unwrap_or_default();
            Some(ApprovalView {
                transition: it.id,
                name: who.and_then(|agent| agent.name.clone()),
                team: who.and_then(|agent| agent.team.clone()),
                state: states.get(&it.agent).map(|state| (*state).clone()),
                agent: it.agent,
                before: it.before,
                to: it.target,
                reason: it.reason,
                rule: id,
                rule_version: version,
                because: because.to_owned(),
                priority: it.priority,
                asked_at: it.requested_at,
                expires_at: it.deadline,
            })
        };
        Ok((waiting.into_iter().filter_map(view).collect(), next))
    }

    /// Accepts or denies.
    pub async fn decide(
        &self,
        tenant: &TenantId,
        id: TransitionId,
        decision: Decision,
        asker: Asker,
        teams: Teams,
    ) -> Result<Decided, ApprovalError> {
        let (reply, answer) = oneshot::channel();
        let message = DecisionMessage { id, decision, asker, teams, reply };
        self.door.tell(tenant, Message::Decision(message)).await?;
        let decided = answer.await.unwrap_or(Err(ApprovalError::Door(DoorError::Unavailable)));
        match decided {
            Ok(transition) => Ok(Decided::from(&transition)),
            // The keeper knows open ones alone: the store tells what became of another.
            Err(ApprovalError::NotFound(id)) => {
                let stored = self.reader.transition(tenant, id).await?.map(|stored| stored.transition);
                let asked_a_person = |it: &Transition| matches!(it.actor, Actor::Rule { .. });
                Err(match stored.filter(asked_a_person) {
                    Some(it) if it.status.is_final() => ApprovalError::TooLate { status: it.status.name() },
                    Some(_) | None => ApprovalError::NotFound(id),
                })
            }
            Err(error) => Err(error),
        }
    }
}
