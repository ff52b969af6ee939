//! Errors and warnings about a file, written so that its author can correct it: line, column, value, reason and remedy.
//!
//! Messages must not contain agents' names or control characters.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::wording::count_with_noun;

/// The largest number of characters of a value that a message repeats.
const MAX_EXCERPT_CHARS: usize = 60;

/// The largest number of errors that are listed; further ones are only counted.
pub(super) const MAX_LISTED: usize = 1_000;

/// An error or warning about an imported file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImportDiagnostic {
    /// The sheet of a workbook; null for other files and for the whole workbook.
    #[serde(default)]
    pub sheet: Option<String>,
    /// The number of the line, or of the row of a sheet, from 1; null for the whole file.
    pub line: Option<u64>,
    /// The column of a table or the property of a calendar event; null for the whole line.
    pub column: Option<String>,
    /// The beginning of the faulty value, without control characters; null if there is none.
    pub value: Option<String>,
    /// What is wrong and how to correct it.
    pub reason: String,
}

impl ImportDiagnostic {
    /// Creates a message about the whole file.
    pub(super) fn for_file(reason: impl Into<String>) -> Self {
        Self { sheet: None, line: None, column: None, value: None, reason: reason.into() }
    }

    /// Creates a message about a line.
    pub(super) fn for_line(line: u64, reason: impl Into<String>) -> Self {
        Self { line: Some(line), ..Self::for_file(reason) }
    }

    /// Returns this message about a sheet of a workbook.
    pub(super) fn on_sheet(self, sheet: Option<&str>) -> Self {
        Self { sheet: sheet.map(excerpt), ..self }
    }

    /// Returns this message with the value that was found.
    pub(super) fn with_value(self, value: &str) -> Self {
        Self { value: Some(excerpt(value)), ..self }
    }

    /// Creates a message about one column or property of a line.
    pub(super) fn for_column(line: u64, column: &str, reason: impl Into<String>) -> Self {
        Self { column: Some(column.to_owned()), ..Self::for_line(line, reason) }
    }

    /// Creates a message about a value, which it repeats.
    pub(super) fn for_value(line: u64, column: &str, value: &str, reason: impl Into<String>) -> Self {
        Self::for_column(line, column, reason).with_value(value)
    }
}

impl fmt::Display for ImportDiagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = if let Some(sheet) = &self.sheet {
            write!(f, "sheet \"{sheet}\"{}", if self.line.is_some() { ", " } else { ": " })?;
            "row"
        } else {
            "line"
        };
        match (self.line, &self.column) {
            (Some(number), Some(column)) => write!(f, "{line} {number}, column {column}: ")?,
            (Some(number), None) => write!(f, "{line} {number}: ")?,
            (None, Some(column)) => write!(f, "column {column}: ")?,
            (None, None) => {}
        }
        if let Some(value) = &self.value {
            write!(f, "\"{value}\" ")?;
        }
        f.write_str(&self.reason)
    }
}

/// Returns the beginning of a value with control characters replaced, safe for a terminal.
fn excerpt(value: &str) -> String {
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut text: String = value.chars().take(MAX_EXCERPT_CHARS).map(plain).collect();
    if value.chars().nth(MAX_EXCERPT_CHARS).is_some() {
        text.push('…');
    }
    text
}

/// The errors of a file that was not imported.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the file has {}, nothing of it was imported", count_with_noun(*.faults, "fault"))]
pub struct ScheduleImportError {
    /// The first thousand faults, by line.
    pub diagnostics: Vec<ImportDiagnostic>,
    /// The total number of errors.
    pub faults: usize,
}

impl ScheduleImportError {
    /// Creates an error with a single reason.
    pub(super) fn single(complaint: ImportDiagnostic) -> Self {
        Self { diagnostics: vec![complaint], faults: 1 }
    }
}

/// Collects messages in any order and keeps the first [`MAX_LISTED`] by line, so that memory stays bounded however many
/// there are.
#[derive(Default)]
pub(super) struct DiagnosticCollector {
    diagnostics: Vec<ImportDiagnostic>,
    count: usize,
}

impl DiagnosticCollector {
    pub(super) fn push(&mut self, complaint: ImportDiagnostic) {
        self.count += 1;
        self.diagnostics.push(complaint);
        if self.diagnostics.len() >= 2 * MAX_LISTED {
            self.sort_and_truncate();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn sort_and_truncate(&mut self) {
        self.diagnostics.sort_by(|left, right| (&left.sheet, left.line).cmp(&(&right.sheet, right.line)));
        self.diagnostics.truncate(MAX_LISTED);
    }

    /// Returns the messages as the error of the import.
    pub(super) fn into_error(mut self) -> ScheduleImportError {
        self.sort_and_truncate();
        ScheduleImportError { diagnostics: self.diagnostics, faults: self.count }
    }

    /// Returns the warnings by line. If some are left out, a last one gives their number.
    pub(super) fn into_warnings(mut self) -> Vec<ImportDiagnostic> {
        self.sort_and_truncate();
        let omitted = self.count - self.diagnostics.len();
        if omitted > 0 {
            self.diagnostics
                .push(ImportDiagnostic::for_file(format!("{}, not listed", count_with_noun(omitted, "more warning"))));
        }
        self.diagnostics
    }
}
