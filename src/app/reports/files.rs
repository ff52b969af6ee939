//! Where the files of reports lie, and which of them have served their time.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::Config;
use crate::domain::ids::{ReportRunId, TenantId};
use crate::domain::reports::report_run::{ReportRun, RunFile};
use crate::domain::time::UtcMicros;
use crate::report::manifest::beside;

/// The daemon's own folder, and its bounds.
#[derive(Clone, Debug)]
pub(super) struct Files {
    folder: Option<PathBuf>,
    kept: Duration,
    most: usize,
    /// The most bytes of one file.
    pub(super) largest: u64,
}

impl Files {
    pub(super) fn new(config: &Config) -> Self {
        let settings = &config.reports;
        let folder = settings.folder_beside(&config.store);
        Self {
            // Whatever the working directory is when the file is asked for.
            folder: folder.map(|folder| std::path::absolute(&folder).unwrap_or(folder)),
            kept: Duration::from_secs(u64::from(settings.keep_days) * 24 * 3600),
            most: settings.most_files as usize,
            largest: settings.largest_file,
        }
    }

    /// Where a run's file goes: into the folder that a job names, or into the tenant's own. No two runs have the same place.
    pub(super) fn place(&self, tenant: &TenantId, named: Option<&Path>, name: &str, id: ReportRunId) -> Option<String> {
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

    /// The daemon's own folder for a tenant.
    pub(super) fn own(&self, tenant: &TenantId) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(tenant.as_str()))
    }

    /// Removes the files of those runs that are too old or too many; the newest come first. Files in folders that jobs name are theirs
    /// who named them. Gives the rows as they are then.
    pub(super) fn let_go(&self, runs: Vec<ReportRun>, now: UtcMicros) -> Vec<ReportRun> {
        let mut own = 0;
        let mut gone = Vec::new();
        for run in runs {
            let Some(file) = run.file.as_ref().filter(|file| file.there) else { continue };
            let place = Path::new(&*run.place);
            let is_own = self.folder.as_ref().is_some_and(|folder| place.starts_with(folder));
            own += usize::from(is_own);
            let too_old = run.ended_at.is_none_or(|ended| now.since(ended) > self.kept);
            let too_many = is_own && own > self.most;
            if !(too_old || too_many) {
                continue;
            }
            if is_own && !remove(place) {
                continue;
            }
            let file = RunFile { there: false, ..file.clone() };
            gone.push(ReportRun { file: Some(file), ..run });
        }
        gone
    }
}

/// Whether file and manifest are gone.
pub(super) fn remove(file: &Path) -> bool {
    [file.to_owned(), beside(file)].iter().all(|path| match std::fs::remove_file(path) {
        Ok(()) => true,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => {
            tracing::warn!(file = %path.display(), %error, "a report's file cannot be removed; it is tried again");
            false
        }
    })
}

/// Removes what a process left behind that ended while it wrote the file.
pub(super) fn forget_partial(place: &str) {
    let file = Path::new(place);
    for path in [file.to_owned(), beside(file)] {
        // Where there is none, none has to go.
        let _ = std::fs::remove_file(crate::report::export::partial_path(&path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reports::report_run::{Format, RunStatus};

    fn files(folder: &Path, days: u64, most: usize) -> Files {
        let kept = Duration::from_secs(days * 24 * 3600);
        Files { folder: Some(folder.to_owned()), kept, most, largest: 1000 }
    }

    fn run(files: &Files, named: Option<&Path>, n: u128, ended_day: i64) -> ReportRun {
        let id = ReportRunId(uuid::Uuid::from_u128(n));
        let place = files.place(&"acme".into(), named, "a.csv", id).expect("a folder");
        std::fs::create_dir_all(Path::new(&place).parent().expect("a folder")).expect("made");
        std::fs::write(&place, "x").expect("written");
        std::fs::write(beside(Path::new(&place)), "x").expect("written");
        let file = RunFile { there: true, rows: 1, bytes: 1, sha256: String::new() };
        ReportRun {
            id,
            tenant: "acme".into(),
            asked_by: "person:ann".into(),
            asked_at: UtcMicros::EPOCH,
            job: None,
            request: "{}".into(),
            format: Format::Csv,
            section: None,
            status: RunStatus::Done,
            attempts: 1,
            started_at: None,
            ended_at: Some(UtcMicros::from_micros(ended_day * 86_400_000_000)),
            file: Some(file),
            error: None,
            place: place.into(),
        }
    }

    #[test]
    fn files_go_when_they_are_old_or_too_many_and_those_of_other_folders_stay() {
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
        let there = |run: &ReportRun| Path::new(&*run.place).exists() && beside(Path::new(&*run.place)).exists();
        let gone = files.let_go(runs.clone(), UtcMicros::from_micros(41 * 86_400_000_000));
        let ids: Vec<_> = gone.iter().map(|run| run.id.0.as_u128()).collect();
        assert_eq!(ids, [2, 1, 6]);
        assert!(gone.iter().all(|run| run.file.as_ref().is_some_and(|file| !file.there)));
        assert_eq!(runs.iter().map(there).collect::<Vec<_>>(), [true, true, true, false, false, true]);
    }
}
