//! Reports over a store, in every format, and what their check finds.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use shiftkeeper::clock::ManualClock;
use shiftkeeper::domain::agents::agent::Agent;
use shiftkeeper::domain::agents::state::AgentState;
use shiftkeeper::domain::changes::policy::{OnContact, Violation};
use shiftkeeper::domain::changes::priority::Priority;
use shiftkeeper::domain::changes::transition::{Actor, Transition, TransitionStatus};
use shiftkeeper::domain::ids::{SubjectId, TransitionId};
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::domain::wording::unescape_formula;
use shiftkeeper::report::document::{Cell, CellKind, Column, Heading, Section, Sink as _};
use shiftkeeper::report::export::{ExportError, ExportRequest, digest_file, export, file_name};
use shiftkeeper::report::manifest::{Manifest, path_for};
use shiftkeeper::report::request::{Filters, ReportKind, Request};
use shiftkeeper::report::tally::Progress;
use shiftkeeper::report::verify::{Check, CheckOutcome, Verdict, read_manifest, verify};
use shiftkeeper::report::writers::{ReportFormat, Writer as _, csv as csv_writer, html, xlsx};
use shiftkeeper::store::{AgentWrite, Commit, ProcessIdentity, ProcessRole, Store};

fn at(seconds: i64) -> UtcMicros {
    UtcMicros::from_micros(seconds * 1_000_000)
}

/// The n-th is requested at n seconds, of agent n modulo 4; every third is refused, the others take n ms.
fn transition(n: u32, status: TransitionStatus) -> Transition {
    let refused = matches!(status, TransitionStatus::Refused { .. }).then_some(Violation::AgentNotScheduled);
    Transition {
        id: TransitionId(uuid::Uuid::from_u128(u128::from(n))),
        tenant: "acme".into(),
        agent: format!("=u_{}", n % 4).into(),
        target: AgentState::Ready,
        reason: "WORKING".into(),
        priority: if n.is_multiple_of(2) { Priority::Schedule } else { Priority::Person },
        actor: Actor::Rule { id: "back-from-break".into(), version: "1".into() },
        note: None,
        on_contact: OnContact::After,
        requested_at: at(i64::from(n)),
        deadline: at(100_000),
        before: None,
        explanation: Value::Null,
        attempts: 1,
        violation: refused,
        latency_ms: refused.is_none().then_some(u64::from(n)),
        change_set: None,
        status,
    }
}

fn usual_transition(n: u32) -> Transition {
    let status = if n.is_multiple_of(3) {
        TransitionStatus::Refused { violation: Violation::AgentNotScheduled }
    } else {
        TransitionStatus::Confirmed { at: at(9) }
    };
    transition(n, status)
}

/// A store with transitions 1 to `count`, in a folder that files go to as well. Agents 0 and 1 are of team Care.
pub(super) struct ReportStore {
    folder: tempfile::TempDir,
    store: Store,
    clock: Arc<ManualClock>,
}

impl ReportStore {
    pub(super) async fn with(count: u32) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("keeper.db").display());
        let clock = Arc::new(ManualClock::at(at(1)));
        let identity = ProcessIdentity { host: "here".to_owned(), pid: 1, version: "0".to_owned() };
        let store = Store::open(&url, ProcessRole::Daemon, clock.clone(), &identity).await.expect("opens");
        let agents = (0..4).map(|n| AgentWrite {
            tenant: "acme".into(),
            agent: Agent {
                id: format!("=u_{n}").into(),
                name: None,
                team: Some(if n < 2 { "Care" } else { "Billing" }.into()),
                zone: None,
            },
            subject: SubjectId(uuid::Uuid::from_u128(n)),
        });
        let commit = Commit {
            agents: agents.collect(),
            transitions: (1..=count).map(usual_transition).collect(),
            ..Commit::default()
        };
        store.writer().commit(commit).await.expect("commits");
        Self { folder, store, clock }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn export_request(&self, format: ReportFormat) -> ExportRequest {
        let request = Request::whole_tenant(ReportKind::Compliance, "acme".into(), at(50_000));
        let target = self.path(&format!("report.{format}"));
        ExportRequest { request, format, section: None, target, max_bytes: u64::MAX }
    }

    async fn export(&self, wanted: &ExportRequest) -> Result<Manifest, ExportError> {
        export(self.store.reader(), wanted, at(50_000), &Progress::default()).await
    }

    pub(super) async fn export_file(&self, format: ReportFormat) -> PathBuf {
        let wanted = self.export_request(format);
        self.export(&wanted).await.expect("made");
        wanted.target
    }

    pub(super) async fn verdict(&self, path: &Path) -> Verdict {
        verify(self.store.reader(), path).await.expect("checked")
    }

    async fn store_transitions(&self, transitions: Vec<Transition>) {
        self.store.writer().commit(Commit { transitions, ..Commit::default() }).await.expect("commits");
    }

    /// Names in the folder that no reader of it should find.
    fn partial_files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).expect("readable");
        let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        names.filter(|name| name.contains("partial") || name.starts_with("report")).collect()
    }
}

pub(super) fn outcome(verdict: &Verdict, what: &str) -> CheckOutcome {
    verdict.checks.iter().find(|check| check.what == what).unwrap_or_else(|| panic!("no {what}: {verdict:?}")).outcome
}

#[tokio::test]
async fn every_format_holds_and_has_a_manifest_that_counts_it() {
    let scene = ReportStore::with(1201).await;
    for format in ReportFormat::ALL {
        let wanted = scene.export_request(format);
        let manifest = scene.export(&wanted).await.expect("made");
        let text = std::fs::read_to_string(path_for(&wanted.target)).expect("a manifest");
        assert_eq!(Manifest::from_json(&text).as_ref(), Ok(&manifest));
        let rows: Vec<_> = manifest.sections.iter().map(|section| (section.name.as_str(), section.rows)).collect();
        assert_eq!(rows, [("logs", 1201), ("figures", 1), ("violations", 1), ("outcomes", 4), ("rules", 2)]);
        let verdict = scene.verdict(&wanted.target).await;
        // Only what the daemon makes stands in the chain.
        let others = |check: &&Check| check.what != "audit_entry";
        assert!(verdict.checks.iter().filter(others).all(|check| check.outcome == CheckOutcome::Holds), "{verdict:#?}");
        assert!(verdict.holds);
    }
}

#[tokio::test]
async fn a_changed_byte_in_file_manifest_or_store_is_found() {
    let scene = ReportStore::with(30).await;
    for format in ReportFormat::ALL {
        let path = scene.export_file(format).await;
        let sound = std::fs::read(&path).expect("a file");
        let mut changed = sound.clone();
        let place = changed.len() / 2;
        changed[place] = changed[place].wrapping_add(1);
        std::fs::write(&path, &changed).expect("written");
        assert_eq!(outcome(&scene.verdict(&path).await, "file"), CheckOutcome::Differs, "{format}");
        std::fs::write(&path, &sound).expect("written");

        let manifest = std::fs::read_to_string(path_for(&path)).expect("a manifest");
        for (from, to) in [
            ("\"rows\": 30", "\"rows\": 31"),
            ("\"seq\": 0", "\"seq\": 7"),
            ("acme", "acmo"),
            ("formula\": \"", "formula\": \"not "),
        ] {
            let forged = manifest.replacen(from, to, 1);
            assert_ne!(forged, manifest, "{from}");
            std::fs::write(path_for(&path), forged).expect("written");
            assert!(!scene.verdict(&path).await.holds, "{format}: {from}");
        }
        std::fs::write(path_for(&path), manifest).expect("written");
        assert!(scene.verdict(&path).await.holds);
    }
    // A row that had ended, and is another now.
    scene.store_transitions(vec![Transition { latency_ms: Some(77), ..usual_transition(10) }]).await;
    for format in ReportFormat::ALL {
        let verdict = scene.verdict(&scene.path(&format!("report.{format}"))).await;
        assert_eq!(outcome(&verdict, "file"), CheckOutcome::Holds);
        assert_eq!(outcome(&verdict, "rows"), CheckOutcome::Differs, "{format}: {verdict:#?}");
    }
}

#[tokio::test]
async fn what_was_forged_with_its_hash_is_found_by_its_rows_and_totals() {
    let scene = ReportStore::with(30).await;
    for (format, from, to, what) in [
        (ReportFormat::Csv, "00000001e,1970-01-01T00:00:30Z,'=u_2", "00000001e,1970-01-01T00:00:30Z,'=u_3", "rows"),
        (ReportFormat::Json, "\"totalTransitions\":30", "\"totalTransitions\":29", "totals"),
        (ReportFormat::Json, "\"latencyMs\":29", "\"latencyMs\":28", "totals"),
    ] {
        let path = scene.export_file(format).await;
        let text = std::fs::read_to_string(&path).expect("text");
        let forged = text.replacen(from, to, 1);
        assert_ne!(forged, text, "{from}\n{text}");
        forge(&path, forged.as_bytes(), |_| ());
        let verdict = scene.verdict(&path).await;
        assert_eq!(outcome(&verdict, "file"), CheckOutcome::Holds, "the forger was careful");
        assert_eq!(outcome(&verdict, what), CheckOutcome::Differs, "{from}: {verdict:#?}");
        let names_it = |check: &Check| check.says.iter().any(|line| line.contains(": the file has "));
        assert!(what != "rows" || verdict.checks.iter().any(names_it), "{verdict:#?}");
    }
}

/// Puts other bytes in the file's place, and a manifest that is changed, and fits.
fn forge(path: &Path, bytes: &[u8], change: impl Fn(&mut Manifest)) {
    std::fs::write(path, bytes).expect("written");
    let mut manifest = read_manifest(path).expect("a manifest");
    let (bytes, sha256) = digest_file(path).expect("summed");
    (manifest.file.bytes, manifest.file.sha256) = (bytes, sha256.to_string());
    change(&mut manifest);
    manifest.manifest_sha256 = manifest.compute_sha256();
    std::fs::write(path_for(path), manifest.to_json()).expect("written");
}

#[tokio::test]
async fn what_was_forged_with_its_hash_is_found_by_its_bytes_in_every_format() {
    let scene = ReportStore::with(30).await;
    for format in ReportFormat::ALL {
        let path = scene.export_file(format).await;
        let sound = std::fs::read(&path).expect("a file");
        let mut changed = sound.clone();
        let place = changed.len() / 2;
        changed[place] ^= 1;
        forge(&path, &changed, |_| ());
        let verdict = scene.verdict(&path).await;
        assert_eq!(outcome(&verdict, "file"), CheckOutcome::Holds, "the forger was careful");
        assert_eq!(outcome(&verdict, "same_bytes"), CheckOutcome::Differs, "{format}: {verdict:#?}");
        // A formula that is another in the manifest, and in the file where it has them.
        forge(&path, &sound, |manifest| manifest.definitions[0].formula = "as it pleases".into());
        let verdict = scene.verdict(&path).await;
        assert_eq!(outcome(&verdict, "manifest"), CheckOutcome::Differs, "{format}: {verdict:#?}");
        forge(&path, &sound, |_| ());
        assert_eq!(outcome(&scene.verdict(&path).await, "manifest"), CheckOutcome::Differs, "the formula stays forged");
    }
}

#[tokio::test]
async fn what_went_on_after_the_report_is_no_forgery() {
    let scene = ReportStore::with(6).await;
    scene.store_transitions(vec![transition(7, TransitionStatus::Sending { since: at(7) })]).await;
    let mut made = Vec::new();
    for format in ReportFormat::ALL {
        made.push((format, scene.export_file(format).await));
    }
    for (format, path) in &made {
        assert!(scene.verdict(path).await.holds, "{format}, before");
    }
    scene.clock.advance(Duration::from_secs(60_000));
    scene.store_transitions(vec![transition(7, TransitionStatus::Confirmed { at: at(60_000) })]).await;
    for (format, path) in made {
        let verdict = scene.verdict(&path).await;
        assert!(verdict.holds, "{format}: {verdict:#?}");
        assert!(verdict.checks.iter().any(|check| check.says[0].contains("after the report was made")), "{verdict:#?}");
    }
}

#[tokio::test]
async fn rows_that_moved_up_since_one_went_on_are_no_forgery() {
    let scene = ReportStore::with(0).await;
    let of = |rule: u32, n: u32, status| {
        let actor = Actor::Rule { id: format!("rule-{rule:02}").into(), version: "1".into() };
        Transition { actor, ..transition(n, status) }
    };
    let done = |n: u32| of(n, n, TransitionStatus::Confirmed { at: at(90) });
    scene
        .store_transitions((1..=20).map(done).chain([of(1, 21, TransitionStatus::Sending { since: at(21) })]).collect())
        .await;
    let mut made = Vec::new();
    for format in ReportFormat::ALL {
        made.push((format, scene.export_file(format).await));
    }
    scene.clock.advance(Duration::from_secs(60_000));
    // The row of what is under way goes, and all below it move up.
    scene.store_transitions(vec![of(1, 21, TransitionStatus::Confirmed { at: at(60_000) })]).await;
    for (format, path) in made {
        let verdict = scene.verdict(&path).await;
        assert!(verdict.holds, "{format}: {verdict:#?}");
    }
}

#[tokio::test]
async fn filters_leave_others_out_of_rows_and_totals() {
    let scene = ReportStore::with(40).await;
    let mut wanted = scene.export_request(ReportFormat::Json);
    wanted.request.filters =
        Filters { teams: vec!["Care".into()], agents: vec!["=u_1".into(), "=u_2".into()], ..Filters::default() };
    assert_eq!(scene.export(&wanted).await.expect("made").rows(), 10 + 1 + 1 + 2 + 2);
    let document: Value = serde_json::from_str(&std::fs::read_to_string(&wanted.target).expect("text")).expect("JSON");
    let logs = document["sections"]["logs"]["rows"].as_array().expect("rows");
    assert!(logs.iter().all(|row| row["userId"] == "=u_1") && logs.len() == 10);
    assert_eq!(document["sections"]["figures"]["rows"][0]["totalTransitions"], 10);
    assert_eq!(document["request"]["filters"], json!({"teams": ["Care"], "agents": ["=u_1", "=u_2"]}));
    assert!(scene.verdict(&wanted.target).await.holds);
}

#[tokio::test]
async fn unknown_agents_of_a_report_are_named() {
    let scene = ReportStore::with(40).await;
    let mut wanted = scene.export_request(ReportFormat::Json);
    wanted.request.filters = Filters {
        teams: vec!["Care".into(), "Crae".into()],
        agents: vec!["=u_1".into(), "u_9".into()],
        ..Filters::default()
    };
    let manifest = scene.export(&wanted).await.expect("made");
    assert_eq!(manifest.notes, ["Nobody is in team Crae", "There is no agent u_9"]);
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named_and_one_without_a_manifest_names_that() {
    let scene = ReportStore::with(40).await;
    let error = verify(scene.store.reader(), &scene.path("nothing.csv")).await.expect_err("no file").to_string();
    assert!(error.contains("nothing.csv cannot be read: there is no such file"), "{error}");
    let lone = scene.path("lone.csv");
    std::fs::write(&lone, "a\n").expect("written");
    let error = verify(scene.store.reader(), &lone).await.expect_err("no manifest").to_string();
    assert!(error.contains("lone.csv.manifest.json") && error.contains("keep the manifest"), "{error}");
}

#[tokio::test]
async fn a_cancelled_or_too_large_report_leaves_no_file() {
    let scene = ReportStore::with(600).await;
    for format in ReportFormat::ALL {
        let progress = Progress::default();
        progress.cancel();
        let ended = export(scene.store.reader(), &scene.export_request(format), at(50_000), &progress).await;
        assert!(ended.is_err_and(|error| error.is_cancelled()), "{format}");
        let small = ExportRequest { max_bytes: 2000, ..scene.export_request(format) };
        let error = scene.export(&small).await.expect_err("too large").to_string();
        assert!(error.contains("larger than 2000 bytes"), "{format}: {error}");
        let nowhere = ExportRequest { target: scene.path("no/such/folder/x"), ..scene.export_request(format) };
        let error = scene.export(&nowhere).await.expect_err("no folder").to_string();
        assert!(error.contains("create it or name another"), "{format}: {error}");
    }
    assert_eq!(scene.partial_files(), Vec::<String>::new());
}

#[tokio::test]
async fn the_json_figures_follow_from_the_log() {
    let scene = ReportStore::with(30).await;
    let path = scene.export_file(ReportFormat::Json).await;
    let document: Value = serde_json::from_str(&std::fs::read_to_string(path).expect("text")).expect("JSON");
    // 10 of 30 were refused; the others took 1, 2, 4, 5, … 29 ms: 20 of them, 300 ms in all.
    assert_eq!(
        document["sections"]["figures"]["rows"],
        json!([{"totalTransitions": 30, "violations": 10, "violationFrequency": 10.0 / 30.0, "averageLatencyMs": 15,
            "p50LatencyMs": 14, "p95LatencyMs": 28, "p99LatencyMs": 29}])
    );
    assert_eq!(document["tallies"][0]["name"], "logs");
    assert_eq!(document["definitions"][2]["source"], "guide 003");
}

const COLUMNS: &[Column] = &[
    Column { name: "what", title: "What", kind: CellKind::Text, definition: "" },
    Column { name: "number", title: "Number", kind: CellKind::Count, definition: "" },
    Column { name: "time", title: "Time", kind: CellKind::Seconds, definition: "" },
    Column { name: "share", title: "Share", kind: CellKind::Share, definition: "" },
    Column { name: "at", title: "At", kind: CellKind::Instant, definition: "" },
];

/// By the name of one that the compliance report has, so that a sheet of it is there.
const SECTION: Section = Section { name: "logs", title: "<b>Log</b>", columns: COLUMNS, written: None, chart: None };

pub(super) const HOSTILE: [&str; 9] = [
    "=HYPERLINK(\"http://x\")",
    "+1",
    "-1",
    "@SUM(A1)",
    "\tx",
    "two\r\nlines, \"quoted\"",
    "<script>alert(1)</script>",
    "]]> & &lt;",
    "Zoë 😀 \u{202e}",
];

pub(super) fn heading() -> Heading {
    Heading {
        request: Request::whole_tenant(ReportKind::Compliance, "<i>acme</i>".into(), at(1)),
        title: "Compliance",
        definitions: Vec::new(),
        notes: vec!["<u>down</u>".to_owned()],
        data_until: None,
        made_at: at(1),
        audit_head: shiftkeeper::report::document::AuditHead { seq: 0, hash: String::new() },
    }
}

fn hostile_rows() -> impl Iterator<Item = [Cell; 5]> {
    let at: UtcMicros = "2026-10-26T12:00:00Z".parse().expect("an instant");
    HOSTILE.into_iter().map(move |text| {
        [Cell::text(text), Cell::Count(-3), Cell::Seconds(90_061_500_000), Cell::Share(0.9375), Cell::Instant(at)]
    })
}

#[test]
fn hostile_text_comes_back_out_of_csv_as_it_was_and_begins_no_formula() {
    let mut file = Vec::new();
    let mut writer = csv_writer::Csv::new(&heading(), &mut file);
    writer.section(&SECTION).expect("taken");
    for row in hostile_rows() {
        writer.row(&row).expect("taken");
    }
    writer.end().expect("taken");
    writer.finish(&[]).expect("whole");
    drop(writer);
    let mut reader = csv::Reader::from_reader(file.as_slice());
    assert_eq!(reader.headers().expect("a heading"), vec!["what", "number", "time", "share", "at"]);
    let rows: Vec<_> = reader.records().map(|row| row.expect("a row")).collect();
    assert_eq!(rows.len(), HOSTILE.len());
    for (row, text) in rows.iter().zip(HOSTILE) {
        assert!(!row[0].starts_with(['=', '+', '-', '@', '\t', '\r']), "{row:?}");
        assert_eq!(unescape_formula(&row[0]), text);
        assert_eq!((&row[1], &row[2], &row[3], &row[4]), ("-3", "90061.5", "0.9375", "2026-10-26T12:00:00Z"));
    }
}

#[test]
fn no_data_is_markup_in_a_page() {
    let mut file = Vec::new();
    let mut writer = html::Html::new(&heading(), &mut file);
    writer.section(&SECTION).expect("taken");
    for row in hostile_rows() {
        writer.row(&row).expect("taken");
    }
    writer.end().expect("taken");
    writer.finish(&[]).expect("whole");
    drop(writer);
    let page = String::from_utf8(file).expect("text");
    for markup in ["<script", "<b>", "<i>", "<u>", "http://", "src=", "javascript"] {
        let harmless = page.replace("=HYPERLINK(&#34;http://x&#34;)", "");
        assert!(!harmless.contains(markup), "{markup}");
    }
    for text in ["&#60;script&#62;alert(1)&#60;/script&#62;", "93.8 %", "25:01:01", "2026-10-26 12:00:00", "Zoë 😀"]
    {
        assert!(page.contains(text), "{text}:\n{page}");
    }
}

#[test]
fn a_workbook_has_numbers_where_there_are_figures_and_text_where_there_is_text() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut writer = xlsx::Xlsx::new(&heading(), std::io::Cursor::new(Vec::new()), folder.path()).expect("a workbook");
    writer.section(&SECTION).expect("taken");
    for row in hostile_rows() {
        writer.row(&row).expect("taken");
    }
    writer.end().expect("taken");
    writer.finish(&[]).expect("whole");
    let bytes = writer.into_inner().into_inner();
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).expect("a zip");
    let mut part = |name: &str| {
        let mut text = String::new();
        archive.by_name(name).expect(name).read_to_string(&mut text).expect("text");
        text
    };
    let book = part("xl/workbook.xml");
    let names = ["figures", "violations", "outcomes", "rules", "logs", "Definitions", "Provenance"];
    for name in names {
        assert!(book.contains(&format!("name=\"{name}\"")), "{name}: {book}");
    }
    let sheet = part("xl/worksheets/sheet5.xml");
    assert!(sheet.contains("state=\"frozen\"") && sheet.contains("<autoFilter ref=\"A1:E10\""), "{sheet}");
    // Text stands inline, and nowhere is there a formula.
    assert!(!sheet.contains("<f>") && sheet.contains("t=\"inlineStr\""), "{sheet}");
    assert!(
        sheet.contains("=HYPERLINK(&quot;http://x&quot;)") || sheet.contains("=HYPERLINK(\"http://x\")"),
        "{sheet}"
    );
    // Noon of 2026-10-26 is 46321.5 days after the format's day 0; 25 h 1 min 1.5 s are 1.0423784… days.
    for number in ["<v>-3</v>", "<v>0.9375</v>", "<v>46321.5</v>", "<v>1.04237847"] {
        assert!(sheet.contains(number), "{number}: {sheet}");
    }
    let styles = part("xl/styles.xml");
    for format in ["[h]:mm:ss", "0.0%", "yyyy-mm-dd hh:mm:ss"] {
        assert!(styles.contains(format), "{format}: {styles}");
    }
}

#[test]
fn a_file_in_a_folder_is_named_by_what_it_holds() {
    let mut request = Request::whole_tenant(ReportKind::Compliance, "acme/1".into(), at(1_793_055_600));
    request.zone = "Europe/Berlin".to_owned();
    let made = at(1_793_100_000);
    assert_eq!(
        file_name(&request, Some("figures"), ReportFormat::Csv, made),
        "compliance-figures-acme_1-begin-20261026-20261027T112000Z.csv"
    );
    request.from = Some(at(1_792_969_200));
    assert_eq!(
        file_name(&request, Some("logs"), ReportFormat::Csv, made),
        "compliance-acme_1-20261026-20261026-20261027T112000Z.csv"
    );
}
