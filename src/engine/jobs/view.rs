//! Jobs as shown to people, the same from the daemon and from the store alone.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::JobInfo;
use crate::domain::ids::{JobId, TenantId};
use crate::domain::jobs::job::{CatchUp, JobOutcome};
use crate::domain::time::UtcMicros;
use crate::store::JobRun;

/// A scheduled job with its last and next run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Job)]
pub struct JobView {
    /// The id of the job.
    pub id: JobId,
    /// The id of the tenant; null for a job of the daemon.
    pub tenant: Option<TenantId>,
    /// The kind of job.
    pub kind: String,
    /// The cron expression.
    pub cron: String,
    /// The IANA time zone of the cron expression.
    pub zone: String,
    /// What happens to missed runs: `once` (run once for all of them) or `skip`.
    pub catch_up: String,
    /// When the next run is due; null if none is.
    pub next_due_at: Option<UtcMicros>,
    /// The last run, or the one in progress; null if the job has never run.
    pub last: Option<RunView>,
}

/// A run of a job.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = JobRun)]
pub struct RunView {
    /// The number of the run.
    pub run: u64,
    /// When the run was due.
    pub due_at: UtcMicros,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// Who requested the run; null if it was scheduled.
    pub asked_by: Option<String>,
    /// When the run started.
    pub started_at: UtcMicros,
    /// When the run ended; null while it is in progress.
    pub finished_at: Option<UtcMicros>,
    /// The status: `running`, `done`, `failed`, `panicked`, `timed_out`, `cut_off` or `skipped`.
    pub outcome: String,
    /// The result or the error in words; null if there is none.
    pub message: Option<String>,
}

impl From<&JobRun> for RunView {
    fn from(run: &JobRun) -> Self {
        Self {
            run: run.run,
            due_at: run.due_at,
            attempt: run.attempt,
            asked_by: run.requested_by.clone(),
            started_at: run.started_at,
            finished_at: run.finished_at,
            outcome: run.outcome.map_or("running", JobOutcome::name).to_owned(),
            message: run.message.clone(),
        }
    }
}

/// Returns every configured job with its stored state.
pub fn views(infos: &[JobInfo], last_runs: &[JobRun], now: UtcMicros) -> Vec<JobView> {
    let view = |info: &JobInfo| JobView {
        id: info.key.job.clone(),
        tenant: info.key.tenant.clone(),
        kind: info.kind.to_owned(),
        cron: info.calendar.cron().to_owned(),
        zone: info.calendar.zone_name().to_owned(),
        catch_up: match info.catch_up {
            CatchUp::Once => "once",
            CatchUp::Skip => "skip",
        }
        .to_owned(),
        next_due_at: info.calendar.next_after(now),
        last: last_runs.iter().find(|run| run.key == info.key).map(RunView::from),
    };
    infos.iter().map(view).collect()
}
