//! [`UtcMicros`], the only type for instants: microseconds in UTC.
//!
//! Reading a clock is left to `crate::clock`; here, instants are only values.

pub mod span;

use std::fmt::{self, Write as _};
use std::ops::{Add, Sub};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

/// An instant with microsecond precision, written as RFC 3339 in UTC. Finer parts are cut off, so that an instant read
/// from the store equals the one that was written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, ToSchema)]
#[schema(value_type = String, format = DateTime)]
pub struct UtcMicros(i64);

impl UtcMicros {
    /// The start of the Unix epoch.
    pub const EPOCH: Self = Self(0);
    /// An instant later than any that occurs, used for "never".
    pub const MAX: Self = Self(i64::MAX);

    /// Creates an instant from microseconds since the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Returns the microseconds since the Unix epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Returns the time elapsed since `earlier`, or zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        let micros = self.0.saturating_sub(earlier.0);
        if micros > 0 { Duration::from_micros(micros.unsigned_abs()) } else { Duration::ZERO }
    }

    /// Returns the instant moved by a signed number of microseconds.
    #[must_use]
    pub const fn offset(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// Returns the instant for calendar arithmetic, clamped to the years that jiff supports.
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_microsecond(self.0).unwrap_or(if self.0 < 0 { Timestamp::MIN } else { Timestamp::MAX })
    }
}

impl From<Timestamp> for UtcMicros {
    fn from(timestamp: Timestamp) -> Self {
        Self(timestamp.as_microsecond())
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl Add<Duration> for UtcMicros {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }
}

impl Sub<Duration> for UtcMicros {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(micros(duration)))
    }
}

impl fmt::Display for UtcMicros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.timestamp().fmt(f)
    }
}

impl fmt::Debug for UtcMicros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.timestamp().fmt(f)
    }
}

impl std::str::FromStr for UtcMicros {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<Timestamp>().map(Self::from)
    }
}

impl Serialize for UtcMicros {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UtcMicros {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Formats a duration as in the configuration: `90s`, `5m`, `1h30m`.
pub fn duration_text(duration: Duration) -> String {
    let total = duration.as_secs();
    let (hours, minutes, seconds) = (total / 3600, total / 60 % 60, total % 60);
    let mut text = String::new();
    for (amount, unit) in [(hours, "h"), (minutes, "m"), (seconds, "s")] {
        if amount > 0 {
            // Writing to a String cannot fail.
            let _ = write!(text, "{amount}{unit}");
        }
    }
    if duration.subsec_millis() > 0 && total < 60 {
        return format!("{}ms", duration.as_millis());
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Formats a duration for a sentence: in whole seconds from one second on.
pub fn rough_duration_text(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        duration_text(duration)
    } else {
        duration_text(Duration::from_secs(duration.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_survives_text_and_cuts_nanoseconds() {
        let instant: UtcMicros = "2026-10-26T13:30:00.123456789Z".parse().expect("valid");
        assert_eq!(instant.to_string(), "2026-10-26T13:30:00.123456Z");
        assert_eq!(instant.to_string().parse::<UtcMicros>().expect("valid"), instant);
    }

    #[test]
    fn time_since_a_later_instant_is_zero() {
        let early = UtcMicros::from_micros(5);
        assert_eq!(early.since(early + Duration::from_secs(1)), Duration::ZERO);
    }

    #[test]
    fn spans_are_written_as_people_read_them() {
        for (span, text) in [(0, "0s"), (45, "45s"), (90, "1m30s"), (300, "5m"), (5400, "1h30m")] {
            assert_eq!(duration_text(Duration::from_secs(span)), text);
        }
        assert_eq!(duration_text(Duration::from_millis(250)), "250ms");
        assert_eq!(rough_duration_text(Duration::from_millis(15_157)), "15s");
        assert_eq!(rough_duration_text(Duration::from_millis(157)), "157ms");
    }
}
