//! Accounts: looked at, made, changed, given a password or a link to sign in once.

use std::sync::Arc;
use std::time::Duration;

use axum::Json as Answered;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::access::account::Account;
use crate::domain::access::rights::{Reach, Role, WantedReach, WantedTenant};
use crate::domain::access::secret::Secret;
use crate::domain::ids::{TeamName, TenantId};
use crate::domain::time::UtcMicros;
use crate::engine::access::accounts::{AccountChanges, By, LINK_LASTS, NewAccount};
use crate::engine::changes::door::IdempotencyKey;
use crate::engine::changes::repeats::Answer;
use crate::http::ApiState;
use crate::http::auth::Caller;
use crate::http::etag::{IfMatch, IfMatchHeader, Version};
use crate::http::extract::{Json, Path, Query};
use crate::http::problem::Problem;
use crate::http::request_key::{KeyHeader, RequestKey, answer, once, once_versioned};
use crate::store::PAGE_LIMIT;

/// Longest accepted reason, in characters.
const LONGEST_REASON: usize = 1000;

/// The longest life of a sign-in link.
const LONGEST_LINK: Duration = Duration::from_secs(24 * 3600);

/// A tenant within reach of an account or a token.
#[derive(Serialize, ToSchema)]
pub struct Reached {
    /// Its id.
    id: TenantId,
    /// Its teams; null for all of them.
    teams: Option<Vec<TeamName>>,
}

/// How far somebody reaches, as it is shown.
pub(in crate::http) fn shown_reach(reach: &Reach) -> (bool, Vec<Reached>) {
    match reach {
        Reach::Everywhere => (true, Vec::new()),
        Reach::Only(tenants) => {
            let one = |(id, teams): (&TenantId, &crate::domain::access::rights::Teams)| Reached {
                id: id.clone(),
                teams: teams.as_ref().map(|teams| teams.iter().cloned().collect()),
            };
            (false, tenants.iter().map(one).collect())
        }
    }
}

/// An account.
#[derive(Serialize, ToSchema)]
#[schema(as = Account)]
pub struct AccountShown {
    /// What its owner signs in as.
    id: String,
    /// Its owner's name.
    name: String,
    /// What it may do.
    role: Role,
    /// It reaches every tenant.
    everywhere: bool,
    /// The tenants that it reaches.
    tenants: Vec<Reached>,
    /// Nobody can use it.
    disabled: bool,
    /// It has a password.
    has_password: bool,
    /// When it was made, in real time.
    made_at: UtcMicros,
    /// By whom.
    made_by: String,
    /// When it was last changed, in real time.
    changed_at: UtcMicros,
    /// How often it was written, from 1; its `ETag`.
    version: u64,
}

impl From<&Account> for AccountShown {
    fn from(account: &Account) -> Self {
        let (everywhere, tenants) = shown_reach(&account.reach);
        Self {
            id: account.id.to_string(),
            name: account.name.clone(),
            role: account.role,
            everywhere,
            tenants,
            disabled: account.disabled,
            has_password: account.password.is_some(),
            made_at: account.made_at,
            made_by: account.made_by.clone(),
            changed_at: account.changed_at,
            version: account.version,
        }
    }
}

/// A page of a list by id.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Paged {
    /// At most so many, 1 to 500.
    limit: Option<u32>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

impl Paged {
    /// How many there may be.
    pub(in crate::http) fn limit(&self) -> usize {
        self.limit.unwrap_or(100).clamp(1, PAGE_LIMIT) as usize
    }

    /// The id that the page before ended with.
    pub(in crate::http) fn after(&self) -> Option<&str> {
        self.cursor.as_deref()
    }
}

/// Accounts.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Accounts {
    /// Those within reach, by id.
    accounts: Vec<AccountShown>,
    /// For the next page.
    next: Option<String>,
}

/// The accounts within reach
#[utoipa::path(
    get,
    path = "/api/v1/accounts",
    tag = "accounts",
    operation_id = "accounts",
    params(Paged),
    responses((status = 200, description = "the accounts, by id", body = Accounts))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Query(page): Query<Paged>,
) -> Answered<Accounts> {
    let found = state.accounts.accounts(&by(&caller, None), page.after(), page.limit());
    let next = found.last().filter(|_| found.len() == page.limit()).map(|last| last.id.to_string());
    Answered(Accounts { accounts: found.iter().map(|account| (&**account).into()).collect(), next })
}

/// An account to make.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewAccount)]
pub(in crate::http) struct NewAccountBody {
    /// Lower-case letters, digits, `-`, `_`, `.`, `+` and `@`.
    id: String,
    /// Its owner's name.
    #[serde(default)]
    name: String,
    /// What it may do.
    role: Role,
    /// It reaches every tenant.
    #[serde(default)]
    everywhere: bool,
    /// The tenants that it reaches; a supervisor's with their teams, or `["*"]`.
    #[serde(default)]
    tenants: Vec<WantedTenant>,
    /// At least 12 characters; without one its owner signs in with links.
    // Kept out of the hash that a repeated request is known by.
    #[serde(default, skip_serializing)]
    password: Option<String>,
    /// Why, for the audit trail.
    #[serde(default)]
    reason: Option<String>,
}

/// Make an account
#[utoipa::path(
    post,
    path = "/api/v1/accounts",
    tag = "accounts",
    operation_id = "create_account",
    params(KeyHeader),
    request_body = NewAccountBody,
    responses((status = 201, description = "made, its version as `ETag`", body = AccountShown))
)]
pub(in crate::http) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    key: RequestKey,
    Json(body): Json<NewAccountBody>,
) -> Result<Response, Problem> {
    let key = key.with_json(&body)?;
    let by = by(&caller, checked_reason(body.reason)?);
    let new = NewAccount {
        id: body.id,
        name: body.name,
        role: body.role,
        reach: WantedReach { everywhere: body.everywhere, tenants: body.tenants },
        password: body.password.map(Secret::new),
    };
    let accounts = state.accounts.clone();
    let work = async move { Ok(accounts.add_account(new, &by).await?) };
    written(&state, &caller, key, StatusCode::CREATED, work).await
}

/// An account
#[utoipa::path(
    get,
    path = "/api/v1/accounts/{id}",
    tag = "accounts",
    operation_id = "account",
    params(("id" = String, Path, description = "The account.")),
    responses((status = 200, description = "the account, its version as `ETag`", body = AccountShown))
)]
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let account = state.accounts.account(&by(&caller, None), &id)?;
    Ok(([Version::of(account.version).header()], Answered(AccountShown::from(&*account))).into_response())
}

/// What an account is to be.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AccountChange)]
pub(in crate::http) struct AccountBody {
    /// Its owner's name.
    name: String,
    /// What it may do.
    role: Role,
    /// It reaches every tenant.
    #[serde(default)]
    everywhere: bool,
    /// The tenants that it reaches.
    #[serde(default)]
    tenants: Vec<WantedTenant>,
    /// Nobody can use it; who has is out.
    disabled: bool,
    /// Why, for the audit trail.
    #[serde(default)]
    reason: Option<String>,
}

/// Change an account
///
/// What its owner may do changes at once, also in a browser that is signed in.
#[utoipa::path(
    put,
    path = "/api/v1/accounts/{id}",
    tag = "accounts",
    operation_id = "put_account",
    params(("id" = String, Path, description = "The account."), IfMatchHeader, KeyHeader),
    request_body = AccountBody,
    responses((status = 200, description = "changed, its version as `ETag`", body = AccountShown))
)]
pub(in crate::http) async fn put(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    if_match: IfMatch,
    key: RequestKey,
    Json(body): Json<AccountBody>,
) -> Result<Response, Problem> {
    let key = key.with_json(&body)?;
    let by = by(&caller, checked_reason(body.reason)?);
    let accounts = state.accounts.clone();
    let to = AccountChanges {
        name: body.name,
        role: body.role,
        reach: Some(WantedReach { everywhere: body.everywhere, tenants: body.tenants }),
        disabled: body.disabled,
        version: None,
    };
    let work = async move {
        let before = accounts.account(&by, &id)?;
        if_match.check(&Version::of(before.version))?;
        // Looked at once more where the change is made.
        let to = AccountChanges { version: Some(before.version), ..to };
        Ok(accounts.change_account(&id, to, &by).await?)
    };
    written(&state, &caller, key, StatusCode::OK, work).await
}

/// A password.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewPassword)]
pub(in crate::http) struct PasswordBody {
    /// At least 12 characters.
    // Kept out of the hash that a repeated request is known by.
    #[serde(skip_serializing)]
    password: String,
    /// Why, for the audit trail.
    #[serde(default)]
    reason: Option<String>,
}

/// Set an account's password
///
/// Whoever is signed in with the account is out.
#[utoipa::path(
    post,
    path = "/api/v1/accounts/{id}/password",
    tag = "accounts",
    operation_id = "set_password",
    params(("id" = String, Path, description = "The account."), KeyHeader),
    request_body = PasswordBody,
    responses((status = 200, description = "set, its version as `ETag`", body = AccountShown))
)]
pub(in crate::http) async fn set_password(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    key: RequestKey,
    Json(body): Json<PasswordBody>,
) -> Result<Response, Problem> {
    let key = key.with_json(&body)?;
    let by = by(&caller, checked_reason(body.reason)?);
    let accounts = state.accounts.clone();
    let work = async move { Ok(accounts.set_password(&id, Secret::new(&body.password), &by).await?) };
    written(&state, &caller, key, StatusCode::OK, work).await
}

/// Writes an account, under a key only once; the answer is the account as it is then, with its `ETag`.
async fn written(
    state: &ApiState,
    caller: &Caller,
    key: Option<IdempotencyKey>,
    status: StatusCode,
    work: impl Future<Output = Result<Arc<Account>, Problem>> + Send + 'static,
) -> Result<Response, Problem> {
    let work = async move { Ok(answer(status, &AccountShown::from(&*work.await?))) };
    Box::pin(once_versioned(state, caller, None, key, work)).await
}

/// A wish for a link.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewLink)]
pub(in crate::http) struct LinkBody {
    /// How long it is good, in seconds, at most a day; a quarter of an hour without it.
    #[serde(default)]
    lasts_s: Option<u64>,
    /// Why, for the audit trail.
    #[serde(default)]
    reason: Option<String>,
}

/// A link to sign in once.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Link {
    /// The account.
    id: String,
    /// The path of the page that it leads to, at the daemon's address. Whoever has it can sign in once.
    path: String,
    /// How long it is good, in seconds.
    lasts_s: u64,
}

/// Make a link to sign in once
///
/// For somebody who has no password yet, or has forgotten it. It is kept in memory: a restart of the daemon ends it.
#[utoipa::path(
    post,
    path = "/api/v1/accounts/{id}/link",
    tag = "accounts",
    operation_id = "make_link",
    params(("id" = String, Path, description = "The account."), KeyHeader),
    request_body = LinkBody,
    responses((status = 201, description = "made", body = Link))
)]
pub(in crate::http) async fn make_link(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    key: RequestKey,
    Json(body): Json<LinkBody>,
) -> Result<Response, Problem> {
    let key = key.with_json(&body)?;
    let by = by(&caller, checked_reason(body.reason)?);
    let lasts = body.lasts_s.map_or(LINK_LASTS, Duration::from_secs);
    if lasts.is_zero() || lasts > LONGEST_LINK {
        return Err(Problem::bad_request("lasts_s: 1 to 86400"));
    }
    let accounts = state.accounts.clone();
    let work = async move {
        let code = accounts.make_link(&id, lasts, &by).await?;
        let link = Link { id, path: format!("/sign-in/once/{}", code.expose()), lasts_s: lasts.as_secs() };
        Ok(secret_answer(answer(StatusCode::CREATED, &link)))
    };
    once(&state, &caller, None, key, work).await
}

/// An answer with a secret in it is not kept for a repetition: it would stand in the store.
pub(in crate::http) fn secret_answer(answer: Answer) -> Answer {
    Answer { kept: true, ..answer }
}

/// Who asks, for `Accounts`.
pub(in crate::http) fn by(caller: &Caller, reason: Option<String>) -> By {
    By::person(caller.asker(), caller.powers().clone(), reason)
}

/// A reason that is short enough; an empty one is none.
pub(in crate::http) fn checked_reason(reason: Option<String>) -> Result<Option<String>, Problem> {
    let reason = reason.filter(|reason| !reason.trim().is_empty());
    if reason.as_ref().is_some_and(|reason| reason.chars().count() > LONGEST_REASON) {
        return Err(Problem::bad_request(format!("reason: at most {LONGEST_REASON} characters")));
    }
    Ok(reason)
}
