//! What may be different from the documents.

use std::collections::BTreeSet;

use super::*;

async fn answer(bench: &Bench, path: &str, token: &str) -> reqwest::Response {
    bench.get(&format!("{SERVICES}{path}"), token).send().await.expect("answered")
}

#[tokio::test]
async fn pages_can_be_smaller_than_asked_and_rows_can_move_between_them() {
    let bench = Bench::new(SimOptions { agents: 45, ..trapped(&[Trap::SmallPages, Trap::MovingRows]) }).await;
    let token = bench.key_access(0).await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        let (mut ids, mut received) = (BTreeSet::new(), 0);
        while received < 45 {
            let body = bench.list(&format!("/agents/states?top=1000&skip={received}"), &token).await;
            let page = rows(&body, "agentStates");
            assert!(page.len() <= 20 && body["totalRecords"] == 45, "{body}");
            received += page.len();
            ids.extend(page.iter().map(|row| row["agentId"].as_i64().expect("a number")));
        }
        seen.push(ids.len());
    }
    assert_eq!(seen, [44, 45], "one agent is missed by the first read, because another is there twice");
}

#[tokio::test]
async fn older_versions_wrap_and_spell_differently() {
    let bench = Bench::new(published_options()).await;
    let token = bench.key_access(0).await;
    for (traps, states, codes) in [
        (&[][..], "/agentStates/0/isACW", "/unavailableCodes/0/outstateId"),
        (&[Trap::ResultSet][..], "/resultSet/agentStates/0/isAcw", "/resultSet/unavailableCodes/0/outStateId"),
        (&[Trap::OtherCases][..], "/AgentStates/0/IsACW", "/UnavailableCodes/0/OutstateId"),
        (
            &[Trap::ResultSet, Trap::OtherCases][..],
            "/ResultSet/AgentStates/0/IsAcw",
            "/ResultSet/UnavailableCodes/0/OutStateId",
        ),
    ] {
        bench.simulator.set_traps(traps);
        let body = bench.list("/agents/states", &token).await;
        assert_eq!(body.pointer(states), Some(&json!(false)), "{traps:?}: {body}");
        let body = bench.list("/teams/1/unavailable-codes", &token).await;
        assert_eq!(body.pointer(codes), Some(&json!(11)), "{traps:?}: {body}");
    }
    bench.simulator.set_traps(&[Trap::ResultSet]);
    let all = bench.list("/unavailable-codes", &token).await;
    assert_eq!(all.pointer("/resultSet/unavailableCodes/1/OutStateName"), Some(&json!("Break")), "{all}");
    let path = format!("{}/_sim/traps", bench.base);
    let (_, set) = send(bench.http.put(&path).json(&json!(["numbers_as_text"]))).await;
    assert_eq!((&set, send(bench.http.get(&path)).await.1), (&json!({ "active": ["numbers_as_text"] }), set.clone()));
    let body = bench.list("/agents/states", &token).await;
    assert_eq!((&body["totalRecords"], &body["agentStates"][0]["agentId"]), (&json!("8"), &json!("10001")));
    assert_eq!(bench.http.put(&path).json(&json!(["sneeze"])).send().await.expect("answered").status(), 422);
}

#[tokio::test]
async fn errors_and_empty_lists_can_come_without_a_body() {
    let bench = Bench::new(trapped(&[Trap::StatusHeader, Trap::NoContent])).await;
    let token = bench.key_access(0).await;
    let refused = answer(&bench, "/agents/states?top=many", &token).await;
    let text = refused.headers()["icstatusdescription"].to_str().expect("text").to_owned();
    assert_eq!((refused.status().as_u16(), text.contains("top")), (400, true), "{text}");
    assert_eq!(refused.text().await.expect("a body"), "");
    for path in [
        "/agents/states?updatedSince=2026-10-28T15:00:00Z",
        "/agents?isActive=false",
        "/skills/activity?IsOutbound=true",
    ] {
        let empty = answer(&bench, path, &token).await;
        assert_eq!((empty.status().as_u16(), empty.headers().contains_key("content-type")), (204, true), "{path}");
        assert_eq!(empty.text().await.expect("a body"), "");
    }
    assert_eq!(answer(&bench, "/agents/states", &token).await.status(), 200);
}

#[tokio::test]
async fn a_busy_platform_answers_as_the_fault_says() {
    let bench = Bench::new(SimOptions { requests_per_minute: 20, ..trapped(&[Trap::NoRetryAfter]) }).await;
    let token = bench.key_access(0).await;
    for (fault, status, wait) in [
        ("status:on=snapshot,code=429,count=1", 429, None),
        ("status:on=snapshot,code=503,retry_after=7,count=1", 503, Some("7")),
        ("status:on=snapshot,code=529,count=1", 529, None),
        ("status:on=snapshot,code=429,retry_after=7,count=1", 429, None),
    ] {
        bench.simulator.add_fault(fault.parse().expect("a fault")).expect("sound");
        let busy = answer(&bench, "/agents/states", &token).await;
        let told = busy.headers().get("retry-after").map(|value| value.to_str().expect("text"));
        assert_eq!((busy.status().as_u16(), told), (status, wait), "{fault}");
        let body: Value = busy.json().await.expect("JSON");
        assert!(body["error"].is_string() && body["error_description"].is_string(), "{body}");
    }
    for on in ["roster", "codes", "history", "server_time", "schedule", "skill_data"] {
        let fault = format!("html:on={on},count=1");
        bench.simulator.add_fault(fault.parse().expect("a fault")).expect("sound");
    }
    for path in ["/agents", "/unavailable-codes", "/agents/state-history", "/server-time", "/skills/activity"] {
        let page = answer(&bench, path, &token).await;
        assert_eq!(page.status(), 200, "{path}");
        assert!(page.text().await.expect("text").starts_with("<!DOCTYPE"), "{path}");
    }
    let statuses: Vec<u16> = {
        let mut statuses = Vec::new();
        for _ in 0..12 {
            let busy = answer(&bench, "/server-time", &token).await;
            assert!(!busy.headers().contains_key("retry-after"));
            statuses.push(busy.status().as_u16());
        }
        statuses
    };
    assert_eq!((statuses[10], statuses[11]), (200, 429), "{statuses:?}");
    assert_eq!(bench.simulator.counts(&"acme".into()).throttled, 3);
}

#[tokio::test]
async fn the_instant_of_a_poll_can_be_elsewhere_missing_or_standing_still() {
    let bench = Bench::new(trapped(&[Trap::PollTimeInRows])).await;
    let token = bench.key_access(0).await;
    let body = bench.list("/agents/states", &token).await;
    assert!(body.get("lastPollTime").is_none() && body["agentStates"][7]["lastPollTime"].is_string(), "{body}");
    bench.simulator.set_traps(&[Trap::NoPollTime]);
    let body = bench.list("/agents/states", &token).await;
    assert!(!body.to_string().contains("lastPollTime"), "{body}");
    bench.simulator.set_traps(&[Trap::FrozenPollTime]);
    let mut told = BTreeSet::new();
    for _ in 0..3 {
        told.insert(
            bench.list("/agents/states", &token).await["lastPollTime"].as_str().expect("an instant").to_owned(),
        );
        bench.clock.advance(Duration::from_secs(10));
    }
    assert_eq!(told.len(), 1);
    bench.simulator.set_traps(&[]);
    assert_eq!(bench.list("/agents/states", &token).await["lastPollTime"], "2026-10-28T14:00:30.000Z");
}

#[tokio::test]
async fn links_can_lead_to_another_origin() {
    let bench = Bench::new(trapped(&[Trap::ForeignLinks])).await;
    let token = bench.key_access(0).await;
    let body = bench.list("/agents/states?top=3", &token).await;
    let next = body["_links"]["next"].as_str().expect("a link");
    assert!(next.starts_with("https://elsewhere.example/") && next.ends_with("top=3&skip=3"), "{next}");
}

#[tokio::test]
async fn the_timeout_of_a_code_logs_its_agents_out() {
    let bench = Bench::new(trapped(&[Trap::CodeTimeouts])).await;
    let token = bench.key_access(0).await;
    bench.change_code(json!({ "id": 12, "timeout_minutes": 30 }));
    for (agent, state) in [("10001", "paused"), ("10002", "unavailable"), ("10003", "available")] {
        bench.put(agent, state);
    }
    bench.clock.advance(Duration::from_secs(30 * 60 - 1));
    assert_eq!(bench.shown(&token, "10001").await, ("Unavailable".to_owned(), 12));
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!(bench.shown(&token, "10001").await, ("LoggedOut".to_owned(), 0));
    assert_eq!(bench.shown(&token, "10002").await, ("Unavailable".to_owned(), 11));
    let out = bench.simulator.log(0, 1000).changes.pop().expect("a change");
    assert_eq!((out.to, out.cause, out.request_seq), (SimState::LoggedOut, ChangeCause::Platform, None));
    bench.simulator.set_traps(&[]);
    bench.clock.advance(Duration::from_secs(3 * 3600));
    assert_eq!(bench.simulator.world_views()[0].agents[1].state, SimState::Unavailable, "it is a trap");
}

#[tokio::test]
async fn a_state_can_be_wanted_in_the_body_and_a_search_can_answer_with_one_object() {
    let bench = Bench::new(trapped(&[Trap::StateInBody, Trap::BareObject])).await;
    let token = bench.key_access(0).await;
    bench.put("10001", "available");
    assert_eq!(bench.request_state(&token, "10001", "state=Unavailable&outStateId=12").await, 400);
    let body = json!({ "state": "Unavailable", "outStateId": 12 });
    let (status, _) = send(bench.post(&format!("{SERVICES}/agents/10001/state"), &token, &body)).await;
    assert_eq!((status.as_u16(), bench.shown(&token, "10001").await.1), (200, 12));
    let search = async |ids: Value| {
        let body = json!({ "filter": { "skillIds": ids } });
        send(bench.post(&format!("{SERVICES}/skills/activity/search"), &token, &body)).await.1
    };
    assert_eq!(search(json!([1001])).await["skillId"], 1001);
    assert_eq!(rows(&search(json!([1001, 1002])).await, "skillActivity").len(), 2);
}

#[tokio::test]
async fn rows_can_be_garbled_missing_or_repeated_here_too() {
    let bench = Bench::new(published_options()).await;
    let token = bench.key_access(0).await;
    let good = bench.list("/agents/states", &token).await;
    for (fault, count) in [("missing_rows", 4), ("repeat", 16), ("nonsense", 9), ("wrong_types", 8)] {
        bench.simulator.add_fault(format!("{fault}:on=snapshot,count=1").parse().expect("a fault")).expect("sound");
        let bad = bench.list("/agents/states", &token).await;
        assert_eq!(rows(&bad, "agentStates").len(), count, "{fault}");
        assert_ne!(bad["agentStates"], good["agentStates"], "{fault}");
    }
    bench.simulator.add_fault("wrong_types:on=skill_data,count=1".parse().expect("a fault")).expect("sound");
    let bad = bench.list("/skills/activity", &token).await;
    assert_eq!(bad["skillActivity"][0]["queueCount"], "several");
}
