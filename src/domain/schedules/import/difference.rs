//! The difference that an import makes, counted for its summary.

use std::cmp::Ordering;

use serde::Serialize;

use crate::domain::schedules::schedule::Shift;

/// The difference between the shifts of an agent, or of all agents, before and after an import.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct ScheduleDifference {
    /// Shifts with a start at which no shift started before.
    pub added: usize,
    /// Shifts with the same start but another end or other activities.
    pub changed: usize,
    /// Shifts with a start at which no shift starts any more.
    pub removed: usize,
    /// Shifts that are unchanged.
    pub unchanged: usize,
}

impl ScheduleDifference {
    /// Compares the shifts of one agent within one period; both lists are ordered by start.
    pub fn between(before: &[Shift], after: &[Shift]) -> Self {
        let mut difference = Self::default();
        let (mut before, mut after) = (before.iter().peekable(), after.iter().peekable());
        loop {
            let order = match (before.peek(), after.peek()) {
                (Some(old), Some(new)) => old.start.cmp(&new.start),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return difference,
            };
            let old = if order.is_le() { before.next() } else { None };
            let new = if order.is_ge() { after.next() } else { None };
            match order {
                Ordering::Less => difference.removed += 1,
                Ordering::Greater => difference.added += 1,
                Ordering::Equal if old == new => difference.unchanged += 1,
                Ordering::Equal => difference.changed += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::UtcMicros;

    fn shift(start: i64, end: i64) -> Shift {
        Shift { start: UtcMicros::from_micros(start), end: UtcMicros::from_micros(end), activities: Vec::new() }
    }

    #[test]
    fn shifts_are_matched_by_their_start() {
        let before = [shift(0, 5), shift(10, 15), shift(20, 25)];
        let after = [shift(0, 5), shift(10, 16), shift(12, 18), shift(30, 35)];
        let difference = ScheduleDifference::between(&before, &after);
        assert_eq!(difference, ScheduleDifference { added: 2, changed: 1, removed: 1, unchanged: 1 });
        assert_eq!(
            ScheduleDifference::between(&before, &before),
            ScheduleDifference { unchanged: 3, ..ScheduleDifference::default() }
        );
        assert_eq!(ScheduleDifference::between(&[], &after).added, 4);
    }
}
