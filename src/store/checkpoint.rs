//! Folding SQLite's write-ahead log into the database. PostgreSQL does it by itself.

use sqlx::{AnyConnection, Row};

use super::backend::Backend;
use super::error::CommitError;

/// Folds the write-ahead log into the file.
pub(super) const CHECKPOINT: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

/// The same without waiting for anyone; readers may keep some of it back.
const FOLD: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// The same for a job that must not keep the writer waiting for readers: what they still need stays in the log. The waiting time
/// is the writer's own setting again afterwards.
const CHECKPOINT_AT_ONCE: &str = "PRAGMA busy_timeout = 0; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA busy_timeout = 5000";

/// What folding the log into the file came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Checkpointed {
    /// A reader still needs part of the log, so that it could not be cut.
    pub held_by_reader: bool,
    /// Bytes of the log before.
    pub before_bytes: u64,
    /// Bytes of the log after.
    pub after_bytes: u64,
}

/// Folds as far as readers allow, without waiting for them, and cuts the log where it can.
pub(super) async fn at_once(backend: &Backend, connection: &mut AnyConnection) -> Result<Checkpointed, CommitError> {
    let Backend::Sqlite { .. } = backend else { return Ok(Checkpointed::default()) };
    let before_bytes = backend.log_bytes();
    let rows = sqlx::raw_sql(CHECKPOINT_AT_ONCE).fetch_all(connection).await.map_err(CommitError::from_engine)?;
    // Of the three statements that give a row, the middle one has three columns, the first of them whether it was held up.
    let busy = rows.iter().find(|row| row.len() == 3).map(|row| row.try_get::<i64, _>(0));
    let held_by_reader = busy.transpose().map_err(CommitError::from_engine)?.is_none_or(|busy| busy != 0);
    Ok(Checkpointed { held_by_reader, before_bytes, after_bytes: backend.log_bytes() })
}

/// Folds as far as no reader needs the log, and leaves its file as long as it is.
pub(super) async fn fold(backend: &Backend, connection: &mut AnyConnection) -> Result<(), CommitError> {
    let Backend::Sqlite { .. } = backend else { return Ok(()) };
    sqlx::raw_sql(FOLD).execute(connection).await.map(|_| ()).map_err(CommitError::from_engine)
}
