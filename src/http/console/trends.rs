//! Trends: one series over some days, drawn with what is usual and what is odd, and the anomalies of the series that are watched.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::ask::Ask;
use super::failure::Failure;
use super::line_chart::{HEIGHT, LineChart, Odd, Point, Scale, WIDTH};
use super::read::{Want, read};
use super::shell::{Place, Shell, page};
use super::times::{Stamp, Times};
use crate::domain::anomaly::short;
use crate::domain::figures::{QUEUE_MEASURES, SKILL_MEASURES};
use crate::domain::series::{Bucket, Source};
use crate::domain::time::UtcMicros;
use crate::http::ApiState;
use crate::http::api::figures::Newest;
use crate::http::api::trends::{anomalies, series, show as trend};
use crate::http::auth::Right;
use crate::http::problem::Problem;

/// Spans that the page offers, in days.
const SPANS: [u32; 4] = [1, 7, 28, 60];

/// The one that it begins with.
const USUAL_DAYS: u32 = 7;

/// Values of the moving average of what is not watched.
const USUAL_WINDOW: u16 = 3;

/// Rows of the table behind the drawing.
const MOST_ROWS: usize = 700;

/// Skills and queues that are offered, each with all of its figures.
const MOST_OFFERED: usize = 40;

#[derive(Deserialize)]
struct Read {
    at: UtcMicros,
    value: f64,
    moving_average: f64,
    direction: String,
    usual: Option<Usual>,
    anomaly: Option<OddValue>,
}

#[derive(Deserialize)]
struct Usual {
    low: f64,
    high: f64,
}

#[derive(Deserialize)]
struct OddValue {
    kind: String,
    baseline: String,
}

#[derive(Deserialize)]
struct Trend {
    series: String,
    figure: String,
    of: String,
    by: String,
    share: bool,
    from: UtcMicros,
    to: UtcMicros,
    points: Vec<Read>,
    gaps: u64,
}

#[derive(Deserialize)]
struct Watched {
    id: String,
    of: String,
    window: u16,
    threshold: f64,
    seasonal: bool,
    zone: String,
}

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
#[template(path = "trends.html")]
struct TrendsPage {
    shell: Shell,
    times: Times,
    groups: Vec<Group>,
    chosen: String,
    days: u32,
    trend: Option<Trend>,
    /// Values that the moving average is of.
    window: u16,
    chart: Option<LineChart>,
    anomalies: Vec<Anomaly>,
    older: Option<String>,
    watches: bool,
}

impl TrendsPage {
    fn at(&self, at: &UtcMicros) -> Stamp {
        self.times.second(*at)
    }

    /// The rows behind the drawing, the newest first.
    fn rows(trend: &Trend) -> impl Iterator<Item = &Read> {
        trend.points.iter().rev().take(MOST_ROWS)
    }

    fn left_out(trend: &Trend) -> usize {
        trend.points.len().saturating_sub(MOST_ROWS)
    }

    fn number(share: &bool, value: &f64) -> String {
        if *share { format!("{} %", short(value * 100.0)) } else { short(*value) }
    }

    /// The value of an anomaly in the unit of its series.
    fn of(anomaly: &Anomaly, value: &f64) -> String {
        Self::number(&anomaly.of.parse::<Source>().is_ok_and(|source| source.is_share()), value)
    }

    fn odd(trend: &Trend) -> usize {
        trend.points.iter().filter(|point| point.anomaly.is_some()).count()
    }

    fn last(trend: &Trend) -> Option<String> {
        trend.points.last().map(|point| Self::number(&trend.share, &point.value))
    }

    fn average(trend: &Trend) -> Option<String> {
        trend.points.last().map(|point| Self::number(&trend.share, &point.moving_average))
    }

    /// What lies where, for who does not see the drawing.
    fn summary(trend: &Trend) -> String {
        let (values, odd) = (trend.points.len(), Self::odd(trend));
        format!("{} of {}: {values} values, {odd} odd. The table below has the same.", trend.figure, trend.of)
    }
}

/// `GET /trends?series=&days=`.
pub(in crate::http) async fn show(State(state): State<ApiState>, ask: Ask) -> Result<Response, Failure> {
    ask.check(&state, Right::Read)?;
    let days =
        match ask.value("days") {
            None => USUAL_DAYS,
            Some(text) => text.parse().ok().filter(|days| SPANS.contains(days)).ok_or_else(|| {
                Problem::bad_request("days: 1, 7, 28 or 60; the API's GET /api/v1/trend takes any span")
            })?,
        };
    let want = Want { route: "/api/v1/series", id: None, query: &[] };
    let WatchedList { series: watched } = read(&state, &ask, want, series).await?;
    let groups = groups(&state, &ask, &watched).await?;
    let chosen = match ask.value("series") {
        Some(named) => Some(named.to_owned()),
        None => groups.iter().find_map(|group| group.series.first()).map(|(of, _)| of.clone()),
    };
    let trend = match &chosen {
        Some(chosen) => Some(read_trend(&state, &ask, chosen, days, watched_as(&watched, chosen)).await?),
        None => None,
    };
    let window =
        chosen.as_deref().and_then(|chosen| watched_as(&watched, chosen)).map_or(USUAL_WINDOW, |one| one.window);
    let query = [("limit", "20"), ("cursor", ask.value("cursor").unwrap_or_default())];
    let want = Want { route: "/api/v1/anomalies", id: None, query: &query };
    let Anomalies { anomalies, next } = read(&state, &ask, want, anomalies).await?;
    let zone = ask.times.zone_of(None);
    let chart = trend.as_ref().and_then(|trend| LineChart::of(&points(trend), &scale(trend, &zone)));
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
        trend,
        window,
        chart,
        anomalies,
        older,
        watches: !watched.is_empty(),
    }))
}

/// As what a series is watched, where it is.
fn watched_as<'w>(watched: &'w [Watched], of: &str) -> Option<&'w Watched> {
    watched.iter().find(|one| one.of == of)
}

/// The trend over the last so many days. What is looked at before shows what is usual, and is not drawn.
async fn read_trend(
    state: &ApiState,
    ask: &Ask,
    series: &str,
    days: u32,
    watched: Option<&Watched>,
) -> Result<Trend, Failure> {
    const DAY: std::time::Duration = std::time::Duration::from_hours(24);
    let source: Source = series.parse().map_err(|error| Problem::bad_request(format!("series: {error}")))?;
    let shown = ask.now - DAY * days;
    // Quarters of agents' time are cut from segments: no further back than asked for.
    let looks_back = match (source.whom(), source.bucket()) {
        (Some(_), Bucket::Quarter) => shown,
        _ => (ask.now - DAY * 60).min(shown),
    };
    let (from, to, zone) = (looks_back.to_string(), ask.now.to_string(), ask.times.zone_of(None));
    // A watched series is judged as the daemon judges it.
    let as_watched = watched.map(|one| (one.window.to_string(), one.threshold.to_string(), one.seasonal.to_string()));
    let (window, threshold, seasonal) = as_watched.unwrap_or_default();
    let query = [
        ("series", series),
        ("from", &*from),
        ("to", &to),
        ("zone", watched.map_or_else(|| super::times::name(&zone), |one| &one.zone)),
        ("window", &window),
        ("threshold", &threshold),
        ("seasonal", &seasonal),
    ];
    let want = Want { route: "/api/v1/trend", id: None, query: &query };
    let mut read: Trend = read(state, ask, want, trend).await?;
    read.points.retain(|point| point.at >= shown);
    read.from = shown;
    Ok(read)
}

fn points(trend: &Trend) -> Vec<Point> {
    let odd = |odd: &OddValue| if odd.kind == "SPIKE" { Odd::Spike } else { Odd::Drop };
    let point = |value: &Read| Point {
        at: value.at,
        value: value.value,
        average: value.moving_average,
        usual: value.usual.as_ref().map(|usual| (usual.low, usual.high)),
        odd: value.anomaly.as_ref().map(odd),
    };
    trend.points.iter().map(point).collect()
}

fn scale<'a>(trend: &Trend, zone: &'a jiff::tz::TimeZone) -> Scale<'a> {
    let bucket = if trend.by == Bucket::Day.name() { Bucket::Day } else { Bucket::Quarter };
    // A day may have 25 hours.
    let step = bucket.usual() + bucket.usual() / 10;
    let longest_step_us = i64::try_from(step.as_micros()).unwrap_or(i64::MAX);
    Scale { from: trend.from, to: trend.to, zone, share: trend.share, longest_step_us }
}

/// What there is to choose from, as far as the caller sees it.
async fn groups(state: &ApiState, ask: &Ask, watched: &[Watched]) -> Result<Vec<Group>, Failure> {
    let mut groups = Vec::new();
    let named = watched.iter().map(|one| (one.of.clone(), format!("{} ({})", one.id, one.of)));
    groups.push(Group { name: "Watched".to_owned(), series: named.collect() });
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
    groups.retain(|group| !group.series.is_empty());
    Ok(groups)
}

fn figures_of<const N: usize>(kind: &str, id: &str, name: Option<&str>, figures: [&str; N]) -> Group {
    let subject = name.map_or_else(|| format!("{kind} {id}"), |name| format!("{name} ({kind} {id})"));
    let words = |figure: &str| figure.replace('_', " ");
    let series = figures.map(|figure| (format!("{kind}:{id}:{figure}"), format!("{subject}: {}", words(figure))));
    Group { series: series.into(), name: subject }
}
