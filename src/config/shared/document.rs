//! The reference of all keys, `docs/configuration.md`. It is generated from the keys that the sections read, so that it
//! names exactly the keys that exist.

use std::fmt::Write as _;

use super::diagnostic::Origin;
use super::environment::Environment;
use super::reader::{DescribedKey, ReadResults, Section};
use super::settings::ChangeEffect;
use super::tree::Node;

const INTRODUCTION: &str = "\
# Configuration

<!-- Written from the code (src/config/shared/document.rs); a test compares. To renew it:
     cargo run -- check --reference > docs/configuration.md -->

`shiftkeeper check --config FILE` reads a configuration as `run` would and prints every mistake with line and column;
`--show` prints every key in force and where its value comes from. `config/shiftkeeper.toml` is a sample with all keys.

Values are taken from, later over earlier: defaults, files (`--config`, repeatable), the environment, options of the
command line. Tables of two files are laid over each other key by key; elements of `[[…]]` lists by their `id`; other
lists are replaced.

- **Environment.** `SHIFTKEEPER__SERVER__LISTEN` sets `server.listen`: capitals, two underscores for each dot. Elements of
  lists go by their id (with `-` and `.` as `_`): `SHIFTKEEPER__TENANTS__ACME__REQUESTS_PER_MINUTE=50`. Lists are
  separated by commas.
- **Secrets** never stand in a file of the configuration: `{ env = \"NAME\" }` names an environment variable,
  `{ file = \"PATH\" }` a file, relative to the configuration's folder, `{ credential = \"NAME\" }` a file in the folder that
  `CREDENTIALS_DIRECTORY` names: systemd's `LoadCredential=`, or where a container has its secrets. One line end is trimmed. A
  variable of the overlay (`SHIFTKEEPER__TENANTS__ACME__CLIENT_SECRET`) may hold the secret itself.
- **Durations** are text with units: `\"30s\"`, `\"5m\"`, `\"1h30m\"`.
- **Reload.** SIGHUP reads the configuration again. A bad one is refused whole and the old one stays; of a good one, keys
  marked *reload* take effect, and changed keys marked *restart* are named in the log and wait. Tenants come and go so too. A
  changed key of a tenant that says who, where, how fast or how starts that tenant's workers anew, and no other's.
";

/// Returns the text of `docs/configuration.md`, which lists these keys.
pub(in crate::config) fn reference(keys: &[DescribedKey]) -> String {
    let mut page = INTRODUCTION.to_owned();
    let mut current = None;
    for key in keys {
        let section = key.path.rsplit_once('.').map_or("", |(section, _)| section);
        if current.as_deref() != Some(section) {
            let title = if section.is_empty() { "At the top".to_owned() } else { format!("`{}`", heading(section)) };
            let _ = write!(page, "\n## {title}\n\n| key | takes | default | change | |\n|---|---|---|---|---|\n");
            current = Some(section.to_owned());
        }
        page.push_str(&row(key));
    }
    page
}

/// Returns the header of a section in a file: `[tenants.policy]` for `tenants[].policy`, and `[[tenants]]` for a list's
/// own.
fn heading(section: &str) -> String {
    let name = section.replace("[]", "");
    if section.ends_with("[]") { format!("[[{name}]]") } else { format!("[{name}]") }
}

fn row(key: &DescribedKey) -> String {
    let name = key.path.rsplit_once('.').map_or(key.path.as_str(), |(_, name)| name);
    let default = match (&key.default, key.required) {
        (Some(default), _) => format!("`{default}`"),
        (None, true) => "**required**".to_owned(),
        (None, false) => "–".to_owned(),
    };
    let change = match key.change {
        ChangeEffect::Reload => "reload",
        ChangeEffect::Restart => "restart",
    };
    format!("| `{name}` | {} | {default} | {change} | {} |\n", key.kind.replace('|', "\\|"), key.about)
}

/// Returns every key that `read` reads from the whole configuration, by section. A section's own keys come before those of its tables.
pub(in crate::config) fn described_keys(read: impl FnOnce(&mut Section<'_, '_>)) -> Vec<DescribedKey> {
    let environment = Environment::default();
    let mut results = ReadResults::new(&environment);
    results.described_keys = Some(Vec::new());
    let mut section = Section::root(Node::empty_table(Origin::Default), &mut results);
    read(&mut section);
    let keys = results.described_keys.unwrap_or_default();
    let mut sections: Vec<(String, Vec<DescribedKey>)> = Vec::new();
    for key in keys {
        let name = key.path.rsplit_once('.').map_or(String::new(), |(section, _)| section.to_owned());
        match sections.iter_mut().find(|(section, _)| *section == name) {
            Some((_, keys)) => keys.push(key),
            None => sections.push((name, vec![key])),
        }
    }
    sections.into_iter().flat_map(|(_, keys)| keys).collect()
}
