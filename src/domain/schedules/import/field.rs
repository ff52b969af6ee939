//! Single values of a file: plain texts, yes and no, local times. Each is read one way only; what could be read two ways is
//! refused with the form to write instead.

use jiff::civil::DateTime;

use super::zones::OUT_OF_RANGE;
use crate::domain::agents::skill::{LONGEST_SKILL_TEXT, MOST_SKILLS_PER_AGENT};

/// The longest agent id, team and activity, in characters.
pub(super) const SHORT_TEXT: usize = 128;
/// The longest agent name, in characters.
pub(super) const LONG_TEXT: usize = 256;

/// The form that every message about a bad time recommends.
const WRITE_IT: &str = "write it as 2026-10-19T09:00";

/// Checks a text that is shown to people: no control characters (a formula is only text), not too long.
pub(super) fn plain_text(text: &str, longest: usize) -> Result<&str, String> {
    if text.chars().any(char::is_control) {
        return Err("holds a line break or another control character; write it as plain text on one line".to_owned());
    }
    if text.chars().nth(longest).is_some() {
        return Err(format!("is longer than {longest} characters"));
    }
    Ok(text)
}

/// What stands between two skills of one field.
pub(super) const SKILL_BAR: char = '|';

/// Checks a list of skills: `4711|4712`, or nothing.
pub(super) fn skills(text: &str) -> Result<&str, String> {
    let text = plain_text(text, MOST_SKILLS_PER_AGENT * (LONGEST_SKILL_TEXT + 1))?;
    let skills = || text.split(SKILL_BAR).map(str::trim);
    if !text.is_empty() && skills().any(str::is_empty) {
        return Err(format!(
            "names an empty skill; write the skills' ids with {SKILL_BAR} between them, as in 4711|4712"
        ));
    }
    if skills().any(|skill| skill.chars().nth(LONGEST_SKILL_TEXT).is_some()) {
        return Err(format!("names a skill of more than {LONGEST_SKILL_TEXT} characters"));
    }
    if skills().nth(MOST_SKILLS_PER_AGENT).is_some() {
        return Err(format!("names more than {MOST_SKILLS_PER_AGENT} skills"));
    }
    Ok(text)
}

/// Reads true or false.
pub(super) fn flag(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        "" => Err("is empty; write true or false (yes, no, 1 and 0 are read too)".to_owned()),
        _ => Err("is neither true nor false; write true or false (yes, no, 1 and 0 are read too)".to_owned()),
    }
}

/// Reads `2026-10-19T09:00`, with or without seconds, with a space for the T.
pub(super) fn local_time(text: &str) -> Result<DateTime, String> {
    if let Some(parts) = shaped(text.as_bytes()) {
        return civil(parts);
    }
    Err(why_not_a_time(text))
}

/// The six numbers of a date and time of exactly this form, whether or not the calendar has it.
fn shaped(text: &[u8]) -> Option<[i16; 6]> {
    if text.len() != 16 && text.len() != 19 {
        return None;
    }
    let separators: &[(usize, &[u8])] = &[(4, b"-"), (7, b"-"), (10, b"T "), (13, b":"), (16, b":")];
    if separators.iter().any(|&(at, allowed)| text.get(at).is_some_and(|byte| !allowed.contains(byte))) {
        return None;
    }
    let seconds = if text.len() == 19 { number(&text[17..19])? } else { 0 };
    Some([
        number(&text[0..4])?,
        number(&text[5..7])?,
        number(&text[8..10])?,
        number(&text[11..13])?,
        number(&text[14..16])?,
        seconds,
    ])
}

/// At most four ASCII digits as a number.
pub(super) fn number(digits: &[u8]) -> Option<i16> {
    digits.iter().try_fold(0_i16, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i16::from(byte - b'0')))
}

/// Year, month, day, hour, minute and second as a local time of the calendar.
pub(super) fn civil([year, month, day, hour, minute, second]: [i16; 6]) -> Result<DateTime, String> {
    let small = |part: i16| i8::try_from(part).unwrap_or(-1);
    let time = DateTime::new(year, small(month), small(day), small(hour), small(minute), small(second), 0);
    match time {
        Ok(_) if !(1970..2200).contains(&year) => Err(OUT_OF_RANGE.to_owned()),
        Ok(time) => Ok(time),
        Err(_) if hour == 24 => Err(format!("has hour 24; midnight is 00:00 of the next day, {WRITE_IT}")),
        Err(_) => Err("is not in the calendar: there is no such day or time of day".to_owned()),
    }
}

fn why_not_a_time(text: &str) -> String {
    if text.is_empty() {
        return format!("is missing; {WRITE_IT}");
    }
    let begins = |length| text.as_bytes().get(..length).is_some_and(|start| shaped(start).is_some());
    let rest = if begins(19) {
        &text[19..]
    } else if begins(16) {
        &text[16..]
    } else {
        ""
    };
    if rest.trim_start().starts_with(['Z', 'z', '+', '-']) {
        return format!("carries an offset; times are local to the time zone of the row, {WRITE_IT}");
    }
    if text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok() {
        return format!("has no time of day; {WRITE_IT}");
    }
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b',') && text.parse::<f64>().is_ok() {
        return format!("looks like a spreadsheet's day number; format the cells as text and {WRITE_IT}");
    }
    if day_or_month(text) {
        return format!("does not say which number is the day and which the month; {WRITE_IT}");
    }
    format!("is not a date and time; {WRITE_IT}")
}

/// Whether a text begins with two numbers that could each be day or month.
fn day_or_month(text: &str) -> bool {
    let mut parts = text.split(['/', '.', '-', ' ']).map(str::parse::<u8>);
    matches!((parts.next(), parts.next()), (Some(Ok(1..=12)), Some(Ok(1..=12))))
}
