//! The hub itself: the topics of all tenants, and the signal that wakes viewers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::{RealTime, SharedClock, Stopwatch};
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::store::Reader;

use super::topic::Topic;

/// The interval of heartbeats, in real time.
pub const HEARTBEAT_REAL: Duration = Duration::from_secs(15);

/// The shortest time between two wake-ups of viewers, in real time: what is published in between is written at once.
const MIN_WAKE_INTERVAL_REAL: Duration = Duration::from_millis(4);

/// The counters that wake viewers.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct WakeSignal {
    /// Increases with each publication.
    pub(super) publications: u64,
    /// Increases with each heartbeat.
    pub(super) heartbeat: u64,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) clock: SharedClock,
    pub(super) reader: Reader,
    pub(super) topics: Mutex<BTreeMap<TenantId, Arc<Topic>>>,
    pub(super) published: Arc<Notify>,
    pub(super) wake_signal: watch::Sender<WakeSignal>,
    pub(super) viewer_permits: Arc<Semaphore>,
    pub(super) max_viewers: usize,
    pub(super) stopping: CancellationToken,
    /// The number of viewers since the start, used to spread their reconnects.
    pub(super) total_viewers: AtomicU64,
    pub(super) too_slow_viewers: AtomicU64,
}

/// The numbers of viewers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ViewerCounts {
    /// Viewers connected now.
    pub current: usize,
    /// Viewers since the start of the daemon.
    pub total: u64,
    /// Viewers dropped because they were too slow.
    pub too_slow: u64,
}

/// The hub. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Live(pub(super) Arc<Shared>);

/// Why a viewer is rejected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ViewerRejection {
    /// The maximum number of viewers is connected.
    #[error("{0} viewers are connected, which is the limit ([server] viewers); try again in a few seconds")]
    Full(usize),
    /// The daemon is stopping.
    #[error("the daemon is stopping; try again in a few seconds")]
    Stopping,
    /// One of the tenants no longer exists.
    #[error("the tenant is no longer in the configuration")]
    TenantGone,
}

impl Live {
    /// Creates a hub for at most `max_viewers` viewers at once, which read missed messages from `reader`.
    pub fn new(clock: SharedClock, reader: Reader, max_viewers: usize) -> Self {
        Self(Arc::new(Shared {
            clock,
            reader,
            topics: Mutex::default(),
            published: Arc::default(),
            wake_signal: watch::Sender::default(),
            viewer_permits: Arc::new(Semaphore::new(max_viewers)),
            max_viewers,
            stopping: CancellationToken::new(),
            total_viewers: AtomicU64::new(0),
            too_slow_viewers: AtomicU64::new(0),
        }))
    }

    /// Returns the topic that a tenant's keepers publish to. All keepers of a tenant share it, so that viewers stay
    /// connected when a keeper is replaced.
    pub fn open(&self, tenant: &TenantId) -> Arc<Topic> {
        let make = || Arc::new(Topic::new(tenant.clone(), self.0.reader.clone(), self.0.published.clone()));
        self.topics().entry(tenant.clone()).or_insert_with(make).clone()
    }

    /// Disconnects the viewers of all tenants except these; the others are no longer configured.
    pub fn retain_tenants(&self, tenants: &BTreeSet<TenantId>) {
        self.topics().retain(|tenant, topic| {
            let is_configured = tenants.contains(tenant);
            if !is_configured {
                topic.close();
            }
            is_configured
        });
    }

    /// Returns the current time of the daemon's clock, and how many times faster than real time it runs.
    pub fn clock(&self) -> (UtcMicros, u32) {
        (self.0.clock.now(), self.0.clock.speed())
    }

    /// Returns the most viewers that may be connected at once.
    pub fn max_viewers(&self) -> usize {
        self.0.max_viewers
    }

    /// Returns the numbers of viewers.
    pub fn viewer_counts(&self) -> ViewerCounts {
        ViewerCounts {
            current: self.0.max_viewers - self.0.viewer_permits.available_permits(),
            total: self.0.total_viewers.load(Ordering::Relaxed),
            too_slow: self.0.too_slow_viewers.load(Ordering::Relaxed),
        }
    }

    /// Tells all viewers that the daemon is stopping, and waits until they have disconnected.
    pub async fn stop(&self) {
        self.0.stopping.cancel();
        let all = u32::try_from(self.0.max_viewers).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        let _ = self.0.viewer_permits.acquire_many(all).await;
    }

    /// Wakes viewers after publications and for heartbeats, until `soft` is cancelled.
    pub async fn run(self, soft: CancellationToken) -> anyhow::Result<()> {
        let mut since_heartbeat = Stopwatch::start();
        loop {
            tokio::select! {
                () = soft.cancelled() => return Ok(()),
                () = self.0.published.notified() => self.0.wake_signal.send_modify(|beat| beat.publications += 1),
                () = RealTime::sleep(HEARTBEAT_REAL.saturating_sub(since_heartbeat.elapsed())) => {
                    since_heartbeat = Stopwatch::start();
                    for topic in self.topics().values() {
                        topic.evict_expired();
                    }
                    self.0.wake_signal.send_modify(|beat| beat.heartbeat += 1);
                }
            }
            RealTime::sleep(MIN_WAKE_INTERVAL_REAL).await;
        }
    }

    pub(super) fn topics(&self) -> MutexGuard<'_, BTreeMap<TenantId, Arc<Topic>>> {
        self.0.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
