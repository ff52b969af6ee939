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

/// Where a set stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeSetStatus {
    /// Shown, and can be started.
    Previewed,
    /// Never started, and too old to be.
    Expired,
    /// Some of it is open.
    Running,
    /// All of it has ended.
    Done,
    /// Called off, and nothing of it is open.
    Cancelled,
}

/// A set.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the API by itself")]
pub struct ChangeSetView {
    /// Its id.
    pub id: ChangeSetId,
    /// Whose agents.
    pub tenant: TenantId,
    /// Where it stands.
    pub status: ChangeSetStatus,
    /// The hash of what was shown, 64 hexadecimal digits.
    pub hash: String,
    /// To whom it was shown.
    #[schema(value_type = String)]
    pub made_by: Arc<str>,
    /// When.
    pub made_at: UtcMicros,
    /// It can be started before this instant.
    pub expires_at: UtcMicros,
    /// Who started it.
    #[schema(value_type = Option<String>)]
    pub started_by: Option<Arc<str>>,
    /// When.
    pub started_at: Option<UtcMicros>,
    /// Who called it off.
    #[schema(value_type = Option<String>)]
    pub cancelled_by: Option<Arc<str>>,
    /// When.
    pub cancelled_at: Option<UtcMicros>,
    /// When its last change ended.
    pub ended_at: Option<UtcMicros>,
    /// The set that it takes back.
    pub undoes: Option<ChangeSetId>,
    /// The newest set that was started to take this one back.
    pub undone_by: Option<ChangeSetId>,
    /// Whether a way back would be previewed now.
    pub can_undo: bool,
    /// Until when, once it has ended.
    pub can_undo_until: Option<UtcMicros>,
    /// The wanted state; null where each agent has one of his own.
    pub to: Option<AgentState>,
    /// The reason that was named.
    pub reason: Option<ReasonCode>,
    /// What is done with those on a contact.
    pub on_contact: OnContact,
    /// Ahead of what other people asked for.
    pub urgent: bool,
    /// Whoever is in the state already gets the reason too.
    #[serde(default)]
    pub even_if_in_state: bool,
    /// Why skills may fall below their floors, where they may.
    pub below_floor: Option<String>,
    /// A person's words.
    pub note: Option<String>,
    /// How long a change may wait before it leaves, in seconds from the start on.
    pub deadline_s: u64,
    /// Calls to the platform, questions included.
    pub calls: usize,
    /// Questions alone.
    pub questions: usize,
    /// Of the calls those for agents who are in the state already and get only the reason, questions included.
    #[serde(default)]
    pub reason_calls: usize,
    /// Calls that go first.
    pub ahead: usize,
    /// The budget when it was shown.
    pub slots: PreviewSlots,
    /// Automation was halted when it was shown: nobody knows when it is done.
    pub halted: bool,
    /// When the last call is answered if nothing fails, contacts to wait for left aside; null where nothing is sent or nobody knows.
    pub finish_at: Option<UtcMicros>,
    /// The same with as many retries as are allowed.
    pub finish_at_latest: Option<UtcMicros>,
    /// In numbers.
    pub counts: ChangeSetCountsView,
    /// Skills with floors.
    pub floors: Vec<FloorImpact>,
    /// The agents, in order; empty in lists.
    pub agents: Vec<ChangeSetAgentView>,
}

/// A set in numbers.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ChangeSetCountsView {
    /// Agents.
    pub agents: u64,
    /// Shown as changed.
    pub will_change: u64,
    /// Of these, agents who are in the state already and get only the reason.
    #[serde(default)]
    pub reason_only: u64,
    /// Shown as left out.
    pub left_out: u64,
    /// Shown as changed, and left out at the start.
    pub left_out_at_start: u64,
    /// Agents by outcome; those that occur.
    pub outcomes: BTreeMap<String, u64>,
    /// Its transitions by status; those that occur.
    pub statuses: BTreeMap<String, u64>,
    /// Transitions that have not ended.
    pub open: u64,
    /// Transitions that a snapshot confirmed.
    pub confirmed: u64,
    /// Transitions that ended in any other way.
    pub failed: u64,
}

/// An agent of a set.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ChangeSetAgentView {
    /// Who.
    pub agent: AgentId,
    /// The name; personal.
    #[schema(value_type = Option<String>)]
    pub name: Option<Arc<str>>,
    /// The team.
    pub team: Option<TeamName>,
    /// The state when it was shown.
    pub state: Option<AgentState>,
    /// The wanted state.
    pub to: AgentState,
    /// With this reason.
    pub reason: Option<ReasonCode>,
    /// What would happen, or why nothing would.
    pub outcome: PreviewOutcome,
    /// In words, where the outcome does not say all.
    pub why: Option<String>,
    /// In `below_floor`: the skills that would fall below.
    pub skills: Vec<SkillId>,
    /// What was planned when it was shown: an activity, `off` or `uncovered`; null of an agent who is not known.
    #[schema(value_type = Option<String>)]
    #[serde(default)]
    pub planned: Option<Arc<str>>,
    /// When something else is planned, where that was known.
    #[serde(default)]
    pub planned_until: Option<UtcMicros>,
    /// The verdict on the agent in the wanted state, once that has lasted for longer than the tolerance.
    #[serde(default)]
    pub would_be: Option<Verdict>,
    /// The transition, once it was started.
    pub transition: Option<TransitionId>,
    /// The transition's status; `excluded` where the agent was left out at the start.
    pub status: Option<String>,
    /// What holds it, how it failed, or why the agent was left out at the start.
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
