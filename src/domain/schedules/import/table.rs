//! Parsing of shift files as tables: fields separated by commas, semicolons or tabs, with quotes where needed.
//!
//! This turns lines into rows for [`Assembler`], which interprets them together.

use jiff::civil::DateTime;
use jiff::tz::Offset;

use super::assembler::{AgentFields, Assembler, RowFields, activity_named};
use super::diagnostic::{DiagnosticCollector, ImportDiagnostic, ScheduleImportError};
use super::draft::ScheduleDraft;
use super::field::{self, LONG_TEXT, SHORT_TEXT};
use super::header::{Field, Header};
use super::options::ImportOptions;
use super::place::Place;
use super::text_rows::{RawRow, Rows};
use super::zones::ZoneIndex;
use crate::domain::schedules::schedule::OFF_ACTIVITY;
use crate::domain::time::UtcMicros;
use crate::domain::wording::{self, unescape_formula};

/// The delimiters that are tried if none is given, the most likely first.
pub(super) const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// Parses a whole table.
pub(super) fn read(bytes: &[u8], options: &ImportOptions) -> Result<ScheduleDraft, ScheduleImportError> {
    let delimiter = options.delimiter.unwrap_or_else(|| detect_delimiter(bytes, options));
    let mut rows = Rows::new(bytes, delimiter);
    let Some(first) = rows.next_row() else {
        return Err(ScheduleImportError::single(ImportDiagnostic::for_file(
            "the file is empty; it needs a header and a row for each shift",
        )));
    };
    let mut errors = DiagnosticCollector::default();
    let mut assembler = Assembler::new(options, Field::Start.column(options));
    let header = Header::read(&first.fields, first.line, options, &mut errors, &mut assembler);
    let Some(header) = header else { return Err(errors.into_error()) };
    while let Some(row) = rows.next_row() {
        if assembler.is_row_limit_reached(row.line) {
            break;
        }
        read_row(&row, &header, &mut assembler);
    }
    assembler.finish()
}

/// Returns the delimiter with which the first row has the most known columns.
fn detect_delimiter(bytes: &[u8], options: &ImportOptions) -> u8 {
    let known_columns = |delimiter: u8| {
        Rows::new(bytes, delimiter).next_row().map_or(0, |row| Header::count_known_columns(&row.fields, options))
    };
    DELIMITERS.into_iter().rev().max_by_key(|&delimiter| known_columns(delimiter)).unwrap_or(b',')
}

fn read_row(row: &RawRow, header: &Header, assembler: &mut Assembler) {
    if let Some(problem) = row.problem {
        return assembler.report_error(ImportDiagnostic::for_line(row.line, problem));
    }
    if let Some(reason) = field_count_problem(row, header.columns()) {
        assembler.report_error(ImportDiagnostic::for_line(row.line, reason));
        return;
    }
    RowReader { row, header, assembler, is_valid: true }.read();
}

/// Returns what is wrong with the number of fields of a row, if anything is.
pub(super) fn field_count_problem(row: &RawRow, columns: usize) -> Option<String> {
    let fields = row.fields.len();
    let has_surplus_fields = row.fields.iter().skip(columns).any(|field| !field.trim_ascii().is_empty());
    let advice = if has_surplus_fields {
        "put quotes around a text that holds the delimiter"
    } else {
        "write the delimiter for an empty field too"
    };
    (fields < columns || has_surplus_fields).then(|| {
        format!("the row has {} where the header has {columns}; {advice}", wording::count_with_noun(fields, "field"))
    })
}

/// A time of a row: local to the row's zone, with the offset from UTC if the row says which of two equal times it means.
#[derive(Clone, Copy)]
struct RowTime {
    local: DateTime,
    offset: Option<Offset>,
}

impl RowTime {
    fn parse(text: &str) -> Result<Self, String> {
        let (local, offset) = field::split_offset(text).map_or((text, None), |(local, offset)| (local, Some(offset)));
        // An offset does not make anything else a time, so the message is about the whole text.
        let local = field::parse_local_time(local).or_else(|_| field::parse_local_time(text))?;
        Ok(Self { local, offset })
    }
}

/// Parses the fields of one row and reports every invalid one.
struct RowReader<'r, 'a, 'o> {
    row: &'r RawRow,
    header: &'r Header,
    assembler: &'a mut Assembler<'o>,
    is_valid: bool,
}

impl<'r> RowReader<'r, '_, '_> {
    fn read(mut self) {
        let id = self.parse_field(Field::AgentId, |text| match text {
            "" => Err("is missing; every row names its agent".to_owned()),
            text => field::check_plain_text(text, SHORT_TEXT),
        });
        let name = self.parse_field(Field::AgentName, |text| field::check_plain_text(text, LONG_TEXT));
        let team = self.parse_field(Field::Team, |text| field::check_plain_text(text, SHORT_TEXT));
        let activity = self.parse_field(Field::Activity, |text| match text {
            "" => Err("is missing; write shift, break, lunch, meeting, training or another activity".to_owned()),
            text => field::check_plain_text(text, SHORT_TEXT),
        });
        let start = self.parse_field(Field::Start, RowTime::parse);
        let end = self.parse_field(Field::End, RowTime::parse);
        let mandatory = self.parse_field(Field::Mandatory, field::parse_flag);
        let skills = match self.header.position(Field::Skills) {
            Some(_) => self.parse_field(Field::Skills, field::check_skills),
            None => Some(""),
        };
        let zone = self.read_zone();
        let place = self.assembler.row_place(self.row.line);
        let agent = || {
            let (id, name, team, skills) = (id?, name?, team?, skills?);
            Some(AgentFields { id, name, team, skills, zone: Some(zone?), place: place.without_column() })
        };
        let agent = agent();
        let added = match activity {
            Some(activity) if activity.eq_ignore_ascii_case(OFF_ACTIVITY) => {
                self.add_days_off(agent, start, end, place)
            }
            Some(_) | None => self.add_row(agent, activity, start.zip(end), mandatory, place),
        };
        if added.is_none() {
            self.assembler.record_unreadable(id, activity);
        }
    }

    /// Adds a row about days without a shift; `None` if it is not valid.
    fn add_days_off(
        &mut self,
        agent: Option<AgentFields<'_>>,
        start: Option<RowTime>,
        end: Option<RowTime>,
        place: Place,
    ) -> Option<()> {
        let (agent, days) = (agent?, [start?.local, end?.local]);
        if !self.is_valid {
            return None;
        }
        self.assembler.add_days_off(&agent, days, place).map_err(|reason| self.report_error(Field::Start, reason)).ok()
    }

    /// Adds a row about a shift or an activity; `None` if it is not valid.
    fn add_row(
        &mut self,
        agent: Option<AgentFields<'_>>,
        activity: Option<&str>,
        times: Option<(RowTime, RowTime)>,
        mandatory: Option<bool>,
        place: Place,
    ) -> Option<()> {
        let zone = agent.as_ref().and_then(|agent| agent.zone);
        let (start, end) = match (zone, times) {
            (Some(zone), Some((start, end))) => {
                (self.read_instant(Field::Start, zone, start), self.read_instant(Field::End, zone, end))
            }
            _ => (None, None),
        };
        let (start, end) = (start?, end?);
        if end <= start {
            let reason = "is not after the start; a shift over midnight ends on the next day's date";
            self.report_error(Field::End, reason.to_owned());
        }
        let (agent, activity, mandatory) = (agent?, activity_named(activity?), mandatory?);
        if !self.is_valid {
            return None;
        }
        self.assembler.add_row(&agent, RowFields { activity, start, end, mandatory, shift: 0, place });
        Some(())
    }

    /// Returns the text of a field without surrounding spaces; `None` if it is not UTF-8.
    fn field_text(&self, field: Field) -> Option<&'r str> {
        let bytes = self.row.fields.get(self.header.position(field)?)?;
        std::str::from_utf8(bytes).ok().map(str::trim).map(unescape_formula)
    }

    fn parse_field<T>(&mut self, field: Field, parse: impl FnOnce(&'r str) -> Result<T, String>) -> Option<T> {
        let Some(text) = self.field_text(field) else {
            self.report_error(field, "is not UTF-8 text; save the file as UTF-8".to_owned());
            return None;
        };
        parse(text).map_err(|reason| self.report_error(field, reason)).ok()
    }

    fn read_zone(&mut self) -> Option<ZoneIndex> {
        let text = match self.header.position(Field::TimeZone) {
            Some(_) => self.parse_field(Field::TimeZone, Ok)?,
            None => "",
        };
        let found = match (text, self.assembler.default_zone()) {
            ("", Some(zone)) => Ok(zone),
            ("", None) => Err("is missing; write an IANA name such as Europe/Berlin".to_owned()),
            (text, _) => self.assembler.zones.find(text),
        };
        found.map_err(|reason| self.report_error(Field::TimeZone, reason)).ok()
    }

    fn read_instant(&mut self, field: Field, zone: ZoneIndex, time: RowTime) -> Option<UtcMicros> {
        let instant = match time.offset {
            None => self.assembler.instant(zone, time.local),
            Some(offset) => self.assembler.instant_with_offset(zone, time.local, offset),
        };
        instant.map_err(|reason| self.report_error(field, reason)).ok()
    }

    fn report_error(&mut self, field: Field, reason: String) {
        self.is_valid = false;
        let column = field.column(self.assembler.options);
        let bytes = self.header.position(field).and_then(|at| self.row.fields.get(at)).unwrap_or_default();
        let value = String::from_utf8_lossy(bytes);
        // People's names are kept out of messages, which end up in logs and tickets.
        let complaint = if value.trim().is_empty() || field == Field::AgentName {
            ImportDiagnostic::for_column(self.row.line, column, reason)
        } else {
            ImportDiagnostic::for_value(self.row.line, column, value.trim(), reason)
        };
        self.assembler.report_error(complaint);
    }
}
