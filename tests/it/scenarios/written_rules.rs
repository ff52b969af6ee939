//! Rules written through the API: checked, raced for, tried, enforced without a restart, kept over restarts and reloads.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shiftkeeper::sim::SimState;

use crate::harness::{Scenario, Setup, VIEWER, send};

/// Ends a break that ran over, in the text of one rule.
fn back(mode: &str, longer: &str) -> String {
    format!(
        "[[rules]]\nid = \"back\"\nmode = \"{mode}\"\n\
         when = {{ planned = \"work\", state = [\"NotReady\", \"Paused\"], for = \"{longer}\" }}\n\
         then = {{ set_state = \"Ready\", reason = \"WORKING\" }}\n"
    )
}

/// An answer with its `ETag`.
async fn send_with_etag(request: reqwest::RequestBuilder) -> (StatusCode, Option<String>, Value) {
    let response = request.send().await.expect("answered");
    let tag = response.headers().get("etag").map(|tag| tag.to_str().expect("text").to_owned());
    (response.status(), tag, response.json().await.unwrap_or(Value::Null))
}

async fn write_rule(scenario: &Scenario, id: &str, if_match: &str, text: &str) -> (StatusCode, Option<String>, Value) {
    let body = json!({"tenant": scenario.tenant, "text": text, "reason": "as the scenario wants it"});
    let request = scenario.request(Method::PUT, &format!("/api/v1/rules/{id}")).header("If-Match", if_match);
    send_with_etag(request.json(&body)).await
}

async fn fetch_rule(scenario: &Scenario, id: &str) -> (StatusCode, Value) {
    scenario.get(&format!("/api/v1/rules/{id}?tenant={}", scenario.tenant)).await
}

async fn post(scenario: &Scenario, path: &str, body: Value) -> (StatusCode, Value) {
    send(scenario.request(Method::POST, path).json(&body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_people_who_edit_a_rule_the_slower_one_is_refused() {
    let scenario = Scenario::start_team(Setup::team(4)).await;
    let (status, tag, made) = write_rule(&scenario, "back", "\"0\"", &back("watch", "3m")).await;
    assert_eq!((status, tag.as_deref()), (StatusCode::CREATED, Some("\"1\"")), "{made}");
    assert_eq!((&made["origin"], &made["in_force"], &made["version"]), (&json!("store"), &json!(true), &json!(1)));

    let texts = ["4m", "5m"].map(|longer| back("watch", longer));
    let (one, other) = tokio::join!(
        write_rule(&scenario, "back", "\"1\"", &texts[0]),
        write_rule(&scenario, "back", "\"1\"", &texts[1]),
    );
    let mut statuses = [one.0, other.0];
    statuses.sort();
    assert_eq!(statuses, [StatusCode::OK, StatusCode::PRECONDITION_FAILED], "{one:?} {other:?}");
    let lost = if one.0 == StatusCode::OK { &other.2 } else { &one.2 };
    assert_eq!((&lost["code"], &lost["version"]), (&json!("changed_meanwhile"), &json!(2)), "{lost}");

    let missing = scenario.request(Method::PUT, "/api/v1/rules/back");
    let (status, missing) = send(missing.json(&json!({"tenant": scenario.tenant, "text": texts[0]}))).await;
    assert_eq!((status, &missing["code"]), (StatusCode::PRECONDITION_REQUIRED, &json!("if_match_missing")));

    let wrong = back("watch", "3m").replace("Paused", "Pausd").replace("WORKING", "");
    let (status, _, refused) = write_rule(&scenario, "back", "\"2\"", &wrong).await;
    assert_eq!((status, &refused["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("rule_refused")), "{refused}");
    let lines: Vec<_> = refused["complaints"].as_array().expect("a list").iter().map(|one| &one["line"]).collect();
    assert_eq!(lines, [&json!(4), &json!(5)], "{refused}");
    let check = json!({"tenant": scenario.tenant, "text": wrong});
    let (_, checked) = post(&scenario, "/api/v1/rules/check", check).await;
    assert_eq!((&checked["ok"], &checked["complaints"]), (&json!(false), &refused["complaints"]));

    let (_, versions) = scenario.get(&format!("/api/v1/rules/back/versions?tenant={}", scenario.tenant)).await;
    let versions = versions["versions"].as_array().expect("a list").clone();
    let told: Vec<_> = versions.iter().map(|one| (&one["version"], &one["by"], &one["why"])).collect();
    let why = json!("as the scenario wants it");
    assert_eq!(told, [(&json!(2), &json!("operator"), &why), (&json!(1), &json!("operator"), &why)]);
    let forbidden = scenario.request_as(VIEWER, Method::POST, "/api/v1/rules/back/disable");
    let (status, _) = send(forbidden.json(&json!({"tenant": scenario.tenant}))).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "looking is not editing");

    let reader = scenario.reader().await;
    let entries = scenario.audit(&reader).await;
    let changed: Vec<_> = entries.iter().filter(|entry| entry.action == "rule.changed").collect();
    assert_eq!(changed.len(), 2, "the lost race left nothing");
    assert!(changed.iter().all(|entry| entry.actor == "person:operator" && entry.note.is_some()));
    scenario.assert_nothing_left_over().await;
}

/// Everybody has been paused for some minutes of work time.
async fn start_paused_team() -> Scenario {
    let scenario = Scenario::start_team(Setup::team(4)).await;
    scenario.let_time_pass(Duration::from_secs(5 * 60)).await;
    scenario
}

async fn wait_for_backtest(scenario: &Scenario, trial: &Value) -> Value {
    let path = format!("/api/v1/rule-trials/{}?tenant={}", trial["id"].as_str().expect("an id"), scenario.tenant);
    scenario
        .wait_until("the trial has ended", || async {
            let (status, trial) = scenario.get(&path).await;
            assert_eq!(status, StatusCode::OK, "{trial}");
            let open = ["waiting", "running"].contains(&trial["status"].as_str().expect("a status"));
            if open { Err(trial.to_string()) } else { Ok(trial) }
        })
        .await
}

/// The rule is after a restart what it was before.
async fn assert_restart_keeps_rule(scenario: &mut Scenario, listed: &Value) {
    scenario.kill_daemon().await;
    scenario.start_daemon().await;
    scenario.wait_for_readiness("ready").await;
    let (_, after) = fetch_rule(scenario, "back").await;
    for what in ["version", "mode", "text", "in_force", "counts", "changed_at", "why"] {
        assert_eq!(after[what], listed[what], "{what} after a restart");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_is_written_watched_tried_and_enforced_without_a_restart() {
    let mut scenario = start_paused_team().await;
    let (status, _, made) = write_rule(&scenario, "back", "\"0\"", &back("watch", "2m")).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let findings = format!("/api/v1/rule-findings?tenant={}&rule=back", scenario.tenant);
    let found = scenario
        .wait_until("the rule would have acted on everybody", || async {
            let (_, found) = scenario.get(&findings).await;
            if found["findings"].as_array().is_some_and(|all| all.len() == 4) {
                Ok(found)
            } else {
                Err(found.to_string())
            }
        })
        .await;
    let first = &found["findings"][0];
    assert_eq!((&first["kind"], &first["wants"]), (&json!("would"), &json!("set Ready (WORKING)")), "{first}");
    assert!(first["agent"].as_str().is_some_and(|agent| agent.starts_with("u_000")), "named: {first}");
    assert!(first["name"].is_string() && first["team"].is_string(), "{first}");
    assert_eq!(scenario.state_of("u_0001"), SimState::Unavailable, "it watches");

    let now = scenario.clock.now();
    let ask =
        json!({"tenant": scenario.tenant, "text": back("watch", "1m"), "from": crate::harness::start(), "to": now});
    let (status, trial) = post(&scenario, "/api/v1/rule-trials", ask).await;
    assert_eq!((status, &trial["rule"]), (StatusCode::ACCEPTED, &json!("back")), "{trial}");
    let tried = wait_for_backtest(&scenario, &trial).await;
    assert_eq!((&tried["status"], &tried["progress"]), (&json!("done"), &json!(1.0)), "{tried}");
    let result = &tried["result"];
    assert_eq!((&result["replayed"]["acts"], &result["replayed"]["agents"]), (&json!(4), &json!(4)), "{result}");
    assert_eq!(result["present"]["acts"], 4, "the version in the store waits a minute longer: {result}");
    let at = |side: &str| result[side]["listed"][0]["at"].as_str().expect("an instant").to_owned();
    assert!(at("replayed") < at("present"), "{result}");
    assert_eq!((&result["really"]["acts"], &result["compared"]["only_replayed"]), (&json!(0), &json!(4)), "{result}");

    let mode = json!({"tenant": scenario.tenant, "mode": "enforce", "reason": "the trial was quiet"});
    let (status, enforced) = post(&scenario, "/api/v1/rules/back/mode", mode).await;
    assert_eq!((status, &enforced["mode"], &enforced["version"]), (StatusCode::OK, &json!("enforce"), &json!(2)));
    assert!(enforced["text"].as_str().is_some_and(|text| text.contains("mode = \"enforce\"")), "{enforced}");
    for agent in crate::harness::agent_ids(4) {
        scenario
            .wait_until("the rule acts", || async {
                let state = scenario.state_of(&agent);
                if state == SimState::Available { Ok(()) } else { Err(format!("{agent} {state:?}")) }
            })
            .await;
    }
    scenario.wait_until_settled().await;
    let (_, listed) = fetch_rule(&scenario, "back").await;
    let counts = &listed["counts"];
    assert_eq!((&counts["would"], &counts["would_agents"]), (&json!(4), &json!(4)), "{listed}");
    assert_eq!(counts["transitions"]["total"], 4, "{listed}");

    assert_restart_keeps_rule(&mut scenario, &listed).await;
    let (status, gone) = scenario
        .get(&format!("/api/v1/rule-trials/{}?tenant={}", trial["id"].as_str().expect("an id"), scenario.tenant))
        .await;
    assert_eq!((status, &gone["code"]), (StatusCode::NOT_FOUND, &json!("no_such_trial")));
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_rule_replaces_the_configurations_until_it_is_removed() {
    let mut setup = Setup::team(4);
    setup.rules = Box::leak(back("watch", "2h").into_boxed_str());
    let mut scenario = Scenario::start_team(setup).await;
    let (_, base) = fetch_rule(&scenario, "back").await;
    assert_eq!(
        (&base["origin"], &base["version"], &base["enabled"]),
        (&json!("configuration"), &json!(0), &json!(true))
    );

    let off = json!({"tenant": scenario.tenant, "reason": "holiday"});
    let (status, disabled) = post(&scenario, "/api/v1/rules/back/disable", off.clone()).await;
    assert_eq!(
        (status, &disabled["in_force"], &disabled["why_not"]),
        (StatusCode::OK, &json!(false), &json!("disabled"))
    );
    assert_eq!((&disabled["origin"], &disabled["configuration"]), (&json!("replaced"), &base["text"]));

    scenario.setup.rules = Box::leak(back("watch", "3h").into_boxed_str());
    scenario.reload();
    scenario
        .wait_until("the reload is in force beneath the store's rule", || async {
            let (_, now) = fetch_rule(&scenario, "back").await;
            let newer = now["configuration"].as_str().is_some_and(|text| text.contains("3h"));
            if newer && now["in_force"] == false { Ok(()) } else { Err(now.to_string()) }
        })
        .await;
    let (status, on) = post(&scenario, "/api/v1/rules/back/enable", off).await;
    assert_eq!((status, &on["in_force"], &on["version"]), (StatusCode::OK, &json!(true), &json!(2)), "{on}");
    assert!(on["text"].as_str().is_some_and(|text| text.contains("2h")), "as it was copied: {on}");

    let remove = |tag: &'static str| {
        let path = format!("/api/v1/rules/back?tenant={}&reason=done", scenario.tenant);
        scenario.request(Method::DELETE, &path).header("If-Match", tag)
    };
    assert_eq!(send(remove("\"1\"")).await.0, StatusCode::PRECONDITION_FAILED);
    let (status, removed) = send(remove("\"2\"")).await;
    assert_eq!((status, &removed["back_to"]), (StatusCode::OK, &json!("configuration")), "{removed}");
    let (_, again) = fetch_rule(&scenario, "back").await;
    assert_eq!((&again["origin"], &again["version"]), (&json!("configuration"), &json!(0)), "{again}");
    assert!(again["text"].as_str().is_some_and(|text| text.contains("3h")), "{again}");
    let (status, refused) = send(remove("\"0\"")).await;
    assert_eq!((status, &refused["code"]), (StatusCode::CONFLICT, &json!("rule_not_stored")), "{refused}");
    let (status, nobody) = fetch_rule(&scenario, "nobody").await;
    assert_eq!((status, &nobody["code"]), (StatusCode::NOT_FOUND, &json!("no_such_rule")));

    // Written again, it continues from the version that was removed.
    let (status, tag, _) = write_rule(&scenario, "back", "\"0\"", &back("watch", "1h")).await;
    assert_eq!((status, tag.as_deref()), (StatusCode::OK, Some("\"4\"")));
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trials_have_limits_and_can_be_stopped() {
    let scenario = Scenario::start_team(Setup::team(4)).await;
    let now = scenario.clock.now();
    let ask = |from: shiftkeeper::domain::time::UtcMicros, to| {
        post(&scenario, "/api/v1/rule-trials", json!({"tenant": scenario.tenant, "from": from, "to": to}))
    };
    let day = Duration::from_secs(24 * 3600);
    for (from, to) in [(now, now), (now - day * 8, now), (now - day, now + day * 365)] {
        let (status, refused) = ask(from, to).await;
        assert_eq!(
            (status, &refused["code"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!("trial_refused")),
            "{refused}"
        );
    }
    let both = json!({"tenant": scenario.tenant, "text": "x", "rule": "y", "from": now - day, "to": now});
    assert_eq!(post(&scenario, "/api/v1/rule-trials", both).await.0, StatusCode::BAD_REQUEST);
    let unknown = json!({"tenant": scenario.tenant, "rule": "y", "from": now - day, "to": now});
    assert_eq!(post(&scenario, "/api/v1/rule-trials", unknown).await.1["code"], "no_such_rule");
    let wrong = json!({"tenant": scenario.tenant, "text": "[[rules]]\nid = 1\n", "from": now - day, "to": now});
    assert_eq!(post(&scenario, "/api/v1/rule-trials", wrong).await.1["code"], "rule_refused");

    let (status, trial) = ask(now - day * 7, now).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{trial}");
    let stop = format!("/api/v1/rule-trials/{}/cancel", trial["id"].as_str().expect("an id"));
    let (status, stopped) = post(&scenario, &stop, json!({"tenant": scenario.tenant})).await;
    assert_eq!(status, StatusCode::OK);
    assert!(["cancelled", "done"].contains(&stopped["status"].as_str().expect("a status")), "{stopped}");
    let (_, list) = scenario.get(&format!("/api/v1/rule-trials?tenant={}", scenario.tenant)).await;
    assert_eq!((&list["trials"][0]["id"], &list["trials"][0]["result"]), (&trial["id"], &Value::Null), "{list}");
    scenario.assert_nothing_left_over().await;
}
