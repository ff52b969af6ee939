//! The data of events about anomalies.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Details;
use super::data::EXAMPLE_AT;
use crate::domain::analytics::anomaly::AnomalyRecord;
use crate::domain::ids::{AnomalyId, SeriesId};
use crate::domain::time::UtcMicros;

/// A monitored series has an anomaly: a value outside its expected range. Sent once for each anomaly, however many values it lasts.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnomalyDetected {
    /// The anomaly.
    pub anomaly_id: AnomalyId,
    /// The id of the monitored series.
    pub series_id: SeriesId,
    /// The values of the series, such as `skill:1001:contacts_queued`.
    pub of: String,
    /// `SPIKE` or `DROP`.
    pub kind: String,
    /// What the value was compared with. `season`: the same quarter hour of earlier weeks; `window`: the values just before.
    pub baseline: String,
    /// The start of the value's interval.
    pub at: UtcMicros,
    /// The value. Shares are fractions from 0 to 1 (0.8 is 80 %).
    pub value: f64,
    /// The expected value.
    pub expected: f64,
    /// The distance from the expected value, in spreads of the season or standard deviations of the window; negative for a drop.
    pub score: f64,
}

/// An anomaly has ended: a later value is in its expected range or is an anomaly in the other direction, or no value has arrived
/// for long, or the series is no longer monitored. Sent once for each anomaly.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnomalyEnded {
    /// The anomaly.
    pub anomaly_id: AnomalyId,
    /// The id of the monitored series.
    pub series_id: SeriesId,
    /// The values of the series.
    pub of: String,
    /// `SPIKE` or `DROP`.
    pub kind: String,
    /// The start of its first value's interval.
    pub at: UtcMicros,
    /// The start of its last value's interval.
    pub last_at: UtcMicros,
}

impl AnomalyDetected {
    /// Creates the data from a stored anomaly.
    pub fn from_record(record: &AnomalyRecord) -> Self {
        Self {
            anomaly_id: record.id,
            series_id: record.series.clone(),
            of: record.source.to_string(),
            kind: record.kind.name().to_owned(),
            baseline: record.baseline.name().to_owned(),
            at: record.first_bucket_at,
            value: record.value,
            expected: record.expected,
            score: record.score,
        }
    }
}

impl AnomalyEnded {
    /// Creates the data from a stored anomaly.
    pub fn from_record(record: &AnomalyRecord) -> Self {
        Self {
            anomaly_id: record.id,
            series_id: record.series.clone(),
            of: record.source.to_string(),
            kind: record.kind.name().to_owned(),
            at: record.first_bucket_at,
            last_at: record.last_bucket_at,
        }
    }
}

const EXAMPLE_ID: AnomalyId = AnomalyId(Uuid::from_u128(0x019a_20b8_9d40_7000_8000_0000_0000_0003));
const QUARTER_US: i64 = 15 * 60_000_000;

impl Details for AnomalyDetected {
    fn example() -> Self {
        Self {
            anomaly_id: EXAMPLE_ID,
            series_id: "voice-queued".into(),
            of: "skill:1001:contacts_queued".to_owned(),
            kind: "SPIKE".to_owned(),
            baseline: "season".to_owned(),
            at: EXAMPLE_AT.offset(-QUARTER_US),
            value: 57.5,
            expected: 12.0,
            score: 9.25,
        }
    }
}

impl Details for AnomalyEnded {
    fn example() -> Self {
        Self {
            anomaly_id: EXAMPLE_ID,
            series_id: "voice-queued".into(),
            of: "skill:1001:contacts_queued".to_owned(),
            kind: "SPIKE".to_owned(),
            at: EXAMPLE_AT.offset(-QUARTER_US),
            last_at: EXAMPLE_AT,
        }
    }
}
