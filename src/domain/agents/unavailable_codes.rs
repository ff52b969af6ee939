//! The unavailable codes of a platform that stand for states. A code belongs to a team and is made by the customer, so
//! the mapping is part of the configuration, and the same number may mean different things in two teams.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::state::AgentState;
use crate::domain::ids::{ReasonCode, TeamName};

/// An unavailable code in the platform's list of a team.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnavailableCode {
    /// Its number.
    pub code: i64,
    /// The name that agents see.
    pub name: Arc<str>,
    /// Whether it is in use.
    pub is_active: bool,
    /// Whether it stands for wrap-up, so that an agent without a contact cannot be put into it.
    pub is_after_contact_work: bool,
    /// The time after which the platform logs out an agent in this state, if it has one.
    pub timeout: Option<Duration>,
}

/// Why a code cannot be set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CodeFault {
    /// The team does not have it.
    Missing,
    /// It is switched off; its name.
    Inactive(Arc<str>),
    /// It stands for wrap-up; its name.
    AfterContactWork(Arc<str>),
}

impl fmt::Display for CodeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("the team does not have it"),
            Self::Inactive(name) => write!(f, "\"{name}\" is not active"),
            Self::AfterContactWork(name) => write!(f, "\"{name}\" is for after-contact work"),
        }
    }
}

/// Checks a code against the codes of a team.
pub fn check_code(code: i64, of_team: &[UnavailableCode]) -> Result<&UnavailableCode, CodeFault> {
    match of_team.iter().find(|known| known.code == code) {
        None => Err(CodeFault::Missing),
        Some(known) if !known.is_active => Err(CodeFault::Inactive(known.name.clone())),
        Some(known) if known.is_after_contact_work => Err(CodeFault::AfterContactWork(known.name.clone())),
        Some(known) => Ok(known),
    }
}

/// One line of the mapping.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CodeRule {
    /// The state that the code stands for.
    pub state: AgentState,
    /// The team whose code it is; every team if `None`.
    pub team: Option<TeamName>,
    /// The reason code for which it is used; every reason if `None`.
    pub reason: Option<ReasonCode>,
    /// The platform's number of the code.
    pub code: i64,
}

/// As in the configuration: `NotReady:TRAINING = 14`.
impl fmt::Display for CodeRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = self.reason.as_ref().map(|reason| format!(":{reason}")).unwrap_or_default();
        write!(f, "{}{reason} = {}", self.state, self.code)
    }
}

/// The mapping of a tenant.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CodeMap(pub Vec<CodeRule>);

impl CodeMap {
    /// Returns the lines that apply to `team` with a code that cannot be set there, and why.
    pub fn faults(&self, team: &TeamName, of_team: &[UnavailableCode]) -> Vec<(&CodeRule, CodeFault)> {
        let of_this = |line: &&CodeRule| match &line.team {
            Some(only) => only == team,
            // A line for the team comes before one for all.
            None => !self.0.iter().any(|other| {
                other.team.as_ref() == Some(team) && (&other.state, &other.reason) == (&line.state, &line.reason)
            }),
        };
        let lines = self.0.iter().filter(of_this);
        lines.filter_map(|line| Some((line, check_code(line.code, of_team).err()?))).collect()
    }

    /// Returns the code for a state of an agent of `team`. A line for the team comes before one for all teams, and then
    /// one for the reason before one for all reasons.
    pub fn code(&self, team: Option<&TeamName>, state: &AgentState, reason: &ReasonCode) -> Option<i64> {
        let matching = self.0.iter().filter(|line| {
            line.state == *state
                && line.team.as_ref().is_none_or(|only| Some(only) == team)
                && line.reason.as_ref().is_none_or(|only| only == reason)
        });
        // Of equals, the first line counts.
        matching.rev().max_by_key(|line| (line.team.is_some(), line.reason.is_some())).map(|line| line.code)
    }

    /// Returns the state that a code of `team` stands for, or `None` if it is not in the mapping.
    pub fn state(&self, team: Option<&TeamName>, code: i64) -> Option<&AgentState> {
        self.line(team, code).map(|line| &line.state)
    }

    /// Returns the reason that the mapping gives a code of `team`.
    pub fn reason(&self, team: Option<&TeamName>, code: i64) -> Option<&ReasonCode> {
        self.line(team, code)?.reason.as_ref()
    }

    /// Returns the line with a code. One for the team comes before one for all teams.
    fn line(&self, team: Option<&TeamName>, code: i64) -> Option<&CodeRule> {
        let matching =
            self.0.iter().filter(|line| line.code == code && line.team.as_ref().is_none_or(|only| Some(only) == team));
        matching.rev().max_by_key(|line| line.team.is_some())
    }

    /// Returns the states that have a code for some team.
    pub fn states(&self) -> impl Iterator<Item = AgentState> {
        AgentState::KNOWN.into_iter().filter(|state| self.0.iter().any(|line| line.state == *state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_is_missing_inactive_or_for_wrap_up_is_a_fault_of_its_team() {
        let code = |code, name: &str, is_active, is_after_contact_work| UnavailableCode {
            code,
            name: name.into(),
            is_active,
            is_after_contact_work,
            timeout: None,
        };
        let of_team =
            [code(12, "Break", true, false), code(14, "Old break", false, false), code(19, "Wrap", true, true)];
        let line =
            |team: Option<&str>, state, code| CodeRule { state, team: team.map(TeamName::new), reason: None, code };
        let map = CodeMap(vec![
            line(None, AgentState::Paused, 12),
            line(None, AgentState::NotReady, 11),
            line(None, AgentState::Idle, 99),
            line(Some("Care"), AgentState::NotReady, 14),
            line(Some("Care"), AgentState::Idle, 19),
            line(Some("Sales"), AgentState::Idle, 98),
        ]);
        let faults = |team: &str| -> Vec<String> {
            let faults = map.faults(&TeamName::new(team), &of_team);
            faults.into_iter().map(|(line, fault)| format!("{line}: {fault}")).collect()
        };
        assert_eq!(
            faults("Care"),
            ["NotReady = 14: \"Old break\" is not active", "Idle = 19: \"Wrap\" is for after-contact work"]
        );
        assert_eq!(
            faults("Sales"),
            ["NotReady = 11: the team does not have it", "Idle = 98: the team does not have it"]
        );
    }

    #[test]
    fn the_most_specific_line_decides() {
        let line = |team: Option<&str>, reason: Option<&str>, code| CodeRule {
            state: AgentState::NotReady,
            team: team.map(TeamName::new),
            reason: reason.map(ReasonCode::new),
            code,
        };
        let map = CodeMap(vec![
            line(None, None, 1),
            line(None, Some("BREAK"), 2),
            line(Some("Care"), None, 3),
            line(Some("Care"), Some("BREAK"), 4),
            line(None, None, 5),
        ]);
        let (care, sales) = (TeamName::new("Care"), TeamName::new("Sales"));
        for (team, reason, code) in [
            (None, "OTHER", 1),
            (None, "BREAK", 2),
            (Some(&sales), "BREAK", 2),
            (Some(&care), "OTHER", 3),
            (Some(&care), "BREAK", 4),
        ] {
            assert_eq!(map.code(team, &AgentState::NotReady, &ReasonCode::new(reason)), Some(code));
        }
        assert_eq!(map.code(None, &AgentState::Paused, &ReasonCode::new("BREAK")), None);
        assert_eq!(map.state(Some(&sales), 3), None, "a code of another team");
        assert_eq!(map.state(Some(&care), 3), Some(&AgentState::NotReady));
        assert_eq!(map.states().collect::<Vec<_>>(), [AgentState::NotReady]);
    }
}
