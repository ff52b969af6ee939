//! The sources of schedules: when each was tried, and how old its last good version is.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::ids::TenantId;
use crate::engine::jobs::sources::ScheduleSourceView;
use crate::http::auth::{Caller, Right};
use crate::http::problem::Problem;
use crate::http::request::extract::Query;
use crate::http::state::ApiState;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct SourcesQuery {
    /// The id of the tenant.
    tenant: TenantId,
}

/// The sources of a tenant's schedule.
#[derive(Serialize, Deserialize, ToSchema)]
pub(in crate::http) struct ScheduleSourcesResponse {
    /// The sources, the folder first.
    sources: Vec<ScheduleSourceView>,
}

/// List the sources of the schedule
///
/// Returns the tenant's folder and the addresses from which schedule files are fetched, with the age of the last good
/// version of each.
#[utoipa::path(
    get,
    path = "/api/v1/schedule-sources",
    tag = "shifts",
    operation_id = "list_schedule_sources",
    params(SourcesQuery),
    responses((status = 200, description = "The sources.", body = ScheduleSourcesResponse))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<SourcesQuery>,
) -> Result<Json<ScheduleSourcesResponse>, Problem> {
    caller.check(&state, Right::Read, &query.tenant)?;
    Ok(Json(ScheduleSourcesResponse { sources: state.jobs.sources(&state.reader, &query.tenant).await? }))
}
