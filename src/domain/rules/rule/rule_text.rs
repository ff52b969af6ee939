//! One rule as edited by a person: the text of one `[[rules]]` table, its errors by line, and changes of its mode.
//!
//! [`super::check`] and [`super::compile`] check whether the rule can work.

use serde::{Deserialize, Serialize};
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use utoipa::ToSchema;

use super::parse::{RULE_KEYS, RulesFileError, parse_rules};
use super::{Mode, Rule, RuleDiagnostic};

/// The largest size of the text of one rule, in bytes.
pub const MAX_RULE_TEXT_BYTES: usize = 16 * 1024;

/// An error or warning about a line of a rule's text.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct LineDiagnostic {
    /// The number of the line, from 1.
    pub line: usize,
    /// The key in the rule, such as `when.state`; empty for the whole rule or text.
    pub field: String,
    /// What is wrong and how to correct it.
    pub message: String,
}

impl LineDiagnostic {
    fn for_text(line: usize, message: impl Into<String>) -> Self {
        Self { line, field: String::new(), message: message.into() }
    }
}

/// Parses the text of one rule.
///
/// # Errors
/// Returns everything that prevents parsing: syntax errors, unknown keys, no table or more than one.
pub fn parse_rule_text(text: &str) -> Result<Rule, Vec<LineDiagnostic>> {
    if text.len() > MAX_RULE_TEXT_BYTES {
        let message = format!("the text has {} bytes; a rule has {MAX_RULE_TEXT_BYTES} at most", text.len());
        return Err(vec![LineDiagnostic::for_text(1, message)]);
    }
    let (mut rules, diagnostics) = parse_rules(text).map_err(|error| vec![file_error_diagnostic(text, &error)])?;
    if !diagnostics.is_empty() {
        return Err(locate_diagnostics(text, &diagnostics));
    }
    match (rules.pop(), rules.is_empty()) {
        (Some(rule), true) => Ok(rule),
        (None, _) => Err(vec![LineDiagnostic::for_text(1, "there is no rule: begin with a line `[[rules]]`")]),
        (Some(_), false) => {
            Err(vec![LineDiagnostic::for_text(1, "one text holds one rule: write the others by themselves")])
        }
    }
}

fn file_error_diagnostic(text: &str, error: &RulesFileError) -> LineDiagnostic {
    match error {
        RulesFileError::Syntax(syntax) => {
            let line = line_of(text, syntax.span().map_or(0, |span| span.start));
            LineDiagnostic::for_text(line, format!("not valid TOML: {}", syntax.message().replace('\n', ", ")))
        }
        RulesFileError::NotRules(_) => LineDiagnostic::for_text(1, error.to_string()),
    }
}

/// Adds to each error the line of the text that it refers to.
pub fn locate_diagnostics(text: &str, diagnostics: &[RuleDiagnostic]) -> Vec<LineDiagnostic> {
    let table = DeTable::parse(text).ok();
    let line = |complaint: &RuleDiagnostic| {
        let place = |table: &Spanned<DeTable<'_>>| field_offset(table.get_ref(), complaint.index, &complaint.field);
        line_of(text, table.as_ref().map_or(0, place))
    };
    diagnostics
        .iter()
        .map(|complaint| LineDiagnostic {
            line: line(complaint),
            field: complaint.field.clone(),
            message: complaint.reason.clone(),
        })
        .collect()
}

/// Returns the table at an index, from 0, of the array `rules`.
fn rule_table_at<'t, 'i>(table: &'t DeTable<'i>, index: usize) -> Option<&'t Spanned<DeValue<'i>>> {
    match table.get("rules")?.get_ref() {
        DeValue::Array(rules) => rules.get(index),
        _ => None,
    }
}

/// Returns the offset in the text of a field of a rule, or of the nearest enclosing element.
fn field_offset(table: &DeTable<'_>, index: usize, field: &str) -> usize {
    let Some(rule) = rule_table_at(table, index) else { return 0 };
    let (mut place, mut at) = (rule.span().start, rule.get_ref());
    for part in field.split('.').filter(|part| !part.is_empty()) {
        let DeValue::Table(inner) = at else { break };
        let Some((key, value)) = inner.iter().find(|(key, _)| key.get_ref() == part) else { break };
        (place, at) = (key.span().start, value.get_ref());
    }
    place
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

/// Returns the text with another mode; `None` if the layout does not allow it to be changed automatically.
pub fn with_mode(text: &str, mode: Mode) -> Option<String> {
    let expected = Rule { mode, ..parse_rule_text(text).ok()? };
    let written = format!("\"{}\"", mode.name());
    let changed_text = {
        let table = DeTable::parse(text).ok()?;
        let DeValue::Table(rule) = rule_table_at(table.get_ref(), 0)?.get_ref() else { return None };
        let span_of = |name: &str| rule.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value.span());
        if let Some(span) = span_of("mode") {
            format!("{}{written}{}", text.get(..span.start)?, text.get(span.end..)?)
        } else {
            let end = span_of("id")?.end;
            let end = end + text.get(end..)?.find('\n').unwrap_or(text.len() - end);
            format!("{}\nmode = {written}{}", text.get(..end)?, text.get(end..)?)
        }
    };
    // Checks that nothing but the mode has changed.
    (parse_rule_text(&changed_text).ok()? == expected).then_some(changed_text)
}

/// Returns the text of a rule, with one key per line in the order of the documentation.
///
/// # Errors
/// Fails if the rule cannot be written as TOML; a parsed rule always can.
pub fn to_rule_text(rule: &Rule) -> Result<String, toml::ser::Error> {
    let table = toml::Table::try_from(rule)?;
    let mut text = String::from("[[rules]]\n");
    for key in RULE_KEYS {
        if let Some(value) = table.get(*key) {
            text.push_str(key);
            text.push_str(" = ");
            text.push_str(&value.to_string());
            text.push('\n');
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE_TEXT: &str = r#"# who overran
[[rules]]
id = "back"
when = { planned = "work", state = ["Paused", "NotReady"], for = "10m", shift = { ends_within = "30m" } }
then = { set_state = "Ready", reason = "WORKING" }
limit = { per_minute = 20, share_of_team = 0.3 }
"#;

    #[test]
    fn every_complaint_has_its_line() {
        let lines = |text: &str| -> Vec<(usize, String)> {
            let complaints = parse_rule_text(text).expect_err("refused");
            complaints.into_iter().map(|complaint| (complaint.line, complaint.field)).collect()
        };
        assert_eq!(lines("[[rules]]\nid = \"r\"\nwhen = {\n"), [(3, String::new())]);
        assert_eq!(lines(""), [(1, String::new())]);
        assert_eq!(lines(&format!("{RULE_TEXT}{RULE_TEXT}")), [(1, String::new())]);
        assert_eq!(
            lines("[[rules]]\nid = \"r\"\nwhen = { stat = \"Ready\" }\nthen = { tell = \"x\" }\nprio = 1\n"),
            [(5, "prio".to_owned()), (3, "when.stat".to_owned())]
        );
        assert_eq!(lines(&format!("id = 1 # {}", "x".repeat(MAX_RULE_TEXT_BYTES))), [(1, String::new())]);
    }

    #[test]
    fn an_error_about_a_missing_field_is_reported_at_the_enclosing_element() {
        let complaint =
            |field: &str| RuleDiagnostic { index: 0, rule: None, field: field.to_owned(), reason: "wrong".to_owned() };
        let all = ["", "when.state", "when.shift.ended_for", "limit.share_of_team", "unless"].map(complaint);
        let lines: Vec<usize> =
            locate_diagnostics(RULE_TEXT, &all).into_iter().map(|complaint| complaint.line).collect();
        assert_eq!(lines, [2, 4, 4, 6, 2]);
        let tables =
            "[[rules]]\nid = \"r\"\n[rules.when]\nstate = \"Ready\"\nfor = \"x\"\n[rules.then]\ntell = \"x\"\n";
        assert_eq!(locate_diagnostics(tables, &[complaint("when.for")])[0].line, 5);
    }

    #[test]
    fn the_mode_is_changed_and_nothing_else() {
        let rule = parse_rule_text(RULE_TEXT).expect("sound");
        let enforced = with_mode(RULE_TEXT, Mode::Enforce).expect("laid out plainly");
        assert!(enforced.starts_with("# who overran\n"), "the comment stays: {enforced}");
        assert_eq!(parse_rule_text(&enforced).expect("sound"), Rule { mode: Mode::Enforce, ..rule.clone() });
        let back = with_mode(&enforced, Mode::Watch).expect("laid out plainly");
        assert_eq!(parse_rule_text(&back).expect("sound"), rule);
        assert_eq!(back.lines().count(), enforced.lines().count(), "the key is used again");
        let inline = "rules = [{ id = \"r\", when = { state = \"Ready\" }, then = { tell = \"x\" } }]";
        assert_eq!(with_mode(inline, Mode::Enforce), None, "a person has to write it");
    }

    #[test]
    fn what_is_written_reads_as_the_same_rule() {
        let full = r#"[[rules]]
id = "full"
when = { verdict = "out", verdict_for = "10m", local_time = { from = "17:00", to = "24:00" }, skill_figures = { id = "1", service_level = { below = 0.8 } } }
unless = { on_contact = true, shift = { ends_within = "30m" } }
then = { ask = "say \"why\"\nplease" }
mode = "approve"
priority = "housekeeping"
cooldown = "30m"
limit = { share_of_team = 0.2 }
"#;
        for text in [RULE_TEXT, full] {
            let rule = parse_rule_text(text).expect("sound");
            let reserialized = to_rule_text(&rule).expect("has TOML");
            assert_eq!(parse_rule_text(&reserialized).as_ref(), Ok(&rule), "{reserialized}");
        }
    }
}
