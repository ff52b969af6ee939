//! Anomalies of watched series: when one begins, goes on and ends, and what rules are shown of them.
//!
//! Odd values of one kind that follow each other are one anomaly, so that an hour of it is told once and not four times. It is over with
//! the first value that is not odd, or is odd the other way.

use std::sync::Arc;
use std::time::Duration;

use super::series::{Bucket, Source};
use super::trend::{Anomaly, AnomalyKind, Baseline, TrendPoint, TrendSettings, mean};
use crate::domain::ids::{AnomalyId, SeriesId, TenantId};
use crate::domain::time::UtcMicros;

/// An anomaly without a further value for so many of its series' buckets is over: nobody can tell.
pub const QUIET_BUCKETS: u32 = 4;

/// A series that the daemon watches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Watched {
    /// Its name in the configuration, in rules and in what is told.
    pub id: SeriesId,
    /// What it is of.
    pub of: Source,
    /// Values that the moving average and the z-score look at.
    pub window: u16,
    /// A z-score beyond so many hundredths is odd.
    pub threshold_hundredths: u32,
    /// Whether what the same quarter hour of the same weekday brought decides, where enough weeks are known.
    pub seasonal: bool,
    /// The IANA zone of its days and hours.
    pub zone: String,
}

impl Watched {
    /// What it is judged by.
    pub fn settings(&self) -> TrendSettings {
        let zone = self.seasonal.then(|| self.time_zone());
        TrendSettings {
            window: usize::from(self.window),
            threshold: f64::from(self.threshold_hundredths) / 100.0,
            zone,
        }
    }

    /// The zone; UTC where nobody knows it, which the configuration's check refuses.
    pub fn time_zone(&self) -> jiff::tz::TimeZone {
        jiff::tz::TimeZone::get(&self.zone).unwrap_or(jiff::tz::TimeZone::UTC)
    }
}

/// An anomaly, as it is kept.
#[derive(Clone, PartialEq, Debug)]
pub struct AnomalyRecord {
    /// Whose.
    pub tenant: TenantId,
    /// Its id.
    pub id: AnomalyId,
    /// Of which watched series.
    pub series: SeriesId,
    /// What that was of then, as a series is written.
    pub of: Arc<str>,
    /// Which way.
    pub kind: AnomalyKind,
    /// What it was judged by at first.
    pub baseline: Baseline,
    /// Where the bucket of its first value begins.
    pub at: UtcMicros,
    /// Where that of its last value so far begins.
    pub last_at: UtcMicros,
    /// Its first value; a share is one of 1.
    pub value: f64,
    /// What was expected instead: the season's median, or the mean of the values before.
    pub expected: f64,
    /// How far it lay off, in spreads or standard deviations.
    pub score: f64,
    /// When its first value was judged.
    pub found_at: UtcMicros,
    /// When its last value so far was judged.
    pub seen_at: UtcMicros,
    /// When it was found to be over.
    pub ended_at: Option<UtcMicros>,
}

/// What newer values make of a series' anomalies.
#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    /// One begins.
    Begins(AnomalyRecord),
    /// The one that was goes on.
    GoesOn(AnomalyRecord),
    /// The one that was is over.
    Ends(AnomalyRecord),
}

impl Step {
    /// As it stands after the step.
    pub const fn record(&self) -> &AnomalyRecord {
        match self {
            Self::Begins(record) | Self::GoesOn(record) | Self::Ends(record) => record,
        }
    }
}

/// Follows a watched series, whose values are of such a bucket each, over the points that come after `judged_through`, the last that was
/// judged. `points` are all that the judging looks at, in order; `now` is when it is judged; `id` gives the ids of new ones.
pub fn follow(
    (tenant, watched, bucket): (&TenantId, &Watched, Bucket),
    open: Option<AnomalyRecord>,
    points: &[TrendPoint],
    judged_through: UtcMicros,
    now: UtcMicros,
    mut id: impl FnMut() -> AnomalyId,
) -> Vec<Step> {
    let first = points.partition_point(|point| point.at <= judged_through);
    let (mut open, mut steps) = (open, Vec::new());
    for (place, point) in points.iter().enumerate().skip(first) {
        let kind = point.anomaly.map(|odd| odd.kind);
        if let Some(record) = open.take() {
            if kind == Some(record.kind) {
                let record = AnomalyRecord { last_at: point.at, seen_at: now, ..record };
                steps.push(Step::GoesOn(record.clone()));
                open = Some(record);
                continue;
            }
            steps.push(Step::Ends(AnomalyRecord { ended_at: Some(now), ..record }));
        }
        let Some(odd) = point.anomaly else { continue };
        let record = AnomalyRecord {
            tenant: tenant.clone(),
            id: id(),
            series: watched.id.clone(),
            of: watched.of.to_string().into(),
            kind: odd.kind,
            baseline: odd.baseline,
            at: point.at,
            last_at: point.at,
            value: point.value,
            expected: expected(&points[..place], point, odd, usize::from(watched.window)),
            score: odd.score,
            found_at: now,
            seen_at: now,
            ended_at: None,
        };
        steps.push(Step::Begins(record.clone()));
        open = Some(record);
    }
    if let Some(record) = open.filter(|open| is_quiet(bucket, open, points, now)) {
        steps.push(Step::Ends(AnomalyRecord { ended_at: Some(now), ..record }));
    }
    steps
}

fn expected(before: &[TrendPoint], point: &TrendPoint, odd: Anomaly, window: usize) -> f64 {
    if let (Baseline::Season, Some(season)) = (odd.baseline, point.season) {
        return season.expected;
    }
    let values: Vec<f64> = before[before.len().saturating_sub(window)..].iter().map(|point| point.value).collect();
    mean(&values)
}

/// No value has come for so long that what was odd last says nothing of now.
fn is_quiet(bucket: Bucket, open: &AnomalyRecord, points: &[TrendPoint], now: UtcMicros) -> bool {
    let last = points.last().map_or(open.last_at, |point| point.at.max(open.last_at));
    now.since(last) > bucket.usual() * (QUIET_BUCKETS + 1)
}

/// What rules see: the series that are watched, and their anomalies of the last week.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Anomalies {
    /// Those that are watched.
    pub watched: Vec<SeriesId>,
    /// Those that go on or were seen within [`Anomalies::KEPT`], in the order in which they were found.
    pub recent: Vec<AnomalyRecord>,
}

impl Anomalies {
    /// A condition looks back so far at most.
    pub const KEPT: Duration = Duration::from_hours(7 * 24);

    /// Whether this tenant watches the series.
    pub fn is_watched(&self, series: &SeriesId) -> bool {
        self.watched.contains(series)
    }

    /// The newest that was found by `now`, is of this series and kind, and was odd within the last `within`.
    pub fn find(
        &self,
        series: &SeriesId,
        kind: Option<AnomalyKind>,
        within: Duration,
        now: UtcMicros,
    ) -> Option<&AnomalyRecord> {
        self.recent.iter().rev().find(|record| {
            let goes_on = record.ended_at.is_none_or(|ended| now < ended);
            record.series == *series
                && kind.is_none_or(|kind| kind == record.kind)
                && record.found_at <= now
                && (goes_on || now.since(record.seen_at) <= within)
        })
    }

    /// Takes steps in, and lets go of what is from too long ago.
    pub fn take(&mut self, steps: &[Step], now: UtcMicros) {
        for step in steps {
            let newer = step.record();
            match self.recent.iter_mut().find(|record| record.id == newer.id) {
                Some(record) => record.clone_from(newer),
                None => self.recent.push(newer.clone()),
            }
        }
        self.recent.retain(|record| record.ended_at.is_none() || now.since(record.seen_at) <= Self::KEPT);
    }
}

/// `spike since 2026-10-26T13:30:00Z (57 where 12.3 was expected)`
impl std::fmt::Display for AnomalyRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (value, expected) = (short(self.value), short(self.expected));
        write!(f, "{} since {:.0} ({value} where {expected} was expected)", self.kind.word(), self.at)
    }
}

/// A value in few digits.
pub fn short(value: f64) -> String {
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

    fn watched() -> Watched {
        Watched {
            id: "voice".into(),
            of: "skill:1:contacts_queued".parse().expect("a series"),
            window: 3,
            threshold_hundredths: 200,
            seasonal: false,
            zone: "UTC".to_owned(),
        }
    }

    /// One that was found at a quarter, seen last at another and ended at a third.
    pub(crate) fn record(series: &str, kind: AnomalyKind, found: i64, seen: i64, ended: Option<i64>) -> AnomalyRecord {
        AnomalyRecord {
            tenant: "acme".into(),
            id: AnomalyId(uuid::Uuid::from_u128(found.unsigned_abs().into())),
            series: series.into(),
            of: "skill:1:contacts_queued".into(),
            kind,
            baseline: Baseline::Window,
            at: at(found - 1),
            last_at: at(seen - 1),
            value: 57.0,
            expected: 12.25,
            score: 9.5,
            found_at: at(found),
            seen_at: at(seen),
            ended_at: ended.map(at),
        }
    }

    fn told(
        values: &[Option<f64>],
        open: Option<AnomalyRecord>,
        through: i64,
    ) -> Vec<(&'static str, i64, AnomalyKind)> {
        let samples: Vec<Sample> =
            (0..).zip(values).map(|(place, value)| Sample { at: at(place), value: *value }).collect();
        let (watched, mut number) = (watched(), 0_u128);
        let now = at(i64::try_from(values.len()).expect("few"));
        let points = trend(&samples, &watched.settings());
        let steps = follow((&"acme".into(), &watched, Bucket::Quarter), open, &points, at(through), now, || {
            number += 1;
            AnomalyId(uuid::Uuid::from_u128(number))
        });
        let quarter = |record: &AnomalyRecord| record.at.as_micros() / QUARTER_US;
        steps
            .iter()
            .map(|step| match step {
                Step::Begins(record) => ("begins", quarter(record), record.kind),
                Step::GoesOn(record) => ("goes on", quarter(record), record.kind),
                Step::Ends(record) => ("ends", quarter(record), record.kind),
            })
            .collect()
    }

    #[test]
    fn an_anomaly_is_told_when_it_begins_and_when_it_is_over() {
        use AnomalyKind::{Drop, Spike};
        let calm = [10.0, 12.0, 11.0, 12.0, 11.0].map(Some);
        assert_eq!(told(&calm, None, -1), []);
        let spike = [10.0, 12.0, 11.0, 40.0, 12.0].map(Some);
        assert_eq!(told(&spike, None, -1), [("begins", 3, Spike), ("ends", 3, Spike)]);
        assert_eq!(told(&spike[..4], None, -1), [("begins", 3, Spike)]);
        assert_eq!(told(&spike[..4], None, 3), [], "it was judged before");
        let longer = [10.0, 12.0, 11.0, 40.0, 400.0, 4000.0].map(Some);
        assert_eq!(told(&longer, None, -1), [("begins", 3, Spike), ("goes on", 3, Spike), ("goes on", 3, Spike)]);
        // After 40 the window is so wide that only a much lower value is a drop.
        let turned = [10.0, 12.0, 11.0, 40.0, -100.0].map(Some);
        assert_eq!(told(&turned, None, -1), [("begins", 3, Spike), ("ends", 3, Spike), ("begins", 4, Drop)]);
    }

    #[test]
    fn a_gap_says_nothing_until_it_has_lasted() {
        let open = || Some(record("voice", AnomalyKind::Spike, 3, 3, None));
        let until = |quarters: usize| [&[Some(10.0), Some(12.0), Some(11.0)][..], &vec![None; quarters]].concat();
        assert_eq!(told(&until(4), open(), 2), []);
        assert_eq!(told(&until(5), open(), 2), [("ends", 2, AnomalyKind::Spike)], "nothing came for an hour");
    }

    #[test]
    fn what_was_expected_is_what_it_was_judged_by() {
        let samples: Vec<Sample> = (0..)
            .zip([10.0, 12.0, 11.0, 40.0])
            .map(|(place, value)| Sample { at: at(place), value: Some(value) })
            .collect();
        let points = trend(&samples, &watched().settings());
        let of = (&"acme".into(), &watched(), Bucket::Quarter);
        let steps = follow(of, None, &points, at(-1), at(4), || AnomalyId(uuid::Uuid::nil()));
        let [Step::Begins(record)] = &steps[..] else { panic!("{steps:?}") };
        assert_eq!((record.value, record.expected, record.baseline), (40.0, 11.0, Baseline::Window));
        assert_eq!(record.to_string(), "spike since 1970-01-01T00:45:00Z (40 where 11 was expected)");
        assert_eq!([0.0, -0.001, 0.825, 12.26, 1200.0].map(short), ["0", "0", "0.82", "12.3", "1200"]);
    }

    #[test]
    fn a_condition_finds_what_goes_on_or_was_odd_lately_and_nothing_of_the_future() {
        use AnomalyKind::{Drop, Spike};
        let mut anomalies = Anomalies { watched: vec!["voice".into()], recent: Vec::new() };
        anomalies.take(&[Step::Begins(record("voice", Spike, 10, 10, None))], at(10));
        let find = |anomalies: &Anomalies, kind, quarters: u32, now| {
            let within = Duration::from_mins(15) * quarters;
            anomalies.find(&"voice".into(), kind, within, at(now)).is_some()
        };
        assert!(!find(&anomalies, Some(Spike), 1, 9), "it is not found yet");
        assert!(find(&anomalies, Some(Spike), 1, 10) && find(&anomalies, None, 1, 500), "it goes on");
        assert!(!find(&anomalies, Some(Drop), 1, 10));
        anomalies.take(&[Step::Ends(record("voice", Spike, 10, 12, Some(13)))], at(13));
        assert_eq!(anomalies.recent.len(), 1);
        for (now, held) in [(9, false), (10, true), (12, true), (14, true), (15, false)] {
            assert_eq!(find(&anomalies, Some(Spike), 2, now), held, "{now}");
        }
        assert!(anomalies.find(&"chat".into(), None, Anomalies::KEPT, at(12)).is_none());
        anomalies.take(&[], at(12) + Anomalies::KEPT);
        assert_eq!(anomalies.recent.len(), 1);
        anomalies.take(&[], (at(12) + Anomalies::KEPT).offset(1));
        assert_eq!(anomalies.recent.len(), 0);
    }

    proptest! {
        /// However the values are cut into looks, the same anomalies begin and end, each once, and never two at a time.
        #[test]
        fn anomalies_do_not_depend_on_when_somebody_looks(
            values in prop::collection::vec(prop::option::weighted(0.9, 0.0..100.0), 1..120),
            cuts in prop::collection::btree_set(0_usize..120, 0..10),
        ) {
            let samples: Vec<Sample> =
                (0..).zip(&values).map(|(place, value)| Sample { at: at(place), value: *value }).collect();
            let (watched, tenant) = (watched(), TenantId::from("acme"));
            // Far enough ahead of nothing: silence is another matter.
            let follow_all = |cuts: &[usize]| {
                let (mut open, mut through, mut number, mut told) = (None, at(-1), 0_u128, Vec::new());
                for cut in cuts.iter().copied().filter(|cut| *cut < samples.len()).chain([samples.len()]) {
                    let points = trend(&samples[..cut], &watched.settings());
                    let now = points.last().map_or(at(0), |point| point.at);
                    let of = (&tenant, &watched, Bucket::Quarter);
                    let steps = follow(of, open.clone(), &points, through, now, || {
                        number += 1;
                        AnomalyId(uuid::Uuid::from_u128(number))
                    });
                    through = points.last().map_or(through, |point| point.at);
                    for step in steps {
                        match &step {
                            Step::Begins(record) => told.push(("begins", record.at)),
                            Step::Ends(record) => told.push(("ends", record.at)),
                            Step::GoesOn(_) => {}
                        }
                        open = Some(step.record().clone()).filter(|record| record.ended_at.is_none());
                    }
                }
                told
            };
            let once = follow_all(&[]);
            prop_assert_eq!(&once, &follow_all(&cuts.into_iter().collect::<Vec<_>>()));
            for pair in once.windows(2) {
                prop_assert!(pair[0].0 != pair[1].0, "{:?}", pair);
            }
        }
    }
}
