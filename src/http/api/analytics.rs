//! Analytics queries of the platform: start, follow, cancel, and read the results as rows or as a file.

pub(in crate::http) mod rows;
pub(in crate::http) mod series;
pub(in crate::http) mod trends;

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::tz::TimeZoneDatabase;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

pub use self::rows::{AnalyticsRowResponse, AnalyticsRowsResponse};
use crate::domain::analytics::analytics_run::{
    AnalyticsRun, ConfiguredQuery, DEFAULT_BUCKETS, DEFAULT_DEADLINE, MAX_BUCKETS, MAX_DEADLINE, MIN_DEADLINE,
    QueryRange, RunPart, RunRequest,
};
use crate::domain::analytics::{
    AggregationQuery, DEFAULT_PAGE_ROWS, EqualsFilter, MAX_PAGE_ROWS, MetricRequest, QueryBucket, completeness_ppm,
};
use crate::domain::ids::{AnalyticsQueryId, AnalyticsRunId, JobId, TenantId};
use crate::domain::reports::report_run::RunStatus;
use crate::domain::time::UtcMicros;
use crate::engine::analytics::{AnalyticsError, AnalyticsRunRequest};
use crate::engine::jobs::JobView;
use crate::engine::platform::calls::real_millis;
use crate::http::auth::{Caller, Right};
use crate::http::problem::{Code, Problem, store_unavailable};
use crate::http::request::authorized_request::{AuthorizedRequest, has_tenant};
use crate::http::request::extract::{Path, Query};
use crate::http::request::idempotency::{IdempotencyKeyHeader, run_once};
use crate::http::request::query::{TenantQuery, next_cursor};
use crate::http::state::ApiState;

/// The maximum number of runs per page.
const MAX_PAGE_SIZE: u32 = 100;

/// The name of a query that was given none.
const DEFAULT_NAME: &str = "ad hoc";

/// A query defined in the configuration.
#[derive(Serialize, Deserialize, ToSchema)]
pub(in crate::http) struct AnalyticsQueryResponse {
    /// The id of the query.
    pub(in crate::http) id: AnalyticsQueryId,
    /// What a run started now would request.
    pub(in crate::http) request: RunRequest,
    /// The scheduled job that runs the query; null if the query has no schedule.
    pub(in crate::http) job: Option<JobView>,
    /// The latest run of the query, whoever requested it; null before the first run.
    pub(in crate::http) last: Option<AnalyticsRunResponse>,
}

/// The queries defined in the configuration.
#[derive(Serialize, Deserialize, ToSchema)]
pub(in crate::http) struct AnalyticsQueriesResponse {
    /// The queries, in the order of the configuration.
    pub(in crate::http) queries: Vec<AnalyticsQueryResponse>,
}

/// A new analytics run: either `query` names a query of the configuration, or the other fields define an ad-hoc query.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewRunBody {
    /// The id of the tenant.
    tenant: TenantId,
    /// The id of a query in the configuration. No other field except `tenant` may be given with it.
    #[serde(default)]
    query: Option<AnalyticsQueryId>,
    /// A display name for the query; `ad hoc` by default.
    #[serde(default)]
    name: Option<String>,
    /// The metrics, 1 to 10.
    #[serde(default)]
    metrics: Vec<MetricRequest>,
    /// The dimensions, at most 5.
    #[serde(default)]
    dimensions: Vec<String>,
    /// A condition on the data; omit it to query all data.
    #[serde(default)]
    filter: Option<EqualsFilter>,
    /// The bucket size of the values; `DAY` by default.
    #[serde(default)]
    bucket: Option<QueryBucket>,
    /// The IANA time zone that determines hours and days; `UTC` by default.
    #[serde(default)]
    zone: Option<String>,
    /// The number of completed buckets up to now; 30 by default if `from` is not given.
    #[serde(default)]
    last: Option<u32>,
    /// The start of the time range, instead of `last`. The range begins with the bucket that contains this instant.
    #[serde(default)]
    from: Option<UtcMicros>,
    /// The end of the time range, together with `from`. The range ends with the last bucket completed by this instant,
    /// or by now if it is not given.
    #[serde(default)]
    to: Option<UtcMicros>,
    /// The number of rows that the platform returns per page, 1 to 1000; 500 by default.
    #[serde(default)]
    page_rows: Option<u32>,
    /// The longest time that the run may take from its start, in seconds, 10 to 86400; 1800 by default.
    #[serde(default)]
    deadline_s: Option<u64>,
}

has_tenant!(NewRunBody, CancelRunBody);

/// A run of an analytics query.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AnalyticsRunResponse {
    /// The id of the run.
    pub id: AnalyticsRunId,
    /// The id of the tenant.
    pub tenant: TenantId,
    /// The id of the query in the configuration; null for an ad-hoc query.
    pub query: Option<AnalyticsQueryId>,
    /// What was requested.
    pub request: RunRequest,
    /// Who requested the run, such as `person:anna` or `job:analytics:calls`.
    pub asked_by: String,
    /// When the run was requested.
    pub asked_at: UtcMicros,
    /// The id of the scheduled job that requested the run; null if a person did.
    pub job: Option<JobId>,
    /// The status of the run.
    pub status: RunStatus,
    /// The parts of the run, each of which is one query on the platform.
    pub parts: Vec<RunPart>,
    /// When the run was started; null while it waits.
    pub started_at: Option<UtcMicros>,
    /// When the run ended; null while it is open.
    pub ended_at: Option<UtcMicros>,
    /// The time from start to end by the daemon's clock, in milliseconds; null while the run is open or if it never
    /// started.
    pub latency_ms: Option<u64>,
    /// The number of rows received; null until the run is done.
    pub received: Option<u64>,
    /// The number of rows that the platform announced; null if it announced none.
    pub promised: Option<u64>,
    /// The rows received as a share of the rows announced, in parts per million; null if either number is null.
    pub completeness_ppm: Option<u64>,
    /// The SHA-256 of the canonical result, in hexadecimal; null without a result.
    pub sha256: Option<String>,
    /// Whether the rows can be read. They cannot before the run is done and after retention has deleted them.
    pub has_rows: bool,
    /// The kind of failure: `deadline`, `platform_failed`, `forgotten`, `unanswered`, `call_failed` or `request`, or a
    /// kind of inconsistency in the result (`gap`, `repeat`, `count`, `foreign`, `too_many`, `unreadable`, `torn`).
    /// Null if the run did not fail.
    pub failure: Option<String>,
    /// A description of the failure for people; null if the run did not fail.
    pub error: Option<String>,
}

impl From<AnalyticsRun> for AnalyticsRunResponse {
    fn from(run: AnalyticsRun) -> Self {
        let latency_ms = run.duration().map(real_millis);
        let (received, promised) =
            (run.result.as_ref().map(|r| r.received), run.result.as_ref().and_then(|r| r.promised));
        let (failure, error) = run.failure.map_or((None, None), |failure| (Some(failure.class), Some(failure.text)));
        Self {
            id: run.id,
            tenant: run.tenant,
            query: run.query,
            request: run.request,
            asked_by: run.requested_by.to_string(),
            asked_at: run.requested_at,
            job: run.job,
            status: run.status,
            parts: run.parts,
            started_at: run.started_at,
            ended_at: run.ended_at,
            latency_ms,
            received,
            promised,
            completeness_ppm: received.and_then(|received| completeness_ppm(received, promised)),
            has_rows: run.result.as_ref().is_some_and(|result| result.has_rows),
            sha256: run.result.map(|result| result.sha256),
            failure,
            error,
        }
    }
}

impl From<AnalyticsError> for Problem {
    fn from(refused: AnalyticsError) -> Self {
        let detail = refused.to_string();
        match refused {
            AnalyticsError::Query(_) => Self::from_code(Code::QueryRefused, detail),
            AnalyticsError::TooMany => Self::from_code(Code::TooManyQueries, detail).with_retry_after(30),
            AnalyticsError::Read(cause) => cause.into(),
            AnalyticsError::Store(cause) => store_unavailable(cause, "an analytics run could not be recorded", detail),
        }
    }
}

/// List configured queries
///
/// Returns each query of the configuration with what a run would request now, its schedule and its latest run. Results
/// cover all teams of a tenant, so callers restricted to teams cannot read them.
#[utoipa::path(
    get,
    path = "/api/v1/analytics/queries",
    tag = "analytics",
    operation_id = "list_analytics_queries",
    params(TenantQuery),
    responses((status = 200, description = "The queries.", body = AnalyticsQueriesResponse))
)]
pub(in crate::http) async fn queries(
    State(state): State<ApiState>,
    caller: Caller,
    Query(TenantQuery { tenant }): Query<TenantQuery>,
) -> Result<Json<AnalyticsQueriesResponse>, Problem> {
    caller.check_all_teams(&state, Right::Analytics, &tenant)?;
    let now = state.analytics.now();
    let jobs = state.jobs.views(&state.reader).await?;
    let mut queries = Vec::new();
    for query in configured_queries(&state, &tenant) {
        let job = query.job_id();
        let is_own = |view: &&JobView| view.id == job && view.tenant.as_ref() == Some(&tenant);
        let last = state.reader.analytics_runs(&tenant, Some(&query.id), None, 1).await?.pop();
        queries.push(AnalyticsQueryResponse {
            request: query.request(now),
            job: jobs.iter().find(is_own).cloned(),
            last: last.map(AnalyticsRunResponse::from),
            id: query.id,
        });
    }
    Ok(Json(AnalyticsQueriesResponse { queries }))
}

fn configured_queries(state: &ApiState, tenant: &TenantId) -> Vec<ConfiguredQuery> {
    let link = state.keepers.tenants().link(tenant);
    link.map_or_else(Vec::new, |link| link.queries.borrow().to_vec())
}

/// Start an analytics run
///
/// The response is 202 with the run, which continues in the background; follow it by its id or by the event
/// `analytics.completed`. Requests that exceed the platform's limits are rejected at once. At most five runs of a
/// tenant are active at a time. A time range of more than 365 days is queried in parts, whose results are combined.
#[utoipa::path(
    post,
    path = "/api/v1/analytics/runs",
    tag = "analytics",
    operation_id = "run_analytics_query",
    params(IdempotencyKeyHeader),
    request_body = NewRunBody,
    responses((status = 202, description = "The run, which waits or has started.", body = AnalyticsRunResponse))
)]
pub(in crate::http) async fn create(
    State(state): State<ApiState>,
    AuthorizedRequest { caller, tenant, body, key }: AuthorizedRequest<NewRunBody>,
) -> Result<Response, Problem> {
    caller.check_all_teams(&state, Right::Analytics, &tenant)?;
    let request = parse_run_request(&state, body, &caller)?;
    let analytics = state.analytics.clone();
    let work = async move { Ok(AnalyticsRunResponse::from(analytics.request_run(request).await?)) };
    run_once(&state, &caller, Some(&tenant), key, StatusCode::ACCEPTED, work).await
}

fn parse_run_request(state: &ApiState, body: NewRunBody, caller: &Caller) -> Result<AnalyticsRunRequest, Problem> {
    let now = state.analytics.now();
    let tenant = body.tenant.clone();
    let (query, request) = match &body.query {
        Some(id) if body.has_only_query() => {
            let configured = configured_queries(state, &tenant).into_iter().find(|query| query.id == *id);
            let configured = configured.ok_or_else(|| {
                let detail = format!("the configuration of tenant {tenant} has no analytics query {id}");
                Problem::from_code(Code::NoSuchQuery, detail)
            })?;
            (Some(configured.id.clone()), configured.request(now))
        }
        Some(_) => {
            let detail =
                "`query` names a query of the configuration, with all its settings: leave the other fields out";
            return Err(Problem::from_code(Code::QueryRefused, detail));
        }
        None => (None, body.into_run_request(now)?),
    };
    Ok(AnalyticsRunRequest { tenant, query, request, actor: format!("person:{}", caller.id()), job: None })
}

impl NewRunBody {
    fn has_only_query(&self) -> bool {
        let Self {
            tenant: _,
            query: _,
            name,
            metrics,
            dimensions,
            filter,
            bucket,
            zone,
            last,
            from,
            to,
            page_rows,
            deadline_s,
        } = self;
        name.is_none()
            && metrics.is_empty()
            && dimensions.is_empty()
            && filter.is_none()
            && bucket.is_none()
            && zone.is_none()
            && last.is_none()
            && from.is_none()
            && to.is_none()
            && page_rows.is_none()
            && deadline_s.is_none()
    }

    /// Returns the run to request. The limits of the platform are checked later, together with those of other requests.
    fn into_run_request(self, now: UtcMicros) -> Result<RunRequest, Problem> {
        let period = match (self.last, self.from, self.to) {
            (None, None, None) => QueryRange::Last(DEFAULT_BUCKETS),
            (Some(buckets), None, None) if (1..=MAX_BUCKETS).contains(&buckets) => QueryRange::Last(buckets),
            (Some(_), None, None) => return Err(query_refused(format!("last has to be 1 to {MAX_BUCKETS}"))),
            (None, Some(from), to) => QueryRange::Since { from, to },
            (_, _, _) => {
                return Err(query_refused("the span is either `last`, or `from` with or without `to`".to_owned()));
            }
        };
        let page_rows = self.page_rows.unwrap_or(DEFAULT_PAGE_ROWS);
        if !(1..=MAX_PAGE_ROWS).contains(&page_rows) {
            return Err(query_refused(format!("page_rows has to be 1 to {MAX_PAGE_ROWS}")));
        }
        let deadline = self.deadline_s.map_or(DEFAULT_DEADLINE, Duration::from_secs);
        if !(MIN_DEADLINE..=MAX_DEADLINE).contains(&deadline) {
            let (least, most) = (MIN_DEADLINE.as_secs(), MAX_DEADLINE.as_secs());
            return Err(query_refused(format!("deadline_s has to be {least} to {most}")));
        }
        let name = self.zone.unwrap_or_else(|| "UTC".to_owned());
        let zone = TimeZoneDatabase::bundled().get(&name);
        let query = AggregationQuery {
            name: self.name.as_deref().unwrap_or(DEFAULT_NAME).into(),
            metrics: self.metrics,
            dimensions: self.dimensions,
            filter: self.filter,
            bucket: self.bucket.unwrap_or(QueryBucket::Day),
            zone: zone.map_err(|_| query_refused(format!("zone is {name:?}, which is not a known IANA time zone")))?,
        };
        // Check the query before computing with its span, which may be of any size.
        let faults = query.validation_errors();
        if !faults.is_empty() {
            return Err(AnalyticsError::Query(faults).into());
        }
        Ok(RunRequest::new(&query, period.span(&query, now), page_rows, deadline))
    }
}

fn query_refused(detail: String) -> Problem {
    Problem::from_code(Code::QueryRefused, detail)
}

/// Filters and page of a list of runs.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RunsQuery {
    /// The id of the tenant.
    pub(in crate::http) tenant: TenantId,
    /// Only runs of this query of the configuration.
    #[serde(default)]
    pub(in crate::http) query: Option<AnalyticsQueryId>,
    /// The `next` of the previous page; omit it for the first page.
    #[serde(default)]
    pub(in crate::http) cursor: Option<AnalyticsRunId>,
    /// The maximum number of runs to return.
    #[serde(default = "usual_page")]
    #[param(required = false, minimum = 1, maximum = 100, default = 50)]
    pub(in crate::http) limit: u32,
}

const fn usual_page() -> u32 {
    50
}

/// A page of runs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AnalyticsRunsResponse {
    /// The runs, newest first.
    pub runs: Vec<AnalyticsRunResponse>,
    /// The `cursor` of the next page; null on the last page.
    pub next: Option<AnalyticsRunId>,
}

/// List analytics runs
#[utoipa::path(
    get,
    path = "/api/v1/analytics/runs",
    tag = "analytics",
    operation_id = "list_analytics_runs",
    params(RunsQuery),
    responses((status = 200, description = "A page of runs.", body = AnalyticsRunsResponse))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<RunsQuery>,
) -> Result<Json<AnalyticsRunsResponse>, Problem> {
    caller.check_all_teams(&state, Right::Analytics, &query.tenant)?;
    let limit = query.limit.clamp(1, MAX_PAGE_SIZE);
    let runs = state.reader.analytics_runs(&query.tenant, query.query.as_ref(), query.cursor, limit).await?;
    let next = next_cursor(&runs, limit, |run| run.id);
    Ok(Json(AnalyticsRunsResponse { runs: runs.into_iter().map(AnalyticsRunResponse::from).collect(), next }))
}

/// Retrieve an analytics run
#[utoipa::path(
    get,
    path = "/api/v1/analytics/runs/{id}",
    tag = "analytics",
    operation_id = "show_analytics_run",
    params(("id" = AnalyticsRunId, Path, description = "The id of the run."), TenantQuery),
    responses((status = 200, description = "The run.", body = AnalyticsRunResponse))
)]
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<AnalyticsRunId>,
    Query(TenantQuery { tenant }): Query<TenantQuery>,
) -> Result<Json<AnalyticsRunResponse>, Problem> {
    Ok(Json(find_run(&state, &caller, &tenant, id).await?.into()))
}

async fn find_run(
    state: &ApiState,
    caller: &Caller,
    tenant: &TenantId,
    id: AnalyticsRunId,
) -> Result<AnalyticsRun, Problem> {
    caller.check_all_teams(state, Right::Analytics, tenant)?;
    state.reader.analytics_run(tenant, id).await?.ok_or_else(|| no_such_run(tenant, id))
}

fn no_such_run(tenant: &TenantId, id: AnalyticsRunId) -> Problem {
    Problem::from_code(Code::NoSuchRun, format!("there is no analytics run {id} at tenant {tenant}"))
}

/// The tenant of the run to cancel.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CancelAnalyticsRun)]
pub(in crate::http) struct CancelRunBody {
    /// The id of the tenant.
    tenant: TenantId,
}

/// Cancel an analytics run
///
/// The result is discarded. A run that has ended does not change. A query that is already running on the platform
/// cannot be stopped, so the run counts against the limit of five active runs until its deadline.
#[utoipa::path(
    post,
    path = "/api/v1/analytics/runs/{id}/cancel",
    tag = "analytics",
    operation_id = "cancel_analytics_run",
    params(("id" = AnalyticsRunId, Path, description = "The id of the run."), IdempotencyKeyHeader),
    request_body = CancelRunBody,
    responses((status = 200, description = "The run.", body = AnalyticsRunResponse))
)]
pub(in crate::http) async fn cancel(
    State(state): State<ApiState>,
    Path(id): Path<AnalyticsRunId>,
    AuthorizedRequest { caller, tenant, body, key }: AuthorizedRequest<CancelRunBody>,
) -> Result<Response, Problem> {
    find_run(&state, &caller, &tenant, id).await?;
    let (analytics, actor) = (state.analytics.clone(), format!("person:{}", caller.id()));
    let work = async move {
        let run = analytics.cancel(&body.tenant, id, &actor).await?.ok_or_else(|| no_such_run(&body.tenant, id))?;
        Ok(AnalyticsRunResponse::from(run))
    };
    run_once(&state, &caller, Some(&tenant), key, StatusCode::OK, work).await
}
