//! The body of an aggregation query, and what the platform accepts.

use std::time::Duration;

use jiff::ToSpan;
use jiff::tz::TimeZone;
use serde::Deserialize;

use crate::domain::time::UtcMicros;
use crate::sim::contacts::Skill;
use crate::sim::wire::Problem;

/// The most metrics of one query (guide 002).
const MAX_METRICS: usize = 10;

/// The most dimensions of one query (guide 002).
const MAX_DIMENSIONS: usize = 5;

/// The longest span of one query (guide 002).
const MAX_SPAN: Duration = Duration::from_secs(365 * 86_400);

/// The known aggregations.
const AGGREGATIONS: [&str; 5] = ["sum", "avg", "pct", "min", "max"];

const GROUPS: [&str; 3] = ["grp_001", "grp_002", "grp_003"];
const CHANNELS: [&str; 3] = ["voice", "chat", "email"];

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Metric {
    /// The contacts handled.
    Count,
    /// The duration of a contact, in seconds.
    Duration,
    /// The contacts resolved at the first attempt, in percent.
    FirstContactResolved,
    /// The abandoned contacts.
    Abandoned,
}

impl Metric {
    const ALL: [Self; 4] = [Self::Count, Self::Duration, Self::FirstContactResolved, Self::Abandoned];

    /// Returns the name on the wire (from guide 002, except the last).
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Duration => "duration",
            Self::FirstContactResolved => "first_contact_resolved",
            Self::Abandoned => "abandoned",
        }
    }
}

/// The length of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BucketSize {
    Hour,
    Day,
    Week,
    Month,
}

/// A dimension that distinguishes rows: its name and values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dimension {
    pub(super) name: String,
    pub(super) values: Vec<String>,
}

/// A requested query.
#[derive(Clone, Debug)]
pub(in crate::sim) struct QueryRequest {
    /// The metrics, each with its aggregation.
    pub(super) metrics: Vec<(Metric, String)>,
    pub(super) dimensions: Vec<Dimension>,
    /// The share of a dimension's values that a filter leaves, if the dimension is not requested itself.
    pub(super) share: f64,
    pub(super) size: BucketSize,
    pub(super) zone: TimeZone,
    /// The starts of the buckets.
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

/// Parses the body of a query; its queues are those of the tenant's skills.
pub(in crate::sim) fn parse(body: &[u8], skills: &[Skill]) -> Result<QueryRequest, Problem> {
    let body: Body = serde_json::from_slice(body).map_err(|error| Problem::bad(error.to_string()))?;
    if body.metrics.is_empty() || body.metrics.len() > MAX_METRICS {
        return Err(Problem::bad(format!("1 to {MAX_METRICS} metrics")));
    }
    if body.dimensions.len() > MAX_DIMENSIONS {
        return Err(Problem::bad(format!("at most {MAX_DIMENSIONS} dimensions")));
    }
    let metrics = body.metrics.into_iter().map(parse_metric).collect::<Result<_, _>>()?;
    let mut dimensions =
        body.dimensions.iter().map(|asked| parse_dimension(&asked.name, skills)).collect::<Result<Vec<_>, _>>()?;
    let mut share = 1.0;
    if let Some(filter) = body.filter {
        share = apply_filter(&filter, &mut dimensions, skills)?;
    }
    let (size, zone, buckets) = parse_time_series(&body.time_series)?;
    Ok(QueryRequest { metrics, dimensions, share, size, zone, buckets })
}

fn parse_metric(body: MetricBody) -> Result<(Metric, String), Problem> {
    let known = Metric::ALL.into_iter().find(|metric| metric.name() == body.name);
    let known = known.ok_or_else(|| Problem::bad(format!("unknown metric {:?}", body.name)))?;
    if !AGGREGATIONS.contains(&body.aggregation.as_str()) {
        return Err(Problem::bad(format!("unknown aggregation {:?}", body.aggregation)));
    }
    Ok((known, body.aggregation))
}

fn parse_dimension(name: &str, skills: &[Skill]) -> Result<Dimension, Problem> {
    let values = match name {
        "group.id" => GROUPS.map(str::to_owned).to_vec(),
        "channel" => CHANNELS.map(str::to_owned).to_vec(),
        "queue.id" => skills.iter().map(|skill| skill.queue.clone()).collect(),
        other => return Err(Problem::bad(format!("unknown dimension {other:?}"))),
    };
    Ok(Dimension { name: name.to_owned(), values })
}

/// Restricts a dimension to one value, or to none if the value does not exist. Returns the remaining share for a
/// dimension that is not requested.
fn apply_filter(filter: &FilterBody, dimensions: &mut [Dimension], skills: &[Skill]) -> Result<f64, Problem> {
    if filter.r#type != "equals" {
        return Err(Problem::bad(format!("unknown filter {:?}", filter.r#type)));
    }
    let filtered = parse_dimension(&filter.field, skills)?;
    if let Some(requested) = dimensions.iter_mut().find(|asked| asked.name == filter.field) {
        requested.values.retain(|value| *value == filter.value);
        return Ok(1.0);
    }
    let all = f64::from(u32::try_from(filtered.values.len()).unwrap_or(u32::MAX));
    Ok(if filtered.values.contains(&filter.value) { 1.0 / all } else { 0.0 })
}

fn parse_time_series(body: &TimeSeriesBody) -> Result<(BucketSize, TimeZone, Vec<UtcMicros>), Problem> {
    let size = match body.bucket_size.as_str() {
        "HOUR" => BucketSize::Hour,
        "DAY" => BucketSize::Day,
        "WEEK" => BucketSize::Week,
        "MONTH" => BucketSize::Month,
        other => return Err(Problem::bad(format!("unknown bucketSize {other:?}"))),
    };
    let zone = body.time_zone.as_deref().unwrap_or("UTC");
    let zone = TimeZone::get(zone).map_err(|_| Problem::bad(format!("unknown timeZone {zone:?}")))?;
    if body.end < body.start || body.end.since(body.start) > MAX_SPAN {
        return Err(Problem::bad("timeSeries goes from its start to its end in at most 365 days"));
    }
    let first = body.start.timestamp().to_zoned(zone.clone());
    let nth = |number: i64| {
        let step = match size {
            BucketSize::Hour => number.hours(),
            BucketSize::Day => number.days(),
            BucketSize::Week => number.weeks(),
            BucketSize::Month => number.months(),
        };
        first.checked_add(step).ok().map(|at| UtcMicros::from(at.timestamp()))
    };
    // The end is included, as in the example of guide 002.
    let buckets = (0..).map_while(nth).take_while(|at| *at <= body.end).collect();
    Ok((size, zone, buckets))
}
