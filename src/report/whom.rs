//! Of whom a report is: the agents that its filters leave in.

use std::collections::BTreeSet;

use super::document::ReportError;
use super::request::Request;
use crate::domain::ids::{AgentId, TeamName};
use crate::store::Reader;

/// The agents that are in; none named is all of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Whom(Option<BTreeSet<AgentId>>);

impl Whom {
    /// Those of the request's teams, by the team that each is in now, and of its agents; who has to be in both where both are named.
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

    /// Teams and agents of the request that there are not, a sentence each.
    pub async fn notes(request: &Request, reader: &Reader) -> Result<Vec<String>, ReportError> {
        let filters = &request.filters;
        if filters.teams.is_empty() && filters.agents.is_empty() {
            return Ok(Vec::new());
        }
        let all = reader.agents(&request.tenant).await?;
        let nobody = |team: &&TeamName| all.iter().all(|stored| stored.agent.team.as_ref() != Some(team));
        let unknown = |agent: &&AgentId| all.iter().all(|stored| stored.agent.id != **agent);
        let teams = filters.teams.iter().filter(nobody).map(|team| format!("Nobody is in team {team}"));
        let agents = filters.agents.iter().filter(unknown).map(|agent| format!("There is no agent {agent}"));
        Ok(teams.chain(agents).collect())
    }

    /// Whether this agent is in.
    pub fn has(&self, agent: &AgentId) -> bool {
        self.0.as_ref().is_none_or(|named| named.contains(agent))
    }

    /// Those who are in, where not everybody is.
    pub const fn named(&self) -> Option<&BTreeSet<AgentId>> {
        self.0.as_ref()
    }
}
