//! The calls of the published services: their methods, what they share with calls of the guides, and how they word
//! errors.

use serde::Serialize;
use serde_json::{Value, json};

use crate::sim::faults::Endpoint;
use crate::sim::wire::Problem;

/// A call of the published services (the dialect `incontact`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum PublishedCall {
    /// A token for an access key, at the user hub.
    KeyToken,
    /// A new token for a refresh token of the user hub.
    KeyRefresh,
    /// A token for an access key and a registered application, or for a refresh token.
    AppToken,
    Discovery,
    States,
    AgentStates,
    SetState,
    LogOut,
    Agents,
    Teams,
    TeamAgents,
    Codes,
    TeamCodes,
    SkillActivity,
    SkillSearch,
    StateHistory,
    AgentStateHistory,
    ScheduleExport,
    ServerTime,
}

impl PublishedCall {
    /// Returns the endpoint for faults, and the method.
    pub(in crate::sim) fn definition(self) -> (Endpoint, &'static str) {
        match self {
            Self::KeyToken | Self::KeyRefresh | Self::AppToken => (Endpoint::Token, "POST"),
            Self::Discovery => (Endpoint::Token, "GET"),
            Self::States | Self::AgentStates => (Endpoint::Snapshot, "GET"),
            Self::SetState | Self::LogOut => (Endpoint::State, "POST"),
            Self::Agents | Self::Teams | Self::TeamAgents => (Endpoint::Roster, "GET"),
            Self::Codes | Self::TeamCodes => (Endpoint::Codes, "GET"),
            Self::SkillActivity => (Endpoint::SkillData, "GET"),
            Self::SkillSearch => (Endpoint::SkillData, "POST"),
            Self::StateHistory | Self::AgentStateHistory => (Endpoint::History, "GET"),
            Self::ScheduleExport => (Endpoint::Schedule, "POST"),
            Self::ServerTime => (Endpoint::ServerTime, "GET"),
        }
    }

    /// Returns whether the call needs a token and uses the request budget.
    pub(in crate::sim) fn needs_token(self) -> bool {
        !matches!(self, Self::KeyToken | Self::KeyRefresh | Self::AppToken | Self::Discovery)
    }

    /// Returns whether the call requests a state.
    pub(in crate::sim) fn sets_state(self) -> bool {
        matches!(self, Self::SetState | Self::LogOut)
    }

    /// Returns the body of an error, as the services of this call word it.
    pub(in crate::sim) fn problem_body(self, problem: &Problem) -> Value {
        match self {
            Self::Codes | Self::TeamCodes => json!({ "errorCode": problem.code, "errorMessage": problem.message }),
            Self::ScheduleExport => json!({ "code": problem.code, "details": problem.message, "errors": [] }),
            _ => json!({ "error": problem.code, "error_description": problem.message }),
        }
    }
}

/// What became of an accepted request for a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Acceptance {
    /// It took effect at once.
    Applied,
    /// It will take effect after the contact, or after wrap-up.
    Next,
    /// It will take effect later because of a fault.
    Late,
    /// The agent is in this state already.
    Unchanged,
}

/// The reply to a call of the published services.
pub(in crate::sim) struct PublishedReply {
    pub(in crate::sim) status: u16,
    /// The body; `None` for an empty one.
    pub(in crate::sim) body: Option<Value>,
    /// What became of a request for a state.
    pub(in crate::sim) acceptance: Option<Acceptance>,
}

impl PublishedReply {
    /// Creates a reply with a body.
    pub(super) fn json(body: Value) -> Self {
        Self { status: 200, body: Some(body), acceptance: None }
    }

    /// Creates a reply without a body.
    pub(super) fn empty(status: u16, acceptance: Option<Acceptance>) -> Self {
        Self { status, body: None, acceptance }
    }
}
