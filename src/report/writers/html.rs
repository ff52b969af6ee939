//! HTML: one self-contained page to read in a light or dark theme, and to print.
//!
//! A page is for people, so it shows the first rows of each section only; the other formats have all of them. A
//! section wider than a printed page is transposed or split into several tables ([`choose_layout`]). The template
//! escapes all data, so that it is text and never markup.

use std::io::{self, Write};

use askama::Template;
use jiff::tz::TimeZone;

use super::chart::{ChartPoints, Drawing, WIDTH};
use super::provenance;
use super::table_layout::{TableLayout, choose_layout};
use super::writer::Writer;
use crate::report::document::{Cell, CellKind, Column, Heading, Section, Sink, WriteError};
use crate::report::format;
use crate::report::tally::SectionTally;

/// The number of a section's rows that the page shows.
pub const MAX_ROWS: usize = 2_000;

/// The characters in a line of a printed page (A4, landscape), and those between two columns.
const PAGE_COLUMNS: (usize, usize) = (138, 2);

/// The length of an id; longer cells are wrapped.
const MAX_WIDTH: usize = 36;

/// A cell as shown.
struct ShownCell {
    text: String,
    /// Whether it is a number, which is aligned to the right.
    number: bool,
    /// The reason why the cell is empty; an empty text if it is not.
    why: &'static str,
}

impl ShownCell {
    fn is_long(&self) -> bool {
        self.text.chars().count() > MAX_WIDTH
    }
}

/// A section as shown.
struct HtmlSection {
    section: &'static Section,
    rows: Vec<Vec<ShownCell>>,
    more: u64,
    points: Option<ChartPoints>,
    drawing: Option<Drawing>,
}

impl HtmlSection {
    fn total(&self) -> u64 {
        self.rows.len() as u64 + self.more
    }

    /// Returns the column widths: the longest word of the header or the longest cell.
    fn widths(&self) -> Vec<usize> {
        let word = |text: &str| text.split(' ').map(|word| word.chars().count()).max().unwrap_or(0);
        let columns = self.section.columns.iter().enumerate();
        let cells = |place: usize| self.rows.iter().map(move |row| row[place].text.chars().count()).max().unwrap_or(0);
        columns.map(|(place, column)| cells(place).min(MAX_WIDTH).max(word(column.title))).collect()
    }

    /// Returns its tables, side by side in the order of their columns.
    fn tables(&self) -> Vec<HtmlTable<'_>> {
        let columns = self.section.columns;
        match choose_layout(self.section, &self.widths(), self.rows.len(), PAGE_COLUMNS) {
            TableLayout::OneTable => vec![self.grid(&(0..columns.len()).collect::<Vec<_>>())],
            TableLayout::Transposed(keys) => vec![self.transposed(keys)],
            TableLayout::Split(tables) => tables.iter().map(|table| self.grid(table)).collect(),
        }
    }

    fn grid(&self, columns_shown: &[usize]) -> HtmlTable<'_> {
        let columns = self.section.columns;
        HtmlTable {
            head: columns_shown.iter().map(|place| HeaderCell::of(&columns[*place])).collect(),
            rows: self
                .rows
                .iter()
                .map(|row| TableRow { head: None, cells: columns_shown.iter().map(|place| &row[*place]).collect() })
                .collect(),
        }
    }

    /// Transposes the section: a line for each column, and a column for each row.
    fn transposed(&self, keys: usize) -> HtmlTable<'_> {
        let (which, figures) = self.section.columns.split_at(keys);
        let name =
            |row: &Vec<ShownCell>| row[..keys].iter().map(|cell| cell.text.as_str()).collect::<Vec<_>>().join(", ");
        let first = which.iter().map(|column| column.title).collect::<Vec<_>>().join(", ");
        let figure = |(place, column)| TableRow {
            head: Some(HeaderCell::of(column)),
            cells: self.rows.iter().map(|row| &row[keys + place]).collect(),
        };
        let head = |title: String, number| HeaderCell { title, definition: "", number };
        HtmlTable {
            head: [head(first, false)].into_iter().chain(self.rows.iter().map(|row| head(name(row), true))).collect(),
            rows: figures.iter().enumerate().map(figure).collect(),
        }
    }
}

/// A table as shown.
struct HtmlTable<'a> {
    head: Vec<HeaderCell>,
    rows: Vec<TableRow<'a>>,
}

struct TableRow<'a> {
    /// The figure that the line shows, in a transposed table.
    head: Option<HeaderCell>,
    cells: Vec<&'a ShownCell>,
}

/// The header of a column or line.
struct HeaderCell {
    title: String,
    definition: &'static str,
    number: bool,
}

impl HeaderCell {
    fn of(column: &Column) -> Self {
        Self { title: column.title.to_owned(), definition: column.definition, number: is_number(column.kind) }
    }
}

#[derive(Template)]
#[template(path = "report.html")]
struct ReportPage<'a> {
    heading: &'a Heading,
    from: String,
    to: String,
    made_at: String,
    filters: String,
    parts: &'a [HtmlSection],
    lines: Vec<(String, String)>,
}

/// The HTML writer.
pub struct Html<W: Write> {
    heading: Heading,
    out: W,
    zone: TimeZone,
    parts: Vec<HtmlSection>,
}

impl<W: Write> Html<W> {
    /// Creates a writer into `out`, with instants in the heading's zone.
    pub fn new(heading: &Heading, out: W) -> Self {
        Self { heading: heading.clone(), out, zone: heading.request.time_zone(), parts: Vec::new() }
    }
}

const fn is_number(kind: CellKind) -> bool {
    match kind {
        CellKind::Count | CellKind::Number | CellKind::Seconds | CellKind::Share => true,
        CellKind::Text | CellKind::Instant | CellKind::Day => false,
    }
}

impl<W: Write + Send> Sink for Html<W> {
    fn section(&mut self, section: &'static Section) -> Result<(), WriteError> {
        self.parts.push(HtmlSection {
            section,
            rows: Vec::new(),
            more: 0,
            points: ChartPoints::of(section),
            drawing: None,
        });
        Ok(())
    }

    fn row(&mut self, cells: &[Cell]) -> Result<(), WriteError> {
        let Some(part) = self.parts.last_mut() else { return Ok(()) };
        if let Some(points) = &mut part.points {
            points.add_row(cells, &self.zone);
        }
        if part.rows.len() >= MAX_ROWS {
            part.more += 1;
            return Ok(());
        }
        let html_cells = part.section.columns.iter().zip(cells).map(|(column, cell)| ShownCell {
            text: format::display_text(cell, &self.zone),
            number: is_number(column.kind),
            why: if let Cell::Empty(why) = cell { why } else { "" },
        });
        part.rows.push(html_cells.collect());
        Ok(())
    }

    fn end(&mut self) -> Result<(), WriteError> {
        if let Some(part) = self.parts.last_mut() {
            part.drawing = part.points.take().and_then(|points| points.to_drawing(part.section));
        }
        Ok(())
    }
}

impl<W: Write + Send> Writer for Html<W> {
    fn finish(&mut self, tallies: &[SectionTally]) -> Result<(), WriteError> {
        let sections = self.heading.request.report.sections();
        self.parts.sort_by_key(|part| sections.iter().position(|section| section.name == part.section.name));
        let request = &self.heading.request;
        let instant = |at| format::display_text(&Cell::Instant(at), &self.zone);
        let page = ReportPage {
            from: request.from.map_or_else(|| "the beginning".to_owned(), instant),
            to: instant(request.to),
            made_at: instant(self.heading.made_at),
            filters: provenance::filters(&self.heading),
            parts: &self.parts,
            lines: provenance::lines(&self.heading, tallies),
            heading: &self.heading,
        };
        let text = page.render().map_err(|error| WriteError::Io(io::Error::other(error)))?;
        self.out.write_all(text.as_bytes())?;
        Ok(self.out.flush()?)
    }
}
