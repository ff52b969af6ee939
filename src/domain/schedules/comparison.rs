//! What a new schedule changes in the schedule in force, shift by shift.

use serde::{Deserialize, Serialize};

use super::schedule::{AgentPlan, PlanAt, Shift};
use crate::domain::ids::AgentId;
use crate::domain::time::UtcMicros;

/// How a shift changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ShiftChangeKind {
    /// The shift is new.
    Added,
    /// The shift has other times or other activities.
    Changed,
    /// The shift is gone.
    Removed,
}

/// A shift that changes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ShiftChange {
    /// The shift in force; `None` if the shift is new.
    pub before: Option<Shift>,
    /// The new shift; `None` if the shift is removed.
    pub after: Option<Shift>,
}

impl ShiftChange {
    /// Returns how the shift changes.
    pub const fn kind(&self) -> ShiftChangeKind {
        match (&self.before, &self.after) {
            (None, _) => ShiftChangeKind::Added,
            (Some(_), None) => ShiftChangeKind::Removed,
            (Some(_), Some(_)) => ShiftChangeKind::Changed,
        }
    }

    /// Returns the first instant at which something else is planned than before; `None` if the plans are the same.
    pub fn first_difference(&self) -> Option<UtcMicros> {
        let plan = |shift: &Option<Shift>| AgentPlan::new(shift.iter().cloned().collect(), Vec::new());
        let (before, after) = (plan(&self.before), plan(&self.after));
        let boundaries = before.segments().iter().chain(after.segments()).flat_map(|one| [one.start, one.end]);
        let activity = |plan: &AgentPlan, at| match plan.at(at) {
            PlanAt::In(segment) => Some((segment.activity.clone(), segment.mandatory)),
            PlanAt::Off | PlanAt::NotCovered => None,
        };
        boundaries.filter(|at| activity(&before, *at) != activity(&after, *at)).min()
    }

    /// Returns the earliest instant that the change affects.
    pub fn start(&self) -> Option<UtcMicros> {
        let starts = self.before.iter().chain(&self.after).map(|shift| shift.start);
        starts.min()
    }
}

/// What changes for one agent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AgentComparison {
    /// The agent.
    pub agent: AgentId,
    /// The shifts that change, by start.
    pub changes: Vec<ShiftChange>,
    /// The number of shifts that stay as they are.
    pub unchanged: usize,
}

impl AgentComparison {
    /// Compares the shifts of an agent within one period; both lists are ordered by start, and neither overlaps itself.
    /// Two shifts that overlap count as one that changes.
    pub fn between(agent: AgentId, before: &[Shift], after: &[Shift]) -> Self {
        let mut comparison = Self { agent, changes: Vec::new(), unchanged: 0 };
        let (mut before, mut after) = (before.iter().peekable(), after.iter().peekable());
        loop {
            let (old, new) = match (before.peek(), after.peek()) {
                (None, None) => return comparison,
                (Some(old), Some(new)) if old.end <= new.start => (before.next(), None),
                (Some(old), Some(new)) if new.end <= old.start => (None, after.next()),
                (Some(_), Some(_)) => (before.next(), after.next()),
                (Some(_), None) => (before.next(), None),
                (None, Some(_)) => (None, after.next()),
            };
            if old == new {
                comparison.unchanged += 1;
            } else {
                comparison.changes.push(ShiftChange { before: old.cloned(), after: new.cloned() });
            }
        }
    }

    /// Returns the number of changes of a kind.
    pub fn count(&self, kind: ShiftChangeKind) -> usize {
        self.changes.iter().filter(|change| change.kind() == kind).count()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::time::UtcMicros;
    use ShiftChangeKind::{Added, Changed, Removed};

    fn shift(start: i64, end: i64) -> Shift {
        Shift { start: UtcMicros::from_micros(start), end: UtcMicros::from_micros(end), activities: Vec::new() }
    }

    fn compare(before: &[Shift], after: &[Shift]) -> AgentComparison {
        AgentComparison::between("a".into(), before, after)
    }

    #[test]
    fn shifts_that_overlap_are_one_that_changes() {
        let before = [shift(0, 5), shift(10, 15), shift(20, 25), shift(40, 45)];
        let after = [shift(0, 5), shift(12, 18), shift(30, 35), shift(45, 50)];
        let comparison = compare(&before, &after);
        let kinds: Vec<_> = comparison.changes.iter().map(ShiftChange::kind).collect();
        assert_eq!((kinds, comparison.unchanged), (vec![Changed, Removed, Added, Removed, Added], 1));
        assert_eq!(comparison.changes[0].start(), Some(UtcMicros::from_micros(10)));
        assert_eq!(compare(&before, &before).changes, []);
        assert_eq!(compare(&[], &after).count(Added), 4);
        assert_eq!(compare(&before, &[]).count(Removed), 4);
    }

    prop_compose! {
        fn shifts()(gaps in prop::collection::vec((0_i64..6, 1_i64..6), 0..8)) -> Vec<Shift> {
            let mut at = 0;
            gaps.into_iter().map(|(gap, length)| {
                let start = at + gap;
                at = start + length;
                shift(start, at)
            }).collect()
        }
    }

    proptest! {
        #[test]
        fn every_shift_is_in_the_comparison_once_and_the_way_back_is_the_reverse(before in shifts(), after in shifts()) {
            let there = compare(&before, &after);
            let of = |pick: fn(&ShiftChange) -> Option<&Shift>| there.changes.iter().filter_map(pick).count();
            prop_assert_eq!(of(|change| change.before.as_ref()) + there.unchanged, before.len());
            prop_assert_eq!(of(|change| change.after.as_ref()) + there.unchanged, after.len());
            let mut kept: Vec<&Shift> = before.iter().filter(|shift| after.contains(shift)).collect();
            kept.retain(|shift| there.changes.iter().all(|change| change.before.as_ref() != Some(shift)));
            prop_assert_eq!(kept.len(), there.unchanged, "what is unchanged is the same in both");
            let back = compare(&after, &before);
            let turned: Vec<_> = back.changes.into_iter()
                .map(|change| ShiftChange { before: change.after, after: change.before }).collect();
            prop_assert_eq!(turned, there.changes);
        }
    }
}
