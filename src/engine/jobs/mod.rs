//! Scheduled jobs: audit heads, retention, checkpoints, backups, watched folders.
//!
//! `tokio-cron-scheduler` only wakes a pass, in UTC and real time. What is due is computed from the daemon's clock and
//! the store, so that a missed or repeated wake-up, a restart, a suspended host or a changed clock does no harm: each
//! due instant is handled once. What a job does is supplied by `app`.

pub mod audit_head;
pub mod backup;
pub mod checkpoint;
pub mod retention;
mod runner;
pub mod sources;
mod spec;
#[cfg(test)]
mod tests;
mod view;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};

use self::sources::{ScheduleSourceView, tenant_sources};
use super::operations::readiness::Readiness;
use super::operations::tenants::Tenants;
use crate::clock::{RealTime, SharedClock, SharedRandom};
use crate::domain::ids::TenantId;
use crate::domain::jobs::job::JobKey;
use crate::store::{JobRun, Reader, StoredScheduleSource, Writer};

pub use spec::{Job, JobInfo, JobSpec, JobSpecs, SourceInfo};
pub use view::{JobView, RunView, views};
pub use worker::run;

/// How long a request may wait for its reply, in real time. A request that nobody waits for any more is not carried
/// out.
const ANSWER_TIMEOUT_REAL: Duration = Duration::from_secs(10);

/// How many requests may wait for the next pass.
const INBOX_CAPACITY: usize = 16;

/// Why a job was not started.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RunJobError {
    /// There is no such job.
    #[error("there is no job {key}; the jobs are: {known}")]
    Unknown {
        /// The requested job.
        key: JobKey,
        /// The jobs that exist.
        known: String,
    },
    /// The job is already running.
    #[error("{key} is already running, as run {run}; `shiftkeeper jobs` shows it")]
    Running {
        /// The requested job.
        key: JobKey,
        /// The number of the current run.
        run: u64,
    },
    /// The daemon is starting or stopping.
    #[error("the daemon cannot start the job at the moment; try again in a few seconds")]
    Unavailable,
}

/// A request to run a job now.
pub struct RunJobRequest {
    key: JobKey,
    actor: Arc<str>,
    reply: oneshot::Sender<Result<u64, RunJobError>>,
}

/// The dependencies of the worker.
#[derive(Clone)]
pub struct JobParts {
    /// The configured jobs.
    pub specs: JobSpecs,
    /// The tenants, each of which is notified when a job of the daemon itself fails.
    pub tenants: Tenants,
    /// The store's writer.
    pub writer: Writer,
    /// The store's reader.
    pub reader: Reader,
    /// The daemon's clock.
    pub clock: SharedClock,
    /// The source of ids.
    pub random: SharedRandom,
    /// Where failures are shown.
    pub readiness: Readiness,
    /// Requests to run a job at once.
    pub requests: Arc<Mutex<mpsc::Receiver<RunJobRequest>>>,
}

/// The interface for people: lists the jobs and runs one at once. Cheap to clone.
#[derive(Clone)]
pub struct Jobs {
    specs: JobSpecs,
    clock: SharedClock,
    requests: mpsc::Sender<RunJobRequest>,
}

impl Jobs {
    /// Creates the interface, and the receiver on which its requests arrive.
    pub fn new(specs: JobSpecs, clock: SharedClock) -> (Self, Arc<Mutex<mpsc::Receiver<RunJobRequest>>>) {
        let (requests, arrivals) = mpsc::channel(INBOX_CAPACITY);
        (Self { specs, clock, requests }, Arc::new(Mutex::new(arrivals)))
    }

    /// Returns every job with its last and next run.
    pub async fn views(&self, reader: &Reader) -> Result<Vec<JobView>, crate::store::ReadError> {
        Ok(views(&self.infos(), &reader.last_job_runs().await?, self.clock.now()))
    }

    /// Returns the sources of schedules of a tenant.
    pub async fn sources(
        &self,
        reader: &Reader,
        tenant: &TenantId,
    ) -> Result<Vec<ScheduleSourceView>, crate::store::ReadError> {
        let (stored, last_runs) = (reader.schedule_sources(tenant).await?, reader.last_job_runs().await?);
        Ok(self.sources_from(tenant, &stored, &last_runs))
    }

    /// As [`Jobs::sources`], from what was read before.
    pub fn sources_from(
        &self,
        tenant: &TenantId,
        stored: &[StoredScheduleSource],
        last_runs: &[JobRun],
    ) -> Vec<ScheduleSourceView> {
        tenant_sources(&self.infos(), tenant, stored, last_runs, self.clock.now())
    }

    fn infos(&self) -> Vec<JobInfo> {
        self.specs.borrow().iter().map(|spec| spec.info.clone()).collect()
    }

    /// Runs a job now, whatever its calendar says. Returns the number of the run once it has started.
    pub async fn run_now(&self, key: JobKey, actor: Arc<str>) -> Result<u64, RunJobError> {
        let (reply, answer) = oneshot::channel();
        let request = RunJobRequest { key, actor, reply };
        self.requests.send(request).await.map_err(|_| RunJobError::Unavailable)?;
        tokio::select! {
            answer = answer => answer.unwrap_or(Err(RunJobError::Unavailable)),
            () = RealTime::sleep(ANSWER_TIMEOUT_REAL) => Err(RunJobError::Unavailable),
        }
    }
}
