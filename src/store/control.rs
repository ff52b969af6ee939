//! The table `daemon`: which process may write, under which epoch, and where it listens.

use sqlx::{AnyConnection, Row};

use super::batch::Values;
use super::cells::Cells;
use super::error::{CommitError, ReadError, holder_text};
use super::{Identity, Role};
use crate::domain::time::UtcMicros;

pub(super) const TAKE_OVER: &str = "INSERT INTO daemon (only_row, epoch, role, host, pid, started_at, version) \
     VALUES (1, 1, $1, $2, $3, $4, $5) ON CONFLICT (only_row) DO UPDATE SET epoch = daemon.epoch + 1, role = excluded.role, \
     host = excluded.host, pid = excluded.pid, started_at = excluded.started_at, version = excluded.version, \
     listen = NULL, stopped_at = NULL RETURNING epoch";
pub(super) const SET_LISTEN: &str = "UPDATE daemon SET listen = $1 WHERE only_row = 1 AND epoch = $2";
pub(super) const EPOCH: &str = "SELECT epoch FROM daemon WHERE only_row = 1";
pub(super) const STOP: &str = "UPDATE daemon SET listen = NULL, stopped_at = $1 WHERE only_row = 1 AND epoch = $2";
/// Given 1 and then -1, it makes pages to write and leaves the row as it was; an update to the same values would write nothing.
pub(super) const PROBE: &str = "UPDATE daemon SET started_at = started_at + $1 WHERE only_row = 1";
pub(super) const DAEMON: &str =
    "SELECT host, pid, epoch, role, started_at, version, listen, stopped_at FROM daemon WHERE only_row = 1";

/// Which process has the store, or had it last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DaemonRow {
    /// Goes up by one with every process that takes the store for writing.
    pub epoch: i64,
    /// What that process is.
    pub role: Role,
    /// On which host.
    pub host: String,
    /// Its process id there.
    pub pid: i64,
    /// Since when.
    pub started_at: UtcMicros,
    /// Its version of Shiftkeeper.
    pub version: String,
    /// Where its HTTP face listens, once it does: `127.0.0.1:8080`.
    pub listen: Option<String>,
    /// When it let go of the store in order; `None` while it runs, and after a crash.
    pub stopped_at: Option<UtcMicros>,
}

impl DaemonRow {
    pub(super) fn holder(&self) -> String {
        holder_text(&self.host, self.pid, self.started_at)
    }
}

pub(super) async fn take_over(
    connection: &mut AnyConnection,
    role: Role,
    identity: &Identity,
    now: UtcMicros,
) -> Result<i64, sqlx::Error> {
    let mut values = Values::default();
    values
        .text(role.name())
        .text(&*identity.host)
        .int(i64::from(identity.pid))
        .int(now.as_micros())
        .text(&*identity.version);
    // Read to its end: before that the statement is not finished, and an error of its commit would go unseen (pitfalls P8).
    let rows = sqlx::query_with(TAKE_OVER, values.into_arguments()?).fetch_all(connection).await?;
    rows.first().ok_or(sqlx::Error::RowNotFound)?.try_get(0)
}

/// Begins a transaction that writes; fails when another process has taken the store over. Asked inside the transaction, so that
/// nothing slips between; both in one round, since each costs as much as a row.
pub(super) async fn begin(connection: &mut AnyConnection, begin: &'static str, ours: i64) -> Result<(), CommitError> {
    let rows = sqlx::raw_sql(begin).fetch_all(connection).await.map_err(CommitError::from_engine)?;
    let theirs = match rows.first() {
        None => 0,
        Some(row) => row.try_get(0).map_err(CommitError::from_engine)?,
    };
    if theirs == ours { Ok(()) } else { Err(CommitError::LostEpoch { ours, theirs }) }
}

/// The epoch of the process that has the store; 0 where there is none.
pub(super) async fn epoch(connection: &mut AnyConnection) -> Result<i64, sqlx::Error> {
    match sqlx::query(EPOCH).fetch_optional(connection).await? {
        None => Ok(0),
        Some(row) => row.try_get(0),
    }
}

/// Writes within a transaction, and takes it back.
pub(super) async fn probe(connection: &mut AnyConnection) -> Result<(), CommitError> {
    for step in [1, -1] {
        let mut values = Values::default();
        values.int(step);
        let arguments = values.into_arguments().map_err(CommitError::from_engine)?;
        sqlx::query_with(PROBE, arguments).execute(&mut *connection).await.map_err(CommitError::from_engine)?;
    }
    Ok(())
}

pub(super) async fn read(connection: &mut AnyConnection) -> Result<Option<DaemonRow>, ReadError> {
    let Some(row) = sqlx::query(DAEMON).fetch_optional(connection).await? else { return Ok(None) };
    let cells = Cells::of("daemon", &row);
    Ok(Some(DaemonRow {
        epoch: cells.int("epoch")?,
        role: cells.word("role", Role::from_name)?,
        host: cells.text("host")?.to_owned(),
        pid: cells.int("pid")?,
        started_at: cells.instant("started_at")?,
        version: cells.text("version")?.to_owned(),
        listen: cells.text_or_null("listen")?.map(str::to_owned),
        stopped_at: cells.instant_or_null("stopped_at")?,
    }))
}
