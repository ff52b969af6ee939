//! CSV as in RFC 4180: one section, a header row, CRLF, and text that spreadsheets do not run as formulas.

use std::io::{self, Write};

use jiff::tz::TimeZone;

use super::writer::Writer;
use crate::domain::time::UtcMicros;
use crate::domain::wording::escape_formula;
use crate::report::document::{Cell, Heading, Section, Sink, WriteError};
use crate::report::format;
use crate::report::tally::SectionTally;

/// The CSV writer.
pub struct Csv<W: Write> {
    out: csv::Writer<W>,
    zone: TimeZone,
    field: String,
    /// The last instant written and its text, since a row often begins where the one before ended.
    last_instant: Option<(UtcMicros, String)>,
}

impl<W: Write> Csv<W> {
    /// Creates a writer into `out`, with instants in the heading's zone.
    pub fn new(heading: &Heading, out: W) -> Self {
        let out = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(out);
        Self { out, zone: heading.request.time_zone(), field: String::new(), last_instant: None }
    }
}

/// Returns the I/O error behind a CSV error, with its kind.
fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// Writes a cell as a field of the file.
pub fn write_field(cell: &Cell, zone: &TimeZone, out: &mut String) {
    match cell {
        Cell::Text(text) => out.push_str(&escape_formula(text)),
        Cell::Count(_)
        | Cell::Number(_)
        | Cell::Seconds(_)
        | Cell::Share(_)
        | Cell::Instant(_)
        | Cell::Day(_)
        | Cell::Empty(_) => format::write_exact(cell, zone, out),
    }
}

impl<W: Write + Send> Sink for Csv<W> {
    fn section(&mut self, section: &'static Section) -> Result<(), WriteError> {
        let names = section.columns.iter().map(|column| column.name);
        Ok(self.out.write_record(names).map_err(io_error)?)
    }

    fn row(&mut self, cells: &[Cell]) -> Result<(), WriteError> {
        for cell in cells {
            self.field.clear();
            match (cell, &mut self.last_instant) {
                (Cell::Instant(at), Some((last, text))) if at == last => self.field.push_str(text),
                (Cell::Instant(at), last) => {
                    write_field(cell, &self.zone, &mut self.field);
                    *last = Some((*at, self.field.clone()));
                }
                (cell, _) => write_field(cell, &self.zone, &mut self.field),
            }
            self.out.write_field(&self.field).map_err(io_error)?;
        }
        Ok(self.out.write_record(None::<&[u8]>).map_err(io_error)?)
    }

    fn end(&mut self) -> Result<(), WriteError> {
        Ok(())
    }
}

impl<W: Write + Send> Writer for Csv<W> {
    fn finish(&mut self, _tallies: &[SectionTally]) -> Result<(), WriteError> {
        Ok(self.out.flush()?)
    }
}
