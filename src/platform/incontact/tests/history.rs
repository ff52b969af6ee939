//! The history of states.

use super::*;
use crate::domain::agents::past_states::PastState;

fn span() -> (UtcMicros, UtcMicros) {
    (start() - Duration::from_secs(3600), start())
}

fn at(minute: u32) -> UtcMicros {
    format!("2026-10-26T11:{minute:02}:00Z").parse().expect("valid")
}

fn past(agent: &str, index: i64, minute: u32, state: AgentState) -> PastState {
    PastState {
        agent: AgentId::new(agent),
        index: Some((7, index)),
        entered_at: Some(at(minute)),
        state: Some(state),
        reason: None,
    }
}

fn history_row(agent: u32, index: u32, minute: u32, state: u32, code: i64) -> Value {
    json!({ "stateIndex": index, "startDate": format!("2026-10-26T11:{minute:02}:00.000Z"), "agentId": agent, "agentStateId": state,
            "agentSessionId": 7, "outStateId": code, "duration": "60.5", "teamId": 5 })
}

async fn platform_with_codes(server: &Server) -> IncontactPlatform {
    let (platform, _) = platform_at(&server.url, |_| {});
    let team = ListedTeam { id: "5".to_owned(), name: TeamName::new("Care"), is_active: true };
    platform.unavailable_codes(&team).await.expect("codes");
    platform
}

fn codes() -> Response {
    let code = |id: u32, is_acw: bool| json!({ "id": id, "name": "A code", "isActive": true, "isAcw": is_acw });
    test_servers::json(200, &json!({ "unavailableCodes": [code(11, false), code(12, false), code(19, true)] }))
}

#[tokio::test]
async fn all_pages_of_the_history_are_read_in_the_spellings_of_every_version() {
    let server = start_server(|seen| match seen.path.as_str() {
        "/incontactapi/services/v31.0/teams/5/unavailable-codes" => codes(),
        "/incontactapi/services/v31.0/agents/state-history" => {
            let prefix = "startDate=2026-10-26T11%3A00%3A00Z&endDate=2026-10-26T12%3A00%3A00Z&top=2&skip=";
            let skip = seen.query.strip_prefix(prefix).and_then(|rest| rest.strip_suffix("&orderBy=startDate"));
            let page = match skip {
                Some("0") => json!({ "totalRecords": 4, "agentStateHistory": [
                    history_row(1, 1, 10, 1, 0), history_row(1, 2, 20, 2, 19)] }),
                Some("2") => json!({ "resultSet": { "TotalRecords": "4", "AgentStateHistory": [
                    { "StateIndex": "1", "StartDate": "2026-10-26T11:30:00", "AgentId": "2", "AgentStateId": "2", "AgentSessionId": "7",
                      "OutStateId": "12", "TeamId": "5" },
                    { "stateindex": 2, "startdate": "2026-10-26T12:40:00+01:00", "agentid": 2, "agentstatename": "InboundContact",
                      "agentsessionid": 7, "contactId": 99, "skillId": 3 }] } }),
                other => panic!("{other:?} of {}", seen.query),
            };
            test_servers::json(200, &page)
        }
        other => panic!("{other}"),
    })
    .await;
    let platform = platform_with_codes(&server).await;
    assert!(platform.capabilities().has_state_history);
    let all = crate::platform::read_pages(|skip| {
        let call = platform.past_states(span(), skip);
        async { call.await.map(|answer| answer.value) }
    });
    let rows = all.await.expect("a history").rows;
    let expected = [
        past("1", 1, 10, AgentState::Ready),
        past("1", 2, 20, AgentState::AfterContactWork),
        past("2", 1, 30, AgentState::Paused),
        past("2", 2, 40, AgentState::OnContact),
    ];
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn only_the_codes_of_the_team_say_what_an_unavailable_agent_did() {
    let rows = [(2, 12), (2, 11), (2, 0), (2, -3), (2, 77), (0, 0)];
    let server = start_server(move |seen| {
        if seen.path.ends_with("/unavailable-codes") {
            return codes();
        }
        let rows: Vec<Value> =
            (1..).zip(rows).map(|(index, (state, code))| history_row(1, index, index, state, code)).collect();
        test_servers::json(200, &json!({ "totalRecords": 6, "agentStateHistory": rows }))
    })
    .await;
    let states = async |platform: &IncontactPlatform| {
        let page = platform.past_states(span(), 0).await.expect("a page").value;
        page.rows.into_iter().map(|row| row.state).collect::<Vec<_>>()
    };
    let (not_ready, gone) = (Some(AgentState::NotReady), Some(AgentState::LoggedOut));
    let platform = platform_with_codes(&server).await;
    let known = states(&platform).await;
    let expected =
        [Some(AgentState::Paused), not_ready.clone(), not_ready.clone(), not_ready.clone(), None, gone.clone()];
    assert_eq!(known, expected, "the team has no code 77");
    // Before the codes are known, a code may be one of after-contact work.
    let (platform, _) = platform_at(&server.url, |_| {});
    assert_eq!(states(&platform).await, [None, None, not_ready.clone(), not_ready, None, gone]);
}

#[tokio::test]
async fn a_row_that_cannot_be_read_costs_only_itself_and_nothing_is_an_empty_history() {
    for (status, body, expected) in [
        (204, String::new(), 0),
        (200, json!({ "totalRecords": 0, "agentStateHistory": [] }).to_string(), 0),
        (
            200,
            json!({ "agentStateHistory": [history_row(1, 1, 10, 1, 0), 7, {}, { "agentStateId": 1 }] }).to_string(),
            1,
        ),
    ] {
        let server =
            start_server(move |_| Response::builder().status(status).body(body.clone().into()).expect("a response"))
                .await;
        let (platform, _) = platform_at(&server.url, |_| {});
        let page = platform.past_states(span(), 0).await.expect("a page").value;
        assert_eq!(page.rows.len(), expected, "{status}");
    }
    let server = start_server(|_| {
        let without = |field: &str| {
            let mut row = history_row(1, 1, 10, 1, 0);
            row.as_object_mut().expect("an object").remove(field);
            row
        };
        let mut no_instant = history_row(1, 1, 10, 1, 0);
        no_instant["startDate"] = json!("yesterday");
        let rows = [without("startDate"), without("agentStateId"), no_instant, without("stateIndex")];
        test_servers::json(200, &json!({ "agentStateHistory": rows }))
    })
    .await;
    let (platform, _) = platform_at(&server.url, |_| {});
    let page = platform.past_states(span(), 0).await.expect("a page").value;
    let found: Vec<_> =
        page.rows.iter().map(|row| (row.index, row.entered_at.is_some(), row.state.is_some())).collect();
    let number = Some((7, 1));
    let expected = [(number, false, true), (number, true, false), (number, false, true), (None, true, true)];
    assert_eq!(found, expected);
    let server = start_server(|_| test_servers::json(503, &json!({ "error": "busy" }))).await;
    let (platform, _) = platform_at(&server.url, |_| {});
    let error = platform.past_states(span(), 0).await.expect_err("busy");
    assert!(error.to_string().contains("read the state history"), "{error}");
}
