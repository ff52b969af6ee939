//! The status of the daemon in one document, which `shiftkeeper status` prints.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::domain::ids::TenantId;
use crate::engine::operations::status::Status;
use crate::http::auth::{Caller, Right};
use crate::http::problem::Problem;
use crate::http::request::extract::Query;
use crate::http::state::ApiState;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct StatusQuery {
    /// The id of a tenant. By default all accessible tenants are included.
    tenant: Option<TenantId>,
}

/// Retrieve the status of the daemon
///
/// Returns the status of the tenants that the caller can access, and of what all tenants share. Ages are in
/// milliseconds.
#[utoipa::path(
    get,
    path = "/api/v1/status",
    tag = "daemon",
    operation_id = "show_status",
    params(StatusQuery),
    responses((status = 200, description = "The status.", body = Status))
)]
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Query(StatusQuery { tenant }): Query<StatusQuery>,
) -> Result<Json<Status>, Problem> {
    match &tenant {
        Some(tenant) => caller.check(&state, Right::Read, tenant)?,
        None => caller.require(Right::Read)?,
    }
    let is_requested =
        |id: &TenantId| caller.can_access_tenant(id) && tenant.as_ref().is_none_or(|tenant| tenant == id);
    Ok(Json(state.status.collect(is_requested).await.status))
}
