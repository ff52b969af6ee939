//! How long to wait before a call is retried: exponential with full jitter, and at least what the platform asked for.
//!
//! This is the only module that uses the `backoff` crate, and only for its curve: the crate is unmaintained and
//! supports neither restarts nor `Retry-After`. Attempts, deadlines and limits are kept by the engine and are durable.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;

use crate::clock::Random;

/// The curve is flat long before this attempt, which bounds the loop that computes it.
const MAX_STEPS: u32 = 64;

/// The parameters of the delays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetryBackoff {
    /// The longest wait before the first retry.
    pub first: Duration,
    /// The longest wait before any retry, beyond what the platform asked for.
    pub cap: Duration,
}

impl Default for RetryBackoff {
    /// Starts at 2 s and doubles up to a minute (source: guide 003's delays, capped).
    fn default() -> Self {
        Self { first: Duration::from_secs(2), cap: Duration::from_secs(60) }
    }
}

impl RetryBackoff {
    /// Returns the wait before the retry that follows failed attempt number `attempt`, counted from 1.
    ///
    /// The wait is uniform between zero and the curve's value (full jitter), added to `floor`, the platform's
    /// `Retry-After`. So agents that were given the same wait do not retry at the same instant.
    pub fn delay(&self, attempt: u32, floor: Option<Duration>, random: &dyn Random) -> Duration {
        self.max_delay(attempt).mul_f64(random.unit()).saturating_add(floor.unwrap_or_default())
    }

    /// Returns the curve's value: the most that [`RetryBackoff::delay`] adds to its floor.
    pub fn max_delay(&self, attempt: u32) -> Duration {
        let mut curve = ExponentialBackoff {
            current_interval: self.first,
            initial_interval: self.first,
            max_interval: self.cap,
            multiplier: 2.0,
            randomization_factor: 0.0,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        let steps = attempt.clamp(1, MAX_STEPS);
        let value = (0..steps).filter_map(|_| curve.next_backoff()).last().unwrap_or(self.cap);
        // The crate adds up to a nanosecond of randomness even at factor 0; whole microseconds are free of it.
        Duration::from_micros(u64::try_from(value.as_micros()).unwrap_or(u64::MAX)).min(self.cap)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::SeededRandom;

    #[test]
    fn the_curve_doubles_up_to_its_cap() {
        let seconds: Vec<u64> = (1..=8).map(|attempt| RetryBackoff::default().max_delay(attempt).as_secs()).collect();
        assert_eq!(seconds, [2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(RetryBackoff::default().max_delay(u32::MAX), Duration::from_secs(60));
    }

    #[test]
    fn the_same_seed_gives_the_same_delays() {
        let delays = |seed| {
            let random = SeededRandom::new(seed);
            (1..6).map(|attempt| RetryBackoff::default().delay(attempt, None, &random)).collect::<Vec<_>>()
        };
        assert_eq!(delays(3), delays(3));
        assert_ne!(delays(3), delays(4));
    }

    #[test]
    fn jitter_is_full() {
        let random = SeededRandom::new(1);
        let draws: Vec<f64> =
            (0..1000).map(|_| RetryBackoff::default().delay(1, None, &random).as_secs_f64() / 2.0).collect();
        let (low, high) = draws.iter().fold((1.0_f64, 0.0_f64), |(low, high), x| (low.min(*x), high.max(*x)));
        let mean = draws.iter().sum::<f64>() / 1000.0;
        assert!(low < 0.05 && high > 0.95 && (mean - 0.5).abs() < 0.05, "{low} {mean} {high}");
    }

    proptest! {
        #[test]
        fn a_delay_lies_between_the_floor_and_the_curve_above_it(
            attempt in 1_u32..100, floor in prop::option::of(0_u64..4_000), seed in any::<u64>(),
        ) {
            let floor = floor.map(Duration::from_secs);
            let delay = RetryBackoff::default().delay(attempt, floor, &SeededRandom::new(seed));
            let floor = floor.unwrap_or_default();
            prop_assert!(delay >= floor && delay <= floor + RetryBackoff::default().max_delay(attempt));
        }
    }
}
