//! The request to erase an agent, and the reasons why it is refused.

use tokio::sync::oneshot;

use crate::domain::access::rights::Requester;
use crate::domain::agents::erasure::Erasure;
use crate::domain::ids::{AgentId, TenantId};

/// A request to erase an agent.
#[derive(Debug)]
pub struct ErasureRequest {
    /// The agent.
    pub agent: AgentId,
    /// Why, in the requester's words.
    pub reason: String,
    /// Who requests it.
    pub requester: Requester,
    /// Receives the erasure after the commit; if one is in progress for the agent, that one.
    pub reply: oneshot::Sender<Result<Erasure, ErasureError>>,
}

/// Why an agent cannot be erased.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ErasureError {
    /// There is no such agent.
    #[error(
        "there is no agent {0}; an erased agent is no longer known, but `shiftkeeper erase --list` shows past erasures"
    )]
    NoAgent(AgentId),
    /// The configuration names the agent, which would bring it back.
    #[error(
        "agent {agent} is in `agents` of tenant {tenant} in the configuration, which would bring the agent back: remove it \
         there, reload (`systemctl reload shiftkeeper`), and try again"
    )]
    InConfiguration {
        /// The agent.
        agent: AgentId,
        /// The tenant whose configuration names it.
        tenant: TenantId,
    },
    /// Waiting schedule files name the agent, which would bring it back.
    #[error(
        "schedule files that wait to be imported name agent {agent}, which would bring the agent back: remove the agent from {}, \
         and try again", .files.join(", ")
    )]
    NamedInFiles {
        /// The agent.
        agent: AgentId,
        /// The files.
        files: Vec<String>,
    },
}
