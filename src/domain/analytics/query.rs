//! What is asked: metrics by dimensions over a span, held to the platform's limits before anything leaves.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;
use utoipa::ToSchema;

use super::row::jcs;
use super::{Bucket, LONGEST_PART, MOST_DIMENSIONS, MOST_METRICS, MOST_PARTS};
use crate::domain::time::UtcMicros;

/// The most characters of a query's, a metric's or a dimension's name.
const LONGEST_NAME: usize = 100;

/// The most characters of the value that a filter compares with.
const LONGEST_VALUE: usize = 256;

/// 2000-01-01T00:00:00Z; no platform has figures of before.
const EARLIEST: UtcMicros = UtcMicros::from_micros(946_684_800_000_000);

/// 2200-01-01T00:00:00Z; the calendars of all zones are well behaved up to it.
const LATEST: UtcMicros = UtcMicros::from_micros(7_258_118_400_000_000);

/// How the values of a metric are put together. Guide 002 shows `sum`, `avg` and `pct`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// Their sum.
    Sum,
    /// Their mean.
    Avg,
    /// The share of those that are true, in percent.
    Pct,
    /// The least of them.
    Min,
    /// The greatest of them.
    Max,
}

impl Aggregation {
    /// Every one.
    pub const ALL: [Self; 5] = [Self::Sum, Self::Avg, Self::Pct, Self::Min, Self::Max];

    /// Its name on the wire and in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Pct => "pct",
            Self::Min => "min",
            Self::Max => "max",
        }
    }
}

impl FromStr for Aggregation {
    type Err = String;

    /// By its name, in any case of letters; the error says which there are.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|aggregation| aggregation.name().eq_ignore_ascii_case(text));
        known.ok_or_else(|| format!("no aggregation is called `{text}`; write sum, avg, pct, min or max"))
    }
}

/// A metric that is asked for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricAsk {
    /// The platform's name of it.
    pub name: String,
    /// How its values are put together.
    pub aggregation: Aggregation,
}

/// Only what has this value in this field is looked at: the one filter that guide 002 shows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EqualsFilter {
    /// The platform's name of the field.
    pub field: String,
    /// The value.
    pub value: String,
}

impl fmt::Display for MetricAsk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.aggregation.name(), self.name)
    }
}

impl FromStr for MetricAsk {
    type Err = String;

    /// As people write it, `avg duration`; the error says how.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (how, name) = text.trim().split_once(' ').ok_or_else(|| {
            format!("`{text}` is not an aggregation and a metric; write it as `avg duration`, with sum, avg, pct, min or max")
        })?;
        Ok(Self { name: name.trim().to_owned(), aggregation: how.parse()? })
    }
}

impl fmt::Display for EqualsFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.field, self.value)
    }
}

impl FromStr for EqualsFilter {
    type Err = String;

    /// As people write it, `group.id=grp_001`; the error says how.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (field, value) = text
            .split_once('=')
            .ok_or_else(|| format!("`{text}` has no =; write it as FIELD=VALUE, as in group.id=grp_001"))?;
        Ok(Self { field: field.trim().to_owned(), value: value.trim().to_owned() })
    }
}

/// What is asked, without the span.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AggregationQuery {
    /// What people call it; not told to the platform and not in the hash of a result.
    pub name: Arc<str>,
    /// At least one, at most [`MOST_METRICS`], each named once.
    pub metrics: Vec<MetricAsk>,
    /// At most [`MOST_DIMENSIONS`], each named once.
    pub dimensions: Vec<String>,
    /// Nothing is left out without one.
    pub filter: Option<EqualsFilter>,
    /// How long each value's span is.
    pub bucket: Bucket,
    /// By whose calendar; an IANA zone. Guide 002 knows UTC alone.
    pub zone: TimeZone,
}

/// A span of time, its end not in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct QuerySpan {
    /// Its first instant.
    pub from: UtcMicros,
    /// The first instant after it.
    pub to: UtcMicros,
}

impl QuerySpan {
    /// Whether an instant is in it.
    pub fn contains(&self, at: UtcMicros) -> bool {
        self.from <= at && at < self.to
    }
}

impl fmt::Display for QuerySpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.from, self.to)
    }
}

/// Why a query cannot be asked.
#[derive(Error, Clone, PartialEq, Eq, Debug)]
#[error("{field} {what}; {hint}")]
pub struct QueryFault {
    /// The field, as in `metrics[2].name`.
    pub field: String,
    /// What is wrong with it.
    pub what: String,
    /// What to do.
    pub hint: String,
}

impl QueryFault {
    fn new(field: impl Into<String>, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { field: field.into(), what: what.into(), hint: hint.into() }
    }
}

impl AggregationQuery {
    /// Everything that stands against asking it; nothing where it is good.
    pub fn faults(&self) -> Vec<QueryFault> {
        let mut faults: Vec<QueryFault> = bad_text("name", &self.name, LONGEST_NAME).into_iter().collect();
        if self.metrics.is_empty() {
            faults.push(QueryFault::new("metrics", "is empty", "name at least one metric"));
        }
        let limits =
            [("metrics", self.metrics.len(), MOST_METRICS), ("dimensions", self.dimensions.len(), MOST_DIMENSIONS)];
        for (field, given, most) in limits.into_iter().filter(|(_, given, most)| given > most) {
            let hint = format!("the platform takes {most}: make two queries of it");
            faults.push(QueryFault::new(field, format!("has {given} entries"), hint));
        }
        let metrics = self.metrics.iter().enumerate().map(|(at, metric)| (format!("metrics[{at}].name"), &metric.name));
        faults.extend(bad_names(metrics));
        let dimensions = self.dimensions.iter().enumerate().map(|(at, name)| (format!("dimensions[{at}]"), name));
        faults.extend(bad_names(dimensions));
        if let Some(filter) = &self.filter {
            faults.extend(bad_text("filter.field", &filter.field, LONGEST_NAME));
            faults.extend(bad_text("filter.value", &filter.value, LONGEST_VALUE));
        }
        if self.zone.iana_name().is_none() {
            faults.push(QueryFault::new(
                "zone",
                "has no name",
                "name an IANA zone, as in Europe/Berlin, or leave it out",
            ));
        }
        faults
    }

    /// The name of its zone.
    pub fn zone_name(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// A span in parts of at most [`LONGEST_PART`], which tile it and begin and end where buckets do.
    pub fn parts(&self, span: QuerySpan) -> Result<Vec<QuerySpan>, QueryFault> {
        self.check_span(span)?;
        let mut parts = Vec::new();
        let mut from = span.from;
        while from < span.to {
            if parts.len() == MOST_PARTS {
                let what = format!("of {span} is longer than {MOST_PARTS} queries of 365 days");
                return Err(QueryFault::new("span", what, "ask for a shorter one"));
            }
            let furthest = from + LONGEST_PART;
            // A bucket is far shorter than a part, so there is always a border in between.
            let to = if furthest >= span.to { span.to } else { self.bucket.floor(furthest, &self.zone) };
            parts.push(QuerySpan { from, to });
            from = to;
        }
        Ok(parts)
    }

    fn check_span(&self, span: QuerySpan) -> Result<(), QueryFault> {
        if span.from >= span.to {
            return Err(QueryFault::new("span", format!("of {span} has no length"), "its end lies after its start"));
        }
        if span.from < EARLIEST || span.to > LATEST {
            let hint = "it lies within the years 2000 to 2199";
            return Err(QueryFault::new("span", format!("of {span} goes too far"), hint));
        }
        for (field, at) in [("from", span.from), ("to", span.to)] {
            let start = self.bucket.floor(at, &self.zone);
            if start != at {
                let next = self.bucket.next(start, &self.zone);
                let what = format!("is {at}, in the middle of a bucket of one {} in {}", self.bucket, self.zone_name());
                return Err(QueryFault::new(field, what, format!("take {start} or {next}")));
            }
        }
        Ok(())
    }

    /// A span with its first and last bucket whole.
    pub fn whole_buckets(&self, span: QuerySpan) -> QuerySpan {
        let from = self.bucket.floor(span.from, &self.zone);
        let last = self.bucket.floor(span.to, &self.zone);
        let to = if last == span.to { last } else { self.bucket.next(last, &self.zone) };
        QuerySpan { from, to }
    }

    /// The last `buckets` buckets that have ended at `now`, and fewer only where there would be some from before the year 2000.
    pub fn last(&self, buckets: u32, now: UtcMicros) -> QuerySpan {
        let to = self.bucket.floor(now, &self.zone);
        let mut from = to;
        for _ in 0..buckets.max(1) {
            if from <= EARLIEST {
                break;
            }
            from = self.bucket.floor(from.offset(-1), &self.zone);
        }
        QuerySpan { from, to }
    }

    /// The starts of the buckets of a span, rising.
    pub(super) fn borders(&self, span: QuerySpan) -> Vec<UtcMicros> {
        let first = Some(self.bucket.floor(span.from, &self.zone));
        let starts = std::iter::successors(first, |start| Some(self.bucket.next(*start, &self.zone)));
        starts.take_while(|start| *start < span.to).collect()
    }

    /// What is asked as canonical JSON (RFC 8785). The name is not in it: the same question under two names is one.
    pub fn question(&self, span: QuerySpan) -> String {
        let metrics: Vec<Value> = self
            .metrics
            .iter()
            .map(|metric| json!({ "name": metric.name, "aggregation": metric.aggregation.name() }))
            .collect();
        let filter = self.filter.as_ref().map(|filter| json!({ "field": filter.field, "value": filter.value }));
        jcs(&json!({
            "bucket": self.bucket.name(),
            "dimensions": self.dimensions,
            "filter": filter,
            "from": span.from,
            "metrics": metrics,
            "to": span.to,
            "zone": self.zone_name(),
        }))
    }
}

fn bad_text(field: impl Into<String>, text: &str, most: usize) -> Option<QueryFault> {
    let field = field.into();
    if text.trim().is_empty() {
        return Some(QueryFault::new(field, "is empty", "write a name"));
    }
    if text.chars().count() > most {
        return Some(QueryFault::new(field, "is too long", format!("write at most {most} characters")));
    }
    if text.trim() != text || text.chars().any(char::is_control) {
        let what = format!("is {text:?}, with spaces around it or control characters");
        return Some(QueryFault::new(field, what, "write it without them"));
    }
    None
}

fn bad_names<'n>(names: impl Iterator<Item = (String, &'n String)>) -> Vec<QueryFault> {
    let mut met = HashSet::new();
    let mut faults = Vec::new();
    for (field, name) in names {
        if let Some(fault) = bad_text(&field, name, LONGEST_NAME) {
            faults.push(fault);
        } else if !met.insert(name) {
            faults.push(QueryFault::new(field, format!("names {name:?} again"), "name each once"));
        }
    }
    faults
}
