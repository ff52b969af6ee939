//! The live feed, as a WebSocket client meets it.

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::*;

const FEED: &str = "/InContactAPI/services/v18.0/interactions/subscribe";
/// Nothing here waits for real time; this only ends a test that fails.
const TEST_TIMEOUT: Duration = Duration::from_secs(20);

struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    async fn send(&mut self, command: Value) {
        self.0.send(Message::text(command.to_string())).await.expect("sent");
    }

    /// The next thing that comes: a message, `close CODE`, `end`, or `reset`.
    async fn next(&mut self) -> String {
        let heard = tokio::time::timeout(TEST_TIMEOUT, self.0.next()).await.expect("something");
        match heard {
            Some(Ok(Message::Text(text))) => text.to_string(),
            Some(Ok(Message::Close(frame))) => {
                frame.map_or("close".to_owned(), |frame| format!("close {}", frame.code))
            }
            Some(Err(Error::Io(error))) if error.kind() == std::io::ErrorKind::ConnectionReset => "reset".to_owned(),
            Some(Err(Error::Protocol(_))) | None => "end".to_owned(),
            Some(other) => panic!("{other:?}"),
        }
    }

    async fn json(&mut self) -> Value {
        let text = self.next().await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

impl Bench {
    async fn try_open_feed(&self, path: &str, token: &str) -> Result<Client, u16> {
        let url = format!("{}{path}?access_token={token}", self.base.replacen("http", "ws", 1));
        match connect_async(url).await {
            Ok((client, _)) => Ok(Client(client)),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    async fn open_feed(&self, token: &str) -> Client {
        self.try_open_feed(FEED, token).await.expect("a feed")
    }

    /// A feed that has subscribed, and the subscription is in the account.
    async fn open_subscribed_feed(&self, token: &str) -> Client {
        let mut client = self.open_feed(token).await;
        let before = self.events("subscribed").len();
        client.send(json!({ "command": "subscribe", "skillIds": [1001] })).await;
        self.wait_for_events("subscribed", before + 1).await;
        client
    }

    fn script_state(&self, agent: &str, state: &str) {
        self.script_state_of("acme", agent, state);
    }

    fn script_state_of(&self, tenant: &str, agent: &str, state: &str) {
        let script = serde_json::from_value(json!({ "tenant": tenant, "agent": agent, "state": state }));
        self.simulator.apply_script(&script.expect("a script")).expect("followed");
    }

    fn inject_fault(&self, fault: &str) {
        self.simulator.add_fault(fault.parse().expect("a fault")).expect("sound");
    }

    /// What the account has of feeds, of one kind, as JSON.
    fn events(&self, what: &str) -> Vec<Value> {
        let entries = self.simulator.log(0, 10_000).feed;
        entries.iter().map(|entry| json!(entry)).filter(|entry| entry["what"] == what).collect()
    }

    async fn wait_for_events(&self, what: &str, count: usize) {
        let some = async {
            while self.events(what).len() < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(TEST_TIMEOUT, some)
            .await
            .unwrap_or_else(|_| panic!("{count} {what}: {:?}", self.events(what)));
    }

    /// The reasons for which feeds ended.
    fn end_reasons(&self) -> Vec<Value> {
        self.events("closed").into_iter().map(|entry| entry["why"].clone()).collect()
    }
}

#[tokio::test]
async fn a_subscriber_hears_of_every_change_and_for_how_long_it_has_been_so() {
    let bench = Bench::new(quiet_options()).await;
    let token = bench.token(0, "").await;
    let spaced = bench.try_open_feed("/InContact%20API/services/v18.0/interactions/subscribe", &token).await;
    let mut client = spaced.expect("the spelling of the guide");
    bench.wait_for_events("connected", 1).await;
    bench.script_state("u_0002", "paused");
    client.send(json!({ "command": "subscribe", "skillIds": [1001, 1002] })).await;
    bench.wait_for_events("subscribed", 1).await;
    bench.script_state("u_0002", "on_contact");
    let change = |agent: &str, state: &str, seconds: u64| json!({ "type": "agentStateChange", "agentId": agent, "state": state, "stateDuration": seconds });
    assert_eq!(client.json().await, change("u_0002", "on_contact", 0), "what was before the subscription is not told");
    bench.inject_fault("late:on=state,ms=4000,count=1");
    bench.clock.advance(Duration::from_secs(3));
    assert_eq!(bench.set_state(&token, "u_0001", "READY").await.0, 200);
    bench.clock.advance(Duration::from_millis(6_900));
    assert_eq!(client.json().await, change("u_0001", "available", 2));
    let sent = bench.events("said");
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert_eq!(
        sent[1],
        json!({
            "seq": sent[1]["seq"], "at": "2026-10-28T14:00:09.9Z", "tenant": "acme", "feed": 1, "what": "said",
            "message": "agent_state_change", "agent": "u_0001", "state": "available",
            "entered": "2026-10-28T14:00:07Z", "fault": null,
        })
    );
    drop(client);
    bench.wait_for_events("closed", 1).await;
    assert_eq!(bench.end_reasons(), ["client"]);
}

#[tokio::test]
async fn a_feed_is_opened_with_a_good_token_of_its_base_alone() {
    let bench = Bench::new(SimOptions { tenants: 2, ..quiet_options() }).await;
    let token = bench.token(0, "").await;
    let TenantDescription { client_id, client_secret, .. } = bench.tenants[0].clone();
    let form = [("grant_type", "client_credentials"), ("client_id", &client_id), ("client_secret", &client_secret)];
    let asked = bench.http.post(format!("{}/InContactAuthorizationServer/Token", bench.base)).form(&form);
    let legacy = send(asked).await.1;
    let base = legacy["resource_server_base_uri"].as_str().expect("a base").replacen(&bench.base, "", 1);
    let legacy = legacy["access_token"].as_str().expect("a token");
    let (under, other) = (format!("{}{FEED}", base.trim_end_matches('/')), format!("/bu/bravo{FEED}"));
    for (path, token, status) in [
        (FEED, "", 401),
        (FEED, "acme.nonsense", 401),
        (FEED, legacy, 401),
        (&under, &token, 401),
        (&other, legacy, 401),
    ] {
        assert_eq!(bench.try_open_feed(path, token).await.err(), Some(status), "{path}");
    }
    assert!(bench.try_open_feed(FEED, &token).await.is_ok());
    assert!(bench.try_open_feed(&under, legacy).await.is_ok());
    let plain = bench.http.get(format!("{}{FEED}?access_token={token}", bench.base));
    assert_eq!(send(plain).await.0, 426);
    let by_header = bench.get(FEED, &token);
    assert_eq!(send(by_header).await.0, 401, "the token belongs into the query");
    bench.clock.advance(Duration::from_secs(3600));
    assert_eq!(bench.try_open_feed(FEED, &token).await.err(), Some(401));
    let requests = bench.simulator.log(0, 1000).requests;
    assert!(requests.iter().any(|request| request.status == Some(101) && request.path == FEED));
    assert!(requests.iter().all(|request| !request.path.contains(&token)), "no token in the account");
}

#[tokio::test]
async fn heartbeats_come_every_half_minute_and_must_be_answered() {
    let bench = Bench::new(quiet_options()).await;
    let token = bench.token(0, "").await;
    let mut client = bench.open_feed(&token).await;
    bench.wait_for_events("connected", 1).await;
    for beat in 1..=5 {
        bench.clock.advance(Duration::from_secs(30));
        assert_eq!(client.json().await, json!({ "type": "heartbeat" }));
        client.send(json!({ "command": "pong" })).await;
        bench.wait_for_events("answered", beat).await;
    }
    // The manual clock runs at real speed, where the host's tolerance is two seconds.
    bench.clock.advance(Duration::from_secs(30));
    bench.wait_for_events("said", 6).await;
    bench.clock.advance(Duration::from_secs(92));
    bench.wait_for_events("said", 7).await;
    assert!(bench.end_reasons().is_empty());
    bench.clock.advance(Duration::from_secs(1));
    bench.wait_for_events("closed", 1).await;
    assert_eq!(bench.end_reasons(), ["unanswered"]);
    let (first, second, last) = (client.json().await, client.json().await, client.next().await);
    assert_eq!(
        (first, second, last.as_str()),
        (json!({ "type": "heartbeat" }), json!({ "type": "heartbeat" }), "close 1008")
    );
}

#[tokio::test]
async fn a_feed_ends_with_its_token() {
    let bench = Bench::new(SimOptions { tenants: 2, ..quiet_options() }).await;
    let (acme, bravo) = (bench.token(0, "").await, bench.token(1, "").await);
    let (mut here, mut there) = (bench.open_subscribed_feed(&acme).await, bench.open_subscribed_feed(&bravo).await);
    bench.inject_fault("revoke_tokens:tenant=acme");
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!(here.next().await, "close 1008");
    bench.script_state_of("bravo", "u_0001", "idle");
    assert_eq!(there.json().await["state"], "idle");
    let later = bench.token(1, "").await;
    bench.clock.advance(Duration::from_secs(3599));
    assert_eq!(there.next().await, "close 1008");
    assert_eq!(bench.end_reasons(), ["token", "token"]);
    assert!(bench.try_open_feed(FEED, &later).await.is_ok());
}

#[tokio::test]
async fn tenants_hear_of_their_own_agents_alone() {
    let bench = Bench::new(SimOptions { tenants: 2, ..quiet_options() }).await;
    let (acme, bravo) = (bench.token(0, "").await, bench.token(1, "").await);
    let (mut here, mut there) = (bench.open_subscribed_feed(&acme).await, bench.open_subscribed_feed(&bravo).await);
    bench.script_state_of("bravo", "u_0002", "paused");
    bench.script_state_of("acme", "u_0002", "idle");
    bench.script_state_of("bravo", "u_0002", "acw");
    assert_eq!(here.json().await["state"], "idle");
    assert_eq!(
        (there.json().await["state"].clone(), there.json().await["state"].clone()),
        (json!("paused"), json!("acw"))
    );
}

#[tokio::test]
async fn contacts_are_told_to_those_who_asked_for_their_skill() {
    let bench = Bench::new(SimOptions { agents: 60, ..SimOptions::default() }).await;
    let token = bench.token(0, "").await;
    let mut client = bench.open_feed(&token).await;
    client.send(json!({ "command": "subscribe", "skillIds": [1002] })).await;
    bench.wait_for_events("subscribed", 1).await;
    bench.clock.advance(Duration::from_secs(600));
    let (mut queued, mut dequeued) = (0, 0);
    while queued < 3 || dequeued < 3 {
        let said = client.json().await;
        queued += u32::from(said == json!({ "type": "contactQueued", "skillId": 1002 }));
        dequeued += u32::from(said == json!({ "type": "contactDequeued", "skillId": 1002 }));
    }
    let sent = bench.events("said");
    assert!(sent.iter().all(|entry| entry["skill"].is_null() || entry["skill"] == 1002));
}

#[tokio::test]
async fn a_feed_can_be_refused_silent_and_broken() {
    let bench = Bench::new(quiet_options()).await;
    let token = bench.token(0, "").await;
    bench.inject_fault("status:on=feed,code=503,count=1");
    assert_eq!(bench.try_open_feed(FEED, &token).await.err(), Some(503));
    bench.inject_fault("html:on=feed,count=1");
    assert_eq!(bench.try_open_feed(FEED, &token).await.err(), Some(200));
    let mut client = bench.open_subscribed_feed(&token).await;

    bench.inject_fault("silent:on=feed_message");
    bench.script_state("u_0001", "paused");
    bench.clock.advance(Duration::from_secs(200));
    bench.wait_for_events("said", 2).await;
    assert!(bench.events("said").iter().all(|entry| entry["fault"] == "silent"));
    bench.simulator.clear_faults();
    bench.script_state("u_0001", "idle");
    assert_eq!(client.json().await["state"], "idle", "what was not said is lost, and the line still stands");

    bench.inject_fault("repeat:on=feed_message,agent=u_0002,count=1");
    for state in ["paused", "idle"] {
        bench.script_state("u_0002", state);
    }
    let heard = [client.json().await, client.json().await, client.json().await].map(|said| said["state"].clone());
    assert_eq!(heard, ["paused", "paused", "idle"]);

    bench.inject_fault("reset_before:on=feed_message,count=1");
    bench.script_state("u_0003", "idle");
    assert_eq!(client.next().await, "reset");
    let mut client = bench.open_subscribed_feed(&token).await;
    bench.inject_fault("lost_answer:on=feed_message,count=1");
    bench.script_state("u_0003", "paused");
    assert_eq!(client.next().await, "end");
    let (mut one, mut other) = (bench.open_subscribed_feed(&token).await, bench.open_subscribed_feed(&token).await);
    bench.inject_fault("drop_feeds");
    assert_eq!((one.next().await, other.next().await), ("reset".to_owned(), "reset".to_owned()));
    let mut client = bench.open_subscribed_feed(&token).await;
    bench.inject_fault("close_feeds:tenant=acme");
    assert_eq!(client.next().await, "close 1001");
    assert_eq!(bench.end_reasons(), ["fault"; 5]);
}

#[tokio::test]
async fn a_feed_can_talk_nonsense() {
    let bench = Bench::new(quiet_options()).await;
    let token = bench.token(0, "").await;
    let mut client = bench.open_subscribed_feed(&token).await;
    for (kind, states) in [("wrong_types", 5), ("nonsense", 5), ("truncated", 1), ("html", 1), ("delay", 1)] {
        bench.inject_fault(&format!("{kind}:on=feed_message,ms=1,count={states}"));
        for turn in 0..states {
            bench.script_state("u_0001", if turn % 2 == 0 { "paused" } else { "idle" });
            let text = client.next().await;
            let said = serde_json::from_str::<Value>(&text);
            match kind {
                "html" => assert!(text.starts_with("<!DOCTYPE")),
                "truncated" => assert!(said.is_err(), "{text}"),
                "delay" => assert_eq!(said.expect("JSON")["state"], "paused"),
                _ => {
                    let said = said.expect("JSON");
                    let good = said["type"] == "agentStateChange"
                        && said["agentId"] == "u_0001"
                        && (said["state"] == "paused" || said["state"] == "idle")
                        && said["stateDuration"] == 0;
                    assert!(!good, "{kind}: {text}");
                }
            }
        }
        bench.script_state("u_0001", "available");
        assert_eq!(client.json().await["state"], "available", "the line survives {kind}");
    }
}

#[tokio::test]
async fn a_command_that_cannot_be_read_ends_the_feed_and_a_crowd_is_refused() {
    let bench = Bench::new(quiet_options()).await;
    let token = bench.token(0, "").await;
    for (at, wrong) in
        ["{", r#"{"command":"sing"}"#, r#"{"command":"subscribe","skillIds":["1001"]}"#].iter().enumerate()
    {
        let mut client = bench.open_feed(&token).await;
        client.0.send(Message::text(*wrong)).await.expect("sent");
        assert_eq!(client.next().await, "close 1007", "{wrong}");
        bench.wait_for_events("closed", at + 1).await;
    }
    let mut crowd = Vec::new();
    for number in 1..=100 {
        crowd.push(bench.open_feed(&token).await);
        bench.wait_for_events("connected", 3 + number).await;
    }
    assert_eq!(bench.try_open_feed(FEED, &token).await.err(), Some(503));
}

#[tokio::test]
async fn a_stop_ends_feeds_in_order_and_a_dropped_simulator_ends_them_at_once() {
    let mut bench = Bench::new(quiet_options()).await;
    let token = bench.token(0, "").await;
    let mut client = bench.open_subscribed_feed(&token).await;
    let stop = bench.simulator.stop_listening();
    let (heard, ()) = tokio::join!(client.next(), stop);
    assert_eq!(heard, "close 1001");
    assert_eq!(bench.end_reasons(), ["stopped"]);
    bench.simulator.resume_listening().await.expect("the port is free");
    let mut client = bench.open_subscribed_feed(&token).await;
    let Bench { simulator, .. } = bench;
    drop(simulator);
    assert_eq!(client.next().await, "end");
}
