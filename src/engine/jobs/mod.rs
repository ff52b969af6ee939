//! Jobs of the calendar: audit heads, retention, checkpoints, copies, folders that are watched.
//!
//! `tokio-cron-scheduler` only wakes a pass, in UTC and real time. What is due is read off the daemon's own clock and the store,
//! so that a wake-up that is missed or doubled, a restart, a suspended host or a clock that is set does no harm: each due instant
//! is dealt with once. What a job does is its own business; it is handed in by `app`.

pub mod audit_head;
pub mod backup;
pub mod checkpoint;
mod keeper;
pub mod retention;
#[cfg(test)]
mod tests;
mod view;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot, watch};

use super::operations::readiness::Readiness;
use super::operations::tenants::Tenants;
use crate::clock::{BoxFuture, RealTime, SharedClock, SharedRandom};
use crate::domain::jobs::cron::Calendar;
use crate::domain::jobs::job::{CatchUp, JobKey};
use crate::domain::time::UtcMicros;
use crate::store::{Reader, Writer};

pub use view::{JobView, RunView, views};
pub use worker::run;

/// How long the answer may take, in real time; a wish whose answer nobody waits for any more is not carried out.
const ANSWER_WITHIN_REAL: Duration = Duration::from_secs(10);

/// How many requests may wait for the pass.
const INBOX: usize = 16;

/// What a job does. Doing it twice for the same due instant must be harmless: after a crash it is done again.
pub trait Job: Send + Sync {
    /// Does it, for an instant that it was due at; gives what came of it, in a sentence for people. `failure` is what people were told
    /// when it failed last, where no run went well since: a run that finds nothing to do may have to say that it stands.
    fn run(&self, due: UtcMicros, failure: Option<String>) -> BoxFuture<anyhow::Result<String>>;
}

/// A job as the configuration has it, without what it does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobInfo {
    /// Its name.
    pub key: JobKey,
    /// What kind it is: `backup`, `retention`, …
    pub kind: &'static str,
    /// When it is due.
    pub calendar: Calendar,
    /// What becomes of due instants that have passed.
    pub catch_up: CatchUp,
    /// The longest that it may take, in real time.
    pub time_limit_real: Duration,
}

/// A job and what it does.
#[derive(Clone)]
pub struct JobSpec {
    /// Name and calendar.
    pub info: JobInfo,
    /// What it does.
    pub job: Arc<dyn Job>,
}

/// The jobs in force; a reload brings others.
pub type JobSpecs = watch::Receiver<Arc<[JobSpec]>>;

/// Why a job is not run at once.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RunRefused {
    /// No such job.
    #[error("there is no job {key}; there are: {known}")]
    Unknown {
        /// The name.
        key: JobKey,
        /// Those that there are.
        known: String,
    },
    /// It runs already.
    #[error("{key} is running already, as run {run}; look at it with `shiftkeeper jobs`")]
    Running {
        /// The name.
        key: JobKey,
        /// The run.
        run: u64,
    },
    /// The daemon is starting or stopping.
    #[error("the daemon cannot start the job just now; try again in a few seconds")]
    Unavailable,
}

/// Somebody wants a job to run now.
pub struct RunRequest {
    key: JobKey,
    actor: Arc<str>,
    reply: oneshot::Sender<Result<u64, RunRefused>>,
}

/// What the worker is made of.
#[derive(Clone)]
pub struct JobParts {
    /// The jobs.
    pub specs: JobSpecs,
    /// The tenants, each of which is told when a job of the daemon's own fails.
    pub tenants: Tenants,
    /// The one writer.
    pub writer: Writer,
    /// The readers.
    pub reader: Reader,
    /// The daemon's clock.
    pub clock: SharedClock,
    /// Ids.
    pub random: SharedRandom,
    /// Where failures show.
    pub readiness: Readiness,
    /// Requests to run a job at once.
    pub requests: Arc<Mutex<mpsc::Receiver<RunRequest>>>,
}

/// The way in for people: what jobs there are, and running one at once. Cheap to clone.
#[derive(Clone)]
pub struct Jobs {
    specs: JobSpecs,
    clock: SharedClock,
    requests: mpsc::Sender<RunRequest>,
}

impl Jobs {
    /// The way in, and where what it takes arrives.
    pub fn new(specs: JobSpecs, clock: SharedClock) -> (Self, Arc<Mutex<mpsc::Receiver<RunRequest>>>) {
        let (requests, arrivals) = mpsc::channel(INBOX);
        (Self { specs, clock, requests }, Arc::new(Mutex::new(arrivals)))
    }

    /// Every job with its last and next run.
    pub async fn views(&self, reader: &Reader) -> Result<Vec<JobView>, crate::store::ReadError> {
        let infos: Vec<JobInfo> = self.specs.borrow().iter().map(|spec| spec.info.clone()).collect();
        Ok(views(&infos, &reader.last_job_runs().await?, self.clock.now()))
    }

    /// Runs a job now, whatever its calendar says; gives the number of the run once it has begun.
    pub async fn run_now(&self, key: JobKey, actor: Arc<str>) -> Result<u64, RunRefused> {
        let (reply, answer) = oneshot::channel();
        let request = RunRequest { key, actor, reply };
        self.requests.send(request).await.map_err(|_| RunRefused::Unavailable)?;
        tokio::select! {
            answer = answer => answer.unwrap_or(Err(RunRefused::Unavailable)),
            () = RealTime::sleep(ANSWER_WITHIN_REAL) => Err(RunRefused::Unavailable),
        }
    }
}
