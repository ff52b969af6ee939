//! Accounts: list, create, change, set a password, and create sign-in links.

use std::sync::Arc;
use std::time::Duration;

use axum::Json as Answered;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::access::account::Account;
use crate::domain::access::rights::{Role, Scope, ScopeRequest, TenantScopeRequest};
use crate::domain::access::secret::Secret;
use crate::domain::ids::{TeamName, TenantId};
use crate::domain::time::UtcMicros;
use crate::engine::access::accounts::{AccountChanges, Author, LINK_LIFETIME, NewAccount};
use crate::engine::changes::idempotency::StoredResponse;
use crate::engine::changes::request::IdempotencyKey;
use crate::http::auth::Caller;
use crate::http::problem::Problem;
use crate::http::request::etag::{IfMatch, IfMatchHeader, Version};
use crate::http::request::extract::{Path, Query};
use crate::http::request::idempotency::{
    IdempotencyKeyHeader, KeyedJson, json_answer, run_once_for_answer, run_once_versioned,
};
use crate::http::request::query::{next_cursor, page_size};
use crate::http::request::text::check_length;
use crate::http::state::ApiState;

/// The longest accepted reason, in characters.
const MAX_REASON_CHARS: usize = 1000;

/// The longest validity of a sign-in link.
const MAX_LINK_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// A tenant that an account or a token can access.
#[derive(Serialize, ToSchema)]
pub struct AccessibleTenant {
    /// The id of the tenant.
    id: TenantId,
    /// The names of the accessible teams; null for all teams.
    teams: Option<Vec<TeamName>>,
}

/// Returns whether a scope covers everything, and otherwise its tenants.
pub(in crate::http) fn reach_response(reach: &Scope) -> (bool, Vec<AccessibleTenant>) {
    match reach {
        Scope::Everywhere => (true, Vec::new()),
        Scope::Only(tenants) => {
            let one = |(id, teams): (&TenantId, &crate::domain::access::rights::TeamScope)| AccessibleTenant {
                id: id.clone(),
                teams: teams.as_ref().map(|teams| teams.iter().cloned().collect()),
            };
            (false, tenants.iter().map(one).collect())
        }
    }
}

/// A user account.
#[derive(Serialize, ToSchema)]
#[schema(as = Account)]
pub struct AccountResponse {
    /// The id of the account, used to sign in.
    id: String,
    /// The name of the account's user.
    name: String,
    /// The role, which determines the account's rights.
    role: Role,
    /// Whether the account can access every tenant, including future ones.
    everywhere: bool,
    /// The tenants that the account can access; empty if `everywhere` is true.
    tenants: Vec<AccessibleTenant>,
    /// Whether the account is disabled. Nobody can sign in with a disabled account.
    disabled: bool,
    /// Whether the account has a password.
    has_password: bool,
    /// When the account was created, in real time.
    made_at: UtcMicros,
    /// Who created the account.
    made_by: String,
    /// When the account was last changed, in real time.
    changed_at: UtcMicros,
    /// The version of the account, which starts at 1 and increases with each change. It is also the `ETag`.
    version: u64,
}

impl From<&Account> for AccountResponse {
    fn from(account: &Account) -> Self {
        let (everywhere, tenants) = reach_response(&account.scope);
        Self {
            id: account.id.to_string(),
            name: account.name.clone(),
            role: account.role,
            everywhere,
            tenants,
            disabled: account.disabled,
            has_password: account.password_hash.is_some(),
            made_at: account.created_at,
            made_by: account.created_by.clone(),
            changed_at: account.changed_at,
            version: account.version,
        }
    }
}

/// One page of a list that is ordered by id.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PageQuery {
    /// The maximum number of items to return, 1 to 500; 100 by default.
    pub(super) limit: Option<u32>,
    /// The `next` of the previous page; omit it for the first page.
    pub(super) cursor: Option<String>,
}

/// A page of accounts.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct AccountsResponse {
    /// The accounts that the caller can access, ordered by id.
    accounts: Vec<AccountResponse>,
    /// The `cursor` of the next page; null on the last page.
    next: Option<String>,
}

/// List accounts
///
/// Returns the accounts that the caller can access, ordered by id.
#[utoipa::path(
    get,
    path = "/api/v1/accounts",
    tag = "accounts",
    operation_id = "accounts",
    params(PageQuery),
    responses((status = 200, description = "The accounts, ordered by id.", body = AccountsResponse))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Query(page): Query<PageQuery>,
) -> Answered<AccountsResponse> {
    let limit = page_size(page.limit);
    let found = state.accounts.accounts(&author(&caller, None), page.cursor.as_deref(), limit as usize);
    let next = next_cursor(&found, limit, |last| last.id.to_string());
    Answered(AccountsResponse { accounts: found.iter().map(|account| (&**account).into()).collect(), next })
}

/// A new account.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewAccount)]
pub(in crate::http) struct NewAccountBody {
    /// The id of the account: lower-case letters, digits, `-`, `_`, `.`, `+` and `@`.
    id: String,
    /// The name of the account's user.
    #[serde(default)]
    name: String,
    /// The role, which determines the account's rights.
    role: Role,
    /// Whether the account can access every tenant, including future ones.
    #[serde(default)]
    everywhere: bool,
    /// The tenants that the account can access. A supervisor needs teams for each tenant, or `["*"]` for all teams.
    #[serde(default)]
    tenants: Vec<TenantScopeRequest>,
    /// The password, at least 12 characters. Without a password, the user signs in with links.
    // Kept out of the hash that a repeated request is known by.
    #[serde(default, skip_serializing)]
    password: Option<String>,
    /// The reason for the change, recorded in the audit log.
    #[serde(default)]
    reason: Option<String>,
}

/// Create an account
#[utoipa::path(
    post,
    path = "/api/v1/accounts",
    tag = "accounts",
    operation_id = "create_account",
    params(IdempotencyKeyHeader),
    request_body = NewAccountBody,
    responses((status = 201, description = "The new account. Its version is the `ETag`.", body = AccountResponse))
)]
pub(in crate::http) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    KeyedJson { body, key }: KeyedJson<NewAccountBody>,
) -> Result<Response, Problem> {
    let by = author(&caller, check_reason(body.reason)?);
    let new = NewAccount {
        id: body.id,
        name: body.name,
        role: body.role,
        scope: ScopeRequest { everywhere: body.everywhere, tenants: body.tenants },
        password: body.password.map(Secret::new),
    };
    let accounts = state.accounts.clone();
    let work = async move { Ok(accounts.add_account(new, &by).await?) };
    write_account(&state, &caller, key, StatusCode::CREATED, work).await
}

/// Retrieve an account
#[utoipa::path(
    get,
    path = "/api/v1/accounts/{id}",
    tag = "accounts",
    operation_id = "account",
    params(("id" = String, Path, description = "The id of the account.")),
    responses((status = 200, description = "The account. Its version is the `ETag`.", body = AccountResponse))
)]
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let account = state.accounts.account(&author(&caller, None), &id)?;
    Ok(([Version::new(account.version).header()], Answered(AccountResponse::from(&*account))).into_response())
}

/// The new values of an account.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AccountChange)]
pub(in crate::http) struct AccountBody {
    /// The name of the account's user.
    name: String,
    /// The role, which determines the account's rights.
    role: Role,
    /// Whether the account can access every tenant, including future ones.
    #[serde(default)]
    everywhere: bool,
    /// The tenants that the account can access. A supervisor needs teams for each tenant, or `["*"]` for all teams.
    #[serde(default)]
    tenants: Vec<TenantScopeRequest>,
    /// Whether the account is disabled. Disabling an account ends its sessions.
    disabled: bool,
    /// The reason for the change, recorded in the audit log.
    #[serde(default)]
    reason: Option<String>,
}

/// Update an account
///
/// Changed rights take effect at once, also in open sessions.
#[utoipa::path(
    put,
    path = "/api/v1/accounts/{id}",
    tag = "accounts",
    operation_id = "put_account",
    params(("id" = String, Path, description = "The id of the account."), IfMatchHeader, IdempotencyKeyHeader),
    request_body = AccountBody,
    responses((status = 200, description = "The updated account. Its version is the `ETag`.", body = AccountResponse))
)]
pub(in crate::http) async fn put(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    if_match: IfMatch,
    KeyedJson { body, key }: KeyedJson<AccountBody>,
) -> Result<Response, Problem> {
    let by = author(&caller, check_reason(body.reason)?);
    let accounts = state.accounts.clone();
    let changes = AccountChanges {
        name: body.name,
        role: body.role,
        scope: Some(ScopeRequest { everywhere: body.everywhere, tenants: body.tenants }),
        disabled: body.disabled,
        version: None,
    };
    let work = async move {
        let before = accounts.account(&by, &id)?;
        if_match.check(&Version::new(before.version))?;
        // The version is checked again where the change is made.
        let changes = AccountChanges { version: Some(before.version), ..changes };
        Ok(accounts.change_account(&id, changes, &by).await?)
    };
    write_account(&state, &caller, key, StatusCode::OK, work).await
}

/// A new password for an account.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewPassword)]
pub(in crate::http) struct PasswordBody {
    /// The new password, at least 12 characters.
    // Kept out of the hash that a repeated request is known by.
    #[serde(skip_serializing)]
    password: String,
    /// The reason for the change, recorded in the audit log.
    #[serde(default)]
    reason: Option<String>,
}

/// Set an account's password
///
/// Ends all sessions of the account.
#[utoipa::path(
    post,
    path = "/api/v1/accounts/{id}/password",
    tag = "accounts",
    operation_id = "set_password",
    params(("id" = String, Path, description = "The id of the account."), IdempotencyKeyHeader),
    request_body = PasswordBody,
    responses((status = 200, description = "The account with its new version, which is the `ETag`.", body = AccountResponse))
)]
pub(in crate::http) async fn set_password(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    KeyedJson { body, key }: KeyedJson<PasswordBody>,
) -> Result<Response, Problem> {
    let by = author(&caller, check_reason(body.reason)?);
    let accounts = state.accounts.clone();
    let work = async move { Ok(accounts.set_password(&id, Secret::new(&body.password), &by).await?) };
    write_account(&state, &caller, key, StatusCode::OK, work).await
}

/// Writes an account, only once per idempotency key. The response is the account after the change, with its `ETag`.
async fn write_account(
    state: &ApiState,
    caller: &Caller,
    key: Option<IdempotencyKey>,
    status: StatusCode,
    work: impl Future<Output = Result<Arc<Account>, Problem>> + Send + 'static,
) -> Result<Response, Problem> {
    let work = async move { Ok(json_answer(status, &AccountResponse::from(&*work.await?))) };
    Box::pin(run_once_versioned(state, caller, None, key, work)).await
}

/// A request for a sign-in link.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewLink)]
pub(in crate::http) struct LinkBody {
    /// How long the link is valid, in seconds: at most 86400 (one day); 900 (15 minutes) by default.
    #[serde(default)]
    lasts_s: Option<u64>,
    /// The reason for the link, recorded in the audit log.
    #[serde(default)]
    reason: Option<String>,
}

/// A link with which a user can sign in once.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct LinkResponse {
    /// The id of the account.
    id: String,
    /// The path of the sign-in page on the daemon's address. Anybody who has the link can sign in with it, once.
    path: String,
    /// How long the link is valid, in seconds.
    lasts_s: u64,
}

/// Create a sign-in link
///
/// Creates a link for a user who has no password yet or has forgotten it. The link works once. Links are kept in
/// memory, so restarting the daemon invalidates them.
#[utoipa::path(
    post,
    path = "/api/v1/accounts/{id}/link",
    tag = "accounts",
    operation_id = "make_link",
    params(("id" = String, Path, description = "The id of the account."), IdempotencyKeyHeader),
    request_body = LinkBody,
    responses((status = 201, description = "The link.", body = LinkResponse))
)]
pub(in crate::http) async fn make_link(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    KeyedJson { body, key }: KeyedJson<LinkBody>,
) -> Result<Response, Problem> {
    let by = author(&caller, check_reason(body.reason)?);
    let lifetime = body.lasts_s.map_or(LINK_LIFETIME, Duration::from_secs);
    if lifetime.is_zero() || lifetime > MAX_LINK_LIFETIME {
        return Err(Problem::bad_request("lasts_s: 1 to 86400"));
    }
    let accounts = state.accounts.clone();
    let work = async move {
        let code = accounts.create_link(&id, lifetime, &by).await?;
        let link = LinkResponse { id, path: format!("/sign-in/once/{}", code.expose()), lasts_s: lifetime.as_secs() };
        Ok(unrecorded_answer(json_answer(StatusCode::CREATED, &link)))
    };
    run_once_for_answer(&state, &caller, None, key, work).await
}

/// Keeps a response with a secret from being stored for repetitions of the request.
pub(in crate::http) fn unrecorded_answer(answer: StoredResponse) -> StoredResponse {
    StoredResponse { is_stored: true, ..answer }
}

/// Returns the author of a change: the caller, with an optional reason.
pub(in crate::http) fn author(caller: &Caller, reason: Option<String>) -> Author {
    Author::person(caller.requester(), caller.permissions().clone(), reason)
}

/// Checks the length of a reason; an empty reason becomes `None`.
pub(in crate::http) fn check_reason(reason: Option<String>) -> Result<Option<String>, Problem> {
    let reason = reason.filter(|reason| !reason.trim().is_empty());
    check_length("reason", reason.as_deref(), MAX_REASON_CHARS)?;
    Ok(reason)
}
