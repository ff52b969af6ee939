//! The facts of an audit entry for people: a list of terms and values, whatever the structure of the entry.

use serde_json::Value;

use crate::domain::audit::Hash;
use crate::domain::time::UtcMicros;
use crate::http::console::shared::times::TimeFormat;

/// The maximum number of facts that are listed; the stored text has the rest.
const MAX_FACTS: usize = 60;

/// The number of facts in a summary.
const FACTS_IN_LINE: usize = 4;

/// A fact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::http::console) struct Fact {
    /// The path of the term within the entry; empty at the top level.
    pub(in crate::http::console) within: String,
    pub(in crate::http::console) term: String,
    pub(in crate::http::console) value: String,
}

/// The facts of an entry.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::http::console) struct Facts {
    pub(in crate::http::console) listed: Vec<Fact>,
    /// The number of facts that are not listed.
    pub(in crate::http::console) more: usize,
}

impl Facts {
    /// Lists the facts of an entry, with instants in the viewer's time zone.
    pub(in crate::http::console) fn from_value(value: &Value, times: &TimeFormat) -> Self {
        let mut facts = Self::default();
        facts.collect(&mut Vec::new(), value, times);
        facts
    }

    fn collect(&mut self, path: &mut Vec<String>, value: &Value, times: &TimeFormat) {
        match value {
            Value::Null if path.is_empty() => {}
            Value::Object(fields) if !fields.is_empty() => {
                for (key, value) in fields {
                    self.collect_at(path, key.replace('_', " "), value, times);
                }
            }
            Value::Array(items) if items.iter().any(is_nested) => {
                for (place, value) in items.iter().enumerate() {
                    self.collect_at(path, (place + 1).to_string(), value, times);
                }
            }
            plain => self.push(path, value_text(plain, times)),
        }
    }

    fn collect_at(&mut self, path: &mut Vec<String>, key: String, value: &Value, times: &TimeFormat) {
        path.push(key);
        self.collect(path, value, times);
        path.pop();
    }

    fn push(&mut self, path: &[String], value: String) {
        if self.listed.len() == MAX_FACTS {
            self.more += 1;
            return;
        }
        let (term, within) = path.split_last().map_or(("value", &[][..]), |(term, within)| (term.as_str(), within));
        self.listed.push(Fact { within: within.join(" › "), term: term.to_owned(), value });
    }

    /// Returns the cause, or else the first facts in one line, without hashes, which nobody reads.
    pub(in crate::http::console) fn summary(&self) -> String {
        let cause = self.listed.iter().find(|fact| fact.within.is_empty() && fact.term == "because");
        if let Some(cause) = cause {
            return cause.value.clone();
        }
        let readable = self.listed.iter().filter(|fact| Hash::from_hex(&fact.value).is_none());
        let first = readable.take(FACTS_IN_LINE).map(|fact| format!("{}: {}", fact.term, fact.value));
        let rest = if self.listed.len() > FACTS_IN_LINE { " …" } else { "" };
        first.collect::<Vec<_>>().join(" · ") + rest
    }
}

fn is_nested(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

/// Formats a value that has no named fields.
fn value_text(value: &Value, times: &TimeFormat) -> String {
    match value {
        // An object with fields is listed field by field, so this one is empty.
        Value::Null | Value::Object(_) => "none".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.is_empty() => "empty".to_owned(),
        Value::String(text) => text.parse::<UtcMicros>().map_or_else(|_| text.clone(), |at| times.second(at).full),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(|item| value_text(item, times)).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use serde_json::json;

    use super::*;

    fn facts(value: &Value) -> Facts {
        Facts::from_value(value, &TimeFormat::from_headers(&HeaderMap::new()))
    }

    fn lines(value: &Value) -> Vec<String> {
        let line = |fact: Fact| format!("{}|{}|{}", fact.within, fact.term, fact.value);
        facts(value).listed.into_iter().map(line).collect()
    }

    #[test]
    fn nested_facts_are_read_with_what_they_are_part_of() {
        let sample = json!({
            "rule": "back", "held_back": true, "note": null, "skills": ["1001", "1002"], "none": [], "nothing": {},
            "limit": {"per_minute": 5, "until": "2026-10-26T13:30:02Z"},
            "asked": [{"id": 1}, {"id": [2, 3]}],
        });
        assert_eq!(
            lines(&sample),
            [
                "asked › 1|id|1",
                "asked › 2|id|2, 3",
                "|held back|yes",
                "limit|per minute|5",
                "limit|until|26 Oct 2026 13:30:02 UTC",
                "|none|none",
                "|note|none",
                "|nothing|none",
                "|rule|back",
                "|skills|1001, 1002",
            ]
        );
        assert_eq!(facts(&sample).summary(), "id: 1 · id: 2, 3 · held back: yes · per minute: 5 …");
    }

    #[test]
    fn a_summary_is_the_cause_or_the_facts_without_hashes() {
        let hash = Hash::of(b"text").to_string();
        assert_eq!(facts(&json!({"at": 1, "because": "planned work"})).summary(), "planned work");
        assert_eq!(facts(&json!({"content": hash, "file": "a.csv"})).summary(), "file: a.csv");
    }

    #[test]
    fn what_is_no_object_is_read_too_and_nothing_is_nothing() {
        assert_eq!(lines(&json!("")), ["|value|empty"]);
        assert_eq!(lines(&json!([1, "a"])), ["|value|1, a"]);
        assert_eq!(facts(&Value::Null), Facts::default());
        assert_eq!(facts(&Value::Null).summary(), "");
    }

    #[test]
    fn of_many_facts_the_first_are_listed_and_the_rest_counted() {
        let many: Value = (0..MAX_FACTS + 7)
            .map(|number| (format!("k{number:03}"), json!(number)))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let facts = facts(&many);
        assert_eq!((facts.listed.len(), facts.more), (MAX_FACTS, 7));
    }
}
