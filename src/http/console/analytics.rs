//! Analytics of the platform: the queries of the configuration, the runs and how they came out, and a run with its rows, drawn metric by
//! metric.

pub(super) mod drawing;
pub(super) mod line_chart;
pub(super) mod trends;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jiff::tz::TimeZone;

use self::drawing::{Drawing, Stretch};
use self::line_chart::{HEIGHT, WIDTH};
use super::shared::ask::Ask;
use super::shared::failure::Failure;
use super::shared::read::{Want, read};
use super::shared::shell::{Place, Shell, page};
use super::shared::times::{Stamp, Times};
use crate::domain::analytics::analytics_run::RunRequest;
use crate::domain::ids::AnalyticsQueryId;
use crate::domain::reports::report_run::RunStatus;
use crate::domain::time::{UtcMicros, duration_text};
use crate::domain::words::count;
use crate::engine::jobs::JobView;
use crate::http::api::analytics::series::{OneSeries, SeriesShown};
use crate::http::api::analytics::{
    self, AnalyticsRowShown, AnalyticsRowsShown, AnalyticsRunShown, AnalyticsRunsShown, QueriesView, QueryView,
};
use crate::http::extract::Path;
use crate::http::{ApiState, Right};

/// Rows of one page.
const ROWS: &str = "100";

/// Rows that are read for the drawings of one page; the first metric is drawn in any case.
const MOST_READ: u64 = 200_000;

/// A run as it is drawn.
struct Drawn(AnalyticsRunShown);

impl Drawn {
    /// How it stands, in a class and in words.
    fn standing(&self) -> (&'static str, String) {
        let run = &self.0;
        match run.status {
            RunStatus::Waiting => ("outcome-wait", "queued".to_owned()),
            RunStatus::Running => {
                let whole = run.parts.iter().filter(|part| part.received.is_some()).count();
                ("outcome-wait", format!("running, {whole} of {} read", count(run.parts.len(), "part")))
            }
            RunStatus::Done => ("outcome-good", count(run.received.unwrap_or_default(), "row")),
            RunStatus::Failed => ("outcome-no", format!("failed: {}", run.failure.as_deref().unwrap_or_default())),
            RunStatus::Cancelled => ("outcome-no", "cancelled".to_owned()),
        }
    }

    /// Rows received of rows promised, in words.
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

/// How long the span of each value is, and by whose calendar: `by day in UTC`.
fn buckets(request: &RunRequest) -> String {
    format!("by {} in {}", request.bucket.name().to_lowercase(), request.zone)
}

/// A query of the configuration as it is drawn.
struct Standing {
    id: AnalyticsQueryId,
    request: RunRequest,
    job: Option<JobView>,
    last: Option<Drawn>,
}

impl From<QueryView> for Standing {
    fn from(QueryView { id, request, job, last }: QueryView) -> Self {
        Self { id, request, job, last: last.map(Drawn) }
    }
}

impl Standing {
    fn metrics(&self) -> String {
        self.request.metrics.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }

    fn buckets(&self) -> String {
        buckets(&self.request)
    }

    /// What it tells apart, and what it looks at alone.
    fn narrowed(&self) -> String {
        let by = self.request.dimensions.join(", ");
        let by = if by.is_empty() { String::new() } else { format!("by {by}, ") };
        format!("{by}of {}", filter(&self.request))
    }

    /// The first day of its span and the last, by its own zone.
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
    times: Times,
    queries: Vec<Standing>,
    runs: Vec<Drawn>,
    older: Option<String>,
}

impl AnalyticsPage {
    fn at(&self, at: &UtcMicros) -> Stamp {
        self.times.second(*at)
    }

    fn some_are_open(&self) -> bool {
        self.runs.iter().any(|run| !run.0.status.is_final())
    }

    fn link(&self, run: &Drawn) -> String {
        self.shell.to(&format!("/analytics/{}", run.0.id))
    }
}

/// `GET /analytics`.
pub(in crate::http) async fn list(State(state): State<ApiState>, ask: Ask) -> Result<Response, Failure> {
    ask.check_whole(&state, Right::Analytics)?;
    let query = [("limit", "20"), ("cursor", ask.value("cursor").unwrap_or_default())];
    let want = Want { route: "/api/v1/analytics/runs", id: None, query: &query };
    let AnalyticsRunsShown { runs, next } = read(&state, &ask, want, analytics::list).await?;
    let want = Want { route: "/api/v1/analytics/queries", id: None, query: &[] };
    let QueriesView { queries } = read(&state, &ask, want, analytics::queries).await?;
    let shell = ask.shell(Place::Analytics, "Analytics");
    let older = next.map(|next| format!("{}&cursor={next}", shell.to("/analytics")));
    let runs = runs.into_iter().map(Drawn).collect();
    let queries = queries.into_iter().map(Standing::from).collect();
    Ok(page(&AnalyticsPage { shell, times: ask.times, queries, runs, older }))
}

#[derive(Template)]
#[template(path = "analytics/analytics_run.html")]
struct RunPage {
    shell: Shell,
    times: Times,
    run: Drawn,
    /// The groups that may be chosen, for people.
    groups: Vec<String>,
    /// The one that is drawn, by its place.
    group: usize,
    drawings: Vec<Drawing>,
    /// Series of this group that are not drawn for the time that it would take.
    undrawn: Vec<(String, String)>,
    rows: Vec<AnalyticsRowShown>,
    next: Option<String>,
    /// The way to the series of all runs of the query.
    trends: Option<String>,
}

impl RunPage {
    fn at(&self, at: &UtcMicros) -> Stamp {
        self.times.second(*at)
    }

    fn value(value: &Option<f64>) -> String {
        value.map_or_else(|| "–".to_owned(), |value| value.to_string())
    }
}

/// What of a run is drawn.
struct Chosen {
    groups: Vec<String>,
    group: usize,
    series: Vec<OneSeries>,
}

/// The groups of a run, and the series of the one that is asked for: the first that tells dimensions apart without a word.
async fn choose(state: &ApiState, ask: &Ask, id: &str) -> Result<Chosen, Failure> {
    let want = Want { route: "/api/v1/analytics/series", id: None, query: &[("run", id)] };
    let SeriesShown { series: all } = read(state, ask, want, analytics::series::series).await?;
    let mut groups: Vec<String> = all.iter().map(|one| one.group.clone()).collect();
    groups.sort();
    groups.dedup();
    let usual = groups.iter().position(|group| !group.is_empty()).unwrap_or_default();
    let asked = ask.value("group").and_then(|place| place.parse().ok());
    let group = asked.filter(|place| *place < groups.len()).unwrap_or(usual);
    let series = all.into_iter().filter(|one| groups.get(group) == Some(&one.group)).collect();
    Ok(Chosen { groups, group, series })
}

/// Draws the series of a run over its span.
async fn draw(
    state: &ApiState,
    ask: &Ask,
    run: &AnalyticsRunShown,
    series: &[OneSeries],
) -> Result<Vec<Drawing>, Failure> {
    let stretch = Stretch { from: run.request.from, shown: run.request.from, to: run.request.to };
    let mut drawings = Vec::with_capacity(series.len());
    for one in series {
        drawings.push(Drawing::read(state, ask, &one.series, &stretch, None).await?);
    }
    Ok(drawings)
}

/// `GET /analytics/{id}`.
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    ask: Ask,
) -> Result<Response, Failure> {
    ask.check_whole(&state, Right::Analytics)?;
    let want = Want { route: "/api/v1/analytics/runs/{id}", id: Some(&id), query: &[] };
    let run: AnalyticsRunShown = read(&state, &ask, want, analytics::show).await?;
    let (mut rows, mut next, mut drawings) = (Vec::new(), None, Vec::new());
    let mut chosen = Chosen { groups: Vec::new(), group: 0, series: Vec::new() };
    if run.has_rows {
        let query = [("limit", ROWS), ("cursor", ask.value("cursor").unwrap_or_default())];
        let want = Want { route: "/api/v1/analytics/runs/{id}/rows", id: Some(&id), query: &query };
        let page: AnalyticsRowsShown = read(&state, &ask, want, analytics::rows::rows).await?;
        (rows, next) = (page.rows, page.next);
        chosen = choose(&state, &ask, &id).await?;
        // Each drawing reads the run.
        let most = MOST_READ / run.received.unwrap_or_default().max(1);
        let drawn = usize::try_from(most).unwrap_or(usize::MAX).clamp(1, chosen.series.len().max(1));
        let undrawn = chosen.series.split_off(drawn.min(chosen.series.len()));
        drawings = draw(&state, &ask, &run, &chosen.series).await?;
        chosen.series = undrawn;
    }
    let shell = ask.shell(Place::Analytics, "Analytics run");
    let of_series = |series: &str| {
        let part: String = url::form_urlencoded::byte_serialize(series.as_bytes()).collect();
        format!("{}&series={part}", shell.to("/trends"))
    };
    let undrawn = chosen.series.iter().map(|one| (of_series(&one.series), one.title())).collect();
    let own = format!("analytics-run:{id}:");
    let of_query = run.query.as_ref().map(|query| format!("analytics:{query}:"));
    let first = drawings.first().and_then(|drawing| drawing.series().strip_prefix(&own));
    let trends = of_query.zip(first).map(|(query, rest)| of_series(&format!("{query}{rest}")));
    let here = shell.to(&format!("/analytics/{}", run.id));
    let next = next.map(|next| format!("{here}&group={}&cursor={next}", chosen.group));
    let Chosen { groups, group, series: _ } = chosen;
    Ok(page(&RunPage {
        shell,
        times: ask.times,
        run: Drawn(run),
        groups,
        group,
        drawings,
        undrawn,
        rows,
        next,
        trends,
    }))
}
