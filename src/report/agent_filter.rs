//! The agents that a report's filters select.

use std::collections::BTreeSet;

use super::document::ReportError;
use super::request::Request;
use crate::domain::ids::{AgentId, TeamName};
use crate::store::Reader;

/// The selected agents; `None` selects all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AgentFilter(Option<BTreeSet<AgentId>>);

impl AgentFilter {
    /// Reads the agents of the request's teams, by their current team, and the requested agents. If both are given,
    /// an agent must match both.
    pub async fn read(request: &Request, reader: &Reader) -> Result<Self, ReportError> {
        let filters = &request.filters;
        let named: Option<BTreeSet<AgentId>> =
            (!filters.agents.is_empty()).then(|| filters.agents.iter().cloned().collect());
        if filters.teams.is_empty() {
            return Ok(Self(named));
        }
        let all = reader.agents(&request.tenant).await?;
        let in_teams = all.into_iter().map(|stored| stored.agent).filter(|agent| {
            agent.team.as_ref().is_some_and(|team| filters.teams.contains(team))
                && named.as_ref().is_none_or(|named| named.contains(&agent.id))
        });
        Ok(Self(Some(in_teams.map(|agent| agent.id).collect())))
    }

    /// Returns a sentence for each team and agent in the request that does not exist.
    pub async fn notes(request: &Request, reader: &Reader) -> Result<Vec<String>, ReportError> {
        let filters = &request.filters;
        if filters.teams.is_empty() && filters.agents.is_empty() {
            return Ok(Vec::new());
        }
        let all = reader.agents(&request.tenant).await?;
        let is_empty_team = |team: &&TeamName| all.iter().all(|stored| stored.agent.team.as_ref() != Some(team));
        let is_unknown = |agent: &&AgentId| all.iter().all(|stored| stored.agent.id != **agent);
        let teams = filters.teams.iter().filter(is_empty_team).map(|team| format!("Nobody is in team {team}"));
        let agents = filters.agents.iter().filter(is_unknown).map(|agent| format!("There is no agent {agent}"));
        Ok(teams.chain(agents).collect())
    }

    /// Returns whether the agent is selected.
    pub fn matches(&self, agent: &AgentId) -> bool {
        self.0.as_ref().is_none_or(|named| named.contains(agent))
    }
}
