//! `[audit]`: the signed heads of the audit chain.

use std::path::{Path, PathBuf};

use super::operations::store::Store;
use super::shared::complaint::{Fault, Origin};
use super::shared::kind::{self, Kind};
use super::shared::reader::{Section, directory_of, restarts};
use super::shared::tree::Value;
use crate::domain::audit::head::{MOST_MARKS, PublicKey};

const KEY_ADVICE: &str = "write it as { file = \"PATH\" }";

/// The signed heads of the audit chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Audit {
    /// The file of the key; `None` for the usual place.
    pub key: Option<PathBuf>,
    /// Keys that signed before.
    pub former_keys: Vec<PublicKey>,
    /// A head is made once so many entries have none; the job `audit-head` makes them by the clock.
    pub head_entries: u64,
    /// Where heads are put beside the outbox.
    pub heads_folder: Option<PathBuf>,
}

impl Audit {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            key: section.optional(
                restarts(
                    "key",
                    "The file of the key that signs audit heads (ed25519, PKCS#8 PEM), made at the first start; without it \
                     `<database>.audit-key`, with PostgreSQL `data/shiftkeeper.audit-key`.",
                ),
                &key_file(),
            ),
            former_keys: section.value(
                restarts("former_keys", "Public keys that signed heads before, so that `audit verify` still trusts those."),
                &kind::list(public_key()),
                Vec::new(),
            ),
            head_entries: section.value(
                restarts("head_entries", "A signed head leaves the host once so many entries have none; the job audit-head makes them by the clock."),
                &kind::integer(1..=MOST_MARKS as u64),
                1000,
            ),
            heads_folder: section.optional(
                restarts("heads_folder", "A folder for heads, relative to this file: a line of JSON each, in a file per tenant and day."),
                &folder(),
            ),
        }
    }

    /// Where the key is.
    pub fn key_file(&self, store: &Store) -> PathBuf {
        self.key.clone().unwrap_or_else(|| match store.url.strip_prefix("sqlite://") {
            Some(path) => PathBuf::from(format!("{path}.audit-key")),
            None => PathBuf::from("data/shiftkeeper.audit-key"),
        })
    }
}

fn shown(path: &Path) -> String {
    toml::Value::String(path.display().to_string()).to_string()
}

fn below(origin: &Origin, path: &str) -> Result<PathBuf, Fault> {
    if path.trim().is_empty() { Err(Fault::new("must not be empty")) } else { Ok(directory_of(origin).join(path)) }
}

/// `{ file = "PATH" }`: like a secret's, but the file need not be there yet.
fn key_file() -> Kind<PathBuf> {
    Kind::whole(
        "file of a key, as in { file = \"PATH\" }",
        |node| {
            let named = match &node.value {
                Value::Table(table) if table.len() == 1 => table.get("file").map(|entry| &entry.node.value),
                _ => None,
            };
            match named {
                Some(Value::Text(path)) => below(&node.origin, path).map_err(|fault| vec![fault]),
                _ => Err(vec![Fault::new("expects the file of a key").advise(KEY_ADVICE)]),
            }
        },
        |path| format!("{{ file = {} }}", shown(path)),
    )
}

fn folder() -> Kind<PathBuf> {
    Kind::whole(
        "folder",
        |node| match &node.value {
            Value::Text(path) => below(&node.origin, path).map_err(|fault| vec![fault]),
            _ => Err(vec![kind::expects("the path of a folder", node)]),
        },
        |path| shown(path),
    )
}

fn public_key() -> Kind<PublicKey> {
    let convert = |text: &str| {
        PublicKey::from_base64(text)
            .ok_or_else(|| Fault::new("must be a public key").advise("32 bytes in base64, as `audit key` prints it"))
    };
    Kind::from_text("public key", convert, |key| format!("\"{key}\""))
}
