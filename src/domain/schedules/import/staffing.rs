//! Parsing of required staff: a table with a row for each interval and queue.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};

use super::diagnostic::{DiagnosticCollector, ImportDiagnostic, ScheduleImportError};
use super::field::{self, SHORT_TEXT};
use super::header::{column_title, normalized_titles};
use super::options::ImportOptions;
use super::table::{DELIMITERS, field_count_problem};
use super::text_rows::{RawRow, Rows};
use super::zones::{OUT_OF_RANGE, ZoneIndex, Zones};
use super::{check_text_file, strip_byte_order_mark};
use crate::domain::adherence::timeline::Span;
use crate::domain::schedules::staffing::{AgentCount, RequiredStaffing, STAFFING_INTERVAL};
use crate::domain::time::UtcMicros;

/// The largest number of rows of a file; they are stored in one step, for which other changes wait.
const MAX_ROWS: usize = 100_000;

/// The largest number of agents required in one interval of one queue.
const MAX_AGENTS: i64 = 100_000;

const LENGTHS: [u16; 3] = [15, 30, 60];

/// Required staff as read from a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StaffingDraft {
    /// The rows by queue and start, without overlaps.
    pub rows: Vec<RequiredStaffing>,
    /// The days of each queue, from the first instant (inclusive) to that of the next day (exclusive).
    pub days: BTreeMap<Arc<str>, Vec<Span>>,
    /// The first day.
    pub first_day: Date,
    /// The last day.
    pub last_day: Date,
    /// The IANA time zone of the days.
    pub zone: String,
    /// Warnings about the file.
    pub warnings: Vec<ImportDiagnostic>,
}

/// A column of a file of required staff.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Start,
    Date,
    Interval,
    Minutes,
    Queue,
    Required,
}

impl Column {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Start, "start"),
        (Self::Date, "date"),
        (Self::Interval, "interval"),
        (Self::Minutes, "minutes"),
        (Self::Queue, "queue"),
        (Self::Required, "required"),
    ];

    const fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// Parses a file of required staff. `zone` is the zone of local times and of days; without it, the file must have
/// instants, and its days are those of UTC.
pub fn read_staffing(
    bytes: &[u8],
    zone: Option<&str>,
    options: &ImportOptions,
) -> Result<StaffingDraft, ScheduleImportError> {
    check_text_file(bytes, options)?;
    let bytes = strip_byte_order_mark(bytes);
    let mut rows = Rows::new(bytes, options.delimiter.unwrap_or_else(|| detect_delimiter(bytes)));
    let Some(first) = rows.next_row() else {
        let reason = "the file is empty; it needs a header and a row for each interval and queue";
        return Err(ScheduleImportError::single(ImportDiagnostic::for_file(reason)));
    };
    let mut errors = DiagnosticCollector::default();
    let mut zones = Zones::new();
    let zone_index = zones.find(zone.unwrap_or("UTC")).map_err(|reason| {
        ScheduleImportError::single(ImportDiagnostic::for_file(reason).with_value(zone.unwrap_or_default()))
    })?;
    let (header, warnings) = Header::read(&first, &mut errors);
    if !errors.is_empty() {
        return Err(errors.into_error());
    }
    let mut reader = StaffingReader { header, zones, zone: zone_index, has_zone: zone.is_some(), errors, rows: vec![] };
    while let Some(row) = rows.next_row() {
        if reader.rows.len() == MAX_ROWS {
            let reason = format!("the file has more than {MAX_ROWS} rows; import it in parts");
            reader.errors.push(ImportDiagnostic::for_line(row.line, reason));
            break;
        }
        reader.read(&row);
    }
    reader.finish(warnings, options)
}

fn detect_delimiter(bytes: &[u8]) -> u8 {
    let known_columns = |delimiter: u8| {
        let titles = Rows::new(bytes, delimiter).next_row().map(|row| normalized_titles(&row.fields));
        let titles = titles.unwrap_or_default();
        Column::ALL.iter().filter(|(_, name)| titles.iter().any(|title| title == name)).count()
    };
    DELIMITERS.into_iter().rev().max_by_key(|&delimiter| known_columns(delimiter)).unwrap_or(b',')
}

/// The position of each column.
struct Header {
    positions: [Option<usize>; 6],
    columns: usize,
}

impl Header {
    /// Parses the header, and returns warnings about columns that are ignored.
    fn read(row: &RawRow, errors: &mut DiagnosticCollector) -> (Self, Vec<ImportDiagnostic>) {
        let titles = normalized_titles(&row.fields);
        let position = |name: &str| titles.iter().position(|title| title == name);
        let positions = Column::ALL.map(|(_, name)| position(name));
        let columns = titles.iter().rposition(|title| !title.is_empty()).map_or(0, |last| last + 1);
        let header = Self { positions, columns };
        if positions.iter().all(Option::is_none) {
            let reason = "this is not a header; the first line names the columns date, interval, queue and required";
            errors.push(ImportDiagnostic::for_line(row.line, reason));
            return (header, Vec::new());
        }
        let has = |column: Column| header.position(column).is_some();
        let mut needed = vec![Column::Queue, Column::Required];
        if !has(Column::Start) {
            needed.extend([Column::Date, Column::Interval]);
        }
        for column in needed.into_iter().filter(|column| !has(*column)) {
            let reason = "is missing from the header; add it";
            errors.push(ImportDiagnostic::for_column(row.line, column.name(), reason));
        }
        for column in [Column::Date, Column::Interval].into_iter().filter(|_| has(Column::Start)) {
            if has(column) {
                let reason = "says the same as the column start; keep start, or date and interval";
                errors.push(ImportDiagnostic::for_column(row.line, column.name(), reason));
            }
        }
        let mut warnings = Vec::new();
        for (at, title) in titles.iter().enumerate().filter(|(_, title)| !title.is_empty()) {
            match Column::ALL.iter().find(|(_, name)| name == title) {
                Some((column, name)) if header.position(*column) != Some(at) => {
                    errors.push(ImportDiagnostic::for_column(row.line, name, "is in the header twice; keep one"));
                }
                Some(_) => {}
                None => warnings.push(ImportDiagnostic::for_column(
                    row.line,
                    &column_title(&row.fields, at),
                    "is not a column of required staff; it is ignored",
                )),
            }
        }
        (header, warnings)
    }

    const fn position(&self, column: Column) -> Option<usize> {
        self.positions[column as usize]
    }
}

/// The time of a row.
struct RowTime {
    start: UtcMicros,
    /// The length in minutes, if the interval has an end.
    minutes: Option<u16>,
}

struct StaffingReader {
    header: Header,
    zones: Zones,
    zone: ZoneIndex,
    /// Whether the zone was given; without it, local times are refused.
    has_zone: bool,
    errors: DiagnosticCollector,
    rows: Vec<(RequiredStaffing, u64)>,
}

impl StaffingReader {
    fn read(&mut self, row: &RawRow) {
        let problem = row.problem.map(str::to_owned).or_else(|| field_count_problem(row, self.header.columns));
        if let Some(problem) = problem {
            return self.errors.push(ImportDiagnostic::for_line(row.line, problem));
        }
        let queue = self.field(row, Column::Queue, |text| match text {
            "" => Err("is missing; every row names its queue".to_owned()),
            text => field::check_plain_text(text, SHORT_TEXT).map(Arc::from),
        });
        let agents = self.field(row, Column::Required, parse_agents);
        let minutes = match self.header.position(Column::Minutes) {
            Some(_) => self.field(row, Column::Minutes, parse_minutes).map(Some),
            None => Some(None),
        };
        let time = self.time(row);
        let (Some(queue), Some(agents), Some(minutes), Some(time)) = (queue, agents, minutes, time) else { return };
        let length = match (time.minutes, minutes) {
            (Some(length), None) | (None, Some(length)) => length,
            (Some(length), Some(minutes)) if length == minutes => length,
            (Some(length), Some(_)) => {
                return self.report(
                    row,
                    Column::Minutes,
                    format!("does not fit the interval, which has {length} minutes"),
                );
            }
            (None, None) => {
                let column = self.time_column();
                let advice =
                    "does not say how long the interval is; write it as 09:00-09:15, or add the column minutes";
                return self.report(row, column, advice.to_owned());
            }
        };
        let staffing = RequiredStaffing { start: time.start, minutes: length, queue, agents };
        self.rows.push((staffing, row.line));
    }

    /// Returns the column that the start of a row is read from.
    const fn time_column(&self) -> Column {
        if self.header.position(Column::Start).is_some() { Column::Start } else { Column::Interval }
    }

    fn time(&mut self, row: &RawRow) -> Option<RowTime> {
        let column = self.time_column();
        let (start, minutes) = if column == Column::Start {
            let start = self.field(row, column, parse_start)?;
            (start, None)
        } else {
            let date = self.field(row, Column::Date, parse_date);
            let interval = self.field(row, column, parse_interval);
            let ((hour, minute), minutes) = interval?;
            (Start::Local(date?.at(hour, minute, 0, 0)), minutes)
        };
        let instant = match start {
            Start::Instant(instant) => Ok(instant),
            Start::Local(_) if !self.has_zone => {
                Err("does not say in which time zone; name the zone of the file, or write 2026-10-26T09:00Z in the column start".to_owned())
            }
            Start::Local(local) => self.zones.instant(self.zone, local),
        };
        let length = STAFFING_INTERVAL.as_micros();
        let is_aligned = |start: &UtcMicros| start.since(UtcMicros::EPOCH).as_micros().is_multiple_of(length);
        let instant = instant.and_then(|start| {
            let refused = || "does not start on a quarter hour: 09:00, 09:15, 09:30 or 09:45".to_owned();
            Some(start).filter(is_aligned).ok_or_else(refused)
        });
        match instant {
            Ok(start) => Some(RowTime { start, minutes }),
            Err(reason) => {
                self.report(row, column, reason);
                None
            }
        }
    }

    fn field<T>(&mut self, row: &RawRow, column: Column, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let bytes = self.header.position(column).and_then(|at| row.fields.get(at)).unwrap_or_default();
        let text = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8 text; save the file as UTF-8".to_owned());
        text.and_then(|text| parse(text.trim())).map_err(|reason| self.report(row, column, reason)).ok()
    }

    fn report(&mut self, row: &RawRow, column: Column, reason: String) {
        let bytes = self.header.position(column).and_then(|at| row.fields.get(at)).unwrap_or_default();
        let value = String::from_utf8_lossy(bytes);
        let diagnostic = ImportDiagnostic::for_column(row.line, column.name(), reason);
        let value = value.trim();
        self.errors.push(if value.is_empty() { diagnostic } else { diagnostic.with_value(value) });
    }

    fn finish(
        mut self,
        warnings: Vec<ImportDiagnostic>,
        options: &ImportOptions,
    ) -> Result<StaffingDraft, ScheduleImportError> {
        self.rows.sort_by(|(one, line), (other, other_line)| {
            (&one.queue, one.start, line).cmp(&(&other.queue, other.start, other_line))
        });
        self.report_overlaps();
        let mut days: BTreeMap<Arc<str>, BTreeSet<Date>> = BTreeMap::new();
        for (row, _) in &self.rows {
            days.entry(row.queue.clone()).or_default().insert(self.zones.local(self.zone, row.start).date());
        }
        let all: BTreeSet<Date> = days.values().flatten().copied().collect();
        let (Some(first_day), Some(last_day)) = (all.first().copied(), all.last().copied()) else {
            if self.errors.is_empty() {
                self.errors.push(ImportDiagnostic::for_file("the file has a header and no rows"));
            }
            return Err(self.errors.into_error());
        };
        let length = first_day.until(last_day).map_or(i32::MAX, |span| span.get_days());
        if length >= i32::from(options.max_days) {
            let reason = format!(
                "the file has days from {first_day} to {last_day}, more than the {} of import.max_days",
                options.max_days
            );
            self.errors.push(ImportDiagnostic::for_file(reason));
        }
        if !self.errors.is_empty() {
            return Err(self.errors.into_error());
        }
        let span = |day: &Date| {
            let start = |day: Date| self.zones.start_of_day(self.zone, day);
            Some((start(*day)?, start(day.tomorrow().ok()?)?))
        };
        Ok(StaffingDraft {
            days: days.iter().map(|(queue, days)| (queue.clone(), days.iter().filter_map(span).collect())).collect(),
            first_day,
            last_day,
            zone: self.zones.name(self.zone).to_owned(),
            warnings,
            rows: self.rows.into_iter().map(|(row, _)| row).collect(),
        })
    }

    /// Reports rows that overlap an earlier row of their queue. The rows are in the order of queue and start.
    fn report_overlaps(&mut self) {
        let mut last: Option<&(RequiredStaffing, u64)> = None;
        for current in &self.rows {
            let (row, line) = current;
            match last {
                Some((before, other)) if before.queue == row.queue && row.start < before.end() => {
                    let column = if self.header.position(Column::Start).is_some() { "start" } else { "interval" };
                    let reason = format!(
                        "overlaps line {other} of the same queue; keep one of them. If a clock change repeats the hour, \
                         write the column start with offsets"
                    );
                    self.errors.push(ImportDiagnostic::for_column(*line, column, reason));
                    if row.end() > before.end() {
                        last = Some(current);
                    }
                }
                _ => last = Some(current),
            }
        }
    }
}

/// The start of an interval as written.
#[derive(Debug, PartialEq)]
enum Start {
    Instant(UtcMicros),
    Local(DateTime),
}

fn parse_start(text: &str) -> Result<Start, String> {
    let has_offset = text.get(16..).is_some_and(|rest| rest.contains(['Z', 'z', '+', '-']));
    if !has_offset {
        return field::parse_local_time(text).map(Start::Local);
    }
    let instant: Timestamp = text
        .parse()
        .map_err(|_| "is not an instant; write it as 2026-10-26T09:00Z or 2026-10-26T10:00+01:00".to_owned())?;
    let year = jiff::tz::TimeZone::UTC.to_datetime(instant).year();
    if (1970..2200).contains(&year) { Ok(Start::Instant(instant.into())) } else { Err(OUT_OF_RANGE.to_owned()) }
}

fn parse_date(text: &str) -> Result<Date, String> {
    match text {
        "" => Err("is missing; write it as 2026-10-26".to_owned()),
        text => match field::parse_local_time(&format!("{text}T00:00")) {
            Ok(midnight) => Ok(midnight.date()),
            Err(reason) if text.len() == 10 && reason == OUT_OF_RANGE => Err(reason),
            Err(_) => Err("is not a day of the calendar; write it as 2026-10-26".to_owned()),
        },
    }
}

/// Parses `09:00` or `09:00-09:15`; the length in minutes if there is an end.
fn parse_interval(text: &str) -> Result<((i8, i8), Option<u16>), String> {
    let refused = || "is not an interval; write it as 09:00-09:15".to_owned();
    if text.is_empty() {
        return Err("is missing; write it as 09:00-09:15".to_owned());
    }
    let mut parts = text.split(['-', '–']).map(str::trim);
    let (start, end) = (parts.next().and_then(time_of_day), parts.next());
    let start = start.filter(|minutes| *minutes < 24 * 60).ok_or_else(refused)?;
    let to_i8 = |part: u16| i8::try_from(part).unwrap_or_default();
    let time = (to_i8(start / 60), to_i8(start % 60));
    let Some(end) = end else { return Ok((time, None)) };
    let end = time_of_day(end).filter(|_| parts.next().is_none()).ok_or_else(refused)?;
    let length = (end + 24 * 60 - start) % (24 * 60);
    check_minutes(length).map(|minutes| (time, Some(minutes)))
}

/// Returns the minutes since midnight of `09:00`; `24:00` is the end of the day.
fn time_of_day(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    if !(1..=2).contains(&hour.len()) || minute.len() != 2 {
        return None;
    }
    let part =
        |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<u16>().ok()).flatten();
    let (hour, minute) = (part(hour)?, part(minute)?);
    let minutes = hour * 60 + minute;
    (minute < 60 && minutes <= 24 * 60).then_some(minutes)
}

fn parse_minutes(text: &str) -> Result<u16, String> {
    check_minutes(text.parse().unwrap_or_default())
}

fn check_minutes(minutes: u16) -> Result<u16, String> {
    if LENGTHS.contains(&minutes) { Ok(minutes) } else { Err("does not last 15, 30 or 60 minutes".to_owned()) }
}

/// Parses a number of agents, such as `12` or `12.5`, rounded to thousandths.
fn parse_agents(text: &str) -> Result<AgentCount, String> {
    if text.is_empty() {
        return Err("is missing; write the number of agents, 0 if none are required".to_owned());
    }
    if text.contains(',') {
        return Err(
            "holds a comma; write decimals with a point, as in 12.5, and thousands without separators".to_owned()
        );
    }
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let are_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits(whole) || !are_digits(decimals) {
        return Err("is not a number of agents; write it as 12 or 12.5".to_owned());
    }
    let thousandths = |digits: &str| digits.parse::<i64>().ok();
    let rounded = |digits: &str| {
        let first_four: String = digits.chars().chain("0000".chars()).take(4).collect();
        thousandths(&first_four).map(|ten_thousandths| (ten_thousandths + 5) / 10)
    };
    let agents = thousandths(whole).filter(|whole| *whole <= MAX_AGENTS).zip(rounded(decimals));
    let (whole, decimals) = agents.ok_or_else(|| format!("is more than {MAX_AGENTS} agents"))?;
    Ok(AgentCount::from_thousandths(whole * 1000 + decimals))
}

#[cfg(test)]
mod tests;
