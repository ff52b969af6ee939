//! Copies the database into a folder and keeps the last of the copies. Only files of its own naming are ever removed.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Job;
use crate::clock::{BoxFuture, SharedClock};
use crate::domain::secret::Secret;
use crate::domain::time::UtcMicros;
use crate::store::back_up;

const BEGINS: &str = "shiftkeeper-";
const ENDS: &str = ".db";

/// The job.
#[derive(Clone)]
pub struct Backup {
    /// The store's URL.
    pub url: Secret,
    /// Where the copies go.
    pub folder: PathBuf,
    /// How many copies stay.
    pub keep: usize,
    /// The daemon's clock.
    pub clock: SharedClock,
}

impl Job for Backup {
    fn run(&self, _due: UtcMicros, _failure: Option<String>) -> BoxFuture<anyhow::Result<String>> {
        let backup = self.clone();
        Box::pin(async move {
            let target = backup.folder.join(name_at(backup.clock.now()));
            let made = back_up(backup.url.expose(), &target).await?;
            // Only after a new copy is known to be good.
            let removed = remove_all_but(&backup.folder, backup.keep).context("removing old copies")?;
            let gone = if removed > 0 { format!(", {removed} old one(s) removed") } else { String::new() };
            Ok(format!(
                "{} bytes with {} audit entries copied to {} and checked{gone}",
                made.bytes,
                made.entries,
                made.path.display()
            ))
        })
    }
}

/// `shiftkeeper-20261122T023000Z.db`: names sort by time.
pub fn name_at(now: UtcMicros) -> String {
    format!("{BEGINS}{}{ENDS}", now.timestamp().strftime("%Y%m%dT%H%M%SZ"))
}

fn is_copy(name: &str) -> bool {
    let stamp = name.strip_prefix(BEGINS).and_then(|rest| rest.strip_suffix(ENDS)).unwrap_or_default();
    let shape = |c: char| if c.is_ascii_digit() { '9' } else { c };
    stamp.chars().map(shape).eq("99999999T999999Z".chars())
}

fn remove_all_but(folder: &Path, keep: usize) -> std::io::Result<usize> {
    let mut copies: Vec<PathBuf> = std::fs::read_dir(folder)?
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| is_copy(&name.to_string_lossy())))
        .collect();
    copies.sort();
    let old = copies.len().saturating_sub(keep);
    for path in &copies[..old] {
        std::fs::remove_file(path)?;
    }
    Ok(old)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_copies_stay_and_other_files_are_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let names = [
            "shiftkeeper-20261120T023000Z.db",
            "shiftkeeper-20261121T023000Z.db",
            "shiftkeeper-20261122T023000Z.db",
            "shiftkeeper-old.db",
            "shiftkeeper-20261119T023000Z.db.partial",
            "notes.txt",
        ];
        for name in names {
            std::fs::write(folder.path().join(name), name).expect("written");
        }
        std::fs::create_dir(folder.path().join("shiftkeeper-20200101T000000Z.db")).expect("a folder");
        assert_eq!(remove_all_but(folder.path(), 2).expect("removes"), 1);
        assert!(!folder.path().join(names[0]).exists());
        assert!(names[1..].iter().all(|name| folder.path().join(name).exists()));
        let now: UtcMicros = "2026-11-22T02:30:00Z".parse().expect("an instant");
        assert_eq!(name_at(now), names[2]);
        assert!(is_copy(names[2]));
    }
}
