//! The size of the store and the free space on its disk, read while the store is in use.

use rustix::fs::statvfs;
use sqlx::any::AnyRow;

use super::backend::Backend;
use super::batch::Values;
use super::cells::Cells;
use super::error::ReadError;
use super::reader::Reader;

/// Reads the size of a PostgreSQL database.
pub(super) const POSTGRES_SIZE: &str = "SELECT pg_database_size(current_database()) AS bytes";

/// The size of the store and the space left for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StoreSize {
    /// The size of the database in bytes; for a file, its free pages included.
    pub bytes: u64,
    /// The size of the write-ahead log in bytes; `None` on PostgreSQL.
    pub log_bytes: Option<u64>,
    /// The bytes free for this user on the file's disk; `None` on PostgreSQL or if unknown.
    pub disk_free_bytes: Option<u64>,
}

impl Reader {
    /// Returns the size of the store and the space left for it.
    pub async fn store_size(&self) -> Result<StoreSize, ReadError> {
        match self.backend() {
            Backend::Sqlite { path } => Ok(StoreSize {
                bytes: path.metadata().map_or(0, |file| file.len()),
                log_bytes: Some(self.backend().log_bytes()),
                // Not every file system reports its free space.
                disk_free_bytes: statvfs(path).ok().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
            }),
            Backend::Postgres { .. } => {
                let read = |row: &AnyRow| Cells::new("pg_database_size", row).number("bytes");
                let bytes = self.read_row(POSTGRES_SIZE, Values::default(), read).await?;
                Ok(StoreSize { bytes: bytes.unwrap_or_default(), log_bytes: None, disk_free_bytes: None })
            }
        }
    }
}
