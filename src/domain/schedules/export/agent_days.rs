//! The part of an agent's schedule that is written to a file.

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::domain::ids::{AgentId, SkillId, TeamName};
use crate::domain::schedules::schedule::{Coverage, Shift};
use crate::domain::time::UtcMicros;

/// The schedule of an agent.
#[derive(Clone, Debug)]
pub struct ExportedAgent {
    /// The agent's id on the platform.
    pub id: AgentId,
    /// The name, if known.
    pub name: Option<String>,
    /// The team, if known.
    pub team: Option<TeamName>,
    /// The agent's time zone.
    pub zone: TimeZone,
    /// The skills; none if unknown.
    pub skills: Vec<SkillId>,
    /// The shifts in order; those that begin on other days are left out.
    pub shifts: Vec<Shift>,
    /// The periods that the schedule covers.
    pub coverage: Vec<Coverage>,
}

/// The days of an agent.
pub(super) struct AgentDays<'a> {
    pub(super) agent: &'a ExportedAgent,
    /// The shifts that begin on the days.
    pub(super) shifts: Vec<&'a Shift>,
    /// The days that the schedule covers without a shift, as first and last day of each row of such days.
    pub(super) off: Vec<(Date, Date)>,
    /// The days that the schedule does not cover.
    pub(super) uncovered: Vec<Date>,
}

impl<'a> AgentDays<'a> {
    pub(super) fn new(agent: &'a ExportedAgent, from: Date, through: Date) -> Self {
        let local_day = |at: UtcMicros| at.timestamp().to_zoned(agent.zone.clone()).date();
        let is_meant = |shift: &&Shift| (from..=through).contains(&local_day(shift.start));
        let shifts: Vec<&Shift> = agent.shifts.iter().filter(is_meant).collect();
        let mut days = Self { agent, off: Vec::new(), uncovered: Vec::new(), shifts };
        let working: std::collections::BTreeSet<Date> =
            days.shifts.iter().map(|shift| local_day(shift.start)).collect();
        for day in from.series(jiff::Span::new().days(1)).take_while(|day| *day <= through) {
            if working.contains(&day) {
                continue;
            }
            if !days.is_covered(day) {
                days.uncovered.push(day);
                continue;
            }
            match days.off.last_mut() {
                Some((_, last)) if last.tomorrow().is_ok_and(|next| next == day) => *last = day,
                _ => days.off.push((day, day)),
            }
        }
        days
    }

    /// Whether the schedule covers a whole day.
    fn is_covered(&self, day: Date) -> bool {
        let start_of = |day: Date| {
            day.to_zoned(self.agent.zone.clone()).and_then(|midnight| midnight.start_of_day()).map(|at| at.timestamp())
        };
        let (Ok(start), Ok(end)) = (start_of(day), day.tomorrow().and_then(start_of)) else { return false };
        let mut reached = UtcMicros::from(start);
        let mut coverage = self.agent.coverage.clone();
        coverage.sort_by_key(|span| span.start);
        for span in coverage.iter().filter(|span| span.end > UtcMicros::from(start)) {
            if span.start <= reached {
                reached = reached.max(span.end);
            }
        }
        reached >= UtcMicros::from(end)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.shifts.is_empty() && self.off.is_empty()
    }

    fn shift_days(&self) -> impl Iterator<Item = Date> + '_ {
        self.shifts.iter().map(|shift| shift.start.timestamp().to_zoned(self.agent.zone.clone()).date())
    }

    /// Returns the first day that the agent's part of the file names.
    pub(super) fn first(&self) -> Option<Date> {
        self.shift_days().chain(self.off.iter().map(|(first, _)| *first)).min()
    }

    /// Returns the last day that the agent's part of the file names.
    pub(super) fn last(&self) -> Option<Date> {
        self.shift_days().chain(self.off.iter().map(|(_, last)| *last)).max()
    }

    /// Returns the IANA name of the agent's zone.
    pub(super) fn zone_name(&self) -> &str {
        self.agent.zone.iana_name().unwrap_or("UTC")
    }

    /// Returns the skills as the import reads them, separated by bars.
    pub(super) fn skills(&self) -> String {
        self.agent.skills.iter().map(SkillId::as_str).collect::<Vec<_>>().join("|")
    }
}

/// Returns a text if the import accepts it, and otherwise an empty one.
pub(super) fn importable(text: Option<&str>, max_chars: usize) -> &str {
    text.map(str::trim)
        .filter(|text| !text.chars().any(char::is_control) && text.chars().count() <= max_chars)
        .unwrap_or_default()
}
