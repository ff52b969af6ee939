//! `shiftkeeper audit export --folder`: the trail as a folder that an auditor can check offline: entries, signed heads, a manifest, and
//! a script that holds them against each other and shares no code with the daemon.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;
use serde_json::{Map, json};
use sha2::{Digest as _, Sha256};

use super::{Names, line};
use crate::cli::shared::exit::Exit;
use crate::cli::shared::talk::Failure;
use crate::clock::RealTime;
use crate::domain::audit::Hash;
use crate::domain::audit::head::{PublicKey, SignedHead};
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::store::{PAGE_LIMIT, Reader};

/// The script that checks the folder.
const SCRIPT: &str = include_str!("verify.py");

const ENTRIES: &str = "entries.jsonl";
const HEADS: &str = "heads.jsonl";
const VERIFIER: &str = "verify.py";
const MANIFEST: &str = "manifest.json";

/// What is written.
pub(super) struct Wanted<'a> {
    pub(super) tenant: &'a TenantId,
    /// The first entry's number, and the last's.
    pub(super) span: (u64, u64),
    /// Agents by their subjects, where the lines are to name them.
    pub(super) names: Option<&'a Names>,
    /// Keys that heads are signed with, as this host knows them.
    pub(super) keys: &'a [PublicKey],
}

/// What was written; its JSON shape is that of the manifest.
#[derive(Serialize, Debug)]
pub(super) struct Manifest {
    tenant: TenantId,
    made_at: UtcMicros,
    version: &'static str,
    /// The first entry in it.
    from: u64,
    /// How many entries.
    pub(super) entries: u64,
    /// How many signed heads.
    pub(super) heads: u64,
    /// In base64.
    keys: Vec<String>,
    /// Size and SHA-256 by file.
    files: Map<String, serde_json::Value>,
    /// Over the RFC 8785 JSON of everything else here.
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

/// Writes the folder, which must be new or empty. It holds either all of it or no manifest.
pub(super) async fn write(reader: &Reader, wanted: &Wanted<'_>, folder: &Path) -> anyhow::Result<Manifest> {
    prepare(folder)?;
    let mut files = Map::new();
    let mut entries = Sum::create(folder, ENTRIES)?;
    let (mut first, mut count, mut newest) = (None, 0, wanted.span.0 - 1);
    loop {
        let page = reader.audit_entries(wanted.tenant, newest, PAGE_LIMIT).await?;
        let Some(reached) = page.last().map(|entry| entry.seq) else { break };
        for entry in page.iter().filter(|entry| entry.seq <= wanted.span.1) {
            entries.line(&line(entry, wanted.names))?;
            first.get_or_insert(entry.seq);
            count += 1;
        }
        newest = reached.min(wanted.span.1);
        if reached >= wanted.span.1 {
            break;
        }
    }
    entries.finish(&mut files)?;
    let from = first.unwrap_or(wanted.span.0);
    let heads = write_heads(reader, wanted.tenant, (from, newest), folder, &mut files).await?;
    let mut script = Sum::create(folder, VERIFIER)?;
    script.write(SCRIPT.as_bytes())?;
    script.finish(&mut files)?;
    let mut manifest = Manifest {
        tenant: wanted.tenant.clone(),
        made_at: RealTime::now(),
        version: env!("CARGO_PKG_VERSION"),
        from,
        entries: count,
        heads,
        keys: wanted.keys.iter().map(ToString::to_string).collect(),
        files,
        sha256: None,
    };
    manifest.sha256 = Some(Hash::of_json(&manifest)?.to_string());
    let mut file = Sum::create(folder, MANIFEST)?;
    file.line(&serde_json::to_string_pretty(&manifest)?)?;
    file.finish(&mut Map::new())?;
    Ok(manifest)
}

fn prepare(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    let mut inside = fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    if inside.next().is_some() {
        let words = format!(
            "{} is not empty: name a new folder, so that nothing of another export is taken for this one",
            folder.display()
        );
        return Err(Failure::because(Exit::Usage, words));
    }
    Ok(())
}

/// The heads that speak of entries of the span: from the one that the first entry links to up to the first that reaches its end.
async fn write_heads(
    reader: &Reader,
    tenant: &TenantId,
    (from, to): (u64, u64),
    folder: &Path,
    files: &mut Map<String, serde_json::Value>,
) -> anyhow::Result<u64> {
    let mut heads = Sum::create(folder, HEADS)?;
    let (mut after, mut count) = (from.saturating_sub(2), 0);
    loop {
        let page = reader.audit_heads(tenant, after, PAGE_LIMIT).await?;
        let Some(last) = page.last().map(|head| head.seq) else { break };
        // One that is none, as a forger left it, is for `audit verify` to name.
        for head in &page {
            if let Some(signed) = &head.signed {
                heads.line(&SignedHead::to_value(signed).to_string())?;
                count += 1;
            }
            // It speaks of the last entries too.
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

/// A file that is hashed as it is written.
struct Sum {
    name: &'static str,
    path: PathBuf,
    file: BufWriter<File>,
    digest: Sha256,
    bytes: u64,
}

impl Sum {
    fn create(folder: &Path, name: &'static str) -> anyhow::Result<Self> {
        let path = folder.join(name);
        let file = File::create_new(&path).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(Self { name, path, file: BufWriter::new(file), digest: Sha256::new(), bytes: 0 })
    }

    fn line(&mut self, text: &str) -> anyhow::Result<()> {
        self.write(text.as_bytes())?;
        self.write(b"\n")
    }

    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes).with_context(|| format!("writing {}", self.path.display()))
    }

    /// On the disk for good.
    fn finish(self, files: &mut Map<String, serde_json::Value>) -> anyhow::Result<()> {
        let of = || format!("writing {}", self.path.display());
        let file = self.file.into_inner().map_err(std::io::IntoInnerError::into_error).with_context(of)?;
        file.sync_all().with_context(of)?;
        let sha256 = Hash(self.digest.finalize().into()).to_string();
        files.insert(self.name.to_owned(), json!({ "bytes": self.bytes, "sha256": sha256 }));
        Ok(())
    }
}
