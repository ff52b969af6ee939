//! Where report files are kept, and which of them are deleted.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::Config;
use crate::domain::ids::{ReportRunId, TenantId};
use crate::domain::reports::report_run::{ReportRun, RunFile};
use crate::domain::time::UtcMicros;
use crate::report::manifest::path_for;

/// The daemon's own folder and its limits.
#[derive(Clone, Debug)]
pub(super) struct Files {
    folder: Option<PathBuf>,
    retention: Duration,
    count_limit: usize,
    /// The maximum size of one file, in bytes.
    pub(super) max_bytes: u64,
}

impl Files {
    pub(super) fn new(config: &Config) -> Self {
        let settings = &config.reports;
        let folder = settings.folder_beside_store(&config.store);
        Self {
            // Absolute, so that it does not depend on the working directory later.
            folder: folder.map(|folder| std::path::absolute(&folder).unwrap_or(folder)),
            retention: Duration::from_secs(u64::from(settings.keep_days) * 24 * 3600),
            count_limit: settings.max_files as usize,
            max_bytes: settings.max_file_bytes,
        }
    }

    /// Returns the path of a run's file, in the folder that a job names or else in the tenant's own. No two runs have
    /// the same path.
    pub(super) fn path_for(
        &self,
        tenant: &TenantId,
        named: Option<&Path>,
        name: &str,
        id: ReportRunId,
    ) -> Option<String> {
        let folder = match named {
            Some(folder) => std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned()),
            None => self.folder.as_ref()?.join(tenant.as_str()),
        };
        let id = id.to_string();
        let short = id.get(id.len().saturating_sub(6)..).unwrap_or_default();
        let name = match name.rsplit_once('.') {
            Some((stem, ending)) => format!("{stem}-{short}.{ending}"),
            None => format!("{name}-{short}"),
        };
        Some(folder.join(name).to_string_lossy().into_owned())
    }

    /// Returns the daemon's own folder for a tenant.
    pub(super) fn own_folder(&self, tenant: &TenantId) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(tenant.as_str()))
    }

    /// Deletes the files of those runs that are too old or too many; `runs` has the newest first. Files in folders that
    /// jobs name are left alone. Returns the changed rows.
    pub(super) fn delete_old(&self, runs: Vec<ReportRun>, now: UtcMicros) -> Vec<ReportRun> {
        let mut own_files = 0;
        let mut deleted = Vec::new();
        for run in runs {
            let Some(file) = run.file.as_ref().filter(|file| file.exists) else { continue };
            let place = Path::new(&*run.path);
            let own_folder = self.folder.as_ref().is_some_and(|folder| place.starts_with(folder));
            own_files += usize::from(own_folder);
            let too_old = run.ended_at.is_none_or(|ended| now.since(ended) > self.retention);
            let too_many = own_folder && own_files > self.count_limit;
            if !(too_old || too_many) {
                continue;
            }
            if own_folder && !remove(place) {
                continue;
            }
            let file = RunFile { exists: false, ..file.clone() };
            deleted.push(ReportRun { file: Some(file), ..run });
        }
        deleted
    }
}

/// Removes a file and its manifest, and returns whether both are gone.
pub(super) fn remove(file: &Path) -> bool {
    [file.to_owned(), path_for(file)].iter().all(|path| match std::fs::remove_file(path) {
        Ok(()) => true,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => {
            tracing::warn!(file = %path.display(), %error, "a report's file cannot be removed; it is tried again");
            false
        }
    })
}

/// Removes the partial file of a process that ended while writing it.
pub(super) fn remove_partial(place: &str) {
    let file = Path::new(place);
    for path in [file.to_owned(), path_for(file)] {
        // An error only means that there is no such file.
        let _ = std::fs::remove_file(crate::report::export::partial_path(&path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reports::report_run::{ReportFormat, RunStatus};

    fn files(folder: &Path, days: u64, most: usize) -> Files {
        let kept = Duration::from_secs(days * 24 * 3600);
        Files { folder: Some(folder.to_owned()), retention: kept, count_limit: most, max_bytes: 1000 }
    }

    fn run(files: &Files, named: Option<&Path>, n: u128, ended_day: i64) -> ReportRun {
        let id = ReportRunId(uuid::Uuid::from_u128(n));
        let place = files.path_for(&"acme".into(), named, "a.csv", id).expect("a folder");
        std::fs::create_dir_all(Path::new(&place).parent().expect("a folder")).expect("made");
        std::fs::write(&place, "x").expect("written");
        std::fs::write(path_for(Path::new(&place)), "x").expect("written");
        let file = RunFile { exists: true, rows: 1, bytes: 1, sha256: String::new() };
        ReportRun {
            id,
            tenant: "acme".into(),
            requested_by: "person:ann".into(),
            requested_at: UtcMicros::EPOCH,
            job: None,
            request: "{}".into(),
            format: ReportFormat::Csv,
            section: None,
            status: RunStatus::Done,
            attempts: 1,
            started_at: None,
            ended_at: Some(UtcMicros::from_micros(ended_day * 86_400_000_000)),
            file: Some(file),
            error: None,
            path: place.into(),
        }
    }

    #[test]
    fn old_and_surplus_files_are_removed_and_those_of_other_folders_are_kept() {
        let (folder, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let files = files(folder.path(), 30, 2);
        let runs = vec![
            run(&files, None, 5, 40),
            run(&files, Some(other.path()), 4, 39),
            run(&files, None, 3, 38),
            run(&files, None, 2, 37),
            run(&files, None, 1, 2),
            run(&files, Some(other.path()), 6, 1),
        ];
        let there = |run: &ReportRun| Path::new(&*run.path).exists() && path_for(Path::new(&*run.path)).exists();
        let gone = files.delete_old(runs.clone(), UtcMicros::from_micros(41 * 86_400_000_000));
        let ids: Vec<_> = gone.iter().map(|run| run.id.0.as_u128()).collect();
        assert_eq!(ids, [2, 1, 6]);
        assert!(gone.iter().all(|run| run.file.as_ref().is_some_and(|file| !file.exists)));
        assert_eq!(runs.iter().map(there).collect::<Vec<_>>(), [true, true, true, false, false, true]);
    }
}
