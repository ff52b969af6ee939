//! Tests of the feed against a `WebSocket` server on loopback, whose connections the test holds in its hand.

use reqwest::Url;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::super::{GuideSettings, TokenStyle};
use super::*;
use crate::clock::{Clock as _, ManualClock, SharedClock};
use crate::domain::agents::state::AgentState;
use crate::platform::Platform;
use crate::platform::dry_run::DryRun;
use crate::platform::test_servers::{self, FeedConnection, FeedServer, ReceivedRequest, Server};

const SECRET: &str = "s3cr3t";

/// A platform whose tokens are `t0k3n0`, `t0k3n1`, … and live for an hour, and whose feed is at another base.
struct FeedHarness {
    tokens: Server,
    feed: FeedServer,
    clock: ManualClock,
    platform: GuidePlatform,
}

impl FeedHarness {
    async fn new(status: u16) -> Self {
        let feed = FeedServer::start(status).await;
        let (base, count) =
            (feed.url.join("/eu1/").expect("a URL").to_string(), Arc::new(std::sync::atomic::AtomicUsize::new(0)));
        let tokens = Server::start(Duration::ZERO, move |_: &ReceivedRequest| {
            let n = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let token = format!("t0k3n{n}");
            test_servers::json(
                200,
                &json!({ "access_token": token, "expires_in": 3600, "resource_server_base_uri": base }),
            )
        })
        .await;
        let clock = ManualClock::at(UtcMicros::EPOCH);
        let platform = platform(&tokens.url, &clock);
        Self { tokens, feed, clock, platform }
    }

    async fn open(&mut self) -> (Box<dyn Feed>, FeedConnection) {
        let feed = self.platform.feed().await.expect("opened").value;
        (feed, self.feed.next_connection().await)
    }

    async fn failure(&self) -> Failure {
        let error = self.platform.feed().await.map(drop).expect_err("no feed");
        assert!(!format!("{error} {error:?}").contains("t0k3n"), "{error:?}");
        error.failure
    }
}

fn platform(url: &Url, clock: &ManualClock) -> GuidePlatform {
    let mut settings = GuideSettings::new(url.clone(), TokenStyle::Body, "client-1", Secret::new(SECRET));
    settings.client.request_timeout = Duration::from_secs(10);
    let clock: SharedClock = Arc::new(clock.clone());
    GuidePlatform::new(settings, clock).expect("a platform")
}

fn text(value: &Value) -> Message {
    Message::text(value.to_string())
}

#[tokio::test]
async fn it_is_opened_with_the_token_in_its_query_below_the_base_that_came_with_it() {
    let mut stage = FeedHarness::new(101).await;
    let (mut feed, mut line) = stage.open().await;
    let asked = stage.feed.requested_paths();
    assert_eq!(asked, ["/eu1/InContactAPI/services/v18.0/interactions/subscribe?access_token=t0k3n0"]);
    feed.send(FeedCommand::Subscribe(&["1234".into(), "05".into(), "sales".into()])).await.expect("told");
    feed.send(FeedCommand::Pong).await.expect("told");
    assert_eq!(line.receive().await, r#"{"command":"subscribe","skillIds":[1234,"05","sales"]}"#);
    assert_eq!(line.receive().await, r#"{"command":"pong"}"#);
    assert!(!format!("{feed:?} {:?}", stage.platform).contains("t0k3n"));
}

#[tokio::test]
async fn its_messages_are_read_and_what_makes_no_sense_is_no_change() {
    let mut stage = FeedHarness::new(101).await;
    let (mut feed, mut line) = stage.open().await;
    let agent = |lasted_ms| FeedMessage::AgentState {
        agent: "u_1".into(),
        state: AgentState::Ready,
        elapsed: Duration::from_millis(lasted_ms),
    };
    for (said, expected) in [
        (json!({"type": "agentStateChange", "agentId": "u_1", "state": "Available", "stateDuration": 0}), agent(0)),
        (
            json!({"type": "agentStateChange", "agentId": "u_1", "state": "READY", "stateDuration": 2.5, "x": 1}),
            agent(2500),
        ),
        (
            json!({"type": "agentStateChange", "agentId": 17, "state": "Hovering", "stateDuration": 3}),
            FeedMessage::AgentState {
                agent: "17".into(),
                state: AgentState::Unknown("Hovering".into()),
                elapsed: Duration::from_secs(3),
            },
        ),
        (json!({"type": "contactQueued", "skillId": 1234}), FeedMessage::ContactQueued("1234".into())),
        (json!({"type": "contactDequeued", "skillId": "1234"}), FeedMessage::ContactDequeued("1234".into())),
        (json!({"type": "heartbeat"}), FeedMessage::Heartbeat),
    ] {
        line.send(text(&said)).await;
        assert_eq!(feed.next().await.expect("a message"), expected, "{said}");
    }
    for odd in [
        json!({"type": "agentStateChange", "agentId": "u_1", "state": "READY"}),
        json!({"type": "agentStateChange", "agentId": "u_1", "state": "READY", "stateDuration": -1}),
        json!({"type": "agentStateChange", "agentId": "u_1", "state": "READY", "stateDuration": "2"}),
        json!({"type": "agentStateChange", "agentId": "u_1", "state": "READY", "stateDuration": 1e300}),
        json!({"type": "agentStateChange", "agentId": "", "state": "READY", "stateDuration": 1}),
        json!({"type": "agentStateChange", "agentId": 1.5, "state": "READY", "stateDuration": 1}),
        json!({"type": "agentStateChange", "agentId": "u_1", "state": null, "stateDuration": 1}),
        json!({"type": "contactQueued"}),
        json!({"type": "agentLoggedIn", "token": "t0k3n0"}),
        json!({"type": "t0k3n0"}),
        json!({"type": 7}),
        json!(["heartbeat", "u_1", "READY", 1, 1]),
        json!("heartbeat"),
    ] {
        line.send(text(&odd)).await;
        let heard = feed.next().await.expect("a message");
        assert!(matches!(&heard, FeedMessage::Unreadable(words) if !words.contains("t0k3n")), "{odd}: {heard:?}");
    }
    for odd in [
        Message::text("{\"type\":\"heartbeat\""),
        Message::text("<html>busy</html>"),
        Message::Binary(Bytes::from_static(b"{}")),
    ] {
        line.send(odd).await;
        assert!(matches!(feed.next().await, Ok(FeedMessage::Unreadable(_))));
    }
}

#[tokio::test]
async fn a_text_that_is_no_unicode_is_mended_and_an_id_that_is_too_long_is_none() {
    let mut stage = FeedHarness::new(101).await;
    let (mut feed, mut line) = stage.open().await;
    let half = r#"{"type":"agentStateChange","agentId":"u_1","state":"Hov\udfffering","stateDuration":3,"\ud800":1}"#;
    line.send(Message::text(half)).await;
    let state = AgentState::Unknown("Hov\u{fffd}ering".into());
    let expected = FeedMessage::AgentState { agent: "u_1".into(), state, elapsed: Duration::from_secs(3) };
    assert_eq!(feed.next().await.expect("a message"), expected);
    line.send(text(&json!({ "type": "contactQueued", "skillId": "1".repeat(257) }))).await;
    assert!(matches!(feed.next().await, Ok(FeedMessage::Unreadable(_))));
}

#[tokio::test]
async fn a_refusal_is_told_by_its_class_and_shows_no_token() {
    for (status, class) in [
        (400, "rejected"),
        (403, "forbidden"),
        (404, "not_found"),
        (429, "throttled"),
        (503, "server"),
        (200, "nonsense"),
        (302, "nonsense"),
    ] {
        let stage = FeedHarness::new(status).await;
        assert_eq!(stage.failure().await.class(), class, "{status}");
    }
    let clock = ManualClock::at(UtcMicros::EPOCH);
    let nobody = test_servers::unused_url().await;
    let tokens = Server::start(Duration::ZERO, move |_: &ReceivedRequest| {
        test_servers::json(200, &json!({ "access_token": "t0k3n0", "resource_server_base_uri": nobody.to_string() }))
    })
    .await;
    let error = platform(&tokens.url, &clock).feed().await.map(drop).expect_err("nobody listens");
    assert_eq!(error.failure.class(), "not_sent");
    assert!(!format!("{error} {error:?}").contains("t0k3n"), "{error:?}");
}

#[tokio::test]
async fn a_token_that_is_not_taken_is_dropped_and_one_that_is_about_to_expire_is_replaced_first() {
    let mut stage = FeedHarness::new(101).await;
    stage.feed.set_next_status(401);
    assert_eq!(stage.failure().await, Failure::Unauthorized);
    drop(stage.open().await);
    stage.clock.advance(Duration::from_secs(3290));
    drop(stage.open().await);
    assert_eq!(stage.tokens.paths().len(), 2, "it lives for a while yet");
    stage.clock.advance(Duration::from_secs(20));
    drop(stage.open().await);
    let tokens: Vec<String> = stage
        .feed
        .requested_paths()
        .iter()
        .map(|asked| asked.rsplit('=').next().expect("a token").to_owned())
        .collect();
    assert_eq!(tokens, ["t0k3n0", "t0k3n1", "t0k3n1", "t0k3n2"]);
}

#[tokio::test]
async fn its_end_is_told_in_the_platform_s_words_without_the_token() {
    let mut stage = FeedHarness::new(101).await;
    let (mut feed, mut line) = stage.open().await;
    let frame = CloseFrame { code: CloseCode::Policy, reason: "token t0k3n0 expired".into() };
    line.send(Message::Close(Some(frame))).await;
    let error = feed.next().await.expect_err("closed");
    assert!(error.to_string().contains("token *** expired"), "{error}");
    assert_eq!(error.failure.class(), "broken");

    let (mut feed, line) = stage.open().await;
    drop(line);
    assert_eq!(feed.next().await.expect_err("broken off").failure.class(), "broken");

    let (mut feed, mut line) = stage.open().await;
    line.send(Message::text("x".repeat(MAX_MESSAGE_BYTES + 1))).await;
    assert_eq!(feed.next().await.expect_err("too much").failure, Failure::TooLarge { limit: MAX_MESSAGE_BYTES });
}

#[tokio::test]
async fn a_ping_shows_that_the_line_lives_and_nothing_of_the_feed() {
    let mut stage = FeedHarness::new(101).await;
    let (mut feed, mut line) = stage.open().await;
    feed.send(FeedCommand::Ping).await.expect("told");
    // The other side answers while it reads.
    let (heard, ()) = tokio::join!(feed.next(), line.answer_ping());
    assert_eq!(heard.expect("a pong"), FeedMessage::Activity);
    line.send(Message::Ping(Bytes::new())).await;
    assert_eq!(feed.next().await.expect("a ping"), FeedMessage::Activity);
    feed.send(FeedCommand::Close).await.expect("told");
    assert_eq!(line.receive().await, "closed");
}

#[tokio::test]
async fn a_dry_run_has_the_feed_too() {
    let stage = FeedHarness::new(101).await;
    let clock: SharedClock = Arc::new(stage.clock.clone());
    assert_eq!(stage.clock.now(), UtcMicros::EPOCH);
    let dry = DryRun::new(Arc::new(stage.platform), clock);
    assert!(dry.capabilities().has_feed);
    dry.feed().await.expect("opened");
}
