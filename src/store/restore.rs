//! Puts a copy in the store's place: looked at before anything is touched, and what was there is kept under another name.
//!
//! There is a whole database under the store's name at every instant, wherever it is cut off: the copy is made beside it and
//! takes its name in one step. PostgreSQL has its own tools.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::backend::{Backend, close_quietly};
use super::backup::{self, BackupError};
use super::error::{OpenError, ReadError};
use super::lock;
use super::migrations::{self, Seen};
use super::open::held;
use super::reader::Reader;
use super::whole;
use crate::domain::time::UtcMicros;

/// Restores within one second that keep what was there.
const MOST_KEPT: u32 = 100;

/// What was put in the store's place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Restored {
    /// The store.
    pub path: PathBuf,
    /// Its size, in bytes.
    pub bytes: u64,
    /// Audit entries in it, each of which was checked.
    pub entries: u64,
    /// Where what was there before is now, the main file first; empty where nothing was.
    pub set_aside: Vec<PathBuf>,
    /// The file lacked its log and was taken all the same.
    pub without_log: bool,
}

/// Nothing was restored; the store is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The store is a PostgreSQL database.
    #[error("{place} is not restored from here: use pg_restore, or your provider's backups")]
    NotHere {
        /// The server.
        place: String,
    },
    /// The copy or the store cannot be used: damaged, of a newer version, held by a daemon, or without its log.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is no such file.
    #[error("{} is not there: name a backup, as `shiftkeeper db backup` writes it", path.display())]
    NoSuchFile {
        /// What was named.
        path: PathBuf,
    },
    /// It is a folder.
    #[error("{} is a folder: name the backup in it", path.display())]
    IsFolder {
        /// What was named.
        path: PathBuf,
    },
    /// The file has no tables of ours.
    #[error("{} holds no store: name a backup, as `shiftkeeper db backup` writes it", path.display())]
    Empty {
        /// What was named.
        path: PathBuf,
    },
    /// The file is damaged, or none of SQLite's.
    #[error("{} is no database, or damaged, and was not taken: {what}; name another backup", path.display())]
    Bad {
        /// What was named.
        path: PathBuf,
        /// The first thing that is wrong with it.
        what: String,
    },
    /// It could not be copied into the store's folder, or the copy does not hold.
    #[error("the backup could not be put in place; the store is as it was")]
    Copy(#[source] BackupError),
    /// A file could not be written or renamed.
    #[error("{} cannot be written", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
}

/// Puts `source` in the place of the store at `url`. `forced` takes a file that lacks its log, if it is sound otherwise. `source`
/// may be the store's own file.
pub async fn restore(url: &str, source: &Path, forced: bool, now: UtcMicros) -> Result<Restored, RestoreError> {
    let store = Backend::from_url(url)?;
    let Backend::Sqlite { path } = &store else { return Err(RestoreError::NotHere { place: store.place() }) };
    let source = std::path::absolute(source).map_err(failed(source))?;
    if source.is_dir() {
        return Err(RestoreError::IsFolder { path: source });
    }
    if !source.is_file() {
        return Err(RestoreError::NoSuchFile { path: source });
    }
    store.check_writable()?;
    let Some(lock) = lock::take_file(&store)? else { return Err(held(&store).await.into()) };
    let without_log = look(&source, forced).await.map_err(|error| match error {
        RestoreError::Open(OpenError::Corrupt { cause, .. }) => {
            RestoreError::Bad { path: source.clone(), what: cause.to_string() }
        }
        other => other,
    })?;
    let partial = backup::partial_path(path);
    let _ = fs::remove_file(&partial);
    let made = copy(&source, &partial).await;
    let put = match made {
        Ok((entries, bytes)) => {
            // A note of the process that had the store last says nothing of what comes in its place.
            lock.note(whole::LET_GO_NOTE).map_err(failed(path))?;
            put_in_place(path, &partial, now).map(|set_aside| (entries, bytes, set_aside))
        }
        Err(error) => Err(error),
    };
    if put.is_err() {
        let _ = fs::remove_file(&partial);
    }
    let (entries, bytes, set_aside) = put?;
    Ok(Restored { path: path.clone(), bytes, entries, set_aside, without_log })
}

fn failed(path: &Path) -> impl Fn(io::Error) -> RestoreError + use<> {
    let path = path.to_owned();
    move |cause| RestoreError::Folder { path: path.clone(), cause }
}

/// Header, log, damage and version of the file that was named, without a trace; gives whether it lacks its log.
async fn look(source: &Path, forced: bool) -> Result<bool, RestoreError> {
    let backend = Backend::Sqlite { path: source.to_owned() };
    backend.check_header()?;
    let without_log = whole::lacks_its_log(source).map_err(failed(source))?;
    if without_log && !forced {
        return Err(OpenError::WithoutLog { place: backend.place() }.into());
    }
    let opened = backend.connect(backend.quietest_access()).await;
    let mut connection = opened.map_err(|error| backend.open_error(error))?;
    let looked = async {
        let damage = backup::damage(&mut connection).await.map_err(|error| backend.open_error(error))?;
        match damage {
            Some(what) => Err(RestoreError::Bad { path: source.to_owned(), what }),
            None => Ok(migrations::seen(&backend, &mut connection).await?),
        }
    }
    .await;
    close_quietly(connection).await;
    match looked? {
        // An older one is brought up to date by the daemon's next start.
        Seen::All | Seen::Some(_) => Ok(without_log),
        Seen::Nothing => Err(RestoreError::Empty { path: source.to_owned() }),
    }
}

/// The copy beside the store, synced and with its chains checked; gives its entries and bytes.
async fn copy(source: &Path, partial: &Path) -> Result<(u64, u64), RestoreError> {
    let from = Backend::Sqlite { path: source.to_owned() };
    let to = Backend::Sqlite { path: partial.to_owned() };
    to.make_private()?;
    backup::write_copy(&from, from.quietest_access(), partial).await.map_err(RestoreError::Copy)?;
    let file = fs::File::open(partial).map_err(failed(partial))?;
    file.sync_all().map_err(failed(partial))?;
    let bytes = file.metadata().map_err(failed(partial))?.len();
    let unreadable = |error: sqlx::Error| RestoreError::Copy(BackupError::Check(error.into()));
    let reader = Reader::new(to.readers().await.map_err(unreadable)?, to.clone());
    let entries = backup::check_chains(&reader).await;
    reader.close().await;
    let entries = entries.map_err(|error| match error {
        BackupError::Bad { what } => RestoreError::Bad { path: source.to_owned(), what },
        BackupError::Check(ReadError::Broken(_) | ReadError::Decode { .. })
        | BackupError::NotHere { .. }
        | BackupError::Store(_)
        | BackupError::Folder { .. }
        | BackupError::Full { .. }
        | BackupError::Copy(_) => RestoreError::Copy(error),
    })?;
    Ok((entries, bytes))
}

/// Keeps what is there under a dated name and gives its name to the copy. Cut off in between, the name holds what it held, without
/// its log at worst, which the next start refuses by name.
fn put_in_place(store: &Path, partial: &Path, now: UtcMicros) -> Result<Vec<PathBuf>, RestoreError> {
    let log = Backend::log_path(store);
    let mut set_aside = Vec::new();
    if store.exists() {
        let kept = free_name(store, now)?;
        // A second name for the same file; where the file system has none, a copy.
        if fs::hard_link(store, &kept).is_err() {
            fs::copy(store, &kept).and_then(|_| fs::File::open(&kept)?.sync_all()).map_err(failed(&kept))?;
        }
        set_aside.push(kept.clone());
        if log.exists() {
            let kept_log = Backend::log_path(&kept);
            fs::rename(&log, &kept_log).map_err(failed(&kept_log))?;
            set_aside.push(kept_log);
        }
    }
    // The shared memory beside a log is made anew by whoever opens the store.
    let mut memory = store.as_os_str().to_owned();
    memory.push("-shm");
    let _ = fs::remove_file(memory);
    let folder = store.parent().unwrap_or(Path::new("/"));
    let synced = || fs::File::open(folder)?.sync_all();
    // The log must be gone for good before the copy has the name, or it would be taken for the copy's.
    synced().map_err(failed(folder))?;
    fs::rename(partial, store).map_err(failed(store))?;
    synced().map_err(failed(folder))?;
    Ok(set_aside)
}

/// `shiftkeeper.db.replaced-20261122T093000Z`, with a number where that is taken.
fn free_name(store: &Path, now: UtcMicros) -> Result<PathBuf, RestoreError> {
    let stamp = now.timestamp().strftime("%Y%m%dT%H%M%SZ");
    let name = |number: u32| {
        let mut name = store.as_os_str().to_owned();
        name.push(format!(".replaced-{stamp}"));
        if number > 1 {
            name.push(format!("-{number}"));
        }
        PathBuf::from(name)
    };
    let taken = || failed(&name(1))(io::ErrorKind::AlreadyExists.into());
    (1..=MOST_KEPT).map(name).find(|path| !path.exists()).ok_or_else(taken)
}
