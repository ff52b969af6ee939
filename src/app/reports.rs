//! Makes the reports that people and jobs request: one after the other on a thread of its own. Keeps their files for a
//! time and records each run with its result.

mod erasure;
mod files;

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot, watch};
use tokio_util::sync::CancellationToken;

use self::erasure::erase_files;
use self::files::{Files, remove_partial};
use crate::clock::{BoxFuture, RealTime, SharedClock, SharedRandom};
use crate::config::Config;
use crate::domain::agents::erasure::TextEraser;
use crate::domain::audit::AuditDraft;
use crate::domain::ids::{EventId, JobId, ReportRunId, TenantId};
use crate::domain::reports::report_run::{ReportRun, RunFile, RunStatus};
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::event::{Event, ReportCompleted};
use crate::engine::operations::tenants::Tenants;
use crate::http::{ReportRequest, ReportRequestError, ReportService};
use crate::report::export::{ExportRequest, export, file_name, section_of};
use crate::report::manifest::Manifest;
use crate::report::request::Request;
use crate::report::tally::Progress;
use crate::store::{Commit, Reader, Writer};

/// The maximum number of a tenant's reports requested by people that may be waiting or running.
const MAX_OPEN: usize = 5;

/// How often a report that was interrupted by the end of the daemon is started.
const MAX_ATTEMPTS: u32 = 3;

/// The time limit of one report, in real time.
const TIME_LIMIT_REAL: Duration = Duration::from_secs(3600);

/// Outdated files are deleted at least this often, in real time.
const CHECK_INTERVAL: Duration = Duration::from_secs(3600);

/// The maximum length of a stored error, in characters.
const MAX_ERROR_CHARS: usize = 500;

/// Makes reports. Cheap to clone; clones share the queue.
#[derive(Clone)]
pub(super) struct ReportRunner(Arc<Inner>);

struct Inner {
    writer: Writer,
    reader: Reader,
    clock: SharedClock,
    random: SharedRandom,
    files: Files,
    tenants: Tenants,
    queue: Mutex<Queue>,
    work_available: Notify,
    /// The number of finished runs.
    ended_runs: watch::Sender<u64>,
    /// Serialises requests, so that the limit of open runs holds.
    submit_lock: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<ReportRun>,
    running: Option<(ReportRun, Arc<Progress>)>,
    /// Agents whose files are to be removed.
    erasure_requests: Vec<FileErasureRequest>,
    /// Tenants whose interrupted runs are back in the queue.
    restored_tenants: BTreeSet<TenantId>,
}

/// A pending request to remove an agent's files.
struct FileErasureRequest {
    tenant: TenantId,
    eraser: TextEraser,
    /// Folders other than the daemon's own.
    folders: Vec<PathBuf>,
    reply: oneshot::Sender<anyhow::Result<Vec<String>>>,
}

/// The result of a run.
enum ReportOutcome {
    Made(Box<Manifest>),
    Failed(String),
    Cancelled,
    /// The daemon is stopping: the next start begins the run again.
    Interrupted,
}

impl ReportRunner {
    pub(super) fn new(
        config: &Config,
        tenants: Tenants,
        (writer, reader): (Writer, Reader),
        clock: SharedClock,
        random: SharedRandom,
    ) -> Self {
        Self(Arc::new(Inner {
            writer,
            reader,
            clock,
            random,
            files: Files::new(config),
            tenants,
            queue: Mutex::default(),
            work_available: Notify::new(),
            ended_runs: watch::Sender::new(0),
            submit_lock: tokio::sync::Mutex::default(),
        }))
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Accepts a request for a report. `job` is the job that requests it, if one does, and the folder that the job
    /// names.
    pub(super) async fn submit(
        &self,
        order: ReportRequest,
        job: Option<(JobId, Option<PathBuf>)>,
    ) -> Result<ReportRun, ReportRequestError> {
        let inner = &self.0;
        let now = inner.clock.now();
        let ReportRequest { request, format, section, actor } = order;
        let request = Request { to: request.to.min(now), ..request };
        request.check().map_err(ReportRequestError::InvalidRequest)?;
        let section = section_of(request.report, format, section.as_deref())
            .map_err(|error| ReportRequestError::InvalidRequest(error.to_string()))?;
        let (job, folder) = job.map_or((None, None), |(job, folder)| (Some(job), folder));
        let id = ReportRunId(inner.random.time_ordered_id(now));
        let name = file_name(&request, section.as_deref(), format, now);
        let path =
            inner.files.path_for(&request.tenant, folder.as_deref(), &name, id).ok_or(ReportRequestError::NoFolder)?;
        let run = ReportRun {
            id,
            tenant: request.tenant.clone(),
            requested_by: actor.into(),
            requested_at: now,
            job,
            // Serialising a request cannot fail.
            request: serde_json::to_string(&request).unwrap_or_default().into(),
            format,
            section: section.map(Into::into),
            status: RunStatus::Waiting,
            attempts: 0,
            started_at: None,
            ended_at: None,
            file: None,
            error: None,
            path: path.into(),
        };
        let _submit_guard = inner.submit_lock.lock().await;
        if run.job.is_none() && self.open_runs(&run.tenant) >= MAX_OPEN {
            return Err(ReportRequestError::TooMany(MAX_OPEN));
        }
        let commit = Commit { report_runs: vec![run.clone()], ..Commit::default() };
        inner.writer.commit(commit).await.map_err(ReportRequestError::Store)?;
        self.queue().waiting.push_back(run.clone());
        inner.work_available.notify_one();
        Ok(run)
    }

    fn open_runs(&self, tenant: &TenantId) -> usize {
        let queue = self.queue();
        let running = queue.running.iter().map(|(run, _)| run);
        queue.waiting.iter().chain(running).filter(|run| run.tenant == *tenant && run.job.is_none()).count()
    }

    /// Waits for the end of a run.
    pub(super) async fn wait_for_end(&self, tenant: &TenantId, id: ReportRunId) -> anyhow::Result<ReportRun> {
        let mut ended = self.0.ended_runs.subscribe();
        loop {
            ended.borrow_and_update();
            let run = self.0.reader.report_run(tenant, id).await?.context("the run was dropped")?;
            if run.status.is_final() {
                return Ok(run);
            }
            ended.changed().await.context("the report worker has stopped")?;
        }
    }

    /// Makes the requested reports until `soft` is cancelled.
    pub(super) async fn run(self, soft: CancellationToken) -> anyhow::Result<()> {
        let mut tenants_changed = self.0.tenants.subscribe();
        *self.queue() = Queue::default();
        loop {
            self.restore_runs().await.context("interrupted reports could not be read")?;
            self.delete_old_files().await.context("old report files could not be read")?;
            self.run_erasures().await;
            while let Some(run) = self.next_work() {
                self.run_report(run, &soft).await?;
                self.run_erasures().await;
                if soft.is_cancelled() {
                    return Ok(());
                }
            }
            tokio::select! {
                () = soft.cancelled() => return Ok(()),
                () = self.0.work_available.notified() => {}
                () = tenants_changed.changed() => {}
                () = RealTime::sleep(CHECK_INTERVAL) => {}
            }
        }
    }

    /// Queues the runs that an earlier daemon or task did not finish, for tenants that were not yet served at the last
    /// check.
    async fn restore_runs(&self) -> anyhow::Result<()> {
        let _submit_guard = self.0.submit_lock.lock().await;
        for tenant in self.0.tenants.ids() {
            if self.queue().restored_tenants.contains(&tenant) {
                continue;
            }
            let mut open = self.0.reader.open_report_runs(&tenant).await?;
            let mut queue = self.queue();
            open.retain(|run| queue.waiting.iter().all(|waiting| waiting.id != run.id));
            for run in &open {
                remove_partial(&run.path);
            }
            queue.waiting.extend(open);
            queue.restored_tenants.insert(tenant);
        }
        Ok(())
    }

    fn next_work(&self) -> Option<ReportRun> {
        let mut queue = self.queue();
        let run = queue.waiting.pop_front()?;
        queue.running = Some((run.clone(), Arc::default()));
        Some(run)
    }

    async fn run_report(&self, run: ReportRun, soft: &CancellationToken) -> anyhow::Result<()> {
        let inner = &self.0;
        let progress = self.queue().running.as_ref().map(|(_, progress)| progress.clone()).unwrap_or_default();
        let run = ReportRun {
            status: RunStatus::Running,
            attempts: run.attempts + 1,
            started_at: Some(inner.clock.now()),
            ..run
        };
        let outcome = if run.attempts > MAX_ATTEMPTS {
            ReportOutcome::Failed(format!("it was cut off {MAX_ATTEMPTS} times; ask for it again, or for less"))
        } else {
            inner.writer.commit(Commit { report_runs: vec![run.clone()], ..Commit::default() }).await?;
            self.create_report(&run, &progress, soft).await
        };
        let ended = self.finish_run(run, outcome);
        let committed = inner.writer.commit(ended).await;
        self.queue().running = None;
        inner.ended_runs.send_modify(|count| *count += 1);
        // At a stop the store may already be closing: the row still says `running`, and the next start begins the run
        // again.
        if !soft.is_cancelled() {
            committed.context("the end of a report could not be recorded")?;
        }
        Ok(())
    }

    async fn create_report(
        &self,
        run: &ReportRun,
        progress: &Arc<Progress>,
        soft: &CancellationToken,
    ) -> ReportOutcome {
        let inner = &self.0;
        let request = match serde_json::from_str(&run.request) {
            Ok(request) => request,
            Err(error) => {
                return ReportOutcome::Failed(format!("this version does not know what was asked for: {error}"));
            }
        };
        let target = PathBuf::from(&*run.path);
        if let Err(error) = target.parent().map_or(Ok(()), std::fs::create_dir_all) {
            return ReportOutcome::Failed(format!("its folder cannot be made: {error}; see [reports] folder"));
        }
        let section = run.section.as_deref().map(str::to_owned);
        let export_request =
            ExportRequest { request, format: run.format, section, target, max_bytes: inner.files.max_bytes };
        let (reader, now, watched) = (inner.reader.clone(), inner.clock.now(), progress.clone());
        let handle = Handle::current();
        let mut work =
            tokio::task::spawn_blocking(move || handle.block_on(export(&reader, &export_request, now, &watched)));
        let (mut is_stopping, mut timed_out) = (false, false);
        let done = tokio::select! {
            done = &mut work => done,
            () = soft.cancelled() => {
                is_stopping = true;
                progress.cancel();
                work.await
            }
            () = RealTime::sleep(TIME_LIMIT_REAL) => {
                timed_out = true;
                progress.cancel();
                work.await
            }
        };
        match done {
            Ok(Ok(manifest)) => ReportOutcome::Made(Box::new(manifest)),
            Ok(Err(error)) if error.is_cancelled() && is_stopping => ReportOutcome::Interrupted,
            Ok(Err(error)) if error.is_cancelled() && timed_out => {
                ReportOutcome::Failed("it took longer than an hour; ask for a shorter span or fewer teams".to_owned())
            }
            Ok(Err(error)) if error.is_cancelled() => ReportOutcome::Cancelled,
            Ok(Err(error)) => {
                let cause = anyhow::Error::from(error);
                tracing::error!(tenant = %run.tenant, run = %run.id, error = format!("{cause:#}"), "a report failed");
                ReportOutcome::Failed(format!("{cause:#}").chars().take(MAX_ERROR_CHARS).collect())
            }
            Err(panicked) => {
                tracing::error!(tenant = %run.tenant, run = %run.id, error = %panicked, "a report panicked");
                ReportOutcome::Failed("a defect ended it; the log has more".to_owned())
            }
        }
    }

    /// Returns the final row of a run, with its audit entry and its event.
    fn finish_run(&self, run: ReportRun, outcome: ReportOutcome) -> Commit {
        let now = self.0.clock.now();
        let run = ReportRun { ended_at: Some(now), ..run };
        let run = match outcome {
            ReportOutcome::Made(manifest) => {
                let facts = &manifest.file;
                let (bytes, sha256) = (facts.bytes, facts.sha256.clone());
                let file = RunFile { exists: true, rows: manifest.rows(), bytes, sha256 };
                ReportRun { status: RunStatus::Done, file: Some(file), ..run }
            }
            ReportOutcome::Failed(error) => ReportRun { status: RunStatus::Failed, error: Some(error), ..run },
            ReportOutcome::Cancelled => ReportRun { status: RunStatus::Cancelled, ..run },
            ReportOutcome::Interrupted => {
                let run = ReportRun { status: RunStatus::Waiting, started_at: None, ended_at: None, ..run };
                return Commit { report_runs: vec![run], ..Commit::default() };
            }
        };
        Commit {
            audit: vec![audit_draft(&run, now)],
            events: vec![self.end_event(&run)],
            report_runs: vec![run],
            ..Commit::default()
        }
    }

    fn end_event(&self, run: &ReportRun) -> Event {
        let now = run.ended_at.unwrap_or_else(|| self.0.clock.now());
        let request = serde_json::from_str::<Request>(&run.request).ok();
        let file = run.file.as_ref();
        Event {
            id: EventId(self.0.random.time_ordered_id(now)),
            tenant: run.tenant.clone(),
            at: now,
            data: ReportCompleted {
                report_id: run.id,
                report: request.as_ref().map_or("", |request| request.report.name()).to_owned(),
                format: run.format.name().to_owned(),
                outcome: run.status.name().to_owned(),
                from: request.as_ref().and_then(|request| request.from),
                to: request.as_ref().map_or(run.requested_at, |request| request.to),
                actor: run.requested_by.to_string(),
                job_id: run.job.clone(),
                file_name: file.map(|_| run.file_name().to_owned()),
                rows: file.map(|file| file.rows),
                bytes: file.map(|file| file.bytes),
                sha256: file.map(|file| file.sha256.clone()),
                error: run.error.clone(),
            }
            .into(),
        }
    }

    /// Deletes the files that are too old or too many. Their rows record that, and are removed by retention.
    async fn delete_old_files(&self) -> anyhow::Result<()> {
        let inner = &self.0;
        let now = inner.clock.now();
        for tenant in inner.tenants.ids() {
            let runs = inner.reader.report_runs_with_file(&tenant, now, u32::MAX).await?;
            let deleted: Vec<_> = inner.files.delete_old(runs, now);
            if !deleted.is_empty() {
                inner.writer.commit(Commit { report_runs: deleted, ..Commit::default() }).await?;
            }
        }
        Ok(())
    }

    /// Removes the files that contain an agent, or may, and returns their paths.
    pub(super) async fn erase(
        &self,
        tenant: TenantId,
        eraser: TextEraser,
        folders: Vec<PathBuf>,
    ) -> anyhow::Result<Vec<String>> {
        let (reply, answer) = oneshot::channel();
        self.queue().erasure_requests.push(FileErasureRequest { tenant, eraser, folders, reply });
        self.0.work_available.notify_one();
        answer.await.context("the report worker is restarting")?
    }

    /// Carries out the pending requests. Called between two reports.
    async fn run_erasures(&self) {
        let requests = std::mem::take(&mut self.queue().erasure_requests);
        for FileErasureRequest { tenant, eraser, folders, reply } in requests {
            self.clean_queued(&tenant, &eraser);
            let inner = &self.0;
            let erased = erase_files((&inner.reader, &inner.writer), &inner.files, &tenant, &eraser, folders).await;
            // The requester may be gone.
            let _ = reply.send(erased);
        }
    }

    /// Removes the agent from the requests of waiting runs.
    fn clean_queued(&self, tenant: &TenantId, eraser: &TextEraser) {
        for run in self.queue().waiting.iter_mut().filter(|run| run.tenant == *tenant) {
            if let Some(request) = eraser.clean_json(&run.request) {
                run.request = request.into();
            }
        }
    }

    async fn cancel(&self, tenant: &TenantId, id: ReportRunId) -> Result<Option<ReportRun>, ReportRequestError> {
        let removed = {
            let mut queue = self.queue();
            if let Some((run, progress)) = &queue.running
                && (&run.tenant, run.id) == (tenant, id)
            {
                progress.cancel();
            }
            let place = queue.waiting.iter().position(|run| (&run.tenant, run.id) == (tenant, id));
            place.and_then(|place| queue.waiting.remove(place))
        };
        if let Some(run) = removed {
            let ended = self.finish_run(run, ReportOutcome::Cancelled);
            self.0.writer.commit(ended).await.map_err(ReportRequestError::Store)?;
            self.0.ended_runs.send_modify(|count| *count += 1);
        }
        self.0.reader.report_run(tenant, id).await.map_err(ReportRequestError::Read)
    }
}

/// Returns the audit entry of a run. It has the number of agents instead of their ids, since the audit chain refers to agents only by subject.
fn audit_draft(run: &ReportRun, now: UtcMicros) -> AuditDraft {
    let request = serde_json::from_str::<Request>(&run.request).ok();
    let filters = request.as_ref().map(|request| &request.filters);
    let mut facts = json!({
        "run": run.id,
        "report": request.as_ref().map(|request| request.report),
        "format": run.format,
        "from": request.as_ref().and_then(|request| request.from),
        "to": request.as_ref().map(|request| request.to),
        "teams": filters.map(|filters| &filters.teams),
        "agents": filters.map(|filters| filters.agents.len()),
    });
    if let Some(file) = &run.file {
        facts["rows"] = file.rows.into();
        facts["sha256"] = file.sha256.clone().into();
    }
    AuditDraft {
        outcome: Some(run.status.name().to_owned()),
        ..AuditDraft::new(run.tenant.clone(), now, run.requested_by.to_string(), "report.completed", facts)
    }
}

impl ReportService for ReportRunner {
    fn request_report(&self, order: ReportRequest) -> BoxFuture<Result<ReportRun, ReportRequestError>> {
        let service = self.clone();
        Box::pin(async move { service.submit(order, None).await })
    }

    fn cancel_report(
        &self,
        tenant: TenantId,
        id: ReportRunId,
    ) -> BoxFuture<Result<Option<ReportRun>, ReportRequestError>> {
        let service = self.clone();
        Box::pin(async move { service.cancel(&tenant, id).await })
    }

    fn rows_so_far(&self, id: ReportRunId) -> Option<u64> {
        let queue = self.queue();
        queue.running.as_ref().filter(|(run, _)| run.id == id).map(|(_, progress)| progress.rows())
    }
}

#[cfg(test)]
mod tests;
