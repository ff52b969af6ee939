//! The versions of the schedule: list them, and undo one.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::edits::{change_problem, checked_hash};
use crate::domain::ids::TenantId;
use crate::http::auth::{Caller, Right};
use crate::http::problem::Problem;
use crate::http::request::authorized_request::{AuthorizedRequest, has_tenant};
use crate::http::request::extract::{Path, Query};
use crate::http::request::idempotency::{IdempotencyKeyHeader, run_once};
use crate::http::services::schedule_changes::{
    AppliedScheduleChange, ScheduleChange, ScheduleChangeRequest, ScheduleCheck, ScheduleVersionSummary,
};
use crate::http::state::ApiState;
use crate::store::ScheduleVersion;

/// The number of versions of a page, unless the query names another one.
const DEFAULT_LIMIT: u32 = 20;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct VersionsQuery {
    /// The id of the tenant.
    tenant: TenantId,
    /// Only versions before this one.
    before: Option<u64>,
    /// The number of versions; 20 by default, 100 at most.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// Versions of the schedule.
#[derive(Serialize, Deserialize, ToSchema)]
pub(in crate::http) struct ScheduleVersionsResponse {
    /// The versions, newest first.
    pub(in crate::http) versions: Vec<ScheduleVersionSummary>,
}

/// List the versions of the schedule
///
/// Each import, and each change on the schedule board, makes a version.
#[utoipa::path(
    get,
    path = "/api/v1/schedule-versions",
    tag = "shifts",
    operation_id = "list_schedule_versions",
    params(VersionsQuery),
    responses((status = 200, description = "The versions.", body = ScheduleVersionsResponse))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<VersionsQuery>,
) -> Result<Json<ScheduleVersionsResponse>, Problem> {
    caller.check(&state, Right::Read, &query.tenant)?;
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, 100);
    let versions = state.reader.schedule_versions(&query.tenant, query.before, limit).await?;
    let versions = versions.into_iter().map(ScheduleVersionSummary::from).collect();
    Ok(Json(ScheduleVersionsResponse { versions }))
}

impl From<ScheduleVersion> for ScheduleVersionSummary {
    fn from(version: ScheduleVersion) -> Self {
        Self {
            version: version.version,
            name: version.name,
            actor: version.actor,
            at: version.imported_at,
            from: version.covers.start,
            to: version.covers.end,
            agents: version.agents,
            shifts: version.shifts,
        }
    }
}

/// A request to undo a version.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct UndoVersionBody {
    /// The id of the tenant.
    tenant: TenantId,
    /// The hash of the check; needed to undo the version.
    #[serde(default)]
    hash: Option<String>,
}

has_tenant!(UndoVersionBody);

/// Check the undo of a version
///
/// Returns what the undo of a version of the schedule would change. Agents whose days a later version changed again are
/// left out. Nothing changes.
#[utoipa::path(
    post,
    path = "/api/v1/schedule-versions/{version}/undo/check",
    tag = "shifts",
    operation_id = "check_schedule_undo",
    params(("version" = u64, Path, description = "The version.")),
    request_body = UndoVersionBody,
    responses((status = 200, description = "The changes.", body = ScheduleCheck))
)]
pub(in crate::http) async fn check_undo(
    State(state): State<ApiState>,
    Path(version): Path<u64>,
    AuthorizedRequest { caller, tenant, .. }: AuthorizedRequest<UndoVersionBody>,
) -> Result<Json<ScheduleCheck>, Problem> {
    let request = undo_request(&state, &caller, tenant, version)?;
    Ok(Json(state.importer.check_change(request).await.map_err(change_problem)?))
}

/// Undo a version
///
/// Restores the schedule from before a version, as the check showed it: `hash` is the check's. This makes a new version,
/// which can be undone too.
#[utoipa::path(
    post,
    path = "/api/v1/schedule-versions/{version}/undo",
    tag = "shifts",
    operation_id = "undo_schedule_version",
    params(("version" = u64, Path, description = "The version."), IdempotencyKeyHeader),
    request_body = UndoVersionBody,
    responses((status = 200, description = "The schedule is in force.", body = AppliedScheduleChange))
)]
pub(in crate::http) async fn undo(
    State(state): State<ApiState>,
    Path(version): Path<u64>,
    AuthorizedRequest { caller, tenant, body, key }: AuthorizedRequest<UndoVersionBody>,
) -> Result<Response, Problem> {
    let request = undo_request(&state, &caller, tenant.clone(), version)?;
    let hash = checked_hash(body.hash)?;
    let importer = state.importer.clone();
    let work = async move { importer.apply_change(request, hash).await.map_err(change_problem) };
    run_once(&state, &caller, Some(&tenant), key, StatusCode::OK, work).await
}

fn undo_request(
    state: &ApiState,
    caller: &Caller,
    tenant: TenantId,
    version: u64,
) -> Result<ScheduleChangeRequest, Problem> {
    caller.check_all_teams(state, Right::Import, &tenant)?;
    let change = ScheduleChange::Undo { version };
    Ok(ScheduleChangeRequest { tenant, change, actor: format!("person:{}", caller.id()) })
}
