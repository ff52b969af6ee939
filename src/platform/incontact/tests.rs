//! The adapter against raw servers: tokens, pages of states, deltas, and refusals.

mod history;
mod lists;
mod probe;
mod traps;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::response::Response;
use serde_json::{Value, json};

use super::*;
use crate::clock::{ManualClock, SharedClock};
use crate::domain::access::secret::Secret;
use crate::domain::agents::unavailable_codes::CodeRule;
use crate::domain::ids::TeamName;
use crate::domain::time::UtcMicros;
use crate::platform::snapshot::SnapshotDelta;
use crate::platform::test_servers::{self, ReceivedRequest, Server};

fn start() -> UtcMicros {
    "2026-10-26T12:00:00Z".parse().expect("valid")
}

fn settings(url: &reqwest::Url) -> IncontactSettings {
    IncontactSettings {
        token: TokenSettings {
            kind: TokenKind::AccessKey,
            auth_url: url.clone(),
            user_hub_url: url.clone(),
            api_url: Some(url.clone()),
            key_id: "key-1".to_owned(),
            key_secret: Secret::new("s3cr3t=="),
        },
        versions: Versions::new("31.0".to_owned(), BTreeMap::new()),
        codes: CodeMap(vec![CodeRule {
            state: AgentState::Paused,
            team: Some(TeamName::new("Care")),
            reason: None,
            code: 12,
        }]),
        dialer: AgentState::OnContact,
        state_in_body: false,
        can_log_out: false,
        overlap: Duration::from_secs(2),
        full_read_every: Duration::from_secs(300),
        page_rows: 2,
        page_limit: 1_000_000,
        client: ClientSettings::default(),
    }
}

/// A server that gives a token `t1`, and `answer` to everything else.
async fn start_server(answer: impl Fn(&ReceivedRequest) -> Response + Clone + Send + Sync + 'static) -> Server {
    Server::start(Duration::ZERO, move |seen: &ReceivedRequest| match seen.path.as_str() {
        "/authentication/v1/token/access-key" => {
            test_servers::json(200, &json!({ "access_token": "t1", "expires_in": "3600" }))
        }
        _ => answer(seen),
    })
    .await
}

fn platform_at(
    url: &reqwest::Url,
    change: impl FnOnce(&mut IncontactSettings),
) -> (IncontactPlatform, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(start()));
    let mut settings = settings(url);
    change(&mut settings);
    let shared: SharedClock = clock.clone();
    (IncontactPlatform::new(None, settings, shared).expect("a platform"), clock)
}

fn row(agent: u32, state: u32, minute: u32) -> Value {
    json!({ "agentId": agent, "agentStateId": state, "teamName": "Care", "startDate": format!("2026-10-26T11:{minute:02}:00.000Z") })
}

fn agents(count: u32) -> Vec<AgentId> {
    (1..=count).map(|number| AgentId::new(number.to_string())).collect()
}

/// Reads all pages of one poll.
async fn poll(platform: &IncontactPlatform, reader: &mut dyn SnapshotReader) -> Result<SnapshotDelta, CallError> {
    let subscription = SubscriptionId::new("local");
    loop {
        let answer = platform.snapshot(&subscription).await?;
        if let Some(delta) = reader.read(&subscription, answer.value)? {
            return Ok(delta);
        }
    }
}

fn changed(delta: &SnapshotDelta) -> Vec<&str> {
    delta.changed.iter().map(|observation| observation.agent.as_str()).collect()
}

#[tokio::test]
async fn a_full_read_takes_all_pages_and_a_delta_without_a_row_means_unchanged() {
    let server = start_server(|seen| {
        assert_eq!(seen.header("authorization"), "Bearer t1");
        let page = |time: &str, rows: Vec<Value>| {
            test_servers::json(200, &json!({ "totalRecords": 2, "lastPollTime": time, "agentStates": rows }))
        };
        match seen.query.as_str() {
            // The platform gives fewer rows than asked for, and one of them again on the next page, which is newer.
            "top=2&skip=0" => page("2026-10-26T12:00:00.500Z", vec![row(1, 1, 10)]),
            "top=2&skip=1" => page("2026-10-26T12:00:03Z", vec![row(2, 2, 20), row(1, 1, 10)]),
            query => {
                assert_eq!(query, "updatedSince=2026-10-26T11%3A59%3A58.5Z&top=2&skip=0");
                test_servers::json(200, &json!({ "totalRecords": 1, "lastPollTime": "2026-10-26T12:00:10Z", "agentStates": [row(2, 3, 59)] }))
            }
        }
    })
    .await;
    let (platform, _) = platform_at(&server.url, |_| {});
    let mut reader = platform.reader(&agents(3));
    let full = poll(&platform, &mut *reader).await.expect("a full read");
    assert_eq!((changed(&full), full.rows), (vec!["1", "2"], 3));
    assert_eq!((&*full.absent, &*full.missing), (&agents(3)[2..], &agents(3)[2..]));
    assert_eq!(full.generated_at.to_string(), "2026-10-26T12:00:00.5Z");
    let delta = poll(&platform, &mut *reader).await.expect("a delta");
    assert_eq!((changed(&delta), delta.changed[0].state.clone()), (vec!["2"], AgentState::OnContact));
    assert_eq!(&*delta.absent, &agents(3)[2..], "still the one whom the full read left out");
    assert!(delta.missing.is_empty(), "silence is no absence");
}

#[tokio::test]
async fn all_agents_are_read_again_after_the_platforms_clock_was_set_back() {
    let server = start_server(|seen| {
        let (rows, time) = match seen.query.as_str() {
            query if query.starts_with("updatedSince=2026-10-26T11%3A59") => (vec![], "2026-10-26T11:57:00Z"),
            query if query.starts_with("updatedSince") => (vec![], "2026-10-26T11:57:20Z"),
            _ => (vec![row(1, 1, 10)], "2026-10-26T12:00:00Z"),
        };
        test_servers::json(200, &json!({ "totalRecords": rows.len(), "lastPollTime": time, "agentStates": rows }))
    })
    .await;
    let (platform, _) = platform_at(&server.url, |_| {});
    let mut reader = platform.reader(&agents(1));
    let mut rows = Vec::new();
    for _ in 0..3 {
        rows.push(poll(&platform, &mut *reader).await.expect("a read").rows);
    }
    assert_eq!(rows, [1, 0, 1], "the third read is one of all agents");
}

#[tokio::test]
async fn a_token_that_is_replaced_between_two_pages_does_not_begin_the_read_anew() {
    let given = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let server = Server::start(Duration::ZERO, move |seen: &ReceivedRequest| {
        let page = |agent, time: &str| {
            let rows = [row(agent, 1, 10)];
            test_servers::json(200, &json!({ "totalRecords": 2, "lastPollTime": time, "agentStates": rows }))
        };
        match (seen.path.as_str(), seen.header("authorization"), seen.query.as_str()) {
            ("/authentication/v1/token/access-key", ..) => {
                let number = given.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
                test_servers::json(200, &json!({ "access_token": format!("t{number}"), "expires_in": 3600 }))
            }
            (_, "Bearer t1", "top=2&skip=0") => page(1, "2026-10-26T12:00:00Z"),
            (_, "Bearer t1", "top=2&skip=1") => test_servers::json(401, &json!({})),
            (_, "Bearer t2", "top=2&skip=1") => page(2, "2026-10-26T12:00:09Z"),
            other => panic!("{other:?}"),
        }
    })
    .await;
    let (platform, _) = platform_at(&server.url, |_| {});
    let mut reader = platform.reader(&agents(2));
    let refused = poll(&platform, &mut *reader).await.expect_err("the token has been revoked");
    assert!(matches!(refused.failure, Failure::Unauthorized), "{refused}");
    let full = poll(&platform, &mut *reader).await.expect("the rest of the read");
    assert_eq!((changed(&full), full.generated_at), (vec!["1", "2"], start()));
}

#[tokio::test]
async fn all_agents_are_read_again_after_a_while_and_after_a_refusal() {
    let server = start_server(|seen| {
        if seen.query.contains("updatedSince=2026-10-26T11") {
            return test_servers::json(400, &json!({ "error_description": "updatedSince" }));
        }
        let states =
            json!({ "totalRecords": 1, "lastPollTime": "2026-10-26T12:00:00Z", "agentStates": [row(1, 1, 10)] });
        test_servers::json(200, &states)
    })
    .await;
    let (platform, clock) = platform_at(&server.url, |_| {});
    let mut reader = platform.reader(&agents(1));
    poll(&platform, &mut *reader).await.expect("a full read");
    let refused = poll(&platform, &mut *reader).await.expect_err("the instant is refused");
    assert!(matches!(refused.failure, Failure::Rejected { status: 400, .. }), "{refused}");
    assert!(poll(&platform, &mut *reader).await.expect("a full read").changed.is_empty());
    let is_full =
        |server: &Server| !server.received_requests().last().expect("a request").query.contains("updatedSince");
    assert!(is_full(&server));
    clock.advance(Duration::from_secs(301));
    poll(&platform, &mut *reader).await.expect("a full read");
    assert!(is_full(&server));
}

#[tokio::test]
async fn what_is_no_list_of_states_is_named_and_the_next_read_begins_anew() {
    for (body, expected) in [
        ("<html>", "something else"),
        ("[]", "something else"),
        ("{\"agents\": []}", "something else"),
        ("{\"agentStates\": []}", "lastPollTime"),
    ] {
        let server = start_server(move |_| Response::new(body.to_owned().into())).await;
        let (platform, _) = platform_at(&server.url, |_| {});
        let mut reader = platform.reader(&agents(1));
        let error = poll(&platform, &mut *reader).await.expect_err("nothing usable");
        assert!(error.to_string().contains(expected), "{body}: {error}");
        assert_eq!(platform.polls.next_page(Duration::ZERO, Duration::ZERO).skip, 0);
    }
}

#[tokio::test]
async fn a_platform_that_ignores_skip_is_not_asked_without_end() {
    let states =
        json!({ "totalRecords": 1_000_000, "lastPollTime": "2026-10-26T12:00:00Z", "agentStates": [row(1, 1, 10)] });
    let server = start_server(move |_| test_servers::json(200, &states)).await;
    let (platform, _) = platform_at(&server.url, |_| {});
    let mut reader = platform.reader(&agents(1));
    let error = poll(&platform, &mut *reader).await.expect_err("the same page twice");
    assert!(error.to_string().contains("the same one again"), "{error}");
    assert_eq!(server.paths().len(), 3, "a token and two pages");
}

#[tokio::test]
async fn a_short_read_of_all_agents_makes_nobody_missing_and_is_made_again() {
    let server = start_server(|seen| {
        let rows = if seen.query.ends_with("skip=0") { vec![row(1, 1, 10)] } else { Vec::new() };
        let states = json!({ "totalRecords": 2, "lastPollTime": "2026-10-26T12:00:00Z", "agentStates": rows });
        test_servers::json(200, &states)
    })
    .await;
    let (platform, _) = platform_at(&server.url, |_| {});
    let mut reader = platform.reader(&agents(2));
    let short = poll(&platform, &mut *reader).await.expect("what there is");
    assert_eq!((changed(&short), &*short.absent, short.missing.len()), (vec!["1"], &agents(2)[1..], 0));
    poll(&platform, &mut *reader).await.expect("what there is");
    assert!(server.received_requests().iter().all(|seen| !seen.query.contains("updatedSince")));
}

#[tokio::test]
async fn a_row_that_cannot_be_read_leaves_its_agent_neither_observed_nor_missing() {
    let server = start_server(|seen| {
        let mut second = row(2, 1, 10);
        if seen.query.contains("updatedSince") {
            second["agentStateId"] = json!([]);
        }
        let rows = vec![row(1, 1, 10), second];
        let states = json!({ "totalRecords": 2, "lastPollTime": "2026-10-26T12:00:00Z", "agentStates": rows });
        test_servers::json(200, &states)
    })
    .await;
    let (platform, _) = platform_at(&server.url, |_| {});
    let mut reader = platform.reader(&agents(2));
    assert!(poll(&platform, &mut *reader).await.expect("a full read").absent.is_empty());
    let delta = poll(&platform, &mut *reader).await.expect("a delta");
    assert_eq!((&*delta.unreadable.agents, &*delta.absent), (&agents(2)[1..], &agents(2)[1..]));
    assert!(delta.missing.is_empty() && delta.diagnostics.len() == 1);
}

#[tokio::test]
async fn half_a_surrogate_pair_in_a_name_costs_no_page() {
    let body = r#"{"totalRecords": 1, "lastPollTime": "2026-10-26T12:00:00Z",
        "agentStates": [{"agentId": 1, "agentStateId": 1, "firstName": "A\ud800"}]}"#;
    let server = start_server(move |_| Response::new(body.to_owned().into())).await;
    let (platform, _) = platform_at(&server.url, |_| {});
    let mut reader = platform.reader(&agents(1));
    assert_eq!(changed(&poll(&platform, &mut *reader).await.expect("read")), ["1"]);
}

#[tokio::test]
async fn a_wrong_version_is_no_lost_subscription() {
    let server = start_server(|_| test_servers::json(404, &json!({}))).await;
    let (platform, _) = platform_at(&server.url, |_| {});
    let mut reader = platform.reader(&agents(1));
    let error = poll(&platform, &mut *reader).await.expect_err("not found");
    assert!(matches!(error.failure, Failure::Rejected { status: 404, .. }), "{error}");
    assert!(error.to_string().contains("version"), "{error}");
}

#[tokio::test]
async fn states_are_set_by_the_code_of_the_team() {
    let server = start_server(|seen| match seen.path.as_str() {
        "/incontactapi/services/v31.0/agents/states" => test_servers::json(
            200,
            &json!({ "totalRecords": 1, "lastPollTime": "2026-10-26T12:00:00Z", "agentStates": [row(1, 1, 10)] }),
        ),
        _ => Response::new(axum::body::Body::empty()),
    })
    .await;
    let (platform, _) = platform_at(&server.url, |_| {});
    let (agent, reason) = (AgentId::new("1"), ReasonCode::new("BREAK"));
    // Before the agent's team is known, the code of the team is not known either.
    let unknown = platform.set_state(&agent, &AgentState::Paused, &reason).await.expect_err("no code");
    assert!(matches!(unknown.failure, Failure::Unsupported { .. }), "{unknown}");
    let mut reader = platform.reader(&agents(1));
    poll(&platform, &mut *reader).await.expect("the team");
    platform.set_state(&agent, &AgentState::Paused, &reason).await.expect("accepted");
    platform.set_state(&agent, &AgentState::Ready, &reason).await.expect("accepted");
    let none = platform.set_state(&agent, &AgentState::Idle, &reason).await.expect_err("no code");
    assert!(none.to_string().contains("Care"), "{none}");
    let posts: Vec<String> = server
        .received_requests()
        .into_iter()
        .filter(|seen| seen.path == "/incontactapi/services/v31.0/agents/1/state")
        .map(|seen| format!("{} {}", seen.method, seen.query))
        .collect();
    assert_eq!(posts, ["POST state=Unavailable&outStateId=12", "POST state=Available"]);
    assert_eq!(platform.capabilities().settable, [AgentState::Ready, AgentState::Paused]);
}

#[tokio::test]
async fn a_refusal_says_why_and_a_conflict_is_not_tried_again() {
    for (status, header, body, expected) in [
        (409, None, r#"{"error_description": "Invalid state"}"#, "Invalid state"),
        (409, Some("Invalid state for agent"), "", "Invalid state for agent"),
        (400, None, r#"{"error_description": "bad code"}"#, "bad code"),
        (400, Some("Invalid outStateId"), "", "Invalid outStateId"),
    ] {
        let server = start_server(move |_| {
            let response = Response::builder().status(status);
            let response =
                header.into_iter().fold(response, |response, text| response.header("icStatusDescription", text));
            response.body(body.to_owned().into()).expect("a response")
        })
        .await;
        let (platform, _) = platform_at(&server.url, |_| {});
        let reason = ReasonCode::new("WORKING");
        let error = platform.set_state(&AgentId::new("1"), &AgentState::Ready, &reason).await.expect_err("refused");
        assert!(matches!(error.failure, Failure::Rejected { status: found, .. } if found == status), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

/// An id token that names a tenant.
fn id_token() -> String {
    use base64::Engine as _;
    let part = |text: &str| base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.x", part("{}"), part(r#"{"tenantId":"11eb-1"}"#))
}

#[tokio::test]
async fn an_app_uses_its_key_then_its_refresh_token_and_discovery_names_the_origin() {
    let server = Server::start(Duration::ZERO, |seen: &ReceivedRequest| {
        let address = seen.header("host").to_owned();
        match (seen.path.as_str(), seen.body.as_str()) {
            ("/auth/token", "grant_type=password&username=key-1&password=s3cr3t%3D%3D") => {
                assert_eq!(seen.header("authorization"), "Basic YXBwJTJCMTpzJTNE");
                test_servers::json(
                    200,
                    &json!({ "access_token": "t1", "expires_in": 600, "refresh_token": "r1", "id_token": id_token() }),
                )
            }
            ("/auth/token", "grant_type=refresh_token&refresh_token=r1&client_id=app%2B1") => {
                test_servers::json(400, &json!({ "error": "invalid_grant" }))
            }
            ("/.well-known/cxone-configuration", _) => {
                assert_eq!((seen.query.as_str(), seen.header("authorization")), ("tenantId=11eb-1", ""));
                test_servers::json(200, &json!({ "api_endpoint": format!("http://{address}/acd") }))
            }
            _ => Response::new(axum::body::Body::empty()),
        }
    })
    .await;
    let (platform, clock) = platform_at(&server.url, |settings| {
        settings.token.kind = TokenKind::App { client_id: "app+1".to_owned(), client_secret: Some(Secret::new("s=")) };
        settings.token.api_url = None;
    });
    let (agent, reason) = (AgentId::new("1"), ReasonCode::new("WORKING"));
    for _ in 0..2 {
        platform.set_state(&agent, &AgentState::Ready, &reason).await.expect("accepted");
        clock.advance(Duration::from_secs(700));
    }
    let state = "/acd/incontactapi/services/v31.0/agents/1/state";
    let expected = ["/auth/token", "/.well-known/cxone-configuration", state, "/auth/token", "/auth/token", state];
    assert_eq!(server.paths(), expected, "the refused refresh falls back to the key, once");
}

#[tokio::test]
async fn a_refused_key_is_told_and_not_tried_at_once() {
    let server = Server::start(Duration::ZERO, |_: &ReceivedRequest| {
        test_servers::json(400, &json!({ "error": "invalid_grant", "error_description": "s3cr3t== is wrong" }))
    })
    .await;
    let (platform, _) = platform_at(&server.url, |_| {});
    let (agent, reason) = (AgentId::new("1"), ReasonCode::new("WORKING"));
    for _ in 0..3 {
        let error = platform.set_state(&agent, &AgentState::Ready, &reason).await.expect_err("no token");
        assert!(matches!(error.failure, Failure::TokenRefused { status: 400, .. }), "{error}");
        assert!(error.to_string().contains("invalid_grant") && !error.to_string().contains("s3cr3t"), "{error}");
    }
    assert_eq!(server.paths().len(), 1);
}
