//! The writer: takes changes from a queue and commits them in groups.
//!
//! A group holds the changes that arrived during the previous commit. There is no timer: an idle writer commits a
//! single change at once. If a group fails because of one of its changes, each change is retried on its own.

mod closing;
mod importing;

use std::collections::VecDeque;
use std::sync::Arc;

use sqlx::AnyConnection;
use tokio::sync::{mpsc, oneshot, watch};

use super::backend::{Access, Backend, close_quietly};
use super::batch::{self, Script, Transaction, Values};
use super::change::{AgentSchedule, Commit, CommitResult, ImportOutcome, ScheduleImport};
use super::checkpoint::{self, CheckpointResult};
use super::control;
use super::error::{CommitError, EngineFault, classify_error};
use super::failure::StoreFailure;
use super::import;
use super::interceptor::{EngineOperation, Interceptor};
use super::lock::{self, FileLock};
use super::sequence_ends::{EventNumberChannels, SequenceEnds, tenants_with_numbered_rows};
use super::tables::agents::erasing;
use super::tables::agents::history::{self, LatestEntries, LatestEntryUpdates};
use super::tables::changes::transitions;
use super::tables::jobs::retention::{self, PruneSlice};
use super::tables::live::figures;
use super::tables::operations::upkeep;
use super::tables::platform::calls;
use super::tables::rules::memory as automation;
use super::tables::webhooks::{deliveries, events};
use super::tables::{self, access, adherence, agents, audit};
use super::writer_metrics::{TransactionMetrics, WriterMetrics};
use crate::clock::{SharedClock, Stopwatch};
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;

/// The number of changes that may wait for the writer; further callers wait for a free place.
const QUEUE_CAPACITY: usize = 1024;
/// The maximum number of changes in one group, so that no caller waits too long for a commit.
const MAX_GROUP_SIZE: usize = 512;

/// A handle to the writer. Clones share the same writer.
#[derive(Clone, Debug)]
pub struct Writer {
    queue: mpsc::Sender<Job>,
    failure: watch::Receiver<StoreFailure>,
    event_channels: EventNumberChannels,
    audit_appended: watch::Receiver<u64>,
    transactions: Arc<TransactionMetrics>,
}

type ReplySender<T> = oneshot::Sender<Result<T, CommitError>>;

#[derive(Debug)]
enum Job {
    Commit(Box<Commit>, ReplySender<CommitResult>),
    Import(Box<ScheduleImport>, ReplySender<ImportOutcome>),
    SetListen(String, ReplySender<()>),
    Prune(Box<PruneSlice>, ReplySender<u64>),
    Checkpoint(ReplySender<CheckpointResult>),
    Probe(ReplySender<()>),
    Ping(oneshot::Sender<()>),
    PassiveCheckpoint(ReplySender<()>),
    #[cfg(test)]
    Set(&'static str, oneshot::Sender<()>),
    Close(oneshot::Sender<()>),
}

impl Writer {
    /// Stores a change, completely or not at all, and returns once it is durable. A queued change is stored even if the
    /// caller stops waiting.
    pub async fn commit(&self, commit: Commit) -> Result<CommitResult, CommitError> {
        self.ask(|answer| Job::Commit(Box::new(commit), answer)).await
    }

    /// Imports a schedule: stages it in slices, with other changes committed in between, and activates it in one
    /// commit. Content equal to the active schedule changes nothing. A queued import continues even if the caller stops
    /// waiting.
    pub async fn import(&self, import: ScheduleImport) -> Result<ImportOutcome, CommitError> {
        self.ask(|answer| Job::Import(Box::new(import), answer)).await
    }

    /// Returns a receiver for the number of a tenant's newest event, updated after each commit; 0 until the first
    /// commit since the start.
    pub fn event_numbers(&self, tenant: &TenantId) -> watch::Receiver<u64> {
        self.event_channels.subscribe(tenant)
    }

    /// Records the address that the HTTP server listens on, for commands that look for the daemon.
    pub async fn set_listen(&self, address: &str) -> Result<(), CommitError> {
        self.ask(|answer| Job::SetListen(address.to_owned(), answer)).await
    }

    /// Deletes one slice of at most [`super::SLICE_ROWS`] rows and returns how many were deleted. To delete more, call
    /// it again; other changes are committed in between.
    pub async fn prune(&self, slice: PruneSlice) -> Result<u64, CommitError> {
        self.ask(|answer| Job::Prune(Box::new(slice), answer)).await
    }

    /// Checkpoints the write-ahead log as far as readers allow, without waiting for them. Does nothing on PostgreSQL.
    pub async fn checkpoint(&self) -> Result<CheckpointResult, CommitError> {
        self.ask(Job::Checkpoint).await
    }

    /// Returns whether no change is waiting for the writer.
    pub fn is_idle(&self) -> bool {
        self.queue.capacity() == self.queue.max_capacity()
    }

    /// Returns a receiver for the reason why the store cannot be written. It is set by the first change that fails and
    /// cleared by the first [`Writer::probe`] that succeeds.
    pub fn failure(&self) -> watch::Receiver<StoreFailure> {
        self.failure.clone()
    }

    /// Tests whether the store can be written, with a transaction that changes nothing.
    pub async fn probe(&self) -> Result<(), CommitError> {
        self.ask(Job::Probe).await
    }

    /// Checkpoints the write-ahead log as far as no reader needs it. SQLite also does so by itself, but does not report
    /// when it fails. Does nothing on PostgreSQL.
    pub async fn checkpoint_passive(&self) -> Result<(), CommitError> {
        self.ask(Job::PassiveCheckpoint).await
    }

    /// Returns a receiver for the number of audit entries committed since the store was opened, over all tenants.
    pub fn audit_appended(&self) -> watch::Receiver<u64> {
        self.audit_appended.clone()
    }

    /// Returns once the writer has processed everything queued before, whether or not it could be stored. Never returns
    /// while the writer hangs.
    pub async fn ping(&self) {
        let (answer, answered) = oneshot::channel();
        if self.queue.send(Job::Ping(answer)).await.is_ok() {
            // An error means that the writer was closed in the meantime.
            let _ = answered.await;
        }
    }

    /// Returns the writer's metrics.
    pub fn metrics(&self) -> WriterMetrics {
        let capacity = self.queue.max_capacity();
        self.transactions.snapshot(capacity - self.queue.capacity(), capacity)
    }

    /// Commits what is queued, checkpoints the log and releases the store. Later changes fail with
    /// [`CommitError::Closed`]. Called by [`super::Store::close`].
    pub async fn close(&self) {
        let (answer, answered) = oneshot::channel();
        if self.queue.send(Job::Close(answer)).await.is_ok() {
            // An error means that the writer was already closed.
            let _ = answered.await;
        }
    }

    /// Changes a setting of the writer's connection, to simulate a full disk.
    #[cfg(test)]
    pub(crate) async fn set(&self, pragma: &'static str) {
        let (answer, answered) = oneshot::channel();
        assert!(self.queue.send(Job::Set(pragma, answer)).await.is_ok() && answered.await.is_ok());
    }

    async fn ask<T>(&self, job: impl FnOnce(ReplySender<T>) -> Job) -> Result<T, CommitError> {
        let (answer, answered) = oneshot::channel();
        self.queue.send(job(answer)).await.map_err(|_| CommitError::Closed)?;
        answered.await.unwrap_or(Err(CommitError::Closed))
    }
}

/// The task behind the writer handles.
pub(super) struct WriterTask {
    backend: Backend,
    /// The file lock, held until the connection is closed.
    lock: Option<FileLock>,
    connection: Option<AnyConnection>,
    epoch: i64,
    clock: SharedClock,
    sequence_ends: SequenceEnds,
    latest_entries: LatestEntries,
    event_channels: EventNumberChannels,
    script: Script,
    queue: mpsc::Receiver<Job>,
    deferred_jobs: VecDeque<Job>,
    failure: watch::Sender<StoreFailure>,
    audit_appended: watch::Sender<u64>,
    transactions: Arc<TransactionMetrics>,
    interceptor: Interceptor,
}

impl WriterTask {
    pub(super) fn new(
        backend: Backend,
        lock: Option<FileLock>,
        connection: AnyConnection,
        epoch: i64,
        clock: SharedClock,
        gate: Interceptor,
    ) -> (Self, Writer) {
        let (sender, queue) = mpsc::channel(QUEUE_CAPACITY);
        let script = Script::new(backend.placeholders());
        let (trouble, failure_receiver) = watch::channel(StoreFailure::default());
        let (appended, appended_receiver) = watch::channel(0);
        let transactions = Arc::<TransactionMetrics>::default();
        let task = Self {
            backend,
            lock,
            connection: Some(connection),
            epoch,
            clock,
            sequence_ends: SequenceEnds::default(),
            latest_entries: LatestEntries::default(),
            event_channels: EventNumberChannels::default(),
            script,
            queue,
            deferred_jobs: VecDeque::new(),
            failure: trouble,
            audit_appended: appended,
            transactions: transactions.clone(),
            interceptor: gate,
        };
        let event_news = task.event_channels.clone();
        (
            task,
            Writer {
                queue: sender,
                failure: failure_receiver,
                event_channels: event_news,
                audit_appended: appended_receiver,
                transactions,
            },
        )
    }

    /// Runs until the writer is closed or every handle is dropped.
    pub(super) async fn run(mut self) {
        loop {
            let job = match self.deferred_jobs.pop_front() {
                Some(job) => Some(job),
                None => self.queue.recv().await,
            };
            match job {
                Some(Job::Commit(commit, answer)) => self.commit_with_queued(*commit, answer).await,
                Some(Job::Import(import, answer)) => {
                    let result = self.import(&import).await;
                    let _ = answer.send(result);
                }
                Some(Job::SetListen(address, answer)) => {
                    let gate = self.interceptor.clone();
                    let set = self.set_listen(&address);
                    let result = gate.run(EngineOperation::Write, CommitError::from_engine, set).await;
                    let _ = answer.send(result);
                }
                Some(Job::Prune(slice, answer)) => {
                    let mut deleted = 0;
                    let result = self.transact(TransactionWork::Prune(&slice, &mut deleted)).await.map(|_| deleted);
                    let _ = answer.send(result);
                }
                Some(Job::Checkpoint(answer)) => {
                    let gate = self.interceptor.clone();
                    let result =
                        gate.run(EngineOperation::Checkpoint, CommitError::from_engine, self.checkpoint()).await;
                    let _ = answer.send(result);
                }
                Some(Job::Probe(answer)) => {
                    let result = self.transact(TransactionWork::Probe).await.map(|_| ());
                    let _ = answer.send(result);
                }
                Some(Job::Ping(answer)) => drop(answer.send(())),
                Some(Job::PassiveCheckpoint(answer)) => {
                    let result = self.checkpoint_passive_and_record().await;
                    let _ = answer.send(result);
                }
                #[cfg(test)]
                Some(Job::Set(pragma, answer)) => {
                    let connection = self.connect().await.expect("connects");
                    sqlx::raw_sql(pragma).execute(connection).await.expect("a setting");
                    let _ = answer.send(());
                }
                Some(Job::Close(answer)) => {
                    self.queue.close();
                    self.close().await;
                    let _ = answer.send(());
                    return;
                }
                None => {
                    self.close().await;
                    return;
                }
            }
        }
    }

    async fn checkpoint_passive_and_record(&mut self) -> Result<(), CommitError> {
        let interceptor = self.interceptor.clone();
        let checkpoint = self.checkpoint_passive();
        let result = interceptor.run(EngineOperation::Checkpoint, CommitError::from_engine, checkpoint).await;
        self.failure.send_if_modified(|failure| StoreFailure::record(&mut failure.checkpoint, result.as_ref().err()));
        result
    }

    async fn commit_with_queued(&mut self, commit: Commit, answer: ReplySender<CommitResult>) {
        let mut commits = vec![commit];
        let mut answers = vec![answer];
        self.collect_queued(&mut commits, &mut answers);
        self.commit_group(&commits, answers).await;
    }

    /// Takes the waiting changes from the queue, up to the first job of another kind.
    fn collect_queued(&mut self, commits: &mut Vec<Commit>, answers: &mut Vec<ReplySender<CommitResult>>) {
        while commits.len() < MAX_GROUP_SIZE && self.deferred_jobs.is_empty() {
            match self.queue.try_recv() {
                Ok(Job::Commit(commit, answer)) => {
                    commits.push(*commit);
                    answers.push(answer);
                }
                Ok(other) => self.deferred_jobs.push_back(other),
                Err(_) => break,
            }
        }
    }

    async fn commit_group(&mut self, commits: &[Commit], answers: Vec<ReplySender<CommitResult>>) {
        let group: Vec<&Commit> = commits.iter().collect();
        let results: Vec<_> = match self.write(&group).await {
            Ok(done) => done.into_iter().map(Ok).collect(),
            Err(error) if group.len() > 1 && error.may_be_caused_by_one_change() => {
                let mut results = Vec::with_capacity(group.len());
                for commit in &group {
                    let one = self.write(&[commit]).await;
                    results.push(one.map(|mut done| done.pop().unwrap_or_default()));
                }
                results
            }
            Err(error) => group.iter().map(|_| Err(error.clone())).collect(),
        };
        for (answer, result) in answers.into_iter().zip(results) {
            // The caller may have stopped waiting; the change is stored all the same.
            let _ = answer.send(result);
        }
    }

    /// Writes all changes of `group` in one transaction.
    async fn write(&mut self, group: &[&Commit]) -> Result<Vec<CommitResult>, CommitError> {
        self.transact(TransactionWork::Changes(group)).await
    }

    /// Runs some work in one transaction; if it fails, nothing is stored.
    async fn transact(&mut self, transaction: TransactionWork<'_>) -> Result<Vec<CommitResult>, CommitError> {
        // A change that writes nothing also succeeds on a full disk, so only a probe shows that the failure is over.
        let is_health_check = matches!(transaction, TransactionWork::Probe);
        let watch = Stopwatch::start();
        let gate = self.interceptor.clone();
        let result = gate.run(EngineOperation::Write, CommitError::from_engine, self.try_transact(transaction)).await;
        self.transactions.record(watch.elapsed(), result.is_err());
        if result.is_err() || is_health_check {
            self.failure.send_if_modified(|trouble| StoreFailure::record(&mut trouble.commit, result.as_ref().err()));
        }
        result
    }

    async fn try_transact(&mut self, transaction: TransactionWork<'_>) -> Result<Vec<CommitResult>, CommitError> {
        self.connect().await?;
        let Some(connection) = self.connection.as_mut() else { return Err(CommitError::Closed) };
        let mut sequence_ends = self.sequence_ends.clone();
        let mut latest_updates = LatestEntryUpdates::new();
        let mut state = TransactionState {
            sequence_ends: &mut sequence_ends,
            latest_entries: &self.latest_entries,
            latest_updates: &mut latest_updates,
        };
        let now = self.clock.now();
        let written = async {
            match self.backend.begin_if_epoch_matches().filter(|_| transaction.is_write_only(state.sequence_ends)) {
                Some(begin) => self.script.defer_begin(begin, self.epoch),
                None => control::begin(connection, self.backend.begin(), self.epoch).await?,
            }
            let mut open = Transaction { connection, script: &mut self.script };
            transaction.apply(&mut open, &mut state, now).await
        }
        .await;
        let failed = match written {
            Ok(done) => match self.script.commit(connection).await {
                Ok(()) => {
                    self.event_channels.notify(&sequence_ends.events);
                    self.sequence_ends = sequence_ends;
                    self.latest_entries.apply(latest_updates);
                    let entries: usize = done.iter().map(|committed| committed.audit.len()).sum();
                    if entries > 0 {
                        self.audit_appended.send_modify(|count| *count += entries as u64);
                    }
                    return Ok(done);
                }
                Err(error) => CommitError::from_commit(error),
            },
            Err(error) => error,
        };
        self.roll_back().await;
        Err(self.check_takeover(failed).await)
    }

    /// Replaces `error` by [`CommitError::LostEpoch`] if another process has taken over the store. A transaction that
    /// is sent together with its first statements fails in the same way in both cases.
    async fn check_takeover(&mut self, error: CommitError) -> CommitError {
        let (CommitError::Refused(_), Some(connection)) = (&error, self.connection.as_mut()) else { return error };
        match control::epoch(connection).await {
            Ok(theirs) if theirs != self.epoch => CommitError::LostEpoch { ours: self.epoch, theirs },
            Ok(_) | Err(_) => error,
        }
    }

    /// Rolls back a failed transaction and drops the cached state; if the connection may be lost, the next change
    /// reconnects. `sqlx`'s own transactions are not used because SQLite ends a transaction by itself when the disk is
    /// full, and they would not notice.
    async fn roll_back(&mut self) {
        self.sequence_ends = SequenceEnds::default();
        self.latest_entries = LatestEntries::default();
        self.script.clear();
        let Some(connection) = self.connection.as_mut() else { return };
        let Err(error) = sqlx::query("ROLLBACK").execute(&mut *connection).await else { return };
        let ended_already =
            matches!(self.backend, Backend::Sqlite { .. }) && classify_error(&error) == EngineFault::Other;
        if !ended_already {
            self.connection = None;
        }
    }

    async fn connect(&mut self) -> Result<&mut AnyConnection, CommitError> {
        if self.connection.is_none() {
            let mut connection = self.backend.connect(Access::Write).await.map_err(CommitError::from_engine)?;
            if !lock::acquire_session_lock(&self.backend, &mut connection).await.map_err(CommitError::from_engine)? {
                close_quietly(connection).await;
                return Err(CommitError::LostEpoch { ours: self.epoch, theirs: 0 });
            }
            self.connection = Some(connection);
        }
        self.connection.as_mut().ok_or(CommitError::Closed)
    }

    async fn set_listen(&mut self, address: &str) -> Result<(), CommitError> {
        let values = Values::default().text(address).int(self.epoch);
        batch::execute(self.connect().await?, control::SET_LISTEN, values).await.map(|_| ())
    }

    async fn checkpoint(&mut self) -> Result<CheckpointResult, CommitError> {
        let backend = self.backend.clone();
        checkpoint::checkpoint_without_waiting(&backend, self.connect().await?).await
    }

    async fn checkpoint_passive(&mut self) -> Result<(), CommitError> {
        let backend = self.backend.clone();
        checkpoint::checkpoint_passive(&backend, self.connect().await?).await
    }
}

/// The writer's cached state, as one transaction sees it.
struct TransactionState<'a> {
    /// A copy, which replaces the original when the transaction is committed.
    sequence_ends: &'a mut SequenceEnds,
    latest_entries: &'a LatestEntries,
    /// Applied to `latest_entries` when the transaction is committed.
    latest_updates: &'a mut LatestEntryUpdates,
}

/// The work of one transaction.
enum TransactionWork<'a> {
    /// Stores a group of changes.
    Changes(&'a [&'a Commit]),
    /// Writes and leaves everything unchanged.
    Probe,
    /// Deletes what an import staged beyond the active version.
    ClearStaged(&'a TenantId, i64),
    /// Stages some agents of an import.
    Stage(&'a TenantId, i64, &'a [AgentSchedule]),
    /// Deletes some rows and returns their number in the counter.
    Prune(&'a PruneSlice, &'a mut u64),
    /// Activates a staged version, together with its change.
    Activate(i64, &'a ScheduleImport, &'a Commit),
}

impl TransactionWork<'_> {
    /// Returns whether all statements go through the script, without reading stored rows first.
    fn is_write_only(&self, sequence_ends: &SequenceEnds) -> bool {
        match self {
            Self::Changes(group) => {
                sequence_ends.contains_all(group.iter().flat_map(|commit| tenants_with_numbered_rows(commit)))
            }
            Self::Probe | Self::ClearStaged(..) | Self::Stage(..) | Self::Prune(..) | Self::Activate(..) => false,
        }
    }

    async fn apply(
        self,
        transaction: &mut Transaction<'_>,
        state: &mut TransactionState<'_>,
        now: UtcMicros,
    ) -> Result<Vec<CommitResult>, CommitError> {
        match self {
            Self::Changes(group) => apply(transaction, state, now, group).await,
            Self::Probe => control::probe(transaction.connection).await.map(|()| Vec::new()),
            Self::ClearStaged(tenant, current) => {
                import::clear_staged(transaction.connection, tenant, current).await.map(|()| Vec::new())
            }
            Self::Stage(tenant, version, agents) => {
                import::stage(transaction, tenant, version, agents).await.map(|()| Vec::new())
            }
            Self::Prune(slice, gone) => {
                retention::prune(transaction.connection, slice).await.map(|count| *gone = count).map(|()| Vec::new())
            }
            Self::Activate(version, import, with) => {
                import::activate(transaction, version, now, import).await?;
                apply(transaction, state, now, &[with]).await
            }
        }
    }
}

/// Writes the rows of all changes, table by table.
async fn apply(
    transaction: &mut Transaction<'_>,
    state: &mut TransactionState<'_>,
    now: UtcMicros,
    group: &[&Commit],
) -> Result<Vec<CommitResult>, CommitError> {
    let TransactionState { sequence_ends: tails, latest_entries: latest, latest_updates: news } = state;
    tails.load(transaction.connection, group.iter().flat_map(|commit| tenants_with_numbered_rows(commit))).await?;
    let SequenceEnds { heads, history: history_ids, events: event_numbers, settled_days: settled } = tails;
    let states = async {
        agents::write(transaction, group.iter().flat_map(|commit| &commit.agents)).await?;
        agents::write_schedule_reads(transaction, group.iter().flat_map(|commit| &commit.schedule_reads)).await?;
        agents::write_directory(transaction, group.iter().flat_map(|commit| &commit.directory)).await?;
        let steps = group.iter().flat_map(|commit| &commit.history);
        history::write(transaction, history_ids, latest, steps).await
    };
    // Polled after the first statement is sent, so that the engine writes history while this thread hashes and formats.
    let prepared = async {
        let sealed = audit::seal(heads, group.iter().flat_map(|commit| &commit.audit))?;
        let numbered = events::assign_numbers(event_numbers, group.iter().flat_map(|commit| &commit.events))?;
        Ok::<_, CommitError>((sealed, numbered))
    };
    let (states, worded) = tokio::join!(biased; states, prepared);
    let ((ids, latest_changes), (sealed, numbered)) = (states?, worded?);
    **news = latest_changes;
    transitions::write(transaction, now, group.iter().flat_map(|commit| &commit.transitions)).await?;
    calls::write(transaction, group.iter().flat_map(|commit| &commit.calls)).await?;
    audit::write(transaction, &sealed).await?;
    audit::write_notes(transaction, group.iter().flat_map(|commit| &commit.notes)).await?;
    events::write(transaction, &numbered).await?;
    automation::write(transaction, group.iter().flat_map(|commit| &commit.memory)).await?;
    figures::write(transaction, group).await?;
    deliveries::write(transaction, group).await?;
    upkeep::write(transaction, group).await?;
    tables::write_rows(transaction, group).await?;
    adherence::write(transaction, settled, group).await?;
    access::write(transaction, group).await?;
    news.extend(erasing::write(transaction, group).await?);
    let (mut ids, mut seqs) = (ids.into_iter(), sealed.iter().map(|(_, entry)| entry.seq));
    Ok(group
        .iter()
        .map(|commit| CommitResult {
            history: ids.by_ref().take(commit.history.len()).collect(),
            audit: seqs.by_ref().take(commit.audit.len()).collect(),
        })
        .collect())
}
