//! HTML: one page that needs nothing else, to look at, by day and by night, and to print.
//!
//! A page is read by people, so each section shows its first rows only; the other formats have all of them. Data is text in it and
//! never markup: the template escapes whatever it is given.

use std::io::{self, Write};

use askama::Template;
use jiff::tz::TimeZone;

use super::Writer;
use crate::report::chart::{Drawing, Points, WIDTH};
use crate::report::document::{Cell, CellKind, Heading, Section, Sink, WriteError};
use crate::report::tally::SectionTally;
use crate::report::{provenance, shown};

/// Rows of a section that a page shows.
pub const MOST_ROWS: usize = 2_000;

/// A cell as it is shown.
struct Shown {
    text: String,
    /// Numbers stand to the right.
    number: bool,
    /// Why it is empty; empty where it is not.
    why: &'static str,
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
