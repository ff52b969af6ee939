//! What is read for people who set up a tenant: the token, the shape of states, the version that answers.

use serde_json::json;

use super::*;

#[tokio::test]
async fn the_token_is_described_and_refreshed_once() {
    let server = Server::start(Duration::ZERO, |seen: &ReceivedRequest| match seen.path.as_str() {
        "/authentication/v1/token/access-key" => test_servers::json(
            200,
            &json!({ "access_token": "t1", "expires_in": 3600, "refresh_token": "r1", "id_token": id_token() }),
        ),
        path => {
            assert_eq!((path, seen.body.as_str()), ("/public/user/refresh", r#"{"token":"r1"}"#));
            test_servers::json(200, &json!({ "token": "t2", "tokenExpirationTimeSec": 1800 }))
        }
    })
    .await;
    let (platform, _) = platform_at(&server.url, |_| {});
    let facts = platform.probe().token_facts().await.expect("a token");
    assert_eq!((facts.lifetime, facts.tenant.as_deref()), (Duration::from_secs(3600), Some("11eb-1")));
    assert!(facts.has_refresh_token && facts.api_url == server.url, "{facts:?}");
    assert_eq!(platform.probe().try_refresh().await, Some(Ok(Duration::from_secs(1800))));
    assert_eq!(platform.probe().try_refresh().await, None, "the refresh token is used up");
    assert_eq!(server.paths().len(), 2);
}

#[tokio::test]
async fn the_shape_of_states_is_told_with_each_agents_code() {
    let row = |agent: u32, time: &str| {
        json!({ "agentId": agent, "agentStateId": 2, "outStateId": 12, "outStateDescription": "Break",
                "teamName": "Care", "lastPollTime": time, "startDate": "2026-10-26T11:00:00Z" })
    };
    let server = start_server(move |seen| {
        let rows = [row(1, "2026-10-26T12:00:01Z"), row(2, "2026-10-26T12:00:02Z"), json!({"agentId": null})];
        match seen.query.as_str() {
            "top=2&skip=0" => {
                test_servers::json(200, &json!({ "resultSet": { "totalRecords": 3, "agentStates": rows } }))
            }
            query => {
                assert_eq!(query, "updatedSince=2026-10-26T12%3A00%3A02Z&top=2&skip=3");
                test_servers::json(200, &json!({ "lastPollTime": "2026-10-26T12:00:03Z", "agentStates": [] }))
            }
        }
    })
    .await;
    let (platform, _) = platform_at(&server.url, |_| {});
    let page = platform.probe().states_page(None, 0).await.expect("a page").value;
    assert_eq!((page.is_wrapped, page.poll_time, page.rows, page.total), (true, PollTimePlace::Rows, 3, Some(3)));
    let agent = &page.agents[1];
    assert_eq!((agent.id.as_str(), agent.state.as_ref()), ("2", Some(&AgentState::Paused)));
    assert_eq!((agent.code, agent.code_name.as_deref(), page.agents.len()), (Some(12), Some("Break"), 2));
    assert_eq!(platform.probe().code_for(&agent.id, &AgentState::Paused), Some(12), "the team is known from the row");
    let since = page.polled_at.as_deref();
    let page = platform.probe().states_page(since, 3).await.expect("a page").value;
    assert_eq!((page.is_wrapped, page.poll_time, page.total), (false, PollTimePlace::Top, None));
}

#[tokio::test]
async fn the_latest_version_that_answers_is_found_within_the_limit() {
    let server = start_server(|seen| match seen.path.as_str() {
        "/incontactapi/services/v30.0/skills/activity" => test_servers::json(200, &json!({ "skillActivity": [] })),
        "/incontactapi/services/v33.0/teams/7/unavailable-codes" => test_servers::json(403, &json!({})),
        _ => test_servers::json(404, &json!({})),
    })
    .await;
    let (platform, _) = platform_at(&server.url, |_| {});
    assert_eq!(platform.probe().find_version(PublishedList::Skills, 9).await, (Some("30.0"), 3));
    assert_eq!(platform.probe().find_version(PublishedList::Skills, 2).await, (None, 2));
    let codes = PublishedList::Codes("7");
    assert_eq!(platform.probe().find_version(codes, 9).await, (Some("33.0"), 2), "a right is missing, not the version");
    assert_eq!(platform.probe().find_version(PublishedList::Teams, 9).await, (None, 6));
}
