//! Whether a SQLite file is the whole store, or a copy of the main file that was taken without its write-ahead log.
//!
//! What a running store committed last stands in the log alone, so such a copy looks sound and lacks it. The header's
//! `user_version` says what the file is: the epoch while a process has the store, [`AT_REST`] when it was let go of in order and
//! in every copy that was made through SQLite. A file that says that it is in use needs its log, unless the lock's file beside it
//! names the same epoch: then it was in use here, and whoever opened it last after a crash (SQLite does so by itself) folded the
//! log in.
//! PostgreSQL keeps its own files whole; nothing here is about it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use sqlx::{AnyConnection, AssertSqlSafe};

use super::backend::Backend;
use super::error::OpenError;
use super::lock;

/// Nobody has the store, and the file is all of it.
const AT_REST: i32 = -1;
const MARK_AT_REST: &str = "PRAGMA user_version = -1";
/// Nobody has a copy, whoever had the store: without this a restored one would name a daemon that it never knew.
const LET_GO: &str =
    "UPDATE daemon SET listen = NULL, stopped_at = COALESCE(stopped_at, started_at) WHERE only_row = 1";
/// Brings the mark from the log into the file; a reader may hold it up, then a later fold does.
const FOLD: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// Where `user_version` stands in the header, big-endian (<https://www.sqlite.org/fileformat2.html#the_database_header>).
const MARK_PLACE: usize = 60;
const MARK_END: usize = MARK_PLACE + 4;

/// What a file says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mark {
    /// Nothing: a version wrote it that made no mark, or another program.
    None,
    /// It was whole when nobody had it.
    AtRest,
    /// The process with this epoch has it, or had it when the file was copied.
    InUse(i32),
}

/// The epoch as it fits into the header.
fn in_header(epoch: i64) -> i32 {
    i32::try_from(epoch & i64::from(i32::MAX)).map_or(1, |epoch| epoch.max(1))
}

/// What stands in the lock's file once the store was let go of in order.
pub(super) const LET_GO_NOTE: &str = "let go\n";

/// What stands in the lock's file of the store that a process with this epoch has, or had last.
pub(super) fn in_use_note(epoch: i64) -> String {
    format!("epoch {}\n", in_header(epoch))
}

/// Says in the file that a process has it.
pub(super) async fn mark_in_use(
    backend: &Backend,
    connection: &mut AnyConnection,
    epoch: i64,
) -> Result<(), sqlx::Error> {
    let Backend::Sqlite { .. } = backend else { return Ok(()) };
    // A pragma takes no bound value; a number cannot hold anything else.
    let mark = format!("PRAGMA user_version = {}", in_header(epoch));
    sqlx::raw_sql(AssertSqlSafe(mark)).execute(&mut *connection).await?;
    if let Err(error) = sqlx::raw_sql(FOLD).execute(connection).await {
        tracing::warn!(%error, "the log could not be folded into the file at the start; it is tried again later");
    }
    Ok(())
}

/// Says in the file that it is whole without a log.
pub(super) async fn mark_at_rest(backend: &Backend, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    let Backend::Sqlite { .. } = backend else { return Ok(()) };
    sqlx::raw_sql(MARK_AT_REST).execute(connection).await.map(|_| ())
}

/// Says in a copy that it is whole and that nobody has it.
pub(super) async fn mark_copy(backend: &Backend, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(LET_GO).execute(&mut *connection).await?;
    mark_at_rest(backend, connection).await
}

/// What a file says of itself; a file that is too short says nothing.
pub(super) fn mark_of(path: &Path) -> io::Result<Mark> {
    let mut header = [0; MARK_END];
    match File::open(path)?.read_exact(&mut header) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Mark::None),
        Err(error) => return Err(error),
    }
    let [.., a, b, c, d] = header;
    Ok(match i32::from_be_bytes([a, b, c, d]) {
        AT_REST => Mark::AtRest,
        epoch if epoch > 0 => Mark::InUse(epoch),
        _ => Mark::None,
    })
}

/// Whether the file says that it is in use and its log is not there. The log is looked for before and after: while a process takes
/// the store or lets go of it, one look alone can be wrong.
pub(super) fn lacks_its_log(path: &Path) -> io::Result<bool> {
    let no_log = || !Backend::log_path(path).exists();
    if !no_log() {
        return Ok(false);
    }
    let Mark::InUse(epoch) = mark_of(path)? else { return Ok(false) };
    Ok(no_log() && lock::note_beside(path).is_none_or(|note| note != in_use_note(i64::from(epoch))))
}

/// Refuses a copy that was taken without its log.
pub(super) fn check(backend: &Backend) -> Result<(), OpenError> {
    let Backend::Sqlite { path } = backend else { return Ok(()) };
    match lacks_its_log(path) {
        Ok(false) => Ok(()),
        Ok(true) => Err(OpenError::WithoutLog { place: backend.place() }),
        Err(error) => Err(OpenError::Unreachable { place: backend.place(), cause: std::sync::Arc::new(error) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_of_any_size_is_a_mark_of_use() {
        for epoch in [1, 2, i64::from(i32::MAX), i64::from(i32::MAX) + 1, i64::MAX] {
            assert!(in_header(epoch) > 0, "{epoch}");
        }
        assert_ne!(in_use_note(7), in_use_note(8));
    }
}
