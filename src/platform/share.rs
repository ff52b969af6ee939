//! Shares of a tenant's calls: retries under a part of all calls, schedule and break reads under a part of the budget.
//!
//! One log of times serves both. Pure; time is the clock's monotonic time. A share only says *may*; the slot for the call
//! itself still comes from [`super::budget::Budget`].

use std::collections::VecDeque;
use std::time::Duration;

/// Bounds the log of all calls, beyond any budget that the platform grants in one window.
const MOST_CALLS: usize = 100_000;

/// A part of the calls in any window.
#[derive(Debug)]
pub struct Share {
    window: Duration,
    percent_of_calls: usize,
    at_least: usize,
    calls: VecDeque<Duration>,
    members: VecDeque<Duration>,
}

impl Share {
    /// Up to `percent` of the calls in the window, but always `at_least` so many.
    pub fn of_calls(window: Duration, percent: usize, at_least: usize) -> Self {
        Self { window, percent_of_calls: percent, at_least, calls: VecDeque::new(), members: VecDeque::new() }
    }

    /// A tenant's retries: 20 % of its calls, at least 10, in a minute (source: the design's part 6).
    pub fn retries() -> Self {
        Self::of_calls(Duration::from_secs(60), 20, 10)
    }

    /// Schedule and break reads: 20 % of the budget's calls in its window, at least one (source: the design's part 2).
    pub fn reads(limit: usize, window: Duration) -> Self {
        Self::of_calls(window, 0, (limit / 5).max(1))
    }

    /// A call was sent, whether of this share or not.
    pub fn note_call(&mut self, now: Duration) {
        self.prune(now);
        if self.percent_of_calls > 0 && self.calls.len() < MOST_CALLS {
            self.calls.push_back(now);
        }
    }

    /// Takes a place in the share, if there is one.
    pub fn try_take(&mut self, now: Duration) -> bool {
        self.prune(now);
        let fits = self.members.len() < self.most();
        if fits {
            self.members.push_back(now);
        }
        fits
    }

    /// Takes a place only where `slot` gives one too: what is not sent does not use the share up. `None` when the share is full;
    /// `slot` is then not asked.
    pub fn take_with<T, E>(&mut self, now: Duration, slot: impl FnOnce() -> Result<T, E>) -> Option<Result<T, E>> {
        if !self.try_take(now) {
            return None;
        }
        let taken = slot();
        if taken.is_err() {
            self.members.pop_back();
        }
        Some(taken)
    }

    /// When a place comes free at the latest: `now` when there is one.
    pub fn next_free(&self, now: Duration) -> Duration {
        let live = self.members.len() - self.members.partition_point(|at| *at + self.window <= now);
        match live.checked_sub(self.most()) {
            // The share may shrink as calls leave the window, but never below what it has at least.
            Some(_) => self.members.iter().rev().nth(self.at_least.max(1) - 1).map_or(now, |at| *at + self.window),
            None => now,
        }
    }

    fn most(&self) -> usize {
        (self.calls.len() * self.percent_of_calls / 100).max(self.at_least)
    }

    fn prune(&mut self, now: Duration) {
        for log in [&mut self.calls, &mut self.members] {
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

    fn take_all(share: &mut Share, now: Duration) -> usize {
        (0..1000).take_while(|_| share.try_take(now)).count()
    }

    #[test]
    fn ten_retries_a_minute_are_always_allowed_and_a_fifth_of_the_calls_beyond() {
        let mut retries = Share::retries();
        assert_eq!(take_all(&mut retries, seconds(0)), 10);
        assert_eq!(retries.next_free(seconds(1)), seconds(60));
        for _ in 0..100 {
            retries.note_call(seconds(30));
        }
        assert_eq!(take_all(&mut retries, seconds(30)), 10, "a fifth of 100, ten of them taken before");
        assert_eq!(take_all(&mut retries, seconds(95)), 10, "the calls have left the window");
    }

    #[test]
    fn what_gets_no_slot_uses_no_place_of_the_share() {
        let mut retries = Share::retries();
        for second in 0..30 {
            assert_eq!(retries.take_with(seconds(second), || Err::<(), _>("no slot")), Some(Err("no slot")));
        }
        let sent = (0..20).filter_map(|_| retries.take_with(seconds(30), || Ok::<_, ()>(()))).count();
        assert_eq!(sent, 10);
        assert_eq!(retries.take_with(seconds(31), || Ok::<_, ()>(())), None, "the share is full");
    }

    #[test]
    fn reads_stay_within_a_fifth_of_the_budget() {
        let mut reads = Share::reads(100, seconds(60));
        assert_eq!(take_all(&mut reads, seconds(5)), 20);
        assert_eq!(reads.next_free(seconds(6)), seconds(65));
        let next = reads.next_free(seconds(6));
        assert_eq!(take_all(&mut reads, next), 20);
    }
}
