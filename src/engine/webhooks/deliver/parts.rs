//! What the workers of delivery are given: the dependencies of all of them, and the part of each.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::endpoint::{Endpoint, Endpoints};
use super::outbox::{DeliveryCounts, Outbox, RequestQueue};
use crate::clock::{SharedClock, SharedRandom};
use crate::domain::ids::TenantId;
use crate::engine::operations::readiness::Readiness;
use crate::store::{Reader, Writer};

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

/// The tokens cancelled when a daemon stops: the first at once, the second when nothing can produce events any more.
#[derive(Clone)]
pub(super) struct ShutdownTokens {
    pub(super) soft: CancellationToken,
    pub(super) others_ended: CancellationToken,
}

/// What outlives a worker's restart.
pub(super) struct StreamParts {
    pub(super) tenant: TenantId,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) requests: RequestQueue,
    pub(super) counts: Arc<DeliveryCounts>,
    pub(super) shared: DeliverParts,
    pub(super) shutdown: ShutdownTokens,
}

impl StreamParts {
    /// Returns the name in the readiness report.
    pub(super) fn part(&self) -> String {
        format!("webhook {} of {}", self.endpoint.id, self.tenant)
    }
}
