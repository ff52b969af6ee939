//! The desk where people and jobs ask for reports: makes them one after the other on a thread of its own, keeps their files for a time,
//! and records each run with its end.

mod erasing;
mod files;

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use self::files::{Files, forget_partial};
use crate::clock::{BoxFuture, RealTime, SharedClock, SharedRandom};
use crate::config::Config;
use crate::domain::audit::AuditDraft;
use crate::domain::ids::{EventId, JobId, ReportRunId, TenantId};
use crate::domain::reports::report_run::{Format, ReportRun, RunFile, RunStatus};
use crate::domain::webhooks::event::{Event, ReportCompleted};
use crate::engine::operations::tenants::Tenants;
use crate::http::{ReportRefused, Reporting, WantedReport};
use crate::report::export::{Wanted, export, file_name, section_of};
use crate::report::manifest::Manifest;
use crate::report::request::Request;
use crate::report::tally::Progress;
use crate::store::{Commit, Reader, Writer};

/// Reports of a tenant that people may have waiting or running at once.
const MOST_OPEN: usize = 5;

/// How often a report is begun that the end of the daemon cut off.
const MOST_ATTEMPTS: u32 = 3;

/// The longest that one may take, in real time.
const TIME_LIMIT_REAL: Duration = Duration::from_secs(3600);

/// Files that have served their time go at least this often, in real time.
const LOOK_REAL: Duration = Duration::from_secs(3600);

/// The longest error that is kept, in characters.
const LONGEST_ERROR: usize = 500;

/// What a job of the calendar asks for.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) format: Format,
    pub(super) section: Option<String>,
    pub(super) actor: String,
    /// The job, and the folder that it names.
    pub(super) job: Option<(JobId, Option<PathBuf>)>,
}

/// The desk. Cheap to clone; clones share it.
#[derive(Clone)]
pub(super) struct ReportDesk(Arc<Inner>);

struct Inner {
    writer: Writer,
    reader: Reader,
    clock: SharedClock,
    random: SharedRandom,
    files: Files,
    tenants: Tenants,
    queue: Mutex<Queue>,
    news: Notify,
    /// Counts the runs that ended.
    ended: watch::Sender<u64>,
    /// One question at a time, so that the bound holds.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<ReportRun>,
    running: Option<(ReportRun, Arc<Progress>)>,
    /// Agents whose files are to go.
    wishes: Vec<erasing::Wish>,
    /// Tenants whose runs that were cut off are in here.
    taken_up: BTreeSet<TenantId>,
}

/// How a run came out.
enum CameOut {
    Made(Box<Manifest>),
    Failed(String),
    CalledOff,
    /// The daemon stops: it is begun again at the next start.
    CutOff,
}

impl ReportDesk {
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
            news: Notify::new(),
            ended: watch::Sender::new(0),
            turn: tokio::sync::Mutex::default(),
        }))
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a report in.
    pub(super) async fn take(&self, asked: Asked) -> Result<ReportRun, ReportRefused> {
        let inner = &self.0;
        let now = inner.clock.now();
        let Asked { request, format, section, actor, job } = asked;
        let request = Request { to: request.to.min(now), ..request };
        request.check().map_err(ReportRefused::Request)?;
        let section = section_of(request.report, format, section.as_deref())
            .map_err(|error| ReportRefused::Request(error.to_string()))?;
        let (job, folder) = job.map_or((None, None), |(job, folder)| (Some(job), folder));
        let id = ReportRunId(inner.random.id_at(now));
        let name = file_name(&request, section.as_deref(), format, now);
        let place = inner.files.place(&request.tenant, folder.as_deref(), &name, id).ok_or(ReportRefused::NoFolder)?;
        let run = ReportRun {
            id,
            tenant: request.tenant.clone(),
            asked_by: actor.into(),
            asked_at: now,
            job,
            // A request can always be written.
            request: serde_json::to_string(&request).unwrap_or_default().into(),
            format,
            section: section.map(Into::into),
            status: RunStatus::Waiting,
            attempts: 0,
            started_at: None,
            ended_at: None,
            file: None,
            error: None,
            place: place.into(),
        };
        let _turn = inner.turn.lock().await;
        if run.job.is_none() && self.open_of(&run.tenant) >= MOST_OPEN {
            return Err(ReportRefused::TooMany(MOST_OPEN));
        }
        let commit = Commit { report_runs: vec![run.clone()], ..Commit::default() };
        inner.writer.commit(commit).await.map_err(ReportRefused::Store)?;
        self.queue().waiting.push_back(run.clone());
        inner.news.notify_one();
        Ok(run)
    }

    fn open_of(&self, tenant: &TenantId) -> usize {
        let queue = self.queue();
        let running = queue.running.iter().map(|(run, _)| run);
        queue.waiting.iter().chain(running).filter(|run| run.tenant == *tenant && run.job.is_none()).count()
    }

    /// Waits for the end of a run.
    pub(super) async fn end_of(&self, tenant: &TenantId, id: ReportRunId) -> anyhow::Result<ReportRun> {
        let mut ended = self.0.ended.subscribe();
        loop {
            ended.borrow_and_update();
            let run = self.0.reader.report_run(tenant, id).await?.context("the run was let go of")?;
            if run.status.is_final() {
                return Ok(run);
            }
            ended.changed().await.context("the desk is gone")?;
        }
    }

    /// Makes what is asked for, until `soft` is cancelled.
    pub(super) async fn run(self, soft: CancellationToken) -> anyhow::Result<()> {
        let mut served = self.0.tenants.news();
        *self.queue() = Queue::default();
        loop {
            self.take_up().await.context("reports that were cut off")?;
            self.let_go().await.context("files of reports that have served their time")?;
            self.erase_what_is_asked().await;
            while let Some(run) = self.next() {
                self.carry_out(run, &soft).await?;
                self.erase_what_is_asked().await;
                if soft.is_cancelled() {
                    return Ok(());
                }
            }
            tokio::select! {
                () = soft.cancelled() => return Ok(()),
                () = self.0.news.notified() => {}
                () = served.changed() => {}
                () = RealTime::sleep(LOOK_REAL) => {}
            }
        }
    }

    /// What an earlier daemon, or an earlier run of this task, did not end, of tenants that were not served when this was last looked for.
    async fn take_up(&self) -> anyhow::Result<()> {
        let _turn = self.0.turn.lock().await;
        for tenant in self.0.tenants.ids() {
            if self.queue().taken_up.contains(&tenant) {
                continue;
            }
            let mut open = self.0.reader.open_report_runs(&tenant).await?;
            let mut queue = self.queue();
            open.retain(|run| queue.waiting.iter().all(|waiting| waiting.id != run.id));
            for run in &open {
                forget_partial(&run.place);
            }
            queue.waiting.extend(open);
            queue.taken_up.insert(tenant);
        }
        Ok(())
    }

    fn next(&self) -> Option<ReportRun> {
        let mut queue = self.queue();
        let run = queue.waiting.pop_front()?;
        queue.running = Some((run.clone(), Arc::default()));
        Some(run)
    }

    async fn carry_out(&self, run: ReportRun, soft: &CancellationToken) -> anyhow::Result<()> {
        let inner = &self.0;
        let progress = self.queue().running.as_ref().map(|(_, progress)| progress.clone()).unwrap_or_default();
        let run = ReportRun {
            status: RunStatus::Running,
            attempts: run.attempts + 1,
            started_at: Some(inner.clock.now()),
            ..run
        };
        let came_out = if run.attempts > MOST_ATTEMPTS {
            CameOut::Failed(format!("it was cut off {MOST_ATTEMPTS} times; ask for it again, or for less"))
        } else {
            inner.writer.commit(Commit { report_runs: vec![run.clone()], ..Commit::default() }).await?;
            self.make(&run, &progress, soft).await
        };
        let ended = self.ended(run, came_out);
        let written = inner.writer.commit(ended).await;
        self.queue().running = None;
        inner.ended.send_modify(|count| *count += 1);
        // At a stop the store may be closing: the row says `running`, and the next start begins it again.
        if !soft.is_cancelled() {
            written.context("the end of a report")?;
        }
        Ok(())
    }

    async fn make(&self, run: &ReportRun, progress: &Arc<Progress>, soft: &CancellationToken) -> CameOut {
        let inner = &self.0;
        let request = match serde_json::from_str(&run.request) {
            Ok(request) => request,
            Err(error) => return CameOut::Failed(format!("this version does not know what was asked for: {error}")),
        };
        let target = PathBuf::from(&*run.place);
        if let Err(error) = target.parent().map_or(Ok(()), std::fs::create_dir_all) {
            return CameOut::Failed(format!("its folder cannot be made: {error}; see [reports] folder"));
        }
        let section = run.section.as_deref().map(str::to_owned);
        let wanted = Wanted { request, format: run.format, section, target, most_bytes: inner.files.largest };
        let (reader, now, watched) = (inner.reader.clone(), inner.clock.now(), progress.clone());
        let handle = Handle::current();
        let mut work = tokio::task::spawn_blocking(move || handle.block_on(export(&reader, &wanted, now, &watched)));
        let (mut stops, mut too_long) = (false, false);
        let done = tokio::select! {
            done = &mut work => done,
            () = soft.cancelled() => {
                stops = true;
                progress.call_off();
                work.await
            }
            () = RealTime::sleep(TIME_LIMIT_REAL) => {
                too_long = true;
                progress.call_off();
                work.await
            }
        };
        match done {
            Ok(Ok(manifest)) => CameOut::Made(Box::new(manifest)),
            Ok(Err(error)) if error.is_called_off() && stops => CameOut::CutOff,
            Ok(Err(error)) if error.is_called_off() && too_long => {
                CameOut::Failed("it took longer than an hour; ask for a shorter span or fewer teams".to_owned())
            }
            Ok(Err(error)) if error.is_called_off() => CameOut::CalledOff,
            Ok(Err(error)) => {
                let cause = anyhow::Error::from(error);
                tracing::error!(tenant = %run.tenant, run = %run.id, error = format!("{cause:#}"), "a report failed");
                CameOut::Failed(format!("{cause:#}").chars().take(LONGEST_ERROR).collect())
            }
            Err(panicked) => {
                tracing::error!(tenant = %run.tenant, run = %run.id, error = %panicked, "a report panicked");
                CameOut::Failed("a defect ended it; the log has more".to_owned())
            }
        }
    }

    /// The row as it ends, with its audit entry and its event.
    fn ended(&self, run: ReportRun, came_out: CameOut) -> Commit {
        let now = self.0.clock.now();
        let run = ReportRun { ended_at: Some(now), ..run };
        let run = match came_out {
            CameOut::Made(manifest) => {
                let facts = &manifest.file;
                let (bytes, sha256) = (facts.bytes, facts.sha256.clone());
                let file = RunFile { there: true, rows: manifest.rows(), bytes, sha256 };
                ReportRun { status: RunStatus::Done, file: Some(file), ..run }
            }
            CameOut::Failed(error) => ReportRun { status: RunStatus::Failed, error: Some(error), ..run },
            CameOut::CalledOff => ReportRun { status: RunStatus::Cancelled, ..run },
            CameOut::CutOff => {
                let run = ReportRun { status: RunStatus::Waiting, started_at: None, ended_at: None, ..run };
                return Commit { report_runs: vec![run], ..Commit::default() };
            }
        };
        Commit {
            audit: vec![audit_of(&run, now)],
            events: vec![self.event_of(&run)],
            report_runs: vec![run],
            ..Commit::default()
        }
    }

    fn event_of(&self, run: &ReportRun) -> Event {
        let now = run.ended_at.unwrap_or_else(|| self.0.clock.now());
        let request = serde_json::from_str::<Request>(&run.request).ok();
        let file = run.file.as_ref();
        Event {
            id: EventId(self.0.random.id_at(now)),
            tenant: run.tenant.clone(),
            at: now,
            data: ReportCompleted {
                report_id: run.id,
                report: request.as_ref().map_or("", |request| request.report.name()).to_owned(),
                format: run.format.name().to_owned(),
                outcome: run.status.name().to_owned(),
                from: request.as_ref().and_then(|request| request.from),
                to: request.as_ref().map_or(run.asked_at, |request| request.to),
                actor: run.asked_by.to_string(),
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

    /// Lets go of files that have served their time. Their rows say that they are gone, and go with retention.
    async fn let_go(&self) -> anyhow::Result<()> {
        let inner = &self.0;
        let now = inner.clock.now();
        for tenant in inner.tenants.ids() {
            let runs = inner.reader.report_runs_with_file(&tenant, now, u32::MAX).await?;
            let gone: Vec<_> = inner.files.let_go(runs, now);
            if !gone.is_empty() {
                inner.writer.commit(Commit { report_runs: gone, ..Commit::default() }).await?;
            }
        }
        Ok(())
    }

    async fn call_off(&self, tenant: &TenantId, id: ReportRunId) -> Result<Option<ReportRun>, ReportRefused> {
        let waited = {
            let mut queue = self.queue();
            if let Some((run, progress)) = &queue.running
                && (&run.tenant, run.id) == (tenant, id)
            {
                progress.call_off();
            }
            let place = queue.waiting.iter().position(|run| (&run.tenant, run.id) == (tenant, id));
            place.and_then(|place| queue.waiting.remove(place))
        };
        if let Some(run) = waited {
            let ended = self.ended(run, CameOut::CalledOff);
            self.0.writer.commit(ended).await.map_err(ReportRefused::Store)?;
            self.0.ended.send_modify(|count| *count += 1);
        }
        self.0.reader.report_run(tenant, id).await.map_err(ReportRefused::Read)
    }
}

/// Names no agent: the chain knows agents by their subjects alone, so that their number has to do.
fn audit_of(run: &ReportRun, now: crate::domain::time::UtcMicros) -> AuditDraft {
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
        tenant: run.tenant.clone(),
        at: now,
        actor: run.asked_by.to_string(),
        action: "report.completed",
        subject: None,
        transition: None,
        before: None,
        after: None,
        outcome: Some(run.status.name().to_owned()),
        why: facts,
        note: None,
    }
}

impl Reporting for ReportDesk {
    fn ask(&self, wanted: WantedReport) -> BoxFuture<Result<ReportRun, ReportRefused>> {
        let desk = self.clone();
        let WantedReport { request, format, section, actor } = wanted;
        Box::pin(async move { desk.take(Asked { request, format, section, actor, job: None }).await })
    }

    fn cancel(&self, tenant: TenantId, id: ReportRunId) -> BoxFuture<Result<Option<ReportRun>, ReportRefused>> {
        let desk = self.clone();
        Box::pin(async move { desk.call_off(&tenant, id).await })
    }

    fn rows_so_far(&self, id: ReportRunId) -> Option<u64> {
        let queue = self.queue();
        queue.running.as_ref().filter(|(run, _)| run.id == id).map(|(_, progress)| progress.rows())
    }
}

#[cfg(test)]
mod tests;
