//! Anomalies of monitored series: when they begin, continue and end, and what rules know of them.
//!
//! Consecutive anomalous values of one kind form one anomaly, so that an anomaly of one hour is reported once and not
//! four times. It ends with the first value that is normal or is anomalous in the other direction.

use std::sync::Arc;
use std::time::Duration;

use super::series::{SeriesBucket, SeriesSource};
use super::trend::{Anomaly, AnomalyKind, Baseline, TrendPoint, TrendSettings, mean};
use crate::domain::ids::{AnomalyId, SeriesId, TenantId};
use crate::domain::time::UtcMicros;

/// The number of buckets without a value after which an anomaly ends, since its state is no longer known.
pub const MAX_QUIET_BUCKETS: u32 = 4;

/// A series that the daemon monitors.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MonitoredSeries {
    /// The name in the configuration, in rules and in messages.
    pub id: SeriesId,
    /// The source of the values.
    pub source: SeriesSource,
    /// The number of values used for the moving average and the z-score.
    pub window: u16,
    /// The z-score above which a value is an anomaly, in hundredths.
    pub threshold_hundredths: u32,
    /// Whether values are compared with the same quarter hour and weekday, if enough weeks are known.
    pub seasonal: bool,
    /// The IANA time zone of its days and hours.
    pub zone: String,
}

impl MonitoredSeries {
    /// Returns the settings for judging values.
    pub fn settings(&self) -> TrendSettings {
        let zone = self.seasonal.then(|| self.time_zone());
        TrendSettings {
            window: usize::from(self.window),
            threshold: f64::from(self.threshold_hundredths) / 100.0,
            zone,
        }
    }

    /// Returns the time zone, or UTC if it is unknown, which validation of the configuration rules out.
    pub fn time_zone(&self) -> jiff::tz::TimeZone {
        jiff::tz::TimeZone::get(&self.zone).unwrap_or(jiff::tz::TimeZone::UTC)
    }
}

/// An anomaly as stored.
#[derive(Clone, PartialEq, Debug)]
pub struct AnomalyRecord {
    /// The tenant.
    pub tenant: TenantId,
    /// Its id.
    pub id: AnomalyId,
    /// The monitored series.
    pub series: SeriesId,
    /// The source of the series at that time, as text.
    pub source: Arc<str>,
    /// The kind.
    pub kind: AnomalyKind,
    /// The baseline of its first value.
    pub baseline: Baseline,
    /// The start of the bucket of its first value.
    pub first_bucket_at: UtcMicros,
    /// The start of the bucket of its last value so far.
    pub last_bucket_at: UtcMicros,
    /// Its first value; a share is between 0 and 1.
    pub value: f64,
    /// The value expected instead: the median of the season or the mean of the values before.
    pub expected: f64,
    /// The deviation of the first value, in spreads or standard deviations.
    pub score: f64,
    /// When its first value was judged.
    pub detected_at: UtcMicros,
    /// When its last value so far was judged.
    pub last_observed_at: UtcMicros,
    /// When it was found to have ended.
    pub ended_at: Option<UtcMicros>,
}

/// The effect of new values on the anomalies of a series.
#[derive(Clone, PartialEq, Debug)]
pub enum AnomalyUpdate {
    /// An anomaly began.
    Started(AnomalyRecord),
    /// The current anomaly continues.
    Continued(AnomalyRecord),
    /// The current anomaly ended.
    Ended(AnomalyRecord),
}

impl AnomalyUpdate {
    /// Returns the anomaly after the update.
    pub const fn record(&self) -> &AnomalyRecord {
        match self {
            Self::Started(record) | Self::Continued(record) | Self::Ended(record) => record,
        }
    }
}

/// Updates the anomalies of a monitored series for the points after `judged_through`, the last one judged before.
/// `points` are all points needed for judging, in order; `now` is the time of judging; `id` returns the ids of new
/// anomalies.
pub fn update_anomalies(
    (tenant, monitored, bucket): (&TenantId, &MonitoredSeries, SeriesBucket),
    open_anomaly: Option<AnomalyRecord>,
    points: &[TrendPoint],
    judged_through: UtcMicros,
    now: UtcMicros,
    mut id: impl FnMut() -> AnomalyId,
) -> Vec<AnomalyUpdate> {
    let first = points.partition_point(|point| point.at <= judged_through);
    let (mut open, mut updates) = (open_anomaly, Vec::new());
    for (index, point) in points.iter().enumerate().skip(first) {
        let kind = point.anomaly.map(|anomaly| anomaly.kind);
        if let Some(record) = open.take() {
            if kind == Some(record.kind) {
                let record = AnomalyRecord { last_bucket_at: point.at, last_observed_at: now, ..record };
                updates.push(AnomalyUpdate::Continued(record.clone()));
                open = Some(record);
                continue;
            }
            updates.push(AnomalyUpdate::Ended(AnomalyRecord { ended_at: Some(now), ..record }));
        }
        let Some(anomaly) = point.anomaly else { continue };
        let record = AnomalyRecord {
            tenant: tenant.clone(),
            id: id(),
            series: monitored.id.clone(),
            source: monitored.source.to_string().into(),
            kind: anomaly.kind,
            baseline: anomaly.baseline,
            first_bucket_at: point.at,
            last_bucket_at: point.at,
            value: point.value,
            expected: expected_value(&points[..index], point, anomaly, usize::from(monitored.window)),
            score: anomaly.score,
            detected_at: now,
            last_observed_at: now,
            ended_at: None,
        };
        updates.push(AnomalyUpdate::Started(record.clone()));
        open = Some(record);
    }
    if let Some(record) = open.filter(|open| is_quiet(bucket, open, points, now)) {
        updates.push(AnomalyUpdate::Ended(AnomalyRecord { ended_at: Some(now), ..record }));
    }
    updates
}

fn expected_value(previous: &[TrendPoint], point: &TrendPoint, anomaly: Anomaly, window: usize) -> f64 {
    if let (Baseline::Season, Some(season)) = (anomaly.baseline, point.season) {
        return season.expected;
    }
    let values: Vec<f64> = previous[previous.len().saturating_sub(window)..].iter().map(|point| point.value).collect();
    mean(&values)
}

/// Returns whether no value has come for so long that the last anomalous one says nothing about now.
fn is_quiet(bucket: SeriesBucket, open: &AnomalyRecord, points: &[TrendPoint], now: UtcMicros) -> bool {
    let last = points.last().map_or(open.last_bucket_at, |point| point.at.max(open.last_bucket_at));
    now.since(last) > bucket.typical_duration() * (MAX_QUIET_BUCKETS + 1)
}

/// What rules know: the monitored series and their anomalies of the last week.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Anomalies {
    /// The monitored series.
    pub monitored: Vec<SeriesId>,
    /// The anomalies that continue or were observed within [`Anomalies::RETENTION`], in the order in which they were
    /// found.
    pub recent: Vec<AnomalyRecord>,
}

impl Anomalies {
    /// The longest time that a condition can look back.
    pub const RETENTION: Duration = Duration::from_hours(7 * 24);

    /// Returns whether the tenant monitors the series.
    pub fn is_monitored(&self, series: &SeriesId) -> bool {
        self.monitored.contains(series)
    }

    /// Returns the newest anomaly of this series, and of `kind` if given, that was found by `now` and continues or was
    /// observed within the last `within`.
    pub fn find(
        &self,
        series: &SeriesId,
        kind: Option<AnomalyKind>,
        within: Duration,
        now: UtcMicros,
    ) -> Option<&AnomalyRecord> {
        self.recent.iter().rev().find(|record| {
            let is_open = record.ended_at.is_none_or(|ended| now < ended);
            record.series == *series
                && kind.is_none_or(|kind| kind == record.kind)
                && record.detected_at <= now
                && (is_open || now.since(record.last_observed_at) <= within)
        })
    }

    /// Applies updates and drops anomalies that are too old.
    pub fn apply(&mut self, updates: &[AnomalyUpdate], now: UtcMicros) {
        for update in updates {
            let newer = update.record();
            match self.recent.iter_mut().find(|record| record.id == newer.id) {
                Some(record) => record.clone_from(newer),
                None => self.recent.push(newer.clone()),
            }
        }
        self.recent.retain(|record| record.ended_at.is_none() || now.since(record.last_observed_at) <= Self::RETENTION);
    }
}

/// `spike since 2026-10-26T13:30:00Z (57 where 12.3 was expected)`
impl std::fmt::Display for AnomalyRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (value, expected) = (format_short(self.value), format_short(self.expected));
        write!(f, "{} since {:.0} ({value} where {expected} was expected)", self.kind.label(), self.first_bucket_at)
    }
}

/// Formats a value in few digits.
pub fn format_short(value: f64) -> String {
    let text = if value.abs() < 10.0 { format!("{value:.2}") } else { format!("{value:.1}") };
    match text.trim_end_matches('0').trim_end_matches('.') {
        "-0" => "0".to_owned(),
        short => short.to_owned(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::analytics::series::QUARTER_US;
    use crate::domain::analytics::trend::{Sample, trend};

    fn at(quarter: i64) -> UtcMicros {
        UtcMicros::from_micros(quarter * QUARTER_US)
    }

    fn monitored_series() -> MonitoredSeries {
        MonitoredSeries {
            id: "voice".into(),
            source: "skill:1:contacts_queued".parse().expect("a series"),
            window: 3,
            threshold_hundredths: 200,
            seasonal: false,
            zone: "UTC".to_owned(),
        }
    }

    /// One that was found at a quarter, seen last at another and ended at a third.
    pub(crate) fn record(
        series: &str,
        kind: AnomalyKind,
        detected: i64,
        observed: i64,
        ended: Option<i64>,
    ) -> AnomalyRecord {
        AnomalyRecord {
            tenant: "acme".into(),
            id: AnomalyId(uuid::Uuid::from_u128(detected.unsigned_abs().into())),
            series: series.into(),
            source: "skill:1:contacts_queued".into(),
            kind,
            baseline: Baseline::Window,
            first_bucket_at: at(detected - 1),
            last_bucket_at: at(observed - 1),
            value: 57.0,
            expected: 12.25,
            score: 9.5,
            detected_at: at(detected),
            last_observed_at: at(observed),
            ended_at: ended.map(at),
        }
    }

    fn updates_of(
        values: &[Option<f64>],
        open: Option<AnomalyRecord>,
        through: i64,
    ) -> Vec<(&'static str, i64, AnomalyKind)> {
        let samples: Vec<Sample> =
            (0..).zip(values).map(|(index, value)| Sample { at: at(index), value: *value }).collect();
        let (monitored, mut number) = (monitored_series(), 0_u128);
        let now = at(i64::try_from(values.len()).expect("few"));
        let points = trend(&samples, &monitored.settings());
        let updates = update_anomalies(
            (&"acme".into(), &monitored, SeriesBucket::Quarter),
            open,
            &points,
            at(through),
            now,
            || {
                number += 1;
                AnomalyId(uuid::Uuid::from_u128(number))
            },
        );
        let quarter = |record: &AnomalyRecord| record.first_bucket_at.as_micros() / QUARTER_US;
        updates
            .iter()
            .map(|update| match update {
                AnomalyUpdate::Started(record) => ("begins", quarter(record), record.kind),
                AnomalyUpdate::Continued(record) => ("goes on", quarter(record), record.kind),
                AnomalyUpdate::Ended(record) => ("ends", quarter(record), record.kind),
            })
            .collect()
    }

    #[test]
    fn an_anomaly_is_reported_when_it_begins_and_when_it_ends() {
        use AnomalyKind::{Drop, Spike};
        let calm = [10.0, 12.0, 11.0, 12.0, 11.0].map(Some);
        assert_eq!(updates_of(&calm, None, -1), []);
        let spike = [10.0, 12.0, 11.0, 40.0, 12.0].map(Some);
        assert_eq!(updates_of(&spike, None, -1), [("begins", 3, Spike), ("ends", 3, Spike)]);
        assert_eq!(updates_of(&spike[..4], None, -1), [("begins", 3, Spike)]);
        assert_eq!(updates_of(&spike[..4], None, 3), [], "it was judged before");
        let longer = [10.0, 12.0, 11.0, 40.0, 400.0, 4000.0].map(Some);
        assert_eq!(updates_of(&longer, None, -1), [("begins", 3, Spike), ("goes on", 3, Spike), ("goes on", 3, Spike)]);
        // After 40 the window is so wide that only a much lower value is a drop.
        let turned = [10.0, 12.0, 11.0, 40.0, -100.0].map(Some);
        assert_eq!(updates_of(&turned, None, -1), [("begins", 3, Spike), ("ends", 3, Spike), ("begins", 4, Drop)]);
    }

    #[test]
    fn a_gap_says_nothing_until_it_has_lasted() {
        let open = || Some(record("voice", AnomalyKind::Spike, 3, 3, None));
        let until = |quarters: usize| [&[Some(10.0), Some(12.0), Some(11.0)][..], &vec![None; quarters]].concat();
        assert_eq!(updates_of(&until(4), open(), 2), []);
        assert_eq!(updates_of(&until(5), open(), 2), [("ends", 2, AnomalyKind::Spike)], "nothing came for an hour");
    }

    #[test]
    fn the_expected_value_is_that_of_the_baseline() {
        let samples: Vec<Sample> = (0..)
            .zip([10.0, 12.0, 11.0, 40.0])
            .map(|(index, value)| Sample { at: at(index), value: Some(value) })
            .collect();
        let points = trend(&samples, &monitored_series().settings());
        let subject = (&"acme".into(), &monitored_series(), SeriesBucket::Quarter);
        let updates = update_anomalies(subject, None, &points, at(-1), at(4), || AnomalyId(uuid::Uuid::nil()));
        let [AnomalyUpdate::Started(record)] = &updates[..] else { panic!("{updates:?}") };
        assert_eq!((record.value, record.expected, record.baseline), (40.0, 11.0, Baseline::Window));
        assert_eq!(record.to_string(), "spike since 1970-01-01T00:45:00Z (40 where 11 was expected)");
        assert_eq!([0.0, -0.001, 0.825, 12.26, 1200.0].map(format_short), ["0", "0", "0.82", "12.3", "1200"]);
    }

    #[test]
    fn a_condition_finds_current_and_recent_anomalies_and_none_of_the_future() {
        use AnomalyKind::{Drop, Spike};
        let mut anomalies = Anomalies { monitored: vec!["voice".into()], recent: Vec::new() };
        anomalies.apply(&[AnomalyUpdate::Started(record("voice", Spike, 10, 10, None))], at(10));
        let find = |anomalies: &Anomalies, kind, quarters: u32, now| {
            let within = Duration::from_mins(15) * quarters;
            anomalies.find(&"voice".into(), kind, within, at(now)).is_some()
        };
        assert!(!find(&anomalies, Some(Spike), 1, 9), "it is not found yet");
        assert!(find(&anomalies, Some(Spike), 1, 10) && find(&anomalies, None, 1, 500), "it goes on");
        assert!(!find(&anomalies, Some(Drop), 1, 10));
        anomalies.apply(&[AnomalyUpdate::Ended(record("voice", Spike, 10, 12, Some(13)))], at(13));
        assert_eq!(anomalies.recent.len(), 1);
        for (now, expected) in [(9, false), (10, true), (12, true), (14, true), (15, false)] {
            assert_eq!(find(&anomalies, Some(Spike), 2, now), expected, "{now}");
        }
        assert!(anomalies.find(&"chat".into(), None, Anomalies::RETENTION, at(12)).is_none());
        anomalies.apply(&[], at(12) + Anomalies::RETENTION);
        assert_eq!(anomalies.recent.len(), 1);
        anomalies.apply(&[], (at(12) + Anomalies::RETENTION).offset(1));
        assert_eq!(anomalies.recent.len(), 0);
    }

    proptest! {
        /// However the values are cut into looks, the same anomalies begin and end, each once, and never two at a time.
        #[test]
        fn anomalies_do_not_depend_on_when_they_are_judged(
            values in prop::collection::vec(prop::option::weighted(0.9, 0.0..100.0), 1..120),
            cuts in prop::collection::btree_set(0_usize..120, 0..10),
        ) {
            let samples: Vec<Sample> =
                (0..).zip(&values).map(|(place, value)| Sample { at: at(place), value: *value }).collect();
            let (monitored, tenant) = (monitored_series(), TenantId::from("acme"));
            // Far enough ahead of nothing: silence is another matter.
            let follow_all = |cuts: &[usize]| {
                let (mut open, mut through, mut number, mut events) = (None, at(-1), 0_u128, Vec::new());
                for cut in cuts.iter().copied().filter(|cut| *cut < samples.len()).chain([samples.len()]) {
                    let points = trend(&samples[..cut], &monitored.settings());
                    let now = points.last().map_or(at(0), |point| point.at);
                    let of = (&tenant, &monitored, SeriesBucket::Quarter);
                    let steps = update_anomalies(of, open.clone(), &points, through, now, || {
                        number += 1;
                        AnomalyId(uuid::Uuid::from_u128(number))
                    });
                    through = points.last().map_or(through, |point| point.at);
                    for step in steps {
                        match &step {
                            AnomalyUpdate::Started(record) => events.push(("begins", record.first_bucket_at)),
                            AnomalyUpdate::Ended(record) => events.push(("ends", record.first_bucket_at)),
                            AnomalyUpdate::Continued(_) => {}
                        }
                        open = Some(step.record().clone()).filter(|record| record.ended_at.is_none());
                    }
                }
                events
            };
            let once = follow_all(&[]);
            prop_assert_eq!(&once, &follow_all(&cuts.into_iter().collect::<Vec<_>>()));
            for pair in once.windows(2) {
                prop_assert!(pair[0].0 != pair[1].0, "{:?}", pair);
            }
        }
    }
}
