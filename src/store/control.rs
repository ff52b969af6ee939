//! The table `daemon`: the process that may write, its epoch and the address it listens on.

use sqlx::{AnyConnection, Row};

use super::batch::{self, Values};
use super::cells::Cells;
use super::error::{CommitError, ReadError, describe_holder};
use crate::domain::time::UtcMicros;

pub(super) const TAKE_OVER: &str = "INSERT INTO daemon (only_row, epoch, role, host, pid, started_at, version) \
     VALUES (1, 1, $1, $2, $3, $4, $5) ON CONFLICT (only_row) DO UPDATE SET epoch = daemon.epoch + 1, role = excluded.role, \
     host = excluded.host, pid = excluded.pid, started_at = excluded.started_at, version = excluded.version, \
     listen = NULL, stopped_at = NULL RETURNING epoch";
pub(super) const SET_LISTEN: &str = "UPDATE daemon SET listen = $1 WHERE only_row = 1 AND epoch = $2";
pub(super) const EPOCH: &str = "SELECT epoch FROM daemon WHERE only_row = 1";
pub(super) const STOP: &str = "UPDATE daemon SET listen = NULL, stopped_at = $1 WHERE only_row = 1 AND epoch = $2";
/// Run with 1 and then -1, it dirties pages and leaves the row unchanged; an update to equal values would write
/// nothing.
pub(super) const PROBE: &str = "UPDATE daemon SET started_at = started_at + $1 WHERE only_row = 1";
pub(super) const DAEMON: &str =
    "SELECT host, pid, epoch, role, started_at, version, listen, stopped_at FROM daemon WHERE only_row = 1";

/// The role of a process that writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProcessRole {
    /// The daemon.
    Daemon,
    /// A command that writes while no daemon runs.
    Import,
}

impl ProcessRole {
    /// Returns the name in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Daemon => "daemon",
            Self::Import => "import",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Daemon, Self::Import].into_iter().find(|role| role.name() == name)
    }
}

/// The identity of a process, shown to the next one that wants the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProcessIdentity {
    /// The host's name.
    pub host: String,
    /// The process id.
    pub pid: u32,
    /// The version of Shiftkeeper.
    pub version: String,
}

/// The process that holds the store, or held it last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DaemonRow {
    /// The epoch, increased by one by each process that opens the store for writing.
    pub epoch: i64,
    /// The role of the process.
    pub role: ProcessRole,
    /// The name of its host.
    pub host: String,
    /// Its process id on that host.
    pub pid: i64,
    /// The time it opened the store.
    pub started_at: UtcMicros,
    /// Its version of Shiftkeeper.
    pub version: String,
    /// The address that its HTTP server listens on, such as `127.0.0.1:8080`; `None` until it does.
    pub listen: Option<String>,
    /// The time it closed the store; `None` while it runs and after a crash.
    pub stopped_at: Option<UtcMicros>,
}

impl DaemonRow {
    pub(super) fn holder(&self) -> String {
        describe_holder(&self.host, self.pid, self.started_at)
    }
}

pub(super) async fn take_over(
    connection: &mut AnyConnection,
    role: ProcessRole,
    identity: &ProcessIdentity,
    now: UtcMicros,
) -> Result<i64, sqlx::Error> {
    let values = Values::default()
        .text(role.name())
        .text(&*identity.host)
        .int(i64::from(identity.pid))
        .int(now.as_micros())
        .text(&*identity.version);
    // Read all rows: until then the statement is not finished, and an error of its commit would be missed (pitfalls
    // P8).
    let rows = sqlx::query_with(TAKE_OVER, values.into_arguments()?).fetch_all(connection).await?;
    rows.first().ok_or(sqlx::Error::RowNotFound)?.try_get(0)
}

/// Begins a writing transaction; fails if another process has taken over the store. The epoch is read inside the
/// transaction to avoid a race, and in the same round trip, since each round trip costs as much as a row.
pub(super) async fn begin(
    connection: &mut AnyConnection,
    begin: &'static str,
    own_epoch: i64,
) -> Result<(), CommitError> {
    let rows = sqlx::raw_sql(begin).fetch_all(connection).await.map_err(CommitError::from_engine)?;
    let found_epoch = match rows.first() {
        None => 0,
        Some(row) => row.try_get(0).map_err(CommitError::from_engine)?,
    };
    if found_epoch == own_epoch { Ok(()) } else { Err(CommitError::LostEpoch { ours: own_epoch, theirs: found_epoch }) }
}

/// Returns the epoch of the process that holds the store, or 0 if there is none.
pub(super) async fn epoch(connection: &mut AnyConnection) -> Result<i64, sqlx::Error> {
    match sqlx::query(EPOCH).fetch_optional(connection).await? {
        None => Ok(0),
        Some(row) => row.try_get(0),
    }
}

/// Writes to the row and restores it within the transaction.
pub(super) async fn probe(connection: &mut AnyConnection) -> Result<(), CommitError> {
    for step in [1, -1] {
        batch::execute(connection, PROBE, Values::default().int(step)).await?;
    }
    Ok(())
}

pub(super) async fn read(connection: &mut AnyConnection) -> Result<Option<DaemonRow>, ReadError> {
    let Some(row) = sqlx::query(DAEMON).fetch_optional(connection).await? else { return Ok(None) };
    let cells = Cells::new("daemon", &row);
    Ok(Some(DaemonRow {
        epoch: cells.int("epoch")?,
        role: cells.known_value("role", ProcessRole::from_name)?,
        host: cells.text("host")?.to_owned(),
        pid: cells.int("pid")?,
        started_at: cells.instant("started_at")?,
        version: cells.text("version")?.to_owned(),
        listen: cells.text_or_null("listen")?.map(str::to_owned),
        stopped_at: cells.instant_or_null("stopped_at")?,
    }))
}
