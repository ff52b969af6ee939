//! Stored API tokens: list, create, revoke. The text of a token appears only in the response that creates it.

use std::collections::BTreeSet;

use axum::Json as Answered;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::accounts::{AccessibleTenant, PageQuery, author, check_reason, reach_response, unrecorded_answer};
use crate::domain::access::account::{StoredToken, TokenGrant};
use crate::domain::access::rights::{Right, Role, ScopeRequest, TenantScopeRequest};
use crate::domain::time::UtcMicros;
use crate::engine::access::accounts::NewToken;
use crate::http::auth::Caller;
use crate::http::problem::Problem;
use crate::http::request::extract::{Path, Query};
use crate::http::request::idempotency::{
    IdempotencyKeyHeader, KeyedJson, RequestKey, json_answer, run_once, run_once_for_answer,
};
use crate::http::request::query::{next_cursor, page_size};
use crate::http::state::ApiState;

/// A stored API token, without its text.
#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
pub struct TokenResponse {
    /// The id of the token, which audit entries record.
    id: String,
    /// The role whose rights the token has; null if its rights come from `may` or `account`.
    role: Option<Role>,
    /// The rights granted to the token individually; null if its rights come from `role` or `account`.
    may: Option<Vec<Right>>,
    /// The id of the account whose rights the token has; null if its rights come from `role` or `may`.
    account: Option<String>,
    /// Whether the token can access every tenant, including future ones.
    everywhere: bool,
    /// The tenants that the token can access; empty if `everywhere` is true.
    tenants: Vec<AccessibleTenant>,
    /// When the token was created, in real time.
    made_at: UtcMicros,
    /// Who created the token.
    made_by: String,
    /// When the token expires; null if it does not expire.
    expires_at: Option<UtcMicros>,
    /// When the token was revoked; null if it was not.
    revoked_at: Option<UtcMicros>,
    /// Who revoked the token; null if nobody did.
    revoked_by: Option<String>,
    /// When the token was last used, accurate to a few minutes; null if it was never used.
    last_used_at: Option<UtcMicros>,
}

impl From<&StoredToken> for TokenResponse {
    fn from(token: &StoredToken) -> Self {
        let (everywhere, tenants) = reach_response(&token.scope);
        let (role, may, account) = match &token.grant {
            TokenGrant::Role(role) => (Some(*role), None, None),
            TokenGrant::Rights(rights) => (None, Some(rights.iter().copied().collect()), None),
            TokenGrant::Account(account) => (None, None, Some(account.to_string())),
        };
        Self {
            id: token.id.to_string(),
            role,
            may,
            account,
            everywhere,
            tenants,
            made_at: token.created_at,
            made_by: token.created_by.clone(),
            expires_at: token.expires_at,
            revoked_at: token.revoked_at,
            revoked_by: token.revoked_by.clone(),
            last_used_at: token.last_used_at,
        }
    }
}

/// A page of stored tokens.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct TokensResponse {
    /// The tokens that the caller can access, ordered by id. Expired and revoked tokens are listed for another 90 days.
    tokens: Vec<TokenResponse>,
    /// The `cursor` of the next page; null on the last page.
    next: Option<String>,
}

/// List stored tokens
///
/// Returns the tokens that the caller can access, ordered by id. Tokens of the configuration are not included.
#[utoipa::path(
    get,
    path = "/api/v1/tokens",
    tag = "accounts",
    operation_id = "tokens",
    params(PageQuery),
    responses((status = 200, description = "The tokens, ordered by id.", body = TokensResponse))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Query(page): Query<PageQuery>,
) -> Answered<TokensResponse> {
    let limit = page_size(page.limit);
    let found = state.accounts.tokens(&author(&caller, None), page.cursor.as_deref(), limit as usize);
    let next = next_cursor(&found, limit, |last| last.id.to_string());
    Answered(TokensResponse { tokens: found.iter().map(|token| (&**token).into()).collect(), next })
}

/// A new token. Its rights come from exactly one of `role`, `may` and `account`.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewToken)]
pub(in crate::http) struct NewTokenBody {
    /// The id of the token: lower-case letters, digits, `-`, `_`, `.`, `+` and `@`.
    id: String,
    /// The role whose rights the token gets.
    #[serde(default)]
    role: Option<Role>,
    /// The rights that the token gets individually.
    #[serde(default)]
    may: BTreeSet<Right>,
    /// The id of an account. The token has the rights that the account has at the time of each request.
    #[serde(default)]
    account: Option<String>,
    /// Whether the token can access every tenant, including future ones.
    #[serde(default)]
    everywhere: bool,
    /// The tenants that the token can access.
    #[serde(default)]
    tenants: Vec<TenantScopeRequest>,
    /// The number of days after which the token expires, 1 to 3650; omit it for a token that does not expire.
    #[serde(default)]
    expires_in_days: Option<u32>,
    /// The reason for the change, recorded in the audit log.
    #[serde(default)]
    reason: Option<String>,
}

/// The new token.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct NewTokenResponse {
    #[serde(flatten)]
    made: TokenResponse,
    /// The text of the token. It is shown only in this response.
    token: String,
}

/// Create a token
///
/// The response is not stored for the idempotency key, because it contains the token: repeating the request fails with
/// `id_taken`.
#[utoipa::path(
    post,
    path = "/api/v1/tokens",
    tag = "accounts",
    operation_id = "create_token",
    params(IdempotencyKeyHeader),
    request_body = NewTokenBody,
    responses((status = 201, description = "The new token and its text.", body = NewTokenResponse))
)]
pub(in crate::http) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    KeyedJson { body, key }: KeyedJson<NewTokenBody>,
) -> Result<Response, Problem> {
    let by = author(&caller, check_reason(body.reason)?);
    let new = NewToken {
        id: body.id,
        role: body.role,
        rights: body.may,
        account: body.account,
        scope: ScopeRequest { everywhere: body.everywhere, tenants: body.tenants },
        expires_in_days: body.expires_in_days,
    };
    let accounts = state.accounts.clone();
    let work = async move {
        let (made, text) = accounts.add_token(new, &by).await?;
        let made = NewTokenResponse { made: TokenResponse::from(&*made), token: text.expose().to_owned() };
        Ok(unrecorded_answer(json_answer(StatusCode::CREATED, &made)))
    };
    Box::pin(run_once_for_answer(&state, &caller, None, key, work)).await
}

/// Revoke a token
///
/// The token is invalid at once. Streams opened with it end within seconds.
#[utoipa::path(
    post,
    path = "/api/v1/tokens/{id}/revoke",
    tag = "accounts",
    operation_id = "revoke_token",
    params(("id" = String, Path, description = "The id of the token."), IdempotencyKeyHeader),
    responses((status = 200, description = "The revoked token, also if it had been revoked before.", body = TokenResponse))
)]
pub(in crate::http) async fn revoke(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    key: RequestKey,
) -> Result<Response, Problem> {
    let (accounts, by) = (state.accounts.clone(), author(&caller, None));
    let work = async move { Ok(TokenResponse::from(&*accounts.revoke_token(&id, &by).await?)) };
    run_once(&state, &caller, None, key.into_key(&[]), StatusCode::OK, work).await
}
