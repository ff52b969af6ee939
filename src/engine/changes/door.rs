//! The one door through which people and systems ask for changes; rules use the same keeper behind it.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};
use utoipa::ToSchema;

use crate::domain::agents::state::AgentState;
use crate::domain::changes::policy::{OnContact, RefusedBy};
use crate::domain::changes::transition::Transition;
use crate::domain::ids::{AgentId, ReasonCode, TenantId, TransitionId};
use crate::engine::message::Message;
use crate::engine::operations::tenants::Tenants;
use crate::store::Trouble;

/// The most agents that one request may name.
pub const MOST_AGENTS_PER_REQUEST: usize = 10_000;

/// A wish of a person or a system: the same change for one agent or many.
#[derive(Clone, PartialEq, Debug)]
pub struct ChangeRequest {
    /// The agents.
    pub agents: Vec<AgentId>,
    /// The wanted state.
    pub target: AgentState,
    /// With this reason; the state's default when none is named.
    pub reason: Option<ReasonCode>,
    /// Whoever is in the state already gets the named reason too.
    pub even_if_in_state: bool,
    /// What to do when an agent is on a contact; the tenant's setting when it does not say.
    pub on_contact: Option<OnContact>,
    /// How long the change may wait; the tenant's setting when it does not say.
    pub deadline: Option<Duration>,
    /// A note, kept apart from the audit chain.
    pub note: Option<String>,
    /// Who asks, by the token's id.
    pub actor: Arc<str>,
    /// The answer is kept under this key, in the commit of the transitions; that the key is new is looked at before
    /// (`engine::changes::repeats`).
    pub idempotency: Option<IdempotencyKey>,
}

/// A key that makes a repeated request harmless.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdempotencyKey {
    /// The key as the client chose it, within the tenant and the token.
    pub key: String,
    /// SHA-256 over the request, to tell a repetition from another request under the same key.
    pub request_hash: [u8; 32],
}

/// What became of one agent of a request.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Taken {
    /// The transition; none where the agent is unknown.
    pub id: Option<TransitionId>,
    /// The agent.
    pub agent: AgentId,
    /// Where the transition stands; `refused` for an unknown agent.
    pub status: String,
    /// Why it is refused or held.
    pub error: Option<String>,
    /// Whose word a refusal by policy rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_by: Option<RefusedBy>,
    /// That nothing is sent where the agent is in the state already, and how to ask for the reason alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Why a request was not taken in at all.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DoorError {
    /// No such tenant.
    #[error("there is no tenant {0} in the configuration")]
    NoTenant(TenantId),
    /// The key was used for another request.
    #[error("the idempotency key was used for another request; choose a new one")]
    KeyReused,
    /// The platform cannot set that state.
    #[error("the platform of tenant {tenant} cannot set {state}; it can set {settable}")]
    NotSettable {
        /// The tenant.
        tenant: TenantId,
        /// The wanted state.
        state: AgentState,
        /// Those that can be set, by name.
        settable: String,
    },
    /// Too many agents at once.
    #[error("{asked} agents in one request; at most {MOST_AGENTS_PER_REQUEST} are taken")]
    TooMany {
        /// How many were named.
        asked: usize,
    },
    /// The store cannot be written; nothing was recorded.
    #[error("nothing was taken in, since it could not be recorded: {0}. Try again once /readyz is well")]
    NotRecordable(String),
    /// The keeper is busy, restarting or stopping; nothing was recorded. Try again.
    #[error("the daemon cannot take the request in just now; try again in a few seconds")]
    Unavailable,
}

/// Hands requests to the keepers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Door {
    tenants: Tenants,
    trouble: Option<watch::Receiver<Trouble>>,
}

impl Door {
    /// To the keepers of these tenants.
    pub const fn new(tenants: Tenants) -> Self {
        Self { tenants, trouble: None }
    }

    /// Turns requests away while the store cannot record them; they would wait until it can, and be carried out when who
    /// asked has long gone.
    #[must_use]
    pub fn closed_in(self, trouble: watch::Receiver<Trouble>) -> Self {
        Self { trouble: Some(trouble), ..self }
    }

    pub(in crate::engine) fn check_open(&self) -> Result<(), DoorError> {
        let trouble = self.trouble.as_ref().and_then(|trouble| trouble.borrow().commit.clone());
        trouble.map_or(Ok(()), |error| Err(DoorError::NotRecordable(error.to_string())))
    }

    /// The tenants behind it.
    pub const fn tenants(&self) -> &Tenants {
        &self.tenants
    }

    /// Takes a request in; answers once it is recorded.
    pub async fn request(&self, tenant: &TenantId, request: ChangeRequest) -> Result<Vec<Taken>, DoorError> {
        if request.agents.len() > MOST_AGENTS_PER_REQUEST {
            return Err(DoorError::TooMany { asked: request.agents.len() });
        }
        self.check_open()?;
        let (reply, answer) = oneshot::channel();
        self.send(tenant, Message::Request { request, reply }).await?;
        answer.await.unwrap_or(Err(DoorError::Unavailable))
    }

    /// Calls off what has not left; `None` for a transition that is unknown or past that.
    pub async fn cancel(
        &self,
        tenant: &TenantId,
        id: TransitionId,
        actor: Arc<str>,
    ) -> Result<Option<Transition>, DoorError> {
        self.check_open()?;
        let (reply, answer) = oneshot::channel();
        self.send(tenant, Message::Cancel { id, actor, reply }).await?;
        answer.await.map_err(|_| DoorError::Unavailable)
    }

    /// Tells a keeper that a schedule was imported.
    pub async fn schedule_changed(&self, tenant: &TenantId) -> Result<(), DoorError> {
        self.send(tenant, Message::ScheduleChanged).await
    }

    /// Hands a keeper something that changes what is stored; refused while the store cannot be written.
    pub(in crate::engine) async fn tell(&self, tenant: &TenantId, message: Message) -> Result<(), DoorError> {
        self.check_open()?;
        self.send(tenant, message).await
    }

    /// Hands a keeper a question.
    pub(in crate::engine) async fn look(&self, tenant: &TenantId, message: Message) -> Result<(), DoorError> {
        self.send(tenant, message).await
    }

    pub(in crate::engine) async fn send(&self, tenant: &TenantId, message: Message) -> Result<(), DoorError> {
        let link = self.tenants.link(tenant).ok_or_else(|| DoorError::NoTenant(tenant.clone()))?;
        link.inbox.send(message).await.map_err(|_| DoorError::Unavailable)
    }
}
