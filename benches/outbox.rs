//! The outbox without the network: deliveries a second into a receiver that answers at once, each one durable, at ten thousand
//! and at a million rows; and how long an event takes from its commit to its POST when nothing else happens.
//!
//! `cargo bench --bench outbox`; `SMALL=1` before it takes a tenth of the rows. Absolute figures drift with the machine, the
//! ratios are what counts.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures real time and reads its size from the environment"
)]
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark talks on stdout and stops at the first fault"
)]

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use shiftkeeper::clock::{BoxFuture, SeededRandom, SharedClock, SystemClock};
use shiftkeeper::domain::delivery::Standing;
use shiftkeeper::domain::event::{AgentStateChanged, Details as _, Event};
use shiftkeeper::domain::ids::{AgentId, EventId, TenantId};
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::engine::deliver::send::{Attempt, Outgoing, Post};
use shiftkeeper::engine::deliver::{self, DeliverParts, Endpoint, Endpoints, Outbox, as_stored};
use shiftkeeper::engine::readiness::Readiness;
use shiftkeeper::store::{AttemptWrite, Commit, DeliveryWrite, EndpointWrite, Identity, OutboxChange, Role, Store};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const AGENTS: u64 = 1000;
const START: i64 = 1_790_000_000_000_000;
/// Deliveries that are measured.
const MEASURED: u64 = 40_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let small = std::env::var_os("SMALL").is_some();
    let mut tasks = tokio::task::JoinSet::new();
    let all = async move {
        let few = throughput(10_000).await;
        let many = throughput(if small { 100_000 } else { 1_000_000 }).await;
        println!("ratio at the larger size: {:.2} (to meet: 0.9)", many / few);
        idle(if small { 100 } else { 1000 }).await;
    };
    tasks.spawn_on(all, runtime.handle());
    runtime.block_on(tasks.join_all());
}

fn acme() -> TenantId {
    "acme".into()
}

/// Answers at once, and says when each event came.
#[derive(Default)]
struct AtOnce {
    count: AtomicU64,
    came: Mutex<HashMap<Uuid, Instant>>,
    keeps: bool,
    news: Notify,
}

impl Post for AtOnce {
    fn post(&self, request: Outgoing) -> BoxFuture<Attempt> {
        if self.keeps {
            self.came.lock().expect("sound").insert(request.event_id.0, Instant::now());
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.news.notify_one();
        Box::pin(std::future::ready(Attempt { status_code: Some(200), ..Attempt::default() }))
    }
}

fn event(n: u64) -> Event {
    Event {
        id: EventId(Uuid::from_u128(n.into())),
        tenant: acme(),
        at: UtcMicros::from_micros(START + i64::try_from(n).expect("fits")),
        data: AgentStateChanged {
            user_id: AgentId::from(format!("u_{:05}", n % AGENTS)),
            sequence: n / AGENTS + 1,
            latency_ms: None,
            transition_id: None,
            ..AgentStateChanged::example()
        }
        .into(),
    }
}

async fn open(folder: &std::path::Path, clock: &SharedClock) -> Store {
    let url = format!("sqlite://{}", folder.join("store.db").display());
    let identity = Identity { host: "bench".into(), pid: 1, version: "bench".into() };
    Store::open(&url, Role::Daemon, clock.clone(), &identity).await.expect("opens")
}

/// The workers' parts, and what keeps their list of endpoints alive.
fn parts(store: &Store, clock: &SharedClock, sender: &Arc<AtOnce>) -> (DeliverParts, watch::Sender<Endpoints>) {
    let endpoint = Endpoint {
        id: "wfm".into(),
        tenants: vec![acme()],
        kinds: None,
        concurrency: 64,
        shape: as_stored,
        sender: sender.clone(),
    };
    let (kept, endpoints) = watch::channel(Endpoints::from([Arc::new(endpoint)]));
    let parts = DeliverParts {
        clock: clock.clone(),
        random: Arc::new(SeededRandom::new(1)),
        writer: store.writer().clone(),
        reader: store.reader().clone(),
        readiness: Readiness::new(clock.clone()),
        outbox: Outbox::default(),
        endpoints,
    };
    (parts, kept)
}

/// Rows as if so many events had been delivered before.
async fn fill(store: &Store, rows: u64) {
    let added = EndpointWrite::Add {
        tenant: acme(),
        endpoint: "wfm".into(),
        at: UtcMicros::from_micros(START),
        sent_through: rows,
    };
    let outbox = OutboxChange { endpoints: vec![added], ..OutboxChange::default() };
    store.writer().commit(Commit { outbox, ..Commit::default() }).await.expect("commits");
    let mut next = 1;
    while next <= rows {
        let last = (next + 4999).min(rows);
        let deliveries = (next..=last).map(|n| DeliveryWrite {
            tenant: acme(),
            endpoint: "wfm".into(),
            event_number: n,
            agent: event(n).data.about().map(|(agent, _)| agent.clone()),
            standing: Standing::Delivered { attempts: 1 },
            earlier: 0,
            settled_at: Some(UtcMicros::from_micros(START)),
        });
        let attempts = (next..=last).map(|n| AttemptWrite {
            tenant: acme(),
            endpoint: "wfm".into(),
            event_number: n,
            attempt: 1,
            sent_at: UtcMicros::from_micros(START),
            latency_ms: 12,
            status_code: Some(200),
            error: None,
            answer: String::new(),
        });
        let outbox =
            OutboxChange { deliveries: deliveries.collect(), attempts: attempts.collect(), ..OutboxChange::default() };
        let events = (next..=last).map(event).collect();
        store.writer().commit(Commit { events, outbox, ..Commit::default() }).await.expect("commits");
        next = last + 1;
    }
}

/// Durable deliveries a second beside so many that are there already.
async fn throughput(rows: u64) -> f64 {
    let (folder, clock): (_, SharedClock) = (tempfile::tempdir().expect("a folder"), Arc::new(SystemClock::real()));
    let store = open(folder.path(), &clock).await;
    fill(&store, rows).await;
    let mut next = rows + 1;
    while next <= rows + MEASURED {
        let events = (next..next + 5000).map(event).collect();
        store.writer().commit(Commit { events, ..Commit::default() }).await.expect("commits");
        next += 5000;
    }
    let sender = Arc::new(AtOnce::default());
    let (soft, mut tasks) = (CancellationToken::new(), tokio::task::JoinSet::new());
    let started = Instant::now();
    let (parts, _kept) = parts(&store, &clock, &sender);
    tasks.spawn(deliver::run(parts, soft.clone(), soft.clone()));
    loop {
        sender.news.notified().await;
        if sender.count.load(Ordering::Relaxed) == MEASURED {
            break;
        }
    }
    // Until the last of them is durable.
    let endpoint = "wfm".into();
    while store.reader().delivered_past(&acme(), &endpoint, rows + MEASURED - 1).await.expect("reads").is_empty() {}
    let rate = f64::from(u32::try_from(MEASURED).expect("fits")) / started.elapsed().as_secs_f64();
    soft.cancel();
    tasks.join_all().await;
    store.close().await;
    println!("durable deliveries beside {rows} rows: {rate:.0}/s (with HTTP on top, to meet: 20000/s)");
    rate
}

/// One event at a time: from its commit to its POST.
async fn idle(count: u64) {
    let (folder, clock): (_, SharedClock) = (tempfile::tempdir().expect("a folder"), Arc::new(SystemClock::real()));
    let store = open(folder.path(), &clock).await;
    let sender = Arc::new(AtOnce { keeps: true, ..AtOnce::default() });
    let (soft, mut tasks) = (CancellationToken::new(), tokio::task::JoinSet::new());
    let (parts, _kept) = parts(&store, &clock, &sender);
    let endpoints = parts.endpoints.borrow().clone();
    deliver::register(&parts, &endpoints).await.expect("registers");
    tasks.spawn(deliver::run(parts, soft.clone(), soft.clone()));
    let mut latencies = Vec::new();
    for n in 1..=count {
        store.writer().commit(Commit { events: vec![event(n)], ..Commit::default() }).await.expect("commits");
        let committed = Instant::now();
        while sender.count.load(Ordering::Relaxed) < n {
            sender.news.notified().await;
        }
        let came = sender.came.lock().expect("sound")[&Uuid::from_u128(n.into())];
        latencies.push(came.saturating_duration_since(committed));
        // What was sent becomes durable before the next: nothing else happens.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    soft.cancel();
    tasks.join_all().await;
    store.close().await;
    latencies.sort();
    let at = |share: usize| latencies[latencies.len() * share / 100].as_secs_f64() * 1000.0;
    println!("from commit to POST, idle: median {:.2} ms, p99 {:.2} ms (to meet: 15 ms)", at(50), at(99));
}
