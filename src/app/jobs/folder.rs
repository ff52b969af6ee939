//! A tenant's folder of schedule files: what is dropped there is imported once it has stopped growing.
//!
//! A file is taken when its size and time are the same as at an earlier look; then it is moved to `done/`, or, when it has faults, to
//! `failed/` with a list of them beside it. A crash between import and move is harmless: the same content again changes nothing.
//! Folders, links and names that programs give to files they are still writing are left alone.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;

use super::super::Importer;
use crate::clock::{BoxFuture, Stopwatch};
use crate::domain::ids::TenantId;
use crate::domain::schedules::import::Complaint;
use crate::domain::time::UtcMicros;
use crate::domain::words::count;
use crate::engine::jobs::Job;
use crate::http::{ImportError, WantedImport};

/// Who imports, in the audit trail.
const ACTOR: &str = "job:schedule-folder";

/// The most files of one run; the others wait for the next.
const MOST_FILES: usize = 100;

/// The least real time between two looks that tell whether a file still grows.
const BETWEEN_LOOKS_REAL: Duration = Duration::from_secs(1);

/// Endings of files that are still being written.
const UNFINISHED: [&str; 5] = [".part", ".partial", ".tmp", ".crdownload", ".filepart"];

/// The most names of the same kind that are tried for a file whose name is taken.
const MOST_NAMES: u32 = 10_000;

/// Where imported files go.
pub(in crate::app) const DONE: &str = "done";

/// Where files with faults go, each with the list of them beside it.
pub(in crate::app) const FAILED: &str = "failed";

/// What a file looked like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Look {
    bytes: u64,
    modified: Option<SystemTime>,
}

/// A file as it was first seen so.
#[derive(Clone, Copy, Debug)]
struct Seen {
    look: Look,
    since: Stopwatch,
}

/// What a look found.
struct Found {
    /// Files to take.
    settled: Vec<PathBuf>,
    /// Files that no look before has seen.
    first: usize,
    /// Files that have changed since the last look.
    growing: usize,
}

/// The job. Cheap to clone; clones share what was seen.
#[derive(Clone)]
pub(super) struct ScheduleFolder {
    tenant: TenantId,
    folder: PathBuf,
    importer: Importer,
    seen: Arc<Mutex<HashMap<PathBuf, Seen>>>,
}

impl Job for ScheduleFolder {
    fn run(&self, _due: UtcMicros, failure: Option<String>) -> BoxFuture<anyhow::Result<String>> {
        let job = self.clone();
        Box::pin(async move { job.look(failure).await })
    }
}

/// What became of one file.
enum Came {
    Imported(String),
    Refused(String),
}

impl ScheduleFolder {
    pub(super) fn new(tenant: TenantId, folder: PathBuf, importer: Importer) -> Self {
        Self { tenant, folder, importer, seen: Arc::default() }
    }

    async fn look(&self, failure: Option<String>) -> anyhow::Result<String> {
        let Found { settled: files, first, growing } = self.settled().with_context(|| {
            format!("the folder {} cannot be read: make it readable and writable for this user", self.folder.display())
        })?;
        let (mut imported, mut refused) = (Vec::new(), Vec::new());
        for file in files.iter().take(MOST_FILES) {
            match self.take(file).await? {
                Some(Came::Imported(said)) => imported.push(said),
                Some(Came::Refused(said)) => refused.push(said),
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
        if let Some(failure) = failure.filter(|failure| imported.is_empty() && self.stands(failure)) {
            anyhow::bail!(failure);
        }
        let mut said = imported;
        if first > 0 {
            said.push(format!("{} seen for the first time; taken at the next look", count(first, "file")));
        }
        if growing > 0 {
            said.push(format!(
                "{} changed since the last look; taken when a look finds no change",
                count(growing, "file")
            ));
        }
        Ok(if said.is_empty() { "no new file".to_owned() } else { said.join("; ") })
    }

    /// Whether a file that a failure names still lies in `failed/` with its list: a run that finds nothing new mends nothing.
    fn stands(&self, failure: &str) -> bool {
        let Ok(entries) = std::fs::read_dir(self.folder.join(FAILED)) else { return false };
        entries.flatten().any(|entry| {
            let target = entry.path();
            let list = errors_of(&target);
            failure.contains(&*list.to_string_lossy()) && list.is_file()
        })
    }

    /// The files that have not changed since an earlier look, the oldest first, so that the newest is in force in the end; and how many
    /// there are beside them.
    fn settled(&self) -> io::Result<Found> {
        for folder in [&self.folder, &self.folder.join(DONE), &self.folder.join(FAILED)] {
            std::fs::create_dir_all(folder)?;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut now, mut settled) = (HashMap::new(), Vec::new());
        let (mut first, mut growing) = (0, 0);
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            // Of the entry itself: a link is not followed.
            let Ok(metadata) = entry.metadata() else { continue };
            if !metadata.is_file() || is_unfinished(&entry.file_name().to_string_lossy()) {
                continue;
            }
            let (path, look) = (entry.path(), look_of(&metadata));
            let as_before = seen.get(&path).copied().filter(|seen| seen.look == look);
            if as_before.is_some_and(|seen| seen.since.elapsed() >= BETWEEN_LOOKS_REAL) {
                settled.push((look.modified, path.clone()));
            } else if as_before.is_none() && seen.contains_key(&path) {
                growing += 1;
            } else {
                first += 1;
            }
            now.insert(path, as_before.unwrap_or_else(|| Seen { look, since: Stopwatch::start() }));
        }
        *seen = now;
        settled.sort();
        Ok(Found { settled: settled.into_iter().map(|(_, path)| path).collect(), first, growing })
    }

    /// Imports one file and moves it; `None` when it changed or went meanwhile.
    async fn take(&self, path: &Path) -> anyhow::Result<Option<Came>> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let limit = self.importer.options.borrow().max_bytes as u64;
        let Some(bytes) = read(path, limit).with_context(|| format!("{} cannot be read", path.display()))? else {
            return Ok(None);
        };
        let wanted = WantedImport {
            tenant: self.tenant.clone(),
            name: name.clone(),
            bytes: bytes.into(),
            move_weeks: 0,
            whole: false,
            actor: ACTOR.to_owned(),
        };
        let moving = || format!("{} cannot be moved; make its folder writable for this user", path.display());
        match self.importer.run(wanted).await {
            Ok(answer) => {
                move_to(path, &self.folder.join(DONE)).with_context(moving)?;
                let what = if answer.changed { "imported" } else { "unchanged, in force already" };
                Ok(Some(Came::Imported(format!("{name}: {what} as version {}", answer.version))))
            }
            Err(ImportError::Refused { faults, complaints, .. }) => {
                let moved = fail(path, &self.folder.join(FAILED), faults, &complaints).with_context(moving)?;
                Ok(Some(Came::Refused(format!("{name}: {}, listed in {}", count(faults, "fault"), moved.display()))))
            }
            // The file is not at fault: it stays, and is tried again.
            Err(error @ (ImportError::Store(_) | ImportError::Read(_))) => {
                Err(anyhow::Error::from(error).context(name))
            }
        }
    }
}

fn look_of(metadata: &Metadata) -> Look {
    Look { bytes: metadata.len(), modified: metadata.modified().ok() }
}

fn is_unfinished(name: &str) -> bool {
    let lower = name.to_lowercase();
    lower.starts_with(['.', '~']) || lower.ends_with('~') || UNFINISHED.iter().any(|ending| lower.ends_with(ending))
}

/// The file's bytes, one more than the limit at most: the importer refuses such a file by its size. `None` when it is not the plain
/// file any more that was seen, or not in its folder.
fn read(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let metadata = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_file() => metadata,
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let file = File::open(path)?;
    // What was opened must be what was looked at, and not what a link that took its place leads to.
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
    (one.dev(), one.ino()) == (other.dev(), other.ino()) && look_of(one) == look_of(other)
}

#[cfg(not(unix))]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    look_of(one) == look_of(other)
}

/// Moves a file into a folder, under a name that is free there.
fn move_to(path: &Path, folder: &Path) -> io::Result<PathBuf> {
    let target = free_name(path, folder)?;
    std::fs::rename(path, &target)?;
    Ok(target)
}

/// Moves a file with faults, with the list of them beside it; the list is there first, so that no file stands without one. Gives
/// the list's place.
fn fail(path: &Path, folder: &Path, faults: usize, complaints: &[Complaint]) -> io::Result<PathBuf> {
    let target = free_name(path, folder)?;
    let list = errors_of(&target);
    let mut file = File::create(&list)?;
    for complaint in complaints {
        writeln!(file, "{complaint}")?;
    }
    if faults > complaints.len() {
        writeln!(file, "{} more faults are not listed", faults - complaints.len())?;
    }
    file.sync_all()?;
    std::fs::rename(path, &target)?;
    Ok(list)
}

fn errors_of(target: &Path) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".errors.txt");
    target.with_file_name(name)
}

/// `week.csv`, else `week-2.csv`, `week-3.csv`, …
fn free_name(path: &Path, folder: &Path) -> io::Result<PathBuf> {
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
    (1..=MOST_NAMES)
        .map(numbered)
        .find(is_free)
        .ok_or_else(|| io::Error::other(format!("{} holds too many files of this name", folder.display())))
}
