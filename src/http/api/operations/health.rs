//! Health checks: whether the process is alive, and whether it is ready.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::operations::readiness::Report;
use crate::http::state::ApiState;

/// A process that answers.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct LivenessResponse {
    /// `ok`.
    status: &'static str,
}

/// Whether the process runs
///
/// It says nothing of the platform: an outage of that is no reason to restart this.
#[utoipa::path(get, path = "/healthz", tag = "daemon", responses((status = 200, description = "it runs", body = LivenessResponse)))]
pub(in crate::http) async fn alive() -> Json<LivenessResponse> {
    Json(LivenessResponse { status: "ok" })
}

/// What is ready and what is not, and since when
///
/// 503 when the daemon itself is not; a platform that does not answer makes it `degraded`, with 200, since it goes on serving.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "daemon",
    operation_id = "show_readiness",
    responses(
        (status = 200, description = "ready, or degraded by what is outside", body = Report),
        (status = 503, description = "the daemon itself is not ready", body = Report)
    )
)]
pub(in crate::http) async fn ready(State(state): State<ApiState>) -> (StatusCode, Json<Report>) {
    let report = state.readiness.report();
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report))
}
