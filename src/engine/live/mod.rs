//! The live relay's hub: keepers publish here what they committed, viewers read it at their own pace.
//!
//! A message is encoded once and kept in a bounded ring per tenant; a viewer is a place in it. Publishing waits for nobody:
//! who falls off the ring is told so and dropped. The picture itself is the keeper's alone and is asked of it; what a viewer
//! missed before that is read from the store. Where nobody watches a tenant, nothing is encoded and nothing is kept.

pub mod figures;
pub mod frame;
pub mod message;
pub mod narrow;
mod ring;
pub mod snapshot;
mod topic;
mod viewer;

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

pub use topic::Topic;
pub use viewer::{Next, Viewer, Wanted};

/// Viewers hear that their line lives this often, in real time.
pub const HEARTBEAT_REAL: Duration = Duration::from_secs(15);

/// Viewers are woken this often at most, in real time: what comes in between goes out in one write.
const PACE_REAL: Duration = Duration::from_millis(4);

/// What wakes viewers.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Beat {
    /// Rises with everything that is published.
    news: u64,
    /// Rises with each heartbeat.
    heartbeat: u64,
}

#[derive(Debug)]
struct Shared {
    clock: SharedClock,
    reader: Reader,
    topics: Mutex<BTreeMap<TenantId, Arc<Topic>>>,
    published: Arc<Notify>,
    beat: watch::Sender<Beat>,
    room: Arc<Semaphore>,
    most_viewers: usize,
    stopping: CancellationToken,
    /// Viewers so far, to spread their return.
    seen: AtomicU64,
    too_slow: AtomicU64,
}

/// Who watches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Viewers {
    /// Viewers at this moment.
    pub now: usize,
    /// Viewers since the start.
    pub so_far: u64,
    /// Those of them who fell off the ring.
    pub too_slow: u64,
}

/// The hub. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Live(Arc<Shared>);

/// Why nobody more is let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoRoom {
    /// As many viewers as are allowed are there.
    #[error("{0} viewers are there, and no more are allowed ([server] viewers); try again in a few seconds")]
    Full(usize),
    /// The daemon stops.
    #[error("the daemon stops; try again in a few seconds")]
    Stopping,
    /// One of the tenants is not there any more.
    #[error("the tenant is not there any more")]
    TenantGone,
}

impl Live {
    /// A hub for at most so many viewers at once, who read from `reader` what they missed.
    pub fn new(clock: SharedClock, reader: Reader, most_viewers: usize) -> Self {
        Self(Arc::new(Shared {
            clock,
            reader,
            topics: Mutex::default(),
            published: Arc::default(),
            beat: watch::Sender::default(),
            room: Arc::new(Semaphore::new(most_viewers)),
            most_viewers,
            stopping: CancellationToken::new(),
            seen: AtomicU64::new(0),
            too_slow: AtomicU64::new(0),
        }))
    }

    /// Where a tenant's keeper publishes; the same for every keeper of the tenant, so that viewers stay when one follows another.
    pub fn open(&self, tenant: &TenantId) -> Arc<Topic> {
        let make = || Arc::new(Topic::new(tenant.clone(), self.0.reader.clone(), self.0.published.clone()));
        self.topics().entry(tenant.clone()).or_insert_with(make).clone()
    }

    /// Ends the viewers of all tenants but these: the others are taken out of the configuration.
    pub fn keep(&self, tenants: &BTreeSet<TenantId>) {
        self.topics().retain(|tenant, topic| {
            let stays = tenants.contains(tenant);
            if !stays {
                topic.end();
            }
            stays
        });
    }

    /// Lets a viewer in.
    pub fn viewer(&self, wanted: Wanted) -> Result<Viewer, NoRoom> {
        if self.0.stopping.is_cancelled() {
            return Err(NoRoom::Stopping);
        }
        let place = self.0.room.clone().try_acquire_owned().map_err(|_| NoRoom::Full(self.0.most_viewers))?;
        let topics = self.topics();
        let seats = wanted.tenants.into_iter().map(|(tenant, after)| {
            let topic = topics.get(&tenant).cloned();
            topic.map(|topic| (topic, after))
        });
        let seats: Option<Vec<_>> = seats.collect();
        drop(topics);
        let number = self.0.seen.fetch_add(1, Ordering::Relaxed);
        Ok(Viewer::new(self.clone(), place, number, &wanted.narrow, seats.ok_or(NoRoom::TenantGone)?))
    }

    /// The daemon's clock: its instant, and how many times faster than real time it runs.
    pub fn clock(&self) -> (UtcMicros, u32) {
        (self.0.clock.now(), self.0.clock.speed())
    }

    /// How many viewers there may be.
    pub fn most_viewers(&self) -> usize {
        self.0.most_viewers
    }

    /// Who watches.
    pub fn viewers(&self) -> Viewers {
        Viewers {
            now: self.0.most_viewers - self.0.room.available_permits(),
            so_far: self.0.seen.load(Ordering::Relaxed),
            too_slow: self.0.too_slow.load(Ordering::Relaxed),
        }
    }

    /// Tells all viewers that the daemon stops, and waits until they are gone.
    pub async fn stop(&self) {
        self.0.stopping.cancel();
        let all = u32::try_from(self.0.most_viewers).unwrap_or(u32::MAX);
        // The room is never closed.
        let _ = self.0.room.acquire_many(all).await;
    }

    /// Wakes viewers when there is something for them, until `soft` is cancelled.
    pub async fn run(self, soft: CancellationToken) -> anyhow::Result<()> {
        let mut since_heartbeat = Stopwatch::start();
        loop {
            tokio::select! {
                () = soft.cancelled() => return Ok(()),
                () = self.0.published.notified() => self.0.beat.send_modify(|beat| beat.news += 1),
                () = RealTime::sleep(HEARTBEAT_REAL.saturating_sub(since_heartbeat.elapsed())) => {
                    since_heartbeat = Stopwatch::start();
                    for topic in self.topics().values() {
                        topic.forget_old();
                    }
                    self.0.beat.send_modify(|beat| beat.heartbeat += 1);
                }
            }
            RealTime::sleep(PACE_REAL).await;
        }
    }

    fn topics(&self) -> MutexGuard<'_, BTreeMap<TenantId, Arc<Topic>>> {
        self.0.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
