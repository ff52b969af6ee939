//! Rules, as a file and as the text of one.

use shiftkeeper::domain::rules::rule::check::{Capabilities, check};
use shiftkeeper::domain::rules::rule::compile::RuleSet;
use shiftkeeper::domain::rules::rule::parse::parse_rules;
use shiftkeeper::domain::rules::rule::{Mode, rule_text};

/// Reads the bytes as TOML.
///
/// Rules compile exactly when nothing is wrong with them; a rule that was read is written as a text that reads as the same rule;
/// complaints stand at lines that there are.
pub fn read(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let lines = text.lines().count().max(1);
    if let Ok((rules, complaints)) = parse_rules(text) {
        let found = check(&rules, Capabilities::guide());
        let compiled = RuleSet::compile(&rules, Capabilities::guide());
        assert_eq!(compiled.is_ok(), found.is_empty(), "check and compile disagree: {found:?}");
        for placed in rule_text::locate_diagnostics(text, &[complaints, found].concat()) {
            assert!((1..=lines).contains(&placed.line) && !placed.message.trim().is_empty(), "{placed:?}");
        }
        for rule in &rules {
            if let Ok(text) = rule_text::to_rule_text(rule)
                && text.len() <= rule_text::MAX_RULE_TEXT_BYTES
            {
                // As text, since a share may be no number, which equals nothing; such a rule is refused above.
                let again = rule_text::parse_rule_text(&text).map(|again| format!("{again:?}"));
                assert_eq!(again, Ok(format!("{rule:?}")), "a rule does not read as itself: {text}");
            }
        }
    }
    match rule_text::parse_rule_text(text) {
        Ok(rule) => {
            if let Some(changed) = rule_text::with_mode(text, Mode::Watch) {
                let mode = rule_text::parse_rule_text(&changed).expect("it was read a moment ago");
                assert_eq!((mode.mode, mode.id), (Mode::Watch, rule.id));
            }
        }
        Err(complaints) => {
            assert!(!complaints.is_empty(), "refused without a complaint");
            let good = complaints.iter().all(|complaint| (1..=lines + 1).contains(&complaint.line));
            assert!(good, "{complaints:?}");
        }
    }
}
