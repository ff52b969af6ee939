//! Jobs of the calendar: looked at, and run at once.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::domain::ids::{JobId, TenantId};
use crate::domain::job::JobKey;
use crate::engine::jobs::RunView;
use crate::http::ApiState;
use crate::http::auth::{Caller, Right};
use crate::http::problem::Problem;
use crate::http::request_key::{RequestKey, answer, once};

/// How many runs of a job are shown.
const RUNS_SHOWN: u32 = 100;

/// Which tenant's jobs are meant; without it, all within reach and the daemon's own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct OfTenant {
    tenant: Option<TenantId>,
}

/// Every job that the caller may see, with its last and next run. The daemon's own show to every caller.
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    query: Result<Query<OfTenant>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(OfTenant { tenant }) = query?;
    check_read(&state, &caller, tenant.as_ref())?;
    let mut views = state.jobs.views(&state.reader).await?;
    views.retain(|view| match (&view.tenant, &tenant) {
        (None, _) => true,
        (Some(of), Some(wanted)) => of == wanted,
        (Some(of), None) => caller.check(&state, Right::Read, of).is_ok(),
    });
    Ok(Json(json!({"jobs": views})))
}

/// The newest runs of a job, the last one first.
pub(in crate::http) async fn runs(
    State(state): State<ApiState>,
    caller: Caller,
    job: Result<Path<JobId>, PathRejection>,
    query: Result<Query<OfTenant>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let (Path(job), Query(OfTenant { tenant })) = (job?, query?);
    check_read(&state, &caller, tenant.as_ref())?;
    let runs = state.reader.job_runs(&JobKey { tenant, job }, RUNS_SHOWN).await?;
    Ok(Json(json!({"runs": runs.iter().map(RunView::from).collect::<Vec<_>>()})))
}

/// Whoever may look at some tenant may look at the daemon's own jobs.
fn check_read(state: &ApiState, caller: &Caller, tenant: Option<&TenantId>) -> Result<(), Problem> {
    match tenant {
        Some(tenant) => caller.check(state, Right::Read, tenant),
        None => state
            .door
            .tenants()
            .ids()
            .iter()
            .map(|tenant| caller.check(state, Right::Read, tenant))
            .reduce(Result::or)
            .unwrap_or(Ok(())),
    }
}

/// Runs a job now: 202 with the number of the run, 409 while it runs already. For the daemon's own, the caller must have the right
/// at every tenant.
pub(in crate::http) async fn run(
    State(state): State<ApiState>,
    caller: Caller,
    job: Result<Path<JobId>, PathRejection>,
    query: Result<Query<OfTenant>, QueryRejection>,
    key: RequestKey,
) -> Result<Response, Problem> {
    let (Path(job), Query(OfTenant { tenant })) = (job?, query?);
    match &tenant {
        Some(tenant) => caller.check(&state, Right::Change, tenant)?,
        None if state.door.tenants().ids().iter().all(|tenant| caller.check(&state, Right::Change, tenant).is_ok()) => {
        }
        None => {
            let detail = "the daemon's own jobs take the right to change at every tenant";
            return Err(Problem::new(StatusCode::FORBIDDEN, "not_permitted", detail));
        }
    }
    let (jobs, of, actor) = (state.jobs.clone(), JobKey { tenant: tenant.clone(), job }, caller.id());
    let work = async move {
        let run = jobs.run_now(of.clone(), actor).await?;
        Ok(answer(StatusCode::ACCEPTED, &json!({"job": of.job, "tenant": of.tenant, "run": run})))
    };
    once(&state, &caller, tenant.as_ref(), key.with(&[]), work).await
}
