//! Shiftkeeper's own outbox as a contestant: the store with every commit synced, the worker, the sender, HTTP.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shiftkeeper::clock::{SeededRandom, SharedClock, SystemClock};
use shiftkeeper::domain::ids::{AgentId, EndpointId, EventId, TenantId};
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::domain::webhooks::cloud_event::WebhookFormat;
use shiftkeeper::domain::webhooks::delivery::DeliveryStatus;
use shiftkeeper::domain::webhooks::event::{AgentStateChanged, Details as _, Event};
use shiftkeeper::domain::webhooks::signature::Keyring;
use shiftkeeper::domain::webhooks::target::Target;
use shiftkeeper::engine::operations::readiness::Readiness;
use shiftkeeper::engine::webhooks::deliver::send::{self, HttpPost, Network};
use shiftkeeper::engine::webhooks::deliver::{self, DeliverParts, Endpoint, Endpoints, Outbox, stored_body};
use shiftkeeper::store::{
    AttemptWrite, Commit, DeliveryWrite, EndpointWrite, OutboxChange, ProcessIdentity, ProcessRole, Store,
};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::receiver::{KEY, Receiver, now};
use crate::{AT_ONCE, BODY_BYTES, Ids};

const AGENTS: u64 = 1000;
const START: i64 = 1_790_000_000_123_456;
/// Rows of one commit while a store is filled.
const SLICE: u64 = 5000;

fn acme() -> TenantId {
    "acme".into()
}

fn wfm() -> EndpointId {
    "wfm".into()
}

/// An event whose body has [`BODY_BYTES`].
fn event(n: u64, id: Uuid) -> Event {
    let at = UtcMicros::from_micros(START);
    let data = AgentStateChanged {
        user_id: agent(n),
        sequence: n / AGENTS + 1000,
        idle_time_ms: 900,
        entered_at: at,
        ..AgentStateChanged::example()
    };
    Event { id: EventId(id), tenant: acme(), at, data: data.into() }
}

fn agent(n: u64) -> AgentId {
    format!("u_{:04}", n % AGENTS).into()
}

/// The body of an event, for those who are given bodies.
pub fn body() -> String {
    let body = serde_json::to_string(&event(1, Uuid::nil()).body()).expect("JSON");
    assert_eq!(body.len(), BODY_BYTES, "{body}");
    body
}

/// A store and a place to send to.
pub struct Ours {
    _folder: tempfile::TempDir,
    clock: SharedClock,
    store: Store,
    /// The number of the last event.
    last: u64,
}

impl Ours {
    /// A store that looks as if so many events had been delivered.
    pub async fn with_rows(rows: u64) -> Self {
        let (folder, clock): (_, SharedClock) = (tempfile::tempdir().expect("a folder"), Arc::new(SystemClock::real()));
        let store = open(folder.path(), &clock).await;
        fill(&store, rows).await;
        Self { _folder: folder, clock, store, last: rows }
    }

    /// Signed deliveries a second: so many events that are there when the worker starts, until all are delivered and the last of
    /// them is recorded.
    pub async fn rate(&mut self, count: u64, ids: &mut Ids, receiver: &mut Receiver) -> f64 {
        let run = ids.run();
        let mut next = self.last + 1;
        self.last += count;
        while next <= self.last {
            let slice = next..(next + SLICE).min(self.last + 1);
            next = slice.end;
            let events = slice.map(|n| event(n, run.id(n))).collect();
            self.store.writer().commit(Commit { events, ..Commit::default() }).await.expect("commits");
        }
        let used = processor();
        let started = Instant::now();
        let worker = self.worker(receiver);
        receiver.until(ids.told(count)).await;
        self.recorded().await;
        let took = started.elapsed();
        let used = processor().saturating_sub(used);
        worker.stop().await;
        crate::say_processor(used, count);
        crate::per_second(count, took)
    }

    /// One event at a time: from before its commit and from its end to the arrival of its POST.
    pub async fn idle(&mut self, count: u64, ids: &mut Ids, receiver: &mut Receiver) -> [Vec<Duration>; 2] {
        let run = ids.run();
        let worker = self.worker(receiver);
        let mut waits = [Vec::new(), Vec::new()];
        for _ in 0..count {
            self.last += 1;
            let begun = now();
            let commit = Commit { events: vec![event(self.last, run.id(self.last))], ..Commit::default() };
            self.store.writer().commit(commit).await.expect("commits");
            let committed = now();
            let came = receiver.until(ids.told(1)).await;
            for (waits, since) in waits.iter_mut().zip([begun, committed]) {
                // The POST may leave before this task hears of its commit.
                waits.push(if came > since { came.since(since) } else { Duration::ZERO });
            }
            self.recorded().await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        worker.stop().await;
        waits
    }

    pub async fn close(self) {
        self.store.close().await;
    }

    /// Waits until every event is recorded as delivered.
    async fn recorded(&self) {
        loop {
            let endpoints = self.store.reader().endpoints(&acme()).await.expect("reads");
            if endpoints.first().is_some_and(|endpoint| endpoint.sent_through == self.last) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn worker(&self, receiver: &Receiver) -> Worker {
        let endpoint = send::EndpointTarget {
            url: format!("http://{}/hooks", receiver.posts).parse().expect("a URL"),
            keys: Keyring::parse(KEY).expect("a key"),
            allow: vec![Target::parse(&receiver.posts.to_string()).expect("a target")],
            format: WebhookFormat::Guide,
        };
        let sender = HttpPost::new(endpoint, &Network::system().expect("a network")).expect("a sender");
        let endpoint = Endpoint {
            id: wfm(),
            tenants: vec![acme()],
            kinds: None,
            concurrency: AT_ONCE,
            format_body: stored_body,
            sender: Arc::new(sender),
        };
        let (kept, endpoints) = watch::channel(Endpoints::from([Arc::new(endpoint)]));
        let parts = DeliverParts {
            clock: self.clock.clone(),
            random: Arc::new(SeededRandom::new(1)),
            writer: self.store.writer().clone(),
            reader: self.store.reader().clone(),
            readiness: Readiness::new(self.clock.clone()),
            outbox: Outbox::default(),
            endpoints,
        };
        let (soft, mut tasks) = (CancellationToken::new(), JoinSet::new());
        tasks.spawn(deliver::run(parts, soft.clone(), soft.clone()));
        Worker { soft, tasks, _kept: kept }
    }
}

/// The worker, and what keeps its list of endpoints alive.
struct Worker {
    soft: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
    _kept: watch::Sender<Endpoints>,
}

impl Worker {
    async fn stop(self) {
        self.soft.cancel();
        for ended in self.tasks.join_all().await {
            ended.expect("ends in order");
        }
    }
}

async fn open(folder: &Path, clock: &SharedClock) -> Store {
    let url = format!("sqlite://{}", folder.join("store.db").display());
    let identity = ProcessIdentity { host: "bench".into(), pid: 1, version: "bench".into() };
    Store::open(&url, ProcessRole::Daemon, clock.clone(), &identity).await.expect("opens")
}

/// Rows as if so many events had been delivered before.
async fn fill(store: &Store, rows: u64) {
    let at = UtcMicros::from_micros(START);
    let added = EndpointWrite::Add { tenant: acme(), endpoint: wfm(), at, sent_through: rows };
    let outbox = OutboxChange { endpoints: vec![added], ..OutboxChange::default() };
    store.writer().commit(Commit { outbox, ..Commit::default() }).await.expect("commits");
    let mut next = 1;
    while next <= rows {
        let slice = next..(next + SLICE).min(rows + 1);
        next = slice.end;
        let deliveries = slice.clone().map(|n| DeliveryWrite {
            tenant: acme(),
            endpoint: wfm(),
            event_number: n,
            agent: Some(agent(n)),
            status: DeliveryStatus::Delivered { attempts: 1 },
            earlier_attempts: 0,
            settled_at: Some(at),
        });
        let attempts = slice.clone().map(|n| AttemptWrite {
            tenant: acme(),
            endpoint: wfm(),
            event_number: n,
            attempt: 1,
            sent_at: at,
            latency_ms: 12,
            status_code: Some(204),
            error: None,
            response: String::new(),
        });
        let outbox =
            OutboxChange { deliveries: deliveries.collect(), attempts: attempts.collect(), ..OutboxChange::default() };
        let events = slice.map(|n| event(n, Uuid::from_u128(n.into()))).collect();
        store.writer().commit(Commit { events, outbox, ..Commit::default() }).await.expect("commits");
    }
}

/// Processor time of this process so far: what a busy machine changes least. Zero where the system has no `/proc`.
fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = |place: usize| -> u64 {
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        after_name.split_whitespace().nth(place).and_then(|ticks| ticks.parse().ok()).unwrap_or(0)
    };
    // utime and stime, in hundredths of a second.
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}
