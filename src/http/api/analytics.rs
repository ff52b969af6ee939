//! Analytics queries of the platform: asked, followed, called off, and what came of them as rows and as a file.

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

pub use self::rows::{AnalyticsRowShown, AnalyticsRowsShown};
use crate::domain::analytics::analytics_run::{
    AnalyticsRun, LONGEST_DEADLINE, MOST_BUCKETS, Over, RunPart, RunRequest, SHORTEST_DEADLINE, StandingQuery,
    USUAL_BUCKETS, USUAL_DEADLINE,
};
use crate::domain::analytics::{
    AggregationQuery, Bucket, EqualsFilter, MOST_PAGE_ROWS, MetricAsk, PAGE_ROWS, completeness_ppm,
};
use crate::domain::ids::{AnalyticsQueryId, AnalyticsRunId, JobId, TenantId};
use crate::domain::reports::report_run::RunStatus;
use crate::domain::time::UtcMicros;
use crate::engine::analytics::{AnalyticsRefused, Asked};
use crate::engine::jobs::JobView;
use crate::engine::platform::calls::real_millis;
use crate::http::ApiState;
use crate::http::auth::{Caller, Right};
use crate::http::extract::{Json as Said, Path, Query};
use crate::http::problem::{Code, Problem};
use crate::http::request_key::{KeyHeader, RequestKey, answer, once};

/// The most runs of one page.
const MOST_RUNS: u32 = 100;

/// What people call a query that has no name.
const UNNAMED: &str = "ad hoc";

/// A query that the configuration names.
#[derive(Serialize, Deserialize, ToSchema)]
pub(in crate::http) struct QueryView {
    /// Its id.
    pub(in crate::http) id: AnalyticsQueryId,
    /// What a run of now would ask for.
    pub(in crate::http) request: RunRequest,
    /// The job of the calendar that asks it; null where only people do.
    pub(in crate::http) job: Option<JobView>,
    /// Its newest run, by whomever; null before the first.
    pub(in crate::http) last: Option<AnalyticsRunShown>,
}

/// The queries that the configuration names.
#[derive(Serialize, Deserialize, ToSchema)]
pub(in crate::http) struct QueriesView {
    /// In the order of the configuration.
    pub(in crate::http) queries: Vec<QueryView>,
}

/// A run that is wanted: of a query of the configuration, by its id alone; or of what is said here.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewRun {
    /// Whose.
    tenant: TenantId,
    /// A query of the configuration; then nothing of what follows may be said.
    #[serde(default)]
    query: Option<AnalyticsQueryId>,
    /// What people call it; `ad hoc` without it.
    #[serde(default)]
    name: Option<String>,
    /// The metrics, 1 to 10.
    #[serde(default)]
    metrics: Vec<MetricAsk>,
    /// The dimensions, at most 5.
    #[serde(default)]
    dimensions: Vec<String>,
    /// What is looked at alone.
    #[serde(default)]
    filter: Option<EqualsFilter>,
    /// How long the span of each value is; a day without it.
    #[serde(default)]
    bucket: Option<Bucket>,
    /// The IANA time zone whose hours and days count; UTC without it.
    #[serde(default)]
    zone: Option<String>,
    /// So many whole buckets, the last that have ended; 30 without it and without `from`.
    #[serde(default)]
    last: Option<u32>,
    /// Instead of `last`: from the bucket of this instant on.
    #[serde(default)]
    from: Option<UtcMicros>,
    /// To the end of the bucket before this instant; up to the last that has ended without it.
    #[serde(default)]
    to: Option<UtcMicros>,
    /// Rows of a page, 1 to 1000; 500 without it.
    #[serde(default)]
    page_rows: Option<u32>,
    /// How long it may take from its beginning, in seconds: 10 to 86400; 1800 without it.
    #[serde(default)]
    deadline_s: Option<u64>,
}

/// A run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AnalyticsRunShown {
    /// Its id.
    pub id: AnalyticsRunId,
    /// Whose.
    pub tenant: TenantId,
    /// The query of the configuration; null where somebody asked something of his own.
    pub query: Option<AnalyticsQueryId>,
    /// What was asked for.
    pub request: RunRequest,
    /// Who asked: `person:anna`, `job:analytics:calls`.
    pub asked_by: String,
    /// When.
    pub asked_at: UtcMicros,
    /// The job of the calendar that asked.
    pub job: Option<JobId>,
    /// How it stands.
    pub status: RunStatus,
    /// The queries on the platform that it is made of.
    pub parts: Vec<RunPart>,
    /// When it was begun.
    pub started_at: Option<UtcMicros>,
    /// When it ended.
    pub ended_at: Option<UtcMicros>,
    /// From its beginning to its end, by the daemon's clock.
    pub latency_ms: Option<u64>,
    /// Rows that came; null before it is done.
    pub received: Option<u64>,
    /// Rows that the platform had promised; null where it promised no count.
    pub promised: Option<u64>,
    /// Rows that came, in parts per million of those that were promised.
    pub completeness_ppm: Option<u64>,
    /// The canonical SHA-256 of the result, in hexadecimal digits.
    pub sha256: Option<String>,
    /// Its rows can be read; else there are none yet, or they were let go.
    pub has_rows: bool,
    /// Of which kind the failure is: `deadline`, `platform_failed`, `forgotten`, `unanswered`, `call_failed`, `request`, or the way in which the
    /// answer did not hold together (`gap`, `repeat`, `count`, `foreign`, `too_many`, `unreadable`, `torn`).
    pub failure: Option<String>,
    /// The same for people.
    pub error: Option<String>,
}

impl From<AnalyticsRun> for AnalyticsRunShown {
    fn from(run: AnalyticsRun) -> Self {
        let latency_ms = run.latency().map(real_millis);
        let (received, promised) =
            (run.result.as_ref().map(|r| r.received), run.result.as_ref().and_then(|r| r.promised));
        let (failure, error) = run.failure.map_or((None, None), |failure| (Some(failure.class), Some(failure.text)));
        Self {
            id: run.id,
            tenant: run.tenant,
            query: run.query,
            request: run.request,
            asked_by: run.asked_by.to_string(),
            asked_at: run.asked_at,
            job: run.job,
            status: run.status,
            parts: run.parts,
            started_at: run.started_at,
            ended_at: run.ended_at,
            latency_ms,
            received,
            promised,
            completeness_ppm: received.and_then(|received| completeness_ppm(received, promised)),
            has_rows: run.result.as_ref().is_some_and(|result| result.there),
            sha256: run.result.map(|result| result.sha256),
            failure,
            error,
        }
    }
}

impl From<AnalyticsRefused> for Problem {
    fn from(refused: AnalyticsRefused) -> Self {
        let detail = refused.to_string();
        match refused {
            AnalyticsRefused::Query(_) => Self::of(Code::QueryRefused, detail),
            AnalyticsRefused::TooMany => Self::of(Code::TooManyQueries, detail).retry_after(30),
            AnalyticsRefused::Read(cause) => cause.into(),
            AnalyticsRefused::Store(cause) => {
                tracing::error!(
                    error = format!("{:#}", anyhow::Error::from(cause)),
                    "an analytics run could not be recorded"
                );
                Self::of(Code::StoreUnavailable, detail).retry_after(2)
            }
        }
    }
}

/// The queries that the configuration names
///
/// Each with what a run of now would ask for, when the calendar asks it, and its newest run. The results of all tenant's teams are in
/// them: who is bound to teams has no look at any of this.
#[utoipa::path(
    get,
    path = "/api/v1/analytics/queries",
    tag = "analytics",
    operation_id = "list_analytics_queries",
    params(OfTenant),
    responses((status = 200, description = "the queries", body = QueriesView))
)]
pub(in crate::http) async fn queries(
    State(state): State<ApiState>,
    caller: Caller,
    Query(OfTenant { tenant }): Query<OfTenant>,
) -> Result<Json<QueriesView>, Problem> {
    caller.check_whole(&state, Right::Analytics, &tenant)?;
    let now = state.analytics.now();
    let jobs = state.jobs.views(&state.reader).await?;
    let mut queries = Vec::new();
    for query in standing(&state, &tenant) {
        let job = query.job();
        let is_own = |view: &&JobView| view.id == job && view.tenant.as_ref() == Some(&tenant);
        let last = state.reader.analytics_runs(&tenant, Some(&query.id), None, 1).await?.pop();
        queries.push(QueryView {
            request: query.request(now),
            job: jobs.iter().find(is_own).cloned(),
            last: last.map(AnalyticsRunShown::from),
            id: query.id,
        });
    }
    Ok(Json(QueriesView { queries }))
}

fn standing(state: &ApiState, tenant: &TenantId) -> Vec<StandingQuery> {
    let link = state.door.tenants().link(tenant);
    link.map_or_else(Vec::new, |link| link.queries.borrow().to_vec())
}

/// Run a query
///
/// 202 with the run, which goes on by itself: follow it by its id, or by the event `analytics.completed`. What the platform would refuse
/// by its limits is refused here. Five of a tenant run at once; a span of more than 365 days is asked for in parts and put together.
#[utoipa::path(
    post,
    path = "/api/v1/analytics/runs",
    tag = "analytics",
    operation_id = "run_analytics_query",
    params(KeyHeader),
    request_body = NewRun,
    responses((status = 202, description = "it waits or runs", body = AnalyticsRunShown))
)]
pub(in crate::http) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    key: RequestKey,
    Said(body): Said<NewRun>,
) -> Result<Response, Problem> {
    caller.check_whole(&state, Right::Analytics, &body.tenant)?;
    let key = key.with_json(&body)?;
    let tenant = body.tenant.clone();
    let asked = wanted(&state, body, &caller)?;
    let desk = state.analytics.clone();
    let work = async move { Ok(answer(StatusCode::ACCEPTED, &AnalyticsRunShown::from(desk.ask(asked).await?))) };
    once(&state, &caller, Some(&tenant), key, work).await
}

fn wanted(state: &ApiState, body: NewRun, caller: &Caller) -> Result<Asked, Problem> {
    let now = state.analytics.now();
    let tenant = body.tenant.clone();
    let (query, request) = match &body.query {
        Some(id) if body.says_nothing_else() => {
            let standing = standing(state, &tenant).into_iter().find(|query| query.id == *id);
            let standing = standing.ok_or_else(|| {
                let detail = format!("the configuration of tenant {tenant} has no analytics query {id}");
                Problem::of(Code::NoSuchQuery, detail)
            })?;
            (Some(standing.id.clone()), standing.request(now))
        }
        Some(_) => {
            let detail =
                "`query` names a query of the configuration, with all its settings: leave the other members out";
            return Err(Problem::of(Code::QueryRefused, detail));
        }
        None => (None, body.request(now)?),
    };
    Ok(Asked { tenant, query, request, actor: format!("person:{}", caller.id()), job: None })
}

impl NewRun {
    fn says_nothing_else(&self) -> bool {
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

    /// What it asks for; the limits of the platform are checked with everybody else's.
    fn request(self, now: UtcMicros) -> Result<RunRequest, Problem> {
        let over = match (self.last, self.from, self.to) {
            (None, None, None) => Over::Last(USUAL_BUCKETS),
            (Some(buckets), None, None) if (1..=MOST_BUCKETS).contains(&buckets) => Over::Last(buckets),
            (Some(_), None, None) => return Err(refused(format!("last has to be 1 to {MOST_BUCKETS}"))),
            (None, Some(from), to) => Over::Since { from, to },
            (_, _, _) => return Err(refused("the span is either `last`, or `from` with or without `to`".to_owned())),
        };
        let page_rows = self.page_rows.unwrap_or(PAGE_ROWS);
        if !(1..=MOST_PAGE_ROWS).contains(&page_rows) {
            return Err(refused(format!("page_rows has to be 1 to {MOST_PAGE_ROWS}")));
        }
        let deadline = self.deadline_s.map_or(USUAL_DEADLINE, Duration::from_secs);
        if !(SHORTEST_DEADLINE..=LONGEST_DEADLINE).contains(&deadline) {
            let (least, most) = (SHORTEST_DEADLINE.as_secs(), LONGEST_DEADLINE.as_secs());
            return Err(refused(format!("deadline_s has to be {least} to {most}")));
        }
        let name = self.zone.unwrap_or_else(|| "UTC".to_owned());
        let zone = TimeZoneDatabase::bundled().get(&name);
        let query = AggregationQuery {
            name: self.name.as_deref().unwrap_or(UNNAMED).into(),
            metrics: self.metrics,
            dimensions: self.dimensions,
            filter: self.filter,
            bucket: self.bucket.unwrap_or(Bucket::Day),
            zone: zone.map_err(|_| refused(format!("zone is {name:?}, which is no known IANA time zone")))?,
        };
        // Before a span is reckoned with, which may be of any size.
        let faults = query.faults();
        if !faults.is_empty() {
            return Err(AnalyticsRefused::Query(faults).into());
        }
        Ok(RunRequest::of(&query, over.span(&query, now), page_rows, deadline))
    }
}

fn refused(detail: String) -> Problem {
    Problem::of(Code::QueryRefused, detail)
}

/// Which tenant is meant.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct OfTenant {
    /// Whose.
    pub(in crate::http) tenant: TenantId,
}

/// Which runs are wanted.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RunsQuery {
    /// Whose.
    pub(in crate::http) tenant: TenantId,
    /// Of this query of the configuration alone.
    #[serde(default)]
    pub(in crate::http) query: Option<AnalyticsQueryId>,
    /// The `next` of the page before.
    #[serde(default)]
    pub(in crate::http) cursor: Option<AnalyticsRunId>,
    /// At most so many.
    #[serde(default = "usual_page")]
    #[param(required = false, minimum = 1, maximum = 100, default = 50)]
    pub(in crate::http) limit: u32,
}

const fn usual_page() -> u32 {
    50
}

/// A page of runs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AnalyticsRunsShown {
    /// Newest first.
    pub runs: Vec<AnalyticsRunShown>,
    /// The cursor of the next page; null on the last.
    pub next: Option<AnalyticsRunId>,
}

/// The runs
#[utoipa::path(
    get,
    path = "/api/v1/analytics/runs",
    tag = "analytics",
    operation_id = "list_analytics_runs",
    params(RunsQuery),
    responses((status = 200, description = "a page of them", body = AnalyticsRunsShown))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<RunsQuery>,
) -> Result<Json<AnalyticsRunsShown>, Problem> {
    caller.check_whole(&state, Right::Analytics, &query.tenant)?;
    let limit = query.limit.clamp(1, MOST_RUNS);
    let runs = state.reader.analytics_runs(&query.tenant, query.query.as_ref(), query.cursor, limit).await?;
    let next = if runs.len() < limit as usize { None } else { runs.last().map(|run| run.id) };
    Ok(Json(AnalyticsRunsShown { runs: runs.into_iter().map(AnalyticsRunShown::from).collect(), next }))
}

/// One run
#[utoipa::path(
    get,
    path = "/api/v1/analytics/runs/{id}",
    tag = "analytics",
    operation_id = "show_analytics_run",
    params(("id" = AnalyticsRunId, Path, description = "The run."), OfTenant),
    responses((status = 200, description = "the run", body = AnalyticsRunShown))
)]
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<AnalyticsRunId>,
    Query(OfTenant { tenant }): Query<OfTenant>,
) -> Result<Json<AnalyticsRunShown>, Problem> {
    Ok(Json(find(&state, &caller, &tenant, id).await?.into()))
}

async fn find(
    state: &ApiState,
    caller: &Caller,
    tenant: &TenantId,
    id: AnalyticsRunId,
) -> Result<AnalyticsRun, Problem> {
    caller.check_whole(state, Right::Analytics, tenant)?;
    state.reader.analytics_run(tenant, id).await?.ok_or_else(|| unknown(tenant, id))
}

fn unknown(tenant: &TenantId, id: AnalyticsRunId) -> Problem {
    Problem::of(Code::NoSuchRun, format!("there is no analytics run {id} at tenant {tenant}"))
}

/// Which tenant's run is called off.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CancelAnalyticsRun)]
pub(in crate::http) struct CancelRun {
    /// Whose.
    tenant: TenantId,
}

/// Call a run off
///
/// Nothing of its result is kept; one that has ended stays as it is. The platform goes on with a query that it is at, so that the run
/// keeps its place among the five until its deadline.
#[utoipa::path(
    post,
    path = "/api/v1/analytics/runs/{id}/cancel",
    tag = "analytics",
    operation_id = "cancel_analytics_run",
    params(("id" = AnalyticsRunId, Path, description = "The run."), KeyHeader),
    request_body = CancelRun,
    responses((status = 200, description = "the run", body = AnalyticsRunShown))
)]
pub(in crate::http) async fn cancel(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<AnalyticsRunId>,
    key: RequestKey,
    Said(body): Said<CancelRun>,
) -> Result<Response, Problem> {
    find(&state, &caller, &body.tenant, id).await?;
    let key = key.with_json(&body)?;
    let (desk, actor, tenant) = (state.analytics.clone(), format!("person:{}", caller.id()), body.tenant.clone());
    let work = async move {
        let run = desk.cancel(&body.tenant, id, &actor).await?.ok_or_else(|| unknown(&body.tenant, id))?;
        Ok(answer(StatusCode::OK, &AnalyticsRunShown::from(run)))
    };
    once(&state, &caller, Some(&tenant), key, work).await
}
