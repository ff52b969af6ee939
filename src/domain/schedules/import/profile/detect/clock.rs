//! How the dates and times of a table are written.

use std::collections::BTreeSet;

use toml::Value;

use super::super::cell::Cell;
use super::super::format::{DateFormat, Pattern, TimeFormat};
use super::super::values::{Stamp, Values};
use super::super::{Midnight, TimeRules, ZoneSource};
use super::file::text_of;
use super::forms::{self, DateForm, TimeForm};
use super::proposal::Draft;
use super::table::Table;

/// The largest number of days that the dates of a schedule span; the default of `import.max_days`.
const MAX_DAYS: i64 = 400;

const MINUTES_PER_DAY: i64 = 1_440;

/// The dates and times of a table, for comparing its rows with each other.
pub(super) struct Clock {
    rules: TimeRules,
    /// Whether every time has its date.
    pub(super) is_dated: bool,
    /// Whether every time states its offset from UTC.
    pub(super) has_offsets: bool,
}

impl Clock {
    fn new(date: DateFormat, time: Option<TimeFormat>, decimal: char, is_dated: bool, has_offsets: bool) -> Self {
        let zone = if has_offsets { ZoneSource::Value } else { ZoneSource::Roster };
        let rules = TimeRules {
            date,
            year: Some(2028),
            time,
            decimal,
            midnight: Midnight::Over24,
            zone,
            agent_zone: None,
            zone_names: std::collections::BTreeMap::new(),
        };
        Self { rules, is_dated, has_offsets }
    }

    /// Returns the day of a cell, as a number.
    pub(super) fn day(&self, cell: &Cell) -> Option<i64> {
        let date = Values { rules: &self.rules }.date(cell).ok()?;
        Some(minutes_of(date.to_datetime(jiff::civil::Time::midnight())) / MINUTES_PER_DAY)
    }

    /// Returns the minutes after midnight of a time of day.
    pub(super) fn time(&self, cell: &Cell) -> Option<i64> {
        Values { rules: &self.rules }.seconds(cell).ok().map(|seconds| i64::from(seconds) / 60)
    }

    /// Returns the minutes of a date and time.
    pub(super) fn stamp(&self, cell: &Cell) -> Option<i64> {
        match (Values { rules: &self.rules }).stamp(cell).ok()? {
            Stamp::Local(local) | Stamp::Utc(local) => Some(minutes_of(local)),
        }
    }

    /// Returns the minutes of a length of time.
    pub(super) fn length(&self, cell: &Cell, unit: f64) -> Option<i64> {
        Values { rules: &self.rules }.length(cell, unit).ok().map(|seconds| seconds / 60)
    }
}

fn minutes_of(local: jiff::civil::DateTime) -> i64 {
    local.to_zoned(jiff::tz::TimeZone::UTC).map_or(0, |zoned| zoned.timestamp().as_second() / 60)
}

/// What the cells of columns are.
enum Kind<'t> {
    Dates,
    Times,
    Numbers,
    Text(BTreeSet<&'t str>),
    Mixed,
}

fn kind<'t>(cells: impl Iterator<Item = &'t Cell>) -> Kind<'t> {
    let (mut counts, mut texts) = ([0_usize; 4], BTreeSet::new());
    for cell in cells {
        match cell {
            Cell::Date(_) => counts[0] += 1,
            Cell::Time(_) => counts[1] += 1,
            Cell::Number(_) => counts[2] += 1,
            Cell::Text(text) => {
                counts[3] += 1;
                texts.insert(text.as_str());
            }
            Cell::Empty | Cell::Error(_) => {}
        }
    }
    match counts {
        [_, 0, 0, 0] => Kind::Dates,
        [0, _, 0, 0] => Kind::Times,
        [0, 0, _, 0] => Kind::Numbers,
        [0, 0, 0, _] => Kind::Text(texts),
        _ => Kind::Mixed,
    }
}

/// Finds out how dates and times are written, and adds the keys. `None` if they cannot be read.
pub(super) fn read(table: &Table<'_>, date: Option<usize>, times: &[usize], draft: &mut Draft<'_>) -> Option<Clock> {
    match (kind(table.filled(times)), date) {
        (Kind::Dates, _) => {
            Some(whole(draft, "cell", DateFormat::Cell, "All starts and ends are real dates with a time."))
        }
        (Kind::Numbers, None) => {
            Some(whole(draft, "number", DateFormat::DayNumber, "All starts and ends are day numbers of a spreadsheet."))
        }
        (Kind::Times, Some(date)) => {
            let dates = date_format(kind(table.filled(&[date])), draft)?;
            draft.certain(&["time_format"], "cell", "All times are real times of the workbook.");
            Some(Clock::new(dates, Some(TimeFormat::Cell), '.', false, false))
        }
        (Kind::Text(texts), date) => of_texts(table, date, &texts, draft),
        (Kind::Mixed | Kind::Numbers | Kind::Times, _) => {
            let reason = "some dates and times are text and others are not; nothing reads them all. Correct the file.";
            draft.undecided(&["date_format"], Vec::new(), reason);
            None
        }
    }
}

fn whole(draft: &mut Draft<'_>, name: &str, format: DateFormat, reason: &str) -> Clock {
    draft.certain(&["date_format"], name, reason);
    Clock::new(format, None, '.', true, false)
}

fn of_texts(table: &Table<'_>, date: Option<usize>, texts: &BTreeSet<&str>, draft: &mut Draft<'_>) -> Option<Clock> {
    let is_unix = |text: &&str| (9..=10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if texts.iter().all(is_unix) {
        let clock =
            whole(draft, "unix_seconds", DateFormat::UnixSeconds, "All starts and ends have nine or ten digits.");
        return Some(Clock { has_offsets: true, ..clock });
    }
    let stamps = forms::date_forms(texts, true);
    if let Some((_, rests)) = stamps.first() {
        let split: Vec<(&str, Option<&str>)> = rests.iter().map(|rest| forms::split_offset(rest)).collect();
        let has_offsets = split.iter().all(|(_, offset)| offset.is_some());
        let times: BTreeSet<&str> = split.into_iter().map(|(time, _)| time).collect();
        let dates: Vec<DateForm> = stamps.iter().map(|(form, _)| form.clone()).collect();
        let date = propose_date(&dates, texts, draft)?;
        let (time, decimal) = propose_time(&forms::time_forms(&times), draft)?;
        return Some(Clock::new(date, Some(time), decimal, true, has_offsets));
    }
    let dates = date_format(kind(table.filled(&[date?])), draft)?;
    let (time, decimal) = propose_time(&forms::time_forms(texts), draft)?;
    Some(Clock::new(dates, Some(time), decimal, false, false))
}

/// Finds out the form of dates that have no time.
fn date_format(dates: Kind<'_>, draft: &mut Draft<'_>) -> Option<DateFormat> {
    match dates {
        Kind::Dates => {
            draft.certain(&["date_format"], "cell", "All dates are real dates of the workbook.");
            Some(DateFormat::Cell)
        }
        Kind::Numbers => {
            draft.certain(&["date_format"], "number", "All dates are day numbers of a spreadsheet.");
            Some(DateFormat::DayNumber)
        }
        Kind::Text(texts) => of_date_texts(&texts, draft),
        Kind::Times | Kind::Mixed => {
            draft.undecided(&["date_format"], Vec::new(), "some dates are text and others are not. Correct the file.");
            None
        }
    }
}

/// Finds out the form of dates that are text.
pub(super) fn of_date_texts(texts: &BTreeSet<&str>, draft: &mut Draft<'_>) -> Option<DateFormat> {
    let is_number = |text: &&str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    if texts.iter().all(is_number) {
        draft.certain(&["date_format"], "number", "All dates are numbers of five digits, as spreadsheets number days.");
        return Some(DateFormat::DayNumber);
    }
    let forms: Vec<DateForm> = forms::date_forms(texts, false).into_iter().map(|(form, _)| form).collect();
    propose_date(&forms, texts, draft)
}

fn propose_date(forms: &[DateForm], texts: &BTreeSet<&str>, draft: &mut Draft<'_>) -> Option<DateFormat> {
    let fits = |form: &&DateForm| form.days() <= MAX_DAYS;
    let mut likely: Vec<&DateForm> = forms.iter().filter(fits).collect();
    likely.sort_by_key(|form| form.days());
    match likely.as_slice() {
        [] => {
            draft.undecided(
                &["date_format"],
                Vec::new(),
                "no known form reads all dates. See the key's documentation.",
            );
        }
        [only] => draft.certain(&["date_format"], only.text, reason_of(only, forms, texts)),
        several => {
            let spans = several.iter().map(|form| format!("as {} they span {} days", form.text, form.days()));
            let reason = format!(
                "every date can be read in {} ways: {}. Ask whoever made the file.",
                several.len(),
                spans.collect::<Vec<_>>().join(", ")
            );
            draft.undecided(&["date_format"], several.iter().map(|form| Value::from(form.text)).collect(), reason);
        }
    }
    if likely.first().is_some_and(|form| !form.has_year()) {
        let years = years(texts);
        let reason = format!(
            "the dates have no year.{}",
            if years.is_empty() { "" } else { " In these years, they fall on the weekdays that the file has." }
        );
        draft.undecided(&["year"], years.into_iter().map(Value::from).collect(), reason);
    }
    let text = draft.answer_text("date_format").or(likely.first().map(|form| form.text))?;
    Pattern::of_date(text).ok().map(DateFormat::Pattern)
}

fn reason_of(form: &DateForm, all: &[DateForm], texts: &BTreeSet<&str>) -> String {
    let other = forms::swapped(form.text);
    if let Some(other) = &other
        && let Some((example, count)) = forms::unread(other, texts)
    {
        return format!("{count} of {} different values, such as {example}, cannot be {other}.", texts.len());
    }
    match all.iter().find(|other| *other != form) {
        Some(other) => format!("As {}, the dates would span {} days, which is no schedule.", other.text, other.days()),
        None => format!("All {} different values have this form, and no other.", texts.len()),
    }
}

/// Returns the years in which dates such as `Mo 19.10.` fall on their weekdays.
fn years(texts: &BTreeSet<&str>) -> Vec<i64> {
    const WEEKDAYS: [&[&str]; 7] =
        [&["mo"], &["tu", "di"], &["we", "mi"], &["th", "do"], &["fr"], &["sa"], &["su", "so"]];
    let forms = forms::date_forms(texts, false);
    let Some((form, _)) = forms.first() else { return Vec::new() };
    let Ok(pattern) = Pattern::of_date(form.text) else { return Vec::new() };
    let fits = |year: &i16| {
        texts.iter().all(|text| {
            let name: String = text.chars().take(2).flat_map(char::to_lowercase).collect();
            let weekday = WEEKDAYS.iter().position(|names| names.contains(&name.as_str()));
            let date = pattern
                .read(text)
                .and_then(|(numbers, _)| jiff::civil::Date::new(*year, numbers.month, numbers.day).ok());
            let actual = date.and_then(|date| usize::try_from(date.weekday().to_monday_zero_offset()).ok());
            weekday.is_some() && weekday == actual
        })
    };
    (2020..2040).filter(fits).map(i64::from).collect()
}

/// Adds the keys about times of day.
pub(super) fn propose_time(forms: &[TimeForm], draft: &mut Draft<'_>) -> Option<(TimeFormat, char)> {
    let example = |form: &TimeForm| form.seconds.keys().next_back().cloned().unwrap_or_default();
    match forms {
        [] => {
            draft.undecided(
                &["time_format"],
                Vec::new(),
                "no known form reads all times. See the key's documentation.",
            );
        }
        [only] => {
            let count = only.seconds.len();
            let reason =
                format!("All {count} different times can be read in this way alone, such as {}.", example(only));
            draft.certain(&["time_format"], only.text, reason);
        }
        several => {
            let reason =
                format!("every time, such as {}, can be read in {} ways.", example(&several[0]), several.len());
            draft.undecided(&["time_format"], several.iter().map(|form| Value::from(form.text)).collect(), reason);
        }
    }
    let first = forms.first();
    let decimal = if first.is_some_and(|form| form.seconds.keys().any(|text| text.contains(','))) { ',' } else { '.' };
    if decimal == ',' {
        draft.certain(&["decimal"], ",", "Decimals are written with a comma.");
    }
    let text = draft.answer_text("time_format").or(first.map(|form| form.text))?;
    let format = match text {
        "hours" => TimeFormat::Hours,
        "minutes" => TimeFormat::Minutes,
        "cell" => TimeFormat::Cell,
        text => TimeFormat::Pattern(Pattern::of_time(text).ok()?),
    };
    Some((format, decimal))
}

/// Adds the key about midnight, from starts and ends in minutes after the midnight of their date.
pub(super) fn propose_midnight(spans: &[(i64, i64)], draft: &mut Draft<'_>) {
    let over = spans.iter().filter(|(start, end)| *start.max(end) > MINUTES_PER_DAY).count();
    let next = spans.iter().filter(|(start, end)| end <= start).count();
    if over > 0 && next == 0 {
        draft.certain(
            &["midnight"],
            "over_24",
            format!("{over} times are later than 24:00, and no end is before its start."),
        );
    } else if next > 0 && over == 0 {
        draft.certain(
            &["midnight"],
            "next_day",
            format!("{next} ends are not after their start, and no time is later than 24:00."),
        );
    } else if next > 0 {
        let reason = format!("{over} times are later than 24:00, and {next} ends are not after their start.");
        draft.undecided(&["midnight"], vec!["over_24".into(), "next_day".into()], reason);
    } else {
        let reason = "no shift of this file passes midnight. Without this key, a shift that does is refused.";
        draft.push(&["midnight"], super::proposal::Choice::Doubtful("dated".into()), reason.to_owned());
    }
}

/// Returns a number in a text cell; `None` if there is none.
pub(super) fn is_decimal(cell: &Cell) -> bool {
    text_of(cell).is_some_and(|text| text.contains([',', '.']))
}
