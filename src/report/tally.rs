//! Counts of rows and empty cells, and a digest that is the same in every format, taken on the way to a writer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::document::{Cell, Section, Sink, WriteError};
use crate::domain::audit::Hash;

/// The progress of a report, and the switch that cancels it. Share it in an `Arc`.
#[derive(Debug, Default)]
pub struct Progress {
    rows: AtomicU64,
    cancelled: AtomicBool,
}

impl Progress {
    /// Returns the number of rows so far.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Cancels the report, which ends at its next row.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Returns whether the report was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// The content of a section.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SectionTally {
    /// The section's name.
    pub name: String,
    /// The number of rows.
    pub rows: u64,
    /// The SHA-256 of the rows' cells in hexadecimal digits, the same in every format (`docs/reports.md` describes
    /// the encoding).
    pub sha256: String,
    /// The numbers of empty cells by reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub empty: Vec<EmptyTally>,
}

/// The number of a column's cells that are empty for one reason.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmptyTally {
    /// The column's name.
    pub column: String,
    /// The reason.
    pub why: String,
    /// The number of rows.
    pub rows: u64,
}

/// The running count and digest of a section's rows.
#[derive(Clone, Debug)]
pub struct Tally {
    section: &'static Section,
    rows: u64,
    digest: Sha256,
    empty: BTreeMap<(usize, &'static str), u64>,
    encoded: Vec<u8>,
}

impl Tally {
    /// Creates a tally without rows.
    pub fn new(section: &'static Section) -> Self {
        Self { section, rows: 0, digest: Sha256::new(), empty: BTreeMap::new(), encoded: Vec::new() }
    }

    /// Adds a row.
    pub fn add_row(&mut self, cells: &[Cell]) {
        self.rows += 1;
        self.encoded.clear();
        for (place, cell) in cells.iter().enumerate() {
            encode(cell, &mut self.encoded);
            if let Cell::Empty(why) = cell {
                *self.empty.entry((place, why)).or_default() += 1;
            }
        }
        self.digest.update((self.encoded.len() as u64).to_be_bytes());
        self.digest.update(&self.encoded);
    }

    /// Returns the result.
    pub fn finish(self) -> SectionTally {
        let name = |place: usize| self.section.columns.get(place).map_or("", |column| column.name).to_owned();
        SectionTally {
            name: self.section.name.to_owned(),
            rows: self.rows,
            sha256: Hash(self.digest.finalize().into()).to_string(),
            empty: self
                .empty
                .iter()
                .map(|((place, why), rows)| EmptyTally { column: name(*place), why: (*why).to_owned(), rows: *rows })
                .collect(),
        }
    }
}

/// Encodes a cell: a letter for its kind, then eight big-endian bytes with the number itself (the bits of a
/// floating-point number) or the length of the text that follows. The reason why a cell is empty is left out.
fn encode(cell: &Cell, out: &mut Vec<u8>) {
    let mut text = |letter: u8, text: &str| {
        out.push(letter);
        out.extend_from_slice(&(text.len() as u64).to_be_bytes());
        out.extend_from_slice(text.as_bytes());
    };
    let (letter, bytes) = match cell {
        Cell::Text(words) => return text(b't', words),
        Cell::Day(day) => return text(b'd', &day.to_string()),
        Cell::Count(count) => (b'c', count.to_be_bytes()),
        Cell::Seconds(micros) => (b's', micros.to_be_bytes()),
        Cell::Instant(at) => (b'i', at.as_micros().to_be_bytes()),
        Cell::Number(number) => (b'n', number.to_bits().to_be_bytes()),
        Cell::Share(share) => (b'p', share.to_bits().to_be_bytes()),
        Cell::Empty(_) => (b'e', [0; 8]),
    };
    out.push(letter);
    out.extend_from_slice(&bytes);
}

/// A sink that counts what it passes on to another.
pub struct CountingSink<'a, S: Sink + ?Sized> {
    inner: &'a mut S,
    /// The only section that is passed on; `None` passes on all.
    only: Option<&'a str>,
    progress: &'a Progress,
    current: Option<Tally>,
    finished: Vec<SectionTally>,
}

impl<'a, S: Sink + ?Sized> CountingSink<'a, S> {
    /// Creates a sink that passes everything, or the section `only`, on to `inner`.
    pub fn new(inner: &'a mut S, only: Option<&'a str>, progress: &'a Progress) -> Self {
        Self { inner, only, progress, current: None, finished: Vec::new() }
    }

    /// Returns the tallies of all sections.
    pub fn tallies(self) -> Vec<SectionTally> {
        self.finished
    }

    fn is_passed_on(&self, section: &Section) -> bool {
        self.only.is_none_or(|only| only == section.name)
    }
}

impl<S: Sink + ?Sized> Sink for CountingSink<'_, S> {
    fn section(&mut self, section: &'static Section) -> Result<(), WriteError> {
        self.current = Some(Tally::new(section));
        if self.is_passed_on(section) { self.inner.section(section) } else { Ok(()) }
    }

    fn row(&mut self, cells: &[Cell]) -> Result<(), WriteError> {
        if self.progress.is_cancelled() {
            return Err(WriteError::Cancelled);
        }
        self.progress.rows.fetch_add(1, Ordering::Relaxed);
        let Some(current) = &mut self.current else { return Ok(()) };
        current.add_row(cells);
        let section = current.section;
        if self.is_passed_on(section) { self.inner.row(cells) } else { Ok(()) }
    }

    fn end(&mut self) -> Result<(), WriteError> {
        let Some(current) = self.current.take() else { return Ok(()) };
        let is_forwarded = self.is_passed_on(current.section);
        self.finished.push(current.finish());
        if is_forwarded { self.inner.end() } else { Ok(()) }
    }
}
