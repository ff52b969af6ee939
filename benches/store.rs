//! The store beside its peers and limits, in the same run and on the same disk: durable changes in groups, one change
//! alone, a hundred callers, and time in state over ten million rows.
//!
//! `cargo bench --bench store`; `SMALL=1` before it takes a tenth of the rows. Absolute figures drift with the machine, the
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

use std::fs::{self, File};
use std::io::{Seek, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use shiftkeeper::clock::{Random, SeededRandom, SystemClock};
use shiftkeeper::domain::agents::agent::{Agent, ObservationSource};
use shiftkeeper::domain::agents::state::AgentState;
use shiftkeeper::domain::audit::AuditDraft;
use shiftkeeper::domain::ids::{AgentId, EventId, SubjectId, TenantId};
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::domain::webhooks::event::{AgentStateChanged, Details as _, Event};
use shiftkeeper::store::{AgentWrite, Commit, HistoryRow, HistoryWrite, ProcessIdentity, ProcessRole, Store};

const AGENTS: u32 = 1000;
const GROUP: u32 = 100;
/// Changes until the log has reached its size.
const WARM: u32 = 1000;
const START: i64 = 1_790_000_000_000_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let small = std::env::var_os("SMALL").is_some();
    // On a worker thread of the runtime, where the daemon's own tasks live.
    let mut tasks = tokio::task::JoinSet::new();
    let all = async move {
        groups(if small { 50 } else { 300 }).await;
        alone(if small { 200 } else { 1000 }).await;
        callers(if small { 2000 } else { 20_000 }).await;
        time_in_state(if small { 1_000_000 } else { 10_000_000 }).await;
    };
    tasks.spawn_on(all, runtime.handle());
    runtime.block_on(tasks.join_all());
}

async fn open(folder: &Path) -> Store {
    let url = format!("sqlite://{}", folder.join("store.db").display());
    let identity = ProcessIdentity { host: "bench".into(), pid: 1, version: "bench".into() };
    Store::open(&url, ProcessRole::Daemon, Arc::new(SystemClock::real()), &identity).await.expect("opens")
}

/// What is written for one observed change of state: history, audit entry, event.
fn change(random: &SeededRandom, n: u32) -> Commit {
    let agent = AgentId::from(format!("u_{:05}", n % AGENTS));
    let at = UtcMicros::from_micros(START + i64::from(n) * 1_000_000);
    let state = AgentState::KNOWN[n as usize % AgentState::KNOWN.len()].clone();
    let tenant = TenantId::from("acme");
    Commit {
        audit: vec![AuditDraft {
            tenant: tenant.clone(),
            at,
            actor: "daemon".into(),
            action: "state.observed",
            subject: Some(SubjectId(uuid::Uuid::from_u128(u128::from(n % AGENTS)))),
            transition: None,
            before: Some("Ready".into()),
            after: Some(state.name().into()),
            outcome: None,
            facts: json!({"source": "snapshot", "planned": "work"}),
            note_hash: None,
        }],
        events: vec![Event {
            id: EventId(random.time_ordered_id(at)),
            tenant: tenant.clone(),
            at,
            data: AgentStateChanged {
                user_id: agent.clone(),
                new_state: state.clone(),
                sequence: u64::from(n),
                latency_ms: None,
                transition_id: None,
                ..AgentStateChanged::example()
            }
            .into(),
        }],
        history: vec![HistoryWrite::Enter(HistoryRow {
            tenant,
            agent,
            entered_at: at,
            platform_at: Some(at),
            state,
            reason: None,
            queue: None,
            source: ObservationSource::Snapshot,
            transition: None,
            by_person: false,
        })],
        ..Commit::default()
    }
}

/// Groups of a hundred changes, each group one commit, beside bare rusqlite bringing the same rows to the same end from
/// finished texts.
async fn groups(rounds: u32) {
    let (ours_at, theirs_at) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let random = SeededRandom::new(1);
    let store = open(ours_at.path()).await;
    // The peer has the same tables and settings.
    open(theirs_at.path()).await.close().await;
    let mut peer = Peer::open(&theirs_at.path().join("store.db"));
    let (mut ours, mut theirs) = (Duration::ZERO, Duration::ZERO);
    for round in 0..rounds {
        let changes: Vec<Commit> = (0..GROUP).map(|n| change(&random, round * GROUP + n)).collect();
        let rows: Vec<PeerRow> = changes.iter().map(PeerRow::of).collect();
        let whole = changes.into_iter().fold(Commit::default(), |mut whole, one| {
            whole.history.extend(one.history);
            whole.audit.extend(one.audit);
            whole.events.extend(one.events);
            whole
        });
        let started = Instant::now();
        store.writer().commit(whole).await.expect("commits");
        ours += started.elapsed();
        let started = Instant::now();
        peer.commit(&rows, round * GROUP);
        theirs += started.elapsed();
    }
    store.close().await;
    let rate = |time: Duration| f64::from(rounds * GROUP) / time.as_secs_f64();
    println!(
        "durable changes, groups of {GROUP}: {:.0}/s; bare rusqlite {:.0}/s; ratio {:.2} (to meet: 0.5)",
        rate(ours),
        rate(theirs),
        rate(ours) / rate(theirs)
    );
}

/// One change at a time, beside a bare loop that writes four pages to a file and syncs it, and beside bare rusqlite. The log
/// has reached its size before, as a daemon's has: a file that grows syncs slower.
async fn alone(count: u32) {
    let (folder, theirs_at) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let random = SeededRandom::new(2);
    let store = open(folder.path()).await;
    open(theirs_at.path()).await.close().await;
    let mut peer = Peer::open(&theirs_at.path().join("store.db"));
    for n in 0..WARM {
        let commit = change(&random, n);
        peer.commit(&[PeerRow::of(&commit)], n);
        store.writer().commit(commit).await.expect("commits");
    }
    let mut file = File::create(folder.path().join("bare")).expect("a file");
    file.write_all(&vec![0; 4 << 20]).expect("writes");
    let (mut ours, mut theirs, mut bare) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    for n in WARM..WARM + count {
        let commit = change(&random, n);
        let rows = [PeerRow::of(&commit)];
        let started = Instant::now();
        peer.commit(&rows, n);
        theirs += started.elapsed();
        let started = Instant::now();
        store.writer().commit(commit).await.expect("commits");
        ours += started.elapsed();
        let started = Instant::now();
        file.seek(std::io::SeekFrom::Start(u64::from(n % 250) * 16_384)).expect("seeks");
        file.write_all(&[7; 16_384]).expect("writes");
        file.sync_data().expect("syncs");
        bare += started.elapsed();
    }
    store.close().await;
    let rate = |time: Duration| f64::from(count) / time.as_secs_f64();
    println!(
        "one durable change alone: {:.0}/s; bare rusqlite {:.0}/s; bare sync {:.0}/s; ratio to the sync {:.2} (to meet: 0.5)",
        rate(ours),
        rate(theirs),
        rate(bare),
        rate(ours) / rate(bare)
    );
}

/// A hundred callers, each waiting for its change before it brings the next.
async fn callers(count: u32) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
    let each = count / GROUP;
    let mut tasks = tokio::task::JoinSet::new();
    let started = Instant::now();
    for caller in 0..GROUP {
        let writer = store.writer().clone();
        tasks.spawn(async move {
            let random = SeededRandom::new(100 + u64::from(caller));
            let mut waits = Vec::new();
            for n in 0..each {
                let commit = change(&random, n * GROUP + caller);
                let started = Instant::now();
                writer.commit(commit).await.expect("commits");
                waits.push(started.elapsed());
            }
            waits
        });
    }
    let mut waits = tasks.join_all().await.concat();
    let took = started.elapsed();
    store.close().await;
    waits.sort_unstable();
    let at = |share: usize| waits[waits.len() * share / 100].as_secs_f64() * 1000.0;
    println!(
        "{GROUP} callers: {:.0}/s, p50 {:.1} ms, p99 {:.1} ms (to meet: 30)",
        f64::from(count) / took.as_secs_f64(),
        at(50),
        at(99)
    );
}

/// Time in state of every agent, over everything and over one day. The file is made by the peer, past the writer.
async fn time_in_state(rows: u32) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("store.db");
    let store = open(folder.path()).await;
    let agents: Vec<AgentWrite> = (0..AGENTS * 5)
        .map(|n| AgentWrite {
            tenant: "acme".into(),
            agent: Agent { id: format!("u_{n:05}").into(), name: None, team: None, zone: None },
            subject: SubjectId(uuid::Uuid::from_u128(u128::from(n))),
        })
        .collect();
    store.writer().commit(Commit { agents, ..Commit::default() }).await.expect("commits");
    store.close().await;
    let step = fill(&file, rows);
    println!("{rows} rows of {} agents, {} MB", AGENTS * 5, fs::metadata(&file).expect("is there").len() >> 20);
    let opened = Instant::now();
    let store = open(folder.path()).await;
    let states = store.reader().latest_states(&"acme".into()).await.expect("reads").len();
    println!("opened and {states} latest states read in {:.0} ms", opened.elapsed().as_secs_f64() * 1000.0);
    let whole = i64::from(rows / (AGENTS * 5)) * step;
    let day = 86_400_000_000;
    for (name, from, to, limit) in
        [("all", START, START + whole, 1500), ("one day", START + whole / 2, START + whole / 2 + day, 150)]
    {
        let mut best = Duration::MAX;
        for _ in 0..3 {
            let started = Instant::now();
            let (from, to) = (UtcMicros::from_micros(from), UtcMicros::from_micros(to));
            let times = store.reader().time_in_state(&"acme".into(), from, to).await.expect("reads");
            best = best.min(started.elapsed());
            assert_eq!(times.len(), AGENTS as usize * 5);
        }
        println!("time in state, {name}: {:.0} ms (to meet: {limit})", best.as_secs_f64() * 1000.0);
    }
    store.close().await;
}

/// Fills the history in the order of its key; gives the microseconds from row to row of an agent. Thirty days in all.
fn fill(file: &Path, rows: u32) -> i64 {
    let mut peer = rusqlite::Connection::open(file).expect("opens");
    peer.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -200000").expect("settings");
    let each = rows / (AGENTS * 5);
    let step = 30 * 86_400_000_000 / i64::from(each);
    let transaction = peer.transaction().expect("begins");
    {
        let mut insert = transaction
            .prepare(
                "INSERT INTO state_history (tenant, agent, entered_at, left_at, id, state, source) \
                 VALUES ('acme', ?1, ?2, ?3, ?4, ?5, 'snapshot')",
            )
            .expect("prepares");
        let states = ["Ready", "OnContact", "AfterContactWork", "Paused", "NotReady"];
        let mut id = 0_i64;
        for agent in 0..AGENTS * 5 {
            let name = format!("u_{agent:05}");
            for n in 0..each {
                id += 1;
                let at = START + i64::from(n) * step + i64::from(agent);
                let left = (n + 1 < each).then_some(at + step);
                insert.execute(rusqlite::params![name, at, left, id, states[n as usize % 5]]).expect("inserts");
            }
        }
    }
    transaction.commit().expect("commits");
    step
}

/// The bare peer: one prepared statement per table, texts and hashes finished before the clock starts.
struct Peer(rusqlite::Connection);

struct PeerRow {
    agent: String,
    at: i64,
    state: String,
    subject: String,
    body: String,
    hash: [u8; 32],
    event: String,
    data: String,
}

impl PeerRow {
    fn of(commit: &Commit) -> Self {
        let HistoryWrite::Enter(row) = &commit.history[0] else { unreachable!("only entries are made here") };
        let mut head = shiftkeeper::domain::audit::ChainHead::default();
        let sealed = head.seal(&commit.audit[0]).expect("plain facts");
        Self {
            agent: row.agent.to_string(),
            at: row.entered_at.as_micros(),
            state: row.state.name().to_owned(),
            subject: commit.audit[0].subject.map(|id| id.to_string()).unwrap_or_default(),
            body: sealed.body,
            hash: sealed.hash.0,
            event: commit.events[0].id.to_string(),
            data: serde_json::to_string(&commit.events[0].body()).expect("JSON"),
        }
    }
}

impl Peer {
    fn open(file: &Path) -> Self {
        let connection = rusqlite::Connection::open(file).expect("opens");
        connection
            .execute_batch(
                "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA journal_size_limit = 67108864; \
                 PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA secure_delete = ON; \
                 PRAGMA cache_size = -4096; PRAGMA wal_autocheckpoint = 4000",
            )
            .expect("settings");
        Self(connection)
    }

    fn commit(&mut self, rows: &[PeerRow], before: u32) {
        use rusqlite::params;
        let transaction = self.0.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).expect("begins");
        {
            let mut history = transaction
                .prepare(
                    "INSERT INTO state_history (tenant, agent, entered_at, id, state, source, reason, queue, transition) \
                     VALUES ('acme', ?1, ?2, ?3, ?4, 'snapshot', NULL, NULL, NULL)",
                )
                .expect("prepares");
            let mut audit = transaction
                .prepare(
                    "INSERT INTO audit_entries (tenant, seq, at, action, subject, transition, body, hash) \
                     VALUES ('acme', ?1, ?2, 'state.observed', ?3, NULL, ?4, ?5)",
                )
                .expect("prepares");
            let mut event = transaction
                .prepare(
                    "INSERT INTO events (tenant, number, id, at, kind, agent, sequence, body) \
                     VALUES ('acme', ?1, ?2, ?3, 'agent.state_changed', ?4, ?1, ?5)",
                )
                .expect("prepares");
            let mut close = transaction
                .prepare(
                    "UPDATE state_history SET left_at = ?2 WHERE tenant = 'acme' AND agent = ?1 AND entered_at = ?3",
                )
                .expect("prepares");
            for (number, row) in (before + 1..).zip(rows) {
                close.execute(params![row.agent, row.at, row.at - i64::from(AGENTS) * 1_000_000]).expect("updates");
                history.execute(params![row.agent, row.at, number, row.state]).expect("inserts");
                audit.execute(params![number, row.at, row.subject, row.body, row.hash]).expect("inserts");
                event.execute(params![number, row.event, row.at, row.agent, row.data]).expect("inserts");
            }
        }
        transaction.commit().expect("commits");
    }
}
