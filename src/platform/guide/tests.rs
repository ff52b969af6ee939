//! Tests of the adapter against small servers on loopback.

mod analytics;
mod figures;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::*;
use crate::clock::ManualClock;
use crate::domain::time::UtcMicros;
use crate::platform::dry_run::DryRun;
use crate::platform::error::Effect;
use crate::platform::test_servers::{self, RawServer, ReceivedRequest, Server};

const SECRET: &str = "s3cr3t";
const TOKEN: &str = "t0k3n";

fn clock() -> SharedClock {
    Arc::new(ManualClock::at("2026-10-26T12:00:00Z".parse::<UtcMicros>().expect("valid")))
}

fn settings(url: &Url) -> GuideSettings {
    let mut settings = GuideSettings::new(url.clone(), TokenStyle::Body, "client-1", Secret::new(SECRET));
    settings.client.request_timeout = Duration::from_millis(400);
    settings
}

fn platform(url: &Url) -> GuidePlatform {
    GuidePlatform::new(settings(url), clock()).expect("a platform")
}

/// A server that gives a token, and `answer` to everything else.
async fn start_server(answer: impl Fn(&ReceivedRequest) -> Response + Clone + Send + Sync + 'static) -> Server {
    Server::start(Duration::ZERO, move |seen: &ReceivedRequest| match seen.path.as_str() {
        "/oauth2/token" => test_servers::json(200, &json!({ "access_token": TOKEN, "expires_in": 3600 })),
        _ => answer(seen),
    })
    .await
}

fn plain(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
    let response =
        headers.iter().fold(Response::builder().status(status), |all, (name, value)| all.header(*name, *value));
    response.body(Body::from(body.to_owned())).expect("a response")
}

fn agent() -> AgentId {
    AgentId::new("u_1")
}

async fn set_ready(platform: &dyn Platform) -> Result<Answer<()>, CallError> {
    platform.set_state(&agent(), &AgentState::Ready, &ReasonCode::new("WORKING")).await
}

/// What comes of a state change that is answered with this.
async fn set_ready_result(answer: impl Fn() -> Response + Clone + Send + Sync + 'static) -> Result<(), Failure> {
    let server = start_server(move |_| answer()).await;
    let result = set_ready(&platform(&server.url)).await;
    assert_eq!(server.received_requests().len(), 2, "one token, one state change, no repeat");
    result.map(drop).map_err(|error| error.failure)
}

#[tokio::test]
async fn a_state_change_is_sent_as_the_guide_says_and_answered_with_its_times() {
    let server = start_server(|_| plain(200, &[("date", "Mon, 26 Oct 2026 12:00:03 GMT")], "")).await;
    let answer = set_ready(&platform(&server.url)).await.expect("accepted");
    let seen = server.received_requests().pop().expect("a request");
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/api/v2/users/u_1/state"));
    assert_eq!(seen.header("authorization"), format!("Bearer {TOKEN}"));
    assert!(seen.header("user-agent").starts_with("shiftkeeper/"));
    let body: Value = serde_json::from_str(&seen.body).expect("json");
    assert_eq!(body, json!({ "state": "READY", "reasonCode": "WORKING" }));
    assert_eq!(answer.platform_now, Some("2026-10-26T12:00:03Z".parse().expect("valid")));
    assert!(answer.latency > Duration::ZERO);
    assert_eq!(answer.received_at, "2026-10-26T12:00:00Z".parse().expect("valid"));
}

#[tokio::test]
async fn every_url_is_built_on_the_base_that_came_with_the_token() {
    let other = Server::start(Duration::ZERO, |_: &ReceivedRequest| "").await;
    let base = other.url.join("/eu1/").expect("a URL").to_string();
    let server = Server::start(Duration::ZERO, move |_: &ReceivedRequest| {
        test_servers::json(200, &json!({ "access_token": TOKEN, "resource_server_base_uri": base }))
    })
    .await;
    let mut settings = settings(&server.url);
    settings.token_style = TokenStyle::Legacy;
    settings.api_path = "api/v3/".to_owned();
    let platform = GuidePlatform::new(settings, clock()).expect("a platform");
    set_ready(&platform).await.expect("accepted");
    assert_eq!(server.paths(), ["/InContactAuthorizationServer/Token"]);
    assert_eq!(other.paths(), ["/eu1/api/v3/users/u_1/state"]);
}

#[tokio::test]
async fn each_status_is_told_by_what_the_caller_can_do() {
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let table: [(Response, Failure, Effect); 12] = [
        (plain(429, &[("retry-after", "7")], ""), Failure::Throttled { retry_after: seconds(7) }, Effect::NotApplied),
        (plain(429, &[], ""), Failure::Throttled { retry_after: None }, Effect::NotApplied),
        (plain(401, &[], ""), Failure::Unauthorized, Effect::NotApplied),
        (plain(403, &[], ""), Failure::Forbidden { scope: Some("users:state:write") }, Effect::NotApplied),
        (plain(404, &[], ""), Failure::NotFound, Effect::NotApplied),
        (plain(409, &[], "no JSON"), Failure::Conflict { code: None }, Effect::NotApplied),
        (
            test_servers::json(409, &json!({ "code": "BREAK_WINDOW" })),
            Failure::Conflict { code: Some("BREAK_WINDOW".to_owned()) },
            Effect::NotApplied,
        ),
        (
            test_servers::json(409, &json!({ "error": { "code": "BREAK_WINDOW" } })),
            Failure::Conflict { code: Some("BREAK_WINDOW".to_owned()) },
            Effect::NotApplied,
        ),
        (
            plain(400, &[], &format!("bad {TOKEN} {SECRET}\nreason")),
            Failure::Rejected { status: 400, excerpt: "bad *** *** reason".to_owned() },
            Effect::NotApplied,
        ),
        (plain(408, &[], ""), Failure::Timeout, Effect::Unknown),
        (
            plain(
                503,
                &[("retry-after", "Mon, 26 Oct 2026 12:01:00 GMT"), ("date", "Mon, 26 Oct 2026 12:00:30 GMT")],
                "",
            ),
            Failure::Server { status: 503, retry_after: seconds(30) },
            Effect::Unknown,
        ),
        (
            plain(500, &[("retry-after", "99999999999")], ""),
            Failure::Server { status: 500, retry_after: seconds(3600) },
            Effect::Unknown,
        ),
    ];
    for (response, expected, effect) in table {
        let response = Arc::new(std::sync::Mutex::new(Some(response)));
        let take = move || response.lock().expect("once").take().unwrap_or_else(|| plain(500, &[], ""));
        let failure = set_ready_result(take).await.expect_err("a failure");
        assert_eq!((failure.effect(), &failure), (effect, &expected));
    }
}

#[tokio::test]
async fn a_success_with_any_plain_body_is_an_acceptance_and_a_page_or_broken_json_is_in_doubt() {
    for body in ["", "OK", "{}", r#"{"state":"READY"}"#] {
        assert_eq!(set_ready_result(move || plain(202, &[], body)).await, Ok(()), "{body}");
    }
    for (status, kind, body) in [
        (200, "text/html; charset=utf-8", "Please sign in"),
        (200, "text/plain", "  <!doctype html><p>Please sign in"),
        (200, "application/json", r#"{"state":"REA"#),
        (302, "text/plain", ""),
    ] {
        let failure = set_ready_result(move || plain(status, &[("content-type", kind)], body)).await.expect_err(body);
        assert!(matches!(failure, Failure::Malformed { .. }), "{failure}");
        assert_eq!(failure.effect(), Effect::Unknown);
    }
}

#[tokio::test]
async fn a_refused_connection_was_not_sent_and_everything_after_it_is_in_doubt() {
    let tokens = |base: &Url| {
        let base = base.to_string();
        Server::start(Duration::ZERO, move |_: &ReceivedRequest| {
            test_servers::json(200, &json!({ "access_token": TOKEN, "resource_server_base_uri": base }))
        })
    };
    let cut = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 90\r\n\r\n{\"sta";
    let (silent, closing) = (RawServer::start(None).await, RawServer::start(Some(b"")).await);
    let cutting = RawServer::start(Some(cut)).await;
    for (url, class, effect, sent) in [
        (test_servers::unused_url().await, "not_sent", Effect::NotApplied, false),
        (silent.url.clone(), "timeout", Effect::Unknown, true),
        (closing.url.clone(), "broken", Effect::Unknown, true),
        (cutting.url.clone(), "broken", Effect::Unknown, true),
    ] {
        let server = tokens(&url).await;
        let error = set_ready(&platform(&server.url)).await.expect_err(class);
        assert_eq!((error.failure.class(), error.effect(), error.failure.was_sent()), (class, effect, sent), "{error}");
        assert!(error.platform_trouble().is_some() && error.is_retryable_read() && error.sent_at.is_some());
        let shown = error.to_string();
        assert!(shown.starts_with("set the state (POST /api/v2/users/u_1/state): "), "{shown}");
        assert!(!shown.contains(&url.port().expect("a port").to_string()), "the path says enough: {shown}");
    }
}

#[tokio::test]
async fn without_a_token_nothing_was_sent() {
    let server = Server::start(Duration::ZERO, |_: &ReceivedRequest| plain(500, &[], "")).await;
    let error = set_ready(&platform(&server.url)).await.expect_err("no token");
    assert_eq!((error.failure.class(), error.effect()), ("token_unavailable", Effect::NotApplied));
    assert_eq!((error.sent_at, server.paths()), (None, vec!["/oauth2/token".to_owned()]));
}

#[tokio::test]
async fn a_revoked_token_is_dropped_and_the_next_call_brings_a_fresh_one() {
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let server = Server::start(Duration::ZERO, move |seen: &ReceivedRequest| {
        if seen.path == "/oauth2/token" {
            let n = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            return test_servers::json(200, &json!({ "access_token": format!("t{n}") }));
        }
        plain(if seen.header("authorization") == "Bearer t0" { 401 } else { 200 }, &[], "")
    })
    .await;
    let platform = platform(&server.url);
    assert_eq!(set_ready(&platform).await.expect_err("revoked").failure, Failure::Unauthorized);
    set_ready(&platform).await.expect("a fresh one");
    set_ready(&platform).await.expect("the same one");
    assert_eq!(server.paths().iter().filter(|path| *path == "/oauth2/token").count(), 2);
}

#[tokio::test]
async fn schedule_and_break_are_read_and_half_answers_are_not_guessed() {
    let server = start_server(|seen| match seen.path.as_str() {
        "/api/v2/schedules/users/on" => test_servers::json(200, &json!({ "status": "ACTIVE", "more": [] })),
        "/api/v2/schedules/users/off" => test_servers::json(200, &json!({ "status": "OFF" })),
        "/api/v2/breaks/users/on/status" => test_servers::json(200, &json!({ "mandatoryBreakRequired": true })),
        "/api/v2/breaks/users/off/status" => test_servers::json(200, &json!({ "mandatoryBreakRequired": false })),
        path if path.contains("/odd") => test_servers::json(200, &json!(["ACTIVE", true])),
        _ => test_servers::json(200, &json!({ "status": null, "mandatoryBreakRequired": "yes", "userName": "Ada" })),
    })
    .await;
    let platform = platform(&server.url);
    for (id, yes) in [("on", true), ("off", false)] {
        let id = AgentId::new(id);
        assert_eq!(platform.is_scheduled(&id).await.expect("an answer").value, yes);
        assert_eq!(platform.break_required(&id).await.expect("an answer").value, yes);
    }
    for id in ["odd", "half"].map(AgentId::new) {
        for error in [platform.is_scheduled(&id).await, platform.break_required(&id).await] {
            let error = error.expect_err("nonsense");
            assert!(matches!(error.failure, Failure::Malformed { .. }));
            assert!(!error.to_string().contains("Ada"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_subscription_names_its_agents_and_the_answers_interval_is_believed() {
    let server = start_server(|seen| {
        let body: Value = serde_json::from_str(&seen.body).expect("json");
        match body["name"].as_str() {
            Some("raised") => test_servers::json(201, &json!({ "subscriptionId": "sub_1", "interval": 15000 })),
            Some("lowered") => test_servers::json(201, &json!({ "subscriptionId": 7, "interval": 1 })),
            Some("silent") => test_servers::json(200, &json!({ "subscriptionId": "sub_1" })),
            _ => test_servers::json(200, &json!({ "id": "sub_1" })),
        }
    })
    .await;
    let platform = platform(&server.url);
    let agents = [AgentId::new("u_1"), AgentId::new("u_2")];
    let wanted = |name, seconds| SubscriptionRequest {
        name,
        interval: Duration::from_secs(seconds),
        agents: &agents,
        detail: if seconds < 20 { Detail::Full } else { Detail::Needed },
    };
    let made = async |name, seconds| platform.subscribe(wanted(name, seconds)).await.expect("made").value;
    assert_eq!(made("raised", 10).await, Subscription { id: "sub_1".into(), interval: Duration::from_secs(15) });
    assert_eq!(made("lowered", 20).await, Subscription { id: "7".into(), interval: Duration::from_secs(20) });
    assert_eq!(made("silent", 2).await.interval, MIN_INTERVAL);
    assert!(platform.subscribe(wanted("other", 10)).await.is_err());
    let sent: Vec<Value> =
        server.received_requests()[1..].iter().map(|seen| serde_json::from_str(&seen.body).expect("json")).collect();
    assert_eq!(sent[2]["interval"], 10_000);
    assert_eq!(sent[0]["view"]["filter"]["userId"], json!(["u_1", "u_2"]));
    let metrics = |n: usize| sent[n]["view"]["metrics"].as_array().expect("metrics").len();
    assert_eq!((metrics(0), metrics(1)), (7, 4));
    let nobody = SubscriptionRequest { agents: &[], ..wanted("raised", 10) };
    let error = platform.subscribe(nobody).await.expect_err("no filter");
    assert_eq!((error.failure.class(), server.received_requests().len()), ("unsupported", 5));
}

#[tokio::test]
async fn snapshots_are_passed_on_unread_up_to_their_limit() {
    let server = start_server(|seen| match seen.path.rsplit('/').next() {
        Some("small") => plain(200, &[], "{}"),
        Some("big") => plain(200, &[], &"x".repeat(crate::platform::snapshot::OVERSIZE_BYTES + 1)),
        Some("huge") => plain(200, &[], &"x".repeat(600_001)),
        Some("same") => plain(304, &[], ""),
        Some("page") => plain(200, &[], "<html>busy</html>"),
        _ => plain(404, &[], ""),
    })
    .await;
    let mut settings = settings(&server.url);
    settings.snapshot_limit = 600_000;
    let platform = GuidePlatform::new(settings, clock()).expect("a platform");
    let read = async |id: &str| {
        let answer = platform.snapshot(&SubscriptionId::new(id)).await;
        answer
            .map(|answer| (answer.value.bytes.len(), answer.value.is_oversize()))
            .map_err(|error| error.failure.class())
    };
    assert_eq!(read("small").await, Ok((2, false)));
    assert_eq!(read("big").await, Ok((500_001, true)));
    assert_eq!(read("huge").await, Err("too_large"));
    assert_eq!(read("same").await, Ok((0, false)));
    assert_eq!(read("page").await, Err("nonsense"));
    assert_eq!(read("gone").await, Err("not_found"));
}

#[tokio::test]
async fn what_the_dialect_cannot_set_or_address_is_refused_without_a_call() {
    let server = start_server(|_| "".into_response()).await;
    let platform = platform(&server.url);
    assert!(!platform.capabilities().can_log_out);
    assert_eq!(
        platform.capabilities().settable,
        [AgentState::Ready, AgentState::NotReady, AgentState::Paused, AgentState::Idle]
    );
    for state in [AgentState::LoggedOut, AgentState::OnContact, AgentState::Unknown("Lunch".into())] {
        let error = platform.set_state(&agent(), &state, &ReasonCode::new("X")).await.expect_err("cannot");
        assert_eq!((error.failure.class(), error.effect()), ("unsupported", Effect::NotApplied));
    }
    assert!(server.received_requests().is_empty());
    let dots = AgentId::new("..");
    let error = platform.set_state(&dots, &AgentState::Ready, &ReasonCode::new("X")).await.expect_err("cannot");
    assert_eq!((error.failure.class(), server.paths()), ("unsupported", vec!["/oauth2/token".to_owned()]));
}

#[tokio::test]
async fn a_dry_run_reads_but_never_sends_a_change() {
    let server = start_server(|_| test_servers::json(200, &json!({ "status": "ACTIVE" }))).await;
    let dry = DryRun::new(Arc::new(platform(&server.url)), clock());
    let kept_back = set_ready(&dry).await.expect_err("recorded, and no acceptance");
    assert_eq!((kept_back.failure.class(), kept_back.effect()), ("dry_run", Effect::NotApplied));
    assert!(dry.set_state(&agent(), &AgentState::LoggedOut, &ReasonCode::new("X")).await.is_err());
    assert!(dry.is_scheduled(&agent()).await.expect("an answer").value);
    assert_eq!(server.paths(), ["/oauth2/token", "/api/v2/schedules/users/u_1"]);
    let record = dry.recorded();
    assert_eq!((dry.total(), record.len()), (1, 1));
    assert_eq!(
        (&record[0].agent, &record[0].state, record[0].reason.as_str()),
        (&agent(), &AgentState::Ready, "WORKING")
    );
}

#[test]
fn nothing_printed_shows_the_secret() {
    let url = "http://127.0.0.1:1".parse().expect("a URL");
    let printed = format!("{:?} {:?}", settings(&url), platform(&url));
    assert!(!printed.contains(SECRET), "{printed}");
}
