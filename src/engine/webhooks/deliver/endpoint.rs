//! The endpoints that receive events, and the formats of what is sent to them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::send::Post;
use crate::domain::ids::{EndpointId, TenantId};
use crate::domain::webhooks::cloud_event::{EventMetadata, cloud_event};
use crate::domain::webhooks::event::EventKind;
use crate::store::StoredEvent;

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
            tracing::error!(%tenant, event = %event.id, %error, "defect: an event has no envelope and is sent without one");
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
