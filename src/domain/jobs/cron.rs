//! Due times of jobs: cron text and an IANA time zone become instants.
//!
//! This module reads no clock; the present is an argument. `croner` parses the text and knows which days match. What a
//! local time means across a clock change is decided here, because schedulers differ in that:
//!
//! - A matching local time that the clock skips is due at the first instant after the gap; several of them are due
//!   once.
//! - A matching local time that occurs twice is due the first time, except where the hour field begins with `*`: such a
//!   job goes by elapsed time and is due both times, so that no hour is left out.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

use crate::domain::time::UtcMicros;

/// Number of days within which a pattern must come due. 29 February on a given weekday recurs every 28 years, and every
/// 40 years around 2100.
const HORIZON_DAYS: u32 = 41 * 366;

/// Longest time between two clock changes of a zone that affect the same local time.
const RELATED_CHANGE_WINDOW: SignedDuration = SignedDuration::from_hours(48);

/// The five fields in order: the name and the values that it takes.
const FIELDS: [(&str, &str); 5] = [
    ("minute", "0-59"),
    ("hour", "0-23"),
    ("day of month", "1-31, L or 15W"),
    ("month", "1-12 or JAN-DEC"),
    ("day of week", "0-7 or SUN-SAT, as in MON-FRI, 1#2 or 5L"),
];

/// Nicknames that other schedulers accept, each with the pattern to write instead.
const NICKNAMES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// A fault of a cron text. It never repeats the text, which may be a secret pasted into the wrong place.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct CronError {
    /// The character at which the fault is, from 1; `None` if it concerns the whole text.
    pub position: Option<usize>,
    /// The fault.
    pub problem: String,
    /// What to write instead.
    pub suggestion: String,
}

impl fmt::Display for CronError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some(position) => write!(f, "at character {position}: {}; {}", self.problem, self.suggestion),
            None => write!(f, "{}; {}", self.problem, self.suggestion),
        }
    }
}

/// A cron pattern of five fields: minute, hour, day of month, month and day of week. Where both day fields are set, a
/// match of either is enough.
#[derive(Clone)]
pub struct Pattern {
    text: Arc<str>,
    cron: croner::Cron,
    /// The matching hours, in ascending order; `minutes` likewise.
    hours: Vec<i8>,
    minutes: Vec<i8>,
    /// Whether the hour field begins with `*`.
    by_elapsed_time: bool,
}

impl Pattern {
    /// Parses a cron text. A pattern that never comes due, such as 30 February, is an error.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        let fields: Vec<(usize, &str)> = fields(text);
        if let [(_, only)] = fields.as_slice()
            && let Some((_, equivalent)) = NICKNAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(only))
        {
            return Err(CronError {
                position: None,
                problem: "such names are not known here".to_owned(),
                suggestion: format!("write it as `{equivalent}`"),
            });
        }
        check_count(&fields)?;
        for (index, (at, field)) in fields.iter().enumerate() {
            check_field(index, *at, field)?;
        }
        let cron = parse_cron(text).map_err(|what| CronError {
            position: None,
            problem: what,
            suggestion: "write five fields, as in `30 2 * * *`".to_owned(),
        })?;
        let set = |from: i8, to: i8, matches: &dyn Fn(u32) -> bool| -> Vec<i8> {
            (from..=to).filter(|value| matches(u32::from(value.unsigned_abs()))).collect()
        };
        let pattern = Self {
            text: Arc::from(text.trim()),
            hours: set(0, 23, &|hour| cron.pattern.hour_match(hour).unwrap_or(false)),
            minutes: set(0, 59, &|minute| cron.pattern.minute_match(minute).unwrap_or(false)),
            by_elapsed_time: fields[1].1.starts_with('*'),
            cron,
        };
        // 2097 to 2103 is the longest span without a 29 February.
        let from = DateTime::constant(2097, 1, 1, 0, 0, 0, 0);
        if pattern.next_local(from).is_none() {
            return Err(CronError {
                position: fields.get(2).map(|(at, _)| *at),
                problem: "no such day ever comes".to_owned(),
                suggestion: "check day of month against month: April has 30 days, February 28 or 29".to_owned(),
            });
        }
        Ok(pattern)
    }

    /// Returns the cron text, trimmed.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn matches_date(&self, date: Date) -> bool {
        let unsigned = |number: i8| u32::from(number.unsigned_abs());
        let (year, month, day) = (i32::from(date.year()), unsigned(date.month()), unsigned(date.day()));
        let pattern = &self.cron.pattern;
        pattern.month_match(month).unwrap_or(false) && pattern.day_match(year, month, day).unwrap_or(false)
    }

    /// Returns the first matching time of the day at or after `from`.
    fn next_time_of_day(&self, from: Time) -> Option<Time> {
        let whole = from.second() == 0 && from.subsec_nanosecond() == 0;
        let minute = if whole { from.minute() } else { from.minute() + 1 };
        let in_this_hour = self.hours.contains(&from.hour()).then(|| self.minutes.iter().find(|m| **m >= minute));
        let (hour, minute) = match in_this_hour.flatten() {
            Some(minute) => (from.hour(), *minute),
            None => (*self.hours.iter().find(|hour| **hour > from.hour())?, *self.minutes.first()?),
        };
        Time::new(hour, minute, 0, 0).ok()
    }

    /// Returns the first matching local time at or after `from`, ignoring clock changes.
    fn next_local(&self, from: DateTime) -> Option<DateTime> {
        let mut date = from.date();
        if self.matches_date(date)
            && let Some(time) = self.next_time_of_day(from.time())
        {
            return Some(date.to_datetime(time));
        }
        let first = self.next_time_of_day(Time::midnight())?;
        for _ in 0..HORIZON_DAYS {
            date = date.tomorrow().ok()?;
            if self.matches_date(date) {
                return Some(date.to_datetime(first));
            }
        }
        None
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

/// A pattern in a time zone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Calendar {
    pattern: Pattern,
    zone: TimeZone,
}

impl Calendar {
    /// Creates a calendar whose pattern matches local times of `zone`.
    pub const fn new(pattern: Pattern, zone: TimeZone) -> Self {
        Self { pattern, zone }
    }

    /// Returns the cron text and the zone, such as `30 2 * * * Europe/Berlin`; a different text means that the job's
    /// calendar has changed.
    pub fn text(&self) -> String {
        format!("{} {}", self.pattern.as_str(), self.zone_name())
    }

    /// Returns the cron text.
    pub fn cron(&self) -> &str {
        self.pattern.as_str()
    }

    /// Returns the IANA name of the zone.
    pub fn zone_name(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// Returns the first due instant after `after`; `None` only beyond the supported years.
    pub fn next_after(&self, after: UtcMicros) -> Option<UtcMicros> {
        let mut start = after.timestamp();
        // Each round but the last jumps to just before the next match, so two rounds are enough.
        for _ in 0..4 {
            match self.search_next(start)? {
                SearchResult::Due(instant) => return Some(instant.into()),
                SearchResult::NotBefore(later) => start = later,
            }
        }
        None
    }

    /// Returns the last due instant in `(after, until]`. The search is binary, so that a long span costs a few dozen
    /// steps.
    pub fn last_due(&self, after: UtcMicros, until: UtcMicros) -> Option<UtcMicros> {
        let within = |from: UtcMicros| self.next_after(from).filter(|due| *due <= until);
        let mut last = within(after)?;
        // No due instant lies in (empty_from, until].
        let mut empty_from = until;
        while last < empty_from {
            let middle = UtcMicros::from_micros(i64::midpoint(last.as_micros(), empty_from.as_micros()));
            match within(middle) {
                Some(later) => last = later,
                None => empty_from = middle,
            }
        }
        Some(last)
    }

    /// Counts the due instants in `(after, until]`, up to `limit`.
    pub fn count_due(&self, after: UtcMicros, until: UtcMicros, limit: u32) -> u32 {
        let (mut count, mut from) = (0, after);
        while count < limit
            && let Some(due) = self.next_after(from).filter(|due| *due <= until)
        {
            (count, from) = (count + 1, due);
        }
        count
    }

    /// Searches the periods of constant UTC offset of the zone, beginning just after `after`.
    fn search_next(&self, after: Timestamp) -> Option<SearchResult> {
        let mut from = Timestamp::from_second(after.as_second() + 1).ok()?;
        let mut passed_until = self.local_time_passed(from);
        let mut starts_after_change =
            self.zone.preceding(next_nanosecond(from)).next().is_some_and(|last| last.timestamp() == from);
        loop {
            let offset = self.zone.to_offset(from);
            let local = offset.to_datetime(from);
            if starts_after_change
                && let Some(skipped) = passed_until.filter(|passed| *passed < local)
                && self.pattern.next_local(skipped).is_some_and(|due| due < local)
            {
                return Some(SearchResult::Due(from));
            }
            let search_from =
                passed_until.filter(|_| !self.pattern.by_elapsed_time).map_or(local, |passed| passed.max(local));
            let instant = offset.to_timestamp(self.pattern.next_local(search_from)?).ok()?;
            let change = match self.zone.following(from).next() {
                Some(change) if change.timestamp() <= instant => change.timestamp(),
                Some(_) | None => return Some(SearchResult::Due(instant)),
            };
            if instant.duration_since(change) > RELATED_CHANGE_WINDOW + RELATED_CHANGE_WINDOW {
                // Nothing matches for days, so the clock changes until then do not matter.
                return Some(SearchResult::NotBefore(instant.checked_sub(RELATED_CHANGE_WINDOW).ok()?));
            }
            passed_until = passed_until.max(Some(offset.to_datetime(change)));
            (from, starts_after_change) = (change, true);
        }
    }

    /// Returns the latest local time that had passed before the period of constant offset that holds `from`, as far as
    /// clock changes within [`RELATED_CHANGE_WINDOW`] matter.
    fn local_time_passed(&self, from: Timestamp) -> Option<DateTime> {
        self.zone
            .preceding(next_nanosecond(from))
            .take_while(|change| from.duration_since(change.timestamp()) < RELATED_CHANGE_WINDOW)
            .filter_map(|change| {
                let before = change.timestamp().checked_sub(1.nanosecond()).ok()?;
                Some(self.zone.to_offset(before).to_datetime(change.timestamp()))
            })
            .max()
    }
}

/// The result of one search step.
enum SearchResult {
    /// The next due instant.
    Due(Timestamp),
    /// A lower bound of the next due instant, from which to search on.
    NotBefore(Timestamp),
}

fn next_nanosecond(instant: Timestamp) -> Timestamp {
    instant.checked_add(1.nanosecond()).unwrap_or(instant)
}

/// Splits the text into fields, each with the position of its first character, from 1.
fn fields(text: &str) -> Vec<(usize, &str)> {
    let position = |field: &str| {
        let bytes = field.as_ptr() as usize - text.as_ptr() as usize;
        text.get(..bytes).map_or(1, |before| before.chars().count() + 1)
    };
    text.split_whitespace().map(|field| (position(field), field)).collect()
}

fn check_count(fields: &[(usize, &str)]) -> Result<(), CronError> {
    let fault = |position, what: String, suggestion: &str| {
        Err(CronError { position, problem: what, suggestion: suggestion.to_owned() })
    };
    match fields.len() {
        5 => Ok(()),
        6 => fault(
            fields.first().map(|(at, _)| *at),
            "there are six fields, and seconds or years are not known here".to_owned(),
            "write minute, hour, day of month, month, day of week",
        ),
        count => fault(
            None,
            format!(
                "there {} where five are expected",
                if count == 1 { "is 1 field".into() } else { format!("are {count} fields") }
            ),
            "write minute, hour, day of month, month, day of week, as in `30 2 * * *`",
        ),
    }
}

/// Checks each part of a field by itself, to find the part that the parser rejects.
fn check_field(index: usize, start: usize, field: &str) -> Result<(), CronError> {
    let (name, accepted) = FIELDS[index];
    let mut position = start;
    for part in field.split(',') {
        let single = (0..5).map(|other| if other == index { part } else { "*" }).collect::<Vec<_>>().join(" ");
        if part.is_empty() || parse_cron(&single).is_err() {
            return Err(CronError {
                position: Some(position),
                problem: format!("{} no {name}", if part.is_empty() { "an empty part is" } else { "is" }),
                suggestion: reversed_range_suggestion(part, index)
                    .unwrap_or_else(|| format!("it takes {accepted}, *, lists and steps")),
            });
        }
        position += part.chars().count() + 1;
    }
    Ok(())
}

/// Returns what to write for a range that wraps around, such as the hours 22-2.
fn reversed_range_suggestion(part: &str, index: usize) -> Option<String> {
    let (least, most) = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)].get(index).copied()?;
    let (from, to) = part.split_once('-')?;
    let (from, to): (u32, u32) = (from.parse().ok()?, to.parse().ok()?);
    (to < from && from <= most && to >= least).then(|| format!("write it as {from}-{most},{least}-{to}"))
}

fn parse_cron(text: &str) -> Result<croner::Cron, String> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Optional).build();
    parser.parse(text).map_err(|error| error.to_string())
}
