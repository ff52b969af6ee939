//! Reading states, requesting them, and logging agents out.

use super::*;

#[tokio::test]
async fn a_state_that_is_requested_during_a_contact_is_the_next_one_and_cannot_be_seen_before() {
    let bench = Bench::new(published_options()).await;
    let token = bench.key_access(0).await;
    bench.put("10001", "on_contact");
    let before = bench.list("/agents/states", &token).await;
    assert_eq!(bench.request_state(&token, "10001", "state=Unavailable&outStateId=11").await, 200);
    assert_eq!(bench.request_state(&token, "10001", "state=Unavailable&outStateId=12").await, 200);
    assert_eq!(bench.list("/agents/states", &token).await["agentStates"], before["agentStates"]);
    bench.put("10001", "acw");
    assert_eq!(bench.shown(&token, "10001").await, ("Unavailable".to_owned(), 19), "wrap-up goes first");
    bench.clock.advance(Duration::from_secs(30));
    bench.put("10001", "available");
    assert_eq!(bench.shown(&token, "10001").await, ("Unavailable".to_owned(), 12), "the newer request counts");
    assert_eq!(bench.acceptances(), [Some(Acceptance::Next), Some(Acceptance::Next)]);
    let log = bench.simulator.log(0, 100);
    let asked: Vec<_> = log.requests.iter().filter(|request| request.acceptance.is_some()).collect();
    assert_eq!(asked[1].query.as_deref(), Some("state=Unavailable&outStateId=12"));
    let by_request: Vec<_> = log.changes.iter().filter_map(|change| change.request_seq).collect();
    assert_eq!(by_request, [asked[1].seq], "and the older one is gone");
}

#[tokio::test]
async fn a_request_during_wrap_up_waits_for_its_end_unless_the_platform_ends_it() {
    for (traps, shown, acceptance) in
        [(&[][..], 19, Acceptance::Next), (&[Trap::WrapUpEndsAtOnce][..], 12, Acceptance::Applied)]
    {
        let bench = Bench::new(trapped(traps)).await;
        let token = bench.key_access(0).await;
        bench.put("10001", "acw");
        assert_eq!(bench.request_state(&token, "10001", "state=Unavailable&outStateId=12").await, 200);
        assert_eq!(bench.shown(&token, "10001").await.1, shown);
        assert_eq!(bench.acceptances(), [Some(acceptance)]);
    }
}

#[tokio::test]
async fn an_agent_may_choose_otherwise_before_the_next_state_comes() {
    let bench = Bench::new(trapped(&[Trap::AgentChooses])).await;
    let token = bench.key_access(0).await;
    bench.put("10001", "on_contact");
    assert_eq!(bench.request_state(&token, "10001", "state=Unavailable&outStateId=12").await, 200);
    bench.put("10001", "available");
    assert_eq!(bench.shown(&token, "10001").await, ("Available".to_owned(), 0));
    bench.put("10001", "on_contact");
    bench.put("10001", "available");
    assert_eq!(bench.shown(&token, "10001").await, ("Available".to_owned(), 0), "the request is gone for good");
}

#[tokio::test]
async fn agents_who_act_keep_their_next_state_through_contact_and_wrap_up() {
    let options = SimOptions { agents: 60, autonomous_agents: true, reversal_share: 0.0, ..published_options() };
    for (traps, expected) in [(vec![], 40..=60), (vec![Trap::AgentChooses], 0..=0)] {
        let bench = Bench::new(SimOptions { traps, ..options.clone() }).await;
        let token = bench.key_access(0).await;
        bench.clock.advance(Duration::from_secs(600));
        let states = bench.list("/agents/states?top=1000", &token).await;
        let on_contact: Vec<String> = rows(&states, "agentStates")
            .iter()
            .filter(|row| row["agentStateId"] == 3)
            .map(|row| row["agentId"].to_string())
            .collect();
        assert!(on_contact.len() > 5, "{states}");
        let requested = bench.simulator.log(0, 10_000).next;
        for agent in &on_contact {
            assert_eq!(bench.request_state(&token, agent, "state=Unavailable&outStateId=12").await, 200);
        }
        bench.clock.advance(Duration::from_secs(3600));
        let log = bench.simulator.log(requested, 100_000);
        let done = log.changes.iter().filter(|change| change.cause == ChangeCause::Api).collect::<Vec<_>>();
        assert!(done.iter().all(|change| change.from != SimState::OnContact || change.to == SimState::Paused));
        let share = done.len() * 60 / on_contact.len();
        assert!(expected.contains(&share), "{} of {}", done.len(), on_contact.len());
    }
}

#[tokio::test]
async fn a_log_out_waits_for_the_contact_and_can_be_seen() {
    let bench = Bench::new(published_options()).await;
    let token = bench.key_access(0).await;
    bench.put("10001", "available");
    bench.put("10002", "on_contact");
    bench.clock.advance(Duration::from_secs(60));
    let polled = bench.list("/agents/states", &token).await["lastPollTime"].as_str().expect("an instant").to_owned();
    bench.clock.advance(Duration::from_secs(60));
    for agent in ["10001", "10002"] {
        assert_eq!(bench.log_out(&token, agent).await, 202);
    }
    assert_eq!(bench.shown(&token, "10001").await, ("LoggedOut".to_owned(), 0));
    assert_eq!(bench.shown(&token, "10002").await, ("InboundContact".to_owned(), -12));
    let changed = bench.list(&format!("/agents/states?updatedSince={polled}"), &token).await;
    assert_eq!(rows(&changed, "agentStates").len(), 2, "the pending one has changed too: {changed}");
    bench.put("10002", "acw");
    assert_eq!(bench.shown(&token, "10002").await.1, -12);
    bench.put("10002", "available");
    assert_eq!(bench.shown(&token, "10002").await, ("LoggedOut".to_owned(), 0));
    for agent in ["10002", "9"] {
        assert_eq!(bench.log_out(&token, agent).await, 404);
    }
    assert_eq!(bench.acceptances()[..2], [Some(Acceptance::Applied), Some(Acceptance::Next)]);
    assert_eq!(bench.simulator.counts(&"acme".into()).state_posts, 4);
}

#[tokio::test]
async fn requests_are_refused_for_the_reasons_of_the_document() {
    let bench = Bench::new(published_options()).await;
    let token = bench.key_access(0).await;
    for (agent, state) in [("10001", "available"), ("10002", "logged_out"), ("10003", "on_contact")] {
        bench.put(agent, state);
    }
    bench.direct(json!({ "agent": "10004", "hidden": true }));
    for (agent, query, status) in [
        ("10001", "state=Ready", 400),
        ("10001", "", 400),
        ("10001", "state=Unavailable&outStateId=twelve", 400),
        ("10001", "state=Unavailable&outStateId=14", 400),
        ("10001", "state=Unavailable&outStateId=99", 400),
        ("10001", "state=Unavailable&outStateId=19", 409),
        ("10003", "state=Unavailable&outStateId=19", 200),
        ("10002", "state=Available", 404),
        ("10009", "state=Available", 404),
        ("10004", "state=Available", 403),
        ("10001", "state=Unavailable", 200),
    ] {
        assert_eq!(bench.request_state(&token, agent, query).await.as_u16(), status, "{agent} {query}");
    }
    let path = format!("{}{SERVICES}/agents/10001/state?state=Ready", bench.base);
    let (_, refused) = send(bench.http.post(path).bearer_auth(&token)).await;
    assert!(refused["error"].is_string() && refused["error_description"].is_string(), "{refused}");
    let unread = bench.simulator.log(0, 100);
    assert!(unread.requests.iter().all(|request| request.status == Some(200) || request.acceptance.is_none()));
}

#[tokio::test]
async fn a_code_is_shown_as_it_was_requested() {
    let bench = Bench::new(published_options()).await;
    let token = bench.key_access(0).await;
    bench.change_code(json!({ "id": 15, "name": "Training", "state": "unavailable" }));
    bench.put("10001", "unavailable");
    assert_eq!(bench.shown(&token, "10001").await.1, 11);
    bench.clock.advance(Duration::from_secs(5));
    for (code, acceptance) in [(11, Acceptance::Unchanged), (15, Acceptance::Applied), (15, Acceptance::Unchanged)] {
        assert_eq!(bench.request_state(&token, "10001", &format!("state=Unavailable&outStateId={code}")).await, 200);
        assert_eq!(bench.acceptances().pop(), Some(Some(acceptance)), "{code}");
    }
    let body = bench.list("/agents/10001/states", &token).await;
    let row = &body["agentStates"][0];
    assert_eq!((&row["outStateId"], &row["outStateDescription"]), (&json!(15), &json!("Training")));
    assert_eq!(row["startDate"], "2026-10-28T14:00:05.000Z");
    bench.change_code(json!({ "id": 15, "remove": true }));
    let body = bench.list("/agents/10001/states", &token).await;
    let row = &body["agentStates"][0];
    assert_eq!((&row["outStateId"], &row["outStateDescription"]), (&json!(15), &Value::Null));
}

#[tokio::test]
async fn only_changes_are_sent_and_a_misspelled_argument_is_ignored() {
    let bench = Bench::new(published_options()).await;
    let token = bench.key_access(0).await;
    bench.clock.advance(Duration::from_secs(60));
    bench.put("10003", "paused");
    let since = "2026-10-28T14:00:30Z";
    for (query, count) in [
        (format!("updatedSince={since}"), 1),
        (format!("updateSince={since}"), 8),
        ("updatedSince=0".to_owned(), 8),
        ("updatedSince=2026-10-28T14:00:30".to_owned(), 1),
        ("updatedSince=2026-10-28T16:00:30%2B02:00".to_owned(), 1),
    ] {
        let body = bench.list(&format!("/agents/states?{query}"), &token).await;
        assert_eq!((rows(&body, "agentStates").len(), &body["totalRecords"]), (count, &json!(count)), "{query}");
        assert_eq!(body["lastPollTime"], "2026-10-28T14:01:00.000Z");
    }
    assert_eq!(bench.read("/agents/states?updatedSince=yesterday", &token).await.0, 400);
    let one = bench.list("/agents/10003/states", &token).await;
    assert!(one.get("lastPollTime").is_none(), "{one}");
    let row = &one["agentStates"][0];
    assert_eq!((&row["agentId"], &row["lastPollTime"]), (&json!(10003), &json!("2026-10-28T14:01:00.000Z")));
    let unchanged = bench.list("/agents/10001/states?updatedSince=2026-10-28T14:00:30Z", &token).await;
    assert!(rows(&unchanged, "agentStates").is_empty());
    assert_eq!(bench.read("/agents/10009/states", &token).await.0, 404);
    let few = bench.list("/agents/states?fields=agentId,AGENTSTATEID", &token).await;
    assert_eq!(few["agentStates"][0].as_object().expect("a row").len(), 2, "{few}");
    let spelled = send(bench.get("/inContactAPI/services/v23.0/agents/states", &token)).await.1;
    assert_eq!(rows(&spelled, "agentStates").len(), 8);
}
