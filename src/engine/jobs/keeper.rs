//! What is due, what runs, and what became of it: the state behind the passes.
//!
//! A due instant counts as dealt with in the very commit that records the start of its run, and the run begins after that commit.
//! A crash in between leaves a run without an end, which the next start shows as cut off and does again.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::oneshot;
use tokio::task::{Id, JoinError, JoinSet};

use super::{JobParts, JobSpec, RunRefused, RunRequest};
use crate::clock::RealTime;
use crate::domain::ids::EventId;
use crate::domain::jobs::job::{CLOCK_WAS_WRONG, Due, JobKey, JobOutcome, due, missed_text};
use crate::domain::time::{UtcMicros, rough_duration_text};
use crate::domain::webhooks::event::{Event, JobFailed};
use crate::store::{Commit, JobRun, JobState};

/// A due instant this old is still in time for a job that leaves out what has passed, in real time: passes and commits take theirs.
const ON_TIME_REAL: Duration = Duration::from_secs(60);

/// A run that the daemon did not survive is tried this often for one due instant; it may be what the daemon did not survive.
const MOST_ATTEMPTS: u32 = 3;

/// Of a job that keeps failing for the same reason, people are told again after this long: nightly jobs each night.
const TOLD_AGAIN_AFTER: Duration = Duration::from_secs(20 * 3600);

/// The longest message that is kept, in characters.
const LONGEST_MESSAGE: usize = 2000;

/// How the work of a run ended.
pub(super) enum WorkEnd {
    /// By itself.
    Result(anyhow::Result<String>),
    /// It took too long.
    TimedOut(Duration),
}

/// A task's end as the set of tasks tells it.
pub(super) type TaskEnd = Result<(Id, WorkEnd), JoinError>;

/// A run that has begun.
struct Running {
    run: JobRun,
    /// Due instants that it stands for beside its own.
    missed: u32,
}

struct Entry {
    spec: JobSpec,
    state: JobState,
    last_run: u64,
    running: Option<Running>,
    /// Nothing is due before this, as long as the clock is not set back by days.
    not_before: UtcMicros,
    /// The configuration has it no more: it goes when its run has ended.
    gone: bool,
}

/// A run that begins once its commit is done.
struct Start {
    key: JobKey,
    reply: Option<oneshot::Sender<Result<u64, RunRefused>>>,
}

/// All jobs of the daemon.
pub(super) struct JobKeeper {
    parts: JobParts,
    entries: BTreeMap<JobKey, Entry>,
    work: JoinSet<WorkEnd>,
    tasks: HashMap<Id, JobKey>,
    /// To be written by the next commit.
    pending: Commit,
    /// To begin after it.
    starts: Vec<Start>,
}

impl JobKeeper {
    /// Takes up where the store says that it was left.
    pub(super) async fn load(parts: JobParts, specs: &[JobSpec]) -> anyhow::Result<Self> {
        let cut_off = parts.reader.unfinished_job_runs().await.context("runs that were cut off")?;
        let now = parts.clock.now();
        let mut keeper = Self {
            entries: BTreeMap::new(),
            work: JoinSet::new(),
            tasks: HashMap::new(),
            pending: Commit::default(),
            starts: Vec::new(),
            parts,
        };
        keeper.follow(specs).await?;
        for run in cut_off {
            keeper.take_up(run, now);
        }
        Ok(keeper)
    }

    /// From now on there are these jobs. What runs of one that is gone comes to its end.
    pub(super) async fn follow(&mut self, specs: &[JobSpec]) -> anyhow::Result<()> {
        let states = self.parts.reader.jobs().await.context("the jobs' state")?;
        let mut states: HashMap<_, _> = states.into_iter().map(|state| (state.key.clone(), state)).collect();
        let last_runs = self.parts.reader.last_job_runs().await.context("the jobs' last runs")?;
        let mut before = std::mem::take(&mut self.entries);
        for spec in specs {
            let key = spec.info.key.clone();
            let entry = if let Some(known) = before.remove(&key) {
                let entry = self.entry(spec.clone(), Some(known.state), known.last_run);
                Entry { running: known.running, ..entry }
            } else {
                let last_run = last_runs.iter().find(|run| run.key == key).map_or(0, |run| run.run);
                self.entry(spec.clone(), states.remove(&key), last_run)
            };
            self.entries.insert(key, entry);
        }
        for (key, entry) in before {
            self.parts.readiness.forget(&[part(&key)]);
            if entry.running.is_some() {
                self.entries.insert(key, Entry { gone: true, ..entry });
            }
        }
        Ok(())
    }

    /// A job as the store knows it; one with another calendar begins afresh.
    fn entry(&mut self, spec: JobSpec, known: Option<JobState>, last_run: u64) -> Entry {
        let (key, calendar) = (spec.info.key.clone(), spec.info.calendar.text());
        let state = known.filter(|state| state.calendar == calendar).unwrap_or_else(|| {
            let handled_through = self.parts.clock.now();
            let fresh = JobState { key: key.clone(), calendar, handled_through, told_at: None, told: None };
            self.pending.jobs.push(fresh.clone());
            fresh
        });
        if let Some(told) = &state.told {
            self.parts.readiness.degraded(&part(&key), told.clone());
        }
        Entry { spec, state, last_run, running: None, not_before: UtcMicros::EPOCH, gone: false }
    }

    /// Shows a run that has no end as cut off, and does it again.
    fn take_up(&mut self, run: JobRun, now: UtcMicros) {
        let again = run.attempt < MOST_ATTEMPTS && self.entries.contains_key(&run.key);
        let then = if again { "it is done again" } else { "it is not tried again" };
        tracing::warn!(job = %run.key, run = run.run, "the daemon ended while a job ran: {then}");
        self.pending.job_runs.push(JobRun {
            finished_at: Some(now),
            outcome: Some(JobOutcome::CutOff),
            message: Some(format!("the daemon ended while it ran; {then}")),
            ..run.clone()
        });
        if again {
            self.plan(&run.key, run.due_at, run.attempt + 1, run.asked_by, 0, now);
        }
    }

    /// Writes down what is due, and begins it. Cheap when nothing is.
    pub(super) async fn pass(&mut self) -> anyhow::Result<()> {
        let now = self.parts.clock.now();
        let on_time = self.parts.clock.span_of_real(ON_TIME_REAL);
        let looked_at: Vec<JobKey> = self
            .entries
            .values()
            .filter(|entry| {
                let set_back = entry.state.handled_through.since(now) > CLOCK_WAS_WRONG;
                !entry.gone && entry.running.is_none() && (set_back || entry.not_before <= now)
            })
            .map(|entry| entry.spec.info.key.clone())
            .collect();
        for key in looked_at {
            self.look_at(&key, now, on_time);
        }
        self.commit().await
    }

    fn look_at(&mut self, key: &JobKey, now: UtcMicros, on_time: Duration) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let info = &entry.spec.info;
        match due(&info.calendar, info.catch_up, entry.state.handled_through, now, on_time) {
            Due::NotBefore(instant) => entry.not_before = instant,
            Due::Run { due, missed } => {
                entry.state.handled_through = due;
                let state = entry.state.clone();
                self.pending.jobs.push(state);
                self.plan(key, due, 1, None, missed, now);
            }
            Due::Skip { through, missed } => {
                entry.state.handled_through = through;
                entry.last_run += 1;
                let message = format!("{} due instant(s) had passed and were left out", missed_text(missed));
                tracing::warn!(job = %key, missed, "due instants of a job had passed and are left out");
                self.pending.job_runs.push(JobRun {
                    key: key.clone(),
                    run: entry.last_run,
                    due_at: through,
                    attempt: 1,
                    asked_by: None,
                    started_at: now,
                    finished_at: Some(now),
                    outcome: Some(JobOutcome::Skipped),
                    message: Some(message),
                });
                self.pending.jobs.push(entry.state.clone());
            }
            Due::StartAfresh => {
                let ahead = rough_duration_text(entry.state.handled_through.since(now));
                tracing::warn!(job = %key, ahead, "the clock was set back by days: the job's calendar starts afresh");
                (entry.state.handled_through, entry.not_before) = (now, UtcMicros::EPOCH);
                self.pending.jobs.push(entry.state.clone());
            }
        }
    }

    /// Writes a run's start into the next commit; it begins after that.
    fn plan(
        &mut self,
        key: &JobKey,
        due_at: UtcMicros,
        attempt: u32,
        asked_by: Option<String>,
        missed: u32,
        now: UtcMicros,
    ) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        entry.last_run += 1;
        let run = JobRun {
            key: key.clone(),
            run: entry.last_run,
            due_at,
            attempt,
            asked_by,
            started_at: now,
            finished_at: None,
            outcome: None,
            message: None,
        };
        self.pending.job_runs.push(run.clone());
        entry.running = Some(Running { run, missed });
        self.starts.push(Start { key: key.clone(), reply: None });
    }

    /// Somebody wants a job to run now; answered when the start is written.
    pub(super) fn ask(&mut self, request: RunRequest) {
        let RunRequest { key, actor, reply } = request;
        if reply.is_closed() {
            return;
        }
        let now = self.parts.clock.now();
        let there = |entry: &&Entry| !entry.gone;
        let refused = match self.entries.get(&key).filter(there) {
            None => {
                let known = self.entries.values().filter(there);
                let known: Vec<_> = known.map(|entry| entry.spec.info.key.to_string()).collect();
                Some(RunRefused::Unknown { key: key.clone(), known: known.join(", ") })
            }
            Some(entry) => {
                entry.running.as_ref().map(|running| RunRefused::Running { key: key.clone(), run: running.run.run })
            }
        };
        if let Some(refused) = refused {
            // Nobody may be waiting any more.
            let _ = reply.send(Err(refused));
            return;
        }
        self.plan(&key, now, 1, Some(actor.to_string()), 0, now);
        if let Some(start) = self.starts.last_mut() {
            start.reply = Some(reply);
        }
    }

    async fn commit(&mut self) -> anyhow::Result<()> {
        if !self.pending.is_empty() {
            let pending = std::mem::take(&mut self.pending);
            self.parts.writer.commit(pending).await.context("recording the jobs' runs")?;
        }
        for start in std::mem::take(&mut self.starts) {
            self.begin(start);
        }
        Ok(())
    }

    fn begin(&mut self, start: Start) {
        let Some(entry) = self.entries.get(&start.key) else { return };
        let Some(running) = &entry.running else { return };
        let (job, limit, due_at) = (entry.spec.job.clone(), entry.spec.info.time_limit_real, running.run.due_at);
        let failure = entry.state.told.clone();
        tracing::info!(job = %start.key, run = running.run.run, due_at = %due_at, "a job begins");
        let task = self.work.spawn(async move {
            tokio::select! {
                result = job.run(due_at, failure) => WorkEnd::Result(result),
                () = RealTime::sleep(limit) => WorkEnd::TimedOut(limit),
            }
        });
        self.tasks.insert(task.id(), start.key);
        if let Some(reply) = start.reply {
            let _ = reply.send(Ok(running.run.run));
        }
    }

    /// The next run that ends; `None` when none is under way.
    pub(super) async fn next_end(&mut self) -> Option<TaskEnd> {
        self.work.join_next_with_id().await
    }

    /// Writes a run's end into the next commit.
    pub(super) fn end(&mut self, ended: TaskEnd) {
        let (id, outcome, message) = judged(ended);
        let Some(key) = self.tasks.remove(&id) else { return };
        let now = self.parts.clock.now();
        let Some(entry) = self.entries.get_mut(&key) else { return };
        let Some(Running { run, missed }) = entry.running.take() else { return };
        // What came due meanwhile is looked at by the next pass.
        entry.not_before = UtcMicros::EPOCH;
        let mut message: String = message.chars().take(LONGEST_MESSAGE).collect();
        let told = if outcome.is_failure() {
            self.parts.readiness.degraded(&part(&key), format!("{}: {message}", outcome.name()));
            entry.state.tell_again(&message, now)
        } else {
            tracing::info!(job = %key, run = run.run, message, "a job is done");
            self.parts.readiness.restored(&part(&key));
            entry.state.forget_failure()
        };
        match told {
            Told::Nothing if outcome.is_failure() => {
                tracing::debug!(job = %key, run = run.run, outcome = outcome.name(), error = message, "a job failed again");
            }
            Told::Nothing => {}
            Told::Forgotten => self.pending.jobs.push(entry.state.clone()),
            Told::Anew => {
                tracing::error!(job = %key, run = run.run, outcome = outcome.name(), error = message, "a job failed");
                self.pending.jobs.push(entry.state.clone());
                let events = self.failure_events(&run, outcome, &message, now);
                self.pending.events.extend(events);
            }
        }
        if missed > 0 {
            message = format!("{message} (stands for {} missed before it)", missed_text(missed));
        }
        self.pending.job_runs.push(JobRun {
            finished_at: Some(now),
            outcome: Some(outcome),
            message: Some(message),
            ..run
        });
        if self.entries.get(&key).is_some_and(|entry| entry.gone) {
            self.entries.remove(&key);
            self.parts.readiness.forget(&[part(&key)]);
        }
    }

    /// One event for the job's tenant; for a job of the daemon's own, one for each.
    fn failure_events(&self, run: &JobRun, outcome: JobOutcome, message: &str, now: UtcMicros) -> Vec<Event> {
        let tenants = match &run.key.tenant {
            Some(tenant) => vec![tenant.clone()],
            None => self.parts.tenants.ids(),
        };
        let event = |tenant| Event {
            id: EventId(self.parts.random.id_at(now)),
            tenant,
            at: now,
            data: JobFailed {
                job_id: run.key.job.clone(),
                scope: if run.key.tenant.is_some() { "tenant" } else { "daemon" },
                run: run.run,
                due_at: run.due_at,
                attempt: run.attempt,
                outcome,
                message: message.to_owned(),
            }
            .into(),
        };
        tenants.into_iter().map(event).collect()
    }

    /// Lets what runs come to its end, for a while, and records what did.
    pub(super) async fn drain(&mut self, limit_real: Duration) -> anyhow::Result<()> {
        let limit = RealTime::sleep(limit_real);
        tokio::pin!(limit);
        loop {
            tokio::select! {
                ended = self.work.join_next_with_id() => match ended {
                    Some(ended) => self.end(ended),
                    None => break,
                },
                () = &mut limit => break,
            }
        }
        self.commit().await
    }
}

/// Whether people have to be told of a run's end.
enum Told {
    Nothing,
    Forgotten,
    Anew,
}

impl JobState {
    fn tell_again(&mut self, message: &str, now: UtcMicros) -> Told {
        let lately = self.told_at.is_some_and(|at| at <= now && now.since(at) < TOLD_AGAIN_AFTER);
        if lately && self.told.as_deref() == Some(message) {
            return Told::Nothing;
        }
        (self.told_at, self.told) = (Some(now), Some(message.to_owned()));
        Told::Anew
    }

    fn forget_failure(&mut self) -> Told {
        if self.told_at.is_none() {
            return Told::Nothing;
        }
        (self.told_at, self.told) = (None, None);
        Told::Forgotten
    }
}

fn judged(ended: TaskEnd) -> (Id, JobOutcome, String) {
    match ended {
        Ok((id, WorkEnd::Result(Ok(message)))) => (id, JobOutcome::Done, message),
        Ok((id, WorkEnd::Result(Err(error)))) => (id, JobOutcome::Failed, format!("{error:#}")),
        Ok((id, WorkEnd::TimedOut(limit))) => {
            let limit = rough_duration_text(limit);
            (id, JobOutcome::TimedOut, format!("it was stopped after {limit}; give it longer with time_limit"))
        }
        Err(error) => {
            let id = error.id();
            let said = match error.try_into_panic() {
                Ok(panic) => panic
                    .downcast_ref::<String>()
                    .cloned()
                    .or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()))
                    .unwrap_or_else(|| "without a word".to_owned()),
                Err(error) => error.to_string(),
            };
            (id, JobOutcome::Panicked, format!("it panicked ({said}); please report this"))
        }
    }
}

fn part(key: &JobKey) -> String {
    format!("job {key}")
}
