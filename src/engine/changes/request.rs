//! A request for state changes, the reply to it, and the reasons why a keeper accepts no request.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::agents::state::AgentState;
use crate::domain::changes::policy::{OnContact, RefusedBy};
use crate::domain::changes::transition::Transition;
use crate::domain::ids::{AgentId, ReasonCode, TenantId, TransitionId};

/// The largest number of agents in one request.
pub const MAX_AGENTS_PER_REQUEST: usize = 10_000;

/// A request by a person or a system for the same change of one or more agents.
#[derive(Clone, PartialEq, Debug)]
pub struct ChangeRequest {
    /// The agents.
    pub agents: Vec<AgentId>,
    /// The wanted state.
    pub target: AgentState,
    /// The reason code; `None` means the state's default.
    pub reason: Option<ReasonCode>,
    /// Whether agents that are already in the state get the named reason too.
    pub even_if_in_state: bool,
    /// What to do if an agent is on a contact; `None` means the tenant's setting.
    pub on_contact: Option<OnContact>,
    /// How long the change may wait; `None` means the tenant's setting.
    pub deadline: Option<Duration>,
    /// A note, stored apart from the audit chain.
    pub note: Option<String>,
    /// The requester, by the token's id.
    pub actor: Arc<str>,
    /// The key under which the response is stored, in the commit of the transitions. `engine::changes::idempotency` has
    /// checked before that the key is new.
    pub idempotency: Option<IdempotencyKey>,
}

/// A key that makes repeating a request safe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdempotencyKey {
    /// The key as chosen by the client, unique within the tenant and the token.
    pub key: String,
    /// The SHA-256 hash of the request, which detects another request under the same key.
    pub request_hash: [u8; 32],
}

/// The result of a request for one agent.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct RequestedChange {
    /// The id of the transition; null if the agent is unknown.
    pub id: Option<TransitionId>,
    /// The id of the agent.
    pub agent: AgentId,
    /// The status of the transition; `refused` if the agent is unknown.
    pub status: String,
    /// Why the transition was refused or is held; null if it is neither.
    pub error: Option<String>,
    /// The source of a refusal by policy; null if policy did not refuse it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_by: Option<RefusedBy>,
    /// A hint that nothing is sent because the agent is already in the state, and how to set only the reason code; null
    /// otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Why a request was not accepted.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeeperError {
    /// There is no such tenant.
    #[error("there is no tenant {0} in the configuration")]
    NoTenant(TenantId),
    /// The key was already used for another request.
    #[error("the idempotency key was used for another request; choose a new one")]
    KeyReused,
    /// The platform cannot set the wanted state.
    #[error("the platform of tenant {tenant} cannot set {state}; it can set {settable}")]
    NotSettable {
        /// The tenant.
        tenant: TenantId,
        /// The wanted state.
        state: AgentState,
        /// The names of the states that can be set.
        settable: String,
    },
    /// The request names too many agents.
    #[error("{asked} agents in one request; the limit is {MAX_AGENTS_PER_REQUEST}")]
    TooMany {
        /// How many agents were named.
        asked: usize,
    },
    /// The store cannot be written; nothing was recorded.
    #[error(
        "the request could not be recorded, and nothing was changed: {0}. Try again when /readyz shows that the store is ready"
    )]
    StoreUnavailable(String),
    /// The keeper is busy, restarting or stopping; nothing was recorded. The request can be repeated.
    #[error("the daemon cannot accept the request at the moment; try again in a few seconds")]
    Unavailable,
}

/// Describes what holds a transition or ended it, for the requester.
pub(in crate::engine) fn describe_obstacle(transition: &Transition) -> Option<String> {
    let detail = transition.outcome_text();
    match (transition.violation, detail) {
        (Some(violation), Some(detail)) if detail != violation.code() => Some(format!("{violation}: {detail}")),
        (Some(violation), _) => Some(violation.code().to_owned()),
        (None, detail) => detail,
    }
}
