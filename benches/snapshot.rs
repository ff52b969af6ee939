//! Snapshots parsed and compared with the one before, beside what Node takes for the same bytes.
//!
//! `max alloc` is what the reading needs beside the two bodies, the new one and the one that is kept: the whole must stay
//! within three bodies, so `max alloc` within one.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark talks to people and may stop when it cannot run"
)]

use std::fmt::Write as _;
use std::process::Command;
use std::sync::Arc;

use divan::{AllocProfiler, Bencher, counter::BytesCount};
use shiftkeeper::domain::agents::state::StateNames;
use shiftkeeper::domain::ids::{AgentId, SubscriptionId};
use shiftkeeper::platform::guide::GuideReader;
use shiftkeeper::platform::{SnapshotBody, SnapshotReader};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

const SIZES: [usize; 2] = [2_000, 100_000];

fn main() {
    for agents in SIZES {
        let bodies = two_snapshots(agents);
        println!("{agents} agents, a body of {} kB; Node: {}", bodies[0].len() / 1000, node(&bodies));
    }
    divan::main();
}

/// The median of Node's own measurement, where there is a Node.
fn node(bodies: &[Vec<u8>; 2]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let paths = [folder.path().join("a.json"), folder.path().join("b.json")];
    for (path, body) in paths.iter().zip(bodies) {
        std::fs::write(path, body).unwrap();
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/snapshot.mjs");
    match Command::new("node").arg(script).args(&paths).output() {
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
