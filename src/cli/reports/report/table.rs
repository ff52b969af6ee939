//! A report in a terminal: a table per section, with long ones cut, and wide ones transposed or split
//! ([`choose_layout`]). In a pipe a row is a line, however wide.

use std::io::Write;

use jiff::tz::TimeZone;

use crate::cli::shared::output::{plain_table, table_with_header};
use crate::domain::wording::count_with_noun;
use crate::report::document::{Cell, Heading, Section, Sink, WriteError};
use crate::report::format;
use crate::report::tally::SectionTally;
use crate::report::writers::Writer;
use crate::report::writers::table_layout::{TableLayout, choose_layout};

/// The most rows of a section that are printed.
const MAX_ROWS: usize = 200;

/// The gap that comfy-table puts between two columns.
const COLUMN_GAP: usize = 2;

/// The writer of terminal tables.
pub struct TerminalTable<W: Write> {
    heading: Heading,
    out: W,
    zone: TimeZone,
    /// The characters of a terminal line; unlimited without a terminal.
    line_width: usize,
    parts: Vec<SectionRows>,
}

struct SectionRows {
    section: &'static Section,
    rows: Vec<Vec<String>>,
    omitted_rows: u64,
}

impl<W: Write> TerminalTable<W> {
    /// Creates a writer into `out`, with instants in the heading's zone and the line width of the terminal, if there
    /// is one.
    pub fn new(heading: &Heading, out: W, line_width: Option<usize>) -> Self {
        let line_width = line_width.unwrap_or(usize::MAX);
        Self { heading: heading.clone(), out, zone: heading.request.time_zone(), line_width, parts: Vec::new() }
    }
}

impl SectionRows {
    /// Returns the tables of the section, if possible none wider than a line.
    fn tables(&self, line_width: usize) -> Vec<comfy_table::Table> {
        let columns = self.section.columns;
        let cells = |place: usize| self.rows.iter().map(move |row| row[place].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> =
            columns.iter().enumerate().map(|(place, column)| cells(place).max(column.title.chars().count())).collect();
        let build_table = |places: &[usize]| {
            let mut table = table_with_header(places.iter().map(|place| columns[*place].title));
            table.add_rows(
                self.rows.iter().map(|row| places.iter().map(|place| row[*place].clone()).collect::<Vec<_>>()),
            );
            table
        };
        match choose_layout(self.section, &widths, self.rows.len(), (line_width, COLUMN_GAP)) {
            TableLayout::OneTable => vec![build_table(&(0..columns.len()).collect::<Vec<_>>())],
            TableLayout::Transposed(keys) => {
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
            TableLayout::Split(tables) => tables.iter().map(|places| build_table(places)).collect(),
        }
    }
}

impl<W: Write + Send> Sink for TerminalTable<W> {
    fn section(&mut self, section: &'static Section) -> Result<(), WriteError> {
        self.parts.push(SectionRows { section, rows: Vec::new(), omitted_rows: 0 });
        Ok(())
    }

    fn row(&mut self, cells: &[Cell]) -> Result<(), WriteError> {
        let Some(part) = self.parts.last_mut() else { return Ok(()) };
        if part.rows.len() < MAX_ROWS {
            // A line break within a cell would break the table.
            let text = |cell| format::display_text(cell, &self.zone).replace(['\n', '\r', '\t'], " ");
            part.rows.push(cells.iter().map(text).collect());
        } else {
            part.omitted_rows += 1;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), WriteError> {
        Ok(())
    }
}

impl<W: Write + Send> Writer for TerminalTable<W> {
    fn finish(&mut self, _tallies: &[SectionTally]) -> Result<(), WriteError> {
        let request = &self.heading.request;
        let sections = request.report.sections();
        self.parts.sort_by_key(|part| sections.iter().position(|section| section.name == part.section.name));
        let instant = |at| format::display_text(&Cell::Instant(at), &self.zone);
        let from = request.from.map_or_else(|| "the beginning".to_owned(), instant);
        let (title, tenant, zone) = (self.heading.title, &request.tenant, &request.zone);
        writeln!(self.out, "{title} of {tenant}, from {from} to {} ({zone})", instant(request.to))?;
        for note in &self.heading.notes {
            writeln!(self.out, "{note}")?;
        }
        for part in self.parts.iter().filter(|part| !part.rows.is_empty()) {
            writeln!(self.out, "\n{}", part.section.title)?;
            for table in part.tables(self.line_width) {
                writeln!(self.out, "\n{}", table.trim_fmt())?;
            }
            if part.omitted_rows > 0 {
                writeln!(
                    self.out,
                    "and {}: --format csv has all of them",
                    count_with_noun(part.omitted_rows, "more row")
                )?;
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
