//! The door to the outbox for people: what they ask of an endpoint is handed to its worker, which alone writes.
//!
//! An endpoint's inbox is there as long as the configuration names the endpoint. What is asked while a reload changes its worker waits
//! for the next one, for a while.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use utoipa::ToSchema;

use super::Endpoint;
use super::send::Attempt;
use crate::clock::RealTime;
use crate::domain::ids::{EndpointId, EventId, TenantId};
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::delivery::Standing;

/// How many wishes wait for a worker at most; who brings more waits.
pub(super) const INBOX: usize = 64;

/// How long a worker may take to take a wish in, in real time: one that a reload stops lets what is under way end first, which may
/// take [`super::DRAIN_REAL`].
const TAKEN_WITHIN_REAL: Duration = Duration::from_secs(10);

/// Why nothing was done.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OutboxError {
    /// No such endpoint for this tenant.
    #[error("there is no webhook {endpoint} for tenant {tenant} in the configuration")]
    NoEndpoint {
        /// The tenant.
        tenant: TenantId,
        /// The endpoint.
        endpoint: EndpointId,
    },
    /// No such event.
    #[error("there is no event {0}; it may have been let go by retention")]
    NoEvent(EventId),
    /// It has to wait for an earlier one.
    #[error(
        "event {event} waits behind an earlier one of the same agent; retry that one, or recover the whole webhook"
    )]
    Behind {
        /// The event.
        event: EventId,
    },
    /// The worker is busy, restarting or stopping; nothing was done. Try again.
    #[error("the daemon cannot take the request in just now; try again in a few seconds")]
    Unavailable,
}

/// What a recovery did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct Recovered {
    /// Deliveries that were parked and are tried again.
    pub revived: u64,
    /// Deliveries that wait now, those included.
    pub waiting: u64,
    /// Whether the endpoint had been disabled and is enabled again.
    pub enabled: bool,
}

/// What a retry did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct Retried {
    /// The event.
    pub event: EventId,
    /// Whether the endpoint had been disabled and is enabled again.
    pub enabled: bool,
}

pub(super) type Reply<T> = oneshot::Sender<Result<T, OutboxError>>;

/// One wish of a person.
#[derive(Debug)]
pub(super) enum Wish {
    Retry { event: EventId, actor: Arc<str>, reply: Reply<Retried> },
    Recover { since: UtcMicros, actor: Arc<str>, reply: Reply<Recovered> },
    Test { reply: Reply<Attempt> },
    Rest { reply: Reply<()>, over: oneshot::Receiver<()> },
}

/// The workers of a tenant rest as long as this is held: they have nothing in memory and under way. Then they read the store anew.
#[derive(Debug)]
pub struct Resting {
    _over: Vec<oneshot::Sender<()>>,
}

/// A wish on its way to a worker.
#[derive(Debug)]
pub(super) struct Handed {
    pub(super) wish: Wish,
    /// Fails when nobody waits for the worker any more: then nothing is to be done.
    taken: oneshot::Sender<()>,
}

impl Handed {
    /// The wish, if whoever asked still waits for it to be taken in.
    pub(super) fn take(self) -> Option<Wish> {
        self.taken.send(()).is_ok().then_some(self.wish)
    }
}

/// Where a worker finds what is asked of it. The worker that comes after it finds there what it left.
pub(super) type Wishes = Arc<tokio::sync::Mutex<mpsc::Receiver<Handed>>>;

/// What the attempts at an endpoint came to, since the endpoint is configured or the daemon was started.
#[derive(Debug, Default)]
pub struct DeliveryCounts {
    delivered: AtomicU64,
    failed: AtomicU64,
    parked: AtomicU64,
}

impl DeliveryCounts {
    /// Counts an attempt by what the delivery is after it.
    pub(super) fn note(&self, after: Standing) {
        let count = match after {
            Standing::Delivered { .. } => &self.delivered,
            Standing::Parked { .. } => &self.parked,
            Standing::New | Standing::Behind | Standing::Waiting { .. } => &self.failed,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// How many ended how: `delivered`, `failed` (to be tried again), `parked` (not tried any more).
    pub fn by_outcome(&self) -> [(&'static str, u64); 3] {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [("delivered", of(&self.delivered)), ("failed", of(&self.failed)), ("parked", of(&self.parked))]
    }
}

/// What there is of an endpoint as long as the configuration names it.
#[derive(Debug)]
struct Place {
    inbox: mpsc::Sender<Handed>,
    wishes: Wishes,
    counts: Arc<DeliveryCounts>,
}

type Inboxes = HashMap<(TenantId, EndpointId), Place>;

/// Hands wishes to the workers. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    inboxes: Arc<Mutex<Inboxes>>,
}

impl Outbox {
    fn inboxes(&self) -> MutexGuard<'_, Inboxes> {
        self.inboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The wishes for an endpoint, and where its attempts are counted.
    pub(super) fn open(&self, tenant: &TenantId, endpoint: &EndpointId) -> (Wishes, Arc<DeliveryCounts>) {
        let mut inboxes = self.inboxes();
        let place = inboxes.entry((tenant.clone(), endpoint.clone())).or_insert_with(|| {
            let (inbox, wishes) = mpsc::channel(INBOX);
            Place { inbox, wishes: Arc::new(tokio::sync::Mutex::new(wishes)), counts: Arc::default() }
        });
        (place.wishes.clone(), place.counts.clone())
    }

    /// What the attempts at an endpoint came to; none where the configuration does not name it.
    pub fn counts(&self, tenant: &TenantId, endpoint: &EndpointId) -> Option<Arc<DeliveryCounts>> {
        self.inboxes().get(&(tenant.clone(), endpoint.clone())).map(|place| place.counts.clone())
    }

    /// Opens an inbox for each of these endpoints, and shuts all others.
    pub fn keep(&self, endpoints: &[Arc<Endpoint>]) {
        let serves = |tenant: &TenantId, id: &EndpointId| {
            endpoints.iter().any(|endpoint| endpoint.id == *id && endpoint.tenants.contains(tenant))
        };
        self.inboxes().retain(|(tenant, id), _| serves(tenant, id));
        for endpoint in endpoints {
            for tenant in &endpoint.tenants {
                self.open(tenant, &endpoint.id);
            }
        }
    }

    /// The endpoints that serve a tenant, by id.
    pub fn endpoints(&self, tenant: &TenantId) -> Vec<EndpointId> {
        let mut ids: Vec<_> =
            self.inboxes().keys().filter(|(of, _)| of == tenant).map(|(_, endpoint)| endpoint.clone()).collect();
        ids.sort();
        ids
    }

    /// Sends one event again, from the first try on, and enables the endpoint if it was disabled.
    pub async fn retry(
        &self,
        tenant: &TenantId,
        endpoint: &EndpointId,
        event: EventId,
        actor: Arc<str>,
    ) -> Result<Retried, OutboxError> {
        self.ask(tenant, endpoint, |reply| Wish::Retry { event, actor, reply }).await
    }

    /// Tries again what was parked of events since an instant, tries what waits now, and enables the endpoint.
    pub async fn recover(
        &self,
        tenant: &TenantId,
        endpoint: &EndpointId,
        since: UtcMicros,
        actor: Arc<str>,
    ) -> Result<Recovered, OutboxError> {
        self.ask(tenant, endpoint, |reply| Wish::Recover { since, actor, reply }).await
    }

    /// Sends a test event to this endpoint alone, once, and says how that ended. Nothing is recorded.
    pub async fn test(&self, tenant: &TenantId, endpoint: &EndpointId) -> Result<Attempt, OutboxError> {
        self.ask(tenant, endpoint, |reply| Wish::Test { reply }).await
    }

    /// Lets all workers of a tenant rest, each once what it has under way is recorded.
    pub async fn rest(&self, tenant: &TenantId) -> Result<Resting, OutboxError> {
        let mut resting = Vec::new();
        for endpoint in self.endpoints(tenant) {
            let (end, over) = oneshot::channel();
            self.ask(tenant, &endpoint, |reply| Wish::Rest { reply, over }).await?;
            resting.push(end);
        }
        Ok(Resting { _over: resting })
    }

    async fn ask<T>(
        &self,
        tenant: &TenantId,
        endpoint: &EndpointId,
        wish: impl FnOnce(Reply<T>) -> Wish,
    ) -> Result<T, OutboxError> {
        let inbox = self.inboxes().get(&(tenant.clone(), endpoint.clone())).map(|place| place.inbox.clone());
        let inbox =
            inbox.ok_or_else(|| OutboxError::NoEndpoint { tenant: tenant.clone(), endpoint: endpoint.clone() })?;
        let (reply, answer) = oneshot::channel();
        let (taken, mut is_taken) = oneshot::channel();
        let mut limit = RealTime::sleep(TAKEN_WITHIN_REAL);
        let handed = async {
            inbox.send(Handed { wish: wish(reply), taken }).await.map_err(|_| OutboxError::Unavailable)?;
            (&mut is_taken).await.map_err(|_| OutboxError::Unavailable)
        };
        tokio::select! {
            handed = handed => handed?,
            () = &mut limit => {
                // From here on no worker can take it; one may have done so just now.
                is_taken.close();
                is_taken.try_recv().map_err(|_| OutboxError::Unavailable)?;
            }
        }
        answer.await.unwrap_or(Err(OutboxError::Unavailable))
    }
}
