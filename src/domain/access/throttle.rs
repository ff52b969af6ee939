//! Rate limiting of attempts: a burst, then one more per interval. Time is passed in.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// A limit on how often something may be attempted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RateLimit {
    /// How many attempts may be made at once.
    pub burst: u32,
    /// The interval after which another attempt is allowed.
    pub refill_interval: Duration,
}

/// Attempts by key. At most `max_keys` are tracked; the key with the fewest attempts is dropped to make room.
#[derive(Debug)]
pub struct Throttle<K> {
    limit: RateLimit,
    max_keys: usize,
    /// For each key, when all of its attempts are forgotten.
    expires_at: HashMap<K, Duration>,
}

impl<K: Eq + Hash + Clone> Throttle<K> {
    /// Creates a throttle without attempts.
    pub fn new(limit: RateLimit, max_keys: usize) -> Self {
        Self { limit, max_keys: max_keys.max(1), expires_at: HashMap::new() }
    }

    /// Returns how long the key must wait before the next attempt; zero if it may try now.
    pub fn wait_time(&self, key: &K, now: Duration) -> Duration {
        let Some(expires_at) = self.expires_at.get(key) else { return Duration::ZERO };
        let burst_span = self.limit.refill_interval * self.limit.burst.saturating_sub(1);
        expires_at.saturating_sub(now).saturating_sub(burst_span)
    }

    /// Records an attempt.
    pub fn record(&mut self, key: &K, now: Duration) {
        if !self.expires_at.contains_key(key) {
            self.evict(now);
        }
        let expires_at = self.expires_at.entry(key.clone()).or_insert(now);
        *expires_at = (*expires_at).max(now) + self.limit.refill_interval;
    }

    /// Takes back an attempt.
    pub fn refund(&mut self, key: &K, now: Duration) {
        let Some(expires_at) = self.expires_at.get_mut(key) else { return };
        *expires_at = expires_at.saturating_sub(self.limit.refill_interval);
        if *expires_at <= now {
            self.expires_at.remove(key);
        }
    }

    /// Forgets all attempts of the key.
    pub fn clear(&mut self, key: &K) {
        self.expires_at.remove(key);
    }

    fn evict(&mut self, now: Duration) {
        if self.expires_at.len() < self.max_keys {
            return;
        }
        self.expires_at.retain(|_, expiry| *expiry > now);
        if self.expires_at.len() < self.max_keys {
            return;
        }
        let earliest = self.expires_at.iter().min_by_key(|(_, expiry)| **expiry).map(|(key, _)| key.clone());
        if let Some(key) = earliest {
            self.expires_at.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFILL_INTERVAL: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1000 + seconds)
    }

    fn throttle(max_keys: usize) -> Throttle<&'static str> {
        Throttle::new(RateLimit { burst: 3, refill_interval: REFILL_INTERVAL }, max_keys)
    }

    #[test]
    fn some_tries_at_once_and_then_one_after_each_span() {
        let mut throttle = throttle(10);
        for _ in 0..3 {
            assert_eq!(throttle.wait_time(&"a", at(0)), Duration::ZERO);
            throttle.record(&"a", at(0));
        }
        assert_eq!(throttle.wait_time(&"a", at(0)), REFILL_INTERVAL);
        assert_eq!(throttle.wait_time(&"a", at(59)), Duration::from_secs(1));
        assert_eq!(throttle.wait_time(&"a", at(60)), Duration::ZERO);
        throttle.record(&"a", at(60));
        assert_eq!(throttle.wait_time(&"a", at(60)), REFILL_INTERVAL);
        assert_eq!(throttle.wait_time(&"b", at(0)), Duration::ZERO, "another key has tries of its own");
        assert_eq!(throttle.wait_time(&"a", at(1000)), Duration::ZERO);
    }

    #[test]
    fn a_cancelled_attempt_does_not_count() {
        let mut throttle = throttle(10);
        for second in 0..20 {
            assert_eq!(throttle.wait_time(&"a", at(second)), Duration::ZERO);
            throttle.record(&"a", at(second));
            throttle.refund(&"a", at(second));
        }
        for _ in 0..5 {
            throttle.record(&"a", at(20));
        }
        assert_eq!(throttle.wait_time(&"a", at(20)), REFILL_INTERVAL * 3);
        throttle.clear(&"a");
        assert_eq!(throttle.wait_time(&"a", at(20)), Duration::ZERO);
    }

    #[test]
    fn the_entry_with_the_fewest_attempts_is_dropped_when_there_are_too_many() {
        let mut throttle = throttle(2);
        throttle.record(&"once", at(0));
        for _ in 0..3 {
            throttle.record(&"often", at(0));
        }
        throttle.record(&"new", at(1));
        assert_eq!(throttle.expires_at.len(), 2);
        assert_eq!(throttle.wait_time(&"often", at(1)), Duration::from_secs(59), "still known");
        throttle.record(&"later", at(10_000));
        assert_eq!(throttle.expires_at.len(), 1, "what is over makes room first");
    }
}
