//! Schedules as CSV tables.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::agent_days::{AgentDays, importable};
use crate::domain::ids::TeamName;
use crate::domain::schedules::import::{COLUMN_NAMES, ImportOptions, LONG_TEXT, SHORT_TEXT};
use crate::domain::schedules::schedule::{OFF_ACTIVITY, SHIFT_ACTIVITY};
use crate::domain::time::UtcMicros;
use crate::domain::wording::escape_formula;

/// Writes a table.
///
/// The columns and the delimiter are those that the import expects.
pub(super) fn write(agents: &[AgentDays<'_>], options: &ImportOptions) -> String {
    let delimiter = options.delimiter.unwrap_or(b',');
    let mut out =
        csv::WriterBuilder::new().delimiter(delimiter).terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    // Writing to memory does not fail.
    let mut row = |cells: [&str; 9]| drop(out.write_record(cells.map(|cell| escape_formula(cell).into_owned())));
    row(COLUMN_NAMES.map(|name| options.columns.get(name).map_or(name, String::as_str)));
    for days in agents {
        let agent = days.agent;
        let (name, skills) = (importable(agent.name.as_deref(), LONG_TEXT), days.skills());
        let team = importable(agent.team.as_ref().map(TeamName::as_str), SHORT_TEXT);
        let mut agent_row = |activity: &str, start: &str, end: &str, mandatory: bool| {
            let mandatory = if mandatory { "true" } else { "false" };
            row([agent.id.as_str(), name, team, days.zone_name(), activity, start, end, mandatory, &skills]);
        };
        let local = |at: UtcMicros| local_text(at, &agent.zone);
        for (first, last) in &days.off {
            agent_row(
                OFF_ACTIVITY,
                &midnight(*first),
                &last.tomorrow().map_or_else(|_| String::new(), midnight),
                false,
            );
        }
        for shift in &days.shifts {
            agent_row(SHIFT_ACTIVITY, &local(shift.start), &local(shift.end), false);
            for one in &shift.activities {
                agent_row(one.activity.name(), &local(one.start), &local(one.end), one.mandatory);
            }
        }
    }
    out.into_inner().ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

fn midnight(day: Date) -> String {
    format!("{day}T00:00")
}

/// Returns a local time as the import reads it, with the offset if it is the second of two equal local times.
fn local_text(at: UtcMicros, zone: &TimeZone) -> String {
    let second = Timestamp::from_second(at.timestamp().as_second()).unwrap_or_default();
    let local = second.to_zoned(zone.clone());
    let form = match (zone.to_ambiguous_timestamp(local.datetime()).offset(), local.second()) {
        (AmbiguousOffset::Fold { after, .. }, 0) if after == local.offset() => "%Y-%m-%dT%H:%M%:z",
        (AmbiguousOffset::Fold { after, .. }, _) if after == local.offset() => "%Y-%m-%dT%H:%M:%S%:z",
        (_, 0) => "%Y-%m-%dT%H:%M",
        (_, _) => "%Y-%m-%dT%H:%M:%S",
    };
    local.strftime(form).to_string()
}
