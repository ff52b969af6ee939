//! XLSX: a sheet per section with typed cells below a frozen header, then the sheets Definitions and Provenance.
//!
//! Rows go to temporary files beside the target as they come, so that a long report takes no more memory than a short
//! one.

use std::error::Error;
use std::io::{self, Seek, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use jiff::tz::TimeZone;
use rust_xlsxwriter::{DocProperties, ExcelDateTime, Format, FormatBorder, Workbook, Worksheet, XlsxError};

use super::provenance;
use super::writer::Writer;
use crate::domain::time::UtcMicros;
use crate::report::document::{Cell, CellKind, Column, Heading, Section, Sink, WriteError};
use crate::report::tally::SectionTally;

/// The number of rows of a sheet below its header; a longer section continues on another sheet.
const MAX_ROWS: u32 = 1_048_575;

/// The format's longest text of a cell, in characters.
const MAX_TEXT_CHARS: usize = 32_767;

/// The days from day 0 of the format to 1970-01-01.
const EPOCH_DAY: f64 = 25_569.0;
const MICROS_PER_DAY: f64 = 86_400e6;

/// The formats of cells.
struct CellFormats {
    header: Format,
    text: Format,
    wrapped: Format,
    count: Format,
    number: Format,
    duration: Format,
    share: Format,
    instant: Format,
    day: Format,
}

impl CellFormats {
    fn new() -> Self {
        let with = |format: &str| Format::new().set_num_format(format);
        Self {
            header: Format::new().set_bold().set_border_bottom(FormatBorder::Thin),
            text: Format::new(),
            wrapped: Format::new().set_text_wrap(),
            count: with("0"),
            number: with("0.00"),
            duration: with("[h]:mm:ss"),
            share: with("0.0%"),
            instant: with("yyyy-mm-dd hh:mm:ss"),
            day: with("yyyy-mm-dd"),
        }
    }
}

/// The XLSX writer.
pub struct Xlsx<W: Write + Seek + Send> {
    heading: Heading,
    out: W,
    zone: TimeZone,
    book: Workbook,
    formats: CellFormats,
    /// The section that is being written, with its sheet, row and number of sheets.
    section: Option<&'static Section>,
    sheet: usize,
    row: u32,
    parts: u32,
}

/// Returns the I/O error behind an error of the library, with its kind, however deeply it is nested.
fn xlsx_error(error: XlsxError) -> WriteError {
    if let XlsxError::IoError(error) = error {
        return WriteError::Io(error);
    }
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return WriteError::Io(io::Error::new(io.kind(), io.to_string()));
        }
        cause = inner.source();
    }
    WriteError::Io(io::Error::other(error))
}

/// Turns a panic into an error, since the library panics if the disk does not take its temporary files.
fn catch_panic<T>(work: impl FnOnce() -> Result<T, XlsxError>) -> Result<T, WriteError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(xlsx_error),
        Err(panic) => {
            let says = panic.downcast_ref::<String>().map_or("the workbook cannot be written", String::as_str);
            let full = says.contains("StorageFull") || says.contains("QuotaExceeded");
            let kind = if full { io::ErrorKind::StorageFull } else { io::ErrorKind::Other };
            Err(WriteError::Io(io::Error::new(kind, says.to_owned())))
        }
    }
}

impl<W: Write + Seek + Send> Xlsx<W> {
    /// Creates a writer and its sheets, in the order in which people see them.
    pub fn new(heading: &Heading, out: W, folder: &Path) -> Result<Self, WriteError> {
        let (mut book, formats) = (Workbook::new(), CellFormats::new());
        book.set_tempdir(folder).map_err(xlsx_error)?;
        // Use the report's instant rather than the clock's, so that the same report has the same bytes.
        let made_at =
            ExcelDateTime::from_timestamp(heading.made_at.as_micros().div_euclid(1_000_000)).map_err(xlsx_error)?;
        book.set_properties(&DocProperties::new().set_creation_datetime(&made_at));
        for section in heading.request.report.sections() {
            let sheet = book.add_worksheet_with_constant_memory().map_err(xlsx_error)?;
            start_sheet(sheet, section.name, section.columns, &formats).map_err(xlsx_error)?;
        }
        let zone = heading.request.time_zone();
        Ok(Self { heading: heading.clone(), out, zone, book, formats, section: None, sheet: 0, row: 0, parts: 1 })
    }

    /// Returns the output.
    pub fn into_inner(self) -> W {
        self.out
    }

    fn write_row(&mut self, cells: &[Cell]) -> Result<(), XlsxError> {
        let Some(section) = self.section else { return Ok(()) };
        if self.row >= MAX_ROWS {
            self.parts += 1;
            let name = format!("{} {}", section.name, self.parts);
            self.sheet = self.book.worksheets().len();
            start_sheet(self.book.add_worksheet_with_constant_memory()?, &name, section.columns, &self.formats)?;
            self.row = 0;
        }
        self.row += 1;
        let sheet = self.book.worksheet_from_index(self.sheet)?;
        for (place, cell) in (0_u16..).zip(cells) {
            write_cell(sheet, (self.row, place), cell, &self.zone, &self.formats)?;
        }
        Ok(())
    }

    fn write_definitions(&mut self) -> Result<(), XlsxError> {
        let columns = [text_column("Figure"), text_column("Formula"), text_column("Source")];
        let sheet = self.book.add_worksheet_with_constant_memory()?;
        start_sheet(sheet, "Definitions", &columns, &self.formats)?;
        let mut row = 0;
        for definition in &self.heading.definitions {
            row += 1;
            for (place, text) in (0_u16..).zip([&definition.name, &definition.formula, &definition.source]) {
                sheet.write_string_with_format(row, place, truncated(text), &self.formats.wrapped)?;
            }
        }
        for section in self.heading.request.report.sections() {
            for column in section.columns.iter().filter(|column| !column.definition.is_empty()) {
                row += 1;
                sheet.write_string(row, 0, format!("{}: {}", section.name, column.title))?;
                sheet.write_string_with_format(row, 1, column.definition, &self.formats.wrapped)?;
            }
        }
        sheet.set_column_width(1, 90)?;
        Ok(())
    }

    fn write_provenance(&mut self, tallies: &[SectionTally]) -> Result<(), XlsxError> {
        let columns = [text_column("What"), text_column("Value")];
        let sheet = self.book.add_worksheet_with_constant_memory()?;
        start_sheet(sheet, "Provenance", &columns, &self.formats)?;
        for (row, (what, value)) in (1..).zip(provenance::lines(&self.heading, tallies)) {
            sheet.write_string(row, 0, what)?;
            sheet.write_string_with_format(row, 1, truncated(&value), &self.formats.wrapped)?;
        }
        sheet.set_column_width(1, 90)?;
        Ok(())
    }
}

const fn text_column(title: &'static str) -> Column {
    Column { name: title, title, kind: CellKind::Text, definition: "" }
}

/// Starts a sheet with its header row, which stays visible and is repeated on each printed page.
fn start_sheet(sheet: &mut Worksheet, name: &str, columns: &[Column], formats: &CellFormats) -> Result<(), XlsxError> {
    sheet.set_name(name)?;
    sheet.set_freeze_panes(1, 0)?;
    sheet.set_landscape();
    sheet.set_print_fit_to_pages(1, 0);
    sheet.set_repeat_rows(0, 0)?;
    for (place, column) in (0_u16..).zip(columns) {
        let width = match column.kind {
            CellKind::Text => 26,
            CellKind::Instant => 20,
            CellKind::Count | CellKind::Number | CellKind::Seconds | CellKind::Share | CellKind::Day => 13,
        };
        sheet.set_column_width(place, width.max(i32::try_from(column.title.len()).unwrap_or(0) + 3))?;
        sheet.write_string_with_format(0, place, column.title, &formats.header)?;
    }
    Ok(())
}

fn write_cell(
    sheet: &mut Worksheet,
    (row, place): (u32, u16),
    cell: &Cell,
    zone: &TimeZone,
    formats: &CellFormats,
) -> Result<(), XlsxError> {
    let (number, format) = match cell {
        Cell::Empty(_) => return Ok(()),
        Cell::Text(text) => {
            sheet.write_string_with_format(row, place, truncated(text), &formats.text)?;
            return Ok(());
        }
        Cell::Count(count) => (as_float(*count), &formats.count),
        Cell::Number(number) => (*number, &formats.number),
        Cell::Seconds(micros) => (as_float(*micros) / MICROS_PER_DAY, &formats.duration),
        Cell::Share(share) => (*share, &formats.share),
        Cell::Instant(at) => (excel_serial(*at, zone), &formats.instant),
        Cell::Day(day) => {
            let midnight = day.to_zoned(TimeZone::UTC).map_or(UtcMicros::EPOCH, |day| day.timestamp().into());
            (excel_serial(midnight, &TimeZone::UTC), &formats.day)
        }
    };
    sheet.write_number_with_format(row, place, number, format)?;
    Ok(())
}

/// Returns the instant on the zone's clock as a serial number of days, as the format counts them.
fn excel_serial(at: UtcMicros, zone: &TimeZone) -> f64 {
    let offset_us = i64::from(zone.to_offset(at.timestamp()).seconds()) * 1_000_000;
    as_float(at.as_micros().saturating_add(offset_us)) / MICROS_PER_DAY + EPOCH_DAY
}

#[expect(clippy::cast_precision_loss, reason = "the format has no other numbers; up to 2^53 nothing is lost")]
const fn as_float(number: i64) -> f64 {
    number as f64
}

fn truncated(text: &str) -> &str {
    match text.char_indices().nth(MAX_TEXT_CHARS) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

impl<W: Write + Seek + Send> Sink for Xlsx<W> {
    fn section(&mut self, section: &'static Section) -> Result<(), WriteError> {
        let sections = self.heading.request.report.sections();
        self.sheet = sections.iter().position(|known| known.name == section.name).unwrap_or_default();
        (self.section, self.row, self.parts) = (Some(section), 0, 1);
        Ok(())
    }

    fn row(&mut self, cells: &[Cell]) -> Result<(), WriteError> {
        catch_panic(|| self.write_row(cells))
    }

    fn end(&mut self) -> Result<(), WriteError> {
        let columns = self.section.take().map_or(0, |section| section.columns.len());
        if let (1.., Ok(last)) = (columns, u16::try_from(columns.saturating_sub(1))) {
            let sheet = self.book.worksheet_from_index(self.sheet).map_err(xlsx_error)?;
            sheet.autofilter(0, 0, self.row.max(1), last).map_err(xlsx_error)?;
        }
        Ok(())
    }
}

impl<W: Write + Seek + Send> Writer for Xlsx<W> {
    fn finish(&mut self, tallies: &[SectionTally]) -> Result<(), WriteError> {
        catch_panic(|| {
            self.write_definitions()?;
            self.write_provenance(tallies)?;
            self.book.save_to_writer(&mut self.out)
        })?;
        Ok(self.out.flush()?)
    }
}
