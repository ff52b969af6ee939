//! The content of a report, whatever the format: typed columns, rows that are streamed, and the heading.
//!
//! A report pushes its sections and rows into a [`Sink`], which may write, count, hash or compare them. Nothing here
//! holds more than one row.

use std::borrow::Cow;
use std::io;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::request::Request;
use crate::domain::time::UtcMicros;
use crate::store::{ReadError, SeriesError};

/// The kind of a column's cells.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CellKind {
    /// Words, ids or codes.
    Text,
    /// A whole number, with its unit, if any, in the column's name.
    Count,
    /// A floating-point number, with its unit, if any, in the column's name.
    Number,
    /// A duration, exact to the microsecond.
    Seconds,
    /// A share from 0 to 1, shown to people in per cent.
    Share,
    /// An instant.
    Instant,
    /// A calendar day in the report's zone.
    Day,
}

/// One cell.
#[derive(Clone, PartialEq, Debug)]
pub enum Cell {
    /// Text, used as it is.
    Text(Cow<'static, str>),
    /// A whole number.
    Count(i64),
    /// A finite floating-point number.
    Number(f64),
    /// A duration in microseconds; negative if it points backwards.
    Seconds(i64),
    /// A share of 1; always finite.
    Share(f64),
    /// An instant.
    Instant(UtcMicros),
    /// A day.
    Day(Date),
    /// An empty cell with the reason in a few words, without a full stop. Reports use few different reasons per
    /// column.
    Empty(&'static str),
}

impl Cell {
    /// Creates a text cell.
    pub fn text(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Text(text.into())
    }

    /// Creates a count cell. A count that does not fit into `i64` becomes the largest `i64`.
    pub fn count(count: impl TryInto<i64>) -> Self {
        Self::Count(count.try_into().unwrap_or(i64::MAX))
    }

    /// Creates a duration cell from microseconds. A value that does not fit into `i64` becomes the largest `i64`.
    pub fn micros(micros: impl TryInto<i64>) -> Self {
        Self::Seconds(micros.try_into().unwrap_or(i64::MAX))
    }

    /// Returns the text of a text cell, and an empty text for any other cell.
    pub fn label(&self) -> &str {
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

    /// Returns a count, or the microseconds of a duration; 0 for any other cell.
    pub const fn from_count(&self) -> i64 {
        match self {
            Self::Count(whole) | Self::Seconds(whole) => *whole,
            Self::Text(_) | Self::Number(_) | Self::Share(_) | Self::Instant(_) | Self::Day(_) | Self::Empty(_) => 0,
        }
    }

    /// Creates a cell with `part` as a share of `whole`, or an empty cell with `empty_reason` if `whole` is zero.
    #[expect(clippy::cast_precision_loss, reason = "sums of microseconds lose less than a billionth of a share")]
    pub fn share(part: i64, whole: i64, empty_reason: &'static str) -> Self {
        if whole == 0 { Self::Empty(empty_reason) } else { Self::Share(part as f64 / whole as f64) }
    }
}

/// One column.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Column {
    /// The key in JSON and header in CSV: camel case without blanks.
    pub name: &'static str,
    /// The header for people.
    pub title: &'static str,
    /// The kind of its cells. Cells of every kind may be empty.
    pub kind: CellKind,
    /// The meaning in one sentence, with the formula if there is one; empty if the title says it all.
    pub definition: &'static str,
}

/// Creates a column.
pub const fn column(name: &'static str, title: &'static str, kind: CellKind, definition: &'static str) -> Column {
    Column { name, title, kind, definition }
}

/// One table of a report.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Section {
    /// The key in JSON, sheet in XLSX and part of a CSV file's name: at most 31 lower-case letters.
    pub name: &'static str,
    /// The title for people.
    pub title: &'static str,
    /// The columns, in the order of each row's cells.
    pub columns: &'static [Column],
    /// The column with the instant since when a row is unchanged, if rows may still change after the report was made
    /// (an open transition, a recomputed segment). An empty cell means that the row may still change. `report verify`
    /// uses it to tell such changes from an altered file.
    pub written: Option<usize>,
    /// The chart of the section, if it has one.
    pub chart: Option<Chart>,
}

/// A chart of a section. At most [`MAX_POINTS`] rows are drawn; the table below it has all the same rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Chart {
    /// The kind of chart.
    pub kind: ChartKind,
    /// The columns that together name a row (text, day or instant).
    pub labels: &'static [usize],
    /// The columns of the values (count, number, seconds or share, all of one kind).
    pub values: &'static [usize],
    /// The text column that describes a row's anomaly, marked on the first line; empty cells mean none.
    pub mark: Option<usize>,
}

/// The most rows that a chart shows.
pub const MAX_POINTS: usize = 400;

/// The kind of a chart.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChartKind {
    /// A bar per row.
    Bars,
    /// A line through the rows, in their order.
    Line,
}

/// The definition of one figure.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The name of the figure's column.
    pub name: Cow<'static, str>,
    /// The formula, in words that a reader can follow by hand.
    pub formula: Cow<'static, str>,
    /// The source of the definition; empty if it is our own.
    pub source: Cow<'static, str>,
}

/// The heading of a report, in every format.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Heading {
    /// The request: report, tenant, span, zone, filters and variant. The same request over the same store gives the
    /// same rows.
    pub request: Request,
    /// The report's title for people.
    pub title: &'static str,
    /// The definition of each figure.
    pub definitions: Vec<Definition>,
    /// Notes for the reader (`the daemon was down from … to …: counted as unknown`).
    pub notes: Vec<String>,
    /// The instant of the newest data in the tenant's audit chain when the report was made; `None` if the chain was
    /// empty.
    pub data_until: Option<UtcMicros>,
    /// The instant at which the report was made.
    pub made_at: UtcMicros,
    /// The head of the tenant's audit chain when the report was made.
    pub audit_head: AuditHead,
}

/// The end of an audit chain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AuditHead {
    /// The number of the last entry; 0 for an empty chain.
    pub seq: u64,
    /// The hash of that entry in hexadecimal digits.
    pub hash: String,
}

/// A receiver of a report's rows: `section`, its rows, `end`, then the next `section`. Sections may come in another
/// order than the one in which people see them, since totals come after the rows that they sum.
pub trait Sink: Send {
    /// Begins a section.
    fn section(&mut self, section: &'static Section) -> Result<(), WriteError>;

    /// Takes a row of the section, with a cell for each column.
    fn row(&mut self, cells: &[Cell]) -> Result<(), WriteError>;

    /// Ends the section.
    fn end(&mut self) -> Result<(), WriteError>;
}

/// A recount of a report's figures from its own rows, without the store and its SQL.
pub trait Recount: Send {
    /// Takes the next row, in the order of the report.
    fn row(&mut self, section: &'static Section, cells: &[Cell]);

    /// Returns a sentence for each figure that does not add up; empty if all do.
    fn end(&mut self) -> Vec<String>;
}

/// The most differences that are listed one by one.
pub const MAX_LISTED: usize = 10;

/// A list of differences: the first ones in words, and the count of all.
#[derive(Clone, Debug, Default)]
pub struct Differences {
    listed: Vec<String>,
    total: u64,
}

impl Differences {
    /// Adds a difference. It is described only if it will be listed.
    pub fn add(&mut self, describe: impl FnOnce() -> String) {
        self.total += 1;
        if self.listed.len() < MAX_LISTED {
            self.listed.push(describe());
        }
    }

    /// Returns a sentence for each listed difference, and the count if there are more; empty without differences.
    pub fn take_lines(&mut self) -> Vec<String> {
        let Self { listed: mut told, total: all } = std::mem::take(self);
        if all > told.len() as u64 {
            told.push(format!("{all} of them in all"));
        }
        told
    }
}

/// The error of a sink that did not take a row.
#[derive(thiserror::Error, Debug)]
pub enum WriteError {
    /// The file, terminal or disk failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The report was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The file would become larger than allowed.
    #[error(
        "the file would be larger than {most} bytes: request a shorter time range or fewer teams, or raise reports.largest_file"
    )]
    TooLarge {
        /// The limit in bytes.
        most: u64,
    },
}

/// The reason why a report was not made.
#[derive(thiserror::Error, Debug)]
pub enum ReportError {
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The sink did not take the rows.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The request cannot be answered; the text says why and what to do.
    #[error("{0}")]
    Refused(String),
}

impl From<SeriesError> for ReportError {
    fn from(error: SeriesError) -> Self {
        match error {
            SeriesError::Read(error) => Self::Read(error),
            SeriesError::TooLong { .. } | SeriesError::TooManyQuarters { .. } | SeriesError::Unavailable(_) => {
                Self::Refused(error.to_string())
            }
        }
    }
}
