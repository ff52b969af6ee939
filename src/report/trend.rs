//! Trends and anomalies of a series: a figure of a skill or queue by quarter of an hour, agents' time by day or
//! quarter of an hour, or a metric of analytics by the buckets of its query.
//!
//! The store reads the values, and this module judges them.

mod sections;

use jiff::tz::TimeZone;

use crate::domain::analytics::series::{SeriesBucket, SeriesSource};
use crate::domain::analytics::trend::{TrendPoint, TrendSettings, trend};
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::store::{Reader, SeriesError, SeriesValues};

pub use sections::{SECTIONS, definitions, notes, write};

/// The trend of one series.
#[derive(Clone, PartialEq, Debug)]
pub struct SeriesTrend {
    /// The series.
    pub source: SeriesSource,
    /// The kind of bucket that each value covers.
    pub bucket: SeriesBucket,
    /// The zone of the days and hours: the requested one, or that of the analytics query.
    pub zone: TimeZone,
    /// The buckets that have a value; a share lies between 0 and 1.
    pub points: Vec<TrendPoint>,
    /// The number of buckets without a value between the first and the last value.
    pub gaps: u64,
}

impl SeriesTrend {
    /// Reads a series over a span by the days of a zone and judges it. Earlier values are not considered.
    ///
    /// # Errors
    /// Returns an error if the store cannot be read or the span is too long for the series.
    pub async fn read(
        reader: &Reader,
        tenant: &TenantId,
        source: &SeriesSource,
        (span, zone): ((UtcMicros, UtcMicros), &TimeZone),
        settings: &TrendSettings,
    ) -> Result<Self, SeriesError> {
        let SeriesValues { bucket, zone, samples } = reader.series_values(tenant, source, span, zone).await?;
        let points = trend(&samples, &settings.clone().in_zone(&zone));
        let gaps = u64::try_from(samples.len() - points.len()).unwrap_or(u64::MAX);
        Ok(Self { source: source.clone(), bucket, zone, points, gaps })
    }

    /// Returns the points that are anomalies.
    pub fn anomalies(&self) -> impl Iterator<Item = &TrendPoint> {
        self.points.iter().filter(|point| point.anomaly.is_some())
    }
}
