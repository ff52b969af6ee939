//! The daemon's status for operators: every tenant's token, budget, circuit breaker, live view, subscriptions and
//! webhooks, the jobs and the store. `/metrics`, `GET /api/v1/status` and `shiftkeeper status` show the same status.
//!
//! The workers' memory is read each time; the store is read at most once in [`STORE_READ_INTERVAL_REAL`], so that
//! frequent requests cost no more. The only thing decided here is whether a person should act (`ok`).

mod collector;
mod reloads;
mod view;

use std::sync::Arc;

use super::log::Log;
use super::readiness::Readiness;
use super::tenants::Tenants;
use crate::clock::SharedClock;
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::engine::analytics::Analytics;
use crate::engine::jobs::Jobs;
use crate::engine::live::{Live, ViewerCounts};
use crate::engine::webhooks::deliver::Outbox;
use crate::store::{Reader, Writer, WriterMetrics};

pub use collector::{STORE_READ_INTERVAL_REAL, TenantMetrics};
pub use reloads::Reloads;
pub use view::{
    AuditStatus, BreakerStatus, BudgetStatus, ConfigurationStatus, FeedStatus, FigureAge, FiguresStatus, JobStatus,
    LiveViewStatus, Status, StoreStatus, SubscriptionStatus, TenantStatus, TokenStatus, WebhookStatus,
};

/// The dependencies of the status.
pub struct StatusParts {
    /// The tenants that are served.
    pub tenants: Tenants,
    /// The store's reader.
    pub reader: Reader,
    /// The store's writer.
    pub writer: Writer,
    /// The readiness of the parts.
    pub readiness: Readiness,
    /// The webhook outbox.
    pub outbox: Outbox,
    /// The scheduled jobs.
    pub jobs: Jobs,
    /// The hub of live messages.
    pub live: Live,
    /// The analytics runs.
    pub analytics: Analytics,
    /// The results of configuration reloads.
    pub reloads: Reloads,
    /// The log, if it is monitored.
    pub log: Option<Log>,
    /// The daemon's clock.
    pub clock: SharedClock,
    /// When the daemon was started, in its clock.
    pub started_at: UtcMicros,
}

/// The status and metrics at one instant.
#[derive(Debug)]
pub struct StatusSnapshot {
    /// The status shown to people and programs.
    pub status: Status,
    /// The metrics of each tenant.
    pub tenants: Vec<TenantMetrics>,
    /// The metrics of the store's writer.
    pub writer: WriterMetrics,
    /// The numbers of live viewers.
    pub viewers: ViewerCounts,
    /// The number of log lines lost.
    pub log_lines_lost: u64,
}

/// The status service. Cheap to clone.
#[derive(Clone)]
pub struct StatusService(Arc<collector::StatusCollector>);

impl StatusService {
    /// Creates the service; nothing is read yet.
    pub fn new(parts: StatusParts) -> Self {
        Self(Arc::new(collector::StatusCollector::new(parts)))
    }

    /// Returns the status of the visible tenants and of what all tenants share.
    pub async fn collect(&self, is_visible: impl Fn(&TenantId) -> bool + Send + Sync) -> StatusSnapshot {
        self.0.collect(&is_visible).await
    }
}
