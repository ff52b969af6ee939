//! Parses rules from TOML, with suggestions for unknown keys.
//!
//! An error in one rule does not hide those of the others.

use serde::Deserialize;
use toml::{Table, Value};

use crate::domain::ids::RuleId;

use super::{
    ActionDefinition, Conditions, DiagnosticCollector, Limit, Rule, RuleDiagnostic, ShiftConditions, suggestion,
};

pub(super) const RULE_KEYS: &[&str] = &["id", "when", "unless", "then", "mode", "priority", "cooldown", "limit"];
const LOCAL_TIME_KEYS: &[&str] = &["from", "to"];
const ANOMALY_KEYS: &[&str] = &["series", "kind", "within"];
const STAFFING_KEYS: &[&str] = &["net", "ahead"];

/// The keys allowed at each path in a rule. The names of figures are checked later.
const KEYS_BY_PATH: [(&[&str], &[&str]); 13] = [
    (&[], RULE_KEYS),
    (&["when"], Conditions::KEYS),
    (&["when", "shift"], ShiftConditions::KEYS),
    (&["when", "local_time"], LOCAL_TIME_KEYS),
    (&["when", "anomaly"], ANOMALY_KEYS),
    (&["when", "staffing"], STAFFING_KEYS),
    (&["unless"], Conditions::KEYS),
    (&["unless", "shift"], ShiftConditions::KEYS),
    (&["unless", "local_time"], LOCAL_TIME_KEYS),
    (&["unless", "anomaly"], ANOMALY_KEYS),
    (&["unless", "staffing"], STAFFING_KEYS),
    (&["then"], ActionDefinition::KEYS),
    (&["limit"], Limit::KEYS),
];

/// An error that makes a file of rules unreadable as a whole.
#[derive(Debug, thiserror::Error)]
pub enum RulesFileError {
    /// The file is not TOML; the source names the place to correct.
    #[error("the rules are not valid TOML")]
    Syntax(#[source] toml::de::Error),
    /// The file is TOML but does not hold `[[rules]]` tables.
    #[error("a file of rules must have [[rules]] tables and nothing else; found `{0}`")]
    NotRules(String),
}

/// Parses a file of `[[rules]]` and returns the readable rules with the errors of the other parts.
pub fn parse_rules(text: &str) -> Result<(Vec<Rule>, Vec<RuleDiagnostic>), RulesFileError> {
    let mut file: Table = text.parse().map_err(RulesFileError::Syntax)?;
    let rules = file.remove("rules").unwrap_or_else(|| Value::Array(Vec::new()));
    if let Some((key, _)) = file.iter().next() {
        return Err(RulesFileError::NotRules(key.clone()));
    }
    match rules {
        Value::Array(rules) => Ok(read_rules(rules)),
        other => Err(RulesFileError::NotRules(format!("rules = {}", other.type_str()))),
    }
}

/// Parses the elements of a `rules` array, wherever it came from.
pub fn read_rules(rules: Vec<Value>) -> (Vec<Rule>, Vec<RuleDiagnostic>) {
    let mut parsed = Vec::with_capacity(rules.len());
    let mut all_diagnostics = Vec::new();
    for (index, mut value) in rules.into_iter().enumerate() {
        let rule = value.get("id").and_then(Value::as_str).map(RuleId::new);
        let mut diagnostics = DiagnosticCollector { index, rule, diagnostics: Vec::new() };
        for (path, known) in KEYS_BY_PATH {
            remove_unknown_keys(&mut value, path, known, &mut diagnostics);
        }
        match Rule::deserialize(value) {
            Ok(rule) => parsed.push(rule),
            Err(error) => diagnostics.add("", error.message().trim()),
        }
        all_diagnostics.append(&mut diagnostics.diagnostics);
    }
    (parsed, all_diagnostics)
}

/// Reports and removes the unknown keys at `path`, so that the rest can be parsed.
fn remove_unknown_keys(value: &mut Value, path: &[&str], known: &[&str], diagnostics: &mut DiagnosticCollector) {
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
        diagnostics.add(field, format!("`{key}` is not known here{near}"));
    }
}

#[cfg(test)]
mod tests;
