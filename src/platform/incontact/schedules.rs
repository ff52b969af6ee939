//! Reads the export of one agent's schedule.
//!
//! The shape of its activities is not published, so they are looked for under every name that the vendor's desktop uses.

use serde_json::{Map, Value};

use crate::domain::schedules::platform_schedule::{PlatformActivity, PlatformShift};
use crate::domain::time::UtcMicros;
use crate::platform::client::ApiReply;
use crate::platform::error::Failure;

use super::wire::parse_instant;

pub(super) fn read_schedule(reply: &ApiReply, secrets: &[&str]) -> Result<Vec<PlatformShift>, Failure> {
    if reply.body.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    let malformed = |expected: &str| reply.malformed(expected, secrets);
    let body: Map<String, Value> = reply.parse_object().ok_or_else(|| malformed("an exported schedule"))?;
    let agents = list(&body, "agentSchedules").ok_or_else(|| malformed("an exported schedule with agentSchedules"))?;
    let mut shifts = Vec::new();
    for agent in agents {
        let agent = agent.as_object().ok_or_else(|| malformed("agentSchedules of objects"))?;
        for shift in list(agent, "shifts").into_iter().flatten() {
            let shift = shift.as_object().ok_or_else(|| malformed("shifts of objects"))?;
            let (start, end) = span(shift).ok_or_else(|| malformed("shifts with start and end"))?;
            shifts.push(PlatformShift {
                start,
                end,
                activities: activities(shift).ok_or_else(|| malformed(ACTIVITIES))?,
            });
        }
        // Activities beside the shifts.
        let beside = activities(agent).ok_or_else(|| malformed(ACTIVITIES))?;
        if let Some(first) = beside.first() {
            let (start, end) = (first.start, first.start);
            shifts.push(PlatformShift { start, end, activities: beside });
        }
    }
    Ok(shifts)
}

const ACTIVITIES: &str = "activities with a title, a start and an end";

fn activities(holder: &Map<String, Value>) -> Option<Vec<PlatformActivity>> {
    let rows = ["activityIntervals", "activities"].iter().find_map(|name| list(holder, name));
    rows.into_iter()
        .flatten()
        .map(|row| {
            let row = row.as_object()?;
            let (start, end) = span(row)?;
            let code = get(row, "activityCode").and_then(Value::as_object).unwrap_or(row);
            let title = ["title", "name", "activityCodeName"].iter().find_map(|name| get(code, name)?.as_str())?;
            Some(PlatformActivity { title: title.to_owned(), start, end })
        })
        .collect()
}

fn span(row: &Map<String, Value>) -> Option<(UtcMicros, UtcMicros)> {
    let instant = |name| get(row, name)?.as_str().and_then(parse_instant);
    Some((instant("start")?, instant("end")?))
}

fn list<'v>(row: &'v Map<String, Value>, name: &str) -> Option<&'v Vec<Value>> {
    get(row, name)?.as_array()
}

/// Returns a field, whatever the case of its name.
fn get<'v>(row: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    row.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}
