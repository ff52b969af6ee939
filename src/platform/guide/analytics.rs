//! Aggregation queries (guide 002): their bodies and answers.
//!
//! An answer is either valid or refused as a whole, and a problem is reported with the query and the field. Whether the
//! rows of all pages are consistent is checked elsewhere.

use std::fmt::Display;
use std::sync::Arc;

use reqwest::header::CONTENT_RANGE;
use serde_json::{Map, Value, json};

use crate::domain::analytics::{AggregationQuery, QuerySpan, ResultPage, ResultRow};
use crate::domain::ids::PlatformQueryId;
use crate::domain::time::UtcMicros;
use crate::platform::analytics::{PageRequest, QueryState};
use crate::platform::client::ApiReply;
use crate::platform::error::{Failure, excerpt};

use super::instant::InstantReader;

/// The maximum length of an id, in characters.
const MAX_ID_CHARS: usize = 200;

/// The maximum length of a dimension's value, in characters.
const MAX_VALUE_CHARS: usize = 256;

/// The offset from a span's end to the end that is sent. The platform includes the end in the span, as guide 002 writes
/// `23:59:59Z`, so the last millisecond is sent.
const LAST_US: i64 = -1_000;

/// Returns the body of a query over one part of its span.
pub(super) fn query_body(query: &AggregationQuery, part: QuerySpan, page_rows: u32) -> Vec<u8> {
    let metrics: Vec<Value> = query
        .metrics
        .iter()
        .map(|metric| json!({ "name": metric.name, "aggregation": metric.aggregation.name() }))
        .collect();
    let dimensions: Vec<Value> = query.dimensions.iter().map(|name| json!({ "name": name })).collect();
    let mut series = json!({
        "bucketSize": query.bucket.name(),
        "start": part.from,
        "end": part.to.offset(LAST_US),
    });
    // Guide 002 writes instants in UTC without naming a zone; the zone is sent only if it is another one.
    if query.zone_name() != "UTC" {
        series["timeZone"] = query.zone_name().into();
    }
    let mut body = json!({
        "metrics": metrics, "dimensions": dimensions, "timeSeries": series, "limit": page_rows, "offset": 0,
    });
    if let Some(filter) = &query.filter {
        body["filter"] = json!({ "type": "equals", "field": filter.field, "value": filter.value });
    }
    body.to_string().into_bytes()
}

/// Returns the query string that selects the rows of a page.
pub(super) fn page_query_string(request: &PageRequest<'_>) -> String {
    format!("limit={}&offset={}", request.limit, request.offset)
}

/// Returns the `Range` header of guide 002, which selects the same rows.
pub(super) fn range_header(request: &PageRequest<'_>) -> String {
    let last = request.offset.saturating_add(u64::from(request.limit)).saturating_sub(1);
    format!("items={}-{last}", request.offset)
}

/// Returns the id of a query that was accepted.
pub(super) fn parse_submitted(
    reply: &ApiReply,
    query: &AggregationQuery,
    secrets: &[&str],
) -> Result<PlatformQueryId, Failure> {
    let answer = QueryAnswer::parse(reply, query, secrets)?;
    let id = match answer.body.get("id") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        other => return Err(answer.wrong_type("id", other, "the query's id")),
    };
    if id.is_empty() || id.chars().count() > MAX_ID_CHARS || id.chars().any(char::is_control) {
        return Err(answer.malformed("id", format!("has not 1 to {MAX_ID_CHARS} printable characters")));
    }
    Ok(PlatformQueryId::new(id))
}

/// Returns the status of a query, with a page if it is done.
pub(super) fn parse_query_state(
    reply: &ApiReply,
    request: &PageRequest<'_>,
    secrets: &[&str],
) -> Result<QueryState, Failure> {
    let answer = QueryAnswer::parse(reply, request.query, secrets)?;
    let status = match answer.body.get("status") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.to_ascii_uppercase()),
        other => return Err(answer.wrong_type("status", other, "a text")),
    };
    match status.as_deref() {
        Some("PENDING") => return Ok(QueryState::Pending),
        Some("RUNNING") => return Ok(QueryState::Running),
        Some("FAILED") => return Ok(QueryState::Failed { reason: answer.reason() }),
        // Guide 002 has no status for a query that is done: the results are present.
        Some(_) | None => {}
    }
    match answer.body.get("results") {
        Some(Value::Array(rows)) => answer.page(rows, request).map(QueryState::Page),
        None => {
            let status = status.map_or_else(|| "missing".to_owned(), |text| format!("{:?}", answer.excerpt(&text)));
            Err(answer.malformed("status", format!("is {status}, and there are no results")))
        }
        other => Err(answer.wrong_type("results", other, "a list")),
    }
}

/// An answer about a query.
struct QueryAnswer<'a> {
    reply: &'a ApiReply,
    query: &'a AggregationQuery,
    secrets: &'a [&'a str],
    body: Map<String, Value>,
}

impl<'a> QueryAnswer<'a> {
    fn parse(reply: &'a ApiReply, query: &'a AggregationQuery, secrets: &'a [&'a str]) -> Result<Self, Failure> {
        let expected = || format!("an answer to the query {:?}", query.name);
        let body = reply.parse_object().ok_or_else(|| reply.malformed(&expected(), secrets))?;
        Ok(Self { reply, query, secrets, body })
    }

    /// Returns the failure for an invalid answer. No value is shown, since it may be personal data.
    fn malformed(&self, field: impl Display, what: impl Display) -> Failure {
        let excerpt = format!("the answer to the query {:?}: {field} {what}", self.query.name);
        Failure::Malformed { status: self.reply.status.as_u16(), excerpt }
    }

    /// Returns the failure for a field of another type than `expected`.
    fn wrong_type(&self, field: impl Display, value: Option<&Value>, expected: &str) -> Failure {
        self.malformed(field, format_args!("is {}, where {expected} was expected", json_type(value)))
    }

    /// Returns a name from the answer in a form that can be shown.
    fn excerpt(&self, name: &str) -> String {
        excerpt(name.as_bytes(), self.secrets)
    }

    fn reason(&self) -> String {
        let error = self.body.get("error").or_else(|| self.body.get("message"));
        let text = error.and_then(|error| error.as_str().or_else(|| error.get("message")?.as_str()));
        match text.map(|text| self.excerpt(text)).filter(|text| !text.is_empty()) {
            Some(text) => text,
            None => "the platform gave no reason".to_owned(),
        }
    }

    fn page(&self, rows: &[Value], request: &PageRequest<'_>) -> Result<ResultPage, Failure> {
        let range = self.page_range(rows.len())?;
        let total = match (self.whole_number("total")?, range.total) {
            (Some(body), Some(header)) if body != header => {
                let what = format!("is {body}, and the header Content-Range says {header}");
                return Err(self.malformed("total", what));
            }
            (body, header) => body.or(header),
        };
        let offset = range.offset.or(self.whole_number("offset")?).unwrap_or(request.offset);
        let mut instants = InstantReader::default();
        let read =
            rows.iter().enumerate().map(|(number, row)| self.row(&format!("results[{number}]"), row, &mut instants));
        Ok(ResultPage { offset, promised: total, rows: read.collect::<Result<_, _>>()? })
    }

    /// Parses the header `Content-Range: items 0-499/1234`, if there is one.
    fn page_range(&self, row_count: usize) -> Result<PageRange, Failure> {
        let Some(text) = self.reply.header(&CONTENT_RANGE) else { return Ok(PageRange::default()) };
        let told = PageRange::parse(text);
        let told = told.ok_or_else(|| self.malformed("header Content-Range", "is not as in `items 0-499/1234`"))?;
        if told.rows.is_some_and(|rows| rows != u64::try_from(row_count).unwrap_or(u64::MAX)) {
            return Err(
                self.malformed("header Content-Range", format!("does not count the {row_count} rows that are there"))
            );
        }
        Ok(told)
    }

    fn whole_number(&self, field: &str) -> Result<Option<u64>, Failure> {
        match self.body.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_u64() {
                Some(number) => Ok(Some(number)),
                None => Err(self.malformed(field, "is no whole number from 0 on")),
            },
        }
    }

    fn row(&self, location: &str, row: &Value, instants: &mut InstantReader) -> Result<ResultRow, Failure> {
        let Value::Object(row) = row else {
            return Err(self.wrong_type(location, Some(row), "a row"));
        };
        let at: Option<UtcMicros> = row.get("timeSeries").and_then(Value::as_str).and_then(|text| instants.read(text));
        let at =
            at.ok_or_else(|| self.malformed(format_args!("{location}.timeSeries"), "is no instant as in RFC 3339"))?;
        let dimensions = self.dimensions(&format!("{location}.dimensions"), row.get("dimensions"))?;
        let metrics = self.metrics(&format!("{location}.metrics"), row.get("metrics"))?;
        Ok(ResultRow { at, dimensions, metrics })
    }

    /// Reads the dimensions of a row, written as `[{"name": …, "value": …}]` or as `{name: value}`. They must be
    /// exactly the requested ones.
    fn dimensions(&self, location: &str, value: Option<&Value>) -> Result<Vec<Option<Arc<str>>>, Failure> {
        let requested = &self.query.dimensions;
        let mut pairs: Vec<(&str, Option<&Value>)> = Vec::new();
        match value {
            None | Some(Value::Null) => {}
            Some(Value::Object(fields)) => {
                pairs.extend(fields.iter().map(|(name, value)| (name.as_str(), Some(value))));
            }
            Some(Value::Array(entries)) => {
                for (number, entry) in entries.iter().enumerate() {
                    let name = entry.get("name").and_then(Value::as_str);
                    let name =
                        name.ok_or_else(|| self.malformed(format_args!("{location}[{number}].name"), "is no text"))?;
                    pairs.push((name, entry.get("value")));
                }
            }
            other => return Err(self.wrong_type(location, other, "a list")),
        }
        let mut found: Vec<Option<Option<&Value>>> = vec![None; requested.len()];
        for (name, value) in pairs {
            let Some(at) = requested.iter().position(|asked| asked == name) else {
                return Err(self.malformed(location, format!("has {:?}, which was not asked for", self.excerpt(name))));
            };
            if found[at].replace(value).is_some() {
                return Err(self.malformed(location, format!("has {name:?} twice")));
            }
        }
        requested.iter().zip(found).map(|(name, value)| self.dimension(location, name, value.flatten())).collect()
    }

    fn dimension(&self, place: &str, name: &str, value: Option<&Value>) -> Result<Option<Arc<str>>, Failure> {
        let text: Arc<str> = match value {
            None => return Err(self.malformed(place, format!("has no {name:?} with a value"))),
            Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) => text.as_str().into(),
            Some(Value::Number(number)) => number.to_string().into(),
            Some(Value::Bool(truth)) => truth.to_string().into(),
            other => return Err(self.malformed(place, format!("has {} as the value of {name:?}", json_type(other)))),
        };
        if text.chars().count() > MAX_VALUE_CHARS {
            return Err(
                self.malformed(place, format!("has a value of {name:?} of more than {MAX_VALUE_CHARS} characters"))
            );
        }
        Ok(Some(text))
    }

    /// Reads the metrics of a row, which must be exactly the requested ones, by name, or by position if none has a name
    /// (as in guide 002).
    fn metrics(&self, location: &str, value: Option<&Value>) -> Result<Vec<Option<f64>>, Failure> {
        let requested = &self.query.metrics;
        let Some(Value::Array(entries)) = value else {
            return Err(self.wrong_type(location, value, "a list"));
        };
        if entries.len() != requested.len() {
            return Err(self.malformed(
                location,
                format!("has {} entries, where {} were asked for", entries.len(), requested.len()),
            ));
        }
        let by_place = entries.iter().all(|entry| entry.get("name").is_none());
        let mut values = vec![None; requested.len()];
        let mut filled = vec![false; requested.len()];
        for (number, entry) in entries.iter().enumerate() {
            let here = format!("{location}[{number}]");
            let at = if by_place { number } else { self.metric_at(&here, entry)? };
            if std::mem::replace(&mut filled[at], true) {
                return Err(self.malformed(&here, format!("is {:?} again", requested[at].name)));
            }
            let aggregation = entry.get("aggregation").and_then(Value::as_str);
            if aggregation.is_some_and(|told| !told.eq_ignore_ascii_case(requested[at].aggregation.name())) {
                let what = format!("is not {}, as was asked for", requested[at].aggregation.name());
                return Err(self.malformed(format_args!("{here}.aggregation"), what));
            }
            values[at] = self.value(&here, entry)?;
        }
        Ok(values)
    }

    fn metric_at(&self, location: &str, entry: &Value) -> Result<usize, Failure> {
        let Some(name) = entry.get("name").and_then(Value::as_str) else {
            return Err(self.malformed(format_args!("{location}.name"), "is no text, and others have one"));
        };
        let found = self.query.metrics.iter().position(|metric| metric.name == name);
        found.ok_or_else(|| {
            self.malformed(
                format_args!("{location}.name"),
                format!("is {:?}, which was not asked for", self.excerpt(name)),
            )
        })
    }

    /// Reads a value, or `None` if the platform has none. A missing value is an error, since it does not say that there
    /// is none.
    fn value(&self, location: &str, entry: &Value) -> Result<Option<f64>, Failure> {
        match entry.get("value") {
            Some(Value::Null) => Ok(None),
            Some(Value::Number(number)) => match number.as_f64().filter(|number| number.is_finite()) {
                Some(number) => Ok(Some(number)),
                None => Err(self.malformed(format_args!("{location}.value"), "is a number beyond what can be kept")),
            },
            other => Err(self.wrong_type(format_args!("{location}.value"), other, "a number")),
        }
    }
}

/// The content of a `Content-Range` header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct PageRange {
    offset: Option<u64>,
    rows: Option<u64>,
    total: Option<u64>,
}

impl PageRange {
    /// Parses `items 0-499/1234`, with `*` for unknown parts.
    fn parse(text: &str) -> Option<Self> {
        let (unit, rest) = text.trim().split_once(' ')?;
        let (range, whole) = rest.trim().split_once('/')?;
        if !unit.eq_ignore_ascii_case("items") {
            return None;
        }
        let promised = if whole == "*" { None } else { Some(whole.parse().ok()?) };
        if range == "*" {
            return Some(Self { total: promised, ..Self::default() });
        }
        let (first, last) = range.split_once('-')?;
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        let rows = last.checked_sub(first)?.checked_add(1)?;
        Some(Self { offset: Some(first), rows: Some(rows), total: promised })
    }
}

/// Returns the JSON type of a field, without its value.
fn json_type(value: Option<&Value>) -> &'static str {
    match value {
        None => "missing",
        Some(Value::Null) => "null",
        Some(Value::Bool(_)) => "true or false",
        Some(Value::Number(_)) => "a number",
        Some(Value::String(_)) => "a text",
        Some(Value::Array(_)) => "a list",
        Some(Value::Object(_)) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_or_it_is_none() {
        let told = |offset, rows, promised| Some(PageRange { offset, rows, total: promised });
        assert_eq!(PageRange::parse("items 0-499/1234"), told(Some(0), Some(500), Some(1234)));
        assert_eq!(PageRange::parse("Items 500-500/*"), told(Some(500), Some(1), None));
        assert_eq!(PageRange::parse("items */0"), told(None, None, Some(0)));
        for text in
            ["", "items", "bytes 0-1/2", "items 5-4/9", "items 0-18446744073709551615/9", "items 1/2", "items -1-2/3"]
        {
            assert_eq!(PageRange::parse(text), None, "{text}");
        }
    }
}
