//! What stands beside each file: what it was asked for, what it holds, and what the store looked like then.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::document::{AuditHead, Definition, Heading};
use super::provenance::PROGRAM;
use super::request::Request;
use super::tally::SectionTally;
use super::writers::Format;
use crate::domain::audit::Hash;
use crate::domain::time::UtcMicros;

/// The version of the manifest's own shape.
const VERSION: u32 = 1;

/// The manifest of one file.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// The version of this shape: 1.
    pub manifest_version: u32,
    /// The program that wrote the file, with its version.
    pub program: String,
    /// The file.
    pub file: FileFacts,
    /// What was asked for.
    pub request: Request,
    /// What each figure means, by the variant that was asked for.
    pub definitions: Vec<Definition>,
    /// What a reader has to know.
    pub notes: Vec<String>,
    /// When the report was made.
    pub made_at: UtcMicros,
    /// The newest thing that was known.
    pub data_until: Option<UtcMicros>,
    /// Where the tenant's audit chain ended.
    pub audit_head: AuditHead,
    /// What each section of the report held; a CSV holds the one that `file` names.
    pub sections: Vec<SectionTally>,
    /// SHA-256 of the RFC 8785 JSON of everything else here, in hexadecimal digits.
    pub manifest_sha256: String,
}

/// What is known of a file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileFacts {
    /// Its name, without folders.
    pub name: String,
    /// Its format.
    pub format: Format,
    /// The section that it holds, where it holds one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<String>,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
}

impl Manifest {
    /// Of a report with this heading.
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
        manifest.manifest_sha256 = manifest.sum();
        manifest
    }

    /// What `manifest_sha256` is to be.
    pub fn sum(&self) -> String {
        // Every part of it can be written as JSON, and no number in it is anything but finite.
        let mut rest = serde_json::to_value(self).unwrap_or_default();
        if let Some(rest) = rest.as_object_mut() {
            rest.remove("manifestSha256");
        }
        Hash::of_json(&rest).map(|hash| hash.to_string()).unwrap_or_default()
    }

    /// Rows in the file.
    pub fn rows(&self) -> u64 {
        let inside = |tally: &&SectionTally| self.file.section.as_ref().is_none_or(|only| *only == tally.name);
        self.sections.iter().filter(inside).map(|tally| tally.rows).sum()
    }

    /// From the text of one.
    ///
    /// # Errors
    /// It is none, or one of a version that this program does not know.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let manifest: Self = serde_json::from_str(text).map_err(|error| format!("it is no manifest: {error}"))?;
        if manifest.manifest_version != VERSION {
            return Err(format!("it has version {} and this program knows {VERSION}", manifest.manifest_version));
        }
        Ok(manifest)
    }

    /// As it stands in its file.
    pub fn to_json(&self) -> String {
        // Nothing in it can fail to be written.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// Where the manifest of a file is.
pub fn beside(file: &Path) -> PathBuf {
    let mut name = file.file_name().map(OsString::from).unwrap_or_default();
    name.push(".manifest.json");
    file.with_file_name(name)
}
