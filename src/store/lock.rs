//! The lock that lets only one process at a time write to a store. On SQLite it is a lock on a file beside the
//! database, on PostgreSQL an advisory lock of the writer's session; both end with the process.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use sqlx::{AnyConnection, Row};

use super::backend::Backend;
use super::error::OpenError;

/// Takes the lock; there is one per schema of a database.
const POSTGRES_LOCK: &str =
    "SELECT CASE WHEN pg_try_advisory_lock(hashtextextended(current_schema(), 20719)) THEN 1 ELSE 0 END";

/// A file lock, held until it is dropped.
#[derive(Debug)]
pub(super) struct FileLock {
    file: File,
    path: PathBuf,
}

/// The maximum length of a note in bytes; a longer one was not written by Shiftkeeper.
const MAX_NOTE_BYTES: u64 = 64;

impl FileLock {
    /// Writes a note for the next process that opens the store; durable when it returns.
    pub(super) fn write_note(&self, text: &str) -> std::io::Result<()> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(text.as_bytes())?;
        file.set_len(text.len() as u64)?;
        file.sync_data()
    }

    /// Returns the error for a note that could not be written.
    pub(super) fn write_error(&self, backend: &Backend, error: std::io::Error) -> OpenError {
        backend.write_error(&self.path, error)
    }
}

/// Returns the note of the process that last held the store, if there is one.
pub(super) fn read_note(path: &std::path::Path) -> Option<String> {
    let mut note = String::new();
    File::open(lock_path(path)).ok()?.take(MAX_NOTE_BYTES).read_to_string(&mut note).ok()?;
    Some(note)
}

fn lock_path(path: &std::path::Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

/// Takes the file lock; returns `Ok(None)` if another process holds it, and on PostgreSQL, which uses
/// [`acquire_session_lock`].
pub(super) fn acquire_file_lock(backend: &Backend) -> Result<Option<FileLock>, OpenError> {
    let Backend::Sqlite { path } = backend else { return Ok(None) };
    let path = lock_path(path);
    let file = File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .open(&path)
        .map_err(|error| backend.write_error(&path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(FileLock { file, path })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(backend.write_error(&path, error)),
    }
}

/// Returns whether a process holds the file lock, or `None` if that is unknown, as on PostgreSQL. A process that tries
/// to take the lock during this check is refused, so use it only if the store's process seems to be gone.
pub(super) fn is_locked(backend: &Backend) -> Option<bool> {
    let Backend::Sqlite { path } = backend else { return None };
    match File::open(lock_path(path)) {
        Ok(file) => match file.try_lock_shared() {
            Ok(()) => Some(false),
            Err(TryLockError::WouldBlock) => Some(true),
            Err(TryLockError::Error(_)) => None,
        },
        Err(error) => (error.kind() == std::io::ErrorKind::NotFound).then_some(false),
    }
}

/// Takes the session lock on PostgreSQL and returns whether it was free; on SQLite the file lock is enough.
pub(super) async fn acquire_session_lock(
    backend: &Backend,
    connection: &mut AnyConnection,
) -> Result<bool, sqlx::Error> {
    let Backend::Postgres { .. } = backend else { return Ok(true) };
    let row = sqlx::query(POSTGRES_LOCK).fetch_one(connection).await?;
    Ok(row.try_get::<i32, _>(0)? == 1)
}
