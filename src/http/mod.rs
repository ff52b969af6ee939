//! The HTTP face: the API under `/api/v1`, and what a watchdog asks.
//!
//! It asks the engine through its door and reads the store; it decides nothing, and it never writes.

pub mod auth;
pub mod problem;

mod api;
mod serve;

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use serde::Serialize;

use self::auth::Tokens;
use crate::clock::BoxFuture;
use crate::domain::ids::TenantId;
use crate::domain::import::Complaint;
use crate::engine::deliver::Outbox;
use crate::engine::door::Door;
use crate::engine::readiness::Readiness;
use crate::store::Reader;

pub use api::webhooks::{attempt as attempt_shape, delivery as delivery_shape, endpoint as endpoint_shape};
pub use auth::{Access, Right};
pub use serve::serve;

/// The largest request body but for imports.
const BODY_LIMIT: usize = 1024 * 1024;

/// The largest schedule file that is taken in.
const IMPORT_LIMIT: usize = 64 * 1024 * 1024;

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
    /// Who asks.
    pub actor: String,
}

/// What an import did.
#[derive(Clone, PartialEq, Debug, Serialize, serde::Deserialize)]
pub struct ImportAnswer {
    /// For whom.
    pub tenant: TenantId,
    /// In force as this version.
    pub version: u64,
    /// False when the very same schedule was in force already.
    pub changed: bool,
    /// Agents that the file names.
    pub agents: usize,
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
    #[error("{name} is not imported, and nothing was changed: {} fault(s)", .faults)]
    Refused {
        /// The file's name.
        name: String,
        /// How many there are.
        faults: usize,
        /// The first of them, by line.
        complaints: Vec<Complaint>,
    },
    /// The store did not take it.
    #[error("the schedule could not be stored; nothing was changed")]
    Store(#[source] crate::store::CommitError),
}

/// What the handlers share. Cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    tokens: Arc<Tokens>,
    door: Door,
    reader: Reader,
    readiness: Readiness,
    imports: Arc<dyn Imports>,
    outbox: Outbox,
}

/// What the HTTP face is made of.
pub struct ApiParts {
    /// Who may do what.
    pub tokens: Vec<Access>,
    /// The way in for changes.
    pub door: Door,
    /// The store.
    pub reader: Reader,
    /// What is ready.
    pub readiness: Readiness,
    /// Takes schedule files in.
    pub imports: Arc<dyn Imports>,
    /// The way in for what people ask of webhooks.
    pub outbox: Outbox,
}

impl ApiState {
    /// Ready to serve.
    pub fn new(parts: ApiParts) -> Self {
        Self {
            tokens: Arc::new(Tokens::new(parts.tokens)),
            door: parts.door,
            reader: parts.reader,
            readiness: parts.readiness,
            imports: parts.imports,
            outbox: parts.outbox,
        }
    }
}

fn router(state: ApiState) -> Router {
    let imports = Router::new()
        .route("/api/v1/schedule-imports", post(api::imports::create))
        .layer(DefaultBodyLimit::max(IMPORT_LIMIT));
    Router::new()
        .route("/healthz", get(api::health::alive))
        .route("/readyz", get(api::health::ready))
        .route("/api/v1/transitions", post(api::transitions::create).get(api::transitions::list))
        .route("/api/v1/transitions/{id}", get(api::transitions::show))
        .route("/api/v1/transitions/{id}/cancel", post(api::transitions::cancel))
        .route("/api/v1/webhooks", get(api::webhooks::list))
        .route("/api/v1/webhooks/{id}/deliveries", get(api::webhooks::deliveries))
        .route("/api/v1/webhooks/{id}/retry", post(api::webhooks::retry))
        .route("/api/v1/webhooks/{id}/recover", post(api::webhooks::recover))
        .route("/api/v1/webhooks/{id}/test", post(api::webhooks::test))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .merge(imports)
        .fallback(problem::no_such_place)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(tower_http::catch_panic::CatchPanicLayer::custom(problem::panicked))
        .with_state(state)
}

/// The file's own name, without the folders that it lies in.
pub fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
