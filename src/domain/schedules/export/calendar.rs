//! Schedules as calendars (RFC 5545).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

use super::agent_days::{AgentDays, importable};
use crate::domain::ids::TeamName;
use crate::domain::schedules::import::{LONG_TEXT, SHORT_TEXT};
use crate::domain::schedules::schedule::{OFF_ACTIVITY, SHIFT_ACTIVITY};
use crate::domain::time::UtcMicros;

/// The longest line in bytes, without the line break (RFC 5545, section 3.1).
const MAX_LINE_BYTES: usize = 75;

/// The form of local times.
const LOCAL: &str = "%Y%m%dT%H%M%S";

/// Writes a calendar.
pub(super) fn write(agents: &[AgentDays<'_>], now: UtcMicros) -> String {
    let mut out = Lines::default();
    for line in ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Shiftkeeper//Schedule//EN", "METHOD:PUBLISH"] {
        out.line(line);
    }
    write_zones(&mut out, agents);
    let stamp = utc_text(now);
    for days in agents {
        let mut event = |activity: &str, when: &EventTime, mandatory: bool| {
            write_event(&mut out, days, &stamp, activity, when, mandatory);
        };
        for (first, last) in &days.off {
            let end = last.tomorrow().unwrap_or(*last).at(0, 0, 0, 0);
            event(OFF_ACTIVITY, &EventTime::Local(first.at(0, 0, 0, 0), end), false);
        }
        for shift in &days.shifts {
            event(SHIFT_ACTIVITY, &EventTime::Instants(shift.start, shift.end), false);
            for one in &shift.activities {
                event(one.activity.name(), &EventTime::Instants(one.start, one.end), one.mandatory);
            }
        }
    }
    out.line("END:VCALENDAR");
    out.0
}

enum EventTime {
    Instants(UtcMicros, UtcMicros),
    Local(DateTime, DateTime),
}

fn write_event(out: &mut Lines, days: &AgentDays<'_>, stamp: &str, activity: &str, when: &EventTime, mandatory: bool) {
    let agent = days.agent;
    let zone_name = days.zone_name();
    let property = |name: &str, time: &EventTime, is_end: bool| match *time {
        EventTime::Instants(start, end) => {
            instant_property(name, if is_end { end } else { start }, &agent.zone, zone_name)
        }
        EventTime::Local(start, end) => {
            format!("{name};TZID={zone_name}:{}", (if is_end { end } else { start }).strftime(LOCAL))
        }
    };
    let start = property("DTSTART", when, false);
    out.line("BEGIN:VEVENT");
    // The same event has the same id in every export, so that a calendar program replaces it.
    let start_digits = start.rsplit(':').next().unwrap_or_default();
    out.line(&format!("UID:{}-{}-{start_digits}@shiftkeeper", escape(agent.id.as_str()), escape(activity)));
    out.line(&format!("DTSTAMP:{stamp}"));
    out.line(&start);
    out.line(&property("DTEND", when, true));
    out.line(&format!("X-TIME-ZONE:{zone_name}"));
    // Categories are a list, in which a comma would begin the next one.
    if !activity.contains([',', ';', '\\']) {
        out.line(&format!("CATEGORIES:{activity}"));
    }
    out.line(&format!("SUMMARY:{}", escape(activity)));
    // A quoted parameter cannot hold quotes.
    let name = importable(agent.name.as_deref(), LONG_TEXT);
    let name = if name.is_empty() || name.contains('"') { String::new() } else { format!(";CN=\"{name}\"") };
    out.line(&format!("ATTENDEE{name}:urn:agent:{}", agent.id));
    let team = importable(agent.team.as_ref().map(TeamName::as_str), SHORT_TEXT);
    if !team.is_empty() {
        out.line(&format!("X-TEAM:{}", escape(team)));
    }
    if !agent.skills.is_empty() {
        out.line(&format!("X-SKILLS:{}", escape(&days.skills())));
    }
    if mandatory {
        out.line("X-MANDATORY:TRUE");
    }
    out.line("END:VEVENT");
}

/// Returns a property with a local time, or with one in UTC if it is the second of two equal local times.
fn instant_property(name: &str, at: UtcMicros, zone: &TimeZone, zone_name: &str) -> String {
    let local = at.timestamp().to_zoned(zone.clone());
    match zone.to_ambiguous_timestamp(local.datetime()).offset() {
        AmbiguousOffset::Fold { after, .. } if after == local.offset() => format!("{name}:{}", utc_text(at)),
        _ => format!("{name};TZID={zone_name}:{}", local.strftime(LOCAL)),
    }
}

fn utc_text(at: UtcMicros) -> String {
    at.timestamp().strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// Writes the clock changes of each zone from before the first shift to after the last (section 3.6.5).
fn write_zones(out: &mut Lines, agents: &[AgentDays<'_>]) {
    let mut zones: BTreeMap<&str, (&TimeZone, Timestamp, Timestamp)> = BTreeMap::new();
    for days in agents {
        let zone = &days.agent.zone;
        let day_start = |day: Option<jiff::civil::Date>| day?.to_zoned(zone.clone()).ok().map(|at| at.timestamp());
        let (Some(first), Some(last)) = (day_start(days.first()), day_start(days.last())) else { continue };
        let entry = zones.entry(days.zone_name()).or_insert((zone, first, last));
        (entry.1, entry.2) = (entry.1.min(first), entry.2.max(last));
    }
    for (name, (zone, first, last)) in zones {
        out.line("BEGIN:VTIMEZONE");
        out.line(&format!("TZID:{name}"));
        // A shift of 24 hours that begins on the last day ends two days later at the latest.
        let end = last.checked_add(jiff::Span::new().hours(72)).unwrap_or(last);
        let before = zone.to_offset_info(first);
        let start = before.offset().to_datetime(Timestamp::UNIX_EPOCH);
        write_observance(out, before.dst().is_dst(), start, before.offset(), before.offset());
        for change in zone.following(first).take_while(|change| change.timestamp() < end) {
            let from = zone.to_offset(change.timestamp().checked_sub(jiff::Span::new().seconds(1)).unwrap_or(first));
            write_observance(out, change.dst().is_dst(), from.to_datetime(change.timestamp()), from, change.offset());
        }
        out.line("END:VTIMEZONE");
    }
}

fn write_observance(out: &mut Lines, is_daylight: bool, start: DateTime, from: Offset, to: Offset) {
    let kind = if is_daylight { "DAYLIGHT" } else { "STANDARD" };
    out.line(&format!("BEGIN:{kind}"));
    out.line(&format!("DTSTART:{}", start.strftime(LOCAL)));
    out.line(&format!("TZOFFSETFROM:{}", offset_text(from)));
    out.line(&format!("TZOFFSETTO:{}", offset_text(to)));
    out.line(&format!("END:{kind}"));
}

/// Returns an offset such as `+0530`.
fn offset_text(offset: Offset) -> String {
    let minutes = offset.seconds() / 60;
    let sign = if minutes < 0 { '-' } else { '+' };
    format!("{sign}{:02}{:02}", minutes.abs() / 60, minutes.abs() % 60)
}

/// Escapes a text value (section 3.3.11).
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        if matches!(char, '\\' | ';' | ',') {
            escaped.push('\\');
        }
        escaped.push(char);
    }
    escaped
}

/// Content lines, folded where they are too long.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn line(&mut self, line: &str) {
        let mut rest = line;
        let mut width = MAX_LINE_BYTES;
        while rest.len() > width {
            let (part, after) = rest.split_at(rest.floor_char_boundary(width));
            let _ = write!(self.0, "{part}\r\n ");
            // The space counts too.
            (rest, width) = (after, MAX_LINE_BYTES - 1);
        }
        let _ = write!(self.0, "{rest}\r\n");
    }
}
