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

/// Tenants.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct TenantsResponse {
    /// Those that the caller may read, by id.
    tenants: Vec<TenantResponse>,
}

/// A tenant.
#[derive(Serialize, ToSchema)]
#[schema(as = Tenant)]
pub(in crate::http) struct TenantResponse {
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
    /// From when on something is marked.
    thresholds: ThresholdsResponse,
}

/// From when on a time in a state or a service level is marked.
#[derive(Serialize, ToSchema)]
#[schema(as = Thresholds)]
pub(in crate::http) struct ThresholdsResponse {
    /// Of a time in a state, by state; one that is not here may last as long as it does.
    in_state: BTreeMap<String, BoundsResponse>,
    /// From this service level on a skill or queue is good, as a share of 1.
    service_level_good: f64,
    /// And from this one on to be watched, below it to be acted on.
    service_level_warning: f64,
    /// Within which wait the platform counts a skill's contact as answered in time, in seconds; null where nobody said.
    skills_answered_within_s: Option<u64>,
    /// The same of queues.
    queues_answered_within_s: Option<u64>,
}

/// Bounds of a time in a state; one that is null is never reached.
#[derive(Serialize, ToSchema)]
#[schema(as = Bounds)]
pub(in crate::http) struct BoundsResponse {
    /// Long from so many seconds on.
    watch_s: Option<u64>,
    /// Too long from so many on.
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

/// Tenants within reach
///
/// With what it takes to choose among them; `/api/v1/status` has how they are.
#[utoipa::path(
    get,
    path = "/api/v1/tenants",
    tag = "daemon",
    operation_id = "list_tenants",
    responses((status = 200, description = "the tenants", body = TenantsResponse))
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
