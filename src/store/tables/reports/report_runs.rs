//! Runs of requested reports.

use std::sync::Arc;

use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::domain::ids::{JobId, ReportRunId, TenantId};
use crate::domain::reports::report_run::{ReportRun, RunFile, RunStatus};
use crate::domain::time::UtcMicros;
use crate::store::batch::{self, ManyRows, Script, Values, last_of_each};
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

pub(in crate::store) async fn write(
    connection: &mut AnyConnection,
    script: &mut Script,
    commits: &[&Commit],
) -> Result<(), CommitError> {
    let rows = last_of_each(commits.iter().flat_map(|commit| &commit.report_runs), |row| (&row.tenant, row.id));
    batch::run(connection, script, &SET, &rows, |row, values| {
        let file = row.file.as_ref();
        values
            .text(row.tenant.as_str())
            .text(row.id.to_string())
            .text(&*row.requested_by)
            .int(row.requested_at.as_micros())
            .text_or_null(row.job.as_ref().map(JobId::as_str))
            .text(&*row.request)
            .text(row.format.name())
            .text_or_null(row.section.as_deref())
            .text(&*row.path)
            .text(row.status.name())
            .int(i64::from(row.attempts))
            .int_or_null(row.started_at.map(UtcMicros::as_micros))
            .int_or_null(row.ended_at.map(UtcMicros::as_micros))
            .int_or_null(file.map(|file| i64::from(file.exists)))
            .int_or_null(file.map(|file| i64::try_from(file.rows).unwrap_or(i64::MAX)))
            .int_or_null(file.map(|file| i64::try_from(file.bytes).unwrap_or(i64::MAX)))
            .text_or_null(file.map(|file| file.sha256.as_str()))
            .text_or_null(row.error.as_deref());
    })
    .await
}

impl Reader {
    /// Returns one run.
    pub async fn report_run(&self, tenant: &TenantId, id: ReportRunId) -> Result<Option<ReportRun>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str()).text(id.to_string());
        self.fetch_optional(ONE, values).await?.as_ref().map(read_run).transpose()
    }

    /// Returns a page of at most `limit` runs, newest first (capped at [`crate::store::PAGE_LIMIT`]).
    pub async fn report_runs(
        &self,
        tenant: &TenantId,
        before: Option<ReportRunId>,
        limit: u32,
    ) -> Result<Vec<ReportRun>, ReadError> {
        let mut values = Values::default();
        // Sorts after every id.
        let before = before.map_or_else(|| "~".to_owned(), |id| id.to_string());
        values.text(tenant.as_str()).text(before).int(crate::store::page(limit));
        self.fetch_all(LIST, values).await?.iter().map(read_run).collect()
    }

    /// Returns the unfinished runs, oldest first; at most [`crate::store::PAGE_LIMIT`].
    pub async fn open_report_runs(&self, tenant: &TenantId) -> Result<Vec<ReportRun>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str()).int(crate::store::page(u32::MAX));
        self.fetch_all(OPEN, values).await?.iter().map(read_run).collect()
    }

    /// Returns the runs that ended before a given time and whose files exist, newest first, at most `limit` (capped at
    /// [`crate::store::PAGE_LIMIT`]).
    pub async fn report_runs_with_file(
        &self,
        tenant: &TenantId,
        before: UtcMicros,
        limit: u32,
    ) -> Result<Vec<ReportRun>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str()).int(before.as_micros()).int(crate::store::page(limit));
        self.fetch_all(WITH_FILE, values).await?.iter().map(read_run).collect()
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
