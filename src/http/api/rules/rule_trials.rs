//! Trials: rules replayed over stored history.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::ids::{RuleId, TenantId, TrialId};
use crate::domain::time::UtcMicros;
use crate::engine::rules::trials::{Trial, TrialRefused, TrialWish};
use crate::http::ApiState;
use crate::http::auth::{Caller, Right};
use crate::http::extract::{Json as Body, Path, Query};
use crate::http::problem::{Code, Problem};
use crate::http::request_key::{KeyHeader, RequestKey, answer, once};

/// Which tenant is meant.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct OfTenant {
    /// Whose.
    tenant: TenantId,
}

/// What is to be tried.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewTrial {
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
    /// First instant after it; not ahead of now, and at most `automation.trial_days` later. Now without it.
    #[serde(default)]
    to: Option<UtcMicros>,
}

/// Try a rule on history
///
/// 202 with the trial, which goes on by itself; it is followed by its id. Trials are kept in memory: a restart forgets them.
#[utoipa::path(
    post,
    path = "/api/v1/rule-trials",
    tag = "rules",
    operation_id = "try_rules",
    params(KeyHeader),
    request_body = NewTrial,
    responses((status = 202, description = "it waits or runs", body = Trial))
)]
pub(in crate::http) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    key: RequestKey,
    Body(body): Body<NewTrial>,
) -> Result<Response, Problem> {
    caller.check_whole(&state, Right::EditRules, &body.tenant)?;
    let key = key.with_json(&body)?;
    let NewTrial { tenant, text, rule, from, to } = body;
    let wish = match (text, rule) {
        (Some(_), Some(_)) => return Err(Problem::bad_request("name `text` or `rule`, not both")),
        (Some(text), None) => TrialWish::Text(text),
        (None, Some(rule)) => TrialWish::Rule(rule),
        (None, None) => TrialWish::AllRules,
    };
    let (door, trials, of, asked_by) = (state.door.clone(), state.trials.clone(), tenant.clone(), caller.id());
    let work = async move {
        let kit = door.prepare_trial(&of, wish).await??;
        let trial = trials.ask(&of, &asked_by, kit, (from, to))?;
        Ok(answer(StatusCode::ACCEPTED, &trial))
    };
    once(&state, &caller, Some(&tenant), key, work).await
}

impl From<TrialRefused> for Problem {
    fn from(refused: TrialRefused) -> Self {
        let detail = refused.to_string();
        match refused {
            TrialRefused::Span { .. } => Self::of(Code::TrialRefused, detail),
            TrialRefused::TooMany => Self::of(Code::TooManyTrials, detail).retry_after(30),
        }
    }
}

/// Trials.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct TrialsView {
    /// Newest first, without their results.
    trials: Vec<Trial>,
}

/// The trials of a tenant
#[utoipa::path(
    get,
    path = "/api/v1/rule-trials",
    tag = "rules",
    operation_id = "list_trials",
    params(OfTenant),
    responses((status = 200, description = "those since the daemon's start, the last twenty", body = TrialsView))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Query(OfTenant { tenant }): Query<OfTenant>,
) -> Result<Json<TrialsView>, Problem> {
    caller.check_whole(&state, Right::EditRules, &tenant)?;
    Ok(Json(TrialsView { trials: state.trials.list(&tenant) }))
}

/// One trial, with its result once it has one
#[utoipa::path(
    get,
    path = "/api/v1/rule-trials/{id}",
    tag = "rules",
    operation_id = "show_trial",
    params(("id" = TrialId, Path, description = "The trial."), OfTenant),
    responses((status = 200, description = "the trial", body = Trial))
)]
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<TrialId>,
    Query(OfTenant { tenant }): Query<OfTenant>,
) -> Result<Json<Trial>, Problem> {
    caller.check_whole(&state, Right::EditRules, &tenant)?;
    state.trials.one(&tenant, id).map(Json).ok_or_else(|| unknown(id))
}

/// Which tenant's trial stops.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct StopTrial {
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
    params(("id" = TrialId, Path, description = "The trial."), KeyHeader),
    request_body = StopTrial,
    responses((status = 200, description = "the trial", body = Trial))
)]
pub(in crate::http) async fn cancel(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<TrialId>,
    key: RequestKey,
    Body(body): Body<StopTrial>,
) -> Result<Response, Problem> {
    caller.check_whole(&state, Right::EditRules, &body.tenant)?;
    let key = key.with_json(&body)?;
    let (trials, of) = (state.trials.clone(), body.tenant.clone());
    let work = async move {
        let trial = trials.cancel(&of, id).ok_or_else(|| unknown(id))?;
        Ok(answer(StatusCode::OK, &trial))
    };
    once(&state, &caller, Some(&body.tenant), key, work).await
}

fn unknown(id: TrialId) -> Problem {
    Problem::of(Code::NoSuchTrial, format!("there is no trial {id}; trials are lost at a restart"))
}
