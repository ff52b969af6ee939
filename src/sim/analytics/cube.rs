//! Every value that a query can ask for: the same whenever and however it is asked, and so never held.
//!
//! A weekly and a daily course with little noise, and known oddities, which `docs/simulator.md` lists: who looks for anomalies can
//! be held to them.

use jiff::civil::{DateTime, Weekday};
use serde_json::{Value, json};

use super::ask::{Asked, Metric, Size};
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::sim::dice::Dice;

/// Contacts of the whole tenant in an hour of a working day's middle.
const CONTACTS_AN_HOUR: f64 = 400.0;

/// What a contact takes, in seconds.
const SECONDS: f64 = 240.0;

/// Contacts that are settled at the first try, in percent.
const RESOLVED: f64 = 72.0;

/// The share of contacts that give up.
const ABANDONED: f64 = 0.05;

/// How far noise moves a value, as a share of it.
const NOISE: f64 = 0.04;

/// Rows come in an order of no meaning, but the same for every page: each is so many places after the one before, around and around.
const STRIDE: usize = 7_919;

/// Of a day: how much of a middle hour each hour brings.
const HOURS: [f64; 24] = [
    0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.1, 0.3, 0.7, 1.0, 1.0, 0.9, 0.8, 0.9, 1.0, 0.9, 0.8, 0.6, 0.4, 0.2, 0.1, 0.1, 0.0,
    0.0,
];

/// The rows of one query.
pub(super) struct Cube<'a> {
    seed: u64,
    tenant: &'a TenantId,
    asked: &'a Asked,
    /// Combinations of dimensions.
    combinations: usize,
}

impl<'a> Cube<'a> {
    pub(super) fn new(seed: u64, tenant: &'a TenantId, asked: &'a Asked) -> Self {
        let combinations = asked.dimensions.iter().map(|dimension| dimension.values.len()).product();
        Self { seed, tenant, asked, combinations }
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.asked.buckets.len() * self.combinations
    }

    /// The row at a place; none beyond the last.
    pub(super) fn row(&self, place: usize) -> Option<Value> {
        let all = self.len();
        if place >= all {
            return None;
        }
        // A stride that shares no factor with the length meets every row once; a prime does unless it divides it.
        let stride = if all.is_multiple_of(STRIDE) { 1 } else { STRIDE };
        let number = place * stride % all;
        let (bucket, mut combination) = (number / self.combinations, number % self.combinations);
        let at = *self.asked.buckets.get(bucket)?;
        let mut dimensions = Vec::with_capacity(self.asked.dimensions.len());
        for dimension in &self.asked.dimensions {
            let value = dimension.values.get(combination % dimension.values.len())?;
            combination /= dimension.values.len();
            dimensions.push((dimension.name.as_str(), value.as_str()));
        }
        let metrics: Vec<Value> = self
            .asked
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

    /// One value; none of a mean or a share where there was no contact.
    fn value(&self, metric: Metric, at: UtcMicros, dimensions: &[(&str, &str)]) -> Option<f64> {
        let local = at.timestamp().to_zoned(self.asked.zone.clone()).datetime();
        let noise = 1.0 + NOISE * self.noise(metric, at, dimensions);
        let odd = oddity(metric, self.asked.size, local);
        let contacts = CONTACTS_AN_HOUR * self.hours(local) * self.asked.share / of_all(self.combinations);
        match metric {
            Metric::Count => Some((contacts * noise * odd).round()),
            Metric::Abandoned => Some((contacts * ABANDONED * noise * odd).round()),
            Metric::Duration => (contacts >= 0.5).then(|| tenths(SECONDS * noise * odd)),
            Metric::FirstContactResolved => (contacts >= 0.5).then(|| tenths(RESOLVED * noise * odd)),
        }
    }

    /// The bucket's length in hours like those of a working day's middle.
    fn hours(&self, local: DateTime) -> f64 {
        let day: f64 = HOURS.iter().sum();
        match self.asked.size {
            Size::Hour => {
                usize::try_from(local.hour()).ok().and_then(|hour| HOURS.get(hour)).copied().unwrap_or(0.0)
                    * of_week(local.weekday())
            }
            Size::Day => day * of_week(local.weekday()),
            Size::Week => day * 6.1,
            Size::Month => day * 6.1 / 7.0 * f64::from(local.date().days_in_month()),
        }
    }

    /// Between −1 and 1, and always the same for this value.
    fn noise(&self, metric: Metric, at: UtcMicros, dimensions: &[(&str, &str)]) -> f64 {
        let at = at.to_string();
        let size = match self.asked.size {
            Size::Hour => "hour",
            Size::Day => "day",
            Size::Week => "week",
            Size::Month => "month",
        };
        let mut path = vec!["analytics", self.tenant.as_str(), metric.name(), size, &at];
        path.extend(dimensions.iter().flat_map(|(name, value)| [*name, *value]));
        Dice::of(self.seed, &path).swing()
    }
}

/// A weekday's share of a Tuesday.
fn of_week(day: Weekday) -> f64 {
    match day {
        Weekday::Monday => 1.3,
        Weekday::Tuesday | Weekday::Wednesday => 1.0,
        Weekday::Thursday => 0.95,
        Weekday::Friday => 0.9,
        Weekday::Saturday => 0.6,
        Weekday::Sunday => 0.35,
    }
}

/// What is odd on known days of every month, by the calendar of the query's zone: of a day the whole, of its hours the one from
/// ten on. Weeks and months have nothing odd.
fn oddity(metric: Metric, size: Size, local: DateTime) -> f64 {
    let there = match size {
        Size::Day => true,
        Size::Hour => local.hour() == 10,
        Size::Week | Size::Month => false,
    };
    match (metric, local.day()) {
        _ if !there => 1.0,
        (Metric::Count, 13) => 3.0,
        (Metric::Count, 21) => 0.2,
        (Metric::Duration, 7) => 2.5,
        (Metric::FirstContactResolved, 25) => 0.4,
        (Metric::Abandoned, 13) => 8.0,
        _ => 1.0,
    }
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn of_all(parts: usize) -> f64 {
    f64::from(u32::try_from(parts).unwrap_or(u32::MAX).max(1))
}
