//! The state that all handlers share.

use std::ops::Deref;
use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

use super::auth::ConfiguredAccess;
use super::problem::Problem;
use super::services::reports::ReportService;
use super::services::schedule_changes::ScheduleEditor;
use super::services::schedule_offers::ScheduleOffers;
use super::services::webhooks::KeyRotator;
use crate::domain::audit::head::PublicKey;
use crate::engine::access::accounts::Accounts;
use crate::engine::agents::agent_list_cache::AgentListCache;
use crate::engine::agents::erasure::AgentFiles;
use crate::engine::analytics::Analytics;
use crate::engine::changes::idempotency::IdempotentRequests;
use crate::engine::changes::keeper_handle::KeeperHandle;
use crate::engine::jobs::Jobs;
use crate::engine::live::Live;
use crate::engine::operations::readiness::Readiness;
use crate::engine::operations::status::StatusService;
use crate::engine::platform::probe::Probes;
use crate::engine::rules::backtests::Backtests;
use crate::engine::webhooks::deliver::Outbox;
use crate::store::Reader;

/// The services that the HTTP server uses.
pub struct ApiServices {
    /// The configured tokens and the trusted proxy; a reload of the configuration may change them.
    pub tokens: watch::Receiver<Arc<ConfiguredAccess>>,
    /// Accounts, stored tokens and sessions.
    pub accounts: Accounts,
    /// The keepers, which make all state changes.
    pub keepers: KeeperHandle,
    /// Reads the store.
    pub reader: Reader,
    /// Which parts of the daemon are ready.
    pub readiness: Readiness,
    /// Imports schedule files.
    pub importer: Arc<dyn ScheduleEditor>,
    /// Offers of changes of shifts.
    pub offers: Arc<dyn ScheduleOffers>,
    /// The scheduled jobs.
    pub jobs: Jobs,
    /// Webhook deliveries, for people's requests about them.
    pub outbox: Outbox,
    /// Checks whether the platforms answer.
    pub probes: Probes,
    /// Carries out each request with an idempotency key only once.
    pub idempotency: IdempotentRequests<Problem>,
    /// The live view.
    pub live: Live,
    /// Collects the status of the daemon.
    pub status: StatusService,
    /// Rules run over stored history.
    pub backtests: Backtests,
    /// Whether `/metrics` can be read without a token.
    pub metrics_open: bool,
    /// The public keys that signed heads of audit logs may carry: the daemon's own and its earlier ones.
    pub audit_keys: Arc<[PublicKey]>,
    /// Replaces the signing keys of webhooks.
    pub key_rotator: Arc<dyn KeyRotator>,
    /// Makes report files.
    pub reports: Arc<dyn ReportService>,
    /// Runs of analytics queries.
    pub analytics: Analytics,
    /// Data about agents that is kept outside the store.
    pub tenant_resources: Arc<dyn AgentFiles>,
}

/// The state that all handlers share: the services, and what handlers keep between requests. It is cheap to clone,
/// because every route holds several copies.
#[derive(Clone)]
pub struct ApiState {
    services: Arc<ApiServices>,
    /// The lists of agents.
    pub(super) boards: AgentListCache,
    /// Allows one check of an audit chain at a time, because a check reads the whole chain.
    pub(super) verification_slot: Arc<Semaphore>,
}

impl ApiState {
    /// Creates the state from the services.
    pub fn new(services: ApiServices) -> Self {
        Self {
            boards: AgentListCache::new(services.keepers.tenants().clone()),
            services: Arc::new(services),
            verification_slot: Arc::new(Semaphore::new(1)),
        }
    }
}

impl Deref for ApiState {
    type Target = ApiServices;

    fn deref(&self) -> &ApiServices {
        &self.services
    }
}
