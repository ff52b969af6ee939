//! The HTTP face: the API under `/api/v1`, and what a watchdog asks.
//!
//! It asks the engine through its door and reads the store; it decides nothing, and it never writes.

pub mod auth;
pub mod problem;

mod api;
mod live;
mod metrics;
mod request_key;
mod serve;
mod stall;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::map_response;
use axum::routing::{get, post};
use serde::Serialize;
use tokio::sync::watch;
use tower_http::timeout::TimeoutLayer;

use self::problem::Problem;
use crate::clock::BoxFuture;
use crate::domain::ids::TenantId;
use crate::domain::import::{Complaint, LARGEST_FILE};
use crate::domain::words::count;
use crate::engine::deliver::Outbox;
use crate::engine::door::Door;
use crate::engine::jobs::Jobs;
use crate::engine::live::Live;
use crate::engine::probe::Probes;
use crate::engine::readiness::Readiness;
use crate::engine::repeats::Repeats;
use crate::engine::status::StatusDesk;
use crate::store::Reader;

pub use api::webhooks::{attempt as attempt_shape, delivery as delivery_shape, endpoint as endpoint_shape};
pub use auth::{Access, Right, Tokens};
pub use serve::serve;

/// The largest request body but for imports.
const BODY_LIMIT: usize = 1024 * 1024;

/// A request is answered within this, or ended with 408.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);

/// The same for an import: a large schedule takes its time to be read and stored.
pub const IMPORTED_WITHIN: Duration = Duration::from_secs(300);

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

fn router(state: ApiState) -> Router {
    let imports = Router::new().route("/api/v1/schedule-imports", post(api::imports::create));
    let others = Router::new()
        .route("/healthz", get(api::health::alive))
        .route("/readyz", get(api::health::ready))
        .route("/metrics", get(metrics::show))
        .route("/api/v1/status", get(api::status::show))
        .route("/api/v1/transitions", post(api::transitions::create).get(api::transitions::list))
        .route("/api/v1/transitions/{id}", get(api::transitions::show))
        .route("/api/v1/transitions/{id}/cancel", post(api::transitions::cancel))
        .route("/api/v1/platform-checks", post(api::platform_checks::create))
        .route("/api/v1/jobs", get(api::jobs::list))
        .route("/api/v1/jobs/{id}/runs", get(api::jobs::runs))
        .route("/api/v1/jobs/{id}/run", post(api::jobs::run))
        .route("/api/v1/webhooks", get(api::webhooks::list))
        .route("/api/v1/webhooks/{id}/deliveries", get(api::webhooks::deliveries))
        .route("/api/v1/webhooks/{id}/retry", post(api::webhooks::retry))
        .route("/api/v1/webhooks/{id}/recover", post(api::webhooks::recover))
        .route("/api/v1/webhooks/{id}/test", post(api::webhooks::test));
    // They last; what limits them stands in `live` and `stall`.
    let lasting = Router::new().route("/live", get(live::socket)).route("/live/events", get(live::events));
    limited(others, BODY_LIMIT, ANSWERED_WITHIN)
        .merge(limited(imports, LARGEST_FILE, IMPORTED_WITHIN))
        .merge(lasting)
        .fallback(problem::no_such_place)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(tower_http::catch_panic::CatchPanicLayer::custom(problem::panicked))
        .with_state(state)
}

/// Routes whose requests may be so large and take so long.
fn limited<S>(routes: Router<S>, body_bytes: usize, within: Duration) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    routes
        .layer(DefaultBodyLimit::max(body_bytes))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, within))
        .layer(map_response(problem::ended))
}

/// The file's own name, without the folders that it lies in.
pub fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Request, header};
    use serde_json::{Value, json};
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_request_that_is_not_answered_in_time_ends_with_a_problem_document() {
        let routes = Router::new().route("/", get(std::future::pending::<()>));
        let request = Request::get("/").body(Body::empty()).expect("a request");
        let answered = limited(routes, BODY_LIMIT, Duration::from_millis(1)).oneshot(request).await.expect("an answer");
        assert_eq!(answered.status(), StatusCode::REQUEST_TIMEOUT);
        assert_eq!(answered.headers()[header::CONTENT_TYPE], "application/problem+json");
        let body = axum::body::to_bytes(answered.into_body(), BODY_LIMIT).await.expect("a body");
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!((&body["code"], &body["status"]), (&json!("not_in_time"), &json!(408)));
    }
}
