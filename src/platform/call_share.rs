//! Shares of a tenant's calls: retries are limited to a share of all calls, and schedule and break reads to a share of
//! the budget.
//!
//! One log of times serves both. The module does no I/O; times are the clock's monotonic time. A share only grants
//! permission; the slot for the call itself comes from [`super::budget::Budget`].

use std::collections::VecDeque;
use std::time::Duration;

/// The maximum length of the log of all calls, more than any platform's budget for one window.
const MAX_CALLS: usize = 100_000;

/// A share of the calls in any window.
#[derive(Debug)]
pub struct CallShare {
    window: Duration,
    percent_of_calls: usize,
    minimum: usize,
    calls: VecDeque<Duration>,
    granted: VecDeque<Duration>,
}

impl CallShare {
    /// Creates a share of `percent` of the calls in the window, but at least `minimum` calls.
    pub fn of_calls(window: Duration, percent: usize, minimum: usize) -> Self {
        Self { window, percent_of_calls: percent, minimum, calls: VecDeque::new(), granted: VecDeque::new() }
    }

    /// Creates the share of a tenant's retries: 20 % of its calls in a minute, at least 10 (source: the design's part
    /// 6).
    pub fn for_retries() -> Self {
        Self::of_calls(Duration::from_secs(60), 20, 10)
    }

    /// Creates the share of schedule and break reads: 20 % of the budget's calls in its window, at least one (source:
    /// the design's part 2).
    pub fn for_reads(limit: usize, window: Duration) -> Self {
        Self::of_calls(window, 0, (limit / 5).max(1))
    }

    /// Records that a call was sent, whether of this share or not.
    pub fn record_call(&mut self, now: Duration) {
        self.prune(now);
        if self.percent_of_calls > 0 && self.calls.len() < MAX_CALLS {
            self.calls.push_back(now);
        }
    }

    /// Takes a place in the share and returns whether there was one.
    pub fn try_take(&mut self, now: Duration) -> bool {
        self.prune(now);
        let fits = self.granted.len() < self.allowed();
        if fits {
            self.granted.push_back(now);
        }
        fits
    }

    /// Takes a place only if `slot` succeeds too, so that a call that is not sent does not use up the share. Returns
    /// `None`, without calling `slot`, if the share is full.
    pub fn try_take_with<T, E>(&mut self, now: Duration, slot: impl FnOnce() -> Result<T, E>) -> Option<Result<T, E>> {
        if !self.try_take(now) {
            return None;
        }
        let taken = slot();
        if taken.is_err() {
            self.granted.pop_back();
        }
        Some(taken)
    }

    /// Returns the latest time at which a place becomes free, or `now` if one is free.
    pub fn next_free(&self, now: Duration) -> Duration {
        let live = self.granted.len() - self.granted.partition_point(|at| *at + self.window <= now);
        match live.checked_sub(self.allowed()) {
            // The share may shrink as calls leave the window, but never below its minimum.
            Some(_) => self.granted.iter().rev().nth(self.minimum.max(1) - 1).map_or(now, |at| *at + self.window),
            None => now,
        }
    }

    fn allowed(&self) -> usize {
        (self.calls.len() * self.percent_of_calls / 100).max(self.minimum)
    }

    fn prune(&mut self, now: Duration) {
        for log in [&mut self.calls, &mut self.granted] {
            while log.front().is_some_and(|at| *at + self.window <= now) {
                log.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn take_all(share: &mut CallShare, now: Duration) -> usize {
        (0..1000).take_while(|_| share.try_take(now)).count()
    }

    #[test]
    fn ten_retries_a_minute_are_always_allowed_and_a_fifth_of_the_calls_beyond() {
        let mut retries = CallShare::for_retries();
        assert_eq!(take_all(&mut retries, seconds(0)), 10);
        assert_eq!(retries.next_free(seconds(1)), seconds(60));
        for _ in 0..100 {
            retries.record_call(seconds(30));
        }
        assert_eq!(take_all(&mut retries, seconds(30)), 10, "a fifth of 100, ten of them taken before");
        assert_eq!(take_all(&mut retries, seconds(95)), 10, "the calls have left the window");
    }

    #[test]
    fn what_gets_no_slot_uses_no_place_of_the_share() {
        let mut retries = CallShare::for_retries();
        for second in 0..30 {
            assert_eq!(retries.try_take_with(seconds(second), || Err::<(), _>("no slot")), Some(Err("no slot")));
        }
        let sent = (0..20).filter_map(|_| retries.try_take_with(seconds(30), || Ok::<_, ()>(()))).count();
        assert_eq!(sent, 10);
        assert_eq!(retries.try_take_with(seconds(31), || Ok::<_, ()>(())), None, "the share is full");
    }

    #[test]
    fn reads_stay_within_a_fifth_of_the_budget() {
        let mut reads = CallShare::for_reads(100, seconds(60));
        assert_eq!(take_all(&mut reads, seconds(5)), 20);
        assert_eq!(reads.next_free(seconds(6)), seconds(65));
        let next = reads.next_free(seconds(6));
        assert_eq!(take_all(&mut reads, next), 20);
    }
}
