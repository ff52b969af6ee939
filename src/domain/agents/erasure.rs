//! The erasure of an agent: who it is about, as whom the rows go on, how far it is, and how texts are rid of id and name.
//!
//! The rows stay, since the figures of teams and of the centre are made of them; a random stand-in takes the agent's place.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::ids::{AgentId, ErasureId, TenantId};
use crate::domain::time::UtcMicros;

/// What stands where a person's words about the agent stood and some words are needed.
pub const ERASED: &str = "erased";

/// The longest reason, in characters.
pub const LONGEST_REASON: usize = 500;

/// The most names of files that an outcome lists of each kind.
pub const MOST_LISTED: usize = 200;

/// One erasure, as it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Erasure {
    /// Its id.
    pub id: ErasureId,
    /// Whose agent.
    pub tenant: TenantId,
    /// Who; nobody knows any more once nothing is left of the agent.
    pub agent: Option<AgentId>,
    /// Whom the rows are of from now on.
    pub stand_in: AgentId,
    /// When it was asked for.
    pub asked_at: UtcMicros,
    /// By whom, as [`crate::domain::changes::transition::Actor::label`] writes it.
    pub asked_by: Arc<str>,
    /// Why, in that person's words; without id and name once it is done.
    pub reason: Arc<str>,
    /// When it was done.
    pub done_at: Option<UtcMicros>,
    /// What came of it so far.
    pub outcome: Outcome,
}

impl Erasure {
    /// How it stands: `under_way` or `done`.
    pub const fn standing(&self) -> &'static str {
        if self.done_at.is_some() { "done" } else { "under_way" }
    }
}

/// The id of a stand-in.
pub fn stand_in(random: Uuid) -> AgentId {
    AgentId::from(format!("erased-{}", random.simple()))
}

/// What an erasure did, and what it could not do.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize, ToSchema)]
pub struct Outcome {
    /// Rows of the store that were changed or that went.
    pub rows: u64,
    /// Typed notes that went.
    pub notes: u64,
    /// Files of reports that had or may have had rows of the agent, and are removed; at most 200 are listed.
    pub report_files: Vec<String>,
    /// Imported schedule files that named the agent, and are removed; at most 200 are listed.
    pub import_files: Vec<String>,
    /// Copies of the database, made before, that still hold the agent: nothing changes them. At most 200 are listed.
    pub copies: Vec<String>,
    /// Numbers of audit entries that have id or name in words which people chose (the name of a file): the chain cannot be changed.
    /// At most 200 are listed.
    pub audit_entries: Vec<u64>,
}

impl Outcome {
    /// Notes one more, while there is room and it is not there.
    pub fn list<T: PartialEq>(into: &mut Vec<T>, one: T) {
        if into.len() < MOST_LISTED && !into.contains(&one) {
            into.push(one);
        }
    }
}

/// Rids texts of an agent.
#[derive(Clone, Debug)]
pub struct Wiper {
    agent: AgentId,
    /// The name, where it is long enough to be one and no word of ours.
    name: Option<Arc<str>>,
    stand_in: AgentId,
}

/// A name of fewer characters is not looked for in texts: it would be found everywhere.
const SHORTEST_NAME: usize = 3;

impl Wiper {
    /// For an agent of this id and name.
    pub fn new(agent: AgentId, name: Option<Arc<str>>, stand_in: AgentId) -> Self {
        let is_name = |name: &Arc<str>| {
            let known = super::state::AgentState::KNOWN;
            name.trim().chars().count() >= SHORTEST_NAME && !known.iter().any(|state| state.name() == &**name)
        };
        Self { agent, name: name.filter(is_name), stand_in }
    }

    /// Who it is about.
    pub const fn agent(&self) -> &AgentId {
        &self.agent
    }

    /// The name that is looked for.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Who takes the agent's place.
    pub const fn stand_in(&self) -> &AgentId {
        &self.stand_in
    }

    /// Whether id or name stands in the text as a word of its own.
    pub fn is_in(&self, text: &str) -> bool {
        self.needles().any(|needle| find(text, needle, 0).is_some())
    }

    /// The text with the stand-in wherever id or name stood as a word of its own; `None` where neither does.
    pub fn clean(&self, text: &str) -> Option<String> {
        self.needles().fold(None, |cleaned, needle| {
            let text = cleaned.as_deref().unwrap_or(text);
            replaced(text, needle, self.stand_in.as_str()).or(cleaned)
        })
    }

    /// The same for a JSON text: in every text and key of it. What is no JSON is taken as plain text. Instants, days and ids of other
    /// things are left alone, also where the agent's id is a number that they hold.
    pub fn clean_json(&self, text: &str) -> Option<String> {
        let Ok(mut value) = serde_json::from_str::<Value>(text) else { return self.clean(text) };
        if !self.clean_value(&mut value) {
            return None;
        }
        // A value that was read can be written.
        serde_json::to_string(&value).ok()
    }

    /// Whether something was changed.
    fn clean_value(&self, value: &mut Value) -> bool {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
            Value::String(text) if *text != self.agent.as_str() && is_no_words(text) => false,
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
                let old: Vec<String> = fields.keys().filter(|key| *key == self.agent.as_str()).cloned().collect();
                for key in &old {
                    if let Some(value) = fields.remove(key) {
                        fields.insert(self.stand_in.to_string(), value);
                    }
                }
                changed || !old.is_empty()
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

    fn needles(&self) -> impl Iterator<Item = &str> {
        [Some(self.agent.as_str()), self.name.as_deref()].into_iter().flatten().filter(|needle| !needle.is_empty())
    }
}

/// An instant, a day or a UUID.
fn is_no_words(text: &str) -> bool {
    text.parse::<UtcMicros>().is_ok() || text.parse::<jiff::civil::Date>().is_ok() || text.parse::<Uuid>().is_ok()
}

/// Where the needle stands as a word of its own, from a place on: neither a letter, nor a digit, nor `_` touches it.
fn find(text: &str, needle: &str, from: usize) -> Option<usize> {
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
        // To the next character.
        at = start + text[start..].chars().next().map_or(1, char::len_utf8);
    }
}

fn replaced(text: &str, needle: &str, by: &str) -> Option<String> {
    let mut start = find(text, needle, 0)?;
    let (mut made, mut done) = (String::with_capacity(text.len() + by.len()), 0);
    loop {
        made.push_str(&text[done..start]);
        made.push_str(by);
        done = start + needle.len();
        match find(text, needle, done) {
            Some(next) => start = next,
            None => break,
        }
    }
    made.push_str(&text[done..]);
    Some(made)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wiper(agent: &str, name: &str) -> Wiper {
        Wiper::new(agent.into(), Some(name.into()), "erased-1".into())
    }

    #[test]
    fn words_of_their_own_go_and_longer_words_stay() {
        let wiper = wiper("u_1", "Zoë Quux");
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
            assert_eq!(wiper.clean(text).as_deref(), cleaned, "{text}");
            assert_eq!(wiper.is_in(text), cleaned.is_some(), "{text}");
        }
    }

    #[test]
    fn json_keeps_its_numbers_instants_and_ids() {
        let wiper = wiper("26", "Ida Blue");
        let text = r#"{"26":1,"agents":["26","27"],"at":"2026-10-26T08:26:26Z","day":"2026-10-26","n":26,"why":"26 and Ida Blue"}"#;
        let cleaned = wiper.clean_json(text).expect("something is in it");
        let expected = r#"{"agents":["erased-1","27"],"at":"2026-10-26T08:26:26Z","day":"2026-10-26","erased-1":1,"n":26,"why":"erased-1 and erased-1"}"#;
        assert_eq!(
            serde_json::from_str::<Value>(&cleaned).expect("JSON"),
            serde_json::from_str::<Value>(expected).expect("JSON")
        );
        assert_eq!(wiper.clean_json(&cleaned), None, "once is enough");
        assert_eq!(wiper.clean_json("no JSON: 26").as_deref(), Some("no JSON: erased-1"));
        let uuid = "01a17867-8856-72c9-b800-1bbdb913b733";
        let by_uuid = Wiper::new(uuid.into(), None, "erased-1".into());
        assert_eq!(by_uuid.clean_json(&format!("[\"{uuid}\"]")).as_deref(), Some("[\"erased-1\"]"));
    }

    #[test]
    fn short_names_and_names_of_states_are_not_looked_for() {
        assert_eq!(wiper("u_1", "Jo").name(), None);
        assert_eq!(wiper("u_1", "Ready").name(), None);
        assert_eq!(wiper("u_1", "Joy").name(), Some("Joy"));
    }

    proptest! {
        #[test]
        fn nothing_is_left_whatever_stands_around(before in "[ -~é]{0,12}", after in "[ -~é]{0,12}", agent in "[a-z_0-9\"\\\\]{3,8}") {
            let wiper = Wiper::new(agent.as_str().into(), None, "ERASED".into());
            let text = format!("{before} {agent} {after}");
            let cleaned = wiper.clean(&text).expect("it stands there");
            prop_assert!(!wiper.is_in(&cleaned), "{cleaned}");
            let json = serde_json::to_string(&serde_json::json!({"note": text, "agent": agent})).expect("JSON");
            let cleaned = wiper.clean_json(&json).expect("it stands there");
            prop_assert_eq!(wiper.clean_json(&cleaned), None);
        }
    }
}
