//! Runs of analytics queries and their result rows.

pub(in crate::store) mod anomalies;

use std::sync::Arc;

use sqlx::any::AnyRow;

use crate::domain::analytics::ResultRow;
use crate::domain::analytics::analytics_run::{AnalyticsRun, RunFailure, RunPart, RunResult};
use crate::domain::ids::{AnalyticsQueryId, AnalyticsRunId, JobId, TenantId};
use crate::domain::reports::report_run::RunStatus;
use crate::domain::time::UtcMicros;
use crate::store::batch::{self, ManyRows, PAGE_LIMIT, Transaction, Values};
use crate::store::cells::Cells;
use crate::store::change::{AnalyticsRows, Commit};
use crate::store::error::{Cause, CommitError, ReadError};
use crate::store::reader::Reader;

/// The maximum number of result rows on one page.
pub const ROWS_PAGE_LIMIT: u32 = 2_000;

pub(in crate::store) const SET: ManyRows = ManyRows {
    head: "INSERT INTO analytics_runs (tenant, id, query, asked_by, asked_at, job, request, status, parts, started_at, ended_at, \
           holds_until, stored, received, promised, sha256, failure, error) VALUES",
    width: 18,
    tail: "ON CONFLICT (tenant, id) DO UPDATE SET status = excluded.status, parts = excluded.parts, \
           started_at = excluded.started_at, ended_at = excluded.ended_at, holds_until = excluded.holds_until, \
           stored = excluded.stored, received = excluded.received, promised = excluded.promised, sha256 = excluded.sha256, \
           failure = excluded.failure, error = excluded.error",
};
pub(in crate::store) const ADD_ROWS: ManyRows = ManyRows {
    head: "INSERT INTO analytics_rows (tenant, run, place, body) VALUES",
    width: 4,
    tail: "ON CONFLICT (tenant, run, place) DO UPDATE SET body = excluded.body",
};

macro_rules! selecting {
    ($rest:literal) => {
        concat!(
            "SELECT tenant, id, query, asked_by, asked_at, job, request, status, parts, started_at, ended_at, holds_until, stored, \
             received, promised, sha256, failure, error FROM analytics_runs WHERE tenant = $1 AND ",
            $rest
        )
    };
}

pub(in crate::store) const ONE: &str = selecting!("id = $2");
/// `$2` before this id.
pub(in crate::store) const LIST: &str = selecting!("id < $2 ORDER BY id DESC LIMIT $3");
/// `$2` before this id, `$4` the query.
pub(in crate::store) const LIST_OF_QUERY: &str = selecting!("query = $4 AND id < $2 ORDER BY id DESC LIMIT $3");
/// Selects by id, so that SQLite reads the index of open runs.
pub(in crate::store) const OPEN: &str = selecting!(
    "id IN (SELECT id FROM analytics_runs WHERE tenant = $1 AND ended_at IS NULL ORDER BY id LIMIT $2) ORDER BY id"
);
/// Newest first, of the query `$2`; also selected by id.
pub(in crate::store) const STORED: &str = selecting!(
    "id IN (SELECT id FROM analytics_runs WHERE tenant = $1 AND query = $2 AND stored = 1 ORDER BY id DESC LIMIT $3) ORDER BY id DESC"
);
/// Later than `$2`.
pub(in crate::store) const OCCUPIED_SLOTS: &str =
    "SELECT parts FROM analytics_runs WHERE tenant = $1 AND holds_until > $2 ORDER BY holds_until LIMIT $3";
/// `$3` the first index.
pub(in crate::store) const ROWS: &str = "SELECT tenant, run, place, body FROM analytics_rows WHERE tenant = $1 AND run = $2 \
     AND place >= $3 ORDER BY place LIMIT $4";
/// Expired results no longer count; then their rows are deleted, and later the runs.
pub(in crate::store) const EXPIRE_RESULTS: &str = "UPDATE analytics_runs SET stored = 0 WHERE tenant = $1 AND id IN (SELECT id FROM \
     analytics_runs WHERE tenant = $1 AND ended_at < $2 AND stored = 1 ORDER BY ended_at, id LIMIT 500)";
pub(in crate::store) const DELETE_ROWS: &str = "DELETE FROM analytics_rows WHERE tenant = $1 AND (run, place) IN (SELECT r.run, r.place \
     FROM analytics_runs a JOIN analytics_rows r ON r.tenant = a.tenant AND r.run = a.id WHERE a.tenant = $1 AND a.ended_at < $2 \
     AND COALESCE(a.stored, 0) = 0 LIMIT 500)";
pub(in crate::store) const DELETE_RUNS: &str = "DELETE FROM analytics_runs WHERE tenant = $1 AND id IN (SELECT a.id FROM analytics_runs a \
     WHERE a.tenant = $1 AND a.ended_at < $2 AND COALESCE(a.stored, 0) = 0 AND NOT EXISTS (SELECT 1 FROM analytics_rows r \
     WHERE r.tenant = a.tenant AND r.run = a.id) ORDER BY a.ended_at, a.id LIMIT 500)";
/// `$3` the run; never deletes rows of a result that counts. `$2` is bound and not used.
pub(in crate::store) const DELETE_ROWS_OF_RUN: &str = "DELETE FROM analytics_rows WHERE tenant = $1 AND run = $3 AND place IN (SELECT place \
     FROM analytics_rows WHERE tenant = $1 AND run = $3 AND $2 > 0 ORDER BY place LIMIT 500) AND NOT EXISTS (SELECT 1 FROM analytics_runs a \
     WHERE a.tenant = $1 AND a.id = $3 AND a.stored = 1)";

pub(in crate::store) async fn write(transaction: &mut Transaction<'_>, commits: &[&Commit]) -> Result<(), CommitError> {
    let runs =
        batch::last_of_each(commits.iter().flat_map(|commit| &commit.analytics_runs), |run| (&run.tenant, run.id));
    batch::run(transaction, &SET, &runs, |run, values| bind_run(run, values)).await?;
    for AnalyticsRows { tenant, run, first_index: first, rows } in
        commits.iter().flat_map(|commit| &commit.analytics_rows)
    {
        let indexed_rows: Vec<(u64, &String)> = (*first..).zip(rows).collect();
        let run = run.to_string();
        batch::run(transaction, &ADD_ROWS, &indexed_rows, |(place, body), values| {
            values.text(tenant.as_str()).text(run.as_str()).count(*place).text(body.as_str())
        })
        .await?;
    }
    Ok(())
}

fn bind_run(run: &AnalyticsRun, values: Values) -> Values {
    let (result, failure) = (run.result.as_ref(), run.failure.as_ref());
    // Plain data can always be serialized.
    let json = |text: Result<String, serde_json::Error>| text.unwrap_or_default();
    values
        .text(run.tenant.as_str())
        .text(run.id.to_string())
        .text(run.query.as_ref().map_or("", AnalyticsQueryId::as_str))
        .text(&*run.requested_by)
        .instant(run.requested_at)
        .text_or_null(run.job.as_ref().map(JobId::as_str))
        .text(json(serde_json::to_string(&run.request)))
        .text(run.status.name())
        .text(json(serde_json::to_string(&run.parts)))
        .instant_or_null(run.started_at)
        .instant_or_null(run.ended_at)
        .instant_or_null(run.last_hold_until())
        .int_or_null(result.map(|result| i64::from(result.has_rows)))
        .count_or_null(result.map(|result| result.received))
        .count_or_null(result.and_then(|result| result.promised))
        .text_or_null(result.map(|result| result.sha256.as_str()))
        .text_or_null(failure.map(|failure| failure.class.as_str()))
        .text_or_null(failure.map(|failure| failure.text.as_str()))
}

impl Reader {
    /// Returns one run.
    pub async fn analytics_run(
        &self,
        tenant: &TenantId,
        id: AnalyticsRunId,
    ) -> Result<Option<AnalyticsRun>, ReadError> {
        self.read_row(ONE, Values::of(tenant).text(id.to_string()), read_run).await
    }

    /// Returns a page of at most `limit` runs of one query or of all, newest first (capped at
    /// [`crate::store::PAGE_LIMIT`]).
    pub async fn analytics_runs(
        &self,
        tenant: &TenantId,
        query: Option<&AnalyticsQueryId>,
        before: Option<AnalyticsRunId>,
        limit: u32,
    ) -> Result<Vec<AnalyticsRun>, ReadError> {
        let values = Values::of(tenant).before(before).page(limit);
        match query {
            None => self.read_rows(LIST, values, read_run).await,
            Some(query) => self.read_rows(LIST_OF_QUERY, values.text(query.as_str()), read_run).await,
        }
    }

    /// Returns the unfinished runs, oldest first; at most [`crate::store::PAGE_LIMIT`].
    pub async fn open_analytics_runs(&self, tenant: &TenantId) -> Result<Vec<AnalyticsRun>, ReadError> {
        self.read_rows(OPEN, Values::of(tenant).page(PAGE_LIMIT), read_run).await
    }

    /// Returns the times, in ascending order and later than `now`, until which slots are taken by abandoned queries.
    pub async fn occupied_slots_until(&self, tenant: &TenantId, now: UtcMicros) -> Result<Vec<UtcMicros>, ReadError> {
        let values = Values::of(tenant).instant(now).page(PAGE_LIMIT);
        let parts = |row: &AnyRow| Cells::new("analytics_runs", row).json::<Vec<RunPart>>("parts");
        let parts = self.read_rows(OCCUPIED_SLOTS, values, parts).await?.into_iter().flatten();
        let mut occupied_until: Vec<_> = parts.flat_map(|part| part.holds).filter(|until| *until > now).collect();
        occupied_until.sort_unstable();
        Ok(occupied_until)
    }

    /// Returns the runs of a configured query (or of none) whose rows are stored, newest first, at most `limit` (capped
    /// at [`crate::store::PAGE_LIMIT`]).
    pub async fn stored_analytics_runs(
        &self,
        tenant: &TenantId,
        query: Option<&AnalyticsQueryId>,
        limit: u32,
    ) -> Result<Vec<AnalyticsRun>, ReadError> {
        let query = query.map_or("", AnalyticsQueryId::as_str);
        self.read_rows(STORED, Values::of(tenant).text(query).page(limit), read_run).await
    }

    /// Returns the newest run of a configured query whose rows are stored.
    pub async fn last_analytics_run(
        &self,
        tenant: &TenantId,
        query: &AnalyticsQueryId,
    ) -> Result<Option<AnalyticsRun>, ReadError> {
        Ok(self.stored_analytics_runs(tenant, Some(query), 1).await?.pop())
    }

    /// Returns the rows of a result as canonical JSON ([`ResultRow::to_canonical`]), in order from the given index, at
    /// most `limit` (capped at [`ROWS_PAGE_LIMIT`]). They count only if the run says that its rows are stored.
    pub async fn analytics_rows(
        &self,
        tenant: &TenantId,
        id: AnalyticsRunId,
        from: u64,
        limit: u32,
    ) -> Result<Vec<String>, ReadError> {
        let read = |row: &AnyRow| Cells::new("analytics_rows", row).text("body").map(str::to_owned);
        self.read_rows(ROWS, bind_rows_query(tenant, id, from, limit), read).await
    }

    /// Returns the same rows, parsed.
    pub async fn result_rows(
        &self,
        tenant: &TenantId,
        id: AnalyticsRunId,
        from: u64,
        limit: u32,
    ) -> Result<Vec<ResultRow>, ReadError> {
        self.read_rows(ROWS, bind_rows_query(tenant, id, from, limit), result_row).await
    }
}

fn bind_rows_query(tenant: &TenantId, id: AnalyticsRunId, from: u64, limit: u32) -> Values {
    Values::of(tenant).text(id.to_string()).count(from).int(limit.min(ROWS_PAGE_LIMIT).into())
}

/// The error of a stored text that is not a result row.
#[derive(Debug, thiserror::Error)]
#[error("the text is not a row of a result")]
struct InvalidRow;

fn result_row(row: &AnyRow) -> Result<ResultRow, ReadError> {
    let cells = Cells::new("analytics_rows", row);
    ResultRow::from_canonical(cells.text("body")?)
        .ok_or_else(|| cells.decode_error("body", Arc::new(InvalidRow) as Cause))
}

fn read_run(row: &AnyRow) -> Result<AnalyticsRun, ReadError> {
    let cells = Cells::new("analytics_runs", row);
    let result = match cells.text_or_null("sha256")? {
        None => None,
        Some(sha256) => Some(RunResult {
            has_rows: cells.number::<u8>("stored")? == 1,
            received: cells.number("received")?,
            promised: cells.number_or_null("promised")?,
            sha256: sha256.to_owned(),
        }),
    };
    let failure = match (cells.text_or_null("failure")?, cells.text_or_null("error")?) {
        (Some(class), Some(text)) => Some(RunFailure { class: class.to_owned(), text: text.to_owned() }),
        (_, _) => None,
    };
    Ok(AnalyticsRun {
        id: cells.parsed("id")?,
        tenant: TenantId::new(cells.text("tenant")?),
        query: Some(cells.text("query")?).filter(|id| !id.is_empty()).map(AnalyticsQueryId::new),
        requested_by: Arc::from(cells.text("asked_by")?),
        requested_at: cells.instant("asked_at")?,
        job: cells.text_or_null("job")?.map(JobId::new),
        request: cells.json("request")?,
        status: cells.known_value("status", RunStatus::from_name)?,
        parts: cells.json("parts")?,
        started_at: cells.instant_or_null("started_at")?,
        ended_at: cells.instant_or_null("ended_at")?,
        result,
        failure,
    })
}
