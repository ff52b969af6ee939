//! What the published services do differently from what a client would expect.

use super::*;
use crate::platform::error::Effect;
use crate::platform::test_servers::RawServer;

/// An answer without rows, with or without a body.
fn unchanged(status: u16) -> Response {
    let body = json!({ "totalRecords": 0, "lastPollTime": "2026-10-26T12:00:10Z", "agentStates": [] }).to_string();
    let body = if status == 204 { String::new() } else { body };
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.header("date", "Mon, 26 Oct 2026 12:00:11 GMT").body(body.into()).expect("a response")
}

#[tokio::test]
async fn an_empty_delta_is_a_sign_of_life_and_a_failed_one_is_none() {
    for (status, expected) in [(200, "2026-10-26T12:00:10Z"), (204, "2026-10-26T12:00:11Z"), (503, "")] {
        let server = start_server(move |seen| {
            if seen.query.contains("updatedSince") {
                return unchanged(status);
            }
            let states =
                json!({ "totalRecords": 1, "lastPollTime": "2026-10-26T12:00:00Z", "agentStates": [row(1, 1, 10)] });
            test_servers::json(200, &states)
        })
        .await;
        let (platform, _) = platform_at(&server.url, |_| {});
        let mut reader = platform.reader(&agents(1));
        poll(&platform, &mut *reader).await.expect("a full read");
        let generated_at = poll(&platform, &mut *reader).await.map(|delta| {
            assert_eq!((delta.changed.len(), delta.absent.len(), delta.missing.len()), (0, 0, 0), "{status}");
            delta.generated_at.to_string()
        });
        assert_eq!(generated_at.ok().unwrap_or_default(), expected, "{status}");
    }
}

#[tokio::test]
async fn an_answer_without_content_may_declare_a_body() {
    let empty = b"HTTP/1.1 204 No Content\r\ncontent-type: application/json\r\ncontent-length: 57\r\n\r\n";
    let services = RawServer::start(Some(empty)).await;
    let tokens = start_server(|seen| panic!("{}", seen.path)).await;
    let (platform, _) = platform_at(&tokens.url, |settings| settings.token.api_url = Some(services.url.clone()));
    let listed = platform.listed_agents(Some("t0"), 0).await.expect("no agents").value;
    assert_eq!((listed.rows.len(), listed.next(0)), (0, None));
    let reason = ReasonCode::new("WORKING");
    platform.set_state(&AgentId::new("1"), &AgentState::Ready, &reason).await.expect("accepted");
}

#[tokio::test]
async fn a_page_in_place_of_an_acceptance_leaves_the_effect_in_doubt() {
    for (kind, body) in [
        ("text/html; charset=utf-8", "Please sign in"),
        ("text/plain", " <!doctype html><p>Please sign in"),
        ("application/json", r#"{"state": "Avail"#),
    ] {
        let server = start_server(move |_| {
            Response::builder().header("content-type", kind).body(body.to_owned().into()).expect("a response")
        })
        .await;
        let (platform, _) = platform_at(&server.url, |settings| settings.can_log_out = true);
        for state in [AgentState::Ready, AgentState::LoggedOut] {
            let reason = ReasonCode::new("WORKING");
            let error = platform.set_state(&AgentId::new("1"), &state, &reason).await.expect_err("no acceptance");
            assert!(matches!(error.failure, Failure::Malformed { status: 200, .. }), "{body}: {error}");
            assert_eq!(error.effect(), Effect::Unknown);
        }
    }
}

#[tokio::test]
async fn a_busy_platform_is_known_by_429_503_and_529_and_says_how_long_to_wait_or_not() {
    let wait = Some(Duration::from_secs(7));
    for (status, told, expected) in [
        (429, None, Failure::Throttled { retry_after: None }),
        (429, Some("7"), Failure::Throttled { retry_after: wait }),
        (503, Some("7"), Failure::Server { status: 503, retry_after: wait }),
        (503, None, Failure::Server { status: 503, retry_after: None }),
        (509, None, Failure::Server { status: 509, retry_after: None }),
        (529, None, Failure::Server { status: 529, retry_after: None }),
    ] {
        let server = start_server(move |_| {
            let response = told.into_iter().fold(Response::builder(), |made, wait| made.header("retry-after", wait));
            response.status(status).body(axum::body::Body::empty()).expect("a response")
        })
        .await;
        let (platform, _) = platform_at(&server.url, |_| {});
        let mut reader = platform.reader(&agents(1));
        let error = poll(&platform, &mut *reader).await.expect_err("busy");
        assert_eq!(error.failure, expected);
        assert!(error.is_retryable_read());
        let reason = ReasonCode::new("WORKING");
        let error = platform.set_state(&AgentId::new("1"), &AgentState::Ready, &reason).await.expect_err("busy");
        let effect = if status == 429 { Effect::NotApplied } else { Effect::Unknown };
        assert_eq!((&error.failure, error.effect()), (&expected, effect));
    }
}

#[tokio::test]
async fn three_refused_tokens_in_a_row_open_the_circuit() {
    let server = start_server(|_| test_servers::json(401, &json!({ "error": "invalid_token" }))).await;
    let (platform, clock) = platform_at(&server.url, |_| {});
    let mut reader = platform.reader(&agents(1));
    for _ in 0..3 {
        let error = poll(&platform, &mut *reader).await.expect_err("refused");
        assert_eq!(error.failure, Failure::Unauthorized);
    }
    let calls = server.paths().len();
    assert_eq!(calls, 6, "a token for each");
    for seconds in [0, 29] {
        clock.advance(Duration::from_secs(seconds));
        let error = poll(&platform, &mut *reader).await.expect_err("the circuit is open");
        assert!(matches!(error.failure, Failure::CircuitOpen { .. }), "{error}");
    }
    assert_eq!(server.paths().len(), calls, "nothing was sent meanwhile");
}

#[tokio::test]
async fn the_same_number_at_two_tenants_is_two_agents_and_two_codes() {
    let tenant = async |tenant: &'static str, paused: i64| {
        let server = start_server(move |seen| {
            let states = json!({ "totalRecords": 1, "lastPollTime": "2026-10-26T12:00:00Z", "agentStates": [
                { "agentId": 1, "agentStateId": 2, "outStateId": 12, "outStateDescription": tenant, "teamName": "Care" }] });
            let codes = json!({ "unavailableCodes": [{ "outstateId": 12, "isActive": true },
                                                     { "outstateId": paused, "isActive": true }] });
            match seen.path.rsplit('/').next() {
                Some("states") => test_servers::json(200, &states),
                Some("unavailable-codes") => test_servers::json(200, &codes),
                _ => Response::new(axum::body::Body::empty()),
            }
        })
        .await;
        let (platform, _) = platform_at(&server.url, |settings| {
            settings.codes =
                CodeMap(vec![CodeRule { state: AgentState::Paused, team: None, reason: None, code: paused }]);
        });
        (server, platform)
    };
    // A break at one tenant, training at the other.
    let tenants = [tenant("Break", 12).await, tenant("Training", 15).await];
    let team = ListedTeam { id: "5".to_owned(), name: TeamName::new("Care"), is_active: true };
    let mut shown = Vec::new();
    for (_, platform) in &tenants {
        let mut reader = platform.reader(&agents(1));
        let full = poll(platform, &mut *reader).await.expect("a full read");
        let observed = &full.changed[0];
        shown.push((observed.state.clone(), observed.reason.as_ref().map(ToString::to_string)));
        platform.unavailable_codes(&team).await.expect("codes");
    }
    let of = |state, reason: &str| (state, Some(reason.to_owned()));
    assert_eq!(shown, [of(AgentState::Paused, "Break"), of(AgentState::NotReady, "Training")]);
    for ((server, platform), code) in tenants.iter().zip(["12", "15"]) {
        let reason = ReasonCode::new("BREAK");
        platform.set_state(&AgentId::new("1"), &AgentState::Paused, &reason).await.expect("accepted");
        let sent = server.received_requests().pop().expect("a request");
        assert_eq!(sent.query, format!("state=Unavailable&outStateId={code}"));
    }
}
