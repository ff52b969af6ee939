//! The trend of a series as a document: a summary, and a row per bucket that has a value.

use super::SeriesTrend;
use crate::domain::analytics::series::SeriesSource;
use crate::domain::analytics::trend::{THRESHOLD, TrendPoint, TrendSettings, WINDOW};
use crate::report::adherence;
use crate::report::document::{Cell, CellKind, Chart, ChartKind, Definition, ReportError, Section, Sink, column};
use crate::report::request::Request;
use crate::store::Reader;

const SUMMARY: Section = Section {
    name: "summary",
    title: "Summary",
    columns: &[
        column("figure", "Figure", CellKind::Text, "the figure; a share is one of 1"),
        column("of", "Of", CellKind::Text, "the skill, queue, team, agent or analytics query, or everyone"),
        column("by", "By", CellKind::Text, "quarter, hour, day, week or month: what a value is of"),
        column(
            "values",
            "Values",
            CellKind::Count,
            "quarters of an hour, hours, days, weeks or months that have a value",
        ),
        column("gaps", "Without a value", CellKind::Count, "those from the first value to the last that have none"),
        column("anomalies", "Anomalies", CellKind::Count, "values that are anomalies"),
    ],
    written: None,
    chart: None,
};

const POINTS: Section = Section {
    name: "points",
    title: "Values",
    columns: &[
        column("at", "From", CellKind::Instant, "where the quarter of an hour, hour, day, week or month begins"),
        column(
            "value",
            "Value",
            CellKind::Number,
            "the mean of a quarter's reads, the share that the seconds of all come to, or what the platform added up",
        ),
        column(
            "movingAverage",
            "Moving average",
            CellKind::Number,
            "the mean of it and the values before it, as many as the window in all",
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
            "the median of what the same quarter hour of the same weekday (or that weekday) brought in earlier weeks",
        ),
        column(
            "spread",
            "Spread",
            CellKind::Number,
            "the robust spread of those weeks, from the median of their distances",
        ),
        column("seasonScore", "Season score", CellKind::Number, "(value - expected) / spread"),
        column("anomaly", "Anomaly", CellKind::Text, "SPIKE or DROP"),
        column("baseline", "By", CellKind::Text, "season or window: what the anomaly was judged by"),
    ],
    written: None,
    chart: Some(Chart { kind: ChartKind::Line, labels: &[0], values: &[1, 2, 5], mark: Some(8) }),
};

/// The report's tables.
pub const SECTIONS: &[Section] = &[SUMMARY, POINTS];

/// Returns the definitions of its figures.
pub fn definitions(request: &Request) -> Vec<Definition> {
    let window = request.filters.window.unwrap_or(WINDOW);
    let threshold = request.filters.threshold.unwrap_or(THRESHOLD);
    let definition = |name: &'static str, formula: String, source: &'static str| Definition {
        name: name.into(),
        formula: formula.into(),
        source: source.into(),
    };
    let iglewicz = "Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993";
    vec![
        definition("movingAverage", format!("mean of the last {window} values, this one included"), "guide 002"),
        definition(
            "zScore",
            format!("(value - mean) / standard deviation of the {window} values before it"),
            "guide 002",
        ),
        definition(
            "seasonScore",
            "(value - expected) / spread; expected is a median, spread a median of distances".to_owned(),
            iglewicz,
        ),
        definition(
            "anomaly",
            format!("a season score beyond 3.5 where four earlier weeks are known, else a z-score beyond {threshold}"),
            "",
        ),
    ]
}

fn series_source(request: &Request) -> Result<SeriesSource, ReportError> {
    request.filters.series_source().map_err(ReportError::Refused)
}

/// Returns notes about the span: when agents' time was not observed.
pub async fn notes(request: &Request, reader: &Reader) -> Result<Vec<String>, ReportError> {
    match series_source(request)?.agent_filter() {
        Some(_) => adherence::notes(request, reader).await,
        None => Ok(Vec::new()),
    }
}

/// Reads and judges the series, and pushes its rows.
pub async fn write(request: &Request, reader: &Reader, sink: &mut (dyn Sink + '_)) -> Result<(), ReportError> {
    let source = series_source(request)?;
    let from = request.from.unwrap_or_else(|| request.to - source.default_span());
    let zone = request.time_zone();
    let settings = TrendSettings {
        window: request.filters.window.unwrap_or(WINDOW),
        threshold: request.filters.threshold.unwrap_or(THRESHOLD),
        zone: Some(zone.clone()),
    };
    let trend = SeriesTrend::read(reader, &request.tenant, &source, ((from, request.to), &zone), &settings).await?;
    sink.section(&SUMMARY)?;
    sink.row(&[
        Cell::text(source.figure()),
        Cell::text(source.subject()),
        Cell::text(trend.bucket.name()),
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
    let anomaly_cell = |word: Option<&'static str>| word.map_or(Cell::Empty("not an anomaly"), Cell::text);
    [
        Cell::Instant(point.at),
        number(Some(point.value), ""),
        number(Some(point.moving_average), ""),
        Cell::text(point.direction.name()),
        number(point.z_score, "too few values before it, or all of them equal"),
        season(point.season.map(|season| season.expected)),
        season(point.season.map(|season| season.spread)),
        number(scored, "fewer than four earlier weeks are known, or all of them equal"),
        anomaly_cell(point.anomaly.map(|odd| odd.kind.name())),
        anomaly_cell(point.anomaly.map(|odd| odd.baseline.name())),
    ]
}
