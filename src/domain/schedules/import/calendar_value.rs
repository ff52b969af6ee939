//! Single values of calendar properties: times and durations as RFC 5545 writes them.

use std::time::Duration;

use jiff::Span;
use jiff::civil::DateTime;

use super::field;

/// A date and time of a calendar, with or without the `Z` of UTC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct CalendarTime {
    pub(super) local: DateTime,
    pub(super) utc: bool,
}

/// Reads `20261019T090000` or `20261019T090000Z`.
pub(super) fn calendar_time(text: &str) -> Result<CalendarTime, String> {
    let (local, utc) = text.strip_suffix(['Z', 'z']).map_or((text, false), |local| (local, true));
    let bytes = local.as_bytes();
    if bytes.len() == 8 && bytes.iter().all(u8::is_ascii_digit) {
        return Err("is a whole day; write date and time as 20261019T090000".to_owned());
    }
    let parts = (bytes.len() == 15 && matches!(bytes[8], b'T' | b't')).then(|| {
        let part = |from: usize, to: usize| field::number(&bytes[from..to]);
        Some([part(0, 4)?, part(4, 6)?, part(6, 8)?, part(9, 11)?, part(11, 13)?, part(13, 15)?])
    });
    match parts.flatten() {
        Some(parts) => Ok(CalendarTime { local: field::civil(parts)?, utc }),
        None => Err("is not a date and time; write it as 20261019T090000".to_owned()),
    }
}

/// How long every occurrence lasts: whole days of the calendar, then elapsed time.
pub(super) struct Length {
    pub(super) days: i64,
    pub(super) exact: Duration,
}

impl Length {
    /// Reads a `DURATION`: weeks and days are days of the calendar, the rest elapsed time, as RFC 5545 part 3.3.6 has it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        const WRITE_IT: &str = "write it as PT8H30M";
        let span: Option<Span> = text.starts_with('P').then(|| text.parse().ok()).flatten();
        let span = span.ok_or_else(|| format!("is not a duration; {WRITE_IT}"))?;
        if span.get_years() != 0 || span.get_months() != 0 {
            return Err(format!("counts months or years, which have no fixed length; {WRITE_IT}"));
        }
        let days = i64::from(span.get_weeks()) * 7 + i64::from(span.get_days());
        let seconds = i64::from(span.get_hours()) * 3600 + span.get_minutes() * 60 + span.get_seconds();
        let exact = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        if span.is_negative() || (days == 0 && exact.is_zero()) {
            return Err(format!("is not longer than nothing; {WRITE_IT}"));
        }
        Ok(Self { days, exact })
    }
}
