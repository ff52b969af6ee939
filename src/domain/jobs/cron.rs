//! When a job is due: cron text and an IANA zone become instants.
//!
//! Pure: the present is an argument. `croner` reads the text and knows which days match; what a local time means over a
//! clock change is decided here, since that is what schedulers get wrong:
//!
//! - a matching local time that the clock skips is due at the first instant after the gap; several of them are due once;
//! - a matching local time that comes twice is due the first time, except where the hour field begins with `*`: such a job
//!   goes by elapsed time and is due both times, so that no hour passes in silence.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

use crate::domain::time::UtcMicros;

/// Days within which a pattern must come due: 29 February on one weekday comes every 28 years, and every 40 around 2100.
const HORIZON_DAYS: u32 = 41 * 366;

/// No two clock changes of a zone that concern the same local time are further apart.
const NEAR: SignedDuration = SignedDuration::from_hours(48);

/// The five fields, in order: name, what it takes, a pattern with this field alone set.
const FIELDS: [(&str, &str); 5] = [
    ("minute", "0-59"),
    ("hour", "0-23"),
    ("day of month", "1-31, L or 15W"),
    ("month", "1-12 or JAN-DEC"),
    ("day of week", "0-7 or SUN-SAT, as in MON-FRI, 1#2 or 5L"),
];

/// Nicknames that other schedulers have, and what to write.
const NICKNAMES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// What is wrong with a cron text; never with the text itself, which may be a secret in the wrong place.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct CronFault {
    /// The character at which the fault stands, from 1; none where the text as a whole is meant.
    pub position: Option<usize>,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub suggestion: String,
}

impl fmt::Display for CronFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some(position) => write!(f, "at character {position}: {}; {}", self.what, self.suggestion),
            None => write!(f, "{}; {}", self.what, self.suggestion),
        }
    }
}

/// Five fields: minute, hour, day of month, month, day of week. Where both days are given, either will do.
#[derive(Clone)]
pub struct Pattern {
    text: Arc<str>,
    cron: croner::Cron,
    /// The matching hours and minutes, rising.
    hours: Vec<i8>,
    minutes: Vec<i8>,
    /// The hour field begins with `*`.
    by_elapsed_time: bool,
}

impl Pattern {
    /// Reads a cron text; a pattern that never comes due (30 February) is refused too.
    pub fn parse(text: &str) -> Result<Self, CronFault> {
        let fields: Vec<(usize, &str)> = fields(text);
        if let [(_, only)] = fields.as_slice()
            && let Some((_, meant)) = NICKNAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(only))
        {
            return Err(CronFault {
                position: None,
                what: "such names are not known here".to_owned(),
                suggestion: format!("write it as `{meant}`"),
            });
        }
        check_count(&fields)?;
        for (index, (at, field)) in fields.iter().enumerate() {
            check_field(index, *at, field)?;
        }
        let cron = parser_reads(text).map_err(|what| CronFault {
            position: None,
            what,
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
        // 2097 to 2103 has the longest span without a 29 February.
        let from = DateTime::constant(2097, 1, 1, 0, 0, 0, 0);
        if pattern.next_local(from).is_none() {
            return Err(CronFault {
                position: fields.get(2).map(|(at, _)| *at),
                what: "no such day ever comes".to_owned(),
                suggestion: "check day of month against month: April has 30 days, February 28 or 29".to_owned(),
            });
        }
        Ok(pattern)
    }

    /// The text that was read.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn is_day(&self, date: Date) -> bool {
        let unsigned = |number: i8| u32::from(number.unsigned_abs());
        let (year, month, day) = (i32::from(date.year()), unsigned(date.month()), unsigned(date.day()));
        let pattern = &self.cron.pattern;
        pattern.month_match(month).unwrap_or(false) && pattern.day_match(year, month, day).unwrap_or(false)
    }

    /// The first matching time of a day at or after `from`.
    fn time_from(&self, from: Time) -> Option<Time> {
        let whole = from.second() == 0 && from.subsec_nanosecond() == 0;
        let minute = if whole { from.minute() } else { from.minute() + 1 };
        let in_this_hour = self.hours.contains(&from.hour()).then(|| self.minutes.iter().find(|m| **m >= minute));
        let (hour, minute) = match in_this_hour.flatten() {
            Some(minute) => (from.hour(), *minute),
            None => (*self.hours.iter().find(|hour| **hour > from.hour())?, *self.minutes.first()?),
        };
        Time::new(hour, minute, 0, 0).ok()
    }

    /// The first matching local time at or after `from`, as if no clock were ever changed.
    fn next_local(&self, from: DateTime) -> Option<DateTime> {
        let mut date = from.date();
        if self.is_day(date)
            && let Some(time) = self.time_from(from.time())
        {
            return Some(date.to_datetime(time));
        }
        let first = self.time_from(Time::midnight())?;
        for _ in 0..HORIZON_DAYS {
            date = date.tomorrow().ok()?;
            if self.is_day(date) {
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
    /// Local times of `pattern` are those of `zone`.
    pub const fn new(pattern: Pattern, zone: TimeZone) -> Self {
        Self { pattern, zone }
    }

    /// The cron text and the zone, as they are compared to see whether a job's calendar has changed: `30 2 * * * Europe/Berlin`.
    pub fn text(&self) -> String {
        format!("{} {}", self.pattern.as_str(), self.zone_name())
    }

    /// The cron text.
    pub fn cron(&self) -> &str {
        self.pattern.as_str()
    }

    /// The zone's IANA name.
    pub fn zone_name(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// The first due instant after `after`. `None` only at the end of all years that are known.
    pub fn next_after(&self, after: UtcMicros) -> Option<UtcMicros> {
        let mut start = after.timestamp();
        // Each round but the last jumps to just before the next match, so there are two at most.
        for _ in 0..4 {
            match self.search(start)? {
                Found::Due(instant) => return Some(instant.into()),
                Found::NotBefore(later) => start = later,
            }
        }
        None
    }

    /// The last due instant in `(after, until]`, found by halving: however long the span, a few dozen looks.
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

    /// How many due instants lie in `(after, until]`, counted up to `most`.
    pub fn count_due(&self, after: UtcMicros, until: UtcMicros, most: u32) -> u32 {
        let (mut count, mut from) = (0, after);
        while count < most
            && let Some(due) = self.next_after(from).filter(|due| *due <= until)
        {
            (count, from) = (count + 1, due);
        }
        count
    }

    /// Walks the zone's stretches of one offset from just after `after` on.
    fn search(&self, after: Timestamp) -> Option<Found> {
        let mut from = Timestamp::from_second(after.as_second() + 1).ok()?;
        let mut passed = self.local_times_passed(from);
        let mut opens = self.zone.preceding(next_nanosecond(from)).next().is_some_and(|last| last.timestamp() == from);
        loop {
            let offset = self.zone.to_offset(from);
            let local = offset.to_datetime(from);
            if opens
                && let Some(skipped) = passed.filter(|passed| *passed < local)
                && self.pattern.next_local(skipped).is_some_and(|due| due < local)
            {
                return Some(Found::Due(from));
            }
            let unseen = passed.filter(|_| !self.pattern.by_elapsed_time).map_or(local, |passed| passed.max(local));
            let instant = offset.to_timestamp(self.pattern.next_local(unseen)?).ok()?;
            let change = match self.zone.following(from).next() {
                Some(change) if change.timestamp() <= instant => change.timestamp(),
                Some(_) | None => return Some(Found::Due(instant)),
            };
            if instant.duration_since(change) > NEAR + NEAR {
                // Nothing matches for days: the changes until then concern nobody.
                return Some(Found::NotBefore(instant.checked_sub(NEAR).ok()?));
            }
            passed = passed.max(Some(offset.to_datetime(change)));
            (from, opens) = (change, true);
        }
    }

    /// The local time up to which everything had come before the stretch that holds `from`, as far as it can still matter.
    fn local_times_passed(&self, from: Timestamp) -> Option<DateTime> {
        self.zone
            .preceding(next_nanosecond(from))
            .take_while(|change| from.duration_since(change.timestamp()) < NEAR)
            .filter_map(|change| {
                let before = change.timestamp().checked_sub(1.nanosecond()).ok()?;
                Some(self.zone.to_offset(before).to_datetime(change.timestamp()))
            })
            .max()
    }
}

/// What one look finds.
enum Found {
    /// The next due instant.
    Due(Timestamp),
    /// It is not before this one.
    NotBefore(Timestamp),
}

fn next_nanosecond(instant: Timestamp) -> Timestamp {
    instant.checked_add(1.nanosecond()).unwrap_or(instant)
}

/// The fields with the character that each begins at, from 1.
fn fields(text: &str) -> Vec<(usize, &str)> {
    let position = |field: &str| {
        let bytes = field.as_ptr() as usize - text.as_ptr() as usize;
        text.get(..bytes).map_or(1, |before| before.chars().count() + 1)
    };
    text.split_whitespace().map(|field| (position(field), field)).collect()
}

fn check_count(fields: &[(usize, &str)]) -> Result<(), CronFault> {
    let fault =
        |position, what: String, suggestion: &str| Err(CronFault { position, what, suggestion: suggestion.to_owned() });
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

/// Finds the part of a field that the parser does not take, by trying each alone.
fn check_field(index: usize, at: usize, field: &str) -> Result<(), CronFault> {
    let (name, takes) = FIELDS[index];
    let mut position = at;
    for part in field.split(',') {
        let alone = (0..5).map(|other| if other == index { part } else { "*" }).collect::<Vec<_>>().join(" ");
        if part.is_empty() || parser_reads(&alone).is_err() {
            return Err(CronFault {
                position: Some(position),
                what: format!("{} no {name}", if part.is_empty() { "an empty part is" } else { "is" }),
                suggestion: backwards(part, index).unwrap_or_else(|| format!("it takes {takes}, *, lists and steps")),
            });
        }
        position += part.chars().count() + 1;
    }
    Ok(())
}

/// What to write for a range that runs over the end, such as the hours 22-2.
fn backwards(part: &str, index: usize) -> Option<String> {
    let (least, most) = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)].get(index).copied()?;
    let (from, to) = part.split_once('-')?;
    let (from, to): (u32, u32) = (from.parse().ok()?, to.parse().ok()?);
    (to < from && from <= most && to >= least).then(|| format!("write it as {from}-{most},{least}-{to}"))
}

fn parser_reads(text: &str) -> Result<croner::Cron, String> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Optional).build();
    parser.parse(text).map_err(|error| error.to_string())
}
