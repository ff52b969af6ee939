//! The unavailable codes of a platform that stand for states. A code belongs to a team and is made by the customer, so
//! the mapping is part of the configuration, and the same number may mean different things in two teams.

use super::state::AgentState;
use crate::domain::ids::{ReasonCode, TeamName};

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

/// The mapping of a tenant.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CodeMap(pub Vec<CodeRule>);

impl CodeMap {
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

    /// Returns the state that a code of `team` stands for, or `None` if it is not in the mapping. A line for the team
    /// comes before one for all teams.
    pub fn state(&self, team: Option<&TeamName>, code: i64) -> Option<&AgentState> {
        let matching =
            self.0.iter().filter(|line| line.code == code && line.team.as_ref().is_none_or(|only| Some(only) == team));
        matching.rev().max_by_key(|line| line.team.is_some()).map(|line| &line.state)
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
