//! Lists of the published services: pages, links and chosen fields, and the spellings that differ between versions.

use serde_json::{Map, Value, json};

use crate::domain::time::UtcMicros;
use crate::sim::call::Call;
use crate::sim::platform_state::Tenant;
use crate::sim::wire::{self, Problem};

use super::operations::PublishedReply;
use super::trap::{Trap, Traps};

/// The number of rows of a page for which no `top` asks.
const DEFAULT_PAGE_ROWS: usize = 50;
/// The most rows of a page.
const MAX_PAGE_ROWS: usize = 1_000;
/// The most rows of a page with [`Trap::SmallPages`].
const SMALL_PAGE_ROWS: usize = 20;

/// The origin of links with [`Trap::ForeignLinks`].
const FOREIGN_ORIGIN: &str = "https://elsewhere.example";

/// Field names of the newest version, and how older ones spell them.
const OLD_SPELLINGS: [(&str, &str); 8] = [
    ("isACW", "isAcw"),
    ("userID", "userId"),
    ("outstateId", "outStateId"),
    ("outstateName", "outStateName"),
    ("id", "OutStateId"),
    ("name", "OutStateName"),
    ("agentTimeout", "AgentTimeoutMins"),
    ("mediaTypeName", "mediaName"),
];

/// What a list request asks for.
pub(super) struct ListQuery {
    pub(super) top: usize,
    pub(super) skip: usize,
    pub(super) fields: Option<String>,
}

impl ListQuery {
    /// Reads the query of a call.
    pub(super) fn of_call(call: &Call) -> Result<Self, Problem> {
        let number = |name: &str, usual: usize| {
            let Some(text) = call.query.get(name) else { return Ok(usual) };
            text.parse().map_err(|_| Problem::bad(format!("{name} must be a number")))
        };
        Ok(Self {
            top: number("top", DEFAULT_PAGE_ROWS)?,
            skip: number("skip", 0)?,
            fields: call.query.get("fields").cloned(),
        })
    }
}

/// Returns an instant in the query of a call: `0` is the earliest.
pub(super) fn instant_in_query(call: &Call, name: &str) -> Result<Option<UtcMicros>, Problem> {
    let Some(text) = call.query.get(name).map(|text| text.trim()).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    if text == "0" {
        return Ok(Some(UtcMicros::EPOCH));
    }
    let instant = text.parse().or_else(|_| format!("{text}Z").parse());
    instant.map(Some).map_err(|_| Problem::bad(format!("{name} is no instant")))
}

/// Returns a flag in the query of a call.
pub(super) fn flag_in_query(call: &Call, name: &str) -> Result<Option<bool>, Problem> {
    let Some(text) = call.query.get(name) else { return Ok(None) };
    text.to_ascii_lowercase().parse().map(Some).map_err(|_| Problem::bad(format!("{name} must be true or false")))
}

impl Tenant {
    /// Returns whether a trap is switched on.
    pub(super) fn has(&self, trap: Trap) -> bool {
        self.published.traps.has(trap)
    }

    /// Returns the page of a list that a call asks for. `others` are the fields beside the list.
    pub(super) fn page(
        &mut self,
        call: &Call,
        list: &str,
        rows: Vec<Value>,
        others: Map<String, Value>,
    ) -> Result<PublishedReply, Problem> {
        let query = ListQuery::of_call(call)?;
        Ok(self.page_by(call, &query, list, rows, others))
    }

    /// As [`Tenant::page`], for a query that is not in the address.
    pub(super) fn page_by(
        &mut self,
        call: &Call,
        query: &ListQuery,
        list: &str,
        mut rows: Vec<Value>,
        others: Map<String, Value>,
    ) -> PublishedReply {
        let total = rows.len();
        self.published.reads += u64::from(query.skip == 0);
        if total == 0 && self.has(Trap::NoContent) {
            return PublishedReply::empty(204, None);
        }
        if query.skip > 0 && self.has(Trap::MovingRows) && !self.published.reads.is_multiple_of(2) {
            rows.rotate_left(usize::from(total > 0));
        }
        let most = if self.has(Trap::SmallPages) { SMALL_PAGE_ROWS } else { MAX_PAGE_ROWS };
        let mut page: Vec<Value> = rows.into_iter().skip(query.skip).take(query.top.min(most)).collect();
        if let Some(fields) = &query.fields {
            for row in &mut page {
                keep_fields(row, fields);
            }
        }
        let mut body = Map::from_iter([
            ("totalRecords".to_owned(), json!(total)),
            ("businessUnitId".to_owned(), json!(self.published.business_unit)),
            ("_links".to_owned(), self.links(call, query, page.len(), total)),
        ]);
        body.extend(others);
        body.insert(list.to_owned(), page.into());
        PublishedReply::json(self.spelled(body.into()))
    }

    fn links(&self, call: &Call, query: &ListQuery, shown: usize, total: usize) -> Value {
        let origin = if self.has(Trap::ForeignLinks) { FOREIGN_ORIGIN } else { &call.base_url };
        let link = |skip: usize| {
            let kept = call.query.iter().filter(|(name, _)| !matches!(name.as_str(), "top" | "skip"));
            let mut others: Vec<_> = kept.map(|(name, value)| (name.as_str(), value.as_str())).collect();
            others.sort_unstable();
            let mut arguments = url::form_urlencoded::Serializer::new(String::new());
            arguments.extend_pairs(others);
            arguments.append_pair("top", &query.top.to_string()).append_pair("skip", &skip.to_string());
            format!("{origin}{}?{}", call.path, arguments.finish())
        };
        let end = query.skip + shown;
        let mut links = Map::from_iter([("self".to_owned(), link(query.skip).into())]);
        if shown > 0 && end < total {
            links.insert("next".to_owned(), link(end).into());
        }
        if query.skip > 0 {
            links.insert("previous".to_owned(), link(query.skip.saturating_sub(query.top)).into());
        }
        links.into()
    }

    /// Returns `lastPollTime` as the field beside a list, unless a trap says otherwise.
    pub(super) fn poll_time(&mut self, skew_ms: i64) -> Map<String, Value> {
        let now = self.world.current_time();
        if self.has(Trap::NoPollTime) || self.has(Trap::PollTimeInRows) {
            return Map::new();
        }
        let at = if self.has(Trap::FrozenPollTime) { *self.published.frozen_at.get_or_insert(now) } else { now };
        Map::from_iter([("lastPollTime".to_owned(), wire::instant_text(at, skew_ms).into())])
    }

    /// Returns an answer in the spelling that the traps ask for.
    pub(super) fn spelled(&self, body: Value) -> Value {
        spelled(body, &self.published.traps)
    }
}

fn spelled(mut body: Value, traps: &Traps) -> Value {
    if traps.has(Trap::ResultSet) {
        body = renamed(body, &|name| {
            let old = OLD_SPELLINGS.iter().find(|(new, _)| *new == name);
            old.map_or_else(|| name.to_owned(), |(_, old)| (*old).to_owned())
        });
        body = json!({ "resultSet": body });
    }
    if traps.has(Trap::OtherCases) {
        body = renamed(body, &|name| {
            let mut name = name.to_owned();
            if let Some(first) = name.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            name
        });
    }
    if traps.has(Trap::NumbersAsText) {
        write_numbers_as_text(&mut body);
    }
    body
}

fn renamed(value: Value, rename: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (rename(&name), renamed(value, rename)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) => items.into_iter().map(|item| renamed(item, rename)).collect(),
        other => other,
    }
}

fn write_numbers_as_text(value: &mut Value) {
    match value {
        Value::Number(number) => *value = number.to_string().into(),
        Value::Array(items) => items.iter_mut().for_each(write_numbers_as_text),
        Value::Object(fields) => fields.values_mut().for_each(write_numbers_as_text),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// Keeps the fields of a row that a list of names, such as `agentId,teamId`, has.
fn keep_fields(row: &mut Value, fields: &str) {
    if let Some(row) = row.as_object_mut() {
        row.retain(|name, _| fields.split(',').any(|wanted| wanted.trim().eq_ignore_ascii_case(name)));
    }
}
