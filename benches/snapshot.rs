//! Snapshots parsed and compared with the one before, beside what Node takes for the same bytes.
//!
//! `max alloc` is what the reading needs beside the two bodies, the new one and the one that is kept: the whole must stay
//! within three bodies, so `max alloc` within one.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark talks to people and may stop when it cannot run"
)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use divan::{AllocProfiler, Bencher, counter::BytesCount};
use shiftkeeper::clock::SystemClock;
use shiftkeeper::domain::access::secret::Secret;
use shiftkeeper::domain::agents::state::{AgentState, StateNames};
use shiftkeeper::domain::agents::unavailable_codes::{CodeMap, CodeRule};
use shiftkeeper::domain::ids::{AgentId, SubscriptionId};
use shiftkeeper::platform::client::ClientSettings;
use shiftkeeper::platform::guide::GuideReader;
use shiftkeeper::platform::incontact::{IncontactPlatform, IncontactSettings, TokenKind, TokenSettings, Versions};
use shiftkeeper::platform::{Platform as _, SnapshotBody, SnapshotDelta, SnapshotReader};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

const SIZES: [usize; 2] = [2_000, 100_000];

fn main() {
    for agents in SIZES {
        let bodies = two_snapshots(agents);
        println!("{agents} agents, a body of {} kB; Node: {}", bodies[0].len() / 1000, node(None, &bodies));
    }
    let (all, changes) = (states(LISTED, 0, false), [states(CHANGED, 1, false), states(CHANGED, 2, false)]);
    println!(
        "published services, {LISTED} agents, {} kB; Node: all of them {}, {CHANGED} who changed {}",
        all.len() / 1000,
        node(None, &[all.clone(), states(LISTED, 0, true)]),
        node(Some(&all), &changes)
    );
    divan::main();
}

/// The median of Node's own measurement, where there is a Node. `first` is read before and not measured.
fn node(first: Option<&Vec<u8>>, bodies: &[Vec<u8>; 2]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, body: &Vec<u8>| {
        let path = folder.path().join(name);
        std::fs::write(&path, body).unwrap();
        path
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/snapshot.mjs");
    let mut command = Command::new("node");
    command.arg(script);
    if let Some(first) = first {
        command.arg("--first").arg(write("first.json", first));
    }
    match command.args([write("a.json", &bodies[0]), write("b.json", &bodies[1])]).output() {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Ok(output) => format!("failed: {}", String::from_utf8_lossy(&output.stderr).trim()),
        Err(_) => "not installed".to_owned(),
    }
}

/// Two snapshots, ten seconds apart, in which one agent of a hundred has moved.
fn two_snapshots(agents: usize) -> [Vec<u8>; 2] {
    [snapshot(agents, 0, false), snapshot(agents, 1, false)]
}

fn snapshot(agents: usize, turn: usize, backwards: bool) -> Vec<u8> {
    let mut text = format!(
        r#"{{"subscriptionId":"sub_1","status":"active","lastUpdatedTimestamp":"2026-10-26T13:30:{turn}0.000Z","data":["#
    );
    for place in 0..agents {
        let agent = if backwards { agents - 1 - place } else { place };
        let state = if agent.is_multiple_of(100) && turn == 1 { "unavailable" } else { "available" };
        let second = if state == "available" { agent % 60 } else { 59 };
        let comma = if place == 0 { "" } else { "," };
        write!(
            text,
            r#"{comma}{{"userId":"u_{agent:06}","userName":"Agent {agent:06}","agentState":"{state}","queueName":"Support-Tier{}","wrapUpCode":null,"statusChangedTimestamp":"2026-10-26T13:29:{second:02}.000Z","teamName":"Customer Care {}"}}"#,
            agent % 5,
            agent % 40,
        )
        .unwrap();
    }
    text.push_str("]}");
    text.into_bytes()
}

fn reader(agents: usize) -> GuideReader {
    let agents: Vec<AgentId> = (0..agents).map(|agent| AgentId::new(format!("u_{agent:06}"))).collect();
    GuideReader::new(&agents, Arc::new(StateNames::default()))
}

/// Reads the bodies in turn with one reader, after a first round that is not measured.
fn read_in_turn(bencher: Bencher<'_, '_>, agents: usize, bodies: &[Vec<u8>]) {
    let subscription = SubscriptionId::new("sub_1");
    let mut reader = reader(agents);
    for bytes in bodies {
        reader.read(&subscription, SnapshotBody::new(bytes.clone())).unwrap();
    }
    let mut turns = bodies.iter().cycle();
    bencher
        .counter(BytesCount::of_slice(&bodies[0]))
        .with_inputs(|| SnapshotBody::new(turns.next().unwrap().clone()))
        .bench_local_values(|body| reader.read(&subscription, body).unwrap());
}

#[divan::bench(args = SIZES, sample_size = 1, sample_count = 50)]
fn one_percent_changed(bencher: Bencher<'_, '_>, agents: usize) {
    read_in_turn(bencher, agents, &two_snapshots(agents));
}

/// No row stands where it stood: every one is parsed and compared by its fields.
#[divan::bench(args = SIZES, sample_size = 1, sample_count = 20)]
fn in_another_order(bencher: Bencher<'_, '_>, agents: usize) {
    read_in_turn(bencher, agents, &[snapshot(agents, 0, false), snapshot(agents, 1, true)]);
}

#[divan::bench(args = SIZES, sample_size = 1, sample_count = 50)]
fn the_same_bytes_again(bencher: Bencher<'_, '_>, agents: usize) {
    read_in_turn(bencher, agents, &[snapshot(agents, 0, false)]);
}

/// The first snapshot: every agent is new.
#[divan::bench(args = SIZES, sample_size = 1, sample_count = 20)]
fn the_first_one(bencher: Bencher<'_, '_>, agents: usize) {
    let (subscription, bytes) = (SubscriptionId::new("sub_1"), snapshot(agents, 0, false));
    bencher
        .counter(BytesCount::of_slice(&bytes))
        .with_inputs(|| (reader(agents), SnapshotBody::new(bytes.clone())))
        .bench_local_values(|(mut reader, body)| (reader.read(&subscription, body).unwrap(), reader));
}

/// The agents of a tenant of the published services, and how many change between two polls.
const LISTED: usize = 10_000;
const CHANGED: usize = 20;

/// A page of agents' states as the published services answer it: all fields of a row, one page.
fn states(agents: usize, turn: usize, backwards: bool) -> Vec<u8> {
    let mut text =
        format!(r#"{{"totalRecords":{agents},"lastPollTime":"2026-10-26T13:30:{turn:02}.000Z","agentStates":["#);
    for place in 0..agents {
        let agent = if backwards { agents - 1 - place } else { place };
        let (state, code, second) = if turn.is_multiple_of(2) { (1, 0, agent % 30) } else { (2, 12, 59) };
        let comma = if place == 0 { "" } else { "," };
        write!(
            text,
            r#"{comma}{{"agentId":{},"agentStateId":{state},"agentStateName":"Unavailable","agentStateCategory":"Unavailable","isACW":false,"isActive":true,"isOutbound":false,"contactId":null,"contactStartHandleTime":null,"openContacts":0,"outStateId":{code},"outStateDescription":"Break","skillId":1001,"skillName":"Support-Tier{}","mediaTypeId":4,"mediaTypeName":"Call","startDate":"2026-10-26T13:29:{second:02}.{turn:03}Z","lastUpdateTime":"2026-10-26T13:29:{second:02}.000Z","sessionStartTime":"2026-10-26T08:00:00.000Z","stationId":{agent},"teamId":{},"teamName":"Customer Care {}","firstName":"Agent","lastName":"{agent:06}","userName":"agent{agent}@example.com","businessUnitId":4711}}"#,
            10_000 + agent,
            agent % 5,
            agent % 40,
            agent % 40,
        )
        .unwrap();
    }
    text.push_str("]}");
    text.into_bytes()
}

/// A platform that is asked which read comes next, and whose reader reads the bodies. Its calls reach nobody.
struct States {
    platform: IncontactPlatform,
    runtime: tokio::runtime::Runtime,
    reader: Box<dyn SnapshotReader>,
}

impl States {
    fn new() -> Self {
        let nowhere = reqwest::Url::parse("http://127.0.0.1:9").unwrap();
        let settings = IncontactSettings {
            token: TokenSettings {
                kind: TokenKind::AccessKey,
                auth_url: nowhere.clone(),
                user_hub_url: nowhere.clone(),
                api_url: Some(nowhere),
                key_id: "key".to_owned(),
                key_secret: Secret::new("secret"),
            },
            versions: Versions::new("31.0".to_owned(), BTreeMap::new()),
            codes: CodeMap(vec![CodeRule { team: None, state: AgentState::Paused, reason: None, code: 12 }]),
            dialer: AgentState::OnContact,
            state_in_body: false,
            can_log_out: false,
            overlap: Duration::from_secs(2),
            full_read_every: Duration::from_secs(300),
            page_rows: LISTED,
            page_limit: 64 << 20,
            client: ClientSettings::default(),
        };
        let clock = SystemClock::scaled(None, 1);
        let platform = IncontactPlatform::new(None, settings, Arc::new(clock)).unwrap();
        let agents: Vec<AgentId> = (0..LISTED).map(|agent| AgentId::new((10_000 + agent).to_string())).collect();
        let reader = platform.reader(&agents);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { platform, runtime, reader }
    }

    /// Begins the next read: of all agents at first, then of those who changed.
    fn begin(&self) {
        let refused = self.runtime.block_on(self.platform.snapshot(&SubscriptionId::new("all")));
        assert!(refused.is_err(), "nobody listens there");
    }

    fn read(&mut self, body: Vec<u8>) -> SnapshotDelta {
        self.reader.read(&SubscriptionId::new("all"), SnapshotBody::new(body)).unwrap().unwrap()
    }
}

/// All agents of the published services, in another order than before and none changed.
#[divan::bench(sample_size = 1, sample_count = 50)]
fn published_all_agents(bencher: Bencher<'_, '_>) {
    let states_of_all = [states(LISTED, 0, false), states(LISTED, 0, true)];
    let mut turns = states_of_all.iter().cycle();
    bencher
        .with_inputs(|| {
            let mut platform = States::new();
            platform.begin();
            platform.read(states_of_all[0].clone());
            platform.reader.reset();
            platform.begin();
            (platform, turns.next().unwrap().clone())
        })
        .bench_local_values(|(mut platform, body)| {
            let read = platform.read(body);
            assert_eq!(read.rows, LISTED);
            (read, platform)
        });
}

/// The agents who changed since the last poll.
#[divan::bench(sample_size = 1, sample_count = 200)]
fn published_changes(bencher: Bencher<'_, '_>) {
    let changes = [states(CHANGED, 1, false), states(CHANGED, 2, false)];
    let mut platform = States::new();
    platform.begin();
    platform.read(states(LISTED, 0, false));
    let platform = RefCell::new(platform);
    let mut turns = changes.iter().cycle();
    bencher
        .with_inputs(|| {
            platform.borrow().begin();
            turns.next().unwrap().clone()
        })
        .bench_local_values(|body| {
            let read = platform.borrow_mut().read(body);
            assert_eq!(read.changed.len(), CHANGED);
            read
        });
}
