//! Series over time: their course, their outliers, and the anomalies of monitored series.

use axum::Json;
use axum::extract::State;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::analytics::anomaly::{AnomalyRecord, MonitoredSeries};
use crate::domain::analytics::series::aggregated::{AggregatedMetric, ResultSource};
use crate::domain::analytics::series::{AgentFilter, SeriesSource};
use crate::domain::analytics::trend::{THRESHOLD, TrendPoint, TrendSettings, WINDOW};
use crate::domain::ids::{AnomalyId, SeriesId, TenantId};
use crate::domain::time::UtcMicros;
use crate::http::api::agents::TenantQuery;
use crate::http::api::agents::history::check_span;
use crate::http::auth::{Caller, Right};
use crate::http::problem::{Code, Problem};
use crate::http::request::extract::Query;
use crate::http::request::query::{next_cursor, page_size};
use crate::http::state::ApiState;
use crate::report::trend::SeriesTrend;
use crate::store::{AnomalyFilter, SeriesError};

/// Whether the caller may see a series.
///
/// A caller restricted to teams sees skills, queues and these teams; the time of a single agent has a page of its own.
/// Results of analytics cover the whole tenant and take the right to read them.
pub(in crate::http) fn can_view_series(caller: &Caller, tenant: &TenantId, source: &SeriesSource) -> bool {
    if source.aggregated_metric().is_some() && !caller.has_right(Right::Analytics) {
        return false;
    }
    let Some(teams) = caller.teams(tenant) else { return true };
    if source.aggregated_metric().is_some() {
        return false;
    }
    match source.agent_filter() {
        None => true,
        Some(AgentFilter::Team(team)) => teams.contains(team),
        Some(AgentFilter::Everyone | AgentFilter::Agent(_)) => false,
    }
}

/// Returns the error for a caller who may not see a series.
pub(in crate::http) fn series_not_permitted(source: &SeriesSource) -> Problem {
    let detail = match source.aggregated_metric() {
        Some(_) => {
            format!(
                "{source} covers the whole tenant: it takes the right analytics and an account that is not limited to teams"
            )
        }
        None => {
            format!("{source} is about teams that you have no access to: name one of yours, as in adherence:team:NAME")
        }
    };
    Problem::from_code(Code::NotPermitted, detail)
}

/// Returns an error for a query that has no result and is not in the configuration.
fn check_query_exists(state: &ApiState, tenant: &TenantId, trend: &SeriesTrend) -> Result<(), Problem> {
    let Some(AggregatedMetric { source: ResultSource::Query(id), .. }) = trend.source.aggregated_metric() else {
        return Ok(());
    };
    let link = state.keepers.tenants().link(tenant);
    let is_named = link.is_some_and(|link| link.queries.borrow().iter().any(|query| query.id == *id));
    if is_named || !trend.points.is_empty() {
        return Ok(());
    }
    Err(Problem::bad_request(format!("series: the configuration of tenant {tenant} has no analytics query {id}")))
}

/// The series, the time range, and how the values are judged.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct TrendQuery {
    /// The id of the tenant.
    tenant: TenantId,
    /// The series: `skill:ID:TREND_FIGURE`, `queue:ID:TREND_FIGURE`, `adherence` or `not-ready`. The last two accept
    /// `-15m` for quarter hours instead of days, and `:team:NAME` or `:agent:ID` for some of the agents. For analytics:
    /// `analytics:QUERY:METRIC`, or `analytics-run:RUN:METRIC` for a single run, each with `:DIMENSION=VALUE` for one
    /// group.
    series: String,
    /// The start of the time range (inclusive). By default 60 days before `to` and at most 366 days before it; for
    /// analytics by default 366 days and at most 20 years.
    from: Option<UtcMicros>,
    /// The end of the time range (exclusive); now by default.
    to: Option<UtcMicros>,
    /// The IANA time zone of days, weekdays and hours; `UTC` by default. A series of analytics uses the time zone of
    /// its query.
    zone: Option<String>,
    /// Whether values are compared with the same quarter hour and weekday of earlier weeks, once at least four weeks
    /// are known; true by default.
    seasonal: Option<bool>,
    /// The number of values used for the moving average and the z-score, 2 to 1000; 3 by default.
    window: Option<usize>,
    /// The z-score above which a value is an anomaly; 2 by default.
    threshold: Option<f64>,
}

/// The trend of a series.
#[derive(Serialize, ToSchema)]
#[schema(as = Trend)]
pub(in crate::http) struct TrendResponse {
    /// The name of the series.
    series: String,
    /// The figure and its unit, for display. Shares are fractions from 0 to 1.
    figure: String,
    /// What the series describes, for display: a skill, a queue, a team, an agent, an analytics query, or everyone.
    of: String,
    /// The length of the interval of each value: `quarter` (of an hour), `hour`, `day`, `week` or `month`.
    by: &'static str,
    /// Whether the values are fractions from 0 to 1.
    share: bool,
    /// The start of the time range (inclusive).
    from: UtcMicros,
    /// The end of the time range (exclusive).
    to: UtcMicros,
    /// The values in order of time; intervals without a value are left out.
    points: Vec<TrendPoint>,
    /// The number of intervals without a value between the first and the last value.
    gaps: u64,
}

/// Retrieve a trend
///
/// Returns the values of a series with their moving average, their expected range and their anomalies;
/// `docs/reports.md` explains the calculation.
#[utoipa::path(
    get,
    path = "/api/v1/trend",
    tag = "figures",
    operation_id = "trend",
    params(TrendQuery),
    responses((status = 200, description = "The trend.", body = TrendResponse))
)]
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<TrendQuery>,
) -> Result<Json<TrendResponse>, Problem> {
    caller.check(&state, Right::Read, &query.tenant)?;
    let source: SeriesSource =
        query.series.parse().map_err(|error| Problem::bad_request(format!("series: {error}")))?;
    if let (Some(AgentFilter::Agent(agent)), true) = (source.agent_filter(), caller.teams(&query.tenant).is_some()) {
        caller.check_agents(&state, Right::Read, &query.tenant, std::slice::from_ref(agent)).await?;
    } else if !can_view_series(&caller, &query.tenant, &source) {
        return Err(series_not_permitted(&source));
    }
    let (settings, zone) = query.settings()?;
    let to = query.to.unwrap_or_else(|| state.live.clock().0);
    let (from, to) = check_span(query.from.unwrap_or(to - source.default_span()), to, i64::from(source.max_days()))?;
    let read = SeriesTrend::read(&state.reader, &query.tenant, &source, ((from, to), &zone), &settings).await;
    let trend = read.map_err(|error| match error {
        SeriesError::Read(error) => error.into(),
        error @ (SeriesError::TooLong { .. } | SeriesError::TooManyQuarters { .. } | SeriesError::Unavailable(_)) => {
            Problem::bad_request(error.to_string())
        }
    })?;
    check_query_exists(&state, &query.tenant, &trend)?;
    let SeriesTrend { source, bucket, points, gaps, zone: _ } = trend;
    Ok(Json(TrendResponse {
        series: source.to_string(),
        figure: source.figure().into_owned(),
        of: source.subject(),
        by: bucket.name(),
        share: source.is_share(),
        from,
        to,
        points,
        gaps,
    }))
}

impl TrendQuery {
    /// Returns the settings that the series is judged with, and the time zone of its days.
    fn settings(&self) -> Result<(TrendSettings, TimeZone), Problem> {
        let window = self.window.unwrap_or(WINDOW);
        if !(2..=1000).contains(&window) {
            return Err(Problem::bad_request("window: expects 2 to 1000"));
        }
        let threshold = self.threshold.unwrap_or(THRESHOLD);
        if !(threshold.is_finite() && threshold > 0.0) {
            return Err(Problem::bad_request("threshold: expects a number greater than 0, such as 2.0"));
        }
        let zone = self.zone.as_deref().unwrap_or("UTC");
        let zone = TimeZone::get(zone).map_err(|_| {
            Problem::bad_request(format!("zone: there is no time zone {zone:?}; write one such as Europe/Berlin"))
        })?;
        Ok((TrendSettings { window, threshold, zone: self.seasonal.unwrap_or(true).then(|| zone.clone()) }, zone))
    }
}

/// Filters and page of a list of anomalies.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct AnomaliesQuery {
    /// The id of the tenant.
    tenant: TenantId,
    /// Only anomalies of the monitored series with this id.
    series: Option<SeriesId>,
    /// Only anomalies found at this instant or later, with millisecond precision.
    from: Option<UtcMicros>,
    /// Only anomalies found before this instant; now by default.
    to: Option<UtcMicros>,
    /// The `next` of the previous page; omit it for the first page.
    cursor: Option<AnomalyId>,
    /// The maximum number of anomalies to return, 1 to 500; 100 by default.
    limit: Option<u32>,
}

/// A page of anomalies.
#[derive(Serialize, ToSchema)]
#[schema(as = Anomalies)]
pub(in crate::http) struct AnomaliesResponse {
    /// The anomalies, newest first.
    anomalies: Vec<AnomalyResponse>,
    /// The `cursor` of the next page; null on the last page.
    next: Option<AnomalyId>,
}

/// An anomaly of a monitored series.
#[derive(Serialize, ToSchema)]
#[schema(as = Anomaly)]
pub(in crate::http) struct AnomalyResponse {
    /// The id of the anomaly.
    id: AnomalyId,
    /// The id of the monitored series.
    series: SeriesId,
    /// The name of the values that the series had when the anomaly was found, such as `skill:1001:contacts_queued`.
    of: String,
    /// The direction: `SPIKE` or `DROP`.
    kind: &'static str,
    /// What the value was compared with: `season` (earlier weeks) or `window` (the values just before).
    baseline: &'static str,
    /// The start of the interval of its first value.
    at: UtcMicros,
    /// The start of the interval of its last value so far.
    last_at: UtcMicros,
    /// Its first value. Shares are fractions from 0 to 1.
    value: f64,
    /// The expected value.
    expected: f64,
    /// The distance from the expected value, in spreads (`season`) or standard deviations (`window`); negative for a
    /// drop.
    score: f64,
    /// When the anomaly was found.
    found_at: UtcMicros,
    /// When the anomaly was found to be over; null while it lasts.
    ended_at: Option<UtcMicros>,
}

impl AnomalyResponse {
    fn from_record(record: AnomalyRecord) -> Self {
        Self {
            id: record.id,
            series: record.series,
            of: record.source.to_string(),
            kind: record.kind.name(),
            baseline: record.baseline.name(),
            at: record.first_bucket_at,
            last_at: record.last_bucket_at,
            value: record.value,
            expected: record.expected,
            score: record.score,
            found_at: record.detected_at,
            ended_at: record.ended_at,
        }
    }
}

/// List anomalies
///
/// A caller restricted to teams gets the anomalies of skills, queues and these teams. Anomalies of analytics need the
/// right `analytics`. A page may have fewer items than `limit` although more follow.
#[utoipa::path(
    get,
    path = "/api/v1/anomalies",
    tag = "figures",
    operation_id = "list_anomalies",
    params(AnomaliesQuery),
    responses((status = 200, description = "A page of anomalies.", body = AnomaliesResponse))
)]
pub(in crate::http) async fn anomalies(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<AnomaliesQuery>,
) -> Result<Json<AnomaliesResponse>, Problem> {
    caller.check(&state, Right::Read, &query.tenant)?;
    let limit = page_size(query.limit);
    let filter = AnomalyFilter {
        from: query.from.unwrap_or(UtcMicros::EPOCH),
        to: query.to.unwrap_or(UtcMicros::MAX),
        series: query.series,
        before: query.cursor,
    };
    let rows = state.reader.anomalies(&query.tenant, &filter, limit).await?;
    let next = next_cursor(&rows, limit, |row| row.id);
    // A source that cannot be parsed, such as one of another version, is visible only to callers who see all teams.
    let is_visible = |row: &AnomalyRecord| match row.source.parse() {
        Ok(source) => can_view_series(&caller, &query.tenant, &source),
        Err(_) => caller.teams(&query.tenant).is_none(),
    };
    let anomalies = rows.into_iter().filter(is_visible).map(AnomalyResponse::from_record).collect();
    Ok(Json(AnomaliesResponse { anomalies, next }))
}

/// The monitored series.
#[derive(Serialize, ToSchema)]
#[schema(as = WatchedSeriesList)]
pub(in crate::http) struct MonitoredSeriesListResponse {
    /// The series, in the order of the configuration.
    series: Vec<MonitoredSeriesResponse>,
}

/// A monitored series.
#[derive(Serialize, ToSchema)]
#[schema(as = WatchedSeries)]
pub(in crate::http) struct MonitoredSeriesResponse {
    /// The id of the series, used in rules and events.
    id: SeriesId,
    /// The name of the values of the series, such as `skill:1001:contacts_queued`.
    of: String,
    /// The number of values used for the moving average and the z-score.
    window: u16,
    /// The z-score above which a value is an anomaly if there is no comparison with earlier weeks.
    threshold: f64,
    /// Whether values are compared with earlier weeks once enough of them are known.
    seasonal: bool,
    /// The IANA time zone of days and hours.
    zone: String,
}

impl MonitoredSeriesResponse {
    fn from_monitored(monitored: &MonitoredSeries) -> Self {
        Self {
            id: monitored.id.clone(),
            of: monitored.source.to_string(),
            window: monitored.window,
            threshold: monitored.settings().threshold,
            seasonal: monitored.seasonal,
            zone: monitored.zone.clone(),
        }
    }
}

/// List monitored series
///
/// Returns the series that are monitored for anomalies.
#[utoipa::path(
    get,
    path = "/api/v1/series",
    tag = "figures",
    operation_id = "list_series",
    params(TenantQuery),
    responses((status = 200, description = "The series.", body = MonitoredSeriesListResponse))
)]
pub(in crate::http) async fn series(
    State(state): State<ApiState>,
    caller: Caller,
    Query(TenantQuery { tenant }): Query<TenantQuery>,
) -> Result<Json<MonitoredSeriesListResponse>, Problem> {
    caller.check(&state, Right::Read, &tenant)?;
    let link = state.keepers.tenants().link(&tenant);
    let link = link.ok_or_else(|| Problem::from_code(Code::NoSuchTenant, format!("there is no tenant {tenant}")))?;
    let monitored = link.watched_series.borrow().clone();
    let visible = monitored.iter().filter(|watched| can_view_series(&caller, &tenant, &watched.source));
    Ok(Json(MonitoredSeriesListResponse { series: visible.map(MonitoredSeriesResponse::from_monitored).collect() }))
}
