//! Schedules as a platform exports them: shifts with activities by title. Titles are the customer's own words, so a table
//! says which activity each stands for.

use std::collections::{BTreeMap, BTreeSet};

use super::schedule::{Activity, Coverage, Shift, ShiftActivity};
use crate::domain::time::UtcMicros;

/// A shift, from `start` up to but not including `end`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlatformShift {
    /// The first instant.
    pub start: UtcMicros,
    /// The first instant after the end.
    pub end: UtcMicros,
    /// The activities, in any order. They may lie outside the shift.
    pub activities: Vec<PlatformActivity>,
}

/// An activity of a shift.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlatformActivity {
    /// The title, in the customer's words.
    pub title: String,
    /// The first instant.
    pub start: UtcMicros,
    /// The first instant after the end.
    pub end: UtcMicros,
}

/// What a title stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TitledActivity {
    /// The activity.
    pub activity: Activity,
    /// Whether it is a mandatory break.
    pub mandatory: bool,
}

/// The titles of a tenant, in any case.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ActivityTitles(BTreeMap<String, TitledActivity>);

impl ActivityTitles {
    /// Creates the table.
    pub fn new(titles: impl IntoIterator<Item = (String, TitledActivity)>) -> Self {
        Self(titles.into_iter().map(|(title, activity)| (title.trim().to_lowercase(), activity)).collect())
    }

    /// Returns what a title stands for: an entry of the table, or the activity with this name.
    fn activity(&self, title: &str) -> Option<TitledActivity> {
        let folded = title.trim().to_lowercase();
        let named = || match Activity::from_name(&folded) {
            Activity::Other(_) => None,
            activity => Some(TitledActivity { activity, mandatory: false }),
        };
        self.0.get(&folded).cloned().or_else(named)
    }

    /// Returns the shifts that begin within `coverage`, in order. An activity with an unknown title is kept under that
    /// title, so that no rule for a known activity applies to it; the title is added to `unknown`. An activity outside
    /// every shift is a shift of its own.
    pub fn shifts(&self, exported: &[PlatformShift], coverage: Coverage, unknown: &mut BTreeSet<String>) -> Vec<Shift> {
        let mut shifts: Vec<Shift> = Vec::new();
        let mut sorted: Vec<&PlatformShift> = exported.iter().filter(|shift| shift.start < shift.end).collect();
        sorted.sort_by_key(|shift| (shift.start, shift.end));
        for shift in sorted {
            // The platform may export a shift twice; parts that overlap are one shift.
            match shifts.last_mut().filter(|last| shift.start < last.end) {
                Some(last) => last.end = last.end.max(shift.end),
                None => shifts.push(Shift { start: shift.start, end: shift.end, activities: Vec::new() }),
            }
        }
        let mut activities: Vec<&PlatformActivity> = exported
            .iter()
            .flat_map(|shift| &shift.activities)
            .filter(|activity| activity.start < activity.end)
            .collect();
        activities.sort_by_key(|activity| (activity.start, activity.end));
        for activity in activities {
            let titled = self.activity(&activity.title).unwrap_or_else(|| {
                unknown.insert(activity.title.trim().to_owned());
                TitledActivity { activity: Activity::from_name(&activity.title), mandatory: false }
            });
            add_activity(&mut shifts, activity, titled);
        }
        shifts.retain(|shift| coverage.start <= shift.start && shift.start < coverage.end);
        shifts
    }
}

/// Adds an activity to the shift in which it lies, without what overlaps an earlier activity.
fn add_activity(shifts: &mut Vec<Shift>, exported: &PlatformActivity, titled: TitledActivity) {
    let (mut start, mut end) = (exported.start, exported.end);
    let place = shifts.partition_point(|shift| shift.end <= start);
    let Some(shift) = shifts.get_mut(place).filter(|shift| shift.start < end) else {
        let activities = Vec::new();
        shifts.insert(place, Shift { start, end, activities });
        return add_activity(shifts, exported, titled);
    };
    start = start.max(shift.start).max(shift.activities.last().map_or(start, |last| last.end));
    end = end.min(shift.end);
    if start < end && titled.activity != Activity::Work {
        let TitledActivity { activity, mandatory } = titled;
        shift.activities.push(ShiftActivity { activity, start, end, mandatory });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> UtcMicros {
        UtcMicros::from_micros(hour * 3_600_000_000)
    }

    fn activity(title: &str, start: i64, end: i64) -> PlatformActivity {
        PlatformActivity { title: title.to_owned(), start: at(start), end: at(end) }
    }

    #[test]
    fn titles_become_activities_and_unknown_ones_are_listed() {
        let titles = ActivityTitles::new([
            ("Mittag".to_owned(), TitledActivity { activity: Activity::Lunch, mandatory: true }),
            ("Phone".to_owned(), TitledActivity { activity: Activity::Work, mandatory: false }),
        ]);
        let exported = [
            PlatformShift {
                start: at(8),
                end: at(16),
                activities: vec![
                    activity("MITTAG ", 12, 13),
                    activity("Break", 10, 11),
                    activity("Phone", 8, 10),
                    activity("Coaching", 15, 18),
                    activity("break", 12, 14),
                ],
            },
            PlatformShift { start: at(8), end: at(16), activities: vec![activity("Meeting", 20, 21)] },
            PlatformShift { start: at(31), end: at(39), activities: Vec::new() },
        ];
        let mut unknown = BTreeSet::new();
        let shifts = titles.shifts(&exported, Coverage { start: at(0), end: at(24) }, &mut unknown);
        let found: Vec<_> = shifts
            .iter()
            .map(|shift| {
                let activities: Vec<_> = shift
                    .activities
                    .iter()
                    .map(|part| format!("{} {}-{} {}", part.activity, hour(part.start), hour(part.end), part.mandatory))
                    .collect();
                (hour(shift.start), hour(shift.end), activities.join(", "))
            })
            .collect();
        let day = "break 10-11 false, lunch 12-13 true, break 13-14 false, coaching 15-16 false";
        assert_eq!(found, [(8, 16, day.to_owned()), (20, 21, "meeting 20-21 false".to_owned())]);
        assert_eq!(unknown.into_iter().collect::<Vec<_>>(), ["Coaching"]);
    }

    fn hour(instant: UtcMicros) -> i64 {
        instant.as_micros() / 3_600_000_000
    }
}
