//! The trends page: one series over some days, drawn with its expected range and anomalies, and the anomalies of
//! monitored series.

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::drawing::{ChartSpan, Drawing, MonitoredSeries, number};
use super::line_chart::{HEIGHT, WIDTH};
use crate::domain::analytics::series::{SeriesBucket, SeriesSource};
use crate::domain::live::figures::{QUEUE_MEASURES, SKILL_MEASURES};
use crate::domain::time::UtcMicros;
use crate::http::api::analytics::series::SeriesListResponse;
use crate::http::api::analytics::trends::{anomalies, series};
use crate::http::api::analytics::{self, AnalyticsQueriesResponse};
use crate::http::api::live::figures::CurrentFigures;
use crate::http::auth::Right;
use crate::http::console::live::live_view::LiveView;
use crate::http::console::shared::page_error::PageError;
use crate::http::console::shared::page_request::PageRequest;
use crate::http::console::shared::shell::{ConsolePage, Shell, render_page};
use crate::http::problem::Problem;
use crate::http::state::ApiState;

/// The spans that the page offers, in days.
const OFFERED_DAYS: [u32; 4] = [1, 7, 28, 60];

/// The additional span for results of analytics, in days.
const YEAR_DAYS: u32 = 365;

/// The default span, in days.
const DEFAULT_DAYS: u32 = 7;

/// The default span for results of analytics, in days; most of them have one value per day.
const DEFAULT_ANALYTICS_DAYS: u32 = 28;

/// The maximum number of skills and queues that are offered, each with all of its figures.
const MAX_OFFERED: usize = 40;

#[derive(Deserialize)]
struct MonitoredSeriesList {
    series: Vec<MonitoredSeries>,
}

#[derive(Deserialize)]
struct Anomaly {
    id: String,
    series: String,
    of: String,
    kind: String,
    at: UtcMicros,
    value: f64,
    expected: f64,
    found_at: UtcMicros,
    ended_at: Option<UtcMicros>,
}

#[derive(Deserialize)]
struct AnomalyList {
    anomalies: Vec<Anomaly>,
    next: Option<String>,
}

/// Series to choose from, under a heading.
struct SeriesGroup {
    name: String,
    series: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "analytics/trends.html")]
struct TrendsPage {
    shell: Shell,
    groups: Vec<SeriesGroup>,
    chosen: String,
    days: u32,
    spans: Vec<u32>,
    drawing: Option<Drawing>,
    anomalies: Vec<Anomaly>,
    older: Option<String>,
    watches: bool,
}

impl TrendsPage {
    /// Formats the value of an anomaly in the unit of its series.
    fn of(anomaly: &Anomaly, value: &f64) -> String {
        number(anomaly.of.parse::<SeriesSource>().is_ok_and(|source| source.is_share()), *value)
    }
}

/// `GET /trends?series=&days=`.
pub(in crate::http) async fn show(State(state): State<ApiState>, request: PageRequest) -> Result<Response, PageError> {
    request.check(&state, Right::Read)?;
    let MonitoredSeriesList { series: monitored } = request.api("/api/v1/series").call(&state, series).await?;
    let mut series_groups = load_groups(&state, &request, &monitored).await?;
    let chosen = match request.value("series") {
        Some(named) => Some(named.to_owned()),
        None => series_groups.iter().find_map(|group| group.series.first()).map(|(of, _)| of.clone()),
    };
    let is_offered = |of: &str| series_groups.iter().any(|group| group.series.iter().any(|(one, _)| one == of));
    if let Some(other) = chosen.clone().filter(|chosen| !is_offered(chosen)) {
        series_groups.insert(0, SeriesGroup { name: "Shown".to_owned(), series: vec![(other.clone(), other)] });
    }
    let source = chosen.as_deref().map(str::parse::<SeriesSource>).transpose();
    let source = source.map_err(|error| Problem::bad_request(format!("series: {error}")))?;
    let (spans, days) = offered_spans(&request, source.as_ref())?;
    let drawing = match (&source, request.value("series")) {
        (Some(source), Some(_)) => Some(draw_series(&state, &request, source, days, &monitored).await?),
        // The series is only a default, so an error must not keep the page from being shown.
        (Some(source), None) => draw_series(&state, &request, source, days, &monitored).await.ok(),
        (None, _) => None,
    };
    let query = [("limit", "20"), ("cursor", request.value("cursor").unwrap_or_default())];
    let AnomalyList { anomalies, next } =
        request.api("/api/v1/anomalies").query(&query).call(&state, anomalies).await?;
    let shell = request.shell(ConsolePage::Trends, "Trends");
    let part: String = chosen
        .as_deref()
        .map_or_else(String::new, |chosen| url::form_urlencoded::byte_serialize(chosen.as_bytes()).collect());
    let older = next.map(|next| format!("{}&series={part}&days={days}&cursor={next}", shell.to("/trends")));
    Ok(render_page(&TrendsPage {
        shell,
        groups: series_groups,
        chosen: chosen.unwrap_or_default(),
        days,
        spans,
        drawing,
        anomalies,
        older,
        watches: !monitored.is_empty(),
    }))
}

/// Returns the spans that are offered for a series, in days, and the requested one. Results of analytics go far back
/// and have few values, so they have longer spans.
fn offered_spans(request: &PageRequest, source: Option<&SeriesSource>) -> Result<(Vec<u32>, u32), PageError> {
    let is_aggregated = source.is_some_and(|source| source.aggregated_metric().is_some());
    let mut spans = OFFERED_DAYS.to_vec();
    if is_aggregated {
        spans.push(YEAR_DAYS);
    }
    let Some(text) = request.value("days") else {
        return Ok((spans, if is_aggregated { DEFAULT_ANALYTICS_DAYS } else { DEFAULT_DAYS }));
    };
    let days =
        text.parse().ok().map(|days: u32| if days == YEAR_DAYS { spans.last().copied().unwrap_or(days) } else { days });
    let days = days.filter(|days| spans.contains(days)).ok_or_else(|| {
        let known = spans.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Problem::bad_request(format!("days: one of {known}; the API's GET /api/v1/trend takes any span"))
    })?;
    Ok((spans, days))
}

/// Draws the last days of a series. Earlier values are read for the expected range, but not drawn.
async fn draw_series(
    state: &ApiState,
    request: &PageRequest,
    source: &SeriesSource,
    days: u32,
    monitored: &[MonitoredSeries],
) -> Result<Drawing, PageError> {
    let shown_from = request.now - Duration::from_hours(24) * days;
    // Quarter-hour values of agents' time are computed from segments, so read no further back than requested.
    let from = match (source.agent_filter(), source.bucket()) {
        (Some(_), Some(SeriesBucket::Quarter)) => shown_from,
        _ => (request.now - source.default_span()).min(shown_from),
    };
    let series = source.to_string();
    let monitored = monitored.iter().find(|one| one.of == series);
    Drawing::read(state, request, &series, &ChartSpan { from, shown_from, to: request.now }, monitored).await
}

/// Returns the series that the caller can choose from.
async fn load_groups(
    state: &ApiState,
    request: &PageRequest,
    monitored: &[MonitoredSeries],
) -> Result<Vec<SeriesGroup>, PageError> {
    let mut groups = Vec::new();
    let monitored_series = monitored.iter().map(|one| (one.of.clone(), format!("{} ({})", one.id, one.of)));
    groups.push(SeriesGroup { name: "Monitored".to_owned(), series: monitored_series.collect() });
    let current = CurrentFigures::load(state, &request.tenant)?;
    let skills = current.figures.skills.iter().take(MAX_OFFERED).map(|taken| {
        let (id, name) = (taken.figures.id.as_str(), taken.figures.name.as_deref());
        figure_group("skill", id, name, SKILL_MEASURES.map(|measure| measure.name))
    });
    let queues = current.figures.queues.iter().take(MAX_OFFERED).map(|taken| {
        let (id, name) = (taken.figures.id.as_str(), taken.figures.name.as_deref());
        figure_group("queue", id, name, QUEUE_MEASURES.map(|measure| measure.name))
    });
    groups.extend(skills.chain(queues));
    let teams = LiveView::load(state, request).await.map_or_else(Vec::new, |picture| picture.teams());
    let teams = teams.iter().map(|team| (format!(":team:{team}"), format!("team {team}")));
    let everyone = request.has_all_teams().then(|| (String::new(), "everyone".to_owned()));
    let audiences: Vec<_> = everyone.into_iter().chain(teams).collect();
    for (kind, name) in [("adherence", "Adherence"), ("not-ready", "Not ready")] {
        let by_day = audiences.iter().map(|(part, who)| (format!("{kind}{part}"), format!("{name} of {who}, by day")));
        let by_quarter = audiences.iter().filter(|(part, _)| !part.is_empty());
        let by_quarter = by_quarter
            .map(|(part, who)| (format!("{kind}-15m{part}"), format!("{name} of {who}, by the quarter hour")));
        groups.push(SeriesGroup { name: name.to_owned(), series: by_day.chain(by_quarter).collect() });
    }
    groups.extend(query_groups(state, request).await?);
    groups.retain(|group| !group.series.is_empty());
    Ok(groups)
}

/// Returns the series of analytics queries, if the caller may see them.
async fn query_groups(state: &ApiState, request: &PageRequest) -> Result<Vec<SeriesGroup>, PageError> {
    let mut groups = Vec::new();
    if !request.has_right(Right::Analytics) || !request.has_all_teams() {
        return Ok(groups);
    }
    let AnalyticsQueriesResponse { queries } =
        request.api("/api/v1/analytics/queries").call(state, analytics::queries).await?;
    for query in queries {
        let id_query = [("query", query.id.as_str())];
        let SeriesListResponse { series } =
            request.api("/api/v1/analytics/series").query(&id_query).call(state, analytics::series::series).await?;
        let name = format!("Analytics {}", query.id);
        let series = series.into_iter().map(|one| (one.series.clone(), one.title())).collect();
        groups.push(SeriesGroup { name, series });
    }
    Ok(groups)
}

fn figure_group<const N: usize>(kind: &str, id: &str, name: Option<&str>, figures: [&str; N]) -> SeriesGroup {
    let subject = name.map_or_else(|| format!("{kind} {id}"), |name| format!("{name} ({kind} {id})"));
    let label = |figure: &str| figure.replace('_', " ");
    let series = figures.map(|figure| (format!("{kind}:{id}:{figure}"), format!("{subject}: {}", label(figure))));
    SeriesGroup { series: series.into(), name: subject }
}
