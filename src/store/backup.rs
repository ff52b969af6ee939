//! Copies a running SQLite store into a file of its own, and makes sure that the copy is good before it gets its name.
//!
//! The copy is one consistent state: SQLite writes it from one read transaction, beside the writer. PostgreSQL has its own tools.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::Row;

use super::backend::{Access, Backend, close_quietly};
use super::batch::Values;
use super::chain::ChainTrust;
use super::error::{Cause, Fault, OpenError, ReadError, fault_of};
use super::migrations;
use super::reader::Reader;
use super::whole;

const COPY: &str = "VACUUM INTO $1";
/// A connection that may copy must not be held to asking alone; its file is opened for reading all the same.
const MAY_COPY: &str = "PRAGMA query_only = OFF";
const CHECK: &str = "PRAGMA integrity_check(1)";

/// A copy that holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackupMade {
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Audit entries in it, each of which was checked.
    pub entries: u64,
}

/// No copy was made; nothing is left of it.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store is a PostgreSQL database.
    #[error("{place} is not copied from here: use pg_dump, and switch the job \"backup\" off")]
    NotHere {
        /// The server.
        place: String,
    },
    /// The URL names no store.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The folder or the file cannot be written.
    #[error("{} cannot be written", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// No space is left where the copy was to go.
    #[error("no space is left for the copy {}: free some, or keep fewer copies", path.display())]
    Full {
        /// The copy.
        path: PathBuf,
    },
    /// The store could not be read or copied.
    #[error("the store could not be copied")]
    Copy(#[source] Cause),
    /// The copy cannot be read.
    #[error("the copy could not be checked")]
    Check(#[from] ReadError),
    /// The copy was made and does not hold, so that it was thrown away.
    #[error("the copy does not hold and was thrown away: {what}; run `shiftkeeper audit verify` on the store")]
    Bad {
        /// What is wrong with it.
        what: String,
    },
}

/// Copies the store at `url` to `target`, which appears only when the copy is whole, synced and checked.
pub async fn back_up(url: &str, target: &Path) -> Result<BackupMade, BackupError> {
    let backend = Backend::from_url(url)?;
    let Backend::Sqlite { .. } = backend else { return Err(BackupError::NotHere { place: backend.place() }) };
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |cause| BackupError::Folder { path, cause }
    };
    // A bare name has no folder to be made and synced.
    let target = &std::path::absolute(target).map_err(failed(target))?;
    let folder = target.parent().unwrap_or(Path::new("/")).to_owned();
    let partial = partial_path(target);
    tokio::fs::create_dir_all(&folder).await.map_err(failed(&folder))?;
    // What an earlier try left behind.
    let _ = tokio::fs::remove_file(&partial).await;
    let made = async {
        let copy = Backend::Sqlite { path: partial.clone() };
        copy.make_private()?;
        write_copy(&backend, Access::Read, &partial).await?;
        let file = tokio::fs::File::open(&partial).await.map_err(failed(&partial))?;
        file.sync_all().await.map_err(failed(&partial))?;
        let entries = check(&copy).await?;
        let bytes = file.metadata().await.map_err(failed(&partial))?.len();
        tokio::fs::rename(&partial, target).await.map_err(failed(target))?;
        let named = tokio::fs::File::open(&folder).await.map_err(failed(&folder))?;
        named.sync_all().await.map_err(failed(&folder))?;
        Ok(BackupMade { path: target.to_owned(), bytes, entries })
    }
    .await;
    if made.is_err() {
        let _ = tokio::fs::remove_file(&partial).await;
    }
    made
}

/// The name of a copy that is not yet whole.
pub fn partial_path(target: &Path) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    target.with_file_name(name)
}

/// Writes the copy, and says in it that it is whole.
pub(super) async fn write_copy(backend: &Backend, access: Access, partial: &Path) -> Result<(), BackupError> {
    let failed = |error: sqlx::Error| match fault_of(&error) {
        Fault::Full => BackupError::Full { path: partial.to_owned() },
        Fault::ReadOnly
        | Fault::Corrupt
        | Fault::CannotOpen
        | Fault::Constraint
        | Fault::ConnectionLost
        | Fault::Other => BackupError::Copy(Arc::new(error)),
    };
    let mut connection = backend.connect(access).await.map_err(failed)?;
    let copied = async {
        sqlx::raw_sql(MAY_COPY).execute(&mut connection).await?;
        let mut values = Values::default();
        values.text(partial.to_string_lossy());
        sqlx::query_with(COPY, values.into_arguments()?).execute(&mut connection).await
    }
    .await;
    close_quietly(connection).await;
    copied.map_err(failed)?;
    let copy = Backend::Sqlite { path: partial.to_owned() };
    let mut connection = copy.connect_to_copy().await.map_err(failed)?;
    let marked = whole::mark_copy(&copy, &mut connection).await;
    close_quietly(connection).await;
    marked.map_err(failed)
}

/// Integrity, migrations and every audit chain of the copy; gives the count of entries.
pub(super) async fn check(copy: &Backend) -> Result<u64, BackupError> {
    let unreadable = |error: sqlx::Error| BackupError::Check(error.into());
    let mut connection = copy.connect(Access::ReadAtRest).await.map_err(unreadable)?;
    let looked = async {
        if let Some(what) = damage(&mut connection).await.map_err(unreadable)? {
            return Err(BackupError::Bad { what });
        }
        Ok(migrations::seen(copy, &mut connection).await?)
    }
    .await;
    close_quietly(connection).await;
    // An older one is copied too, before an upgrade say.
    if looked? == migrations::Seen::Nothing {
        return Err(BackupError::Bad { what: "it lacks tables".to_owned() });
    }
    let reader = Reader::new(copy.readers().await.map_err(unreadable)?, copy.clone());
    let checked = check_chains(&reader).await;
    reader.close().await;
    checked
}

/// The first damage that SQLite finds.
pub(super) async fn damage(connection: &mut sqlx::AnyConnection) -> Result<Option<String>, sqlx::Error> {
    let said: String = sqlx::query(CHECK).fetch_one(connection).await?.try_get(0)?;
    Ok((said != "ok").then_some(said))
}

/// The chains of every tenant; gives the count of entries.
pub(super) async fn check_chains(reader: &Reader) -> Result<u64, BackupError> {
    let mut entries = 0;
    for tenant in reader.audited_tenants().await? {
        let verdict = reader.verify_chain(&tenant, ChainTrust::default()).await?;
        if let Some(bad) = verdict.first_bad {
            let what = format!("audit entry {} of tenant {tenant} does not hold: {}", bad.seq, bad.reason);
            return Err(BackupError::Bad { what });
        }
        entries += verdict.entries;
    }
    Ok(entries)
}
