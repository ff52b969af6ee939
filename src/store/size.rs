//! How much room the store takes and how much is left for it, read while it is in use.

use rustix::fs::statvfs;

use super::backend::Backend;
use super::batch::Values;
use super::cells::Cells;
use super::error::ReadError;
use super::reader::Reader;

/// The database's size as its server tells it.
pub(super) const POSTGRES: &str = "SELECT pg_database_size(current_database()) AS bytes";

/// What the store takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Footprint {
    /// The database, in bytes; of a file with its free pages.
    pub bytes: u64,
    /// The write-ahead log beside the file, in bytes; none where it is the server's business.
    pub log_bytes: Option<u64>,
    /// What is left on the file's disk for this user, in bytes; none where it is the server's business.
    pub disk_free_bytes: Option<u64>,
}

impl Reader {
    /// How much room the store takes and has.
    pub async fn footprint(&self) -> Result<Footprint, ReadError> {
        match self.backend() {
            Backend::Sqlite { path } => Ok(Footprint {
                bytes: path.metadata().map_or(0, |file| file.len()),
                log_bytes: Some(self.backend().log_bytes()),
                // A file that is there lies on a disk; a disk that does not say how much is left has no figure.
                disk_free_bytes: statvfs(path).ok().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
            }),
            Backend::Postgres { .. } => {
                let row = self.optional(POSTGRES, Values::default()).await?;
                let bytes = row.map(|row| Cells::of("pg_database_size", &row).number("bytes")).transpose()?;
                Ok(Footprint { bytes: bytes.unwrap_or_default(), log_bytes: None, disk_free_bytes: None })
            }
        }
    }
}
