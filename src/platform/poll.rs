//! When the next poll is due, on a grid that does not drift and with no two polls closer than the platform allows.
//!
//! A sender is always a little late. On a grid of exactly the platform's interval, a late poll followed by a punctual
//! one would be too close, and keeping the distance would make the grid drift. So the grid's step is the interval plus
//! a fiftieth: the next step absorbs lateness up to that, polls stay on the grid, and the distance is kept. The module
//! does no I/O; times are the clock's monotonic time.

use std::time::Duration;

/// The fraction of the interval by which a poll may be late without moving the next one.
const SLACK_DIVISOR: u32 = 50;

/// The due times of one subscription's polls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PollGrid {
    start: Duration,
    interval: Duration,
    last_sent: Option<Duration>,
}

impl PollGrid {
    /// Creates a grid whose first poll is due at `start`, and the n-th `n` [`PollGrid::step`]s later. An interval of
    /// zero counts as a millisecond.
    pub fn new(start: Duration, interval: Duration) -> Self {
        Self { start, interval: interval.max(Duration::from_millis(1)), last_sent: None }
    }

    /// Continues the polls of another process, whose last one was sent `since_last` before `now`. The next poll is due
    /// when it would have been due there, or at once.
    pub fn resume(now: Duration, since_last: Duration, interval: Duration) -> Self {
        let grid = Self::new(now, interval);
        Self { start: now + grid.step().saturating_sub(since_last), ..grid }
    }

    /// Returns the distance between two due times: the interval plus the slack.
    pub fn step(&self) -> Duration {
        self.interval + self.slack()
    }

    /// Returns how late a poll may be without moving the next one.
    pub fn slack(&self) -> Duration {
        self.interval / SLACK_DIVISOR
    }

    /// Returns when the next poll may be sent. Due times that passed while the last poll was late are skipped.
    pub fn next_due(&self) -> Duration {
        let Some(last) = self.last_sent else { return self.start };
        let step = self.step().as_nanos();
        let passed = last.saturating_sub(self.start).as_nanos() / step;
        let next = u64::try_from((passed + 1) * step).map_or(Duration::MAX, Duration::from_nanos);
        self.start.saturating_add(next).max(last + self.interval)
    }

    /// Records that a poll is sent now.
    pub fn record_sent(&mut self, now: Duration) {
        self.last_sent = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    fn polls(lateness_ms: impl IntoIterator<Item = u64>) -> Vec<Duration> {
        let mut grid = PollGrid::new(Duration::from_secs(3), INTERVAL);
        let sent = lateness_ms.into_iter().map(|late| {
            let now = grid.next_due() + Duration::from_millis(late);
            grid.record_sent(now);
            now
        });
        sent.collect()
    }

    #[test]
    fn small_lateness_does_not_drift() {
        let sent = polls((0..1000).map(|n| n * 37 % 150));
        let last = sent.last().expect("polls");
        let on_grid = Duration::from_secs(3) + PollGrid::new(Duration::ZERO, INTERVAL).step() * 999;
        assert!(
            last.saturating_sub(on_grid) < Duration::from_millis(150),
            "after 1000 polls: {last:?}, the grid: {on_grid:?}"
        );
    }

    #[test]
    fn missed_polls_are_left_out_not_made_up_for() {
        let sent = polls([0, 35_000, 0, 0]);
        let seconds: Vec<f64> = sent.iter().map(Duration::as_secs_f64).collect();
        // Due at 3 + n × 10.2: the second at 13.2 went out at 48.2; 23.4, 33.6 and 43.8 are gone, 54 would be too close.
        assert_eq!(seconds, [3.0, 48.2, 58.2, 68.2]);
    }

    #[test]
    fn another_process_is_gone_on_from_where_it_was_or_at_once() {
        let now = Duration::from_secs(3);
        for (since_ms, wait_ms) in [(0, 10_200), (2_600, 7_600), (10_200, 0), (3_600_000, 0)] {
            let grid = PollGrid::resume(now, Duration::from_millis(since_ms), INTERVAL);
            assert_eq!(grid.next_due(), now + Duration::from_millis(wait_ms), "{since_ms} ms after its last poll");
        }
    }

    proptest! {
        #[test]
        fn two_polls_are_never_closer_than_the_interval(late in prop::collection::vec(0_u64..40_000, 2..100)) {
            for pair in polls(late).windows(2) {
                prop_assert!(pair[1] >= pair[0] + INTERVAL);
            }
        }

        #[test]
        fn a_late_poll_is_back_on_the_grid_before_long(late in 200_u64..40_000) {
            let sent = polls([0, late].into_iter().chain([0; 60]));
            let step = PollGrid::new(Duration::ZERO, INTERVAL).step();
            let off = sent[61].saturating_sub(Duration::from_secs(3)).as_nanos() % step.as_nanos();
            prop_assert_eq!(off, 0);
        }
    }
}
