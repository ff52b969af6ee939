//! The values of all queries: the same whenever and however they are requested, and so never stored.
//!
//! They follow a weekly and a daily pattern with little noise, and have known anomalies, listed in
//! `docs/simulator.md`, against which anomaly detection can be tested.

use jiff::civil::{DateTime, Weekday};
use serde_json::{Value, json};

use super::query_request::{BucketSize, Metric, QueryRequest};
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::sim::random::RandomStream;

/// The contacts of the whole tenant in a busy hour of a working day.
const CONTACTS_PER_HOUR: f64 = 400.0;

/// The duration of a contact, in seconds.
const CONTACT_SECONDS: f64 = 240.0;

/// The contacts resolved at the first attempt, in percent.
const RESOLVED_PERCENT: f64 = 72.0;

/// The share of abandoned contacts.
const ABANDONED_SHARE: f64 = 0.05;

/// The largest deviation by noise, as a share of the value.
const NOISE: f64 = 0.04;

/// The step between consecutive rows, modulo the number of rows. It gives rows an arbitrary order that is the same
/// for every page.
const STRIDE: usize = 7_919;

/// The contacts of each hour of the day, as a share of those in a busy hour.
const HOURLY_SHARES: [f64; 24] = [
    0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.1, 0.3, 0.7, 1.0, 1.0, 0.9, 0.8, 0.9, 1.0, 0.9, 0.8, 0.6, 0.4, 0.2, 0.1, 0.1, 0.0,
    0.0,
];

/// The rows of one query.
pub(super) struct QueryRows<'a> {
    seed: u64,
    tenant: &'a TenantId,
    request: &'a QueryRequest,
    /// The number of combinations of dimensions.
    combinations: usize,
}

impl<'a> QueryRows<'a> {
    pub(super) fn new(seed: u64, tenant: &'a TenantId, request: &'a QueryRequest) -> Self {
        let combinations = request.dimensions.iter().map(|dimension| dimension.values.len()).product();
        Self { seed, tenant, request, combinations }
    }

    /// Returns the number of rows.
    pub(super) fn len(&self) -> usize {
        self.request.buckets.len() * self.combinations
    }

    /// Returns the row at a position, or `None` beyond the last.
    pub(super) fn row(&self, index: usize) -> Option<Value> {
        let all = self.len();
        if index >= all {
            return None;
        }
        // A stride without a common factor with the length visits every row once; a prime has none unless it divides
        // the length.
        let stride = if all.is_multiple_of(STRIDE) { 1 } else { STRIDE };
        let number = index * stride % all;
        let (bucket, mut combination) = (number / self.combinations, number % self.combinations);
        let at = *self.request.buckets.get(bucket)?;
        let mut dimensions = Vec::with_capacity(self.request.dimensions.len());
        for dimension in &self.request.dimensions {
            let value = dimension.values.get(combination % dimension.values.len())?;
            combination /= dimension.values.len();
            dimensions.push((dimension.name.as_str(), value.as_str()));
        }
        let metrics: Vec<Value> = self
            .request
            .metrics
            .iter()
            .map(|(metric, aggregation)| {
                let value = self.value(*metric, at, &dimensions);
                json!({ "name": metric.name(), "aggregation": aggregation, "value": value })
            })
            .collect();
        let dimensions: Vec<Value> =
            dimensions.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        Some(json!({ "timeSeries": at, "dimensions": dimensions, "metrics": metrics }))
    }

    /// Returns one value, or `None` for a mean or share without contacts.
    fn value(&self, metric: Metric, at: UtcMicros, dimensions: &[(&str, &str)]) -> Option<f64> {
        let local = at.timestamp().to_zoned(self.request.zone.clone()).datetime();
        let noise = 1.0 + NOISE * self.noise(metric, at, dimensions);
        let factor = anomaly_factor(metric, self.request.size, local);
        let contacts = CONTACTS_PER_HOUR * self.busy_hours(local) * self.request.share / as_divisor(self.combinations);
        match metric {
            Metric::Count => Some((contacts * noise * factor).round()),
            Metric::Abandoned => Some((contacts * ABANDONED_SHARE * noise * factor).round()),
            Metric::Duration => (contacts >= 0.5).then(|| round_to_tenths(CONTACT_SECONDS * noise * factor)),
            Metric::FirstContactResolved => {
                (contacts >= 0.5).then(|| round_to_tenths(RESOLVED_PERCENT * noise * factor))
            }
        }
    }

    /// Returns the bucket's length in busy hours of a working day.
    fn busy_hours(&self, local: DateTime) -> f64 {
        let day: f64 = HOURLY_SHARES.iter().sum();
        match self.request.size {
            BucketSize::Hour => {
                usize::try_from(local.hour()).ok().and_then(|hour| HOURLY_SHARES.get(hour)).copied().unwrap_or(0.0)
                    * weekday_share(local.weekday())
            }
            BucketSize::Day => day * weekday_share(local.weekday()),
            BucketSize::Week => day * 6.1,
            BucketSize::Month => day * 6.1 / 7.0 * f64::from(local.date().days_in_month()),
        }
    }

    /// Returns a number between −1 and 1 that is always the same for this value.
    fn noise(&self, metric: Metric, at: UtcMicros, dimensions: &[(&str, &str)]) -> f64 {
        let at = at.to_string();
        let size = match self.request.size {
            BucketSize::Hour => "hour",
            BucketSize::Day => "day",
            BucketSize::Week => "week",
            BucketSize::Month => "month",
        };
        let mut path = vec!["analytics", self.tenant.as_str(), metric.name(), size, &at];
        path.extend(dimensions.iter().flat_map(|(name, value)| [*name, *value]));
        RandomStream::for_path(self.seed, &path).signed_unit()
    }
}

/// Returns a weekday's load as a share of a Tuesday's.
fn weekday_share(day: Weekday) -> f64 {
    match day {
        Weekday::Monday => 1.3,
        Weekday::Tuesday | Weekday::Wednesday => 1.0,
        Weekday::Thursday => 0.95,
        Weekday::Friday => 0.9,
        Weekday::Saturday => 0.6,
        Weekday::Sunday => 0.35,
    }
}

/// Returns the anomaly on known days of every month in the query's zone: the whole of a daily bucket, and of hourly
/// buckets the one from 10:00. Weeks and months have none.
fn anomaly_factor(metric: Metric, size: BucketSize, local: DateTime) -> f64 {
    let applies = match size {
        BucketSize::Day => true,
        BucketSize::Hour => local.hour() == 10,
        BucketSize::Week | BucketSize::Month => false,
    };
    match (metric, local.day()) {
        _ if !applies => 1.0,
        (Metric::Count, 13) => 3.0,
        (Metric::Count, 21) => 0.2,
        (Metric::Duration, 7) => 2.5,
        (Metric::FirstContactResolved, 25) => 0.4,
        (Metric::Abandoned, 13) => 8.0,
        _ => 1.0,
    }
}

fn round_to_tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn as_divisor(parts: usize) -> f64 {
    f64::from(u32::try_from(parts).unwrap_or(u32::MAX).max(1))
}
