//! Agent states on the wire (sheet part 4): which of our states a row stands for.

use crate::domain::agents::state::AgentState;

use super::wire::StateRow;

/// What the platform's codes and settings make of a row's state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StateReading {
    /// The state of an agent in a dialer campaign.
    pub dialer: AgentState,
    /// Our state for each unavailable code.
    pub codes: Vec<(i64, AgentState)>,
}

impl Default for StateReading {
    fn default() -> Self {
        Self { dialer: AgentState::OnContact, codes: Vec::new() }
    }
}

/// The states by their number (source: v23 of the published documents, and the vendor's agent SDK).
const NAMES: [&str; 9] = [
    "LoggedOut",
    "Available",
    "Unavailable",
    "InboundContact",
    "OutboundContact",
    "InboundConsult",
    "OutboundConsult",
    "Dialer",
    "LoggedIn",
];

impl StateReading {
    /// Returns the state that a row stands for, or `None` if it names none. A state that is not known is kept by its
    /// name.
    pub(super) fn state_of(&self, row: &StateRow<'_>) -> Option<AgentState> {
        let named =
            row.state_name.text().and_then(|name| NAMES.iter().position(|known| known.eq_ignore_ascii_case(name)));
        let number = row.state_id.integer().and_then(|number| usize::try_from(number).ok());
        Some(match number.filter(|number| *number < NAMES.len()).or(named) {
            Some(0) => AgentState::LoggedOut,
            Some(1) => AgentState::Ready,
            Some(2) if row.is_acw.flag() == Some(true) => AgentState::AfterContactWork,
            Some(2) => self.unavailable(row.out_state_id.integer().unwrap_or(0)),
            Some(3..=6) => AgentState::OnContact,
            Some(7) => self.dialer.clone(),
            // A session begins as unavailable without a code.
            Some(8) => AgentState::NotReady,
            Some(_) | None => match row.state_name.text() {
                Some(name) => AgentState::Unknown(crate::platform::text::truncated(name).as_ref().into()),
                None => AgentState::Unknown(row.state_id.id()?.into()),
            },
        })
    }

    /// Returns the state of an unavailable agent with a code; 0 is no code. Codes below zero are the platform's own.
    fn unavailable(&self, code: i64) -> AgentState {
        let mapped = self.codes.iter().find(|(known, _)| *known == code).map(|(_, state)| state.clone());
        mapped.unwrap_or(AgentState::NotReady)
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::wire::Scalar;
    use super::*;

    #[test]
    fn every_state_has_a_reading() {
        let reading = StateReading { codes: vec![(12, AgentState::Paused)], ..StateReading::default() };
        let text = |text: &'static str| Scalar::Text(Cow::Borrowed(text));
        for (id, name, is_acw, code, expected) in [
            (Scalar::Integer(0), Scalar::Null, false, 0, AgentState::LoggedOut),
            (Scalar::Null, text("available"), false, 0, AgentState::Ready),
            (text("2"), text("Unavailable"), false, 0, AgentState::NotReady),
            (Scalar::Integer(2), text("Unavailable"), false, 12, AgentState::Paused),
            (Scalar::Integer(2), text("Unavailable"), false, -3, AgentState::NotReady),
            (Scalar::Integer(2), text("Unavailable"), true, 12, AgentState::AfterContactWork),
            (Scalar::Integer(5), text("InboundConsult"), false, 0, AgentState::OnContact),
            (Scalar::Integer(7), text("Dialer"), false, 0, AgentState::OnContact),
            (Scalar::Integer(8), text("LoggedIn"), false, 0, AgentState::NotReady),
            (Scalar::Integer(23), text("Preview"), false, 0, AgentState::Unknown("Preview".into())),
        ] {
            let row = StateRow {
                state_id: id,
                state_name: name,
                is_acw: Scalar::Flag(is_acw),
                out_state_id: Scalar::Integer(code),
                ..StateRow::default()
            };
            assert_eq!(reading.state_of(&row), Some(expected), "{row:?}");
        }
        assert_eq!(reading.state_of(&StateRow::default()), None);
    }
}
