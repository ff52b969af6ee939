//! The states of agents: reading them, requesting one, and logging agents out.

use std::time::Duration;

use serde_json::{Value, json};

use crate::domain::time::UtcMicros;
use crate::sim::agent::{Agent, StateRequest};
use crate::sim::call::Call;
use crate::sim::faults::FaultKind;
use crate::sim::platform_state::Tenant;
use crate::sim::state::SimState;
use crate::sim::wire::{self, Problem};
use crate::sim::world::Refusal;

use super::agents::agent_number;
use super::codes::{ShownCode, team_number};
use super::operations::{Acceptance, PublishedReply};
use super::page::instant_in_query;
use super::trap::Trap;

/// The number and name that a contact's row shows while its agent is about to be logged out (source: the vendor's
/// help).
const LOGOFF_PENDING: (i64, &str) = (-12, "LogoffPending");

/// Returns the number and the name of a state.
pub(super) fn state_on_wire(state: SimState) -> (i64, &'static str) {
    match state {
        SimState::LoggedOut => (0, "LoggedOut"),
        SimState::Available => (1, "Available"),
        SimState::OnContact => (3, "InboundContact"),
        SimState::Unavailable | SimState::Paused | SimState::Idle | SimState::Acw => (2, "Unavailable"),
    }
}

/// Returns whether the agent will be logged out after the contact. This can be seen, unlike other states to come.
fn is_logoff_pending(agent: &Agent) -> bool {
    agent.pending.is_some_and(|pending| pending.state == SimState::LoggedOut)
}

/// Returns when the agent's row changed last.
fn updated_at(agent: &Agent) -> UtcMicros {
    let pending = agent.pending.filter(|_| is_logoff_pending(agent));
    pending.map_or(agent.since, |pending| agent.since.max(pending.at))
}

fn not_found(text: &'static str) -> Problem {
    Problem::new(404, "NotFound", text)
}

/// Returns the number of a contact at the published services, from the place of its agent in the roster.
pub(super) fn contact_id(place: usize, contact: Option<u32>) -> Option<u64> {
    let place = u64::try_from(place).unwrap_or(u64::MAX);
    contact.map(|contact| place.saturating_add(1).saturating_mul(1_000_000).saturating_add(u64::from(contact)))
}

impl Tenant {
    /// Answers `GET /agents/states`: a page of all agents, or of those who changed since an instant.
    pub(super) fn agent_states(
        &mut self,
        call: &Call,
        skew_ms: i64,
        fault: Option<FaultKind>,
    ) -> Result<PublishedReply, Problem> {
        let since = instant_in_query(call, "updatedSince")?.unwrap_or(UtcMicros::EPOCH);
        let now = self.world.current_time();
        let seen = self.world.agents().iter().enumerate().filter(|(place, agent)| {
            !self.published.is_hidden(*place) && updated_at(agent).offset(skew_ms * 1000) >= since
        });
        let mut rows: Vec<Value> = seen.map(|(place, agent)| self.state_row(place, agent, skew_ms)).collect();
        if self.has(Trap::PollTimeInRows) {
            for row in &mut rows {
                row["lastPollTime"] = wire::instant_text(now, skew_ms).into();
            }
        }
        match fault {
            Some(FaultKind::Repeat) => rows.extend(rows.clone()),
            Some(FaultKind::MissingRows) => rows = rows.into_iter().step_by(2).collect(),
            Some(_) | None => {}
        }
        let rows = wire::with_garbled_values(rows, fault, "agentId", "agentStateId");
        let poll_time = self.poll_time(skew_ms);
        self.page(call, "agentStates", rows, poll_time)
    }

    /// Answers `GET /agents/{id}/states`, which has the time of the poll in its row.
    pub(super) fn one_agent_states(&mut self, call: &Call, skew_ms: i64) -> Result<PublishedReply, Problem> {
        let since = instant_in_query(call, "updatedSince")?.unwrap_or(UtcMicros::EPOCH);
        let place = self.seen_agent(&call.subject)?;
        let agent = self.world.agents().get(place).filter(|agent| updated_at(agent).offset(skew_ms * 1000) >= since);
        let row = agent.map(|agent| self.state_row(place, agent, skew_ms)).map(|mut row| {
            row["lastPollTime"] = wire::instant_text(self.world.current_time(), skew_ms).into();
            row
        });
        self.page(call, "agentStates", row.into_iter().collect(), serde_json::Map::new())
    }

    /// Returns the position of an agent on whom the account has a view.
    pub(super) fn seen_agent(&self, id: &str) -> Result<usize, Problem> {
        let place = self.world.position(id).ok_or_else(|| not_found("Agent not found"))?;
        if self.published.is_hidden(place) {
            return Err(Problem::new(403, "Forbidden", "no view on this agent"));
        }
        Ok(place)
    }

    /// Returns the code that an agent's row shows.
    fn shown_code(&self, agent: &Agent) -> Option<ShownCode> {
        if is_logoff_pending(agent) {
            let (id, name) = LOGOFF_PENDING;
            return Some(ShownCode { id, name: Some(name.into()) });
        }
        self.published.codes.shown(team_number(&agent.profile.team), agent.state, agent.labels.code)
    }

    fn state_row(&self, place: usize, agent: &Agent, skew_ms: i64) -> Value {
        let (id, state) = state_on_wire(agent.state);
        let code = self.shown_code(agent);
        let skill = agent.labels.queue.and_then(|skill| self.world.skills().get(usize::from(skill)));
        let (first, last) = self.names_of(place);
        let is_with_contact = matches!(agent.state, SimState::OnContact | SimState::Acw);
        json!({
            "agentId": agent_number(agent),
            "agentStateId": id,
            "agentStateName": state,
            "agentStateCategory": state,
            "isACW": agent.state == SimState::Acw,
            "isActive": self.published.roster.get(place).is_some_and(|entry| entry.is_active),
            "isOutbound": false,
            "contactId": contact_id(place, agent.labels.contact),
            "contactStartHandleTime": (agent.state == SimState::OnContact)
                .then(|| wire::instant_text(agent.since, skew_ms)),
            "openContacts": i64::from(agent.state == SimState::OnContact),
            "outStateId": code.as_ref().map_or(0, |code| code.id),
            "outStateDescription": code.and_then(|code| code.name),
            "skillId": skill.map(|skill| skill.id),
            "skillName": skill.map(|skill| skill.name.as_ref()),
            "mediaTypeId": is_with_contact.then_some(4),
            "mediaTypeName": is_with_contact.then_some("Phone Call"),
            "startDate": wire::instant_text(agent.since, skew_ms),
            "lastUpdateTime": wire::instant_text(updated_at(agent), skew_ms),
            "teamId": team_number(&agent.profile.team),
            "teamName": agent.profile.team.as_ref(),
            "firstName": first,
            "lastName": last,
            "userName": format!("{}@simulator.example", agent.profile.id),
            "businessUnitId": self.published.business_unit,
        })
    }

    /// Carries out `POST /agents/{id}/state`. Whether an agent is scheduled or on a break is not the platform's concern
    /// here.
    pub(super) fn set_agent_state(
        &mut self,
        call: &Call,
        seq: u64,
        delay: Duration,
    ) -> Result<PublishedReply, Problem> {
        let agent = self.logged_in_agent(&call.subject)?;
        let team = team_number(&agent.profile.team);
        let (state, code) = self.requested_state(call, agent, team)?;
        let mut through_wrap_up = !self.has(Trap::WrapUpEndsAtOnce);
        if state == SimState::Acw {
            // A code of wrap-up is where the contact leads to.
            through_wrap_up = false;
        }
        let is_shown = agent.state == state
            && self.published.codes.shown(team, agent.state, agent.labels.code).map(|shown| shown.id) == code;
        if is_shown && agent.pending.is_none() {
            return Ok(PublishedReply::empty(200, Some(Acceptance::Unchanged)));
        }
        let request = StateRequest { seq, state, code, through_wrap_up, at: self.world.current_time() };
        self.send_request(call, request, delay, 200)
    }

    /// Carries out `POST /agents/{id}/logout`.
    pub(super) fn log_agent_out(&mut self, call: &Call, seq: u64, delay: Duration) -> Result<PublishedReply, Problem> {
        self.logged_in_agent(&call.subject)?;
        let (state, at) = (SimState::LoggedOut, self.world.current_time());
        self.send_request(call, StateRequest { seq, state, code: None, through_wrap_up: true, at }, delay, 202)
    }

    fn logged_in_agent(&self, id: &str) -> Result<&Agent, Problem> {
        let place = self.seen_agent(id)?;
        let agent = self.world.agents().get(place).ok_or_else(|| not_found("Agent not found"))?;
        if agent.state == SimState::LoggedOut {
            return Err(not_found("Agent session not started"));
        }
        Ok(agent)
    }

    /// Returns the state that a request names, and its code.
    fn requested_state(&self, call: &Call, agent: &Agent, team: u32) -> Result<(SimState, Option<i64>), Problem> {
        let argument = |name: &str| -> Option<String> {
            if !self.has(Trap::StateInBody) {
                return call.query.get(name).cloned();
            }
            let body: Value = serde_json::from_slice(&call.body).ok()?;
            let value = body.get(name)?;
            Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        };
        match argument("state").as_deref() {
            Some("Available") => Ok((SimState::Available, None)),
            Some("Unavailable") => {
                let Some(text) = argument("outStateId").filter(|text| text.trim() != "0") else {
                    return Ok((SimState::Unavailable, None));
                };
                let id: i64 = text.parse().map_err(|_| Problem::bad("outStateId must be an integer"))?;
                let code = self.published.codes.of_team(team).iter().find(|code| code.id == id && code.active);
                let code = code.ok_or_else(|| Problem::bad("Invalid outStateId"))?;
                if code.acw && !matches!(agent.state, SimState::OnContact | SimState::Acw) {
                    return Err(Problem::new(409, "Conflict", "Invalid state"));
                }
                Ok((code.state, Some(id)))
            }
            _ => Err(Problem::bad("state must be Available or Unavailable")),
        }
    }

    fn send_request(
        &mut self,
        call: &Call,
        request: StateRequest,
        delay: Duration,
        status: u16,
    ) -> Result<PublishedReply, Problem> {
        let waits = self.world.agent(&call.subject).is_some_and(|agent| agent.would_wait(request.through_wrap_up));
        let acceptance = match (delay.is_zero(), waits) {
            (false, _) => Acceptance::Late,
            (true, true) => Acceptance::Next,
            (true, false) => Acceptance::Applied,
        };
        self.world.request_unchecked(&call.subject, request, delay).map_err(|refusal| match refusal {
            Refusal::UnknownAgent => not_found("Agent not found"),
            Refusal::LoggedOut => not_found("Agent session not started"),
            Refusal::NotScheduled | Refusal::MandatoryBreak => Problem::new(409, "Conflict", "Invalid state"),
        })?;
        Ok(PublishedReply::empty(status, Some(acceptance)))
    }
}
