//! The time buckets of values: those that an aggregation sums over, in the calendar of a time zone, and those of a series.

use std::str::FromStr;
use std::time::Duration;

use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::time::UtcMicros;
use crate::domain::wording::named_enum;

const HOUR: Duration = Duration::from_secs(3600);

/// A quarter of an hour.
pub const QUARTER: Duration = Duration::from_mins(15);

/// A quarter of an hour, in microseconds.
pub const QUARTER_US: i64 = 900_000_000;

named_enum! {
    /// The bucket size of a time series. The vendor's guide shows `DAY`; the others are named by the same pattern.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
    pub enum QueryBucket {
        /// An hour, counted from local midnight. The last hour of a day is shorter if the clocks change by less than an
        /// hour.
        Hour = "HOUR",
        /// A local day, whatever its length.
        Day = "DAY",
        /// A week that begins on Monday, in local time.
        Week = "WEEK",
        /// A local calendar month.
        Month = "MONTH",
    }
}

impl QueryBucket {
    /// Returns the start of the bucket that contains an instant. Every instant is in exactly one bucket.
    pub fn floor(self, at: UtcMicros, zone: &TimeZone) -> UtcMicros {
        let date = at.timestamp().to_zoned(zone.clone()).date();
        let start = match self {
            Self::Hour => day_start(date, zone).map(|day| {
                let hours = at.since(day).as_secs() / HOUR.as_secs();
                day + Duration::from_secs(hours * HOUR.as_secs())
            }),
            Self::Day => day_start(date, zone),
            Self::Week => monday_of(date).and_then(|monday| day_start(monday, zone)),
            Self::Month => day_start(date.first_of_month(), zone),
        };
        // If a zone skipped midnight, the rest of the day is its first bucket.
        start.unwrap_or(at).min(at)
    }

    /// Returns the end of the bucket that begins at `start`, which is the start of the next.
    pub fn next_start(self, start: UtcMicros, zone: &TimeZone) -> UtcMicros {
        let date = start.timestamp().to_zoned(zone.clone()).date();
        let next = match self {
            Self::Hour => next_day_start(date, zone).map(|end| end.min(start + HOUR)),
            Self::Day => next_day_start(date, zone),
            Self::Week => monday_of(date)
                .and_then(|monday| monday.checked_add(7.days()).ok())
                .and_then(|date| day_start(date, zone)),
            Self::Month => date.first_of_month().checked_add(1.month()).ok().and_then(|date| day_start(date, zone)),
        };
        // Only beyond the years of the calendar, which no query reaches.
        next.filter(|next| *next > start).unwrap_or(start + HOUR)
    }
}

/// Returns the first instant of a local day.
fn day_start(date: Date, zone: &TimeZone) -> Option<UtcMicros> {
    let start = date.to_zoned(zone.clone()).and_then(|day| day.start_of_day()).ok()?;
    Some(start.timestamp().into())
}

fn next_day_start(date: Date, zone: &TimeZone) -> Option<UtcMicros> {
    day_start(date.tomorrow().ok()?, zone)
}

fn monday_of(date: Date) -> Option<Date> {
    date.checked_sub(i64::from(date.weekday().to_monday_zero_offset()).days()).ok()
}

impl FromStr for QueryBucket {
    type Err = String;

    /// Parses a name in any case; the error lists the valid names.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|bucket| bucket.name().eq_ignore_ascii_case(text));
        known.ok_or_else(|| format!("no bucket is called `{text}`; write HOUR, DAY, WEEK or MONTH"))
    }
}

named_enum! {
    /// The length of time of one value of a series.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum SeriesBucket {
        /// A quarter of an hour.
        Quarter = "quarter",
        /// An hour.
        Hour = "hour",
        /// A calendar day.
        Day = "day",
        /// A week starting on Monday.
        Week = "week",
        /// A calendar month.
        Month = "month",
    }
}

impl SeriesBucket {
    /// Returns the usual duration; for a month, the longest.
    pub const fn typical_duration(self) -> Duration {
        match self {
            Self::Quarter => QUARTER,
            Self::Hour => Duration::from_hours(1),
            Self::Day => Duration::from_hours(24),
            Self::Week => Duration::from_hours(7 * 24),
            Self::Month => Duration::from_hours(31 * 24),
        }
    }

    /// Returns the words for several buckets.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Quarter => "quarter of an hour",
            Self::Hour | Self::Day | Self::Week | Self::Month => self.name(),
        }
    }
}
