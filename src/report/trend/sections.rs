//! The trend of a figure as a document: what is to be said of the whole, and a row per quarter of an hour that has a value.

use std::time::Duration;

use jiff::tz::TimeZoneDatabase;

use super::{FigureTrend, LONGEST_DAYS, Of};
use crate::domain::figures::Measure;
use crate::domain::trend::{AnomalyKind, Baseline, Direction, THRESHOLD, TrendPoint, TrendSettings, WINDOW};
use crate::report::document::{Cell, CellKind, Chart, ChartKind, Definition, ReportError, Section, Sink, column};
use crate::report::request::{Filters, Request};
use crate::store::Reader;

/// So much is looked at where no beginning is named.
pub const USUAL_SPAN: Duration = Duration::from_secs(60 * 86_400);

const SUMMARY: Section = Section {
    name: "summary",
    title: "Summary",
    columns: &[
        column("figure", "Figure", CellKind::Text, "the figure; a share is one of 1"),
        column("of", "Of", CellKind::Text, "the skill or queue"),
        column("quarters", "Quarters", CellKind::Count, "quarters of an hour that have a value"),
        column(
            "gaps",
            "Without a value",
            CellKind::Count,
            "quarters of the span, up to the last that has a value, that have none",
        ),
        column("anomalies", "Odd", CellKind::Count, "quarters in which something is odd"),
    ],
    written: None,
    chart: None,
};

const POINTS: Section = Section {
    name: "points",
    title: "By the quarter of an hour",
    columns: &[
        column("at", "Quarter from", CellKind::Instant, "where the quarter begins"),
        column("value", "Value", CellKind::Number, "the mean of the quarter's reads"),
        column(
            "movingAverage",
            "Moving average",
            CellKind::Number,
            "the mean of it and the quarters with a value before it, as many as the window in all",
        ),
        column("direction", "Direction", CellKind::Text, "UP above the moving average, DOWN below it, LEVEL on it"),
        column(
            "zScore",
            "z-score",
            CellKind::Number,
            "(value - mean) / standard deviation of the window's values before it, of the population",
        ),
        column(
            "expected",
            "Expected",
            CellKind::Number,
            "the median of what the same quarter hour of the same weekday brought in earlier weeks",
        ),
        column(
            "spread",
            "Spread",
            CellKind::Number,
            "the robust spread of those weeks, from the median of their distances",
        ),
        column("seasonScore", "Season score", CellKind::Number, "(value - expected) / spread"),
        column("anomaly", "Odd", CellKind::Text, "SPIKE or DROP"),
        column("baseline", "By", CellKind::Text, "season or window: what the anomaly was judged by"),
    ],
    written: None,
    chart: Some(Chart { kind: ChartKind::Line, label: 0, values: &[1, 2] }),
};

/// The report's tables.
pub const SECTIONS: &[Section] = &[SUMMARY, POINTS];

/// What its figures mean.
pub fn definitions(request: &Request) -> Vec<Definition> {
    let window = request.filters.window.unwrap_or(WINDOW);
    let threshold = request.filters.threshold.unwrap_or(THRESHOLD);
    let define = |name: &'static str, formula: String, source: &'static str| Definition {
        name: name.into(),
        formula: formula.into(),
        source: source.into(),
    };
    let iglewicz = "Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993";
    vec![
        define("movingAverage", format!("mean of the last {window} values, this one included"), "guide 002"),
        define("zScore", format!("(value - mean) / standard deviation of the {window} values before it"), "guide 002"),
        define(
            "seasonScore",
            "(value - expected) / spread; expected is a median, spread a median of distances".to_owned(),
            iglewicz,
        ),
        define(
            "anomaly",
            format!("a season score beyond 3.5 where four earlier weeks are known, else a z-score beyond {threshold}"),
            "",
        ),
    ]
}

/// What a trend is of.
pub fn subject(filters: &Filters) -> Result<(Of, &'static Measure), ReportError> {
    let of = match (&filters.skill, &filters.queue) {
        (Some(skill), None) => Of::Skill(skill.clone()),
        (None, Some(queue)) => Of::Queue(queue.clone()),
        _ => return Err(ReportError::Refused("a trend is of one skill or of one queue: name one".to_owned())),
    };
    let name = filters.figure.as_deref().unwrap_or_default();
    let found = of.measures().iter().find(|measure| measure.name == name || measure.column == name);
    let figure = found.ok_or_else(|| {
        let known: Vec<_> = of.measures().iter().map(|measure| measure.name).collect();
        ReportError::Refused(format!("there is no figure {name:?}; there are {}", known.join(", ")))
    })?;
    Ok((of, figure))
}

/// Reads the series, judges it and pushes it.
pub async fn write(request: &Request, reader: &Reader, sink: &mut (dyn Sink + '_)) -> Result<(), ReportError> {
    let (of, figure) = subject(&request.filters)?;
    let from = request.from.unwrap_or_else(|| request.to - USUAL_SPAN);
    if request.to.since(from) > Duration::from_secs(LONGEST_DAYS * 86_400) {
        return Err(ReportError::Refused(format!("a trend is of {LONGEST_DAYS} days at most: ask for a shorter span")));
    }
    let settings = TrendSettings {
        window: request.filters.window.unwrap_or(WINDOW),
        threshold: request.filters.threshold.unwrap_or(THRESHOLD),
        zone: TimeZoneDatabase::bundled().get(&request.zone).ok(),
    };
    let trend = FigureTrend::read(reader, &request.tenant, &of, figure, (from, request.to), &settings).await?;
    let whose = match &of {
        Of::Skill(id) => format!("skill {id}"),
        Of::Queue(id) => format!("queue {id}"),
    };
    sink.section(&SUMMARY)?;
    sink.row(&[
        Cell::text(trend.figure),
        Cell::text(whose),
        Cell::count(trend.points.len()),
        Cell::count(trend.gaps),
        Cell::count(trend.anomalies().count()),
    ])?;
    sink.end()?;
    sink.section(&POINTS)?;
    for point in &trend.points {
        sink.row(&cells(point))?;
    }
    Ok(sink.end()?)
}

fn cells(point: &TrendPoint) -> [Cell; POINTS.columns.len()] {
    let number = |number: Option<f64>, why_not| match number {
        Some(number) if number.is_finite() => Cell::Number(number),
        Some(_) | None => Cell::Empty(why_not),
    };
    let season = |part: Option<f64>| number(part, "fewer than four earlier weeks are known");
    let scored = point.season.and_then(|season| season.score);
    [
        Cell::Instant(point.at),
        number(Some(point.value), ""),
        number(Some(point.moving_average), ""),
        Cell::text(direction(point.direction)),
        number(point.z_score, "too few values before it, or all of them equal"),
        season(point.season.map(|season| season.expected)),
        season(point.season.map(|season| season.spread)),
        number(scored, "fewer than four earlier weeks are known, or all of them equal"),
        point.anomaly.map_or(Cell::Empty("nothing is odd about it"), |odd| Cell::text(kind(odd.kind))),
        point.anomaly.map_or(Cell::Empty("nothing is odd about it"), |odd| Cell::text(baseline(odd.baseline))),
    ]
}

/// As guide 002 spells it.
pub const fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Up => "UP",
        Direction::Down => "DOWN",
        Direction::Level => "LEVEL",
    }
}

/// As guide 002 spells it.
pub const fn kind(kind: AnomalyKind) -> &'static str {
    match kind {
        AnomalyKind::Spike => "SPIKE",
        AnomalyKind::Drop => "DROP",
    }
}

/// What an anomaly was judged by.
pub const fn baseline(baseline: Baseline) -> &'static str {
    match baseline {
        Baseline::Window => "window",
        Baseline::Season => "season",
    }
}
