//! Recurring calendar events: the local times that an `RRULE` gives.
//!
//! The `rrule` crate works in wall-clock time here: it gets local times as if they were UTC, so that it sees no clock
//! changes, and [`super::super::zones`] converts its results to instants like the times of a table. Rules are built part by
//! part because the crate's own parser ignores what it cannot read in `BYDAY` and takes an `UNTIL` without `Z` to be in
//! this machine's zone.

use chrono::{DateTime as ChronoTime, Datelike, Month, TimeZone, Timelike, Weekday};
use jiff::civil::DateTime;
use rrule::{Frequency, NWeekday, RRule, RRuleSet, Tz, Unvalidated};

use super::value::{CalendarTime, parse_calendar_time};
use crate::domain::wording::count_with_noun;

/// A parsed recurrence rule that has an end.
pub(super) struct Recurrence {
    rule: RRule<Unvalidated>,
    /// The last time that may be given; `None` if a count ends the rule.
    pub(super) until: Option<CalendarTime>,
}

const SUPPORTED: &str = "FREQ, INTERVAL, COUNT, UNTIL, BYDAY, BYMONTHDAY, BYMONTH, BYSETPOS and WKST are read";

impl Recurrence {
    /// Parses the value of an `RRULE`. Rules that recur several times a day or without end are errors.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let parts = parse_parts(text)?;
        let get = |name: &str| parts.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let frequency = parse_frequency(get("FREQ").ok_or("has no FREQ")?)?;
        let until = get("UNTIL")
            .map(parse_calendar_time)
            .transpose()
            .map_err(|reason| format!("has an UNTIL that {reason}"))?;
        let count = get("COUNT").map(|text| parse_numbers::<u32>("COUNT", text, 1, 1_000_000)).transpose()?;
        if until.is_some() == count.is_some() {
            return Err("must end, by either UNTIL or COUNT".to_owned());
        }
        let mut rule = RRule::new(frequency);
        if let Some(count) = count {
            rule = rule.count(count[0]);
        }
        if let Some(text) = get("INTERVAL") {
            rule = rule.interval(parse_numbers::<u16>("INTERVAL", text, 1, 400)?[0]);
        }
        if let Some(text) = get("WKST") {
            rule = rule.week_start(parse_weekday(text).ok_or_else(|| unreadable_part("WKST", text))?);
        }
        if let Some(text) = get("BYDAY") {
            rule = rule.by_weekday(parse_weekdays(text, frequency)?);
        }
        if let Some(text) = get("BYMONTH") {
            let months = parse_numbers::<u8>("BYMONTH", text, 1, 12)?;
            let months: Vec<Month> = months.into_iter().filter_map(|month| Month::try_from(month).ok()).collect();
            rule = rule.by_month(&months);
        }
        if let Some(text) = get("BYMONTHDAY") {
            if frequency == Frequency::Weekly {
                return Err("has BYMONTHDAY in a weekly rule, which means nothing".to_owned());
            }
            rule = rule.by_month_day(parse_numbers::<i8>("BYMONTHDAY", text, -31, 31)?);
        }
        if let Some(text) = get("BYSETPOS") {
            // Programs disagree on how to count in a week in the middle of which the event begins.
            if frequency != Frequency::Monthly {
                return Err("has BYSETPOS, which is read in monthly rules only".to_owned());
            }
            rule = rule.by_set_pos(parse_numbers::<i32>("BYSETPOS", text, -31, 31)?);
        }
        Ok(Self { rule, until })
    }

    /// Returns the local times of the rule from `start` while `is_within` holds. It is an error if they reach more than
    /// `max_days` days.
    pub(super) fn expand(
        &self,
        start: DateTime,
        max_days: u16,
        is_within: impl Fn(DateTime) -> bool,
    ) -> Result<Vec<DateTime>, String> {
        let first = to_chrono(start).ok_or("does not fit its DTSTART")?;
        let rule = self.rule.clone().validate(first).map_err(|error| format!("is not valid: {error}"))?;
        let mut times = Vec::new();
        for time in &RRuleSet::new(first).rrule(rule).limit() {
            let local = from_chrono(time).ok_or("gives times that cannot be planned")?;
            if times.is_empty() && local != start {
                break;
            }
            if !is_within(local) {
                break;
            }
            if local.duration_since(start).as_hours() / 24 >= i64::from(max_days) {
                return Err(format!(
                    "reaches more than {} from its DTSTART; end it earlier",
                    count_with_noun(max_days, "day")
                ));
            }
            times.push(local);
        }
        if times.is_empty() {
            return Err(
                "does not give its own DTSTART; let the event begin on a day that the rule names, before UNTIL"
                    .to_owned(),
            );
        }
        Ok(times)
    }
}

/// Splits a rule into its parts, with names in capitals; each must be known and occur once.
fn parse_parts(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut parts: Vec<(String, String)> = Vec::new();
    if !text.is_ascii() || text.len() > 512 {
        return Err("is not a recurrence rule".to_owned());
    }
    for part in text.split(';').filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once('=').ok_or_else(|| unreadable_part(part, ""))?;
        let (key, value) = (key.trim().to_ascii_uppercase(), value.trim().to_ascii_uppercase());
        match key.as_str() {
            "FREQ" | "INTERVAL" | "COUNT" | "UNTIL" | "BYDAY" | "BYMONTHDAY" | "BYMONTH" | "BYSETPOS" | "WKST" => {}
            _ => return Err(format!("has {key}, which is not supported; {SUPPORTED}")),
        }
        if parts.iter().any(|(known, _)| *known == key) {
            return Err(format!("has {key} twice"));
        }
        parts.push((key, value));
    }
    Ok(parts)
}

fn unreadable_part(part: &str, value: &str) -> String {
    format!("has {part}={value}, which cannot be read")
}

fn parse_frequency(text: &str) -> Result<Frequency, String> {
    match text {
        "DAILY" => Ok(Frequency::Daily),
        "WEEKLY" => Ok(Frequency::Weekly),
        "MONTHLY" => Ok(Frequency::Monthly),
        _ => Err(format!("has FREQ={text}; shifts repeat DAILY, WEEKLY or MONTHLY")),
    }
}

/// Parses a list of numbers from `min` to `max` other than 0.
fn parse_numbers<N>(part: &str, text: &str, min: i64, max: i64) -> Result<Vec<N>, String>
where
    N: TryFrom<i64>,
{
    let read = |item: &str| {
        let number: i64 = item.trim().parse().ok()?;
        if number == 0 || number < min || number > max { None } else { N::try_from(number).ok() }
    };
    text.split(',').map(|item| read(item).ok_or_else(|| unreadable_part(part, text))).collect()
}

fn parse_weekday(text: &str) -> Option<Weekday> {
    match text {
        "MO" => Some(Weekday::Mon),
        "TU" => Some(Weekday::Tue),
        "WE" => Some(Weekday::Wed),
        "TH" => Some(Weekday::Thu),
        "FR" => Some(Weekday::Fri),
        "SA" => Some(Weekday::Sat),
        "SU" => Some(Weekday::Sun),
        _ => None,
    }
}

/// Parses weekdays, which in a monthly rule may have a number in front (`2MO`, `-1FR`).
fn parse_weekdays(text: &str, frequency: Frequency) -> Result<Vec<NWeekday>, String> {
    let read = |item: &str| {
        let item = item.trim();
        let (nth, name) = item.split_at_checked(item.len().checked_sub(2)?)?;
        let weekday = parse_weekday(name)?;
        if nth.is_empty() {
            return Some(NWeekday::Every(weekday));
        }
        let nth: i16 = nth.parse().ok().filter(|nth| *nth != 0 && (-5..=5).contains(nth))?;
        (frequency == Frequency::Monthly).then_some(NWeekday::Nth(nth, weekday))
    };
    text.split(',').map(|item| read(item).ok_or_else(|| unreadable_part("BYDAY", text))).collect()
}

fn to_chrono(local: DateTime) -> Option<ChronoTime<Tz>> {
    let part = |part: i8| u32::try_from(part).unwrap_or_default();
    let (month, day) = (part(local.month()), part(local.day()));
    let (hour, minute, second) = (part(local.hour()), part(local.minute()), part(local.second()));
    Tz::UTC.with_ymd_and_hms(i32::from(local.year()), month, day, hour, minute, second).single()
}

fn from_chrono(time: ChronoTime<Tz>) -> Option<DateTime> {
    let part = |part: u32| i8::try_from(part).ok();
    let (month, day) = (part(time.month())?, part(time.day())?);
    let (hour, minute, second) = (part(time.hour())?, part(time.minute())?, part(time.second())?);
    DateTime::new(i16::try_from(time.year()).ok()?, month, day, hour, minute, second, 0).ok()
}
