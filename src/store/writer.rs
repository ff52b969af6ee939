//! The one writer: takes changes from a queue and commits what gathered while the last commit ran, then answers all.
//!
//! There is no timer: an idle writer commits a single change at once. A group is tried whole; only when a change in it is at
//! fault is it repeated change by change.

mod closing;

use std::collections::VecDeque;
use std::sync::Arc;

use sqlx::AnyConnection;
use tokio::sync::{mpsc, oneshot, watch};

use super::backend::{Access, Backend, close_quietly};
use super::batch::{Script, Values};
use super::change::{AgentSchedule, Commit, Committed, Imported, ScheduleImport};
use super::checkpoint::{self, Checkpointed};
use super::control;
use super::error::{CommitError, Fault, fault_of};
use super::gate::{EngineWork, Gate};
use super::import;
use super::lock::{self, FileLock};
use super::tables::agents::{erasing, history};
use super::tables::changes::transitions;
use super::tables::jobs::retention::{self, Slice};
use super::tables::live::figures;
use super::tables::operations::upkeep;
use super::tables::platform::calls;
use super::tables::rules::memory as automation;
use super::tables::webhooks::{deliveries, events};
use super::tables::{self, access, adherence, agents, audit};
use super::tails::{EventNews, Latest, LatestNews, Tails, numbered_tenants};
use super::trouble::Trouble;
use super::vitals::{Transactions, WriterVitals};
use crate::clock::{SharedClock, Stopwatch};
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;

/// Changes that may wait for the writer; whoever brings one more waits for a place.
const QUEUE_LENGTH: usize = 1024;
/// The most changes of one group, so that nobody waits for an endless commit.
const MOST_CHANGES: usize = 512;

/// The handle that writes. May be cloned.
#[derive(Clone, Debug)]
pub struct Writer {
    queue: mpsc::Sender<Job>,
    trouble: watch::Receiver<Trouble>,
    event_news: EventNews,
    appended: watch::Receiver<u64>,
    transactions: Arc<Transactions>,
}

type Answer<T> = oneshot::Sender<Result<T, CommitError>>;

#[derive(Debug)]
enum Job {
    Commit(Box<Commit>, Answer<Committed>),
    Import(Box<ScheduleImport>, Answer<Imported>),
    SetListen(String, Answer<()>),
    Prune(Box<Slice>, Answer<u64>),
    Checkpoint(Answer<Checkpointed>),
    Probe(Answer<()>),
    Hail(oneshot::Sender<()>),
    Fold(Answer<()>),
    #[cfg(test)]
    Set(&'static str, oneshot::Sender<()>),
    Close(oneshot::Sender<()>),
}

impl Writer {
    /// Stores a change, whole or not at all; done when it is durable. Once the change is queued it is stored even when the
    /// caller stops waiting.
    pub async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        let (answer, answered) = oneshot::channel();
        self.send(Job::Commit(Box::new(commit), answer), answered).await
    }

    /// Brings a schedule in: staged in slices, between which other changes are served, and switched in one commit. The same
    /// content as the one in force changes nothing. Once queued it goes on even when the caller stops waiting.
    pub async fn import(&self, import: ScheduleImport) -> Result<Imported, CommitError> {
        let (answer, answered) = oneshot::channel();
        self.send(Job::Import(Box::new(import), answer), answered).await
    }

    /// The number of a tenant's newest event, told after each commit; 0 until one was committed since the start.
    pub fn event_numbers(&self, tenant: &TenantId) -> watch::Receiver<u64> {
        self.event_news.subscribe(tenant)
    }

    /// Records where the daemon's HTTP face listens, for commands that look for it.
    pub async fn set_listen(&self, address: &str) -> Result<(), CommitError> {
        let (answer, answered) = oneshot::channel();
        self.send(Job::SetListen(address.to_owned(), answer), answered).await
    }

    /// Lets go of one slice of rows, at most [`super::SLICE_ROWS`]; gives how many went. Whoever has more to let go of asks again,
    /// and other changes are served in between.
    pub async fn prune(&self, slice: Slice) -> Result<u64, CommitError> {
        let (answer, answered) = oneshot::channel();
        self.send(Job::Prune(Box::new(slice), answer), answered).await
    }

    /// Folds the write-ahead log into the file as far as readers allow, without waiting for them. Nothing to do on PostgreSQL.
    pub async fn checkpoint(&self) -> Result<Checkpointed, CommitError> {
        let (answer, answered) = oneshot::channel();
        self.send(Job::Checkpoint(answer), answered).await
    }

    /// Nobody waits for the writer.
    pub fn is_idle(&self) -> bool {
        self.queue.capacity() == self.queue.max_capacity()
    }

    /// What keeps the store from being written: known from the first change that fails to the first [`Writer::probe`] that
    /// does not.
    pub fn trouble(&self) -> watch::Receiver<Trouble> {
        self.trouble.clone()
    }

    /// Tries whether the store can be written, by a commit that leaves everything as it is.
    pub async fn probe(&self) -> Result<(), CommitError> {
        let (answer, answered) = oneshot::channel();
        self.send(Job::Probe(answer), answered).await
    }

    /// Folds the write-ahead log into the database, as far as no reader needs it. SQLite does so by itself, but keeps to
    /// itself when it cannot. Nothing to do on PostgreSQL.
    pub async fn fold(&self) -> Result<(), CommitError> {
        let (answer, answered) = oneshot::channel();
        self.send(Job::Fold(answer), answered).await
    }

    /// How many audit entries were committed since the store was opened, of all tenants together.
    pub fn audit_appended(&self) -> watch::Receiver<u64> {
        self.appended.clone()
    }

    /// Comes back once the writer has dealt with what was queued before, whether that could be stored or not. It never does while
    /// the writer hangs.
    pub async fn hail(&self) {
        let (answer, answered) = oneshot::channel();
        if self.queue.send(Job::Hail(answer)).await.is_ok() {
            // An error means that it was closed meanwhile.
            let _ = answered.await;
        }
    }

    /// How the writer does.
    pub fn vitals(&self) -> WriterVitals {
        let places = self.queue.max_capacity();
        self.transactions.vitals(places - self.queue.capacity(), places)
    }

    /// Commits what was queued before, folds the log into the file and lets the store go. Later changes are refused with
    /// [`CommitError::Closed`]. [`super::Store::close`] calls it.
    pub async fn close(&self) {
        let (answer, answered) = oneshot::channel();
        if self.queue.send(Job::Close(answer)).await.is_ok() {
            // An error means that it was closed already.
            let _ = answered.await;
        }
    }

    /// Changes a setting of the writer's connection, to bring about what a full disk brings about.
    #[cfg(test)]
    pub(crate) async fn set(&self, pragma: &'static str) {
        let (answer, answered) = oneshot::channel();
        assert!(self.queue.send(Job::Set(pragma, answer)).await.is_ok() && answered.await.is_ok());
    }

    async fn send<T>(&self, job: Job, answered: oneshot::Receiver<Result<T, CommitError>>) -> Result<T, CommitError> {
        self.queue.send(job).await.map_err(|_| CommitError::Closed)?;
        answered.await.unwrap_or(Err(CommitError::Closed))
    }
}

/// The task behind the handles.
pub(super) struct WriterTask {
    backend: Backend,
    /// Kept until the connection is closed.
    lock: Option<FileLock>,
    connection: Option<AnyConnection>,
    epoch: i64,
    clock: SharedClock,
    tails: Tails,
    latest: Latest,
    event_news: EventNews,
    script: Script,
    queue: mpsc::Receiver<Job>,
    set_aside: VecDeque<Job>,
    trouble: watch::Sender<Trouble>,
    appended: watch::Sender<u64>,
    transactions: Arc<Transactions>,
    gate: Gate,
}

impl WriterTask {
    pub(super) fn new(
        backend: Backend,
        lock: Option<FileLock>,
        connection: AnyConnection,
        epoch: i64,
        clock: SharedClock,
        gate: Gate,
    ) -> (Self, Writer) {
        let (sender, queue) = mpsc::channel(QUEUE_LENGTH);
        let script = Script::new(backend.placeholders());
        let (trouble, told) = watch::channel(Trouble::default());
        let (appended, heard) = watch::channel(0);
        let transactions = Arc::<Transactions>::default();
        let task = Self {
            backend,
            lock,
            connection: Some(connection),
            epoch,
            clock,
            tails: Tails::default(),
            latest: Latest::default(),
            event_news: EventNews::default(),
            script,
            queue,
            set_aside: VecDeque::new(),
            trouble,
            appended,
            transactions: transactions.clone(),
            gate,
        };
        let event_news = task.event_news.clone();
        (task, Writer { queue: sender, trouble: told, event_news, appended: heard, transactions })
    }

    /// Runs until it is closed or every handle is gone.
    pub(super) async fn run(mut self) {
        loop {
            let job = match self.set_aside.pop_front() {
                Some(job) => Some(job),
                None => self.queue.recv().await,
            };
            match job {
                Some(Job::Commit(commit, answer)) => self.commit_with_all_that_waits(*commit, answer).await,
                Some(Job::Import(import, answer)) => {
                    let result = self.import(&import).await;
                    let _ = answer.send(result);
                }
                Some(Job::SetListen(address, answer)) => {
                    let gate = self.gate.clone();
                    let set = self.set_listen(&address);
                    let result = gate.pass(EngineWork::Write, CommitError::from_engine, set).await;
                    let _ = answer.send(result);
                }
                Some(Job::Prune(slice, answer)) => {
                    let mut gone = 0;
                    let result = self.transact(Work::Prune(&slice, &mut gone)).await.map(|_| gone);
                    let _ = answer.send(result);
                }
                Some(Job::Checkpoint(answer)) => {
                    let gate = self.gate.clone();
                    let result = gate.pass(EngineWork::Fold, CommitError::from_engine, self.checkpoint()).await;
                    let _ = answer.send(result);
                }
                Some(Job::Probe(answer)) => {
                    let result = self.transact(Work::Probe).await.map(|_| ());
                    let _ = answer.send(result);
                }
                Some(Job::Hail(answer)) => drop(answer.send(())),
                Some(Job::Fold(answer)) => {
                    let gate = self.gate.clone();
                    let result = gate.pass(EngineWork::Fold, CommitError::from_engine, self.fold()).await;
                    self.trouble.send_if_modified(|trouble| Trouble::note(&mut trouble.fold, result.as_ref().err()));
                    let _ = answer.send(result);
                }
                #[cfg(test)]
                Some(Job::Set(pragma, answer)) => {
                    self.connect().await.expect("connects");
                    let connection = self.connection.as_mut().expect("connected");
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

    async fn commit_with_all_that_waits(&mut self, commit: Commit, answer: Answer<Committed>) {
        let mut commits = vec![commit];
        let mut answers = vec![answer];
        self.gather(&mut commits, &mut answers);
        self.commit_group(&commits, answers).await;
    }

    /// Takes the changes that wait, up to the first job of another kind.
    fn gather(&mut self, commits: &mut Vec<Commit>, answers: &mut Vec<Answer<Committed>>) {
        while commits.len() < MOST_CHANGES && self.set_aside.is_empty() {
            match self.queue.try_recv() {
                Ok(Job::Commit(commit, answer)) => {
                    commits.push(*commit);
                    answers.push(answer);
                }
                Ok(other) => self.set_aside.push_back(other),
                Err(_) => break,
            }
        }
    }

    async fn commit_group(&mut self, commits: &[Commit], answers: Vec<Answer<Committed>>) {
        let group: Vec<&Commit> = commits.iter().collect();
        let results: Vec<_> = match self.write(&group).await {
            Ok(done) => done.into_iter().map(Ok).collect(),
            Err(error) if group.len() > 1 && error.may_be_one_changes_fault() => {
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
            // Nobody may be waiting any more; the change is stored all the same.
            let _ = answer.send(result);
        }
    }

    /// One transaction for all of `group`.
    async fn write(&mut self, group: &[&Commit]) -> Result<Vec<Committed>, CommitError> {
        self.transact(Work::Changes(group)).await
    }

    /// Does some work in one transaction; when it fails nothing of it is stored.
    async fn transact(&mut self, work: Work<'_>) -> Result<Vec<Committed>, CommitError> {
        // A change that writes nothing succeeds on a full disk as well: only a probe tells that the trouble is over.
        let tells_of_health = matches!(work, Work::Probe);
        let watch = Stopwatch::start();
        let gate = self.gate.clone();
        let result = gate.pass(EngineWork::Write, CommitError::from_engine, self.try_transact(work)).await;
        self.transactions.note(watch.elapsed(), result.is_err());
        if result.is_err() || tells_of_health {
            self.trouble.send_if_modified(|trouble| Trouble::note(&mut trouble.commit, result.as_ref().err()));
        }
        result
    }

    async fn try_transact(&mut self, work: Work<'_>) -> Result<Vec<Committed>, CommitError> {
        self.connect().await?;
        let Some(connection) = self.connection.as_mut() else { return Err(CommitError::Closed) };
        let mut tails = self.tails.clone();
        let mut news = LatestNews::new();
        let mut memory = Memory { script: &mut self.script, tails: &mut tails, latest: &self.latest, news: &mut news };
        let now = self.clock.now();
        let written = async {
            match self.backend.begin_if_ours().filter(|_| work.reads_nothing(memory.tails)) {
                Some(begin) => memory.script.begin_late(begin, self.epoch),
                None => control::begin(connection, self.backend.begin(), self.epoch).await?,
            }
            work.apply(connection, &mut memory, now).await
        }
        .await;
        let failed = match written {
            Ok(done) => match self.script.commit(connection).await {
                Ok(()) => {
                    self.event_news.tell(&tails.events);
                    self.tails = tails;
                    self.latest.learn(news);
                    let entries: usize = done.iter().map(|committed| committed.audit.len()).sum();
                    if entries > 0 {
                        self.appended.send_modify(|count| *count += entries as u64);
                    }
                    return Ok(done);
                }
                Err(error) => CommitError::of_commit(error),
            },
            Err(error) => error,
        };
        self.roll_back().await;
        Err(self.unless_taken_over(failed).await)
    }

    /// A transaction that was begun together with its statements is refused alike where one of them is at fault and where the
    /// store is another's by now.
    async fn unless_taken_over(&mut self, error: CommitError) -> CommitError {
        let (CommitError::Refused(_), Some(connection)) = (&error, self.connection.as_mut()) else { return error };
        match control::epoch(connection).await {
            Ok(theirs) if theirs != self.epoch => CommitError::LostEpoch { ours: self.epoch, theirs },
            Ok(_) | Err(_) => error,
        }
    }

    /// Ends a transaction that failed, and forgets what was known of a connection that may be lost: the next change connects
    /// anew. `sqlx`'s own transactions are not used, since SQLite ends one by itself when the disk is full, and they would
    /// not notice.
    async fn roll_back(&mut self) {
        self.tails = Tails::default();
        self.latest = Latest::default();
        self.script.clear();
        let Some(connection) = self.connection.as_mut() else { return };
        let Err(error) = sqlx::query("ROLLBACK").execute(&mut *connection).await else { return };
        let ended_already = matches!(self.backend, Backend::Sqlite { .. }) && fault_of(&error) == Fault::Other;
        if !ended_already {
            self.connection = None;
        }
    }

    async fn import(&mut self, import: &ScheduleImport) -> Result<Imported, CommitError> {
        let gate = self.gate.clone();
        let (unchanged, current) =
            gate.pass(EngineWork::Read, CommitError::from_engine, self.versions_before(import)).await?;
        if let Some(version) = unchanged {
            return Ok(Imported::Unchanged { version });
        }
        let staged = self.stage_and_switch(import, current).await;
        if let Err(error) = staged {
            // What cannot be cleared now is cleared before the next import.
            if let Err(again) = self.transact(Work::ClearStaged(&import.tenant, current)).await {
                tracing::warn!(error = %again, "the leavings of a failed import stay until the next one");
            }
            return Err(error);
        }
        Ok(Imported::Switched {
            version: (current + 1).unsigned_abs(),
            agents: import.agents.len(),
            shifts: import.shifts(),
        })
    }

    /// The version in force where the import changes nothing, and the version in force.
    async fn versions_before(&mut self, import: &ScheduleImport) -> Result<(Option<u64>, i64), CommitError> {
        self.connect().await?;
        let Some(connection) = self.connection.as_mut() else { return Err(CommitError::Closed) };
        let unchanged = import::unchanged_version(connection, import).await?;
        Ok((unchanged, import::current_version(connection, &import.tenant).await?))
    }

    async fn stage_and_switch(&mut self, import: &ScheduleImport, current: i64) -> Result<(), CommitError> {
        let version = current + 1;
        self.transact(Work::ClearStaged(&import.tenant, current)).await?;
        for slice in import::slices(import) {
            self.transact(Work::Stage(&import.tenant, version, slice)).await?;
            let (mut commits, mut answers) = (Vec::new(), Vec::new());
            self.gather(&mut commits, &mut answers);
            if !commits.is_empty() {
                self.commit_group(&commits, answers).await;
            }
        }
        self.transact(Work::Switch(version, import, &import.switch_commit())).await.map(|_| ())
    }

    async fn connect(&mut self) -> Result<(), CommitError> {
        if self.connection.is_none() {
            let mut connection = self.backend.connect(Access::Write).await.map_err(CommitError::from_engine)?;
            if !lock::take_session(&self.backend, &mut connection).await.map_err(CommitError::from_engine)? {
                close_quietly(connection).await;
                return Err(CommitError::LostEpoch { ours: self.epoch, theirs: 0 });
            }
            self.connection = Some(connection);
        }
        Ok(())
    }

    async fn set_listen(&mut self, address: &str) -> Result<(), CommitError> {
        self.connect().await?;
        let Some(connection) = self.connection.as_mut() else { return Err(CommitError::Closed) };
        let mut values = Values::default();
        values.text(address).int(self.epoch);
        let arguments = values.into_arguments().map_err(CommitError::from_engine)?;
        let done = sqlx::query_with(control::SET_LISTEN, arguments).execute(connection).await;
        done.map(|_| ()).map_err(CommitError::from_engine)
    }

    async fn checkpoint(&mut self) -> Result<Checkpointed, CommitError> {
        self.connect().await?;
        let Some(connection) = self.connection.as_mut() else { return Err(CommitError::Closed) };
        checkpoint::at_once(&self.backend, connection).await
    }

    async fn fold(&mut self) -> Result<(), CommitError> {
        self.connect().await?;
        let Some(connection) = self.connection.as_mut() else { return Err(CommitError::Closed) };
        checkpoint::fold(&self.backend, connection).await
    }
}

/// What the writer remembers, as one transaction sees it.
struct Memory<'a> {
    script: &'a mut Script,
    /// A copy, taken over when the transaction is committed.
    tails: &'a mut Tails,
    latest: &'a Latest,
    /// Taken over into `latest` when the transaction is committed.
    news: &'a mut LatestNews,
}

/// What one transaction does.
enum Work<'a> {
    /// Stores a group of changes.
    Changes(&'a [&'a Commit]),
    /// Writes, and leaves everything as it was.
    Probe,
    /// Undoes what an import has staged beyond the version in force.
    ClearStaged(&'a TenantId, i64),
    /// Stages some agents of an import.
    Stage(&'a TenantId, i64, &'a [AgentSchedule]),
    /// Lets go of some rows, and says how many.
    Prune(&'a Slice, &'a mut u64),
    /// Puts a staged version in force, with the change that goes with it.
    Switch(i64, &'a ScheduleImport, &'a Commit),
}

impl Work<'_> {
    /// Everything in it goes to the engine through the script, without a look at what is stored.
    fn reads_nothing(&self, tails: &Tails) -> bool {
        match self {
            Self::Changes(group) => tails.know_all(group.iter().flat_map(|commit| numbered_tenants(commit))),
            Self::Probe | Self::ClearStaged(..) | Self::Stage(..) | Self::Prune(..) | Self::Switch(..) => false,
        }
    }

    async fn apply(
        self,
        connection: &mut AnyConnection,
        memory: &mut Memory<'_>,
        now: UtcMicros,
    ) -> Result<Vec<Committed>, CommitError> {
        match self {
            Self::Changes(group) => apply(connection, memory, now, group).await,
            Self::Probe => control::probe(connection).await.map(|()| Vec::new()),
            Self::ClearStaged(tenant, current) => {
                import::clear_staged(connection, tenant, current).await.map(|()| Vec::new())
            }
            Self::Stage(tenant, version, agents) => {
                import::stage(connection, memory.script, tenant, version, agents).await.map(|()| Vec::new())
            }
            Self::Prune(slice, gone) => {
                retention::prune(connection, slice).await.map(|count| *gone = count).map(|()| Vec::new())
            }
            Self::Switch(version, import, with) => {
                import::switch(connection, memory.script, version, now, import).await?;
                apply(connection, memory, now, &[with]).await
            }
        }
    }
}

/// Writes the rows of all changes, table by table.
async fn apply(
    connection: &mut AnyConnection,
    memory: &mut Memory<'_>,
    now: UtcMicros,
    group: &[&Commit],
) -> Result<Vec<Committed>, CommitError> {
    let Memory { script, tails, latest, news } = memory;
    tails.load(connection, group.iter().flat_map(|commit| numbered_tenants(commit))).await?;
    let Tails { heads, history: history_ids, events: event_numbers, settled } = tails;
    let states = async {
        agents::write(connection, script, group.iter().flat_map(|commit| &commit.agents)).await?;
        let steps = group.iter().flat_map(|commit| &commit.history);
        history::write(connection, script, history_ids, latest, steps).await
    };
    // Polled after the first statement is on its way: the engine writes history while this thread hashes and formats.
    let worded = async {
        let sealed = audit::seal(heads, group.iter().flat_map(|commit| &commit.audit))?;
        let numbered = events::number(event_numbers, group.iter().flat_map(|commit| &commit.events))?;
        Ok::<_, CommitError>((sealed, numbered))
    };
    let (states, worded) = tokio::join!(biased; states, worded);
    let ((ids, learnt), (sealed, numbered)) = (states?, worded?);
    **news = learnt;
    transitions::write(connection, script, now, group.iter().flat_map(|commit| &commit.transitions)).await?;
    calls::write(connection, script, group.iter().flat_map(|commit| &commit.calls)).await?;
    audit::write(connection, script, &sealed).await?;
    audit::write_notes(connection, script, group.iter().flat_map(|commit| &commit.notes)).await?;
    events::write(connection, script, &numbered).await?;
    automation::write(connection, script, group.iter().flat_map(|commit| &commit.memory)).await?;
    figures::write(connection, script, group).await?;
    deliveries::write(connection, script, group).await?;
    upkeep::write(connection, script, group).await?;
    tables::write_rows(connection, script, group).await?;
    adherence::write(connection, script, settled, group).await?;
    access::write(connection, script, group).await?;
    news.extend(erasing::write(connection, script, group).await?);
    let (mut ids, mut seqs) = (ids.into_iter(), sealed.iter().map(|(_, entry)| entry.seq));
    Ok(group
        .iter()
        .map(|commit| Committed {
            history: ids.by_ref().take(commit.history.len()).collect(),
            audit: seqs.by_ref().take(commit.audit.len()).collect(),
        })
        .collect())
}
