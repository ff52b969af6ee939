//! Trials over a store that was filled as the daemon fills it: one agent in a shift from 09:00 to 17:00.

use std::sync::Mutex;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::clock::{Clock as _, ManualClock, SeededRandom};
use crate::domain::adherence::exception::{Exception, ExceptionScope};
use crate::domain::agents::agent::{Agent, ObservationSource};
use crate::domain::agents::state::AgentState;
use crate::domain::analytics::anomaly::AnomalyRecord;
use crate::domain::analytics::anomaly::tests::record as anomaly_record;
use crate::domain::analytics::trend::AnomalyKind;
use crate::domain::audit::Hash;
use crate::domain::ids::{ExceptionId, SubjectId};
use crate::domain::schedules::schedule::{Activity, Coverage, Shift, ShiftActivity};
use crate::engine::operations::settings::tests::settings;
use crate::store::{
    AgentSchedule, Commit, HistoryRow, HistoryWrite, ProcessIdentity, ProcessRole, ScheduleImport, Store,
};

const RULE: &str = "[[rules]]\nid = \"back\"\nwhen = { planned = \"work\", state = \"Paused\", for = \"2m\" }\n\
                    then = { set_state = \"Ready\" }\n";

fn instant(time: &str) -> UtcMicros {
    format!("2026-11-23T{time}Z").parse().expect("a time of day")
}

fn at(time: &str) -> UtcMicros {
    instant(&format!("{time}:00"))
}

struct Fixture {
    store: Store,
    clock: ManualClock,
    _folder: TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = ManualClock::at(at("06:00"));
        let url = format!("sqlite://{}", folder.path().join("keeper.db").display());
        let identity = ProcessIdentity { host: "desk".into(), pid: 1, version: "0".into() };
        let store = Store::open(&url, ProcessRole::Daemon, Arc::new(clock.clone()), &identity).await.expect("opens");
        Self { store, clock, _folder: folder }
    }

    /// Imports, at an instant, a day with a break from 10:00 to `until`.
    async fn import(&self, when: &str, until: &str) {
        self.clock.advance(at(when).since(self.clock.now()));
        let pause = ShiftActivity { activity: Activity::Break, start: at("10:00"), end: at(until), mandatory: false };
        let agent = Agent { id: "u_1".into(), name: Some("Ida".into()), team: Some("blue".into()), zone: None };
        let agents = vec![AgentSchedule {
            agent,
            subject: SubjectId(uuid::Uuid::from_u128(9)),
            shifts: vec![Shift { start: at("09:00"), end: at("17:00"), activities: vec![pause] }],
            coverage: Coverage { start: at("00:00"), end: at("23:00") },
            is_covered: true,
            skills: None,
        }];
        let import = ScheduleImport {
            tenant: "acme".into(),
            name: "day.csv".into(),
            content_hash: Hash::of(until.as_bytes()),
            agents,
            actor: "person:ann".into(),
            with_activation: Commit::default(),
        };
        self.store.writer().import(import).await.expect("imports");
    }

    async fn enter(&self, time: &str, state: AgentState) {
        self.enter_at(at(time), state).await;
    }

    async fn enter_at(&self, entered_at: UtcMicros, state: AgentState) {
        let row = HistoryRow {
            tenant: "acme".into(),
            agent: "u_1".into(),
            entered_at,
            platform_at: None,
            state,
            reason: None,
            queue: None,
            source: ObservationSource::Snapshot,
            transition: None,
            by_person: false,
        };
        let history = vec![HistoryWrite::Enter(row)];
        self.store.writer().commit(Commit { history, ..Commit::default() }).await.expect("commits");
    }

    async fn tried(&self, span: Span) -> BacktestResult {
        let pace = BacktestControl { stop: &CancellationToken::new(), progress: &|_| {} };
        replay(self.store.reader(), &"acme".into(), &input(), span, &pace).await.expect("tried")
    }
}

fn input() -> BacktestInput {
    BacktestInput::prepare(&settings(&[]), &[], &BacktestRequest::Text(RULE.to_owned())).expect("sound")
}

fn instants(result: &BacktestResult) -> Vec<UtcMicros> {
    result.replayed.listed.iter().map(|act| act.at).collect()
}

#[tokio::test]
async fn the_schedule_counts_that_was_in_force_then() {
    let place = Fixture::new().await;
    place.enter("08:00", AgentState::Ready).await;
    place.import("07:00", "10:15").await;
    place.enter("10:01", AgentState::Paused).await;
    place.enter("10:40", AgentState::Ready).await;
    place.enter("10:50", AgentState::Paused).await;
    // From now on the break is said to last until eleven.
    place.import("10:30", "11:00").await;
    let span = (at("08:30"), at("12:00"));
    let result = place.tried(span).await;
    assert_eq!(instants(&result), [at("10:15"), at("11:00")], "{result:?}");
    assert_eq!((result.agents, result.step_s, result.replayed.by_hour.len()), (1, 30, 4));
    let hours: Vec<u64> = result.replayed.by_hour.iter().map(|hour| hour.acts).collect();
    assert_eq!(hours, [0, 0, 1, 1]);
    assert_eq!(result.replayed.by_agent[0].name.as_deref(), Some("Ida"));
    assert_eq!(result.compared, ComparisonView { both: 0, only_replayed: 2, only_really: 0 });
    assert!(result.present.is_none());
    let before = place.tried((at("06:00"), at("06:30"))).await;
    assert_eq!(before.replayed.acts, 0, "no schedule was in force yet");
    place.store.close().await;
}

#[tokio::test]
async fn states_that_ended_between_two_checks_or_slices_are_found() {
    let place = Fixture::new().await;
    place.import("07:00", "10:15").await;
    place.enter("09:00", AgentState::Ready).await;
    for (from, to) in [("10:20:05", "10:22:12"), ("10:57:40", "10:59:59.9"), ("11:30:01", "11:32:00")] {
        place.enter_at(instant(from), AgentState::Paused).await;
        place.enter_at(instant(to), AgentState::Ready).await;
    }
    let result = place.tried((at("08:30"), at("12:00"))).await;
    let ends: Vec<UtcMicros> = ["10:22:12", "10:59:59.9"].map(|time| instant(time).offset(-1)).into();
    assert_eq!(instants(&result), ends, "the third ended a second too early: {result:?}");
    place.store.close().await;
}

#[tokio::test]
async fn anomalies_count_from_when_they_were_found() {
    let place = Fixture::new().await;
    place.import("07:00", "10:15").await;
    place.enter("08:00", AgentState::Ready).await;
    place.enter("10:20", AgentState::Paused).await;
    place.enter("12:20", AgentState::Ready).await;
    place.enter("12:25", AgentState::Paused).await;
    let record = AnomalyRecord {
        first_bucket_at: at("10:15"),
        last_bucket_at: at("10:15"),
        detected_at: at("10:31"),
        last_observed_at: at("10:31"),
        ended_at: Some(at("10:46")),
        ..anomaly_record("voice", AnomalyKind::Spike, 1, 1, None)
    };
    let commit = Commit { anomalies: vec![record], ..Commit::default() };
    place.store.writer().commit(commit).await.expect("commits");
    let tried = async |more: &str, span: Span| {
        let text =
            RULE.replace("for = \"2m\"", &format!("anomaly = {{ series = \"voice\", {more} within = \"20m\" }}"));
        let kit = BacktestInput::prepare(&settings(&[]), &[], &BacktestRequest::Text(text)).expect("sound");
        let pace = BacktestControl { stop: &CancellationToken::new(), progress: &|_| {} };
        replay(place.store.reader(), &"acme".into(), &kit, span, &pace).await.expect("tried")
    };
    let day = (at("09:00"), at("13:00"));
    assert_eq!(instants(&tried("", day).await), [at("10:31")], "and not at noon");
    assert_eq!(instants(&tried("kind = \"spike\",", day).await), [at("10:31")]);
    assert_eq!(instants(&tried("kind = \"drop\",", day).await), []);
    assert_eq!(instants(&tried("", (at("10:40"), day.1)).await), [at("10:40")], "it was found before the span");
    assert_eq!(instants(&tried("", (day.0, at("10:30"))).await), [], "it is found after the span");
    place.store.close().await;
}

#[tokio::test]
async fn exceptions_of_then_count_and_what_was_before_the_span_is_known() {
    let place = Fixture::new().await;
    place.enter("06:30", AgentState::Paused).await;
    place.import("07:00", "10:15").await;
    let exception = Exception {
        id: ExceptionId(uuid::Uuid::from_u128(1)),
        tenant: "acme".into(),
        scope: ExceptionScope::Team("blue".into()),
        from: at("09:00"),
        to: at("10:20"),
        reason: "a course".into(),
        created_by: "ann".into(),
        created_at: at("12:00"),
        early_end: None,
    };
    place.store.writer().commit(Commit { exceptions: vec![exception], ..Commit::default() }).await.expect("commits");
    let result = place.tried((at("09:30"), at("11:00"))).await;
    assert_eq!(instants(&result), [at("10:20")]);
    assert_eq!(result.replayed.held[0].guard, "excused");
    place.store.close().await;
}

#[tokio::test]
async fn trials_wait_for_each_other_are_few_and_can_be_stopped() {
    let place = Fixture::new().await;
    place.import("07:00", "10:15").await;
    place.clock.advance(Duration::from_secs(12 * 3600));
    let random: SharedRandom = Arc::new(SeededRandom::new(7));
    let trials = Backtests::new(place.store.reader().clone(), Arc::new(place.clock.clone()), random);
    let (tenant, span) = (TenantId::from("acme"), (at("07:00"), at("08:00")));
    let ask = |(from, to): Span| trials.submit(&tenant, "ann", input(), (Some(from), Some(to)));
    let all: Vec<Backtest> = (0..MAX_OPEN).map(|_| ask(span).expect("taken")).collect();
    assert_eq!(ask(span), Err(BacktestError::TooMany));
    let other =
        trials.submit(&"bravo".into(), "ann", input(), (None, None)).expect("another tenant's trials are its own");
    assert_eq!(other.to.since(other.from), Duration::from_secs(7 * 86_400), "as long as may be, up to now");
    assert_eq!(trials.get(&tenant, other.id), None);
    for bad in [
        (at("08:00"), at("08:00")),
        (at("08:00"), at("23:00")),
        (at("08:00") - Duration::from_secs(8 * 86_400), at("08:00")),
    ] {
        assert!(matches!(ask(bad), Err(BacktestError::Span { days: 7, .. })), "{bad:?}");
    }
    assert_eq!(trials.cancel(&tenant, all[1].id).map(|trial| trial.status), Some(BacktestStatus::Cancelled));
    let soft = CancellationToken::new();
    let mut worker = tokio::task::JoinSet::new();
    worker.spawn(trials.clone().run(soft.clone()));
    while trials.list(&"bravo".into()).iter().any(|trial| is_open(trial.status)) {
        tokio::task::yield_now().await;
    }
    soft.cancel();
    worker.join_next().await.expect("it ran").expect("no panic").expect("ends in order");
    let ended: Vec<BacktestStatus> = trials.list(&tenant).iter().rev().map(|trial| trial.status).collect();
    assert_eq!(ended, [BacktestStatus::Done, BacktestStatus::Cancelled, BacktestStatus::Done]);
    assert!(trials.list(&tenant).iter().all(|trial| trial.result.is_none()), "a list is short");
    assert!(trials.get(&tenant, all[0].id).is_some_and(|trial| trial.result.is_some()));
    for _ in 0..2 * MAX_KEPT {
        let trial = ask(span).expect("taken");
        trials.cancel(&tenant, trial.id);
    }
    assert_eq!(trials.list(&tenant).len(), MAX_KEPT, "the oldest make way");
    place.store.close().await;
}

#[tokio::test]
async fn a_cancelled_replay_ends_with_its_progress() {
    let place = Fixture::new().await;
    place.import("07:00", "10:15").await;
    let stop = CancellationToken::new();
    let told = Mutex::new(Vec::new());
    let progress = |share: f64| {
        told.lock().expect("a lock").push(share);
        stop.cancel();
    };
    let pace = BacktestControl { stop: &stop, progress: &progress };
    let span = (at("07:00"), at("11:00"));
    let stopped = replay(place.store.reader(), &"acme".into(), &input(), span, &pace).await;
    assert!(matches!(stopped, Err(BacktestFailure::Cancelled)), "{stopped:?}");
    assert_eq!(*told.lock().expect("a lock"), [0.25]);
    place.store.close().await;
}
