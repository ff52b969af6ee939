//! The workers on a real store, with a receiver in place of the network.

mod receiver;

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::receiver::{Receiver, refused};
use super::*;
use crate::clock::{Clock, ManualClock, RealTime, SeededRandom, SharedClock, Stopwatch};
use crate::domain::ids::{AgentId, EventId};
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::delivery::{DISABLE_AFTER, ParkReason};
use crate::domain::webhooks::event::{AgentStateChanged, Details as _, Event, EventKind, ScheduleImported};
use crate::store::{DeliveryFilter, ProcessIdentity, ProcessRole, Store, StoredDelivery};

/// How long a condition is waited for, in real time; it costs only a test that fails.
const TEST_TIMEOUT: Duration = Duration::from_secs(60);

fn acme() -> TenantId {
    "acme".into()
}

fn wfm() -> EndpointId {
    "wfm".into()
}

/// Waits until a condition holds.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let watch = Stopwatch::start();
    while !holds().await {
        assert!(watch.elapsed() < TEST_TIMEOUT, "not within {TEST_TIMEOUT:?}: {what}");
        RealTime::sleep(Duration::from_millis(2)).await;
    }
}

/// The workers and their store.
struct World {
    store: Store,
    clock: SharedClock,
    readiness: Readiness,
    outbox: Outbox,
    endpoints: watch::Sender<Endpoints>,
    soft: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
}

fn endpoint(id: &str, receiver: &Arc<Receiver>) -> Arc<Endpoint> {
    Arc::new(Endpoint {
        id: id.into(),
        tenants: vec![acme()],
        kinds: None,
        concurrency: 16,
        format_body: stored_body,
        sender: receiver.clone(),
    })
}

impl World {
    async fn start(folder: &TempDir, clock: SharedClock, endpoints: Vec<Arc<Endpoint>>) -> Self {
        let url = format!("sqlite://{}", folder.path().join("keeper.db").display());
        let identity = ProcessIdentity { host: "desk-7".into(), pid: 4711, version: "0.1.0".into() };
        let watch = Stopwatch::start();
        let store = loop {
            match Store::open(&url, ProcessRole::Daemon, clock.clone(), &identity).await {
                Ok(store) => break store,
                // The one that was killed is just letting go.
                Err(error) => assert!(watch.elapsed() < TEST_TIMEOUT, "{error}"),
            }
            RealTime::sleep(Duration::from_millis(2)).await;
        };
        let (sender, seen) = watch::channel(Endpoints::from(endpoints));
        let (readiness, outbox, soft) = (Readiness::new(clock.clone()), Outbox::default(), CancellationToken::new());
        let parts = DeliverParts {
            clock: clock.clone(),
            random: Arc::new(SeededRandom::new(7)),
            writer: store.writer().clone(),
            reader: store.reader().clone(),
            readiness: readiness.clone(),
            outbox: outbox.clone(),
            endpoints: seen,
        };
        let first = parts.endpoints.borrow().clone();
        register(&parts, &first).await.expect("registers");
        let mut tasks = JoinSet::new();
        tasks.spawn(run(parts, soft.clone(), soft.clone()));
        let world = Self { store, clock, readiness, outbox, endpoints: sender, soft, tasks };
        until("the workers are there", async || world.outbox.endpoints(&acme()).len() == first.len()).await;
        world
    }

    /// Ends everything where it stands, as a crash would.
    async fn kill(mut self) {
        self.tasks.shutdown().await;
    }

    async fn stop(mut self) {
        self.soft.cancel();
        self.tasks.join_next().await.expect("a task").expect("no panic").expect("an orderly end");
        self.store.close().await;
    }

    /// Commits events `from..=to` of a few agents in turn; those that `agents` does not divide evenly have one.
    async fn tell(&self, from: u64, to: u64, agents: u64) {
        let events = (from..=to).map(|n| numbered(n, agents, self.clock.now())).collect();
        self.store.writer().commit(Commit { events, ..Commit::default() }).await.expect("commits");
    }

    async fn rows(&self, id: &EndpointId) -> Vec<StoredDelivery> {
        let filter = DeliveryFilter::default();
        let mut rows = self.store.reader().deliveries(&acme(), id, &filter, 500).await.expect("reads");
        rows.reverse();
        rows
    }

    /// Numbers of deliveries with a status.
    async fn with_status(&self, status: &str) -> Vec<u64> {
        self.rows(&wfm()).await.iter().filter(|row| row.status == status).map(|row| row.event_number).collect()
    }

    async fn until_delivered(&self, numbers: &[u64]) {
        until(&format!("{numbers:?} are delivered"), async || self.with_status("delivered").await == numbers).await;
    }

    async fn until_attempts(&self, number: u64, attempts: u32) -> StoredDelivery {
        let mut found = None;
        until(&format!("{number} was tried {attempts} times"), async || {
            found = self.rows(&wfm()).await.into_iter().find(|row| row.event_number == number);
            found.as_ref().is_some_and(|row| row.attempts == attempts)
        })
        .await;
        found.expect("found")
    }

    fn complaint(&self) -> Option<String> {
        self.readiness.report().parts.into_iter().find(|part| !part.ready).map(|part| part.detail)
    }
}

/// Event `n` of agent `n` modulo `agents`; of no agent when that is 0 and there are several.
fn numbered(n: u64, agents: u64, at: UtcMicros) -> Event {
    let data = if agents == 1 || !n.is_multiple_of(agents) {
        let (user_id, sequence) = (AgentId::from(format!("u_{}", n % agents)), n / agents + 1);
        AgentStateChanged { user_id, sequence, ..AgentStateChanged::example() }.into()
    } else {
        ScheduleImported::example().into()
    };
    Event { id: EventId(uuid::Uuid::from_u128(n.into())), tenant: acme(), at, data }
}

fn manual() -> ManualClock {
    ManualClock::at(UtcMicros::from_micros(1_790_000_000_000_000))
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_new_endpoint_gets_what_comes_and_not_what_was() {
    let (folder, receiver, clock) = (tempfile::tempdir().expect("a folder"), Receiver::good(), manual());
    let world = World::start(&folder, Arc::new(clock.clone()), vec![]).await;
    world.tell(1, 3, 2).await;
    world.endpoints.send_replace(Endpoints::from([endpoint("wfm", &receiver)]));
    until("the worker is there", async || world.outbox.endpoints(&acme()) == [wfm()]).await;
    world.tell(4, 6, 2).await;
    world.until_delivered(&[4, 5, 6]).await;
    let reader = world.store.reader();
    let attempts = reader.delivery_attempts(&acme(), &wfm(), 4).await.expect("reads");
    assert_eq!((attempts.len(), attempts[0].attempt, attempts[0].status_code), (1, 1, Some(200)));
    assert_eq!((&*attempts[0].response, attempts[0].sent_at), ("thanks", clock.now()));
    let stored = reader.events(&acme(), 3, 1).await.expect("reads").remove(0).body.into_bytes();
    assert!(receiver.bodies().contains(&stored), "byte for byte as stored");
    world.stop().await;
}

#[tokio::test]
async fn a_failure_holds_its_agent_up_and_nobody_else_and_the_order_is_kept() {
    let (folder, clock) = (tempfile::tempdir().expect("a folder"), manual());
    let receiver =
        Receiver::answering(|number, tries| if number == 1 && tries < 2 { refused(503) } else { Receiver::ok() });
    let world = World::start(&folder, Arc::new(clock.clone()), vec![endpoint("wfm", &receiver)]).await;
    // Agents u_1 and u_2 in turn, and nobody.
    world.tell(1, 9, 3).await;
    until("the others are delivered", async || world.with_status("delivered").await == [2, 3, 5, 6, 8, 9]).await;
    assert_eq!(world.with_status("waiting").await, [1, 4, 7]);
    for (tries, pause) in [(2, Duration::from_secs(7)), (3, Duration::from_secs(361))] {
        clock.advance(pause);
        if tries == 2 {
            let row = world.until_attempts(1, 2).await;
            assert_eq!(row.next_at.map(|at| at.since(clock.now()) > Duration::from_secs(239)), Some(true));
        }
    }
    world.until_delivered(&[1, 2, 3, 4, 5, 6, 7, 8, 9]).await;
    assert_eq!(receiver.arrivals_of("u_1"), [1, 1, 1, 4, 7]);
    world.stop().await;
}

#[tokio::test]
async fn a_clock_that_is_set_leaves_each_wait_as_long_as_it_was() {
    for by_s in [-86_400, 86_400] {
        let (folder, clock) = (tempfile::tempdir().expect("a folder"), manual());
        let receiver = Receiver::answering(|_, tries| if tries < 2 { refused(503) } else { Receiver::ok() });
        let world = World::start(&folder, Arc::new(clock.clone()), vec![endpoint("wfm", &receiver)]).await;
        world.tell(1, 1, 1).await;
        world.until_attempts(1, 1).await;
        clock.advance(Duration::from_secs(7));
        world.until_attempts(1, 2).await;
        clock.step_to(clock.now().offset(by_s * 1_000_000));
        until("the wait is moved", async || {
            let next_at = world.until_attempts(1, 2).await.next_at.expect("it waits");
            next_at > clock.now() && next_at.since(clock.now()) < Duration::from_secs(361)
        })
        .await;
        clock.advance(Duration::from_secs(361));
        world.until_delivered(&[1]).await;
        world.stop().await;
    }
}

#[tokio::test]
async fn a_clock_that_was_set_back_between_two_runs_holds_nothing_up_for_long() {
    let (folder, clock) = (tempfile::tempdir().expect("a folder"), manual());
    let receiver = Receiver::answering(|_, tries| if tries < 2 { refused(503) } else { Receiver::ok() });
    let world = World::start(&folder, Arc::new(clock.clone()), vec![endpoint("wfm", &receiver)]).await;
    world.tell(1, 1, 1).await;
    world.until_attempts(1, 1).await;
    clock.advance(Duration::from_secs(7));
    world.until_attempts(1, 2).await;
    world.stop().await;
    clock.step_to(clock.now().offset(-86_400_000_000));
    let world = World::start(&folder, Arc::new(clock.clone()), vec![endpoint("wfm", &receiver)]).await;
    until("the wait is moved", async || {
        world.until_attempts(1, 2).await.next_at.is_some_and(|at| at.since(clock.now()) < Duration::from_secs(361))
    })
    .await;
    clock.advance(Duration::from_secs(361));
    world.until_delivered(&[1]).await;
    world.stop().await;
}

#[tokio::test]
async fn a_clock_that_was_set_back_between_two_runs_holds_up_no_delivery_whose_attempt_had_not_ended() {
    let (folder, clock, receiver) = (tempfile::tempdir().expect("a folder"), manual(), Receiver::good());
    receiver.hold();
    let world = World::start(&folder, Arc::new(clock.clone()), vec![endpoint("wfm", &receiver)]).await;
    world.tell(1, 1, 1).await;
    until("the slow attempt has a row", async || world.with_status("waiting").await == [1]).await;
    world.kill().await;
    receiver.release();
    clock.step_to(clock.now().offset(-86_400_000_000));
    let world = World::start(&folder, Arc::new(clock.clone()), vec![endpoint("wfm", &receiver)]).await;
    world.until_delivered(&[1]).await;
    world.stop().await;
}

#[tokio::test]
async fn a_refused_delivery_is_parked_after_three_attempts_and_the_next_continues() {
    let (folder, clock) = (tempfile::tempdir().expect("a folder"), manual());
    let receiver = Receiver::answering(|number, _| if number == 1 { refused(404) } else { Receiver::ok() });
    let world = World::start(&folder, Arc::new(clock.clone()), vec![endpoint("wfm", &receiver)]).await;
    world.tell(1, 3, 1).await;
    for tries in 1..3 {
        world.until_attempts(1, tries).await;
        clock.advance(HOUR);
    }
    world.until_delivered(&[2, 3]).await;
    let row = world.until_attempts(1, 3).await;
    assert_eq!((row.status, row.parked_for), ("parked", Some(ParkReason::Refused)));
    // A person wants it again; it is refused again, and its attempts are counted on.
    let retried = world.outbox.retry(&acme(), &wfm(), row.event, "ops".into()).await.expect("taken");
    assert!(!retried.enabled);
    world.until_attempts(1, 4).await;
    let log = world.store.reader().delivery_attempts(&acme(), &wfm(), 1).await.expect("reads");
    assert_eq!(log.iter().map(|attempt| attempt.attempt).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let nobody = world.outbox.retry(&acme(), &wfm(), EventId(uuid::Uuid::from_u128(99)), "ops".into()).await;
    assert!(matches!(nobody, Err(OutboxError::NoEvent(_))), "{nobody:?}");
    world.stop().await;
}

#[tokio::test]
async fn gone_disables_at_once_and_is_reported_until_a_person_enables_it() {
    let (folder, clock) = (tempfile::tempdir().expect("a folder"), manual());
    let (other, receiver) = (Receiver::good(), Receiver::answering(|_, _| refused(410)));
    let endpoints = vec![endpoint("wfm", &receiver), endpoint("other", &other)];
    let world = World::start(&folder, Arc::new(clock.clone()), endpoints).await;
    world.tell(1, 1, 1).await;
    until("the other is told", async || other.bodies().iter().any(|body| is_announced(body))).await;
    let complaint = world.complaint().expect("readiness says so");
    assert!(complaint.contains("410 Gone") && complaint.contains("webhooks recover wfm"), "{complaint}");
    world.tell(2, 4, 1).await;
    clock.advance(HOUR * 50);
    until("the other has all", async || other.count() == 5).await;
    assert_eq!(receiver.count(), 1, "nothing more is sent");
    world.stop().await;

    let world = World::start(&folder, Arc::new(clock.clone()), vec![endpoint("wfm", &receiver)]).await;
    until("it says so also after a restart", async || world.complaint().is_some()).await;
    receiver.answer(|_, _| Receiver::ok());
    let recovered = world.outbox.recover(&acme(), &wfm(), UtcMicros::EPOCH, "ops".into()).await.expect("taken");
    assert_eq!(recovered, RecoveryResult { revived: 0, waiting: 1, enabled: true });
    world.until_delivered(&[1, 2, 3, 4, 5]).await;
    assert_eq!(world.complaint(), None);
    world.stop().await;
}

fn is_announced(body: &[u8]) -> bool {
    let body: serde_json::Value = serde_json::from_slice(body).expect("JSON");
    body["event"] == "WEBHOOK_DISABLED" && body["data"]["webhookId"] == "wfm"
}

#[tokio::test]
async fn five_days_of_nothing_but_failure_disable() {
    let (folder, clock) = (tempfile::tempdir().expect("a folder"), manual());
    let receiver = Receiver::answering(|_, _| refused(500));
    let world = World::start(&folder, Arc::new(clock.clone()), vec![endpoint("wfm", &receiver)]).await;
    world.tell(1, 1, 1).await;
    world.until_attempts(1, 1).await;
    clock.advance(DISABLE_AFTER);
    until("it is disabled", async || {
        world.store.reader().endpoints(&acme()).await.expect("reads")[0].disabled.is_some()
    })
    .await;
    let count = receiver.count();
    clock.advance(HOUR * 100);
    world.tell(2, 2, 1).await;
    let recovered = world.outbox.recover(&acme(), &wfm(), clock.now(), "ops".into()).await.expect("taken");
    assert!(recovered.enabled && receiver.count() >= count);
    world.stop().await;
}

#[tokio::test]
async fn an_endpoint_without_deliveries_closes_its_unused_connections() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::good();
    let world = World::start(&folder, Arc::new(manual()), vec![endpoint("wfm", &receiver)]).await;
    until("they are looked after", async || receiver.rests() > 0).await;
    assert_eq!(receiver.count(), 0);
    world.stop().await;
}

#[tokio::test]
async fn the_hint_of_a_disabled_endpoint_revives_all_that_was_parked() {
    let (folder, clock) = (tempfile::tempdir().expect("a folder"), manual());
    clock.advance(Duration::from_micros(1_234_567));
    let receiver = Receiver::answering(|number, _| if number == 3 { refused(410) } else { refused(400) });
    let world = World::start(&folder, Arc::new(clock.clone()), vec![endpoint("wfm", &receiver)]).await;
    for number in 1..=2 {
        world.tell(number, number, 1).await;
        for tries in 1..=3 {
            world.until_attempts(number, tries).await;
            clock.advance(HOUR);
        }
    }
    world.tell(3, 3, 1).await;
    let oldest = world.rows(&wfm()).await[0].at;
    let hint = format!("shiftkeeper webhooks recover wfm --since {oldest} --tenant acme");
    until("the hint names the oldest", async || world.complaint().is_some_and(|said| said.ends_with(&hint))).await;
    assert_eq!(world.with_status("parked").await, [1, 2]);
    world.stop().await;

    let world = World::start(&folder, Arc::new(clock.clone()), vec![endpoint("wfm", &receiver)]).await;
    until("it does so after a restart", async || world.complaint().is_some_and(|said| said.ends_with(&hint))).await;
    receiver.answer(|_, _| Receiver::ok());
    let complaint = world.complaint().expect("a hint");
    let since = complaint.rsplit(' ').nth(2).expect("an instant");
    let since = since.parse().expect("an instant as the command line takes it");
    let recovered = world.outbox.recover(&acme(), &wfm(), since, "ops".into()).await.expect("taken");
    assert_eq!((recovered.revived, recovered.enabled), (2, true));
    // The fourth says that the endpoint was disabled.
    world.until_delivered(&[1, 2, 3, 4]).await;
    world.stop().await;
}

#[tokio::test]
async fn what_is_asked_while_a_reload_changes_the_worker_waits_for_the_next_one() {
    let (folder, clock) = (tempfile::tempdir().expect("a folder"), manual());
    let (old, new) = (Receiver::answering(|_, _| refused(503)), Receiver::good());
    old.hold_event(1);
    let world = World::start(&folder, Arc::new(clock.clone()), vec![endpoint("wfm", &old)]).await;
    world.tell(1, 1, 1).await;
    until("one is under way", async || old.count() == 1).await;
    world.endpoints.send_replace(Endpoints::from([endpoint("wfm", &new)]));
    // The old worker takes some, then it waits for what is under way, and then the new one is there.
    let mut answers = Vec::new();
    while answers.last() != Some(&Some(200)) {
        let attempt = world.outbox.test(&acme(), &wfm()).await.expect("answered by one or the other");
        answers.push(attempt.status_code);
    }
    world.until_delivered(&[1]).await;
    world.stop().await;
}

#[tokio::test]
async fn what_no_worker_takes_in_is_given_back_and_not_done_later() {
    let outbox = Outbox::default();
    outbox.retain_endpoints(&[endpoint("wfm", &Receiver::good())]);
    let refused = outbox.test(&acme(), &wfm()).await.expect_err("nobody is there");
    assert_eq!(refused, OutboxError::Unavailable);
    let (wishes, _) = outbox.open(&acme(), &wfm());
    let handed = wishes.lock().await.try_recv().expect("it lies there");
    assert!(handed.accept().is_none(), "and is left");
    outbox.retain_endpoints(&[]);
    let gone = outbox.test(&acme(), &wfm()).await.expect_err("removed");
    assert!(matches!(gone, OutboxError::NoEndpoint { .. }), "{gone:?}");
}

#[tokio::test]
async fn recovery_tries_again_what_was_parked_since_and_each_agents_in_order() {
    let (folder, clock) = (tempfile::tempdir().expect("a folder"), manual());
    let receiver = Receiver::answering(|_, _| refused(400));
    let world = World::start(&folder, Arc::new(clock.clone()), vec![endpoint("wfm", &receiver)]).await;
    for number in 1..=4 {
        world.tell(number, number, 1).await;
        for tries in 1..=3 {
            world.until_attempts(number, tries).await;
            clock.advance(HOUR);
        }
    }
    assert_eq!(world.with_status("parked").await, [1, 2, 3, 4]);
    receiver.answer(|_, _| Receiver::ok());
    let since = world.rows(&wfm()).await[1].at;
    let recovered = world.outbox.recover(&acme(), &wfm(), since, "ops".into()).await.expect("taken");
    assert_eq!(recovered, RecoveryResult { revived: 3, waiting: 3, enabled: false });
    world.tell(5, 6, 1).await;
    world.until_delivered(&[2, 3, 4, 5, 6]).await;
    let arrivals = receiver.arrivals_of("u_0");
    assert_eq!(arrivals[arrivals.len() - 5..], [2, 3, 4, 5, 6]);
    world.stop().await;
}

#[tokio::test]
async fn a_test_is_sent_once_and_leaves_no_row() {
    let (folder, clock) = (tempfile::tempdir().expect("a folder"), manual());
    let receiver = Receiver::answering(|_, _| refused(500));
    let world = World::start(&folder, Arc::new(clock.clone()), vec![endpoint("wfm", &receiver)]).await;
    let attempt = world.outbox.test(&acme(), &wfm()).await.expect("taken");
    assert_eq!((attempt.status_code, receiver.count()), (Some(500), 1));
    let body: serde_json::Value = serde_json::from_slice(&receiver.bodies()[0]).expect("JSON");
    assert_eq!((&body["event"], &body["data"]["webhookId"]), (&json!("WEBHOOK_TEST"), &json!("wfm")));
    assert_eq!(world.rows(&wfm()).await, []);
    let nobody = world.outbox.test(&acme(), &"nobody".into()).await;
    assert!(matches!(nobody, Err(OutboxError::NoEndpoint { .. })), "{nobody:?}");
    world.stop().await;
}

#[tokio::test]
async fn only_selected_kinds_are_sent_and_the_cursor_passes_the_others() {
    let (folder, receiver, clock) = (tempfile::tempdir().expect("a folder"), Receiver::good(), manual());
    let picky = Endpoint { kinds: Some([EventKind::JobFailed].into()), ..(*endpoint("wfm", &receiver)).clone() };
    let world = World::start(&folder, Arc::new(clock.clone()), vec![Arc::new(picky)]).await;
    world.tell(1, 5, 2).await;
    until("the cursor is stored", async || {
        world.store.reader().endpoints(&acme()).await.expect("reads")[0].sent_through == 5
    })
    .await;
    assert_eq!(receiver.count(), 0);
    world.stop().await;
}

#[tokio::test]
async fn a_reload_changes_endpoints_and_waiting_deliveries_continue() {
    let (folder, clock) = (tempfile::tempdir().expect("a folder"), manual());
    let (old, new) = (Receiver::answering(|_, _| refused(503)), Receiver::good());
    let world = World::start(&folder, Arc::new(clock.clone()), vec![endpoint("wfm", &old)]).await;
    world.tell(1, 2, 1).await;
    world.until_attempts(1, 1).await;
    world.endpoints.send_replace(Endpoints::from([endpoint("wfm", &new), endpoint("more", &new)]));
    until("both are there", async || world.outbox.endpoints(&acme()).len() == 2).await;
    clock.advance(HOUR);
    world.until_delivered(&[1, 2]).await;
    world.endpoints.send_replace(Endpoints::from([]));
    until("none is left", async || world.outbox.endpoints(&acme()).is_empty()).await;
    until("readiness forgets them", async || world.readiness.report().parts.is_empty()).await;
    let count = new.count();
    world.tell(3, 3, 1).await;
    world.endpoints.send_replace(Endpoints::from([endpoint("wfm", &new)]));
    world.until_delivered(&[1, 2, 3]).await;
    assert!(new.count() > count, "one that comes back goes on where it was");
    world.stop().await;
}

#[tokio::test]
async fn a_soft_stop_records_what_is_under_way() {
    let (folder, clock, receiver) = (tempfile::tempdir().expect("a folder"), manual(), Receiver::good());
    receiver.hold();
    let world = World::start(&folder, Arc::new(clock.clone()), vec![endpoint("wfm", &receiver)]).await;
    world.tell(1, 2, 1).await;
    until("one is under way", async || receiver.count() == 1).await;
    world.soft.cancel();
    receiver.release();
    world.stop().await;
    let world = World::start(&folder, Arc::new(clock.clone()), vec![endpoint("wfm", &receiver)]).await;
    world.until_delivered(&[1, 2]).await;
    assert_eq!(receiver.arrivals_of("u_0"), [1, 2], "the first was not sent again");
    world.stop().await;
}

#[tokio::test]
async fn a_slow_attempt_holds_up_no_cursor_and_is_sent_again_after_a_crash() {
    let (folder, clock, receiver) = (tempfile::tempdir().expect("a folder"), manual(), Receiver::good());
    receiver.hold_agent("u_1");
    let world = World::start(&folder, Arc::new(clock.clone()), vec![endpoint("wfm", &receiver)]).await;
    world.tell(1, 9, 3).await;
    until("the cursor passes it", async || {
        world.store.reader().endpoints(&acme()).await.expect("reads")[0].sent_through == 9
    })
    .await;
    assert_eq!(world.with_status("waiting").await, [1, 4, 7]);
    world.kill().await;
    receiver.release();
    let world = World::start(&folder, Arc::new(clock.clone()), vec![endpoint("wfm", &receiver)]).await;
    world.until_delivered(&[1, 2, 3, 4, 5, 6, 7, 8, 9]).await;
    assert_eq!(receiver.arrivals_of("u_1"), [1, 1, 4, 7]);
    world.stop().await;
}
