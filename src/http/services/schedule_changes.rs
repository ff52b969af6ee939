//! Changes of schedules that are checked first and applied as they were shown.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::schedules::{ImportError, ImportRequest, ScheduleImporter};
use super::shifts::ShiftBody;
use super::staffing::StaffingImporter;
use crate::clock::BoxFuture;
use crate::domain::ids::{AgentId, RuleId, TeamName, TenantId};
use crate::domain::rules::rule::Mode;
use crate::domain::schedules::comparison::{ShiftChange, ShiftChangeKind};
use crate::domain::schedules::edit::ShiftEdit;
use crate::domain::schedules::findings::Finding;
use crate::domain::schedules::schedule::Shift;
use crate::domain::schedules::staffing::StaffingShortfall;
use crate::domain::time::UtcMicros;
use crate::store::{CommitError, ReadError};

/// Checks and applies changes of schedules.
///
/// Defined here and implemented by `app`, because a request handler should not write schedules.
pub trait ScheduleEditor: ScheduleImporter + StaffingImporter {
    /// Returns what an import would change.
    fn check_import(&self, request: ImportRequest) -> BoxFuture<Result<ScheduleCheck, ImportError>>;

    /// Returns what a change would change.
    fn check_change(&self, request: ScheduleChangeRequest) -> BoxFuture<Result<ScheduleCheck, ScheduleChangeError>>;

    /// Applies a change if its check still has this hash.
    fn apply_change(
        &self,
        request: ScheduleChangeRequest,
        hash: String,
    ) -> BoxFuture<Result<AppliedScheduleChange, ScheduleChangeError>>;
}

/// A change of the schedule in force.
#[derive(Clone, Debug)]
pub struct ScheduleChangeRequest {
    /// The tenant.
    pub tenant: TenantId,
    /// The change.
    pub change: ScheduleChange,
    /// Who makes the request.
    pub actor: String,
}

/// What to change.
#[derive(Clone, Debug)]
pub enum ScheduleChange {
    /// Edits the shifts of agents that begin on a local day.
    Edit {
        /// The agents.
        agents: Vec<AgentId>,
        /// The local day in each agent's zone.
        day: Date,
        /// The edit.
        edit: ShiftEdit,
    },
    /// Undoes what a version of the schedule changed.
    Undo {
        /// The version.
        version: u64,
    },
}

/// What a new schedule changes, and what to look at before it takes effect.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ScheduleCheck {
    /// The id of the tenant.
    pub tenant: TenantId,
    /// A hash of all changes. Send it to apply exactly these.
    pub hash: String,
    /// The version of the schedule in force; null if there is none.
    pub version: Option<u64>,
    /// The number of agents whose schedule changes.
    pub agents: usize,
    /// The number of new shifts.
    pub added: usize,
    /// The number of shifts with other times or other activities.
    pub changed: usize,
    /// The number of shifts that are removed.
    pub removed: usize,
    /// The number of shifts that stay as they are.
    pub unchanged: usize,
    /// The number of changes of shifts that have begun: adherence and reports of these days are computed again.
    pub in_past: usize,
    /// The changes by team, in order of the name.
    pub teams: Vec<TeamChanges>,
    /// The changes by agent; at most 1,000 agents.
    pub changes: Vec<AgentChanges>,
    /// The number of agents who change and are not listed.
    pub more_agents: usize,
    /// Agents who are left out, and why.
    pub left_out: Vec<LeftOutAgent>,
    /// What to look at before the schedule takes effect; at most 1,000.
    pub findings: Vec<Finding>,
    /// The number of findings that are not listed.
    pub more_findings: usize,
    /// The quarter hours, from the present one on, in which fewer agents are planned than before and than required; at
    /// most 1,000.
    pub shortfalls: Vec<StaffingShortfall>,
    /// The number of such quarter hours that are not listed.
    pub more_shortfalls: usize,
    /// What the rules would do differently in the next hours; null if nothing changes from now on, or if no daemon runs
    /// the rules.
    pub rules: Option<RulePreview>,
    /// Warnings about the file.
    pub warnings: Vec<String>,
}

/// What the rules would do differently under a new schedule.
///
/// The preview assumes that agents change nothing by themselves: each keeps the present state until a rule changes it,
/// becomes ready when a shift starts, and logs out when it ends.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ScheduleRulePreview)]
pub struct RulePreview {
    /// The start of the time range (inclusive).
    pub from: UtcMicros,
    /// The end of the time range (exclusive), at most 24 hours later.
    pub to: UtcMicros,
    /// The actions that differ, by rule and agent; at most 1,000.
    pub changes: Vec<RuleActionChange>,
    /// The number of actions that differ and are not listed.
    pub more_changes: usize,
    /// Whether a rule needs figures of skills or queues. They are unknown, so such rules do nothing in the preview.
    pub uses_figures: bool,
}

/// An action of a rule that differs between the schedule in force and the new one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct RuleActionChange {
    /// The id of the rule.
    pub rule: RuleId,
    /// The mode of the rule.
    pub mode: Mode,
    /// The id of the agent.
    pub agent: AgentId,
    /// The name of the agent; null if unknown.
    pub name: Option<String>,
    /// The action, such as `set Ready (WORKING)`.
    pub action: String,
    /// When the rule acts under the schedule in force; null if it does not.
    pub before: Option<UtcMicros>,
    /// When the rule acts under the new schedule; null if it does not.
    pub after: Option<UtcMicros>,
}

/// The number of changes of a team.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct TeamChanges {
    /// The team; null for agents without a team.
    pub team: Option<TeamName>,
    /// The number of agents who change.
    pub agents: usize,
    /// The number of new shifts.
    pub added: usize,
    /// The number of shifts with other times or other activities.
    pub changed: usize,
    /// The number of shifts that are removed.
    pub removed: usize,
}

/// The changes of an agent's schedule.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AgentChanges {
    /// The agent's id on the platform.
    pub agent: AgentId,
    /// The name of the agent; null if unknown.
    pub name: Option<String>,
    /// The team of the agent; null if unknown.
    pub team: Option<TeamName>,
    /// The IANA time zone of the agent; null if unknown.
    pub zone: Option<String>,
    /// The shifts that change, in order of time.
    pub shifts: Vec<ChangedShift>,
}

/// A shift that changes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ChangedShift {
    /// How the shift changes.
    pub kind: ShiftChangeKind,
    /// The shift in force; null if the shift is new.
    pub before: Option<ShiftBody>,
    /// The new shift; null if the shift is removed.
    pub after: Option<ShiftBody>,
}

impl From<ShiftChange> for ChangedShift {
    fn from(change: ShiftChange) -> Self {
        let body = |shift: Option<Shift>| shift.map(ShiftBody::from);
        Self { kind: change.kind(), before: body(change.before), after: body(change.after) }
    }
}

/// An agent who is left out of a change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct LeftOutAgent {
    /// The agent's id on the platform.
    pub agent: AgentId,
    /// The name of the agent; null if unknown.
    pub name: Option<String>,
    /// Why nothing changes for the agent.
    pub why: String,
}

/// The result of a change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AppliedScheduleChange {
    /// The id of the tenant.
    pub tenant: TenantId,
    /// The version of the schedule that is now in force.
    pub version: u64,
    /// The number of agents whose schedule changed.
    pub agents: usize,
}

/// Why a change was not checked or applied.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleChangeError {
    /// The changes are not those that were shown.
    #[error("the schedule in force was changed since the check; check again")]
    HashDiffers,
    /// The schedule has no such version.
    #[error("there is no version {0} of the schedule")]
    NoVersion(u64),
    /// Nothing would change.
    #[error("nothing would change{}", reasons(.0))]
    NothingChanges(Vec<LeftOutAgent>),
    /// A day does not exist in an agent's zone.
    #[error("{0} is not a day of the calendar that can be planned")]
    BadDay(Date),
    /// The schedule in force could not be read.
    #[error("the schedule in force could not be read; nothing was changed")]
    Read(#[from] ReadError),
    /// The store did not accept the schedule.
    #[error("the schedule could not be stored; nothing was changed")]
    Store(#[source] CommitError),
}

/// Returns the reasons of the first agents who were left out.
fn reasons(left_out: &[LeftOutAgent]) -> String {
    let first = left_out.iter().take(3).map(|one| format!("{}: {}", one.agent, one.why));
    let listed: Vec<_> = first.collect();
    if listed.is_empty() { String::new() } else { format!(" ({})", listed.join("; ")) }
}

/// A version of the schedule.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ScheduleVersionSummary {
    /// The version, counted per tenant from 1.
    pub version: u64,
    /// The name of the file, or what was changed.
    pub name: String,
    /// Who imported or changed it.
    pub actor: String,
    /// When it took effect.
    pub at: UtcMicros,
    /// The start of the time range that it covers (inclusive).
    pub from: UtcMicros,
    /// The end of the time range that it covers (exclusive).
    pub to: UtcMicros,
    /// The number of agents whose schedule it set.
    pub agents: u64,
    /// The number of their shifts.
    pub shifts: u64,
}
