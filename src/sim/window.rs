//! The request budget of a tenant as an exact sliding window. A token bucket would let nearly twice the budget into
//! one minute.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::time::UtcMicros;

/// A window that admits at most `limit` requests in any `span`, by their arrival. Rejected requests do not count.
#[derive(Debug)]
pub(super) struct SlidingWindow {
    limit: usize,
    span: Duration,
    admitted: VecDeque<UtcMicros>,
}

impl SlidingWindow {
    /// Creates an empty window.
    pub(super) fn new(limit: u32, span: Duration) -> Self {
        Self { limit: usize::try_from(limit).unwrap_or(usize::MAX), span, admitted: VecDeque::new() }
    }

    /// Admits a request that arrives at `now`. The error is the time until there is room.
    pub(super) fn admit(&mut self, now: UtcMicros) -> Result<(), Duration> {
        while self.admitted.front().is_some_and(|at| now.since(*at) >= self.span) {
            self.admitted.pop_front();
        }
        if self.admitted.len() < self.limit {
            self.admitted.push_back(now);
            return Ok(());
        }
        Err(self.admitted.front().map_or(self.span, |at| (*at + self.span).since(now)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_window_of_a_minute_holds_more_than_the_budget_and_none_is_turned_away_needlessly(
            gaps in prop::collection::vec(0_u64..4_000, 1..400),
            limit in 1_u32..40,
        ) {
            let minute = Duration::from_secs(60);
            let mut window = SlidingWindow::new(limit, minute);
            let mut now = UtcMicros::from_micros(1_000_000_000);
            let mut admitted: Vec<UtcMicros> = Vec::new();
            for gap in gaps {
                now = now + Duration::from_millis(gap);
                let within = admitted.iter().filter(|at| **at + minute > now).count();
                match window.admit(now) {
                    Ok(()) => {
                        prop_assert!(within < limit as usize);
                        admitted.push(now);
                    }
                    Err(wait) => {
                        prop_assert_eq!(within, limit as usize);
                        let full = |at: UtcMicros| {
                            admitted.iter().filter(|admitted| **admitted + minute > at).count() == limit as usize
                        };
                        prop_assert!(full((now + wait).offset(-1)));
                        prop_assert!(!full(now + wait));
                    }
                }
            }
        }
    }
}
