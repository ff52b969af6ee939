//! `[reports]`: where report files are kept, and for how long.

use std::path::{Path, PathBuf};

use super::operations::store::Store;
use super::shared::kind;
use super::shared::reader::{Section, restart_only};

/// The settings of report files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reports {
    /// The folder of the files. `None` for the default place.
    pub folder: Option<PathBuf>,
    /// How long files are kept, in days.
    pub keep_days: u32,
    /// The maximum number of files kept for a tenant.
    pub max_files: u32,
    /// The maximum size of one file, in bytes.
    pub max_file_bytes: u64,
}

impl Reports {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            folder: section
                .optional(
                    restart_only(
                        "folder",
                        "The folder for the daemon's reports, relative to the working directory. The default is \
                         `reports` beside the database file; there is no default with PostgreSQL.",
                    ),
                    &kind::text(),
                )
                .map(PathBuf::from),
            keep_days: section.value(
                restart_only("keep_days", "How many days to keep the daemon's report files."),
                &kind::integer(1..=3_650_u32),
                30,
            ),
            max_files: section.value(
                restart_only(
                    "most_files",
                    "The maximum number of report files per tenant. The oldest are deleted first.",
                ),
                &kind::integer(1..=500_u32),
                200,
            ),
            max_file_bytes: section.value(
                restart_only("largest_file", "A larger report, in bytes, is not written."),
                &kind::integer(1_000_000..=1_000_000_000_000_u64),
                1_000_000_000,
            ),
        }
    }

    /// Returns the folder of the files. `None` for a database server without a configured folder.
    pub fn folder_beside_store(&self, store: &Store) -> Option<PathBuf> {
        self.folder.clone().or_else(|| {
            let database = Path::new(store.url.strip_prefix("sqlite://")?);
            Some(database.parent().unwrap_or(Path::new("")).join("reports"))
        })
    }
}
