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

/// A stored token.
#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
pub struct TokenResponse {
    /// What audit entries call it.
    id: String,
    /// The role whose rights it has; null where it has others.
    role: Option<Role>,
    /// The rights that it has by name; null where it has others.
    may: Option<Vec<Right>>,
    /// The account whose rights it has; null where it has others.
    account: Option<String>,
    /// It reaches every tenant.
    everywhere: bool,
    /// The tenants that it reaches.
    tenants: Vec<AccessibleTenant>,
    /// When it was made, in real time.
    made_at: UtcMicros,
    /// By whom.
    made_by: String,
    /// From when on it counts no more.
    expires_at: Option<UtcMicros>,
    /// Since when it is revoked.
    revoked_at: Option<UtcMicros>,
    /// By whom.
    revoked_by: Option<String>,
    /// When it was last used; a few minutes late.
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

/// Stored tokens.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct TokensResponse {
    /// Those within reach, by id; who ended is listed for 90 days more.
    tokens: Vec<TokenResponse>,
    /// For the next page.
    next: Option<String>,
}

/// The stored tokens within reach
///
/// Those of the configuration are not among them.
#[utoipa::path(
    get,
    path = "/api/v1/tokens",
    tag = "accounts",
    operation_id = "tokens",
    params(PageQuery),
    responses((status = 200, description = "the tokens, by id", body = TokensResponse))
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

/// A token to make: with a role, with rights by name, or with those of an account.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewToken)]
pub(in crate::http) struct NewTokenBody {
    /// Lower-case letters, digits, `-`, `_`, `.`, `+` and `@`.
    id: String,
    /// The rights of a role.
    #[serde(default)]
    role: Option<Role>,
    /// Rights by name.
    #[serde(default)]
    may: BTreeSet<Right>,
    /// The rights of an account, as they are at the time.
    #[serde(default)]
    account: Option<String>,
    /// It reaches every tenant.
    #[serde(default)]
    everywhere: bool,
    /// The tenants that it reaches.
    #[serde(default)]
    tenants: Vec<TenantScopeRequest>,
    /// For how many days, 1 to 3650; without it, until it is revoked.
    #[serde(default)]
    expires_in_days: Option<u32>,
    /// Why, for the audit trail.
    #[serde(default)]
    reason: Option<String>,
}

/// A token that was made.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct NewTokenResponse {
    #[serde(flatten)]
    made: TokenResponse,
    /// The token itself. It is shown this once.
    token: String,
}

/// Make a token
///
/// The answer is not kept for a repetition, since the token is in it: the same request once more ends with `id_taken`.
#[utoipa::path(
    post,
    path = "/api/v1/tokens",
    tag = "accounts",
    operation_id = "create_token",
    params(IdempotencyKeyHeader),
    request_body = NewTokenBody,
    responses((status = 201, description = "made", body = NewTokenResponse))
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
/// It counts no more at once; streams that it holds open end within seconds.
#[utoipa::path(
    post,
    path = "/api/v1/tokens/{id}/revoke",
    tag = "accounts",
    operation_id = "revoke_token",
    params(("id" = String, Path, description = "The token."), IdempotencyKeyHeader),
    responses((status = 200, description = "revoked, also when it was already", body = TokenResponse))
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
