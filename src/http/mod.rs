//! The HTTP face: the API under `/api/v1`, and what a watchdog asks.
//!
//! It asks the engine through its door and reads the store; it decides nothing, and it never writes.

pub mod auth;
pub mod problem;

mod api;
mod console;
mod document;
mod etag;
mod extract;
mod guard;
mod live;
mod metrics;
mod request_key;
mod role_table;
mod routes;
mod serve;
mod sign_in;
mod stall;
mod tls;
mod wish;

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use jiff::civil::Date;
use serde::Serialize;
use tokio::sync::{Semaphore, watch};
use utoipa::ToSchema;

use self::problem::Problem;
use crate::clock::BoxFuture;
use crate::domain::audit::head::PublicKey;
use crate::domain::ids::{AgentId, EndpointId, ReportRunId, TenantId};
use crate::domain::reports::report_run::{Format, ReportRun};
use crate::domain::schedules::import::Complaint;
use crate::domain::schedules::schedule::Shift;
use crate::domain::time::UtcMicros;
use crate::domain::words::count;
use crate::engine::access::accounts::Accounts;
use crate::engine::agents::board::Boards;
use crate::engine::agents::erase::Belongings;
use crate::engine::analytics::Analytics;
use crate::engine::changes::door::Door;
use crate::engine::changes::repeats::Repeats;
use crate::engine::jobs::Jobs;
use crate::engine::live::Live;
use crate::engine::operations::readiness::Readiness;
use crate::engine::operations::status::StatusDesk;
use crate::engine::platform::probe::Probes;
use crate::engine::rules::trials::Trials;
use crate::engine::webhooks::deliver::Outbox;
use crate::report::request::Request;
use crate::store::{Reader, StoredPlan};

pub use api::access::accounts::AccountShown;
pub use api::access::tokens::TokenShown;
pub use api::analytics::{AnalyticsRowShown, AnalyticsRowsShown, AnalyticsRunShown, AnalyticsRunsShown};
pub use api::webhooks::{AttemptShown, DeliveryShown, EndpointShown};
pub use auth::{Access, GroupRole, Proxy, Right, Tokens};
pub use problem::Code;
pub use role_table::role_table;
pub use routes::{IMPORTED_WITHIN, Listed, Needs, listed, router};
pub use serve::serve;
pub use tls::{Certificate, CertificateError, TlsFiles, follow_files};

/// Takes a schedule file in. Named here and made by `app`, since reading a file and writing a schedule are no business of a
/// request handler.
pub trait Imports: Send + Sync {
    /// Imports a file for a tenant; `name` is what people call it, `actor` who asks.
    fn import(&self, wanted: WantedImport) -> BoxFuture<Result<ImportAnswer, ImportError>>;

    /// Puts the shifts of one agent that begin on one day in place of those there are; gives the plan of the day as it is then.
    fn put(&self, wanted: PutShifts) -> BoxFuture<Result<Option<StoredPlan>, PutShiftsError>>;
}

/// The shifts of one agent that begin on one local day.
#[derive(Clone, Debug)]
pub struct DayOfShifts {
    /// Whose agent.
    pub tenant: TenantId,
    /// Whose shifts.
    pub agent: AgentId,
    /// The local day.
    pub day: Date,
    /// From its first instant to the first of the next day.
    pub span: (UtcMicros, UtcMicros),
    /// In order and without overlap; none for a day off.
    pub shifts: Vec<Shift>,
    /// Who asks.
    pub actor: String,
}

/// A look at what is in force: whether it is what the caller read.
pub type IsExpected = Box<dyn FnOnce(Option<StoredPlan>) -> Result<(), Problem> + Send>;

/// A day to be put, if what is in force is what the caller read.
pub struct PutShifts {
    /// The day.
    pub day: DayOfShifts,
    /// Asked while no other import can come between.
    pub is_expected: IsExpected,
}

/// Why a day was not put.
#[derive(Debug, thiserror::Error)]
pub enum PutShiftsError {
    /// The caller read another version.
    #[error("it was changed meanwhile")]
    NotExpected(Problem),
    /// A shift would lie over one of another day.
    #[error("the shift from {start} overlaps the one of another day from {other} to {until}; change that day first")]
    Overlaps {
        /// Of the shift that was to be put.
        start: UtcMicros,
        /// Of the other one.
        other: UtcMicros,
        /// Of the other one.
        until: UtcMicros,
    },
    /// No schedule ever named the agent, and nobody ever saw one.
    #[error("nothing is known of agent {0} yet; import a schedule that names the agent")]
    NoAgent(AgentId),
    /// What is in force could not be read.
    #[error("the schedule in force could not be read; nothing was changed")]
    Read(#[source] crate::store::ReadError),
    /// The store did not take it.
    #[error("the shifts could not be stored; nothing was changed")]
    Store(#[source] crate::store::CommitError),
}

/// A file to import.
#[derive(Clone, Debug)]
pub struct WantedImport {
    /// For whom.
    pub tenant: TenantId,
    /// The file's name.
    pub name: String,
    /// Its content.
    pub bytes: Arc<[u8]>,
    /// Whole weeks to move every local date by.
    pub move_weeks: i32,
    /// The file is the whole schedule of its days: agents whom it does not name have no shift on them.
    pub whole: bool,
    /// Who asks.
    pub actor: String,
}

/// What an import did.
#[derive(Clone, PartialEq, Debug, Serialize, serde::Deserialize, ToSchema)]
pub struct ImportAnswer {
    /// For whom.
    pub tenant: TenantId,
    /// In force as this version.
    pub version: u64,
    /// False when the very same schedule was in force already.
    pub changed: bool,
    /// Agents that the file names.
    pub agents: usize,
    /// Agents whom it does not name and who are off on its days now, since it is the whole schedule of them.
    #[serde(default)]
    pub others_off: usize,
    /// Shifts in it.
    pub shifts: usize,
    /// Its rows.
    pub rows: usize,
    /// The first day that it speaks for.
    pub first_day: String,
    /// The last.
    pub last_day: String,
    /// What is odd about it and was taken all the same.
    pub warnings: Vec<String>,
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file has faults; all of them, by line.
    #[error("{name} is not imported, and nothing was changed: {}", count(*.faults, "fault"))]
    Refused {
        /// The file's name.
        name: String,
        /// How many there are.
        faults: usize,
        /// The first of them, by line.
        complaints: Vec<Complaint>,
    },
    /// What is in force could not be read.
    #[error("the schedule in force could not be read; nothing was changed")]
    Read(#[source] crate::store::ReadError),
    /// The store did not take it.
    #[error("the schedule could not be stored; nothing was changed")]
    Store(#[source] crate::store::CommitError),
}

/// Makes files of reports. Named here and made by `app`, since files and folders are no business of a request handler.
pub trait Reporting: Send + Sync {
    /// Takes a report in; it is made when its turn comes.
    fn ask(&self, wanted: WantedReport) -> BoxFuture<Result<ReportRun, ReportRefused>>;

    /// Calls one off; one that has ended stays as it is. `None` where there is none.
    fn cancel(&self, tenant: TenantId, id: ReportRunId) -> BoxFuture<Result<Option<ReportRun>, ReportRefused>>;

    /// The rows that a running one has so far; `None` where it does not run.
    fn rows_so_far(&self, id: ReportRunId) -> Option<u64>;
}

/// A report that somebody wants.
#[derive(Clone, PartialEq, Debug)]
pub struct WantedReport {
    /// Of what, whom and when.
    pub request: Request,
    /// The format of its file.
    pub format: Format,
    /// The section, where the format holds one; the main one where none is named.
    pub section: Option<String>,
    /// Who asks, as audit entries have it.
    pub actor: String,
}

/// Why a report was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum ReportRefused {
    /// It cannot be answered; says why and what to do.
    #[error("{0}")]
    Request(String),
    /// As many as may be wait or run.
    #[error("{0} reports of this tenant wait or run, which is the most: cancel one, or wait for one to end")]
    TooMany(usize),
    /// The daemon does not know where files go.
    #[error(
        "the daemon has no folder for reports: name one as [reports] folder, or write the file with `shiftkeeper report`"
    )]
    NoFolder,
    /// What there is could not be read.
    #[error("the reports could not be read")]
    Read(#[source] crate::store::ReadError),
    /// The store did not take it.
    #[error("the report could not be recorded; nothing was changed")]
    Store(#[source] crate::store::CommitError),
}

/// Puts new signing keys in the place of old ones. Named here and made by `app`, since files and the configuration are no business
/// of a request handler.
pub trait Rotations: Send + Sync {
    /// Changes the key of an endpoint.
    fn rotate(&self, wanted: WantedRotation) -> BoxFuture<Result<Rotated, RotateRefused>>;
}

/// A key to be changed.
#[derive(Clone, Debug)]
pub struct WantedRotation {
    /// Of this endpoint.
    pub id: EndpointId,
    /// In whose audit chain it stands.
    pub tenant: TenantId,
    /// The old key is known to others: it stops at once.
    pub drop_old: bool,
    /// Who asks.
    pub actor: String,
}

/// A key that was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rotated {
    /// Until when the old one signs beside it.
    pub previous_until: Option<UtcMicros>,
    /// The daemon signs with the new one; else it will once it has read its configuration again.
    pub in_force: bool,
}

/// Why a key was not changed.
#[derive(Debug, thiserror::Error)]
pub enum RotateRefused {
    /// No such endpoint in the configuration.
    #[error("the configuration has no such webhook")]
    Unknown,
    /// The daemon cannot change it: what to do.
    #[error("{0}")]
    NotHere(String),
    /// It was changed less than a day ago.
    #[error(
        "the key was changed less than a day ago, and receivers may know only the one before, which signs until {0}: wait \
         until then, or drop it (`drop_old`)"
    )]
    Lately(UtcMicros),
    /// The store does not take the entry of it.
    #[error("it could not be recorded, and the key was not changed or its change is not told of")]
    Store(#[source] crate::store::CommitError),
}

/// What the handlers share. Cheap to clone: every route has some copies of it.
#[derive(Clone)]
pub struct ApiState(Arc<Shared>);

impl Deref for ApiState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// What is behind an [`ApiState`].
pub struct Shared {
    tokens: watch::Receiver<Arc<Tokens>>,
    accounts: Accounts,
    door: Door,
    boards: Boards,
    reader: Reader,
    readiness: Readiness,
    imports: Arc<dyn Imports>,
    jobs: Jobs,
    outbox: Outbox,
    probes: Probes,
    repeats: Repeats<Problem>,
    live: Live,
    status: StatusDesk,
    trials: Trials,
    metrics_open: bool,
    audit_keys: Arc<[PublicKey]>,
    rotations: Arc<dyn Rotations>,
    reports: Arc<dyn Reporting>,
    analytics: Analytics,
    belongings: Arc<dyn Belongings>,
    /// A check of a chain reads all of it: one at a time.
    verifying: Arc<Semaphore>,
}

/// What the HTTP face is made of.
pub struct ApiParts {
    /// Who may do what; a reload may change it.
    pub tokens: watch::Receiver<Arc<Tokens>>,
    /// Accounts, stored tokens and sessions.
    pub accounts: Accounts,
    /// The way in for changes.
    pub door: Door,
    /// The store.
    pub reader: Reader,
    /// What is ready.
    pub readiness: Readiness,
    /// Takes schedule files in.
    pub imports: Arc<dyn Imports>,
    /// The jobs of the calendar.
    pub jobs: Jobs,
    /// The way in for what people ask of webhooks.
    pub outbox: Outbox,
    /// Asks the platforms whether they answer.
    pub probes: Probes,
    /// Carries out once what comes under one key.
    pub repeats: Repeats<Problem>,
    /// The live picture.
    pub live: Live,
    /// Takes looks at the daemon.
    pub status: StatusDesk,
    /// Rules tried over history.
    pub trials: Trials,
    /// `/metrics` takes no token.
    pub metrics_open: bool,
    /// The public keys that audit heads must be signed with: the daemon's own, and those before it.
    pub audit_keys: Arc<[PublicKey]>,
    /// Changes the keys of webhooks.
    pub rotations: Arc<dyn Rotations>,
    /// Makes files of reports.
    pub reports: Arc<dyn Reporting>,
    /// Runs of analytics queries.
    pub analytics: Analytics,
    /// What is kept of agents outside the store.
    pub belongings: Arc<dyn Belongings>,
}

impl ApiState {
    /// Ready to serve.
    pub fn new(parts: ApiParts) -> Self {
        Self(Arc::new(Shared {
            tokens: parts.tokens,
            accounts: parts.accounts,
            boards: Boards::new(parts.door.tenants().clone()),
            door: parts.door,
            reader: parts.reader,
            readiness: parts.readiness,
            imports: parts.imports,
            jobs: parts.jobs,
            outbox: parts.outbox,
            probes: parts.probes,
            repeats: parts.repeats,
            live: parts.live,
            status: parts.status,
            trials: parts.trials,
            metrics_open: parts.metrics_open,
            audit_keys: parts.audit_keys,
            rotations: parts.rotations,
            reports: parts.reports,
            analytics: parts.analytics,
            belongings: parts.belongings,
            verifying: Arc::new(Semaphore::new(1)),
        }))
    }
}

/// The file's own name, without the folders that it lies in.
pub fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
