//! Each fault, as a client meets it, and what the simulator's own account says of it.

use super::*;

const STATE: &str = "/api/v2/users/u_0001/state";

fn ready_body() -> Value {
    json!({ "state": "READY", "reasonCode": "WORKING" })
}

impl Bench {
    async fn post_fault(&self, fault: Value) {
        let request = self.http.post(format!("{}/_sim/faults", self.base)).json(&fault);
        let (status, body) = send(request).await;
        assert_eq!(status, 200, "{body}");
    }

    fn applied_changes(&self) -> u64 {
        self.simulator.counts(&"acme".into()).applied_changes
    }

    fn last_fault(&self) -> (Option<u16>, Option<FaultKind>) {
        let log = self.simulator.log(0, 10_000);
        log.requests.last().map(|request| (request.status, request.fault)).expect("a request")
    }

    /// A state change on a fresh connection, and how it ended.
    async fn try_ready(&self, token: &str) -> Result<(u16, String), String> {
        let response = self.post(STATE, token, &ready_body()).send().await.map_err(|error| format!("{error:?}"))?;
        let status = response.status().as_u16();
        response.text().await.map(|text| (status, text)).map_err(|error| format!("{error:?}"))
    }
}

#[tokio::test]
async fn a_status_is_answered_as_often_as_asked_and_with_retry_after() {
    let bench = Bench::new(quiet_options()).await;
    let token = bench.token(0, "").await;
    bench.post_fault(json!({ "kind": "status", "on": "state", "code": 429, "retry_after": 7, "count": 1 })).await;
    let response = bench.post(STATE, &token, &ready_body()).send().await.expect("answered");
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (429, &"7".parse().expect("a value")));
    assert_eq!((bench.applied_changes(), bench.simulator.counts(&"acme".into()).throttled), (0, 1));
    bench.post_fault(json!([{ "kind": "status", "on": "state", "code": 500, "count": 1, "applied": true }])).await;
    assert_eq!(bench.try_ready(&token).await.expect("answered").0, 500);
    assert_eq!(bench.applied_changes(), 1);
    assert_eq!(bench.try_ready(&token).await.expect("answered").0, 200);
}

#[tokio::test]
async fn a_reset_before_the_answer_applies_nothing() {
    let bench = Bench::new(quiet_options()).await;
    let token = bench.token(0, "").await;
    bench.post_fault(json!({ "kind": "reset_before", "on": "state", "count": 1 })).await;
    let error = bench.try_ready(&token).await.expect_err("a reset");
    assert!(error.contains("ConnectionReset"), "{error}");
    assert_eq!((bench.applied_changes(), bench.last_fault()), (0, (None, Some(FaultKind::ResetBefore))));
}

#[tokio::test]
async fn a_reset_in_the_middle_comes_after_the_change_and_half_the_answer() {
    let bench = Bench::new(quiet_options()).await;
    let token = bench.token(0, "").await;
    bench.post_fault(json!({ "kind": "reset_mid", "on": "state", "count": 1 })).await;
    let mut response = bench.post(STATE, &token, &ready_body()).send().await.expect("a head");
    assert_eq!(response.status(), 200);
    let half = response.chunk().await.expect("half a body").expect("bytes");
    assert!(half.starts_with(b"{") && !half.ends_with(b"}"));
    let error = response.chunk().await.expect_err("a reset");
    assert!(format!("{error:?}").contains("ConnectionReset"), "{error:?}");
    assert_eq!((bench.applied_changes(), bench.last_fault()), (1, (Some(200), Some(FaultKind::ResetMid))));
}

#[tokio::test]
async fn a_lost_answer_leaves_the_change_applied() {
    let bench = Bench::new(quiet_options()).await;
    let token = bench.token(0, "").await;
    bench.post_fault(json!({ "kind": "lost_answer", "on": "state", "count": 1, "agent": "u_0001" })).await;
    let error = bench.try_ready(&token).await.expect_err("no answer");
    assert!(!error.contains("ConnectionReset"), "{error}");
    assert_eq!((bench.applied_changes(), bench.last_fault()), (1, (Some(200), Some(FaultKind::LostAnswer))));
}

#[tokio::test]
async fn a_late_change_takes_effect_when_it_is_due_and_names_its_request() {
    let bench = Bench::new(quiet_options()).await;
    let token = bench.token(0, "").await;
    bench.post_fault(json!({ "kind": "late", "on": "state", "ms": 30_000, "count": 1 })).await;
    assert_eq!(bench.try_ready(&token).await.expect("answered").0, 200);
    bench.clock.advance(Duration::from_millis(29_999));
    assert_eq!(bench.applied_changes(), 0);
    bench.clock.advance(Duration::from_millis(1));
    assert_eq!(bench.applied_changes(), 1);
    let log = bench.simulator.log(0, 100);
    let post = log.requests.iter().find(|request| request.fault == Some(FaultKind::Late)).expect("the request");
    assert_eq!(log.changes[0].request_seq, Some(post.seq));
    assert_eq!(log.changes[0].at, post.at + Duration::from_secs(30));
    assert_eq!(post.body.as_ref().map(|body| body.get()), Some(ready_body().to_string().as_str()));
}

#[tokio::test]
async fn a_delayed_answer_comes_late_and_a_silent_platform_never_answers() {
    let bench = Bench::new(quiet_options()).await;
    let token = bench.token(0, "").await;
    let wait = Duration::from_millis(150);
    bench.post_fault(json!({ "kind": "stop_answering", "on": "state", "count": 1, "ms": 150 })).await;
    let watch = crate::clock::Stopwatch::start();
    bench.try_ready(&token).await.expect_err("closed without an answer");
    assert!(watch.elapsed() >= wait);
    assert_eq!((bench.applied_changes(), bench.last_fault()), (0, (None, Some(FaultKind::StopAnswering))));
    bench.post_fault(json!({ "kind": "delay_ms", "on": "state", "count": 1, "ms": 150 })).await;
    let watch = crate::clock::Stopwatch::start();
    assert_eq!(bench.try_ready(&token).await.expect("answered").0, 200);
    assert!(watch.elapsed() >= wait);
    assert_eq!(bench.applied_changes(), 1);
}

#[tokio::test]
async fn a_client_that_gives_up_on_a_delayed_answer_finds_its_change_applied() {
    let bench = Bench::new(quiet_options()).await;
    let token = bench.token(0, "").await;
    bench.post_fault(json!({ "kind": "delay", "on": "state", "count": 1, "ms": 600_000 })).await;
    let applied = async {
        while bench.applied_changes() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        answer = bench.try_ready(&token) => panic!("answered: {answer:?}"),
        () = applied => {}
    }
}

#[tokio::test]
async fn an_answer_may_be_cut_or_be_a_page() {
    let bench = Bench::new(quiet_options()).await;
    let token = bench.token(0, "").await;
    bench
        .post_fault(
            json!([{ "kind": "html", "on": "state", "count": 1 }, { "kind": "truncated", "on": "state", "count": 1 }]),
        )
        .await;
    let (status, page) = bench.try_ready(&token).await.expect("answered");
    assert!(status == 200 && page.starts_with("<!DOCTYPE html>"));
    assert_eq!(bench.applied_changes(), 0);
    let (status, cut) = bench.try_ready(&token).await.expect("answered");
    assert_eq!(status, 200);
    assert!(cut.starts_with('{') && serde_json::from_str::<Value>(&cut).is_err());
    assert_eq!(bench.applied_changes(), 1);
}

#[tokio::test]
async fn tokens_can_be_revoked_and_subscriptions_expired_per_tenant() {
    let bench = Bench::new(SimOptions { tenants: 2, ..quiet_options() }).await;
    let (acme, bravo) = (bench.token(0, "").await, bench.token(1, "").await);
    let view =
        json!({ "name": "n", "interval": 10_000, "view": { "id": "users", "filter": { "userId": ["u_0001"] } } });
    let path = "/api/v2/analytics/realtime/subscription";
    let (_, made) = send(bench.post(path, &bravo, &view)).await;
    let poll = format!("{path}/{}", made["subscriptionId"].as_str().expect("an id"));
    bench.post_fault(json!([{ "kind": "revoke_tokens", "tenant": "acme" }, { "kind": "expire_subscriptions", "tenant": "acme" }])).await;
    assert_eq!(bench.try_ready(&acme).await.expect("answered").0, 401);
    assert_eq!(send(bench.get(&poll, &bravo)).await.0, 200);
    bench.post_fault(json!({ "kind": "expire_subscriptions" })).await;
    assert_eq!(send(bench.get(&poll, &bravo)).await.0, 404);
    let listed = send(bench.http.get(format!("{}/_sim/faults", bench.base))).await.1;
    assert_eq!(listed, json!({ "active": [] }));
    let new_token = bench.token(0, "").await;
    assert_eq!(bench.try_ready(&new_token).await.expect("answered").0, 200);
}

#[tokio::test]
async fn snapshots_can_talk_nonsense_in_every_way() {
    let bench = Bench::new(quiet_options()).await;
    let token = bench.token(0, "").await;
    let path = "/api/v2/analytics/realtime/subscription";
    let users = ["u_0001", "u_0002", "u_0003", "u_0004"];
    let view = json!({ "name": "n", "interval": 10_000, "view": { "id": "users", "filter": { "userId": users } } });
    let (_, made) = send(bench.post(path, &token, &view)).await;
    let poll = format!("{path}/{}", made["subscriptionId"].as_str().expect("an id"));
    let mut rows = Vec::new();
    for fault in ["none", "wrong_types", "nonsense", "timestamp_jitter_ms", "clock_skew_ms"] {
        if fault != "none" {
            bench.post_fault(json!({ "kind": fault, "on": "snapshot", "count": 1, "ms": 90_000 })).await;
        }
        bench.clock.advance(Duration::from_secs(10));
        let response = bench.get(&poll, &token).send().await.expect("answered");
        let date = response.headers()["date"].to_str().expect("a date").to_owned();
        rows.push((date, response.json::<Value>().await.expect("JSON")));
    }
    let data = |at: usize| rows[at].1["data"].as_array().expect("rows");
    assert!(data(0).iter().all(|row| row["statusChangedTimestamp"] == "2026-10-28T14:00:00.000Z"));
    assert!(data(1)[0]["userId"].is_number() && data(1)[3]["agentState"].is_null());
    assert_eq!((data(2).len(), &data(2)[0]["agentState"]), (5, &json!("hovering")));
    assert!(data(3).iter().any(|row| row["statusChangedTimestamp"] != data(0)[0]["statusChangedTimestamp"]));
    assert_eq!(data(3)[0]["agentState"], data(0)[0]["agentState"]);
    assert_eq!(data(4)[0]["statusChangedTimestamp"], "2026-10-28T14:01:30.000Z");
    assert_eq!(
        (rows[0].0.as_str(), rows[4].0.as_str()),
        ("Wed, 28 Oct 2026 14:00:10 GMT", "Wed, 28 Oct 2026 14:02:20 GMT")
    );
}

#[tokio::test]
async fn snapshots_can_lack_repeat_and_date_their_rows_badly_and_be_too_big() {
    let bench = Bench::new(quiet_options()).await;
    let token = bench.token(0, "").await;
    let path = "/api/v2/analytics/realtime/subscription";
    let users = ["u_0001", "u_0002", "u_0003", "u_0004"];
    let view = json!({ "name": "n", "interval": 10_000, "view": { "id": "users", "filter": { "userId": users } } });
    let (_, made) = send(bench.post(path, &token, &view)).await;
    let poll = format!("{path}/{}", made["subscriptionId"].as_str().expect("an id"));
    let read = async |fault: &str| {
        bench.post_fault(json!({ "kind": fault, "on": "snapshot", "count": 1 })).await;
        bench.clock.advance(Duration::from_secs(10));
        let text = bench.get(&poll, &token).send().await.expect("answered").text().await.expect("a body");
        let body: Value = serde_json::from_str(&text).expect("JSON");
        (text.len(), body["data"].as_array().expect("rows").clone())
    };
    let rows = |read: &(usize, Vec<Value>)| read.1.iter().map(|row| row["userId"].clone()).collect::<Vec<_>>();
    assert_eq!(rows(&read("missing_rows").await), ["u_0001", "u_0003"]);
    assert_eq!(rows(&read("repeat").await), [users, users].concat());
    assert_eq!(read("old_times").await.1[1]["statusChangedTimestamp"], "2026-10-28T13:00:00.000Z");
    let zoned = read("other_zones").await.1;
    assert_eq!(zoned[0]["statusChangedTimestamp"], "2026-10-28T19:30:00.000+05:30");
    assert_eq!(zoned[1]["statusChangedTimestamp"], "2026-10-28T06:00:00.000-08:00");
    assert!(read("bulky").await.0 > 2_500_000);
    assert_eq!(read("wrong_types").await.1.last(), Some(&json!([1, 2])));
}

#[tokio::test]
async fn the_back_door_refuses_what_it_does_not_understand() {
    let bench = Bench::new(quiet_options()).await;
    for (path, body) in [
        ("faults", json!({ "kind": "sneeze" })),
        ("faults", json!({ "kind": "html", "colour": "red" })),
        ("faults", json!({ "kind": "late", "on": "state" })),
        ("agents", json!({ "agent": "u_9999", "state": "paused" })),
        ("agents", json!({ "agent": "u_0001", "tenant": "nobody" })),
        ("agents", json!({ "agent": "u_0001", "state": "asleep" })),
    ] {
        let (status, answered) = send(bench.http.post(format!("{}/_sim/{path}", bench.base)).json(&body)).await;
        assert_eq!(status, 400, "{body}");
        assert!(answered["error"].is_string(), "{body}");
    }
    let halfway = json!([{ "kind": "html" }, { "kind": "late" }]);
    let (status, _) = send(bench.http.post(format!("{}/_sim/faults", bench.base)).json(&halfway)).await;
    assert_eq!(status, 400);
    let listed = send(bench.http.get(format!("{}/_sim/faults", bench.base))).await.1;
    assert_eq!(listed, json!({ "active": [] }), "all of them or none");
    bench.post_fault(json!({ "kind": "html", "on": "token" })).await;
    let cleared = send(bench.http.delete(format!("{}/_sim/faults", bench.base))).await.1;
    assert_eq!(cleared, json!({ "active": [] }));
}

#[tokio::test]
async fn the_account_is_read_on_in_pages() {
    let bench = Bench::new(quiet_options()).await;
    let token = bench.token(0, "").await;
    for state in ["READY", "PAUSED", "READY"] {
        assert_eq!(bench.set_state(&token, "u_0001", state).await.0, 200);
    }
    let (mut after, mut requests, mut changes) = (0, 0, 0);
    for _ in 0..4 {
        let url = format!("{}/_sim/log?after={after}&limit=2", bench.base);
        let page = send(bench.http.get(url)).await.1;
        requests += page["requests"].as_array().expect("requests").len();
        changes += page["changes"].as_array().expect("changes").len();
        after = page["next"].as_u64().expect("a number");
    }
    assert_eq!((requests, changes, after), (4, 3, 7));
    let world = send(bench.http.get(format!("{}/_sim/world?tenant=acme", bench.base))).await.1;
    assert_eq!(world["tenants"][0]["agents"][0]["state"], "available");
    assert_eq!(world["tenants"][0]["counts"]["state_posts"], 3);
}
