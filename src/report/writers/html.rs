//! HTML: one page that needs nothing else, to look at, by day and by night, and to print.
//!
//! A page is read by people, so each section shows its first rows only; the other formats have all of them. A section that is wider than a
//! printed page is turned or cut into several tables ([`spread`]). Data is text in it and never markup: the template escapes whatever it
//! is given.

use std::io::{self, Write};

use askama::Template;
use jiff::tz::TimeZone;

use super::Writer;
use crate::report::chart::{Drawing, Points, WIDTH};
use crate::report::document::{Cell, CellKind, Column, Heading, Section, Sink, WriteError};
use crate::report::spread::{Spread, spread};
use crate::report::tally::SectionTally;
use crate::report::{provenance, shown};

/// Rows of a section that a page shows.
pub const MOST_ROWS: usize = 2_000;

/// Characters of a line of a printed page (A4, landscape), and what stands between two columns.
const LINE: (usize, usize) = (138, 2);

/// Cells longer than this, which is the length of an id, are broken between lines.
const MOST_WIDE: usize = 36;

/// A cell as it is shown.
struct Shown {
    text: String,
    /// Numbers stand to the right.
    number: bool,
    /// Why it is empty; empty where it is not.
    why: &'static str,
}

impl Shown {
    fn is_long(&self) -> bool {
        self.text.chars().count() > MOST_WIDE
    }
}

/// A section as it is shown.
struct Part {
    section: &'static Section,
    rows: Vec<Vec<Shown>>,
    more: u64,
    points: Option<Points>,
    drawing: Option<Drawing>,
}

impl Part {
    fn total(&self) -> u64 {
        self.rows.len() as u64 + self.more
    }

    /// What the columns need: the longest word of the heading, the longest cell.
    fn widths(&self) -> Vec<usize> {
        let word = |text: &str| text.split(' ').map(|word| word.chars().count()).max().unwrap_or(0);
        let columns = self.section.columns.iter().enumerate();
        let cells = |place: usize| self.rows.iter().map(move |row| row[place].text.chars().count()).max().unwrap_or(0);
        columns.map(|(place, column)| cells(place).min(MOST_WIDE).max(word(column.title))).collect()
    }

    /// Its tables, side by side in the order of their columns.
    fn tables(&self) -> Vec<Grid<'_>> {
        let columns = self.section.columns;
        match spread(self.section, &self.widths(), self.rows.len(), LINE) {
            Spread::Whole => vec![self.grid(&(0..columns.len()).collect::<Vec<_>>())],
            Spread::Turned(keys) => vec![self.turned(keys)],
            Spread::Cut(tables) => tables.iter().map(|table| self.grid(table)).collect(),
        }
    }

    fn grid(&self, places: &[usize]) -> Grid<'_> {
        let columns = self.section.columns;
        Grid {
            head: places.iter().map(|place| Head::of(&columns[*place])).collect(),
            rows: self
                .rows
                .iter()
                .map(|row| Line { head: None, cells: places.iter().map(|place| &row[*place]).collect() })
                .collect(),
        }
    }

    /// A line for each column, and a column for each row.
    fn turned(&self, keys: usize) -> Grid<'_> {
        let (which, figures) = self.section.columns.split_at(keys);
        let name = |row: &Vec<Shown>| row[..keys].iter().map(|cell| cell.text.as_str()).collect::<Vec<_>>().join(", ");
        let first = which.iter().map(|column| column.title).collect::<Vec<_>>().join(", ");
        let figure = |(place, column)| Line {
            head: Some(Head::of(column)),
            cells: self.rows.iter().map(|row| &row[keys + place]).collect(),
        };
        let head = |title: String, number| Head { title, definition: "", number };
        Grid {
            head: [head(first, false)].into_iter().chain(self.rows.iter().map(|row| head(name(row), true))).collect(),
            rows: figures.iter().enumerate().map(figure).collect(),
        }
    }
}

/// A table as it is shown.
struct Grid<'a> {
    head: Vec<Head>,
    rows: Vec<Line<'a>>,
}

struct Line<'a> {
    /// Which figure it is, where a line has one.
    head: Option<Head>,
    cells: Vec<&'a Shown>,
}

/// A heading of a column or a line.
struct Head {
    title: String,
    definition: &'static str,
    number: bool,
}

impl Head {
    fn of(column: &Column) -> Self {
        Self { title: column.title.to_owned(), definition: column.definition, number: is_number(column.kind) }
    }
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    heading: &'a Heading,
    from: String,
    to: String,
    made_at: String,
    filters: String,
    parts: &'a [Part],
    lines: Vec<(String, String)>,
}

/// The writer.
pub struct Html<W: Write> {
    heading: Heading,
    out: W,
    zone: TimeZone,
    parts: Vec<Part>,
}

impl<W: Write> Html<W> {
    /// Into `out`, with instants in the heading's zone.
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
        self.parts.push(Part { section, rows: Vec::new(), more: 0, points: Points::of(section), drawing: None });
        Ok(())
    }

    fn row(&mut self, cells: &[Cell]) -> Result<(), WriteError> {
        let Some(part) = self.parts.last_mut() else { return Ok(()) };
        if let Some(points) = &mut part.points {
            points.row(cells, &self.zone);
        }
        if part.rows.len() >= MOST_ROWS {
            part.more += 1;
            return Ok(());
        }
        let shown = part.section.columns.iter().zip(cells).map(|(column, cell)| Shown {
            text: shown::short(cell, &self.zone),
            number: is_number(column.kind),
            why: if let Cell::Empty(why) = cell { why } else { "" },
        });
        part.rows.push(shown.collect());
        Ok(())
    }

    fn end(&mut self) -> Result<(), WriteError> {
        if let Some(part) = self.parts.last_mut() {
            part.drawing = part.points.take().and_then(|points| points.draw(part.section));
        }
        Ok(())
    }
}

impl<W: Write + Send> Writer for Html<W> {
    fn finish(&mut self, tallies: &[SectionTally]) -> Result<(), WriteError> {
        let sections = self.heading.request.report.sections();
        self.parts.sort_by_key(|part| sections.iter().position(|section| section.name == part.section.name));
        let request = &self.heading.request;
        let instant = |at| shown::short(&Cell::Instant(at), &self.zone);
        let page = Page {
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
