//! How the daemon is, for operators: one look at every tenant's token, budget, breaker, picture, subscriptions and webhooks, at
//! the jobs and at the store. `/metrics`, `GET /api/v1/status` and `shiftkeeper status` show the same look.
//!
//! What workers hold in memory is read as it is now; what only the store knows is read at most once in [`STORE_EVERY_REAL`],
//! so that whoever asks often costs no more. Nothing is decided here but what is worth a person's attention (`ok`).

mod gather;
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
use crate::engine::live::{Live, Viewers};
use crate::engine::webhooks::deliver::Outbox;
use crate::store::{Reader, Writer, WriterVitals};

pub use gather::{Meters, STORE_EVERY_REAL};
pub use reloads::Reloads;
pub use view::{
    AuditStatus, BreakerStatus, BudgetStatus, ConfigurationStatus, FeedStatus, FigureAge, FiguresStatus, JobStatus,
    PictureStatus, Status, StoreStatus, SubscriptionStatus, TenantStatus, TokenStatus, WebhookStatus,
};

/// What a look is taken with.
pub struct StatusParts {
    /// The tenants that are served.
    pub tenants: Tenants,
    /// The store.
    pub reader: Reader,
    /// The one writer.
    pub writer: Writer,
    /// What is ready.
    pub readiness: Readiness,
    /// The outbox.
    pub outbox: Outbox,
    /// The jobs of the calendar.
    pub jobs: Jobs,
    /// The live picture's hub.
    pub live: Live,
    /// The analytics runs.
    pub analytics: Analytics,
    /// How reloads of the configuration went.
    pub reloads: Reloads,
    /// The log, where it is watched.
    pub log: Option<Log>,
    /// The daemon's clock.
    pub clock: SharedClock,
    /// When the daemon was started, by its clock.
    pub started_at: UtcMicros,
}

/// One look.
#[derive(Debug)]
pub struct Look {
    /// What people and programs are shown.
    pub status: Status,
    /// What is counted of each tenant, for metrics.
    pub tenants: Vec<Meters>,
    /// How the writer does.
    pub writer: WriterVitals,
    /// Who watches live.
    pub viewers: Viewers,
    /// How many lines of the log were lost.
    pub log_lines_lost: u64,
}

/// Takes looks. Cheap to clone.
#[derive(Clone)]
pub struct StatusDesk(Arc<gather::Desk>);

impl StatusDesk {
    /// Nothing is looked at yet.
    pub fn new(parts: StatusParts) -> Self {
        Self(Arc::new(gather::Desk::new(parts)))
    }

    /// A look at the tenants within reach, and at what all of them share.
    pub async fn look(&self, within_reach: impl Fn(&TenantId) -> bool + Send + Sync) -> Look {
        self.0.look(&within_reach).await
    }
}
