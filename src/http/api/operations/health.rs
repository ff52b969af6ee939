//! Health checks: whether the process is alive, and whether it is ready.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::operations::readiness::Report;
use crate::http::state::ApiState;

/// The response of a running process.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct LivenessResponse {
    /// Always `ok`.
    status: &'static str,
}

/// Check whether the process runs
///
/// Does not check the platform: an outage of the platform is no reason to restart the daemon.
#[utoipa::path(get, path = "/healthz", tag = "daemon", responses((status = 200, description = "The process runs.", body = LivenessResponse)))]
pub(in crate::http) async fn alive() -> Json<LivenessResponse> {
    Json(LivenessResponse { status: "ok" })
}

/// Check whether the daemon is ready
///
/// Returns each part of the daemon, whether it is ready, and since when. The response is 503 if the daemon itself is
/// not ready. If only a platform does not answer, the daemon keeps serving: the response is 200 with the status
/// `degraded`.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "daemon",
    operation_id = "show_readiness",
    responses(
        (status = 200, description = "The daemon is ready, or degraded by an external fault.", body = Report),
        (status = 503, description = "The daemon itself is not ready.", body = Report)
    )
)]
pub(in crate::http) async fn ready(State(state): State<ApiState>) -> (StatusCode, Json<Report>) {
    let report = state.readiness.report();
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report))
}
