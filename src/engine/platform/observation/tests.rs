//! One subscription, turn by turn, on a clock that stands still: what is polled when, and what becomes of a subscription in the end.

use std::collections::HashMap;
use std::sync::Mutex;

use tempfile::TempDir;
use tokio::sync::mpsc;

use super::*;
use crate::clock::{Clock as _, ManualClock, SharedClock};
use crate::domain::agents::state::AgentState;
use crate::domain::ids::ReasonCode;
use crate::engine::operations::settings::ObservationSettings;
use crate::engine::operations::settings::tests::settings as usual_settings;
use crate::engine::platform::link::tests::TenantFixture;
use crate::platform::error::CallSite;
use crate::platform::{
    Answer, Call, Capabilities, Feed, Platform, SnapshotBody, SnapshotDelta, Subscription, SubscriptionRequest,
};
use crate::store::Store;

const INTERVAL: Duration = Duration::from_secs(10);
const HOUR: Duration = Duration::from_secs(3600);
const LARGE: usize = 500_001;

#[test]
fn a_snapshot_is_never_from_after_its_receipt() {
    let received_at = UtcMicros::EPOCH + Duration::from_secs(1000);
    let offset = ClockOffset::default();
    let earlier = received_at - Duration::from_secs(5);
    assert_eq!(generated_at(offset, earlier, received_at), earlier);
    assert_eq!(generated_at(offset, received_at + Duration::from_secs(3600), received_at), received_at);
}

/// A platform that counts, and fails where it is told to.
#[derive(Debug)]
struct ScriptedPlatform {
    clock: SharedClock,
    /// The interval that the platform answers, whatever it is asked for.
    interval: Mutex<Duration>,
    /// Every subscription that was asked for.
    asked: Mutex<Vec<Detail>>,
    /// Every poll, with its subscription.
    polls: Mutex<Vec<(SubscriptionId, Duration)>>,
    /// What polls of a subscription fail with.
    fails: Mutex<HashMap<SubscriptionId, Failure>>,
    /// Subscribing does not end before this is false.
    hangs: Mutex<bool>,
    bytes: Mutex<usize>,
    /// What the reader finds in every snapshot.
    unreadable: Arc<Mutex<UnreadableRows>>,
}

impl ScriptedPlatform {
    fn answer<T>(&self, value: T) -> Answer<T> {
        let now = self.clock.now();
        Answer { value, latency: Duration::ZERO, sent_at: now, received_at: now, platform_now: None }
    }

    fn failed(&self, failure: Failure) -> CallError {
        let site = CallSite { purpose: "read a snapshot", method: "GET", path: "/".to_owned() };
        CallError { site, failure, sent_at: Some(self.clock.now()) }
    }
}

impl Platform for ScriptedPlatform {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            settable: Vec::new(),
            can_log_out: false,
            reports_schedule: false,
            reports_breaks: false,
            has_directory: false,
            exports_schedules: false,
            has_state_history: false,
            has_feed: false,
            min_interval: Duration::from_secs(1),
            subscription_lifetime: Some(Duration::from_secs(86_400)),
            polls_count: false,
        }
    }

    fn status(&self) -> crate::platform::PlatformHealth {
        unreachable!("nobody looks")
    }

    fn set_state<'a>(&'a self, _: &'a AgentId, _: &'a AgentState, _: &'a ReasonCode) -> Call<'a, ()> {
        unreachable!("nothing is decided here")
    }

    fn is_scheduled<'a>(&'a self, _: &'a AgentId) -> Call<'a, bool> {
        unreachable!("nothing is decided here")
    }

    fn break_required<'a>(&'a self, _: &'a AgentId) -> Call<'a, bool> {
        unreachable!("nothing is decided here")
    }

    fn subscribe<'a>(&'a self, wanted: SubscriptionRequest<'a>) -> Call<'a, Subscription> {
        let mut asked = self.asked.lock().expect("a lock");
        asked.push(wanted.detail);
        let id = SubscriptionId::new(format!("sub_{}", asked.len()));
        Box::pin(async move {
            while *self.hangs.lock().expect("a lock") {
                tokio::task::yield_now().await;
            }
            Ok(self.answer(Subscription { id, interval: *self.interval.lock().expect("a lock") }))
        })
    }

    fn snapshot<'a>(&'a self, subscription: &'a SubscriptionId) -> Call<'a, SnapshotBody> {
        self.polls.lock().expect("a lock").push((subscription.clone(), self.clock.monotonic()));
        let fails = self.fails.lock().expect("a lock").get(subscription).cloned();
        let bytes = vec![b' '; *self.bytes.lock().expect("a lock")];
        Box::pin(async move {
            match fails {
                Some(failure) => Err(self.failed(failure)),
                None => Ok(self.answer(SnapshotBody::new(bytes))),
            }
        })
    }

    fn feed(&self) -> Call<'_, Box<dyn Feed>> {
        unreachable!("only subscriptions are asked for")
    }

    fn reader(&self, _: &[AgentId]) -> Box<dyn SnapshotReader> {
        Box::new(EmptyReader { clock: self.clock.clone(), unreadable: self.unreadable.clone() })
    }
}

/// Reads nothing out of anything but what it is told to.
#[derive(Debug)]
struct EmptyReader {
    clock: SharedClock,
    unreadable: Arc<Mutex<UnreadableRows>>,
}

impl SnapshotReader for EmptyReader {
    fn read(&mut self, _: &SubscriptionId, _: SnapshotBody) -> Result<Option<SnapshotDelta>, CallError> {
        Ok(Some(SnapshotDelta {
            generated_at: self.clock.now(),
            repeated: false,
            changed: Vec::new(),
            rows: 0,
            absent: Arc::from([]),
            missing: Arc::from([]),
            unreadable: self.unreadable.lock().expect("a lock").clone(),
            diagnostics: Vec::new(),
            more_diagnostics: 0,
        }))
    }

    fn reset(&mut self) {}
}

struct Bench {
    clock: ManualClock,
    puppet: Arc<ScriptedPlatform>,
    link: Arc<Link>,
    store: Store,
    slice: Slice,
    arrivals: mpsc::Receiver<KeeperMessage>,
    settings: watch::Sender<Arc<TenantSettings>>,
    _folder: TempDir,
}

impl Bench {
    /// A slice that has its first snapshot.
    async fn new() -> Self {
        let ground = TenantFixture::at(UtcMicros::EPOCH + 1000 * HOUR).await;
        let puppet = Arc::new(ScriptedPlatform {
            clock: ground.shared_clock(),
            interval: Mutex::new(INTERVAL),
            asked: Mutex::default(),
            polls: Mutex::default(),
            fails: Mutex::default(),
            hangs: Mutex::new(false),
            bytes: Mutex::new(2),
            unreadable: Arc::default(),
        });
        let (inbox, arrivals) = mpsc::channel(64);
        let link = Arc::new(ground.link(puppet.clone(), inbox));
        let settings = watch::Sender::new(Arc::new(settings()));
        let slice = Slice::new(&link, &settings.subscribe(), 0, &["u_1".into()], None);
        let TenantFixture { clock, store, folder, .. } = ground;
        let mut bench = Self { clock, puppet, link, store, slice, arrivals, settings, _folder: folder };
        bench.turn().await;
        bench.turn().await;
        bench
    }

    /// Another process takes over, by what the store has.
    async fn restart(&mut self) {
        let rows = self.store.reader().subscriptions(&"acme".into()).await.expect("readable");
        self.slice = Slice::new(&self.link, &self.settings.subscribe(), 0, &["u_1".into()], rows.first());
    }

    fn polls(&self) -> Vec<(SubscriptionId, Duration)> {
        self.puppet.polls.lock().expect("a lock").clone()
    }

    fn asked(&self) -> usize {
        self.puppet.asked.lock().expect("a lock").len()
    }

    async fn turn(&mut self) {
        self.slice.poll_once().await.expect("a turn");
    }

    /// An interval passes, and what is due then is done; gives what was polled.
    async fn cycle(&mut self) -> Vec<String> {
        let before = self.puppet.polls.lock().expect("a lock").len();
        self.clock.advance(self.slice.grid.step());
        self.turn().await;
        let polls = self.puppet.polls.lock().expect("a lock");
        polls[before..].iter().map(|(id, _)| id.as_str().to_owned()).collect()
    }

    /// Cycles until a poll is not the usual one alone; gives what was polled then, and how many cycles that took.
    async fn until_not(&mut self, usual: &str) -> Vec<String> {
        for _ in 0..100_000 {
            let polled = self.cycle().await;
            self.notices();
            if polled != [usual] {
                return polled;
            }
            tokio::task::yield_now().await;
        }
        panic!("only {usual} is ever polled")
    }

    /// The notices since the last look, by name.
    fn notices(&mut self) -> Vec<&'static str> {
        let mut notices = Vec::new();
        while let Ok(message) = self.arrivals.try_recv() {
            match message {
                KeeperMessage::SubscriptionNotice(SubscriptionNotice::Oversize { .. }) => notices.push("oversize"),
                KeeperMessage::SubscriptionNotice(SubscriptionNotice::NearExpiry { .. }) => notices.push("near expiry"),
                KeeperMessage::Observation(_) => {}
                other => panic!("{other:?}"),
            }
        }
        notices
    }

    fn fail(&self, subscription: &str, failure: Failure) {
        self.puppet.fails.lock().expect("a lock").insert(SubscriptionId::new(subscription), failure);
    }

    async fn stored(&self) -> Vec<String> {
        let rows = self.store.reader().subscriptions(&"acme".into()).await.expect("readable");
        rows.into_iter().map(|row| row.id.as_str().to_owned()).collect()
    }
}

fn settings() -> TenantSettings {
    let usual = usual_settings(&[]);
    let sight = ObservationSettings {
        interval: INTERVAL,
        agents_per_subscription: 500,
        renew_after: 23 * HOUR,
        near_expiry_after: 18 * HOUR,
        oversize_bytes: LARGE - 1,
    };
    TenantSettings { observation: sight, ..usual }
}

#[tokio::test]
async fn a_subscription_is_renewed_beside_its_polls_and_swapped_in_one_of_them() {
    let mut bench = Bench::new().await;
    assert_eq!(bench.cycle().await, ["sub_1"]);
    bench.clock.advance(18 * HOUR);
    bench.cycle().await;
    assert_eq!(bench.notices(), ["near expiry"]);
    bench.cycle().await;
    assert_eq!(bench.notices(), [""; 0], "said once");
    *bench.puppet.hangs.lock().expect("a lock") = true;
    bench.clock.advance(5 * HOUR);
    let asked = |bench: &Bench| bench.puppet.asked.lock().expect("a lock").len();
    let mut cycles_since = 0;
    while cycles_since < 20 {
        assert_eq!(bench.cycle().await, ["sub_1"], "the platform takes its time, and no cycle is lost for it");
        bench.notices();
        cycles_since += asked(&bench) - 1;
        tokio::task::yield_now().await;
    }
    assert_eq!(asked(&bench), 2, "one successor is asked for");
    assert_eq!(bench.stored().await, ["sub_1"]);
    *bench.puppet.hangs.lock().expect("a lock") = false;
    assert_eq!(bench.until_not("sub_1").await, ["sub_2"], "swapped in the place of a poll");
    for _ in 0..10 {
        assert_eq!(bench.cycle().await, ["sub_2"], "the two never go on side by side");
    }
    assert_eq!(bench.stored().await, ["sub_2"]);
    bench.clock.advance(18 * HOUR);
    bench.cycle().await;
    assert_eq!(bench.notices(), ["near expiry"], "of the successor anew");
}

#[tokio::test]
async fn a_wall_clock_that_is_set_neither_ages_a_subscription_nor_hides_that_it_ends() {
    for (by_hours, restarts) in [-24, -1, 1, 24].into_iter().flat_map(|by| [(by, false), (by, true)]) {
        let mut bench = Bench::new().await;
        bench.clock.step_to(bench.clock.now().offset(by_hours * 3_600_000_000));
        if restarts {
            bench.restart().await;
        }
        for _ in 0..3 {
            assert_eq!(bench.cycle().await, ["sub_1"], "set by {by_hours} h");
            assert_eq!(bench.notices(), [""; 0], "set by {by_hours} h");
            tokio::task::yield_now().await;
        }
        assert_eq!(bench.asked(), 1, "set by {by_hours} h: no other was made");
        bench.clock.advance(18 * HOUR);
        bench.clock.step_to(bench.clock.now().offset(-by_hours * 3_600_000_000));
        bench.cycle().await;
        assert_eq!(bench.notices(), ["near expiry"], "set by {by_hours} h and back");
        bench.clock.advance(5 * HOUR);
        bench.clock.step_to(bench.clock.now().offset(by_hours * 3_600_000_000));
        assert_eq!(bench.until_not("sub_1").await, ["sub_2"], "set by {by_hours} h once more");
    }
}

#[tokio::test]
async fn a_subscription_of_unknown_age_is_replaced_without_a_warning() {
    let mut bench = Bench::new().await;
    let mut row = bench.store.reader().subscriptions(&"acme".into()).await.expect("readable").remove(0);
    // By another start of the host, whose clock was ahead.
    row.created = ClockReading { wall: bench.clock.now() + HOUR, steady: None, host_start: Some(2) };
    let subscriptions = vec![SubscriptionWrite::Set(row)];
    bench.store.writer().commit(Commit { subscriptions, ..Commit::default() }).await.expect("commits");
    bench.restart().await;
    for _ in 0..100 {
        let polled = bench.cycle().await;
        assert_eq!(bench.notices(), [""; 0]);
        if polled == ["sub_2"] {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.stored().await, ["sub_2"]);
}

#[tokio::test]
async fn a_start_polls_when_the_process_before_would_have_or_at_once() {
    let step = PollGrid::new(Duration::ZERO, INTERVAL).step();
    for (down, wait) in [
        (Duration::ZERO, step),
        (Duration::from_secs(3), Duration::from_millis(7_200)),
        (step, Duration::ZERO),
        (HOUR, Duration::ZERO),
    ] {
        let mut bench = Bench::new().await;
        bench.clock.advance(down);
        bench.restart().await;
        let due = bench.slice.grid.next_due().saturating_sub(bench.clock.monotonic());
        assert_eq!(due, wait, "{down:?} after the last poll");
    }
    let mut bench = Bench::new().await;
    bench.store.writer().set("UPDATE subscriptions SET polled_at = NULL").await;
    bench.clock.advance(HOUR);
    bench.restart().await;
    let due = bench.slice.grid.next_due().saturating_sub(bench.clock.monotonic());
    assert_eq!(due, step, "nobody knows when the last poll was: that may have been now");
}

#[tokio::test]
async fn kills_in_quick_succession_leave_about_one_poll_an_interval_and_never_two() {
    let mut bench = Bench::new().await;
    for _ in 0..45 {
        bench.clock.advance(Duration::from_millis(2600));
        bench.restart().await;
        if bench.slice.grid.next_due() <= bench.clock.monotonic() {
            bench.turn().await;
        }
    }
    let polls = bench.polls();
    assert!(polls.windows(2).all(|two| two[1].1.saturating_sub(two[0].1) >= INTERVAL), "{polls:?}");
    assert!(polls.len() > 10, "in 117 s: {polls:?}");
    assert_eq!(bench.asked(), 1, "one subscription for all");
}

#[tokio::test]
async fn a_poll_after_a_reload_does_not_store_the_subscription_as_one_of_the_new_interval() {
    let mut bench = Bench::new().await;
    let mut newer = settings();
    newer.observation.interval = 2 * INTERVAL;
    bench.settings.send_replace(Arc::new(newer));
    assert_eq!(bench.cycle().await, ["sub_1"]);
    let row = bench.store.reader().subscriptions(&"acme".into()).await.expect("readable").remove(0);
    assert_eq!(row.agents_hash, request_hash(&["u_1".into()], INTERVAL), "it was made for the old one");
}

#[tokio::test]
async fn a_store_that_cannot_be_written_costs_no_poll() {
    let mut bench = Bench::new().await;
    bench.store.writer().set("PRAGMA query_only = 1").await;
    for _ in 0..3 {
        assert_eq!(bench.cycle().await, ["sub_1"]);
    }
}

#[tokio::test]
async fn a_successor_that_gives_no_snapshot_is_dropped_and_the_running_one_polled_in_the_same_cycle() {
    for failure in [Failure::NotFound, Failure::NotSent { reason: "refused".to_owned() }] {
        let mut bench = Bench::new().await;
        bench.fail("sub_2", failure);
        bench.clock.advance(23 * HOUR);
        assert_eq!(bench.until_not("sub_1").await, ["sub_2", "sub_1"]);
        assert_eq!(bench.stored().await, ["sub_1"], "the next process goes on with the one that works");
        for _ in 0..4 {
            assert_eq!(bench.cycle().await, ["sub_1"], "not in haste");
        }
        assert_eq!(bench.until_not("sub_1").await, ["sub_3"], "and tried again");
        assert_eq!(bench.stored().await, ["sub_3"]);
    }
}

#[tokio::test]
async fn a_subscription_that_is_gone_is_made_anew_at_once_and_a_renewal_under_way_becomes_it() {
    let mut bench = Bench::new().await;
    bench.fail("sub_1", Failure::NotFound);
    assert_eq!(bench.cycle().await, ["sub_1"]);
    let gone_at = bench.clock.monotonic();
    bench.turn().await;
    bench.turn().await;
    let polls = bench.puppet.polls.lock().expect("a lock").clone();
    assert_eq!(polls.last().expect("polled"), &(SubscriptionId::new("sub_2"), gone_at), "no pause, no wait");

    *bench.puppet.hangs.lock().expect("a lock") = true;
    bench.clock.advance(23 * HOUR);
    bench.cycle().await;
    bench.fail("sub_2", Failure::NotFound);
    bench.cycle().await;
    *bench.puppet.hangs.lock().expect("a lock") = false;
    bench.turn().await;
    bench.turn().await;
    assert_eq!(bench.puppet.asked.lock().expect("a lock").len(), 3, "the renewal is not asked for twice");
    assert_eq!(bench.stored().await, ["sub_3"]);
}

#[tokio::test]
async fn the_interval_of_the_answer_is_believed_also_of_a_successor() {
    let mut bench = Bench::new().await;
    *bench.puppet.interval.lock().expect("a lock") = 3 * INTERVAL;
    bench.clock.advance(23 * HOUR);
    assert_eq!(bench.until_not("sub_1").await, ["sub_2"]);
    let first = bench.clock.monotonic();
    assert_eq!(bench.cycle().await, ["sub_2"]);
    assert!(bench.clock.monotonic().saturating_sub(first) >= 3 * INTERVAL);
    let polls = bench.puppet.polls.lock().expect("a lock").clone();
    let of = |id: &str| polls.iter().filter(|(of, _)| of.as_str() == id).map(|(_, at)| *at).collect::<Vec<_>>();
    let successor = of("sub_2");
    assert!(successor.windows(2).all(|two| two[1].saturating_sub(two[0]) >= 3 * INTERVAL), "{successor:?}");
}

#[tokio::test]
async fn a_snapshot_that_is_too_large_is_told_once_and_the_subscription_asks_for_less() {
    let mut bench = Bench::new().await;
    *bench.puppet.bytes.lock().expect("a lock") = LARGE;
    bench.cycle().await;
    assert_eq!(bench.notices(), ["oversize"]);
    assert_eq!(bench.until_not("sub_1").await, ["sub_2"], "replaced like one that is old");
    assert_eq!(*bench.puppet.asked.lock().expect("a lock"), [Detail::Full, Detail::Needed]);
    bench.cycle().await;
    assert_eq!(bench.notices(), [""; 0], "a large roster stays large, and is not told again");
    let seen = bench.link.subscriptions();
    assert_eq!((seen.len(), seen[0].bytes, seen[0].interval, seen[0].agents), (1, LARGE, INTERVAL, 1));
    assert_eq!(seen[0].generated_at, bench.clock.now());
    assert!(seen[0].age.now(&bench.clock) < HOUR);
}

#[tokio::test]
async fn whoever_has_a_row_that_cannot_be_read_is_named_in_readiness_until_it_can_be() {
    let mut bench = Bench::new().await;
    let part = |bench: &Bench| {
        let parts = bench.link.readiness.report().parts;
        parts.into_iter().find(|part| part.name == "tenant acme: subscription 0").expect("a part")
    };
    assert!(part(&bench).ready);
    let rows = UnreadableRows { agents: Arc::from(["u_1".into(), "u_2".into()]), without_id: 1 };
    *bench.puppet.unreadable.lock().expect("a lock") = rows;
    bench.cycle().await;
    let told = part(&bench);
    assert!(!told.ready && !told.own, "{told:?}");
    assert!(told.detail.contains("(of u_1 and u_2, 1 row of no known agent)"), "{told:?}");
    *bench.puppet.unreadable.lock().expect("a lock") = UnreadableRows::default();
    bench.cycle().await;
    assert!(part(&bench).ready);
}

#[tokio::test]
async fn of_a_smaller_roster_no_subscription_is_left_behind() {
    let bench = Bench::new().await;
    let row = |slice| SubscriptionRow {
        tenant: "acme".into(),
        slice,
        id: SubscriptionId::new(format!("sub_of_{slice}")),
        created: ClockReading::now(&bench.clock),
        polled: None,
        interval_ms: 10_000,
        agents_hash: request_hash(&[], INTERVAL),
    };
    let subscriptions: Vec<_> = (0..3).map(|slice| SubscriptionWrite::Set(row(slice))).collect();
    bench.store.writer().commit(Commit { subscriptions, ..Commit::default() }).await.expect("commits");
    let seen = bench.link.subscriptions()[0];
    for slice in 1..3 {
        bench.link.record_subscription(SubscriptionState { slice, ..seen });
        bench.link.readiness.degraded(&readiness_part(&bench.link, slice), "no snapshot");
    }
    let stored = bench.store.reader().subscriptions(&"acme".into()).await.expect("readable");
    drop_surplus_slices(&bench.link, &stored, 1).await.expect("forgets");
    assert_eq!(bench.stored().await, ["sub_of_0"]);
    assert_eq!(bench.link.subscriptions(), [seen]);
    let parts = bench.link.readiness.report().parts;
    assert!(parts.iter().all(|part| part.ready), "{parts:?}");
}

#[test]
fn a_subscription_is_taken_up_for_the_same_agents_and_the_same_interval_alone() {
    let (one, two): ([AgentId; 2], [AgentId; 2]) = (["u_1".into(), "u_2".into()], ["u_1".into(), "u_3".into()]);
    assert_eq!(request_hash(&one, INTERVAL), request_hash(&one, INTERVAL));
    assert_ne!(request_hash(&one, INTERVAL), request_hash(&two, INTERVAL));
    assert_ne!(request_hash(&one, INTERVAL), request_hash(&one, 2 * INTERVAL));
}
