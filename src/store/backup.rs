//! Copies a running SQLite store into a separate file, and verifies the copy before it gets its name.
//!
//! The copy is one consistent state: SQLite writes it from one read transaction, beside the writer. PostgreSQL has its
//! own tools.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::Row;

use super::backend::{Access, Backend, close_quietly};
use super::batch::Values;
use super::chain::ChainTrust;
use super::error::{Cause, EngineFault, OpenError, ReadError, classify_error};
use super::file_state;
use super::migrations;
use super::reader::Reader;

const COPY: &str = "VACUUM INTO $1";
/// SQLite does not copy with `query_only`; the file itself is still opened read-only.
const ALLOW_COPY: &str = "PRAGMA query_only = OFF";
const INTEGRITY_CHECK: &str = "PRAGMA integrity_check(1)";

/// The result of a backup.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackupResult {
    /// The path of the copy.
    pub path: PathBuf,
    /// The size of the copy in bytes.
    pub bytes: u64,
    /// The number of audit entries, all of which were verified.
    pub entries: u64,
}

/// An error of a backup; no partial copy is left.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store is a PostgreSQL database.
    #[error("{place} cannot be copied by Shiftkeeper: use pg_dump, and disable the job \"backup\"")]
    Unsupported {
        /// The server.
        place: String,
    },
    /// The URL is not that of a store.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The folder or the file cannot be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// The path.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        cause: io::Error,
    },
    /// The target's disk is full.
    #[error("no space is left for the copy {}: free some space, or keep fewer copies", path.display())]
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
    /// The copy was invalid and was deleted.
    #[error("the copy is not intact and was discarded: {what}; run `shiftkeeper audit verify` on the store")]
    Damaged {
        /// The fault found.
        what: String,
    },
}

/// Copies the store at `url` to `target`, which appears only when the copy is complete, synced and verified.
pub async fn back_up(url: &str, target: &Path) -> Result<BackupResult, BackupError> {
    let backend = Backend::from_url(url)?;
    let Backend::Sqlite { .. } = backend else { return Err(BackupError::Unsupported { place: backend.location() }) };
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |cause| BackupError::Write { path, cause }
    };
    // A bare file name has no folder to create and sync.
    let target = &std::path::absolute(target).map_err(failed(target))?;
    let folder = target.parent().unwrap_or(Path::new("/")).to_owned();
    let partial = partial_path(target);
    tokio::fs::create_dir_all(&folder).await.map_err(failed(&folder))?;
    // A previous attempt may have left a file.
    let _ = tokio::fs::remove_file(&partial).await;
    let result = async {
        let copy = Backend::Sqlite { path: partial.clone() };
        copy.create_private_file()?;
        write_copy(&backend, Access::Read, &partial).await?;
        let file = tokio::fs::File::open(&partial).await.map_err(failed(&partial))?;
        file.sync_all().await.map_err(failed(&partial))?;
        let entries = check(&copy).await?;
        let bytes = file.metadata().await.map_err(failed(&partial))?.len();
        tokio::fs::rename(&partial, target).await.map_err(failed(target))?;
        let folder_handle = tokio::fs::File::open(&folder).await.map_err(failed(&folder))?;
        folder_handle.sync_all().await.map_err(failed(&folder))?;
        Ok(BackupResult { path: target.to_owned(), bytes, entries })
    }
    .await;
    if result.is_err() {
        let _ = tokio::fs::remove_file(&partial).await;
    }
    result
}

/// Returns the name of a copy that is not yet complete.
pub fn partial_path(target: &Path) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    target.with_file_name(name)
}

/// Writes the copy and marks it as complete.
pub(super) async fn write_copy(backend: &Backend, access: Access, partial: &Path) -> Result<(), BackupError> {
    let failed = |error: sqlx::Error| match classify_error(&error) {
        EngineFault::Full => BackupError::Full { path: partial.to_owned() },
        EngineFault::ReadOnly
        | EngineFault::Corrupt
        | EngineFault::CannotOpen
        | EngineFault::Constraint
        | EngineFault::ConnectionLost
        | EngineFault::Other => BackupError::Copy(Arc::new(error)),
    };
    let mut connection = backend.connect(access).await.map_err(failed)?;
    let copied = async {
        sqlx::raw_sql(ALLOW_COPY).execute(&mut connection).await?;
        let values = Values::default().text(partial.to_string_lossy());
        sqlx::query_with(COPY, values.into_arguments()?).execute(&mut connection).await
    }
    .await;
    close_quietly(connection).await;
    copied.map_err(failed)?;
    let copy = Backend::Sqlite { path: partial.to_owned() };
    let mut connection = copy.connect_to_copy().await.map_err(failed)?;
    let marked = file_state::mark_copy(&copy, &mut connection).await;
    close_quietly(connection).await;
    marked.map_err(failed)
}

/// Checks the copy's integrity, migrations and audit chains; returns the number of entries.
pub(super) async fn check(copy: &Backend) -> Result<u64, BackupError> {
    let unreadable = |error: sqlx::Error| BackupError::Check(error.into());
    let mut connection = copy.connect(Access::ReadImmutable).await.map_err(unreadable)?;
    let migration_state = async {
        if let Some(what) = find_damage(&mut connection).await.map_err(unreadable)? {
            return Err(BackupError::Damaged { what });
        }
        Ok(migrations::read_state(copy, &mut connection).await?)
    }
    .await;
    close_quietly(connection).await;
    // An older store is copied too, for example before an upgrade.
    if migration_state? == migrations::MigrationState::Empty {
        return Err(BackupError::Damaged { what: "it lacks tables".to_owned() });
    }
    let reader = Reader::new(copy.reader_pool().await.map_err(unreadable)?, copy.clone());
    let checked = check_chains(&reader).await;
    reader.close().await;
    checked
}

/// Returns the first damage found by SQLite.
pub(super) async fn find_damage(connection: &mut sqlx::AnyConnection) -> Result<Option<String>, sqlx::Error> {
    let report: String = sqlx::query(INTEGRITY_CHECK).fetch_one(connection).await?.try_get(0)?;
    Ok((report != "ok").then_some(report))
}

/// Verifies the chains of all tenants; returns the number of entries.
pub(super) async fn check_chains(reader: &Reader) -> Result<u64, BackupError> {
    let mut entries = 0;
    for tenant in reader.audited_tenants().await? {
        let verdict = reader.verify_chain(&tenant, ChainTrust::default()).await?;
        if let Some(bad) = verdict.first_bad {
            let what = format!("audit entry {} of tenant {tenant} is invalid: {}", bad.seq, bad.reason);
            return Err(BackupError::Damaged { what });
        }
        entries += verdict.entries;
    }
    Ok(entries)
}
