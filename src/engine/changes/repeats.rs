//! Requests under an `Idempotency-Key`: a repeated one gets the first answer again, also while the first is still under way and
//! after a restart. The one place for it, whatever is asked.
//!
//! What is asked is carried out to its end, also when nobody waits for the answer any more; then the answer is kept. A process
//! that dies between the two has done it and does not know: what must not be done twice keeps its answer in the commit of what it
//! does, as the keeper does for transitions. An error is not kept: nothing was done, and a repetition may fare better.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::door::{DoorError, IdempotencyKey, Taken};
use crate::clock::SharedClock;
use crate::domain::audit::Hash;
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::store::{Commit, IdempotencyRow, ReadError, Reader, Writer};

/// The most requests under way at once; who brings more is told to come again.
const MOST_UNDER_WAY: usize = 1024;

/// What was answered to a request that was carried out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, JSON.
    pub body: String,
    /// It stands in the store already.
    pub kept: bool,
}

impl Answer {
    /// To a request for transitions. The keeper keeps it.
    pub fn taken(transitions: &[Taken]) -> Self {
        Self { status: 202, body: json!({ "transitions": transitions }).to_string(), kept: true }
    }

    /// As it is kept.
    pub(in crate::engine) fn row(
        self,
        tenant: Option<TenantId>,
        token: Arc<str>,
        key: &IdempotencyKey,
        at: UtcMicros,
    ) -> IdempotencyRow {
        IdempotencyRow {
            tenant,
            token,
            key: key.key.as_str().into(),
            request_hash: Hash(key.request_hash),
            status: self.status,
            answer: self.body,
            at,
        }
    }
}

/// Whose key: of a tenant (of the daemon itself where there is none) and a token.
type Place = (Option<TenantId>, Arc<str>, String);

type Outcome<E> = Option<Result<Answer, E>>;

struct UnderWay<E> {
    request_hash: [u8; 32],
    outcome: watch::Receiver<Outcome<E>>,
}

type AllUnderWay<E> = Arc<Mutex<HashMap<Place, UnderWay<E>>>>;

/// Carries requests out once. Cheap to clone. `E` is how the face says that something went wrong.
pub struct Repeats<E> {
    store: Kept,
    under_way: AllUnderWay<E>,
    /// Ended with the last clone. The tasks hold none.
    tasks: Arc<Mutex<JoinSet<()>>>,
}

impl<E> Clone for Repeats<E> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), under_way: self.under_way.clone(), tasks: self.tasks.clone() }
    }
}

/// The answers that are kept.
#[derive(Clone)]
struct Kept {
    reader: Reader,
    writer: Writer,
    clock: SharedClock,
}

impl<E> Repeats<E>
where
    E: Clone + From<DoorError> + From<ReadError> + Send + Sync + 'static,
{
    /// With nothing under way.
    pub fn new(reader: Reader, writer: Writer, clock: SharedClock) -> Self {
        Self { store: Kept { reader, writer, clock }, under_way: AllUnderWay::default(), tasks: Arc::default() }
    }

    /// Does the work unless it was done under this key: then gives its answer.
    pub async fn once<W>(
        &self,
        tenant: Option<TenantId>,
        token: Arc<str>,
        key: IdempotencyKey,
        work: W,
    ) -> Result<Answer, E>
    where
        W: Future<Output = Result<Answer, E>> + Send + 'static,
    {
        let mut outcome = self.join_or_begin(tenant, token, key, work)?;
        let seen = outcome.wait_for(Option::is_some).await;
        // Nothing is told where the work panicked or the daemon stops.
        seen.ok().and_then(|seen| seen.clone()).unwrap_or_else(|| Err(DoorError::Unavailable.into()))
    }

    /// Waits until nothing is under way.
    pub async fn finish(&self) {
        let all: Vec<_> = locked(&self.under_way).values().map(|one| one.outcome.clone()).collect();
        for mut outcome in all {
            let _ = outcome.wait_for(Option::is_some).await;
        }
    }

    fn join_or_begin<W>(
        &self,
        tenant: Option<TenantId>,
        token: Arc<str>,
        key: IdempotencyKey,
        work: W,
    ) -> Result<watch::Receiver<Outcome<E>>, E>
    where
        W: Future<Output = Result<Answer, E>> + Send + 'static,
    {
        let place = (tenant, token, key.key.clone());
        let mut under_way = locked(&self.under_way);
        if let Some(known) = under_way.get(&place) {
            let same = known.request_hash == key.request_hash;
            return if same { Ok(known.outcome.clone()) } else { Err(DoorError::KeyReused.into()) };
        }
        if under_way.len() >= MOST_UNDER_WAY {
            return Err(DoorError::Unavailable.into());
        }
        let (told, outcome) = watch::channel(None);
        under_way.insert(place.clone(), UnderWay { request_hash: key.request_hash, outcome: outcome.clone() });
        let (store, end) = (self.store.clone(), End { under_way: self.under_way.clone(), place });
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            let (tenant, token, _) = &end.place;
            told.send_replace(Some(store.answer(tenant.clone(), token.clone(), &key, work).await));
        });
        Ok(outcome)
    }
}

impl Kept {
    async fn answer<E, W>(
        &self,
        tenant: Option<TenantId>,
        token: Arc<str>,
        key: &IdempotencyKey,
        work: W,
    ) -> Result<Answer, E>
    where
        E: From<DoorError> + From<ReadError>,
        W: Future<Output = Result<Answer, E>>,
    {
        if let Some(known) = self.reader.idempotency(tenant.as_ref(), &token, &key.key).await? {
            let same = known.request_hash == Hash(key.request_hash);
            let answer = Answer { status: known.status, body: known.answer, kept: true };
            return if same { Ok(answer) } else { Err(DoorError::KeyReused.into()) };
        }
        let answer = work.await?;
        if !answer.kept {
            let row = answer.clone().row(tenant, token, key, self.clock.now());
            let commit = Commit { idempotency: vec![row], ..Commit::default() };
            if let Err(error) = self.writer.commit(commit).await {
                tracing::warn!(%error, "an answer could not be kept: the same request would be carried out again");
            }
        }
        Ok(answer)
    }
}

/// Takes a request off the list when it has ended, in whatever way.
struct End<E> {
    under_way: AllUnderWay<E>,
    place: Place,
}

impl<E> Drop for End<E> {
    fn drop(&mut self) {
        locked(&self.under_way).remove(&self.place);
    }
}

fn locked<E>(under_way: &Mutex<HashMap<Place, UnderWay<E>>>) -> MutexGuard<'_, HashMap<Place, UnderWay<E>>> {
    under_way.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;

    use super::*;
    use crate::clock::ManualClock;
    use crate::store::{Identity, Role, Store};

    #[derive(Clone, PartialEq, Debug)]
    enum Wrong {
        Door(DoorError),
        Reading,
        Work,
    }

    impl From<DoorError> for Wrong {
        fn from(error: DoorError) -> Self {
            Self::Door(error)
        }
    }

    impl From<ReadError> for Wrong {
        fn from(_: ReadError) -> Self {
            Self::Reading
        }
    }

    struct Bench {
        _folder: tempfile::TempDir,
        url: String,
        clock: SharedClock,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let url = format!("sqlite://{}", folder.path().join("s.db").display());
            Self { _folder: folder, url, clock: Arc::new(ManualClock::at(UtcMicros::EPOCH)) }
        }

        async fn open(&self) -> (Store, Repeats<Wrong>) {
            let identity = Identity { host: "test".into(), pid: 1, version: "test".into() };
            let store = Store::open(&self.url, Role::Daemon, self.clock.clone(), &identity).await.expect("a store");
            let repeats = Repeats::new(store.reader().clone(), store.writer().clone(), self.clock.clone());
            (store, repeats)
        }
    }

    fn key(name: &str, request: u8) -> IdempotencyKey {
        IdempotencyKey { key: name.to_owned(), request_hash: [request; 32] }
    }

    fn done(count: u32) -> Answer {
        Answer { status: 200, body: format!("{{\"count\":{count}}}"), kept: false }
    }

    async fn counted(repeats: &Repeats<Wrong>, key: IdempotencyKey, count: &Arc<AtomicU32>) -> Result<Answer, Wrong> {
        let count = count.clone();
        let work = async move { Ok(done(count.fetch_add(1, Ordering::SeqCst) + 1)) };
        repeats.once(Some("acme".into()), "ops".into(), key, work).await
    }

    #[tokio::test]
    async fn a_repeated_request_gets_the_first_answer_also_from_the_next_process() {
        let (bench, count) = (Bench::new(), Arc::new(AtomicU32::new(0)));
        let (store, repeats) = bench.open().await;
        assert_eq!(counted(&repeats, key("k", 1), &count).await, Ok(done(1)));
        let again = Ok(Answer { kept: true, ..done(1) });
        assert_eq!(counted(&repeats, key("k", 1), &count).await, again);
        drop(repeats);
        store.close().await;
        let (_store, repeats) = bench.open().await;
        assert_eq!(counted(&repeats, key("k", 1), &count).await, again);
        assert_eq!(counted(&repeats, key("k", 2), &count).await, Err(Wrong::Door(DoorError::KeyReused)));
        assert_eq!(counted(&repeats, key("other", 2), &count).await, Ok(done(2)));
        let work = async { Ok(done(7)) };
        let elsewhere = repeats.once(None, "ops".into(), key("k", 1), work).await;
        assert_eq!(elsewhere, Ok(done(7)), "a key is one of its tenant's");
    }

    #[tokio::test]
    async fn what_is_under_way_is_joined_and_goes_on_when_nobody_waits() {
        let bench = Bench::new();
        let (_store, repeats) = bench.open().await;
        let (gate, count) = (Arc::new(Notify::new()), Arc::new(AtomicU32::new(0)));
        let ask = |hash: u8| {
            let (gate, count) = (gate.clone(), count.clone());
            let work = async move {
                gate.notified().await;
                Ok(done(count.fetch_add(1, Ordering::SeqCst) + 1))
            };
            repeats.once(Some("acme".into()), "ops".into(), key("k", hash), work)
        };
        {
            let mut left = std::pin::pin!(ask(1));
            tokio::select! {
                biased;
                _ = &mut left => panic!("the gate is shut"),
                () = tokio::task::yield_now() => {}
            }
        }
        assert_eq!(ask(2).await, Err(Wrong::Door(DoorError::KeyReused)));
        let open = async { gate.notify_one() };
        let (one, other, ()) = tokio::join!(ask(1), ask(1), open);
        assert_eq!((one, other), (Ok(done(1)), Ok(done(1))));
        repeats.finish().await;
        assert!(locked(&repeats.under_way).is_empty());
    }

    #[tokio::test]
    async fn an_error_is_not_kept_and_a_panic_ends_alone() {
        let bench = Bench::new();
        let (_store, repeats) = bench.open().await;
        let ask = |work| repeats.once(None, "ops".into(), key("k", 1), work);
        let work: crate::clock::BoxFuture<Result<Answer, Wrong>> = Box::pin(async { Err(Wrong::Work) });
        assert_eq!(ask(work).await, Err(Wrong::Work));
        assert_eq!(ask(Box::pin(async { panic!("as asked") })).await, Err(Wrong::Door(DoorError::Unavailable)));
        assert_eq!(ask(Box::pin(async { Ok(done(1)) })).await, Ok(done(1)));
    }

    #[tokio::test]
    async fn more_than_can_be_under_way_are_told_to_come_again() {
        let bench = Bench::new();
        let (_store, repeats) = bench.open().await;
        let begin = |n: usize| {
            let work = std::future::pending::<Result<Answer, Wrong>>();
            repeats.join_or_begin(None, "ops".into(), key(&n.to_string(), 1), work)
        };
        let _under_way: Vec<_> = (0..MOST_UNDER_WAY).map(|n| begin(n).expect("room")).collect();
        assert_eq!(begin(MOST_UNDER_WAY).expect_err("full"), Wrong::Door(DoorError::Unavailable));
        assert!(begin(0).is_ok(), "joined");
    }
}
