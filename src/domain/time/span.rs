//! Durations as written in rules and in the configuration: `90s`, `2m`, `1h30m`.

use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Deserializer, Serializer};

use super::duration_text;

/// Parses a duration. The error shows how to write one; negative durations are refused.
pub fn parse(text: &str) -> Result<Duration, String> {
    let trimmed = text.trim();
    let signed: SignedDuration =
        trimmed.parse().map_err(|_| format!("`{text}` is not a span of time; write it as 90s, 2m or 1h30m"))?;
    Duration::try_from(signed).map_err(|_| format!("`{text}` is negative; a span of time cannot be"))
}

/// Serializes a `Duration`, for `#[serde(with = "…")]`.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&duration_text(*duration))
}

/// Deserializes a `Duration`, for `#[serde(with = "…")]`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_people_write_them() {
        for (text, seconds) in [("90s", 90), ("2m", 120), ("1h30m", 5400), (" 1h 30m ", 5400), ("0s", 0)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_span_is_refused_with_the_way_to_write_one() {
        for (text, why) in [("2", "90s, 2m or 1h30m"), ("", "90s, 2m"), ("soon", "90s, 2m"), ("-2m", "negative")] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
