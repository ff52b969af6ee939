//! Stored API tokens: listed, made, revoked. The text of a token is in the answer that makes it, and nowhere else.

use std::collections::BTreeSet;

use axum::Json as Answered;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::accounts::{Paged, Reached, by, checked_reason, secret_answer, shown_reach};
use crate::domain::access::account::{Grant, StoredToken};
use crate::domain::access::rights::{Right, Role, WantedReach, WantedTenant};
use crate::domain::time::UtcMicros;
use crate::engine::access::accounts::NewToken;
use crate::http::ApiState;
use crate::http::auth::Caller;
use crate::http::extract::{Json, Path, Query};
use crate::http::problem::Problem;
use crate::http::request_key::{KeyHeader, RequestKey, answer, once};

/// A stored token.
#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
pub struct TokenShown {
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
    tenants: Vec<Reached>,
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

impl From<&StoredToken> for TokenShown {
    fn from(token: &StoredToken) -> Self {
        let (everywhere, tenants) = shown_reach(&token.reach);
        let (role, may, account) = match &token.grant {
            Grant::Role(role) => (Some(*role), None, None),
            Grant::Rights(rights) => (None, Some(rights.iter().copied().collect()), None),
            Grant::Account(account) => (None, None, Some(account.to_string())),
        };
        Self {
            id: token.id.to_string(),
            role,
            may,
            account,
            everywhere,
            tenants,
            made_at: token.made_at,
            made_by: token.made_by.clone(),
            expires_at: token.expires_at,
            revoked_at: token.revoked_at,
            revoked_by: token.revoked_by.clone(),
            last_used_at: token.last_used_at,
        }
    }
}

/// Stored tokens.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Tokens {
    /// Those within reach, by id; who ended is listed for 90 days more.
    tokens: Vec<TokenShown>,
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
    params(Paged),
    responses((status = 200, description = "the tokens, by id", body = Tokens))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Query(page): Query<Paged>,
) -> Answered<Tokens> {
    let found = state.accounts.tokens(&by(&caller, None), page.after(), page.limit());
    let next = found.last().filter(|_| found.len() == page.limit()).map(|last| last.id.to_string());
    Answered(Tokens { tokens: found.iter().map(|token| (&**token).into()).collect(), next })
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
    tenants: Vec<WantedTenant>,
    /// For how many days, 1 to 3650; without it, until it is revoked.
    #[serde(default)]
    expires_in_days: Option<u32>,
    /// Why, for the audit trail.
    #[serde(default)]
    reason: Option<String>,
}

/// A token that was made.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct TokenMade {
    #[serde(flatten)]
    made: TokenShown,
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
    params(KeyHeader),
    request_body = NewTokenBody,
    responses((status = 201, description = "made", body = TokenMade))
)]
pub(in crate::http) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    key: RequestKey,
    Json(body): Json<NewTokenBody>,
) -> Result<Response, Problem> {
    let key = key.with_json(&body)?;
    let by = by(&caller, checked_reason(body.reason)?);
    let new = NewToken {
        id: body.id,
        role: body.role,
        may: body.may,
        account: body.account,
        reach: WantedReach { everywhere: body.everywhere, tenants: body.tenants },
        expires_in_days: body.expires_in_days,
    };
    let accounts = state.accounts.clone();
    let work = async move {
        let (made, text) = accounts.add_token(new, &by).await?;
        let made = TokenMade { made: TokenShown::from(&*made), token: text.expose().to_owned() };
        Ok(secret_answer(answer(StatusCode::CREATED, &made)))
    };
    Box::pin(once(&state, &caller, None, key, work)).await
}

/// Revoke a token
///
/// It counts no more at once; streams that it holds open end within seconds.
#[utoipa::path(
    post,
    path = "/api/v1/tokens/{id}/revoke",
    tag = "accounts",
    operation_id = "revoke_token",
    params(("id" = String, Path, description = "The token."), KeyHeader),
    responses((status = 200, description = "revoked, also when it was already", body = TokenShown))
)]
pub(in crate::http) async fn revoke(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    key: RequestKey,
) -> Result<Response, Problem> {
    let (accounts, by) = (state.accounts.clone(), by(&caller, None));
    let work = async move {
        let revoked = accounts.revoke_token(&id, &by).await?;
        Ok(answer(StatusCode::OK, &TokenShown::from(&*revoked)))
    };
    once(&state, &caller, None, key.with(&[]), work).await
}
