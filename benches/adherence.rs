//! The adherence report of 5,000 agents over 30 days: out of days that are added up, and out of three million rows of history.
//!
//! Then the segments of eight of the days, a million and more, as files; with `DUCKDB=python`, where that has the package duckdb, beside `DuckDB`
//! over the same rows.
//!
//! `cargo bench --bench adherence`; `SMALL=1` before it takes a tenth of the agents. Absolute figures drift with the machine, the ratio is what
//! counts.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures real time and reads its size from the environment"
)]
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark talks on stdout and stops at the first fault"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shiftkeeper::clock::{SharedClock, SystemClock};
use shiftkeeper::domain::adherence::AdherenceSettings;
use shiftkeeper::domain::ids::TenantId;
use shiftkeeper::domain::reports::report_run::ReportFormat;
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::engine::adherence::adherence_days::{AdherenceDaysParts, AdherenceDaysWorker};
use shiftkeeper::report::document::{Cell, Section, Sink, WriteError};
use shiftkeeper::report::export::{ExportRequest, export};
use shiftkeeper::report::request::{ReportKind, Request};
use shiftkeeper::report::tally::Progress;
use shiftkeeper::store::{ProcessIdentity, ProcessRole, Store};

const DAYS: i64 = 30;
const DAY: i64 = 86_400_000_000;
/// A midnight in UTC.
const START: i64 = 20_717 * DAY;
/// Rows of history of an agent and day.
const ROWS: i64 = 20;
/// Days whose segments are written to files.
const FILE_DAYS: i64 = 8;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let agents = if std::env::var_os("SMALL").is_some() { 500 } else { 5000 };
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn_on(report(agents), runtime.handle());
    runtime.block_on(tasks.join_all());
}

async fn open(folder: &Path, clock: SharedClock) -> Store {
    let url = format!("sqlite://{}", folder.join("store.db").display());
    let identity = ProcessIdentity { host: "bench".into(), pid: 1, version: "bench".into() };
    Store::open(&url, ProcessRole::Daemon, clock, &identity).await.expect("opens")
}

async fn report(agents: i64) {
    let folder = tempfile::tempdir().expect("a folder");
    let clock: SharedClock = Arc::new(SystemClock::real());
    open(folder.path(), clock.clone()).await.close().await;
    fill(&folder.path().join("store.db"), agents);
    let store = open(folder.path(), clock.clone()).await;
    println!("{agents} agents, {DAYS} days, {} rows of history", agents * DAYS * ROWS);

    segments(&store, folder.path()).await;
    let (from_segments, of_segments) = written(&store, 1).await;
    println!("from segments: {:.2} s", from_segments.as_secs_f64());
    let (writer, reader) = (store.writer().clone(), store.reader().clone());
    let mut worker = AdherenceDaysWorker::new(AdherenceDaysParts {
        tenant: tenant(),
        clock,
        writer,
        reader,
        compute_lock: Arc::default(),
    });
    let started = Instant::now();
    worker.update(&AdherenceSettings::default()).await.expect("works");
    println!("adding all days up, resting half of the time: {:.1} s", started.elapsed().as_secs_f64());
    let (from_days, of_days) = written(&store, 3).await;
    assert_eq!(of_segments, of_days, "the figures are the same");
    println!(
        "from days that are added up: {:.2} s (to meet: 2), {:.0} times as fast",
        from_days.as_secs_f64(),
        from_segments.as_secs_f64() / from_days.as_secs_f64()
    );
    store.close().await;
}

/// The segments of some days as files, each the best of two, out of history to the synced file.
async fn segments(store: &Store, folder: &Path) {
    let from = UtcMicros::from_micros(START);
    let to = UtcMicros::from_micros(START + FILE_DAYS * DAY);
    for (format, to_meet) in [(ReportFormat::Csv, 3), (ReportFormat::Xlsx, 15)] {
        let target = folder.join(format!("segments.{format}"));
        let mut best = (Duration::MAX, 0);
        for _ in 0..2 {
            let request = Request { from: Some(from), ..Request::whole_tenant(ReportKind::Segments, tenant(), to) };
            let wanted = ExportRequest { request, format, section: None, target: target.clone(), max_bytes: u64::MAX };
            let started = Instant::now();
            let manifest = export(store.reader(), &wanted, to, &Progress::default()).await.expect("made");
            best = (best.0.min(started.elapsed()), manifest.rows());
        }
        println!(
            "{} rows of segments as {format}: {:.2} s (a million in {to_meet} s to meet)",
            best.1,
            best.0.as_secs_f64()
        );
    }
    if let Some(python) = std::env::var_os("DUCKDB") {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/segments.py");
        let peer = std::process::Command::new(python).arg(script).arg(folder.join("segments.csv")).status();
        assert!(peer.expect("python runs").success(), "DuckDB was not measured");
    }
}

fn tenant() -> TenantId {
    "acme".into()
}

/// The best of some runs, and how many rows of what they were.
async fn written(store: &Store, runs: u32) -> (Duration, Counted) {
    let mut best = (Duration::MAX, Counted::default());
    for _ in 0..runs {
        let from = Some(UtcMicros::from_micros(START));
        let to = UtcMicros::from_micros(START + DAYS * DAY);
        let request = Request { from, ..Request::whole_tenant(ReportKind::Adherence, tenant(), to) };
        let mut counted = Counted::default();
        let started = Instant::now();
        ReportKind::Adherence.write(&request, store.reader(), &mut counted).await.expect("writes");
        best = (best.0.min(started.elapsed()), counted);
    }
    best
}

/// Counts rows, and adds up whatever they say in whole numbers.
#[derive(Default, Debug, PartialEq, Eq)]
struct Counted {
    rows: u64,
    sum: i64,
}

impl Sink for Counted {
    fn section(&mut self, _: &'static Section) -> Result<(), WriteError> {
        Ok(())
    }

    fn row(&mut self, cells: &[Cell]) -> Result<(), WriteError> {
        self.rows += 1;
        for (place, cell) in (1_i64..).zip(cells) {
            if let Cell::Seconds(whole) | Cell::Count(whole) = cell {
                self.sum = self.sum.wrapping_add(whole.wrapping_mul(place));
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), WriteError> {
        Ok(())
    }
}

/// Agents, shifts of eight hours with a lunch, and history, past the writer.
fn fill(file: &Path, agents: i64) {
    let mut peer = rusqlite::Connection::open(file).expect("opens");
    peer.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -200000").expect("settings");
    let transaction = peer.transaction().expect("begins");
    // The worker looks 31 days back.
    let end = START + (DAYS + 1) * DAY;
    let once = |sql, values: [i64; 2]| assert_eq!(transaction.execute(sql, values).expect("inserts"), 1);
    once(
        "INSERT INTO schedule_versions VALUES ('acme', 1, 'bench', x'00', ?1, 'bench', ?1, ?2, 0, 0)",
        [START - DAY, end],
    );
    once("INSERT INTO sight_spans VALUES ('acme', ?1, ?2)", [START - DAY, end]);
    for agent in 0..agents {
        let subject = uuid::Uuid::from_u128(agent.unsigned_abs().into()).to_string();
        let mut insert = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
            transaction.execute(sql, values).expect("inserts");
        };
        let team = format!("team {}", agent % 40);
        insert("INSERT INTO agents (tenant, id, team) VALUES ('acme', ?1, ?2)", &[&name(agent), &team]);
        insert("INSERT INTO subjects VALUES ('acme', ?1, ?2)", &[&name(agent), &subject]);
        insert(
            "INSERT INTO schedule_coverage (tenant, agent, starts_at, version_from, ends_at) VALUES ('acme', ?1, ?2, 1, ?3)",
            &[&name(agent), &(START - DAY), &end],
        );
        for day in 0..=DAYS {
            let begin = START + day * DAY + DAY / 3;
            let lunch = [begin + DAY / 6, begin + DAY / 6 + DAY / 48].map(UtcMicros::from_micros);
            let activities =
                format!(r#"[{{"activity":"lunch","start":"{}","end":"{}","mandatory":true}}]"#, lunch[0], lunch[1]);
            insert(
                "INSERT INTO shifts (tenant, agent, starts_at, version_from, ends_at, activities) VALUES ('acme', ?1, ?2, 1, ?3, ?4)",
                &[&name(agent), &begin, &(begin + DAY / 3), &activities],
            );
        }
        fill_history(&mut insert, agent);
    }
    transaction.commit().expect("commits");
}

/// One agent's rows, up to a day after the last.
fn fill_history(insert: &mut impl FnMut(&str, &[&dyn rusqlite::ToSql]), agent: i64) {
    let states = ["Ready", "OnContact", "AfterContactWork", "Paused", "NotReady"];
    let (step, rows) = (DAY / ROWS, (DAYS + 1) * ROWS);
    for n in 0..rows {
        let at = START + n * step + agent * 1_000_003;
        let left = (n + 1 < rows).then_some(at + step);
        let state = states[usize::try_from((n + agent) % 5).expect("small")];
        insert(
            "INSERT INTO state_history (tenant, agent, entered_at, left_at, id, state, source) \
             VALUES ('acme', ?1, ?2, ?3, ?4, ?5, 'snapshot')",
            &[&name(agent), &at, &left, &(agent * rows + n + 1), &state],
        );
    }
}

fn name(agent: i64) -> String {
    format!("u_{agent:05}")
}
