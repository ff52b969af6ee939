//! Detects whether a SQLite file is the whole store, or a copy of the main file without its write-ahead log.
//!
//! The last commits of a running store are only in the log, so such a copy looks sound but lacks them. The header's
//! `user_version` holds the state of the file: the epoch while a process has the store open, and [`CLOSED`] after an
//! orderly close and in every copy made through SQLite. A file marked as in use needs its log, unless the lock file
//! beside it names the same epoch: then it was in use here, and the process that opened it after a crash checkpointed
//! the log (SQLite does so by itself). PostgreSQL manages its own files and is not concerned.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use sqlx::{AnyConnection, AssertSqlSafe};

use super::backend::Backend;
use super::error::OpenError;
use super::lock;

/// The state of a file that no process has open and that needs no log.
const CLOSED: i32 = -1;
const MARK_CLOSED: &str = "PRAGMA user_version = -1";
/// Marks the daemon as stopped in a copy, so that a restored one does not name a daemon that never had it.
const MARK_STOPPED: &str =
    "UPDATE daemon SET listen = NULL, stopped_at = COALESCE(stopped_at, started_at) WHERE only_row = 1";
/// Copies the mark from the log into the file; if a reader blocks it, a later checkpoint does so.
const PASSIVE_CHECKPOINT: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// The offset of `user_version` in the header, big-endian
/// (<https://www.sqlite.org/fileformat2.html#the_database_header>).
const USER_VERSION_OFFSET: usize = 60;
const USER_VERSION_END: usize = USER_VERSION_OFFSET + 4;

/// The state of a file, according to its header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FileState {
    /// Written by a version without marks, or by another program.
    Unmarked,
    /// Complete, closed in order.
    Closed,
    /// In use by the process with this epoch, now or when the file was copied.
    InUse(i32),
}

/// Returns the part of the epoch that fits into the header.
fn epoch_in_header(epoch: i64) -> i32 {
    i32::try_from(epoch & i64::from(i32::MAX)).map_or(1, |epoch| epoch.max(1))
}

/// The content of the lock file after an orderly close.
pub(super) const CLOSED_NOTE: &str = "let go\n";

/// Returns the content of the lock file while a process with this epoch has the store, or after it crashed.
pub(super) fn in_use_note(epoch: i64) -> String {
    format!("epoch {}\n", epoch_in_header(epoch))
}

/// Marks the file as in use.
pub(super) async fn mark_in_use(
    backend: &Backend,
    connection: &mut AnyConnection,
    epoch: i64,
) -> Result<(), sqlx::Error> {
    let Backend::Sqlite { .. } = backend else { return Ok(()) };
    // A pragma takes no bound values; a number is safe to insert.
    let mark = format!("PRAGMA user_version = {}", epoch_in_header(epoch));
    sqlx::raw_sql(AssertSqlSafe(mark)).execute(&mut *connection).await?;
    if let Err(error) = sqlx::raw_sql(PASSIVE_CHECKPOINT).execute(connection).await {
        tracing::warn!(%error, "the log could not be folded into the file at the start; it is tried again later");
    }
    Ok(())
}

/// Marks the file as complete without a log.
pub(super) async fn mark_closed(backend: &Backend, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    let Backend::Sqlite { .. } = backend else { return Ok(()) };
    sqlx::raw_sql(MARK_CLOSED).execute(connection).await.map(|_| ())
}

/// Marks a copy as complete and not in use.
pub(super) async fn mark_copy(backend: &Backend, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(MARK_STOPPED).execute(&mut *connection).await?;
    mark_closed(backend, connection).await
}

/// Reads the state of a file; a file that is too short is unmarked.
pub(super) fn read_file_state(path: &Path) -> io::Result<FileState> {
    let mut header = [0; USER_VERSION_END];
    match File::open(path)?.read_exact(&mut header) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(FileState::Unmarked),
        Err(error) => return Err(error),
    }
    let [.., a, b, c, d] = header;
    Ok(match i32::from_be_bytes([a, b, c, d]) {
        CLOSED => FileState::Closed,
        epoch if epoch > 0 => FileState::InUse(epoch),
        _ => FileState::Unmarked,
    })
}

/// Returns whether the file is marked as in use and its log is missing. The log is checked before and after, because a
/// single check can be wrong while a process opens or closes the store.
pub(super) fn is_missing_log(path: &Path) -> io::Result<bool> {
    let no_log = || !Backend::log_path(path).exists();
    if !no_log() {
        return Ok(false);
    }
    let FileState::InUse(epoch) = read_file_state(path)? else { return Ok(false) };
    Ok(no_log() && lock::read_note(path).is_none_or(|note| note != in_use_note(i64::from(epoch))))
}

/// Refuses a copy that was made without its log.
pub(super) fn check_has_log(backend: &Backend) -> Result<(), OpenError> {
    let Backend::Sqlite { path } = backend else { return Ok(()) };
    match is_missing_log(path) {
        Ok(false) => Ok(()),
        Ok(true) => Err(OpenError::WithoutLog { place: backend.location() }),
        Err(error) => Err(OpenError::Unreachable { place: backend.location(), cause: std::sync::Arc::new(error) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_of_any_size_is_a_mark_of_use() {
        for epoch in [1, 2, i64::from(i32::MAX), i64::from(i32::MAX) + 1, i64::MAX] {
            assert!(epoch_in_header(epoch) > 0, "{epoch}");
        }
        assert_ne!(in_use_note(7), in_use_note(8));
    }
}
