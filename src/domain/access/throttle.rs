//! How often something may be tried: so many times at once, then once in a while. A function of the instants that it is given.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// How often is not too often.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Allowance {
    /// So many tries at once.
    pub at_once: u32,
    /// And one more after each such span.
    pub then_every: Duration,
}

/// Tries by key. At most `most_keys` are remembered; the one with the least tries gives way to a new one.
#[derive(Debug)]
pub struct Throttle<K> {
    allowance: Allowance,
    most_keys: usize,
    /// For each key the instant at which all of its tries are forgotten.
    clean_at: HashMap<K, Duration>,
}

impl<K: Eq + Hash + Clone> Throttle<K> {
    /// Nothing was tried yet.
    pub fn new(allowance: Allowance, most_keys: usize) -> Self {
        Self { allowance, most_keys: most_keys.max(1), clean_at: HashMap::new() }
    }

    /// How long the key has to wait before the next try; zero when it may.
    pub fn wait(&self, key: &K, now: Duration) -> Duration {
        let Some(clean_at) = self.clean_at.get(key) else { return Duration::ZERO };
        let room = self.allowance.then_every * self.allowance.at_once.saturating_sub(1);
        clean_at.saturating_sub(now).saturating_sub(room)
    }

    /// Counts a try.
    pub fn note(&mut self, key: &K, now: Duration) {
        if !self.clean_at.contains_key(key) {
            self.make_room(now);
        }
        let clean_at = self.clean_at.entry(key.clone()).or_insert(now);
        *clean_at = (*clean_at).max(now) + self.allowance.then_every;
    }

    /// Takes a try back.
    pub fn forgive(&mut self, key: &K, now: Duration) {
        let Some(clean_at) = self.clean_at.get_mut(key) else { return };
        *clean_at = clean_at.saturating_sub(self.allowance.then_every);
        if *clean_at <= now {
            self.clean_at.remove(key);
        }
    }

    /// Forgets the key's tries.
    pub fn clear(&mut self, key: &K) {
        self.clean_at.remove(key);
    }

    fn make_room(&mut self, now: Duration) {
        if self.clean_at.len() < self.most_keys {
            return;
        }
        self.clean_at.retain(|_, clean_at| *clean_at > now);
        if self.clean_at.len() < self.most_keys {
            return;
        }
        let least = self.clean_at.iter().min_by_key(|(_, clean_at)| **clean_at).map(|(key, _)| key.clone());
        if let Some(least) = least {
            self.clean_at.remove(&least);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1000 + seconds)
    }

    fn throttle(most_keys: usize) -> Throttle<&'static str> {
        Throttle::new(Allowance { at_once: 3, then_every: EVERY }, most_keys)
    }

    #[test]
    fn some_tries_at_once_and_then_one_after_each_span() {
        let mut throttle = throttle(10);
        for _ in 0..3 {
            assert_eq!(throttle.wait(&"a", at(0)), Duration::ZERO);
            throttle.note(&"a", at(0));
        }
        assert_eq!(throttle.wait(&"a", at(0)), EVERY);
        assert_eq!(throttle.wait(&"a", at(59)), Duration::from_secs(1));
        assert_eq!(throttle.wait(&"a", at(60)), Duration::ZERO);
        throttle.note(&"a", at(60));
        assert_eq!(throttle.wait(&"a", at(60)), EVERY);
        assert_eq!(throttle.wait(&"b", at(0)), Duration::ZERO, "another key has tries of its own");
        assert_eq!(throttle.wait(&"a", at(1000)), Duration::ZERO);
    }

    #[test]
    fn a_try_that_is_taken_back_does_not_count() {
        let mut throttle = throttle(10);
        for second in 0..20 {
            assert_eq!(throttle.wait(&"a", at(second)), Duration::ZERO);
            throttle.note(&"a", at(second));
            throttle.forgive(&"a", at(second));
        }
        for _ in 0..5 {
            throttle.note(&"a", at(20));
        }
        assert_eq!(throttle.wait(&"a", at(20)), EVERY * 3);
        throttle.clear(&"a");
        assert_eq!(throttle.wait(&"a", at(20)), Duration::ZERO);
    }

    #[test]
    fn who_has_tried_least_gives_way_when_there_are_too_many() {
        let mut throttle = throttle(2);
        throttle.note(&"once", at(0));
        for _ in 0..3 {
            throttle.note(&"often", at(0));
        }
        throttle.note(&"new", at(1));
        assert_eq!(throttle.clean_at.len(), 2);
        assert_eq!(throttle.wait(&"often", at(1)), Duration::from_secs(59), "still known");
        throttle.note(&"later", at(10_000));
        assert_eq!(throttle.clean_at.len(), 1, "what is over makes room first");
    }
}
