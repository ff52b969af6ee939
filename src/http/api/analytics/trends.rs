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

/// Which series, and how it is judged.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct TrendQuery {
    /// Whose.
    tenant: TenantId,
    /// What it is of: `skill:ID:TREND_FIGURE`, `queue:ID:TREND_FIGURE`, `adherence` or `not-ready`, the last two with `-15m` behind them for quarters of
    /// an hour and with `:team:NAME` or `:agent:ID` for a part of the agents; `analytics:QUERY:METRIC` with `:DIMENSION=VALUE` for one group,
    /// or `analytics-run:RUN:METRIC` of one run alone.
    series: String,
    /// From this instant on; 60 days before `to` without it, at most 366. Of analytics 366 days, and at most twenty years.
    from: Option<UtcMicros>,
    /// To here; to now without it.
    to: Option<UtcMicros>,
    /// The zone of its days, weekdays and hours; UTC without it. A series of analytics goes by the zone of its query.
    zone: Option<String>,
    /// Whether what earlier weeks brought in that quarter hour of that weekday decides, once four of them are known; it does without it.
    seasonal: Option<bool>,
    /// Values that the moving average and the z-score look at; 3 without it, 2 to 1000.
    window: Option<usize>,
    /// A z-score beyond this is an anomaly; 2 without it.
    threshold: Option<f64>,
}

/// How a series moves.
#[derive(Serialize, ToSchema)]
#[schema(as = Trend)]
pub(in crate::http) struct TrendResponse {
    /// As it is named.
    series: String,
    /// The figure, with its unit; a share is one of 1.
    figure: String,
    /// Whose: a skill, queue, team, agent or analytics query, or everyone.
    of: String,
    /// What a value is of: `quarter`, `hour`, `day`, `week` or `month`.
    by: &'static str,
    /// Its values are shares of 1.
    share: bool,
    /// The span that was looked at.
    from: UtcMicros,
    /// Its end.
    to: UtcMicros,
    /// Those that have a value, in order.
    points: Vec<TrendPoint>,
    /// Quarters, hours, days, weeks or months from the first value to the last that have none.
    gaps: u64,
}

/// How a series moves, and which values are odd
///
/// The values, their moving average, what was to be expected, and what is odd, as `docs/reports.md` explains it.
#[utoipa::path(
    get,
    path = "/api/v1/trend",
    tag = "figures",
    operation_id = "trend",
    params(TrendQuery),
    responses((status = 200, description = "the trend", body = TrendResponse))
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

/// Which anomalies.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct AnomaliesQuery {
    /// Whose.
    tenant: TenantId,
    /// Of this watched series, by its id.
    series: Option<SeriesId>,
    /// Found at this instant or later, to the millisecond.
    from: Option<UtcMicros>,
    /// Found before; now without it.
    to: Option<UtcMicros>,
    /// The `next` of the page before.
    cursor: Option<AnomalyId>,
    /// At most so many, 100 without it, at most 500.
    limit: Option<u32>,
}

/// Anomalies of watched series.
#[derive(Serialize, ToSchema)]
#[schema(as = Anomalies)]
pub(in crate::http) struct AnomaliesResponse {
    /// Newest first.
    anomalies: Vec<AnomalyResponse>,
    /// The cursor of the next page; null on the last.
    next: Option<AnomalyId>,
}

/// An anomaly of a watched series.
#[derive(Serialize, ToSchema)]
#[schema(as = Anomaly)]
pub(in crate::http) struct AnomalyResponse {
    /// Its id.
    id: AnomalyId,
    /// The watched series, by its id.
    series: SeriesId,
    /// What that was of.
    of: String,
    /// `SPIKE` or `DROP`.
    kind: &'static str,
    /// `season` or `window`: what it was judged by.
    baseline: &'static str,
    /// Where its first value begins.
    at: UtcMicros,
    /// Where its last value so far begins.
    last_at: UtcMicros,
    /// Its first value; a share is one of 1.
    value: f64,
    /// What was expected instead.
    expected: f64,
    /// How far it lay off, in spreads or standard deviations.
    score: f64,
    /// When it was found.
    found_at: UtcMicros,
    /// When it was found to be over; null while it goes on.
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

/// The anomalies of watched series
///
/// Whoever is bound to teams sees those of skills, queues and these teams, and those of analytics who has that right; a page may then be short of the limit and have a next one.
#[utoipa::path(
    get,
    path = "/api/v1/anomalies",
    tag = "figures",
    operation_id = "list_anomalies",
    params(AnomaliesQuery),
    responses((status = 200, description = "the anomalies", body = AnomaliesResponse))
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

/// What is watched.
#[derive(Serialize, ToSchema)]
#[schema(as = WatchedSeriesList)]
pub(in crate::http) struct MonitoredSeriesListResponse {
    /// In the order of the configuration.
    series: Vec<MonitoredSeriesResponse>,
}

/// A watched series.
#[derive(Serialize, ToSchema)]
#[schema(as = WatchedSeries)]
pub(in crate::http) struct MonitoredSeriesResponse {
    /// Its id in rules and events.
    id: SeriesId,
    /// What it is of, as a series is named.
    of: String,
    /// Values that the moving average and the z-score look at.
    window: u16,
    /// A z-score beyond this is an anomaly, where the season does not decide.
    threshold: f64,
    /// Whether the season decides once it is known.
    seasonal: bool,
    /// The zone of its days and hours.
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

/// The series that are watched for anomalies
#[utoipa::path(
    get,
    path = "/api/v1/series",
    tag = "figures",
    operation_id = "list_series",
    params(TenantQuery),
    responses((status = 200, description = "the series", body = MonitoredSeriesListResponse))
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
