//! Change sets as people and programs see them: the preview and the current status of the transitions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::{ChangeSetBody, PreviewSlots};
use super::request::{ChangeSetError, UNDO_WINDOW};
use crate::domain::adherence::Verdict;
use crate::domain::agents::state::AgentState;
use crate::domain::changes::change_set::{FloorImpact, PreviewOutcome};
use crate::domain::changes::policy::OnContact;
use crate::domain::ids::{AgentId, ChangeSetId, ReasonCode, SkillId, TeamName, TenantId, TransitionId};
use crate::domain::time::UtcMicros;
use crate::engine::changes::request::describe_obstacle;
use crate::store::{ChangeSetCounts, ChangeSetRow, ReadError, Reader};

/// The status of a change set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeSetStatus {
    /// Previewed and not started; it can be started.
    Previewed,
    /// Never started, and now too old to be started.
    Expired,
    /// Started, with open transitions.
    Running,
    /// Started, and all transitions have ended.
    Done,
    /// Cancelled, without open transitions.
    Cancelled,
}

/// A change set: a bulk change with its preview and progress.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the API by itself")]
pub struct ChangeSetView {
    /// The id of the change set.
    pub id: ChangeSetId,
    /// The id of the tenant.
    pub tenant: TenantId,
    /// The status of the change set.
    pub status: ChangeSetStatus,
    /// The hash of the preview, 64 hexadecimal digits.
    pub hash: String,
    /// Who requested the preview.
    #[schema(value_type = String)]
    pub made_by: Arc<str>,
    /// When the preview was made.
    pub made_at: UtcMicros,
    /// The time until which the preview can be started.
    pub expires_at: UtcMicros,
    /// Who started the change set; null if nobody did.
    #[schema(value_type = Option<String>)]
    pub started_by: Option<Arc<str>>,
    /// When the change set was started; null if it was not.
    pub started_at: Option<UtcMicros>,
    /// Who cancelled the change set; null if nobody did.
    #[schema(value_type = Option<String>)]
    pub cancelled_by: Option<Arc<str>>,
    /// When the change set was cancelled; null if it was not.
    pub cancelled_at: Option<UtcMicros>,
    /// When the last transition ended; null while one is open.
    pub ended_at: Option<UtcMicros>,
    /// The id of the change set that this one undoes; null if it is no undo.
    pub undoes: Option<ChangeSetId>,
    /// The id of the latest change set that was started to undo this one; null if there is none.
    pub undone_by: Option<ChangeSetId>,
    /// Whether an undo can be previewed now.
    pub can_undo: bool,
    /// The time until which an undo can be previewed; null until the change set has ended.
    pub can_undo_until: Option<UtcMicros>,
    /// The requested state; null if each agent has its own.
    pub to: Option<AgentState>,
    /// The requested reason code; null if none was named.
    pub reason: Option<ReasonCode>,
    /// How agents on a contact are treated.
    pub on_contact: OnContact,
    /// Whether the changes take precedence over other people's requests.
    pub urgent: bool,
    /// Whether agents who are already in the state get the reason code too.
    #[serde(default)]
    pub even_if_in_state: bool,
    /// Why skills may fall below their staffing floors; null if they may not.
    pub below_floor: Option<String>,
    /// A note by a person; null if there is none.
    pub note: Option<String>,
    /// How long a change may wait before it is sent, in seconds from the start.
    pub deadline_s: u64,
    /// The number of calls to the platform, including queries.
    pub calls: usize,
    /// How many of these calls are queries.
    pub questions: usize,
    /// How many of these calls, including queries, are for agents who are already in the state and get only the reason
    /// code.
    #[serde(default)]
    pub reason_calls: usize,
    /// The number of calls of other changes that are sent first.
    pub ahead: usize,
    /// The request budget at the time of the preview.
    pub slots: PreviewSlots,
    /// Whether automation was halted at the time of the preview. The finish is then unknown.
    pub halted: bool,
    /// When the last call will be answered if nothing fails, not counting contacts to wait for; null if nothing is sent
    /// or the time is unknown.
    pub finish_at: Option<UtcMicros>,
    /// The same with as many retries as are allowed.
    pub finish_at_latest: Option<UtcMicros>,
    /// The number of agents and transitions by result.
    pub counts: ChangeSetCountsView,
    /// The effect on skills with staffing floors.
    pub floors: Vec<FloorImpact>,
    /// The agents, in order; empty in lists.
    pub agents: Vec<ChangeSetAgentView>,
}

/// Counts of the agents and transitions of a change set.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ChangeSetCountsView {
    /// The number of agents.
    pub agents: u64,
    /// The number of agents that the preview changes.
    pub will_change: u64,
    /// How many of these are already in the state and get only the reason code.
    #[serde(default)]
    pub reason_only: u64,
    /// The number of agents that the preview leaves out.
    pub left_out: u64,
    /// The number of agents that the preview changes and that were left out at the start.
    pub left_out_at_start: u64,
    /// The number of agents by outcome. Outcomes that do not occur are left out.
    pub outcomes: BTreeMap<String, u64>,
    /// The number of transitions by status. Statuses that do not occur are left out.
    pub statuses: BTreeMap<String, u64>,
    /// The number of transitions that have not ended.
    pub open: u64,
    /// The number of transitions that a snapshot confirmed.
    pub confirmed: u64,
    /// The number of transitions that ended in any other way.
    pub failed: u64,
}

/// An agent of a change set.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ChangeSetAgentView {
    /// The id of the agent.
    pub agent: AgentId,
    /// The name of the agent, which is personal data; null if unknown.
    #[schema(value_type = Option<String>)]
    pub name: Option<Arc<str>>,
    /// The team of the agent; null if unknown.
    pub team: Option<TeamName>,
    /// The state at the time of the preview; null if unknown.
    pub state: Option<AgentState>,
    /// The requested state.
    pub to: AgentState,
    /// The requested reason code; null if none was named.
    pub reason: Option<ReasonCode>,
    /// What the preview says would happen, or why nothing would.
    pub outcome: PreviewOutcome,
    /// An explanation, if the outcome does not say enough; otherwise null.
    pub why: Option<String>,
    /// For `below_floor`: the ids of the skills that would fall below their floors.
    pub skills: Vec<SkillId>,
    /// What was planned at the time of the preview: an activity, `off` or `uncovered`; null if the agent is unknown.
    #[schema(value_type = Option<String>)]
    #[serde(default)]
    pub planned: Option<Arc<str>>,
    /// Until when it was planned; null if unknown.
    #[serde(default)]
    pub planned_until: Option<UtcMicros>,
    /// The verdict on the agent in the requested state, once it has lasted longer than the tolerance; null if unknown.
    #[serde(default)]
    pub would_be: Option<Verdict>,
    /// The id of the transition; null until the change set is started.
    pub transition: Option<TransitionId>,
    /// The status of the transition; `left_out` if the agent was left out at the start; null until the change set is
    /// started.
    pub status: Option<String>,
    /// What holds the transition, why it failed, or why the agent was left out at the start; null if none of these
    /// applies.
    pub error: Option<String>,
}

/// The status of an agent that was left out at the start.
pub const LEFT_OUT_STATUS: &str = "left_out";

/// Parses the body of a stored set.
///
/// # Errors
/// Fails if the body was not written by this version or an older one.
pub(super) fn parse_body(set: &ChangeSetRow) -> Result<ChangeSetBody, ChangeSetError> {
    serde_json::from_str(&set.body).map_err(|error| ChangeSetError::InvalidBody(error.to_string()))
}

/// Returns the agents of a set as they stand.
pub(super) async fn agent_views(reader: &Reader, set: &ChangeSetRow) -> Result<Vec<ChangeSetAgentView>, ReadError> {
    let stored = reader.change_set_agents(&set.tenant, set.id).await?;
    let transitions = match &set.started {
        Some(_) => reader.change_set_transitions(&set.tenant, set.id).await?,
        None => Vec::new(),
    };
    let by_agent: HashMap<&AgentId, _> =
        transitions.iter().map(|stored| (&stored.transition.agent, &stored.transition)).collect();
    let known = reader.agents(&set.tenant).await?;
    let known: HashMap<&AgentId, _> = known.iter().map(|stored| (&stored.agent.id, &stored.agent)).collect();
    let view = |row: crate::store::StoredChangeSetAgent| {
        let previewed = row.previewed;
        // An agent that the requester could not see is not shown to anybody else either.
        let visible_agent = known.get(&previewed.agent).filter(|_| previewed.outcome != PreviewOutcome::UnknownAgent);
        let transition = by_agent.get(&previewed.agent).copied();
        let (status, error) = match (&row.excluded, transition) {
            (Some((outcome, why)), _) => {
                let text = why.clone().unwrap_or_else(|| outcome.name().replace('_', " "));
                (Some(LEFT_OUT_STATUS.to_owned()), Some(text))
            }
            (None, Some(transition)) => (Some(transition.status.name().to_owned()), describe_obstacle(transition)),
            (None, None) => (None, None),
        };
        ChangeSetAgentView {
            name: visible_agent.and_then(|agent| agent.name.clone()),
            team: visible_agent.and_then(|agent| agent.team.clone()),
            agent: previewed.agent,
            state: previewed.state,
            to: previewed.target,
            reason: previewed.reason,
            outcome: previewed.outcome,
            why: previewed.detail,
            skills: previewed.skills,
            planned_until: previewed.plan_comparison.as_ref().and_then(|conflict| conflict.until),
            would_be: previewed.plan_comparison.as_ref().map(|conflict| conflict.resulting_verdict),
            planned: previewed.plan_comparison.map(|conflict| conflict.planned),
            transition: transition.map(|transition| transition.id),
            status,
            error,
        }
    };
    Ok(stored.into_iter().map(view).collect())
}

/// Returns a set as it stands, without its agents.
pub(super) async fn change_set_view(
    reader: &Reader,
    set: &ChangeSetRow,
    now: UtcMicros,
) -> Result<ChangeSetView, ChangeSetError> {
    let body = parse_body(set)?;
    let counts = reader.change_set_counts(&set.tenant, set.id).await?;
    let undone_by = match &set.started {
        Some(_) => reader.change_set_undone_by(&set.tenant, set.id).await?,
        None => None,
    };
    let started_at = set.started.as_ref().map(|(at, _)| *at);
    let ended_at = started_at.filter(|_| counts.open == 0).map(|at| counts.last_finished.map_or(at, |end| end.max(at)));
    let unanswered: u64 =
        ["requested", "waiting", "sending", "in_doubt"].iter().filter_map(|name| counts.statuses.get(name)).sum();
    let can_undo_until = ended_at.map(|at| at + UNDO_WINDOW);
    let can_undo = started_at.is_some() && unanswered == 0 && can_undo_until.is_none_or(|until| now <= until);
    Ok(ChangeSetView {
        id: set.id,
        tenant: set.tenant.clone(),
        status: status_of(set, &counts, now),
        hash: set.hash.to_string(),
        made_by: set.made_by.clone(),
        made_at: set.made_at,
        expires_at: set.expires_at,
        started_by: set.started.as_ref().map(|(_, by)| by.clone()),
        started_at,
        cancelled_by: set.cancelled.as_ref().map(|(_, by)| by.clone()),
        cancelled_at: set.cancelled.as_ref().map(|(at, _)| *at),
        ended_at,
        undoes: set.undoes,
        undone_by,
        can_undo,
        can_undo_until,
        to: body.to,
        reason: body.reason,
        on_contact: body.on_contact,
        urgent: body.urgent,
        even_if_in_state: body.even_if_in_state,
        below_floor: body.below_floor,
        note: body.note,
        deadline_s: body.deadline_s,
        calls: body.cost.calls,
        questions: body.cost.questions,
        reason_calls: body.reason_calls,
        ahead: body.cost.ahead,
        slots: body.slots,
        halted: body.halted,
        finish_at: body.cost.finish_at,
        finish_at_latest: body.cost.finish_at_latest,
        counts: counts.into(),
        floors: body.floors,
        agents: Vec::new(),
    })
}

fn status_of(set: &ChangeSetRow, counts: &ChangeSetCounts, now: UtcMicros) -> ChangeSetStatus {
    match (&set.started, &set.cancelled) {
        (Some(_), _) if counts.open > 0 => ChangeSetStatus::Running,
        (_, Some(_)) => ChangeSetStatus::Cancelled,
        (Some(_), None) => ChangeSetStatus::Done,
        (None, None) if now >= set.expires_at => ChangeSetStatus::Expired,
        (None, None) => ChangeSetStatus::Previewed,
    }
}

impl From<ChangeSetCounts> for ChangeSetCountsView {
    fn from(counts: ChangeSetCounts) -> Self {
        let agents: u64 = counts.outcomes.values().sum();
        let will_change: u64 =
            counts.outcomes.iter().filter(|(outcome, _)| outcome.is_change()).map(|(_, count)| count).sum();
        let transitions: u64 = counts.statuses.values().sum();
        let confirmed = counts.statuses.get("confirmed").copied().unwrap_or_default();
        Self {
            agents,
            will_change,
            reason_only: counts.outcomes.get(&PreviewOutcome::ChangeReason).copied().unwrap_or_default(),
            left_out: agents - will_change,
            left_out_at_start: counts.excluded,
            outcomes: counts.outcomes.iter().map(|(outcome, count)| (outcome.name().to_owned(), *count)).collect(),
            statuses: counts.statuses.iter().map(|(status, count)| ((*status).to_owned(), *count)).collect(),
            open: counts.open,
            confirmed,
            failed: transitions.saturating_sub(counts.open + confirmed),
        }
    }
}
