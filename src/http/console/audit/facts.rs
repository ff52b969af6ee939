//! The facts of an audit entry as people read them: a list of terms and values, whatever shape the entry gave them.

use serde_json::Value;

use crate::domain::time::UtcMicros;
use crate::http::console::shared::times::Times;

/// Facts that are listed; the rest stands in the text as it is stored.
const MOST: usize = 60;

/// Facts that stand for all of them in one line.
const IN_LINE: usize = 4;

/// A fact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::http::console) struct Fact {
    /// What it is part of, if of anything.
    pub(in crate::http::console) within: String,
    pub(in crate::http::console) term: String,
    pub(in crate::http::console) value: String,
}

/// The facts of an entry.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::http::console) struct Facts {
    pub(in crate::http::console) listed: Vec<Fact>,
    /// How many more there are.
    pub(in crate::http::console) more: usize,
}

impl Facts {
    /// Out of what an entry says, with instants in the viewer's zone.
    pub(in crate::http::console) fn of(value: &Value, times: &Times) -> Self {
        let mut facts = Self::default();
        facts.take(&mut Vec::new(), value, times);
        facts
    }

    fn take(&mut self, path: &mut Vec<String>, value: &Value, times: &Times) {
        match value {
            Value::Null if path.is_empty() => {}
            Value::Object(fields) if !fields.is_empty() => {
                for (key, value) in fields {
                    self.take_at(path, key.replace('_', " "), value, times);
                }
            }
            Value::Array(items) if items.iter().any(is_nested) => {
                for (place, value) in items.iter().enumerate() {
                    self.take_at(path, (place + 1).to_string(), value, times);
                }
            }
            plain => self.put(path, in_words(plain, times)),
        }
    }

    fn take_at(&mut self, path: &mut Vec<String>, key: String, value: &Value, times: &Times) {
        path.push(key);
        self.take(path, value, times);
        path.pop();
    }

    fn put(&mut self, path: &[String], value: String) {
        if self.listed.len() == MOST {
            self.more += 1;
            return;
        }
        let (term, within) = path.split_last().map_or(("value", &[][..]), |(term, within)| (term.as_str(), within));
        self.listed.push(Fact { within: within.join(" › "), term: term.to_owned(), value });
    }

    /// The first of them in one line.
    pub(in crate::http::console) fn in_line(&self) -> String {
        let first = self.listed.iter().take(IN_LINE).map(|fact| format!("{}: {}", fact.term, fact.value));
        let rest = if self.listed.len() > IN_LINE { " …" } else { "" };
        first.collect::<Vec<_>>().join(" · ") + rest
    }
}

fn is_nested(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

/// A value that holds no named ones.
fn in_words(value: &Value, times: &Times) -> String {
    match value {
        // An object of names is listed by them: one that comes here has none.
        Value::Null | Value::Object(_) => "none".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.is_empty() => "empty".to_owned(),
        Value::String(text) => text.parse::<UtcMicros>().map_or_else(|_| text.clone(), |at| times.second(at).full),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(|item| in_words(item, times)).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use serde_json::json;

    use super::*;

    fn facts(value: &Value) -> Facts {
        Facts::of(value, &Times::of(&HeaderMap::new()))
    }

    fn lines(value: &Value) -> Vec<String> {
        let line = |fact: Fact| format!("{}|{}|{}", fact.within, fact.term, fact.value);
        facts(value).listed.into_iter().map(line).collect()
    }

    #[test]
    fn nested_facts_are_read_with_what_they_are_part_of() {
        let said = json!({
            "rule": "back", "held_back": true, "note": null, "skills": ["1001", "1002"], "none": [], "nothing": {},
            "limit": {"per_minute": 5, "until": "2026-10-26T13:30:02Z"},
            "asked": [{"id": 1}, {"id": [2, 3]}],
        });
        assert_eq!(
            lines(&said),
            [
                "asked › 1|id|1",
                "asked › 2|id|2, 3",
                "|held back|yes",
                "limit|per minute|5",
                "limit|until|2026-10-26 13:30:02 UTC",
                "|none|none",
                "|note|none",
                "|nothing|none",
                "|rule|back",
                "|skills|1001, 1002",
            ]
        );
        assert_eq!(facts(&said).in_line(), "id: 1 · id: 2, 3 · held back: yes · per minute: 5 …");
    }

    #[test]
    fn what_is_no_object_is_read_too_and_nothing_is_nothing() {
        assert_eq!(lines(&json!("")), ["|value|empty"]);
        assert_eq!(lines(&json!([1, "a"])), ["|value|1, a"]);
        assert_eq!(facts(&Value::Null), Facts::default());
        assert_eq!(facts(&Value::Null).in_line(), "");
    }

    #[test]
    fn of_many_facts_the_first_are_listed_and_the_rest_counted() {
        let many: Value = (0..MOST + 7)
            .map(|number| (format!("k{number:03}"), json!(number)))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let facts = facts(&many);
        assert_eq!((facts.listed.len(), facts.more), (MOST, 7));
    }
}
