//! The forms of dates and times in which all values of a column can be read.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

use super::super::format::Pattern;

/// The forms of dates that are tried. Of two that differ in leading zeros alone, the lenient one comes first.
const DATES: [&str; 47] = [
    "YYYY-MM-DD",
    "YYYY/MM/DD",
    "YYYY.MM.DD",
    "YYYYMMDD",
    "YYYYDDMM",
    "DDMMYYYY",
    "MMDDYYYY",
    "YYMMDD",
    "YYDDMM",
    "DDMMYY",
    "MMDDYY",
    "D/M/YYYY",
    "DD/MM/YYYY",
    "M/D/YYYY",
    "MM/DD/YYYY",
    "D.M.YYYY",
    "DD.MM.YYYY",
    "M.D.YYYY",
    "MM.DD.YYYY",
    "D-M-YYYY",
    "DD-MM-YYYY",
    "M-D-YYYY",
    "MM-DD-YYYY",
    "D/M/YY",
    "DD/MM/YY",
    "M/D/YY",
    "MM/DD/YY",
    "D.M.YY",
    "DD.MM.YY",
    "D-M-YY",
    "DD-MM-YY",
    "D MMM YYYY",
    "DD MMM YYYY",
    "D-MMM-YYYY",
    "DD-MMM-YYYY",
    "D MMM YY",
    "DD MMM YY",
    "MMM D, YYYY",
    "MMM D YYYY",
    "ddd D.M.",
    "ddd DD.MM.",
    "ddd D/M",
    "ddd DD/MM",
    "ddd M/D",
    "ddd MM/DD",
    "D.M.",
    "DD.MM.",
];

const TIMES: [&str; 14] = [
    "H:mm",
    "HH:mm",
    "H:mm:ss",
    "HH:mm:ss",
    "HHmm",
    "HH.mm",
    "h:mm AM",
    "hh:mm AM",
    "h:mmAM",
    "hh:mmAM",
    "h:mma",
    "hh:mma",
    "h:mm:ss AM",
    "hh:mm:ss AM",
];

/// The leap year that stands for a year that is not written.
const ANY_YEAR: i16 = 2028;

/// The largest number of seconds of a time whose hours count on after midnight.
const MAX_SECONDS: i32 = 48 * 3_600;

/// A form in which all values can be read.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct DateForm {
    pub(super) text: &'static str,
    pub(super) first: Date,
    pub(super) last: Date,
}

impl DateForm {
    /// Returns the number of days from the first to the last.
    pub(super) fn days(&self) -> i64 {
        self.last.since(self.first).map_or(i64::MAX, |span| i64::from(span.get_days())) + 1
    }

    pub(super) fn has_year(&self) -> bool {
        self.text.contains("YY")
    }
}

fn date_of(pattern: &Pattern, text: &str) -> Option<(Date, usize)> {
    let (numbers, rest) = pattern.read(text)?;
    let year = if pattern.has_year() { numbers.year? } else { ANY_YEAR };
    let date = Date::new(year, numbers.month, numbers.day).ok()?;
    (1970..2200).contains(&date.year()).then_some((date, rest.len()))
}

/// Returns the forms of dates, one for each way of reading the values, with what follows the dates. `has_times` is whether
/// a time follows each date.
pub(super) fn date_forms<'t>(texts: &BTreeSet<&'t str>, has_times: bool) -> Vec<(DateForm, BTreeSet<&'t str>)> {
    let has_zeros = texts
        .iter()
        .any(|text| text.split(|c: char| !c.is_ascii_digit()).any(|part| part.len() == 2 && part.starts_with('0')));
    let mut found: Vec<(Vec<Date>, DateForm, BTreeSet<&'t str>)> = Vec::new();
    for text in DATES {
        let Ok(pattern) = Pattern::of_date(text) else { continue };
        let read = texts.iter().map(|text| {
            let (date, rest) = date_of(&pattern, text)?;
            let rest = &text[text.len() - rest..];
            let time = rest.strip_prefix([' ', 'T']).map(str::trim_start).filter(|time| !time.is_empty());
            (rest.is_empty() != has_times && time.is_some() == has_times).then_some((date, time.unwrap_or_default()))
        });
        let Some(read) = read.collect::<Option<Vec<_>>>() else { continue };
        let (dates, rests): (Vec<Date>, BTreeSet<&str>) = read.into_iter().unzip();
        let (Some(first), Some(last)) = (dates.iter().min(), dates.iter().max()) else { continue };
        let form = DateForm { text, first: *first, last: *last };
        match found.iter_mut().find(|(known, ..)| *known == dates) {
            Some(known) if has_zeros => *known = (dates, form, rests),
            Some(_) => {}
            None => found.push((dates, form, rests)),
        }
    }
    found.into_iter().map(|(_, form, rests)| (form, rests)).collect()
}

/// Returns a value that a form does not read, and how many there are.
pub(super) fn unread<'t>(form: &str, texts: &BTreeSet<&'t str>) -> Option<(&'t str, usize)> {
    let pattern = Pattern::of_date(form).ok()?;
    let unread: Vec<&str> = texts.iter().filter(|text| date_of(&pattern, text).is_none()).copied().collect();
    unread.first().map(|text| (*text, unread.len()))
}

/// Returns a form with day and month the other way round.
pub(super) fn swapped(form: &str) -> Option<String> {
    if form.contains("MMM") || form.starts_with("YYYY-") || form.starts_with("YYYY/") || form.starts_with("YYYY.") {
        return None;
    }
    let swap = |c| match c {
        'D' => 'M',
        'M' => 'D',
        other => other,
    };
    Some(form.chars().map(swap).collect())
}

/// Times of day that can be read in a form.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct TimeForm {
    pub(super) text: &'static str,
    pub(super) seconds: BTreeMap<String, i32>,
}

/// Returns the forms of times, one for each way of reading the values.
pub(super) fn time_forms(texts: &BTreeSet<&str>) -> Vec<TimeForm> {
    let has_zeros =
        texts.iter().any(|text| text.starts_with('0') && text.as_bytes().get(1).is_some_and(u8::is_ascii_digit));
    let mut found: Vec<TimeForm> = Vec::new();
    let mut add = |form: TimeForm, prefers_new: bool| match found.iter_mut().find(|known| known.seconds == form.seconds)
    {
        Some(known) if prefers_new => *known = form,
        Some(_) => {}
        None => found.push(form),
    };
    for text in TIMES {
        let Ok(pattern) = Pattern::of_time(text) else { continue };
        let read = texts.iter().map(|text| {
            let (numbers, rest) = pattern.read(text)?;
            let seconds = numbers.seconds().filter(|seconds| rest.is_empty() && *seconds <= MAX_SECONDS)?;
            Some(((*text).to_owned(), seconds))
        });
        if let Some(seconds) = read.collect::<Option<BTreeMap<_, _>>>() {
            add(TimeForm { text, seconds }, has_zeros);
        }
    }
    for (text, unit) in [("hours", 3_600.0), ("minutes", 60.0)] {
        let read = texts.iter().map(|text| {
            let number: f64 = text.replace(',', ".").parse().ok()?;
            let seconds = (number * unit / 60.0).round() * 60.0;
            let is_whole = text.bytes().all(|byte| byte.is_ascii_digit());
            let is_likely = if text.len() == 4 && is_whole { !has_zeros } else { true };
            if !(0.0..=f64::from(MAX_SECONDS)).contains(&seconds) || (unit < 100.0 && !is_whole) || !is_likely {
                return None;
            }
            #[expect(clippy::cast_possible_truncation, reason = "it is a whole number within two days")]
            Some(((*text).to_owned(), seconds as i32))
        });
        if let Some(seconds) = read.collect::<Option<BTreeMap<_, _>>>() {
            add(TimeForm { text, seconds }, false);
        }
    }
    found
}

/// Returns a time without its offset from UTC, and the offset.
pub(super) fn split_offset(time: &str) -> (&str, Option<&str>) {
    super::super::values::split_offset(time)
}
