//! Parsing of single calendar values: times and durations as defined by RFC 5545.

use std::time::Duration;

use jiff::Span;
use jiff::civil::DateTime;

use super::super::field;

/// A calendar date and time, with or without the `Z` of UTC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct CalendarTime {
    pub(super) local: DateTime,
    pub(super) utc: bool,
}

/// Parses `20261019T090000` or `20261019T090000Z`.
pub(super) fn parse_calendar_time(text: &str) -> Result<CalendarTime, String> {
    let (local, utc) = text.strip_suffix(['Z', 'z']).map_or((text, false), |local| (local, true));
    let bytes = local.as_bytes();
    if bytes.len() == 8 && bytes.iter().all(u8::is_ascii_digit) {
        return Err("is a whole day; write date and time as 20261019T090000".to_owned());
    }
    let parts = (bytes.len() == 15 && matches!(bytes[8], b'T' | b't')).then(|| {
        let part = |from: usize, to: usize| field::parse_digits(&bytes[from..to]);
        Some([part(0, 4)?, part(4, 6)?, part(6, 8)?, part(9, 11)?, part(11, 13)?, part(13, 15)?])
    });
    match parts.flatten() {
        Some(parts) => Ok(CalendarTime { local: field::to_local_time(parts)?, utc }),
        None => Err("is not a date and time; write it as 20261019T090000".to_owned()),
    }
}

/// The duration of every occurrence: whole calendar days, then elapsed time.
pub(super) struct EventDuration {
    pub(super) days: i64,
    pub(super) exact: Duration,
}

impl EventDuration {
    /// Parses a `DURATION`: weeks and days are calendar days, the rest elapsed time (RFC 5545, section 3.3.6).
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        const FORMAT_HINT: &str = "write it as PT8H30M";
        let span: Option<Span> = text.starts_with('P').then(|| text.parse().ok()).flatten();
        let span = span.ok_or_else(|| format!("is not a duration; {FORMAT_HINT}"))?;
        if span.get_years() != 0 || span.get_months() != 0 {
            return Err(format!("counts months or years, which have no fixed length; {FORMAT_HINT}"));
        }
        let days = i64::from(span.get_weeks()) * 7 + i64::from(span.get_days());
        let seconds = i64::from(span.get_hours()) * 3600 + span.get_minutes() * 60 + span.get_seconds();
        let exact = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        if span.is_negative() || (days == 0 && exact.is_zero()) {
            return Err(format!("is not longer than nothing; {FORMAT_HINT}"));
        }
        Ok(Self { days, exact })
    }
}
