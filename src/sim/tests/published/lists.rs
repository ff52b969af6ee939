//! Agents, teams, codes, skills, history and schedules.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

#[tokio::test]
async fn a_list_is_read_page_by_page_along_its_links() {
    let bench = Bench::new(SimOptions { agents: 120, ..published_options() }).await;
    let token = bench.key_access(0).await;
    let mut url = format!("{}{SERVICES}/agents?isActive=true", bench.base);
    let (mut ids, mut pages) = (BTreeSet::new(), 0);
    loop {
        let (status, body) = send(bench.http.get(&url).bearer_auth(&token)).await;
        assert_eq!((status.as_u16(), &body["totalRecords"]), (200, &json!(120)));
        ids.extend(rows(&body, "agents").iter().map(|row| row["userID"].as_str().expect("an id").to_owned()));
        pages += 1;
        match body["_links"]["next"].as_str() {
            Some(next) => url = next.to_owned(),
            None => break,
        }
    }
    assert_eq!((ids.len(), pages), (120, 3));
    assert!(ids.iter().all(|id| id.len() == 36 && id.matches('-').count() == 4), "{ids:?}");
    let (status, _) = bench.read("/agents?top=many", &token).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn the_roster_says_who_is_active_who_is_hidden_and_who_changed() {
    let bench = Bench::new(published_options()).await;
    let token = bench.key_access(0).await;
    bench.clock.advance(Duration::from_secs(60));
    bench.direct(json!({ "agent": "10002", "active": false }));
    bench.direct(json!({ "agent": "10003", "hidden": true }));
    for (query, count) in [
        ("", 7),
        ("?isActive=true", 6),
        ("?isActive=false", 1),
        ("?updateSince=2026-10-28T14:00:30Z", 1),
        ("?updatedSince=2026-10-28T14:00:30Z", 7),
    ] {
        let body = bench.list(&format!("/agents{query}"), &token).await;
        assert_eq!((rows(&body, "agents").len(), &body["hiddenAgents"]), (count, &json!(1)), "{query}");
    }
    let states = bench.list("/agents/states", &token).await;
    assert_eq!(rows(&states, "agentStates").len(), 7, "the hidden one has no state either");
    assert_eq!(bench.read("/agents/10003/states", &token).await.0, 403);
}

#[tokio::test]
async fn teams_have_their_agents_and_their_codes() {
    let bench = Bench::new(SimOptions { agents: 30, ..published_options() }).await;
    let token = bench.key_access(0).await;
    let teams = bench.list("/teams", &token).await;
    let counts: BTreeMap<u64, u64> = rows(&teams, "teams")
        .iter()
        .map(|row| (row["teamId"].as_u64().expect("a number"), row["agentCount"].as_u64().expect("a number")))
        .collect();
    assert_eq!((counts.len(), counts.values().sum::<u64>(), counts[&1]), (12, 30, 3));
    assert!(rows(&bench.list("/teams?updateSince=2026-10-28T14:00:30Z", &token).await, "teams").is_empty());
    let agents = bench.list("/teams/1/agents", &token).await;
    assert!(rows(&agents, "agents").iter().all(|row| row["teamId"] == 1) && rows(&agents, "agents").len() == 3);
    assert_eq!(bench.read("/teams/99/agents", &token).await.0, 404);

    let codes = bench.list("/teams/2/unavailable-codes", &token).await;
    assert_eq!((&codes["teamId"], &codes["teamName"]), (&json!(2), &json!("Team B")));
    let first = &codes["unavailableCodes"][0];
    assert_eq!(
        first,
        &json!({ "outstateId": 11, "outstateName": "Meeting", "isActive": true, "isAcw": false, "agentTimeoutMins": "120" })
    );
    let active = bench.list("/teams/2/unavailable-codes?activeOnly=true", &token).await;
    assert_eq!((rows(&codes, "unavailableCodes").len(), rows(&active, "unavailableCodes").len()), (5, 4));
    let (status, refused) = bench.read("/teams/99/unavailable-codes", &token).await;
    assert!(status == 404 && refused["errorMessage"].is_string(), "{refused}");
    let all = bench.list("/unavailable-codes?isActive=false", &token).await;
    assert_eq!(
        all["unavailableCodes"],
        json!([{ "id": 14, "name": "Old break", "isActive": false, "isACW": false, "agentTimeout": 120 }])
    );
}

#[tokio::test]
async fn codes_change_while_the_simulator_runs() {
    let bench = Bench::new(SimOptions { tenants: 2, ..trapped(&[Trap::TeamCodes]) }).await;
    let (acme, bravo) = (bench.key_access(0).await, bench.key_access(1).await);
    let common: Vec<i64> = bench.tenants[0].codes.iter().map(|code| code.id).collect();
    assert_eq!(common, [11], "only this code means the same in all teams");
    let name = async |token: &str, team: u32, code: u64| {
        let body = bench.list(&format!("/teams/{team}/unavailable-codes"), token).await;
        let found = rows(&body, "unavailableCodes").iter().find(|row| row["outstateId"] == code).cloned();
        found.map(|row| row["outstateName"].as_str().expect("a name").to_owned())
    };
    assert_eq!((name(&acme, 1, 12).await, name(&acme, 2, 12).await), (Some("Break".into()), Some("Training".into())));
    assert_eq!((name(&acme, 1, 13).await, name(&acme, 2, 13).await), (Some("Away".into()), None));
    // 10001 is in team 1, 10002 in team 2: what is valid in one is not in the other.
    for agent in ["10001", "10002"] {
        bench.put(agent, "available");
    }
    for (agent, code, status) in [("10001", 13, 200), ("10002", 13, 400), ("10001", 112, 400), ("10002", 112, 200)] {
        let query = format!("state=Unavailable&outStateId={code}");
        assert_eq!(bench.request_state(&acme, agent, &query).await.as_u16(), status, "{agent} {code}");
    }
    // Over HTTP, for one tenant and then for one team.
    let scripts = json!([
        { "tenant": "bravo", "id": 12, "name": "Coffee" },
        { "tenant": "acme", "team": "Team A", "id": 12, "active": false },
    ]);
    let (status, _) = send(bench.http.post(format!("{}/_sim/codes", bench.base)).json(&scripts)).await;
    assert_eq!(status, 200);
    assert_eq!((name(&acme, 1, 12).await, name(&bravo, 1, 12).await), (Some("Break".into()), Some("Coffee".into())));
    assert_eq!(bench.request_state(&acme, "10001", "state=Unavailable&outStateId=12").await, 400);
    let listed = send(bench.http.get(format!("{}/_sim/codes?tenant=acme", bench.base))).await.1;
    assert_eq!(rows(&listed, "teams")[0]["codes"][1]["active"], json!(false), "{listed}");
    let unknown = json!({ "team": "Team Z", "id": 12 });
    assert_eq!(send(bench.http.post(format!("{}/_sim/codes", bench.base)).json(&unknown)).await.0, 400);
}

#[tokio::test]
async fn skills_have_the_figures_of_their_queues() {
    let bench = Bench::new(SimOptions { agents: 60, autonomous_agents: true, ..published_options() }).await;
    let token = bench.key_access(0).await;
    let mut waited = 0;
    for _ in 0..30 {
        bench.clock.advance(Duration::from_secs(60));
        let body = bench.list("/skills/activity", &token).await;
        let states = bench.list("/agents/states?top=1000", &token).await;
        let count = |row: &Value, name: &str| row[name].as_u64().unwrap_or_else(|| panic!("{name}: {row}"));
        let working = rows(&states, "agentStates").iter().filter(|row| row["agentStateId"] == 3).count();
        let total: u64 = rows(&body, "skillActivity").iter().map(|row| count(row, "agentsWorking")).sum();
        assert_eq!((rows(&body, "skillActivity").len(), usize::try_from(total).expect("small")), (5, working));
        for row in rows(&body, "skillActivity") {
            waited += count(row, "queueCount");
            assert_eq!(row["earliestQueueTime"].is_null(), count(row, "queueCount") == 0, "{row}");
            assert_eq!(row["serverTime"], body["lastPollTime"]);
            let in_sla = |name| u32::try_from(count(row, name)).map(f64::from).expect("small");
            let (good, bad) = (in_sla("inSLA"), in_sla("outSLA"));
            let level = if good + bad < 0.5 { 100.0 } else { good * 100.0 / (good + bad) };
            assert!((row["serviceLevel"].as_f64().expect("a number") - level).abs() < 1e-6, "{row}");
        }
    }
    assert!(waited > 0, "nobody ever waited");
    let none = bench.list("/skills/activity?IsOutbound=true", &token).await;
    assert!(rows(&none, "skillActivity").is_empty());

    let search =
        async |body: Value| send(bench.post(&format!("{SERVICES}/skills/activity/search"), &token, &body)).await;
    let (_, found) = search(json!({ "filter": { "skillIds": [1002, 1001, 77] }, "top": 1 })).await;
    assert_eq!((rows(&found, "skillActivity").len(), &found["totalRecords"]), (1, &json!(2)), "{found}");
    let row = &found["skillActivity"][0];
    assert!(
        row["agentsAvaliable"].is_u64() && row.get("agentsAvailable").is_none() && row.get("inSLA").is_none(),
        "{row}"
    );
    assert_eq!(search(json!({ "filter": [] })).await.0, 400);
}

#[tokio::test]
async fn the_history_of_states_is_what_was_seen() {
    let bench = Bench::new(published_options()).await;
    let token = bench.key_access(0).await;
    for (after, state) in [(10, "available"), (20, "on_contact"), (30, "acw"), (40, "logged_out"), (50, "unavailable")]
    {
        bench.clock.advance(Duration::from_secs(after));
        bench.put("10002", state);
    }
    bench.clock.advance(Duration::from_secs(60));
    let span = "startDate=2026-10-28T13:00:00Z&endDate=2026-10-28T15:00:00Z";
    let body = bench.list(&format!("/agents/10002/state-history?{span}"), &token).await;
    let count = rows(&body, "agentStateHistory").len();
    let last = &rows(&body, "agentStateHistory")[count - 4..];
    let pick = |name: &str| last.iter().map(|row| row[name].as_u64().expect("a number")).collect::<Vec<_>>();
    assert_eq!((pick("agentStateId"), pick("outStateId")), (vec![3, 2, 0, 2], vec![0, 19, 0, 11]));
    assert_eq!((pick("duration"), pick("agentSessionId")), (vec![30, 40, 50, 60], vec![1, 1, 1, 2]));
    let first = u64::try_from(count).expect("small") - 4;
    assert_eq!(pick("stateIndex"), (first..first + 4).collect::<Vec<_>>());
    assert!(
        last[0]["contactId"].is_u64() && last[0]["contactId"] == last[1]["contactId"] && last[2]["contactId"].is_null()
    );
    assert!(rows(&body, "agentStateHistory").iter().all(|row| row.get("isACW").is_none()));
    let since = bench.list(&format!("/agents/state-history?{span}&updatedSince=2026-10-28T14:02:00Z"), &token).await;
    let states: Vec<_> = rows(&since, "agentStateHistory").iter().map(|row| row["agentStateId"].clone()).collect();
    assert_eq!(states, [json!(0), json!(2)], "one ended since then, one began: {since}");
    let all = bench.list(&format!("/agents/state-history?{span}&top=1000"), &token).await;
    assert_eq!(rows(&all, "agentStateHistory").len(), count + 7);
    for query in ["", "?startDate=2026-10-28T13:00:00Z", "?startDate=2026-10-28T15:00:00Z&endDate=2026-10-28T13:00:00Z"]
    {
        assert_eq!(bench.read(&format!("/agents/state-history{query}"), &token).await.0, 400, "{query}");
    }
}

#[tokio::test]
async fn a_schedule_is_exported_by_uuid_and_for_a_week_at_most() {
    let schedule = ScheduleFile {
        name: "one.csv".to_owned(),
        bytes: b"agent_id,agent_name,team,time_zone,activity,start,end,mandatory\n\
            10001,Ada Grau,Team A,Europe/Berlin,shift,2026-10-28T09:00,2026-10-28T17:00,false\n\
            10001,Ada Grau,Team A,Europe/Berlin,lunch,2026-10-28T12:00,2026-10-28T12:30,true\n\
            10001,Ada Grau,Team A,Europe/Berlin,training,2026-10-28T14:00,2026-10-28T15:00,false\n"
            .to_vec(),
    };
    let bench = Bench::new(SimOptions { schedule: Some(schedule), ..published_options() }).await;
    let token = bench.key_access(0).await;
    let agents = bench.list("/agents", &token).await;
    let user = agents["agents"][0]["userID"].as_str().expect("an id").to_owned();
    assert_eq!(agents["agents"][0]["agentId"], 10001);
    let export = async |user: Value, start: &str, end: &str| {
        let body = json!({ "startDate": start, "endDate": end, "userID": user });
        send(bench.post("/schedules/export", &token, &body)).await
    };
    let (status, body) = export(json!(user), "2026-10-26", "2026-11-01").await;
    assert_eq!(status, 200, "{body}");
    let exported = &body["agentSchedules"][0];
    let shift = &exported["shifts"][0];
    assert_eq!((&exported["userId"], exported["shifts"].as_array().map(Vec::len)), (&json!(user), Some(1)));
    assert_eq!(
        (&shift["start"], &shift["end"]),
        (&json!("2026-10-28T08:00:00.000Z"), &json!("2026-10-28T16:00:00.000Z"))
    );
    let activities: Vec<_> = rows(shift, "activityIntervals")
        .iter()
        .map(|one| (one["activityCode"]["title"].as_str().expect("a title"), one["start"].as_str().expect("a start")))
        .collect();
    assert_eq!(activities, [("Lunch", "2026-10-28T11:00:00.000Z"), ("Training", "2026-10-28T13:00:00.000Z")]);
    let (_, empty) = export(json!(user), "2026-10-29", "2026-10-29").await;
    assert_eq!(empty["agentSchedules"][0]["shifts"], json!([]));
    for (user, start, end) in [
        (json!(user), "2026-10-26", "2026-11-02"),
        (json!(user), "2026-10-27", "2026-10-26"),
        (json!(user), "26.10.2026", "2026-10-26"),
        (json!(10001), "2026-10-26", "2026-10-26"),
        (json!("10001"), "2026-10-26", "2026-10-26"),
    ] {
        let (status, refused) = export(user.clone(), start, end).await;
        assert_eq!(status, 400, "{user} {start} {end}: {refused}");
        assert!(start.contains('.') || user == 10001 || refused["details"].is_string(), "{refused}");
    }
}

#[tokio::test]
async fn two_tenants_share_numbers_and_nothing_else() {
    let bench = Bench::new(SimOptions { tenants: 2, ..published_options() }).await;
    let (acme, bravo) = (bench.key_access(0).await, bench.key_access(1).await);
    bench.direct(json!({ "tenant": "bravo", "agent": "10001", "state": "paused", "hold": true }));
    assert_eq!((bench.shown(&acme, "10001").await.1, bench.shown(&bravo, "10001").await.1), (11, 12));
    let first = async |token: &str| bench.list("/agents", token).await["agents"][0].clone();
    let (here, there) = (first(&acme).await, first(&bravo).await);
    assert_eq!((&here["agentId"], &here["teamId"]), (&there["agentId"], &there["teamId"]));
    assert_ne!(here["userID"], there["userID"]);
    let unit =
        async |token: &str| bench.list("/agents/states", token).await["agentStates"][0]["businessUnitId"].clone();
    assert_ne!(unit(&acme).await, unit(&bravo).await);
    let export = json!({ "startDate": "2026-10-28", "endDate": "2026-10-28", "userID": there["userID"] });
    assert_eq!(send(bench.post("/schedules/export", &acme, &export)).await.0, 400, "a user of another tenant");
    let clock = bench.list("/server-time", &acme).await;
    assert_eq!(clock, json!({ "ServerTime": "2026-10-28T14:00:00.000Z" }));
}
