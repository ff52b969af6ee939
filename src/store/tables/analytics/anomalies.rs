//! Anomalies of watched series.

use std::sync::Arc;

use sqlx::any::AnyRow;

use crate::domain::analytics::anomaly::AnomalyRecord;
use crate::domain::analytics::trend::{AnomalyKind, Baseline};
use crate::domain::ids::{AnomalyId, SeriesId, TenantId};
use crate::domain::time::UtcMicros;
use crate::store::batch::{self, ManyRows, PAGE_LIMIT, Transaction, Values, last_of_each};
use crate::store::cells::Cells;
use crate::store::change::Commit;
use crate::store::error::{CommitError, ReadError};
use crate::store::reader::Reader;
use crate::store::tables::rules::first_id_at;

pub(in crate::store) const SET: ManyRows = ManyRows {
    head: "INSERT INTO anomalies (tenant, id, series, source, kind, baseline, at, last_at, value, expected, score, found_at, seen_at, \
           ended_at) VALUES",
    width: 14,
    tail: "ON CONFLICT (tenant, id) DO UPDATE SET last_at = excluded.last_at, seen_at = excluded.seen_at, \
           ended_at = excluded.ended_at",
};

pub(in crate::store) const SET_PROGRESS: ManyRows = ManyRows {
    head: "INSERT INTO series_judged (tenant, series, source, through) VALUES",
    width: 4,
    tail: "ON CONFLICT (tenant, series) DO UPDATE SET source = excluded.source, through = excluded.through",
};
pub(in crate::store) const JUDGED_THROUGH: &str =
    "SELECT through FROM series_judged WHERE tenant = $1 AND series = $2 AND source = $3";

macro_rules! selecting {
    ($rest:literal) => {
        concat!(
            "SELECT tenant, id, series, source, kind, baseline, at, last_at, value, expected, score, found_at, seen_at, ended_at \
             FROM anomalies WHERE tenant = $1 AND ",
            $rest
        )
    };
}

/// `$2` from this id, `$3` before this one, `$4` the series or NULL.
pub(in crate::store) const LIST: &str =
    selecting!("id >= $2 AND id < $3 AND (CAST($4 AS TEXT) IS NULL OR series = $4) ORDER BY id DESC LIMIT $5");
/// `$2` observed at this time or later.
pub(in crate::store) const OBSERVED_SINCE: &str = selecting!("seen_at >= $2 ORDER BY seen_at, id LIMIT $3");
/// Selects by id, so that SQLite reads the index by end.
pub(in crate::store) const OPEN: &str = selecting!(
    "id IN (SELECT id FROM anomalies WHERE tenant = $1 AND ended_at IS NULL ORDER BY id LIMIT $2) ORDER BY id"
);
pub(in crate::store) const LAST_OF_SERIES: &str = selecting!("series = $2 ORDER BY at DESC LIMIT 1");
/// `$2` before this time.
pub(in crate::store) const DELETE: &str = "DELETE FROM anomalies WHERE tenant = $1 AND id IN (SELECT id FROM anomalies \
     WHERE tenant = $1 AND seen_at < $2 AND ended_at IS NOT NULL ORDER BY seen_at, id LIMIT 500)";

/// The maximum number of anomalies read for rules: more than a week of all series that may be watched.
const MAX_RECENT: i64 = 10_000;

/// The conditions of a list of anomalies, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnomalyFilter {
    /// Found at this time or later, to the millisecond.
    pub from: UtcMicros,
    /// Found before this time.
    pub to: UtcMicros,
    /// The watched series.
    pub series: Option<SeriesId>,
    /// Only anomalies older than this one: the cursor of the next page.
    pub before: Option<AnomalyId>,
}

pub(in crate::store) async fn write(transaction: &mut Transaction<'_>, commits: &[&Commit]) -> Result<(), CommitError> {
    let rows = last_of_each(commits.iter().flat_map(|commit| &commit.anomalies), |row| (&row.tenant, row.id));
    batch::run(transaction, &SET, &rows, |row, values| {
        values
            .text(row.tenant.as_str())
            .text(row.id.to_string())
            .text(row.series.as_str())
            .text(&*row.source)
            .text(row.kind.name())
            .text(row.baseline.name())
            .instant(row.first_bucket_at)
            .instant(row.last_bucket_at)
            .text(row.value.to_string())
            .text(row.expected.to_string())
            .text(row.score.to_string())
            .instant(row.detected_at)
            .instant(row.last_observed_at)
            .instant_or_null(row.ended_at)
    })
    .await?;
    let progress =
        last_of_each(commits.iter().flat_map(|commit| &commit.series_progress), |row| (&row.tenant, &row.series));
    batch::run(transaction, &SET_PROGRESS, &progress, |row, values| {
        values.text(row.tenant.as_str()).text(row.series.as_str()).text(&*row.source).instant(row.through)
    })
    .await
}

impl Reader {
    /// Returns a page of at most `limit` anomalies, newest first (capped at [`crate::store::PAGE_LIMIT`]).
    pub async fn anomalies(
        &self,
        tenant: &TenantId,
        filter: &AnomalyFilter,
        limit: u32,
    ) -> Result<Vec<AnomalyRecord>, ReadError> {
        let end = first_id_at(filter.to);
        let before = filter.before.map_or(end.clone(), |before| before.to_string().min(end));
        let values = Values::of(tenant)
            .text(first_id_at(filter.from))
            .text(before)
            .text_or_null(filter.series.as_ref().map(SeriesId::as_str))
            .page(limit);
        self.read_rows(LIST, values, anomaly).await
    }

    /// Returns the anomalies that were observed at a given time or later, in the order in which they were found.
    pub async fn anomalies_since(&self, tenant: &TenantId, since: UtcMicros) -> Result<Vec<AnomalyRecord>, ReadError> {
        let values = Values::of(tenant).instant(since).int(MAX_RECENT);
        let mut found = self.read_rows(OBSERVED_SINCE, values, anomaly).await?;
        found.sort_by_key(|record| record.id);
        Ok(found)
    }

    /// Returns the anomalies that are not over.
    pub async fn open_anomalies(&self, tenant: &TenantId) -> Result<Vec<AnomalyRecord>, ReadError> {
        self.read_rows(OPEN, Values::of(tenant).page(PAGE_LIMIT), anomaly).await
    }

    /// Returns the last anomaly of a watched series.
    pub async fn last_anomaly(&self, tenant: &TenantId, series: &SeriesId) -> Result<Option<AnomalyRecord>, ReadError> {
        self.read_row(LAST_OF_SERIES, Values::of(tenant).text(series.as_str()), anomaly).await
    }

    /// Returns the start of the last judged bucket of a series, if the series had the same source then.
    pub async fn judged_through(
        &self,
        tenant: &TenantId,
        series: &SeriesId,
        source: &str,
    ) -> Result<Option<UtcMicros>, ReadError> {
        self.read_row(JUDGED_THROUGH, Values::of(tenant).text(series.as_str()).text(source), |row| {
            Cells::new("series_judged", row).instant("through")
        })
        .await
    }
}

fn anomaly(row: &AnyRow) -> Result<AnomalyRecord, ReadError> {
    let cells = Cells::new("anomalies", row);
    Ok(AnomalyRecord {
        tenant: TenantId::new(cells.text("tenant")?),
        id: cells.parsed("id")?,
        series: SeriesId::new(cells.text("series")?),
        source: Arc::from(cells.text("source")?),
        kind: cells.known_value("kind", AnomalyKind::from_name)?,
        baseline: cells.known_value("baseline", Baseline::from_name)?,
        first_bucket_at: cells.instant("at")?,
        last_bucket_at: cells.instant("last_at")?,
        value: cells.parsed("value")?,
        expected: cells.parsed("expected")?,
        score: cells.parsed("score")?,
        detected_at: cells.instant("found_at")?,
        last_observed_at: cells.instant("seen_at")?,
        ended_at: cells.instant_or_null("ended_at")?,
    })
}
