//! Where secrets are kept: in an environment variable, a file or a credential of the service manager, and never in the
//! configuration itself.

use std::io::Read;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::diagnostic::{Origin, ValueFault};
use super::environment::Environment;
use super::kind;
use super::tree::{Node, Value};
use crate::domain::access::secret::Secret;

/// The documentation's name for this kind of value.
pub(in crate::config) const KIND: &str = "secret: { env = \"NAME\" }, { file = \"PATH\" } or { credential = \"NAME\" }";

/// The suggestion for a secret that is missing or written in the configuration.
pub(in crate::config) const ADVICE: &str = "write { env = \"NAME\" }, { file = \"PATH\" } or { credential = \"NAME\" }";

/// The variable with the folder of the credentials that the service manager provides (systemd's `LoadCredential`).
/// Where secrets are mounted as files, as in a container, it may be set to their folder.
const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";

/// The keys that tell where a secret is kept.
const SOURCES: [&str; 3] = ["env", "file", "credential"];

/// The maximum size of a secret, in bytes. A larger file is a mistake.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// Returns the secret and where it is kept (`env NAME`, `file PATH`, `credential NAME`).
///
/// A variable that sets the key may contain the secret itself, since it is already an environment variable. Relative
/// paths start at `directory`.
pub(in crate::config) fn resolve(
    node: &Node,
    environment: &Environment,
    directory: &Path,
) -> Result<(Secret, String), Vec<ValueFault>> {
    let table = match (&node.value, &node.origin) {
        (Value::Table(table), _) => table,
        (Value::Text(text), Origin::Environment(name)) => {
            return checked(text).map(|secret| (secret, format!("env {name}"))).map_err(|fault| vec![fault]);
        }
        (Value::Text(_), _) => {
            return Err(vec![
                ValueFault::new("a secret must not be written here in plain text").with_suggestion(ADVICE),
            ]);
        }
        (Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::List(_), _) => {
            return Err(vec![
                ValueFault::new(format!("expects a secret, not {}", node.kind())).with_suggestion(ADVICE),
            ]);
        }
    };
    let mut faults: Vec<_> = table
        .iter()
        .filter(|(key, _)| !SOURCES.contains(&key.as_str()))
        .map(|(_, entry)| ValueFault {
            origin: Some(entry.origin.clone()),
            ..ValueFault::new("a secret has only env, file or credential")
        })
        .collect();
    let text_of = |key: &str| match table.get(key).map(|entry| &entry.node.value) {
        Some(Value::Text(text)) => Ok(Some(text)),
        None => Ok(None),
        Some(_) => Err(ValueFault::new(format!("expects text under {key}"))),
    };
    let named: Result<Vec<_>, ValueFault> =
        SOURCES.iter().filter_map(|place| Some(text_of(place).transpose()?.map(|text| (*place, text)))).collect();
    let resolved = named.and_then(|named| match named.as_slice() {
        [("env", name)] => from_variable(name, environment),
        [("file", path)] => from_file(path, directory),
        [(_, name)] => from_credential(name, environment),
        [] => Err(ValueFault::new("has neither env nor file nor credential").with_suggestion(ADVICE)),
        [(one, _), (other, _), ..] => {
            Err(ValueFault::new(format!("has both {one} and {other}")).with_suggestion("keep one of them"))
        }
    });
    match resolved {
        Ok(found) if faults.is_empty() => Ok(found),
        Ok(_) => Err(faults),
        Err(fault) => {
            faults.push(fault);
            Err(faults)
        }
    }
}

/// Returns the path of the file that the node names.
pub(in crate::config) fn file_of(node: &Node) -> Option<&str> {
    text_under(node, "file")
}

/// Returns the text under a key of a table.
fn text_under<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    let Value::Table(table) = &node.value else { return None };
    match &table.get(key)?.node.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// Returns whether the node names a file that everybody may read.
pub(in crate::config) fn is_world_readable(node: &Node, directory: &Path) -> bool {
    const READ_BY_OTHERS: u32 = 0o004;
    let file = file_of(node).and_then(|path| std::fs::metadata(directory.join(path)).ok());
    file.is_some_and(|file| file.permissions().mode() & READ_BY_OTHERS != 0)
}

/// Returns whether the node names a variable that is not set here, or a file that this user cannot read.
pub(in crate::config) fn is_external(node: &Node, environment: &Environment, directory: &Path) -> bool {
    let Value::Table(table) = &node.value else { return false };
    let is_closed = |path: &Path| std::fs::File::open(path).is_err();
    match (table.len(), SOURCES.map(|key| text_under(node, key))) {
        (1, [Some(name), None, None]) => environment.get(name).is_none(),
        (1, [None, Some(path), None]) => is_closed(&directory.join(path)),
        (1, [None, None, Some(name)]) => {
            environment.get(CREDENTIALS_VARIABLE).is_none_or(|folder| is_closed(&Path::new(folder).join(name)))
        }
        _ => false,
    }
}

fn from_variable(name: &str, environment: &Environment) -> Result<(Secret, String), ValueFault> {
    // Most names contain an underscore, and most secrets pasted here by mistake do not. So only texts with one are
    // shown.
    let label = if name.contains('_') { name } else { "that env names" };
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    if !is_name {
        return Err(ValueFault::new("env must name an environment variable: capitals, digits and '_'"));
    }
    let Some(text) = environment.get(name) else {
        return Err(ValueFault::new(format!("the environment variable {label} is not set"))
            .with_suggestion("set it, or name another"));
    };
    checked(text).map(|secret| (secret, format!("env {name}")))
}

fn from_file(path: &str, directory: &Path) -> Result<(Secret, String), ValueFault> {
    let mut text = String::new();
    let limit = MAX_SECRET_BYTES + 1;
    std::fs::File::open(directory.join(path))
        .and_then(|file| file.take(limit).read_to_string(&mut text))
        .map_err(|error| ValueFault::unreadable("its file cannot be read", &error))?;
    checked(&text).map(|secret| (secret, format!("file {path}")))
}

fn from_credential(name: &str, environment: &Environment) -> Result<(Secret, String), ValueFault> {
    if !kind::is_id(name) {
        return Err(ValueFault::new("credential must be a name: letters, digits, '-', '_' and '.'"));
    }
    let Some(folder) = environment.get(CREDENTIALS_VARIABLE) else {
        let fault = ValueFault::new(format!("{CREDENTIALS_VARIABLE} is not set, so there are no credentials"));
        return Err(
            fault.with_suggestion("give it by LoadCredential= in the unit, or name an environment variable or a file")
        );
    };
    let (secret, _) = from_file(name, Path::new(folder))?;
    Ok((secret, format!("credential {name}")))
}

/// Removes one line ending and refuses texts that cannot be a secret.
fn checked(text: &str) -> Result<Secret, ValueFault> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(ValueFault::new("the secret is empty"));
    }
    if text.len() as u64 > MAX_SECRET_BYTES {
        return Err(ValueFault::new("the secret is larger than 64 KiB"));
    }
    Ok(Secret::new(text))
}
