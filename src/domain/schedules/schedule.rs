//! Shifts, their activities, and the plan: what an agent should be doing at an instant.
//!
//! The import has converted the local times of files to instants (see `domain::schedules::import`). Nothing in this
//! module depends on a file format.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::time::UtcMicros;

/// How far back a rule can look for a shift that has ended, and how far back plans are kept. It covers the longest
/// usual shift and a break before it.
pub const PLAN_LOOKBACK: Duration = Duration::from_hours(3 * 24);

/// How far ahead a rule can look for a shift that starts.
pub const PLAN_LOOKAHEAD: Duration = Duration::from_hours(4 * 24);

/// What schedule files call a shift, which contains the activities.
pub const SHIFT_ACTIVITY: &str = "shift";

/// What schedule files call days on which an agent has no shift.
pub const OFF_ACTIVITY: &str = "off";

/// The purpose of a planned period.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Activity {
    /// Plain work: the part of a shift that no other activity covers.
    Work,
    /// A short pause.
    Break,
    /// The meal break.
    Lunch,
    /// A meeting.
    Meeting,
    /// Training or coaching.
    Training,
    /// Any other name used by a schedule, in lower case.
    Other(Arc<str>),
}

/// The number of values of [`Activity::index`].
pub const ACTIVITY_KINDS: usize = 6;

impl Activity {
    /// The activities with a variant of their own, in the order of [`Activity::index`].
    pub const KNOWN: [Self; 5] = [Self::Work, Self::Break, Self::Lunch, Self::Meeting, Self::Training];

    /// Returns an index for tables: 0 to 4 for the known activities, 5 for any other.
    pub const fn index(&self) -> usize {
        match self {
            Self::Work => 0,
            Self::Break => 1,
            Self::Lunch => 2,
            Self::Meeting => 3,
            Self::Training => 4,
            Self::Other(_) => 5,
        }
    }

    /// Returns the name used in files, rules and messages.
    pub fn name(&self) -> &str {
        match self {
            Self::Work => "work",
            Self::Break => "break",
            Self::Lunch => "lunch",
            Self::Meeting => "meeting",
            Self::Training => "training",
            Self::Other(name) => name,
        }
    }

    /// Returns the activity with this name, in any case. It never fails, since centres name activities as they like.
    pub fn from_name(name: &str) -> Self {
        let folded = name.trim().to_lowercase();
        Self::KNOWN.into_iter().find(|activity| activity.name() == folded).unwrap_or_else(|| Self::Other(folded.into()))
    }

    /// Whether the name stands for a whole shift or for days without one in schedule files, so that no activity of a
    /// shift can have it.
    pub fn is_reserved(&self) -> bool {
        matches!(self.name(), SHIFT_ACTIVITY | OFF_ACTIVITY)
    }

    /// Whether the activity is a break or lunch, which count as rest.
    pub const fn is_rest(&self) -> bool {
        matches!(self, Self::Break | Self::Lunch)
    }
}

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Activity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Activity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from_name(&String::deserialize(deserializer)?))
    }
}

/// One activity of a shift other than plain work, from `start` up to but not including `end`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ShiftActivity {
    /// The activity.
    pub activity: Activity,
    /// The first instant.
    pub start: UtcMicros,
    /// The first instant after the end.
    pub end: UtcMicros,
    /// Whether it is a mandatory break, during which an agent must not be set ready.
    pub mandatory: bool,
}

/// One shift of one agent, from `start` up to but not including `end`. Its activities are in order and do not overlap.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Shift {
    /// The first instant.
    pub start: UtcMicros,
    /// The first instant after the end.
    pub end: UtcMicros,
    /// The activities other than plain work.
    pub activities: Vec<ShiftActivity>,
}

/// A period covered by the imported schedule, up to but not including `end`.
///
/// Outside all such periods the agent's plan is unknown; inside one, an agent without a shift is off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Coverage {
    /// The first instant.
    pub start: UtcMicros,
    /// The first instant after the end.
    pub end: UtcMicros,
}

/// One segment of a plan: a part of a shift with one activity, which may be plain work.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment {
    /// The planned activity.
    pub activity: Activity,
    /// The first instant.
    pub start: UtcMicros,
    /// The first instant after the end.
    pub end: UtcMicros,
    /// Whether it is a mandatory break.
    pub mandatory: bool,
    /// The index of the shift, for [`AgentPlan::shift_of`].
    pub shift: u32,
}

// A large site holds half a million of these.
const _: () = assert!(size_of::<Segment>() <= 48);

impl Segment {
    /// Whether the segment contains `instant`.
    pub fn contains(&self, instant: UtcMicros) -> bool {
        self.start <= instant && instant < self.end
    }
}

/// The plan of one agent: the segments in order and without overlap, and the periods that the schedule covers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AgentPlan {
    segments: Vec<Segment>,
    /// The start and end of each shift, by index.
    shifts: Vec<(UtcMicros, UtcMicros)>,
    coverage: Vec<Coverage>,
}

/// The plan at an instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PlanAt<'a> {
    /// The schedule does not cover this instant.
    NotCovered,
    /// The schedule covers this instant, and there is no shift.
    Off,
    /// The instant lies in this segment of a shift.
    In(&'a Segment),
}

impl AgentPlan {
    /// Creates a plan by cutting shifts into segments. `shifts` and `coverage` may be in any order; shifts must not
    /// overlap, which the import ensures.
    pub fn new(mut shifts: Vec<Shift>, mut coverage: Vec<Coverage>) -> Self {
        shifts.sort_by_key(|shift| shift.start);
        coverage.sort_by_key(|span| span.start);
        // Ten thousand agents have half a million segments, so the capacity is kept small.
        let mut segments = Vec::with_capacity(shifts.iter().map(|shift| 2 * shift.activities.len() + 1).sum());
        let mut bounds = Vec::with_capacity(shifts.len());
        for (number, shift) in (0..).zip(shifts) {
            bounds.push((shift.start, shift.end));
            cut_into_segments(shift, number, &mut segments);
        }
        Self { segments, shifts: bounds, coverage }
    }

    /// Returns the plan at an instant. A shift that starts on the last covered day and runs past midnight counts in
    /// full.
    pub fn at(&self, instant: UtcMicros) -> PlanAt<'_> {
        match self.index_at(instant) {
            Some(index) => PlanAt::In(&self.segments[index]),
            None if self.covers(instant) => PlanAt::Off,
            None => PlanAt::NotCovered,
        }
    }

    /// Returns the index of the segment that contains `instant`, if any.
    pub fn index_at(&self, instant: UtcMicros) -> Option<usize> {
        let index = self.first_starting_after(instant).checked_sub(1)?;
        self.segments[index].contains(instant).then_some(index)
    }

    /// Returns the index of the first segment that starts after `instant`; the number of segments if there is none.
    pub fn first_starting_after(&self, instant: UtcMicros) -> usize {
        self.segments.partition_point(|segment| segment.start <= instant)
    }

    /// Whether the schedule covers `instant`.
    pub fn covers(&self, instant: UtcMicros) -> bool {
        let after = self.coverage.partition_point(|span| span.start <= instant);
        self.coverage[..after].iter().any(|span| instant < span.end)
    }

    /// Returns the next instant after `instant` at which a segment starts or ends; `None` if nothing more is planned.
    pub fn next_boundary(&self, instant: UtcMicros) -> Option<UtcMicros> {
        match self.index_at(instant) {
            Some(index) => Some(self.segments[index].end),
            None => self.segments.get(self.first_starting_after(instant)).map(|segment| segment.start),
        }
    }

    /// Returns all segments in order.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Returns the start and end of the shift that contains a segment of this plan.
    pub fn shift_of(&self, segment: &Segment) -> (UtcMicros, UtcMicros) {
        self.shifts[segment.shift as usize]
    }

    /// Returns the periods that the schedule covers, by start.
    pub fn coverage(&self) -> &[Coverage] {
        &self.coverage
    }
}

fn cut_into_segments(mut shift: Shift, number: u32, segments: &mut Vec<Segment>) {
    let mut push = |activity, start, end, mandatory| {
        if start < end {
            segments.push(Segment { activity, start, end, mandatory, shift: number });
        }
    };
    shift.activities.sort_by_key(|activity| activity.start);
    let mut at = shift.start;
    for planned in shift.activities {
        push(Activity::Work, at, planned.start, false);
        push(planned.activity, planned.start.max(at), planned.end, planned.mandatory);
        at = at.max(planned.end);
    }
    push(Activity::Work, at, shift.end, false);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(minute: i64) -> UtcMicros {
        UtcMicros::from_micros(minute * 60_000_000)
    }

    fn shift() -> Shift {
        let activity =
            |activity, start, end, mandatory| ShiftActivity { activity, start: at(start), end: at(end), mandatory };
        Shift {
            start: at(100),
            end: at(200),
            activities: vec![
                activity(Activity::Lunch, 150, 160, true),
                activity(Activity::Break, 120, 125, false),
                activity(Activity::Break, 160, 165, false),
            ],
        }
    }

    #[test]
    fn a_shift_is_cut_into_its_activities_and_the_work_between_them() {
        let plan = AgentPlan::new(vec![shift()], vec![Coverage { start: at(0), end: at(300) }]);
        let cut: Vec<_> = plan.segments().iter().map(|s| (s.activity.name(), s.start, s.end, s.mandatory)).collect();
        assert_eq!(
            cut,
            [
                ("work", at(100), at(120), false),
                ("break", at(120), at(125), false),
                ("work", at(125), at(150), false),
                ("lunch", at(150), at(160), true),
                ("break", at(160), at(165), false),
                ("work", at(165), at(200), false),
            ]
        );
    }

    #[test]
    fn off_and_not_covered_are_distinguished() {
        let plan = AgentPlan::new(vec![shift()], vec![Coverage { start: at(0), end: at(150) }]);
        assert_eq!(plan.at(at(99)), PlanAt::Off);
        assert!(matches!(plan.at(at(100)), PlanAt::In(segment) if segment.activity == Activity::Work));
        assert!(matches!(plan.at(at(199)), PlanAt::In(_)), "a shift runs on past its coverage");
        assert_eq!(plan.at(at(200)), PlanAt::NotCovered);
        assert_eq!(plan.next_boundary(at(0)), Some(at(100)));
        assert_eq!(plan.next_boundary(at(121)), Some(at(125)));
        assert_eq!(plan.next_boundary(at(200)), None);
    }

    #[test]
    fn plans_are_held_as_far_as_the_page_about_rules_says() {
        let page = include_str!("../../../docs/rules.md");
        for (held, key) in [(PLAN_LOOKBACK, "shift.ended_within"), (PLAN_LOOKAHEAD, "shift.starts_within")] {
            let expected = format!("`{key}` ({} h)", held.as_secs() / 3600);
            assert!(page.contains(&expected), "the page does not say {expected}");
        }
    }

    #[test]
    fn activities_are_known_by_name_and_number_in_any_case_and_others_keep_theirs() {
        for (index, name) in ["work", "break", "lunch", "meeting", "training"].into_iter().enumerate() {
            let activity = Activity::from_name(&format!(" {} ", name.to_uppercase()));
            assert_eq!(activity, Activity::KNOWN[index]);
            assert_eq!((activity.index(), activity.name(), activity.to_string().as_str()), (index, name, name));
            assert_eq!(activity.is_rest(), matches!(name, "break" | "lunch"), "{name}");
        }
        let other = Activity::from_name("Coaching");
        assert_eq!((other.index(), other.name(), other.is_rest()), (ACTIVITY_KINDS - 1, "coaching", false));
        assert_eq!(serde_json::to_value(&other).expect("a name"), "coaching");
        assert_eq!(serde_json::from_str::<Activity>("\"LUNCH\"").expect("a name"), Activity::Lunch);
    }

    #[test]
    fn spans_and_shifts_come_in_any_order_and_end_just_before_their_end() {
        let later = Shift { start: at(400), end: at(500), activities: vec![] };
        let spans = vec![Coverage { start: at(380), end: at(600) }, Coverage { start: at(0), end: at(300) }];
        let plan = AgentPlan::new(vec![later, shift()], spans);
        let starts: Vec<_> = plan.coverage().iter().map(|span| span.start).collect();
        assert_eq!(starts, [at(0), at(380)]);
        for (minute, covered) in
            [(-1, false), (0, true), (299, true), (300, false), (380, true), (599, true), (600, false)]
        {
            assert_eq!(plan.covers(at(minute)), covered, "{minute}");
        }
        for (minute, index, next) in [
            (99, None, Some(100)),
            (100, Some(0), Some(120)),
            (199, Some(5), Some(200)),
            (200, None, Some(400)),
            (499, Some(6), Some(500)),
        ] {
            assert_eq!((plan.index_at(at(minute)), plan.next_boundary(at(minute))), (index, next.map(at)), "{minute}");
        }
        assert_eq!([0, 100, 200, 400].map(|minute| plan.first_starting_after(at(minute))), [0, 1, 6, 7]);
        let last = plan.segments().last().expect("a segment");
        assert_eq!(plan.shift_of(last), (at(400), at(500)));
    }

    #[test]
    fn activities_that_overlap_leave_no_instant_planned_twice() {
        let activity =
            |activity, start, end| ShiftActivity { activity, start: at(start), end: at(end), mandatory: false };
        let activities = vec![
            activity(Activity::Break, 100, 130),
            activity(Activity::Lunch, 110, 120),
            activity(Activity::Meeting, 125, 140),
        ];
        let plan = AgentPlan::new(vec![Shift { start: at(100), end: at(140), activities }], vec![]);
        let cut: Vec<_> = plan.segments().iter().map(|s| (s.activity.name(), s.start, s.end)).collect();
        assert_eq!(cut, [("break", at(100), at(130)), ("meeting", at(130), at(140))]);
    }

    proptest! {
        #[test]
        fn segments_tile_every_shift(cuts in prop::collection::btree_set(0_i64..600, 2..20)) {
            let edges: Vec<i64> = cuts.into_iter().collect();
            let (first, last) = (edges[0], edges[edges.len() - 1]);
            let activities = edges[1..edges.len() - 1].chunks_exact(2).map(|pair| ShiftActivity {
                activity: Activity::Break, start: at(pair[0]), end: at(pair[1]), mandatory: false,
            }).collect();
            let plan = AgentPlan::new(vec![Shift { start: at(first), end: at(last), activities }], vec![]);
            let segments = plan.segments();
            prop_assert!(segments.iter().all(|segment| plan.shift_of(segment) == (at(first), at(last))));
            prop_assert_eq!(segments[0].start, at(first));
            prop_assert_eq!(segments[segments.len() - 1].end, at(last));
            prop_assert!(segments.windows(2).all(|pair| pair[0].end == pair[1].start));
            for minute in first..last {
                let PlanAt::In(segment) = plan.at(at(minute)) else { panic!("no plan inside the shift") };
                prop_assert!(segment.contains(at(minute)));
            }
        }
    }
}
