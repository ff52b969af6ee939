//! Runs of requested reports.

use std::sync::Arc;

use sqlx::any::AnyRow;

use crate::domain::ids::{JobId, ReportRunId, TenantId};
use crate::domain::reports::report_run::{ReportRun, RunFile, RunStatus};
use crate::domain::time::UtcMicros;
use crate::store::batch::{self, ManyRows, PAGE_LIMIT, Transaction, Values, last_of_each};
use crate::store::cells::Cells;
use crate::store::change::Commit;
use crate::store::error::{CommitError, ReadError};
use crate::store::reader::Reader;

pub(in crate::store) const SET: ManyRows = ManyRows {
    head: "INSERT INTO report_runs (tenant, id, asked_by, asked_at, job, request, format, section, place, status, attempts, started_at, \
           ended_at, file, row_count, bytes, sha256, error) VALUES",
    width: 18,
    tail: "ON CONFLICT (tenant, id) DO UPDATE SET status = excluded.status, attempts = excluded.attempts, \
           started_at = excluded.started_at, ended_at = excluded.ended_at, file = excluded.file, row_count = excluded.row_count, \
           bytes = excluded.bytes, sha256 = excluded.sha256, error = excluded.error",
};

macro_rules! selecting {
    ($rest:literal) => {
        concat!(
            "SELECT tenant, id, asked_by, asked_at, job, request, format, section, place, status, attempts, started_at, ended_at, \
             file, row_count, bytes, sha256, error FROM report_runs WHERE tenant = $1 AND ",
            $rest
        )
    };
}

pub(in crate::store) const ONE: &str = selecting!("id = $2");
/// `$2` before this id.
pub(in crate::store) const LIST: &str = selecting!("id < $2 ORDER BY id DESC LIMIT $3");
/// Selects by id, so that SQLite reads the index of open runs.
pub(in crate::store) const OPEN: &str = selecting!(
    "id IN (SELECT id FROM report_runs WHERE tenant = $1 AND ended_at IS NULL ORDER BY id LIMIT $2) ORDER BY id"
);
/// `$2` before this time.
pub(in crate::store) const WITH_FILE: &str =
    selecting!("ended_at < $2 AND file = 1 ORDER BY ended_at DESC, id DESC LIMIT $3");
pub(in crate::store) const DELETE: &str = "DELETE FROM report_runs WHERE tenant = $1 AND id IN (SELECT id FROM report_runs \
     WHERE tenant = $1 AND ended_at < $2 AND COALESCE(file, 0) = 0 ORDER BY ended_at, id LIMIT 500)";

pub(in crate::store) async fn write(transaction: &mut Transaction<'_>, commits: &[&Commit]) -> Result<(), CommitError> {
    let rows = last_of_each(commits.iter().flat_map(|commit| &commit.report_runs), |row| (&row.tenant, row.id));
    batch::run(transaction, &SET, &rows, |row, values| {
        let file = row.file.as_ref();
        values
            .text(row.tenant.as_str())
            .text(row.id.to_string())
            .text(&*row.requested_by)
            .instant(row.requested_at)
            .text_or_null(row.job.as_ref().map(JobId::as_str))
            .text(&*row.request)
            .text(row.format.name())
            .text_or_null(row.section.as_deref())
            .text(&*row.path)
            .text(row.status.name())
            .int(i64::from(row.attempts))
            .instant_or_null(row.started_at)
            .instant_or_null(row.ended_at)
            .int_or_null(file.map(|file| i64::from(file.exists)))
            .int_or_null(file.map(|file| i64::try_from(file.rows).unwrap_or(i64::MAX)))
            .int_or_null(file.map(|file| i64::try_from(file.bytes).unwrap_or(i64::MAX)))
            .text_or_null(file.map(|file| file.sha256.as_str()))
            .text_or_null(row.error.as_deref())
    })
    .await
}

impl Reader {
    /// Returns one run.
    pub async fn report_run(&self, tenant: &TenantId, id: ReportRunId) -> Result<Option<ReportRun>, ReadError> {
        self.read_row(ONE, Values::of(tenant).text(id.to_string()), read_run).await
    }

    /// Returns a page of at most `limit` runs, newest first (capped at [`crate::store::PAGE_LIMIT`]).
    pub async fn report_runs(
        &self,
        tenant: &TenantId,
        before: Option<ReportRunId>,
        limit: u32,
    ) -> Result<Vec<ReportRun>, ReadError> {
        self.read_rows(LIST, Values::of(tenant).before(before).page(limit), read_run).await
    }

    /// Returns the unfinished runs, oldest first; at most [`crate::store::PAGE_LIMIT`].
    pub async fn open_report_runs(&self, tenant: &TenantId) -> Result<Vec<ReportRun>, ReadError> {
        self.read_rows(OPEN, Values::of(tenant).page(PAGE_LIMIT), read_run).await
    }

    /// Returns the runs that ended before a given time and whose files exist, newest first, at most `limit` (capped at
    /// [`crate::store::PAGE_LIMIT`]).
    pub async fn report_runs_with_file(
        &self,
        tenant: &TenantId,
        before: UtcMicros,
        limit: u32,
    ) -> Result<Vec<ReportRun>, ReadError> {
        self.read_rows(WITH_FILE, Values::of(tenant).instant(before).page(limit), read_run).await
    }
}

fn read_run(row: &AnyRow) -> Result<ReportRun, ReadError> {
    let cells = Cells::new("report_runs", row);
    let file = match cells.text_or_null("sha256")? {
        None => None,
        Some(sha256) => Some(RunFile {
            exists: cells.number::<u8>("file")? == 1,
            rows: cells.number("row_count")?,
            bytes: cells.number("bytes")?,
            sha256: sha256.to_owned(),
        }),
    };
    Ok(ReportRun {
        id: cells.parsed("id")?,
        tenant: TenantId::new(cells.text("tenant")?),
        requested_by: Arc::from(cells.text("asked_by")?),
        requested_at: cells.instant("asked_at")?,
        job: cells.text_or_null("job")?.map(JobId::new),
        request: Arc::from(cells.text("request")?),
        format: cells.known_value("format", |name| name.parse().ok())?,
        section: cells.text_or_null("section")?.map(Arc::from),
        path: Arc::from(cells.text("place")?),
        status: cells.known_value("status", RunStatus::from_name)?,
        attempts: cells.number("attempts")?,
        started_at: cells.instant_or_null("started_at")?,
        ended_at: cells.instant_or_null("ended_at")?,
        file,
        error: cells.text_or_null("error")?.map(str::to_owned),
    })
}
