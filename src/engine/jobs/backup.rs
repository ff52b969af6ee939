//! Copies the database into a folder and keeps the most recent copies. Only files that match its own naming scheme are
//! removed.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Job;
use crate::clock::{BoxFuture, SharedClock};
use crate::domain::access::secret::Secret;
use crate::domain::time::UtcMicros;
use crate::store::{back_up, partial_path};

const NAME_PREFIX: &str = "shiftkeeper-";
const NAME_SUFFIX: &str = ".db";

/// The backup job.
#[derive(Clone)]
pub struct Backup {
    /// The store's URL.
    pub url: Secret,
    /// The folder for the copies.
    pub folder: PathBuf,
    /// The number of copies to keep.
    pub keep: usize,
    /// The daemon's clock.
    pub clock: SharedClock,
}

impl Job for Backup {
    fn run(&self, _due: UtcMicros, _failure: Option<String>) -> BoxFuture<anyhow::Result<String>> {
        let backup = self.clone();
        Box::pin(async move {
            let target = free_path(&backup.folder, backup.clock.now());
            let made = back_up(backup.url.expose(), &target).await?;
            // Old copies are removed only after the new one was verified.
            let removed = remove_old_copies(&backup.folder, backup.keep).context("old copies could not be removed")?;
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

/// Returns `shiftkeeper-20261122T023000Z.db` in the folder, or a numbered name (`…Z-2.db`) if a copy of that second
/// exists or is being made.
pub fn free_path(folder: &Path, now: UtcMicros) -> PathBuf {
    let stamp = now.timestamp().strftime("%Y%m%dT%H%M%SZ");
    let mut path = folder.join(format!("{NAME_PREFIX}{stamp}{NAME_SUFFIX}"));
    let mut number = 1;
    while path.exists() || partial_path(&path).exists() {
        number += 1;
        path = folder.join(format!("{NAME_PREFIX}{stamp}-{number}{NAME_SUFFIX}"));
    }
    path
}

/// Returns the time of a copy as its name says, and its number among the copies of that second; `None` for other files.
fn copy_order(name: &str) -> Option<(&str, u32)> {
    let rest = name.strip_prefix(NAME_PREFIX)?.strip_suffix(NAME_SUFFIX)?;
    let (stamp, number) = match rest.split_once('-') {
        Some((stamp, number)) => (stamp, number.parse().ok()?),
        None => (rest, 1),
    };
    let shape = |c: char| if c.is_ascii_digit() { '9' } else { c };
    stamp.chars().map(shape).eq("99999999T999999Z".chars()).then_some((stamp, number))
}

fn remove_old_copies(folder: &Path, keep: usize) -> std::io::Result<usize> {
    let mut copies: Vec<String> = std::fs::read_dir(folder)?
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| copy_order(name).is_some())
        .collect();
    copies.sort_by(|a, b| copy_order(a).cmp(&copy_order(b)));
    let old = copies.len().saturating_sub(keep);
    for name in &copies[..old] {
        std::fs::remove_file(folder.join(name))?;
    }
    Ok(old)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_copies_are_kept_and_other_files_are_not_touched() {
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
        assert_eq!(remove_old_copies(folder.path(), 2).expect("removes"), 1);
        assert!(!folder.path().join(names[0]).exists());
        assert!(names[1..].iter().all(|name| folder.path().join(name).exists()));
    }

    #[test]
    fn copies_of_one_second_are_numbered_and_go_in_their_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let now: UtcMicros = "2026-11-22T02:30:00Z".parse().expect("an instant");
        let made: Vec<PathBuf> = (0..11)
            .map(|_| {
                let path = free_path(folder.path(), now);
                std::fs::write(&path, "").expect("written");
                path
            })
            .collect();
        let names = ["shiftkeeper-20261122T023000Z.db", "shiftkeeper-20261122T023000Z-2.db"];
        assert_eq!(made[..2], names.map(|name| folder.path().join(name)));
        std::fs::write(folder.path().join("shiftkeeper-20261122T023000Z-12.db.partial"), "").expect("written");
        assert_eq!(free_path(folder.path(), now), folder.path().join("shiftkeeper-20261122T023000Z-13.db"));
        assert_eq!(remove_old_copies(folder.path(), 2).expect("removes"), 9);
        assert!(made[..9].iter().all(|path| !path.exists()) && made[9..].iter().all(|path| path.exists()));
    }
}
