//! Receivers that never answer, answer for ever, or answer nonsense: an attempt ends all the same, within its time and bytes.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::harness::{self, RawServer, endpoint, network, outgoing, read_request};
use super::*;

/// Long enough for a loaded machine to send an answer, short enough to wait for.
const SHORT: Duration = Duration::from_secs(1);
/// A test that waits for longer than this has found an attempt that does not end.
const FAR_TOO_LONG: Duration = Duration::from_secs(10);

async fn attempt_within(server: &RawServer, time: Duration) -> Attempt {
    let limits = Limits { time, ..Limits::default() };
    let post = HttpPost::with_limits(endpoint(server), &network(), limits).expect("a sender");
    let attempt = tokio::time::timeout(FAR_TOO_LONG + time, post.post(outgoing(b"x"))).await.expect("an attempt ends");
    assert!(post.0.idle().is_empty() || attempt.error.is_none(), "a connection that failed is not kept");
    attempt
}

/// What comes of a receiver that reads the request and then does this, in the usual time.
async fn after<F>(script: impl Fn(TcpStream) -> F + Clone + Send + Sync + 'static) -> Attempt
where
    F: Future<Output = ()> + Send + 'static,
{
    attempt_within(&script_after_request(script).await, Limits::default().time).await
}

async fn script_after_request<F>(script: impl Fn(TcpStream) -> F + Clone + Send + Sync + 'static) -> RawServer
where
    F: Future<Output = ()> + Send + 'static,
{
    RawServer::scripted(move |mut stream| {
        let script = script.clone();
        async move {
            read_request(&mut stream).await;
            script(stream).await;
        }
    })
    .await
}

/// Writes `first`, and then `again` until the other side has had enough.
async fn for_ever(mut stream: TcpStream, first: &[u8], again: &[u8], pause: Duration, written: &AtomicU64) {
    let mut result = stream.write_all(first).await;
    while result.is_ok() {
        if !pause.is_zero() {
            RealTime::sleep(pause).await;
        }
        result = stream.write_all(again).await;
        written.fetch_add(again.len() as u64, Ordering::SeqCst);
    }
}

#[test]
fn an_attempt_has_15_seconds_and_64_kib() {
    let Limits { time, answer_bytes } = Limits::default();
    assert_eq!((time, answer_bytes), (Duration::from_secs(15), 65_536));
}

#[tokio::test]
async fn a_receiver_that_never_answers_costs_the_time_and_no_more() {
    let watch = Stopwatch::start();
    let attempt = attempt_within(&RawServer::start(|_| None).await, SHORT).await;
    assert_eq!((attempt.status_code, attempt.error.as_deref()), (None, Some("no answer within 1000 ms")));
    assert!(attempt.latency_ms >= 1000 && watch.elapsed() >= SHORT);
    // A listener that does not even accept is the same: the system's queue takes the connection.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    let limits = Limits { time: SHORT, ..Limits::default() };
    let post = HttpPost::with_limits(harness::endpoint_at(&url), &network(), limits).expect("a sender");
    assert_eq!(post.post(outgoing(b"x")).await.error.as_deref(), Some("no answer within 1000 ms"));
}

#[tokio::test]
async fn an_answer_that_comes_byte_by_byte_ends_with_the_time() {
    static WRITTEN: AtomicU64 = AtomicU64::new(0);
    for (first, status, error) in [
        ("", None, "no answer within 1000 ms"),
        ("HTTP/1.1 200 OK\r\nx-y: ", None, "no answer within 1000 ms"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n", Some(200), "the answer did not end within 1000 ms"),
        ("HTTP/1.1 200 OK\r\n\r\n", Some(200), "the answer did not end within 1000 ms"),
    ] {
        let script = move |stream| async move {
            let again: &[u8] = if first.is_empty() { b"\r\n" } else { b"a" };
            for_ever(stream, first.as_bytes(), again, Duration::from_millis(5), &WRITTEN).await;
        };
        let attempt = attempt_within(&script_after_request(script).await, SHORT).await;
        assert_eq!((attempt.status_code, attempt.error.as_deref()), (status, Some(error)), "{first:?}");
    }
}

#[tokio::test]
async fn an_answer_without_end_ends_with_its_bytes() {
    let too_large = "the answer is larger than 65536 bytes";
    let chunk = [b"1000\r\n".as_slice(), &[b'a'; 0x1000], b"\r\n"].concat();
    for (first, again, status) in [
        ("HTTP/1.1 200 OK\r\n\r\n", vec![b'a'; 4096], Some(200)),
        ("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", vec![b'a'; 4096], Some(200)),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", chunk, Some(200)),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\na\r\n".to_vec(), Some(200)),
        ("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n\x1f\x08", vec![0; 4096], Some(200)),
        ("", b"HTTP/1.1 100 Continue\r\n\r\n".repeat(50), None),
        ("", b"HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n".repeat(50), None),
    ] {
        let written = Arc::new(AtomicU64::new(0));
        let (count, again) = (Arc::clone(&written), Arc::new(again));
        let script = move |stream| {
            let (count, again) = (Arc::clone(&count), Arc::clone(&again));
            async move { for_ever(stream, first.as_bytes(), &again, Duration::ZERO, &count).await }
        };
        let attempt = after(script).await;
        assert_eq!((attempt.status_code, attempt.error.as_deref()), (status, Some(too_large)), "{first:?}");
        assert!(attempt.answer.len() <= 3 * 1024);
    }
}

#[tokio::test]
async fn the_largest_answer_is_taken_whole() {
    let mut bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 65536\r\n\r\n".to_vec();
    bytes.extend(std::iter::repeat_n(b'a', 65_536));
    let server = RawServer::start(move |_| Some(bytes.clone())).await;
    let post = harness::sender(&server);
    for _ in 0..3 {
        assert_eq!(post.post(outgoing(b"x")).await.error, None);
    }
    assert_eq!(server.accepted(), 1, "each answer has its own count");
}

#[tokio::test]
async fn headers_without_end_end_with_the_buffer() {
    static WRITTEN: AtomicU64 = AtomicU64::new(0);
    for again in ["x-more: and more\r\n", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"] {
        let script = move |stream| async move {
            for_ever(stream, b"HTTP/1.1 200 OK\r\nx: ", again.as_bytes(), Duration::ZERO, &WRITTEN).await;
        };
        let attempt = after(script).await;
        assert_eq!(attempt.status_code, None);
        assert!(attempt.error.expect("broken").starts_with("the connection broke: "));
    }
}

#[tokio::test]
async fn a_packed_answer_is_not_unpacked() {
    let mut bytes = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 6\r\n\r\n".to_vec();
    bytes.extend([0x1f, 0x8b, 0x08, 0x41, 0x42, 0x43]);
    let server = RawServer::start(move |_| Some(bytes.clone())).await;
    let attempt = harness::sender(&server).post(outgoing(b"x")).await;
    assert_eq!((attempt.answer.as_str(), attempt.error), ("\u{1f}\u{fffd}\u{8}ABC", None));
}

#[tokio::test]
async fn a_reset_at_any_moment_is_an_end_with_a_reason() {
    for sent in ["", "HTTP/1.1 20", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", "HTTP/1.1 100 Continue\r\n\r\n"]
    {
        let attempt = after(move |mut stream: TcpStream| async move {
            let _ = stream.write_all(sent.as_bytes()).await;
            let _ = stream.set_zero_linger();
        })
        .await;
        // What a reset overtakes is lost on the way: the head may have been seen, or not.
        assert!(attempt.error.is_some_and(|error| error.starts_with("the connection broke: ")), "{sent:?}");
    }
    let server = RawServer::scripted(|stream| async move {
        let _ = stream.set_zero_linger();
    })
    .await;
    let attempt = attempt_within(&server, Limits::default().time).await;
    assert!(attempt.status_code.is_none() && attempt.error.is_some());
}

#[tokio::test]
async fn a_closing_and_nonsense_are_ends_with_a_reason() {
    for sent in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
        "SSH-2.0-OpenSSH_9.6\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 99999 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    ] {
        let attempt = after(move |mut stream: TcpStream| async move {
            let _ = stream.write_all(sent.as_bytes()).await;
            // Half-closed, so that what was written arrives.
            let _ = stream.shutdown().await;
            read_request(&mut stream).await;
        })
        .await;
        assert!(
            attempt.error.as_ref().is_some_and(|error| error.starts_with("the connection broke: ")),
            "{sent:?}: {attempt:?}"
        );
    }
}

#[tokio::test]
async fn a_second_answer_to_one_request_is_not_taken_for_the_next_ones() {
    let two = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nHTTP/1.1 299 Smuggled\r\ncontent-length: 0\r\n\r\n";
    let server = RawServer::start(answer(two)).await;
    let post = harness::sender(&server);
    for _ in 0..3 {
        assert_eq!(post.post(outgoing(b"x")).await.status_code, Some(200));
    }
    assert_eq!(server.accepted(), 3, "such a connection is not kept");
}

#[tokio::test]
async fn an_upgrade_is_an_answer_and_its_connection_is_not_kept() {
    let text = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
    let server = RawServer::start(answer(text)).await;
    let post = harness::sender(&server);
    for _ in 0..2 {
        assert_eq!(post.post(outgoing(b"x")).await.status_code, Some(101));
    }
    assert_eq!(server.accepted(), 2);
}
