//! One entry of an audit chain as a line of an export.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::json;

use crate::domain::ids::AgentId;
use crate::store::StoredEntry;

/// The agents by their subjects.
pub(super) type AgentIdsBySubject = HashMap<String, AgentId>;

/// Formats an entry as JSON, with the agent's id if `names` is given.
pub(super) fn entry_line(entry: &StoredEntry, names: Option<&AgentIdsBySubject>) -> String {
    // Print the hash as it is, even if a forged one does not have 32 bytes.
    let hash = entry.hash.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    let mut line = json!({ "seq": entry.seq, "hash": hash, "body": entry.body });
    if let Some(names) = names {
        line["agent"] = json!(entry.columns.subject.as_ref().and_then(|subject| names.get(subject)));
    }
    line.to_string()
}
