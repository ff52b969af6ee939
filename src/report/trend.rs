//! Trends and anomalies of a series: a figure of a skill or queue by the quarter of an hour, agents' time by the day or quarter, or a metric of
//! analytics by the buckets of its query.
//!
//! The store reads the values, whatever the series is of; here they are judged.

mod sections;

use jiff::tz::TimeZone;

use crate::domain::analytics::series::{Bucket, Source};
use crate::domain::analytics::trend::{TrendPoint, TrendSettings, trend};
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::store::{Reader, SeriesError, SeriesValues};

pub use sections::{SECTIONS, definitions, notes, source, write};

/// One series' trend.
#[derive(Clone, PartialEq, Debug)]
pub struct SeriesTrend {
    /// What it is of.
    pub source: Source,
    /// What a value is of.
    pub bucket: Bucket,
    /// By whose days and hours: the zone that was asked for, or that of the analytics query.
    pub zone: TimeZone,
    /// Buckets that have a value; a share is one of 1.
    pub points: Vec<TrendPoint>,
    /// Buckets from the first value to the last that have none.
    pub gaps: u64,
}

impl SeriesTrend {
    /// Reads the series from one instant up to another, by the days of a zone, and judges it. Values from before are not looked at.
    ///
    /// # Errors
    /// The store could not be read, or the span is too long for what is asked.
    pub async fn read(
        reader: &Reader,
        tenant: &TenantId,
        source: &Source,
        (span, zone): ((UtcMicros, UtcMicros), &TimeZone),
        settings: &TrendSettings,
    ) -> Result<Self, SeriesError> {
        let SeriesValues { bucket, zone, samples } = reader.samples(tenant, source, span, zone).await?;
        let points = trend(&samples, &settings.clone().in_zone(&zone));
        let gaps = u64::try_from(samples.len() - points.len()).unwrap_or(u64::MAX);
        Ok(Self { source: source.clone(), bucket, zone, points, gaps })
    }

    /// Those in which something is odd.
    pub fn anomalies(&self) -> impl Iterator<Item = &TrendPoint> {
        self.points.iter().filter(|point| point.anomaly.is_some())
    }
}
