//! A series as pages show it: its trend from the API, drawn as lines with the expected range and marks, and as a table.

use serde::Deserialize;

use super::line_chart::{AnomalyDirection, LineChart, Point, Scale};
use crate::domain::analytics::anomaly::format_short;
use crate::domain::analytics::series::SeriesBucket;
use crate::domain::live::figures::{QUEUE_MEASURES, SKILL_MEASURES, Unit};
use crate::domain::time::UtcMicros;
use crate::http::api::analytics::trends::show as trend;
use crate::http::console::shared::page_error::PageError;
use crate::http::console::shared::page_request::PageRequest;
use crate::http::console::shared::times::zone_name;
use crate::http::console::shared::wording::capitalized;
use crate::http::state::ApiState;

/// The number of values in the moving average of a series that is not monitored.
const DEFAULT_WINDOW: u16 = 3;

/// The maximum number of rows in the table of a drawing.
const MAX_TABLE_ROWS: usize = 700;

/// A value of a series.
#[derive(Deserialize)]
pub(in crate::http::console) struct SeriesPoint {
    pub(in crate::http::console) at: UtcMicros,
    pub(in crate::http::console) value: f64,
    pub(in crate::http::console) moving_average: f64,
    pub(in crate::http::console) direction: String,
    pub(in crate::http::console) usual: Option<ExpectedRange>,
    pub(in crate::http::console) anomaly: Option<PointAnomaly>,
}

#[derive(Deserialize)]
pub(in crate::http::console) struct ExpectedRange {
    pub(in crate::http::console) low: f64,
    pub(in crate::http::console) high: f64,
}

#[derive(Deserialize)]
pub(in crate::http::console) struct PointAnomaly {
    pub(in crate::http::console) kind: String,
    pub(in crate::http::console) baseline: String,
}

#[derive(Deserialize)]
struct Trend {
    series: String,
    figure: String,
    of: String,
    by: String,
    share: bool,
    points: Vec<SeriesPoint>,
    gaps: u64,
}

/// A series that the configuration monitors.
#[derive(Deserialize)]
pub(in crate::http::console) struct MonitoredSeries {
    pub(in crate::http::console) id: String,
    pub(in crate::http::console) of: String,
    window: u16,
    threshold: f64,
    seasonal: bool,
    zone: String,
}

/// The span of a series that is read, and the part of it that is drawn.
pub(in crate::http::console) struct ChartSpan {
    /// Where reading starts; earlier values than those drawn are used for the expected range.
    pub(in crate::http::console) from: UtcMicros,
    /// Where the drawing starts.
    pub(in crate::http::console) shown_from: UtcMicros,
    pub(in crate::http::console) to: UtcMicros,
}

/// A series, ready to be drawn.
pub(in crate::http::console) struct Drawing {
    trend: Trend,
    /// The number of values in the moving average.
    pub(in crate::http::console) window: u16,
    /// The chart, or `None` if there are no values.
    pub(in crate::http::console) chart: Option<LineChart>,
    /// When the data starts, if that is later than the drawn span.
    pub(in crate::http::console) data_since: Option<String>,
}

impl Drawing {
    /// Reads a series and draws a part of it. A monitored series is judged with the settings of its monitoring.
    pub(in crate::http::console) async fn read(
        state: &ApiState,
        request: &PageRequest,
        series: &str,
        span: &ChartSpan,
        monitored: Option<&MonitoredSeries>,
    ) -> Result<Self, PageError> {
        let (from, to, zone) = (span.from.to_string(), span.to.to_string(), request.times.zone_for(None));
        let monitored_settings =
            monitored.map(|one| (one.window.to_string(), one.threshold.to_string(), one.seasonal.to_string()));
        let (window, threshold, seasonal) = monitored_settings.unwrap_or_default();
        let query = [
            ("series", series),
            ("from", &*from),
            ("to", &to),
            ("zone", monitored.map_or_else(|| zone_name(&zone), |one| &one.zone)),
            ("window", &window),
            ("threshold", &threshold),
            ("seasonal", &seasonal),
        ];
        let mut read: Trend = request.api("/api/v1/trend").query(&query).call(state, trend).await?;
        read.points.retain(|point| point.at >= span.shown_from);
        let bucket = SeriesBucket::from_name(&read.by).unwrap_or(SeriesBucket::Quarter);
        // A day may have 25 hours.
        let step = bucket.typical_duration() + bucket.typical_duration() / 10;
        let longest_step_us = i64::try_from(step.as_micros()).unwrap_or(i64::MAX);
        let scale = Scale { from: span.shown_from, to: span.to, zone: &zone, share: read.share, longest_step_us };
        let chart = LineChart::from_points(&chart_points(&read), &scale);
        let window = monitored.map_or(DEFAULT_WINDOW, |one| one.window);
        let first = read.points.first().map(|first| first.at);
        let starts_late = first.filter(|first| first.since(span.shown_from) > step);
        let data_since = starts_late.map(|first| request.times.second(first).text);
        Ok(Self { trend: read, window, chart, data_since })
    }

    /// Returns the title with the unit, such as `Estimated wait time of skill 1001 (seconds), per day`.
    pub(in crate::http::console) fn title(&self) -> String {
        let Trend { figure, of, by, .. } = &self.trend;
        let noun = SeriesBucket::from_name(by).map(SeriesBucket::label);
        let unit = self.unit().map_or_else(String::new, |unit| format!(" ({unit})"));
        let text = format!("{} of {of}{unit}, per {}", figure.replace('_', " "), noun.unwrap_or(by));
        capitalized(&text)
    }

    /// Returns the unit of the values; `None` for numbers and where it is unknown.
    fn unit(&self) -> Option<&'static str> {
        if self.trend.share {
            return Some("%");
        }
        let measures = SKILL_MEASURES.iter().chain(&QUEUE_MEASURES);
        let measure = measures.into_iter().find(|measure| measure.name == self.trend.figure)?;
        match measure.unit {
            Unit::Count => None,
            Unit::Seconds => Some("seconds"),
            Unit::Millis => Some("milliseconds"),
            Unit::Ppm => Some("%"),
        }
    }

    /// Returns the name of the series.
    pub(in crate::http::console) fn series(&self) -> &str {
        &self.trend.series
    }

    pub(in crate::http::console) fn gaps(&self) -> u64 {
        self.trend.gaps
    }

    /// Returns the rows of the table, the newest first.
    pub(in crate::http::console) fn rows(&self) -> impl Iterator<Item = &SeriesPoint> {
        self.trend.points.iter().rev().take(MAX_TABLE_ROWS)
    }

    pub(in crate::http::console) fn rows_left_out(&self) -> usize {
        self.trend.points.len().saturating_sub(MAX_TABLE_ROWS)
    }

    pub(in crate::http::console) fn number(&self, value: &f64) -> String {
        number(self.trend.share, *value)
    }

    pub(in crate::http::console) fn odd(&self) -> usize {
        self.trend.points.iter().filter(|point| point.anomaly.is_some()).count()
    }

    pub(in crate::http::console) fn last(&self) -> Option<String> {
        self.trend.points.last().map(|point| self.number(&point.value))
    }

    pub(in crate::http::console) fn average(&self) -> Option<String> {
        self.trend.points.last().map(|point| self.number(&point.moving_average))
    }

    /// Returns a description for people who cannot see the drawing.
    pub(in crate::http::console) fn summary(&self) -> String {
        let (values, anomalies) = (self.trend.points.len(), self.odd());
        format!("{}: {values} values, {anomalies} anomalies. The table below shows the same data.", self.title())
    }
}

/// Formats a value with few digits; a share as a percentage.
pub(in crate::http::console) fn number(share: bool, value: f64) -> String {
    if share { format!("{} %", format_short(value * 100.0)) } else { format_short(value) }
}

fn chart_points(trend: &Trend) -> Vec<Point> {
    let direction =
        |odd: &PointAnomaly| if odd.kind == "SPIKE" { AnomalyDirection::Spike } else { AnomalyDirection::Drop };
    let point = |value: &SeriesPoint| Point {
        at: value.at,
        value: value.value,
        average: value.moving_average,
        expected: value.usual.as_ref().map(|usual| (usual.low, usual.high)),
        anomaly: value.anomaly.as_ref().map(direction),
    };
    trend.points.iter().map(point).collect()
}
