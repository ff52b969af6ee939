//! Aggregation queries (guide 002) on the wire: the body of one, and its answers.
//!
//! An answer is taken as it must be or not at all, and what is wrong with it is named by query and field. Whether the rows of all
//! pages hold together is not seen here.

use std::fmt::Display;
use std::sync::Arc;

use reqwest::header::CONTENT_RANGE;
use serde_json::{Map, Value, json};

use crate::domain::analytics::{AggregationQuery, QuerySpan, ResultPage, ResultRow};
use crate::domain::ids::QueryId;
use crate::domain::time::UtcMicros;
use crate::platform::analytics::{PageAsk, QueryState};
use crate::platform::client::Reply;
use crate::platform::error::{Failure, excerpt};

use super::instant::InstantReader;

/// The most characters of an id that is kept.
const LONGEST_ID: usize = 200;

/// The most characters of a dimension's value.
const LONGEST_VALUE: usize = 256;

/// A span ends for the platform with its last millisecond: guide 002 writes `23:59:59Z`, so the end may be in it.
const LAST_US: i64 = -1_000;

/// The body of a query over one part of its span.
pub(super) fn body(query: &AggregationQuery, part: QuerySpan, page_rows: u32) -> Vec<u8> {
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
    // Guide 002 writes instants in UTC and names no zone; only who wants another one asks for more than it shows.
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

/// The rows of a page as its query asks for them.
pub(super) fn page_query(ask: &PageAsk<'_>) -> String {
    format!("limit={}&offset={}", ask.limit, ask.offset)
}

/// The same as the `Range` header of guide 002.
pub(super) fn range(ask: &PageAsk<'_>) -> String {
    let last = ask.offset.saturating_add(u64::from(ask.limit)).saturating_sub(1);
    format!("items={}-{last}", ask.offset)
}

/// The id of a query that was taken.
pub(super) fn submitted(reply: &Reply, query: &AggregationQuery, secrets: &[&str]) -> Result<QueryId, Failure> {
    let answer = Answer::of(reply, query, secrets)?;
    let id = match answer.body.get("id") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        other => return Err(answer.wrong("id", format!("is {}, where the query's id was expected", kind_of(other)))),
    };
    if id.is_empty() || id.chars().count() > LONGEST_ID || id.chars().any(char::is_control) {
        return Err(answer.wrong("id", format!("has not 1 to {LONGEST_ID} printable characters")));
    }
    Ok(QueryId::new(id))
}

/// How a query stands, with a page where it is done.
pub(super) fn state(reply: &Reply, ask: &PageAsk<'_>, secrets: &[&str]) -> Result<QueryState, Failure> {
    let answer = Answer::of(reply, ask.query, secrets)?;
    let status = match answer.body.get("status") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.to_ascii_uppercase()),
        other => return Err(answer.wrong("status", format!("is {}, where a text was expected", kind_of(other)))),
    };
    match status.as_deref() {
        Some("PENDING") => return Ok(QueryState::Pending),
        Some("RUNNING") => return Ok(QueryState::Running),
        Some("FAILED") => return Ok(QueryState::Failed { why: answer.reason() }),
        // Guide 002 has no word for one that is done: its results are there.
        Some(_) | None => {}
    }
    match answer.body.get("results") {
        Some(Value::Array(rows)) => answer.page(rows, ask).map(QueryState::Page),
        None => {
            let status = status.map_or_else(|| "missing".to_owned(), |text| format!("{:?}", answer.shown(&text)));
            Err(answer.wrong("status", format!("is {status}, and there are no results")))
        }
        other => Err(answer.wrong("results", format!("is {}, where a list was expected", kind_of(other)))),
    }
}

/// An answer about a query.
struct Answer<'a> {
    reply: &'a Reply,
    query: &'a AggregationQuery,
    secrets: &'a [&'a str],
    body: Map<String, Value>,
}

impl<'a> Answer<'a> {
    fn of(reply: &'a Reply, query: &'a AggregationQuery, secrets: &'a [&'a str]) -> Result<Self, Failure> {
        let expected = || format!("an answer to the query {:?}", query.name);
        let body = reply.object().ok_or_else(|| reply.nonsense(&expected(), secrets))?;
        Ok(Self { reply, query, secrets, body })
    }

    /// The answer is not what it must be. Nothing of a value is shown: it may be about a person.
    fn wrong(&self, field: impl Display, what: impl Display) -> Failure {
        let excerpt = format!("the answer to the query {:?}: {field} {what}", self.query.name);
        Failure::Nonsense { status: self.reply.status.as_u16(), excerpt }
    }

    /// A name that the answer made up, fit to be shown.
    fn shown(&self, name: &str) -> String {
        excerpt(name.as_bytes(), self.secrets)
    }

    fn reason(&self) -> String {
        let error = self.body.get("error").or_else(|| self.body.get("message"));
        let text = error.and_then(|error| error.as_str().or_else(|| error.get("message")?.as_str()));
        match text.map(|text| self.shown(text)).filter(|text| !text.is_empty()) {
            Some(text) => text,
            None => "the platform gave no reason".to_owned(),
        }
    }

    fn page(&self, rows: &[Value], ask: &PageAsk<'_>) -> Result<ResultPage, Failure> {
        let told = self.told_range(rows.len())?;
        let promised = match (self.whole_number("total")?, told.promised) {
            (Some(body), Some(header)) if body != header => {
                let what = format!("is {body}, and the header Content-Range says {header}");
                return Err(self.wrong("total", what));
            }
            (body, header) => body.or(header),
        };
        let offset = told.offset.or(self.whole_number("offset")?).unwrap_or(ask.offset);
        let mut instants = InstantReader::default();
        let read =
            rows.iter().enumerate().map(|(number, row)| self.row(&format!("results[{number}]"), row, &mut instants));
        Ok(ResultPage { offset, promised, rows: read.collect::<Result<_, _>>()? })
    }

    /// What the header `Content-Range: items 0-499/1234` says, where there is one.
    fn told_range(&self, came: usize) -> Result<ToldRange, Failure> {
        let Some(text) = self.reply.header(&CONTENT_RANGE) else { return Ok(ToldRange::default()) };
        let told = ToldRange::parse(text);
        let told = told.ok_or_else(|| self.wrong("header Content-Range", "is not as in `items 0-499/1234`"))?;
        if told.rows.is_some_and(|rows| rows != u64::try_from(came).unwrap_or(u64::MAX)) {
            return Err(self.wrong("header Content-Range", format!("does not count the {came} rows that are there")));
        }
        Ok(told)
    }

    fn whole_number(&self, field: &str) -> Result<Option<u64>, Failure> {
        match self.body.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_u64() {
                Some(number) => Ok(Some(number)),
                None => Err(self.wrong(field, "is no whole number from 0 on")),
            },
        }
    }

    fn row(&self, place: &str, row: &Value, instants: &mut InstantReader) -> Result<ResultRow, Failure> {
        let Value::Object(row) = row else {
            return Err(self.wrong(place, format!("is {}, where a row was expected", kind_of(Some(row)))));
        };
        let at: Option<UtcMicros> = row.get("timeSeries").and_then(Value::as_str).and_then(|text| instants.read(text));
        let at = at.ok_or_else(|| self.wrong(format_args!("{place}.timeSeries"), "is no instant as in RFC 3339"))?;
        let dimensions = self.dimensions(&format!("{place}.dimensions"), row.get("dimensions"))?;
        let metrics = self.metrics(&format!("{place}.metrics"), row.get("metrics"))?;
        Ok(ResultRow { at, dimensions, metrics })
    }

    /// The dimensions of a row, as `[{"name": …, "value": …}]` or as `{name: value}`: exactly those that were asked for.
    fn dimensions(&self, place: &str, told: Option<&Value>) -> Result<Vec<Option<Arc<str>>>, Failure> {
        let asked = &self.query.dimensions;
        let mut pairs: Vec<(&str, Option<&Value>)> = Vec::new();
        match told {
            None | Some(Value::Null) => {}
            Some(Value::Object(fields)) => {
                pairs.extend(fields.iter().map(|(name, value)| (name.as_str(), Some(value))));
            }
            Some(Value::Array(entries)) => {
                for (number, entry) in entries.iter().enumerate() {
                    let name = entry.get("name").and_then(Value::as_str);
                    let name = name.ok_or_else(|| self.wrong(format_args!("{place}[{number}].name"), "is no text"))?;
                    pairs.push((name, entry.get("value")));
                }
            }
            other => return Err(self.wrong(place, format!("is {}, where a list was expected", kind_of(other)))),
        }
        let mut found: Vec<Option<Option<&Value>>> = vec![None; asked.len()];
        for (name, value) in pairs {
            let Some(at) = asked.iter().position(|asked| asked == name) else {
                return Err(self.wrong(place, format!("has {:?}, which was not asked for", self.shown(name))));
            };
            if found[at].replace(value).is_some() {
                return Err(self.wrong(place, format!("has {name:?} twice")));
            }
        }
        asked.iter().zip(found).map(|(name, value)| self.dimension(place, name, value.flatten())).collect()
    }

    fn dimension(&self, place: &str, name: &str, value: Option<&Value>) -> Result<Option<Arc<str>>, Failure> {
        let text: Arc<str> = match value {
            None => return Err(self.wrong(place, format!("has no {name:?} with a value"))),
            Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) => text.as_str().into(),
            Some(Value::Number(number)) => number.to_string().into(),
            Some(Value::Bool(truth)) => truth.to_string().into(),
            other => return Err(self.wrong(place, format!("has {} as the value of {name:?}", kind_of(other)))),
        };
        if text.chars().count() > LONGEST_VALUE {
            return Err(self.wrong(place, format!("has a value of {name:?} of more than {LONGEST_VALUE} characters")));
        }
        Ok(Some(text))
    }

    /// The metrics of a row: exactly those that were asked for, by their names, or by their places where none has a name (as guide
    /// 002 reads them).
    fn metrics(&self, place: &str, told: Option<&Value>) -> Result<Vec<Option<f64>>, Failure> {
        let asked = &self.query.metrics;
        let Some(Value::Array(entries)) = told else {
            return Err(self.wrong(place, format!("is {}, where a list was expected", kind_of(told))));
        };
        if entries.len() != asked.len() {
            return Err(
                self.wrong(place, format!("has {} entries, where {} were asked for", entries.len(), asked.len()))
            );
        }
        let by_place = entries.iter().all(|entry| entry.get("name").is_none());
        let mut values = vec![None; asked.len()];
        let mut met = vec![false; asked.len()];
        for (number, entry) in entries.iter().enumerate() {
            let here = format!("{place}[{number}]");
            let at = if by_place { number } else { self.metric_at(&here, entry)? };
            if std::mem::replace(&mut met[at], true) {
                return Err(self.wrong(&here, format!("is {:?} again", asked[at].name)));
            }
            let aggregation = entry.get("aggregation").and_then(Value::as_str);
            if aggregation.is_some_and(|told| !told.eq_ignore_ascii_case(asked[at].aggregation.name())) {
                let what = format!("is not {}, as was asked for", asked[at].aggregation.name());
                return Err(self.wrong(format_args!("{here}.aggregation"), what));
            }
            values[at] = self.value(&here, entry)?;
        }
        Ok(values)
    }

    fn metric_at(&self, here: &str, entry: &Value) -> Result<usize, Failure> {
        let Some(name) = entry.get("name").and_then(Value::as_str) else {
            return Err(self.wrong(format_args!("{here}.name"), "is no text, and others have one"));
        };
        let found = self.query.metrics.iter().position(|metric| metric.name == name);
        found.ok_or_else(|| {
            self.wrong(format_args!("{here}.name"), format!("is {:?}, which was not asked for", self.shown(name)))
        })
    }

    /// A value, or none where the platform has none. One that is left out is a fault: nothing says that it is none.
    fn value(&self, here: &str, entry: &Value) -> Result<Option<f64>, Failure> {
        match entry.get("value") {
            Some(Value::Null) => Ok(None),
            Some(Value::Number(number)) => match number.as_f64().filter(|number| number.is_finite()) {
                Some(number) => Ok(Some(number)),
                None => Err(self.wrong(format_args!("{here}.value"), "is a number beyond what can be kept")),
            },
            other => {
                let what = format!("is {}, where a number was expected", kind_of(other));
                Err(self.wrong(format_args!("{here}.value"), what))
            }
        }
    }
}

/// What a `Content-Range` header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct ToldRange {
    offset: Option<u64>,
    rows: Option<u64>,
    promised: Option<u64>,
}

impl ToldRange {
    /// Reads `items 0-499/1234`, with `*` where there is nothing to say.
    fn parse(text: &str) -> Option<Self> {
        let (unit, rest) = text.trim().split_once(' ')?;
        let (range, whole) = rest.trim().split_once('/')?;
        if !unit.eq_ignore_ascii_case("items") {
            return None;
        }
        let promised = if whole == "*" { None } else { Some(whole.parse().ok()?) };
        if range == "*" {
            return Some(Self { promised, ..Self::default() });
        }
        let (first, last) = range.split_once('-')?;
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        let rows = last.checked_sub(first)?.checked_add(1)?;
        Some(Self { offset: Some(first), rows: Some(rows), promised })
    }
}

/// What a field holds, without its value.
fn kind_of(value: Option<&Value>) -> &'static str {
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
        let told = |offset, rows, promised| Some(ToldRange { offset, rows, promised });
        assert_eq!(ToldRange::parse("items 0-499/1234"), told(Some(0), Some(500), Some(1234)));
        assert_eq!(ToldRange::parse("Items 500-500/*"), told(Some(500), Some(1), None));
        assert_eq!(ToldRange::parse("items */0"), told(None, None, Some(0)));
        for text in
            ["", "items", "bytes 0-1/2", "items 5-4/9", "items 0-18446744073709551615/9", "items 1/2", "items -1-2/3"]
        {
            assert_eq!(ToldRange::parse(text), None, "{text}");
        }
    }
}
