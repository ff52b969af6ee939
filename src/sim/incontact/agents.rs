//! Agents and teams, as an administrator's lists have them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::domain::time::UtcMicros;
use crate::sim::agent::Agent;
use crate::sim::call::Call;
use crate::sim::platform_state::Tenant;
use crate::sim::random::RandomStream;
use crate::sim::wire::{self, Problem};

use super::codes::{Code, team_number};
use super::operations::PublishedReply;
use super::page::{flag_in_query, instant_in_query};
use super::trap::Trap;

/// Returns the id of an agent as the published services write it: a number, unless the agent's id is none.
pub(super) fn agent_number(agent: &Agent) -> Value {
    let id = agent.profile.id.as_str();
    id.parse::<i64>().map_or_else(|_| id.into(), Value::from)
}

/// Returns the number in a path.
fn team_in_path(call: &Call) -> Result<u32, Problem> {
    call.subject.parse().map_err(|_| Problem::bad("teamId must be an integer"))
}

impl Tenant {
    /// Returns the first and the last name of the agent at a position.
    pub(super) fn names_of(&self, place: usize) -> (&str, &str) {
        let name = self.world.roster().get(place).map_or("", |who| &*who.name);
        name.split_once(' ').unwrap_or((name, ""))
    }

    /// Returns the name of each team, by its number.
    pub(in crate::sim) fn teams(&self) -> BTreeMap<u32, Arc<str>> {
        self.world.roster().iter().map(|who| (team_number(&who.team), who.team.clone())).collect()
    }

    /// Returns the codes that an agent of any team can be put into.
    pub(in crate::sim) fn common_codes(&self) -> impl Iterator<Item = &Code> {
        let teams: Vec<u32> = self.teams().into_keys().collect();
        let codes: Vec<&Code> = self.published.codes.common_to(&teams).collect();
        codes.into_iter()
    }

    fn agent_row(&self, place: usize, agent: &Agent, skew_ms: i64) -> Option<Value> {
        let entry = self.published.roster.get(place).filter(|entry| !entry.is_hidden)?;
        let (first, last) = self.names_of(place);
        Some(json!({
            "agentId": agent_number(agent),
            "userID": self.published.user_ids.get(place),
            "userName": format!("{}@simulator.example", agent.profile.id),
            "emailAddress": format!("{}@simulator.example", agent.profile.id),
            "firstName": first,
            "lastName": last,
            "teamId": team_number(&agent.profile.team),
            "teamName": agent.profile.team.as_ref(),
            "isActive": entry.is_active,
            "timeZone": "UTC",
            "lastUpdated": wire::instant_text(entry.updated_at, skew_ms),
        }))
    }

    /// Answers `GET /agents` and `GET /teams/{id}/agents`.
    pub(super) fn agent_list(
        &mut self,
        call: &Call,
        only_team: Option<u32>,
        skew_ms: i64,
    ) -> Result<PublishedReply, Problem> {
        let since = instant_in_query(call, "updateSince")?.unwrap_or(UtcMicros::EPOCH);
        let active = flag_in_query(call, "isActive")?;
        let wanted = call.query.get("searchString").map(|text| text.to_lowercase());
        let listed = self.world.agents().iter().enumerate().filter(|(place, agent)| {
            let entry = self.published.roster.get(*place);
            only_team.is_none_or(|team| team == team_number(&agent.profile.team))
                && entry.is_some_and(|entry| {
                    entry.updated_at.offset(skew_ms * 1000) >= since
                        && active.is_none_or(|active| entry.is_active == active)
                })
                && wanted.as_ref().is_none_or(|wanted| agent.profile.name.to_lowercase().contains(wanted))
        });
        let rows: Vec<Value> = listed.filter_map(|(place, agent)| self.agent_row(place, agent, skew_ms)).collect();
        let hidden = self.published.roster.iter().filter(|entry| entry.is_hidden).count();
        let mut others = self.poll_time(skew_ms);
        others.insert("hiddenAgents".to_owned(), hidden.into());
        self.page(call, "agents", rows, others)
    }

    /// Answers `GET /teams/{id}/agents`.
    pub(super) fn team_agents(&mut self, call: &Call, skew_ms: i64) -> Result<PublishedReply, Problem> {
        let team = self.known_team(call)?;
        self.agent_list(call, Some(team), skew_ms)
    }

    fn known_team(&self, call: &Call) -> Result<u32, Problem> {
        let team = team_in_path(call)?;
        let known = self.teams().contains_key(&team);
        known.then_some(team).ok_or_else(|| Problem::new(404, "NotFound", "Team not found"))
    }

    fn team_uuid(&self, team: u32) -> String {
        RandomStream::for_path(u64::from(self.published.business_unit), &["team", &team.to_string()]).uuid()
    }

    /// Answers `GET /teams`. Teams never change, so that none has changed since the start.
    pub(super) fn team_list(&mut self, call: &Call) -> Result<PublishedReply, Problem> {
        let since = instant_in_query(call, "updateSince")?.unwrap_or(UtcMicros::EPOCH);
        let is_listed = flag_in_query(call, "isActive")? != Some(false);
        let teams = self.teams().into_iter().filter(|_| is_listed && since <= self.started_at);
        let row = |(number, name): (u32, Arc<str>)| {
            let agents = self.world.roster().iter().filter(|who| who.team == name).count();
            json!({
                "teamId": number,
                "teamUuid": self.team_uuid(number),
                "teamName": name,
                "isActive": true,
                "agentCount": agents,
            })
        };
        let rows = teams.map(row).collect();
        self.page(call, "teams", rows, Map::new())
    }

    /// Answers `GET /teams/{id}/unavailable-codes`.
    pub(super) fn team_codes(&mut self, call: &Call) -> Result<PublishedReply, Problem> {
        let team = self.known_team(call)?;
        let only_active = flag_in_query(call, "activeOnly")? == Some(true);
        let row = |code: &Code| {
            json!({
                "outstateId": code.id,
                "outstateName": code.name,
                "isActive": code.active,
                "isAcw": code.acw,
                "agentTimeoutMins": code.timeout_minutes.to_string(),
            })
        };
        let listed = self.published.codes.of_team(team).iter().filter(|code| code.active || !only_active);
        let codes: Vec<Value> = listed.map(row).collect();
        if codes.is_empty() && self.has(Trap::NoContent) {
            return Ok(PublishedReply::empty(204, None));
        }
        let body = json!({
            "teamId": team,
            "teamName": self.teams().get(&team),
            "teamUuid": self.team_uuid(team),
            "unavailableCodes": codes,
        });
        Ok(PublishedReply::json(self.spelled(body)))
    }

    /// Answers `GET /unavailable-codes`: each number once, though it may mean different things in two teams.
    pub(super) fn code_list(&mut self, call: &Call) -> Result<PublishedReply, Problem> {
        let active = flag_in_query(call, "isActive")?;
        let row = |code: &Code| {
            json!({
                "id": code.id,
                "name": code.name,
                "isActive": code.active,
                "isACW": code.acw,
                "agentTimeout": code.timeout_minutes,
            })
        };
        let all = self.published.codes.of_teams(self.teams().into_keys());
        let listed = all.into_iter().filter(|code| active.is_none_or(|active| code.active == active));
        let rows = listed.map(row).collect();
        self.page(call, "unavailableCodes", rows, Map::new())
    }
}
