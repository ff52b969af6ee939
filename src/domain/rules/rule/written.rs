//! One rule as a person writes it in an editor: the text of one `[[rules]]` table, every complaint with its line, and the same text
//! with another mode.
//!
//! What the rule means and whether it can work is [`super::check`]'s and [`super::compile`]'s business.

use serde::{Deserialize, Serialize};
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use utoipa::ToSchema;

use super::parse::{RULE, RulesError, parse};
use super::{Mode, Rule, RuleComplaint};

/// The longest text of one rule, in bytes.
pub const LONGEST_RULE_TEXT: usize = 16 * 1024;

/// One thing that is wrong with a rule's text, by line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct LineComplaint {
    /// The line of the text, from 1.
    pub line: usize,
    /// The key in the rule, as `when.state`; empty for the rule or the text as a whole.
    pub field: String,
    /// What is wrong, and the way out.
    pub message: String,
}

impl LineComplaint {
    fn of_text(line: usize, message: impl Into<String>) -> Self {
        Self { line, field: String::new(), message: message.into() }
    }
}

/// Reads the text of one rule.
///
/// # Errors
/// Everything that keeps it from being read: syntax, unknown keys, no table or more than one.
pub fn read_one(text: &str) -> Result<Rule, Vec<LineComplaint>> {
    if text.len() > LONGEST_RULE_TEXT {
        let message = format!("the text has {} bytes; a rule has {LONGEST_RULE_TEXT} at most", text.len());
        return Err(vec![LineComplaint::of_text(1, message)]);
    }
    let (mut rules, complaints) = parse(text).map_err(|error| vec![unreadable(text, &error)])?;
    if !complaints.is_empty() {
        return Err(placed(text, &complaints));
    }
    match (rules.pop(), rules.is_empty()) {
        (Some(rule), true) => Ok(rule),
        (None, _) => Err(vec![LineComplaint::of_text(1, "there is no rule: begin with a line `[[rules]]`")]),
        (Some(_), false) => {
            Err(vec![LineComplaint::of_text(1, "one text holds one rule: write the others by themselves")])
        }
    }
}

fn unreadable(text: &str, error: &RulesError) -> LineComplaint {
    match error {
        RulesError::Syntax(syntax) => {
            let line = line_of(text, syntax.span().map_or(0, |span| span.start));
            LineComplaint::of_text(line, format!("not valid TOML: {}", syntax.message().replace('\n', ", ")))
        }
        RulesError::NotRules(_) => LineComplaint::of_text(1, error.to_string()),
    }
}

/// Complaints about the rules of a text, by their places in it, each with its line.
pub fn placed(text: &str, complaints: &[RuleComplaint]) -> Vec<LineComplaint> {
    let table = DeTable::parse(text).ok();
    let line = |complaint: &RuleComplaint| {
        let place = |table: &Spanned<DeTable<'_>>| place_of(table.get_ref(), complaint.index, &complaint.field);
        line_of(text, table.as_ref().map_or(0, place))
    };
    complaints
        .iter()
        .map(|complaint| LineComplaint {
            line: line(complaint),
            field: complaint.field.clone(),
            message: complaint.reason.clone(),
        })
        .collect()
}

/// A table under `rules`, from 0.
fn rule_at<'t, 'i>(table: &'t DeTable<'i>, index: usize) -> Option<&'t Spanned<DeValue<'i>>> {
    match table.get("rules")?.get_ref() {
        DeValue::Array(rules) => rules.get(index),
        _ => None,
    }
}

/// Where a field of a rule stands, or the nearest thing around it that does; an offset into the text.
fn place_of(table: &DeTable<'_>, index: usize, field: &str) -> usize {
    let Some(rule) = rule_at(table, index) else { return 0 };
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

/// The text with another mode; `None` where it is laid out so that the mode cannot be put in by itself (a person can).
pub fn with_mode(text: &str, mode: Mode) -> Option<String> {
    let wanted = Rule { mode, ..read_one(text).ok()? };
    let written = format!("\"{}\"", mode.name());
    let changed = {
        let table = DeTable::parse(text).ok()?;
        let DeValue::Table(rule) = rule_at(table.get_ref(), 0)?.get_ref() else { return None };
        let span_of = |name: &str| rule.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value.span());
        if let Some(span) = span_of("mode") {
            format!("{}{written}{}", text.get(..span.start)?, text.get(span.end..)?)
        } else {
            let end = span_of("id")?.end;
            let end = end + text.get(end..)?.find('\n').unwrap_or(text.len() - end);
            format!("{}\nmode = {written}{}", text.get(..end)?, text.get(end..)?)
        }
    };
    // Whatever the layout was, nothing but the mode has changed.
    (read_one(&changed).ok()? == wanted).then_some(changed)
}

/// A rule as a text that reads as the same rule: a key a line, in the order of the documentation.
///
/// # Errors
/// Where TOML has no text for it. A rule that was read always has one.
pub fn written(rule: &Rule) -> Result<String, toml::ser::Error> {
    let table = toml::Table::try_from(rule)?;
    let mut text = String::from("[[rules]]\n");
    for key in RULE {
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
            let complaints = read_one(text).expect_err("refused");
            complaints.into_iter().map(|complaint| (complaint.line, complaint.field)).collect()
        };
        assert_eq!(lines("[[rules]]\nid = \"r\"\nwhen = {\n"), [(3, String::new())]);
        assert_eq!(lines(""), [(1, String::new())]);
        assert_eq!(lines(&format!("{RULE_TEXT}{RULE_TEXT}")), [(1, String::new())]);
        assert_eq!(
            lines("[[rules]]\nid = \"r\"\nwhen = { stat = \"Ready\" }\nthen = { tell = \"x\" }\nprio = 1\n"),
            [(5, "prio".to_owned()), (3, "when.stat".to_owned())]
        );
        assert_eq!(lines(&format!("id = 1 # {}", "x".repeat(LONGEST_RULE_TEXT))), [(1, String::new())]);
    }

    #[test]
    fn a_complaint_about_a_field_that_is_not_there_stands_at_what_is_around_it() {
        let complaint =
            |field: &str| RuleComplaint { index: 0, rule: None, field: field.to_owned(), reason: "wrong".to_owned() };
        let all = ["", "when.state", "when.shift.ended_for", "limit.share_of_team", "unless"].map(complaint);
        let lines: Vec<usize> = placed(RULE_TEXT, &all).into_iter().map(|complaint| complaint.line).collect();
        assert_eq!(lines, [2, 4, 4, 6, 2]);
        let tables =
            "[[rules]]\nid = \"r\"\n[rules.when]\nstate = \"Ready\"\nfor = \"x\"\n[rules.then]\ntell = \"x\"\n";
        assert_eq!(placed(tables, &[complaint("when.for")])[0].line, 5);
    }

    #[test]
    fn the_mode_is_changed_and_nothing_else() {
        let rule = read_one(RULE_TEXT).expect("sound");
        let enforced = with_mode(RULE_TEXT, Mode::Enforce).expect("laid out plainly");
        assert!(enforced.starts_with("# who overran\n"), "the comment stays: {enforced}");
        assert_eq!(read_one(&enforced).expect("sound"), Rule { mode: Mode::Enforce, ..rule.clone() });
        let back = with_mode(&enforced, Mode::Watch).expect("laid out plainly");
        assert_eq!(read_one(&back).expect("sound"), rule);
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
            let rule = read_one(text).expect("sound");
            let again = written(&rule).expect("has TOML");
            assert_eq!(read_one(&again).as_ref(), Ok(&rule), "{again}");
        }
    }
}
