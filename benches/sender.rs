//! Signed POSTs per second to a trivial receiver on this host, beside what is possible (the same bytes written and awaited on
//! bare sockets) and beside reqwest's client, in the same run.
//!
//! `cargo bench --bench sender`; `SMALL=1` before it takes a tenth of the requests. Absolute figures drift with the machine, the
//! ratios are what counts. Client and receiver share the cores.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures real time and reads its size from the environment"
)]
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark talks on stdout and stops at the first fault"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use shiftkeeper::domain::ids::EventId;
use shiftkeeper::domain::webhooks::cloud_event::WebhookFormat;
use shiftkeeper::domain::webhooks::signature::Keyring;
use shiftkeeper::domain::webhooks::target::Target;
use shiftkeeper::engine::webhooks::deliver::send::{DeliveryRequest, EndpointTarget, HttpPost, Network, Post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const AT_ONCE: usize = 64;
const ROUNDS: usize = 3;
const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const BODY: &str = r#"{"data":{"enteredAt":"2026-10-26T08:00:00.123456Z","idleTimeMs":900000,"latencyMs":120,"newState":"Ready","previousState":"Paused","reasonCode":"WORKING","sequence":3,"transitionId":"01990000-0000-7000-8000-000000000001","userId":"u_0001","violationCount":1},"event":"AGENT_STATE_CHANGED","timestamp":"2026-10-26T08:00:00.123456Z"}"#;
const ANSWER: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

fn main() {
    let requests = if std::env::var_os("SMALL").is_some() { 20_000 } else { 200_000 };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let mut tasks = JoinSet::new();
    tasks.spawn_on(rounds(requests), runtime.handle());
    runtime.block_on(tasks.join_all());
}

async fn rounds(requests: usize) {
    let (address, _receiver) = receiver().await;
    println!("{requests} POSTs of {} bytes, {AT_ONCE} at once, best of {ROUNDS} in turn", BODY.len());
    let mut best = [0.0_f64; 3];
    for _ in 0..ROUNDS {
        for (best, rate) in best.iter_mut().zip([
            bare(address, requests).await,
            ours(address, requests).await,
            peer(address, requests).await,
        ]) {
            *best = best.max(rate);
        }
    }
    let [limit, sender, reqwest] = best;
    println!("bare sockets, nothing signed   {limit:>9.0}/s");
    println!("the sender, signed             {sender:>9.0}/s  {:.2} of the limit", sender / limit);
    println!("reqwest, signed beforehand     {reqwest:>9.0}/s  the sender has {:.1} times that", sender / reqwest);
}

/// Answers each request as soon as its bytes have come; all requests of a connection are of the same length.
async fn receiver() -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(serve(stream));
        }
    });
    (address, task)
}

async fn serve(mut stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let mut bytes = Vec::with_capacity(16 * 1024);
    while stream.read_buf(&mut bytes).await.is_ok_and(|count| count > 0) {
        while let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let whole = end + 4 + BODY.len();
            if bytes.len() < whole {
                break;
            }
            bytes.drain(..whole);
            if stream.write_all(ANSWER).await.is_err() {
                return;
            }
        }
    }
}

/// Processor time of this process so far, client and receiver together: what a busy machine does not change. Zero where the
/// system has no `/proc`.
fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = |place: usize| -> u64 {
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        after_name.split_whitespace().nth(place).and_then(|ticks| ticks.parse().ok()).unwrap_or(0)
    };
    // utime and stime, in hundredths of a second.
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

/// Says how much processor time a request took.
fn say_processor(what: &str, since: Duration, requests: usize) {
    let took = processor().saturating_sub(since);
    println!("  {what}: {:.1} µs of processor a request, client and receiver", 1e6 / per_second(requests, took));
}

/// Runs `one` until there were so many, so many at once; gives how many a second.
async fn rate<F>(what: &str, requests: usize, one: impl Fn() -> F + Clone + Send + 'static) -> f64
where
    F: Future<Output = ()> + Send,
{
    let left = Arc::new(AtomicUsize::new(requests));
    let (begun, used) = (Instant::now(), processor());
    let mut workers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (left, one) = (Arc::clone(&left), one.clone());
        workers.spawn(async move {
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                one().await;
            }
        });
    }
    workers.join_all().await;
    say_processor(what, used, requests);
    per_second(requests, begun.elapsed())
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn per_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

async fn bare(address: SocketAddr, requests: usize) -> f64 {
    let headers = format!(
        "POST /hooks HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\nwebhook-id: {}\r\nwebhook-timestamp: \
         1790000000\r\nwebhook-signature: v1,{}\r\ncontent-length: {}\r\n\r\n{BODY}",
        uuid::Uuid::nil(),
        "a".repeat(44),
        BODY.len()
    );
    let (begun, used) = (Instant::now(), processor());
    let mut workers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let request = headers.clone();
        workers.spawn(async move {
            let mut stream = TcpStream::connect(address).await.expect("connects");
            stream.set_nodelay(true).expect("set");
            let mut answer = [0; 256];
            for _ in 0..requests / AT_ONCE {
                stream.write_all(request.as_bytes()).await.expect("written");
                assert_eq!(stream.read(&mut answer).await.expect("answered"), ANSWER.len());
            }
        });
    }
    workers.join_all().await;
    say_processor("bare", used, requests);
    per_second(requests, begun.elapsed())
}

async fn ours(address: SocketAddr, requests: usize) -> f64 {
    let endpoint = EndpointTarget {
        url: format!("http://{address}/hooks").parse().expect("a URL"),
        keys: Keyring::parse(KEY).expect("a key"),
        allow: vec![Target::parse(&address.to_string()).expect("a target")],
        format: WebhookFormat::Guide,
    };
    let post = HttpPost::new(endpoint, &Network::system().expect("a network")).expect("a sender");
    rate("sender", requests, move || {
        let outgoing = DeliveryRequest {
            event_id: EventId(uuid::Uuid::nil()),
            tenant: "acme".into(),
            body: Bytes::from_static(BODY.as_bytes()),
        };
        let post = post.clone();
        async move {
            let attempt = post.post(outgoing).await;
            assert_eq!(attempt.status_code, Some(204), "{attempt:?}");
        }
    })
    .await
}

async fn peer(address: SocketAddr, requests: usize) -> f64 {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(15)).build().expect("a client");
    let url = format!("http://{address}/hooks");
    rate("reqwest", requests, move || {
        let request = client
            .post(&url)
            .header("content-type", "application/json")
            .header("webhook-id", "00000000-0000-0000-0000-000000000000")
            .header("webhook-timestamp", "1790000000")
            .header("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
            .body(BODY);
        async move {
            assert_eq!(request.send().await.expect("answered").status(), 204);
        }
    })
    .await
}
