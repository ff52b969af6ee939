//! What the adapter knows of agents' teams and of the teams' codes, so that a code that cannot be set is refused without a
//! call.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::agents::state::AgentState;
use crate::domain::agents::unavailable_codes::{CodeMap, UnavailableCode, check_code};
use crate::domain::ids::{AgentId, ReasonCode, TeamName};
use crate::platform::directory::ListedTeam;
use crate::platform::error::Failure;

/// The directory as far as it is known.
#[derive(Debug, Default)]
pub(super) struct KnownDirectory(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    teams: HashMap<AgentId, TeamName>,
    /// The names of the teams by number.
    team_names: HashMap<String, TeamName>,
    codes: HashMap<TeamName, Arc<[UnavailableCode]>>,
    is_outdated: bool,
}

impl KnownDirectory {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the team in which an agent was seen.
    pub(super) fn record_team(&self, agent: &AgentId, team: &TeamName) {
        let mut known = self.lock();
        if known.teams.get(agent) != Some(team) {
            known.teams.insert(agent.clone(), team.clone());
        }
    }

    /// Records the codes of a team.
    pub(super) fn record_codes(&self, team: &ListedTeam, codes: &[UnavailableCode]) {
        let mut known = self.lock();
        known.team_names.insert(team.id.clone(), team.name.clone());
        known.codes.insert(team.name.clone(), codes.into());
        known.is_outdated = false;
    }

    /// Returns a team with its codes, if they are known: the one with this number, or without a number the one in which
    /// the agent was seen.
    pub(super) fn team(
        &self,
        number: Option<&str>,
        agent: &AgentId,
    ) -> (Option<TeamName>, Option<Arc<[UnavailableCode]>>) {
        let known = self.lock();
        let team = number.map_or_else(|| known.teams.get(agent), |number| known.team_names.get(number));
        (team.cloned(), team.and_then(|team| known.codes.get(team)).cloned())
    }

    /// Notes that the platform refused a code, so the lists may have changed.
    pub(super) fn mark_outdated(&self) {
        self.lock().is_outdated = true;
    }

    pub(super) fn is_outdated(&self) -> bool {
        self.lock().is_outdated
    }

    /// Returns the codes of the configuration that cannot be set in some team.
    pub(super) fn code_faults(&self, map: &CodeMap) -> Vec<String> {
        let known = self.lock();
        let mut faults: Vec<String> = known
            .codes
            .iter()
            .flat_map(|(team, codes)| {
                let faults = map.faults(team, codes).into_iter();
                faults.map(move |(line, fault)| format!("{team}: {line}, but {fault}"))
            })
            .collect();
        faults.sort();
        faults
    }

    /// Returns the code for a state of an agent, or why there is none that can be set.
    pub(super) fn code_for(
        &self,
        map: &CodeMap,
        agent: &AgentId,
        state: &AgentState,
        reason: &ReasonCode,
    ) -> Result<i64, Failure> {
        let known = self.lock();
        let team = known.teams.get(agent);
        let of_team = team.map_or_else(String::new, |team| format!(" in the team \"{team}\""));
        let refusal = |why: String| Failure::Unsupported { what: format!("set the state {state}{of_team}: {why}") };
        let code = map.code(team, state, reason).ok_or_else(|| {
            refusal("tenants.incontact.codes and team_codes have no unavailable code for it".to_owned())
        })?;
        match team.and_then(|team| known.codes.get(team)).map(|codes| check_code(code, codes)) {
            Some(Err(fault)) => Err(refusal(format!("its unavailable code is {code}, but {fault}"))),
            Some(Ok(_)) | None => Ok(code),
        }
    }
}
