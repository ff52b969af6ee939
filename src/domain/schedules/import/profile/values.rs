//! Cells to dates, times and numbers, in the form that the profile states. Every error is the reason alone; whoever has
//! the cell adds its place and value.

use jiff::Span;
use jiff::civil::{Date, DateTime, Time};

use super::super::zones::OUT_OF_RANGE;
use super::cell::Cell;
use super::format::{DateFormat, Numbers, Pattern, TimeFormat};
use super::{Midnight, TimeRules, ZoneSource};

const MINUTES_PER_DAY: f64 = 1_440.0;

/// The day numbers of 1970 and of 2200 in spreadsheets that count from 1900.
const DAY_NUMBERS: std::ops::Range<f64> = 25_569.0..109_575.0;

/// The day that spreadsheets number 0.
const DAY_ZERO: Date = Date::constant(1899, 12, 30);

/// The largest offset from UTC in hours.
const MAX_OFFSET_HOURS: i64 = 14;

/// A date and time of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stamp {
    /// In the zone of the row.
    Local(DateTime),
    /// In UTC.
    Utc(DateTime),
}

/// Reads the values of a file.
pub(super) struct Values<'a> {
    pub(super) rules: &'a TimeRules,
}

impl Values<'_> {
    /// Returns the date in a cell.
    pub(super) fn date(&self, cell: &Cell) -> Result<Date, String> {
        match (&self.rules.date, filled(cell)?) {
            (DateFormat::Cell, Cell::Date(date)) => Ok(date.date()),
            (DateFormat::Cell, _) => {
                Err("is not a real date; format the cell as a date, or state its form in date_format".to_owned())
            }
            (DateFormat::DayNumber, cell) => Ok(self.day_number(cell)?.date()),
            (DateFormat::Pattern(pattern), Cell::Text(text)) => match pattern.read(text) {
                Some((numbers, "")) => self.date_of(&numbers, pattern),
                Some(_) | None => Err(format!("is not a date of the form {}", pattern.as_str())),
            },
            (DateFormat::Pattern(pattern), _) => Err(format!(
                "is not text of the form {}; if the cells are real dates, set date_format to \"cell\"",
                pattern.as_str()
            )),
            (DateFormat::UnixSeconds, _) => Err("cannot be a date, since date_format is \"unix_seconds\"".to_owned()),
            (DateFormat::Unstated, _) => {
                Err("may begin with the day or with the month; state the form in date_format, such as \
                 \"DD/MM/YYYY\" or \"MM/DD/YYYY\""
                    .to_owned())
            }
        }
    }

    fn date_of(&self, numbers: &Numbers, pattern: &Pattern) -> Result<Date, String> {
        let year = match (pattern.has_year(), self.rules.year) {
            (true, _) => numbers.year,
            (false, year) => Some(year.ok_or("has no year; state it in the profile's key year")?),
        };
        let date = year.and_then(|year| Date::new(year, numbers.month, numbers.day).ok());
        let date = date.ok_or_else(|| format!("is not in the calendar as a date of the form {}", pattern.as_str()))?;
        if (1970..2200).contains(&date.year()) { Ok(date) } else { Err(OUT_OF_RANGE.to_owned()) }
    }

    /// Returns the seconds after midnight of a time of day, which may be more than those of a day.
    pub(super) fn seconds(&self, cell: &Cell) -> Result<i32, String> {
        let cell = filled(cell)?;
        let Some(format) = &self.rules.time else {
            return Err("is a time of day; state its form in time_format".to_owned());
        };
        let seconds = match (format, cell) {
            (TimeFormat::Cell, Cell::Time(days)) => whole_minutes(days * MINUTES_PER_DAY)?.checked_mul(60),
            (TimeFormat::Cell, _) => {
                return Err(
                    "is not a real time; format the cell as a time, or state its form in time_format".to_owned()
                );
            }
            (TimeFormat::Hours, cell) => whole_minutes(self.number(cell)? * 60.0)?.checked_mul(60),
            (TimeFormat::Minutes, cell) => whole_minutes(self.number(cell)?)?.checked_mul(60),
            (TimeFormat::Pattern(pattern), cell) => {
                let Cell::Text(text) = cell else {
                    return Err(format!(
                        "is not text of the form {}; if the cells are real times, set time_format to \"cell\"",
                        pattern.as_str()
                    ));
                };
                return self.seconds_of_text(text, pattern);
            }
        };
        self.check_seconds(seconds.ok_or("is not a time of day")?)
    }

    fn seconds_of_text(&self, text: &str, pattern: &Pattern) -> Result<i32, String> {
        let numbers = match pattern.read(text) {
            Some((numbers, "")) => numbers.seconds(),
            Some(_) | None => None,
        };
        self.check_seconds(numbers.ok_or_else(|| format!("is not a time of the form {}", pattern.as_str()))?)
    }

    fn check_seconds(&self, seconds: i32) -> Result<i32, String> {
        let hours = if self.rules.midnight == Midnight::Over24 { 48 } else { 24 };
        if (0..=hours * 3_600).contains(&seconds) {
            return Ok(seconds);
        }
        let advice =
            if hours == 24 { "; if the hours count on after midnight, set midnight to \"over_24\"" } else { "" };
        Err(format!("is not between 0:00 and {hours}:00{advice}"))
    }

    /// Returns the date and time in a cell.
    pub(super) fn stamp(&self, cell: &Cell) -> Result<Stamp, String> {
        match (&self.rules.date, filled(cell)?) {
            (DateFormat::Cell, Cell::Date(date)) => Ok(Stamp::Local(*date)),
            (DateFormat::Cell, _) => {
                Err("is not a real date with a time; format the cell as one, or state its form in date_format"
                    .to_owned())
            }
            (DateFormat::DayNumber, cell) => Ok(Stamp::Local(self.day_number(cell)?)),
            (DateFormat::UnixSeconds, cell) => unix_seconds(&cell.text()).map(Stamp::Utc),
            (DateFormat::Pattern(pattern), Cell::Text(text)) => self.stamp_of_text(text, pattern),
            (DateFormat::Pattern(_) | DateFormat::Unstated, cell) => {
                self.date(cell).map(|date| Stamp::Local(date.into()))
            }
        }
    }

    fn stamp_of_text(&self, text: &str, pattern: &Pattern) -> Result<Stamp, String> {
        let time_format = match &self.rules.time {
            Some(TimeFormat::Pattern(time)) => time,
            Some(TimeFormat::Cell | TimeFormat::Hours | TimeFormat::Minutes) | None => {
                return Err(
                    "has a date and a time; state the form of the time in time_format, such as \"HH:mm\"".to_owned()
                );
            }
        };
        let (local, offset) = match &self.rules.zone {
            ZoneSource::Value => {
                let (local, offset) = split_offset(text);
                (local, Some(offset.ok_or("does not state its offset from UTC; write it as Z or +01:00")?))
            }
            ZoneSource::Named(zone) if zone == "UTC" => split_offset(text),
            ZoneSource::Named(_) | ZoneSource::Column(_) | ZoneSource::Roster => (text, None),
        };
        let form = || format!("is not a date and time of the form {} {}", pattern.as_str(), time_format.as_str());
        let (numbers, time) = pattern.read(local).ok_or_else(form)?;
        let date = self.date_of(&numbers, pattern)?;
        let seconds = self.seconds_of_text(time.strip_prefix([' ', 'T']).ok_or_else(form)?.trim_start(), time_format);
        let local = date_and_seconds(date, seconds.map_err(|_| form())?)?;
        let Some(offset) = offset else { return Ok(Stamp::Local(local)) };
        let minutes = offset_minutes(offset).ok_or_else(|| format!("has the offset {offset}, which does not exist"))?;
        Ok(Stamp::Utc(local.checked_sub(Span::new().minutes(minutes)).map_err(|_| OUT_OF_RANGE)?))
    }

    /// Returns the number in a cell.
    pub(super) fn number(&self, cell: &Cell) -> Result<f64, String> {
        let number = match filled(cell)? {
            Cell::Number(number) => Some(*number),
            Cell::Text(text) => self.parse_number(text),
            Cell::Empty | Cell::Date(_) | Cell::Time(_) | Cell::Error(_) => None,
        };
        number.filter(|number| number.is_finite()).ok_or_else(|| {
            format!(
                "is not a number; write digits and at most one {} for decimals",
                if self.rules.decimal == ',' { "comma" } else { "point" }
            )
        })
    }

    fn parse_number(&self, text: &str) -> Option<f64> {
        let sign = self.rules.decimal;
        let is_plain = text.chars().all(|c| c.is_ascii_digit() || c == sign || c == '-');
        is_plain.then(|| text.replace(sign, ".").parse().ok())?
    }

    /// Returns the local time of a day number, to the minute.
    fn day_number(&self, cell: &Cell) -> Result<DateTime, String> {
        if let Cell::Date(_) | Cell::Time(_) = cell {
            return Err("is a date and not a day number; set date_format to \"cell\"".to_owned());
        }
        let number = self.number(cell)?;
        if !DAY_NUMBERS.contains(&number) {
            return Err("is not a day number of the years 1970 to 2199".to_owned());
        }
        let minutes = whole_minutes(number * MINUTES_PER_DAY)?;
        DAY_ZERO
            .to_datetime(Time::midnight())
            .checked_add(Span::new().minutes(minutes))
            .map_err(|_| OUT_OF_RANGE.to_owned())
    }

    /// Returns a length of time in a unit of so many minutes, in seconds.
    pub(super) fn length(&self, cell: &Cell, minutes: f64) -> Result<i64, String> {
        let length = whole_minutes(self.number(cell)? * minutes)?;
        if length > 0 {
            Ok(i64::from(length) * 60)
        } else {
            Err("is not a length of time, which is more than nothing".to_owned())
        }
    }
}

/// Returns a cell that has a value.
fn filled(cell: &Cell) -> Result<&Cell, String> {
    match cell {
        Cell::Empty => Err("is empty; fill it in".to_owned()),
        Cell::Error(_) => {
            Err("is not a value but a formula without a result; correct it and save the workbook again".to_owned())
        }
        Cell::Text(_) | Cell::Number(_) | Cell::Date(_) | Cell::Time(_) => Ok(cell),
    }
}

/// Rounds to whole minutes, because spreadsheets store times as fractions of a day.
fn whole_minutes(minutes: f64) -> Result<i32, String> {
    let rounded = minutes.round();
    if rounded.abs() > 1e9 {
        return Err(OUT_OF_RANGE.to_owned());
    }
    #[expect(clippy::cast_possible_truncation, reason = "it is a whole number within the range of this type")]
    Ok(rounded as i32)
}

/// Returns the local time so many seconds after the midnight of a date.
pub(super) fn date_and_seconds(date: Date, seconds: i32) -> Result<DateTime, String> {
    date.to_datetime(Time::midnight()).checked_add(Span::new().seconds(seconds)).map_err(|_| OUT_OF_RANGE.to_owned())
}

fn unix_seconds(text: &str) -> Result<DateTime, String> {
    let seconds = (9..=10).contains(&text.len()).then(|| text.parse::<u32>().ok()).flatten();
    let instant = seconds.and_then(|seconds| jiff::Timestamp::from_second(i64::from(seconds)).ok());
    let instant = instant.ok_or("is not a time in seconds since 1970; milliseconds have three digits too many")?;
    Ok(jiff::tz::TimeZone::UTC.to_datetime(instant))
}

/// Splits `Z` or an offset such as `+01:00` from the end of a text.
pub(super) fn split_offset(text: &str) -> (&str, Option<&str>) {
    let at = if text.ends_with('Z') { text.len() - 1 } else { text.len().saturating_sub(6) };
    let Some((local, offset)) = text.split_at_checked(at) else { return (text, None) };
    let is_offset = offset == "Z" || (offset.starts_with(['+', '-']) && offset.as_bytes().get(3) == Some(&b':'));
    if is_offset { (local, Some(offset)) } else { (text, None) }
}

/// Returns the minutes of an offset such as `+01:00`; `None` if there is none like it.
pub(super) fn offset_minutes(offset: &str) -> Option<i64> {
    if offset == "Z" {
        return Some(0);
    }
    let sign = match offset.get(..1)? {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let is_number = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    let (hours, minutes): (i64, i64) =
        (is_number(hours) && is_number(minutes)).then(|| Some((hours.parse().ok()?, minutes.parse().ok()?)))??;
    (hours <= MAX_OFFSET_HOURS && minutes < 60).then_some(sign * (hours * 60 + minutes))
}
