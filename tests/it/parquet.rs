//! Parquet, in builds with the feature: what is written comes back cell by cell, and another program reads the same out of it.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use jiff::civil::date;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use serde_json::{Value, json};
use shiftkeeper::domain::reports::report_run::ReportFormat;
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::report::document::{Cell, CellKind, Column, Definition, Section, Sink as _, WriteError};
use shiftkeeper::report::export::digest_file;
use shiftkeeper::report::manifest::path_for;
use shiftkeeper::report::request::ReportKind;
use shiftkeeper::report::verify::{CheckOutcome, read_manifest};
use shiftkeeper::report::writers::parquet::{Parquet, ParquetRows};
use shiftkeeper::report::writers::{LimitedWriter, Writer as _};

use crate::reports::{HOSTILE, ReportStore, heading, outcome};

const fn of(name: &'static str, kind: CellKind) -> Column {
    Column { name, title: "", kind, definition: "" }
}

/// One column of each kind.
const COLUMNS: &[Column] = &[
    of("what", CellKind::Text),
    of("count", CellKind::Count),
    of("number", CellKind::Number),
    of("time", CellKind::Seconds),
    of("share", CellKind::Share),
    of("at", CellKind::Instant),
    of("day", CellKind::Day),
];

const SECTION: Section = Section { name: "not-ready", title: "", columns: COLUMNS, written: None, chart: None };

/// More than one group holds.
const MANY: i64 = 70_000;

/// The n-th row: values from both sides of zero, hostile texts, and every seventh cell empty.
fn row(n: i64) -> Vec<Cell> {
    let place = usize::try_from(n).expect("not negative");
    let fraction = f64::from(i32::try_from(n % 512).expect("small")) / 512.0;
    let cells = [
        Cell::text(HOSTILE.get(place % (HOSTILE.len() + 1)).copied().unwrap_or_default()),
        Cell::Count(n - 1000),
        Cell::Number(fraction * 3.0 - 0.5),
        Cell::Seconds((n - 5) * 86_400_000_001),
        Cell::Share(fraction),
        Cell::Instant(UtcMicros::from_micros((n - 3) * 1_000_003)),
        Cell::Day(date(1969, 12, 30).checked_add(jiff::Span::new().days(n)).expect("in the calendar")),
    ];
    let empty = |at: usize| (place + at).is_multiple_of(7);
    cells.into_iter().enumerate().map(|(at, cell)| if empty(at) { Cell::Empty("none") } else { cell }).collect()
}

fn write(path: &Path, rows: impl Iterator<Item = Vec<Cell>>, most_bytes: u64) -> Result<(), WriteError> {
    let mut writer = Parquet::new(&heading(), LimitedWriter::new(File::create(path).expect("a file"), most_bytes));
    writer.section(&SECTION)?;
    for row in rows {
        writer.row(&row)?;
    }
    writer.end()?;
    writer.finish(&[])
}

fn read(path: &Path) -> Vec<Vec<Cell>> {
    let mut rows = ParquetRows::open(path).expect("a Parquet file");
    assert!(rows.has_columns(COLUMNS));
    std::iter::from_fn(|| rows.next(COLUMNS).expect("read"))
        .map(|cells| cells.into_iter().map(|cell| cell.expect("a cell")).collect())
        .collect()
}

/// Why a cell is empty is not in the file.
fn without_why(row: Vec<Cell>) -> Vec<Cell> {
    row.into_iter().map(|cell| if let Cell::Empty(_) = cell { Cell::Empty("") } else { cell }).collect()
}

#[test]
fn every_kind_of_cell_comes_back_as_it_was_over_several_groups() {
    let folder = tempfile::tempdir().expect("a folder");
    for count in [0, 1, 20, MANY] {
        let path = folder.path().join(format!("{count}.parquet"));
        write(&path, (0..count).map(row), u64::MAX).expect("written");
        let again = read(&path);
        assert_eq!(i64::try_from(again.len()), Ok(count));
        for (n, again) in (0..).zip(again) {
            assert_eq!(again, without_why(row(n)), "row {n} of {count}");
        }
    }
    // The ends of what cells may be.
    let ends = [
        vec![
            Cell::text("\0\u{10ffff}"),
            Cell::Count(i64::MIN),
            Cell::Number(f64::MIN_POSITIVE),
            Cell::Seconds(-999_999_999_999_999_999),
            Cell::Share(-0.0),
            Cell::Instant(UtcMicros::from_micros(i64::MIN)),
            Cell::Day(jiff::civil::Date::MIN),
        ],
        vec![
            Cell::text("x".repeat(100_000)),
            Cell::Count(i64::MAX),
            Cell::Number(f64::MAX),
            Cell::Seconds(999_999_999_999_999_999),
            Cell::Share(1.0 / 3.0),
            Cell::Instant(UtcMicros::MAX),
            Cell::Day(jiff::civil::Date::MAX),
        ],
    ];
    let path = folder.path().join("ends.parquet");
    write(&path, ends.iter().cloned(), u64::MAX).expect("written");
    assert_eq!(read(&path), ends);
}

#[test]
fn a_cell_of_another_kind_and_a_file_that_grows_too_large_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("wrong.parquet");
    let mut wrong = row(1);
    wrong[1] = Cell::text("seven");
    let error = write(&path, std::iter::once(wrong), u64::MAX).expect_err("refused").to_string();
    let cause = write(&path, (0..MANY).map(row), 10_000).expect_err("too large");
    assert!(matches!(&cause, WriteError::Io(cause) if cause.kind() == std::io::ErrorKind::FileTooLarge), "{cause:?}");
    assert!(!error.is_empty());
    let mut seconds = row(1);
    seconds[3] = Cell::Seconds(i64::MAX);
    assert!(write(&path, std::iter::once(seconds), u64::MAX).is_err(), "no decimal of 18 places holds it");
}

#[test]
fn the_metadata_have_each_name_once_and_no_source_where_there_is_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("told.parquet");
    let definition = |name: &'static str, source: &'static str| Definition {
        name: name.into(),
        formula: "a / b".into(),
        source: source.into(),
    };
    let mut told = heading();
    told.notes = vec!["one".to_owned(), "two".to_owned()];
    told.definitions = vec![definition("ours", ""), definition("theirs", "guide 003")];
    let mut writer = Parquet::new(&told, File::create(&path).expect("a file"));
    writer.section(&SECTION).expect("taken");
    writer.end().expect("taken");
    writer.finish(&[]).expect("whole");
    let reader = SerializedFileReader::new(File::open(&path).expect("a file")).expect("a Parquet file");
    let metadata = reader.metadata().file_metadata().key_value_metadata().expect("metadata");
    let value = |name: &str| {
        let mut found = metadata.iter().filter(|pair| pair.key == name);
        let value = found.next().and_then(|pair| pair.value.clone());
        assert!(found.next().is_none(), "{name} comes twice");
        value
    };
    assert_eq!(value("Note").as_deref(), Some("one\ntwo"));
    assert_eq!(value("Definition of ours").as_deref(), Some("a / b"));
    assert_eq!(value("Definition of theirs").as_deref(), Some("a / b (guide 003)"));
}

/// The manifest gets the hash of a file that was changed.
fn reseal(path: &Path) {
    let mut manifest = read_manifest(path).expect("a manifest");
    let (bytes, sha256) = digest_file(path).expect("summed");
    (manifest.file.bytes, manifest.file.sha256) = (bytes, sha256.to_string());
    std::fs::write(path_for(path), manifest.to_json()).expect("written");
}

#[tokio::test]
async fn a_group_that_cannot_be_read_is_an_error_also_where_the_manifest_has_its_hash() {
    let scene = ReportStore::with(30).await;
    let path = scene.export_file(ReportFormat::Parquet).await;
    let mut bytes = std::fs::read(&path).expect("a file");
    // The first page's header, behind the four letters that every file begins with.
    bytes[4..24].fill(0xff);
    std::fs::write(&path, bytes).expect("written");
    let section = ReportKind::Compliance.sections().iter().find(|section| section.name == "logs").expect("the log");
    let mut rows = ParquetRows::open(&path).expect("its end is whole");
    assert!(rows.next(section.columns).is_err());
    reseal(&path);
    assert!(!scene.verdict(&path).await.holds);
}

#[tokio::test]
async fn what_was_forged_with_its_hash_is_found_by_its_row_and_column() {
    let scene = ReportStore::with(30).await;
    let path = scene.export_file(ReportFormat::Parquet).await;
    let verdict = scene.verdict(&path).await;
    assert!(verdict.holds, "{verdict:#?}");
    for what in ["manifest", "file", "rows", "same_bytes"] {
        assert_eq!(outcome(&verdict, what), CheckOutcome::Holds, "{verdict:#?}");
    }
    // The thirtieth transition is of agent 2.
    let section = ReportKind::Compliance.sections().iter().find(|section| section.name == "logs").expect("the log");
    let mut rows = ParquetRows::open(&path).expect("a Parquet file");
    let mut writer = Parquet::new(&heading(), File::create(scene.path("forged")).expect("a file"));
    writer.section(section).expect("taken");
    let mut changed = 0;
    while let Some(cells) = rows.next(section.columns).expect("read") {
        let mut cells: Vec<Cell> = cells.into_iter().map(|cell| cell.expect("a cell")).collect();
        let agent = cells.iter_mut().find(|cell| cell.label() == "=u_2");
        if let Some(agent) = agent.filter(|_| changed == 0) {
            *agent = Cell::text("=u_3");
            changed += 1;
        }
        writer.row(&cells).expect("taken");
    }
    assert_eq!(changed, 1);
    writer.end().expect("taken");
    writer.finish(&[]).expect("whole");
    std::fs::rename(scene.path("forged"), &path).expect("renamed");
    reseal(&path);
    let verdict = scene.verdict(&path).await;
    assert_eq!((outcome(&verdict, "file"), outcome(&verdict, "rows")), (CheckOutcome::Holds, CheckOutcome::Differs));
    let says = format!("{verdict:?}");
    assert!(says.contains("=u_3") && says.contains("=u_2"), "{says}");
}

#[test]
fn duckdb_reads_the_same_rows_types_and_sums() {
    let Some(python) = python() else {
        println!("skipped: SHIFTKEEPER_TEST_DUCKDB names no Python with the package duckdb; tests/run sets it");
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("judged.parquet");
    write(&path, (0..MANY).map(row), u64::MAX).expect("written");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/judges/duckdb_parquet.py");
    let output = Command::new(python).arg(script).arg(&path).output().expect("Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&found["rows"], &found["groups"]), (&json!(MANY), &json!(2)));
    assert_eq!(
        found["types"],
        json!({"what": "VARCHAR", "count": "BIGINT", "number": "DOUBLE", "time": "DECIMAL(18,6)", "share": "DOUBLE",
            "at": "TIMESTAMP WITH TIME ZONE", "day": "DATE"})
    );
    for (place, column) in COLUMNS.iter().enumerate() {
        let cells: Vec<Cell> = (0..MANY).map(|n| row(n).swap_remove(place)).collect();
        let nulls = cells.iter().filter(|cell| matches!(cell, Cell::Empty(_))).count();
        assert_eq!(found["nulls"][column.name], nulls, "{}", column.name);
        let said = found["sums"][column.name].as_str().expect("a sum");
        assert_eq!(said.parse::<f64>().ok(), Some(total(&cells)), "{}", column.name);
    }
    let mut texts: Vec<_> = HOSTILE.to_vec();
    texts.push("");
    texts.sort_unstable();
    assert_eq!(found["texts"]["what"], json!(texts));
    let metadata = found["metadata"].as_array().expect("a list");
    for pair in [json!(["Tenant", "<i>acme</i>"]), json!(["Note", "<u>down</u>"]), json!(["Report", "compliance"])] {
        assert!(metadata.contains(&pair), "{pair}: {metadata:?}");
    }
}

/// As the judge sums: bytes of texts, seconds of spans, microseconds of instants, days since 1970. All are binary fractions or stay
/// below 2^53 but for spans and instants, whose sums are taken whole.
#[expect(clippy::cast_precision_loss, reason = "both sides are rounded once, at the end")]
fn total(cells: &[Cell]) -> f64 {
    let (mut whole, mut micros, mut fraction) = (0i128, 0i128, 0.0);
    for cell in cells {
        match cell {
            Cell::Text(text) => whole += i128::try_from(text.len()).expect("short"),
            Cell::Count(count) => whole += i128::from(*count),
            Cell::Seconds(span) => micros += i128::from(*span),
            Cell::Number(number) | Cell::Share(number) => fraction += number,
            Cell::Instant(at) => whole += i128::from(at.as_micros()),
            Cell::Day(day) => whole += i128::from(day.since(date(1970, 1, 1)).expect("near").get_days()),
            Cell::Empty(_) => {}
        }
    }
    if micros == 0 {
        return whole as f64 + fraction;
    }
    let sign = if micros < 0 { "-" } else { "" };
    let magnitude = micros.unsigned_abs();
    format!("{sign}{}.{:06}", magnitude / 1_000_000, magnitude % 1_000_000).parse().expect("a number")
}

/// A Python that has it. `tests/run` sees to it; elsewhere the test says why it does nothing.
#[expect(clippy::disallowed_methods, reason = "how the tests are run is not for the configuration")]
fn python() -> Option<std::ffi::OsString> {
    std::env::var_os("SHIFTKEEPER_TEST_DUCKDB").filter(|python| python != "none")
}
