//! Scheduled jobs: their progress and their runs.

pub(in crate::store) mod retention;

use sqlx::any::AnyRow;

use crate::domain::ids::{JobId, TenantId};
use crate::domain::jobs::job::{JobKey, JobOutcome};
use crate::domain::time::UtcMicros;
use crate::store::batch::{self, ManyRows, Transaction, Values};
use crate::store::cells::Cells;
use crate::store::change::{Commit, JobRun, JobState};
use crate::store::error::{CommitError, ReadError};
use crate::store::reader::Reader;

pub(in crate::store) const SET_JOBS: ManyRows = ManyRows {
    head: "INSERT INTO jobs (tenant, job, calendar, handled_through, told_at, told) VALUES",
    width: 6,
    tail: "ON CONFLICT (tenant, job) DO UPDATE SET calendar = excluded.calendar, handled_through = excluded.handled_through, \
           told_at = excluded.told_at, told = excluded.told",
};
pub(in crate::store) const SET_RUNS: ManyRows = ManyRows {
    head: "INSERT INTO job_runs (tenant, job, run, due_at, attempt, asked_by, started_at, finished_at, outcome, message) VALUES",
    width: 10,
    tail: "ON CONFLICT (tenant, job, run) DO UPDATE SET finished_at = excluded.finished_at, outcome = excluded.outcome, \
           message = excluded.message",
};
pub(in crate::store) const JOBS: &str =
    "SELECT tenant, job, calendar, handled_through, told_at, told FROM jobs ORDER BY tenant, job";
pub(in crate::store) const LAST_RUNS: &str = "SELECT r.tenant, r.job, r.run, r.due_at, r.attempt, r.asked_by, r.started_at, \
     r.finished_at, r.outcome, r.message FROM jobs j JOIN job_runs r ON r.tenant = j.tenant AND r.job = j.job \
     AND r.run = (SELECT MAX(m.run) FROM job_runs m WHERE m.tenant = j.tenant AND m.job = j.job) ORDER BY r.tenant, r.job";
pub(in crate::store) const LAST_SUCCESSES: &str =
    "SELECT tenant, job, MAX(finished_at) AS finished_at FROM job_runs WHERE outcome = $1 GROUP BY tenant, job";
pub(in crate::store) const UNFINISHED: &str = "SELECT tenant, job, run, due_at, attempt, asked_by, started_at, finished_at, outcome, \
     message FROM job_runs WHERE finished_at IS NULL ORDER BY tenant, job, run";
pub(in crate::store) const RUNS: &str = "SELECT tenant, job, run, due_at, attempt, asked_by, started_at, finished_at, outcome, message \
     FROM job_runs WHERE tenant = $1 AND job = $2 ORDER BY run DESC LIMIT $3";

pub(in crate::store) async fn write(transaction: &mut Transaction<'_>, commits: &[&Commit]) -> Result<(), CommitError> {
    let jobs = batch::last_of_each(commits.iter().flat_map(|commit| &commit.jobs), |row| &row.key);
    batch::run(transaction, &SET_JOBS, &jobs, |row, values| {
        bind_key(&row.key, values)
            .text(&*row.calendar)
            .instant(row.handled_through)
            .instant_or_null(row.notified_at)
            .text_or_null(row.notified_message.as_deref())
    })
    .await?;
    let runs = batch::last_of_each(commits.iter().flat_map(|commit| &commit.job_runs), |row| (&row.key, row.run));
    batch::run(transaction, &SET_RUNS, &runs, |row, values| {
        bind_key(&row.key, values)
            .count(row.run)
            .instant(row.due_at)
            .int(i64::from(row.attempt))
            .text_or_null(row.requested_by.as_deref())
            .instant(row.started_at)
            .instant_or_null(row.finished_at)
            .text_or_null(row.outcome.map(JobOutcome::name))
            .text_or_null(row.message.as_deref())
    })
    .await
}

fn bind_key(key: &JobKey, values: Values) -> Values {
    values.text(key.tenant.as_ref().map_or("", TenantId::as_str)).text(key.job.as_str())
}

fn read_key(cells: &Cells<'_>) -> Result<JobKey, ReadError> {
    let tenant = cells.text("tenant")?;
    Ok(JobKey { tenant: (!tenant.is_empty()).then(|| TenantId::new(tenant)), job: JobId::new(cells.text("job")?) })
}

impl Reader {
    /// Returns the progress of every job that was ever configured.
    pub async fn jobs(&self) -> Result<Vec<JobState>, ReadError> {
        self.read_rows(JOBS, Values::default(), |row| {
            let cells = Cells::new("jobs", row);
            Ok(JobState {
                key: read_key(&cells)?,
                calendar: cells.text("calendar")?.to_owned(),
                handled_through: cells.instant("handled_through")?,
                notified_at: cells.instant_or_null("told_at")?,
                notified_message: cells.text_or_null("told")?.map(str::to_owned),
            })
        })
        .await
    }

    /// Returns the last run of every job.
    pub async fn last_job_runs(&self) -> Result<Vec<JobRun>, ReadError> {
        self.read_rows(LAST_RUNS, Values::default(), read_run).await
    }

    /// Returns the end of each job's last successful run.
    pub async fn last_successes(&self) -> Result<Vec<(JobKey, UtcMicros)>, ReadError> {
        self.read_rows(LAST_SUCCESSES, Values::default().text(JobOutcome::Done.name()), |row| {
            let cells = Cells::new("job_runs", row);
            Ok((read_key(&cells)?, cells.instant("finished_at")?))
        })
        .await
    }

    /// Returns the runs without an end: in progress, or interrupted by a crash.
    pub async fn unfinished_job_runs(&self) -> Result<Vec<JobRun>, ReadError> {
        self.read_rows(UNFINISHED, Values::default(), read_run).await
    }

    /// Returns the runs of a job, newest first, at most `limit` (capped at [`crate::store::PAGE_LIMIT`]).
    pub async fn job_runs(&self, key: &JobKey, limit: u32) -> Result<Vec<JobRun>, ReadError> {
        self.read_rows(RUNS, bind_key(key, Values::default()).page(limit), read_run).await
    }
}

fn read_run(row: &AnyRow) -> Result<JobRun, ReadError> {
    let cells = Cells::new("job_runs", row);
    let outcome = cells.known_value_or_null("outcome", JobOutcome::from_name)?;
    Ok(JobRun {
        key: read_key(&cells)?,
        run: cells.number("run")?,
        due_at: cells.instant("due_at")?,
        attempt: cells.number("attempt")?,
        requested_by: cells.text_or_null("asked_by")?.map(str::to_owned),
        started_at: cells.instant("started_at")?,
        finished_at: cells.instant_or_null("finished_at")?,
        outcome,
        message: cells.text_or_null("message")?.map(str::to_owned),
    })
}
