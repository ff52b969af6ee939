//! Holds a file, its manifest and the store against each other: is the file as it was written, does the audit chain still say what it said,
//! does the store give the same rows and the same bytes again, and do the totals follow from the rows.

mod again;
mod file;
mod rows;

use std::path::Path;

use serde::Serialize;

use self::file::FileRows;
use self::rows::Held;
use super::document::{ReportError, Section};
use super::export::sum;
use super::manifest::{Manifest, beside};
use super::provenance::PROGRAM;
use super::tally::SectionTally;
use super::writers::Format;
use crate::domain::audit::Hash;
use crate::domain::words::count;
use crate::store::{AuditFilter, ReadError, Reader, StoredEntry};

/// How a check ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It holds.
    Holds,
    /// It does not.
    Differs,
    /// It cannot be told any more; says why.
    Unknown,
}

/// One check.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Check {
    /// What was checked: `manifest`, `file`, `audit_head`, `audit_entry`, `rows`, `totals`, `same_bytes`.
    pub what: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// In words, one line each; the first differences where there are many.
    pub says: Vec<String>,
}

impl Check {
    fn new(what: &'static str, outcome: Outcome, says: impl Into<String>) -> Self {
        Self { what, outcome, says: vec![says.into()] }
    }

    /// Differs where there is something to say, and holds otherwise.
    fn of(what: &'static str, wrong: Vec<String>, holds: impl Into<String>) -> Self {
        if wrong.is_empty() {
            Self::new(what, Outcome::Holds, holds)
        } else {
            Self { what, outcome: Outcome::Differs, says: wrong }
        }
    }
}

/// All checks of a file.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Verdict {
    /// Nothing differs.
    pub holds: bool,
    /// One by one.
    pub checks: Vec<Check>,
}

/// Why nothing could be checked.
#[derive(thiserror::Error, Debug)]
pub enum VerifyError {
    /// The file or its manifest.
    #[error("{what} cannot be read: {why}")]
    File {
        /// Which.
        what: String,
        /// Why not, and what to do.
        why: String,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] ReadError),
}

impl VerifyError {
    fn file(path: &Path, why: String) -> Self {
        Self::File { what: path.display().to_string(), why }
    }
}

/// The manifest beside a file.
pub fn manifest_of(path: &Path) -> Result<Manifest, VerifyError> {
    let failed = |why: String| VerifyError::file(path, why);
    if !std::fs::exists(path).map_err(|error| failed(error.to_string()))? {
        return Err(failed("there is no such file".to_owned()));
    }
    let place = beside(path);
    let failed = |why: String| VerifyError::file(&place, why);
    let text = std::fs::read_to_string(&place)
        .map_err(|error| failed(format!("{error}; keep the manifest in the folder of its file")))?;
    Manifest::from_json(&text).map_err(failed)
}

/// Checks the file at `path` against its manifest and the store.
pub async fn verify(reader: &Reader, path: &Path) -> Result<Verdict, VerifyError> {
    let manifest = manifest_of(path)?;
    if let Some(why) = manifest.file.format.missing() {
        return Err(VerifyError::file(path, why));
    }
    let file = check_file(path, &manifest)?;
    let sound = file.outcome == Outcome::Holds;
    let mut checks = vec![check_manifest(&manifest), file, check_head(reader, &manifest).await?];
    checks.push(check_entry(reader, path, &manifest).await?);
    checks.extend(check_rows(reader, path, &manifest, sound).await?);
    Ok(Verdict { holds: checks.iter().all(|check| check.outcome != Outcome::Differs), checks })
}

fn check_manifest(manifest: &Manifest) -> Check {
    let (is, said) = (manifest.sum(), &manifest.manifest_sha256);
    let mut wrong = Vec::new();
    if is != *said {
        wrong.push(format!("the SHA-256 of what it says is {is}, and it names {said}"));
    }
    let request = &manifest.request;
    if manifest.program == PROGRAM && manifest.definitions != request.report.definitions(request) {
        wrong.push(format!("its formulas are not those of {PROGRAM}, which it says wrote it"));
    }
    Check::of("manifest", wrong, "it says what it said when it was written")
}

fn check_file(path: &Path, manifest: &Manifest) -> Result<Check, VerifyError> {
    let (bytes, sha256) = sum(path).map_err(|error| VerifyError::file(path, error.to_string()))?;
    let mut wrong = Vec::new();
    if bytes != manifest.file.bytes {
        wrong.push(format!("it has {bytes} bytes, the manifest says {}", manifest.file.bytes));
    }
    if sha256.to_string() != manifest.file.sha256 {
        wrong.push(format!("its SHA-256 is {sha256}, the manifest says {}", manifest.file.sha256));
    }
    Ok(Check::of("file", wrong, format!("{bytes} bytes with SHA-256 {sha256}, as the manifest says")))
}

/// The entry at which the chain ended is still there, with the same hash. Whether the chain holds is `audit verify`'s business.
async fn check_head(reader: &Reader, manifest: &Manifest) -> Result<Check, ReadError> {
    const WHAT: &str = "audit_head";
    let (tenant, said) = (&manifest.request.tenant, &manifest.audit_head);
    if said.seq == 0 {
        return Ok(Check::new(WHAT, Outcome::Holds, "the audit chain was empty when the report was made"));
    }
    let found = reader.audit_entries(tenant, said.seq - 1, 1).await?;
    let hash = |entry: &StoredEntry| {
        Hash::from_slice(&entry.hash).map_or_else(|| "of another length".to_owned(), |hash| hash.to_string())
    };
    Ok(match found.first() {
        Some(entry) if entry.seq == said.seq && hash(entry) == said.hash => {
            Check::new(WHAT, Outcome::Holds, format!("entry {} of the audit chain has the hash that it had", said.seq))
        }
        Some(entry) if entry.seq == said.seq => Check::new(
            WHAT,
            Outcome::Differs,
            format!("entry {} of the audit chain has hash {}, the manifest says {}", said.seq, hash(entry), said.hash),
        ),
        Some(entry) => Check::new(
            WHAT,
            Outcome::Unknown,
            format!("entry {} is not kept any more; the chain begins at {}", said.seq, entry.seq),
        ),
        None => Check::new(
            WHAT,
            Outcome::Differs,
            format!("the audit chain of {tenant} has no entry {}: it was cut, or this is another store", said.seq),
        ),
    })
}

/// Whether the chain names the file. That it does not is no difference: only what the daemon makes is entered there.
async fn check_entry(reader: &Reader, path: &Path, manifest: &Manifest) -> Result<Check, VerifyError> {
    const WHAT: &str = "audit_entry";
    let (_, sha256) = sum(path).map_err(|error| VerifyError::file(path, error.to_string()))?;
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
            return Ok(Check::new(WHAT, Outcome::Holds, says));
        }
        if page.next.is_none() {
            let says =
                "no entry of the audit chain names the file's SHA-256; of files that the command line made none does";
            return Ok(Check::new(WHAT, Outcome::Unknown, says));
        }
        filter.before = page.next;
    }
}

async fn check_rows(reader: &Reader, path: &Path, manifest: &Manifest, sound: bool) -> Result<Vec<Check>, VerifyError> {
    let request = &manifest.request;
    if let Err(why) = request.check() {
        return Ok(vec![Check::new(
            "rows",
            Outcome::Differs,
            format!("what the manifest asks for is no report: {why}"),
        )]);
    }
    let by_rows = match manifest.file.format {
        Format::Csv | Format::Json => true,
        // Binary: where a byte differs there may be no rows to read.
        Format::Parquet => sound,
        Format::Xlsx | Format::Html => false,
    };
    let mut checks = match by_rows.then(|| FileRows::open(path, manifest)).transpose() {
        Err(error) => vec![Check::new("rows", Outcome::Differs, format!("they cannot be read: {error}"))],
        Ok(file) => {
            let mut held = Held::new(file, manifest);
            match request.report.write(request, reader, &mut held).await {
                Ok(()) => held.checks(manifest),
                Err(ReportError::Read(error)) => return Err(error.into()),
                Err(error) => {
                    vec![Check::new("rows", Outcome::Differs, format!("it cannot be read or made again: {error}"))]
                }
            }
        }
    };
    checks.push(again::check(reader, path, manifest).await?);
    Ok(checks)
}

/// What differs between the sections as they are now and as the manifest has them. What went on since is no difference.
fn digests(sections: &[(&'static Section, SectionTally, bool)], manifest: &Manifest, went_on: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    for (section, now, this_went_on) in sections {
        let Some(then) = manifest.sections.iter().find(|tally| tally.name == now.name) else {
            wrong.push(format!("the manifest does not know the section {}", now.name));
            continue;
        };
        let may_differ = *this_went_on || (went_on && section.written.is_none());
        if then.rows != now.rows {
            let (then, now) = (count(then.rows, "row"), count(now.rows, "row"));
            if !may_differ || section.written.is_some() {
                wrong.push(format!("{}: the manifest says {then}, the store gives {now}", section.name));
            }
        } else if then.sha256 != now.sha256 && !may_differ {
            wrong.push(format!(
                "{}: the rows that the store gives have another SHA-256 than the manifest's",
                section.name
            ));
        }
    }
    wrong
}
