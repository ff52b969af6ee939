//! People ask for changes: what is done, what is held, what is refused, and what asking again does.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shiftkeeper::sim::{AgentScript, SimState};

use crate::harness::{Scenario, Setup, agent_ids, send};

#[tokio::test(flavor = "multi_thread")]
async fn a_change_confirms_a_break_holds_it_and_no_shift_refuses_it() {
    let scenario = Scenario::start(Setup::default()).await;
    scenario.wait_until_observed().await;
    let tenant = scenario.sim.description().tenants.remove(0);
    let (resting, off) = (tenant.break_user.expect("one"), tenant.off_user.expect("one"));

    let taken = scenario.request_change(&["u_0001", resting.as_str(), off.as_str()], "Ready").await;
    let done = scenario.wait_for_status(&taken[0], "confirmed").await;
    assert_eq!((&done["attempts"], scenario.state_of("u_0001")), (&json!(1), SimState::Available), "{done}");
    assert_eq!(done["attempt_log"][0]["outcome"], "ok", "{done}");

    let held = scenario.wait_until("the break holds it", || async {
        let now = scenario.transition(&taken[1]).await;
        if now["violation"] == "MANDATORY_BREAK_VIOLATION" { Ok(now) } else { Err(now.to_string()) }
    });
    let held = held.await;
    assert_eq!((&held["status"], &held["why"]), (&json!("waiting"), &json!("mandatory_break")), "{held}");

    let refused = scenario.wait_for_status(&taken[2], "refused").await;
    assert_eq!(refused["violation"], "AGENT_NOT_SCHEDULED", "{refused}");

    // No imported schedule speaks for them, so the platform was asked, and nothing forbidden was sent.
    assert!(scenario.posts_for(resting.as_str()).is_empty() && scenario.posts_for(off.as_str()).is_empty());
    let asked = |path: String| scenario.log().requests.iter().any(|call| call.path == path);
    assert!(asked(format!("/api/v2/schedules/users/{off}")) && asked(format!("/api/v2/breaks/users/{resting}/status")));

    // When the break is over, the change is made.
    scenario.apply_script(&shiftkeeper::sim::AgentScript {
        mandatory_break: Some(false),
        ..Scenario::agent_script(resting.as_str())
    });
    scenario.wait_for_status(&taken[1], "confirmed").await;
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_request_takes_the_place_of_a_waiting_one_and_the_audit_names_it() {
    let scenario = Scenario::start(Setup::default()).await;
    scenario.wait_until_observed().await;
    let resting = scenario.sim.description().tenants.remove(0).break_user.expect("one").to_string();
    let first = scenario.request_change(&[&resting], "Ready").await.remove(0);
    scenario
        .wait_until("it is held", || async {
            let now = scenario.transition(&first).await;
            if now["why"] == "mandatory_break" { Ok(()) } else { Err(now.to_string()) }
        })
        .await;
    let second = scenario.request_change(&[&resting], "Paused").await.remove(0);
    scenario.wait_for_status(&second, "confirmed").await;
    let superseded = scenario.wait_for_status(&first, "superseded").await;
    assert_eq!(superseded["by"], second["id"]);
    let reader = scenario.reader().await;
    let by = format!("superseded by {}", second["id"].as_str().expect("an id"));
    let entries = scenario.audit(&reader).await;
    let told = entries.iter().find(|entry| entry.action == "transition.superseded").expect("an entry");
    assert_eq!(told.outcome.as_deref(), Some(&*by));
    assert_eq!(scenario.posts_for(&resting).len(), 1, "the superseded one was never sent");
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_under_the_same_key_is_one_request() {
    let scenario = Scenario::start_team(Setup::team(4)).await;
    let ask = |agents: &[&str], key: &str| {
        let body = json!({"tenant": scenario.tenant, "agents": agents, "to": "Paused"});
        send(scenario.request(Method::POST, "/api/v1/transitions").header("idempotency-key", key).json(&body))
    };
    let (status, first) = ask(&["u_0001", "u_0002"], "monday").await;
    assert_eq!(status, StatusCode::ACCEPTED, "{first}");
    for taken in first["transitions"].as_array().expect("a list") {
        scenario.wait_for_status(taken, "confirmed").await;
    }
    let (status, again) = ask(&["u_0001", "u_0002"], "monday").await;
    assert_eq!((status, &again), (StatusCode::ACCEPTED, &first), "the first answer again");
    let (status, other) = ask(&["u_0001"], "monday").await;
    assert_eq!(
        (status, &other["code"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("idempotency_key_reused")),
        "{other}"
    );
    for agent in ["u_0001", "u_0002"] {
        assert_eq!(scenario.posts_for(agent).len(), 1, "one POST for {agent}");
    }
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_asked_many_times_at_once_is_one_request() {
    let scenario = Scenario::start_team(Setup::team(5)).await;
    let body = json!({"tenant": scenario.tenant, "agents": agent_ids(5), "to": "Paused"});
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let request = scenario.request(Method::POST, "/api/v1/transitions").header("idempotency-key", "rush");
        asked.spawn(send(request.json(&body)));
    }
    let answers: Vec<(StatusCode, Value)> = asked.join_all().await;
    let first = &answers[0];
    assert_eq!(first.0, StatusCode::ACCEPTED, "{first:?}");
    assert!(answers.iter().all(|answer| answer == first), "{answers:#?}");
    for taken in first.1["transitions"].as_array().expect("a list") {
        scenario.wait_for_status(taken, "confirmed").await;
    }
    for agent in agent_ids(5) {
        assert_eq!(scenario.posts_for(&agent).len(), 1, "one POST for {agent}");
    }
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_that_nothing_explains_is_tried_again_after_ever_longer_pauses() {
    let scenario = Scenario::start_team(Setup::team(4)).await;
    scenario.set_agent_state("u_0001", SimState::LoggedOut);
    let taken = scenario.request_change(&["u_0001"], "Ready").await.remove(0);
    scenario
        .wait_until("it was refused three times", || async {
            let posts = scenario.posts_for("u_0001").len();
            if posts >= 3 { Ok(()) } else { Err(format!("{posts} POSTs")) }
        })
        .await;
    let posts = scenario.posts_for("u_0001");
    let pauses: Vec<u64> = posts.windows(2).map(|pair| pair[1].at.since(pair[0].at).as_secs()).collect();
    assert!(pauses[0] >= 60 && pauses[1] >= 120, "{pauses:?}");
    scenario.set_agent_state("u_0001", SimState::Unavailable);
    let done = scenario.wait_for_status(&taken, "confirmed").await;
    assert_eq!(done["violation"], "PLATFORM_CONFLICT", "{done}");
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_platform_refuses_for_a_reason_of_its_own_is_not_repeated_before_the_pause_is_over() {
    let mut setup = Setup::team(4);
    setup.schedule = None;
    let scenario = Scenario::start(setup).await;
    scenario.wait_until_observed().await;
    // Not scheduled forbids Ready and nothing else; it is the logout that stands against this change.
    scenario.apply_script(&AgentScript { scheduled: Some(false), ..Scenario::agent_script("u_0001") });
    scenario.set_agent_state("u_0001", SimState::LoggedOut);
    let taken = scenario.request_change(&["u_0001"], "NotReady").await.remove(0);
    scenario
        .wait_until("it was refused", || async {
            if scenario.posts_for("u_0001").is_empty() { Err("no POST".to_owned()) } else { Ok(()) }
        })
        .await;
    scenario.let_time_pass(Duration::from_secs(600)).await;
    let posts: Vec<_> = scenario.posts_for("u_0001").into_iter().map(|post| (post.at, post.status)).collect();
    assert!(posts.iter().all(|(_, status)| *status == Some(409)), "{posts:?}");
    for pair in posts.windows(2) {
        assert!(pair[1].0.since(pair[0].0) >= Duration::from_secs(60), "{posts:?}");
    }
    scenario.set_agent_state("u_0001", SimState::Available);
    scenario.wait_for_status(&taken, "confirmed").await;
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_already_in_the_state_needs_no_call_unless_the_reason_is_requested() {
    let scenario = Scenario::start_team(Setup::team(4)).await;
    let reader = scenario.reader().await;
    let rows = scenario.history(&reader, &"u_0001".into()).await;
    let there = scenario.request_change(&["u_0001"], "NotReady").await.remove(0);
    let there = scenario.wait_for_status(&there, "confirmed").await;
    assert_eq!((&there["attempts"], there["attempt_log"].as_array().map(Vec::len)), (&json!(0), Some(0)), "{there}");
    assert!(scenario.posts_for("u_0001").is_empty());
    assert_eq!(scenario.history(&reader, &"u_0001".into()).await, rows, "history is as it was");
    let entries = scenario.audit(&reader).await;
    let told = entries.iter().find(|entry| entry.action == "transition.confirmed").expect("an entry");
    assert!(told.outcome.as_deref().is_some_and(|outcome| outcome.contains("already")), "{told:?}");

    // To be there is enough, whatever the reason, unless the reason is asked for by itself.
    let mut body = json!({"tenant": scenario.tenant, "agents": ["u_0001"], "to": "NotReady", "reason": "BREAK"});
    let (_, taken) = send(scenario.request(Method::POST, "/api/v1/transitions").json(&body)).await;
    let taken = &taken["transitions"][0];
    let note = taken["note"].as_str().expect("a note");
    assert!(note.contains("already NotReady") && note.contains("even_if_in_state"), "{taken}");
    let left = scenario.wait_for_status(taken, "confirmed").await;
    assert_eq!((&left["attempts"], scenario.posts_for("u_0001").len()), (&json!(0), 0), "{left}");
    body["even_if_in_state"] = json!(true);
    let (_, taken) = send(scenario.request(Method::POST, "/api/v1/transitions").json(&body)).await;
    assert!(taken["transitions"][0].get("note").is_none(), "{taken}");
    let sent = scenario.wait_for_status(&taken["transitions"][0], "confirmed").await;
    assert_eq!((&sent["attempts"], scenario.posts_for("u_0001").len()), (&json!(1), 1), "{sent}");
    // Without a fresh observation the state is uncertain, so the change is sent.
    scenario.add_fault("status:on=snapshot,code=500");
    scenario.let_time_pass(std::time::Duration::from_secs(400)).await;
    let unknown = scenario.request_change(&["u_0002"], "NotReady").await.remove(0);
    scenario
        .wait_until("it is sent", || async {
            let posts = scenario.posts_for("u_0002").len();
            if posts == 1 { Ok(()) } else { Err(posts.to_string()) }
        })
        .await;
    scenario.sim.clear_faults();
    scenario.wait_for_status(&unknown, "confirmed").await;
    scenario.assert_nothing_left_over().await;
}
