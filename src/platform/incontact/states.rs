//! Agent states on the wire: which of our states a row stands for.

use crate::domain::agents::state::AgentState;
use crate::domain::agents::unavailable_codes::{CodeMap, UnavailableCode};
use crate::domain::ids::{ReasonCode, TeamName};
use crate::platform::text;

use super::wire::{HistoryRow, Scalar, StateRow};

/// What the platform's codes and settings make of a row's state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StateReading {
    /// The state of an agent in a dialer campaign.
    pub dialer: AgentState,
    /// The unavailable codes that stand for states.
    pub codes: CodeMap,
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
    /// Returns the state that a row of an agent of `team` stands for, or `None` if it names none. A state that is not
    /// known is kept by its name.
    pub(super) fn state_of(&self, row: &StateRow<'_>, team: Option<&TeamName>) -> Option<AgentState> {
        self.read(&row.state_id, &row.state_name, || {
            if row.is_acw.flag() == Some(true) {
                return Some(AgentState::AfterContactWork);
            }
            // Without a code there is no number, or 0; the platform's own codes are below zero.
            let mapped = row.out_state_id.integer().and_then(|code| self.codes.state(team, code));
            Some(mapped.cloned().unwrap_or(AgentState::NotReady))
        })
    }

    /// Returns the state that a row of the history stands for, or `None` if it names none or if nobody can say what its
    /// code stands for. Only the team's list of codes says what is after-contact work.
    pub(super) fn past_state_of(
        &self,
        row: &HistoryRow<'_>,
        team: Option<&TeamName>,
        codes: Option<&[UnavailableCode]>,
    ) -> Option<AgentState> {
        self.read(&row.state_id, &row.state_name, || {
            let Some(code) = row.out_state_id.integer().filter(|code| *code > 0) else {
                return Some(AgentState::NotReady);
            };
            let listed = codes.and_then(|codes| codes.iter().find(|listed| listed.code == code));
            match (listed, self.codes.state(team, code)) {
                (Some(listed), _) if listed.is_after_contact_work => Some(AgentState::AfterContactWork),
                (_, Some(mapped)) => Some(mapped.clone()),
                (Some(_), None) => Some(AgentState::NotReady),
                (None, None) => None,
            }
        })
    }

    /// Returns the reason of a state that a code of `team` stands for: the one that the mapping names, otherwise the
    /// name of the code.
    pub(super) fn reason_of(
        &self,
        state: &AgentState,
        (code, name): (&Scalar<'_>, &Scalar<'_>),
        team: Option<&TeamName>,
    ) -> Option<ReasonCode> {
        let code = code.integer().filter(|code| *code != 0 && state.is_not_ready())?;
        let named = || name.text().filter(|name| !name.is_empty()).map(|name| ReasonCode::new(text::truncated(name)));
        self.codes.reason(team, code).cloned().or_else(named)
    }

    /// Returns the state with a number or a name; `unavailable` says what an unavailable agent is in.
    fn read(
        &self,
        id: &Scalar<'_>,
        name: &Scalar<'_>,
        unavailable: impl FnOnce() -> Option<AgentState>,
    ) -> Option<AgentState> {
        let named = name.text().and_then(|name| NAMES.iter().position(|known| known.eq_ignore_ascii_case(name)));
        let number = id.integer().and_then(|number| usize::try_from(number).ok());
        Some(match number.filter(|number| *number < NAMES.len()).or(named) {
            Some(0) => AgentState::LoggedOut,
            Some(1) => AgentState::Ready,
            Some(2) => unavailable()?,
            Some(3..=6) => AgentState::OnContact,
            Some(7) => self.dialer.clone(),
            // A session begins as unavailable without a code.
            Some(8) => AgentState::NotReady,
            Some(_) | None => match name.text() {
                Some(name) => AgentState::Unknown(text::truncated(name).as_ref().into()),
                None => AgentState::Unknown(id.id()?.into()),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::domain::agents::unavailable_codes::CodeRule;

    #[test]
    fn every_state_has_a_reading() {
        let of_team = |team, state| CodeRule { state, team: Some(TeamName::new(team)), reason: None, code: 12 };
        let codes = CodeMap(vec![of_team("Care", AgentState::Paused), of_team("Sales", AgentState::Idle)]);
        let reading = StateReading { dialer: AgentState::OnContact, codes };
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
            assert_eq!(reading.state_of(&row, Some(&TeamName::new("Care"))), Some(expected), "{row:?}");
        }
        assert_eq!(reading.state_of(&StateRow::default(), None), None);
        let row = StateRow { state_id: Scalar::Integer(2), out_state_id: Scalar::Integer(12), ..StateRow::default() };
        assert_eq!(reading.state_of(&row, Some(&TeamName::new("Sales"))), Some(AgentState::Idle), "the same number");
        assert_eq!(reading.state_of(&row, None), Some(AgentState::NotReady));
    }

    #[test]
    fn the_reason_is_the_mappings_or_the_name_of_the_code() {
        let line = |team: &str, reason: Option<&str>| CodeRule {
            state: AgentState::Paused,
            team: Some(TeamName::new(team)),
            reason: reason.map(ReasonCode::new),
            code: 12,
        };
        let codes = CodeMap(vec![line("Care", Some("BREAK")), line("Sales", None)]);
        let reading = StateReading { dialer: AgentState::OnContact, codes };
        for (team, state, code, name, expected) in [
            ("Care", AgentState::Paused, 12, "Short break", Some("BREAK")),
            ("Sales", AgentState::Paused, 12, "Short break", Some("Short break")),
            ("Sales", AgentState::NotReady, -3, "Refused", Some("Refused")),
            ("Sales", AgentState::NotReady, 13, "", None),
            ("Sales", AgentState::NotReady, 0, "Left over", None),
            ("Care", AgentState::AfterContactWork, 12, "Wrap-up", None),
            ("Care", AgentState::OnContact, 12, "Short break", None),
            ("Care", AgentState::LoggedOut, 12, "Short break", None),
        ] {
            let shown = (&Scalar::Integer(code), &Scalar::Text(Cow::Borrowed(name)));
            let reason = reading.reason_of(&state, shown, Some(&TeamName::new(team)));
            assert_eq!(reason, expected.map(ReasonCode::new), "{team} {state} {code}");
        }
    }
}
