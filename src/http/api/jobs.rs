//! Scheduled jobs: read, and run now.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::ids::{JobId, TenantId};
use crate::domain::jobs::job::JobKey;
use crate::engine::jobs::{JobView, RunView};
use crate::http::auth::{Caller, Right};
use crate::http::problem::{Code, Problem};
use crate::http::request::extract::{Path, Query};
use crate::http::request::idempotency::{IdempotencyKeyHeader, RequestKey, run_once};
use crate::http::state::ApiState;

/// The maximum number of runs of a job that are returned.
const MAX_RUNS: u32 = 100;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct JobsQuery {
    /// The id of a tenant whose jobs to return. By default the jobs of all accessible tenants and of the daemon itself.
    tenant: Option<TenantId>,
}

/// The scheduled jobs.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct JobsResponse {
    /// The jobs, each with its last and next run.
    jobs: Vec<JobView>,
}

/// List jobs
///
/// Returns the scheduled jobs of the accessible tenants and of the daemon itself, each with its last and next run.
#[utoipa::path(
    get,
    path = "/api/v1/jobs",
    tag = "daemon",
    operation_id = "list_jobs",
    params(JobsQuery),
    responses((status = 200, description = "The jobs.", body = JobsResponse))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Query(JobsQuery { tenant }): Query<JobsQuery>,
) -> Result<Json<JobsResponse>, Problem> {
    check_read(&state, &caller, tenant.as_ref())?;
    let mut views = state.jobs.views(&state.reader).await?;
    views.retain(|view| match (&view.tenant, &tenant) {
        (None, _) => true,
        (Some(of), Some(requested)) => of == requested,
        (Some(of), None) => caller.check(&state, Right::Read, of).is_ok(),
    });
    Ok(Json(JobsResponse { jobs: views }))
}

/// The runs of a job.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct JobRunsResponse {
    /// The latest 100 runs, newest first.
    runs: Vec<RunView>,
}

/// List the runs of a job
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{id}/runs",
    tag = "daemon",
    operation_id = "job_runs",
    params(("id" = JobId, Path, description = "The id of the job."), JobsQuery),
    responses((status = 200, description = "The runs; empty if the job has never run.", body = JobRunsResponse))
)]
pub(in crate::http) async fn runs(
    State(state): State<ApiState>,
    caller: Caller,
    Path(job): Path<JobId>,
    Query(JobsQuery { tenant }): Query<JobsQuery>,
) -> Result<Json<JobRunsResponse>, Problem> {
    check_read(&state, &caller, tenant.as_ref())?;
    let runs = state.reader.job_runs(&JobKey { tenant, job }, MAX_RUNS).await?;
    Ok(Json(JobRunsResponse { runs: runs.iter().map(RunView::from).collect() }))
}

/// Checks that the caller may read a job; everybody who may read some tenant may read the daemon's own jobs.
fn check_read(state: &ApiState, caller: &Caller, tenant: Option<&TenantId>) -> Result<(), Problem> {
    match tenant {
        Some(tenant) => caller.check(state, Right::Read, tenant),
        None => state
            .keepers
            .tenants()
            .ids()
            .iter()
            .map(|tenant| caller.check(state, Right::Read, tenant))
            .reduce(Result::or)
            .unwrap_or(Ok(())),
    }
}

/// A run that was started.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct StartedRunResponse {
    /// The id of the job.
    job: JobId,
    /// The id of the tenant; null for a job of the daemon.
    tenant: Option<TenantId>,
    /// The number of the run.
    run: u64,
}

/// Run a job now
///
/// The response is 202 with the number of the run, or 409 if the job is already running. For a job of the daemon, the
/// caller needs the right for every tenant.
#[utoipa::path(
    post,
    path = "/api/v1/jobs/{id}/run",
    tag = "daemon",
    operation_id = "run_job",
    params(("id" = JobId, Path, description = "The id of the job."), JobsQuery, IdempotencyKeyHeader),
    responses((status = 202, description = "The run that was started.", body = StartedRunResponse))
)]
pub(in crate::http) async fn run(
    State(state): State<ApiState>,
    caller: Caller,
    Path(job): Path<JobId>,
    Query(JobsQuery { tenant }): Query<JobsQuery>,
    key: RequestKey,
) -> Result<Response, Problem> {
    match &tenant {
        Some(tenant) => caller.check(&state, Right::RunJobs, tenant)?,
        None if state
            .keepers
            .tenants()
            .ids()
            .iter()
            .all(|tenant| caller.check(&state, Right::RunJobs, tenant).is_ok()) => {}
        None => {
            let detail = "the daemon's own jobs take the right `run_jobs` at every tenant";
            return Err(Problem::from_code(Code::NotPermitted, detail));
        }
    }
    let (jobs, job_key, actor) = (state.jobs.clone(), JobKey { tenant: tenant.clone(), job }, caller.id());
    let work = async move {
        let run = jobs.run_now(job_key.clone(), actor).await?;
        Ok(StartedRunResponse { job: job_key.job, tenant: job_key.tenant, run })
    };
    run_once(&state, &caller, tenant.as_ref(), key.into_key(&[]), StatusCode::ACCEPTED, work).await
}
