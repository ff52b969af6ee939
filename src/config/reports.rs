//! `[reports]`: where the daemon puts the files of reports, and for how long.

use std::path::{Path, PathBuf};

use super::operations::store::Store;
use super::shared::kind;
use super::shared::reader::{Section, restarts};

/// The files of reports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reports {
    /// Where they go; `None` for the usual place.
    pub folder: Option<PathBuf>,
    /// How many days they are kept.
    pub keep_days: u32,
    /// The most files of a tenant that are kept.
    pub most_files: u32,
    /// The most bytes of one file.
    pub largest_file: u64,
}

impl Reports {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            folder: section
                .optional(
                    restarts(
                        "folder",
                        "The folder that the daemon's reports go to, relative to the working directory; without it `reports` beside the \
                         database's file, with PostgreSQL none.",
                    ),
                    &kind::text(),
                )
                .map(PathBuf::from),
            keep_days: section.value(
                restarts("keep_days", "Days that the daemon's report files are kept there."),
                &kind::integer(1..=3_650_u32),
                30,
            ),
            most_files: section.value(
                restarts("most_files", "The most report files of a tenant that are kept there; the oldest go first."),
                &kind::integer(1..=500_u32),
                200,
            ),
            largest_file: section.value(
                restarts("largest_file", "A report file that would be larger, in bytes, is not made."),
                &kind::integer(1_000_000..=1_000_000_000_000_u64),
                1_000_000_000,
            ),
        }
    }

    /// Where the files go; none with a server's database and no folder named.
    pub fn folder_beside(&self, store: &Store) -> Option<PathBuf> {
        self.folder.clone().or_else(|| {
            let database = Path::new(store.url.strip_prefix("sqlite://")?);
            Some(database.parent().unwrap_or(Path::new("")).join("reports"))
        })
    }
}
