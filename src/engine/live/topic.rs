//! One tenant's part of the hub: the ring that its keeper publishes to, and what new viewers need.
//!
//! Viewers that connect at the same time share one snapshot and one read of the missed rows.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Mutex, Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::filter::{AgentMembership, MessageSubject, TenantViewerFilter};
use super::frame::Frame;
use super::message::{Freshness, history_row_frame};
use super::ring::{Ring, RingReadError};
use super::snapshot::Snapshot;
use crate::clock::Stopwatch;
use crate::domain::agents::agent::Agent;
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::time::UtcMicros;
use crate::engine::keeper_message::KeeperMessage;
use crate::store::{HISTORY_PAGE_LIMIT, ReadError, Reader};

/// How long a snapshot or a read of rows is shared, in real time.
const CACHE_LIFETIME_REAL: Duration = Duration::from_secs(1);

/// Missed rows, as messages.
pub(super) type MissedRows = Arc<[(Frame, MessageSubject)]>;

#[derive(Debug)]
struct CachedMissedRows {
    after: u64,
    upto: u64,
    rows: Option<MissedRows>,
    age: Stopwatch,
}

/// A tenant's part of the hub.
#[derive(Debug)]
pub struct Topic {
    tenant: TenantId,
    /// The inbox of the keeper that started last.
    keeper: RwLock<Option<mpsc::Sender<KeeperMessage>>>,
    reader: Reader,
    ring: RwLock<Ring>,
    published: Arc<Notify>,
    viewers: AtomicUsize,
    freshness: RwLock<Freshness>,
    snapshot: Mutex<Option<Arc<Snapshot>>>,
    missed: Mutex<Option<CachedMissedRows>>,
    closed: CancellationToken,
}

impl Topic {
    pub(super) fn new(tenant: TenantId, reader: Reader, published: Arc<Notify>) -> Self {
        Self {
            tenant,
            keeper: RwLock::default(),
            reader,
            ring: RwLock::default(),
            published,
            viewers: AtomicUsize::new(0),
            freshness: RwLock::default(),
            snapshot: Mutex::default(),
            missed: Mutex::default(),
            closed: CancellationToken::new(),
        }
    }

    /// Returns the tenant.
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Returns whether any viewer is connected.
    pub fn has_viewers(&self) -> bool {
        self.viewers.load(Ordering::SeqCst) > 0
    }

    /// Publishes committed changes, in the order of their ids.
    pub fn publish(&self, messages: impl IntoIterator<Item = (Frame, MessageSubject)>) {
        let mut any = false;
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        for (frame, about) in messages {
            ring.push(frame, about);
            any = true;
        }
        drop(ring);
        if any {
            self.published.notify_one();
        }
    }

    /// Records that something was committed while there were no viewers, with history up to this id.
    pub fn record_gap(&self, last_id: Option<u64>) {
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        ring.clear();
        ring.push_gap(last_id);
    }

    /// Attaches a new keeper, with history up to this id: earlier commits that were not published are in the store.
    /// From now on snapshots are requested from its inbox.
    pub fn attach_keeper(&self, last_id: u64, keeper: mpsc::Sender<KeeperMessage>) {
        *self.keeper.write().unwrap_or_else(PoisonError::into_inner) = Some(keeper);
        self.ring.write().unwrap_or_else(PoisonError::into_inner).push_gap(Some(last_id));
        self.published.notify_one();
    }

    /// Discards everything kept about agents, with history up to this id. Viewers get a new snapshot.
    pub async fn clear(&self, last_id: u64) {
        self.record_gap(Some(last_id));
        *self.snapshot.lock().await = None;
        *self.missed.lock().await = None;
        self.published.notify_one();
    }

    /// Sets how fresh the live view is.
    pub fn set_freshness(&self, freshness: Freshness) {
        *self.freshness.write().unwrap_or_else(PoisonError::into_inner) = freshness;
    }

    /// Returns the last freshness set.
    pub fn freshness(&self) -> Freshness {
        *self.freshness.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates an empty snapshot at the current position of the ring, for the keeper to fill.
    pub fn begin_snapshot(&self, at: UtcMicros) -> Snapshot {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        Snapshot::new(self.tenant.clone(), (ring.last_id(), ring.next_position()), at, self.freshness().observed_at)
    }

    pub(super) fn add_viewer(&self) {
        self.viewers.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn remove_viewer(&self) {
        self.viewers.fetch_sub(1, Ordering::SeqCst);
    }

    pub(super) fn close(&self) {
        self.closed.cancel();
        self.published.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// See [`Ring::position_after_id`].
    pub(super) fn position_after_id(&self, id: u64) -> Option<u64> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).position_after_id(id)
    }

    /// See [`Ring::read`].
    pub(super) fn read(
        &self,
        position: u64,
        filter: &TenantViewerFilter,
        max_bytes: usize,
        into: &mut Vec<Frame>,
    ) -> Result<u64, RingReadError> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).read(position, filter, max_bytes, into)
    }

    /// Returns whether there is, or was, an entry at or after a position.
    pub(super) fn has_updates(&self, position: u64) -> bool {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).next_position() > position
    }

    fn is_complete_from(&self, position: u64) -> bool {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).is_complete_from(position)
    }

    /// Returns a snapshot of the live view; `None` if the keeper is not running.
    pub(super) async fn live_view_snapshot(&self) -> Option<Arc<Snapshot>> {
        let mut shared = self.snapshot.lock().await;
        let good = |known: &&Arc<Snapshot>| {
            known.age().elapsed() < CACHE_LIFETIME_REAL && self.is_complete_from(known.position())
        };
        if let Some(known) = shared.as_ref().filter(good) {
            return Some(known.clone());
        }
        let (reply, answer) = oneshot::channel();
        let keeper = self.keeper.read().unwrap_or_else(PoisonError::into_inner).clone();
        keeper?.send(KeeperMessage::GetLiveView { reply }).await.ok()?;
        let snapshot = Arc::new(answer.await.ok()?);
        *shared = Some(snapshot.clone());
        Some(snapshot)
    }

    /// Returns the history rows after one id up to another, as messages; `None` if there are too many to send one by
    /// one.
    pub(super) async fn missed_rows(
        &self,
        after: u64,
        upto: u64,
        at: UtcMicros,
    ) -> Result<Option<MissedRows>, ReadError> {
        let mut shared = self.missed.lock().await;
        let good = |known: &&CachedMissedRows| {
            (known.after, known.upto) == (after, upto) && known.age.elapsed() < CACHE_LIFETIME_REAL
        };
        if let Some(known) = shared.as_ref().filter(good) {
            return Ok(known.rows.clone());
        }
        let stored = self.reader.history_after(&self.tenant, after, HISTORY_PAGE_LIMIT).await?;
        let rows = if stored.len() < HISTORY_PAGE_LIMIT as usize {
            let known = self.reader.agents(&self.tenant).await?.into_iter();
            let agents: HashMap<AgentId, Agent> = known.map(|stored| (stored.agent.id.clone(), stored.agent)).collect();
            let messages = stored.into_iter().filter(|stored| stored.id <= upto).map(|stored| {
                let agent = agents.get(&stored.row.agent);
                let team = agent.and_then(|agent| agent.team.clone());
                let membership =
                    AgentMembership { team, queue: stored.row.queue.clone(), ..AgentMembership::default() };
                (history_row_frame(stored.id, &stored.row, agent, at), MessageSubject::agent(membership))
            });
            Some(messages.collect())
        } else {
            None
        };
        *shared = Some(CachedMissedRows { after, upto, rows: Option::clone(&rows), age: Stopwatch::start() });
        Ok(rows)
    }

    /// Drops a snapshot and rows that are too old to be shared.
    pub(super) fn evict_expired(&self) {
        if let Ok(mut shared) = self.snapshot.try_lock() {
            let old = shared.as_ref().is_some_and(|known| known.age().elapsed() >= CACHE_LIFETIME_REAL);
            if old {
                *shared = None;
            }
        }
        if let Ok(mut shared) = self.missed.try_lock() {
            let old = shared.as_ref().is_some_and(|known| known.age.elapsed() >= CACHE_LIFETIME_REAL);
            if old {
                *shared = None;
            }
        }
    }
}
