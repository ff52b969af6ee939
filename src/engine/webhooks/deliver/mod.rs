//! Delivers the outbox, with a worker per tenant and endpoint, so that an endpoint that is down slows no other.
//!
//! A worker reads events after its cursor as soon as they are committed, sends them and records every attempt. It keeps
//! nothing that the store does not have: a restart, a reload and a crash are handled the same way. The daemon's epoch
//! is the lease of deliveries in progress. Results are classified in [`crate::domain::webhooks::delivery`], and HTTP is
//! confined to [`send`].

mod clock_changes;
mod connection;
mod delivery_queue;
pub mod guard;
mod outbox;
mod requests;
pub mod send;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use self::outbox::{DeliveryCounts, Outbox, OutboxError, OutboxPause, RecoveryResult, RetryResult};
use self::send::Post;
use self::stream::StreamParts;
use crate::clock::{SharedClock, SharedRandom};
use crate::domain::ids::{EndpointId, TenantId};
use crate::domain::webhooks::cloud_event::{EventMetadata, cloud_event};
use crate::domain::webhooks::event::EventKind;
use crate::engine::operations::readiness::Readiness;
use crate::engine::operations::supervisor::{OnFailure, Supervisor};
use crate::engine::operations::workers::WorkerSet;
use crate::store::{Commit, EndpointWrite, OutboxChange, Reader, StoredEvent, Writer};

/// How long a worker may take at a stop for deliveries in progress, in real time.
const DRAIN_REAL: Duration = Duration::from_secs(6);

/// How long an endpoint must have failed to be shown as failing.
pub const FAILING_AFTER: Duration = Duration::from_secs(60);

/// Formats the body sent for an event.
pub type BodyFormat = fn(&TenantId, &StoredEvent) -> Bytes;

/// Returns the body as stored, in the format of guide 003.
pub fn stored_body(_: &TenantId, event: &StoredEvent) -> Bytes {
    Bytes::copy_from_slice(event.body.as_bytes())
}

/// Returns the body in a `CloudEvents` envelope. A body that is not ours is sent unchanged; it can only be from another
/// version.
pub fn cloud_event_body(tenant: &TenantId, event: &StoredEvent) -> Bytes {
    let facts = EventMetadata {
        id: event.id,
        tenant,
        at: event.at,
        kind: event.kind,
        agent: event.agent.as_ref(),
        sequence: event.sequence,
    };
    match cloud_event(&facts, &event.body) {
        Ok(envelope) => envelope.into(),
        Err(error) => {
            tracing::error!(%tenant, event = %event.id, %error, "defect: an event has no envelope and goes as it is");
            stored_body(tenant, event)
        }
    }
}

/// An endpoint. A reload that does not change it keeps the same `Arc`.
#[derive(Clone)]
pub struct Endpoint {
    /// Its name.
    pub id: EndpointId,
    /// The tenants whose events it receives.
    pub tenants: Vec<TenantId>,
    /// The event kinds it receives; all of them if `None`.
    pub kinds: Option<BTreeSet<EventKind>>,
    /// The most deliveries at the same time, for each tenant.
    pub concurrency: usize,
    /// Formats the body.
    pub format_body: BodyFormat,
    /// The sender of its deliveries.
    pub sender: Arc<dyn Post>,
}

/// All endpoints.
pub type Endpoints = Arc<[Arc<Endpoint>]>;

/// The dependencies of delivery.
#[derive(Clone)]
pub struct DeliverParts {
    /// The daemon's clock.
    pub clock: SharedClock,
    /// The source of jitter and ids.
    pub random: SharedRandom,
    /// The store's writer.
    pub writer: Writer,
    /// The store's reader.
    pub reader: Reader,
    /// Where endpoints report their state.
    pub readiness: Readiness,
    /// The interface for people's requests.
    pub outbox: Outbox,
    /// The configured endpoints.
    pub endpoints: watch::Receiver<Endpoints>,
}

/// Registers endpoints that the store does not know yet; they receive what is committed from now on. People can use
/// these endpoints from then on, and no others. `app` calls this before anything else runs, so that the daemon's own
/// first events also reach a new endpoint.
pub async fn register(parts: &DeliverParts, endpoints: &Endpoints) -> anyhow::Result<()> {
    let mut change = OutboxChange::default();
    for endpoint in endpoints.iter() {
        for tenant in &endpoint.tenants {
            change.endpoints.push(EndpointWrite::Add {
                tenant: tenant.clone(),
                endpoint: endpoint.id.clone(),
                at: parts.clock.now(),
                sent_through: parts.reader.last_event_number(tenant).await?,
            });
        }
    }
    if !change.is_empty() {
        parts.writer.commit(Commit { outbox: change, ..Commit::default() }).await?;
    }
    parts.outbox.retain_endpoints(endpoints);
    Ok(())
}

/// The tokens cancelled when a daemon stops: the first at once, the second when nothing can produce events any more.
#[derive(Clone)]
struct ShutdownTokens {
    soft: CancellationToken,
    others_ended: CancellationToken,
}

/// Runs the workers of all endpoints until `soft` is cancelled, and follows reloads. Then the workers continue for a
/// short time with what is committed, until `others_ended` is cancelled and nothing is left.
pub async fn run(parts: DeliverParts, soft: CancellationToken, others_ended: CancellationToken) -> anyhow::Result<()> {
    let shutdown = ShutdownTokens { soft: soft.clone(), others_ended };
    let mut configured = parts.endpoints.clone();
    let mut workers: WorkerSet<EndpointId, Endpoint> = WorkerSet::default();
    loop {
        let endpoints = configured.borrow_and_update().clone();
        register(&parts, &endpoints).await?;
        let supervised = |endpoint: Arc<Endpoint>, stop| {
            tracing::info!(webhook = %endpoint.id, "delivering");
            supervise(parts.readiness.clone(), streams_of(&parts, &endpoint, &shutdown), stop)
        };
        workers.reconcile(&endpoints, &soft, |endpoint| endpoint.id.clone(), supervised);
        tokio::select! {
            () = soft.cancelled() => break,
            changed = configured.changed() => changed?,
            Some(ended) = workers.next_ended() => drop(ended?),
        }
    }
    workers.join_all().await;
    Ok(())
}

/// Returns the parts of one endpoint's workers, one per tenant.
fn streams_of(parts: &DeliverParts, endpoint: &Arc<Endpoint>, shutdown: &ShutdownTokens) -> Vec<Arc<StreamParts>> {
    let stream = |tenant: &TenantId| {
        let (requests, counts) = parts.outbox.open(tenant, &endpoint.id);
        StreamParts {
            tenant: tenant.clone(),
            endpoint: endpoint.clone(),
            requests,
            counts,
            shared: parts.clone(),
            shutdown: shutdown.clone(),
        }
    };
    endpoint.tenants.iter().map(|tenant| Arc::new(stream(tenant))).collect()
}

/// Runs the workers of one endpoint until they are stopped.
async fn supervise(readiness: Readiness, streams: Vec<Arc<StreamParts>>, stop: CancellationToken) {
    let mut supervisor = Supervisor::new(stop, readiness.clone());
    let mut names = Vec::new();
    for stream in streams {
        let part = stream.part();
        let name = part.clone();
        names.extend([format!("task {name}"), part]);
        supervisor.spawn(name, OnFailure::Restart, move |soft| stream::run(stream.clone(), soft));
    }
    supervisor.run(DRAIN_REAL).await;
    readiness.remove(&names);
}
