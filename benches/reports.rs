//! A million rows of a report into a file of each format that holds them all: how long it takes, and how much more memory.
//!
//! `cargo bench --bench reports`, with `--features parquet` for Parquet as well; `SMALL=1` before it takes a tenth of the rows. `FORMAT=csv` takes that
//! one alone: the peak of memory is the process's, so that a figure of it is of the first format alone.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures real time and reads its size from the environment"
)]
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark talks on stdout and stops at the first fault"
)]

use std::fs::{self, File};
use std::time::Instant;

use shiftkeeper::domain::reports::report_run::{ReportFormat, ReportKind};
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::report::document::{AuditHead, Cell, Heading, Section};
use shiftkeeper::report::export::digest_file;
use shiftkeeper::report::request::Request;
use shiftkeeper::report::tally::{CountingSink, Progress};
use shiftkeeper::report::writers::open_writer;

const START: i64 = 1_790_000_000_000_000;

fn main() {
    let rows: u32 = if std::env::var_os("SMALL").is_some() { 100_000 } else { 1_000_000 };
    let only = std::env::var("FORMAT").ok();
    // A page to print holds only so many rows.
    for format in ReportFormat::ALL.into_iter().filter(|format| *format != ReportFormat::Html) {
        if only.as_deref().is_none_or(|only| only == format.name()) {
            measure(format, rows);
        }
    }
}

fn heading() -> Heading {
    let request = Request {
        zone: "Europe/Berlin".to_owned(),
        ..Request::whole_tenant(ReportKind::Compliance, "acme".into(), UtcMicros::from_micros(START))
    };
    Heading {
        request,
        title: "Compliance",
        definitions: Vec::new(),
        notes: Vec::new(),
        data_until: None,
        made_at: UtcMicros::from_micros(START),
        audit_head: AuditHead { seq: 0, hash: String::new() },
    }
}

/// As the log of state changes has them.
fn row(n: u32) -> [Cell; 12] {
    let at = |offset: i64| Cell::Instant(UtcMicros::from_micros(START + i64::from(n) * 1_234_567 + offset));
    let refused = n.is_multiple_of(20);
    [
        Cell::text(uuid::Uuid::from_u128(u128::from(n) << 64).to_string()),
        at(0),
        Cell::text(format!("u_{:04}", n % 5000)),
        Cell::text("Ready"),
        Cell::text(if refused { "false" } else { "true" }),
        if refused { Cell::Empty("never answered") } else { Cell::count(n % 400) },
        if refused { Cell::text("AGENT_NOT_SCHEDULED") } else { Cell::Empty("policy allowed it") },
        if refused { Cell::text("AGENT_NOT_SCHEDULED") } else { Cell::Empty("nothing did") },
        Cell::text(if refused { "refused" } else { "confirmed" }),
        Cell::text("schedule"),
        at(9_000_000),
        Cell::text("back-from-break"),
    ]
}

fn measure(format: ReportFormat, rows: u32) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(format!("report.{format}"));
    let heading = heading();
    let section: &'static Section =
        ReportKind::Compliance.sections().iter().find(|section| section.name == "logs").expect("a log");
    let before = peak_kib();
    let start = Instant::now();
    let file = File::create(&path).expect("a file");
    let mut out = open_writer(format, &heading, file, folder.path(), u64::MAX).expect("a writer");
    let progress = Progress::default();
    let mut counted = CountingSink::new(&mut *out, None, &progress);
    push(&mut counted, section, rows);
    let tallies = counted.tallies();
    out.finish(&tallies).expect("whole");
    drop(out);
    File::options().append(true).open(&path).expect("there").sync_all().expect("synced");
    let (bytes, _) = digest_file(&path).expect("summed");
    let took = start.elapsed();
    println!(
        "{format}: {rows} rows of {} columns, {} MB, hashed and synced: {:.2} s, {:.0} rows/s, {} MiB more memory at the peak",
        section.columns.len(),
        bytes / 1_000_000,
        took.as_secs_f64(),
        f64::from(rows) / took.as_secs_f64(),
        (peak_kib() - before) / 1024,
    );
}

fn push(sink: &mut dyn shiftkeeper::report::document::Sink, section: &'static Section, rows: u32) {
    sink.section(section).expect("taken");
    for n in 0..rows {
        sink.row(&row(n)).expect("taken");
    }
    sink.end().expect("taken");
}

/// The most memory that the process had, in KiB.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").trim().parse().expect("a number")
}
