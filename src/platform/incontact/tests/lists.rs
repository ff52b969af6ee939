//! Teams, codes, agents, skills and logging out.

use super::*;

const SERVICES: &str = "/incontactapi/services/v31.0";

fn empty_response() -> Response {
    Response::builder().status(204).body(axum::body::Body::empty()).expect("a response")
}

#[tokio::test]
async fn teams_codes_and_agents_are_listed_in_the_spellings_of_every_version() {
    let server = start_server(|seen| match (seen.path.strip_prefix(SERVICES), seen.query.as_str()) {
        (Some("/teams"), "top=2&skip=0") => test_servers::json(
            200,
            &json!({ "totalRecords": "3", "teams": [
                { "teamId": 5, "teamName": "Care", "isActive": true }, { "teamId": "6", "teamName": "Old", "isActive": "False" }] }),
        ),
        (Some("/teams"), "top=2&skip=2") => {
            test_servers::json(200, &json!({ "resultSet": { "totalRecords": 3, "teams": [{ "TeamId": 7, "TeamName": "Sales" }] } }))
        }
        (Some("/teams/5/unavailable-codes"), _) => test_servers::json(
            200,
            &json!({ "teamId": 5, "unavailableCodes": [
                { "outstateId": 12, "outstateName": "Break", "isActive": true, "isAcw": false, "agentTimeoutMins": "30" },
                { "OutStateId": "14", "OutStateName": "Old break", "IsActive": "false", "IsAcw": false },
                { "outstateName": "without a number" }, "no object"] }),
        ),
        (Some("/agents"), "updateSince=t0&top=2&skip=0") => empty_response(),
        (Some("/agents"), _) => test_servers::json(
            200,
            &json!({ "totalRecords": 1, "hiddenAgents": 4, "lastPollTime": "t0", "agents": [
                { "agentId": 1, "userID": "ab-1", "userName": "ann@x", "firstName": "Ann", "lastName": "Lee", "teamName": "Care",
                  "timeZone": "Europe/Berlin", "isActive": true },
                { "agentId": 2, "timeZone": "(GMT+01:00) Paris", "isActive": false }] }),
        ),
        other => panic!("{other:?}"),
    })
    .await;
    let (platform, _) = platform_at(&server.url, |_| {});
    let first = platform.teams(0).await.expect("a page").value;
    let rest = platform.teams(first.next(0).expect("more")).await.expect("a page").value;
    assert_eq!((first.next(0), rest.next(2)), (Some(2), None));
    let names: Vec<_> =
        first.rows.iter().chain(&rest.rows).map(|team| (team.name.to_string(), team.is_active)).collect();
    assert_eq!(names, [("Care".to_owned(), true), ("Old".to_owned(), false), ("Sales".to_owned(), true)]);
    let codes = platform.unavailable_codes(&first.rows[0]).await.expect("codes").value;
    let found: Vec<_> = codes.iter().map(|code| (code.code, &*code.name, code.is_active, code.timeout)).collect();
    assert_eq!(found, [(12, "Break", true, Some(Duration::from_secs(1800))), (14, "Old break", false, None)]);
    let listed = platform.listed_agents(None, 0).await.expect("agents").value;
    assert_eq!((listed.hidden, listed.polled_at.as_deref(), listed.received), (4, Some("t0"), 2));
    let expected = ListedAgent {
        id: AgentId::new("1"),
        user_id: Some("ab-1".into()),
        user_name: Some("ann@x".into()),
        name: Some("Ann Lee".into()),
        team: Some(TeamName::new("Care")),
        zone: Some("Europe/Berlin".into()),
        is_active: true,
    };
    assert_eq!(listed.rows[0], expected);
    assert_eq!((&listed.rows[1].zone, listed.rows[1].is_active), (&None, false), "a zone of another kind");
    let unchanged = platform.listed_agents(Some("t0"), 0).await.expect("agents").value;
    assert_eq!((unchanged.rows.len(), unchanged.next(0)), (0, None));
}

#[tokio::test]
async fn an_endpoint_can_have_a_version_of_its_own() {
    let server = start_server(|seen| match seen.path.as_str() {
        "/incontactapi/services/v23.0/teams/5/unavailable-codes" => {
            test_servers::json(200, &json!({ "unavailableCodes": [] }))
        }
        "/incontactapi/services/v31.0/teams" => {
            test_servers::json(200, &json!({ "teams": [{ "teamId": 5, "teamName": "Care" }] }))
        }
        other => panic!("{other}"),
    })
    .await;
    let versions = BTreeMap::from([(Endpoint::Codes, "23.0".to_owned())]);
    let (platform, _) =
        platform_at(&server.url, |settings| settings.versions = Versions::new("31.0".to_owned(), versions));
    let teams = platform.teams(0).await.expect("teams").value;
    assert_eq!(platform.unavailable_codes(&teams.rows[0]).await.expect("codes").value, []);
}

#[tokio::test]
async fn a_code_that_the_team_does_not_have_or_has_switched_off_is_refused_without_a_call() {
    let codes = Arc::new(std::sync::Mutex::new(json!([])));
    let served = codes.clone();
    let server = start_server(move |seen| match seen.path.strip_prefix(SERVICES) {
        Some("/teams/5/unavailable-codes") => {
            test_servers::json(200, &json!({ "unavailableCodes": *served.lock().expect("a lock") }))
        }
        Some("/agents/states") => test_servers::json(
            200,
            &json!({ "totalRecords": 1, "lastPollTime": "2026-10-26T12:00:00Z", "agentStates": [row(1, 1, 10)] }),
        ),
        Some("/agents/1/state") => test_servers::json(400, &json!({ "error_description": "no such code" })),
        other => panic!("{other:?}"),
    })
    .await;
    let (platform, _) = platform_at(&server.url, |_| {});
    let mut reader = platform.reader(&agents(1));
    poll(&platform, &mut *reader).await.expect("the team");
    let team = ListedTeam { id: "5".to_owned(), name: TeamName::new("Care"), is_active: true };
    let (agent, reason) = (AgentId::new("1"), ReasonCode::new("BREAK"));
    let code =
        |is_active: bool, is_acw: bool| json!([{ "id": 12, "name": "Break", "isActive": is_active, "isACW": is_acw }]);
    for (list, expected) in [
        (json!([]), Some("the team does not have it")),
        (code(false, false), Some("\"Break\" is not active")),
        (code(true, true), Some("\"Break\" is for after-contact work")),
        (code(true, false), None),
    ] {
        *codes.lock().expect("a lock") = list;
        platform.unavailable_codes(&team).await.expect("codes");
        let checked = platform.check_settable(&agent, &AgentState::Paused, &reason);
        let text = checked.as_ref().err().map(ToString::to_string);
        assert_eq!(text.is_none(), expected.is_none(), "{text:?}");
        if let (Some(text), Some(expected)) = (text, expected) {
            assert_eq!(platform.code_faults(), [format!("Care: Paused = 12, but {expected}")]);
            assert!(text.contains(expected) && text.contains("12") && text.contains("Care"), "{text}");
            let refused = platform.set_state(&agent, &AgentState::Paused, &reason).await.expect_err("refused");
            assert!(matches!(refused.failure, Failure::Unsupported { .. }), "{refused}");
        }
    }
    assert_eq!(platform.code_faults(), Vec::<String>::new());
    assert!(!platform.is_directory_outdated());
    let refused = platform.set_state(&agent, &AgentState::Paused, &reason).await.expect_err("refused");
    assert!(matches!(refused.failure, Failure::Rejected { status: 400, .. }), "{refused}");
    assert!(platform.is_directory_outdated(), "the code has changed since the list was read");
    assert_eq!(server.paths().iter().filter(|path| path.ends_with("/agents/1/state")).count(), 1);
    platform.unavailable_codes(&team).await.expect("codes");
    assert!(!platform.is_directory_outdated());
}

#[tokio::test]
async fn skills_are_the_queues_and_their_waits_are_by_the_servers_clock() {
    let server = start_server(|seen| {
        assert_eq!(seen.path, format!("{SERVICES}/skills/activity"));
        test_servers::json(
            200,
            &json!({ "lastPollTime": "t", "skillActivity": [
                { "skillId": 11, "skillName": "Billing", "isActive": true, "queueCount": "3", "contactsActive": 2,
                  "earliestQueueTime": "2026-10-26T11:59:18.400Z", "serverTime": "2026-10-26T12:00:00.000Z", "serviceLevel": 82.5,
                  "agentsAvailable": 1, "agentsLoggedIn": 9, "agentsWorking": 4, "agentsACW": 2 },
                { "skillId": 12, "isActive": false, "queueCount": 0, "agentsAvailable": -1 }, { "skillName": "nameless" }] }),
        )
    })
    .await;
    let (platform, _) = platform_at(&server.url, |_| {});
    let skills = [SkillId::new("11"), SkillId::new("12"), SkillId::new("13")];
    let read = platform.skill_figures(&skills).await.expect("figures").value;
    let expected = SkillFigures {
        name: Some("Billing".into()),
        contacts_queued: Some(3),
        contacts_active: Some(2),
        longest_queue_duration_s: Some(41),
        service_level_ppm: Some(825_000),
        agents_available: Some(1),
        agents_staffed: Some(9),
        agents_on_contact: Some(4),
        agents_in_acw: Some(2),
        ..SkillFigures::unknown(skills[0].clone())
    };
    assert_eq!(read.figures[0], expected);
    assert_eq!((read.figures.len(), read.figures[1].longest_queue_duration_s), (2, Some(0)), "one was not reported");
    assert_eq!(read.diagnostics.len(), 2, "{:?}", read.diagnostics);
    let queues = platform.queue_figures(&[QueueId::new("11")]).await.expect("figures").value;
    assert_eq!((queues.figures[0].agents_busy, queues.figures[0].average_wait_time_ms), (Some(6), None));
    let listed = platform.queues().await.expect("a list").value;
    assert_eq!(listed.iter().map(|queue| queue.id.as_str()).collect::<Vec<_>>(), ["11"], "the other is not in use");
}

#[tokio::test]
async fn an_agent_is_logged_out_only_if_the_configuration_allows_it() {
    for is_allowed in [false, true] {
        let server =
            start_server(|_| Response::builder().status(202).body(axum::body::Body::empty()).expect("a response"))
                .await;
        let (platform, _) = platform_at(&server.url, |settings| settings.can_log_out = is_allowed);
        let (agent, reason) = (AgentId::new("1"), ReasonCode::new("GENERAL"));
        let done = platform.set_state(&agent, &AgentState::LoggedOut, &reason).await;
        assert_eq!((done.is_ok(), platform.capabilities().can_log_out), (is_allowed, is_allowed));
        assert_eq!(platform.check_settable(&agent, &AgentState::LoggedOut, &reason).is_ok(), is_allowed);
        let posts = server.paths().into_iter().filter(|path| *path == format!("{SERVICES}/agents/1/logout")).count();
        assert_eq!(posts, usize::from(is_allowed));
    }
}

#[tokio::test]
async fn what_is_no_list_is_named_with_its_call() {
    for (status, body) in [(200, "<html>moved</html>"), (200, "[]"), (200, r#"{"totalRecords": 3}"#)] {
        let server =
            start_server(move |_| Response::builder().status(status).body(body.to_owned().into()).expect("a response"))
                .await;
        let (platform, _) = platform_at(&server.url, |_| {});
        let error = platform.teams(0).await.expect_err("no list");
        assert!(
            error.to_string().contains("list the teams") && error.to_string().contains("a list of teams"),
            "{error}"
        );
    }
}
