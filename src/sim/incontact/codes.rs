//! Unavailable codes: the reasons of an unavailable state. A customer makes them, and each team has its own list.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::ids::TenantId;
use crate::sim::state::SimState;

/// The timeout of a code unless it says otherwise, in minutes (source: the vendor's help).
const DEFAULT_TIMEOUT_MINUTES: u32 = 120;

/// An unavailable code of a team.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::sim) struct Code {
    pub(in crate::sim) id: i64,
    pub(in crate::sim) name: Arc<str>,
    /// The state that it stands for.
    pub(in crate::sim) state: SimState,
    pub(in crate::sim) active: bool,
    /// Whether it is for wrap-up, which nobody can be put into without a contact.
    pub(in crate::sim) acw: bool,
    pub(in crate::sim) timeout_minutes: u32,
}

impl Code {
    fn new(id: i64, name: &str, state: SimState) -> Self {
        let acw = state == SimState::Acw;
        Self { id, name: name.into(), state, active: true, acw, timeout_minutes: DEFAULT_TIMEOUT_MINUTES }
    }
}

/// A change of a code while the simulator runs; what is left out stays as it is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeScript {
    /// The tenant; the first one by default.
    pub tenant: Option<TenantId>,
    /// The name of the team; every team by default.
    pub team: Option<String>,
    /// The number of the code. A new number makes a new code.
    pub id: i64,
    /// The name.
    pub name: Option<String>,
    /// The state that it stands for: `unavailable`, `paused`, `idle` or `acw`.
    pub state: Option<SimState>,
    /// Whether it can be used.
    pub active: Option<bool>,
    /// How long an agent may stay in it, in minutes.
    pub timeout_minutes: Option<u32>,
    /// Removes the code.
    #[serde(default)]
    pub remove: bool,
}

/// The code that a row shows: its number and, unless it has been removed, its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sim) struct ShownCode {
    pub(in crate::sim) id: i64,
    pub(in crate::sim) name: Option<Arc<str>>,
}

/// The codes of a tenant.
#[derive(Debug)]
pub(in crate::sim) struct Codes {
    common: Vec<Code>,
    /// The lists of teams that differ from the common one, by the team's number.
    of_teams: BTreeMap<u32, Vec<Code>>,
    /// The list of every second team, if teams differ.
    varied: Option<Vec<Code>>,
}

impl Codes {
    /// Creates the codes. If `teams_differ`, those of teams with an even number mean other things.
    pub(in crate::sim) fn new(teams_differ: bool) -> Self {
        let inactive = Code { active: false, ..Code::new(14, "Old break", SimState::Paused) };
        let common = vec![
            Code::new(11, "Meeting", SimState::Unavailable),
            Code::new(12, "Break", SimState::Paused),
            Code::new(13, "Away", SimState::Idle),
            inactive,
            Code::new(19, "Wrap-up", SimState::Acw),
        ];
        let mut codes = Self { common, of_teams: BTreeMap::new(), varied: None };
        codes.set_teams_differ(teams_differ);
        codes
    }

    /// Sets whether the codes of every second team mean other things.
    pub(in crate::sim) fn set_teams_differ(&mut self, teams_differ: bool) {
        self.varied = teams_differ.then(|| {
            vec![
                Code::new(11, "Meeting", SimState::Unavailable),
                Code::new(12, "Training", SimState::Unavailable),
                Code::new(19, "Wrap-up", SimState::Acw),
                Code::new(112, "Break", SimState::Paused),
            ]
        });
    }

    /// Returns the codes of a team.
    pub(in crate::sim) fn of_team(&self, team: u32) -> &[Code] {
        let varied = || self.varied.as_ref().filter(|_| team.is_multiple_of(2));
        self.of_teams.get(&team).or_else(varied).unwrap_or(&self.common)
    }

    /// Returns one code of each number that any of `teams` has, by number.
    pub(in crate::sim) fn of_teams(&self, teams: impl IntoIterator<Item = u32>) -> Vec<&Code> {
        let mut all: BTreeMap<i64, &Code> = BTreeMap::new();
        for code in teams.into_iter().flat_map(|team| self.of_team(team)) {
            all.entry(code.id).or_insert(code);
        }
        all.into_values().collect()
    }

    /// Returns the active codes, but for wrap-up, that all of `teams` have for the same state.
    pub(in crate::sim) fn common_to(&self, teams: &[u32]) -> impl Iterator<Item = &Code> {
        let first = teams.first().map_or(&[][..], |team| self.of_team(*team));
        first.iter().filter(move |code| {
            let same = |other: &Code| other.active && !other.acw && (other.id, other.state) == (code.id, code.state);
            teams.iter().all(|team| self.of_team(*team).iter().any(same))
        })
    }

    /// Returns the code of an agent of a team: the one that a request named, or the first of the state.
    pub(in crate::sim) fn code(&self, team: u32, state: SimState, requested: Option<i64>) -> Option<&Code> {
        let list = self.of_team(team);
        match requested {
            Some(id) => list.iter().find(|code| code.id == id),
            None => list.iter().find(|code| code.active && code.state == state),
        }
    }

    /// As [`Codes::code`], for a row. A code that has been removed keeps its number.
    pub(in crate::sim) fn shown(&self, team: u32, state: SimState, requested: Option<i64>) -> Option<ShownCode> {
        let known = self.code(team, state, requested);
        let shown = known.map(|code| ShownCode { id: code.id, name: Some(code.name.clone()) });
        shown.or(requested.map(|id| ShownCode { id, name: None }))
    }

    /// Changes a code of one team, or of all of `teams`.
    pub(in crate::sim) fn apply(&mut self, script: &CodeScript, only: Option<u32>, teams: &[u32]) {
        match only {
            Some(team) => self.apply_to_team(script, team),
            None => teams.iter().for_each(|team| self.apply_to_team(script, *team)),
        }
    }

    fn apply_to_team(&mut self, script: &CodeScript, team: u32) {
        let mut list = self.of_team(team).to_vec();
        if script.remove {
            list.retain(|code| code.id != script.id);
        } else {
            let at = list.iter().position(|code| code.id == script.id).unwrap_or_else(|| {
                list.push(Code::new(script.id, &format!("Code {}", script.id), SimState::Unavailable));
                list.len() - 1
            });
            if let Some(code) = list.get_mut(at) {
                code.name = script.name.as_deref().map_or_else(|| code.name.clone(), Arc::from);
                code.state = script.state.unwrap_or(code.state);
                code.acw = code.state == SimState::Acw;
                code.active = script.active.unwrap_or(code.active);
                code.timeout_minutes = script.timeout_minutes.unwrap_or(code.timeout_minutes);
            }
        }
        self.of_teams.insert(team, list);
    }
}

/// Returns the number of a team: its letter's place, else a number made of its name.
pub(in crate::sim) fn team_number(name: &str) -> u32 {
    match name.strip_prefix("Team ").map(str::as_bytes) {
        Some([letter @ b'A'..=b'Z']) => u32::from(letter - b'A') + 1,
        _ => name.bytes().fold(1_000, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)) % 100_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn teams_can_differ_and_codes_can_change() {
        let mut codes = Codes::new(true);
        let name = |codes: &Codes, team, id| codes.code(team, SimState::Paused, id).map(|code| code.name.to_string());
        assert_eq!(
            (name(&codes, 1, Some(12)), name(&codes, 2, Some(12))),
            (Some("Break".into()), Some("Training".into()))
        );
        assert_eq!((name(&codes, 2, None), name(&codes, 2, Some(13))), (Some("Break".into()), None));
        assert_eq!(codes.of_teams([1, 2]).iter().map(|code| code.id).collect::<Vec<_>>(), [11, 12, 13, 14, 19, 112]);

        let script = |script: serde_json::Value| serde_json::from_value(script).expect("a script");
        codes.apply(&script(serde_json::json!({ "id": 12, "active": false })), Some(1), &[1, 2]);
        assert_eq!((name(&codes, 1, None), name(&codes, 1, Some(12))), (None, Some("Break".into())));
        codes.apply(&script(serde_json::json!({ "id": 12, "remove": true })), None, &[1, 2]);
        assert_eq!(codes.shown(2, SimState::Unavailable, Some(12)), Some(ShownCode { id: 12, name: None }));
        codes.apply(&script(serde_json::json!({ "id": 15, "name": "Lunch", "state": "paused" })), Some(1), &[1, 2]);
        assert_eq!((name(&codes, 1, None), name(&codes, 3, Some(15))), (Some("Lunch".into()), None));
    }

    #[test]
    fn a_team_has_one_number() {
        assert_eq!((team_number("Team A"), team_number("Team L")), (1, 12));
        assert_eq!(team_number("Care"), team_number("Care"));
        assert!(team_number("Care") != team_number("Sales") && team_number("Care") > 26);
    }
}
