//! Endpoints that mean harm, all at once, beside one that does not: every attempt ends within its time and its bytes, the daemon
//! stays small, and the good endpoint gets its events as if the others were not there.

use std::net::SocketAddr;
use std::time::Duration;

use shiftkeeper::clock::RealTime;
use shiftkeeper::domain::ids::EndpointId;
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::sim::{Receiver, ReceiverOptions};
use shiftkeeper::store::{AttemptWrite, DeliveryFilter, Reader};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::outbox::{centre_setup, change_everyone, start_observed};
use super::webhooks::{endpoint_config, receiver};
use crate::faults::print_progress;
use crate::harness::{Scenario, agent_ids};

const SPEED: u32 = 50;
const TEAM: usize = 20;
/// Changes of each agent at least.
const WAVES: usize = 50;

/// An attempt may take so long by its law, and so much more on a machine that has other work.
const ATTEMPT: Duration = Duration::from_secs(15);
const LATE: Duration = Duration::from_secs(2);

/// The most memory that the daemon may have had, in bytes.
const MAX_MEMORY: u64 = 128 << 20;

/// How a server treats a request that it has read.
#[derive(Clone, Copy)]
enum HostileBehaviour {
    /// Never says a word.
    Silent,
    /// Answers byte by byte, for ever.
    Drips,
    /// Answers as fast as it can, for ever.
    Floods,
    /// Answers with 60 KiB that unpack to nearly 10 MiB.
    Bombs,
    /// Breaks off in the middle of its answer.
    Resets,
}

/// Each with its name as an endpoint and how attempts at it end.
const ALL: [(HostileBehaviour, &str, Option<&str>); 5] = [
    (HostileBehaviour::Silent, "silent", Some("no answer within 15000 ms")),
    (HostileBehaviour::Drips, "drips", Some("the answer did not end within 15000 ms")),
    (HostileBehaviour::Floods, "floods", Some("the answer is larger than 65536 bytes")),
    (HostileBehaviour::Bombs, "bombs", None),
    (HostileBehaviour::Resets, "resets", Some("the connection broke: ")),
];

/// A server on loopback; it ends with its struct.
struct Server {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Server {
    async fn start(malice: HostileBehaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    Some(_) = connections.join_next() => {}
                    Ok((stream, _)) = listener.accept() => {
                        connections.spawn(serve_connection(stream, malice));
                    }
                }
            }
        });
        Self { address, _tasks: tasks }
    }
}

/// One connection, one request: what is answered may end before the other side has written all.
async fn serve_connection(mut stream: TcpStream, malice: HostileBehaviour) {
    let mut request = Vec::new();
    while !request.ends_with(b"}") {
        if !stream.read_buf(&mut request).await.is_ok_and(|count| count > 0) {
            return;
        }
    }
    let head = |status, more: &str| format!("HTTP/1.1 {status} X\r\n{more}\r\n\r\n").into_bytes();
    match malice {
        HostileBehaviour::Silent => while stream.read_buf(&mut request).await.is_ok_and(|count| count > 0) {},
        HostileBehaviour::Drips => {
            let mut result = stream.write_all(&head(500, "content-length: 60000")).await;
            while result.is_ok() {
                RealTime::sleep(Duration::from_millis(100)).await;
                result = stream.write_all(b"a").await;
            }
        }
        HostileBehaviour::Floods => {
            let mut result = stream.write_all(&head(500, "content-length: 99999999999")).await;
            while result.is_ok() {
                result = stream.write_all(&[b'a'; 16_384]).await;
            }
        }
        HostileBehaviour::Bombs => {
            let bomb = bomb();
            let head =
                head(200, &format!("connection: close\r\ncontent-encoding: gzip\r\ncontent-length: {}", bomb.len()));
            let _ = stream.write_all(&[head, bomb].concat()).await;
            while stream.read_buf(&mut request).await.is_ok_and(|count| count > 0) {}
        }
        HostileBehaviour::Resets => {
            let _ = stream.write_all(&head(500, "content-length: 10")).await;
            let _ = stream.set_zero_linger();
        }
    }
}

/// Zeros, packed (RFC 1951, 1952): one literal, then copies of 258 bytes that take 13 bits each.
fn bomb() -> Vec<u8> {
    let mut bits = Vec::new();
    // The last block, with the fixed codes; the literal 0; then length 285 and distance 0, codes with their first bit first.
    bits.extend([1, 1, 0]);
    bits.extend([0, 0, 1, 1, 0, 0, 0, 0]);
    while bits.len() < 60 * 1024 * 8 {
        bits.extend([1, 1, 0, 0, 0, 1, 0, 1]);
        bits.extend([0; 5]);
    }
    let packed = bits.chunks(8).map(|eight| eight.iter().rev().fold(0, |byte, bit| byte << 1 | bit));
    [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255].into_iter().chain(packed).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_endpoints_cost_bounded_time_and_memory_and_slow_no_other() {
    let calm = receiver(ReceiverOptions::default()).await;
    let mut webhooks = endpoint_config("calm", calm.address(), "");
    let mut servers = Vec::new();
    for (malice, id, _) in ALL {
        let server = Server::start(malice).await;
        webhooks.push_str(&endpoint_config(id, server.address, ""));
        servers.push(server);
    }
    let mut scenario = start_observed(centre_setup(TEAM, SPEED, "", webhooks)).await;
    let reader = scenario.reader().await;
    let mut waves = 0;
    while waves < WAVES || !all_attempts_ended(&scenario, &reader).await {
        change_everyone(&scenario, &reader, waves).await;
        waves += 1;
    }
    let stored = scenario.events(&reader).await.len() as u64;
    scenario
        .wait_until("the good one has it all", || async {
            let counts = calm.counts();
            if counts.distinct >= stored { Ok(()) } else { Err(format!("{counts:?} of {stored}")) }
        })
        .await;
    for (_, id, ends) in ALL {
        let attempts = attempts(&scenario, &reader, id).await;
        let longest = attempts.iter().map(|attempt| attempt.latency_ms).max().expect("there are attempts");
        print_progress(format!("{id}: {} attempts looked at, the longest took {longest} ms", attempts.len()));
        assert!(Duration::from_millis(longest) <= ATTEMPT + LATE, "{id}: {longest} ms");
        for AttemptWrite { error, response: answer, .. } in &attempts {
            assert!(answer.len() <= 3 * 1024, "a kilobyte, each byte three at most as text: {}", answer.len());
            let fits = match (ends, error) {
                (Some(ends), Some(error)) => error.starts_with(ends),
                (ends, error) => ends.is_none() && error.is_none(),
            };
            assert!(fits, "{id}: {error:?}");
        }
    }
    let latencies = commit_to_delivered(&scenario, &reader, &calm).await;
    let (middle, p99) = (latencies[latencies.len() / 2], latencies[latencies.len() * 99 / 100]);
    let memory = scenario.peak_memory();
    print_progress(format!(
        "{} events in {waves} waves of {}: from commit to delivered {middle:?} in the middle, p99 {p99:?}; {} MB at most",
        latencies.len(),
        agent_ids(TEAM).len(),
        memory >> 20
    ));
    assert!(p99 <= Duration::from_secs(2), "{p99:?}");
    assert!(memory <= MAX_MEMORY, "{memory} bytes");
    assert_eq!(calm.counts().duplicates, 0);
    reader.close().await;
    scenario.kill_daemon().await;
    scenario.sim.stop().await;
}

/// The attempts at the first events.
async fn attempts(scenario: &Scenario, reader: &Reader, id: &str) -> Vec<AttemptWrite> {
    let (id, filter) = (EndpointId::from(id), DeliveryFilter { before: Some(64), ..DeliveryFilter::default() });
    let mut attempts = Vec::new();
    for row in reader.deliveries(&scenario.tenant, &id, &filter, 64).await.expect("readable") {
        attempts.extend(reader.delivery_attempts(&scenario.tenant, &id, row.event_number).await.expect("readable"));
    }
    attempts
}

/// Whether every endpoint has seen an attempt to its end.
async fn all_attempts_ended(scenario: &Scenario, reader: &Reader) -> bool {
    for (_, id, _) in ALL {
        if attempts(scenario, reader, id).await.is_empty() {
            return false;
        }
    }
    true
}

/// How long each event of an agent took from its instant, which is before its commit, to its arrival, in real time and sorted.
/// The daemon's clock is laid over the receiver's at the delivery that was the quickest from its sending to its arrival: by what
/// that one took on its way (well below a millisecond or two), all are told too short.
async fn commit_to_delivered(scenario: &Scenario, reader: &Reader, calm: &Receiver) -> Vec<Duration> {
    let id = EndpointId::from("calm");
    let real_us = |at: UtcMicros| at.as_micros() / i64::from(SPEED);
    let mut spans = Vec::new();
    let mut offset = i64::MAX;
    let arrived: std::collections::BTreeMap<_, _> =
        calm.log(0, usize::MAX).into_iter().map(|receipt| (receipt.id, receipt.at.as_micros())).collect();
    for event in scenario.events(reader).await.into_iter().filter(|event| event.agent.is_some()) {
        let Some(arrived_at) = arrived.get(&event.id.to_string()) else { continue };
        let attempts = reader.delivery_attempts(&scenario.tenant, &id, event.number).await.expect("readable");
        let Some(first) = attempts.first() else { continue };
        offset = offset.min(arrived_at - real_us(first.sent_at));
        spans.push(arrived_at - real_us(event.at));
    }
    let mut latencies: Vec<_> =
        spans.into_iter().map(|span| Duration::from_micros(u64::try_from(span - offset).unwrap_or(0))).collect();
    latencies.sort();
    latencies
}
