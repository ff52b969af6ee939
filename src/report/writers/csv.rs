//! CSV as RFC 4180 has it: one section, a heading row, CRLF, text that no spreadsheet runs.

use std::io::{self, Write};

use jiff::tz::TimeZone;

use super::Writer;
use crate::domain::time::UtcMicros;
use crate::report::document::{Cell, Heading, Section, Sink, WriteError};
use crate::report::sheet::neutral;
use crate::report::shown;
use crate::report::tally::SectionTally;

/// The writer.
pub struct Csv<W: Write> {
    out: csv::Writer<W>,
    zone: TimeZone,
    field: String,
    /// The instant that was written last, and its text: where rows tile a span, the next one begins with it.
    last_instant: Option<(UtcMicros, String)>,
}

impl<W: Write> Csv<W> {
    /// Into `out`, with instants in the heading's zone.
    pub fn new(heading: &Heading, out: W) -> Self {
        let out = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(out);
        Self { out, zone: heading.request.time_zone(), field: String::new(), last_instant: None }
    }
}

/// The error of the disk, with its kind.
fn failed(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// The field of a cell, as it stands in a file.
pub fn field(cell: &Cell, zone: &TimeZone, out: &mut String) {
    match cell {
        Cell::Text(text) => out.push_str(&neutral(text)),
        Cell::Count(_)
        | Cell::Number(_)
        | Cell::Seconds(_)
        | Cell::Share(_)
        | Cell::Instant(_)
        | Cell::Day(_)
        | Cell::Empty(_) => shown::exact(cell, zone, out),
    }
}

impl<W: Write + Send> Sink for Csv<W> {
    fn section(&mut self, section: &'static Section) -> Result<(), WriteError> {
        let names = section.columns.iter().map(|column| column.name);
        Ok(self.out.write_record(names).map_err(failed)?)
    }

    fn row(&mut self, cells: &[Cell]) -> Result<(), WriteError> {
        for cell in cells {
            self.field.clear();
            match (cell, &mut self.last_instant) {
                (Cell::Instant(at), Some((last, text))) if at == last => self.field.push_str(text),
                (Cell::Instant(at), last) => {
                    field(cell, &self.zone, &mut self.field);
                    *last = Some((*at, self.field.clone()));
                }
                (cell, _) => field(cell, &self.zone, &mut self.field),
            }
            self.out.write_field(&self.field).map_err(failed)?;
        }
        Ok(self.out.write_record(None::<&[u8]>).map_err(failed)?)
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
