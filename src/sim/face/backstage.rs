//! The back door: faults, scripts, the account and the world, for tests and for whoever drives the simulator by hand.

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::Lobby;
use crate::domain::ids::TenantId;
use crate::sim::faults::FaultSpec;
use crate::sim::journal::LogPage;
use crate::sim::stage::AgentScript;

/// The most entries of the account in one answer, and how many without a word.
const LARGEST_PAGE: usize = 50_000;
const PAGE: usize = 10_000;

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

/// Paths under `/_sim`.
pub(super) fn router() -> Router<Lobby> {
    Router::new()
        .route("/faults", get(list_faults).post(add_faults).delete(clear_faults))
        .route("/log", get(log))
        .route("/world", get(world))
        .route("/agents", post(script_agents))
}

async fn list_faults(State(lobby): State<Lobby>) -> Response {
    active(&lobby)
}

async fn add_faults(State(lobby): State<Lobby>, Json(faults): Json<serde_json::Value>) -> Response {
    let faults: Vec<FaultSpec> = match several(faults) {
        Ok(faults) => faults,
        Err(error) => return refuse(&error),
    };
    if let Some(error) = faults.iter().find_map(|fault| fault.check().err()) {
        return refuse(&error);
    }
    for fault in faults {
        if let Err(error) = lobby.stage().add_fault(fault) {
            return refuse(&error);
        }
    }
    active(&lobby)
}

async fn clear_faults(State(lobby): State<Lobby>) -> Response {
    lobby.stage().faults.clear();
    active(&lobby)
}

fn active(lobby: &Lobby) -> Response {
    Json(json!({ "active": lobby.stage().faults.active() })).into_response()
}

async fn log(State(lobby): State<Lobby>, Query(query): Query<PageQuery>) -> Json<LogPage> {
    let now = lobby.clock.now();
    let mut stage = lobby.stage();
    stage.advance(now);
    Json(stage.log(query.after, query.limit.unwrap_or(PAGE).min(LARGEST_PAGE)))
}

async fn world(State(lobby): State<Lobby>, Query(query): Query<WorldQuery>) -> Response {
    let now = lobby.clock.now();
    let mut stage = lobby.stage();
    stage.advance(now);
    Json(json!({ "now": now, "tenants": stage.view(query.tenant.as_ref()) })).into_response()
}

async fn script_agents(State(lobby): State<Lobby>, Json(scripts): Json<serde_json::Value>) -> Response {
    let scripts: Vec<AgentScript> = match several(scripts) {
        Ok(scripts) => scripts,
        Err(error) => return refuse(&error),
    };
    let now = lobby.clock.now();
    let mut stage = lobby.stage();
    stage.advance(now);
    for script in &scripts {
        if let Err(error) = stage.script(script) {
            return refuse(&error);
        }
    }
    Json(json!({ "done": scripts.len() })).into_response()
}

/// One thing or an array of them. Not an untagged choice, since serde's message for a bad one would name nothing.
fn several<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> Result<Vec<T>, serde_json::Error> {
    if value.is_array() { serde_json::from_value(value) } else { serde_json::from_value(value).map(|one| vec![one]) }
}

fn refuse(error: &dyn std::error::Error) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "error": error.to_string() }))).into_response()
}
