//! Conditions on the planned staffing of the agent's team: parsing, evaluation and text.
//!
//! They are the same for all agents of a team. A condition does not hold if no schedule covers a quarter hour, or no
//! staff is required in it.

use std::time::Duration;

use crate::domain::schedules::staffing::{AgentCount, StaffingInterval};
use crate::domain::time::{UtcMicros, duration_text, span};

use super::{Bound, StaffingConditions};

/// The furthest that a condition on staffing can look ahead.
pub const MAX_STAFFING_AHEAD: Duration = Duration::from_hours(12);

/// The largest number of agents in a bound.
const MAX_AGENTS: f64 = 100_000.0;

/// A test of the planned staffing of the next quarter hours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StaffingTest {
    /// The least number of agents planned minus required.
    at_least: Option<AgentCount>,
    /// The number to stay below.
    below: Option<AgentCount>,
    /// How far to look ahead.
    ahead: Duration,
}

impl StaffingTest {
    /// Whether the test holds in every quarter hour from the present one on. `intervals` are of the agent's team, the
    /// present one first, as by the plan alone.
    pub fn holds(&self, intervals: &[StaffingInterval], now: UtcMicros) -> bool {
        let mut tested = self.tested(intervals, now).peekable();
        tested.peek().is_some()
            && tested.all(|interval| {
                interval.net.is_some_and(|net| {
                    self.at_least.is_none_or(|least| net >= least) && self.below.is_none_or(|bound| net < bound)
                })
            })
    }

    /// Returns the requirement as text, such as `at least 2 for the next 1h`.
    pub fn requirement_text(&self) -> String {
        let at_least = self.at_least.map(|least| format!("at least {least}"));
        let below = self.below.map(|bound| format!("below {bound}"));
        let bounds = at_least.into_iter().chain(below).collect::<Vec<_>>().join(" and ");
        format!("{bounds} for the next {}", duration_text(self.ahead))
    }

    /// Returns the actual values as text, such as `1.5 to 3`.
    pub fn actual_text(&self, intervals: &[StaffingInterval], now: UtcMicros) -> String {
        let mut range: Option<(AgentCount, AgentCount)> = None;
        for interval in self.tested(intervals, now) {
            let Some(net) = interval.net else {
                let start = interval.start;
                return match interval.required {
                    None => format!("unknown: no staff is required at {start}"),
                    Some(_) => format!("unknown: no schedule covers {start}"),
                };
            };
            range = Some(range.map_or((net, net), |(least, most)| (least.min(net), most.max(net))));
        }
        match range {
            None => "unknown: no staff is required".to_owned(),
            Some((least, most)) if least == most => least.to_string(),
            Some((least, most)) => format!("{least} to {most}"),
        }
    }

    fn tested<'i>(
        &self,
        intervals: &'i [StaffingInterval],
        now: UtcMicros,
    ) -> impl Iterator<Item = &'i StaffingInterval> + use<'i> {
        let until = now + self.ahead;
        intervals
            .iter()
            .skip_while(move |interval| interval.end <= now)
            .take_while(move |interval| interval.start < until)
    }
}

/// Parses the conditions on staffing; the errors are given by field.
pub(super) fn parse(conditions: &StaffingConditions) -> Result<StaffingTest, Vec<(&'static str, String)>> {
    let mut errors = Vec::new();
    let mut bound = |field, bound: Option<&Bound>| match bound? {
        Bound::Number(number) if number.abs() <= MAX_AGENTS => Some(agent_count(*number)),
        Bound::Number(_) => {
            errors.push((field, "may be 100000 agents at most".to_owned()));
            None
        }
        Bound::Time(_) => {
            errors.push((field, "is a number of agents; write it as in 2 or -1.5".to_owned()));
            None
        }
    };
    let net = &conditions.net;
    let at_least = bound("staffing.net.at_least", net.at_least.as_ref());
    let below = bound("staffing.net.below", net.below.as_ref());
    match (at_least, below) {
        (None, None) if net.at_least.is_none() && net.below.is_none() => {
            errors.push(("staffing.net", "names no bound; name at_least or below".to_owned()));
        }
        (Some(least), Some(bound)) if least >= bound => {
            errors.push(("staffing.net", "no value is at_least the one and below the other".to_owned()));
        }
        _ => {}
    }
    match span::parse(&conditions.ahead) {
        Ok(ahead) if ahead.is_zero() => errors.push(("staffing.ahead", "a time of zero has no effect".to_owned())),
        Ok(ahead) if ahead > MAX_STAFFING_AHEAD => {
            errors.push(("staffing.ahead", format!("may be {} at most", duration_text(MAX_STAFFING_AHEAD))));
        }
        Ok(ahead) if errors.is_empty() => return Ok(StaffingTest { at_least, below, ahead }),
        Ok(_) => {}
        Err(reason) => errors.push(("staffing.ahead", reason)),
    }
    Err(errors)
}

#[expect(clippy::cast_possible_truncation, reason = "at most 100,000 agents in thousandths")]
fn agent_count(agents: f64) -> AgentCount {
    AgentCount::from_thousandths((agents * 1000.0).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rules::rule::Conditions;
    use crate::domain::schedules::schedule::{AgentPlan, Shift};
    use crate::domain::schedules::staffing::{RequiredStaffing, StaffingSums};

    fn at(minutes: i64) -> UtcMicros {
        UtcMicros::from_micros(minutes * 60_000_000)
    }

    fn parsed(text: &str) -> Result<StaffingTest, Vec<(&'static str, String)>> {
        let conditions: Conditions = toml::from_str(text).expect("TOML");
        parse(&conditions.staffing.expect("staffing"))
    }

    /// Three agents until 0:45 and two until 1:15, where 1.5 are required until 1:00.
    fn intervals() -> Vec<StaffingInterval> {
        let mut sums = StaffingSums::new((at(0), at(120)));
        for end in [45, 75, 75] {
            let shift = Shift { start: at(0), end: at(end), activities: Vec::new() };
            sums.add_plan(&AgentPlan::new(vec![shift], Vec::new()));
        }
        let agents = AgentCount::from_thousandths(1500);
        sums.add_required(&RequiredStaffing { start: at(0), minutes: 60, queue: "voice".into(), agents });
        sums.intervals(at(0))
    }

    #[test]
    fn every_quarter_hour_ahead_has_to_be_within_the_bounds() {
        for (condition, now, holds, wanted, actual) in [
            ("net = { at_least = 1.5 }, ahead = '30m'", 0, true, "at least 1.5 for the next 30m", "1.5"),
            ("net = { at_least = 1.5 }, ahead = '45m'", 1, false, "at least 1.5 for the next 45m", "0.5 to 1.5"),
            (
                "net = { at_least = 0.5, below = 2 }, ahead = '1h'",
                0,
                true,
                "at least 0.5 and below 2 for the next 1h",
                "0.5 to 1.5",
            ),
            ("net = { below = 1 }, ahead = '15m'", 45, true, "below 1 for the next 15m", "0.5"),
            (
                "net = { below = 9 }, ahead = '1h'",
                30,
                false,
                "below 9 for the next 1h",
                "unknown: no staff is required at 1970-01-01T01:00:00Z",
            ),
            (
                "net = { below = 9 }, ahead = '1h'",
                200,
                false,
                "below 9 for the next 1h",
                "unknown: no staff is required",
            ),
        ] {
            let test = parsed(&format!("staffing = {{ {condition} }}")).expect("sound");
            let found = intervals();
            assert_eq!(
                (test.requirement_text().as_str(), test.actual_text(&found, at(now)).as_str()),
                (wanted, actual)
            );
            assert_eq!(test.holds(&found, at(now)), holds, "{condition} at {now}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_field_by_field() {
        for (condition, fields) in [
            ("net = {}, ahead = '1h'", vec!["staffing.net"]),
            ("net = { at_least = 2, below = 2 }, ahead = '1h'", vec!["staffing.net"]),
            (
                "net = { at_least = '2m', below = 1e9 }, ahead = '13h'",
                vec!["staffing.net.at_least", "staffing.net.below", "staffing.ahead"],
            ),
            ("net = { below = -1 }, ahead = '0s'", vec!["staffing.ahead"]),
            ("net = { below = -1 }, ahead = 'soon'", vec!["staffing.ahead"]),
        ] {
            let wrong = parsed(&format!("staffing = {{ {condition} }}")).expect_err(condition);
            assert_eq!(wrong.iter().map(|(field, _)| *field).collect::<Vec<_>>(), fields, "{condition}");
        }
    }
}
