//! Schedule imports, and replacing the shifts of a day.

use std::path::Path;
use std::sync::Arc;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::BoxFuture;
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::schedules::import::{ImportDiagnostic, ImportOptions};
use crate::domain::schedules::schedule::Shift;
use crate::domain::time::UtcMicros;
use crate::domain::wording::count_with_noun;
use crate::http::problem::Problem;
use crate::store::{CommitError, ReadError, StoredPlan};

/// Imports schedule files and replaces days of a schedule.
///
/// Defined here and implemented by `app`, because a request handler should neither read files nor write schedules.
pub trait ScheduleImporter: Send + Sync {
    /// Imports a schedule file for a tenant.
    fn import(&self, request: ImportRequest) -> BoxFuture<Result<ImportResult, ImportError>>;

    /// Returns the options of imports, with the import profiles.
    fn options(&self) -> ImportOptions;

    /// Replaces the shifts of one agent that begin on one day, and returns the plan of that day afterwards.
    fn put_shifts(&self, request: PutShiftsRequest) -> BoxFuture<Result<Option<StoredPlan>, PutShiftsError>>;
}

/// The shifts of one agent that begin on one local day.
#[derive(Clone, Debug)]
pub struct DayOfShifts {
    /// The agent's tenant.
    pub tenant: TenantId,
    /// The agent.
    pub agent: AgentId,
    /// The local day.
    pub day: Date,
    /// From the first instant of the day (inclusive) to the first instant of the next day (exclusive).
    pub span: (UtcMicros, UtcMicros),
    /// The shifts in order and without overlap; empty for a day off.
    pub shifts: Vec<Shift>,
    /// Who makes the request.
    pub actor: String,
}

/// A check of whether the plan in force is the one that the caller read.
pub type PlanCheck = Box<dyn FnOnce(Option<StoredPlan>) -> Result<(), Problem> + Send>;

/// A request to replace the shifts of a day, provided that the plan in force is the one that the caller read.
pub struct PutShiftsRequest {
    /// The new shifts of the day.
    pub day: DayOfShifts,
    /// The check of the plan in force, called while no other import can change it.
    pub check_current: PlanCheck,
}

/// Why the shifts of a day were not replaced.
#[derive(Debug, thiserror::Error)]
pub enum PutShiftsError {
    /// The plan was changed since the caller read it.
    #[error("the shifts were changed in the meantime: read them again")]
    ChangedMeanwhile(Problem),
    /// A shift would overlap a shift of another day.
    #[error("the shift from {start} overlaps a shift of another day, from {other} to {until}; change that day first")]
    Overlaps {
        /// When the new shift starts.
        start: UtcMicros,
        /// When the other shift starts.
        other: UtcMicros,
        /// When the other shift ends.
        until: UtcMicros,
    },
    /// The agent is unknown: no schedule named the agent, and no snapshot showed the agent.
    #[error("agent {0} is not known yet; import a schedule that names the agent")]
    NoAgent(AgentId),
    /// The schedule in force could not be read.
    #[error("the schedule in force could not be read; nothing was changed")]
    Read(#[source] ReadError),
    /// The store did not accept the shifts.
    #[error("the shifts could not be stored; nothing was changed")]
    Store(#[source] CommitError),
}

/// A schedule file to import.
#[derive(Clone, Debug)]
pub struct ImportRequest {
    /// The tenant that the schedule is for.
    pub tenant: TenantId,
    /// The file's name, for people.
    pub name: String,
    /// The file's content.
    pub bytes: Arc<[u8]>,
    /// The import profile by which it is read; without one, it is a table or calendar of the daemon's own form.
    pub profile: Option<String>,
    /// The number of whole weeks by which every local date is moved.
    pub move_weeks: i32,
    /// Whether the file is the complete schedule of its days: agents whom it does not name then have no shift on them.
    pub is_complete: bool,
    /// The hash of the check of the import. The import is refused if a check would have another hash now.
    pub hash: Option<String>,
    /// Who makes the request.
    pub actor: String,
}

/// The result of an import.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImportResult {
    /// The id of the tenant.
    pub tenant: TenantId,
    /// The version of the schedule that is now in force.
    pub version: u64,
    /// Whether the import changed anything; false if the same schedule was already in force.
    pub changed: bool,
    /// The number of agents in the file.
    pub agents: usize,
    /// The number of agents who are not in the file and are now off on its days, because it is the complete schedule of
    /// these days.
    #[serde(default)]
    pub others_off: usize,
    /// The number of shifts in the file.
    pub shifts: usize,
    /// The number of rows in the file.
    pub rows: usize,
    /// The first local day that the file covers.
    pub first_day: String,
    /// The last local day that the file covers.
    pub last_day: String,
    /// Warnings about the file that did not prevent the import.
    pub warnings: Vec<String>,
}

/// Why a schedule file was not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file has faults.
    #[error("{name} was not imported, and nothing was changed: {}", count_with_noun(*.faults, "fault"))]
    Refused {
        /// The file's name.
        name: String,
        /// The number of faults.
        faults: usize,
        /// The first faults, in the order of their lines.
        diagnostics: Vec<ImportDiagnostic>,
    },
    /// The import would change something else than what its check showed.
    #[error("the schedule in force or the file was changed since the check; check again")]
    HashDiffers,
    /// The import profile cannot be used, whatever the file.
    #[error("{0}; nothing was changed")]
    Profile(String),
    /// What is in force could not be read.
    #[error("what is in force could not be read; nothing was changed")]
    Read(#[source] ReadError),
    /// The store did not accept the import.
    #[error("the import could not be stored; nothing was changed")]
    Store(#[source] CommitError),
}

/// Returns the name of a file without its folders.
pub fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
