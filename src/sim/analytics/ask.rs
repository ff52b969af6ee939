//! The body of an aggregation query, and what the platform takes of it.

use std::time::Duration;

use jiff::ToSpan;
use jiff::tz::TimeZone;
use serde::Deserialize;

use crate::domain::time::UtcMicros;
use crate::sim::contacts::Skill;
use crate::sim::wire::Problem;

/// The most metrics of one query (guide 002).
const MOST_METRICS: usize = 10;

/// The most dimensions of one query (guide 002).
const MOST_DIMENSIONS: usize = 5;

/// The longest span of one query (guide 002).
const LONGEST_SPAN: Duration = Duration::from_secs(365 * 86_400);

/// The aggregations that there are.
const AGGREGATIONS: [&str; 5] = ["sum", "avg", "pct", "min", "max"];

const GROUPS: [&str; 3] = ["grp_001", "grp_002", "grp_003"];
const CHANNELS: [&str; 3] = ["voice", "chat", "email"];

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Metric {
    /// Contacts that were dealt with.
    Count,
    /// What one took, in seconds.
    Duration,
    /// Those that were settled at the first try, in percent.
    FirstContactResolved,
    /// Contacts that gave up waiting.
    Abandoned,
}

impl Metric {
    const ALL: [Self; 4] = [Self::Count, Self::Duration, Self::FirstContactResolved, Self::Abandoned];

    /// Its name on the wire (guide 002, but for the last).
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Duration => "duration",
            Self::FirstContactResolved => "first_contact_resolved",
            Self::Abandoned => "abandoned",
        }
    }
}

/// How long a bucket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    Hour,
    Day,
    Week,
    Month,
}

/// What rows are told apart by: its name, and the values that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dimension {
    pub(super) name: String,
    pub(super) values: Vec<String>,
}

/// A query as asked for.
#[derive(Clone, Debug)]
pub(in crate::sim) struct Asked {
    /// With the aggregation of each.
    pub(super) metrics: Vec<(Metric, String)>,
    pub(super) dimensions: Vec<Dimension>,
    /// What a filter leaves of a dimension that is not asked for: the share of its values.
    pub(super) share: f64,
    pub(super) size: Size,
    pub(super) zone: TimeZone,
    /// Where its buckets begin.
    pub(super) buckets: Vec<UtcMicros>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    metrics: Vec<MetricBody>,
    #[serde(default)]
    dimensions: Vec<DimensionBody>,
    filter: Option<FilterBody>,
    time_series: TimeSeriesBody,
}

#[derive(Deserialize)]
struct MetricBody {
    name: String,
    aggregation: String,
}

#[derive(Deserialize)]
struct DimensionBody {
    name: String,
}

#[derive(Deserialize)]
struct FilterBody {
    r#type: String,
    field: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TimeSeriesBody {
    bucket_size: String,
    start: UtcMicros,
    end: UtcMicros,
    time_zone: Option<String>,
}

/// Reads the body of a query; its queues are those of the tenant's skills.
pub(in crate::sim) fn read(body: &[u8], skills: &[Skill]) -> Result<Asked, Problem> {
    let body: Body = serde_json::from_slice(body).map_err(|error| Problem::bad(error.to_string()))?;
    if body.metrics.is_empty() || body.metrics.len() > MOST_METRICS {
        return Err(Problem::bad(format!("1 to {MOST_METRICS} metrics")));
    }
    if body.dimensions.len() > MOST_DIMENSIONS {
        return Err(Problem::bad(format!("at most {MOST_DIMENSIONS} dimensions")));
    }
    let metrics = body.metrics.into_iter().map(metric).collect::<Result<_, _>>()?;
    let mut dimensions =
        body.dimensions.iter().map(|asked| dimension(&asked.name, skills)).collect::<Result<Vec<_>, _>>()?;
    let mut share = 1.0;
    if let Some(filter) = body.filter {
        share = apply(&filter, &mut dimensions, skills)?;
    }
    let (size, zone, buckets) = time_series(&body.time_series)?;
    Ok(Asked { metrics, dimensions, share, size, zone, buckets })
}

fn metric(asked: MetricBody) -> Result<(Metric, String), Problem> {
    let known = Metric::ALL.into_iter().find(|metric| metric.name() == asked.name);
    let known = known.ok_or_else(|| Problem::bad(format!("unknown metric {:?}", asked.name)))?;
    if !AGGREGATIONS.contains(&asked.aggregation.as_str()) {
        return Err(Problem::bad(format!("unknown aggregation {:?}", asked.aggregation)));
    }
    Ok((known, asked.aggregation))
}

fn dimension(name: &str, skills: &[Skill]) -> Result<Dimension, Problem> {
    let values = match name {
        "group.id" => GROUPS.map(str::to_owned).to_vec(),
        "channel" => CHANNELS.map(str::to_owned).to_vec(),
        "queue.id" => skills.iter().map(|skill| skill.queue.clone()).collect(),
        other => return Err(Problem::bad(format!("unknown dimension {other:?}"))),
    };
    Ok(Dimension { name: name.to_owned(), values })
}

/// Leaves one value of a dimension: none at all where there is no such value. The share is of a dimension that is not asked for.
fn apply(filter: &FilterBody, dimensions: &mut [Dimension], skills: &[Skill]) -> Result<f64, Problem> {
    if filter.r#type != "equals" {
        return Err(Problem::bad(format!("unknown filter {:?}", filter.r#type)));
    }
    let filtered = dimension(&filter.field, skills)?;
    if let Some(asked) = dimensions.iter_mut().find(|asked| asked.name == filter.field) {
        asked.values.retain(|value| *value == filter.value);
        return Ok(1.0);
    }
    let all = f64::from(u32::try_from(filtered.values.len()).unwrap_or(u32::MAX));
    Ok(if filtered.values.contains(&filter.value) { 1.0 / all } else { 0.0 })
}

fn time_series(asked: &TimeSeriesBody) -> Result<(Size, TimeZone, Vec<UtcMicros>), Problem> {
    let size = match asked.bucket_size.as_str() {
        "HOUR" => Size::Hour,
        "DAY" => Size::Day,
        "WEEK" => Size::Week,
        "MONTH" => Size::Month,
        other => return Err(Problem::bad(format!("unknown bucketSize {other:?}"))),
    };
    let zone = asked.time_zone.as_deref().unwrap_or("UTC");
    let zone = TimeZone::get(zone).map_err(|_| Problem::bad(format!("unknown timeZone {zone:?}")))?;
    if asked.end < asked.start || asked.end.since(asked.start) > LONGEST_SPAN {
        return Err(Problem::bad("timeSeries goes from its start to its end in at most 365 days"));
    }
    let first = asked.start.timestamp().to_zoned(zone.clone());
    let nth = |number: i64| {
        let step = match size {
            Size::Hour => number.hours(),
            Size::Day => number.days(),
            Size::Week => number.weeks(),
            Size::Month => number.months(),
        };
        first.checked_add(step).ok().map(|at| UtcMicros::from(at.timestamp()))
    };
    // The end is in it, as guide 002's own example writes it.
    let buckets = (0..).map_while(nth).take_while(|at| *at <= asked.end).collect();
    Ok((size, zone, buckets))
}
