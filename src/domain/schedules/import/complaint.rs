//! What is wrong with a file, said so that its author can put it right: line, column, value, reason and way out.
//!
//! Agents' names and control characters must not get into a message.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::words::count;

/// The longest excerpt of a value that a complaint repeats, in characters.
const EXCERPT: usize = 60;

/// How many complaints a reader lists; the rest are counted only.
pub(super) const LISTED: usize = 1_000;

/// One fault of a file, or one warning about it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Complaint {
    /// The physical line it stands on, from 1; `None` for the file as a whole.
    pub line: Option<u64>,
    /// The column of a CSV file or the property of a calendar event.
    pub column: Option<String>,
    /// The beginning of the faulty value, without control characters.
    pub value: Option<String>,
    /// What is wrong and what to do about it.
    pub reason: String,
}

impl Complaint {
    /// A complaint about the whole file.
    pub(super) fn file(reason: impl Into<String>) -> Self {
        Self { line: None, column: None, value: None, reason: reason.into() }
    }

    /// A complaint about a line.
    pub(super) fn line(line: u64, reason: impl Into<String>) -> Self {
        Self { line: Some(line), ..Self::file(reason) }
    }

    /// A complaint about one column or property of a line.
    pub(super) fn column(line: u64, column: &str, reason: impl Into<String>) -> Self {
        Self { column: Some(column.to_owned()), ..Self::line(line, reason) }
    }

    /// A complaint about a value, which it repeats.
    pub(super) fn value(line: u64, column: &str, value: &str, reason: impl Into<String>) -> Self {
        Self { value: Some(excerpt(value)), ..Self::column(line, column, reason) }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, &self.column) {
            (Some(line), Some(column)) => write!(f, "line {line}, column {column}: ")?,
            (Some(line), None) => write!(f, "line {line}: ")?,
            (None, Some(column)) => write!(f, "column {column}: ")?,
            (None, None) => {}
        }
        if let Some(value) = &self.value {
            write!(f, "\"{value}\" ")?;
        }
        f.write_str(&self.reason)
    }
}

/// The beginning of a value with control characters replaced, fit for a terminal.
fn excerpt(value: &str) -> String {
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut text: String = value.chars().take(EXCERPT).map(plain).collect();
    if value.chars().nth(EXCERPT).is_some() {
        text.push('…');
    }
    text
}

/// A file that was not imported, with everything that is wrong in it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the file has {}, nothing of it was imported", count(*.faults, "fault"))]
pub struct ImportRefused {
    /// The first thousand faults, by line.
    pub complaints: Vec<Complaint>,
    /// How many there are altogether.
    pub faults: usize,
}

impl ImportRefused {
    /// Refused for one reason.
    pub(super) fn one(complaint: Complaint) -> Self {
        Self { complaints: vec![complaint], faults: 1 }
    }
}

/// Collects complaints in any order and keeps the first [`LISTED`] by line, so that a file of a million faults costs no more
/// memory than one of a thousand.
#[derive(Default)]
pub(super) struct Complaints {
    kept: Vec<Complaint>,
    count: usize,
}

impl Complaints {
    pub(super) fn push(&mut self, complaint: Complaint) {
        self.count += 1;
        self.kept.push(complaint);
        if self.kept.len() >= 2 * LISTED {
            self.cut();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn cut(&mut self) {
        self.kept.sort_by_key(|complaint| complaint.line);
        self.kept.truncate(LISTED);
    }

    /// The faults as the reason of a refusal.
    pub(super) fn refuse(mut self) -> ImportRefused {
        self.cut();
        ImportRefused { complaints: self.kept, faults: self.count }
    }

    /// The warnings in order of their lines; what is left out is counted in a last one.
    pub(super) fn into_warnings(mut self) -> Vec<Complaint> {
        self.cut();
        let left_out = self.count - self.kept.len();
        if left_out > 0 {
            self.kept.push(Complaint::file(format!("{}, not listed", count(left_out, "more warning"))));
        }
        self.kept
    }
}
