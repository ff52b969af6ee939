//! A report at a terminal: a table per section, the long ones cut.

use std::io::Write;

use jiff::tz::TimeZone;

use super::plain_table;
use crate::domain::words::count;
use crate::report::document::{Cell, Heading, Section, Sink, WriteError};
use crate::report::shown;
use crate::report::tally::SectionTally;
use crate::report::writers::Writer;

/// Rows of a section that are printed.
const MOST_ROWS: usize = 200;

/// The writer.
pub struct Table<W: Write> {
    heading: Heading,
    out: W,
    zone: TimeZone,
    parts: Vec<Part>,
}

struct Part {
    section: &'static Section,
    rows: Vec<Vec<String>>,
    more: u64,
}

impl<W: Write> Table<W> {
    /// Into `out`, with instants in the heading's zone.
    pub fn new(heading: &Heading, out: W) -> Self {
        Self { heading: heading.clone(), out, zone: heading.request.time_zone(), parts: Vec::new() }
    }
}

impl<W: Write + Send> Sink for Table<W> {
    fn section(&mut self, section: &'static Section) -> Result<(), WriteError> {
        self.parts.push(Part { section, rows: Vec::new(), more: 0 });
        Ok(())
    }

    fn row(&mut self, cells: &[Cell]) -> Result<(), WriteError> {
        let Some(part) = self.parts.last_mut() else { return Ok(()) };
        if part.rows.len() < MOST_ROWS {
            // A line's end inside a cell would break the table.
            let text = |cell| shown::short(cell, &self.zone).replace(['\n', '\r', '\t'], " ");
            part.rows.push(cells.iter().map(text).collect());
        } else {
            part.more += 1;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), WriteError> {
        Ok(())
    }
}

impl<W: Write + Send> Writer for Table<W> {
    fn finish(&mut self, _tallies: &[SectionTally]) -> Result<(), WriteError> {
        let request = &self.heading.request;
        let sections = request.report.sections();
        self.parts.sort_by_key(|part| sections.iter().position(|section| section.name == part.section.name));
        let instant = |at| shown::short(&Cell::Instant(at), &self.zone);
        let from = request.from.map_or_else(|| "the beginning".to_owned(), instant);
        let (title, tenant, zone) = (self.heading.title, &request.tenant, &request.zone);
        writeln!(self.out, "{title} of {tenant}, from {from} to {} ({zone})", instant(request.to))?;
        for note in &self.heading.notes {
            writeln!(self.out, "{note}")?;
        }
        for part in self.parts.iter().filter(|part| !part.rows.is_empty()) {
            let mut table = plain_table();
            table.set_header(part.section.columns.iter().map(|column| column.title));
            for row in &part.rows {
                table.add_row(row);
            }
            writeln!(self.out, "\n{}\n\n{}", part.section.title, table.trim_fmt())?;
            if part.more > 0 {
                writeln!(self.out, "and {}: --format csv has all of them", count(part.more, "more row"))?;
            }
        }
        writeln!(self.out)?;
        for definition in &self.heading.definitions {
            let source = if definition.source.is_empty() { String::new() } else { format!(" ({})", definition.source) };
            writeln!(self.out, "{}: {}{source}", definition.name, definition.formula)?;
        }
        Ok(self.out.flush()?)
    }
}
