//! What a watchdog asks: whether the process lives, and whether it is ready.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::engine::readiness::Report;
use crate::http::ApiState;

/// The process runs and answers. Says nothing of the platform: its outage is no reason to restart this.
pub(in crate::http) async fn alive() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// What is ready and what is not, and since when. 503 when the daemon itself is not; a platform that does not answer makes it
/// `degraded`, with 200, since it goes on serving.
pub(in crate::http) async fn ready(State(state): State<ApiState>) -> (StatusCode, Json<Report>) {
    let report = state.readiness.report();
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report))
}
