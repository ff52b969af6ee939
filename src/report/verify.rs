//! Compares a file, its manifest and the store: whether the file is as it was written, whether the audit chain still
//! agrees, whether the store gives the same rows and bytes again, and whether the totals follow from the rows.

mod check;
mod file;
mod rewrite;
mod row_comparison;

use std::path::Path;

use serde::Serialize;

pub use self::check::{Check, CheckOutcome, VerifyError};

use self::file::FileRows;
use self::row_comparison::RowCheck;
use super::document::ReportError;
use super::export::digest_file;
use super::manifest::{Manifest, path_for};
use super::writers::ReportFormat;
use super::writers::provenance::PROGRAM;
use crate::domain::audit::Hash;
use crate::store::{AuditFilter, ReadError, Reader, StoredEntry};

/// All checks of a file.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Verdict {
    /// Whether nothing differs.
    pub holds: bool,
    /// The checks.
    pub checks: Vec<Check>,
}

/// Reads the manifest beside a file.
pub fn read_manifest(path: &Path) -> Result<Manifest, VerifyError> {
    let failed = |why: String| VerifyError::file(path, why);
    if !std::fs::exists(path).map_err(|error| failed(error.to_string()))? {
        return Err(failed("there is no such file".to_owned()));
    }
    let manifest_file = path_for(path);
    let failed = |why: String| VerifyError::file(&manifest_file, why);
    let text = std::fs::read_to_string(&manifest_file)
        .map_err(|error| failed(format!("{error}; keep the manifest in the folder of its file")))?;
    Manifest::from_json(&text).map_err(failed)
}

/// Checks the file at `path` against its manifest and the store.
pub async fn verify(reader: &Reader, path: &Path) -> Result<Verdict, VerifyError> {
    let manifest = read_manifest(path)?;
    if let Some(why) = manifest.file.format.unavailable_reason() {
        return Err(VerifyError::file(path, why));
    }
    let file = check_file(path, &manifest)?;
    let is_intact = file.outcome == CheckOutcome::Holds;
    let mut checks = vec![check_manifest(&manifest), file, check_head(reader, &manifest).await?];
    checks.push(check_entry(reader, path, &manifest).await?);
    checks.extend(check_rows(reader, path, &manifest, is_intact).await?);
    Ok(Verdict { holds: checks.iter().all(|check| check.outcome != CheckOutcome::Differs), checks })
}

fn check_manifest(manifest: &Manifest) -> Check {
    let (is, stated) = (manifest.compute_sha256(), &manifest.manifest_sha256);
    let mut mismatches = Vec::new();
    if is != *stated {
        mismatches.push(format!("the SHA-256 of what it says is {is}, and it names {stated}"));
    }
    let request = &manifest.request;
    if manifest.program == PROGRAM && manifest.definitions != request.report.definitions(request) {
        mismatches.push(format!("its formulas are not those of {PROGRAM}, which it says wrote it"));
    }
    Check::from_mismatches("manifest", mismatches, "it says what it said when it was written")
}

fn check_file(path: &Path, manifest: &Manifest) -> Result<Check, VerifyError> {
    let (bytes, sha256) = digest_file(path).map_err(|error| VerifyError::file(path, error.to_string()))?;
    let mut mismatches = Vec::new();
    if bytes != manifest.file.bytes {
        mismatches.push(format!("it has {bytes} bytes, the manifest says {}", manifest.file.bytes));
    }
    if sha256.to_string() != manifest.file.sha256 {
        mismatches.push(format!("its SHA-256 is {sha256}, the manifest says {}", manifest.file.sha256));
    }
    Ok(Check::from_mismatches("file", mismatches, format!("{bytes} bytes with SHA-256 {sha256}, as the manifest says")))
}

/// Checks that the last audit entry of that time is still there with the same hash. `audit verify` checks the chain
/// itself.
async fn check_head(reader: &Reader, manifest: &Manifest) -> Result<Check, ReadError> {
    const WHAT: &str = "audit_head";
    let (tenant, stated) = (&manifest.request.tenant, &manifest.audit_head);
    if stated.seq == 0 {
        return Ok(Check::new(WHAT, CheckOutcome::Holds, "the audit chain was empty when the report was made"));
    }
    let found = reader.audit_entries(tenant, stated.seq - 1, 1).await?;
    let hash = |entry: &StoredEntry| {
        Hash::from_slice(&entry.hash).map_or_else(|| "of another length".to_owned(), |hash| hash.to_string())
    };
    Ok(match found.first() {
        Some(entry) if entry.seq == stated.seq && hash(entry) == stated.hash => Check::new(
            WHAT,
            CheckOutcome::Holds,
            format!("entry {} of the audit chain has the hash that it had", stated.seq),
        ),
        Some(entry) if entry.seq == stated.seq => Check::new(
            WHAT,
            CheckOutcome::Differs,
            format!(
                "entry {} of the audit chain has hash {}, the manifest says {}",
                stated.seq,
                hash(entry),
                stated.hash
            ),
        ),
        Some(entry) => Check::new(
            WHAT,
            CheckOutcome::Unknown,
            format!("entry {} is not kept any more; the chain begins at {}", stated.seq, entry.seq),
        ),
        None => Check::new(
            WHAT,
            CheckOutcome::Differs,
            format!("the audit chain of {tenant} has no entry {}: it was cut, or this is another store", stated.seq),
        ),
    })
}

/// Checks whether the audit chain names the file. A missing entry is no difference, since only the daemon's files are
/// entered there.
async fn check_entry(reader: &Reader, path: &Path, manifest: &Manifest) -> Result<Check, VerifyError> {
    const WHAT: &str = "audit_entry";
    let (_, sha256) = digest_file(path).map_err(|error| VerifyError::file(path, error.to_string()))?;
    let mut filter = AuditFilter {
        action: Some("report.completed".to_owned()),
        from: Some(manifest.made_at),
        ..AuditFilter::default()
    };
    loop {
        let page = reader.audit_page(&manifest.request.tenant, &filter, u32::MAX).await?;
        let names_it = |entry: &&StoredEntry| {
            let why: Option<serde_json::Value> = serde_json::from_str(&entry.body).ok();
            why.is_some_and(|body| body["why"]["sha256"] == sha256.to_string())
        };
        if let Some(entry) = page.entries.iter().find(names_it) {
            let says = format!("entry {} of the audit chain names the file's SHA-256", entry.seq);
            return Ok(Check::new(WHAT, CheckOutcome::Holds, says));
        }
        if page.next.is_none() {
            let says =
                "no entry of the audit chain names the file's SHA-256; of files that the command line made none does";
            return Ok(Check::new(WHAT, CheckOutcome::Unknown, says));
        }
        filter.before = page.next;
    }
}

async fn check_rows(
    reader: &Reader,
    path: &Path,
    manifest: &Manifest,
    is_intact: bool,
) -> Result<Vec<Check>, VerifyError> {
    let request = &manifest.request;
    if let Err(why) = request.check() {
        return Ok(vec![Check::new(
            "rows",
            CheckOutcome::Differs,
            format!("the manifest does not describe a report: {why}"),
        )]);
    }
    let by_rows = match manifest.file.format {
        ReportFormat::Csv | ReportFormat::Json => true,
        // In a binary file with changed bytes there may be no rows to read.
        ReportFormat::Parquet => is_intact,
        ReportFormat::Xlsx | ReportFormat::Html => false,
    };
    let mut checks = match by_rows.then(|| FileRows::open(path, manifest)).transpose() {
        Err(error) => vec![Check::new("rows", CheckOutcome::Differs, format!("they cannot be read: {error}"))],
        Ok(file) => {
            let mut comparison = RowCheck::new(file, manifest);
            match request.report.write(request, reader, &mut comparison).await {
                Ok(()) => comparison.checks(manifest),
                Err(ReportError::Read(error)) => return Err(error.into()),
                Err(error) => {
                    vec![Check::new("rows", CheckOutcome::Differs, format!("it cannot be read or made again: {error}"))]
                }
            }
        }
    };
    checks.push(rewrite::check(reader, path, manifest).await?);
    Ok(checks)
}
