//! Reads rules out of TOML, and says of every key that is not known which one is near.
//!
//! One bad rule does not hide the mistakes of the others.

use serde::Deserialize;
use toml::{Table, Value};

use crate::domain::ids::RuleId;

use super::{Complaints, Rule, RuleComplaint, suggestion};

pub(super) const RULE: &[&str] = &["id", "when", "unless", "then", "mode", "priority", "cooldown", "limit"];
const CONDITIONS: &[&str] = &[
    "planned",
    "next",
    "after",
    "state",
    "for",
    "planned_for",
    "planned_left",
    "break",
    "mandatory",
    "worked",
    "shift",
    "anomaly",
    "verdict",
    "verdict_for",
    "team",
    "queue",
    "local_time",
    "weekdays",
    "on_contact",
    "skill",
    "skill_figures",
    "queue_figures",
];
const SHIFT: &[&str] = &["started_for", "started_within", "ends_within", "starts_within", "ended_for", "ended_within"];
const LOCAL_TIME: &[&str] = &["from", "to"];
const ANOMALY: &[&str] = &["series", "kind", "within"];
const WISH: &[&str] = &["set_state", "reason", "log_out", "on_contact", "tell", "ask"];
const LIMIT: &[&str] = &["per_minute", "share_of_team"];

/// Which keys may stand where in a rule; the names of figures are looked up when it is checked.
const KEYS: [(&[&str], &[&str]); 11] = [
    (&[], RULE),
    (&["when"], CONDITIONS),
    (&["when", "shift"], SHIFT),
    (&["when", "local_time"], LOCAL_TIME),
    (&["when", "anomaly"], ANOMALY),
    (&["unless"], CONDITIONS),
    (&["unless", "shift"], SHIFT),
    (&["unless", "local_time"], LOCAL_TIME),
    (&["unless", "anomaly"], ANOMALY),
    (&["then"], WISH),
    (&["limit"], LIMIT),
];

/// A file of rules that cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// Not TOML: correct the place that the source names.
    #[error("the rules are not valid TOML")]
    Syntax(#[source] toml::de::Error),
    /// TOML, but not `[[rules]]` tables.
    #[error("a file of rules holds [[rules]] tables and nothing else; found `{0}`")]
    NotRules(String),
}

/// Reads a file of `[[rules]]`. The rules that can be read come with complaints about the parts that cannot.
pub fn parse(text: &str) -> Result<(Vec<Rule>, Vec<RuleComplaint>), RulesError> {
    let mut file: Table = text.parse().map_err(RulesError::Syntax)?;
    let rules = file.remove("rules").unwrap_or_else(|| Value::Array(Vec::new()));
    if let Some((key, _)) = file.iter().next() {
        return Err(RulesError::NotRules(key.clone()));
    }
    match rules {
        Value::Array(rules) => Ok(read(rules)),
        other => Err(RulesError::NotRules(format!("rules = {}", other.type_str()))),
    }
}

/// Reads the elements of a `rules` array, wherever it stood.
pub fn read(rules: Vec<Value>) -> (Vec<Rule>, Vec<RuleComplaint>) {
    let mut read = Vec::with_capacity(rules.len());
    let mut all = Vec::new();
    for (index, mut value) in rules.into_iter().enumerate() {
        let rule = value.get("id").and_then(Value::as_str).map(RuleId::new);
        let mut complaints = Complaints { index, rule, all: Vec::new() };
        for (path, known) in KEYS {
            drop_unknown(&mut value, path, known, &mut complaints);
        }
        match Rule::deserialize(value) {
            Ok(rule) => read.push(rule),
            Err(error) => complaints.add("", error.message().trim()),
        }
        all.append(&mut complaints.all);
    }
    (read, all)
}

/// Complains of the keys at `path` that are not known and takes them out, so that what is left can be read.
fn drop_unknown(value: &mut Value, path: &[&str], known: &[&str], complaints: &mut Complaints) {
    let mut at = value;
    for key in path {
        let Some(inner) = at.get_mut(*key) else { return };
        at = inner;
    }
    let Some(table) = at.as_table_mut() else { return };
    let unknown: Vec<String> = table.keys().filter(|key| !known.contains(&key.as_str())).cloned().collect();
    for key in unknown {
        table.remove(&key);
        let near = suggestion(&key, known.iter().copied());
        let field = path.iter().copied().chain([key.as_str()]).collect::<Vec<_>>().join(".");
        complaints.add(field, format!("`{key}` is not known here{near}"));
    }
}

#[cfg(test)]
mod tests;
