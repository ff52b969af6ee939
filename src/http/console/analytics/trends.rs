//! Trends: one series over some days, drawn with what is usual and what is odd, and the anomalies of the series that are watched.

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::drawing::{Drawing, Stretch, Watched, number};
use super::line_chart::{HEIGHT, WIDTH};
use crate::domain::analytics::series::{Bucket, Source};
use crate::domain::live::figures::{QUEUE_MEASURES, SKILL_MEASURES};
use crate::domain::time::UtcMicros;
use crate::http::ApiState;
use crate::http::api::analytics::series::SeriesShown;
use crate::http::api::analytics::trends::{anomalies, series};
use crate::http::api::analytics::{self, QueriesView};
use crate::http::api::live::figures::Newest;
use crate::http::auth::Right;
use crate::http::console::shared::ask::Ask;
use crate::http::console::shared::failure::Failure;
use crate::http::console::shared::read::{Want, read};
use crate::http::console::shared::shell::{Place, Shell, page};
use crate::http::console::shared::times::{Stamp, Times};
use crate::http::problem::Problem;

/// Spans that the page offers, in days.
const SPANS: [u32; 4] = [1, 7, 28, 60];

/// What it offers beside them of analytics.
const A_YEAR: u32 = 365;

/// The one that it begins with.
const USUAL_DAYS: u32 = 7;

/// The same of analytics, which mostly go by the day.
const USUAL_DAYS_OF_RESULTS: u32 = 28;

/// Skills and queues that are offered, each with all of its figures.
const MOST_OFFERED: usize = 40;

#[derive(Deserialize)]
struct WatchedList {
    series: Vec<Watched>,
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
struct Anomalies {
    anomalies: Vec<Anomaly>,
    next: Option<String>,
}

/// Series to choose from, under a heading.
struct Group {
    name: String,
    series: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "analytics/trends.html")]
struct TrendsPage {
    shell: Shell,
    times: Times,
    groups: Vec<Group>,
    chosen: String,
    days: u32,
    spans: Vec<u32>,
    drawing: Option<Drawing>,
    anomalies: Vec<Anomaly>,
    older: Option<String>,
    watches: bool,
}

impl TrendsPage {
    fn at(&self, at: &UtcMicros) -> Stamp {
        self.times.second(*at)
    }

    /// The value of an anomaly in the unit of its series.
    fn of(anomaly: &Anomaly, value: &f64) -> String {
        number(anomaly.of.parse::<Source>().is_ok_and(|source| source.is_share()), *value)
    }
}

/// `GET /trends?series=&days=`.
pub(in crate::http) async fn show(State(state): State<ApiState>, ask: Ask) -> Result<Response, Failure> {
    ask.check(&state, Right::Read)?;
    let want = Want { route: "/api/v1/series", id: None, query: &[] };
    let WatchedList { series: watched } = read(&state, &ask, want, series).await?;
    let mut groups = groups(&state, &ask, &watched).await?;
    let chosen = match ask.value("series") {
        Some(named) => Some(named.to_owned()),
        None => groups.iter().find_map(|group| group.series.first()).map(|(of, _)| of.clone()),
    };
    let is_offered = |of: &str| groups.iter().any(|group| group.series.iter().any(|(one, _)| one == of));
    if let Some(other) = chosen.clone().filter(|chosen| !is_offered(chosen)) {
        groups.insert(0, Group { name: "Shown".to_owned(), series: vec![(other.clone(), other)] });
    }
    let source = chosen.as_deref().map(str::parse::<Source>).transpose();
    let source = source.map_err(|error| Problem::bad_request(format!("series: {error}")))?;
    let (spans, days) = spans(&ask, source.as_ref())?;
    let drawing = match (&source, ask.value("series")) {
        (Some(source), Some(_)) => Some(draw(&state, &ask, source, days, &watched).await?),
        // What nobody has asked for keeps nobody from the page.
        (Some(source), None) => draw(&state, &ask, source, days, &watched).await.ok(),
        (None, _) => None,
    };
    let query = [("limit", "20"), ("cursor", ask.value("cursor").unwrap_or_default())];
    let want = Want { route: "/api/v1/anomalies", id: None, query: &query };
    let Anomalies { anomalies, next } = read(&state, &ask, want, anomalies).await?;
    let shell = ask.shell(Place::Trends, "Trends");
    let part: String = chosen
        .as_deref()
        .map_or_else(String::new, |chosen| url::form_urlencoded::byte_serialize(chosen.as_bytes()).collect());
    let older = next.map(|next| format!("{}&series={part}&days={days}&cursor={next}", shell.to("/trends")));
    Ok(page(&TrendsPage {
        shell,
        times: ask.times,
        groups,
        chosen: chosen.unwrap_or_default(),
        days,
        spans,
        drawing,
        anomalies,
        older,
        watches: !watched.is_empty(),
    }))
}

/// The spans that are offered for a series, in days, and the one that is asked for. Results of analytics go far back and have few values.
fn spans(ask: &Ask, source: Option<&Source>) -> Result<(Vec<u32>, u32), Failure> {
    let is_aggregated = source.is_some_and(|source| source.aggregated().is_some());
    let mut spans = SPANS.to_vec();
    if is_aggregated {
        spans.push(A_YEAR);
    }
    let Some(text) = ask.value("days") else {
        return Ok((spans, if is_aggregated { USUAL_DAYS_OF_RESULTS } else { USUAL_DAYS }));
    };
    let days =
        text.parse().ok().map(|days: u32| if days == A_YEAR { spans.last().copied().unwrap_or(days) } else { days });
    let days = days.filter(|days| spans.contains(days)).ok_or_else(|| {
        let known = spans.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Problem::bad_request(format!("days: one of {known}; the API's GET /api/v1/trend takes any span"))
    })?;
    Ok((spans, days))
}

/// The last so many days of a series. What is looked at before shows what is usual, and is not drawn.
async fn draw(
    state: &ApiState,
    ask: &Ask,
    source: &Source,
    days: u32,
    watched: &[Watched],
) -> Result<Drawing, Failure> {
    let shown = ask.now - Duration::from_hours(24) * days;
    // Quarters of agents' time are cut from segments: no further back than asked for.
    let from = match (source.whom(), source.bucket()) {
        (Some(_), Some(Bucket::Quarter)) => shown,
        _ => (ask.now - source.usual_span()).min(shown),
    };
    let series = source.to_string();
    let watched = watched.iter().find(|one| one.of == series);
    Drawing::read(state, ask, &series, &Stretch { from, shown, to: ask.now }, watched).await
}

/// What there is to choose from, as far as the caller sees it.
async fn groups(state: &ApiState, ask: &Ask, watched: &[Watched]) -> Result<Vec<Group>, Failure> {
    let mut groups = Vec::new();
    let named = watched.iter().map(|one| (one.of.clone(), format!("{} ({})", one.id, one.of)));
    groups.push(Group { name: "Monitored".to_owned(), series: named.collect() });
    let newest = Newest::of(state, &ask.tenant)?;
    let skills = newest.figures.skills.iter().take(MOST_OFFERED).map(|taken| {
        let (id, name) = (taken.figures.id.as_str(), taken.figures.name.as_deref());
        figures_of("skill", id, name, SKILL_MEASURES.map(|measure| measure.name))
    });
    let queues = newest.figures.queues.iter().take(MOST_OFFERED).map(|taken| {
        let (id, name) = (taken.figures.id.as_str(), taken.figures.name.as_deref());
        figures_of("queue", id, name, QUEUE_MEASURES.map(|measure| measure.name))
    });
    groups.extend(skills.chain(queues));
    let teams = ask.picture(state).await.map_or_else(Vec::new, |picture| picture.teams());
    let teams = teams.iter().map(|team| (format!(":team:{team}"), format!("team {team}")));
    let everyone = ask.sees_all_teams().then(|| (String::new(), "everyone".to_owned()));
    let whom: Vec<_> = everyone.into_iter().chain(teams).collect();
    for (kind, name) in [("adherence", "Adherence"), ("not-ready", "Not ready")] {
        let by_day = whom.iter().map(|(part, who)| (format!("{kind}{part}"), format!("{name} of {who}, by day")));
        let by_quarter = whom.iter().filter(|(part, _)| !part.is_empty());
        let by_quarter = by_quarter
            .map(|(part, who)| (format!("{kind}-15m{part}"), format!("{name} of {who}, by the quarter hour")));
        groups.push(Group { name: name.to_owned(), series: by_day.chain(by_quarter).collect() });
    }
    groups.extend(groups_of_queries(state, ask).await?);
    groups.retain(|group| !group.series.is_empty());
    Ok(groups)
}

/// Those of the analytics queries, for who may see these.
async fn groups_of_queries(state: &ApiState, ask: &Ask) -> Result<Vec<Group>, Failure> {
    let mut groups = Vec::new();
    if !ask.has(Right::Analytics) || !ask.sees_all_teams() {
        return Ok(groups);
    }
    let want = Want { route: "/api/v1/analytics/queries", id: None, query: &[] };
    let QueriesView { queries } = read(state, ask, want, analytics::queries).await?;
    for query in queries {
        let named = [("query", query.id.as_str())];
        let want = Want { route: "/api/v1/analytics/series", id: None, query: &named };
        let SeriesShown { series } = read(state, ask, want, analytics::series::series).await?;
        let name = format!("Analytics {}", query.id);
        let series = series.into_iter().map(|one| (one.series.clone(), one.title())).collect();
        groups.push(Group { name, series });
    }
    Ok(groups)
}

fn figures_of<const N: usize>(kind: &str, id: &str, name: Option<&str>, figures: [&str; N]) -> Group {
    let subject = name.map_or_else(|| format!("{kind} {id}"), |name| format!("{name} ({kind} {id})"));
    let words = |figure: &str| figure.replace('_', " ");
    let series = figures.map(|figure| (format!("{kind}:{id}:{figure}"), format!("{subject}: {}", words(figure))));
    Group { series: series.into(), name: subject }
}
