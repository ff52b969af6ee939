//! The rows of a file, as written in it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::value::RawValue;

use crate::domain::time::UtcMicros;
use crate::domain::wording::unescape_formula;
use crate::report::document::{Cell, CellKind, Column, Section};
#[cfg(feature = "parquet")]
use crate::report::format;
use crate::report::manifest::Manifest;
#[cfg(feature = "parquet")]
use crate::report::writers::parquet;
use crate::report::writers::{ReportFormat, csv as csv_rows, json as json_rows};

/// A reader of the rows of a CSV, JSON or Parquet file, in the order in which they were written.
pub(super) struct FileRows {
    kind: RowReader,
    zone: TimeZone,
    /// The only section in the file; `None` if it has all.
    only: Option<String>,
    /// The section that is being read.
    section: Option<&'static Section>,
    ended: bool,
}

enum RowReader {
    Csv(Box<csv::Reader<File>>),
    Json(BufReader<File>),
    #[cfg(feature = "parquet")]
    Parquet(Box<parquet::ParquetRows>),
}

/// A row as it stands in the file.
pub(super) enum FileRow {
    Fields(Vec<String>),
    Line(String),
    /// The cells; `None` for a cell that cannot be read.
    #[cfg(feature = "parquet")]
    Cells(Vec<Option<Cell>>),
}

impl FileRows {
    pub(super) fn open(path: &Path, manifest: &Manifest) -> io::Result<Self> {
        let file = File::open(path)?;
        let kind = match manifest.file.format {
            ReportFormat::Csv => {
                RowReader::Csv(Box::new(csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(file)))
            }
            #[cfg(feature = "parquet")]
            ReportFormat::Parquet => RowReader::Parquet(Box::new(parquet::ParquetRows::open(path)?)),
            #[cfg(not(feature = "parquet"))]
            ReportFormat::Parquet => return Err(io::ErrorKind::Unsupported.into()),
            ReportFormat::Json => RowReader::Json(BufReader::new(file)),
            ReportFormat::Xlsx | ReportFormat::Html => return Err(io::ErrorKind::Unsupported.into()),
        };
        let only = manifest.file.section.clone();
        Ok(Self { kind, zone: manifest.request.time_zone(), only, section: None, ended: true })
    }

    /// Returns whether the file has this section.
    pub(super) fn has_section(&self, section: &Section) -> bool {
        self.only.as_deref().is_none_or(|only| only == section.name)
    }

    /// Moves to the rows of a section. Returns false if the file does not have the section there.
    pub(super) fn begin_section(&mut self, section: &'static Section) -> io::Result<bool> {
        (self.section, self.ended) = (Some(section), false);
        match &mut self.kind {
            RowReader::Csv(file) => {
                let names = section.columns.iter().map(|column| column.name);
                let head = file.records().next().transpose().map_err(io::Error::from)?;
                self.ended = head.is_none();
                Ok(head.is_some_and(|head| head.iter().eq(names)))
            }
            #[cfg(feature = "parquet")]
            RowReader::Parquet(file) => {
                self.ended = !file.has_columns(section.columns);
                Ok(!self.ended)
            }
            RowReader::Json(file) => {
                let opening = json_rows::section_opening(section);
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

    /// Reads the section's next row.
    pub(super) fn next(&mut self) -> io::Result<Option<FileRow>> {
        if self.ended {
            return Ok(None);
        }
        let row = match &mut self.kind {
            RowReader::Csv(file) => {
                let record = file.records().next().transpose().map_err(io::Error::from)?;
                record.map(|record| FileRow::Fields(record.iter().map(str::to_owned).collect()))
            }
            #[cfg(feature = "parquet")]
            RowReader::Parquet(file) => {
                file.next(self.section.map_or(&[], |section| section.columns))?.map(FileRow::Cells)
            }
            RowReader::Json(file) => {
                let mut line = String::new();
                file.read_line(&mut line)?;
                let line = line.trim_end_matches('\n');
                let row = line.strip_suffix(',').unwrap_or(line);
                (!row.is_empty() && !row.starts_with(']')).then(|| FileRow::Line(row.to_owned()))
            }
        };
        self.ended = row.is_none();
        Ok(row)
    }

    /// Describes the difference between a row of the file and the cells of the store, by column. Returns `None` if
    /// they are equal.
    pub(super) fn difference(&self, row: &FileRow, cells: &[Cell]) -> Option<String> {
        let section = self.section?;
        match row {
            FileRow::Fields(fields) => {
                if fields.len() != cells.len() {
                    return Some(format!("the file has {} fields, the store gives {}", fields.len(), cells.len()));
                }
                let mut field = String::new();
                section.columns.iter().zip(fields).zip(cells).find_map(|((column, stands), cell)| {
                    field.clear();
                    csv_rows::write_field(cell, &self.zone, &mut field);
                    let name = column.name;
                    (*stands != field).then(|| format!("{name}: the file has {stands:?}, the store gives {field:?}"))
                })
            }
            #[cfg(feature = "parquet")]
            FileRow::Cells(found) => self.cell_difference(section, found, cells),
            FileRow::Line(line) => {
                let mut expected = String::new();
                json_rows::write_row(section, cells, &self.zone, &mut expected);
                (*line != expected).then(|| line_difference(section, line, &expected))
            }
        }
    }

    #[cfg(feature = "parquet")]
    fn cell_difference(&self, section: &Section, file_cells: &[Option<Cell>], cells: &[Cell]) -> Option<String> {
        let exact_text = |cell: &Cell| format::exact_text(cell, &self.zone);
        section.columns.iter().zip(file_cells).zip(cells).find_map(|((column, stands), cell)| {
            let same = match (stands, cell) {
                // The file does not say why a cell is empty.
                (Some(Cell::Empty(_)), Cell::Empty(_)) => true,
                (Some(stands), cell) => stands == cell,
                (None, _) => false,
            };
            let stands = || stands.as_ref().map_or_else(|| "something else".to_owned(), exact_text);
            (!same).then(|| {
                format!("{}: the file has {:?}, the store gives {:?}", column.name, stands(), exact_text(cell))
            })
        })
    }

    /// Parses a row of the file into cells. Returns `None` if it cannot be read.
    pub(super) fn cells(&self, row: &FileRow) -> Option<Vec<Cell>> {
        let columns = self.section?.columns;
        match row {
            FileRow::Fields(fields) if fields.len() == columns.len() => {
                columns.iter().zip(fields).map(|(column, field)| parse_cell(column, unescape_formula(field))).collect()
            }
            FileRow::Fields(_) => None,
            #[cfg(feature = "parquet")]
            FileRow::Cells(found) => found.iter().cloned().collect(),
            FileRow::Line(line) => {
                // Keep a number as it is written: another writer turns a microsecond into `1e-6`.
                let object = parse_object(line)?;
                columns.iter().map(|column| parse_json(column, object.get(column.name)?.get())).collect()
            }
        }
    }
}

/// Parses a line of JSON into its values, as they are written.
fn parse_object(line: &str) -> Option<HashMap<String, &RawValue>> {
    serde_json::from_str(line).ok()
}

/// Names the first column in which two different lines differ, or quotes the lines if no column tells.
fn line_difference(section: &Section, line: &str, expected: &str) -> String {
    let by_column = parse_object(line).zip(parse_object(expected)).and_then(|(stands, is)| {
        section.columns.iter().find_map(|Column { name, .. }| {
            let value =
                |of: &HashMap<String, &RawValue>| of.get(*name).map_or("nothing", |value| value.get()).to_owned();
            let (stands, is) = (value(&stands), value(&is));
            (stands != is).then(|| format!("{name}: the file has {stands}, the store gives {is}"))
        })
    });
    by_column.unwrap_or_else(|| format!("the file has {line}, the store gives {expected}"))
}

/// Parses a cell from a JSON value.
fn parse_json(column: &Column, value: &str) -> Option<Cell> {
    match value {
        "null" => Some(Cell::Empty("")),
        text if text.starts_with('"') => parse_cell(column, &serde_json::from_str::<String>(text).ok()?),
        number => parse_cell(column, number),
    }
}

/// Parses a cell from its exact text. Empty text is an empty cell, also in a text column.
fn parse_cell(column: &Column, text: &str) -> Option<Cell> {
    if text.is_empty() {
        return Some(Cell::Empty(""));
    }
    Some(match column.kind {
        CellKind::Text => Cell::text(text.to_owned()),
        CellKind::Count => Cell::Count(text.parse().ok()?),
        CellKind::Number => Cell::Number(text.parse().ok()?),
        CellKind::Share => Cell::Share(text.parse().ok()?),
        CellKind::Seconds => Cell::Seconds(parse_micros(text)?),
        CellKind::Instant => Cell::Instant(text.parse::<UtcMicros>().ok()?),
        CellKind::Day => Cell::Day(text.parse::<Date>().ok()?),
    })
}

/// Parses decimal seconds exactly.
fn parse_micros(text: &str) -> Option<i64> {
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
    use crate::report::format;

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
        let rows = FileRows {
            kind: RowReader::Json(file),
            zone: TimeZone::UTC,
            only: None,
            section: Some(&SECTION),
            ended: false,
        };
        for seconds in [0, 1, -1, 10, 999_999, 1_000_001, 86_400_000_000_001] {
            let cells =
                [Cell::text("\"Zo\u{eb}\""), Cell::Seconds(seconds), Cell::Share(1e-7), Cell::Empty("it has none")];
            let mut line = String::new();
            json_rows::write_row(&SECTION, &cells, &TimeZone::UTC, &mut line);
            let read = rows.cells(&FileRow::Line(line.clone())).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(read[..3], cells[..3], "{line}");
            assert!(matches!(read[3], Cell::Empty(_)), "{line}");
        }
    }

    #[test]
    fn seconds_read_back_as_they_were_written() {
        for value in [0, 1, -1, 250_000, -1_500_000, 605_000_000, 86_400_000_001] {
            let mut text = String::new();
            format::write_seconds(value, &mut text);
            assert_eq!(parse_micros(&text), Some(value), "{text}");
        }
        for text in ["", "x", "1.2345678", "1.-5", "1e3"] {
            assert_eq!(parse_micros(text), None, "{text}");
        }
    }
}
