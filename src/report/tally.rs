//! What passes on its way to a writer: rows and empty cells are counted, and a digest is taken that is the same in every format.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::document::{Cell, Section, Sink, WriteError};
use crate::domain::audit::Hash;

/// What a report is doing, for those who watch; and how they call it off. Share it behind an `Arc`.
#[derive(Debug, Default)]
pub struct Progress {
    rows: AtomicU64,
    called_off: AtomicBool,
}

impl Progress {
    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// The report ends at its next row.
    pub fn call_off(&self) {
        self.called_off.store(true, Ordering::Relaxed);
    }

    /// Whether somebody called it off.
    pub fn is_called_off(&self) -> bool {
        self.called_off.load(Ordering::Relaxed)
    }
}

/// What a section held.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SectionTally {
    /// Its name.
    pub name: String,
    /// How many rows.
    pub rows: u64,
    /// SHA-256 over the rows' cells, whatever the format (`docs/reports.md` has the encoding), in hexadecimal digits.
    pub sha256: String,
    /// Why cells are empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub empty: Vec<EmptyTally>,
}

/// Why so many cells of a column are empty.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmptyTally {
    /// The column.
    pub column: String,
    /// Why.
    pub why: String,
    /// In how many rows.
    pub rows: u64,
}

/// Counts a section's rows.
#[derive(Clone, Debug)]
pub struct Tally {
    section: &'static Section,
    rows: u64,
    digest: Sha256,
    empty: BTreeMap<(usize, &'static str), u64>,
    encoded: Vec<u8>,
}

impl Tally {
    /// Of no row yet.
    pub fn new(section: &'static Section) -> Self {
        Self { section, rows: 0, digest: Sha256::new(), empty: BTreeMap::new(), encoded: Vec::new() }
    }

    /// Takes a row.
    pub fn row(&mut self, cells: &[Cell]) {
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

    /// What it held.
    pub fn end(self) -> SectionTally {
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

/// A letter for the kind, then eight bytes, greatest first: the number itself (the bits of one with a fraction), or how many bytes of
/// text follow. Why a cell is empty is no part of it.
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

/// A sink that counts what it hands on to another.
pub struct Counted<'a, S: Sink + ?Sized> {
    inner: &'a mut S,
    /// Of the inner one's sections, this alone is handed on; all where none is named.
    only: Option<&'a str>,
    progress: &'a Progress,
    current: Option<Tally>,
    ended: Vec<SectionTally>,
}

impl<'a, S: Sink + ?Sized> Counted<'a, S> {
    /// Hands everything on to `inner`, or one section of it.
    pub fn new(inner: &'a mut S, only: Option<&'a str>, progress: &'a Progress) -> Self {
        Self { inner, only, progress, current: None, ended: Vec::new() }
    }

    /// What the sections held.
    pub fn tallies(self) -> Vec<SectionTally> {
        self.ended
    }

    fn hands_on(&self, section: &Section) -> bool {
        self.only.is_none_or(|only| only == section.name)
    }
}

impl<S: Sink + ?Sized> Sink for Counted<'_, S> {
    fn section(&mut self, section: &'static Section) -> Result<(), WriteError> {
        self.current = Some(Tally::new(section));
        if self.hands_on(section) { self.inner.section(section) } else { Ok(()) }
    }

    fn row(&mut self, cells: &[Cell]) -> Result<(), WriteError> {
        if self.progress.is_called_off() {
            return Err(WriteError::CalledOff);
        }
        self.progress.rows.fetch_add(1, Ordering::Relaxed);
        let Some(current) = &mut self.current else { return Ok(()) };
        current.row(cells);
        let section = current.section;
        if self.hands_on(section) { self.inner.row(cells) } else { Ok(()) }
    }

    fn end(&mut self) -> Result<(), WriteError> {
        let Some(current) = self.current.take() else { return Ok(()) };
        let hands_on = self.hands_on(current.section);
        self.ended.push(current.end());
        if hands_on { self.inner.end() } else { Ok(()) }
    }
}
