//! What judging series costs: a year of quarter hours (35,040 values) through the moving average, the z-score and the season, and the twenty
//! series that a tenant may watch, each read from the store and judged by the sixty days before, as the daemon does each quarter of an hour.
//!
//! `cargo bench --bench trends`; `SMALL=1` before it takes a tenth of the year and two series.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures real time and reads its size from the environment"
)]
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark talks on stdout and stops at the first fault"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use shiftkeeper::clock::{ManualClock, SharedClock};
use shiftkeeper::domain::analytics::series::{QUARTER_US, SeriesSource};
use shiftkeeper::domain::analytics::trend::{Sample, TrendSettings, trend};
use shiftkeeper::domain::live::figures::{SkillFigures, TimedFigures};
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::store::{Commit, FiguresWrite, ProcessIdentity, ProcessRole, Store};

/// A Monday, midnight in UTC.
const START: i64 = 1_760_918_400_000_000;

const YEAR: u32 = 365 * 96;
const LOOKS_BACK: u32 = 60 * 96;
const SERIES: u32 = 20;

/// Rows of one commit.
const ROWS: usize = 2_000;

fn quarter(place: u32) -> UtcMicros {
    UtcMicros::from_micros(START + i64::from(place) * QUARTER_US)
}

/// By the hour of the day, with something that does not repeat.
fn value(place: u32) -> u32 {
    (place % 96) * 3 + place.wrapping_mul(2_654_435_761) % 17
}

fn settings() -> TrendSettings {
    let zone = TimeZone::get("Europe/Berlin").expect("a zone");
    TrendSettings { zone: Some(zone), ..TrendSettings::default() }
}

fn a_year(quarters: u32) {
    let sample = |place: u32| Sample { at: quarter(place), value: Some(f64::from(value(place))) };
    let samples: Vec<Sample> = (0..quarters).map(sample).collect();
    let start = Instant::now();
    let points = trend(&samples, &settings());
    let took = start.elapsed();
    let odd = points.iter().filter(|point| point.anomaly.is_some()).count();
    println!("{quarters} quarter hours judged, {odd} odd: {:.3} s", took.as_secs_f64());
}

async fn watched(series: u32) {
    let folder = tempfile::tempdir().expect("a folder");
    let clock: SharedClock = Arc::new(ManualClock::at(quarter(LOOKS_BACK)));
    let identity = ProcessIdentity { host: "bench".to_owned(), pid: 1, version: "0".to_owned() };
    let url = format!("sqlite://{}", folder.path().join("trends.db").display());
    let store = Store::open(&url, ProcessRole::Daemon, clock, &identity).await.expect("opens");
    let row = |skill: u32, place: u32| FiguresWrite {
        tenant: "acme".into(),
        reading: TimedFigures {
            at: quarter(place),
            figures: SkillFigures {
                contacts_queued: Some(u64::from(value(place + skill))),
                ..SkillFigures::idle(skill.to_string().as_str().into())
            },
        },
    };
    let rows: Vec<_> = (0..series).flat_map(|skill| (0..LOOKS_BACK).map(move |place| row(skill, place))).collect();
    for some in rows.chunks(ROWS) {
        let commit = Commit { skill_figures: some.to_vec(), ..Commit::default() };
        store.writer().commit(commit).await.expect("commits");
    }
    let span = (quarter(0), quarter(LOOKS_BACK));
    let (mut points, mut slowest) = (0, Duration::ZERO);
    let start = Instant::now();
    for skill in 0..series {
        let (source, one): (SeriesSource, _) =
            (format!("skill:{skill}:contacts_queued").parse().expect("a series"), Instant::now());
        let values = store.reader().series_values(&"acme".into(), &source, span, &TimeZone::UTC).await.expect("reads");
        points += trend(&values.samples, &settings()).len();
        slowest = slowest.max(one.elapsed());
    }
    println!(
        "{series} series of {LOOKS_BACK} quarter hours read and judged, {points} values: {:.3} s, the slowest {:.3} s",
        start.elapsed().as_secs_f64(),
        slowest.as_secs_f64(),
    );
    store.close().await;
}

fn main() {
    let (quarters, series) = if std::env::var_os("SMALL").is_some() { (YEAR / 10, 2) } else { (YEAR, SERIES) };
    a_year(quarters);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(watched(series));
}
