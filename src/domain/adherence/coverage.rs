//! Gaps in observation, which history cannot show by itself.
//!
//! History says when a state began, and thus when the one before ended. While the daemon was stopped or the platform
//! did not answer, nobody knows what came in between: the last observed state may have ended at any instant.

use super::timeline::{Span, StateInterval};
use crate::domain::time::UtcMicros;

/// Returns the gaps between observed spans, in order: from the last observation of the whole roster before a gap to the
/// first one after it. There is no gap before the first span or after the last.
pub fn observation_gaps(observed_spans: &[Span]) -> impl Iterator<Item = Span> {
    observed_spans.windows(2).map(|pair| (pair[0].1, pair[1].0)).filter(|(from, to)| from < to)
}

/// Removes unobserved time from state intervals. An interval that was current before a gap and was followed by another
/// state when observation resumed is known only up to the gap: neither its end is known, nor what else came before the
/// next one. An interval that continues after the gap lasted all along, since the platform itself dates the beginning
/// of the state it shows; the same holds for an interval that began within the gap.
///
/// `observed_spans` are in order and separate, and `intervals` in order and without overlap. A current interval ends at
/// [`UtcMicros::MAX`] and is known up to `last_observed`.
pub fn trim_unobserved(intervals: &mut Vec<StateInterval>, observed_spans: &[Span], last_observed: Option<UtcMicros>) {
    for (from, to) in observation_gaps(observed_spans) {
        let after = intervals.partition_point(|interval| interval.start <= from);
        if let Some(last) = intervals[..after].last_mut().filter(|interval| from < interval.end && interval.end <= to) {
            last.end = from;
        }
    }
    if let Some(last) = intervals.last_mut().filter(|interval| interval.end == UtcMicros::MAX) {
        last.end = last_observed.map_or(last.start, |observed| observed.max(last.start));
    }
    intervals.retain(|interval| interval.start < interval.end);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::agents::state::AgentState;

    fn at(minute: i64) -> UtcMicros {
        UtcMicros::from_micros(minute * 60_000_000)
    }

    /// The known parts of some state intervals; one that ends at minute 999 has not ended.
    fn trim(intervals: &[(i64, i64)], observed_spans: &[(i64, i64)]) -> Vec<(i64, i64)> {
        let end = |minute| if minute == 999 { UtcMicros::MAX } else { at(minute) };
        let mut intervals: Vec<StateInterval> = intervals
            .iter()
            .map(|(start, last)| StateInterval {
                state: AgentState::Ready,
                reason: None,
                start: at(*start),
                end: end(*last),
            })
            .collect();
        let observed_spans: Vec<Span> = observed_spans.iter().map(|(from, to)| (at(*from), at(*to))).collect();
        trim_unobserved(&mut intervals, &observed_spans, observed_spans.last().map(|(_, until)| *until));
        intervals
            .iter()
            .map(|interval| (interval.start.as_micros() / 60_000_000, interval.end.as_micros() / 60_000_000))
            .collect()
    }

    #[test]
    fn a_state_that_ended_unobserved_is_known_up_to_the_last_observation() {
        let observed_spans = [(0, 100), (200, 300)];
        for (intervals, known) in [
            // Ended in the gap: nobody knows when. What began in it is dated by the platform.
            (vec![(50, 150), (150, 250)], vec![(50, 100), (150, 250)]),
            // Goes on after it: in force all along.
            (vec![(50, 250)], vec![(50, 250)]),
            // Ended exactly at the observation that ends the gap.
            (vec![(50, 200), (200, 250)], vec![(50, 100), (200, 250)]),
            // Ended at the last look before it.
            (vec![(50, 100), (100, 250)], vec![(50, 100), (100, 250)]),
            // Began at that look and ended in the gap: nothing of it is known.
            (vec![(50, 100), (100, 150), (150, 250)], vec![(50, 100), (150, 250)]),
            // What the feed told of one agent in between stands.
            (vec![(50, 120), (120, 140), (140, 250)], vec![(50, 100), (120, 140), (140, 250)]),
            // The interval that has not ended is known up to the last observation.
            (vec![(250, 999)], vec![(250, 300)]),
            (vec![(250, 260), (310, 999)], vec![(250, 260)]),
            // What was followed by another state ended when that began.
            (vec![(250, 310), (310, 999)], vec![(250, 310)]),
        ] {
            assert_eq!(trim(&intervals, &observed_spans), known, "{intervals:?}");
        }
        assert_eq!(trim(&[(50, 150), (150, 999)], &[]), [(50, 150)], "without a look nothing is known to last");
    }

    #[test]
    fn a_second_without_observation_is_a_gap() {
        assert_eq!(
            observation_gaps(&[(at(0), at(1)), (at(1), at(2)), (at(3), at(4))]).collect::<Vec<_>>(),
            [(at(2), at(3))]
        );
    }
}
