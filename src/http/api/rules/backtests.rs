//! Backtests: rules run over stored history.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::ids::{BacktestId, RuleId, TenantId};
use crate::domain::time::UtcMicros;
use crate::engine::rules::backtests::{Backtest, BacktestError, BacktestRequest};
use crate::http::auth::{Caller, Right};
use crate::http::problem::{Code, Problem};
use crate::http::request::authorized_request::{AuthorizedRequest, has_tenant};
use crate::http::request::extract::{Path, Query};
use crate::http::request::idempotency::{IdempotencyKeyHeader, run_once};
use crate::http::request::query::TenantQuery;
use crate::http::state::ApiState;

/// A backtest to run.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewBacktestBody {
    /// The id of the tenant whose history is used.
    tenant: TenantId,
    /// The TOML of one `[[rules]]` table: a new rule, or a new version of an existing rule.
    #[serde(default)]
    text: Option<String>,
    /// The id of an existing rule to test as it is. Without `rule` and `text`, all rules are tested as they are.
    #[serde(default)]
    rule: Option<RuleId>,
    /// The start of the time range (inclusive); by default as long before `to` as is allowed.
    #[serde(default)]
    from: Option<UtcMicros>,
    /// The end of the time range (exclusive), not in the future and at most `automation.trial_days` after `from`;
    /// now by default.
    #[serde(default)]
    to: Option<UtcMicros>,
}

has_tenant!(NewBacktestBody, CancelBacktestBody);

/// Start a backtest
///
/// The response is 202 with the backtest, which runs in the background; follow it by its id. Backtests are kept in
/// memory and are lost when the daemon restarts.
#[utoipa::path(
    post,
    path = "/api/v1/rule-trials",
    tag = "rules",
    operation_id = "try_rules",
    params(IdempotencyKeyHeader),
    request_body = NewBacktestBody,
    responses((status = 202, description = "The backtest, which waits or has started.", body = Backtest))
)]
pub(in crate::http) async fn create(
    State(state): State<ApiState>,
    AuthorizedRequest { caller, tenant, body, key }: AuthorizedRequest<NewBacktestBody>,
) -> Result<Response, Problem> {
    caller.check_all_teams(&state, Right::EditRules, &tenant)?;
    let subject = match (body.text, body.rule) {
        (Some(_), Some(_)) => return Err(Problem::bad_request("name either `text` or `rule`, not both")),
        (Some(text), None) => BacktestRequest::Text(text),
        (None, Some(rule)) => BacktestRequest::Rule(rule),
        (None, None) => BacktestRequest::AllRules,
    };
    let (keepers, backtests, requested_by) = (state.keepers.clone(), state.backtests.clone(), caller.id());
    let work = async move {
        let prepared = keepers.prepare_backtest(&body.tenant, subject).await??;
        Ok(backtests.submit(&body.tenant, &requested_by, prepared, (body.from, body.to))?)
    };
    run_once(&state, &caller, Some(&tenant), key, StatusCode::ACCEPTED, work).await
}

impl From<BacktestError> for Problem {
    fn from(refused: BacktestError) -> Self {
        let detail = refused.to_string();
        match refused {
            BacktestError::Span { .. } => Self::from_code(Code::BacktestRefused, detail),
            BacktestError::TooMany => Self::from_code(Code::TooManyBacktests, detail).with_retry_after(30),
        }
    }
}

/// The backtests of a tenant.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct BacktestsResponse {
    /// The backtests, newest first, without their results.
    trials: Vec<Backtest>,
}

/// List backtests
#[utoipa::path(
    get,
    path = "/api/v1/rule-trials",
    tag = "rules",
    operation_id = "list_trials",
    params(TenantQuery),
    responses((status = 200, description = "The latest backtests since the daemon started, at most 20.", body = BacktestsResponse))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Query(TenantQuery { tenant }): Query<TenantQuery>,
) -> Result<Json<BacktestsResponse>, Problem> {
    caller.check_all_teams(&state, Right::EditRules, &tenant)?;
    Ok(Json(BacktestsResponse { trials: state.backtests.list(&tenant) }))
}

/// Retrieve a backtest
///
/// Includes the result once the backtest is done.
#[utoipa::path(
    get,
    path = "/api/v1/rule-trials/{id}",
    tag = "rules",
    operation_id = "show_trial",
    params(("id" = BacktestId, Path, description = "The id of the backtest."), TenantQuery),
    responses((status = 200, description = "The backtest.", body = Backtest))
)]
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<BacktestId>,
    Query(TenantQuery { tenant }): Query<TenantQuery>,
) -> Result<Json<Backtest>, Problem> {
    caller.check_all_teams(&state, Right::EditRules, &tenant)?;
    state.backtests.get(&tenant, id).map(Json).ok_or_else(|| no_such_backtest(id))
}

/// The tenant of the backtest to cancel.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct CancelBacktestBody {
    /// The id of the tenant.
    tenant: TenantId,
}

/// Cancel a backtest
///
/// A backtest that has ended does not change.
#[utoipa::path(
    post,
    path = "/api/v1/rule-trials/{id}/cancel",
    tag = "rules",
    operation_id = "cancel_trial",
    params(("id" = BacktestId, Path, description = "The id of the backtest."), IdempotencyKeyHeader),
    request_body = CancelBacktestBody,
    responses((status = 200, description = "The backtest.", body = Backtest))
)]
pub(in crate::http) async fn cancel(
    State(state): State<ApiState>,
    Path(id): Path<BacktestId>,
    AuthorizedRequest { caller, tenant, body, key }: AuthorizedRequest<CancelBacktestBody>,
) -> Result<Response, Problem> {
    caller.check_all_teams(&state, Right::EditRules, &tenant)?;
    let backtests = state.backtests.clone();
    let work = async move { backtests.cancel(&body.tenant, id).ok_or_else(|| no_such_backtest(id)) };
    run_once(&state, &caller, Some(&tenant), key, StatusCode::OK, work).await
}

fn no_such_backtest(id: BacktestId) -> Problem {
    Problem::from_code(Code::NoSuchBacktest, format!("there is no backtest {id}; trials are lost at a restart"))
}
