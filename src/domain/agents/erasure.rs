//! The erasure of an agent: its progress and result, the stand-in, and the removal of id and name from texts.
//!
//! Rows are kept, since figures of teams and of the centre are computed from them; a random stand-in replaces the
//! agent.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::ids::{AgentId, ErasureId, TenantId};
use crate::domain::time::UtcMicros;

/// The text that replaces a person's words about the agent where some text is required.
pub const ERASED_TEXT: &str = "erased";

/// The maximum length of the reason, in characters.
pub const MAX_REASON_CHARS: usize = 500;

/// The largest number of names that a result lists of each kind.
pub const MAX_LISTED: usize = 200;

/// One erasure and its progress.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Erasure {
    /// Its id.
    pub id: ErasureId,
    /// The tenant of the agent.
    pub tenant: TenantId,
    /// The agent; `None` once the erasure is complete.
    pub agent: Option<AgentId>,
    /// The stand-in that replaces the agent in all rows.
    pub stand_in: AgentId,
    /// When it was requested.
    pub requested_at: UtcMicros,
    /// Who requested it, as written by [`crate::domain::changes::transition::Actor::label`].
    pub requested_by: Arc<str>,
    /// The reason in the requester's words; without the agent's id and name once the erasure is complete.
    pub reason: Arc<str>,
    /// When it was completed.
    pub completed_at: Option<UtcMicros>,
    /// The result so far.
    pub result: ErasureResult,
}

impl Erasure {
    /// Returns the status: `under_way` or `done`.
    pub const fn status(&self) -> &'static str {
        if self.completed_at.is_some() { "done" } else { "under_way" }
    }
}

/// Returns the id of a stand-in.
pub fn stand_in(random: Uuid) -> AgentId {
    AgentId::from(format!("erased-{}", random.simple()))
}

/// What an erasure removed, and what it could not remove.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize, ToSchema)]
pub struct ErasureResult {
    /// The number of rows that were changed or deleted in the store.
    pub rows: u64,
    /// The number of notes that were deleted.
    pub notes: u64,
    /// The report files that were deleted because they had, or may have had, rows about the agent; at most 200 are
    /// listed.
    pub report_files: Vec<String>,
    /// The imported schedule files that were deleted because they named the agent; at most 200 are listed.
    pub import_files: Vec<String>,
    /// Older copies of the database that still contain the agent and cannot be changed; at most 200 are listed.
    pub copies: Vec<String>,
    /// The numbers of audit entries whose texts, such as a file name, contain the agent's id or name. The chain cannot
    /// be changed. At most 200 are listed.
    pub audit_entries: Vec<u64>,
}

impl ErasureResult {
    /// Adds an item to a list unless the list is full or already holds it.
    pub fn push_unique_listed<T: PartialEq>(list: &mut Vec<T>, item: T) {
        if list.len() < MAX_LISTED && !list.contains(&item) {
            list.push(item);
        }
    }
}

/// Removes an agent's id and name from texts.
#[derive(Clone, Debug)]
pub struct TextEraser {
    agent: AgentId,
    /// The name, unless it is too short or one of our own words.
    name: Option<Arc<str>>,
    stand_in: AgentId,
}

/// The minimum length of a name to search for, in characters. Shorter ones would be found everywhere.
const MIN_NAME_CHARS: usize = 3;

impl TextEraser {
    /// Creates a redactor for an agent with this id and name.
    pub fn new(agent: AgentId, name: Option<Arc<str>>, stand_in: AgentId) -> Self {
        let is_name = |name: &Arc<str>| {
            let known = super::state::AgentState::KNOWN;
            name.trim().chars().count() >= MIN_NAME_CHARS && !known.iter().any(|state| state.name() == &**name)
        };
        Self { agent, name: name.filter(is_name), stand_in }
    }

    /// Returns the agent to erase.
    pub const fn agent(&self) -> &AgentId {
        &self.agent
    }

    /// Returns the name to search for.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Returns the stand-in.
    pub const fn stand_in(&self) -> &AgentId {
        &self.stand_in
    }

    /// Returns whether the text contains the id or the name as a separate word.
    pub fn occurs_in(&self, text: &str) -> bool {
        self.search_terms().any(|needle| find_word(text, needle, 0).is_some())
    }

    /// Returns the text with the id and the name replaced by the stand-in wherever they are separate words; `None` if
    /// neither occurs.
    pub fn clean(&self, text: &str) -> Option<String> {
        self.search_terms().fold(None, |cleaned, needle| {
            let text = cleaned.as_deref().unwrap_or(text);
            replace_words(text, needle, self.stand_in.as_str()).or(cleaned)
        })
    }

    /// Returns the same for a JSON text, with all of its strings and keys cleaned. Invalid JSON is treated as plain
    /// text. Instants, dates and ids of other things are left alone, even if the agent's id is a number that occurs in
    /// them.
    pub fn clean_json(&self, text: &str) -> Option<String> {
        let Ok(mut value) = serde_json::from_str::<Value>(text) else { return self.clean(text) };
        if !self.clean_value(&mut value) {
            return None;
        }
        // A value that was parsed can be serialised.
        serde_json::to_string(&value).ok()
    }

    /// Cleans the value and returns whether anything changed.
    fn clean_value(&self, value: &mut Value) -> bool {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
            Value::String(text) if *text != self.agent.as_str() && is_instant_day_or_uuid(text) => false,
            Value::String(text) => match self.clean(text) {
                Some(cleaned) => {
                    *text = cleaned;
                    true
                }
                None => false,
            },
            Value::Array(values) => self.clean_all(values.iter_mut()),
            Value::Object(fields) => {
                let changed = self.clean_all(fields.values_mut());
                let matching_keys: Vec<String> =
                    fields.keys().filter(|key| *key == self.agent.as_str()).cloned().collect();
                for key in &matching_keys {
                    if let Some(value) = fields.remove(key) {
                        fields.insert(self.stand_in.to_string(), value);
                    }
                }
                changed || !matching_keys.is_empty()
            }
        }
    }

    fn clean_all<'v>(&self, values: impl Iterator<Item = &'v mut Value>) -> bool {
        let mut changed = false;
        for value in values {
            changed |= self.clean_value(value);
        }
        changed
    }

    fn search_terms(&self) -> impl Iterator<Item = &str> {
        [Some(self.agent.as_str()), self.name.as_deref()].into_iter().flatten().filter(|needle| !needle.is_empty())
    }
}

/// Returns whether the text is an instant, a date or a UUID.
fn is_instant_day_or_uuid(text: &str) -> bool {
    text.parse::<UtcMicros>().is_ok() || text.parse::<jiff::civil::Date>().is_ok() || text.parse::<Uuid>().is_ok()
}

/// Returns where the needle occurs as a separate word, from a position on: with no letter, digit or `_` next to it.
fn find_word(text: &str, needle: &str, from: usize) -> Option<usize> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut at = from;
    loop {
        let start = at + text.get(at..)?.find(needle)?;
        let end = start + needle.len();
        let before = text[..start].chars().next_back().is_some_and(is_part);
        let after = text[end..].chars().next().is_some_and(is_part);
        if !before && !after {
            return Some(start);
        }
        // Continue at the next character.
        at = start + text[start..].chars().next().map_or(1, char::len_utf8);
    }
}

fn replace_words(text: &str, needle: &str, replacement: &str) -> Option<String> {
    let mut start = find_word(text, needle, 0)?;
    let (mut result, mut copied_to) = (String::with_capacity(text.len() + replacement.len()), 0);
    loop {
        result.push_str(&text[copied_to..start]);
        result.push_str(replacement);
        copied_to = start + needle.len();
        match find_word(text, needle, copied_to) {
            Some(next) => start = next,
            None => break,
        }
    }
    result.push_str(&text[copied_to..]);
    Some(result)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn eraser(agent: &str, name: &str) -> TextEraser {
        TextEraser::new(agent.into(), Some(name.into()), "erased-1".into())
    }

    #[test]
    fn whole_words_are_replaced_and_longer_words_are_not() {
        let eraser = eraser("u_1", "Zoë Quux");
        for (text, cleaned) in [
            ("u_1", Some("erased-1")),
            ("ask u_1, or u_10", Some("ask erased-1, or u_10")),
            ("u_1u_1 u_1", Some("u_1u_1 erased-1")),
            ("/users/u_1/state: 404", Some("/users/erased-1/state: 404")),
            ("Zoë Quux (u_1) was ill", Some("erased-1 (erased-1) was ill")),
            ("Zoë Quuxley", None),
            ("éu_1", None),
            ("", None),
        ] {
            assert_eq!(eraser.clean(text).as_deref(), cleaned, "{text}");
            assert_eq!(eraser.occurs_in(text), cleaned.is_some(), "{text}");
        }
    }

    #[test]
    fn json_keeps_its_numbers_instants_and_ids() {
        let eraser = eraser("26", "Ida Blue");
        let text = r#"{"26":1,"agents":["26","27"],"at":"2026-10-26T08:26:26Z","day":"2026-10-26","n":26,"why":"26 and Ida Blue"}"#;
        let cleaned = eraser.clean_json(text).expect("something is in it");
        let expected = r#"{"agents":["erased-1","27"],"at":"2026-10-26T08:26:26Z","day":"2026-10-26","erased-1":1,"n":26,"why":"erased-1 and erased-1"}"#;
        assert_eq!(
            serde_json::from_str::<Value>(&cleaned).expect("JSON"),
            serde_json::from_str::<Value>(expected).expect("JSON")
        );
        assert_eq!(eraser.clean_json(&cleaned), None, "once is enough");
        assert_eq!(eraser.clean_json("no JSON: 26").as_deref(), Some("no JSON: erased-1"));
        let uuid = "01a17867-8856-72c9-b800-1bbdb913b733";
        let by_uuid = TextEraser::new(uuid.into(), None, "erased-1".into());
        assert_eq!(by_uuid.clean_json(&format!("[\"{uuid}\"]")).as_deref(), Some("[\"erased-1\"]"));
    }

    #[test]
    fn short_names_and_names_of_states_are_not_looked_for() {
        assert_eq!(eraser("u_1", "Jo").name(), None);
        assert_eq!(eraser("u_1", "Ready").name(), None);
        assert_eq!(eraser("u_1", "Joy").name(), Some("Joy"));
    }

    proptest! {
        #[test]
        fn nothing_is_left_whatever_surrounds_it(before in "[ -~é]{0,12}", after in "[ -~é]{0,12}", agent in "[a-z_0-9\"\\\\]{3,8}") {
            let eraser = TextEraser::new(agent.as_str().into(), None, "ERASED".into());
            let text = format!("{before} {agent} {after}");
            let cleaned = eraser.clean(&text).expect("it stands there");
            prop_assert!(!eraser.occurs_in(&cleaned), "{cleaned}");
            let json = serde_json::to_string(&serde_json::json!({"note": text, "agent": agent})).expect("JSON");
            let cleaned = eraser.clean_json(&json).expect("it stands there");
            prop_assert_eq!(eraser.clean_json(&cleaned), None);
        }
    }
}
