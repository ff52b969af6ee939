//! How the daemon is, in one document: what `shiftkeeper status` prints.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;

use crate::domain::ids::TenantId;
use crate::engine::status::Status;
use crate::http::ApiState;
use crate::http::auth::{Caller, Right};
use crate::http::problem::Problem;

/// Which tenant is meant; without it, all within reach.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct OfTenant {
    tenant: Option<TenantId>,
}

/// A look at the tenants within reach of the token, and at what all tenants share.
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    query: Result<Query<OfTenant>, QueryRejection>,
) -> Result<Json<Status>, Problem> {
    let Query(OfTenant { tenant }) = query?;
    match &tenant {
        Some(tenant) => caller.check(&state, Right::Read, tenant)?,
        None => caller.may(Right::Read)?,
    }
    let wanted = |id: &TenantId| caller.reaches(id) && tenant.as_ref().is_none_or(|tenant| tenant == id);
    Ok(Json(state.status.look(wanted).await.status))
}
