//! What rules want and a person decides: the changes of rules in mode `approve`, which wait until somebody accepts or denies them
//! or their deadline passes.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use utoipa::ToSchema;

use crate::domain::access::rights::{Asker, Teams};
use crate::domain::agents::agent::Agent;
use crate::domain::agents::state::AgentState;
use crate::domain::audit::{AuditBody, Hash};
use crate::domain::changes::priority::Priority;
use crate::domain::changes::transition::{Actor, Transition, WaitReason};
use crate::domain::ids::{AgentId, ReasonCode, RuleId, TeamName, TenantId, TransitionId};
use crate::domain::time::UtcMicros;
use crate::engine::changes::door::{Door, DoorError};
use crate::engine::keeper::hindrance;
use crate::engine::message::Message;
use crate::store::{PAGE_LIMIT, ReadError, Reader, StoredEntry, StoredTransition};

/// Where in a transition's explanation it stands who approved it.
pub(in crate::engine) const APPROVED_BY: &str = "approved_by";

/// Decisions that one request looks through where the asker sees some teams alone.
const LOOKED_THROUGH: u32 = PAGE_LIMIT;

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
    #[error("it is no longer waiting for approval: it is {stands}")]
    TooLate {
        /// Where it stands, and who or what brought it there.
        stands: String,
    },
}

impl ApprovalError {
    /// Of a transition that waits for nobody.
    pub(in crate::engine) fn too_late(transition: &Transition) -> Self {
        let approved = transition.explanation.get(APPROVED_BY).and_then(|approved| approved["by"].as_str());
        let approved = approved.map(|by| format!("approved by {by}"));
        let more: Vec<String> = hindrance(transition).into_iter().chain(approved).collect();
        let name = transition.status.name();
        let stands = if more.is_empty() { name.to_owned() } else { format!("{name} ({})", more.join("; ")) };
        Self::TooLate { stands }
    }
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

/// What a person has decided, as the audit chain has it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct DecisionView {
    /// The number of its entry in the chain.
    pub seq: u64,
    /// When.
    pub at: UtcMicros,
    /// Who decided.
    pub by: String,
    /// Whether it was let go; else it was denied.
    pub approved: bool,
    /// The person's words; null where there are none, or they were erased.
    pub note: Option<String>,
    /// The transition.
    pub transition: Option<TransitionId>,
    /// For whom; null where the agent was erased.
    pub agent: Option<AgentId>,
    /// The name; personal.
    #[schema(value_type = Option<String>)]
    pub name: Option<Arc<str>>,
    /// The team.
    pub team: Option<TeamName>,
    /// The rule that asked.
    pub rule: Option<RuleId>,
    /// What the rule found, in a line; null where the transition is not kept any more.
    pub because: Option<String>,
    /// The state that the rule wanted.
    pub to: Option<String>,
    /// Where the change stands now; null where the transition is not kept any more.
    pub status: Option<String>,
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

    /// How many changes of these teams wait for a person.
    pub async fn count(&self, tenant: &TenantId, teams: &Teams) -> Result<u64, ReadError> {
        let of_teams = self.reader.approvals_waiting(tenant).await?;
        let mine = |team: &Option<TeamName>| {
            teams.as_ref().is_none_or(|mine| team.as_ref().is_some_and(|team| mine.contains(team)))
        };
        Ok(of_teams.iter().filter(|(team, _)| mine(team)).map(|(_, count)| count).sum())
    }

    /// What people decided about these teams' agents as they are now, the newest first, below a number of the chain. The second is
    /// where the next page begins: there may be few on one and more behind it where the asker sees some teams alone.
    pub async fn decided(
        &self,
        tenant: &TenantId,
        teams: &Teams,
        before: Option<u64>,
        limit: u32,
    ) -> Result<(Vec<DecisionView>, Option<u64>), ReadError> {
        let look = if teams.is_none() { limit } else { LOOKED_THROUGH };
        let entries = self.reader.decisions(tenant, before, look).await?;
        let is_full = entries.len() >= look as usize;
        let last = entries.last().map(|entry| entry.seq);
        let mut agents = HashMap::new();
        let mut views = Vec::new();
        let mut reached = None;
        for entry in entries {
            reached = Some(entry.seq);
            let agent = self.agent_of(tenant, &entry, &mut agents).await?;
            let team = agent.as_ref().and_then(|agent| agent.team.as_ref());
            if teams.as_ref().is_none_or(|mine| team.is_some_and(|team| mine.contains(team))) {
                views.push(self.decision(tenant, &entry, agent).await?);
            }
            if views.len() >= limit as usize {
                break;
            }
        }
        Ok((views, reached.filter(|_| is_full || reached != last)))
    }

    /// Whom a decision is about, out of those that were looked up already where it is one of them.
    async fn agent_of(
        &self,
        tenant: &TenantId,
        entry: &StoredEntry,
        known: &mut HashMap<String, Option<Agent>>,
    ) -> Result<Option<Agent>, ReadError> {
        let Some(subject) = &entry.columns.subject else { return Ok(None) };
        if let Some(agent) = known.get(subject) {
            return Ok(agent.clone());
        }
        let agent = match self.reader.agent_of_subject(tenant, subject).await? {
            None => None,
            Some(of) => self.reader.agent(tenant, &of.agent).await?.map(|stored| stored.agent),
        };
        known.insert(subject.clone(), agent.clone());
        Ok(agent)
    }

    async fn decision(
        &self,
        tenant: &TenantId,
        entry: &StoredEntry,
        agent: Option<Agent>,
    ) -> Result<DecisionView, ReadError> {
        // One that a forger wrote may have a body that is none.
        let body: Option<AuditBody> = serde_json::from_str(&entry.body).ok();
        let body = body.as_ref();
        let note = match body.and_then(|body| Hash::from_hex(body.note.as_deref()?)) {
            None => None,
            Some(hash) => self.reader.note(tenant, hash).await?,
        };
        let id = body.and_then(|body| body.transition);
        let transition = match id {
            None => None,
            Some(id) => self.reader.transition(tenant, id).await?.map(|stored| stored.transition),
        };
        let by = body.map(|body| body.actor.as_str()).unwrap_or_default();
        let rule = body.and_then(|body| body.why["rule"].as_str());
        let because = transition.as_ref().and_then(|it| it.explanation.get("because")?.as_str());
        let (agent, name, team) = agent.map_or((None, None, None), |of| (Some(of.id), of.name, of.team));
        Ok(DecisionView {
            seq: entry.seq,
            at: entry.columns.at,
            by: by.strip_prefix("person:").unwrap_or(by).to_owned(),
            approved: entry.columns.action == "transition.approved",
            note,
            transition: id,
            agent,
            name,
            team,
            rule: rule.map(RuleId::new),
            because: because.map(str::to_owned),
            to: body.and_then(|body| body.after.clone()),
            status: transition.map(|it| it.status.name().to_owned()),
        })
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
                    Some(it) if it.status.is_final() => ApprovalError::too_late(&it),
                    Some(_) | None => ApprovalError::NotFound(id),
                })
            }
            Err(error) => Err(error),
        }
    }
}
