//! The rows of a file, as they stand in it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::value::RawValue;

use crate::domain::time::UtcMicros;
use crate::report::document::{Cell, CellKind, Column, Section};
use crate::report::manifest::Manifest;
use crate::report::sheet::written;
#[cfg(feature = "parquet")]
use crate::report::shown;
#[cfg(feature = "parquet")]
use crate::report::writers::parquet;
use crate::report::writers::{Format, csv as csv_rows, json as json_rows};

/// Reads a CSV, JSON or Parquet file row by row, in the order in which it was written.
pub(super) struct FileRows {
    kind: Kind,
    zone: TimeZone,
    /// The one section that it holds; all where there is none.
    only: Option<String>,
    /// The section that is being read.
    section: Option<&'static Section>,
    ended: bool,
}

enum Kind {
    Csv(Box<csv::Reader<File>>),
    Json(BufReader<File>),
    #[cfg(feature = "parquet")]
    Parquet(Box<parquet::Rows>),
}

/// A row as it stands in the file.
pub(super) enum Row {
    Fields(Vec<String>),
    Line(String),
    /// A cell that cannot be read is none.
    #[cfg(feature = "parquet")]
    Cells(Vec<Option<Cell>>),
}

impl FileRows {
    pub(super) fn open(path: &Path, manifest: &Manifest) -> io::Result<Self> {
        let file = File::open(path)?;
        let kind = match manifest.file.format {
            Format::Csv => {
                Kind::Csv(Box::new(csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(file)))
            }
            #[cfg(feature = "parquet")]
            Format::Parquet => Kind::Parquet(Box::new(parquet::Rows::open(path)?)),
            #[cfg(not(feature = "parquet"))]
            Format::Parquet => return Err(io::ErrorKind::Unsupported.into()),
            Format::Json => Kind::Json(BufReader::new(file)),
            Format::Xlsx | Format::Html => return Err(io::ErrorKind::Unsupported.into()),
        };
        let only = manifest.file.section.clone();
        Ok(Self { kind, zone: manifest.request.time_zone(), only, section: None, ended: true })
    }

    /// Whether the file has this section.
    pub(super) fn has(&self, section: &Section) -> bool {
        self.only.as_deref().is_none_or(|only| only == section.name)
    }

    /// Goes to the rows of a section; false where the file does not have it there.
    pub(super) fn begin(&mut self, section: &'static Section) -> io::Result<bool> {
        (self.section, self.ended) = (Some(section), false);
        match &mut self.kind {
            Kind::Csv(file) => {
                let names = section.columns.iter().map(|column| column.name);
                let head = file.records().next().transpose().map_err(io::Error::from)?;
                self.ended = head.is_none();
                Ok(head.is_some_and(|head| head.iter().eq(names)))
            }
            #[cfg(feature = "parquet")]
            Kind::Parquet(file) => {
                self.ended = !file.has(section.columns);
                Ok(!self.ended)
            }
            Kind::Json(file) => {
                let opening = json_rows::opening(section);
                let mut line = String::new();
                loop {
                    line.clear();
                    if file.read_line(&mut line)? == 0 {
                        self.ended = true;
                        return Ok(false);
                    }
                    if line.trim_end_matches('\n') == opening {
                        return Ok(true);
                    }
                }
            }
        }
    }

    /// The section's next row.
    pub(super) fn next(&mut self) -> io::Result<Option<Row>> {
        if self.ended {
            return Ok(None);
        }
        let row = match &mut self.kind {
            Kind::Csv(file) => {
                let record = file.records().next().transpose().map_err(io::Error::from)?;
                record.map(|record| Row::Fields(record.iter().map(str::to_owned).collect()))
            }
            #[cfg(feature = "parquet")]
            Kind::Parquet(file) => file.next(self.section.map_or(&[], |section| section.columns))?.map(Row::Cells),
            Kind::Json(file) => {
                let mut line = String::new();
                file.read_line(&mut line)?;
                let line = line.trim_end_matches('\n');
                let row = line.strip_suffix(',').unwrap_or(line);
                (!row.is_empty() && !row.starts_with(']')).then(|| Row::Line(row.to_owned()))
            }
        };
        self.ended = row.is_none();
        Ok(row)
    }

    /// What differs between a row of the file and what the store gives, by the column; none where nothing does.
    pub(super) fn difference(&self, row: &Row, cells: &[Cell]) -> Option<String> {
        let section = self.section?;
        match row {
            Row::Fields(fields) => {
                if fields.len() != cells.len() {
                    return Some(format!("the file has {} fields, the store gives {}", fields.len(), cells.len()));
                }
                let mut field = String::new();
                section.columns.iter().zip(fields).zip(cells).find_map(|((column, stands), cell)| {
                    field.clear();
                    csv_rows::field(cell, &self.zone, &mut field);
                    let name = column.name;
                    (*stands != field).then(|| format!("{name}: the file has {stands:?}, the store gives {field:?}"))
                })
            }
            #[cfg(feature = "parquet")]
            Row::Cells(found) => self.cells_differ(section, found, cells),
            Row::Line(line) => {
                let mut again = String::new();
                json_rows::row(section, cells, &self.zone, &mut again);
                (*line != again).then(|| lines_differ(section, line, &again))
            }
        }
    }

    #[cfg(feature = "parquet")]
    fn cells_differ(&self, section: &Section, found: &[Option<Cell>], cells: &[Cell]) -> Option<String> {
        let shown = |cell: &Cell| {
            let mut text = String::new();
            shown::exact(cell, &self.zone, &mut text);
            text
        };
        section.columns.iter().zip(found).zip(cells).find_map(|((column, stands), cell)| {
            let same = match (stands, cell) {
                // Why it is empty is not in the file.
                (Some(Cell::Empty(_)), Cell::Empty(_)) => true,
                (Some(stands), cell) => stands == cell,
                (None, _) => false,
            };
            let stands = || stands.as_ref().map_or_else(|| "something else".to_owned(), shown);
            (!same).then(|| format!("{}: the file has {:?}, the store gives {:?}", column.name, stands(), shown(cell)))
        })
    }

    /// The cells that a row of the file says; none where it cannot be read.
    pub(super) fn cells(&self, row: &Row) -> Option<Vec<Cell>> {
        let columns = self.section?.columns;
        match row {
            Row::Fields(fields) if fields.len() == columns.len() => {
                columns.iter().zip(fields).map(|(column, field)| parse(column, written(field))).collect()
            }
            Row::Fields(_) => None,
            #[cfg(feature = "parquet")]
            Row::Cells(found) => found.iter().cloned().collect(),
            Row::Line(line) => {
                // A number as it is written: of a microsecond another writer makes `1e-6`.
                let object = object(line)?;
                columns.iter().map(|column| parse_json(column, object.get(column.name)?.get())).collect()
            }
        }
    }
}

/// The values of a line of JSON as they are written.
fn object(line: &str) -> Option<HashMap<String, &RawValue>> {
    serde_json::from_str(line).ok()
}

/// The first column in which two lines differ that are not the same; the lines where no column tells.
fn lines_differ(section: &Section, line: &str, again: &str) -> String {
    let by_column = object(line).zip(object(again)).and_then(|(stands, is)| {
        section.columns.iter().find_map(|Column { name, .. }| {
            let value =
                |of: &HashMap<String, &RawValue>| of.get(*name).map_or("nothing", |value| value.get()).to_owned();
            let (stands, is) = (value(&stands), value(&is));
            (stands != is).then(|| format!("{name}: the file has {stands}, the store gives {is}"))
        })
    });
    by_column.unwrap_or_else(|| format!("the file has {line}, the store gives {again}"))
}

/// A cell out of a JSON value.
fn parse_json(column: &Column, value: &str) -> Option<Cell> {
    match value {
        "null" => Some(Cell::Empty("")),
        text if text.starts_with('"') => parse(column, &serde_json::from_str::<String>(text).ok()?),
        number => parse(column, number),
    }
}

/// A cell out of its exact text; nothing is empty, also in a column of text.
fn parse(column: &Column, text: &str) -> Option<Cell> {
    if text.is_empty() {
        return Some(Cell::Empty(""));
    }
    Some(match column.kind {
        CellKind::Text => Cell::text(text.to_owned()),
        CellKind::Count => Cell::Count(text.parse().ok()?),
        CellKind::Number => Cell::Number(text.parse().ok()?),
        CellKind::Share => Cell::Share(text.parse().ok()?),
        CellKind::Seconds => Cell::Seconds(micros(text)?),
        CellKind::Instant => Cell::Instant(text.parse::<UtcMicros>().ok()?),
        CellKind::Day => Cell::Day(text.parse::<Date>().ok()?),
    })
}

/// Decimal seconds, exactly.
fn micros(text: &str) -> Option<i64> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    if part.len() > 6 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    let part: i64 = format!("{part:0<6}").parse().ok()?;
    whole.checked_mul(1_000_000)?.checked_add(part)?.checked_mul(sign)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::document::column;
    use crate::report::shown;

    #[test]
    fn a_line_of_json_reads_back_to_the_microsecond() {
        static SECTION: Section = Section {
            name: "spans",
            title: "Spans",
            columns: &[
                column("agent", "Agent", CellKind::Text, "who"),
                column("seconds", "Seconds", CellKind::Seconds, "how long"),
                column("share", "Share", CellKind::Share, "of what"),
                column("state", "State", CellKind::Text, "where"),
            ],
            written: None,
            chart: None,
        };
        let file = BufReader::new(tempfile::tempfile().expect("a file"));
        let rows =
            FileRows { kind: Kind::Json(file), zone: TimeZone::UTC, only: None, section: Some(&SECTION), ended: false };
        for seconds in [0, 1, -1, 10, 999_999, 1_000_001, 86_400_000_000_001] {
            let cells =
                [Cell::text("\"Zo\u{eb}\""), Cell::Seconds(seconds), Cell::Share(1e-7), Cell::Empty("it has none")];
            let mut line = String::new();
            json_rows::row(&SECTION, &cells, &TimeZone::UTC, &mut line);
            let read = rows.cells(&Row::Line(line.clone())).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(read[..3], cells[..3], "{line}");
            assert!(matches!(read[3], Cell::Empty(_)), "{line}");
        }
    }

    #[test]
    fn seconds_read_back_as_they_were_written() {
        for value in [0, 1, -1, 250_000, -1_500_000, 605_000_000, 86_400_000_001] {
            let mut text = String::new();
            shown::seconds(value, &mut text);
            assert_eq!(micros(&text), Some(value), "{text}");
        }
        for text in ["", "x", "1.2345678", "1.-5", "1e3"] {
            assert_eq!(micros(text), None, "{text}");
        }
    }
}
