//! Writes the report again and compares its bytes with the file's. This detects changes outside the rows, in a
//! workbook, page, formula or note.

use std::fs::File;
use std::path::Path;

use super::check::{Check, CheckOutcome, VerifyError};
use crate::report::document::{Heading, ReportError, WriteError};
use crate::report::export::{digest_file, fill};
use crate::report::manifest::Manifest;
use crate::report::tally::Progress;
use crate::report::writers::open_writer;
use crate::report::writers::provenance::PROGRAM;
use crate::store::Reader;

const WHAT: &str = "same_bytes";

pub(super) async fn check(reader: &Reader, path: &Path, manifest: &Manifest) -> Result<Check, VerifyError> {
    let unknown = |why: String| Ok(Check::new(WHAT, CheckOutcome::Unknown, why));
    if manifest.program != PROGRAM {
        return unknown(format!("it was written by {}; {PROGRAM} may write it in another way", manifest.program));
    }
    match rewrite(reader, manifest).await {
        Ok(None) => unknown(
            "the store gives other rows than the manifest counts, so that the bytes cannot be the same".to_owned(),
        ),
        Ok(Some(again)) => {
            let (_, is) = digest_file(path).map_err(|error| VerifyError::file(path, error.to_string()))?;
            let wrong = (again != is.to_string()).then(|| "made again from the store it has other bytes".to_owned());
            Ok(Check::from_mismatches(
                WHAT,
                wrong.into_iter().collect(),
                "made again from the store it has the same bytes",
            ))
        }
        Err(ReportError::Read(error)) => Err(error.into()),
        Err(error @ (ReportError::Write(_) | ReportError::Refused(_))) => {
            unknown(format!("it cannot be written again: {error}"))
        }
    }
}

/// Returns the SHA-256 of the file as it is written now, or `None` if the rows are not those that the manifest
/// counts.
async fn rewrite(reader: &Reader, manifest: &Manifest) -> Result<Option<String>, ReportError> {
    let request = &manifest.request;
    let heading = Heading {
        request: request.clone(),
        title: request.report.title(),
        definitions: request.report.definitions(request),
        notes: manifest.notes.clone(),
        data_until: manifest.data_until,
        made_at: manifest.made_at,
        audit_head: manifest.audit_head.clone(),
    };
    let folder = tempfile::tempdir().map_err(WriteError::Io)?;
    let target = folder.path().join("again");
    let file = File::create(&target).map_err(WriteError::Io)?;
    let mut out = open_writer(manifest.file.format, &heading, file, folder.path(), u64::MAX)?;
    let tallies = fill(reader, request, manifest.file.section.as_deref(), &mut *out, &Progress::default()).await?;
    drop(out);
    if tallies != manifest.sections {
        return Ok(None);
    }
    Ok(Some(digest_file(&target).map_err(WriteError::Io)?.1.to_string()))
}
