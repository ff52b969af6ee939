//! Reads the rows of workbooks (XLSX), sheet by sheet and cell by cell.

use std::io::Cursor;

use calamine::{DataRef, Dimensions, ExcelDateTime, Reader, Xlsx, XlsxError};
use jiff::civil::DateTime;

use super::super::diagnostic::ImportDiagnostic;
use super::archive;
use super::cell::{Cell, Row, RowSink};

/// The beginning of every workbook before XLSX, and of encrypted ones.
const OLD_FORMAT: &[u8] = b"\xd0\xcf\x11\xe0";

type Workbook<'b> = Xlsx<Cursor<&'b [u8]>>;

/// Gives every row of the sheets to `sink`. The error makes the rest of the file unreadable.
pub(super) fn read(
    bytes: &[u8],
    sheets: &[String],
    skip_sheets: &[String],
    sink: &mut dyn RowSink,
) -> Result<(), ImportDiagnostic> {
    check_format(bytes).map_err(ImportDiagnostic::for_file)?;
    archive::check(bytes).map_err(ImportDiagnostic::for_file)?;
    let mut workbook: Workbook<'_> = Xlsx::new(Cursor::new(bytes)).map_err(|error| damaged(&error))?;
    let names = workbook.sheet_names();
    for wanted in sheets {
        if !names.iter().any(|name| matches(wanted, name)) {
            let reason = "is in the profile, but no sheet of the workbook has this name; correct the key sheets";
            return Err(ImportDiagnostic::for_file(format!("\"{wanted}\" {reason}")).on_sheet(Some(wanted)));
        }
    }
    for name in names {
        let is_wanted = sheets.is_empty() || sheets.iter().any(|wanted| matches(wanted, &name));
        if is_wanted && !skip_sheets.iter().any(|skipped| matches(skipped, &name)) {
            sink.begin_sheet(&name);
            let goes_on =
                read_sheet(&mut workbook, &name, sink).map_err(|error| damaged(&error).on_sheet(Some(&name)))?;
            if !goes_on {
                break;
            }
        }
    }
    Ok(())
}

fn damaged(error: &XlsxError) -> ImportDiagnostic {
    ImportDiagnostic::for_file(format!("the workbook is damaged: {error}; open it, save it again, and import that"))
}

fn check_format(bytes: &[u8]) -> Result<(), String> {
    if bytes.starts_with(OLD_FORMAT) {
        let encrypted: Vec<u8> = "EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let reason = if bytes.windows(encrypted.len()).any(|window| window == encrypted) {
            "the workbook is protected by a password; save it without one"
        } else {
            "the file is an old workbook (.xls); save it as .xlsx"
        };
        return Err(reason.to_owned());
    }
    if bytes.starts_with(b"PK") {
        return Ok(());
    }
    Err("the file is not a workbook (XLSX); if it is text, state its delimiter in the profile".to_owned())
}

/// Whether a sheet has a name, in which `*` stands for any text.
fn matches(wanted: &str, name: &str) -> bool {
    let mut parts = wanted.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Gives every row of a sheet that is not blank to `sink`. Returns whether to go on.
fn read_sheet(workbook: &mut Workbook<'_>, name: &str, sink: &mut dyn RowSink) -> Result<bool, XlsxError> {
    let mut merged = MergedRows::new(workbook.merge_cells_by_sheet_name(name)?);
    let mut cells = workbook.worksheet_cells_reader(name)?;
    let mut row = Row { line: 0, cells: Vec::new(), merged: None };
    while let Some(record) = cells.next_cell_with_formula_metadata()? {
        let line = u64::from(record.pos.0) + 1;
        if line != row.line {
            if !give(&mut row, &mut merged, sink) {
                return Ok(false);
            }
            row.line = line;
        }
        let cell = match (to_cell(&record.value), record.formula) {
            (Cell::Empty, Some(_)) => Cell::Error("formula".to_owned()),
            (cell, _) => cell,
        };
        let column = record.pos.1 as usize;
        if !cell.is_empty() {
            row.cells.resize(row.cells.len().max(column + 1), Cell::Empty);
            row.cells[column] = cell;
        }
    }
    Ok(give(&mut row, &mut merged, sink))
}

/// Gives a row to `sink` if it is not blank, and empties it.
fn give(row: &mut Row, merged: &mut MergedRows, sink: &mut dyn RowSink) -> bool {
    if row.cells.is_empty() {
        return true;
    }
    row.merged = merged.area_of(row.line);
    let goes_on = sink.row(row);
    row.cells.clear();
    goes_on
}

/// The merged areas of a sheet, for rows in order.
struct MergedRows {
    /// The areas that begin below the current row, the next one last.
    next: Vec<Dimensions>,
    /// Of the others, the one that ends last.
    current: Option<Dimensions>,
}

impl MergedRows {
    fn new(mut areas: Vec<Dimensions>) -> Self {
        areas.sort_unstable_by_key(|area| std::cmp::Reverse(area.start));
        Self { next: areas, current: None }
    }

    /// Returns the merged area that a row is a part of.
    fn area_of(&mut self, line: u64) -> Option<String> {
        let row = u32::try_from(line.saturating_sub(1)).ok()?;
        while let Some(area) = self.next.pop_if(|area| area.start.0 <= row) {
            if self.current.is_none_or(|current| area.end.0 >= current.end.0) {
                self.current = Some(area);
            }
        }
        let area = self.current.filter(|area| area.end.0 >= row)?;
        Some(format!("{}:{}", cell_name(area.start), cell_name(area.end)))
    }
}

/// Returns the name of a cell, such as `A4`.
fn cell_name((row, column): (u32, u32)) -> String {
    let mut letters = Vec::new();
    let mut rest = column + 1;
    while rest > 0 {
        letters.push(b'A' + u8::try_from((rest - 1) % 26).unwrap_or_default());
        rest = (rest - 1) / 26;
    }
    letters.reverse();
    format!("{}{}", String::from_utf8_lossy(&letters), row + 1)
}

fn to_cell(value: &DataRef<'_>) -> Cell {
    match value {
        DataRef::Empty => Cell::Empty,
        // A shared text is borrowed, the others are not.
        DataRef::SharedString(text) => Cell::from_text(text),
        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => Cell::from_text(text),
        DataRef::Float(number) => Cell::Number(*number),
        #[expect(clippy::cast_precision_loss, reason = "a spreadsheet has no other numbers than floats")]
        DataRef::Int(number) => Cell::Number(*number as f64),
        DataRef::Bool(true) => Cell::Text("TRUE".to_owned()),
        DataRef::Bool(false) => Cell::Text("FALSE".to_owned()),
        DataRef::DateTime(date) => to_date(date),
        DataRef::Error(error) => Cell::Error(error.to_string()),
    }
}

/// Returns a date rounded to the minute, or a time of day if there is no date.
fn to_date(date: &ExcelDateTime) -> Cell {
    const MINUTES_PER_DAY: f64 = 1_440.0;
    let days = date.as_f64();
    if (0.0..1.0).contains(&days) {
        return Cell::Time(days);
    }
    // The numbers of dates before 1 March 1900 are those of no calendar, and no schedule has them.
    let (year, month, day, hour, minute, second, milli) = date.to_ymd_hms_milli();
    let part = |number: u8| i8::try_from(number).unwrap_or(-1);
    let parts = i16::try_from(year).ok().and_then(|year| {
        DateTime::new(
            year,
            part(month),
            part(day),
            part(hour),
            part(minute),
            part(second),
            i32::from(milli) * 1_000_000,
        )
        .ok()
    });
    let rounded = parts.and_then(|parts| parts.round(jiff::Unit::Minute).ok());
    rounded.map_or_else(|| Cell::Number((days * MINUTES_PER_DAY).round() / MINUTES_PER_DAY), Cell::Date)
}
