//! The state behind the passes: what is due, what is running and what the results are.
//!
//! A due instant counts as handled in the same commit that records the start of its run, and the run starts after that
//! commit. A crash in between leaves a run without an end; the next start marks it as cut off and runs it again.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::oneshot;
use tokio::task::{Id, JoinError, JoinSet};

use super::{JobParts, JobSpec, RunJobError, RunJobRequest};
use crate::clock::RealTime;
use crate::domain::ids::EventId;
use crate::domain::jobs::job::{CLOCK_ERROR_THRESHOLD, DueAction, JobKey, JobOutcome, due_action, missed_text};
use crate::domain::time::{UtcMicros, rough_duration_text};
use crate::domain::webhooks::event::{Event, JobFailed};
use crate::store::{Commit, JobRun, JobState};

/// How late a due instant still counts as on time for a job that skips missed instants, in real time: passes and
/// commits take some time.
const ON_TIME_TOLERANCE_REAL: Duration = Duration::from_secs(60);

/// How often a run that was interrupted by the daemon's end is tried for one due instant. The run itself may be what
/// ends the daemon.
const MAX_ATTEMPTS: u32 = 3;

/// How long until a job that keeps failing for the same reason is reported again; a nightly job is reported each night.
const REPEAT_NOTICE_AFTER: Duration = Duration::from_secs(20 * 3600);

/// The longest message kept, in characters.
const MAX_MESSAGE_CHARS: usize = 2000;

/// How the work of a run ended.
pub(super) enum WorkEnd {
    /// The work returned.
    Result(anyhow::Result<String>),
    /// The work exceeded its time limit and was stopped.
    TimedOut(Duration),
}

/// The end of a task, as the task set reports it.
pub(super) type TaskEnd = Result<(Id, WorkEnd), JoinError>;

/// A run that has started.
struct Running {
    run: JobRun,
    /// The number of earlier due instants that this run also covers.
    missed: u32,
}

struct JobEntry {
    spec: JobSpec,
    state: JobState,
    last_run: u64,
    running: Option<Running>,
    /// Nothing is due before this instant, unless the clock is set back by days.
    not_before: UtcMicros,
    /// The job is no longer configured; it is removed when its run has ended.
    removed: bool,
}

/// A run that starts after the next commit.
struct PendingStart {
    key: JobKey,
    reply: Option<oneshot::Sender<Result<u64, RunJobError>>>,
}

/// All jobs of the daemon.
pub(super) struct JobRunner {
    parts: JobParts,
    entries: BTreeMap<JobKey, JobEntry>,
    work: JoinSet<WorkEnd>,
    tasks: HashMap<Id, JobKey>,
    /// What the next commit writes.
    pending: Commit,
    /// The runs that start after the next commit.
    starts: Vec<PendingStart>,
}

impl JobRunner {
    /// Loads the jobs' state from the store, and schedules interrupted runs again.
    pub(super) async fn load(parts: JobParts, specs: &[JobSpec]) -> anyhow::Result<Self> {
        let cut_off = parts.reader.unfinished_job_runs().await.context("interrupted runs could not be read")?;
        let now = parts.clock.now();
        let mut runner = Self {
            entries: BTreeMap::new(),
            work: JoinSet::new(),
            tasks: HashMap::new(),
            pending: Commit::default(),
            starts: Vec::new(),
            parts,
        };
        runner.set_specs(specs).await?;
        for run in cut_off {
            runner.resume_cut_off_run(run, now);
        }
        Ok(runner)
    }

    /// Replaces the configured jobs. Running work of a removed job may finish.
    pub(super) async fn set_specs(&mut self, specs: &[JobSpec]) -> anyhow::Result<()> {
        let states = self.parts.reader.jobs().await.context("the jobs' state could not be read")?;
        let mut states: HashMap<_, _> = states.into_iter().map(|state| (state.key.clone(), state)).collect();
        let last_runs = self.parts.reader.last_job_runs().await.context("the jobs' last runs could not be read")?;
        let mut before = std::mem::take(&mut self.entries);
        for spec in specs {
            let key = spec.info.key.clone();
            let entry = if let Some(known) = before.remove(&key) {
                let entry = self.entry(spec.clone(), Some(known.state), known.last_run);
                JobEntry { running: known.running, ..entry }
            } else {
                let last_run = last_runs.iter().find(|run| run.key == key).map_or(0, |run| run.run);
                self.entry(spec.clone(), states.remove(&key), last_run)
            };
            self.entries.insert(key, entry);
        }
        for (key, entry) in before {
            self.parts.readiness.remove(&[readiness_part(&key)]);
            if entry.running.is_some() {
                self.entries.insert(key, JobEntry { removed: true, ..entry });
            }
        }
        Ok(())
    }

    /// Returns the entry of a job with its stored state. A job with another calendar starts afresh.
    fn entry(&mut self, spec: JobSpec, known: Option<JobState>, last_run: u64) -> JobEntry {
        let (key, calendar) = (spec.info.key.clone(), spec.info.calendar.text());
        let state = known.filter(|state| state.calendar == calendar).unwrap_or_else(|| {
            let handled_through = self.parts.clock.now();
            let fresh =
                JobState { key: key.clone(), calendar, handled_through, notified_at: None, notified_message: None };
            self.pending.jobs.push(fresh.clone());
            fresh
        });
        if let Some(told) = &state.notified_message {
            self.parts.readiness.degraded(&readiness_part(&key), told.clone());
        }
        JobEntry { spec, state, last_run, running: None, not_before: UtcMicros::EPOCH, removed: false }
    }

    /// Marks a run without an end as cut off, and schedules it again.
    fn resume_cut_off_run(&mut self, run: JobRun, now: UtcMicros) {
        let again = run.attempt < MAX_ATTEMPTS && self.entries.contains_key(&run.key);
        let then = if again { "it is done again" } else { "it is not tried again" };
        tracing::warn!(job = %run.key, run = run.run, "the daemon ended while a job ran: {then}");
        self.pending.job_runs.push(JobRun {
            finished_at: Some(now),
            outcome: Some(JobOutcome::CutOff),
            message: Some(format!("the daemon ended while it ran; {then}")),
            ..run.clone()
        });
        if again {
            self.schedule_run(&run.key, run.due_at, run.attempt + 1, run.requested_by, 0, now);
        }
    }

    /// Records and starts what is due. Cheap if nothing is.
    pub(super) async fn pass(&mut self) -> anyhow::Result<()> {
        let now = self.parts.clock.now();
        let on_time = self.parts.clock.scale_real(ON_TIME_TOLERANCE_REAL);
        let candidates: Vec<JobKey> = self
            .entries
            .values()
            .filter(|entry| {
                let set_back = entry.state.handled_through.since(now) > CLOCK_ERROR_THRESHOLD;
                !entry.removed && entry.running.is_none() && (set_back || entry.not_before <= now)
            })
            .map(|entry| entry.spec.info.key.clone())
            .collect();
        for key in candidates {
            self.check_due(&key, now, on_time);
        }
        self.commit().await
    }

    fn check_due(&mut self, key: &JobKey, now: UtcMicros, on_time: Duration) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let info = &entry.spec.info;
        match due_action(&info.calendar, info.catch_up, entry.state.handled_through, now, on_time) {
            DueAction::NotBefore(instant) => entry.not_before = instant,
            DueAction::Run { due, missed } => {
                entry.state.handled_through = due;
                let state = entry.state.clone();
                self.pending.jobs.push(state);
                self.schedule_run(key, due, 1, None, missed, now);
            }
            DueAction::Skip { through, missed } => {
                entry.state.handled_through = through;
                entry.last_run += 1;
                let message = format!("{} due time(s) had passed and were skipped", missed_text(missed));
                tracing::warn!(job = %key, missed, "due times of a job had passed and are skipped");
                self.pending.job_runs.push(JobRun {
                    key: key.clone(),
                    run: entry.last_run,
                    due_at: through,
                    attempt: 1,
                    requested_by: None,
                    started_at: now,
                    finished_at: Some(now),
                    outcome: Some(JobOutcome::Skipped),
                    message: Some(message),
                });
                self.pending.jobs.push(entry.state.clone());
            }
            DueAction::Restart => {
                let ahead = rough_duration_text(entry.state.handled_through.since(now));
                tracing::warn!(job = %key, ahead, "the clock was set back by days: the job's calendar starts afresh");
                (entry.state.handled_through, entry.not_before) = (now, UtcMicros::EPOCH);
                self.pending.jobs.push(entry.state.clone());
            }
        }
    }

    /// Adds a run's start to the next commit; the run starts after it.
    fn schedule_run(
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
            requested_by: asked_by,
            started_at: now,
            finished_at: None,
            outcome: None,
            message: None,
        };
        self.pending.job_runs.push(run.clone());
        entry.running = Some(Running { run, missed });
        self.starts.push(PendingStart { key: key.clone(), reply: None });
    }

    /// Handles a request to run a job now. The reply is sent after the start was committed.
    pub(super) fn request_run(&mut self, request: RunJobRequest) {
        let RunJobRequest { key, actor, reply } = request;
        if reply.is_closed() {
            return;
        }
        let now = self.parts.clock.now();
        let is_configured = |entry: &&JobEntry| !entry.removed;
        let refused = match self.entries.get(&key).filter(is_configured) {
            None => {
                let known = self.entries.values().filter(is_configured);
                let known: Vec<_> = known.map(|entry| entry.spec.info.key.to_string()).collect();
                Some(RunJobError::Unknown { key: key.clone(), known: known.join(", ") })
            }
            Some(entry) => {
                entry.running.as_ref().map(|running| RunJobError::Running { key: key.clone(), run: running.run.run })
            }
        };
        if let Some(refused) = refused {
            // The caller may have gone.
            let _ = reply.send(Err(refused));
            return;
        }
        self.schedule_run(&key, now, 1, Some(actor.to_string()), 0, now);
        if let Some(start) = self.starts.last_mut() {
            start.reply = Some(reply);
        }
    }

    async fn commit(&mut self) -> anyhow::Result<()> {
        if !self.pending.is_empty() {
            let pending = std::mem::take(&mut self.pending);
            self.parts.writer.commit(pending).await.context("the jobs' runs could not be recorded")?;
        }
        for start in std::mem::take(&mut self.starts) {
            self.start_run(start);
        }
        Ok(())
    }

    fn start_run(&mut self, start: PendingStart) {
        let Some(entry) = self.entries.get(&start.key) else { return };
        let Some(running) = &entry.running else { return };
        let (job, limit, due_at) = (entry.spec.job.clone(), entry.spec.info.time_limit_real, running.run.due_at);
        let failure = entry.state.notified_message.clone();
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

    /// Waits for the next run to end; returns `None` if none is running.
    pub(super) async fn next_end(&mut self) -> Option<TaskEnd> {
        self.work.join_next_with_id().await
    }

    /// Adds a run's end to the next commit.
    pub(super) fn finish_run(&mut self, ended: TaskEnd) {
        let (id, outcome, message) = task_outcome(ended);
        let Some(key) = self.tasks.remove(&id) else { return };
        let now = self.parts.clock.now();
        let Some(entry) = self.entries.get_mut(&key) else { return };
        let Some(Running { run, missed }) = entry.running.take() else { return };
        // The next pass checks what became due meanwhile.
        entry.not_before = UtcMicros::EPOCH;
        let mut message: String = message.chars().take(MAX_MESSAGE_CHARS).collect();
        let notice = if outcome.is_failure() {
            self.parts.readiness.degraded(&readiness_part(&key), format!("{}: {message}", outcome.name()));
            entry.state.record_failure(&message, now)
        } else {
            tracing::info!(job = %key, run = run.run, message, "a job is done");
            self.parts.readiness.restored(&readiness_part(&key));
            entry.state.clear_failure()
        };
        match notice {
            FailureNotice::Unchanged if outcome.is_failure() => {
                tracing::debug!(job = %key, run = run.run, outcome = outcome.name(), error = message, "a job failed again");
            }
            FailureNotice::Unchanged => {}
            FailureNotice::Cleared => self.pending.jobs.push(entry.state.clone()),
            FailureNotice::Notify => {
                tracing::error!(job = %key, run = run.run, outcome = outcome.name(), error = message, "a job failed");
                self.pending.jobs.push(entry.state.clone());
                let events = self.failure_events(&run, outcome, &message, now);
                self.pending.events.extend(events);
            }
        }
        if missed > 0 {
            message = format!("{message} (also for {} missed before it)", missed_text(missed));
        }
        self.pending.job_runs.push(JobRun {
            finished_at: Some(now),
            outcome: Some(outcome),
            message: Some(message),
            ..run
        });
        if self.entries.get(&key).is_some_and(|entry| entry.removed) {
            self.entries.remove(&key);
            self.parts.readiness.remove(&[readiness_part(&key)]);
        }
    }

    /// Returns one event for the job's tenant or, for a job of the daemon itself, one for each tenant.
    fn failure_events(&self, run: &JobRun, outcome: JobOutcome, message: &str, now: UtcMicros) -> Vec<Event> {
        let tenants = match &run.key.tenant {
            Some(tenant) => vec![tenant.clone()],
            None => self.parts.tenants.ids(),
        };
        let event = |tenant| Event {
            id: EventId(self.parts.random.time_ordered_id(now)),
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

    /// Waits up to `limit_real` of real time for running jobs, and records those that have ended.
    pub(super) async fn drain(&mut self, limit_real: Duration) -> anyhow::Result<()> {
        let limit = RealTime::sleep(limit_real);
        tokio::pin!(limit);
        loop {
            tokio::select! {
                ended = self.work.join_next_with_id() => match ended {
                    Some(ended) => self.finish_run(ended),
                    None => break,
                },
                () = &mut limit => break,
            }
        }
        self.commit().await
    }
}

/// Whether people have to be notified of a run's end.
enum FailureNotice {
    Unchanged,
    Cleared,
    Notify,
}

impl JobState {
    fn record_failure(&mut self, message: &str, now: UtcMicros) -> FailureNotice {
        let lately = self.notified_at.is_some_and(|at| at <= now && now.since(at) < REPEAT_NOTICE_AFTER);
        if lately && self.notified_message.as_deref() == Some(message) {
            return FailureNotice::Unchanged;
        }
        (self.notified_at, self.notified_message) = (Some(now), Some(message.to_owned()));
        FailureNotice::Notify
    }

    fn clear_failure(&mut self) -> FailureNotice {
        if self.notified_at.is_none() {
            return FailureNotice::Unchanged;
        }
        (self.notified_at, self.notified_message) = (None, None);
        FailureNotice::Cleared
    }
}

fn task_outcome(ended: TaskEnd) -> (Id, JobOutcome, String) {
    match ended {
        Ok((id, WorkEnd::Result(Ok(message)))) => (id, JobOutcome::Done, message),
        Ok((id, WorkEnd::Result(Err(error)))) => (id, JobOutcome::Failed, format!("{error:#}")),
        Ok((id, WorkEnd::TimedOut(limit))) => {
            let limit = rough_duration_text(limit);
            (id, JobOutcome::TimedOut, format!("it was stopped after {limit}; give it longer with time_limit"))
        }
        Err(error) => {
            let id = error.id();
            let panic_message = match error.try_into_panic() {
                Ok(panic) => panic
                    .downcast_ref::<String>()
                    .cloned()
                    .or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()))
                    .unwrap_or_else(|| "without a word".to_owned()),
                Err(error) => error.to_string(),
            };
            (id, JobOutcome::Panicked, format!("it panicked ({panic_message}); please report this"))
        }
    }
}

fn readiness_part(key: &JobKey) -> String {
    format!("job {key}")
}
