//! Restores a copy in place of the store. The copy is checked before anything changes, and the previous store is kept
//! under another name.
//!
//! There is a complete database under the store's name at every moment, even if interrupted: the copy is made beside it
//! and renamed in one step. PostgreSQL has its own tools.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::backend::{Backend, close_quietly};
use super::backup::{self, BackupError};
use super::error::{OpenError, ReadError};
use super::file_state;
use super::lock;
use super::migrations::{self, MigrationState};
use super::open::in_use_error;
use super::reader::Reader;
use crate::domain::time::UtcMicros;

/// The maximum number of restores within one second that keep the previous files.
const MAX_KEPT_PER_SECOND: u32 = 100;

/// The result of a restore.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RestoreResult {
    /// The path of the store.
    pub path: PathBuf,
    /// The size of the store in bytes.
    pub bytes: u64,
    /// The number of audit entries, all of which were verified.
    pub entries: u64,
    /// The paths of the previous store's files, the main file first; empty if there was none.
    pub replaced_files: Vec<PathBuf>,
    /// Whether the file lacked its log and was restored all the same.
    pub without_log: bool,
}

/// An error of a restore; the store is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The store is a PostgreSQL database.
    #[error("{place} cannot be restored by Shiftkeeper: use pg_restore, or your provider's backups")]
    Unsupported {
        /// The server.
        place: String,
    },
    /// The copy or the store cannot be used: it is damaged, of a newer version, held by a daemon, or without its log.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The file does not exist.
    #[error("{} does not exist: name a backup that `shiftkeeper db backup` wrote", path.display())]
    NoSuchFile {
        /// The path.
        path: PathBuf,
    },
    /// The path is a folder.
    #[error("{} is a folder: name a backup in it", path.display())]
    IsFolder {
        /// The path.
        path: PathBuf,
    },
    /// The file has no tables of Shiftkeeper.
    #[error("{} has no store: name a backup that `shiftkeeper db backup` wrote", path.display())]
    Empty {
        /// The path.
        path: PathBuf,
    },
    /// The file is damaged or not a SQLite database.
    #[error("{} is not a database or is damaged, and was not restored: {what}; name another backup", path.display())]
    Damaged {
        /// The path.
        path: PathBuf,
        /// The first fault found.
        what: String,
    },
    /// The file could not be copied into the store's folder, or the copy is not valid.
    #[error("the backup could not be put in place; the store was not changed")]
    Copy(#[source] BackupError),
    /// A file could not be written or renamed.
    #[error("{} cannot be written", path.display())]
    Write {
        /// The path.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        cause: io::Error,
    },
}

/// Replaces the store at `url` by `source`. With `forced`, a file without its log is accepted if it is otherwise sound.
/// `source` may be the store's own file.
pub async fn restore(url: &str, source: &Path, forced: bool, now: UtcMicros) -> Result<RestoreResult, RestoreError> {
    let store = Backend::from_url(url)?;
    let Backend::Sqlite { path } = &store else { return Err(RestoreError::Unsupported { place: store.location() }) };
    let source = std::path::absolute(source).map_err(write_error(source))?;
    if source.is_dir() {
        return Err(RestoreError::IsFolder { path: source });
    }
    if !source.is_file() {
        return Err(RestoreError::NoSuchFile { path: source });
    }
    store.check_writable()?;
    let Some(lock) = lock::acquire_file_lock(&store)? else { return Err(in_use_error(&store).await.into()) };
    let without_log = check_source(&source, forced).await.map_err(|error| match error {
        RestoreError::Open(OpenError::Corrupt { cause, .. }) => {
            RestoreError::Damaged { path: source.clone(), what: cause.to_string() }
        }
        other => other,
    })?;
    let partial = backup::partial_path(path);
    let _ = fs::remove_file(&partial);
    let copied = copy(&source, &partial).await;
    let replaced = match copied {
        Ok((entries, bytes)) => {
            // The note of the last process does not apply to the restored file.
            lock.write_note(file_state::CLOSED_NOTE).map_err(write_error(path))?;
            replace_store(path, &partial, now).map(|set_aside| (entries, bytes, set_aside))
        }
        Err(error) => Err(error),
    };
    if replaced.is_err() {
        let _ = fs::remove_file(&partial);
    }
    let (entries, bytes, set_aside) = replaced?;
    Ok(RestoreResult { path: path.clone(), bytes, entries, replaced_files: set_aside, without_log })
}

fn write_error(path: &Path) -> impl Fn(io::Error) -> RestoreError + use<> {
    let path = path.to_owned();
    move |cause| RestoreError::Write { path: path.clone(), cause }
}

/// Checks the header, log, integrity and version of the source without changing it; returns whether it lacks its log.
async fn check_source(source: &Path, forced: bool) -> Result<bool, RestoreError> {
    let backend = Backend::Sqlite { path: source.to_owned() };
    backend.check_header()?;
    let without_log = file_state::is_missing_log(source).map_err(write_error(source))?;
    if without_log && !forced {
        return Err(OpenError::WithoutLog { place: backend.location() }.into());
    }
    let opened = backend.connect(backend.read_only_access()).await;
    let mut connection = opened.map_err(|error| backend.open_error(error))?;
    let checked = async {
        let damage = backup::find_damage(&mut connection).await.map_err(|error| backend.open_error(error))?;
        match damage {
            Some(what) => Err(RestoreError::Damaged { path: source.to_owned(), what }),
            None => Ok(migrations::read_state(&backend, &mut connection).await?),
        }
    }
    .await;
    close_quietly(connection).await;
    match checked? {
        // The daemon migrates an older one at its next start.
        MigrationState::Current | MigrationState::Outdated(_) => Ok(without_log),
        MigrationState::Empty => Err(RestoreError::Empty { path: source.to_owned() }),
    }
}

/// Makes a synced copy beside the store and verifies its chains; returns the numbers of entries and bytes.
async fn copy(source: &Path, partial: &Path) -> Result<(u64, u64), RestoreError> {
    let from = Backend::Sqlite { path: source.to_owned() };
    let to = Backend::Sqlite { path: partial.to_owned() };
    to.create_private_file()?;
    backup::write_copy(&from, from.read_only_access(), partial).await.map_err(RestoreError::Copy)?;
    let file = fs::File::open(partial).map_err(write_error(partial))?;
    file.sync_all().map_err(write_error(partial))?;
    let bytes = file.metadata().map_err(write_error(partial))?.len();
    let unreadable = |error: sqlx::Error| RestoreError::Copy(BackupError::Check(error.into()));
    let reader = Reader::new(to.reader_pool().await.map_err(unreadable)?, to.clone());
    let entries = backup::check_chains(&reader).await;
    reader.close().await;
    let entries = entries.map_err(|error| match error {
        BackupError::Damaged { what } => RestoreError::Damaged { path: source.to_owned(), what },
        BackupError::Check(ReadError::Broken(_) | ReadError::Decode { .. })
        | BackupError::Unsupported { .. }
        | BackupError::Store(_)
        | BackupError::Write { .. }
        | BackupError::Full { .. }
        | BackupError::Copy(_) => RestoreError::Copy(error),
    })?;
    Ok((entries, bytes))
}

/// Keeps the previous files under a dated name and renames the copy. If interrupted in between, the name still holds
/// the previous file, at worst without its log, which the next start refuses with a clear error.
fn replace_store(store: &Path, partial: &Path, now: UtcMicros) -> Result<Vec<PathBuf>, RestoreError> {
    let log = Backend::log_path(store);
    let mut set_aside = Vec::new();
    if store.exists() {
        let kept = unused_name(store, now)?;
        // A hard link; if the file system has none, a copy.
        if fs::hard_link(store, &kept).is_err() {
            fs::copy(store, &kept).and_then(|_| fs::File::open(&kept)?.sync_all()).map_err(write_error(&kept))?;
        }
        set_aside.push(kept.clone());
        if log.exists() {
            let kept_log = Backend::log_path(&kept);
            fs::rename(&log, &kept_log).map_err(write_error(&kept_log))?;
            set_aside.push(kept_log);
        }
    }
    // The shared memory beside a log is created again by the next process that opens the store.
    let mut memory = store.as_os_str().to_owned();
    memory.push("-shm");
    let _ = fs::remove_file(memory);
    let folder = store.parent().unwrap_or(Path::new("/"));
    let synced = || fs::File::open(folder)?.sync_all();
    // The log must be durably gone before the copy is renamed, or it would be taken for the copy's.
    synced().map_err(write_error(folder))?;
    fs::rename(partial, store).map_err(write_error(store))?;
    synced().map_err(write_error(folder))?;
    Ok(set_aside)
}

/// Returns a name such as `shiftkeeper.db.replaced-20261122T093000Z`, with a number if that exists.
fn unused_name(store: &Path, now: UtcMicros) -> Result<PathBuf, RestoreError> {
    let stamp = now.timestamp().strftime("%Y%m%dT%H%M%SZ");
    let name = |number: u32| {
        let mut name = store.as_os_str().to_owned();
        name.push(format!(".replaced-{stamp}"));
        if number > 1 {
            name.push(format!("-{number}"));
        }
        PathBuf::from(name)
    };
    let taken = || write_error(&name(1))(io::ErrorKind::AlreadyExists.into());
    (1..=MAX_KEPT_PER_SECOND).map(name).find(|path| !path.exists()).ok_or_else(taken)
}
