//! Instants in the platform's format: RFC 3339 with any offset, nearly always like `2026-10-26T13:30:00.123Z`.

use jiff::civil::Date;

use crate::domain::time::UtcMicros;

/// Microseconds in a day.
const DAY_US: i64 = 86_400_000_000;

/// A parser of instants. It remembers the last day, as the rows of a snapshot mostly have the same one.
#[derive(Debug, Default)]
pub(super) struct InstantReader {
    day: [u8; 10],
    day_us: Option<i64>,
}

impl InstantReader {
    /// Parses an instant. `None` if the text is not in RFC 3339 format.
    pub(super) fn read(&mut self, text: &str) -> Option<UtcMicros> {
        self.read_common_form(text.as_bytes()).or_else(|| text.trim().parse().ok())
    }

    /// Parses `YYYY-MM-DDTHH:MM:SS[.mmm]Z` and nothing else: leap seconds, lower case and offsets use the general
    /// parser.
    fn read_common_form(&mut self, text: &[u8]) -> Option<UtcMicros> {
        let (seconds, millis) = match text.len() {
            24 if text[19] == b'.' && text[23] == b'Z' => (&text[..19], number(&text[20..23])?),
            20 if text[19] == b'Z' => (&text[..19], 0),
            _ => return None,
        };
        let (date, time) = (seconds.first_chunk::<10>()?, &seconds[10..]);
        if time[0] != b'T' || time[3] != b':' || time[6] != b':' {
            return None;
        }
        let (hour, minute, second) = (number(&time[1..3])?, number(&time[4..6])?, number(&time[7..9])?);
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let day = self.day_start(date)?;
        let of_day = ((hour * 60 + minute) * 60 + second) * 1000 + millis;
        Some(UtcMicros::from_micros(day + of_day * 1000))
    }

    fn day_start(&mut self, date: &[u8; 10]) -> Option<i64> {
        if self.day != *date || self.day_us.is_none() {
            self.day = *date;
            self.day_us = read_day(date);
        }
        self.day_us
    }
}

fn read_day(date: &[u8; 10]) -> Option<i64> {
    if date[4] != b'-' || date[7] != b'-' {
        return None;
    }
    let year = i16::try_from(number(&date[..4])?).ok()?;
    let (month, day) = (i8::try_from(number(&date[5..7])?).ok()?, i8::try_from(number(&date[8..])?).ok()?);
    let epoch = Date::constant(1970, 1, 1);
    let days = Date::new(year, month, day).ok()?.since(epoch).ok()?.get_days();
    Some(i64::from(days) * DAY_US)
}

/// Parses a number that consists of digits alone.
fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn offsets_and_odd_forms_are_read_and_nonsense_is_not() {
        let mut reader = InstantReader::default();
        for (text, expected) in [
            ("2024-06-15T14:32:00.000Z", Some("2024-06-15T14:32:00Z")),
            ("2024-06-15T14:32:00Z", Some("2024-06-15T14:32:00Z")),
            ("2024-06-15T16:32:00.5+02:00", Some("2024-06-15T14:32:00.5Z")),
            ("2024-06-15T14:32:00.123456789Z", Some("2024-06-15T14:32:00.123456Z")),
            ("2024-02-30T14:32:00.000Z", None),
            ("2024-06-15T24:32:00.000Z", None),
            ("2024-06-15 14:32", None),
            ("yesterday", None),
            ("", None),
        ] {
            let expected = expected.map(|text| text.parse::<UtcMicros>().expect("valid"));
            assert_eq!(reader.read(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_short_way_agrees_with_the_long_one(millis in 0_i64..4_102_444_800_000) {
            let instant = UtcMicros::from_micros(millis * 1000);
            let text = format!("{:.3}", instant.timestamp());
            prop_assert_eq!(text.len(), 24);
            prop_assert_eq!(InstantReader::default().read_common_form(text.as_bytes()), Some(instant));
        }
    }
}
