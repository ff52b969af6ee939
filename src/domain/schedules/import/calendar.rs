//! Parsing of shift files in iCalendar (RFC 5545): content lines, components and events.
//!
//! Lines are unfolded and components tracked here, so that every error names a line of the file and one broken event
//! does not hide the errors of the next. The `icalendar` crate parses single properties. A `VTIMEZONE` is not read: a
//! `TZID` means the IANA zone of that name. [`event`] interprets events.

pub(super) mod event;
mod recurrence;
mod value;

use std::borrow::Cow;

use super::assembler::Assembler;
use super::diagnostic::{ImportDiagnostic, ScheduleImportError};
use super::draft::ScheduleDraft;
use super::options::ImportOptions;
use event::{Event, Property};

/// The largest nesting depth of components; a `VALARM` in a `VEVENT` in a `VCALENDAR` is three.
const MAX_DEPTH: usize = 8;

/// The number of failed recurrence rules after which parsing stops, because each of them costs some milliseconds.
const MAX_FAILED_RULES: usize = 100;

/// Parses a whole calendar.
pub(super) fn read(bytes: &[u8], options: &ImportOptions) -> Result<ScheduleDraft, ScheduleImportError> {
    let mut calendar = CalendarReader {
        assembler: Assembler::new(options, event::START),
        options,
        open_components: Vec::new(),
        event: None,
        calendars: 0,
        failed_rules: 0,
    };
    for (line, content) in ContentLines::new(bytes) {
        if calendar.read_line(line, &content).is_err() {
            return calendar.assembler.finish();
        }
    }
    if let Some((name, line)) = calendar.open_components.pop() {
        let reason = format!("BEGIN:{name} has no END; the file is cut off, export it again");
        calendar.assembler.report_error(ImportDiagnostic::for_line(line, reason));
    } else if calendar.calendars == 0 {
        calendar
            .assembler
            .report_error(ImportDiagnostic::for_file("the file holds no calendar; it begins with BEGIN:VCALENDAR"));
    }
    calendar.assembler.finish()
}

/// The file cannot be parsed any further; the reason has been reported.
struct UnreadableFile;

struct CalendarReader<'o> {
    assembler: Assembler<'o>,
    options: &'o ImportOptions,
    /// The open components, each with the line at which it begins.
    open_components: Vec<(String, u64)>,
    /// The open event, if any.
    event: Option<Event>,
    calendars: usize,
    failed_rules: usize,
}

impl CalendarReader<'_> {
    fn read_line(&mut self, line: u64, content: &[u8]) -> Result<(), UnreadableFile> {
        if content.trim_ascii().is_empty() {
            return Ok(());
        }
        let end = content.iter().position(|byte| matches!(byte, b':' | b';')).unwrap_or(content.len());
        let name = String::from_utf8_lossy(&content[..end]).trim().to_ascii_uppercase();
        let value = || String::from_utf8_lossy(content.get(end + 1..).unwrap_or_default()).trim().to_ascii_uppercase();
        match name.as_str() {
            "BEGIN" => self.begin_component(line, value()),
            "END" => self.end_component(line, &value()),
            _ if self.open_components.is_empty() => {
                Err(self.abort(line, "this is outside of every component; a calendar begins with BEGIN:VCALENDAR"))
            }
            _ => {
                self.read_property(line, &name, content);
                Ok(())
            }
        }
    }

    fn abort(&mut self, line: u64, reason: &str) -> UnreadableFile {
        self.assembler.report_error(ImportDiagnostic::for_line(line, reason));
        UnreadableFile
    }

    fn begin_component(&mut self, line: u64, name: String) -> Result<(), UnreadableFile> {
        match (self.open_components.len(), name.as_str()) {
            (0, "VCALENDAR") => self.calendars += 1,
            (0, _) => return Err(self.abort(line, "this is not a calendar; the file begins with BEGIN:VCALENDAR")),
            (1, "VEVENT") => self.event = Some(Event { line, properties: Vec::new() }),
            (1, "VTIMEZONE") => {}
            (1, _) => {
                let other: String = name.chars().filter(char::is_ascii_graphic).take(40).collect();
                self.assembler.report_warning(ImportDiagnostic::for_line(
                    line,
                    format!("{other} is not an event; it is ignored"),
                ));
            }
            (MAX_DEPTH.., _) => return Err(self.abort(line, "components lie too deep in each other")),
            _ => {}
        }
        self.open_components.push((name, line));
        Ok(())
    }

    fn end_component(&mut self, line: u64, name: &str) -> Result<(), UnreadableFile> {
        match self.open_components.pop() {
            Some((open, _)) if open == name => {}
            Some((_, begin_line)) => {
                let reason = format!("this END does not belong to the BEGIN of line {begin_line}");
                return Err(self.abort(line, &reason));
            }
            None => return Err(self.abort(line, "this END has no BEGIN")),
        }
        if self.open_components.len() != 1 {
            return Ok(());
        }
        let Some(event) = self.event.take() else { return Ok(()) };
        if self.assembler.is_row_limit_reached(event.line) {
            return Err(UnreadableFile);
        }
        if !event::read(&event, self.options, &mut self.assembler) {
            self.failed_rules += 1;
            if self.failed_rules == MAX_FAILED_RULES {
                return Err(self.abort(line, "too many rules cannot be followed; the rest of the file was not read"));
            }
        }
        Ok(())
    }

    fn read_property(&mut self, line: u64, name: &str, content: &[u8]) {
        let of_event = self.open_components.len() == 2 && self.event.is_some() && event::PROPERTIES.contains(&name);
        let of_calendar = self.open_components.len() == 1 && matches!(name, "METHOD" | "CALSCALE");
        if !of_event && !of_calendar {
            return;
        }
        let Ok(text) = std::str::from_utf8(content) else {
            self.assembler.report_error(ImportDiagnostic::for_column(
                line,
                name,
                "is not UTF-8 text; save the file as UTF-8",
            ));
            return;
        };
        let Ok(parsed) = icalendar::parser::Property::try_from(text) else {
            self.assembler
                .report_error(ImportDiagnostic::for_line(line, format!("{name} cannot be read as a property")));
            return;
        };
        // The parser leaves the escapes of properties that it does not know.
        let value = if name.starts_with("X-") { parsed.val.clone().unescape_text() } else { parsed.val.clone() };
        let value = value.as_str().trim();
        if of_calendar {
            let expected: &[&str] = if name == "METHOD" { &["PUBLISH", "REQUEST"] } else { &["GREGORIAN"] };
            if !expected.iter().any(|expected| value.eq_ignore_ascii_case(expected)) {
                let reason = format!("is not supported; only {} is", expected.join(" or "));
                self.assembler.report_error(ImportDiagnostic::for_value(line, name, value, reason));
            }
            return;
        }
        let parameters = parsed.params.iter().map(|parameter| {
            let value = parameter.val.as_ref().map_or("", |value| value.as_str());
            (parameter.key.as_str().to_ascii_uppercase(), value.trim_matches('"').to_owned())
        });
        let property =
            Property { line, name: name.to_owned(), value: value.to_owned(), parameters: parameters.collect() };
        if let Some(event) = &mut self.event {
            event.properties.push(property);
        }
    }
}

/// An iterator over the unfolded content lines of a calendar, each with its first line number.
///
/// Folding may split a character of several bytes, so lines are unfolded before the text is decoded.
struct ContentLines<'a> {
    rest: &'a [u8],
    line: u64,
}

impl<'a> ContentLines<'a> {
    const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, line: 0 }
    }

    fn physical_line(&mut self) -> &'a [u8] {
        let end = self.rest.iter().position(|&byte| byte == b'\n');
        let (line, rest) = match end {
            Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
            None => (self.rest, &[][..]),
        };
        self.rest = rest;
        self.line += 1;
        line.strip_suffix(b"\r").unwrap_or(line)
    }
}

impl<'a> Iterator for ContentLines<'a> {
    type Item = (u64, Cow<'a, [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let mut content = Cow::Borrowed(self.physical_line());
        let line = self.line;
        while self.rest.first().is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
            let folded = self.physical_line();
            content.to_mut().extend_from_slice(&folded[1..]);
        }
        Some((line, content))
    }
}
