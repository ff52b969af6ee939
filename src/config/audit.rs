//! `[audit]`: the signed heads of the audit chain.

use std::path::PathBuf;

use super::operations::store::Store;
use super::shared::diagnostic::ValueFault;
use super::shared::kind::{self, Kind};
use super::shared::reader::{Section, restart_only};
use super::shared::tree::Value;
use crate::domain::audit::head::{MAX_MARKS, PublicKey};

const KEY_ADVICE: &str = "write it as { file = \"PATH\" }";

/// The settings of the signed heads of the audit chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Audit {
    /// The file of the signing key. `None` for the default place.
    pub key: Option<PathBuf>,
    /// Keys that were used before.
    pub former_keys: Vec<PublicKey>,
    /// The number of unsigned entries after which a head is made. The job `audit-head` makes heads at set times.
    pub head_entries: u64,
    /// The folder where heads are written in addition to the outbox.
    pub heads_folder: Option<PathBuf>,
}

impl Audit {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            key: section.optional(
                restart_only(
                    "key",
                    "The file with the key that signs audit heads (ed25519, PKCS#8 PEM). It is created at the first \
                     start. The default is `<database>.audit-key`, or `data/shiftkeeper.audit-key` with PostgreSQL.",
                ),
                &key_file(),
            ),
            former_keys: section.value(
                restart_only(
                    "former_keys",
                    "Public keys that signed earlier heads, so that `audit verify` still trusts them.",
                ),
                &kind::list(public_key()),
                Vec::new(),
            ),
            head_entries: section.value(
                restart_only(
                    "head_entries",
                    "A signed head is published when this many audit entries are not covered by one. The job \
                         audit-head also publishes heads regularly.",
                ),
                &kind::integer(1..=MAX_MARKS as u64),
                1000,
            ),
            heads_folder: section.optional(
                restart_only(
                    "heads_folder",
                    "A folder that receives each head as a line of JSON, in one file per tenant and day; \
                         relative to this file.",
                ),
                &kind::folder(),
            ),
        }
    }

    /// Returns the path of the signing key.
    pub fn key_file(&self, store: &Store) -> PathBuf {
        self.key.clone().unwrap_or_else(|| match store.url.strip_prefix("sqlite://") {
            Some(path) => PathBuf::from(format!("{path}.audit-key")),
            None => PathBuf::from("data/shiftkeeper.audit-key"),
        })
    }
}

/// A path as `{ file = "PATH" }`. Unlike a secret's, the file need not exist yet.
fn key_file() -> Kind<PathBuf> {
    Kind::from_node(
        "file of a key, as in { file = \"PATH\" }",
        |node| {
            let named = match &node.value {
                Value::Table(table) if table.len() == 1 => table.get("file").map(|entry| &entry.node.value),
                _ => None,
            };
            match named {
                Some(Value::Text(path)) => kind::resolve_path(&node.origin, path).map_err(|fault| vec![fault]),
                _ => Err(vec![ValueFault::new("expects the file of a key").with_suggestion(KEY_ADVICE)]),
            }
        },
        |path| format!("{{ file = {} }}", kind::quoted(&path.display())),
    )
}

fn public_key() -> Kind<PublicKey> {
    let convert = |text: &str| {
        PublicKey::from_base64(text).ok_or_else(|| {
            ValueFault::new("must be a public key").with_suggestion("32 bytes in base64, as `audit key` prints it")
        })
    };
    Kind::from_text("public key", convert, |key| format!("\"{key}\""))
}
