//! A series as pages draw it: its trend as the API tells it, the lines with their band and marks, and the same as a table.

use serde::Deserialize;

use super::line_chart::{LineChart, Odd, Point, Scale};
use crate::domain::analytics::anomaly::short;
use crate::domain::analytics::series::Bucket;
use crate::domain::time::UtcMicros;
use crate::http::ApiState;
use crate::http::api::analytics::trends::show as trend;
use crate::http::console::shared::ask::Ask;
use crate::http::console::shared::failure::Failure;
use crate::http::console::shared::read::{Want, read};
use crate::http::console::shared::times::{Stamp, Times, name};

/// Values of the moving average of what is not watched.
const USUAL_WINDOW: u16 = 3;

/// Rows of the table behind the drawing.
const MOST_ROWS: usize = 700;

/// A value of a series.
#[derive(Deserialize)]
pub(in crate::http::console) struct Drawn {
    pub(in crate::http::console) at: UtcMicros,
    pub(in crate::http::console) value: f64,
    pub(in crate::http::console) moving_average: f64,
    pub(in crate::http::console) direction: String,
    pub(in crate::http::console) usual: Option<Usual>,
    pub(in crate::http::console) anomaly: Option<OddValue>,
}

#[derive(Deserialize)]
pub(in crate::http::console) struct Usual {
    pub(in crate::http::console) low: f64,
    pub(in crate::http::console) high: f64,
}

#[derive(Deserialize)]
pub(in crate::http::console) struct OddValue {
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
    points: Vec<Drawn>,
    gaps: u64,
}

/// A series that the configuration watches.
#[derive(Deserialize)]
pub(in crate::http::console) struct Watched {
    pub(in crate::http::console) id: String,
    pub(in crate::http::console) of: String,
    window: u16,
    threshold: f64,
    seasonal: bool,
    zone: String,
}

/// What is read of a series, and what of that is drawn.
pub(in crate::http::console) struct Stretch {
    /// Values from here on say what is usual.
    pub(in crate::http::console) from: UtcMicros,
    /// Values from here on are drawn.
    pub(in crate::http::console) shown: UtcMicros,
    pub(in crate::http::console) to: UtcMicros,
}

/// A series, ready to be drawn.
pub(in crate::http::console) struct Drawing {
    trend: Trend,
    times: Times,
    /// Values that the moving average is of.
    pub(in crate::http::console) window: u16,
    /// None where nothing is known.
    pub(in crate::http::console) chart: Option<LineChart>,
}

impl Drawing {
    /// Reads a series and draws a stretch of it. One that is watched is judged as the daemon judges it.
    pub(in crate::http::console) async fn read(
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
    pub(in crate::http::console) fn title(&self) -> String {
        let Trend { figure, of, by, .. } = &self.trend;
        let noun = Bucket::named(by).map(Bucket::noun);
        format!("{figure} of {of}, by the {}", noun.unwrap_or(by))
    }

    /// The series by its name.
    pub(in crate::http::console) fn series(&self) -> &str {
        &self.trend.series
    }

    pub(in crate::http::console) fn gaps(&self) -> u64 {
        self.trend.gaps
    }

    pub(in crate::http::console) fn at(&self, at: &UtcMicros) -> Stamp {
        self.times.second(*at)
    }

    /// The rows behind the drawing, the newest first.
    pub(in crate::http::console) fn rows(&self) -> impl Iterator<Item = &Drawn> {
        self.trend.points.iter().rev().take(MOST_ROWS)
    }

    pub(in crate::http::console) fn left_out(&self) -> usize {
        self.trend.points.len().saturating_sub(MOST_ROWS)
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

    /// What lies where, for who does not see the drawing.
    pub(in crate::http::console) fn summary(&self) -> String {
        let (values, odd) = (self.trend.points.len(), self.odd());
        format!(
            "{} of {}: {values} values, {odd} anomalies. The table below shows the same data.",
            self.trend.figure, self.trend.of
        )
    }
}

/// A value in few digits; a share in per cent.
pub(in crate::http::console) fn number(share: bool, value: f64) -> String {
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
