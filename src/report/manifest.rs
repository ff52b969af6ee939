//! The manifest beside each file: the request, the content, and the state of the store at that time.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::document::{AuditHead, Definition, Heading};
use super::request::Request;
use super::tally::SectionTally;
use super::writers::ReportFormat;
use super::writers::provenance::PROGRAM;
use crate::domain::audit::Hash;
use crate::domain::time::UtcMicros;

/// The version of the manifest's format.
const VERSION: u32 = 1;

/// The manifest of one file.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// The version of this format: 1.
    pub manifest_version: u32,
    /// The program that wrote the file, with its version.
    pub program: String,
    /// The file.
    pub file: FileFacts,
    /// The request.
    pub request: Request,
    /// The definition of each figure, in the requested variant.
    pub definitions: Vec<Definition>,
    /// Notes for the reader.
    pub notes: Vec<String>,
    /// The instant at which the report was made.
    pub made_at: UtcMicros,
    /// The instant of the newest data.
    pub data_until: Option<UtcMicros>,
    /// The head of the tenant's audit chain.
    pub audit_head: AuditHead,
    /// The content of each section of the report; a CSV file holds only the one that `file` names.
    pub sections: Vec<SectionTally>,
    /// The SHA-256 of everything else in the manifest as RFC 8785 JSON, in hexadecimal digits.
    pub manifest_sha256: String,
}

/// The facts about a file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileFacts {
    /// The file name, without folders.
    pub name: String,
    /// The format.
    pub format: ReportFormat,
    /// The section in the file, if it holds only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<String>,
    /// The size in bytes.
    pub bytes: u64,
    /// The SHA-256 in hexadecimal digits.
    pub sha256: String,
}

impl Manifest {
    /// Creates the manifest of a file of the report with this heading.
    pub fn new(heading: Heading, sections: Vec<SectionTally>, file: FileFacts) -> Self {
        let mut manifest = Self {
            manifest_version: VERSION,
            program: PROGRAM.to_owned(),
            file,
            request: heading.request,
            definitions: heading.definitions,
            notes: heading.notes,
            made_at: heading.made_at,
            data_until: heading.data_until,
            audit_head: heading.audit_head,
            sections,
            manifest_sha256: String::new(),
        };
        manifest.manifest_sha256 = manifest.compute_sha256();
        manifest
    }

    /// Computes the value of `manifest_sha256`.
    pub fn compute_sha256(&self) -> String {
        // Serializing cannot fail: every part has a JSON form, and all numbers are finite.
        let mut rest = serde_json::to_value(self).unwrap_or_default();
        if let Some(rest) = rest.as_object_mut() {
            rest.remove("manifestSha256");
        }
        Hash::of_json(&rest).map(|hash| hash.to_string()).unwrap_or_default()
    }

    /// Returns the number of rows in the file.
    pub fn rows(&self) -> u64 {
        let is_in_file = |tally: &&SectionTally| self.file.section.as_ref().is_none_or(|only| *only == tally.name);
        self.sections.iter().filter(is_in_file).map(|tally| tally.rows).sum()
    }

    /// Parses a manifest.
    ///
    /// # Errors
    /// Returns an error if the text is not a manifest or has an unknown version.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let manifest: Self = serde_json::from_str(text).map_err(|error| format!("it is not a manifest: {error}"))?;
        if manifest.manifest_version != VERSION {
            return Err(format!("it has version {} and this program knows {VERSION}", manifest.manifest_version));
        }
        Ok(manifest)
    }

    /// Returns the manifest as it stands in its file.
    pub fn to_json(&self) -> String {
        // Serializing a manifest cannot fail.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// Returns the path of a file's manifest.
pub fn path_for(file: &Path) -> PathBuf {
    let mut name = file.file_name().map(OsString::from).unwrap_or_default();
    name.push(".manifest.json");
    file.with_file_name(name)
}
