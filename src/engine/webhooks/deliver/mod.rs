//! Delivers the outbox: a worker per tenant and endpoint, so that one endpoint that is down slows no other.
//!
//! A worker reads events past its cursor as soon as they are committed, sends, and records every attempt. It keeps nothing that
//! the store does not have: a restart, a reload and a crash go the same way. The daemon's epoch is the lease of what is under
//! way. This room classifies nothing by itself ([`crate::domain::webhooks::delivery`] does) and knows nothing of HTTP ([`send`]).

mod clock_set;
mod connection;
pub mod guard;
mod line;
mod outbox;
pub mod send;
mod stream;
#[cfg(test)]
mod tests;
mod wishes;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use self::outbox::{DeliveryCounts, Outbox, OutboxError, Recovered, Resting, Retried};
use self::send::Post;
use self::stream::StreamParts;
use crate::clock::{SharedClock, SharedRandom};
use crate::domain::ids::{EndpointId, TenantId};
use crate::domain::webhooks::cloud_event::{EventFacts, cloud_event};
use crate::domain::webhooks::event::EventKind;
use crate::engine::operations::crew::Crew;
use crate::engine::operations::readiness::Readiness;
use crate::engine::operations::supervisor::{OnFailure, Supervisor};
use crate::store::{Commit, EndpointWrite, OutboxChange, Reader, StoredEvent, Writer};

/// How long a worker may take at a stop for what it has under way, in real time.
const DRAIN_REAL: Duration = Duration::from_secs(6);

/// An endpoint that has failed for so long is shown as failing.
pub const TOLD_AFTER: Duration = Duration::from_secs(60);

/// Makes the body that is sent of an event.
pub type Shape = fn(&TenantId, &StoredEvent) -> Bytes;

/// The body as it is stored: the shape of guide 003.
pub fn as_stored(_: &TenantId, event: &StoredEvent) -> Bytes {
    Bytes::copy_from_slice(event.body.as_bytes())
}

/// A `CloudEvents` envelope around it. A body that is not one of ours goes as it is: it can only be another version's.
pub fn as_cloud_event(tenant: &TenantId, event: &StoredEvent) -> Bytes {
    let facts = EventFacts {
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
            as_stored(tenant, event)
        }
    }
}

/// An endpoint as the workers take it. One that a reload leaves as it was stays the same `Arc`.
#[derive(Clone)]
pub struct Endpoint {
    /// Its name.
    pub id: EndpointId,
    /// Whose events it gets.
    pub tenants: Vec<TenantId>,
    /// Which kinds; all of them when there is no list.
    pub kinds: Option<BTreeSet<EventKind>>,
    /// Deliveries under way at once, for each tenant.
    pub concurrency: usize,
    /// The shape of the body.
    pub shape: Shape,
    /// What sends.
    pub sender: Arc<dyn Post>,
}

/// All endpoints.
pub type Endpoints = Arc<[Arc<Endpoint>]>;

/// What the outbox is made of.
#[derive(Clone)]
pub struct DeliverParts {
    /// The daemon's clock.
    pub clock: SharedClock,
    /// Jitter and ids.
    pub random: SharedRandom,
    /// The one writer.
    pub writer: Writer,
    /// The readers.
    pub reader: Reader,
    /// Where endpoints say how they are.
    pub readiness: Readiness,
    /// The way in for people.
    pub outbox: Outbox,
    /// The endpoints in force.
    pub endpoints: watch::Receiver<Endpoints>,
}

/// Makes endpoints known to the store that are not yet: they get what is committed from now on. People may ask for these endpoints
/// from then on, and for no others. `app` calls it before anything else runs, so that the daemon's own first events reach a new
/// endpoint too.
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
    parts.outbox.keep(endpoints);
    Ok(())
}

/// When a daemon stops: both are cancelled, the first at once, the second when nothing is left that makes events.
#[derive(Clone)]
struct Leaving {
    soft: CancellationToken,
    rest_ended: CancellationToken,
}

/// Runs the workers of all endpoints until `soft` is cancelled; follows what a reload brings. Then they go on for a little with
/// what is committed, until `rest_ended` is cancelled and nothing is left.
pub async fn run(parts: DeliverParts, soft: CancellationToken, rest_ended: CancellationToken) -> anyhow::Result<()> {
    let leaving = Leaving { soft: soft.clone(), rest_ended };
    let mut wanted = parts.endpoints.clone();
    let mut crew: Crew<EndpointId, Endpoint> = Crew::default();
    loop {
        let endpoints = wanted.borrow_and_update().clone();
        register(&parts, &endpoints).await?;
        let supervised = |endpoint: Arc<Endpoint>, stop| {
            tracing::info!(webhook = %endpoint.id, "delivering");
            supervise(parts.readiness.clone(), streams_of(&parts, &endpoint, &leaving), stop)
        };
        crew.follow(&endpoints, &soft, |endpoint| endpoint.id.clone(), supervised);
        tokio::select! {
            () = soft.cancelled() => break,
            changed = wanted.changed() => changed?,
            Some(ended) = crew.ended() => drop(ended?),
        }
    }
    crew.finish().await;
    Ok(())
}

/// What the workers of one endpoint are made of, one per tenant.
fn streams_of(parts: &DeliverParts, endpoint: &Arc<Endpoint>, leaving: &Leaving) -> Vec<Arc<StreamParts>> {
    let stream = |tenant: &TenantId| {
        let (wishes, counts) = parts.outbox.open(tenant, &endpoint.id);
        StreamParts {
            tenant: tenant.clone(),
            endpoint: endpoint.clone(),
            wishes,
            counts,
            shared: parts.clone(),
            leaving: leaving.clone(),
        }
    };
    endpoint.tenants.iter().map(|tenant| Arc::new(stream(tenant))).collect()
}

/// The workers of one endpoint, until they are stopped.
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
    readiness.forget(&names);
}
