//! The HTTP server: the API under `/api/v1`, the console, and the health checks.
//!
//! It asks the engine through its handles and reads the store. It decides nothing and never writes to the store itself.

pub mod auth;
pub mod problem;

mod api;
mod authorized_request;
mod console;
mod etag;
mod extract;
mod guard;
mod idempotency;
mod live_stream;
mod metrics;
mod openapi;
mod role_table;
mod routes;
mod serve;
mod sign_in;
mod stall;
mod tls;

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
use crate::domain::reports::report_run::{ReportFormat, ReportRun};
use crate::domain::schedules::import::ImportDiagnostic;
use crate::domain::schedules::schedule::Shift;
use crate::domain::time::UtcMicros;
use crate::domain::wording::count_with_noun;
use crate::engine::access::accounts::Accounts;
use crate::engine::agents::agent_list_cache::AgentListCache;
use crate::engine::agents::erasure::AgentFiles;
use crate::engine::analytics::Analytics;
use crate::engine::changes::idempotency::IdempotentRequests;
use crate::engine::changes::keeper_handle::KeeperHandle;
use crate::engine::jobs::Jobs;
use crate::engine::live::Live;
use crate::engine::operations::readiness::Readiness;
use crate::engine::operations::status::StatusService;
use crate::engine::platform::probe::Probes;
use crate::engine::rules::backtests::Backtests;
use crate::engine::webhooks::deliver::Outbox;
use crate::report::request::Request;
use crate::store::{Reader, StoredPlan};

pub use api::access::accounts::AccountResponse;
pub use api::access::tokens::TokenResponse;
pub use api::analytics::{AnalyticsRowResponse, AnalyticsRowsResponse, AnalyticsRunResponse, AnalyticsRunsResponse};
pub use api::webhooks::{DeliveryAttemptResponse, DeliveryResponse, EndpointResponse};
pub use auth::{ConfiguredAccess, ConfiguredToken, GroupRole, Right, TrustedProxy};
pub use problem::Code;
pub use role_table::role_table_markdown;
pub use routes::{AccessRequirement, LONG_TIMEOUT, RouteInfo, list_routes, router};
pub use serve::serve;
pub use tls::{Certificate, CertificateError, TlsFiles, watch_files};

/// Imports schedule files and replaces days of a schedule.
///
/// Defined here and implemented by `app`, because a request handler should neither read files nor write schedules.
pub trait ScheduleImporter: Send + Sync {
    /// Imports a schedule file for a tenant.
    fn import(&self, request: ImportRequest) -> BoxFuture<Result<ImportResult, ImportError>>;

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
    #[error("it was changed meanwhile")]
    ChangedMeanwhile(Problem),
    /// A shift would overlap a shift of another day.
    #[error("the shift from {start} overlaps the one of another day from {other} to {until}; change that day first")]
    Overlaps {
        /// When the new shift starts.
        start: UtcMicros,
        /// When the other shift starts.
        other: UtcMicros,
        /// When the other shift ends.
        until: UtcMicros,
    },
    /// The agent is unknown: no schedule named the agent, and no snapshot showed the agent.
    #[error("nothing is known of agent {0} yet; import a schedule that names the agent")]
    NoAgent(AgentId),
    /// The schedule in force could not be read.
    #[error("the schedule in force could not be read; nothing was changed")]
    Read(#[source] crate::store::ReadError),
    /// The store did not accept the shifts.
    #[error("the shifts could not be stored; nothing was changed")]
    Store(#[source] crate::store::CommitError),
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
    /// The number of whole weeks by which every local date is moved.
    pub move_weeks: i32,
    /// Whether the file is the complete schedule of its days: agents whom it does not name then have no shift on them.
    pub is_complete: bool,
    /// Who makes the request.
    pub actor: String,
}

/// What an import did.
#[derive(Clone, PartialEq, Debug, Serialize, serde::Deserialize, ToSchema)]
pub struct ImportResult {
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

/// Why a schedule file was not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file has faults.
    #[error("{name} is not imported, and nothing was changed: {}", count_with_noun(*.faults, "fault"))]
    Refused {
        /// The file's name.
        name: String,
        /// The number of faults.
        faults: usize,
        /// The first faults, in the order of their lines.
        diagnostics: Vec<ImportDiagnostic>,
    },
    /// The schedule in force could not be read.
    #[error("the schedule in force could not be read; nothing was changed")]
    Read(#[source] crate::store::ReadError),
    /// The store did not accept the schedule.
    #[error("the schedule could not be stored; nothing was changed")]
    Store(#[source] crate::store::CommitError),
}

/// Makes report files.
///
/// Defined here and implemented by `app`, because a request handler should not deal with files and folders.
pub trait ReportService: Send + Sync {
    /// Queues a report; it is made when its turn comes.
    fn request_report(&self, request: ReportRequest) -> BoxFuture<Result<ReportRun, ReportRequestError>>;

    /// Cancels a report and returns it. A report that has ended is returned unchanged. Returns `None` if there is no
    /// such report.
    fn cancel_report(
        &self,
        tenant: TenantId,
        id: ReportRunId,
    ) -> BoxFuture<Result<Option<ReportRun>, ReportRequestError>>;

    /// Returns the number of rows that a running report has so far, or `None` if it is not running.
    fn rows_so_far(&self, id: ReportRunId) -> Option<u64>;
}

/// A request for a report file.
#[derive(Clone, PartialEq, Debug)]
pub struct ReportRequest {
    /// What to report, for which tenant and agents, and over which time.
    pub request: Request,
    /// The format of the file.
    pub format: ReportFormat,
    /// The section to write if the format holds only one; the main section if `None`.
    pub section: Option<String>,
    /// Who makes the request, as the audit log names them.
    pub actor: String,
}

/// Why a report was not queued.
#[derive(Debug, thiserror::Error)]
pub enum ReportRequestError {
    /// The request is not valid; the text says why and what to do.
    #[error("{0}")]
    InvalidRequest(String),
    /// The maximum number of reports of the tenant is already queued or running.
    #[error("{0} reports of this tenant wait or run, which is the most: cancel one, or wait for one to end")]
    TooMany(usize),
    /// The daemon has no folder for report files.
    #[error(
        "the daemon has no folder for reports: name one as [reports] folder, or write the file with `shiftkeeper report`"
    )]
    NoFolder,
    /// The existing reports could not be read.
    #[error("the reports could not be read")]
    Read(#[source] crate::store::ReadError),
    /// The store did not accept the report.
    #[error("the report could not be recorded; nothing was changed")]
    Store(#[source] crate::store::CommitError),
}

/// Replaces the signing keys of webhook endpoints.
///
/// Defined here and implemented by `app`, because a request handler should not deal with files and the configuration.
pub trait KeyRotator: Send + Sync {
    /// Replaces the signing key of an endpoint.
    fn rotate(&self, request: KeyRotationRequest) -> BoxFuture<Result<KeyRotation, KeyRotationError>>;
}

/// A request to replace a signing key.
#[derive(Clone, Debug)]
pub struct KeyRotationRequest {
    /// The endpoint whose key is replaced.
    pub id: EndpointId,
    /// The tenant in whose audit log the change is recorded.
    pub tenant: TenantId,
    /// Whether the old key stops signing at once, because others may know it.
    pub drop_old: bool,
    /// Who makes the request.
    pub actor: String,
}

/// A signing key that was replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyRotation {
    /// Until when the old key signs alongside the new one; `None` if it no longer does.
    pub previous_until: Option<UtcMicros>,
    /// Whether the daemon already signs with the new key; if not, it does so after reloading its configuration.
    pub in_force: bool,
}

/// Why a signing key was not replaced.
#[derive(Debug, thiserror::Error)]
pub enum KeyRotationError {
    /// The configuration has no such endpoint.
    #[error("the configuration has no such webhook")]
    UnknownEndpoint,
    /// The daemon cannot replace the key; the text says what to do.
    #[error("{0}")]
    NotRotatable(String),
    /// The key was replaced less than a day ago.
    #[error(
        "the key was changed less than a day ago, and receivers may know only the one before, which signs until {0}: wait \
         until then, or drop it (`drop_old`)"
    )]
    TooSoon(UtcMicros),
    /// The store did not accept the audit entry.
    #[error("it could not be recorded, and the key was not changed or its change is not told of")]
    Store(#[source] crate::store::CommitError),
}

/// The state that all handlers share. It is cheap to clone, because every route holds several copies.
#[derive(Clone)]
pub struct ApiState(Arc<SharedState>);

impl Deref for ApiState {
    type Target = SharedState;

    fn deref(&self) -> &SharedState {
        &self.0
    }
}

/// The content of an [`ApiState`].
pub struct SharedState {
    tokens: watch::Receiver<Arc<ConfiguredAccess>>,
    accounts: Accounts,
    keepers: KeeperHandle,
    boards: AgentListCache,
    reader: Reader,
    readiness: Readiness,
    importer: Arc<dyn ScheduleImporter>,
    jobs: Jobs,
    outbox: Outbox,
    probes: Probes,
    idempotency: IdempotentRequests<Problem>,
    live: Live,
    status: StatusService,
    backtests: Backtests,
    metrics_open: bool,
    audit_keys: Arc<[PublicKey]>,
    key_rotator: Arc<dyn KeyRotator>,
    reports: Arc<dyn ReportService>,
    analytics: Analytics,
    tenant_resources: Arc<dyn AgentFiles>,
    /// Allows one check of an audit chain at a time, because a check reads the whole chain.
    verification_slot: Arc<Semaphore>,
}

/// The services that the HTTP server uses.
pub struct ApiServices {
    /// The configured tokens and the trusted proxy; a reload of the configuration may change them.
    pub tokens: watch::Receiver<Arc<ConfiguredAccess>>,
    /// Accounts, stored tokens and sessions.
    pub accounts: Accounts,
    /// The keepers, which make all state changes.
    pub keepers: KeeperHandle,
    /// Reads the store.
    pub reader: Reader,
    /// Which parts of the daemon are ready.
    pub readiness: Readiness,
    /// Imports schedule files.
    pub importer: Arc<dyn ScheduleImporter>,
    /// The scheduled jobs.
    pub jobs: Jobs,
    /// Webhook deliveries, for people's requests about them.
    pub outbox: Outbox,
    /// Checks whether the platforms answer.
    pub probes: Probes,
    /// Carries out each request with an idempotency key only once.
    pub idempotency: IdempotentRequests<Problem>,
    /// The live view.
    pub live: Live,
    /// Collects the status of the daemon.
    pub status: StatusService,
    /// Rules run over stored history.
    pub backtests: Backtests,
    /// Whether `/metrics` can be read without a token.
    pub metrics_open: bool,
    /// The public keys that signed heads of audit logs may carry: the daemon's own and its earlier ones.
    pub audit_keys: Arc<[PublicKey]>,
    /// Replaces the signing keys of webhooks.
    pub key_rotator: Arc<dyn KeyRotator>,
    /// Makes report files.
    pub reports: Arc<dyn ReportService>,
    /// Runs of analytics queries.
    pub analytics: Analytics,
    /// Data about agents that is kept outside the store.
    pub tenant_resources: Arc<dyn AgentFiles>,
}

impl ApiState {
    /// Creates the state from the services.
    pub fn new(services: ApiServices) -> Self {
        Self(Arc::new(SharedState {
            tokens: services.tokens,
            accounts: services.accounts,
            boards: AgentListCache::new(services.keepers.tenants().clone()),
            keepers: services.keepers,
            reader: services.reader,
            readiness: services.readiness,
            importer: services.importer,
            jobs: services.jobs,
            outbox: services.outbox,
            probes: services.probes,
            idempotency: services.idempotency,
            live: services.live,
            status: services.status,
            backtests: services.backtests,
            metrics_open: services.metrics_open,
            audit_keys: services.audit_keys,
            key_rotator: services.key_rotator,
            reports: services.reports,
            analytics: services.analytics,
            tenant_resources: services.tenant_resources,
            verification_slot: Arc::new(Semaphore::new(1)),
        }))
    }
}

/// Returns the name of a file without its folders.
pub fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
