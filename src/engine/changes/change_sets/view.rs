//! A set as people and programs see it: what was shown, and how its transitions stand now.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::{SetBody, SlotsShown};
use super::{SetError, UNDO_WITHIN};
use crate::domain::adherence::Verdict;
use crate::domain::agents::state::AgentState;
use crate::domain::changes::change_set::{FloorShown, Outcome};
use crate::domain::changes::policy::OnContact;
use crate::domain::ids::{AgentId, ChangeSetId, ReasonCode, SkillId, TeamName, TenantId, TransitionId};
use crate::domain::time::UtcMicros;
use crate::engine::keeper::hindrance;
use crate::store::{ChangeSetRow, ReadError, Reader, SetCounts};

/// Where a set stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SetStatus {
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
pub struct SetView {
    /// Its id.
    pub id: ChangeSetId,
    /// Whose agents.
    pub tenant: TenantId,
    /// Where it stands.
    pub status: SetStatus,
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
    pub slots: SlotsShown,
    /// Automation was halted when it was shown: nobody knows when it is done.
    pub halted: bool,
    /// When the last call is answered if nothing fails, contacts to wait for left aside; null where nothing is sent or nobody knows.
    pub finish_at: Option<UtcMicros>,
    /// The same with as many retries as are allowed.
    pub finish_at_latest: Option<UtcMicros>,
    /// In numbers.
    pub counts: CountsView,
    /// Skills with floors.
    pub floors: Vec<FloorShown>,
    /// The agents, in order; empty in lists.
    pub agents: Vec<SetAgentView>,
}

/// A set in numbers.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct CountsView {
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
pub struct SetAgentView {
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
    pub outcome: Outcome,
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
    /// The transition's status; `left_out` where the agent was left out at the start.
    pub status: Option<String>,
    /// What holds it, how it failed, or why the agent was left out at the start.
    pub error: Option<String>,
}

/// The status of who was left out at the start.
pub const LEFT_OUT: &str = "left_out";

/// What the store keeps of a set as one text.
///
/// # Errors
/// Where it is not what this version or an older one wrote.
pub(super) fn body_of(set: &ChangeSetRow) -> Result<SetBody, SetError> {
    serde_json::from_str(&set.body).map_err(|error| SetError::NotWritable(error.to_string()))
}

/// The agents of a set as they stand.
pub(super) async fn agents(reader: &Reader, set: &ChangeSetRow) -> Result<Vec<SetAgentView>, ReadError> {
    let stored = reader.change_set_agents(&set.tenant, set.id).await?;
    let transitions = match &set.started {
        Some(_) => reader.change_set_transitions(&set.tenant, set.id).await?,
        None => Vec::new(),
    };
    let by_agent: HashMap<&AgentId, _> =
        transitions.iter().map(|stored| (&stored.transition.agent, &stored.transition)).collect();
    let known = reader.agents(&set.tenant).await?;
    let known: HashMap<&AgentId, _> = known.iter().map(|stored| (&stored.agent.id, &stored.agent)).collect();
    let view = |one: crate::store::StoredSetAgent| {
        let shown = one.shown;
        // Whoever was not known to the one who chose is not shown to anybody else by this set.
        let who = known.get(&shown.agent).filter(|_| shown.outcome != Outcome::UnknownAgent);
        let transition = by_agent.get(&shown.agent).copied();
        let (status, error) = match (&one.left_out, transition) {
            (Some((outcome, why)), _) => {
                let words = why.clone().unwrap_or_else(|| outcome.name().replace('_', " "));
                (Some(LEFT_OUT.to_owned()), Some(words))
            }
            (None, Some(transition)) => (Some(transition.status.name().to_owned()), hindrance(transition)),
            (None, None) => (None, None),
        };
        SetAgentView {
            name: who.and_then(|agent| agent.name.clone()),
            team: who.and_then(|agent| agent.team.clone()),
            agent: shown.agent,
            state: shown.state,
            to: shown.to,
            reason: shown.reason,
            outcome: shown.outcome,
            why: shown.why,
            skills: shown.skills,
            planned_until: shown.against.as_ref().and_then(|against| against.until),
            would_be: shown.against.as_ref().map(|against| against.would_be),
            planned: shown.against.map(|against| against.planned),
            transition: transition.map(|transition| transition.id),
            status,
            error,
        }
    };
    Ok(stored.into_iter().map(view).collect())
}

/// A set as it stands, without its agents.
pub(super) async fn of(reader: &Reader, set: &ChangeSetRow, now: UtcMicros) -> Result<SetView, SetError> {
    let body = body_of(set)?;
    let counts = reader.change_set_counts(&set.tenant, set.id).await?;
    let undone_by = match &set.started {
        Some(_) => reader.change_set_undone_by(&set.tenant, set.id).await?,
        None => None,
    };
    let started_at = set.started.as_ref().map(|(at, _)| *at);
    let ended_at = started_at.filter(|_| counts.open == 0).map(|at| counts.last_finished.map_or(at, |end| end.max(at)));
    let unanswered: u64 =
        ["requested", "waiting", "sending", "in_doubt"].iter().filter_map(|name| counts.statuses.get(name)).sum();
    let can_undo_until = ended_at.map(|at| at + UNDO_WITHIN);
    let can_undo = started_at.is_some() && unanswered == 0 && can_undo_until.is_none_or(|until| now <= until);
    Ok(SetView {
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

fn status_of(set: &ChangeSetRow, counts: &SetCounts, now: UtcMicros) -> SetStatus {
    match (&set.started, &set.cancelled) {
        (Some(_), _) if counts.open > 0 => SetStatus::Running,
        (_, Some(_)) => SetStatus::Cancelled,
        (Some(_), None) => SetStatus::Done,
        (None, None) if now >= set.expires_at => SetStatus::Expired,
        (None, None) => SetStatus::Previewed,
    }
}

impl From<SetCounts> for CountsView {
    fn from(counts: SetCounts) -> Self {
        let agents: u64 = counts.outcomes.values().sum();
        let will_change: u64 =
            counts.outcomes.iter().filter(|(outcome, _)| outcome.changes()).map(|(_, count)| count).sum();
        let transitions: u64 = counts.statuses.values().sum();
        let confirmed = counts.statuses.get("confirmed").copied().unwrap_or_default();
        Self {
            agents,
            will_change,
            reason_only: counts.outcomes.get(&Outcome::ChangeReason).copied().unwrap_or_default(),
            left_out: agents - will_change,
            left_out_at_start: counts.left_out,
            outcomes: counts.outcomes.iter().map(|(outcome, count)| (outcome.name().to_owned(), *count)).collect(),
            statuses: counts.statuses.iter().map(|(status, count)| ((*status).to_owned(), *count)).collect(),
            open: counts.open,
            confirmed,
            failed: transitions.saturating_sub(counts.open + confirmed),
        }
    }
}
