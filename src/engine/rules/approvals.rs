//! Approvals: changes of rules in mode `approve`, which wait until a person accepts or denies them or their deadline
//! passes.

mod request;

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub(in crate::engine) use self::request::APPROVED_BY;
pub use self::request::{ApprovalError, Decision, DecisionMessage};
use crate::domain::access::rights::{Requester, TeamScope};
use crate::domain::agents::agent::Agent;
use crate::domain::agents::state::AgentState;
use crate::domain::audit::{AuditBody, Hash};
use crate::domain::changes::priority::Priority;
use crate::domain::changes::transition::{Actor, Transition, WaitReason};
use crate::domain::ids::{AgentId, ReasonCode, RuleId, TeamName, TenantId, TransitionId};
use crate::domain::time::UtcMicros;
use crate::engine::changes::keeper_handle::KeeperHandle;
use crate::engine::changes::request::describe_obstacle;
use crate::engine::keeper_message::KeeperMessage;
use crate::store::{PAGE_LIMIT, ReadError, Reader, StoredEntry, StoredTransition};

/// The most audit entries that one request reads when the caller sees only some teams.
const MAX_ENTRIES_SCANNED: u32 = PAGE_LIMIT;

/// A change of a rule that waits for approval.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ApprovalView {
    /// The id of the transition.
    pub transition: TransitionId,
    /// The id of the agent.
    pub agent: AgentId,
    /// The name of the agent, which is personal data; null if unknown.
    #[schema(value_type = Option<String>)]
    pub name: Option<Arc<str>>,
    /// The team of the agent; null if unknown.
    pub team: Option<TeamName>,
    /// The current state, according to the latest row of history; null if unknown.
    pub state: Option<AgentState>,
    /// The state when the rule requested the change; null if unknown.
    pub before: Option<AgentState>,
    /// The requested state.
    pub to: AgentState,
    /// The requested reason code.
    pub reason: ReasonCode,
    /// The id of the rule.
    pub rule: RuleId,
    /// The version of the rule.
    #[schema(value_type = String)]
    pub rule_version: Arc<str>,
    /// The facts behind the change, in words.
    pub because: String,
    /// The priority class of the rule: `mandatory_break`, `schedule` or `housekeeping`.
    #[schema(value_type = String)]
    pub priority: Priority,
    /// When the rule requested the change.
    pub asked_at: UtcMicros,
    /// When the change expires if nobody decides.
    pub expires_at: UtcMicros,
}

/// The result of a decision.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct DecisionResult {
    /// The id of the transition.
    pub transition: TransitionId,
    /// The id of the agent.
    pub agent: AgentId,
    /// The status of the transition, after policy was checked again.
    pub status: String,
    /// What holds or ended the transition, in words; null if nothing does.
    pub error: Option<String>,
}

impl From<&Transition> for DecisionResult {
    fn from(transition: &Transition) -> Self {
        Self {
            transition: transition.id,
            agent: transition.agent.clone(),
            status: transition.status.name().to_owned(),
            error: describe_obstacle(transition),
        }
    }
}

/// A person's decision about a change of a rule, as recorded in the audit chain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct DecisionView {
    /// The number of the entry in the audit chain.
    pub seq: u64,
    /// When the decision was made.
    pub at: UtcMicros,
    /// Who decided.
    pub by: String,
    /// Whether the change was approved; otherwise it was denied.
    pub approved: bool,
    /// The person's note; null if there is none or it was erased.
    pub note: Option<String>,
    /// The id of the transition; null if unknown.
    pub transition: Option<TransitionId>,
    /// The id of the agent; null if the agent was erased.
    pub agent: Option<AgentId>,
    /// The name of the agent, which is personal data; null if unknown.
    #[schema(value_type = Option<String>)]
    pub name: Option<Arc<str>>,
    /// The team of the agent; null if unknown.
    pub team: Option<TeamName>,
    /// The id of the rule; null if unknown.
    pub rule: Option<RuleId>,
    /// The facts behind the change, in words; null if retention has deleted the transition.
    pub because: Option<String>,
    /// The requested state; null if unknown.
    pub to: Option<String>,
    /// The current status of the transition; null if retention has deleted it.
    pub status: Option<String>,
}

/// A page of a list.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// The last transition of the page before.
    pub after: Option<TransitionId>,
    /// The most items on the page.
    pub limit: usize,
}

/// The service for approvals. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Approvals {
    keeper: KeeperHandle,
    reader: Reader,
}

impl Approvals {
    /// Creates the service over the keepers and the store.
    pub const fn new(keeper: KeeperHandle, reader: Reader) -> Self {
        Self { keeper, reader }
    }

    /// Returns the transitions that wait for a decision, oldest first, for one agent or for all agents of these teams;
    /// and where the next page begins.
    pub async fn list(
        &self,
        tenant: &TenantId,
        teams: &TeamScope,
        agent: Option<&AgentId>,
        Page { after, limit }: Page,
    ) -> Result<(Vec<ApprovalView>, Option<TransitionId>), ReadError> {
        let mut waiting = self.reader.open_transitions(tenant).await?;
        waiting.retain(|stored| {
            let it = &stored.transition;
            it.status.wait_reason() == Some(WaitReason::Approval)
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
            let agent_row = of(&it.agent);
            let because = it.explanation.get("because").and_then(|text| text.as_str()).unwrap_or_default();
            Some(ApprovalView {
                transition: it.id,
                name: agent_row.and_then(|agent| agent.name.clone()),
                team: agent_row.and_then(|agent| agent.team.clone()),
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

    /// Returns how many changes of these teams' agents wait for a decision.
    pub async fn count(&self, tenant: &TenantId, teams: &TeamScope) -> Result<u64, ReadError> {
        let of_teams = self.reader.pending_approvals(tenant).await?;
        let mine = |team: &Option<TeamName>| {
            teams.as_ref().is_none_or(|mine| team.as_ref().is_some_and(|team| mine.contains(team)))
        };
        Ok(of_teams.iter().filter(|(team, _)| mine(team)).map(|(_, count)| count).sum())
    }

    /// Returns people's decisions about agents who are in these teams now, newest first, below a number of the audit
    /// chain; and where the next page begins. A page may have few items although more follow, if the caller sees only
    /// some teams.
    pub async fn list_decisions(
        &self,
        tenant: &TenantId,
        teams: &TeamScope,
        before: Option<u64>,
        limit: u32,
    ) -> Result<(Vec<DecisionView>, Option<u64>), ReadError> {
        let scan_limit = if teams.is_none() { limit } else { MAX_ENTRIES_SCANNED };
        let entries = self.reader.decisions(tenant, before, scan_limit).await?;
        let is_full = entries.len() >= scan_limit as usize;
        let last = entries.last().map(|entry| entry.seq);
        let mut agents = HashMap::new();
        let mut views = Vec::new();
        let mut last_read = None;
        for entry in entries {
            last_read = Some(entry.seq);
            let agent = self.agent_of(tenant, &entry, &mut agents).await?;
            let team = agent.as_ref().and_then(|agent| agent.team.as_ref());
            if teams.as_ref().is_none_or(|mine| team.is_some_and(|team| mine.contains(team))) {
                views.push(self.decision_view(tenant, &entry, agent).await?);
            }
            if views.len() >= limit as usize {
                break;
            }
        }
        Ok((views, last_read.filter(|_| is_full || last_read != last)))
    }

    /// Returns the agent of a decision, from those already looked up if possible.
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

    async fn decision_view(
        &self,
        tenant: &TenantId,
        entry: &StoredEntry,
        agent: Option<Agent>,
    ) -> Result<DecisionView, ReadError> {
        // A forged entry may have an invalid body.
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

    /// Approves or denies a change.
    pub async fn decide(
        &self,
        tenant: &TenantId,
        id: TransitionId,
        decision: Decision,
        asker: Requester,
        teams: TeamScope,
    ) -> Result<DecisionResult, ApprovalError> {
        let message = |reply| KeeperMessage::Approval(DecisionMessage { id, decision, asker, teams, reply });
        match self.keeper.ask_to_write(tenant, message).await? {
            Ok(transition) => Ok(DecisionResult::from(&transition)),
            // The keeper only knows open transitions: the store says what became of others.
            Err(ApprovalError::NotFound(id)) => {
                let stored = self.reader.transition(tenant, id).await?.map(|stored| stored.transition);
                let is_from_rule = |it: &Transition| matches!(it.actor, Actor::Rule { .. });
                Err(match stored.filter(is_from_rule) {
                    Some(it) if it.status.is_final() => ApprovalError::too_late(&it),
                    Some(_) | None => ApprovalError::NotFound(id),
                })
            }
            Err(error) => Err(error),
        }
    }
}
