//! The rules of `docs/architecture.md` that can be checked on the text of the project: imports, capabilities, vocabulary
//! and links.

#![expect(clippy::expect_used, reason = "a test that cannot read the sources must fail")]

mod imports;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use imports::{Import, Imports, cycle};

/// The modules of this crate that each layer may import. `domain::x` is a part of a layer.
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

/// No folder of a layer has more entries than this. A module and its folder are one entry; `mod.rs` is none.
const MOST_ENTRIES: usize = 15;

/// Its files are served under the names that they have here, and import each other by them.
const SERVED: &str = "http/console/assets";

/// Words that were replaced, each by a term of `docs/glossary.md`: no page, help text or document says them.
const REPLACED: [(&str, &str); 34] = [
    ("out of plan", "out of adherence"),
    ("against the plan", "adherence"),
    ("watch mode", "monitoring"),
    ("only watch", "monitoring"),
    ("only watches", "monitoring"),
    ("watches only", "monitoring"),
    ("ask a person", "requires approval"),
    ("asks a person", "requires approval"),
    ("its text", "definition"),
    ("tried on history", "backtest"),
    ("held back", "held"),
    ("reversed by", "reverted by agent"),
    ("took back", "reverted by agent"),
    ("odd", "anomaly"),
    ("the status of the change", "status"),
    ("the status of the changes", "status"),
    ("how it stands", "status"),
    ("of which days", "date range"),
    ("that day included", "date range"),
    ("excuse…", "approve an exception"),
    ("excused", "exception"),
    ("is excused", "exception"),
    ("excuses", "approve an exception"),
    ("call off", "cancel"),
    ("called off", "cancel"),
    ("calls off", "cancel"),
    ("take back", "undo"),
    ("taken back", "undo"),
    ("takes back", "undo"),
    ("throw away", "discard"),
    ("thrown away", "discard"),
    ("moot", "obsolete"),
    ("purse", "budget kind"),
    ("live picture", "live view"),
];

/// More of them, which pages of the console do not say.
const REPLACED_ON_PAGES: [(&str, &str); 13] = [
    ("in plan", "in adherence"),
    ("outcome", "result"),
    ("picture", "live view"),
    ("seen", "last observed"),
    ("sight", "observation"),
    ("stands", "status"),
    ("stay", "state interval"),
    ("told", "notified"),
    ("took", "duration"),
    ("usual", "expected range"),
    ("reversed", "reverted by agent"),
    ("whoever", "filter"),
    ("whom", "audience"),
];

/// What the tags of a page show or say.
const LABELS: [&str; 4] = ["aria-label=\"", "data-label=\"", "placeholder=\"", " title=\""];

fn sources() -> BTreeMap<PathBuf, String> {
    below("src", "rs")
}

/// The files below a folder of the checkout whose names end so, by their paths in it.
fn below(folder: &str, ending: &str) -> BTreeMap<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the source folder is readable") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == ending) {
                let text = fs::read_to_string(&path).expect("a source file is text");
                found.insert(path.strip_prefix(&root).expect("below the folder").to_owned(), text);
            }
        }
    }
    found
}

fn layer(path: &Path) -> String {
    let first = path.components().next().expect("a path has a first part");
    first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// The code of a file without its comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(number, line)| (number + 1, line.split("//").next().unwrap_or_default()))
}

/// All imports between the files of `src`.
fn all_imports() -> BTreeSet<Import> {
    let sources = sources();
    Imports::read(sources.iter().map(|(path, text)| (path.as_path(), text.as_str()))).between_files()
}

#[test]
fn every_layer_imports_only_what_it_may() {
    let mut broken = Vec::new();
    for Import { from, path, .. } in all_imports() {
        let layer = from.split("::").next().unwrap_or_default();
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == layer) else {
            assert!(["main", ""].contains(&layer), "{from} is in no layer");
            continue;
        };
        let may = |rule: &&str| *rule == "*" || path == **rule || path.starts_with(&format!("{rule}::"));
        if !allowed.iter().any(may) {
            broken.push(format!("{from} imports {path}"));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    if let Some(circle) = cycle(&all_imports()) {
        let steps: Vec<String> =
            circle.iter().map(|import| format!("{} imports {} ({})", import.from, import.path, import.to)).collect();
        panic!("a circle of imports:\n{}", steps.join("\n"));
    }
}

#[test]
fn imports_are_read_from_the_code() {
    let files = [
        ("lib.rs", "pub mod a; pub mod b;"),
        ("a/mod.rs", "mod inner; pub use inner::Thing; use crate::b::{self as other, Kind}; fn f() { other::g() }"),
        ("a/inner.rs", "pub struct Thing; #[cfg(test)] mod tests { use crate::b::ForTests; }"),
        (
            "b.rs",
            "#[cfg(test)] mod tests; pub enum Kind {} pub fn g() -> crate::a::Thing { vec![super::a::Thing].pop() }",
        ),
        ("b/tests.rs", "use crate::a::f;"),
    ];
    let imports = Imports::read(files.map(|(path, text)| (Path::new(path), text))).between_files();
    let found: Vec<_> = imports.iter().map(|import| (&*import.from, &*import.to, &*import.path)).collect();
    let expected = [("a", "b", "b::Kind"), ("a", "b", "b::g"), ("b", "a::inner", "a::Thing")];
    assert_eq!(found, expected);
    assert_eq!(cycle(&imports), None, "a re-export is no import");
    let back = Import { from: "a::inner".to_owned(), to: "a".to_owned(), path: "a::f".to_owned() };
    let circle = cycle(&imports.into_iter().chain([back]).collect()).expect("a circle");
    assert_eq!(circle.len(), 3, "{circle:?}");
}

#[test]
fn the_domain_is_pure() {
    for (path, text) in sources().iter().filter(|(path, _)| layer(path) == "domain") {
        for (number, line) in code(text) {
            for name in NOT_IN_DOMAIN {
                let used = line.contains(&format!("{name}::")) || line.contains(&format!("use {name}"));
                assert!(!used, "{}:{number}: the domain uses {name}", path.display());
            }
        }
    }
}

#[test]
fn every_module_begins_with_its_purpose_and_stays_readable() {
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

/// Where the dialects of the platform may be named: their adapters, the simulator, the configuration, what builds the
/// adapters from it, and the commands that take a dialect as an option.
const KNOW_DIALECTS: [&str; 6] = ["platform/", "sim/", "config/", "app/mod.rs", "app/settings.rs", "cli/operations/"];

#[test]
fn only_adapters_simulator_and_configuration_know_the_dialects_of_the_platform() {
    for (path, text) in sources() {
        let shown = path.to_string_lossy();
        if KNOW_DIALECTS.iter().any(|place| shown.starts_with(place)) || path == Path::new("lib.rs") {
            continue;
        }
        for (number, line) in code(&text) {
            let names = line.to_lowercase().contains("incontact") || line.contains("Dialect::");
            assert!(!names, "{shown}:{number}: the dialect of the platform is named here");
        }
    }
}

#[test]
fn only_the_store_speaks_sql_and_only_retry_names_backoff() {
    for (path, text) in sources() {
        let shown = path.to_string_lossy();
        for (number, line) in code(&text) {
            assert!(layer(&path) == "store" || !line.contains("sqlx::"), "{shown}:{number}: SQL outside the store");
            assert!(shown.ends_with("platform/retry.rs") || !line.contains("backoff::"), "{shown}:{number}: backoff");
        }
    }
}

/// The modules, files and folders in a folder, each by its name without `.rs`.
fn entries(folder: &Path) -> BTreeSet<String> {
    let names = fs::read_dir(folder).expect("a folder that can be read").map(|entry| {
        let name = entry.expect("a readable entry").file_name().to_string_lossy().into_owned();
        name.trim_end_matches(".rs").to_owned()
    });
    names.filter(|name| name != "mod").collect()
}

/// The cells of a row of a table in a document.
fn cells(row: &str) -> Vec<&str> {
    row.trim_matches('|').split('|').map(str::trim).collect()
}

/// The names that a cell of a table has in code.
fn names(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn the_layers_hold_the_capabilities_of_the_table() {
    let document = below("docs", "md").remove(Path::new("architecture.md")).expect("the document");
    let mut rows = document.lines().skip_while(|line| !line.starts_with("| capability |")).map(cells);
    let heading = rows.next().expect("the table of capabilities");
    let rows: Vec<_> = rows.skip(1).take_while(|row| row.len() == heading.len()).collect();
    let (shared, capabilities) = rows.split_last().expect("rows");
    for (column, layer) in heading.iter().enumerate().skip(2) {
        let layer = names(layer).next().expect("the path of a layer");
        let mut listed: BTreeSet<String> = names(shared[column]).map(str::to_owned).collect();
        for row in capabilities {
            for name in names(row[column]) {
                assert_eq!(name, row[0], "{layer}: a capability has one name");
                listed.insert(name.to_owned());
            }
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(layer);
        assert_eq!(entries(&folder), listed, "src/{layer} and its column of docs/architecture.md differ");
        let mut folders = vec![folder];
        while let Some(folder) = folders.pop() {
            let inside = entries(&folder);
            assert!(inside.len() <= MOST_ENTRIES, "{} has {} entries: group them", folder.display(), inside.len());
            let deeper = inside.iter().map(|name| folder.join(name));
            folders.extend(deeper.filter(|path| path.is_dir() && !path.ends_with(SERVED)));
        }
    }
}

/// A text without what stands between two marks, and without the marks.
fn without(text: &str, open: &str, close: &str) -> String {
    let (mut kept, mut rest) = (String::new(), text);
    while let Some((before, inside)) = rest.split_once(open) {
        kept.push_str(before);
        kept.push(' ');
        rest = inside.split_once(close).map_or("", |(_, after)| after);
    }
    kept + rest
}

/// What people see of a line of a template.
fn on_page(line: &str) -> String {
    let markup = without(&without(line, "{{", "}}"), "{%", "%}");
    let labels = LABELS.iter().flat_map(|label| markup.split(label).skip(1)).filter_map(|rest| rest.split('"').next());
    let labels: Vec<&str> = labels.collect();
    format!("{} | {}", without(&markup, "<", ">"), labels.join(" | "))
}

/// The prose of a document, by line: no code.
fn prose(text: &str) -> Vec<(usize, String)> {
    let mut is_code = false;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.starts_with("```") {
            is_code = !is_code;
        } else if !is_code && !line.starts_with("    ") {
            lines.push((index + 1, without(line, "`", "`")));
        }
    }
    lines
}

/// The lines of a program up to its tests, comments left out; those that become help texts are none.
fn spoken(text: &str) -> Vec<(usize, String)> {
    let program = text.split("#[cfg(test)]").next().unwrap_or_default();
    let is_comment = |line: &str| {
        (line.starts_with("//") && !line.starts_with("/// ")) || line.starts_with("/*") || line.starts_with('*')
    };
    let lines = program.lines().enumerate().filter(|(_, line)| !is_comment(line.trim_start()));
    lines.map(|(index, line)| (index + 1, line.to_owned())).collect()
}

/// Whether a line says a phrase as words of their own.
fn says(line: &str, phrase: &str) -> bool {
    let in_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    line.match_indices(phrase).any(|(at, _)| {
        let (before, after) = (line.get(..at).unwrap_or_default(), line.get(at + phrase.len()..).unwrap_or_default());
        !before.ends_with(in_word) && !after.starts_with(in_word)
    })
}

/// Where lines say a word that was replaced.
fn said(place: &Path, lines: &[(usize, String)], words: &[(&str, &str)]) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in lines {
        let line = line.to_lowercase();
        for (phrase, term) in words.iter().filter(|(phrase, _)| says(&line, phrase)) {
            found.push(format!("{}:{number}: say {term:?} for {phrase:?}", place.display()));
        }
    }
    found
}

#[test]
fn pages_help_texts_and_documents_use_the_terms_of_the_glossary() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let pages = "src/http/console/pages";
    for (path, text) in below(pages, "html") {
        let lines: Vec<_> = text.lines().enumerate().map(|(index, line)| (index + 1, on_page(line))).collect();
        let place = Path::new(pages).join(path);
        found.extend(said(&place, &lines, &REPLACED));
        found.extend(said(&place, &lines, &REPLACED_ON_PAGES));
    }
    for page in ["README.md", "CONTRIBUTING.md"] {
        let text = fs::read_to_string(root.join(page)).expect("a page");
        found.extend(said(Path::new(page), &prose(&text), &REPLACED));
    }
    for (path, text) in below("docs", "md") {
        found.extend(said(&Path::new("docs").join(path), &prose(&text), &REPLACED));
    }
    // A single word may be a name in a program; phrases are not.
    let phrases: Vec<_> = REPLACED.into_iter().filter(|(phrase, _)| phrase.contains(' ')).collect();
    for (folder, ending) in [("src/cli", "rs"), ("src/http/console/assets", "js")] {
        for (path, text) in below(folder, ending) {
            if path.file_name().is_some_and(|name| name != "tests.rs") {
                found.extend(said(&Path::new(folder).join(path), &spoken(&text), &phrases));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_term_that_replaced_a_word_is_in_the_glossary() {
    let glossary = below("docs", "md").remove(Path::new("glossary.md")).expect("a glossary");
    for (phrase, term) in REPLACED.iter().chain(&REPLACED_ON_PAGES) {
        assert!(
            glossary.lines().any(|line| line.starts_with(&format!("| {term} |"))),
            "{phrase:?}: {term:?} is missing"
        );
    }
    let shown = on_page(
        r#"<p class="odd" title="{{ told }}" aria-label="In plan">{% if odd > 1 %}Held <b>back</b>{% endif %}</p>"#,
    );
    assert!(says(&shown.to_lowercase(), "in plan") && !says(&shown, "odd") && !says(&shown, "told"), "{shown}");
    assert!(says("an odd one", "odd") && !says("an oddity", "odd") && !says("is_odd", "odd"));
}

#[test]
fn the_contributors_page_names_what_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("CONTRIBUTING.md")).expect("a page");
    let code: String = ["src", "tests"].into_iter().flat_map(|folder| below(folder, "rs").into_values()).collect();
    let mut missing = Vec::new();
    for (number, line) in page.lines().enumerate().filter(|(_, line)| line.starts_with('|')) {
        for name in names(line).filter(|name| name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | ':' | '!')))
        {
            let parts = name.trim_end_matches('!').split("::");
            missing.extend(parts.filter(|part| !says(&code, part)).map(|part| format!("line {}: {part}", number + 1)));
        }
    }
    assert!(missing.is_empty(), "CONTRIBUTING.md names what the code does not have: {}", missing.join(", "));
}

/// Where the links of a page lead: `](target)` in its prose.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (_, line) in prose(text) {
        found.extend(line.split("](").skip(1).filter_map(|rest| rest.split(')').next()).map(str::to_owned));
    }
    found
}

/// The anchor of a heading, as GitHub and mdBook name it.
fn anchor(heading: &str) -> String {
    let title = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    title.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_')).collect()
}

#[test]
fn the_summary_of_the_docs_lists_every_page_once() {
    let mut pages = below("docs", "md");
    let summary = pages.remove(Path::new("SUMMARY.md")).expect("docs/SUMMARY.md");
    let mut listed: Vec<PathBuf> = links(&summary).into_iter().map(PathBuf::from).collect();
    listed.sort();
    let written: Vec<PathBuf> = pages.into_keys().collect();
    assert_eq!(listed, written, "docs/SUMMARY.md (left) and the pages of docs/ (right) differ");
}

#[test]
fn every_link_of_the_docs_leads_to_a_file_and_a_heading() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages: Vec<PathBuf> = below("docs", "md").into_keys().map(|page| Path::new("docs").join(page)).collect();
    pages.extend(["README.md", "CONTRIBUTING.md"].map(PathBuf::from));
    let mut broken = Vec::new();
    for page in &pages {
        let text = fs::read_to_string(root.join(page)).expect("a page");
        for link in links(&text).into_iter().filter(|link| !link.contains("://")) {
            let (file, heading) = link.split_once('#').unwrap_or((&link, ""));
            let target = root.join(if file.is_empty() { page.clone() } else { page.with_file_name(file) });
            let has_heading = |text: String| text.lines().any(|line| line.starts_with('#') && anchor(line) == heading);
            if !target.exists() || !(heading.is_empty() || fs::read_to_string(&target).is_ok_and(has_heading)) {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert_eq!(anchor("## A folder for `schedules`: what is kept"), "a-folder-for-schedules-what-is-kept");
}
