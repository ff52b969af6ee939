//! How far the platform's clock is from ours, learnt from `Date` headers.
//!
//! A header of whole seconds says that the platform's clock stood in `[date, date + 1 s)` at some instant between our asking
//! and the answer, so the offset (platform − ours) lies in `(date − answered, date + 1 s − asked)`. Every answer narrows the
//! bounds; age widens them again, and an answer that contradicts them (a clock was set) replaces them.

use std::time::Duration;

use crate::domain::time::UtcMicros;

use super::Answer;

/// How fast two clocks may drift apart, in parts per million; quartz without discipline stays under it.
const DRIFT_PPM: i64 = 200;

/// The `Date` header's resolution, in microseconds.
const DATE_RESOLUTION_US: i64 = 1_000_000;

/// The best knowledge of one platform's clock. Without any answer it takes both clocks as one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ClockOffset {
    bounds: Option<Bounds>,
}

/// Where the offset lies, in microseconds of platform − ours, as of `at` on our clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Bounds {
    low: i64,
    high: i64,
    at: UtcMicros,
}

impl ClockOffset {
    /// Takes in an answer; one without a `Date` changes nothing.
    pub fn observe<T>(&mut self, answer: &Answer<T>) {
        if let Some(date) = answer.platform_now {
            self.observe_date(date, answer.asked_at, answer.answered_at);
        }
    }

    /// Takes in a `Date` and our clock before and after the call.
    pub fn observe_date(&mut self, date: UtcMicros, asked_at: UtcMicros, answered_at: UtcMicros) {
        let date = date.as_micros();
        // Our own clock may have been set back during the call.
        let (first, last) = (asked_at.min(answered_at).as_micros(), asked_at.max(answered_at).as_micros());
        let seen = Bounds {
            low: date.saturating_sub(last),
            high: date.saturating_add(DATE_RESOLUTION_US).saturating_sub(first),
            at: answered_at,
        };
        self.bounds = Some(match self.bounds {
            None => seen,
            Some(known) => {
                let known = known.aged(answered_at);
                let (low, high) = (known.low.max(seen.low), known.high.min(seen.high));
                if low <= high { Bounds { low, high, at: answered_at } } else { seen }
            }
        });
    }

    /// Platform − ours in microseconds, by the middle of what is possible.
    pub fn micros(&self) -> i64 {
        self.bounds.map_or(0, |bounds| bounds.low + (bounds.high - bounds.low) / 2)
    }

    /// How far [`ClockOffset::micros`] can be off; none when nothing is known.
    pub fn uncertainty(&self) -> Option<Duration> {
        self.bounds.map(|bounds| Duration::from_micros((bounds.high - bounds.low).unsigned_abs().div_ceil(2)))
    }

    /// An instant of the platform's clock on ours.
    pub fn to_ours(&self, platform: UtcMicros) -> UtcMicros {
        platform.offset(self.micros().saturating_neg())
    }

    /// An instant of our clock on the platform's.
    pub fn to_platform(&self, ours: UtcMicros) -> UtcMicros {
        ours.offset(self.micros())
    }
}

impl Bounds {
    /// The same bounds, widened by the drift since they were taken.
    fn aged(self, now: UtcMicros) -> Self {
        let age = now.as_micros().saturating_sub(self.at.as_micros()).saturating_abs();
        let drift = age.saturating_mul(DRIFT_PPM) / 1_000_000;
        Self { low: self.low.saturating_sub(drift), high: self.high.saturating_add(drift), at: now }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: i64 = 1_000_000;

    /// A platform whose clock is `skew` ahead stamps an answer `there` after it was asked; the answer takes `round` in all.
    fn observe(offset: &mut ClockOffset, asked: i64, there: i64, round: i64, skew: i64) {
        let stamped = (asked + there + skew).div_euclid(SECOND) * SECOND;
        let at = UtcMicros::from_micros;
        offset.observe_date(at(stamped), at(asked), at(asked + round));
    }

    #[test]
    fn nothing_known_means_one_clock() {
        let offset = ClockOffset::default();
        assert_eq!(offset.to_ours(UtcMicros::from_micros(7)), UtcMicros::from_micros(7));
        assert_eq!(offset.uncertainty(), None);
    }

    #[test]
    fn a_clock_that_was_set_is_followed_at_once() {
        let mut offset = ClockOffset::default();
        for n in 0..20 {
            observe(&mut offset, 1_000 * SECOND + n * 10_070_000, 20_000, 40_000, 0);
        }
        assert!(offset.uncertainty().expect("known") < Duration::from_millis(200));
        observe(&mut offset, 2_000 * SECOND, 20_000, 40_000, -300 * SECOND);
        assert!((offset.micros() + 300 * SECOND).abs() <= SECOND, "{offset:?}");
        let ours = offset.to_ours(UtcMicros::from_micros(1_700 * SECOND));
        assert!((ours.as_micros() - 2_000 * SECOND).abs() <= SECOND);
    }

    proptest! {
        #[test]
        fn the_true_skew_always_lies_within_the_uncertainty(
            skew in -5_000 * SECOND..5_000 * SECOND,
            calls in prop::collection::vec((1_i64..30 * SECOND, 0_i64..400_000, 0_i64..400_000), 1..60),
        ) {
            let mut offset = ClockOffset::default();
            let mut now = 1_700_000_000 * SECOND;
            for (gap, there, back) in calls {
                now += gap;
                observe(&mut offset, now, there, there + back, skew);
                let uncertain = i64::try_from(offset.uncertainty().expect("known").as_micros()).expect("small");
                prop_assert!((offset.micros() - skew).abs() <= uncertain + 1, "{offset:?}");
                prop_assert!(uncertain <= SECOND, "one answer alone is better than {uncertain} µs");
            }
        }
    }
}
