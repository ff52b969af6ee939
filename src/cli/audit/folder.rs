//! `shiftkeeper audit export --folder`: the audit log as a folder that an auditor can check offline, with entries,
//! signed heads, a manifest, and a checking script that shares no code with the daemon.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;
use serde_json::{Map, json};
use sha2::{Digest as _, Sha256};

use super::entry_line::{AgentIdsBySubject, entry_line};
use crate::cli::shared::exit::{CommandFailure, Exit};
use crate::clock::RealTime;
use crate::domain::audit::Hash;
use crate::domain::audit::head::{PublicKey, SignedHead};
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::store::{PAGE_LIMIT, Reader};

/// The script that checks the folder.
const SCRIPT: &str = include_str!("verify.py");

const ENTRIES_FILE: &str = "entries.jsonl";
const HEADS_FILE: &str = "heads.jsonl";
const VERIFIER_FILE: &str = "verify.py";
const MANIFEST_FILE: &str = "manifest.json";

/// The content of an export.
pub(super) struct FolderExport<'a> {
    pub(super) tenant: &'a TenantId,
    /// The numbers of the first and the last entry.
    pub(super) seq_range: (u64, u64),
    /// The agents by their subjects, if the lines are to name them.
    pub(super) agent_ids: Option<&'a AgentIdsBySubject>,
    /// The keys that sign heads, as known on this host.
    pub(super) keys: &'a [PublicKey],
}

/// The manifest of the folder, in its JSON format.
#[derive(Serialize, Debug)]
pub(super) struct Manifest {
    tenant: TenantId,
    made_at: UtcMicros,
    version: &'static str,
    /// The number of the first entry.
    from: u64,
    /// The number of entries.
    pub(super) entries: u64,
    /// The number of signed heads.
    pub(super) heads: u64,
    /// The public keys in base64.
    keys: Vec<String>,
    /// The size and SHA-256 of each file.
    files: Map<String, serde_json::Value>,
    /// The SHA-256 of everything else here as RFC 8785 JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

/// Writes the folder, which must be new or empty. If writing fails, the folder has no manifest.
pub(super) async fn write(reader: &Reader, export: &FolderExport<'_>, folder: &Path) -> anyhow::Result<Manifest> {
    prepare(folder)?;
    let mut files = Map::new();
    let mut entries = HashedFile::create(folder, ENTRIES_FILE)?;
    let (mut first, mut count, mut newest) = (None, 0, export.seq_range.0 - 1);
    loop {
        let page = reader.audit_entries(export.tenant, newest, PAGE_LIMIT).await?;
        let Some(page_end) = page.last().map(|entry| entry.seq) else { break };
        for entry in page.iter().filter(|entry| entry.seq <= export.seq_range.1) {
            entries.write_line(&entry_line(entry, export.agent_ids))?;
            first.get_or_insert(entry.seq);
            count += 1;
        }
        newest = page_end.min(export.seq_range.1);
        if page_end >= export.seq_range.1 {
            break;
        }
    }
    entries.finish(&mut files)?;
    let from = first.unwrap_or(export.seq_range.0);
    let heads = write_heads(reader, export.tenant, (from, newest), folder, &mut files).await?;
    let mut script = HashedFile::create(folder, VERIFIER_FILE)?;
    script.write(SCRIPT.as_bytes())?;
    script.finish(&mut files)?;
    let mut manifest = Manifest {
        tenant: export.tenant.clone(),
        made_at: RealTime::now(),
        version: env!("CARGO_PKG_VERSION"),
        from,
        entries: count,
        heads,
        keys: export.keys.iter().map(ToString::to_string).collect(),
        files,
        sha256: None,
    };
    manifest.sha256 = Some(Hash::of_json(&manifest)?.to_string());
    let mut file = HashedFile::create(folder, MANIFEST_FILE)?;
    file.write_line(&serde_json::to_string_pretty(&manifest)?)?;
    file.finish(&mut Map::new())?;
    Ok(manifest)
}

fn prepare(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("the folder {} cannot be created", folder.display()))?;
    let mut inside = fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    if inside.next().is_some() {
        let message = format!(
            "{} is not empty: name a new folder, so that files of another export are not mixed with this one",
            folder.display()
        );
        return Err(CommandFailure::with_exit(Exit::Usage, message));
    }
    Ok(())
}

/// Writes the heads about the exported entries: from the one that the first entry links to, to the first that covers
/// the last entry.
async fn write_heads(
    reader: &Reader,
    tenant: &TenantId,
    (from, to): (u64, u64),
    folder: &Path,
    files: &mut Map<String, serde_json::Value>,
) -> anyhow::Result<u64> {
    let mut heads = HashedFile::create(folder, HEADS_FILE)?;
    let (mut after, mut count) = (from.saturating_sub(2), 0);
    loop {
        let page = reader.audit_heads(tenant, after, PAGE_LIMIT).await?;
        let Some(last) = page.last().map(|head| head.seq) else { break };
        // `audit verify` reports heads that are forged.
        for head in &page {
            if let Some(signed) = &head.signed {
                heads.write_line(&SignedHead::to_value(signed).to_string())?;
                count += 1;
            }
            // This head covers the last entries too.
            if head.seq >= to {
                heads.finish(files)?;
                return Ok(count);
            }
        }
        after = last;
    }
    heads.finish(files)?;
    Ok(count)
}

/// A file that is hashed while it is written.
struct HashedFile {
    name: &'static str,
    path: PathBuf,
    file: BufWriter<File>,
    digest: Sha256,
    bytes: u64,
}

impl HashedFile {
    fn create(folder: &Path, name: &'static str) -> anyhow::Result<Self> {
        let path = folder.join(name);
        let file = File::create_new(&path).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(Self { name, path, file: BufWriter::new(file), digest: Sha256::new(), bytes: 0 })
    }

    fn write_line(&mut self, text: &str) -> anyhow::Result<()> {
        self.write(text.as_bytes())?;
        self.write(b"\n")
    }

    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes).with_context(|| format!("{} cannot be written", self.path.display()))
    }

    /// Syncs the file to the disk and adds it to `files`.
    fn finish(self, files: &mut Map<String, serde_json::Value>) -> anyhow::Result<()> {
        let of = || format!("{} cannot be written", self.path.display());
        let file = self.file.into_inner().map_err(std::io::IntoInnerError::into_error).with_context(of)?;
        file.sync_all().with_context(of)?;
        let sha256 = Hash(self.digest.finalize().into()).to_string();
        files.insert(self.name.to_owned(), json!({ "bytes": self.bytes, "sha256": sha256 }));
        Ok(())
    }
}
