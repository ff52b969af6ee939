//! Builds the shim of `shim.c`, puts it under the binary and gives it orders; and makes copies of the binary that differ from
//! the real one in a setting of SQLite alone.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::recording::{Record, records_of};
use crate::harness::Binary;

/// Linux' numbers, on every machine that this runs on.
pub const EIO: i32 = 5;
pub const ENOSPC: i32 = 28;

/// What the real binary says to SQLite, and the same with other words of the same length.
pub const SYNC_FULL: &str = "synchronous = FULL;";
pub const SYNC_NORMAL: &str = "synchronous =    1;";
pub const CHECKPOINT_SELDOM: &str = "wal_autocheckpoint = 4000";
pub const CHECKPOINT_OFTEN: &str = "wal_autocheckpoint = 0064";

/// A shim, built, with its log and its orders in a folder of its own.
pub struct Shim {
    folder: TempDir,
    program: PathBuf,
    watched: PathBuf,
    records: bool,
}

impl Shim {
    /// For a watched folder. `records`: everything is written down, not only the faults. `changes` are made to a copy of the
    /// binary's text.
    pub fn over(watched: &Path, records: bool, changes: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/faults/shim.c");
        let built = Command::new("cc")
            .args(["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"])
            .arg(folder.path().join("shim.so"))
            .arg(source)
            .args(["-ldl", "-lpthread"])
            .output()
            .expect("a C compiler (`cc`) is needed");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let real = PathBuf::from(env!("CARGO_BIN_EXE_shiftkeeper"));
        let program = if changes.is_empty() { real } else { changed_copy(&real, folder.path(), changes) };
        let watched = watched.canonicalize().expect("a folder that is there");
        Self { folder, program, watched, records }
    }

    /// The binary with the shim under it.
    pub fn binary(&self) -> Binary {
        let text = |path: &Path| path.to_str().expect("a plain path").to_owned();
        let environment = [
            ("LD_PRELOAD", text(&self.folder.path().join("shim.so"))),
            ("SHIM_FOLDER", text(&self.watched)),
            ("SHIM_LOG", text(&self.log())),
            ("SHIM_CONTROL", text(&self.control())),
            ("SHIM_RECORD", if self.records { "1" } else { "0" }.to_owned()),
        ];
        Binary {
            path: self.program.clone(),
            environment: environment.map(|(name, value)| (name.to_owned(), value)).into(),
        }
    }

    /// Where it writes down.
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn control(&self) -> PathBuf {
        self.folder.path().join("control")
    }

    /// From now on, calls that fit fail: see `shim.c`.
    pub fn fail_calls(&self, what: &str, file: &str, errno: i32, skip: usize, times: usize) {
        let draft = self.folder.path().join("control.draft");
        std::fs::write(&draft, format!("{what} {file} {errno} {skip} {times}\n")).expect("written");
        std::fs::rename(draft, self.control()).expect("put in place");
    }

    /// The next call ends the process, as SIGKILL does. Everything it did before is in the recording.
    pub fn kill_at_next_call(&self) {
        self.fail_calls("kill", "any", 0, 0, 0);
    }

    /// Nothing fails any more.
    pub fn stop_failing(&self) {
        // There may have been no order.
        let _ = std::fs::remove_file(self.control());
    }

    /// How many calls have failed on order so far.
    pub fn failed(&self) -> usize {
        let log = std::fs::read(self.log()).unwrap_or_default();
        records_of(&log).iter().filter(|record| matches!(record, Record::Fault { .. })).count()
    }
}

/// A copy of the binary in which a text that stands there once is another of the same length. The product offers no such
/// setting, and the code that runs is the same.
fn changed_copy(real: &Path, folder: &Path, changes: &[(&str, &str)]) -> PathBuf {
    let copy = folder.join("shiftkeeper");
    std::fs::copy(real, &copy).expect("copied");
    for (from, to) in changes {
        assert_eq!(from.len(), to.len());
        let run = |program: &str, arguments: &[&str]| {
            let mut command = Command::new(program);
            command.args(arguments).arg(&copy).env("LC_ALL", "C");
            assert!(command.status().expect("it starts").success(), "{program} {arguments:?}");
        };
        run("grep", &["--quiet", "--text", "--fixed-strings", from]);
        run("sed", &["--in-place", &format!("s/{from}/{to}/g")]);
        run("grep", &["--quiet", "--text", "--fixed-strings", to]);
    }
    copy
}
