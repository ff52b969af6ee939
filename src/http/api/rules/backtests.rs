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

/// What is to be tried.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewBacktestBody {
    /// Over whose history.
    tenant: TenantId,
    /// TOML of one `[[rules]]` table: a new rule, or another version of one that there is.
    #[serde(default)]
    text: Option<String>,
    /// A rule as it is. Without this and `text`, all rules as they are.
    #[serde(default)]
    rule: Option<RuleId>,
    /// First instant of the span; as long before `to` as may be without it.
    #[serde(default)]
    from: Option<UtcMicros>,
    /// First instant after it; not ahead of now, and at most `automation.backtest_days` later. Now without it.
    #[serde(default)]
    to: Option<UtcMicros>,
}

has_tenant!(NewBacktestBody, CancelBacktestBody);

/// Try a rule on history
///
/// 202 with the trial, which goes on by itself; it is followed by its id. Trials are kept in memory: a restart forgets them.
#[utoipa::path(
    post,
    path = "/api/v1/rule-trials",
    tag = "rules",
    operation_id = "try_rules",
    params(IdempotencyKeyHeader),
    request_body = NewBacktestBody,
    responses((status = 202, description = "it waits or runs", body = Backtest))
)]
pub(in crate::http) async fn create(
    State(state): State<ApiState>,
    AuthorizedRequest { caller, tenant, body, key }: AuthorizedRequest<NewBacktestBody>,
) -> Result<Response, Problem> {
    caller.check_all_teams(&state, Right::EditRules, &tenant)?;
    let subject = match (body.text, body.rule) {
        (Some(_), Some(_)) => return Err(Problem::bad_request("name `text` or `rule`, not both")),
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

/// Trials.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct BacktestsResponse {
    /// Newest first, without their results.
    trials: Vec<Backtest>,
}

/// The trials of a tenant
#[utoipa::path(
    get,
    path = "/api/v1/rule-trials",
    tag = "rules",
    operation_id = "list_trials",
    params(TenantQuery),
    responses((status = 200, description = "those since the daemon's start, the last twenty", body = BacktestsResponse))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Query(TenantQuery { tenant }): Query<TenantQuery>,
) -> Result<Json<BacktestsResponse>, Problem> {
    caller.check_all_teams(&state, Right::EditRules, &tenant)?;
    Ok(Json(BacktestsResponse { trials: state.backtests.list(&tenant) }))
}

/// One trial, with its result once it has one
#[utoipa::path(
    get,
    path = "/api/v1/rule-trials/{id}",
    tag = "rules",
    operation_id = "show_trial",
    params(("id" = BacktestId, Path, description = "The trial."), TenantQuery),
    responses((status = 200, description = "the trial", body = Backtest))
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

/// Which tenant's trial stops.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct CancelBacktestBody {
    /// Whose.
    tenant: TenantId,
}

/// Stop a trial
///
/// One that has ended stays as it is.
#[utoipa::path(
    post,
    path = "/api/v1/rule-trials/{id}/cancel",
    tag = "rules",
    operation_id = "cancel_trial",
    params(("id" = BacktestId, Path, description = "The trial."), IdempotencyKeyHeader),
    request_body = CancelBacktestBody,
    responses((status = 200, description = "the trial", body = Backtest))
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
    Problem::from_code(Code::NoSuchBacktest, format!("there is no trial {id}; trials are lost at a restart"))
}
