//! The simulator's HTTP face: reads calls, lets the stage decide, writes replies, and makes faults happen on the wire.
//!
//! It decides nothing about tenants or agents. The platform's own paths stand at the root and once more under a base for each
//! business unit; `/_sim/` is the back door and needs no token, since the simulator listens on loopback alone.

mod backstage;
mod call;
mod feed;
pub(super) mod line;
mod reply;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::DATE;
use axum::response::Response;
use axum::routing::{get, post};

use self::call::Incoming;
use super::rules::{Ask, TokenStyle};
use super::stage::Stage;
use crate::clock::SharedClock;

/// The largest body that is read.
const LARGEST_BODY: usize = 1024 * 1024;

/// What every handler works with.
#[derive(Clone)]
pub(super) struct Lobby {
    pub(super) clock: SharedClock,
    pub(super) base_url: Arc<str>,
    stage: Arc<Mutex<Stage>>,
}

impl Lobby {
    /// Handlers of this stage, which is reached under `base_url`.
    pub(super) fn new(clock: SharedClock, base_url: Arc<str>, stage: Stage) -> Self {
        Self { clock, base_url, stage: Arc::new(Mutex::new(stage)) }
    }

    /// The stage, for the length of a decision and never across a wait.
    pub(super) fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The base of a business unit's calls, as the legacy token answer names it.
    fn unit_base(&self, unit: &str) -> String {
        format!("{}/bu/{unit}/", self.base_url)
    }
}

/// Every path of the simulator.
pub(super) fn router(lobby: Lobby) -> Router {
    Router::new()
        .route("/oauth2/token", post(|call| token(TokenStyle::Body, call)))
        .route("/oauth/token", post(|call| token(TokenStyle::Basic, call)))
        .route("/InContactAuthorizationServer/Token", post(|call| token(TokenStyle::Legacy, call)))
        .merge(api())
        .nest("/bu/{unit}", api())
        .nest("/_sim", backstage::router())
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(axum::middleware::map_response_with_state(lobby.clone(), dated))
        .with_state(lobby)
}

/// Dates an answer by the simulator's clock where nothing dated it yet; hyper would take the system's.
async fn dated(State(lobby): State<Lobby>, mut response: Response) -> Response {
    if !response.headers().contains_key(DATE)
        && let Some(date) = reply::date(lobby.clock.now())
    {
        response.headers_mut().insert(DATE, date);
    }
    response
}

fn api() -> Router<Lobby> {
    Router::new()
        .route("/api/v2/schedules/users/{subject}", get(|call| serve(Ask::Shift, call)))
        .route("/api/v2/breaks/users/{subject}/status", get(|call| serve(Ask::Break, call)))
        .route("/api/v2/users/{subject}/state", post(|call| serve(Ask::SetState, call)))
        .route("/api/v2/analytics/realtime/subscription", post(|call| serve(Ask::Subscribe, call)))
        .route("/api/v2/analytics/realtime/subscription/{subject}", get(|call| serve(Ask::Poll, call)))
        .route("/api/v2/analytics/query", post(|call| serve(Ask::SubmitQuery, call)))
        .route("/api/v2/analytics/query/{subject}", get(|call| serve(Ask::QueryResult, call)))
        .route("/api/v2/queues", get(|call| serve(Ask::Queues, call)))
        .route("/api/v2/reporting/queues/realtime", post(|call| serve(Ask::QueueFigures, call)))
        .merge(services("/InContactAPI/services/v18.0"))
        .merge(services("/InContact%20API/services/v18.0"))
}

/// What guide 000 describes; it spells the path with a space and without.
fn services(under: &str) -> Router<Lobby> {
    Router::new()
        .route(&format!("{under}/interactions/subscribe"), get(feed::connect))
        .route(&format!("{under}/real-time-data/skill-data"), get(|call| serve(Ask::SkillData, call)))
}

async fn token(style: TokenStyle, incoming: Incoming) -> Response {
    serve(Ask::Token(style), incoming).await
}

async fn serve(ask: Ask, incoming: Incoming) -> Response {
    let Incoming { lobby, line, call } = incoming;
    let now = lobby.clock.now();
    let served = lobby.stage().serve(ask, &call, now);
    let answer = reply::write(&lobby, ask, &call, &served, now);
    line::deliver(answer, served.fault.as_ref(), &line).await
}
