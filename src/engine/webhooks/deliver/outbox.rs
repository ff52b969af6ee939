//! The interface to the outbox for people: requests about an endpoint are passed to its worker, which is the only
//! writer.
//!
//! An endpoint's inbox exists as long as the endpoint is configured. A request made while a reload replaces the worker
//! waits for the next one, up to a time limit.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use utoipa::ToSchema;

use super::endpoint::Endpoint;
use super::send::Attempt;
use crate::clock::RealTime;
use crate::domain::ids::{EndpointId, EventId, TenantId};
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::delivery::DeliveryStatus;

/// The most requests that wait for a worker; further callers wait.
pub(super) const INBOX_CAPACITY: usize = 64;

/// How long a worker may take to accept a request, in real time. A worker that a reload stops first finishes deliveries
/// in progress, which may take [`super::DRAIN_REAL`].
const ACCEPT_TIMEOUT_REAL: Duration = Duration::from_secs(10);

/// Why a request was not carried out.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OutboxError {
    /// The tenant has no such endpoint.
    #[error("there is no webhook {endpoint} for tenant {tenant} in the configuration")]
    NoEndpoint {
        /// The tenant.
        tenant: TenantId,
        /// The endpoint.
        endpoint: EndpointId,
    },
    /// There is no such event.
    #[error("there is no event {0}; retention may have deleted it")]
    NoEvent(EventId),
    /// The event has to wait for an earlier one of the same agent.
    #[error("event {event} waits for an earlier event of the same agent; retry that one, or recover the whole webhook")]
    Blocked {
        /// The event.
        event: EventId,
    },
    /// The worker is busy, restarting or stopping. Nothing was done; try again.
    #[error("the daemon cannot accept the request at the moment; try again in a few seconds")]
    Unavailable,
}

/// The result of a recovery.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct RecoveryResult {
    /// The number of parked deliveries that will be retried.
    pub revived: u64,
    /// The number of deliveries that wait now, including those.
    pub waiting: u64,
    /// Whether the endpoint had been disabled and was enabled.
    pub enabled: bool,
}

/// The result of a resend.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct RetryResult {
    /// The id of the event.
    pub event: EventId,
    /// Whether the endpoint had been disabled and was enabled.
    pub enabled: bool,
}

pub(super) type Reply<T> = oneshot::Sender<Result<T, OutboxError>>;

/// A person's request.
#[derive(Debug)]
pub(super) enum OutboxRequest {
    Retry { event: EventId, actor: Arc<str>, reply: Reply<RetryResult> },
    Recover { since: UtcMicros, actor: Arc<str>, reply: Reply<RecoveryResult> },
    Test { reply: Reply<Attempt> },
    Pause { reply: Reply<()>, ended: oneshot::Receiver<()> },
}

/// Pauses all workers of a tenant as long as it exists: they have nothing in memory or in progress. Afterwards they
/// read the store again.
#[derive(Debug)]
pub struct OutboxPause {
    _ended: Vec<oneshot::Sender<()>>,
}

/// A request on its way to a worker.
#[derive(Debug)]
pub(super) struct QueuedRequest {
    pub(super) request: OutboxRequest,
    /// Closed when the caller no longer waits for the worker; nothing must be done then.
    accepted: oneshot::Sender<()>,
}

impl QueuedRequest {
    /// Returns the request if the caller still waits for it to be accepted.
    pub(super) fn accept(self) -> Option<OutboxRequest> {
        self.accepted.send(()).is_ok().then_some(self.request)
    }
}

/// The queue of requests to a worker. Its successor takes over what it left.
pub(super) type RequestQueue = Arc<tokio::sync::Mutex<mpsc::Receiver<QueuedRequest>>>;

/// The results of attempts at an endpoint, since the endpoint was configured or the daemon started.
#[derive(Debug, Default)]
pub struct DeliveryCounts {
    delivered: AtomicU64,
    failed: AtomicU64,
    parked: AtomicU64,
}

impl DeliveryCounts {
    /// Counts an attempt by the delivery's status after it.
    pub(super) fn record(&self, after: DeliveryStatus) {
        let count = match after {
            DeliveryStatus::Delivered { .. } => &self.delivered,
            DeliveryStatus::Parked { .. } => &self.parked,
            DeliveryStatus::New | DeliveryStatus::Blocked | DeliveryStatus::Waiting { .. } => &self.failed,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the numbers of attempts by outcome: `delivered`, `failed` (to be tried again) and `parked` (not tried
    /// again).
    pub fn by_outcome(&self) -> [(&'static str, u64); 3] {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [("delivered", of(&self.delivered)), ("failed", of(&self.failed)), ("parked", of(&self.parked))]
    }
}

/// What exists for an endpoint as long as it is configured.
#[derive(Debug)]
struct EndpointInbox {
    inbox: mpsc::Sender<QueuedRequest>,
    requests: RequestQueue,
    counts: Arc<DeliveryCounts>,
}

type Inboxes = HashMap<(TenantId, EndpointId), EndpointInbox>;

/// Passes requests to the workers. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    inboxes: Arc<Mutex<Inboxes>>,
}

impl Outbox {
    fn inboxes(&self) -> MutexGuard<'_, Inboxes> {
        self.inboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the request queue and the counts of an endpoint.
    pub(super) fn open(&self, tenant: &TenantId, endpoint: &EndpointId) -> (RequestQueue, Arc<DeliveryCounts>) {
        let mut inboxes = self.inboxes();
        let entry = inboxes.entry((tenant.clone(), endpoint.clone())).or_insert_with(|| {
            let (inbox, requests) = mpsc::channel(INBOX_CAPACITY);
            EndpointInbox { inbox, requests: Arc::new(tokio::sync::Mutex::new(requests)), counts: Arc::default() }
        });
        (entry.requests.clone(), entry.counts.clone())
    }

    /// Returns the counts of an endpoint; `None` if it is not configured.
    pub fn counts(&self, tenant: &TenantId, endpoint: &EndpointId) -> Option<Arc<DeliveryCounts>> {
        self.inboxes().get(&(tenant.clone(), endpoint.clone())).map(|place| place.counts.clone())
    }

    /// Opens an inbox for each of these endpoints and closes all others.
    pub fn retain_endpoints(&self, endpoints: &[Arc<Endpoint>]) {
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

    /// Returns the endpoints of a tenant, by id.
    pub fn endpoints(&self, tenant: &TenantId) -> Vec<EndpointId> {
        let mut ids: Vec<_> =
            self.inboxes().keys().filter(|(of, _)| of == tenant).map(|(_, endpoint)| endpoint.clone()).collect();
        ids.sort();
        ids
    }

    /// Resends one event, counting attempts from the first again, and enables the endpoint if it was disabled.
    pub async fn retry(
        &self,
        tenant: &TenantId,
        endpoint: &EndpointId,
        event: EventId,
        actor: Arc<str>,
    ) -> Result<RetryResult, OutboxError> {
        self.send_request(tenant, endpoint, |reply| OutboxRequest::Retry { event, actor, reply }).await
    }

    /// Tries parked deliveries of events since an instant again, tries waiting ones now, and enables the endpoint.
    pub async fn recover(
        &self,
        tenant: &TenantId,
        endpoint: &EndpointId,
        since: UtcMicros,
        actor: Arc<str>,
    ) -> Result<RecoveryResult, OutboxError> {
        self.send_request(tenant, endpoint, |reply| OutboxRequest::Recover { since, actor, reply }).await
    }

    /// Sends a test event to this endpoint only, once, and returns the result. Nothing is recorded.
    pub async fn test(&self, tenant: &TenantId, endpoint: &EndpointId) -> Result<Attempt, OutboxError> {
        self.send_request(tenant, endpoint, |reply| OutboxRequest::Test { reply }).await
    }

    /// Pauses all workers of a tenant, each after its deliveries in progress are recorded.
    pub async fn pause(&self, tenant: &TenantId) -> Result<OutboxPause, OutboxError> {
        let mut paused = Vec::new();
        for endpoint in self.endpoints(tenant) {
            let (end, ended) = oneshot::channel();
            self.send_request(tenant, &endpoint, |reply| OutboxRequest::Pause { reply, ended }).await?;
            paused.push(end);
        }
        Ok(OutboxPause { _ended: paused })
    }

    async fn send_request<T>(
        &self,
        tenant: &TenantId,
        endpoint: &EndpointId,
        request: impl FnOnce(Reply<T>) -> OutboxRequest,
    ) -> Result<T, OutboxError> {
        let inbox = self.inboxes().get(&(tenant.clone(), endpoint.clone())).map(|place| place.inbox.clone());
        let inbox =
            inbox.ok_or_else(|| OutboxError::NoEndpoint { tenant: tenant.clone(), endpoint: endpoint.clone() })?;
        let (reply, answer) = oneshot::channel();
        let (accepted, mut is_accepted) = oneshot::channel();
        let mut limit = RealTime::sleep(ACCEPT_TIMEOUT_REAL);
        let queued = async {
            inbox
                .send(QueuedRequest { request: request(reply), accepted })
                .await
                .map_err(|_| OutboxError::Unavailable)?;
            (&mut is_accepted).await.map_err(|_| OutboxError::Unavailable)
        };
        tokio::select! {
            handed = queued => handed?,
            () = &mut limit => {
                // From here on no worker can accept it; one may have done so just now.
                is_accepted.close();
                is_accepted.try_recv().map_err(|_| OutboxError::Unavailable)?;
            }
        }
        answer.await.unwrap_or(Err(OutboxError::Unavailable))
    }
}
