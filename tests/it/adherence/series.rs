//! Series of agents' time against a recount of the exported segments.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use shiftkeeper::report::document::Cell;
use shiftkeeper::report::request::ReportKind;

use super::{AdherenceStore, CollectedRows, DAYS, MINUTE, figure_index, minute, tenant};

/// Time in, scheduled (neutral and not) and unknown within shifts.
#[derive(Clone, Copy, Default)]
struct Shares {
    r#in: i64,
    scheduled: i64,
    neutral: i64,
    unknown: i64,
}

impl Shares {
    fn adherence(self) -> Option<f64> {
        let judged = self.scheduled - self.neutral;
        let known = judged > 0 && self.unknown <= self.scheduled;
        #[expect(clippy::cast_precision_loss, reason = "microseconds of some days")]
        known.then(|| self.r#in as f64 / judged as f64)
    }
}

/// What agents adhered in each quarter of an hour, counted in the exported segments.
fn shares_by_quarter(segments: &CollectedRows, is_meant: impl Fn(&str) -> bool) -> BTreeMap<i64, Shares> {
    let mut quarters: BTreeMap<i64, Shares> = BTreeMap::new();
    for row in segments.section("segments") {
        let [Cell::Text(agent), Cell::Instant(from), Cell::Instant(to)] = &row[..3] else { panic!("{row:?}") };
        let [Cell::Text(planned), Cell::Text(verdict)] = [&row[4], &row[8]] else { panic!("{row:?}") };
        if !is_meant(agent) || planned == "off" || planned == "uncovered" {
            continue;
        }
        let mut at = from.as_micros();
        while at < to.as_micros() {
            let quarter = at.div_euclid(15 * MINUTE);
            let end = to.as_micros().min((quarter + 1) * 15 * MINUTE);
            let shares = quarters.entry(quarter).or_default();
            match verdict.as_ref() {
                "unknown" => shares.unknown += end - at,
                "in" => (shares.r#in, shares.scheduled) = (shares.r#in + end - at, shares.scheduled + end - at),
                "neutral" => {
                    (shares.neutral, shares.scheduled) = (shares.neutral + end - at, shares.scheduled + end - at);
                }
                _ => shares.scheduled += end - at,
            }
            at = end;
        }
    }
    quarters
}

async fn samples(scene: &AdherenceStore, series: &str) -> BTreeMap<i64, f64> {
    let (source, span) = (series.parse().expect("a series"), (minute(0), minute(DAYS * 1440)));
    let samples =
        scene.store.reader().series_values(&tenant(), &source, span, &TimeZone::UTC).await.expect("reads").samples;
    samples.iter().filter_map(|sample| Some((sample.at.as_micros(), sample.value?))).collect()
}

/// Series of agents' time come out of the same segments and days as the reports, summed and then divided; what is mostly unknown is a gap.
#[tokio::test]
async fn series_of_agents_equal_a_recount_of_the_segments() {
    let mut held = 0;
    for seed in 0..4 {
        let mut scene = AdherenceStore::new(seed).await;
        scene.run_worker().await;
        let segments = scene.report(ReportKind::Segments, None).await;
        for (series, agents) in [
            ("adherence-15m", &["ida", "ned", "una"][..]),
            ("adherence-15m:team:red", &["ida"][..]),
            ("adherence-15m:agent:ned", &["ned"][..]),
        ] {
            let counted = shares_by_quarter(&segments, |agent| agents.contains(&agent));
            let end = minute(DAYS * 1440).as_micros();
            let counted: BTreeMap<i64, f64> = counted
                .into_iter()
                .map(|(quarter, shares)| (quarter * 15 * MINUTE, shares))
                .filter_map(|(at, shares)| Some((at, shares.adherence()?)).filter(|(at, _)| *at < end))
                .collect();
            let read = samples(&scene, series).await;
            assert_eq!(read.keys().collect::<Vec<_>>(), counted.keys().collect::<Vec<_>>(), "{seed} {series}");
            assert!(read.len() > 20, "{seed} {series}: {}", read.len());
            for (at, share) in read {
                assert!((share - counted[&at]).abs() < 1e-12, "{seed} {series} {at}");
            }
        }
        let days = scene.report(ReportKind::Adherence, None).await;
        let mut by_day: BTreeMap<Date, Shares> = BTreeMap::new();
        for row in days.section("days") {
            let Cell::Day(day) = row[2] else { panic!("{row:?}") };
            let seconds = |name: &str| match row[3 + figure_index(name)] {
                Cell::Seconds(us) => us,
                _ => panic!("{name}"),
            };
            let shares = by_day.entry(day).or_default();
            shares.r#in += seconds("inSeconds");
            shares.scheduled += seconds("scheduledSeconds");
            shares.neutral += seconds("neutralSeconds");
            shares.unknown += seconds("unknownSeconds");
        }
        let read = samples(&scene, "adherence").await;
        // The last day is over and not yet settled for all.
        assert!(read.len() >= 3, "{seed}: {read:?}");
        // The first day of agents who live east of the zone begins before the report's time range.
        for day in (1..3).map(|day| minute(day * 1440)) {
            let date = day.timestamp().to_zoned(TimeZone::UTC).date();
            let (read, counted) = (read.get(&day.as_micros()).copied(), by_day[&date].adherence());
            // A day of which more is unknown than known is a gap by both.
            let same = match (read, counted) {
                (Some(read), Some(counted)) => (read - counted).abs() < 1e-12,
                (read, counted) => read.is_none() && counted.is_none(),
            };
            assert!(same, "{seed} {date}: {read:?}, {counted:?}");
            held += u32::from(read.is_some());
        }
        scene.store.close().await;
    }
    assert!(held >= 4, "{held} days had a value");
}
