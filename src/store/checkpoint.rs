//! Checkpoints of SQLite's write-ahead log. PostgreSQL does its own.

use sqlx::{AnyConnection, Row};

use super::backend::Backend;
use super::error::CommitError;

/// Copies the write-ahead log into the file and truncates it.
pub(super) const CHECKPOINT: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

/// Copies the log without waiting for readers, which may keep some of it in use.
const PASSIVE_CHECKPOINT: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// Truncating checkpoint that does not wait for readers: what they still need stays in the log. Restores the writer's
/// own busy timeout afterwards.
const CHECKPOINT_WITHOUT_WAITING: &str =
    "PRAGMA busy_timeout = 0; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA busy_timeout = 5000";

/// The result of a checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CheckpointResult {
    /// Whether a reader still needed part of the log, so that it could not be truncated.
    pub held_by_reader: bool,
    /// The size of the log before, in bytes.
    pub before_bytes: u64,
    /// The size of the log after, in bytes.
    pub after_bytes: u64,
}

/// Checkpoints as far as readers allow, without waiting for them, and truncates the log if possible.
pub(super) async fn checkpoint_without_waiting(
    backend: &Backend,
    connection: &mut AnyConnection,
) -> Result<CheckpointResult, CommitError> {
    let Backend::Sqlite { .. } = backend else { return Ok(CheckpointResult::default()) };
    let before_bytes = backend.log_bytes();
    let rows =
        sqlx::raw_sql(CHECKPOINT_WITHOUT_WAITING).fetch_all(connection).await.map_err(CommitError::from_engine)?;
    // The middle one of the three result rows has three columns; its first says whether the checkpoint was blocked.
    let busy = rows.iter().find(|row| row.len() == 3).map(|row| row.try_get::<i64, _>(0));
    let held_by_reader = busy.transpose().map_err(CommitError::from_engine)?.is_none_or(|busy| busy != 0);
    Ok(CheckpointResult { held_by_reader, before_bytes, after_bytes: backend.log_bytes() })
}

/// Checkpoints as far as readers allow, and does not truncate the log file.
pub(super) async fn checkpoint_passive(backend: &Backend, connection: &mut AnyConnection) -> Result<(), CommitError> {
    let Backend::Sqlite { .. } = backend else { return Ok(()) };
    sqlx::raw_sql(PASSIVE_CHECKPOINT).execute(connection).await.map(|_| ()).map_err(CommitError::from_engine)
}
