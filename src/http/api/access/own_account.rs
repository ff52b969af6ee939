//! The account of the signed-in user: its open sessions, and changing the password.

use std::net::IpAddr;

use axum::Json as Answered;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::access::secret::Secret;
use crate::domain::audit::Hash;
use crate::domain::time::UtcMicros;
use crate::engine::access::accounts::OwnSession;
use crate::http::auth::Caller;
use crate::http::problem::{Code, Problem};
use crate::http::request::extract::Path;
use crate::http::request::idempotency::{IdempotencyKeyHeader, KeyedJson, RequestKey, run_once};
use crate::http::state::ApiState;

/// A session of the caller's account.
#[derive(Serialize, ToSchema)]
#[schema(as = OwnSession)]
pub(in crate::http) struct OwnSessionResponse {
    /// The id of the session, unique within the account.
    id: String,
    /// When the session was created by signing in, in real time.
    made_at: UtcMicros,
    /// When the session was last used, in real time.
    seen_at: UtcMicros,
    /// The IP address from which the session was created; null if unknown.
    #[schema(value_type = Option<String>)]
    source: Option<IpAddr>,
    /// The latest time at which the session ends, in real time.
    expires_at: UtcMicros,
    /// When the session ends unless it is used before, in real time.
    idle_until: UtcMicros,
    /// Whether this is the session of the current request.
    this: bool,
}

impl OwnSessionResponse {
    fn from_session(session: OwnSession) -> Self {
        let OwnSession { id, created_at: made_at, last_used_at: seen_at, source, expiry: ends, is_current: is_this } =
            session;
        let (expires_at, idle_until) = (ends.expires_at, ends.idle_until);
        Self { id, made_at, seen_at, source, expires_at, idle_until, this: is_this }
    }
}

/// The sessions of the caller's account.
#[derive(Serialize, ToSchema)]
#[schema(as = OwnSessions)]
pub(in crate::http) struct OwnSessionsResponse {
    /// The most recently used sessions, at most 20, the most recent first.
    sessions: Vec<OwnSessionResponse>,
}

impl OwnSessionsResponse {
    fn from_sessions(sessions: Vec<OwnSession>) -> Self {
        Self { sessions: sessions.into_iter().map(OwnSessionResponse::from_session).collect() }
    }
}

/// List your sessions
///
/// Returns the sessions of the caller's account. Tokens and users authenticated by a proxy have no sessions.
#[utoipa::path(
    get,
    path = "/api/v1/me/sessions",
    tag = "accounts",
    operation_id = "my_sessions",
    responses((status = 200, description = "The sessions, the most recently used first.", body = OwnSessionsResponse))
)]
pub(in crate::http) async fn sessions(State(state): State<ApiState>, caller: Caller) -> Answered<OwnSessionsResponse> {
    let found = caller.session().map(|session| state.accounts.own_sessions(session));
    Answered(OwnSessionsResponse::from_sessions(found.unwrap_or_default()))
}

/// End one of your sessions
///
/// Open connections of the session end within 5 seconds. The session of the current request can be ended too.
#[utoipa::path(
    post,
    path = "/api/v1/me/sessions/{id}/end",
    tag = "accounts",
    operation_id = "end_my_session",
    params(("id" = String, Path, description = "The id of the session."), IdempotencyKeyHeader),
    responses((status = 200, description = "The remaining sessions.", body = OwnSessionsResponse))
)]
pub(in crate::http) async fn end_session(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    key: RequestKey,
) -> Result<Response, Problem> {
    let (session, source) = own_session(&caller)?;
    let accounts = state.accounts.clone();
    let work = async move {
        accounts.end_own_session(&session, &id, source).await?;
        Ok(OwnSessionsResponse::from_sessions(accounts.own_sessions(&session)))
    };
    run_once(&state, &caller, None, key.into_key(&[]), StatusCode::OK, work).await
}

/// The current and the new password.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OwnPassword)]
pub(in crate::http) struct PasswordBody {
    /// The current password.
    // Both are kept out of the hash that a repeated request is known by.
    #[serde(skip_serializing)]
    old: String,
    /// The new password, at least 12 characters.
    #[serde(skip_serializing)]
    new: String,
}

/// Change your password
///
/// Ends all other sessions of the account; the session of the current request stays. Wrong passwords are throttled as
/// when signing in.
#[utoipa::path(
    post,
    path = "/api/v1/me/password",
    tag = "accounts",
    operation_id = "change_my_password",
    params(IdempotencyKeyHeader),
    request_body = PasswordBody,
    responses((status = 200, description = "The password was changed; the remaining sessions.", body = OwnSessionsResponse))
)]
pub(in crate::http) async fn change_password(
    State(state): State<ApiState>,
    caller: Caller,
    KeyedJson { body: PasswordBody { old, new }, key }: KeyedJson<PasswordBody>,
) -> Result<Response, Problem> {
    let (session, source) = own_session(&caller)?;
    let accounts = state.accounts.clone();
    let work = async move {
        accounts.change_own_password(&session, Secret::new(old), Secret::new(new), source).await?;
        Ok(OwnSessionsResponse::from_sessions(accounts.own_sessions(&session)))
    };
    run_once(&state, &caller, None, key, StatusCode::OK, work).await
}

/// Returns the caller's session and address.
fn own_session(caller: &Caller) -> Result<(Hash, Option<IpAddr>), Problem> {
    let detail = "sign in with the account's name and password, or with a link: tokens and users authenticated by a proxy have \
                  no password and no sessions here";
    let session = caller.session().copied().ok_or_else(|| Problem::from_code(Code::SessionNeeded, detail))?;
    Ok((session, caller.requester().source))
}
