//! The published services of the platform (the daemon's dialect `incontact`): tokens by access key, discovery, the
//! states of all agents, state changes, teams and their codes.
//!
//! It shares no code with the daemon's adapter, so that one checks the other. Each team has the same codes.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::agent::Agent;
use super::call::Call;
use super::platform_state::Tenant;
use super::state::SimState;
use super::wire::Problem;
use super::world::Refusal;
use crate::domain::time::UtcMicros;

use std::time::Duration;

/// The most rows of a page, whatever is asked for.
const MAX_PAGE_ROWS: usize = 1_000;

/// An unavailable code of every team.
#[derive(Clone, Copy, Debug)]
struct Code {
    id: i64,
    name: &'static str,
    /// The state that it stands for; `None` for one that no agent may be put into.
    state: Option<SimState>,
    is_active: bool,
    is_acw: bool,
}

const CODES: [Code; 5] = [
    Code { id: 11, name: "Meeting", state: Some(SimState::Unavailable), is_active: true, is_acw: false },
    Code { id: 12, name: "Break", state: Some(SimState::Paused), is_active: true, is_acw: false },
    Code { id: 13, name: "Away", state: Some(SimState::Idle), is_active: true, is_acw: false },
    Code { id: 14, name: "Old break", state: None, is_active: false, is_acw: false },
    Code { id: 19, name: "Wrap-up", state: None, is_active: true, is_acw: true },
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccessKey {
    access_key_id: String,
    access_key_secret: String,
}

/// Returns the key's id and secret in a token request of either kind.
pub(super) fn credentials(call: &Call) -> Option<(String, String)> {
    if let Some(form) = &call.form {
        return (form.grant_type == "password").then(|| (form.username.clone(), form.password.clone()));
    }
    let key: AccessKey = serde_json::from_slice(&call.body).ok()?;
    Some((key.access_key_id, key.access_key_secret))
}

/// Returns the answer with a token. The id token names the tenant, and nobody signs it.
pub(super) fn token_body(tenant: &Tenant, token: &str, lifetime: Duration) -> Value {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let id_token = format!("{}.{}.", part(&json!({ "alg": "none" })), part(&json!({ "tenantId": tenant.id })));
    json!({
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": lifetime.as_secs(),
        "id_token": id_token,
    })
}

/// Returns the answer of discovery.
pub(super) fn discovery_body(base_url: &str) -> Value {
    json!({
        "api_endpoint": base_url,
        "auth_endpoint": base_url,
        "ui_endpoint": base_url,
        "domain": "simulator.example",
        "uhDomain": "simulator.example",
    })
}

/// Returns the text of an instant.
fn instant(at: UtcMicros, skew_ms: i64) -> String {
    super::wire::instant_text(at, skew_ms)
}

fn number(call: &Call, name: &str) -> Option<usize> {
    call.query.get(name)?.parse().ok()
}

impl Tenant {
    /// Answers `GET /agents/states`: a page of all agents, or of those who changed since an instant.
    pub(super) fn agent_states(&self, call: &Call, skew_ms: i64) -> Result<Value, Problem> {
        let now = self.world.current_time();
        let since = match call.query.get("updatedSince") {
            None => UtcMicros::EPOCH,
            Some(text) => text.parse::<UtcMicros>().map_err(|_| Problem::bad("updatedSince is no instant"))?,
        };
        let roster = self.world.roster();
        let changed =
            self.world.agents().iter().enumerate().filter(|(_, agent)| agent.since.offset(skew_ms * 1000) >= since);
        let rows: Vec<Value> = changed.map(|(at, agent)| self.state_row(agent, &roster[at].name, skew_ms)).collect();
        let total = rows.len();
        let top = number(call, "top").unwrap_or(50).min(MAX_PAGE_ROWS);
        let page: Vec<Value> = rows.into_iter().skip(number(call, "skip").unwrap_or(0)).take(top).collect();
        Ok(json!({
            "totalRecords": total,
            "lastPollTime": instant(now, skew_ms),
            "agentStates": page,
        }))
    }

    fn state_row(&self, agent: &Agent, name: &str, skew_ms: i64) -> Value {
        let (id, state) = match agent.state {
            SimState::LoggedOut => (0, "LoggedOut"),
            SimState::Available => (1, "Available"),
            SimState::OnContact => (3, "InboundContact"),
            SimState::Unavailable | SimState::Paused | SimState::Idle | SimState::Acw => (2, "Unavailable"),
        };
        let code =
            CODES.iter().find(|code| code.state == Some(agent.state) || (code.is_acw && agent.state == SimState::Acw));
        let skill = agent.queue.and_then(|skill| self.world.skills().get(usize::from(skill)));
        let (first, last) = name.split_once(' ').unwrap_or((name, ""));
        let agent_id: Value =
            agent.profile.id.as_str().parse::<i64>().map_or_else(|_| agent.profile.id.as_str().into(), Value::from);
        json!({
            "agentId": agent_id,
            "agentStateId": id,
            "agentStateName": state,
            "isACW": agent.state == SimState::Acw,
            "outStateId": code.map_or(0, |code| code.id),
            "outStateDescription": code.map(|code| code.name),
            "skillName": skill.map(|skill| skill.name.as_ref()),
            "startDate": instant(agent.since, skew_ms),
            "lastUpdateTime": instant(agent.since, skew_ms),
            "teamId": team_number(&agent.profile.team),
            "teamName": agent.profile.team.as_ref(),
            "firstName": first,
            "lastName": last,
            "isActive": true,
        })
    }

    /// Carries out `POST /agents/{id}/state`. Whether an agent is scheduled or on a break is not the platform's concern
    /// here.
    pub(super) fn set_agent_state(&mut self, call: &Call, seq: u64, delay: Duration) -> Result<(), Problem> {
        let not_found = |text: &'static str| Problem::new(404, "NotFound", text);
        let agent = self.world.agent(&call.subject).ok_or_else(|| not_found("Agent not found"))?;
        let (state, is_on_contact) = (agent.state, matches!(agent.state, SimState::OnContact | SimState::Acw));
        if state == SimState::LoggedOut {
            return Err(not_found("Agent session not started"));
        }
        let wanted = match call.query.get("state").map(String::as_str) {
            Some("Available") => SimState::Available,
            Some("Unavailable") => {
                let code = call.query.get("outStateId").ok_or_else(|| Problem::bad("outStateId is missing"))?;
                let code: i64 = code.parse().map_err(|_| Problem::bad("outStateId must be an integer"))?;
                let code = CODES.iter().find(|known| known.id == code && known.is_active);
                let code = code.ok_or_else(|| Problem::bad("unknown unavailable code"))?;
                if code.is_acw && !is_on_contact {
                    return Err(Problem::new(409, "Conflict", "Invalid state"));
                }
                code.state.unwrap_or(SimState::Unavailable)
            }
            _ => return Err(Problem::bad("state must be Available or Unavailable")),
        };
        self.world.request_unchecked(&call.subject, wanted, seq, delay).map_err(|refusal| match refusal {
            Refusal::UnknownAgent => not_found("Agent not found"),
            Refusal::LoggedOut => not_found("Agent session not started"),
            Refusal::NotScheduled | Refusal::MandatoryBreak => Problem::new(409, "Conflict", "Invalid state"),
        })
    }

    /// Answers `GET /agents`.
    pub(super) fn agent_list(&self) -> Value {
        let now = self.world.current_time();
        let agents: Vec<Value> = self
            .world
            .agents()
            .iter()
            .zip(self.world.roster().iter())
            .map(|(agent, identity)| {
                let (first, last) = identity.name.split_once(' ').unwrap_or((&identity.name, ""));
                json!({
                    "agentId": agent.profile.id.as_str().parse::<i64>().ok(),
                    "userName": format!("{}@simulator.example", agent.profile.id),
                    "firstName": first,
                    "lastName": last,
                    "teamId": team_number(&identity.team),
                    "teamName": identity.team.as_ref(),
                    "isActive": true,
                    "timeZone": "UTC",
                })
            })
            .collect();
        json!({ "totalRecords": agents.len(), "hiddenAgents": 0, "lastPollTime": instant(now, 0), "agents": agents })
    }

    /// Answers `GET /teams`.
    pub(super) fn team_list(&self) -> Value {
        let names: std::collections::BTreeSet<&str> =
            self.world.roster().iter().map(|identity| &*identity.team).collect();
        let teams: Vec<Value> = names
            .into_iter()
            .map(|name| json!({ "teamId": team_number(name), "teamName": name, "isActive": true }))
            .collect();
        json!({ "totalRecords": teams.len(), "teams": teams })
    }
}

/// Returns the codes of a team.
pub(super) fn team_codes(team: &str) -> Value {
    let codes = CODES.map(|code| {
        json!({
            "outstateId": code.id,
            "outstateName": code.name,
            "isActive": code.is_active,
            "isAcw": code.is_acw,
            "agentTimeoutMins": "120",
        })
    });
    json!({ "teamId": team.parse::<u32>().ok(), "unavailableCodes": codes })
}

/// Returns the number of a team: its letter's place, else a number made of its name.
fn team_number(name: &str) -> u32 {
    match name.strip_prefix("Team ").map(str::as_bytes) {
        Some([letter @ b'A'..=b'Z']) => u32::from(letter - b'A') + 1,
        _ => name.bytes().fold(1_000, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)) % 100_000),
    }
}
