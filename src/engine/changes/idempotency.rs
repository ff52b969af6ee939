//! Requests with an `Idempotency-Key`. A repeated request gets the first response again, also while the first is in
//! progress and after a restart. All kinds of requests share this code.
//!
//! A request is carried out to its end even if the client is gone, and then its response is stored. A process that dies
//! between the two does not know that the work was done, so work that must not be repeated stores its response in its
//! own commit, as the keeper does for transitions. Errors are not stored: nothing was done, and a repetition may
//! succeed.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::request::{IdempotencyKey, KeeperError, RequestedChange};
use crate::clock::SharedClock;
use crate::domain::audit::Hash;
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::store::{Commit, IdempotencyRow, ReadError, Reader, Writer};

/// The largest number of requests in progress at once; further ones are turned away.
const MAX_IN_PROGRESS: usize = 1024;

/// The response to a request that was carried out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredResponse {
    /// The HTTP status.
    pub status: u16,
    /// The body as JSON.
    pub body: String,
    /// Whether the response is already in the store.
    pub is_stored: bool,
}

impl StoredResponse {
    /// Returns the response to a request for transitions, which the keeper stores.
    pub fn from_changes(transitions: &[RequestedChange]) -> Self {
        Self { status: 202, body: json!({ "transitions": transitions }).to_string(), is_stored: true }
    }

    /// Converts the response into a row of the store.
    pub(in crate::engine) fn into_row(
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
            response_body: self.body,
            at,
        }
    }
}

/// The identity of a request: a tenant (`None` for the daemon itself), a token and a key.
type RequestIdentity = (Option<TenantId>, Arc<str>, String);

type PendingResult<E> = Option<Result<StoredResponse, E>>;

struct InProgress<E> {
    request_hash: [u8; 32],
    result: watch::Receiver<PendingResult<E>>,
}

type InProgressRequests<E> = Arc<Mutex<HashMap<RequestIdentity, InProgress<E>>>>;

/// Runs each request once. Cheap to clone. `E` is the caller's error type.
pub struct IdempotentRequests<E> {
    store: IdempotencyStore,
    in_progress: InProgressRequests<E>,
    /// Aborted when the last clone is dropped; the tasks hold no clone themselves.
    tasks: Arc<Mutex<JoinSet<()>>>,
}

impl<E> Clone for IdempotentRequests<E> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), in_progress: self.in_progress.clone(), tasks: self.tasks.clone() }
    }
}

/// The stored responses.
#[derive(Clone)]
struct IdempotencyStore {
    reader: Reader,
    writer: Writer,
    clock: SharedClock,
}

impl<E> IdempotentRequests<E>
where
    E: Clone + From<KeeperError> + From<ReadError> + Send + Sync + 'static,
{
    /// Creates an instance with no requests in progress.
    pub fn new(reader: Reader, writer: Writer, clock: SharedClock) -> Self {
        Self {
            store: IdempotencyStore { reader, writer, clock },
            in_progress: InProgressRequests::default(),
            tasks: Arc::default(),
        }
    }

    /// Runs the work, or returns the stored response if it was already run under this key.
    pub async fn run_once<W>(
        &self,
        tenant: Option<TenantId>,
        token: Arc<str>,
        key: IdempotencyKey,
        work: W,
    ) -> Result<StoredResponse, E>
    where
        W: Future<Output = Result<StoredResponse, E>> + Send + 'static,
    {
        let mut result = self.join_or_start(tenant, token, key, work)?;
        let completed = result.wait_for(Option::is_some).await;
        // There is no result if the work panicked or the daemon is stopping.
        completed.ok().and_then(|seen| seen.clone()).unwrap_or_else(|| Err(KeeperError::Unavailable.into()))
    }

    /// Waits until no request is in progress.
    pub async fn finish(&self) {
        let all: Vec<_> = locked(&self.in_progress).values().map(|request| request.result.clone()).collect();
        for mut result in all {
            let _ = result.wait_for(Option::is_some).await;
        }
    }

    fn join_or_start<W>(
        &self,
        tenant: Option<TenantId>,
        token: Arc<str>,
        key: IdempotencyKey,
        work: W,
    ) -> Result<watch::Receiver<PendingResult<E>>, E>
    where
        W: Future<Output = Result<StoredResponse, E>> + Send + 'static,
    {
        let identity = (tenant, token, key.key.clone());
        let mut in_progress = locked(&self.in_progress);
        if let Some(running) = in_progress.get(&identity) {
            let is_same_request = running.request_hash == key.request_hash;
            return if is_same_request { Ok(running.result.clone()) } else { Err(KeeperError::KeyReused.into()) };
        }
        if in_progress.len() >= MAX_IN_PROGRESS {
            return Err(KeeperError::Unavailable.into());
        }
        let (result_sender, outcome) = watch::channel(None);
        in_progress.insert(identity.clone(), InProgress { request_hash: key.request_hash, result: outcome.clone() });
        let (store, guard) = (self.store.clone(), RemoveOnDrop { in_progress: self.in_progress.clone(), identity });
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            let (tenant, token, _) = &guard.identity;
            result_sender.send_replace(Some(store.run_unless_stored(tenant.clone(), token.clone(), &key, work).await));
        });
        Ok(outcome)
    }
}

impl IdempotencyStore {
    async fn run_unless_stored<E, W>(
        &self,
        tenant: Option<TenantId>,
        token: Arc<str>,
        key: &IdempotencyKey,
        work: W,
    ) -> Result<StoredResponse, E>
    where
        E: From<KeeperError> + From<ReadError>,
        W: Future<Output = Result<StoredResponse, E>>,
    {
        if let Some(stored) = self.reader.idempotency_row(tenant.as_ref(), &token, &key.key).await? {
            let is_same_request = stored.request_hash == Hash(key.request_hash);
            let response = StoredResponse { status: stored.status, body: stored.response_body, is_stored: true };
            return if is_same_request { Ok(response) } else { Err(KeeperError::KeyReused.into()) };
        }
        let response = work.await?;
        if !response.is_stored {
            let row = response.clone().into_row(tenant, token, key, self.clock.now());
            let commit = Commit { idempotency: vec![row], ..Commit::default() };
            if let Err(error) = self.writer.commit(commit).await {
                tracing::warn!(%error, "an answer could not be kept: the same request would be carried out again");
            }
        }
        Ok(response)
    }
}

/// Removes a request from the list when it ends in any way.
struct RemoveOnDrop<E> {
    in_progress: InProgressRequests<E>,
    identity: RequestIdentity,
}

impl<E> Drop for RemoveOnDrop<E> {
    fn drop(&mut self) {
        locked(&self.in_progress).remove(&self.identity);
    }
}

fn locked<E>(
    in_progress: &Mutex<HashMap<RequestIdentity, InProgress<E>>>,
) -> MutexGuard<'_, HashMap<RequestIdentity, InProgress<E>>> {
    in_progress.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;

    use super::*;
    use crate::clock::ManualClock;
    use crate::store::{ProcessIdentity, ProcessRole, Store};

    #[derive(Clone, PartialEq, Debug)]
    enum TestError {
        Keeper(KeeperError),
        Read,
        Work,
    }

    impl From<KeeperError> for TestError {
        fn from(error: KeeperError) -> Self {
            Self::Keeper(error)
        }
    }

    impl From<ReadError> for TestError {
        fn from(_: ReadError) -> Self {
            Self::Read
        }
    }

    struct Fixture {
        _folder: tempfile::TempDir,
        url: String,
        clock: SharedClock,
    }

    impl Fixture {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let url = format!("sqlite://{}", folder.path().join("s.db").display());
            Self { _folder: folder, url, clock: Arc::new(ManualClock::at(UtcMicros::EPOCH)) }
        }

        async fn open(&self) -> (Store, IdempotentRequests<TestError>) {
            let identity = ProcessIdentity { host: "test".into(), pid: 1, version: "test".into() };
            let store =
                Store::open(&self.url, ProcessRole::Daemon, self.clock.clone(), &identity).await.expect("a store");
            let requests = IdempotentRequests::new(store.reader().clone(), store.writer().clone(), self.clock.clone());
            (store, requests)
        }
    }

    fn key(name: &str, request: u8) -> IdempotencyKey {
        IdempotencyKey { key: name.to_owned(), request_hash: [request; 32] }
    }

    fn response_with_count(count: u32) -> StoredResponse {
        StoredResponse { status: 200, body: format!("{{\"count\":{count}}}"), is_stored: false }
    }

    async fn count_run(
        requests: &IdempotentRequests<TestError>,
        key: IdempotencyKey,
        count: &Arc<AtomicU32>,
    ) -> Result<StoredResponse, TestError> {
        let count = count.clone();
        let work = async move { Ok(response_with_count(count.fetch_add(1, Ordering::SeqCst) + 1)) };
        requests.run_once(Some("acme".into()), "ops".into(), key, work).await
    }

    #[tokio::test]
    async fn a_repeated_request_gets_the_first_answer_also_from_the_next_process() {
        let (fixture, count) = (Fixture::new(), Arc::new(AtomicU32::new(0)));
        let (store, requests) = fixture.open().await;
        assert_eq!(count_run(&requests, key("k", 1), &count).await, Ok(response_with_count(1)));
        let again = Ok(StoredResponse { is_stored: true, ..response_with_count(1) });
        assert_eq!(count_run(&requests, key("k", 1), &count).await, again);
        drop(requests);
        store.close().await;
        let (_store, requests) = fixture.open().await;
        assert_eq!(count_run(&requests, key("k", 1), &count).await, again);
        assert_eq!(count_run(&requests, key("k", 2), &count).await, Err(TestError::Keeper(KeeperError::KeyReused)));
        assert_eq!(count_run(&requests, key("other", 2), &count).await, Ok(response_with_count(2)));
        let work = async { Ok(response_with_count(7)) };
        let elsewhere = requests.run_once(None, "ops".into(), key("k", 1), work).await;
        assert_eq!(elsewhere, Ok(response_with_count(7)), "a key is one of its tenant's");
    }

    #[tokio::test]
    async fn a_request_in_progress_is_joined_and_continues_without_waiters() {
        let fixture = Fixture::new();
        let (_store, requests) = fixture.open().await;
        let (gate, count) = (Arc::new(Notify::new()), Arc::new(AtomicU32::new(0)));
        let send = |hash: u8| {
            let (gate, count) = (gate.clone(), count.clone());
            let work = async move {
                gate.notified().await;
                Ok(response_with_count(count.fetch_add(1, Ordering::SeqCst) + 1))
            };
            requests.run_once(Some("acme".into()), "ops".into(), key("k", hash), work)
        };
        {
            let mut abandoned = std::pin::pin!(send(1));
            tokio::select! {
                biased;
                _ = &mut abandoned => panic!("the gate is shut"),
                () = tokio::task::yield_now() => {}
            }
        }
        assert_eq!(send(2).await, Err(TestError::Keeper(KeeperError::KeyReused)));
        let open = async { gate.notify_one() };
        let (one, other, ()) = tokio::join!(send(1), send(1), open);
        assert_eq!((one, other), (Ok(response_with_count(1)), Ok(response_with_count(1))));
        requests.finish().await;
        assert!(locked(&requests.in_progress).is_empty());
    }

    #[tokio::test]
    async fn an_error_is_not_kept_and_a_panic_ends_alone() {
        let fixture = Fixture::new();
        let (_store, requests) = fixture.open().await;
        let run = |work| requests.run_once(None, "ops".into(), key("k", 1), work);
        let work: crate::clock::BoxFuture<Result<StoredResponse, TestError>> = Box::pin(async { Err(TestError::Work) });
        assert_eq!(run(work).await, Err(TestError::Work));
        assert_eq!(run(Box::pin(async { panic!("as asked") })).await, Err(TestError::Keeper(KeeperError::Unavailable)));
        assert_eq!(run(Box::pin(async { Ok(response_with_count(1)) })).await, Ok(response_with_count(1)));
    }

    #[tokio::test]
    async fn requests_above_the_limit_are_asked_to_retry() {
        let fixture = Fixture::new();
        let (_store, requests) = fixture.open().await;
        let start = |n: usize| {
            let work = std::future::pending::<Result<StoredResponse, TestError>>();
            requests.join_or_start(None, "ops".into(), key(&n.to_string(), 1), work)
        };
        let _under_way: Vec<_> = (0..MAX_IN_PROGRESS).map(|n| start(n).expect("room")).collect();
        assert_eq!(start(MAX_IN_PROGRESS).expect_err("full"), TestError::Keeper(KeeperError::Unavailable));
        assert!(start(0).is_ok(), "joined");
    }
}
