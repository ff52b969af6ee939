//! The sample configuration and the reference in the documentation, held to the code.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::shared::tree::{Node, Value, parse};
use super::super::{Config, Environment, described_keys, reference};
use super::{environment, text};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sample() -> String {
    std::fs::read_to_string(root().join("config/shiftkeeper.toml")).expect("the sample is there")
}

/// The sample with every setting that is commented out set.
fn whole_sample() -> String {
    let is_setting =
        |line: &str| line.starts_with('#') && line[1..].starts_with(|c: char| c.is_ascii_lowercase() || c == '[');
    let lines: Vec<_> =
        sample().lines().map(|line| if is_setting(line) { line[1..].to_owned() } else { line.to_owned() }).collect();
    // A password goes with PostgreSQL alone.
    lines
        .join("\n")
        .replace("sqlite://data/shiftkeeper.db", "postgres://shiftkeeper@127.0.0.1/shiftkeeper")
        .replace("https://wfm.example/", "https://127.0.0.1/")
        .replace("allow = []", "allow = [\"127.0.0.1:443\"]")
}

fn secrets() -> Environment {
    environment(&[
        ("SHIFTKEEPER_TOKEN", "0123456789abcdef"),
        ("ACME_CLIENT_SECRET", "x"),
        ("SHIFTKEEPER_DATABASE_PASSWORD", "x"),
        ("WFM_AUTHORIZATION", "Bearer x"),
        ("WFM_WEBHOOK_SECRET", "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"),
        ("WFM_WEBHOOK_SECRET_BEFORE", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"),
    ])
}

/// The paths of the keys that a tree sets, as the reference names them; `known` ends the descent.
fn keys_of(node: &Node, path: &str, known: &BTreeSet<String>, found: &mut BTreeSet<String>) {
    let Value::Table(table) = &node.value else { return };
    for (key, entry) in table {
        // Profiles have names of their own.
        let key = if path == "import.profiles" { "NAME" } else { key };
        let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        match &entry.node.value {
            _ if known.contains(&path) => {
                found.insert(path);
            }
            Value::Table(_) => keys_of(&entry.node, &path, known, found),
            Value::List(nodes) => nodes.iter().for_each(|node| keys_of(node, &format!("{path}[]"), known, found)),
            Value::Text(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => {
                found.insert(path);
            }
        }
    }
}

#[test]
fn the_sample_is_sound_as_it_ships() {
    let file = root().join("config/shiftkeeper.toml");
    let loaded = Config::load(&[file], &secrets(), &[]).expect("sound");
    assert_eq!(loaded.warnings, Vec::<String>::new());
    assert_eq!(loaded.config.tenants[0].base_url.as_str(), "http://127.0.0.1:7070/");
}

#[test]
fn the_sample_is_sound_with_every_key_set() {
    let whole = text(&root().join("config/shiftkeeper.toml").display().to_string(), &whole_sample());
    Config::load_texts(&[whole], &secrets(), &[]).expect("sound");
}

#[test]
fn the_sample_has_every_key_and_explains_it() {
    let known: BTreeSet<_> = described_keys().into_iter().map(|key| key.path).collect();
    let whole = whole_sample();
    let mut found = BTreeSet::new();
    keys_of(&parse(&Arc::from(Path::new("sample")), &whole).root, "", &known, &mut found);
    let missing: Vec<_> = known.difference(&found).filter(|key| !key.starts_with("rules[]")).collect();
    let unknown: Vec<_> = found.difference(&known).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing {missing:?}, unknown {unknown:?}");

    let mut explained = false;
    for line in sample().lines() {
        let is_prose = line.starts_with("# ") && !line.contains("---");
        let is_key = !is_prose && line.contains(" = ");
        assert!(!is_key || explained, "no word is said about: {line}");
        // One comment may stand over neighbouring keys.
        explained = is_prose || (is_key && explained);
    }
}

#[test]
fn commented_settings_show_the_default() {
    let sample = sample();
    for key in described_keys() {
        let name = key.path.rsplit('.').next().unwrap_or_default().to_owned();
        let Some(default) = key.default.filter(|default| !matches!(default.as_str(), "[]" | "{}")) else { continue };
        let lines: Vec<_> = sample
            .lines()
            .filter_map(|line| line.trim_start_matches('#').strip_prefix(&format!("{name} = ")))
            .collect();
        let set =
            lines.contains(&default.as_str()) || sample.lines().any(|line| line.starts_with(&format!("{name} = ")));
        assert!(set, "{}: the sample shows {lines:?}, the default is {default}", key.path);
    }
}

/// The documentation is that of the usual build.
#[test]
fn the_reference_is_that_of_the_code() {
    if cfg!(feature = "parquet") {
        return;
    }
    let written = std::fs::read_to_string(root().join("docs/configuration.md")).unwrap_or_default();
    assert!(written == reference(), "docs/configuration.md is out of date; renew it as its first lines say");
}
