//! The parser of a schedule file: CSV with local times in IANA zones, as `config/samples/schedule-300.csv`.
//!
//! It is independent of the daemon's import, so that a mistake there cannot hide behind the same mistake here. It is
//! strict and stops at the first bad row, since the file comes from whoever starts the simulator.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::ToSpan;
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use serde::Deserialize;

use super::calendar::{Activity, Segment, Shift};
use crate::domain::ids::AgentId;
use crate::domain::time::UtcMicros;

/// The most rows of a file.
const MAX_ROWS: usize = 2_000_000;
const DAYS_IN_WEEK: i32 = 7;

/// The reason why a schedule file cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ScheduleError {
    /// A row is not valid.
    #[error("line {line}: {reason}")]
    Row {
        /// The line in the file, counted from 1 including the header.
        line: u64,
        /// The error in it.
        reason: String,
    },
    /// The file has no shift.
    #[error("the file has no shift")]
    Empty,
}

/// The shifts of one agent in a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FileAgent {
    pub(super) name: Arc<str>,
    pub(super) team: Arc<str>,
    pub(super) shifts: Vec<Shift>,
}

/// The agents of a file, and the number of weeks by which its days were moved to include the simulator's start.
#[derive(Debug)]
pub(super) struct FileSchedule {
    pub(super) agents: BTreeMap<AgentId, FileAgent>,
    pub(super) moved_weeks: i64,
}

#[derive(Deserialize)]
struct Row {
    agent_id: String,
    agent_name: String,
    team: String,
    time_zone: String,
    activity: String,
    start: DateTime,
    end: DateTime,
    mandatory: bool,
}

struct ParsedRow {
    line: u64,
    row: Row,
    zone: TimeZone,
}

/// Parses a file and moves it by the fewest whole weeks that let `now` lie within its days.
pub(super) fn parse(bytes: &[u8], now: UtcMicros) -> Result<FileSchedule, ScheduleError> {
    let rows = parse_rows(bytes)?;
    let days = || rows.iter().filter(|read| read.row.activity == "shift").map(|read| read.row.start.date());
    let first = days().min().ok_or(ScheduleError::Empty)?;
    let last = days().max().ok_or(ScheduleError::Empty)?;
    let weeks = weeks_to_move(first, last, now.timestamp().to_zoned(TimeZone::UTC).date());
    let mut agents: BTreeMap<AgentId, FileAgent> = BTreeMap::new();
    for read in rows.iter().filter(|read| read.row.activity == "shift") {
        let agent = agents.entry(AgentId::new(&read.row.agent_id)).or_insert_with(|| FileAgent {
            name: read.row.agent_name.as_str().into(),
            team: read.row.team.as_str().into(),
            shifts: Vec::new(),
        });
        let (start, end) = read.instants(weeks)?;
        agent.shifts.push(Shift { start, end, segments: Vec::new() });
    }
    for agent in agents.values_mut() {
        agent.shifts.sort_by_key(|shift| shift.start);
        agent.shifts.dedup();
    }
    for read in rows.iter().filter(|read| read.row.activity != "shift") {
        add_segment(&mut agents, read, weeks)?;
    }
    check_overlaps(&agents)?;
    Ok(FileSchedule { agents, moved_weeks: weeks })
}

fn parse_rows(bytes: &[u8]) -> Result<Vec<ParsedRow>, ScheduleError> {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let header = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let delimiter = if header.contains(&b';') { b';' } else { b',' };
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).trim(csv::Trim::All).from_reader(text);
    let mut zones: BTreeMap<String, TimeZone> = BTreeMap::new();
    let mut rows = Vec::new();
    for read in reader.deserialize::<Row>() {
        let row = read.map_err(|error| ScheduleError::Row {
            line: error.position().map_or(0, csv::Position::line),
            reason: error.to_string(),
        })?;
        let line = u64::try_from(rows.len()).unwrap_or(u64::MAX).saturating_add(2);
        let fail = |reason: String| ScheduleError::Row { line, reason };
        if rows.len() >= MAX_ROWS {
            return Err(fail(format!("more than {MAX_ROWS} rows")));
        }
        if row.agent_id.is_empty() {
            return Err(fail("the agent's id is missing".to_owned()));
        }
        if row.end <= row.start {
            return Err(fail(format!("the end {} is not after the start {}", row.end, row.start)));
        }
        let zone = if let Some(zone) = zones.get(&row.time_zone) {
            zone.clone()
        } else {
            let zone = TimeZone::get(&row.time_zone).map_err(|_| fail(format!("no time zone {:?}", row.time_zone)))?;
            zones.insert(row.time_zone.clone(), zone.clone());
            zone
        };
        rows.push(ParsedRow { line, row, zone });
    }
    Ok(rows)
}

impl ParsedRow {
    fn row_error(&self, reason: impl Into<String>) -> ScheduleError {
        ScheduleError::Row { line: self.line, reason: reason.into() }
    }

    fn instants(&self, weeks: i64) -> Result<(UtcMicros, UtcMicros), ScheduleError> {
        Ok((self.instant(self.row.start, weeks)?, self.instant(self.row.end, weeks)?))
    }

    /// Returns the instant of a local time. A repeated local time is its first occurrence. A time skipped by a clock
    /// change is an error in the file, but is moved forward by the gap if it fell there only because of the move.
    fn instant(&self, local: DateTime, weeks: i64) -> Result<UtcMicros, ScheduleError> {
        if matches!(self.zone.to_ambiguous_timestamp(local).offset(), AmbiguousOffset::Gap { .. }) {
            return Err(self.row_error(format!("{local} is skipped by a clock change in {}", self.row.time_zone)));
        }
        let moved = local.checked_add(weeks.weeks()).map_err(|error| self.row_error(error.to_string()))?;
        let timestamp = self.zone.to_timestamp(moved).map_err(|error| self.row_error(error.to_string()))?;
        Ok(timestamp.into())
    }
}

fn add_segment(agents: &mut BTreeMap<AgentId, FileAgent>, parsed: &ParsedRow, weeks: i64) -> Result<(), ScheduleError> {
    let (start, end) = parsed.instants(weeks)?;
    let activity = match parsed.row.activity.as_str() {
        "break" | "lunch" => Activity::Rest { mandatory: parsed.row.mandatory },
        _ => Activity::Away,
    };
    let shift = agents
        .get_mut(parsed.row.agent_id.as_str())
        .and_then(|agent| {
            let at = agent.shifts.partition_point(|shift| shift.end <= start);
            agent.shifts.get_mut(at)
        })
        .filter(|shift| shift.start <= start && end <= shift.end)
        .ok_or_else(|| {
            parsed.row_error(format!("the {} lies in no shift of {}", parsed.row.activity, parsed.row.agent_id))
        })?;
    let at = shift.segments.partition_point(|segment| segment.start < start);
    let mut title = parsed.row.activity.clone();
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    shift.segments.insert(at, Segment { start, end, activity, title: title.into() });
    Ok(())
}

fn check_overlaps(agents: &BTreeMap<AgentId, FileAgent>) -> Result<(), ScheduleError> {
    for (id, agent) in agents {
        if let Some([_, second]) = agent.shifts.windows(2).find(|pair| matches!(pair, [a, b] if b.start < a.end)) {
            let reason = format!("two shifts of {id} overlap at {}", second.start);
            return Err(ScheduleError::Row { line: 0, reason });
        }
    }
    Ok(())
}

/// Returns the fewest whole weeks, forwards or backwards, that bring `today` between the first and the last day.
fn weeks_to_move(first: Date, last: Date, today: Date) -> i64 {
    let days = |from: Date, to: Date| from.until(to).map_or(0, |span| span.get_days());
    let (late, early) = (days(last, today), days(today, first));
    let weeks = |days: i32| i64::from((days + DAYS_IN_WEEK - 1) / DAYS_IN_WEEK);
    if late > 0 {
        weeks(late)
    } else if early > 0 {
        -weeks(early)
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &[u8] = include_bytes!("../../config/samples/schedule-300.csv");
    const HEADER: &str = "agent_id,agent_name,team,time_zone,activity,start,end,mandatory\n";

    fn instant(text: &str) -> UtcMicros {
        text.parse().expect("a valid instant")
    }

    #[test]
    fn the_sample_stands_where_it_is_when_now_lies_in_it() {
        let schedule = parse(SAMPLE, instant("2026-10-28T14:00:00Z")).expect("readable");
        assert_eq!((schedule.moved_weeks, schedule.agents.len()), (0, 300));
        let shift = &schedule.agents[&AgentId::new("u_0002")].shifts[0];
        assert_eq!(shift.start, instant("2026-10-19T13:00:00Z"));
        let mandatory: Vec<_> =
            shift.segments.iter().map(|segment| segment.activity == Activity::Rest { mandatory: true }).collect();
        assert_eq!(mandatory, [false, true, false]);
        assert_eq!(shift.segments[1].start, instant("2026-10-19T16:45:00Z"));
    }

    #[test]
    fn a_schedule_is_moved_by_the_fewest_whole_weeks_that_hold_now() {
        for (now, weeks) in [
            ("2026-10-19T00:00:00Z", 0),
            ("2026-11-08T23:00:00Z", 0),
            ("2026-11-09T00:00:00Z", 1),
            ("2026-11-21T12:00:00Z", 2),
            ("2026-10-18T12:00:00Z", -1),
            ("2027-07-01T12:00:00Z", 34),
        ] {
            let schedule = parse(SAMPLE, instant(now)).expect("readable");
            assert_eq!(schedule.moved_weeks, weeks, "{now}");
            let starts = || schedule.agents.values().flat_map(|agent| agent.shifts.iter().map(|shift| shift.start));
            let day = std::time::Duration::from_secs(86_400);
            assert!(starts().min().expect("shifts") <= instant(now) + day);
            assert!(starts().max().expect("shifts") + day >= instant(now));
        }
    }

    #[test]
    fn a_moved_shift_keeps_its_local_hour() {
        let schedule = parse(SAMPLE, instant("2027-07-01T12:00:00Z")).expect("readable");
        let zone = TimeZone::get("America/New_York").expect("bundled");
        let start = schedule.agents[&AgentId::new("u_0002")].shifts[0].start;
        assert_eq!(start.timestamp().to_zoned(zone).hour(), 9);
    }

    #[test]
    fn a_bad_row_is_named_with_its_line() {
        let shift = "u_1,A,T,Europe/Berlin,shift,2026-10-19T09:00,2026-10-19T17:00,false\n";
        for (row, line, word) in [
            ("u_1,A,T,Mars/Olympus,shift,2026-10-19T09:00,2026-10-19T17:00,false\n", 2, "Mars"),
            (",A,T,Europe/Berlin,shift,2026-10-19T09:00,2026-10-19T17:00,false\n", 2, "missing"),
            ("u_1,A,T,Europe/Berlin,shift,2026-10-19T09:00,2026-10-19T08:00,false\n", 2, "not after"),
            ("u_1,A,T,Europe/Berlin,shift,nine,2026-10-19T08:00,false\n", 2, "year"),
            ("u_1,A,T,Europe/Berlin,shift,2027-03-28T02:30,2027-03-28T08:00,false\n", 2, "skipped"),
            (&format!("{shift}u_1,A,T,Europe/Berlin,break,2026-10-19T18:00,2026-10-19T18:15,false\n"), 3, "no shift"),
        ] {
            let bytes = format!("{HEADER}{row}");
            match parse(bytes.as_bytes(), instant("2026-10-19T12:00:00Z")) {
                Err(ScheduleError::Row { line: found, reason }) => {
                    assert_eq!(found, line, "{row}");
                    assert!(reason.contains(word), "{reason} should say {word}");
                }
                other => panic!("{row} gave {other:?}"),
            }
        }
        assert_eq!(parse(HEADER.as_bytes(), UtcMicros::EPOCH).map(|_| ()), Err(ScheduleError::Empty));
    }

    #[test]
    fn semicolons_and_a_byte_order_mark_are_read() {
        let bytes = include_bytes!("../../config/samples/excel-europe.csv");
        let schedule = parse(bytes, instant("2026-10-19T12:00:00Z")).expect("readable");
        assert_eq!(schedule.agents.len(), 3);
    }
}
