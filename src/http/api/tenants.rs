//! Tenants within reach.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::ids::{TeamName, TenantId};
use crate::domain::time::UtcMicros;
use crate::http::ApiState;
use crate::http::auth::{Caller, Right};
use crate::http::problem::Problem;

/// Tenants.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Tenants {
    /// Those that the caller may read, by id.
    tenants: Vec<TenantShown>,
}

/// A tenant.
#[derive(Serialize, ToSchema)]
#[schema(as = Tenant)]
pub(in crate::http) struct TenantShown {
    /// Its name in the configuration.
    id: TenantId,
    /// Agents in its roster; null while its keeper is away.
    agents: Option<usize>,
    /// Their teams, in order.
    teams: Vec<TeamName>,
    /// Their zones, in order.
    zones: Vec<String>,
    /// How fresh the oldest part of what the platform showed is; null until all was shown.
    seen_at: Option<UtcMicros>,
    /// How old that is, in milliseconds.
    age_ms: Option<u64>,
    /// Automation is halted, since the platform fails for everyone.
    halted: bool,
}

/// Tenants within reach
///
/// With what it takes to choose among them; `/api/v1/status` has how they are.
#[utoipa::path(
    get,
    path = "/api/v1/tenants",
    tag = "daemon",
    operation_id = "list_tenants",
    responses((status = 200, description = "the tenants", body = Tenants))
)]
pub(in crate::http) async fn list(State(state): State<ApiState>, caller: Caller) -> Result<Json<Tenants>, Problem> {
    let mut tenants = Vec::new();
    for id in state.door.tenants().ids() {
        if caller.check(&state, Right::Read, &id).is_ok() {
            tenants.push(tenant(&state, &caller, id).await);
        }
    }
    Ok(Json(Tenants { tenants }))
}

async fn tenant(state: &ApiState, caller: &Caller, id: TenantId) -> TenantShown {
    let board = state.boards.look(&id).await.ok();
    let agents = board
        .as_ref()
        .map(|board| board.agents.iter().filter(|card| caller.has_team(&id, card.team.as_ref())).collect::<Vec<_>>());
    let cards = agents.iter().flatten();
    let teams: BTreeSet<TeamName> = cards.clone().filter_map(|card| card.team.clone()).collect();
    let zones: BTreeSet<&str> = cards.filter_map(|card| card.zone.as_deref()).collect();
    let seen_at = board.as_ref().and_then(|board| board.seen_at);
    let now = board.as_ref().map(|board| board.at);
    let age = now.zip(seen_at).map(|(now, seen_at)| now.since(seen_at).as_millis());
    TenantShown {
        agents: agents.as_ref().map(Vec::len),
        zones: zones.into_iter().map(str::to_owned).collect(),
        teams: teams.into_iter().collect(),
        seen_at,
        age_ms: age.map(|age| u64::try_from(age).unwrap_or(u64::MAX)),
        halted: state
            .door
            .tenants()
            .link(&id)
            .is_some_and(|link| link.meter.facts().is_some_and(|facts| facts.halted_since.is_some())),
        id,
    }
}
