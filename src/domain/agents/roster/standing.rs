//! Where an agent stands in the plan at an instant: worked out once and kept until the plan's next edge.
//!
//! It is a cache of [`AgentPlan`] and nothing else: what is not in the plan is not in here.

use crate::domain::agents::sets::PlanKind;
use crate::domain::schedules::schedule::{Activity, AgentPlan, Planned, Segment};
use crate::domain::time::UtcMicros;

/// Stands for "no such instant" where an `Option` would double the size.
const NONE: UtcMicros = UtcMicros::from_micros(i64::MIN);

/// What the plan says of the instants from `from` up to but not including `until`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    from: UtcMicros,
    until: UtcMicros,
    since: UtcMicros,
    shift_start: UtcMicros,
    shift_end: UtcMicros,
    /// In a shift: the current segment. Else: the first segment that is still to come.
    position: u32,
    kind: PlanKind,
    before: PlanKind,
    next: PlanKind,
    mandatory: bool,
}

impl Standing {
    /// Works it out for an instant.
    pub fn of(plan: &AgentPlan, now: UtcMicros) -> Self {
        match plan.at(now) {
            Planned::In(segment) => Self::in_shift(plan, segment, plan.first_starting_after(now) - 1),
            Planned::Off => Self::outside(plan, now, PlanKind::Off),
            Planned::NotCovered => Self::outside(plan, now, PlanKind::Uncovered),
        }
    }

    fn in_shift(plan: &AgentPlan, segment: &Segment, index: usize) -> Self {
        let segments = plan.segments();
        let outside = |instant| if plan.covers(instant) { PlanKind::Off } else { PlanKind::Uncovered };
        let earlier = index.checked_sub(1).map(|i| &segments[i]).filter(|before| before.end == segment.start);
        let (shift_start, shift_end) = plan.shift_of(segment);
        let later = segments.get(index + 1).filter(|next| next.start == segment.end);
        Self {
            from: segment.start,
            until: segment.end,
            since: segment.start,
            shift_start,
            shift_end,
            position: position(index),
            kind: PlanKind::of(&segment.activity),
            before: earlier.map_or_else(|| outside(segment.start.offset(-1)), |s| PlanKind::of(&s.activity)),
            next: later.map_or_else(|| outside(segment.end), |s| PlanKind::of(&s.activity)),
            mandatory: segment.mandatory,
        }
    }

    fn outside(plan: &AgentPlan, now: UtcMicros, kind: PlanKind) -> Self {
        let segments = plan.segments();
        let index = plan.first_starting_after(now);
        let last = index.checked_sub(1).map(|i| &segments[i]);
        let next = segments.get(index);
        let edges = plan.coverage().iter().flat_map(|span| [span.start, span.end]);
        let coming = edges.filter(|edge| *edge > now).chain(next.map(|segment| segment.start)).min();
        let edge = if kind == PlanKind::Off { covered_since(plan, now) } else { uncovered_since(plan, now) };
        let since = last.map_or(edge, |segment| segment.end.max(edge));
        Self {
            from: if since == NONE { now } else { since },
            until: coming.unwrap_or(UtcMicros::MAX),
            since,
            shift_start: next.map_or(UtcMicros::MAX, |segment| plan.shift_of(segment).0),
            shift_end: last.map_or(NONE, |segment| plan.shift_of(segment).1),
            position: position(index),
            kind,
            before: last.map_or(kind, |segment| PlanKind::of(&segment.activity)),
            next: next.map_or(kind, |segment| PlanKind::of(&segment.activity)),
            mandatory: false,
        }
    }

    /// Whether it still holds at `now`.
    pub fn holds_at(&self, now: UtcMicros) -> bool {
        self.from <= now && now < self.until
    }

    /// What is planned.
    pub const fn kind(&self) -> PlanKind {
        self.kind
    }

    /// What came directly before: in a shift the activity before, or `off` at its start; outside of one the last activity.
    pub const fn before(&self) -> PlanKind {
        self.before
    }

    /// What comes next: in a shift the activity after, or `off` at its end; outside of one the first activity to come.
    pub const fn next(&self) -> PlanKind {
        self.next
    }

    /// Whether a mandatory break is planned.
    pub const fn mandatory(&self) -> bool {
        self.mandatory
    }

    /// Since when this is planned; `None` where the schedule does not say.
    pub fn since(&self) -> Option<UtcMicros> {
        known(self.since)
    }

    /// The next edge of the plan; [`UtcMicros::MAX`] when nothing more is planned.
    pub const fn until(&self) -> UtcMicros {
        self.until
    }

    /// Start and end of the shift that is running.
    pub fn shift(&self) -> Option<(UtcMicros, UtcMicros)> {
        self.kind.is_in_shift().then_some((self.shift_start, self.shift_end))
    }

    /// Outside of a shift: when the last one ended.
    pub fn last_shift_end(&self) -> Option<UtcMicros> {
        if self.kind.is_in_shift() { None } else { known(self.shift_end) }
    }

    /// Outside of a shift: when the next one starts.
    pub fn next_shift_start(&self) -> Option<UtcMicros> {
        (!self.kind.is_in_shift() && self.shift_start != UtcMicros::MAX).then_some(self.shift_start)
    }

    /// The segment that is running.
    pub fn segment<'a>(&self, plan: &'a AgentPlan) -> Option<&'a Segment> {
        plan.segments().get(self.position as usize).filter(|_| self.kind.is_in_shift())
    }

    /// The same as [`AgentPlan::at`], without the search.
    pub fn planned<'a>(&self, plan: &'a AgentPlan) -> Planned<'a> {
        match self.segment(plan) {
            Some(segment) => Planned::In(segment),
            None if self.kind == PlanKind::Off => Planned::Off,
            None => Planned::NotCovered,
        }
    }

    /// The activity behind [`Standing::kind`].
    pub fn activity<'a>(&self, plan: &'a AgentPlan) -> Option<&'a Activity> {
        self.segment(plan).map(|segment| &segment.activity)
    }

    /// The activity behind [`Standing::before`], where it is one.
    pub fn activity_before<'a>(&self, plan: &'a AgentPlan) -> Option<&'a Activity> {
        let index = (self.position as usize).checked_sub(1).filter(|_| self.before.is_in_shift())?;
        plan.segments().get(index).map(|segment| &segment.activity)
    }

    /// The activity behind [`Standing::next`], where it is one.
    pub fn activity_next<'a>(&self, plan: &'a AgentPlan) -> Option<&'a Activity> {
        let index = self.position as usize + usize::from(self.kind.is_in_shift());
        plan.segments().get(index).filter(|_| self.next.is_in_shift()).map(|segment| &segment.activity)
    }
}

fn position(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

fn known(instant: UtcMicros) -> Option<UtcMicros> {
    (instant != NONE).then_some(instant)
}

/// The start of the unbroken stretch of covered instants that `now` lies in; schedules are often covered day by day.
fn covered_since(plan: &AgentPlan, now: UtcMicros) -> UtcMicros {
    let mut since = now;
    for span in plan.coverage().iter().rev() {
        if span.start < since && since <= span.end {
            since = span.start;
        }
    }
    since
}

/// The last end of coverage up to `now`.
fn uncovered_since(plan: &AgentPlan, now: UtcMicros) -> UtcMicros {
    plan.coverage().iter().map(|span| span.end).filter(|end| *end <= now).max().unwrap_or(NONE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::schedules::schedule::{Coverage, Shift, ShiftActivity};

    fn at(minute: i64) -> UtcMicros {
        UtcMicros::from_micros(minute * 60_000_000)
    }

    fn plan() -> AgentPlan {
        let pause = |activity, start, end| ShiftActivity { activity, start: at(start), end: at(end), mandatory: true };
        let shift = Shift {
            start: at(100),
            end: at(200),
            activities: vec![pause(Activity::Break, 120, 130), pause(Activity::Other("drill".into()), 190, 200)],
        };
        let day = |start, end| Coverage { start: at(start), end: at(end) };
        AgentPlan::new(vec![shift], vec![day(0, 150), day(150, 300), day(400, 500)])
    }

    #[test]
    fn every_instant_says_what_is_planned_what_was_and_what_comes() {
        use PlanKind::{Break, Off, Other, Uncovered, Work};
        let plan = plan();
        for (minute, before, kind, next, since, until) in [
            (-5, Uncovered, Uncovered, Work, None, at(0)),
            (0, Off, Off, Work, Some(0), at(100)),
            (100, Off, Work, Break, Some(100), at(120)),
            (120, Work, Break, Work, Some(120), at(130)),
            (130, Break, Work, Other, Some(130), at(190)),
            (190, Work, Other, Off, Some(190), at(200)),
            (200, Other, Off, Off, Some(200), at(300)),
            (300, Other, Uncovered, Uncovered, Some(300), at(400)),
            (400, Other, Off, Off, Some(400), at(500)),
            (500, Other, Uncovered, Uncovered, Some(500), UtcMicros::MAX),
        ] {
            let standing = Standing::of(&plan, at(minute));
            assert_eq!((standing.before(), standing.kind(), standing.next()), (before, kind, next), "minute {minute}");
            assert_eq!(standing.since(), since.map(at), "minute {minute}");
            assert_eq!(standing.until(), until, "minute {minute}");
            assert!(standing.holds_at(at(minute)));
            assert!(!standing.holds_at(standing.until()), "minute {minute}");
            assert_eq!(standing.planned(&plan), plan.at(at(minute)), "minute {minute}");
        }
    }

    #[test]
    fn shifts_and_names_are_found_on_both_sides() {
        let plan = plan();
        let before = Standing::of(&plan, at(50));
        assert_eq!((before.shift(), before.next_shift_start(), before.last_shift_end()), (None, Some(at(100)), None));
        assert_eq!(before.activity_next(&plan), Some(&Activity::Work));
        let working = Standing::of(&plan, at(150));
        assert_eq!(working.shift(), Some((at(100), at(200))));
        assert_eq!(working.activity_before(&plan), Some(&Activity::Break));
        assert_eq!(working.activity_next(&plan).map(Activity::name), Some("drill"));
        let after = Standing::of(&plan, at(250));
        assert_eq!((after.shift(), after.next_shift_start(), after.last_shift_end()), (None, None, Some(at(200))));
        assert_eq!(after.activity_before(&plan).map(Activity::name), Some("drill"));
        assert_eq!((after.activity_next(&plan), after.activity(&plan)), (None, None));
    }

    #[test]
    fn a_night_covered_by_two_days_is_one_stretch_off() {
        let day = |start, end| Coverage { start: at(start), end: at(end) };
        let plan = AgentPlan::new(vec![], vec![day(0, 100), day(100, 200)]);
        assert_eq!(Standing::of(&plan, at(150)).since(), Some(at(0)));
    }
}
