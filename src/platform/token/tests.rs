//! Tests of the token and its single flight.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::response::Response;
use serde_json::{Value, json};

use super::*;
use crate::clock::{Clock, ManualClock, SystemClock};
use crate::domain::time::UtcMicros;
use crate::platform::client::{ClientSettings, HttpCaller};
use crate::platform::test_servers::{self, RawServer, ReceivedRequest, Server};

const SECRET: &str = "s3cr3t";

fn start() -> ManualClock {
    ManualClock::at("2026-10-26T12:00:00Z".parse::<UtcMicros>().expect("valid"))
}

fn source(style: TokenStyle, url: &Url, clock: SharedClock) -> TokenSource {
    let settings = TokenSettings {
        style,
        base_url: url.clone(),
        path: style.default_path().to_owned(),
        client_id: "client-1".to_owned(),
        client_secret: Secret::new(SECRET),
        scope: "users:read breaks:view".to_owned(),
        tenant_id: Some("t-1".to_owned()),
    };
    let caller = HttpCaller::new(ClientSettings::default(), None).expect("a client");
    TokenSource::new(ClientCredentials { caller, clock: clock.clone(), settings }, clock)
}

fn grant(token: &str) -> Value {
    json!({ "access_token": token, "token_type": "bearer", "expires_in": 3600 })
}

/// A server that gives out `t1`, `t2`, … after a moment.
async fn numbered() -> Server {
    let count = Arc::new(AtomicUsize::new(0));
    Server::start(Duration::from_millis(20), move |_: &ReceivedRequest| {
        test_servers::json(200, &grant(&format!("t{}", count.fetch_add(1, Ordering::Relaxed) + 1)))
    })
    .await
}

async fn always(status: u16, body: Value) -> Server {
    Server::start(Duration::from_millis(20), move |_: &ReceivedRequest| test_servers::json(status, &body)).await
}

async fn current(source: &TokenSource) -> String {
    source.current().await.expect("a token").text().expose().to_owned()
}

/// Asks until the token is another, as it is renewed in the background.
async fn renewed(source: &TokenSource, old: &str) -> String {
    loop {
        let token = current(source).await;
        if token != old {
            return token;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn each_style_sends_its_credentials_its_own_way() {
    let answer = json!({
        "access_token": "t", "expires_in": "1800", "resource_server_base_uri": "http://127.0.0.1:9/eu1/",
    });
    let server = always(200, answer).await;
    for (style, path, in_form) in [
        (TokenStyle::Body, "/oauth2/token", true),
        (TokenStyle::Basic, "/oauth/token", false),
        (TokenStyle::Legacy, "/InContactAuthorizationServer/Token", true),
    ] {
        let token = source(style, &server.url, Arc::new(start())).current().await.expect("a token");
        assert_eq!(token.base().as_str(), "http://127.0.0.1:9/eu1/");
        let seen = server.received_requests().pop().expect("a request");
        assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", path));
        let form: BTreeSet<&str> = seen.body.split('&').collect();
        assert!(form.contains("grant_type=client_credentials") && form.contains("scope=users%3Aread+breaks%3Aview"));
        assert!(form.contains("tenant_id=t-1"));
        assert_eq!(form.contains("client_id=client-1") && form.contains("client_secret=s3cr3t"), in_form);
        // base64 of "client-1:s3cr3t"
        assert_eq!(seen.header("authorization"), if in_form { "" } else { "Basic Y2xpZW50LTE6czNjcjN0" });
    }
}

#[tokio::test]
async fn without_a_base_in_the_answer_the_configured_one_serves_except_in_the_legacy_style() {
    let server = numbered().await;
    let token = source(TokenStyle::Body, &server.url, Arc::new(start())).current().await.expect("a token");
    assert_eq!(token.base(), &server.url);
    let failure = source(TokenStyle::Legacy, &server.url, Arc::new(start())).current().await.expect_err("no base");
    assert!(failure.to_string().contains("resource_server_base_uri"), "{failure}");
}

#[tokio::test]
async fn a_hundred_who_ask_at_once_share_one_request() {
    let server = numbered().await;
    let source = Arc::new(source(TokenStyle::Body, &server.url, Arc::new(start())));
    let mut askers = JoinSet::new();
    for _ in 0..100 {
        let source = Arc::clone(&source);
        askers.spawn(async move { current(&source).await });
    }
    assert_eq!(askers.join_all().await.into_iter().collect::<BTreeSet<_>>(), BTreeSet::from(["t1".to_owned()]));
    assert_eq!(server.received_requests().len(), 1);
}

#[tokio::test]
async fn a_failed_request_fails_all_who_wait_and_is_not_repeated_by_each() {
    let server = always(503, json!({})).await;
    let clock = start();
    let source = Arc::new(source(TokenStyle::Body, &server.url, Arc::new(clock.clone())));
    let mut askers = JoinSet::new();
    for _ in 0..100 {
        let source = Arc::clone(&source);
        askers.spawn(async move { source.current().await.map(drop) });
    }
    for outcome in askers.join_all().await {
        assert!(matches!(outcome, Err(Failure::TokenUnavailable { .. })));
    }
    assert!(source.current().await.is_err());
    assert_eq!(server.received_requests().len(), 1, "the pause of a second is not over");
    clock.advance(Duration::from_secs(1));
    assert!(source.current().await.is_err());
    assert_eq!(server.received_requests().len(), 2);
}

#[tokio::test]
async fn an_asker_who_goes_away_takes_nothing_from_the_others() {
    let server = numbered().await;
    let source = source(TokenStyle::Body, &server.url, Arc::new(start()));
    {
        let asking = source.current();
        tokio::pin!(asking);
        assert!(tokio::time::timeout(Duration::from_millis(1), asking).await.is_err());
    }
    assert_eq!(current(&source).await, "t1");
    assert_eq!(server.received_requests().len(), 1);
}

#[tokio::test]
async fn a_token_is_renewed_five_minutes_early_while_the_old_one_serves() {
    let server = numbered().await;
    let clock = start();
    let source = source(TokenStyle::Body, &server.url, Arc::new(clock.clone()));
    assert_eq!(current(&source).await, "t1");
    clock.advance(Duration::from_secs(3299));
    assert_eq!(current(&source).await, "t1");
    assert_eq!(server.received_requests().len(), 1);
    clock.advance(Duration::from_secs(1));
    assert_eq!(current(&source).await, "t1", "nobody waits for the renewal");
    assert_eq!(renewed(&source, "t1").await, "t2");
    assert_eq!(server.received_requests().len(), 2);
}

#[tokio::test]
async fn a_short_token_is_renewed_at_half_its_life_and_never_used_after_it() {
    let count = AtomicUsize::new(0);
    let count = Arc::new(count);
    let server = Server::start(Duration::ZERO, move |_: &ReceivedRequest| {
        let token = format!("t{}", count.fetch_add(1, Ordering::Relaxed) + 1);
        test_servers::json(200, &json!({ "access_token": token, "expires_in": 60 }))
    })
    .await;
    let clock = start();
    let source = source(TokenStyle::Body, &server.url, Arc::new(clock.clone()));
    current(&source).await;
    clock.advance(Duration::from_secs(29));
    assert_eq!((current(&source).await.as_str(), server.received_requests().len()), ("t1", 1));
    clock.advance(Duration::from_secs(1));
    assert_eq!(renewed(&source, "t1").await, "t2");
    clock.advance(Duration::from_secs(60));
    assert_eq!(current(&source).await, "t3");
}

#[tokio::test]
async fn three_refusals_in_a_row_open_the_circuit_for_half_a_minute() {
    let server = always(401, json!({ "error": "invalid_client", "echo": SECRET })).await;
    let clock = start();
    let source = source(TokenStyle::Body, &server.url, Arc::new(clock.clone()));
    for _ in 0..3 {
        let failure = source.current().await.expect_err("refused");
        assert!(matches!(&failure, Failure::TokenRefused { status: 401, .. }), "{failure}");
        assert!(!failure.to_string().contains(SECRET));
        clock.advance(Duration::from_secs(4));
    }
    // Opened at the third, 4 s ago.
    let until = clock.now() + Duration::from_secs(26);
    assert_eq!(source.current().await.expect_err("open"), Failure::CircuitOpen { until });
    assert_eq!(server.received_requests().len(), 3);
    clock.advance(Duration::from_secs(26));
    assert!(matches!(source.current().await, Err(Failure::TokenRefused { .. })));
    assert!(matches!(source.current().await, Err(Failure::CircuitOpen { .. })), "one more refusal opens it again");
    assert_eq!(server.received_requests().len(), 4);
}

#[tokio::test]
async fn fresh_tokens_that_the_platform_refuses_open_the_circuit_and_one_that_works_starts_the_count_afresh() {
    let server = numbered().await;
    let source = source(TokenStyle::Body, &server.url, Arc::new(start()));
    for _ in 0..2 {
        let token = source.current().await.expect("a token");
        source.report_refused(&token);
        source.report_refused(&token);
    }
    let token = source.current().await.expect("two refusals, whoever reports them twice");
    source.report_accepted(&token);
    source.report_refused(&token);
    for _ in 0..2 {
        source.report_refused(&source.current().await.expect("the count began afresh"));
    }
    assert!(matches!(source.current().await, Err(Failure::CircuitOpen { .. })));
    assert_eq!(server.received_requests().len(), 5);
}

#[tokio::test]
async fn answers_that_are_no_token_are_told_without_showing_them() {
    let cases = [
        json!({ "access_token": "" }),
        json!({ "access_token": "hidden", "expires_in": -5 }),
        json!({ "access_token": "hidden\n" }),
        json!({ "access_token": "hidden", "resource_server_base_uri": "ftp://x" }),
        json!(["hidden"]),
    ];
    for body in cases {
        let server = always(200, body.clone()).await;
        let failure = source(TokenStyle::Body, &server.url, Arc::new(start())).current().await.expect_err("unusable");
        assert!(matches!(failure, Failure::TokenUnavailable { .. }), "{body}");
        assert!(!failure.to_string().contains("hidden"), "{failure}");
    }
}

#[tokio::test]
async fn a_token_endpoint_that_is_away_or_breaks_off_is_tried_later() {
    let broken = RawServer::start(Some(b"HTTP/1.1 200 OK\r\ncontent-length: 400\r\n\r\n{\"access_")).await;
    for url in [test_servers::unused_url().await, broken.url.clone()] {
        let failure = source(TokenStyle::Basic, &url, Arc::new(start())).current().await.expect_err("unavailable");
        assert!(matches!(failure, Failure::TokenUnavailable { .. }), "{failure}");
        assert!(!failure.was_sent());
    }
}

#[tokio::test]
async fn a_throttled_token_request_waits_as_long_as_it_is_told() {
    let server = Server::start(Duration::ZERO, |_: &ReceivedRequest| {
        Response::builder().status(429).header("retry-after", "40").body(axum::body::Body::empty()).expect("a response")
    })
    .await;
    let clock = start();
    let source = source(TokenStyle::Body, &server.url, Arc::new(clock.clone()));
    let failure = source.current().await.expect_err("throttled");
    assert_eq!(failure.retry_after(), Some(Duration::from_secs(40)));
    clock.advance(Duration::from_secs(39));
    assert!(source.current().await.is_err());
    assert_eq!(server.received_requests().len(), 1);
    clock.advance(Duration::from_secs(1));
    assert!(source.current().await.is_err());
    assert_eq!(server.received_requests().len(), 2);
}

#[tokio::test]
async fn a_fast_clock_never_sends_anyone_beyond_this_host() {
    let server = always(200, json!({ "access_token": "t", "resource_server_base_uri": "http://192.0.2.1/" })).await;
    let fast = Arc::new(SystemClock::scaled(None, 60));
    let failure = source(TokenStyle::Legacy, &server.url, fast).current().await.expect_err("beyond");
    assert!(failure.to_string().contains("beyond this host"), "{failure}");
}

#[test]
fn nothing_printed_shows_the_secret_or_the_token() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let server = always(200, grant("t0k3n")).await;
        let source = source(TokenStyle::Body, &server.url, Arc::new(start()));
        let token = source.current().await.expect("a token");
        let printed = format!("{source:?} {token:?}");
        assert!(!printed.contains(SECRET) && !printed.contains("t0k3n"), "{printed}");
    });
}
