//! Signed deliveries per second over HTTP, with every commit synced, at ten thousand and at a million rows, beside two job queues
//! of Node in the same run; and how long an event takes from its commit to its POST when nothing else happens.
//!
//! All send bodies of the same length, signed the same way, to one receiver in a process of its own. `cargo bench --bench outbox`;
//! `SMALL=1` before it takes a tenth of the rows. Absolute figures drift with the machine, the ratios are what counts.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures real time and reads its size from the environment"
)]
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark talks on stdout and stops at the first fault"
)]

mod ours;
mod peers;
mod receiver;

use std::time::Duration;

use tokio::task::{JoinSet, LocalSet};
use uuid::Uuid;

use self::ours::Ours;
use self::peers::Peer;
use self::receiver::Receiver;

/// Bytes of each body.
const BODY_BYTES: usize = 331;
/// Deliveries of ours under way at once: the default of `concurrency`.
const AT_ONCE: usize = 64;
const ROUNDS: usize = 3;

fn main() {
    let mut arguments = std::env::args().skip(1);
    // `cargo test --benches` asks every bench to show that it starts.
    if arguments.any(|argument| argument == "--test" || argument == "--list") {
        return;
    }
    if std::env::args().nth(1).as_deref() == Some(receiver::ARGUMENT) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        LocalSet::new().block_on(&runtime, receiver::receive());
        return;
    }
    let small = std::env::var_os("SMALL").is_some();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    // On a worker thread of the runtime, where the daemon's own tasks live.
    let mut tasks = JoinSet::new();
    tasks.spawn_on(all(if small { 10 } else { 1 }), runtime.handle());
    runtime.block_on(tasks.join_all());
}

async fn all(part: u64) {
    let (few, many) = (10_000 / part, 1_000_000 / part);
    let (ours, theirs) = (60_000 / part, 20_000 / part);
    let mut receiver = Receiver::start().await;
    let mut ids = Ids::default();
    let peers: Vec<Peer> = Peer::ALL
        .into_iter()
        .filter(|peer| peer.is_there().inspect_err(|missing| println!("without {}: {missing}", peer.name())).is_ok())
        .collect();
    println!("{ours} events of ours and {theirs} jobs of a peer, {BODY_BYTES} bytes each; {ROUNDS} rounds in turn");
    let mut large = Ours::with_rows(many).await;
    let mut rates = vec![Vec::new(); 2 + peers.len()];
    for _ in 0..ROUNDS {
        let mut small = Ours::with_rows(few).await;
        rates[0].push(small.rate(ours, &mut ids, &mut receiver).await);
        small.close().await;
        rates[1].push(large.rate(ours, &mut ids, &mut receiver).await);
        for (place, peer) in peers.iter().enumerate() {
            rates[2 + place].push(peer.rate(theirs, &mut ids, &mut receiver).await);
        }
    }
    large.close().await;
    let mut names = vec![format!("shiftkeeper at {few} rows"), format!("shiftkeeper at {many} rows")];
    names.extend(peers.iter().map(|peer| peer.name().to_owned()));
    say_rates(&names, &rates);

    let mut alone = Ours::with_rows(0).await;
    let waits = alone.idle(1000 / part, &mut ids, &mut receiver).await;
    alone.close().await;
    for (what, mut waits) in ["from before the commit to the POST's arrival", "from the commit's end"].iter().zip(waits)
    {
        waits.sort_unstable();
        let at = |share: usize| waits[(waits.len() - 1) * share / 100].as_secs_f64() * 1000.0;
        println!(
            "idle, {what}: median {:.2} ms, p99 {:.2} ms, most {:.2} ms (to meet: p99 15 ms)",
            at(50),
            at(99),
            at(100)
        );
    }
}

fn say_rates(names: &[String], rates: &[Vec<f64>]) {
    let best: Vec<f64> = rates.iter().map(|rounds| rounds.iter().copied().fold(0.0, f64::max)).collect();
    println!("{:<50} {:>8}   all rounds", "signed deliveries a second", "best");
    for ((name, best), rounds) in names.iter().zip(&best).zip(rates) {
        let rounds: Vec<String> = rounds.iter().map(|rate| format!("{rate:.0}")).collect();
        println!("{name:<50} {best:>8.0}   {}", rounds.join(", "));
    }
    println!("a million rows to ten thousand: {:.2} (to meet: 0.9)", best[1] / best[0]);
    if let Some(peer) = best[2..].iter().copied().reduce(f64::max) {
        println!("to the best peer: {:.1} times (to meet: 2, and 20000/s)", best[0] / peer);
    }
}

/// How much processor time one took.
fn say_processor(used: Duration, count: u64) {
    println!("  {:.1} µs of processor a delivery, without the receiver", 1e6 / per_second(count, used));
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn per_second(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

/// Gives every run ids of its own, and knows how many events were sent in all.
#[derive(Default)]
struct Ids {
    runs: u64,
    told: u64,
}

impl Ids {
    const fn run(&mut self) -> Run {
        self.runs += 1;
        Run(self.runs)
    }

    /// So many more are sent; gives how many that makes.
    const fn told(&mut self, more: u64) -> u64 {
        self.told += more;
        self.told
    }
}

/// The ids of one run.
#[derive(Clone, Copy)]
struct Run(u64);

impl Run {
    const fn id(self, n: u64) -> Uuid {
        Uuid::from_u64_pair(self.0, n)
    }
}
