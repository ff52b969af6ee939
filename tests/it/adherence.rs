//! Adherence over time, from the store to the report: what the days add up to equals what plain SQL counts in the exported segments,
//! whatever was computed before and whatever changes the past.

mod series;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use rusqlite::Connection;
use shiftkeeper::clock::{Clock as _, ManualClock, SharedClock};
use shiftkeeper::domain::adherence::AdherenceSettings;
use shiftkeeper::domain::adherence::exception::{Exception, ExceptionScope};
use shiftkeeper::domain::adherence::figures::AdherenceFormula;
use shiftkeeper::domain::agents::agent::{Agent, ObservationSource};
use shiftkeeper::domain::agents::state::AgentState;
use shiftkeeper::domain::audit::Hash;
use shiftkeeper::domain::ids::{AgentId, ExceptionId, SubjectId, TenantId};
use shiftkeeper::domain::schedules::schedule::{Activity, Coverage, Shift, ShiftActivity};
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::engine::adherence::adherence_days::{AdherenceDaysParts, AdherenceDaysWorker};
use shiftkeeper::report::document::{Cell, Recount, Section, Sink, WriteError};
use shiftkeeper::report::export::{ExportRequest, export};
use shiftkeeper::report::request::{ReportKind, Request};
use shiftkeeper::report::tally::Progress;
use shiftkeeper::report::verify::{CheckOutcome, verify};
use shiftkeeper::report::writers::ReportFormat;
use shiftkeeper::store::{
    AgentSchedule, Commit, HistoryRow, HistoryWrite, ObservedSpanRow, ProcessIdentity, ProcessRole, ScheduleImport,
    Store,
};
use uuid::Uuid;

const MINUTE: i64 = 60_000_000;
const DAYS: i64 = 4;

/// The clocks of Berlin go back on the second day, those of New York a week later.
fn start() -> UtcMicros {
    "2026-10-24T00:00:00Z".parse().expect("an instant")
}

fn minute(minute: i64) -> UtcMicros {
    start().offset(minute * MINUTE)
}

/// Numbers that look random and are the same each time.
struct TestRandom(u64);

impl TestRandom {
    fn below(&mut self, below: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((self.0 >> 33) % below.unsigned_abs()).expect("small")
    }
}

struct AdherenceStore {
    clock: ManualClock,
    store: Store,
    worker: AdherenceDaysWorker,
    folder: tempfile::TempDir,
}

fn tenant() -> TenantId {
    "acme".into()
}

/// Ida lives in Berlin, Ned in New York, nobody knows where Una does.
const AGENTS: [(&str, Option<&str>, Option<&str>); 3] =
    [("ida", Some("red"), Some("Europe/Berlin")), ("ned", Some("blue"), Some("America/New_York")), ("una", None, None)];

fn agent((id, team, zone): (&str, Option<&str>, Option<&str>)) -> Agent {
    Agent { id: id.into(), name: None, team: team.map(Into::into), zone: zone.map(Into::into) }
}

impl AdherenceStore {
    async fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("s.db").display());
        let manual = ManualClock::at(minute(DAYS * 1440 + 600));
        let clock: SharedClock = Arc::new(manual.clone());
        let identity = ProcessIdentity { host: "desk".to_owned(), pid: 1, version: "0".to_owned() };
        let store = Store::open(&url, ProcessRole::Daemon, clock.clone(), &identity).await.expect("opens");
        let (writer, reader) = (store.writer().clone(), store.reader().clone());
        let worker = AdherenceDaysWorker::new(AdherenceDaysParts {
            tenant: tenant(),
            clock,
            writer,
            reader,
            compute_lock: Arc::default(),
        });
        let scene = Self { clock: manual, store, worker, folder };
        scene.fill(&mut TestRandom(seed)).await;
        scene
    }

    async fn fill(&self, dice: &mut TestRandom) {
        self.import("first", dice, (0, (DAYS + 1) * 1440)).await;
        let mut commit = Commit::default();
        for (id, _, _) in AGENTS {
            let mut at = -600 + dice.below(60);
            while at < (DAYS + 1) * 1440 - 300 {
                commit.history.push(history_entry(id, minute(at).offset(dice.below(1_000_000)), dice));
                at += 1 + dice.below(240);
            }
        }
        // The daemon was down for three hours on the second day, and for a minute on the third.
        for (from, to) in [(-700, 1440 + 600), (1440 + 780, 2 * 1440 + 700), (2 * 1440 + 701, (DAYS + 1) * 1440)] {
            commit.adherence.observed_spans.push(ObservedSpanRow {
                tenant: tenant(),
                starts_at: minute(from),
                ends_at: minute(to),
            });
        }
        commit.exceptions.push(self.exception(1, ExceptionScope::Team("red".into()), (1500, 1600)));
        self.commit(commit).await;
    }

    async fn import(&self, name: &str, dice: &mut TestRandom, covers: (i64, i64)) {
        let coverage = Coverage { start: minute(covers.0), end: minute(covers.1) };
        let agents = (0_u128..).zip(AGENTS).map(|(number, who)| {
            let days = (covers.0 / 1440)..(covers.1 / 1440);
            let shifts = days.map(|day| shift(day * 1440 + 360 + dice.below(900), 240 + dice.below(300))).collect();
            AgentSchedule {
                agent: agent(who),
                subject: SubjectId(Uuid::from_u128(number)),
                shifts,
                coverage,
                is_covered: true,
                skills: None,
            }
        });
        let agents = agents.collect();
        let (content_hash, actor) = (Hash::of(name.as_bytes()), "person:anna".to_owned());
        let import = ScheduleImport {
            tenant: tenant(),
            name: name.to_owned(),
            content_hash,
            agents,
            actor,
            with_activation: Commit::default(),
        };
        self.store.writer().import(import).await.expect("imports");
    }

    /// A second later it is the past.
    async fn commit(&self, commit: Commit) {
        self.store.writer().commit(commit).await.expect("commits");
        self.clock.advance(Duration::from_secs(1));
    }

    fn exception(&self, number: u128, agents: ExceptionScope, (from, to): (i64, i64)) -> Exception {
        Exception {
            id: ExceptionId(Uuid::from_u128(number)),
            tenant: tenant(),
            scope: agents,
            from: minute(from),
            to: minute(to),
            reason: "training".into(),
            created_by: "anna".into(),
            created_at: self.clock.now(),
            early_end: None,
        }
    }

    async fn report(&self, kind: ReportKind, variant: Option<AdherenceFormula>) -> CollectedRows {
        let request = Request {
            from: Some(minute(0)),
            variant: variant.map(|variant| variant.name().to_owned()),
            ..Request::whole_tenant(kind, tenant(), minute(DAYS * 1440 + 333))
        };
        request.check().expect("a sound request");
        let mut rows = CollectedRows { again: kind.new_recount(), ..CollectedRows::default() };
        kind.write(&request, self.store.reader(), &mut rows).await.expect("writes");
        assert_eq!(rows.again.as_mut().expect("each can be counted again").end(), Vec::<String>::new(), "{kind}");
        rows
    }

    /// How often figures were computed again, by the audit chain.
    async fn recomputations(&self) -> Vec<serde_json::Value> {
        let entries = self.store.reader().audit_entries(&tenant(), 0, 500).await.expect("reads");
        let bodies = entries.iter().map(|entry| serde_json::from_str(&entry.body).expect("JSON"));
        bodies.filter(|body: &serde_json::Value| body["action"] == "rollup.recomputed").collect()
    }

    async fn run_worker(&mut self) {
        self.worker.update(&AdherenceSettings::default()).await.expect("works");
    }

    /// How many days are stored, and how many of them are stale.
    async fn days(&self) -> (usize, usize) {
        let all = (Date::constant(2026, 1, 1), Date::constant(2027, 1, 1));
        let (mut days, mut stale) = (0, 0);
        for (id, _, _) in AGENTS {
            let stored = self.store.reader().days_of_agent(&tenant(), &id.into(), all).await.expect("reads");
            days += stored.len();
            stale += stored.iter().filter(|day| day.stale).count();
        }
        (days, stale)
    }

    /// The report of days as it is, and as it is with every day computed from its segments.
    async fn assert_report_matches_segments(&self) -> CollectedRows {
        let (report, segments) =
            (self.report(ReportKind::Adherence, None).await, self.report(ReportKind::Segments, None).await);
        for variant in AdherenceFormula::ALL {
            let report = self.report(ReportKind::Adherence, Some(variant)).await;
            assert_equals_recount(&report, &segments, variant);
        }
        self.report(ReportKind::NotReady, None).await;
        let breaks = self.report(ReportKind::Breaks, None).await;
        let due = report.section("total")[0][1 + figure_index("breaksDue")].clone();
        let excused = report.section("total")[0][1 + figure_index("breaksExcused")].clone();
        let (Cell::Count(due), Cell::Count(excused)) = (due, excused) else { panic!("counts") };
        assert_eq!(usize::try_from(due + excused), Ok(breaks.section("breaks").len()));
        report
    }
}

fn history_entry(agent: &str, entered_at: UtcMicros, dice: &mut TestRandom) -> HistoryWrite {
    let unknown = [AgentState::unobserved(), AgentState::Unknown("Tea".into())];
    let states: Vec<AgentState> = AgentState::KNOWN.into_iter().chain(unknown).collect();
    let state = states[usize::try_from(dice.below(9)).expect("small")].clone();
    HistoryWrite::Enter(HistoryRow {
        tenant: tenant(),
        agent: agent.into(),
        entered_at,
        platform_at: None,
        reason: (dice.below(3) == 0).then(|| "a;b|c%".into()),
        state,
        queue: None,
        source: ObservationSource::Snapshot,
        transition: None,
        by_person: false,
    })
}

fn shift(start: i64, length: i64) -> Shift {
    let activity = |activity, from, to, mandatory| ShiftActivity {
        activity,
        start: minute(start + from),
        end: minute(start + to),
        mandatory,
    };
    let activities = vec![
        activity(Activity::Break, 60, 75, false),
        activity(Activity::Lunch, 120, 150, true),
        activity(Activity::Meeting, 180, 200, false),
    ];
    Shift { start: minute(start), end: minute(start + length), activities }
}

/// What a report wrote, by section.
#[derive(Default)]
struct CollectedRows {
    sections: BTreeMap<&'static str, Vec<Vec<Cell>>>,
    open: Option<&'static Section>,
    again: Option<Box<dyn Recount>>,
}

impl Sink for CollectedRows {
    fn section(&mut self, section: &'static Section) -> Result<(), WriteError> {
        assert!(self.open.replace(section).is_none() && self.sections.insert(section.name, Vec::new()).is_none());
        Ok(())
    }

    fn row(&mut self, cells: &[Cell]) -> Result<(), WriteError> {
        let section = self.open.expect("a section is open");
        assert_eq!(cells.len(), section.columns.len());
        self.again.as_mut().expect("it counts").row(section, cells);
        self.sections.get_mut(section.name).expect("it is there").push(cells.to_vec());
        Ok(())
    }

    fn end(&mut self) -> Result<(), WriteError> {
        assert!(self.open.take().is_some());
        Ok(())
    }
}

impl CollectedRows {
    fn section(&self, name: &str) -> &[Vec<Cell>] {
        &self.sections[name]
    }
}

/// The place of a figure among the figures.
fn figure_index(name: &str) -> usize {
    let section = ReportKind::Adherence.sections().iter().find(|section| section.name == "total").expect("it is there");
    section.columns.iter().position(|column| column.name == name).expect("a figure") - 1
}

/// The figures of each agent by plain SQL over the exported segments, against those of the report.
fn assert_equals_recount(report: &CollectedRows, segments: &CollectedRows, variant: AdherenceFormula) {
    let connection = Connection::open_in_memory().expect("memory");
    connection
        .execute_batch("CREATE TABLE s (agent TEXT, us INTEGER, planned TEXT, state TEXT, verdict TEXT, why TEXT)")
        .expect("a table");
    let text = |cell: &Cell| match cell {
        Cell::Text(text) => Some(text.clone().into_owned()),
        _ => None,
    };
    for row in segments.section("segments") {
        let Cell::Seconds(us) = row[3] else { panic!("a span") };
        connection
            .execute(
                "INSERT INTO s VALUES (?, ?, ?, ?, ?, ?)",
                (text(&row[0]), us, text(&row[4]), text(&row[6]), text(&row[8]), text(&row[9])),
            )
            .expect("a row");
    }
    let adherence = match variant {
        AdherenceFormula::InOfScheduled => "1.0 * i / (i + o + n)",
        AdherenceFormula::Exceptions => "MAX(0, 1 - 1.0 * o / (i + o + n))",
        AdherenceFormula::ExceptionsOutside => "MAX(0, 1 - 1.0 * (o + x) / (i + o + n + x))",
        AdherenceFormula::NeutralOut => "1.0 * i / (i + o)",
    };
    let sql = format!(
        "SELECT {adherence}, 1.0 * w / p, 1.0 * h / (h + r), 1.0 * hs / (i + o + n), 1.0 * (i + o + n - ws) / (i + o + n), i, o, n, u, nr \
         FROM (SELECT SUM(CASE WHEN verdict = 'in' THEN us ELSE 0 END) AS i, SUM(CASE WHEN verdict = 'out' THEN us ELSE 0 END) AS o, \
         SUM(CASE WHEN verdict = 'neutral' THEN us ELSE 0 END) AS n, \
         SUM(CASE WHEN verdict = 'unknown' AND planned NOT IN ('off', 'uncovered') THEN us ELSE 0 END) AS u, \
         SUM(CASE WHEN planned = 'off' AND state IN ('Ready', 'OnContact', 'AfterContactWork') THEN us ELSE 0 END) AS x, \
         SUM(CASE WHEN planned <> 'uncovered' AND state IN ('Ready', 'OnContact', 'AfterContactWork') THEN us ELSE 0 END) AS w, \
         SUM(CASE WHEN planned NOT IN ('off', 'uncovered') AND state IN ('Ready', 'OnContact', 'AfterContactWork') THEN us ELSE 0 END) AS ws, \
         SUM(CASE WHEN planned = 'work' AND verdict IN ('in', 'out', 'neutral') THEN us ELSE 0 END) AS p, \
         SUM(CASE WHEN state IN ('OnContact', 'AfterContactWork') THEN us ELSE 0 END) AS h, \
         SUM(CASE WHEN planned NOT IN ('off', 'uncovered') AND state IN ('OnContact', 'AfterContactWork') THEN us ELSE 0 END) AS hs, \
         SUM(CASE WHEN state = 'Ready' THEN us ELSE 0 END) AS r, \
         SUM(CASE WHEN state IN ('NotReady', 'Paused', 'Idle') THEN us ELSE 0 END) AS nr FROM s WHERE agent = ?)"
    );
    for row in report.section("agents") {
        let agent = text(&row[0]).expect("an agent");
        let figures = &row[2..];
        connection
            .query_row(&sql, [&agent], |counted| {
                for (share, said) in figures.iter().take(5).enumerate() {
                    let counted = counted.get::<_, Option<f64>>(share)?;
                    match (counted, said) {
                        (Some(counted), Cell::Share(said)) => {
                            assert!((counted - said).abs() < 1e-12, "{agent} {share}");
                        }
                        (None, Cell::Empty(why)) => assert!(!why.is_empty()),
                        (counted, said) => panic!("{agent} {share}: {counted:?} and {said:?}"),
                    }
                }
                let names = ["inSeconds", "outSeconds", "neutralSeconds", "unknownSeconds", "notReadySeconds"];
                for (column, name) in (5..).zip(names) {
                    assert_eq!(Cell::Seconds(counted.get(column)?), figures[figure_index(name)], "{agent} {name}");
                }
                Ok(())
            })
            .expect("counts");
    }
}

/// The rows of two reports are the same.
fn assert_same_rows(one: &CollectedRows, other: &CollectedRows) {
    assert_eq!(one.sections, other.sections);
}

#[tokio::test]
async fn days_equal_their_segments_before_and_after_the_past_changes() {
    for seed in 1..=6 {
        let mut scene = AdherenceStore::new(seed).await;
        let from_segments = scene.assert_report_matches_segments().await;
        assert_eq!(scene.days().await, (0, 0));
        scene.run_worker().await;
        let (days, stale) = scene.days().await;
        assert!(days >= AGENTS.len() * 4 && stale == 0, "{days} days, {stale} stale");
        assert_same_rows(&from_segments, &scene.assert_report_matches_segments().await);
        // Computing again changes nothing.
        scene.run_worker().await;
        assert_eq!(scene.days().await, (days, 0));
        assert_eq!(scene.recomputations().await.len(), 0);

        // A late change of a state, two days back: known to be stale in the same commit, and counted before anything is computed.
        let dice = &mut TestRandom(seed + 100);
        let HistoryWrite::Enter(row) = history_entry("ida", minute(2 * 1440 + 601), dice) else { panic!("a row") };
        let late = HistoryRow { reason: Some("LATE".into()), ..row };
        scene.commit(Commit { history: vec![HistoryWrite::Enter(late)], ..Commit::default() }).await;
        assert!(scene.days().await.1 > 0);
        scene.assert_report_holds_while_stale("a late change", 1).await;

        // Somebody is excused after the fact.
        let excused = scene.exception(2, ExceptionScope::Agents(vec![AgentId::from("ned")]), (600, 4000));
        scene.commit(Commit { exceptions: vec![excused], ..Commit::default() }).await;
        assert!(scene.days().await.1 > 0);
        scene.assert_report_holds_while_stale("an exception", 1).await;

        // Another schedule for two days of the past.
        scene.import("second", dice, (1440, 3 * 1440)).await;
        assert!(scene.days().await.1 > 0);
        scene.assert_report_holds_while_stale("a schedule", 1).await;
    }
}

impl AdherenceStore {
    /// The report holds while days are stale; mending changes no figure of it, and keeps what was said before.
    async fn assert_report_holds_while_stale(&mut self, what: &str, at_least: usize) {
        let (known, stale) = (self.recomputations().await.len(), self.assert_report_matches_segments().await);
        self.run_worker().await;
        assert_eq!(self.days().await.1, 0, "{what}");
        assert_same_rows(&stale, &self.assert_report_matches_segments().await);
        let entries = self.recomputations().await;
        assert!(entries.len() >= known + at_least, "{what}: {} entries", entries.len() - known);
        for entry in &entries[known..] {
            for day in entry["why"]["days"].as_array().expect("days") {
                assert_ne!(day["before"]["sums"], day["after"]["sums"], "{what}");
            }
        }
        self.run_worker().await;
        assert_eq!(self.recomputations().await.len(), entries.len(), "{what}: twice is once");
    }
}

#[tokio::test]
async fn verification_distinguishes_open_rows_from_changed_files() {
    let kinds = [ReportKind::Adherence, ReportKind::Segments, ReportKind::NotReady, ReportKind::Breaks];
    let scene = AdherenceStore::new(3).await;
    let made = async |kind: ReportKind, format: ReportFormat, to: i64| {
        let request = Request { from: Some(minute(0)), ..Request::whole_tenant(kind, tenant(), minute(to)) };
        let target = scene.folder.path().join(format!("{kind}-{to}.{format}"));
        let wanted = ExportRequest { request, format, section: None, target, max_bytes: u64::MAX };
        export(scene.store.reader(), &wanted, scene.clock.now(), &Progress::default()).await.expect("made");
        wanted.target
    };
    let (mut over, mut running) = (Vec::new(), Vec::new());
    for kind in kinds {
        for format in ReportFormat::ALL {
            over.push(made(kind, format, 2 * 1440).await);
            running.push(made(kind, format, DAYS * 1440 + 600).await);
        }
    }
    for path in over.iter().chain(&running) {
        let verdict = verify(scene.store.reader(), path).await.expect("checked");
        assert!(verdict.holds, "{}: {:#?}", path.display(), verdict.checks);
    }
    // The agents' state interval is another one from an hour before the report on.
    let mut dice = TestRandom(9);
    let history = AGENTS.map(|(id, ..)| history_entry(id, minute(DAYS * 1440 + 540), &mut dice)).to_vec();
    scene.commit(Commit { history, ..Commit::default() }).await;
    for path in &over {
        assert!(verify(scene.store.reader(), path).await.expect("checked").holds, "{}", path.display());
    }
    for path in &running {
        let verdict = verify(scene.store.reader(), path).await.expect("checked");
        let rows = verdict.checks.iter().find(|check| check.what == "rows").expect("rows are checked");
        if rows.outcome == CheckOutcome::Holds && path.to_string_lossy().contains("breaks-") {
            // Nobody had a break in that hour.
            continue;
        }
        assert_eq!(rows.outcome, CheckOutcome::Differs, "{}: {:#?}", path.display(), verdict.checks);
        assert!(rows.says.last().is_some_and(|says| says.contains("days that have ended")), "{:#?}", verdict.checks);
    }
}

#[tokio::test]
async fn a_report_over_a_stop_of_the_daemon_says_so() {
    let scene = AdherenceStore::new(7).await;
    let span = |from, to| Request {
        from: Some(minute(from)),
        ..Request::whole_tenant(ReportKind::Adherence, tenant(), minute(to))
    };
    let notes =
        async |from, to| ReportKind::Adherence.notes(&span(from, to), scene.store.reader()).await.expect("reads");
    let told = notes(0, DAYS * 1440).await;
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].contains("From 2026-10-25T10:00:00Z to 2026-10-25T13:00:00Z the roster was not observed"),
        "{told:?}"
    );
    assert_eq!(notes(0, 1440).await, Vec::<String>::new());
    let before = notes(-1440, 1440).await;
    assert!(
        matches!(&before[..], [note] if note.contains("Before 2026-10-23T12:20:00Z the roster was never")),
        "{before:?}"
    );
    let ahead = notes(0, (DAYS + 2) * 1440).await;
    assert!(ahead[2].contains("From 2026-10-29T00:00:00Z on"), "{ahead:?}");
    // What is out lies where somebody looked: in the three hours nothing began that was not seen again after them.
    let segments = scene.report(ReportKind::Segments, None).await;
    let (gap_start, gap_end) = (minute(1440 + 600), minute(1440 + 780));
    let in_gap = segments.section("segments").iter().filter(|row| {
        matches!((&row[1], &row[2]), (Cell::Instant(from), Cell::Instant(to)) if *from >= gap_start && *to <= gap_end)
    });
    let not_seen = in_gap.filter(|row| row[9] == Cell::text("not_seen")).count();
    assert!(not_seen > 0);
}

/// The days of every agent are that agent's own, in a report of whatever zone.
#[tokio::test]
async fn a_day_is_the_agents_own() {
    let scene = AdherenceStore::new(8).await;
    let report = scene.report(ReportKind::Adherence, None).await;
    let days_of = |agent: &str| {
        let rows = report.section("days").iter().filter(|row| row[0] == Cell::text(agent.to_owned()));
        rows.map(|row| row[2].clone()).collect::<Vec<_>>()
    };
    let first = |zone: &str| Cell::Day(minute(0).timestamp().to_zoned(TimeZone::get(zone).expect("a zone")).date());
    assert_eq!(days_of("ida")[0], first("Europe/Berlin"));
    assert_eq!(days_of("ned")[0], first("America/New_York"));
    assert_eq!(days_of("una")[0], first("UTC"));
    assert_ne!(days_of("ned")[0], days_of("una")[0]);
}
