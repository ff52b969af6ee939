//! The spans of time that an aggregation adds up over, by the calendar of a zone.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::time::UtcMicros;

const HOUR: Duration = Duration::from_secs(3600);

/// How long the buckets of a time series are. Guide 002 shows `DAY`; the others are named after the same pattern.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Bucket {
    /// An hour that passed since the local midnight; the last of a day is cut where a clock change moves by less than an hour.
    Hour,
    /// A local day, however long.
    Day,
    /// From a local Monday to the next.
    Week,
    /// A local month.
    Month,
}

impl Bucket {
    /// Every one, shortest first.
    pub const ALL: [Self; 4] = [Self::Hour, Self::Day, Self::Week, Self::Month];

    /// Its name on the wire and in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hour => "HOUR",
            Self::Day => "DAY",
            Self::Week => "WEEK",
            Self::Month => "MONTH",
        }
    }

    /// The start of the bucket that holds an instant. Buckets tile time: every instant is in one.
    pub fn floor(self, at: UtcMicros, zone: &TimeZone) -> UtcMicros {
        let date = at.timestamp().to_zoned(zone.clone()).date();
        let start = match self {
            Self::Hour => start_of(date, zone).map(|day| {
                let hours = at.since(day).as_secs() / HOUR.as_secs();
                day + Duration::from_secs(hours * HOUR.as_secs())
            }),
            Self::Day => start_of(date, zone),
            Self::Week => monday(date).and_then(|monday| start_of(monday, zone)),
            Self::Month => start_of(date.first_of_month(), zone),
        };
        // Where a zone skipped midnight itself, what is left of the day is its first bucket.
        start.unwrap_or(at).min(at)
    }

    /// The end of the bucket that begins at `start`, which is the start of the next.
    pub fn next(self, start: UtcMicros, zone: &TimeZone) -> UtcMicros {
        let date = start.timestamp().to_zoned(zone.clone()).date();
        let next = match self {
            Self::Hour => day_after(date, zone).map(|end| end.min(start + HOUR)),
            Self::Day => day_after(date, zone),
            Self::Week => {
                monday(date).and_then(|monday| monday.checked_add(7.days()).ok()).and_then(|date| start_of(date, zone))
            }
            Self::Month => date.first_of_month().checked_add(1.month()).ok().and_then(|date| start_of(date, zone)),
        };
        // Only beyond the years that the calendar knows; a query has none of them.
        next.filter(|next| *next > start).unwrap_or(start + HOUR)
    }

    /// Whether a bucket begins there.
    pub fn is_border(self, at: UtcMicros, zone: &TimeZone) -> bool {
        self.floor(at, zone) == at
    }
}

/// The first instant of a local day.
fn start_of(date: Date, zone: &TimeZone) -> Option<UtcMicros> {
    let start = date.to_zoned(zone.clone()).and_then(|day| day.start_of_day()).ok()?;
    Some(start.timestamp().into())
}

fn day_after(date: Date, zone: &TimeZone) -> Option<UtcMicros> {
    start_of(date.tomorrow().ok()?, zone)
}

fn monday(date: Date) -> Option<Date> {
    date.checked_sub(i64::from(date.weekday().to_monday_zero_offset()).days()).ok()
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Bucket {
    type Err = String;

    /// By its name, in any case of letters; the error says which there are.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|bucket| bucket.name().eq_ignore_ascii_case(text));
        known.ok_or_else(|| format!("no bucket is called `{text}`; write HOUR, DAY, WEEK or MONTH"))
    }
}
