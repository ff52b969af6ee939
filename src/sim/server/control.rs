//! The control API under `/_sim`: faults, scripts, the journal and the world, for tests and for people who drive the
//! simulator.

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::context::ServerContext;
use crate::domain::ids::TenantId;
use crate::sim::faults::FaultSpec;
use crate::sim::incontact::codes::CodeScript;
use crate::sim::incontact::trap::Trap;
use crate::sim::journal::LogPage;
use crate::sim::platform_state::AgentScript;

/// The largest and default number of journal entries in one answer.
const MAX_PAGE_SIZE: usize = 50_000;
const DEFAULT_PAGE_SIZE: usize = 10_000;

#[derive(Deserialize)]
struct PageQuery {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

#[derive(Deserialize)]
struct WorldQuery {
    tenant: Option<TenantId>,
}

/// Returns the routes under `/_sim`.
pub(super) fn router() -> Router<ServerContext> {
    Router::new()
        .route("/faults", get(list_faults).post(add_faults).delete(clear_faults))
        .route("/log", get(log))
        .route("/world", get(world))
        .route("/agents", post(script_agents))
        .route("/codes", get(codes).post(script_codes))
        .route("/traps", get(list_traps).put(set_traps))
}

async fn list_faults(State(context): State<ServerContext>) -> Response {
    active_faults(&context)
}

async fn add_faults(State(context): State<ServerContext>, Json(faults): Json<serde_json::Value>) -> Response {
    let faults: Vec<FaultSpec> = match one_or_many(faults) {
        Ok(faults) => faults,
        Err(error) => return bad_request(&error),
    };
    if let Some(error) = faults.iter().find_map(|fault| fault.validate().err()) {
        return bad_request(&error);
    }
    for fault in faults {
        if let Err(error) = context.lock_state().add_fault(fault) {
            return bad_request(&error);
        }
    }
    active_faults(&context)
}

async fn clear_faults(State(context): State<ServerContext>) -> Response {
    context.lock_state().faults.clear();
    active_faults(&context)
}

fn active_faults(context: &ServerContext) -> Response {
    Json(json!({ "active": context.lock_state().faults.active() })).into_response()
}

async fn log(State(context): State<ServerContext>, Query(query): Query<PageQuery>) -> Json<LogPage> {
    Json(
        context
            .lock_current_state()
            .journal
            .page(query.after, query.limit.unwrap_or(DEFAULT_PAGE_SIZE).min(MAX_PAGE_SIZE)),
    )
}

async fn world(State(context): State<ServerContext>, Query(query): Query<WorldQuery>) -> Response {
    let now = context.clock.now();
    let mut state = context.lock_state();
    state.advance(now);
    Json(json!({ "now": now, "tenants": state.world_views(query.tenant.as_ref()) })).into_response()
}

async fn script_agents(State(context): State<ServerContext>, Json(scripts): Json<serde_json::Value>) -> Response {
    let scripts: Vec<AgentScript> = match one_or_many(scripts) {
        Ok(scripts) => scripts,
        Err(error) => return bad_request(&error),
    };
    let mut state = context.lock_current_state();
    for script in &scripts {
        if let Err(error) = state.apply_script(script) {
            return bad_request(&error);
        }
    }
    Json(json!({ "done": scripts.len() })).into_response()
}

async fn codes(State(context): State<ServerContext>, Query(query): Query<WorldQuery>) -> Response {
    let state = context.lock_state();
    let listed = state.tenants.iter().filter(|tenant| query.tenant.as_ref().is_none_or(|id| *id == tenant.id));
    let teams = listed.flat_map(|tenant| {
        tenant.teams().into_iter().map(|(number, name)| {
            json!({ "tenant": tenant.id, "team": name, "codes": tenant.published.codes.of_team(number) })
        })
    });
    Json(json!({ "teams": teams.collect::<Vec<_>>() })).into_response()
}

async fn script_codes(State(context): State<ServerContext>, Json(scripts): Json<serde_json::Value>) -> Response {
    let scripts: Vec<CodeScript> = match one_or_many(scripts) {
        Ok(scripts) => scripts,
        Err(error) => return bad_request(&error),
    };
    let mut state = context.lock_current_state();
    for script in &scripts {
        if let Err(error) = state.apply_code_script(script) {
            return bad_request(&error);
        }
    }
    Json(json!({ "done": scripts.len() })).into_response()
}

async fn list_traps(State(context): State<ServerContext>) -> Response {
    active_traps(&context)
}

async fn set_traps(State(context): State<ServerContext>, Json(traps): Json<Vec<Trap>>) -> Response {
    context.lock_current_state().set_traps(traps.into_iter().collect());
    active_traps(&context)
}

fn active_traps(context: &ServerContext) -> Response {
    Json(json!({ "active": context.lock_state().traps.iter().collect::<Vec<_>>() })).into_response()
}

/// Parses one value or an array of them. An untagged enum would hide serde's message about a bad value.
fn one_or_many<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> Result<Vec<T>, serde_json::Error> {
    if value.is_array() { serde_json::from_value(value) } else { serde_json::from_value(value).map(|one| vec![one]) }
}

fn bad_request(error: &dyn std::error::Error) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "error": error.to_string() }))).into_response()
}
