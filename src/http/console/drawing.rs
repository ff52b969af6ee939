//! A series as pages draw it: its trend as the API tells it, the lines with their band and marks, and the same as a table.

use serde::Deserialize;

use super::ask::Ask;
use super::failure::Failure;
use super::line_chart::{LineChart, Odd, Point, Scale};
use super::read::{Want, read};
use super::times::{Stamp, Times, name};
use crate::domain::analytics::anomaly::short;
use crate::domain::analytics::series::Bucket;
use crate::domain::time::UtcMicros;
use crate::http::ApiState;
use crate::http::api::analytics::trends::show as trend;

/// Values of the moving average of what is not watched.
const USUAL_WINDOW: u16 = 3;

/// Rows of the table behind the drawing.
const MOST_ROWS: usize = 700;

/// A value of a series.
#[derive(Deserialize)]
pub(super) struct Drawn {
    pub(super) at: UtcMicros,
    pub(super) value: f64,
    pub(super) moving_average: f64,
    pub(super) direction: String,
    pub(super) usual: Option<Usual>,
    pub(super) anomaly: Option<OddValue>,
}

#[derive(Deserialize)]
pub(super) struct Usual {
    pub(super) low: f64,
    pub(super) high: f64,
}

#[derive(Deserialize)]
pub(super) struct OddValue {
    pub(super) kind: String,
    pub(super) baseline: String,
}

#[derive(Deserialize)]
struct Trend {
    series: String,
    figure: String,
    of: String,
    by: String,
    share: bool,
    points: Vec<Drawn>,
    gaps: u64,
}

/// A series that the configuration watches.
#[derive(Deserialize)]
pub(super) struct Watched {
    pub(super) id: String,
    pub(super) of: String,
    window: u16,
    threshold: f64,
    seasonal: bool,
    zone: String,
}

/// What is read of a series, and what of that is drawn.
pub(super) struct Stretch {
    /// Values from here on say what is usual.
    pub(super) from: UtcMicros,
    /// Values from here on are drawn.
    pub(super) shown: UtcMicros,
    pub(super) to: UtcMicros,
}

/// A series, ready to be drawn.
pub(super) struct Drawing {
    trend: Trend,
    times: Times,
    /// Values that the moving average is of.
    pub(super) window: u16,
    /// None where nothing is known.
    pub(super) chart: Option<LineChart>,
}

impl Drawing {
    /// Reads a series and draws a stretch of it. One that is watched is judged as the daemon judges it.
    pub(super) async fn read(
        state: &ApiState,
        ask: &Ask,
        series: &str,
        stretch: &Stretch,
        watched: Option<&Watched>,
    ) -> Result<Self, Failure> {
        let (from, to, zone) = (stretch.from.to_string(), stretch.to.to_string(), ask.times.zone_of(None));
        let as_watched =
            watched.map(|one| (one.window.to_string(), one.threshold.to_string(), one.seasonal.to_string()));
        let (window, threshold, seasonal) = as_watched.unwrap_or_default();
        let query = [
            ("series", series),
            ("from", &*from),
            ("to", &to),
            ("zone", watched.map_or_else(|| name(&zone), |one| &one.zone)),
            ("window", &window),
            ("threshold", &threshold),
            ("seasonal", &seasonal),
        ];
        let want = Want { route: "/api/v1/trend", id: None, query: &query };
        let mut read: Trend = read(state, ask, want, trend).await?;
        read.points.retain(|point| point.at >= stretch.shown);
        let bucket = Bucket::named(&read.by).unwrap_or(Bucket::Quarter);
        // A day may have 25 hours.
        let step = bucket.usual() + bucket.usual() / 10;
        let longest_step_us = i64::try_from(step.as_micros()).unwrap_or(i64::MAX);
        // What was not counted yet is no part of the picture.
        let from = read.points.first().map_or(stretch.shown, |first| first.at);
        let scale = Scale { from, to: stretch.to, zone: &zone, share: read.share, longest_step_us };
        let chart = LineChart::of(&points(&read), &scale);
        let window = watched.map_or(USUAL_WINDOW, |one| one.window);
        Ok(Self { trend: read, times: ask.times.clone(), window, chart })
    }

    /// `count of analytics calls, by the day`
    pub(super) fn title(&self) -> String {
        let Trend { figure, of, by, .. } = &self.trend;
        let noun = Bucket::named(by).map(Bucket::noun);
        format!("{figure} of {of}, by the {}", noun.unwrap_or(by))
    }

    /// The series by its name.
    pub(super) fn series(&self) -> &str {
        &self.trend.series
    }

    pub(super) fn gaps(&self) -> u64 {
        self.trend.gaps
    }

    pub(super) fn at(&self, at: &UtcMicros) -> Stamp {
        self.times.second(*at)
    }

    /// The rows behind the drawing, the newest first.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Drawn> {
        self.trend.points.iter().rev().take(MOST_ROWS)
    }

    pub(super) fn left_out(&self) -> usize {
        self.trend.points.len().saturating_sub(MOST_ROWS)
    }

    pub(super) fn number(&self, value: &f64) -> String {
        number(self.trend.share, *value)
    }

    pub(super) fn odd(&self) -> usize {
        self.trend.points.iter().filter(|point| point.anomaly.is_some()).count()
    }

    pub(super) fn last(&self) -> Option<String> {
        self.trend.points.last().map(|point| self.number(&point.value))
    }

    pub(super) fn average(&self) -> Option<String> {
        self.trend.points.last().map(|point| self.number(&point.moving_average))
    }

    /// What lies where, for who does not see the drawing.
    pub(super) fn summary(&self) -> String {
        let (values, odd) = (self.trend.points.len(), self.odd());
        format!(
            "{} of {}: {values} values, {odd} anomalies. The table below shows the same data.",
            self.trend.figure, self.trend.of
        )
    }
}

/// A value in few digits; a share in per cent.
pub(super) fn number(share: bool, value: f64) -> String {
    if share { format!("{} %", short(value * 100.0)) } else { short(value) }
}

fn points(trend: &Trend) -> Vec<Point> {
    let odd = |odd: &OddValue| if odd.kind == "SPIKE" { Odd::Spike } else { Odd::Drop };
    let point = |value: &Drawn| Point {
        at: value.at,
        value: value.value,
        average: value.moving_average,
        usual: value.usual.as_ref().map(|usual| (usual.low, usual.high)),
        odd: value.anomaly.as_ref().map(odd),
    };
    trend.points.iter().map(point).collect()
}
