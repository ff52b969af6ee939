//! The words, shapes and colours of states, verdicts and activities. No colour stands alone: each comes with a shape
//! and a word.

use std::borrow::Cow;

use crate::domain::adherence::Verdict;
use crate::domain::agents::state::AgentState;

/// A word with the class that sets its colour and shape.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::http::console) struct Chip {
    /// The name in addresses and for the modules.
    pub(in crate::http::console) key: String,
    /// The class.
    pub(in crate::http::console) class: &'static str,
    /// The word.
    pub(in crate::http::console) label: String,
}

/// Returns a text with a capital first letter.
pub(in crate::http::console) fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Returns the class of a state.
const fn state_class(state: &AgentState) -> &'static str {
    match state {
        AgentState::Ready => "ready",
        AgentState::NotReady => "notready",
        AgentState::Paused => "paused",
        AgentState::Idle => "idle",
        AgentState::LoggedOut => "loggedout",
        AgentState::OnContact => "oncontact",
        AgentState::AfterContactWork => "wrapup",
        AgentState::Unknown(_) => "unknown",
    }
}

/// Returns the label of a state.
pub(in crate::http::console) fn state_label(state: &AgentState) -> String {
    match state {
        AgentState::NotReady => "Not ready".into(),
        AgentState::LoggedOut => "Logged out".into(),
        AgentState::OnContact => "On contact".into(),
        AgentState::AfterContactWork => "Wrap-up".into(),
        AgentState::Unknown(name) if &**name == "Unseen" => "Not observed".into(),
        AgentState::Unknown(name) if &**name == "OffRoster" => "Off the roster".into(),
        AgentState::Ready | AgentState::Paused | AgentState::Idle | AgentState::Unknown(_) => state.name().to_owned(),
    }
}

/// Returns the chip of a state.
pub(in crate::http::console) fn state(state: &AgentState) -> Chip {
    Chip { key: state.name().to_owned(), class: state_class(state), label: state_label(state) }
}

/// Returns the chip of a state that was not observed yet.
pub(in crate::http::console) fn no_state() -> Chip {
    Chip { key: String::new(), class: "unknown", label: "Not observed yet".to_owned() }
}

/// The verdicts, in the order in which pages offer them.
pub(in crate::http::console) const VERDICTS: [Verdict; 5] =
    [Verdict::Out, Verdict::In, Verdict::Neutral, Verdict::Unscheduled, Verdict::Unknown];

/// Returns the chip of a verdict.
pub(in crate::http::console) fn verdict(verdict: Verdict) -> Chip {
    let (class, label) = match verdict {
        Verdict::In => ("in", "In adherence"),
        Verdict::Out => ("out", "Out of adherence"),
        Verdict::Neutral => ("neutral", "Neutral"),
        Verdict::Unscheduled => ("unscheduled", "Not scheduled"),
        Verdict::Unknown => ("unknown", "Unknown"),
    };
    Chip { key: class.to_owned(), class, label: label.to_owned() }
}

/// Returns the label of an activity, by its name in messages.
pub(in crate::http::console) fn activity_label(name: &str) -> Cow<'_, str> {
    match name {
        "work" => "Work".into(),
        "break" => "Break".into(),
        "lunch" => "Lunch".into(),
        "meeting" => "Meeting".into(),
        "training" => "Training".into(),
        "off" => "Not on shift".into(),
        "uncovered" => "No schedule".into(),
        other => other.into(),
    }
}

/// Returns the class of an activity.
pub(in crate::http::console) fn activity_class(name: &str) -> &'static str {
    match name {
        "work" => "work",
        "break" => "break",
        "lunch" => "lunch",
        "meeting" => "meeting",
        "training" => "training",
        "off" => "off",
        "uncovered" => "uncovered",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_a_word_and_a_class_of_its_own() {
        let chips: std::collections::BTreeSet<_> = AgentState::KNOWN.iter().map(|known| state(known).class).collect();
        assert_eq!(chips.len(), AgentState::KNOWN.len());
        let unknown = state(&AgentState::Unknown("<b>Coffee</b>".into()));
        assert_eq!((unknown.class, unknown.label.as_str()), ("unknown", "<b>Coffee</b>"));
    }
}
