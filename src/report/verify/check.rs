//! The result of one check of a file, and the error if nothing could be checked.

use std::path::Path;

use serde::Serialize;

use crate::store::ReadError;

/// The result of a check.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckOutcome {
    /// The check passed.
    Holds,
    /// A difference was found.
    Differs,
    /// The check is no longer possible, for the reason given.
    Unknown,
}

/// One check.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Check {
    /// The name of the check: `manifest`, `file`, `audit_head`, `audit_entry`, `row_comparison`, `totals` or
    /// `same_bytes`.
    pub what: &'static str,
    /// The result.
    pub outcome: CheckOutcome,
    /// The explanation, a line each; only the first differences if there are many.
    pub says: Vec<String>,
}

impl Check {
    pub(super) fn new(what: &'static str, outcome: CheckOutcome, says: impl Into<String>) -> Self {
        Self { what, outcome, says: vec![says.into()] }
    }

    /// Creates a check that differs if there are mismatches and holds otherwise.
    pub(super) fn from_mismatches(what: &'static str, mismatches: Vec<String>, holds: impl Into<String>) -> Self {
        if mismatches.is_empty() {
            Self::new(what, CheckOutcome::Holds, holds)
        } else {
            Self { what, outcome: CheckOutcome::Differs, says: mismatches }
        }
    }
}

/// The reason why nothing could be checked.
#[derive(thiserror::Error, Debug)]
pub enum VerifyError {
    /// The file or its manifest could not be read.
    #[error("{what} cannot be read: {why}")]
    File {
        /// The file or manifest.
        what: String,
        /// The reason, and what to do.
        why: String,
    },
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] ReadError),
}

impl VerifyError {
    pub(super) fn file(path: &Path, why: String) -> Self {
        Self::File { what: path.display().to_string(), why }
    }
}
