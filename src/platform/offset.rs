//! The offset between the platform's clock and the daemon's, estimated from `Date` headers.
//!
//! A header in whole seconds says that the platform's clock was in `[date, date + 1 s)` at some instant between request
//! and answer. So the offset (platform − daemon) is in `(date − received, date + 1 s − sent)`. Every answer narrows
//! these bounds, age widens them, and an answer that contradicts them (a clock was set) replaces them.

use std::time::Duration;

use crate::domain::time::UtcMicros;

use super::Answer;

/// The maximum drift between two clocks, in parts per million. Undisciplined quartz stays below it.
const DRIFT_PPM: i64 = 200;

/// The resolution of the `Date` header, in microseconds.
const DATE_RESOLUTION_US: i64 = 1_000_000;

/// The estimated offset of one platform's clock. Zero until the first answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ClockOffset {
    bounds: Option<Bounds>,
}

/// The bounds of the offset (platform − daemon), in microseconds, as of `at` on the daemon's clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Bounds {
    low: i64,
    high: i64,
    at: UtcMicros,
}

impl ClockOffset {
    /// Updates the estimate from an answer. One without a `Date` changes nothing.
    pub fn observe<T>(&mut self, answer: &Answer<T>) {
        if let Some(date) = answer.platform_now {
            self.observe_date(date, answer.sent_at, answer.received_at);
        }
    }

    /// Updates the estimate from a `Date` and the daemon's clock before and after the call.
    pub fn observe_date(&mut self, date: UtcMicros, sent_at: UtcMicros, received_at: UtcMicros) {
        let date = date.as_micros();
        // The daemon's clock may have been set back during the call.
        let (first, last) = (sent_at.min(received_at).as_micros(), sent_at.max(received_at).as_micros());
        let observed = Bounds {
            low: date.saturating_sub(last),
            high: date.saturating_add(DATE_RESOLUTION_US).saturating_sub(first),
            at: received_at,
        };
        self.bounds = Some(match self.bounds {
            None => observed,
            Some(known) => {
                let known = known.widened(received_at);
                let (low, high) = (known.low.max(observed.low), known.high.min(observed.high));
                if low <= high { Bounds { low, high, at: received_at } } else { observed }
            }
        });
    }

    /// Returns platform − daemon in microseconds, as the middle of the bounds.
    pub fn offset_micros(&self) -> i64 {
        self.bounds.map_or(0, |bounds| bounds.low + (bounds.high - bounds.low) / 2)
    }

    /// Returns the maximum error of [`ClockOffset::offset_micros`], or `None` before the first answer.
    pub fn uncertainty(&self) -> Option<Duration> {
        self.bounds.map(|bounds| Duration::from_micros((bounds.high - bounds.low).unsigned_abs().div_ceil(2)))
    }

    /// Converts an instant of the platform's clock to the daemon's.
    pub fn to_local(&self, platform: UtcMicros) -> UtcMicros {
        platform.offset(self.offset_micros().saturating_neg())
    }

    /// Converts an instant of the daemon's clock to the platform's.
    pub fn to_platform(&self, ours: UtcMicros) -> UtcMicros {
        ours.offset(self.offset_micros())
    }
}

impl Bounds {
    /// Returns the bounds widened by the drift since they were taken.
    fn widened(self, now: UtcMicros) -> Self {
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
        assert_eq!(offset.to_local(UtcMicros::from_micros(7)), UtcMicros::from_micros(7));
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
        assert!((offset.offset_micros() + 300 * SECOND).abs() <= SECOND, "{offset:?}");
        let ours = offset.to_local(UtcMicros::from_micros(1_700 * SECOND));
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
                prop_assert!((offset.offset_micros() - skew).abs() <= uncertain + 1, "{offset:?}");
                prop_assert!(uncertain <= SECOND, "one answer alone is better than {uncertain} µs");
            }
        }
    }
}
