//! The judges judged: faults that are put into a copy of the product must be found.
//!
//! All faults of `faults.toml` are compiled into one copy below the target folder, and one of them is switched on in each run. The product
//! itself has no such switch.

#![expect(clippy::disallowed_methods, reason = "a test's own switches")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::search::{Search, SearchResult, search};

const FAULT: &str = "SHIFTKEEPER_WORLD_FAULT";
const SEEDS: &str = "SHIFTKEEPER_WORLD_SEEDS";

/// A fault that is not found within this number of seeds fails the test.
const MAX_SEEDS: u64 = 2000;

/// What the copy is asked by.
const SWITCH: &str = "//! Which fault is switched on.\n\n\
    use std::sync::OnceLock;\n\n\
    /// Whether it is this one.\n\
    #[expect(clippy::disallowed_methods, reason = \"the switch of a test\")]\n\
    pub fn is(name: &str) -> bool {\n    \
        static ON: OnceLock<String> = OnceLock::new();\n    \
        ON.get_or_init(|| std::env::var(\"SHIFTKEEPER_WORLD_FAULT\").unwrap_or_default()) == name\n\
    }\n";

#[derive(Deserialize)]
struct Faults {
    fault: Vec<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    name: String,
    what: String,
    edits: Vec<Edit>,
}

#[derive(Deserialize)]
struct Edit {
    file: PathBuf,
    old: String,
    new: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn faults() -> Vec<Fault> {
    let text = fs::read_to_string(root().join("tests/world/faults.toml")).expect("readable");
    toml::from_str::<Faults>(&text).expect("a list of faults").fault
}

/// Makes the edits of every fault below `folder`.
fn plant(folder: &Path, faults: &[Fault]) {
    for fault in faults {
        for Edit { file, old, new } in &fault.edits {
            let path = folder.join(file);
            let text = fs::read_to_string(&path).expect("readable");
            let times = text.matches(old.as_str()).count();
            assert_eq!(times, 1, "{}: its text occurs {times} times in {}: {old}", fault.name, file.display());
            fs::write(&path, text.replacen(old.as_str(), new, 1)).expect("writable");
        }
    }
    let map = folder.join("src/lib.rs");
    let text = fs::read_to_string(&map).expect("readable");
    fs::write(&map, format!("{text}pub mod planted;\n")).expect("writable");
    fs::write(folder.join("src/planted.rs"), SWITCH).expect("writable");
}

/// Copies what the build needs.
fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).expect("a folder");
        for entry in fs::read_dir(from).expect("readable") {
            let name = entry.expect("an entry").file_name();
            copy(&from.join(&name), &to.join(&name));
        }
    } else {
        fs::create_dir_all(to.parent().expect("a file lies in a folder")).expect("a folder");
        // What did not change keeps its time, so that it is not built again.
        let same = fs::read(from).ok() == fs::read(to).ok();
        if !same {
            fs::copy(from, to).expect("copied");
        }
    }
}

/// Removes what is not there any more in what was copied.
fn clear(from: &Path, to: &Path) {
    for entry in fs::read_dir(to).expect("readable") {
        let path = entry.expect("an entry").path();
        let original = from.join(path.file_name().expect("a name"));
        match (path.is_dir(), original.exists()) {
            (true, true) => clear(&original, &path),
            (true, false) => fs::remove_dir_all(&path).expect("removed"),
            (false, true) => {}
            (false, false) => fs::remove_file(&path).expect("removed"),
        }
    }
}

/// A copy of the sources with every fault in it, below the target folder.
fn plant_copy(faults: &[Fault]) -> PathBuf {
    let fresh = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("planted-fresh");
    let kept = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("planted");
    // What an interrupted run left behind is of another time.
    let _ = fs::remove_dir_all(&fresh);
    for part in ["Cargo.toml", "Cargo.lock", "askama.toml", "src", "migrations", "config", "tests", "benches", "docs"] {
        copy(&root().join(part), &fresh.join(part));
    }
    plant(&fresh, faults);
    copy(&fresh, &kept);
    clear(&fresh, &kept);
    fs::remove_dir_all(&fresh).expect("removed");
    kept
}

/// Builds the copy's world; gives its program.
fn build(folder: &Path) -> PathBuf {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("planted-target");
    let profile = if cfg!(debug_assertions) { &[][..] } else { &["--release"] };
    let built = Command::new(env!("CARGO"))
        .args(["test", "--locked", "--no-run", "--test", "world", "--message-format", "json"])
        .args(profile)
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", target)
        .output()
        .expect("cargo");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let said = String::from_utf8_lossy(&built.stdout).into_owned();
    let programs = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let world = programs
        .filter(|message| message["reason"] == "compiler-artifact" && message["target"]["name"] == "world")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    world.expect("the world's program")
}

/// The edits fit the sources as they are.
#[test]
fn every_fault_can_be_planted() {
    let faults = faults();
    assert!(faults.len() >= 25, "{} faults", faults.len());
    let folder = tempfile::tempdir().expect("a folder");
    copy(&root().join("src"), &folder.path().join("src"));
    plant(folder.path(), &faults);
}

/// Each fault is found within 2,000 seeds: a build of its own and many worlds, so only when `SHIFTKEEPER_WORLD_FAULT` names one, or
/// `all`. The story of what was found is printed.
#[test]
fn planted_faults_are_found() {
    let Ok(wanted) = std::env::var(FAULT) else {
        println!("not run: SHIFTKEEPER_WORLD_FAULT=all, or the name of one in tests/world/faults.toml");
        return;
    };
    let faults = faults();
    let chosen: Vec<&Fault> = faults.iter().filter(|fault| wanted == "all" || fault.name == wanted).collect();
    assert!(!chosen.is_empty(), "no fault is called {wanted}");
    let seeds = std::env::var(SEEDS).ok().map_or(MAX_SEEDS, |text| text.parse().expect("a number"));
    let program = build(&plant_copy(&faults));
    let mut missed = Vec::new();
    for fault in &chosen {
        let search_for =
            Search { program: program.clone(), fault: Some(fault.name.clone()), first: 1, seeds, max_failures: 1 };
        let SearchResult { stories, worlds_run: lived, .. } = search(&search_for, chosen.len() == 1);
        match stories.first() {
            Some(story) => println!("{}: found after {lived} seeds\n{story}\n", fault.name),
            None => missed.push(format!("{} ({}): not found in {seeds} seeds", fault.name, fault.what)),
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
