//! The configured jobs, and the sources of schedules that they read.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::BoxFuture;
use crate::domain::ids::ScheduleSourceId;
use crate::domain::jobs::cron::Calendar;
use crate::domain::jobs::job::{CatchUp, JobKey};
use crate::domain::time::UtcMicros;

/// The work of a job. Running it twice for the same due instant must be harmless: after a crash it is run again.
pub trait Job: Send + Sync {
    /// Runs the job for a due instant, and returns a sentence for people that describes the result.
    ///
    /// `failure` is the last reported failure if no run has succeeded since; a run without work to do may have to say
    /// that the failure persists.
    fn run(&self, due: UtcMicros, failure: Option<String>) -> BoxFuture<anyhow::Result<String>>;
}

/// A source of schedules that a job reads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceInfo {
    /// The source.
    pub id: ScheduleSourceId,
    /// `https` or `folder`.
    pub kind: &'static str,
    /// The age of the last good version above which the source is late; `None` if it is never late.
    pub max_age: Option<Duration>,
}

/// A configured job, without its work.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobInfo {
    /// The job's name.
    pub key: JobKey,
    /// The kind of job: `backup`, `retention`, …
    pub kind: &'static str,
    /// When it is due.
    pub calendar: Calendar,
    /// What happens to due instants that were missed.
    pub catch_up: CatchUp,
    /// The longest that a run may take, in real time.
    pub time_limit_real: Duration,
    /// The source of schedules that the job reads, if it reads one.
    pub source: Option<SourceInfo>,
}

/// A configured job with its work.
#[derive(Clone)]
pub struct JobSpec {
    /// The name and the calendar.
    pub info: JobInfo,
    /// The work of the job.
    pub job: Arc<dyn Job>,
}

/// The configured jobs; a reload replaces them.
pub type JobSpecs = watch::Receiver<Arc<[JobSpec]>>;
