//! Parsing of single values of a file: texts, flags and local times.
//!
//! Each has only one reading. Ambiguous values are refused with the form to write instead.

use jiff::civil::DateTime;
use jiff::tz::Offset;

use super::zones::{CARRIES_OFFSET, OUT_OF_RANGE};
use crate::domain::agents::skill::{MAX_SKILL_CHARS, MAX_SKILLS_PER_AGENT};

/// The largest length of an agent id, team or activity, in characters.
pub const SHORT_TEXT: usize = 128;
/// The largest length of an agent's name, in characters.
pub const LONG_TEXT: usize = 256;

/// The form recommended by every message about an invalid time.
const FORMAT_HINT: &str = "write it as 2026-10-19T09:00";

/// Checks a text that is shown to people: no control characters, and not too long. A formula is only text.
pub(super) fn check_plain_text(text: &str, max_chars: usize) -> Result<&str, String> {
    if text.chars().any(char::is_control) {
        return Err("holds a line break or another control character; write it as plain text on one line".to_owned());
    }
    if text.chars().nth(max_chars).is_some() {
        return Err(format!("is longer than {max_chars} characters"));
    }
    Ok(text)
}

/// The separator between the skills of a field.
pub(super) const SKILL_SEPARATOR: char = '|';

/// Checks a list of skills, such as `4711|4712`; it may be empty.
pub(super) fn check_skills(text: &str) -> Result<&str, String> {
    let text = check_plain_text(text, MAX_SKILLS_PER_AGENT * (MAX_SKILL_CHARS + 1))?;
    let skills = || text.split(SKILL_SEPARATOR).map(str::trim);
    if !text.is_empty() && skills().any(str::is_empty) {
        return Err(format!(
            "names an empty skill; write the skills' ids with {SKILL_SEPARATOR} between them, as in 4711|4712"
        ));
    }
    if skills().any(|skill| skill.chars().nth(MAX_SKILL_CHARS).is_some()) {
        return Err(format!("names a skill of more than {MAX_SKILL_CHARS} characters"));
    }
    if skills().nth(MAX_SKILLS_PER_AGENT).is_some() {
        return Err(format!("names more than {MAX_SKILLS_PER_AGENT} skills"));
    }
    Ok(text)
}

/// Parses true or false.
pub(super) fn parse_flag(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        "" => Err("is empty; write true or false (yes, no, 1 and 0 are read too)".to_owned()),
        _ => Err("is neither true nor false; write true or false (yes, no, 1 and 0 are read too)".to_owned()),
    }
}

/// Parses `2026-10-19T09:00`, with or without seconds, and with `T` or a space.
pub(super) fn parse_local_time(text: &str) -> Result<DateTime, String> {
    if let Some(parts) = split_local_time(text.as_bytes()) {
        return to_local_time(parts);
    }
    Err(time_format_error(text))
}

/// Splits an offset such as `+01:00` from a local time; `None` without one.
pub(super) fn split_offset(text: &str) -> Option<(&str, Offset)> {
    let (local, offset) = text.split_at_checked(text.len().checked_sub("+00:00".len())?)?;
    let digits = offset.strip_prefix(['+', '-'])?.split_once(':')?;
    let part = |digits: &str| (digits.len() == 2).then(|| parse_digits(digits.as_bytes())).flatten();
    let minutes = i32::from(part(digits.0)?) * 60 + i32::from(part(digits.1)?);
    let seconds = if offset.starts_with('-') { -60 * minutes } else { 60 * minutes };
    Some((local, Offset::from_seconds(seconds).ok()?))
}

/// Splits a date and time of exactly this form into six numbers, whether or not the date exists.
fn split_local_time(text: &[u8]) -> Option<[i16; 6]> {
    if text.len() != 16 && text.len() != 19 {
        return None;
    }
    let separators: &[(usize, &[u8])] = &[(4, b"-"), (7, b"-"), (10, b"T "), (13, b":"), (16, b":")];
    if separators.iter().any(|&(at, allowed)| text.get(at).is_some_and(|byte| !allowed.contains(byte))) {
        return None;
    }
    let seconds = if text.len() == 19 { parse_digits(&text[17..19])? } else { 0 };
    Some([
        parse_digits(&text[0..4])?,
        parse_digits(&text[5..7])?,
        parse_digits(&text[8..10])?,
        parse_digits(&text[11..13])?,
        parse_digits(&text[14..16])?,
        seconds,
    ])
}

/// Parses at most four ASCII digits.
pub(super) fn parse_digits(digits: &[u8]) -> Option<i16> {
    digits.iter().try_fold(0_i16, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i16::from(byte - b'0')))
}

/// Converts year, month, day, hour, minute and second to a local time; the date must exist.
pub(super) fn to_local_time([year, month, day, hour, minute, second]: [i16; 6]) -> Result<DateTime, String> {
    let to_i8 = |part: i16| i8::try_from(part).unwrap_or(-1);
    let time = DateTime::new(year, to_i8(month), to_i8(day), to_i8(hour), to_i8(minute), to_i8(second), 0);
    match time {
        Ok(_) if !(1970..2200).contains(&year) => Err(OUT_OF_RANGE.to_owned()),
        Ok(time) => Ok(time),
        Err(_) if hour == 24 => Err(format!("has hour 24; midnight is 00:00 of the next day, {FORMAT_HINT}")),
        Err(_) => Err("is not in the calendar: there is no such day or time of day".to_owned()),
    }
}

fn time_format_error(text: &str) -> String {
    if text.is_empty() {
        return format!("is missing; {FORMAT_HINT}");
    }
    let has_time_prefix = |length| text.as_bytes().get(..length).is_some_and(|start| split_local_time(start).is_some());
    let rest = if has_time_prefix(19) {
        &text[19..]
    } else if has_time_prefix(16) {
        &text[16..]
    } else {
        ""
    };
    if rest.trim_start().starts_with(['Z', 'z', '+', '-']) {
        return CARRIES_OFFSET.to_owned();
    }
    if text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok() {
        return format!("has no time of day; {FORMAT_HINT}");
    }
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b',') && text.parse::<f64>().is_ok() {
        return format!("looks like a spreadsheet's day number; format the cells as text and {FORMAT_HINT}");
    }
    if is_ambiguous_date(text) {
        return format!("does not say which number is the day and which the month; {FORMAT_HINT}");
    }
    format!("is not a date and time; {FORMAT_HINT}")
}

/// Whether a text begins with two numbers that could each be the day or the month.
fn is_ambiguous_date(text: &str) -> bool {
    let mut parts = text.split(['/', '.', '-', ' ']).map(str::parse::<u8>);
    matches!((parts.next(), parts.next()), (Some(Ok(1..=12)), Some(Ok(1..=12))))
}
