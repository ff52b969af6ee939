//! Schedules as files that the import reads back to the same schedule: CSV tables and iCalendar.
//!
//! Every shift that begins on one of the days is written in full, with local times in the agent's zone. Days that the
//! schedule covers without a shift are written as `off`, so that a file covers the days that the schedule covers.

mod agent_days;
mod calendar;
mod table;
#[cfg(test)]
mod tests;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::import::ImportOptions;
use crate::domain::ids::AgentId;
use crate::domain::time::UtcMicros;
use crate::domain::wording::{count_with_noun, named_enum};

use agent_days::AgentDays;
pub use agent_days::ExportedAgent;

/// The largest number of days in a file.
const MAX_DAYS: i32 = 400;

named_enum! {
    /// The format of an exported schedule.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum ExportFormat {
        /// A table with a header, a row for each shift and for each activity in it.
        Csv = "csv",
        /// A calendar (RFC 5545) with an event for each shift and for each activity in it.
        ICalendar = "ics",
    }
}

/// What was written.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ExportedSchedule {
    /// The file.
    pub text: String,
    /// The number of agents in the file.
    pub agents: usize,
    /// The number of shifts in the file.
    pub shifts: usize,
    /// The agents in the file whose schedule does not cover all days that the file covers. If the file is imported,
    /// they are off on those days.
    pub partly_covered: Vec<AgentId>,
}

/// Writes the schedules of agents on the local days `from` through `through`. `now` is when the file is made.
///
/// Times are written to the second. A text that the import would refuse, such as a name with a line break, is left out;
/// the import keeps the name that is known.
pub fn export(
    agents: &[ExportedAgent],
    (from, through): (Date, Date),
    format: ExportFormat,
    options: &ImportOptions,
    now: UtcMicros,
) -> ExportedSchedule {
    let days = |agent| AgentDays::new(agent, from, through);
    let written: Vec<AgentDays<'_>> = agents.iter().map(days).filter(|one| !one.is_empty()).collect();
    let first = written.iter().filter_map(AgentDays::first).min();
    let last = written.iter().filter_map(AgentDays::last).max();
    let partly = written.iter().filter(|one| match (first, last) {
        (Some(first), Some(last)) => one.uncovered.iter().any(|day| first <= *day && *day <= last),
        _ => false,
    });
    ExportedSchedule {
        partly_covered: partly.map(|one| one.agent.id.clone()).collect(),
        text: match format {
            ExportFormat::Csv => table::write(&written, options),
            ExportFormat::ICalendar => calendar::write(&written, now),
        },
        agents: written.len(),
        shifts: written.iter().map(|one| one.shifts.len()).sum(),
    }
}

/// Returns a time range that has the days in every time zone. The error says what is wrong with the days.
pub fn span_of_days(from: Date, through: Date) -> Result<(UtcMicros, UtcMicros), String> {
    if through < from {
        return Err(format!("through: {through} is before the first day, {from}"));
    }
    if (through - from).get_days() >= MAX_DAYS {
        return Err(format!("through: a file has at most {}", count_with_noun(MAX_DAYS, "day")));
    }
    let midnight = |day: Date| day.to_zoned(TimeZone::UTC).map(|at| UtcMicros::from(at.timestamp()));
    let day = || Ok::<_, jiff::Error>((midnight(from.yesterday()?)?, midnight(through.tomorrow()?.tomorrow()?)?));
    day().map_err(|_| format!("from: {from} is outside the supported years"))
}
