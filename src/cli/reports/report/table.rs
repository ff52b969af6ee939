//! A report at a terminal: a table per section, the long ones cut, the wide ones turned or cut into several ([`spread`]). Into a pipe a row
//! is a line, however wide.

use std::io::Write;

use jiff::tz::TimeZone;

use super::plain_table;
use crate::domain::words::count;
use crate::report::document::{Cell, Heading, Section, Sink, WriteError};
use crate::report::shown;
use crate::report::spread::{Spread, spread};
use crate::report::tally::SectionTally;
use crate::report::writers::Writer;

/// Rows of a section that are printed.
const MOST_ROWS: usize = 200;

/// What comfy-table puts between two columns.
const GAP: usize = 2;

/// The writer.
pub struct Table<W: Write> {
    heading: Heading,
    out: W,
    zone: TimeZone,
    /// Characters of a line of the terminal; as many as there are where there is none.
    line: usize,
    parts: Vec<Part>,
}

struct Part {
    section: &'static Section,
    rows: Vec<Vec<String>>,
    more: u64,
}

impl<W: Write> Table<W> {
    /// Into `out`, with instants in the heading's zone and lines of so many characters, where there is a terminal.
    pub fn new(heading: &Heading, out: W, line: Option<usize>) -> Self {
        let line = line.unwrap_or(usize::MAX);
        Self { heading: heading.clone(), out, zone: heading.request.time_zone(), line, parts: Vec::new() }
    }
}

impl Part {
    /// Its tables, none wider than a line where that can be.
    fn tables(&self, line: usize) -> Vec<comfy_table::Table> {
        let columns = self.section.columns;
        let cells = |place: usize| self.rows.iter().map(move |row| row[place].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> =
            columns.iter().enumerate().map(|(place, column)| cells(place).max(column.title.chars().count())).collect();
        let of = |places: &[usize]| {
            let mut table = plain_table();
            table.set_header(places.iter().map(|place| columns[*place].title));
            table.add_rows(
                self.rows.iter().map(|row| places.iter().map(|place| row[*place].clone()).collect::<Vec<_>>()),
            );
            table
        };
        match spread(self.section, &widths, self.rows.len(), (line, GAP)) {
            Spread::Whole => vec![of(&(0..columns.len()).collect::<Vec<_>>())],
            Spread::Turned(keys) => {
                let mut table = plain_table();
                for (place, column) in columns.iter().enumerate() {
                    let line =
                        [column.title.to_owned()].into_iter().chain(self.rows.iter().map(|row| row[place].clone()));
                    if place < keys {
                        table.set_header(line)
                    } else {
                        table.add_row(line)
                    };
                }
                vec![table]
            }
            Spread::Cut(tables) => tables.iter().map(|places| of(places)).collect(),
        }
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
            writeln!(self.out, "\n{}", part.section.title)?;
            for table in part.tables(self.line) {
                writeln!(self.out, "\n{}", table.trim_fmt())?;
            }
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
