//! The tenants that the caller can access.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::ids::{TeamName, TenantId};
use crate::domain::live::thresholds::Thresholds;
use crate::domain::time::UtcMicros;
use crate::http::auth::{Caller, Right};
use crate::http::problem::Problem;
use crate::http::state::ApiState;

/// The tenants that the caller can access.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct TenantsResponse {
    /// The tenants that the caller may read, ordered by id.
    tenants: Vec<TenantResponse>,
}

/// A tenant.
#[derive(Serialize, ToSchema)]
#[schema(as = Tenant)]
pub(in crate::http) struct TenantResponse {
    /// The id of the tenant in the configuration.
    id: TenantId,
    /// The number of agents in the roster; null while the tenant's keeper is restarting.
    agents: Option<usize>,
    /// The teams of these agents, in order.
    teams: Vec<TeamName>,
    /// The IANA time zones of these agents, in order.
    zones: Vec<String>,
    /// When the oldest part of the live view was observed; null until every part has been observed.
    seen_at: Option<UtcMicros>,
    /// How long ago that was, in milliseconds; null until every part has been observed.
    age_ms: Option<u64>,
    /// Whether the circuit breaker has halted all state changes, because the platform keeps failing.
    halted: bool,
    /// The thresholds above or below which values are marked.
    thresholds: ThresholdsResponse,
}

/// The thresholds for times in a state and for service levels.
#[derive(Serialize, ToSchema)]
#[schema(as = Thresholds)]
pub(in crate::http) struct ThresholdsResponse {
    /// The thresholds for the time in a state, by state. A state without an entry has no thresholds.
    in_state: BTreeMap<String, BoundsResponse>,
    /// The service level from which a skill or queue is good, as a fraction from 0 to 1.
    service_level_good: f64,
    /// The service level from which a skill or queue is a warning rather than poor, as a fraction from 0 to 1.
    service_level_warning: f64,
    /// The wait within which the platform counts a skill's contact as answered in time, in seconds; null if it is not
    /// configured.
    skills_answered_within_s: Option<u64>,
    /// The wait within which the platform counts a queue's call as answered in time, in seconds; null if it is not
    /// configured.
    queues_answered_within_s: Option<u64>,
}

/// The thresholds for the time in a state. A threshold that is null is never reached.
#[derive(Serialize, ToSchema)]
#[schema(as = Bounds)]
pub(in crate::http) struct BoundsResponse {
    /// The time in seconds from which the state is marked as long.
    watch_s: Option<u64>,
    /// The time in seconds from which the state is marked as too long.
    act_s: Option<u64>,
}

impl From<&Thresholds> for ThresholdsResponse {
    fn from(thresholds: &Thresholds) -> Self {
        let seconds = |span: Option<Duration>| span.map(|span| span.as_secs());
        let share = |percent: u32| f64::from(percent) / 100.0;
        let bounds = thresholds.in_state.iter().map(|(state, bounds)| {
            let response = BoundsResponse { watch_s: seconds(bounds.watch), act_s: seconds(bounds.act) };
            (state.name().to_owned(), response)
        });
        Self {
            in_state: bounds.collect(),
            service_level_good: share(thresholds.good_percent),
            service_level_warning: share(thresholds.warning_percent),
            skills_answered_within_s: seconds(thresholds.skills_answered_within),
            queues_answered_within_s: seconds(thresholds.queues_answered_within),
        }
    }
}

/// List tenants
///
/// Returns the tenants that the caller can access, with their teams, time zones and thresholds; `/api/v1/status`
/// returns their status.
#[utoipa::path(
    get,
    path = "/api/v1/tenants",
    tag = "daemon",
    operation_id = "list_tenants",
    responses((status = 200, description = "The tenants.", body = TenantsResponse))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
) -> Result<Json<TenantsResponse>, Problem> {
    let mut tenants = Vec::new();
    for id in state.keepers.tenants().ids() {
        if caller.check(&state, Right::Read, &id).is_ok() {
            tenants.push(tenant_response(&state, &caller, id).await);
        }
    }
    Ok(Json(TenantsResponse { tenants }))
}

async fn tenant_response(state: &ApiState, caller: &Caller, id: TenantId) -> TenantResponse {
    let board = state.boards.get(&id).await.ok();
    let agents = board
        .as_ref()
        .map(|board| board.agents.iter().filter(|card| caller.has_team(&id, card.team.as_ref())).collect::<Vec<_>>());
    let cards = agents.iter().flatten();
    let teams: BTreeSet<TeamName> = cards.clone().filter_map(|card| card.team.clone()).collect();
    let zones: BTreeSet<&str> = cards.filter_map(|card| card.zone.as_deref()).collect();
    let seen_at = board.as_ref().and_then(|board| board.observed_at);
    let now = board.as_ref().map(|board| board.at);
    let link = state.keepers.tenants().link(&id);
    let age = now.zip(seen_at).map(|(now, seen_at)| now.since(seen_at).as_millis());
    TenantResponse {
        agents: agents.as_ref().map(Vec::len),
        zones: zones.into_iter().map(str::to_owned).collect(),
        teams: teams.into_iter().collect(),
        seen_at,
        age_ms: age.map(|age| u64::try_from(age).unwrap_or(u64::MAX)),
        halted: link.as_ref().and_then(|link| link.meter.facts()).is_some_and(|facts| facts.halted_since.is_some()),
        thresholds: link.map(|link| link.thresholds.borrow().clone()).unwrap_or_default().as_ref().into(),
        id,
    }
}
