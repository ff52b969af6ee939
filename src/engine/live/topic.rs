//! One tenant's part of the hub: the ring that its keeper publishes into, and what viewers need beside it when they come.
//!
//! A thousand viewers who come at once share one picture and one reading of the missed rows.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Mutex, Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::frame::Frame;
use super::message::{Freshness, row_frame};
use super::narrow::{About, NarrowAt, Place};
use super::ring::{Broken, Ring};
use super::snapshot::Snapshot;
use crate::clock::Stopwatch;
use crate::domain::agents::agent::Agent;
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::time::UtcMicros;
use crate::engine::message::Message;
use crate::store::{HISTORY_PAGE_LIMIT, ReadError, Reader};

/// A picture or a reading of rows serves whoever comes within this, in real time.
const SHARED_REAL: Duration = Duration::from_secs(1);

/// Missed rows, as messages.
pub(super) type Rows = Arc<[(Frame, About)]>;

#[derive(Debug)]
struct Missed {
    after: u64,
    upto: u64,
    rows: Option<Rows>,
    read: Stopwatch,
}

/// A tenant's part of the hub.
#[derive(Debug)]
pub struct Topic {
    tenant: TenantId,
    /// The inbox of the keeper that began last.
    keeper: RwLock<Option<mpsc::Sender<Message>>>,
    reader: Reader,
    ring: RwLock<Ring>,
    published: Arc<Notify>,
    viewers: AtomicUsize,
    freshness: RwLock<Freshness>,
    snapshot: Mutex<Option<Arc<Snapshot>>>,
    missed: Mutex<Option<Missed>>,
    ended: CancellationToken,
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
            ended: CancellationToken::new(),
        }
    }

    /// Whose it is.
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Whether anybody is there to be told.
    pub fn is_watched(&self) -> bool {
        self.viewers.load(Ordering::SeqCst) > 0
    }

    /// Tells viewers something that is committed, in the order of the ids.
    pub fn publish(&self, messages: impl IntoIterator<Item = (Frame, About)>) {
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

    /// Something was committed, with history up to this id, while nobody was there to be told.
    pub fn skip(&self, last_id: Option<u64>) {
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        ring.clear();
        ring.gap(last_id);
    }

    /// A keeper begins, with history up to this id: what was committed before and not told stands in the store. From now on the
    /// picture is asked of its inbox.
    pub fn begin(&self, last_id: u64, keeper: mpsc::Sender<Message>) {
        *self.keeper.write().unwrap_or_else(PoisonError::into_inner) = Some(keeper);
        self.ring.write().unwrap_or_else(PoisonError::into_inner).gap(Some(last_id));
        self.published.notify_one();
    }

    /// Lets go of everything that is kept of agents, with history up to this id; viewers read the picture anew.
    pub async fn forget(&self, last_id: u64) {
        self.skip(Some(last_id));
        *self.snapshot.lock().await = None;
        *self.missed.lock().await = None;
        self.published.notify_one();
    }

    /// Tells how fresh the picture is.
    pub fn set_freshness(&self, freshness: Freshness) {
        *self.freshness.write().unwrap_or_else(PoisonError::into_inner) = freshness;
    }

    /// How fresh the picture is, as it was told last.
    pub fn freshness(&self) -> Freshness {
        *self.freshness.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A picture to be filled by the keeper, at the place where the ring stands.
    pub fn begin_snapshot(&self, at: UtcMicros) -> Snapshot {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        Snapshot::new(self.tenant.clone(), (ring.last_id(), ring.next()), at, self.freshness().seen_at)
    }

    pub(super) fn enter(&self) {
        self.viewers.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn leave(&self) {
        self.viewers.fetch_sub(1, Ordering::SeqCst);
    }

    pub(super) fn end(&self) {
        self.ended.cancel();
        self.published.notify_one();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// See [`Ring::behind_id`].
    pub(super) fn behind_id(&self, id: u64) -> Option<u64> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).behind_id(id)
    }

    /// See [`Ring::read`].
    pub(super) fn read(
        &self,
        place: u64,
        narrow: &NarrowAt,
        most_bytes: usize,
        into: &mut Vec<Frame>,
    ) -> Result<u64, Broken> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).read(place, narrow, most_bytes, into)
    }

    /// Whether something stands at a place or behind it, or stood there.
    pub(super) fn has_news(&self, place: u64) -> bool {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).next() > place
    }

    fn leads_on_from(&self, place: u64) -> bool {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).leads_on_from(place)
    }

    /// The picture; `None` while the keeper is away.
    pub(super) async fn look(&self) -> Option<Arc<Snapshot>> {
        let mut shared = self.snapshot.lock().await;
        let good = |known: &&Arc<Snapshot>| known.taken().elapsed() < SHARED_REAL && self.leads_on_from(known.place());
        if let Some(known) = shared.as_ref().filter(good) {
            return Some(known.clone());
        }
        let (reply, answer) = oneshot::channel();
        let keeper = self.keeper.read().unwrap_or_else(PoisonError::into_inner).clone();
        keeper?.send(Message::Look { reply }).await.ok()?;
        let snapshot = Arc::new(answer.await.ok()?);
        *shared = Some(snapshot.clone());
        Some(snapshot)
    }

    /// The rows of history after one id up to another, as messages; `None` when they are too many to be told one by one.
    pub(super) async fn missed(&self, after: u64, upto: u64, at: UtcMicros) -> Result<Option<Rows>, ReadError> {
        let mut shared = self.missed.lock().await;
        let good = |known: &&Missed| (known.after, known.upto) == (after, upto) && known.read.elapsed() < SHARED_REAL;
        if let Some(known) = shared.as_ref().filter(good) {
            return Ok(known.rows.clone());
        }
        let stored = self.reader.history_after(&self.tenant, after, HISTORY_PAGE_LIMIT).await?;
        let rows = if stored.len() < HISTORY_PAGE_LIMIT as usize {
            let known = self.reader.agents(&self.tenant).await?.into_iter();
            let agents: HashMap<AgentId, Agent> = known.map(|stored| (stored.agent.id.clone(), stored.agent)).collect();
            let told = stored.into_iter().filter(|stored| stored.id <= upto).map(|stored| {
                let agent = agents.get(&stored.row.agent);
                let team = agent.and_then(|agent| agent.team.clone());
                let place = Place { team, queue: stored.row.queue.clone(), ..Place::default() };
                (row_frame(stored.id, &stored.row, agent, at), About::agent(place))
            });
            Some(told.collect())
        } else {
            None
        };
        *shared = Some(Missed { after, upto, rows: Option::clone(&rows), read: Stopwatch::start() });
        Ok(rows)
    }

    /// Lets go of what nobody shares any more.
    pub(super) fn forget_old(&self) {
        if let Ok(mut shared) = self.snapshot.try_lock() {
            let old = shared.as_ref().is_some_and(|known| known.taken().elapsed() >= SHARED_REAL);
            if old {
                *shared = None;
            }
        }
        if let Ok(mut shared) = self.missed.try_lock() {
            let old = shared.as_ref().is_some_and(|known| known.read.elapsed() >= SHARED_REAL);
            if old {
                *shared = None;
            }
        }
    }
}
