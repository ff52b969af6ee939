//! Only one process at a time may write a store. On SQLite the kernel keeps the lock on a file beside the database, on
//! PostgreSQL the server keeps it for the writer's session; both let go when the process dies.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use sqlx::{AnyConnection, Row};

use super::backend::Backend;
use super::error::OpenError;

/// One lock per schema of a database.
const POSTGRES_LOCK: &str =
    "SELECT CASE WHEN pg_try_advisory_lock(hashtextextended(current_schema(), 20719)) THEN 1 ELSE 0 END";

/// Held as long as it lives.
#[derive(Debug)]
pub(super) struct FileLock {
    file: File,
    path: PathBuf,
}

/// The longest note, in bytes; a longer one is none of ours.
const LONGEST_NOTE: u64 = 64;

impl FileLock {
    /// Leaves a note for whoever opens the store next; durable when it returns.
    pub(super) fn note(&self, text: &str) -> std::io::Result<()> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(text.as_bytes())?;
        file.set_len(text.len() as u64)?;
        file.sync_data()
    }

    /// What to say when the note could not be left.
    pub(super) fn cannot_write(&self, backend: &Backend, error: std::io::Error) -> OpenError {
        backend.cannot_write(&self.path, error)
    }
}

/// The note of the process that had the store last.
pub(super) fn note_beside(path: &std::path::Path) -> Option<String> {
    let mut note = String::new();
    File::open(lock_path(path)).ok()?.take(LONGEST_NOTE).read_to_string(&mut note).ok()?;
    Some(note)
}

fn lock_path(path: &std::path::Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

/// Takes the file's lock; `Ok(None)` when another process has it, and on PostgreSQL, where [`take_session`] does it.
pub(super) fn take_file(backend: &Backend) -> Result<Option<FileLock>, OpenError> {
    let Backend::Sqlite { path } = backend else { return Ok(None) };
    let path = lock_path(path);
    let file = File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .open(&path)
        .map_err(|error| backend.cannot_write(&path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(FileLock { file, path })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(backend.cannot_write(&path, error)),
    }
}

/// Whether a process has the file's lock; none where that cannot be told, as on PostgreSQL. Who takes the lock in the very instant
/// of this look is refused, so it is for a store whose process seems to be gone.
pub(super) fn is_taken(backend: &Backend) -> Option<bool> {
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

/// Takes the session's lock on PostgreSQL; on SQLite the file's lock is enough.
pub(super) async fn take_session(backend: &Backend, connection: &mut AnyConnection) -> Result<bool, sqlx::Error> {
    let Backend::Postgres { .. } = backend else { return Ok(true) };
    let row = sqlx::query(POSTGRES_LOCK).fetch_one(connection).await?;
    Ok(row.try_get::<i32, _>(0)? == 1)
}
