//! Figures of skills and queues: one row for each read, aggregated into quarters of an hour after a day.
//!
//! Aggregating and deleting the single rows is one transaction, which adds to a quarter that already exists. It may be
//! interrupted and repeated at any point, and each read counts once.

use std::sync::Arc;
use std::time::Duration;

use sqlx::any::AnyRow;

use crate::domain::ids::{QueueId, SkillId, TenantId};
use crate::domain::live::figures::{Figures, QUEUE_MEASURES, QueueFigures, SKILL_MEASURES, SkillFigures, Stat};
use crate::domain::time::UtcMicros;
use crate::store::batch::{self, ManyRows, Transaction, Values, last_of_each};
use crate::store::cells::Cells;
use crate::store::change::{Commit, FiguresWrite};
use crate::store::error::{CommitError, ReadError};
use crate::store::reader::Reader;

/// Builds the text of one statement over the columns of a kind.
macro_rules! statement {
    (ADD $table:literal $key:literal $($column:literal),+) => {
        concat!("INSERT INTO ", $table, " (tenant, ", $key, ", taken_at, name", $(", ", $column,)+ ") VALUES")
    };
    (LATEST $table:literal $key:literal $($column:literal),+) => {
        concat!(
            "SELECT tenant, ", $key, ", taken_at, name", $(", ", $column,)+ " FROM ", $table, " WHERE tenant = $1 AND taken_at >= \
             (SELECT MAX(taken_at) FROM ", $table, " WHERE tenant = $1) - $2 ORDER BY tenant, taken_at, ", $key
        )
    };
    (SERIES $table:literal $key:literal $($column:literal),+) => {
        concat!(
            "SELECT tenant, ", $key, ", quarter_at AS starts_at, CAST(900000000 AS BIGINT) AS span_us, polls",
            $(", ", $column, "_sum, ", $column, "_count, ", $column, "_max",)+
            " FROM ", $table, "_15m WHERE tenant = $1 AND ", $key, " = $2 AND quarter_at >= $3 AND quarter_at < $4 \
             UNION ALL SELECT tenant, ", $key, ", taken_at, CAST(0 AS BIGINT), CAST(1 AS BIGINT)",
            $(", COALESCE(", $column, ", 0), CAST(CASE WHEN ", $column, " IS NULL THEN 0 ELSE 1 END AS BIGINT), ", $column,)+
            " FROM ", $table, " WHERE tenant = $1 AND ", $key, " = $2 AND taken_at >= $3 AND taken_at < $4 ORDER BY 3 LIMIT $5"
        )
    };
    (ROLL_UP $table:literal $key:literal $($column:literal),+) => {
        concat!(
            "INSERT INTO ", $table, "_15m (tenant, ", $key, ", quarter_at, polls, name",
            $(", ", $column, "_sum, ", $column, "_count, ", $column, "_max",)+
            ") SELECT tenant, ", $key, ", (taken_at / 900000000) * 900000000, COUNT(*), MAX(name)",
            $(", CAST(COALESCE(SUM(", $column, "), 0) AS BIGINT), COUNT(", $column, "), MAX(", $column, ")",)+
            " FROM ", $table, statement!(OLDEST $table), " GROUP BY tenant, ", $key, ", taken_at / 900000000 \
             ON CONFLICT (tenant, ", $key, ", quarter_at) DO UPDATE SET polls = ", $table, "_15m.polls + excluded.polls, \
             name = COALESCE(excluded.name, ", $table, "_15m.name)",
            $(
                ", ", $column, "_sum = ", $table, "_15m.", $column, "_sum + excluded.", $column, "_sum, ",
                $column, "_count = ", $table, "_15m.", $column, "_count + excluded.", $column, "_count, ",
                $column, "_max = CASE WHEN ", $table, "_15m.", $column, "_max IS NULL OR excluded.", $column, "_max > ",
                $table, "_15m.", $column, "_max THEN excluded.", $column, "_max ELSE ", $table, "_15m.", $column, "_max END",
            )+
        )
    };
    (ROLLED_UP $table:literal $key:literal) => {
        concat!("DELETE FROM ", $table, statement!(OLDEST $table))
    };
    (FORGET $table:literal $key:literal) => {
        concat!(
            "DELETE FROM ", $table, "_15m WHERE tenant = $1 AND (", $key, ", quarter_at) IN (SELECT ", $key, ", quarter_at FROM ",
            $table, "_15m WHERE tenant = $1 AND quarter_at < $2 ORDER BY tenant, quarter_at LIMIT 500)"
        )
    };
    // Selects whole reads, up to about one slice of rows.
    (OLDEST $table:literal) => {
        concat!(
            " WHERE tenant = $1 AND taken_at < $2 AND taken_at <= COALESCE((SELECT taken_at FROM ", $table,
            " WHERE tenant = $1 AND taken_at < $2 ORDER BY tenant, taken_at LIMIT 1 OFFSET 499), $2)"
        )
    };
}

/// Builds a statement over the figures of skills.
macro_rules! of_skills {
    ($what:tt) => {
        statement!(
            $what "skill_figures" "skill"
            "contacts_queued",
            "contacts_active",
            "longest_queue_duration_s",
            "service_level_ppm",
            "agents_available",
            "agents_staffed",
            "agents_on_contact",
            "agents_in_acw",
            "estimated_wait_time_s"
        )
    };
}

/// Builds a statement over the figures of queues.
macro_rules! of_queues {
    ($what:tt) => {
        statement!(
            $what "queue_figures" "queue"
            "agents_logged_on",
            "agents_available",
            "agents_busy",
            "calls_waiting",
            "average_wait_time_ms",
            "service_level_ppm"
        )
    };
}

pub(in crate::store) const ADD_SKILLS: ManyRows = ManyRows {
    head: of_skills!(ADD),
    width: 4 + SKILL_MEASURES.len(),
    tail: "ON CONFLICT (tenant, taken_at, skill) DO NOTHING",
};
pub(in crate::store) const ADD_QUEUES: ManyRows = ManyRows {
    head: of_queues!(ADD),
    width: 4 + QUEUE_MEASURES.len(),
    tail: "ON CONFLICT (tenant, taken_at, queue) DO NOTHING",
};
pub(in crate::store) const LATEST_SKILLS: &str = of_skills!(LATEST);
pub(in crate::store) const LATEST_QUEUES: &str = of_queues!(LATEST);
pub(in crate::store) const SKILL_SERIES: &str = of_skills!(SERIES);
pub(in crate::store) const QUEUE_SERIES: &str = of_queues!(SERIES);
pub(in crate::store) const ROLL_UP_SKILLS: &str = of_skills!(ROLL_UP);
pub(in crate::store) const ROLL_UP_QUEUES: &str = of_queues!(ROLL_UP);
pub(in crate::store) const DELETE_ROLLED_UP_SKILLS: &str = statement!(ROLLED_UP "skill_figures" "skill");
pub(in crate::store) const DELETE_ROLLED_UP_QUEUES: &str = statement!(ROLLED_UP "queue_figures" "queue");
pub(in crate::store) const DELETE_SKILL_QUARTERS: &str = statement!(FORGET "skill_figures" "skill");
pub(in crate::store) const DELETE_QUEUE_QUARTERS: &str = statement!(FORGET "queue_figures" "queue");

/// The maximum number of points on one page of a series: ten days of quarters, and one day of two reads per minute.
pub const FIGURES_PAGE_LIMIT: u32 = 4_000;

/// The statistics of one read or one quarter of an hour.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FigurePoint<const N: usize> {
    /// The start of the period.
    pub starts_at: UtcMicros,
    /// The length of the period; zero for a single read.
    pub span: Duration,
    /// The number of reads.
    pub polls: u64,
    /// The statistics by measure, in the order of the measures.
    pub stats: [Stat; N],
}

pub(in crate::store) async fn write(transaction: &mut Transaction<'_>, commits: &[&Commit]) -> Result<(), CommitError> {
    let key = |tenant, at, id| (tenant, at, id);
    let skills = commits.iter().flat_map(|commit| &commit.skill_figures);
    let skills = last_of_each(skills, |row| key(&row.tenant, row.reading.at, row.reading.figures.id.as_str()));
    batch::run(transaction, &ADD_SKILLS, &skills, |row, values| {
        let figures = &row.reading.figures;
        bind(row, figures.id.as_str(), figures.name.as_deref(), &figures.values(), values)
    })
    .await?;
    let queues = commits.iter().flat_map(|commit| &commit.queue_figures);
    let queues = last_of_each(queues, |row| key(&row.tenant, row.reading.at, row.reading.figures.id.as_str()));
    batch::run(transaction, &ADD_QUEUES, &queues, |row, values| {
        let figures = &row.reading.figures;
        bind(row, figures.id.as_str(), figures.name.as_deref(), &figures.values(), values)
    })
    .await
}

fn bind<T>(row: &FiguresWrite<T>, id: &str, name: Option<&str>, figures: &[Option<u64>], values: Values) -> Values {
    let values = values.text(row.tenant.as_str()).text(id).instant(row.reading.at).text_or_null(name);
    figures.iter().copied().fold(values, Values::count_or_null)
}

impl Reader {
    /// Returns the newest figures of each skill and queue that was read within `span` before the newest read of its
    /// kind.
    pub async fn latest_figures(&self, tenant: &TenantId, span: Duration) -> Result<Figures, ReadError> {
        let span_us = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        let values = || Values::of(tenant).int(span_us);
        let mut figures = Figures::default();
        self.for_each_row(LATEST_SKILLS, values(), |row| {
            let cells = Cells::new("skill_figures", row);
            let (id, name) = (SkillId::new(cells.text("skill")?), cells.text_or_null("name")?.map(Arc::from));
            let read = SkillFigures::of(id, name, read_columns(&cells, SKILL_MEASURES.map(|measure| measure.column))?);
            figures.put_skill(cells.instant("taken_at")?, read);
            Ok(())
        })
        .await?;
        self.for_each_row(LATEST_QUEUES, values(), |row| {
            let cells = Cells::new("queue_figures", row);
            let (id, name) = (QueueId::new(cells.text("queue")?), cells.text_or_null("name")?.map(Arc::from));
            let read = QueueFigures::of(id, name, read_columns(&cells, QUEUE_MEASURES.map(|measure| measure.column))?);
            figures.put_queue(cells.instant("taken_at")?, read);
            Ok(())
        })
        .await?;
        Ok(figures)
    }

    /// Returns the figures of a skill in a period, in order, at most `limit` points (capped at
    /// [`crate::store::FIGURES_PAGE_LIMIT`]): quarters of an hour that begin in the period, and the single reads of the
    /// last day.
    pub async fn skill_series(
        &self,
        tenant: &TenantId,
        skill: &SkillId,
        span: (UtcMicros, UtcMicros),
        limit: u32,
    ) -> Result<Vec<FigurePoint<{ SKILL_MEASURES.len() }>>, ReadError> {
        self.series(SKILL_SERIES, (tenant, skill.as_str()), span, limit).await
    }

    /// Returns the figures of a queue in the same way.
    pub async fn queue_series(
        &self,
        tenant: &TenantId,
        queue: &QueueId,
        span: (UtcMicros, UtcMicros),
        limit: u32,
    ) -> Result<Vec<FigurePoint<{ QUEUE_MEASURES.len() }>>, ReadError> {
        self.series(QUEUE_SERIES, (tenant, queue.as_str()), span, limit).await
    }

    async fn series<const N: usize>(
        &self,
        statement: &'static str,
        (tenant, id): (&TenantId, &str),
        (from, to): (UtcMicros, UtcMicros),
        limit: u32,
    ) -> Result<Vec<FigurePoint<N>>, ReadError> {
        self.read_rows(
            statement,
            Values::of(tenant).text(id).instant(from).instant(to).int(i64::from(limit.min(FIGURES_PAGE_LIMIT))),
            read_point,
        )
        .await
    }
}

/// Reads the values of one read.
fn read_columns<const N: usize>(cells: &Cells<'_>, names: [&'static str; N]) -> Result<[Option<u64>; N], ReadError> {
    let mut values = [None; N];
    for (value, name) in values.iter_mut().zip(names) {
        *value = cells.number_or_null(name)?;
    }
    Ok(values)
}

fn read_point<const N: usize>(row: &AnyRow) -> Result<FigurePoint<N>, ReadError> {
    // The first five columns are the key and the span; three columns follow for each measure.
    let cells = Cells::new("figures", row);
    let mut stats = [Stat::default(); N];
    for (number, stat) in stats.iter_mut().enumerate() {
        let first = 5 + 3 * number;
        let sum = cells.number_at(first)?;
        *stat = Stat { sum, count: cells.number_at(first + 1)?, max: cells.number_or_null_at(first + 2)? };
    }
    Ok(FigurePoint {
        starts_at: cells.instant("starts_at")?,
        span: Duration::from_micros(cells.number("span_us")?),
        polls: cells.number("polls")?,
        stats,
    })
}
