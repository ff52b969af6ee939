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

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use self::problem::Problem;
use crate::clock::BoxFuture;
use crate::domain::ids::TenantId;
use crate::domain::import::Complaint;
use crate::domain::words::count;
use crate::engine::accounts::Accounts;
use crate::engine::deliver::Outbox;
use crate::engine::door::Door;
use crate::engine::jobs::Jobs;
use crate::engine::live::Live;
use crate::engine::probe::Probes;
use crate::engine::readiness::Readiness;
use crate::engine::repeats::Repeats;
use crate::engine::status::StatusDesk;
use crate::store::Reader;

pub use api::accounts::AccountShown;
pub use api::tokens::TokenShown;
pub use api::webhooks::{AttemptShown, DeliveryShown, EndpointShown};
pub use auth::{Access, GroupRole, Proxy, Right, Tokens};
pub use problem::Code;
pub use role_table::role_table;
pub use routes::{IMPORTED_WITHIN, Listed, Needs, listed};
pub use serve::serve;
pub use tls::{Certificate, CertificateError, TlsFiles, follow_files};

/// Takes a schedule file in. Named here and made by `app`, since reading a file and writing a schedule are no business of a
/// request handler.
pub trait Imports: Send + Sync {
    /// Imports a file for a tenant; `name` is what people call it, `actor` who asks.
    fn import(&self, wanted: WantedImport) -> BoxFuture<Result<ImportAnswer, ImportError>>;
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

/// What the handlers share. Cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    tokens: watch::Receiver<Arc<Tokens>>,
    accounts: Accounts,
    door: Door,
    reader: Reader,
    readiness: Readiness,
    imports: Arc<dyn Imports>,
    jobs: Jobs,
    outbox: Outbox,
    probes: Probes,
    repeats: Repeats<Problem>,
    live: Live,
    status: StatusDesk,
    metrics_open: bool,
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
    /// `/metrics` takes no token.
    pub metrics_open: bool,
}

impl ApiState {
    /// Ready to serve.
    pub fn new(parts: ApiParts) -> Self {
        Self {
            tokens: parts.tokens,
            accounts: parts.accounts,
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
            metrics_open: parts.metrics_open,
        }
    }
}

/// The file's own name, without the folders that it lies in.
pub fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
