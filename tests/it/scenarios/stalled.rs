//! Viewers who stop reading: they are gone within a minute, cost next to nothing, and nobody else notices.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use shiftkeeper::clock::{RealTime, SharedClock, Stopwatch};
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::sim::SimState;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::faults::print_progress;
use crate::harness::viewer::{TRANSPORTS, Transport};
use crate::harness::{Binary, Scenario, Setup, VIEWER, full_size, send};

/// A change is seen this long after its commit at the most, in 99 of 100 cases.
const MAX_VIEW_DELAY: Duration = Duration::from_millis(250);

/// Who stops reading is gone after this.
const MAX_STALL: Duration = Duration::from_secs(60);

/// What a thousand viewers and a hundred who stall may take.
const MAX_BYTES: u64 = 100_000_000;

/// Faster than real time, so that there is always something to tell: a snapshot every second.
const SPEED: u32 = 10;

/// Agents who change their state with each snapshot.
const CHANGING_AGENTS: usize = 20;

/// A write that is synced beside the daemon's database is asked for after each such pause, in real time.
const PROBE_INTERVAL: Duration = Duration::from_millis(25);

/// Such a write that takes longer says that the machine stands still for everybody who commits.
const STALL_THRESHOLD: Duration = Duration::from_millis(50);

/// When the machine stood still, from and until when by the world's clock. A change is seen after its commit, and no commit is faster than
/// the disk and the processors are for anybody else.
#[derive(Clone, Default)]
struct MachineStalls(Arc<Mutex<Vec<(i64, i64)>>>);

impl MachineStalls {
    /// Looks for ever.
    async fn watch(self, folder: PathBuf, clock: SharedClock) {
        let mut file = tokio::fs::File::create(folder.join("probe")).await.expect("a file of our own");
        let still_us = world_us(STALL_THRESHOLD);
        loop {
            let due = clock.now().as_micros() + world_us(PROBE_INTERVAL);
            RealTime::sleep(PROBE_INTERVAL).await;
            file.write_all(b"probe").await.expect("written");
            file.sync_data().await.expect("synced");
            let done = clock.now().as_micros();
            if done - due > still_us {
                self.0.lock().expect("a lock").push((due, done));
            }
        }
    }

    /// How much of a span the machine stood still, in microseconds of the world.
    fn within(&self, (from, until): (i64, i64)) -> i64 {
        let spans = self.0.lock().expect("a lock");
        spans.iter().map(|(due, done)| (*done.min(&until) - *due.max(&from)).max(0)).sum()
    }
}

/// Real time in microseconds of the world.
fn world_us(real: Duration) -> i64 {
    i64::try_from(real.as_micros()).expect("short") * i64::from(SPEED)
}

/// Requests the live view. `room` is what the system may buffer for a viewer that does not read.
async fn open_stream(address: SocketAddr, way: Transport, room: Option<u32>) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    if let Some(room) = room {
        socket.set_recv_buffer_size(room).expect("a small buffer");
    }
    let mut stream = socket.connect(address).await.expect("connects");
    let head = format!("Host: {address}\r\nAuthorization: Bearer {VIEWER}\r\n");
    let request = match way {
        Transport::Events => format!("GET /live/events HTTP/1.1\r\n{head}\r\n"),
        Transport::Socket => format!(
            "GET /live HTTP/1.1\r\n{head}Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n\r\n"
        ),
    };
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream
}

/// What one viewer saw: how many changes, and when each was committed and seen by the world's clock.
#[derive(Default)]
struct ReceivedChanges {
    changes: usize,
    spans: Vec<(i64, i64)>,
    ended: bool,
}

/// Reads an event stream for ever. The instants are the daemon's, whose clock is behind the world's.
async fn read_stream(stream: TcpStream, clock: SharedClock, behind_us: i64, received: Arc<Mutex<ReceivedChanges>>) {
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        // The changes of [`behind_us`] may have been sent only to viewers who came early.
        if !line.starts_with("data: {\"type\":\"agent\"") || line.contains("\"id\":\"u_0001\"") {
            continue;
        }
        let at = line.split("\"at\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an instant");
        let at: UtcMicros = at.parse().expect("an instant");
        let span = (at.as_micros() + behind_us, clock.now().as_micros());
        let mut seen = received.lock().expect("a lock");
        seen.changes += 1;
        seen.spans.push(span);
    }
    received.lock().expect("a lock").ended = true;
}

/// How far the daemon's clock is behind the world's: an instant of its own lies between two of ours.
async fn behind_us(scenario: &Scenario) -> i64 {
    let mut nearest = (i64::MAX, 0);
    for _ in 0..5 {
        let before = scenario.clock.now().as_micros();
        let body = json!({"tenant": "acme", "agents": ["u_0001"], "to": "Paused"});
        let (_, taken) = send(scenario.request(Method::POST, "/api/v1/transitions").json(&body)).await;
        let after = scenario.clock.now().as_micros();
        let at = scenario.transition(&taken["transitions"][0]).await["requested_at"].clone();
        let at: UtcMicros = at.as_str().expect("an instant").parse().expect("an instant");
        nearest = nearest.min((after - before, i64::midpoint(before, after) - at.as_micros()));
    }
    nearest.1
}

/// Viewers that the daemon has now, and that it has let in.
async fn viewers_of(scenario: &Scenario) -> [usize; 2] {
    let page = scenario.request(Method::GET, "/metrics").send().await.expect("answered").text().await.expect("text");
    ["shiftkeeper_viewers{} ", "shiftkeeper_viewers_seen_total{} "].map(|name| {
        let value =
            page.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}: {page}"));
        value.parse().expect("a count")
    })
}

async fn change_some(scenario: &Scenario, round: usize) {
    let state = if round.is_multiple_of(2) { SimState::Idle } else { SimState::Unavailable };
    for agent in 2..2 + CHANGING_AGENTS {
        scenario.set_agent_state(&format!("u_{agent:04}"), state);
    }
    scenario.let_time_pass(crate::harness::INTERVAL).await;
}

/// Changes some of the agents again and again; gives how often.
async fn wait_until_stalled_are_gone(scenario: &Scenario, reading: usize, stalled: usize) -> usize {
    scenario
        .wait_until("all are there", || async {
            let [_, let_in] = viewers_of(scenario).await;
            if let_in == reading + stalled { Ok(()) } else { Err(let_in.to_string()) }
        })
        .await;
    let watch = Stopwatch::start();
    let mut round = 0;
    loop {
        let [now, _] = viewers_of(scenario).await;
        if now == reading {
            return round;
        }
        assert!(watch.elapsed() < MAX_STALL, "{now} viewers, {reading} of whom read");
        change_some(scenario, round).await;
        round += 1;
    }
}

/// What was sent before the end may still be read.
async fn wait_until_ended(streams: &mut [TcpStream]) {
    for stream in streams {
        let rest = async { while stream.read(&mut [0; 4096]).await.is_ok_and(|bytes| bytes > 0) {} };
        tokio::select! {
            () = rest => {}
            () = RealTime::sleep(crate::harness::WAIT_TIMEOUT) => panic!("a viewer who stopped reading is still served"),
        }
    }
}

/// How old changes were when they were seen, in real milliseconds: at most so old was this share in a hundred.
fn percentile_age_ms(spans: &[(i64, i64)], share: usize, still: impl Fn((i64, i64)) -> i64) -> i64 {
    let mut ages: Vec<i64> = spans.iter().map(|span| span.1 - span.0 - still(*span)).collect();
    ages.sort_unstable();
    ages[(ages.len() - 1) * share / 100] / world_us(Duration::from_millis(1))
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_who_stop_reading_are_gone_within_a_minute_and_the_others_see_changes_at_once() {
    let (viewers, stalled) = if full_size() { (900, 100) } else { (90, 10) };
    let mut setup = Setup::team(300);
    setup.speed = SPEED;
    setup.binary = Some(Binary { path: env!("CARGO_BIN_EXE_shiftkeeper").into(), environment: Vec::new() });
    let scenario = Scenario::start_team(setup).await;
    let memory_before = scenario.peak_memory();
    let (behind_us, address) = (behind_us(&scenario).await, scenario.address());
    let (mut reading, stills) = (JoinSet::new(), MachineStalls::default());
    let folder = scenario.database().parent().expect("a folder").to_owned();
    reading.spawn(stills.clone().watch(folder, scenario.clock.clone()));
    let mut seen = Vec::new();
    for _ in 0..viewers {
        let of_one = Arc::new(Mutex::new(ReceivedChanges::default()));
        seen.push(of_one.clone());
        let stream = open_stream(address, Transport::Events, None).await;
        reading.spawn(read_stream(stream, scenario.clock.clone(), behind_us, of_one));
    }
    let mut silent = Vec::new();
    for number in 0..stalled {
        silent.push(open_stream(address, TRANSPORTS[number % 2], Some(4096)).await);
    }
    let watch = Stopwatch::start();
    let round = wait_until_stalled_are_gone(&scenario, viewers, stalled).await;
    let gone_after = watch.elapsed();
    assert!(gone_after < MAX_STALL, "gone after {gone_after:?}");
    wait_until_ended(&mut silent).await;
    change_some(&scenario, round).await;
    scenario
        .wait_until("all others have seen the same", || async {
            let counts: Vec<usize> = seen.iter().map(|seen| seen.lock().expect("a lock").changes).collect();
            let (least, most) = (counts.iter().min().copied(), counts.iter().max().copied());
            let all = least == most && least >= Some(round * CHANGING_AGENTS);
            if all { Ok(()) } else { Err(format!("{least:?} to {most:?} of {round} rounds")) }
        })
        .await;
    assert!(seen.iter().all(|seen| !seen.lock().expect("a lock").ended), "nobody else was dropped");
    let spans: Vec<(i64, i64)> =
        seen.iter().flat_map(|seen| std::mem::take(&mut seen.lock().expect("a lock").spans)).collect();
    let [median, p99] = [50, 99].map(|share| percentile_age_ms(&spans, share, |_| 0));
    let own = percentile_age_ms(&spans, 99, |span| stills.within(span));
    let grown = scenario.peak_memory() - memory_before;
    let said = format!(
        "{viewers} viewers saw {} changes, median {median} ms, p99 {p99} ms after the pass that committed them began, {own} ms \
         without what the machine stood still; {stalled} who stopped reading were gone after {gone_after:?}; memory grew by {} kB",
        spans.len(),
        grown / 1000
    );
    assert!(own <= i64::try_from(MAX_VIEW_DELAY.as_millis()).expect("small"), "{said}");
    print_progress(said);
    assert!(grown < MAX_BYTES, "memory grew by {grown} bytes");
}
