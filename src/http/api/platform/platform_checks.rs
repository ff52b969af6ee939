//! A check of whether a tenant's platform answers, made on request.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::domain::ids::{AgentId, TenantId};
use crate::engine::changes::request::KeeperError;
use crate::engine::platform::probe::ProbeReport;
use crate::http::auth::{Caller, Right};
use crate::http::problem::Problem;
use crate::http::request::extract::Query;
use crate::http::state::ApiState;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PlatformCheckQuery {
    /// The id of the tenant whose platform to check.
    tenant: TenantId,
    /// The id of the agent whom the calls ask about.
    agent: AgentId,
}

/// Check whether a platform answers
///
/// Makes each kind of read-only call once. The check changes nothing, but uses slots of the request budget, so it needs
/// the right `change`. It needs no idempotency key.
#[utoipa::path(
    post,
    path = "/api/v1/platform-checks",
    tag = "daemon",
    operation_id = "check_platform",
    params(PlatformCheckQuery),
    responses((status = 200, description = "The results of the checks.", body = ProbeReport))
)]
pub(in crate::http) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    Query(PlatformCheckQuery { tenant, agent }): Query<PlatformCheckQuery>,
) -> Result<Json<ProbeReport>, Problem> {
    caller.check_agents(&state, Right::Change, &tenant, std::slice::from_ref(&agent)).await?;
    match state.probes.run(&tenant, &agent).await {
        Some(Ok(report)) => Ok(Json(report)),
        Some(Err(error)) => {
            tracing::warn!(%error, "a call for a check could not be recorded and was not made");
            Err(KeeperError::Unavailable.into())
        }
        None => Err(KeeperError::NoTenant(tenant).into()),
    }
}
