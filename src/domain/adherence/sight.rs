//! What history cannot say by itself: when nobody looked.
//!
//! History says when a state began, and by that when the one before ended. While the daemon stood still or the platform did not answer,
//! nobody knows what came in between: the state that was seen last may have ended at any instant.

use super::course::{Span, Stay};
use crate::domain::time::UtcMicros;

/// The spans between sights, in order: from the last instant at which the whole roster was seen to the first at which it was seen
/// again. Before the first sight and after the last there is none.
pub fn gaps(sights: &[Span]) -> impl Iterator<Item = Span> {
    sights.windows(2).map(|pair| (pair[0].1, pair[1].0)).filter(|(from, to)| from < to)
}

/// Cuts off what nobody saw. A stay that was seen last before a gap, and that another state had followed when somebody looked again,
/// is known up to the gap alone: its end is not known, nor what else came before the next. One that goes on after the gap was in
/// force all along, since the platform itself dates the beginning of what it shows; and so is one that began within the gap.
///
/// `sights` in order and apart, `stays` in order and without overlap; one that goes on ends at [`UtcMicros::MAX`], and is known up to the
/// last sight of all.
pub fn cut(stays: &mut Vec<Stay>, sights: &[Span], last_sight: Option<UtcMicros>) {
    for (from, to) in gaps(sights) {
        let after = stays.partition_point(|stay| stay.start <= from);
        if let Some(last) = stays[..after].last_mut().filter(|stay| from < stay.end && stay.end <= to) {
            last.end = from;
        }
    }
    if let Some(last) = stays.last_mut().filter(|stay| stay.end == UtcMicros::MAX) {
        last.end = last_sight.map_or(last.start, |seen| seen.max(last.start));
    }
    stays.retain(|stay| stay.start < stay.end);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::agents::state::AgentState;

    fn at(minute: i64) -> UtcMicros {
        UtcMicros::from_micros(minute * 60_000_000)
    }

    /// What of some stays is known; one that ends at minute 999 goes on.
    fn cut_of(stays: &[(i64, i64)], sights: &[(i64, i64)]) -> Vec<(i64, i64)> {
        let end = |minute| if minute == 999 { UtcMicros::MAX } else { at(minute) };
        let mut stays: Vec<Stay> = stays
            .iter()
            .map(|(start, last)| Stay { state: AgentState::Ready, reason: None, start: at(*start), end: end(*last) })
            .collect();
        let sights: Vec<Span> = sights.iter().map(|(from, to)| (at(*from), at(*to))).collect();
        cut(&mut stays, &sights, sights.last().map(|(_, until)| *until));
        stays.iter().map(|stay| (stay.start.as_micros() / 60_000_000, stay.end.as_micros() / 60_000_000)).collect()
    }

    #[test]
    fn what_ended_while_nobody_looked_is_known_up_to_the_last_look() {
        let sights = [(0, 100), (200, 300)];
        for (stays, known) in [
            // Ended in the gap: nobody knows when. What began in it is dated by the platform.
            (vec![(50, 150), (150, 250)], vec![(50, 100), (150, 250)]),
            // Goes on after it: in force all along.
            (vec![(50, 250)], vec![(50, 250)]),
            // Ended at the very sight that ends the gap.
            (vec![(50, 200), (200, 250)], vec![(50, 100), (200, 250)]),
            // Ended at the last look before it.
            (vec![(50, 100), (100, 250)], vec![(50, 100), (100, 250)]),
            // Began at that look and ended in the gap: nothing of it is known.
            (vec![(50, 100), (100, 150), (150, 250)], vec![(50, 100), (150, 250)]),
            // What the feed told of one agent in between stands.
            (vec![(50, 120), (120, 140), (140, 250)], vec![(50, 100), (120, 140), (140, 250)]),
            // The one that goes on is known up to the last look.
            (vec![(250, 999)], vec![(250, 300)]),
            (vec![(250, 260), (310, 999)], vec![(250, 260)]),
            // What was followed by another state ended when that began.
            (vec![(250, 310), (310, 999)], vec![(250, 310)]),
        ] {
            assert_eq!(cut_of(&stays, &sights), known, "{stays:?}");
        }
        assert_eq!(cut_of(&[(50, 150), (150, 999)], &[]), [(50, 150)], "without a look nothing is known to last");
    }

    #[test]
    fn a_second_without_a_look_is_a_gap_and_none_is_none() {
        assert_eq!(gaps(&[(at(0), at(1)), (at(1), at(2)), (at(3), at(4))]).collect::<Vec<_>>(), [(at(2), at(3))]);
    }
}
