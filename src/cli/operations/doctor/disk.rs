//! The folders that are written to: free space and permissions.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access, statvfs};

use crate::cli::shared::finding::{Finding, FindingGroup, bytes_text};
use crate::config::Config;

/// Less free space than this is soon used up: the write-ahead log alone may have 64 MiB.
const MIN_FREE_BYTES: u64 = 128 << 20;
/// Less free space than this should be looked at.
const LOW_FREE_BYTES: u64 = 1 << 30;

/// Checks the folders of the database, the backups and the schedules.
pub(super) fn check(config: &Config) -> Vec<Finding> {
    let mut group = FindingGroup::new("disk");
    let database = config.store.url.strip_prefix("sqlite://").map(PathBuf::from);
    let size = database.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |file| file.len());
    match database.as_ref().map(|file| parent_folder(file)) {
        Some(folder) => check_folder(&mut group, "database", &folder, size / 10),
        None => group.skipped("database", "PostgreSQL's own business"),
    }
    for job in config.jobs.iter().filter(|job| job.is_enabled) {
        if let Some(folder) = &job.folder {
            // One more copy must fit.
            check_folder(&mut group, &format!("job {}", job.id), folder, size);
        }
    }
    for tenant in &config.tenants {
        if let Some(folder) = &tenant.schedule_folder {
            check_folder(&mut group, &format!("schedules of {}", tenant.id), folder, 0);
        }
    }
    group.into_findings()
}

fn parent_folder(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if folder.as_os_str().is_empty() => PathBuf::from("."),
        Some(folder) => folder.to_owned(),
        None => PathBuf::from("/"),
    }
}

/// Checks a folder, in which at least `needed` bytes must be free.
fn check_folder(group: &mut FindingGroup, id: &str, folder: &Path, needed: u64) {
    let shown = folder.display();
    if let Some(link) = dangling_link(folder) {
        let detail = format!("{shown}: the link {} leads nowhere", link.display());
        group.wrong(id, detail, "mount or make what it leads to, or name another folder");
        return;
    }
    match free_space(folder) {
        Ok((free, missing)) => {
            let made = if missing == 0 { "" } else { ", made at first use" };
            let detail = format!("{shown}{made}: {} free", bytes_text(free));
            if free < MIN_FREE_BYTES.max(needed) {
                let enough = bytes_text(MIN_FREE_BYTES.max(needed));
                group.wrong(id, detail, format!("free some: less than {enough} will not do"));
            } else if free < LOW_FREE_BYTES.max(needed.saturating_mul(3)) {
                group.warning(id, detail, "free some soon, or shorten [retention]");
            } else if missing > 1 {
                let advice = "is the name right, and is its disk mounted? Make the folder if it is meant";
                group.warning(id, format!("{detail}; its parent folder does not exist either"), advice);
            } else {
                group.ok(id, detail);
            }
        }
        Err(error) => {
            let advice = "make it a folder that the daemon's user may write, or name another";
            group.wrong(id, format!("{shown}: {error}"), advice);
        }
    }
}

/// Returns the dangling link on the way to the folder, if any.
fn dangling_link(folder: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(folder).ok()?;
    absolute.ancestors().take_while(|path| !path.exists()).find(|path| path.is_symlink()).map(Path::to_owned)
}

/// Returns the free bytes of the folder's file system, and how many folders of its path are missing. A missing folder
/// is measured by its nearest existing parent.
fn free_space(folder: &Path) -> io::Result<(u64, usize)> {
    let absolute = std::path::absolute(folder)?;
    let missing = absolute.ancestors().take_while(|path| !path.exists()).count();
    let existing = absolute.ancestors().nth(missing).unwrap_or(Path::new("/"));
    if !existing.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    access(existing, Access::WRITE_OK | Access::EXEC_OK)?;
    let statistics = statvfs(existing)?;
    Ok((statistics.f_bavail.saturating_mul(statistics.f_frsize), missing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::shared::finding::Status;

    #[test]
    fn a_folder_that_is_none_is_wrong_and_one_that_is_not_there_yet_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        std::fs::write(&file, "").expect("written");
        let status = |path: &Path, needed| {
            let mut group = FindingGroup::new("disk");
            check_folder(&mut group, "x", path, needed);
            group.into_findings().remove(0).status
        };
        assert_eq!(status(&file, 0), Status::Wrong);
        assert_ne!(free_space(&folder.path().join("a/b")).expect("above it").0, 0);
        let missing = ["", "a", "a/b"].map(|name| free_space(&folder.path().join(name)).expect("above it").1);
        assert_eq!(missing, [0, 1, 2]);
        assert_eq!(status(folder.path(), u64::MAX), Status::Wrong);
        // If the machine of the test has little space, that is reported first.
        assert_eq!(status(&folder.path().join("a/b"), 0), Status::Warning);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path().join("gone"), &link).expect("a link");
        assert_eq!([status(&link, 0), status(&link.join("copies"), 0)], [Status::Wrong; 2]);
        std::fs::create_dir(folder.path().join("gone")).expect("a folder");
        assert_ne!(status(&link, 0), Status::Wrong);
    }
}
