//! The simulator's HTTP server: parses calls, lets the platform state decide, writes replies, and carries out faults
//! on the connection.
//!
//! It decides nothing about tenants or agents. The platform's paths are at the root and again under a base for each
//! business unit. `/_sim/` is the control API and needs no token, since the simulator listens on loopback only.

mod call;
pub(super) mod connection;
pub(super) mod context;
mod control;
mod feed;
mod reply;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::DATE;
use axum::response::Response;
use axum::routing::{get, post};

use self::call::IncomingCall;
use self::context::ServerContext;
use super::incontact::operations::PublishedCall;
use super::rules::{Operation, TokenStyle};

/// The largest body that is read, in bytes.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Returns all routes of the simulator.
pub(super) fn router(context: ServerContext) -> Router {
    Router::new()
        .route("/oauth2/token", post(|call| token(TokenStyle::Body, call)))
        .route("/oauth/token", post(|call| token(TokenStyle::Basic, call)))
        .route("/InContactAuthorizationServer/Token", post(|call| token(TokenStyle::Legacy, call)))
        .merge(published_router())
        .merge(api_router())
        .nest("/bu/{unit}", api_router())
        .nest("/_sim", control::router())
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(axum::middleware::map_response_with_state(context.clone(), add_date_header))
        .with_state(context)
}

/// Adds a `Date` by the simulator's clock to an answer without one, since hyper would use the system's clock.
async fn add_date_header(State(context): State<ServerContext>, mut response: Response) -> Response {
    if !response.headers().contains_key(DATE)
        && let Some(date) = reply::date_header(context.clock.now())
    {
        response.headers_mut().insert(DATE, date);
    }
    response
}

/// Returns the routes of the published services. Clients name any version, and the simulator answers all of them alike.
fn published_router() -> Router<ServerContext> {
    Router::new()
        .route("/.well-known/cxone-configuration", get(|call| published(PublishedCall::Discovery, call)))
        .route("/auth/token", post(|call| published(PublishedCall::AppToken, call)))
        .route("/authentication/v1/token/access-key", post(|call| published(PublishedCall::KeyToken, call)))
        .route("/public/user/refresh", post(|call| published(PublishedCall::KeyRefresh, call)))
        .route("/schedules/export", post(|call| published(PublishedCall::ScheduleExport, call)))
        .merge(services_router("/incontactapi/services/{version}"))
        .merge(services_router("/inContactAPI/services/{version}"))
        .merge(services_router("/InContactAPI/services/{version}"))
}

/// Returns the routes of the published services below `prefix`. A nested router would hide it from links and the journal.
fn services_router(prefix: &str) -> Router<ServerContext> {
    let below = |path: &str| format!("{prefix}{path}");
    Router::new()
        .route(&below("/agents"), get(|call| published(PublishedCall::Agents, call)))
        .route(&below("/agents/states"), get(|call| published(PublishedCall::States, call)))
        .route(&below("/agents/state-history"), get(|call| published(PublishedCall::StateHistory, call)))
        .route(&below("/agents/{subject}/state"), post(|call| published(PublishedCall::SetState, call)))
        .route(&below("/agents/{subject}/states"), get(|call| published(PublishedCall::AgentStates, call)))
        .route(&below("/agents/{subject}/state-history"), get(|call| published(PublishedCall::AgentStateHistory, call)))
        .route(&below("/agents/{subject}/logout"), post(|call| published(PublishedCall::LogOut, call)))
        .route(&below("/teams"), get(|call| published(PublishedCall::Teams, call)))
        .route(&below("/teams/{subject}/agents"), get(|call| published(PublishedCall::TeamAgents, call)))
        .route(&below("/teams/{subject}/unavailable-codes"), get(|call| published(PublishedCall::TeamCodes, call)))
        .route(&below("/unavailable-codes"), get(|call| published(PublishedCall::Codes, call)))
        .route(&below("/skills/activity"), get(|call| published(PublishedCall::SkillActivity, call)))
        .route(&below("/skills/activity/search"), post(|call| published(PublishedCall::SkillSearch, call)))
        .route(&below("/server-time"), get(|call| published(PublishedCall::ServerTime, call)))
}

async fn published(call: PublishedCall, incoming: IncomingCall) -> Response {
    serve(Operation::Published(call), incoming).await
}

fn api_router() -> Router<ServerContext> {
    Router::new()
        .route("/api/v2/schedules/users/{subject}", get(|call| serve(Operation::Shift, call)))
        .route("/api/v2/breaks/users/{subject}/status", get(|call| serve(Operation::Break, call)))
        .route("/api/v2/users/{subject}/state", post(|call| serve(Operation::SetState, call)))
        .route("/api/v2/analytics/realtime/subscription", post(|call| serve(Operation::Subscribe, call)))
        .route("/api/v2/analytics/realtime/subscription/{subject}", get(|call| serve(Operation::Poll, call)))
        .route("/api/v2/analytics/query", post(|call| serve(Operation::SubmitQuery, call)))
        .route("/api/v2/analytics/query/{subject}", get(|call| serve(Operation::QueryResult, call)))
        .route("/api/v2/queues", get(|call| serve(Operation::Queues, call)))
        .route("/api/v2/reporting/queues/realtime", post(|call| serve(Operation::QueueFigures, call)))
        .merge(legacy_router("/InContactAPI/services/v18.0"))
        .merge(legacy_router("/InContact%20API/services/v18.0"))
}

/// Returns the routes of guide 000, which spells the path with and without a space.
fn legacy_router(prefix: &str) -> Router<ServerContext> {
    Router::new()
        .route(&format!("{prefix}/interactions/subscribe"), get(feed::connect))
        .route(&format!("{prefix}/real-time-data/skill-data"), get(|call| serve(Operation::SkillData, call)))
}

async fn token(style: TokenStyle, incoming: IncomingCall) -> Response {
    serve(Operation::Token(style), incoming).await
}

async fn serve(operation: Operation, incoming: IncomingCall) -> Response {
    let IncomingCall { context, signals, call } = incoming;
    let now = context.clock.now();
    let served = context.lock_state().serve(operation, &call, now);
    let answer = reply::write_response(&context, operation, &call, &served, now);
    connection::send_response(answer, served.fault.as_ref(), &signals).await
}
