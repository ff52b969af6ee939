//! The import rule of the rooms (see `docs/architecture.md`), and the house rules that can be read off the text.

#![expect(clippy::expect_used, reason = "a test that cannot read the sources must fail")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What each room may import of ours. `domain::x` names a part of a room.
const MAY_IMPORT: [(&str, &[&str]); 11] = [
    ("domain", &["domain"]),
    ("clock", &["domain::time"]),
    ("config", &["config", "domain"]),
    ("platform", &["platform", "domain", "clock"]),
    ("store", &["store", "domain", "clock"]),
    ("report", &["report", "domain", "store"]),
    ("engine", &["engine", "domain", "clock", "platform", "store"]),
    ("http", &["http", "domain", "clock", "store", "report", "engine"]),
    ("sim", &["sim", "domain::ids", "domain::time", "clock"]),
    ("app", &["*"]),
    ("cli", &["*"]),
];

const NOT_IN_DOMAIN: [&str; 5] = ["tokio", "sqlx", "axum", "reqwest", "tracing"];

/// No file grows beyond this; near 400 is the aim.
const MOST_LINES: usize = 600;

fn sources() -> BTreeMap<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the source folder is readable") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source file is text");
                found.insert(path.strip_prefix(&root).expect("below src").to_owned(), text);
            }
        }
    }
    found
}

fn room(path: &Path) -> String {
    let first = path.components().next().expect("a path has a first part");
    first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// The code of a file without its comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(number, line)| (number + 1, line.split("//").next().unwrap_or_default()))
}

/// The paths that stand behind `crate::` in a line, as `domain::time::UtcMicros` or `domain` (before a brace).
fn imports(line: &str) -> impl Iterator<Item = String> {
    line.split("crate::").skip(1).map(|rest| {
        let path: String = rest.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | ':')).collect();
        path.trim_end_matches(':').to_owned()
    })
}

#[test]
fn every_room_imports_only_what_it_may() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let name = room(&path);
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(room, _)| *room == name) else {
            assert!(["main", "lib"].contains(&name.as_str()), "{} is in no room", path.display());
            continue;
        };
        for (number, line) in code(&text) {
            for import in imports(line) {
                let fits = |rule: &&str| *rule == "*" || import == **rule || import.starts_with(&format!("{rule}::"));
                if !allowed.iter().any(fits) {
                    broken.push(format!("{}:{number}: {name} imports {import}", path.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_domain_is_pure() {
    for (path, text) in sources().iter().filter(|(path, _)| room(path) == "domain") {
        for (number, line) in code(text) {
            for name in NOT_IN_DOMAIN {
                let used = line.contains(&format!("{name}::")) || line.contains(&format!("use {name}"));
                assert!(!used, "{}:{number}: the domain uses {name}", path.display());
            }
        }
    }
}

#[test]
fn every_module_opens_with_what_it_is_for_and_stays_readable() {
    for (path, text) in sources() {
        let shown = path.display();
        assert!(text.starts_with("//!"), "{shown} does not open with its purpose");
        let lines = text.lines().count();
        assert!(lines <= MOST_LINES, "{shown} has {lines} lines: split it");
        for part in path.components() {
            let part = part.as_os_str().to_string_lossy();
            assert!(!part.contains("util") && !part.contains("helper"), "{shown} has a name that says nothing");
        }
    }
}

#[test]
fn only_the_store_speaks_sql_and_only_retry_names_backoff() {
    for (path, text) in sources() {
        let shown = path.to_string_lossy();
        for (number, line) in code(&text) {
            assert!(room(&path) == "store" || !line.contains("sqlx::"), "{shown}:{number}: SQL outside the store");
            assert!(shown.ends_with("platform/retry.rs") || !line.contains("backoff::"), "{shown}:{number}: backoff");
        }
    }
}
