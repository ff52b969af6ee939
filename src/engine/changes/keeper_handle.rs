//! The interface through which people and systems request changes from keepers.

use std::sync::Arc;

use tokio::sync::{oneshot, watch};

use super::request::{ChangeRequest, KeeperError, MAX_AGENTS_PER_REQUEST, RequestedChange};
use crate::domain::changes::transition::Transition;
use crate::domain::ids::{TenantId, TransitionId};
use crate::engine::keeper_message::KeeperMessage;
use crate::engine::operations::tenants::Tenants;
use crate::store::StoreFailure;

/// Sends requests to the keepers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct KeeperHandle {
    tenants: Tenants,
    store_failure: Option<watch::Receiver<StoreFailure>>,
}

impl KeeperHandle {
    /// Creates a handle for the keepers of these tenants.
    pub const fn new(tenants: Tenants) -> Self {
        Self { tenants, store_failure: None }
    }

    /// Rejects write requests while the store cannot record them. Otherwise they would wait, and be carried out long
    /// after the requester has gone.
    #[must_use]
    pub fn with_store_watch(self, store_failure: watch::Receiver<StoreFailure>) -> Self {
        Self { store_failure: Some(store_failure), ..self }
    }

    pub(in crate::engine) fn check_store(&self) -> Result<(), KeeperError> {
        let failure = self.store_failure.as_ref().and_then(|trouble| trouble.borrow().commit.clone());
        failure.map_or(Ok(()), |error| Err(KeeperError::StoreUnavailable(error.to_string())))
    }

    /// Returns the tenants.
    pub const fn tenants(&self) -> &Tenants {
        &self.tenants
    }

    /// Requests state changes. Returns once they are recorded.
    pub async fn request_changes(
        &self,
        tenant: &TenantId,
        request: ChangeRequest,
    ) -> Result<Vec<RequestedChange>, KeeperError> {
        if request.agents.len() > MAX_AGENTS_PER_REQUEST {
            return Err(KeeperError::TooMany { asked: request.agents.len() });
        }
        self.ask_to_write(tenant, |reply| KeeperMessage::RequestChanges { request, reply }).await?
    }

    /// Cancels a transition that has not been sent; returns `None` if it is unknown or was already sent.
    pub async fn cancel_transition(
        &self,
        tenant: &TenantId,
        id: TransitionId,
        actor: Arc<str>,
    ) -> Result<Option<Transition>, KeeperError> {
        self.ask_to_write(tenant, |reply| KeeperMessage::CancelTransition { id, actor, reply }).await
    }

    /// Notifies a keeper that a schedule was imported.
    pub async fn notify_schedule_changed(&self, tenant: &TenantId) -> Result<(), KeeperError> {
        self.send(tenant, KeeperMessage::ScheduleChanged).await
    }

    /// Sends a keeper a request that changes stored data, and waits for the reply; fails while the store cannot be
    /// written.
    pub(in crate::engine) async fn ask_to_write<T>(
        &self,
        tenant: &TenantId,
        message: impl FnOnce(oneshot::Sender<T>) -> KeeperMessage,
    ) -> Result<T, KeeperError> {
        self.check_store()?;
        self.ask(tenant, message).await
    }

    /// Sends a keeper a request, and waits for the reply.
    pub(in crate::engine) async fn ask<T>(
        &self,
        tenant: &TenantId,
        message: impl FnOnce(oneshot::Sender<T>) -> KeeperMessage,
    ) -> Result<T, KeeperError> {
        let (reply, response) = oneshot::channel();
        self.send(tenant, message(reply)).await?;
        response.await.map_err(|_| KeeperError::Unavailable)
    }

    async fn send(&self, tenant: &TenantId, message: KeeperMessage) -> Result<(), KeeperError> {
        let link = self.tenants.link(tenant).ok_or_else(|| KeeperError::NoTenant(tenant.clone()))?;
        link.inbox.send(message).await.map_err(|_| KeeperError::Unavailable)
    }
}
