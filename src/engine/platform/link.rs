//! What the workers of one tenant share: the platform, its budget, its clock offset, and the way to the keeper.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};

use super::directory_state::DirectoryState;
use super::feed::FeedState;
use crate::clock::{AgeTracker, SharedClock, SharedRandom};
use crate::domain::analytics::analytics_run::ConfiguredQuery;
use crate::domain::analytics::anomaly::{Anomalies, MonitoredSeries};
use crate::domain::ids::TenantId;
use crate::domain::live::figures::Figures;
use crate::domain::live::thresholds::Thresholds;
use crate::domain::schedules::staffing::TeamQueues;
use crate::domain::time::UtcMicros;
use crate::engine::keeper_message::KeeperMessage;
use crate::engine::live::Topic;
use crate::engine::operations::meter::Meter;
use crate::engine::operations::readiness::Readiness;
use crate::platform::budget::Budget;
use crate::platform::{Answer, CallKind, ClockOffset, Platform};
use crate::store::{Reader, Writer};

/// The budget that a call counts against.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BudgetKind {
    /// The budget of ordinary requests.
    Ordinary,
    /// The budget of figures and aggregation queries.
    Reporting,
}

impl BudgetKind {
    /// Returns the budget of a call by its name in the call log.
    pub fn of(kind: &str) -> Self {
        let mut reporting = CallKind::FIGURES.iter().chain(&CallKind::ANALYTICS);
        if reporting.any(|known| known.name() == kind) { Self::Reporting } else { Self::Ordinary }
    }
}

/// What the workers of one tenant share.
#[derive(Debug)]
pub struct Link {
    /// The tenant.
    pub tenant: TenantId,
    /// The tenant's platform.
    pub platform: Arc<dyn Platform>,
    /// The daemon's clock.
    pub clock: SharedClock,
    /// The source of jitter and ids.
    pub random: SharedRandom,
    /// The store's writer.
    pub writer: Writer,
    /// The store's reader.
    pub reader: Reader,
    /// Where workers report their state.
    pub readiness: Readiness,
    /// The keeper's inbox.
    pub inbox: mpsc::Sender<KeeperMessage>,
    /// The topic on which committed changes are published to viewers.
    pub live: Arc<Topic>,
    /// The request budget, restored with the calls of the last minute; [`Self::budget`] locks it.
    pub budget: Mutex<Budget>,
    /// The budget for reads of figures, which the platform counts separately; [`Self::budget_of`] locks either.
    pub reporting_budget: Mutex<Budget>,
    /// The newest figures of skills and queues, sent when they are stored.
    pub figures: watch::Sender<Arc<Figures>>,
    /// The monitored series; a reload sends new ones.
    pub watched_series: watch::Sender<Arc<[MonitoredSeries]>>,
    /// The anomalies of monitored series as rules see them, sent when they are stored.
    pub anomalies: watch::Sender<Arc<Anomalies>>,
    /// The thresholds for highlighting in lists and pages; a reload sends new ones.
    pub thresholds: watch::Sender<Arc<Thresholds>>,
    /// The queues of each team; a reload sends new ones.
    pub team_queues: watch::Sender<Arc<TeamQueues>>,
    /// The configured analytics queries; a reload sends new ones.
    pub queries: watch::Sender<Arc<[ConfiguredQuery]>>,
    /// What is known of the platform's clock, which is nothing at first; [`Self::offset`] returns it.
    pub offset: Mutex<ClockOffset>,
    /// The keeper's counts.
    pub meter: Meter,
    /// The state of the live feed; [`Self::feed`] returns it.
    pub feed: Mutex<FeedState>,
    /// What is known of the platform's directory; [`Self::directory`] returns it.
    pub directory: Mutex<DirectoryState>,
    /// Notified when an erasure of an agent is requested.
    pub erasures: Notify,
    /// The subscriptions by number; [`Self::subscriptions`] lists them.
    pub subscriptions: Mutex<BTreeMap<u32, SubscriptionState>>,
}

/// The state of a subscription after its last successful poll.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SubscriptionState {
    /// Its number among the tenant's subscriptions.
    pub slice: u32,
    /// The number of agents it covers.
    pub agents: usize,
    /// The interval between snapshots, as the platform says.
    pub interval: Duration,
    /// Its age.
    pub age: AgeTracker,
    /// When its newest snapshot was generated, in our clock.
    pub generated_at: UtcMicros,
    /// The size of that snapshot in bytes.
    pub bytes: usize,
}

impl Link {
    /// Locks the request budget. Never hold it over an await.
    pub fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the budget of this kind. Never hold it over an await.
    pub fn budget_of(&self, kind: BudgetKind) -> MutexGuard<'_, Budget> {
        match kind {
            BudgetKind::Ordinary => self.budget(),
            BudgetKind::Reporting => self.reporting_budget.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Updates the platform's clock offset from an answer.
    pub fn learn_offset<T>(&self, answer: &Answer<T>) {
        self.offset.lock().unwrap_or_else(PoisonError::into_inner).observe(answer);
    }

    /// Returns the platform's clock offset.
    pub fn offset(&self) -> ClockOffset {
        *self.offset.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the state of the live feed.
    pub fn feed(&self) -> FeedState {
        self.feed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Updates the state of the live feed.
    pub(in crate::engine) fn update_feed(&self, note: impl FnOnce(&mut FeedState)) {
        note(&mut self.feed.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Returns what is known of the platform's directory.
    pub fn directory(&self) -> DirectoryState {
        *self.directory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Updates what is known of the platform's directory.
    pub(in crate::engine) fn update_directory(&self, update: impl FnOnce(&mut DirectoryState)) {
        update(&mut self.directory.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Returns the subscriptions that have delivered a snapshot, by number.
    pub fn subscriptions(&self) -> Vec<SubscriptionState> {
        self.locked_subscriptions().values().copied().collect()
    }

    /// Records a subscription after a successful poll.
    pub fn record_subscription(&self, now: SubscriptionState) {
        self.locked_subscriptions().insert(now.slice, now);
    }

    /// Removes the subscriptions with these numbers.
    pub fn remove_subscriptions(&self, is_removed: impl Fn(u32) -> bool) {
        self.locked_subscriptions().retain(|slice, _| !is_removed(*slice));
    }

    fn locked_subscriptions(&self) -> MutexGuard<'_, BTreeMap<u32, SubscriptionState>> {
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the name of one of this tenant's parts in the readiness report.
    pub fn part(&self, name: &str) -> String {
        format!("tenant {}: {name}", self.tenant)
    }
}

#[cfg(test)]
pub(in crate::engine) mod tests;
