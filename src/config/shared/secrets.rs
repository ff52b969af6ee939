//! Where secrets are kept: in an environment variable, in a file, or in a credential of the service manager; never in the
//! configuration itself.

use std::io::Read;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::complaint::Fault;
use super::environment::Environment;
use super::kind;
use super::load::unreadable;
use super::tree::{Node, Value};
use crate::domain::access::secret::Secret;

/// What the documentation calls a secret's kind.
pub(in crate::config) const KIND: &str = "secret: { env = \"NAME\" }, { file = \"PATH\" } or { credential = \"NAME\" }";

/// The way out for a secret that is missing or stands in the open.
pub(in crate::config) const ADVICE: &str = "write { env = \"NAME\" }, { file = \"PATH\" } or { credential = \"NAME\" }";

/// The folder of the credentials that the service manager gives to this process (systemd's `LoadCredential`); where secrets are
/// mounted as files, as in a container, it may be set to their folder.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// The keys that say where a secret is kept.
const PLACES: [&str; 3] = ["env", "file", "credential"];

/// Bytes that a secret may have; a larger file is a mistake.
const LONGEST_SECRET: u64 = 64 * 1024;

/// The secret, and where it is kept (`env NAME`, `file PATH`, `credential NAME`). A variable of the overlay may hold the secret itself, since it is
/// an environment variable already. Relative paths begin at `directory`.
pub(in crate::config) fn resolve(
    node: &Node,
    environment: &Environment,
    directory: &Path,
) -> Result<(Secret, String), Vec<Fault>> {
    let table = match (&node.value, &node.origin) {
        (Value::Table(table), _) => table,
        (Value::Text(text), crate::config::Origin::Environment(name)) => {
            return usable(text).map(|secret| (secret, format!("env {name}"))).map_err(|fault| vec![fault]);
        }
        (Value::Text(_), _) => return Err(vec![Fault::new("a secret must not stand here in clear").advise(ADVICE)]),
        (Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::List(_), _) => {
            return Err(vec![Fault::new(format!("expects a secret, not {}", node.kind())).advise(ADVICE)]);
        }
    };
    let mut faults: Vec<_> = table
        .iter()
        .filter(|(key, _)| !PLACES.contains(&key.as_str()))
        .map(|(_, entry)| Fault {
            origin: Some(entry.origin.clone()),
            ..Fault::new("a secret has only env, file or credential")
        })
        .collect();
    let text_of = |key: &str| match table.get(key).map(|entry| &entry.node.value) {
        Some(Value::Text(text)) => Ok(Some(text)),
        None => Ok(None),
        Some(_) => Err(Fault::new(format!("expects text under {key}"))),
    };
    let named: Result<Vec<_>, Fault> =
        PLACES.iter().filter_map(|place| Some(text_of(place).transpose()?.map(|text| (*place, text)))).collect();
    let resolved = named.and_then(|named| match named.as_slice() {
        [("env", name)] => from_variable(name, environment),
        [("file", path)] => from_file(path, directory),
        [(_, name)] => from_credential(name, environment),
        [] => Err(Fault::new("has neither env nor file nor credential").advise(ADVICE)),
        [(one, _), (other, _), ..] => Err(Fault::new(format!("has both {one} and {other}")).advise("keep one of them")),
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

/// The path of the file that the node names.
pub(in crate::config) fn file_of(node: &Node) -> Option<&str> {
    let Value::Table(table) = &node.value else { return None };
    match table.get("file").map(|entry| &entry.node.value) {
        Some(Value::Text(path)) => Some(path),
        Some(_) | None => None,
    }
}

/// Whether the node names a file that everybody may read.
pub(in crate::config) fn is_open_to_others(node: &Node, directory: &Path) -> bool {
    const READ_BY_OTHERS: u32 = 0o004;
    let file = file_of(node).and_then(|path| std::fs::metadata(directory.join(path)).ok());
    file.is_some_and(|file| file.permissions().mode() & READ_BY_OTHERS != 0)
}

/// Whether the node names a variable that is not set here, or a file that this user cannot read.
pub(in crate::config) fn is_kept_elsewhere(node: &Node, environment: &Environment, directory: &Path) -> bool {
    let Value::Table(table) = &node.value else { return false };
    let named = |key: &str| match table.get(key).map(|entry| &entry.node.value) {
        Some(Value::Text(text)) => Some(text.as_str()),
        Some(_) | None => None,
    };
    let is_closed = |path: &Path| std::fs::File::open(path).is_err();
    match (table.len(), PLACES.map(named)) {
        (1, [Some(name), None, None]) => environment.get(name).is_none(),
        (1, [None, Some(path), None]) => is_closed(&directory.join(path)),
        (1, [None, None, Some(name)]) => {
            environment.get(CREDENTIALS).is_none_or(|folder| is_closed(&Path::new(folder).join(name)))
        }
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

fn from_credential(name: &str, environment: &Environment) -> Result<(Secret, String), Fault> {
    if !kind::is_id(name) {
        return Err(Fault::new("credential must be a name: letters, digits, '-', '_' and '.'"));
    }
    let Some(folder) = environment.get(CREDENTIALS) else {
        let fault = Fault::new(format!("{CREDENTIALS} is not set, so no credential is at hand"));
        return Err(fault.advise("give it by LoadCredential= in the unit, or name an environment variable or a file"));
    };
    let (secret, _) = from_file(name, Path::new(folder))?;
    Ok((secret, format!("credential {name}")))
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
