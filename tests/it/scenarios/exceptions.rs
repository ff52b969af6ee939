//! Exceptions: who is excused is neutral and left alone, from the beginning of the span to its end, over restarts.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::sim::SimState;

use crate::harness::{Scenario, Setup, VIEWER, send};

/// Two rules: one that looks at the plan, one that does not.
const RULES: &str = r#"
[[rules]]
id = "back"
when = { planned = "work", state = "NotReady", for = "2m" }
then = { set_state = "Ready" }
mode = "enforce"

[[rules]]
id = "paused-long"
when = { state = "Paused", for = "2m" }
then = { set_state = "NotReady" }
mode = "enforce"
"#;

async fn approve_exception(scenario: &Scenario, mut body: Value) -> (StatusCode, Value) {
    body["tenant"] = json!(scenario.tenant);
    send(scenario.request(Method::POST, "/api/v1/exceptions").json(&body)).await
}

async fn rule_explanation(scenario: &Scenario, agent: &str, rule: &str) -> Value {
    let (status, all) = scenario.get(&format!("/api/v1/agents/{agent}/rules?tenant={}", scenario.tenant)).await;
    assert_eq!(status, StatusCode::OK, "{all}");
    let rules = all["rules"].as_array().expect("a list").clone();
    rules.into_iter().find(|one| one["rule"] == rule).expect("the rule")
}

async fn wait_for_state(scenario: &Scenario, agent: &str, wanted: SimState) {
    scenario
        .wait_until("the agent is set", || async {
            let state = scenario.state_of(agent);
            if state == wanted { Ok(()) } else { Err(format!("{agent} {state:?} at {}", scenario.clock.now())) }
        })
        .await;
}

/// An hour around now.
fn hour_around(now: UtcMicros) -> (UtcMicros, UtcMicros) {
    (now - Duration::from_secs(60), now + Duration::from_secs(3600))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_with_an_exception_is_left_alone_until_it_ends_also_after_a_restart() {
    let mut setup = Setup::team(4);
    setup.rules = "";
    let mut scenario = Scenario::start_team(setup).await;
    let (from, to) = hour_around(scenario.clock.now());
    let reason = "a course <script>alert(1)</script>";
    let (status, made) =
        approve_exception(&scenario, json!({"agents": ["u_0001"], "from": from, "to": to, "reason": reason})).await;
    assert_eq!((status, &made["scope"], &made["standing"]), (StatusCode::CREATED, &json!("agents"), &json!("running")));
    assert_eq!((&made["agents"][0]["agent"], &made["reason"]), (&json!("u_0001"), &json!(reason)));
    scenario.setup.rules = RULES;
    scenario.reload();
    for agent in ["u_0002", "u_0003", "u_0004"] {
        wait_for_state(&scenario, agent, SimState::Available).await;
    }
    let told = rule_explanation(&scenario, "u_0001", "back").await;
    assert_eq!((&told["outcome"], &told["guard"]), (&json!("held"), &json!("excused")), "{told}");
    assert!(scenario.posts_for("u_0001").is_empty());

    // Rules that do not depend on the plan continue.
    scenario.set_agent_state("u_0001", SimState::Paused);
    wait_for_state(&scenario, "u_0001", SimState::Unavailable).await;
    assert_eq!(scenario.posts_for("u_0001").len(), 1);

    scenario.wait_until_settled().await;
    scenario.kill_daemon().await;
    // Longer than what snapshots bridge.
    scenario.let_time_pass(Duration::from_secs(2 * 60)).await;
    scenario.start_daemon().await;
    scenario.wait_for_readiness("ready").await;
    scenario.let_time_pass(Duration::from_secs(5 * 60)).await;
    assert_eq!(scenario.state_of("u_0001"), SimState::Unavailable, "still excused after a restart");

    let end = format!("/api/v1/exceptions/{}/end", made["id"].as_str().expect("an id"));
    let body = json!({"tenant": scenario.tenant, "reason": "the course was short"});
    let (status, ended) = send(scenario.request(Method::POST, &end).json(&body)).await;
    assert_eq!((status, &ended["standing"], &ended["ended_by"]), (StatusCode::OK, &json!("over"), &json!("operator")));
    wait_for_state(&scenario, "u_0001", SimState::Available).await;
    let (status, again) = send(scenario.request(Method::POST, &end).json(&body)).await;
    assert_eq!((status, &again["code"]), (StatusCode::CONFLICT, &json!("exception_over")), "{again}");

    let path = format!("/api/v1/agents/u_0001/timeline?tenant={}&from={from}&to={to}", scenario.tenant);
    let (_, day) = scenario.get(&path).await;
    let excused: Vec<&Value> =
        day["pieces"].as_array().expect("pieces").iter().filter(|piece| piece["excused"] == true).collect();
    let verdicts: BTreeSet<_> = excused.iter().filter_map(|piece| piece["verdict"].as_str()).collect();
    // While the daemon was down nobody saw the agent.
    assert_eq!(verdicts, ["neutral", "unknown"].into(), "{day}");
    assert_eq!(excused.last().expect("some")["end"], ended["to"], "up to its end: {day}");

    // It was for the wrong agent: its time counts after all, and it can be revoked once.
    let whole = json!({"tenant": scenario.tenant, "reason": "it was another's course", "whole": true});
    let (status, back) = send(scenario.request(Method::POST, &end).json(&whole)).await;
    assert_eq!((status, &back["to"]), (StatusCode::OK, &back["from"]), "{back}");
    let (_, day) = scenario.get(&path).await;
    let excused = day["pieces"].as_array().expect("pieces").iter().any(|piece| piece["excused"] == true);
    assert!(!excused, "{day}");
    let (status, again) = send(scenario.request(Method::POST, &end).json(&whole)).await;
    assert_eq!((status, &again["code"]), (StatusCode::CONFLICT, &json!("exception_over")), "{again}");

    let reader = scenario.reader().await;
    let entries = scenario.audit(&reader).await;
    for action in ["exception.made", "exception.ended"] {
        let entry = entries.iter().find(|entry| entry.action == action).expect("an entry");
        assert!(entry.subject.is_some() && entry.note.is_some() && entry.actor == "person:operator", "{entry:?}");
        assert!(!format!("{entry:?}").contains("course"), "typed words stand apart: {entry:?}");
    }
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_or_everyone_is_excused_to_the_end_of_the_span_and_listed() {
    let mut setup = Setup::team(4);
    setup.rules = RULES;
    setup.schedule = Some(crate::harness::schedule(crate::harness::agent_ids(4), &[]));
    let scenario = Scenario::without_daemon(setup).await;
    let mut scenario = scenario;
    for agent in crate::harness::agent_ids(4) {
        scenario.set_agent_state(&agent, SimState::Available);
    }
    scenario.start_daemon().await;
    let schedule = scenario.setup.schedule.clone().expect("a schedule");
    scenario.import(&schedule).await;
    scenario.wait_until_observed().await;
    let now = scenario.clock.now();
    let soon = now + Duration::from_secs(15 * 60);
    let (status, team) =
        approve_exception(&scenario, json!({"team": "Team 1", "from": now, "to": soon, "reason": "a meeting"})).await;
    assert_eq!((status, &team["team"]), (StatusCode::CREATED, &json!("Team 1")), "{team}");
    for agent in crate::harness::agent_ids(4) {
        scenario.set_agent_state(&agent, SimState::Unavailable);
    }
    wait_for_state(&scenario, "u_0001", SimState::Available).await;
    let excused: Vec<_> =
        ["u_0002"].into_iter().filter(|agent| scenario.state_of(agent) != SimState::Available).collect();
    assert_eq!(excused, ["u_0002"], "agent two of `Team 1` is in a meeting");
    wait_for_state(&scenario, "u_0002", SimState::Available).await;
    assert!(scenario.clock.now() >= soon, "the span's end needs nobody");

    let past = json!({"everyone": true, "from": now - Duration::from_secs(7200), "to": now - Duration::from_secs(3600), "reason": "fire drill"});
    let (status, past) = approve_exception(&scenario, past).await;
    assert_eq!((status, &past["standing"]), (StatusCode::CREATED, &json!("over")), "after the fact: {past}");
    let list = |more: &str| format!("/api/v1/exceptions?tenant={}{more}", scenario.tenant);
    let ids = |body: Value| -> Vec<Value> {
        body["exceptions"].as_array().expect("a list").iter().map(|one| one["id"].clone()).collect()
    };
    assert_eq!(ids(scenario.get(&list("")).await.1), [past["id"].clone(), team["id"].clone()]);
    assert_eq!(ids(scenario.get(&list("&agent=u_0001")).await.1), [past["id"].clone()]);
    assert_eq!(ids(scenario.get(&list("&agent=u_0002&limit=1")).await.1), [past["id"].clone()]);
    let from = (now - Duration::from_secs(60)).to_string();
    assert_eq!(ids(scenario.get(&list(&format!("&from={from}"))).await.1), [team["id"].clone()]);

    for (body, code) in [
        (json!({"agents": ["u_9999"], "from": now, "to": soon, "reason": "x"}), "no_such_agent"),
        (json!({"team": "Nobody", "from": now, "to": soon, "reason": "x"}), "no_such_team"),
        (json!({"everyone": true, "from": soon, "to": now, "reason": "x"}), "bad_request"),
        (json!({"everyone": true, "from": now, "to": soon, "reason": " "}), "bad_request"),
        (json!({"everyone": true, "team": "Team 1", "from": now, "to": soon, "reason": "x"}), "bad_request"),
        (json!({"from": now, "to": soon, "reason": "x"}), "bad_request"),
    ] {
        let (_, refused) = approve_exception(&scenario, body.clone()).await;
        assert_eq!(refused["code"], code, "{body}: {refused}");
    }
    let viewer = scenario.request_as(VIEWER, Method::POST, "/api/v1/exceptions");
    let body = json!({"tenant": scenario.tenant, "everyone": true, "from": now, "to": soon, "reason": "x"});
    assert_eq!(send(viewer.json(&body)).await.0, StatusCode::FORBIDDEN);
    scenario.assert_nothing_left_over().await;
}
