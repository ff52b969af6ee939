//! What can be read off the templates and files without a browser: headings, labels, ids, and that nothing runs or is fetched
//! that is not a file of ours.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Attributes that run something.
const HANDLER_PREFIX: &str = "on";

/// The files below a folder, by their paths in it.
fn read_folder(name: &str) -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/console").join(name);
    let mut found = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the folder is readable") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(&root).expect("below the folder").to_string_lossy().into_owned();
                found.insert(name, std::fs::read_to_string(&path).expect("text"));
            }
        }
    }
    found
}

/// The markup with the templates' own tags taken out: what is written becomes `x`, what decides becomes nothing, comments go.
fn markup(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(['{']) {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let (close, stands_for) = match rest.get(..2) {
            Some("{{") => ("}}", "x"),
            Some("{%") => ("%}", ""),
            Some("{#") => ("#}", ""),
            _ => {
                out.push('{');
                rest = &rest[1..];
                continue;
            }
        };
        let end = rest.find(close).expect("a tag that is opened is closed");
        out.push_str(stands_for);
        rest = &rest[end + 2..];
    }
    out.push_str(rest);
    out
}

/// One element's start: its name and its attributes.
#[derive(Debug)]
struct Tag {
    name: String,
    attributes: BTreeMap<String, String>,
    /// What follows it up to the next tag.
    text: String,
}

fn tags(markup: &str) -> Vec<Tag> {
    let mut found = Vec::new();
    let mut rest = markup;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        let mut quoted = false;
        let end = rest
            .char_indices()
            .find(|(_, c)| {
                quoted ^= *c == '"';
                *c == '>' && !quoted
            })
            .map(|(at, _)| at)
            .expect("a tag is closed");
        let (inner, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        if inner.starts_with(['/', '!']) {
            continue;
        }
        let name: String = inner.chars().take_while(char::is_ascii_alphanumeric).collect();
        let attributes = attributes(&inner[name.len()..]);
        let text = after.split('<').next().unwrap_or_default().trim().to_owned();
        found.push(Tag { name, attributes, text });
    }
    found
}

fn attributes(mut text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    loop {
        text = text.trim_start_matches([' ', '\n', '/']);
        let name: String = text.chars().take_while(|c| !c.is_whitespace() && *c != '=').collect();
        if name.is_empty() {
            return found;
        }
        text = &text[name.len()..];
        let value = match text.strip_prefix("=\"") {
            Some(value) => {
                let (value, after) = value.split_once('"').expect("a value is closed");
                text = after;
                value.to_owned()
            }
            None => String::new(),
        };
        found.insert(name, value);
    }
}

/// A page with what it extends and includes.
fn expanded(name: &str, files: &BTreeMap<String, String>) -> String {
    let text = &files[name];
    let mut all = String::new();
    for (marker, _) in text.match_indices("{% extends \"") {
        let base = text[marker + 12..].split('"').next().expect("a name");
        all.push_str(&markup(&files[base]));
    }
    all.push_str(&markup(text));
    let included: BTreeSet<&str> =
        text.match_indices("{% include \"").map(|(at, _)| text[at + 12..].split('"').next().expect("a name")).collect();
    for part in included {
        all.push_str(&expanded(part, files));
    }
    all
}

fn pages(files: &BTreeMap<String, String>) -> Vec<(&str, Vec<Tag>)> {
    let is_page = |name: &&String| files[*name].contains("{% extends");
    files.keys().filter(is_page).map(|name| (name.as_str(), tags(&expanded(name, files)))).collect()
}

#[test]
fn every_page_has_one_heading_of_the_first_rank_and_a_title() {
    let files = read_folder("pages");
    let pages = pages(&files);
    assert!(pages.len() > 10, "the pages were not found");
    for (page, tags) in pages {
        let count = |name: &str| tags.iter().filter(|tag| tag.name == name).count();
        assert_eq!((count("h1"), count("title"), count("main")), (1, 1, 1), "{page}");
    }
}

#[test]
fn nothing_runs_and_nothing_is_fetched_but_files_of_ours() {
    for (file, text) in read_folder("pages") {
        for tag in tags(&markup(&text)) {
            assert!(!["style", "iframe", "object", "embed", "base"].contains(&tag.name.as_str()), "{file}: {tag:?}");
            if tag.name == "script" {
                assert!(tag.attributes.contains_key("src") && tag.text.is_empty(), "{file}: {tag:?}");
            }
            for (name, value) in &tag.attributes {
                assert!(name != "style" && !name.starts_with(HANDLER_PREFIX), "{file}: {tag:?}");
                assert!(!value.contains("//") && !value.contains("javascript:"), "{file}: {tag:?}");
            }
        }
        assert!(!text.contains("|safe"), "{file}: everything is escaped");
    }
    for (file, text) in read_folder("assets") {
        for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"] {
            assert!(!text.contains(word), "{file}: {word} makes markup or code of text");
        }
        let named = text.replace("http://www.w3.org/2000/svg", "");
        assert!(!named.contains("http://") && !named.contains("https://"), "{file}: an address outside");
    }
}

#[test]
fn every_field_has_a_label_and_every_id_is_there_once() {
    let files = read_folder("pages");
    for (page, tags) in pages(&files) {
        let mut ids = BTreeSet::new();
        for tag in &tags {
            if let Some(id) = tag.attributes.get("id") {
                assert!(ids.insert(id.as_str()), "{page}: two elements are #{id}");
            }
        }
        let labels: BTreeSet<&str> = tags
            .iter()
            .filter(|tag| tag.name == "label")
            .filter_map(|tag| tag.attributes.get("for").map(String::as_str))
            .collect();
        for label in &labels {
            assert!(ids.contains(label), "{page}: a label for #{label}, which is not there");
        }
        for tag in tags.iter().filter(|tag| ["input", "select", "textarea"].contains(&tag.name.as_str())) {
            let hidden = tag.attributes.get("type").is_some_and(|kind| kind == "hidden");
            let named = tag.attributes.contains_key("aria-label");
            let labelled = tag.attributes.get("id").is_some_and(|id| labels.contains(id.as_str()));
            assert!(hidden || named || labelled, "{page}: {tag:?} has no label");
        }
        for tag in tags.iter().filter(|tag| tag.name == "svg") {
            let words = ["aria-label", "aria-hidden"].iter().any(|name| tag.attributes.contains_key(*name));
            assert!(words, "{page}: a drawing without words");
        }
        for tag in tags.iter().filter(|tag| tag.name == "img") {
            assert!(tag.attributes.contains_key("alt"), "{page}: a picture without words");
        }
    }
}

#[test]
fn every_file_that_a_template_or_module_names_is_there() {
    let assets = read_folder("assets");
    for (file, text) in read_folder("pages") {
        for (at, _) in text.match_indices("console::asset(\"") {
            let name = text[at + 16..].split('"').next().expect("a name");
            assert!(assets.contains_key(name), "{file} names {name}");
        }
    }
    for (file, text) in
        assets.iter().filter(|(name, _)| std::path::Path::new(name).extension().is_some_and(|ending| ending == "js"))
    {
        assert!(text.starts_with("// @ts-check"), "{file} is not checked");
        for (at, _) in text.match_indices("'./") {
            let name = text[at + 3..].split('\'').next().expect("a name");
            assert!(assets.contains_key(name), "{file} imports {name}");
        }
    }
}

/// A page that says how often it is to be drawn anew and loads nothing that does so would stand still.
#[test]
fn a_page_that_is_to_be_drawn_anew_loads_a_module_that_does_so() {
    let modules = read_folder("assets");
    let mut checked = 0;
    for (page, text) in read_folder("pages").iter().filter(|(_, text)| text.contains("data-refresh=")) {
        let loaded = text.split("asset(\"").skip(1).filter_map(|rest| rest.split('"').next());
        let refreshes = loaded.filter_map(|name| modules.get(name)).any(|module| module.contains("goOnRefreshing();"));
        assert!(refreshes, "{page} is never drawn anew");
        checked += 1;
    }
    assert!(checked > 10, "{checked}");
}
