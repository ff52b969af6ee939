//! JSON: one document with each row as an object on its own line, so that long files can be read and compared line by
//! line.

use std::io::Write;

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::writer::Writer;
use crate::report::document::{Cell, Heading, Section, Sink, WriteError};
use crate::report::format;
use crate::report::tally::SectionTally;

/// The JSON writer.
pub struct Json<W: Write> {
    out: W,
    zone: TimeZone,
    section: Option<&'static Section>,
    /// Whether a section, and a row of the section, has been written before.
    after_section: bool,
    after_row: bool,
    line: String,
}

impl<W: Write> Json<W> {
    /// Creates a writer and writes what precedes the sections.
    pub fn new(heading: &Heading, mut out: W) -> Result<Self, WriteError> {
        let heading_json = json!(heading).to_string();
        write!(out, "{},\n\"sections\":{{", heading_json.strip_suffix('}').unwrap_or(&heading_json))?;
        Ok(Self {
            out,
            zone: heading.request.time_zone(),
            section: None,
            after_section: false,
            after_row: false,
            line: String::new(),
        })
    }
}

/// Returns the line before a section's rows, without the separator from the section before.
pub fn section_opening(section: &Section) -> String {
    let columns: Vec<Value> = section
        .columns
        .iter()
        .map(|column| json!({ "name": column.name, "kind": column.kind, "definition": column.definition }))
        .collect();
    format!("{:?}:{{\"title\":{},\"columns\":{},\"rows\":[", section.name, json!(section.title), Value::Array(columns))
}

/// Writes a row as an object on one line.
pub fn write_row(section: &Section, cells: &[Cell], zone: &TimeZone, out: &mut String) {
    let mut text = String::new();
    out.push('{');
    for (column, cell) in section.columns.iter().zip(cells) {
        if out.len() > 1 {
            out.push(',');
        }
        out.push('"');
        out.push_str(column.name);
        out.push_str("\":");
        match cell {
            Cell::Empty(_) => out.push_str("null"),
            Cell::Count(_) | Cell::Number(_) | Cell::Share(_) | Cell::Seconds(_) => {
                format::write_exact(cell, zone, out);
            }
            Cell::Text(_) | Cell::Instant(_) | Cell::Day(_) => {
                text.clear();
                format::write_exact(cell, zone, &mut text);
                // Serializing a string cannot fail.
                out.push_str(&serde_json::to_string(&text).unwrap_or_default());
            }
        }
    }
    out.push('}');
}

impl<W: Write + Send> Sink for Json<W> {
    fn section(&mut self, section: &'static Section) -> Result<(), WriteError> {
        let separator = if std::mem::replace(&mut self.after_section, true) { "," } else { "" };
        write!(self.out, "{separator}\n{}", section_opening(section))?;
        (self.section, self.after_row) = (Some(section), false);
        Ok(())
    }

    fn row(&mut self, cells: &[Cell]) -> Result<(), WriteError> {
        let Some(section) = self.section else { return Ok(()) };
        self.line.clear();
        write_row(section, cells, &self.zone, &mut self.line);
        self.out.write_all(if std::mem::replace(&mut self.after_row, true) { b",\n" } else { b"\n" })?;
        Ok(self.out.write_all(self.line.as_bytes())?)
    }

    fn end(&mut self) -> Result<(), WriteError> {
        Ok(self.out.write_all(b"\n]}")?)
    }
}

impl<W: Write + Send> Writer for Json<W> {
    fn finish(&mut self, tallies: &[SectionTally]) -> Result<(), WriteError> {
        writeln!(self.out, "\n}},\n\"tallies\":{}}}", json!(tallies))?;
        Ok(self.out.flush()?)
    }
}
