//! An agent's position in the plan at an instant, computed once and kept until the plan's next edge.
//!
//! It is only a cache of [`AgentPlan`].

use crate::domain::agents::kind_sets::PlanKind;
use crate::domain::schedules::schedule::{Activity, AgentPlan, PlanAt, Segment};
use crate::domain::time::UtcMicros;

/// Marks a missing instant, where an `Option` would double the size.
const NO_INSTANT: UtcMicros = UtcMicros::from_micros(i64::MIN);

/// What the plan says of the instants from `from` up to but not including `until`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PlanPosition {
    from: UtcMicros,
    until: UtcMicros,
    since: UtcMicros,
    shift_start: UtcMicros,
    shift_end: UtcMicros,
    /// Within a shift, the current segment; otherwise the next segment.
    segment_index: u32,
    kind: PlanKind,
    previous_kind: PlanKind,
    next_kind: PlanKind,
    mandatory: bool,
}

impl PlanPosition {
    /// Computes the position at `now`.
    pub fn at(plan: &AgentPlan, now: UtcMicros) -> Self {
        match plan.at(now) {
            PlanAt::In(segment) => Self::in_shift(plan, segment, plan.first_starting_after(now) - 1),
            PlanAt::Off => Self::outside_shift(plan, now, PlanKind::Off),
            PlanAt::NotCovered => Self::outside_shift(plan, now, PlanKind::Uncovered),
        }
    }

    fn in_shift(plan: &AgentPlan, segment: &Segment, index: usize) -> Self {
        let segments = plan.segments();
        let outside = |instant| if plan.covers(instant) { PlanKind::Off } else { PlanKind::Uncovered };
        let previous = index.checked_sub(1).map(|i| &segments[i]).filter(|candidate| candidate.end == segment.start);
        let (shift_start, shift_end) = plan.shift_of(segment);
        let next = segments.get(index + 1).filter(|next| next.start == segment.end);
        Self {
            from: segment.start,
            until: segment.end,
            since: segment.start,
            shift_start,
            shift_end,
            segment_index: to_u32(index),
            kind: PlanKind::from_activity(&segment.activity),
            previous_kind: previous
                .map_or_else(|| outside(segment.start.offset(-1)), |s| PlanKind::from_activity(&s.activity)),
            next_kind: next.map_or_else(|| outside(segment.end), |s| PlanKind::from_activity(&s.activity)),
            mandatory: segment.mandatory,
        }
    }

    fn outside_shift(plan: &AgentPlan, now: UtcMicros, kind: PlanKind) -> Self {
        let segments = plan.segments();
        let index = plan.first_starting_after(now);
        let last = index.checked_sub(1).map(|i| &segments[i]);
        let next = segments.get(index);
        let boundaries = plan.coverage().iter().flat_map(|span| [span.start, span.end]);
        let next_change = boundaries.filter(|boundary| *boundary > now).chain(next.map(|segment| segment.start)).min();
        let coverage_boundary =
            if kind == PlanKind::Off { covered_since(plan, now) } else { uncovered_since(plan, now) };
        let since = last.map_or(coverage_boundary, |segment| segment.end.max(coverage_boundary));
        Self {
            from: if since == NO_INSTANT { now } else { since },
            until: next_change.unwrap_or(UtcMicros::MAX),
            since,
            shift_start: next.map_or(UtcMicros::MAX, |segment| plan.shift_of(segment).0),
            shift_end: last.map_or(NO_INSTANT, |segment| plan.shift_of(segment).1),
            segment_index: to_u32(index),
            kind,
            previous_kind: last.map_or(kind, |segment| PlanKind::from_activity(&segment.activity)),
            next_kind: next.map_or(kind, |segment| PlanKind::from_activity(&segment.activity)),
            mandatory: false,
        }
    }

    /// Returns whether the position is still valid at `now`.
    pub fn is_valid_at(&self, now: UtcMicros) -> bool {
        self.from <= now && now < self.until
    }

    /// Returns what is planned.
    pub const fn kind(&self) -> PlanKind {
        self.kind
    }

    /// Returns the kind directly before: in a shift the activity before, or `off` at its start; outside a shift the
    /// last activity.
    pub const fn previous_kind(&self) -> PlanKind {
        self.previous_kind
    }

    /// Returns the kind that comes next: in a shift the activity after, or `off` at its end; outside a shift the next
    /// activity.
    pub const fn next_kind(&self) -> PlanKind {
        self.next_kind
    }

    /// Returns whether a mandatory break is planned.
    pub const fn is_mandatory(&self) -> bool {
        self.mandatory
    }

    /// Returns since when this is planned; `None` if the schedule does not say.
    pub fn since(&self) -> Option<UtcMicros> {
        known_instant(self.since)
    }

    /// Returns the next edge of the plan; [`UtcMicros::MAX`] if nothing more is planned.
    pub const fn until(&self) -> UtcMicros {
        self.until
    }

    /// Returns start and end of the current shift.
    pub fn shift(&self) -> Option<(UtcMicros, UtcMicros)> {
        self.kind.is_in_shift().then_some((self.shift_start, self.shift_end))
    }

    /// Returns when the last shift ended; `None` within a shift.
    pub fn last_shift_end(&self) -> Option<UtcMicros> {
        if self.kind.is_in_shift() { None } else { known_instant(self.shift_end) }
    }

    /// Returns when the current shift started, or when the next one starts.
    pub fn current_or_next_shift_start(&self) -> Option<UtcMicros> {
        self.shift().map(|(start, _)| start).or_else(|| self.next_shift_start())
    }

    /// Returns when the next shift starts; `None` within a shift.
    pub fn next_shift_start(&self) -> Option<UtcMicros> {
        (!self.kind.is_in_shift() && self.shift_start != UtcMicros::MAX).then_some(self.shift_start)
    }

    /// Returns the current segment.
    pub fn segment<'a>(&self, plan: &'a AgentPlan) -> Option<&'a Segment> {
        plan.segments().get(self.segment_index as usize).filter(|_| self.kind.is_in_shift())
    }

    /// Returns the same as [`AgentPlan::at`], without a search.
    pub fn planned<'a>(&self, plan: &'a AgentPlan) -> PlanAt<'a> {
        match self.segment(plan) {
            Some(segment) => PlanAt::In(segment),
            None if self.kind == PlanKind::Off => PlanAt::Off,
            None => PlanAt::NotCovered,
        }
    }

    /// Returns the activity behind [`PlanPosition::kind`].
    pub fn activity<'a>(&self, plan: &'a AgentPlan) -> Option<&'a Activity> {
        self.segment(plan).map(|segment| &segment.activity)
    }

    /// Returns the activity behind [`PlanPosition::previous_kind`], if it is one.
    pub fn previous_activity<'a>(&self, plan: &'a AgentPlan) -> Option<&'a Activity> {
        let index = (self.segment_index as usize).checked_sub(1).filter(|_| self.previous_kind.is_in_shift())?;
        plan.segments().get(index).map(|segment| &segment.activity)
    }

    /// Returns the activity behind [`PlanPosition::next_kind`], if it is one.
    pub fn next_activity<'a>(&self, plan: &'a AgentPlan) -> Option<&'a Activity> {
        let index = self.segment_index as usize + usize::from(self.kind.is_in_shift());
        plan.segments().get(index).filter(|_| self.next_kind.is_in_shift()).map(|segment| &segment.activity)
    }
}

fn to_u32(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

fn known_instant(instant: UtcMicros) -> Option<UtcMicros> {
    (instant != NO_INSTANT).then_some(instant)
}

/// Returns the start of the unbroken coverage around `now`; schedules often cover day by day.
fn covered_since(plan: &AgentPlan, now: UtcMicros) -> UtcMicros {
    let mut since = now;
    for span in plan.coverage().iter().rev() {
        if span.start < since && since <= span.end {
            since = span.start;
        }
    }
    since
}

/// Returns the last end of coverage up to `now`.
fn uncovered_since(plan: &AgentPlan, now: UtcMicros) -> UtcMicros {
    plan.coverage().iter().map(|span| span.end).filter(|end| *end <= now).max().unwrap_or(NO_INSTANT)
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
        for (minute, previous, kind, next, since, until) in [
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
            let position = PlanPosition::at(&plan, at(minute));
            assert_eq!(
                (position.previous_kind(), position.kind(), position.next_kind()),
                (previous, kind, next),
                "minute {minute}"
            );
            assert_eq!(position.since(), since.map(at), "minute {minute}");
            assert_eq!(position.until(), until, "minute {minute}");
            assert!(position.is_valid_at(at(minute)));
            assert!(!position.is_valid_at(position.until()), "minute {minute}");
            assert_eq!(position.planned(&plan), plan.at(at(minute)), "minute {minute}");
        }
    }

    #[test]
    fn shifts_and_names_are_found_on_both_sides() {
        let plan = plan();
        let before = PlanPosition::at(&plan, at(50));
        assert_eq!((before.shift(), before.next_shift_start(), before.last_shift_end()), (None, Some(at(100)), None));
        assert_eq!(before.next_activity(&plan), Some(&Activity::Work));
        let working = PlanPosition::at(&plan, at(150));
        assert_eq!(working.shift(), Some((at(100), at(200))));
        assert_eq!(working.previous_activity(&plan), Some(&Activity::Break));
        assert_eq!(working.next_activity(&plan).map(Activity::name), Some("drill"));
        let after = PlanPosition::at(&plan, at(250));
        assert_eq!((after.shift(), after.next_shift_start(), after.last_shift_end()), (None, None, Some(at(200))));
        assert_eq!(after.previous_activity(&plan).map(Activity::name), Some("drill"));
        assert_eq!((after.next_activity(&plan), after.activity(&plan)), (None, None));
    }

    #[test]
    fn a_night_covered_by_two_days_is_one_stretch_off() {
        let day = |start, end| Coverage { start: at(start), end: at(end) };
        let plan = AgentPlan::new(vec![], vec![day(0, 100), day(100, 200)]);
        assert_eq!(PlanPosition::at(&plan, at(150)).since(), Some(at(0)));
    }
}
