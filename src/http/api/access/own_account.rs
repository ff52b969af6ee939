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
    /// Names it among the account's sessions.
    id: String,
    /// When somebody signed in, in real time.
    made_at: UtcMicros,
    /// When it was last used, in real time.
    seen_at: UtcMicros,
    /// The address that it was made from.
    #[schema(value_type = Option<String>)]
    source: Option<IpAddr>,
    /// It ends then at the latest, in real time.
    expires_at: UtcMicros,
    /// And then unless it is used before.
    idle_until: UtcMicros,
    /// It is the one that asks.
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
    /// The last used first, twenty at most.
    sessions: Vec<OwnSessionResponse>,
}

impl OwnSessionsResponse {
    fn from_sessions(sessions: Vec<OwnSession>) -> Self {
        Self { sessions: sessions.into_iter().map(OwnSessionResponse::from_session).collect() }
    }
}

/// My sessions
///
/// Where somebody has signed in with the caller's account. A token and somebody for whom a proxy vouches have none.
#[utoipa::path(
    get,
    path = "/api/v1/me/sessions",
    tag = "accounts",
    operation_id = "my_sessions",
    responses((status = 200, description = "the sessions, the last used first", body = OwnSessionsResponse))
)]
pub(in crate::http) async fn sessions(State(state): State<ApiState>, caller: Caller) -> Answered<OwnSessionsResponse> {
    let found = caller.session().map(|session| state.accounts.own_sessions(session));
    Answered(OwnSessionsResponse::from_sessions(found.unwrap_or_default()))
}

/// End one of my sessions
///
/// What it holds open ends within 5 s. Also the one that asks can be ended.
#[utoipa::path(
    post,
    path = "/api/v1/me/sessions/{id}/end",
    tag = "accounts",
    operation_id = "end_my_session",
    params(("id" = String, Path, description = "The session."), IdempotencyKeyHeader),
    responses((status = 200, description = "the sessions that are left", body = OwnSessionsResponse))
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

/// A new password, and the one that it replaces.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OwnPassword)]
pub(in crate::http) struct PasswordBody {
    /// The present one.
    // Both are kept out of the hash that a repeated request is known by.
    #[serde(skip_serializing)]
    old: String,
    /// At least 12 characters.
    #[serde(skip_serializing)]
    new: String,
}

/// Change my password
///
/// Whoever else is signed in with the account is out; the session that asks stays. Wrong tries are held up as they are when signing in.
#[utoipa::path(
    post,
    path = "/api/v1/me/password",
    tag = "accounts",
    operation_id = "change_my_password",
    params(IdempotencyKeyHeader),
    request_body = PasswordBody,
    responses((status = 200, description = "changed; the sessions that are left", body = OwnSessionsResponse))
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
    let detail = "sign in with the account's name and password, or with a link: a token, and somebody for whom a proxy vouches, have no \
                  password and no sessions here";
    let session = caller.session().copied().ok_or_else(|| Problem::from_code(Code::SessionNeeded, detail))?;
    Ok((session, caller.requester().source))
}
