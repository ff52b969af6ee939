//! Jobs as shown to people, the same from the daemon and from the store alone.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::JobInfo;
use crate::domain::ids::{JobId, TenantId};
use crate::domain::jobs::job::{CatchUp, JobOutcome};
use crate::domain::time::UtcMicros;
use crate::store::JobRun;

/// A job with its last and next run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Job)]
pub struct JobView {
    /// Its id.
    pub id: JobId,
    /// Whose; null for the daemon's own.
    pub tenant: Option<TenantId>,
    /// What kind it is.
    pub kind: String,
    /// Its cron text.
    pub cron: String,
    /// The IANA zone that the cron text is in.
    pub zone: String,
    /// `once` or `skip`.
    pub catch_up: String,
    /// When it is next due.
    pub next_due_at: Option<UtcMicros>,
    /// Its last run, or the one under way.
    pub last: Option<RunView>,
}

/// One run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = JobRun)]
pub struct RunView {
    /// Its number.
    pub run: u64,
    /// The instant that it was due at.
    pub due_at: UtcMicros,
    /// The how-manieth try.
    pub attempt: u32,
    /// Who asked for it; null for the calendar.
    pub asked_by: Option<String>,
    /// When it began.
    pub started_at: UtcMicros,
    /// When it ended; null while it runs.
    pub finished_at: Option<UtcMicros>,
    /// `running`, `done`, `failed`, `panicked`, `timed_out`, `cut_off` or `skipped`.
    pub outcome: String,
    /// What came of it.
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
