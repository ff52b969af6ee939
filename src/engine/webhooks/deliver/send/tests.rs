//! The sender against servers that behave and servers that do not, over real sockets.

mod bad_servers;
mod harness;
mod targets;
mod tls;

use std::net::SocketAddr;
use std::time::Duration;

use self::harness::{DialTo, RawServer, Request, endpoint, endpoint_at, names, network, outgoing, sender};
use super::*;
use crate::domain::webhooks::signature::{SignedHeaders, SigningKey, verify};

const OK: &str = "HTTP/1.1 204 No Content\r\n\r\n";

fn answer(text: &str) -> impl Fn(Request) -> Option<Vec<u8>> + Send + Sync + Clone + 'static {
    let text = text.as_bytes().to_vec();
    move |_| Some(text.clone())
}

#[tokio::test]
async fn a_delivery_is_one_signed_post_and_its_response_is_reported() {
    let server =
        RawServer::start(answer("HTTP/1.1 201 Created\r\ncontent-length: 5\r\nretry-after: 120\r\n\r\ntaken")).await;
    let sent = outgoing(b"{\"event\":\"X\"}");
    let attempt = sender(&server).post(sent.clone()).await;
    assert_eq!((attempt.status_code, attempt.answer.as_str(), &attempt.error), (Some(201), "taken", &None));
    assert_eq!(attempt.retry_after, Some(Duration::from_secs(120)));
    let [request] = server.requests().try_into().expect("one request");
    assert_eq!(request.line, "POST /hooks HTTP/1.1");
    assert_eq!(request.header("host"), server.address.to_string());
    assert_eq!(request.header("content-type"), "application/json");
    assert!(request.header("user-agent").starts_with("shiftkeeper/"));
    assert_eq!(request.header("webhook-id"), sent.event_id.to_string());
    assert_eq!(request.body, b"{\"event\":\"X\"}");
    let key = SigningKey::parse(harness::KEY).expect("a key");
    let headers = SignedHeaders {
        id: request.header("webhook-id"),
        timestamp: request.header("webhook-timestamp"),
        signature: request.header("webhook-signature"),
    };
    assert_eq!(verify(&[key], headers, &request.body, RealTime::now()), Ok(()));
}

#[tokio::test]
async fn cloudevents_are_declared_as_such_and_two_keys_give_two_signatures() {
    let server = RawServer::start(answer(OK)).await;
    let mut endpoint = endpoint(&server);
    endpoint.format = WebhookFormat::CloudEvents;
    let previous = SigningKey::parse(harness::OTHER_KEY).expect("a key");
    let current = SigningKey::parse(harness::KEY).expect("a key");
    endpoint.keys = Keyring::new(current, Some((previous.clone(), RealTime::now() + Duration::from_secs(60))));
    let post = HttpPost::new(endpoint, &network()).expect("a sender");
    assert_eq!(post.post(outgoing(b"{}")).await.status_code, Some(204));
    let [request] = server.requests().try_into().expect("one request");
    assert_eq!(request.header("content-type"), "application/cloudevents+json");
    let signatures: Vec<_> = request.header("webhook-signature").split(' ').collect();
    let by_previous = previous.sign(request.header("webhook-id"), request.header("webhook-timestamp"), b"{}");
    assert_eq!((signatures.len(), signatures[1]), (2, by_previous.as_str()));
}

#[tokio::test]
async fn connections_are_used_again_and_one_that_the_server_closed_is_not() {
    let server = RawServer::start(answer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")).await;
    let post = sender(&server);
    for _ in 0..20 {
        assert_eq!(post.post(outgoing(b"x")).await.status_code, Some(200));
    }
    assert_eq!(server.accepted(), 1, "one connection carries them all");
    server.close_connections().await;
    for _ in 0..2 {
        assert_eq!(post.post(outgoing(b"x")).await.error, None);
    }
    assert_eq!(server.accepted(), 2, "a new one, and that one kept");
}

#[tokio::test]
async fn at_most_as_many_connections_as_attempts_at_once_and_a_close_is_obeyed() {
    let server = RawServer::start(answer("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")).await;
    let post = sender(&server);
    for _ in 0..3 {
        assert_eq!(post.post(outgoing(b"x")).await.status_code, Some(200));
    }
    assert_eq!(server.accepted(), 3);

    let server = RawServer::start(answer(OK)).await;
    let post = sender(&server);
    let both = tokio::join!(post.post(outgoing(b"x")), post.post(outgoing(b"y")));
    assert_eq!((both.0.status_code, both.1.status_code), (Some(204), Some(204)));
    assert!(server.accepted() <= 2);
}

#[tokio::test]
async fn an_unused_connection_is_closed_after_its_time() {
    let server = RawServer::start(answer(OK)).await;
    let post = sender(&server);
    post.post(outgoing(b"x")).await;
    assert_eq!(post.0.idle().len(), 1);
    post.close_idle();
    assert_eq!(post.0.idle().len(), 1, "not before");
    while post.0.idle().front().is_some_and(|line| line.idle() < IDLE_TIMEOUT) {
        RealTime::sleep(Duration::from_millis(50)).await;
    }
    post.close_idle();
    assert!(post.0.idle().is_empty());
    server.until_closed().await;
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let elsewhere = RawServer::start(answer(OK)).await;
    for status in [301, 302, 303, 307, 308] {
        let text = format!(
            "HTTP/1.1 {status} Moved\r\nlocation: http://{}/hooks\r\ncontent-length: 0\r\n\r\n",
            elsewhere.address
        );
        let server = RawServer::start(answer(&text)).await;
        let attempt = sender(&server).post(outgoing(b"x")).await;
        assert_eq!((attempt.status_code, attempt.error), (Some(status), None));
    }
    assert_eq!(elsewhere.accepted(), 0);
}

#[tokio::test]
async fn retry_after_comes_in_full_in_seconds_or_as_a_date() {
    for (header, expected) in [
        ("retry-after: 0", Some(0)),
        ("retry-after: 86400", Some(86_400)),
        ("retry-after: 9999999", Some(9_999_999)),
        ("date: Sun, 22 Nov 2026 10:00:00 GMT\r\nretry-after: Sun, 22 Nov 2026 12:00:00 GMT", Some(7200)),
        ("retry-after: Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
        ("retry-after: soon", None),
        ("retry-after: -5", None),
        ("x: y", None),
    ] {
        let server =
            RawServer::start(answer(&format!("HTTP/1.1 429 No\r\n{header}\r\ncontent-length: 0\r\n\r\n"))).await;
        let attempt = sender(&server).post(outgoing(b"x")).await;
        assert_eq!(
            (attempt.status_code, attempt.retry_after),
            (Some(429), expected.map(Duration::from_secs)),
            "{header}"
        );
    }
}

#[tokio::test]
async fn what_is_kept_of_an_answer_is_its_first_kilobyte_as_text() {
    let mut bytes = b"HTTP/1.1 500 Oops\r\ncontent-length: 5003\r\n\r\n\0\xff\xfe".to_vec();
    bytes.extend(std::iter::repeat_n(b'a', 5000));
    let server = RawServer::start(move |_| Some(bytes.clone())).await;
    let attempt = sender(&server).post(outgoing(b"x")).await;
    let expected = format!("\u{fffd}\u{fffd}\u{fffd}{}", "a".repeat(1021));
    assert_eq!((attempt.status_code, attempt.answer, attempt.error), (Some(500), expected, None));
}

#[tokio::test]
async fn an_attempt_that_is_given_up_leaves_no_connection_behind() {
    let server = RawServer::start(|_| None).await;
    let post = sender(&server);
    let given_up = tokio::time::timeout(Duration::from_millis(50), post.post(outgoing(b"x"))).await;
    assert!(given_up.is_err());
    server.until_closed().await;
}

#[tokio::test]
async fn a_refused_connection_and_an_unresolved_name_are_distinguished() {
    let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("bound").port();
    let post =
        HttpPost::new(endpoint_at(&format!("http://127.0.0.1:{port}/secret-path")), &network()).expect("a sender");
    let error = post.post(outgoing(b"x")).await.error.expect("refused");
    assert_eq!(error, format!("127.0.0.1:{port} does not accept connections: connection refused"));
    let network = Network::new(names(&[]), Arc::new(SystemDial), harness::no_tls());
    let post = HttpPost::new(endpoint_at("http://nowhere.example/secret-path"), &network).expect("a sender");
    let error = post.post(outgoing(b"x")).await.error.expect("unknown");
    assert_eq!(error, "nowhere.example:80 cannot be resolved: no such name");
}

#[tokio::test]
async fn the_next_address_of_a_name_is_tried_when_one_does_not_answer() {
    let server = RawServer::start(answer(OK)).await;
    let dead: SocketAddr = "93.184.215.14:80".parse().expect("an address");
    let dial = DialTo::new(server.address).without(dead);
    let resolver = names(&[("hooks.example", &["93.184.215.14", "93.184.215.15"])]);
    let network = Network::new(resolver, Arc::new(dial.clone()), harness::no_tls());
    let post = HttpPost::new(endpoint_at("http://hooks.example/"), &network).expect("a sender");
    assert_eq!(post.post(outgoing(b"x")).await.status_code, Some(204));
    assert_eq!(dial.dialled(), [dead, "93.184.215.15:80".parse().expect("an address")]);
    assert_eq!(server.requests()[0].header("host"), "hooks.example");
}
