//! The data of events about anomalies.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Details;
use super::data::{EXAMPLE_AT, event_data};
use crate::domain::analytics::anomaly::AnomalyRecord;
use crate::domain::analytics::series::QUARTER;
use crate::domain::ids::{AnomalyId, SeriesId};
use crate::domain::time::UtcMicros;

const EXAMPLE_ID: AnomalyId = AnomalyId(Uuid::from_u128(0x019a_20b8_9d40_7000_8000_0000_0000_0003));

event_data! {
    /// A monitored series has an anomaly: a value outside its expected range. Sent once for each anomaly, however many values it
    /// lasts.
    struct AnomalyDetected {
        /// The anomaly.
        anomaly_id: AnomalyId = EXAMPLE_ID,
        /// The id of the monitored series.
        series_id: SeriesId = "voice-queued".into(),
        /// The values of the series, such as `skill:1001:contacts_queued`.
        of: String = "skill:1001:contacts_queued".to_owned(),
        /// `SPIKE` or `DROP`.
        kind: String = "SPIKE".to_owned(),
        /// What the value was compared with. `season`: the same quarter hour of earlier weeks; `window`: the values just before.
        baseline: String = "season".to_owned(),
        /// The start of the value's interval.
        at: UtcMicros = EXAMPLE_AT - QUARTER,
        /// The value. Shares are fractions from 0 to 1 (0.8 is 80 %).
        value: f64 = 57.5,
        /// The expected value.
        expected: f64 = 12.0,
        /// The distance from the expected value, in spreads of the season or standard deviations of the window; negative for a
        /// drop.
        score: f64 = 9.25,
    }

    /// An anomaly has ended: a later value is in its expected range or is an anomaly in the other direction, or no value has
    /// arrived for long, or the series is no longer monitored. Sent once for each anomaly.
    struct AnomalyEnded {
        /// The anomaly.
        anomaly_id: AnomalyId = EXAMPLE_ID,
        /// The id of the monitored series.
        series_id: SeriesId = "voice-queued".into(),
        /// The values of the series.
        of: String = "skill:1001:contacts_queued".to_owned(),
        /// `SPIKE` or `DROP`.
        kind: String = "SPIKE".to_owned(),
        /// The start of its first value's interval.
        at: UtcMicros = EXAMPLE_AT - QUARTER,
        /// The start of its last value's interval.
        last_at: UtcMicros = EXAMPLE_AT,
    }
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
