//! Delivers the outbox, with a worker per tenant and endpoint, so that an endpoint that is down slows no other.
//!
//! A worker reads events after its cursor as soon as they are committed, sends them and records every attempt. It keeps
//! nothing that the store does not have: a restart, a reload and a crash are handled the same way. The daemon's epoch
//! is the lease of deliveries in progress. Results are classified in [`crate::domain::webhooks::delivery`], and HTTP is
//! confined to [`send`].

mod clock_changes;
mod connection;
mod delivery_queue;
mod endpoint;
pub mod guard;
mod outbox;
mod parts;
mod requests;
pub mod send;
mod stream;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use self::endpoint::{BodyFormat, Endpoint, Endpoints, FAILING_AFTER, cloud_event_body, stored_body};
pub use self::outbox::{DeliveryCounts, Outbox, OutboxError, OutboxPause, RecoveryResult, RetryResult};
pub use self::parts::DeliverParts;
use self::parts::{ShutdownTokens, StreamParts};
use crate::domain::ids::{EndpointId, TenantId};
use crate::engine::operations::readiness::Readiness;
use crate::engine::operations::supervisor::{OnFailure, Supervisor};
use crate::engine::operations::workers::WorkerSet;
use crate::store::{Commit, EndpointWrite, OutboxChange};

/// How long a worker may take at a stop for deliveries in progress, in real time.
const DRAIN_REAL: Duration = Duration::from_secs(6);

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
