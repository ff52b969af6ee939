//! The daemon's status for operators: every tenant's token, budget, circuit breaker, live view, subscriptions and
//! webhooks, the jobs and the store. `/metrics`, `GET /api/v1/status` and `shiftkeeper status` show the same status.
//!
//! The workers' memory is read each time; the store is read at most once in [`STORE_READ_INTERVAL_REAL`], so that
//! frequent requests cost no more. The only thing decided here is whether a person should act (`ok`).

mod collector;
mod reloads;
mod view;

pub use collector::{STORE_READ_INTERVAL_REAL, StatusParts, StatusService, StatusSnapshot, TenantMetrics};
pub use reloads::Reloads;
pub use view::{
    AuditStatus, BreakerStatus, BudgetStatus, ConfigurationStatus, DirectoryStatus, FeedStatus, FigureAge,
    FiguresStatus, JobStatus, LiveViewStatus, Status, StoreStatus, SubscriptionStatus, TenantStatus, TokenStatus,
    WebhookStatus,
};
