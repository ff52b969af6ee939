//! What a report is made of, whoever writes it: typed columns, rows that stream, and what stands above them.
//!
//! A report pushes its sections and rows into a [`Sink`]; a writer is one, and so is whoever counts, hashes or compares. Nothing here
//! holds more than one row.

use std::borrow::Cow;
use std::io;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::request::Request;
use crate::domain::time::UtcMicros;
use crate::store::{ReadError, SeriesError};

/// What the cells of a column are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CellKind {
    /// Words, ids, codes.
    Text,
    /// A whole number; its unit, where it has one, stands in the column's name.
    Count,
    /// A number with a fraction; its unit, where it has one, stands in the column's name.
    Number,
    /// A span of time, exact to the microsecond.
    Seconds,
    /// A share of 1; people see per cent.
    Share,
    /// An instant.
    Instant,
    /// A day of the calendar in the report's zone.
    Day,
}

/// One cell.
#[derive(Clone, PartialEq, Debug)]
pub enum Cell {
    /// Words; taken as they are, whatever they look like.
    Text(Cow<'static, str>),
    /// A whole number.
    Count(i64),
    /// A number with a fraction; never infinite or not a number.
    Number(f64),
    /// A span, in microseconds; negative where it lies the other way.
    Seconds(i64),
    /// A share of 1; never infinite or not a number.
    Share(f64),
    /// An instant.
    Instant(UtcMicros),
    /// A day.
    Day(Date),
    /// Nothing, and why: in a few words, without a full stop. Reports use few different ones per column.
    Empty(&'static str),
}

impl Cell {
    /// Text of whatever kind.
    pub fn text(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Text(text.into())
    }

    /// A count of whatever width; what no `i64` holds becomes the greatest.
    pub fn count(count: impl TryInto<i64>) -> Self {
        Self::Count(count.try_into().unwrap_or(i64::MAX))
    }

    /// A span of microseconds of whatever width; what no `i64` holds becomes the greatest.
    pub fn micros(micros: impl TryInto<i64>) -> Self {
        Self::Seconds(micros.try_into().unwrap_or(i64::MAX))
    }

    /// What it says, where it is text; nothing of any other.
    pub fn word(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Count(_)
            | Self::Number(_)
            | Self::Seconds(_)
            | Self::Share(_)
            | Self::Instant(_)
            | Self::Day(_)
            | Self::Empty(_) => "",
        }
    }

    /// A count, or the microseconds of a span; 0 of any other.
    pub const fn whole(&self) -> i64 {
        match self {
            Self::Count(whole) | Self::Seconds(whole) => *whole,
            Self::Text(_) | Self::Number(_) | Self::Share(_) | Self::Instant(_) | Self::Day(_) | Self::Empty(_) => 0,
        }
    }

    /// The share that `part` has in `whole`, or why there is none where `whole` is zero.
    #[expect(clippy::cast_precision_loss, reason = "sums of microseconds lose less than a billionth of a share")]
    pub fn share(part: i64, whole: i64, why_not: &'static str) -> Self {
        if whole == 0 { Self::Empty(why_not) } else { Self::Share(part as f64 / whole as f64) }
    }
}

/// One column.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Column {
    /// Its key in JSON and its heading in CSV: camel case, without blanks.
    pub name: &'static str,
    /// Its heading for people.
    pub title: &'static str,
    /// What its cells are; a cell may be empty whatever the kind.
    pub kind: CellKind,
    /// What it means, in one sentence with its formula where it has one; empty where the title says it all.
    pub definition: &'static str,
}

/// A column.
pub const fn column(name: &'static str, title: &'static str, kind: CellKind, definition: &'static str) -> Column {
    Column { name, title, kind, definition }
}

/// One table of a report.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Section {
    /// Its key in JSON, its sheet in XLSX, its part of a CSV's name: small letters, at most 31 of them.
    pub name: &'static str,
    /// Its heading for people.
    pub title: &'static str,
    /// Its columns, in the order of each row's cells.
    pub columns: &'static [Column],
    /// The column with the instant since when a row stands as it is, where rows may still change after the report was made (a transition
    /// that is open, a segment that is recomputed); an empty cell says that it may still change. `report verify` tells what went on so
    /// from what somebody changed.
    pub written: Option<usize>,
    /// How the section is drawn, where a picture helps.
    pub chart: Option<Chart>,
}

/// A picture of a section. At most [`MOST_POINTS`] rows are drawn; the rows stand below it all the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Chart {
    /// Of which kind.
    pub kind: ChartKind,
    /// The columns that name a row together (text, day or instant).
    pub labels: &'static [usize],
    /// The columns of the values (count, number, seconds or share, all of one kind).
    pub values: &'static [usize],
    /// The column of text that says what is odd about a row; empty where nothing is. Marked on the first line.
    pub mark: Option<usize>,
}

/// The most rows that a picture shows.
pub const MOST_POINTS: usize = 400;

/// Kinds of pictures.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChartKind {
    /// A bar per row.
    Bars,
    /// A line through the rows, in their order.
    Line,
}

/// What one figure means.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The figure by its column's name.
    pub name: Cow<'static, str>,
    /// How it is computed, in words that a reader can follow by hand.
    pub formula: Cow<'static, str>,
    /// Who defines it so; empty where nobody but us does.
    pub source: Cow<'static, str>,
}

/// What stands above a report's sections, in whatever format.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Heading {
    /// What was asked for: report, tenant, span, zone, filters, variant. The same request over the same store gives the same rows.
    pub request: Request,
    /// The report's name for people.
    pub title: &'static str,
    /// What each figure means.
    pub definitions: Vec<Definition>,
    /// What a reader has to know beside them (`the daemon was down from … to …: counted as unknown`).
    pub notes: Vec<String>,
    /// The newest thing that the tenant's audit chain knew of when the report was made; none where it was empty.
    pub data_until: Option<UtcMicros>,
    /// When the report was made.
    pub made_at: UtcMicros,
    /// Where the tenant's audit chain ended when the report was made.
    pub audit_head: AuditHead,
}

/// The end of an audit chain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AuditHead {
    /// The number of its last entry; 0 where it has none.
    pub seq: u64,
    /// The hash of that entry, in hexadecimal digits.
    pub hash: String,
}

/// What takes a report's rows: `section`, its rows, `end`, the next `section`. Sections may come in another order than
/// [`super::request::Kind::sections`] has them, which is the order that people see: totals that are added up from rows come after them.
pub trait Sink: Send {
    /// A section begins.
    fn section(&mut self, section: &'static Section) -> Result<(), WriteError>;

    /// A row of it, with a cell for each of its columns.
    fn row(&mut self, cells: &[Cell]) -> Result<(), WriteError>;

    /// The section ends.
    fn end(&mut self) -> Result<(), WriteError>;
}

/// Counts a report's figures again from its own rows, without the store and without its SQL.
pub trait Recount: Send {
    /// The next row, in the order of the report.
    fn row(&mut self, section: &'static Section, cells: &[Cell]);

    /// What does not add up, a sentence each; empty when all does.
    fn end(&mut self) -> Vec<String>;
}

/// The most that is told one by one of what differs.
pub const MOST_TOLD: usize = 10;

/// What differs: the first of it in words, and how much there is.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    told: Vec<String>,
    all: u64,
}

impl Faults {
    /// One more; put into words only where it is told.
    pub fn tell(&mut self, says: impl FnOnce() -> String) {
        self.all += 1;
        if self.told.len() < MOST_TOLD {
            self.told.push(says());
        }
    }

    /// A sentence each, and the count where that is not all; empty where nothing differs.
    pub fn lines(&mut self) -> Vec<String> {
        let Self { mut told, all } = std::mem::take(self);
        if all > told.len() as u64 {
            told.push(format!("{all} of them in all"));
        }
        told
    }
}

/// Why a row was not taken.
#[derive(thiserror::Error, Debug)]
pub enum WriteError {
    /// The file, terminal or disk.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Somebody called the report off.
    #[error("cancelled")]
    CalledOff,
    /// It would become larger than allowed.
    #[error(
        "the file would be larger than {most} bytes: ask for a shorter span or fewer teams, or raise reports.largest_file"
    )]
    TooLarge {
        /// The bound.
        most: u64,
    },
}

/// Why a report was not made.
#[derive(thiserror::Error, Debug)]
pub enum ReportError {
    /// The store.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Whoever takes the rows.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// What was asked for cannot be answered; says why and what to do.
    #[error("{0}")]
    Refused(String),
}

impl From<SeriesError> for ReportError {
    fn from(error: SeriesError) -> Self {
        match error {
            SeriesError::Read(error) => Self::Read(error),
            SeriesError::TooLong { .. } | SeriesError::TooMuch { .. } | SeriesError::Unfit(_) => {
                Self::Refused(error.to_string())
            }
        }
    }
}
