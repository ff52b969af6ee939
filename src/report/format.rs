//! Cells as text: exact for programs, and short for people.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::document::Cell;
use crate::domain::time::UtcMicros;

/// Appends a cell for programs: durations as decimal seconds, shares from 0 to 1, instants as RFC 3339 with the
/// zone's offset, and numbers in the shortest form that reads back the same. An empty cell appends nothing.
pub fn write_exact(cell: &Cell, zone: &TimeZone, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = match cell {
        Cell::Text(text) => out.write_str(text),
        Cell::Count(count) => write!(out, "{count}"),
        Cell::Number(number) | Cell::Share(number) => write!(out, "{number}"),
        Cell::Seconds(micros) => {
            write_seconds(*micros, out);
            Ok(())
        }
        Cell::Instant(at) => {
            write_instant(*at, zone, out);
            Ok(())
        }
        Cell::Day(day) => write!(out, "{day}"),
        Cell::Empty(_) => Ok(()),
    };
}

/// Returns a cell for programs, as [`write_exact`] writes it.
pub fn exact_text(cell: &Cell, zone: &TimeZone) -> String {
    let mut text = String::new();
    write_exact(cell, zone, &mut text);
    text
}

/// Appends decimal seconds without trailing zeros: `605`, `0.25`, `-1.5`.
pub fn write_seconds(micros: i64, out: &mut String) {
    let (whole, part) = (micros.unsigned_abs() / 1_000_000, micros.unsigned_abs() % 1_000_000);
    let sign = if micros < 0 { "-" } else { "" };
    let _ = write!(out, "{sign}{whole}");
    if part > 0 {
        let _ = write!(out, ".{part:06}");
        out.truncate(out.trim_end_matches('0').len());
    }
}

/// Appends an instant in RFC 3339, with `Z` in UTC and otherwise the zone's offset at that instant.
pub fn write_instant(at: UtcMicros, zone: &TimeZone, out: &mut String) {
    let timestamp: Timestamp = at.timestamp();
    let _ = if *zone == TimeZone::UTC {
        write!(out, "{timestamp}")
    } else {
        write!(out, "{}", timestamp.display_with_offset(zone.to_offset(timestamp)))
    };
}

/// Returns a cell for people: `1:05:00`, `83.3 %`, `2026-10-26 09:00:00` in the zone; a dash if it is empty.
pub fn display_text(cell: &Cell, zone: &TimeZone) -> String {
    match cell {
        Cell::Text(text) => text.to_string(),
        Cell::Count(count) => count.to_string(),
        Cell::Number(number) => format!("{number:.2}"),
        Cell::Share(share) => format!("{:.1} %", share * 100.0),
        Cell::Seconds(micros) => duration_text(*micros),
        Cell::Instant(at) => at.timestamp().to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Cell::Day(day) => day.to_string(),
        Cell::Empty(_) => "–".to_owned(),
    }
}

/// Returns `h:mm:ss`, truncated to whole seconds.
fn duration_text(micros: i64) -> String {
    let total = Duration::from_micros(micros.unsigned_abs()).as_secs();
    let sign = if micros < 0 { "-" } else { "" };
    format!("{sign}{}:{:02}:{:02}", total / 3600, total / 60 % 60, total % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_text_loses_nothing() {
        let at = |text: &str| Cell::Instant(text.parse().expect("an instant"));
        for (cell, zone, wanted) in [
            (Cell::Seconds(605_000_000), "UTC", "605"),
            (Cell::Seconds(250_000), "UTC", "0.25"),
            (Cell::Seconds(-1_500_000), "UTC", "-1.5"),
            (Cell::Seconds(1), "UTC", "0.000001"),
            (Cell::Share(5.0 / 6.0), "UTC", "0.8333333333333334"),
            (Cell::Count(-3), "UTC", "-3"),
            (Cell::Empty("nobody was there"), "UTC", ""),
            (at("2026-10-25T00:30:00.5Z"), "UTC", "2026-10-25T00:30:00.5Z"),
            (at("2026-10-25T00:30:00.5Z"), "Europe/Berlin", "2026-10-25T02:30:00.5+02:00"),
            (at("2026-10-25T01:30:00.5Z"), "Europe/Berlin", "2026-10-25T02:30:00.5+01:00"),
        ] {
            assert_eq!(exact_text(&cell, &TimeZone::get(zone).expect("known")), wanted, "{cell:?}");
        }
    }

    #[test]
    fn people_see_hours_and_per_cent() {
        let berlin = TimeZone::get("Europe/Berlin").expect("known");
        for (cell, wanted) in [
            (Cell::Seconds(3_905_900_000), "1:05:05"),
            (Cell::Seconds(-61_000_000), "-0:01:01"),
            (Cell::Share(0.9375), "93.8 %"),
            (Cell::Instant("2026-01-05T23:00:00Z".parse().expect("an instant")), "2026-01-06 00:00:00"),
            (Cell::Empty("nobody was there"), "–"),
        ] {
            assert_eq!(display_text(&cell, &berlin), wanted);
        }
    }
}
