//! Whether a tenant's platform answers, asked now.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;

use crate::domain::ids::{AgentId, TenantId};
use crate::engine::door::DoorError;
use crate::engine::probe::ProbeReport;
use crate::http::ApiState;
use crate::http::auth::{Caller, Right};
use crate::http::problem::Problem;

/// Whose platform, and about whom it is asked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Wanted {
    tenant: TenantId,
    agent: AgentId,
}

/// Asks each question once. It changes nothing and spends slots of the budget, so it takes the right to change.
pub(in crate::http) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    query: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<ProbeReport>, Problem> {
    let Query(Wanted { tenant, agent }) = query?;
    caller.check(&state, Right::Change, &tenant)?;
    match state.probes.run(&tenant, &agent).await {
        Some(Ok(report)) => Ok(Json(report)),
        Some(Err(error)) => {
            tracing::warn!(%error, "a call for a check could not be recorded and was not made");
            Err(DoorError::Unavailable.into())
        }
        None => Err(DoorError::NoTenant(tenant).into()),
    }
}
