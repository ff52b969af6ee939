//! The job that imports a tenant's folder of schedule files: files dropped there are imported once they have stopped
//! growing.
//!
//! A file is imported if its size and time are the same as in an earlier scan. It is then moved to `done/`, or, if it
//! has faults, to `failed/` together with a list of them. A crash between import and move is harmless, since importing
//! the same content again changes nothing. Folders, links and files with names for unfinished files are ignored.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;

use super::super::Importer;
use crate::clock::{BoxFuture, Stopwatch};
use crate::config::FOLDER_SOURCE;
use crate::domain::audit::Hash;
use crate::domain::ids::{ScheduleSourceId, TenantId};
use crate::domain::schedules::import::ImportDiagnostic;
use crate::domain::time::UtcMicros;
use crate::domain::wording::count_with_noun;
use crate::engine::jobs::Job;
use crate::http::{ImportError, ImportRequest};
use crate::store::GoodVersion;

/// The actor of the imports in the audit log.
const ACTOR: &str = "job:schedule-folder";

/// The maximum number of files in one run; the others wait for the next.
const MAX_FILES: usize = 100;

/// The least real time between two scans that show whether a file is still growing.
const STABLE_AFTER: Duration = Duration::from_secs(1);

/// Endings of files that are still being written.
const UNFINISHED_SUFFIXES: [&str; 5] = [".part", ".partial", ".tmp", ".crdownload", ".filepart"];

/// The maximum number of alternative names that are tried for a file whose name is taken.
const MAX_NAMES: u32 = 10_000;

/// The folder of imported files.
pub(in crate::app) const DONE: &str = "done";

/// The folder of files with faults, each with a list of them beside it.
pub(in crate::app) const FAILED: &str = "failed";

/// A file's size and time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct FileStamp {
    bytes: u64,
    modified: Option<SystemTime>,
}

/// A file with the time since which it is unchanged.
#[derive(Clone, Copy, Debug)]
struct ObservedFile {
    stamp: FileStamp,
    since: Stopwatch,
}

/// The result of a scan.
struct FolderScan {
    /// Files to import.
    stable: Vec<PathBuf>,
    /// The number of files that no earlier scan has seen.
    first_seen: usize,
    /// The number of files that have changed since the last scan.
    growing: usize,
}

/// The job. Cheap to clone; clones share the observed files.
#[derive(Clone)]
pub(super) struct ScheduleFolder {
    tenant: TenantId,
    folder: PathBuf,
    profile: Option<String>,
    importer: Importer,
    observed: Arc<Mutex<HashMap<PathBuf, ObservedFile>>>,
}

impl Job for ScheduleFolder {
    fn run(&self, _due: UtcMicros, failure: Option<String>) -> BoxFuture<anyhow::Result<String>> {
        let job = self.clone();
        Box::pin(async move { job.scan(failure).await })
    }
}

/// The result of one file's import.
enum FileResult {
    Imported(String),
    Refused(String),
}

impl ScheduleFolder {
    pub(super) fn new(tenant: TenantId, folder: PathBuf, profile: Option<String>, importer: Importer) -> Self {
        Self { tenant, folder, profile, importer, observed: Arc::default() }
    }

    async fn scan(&self, failure: Option<String>) -> anyhow::Result<String> {
        let FolderScan { stable: files, first_seen: first, growing } = self.stable_files().with_context(|| {
            format!("the folder {} cannot be read: make it readable and writable for this user", self.folder.display())
        })?;
        let (mut imported, mut refused) = (Vec::new(), Vec::new());
        for file in files.iter().take(MAX_FILES) {
            match self.import_file(file).await? {
                Some(FileResult::Imported(message)) => imported.push(message),
                Some(FileResult::Refused(message)) => refused.push(message),
                None => {}
            }
        }
        anyhow::ensure!(
            refused.is_empty(),
            "{} of {} schedule file(s) refused: {} (said until a file is imported or none of these is in failed/)",
            refused.len(),
            refused.len() + imported.len(),
            refused.join("; ")
        );
        if let Some(failure) = failure.filter(|failure| imported.is_empty() && self.is_stable(failure)) {
            anyhow::bail!(failure);
        }
        let mut messages = imported;
        if first > 0 {
            messages
                .push(format!("{} found for the first time; imported in the next run", count_with_noun(first, "file")));
        }
        if growing > 0 {
            messages.push(format!(
                "{} changed since the last run; imported in the first run without a change",
                count_with_noun(growing, "file")
            ));
        }
        Ok(if messages.is_empty() { "no new file".to_owned() } else { messages.join("; ") })
    }

    /// Returns whether a file named in the last failure is still in `failed/` with its list. If so, a run that finds
    /// nothing new does not clear the failure.
    fn is_stable(&self, failure: &str) -> bool {
        let Ok(entries) = std::fs::read_dir(self.folder.join(FAILED)) else { return false };
        entries.flatten().any(|entry| {
            let target = entry.path();
            let list = error_list_path(&target);
            failure.contains(&*list.to_string_lossy()) && list.is_file()
        })
    }

    /// Returns the files that have not changed since an earlier scan, oldest first, so that the newest takes effect
    /// last. Also counts the other files.
    fn stable_files(&self) -> io::Result<FolderScan> {
        for folder in [&self.folder, &self.folder.join(DONE), &self.folder.join(FAILED)] {
            std::fs::create_dir_all(folder)?;
        }
        let mut seen = self.observed.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut now, mut settled) = (HashMap::new(), Vec::new());
        let (mut first, mut growing) = (0, 0);
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            // The metadata of the entry itself: links are not followed.
            let Ok(metadata) = entry.metadata() else { continue };
            if !metadata.is_file() || is_unfinished(&entry.file_name().to_string_lossy()) {
                continue;
            }
            let (path, stamp) = (entry.path(), stamp_of(&metadata));
            let unchanged = seen.get(&path).copied().filter(|seen| seen.stamp == stamp);
            if unchanged.is_some_and(|seen| seen.since.elapsed() >= STABLE_AFTER) {
                settled.push((stamp.modified, path.clone()));
            } else if unchanged.is_none() && seen.contains_key(&path) {
                growing += 1;
            } else {
                first += 1;
            }
            now.insert(path, unchanged.unwrap_or_else(|| ObservedFile { stamp, since: Stopwatch::start() }));
        }
        *seen = now;
        settled.sort();
        Ok(FolderScan { stable: settled.into_iter().map(|(_, path)| path).collect(), first_seen: first, growing })
    }

    /// Imports one file and moves it. Returns `None` if the file changed or disappeared meanwhile.
    async fn import_file(&self, path: &Path) -> anyhow::Result<Option<FileResult>> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let limit = self.importer.options.borrow().max_bytes as u64;
        let Some(bytes) = read(path, limit).with_context(|| format!("{} cannot be read", path.display()))? else {
            return Ok(None);
        };
        let content = Hash::of(&bytes);
        let import_request = ImportRequest {
            tenant: self.tenant.clone(),
            name: name.clone(),
            bytes: bytes.into(),
            profile: self.profile.clone(),
            move_weeks: 0,
            is_complete: false,
            hash: None,
            actor: ACTOR.to_owned(),
        };
        let moving = || format!("{} cannot be moved; make its folder writable for this user", path.display());
        match self.importer.run(import_request).await {
            Ok(answer) => {
                let good = GoodVersion { version: answer.version, content, ..GoodVersion::default() };
                self.importer.record_good_version(&self.tenant, ScheduleSourceId::new(FOLDER_SOURCE), good).await?;
                move_into(path, &self.folder.join(DONE)).with_context(moving)?;
                let what = if answer.changed { "imported" } else { "unchanged, in force already" };
                Ok(Some(FileResult::Imported(format!("{name}: {what} as version {}", answer.version))))
            }
            Err(ImportError::Refused { faults, diagnostics: complaints, .. }) => {
                let moved = reject(path, &self.folder.join(FAILED), faults, &complaints).with_context(moving)?;
                Ok(Some(FileResult::Refused(format!(
                    "{name}: {}, listed in {}",
                    count_with_noun(faults, "fault"),
                    moved.display()
                ))))
            }
            // The file is not at fault: it stays and is tried again.
            Err(
                error @ (ImportError::Profile(_)
                | ImportError::HashDiffers
                | ImportError::Store(_)
                | ImportError::Read(_)),
            ) => Err(anyhow::Error::from(error).context(name)),
        }
    }
}

fn stamp_of(metadata: &Metadata) -> FileStamp {
    FileStamp { bytes: metadata.len(), modified: metadata.modified().ok() }
}

fn is_unfinished(name: &str) -> bool {
    let lower = name.to_lowercase();
    lower.starts_with(['.', '~'])
        || lower.ends_with('~')
        || UNFINISHED_SUFFIXES.iter().any(|ending| lower.ends_with(ending))
}

/// Reads the file, up to one byte more than the limit, so that the importer refuses a larger file by its size. Returns
/// `None` if it is no longer the regular file that was observed, or not in its folder.
fn read(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let metadata = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_file() => metadata,
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let file = File::open(path)?;
    // The opened file must be the observed one, and not the target of a link that replaced it.
    if !is_same(&metadata, &file.metadata()?) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

#[cfg(unix)]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (one.dev(), one.ino()) == (other.dev(), other.ino()) && stamp_of(one) == stamp_of(other)
}

#[cfg(not(unix))]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    stamp_of(one) == stamp_of(other)
}

/// Moves a file into a folder, under an unused name.
fn move_into(path: &Path, folder: &Path) -> io::Result<PathBuf> {
    let target = unused_name(path, folder)?;
    std::fs::rename(path, &target)?;
    Ok(target)
}

/// Moves a file with faults into a folder and writes the list of them beside it. The list is written first, so that no
/// file is there without one. Returns the list's path.
fn reject(path: &Path, folder: &Path, faults: usize, diagnostics: &[ImportDiagnostic]) -> io::Result<PathBuf> {
    let target = unused_name(path, folder)?;
    let list = error_list_path(&target);
    let mut file = File::create(&list)?;
    for complaint in diagnostics {
        writeln!(file, "{complaint}")?;
    }
    if faults > diagnostics.len() {
        writeln!(file, "{} more faults are not listed", faults - diagnostics.len())?;
    }
    file.sync_all()?;
    std::fs::rename(path, &target)?;
    Ok(list)
}

fn error_list_path(target: &Path) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".errors.txt");
    target.with_file_name(name)
}

/// Returns `week.csv`, or else `week-2.csv`, `week-3.csv`, …
fn unused_name(path: &Path, folder: &Path) -> io::Result<PathBuf> {
    let stem = path.file_stem().unwrap_or_default();
    let numbered = |number: u32| {
        let mut name = stem.to_owned();
        if number > 1 {
            name.push(format!("-{number}"));
        }
        if let Some(ending) = path.extension() {
            name.push(".");
            name.push(ending);
        }
        folder.join(name)
    };
    let is_free = |place: &PathBuf| place.symlink_metadata().is_err();
    (1..=MAX_NAMES)
        .map(numbered)
        .find(is_free)
        .ok_or_else(|| io::Error::other(format!("{} holds too many files of this name", folder.display())))
}
