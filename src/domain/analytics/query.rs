//! Aggregation queries: metrics by dimensions over a span, checked against the platform's limits before they are sent.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;
use utoipa::ToSchema;

use super::row::canonical_json;
use super::{MAX_DIMENSIONS, MAX_METRICS, MAX_PART_DURATION, MAX_PARTS, QueryBucket};
use crate::domain::time::UtcMicros;
use crate::domain::wording::named_enum;

/// The maximum length of the name of a query, metric or dimension, in characters.
const MAX_NAME_LENGTH: usize = 100;

/// The maximum length of a filter's value, in characters.
const MAX_VALUE_LENGTH: usize = 256;

/// 2000-01-01T00:00:00Z; no platform has earlier figures.
const EARLIEST: UtcMicros = UtcMicros::from_micros(946_684_800_000_000);

/// 2200-01-01T00:00:00Z; the calendars of all zones are regular up to it.
const LATEST: UtcMicros = UtcMicros::from_micros(7_258_118_400_000_000);

named_enum! {
    /// How the values of a metric are aggregated. The vendor's guide shows `sum`, `avg` and `pct`.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum Aggregation {
        /// The sum.
        Sum = "sum",
        /// The mean.
        Avg = "avg",
        /// The share of true values, in per cent.
        Pct = "pct",
        /// The minimum.
        Min = "min",
        /// The maximum.
        Max = "max",
    }
}

impl FromStr for Aggregation {
    type Err = String;

    /// Parses a name in any case; the error lists the valid names.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|aggregation| aggregation.name().eq_ignore_ascii_case(text));
        known.ok_or_else(|| format!("no aggregation is called `{text}`; write sum, avg, pct, min or max"))
    }
}

/// A metric of a query.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricRequest {
    /// The platform's name of the metric.
    pub name: String,
    /// How the values of the metric are aggregated.
    pub aggregation: Aggregation,
}

/// A condition on the data: a field has a value. It is the only kind of filter that the vendor's guide shows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EqualsFilter {
    /// The platform's name of the field.
    pub field: String,
    /// The value that the field must have.
    pub value: String,
}

impl fmt::Display for MetricRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.aggregation.name(), self.name)
    }
}

impl FromStr for MetricRequest {
    type Err = String;

    /// Parses the form written by people, `avg duration`; the error explains it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (aggregation, name) = text.trim().split_once(' ').ok_or_else(|| {
            format!("`{text}` is not an aggregation and a metric; write it as `avg duration`, with sum, avg, pct, min or max")
        })?;
        Ok(Self { name: name.trim().to_owned(), aggregation: aggregation.parse()? })
    }
}

impl fmt::Display for EqualsFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.field, self.value)
    }
}

impl FromStr for EqualsFilter {
    type Err = String;

    /// Parses the form written by people, `group.id=grp_001`; the error explains it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (field, value) = text
            .split_once('=')
            .ok_or_else(|| format!("`{text}` has no =; write it as FIELD=VALUE, as in group.id=grp_001"))?;
        Ok(Self { field: field.trim().to_owned(), value: value.trim().to_owned() })
    }
}

/// A query without its span.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AggregationQuery {
    /// The name for people; neither sent to the platform nor part of a result's hash.
    pub name: Arc<str>,
    /// The metrics: 1 to [`MAX_METRICS`], without duplicates.
    pub metrics: Vec<MetricRequest>,
    /// The dimensions: at most [`MAX_DIMENSIONS`], without duplicates.
    pub dimensions: Vec<String>,
    /// The filter; `None` for all data.
    pub filter: Option<EqualsFilter>,
    /// The bucket size.
    pub bucket: QueryBucket,
    /// The IANA time zone of the calendar. Guide 002 knows only UTC.
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
    /// Returns whether the span contains an instant.
    pub fn contains(&self, at: UtcMicros) -> bool {
        self.from <= at && at < self.to
    }
}

impl fmt::Display for QuerySpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.from, self.to)
    }
}

/// A reason why a query is invalid.
#[derive(Error, Clone, PartialEq, Eq, Debug)]
#[error("{field} {problem}; {hint}")]
pub struct QueryError {
    /// The field, as in `metrics[2].name`.
    pub field: String,
    /// The problem.
    pub problem: String,
    /// What to do.
    pub hint: String,
}

impl QueryError {
    fn new(field: impl Into<String>, problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into(), hint: hint.into() }
    }
}

impl AggregationQuery {
    /// Returns every reason why the query is invalid; empty for a valid query.
    pub fn validation_errors(&self) -> Vec<QueryError> {
        let mut errors: Vec<QueryError> = check_text("name", &self.name, MAX_NAME_LENGTH).into_iter().collect();
        if self.metrics.is_empty() {
            errors.push(QueryError::new("metrics", "is empty", "name at least one metric"));
        }
        let limits =
            [("metrics", self.metrics.len(), MAX_METRICS), ("dimensions", self.dimensions.len(), MAX_DIMENSIONS)];
        for (field, actual, max) in limits.into_iter().filter(|(_, actual, max)| actual > max) {
            let hint = format!("the platform takes {max}: make two queries of it");
            errors.push(QueryError::new(field, format!("has {actual} entries"), hint));
        }
        let metrics =
            self.metrics.iter().enumerate().map(|(index, metric)| (format!("metrics[{index}].name"), &metric.name));
        errors.extend(check_names(metrics));
        let dimensions = self.dimensions.iter().enumerate().map(|(index, name)| (format!("dimensions[{index}]"), name));
        errors.extend(check_names(dimensions));
        if let Some(filter) = &self.filter {
            errors.extend(check_text("filter.field", &filter.field, MAX_NAME_LENGTH));
            errors.extend(check_text("filter.value", &filter.value, MAX_VALUE_LENGTH));
        }
        if self.zone.iana_name().is_none() {
            errors.push(QueryError::new(
                "zone",
                "has no name",
                "name an IANA zone, as in Europe/Berlin, or leave it out",
            ));
        }
        errors
    }

    /// Returns the name of the time zone.
    pub fn zone_name(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// Splits a span into consecutive parts of at most [`MAX_PART_DURATION`] that begin and end at bucket boundaries.
    pub fn parts(&self, span: QuerySpan) -> Result<Vec<QuerySpan>, QueryError> {
        self.check_span(span)?;
        let mut parts = Vec::new();
        let mut from = span.from;
        while from < span.to {
            if parts.len() == MAX_PARTS {
                let problem = format!("of {span} is longer than {MAX_PARTS} queries of 365 days");
                return Err(QueryError::new("span", problem, "ask for a shorter one"));
            }
            let latest_end = from + MAX_PART_DURATION;
            // A bucket is far shorter than a part, so there is always a boundary in between.
            let to = if latest_end >= span.to { span.to } else { self.bucket.floor(latest_end, &self.zone) };
            parts.push(QuerySpan { from, to });
            from = to;
        }
        Ok(parts)
    }

    fn check_span(&self, span: QuerySpan) -> Result<(), QueryError> {
        if span.from >= span.to {
            return Err(QueryError::new("span", format!("of {span} has no length"), "its end lies after its start"));
        }
        if span.from < EARLIEST || span.to > LATEST {
            let hint = "it lies within the years 2000 to 2199";
            return Err(QueryError::new("span", format!("of {span} goes too far"), hint));
        }
        for (field, at) in [("from", span.from), ("to", span.to)] {
            let start = self.bucket.floor(at, &self.zone);
            if start != at {
                let next = self.bucket.next_start(start, &self.zone);
                let problem =
                    format!("is {at}, in the middle of a bucket of one {} in {}", self.bucket, self.zone_name());
                return Err(QueryError::new(field, problem, format!("take {start} or {next}")));
            }
        }
        Ok(())
    }

    /// Returns the span extended to whole buckets.
    pub fn whole_buckets(&self, span: QuerySpan) -> QuerySpan {
        let from = self.bucket.floor(span.from, &self.zone);
        let last = self.bucket.floor(span.to, &self.zone);
        let to = if last == span.to { last } else { self.bucket.next_start(last, &self.zone) };
        QuerySpan { from, to }
    }

    /// Returns the span of the last `buckets` buckets completed at `now`; fewer only if some would lie before the year
    /// 2000.
    pub fn last_buckets(&self, buckets: u32, now: UtcMicros) -> QuerySpan {
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

    /// Returns the starts of the buckets in a span, ascending.
    pub(super) fn bucket_starts(&self, span: QuerySpan) -> Vec<UtcMicros> {
        let first = Some(self.bucket.floor(span.from, &self.zone));
        let starts = std::iter::successors(first, |start| Some(self.bucket.next_start(*start, &self.zone)));
        starts.take_while(|start| *start < span.to).collect()
    }

    /// Returns the query as canonical JSON (RFC 8785), without its name: the same query under two names is one.
    pub fn canonical_request(&self, span: QuerySpan) -> String {
        let metrics: Vec<Value> = self
            .metrics
            .iter()
            .map(|metric| json!({ "name": metric.name, "aggregation": metric.aggregation.name() }))
            .collect();
        let filter = self.filter.as_ref().map(|filter| json!({ "field": filter.field, "value": filter.value }));
        canonical_json(&json!({
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

fn check_text(field: impl Into<String>, text: &str, max: usize) -> Option<QueryError> {
    let field = field.into();
    if text.trim().is_empty() {
        return Some(QueryError::new(field, "is empty", "write a name"));
    }
    if text.chars().count() > max {
        return Some(QueryError::new(field, "is too long", format!("write at most {max} characters")));
    }
    if text.trim() != text || text.chars().any(char::is_control) {
        let problem = format!("is {text:?}, with spaces around it or control characters");
        return Some(QueryError::new(field, problem, "write it without them"));
    }
    None
}

fn check_names<'n>(names: impl Iterator<Item = (String, &'n String)>) -> Vec<QueryError> {
    let mut names_found = HashSet::new();
    let mut errors = Vec::new();
    for (field, name) in names {
        if let Some(error) = check_text(&field, name, MAX_NAME_LENGTH) {
            errors.push(error);
        } else if !names_found.insert(name) {
            errors.push(QueryError::new(field, format!("names {name:?} again"), "name each once"));
        }
    }
    errors
}
