//! What the workers of one tenant share: the platform, its budget, the offset of its clock, and the way to the keeper.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};

use super::calls::Purse;
use super::feed::FeedState;
use crate::clock::{Age, SharedClock, SharedRandom};
use crate::domain::analytics::analytics_run::StandingQuery;
use crate::domain::analytics::anomaly::{Anomalies, Watched};
use crate::domain::ids::TenantId;
use crate::domain::live::figures::Figures;
use crate::domain::live::thresholds::Thresholds;
use crate::domain::time::UtcMicros;
use crate::engine::live::Topic;
use crate::engine::message::Message;
use crate::engine::operations::meter::Meter;
use crate::engine::operations::readiness::Readiness;
use crate::platform::budget::Budget;
use crate::platform::{Answer, ClockOffset, Platform};
use crate::store::{Reader, Writer};

/// Shared by the workers of one tenant.
#[derive(Debug)]
pub struct Link {
    /// The tenant.
    pub tenant: TenantId,
    /// Its platform.
    pub platform: Arc<dyn Platform>,
    /// The daemon's clock.
    pub clock: SharedClock,
    /// Jitter and ids.
    pub random: SharedRandom,
    /// The one writer.
    pub writer: Writer,
    /// The readers.
    pub reader: Reader,
    /// Where workers say how they are.
    pub readiness: Readiness,
    /// The keeper's inbox.
    pub inbox: mpsc::Sender<Message>,
    /// Where viewers are told what was committed.
    pub live: Arc<Topic>,
    /// The request budget, with the calls of the last minute restored; [`Self::budget`] locks it.
    pub budget: Mutex<Budget>,
    /// The same for reads of figures, which the platform counts by themselves; [`Self::budget_of`] locks either.
    pub reporting_budget: Mutex<Budget>,
    /// The newest figures of skills and queues, told when they are stored.
    pub figures: watch::Sender<Arc<Figures>>,
    /// The series that are watched; a reload tells others.
    pub watched: watch::Sender<Arc<[Watched]>>,
    /// What rules see of the anomalies of watched series, told when they are stored.
    pub anomalies: watch::Sender<Arc<Anomalies>>,
    /// What lists and pages mark; a reload tells others.
    pub thresholds: watch::Sender<Arc<Thresholds>>,
    /// The analytics queries of the configuration; a reload tells others.
    pub queries: watch::Sender<Arc<[StandingQuery]>>,
    /// Nothing is known of the platform's clock at first; [`Self::offset`] tells what has been learnt.
    pub offset: Mutex<ClockOffset>,
    /// What the keeper counts.
    pub meter: Meter,
    /// How the live feed is; [`Self::feed`] tells.
    pub feed: Mutex<FeedState>,
    /// Somebody wants an agent erased.
    pub erasures: Notify,
    /// By number; [`Self::subscriptions`] lists them.
    pub subscriptions: Mutex<BTreeMap<u32, SubscriptionNow>>,
}

/// A subscription as its last good poll left it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SubscriptionNow {
    /// Its number among the tenant's.
    pub slice: u32,
    /// How many agents it is for.
    pub agents: usize,
    /// From one snapshot to the next, as the platform says.
    pub interval: Duration,
    /// How long ago it was made.
    pub age: Age,
    /// When its newest snapshot was generated, by our clock.
    pub generated_at: UtcMicros,
    /// The size of that snapshot.
    pub bytes: usize,
}

impl Link {
    /// The request budget. Never held over an await.
    pub fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The budget that a call counts against. Never held over an await.
    pub fn budget_of(&self, purse: Purse) -> MutexGuard<'_, Budget> {
        match purse {
            Purse::Ordinary => self.budget(),
            Purse::Reporting => self.reporting_budget.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Learns the platform's clock from an answer.
    pub fn learn_offset<T>(&self, answer: &Answer<T>) {
        self.offset.lock().unwrap_or_else(PoisonError::into_inner).observe(answer);
    }

    /// How far the platform's clock is from ours.
    pub fn offset(&self) -> ClockOffset {
        *self.offset.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the live feed is.
    pub fn feed(&self) -> FeedState {
        self.feed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes how the live feed is.
    pub(in crate::engine) fn note_feed(&self, note: impl FnOnce(&mut FeedState)) {
        note(&mut self.feed.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The subscriptions that have given a snapshot, by number.
    pub fn subscriptions(&self) -> Vec<SubscriptionNow> {
        self.locked_subscriptions().values().copied().collect()
    }

    /// A subscription was polled well.
    pub fn note_subscription(&self, now: SubscriptionNow) {
        self.locked_subscriptions().insert(now.slice, now);
    }

    /// Subscriptions of these numbers are no more.
    pub fn forget_subscriptions(&self, is_gone: impl Fn(u32) -> bool) {
        self.locked_subscriptions().retain(|slice, _| !is_gone(*slice));
    }

    fn locked_subscriptions(&self) -> MutexGuard<'_, BTreeMap<u32, SubscriptionNow>> {
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name of a part of this tenant in the readiness report.
    pub fn part(&self, name: &str) -> String {
        format!("tenant {}: {name}", self.tenant)
    }
}

#[cfg(test)]
pub(in crate::engine) mod tests;
