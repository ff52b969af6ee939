//! The relay to a thousand viewers, over an event stream and over WebSockets, beside a small relay of Node on `ws` as the guides
//! describe it: messages a second, how old they are when they come, memory. All in one run.
//!
//! The server, the viewers and whoever feeds the server are a process each. What is fed comes as a line of JSON on the server's
//! standard input, for us and for the peer alike. `cargo bench --bench relay`; `VIEWERS=100` before it takes fewer.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures real time and reads its size from the environment"
)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    reason = "a benchmark talks on stdout and stops at the first fault"
)]

mod crowd;
mod ours;
mod server;

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use self::crowd::Crowd;
use self::server::{Kind, Server};

const ROUNDS: usize = 3;
/// Each measurement takes so long.
const SPAN: Duration = Duration::from_secs(5);
/// What a viewer is told per second where it is measured how old that is when it comes; a thousand viewers make 100,000.
const CALM: u32 = 100;
/// Messages under way to each viewer where it is measured how many can be told.
const UNDER_WAY: u64 = 256;

/// What was measured of a server in a round.
struct Measured {
    median: Duration,
    p99: Duration,
    rate: f64,
    calm_bytes: u64,
    peak_bytes: u64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` asks every bench to show that it starts.
    if arguments.iter().any(|argument| argument == "--test" || argument == "--list") {
        return;
    }
    match arguments.first().map(String::as_str) {
        Some(crowd::ARGUMENT) => return crowd::watch(&arguments[1..]),
        Some(ours::ARGUMENT) => return ours::serve(),
        _ => {}
    }
    let viewers = std::env::var("VIEWERS").ok().and_then(|text| text.parse().ok()).unwrap_or(1000);
    let kinds: Vec<Kind> = Kind::ALL
        .into_iter()
        .filter(|kind| kind.is_there().inspect_err(|missing| println!("without {}: {missing}", kind.name())).is_ok())
        .collect();
    println!("{viewers} viewers, messages of {} bytes; {ROUNDS} rounds in turn", server::message(0).len());
    println!(
        "{:<28} {:>12} {:>9} {:>9} {:>14} {:>12} {:>12}",
        "", "messages/s", "median", "p99", "(told at)", "memory", "at the most"
    );
    for _ in 0..ROUNDS {
        for kind in &kinds {
            say(*kind, viewers, &measure(*kind, viewers));
        }
    }
}

fn measure(kind: Kind, viewers: usize) -> Measured {
    let mut server = Server::start(kind, viewers);
    let mut crowd = Crowd::gather(kind, server.address(), viewers);
    // Told once before it counts: what grows at first has grown then.
    told_at_rate(&mut server, &crowd, viewers, Duration::from_secs(1));
    crowd.ages();
    told_at_rate(&mut server, &crowd, viewers, SPAN);
    let (median, p99) = crowd.ages();
    let calm_bytes = server.memory();
    let rate = told_at_most(&mut server, &crowd, viewers);
    Measured { median, p99, rate, calm_bytes, peak_bytes: server.peak_memory() }
}

/// What is written to this process, line by line. Few lines wait: who writes waits instead.
fn lines_of_stdin() -> mpsc::Receiver<String> {
    let (lines, read) = mpsc::channel(64);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    read
}

/// Tells [`CALM`] messages a second, and waits until all have come.
fn told_at_rate(server: &mut Server, crowd: &Crowd, viewers: usize, span: Duration) {
    let (before, started) = (crowd.heard(), Instant::now());
    let messages = CALM * u32::try_from(span.as_secs()).expect("seconds");
    for nth in 0..messages {
        std::thread::sleep((span * nth / messages).saturating_sub(started.elapsed()));
        server.tell();
    }
    crowd.until(before + u64::from(messages) * viewers as u64);
}

/// Tells as much as is taken; gives the messages a second, all viewers together.
fn told_at_most(server: &mut Server, crowd: &Crowd, viewers: usize) -> f64 {
    let (viewers, before, started) = (viewers as u64, crowd.heard(), Instant::now());
    let mut told = 0;
    while started.elapsed() < SPAN {
        let heard = (crowd.heard() - before) / viewers;
        let more = (heard + UNDER_WAY).saturating_sub(told);
        for _ in 0..more {
            server.tell();
        }
        told += more;
        std::thread::sleep(Duration::from_millis(1));
    }
    crowd.until(before + told * viewers);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let messages = (told * viewers) as f64;
    messages / started.elapsed().as_secs_f64()
}

fn say(kind: Kind, viewers: usize, measured: &Measured) {
    let ms = |span: Duration| format!("{:.1} ms", span.as_secs_f64() * 1000.0);
    let mb = |bytes: u64| format!("{} MB", bytes / 1_000_000);
    println!(
        "{:<28} {:>12.0} {:>9} {:>9} {:>12}/s {:>12} {:>12}",
        kind.name(),
        measured.rate,
        ms(measured.median),
        ms(measured.p99),
        u64::from(CALM) * viewers as u64,
        mb(measured.calm_bytes),
        mb(measured.peak_bytes),
    );
}
