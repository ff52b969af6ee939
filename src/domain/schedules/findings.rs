//! What a person should look at before a schedule takes effect. Nothing here refuses a schedule.

use std::time::Duration;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::schedule::{Activity, Shift};
use crate::domain::ids::AgentId;
use crate::domain::time::UtcMicros;
use crate::domain::wording::count_with_noun;

/// The shortest rest between two shifts that is not reported: the daily rest of Directive 2003/88/EC, article 3.
pub const MIN_DAILY_REST: Duration = Duration::from_hours(11);

/// The longest work without a break that is not reported: the limit of Directive 2003/88/EC, article 4.
pub const MAX_WORK_WITHOUT_BREAK: Duration = Duration::from_hours(6);

/// The kind of a finding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ScheduleFindingKind)]
pub enum FindingKind {
    /// Several shifts start on a local day.
    SeveralShifts,
    /// The rest between two shifts is shorter than 11 hours.
    ShortRest,
    /// More than 6 hours of work without a break or lunch.
    NoBreak,
    /// Between the schedule in force and the new one, there is time without a schedule.
    Gap,
    /// The platform does not show the agent.
    UnknownAgent,
    /// An agent who has a schedule until now is not in the new one.
    MissingAgent,
    /// The agent's time zone differs from the one that is stored.
    OtherZone,
    /// The schedule in force has no activity of this name.
    NewActivity,
}

/// Something to look at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = ScheduleFinding)]
pub struct Finding {
    /// The kind.
    pub kind: FindingKind,
    /// The agent; null if it is about the whole schedule.
    pub agent: Option<AgentId>,
    /// The time that it is about; null if it is about no particular time.
    pub at: Option<UtcMicros>,
    /// The description, with times in the agent's time zone.
    pub message: String,
}

/// Returns the findings about the shifts of one agent, in order. `shifts` are ordered by start; `is_new` says which of
/// them to report on. The others are the shifts in force around them.
pub fn shift_findings(
    agent: &AgentId,
    zone: &TimeZone,
    shifts: &[Shift],
    is_new: impl Fn(&Shift) -> bool,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add =
        |kind, at, message| findings.push(Finding { kind, agent: Some(agent.clone()), at: Some(at), message });
    let local = |at: UtcMicros| at.timestamp().to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string();
    let day = |at: UtcMicros| at.timestamp().to_zoned(zone.clone()).date();
    for (place, shift) in shifts.iter().enumerate() {
        let previous = place.checked_sub(1).map(|place| &shifts[place]);
        if let Some(previous) = previous.filter(|previous| is_new(previous) || is_new(shift)) {
            let rest = shift.start.since(previous.end);
            if day(previous.start) == day(shift.start) {
                let message = format!("a second shift on {}, at {}", day(shift.start), local(shift.start));
                add(FindingKind::SeveralShifts, shift.start, message);
            } else if rest < MIN_DAILY_REST {
                let (hours, minutes) = (rest.as_secs() / 3600, rest.as_secs() / 60 % 60);
                let message = format!(
                    "{hours} h {minutes:02} min of rest before the shift of {}; 11 h are usual",
                    local(shift.start)
                );
                add(FindingKind::ShortRest, shift.start, message);
            }
        }
        if !is_new(shift) {
            continue;
        }
        if let Some((from, to)) = longest_work(shift).filter(|(from, to)| to.since(*from) > MAX_WORK_WITHOUT_BREAK) {
            let message = format!("no break between {} and {}", local(from), local(to));
            add(FindingKind::NoBreak, from, message);
        }
    }
    findings
}

/// Returns the longest period of a shift without a break or lunch.
fn longest_work(shift: &Shift) -> Option<(UtcMicros, UtcMicros)> {
    let rests: Vec<_> = shift.activities.iter().filter(|one| one.activity.is_rest()).collect();
    let starts = std::iter::once(shift.start).chain(rests.iter().map(|rest| rest.end));
    let ends = rests.iter().map(|rest| rest.start).chain([shift.end]);
    starts.zip(ends).max_by_key(|(start, end)| end.since(*start))
}

/// Returns a finding for each name of an activity that is new and not one of the known ones, with how often it occurs.
pub fn new_activities<'a>(
    before: impl Iterator<Item = &'a Shift>,
    after: impl Iterator<Item = &'a Shift>,
) -> Vec<Finding> {
    let names = |shift: &'a Shift| shift.activities.iter().map(|one| &one.activity);
    let known: std::collections::HashSet<&Activity> = before.flat_map(names).collect();
    let mut counts: std::collections::BTreeMap<&Activity, usize> = std::collections::BTreeMap::new();
    for activity in after.flat_map(names) {
        if matches!(activity, Activity::Other(_)) && !known.contains(activity) {
            *counts.entry(activity).or_default() += 1;
        }
    }
    let finding = |(activity, count): (&Activity, usize)| Finding {
        kind: FindingKind::NewActivity,
        agent: None,
        at: None,
        message: format!(
            "activity {:?} is new ({}); rules that name no such activity do not apply to it",
            activity.name(),
            count_with_noun(count, "occurrence")
        ),
    };
    counts.into_iter().map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::schedules::schedule::ShiftActivity;

    fn at(hour: i64) -> UtcMicros {
        "2026-10-26T00:00:00Z".parse::<UtcMicros>().expect("valid").offset(hour * 3_600_000_000)
    }

    fn shift(start: i64, end: i64, breaks: &[(i64, i64)]) -> Shift {
        let activity = |(start, end): &(i64, i64)| ShiftActivity {
            activity: Activity::Lunch,
            start: at(*start),
            end: at(*end),
            mandatory: true,
        };
        Shift { start: at(start), end: at(end), activities: breaks.iter().map(activity).collect() }
    }

    fn messages(shifts: &[Shift], is_new: impl Fn(&Shift) -> bool) -> Vec<(FindingKind, String)> {
        let zone = TimeZone::get("Europe/Berlin").expect("known");
        let all = shift_findings(&"a".into(), &zone, shifts, is_new);
        all.into_iter().map(|finding| (finding.kind, finding.message)).collect()
    }

    #[test]
    fn short_rests_second_shifts_and_work_without_a_break_are_found_in_local_time() {
        use FindingKind::{NoBreak, SeveralShifts, ShortRest};
        let sound = [shift(8, 16, &[(12, 13)]), shift(32, 38, &[])];
        assert_eq!(messages(&sound, |_| true), []);
        let short = [shift(14, 22, &[(18, 19)]), shift(32, 40, &[(36, 37)])];
        let expected = "10 h 00 min of rest before the shift of 2026-10-27 09:00; 11 h are usual";
        assert_eq!(messages(&short, |_| true), [(ShortRest, expected.to_owned())]);
        // The local day is another one than in UTC.
        let two = [shift(6, 10, &[]), shift(14, 18, &[]), shift(23, 27, &[])];
        let kinds: Vec<_> = messages(&two, |_| true).into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, [SeveralShifts, ShortRest]);
        let long = [shift(8, 17, &[(15, 16)])];
        let expected = "no break between 2026-10-26 09:00 and 2026-10-26 16:00";
        assert_eq!(messages(&long, |_| true), [(NoBreak, expected.to_owned())]);
        // What is in force already is reported only beside what is new.
        assert_eq!(messages(&long, |_| false), []);
        assert_eq!(messages(&short, |shift| shift.start == at(14)).len(), 1);
        assert_eq!(messages(&short, |_| false), []);
    }

    #[test]
    fn names_of_activities_that_no_schedule_had_are_counted() {
        let named = |name: &str| {
            let mut shift = shift(8, 16, &[(12, 13)]);
            shift.activities[0].activity = Activity::from_name(name);
            shift
        };
        let (before, after) =
            ([named("huddle")], [named("huddle"), named("coaching"), named("coaching"), named("lunch")]);
        let found = new_activities(before.iter(), after.iter());
        assert_eq!(found.len(), 1);
        assert!(found[0].message.starts_with("activity \"coaching\" is new (2 occurrences)"), "{}", found[0].message);
    }
}
