//! The analytics pages: the configured queries with their runs and results, and one run with its rows and a drawing per
//! metric.

pub(super) mod drawing;
pub(super) mod line_chart;
pub(super) mod trends;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jiff::tz::TimeZone;

use self::drawing::{ChartSpan, Drawing};
use self::line_chart::{HEIGHT, WIDTH};
use super::shared::page_error::PageError;
use super::shared::page_request::PageRequest;
use super::shared::shell::{ConsolePage, Shell, render_page};
use crate::domain::analytics::analytics_run::RunRequest;
use crate::domain::ids::AnalyticsQueryId;
use crate::domain::reports::report_run::RunStatus;
use crate::domain::time::{UtcMicros, duration_text};
use crate::domain::wording::count_with_noun;
use crate::engine::jobs::JobView;
use crate::http::api::analytics::series::{SeriesListResponse, SeriesResponse};
use crate::http::api::analytics::{
    self, AnalyticsQueriesResponse, AnalyticsQueryResponse, AnalyticsRowResponse, AnalyticsRowsResponse,
    AnalyticsRunResponse, AnalyticsRunsResponse,
};
use crate::http::auth::Right;
use crate::http::request::extract::Path;
use crate::http::state::ApiState;

/// The number of rows per page.
const PAGE_SIZE: &str = "100";

/// The maximum number of rows read for the drawings of one page; the first metric is drawn in any case.
const MAX_ROWS_READ: u64 = 200_000;

/// A run, as the page shows it.
struct AnalyticsRunView(AnalyticsRunResponse);

impl AnalyticsRunView {
    /// Returns the class and the text of the run's status.
    fn standing(&self) -> (&'static str, String) {
        let run = &self.0;
        match run.status {
            RunStatus::Waiting => ("outcome-wait", "queued".to_owned()),
            RunStatus::Running => {
                let whole = run.parts.iter().filter(|part| part.received.is_some()).count();
                ("outcome-wait", format!("running, {whole} of {} read", count_with_noun(run.parts.len(), "part")))
            }
            RunStatus::Done => ("outcome-good", count_with_noun(run.received.unwrap_or_default(), "row")),
            RunStatus::Failed => ("outcome-no", format!("failed: {}", run.failure.as_deref().unwrap_or_default())),
            RunStatus::Cancelled => ("outcome-no", "cancelled".to_owned()),
        }
    }

    /// Returns how many of the promised rows were received, for people.
    fn completeness(&self) -> String {
        match (self.0.received, self.0.promised) {
            (Some(received), Some(promised)) => format!("{received} of {promised} promised"),
            (Some(received), None) => format!("{received}, no count was promised"),
            (None, _) => "none".to_owned(),
        }
    }

    fn took(&self) -> String {
        let took = self.0.latency_ms.map(std::time::Duration::from_millis);
        took.map_or_else(String::new, |took| duration_text(std::time::Duration::from_secs(took.as_secs())))
    }

    fn metrics(&self) -> Vec<String> {
        self.0.request.metrics.iter().map(ToString::to_string).collect()
    }

    fn filter(&self) -> String {
        filter(&self.0.request)
    }

    fn buckets(&self) -> String {
        buckets(&self.0.request)
    }
}

fn filter(request: &RunRequest) -> String {
    request.filter.as_ref().map_or_else(|| "everything".to_owned(), ToString::to_string)
}

/// Returns the length of the buckets and their time zone, such as `by day in UTC`.
fn buckets(request: &RunRequest) -> String {
    format!("by {} in {}", request.bucket.name().to_lowercase(), request.zone)
}

/// A configured query, as the page shows it.
struct ConfiguredQueryView {
    id: AnalyticsQueryId,
    request: RunRequest,
    job: Option<JobView>,
    last: Option<AnalyticsRunView>,
}

impl From<AnalyticsQueryResponse> for ConfiguredQueryView {
    fn from(AnalyticsQueryResponse { id, request, job, last }: AnalyticsQueryResponse) -> Self {
        Self { id, request, job, last: last.map(AnalyticsRunView) }
    }
}

impl ConfiguredQueryView {
    fn metrics(&self) -> String {
        self.request.metrics.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }

    fn buckets(&self) -> String {
        buckets(&self.request)
    }

    /// Returns the dimensions and the filter of the query, for people.
    fn narrowed(&self) -> String {
        let by = self.request.dimensions.join(", ");
        let by = if by.is_empty() { String::new() } else { format!("by {by}, ") };
        format!("{by}of {}", filter(&self.request))
    }

    /// Returns the first and the last day of the query's span, in its own time zone.
    fn days(&self) -> (String, String) {
        let zone = self.request.query().map_or(TimeZone::UTC, |query| query.zone);
        let day = |at: UtcMicros| at.timestamp().to_zoned(zone.clone()).date().to_string();
        (day(self.request.from), day(self.request.to.offset(-1)))
    }
}

#[derive(Template)]
#[template(path = "analytics/analytics.html")]
struct AnalyticsPage {
    shell: Shell,
    queries: Vec<ConfiguredQueryView>,
    runs: Vec<AnalyticsRunView>,
    older: Option<String>,
}

impl AnalyticsPage {
    fn has_open_runs(&self) -> bool {
        self.runs.iter().any(|run| !run.0.status.is_final())
    }

    fn link(&self, run: &AnalyticsRunView) -> String {
        self.shell.to(&format!("/analytics/{}", run.0.id))
    }
}

/// `GET /analytics`.
pub(in crate::http) async fn list(State(state): State<ApiState>, request: PageRequest) -> Result<Response, PageError> {
    request.check_all_teams(&state, Right::Analytics)?;
    let query = [("limit", "20"), ("cursor", request.value("cursor").unwrap_or_default())];
    let AnalyticsRunsResponse { runs, next } =
        request.api("/api/v1/analytics/runs").query(&query).call(&state, analytics::list).await?;
    let AnalyticsQueriesResponse { queries } =
        request.api("/api/v1/analytics/queries").call(&state, analytics::queries).await?;
    let shell = request.shell(ConsolePage::Analytics, "Analytics");
    let older = next.map(|next| format!("{}&cursor={next}", shell.to("/analytics")));
    let runs = runs.into_iter().map(AnalyticsRunView).collect();
    let queries = queries.into_iter().map(ConfiguredQueryView::from).collect();
    Ok(render_page(&AnalyticsPage { shell, queries, runs, older }))
}

#[derive(Template)]
#[template(path = "analytics/analytics_run.html")]
struct RunPage {
    shell: Shell,
    run: AnalyticsRunView,
    /// The groups to choose from, for people.
    groups: Vec<String>,
    /// The index of the group that is drawn.
    group: usize,
    drawings: Vec<Drawing>,
    /// The series of this group that are not drawn, because it would take too long.
    undrawn: Vec<(String, String)>,
    rows: Vec<AnalyticsRowResponse>,
    next: Option<String>,
    /// The address of the series over all runs of the query.
    trends: Option<String>,
}

impl RunPage {
    fn value(value: &Option<f64>) -> String {
        value.map_or_else(|| "–".to_owned(), |value| value.to_string())
    }
}

/// The series of a run that are drawn.
struct SelectedSeries {
    groups: Vec<String>,
    group: usize,
    series: Vec<SeriesResponse>,
}

/// Returns the groups of a run and the series of the requested group; by default, of the first group that separates
/// dimensions.
async fn select_series(state: &ApiState, request: &PageRequest, id: &str) -> Result<SelectedSeries, PageError> {
    let SeriesListResponse { series: all } =
        request.api("/api/v1/analytics/series").query(&[("run", id)]).call(state, analytics::series::series).await?;
    let mut groups: Vec<String> = all.iter().map(|one| one.group.clone()).collect();
    groups.sort();
    groups.dedup();
    let default_group = groups.iter().position(|group| !group.is_empty()).unwrap_or_default();
    let requested = request.value("group").and_then(|place| place.parse().ok());
    let group = requested.filter(|place| *place < groups.len()).unwrap_or(default_group);
    let series = all.into_iter().filter(|one| groups.get(group) == Some(&one.group)).collect();
    Ok(SelectedSeries { groups, group, series })
}

/// Draws series over the span of the run.
async fn draw_series(
    state: &ApiState,
    request: &PageRequest,
    run: &AnalyticsRunResponse,
    series: &[SeriesResponse],
) -> Result<Vec<Drawing>, PageError> {
    let span = ChartSpan { from: run.request.from, shown_from: run.request.from, to: run.request.to };
    let mut drawings = Vec::with_capacity(series.len());
    for one in series {
        drawings.push(Drawing::read(state, request, &one.series, &span, None).await?);
    }
    Ok(drawings)
}

/// `GET /analytics/{id}`.
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    request: PageRequest,
) -> Result<Response, PageError> {
    request.check_all_teams(&state, Right::Analytics)?;
    let run: AnalyticsRunResponse =
        request.api("/api/v1/analytics/runs/{id}").id(&id).call(&state, analytics::show).await?;
    let (mut rows, mut next, mut drawings) = (Vec::new(), None, Vec::new());
    let mut selected = SelectedSeries { groups: Vec::new(), group: 0, series: Vec::new() };
    if run.has_rows {
        let query = [("limit", PAGE_SIZE), ("cursor", request.value("cursor").unwrap_or_default())];
        let page: AnalyticsRowsResponse = request
            .api("/api/v1/analytics/runs/{id}/rows")
            .id(&id)
            .query(&query)
            .call(&state, analytics::rows::rows)
            .await?;
        (rows, next) = (page.rows, page.next);
        selected = select_series(&state, &request, &id).await?;
        // Each drawing reads all rows of the run.
        let max_drawings = MAX_ROWS_READ / run.received.unwrap_or_default().max(1);
        let drawn_count = usize::try_from(max_drawings).unwrap_or(usize::MAX).clamp(1, selected.series.len().max(1));
        let undrawn = selected.series.split_off(drawn_count.min(selected.series.len()));
        drawings = draw_series(&state, &request, &run, &selected.series).await?;
        selected.series = undrawn;
    }
    let shell = request.shell(ConsolePage::Analytics, "Analytics run");
    let trend_link = |series: &str| {
        let part: String = url::form_urlencoded::byte_serialize(series.as_bytes()).collect();
        format!("{}&series={part}", shell.to("/trends"))
    };
    let undrawn = selected.series.iter().map(|one| (trend_link(&one.series), one.title())).collect();
    let run_prefix = format!("analytics-run:{id}:");
    let query_prefix = run.query.as_ref().map(|query| format!("analytics:{query}:"));
    let first = drawings.first().and_then(|drawing| drawing.series().strip_prefix(&run_prefix));
    let trends = query_prefix.zip(first).map(|(query, rest)| trend_link(&format!("{query}{rest}")));
    let run_link = shell.to(&format!("/analytics/{}", run.id));
    let next = next.map(|next| format!("{run_link}&group={}&cursor={next}", selected.group));
    let SelectedSeries { groups, group, series: _ } = selected;
    Ok(render_page(&RunPage {
        shell,
        run: AnalyticsRunView(run),
        groups,
        group,
        drawings,
        undrawn,
        rows,
        next,
        trends,
    }))
}
