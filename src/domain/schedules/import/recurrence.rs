//! Repeating calendar events: which local times an `RRULE` gives.
//!
//! The `rrule` crate reckons in wall-clock time here: it is handed local times as if they were UTC, so that no clock change
//! reaches it, and the local times that it gives become instants in [`super::zones`] like those of a table. Rules are built
//! part by part and not by the crate's text reader, which drops what it cannot read in `BYDAY` and takes an `UNTIL` without
//! `Z` in the zone of this machine.

use chrono::{DateTime as ChronoTime, Datelike, Month, TimeZone, Timelike, Weekday};
use jiff::civil::DateTime;
use rrule::{Frequency, NWeekday, RRule, RRuleSet, Tz, Unvalidated};

use super::calendar_value::{CalendarTime, calendar_time};
use crate::domain::words::count;

/// A rule that was read and is bounded.
pub(super) struct Recurrence {
    rule: RRule<Unvalidated>,
    /// The last time that may be given; `None` when a count bounds the rule.
    pub(super) until: Option<CalendarTime>,
}

const SUPPORTED: &str = "FREQ, INTERVAL, COUNT, UNTIL, BYDAY, BYMONTHDAY, BYMONTH, BYSETPOS and WKST are read";

impl Recurrence {
    /// Reads the value of an `RRULE`. Refuses by name what could give many times a day, or forever.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let parts = parts(text)?;
        let get = |name: &str| parts.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let frequency = frequency(get("FREQ").ok_or("has no FREQ")?)?;
        let until =
            get("UNTIL").map(calendar_time).transpose().map_err(|reason| format!("has an UNTIL that {reason}"))?;
        let count = get("COUNT").map(|text| numbers::<u32>("COUNT", text, 1, 1_000_000)).transpose()?;
        if until.is_some() == count.is_some() {
            return Err("must end, by either UNTIL or COUNT".to_owned());
        }
        let mut rule = RRule::new(frequency);
        if let Some(count) = count {
            rule = rule.count(count[0]);
        }
        if let Some(text) = get("INTERVAL") {
            rule = rule.interval(numbers::<u16>("INTERVAL", text, 1, 400)?[0]);
        }
        if let Some(text) = get("WKST") {
            rule = rule.week_start(weekday(text).ok_or_else(|| bad("WKST", text))?);
        }
        if let Some(text) = get("BYDAY") {
            rule = rule.by_weekday(weekdays(text, frequency)?);
        }
        if let Some(text) = get("BYMONTH") {
            let months = numbers::<u8>("BYMONTH", text, 1, 12)?;
            let months: Vec<Month> = months.into_iter().filter_map(|month| Month::try_from(month).ok()).collect();
            rule = rule.by_month(&months);
        }
        if let Some(text) = get("BYMONTHDAY") {
            if frequency == Frequency::Weekly {
                return Err("has BYMONTHDAY in a weekly rule, which means nothing".to_owned());
            }
            rule = rule.by_month_day(numbers::<i8>("BYMONTHDAY", text, -31, 31)?);
        }
        if let Some(text) = get("BYSETPOS") {
            // Of a week that the event begins in the middle of, programs count differently.
            if frequency != Frequency::Monthly {
                return Err("has BYSETPOS, which is read in monthly rules only".to_owned());
            }
            rule = rule.by_set_pos(numbers::<i32>("BYSETPOS", text, -31, 31)?);
        }
        Ok(Self { rule, until })
    }

    /// The local times that the rule gives from `start` on, while `within` holds of them, at most `max_days` days on.
    pub(super) fn expand(
        &self,
        start: DateTime,
        max_days: u16,
        within: impl Fn(DateTime) -> bool,
    ) -> Result<Vec<DateTime>, String> {
        let first = to_chrono(start).ok_or("does not fit its DTSTART")?;
        let rule = self.rule.clone().validate(first).map_err(|error| format!("is not valid: {error}"))?;
        let mut times = Vec::new();
        for time in &RRuleSet::new(first).rrule(rule).limit() {
            let local = from_chrono(time).ok_or("gives times that cannot be planned")?;
            if times.is_empty() && local != start {
                break;
            }
            if !within(local) {
                break;
            }
            if local.duration_since(start).as_hours() / 24 >= i64::from(max_days) {
                return Err(format!("reaches more than {} from its DTSTART; end it earlier", count(max_days, "day")));
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

/// The parts of a rule, names in capitals, each known and there once.
fn parts(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut parts: Vec<(String, String)> = Vec::new();
    if !text.is_ascii() || text.len() > 512 {
        return Err("is not a recurrence rule".to_owned());
    }
    for part in text.split(';').filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once('=').ok_or_else(|| bad(part, ""))?;
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

fn bad(part: &str, value: &str) -> String {
    format!("has {part}={value}, which cannot be read")
}

fn frequency(text: &str) -> Result<Frequency, String> {
    match text {
        "DAILY" => Ok(Frequency::Daily),
        "WEEKLY" => Ok(Frequency::Weekly),
        "MONTHLY" => Ok(Frequency::Monthly),
        _ => Err(format!("has FREQ={text}; shifts repeat DAILY, WEEKLY or MONTHLY")),
    }
}

/// A list of numbers between two bounds, none of them 0.
fn numbers<N>(part: &str, text: &str, least: i64, most: i64) -> Result<Vec<N>, String>
where
    N: TryFrom<i64>,
{
    let read = |item: &str| {
        let number: i64 = item.trim().parse().ok()?;
        if number == 0 || number < least || number > most { None } else { N::try_from(number).ok() }
    };
    text.split(',').map(|item| read(item).ok_or_else(|| bad(part, text))).collect()
}

fn weekday(text: &str) -> Option<Weekday> {
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

/// Weekdays, in a monthly rule with or without a number before them (`2MO`, `-1FR`).
fn weekdays(text: &str, frequency: Frequency) -> Result<Vec<NWeekday>, String> {
    let read = |item: &str| {
        let item = item.trim();
        let (nth, name) = item.split_at_checked(item.len().checked_sub(2)?)?;
        let weekday = weekday(name)?;
        if nth.is_empty() {
            return Some(NWeekday::Every(weekday));
        }
        let nth: i16 = nth.parse().ok().filter(|nth| *nth != 0 && (-5..=5).contains(nth))?;
        (frequency == Frequency::Monthly).then_some(NWeekday::Nth(nth, weekday))
    };
    text.split(',').map(|item| read(item).ok_or_else(|| bad("BYDAY", text))).collect()
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
