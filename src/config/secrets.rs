//! Where secrets are kept: in an environment variable or in a file, never in the configuration itself.

use std::io::Read;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::complaint::Fault;
use super::environment::Environment;
use super::load::unreadable;
use super::tree::{Node, Value};
use crate::domain::secret::Secret;

/// What the documentation calls a secret's kind.
pub(super) const KIND: &str = "secret: { env = \"NAME\" } or { file = \"PATH\" }";

/// The way out for a secret that is missing or stands in the open.
pub(super) const ADVICE: &str = "write { env = \"NAME\" } or { file = \"PATH\" }";

/// Bytes that a secret may have; a larger file is a mistake.
const LONGEST_SECRET: u64 = 64 * 1024;

/// The secret, and where it is kept (`env NAME`, `file PATH`). A variable of the overlay may hold the secret itself, since it is
/// an environment variable already. Relative paths begin at `directory`.
pub(super) fn resolve(
    node: &Node,
    environment: &Environment,
    directory: &Path,
) -> Result<(Secret, String), Vec<Fault>> {
    let table = match (&node.value, &node.origin) {
        (Value::Table(table), _) => table,
        (Value::Text(text), super::Origin::Environment(name)) => {
            return usable(text).map(|secret| (secret, format!("env {name}"))).map_err(|fault| vec![fault]);
        }
        (Value::Text(_), _) => return Err(vec![Fault::new("a secret must not stand here in clear").advise(ADVICE)]),
        (Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::List(_), _) => {
            return Err(vec![Fault::new(format!("expects a secret, not {}", node.kind())).advise(ADVICE)]);
        }
    };
    let mut faults: Vec<_> = table
        .iter()
        .filter(|(key, _)| !matches!(key.as_str(), "env" | "file"))
        .map(|(_, entry)| Fault { origin: Some(entry.origin.clone()), ..Fault::new("a secret has only env or file") })
        .collect();
    let text_of = |key: &str| match table.get(key).map(|entry| &entry.node.value) {
        Some(Value::Text(text)) => Ok(Some(text)),
        None => Ok(None),
        Some(_) => Err(Fault::new(format!("expects text under {key}"))),
    };
    let resolved = match (text_of("env"), text_of("file")) {
        (Err(fault), _) | (_, Err(fault)) => Err(fault),
        (Ok(Some(_)), Ok(Some(_))) => Err(Fault::new("has both env and file").advise("keep one of them")),
        (Ok(None), Ok(None)) => Err(Fault::new("has neither env nor file").advise(ADVICE)),
        (Ok(Some(name)), Ok(None)) => from_variable(name, environment),
        (Ok(None), Ok(Some(path))) => from_file(path, directory),
    };
    match resolved {
        Ok(found) if faults.is_empty() => Ok(found),
        Ok(_) => Err(faults),
        Err(fault) => {
            faults.push(fault);
            Err(faults)
        }
    }
}

/// The path of the file that the node names.
pub(super) fn file_of(node: &Node) -> Option<&str> {
    let Value::Table(table) = &node.value else { return None };
    match table.get("file").map(|entry| &entry.node.value) {
        Some(Value::Text(path)) => Some(path),
        Some(_) | None => None,
    }
}

/// Whether the node names a file that everybody may read.
pub(super) fn is_open_to_others(node: &Node, directory: &Path) -> bool {
    const READ_BY_OTHERS: u32 = 0o004;
    let file = file_of(node).and_then(|path| std::fs::metadata(directory.join(path)).ok());
    file.is_some_and(|file| file.permissions().mode() & READ_BY_OTHERS != 0)
}

/// Whether the node names a variable that is not set here, or a file that this user cannot read.
pub(super) fn is_kept_elsewhere(node: &Node, environment: &Environment, directory: &Path) -> bool {
    let Value::Table(table) = &node.value else { return false };
    let named = |key: &str| match table.get(key).map(|entry| &entry.node.value) {
        Some(Value::Text(text)) => Some(text.as_str()),
        Some(_) | None => None,
    };
    match (table.len(), named("env"), named("file")) {
        (1, Some(name), None) => environment.get(name).is_none(),
        (1, None, Some(path)) => std::fs::File::open(directory.join(path)).is_err(),
        _ => false,
    }
}

fn from_variable(name: &str, environment: &Environment) -> Result<(Secret, String), Fault> {
    // Most names have an underscore and most secrets that were pasted here by mistake have not: only the former are shown.
    let shown = if name.contains('_') { name } else { "that env names" };
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    if !is_name {
        return Err(Fault::new("env must name an environment variable: capitals, digits and '_'"));
    }
    let Some(text) = environment.get(name) else {
        return Err(
            Fault::new(format!("the environment variable {shown} is not set")).advise("set it, or name another")
        );
    };
    usable(text).map(|secret| (secret, format!("env {name}")))
}

fn from_file(path: &str, directory: &Path) -> Result<(Secret, String), Fault> {
    let mut text = String::new();
    let limit = LONGEST_SECRET + 1;
    std::fs::File::open(directory.join(path))
        .and_then(|file| file.take(limit).read_to_string(&mut text))
        .map_err(|error| unreadable("its file cannot be read", &error))?;
    usable(&text).map(|secret| (secret, format!("file {path}")))
}

/// Trims one line end and refuses what cannot be a secret.
fn usable(text: &str) -> Result<Secret, Fault> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(Fault::new("the secret is empty"));
    }
    if text.len() as u64 > LONGEST_SECRET {
        return Err(Fault::new("the secret is larger than 64 KiB"));
    }
    Ok(Secret::new(text))
}
