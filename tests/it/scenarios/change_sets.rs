//! Bulk changes: previewed, started, cancelled, undone; with floors, contacts, a crash, and two thousand agents at once.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::sim::SimState;

use crate::faults::print_progress;
use crate::harness::ledger::state_posts;
use crate::harness::{Dialect, Scenario, Setup, agent_ids, full_size, on_both_dialects, schedule, send};

on_both_dialects!(
    a_set_runs_as_previewed_and_is_undone_where_possible,
    a_set_continues_after_a_crash_and_unsent_changes_are_cancelled,
    an_urgent_set_goes_ahead_of_a_large_one_within_seconds,
    many_agents_finish_when_the_preview_says_with_a_call_each_and_no_429,
);

/// Asks for a preview.
async fn request_preview(scenario: &Scenario, mut body: Value) -> (StatusCode, Value) {
    body["tenant"] = json!(scenario.tenant);
    send(scenario.request(Method::POST, "/api/v1/change-sets").json(&body)).await
}

/// A preview that is made.
async fn preview(scenario: &Scenario, body: Value) -> Value {
    let (status, set) = request_preview(scenario, body).await;
    assert_eq!(status, StatusCode::CREATED, "{set}");
    assert_eq!(set["status"], "previewed", "{set}");
    set
}

/// Does something with a set.
async fn with_set(scenario: &Scenario, set: &Value, what: &str, mut body: Value) -> (StatusCode, Value) {
    body["tenant"] = json!(scenario.tenant);
    let path = format!("/api/v1/change-sets/{}/{what}", set["id"].as_str().expect("an id"));
    send(scenario.request(Method::POST, &path).json(&body)).await
}

async fn start(scenario: &Scenario, set: &Value) -> Value {
    let (status, started) = with_set(scenario, set, "start", json!({"hash": set["hash"]})).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{started}");
    started
}

async fn fetch_set(scenario: &Scenario, set: &Value) -> Value {
    let id = set["id"].as_str().expect("an id");
    let (status, set) = scenario.get(&format!("/api/v1/change-sets/{id}?tenant={}", scenario.tenant)).await;
    assert_eq!(status, StatusCode::OK, "{set}");
    set
}

async fn wait_for_status(scenario: &Scenario, set: &Value, status: &str) -> Value {
    scenario
        .wait_until_within(&format!("the set is {status}"), Duration::from_secs(180), || async {
            let now = fetch_set(scenario, set).await;
            if now["status"] == status { Ok(now) } else { Err(now["counts"].to_string()) }
        })
        .await
}

/// What was shown of an agent.
fn agent_entry<'a>(set: &'a Value, agent: &str) -> &'a Value {
    let all = set["agents"].as_array().expect("agents");
    all.iter().find(|one| one["agent"] == agent).unwrap_or_else(|| panic!("{agent} is not in {set}"))
}

fn instant(value: &Value) -> UtcMicros {
    value.as_str().expect("an instant").parse().expect("an instant")
}

/// The ids of the sets that were started, as the API lists them.
async fn started_sets(scenario: &Scenario) -> Vec<Value> {
    let (_, page) = scenario.get(&format!("/api/v1/change-sets?tenant={}&limit=100", scenario.tenant)).await;
    let all = page["change_sets"].as_array().expect("a list");
    all.iter().filter(|one| one["started_at"].is_string()).map(|one| one["id"].clone()).collect()
}

async fn assert_refused(scenario: &Scenario, set: &Value, action: &str, body: Value, code: &str) {
    let (status, refused) = with_set(scenario, set, action, body).await;
    assert_eq!((status, refused["code"].as_str()), (StatusCode::CONFLICT, Some(code)), "{refused}");
}

async fn a_set_runs_as_previewed_and_is_undone_where_possible(dialect: Dialect) {
    let scenario = Scenario::start_team(Setup::team(6).on(dialect)).await;
    let chosen = json!({"agents": ["u_0001", "u_0002", "u_0003", "u_0004", "u_9999"]});
    scenario.set_agent_state("u_0004", SimState::Available);
    scenario
        .wait_until("the fourth is seen ready", || async {
            let body = json!({"select": chosen, "to": "Ready"});
            let set = preview(&scenario, body).await;
            if agent_entry(&set, "u_0004")["outcome"] == "already_there" { Ok(()) } else { Err(set.to_string()) }
        })
        .await;
    let set = preview(&scenario, json!({"select": chosen, "to": "Ready", "note": "all hands"})).await;
    let shown: Vec<_> = set["agents"].as_array().expect("agents").iter().map(|one| &one["outcome"]).collect();
    assert_eq!(shown, ["change", "change", "change", "already_there", "unknown_agent"], "{set}");
    let counts = &set["counts"];
    assert_eq!([&set["calls"], &counts["will_change"], &counts["left_out"]], [&json!(3), &json!(3), &json!(2)]);
    assert!(set["finish_at"].is_string() && set["started_at"].is_null(), "{set}");
    assert!(scenario.posts_for("u_0001").is_empty(), "nothing was sent");

    assert_refused(&scenario, &set, "start", json!({"hash": "0".repeat(64)}), "hash_differs").await;
    assert_refused(&scenario, &set, "undo", json!({}), "not_started").await;
    start(&scenario, &set).await;
    let again = start(&scenario, &set).await;
    assert_eq!(again["id"], set["id"], "who started it and asks again gets it as it is");
    let done = wait_for_status(&scenario, &set, "done").await;
    assert_eq!(done["counts"]["statuses"], json!({"confirmed": 3}), "{done}");
    assert_eq!(agent_entry(&done, "u_0001")["status"], "confirmed");
    for (agent, calls) in [("u_0001", 1), ("u_0002", 1), ("u_0003", 1), ("u_0004", 0)] {
        assert_eq!(
            (scenario.posts_for(agent).len(), scenario.state_of(agent)),
            (calls, SimState::Available),
            "{agent}"
        );
    }

    // One agent goes to lunch: that change is not undone.
    scenario.set_agent_state("u_0002", SimState::Paused);
    let back = scenario
        .wait_until("the way back leaves him out", || async {
            let (status, back) = with_set(&scenario, &set, "undo", json!({"note": "false alarm"})).await;
            assert_eq!(status, StatusCode::CREATED, "{back}");
            if agent_entry(&back, "u_0002")["outcome"] == "moved_on" { Ok(back) } else { Err(back.to_string()) }
        })
        .await;
    assert_eq!((&back["undoes"], &back["to"]), (&set["id"], &Value::Null));
    let first = agent_entry(&back, "u_0001");
    assert_eq!([&first["to"], &first["outcome"]], [&json!("NotReady"), &json!("change")]);
    assert_eq!(agent_entry(&back, "u_0004")["outcome"], "not_changed", "{back}");
    start(&scenario, &back).await;
    let undone = wait_for_status(&scenario, &back, "done").await;
    assert_eq!(undone["counts"]["statuses"], json!({"confirmed": 2}), "{undone}");
    assert_eq!(fetch_set(&scenario, &set).await["undone_by"], back["id"]);
    assert_eq!(scenario.state_of("u_0001"), SimState::Unavailable);
    assert_eq!(scenario.state_of("u_0002"), SimState::Paused);

    assert_eq!(started_sets(&scenario).await, [back["id"].clone(), set["id"].clone()], "the newest first");
    let reader = scenario.reader().await;
    let entries = scenario.audit(&reader).await;
    let told = entries.iter().find(|entry| entry.action == "change_set.started").expect("an entry");
    assert_eq!((told.actor.as_str(), &told.why["changes"]), ("person:operator", &json!(3)), "{told:?}");
    assert!(told.note.is_some(), "the note is in the chain by its hash");
    scenario.assert_nothing_left_over().await;
}

/// What the API says of an agent.
async fn fetch_agent(scenario: &Scenario, id: &str) -> Value {
    let (status, agent) = scenario.get(&format!("/api/v1/agents/{id}?tenant={}", scenario.tenant)).await;
    assert_eq!(status, StatusCode::OK, "{agent}");
    agent
}

/// What the API says of an agent once the reason is this one; lists are up to a second old.
async fn wait_for_reason(scenario: &Scenario, id: &str, reason: &str) -> Value {
    let look = || async {
        let agent = fetch_agent(scenario, id).await;
        if agent["reason"] == reason { Ok(agent) } else { Err(agent.to_string()) }
    };
    scenario.wait_until(&format!("{id} is there with {reason}"), look).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reason_change_is_shown_and_undone_if_it_is_the_latest_also_after_a_restart() {
    let mut scenario = Scenario::start_team(Setup::team(4)).await;
    let with = |agents: &[&str], reason: &str| json!({"select": {"agents": agents}, "to": "NotReady", "reason": reason, "even_if_in_state": true});
    let before = fetch_agent(&scenario, "u_0001").await;
    assert_eq!((&before["state"], &before["reason"]), (&json!("NotReady"), &Value::Null));
    let set = preview(&scenario, with(&["u_0001", "u_0002"], "MEETING")).await;
    assert_eq!((&set["counts"]["will_change"], &set["counts"]["reason_only"]), (&json!(2), &json!(2)), "{set}");
    start(&scenario, &set).await;
    wait_for_status(&scenario, &set, "done").await;
    let after = wait_for_reason(&scenario, "u_0001", "MEETING").await;
    assert_eq!(after["entered_at"], before["entered_at"], "the stay goes on: {after}");
    let other = preview(&scenario, with(&["u_0002"], "TRAINING")).await;
    start(&scenario, &other).await;
    wait_for_status(&scenario, &other, "done").await;

    scenario.stop_daemon().await;
    scenario.start_daemon().await;
    let undo = |set: Value, agent: &'static str, outcome: &'static str| {
        let scenario = &scenario;
        async move {
            let seen = || async {
                let (status, back) = with_set(scenario, &set, "undo", json!({})).await;
                assert_eq!(status, StatusCode::CREATED, "{back}");
                if agent_entry(&back, agent)["outcome"] == outcome { Ok(back) } else { Err(back.to_string()) }
            };
            scenario.wait_until(&format!("{agent} is shown as {outcome}"), seen).await
        }
    };
    let back = undo(set.clone(), "u_0001", "change_reason").await;
    assert_eq!(
        (&agent_entry(&back, "u_0001")["to"], &agent_entry(&back, "u_0001")["reason"]),
        (&json!("NotReady"), &json!("BREAK"))
    );
    assert_eq!(agent_entry(&back, "u_0002")["outcome"], "moved_on", "{back}");
    assert!(agent_entry(&back, "u_0002")["why"].as_str().is_some_and(|why| why.contains("(TRAINING)")), "{back}");
    let still = wait_for_reason(&scenario, "u_0001", "MEETING").await;
    assert_eq!(still["entered_at"], before["entered_at"], "also for a keeper that has read it anew: {still}");
    start(&scenario, &back).await;
    wait_for_status(&scenario, &back, "done").await;
    let sent = scenario.posts_for("u_0001").pop().expect("a POST").body.expect("a body");
    let sent: Value = serde_json::from_str(sent.get()).expect("JSON");
    assert_eq!((&sent["state"], &sent["reasonCode"]), (&json!("NOT_READY"), &json!("BREAK")));
    wait_for_reason(&scenario, "u_0001", "BREAK").await;
    // The reason before is known where it was set from here.
    let back = undo(other.clone(), "u_0002", "change_reason").await;
    assert_eq!(agent_entry(&back, "u_0002")["reason"], "MEETING", "{back}");
    // Agents who changed state themselves are left there.
    scenario.set_agent_state("u_0002", SimState::Paused);
    undo(other, "u_0002", "moved_on").await;
    scenario.assert_nothing_left_over().await;
}

/// Twelve agents, of whom the second half is ready and observed to be.
async fn half_of_twelve_ready() -> Scenario {
    let scenario = Scenario::start_team(Setup::team(12)).await;
    for agent in &agent_ids(12)[6..] {
        scenario.set_agent_state(agent, SimState::Available);
    }
    scenario
        .wait_until("six are seen ready", || async {
            let set = preview(&scenario, json!({"select": {"agents": agent_ids(12)}, "to": "Ready"})).await;
            if set["counts"]["outcomes"]["already_there"] == 6 { Ok(()) } else { Err(set["counts"].to_string()) }
        })
        .await;
    scenario
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_already_in_the_state_need_no_call_even_with_the_default_reason() {
    let scenario = half_of_twelve_ready().await;
    let body = json!({"select": {"agents": agent_ids(12)}, "to": "Ready", "reason": "WORKING"});
    let set = preview(&scenario, body).await;
    let counts = &set["counts"];
    assert_eq!((&set["calls"], &set["reason_calls"], &set["even_if_in_state"]), (&json!(6), &json!(0), &json!(false)));
    assert_eq!(
        (&counts["will_change"], &counts["reason_only"], &counts["left_out"]),
        (&json!(6), &json!(0), &json!(6))
    );
    let why = agent_entry(&set, "u_0012")["why"].as_str().expect("words").to_owned();
    assert!(why.contains("even_if_in_state"), "{why}");
    start(&scenario, &set).await;
    wait_for_status(&scenario, &set, "done").await;
    assert_eq!(state_posts(&scenario.log()).count(), 6, "a call for each who changes, and none for the others");
    // Nobody is left who would be changed: the answer says how the reason could be.
    let (_, again) =
        request_preview(&scenario, json!({"select": {"agents": ["u_0012"]}, "to": "Ready", "reason": "WORKING"})).await;
    let (status, refused) = with_set(&scenario, &again, "start", json!({"hash": again["hash"]})).await;
    assert_eq!((status, &refused["code"]), (StatusCode::CONFLICT, &json!("nothing_to_change")), "{refused}");
    assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains("even_if_in_state")), "{refused}");
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reasons_for_agents_already_in_the_state_are_sent_on_request_at_the_predicted_cost() {
    let scenario = half_of_twelve_ready().await;
    let body = json!({"select": {"agents": agent_ids(12)}, "to": "Ready", "even_if_in_state": true});
    let (status, refused) = request_preview(&scenario, body.clone()).await;
    assert_eq!((status, &refused["code"]), (StatusCode::BAD_REQUEST, &json!("bad_request")), "{refused}");
    let mut body = body;
    body["reason"] = json!("WORKING");
    let set = preview(&scenario, body).await;
    let counts = &set["counts"];
    assert_eq!((&set["calls"], &set["reason_calls"], &set["even_if_in_state"]), (&json!(12), &json!(6), &json!(true)));
    assert_eq!(
        (&counts["will_change"], &counts["reason_only"], &counts["left_out"]),
        (&json!(12), &json!(6), &json!(0))
    );
    start(&scenario, &set).await;
    let done = wait_for_status(&scenario, &set, "done").await;
    assert_eq!(done["counts"]["confirmed"], 12, "{done}");
    assert_eq!(state_posts(&scenario.log()).count(), 12);
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_would_change_nobody_is_not_started_and_says_why() {
    let scenario = Scenario::start_team(Setup::team(4)).await;
    let refused = |set: Value| {
        let scenario = &scenario;
        async move {
            let (status, refused) = with_set(scenario, &set, "start", json!({"hash": set["hash"]})).await;
            assert_eq!((status, &refused["code"]), (StatusCode::CONFLICT, &json!("nothing_to_change")), "{refused}");
            assert_eq!(fetch_set(scenario, &set).await["status"], "previewed");
            refused["detail"].as_str().expect("words").to_owned()
        }
    };
    let none = json!({"select": {"agents": ["u_0001", "u_9999"]}, "to": "NotReady"});
    let set = preview(&scenario, none).await;
    assert_eq!(set["counts"]["will_change"], 0, "{set}");
    let why = refused(set).await;
    assert!(why.contains("u_0001 (already there) and u_9999 (unknown agent)"), "{why}");
    // Shown as changed, and already in the state before the start.
    let one = json!({"select": {"agents": ["u_0002"]}, "to": "Ready"});
    let set = preview(&scenario, one.clone()).await;
    scenario.set_agent_state("u_0002", SimState::Available);
    scenario
        .wait_until("he is seen there", || async {
            let now = preview(&scenario, one.clone()).await;
            if agent_entry(&now, "u_0002")["outcome"] == "already_there" { Ok(()) } else { Err(now.to_string()) }
        })
        .await;
    let why = refused(set).await;
    assert!(why.contains("u_0002 (already there)"), "{why}");
    assert!(scenario.posts_for("u_0002").is_empty());
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_changed_since_the_preview_is_left_out_and_nothing_is_changed_that_was_not_shown() {
    let scenario = Scenario::start_team(Setup::team(4)).await;
    let all = json!({"agents": agent_ids(3)});
    scenario.set_agent_state("u_0003", SimState::LoggedOut);
    let set = scenario
        .wait_until("the third is seen to have left", || async {
            let set = preview(&scenario, json!({"select": all, "to": "Ready"})).await;
            if agent_entry(&set, "u_0003")["outcome"] == "logged_out" { Ok(set) } else { Err(set.to_string()) }
        })
        .await;
    // By the start the second is there already, and the third is back.
    scenario.set_agent_state("u_0002", SimState::Available);
    scenario.set_agent_state("u_0003", SimState::Unavailable);
    scenario
        .wait_until("both are seen", || async {
            let now = preview(&scenario, json!({"select": all, "to": "Ready"})).await;
            let seen = agent_entry(&now, "u_0002")["outcome"] == "already_there"
                && agent_entry(&now, "u_0003")["outcome"] == "change";
            if seen { Ok(()) } else { Err(now.to_string()) }
        })
        .await;
    start(&scenario, &set).await;
    let done = wait_for_status(&scenario, &set, "done").await;
    assert_eq!(agent_entry(&done, "u_0001")["status"], "confirmed");
    assert_eq!(
        (&agent_entry(&done, "u_0002")["status"], &agent_entry(&done, "u_0002")["error"]),
        (&json!("left_out"), &json!("already there"))
    );
    assert_eq!(agent_entry(&done, "u_0003")["transition"], Value::Null);
    assert_eq!(done["counts"]["left_out_at_start"], 1, "{done}");
    assert!(scenario.posts_for("u_0003").is_empty() && scenario.posts_for("u_0002").is_empty());
    scenario.assert_nothing_left_over().await;
}

async fn a_set_continues_after_a_crash_and_unsent_changes_are_cancelled(dialect: Dialect) {
    let mut setup = Setup::team(60).on(dialect);
    setup.tenant_keys = "requests_per_minute = 20\n";
    let mut scenario = Scenario::start_team(setup).await;
    let set = preview(&scenario, json!({"select": {"filter": {}}, "to": "Ready"})).await;
    assert_eq!(set["counts"]["will_change"], 60, "{}", set["counts"]);
    start(&scenario, &set).await;
    let posts = |least: usize| {
        let scenario = &scenario;
        async move {
            let posts = state_posts(&scenario.log()).count();
            if posts >= least { Ok(()) } else { Err(format!("{posts} POSTs")) }
        }
    };
    scenario.wait_until("some have left", || posts(10)).await;
    scenario.kill_daemon().await;
    scenario.start_daemon().await;
    let running = fetch_set(&scenario, &set).await;
    assert_eq!(running["status"], "running", "{}", running["counts"]);
    let posts = || async {
        let posts = state_posts(&scenario.log()).count();
        if posts >= 30 { Ok(()) } else { Err(format!("{posts} POSTs")) }
    };
    scenario.wait_until("it goes on", posts).await;
    let (status, refused) = with_set(&scenario, &set, "undo", json!({})).await;
    assert_eq!((status, &refused["code"]), (StatusCode::CONFLICT, &json!("still_leaving")), "{refused}");
    assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains(" for u_00")), "{refused}");
    let (status, cancelled) = with_set(&scenario, &set, "cancel", json!({"note": "enough"})).await;
    assert_eq!(status, StatusCode::OK, "{cancelled}");
    let ended = wait_for_status(&scenario, &set, "cancelled").await;
    let counts = &ended["counts"]["statuses"];
    let (confirmed, called_off) =
        (counts["confirmed"].as_u64().unwrap_or(0), counts["cancelled"].as_u64().unwrap_or(0));
    assert_eq!(confirmed + called_off, 60, "{}", ended["counts"]);
    assert!(confirmed >= 20 && called_off >= 1, "{}", ended["counts"]);
    let (status, refused) = with_set(&scenario, &set, "cancel", json!({})).await;
    assert_eq!((status, &refused["code"]), (StatusCode::CONFLICT, &json!("too_late")), "{refused}");
    scenario.assert_within_budget(20);
    assert_eq!(scenario.sim.counts(&scenario.tenant).applied_changes, confirmed);
    let back = with_set(&scenario, &set, "undo", json!({})).await.1;
    assert_eq!(back["counts"]["will_change"], confirmed, "{}", back["counts"]);
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_floor_holds_agents_back_and_skills_come_from_a_file_or_a_person() {
    let mut setup = Setup::team(4);
    let schedule = setup.schedule.take().expect("a team has one");
    let with_skills = |line: &str| {
        let skill = if line.starts_with("agent_id") { "skills" } else { "4711|12" };
        format!("{line},{skill}\n")
    };
    setup.schedule = Some(schedule.lines().map(with_skills).collect());
    let scenario = Scenario::start_team(setup).await;
    let put = |path: String, body: Value| send(scenario.request(Method::PUT, &path).json(&body));
    let path = format!("/api/v1/agents/u_0001/skills?tenant={}", scenario.tenant);
    let (_, skills) = scenario.get(&path).await;
    assert_eq!(skills, json!({"agent": "u_0001", "skills": ["12", "4711"]}));
    let tenant = &scenario.tenant;
    let body = json!({"tenant": tenant, "skills": ["12"]});
    let (status, skills) = put("/api/v1/agents/u_0004/skills".to_owned(), body).await;
    assert_eq!((status, &skills["skills"]), (StatusCode::OK, &json!(["12"])), "{skills}");
    let body = json!({"tenant": tenant, "name": "Voice", "floor": 2});
    let (status, skill) = put("/api/v1/skills/4711".to_owned(), body).await;
    assert_eq!((status, &skill["agents"], &skill["floor"]), (StatusCode::OK, &json!(3), &json!(2)), "{skill}");

    // Everybody to work first: who comes to work is never held back.
    let up = preview(&scenario, json!({"select": {"filter": {"skills": ["Voice"]}}, "to": "Ready"})).await;
    assert_eq!(up["counts"]["will_change"], 3, "{up}");
    start(&scenario, &up).await;
    wait_for_status(&scenario, &up, "done").await;
    let away = json!({"select": {"agents": agent_ids(4)}, "to": "NotReady"});
    let set = preview(&scenario, away.clone()).await;
    let expected = json!([{"skill": "4711", "name": "Voice", "available": 3, "after": 2, "floor": 2}]);
    assert_eq!(set["floors"], expected, "{set}");
    let shown: Vec<_> = set["agents"].as_array().expect("agents").iter().map(|one| &one["outcome"]).collect();
    assert_eq!(shown, ["change", "below_floor", "below_floor", "already_there"], "{set}");
    assert_eq!(agent_entry(&set, "u_0002")["skills"], json!(["4711"]));
    start(&scenario, &set).await;
    let mut anyway = away;
    anyway["below_floor"] = json!("the building is evacuated");
    wait_for_status(&scenario, &set, "done").await;
    let set = preview(&scenario, anyway).await;
    assert_eq!((&set["counts"]["will_change"], &set["floors"][0]["after"]), (&json!(2), &json!(0)), "{set}");
    start(&scenario, &set).await;
    wait_for_status(&scenario, &set, "done").await;

    // The floor and the skills are there after a restart.
    let mut scenario = scenario;
    scenario.stop_daemon().await;
    scenario.start_daemon().await;
    let up = preview(&scenario, json!({"select": {"filter": {"skills": ["4711"]}}, "to": "Ready"})).await;
    assert_eq!(up["counts"]["agents"], 3, "{up}");
    assert_eq!(up["floors"][0]["floor"], 2, "{up}");
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_on_a_contact_wait_for_its_end_or_are_left_alone() {
    let scenario = Scenario::start_team(Setup::team(4)).await;
    scenario.set_agent_state("u_0001", SimState::OnContact);
    let wanted = |on_contact: &str| json!({"select": {"agents": ["u_0001", "u_0002"]}, "to": "Paused", "on_contact": on_contact});
    let set = scenario
        .wait_until("the contact is seen", || async {
            let set = preview(&scenario, wanted("after")).await;
            if agent_entry(&set, "u_0001")["outcome"] == "after_contact" { Ok(set) } else { Err(set.to_string()) }
        })
        .await;
    let skipping = preview(&scenario, wanted("skip")).await;
    assert_eq!(agent_entry(&skipping, "u_0001")["outcome"], "on_contact", "{skipping}");
    let anyway = preview(&scenario, wanted("now")).await;
    assert_eq!(agent_entry(&anyway, "u_0001")["outcome"], "change", "{anyway}");
    start(&scenario, &set).await;
    scenario
        .wait_until("one is done and one waits", || async {
            let now = fetch_set(&scenario, &set).await;
            let waits =
                agent_entry(&now, "u_0001")["error"].as_str().is_some_and(|error| error.contains("the contact to end"));
            if waits && agent_entry(&now, "u_0002")["status"] == "confirmed" { Ok(()) } else { Err(now.to_string()) }
        })
        .await;
    scenario.set_agent_state("u_0001", SimState::Available);
    wait_for_status(&scenario, &set, "done").await;
    assert_eq!(scenario.state_of("u_0001"), SimState::Paused);
    let (status, gone) = with_set(&scenario, &skipping, "cancel", json!({})).await;
    assert_eq!((status, &gone["status"]), (StatusCode::OK, &json!("cancelled")), "{gone}");
    let (status, refused) = with_set(&scenario, &skipping, "start", json!({"hash": skipping["hash"]})).await;
    assert_eq!((status, &refused["code"]), (StatusCode::CONFLICT, &json!("cancelled_already")), "{refused}");
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_that_is_too_old_starts_nothing() {
    let scenario = Scenario::start_team(Setup::team(4)).await;
    let set = preview(&scenario, json!({"select": {"agents": ["u_0001"]}, "to": "Ready"})).await;
    scenario.let_time_pass(Duration::from_secs(601)).await;
    let (status, refused) = with_set(&scenario, &set, "start", json!({"hash": set["hash"]})).await;
    assert_eq!((status, &refused["code"]), (StatusCode::CONFLICT, &json!("preview_expired")), "{refused}");
    assert_eq!(fetch_set(&scenario, &set).await["status"], "expired");
    let (status, refused) =
        request_preview(&scenario, json!({"select": {"filter": {"search": "nobody"}}, "to": "Ready"})).await;
    assert_eq!((status, &refused["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("nobody_chosen")), "{refused}");
    assert!(scenario.posts_for("u_0001").is_empty());
    scenario.assert_nothing_left_over().await;
}

async fn an_urgent_set_goes_ahead_of_a_large_one_within_seconds(dialect: Dialect) {
    let mut setup = Setup::team(160).on(dialect);
    // Two seconds must be long beside what the machine itself needs.
    setup.speed = 10;
    let scenario = Scenario::start_team(setup).await;
    let others: Vec<String> = agent_ids(160).into_iter().skip(3).collect();
    let large = preview(&scenario, json!({"select": {"agents": others}, "to": "Ready"})).await;
    start(&scenario, &large).await;
    scenario
        .wait_until("the large one has used up the minute", || async {
            let posts = state_posts(&scenario.log()).count();
            if posts >= 95 { Ok(()) } else { Err(format!("{posts} POSTs")) }
        })
        .await;
    let urgent = json!({"select": {"agents": ["u_0001", "u_0002"]}, "to": "Ready", "urgent": true});
    let urgent = preview(&scenario, urgent).await;
    assert!(instant(&urgent["finish_at"]) < instant(&large["finish_at"]), "{urgent}");
    assert_eq!(urgent["ahead"], 0, "{urgent}");
    let asked_at = scenario.clock.now();
    start(&scenario, &urgent).await;
    wait_for_status(&scenario, &urgent, "done").await;
    for agent in ["u_0001", "u_0002"] {
        let left_at = scenario.posts_for(agent).first().expect("a POST").at;
        assert!(left_at.since(asked_at) <= Duration::from_secs(4), "{agent} left after {:?}", left_at.since(asked_at));
    }
    wait_for_status(&scenario, &large, "done").await;
    scenario.assert_within_budget(100);
    scenario.assert_nothing_left_over().await;
}

async fn many_agents_finish_when_the_preview_says_with_a_call_each_and_no_429(dialect: Dialect) {
    let count = if full_size() { 2000 } else { 250 };
    let mut setup = Setup::team(count + 40).on(dialect);
    // What the machine itself needs must be little beside a minute, in each of the minutes.
    setup.speed = if full_size() { 5 } else { 10 };
    let scenario = Scenario::start_team(setup).await;
    // How long an answer takes is measured, and the first are measured now.
    let first = scenario.request_change(&agent_ids(count + 40)[count..], "Ready").await;
    scenario.wait_for_all(&first, "confirmed").await;
    let before = state_posts(&scenario.log()).count();
    let set = preview(&scenario, json!({"select": {"agents": agent_ids(count)}, "to": "Ready"})).await;
    assert_eq!(set["calls"], json!(count), "{}", set["counts"]);
    let started_at = scenario.clock.now();
    start(&scenario, &set).await;
    let limit = Duration::from_secs(if full_size() { 600 } else { 60 });
    let done = scenario
        .wait_until_within("all of it has ended", limit, || async {
            let id = set["id"].as_str().expect("an id");
            let path = format!("/api/v1/change-sets/{id}?tenant={}&agents=false", scenario.tenant);
            let now = scenario.get(&path).await.1;
            if now["status"] == "done" { Ok(now) } else { Err(now["counts"].to_string()) }
        })
        .await;
    assert_eq!(done["counts"]["confirmed"], json!(count), "{}", done["counts"]);
    let log = scenario.log();
    let posts: Vec<_> = state_posts(&log).skip(before).collect();
    assert!(posts.len() * 100 <= count * 105, "{} calls for {count} changes", posts.len());
    scenario.assert_within_budget(100);
    let last = posts.iter().map(|post| post.at).max().expect("a POST");
    let (shown, took) = (instant(&set["finish_at"]).since(started_at), last.since(started_at));
    let off = shown.abs_diff(took);
    print_progress(format!("{count} agents: {} calls, no 429; {shown:?} shown, {took:?} taken", posts.len()));
    assert!(off.as_secs_f64() <= took.as_secs_f64() * 0.05, "shown {shown:?}, took {took:?}");
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_leaves_a_persons_change_until_the_agent_changes_state() {
    let mut setup = Setup::team(4);
    setup.speed = 60;
    setup.schedule = Some(schedule(agent_ids(4), &[]));
    setup.rules = r#"
[[rules]]
id = "back"
when = { planned = "work", state = "NotReady", for = "3m" }
then = { set_state = "Ready" }
mode = "enforce"
"#;
    let scenario = Scenario::start(setup).await;
    for agent in agent_ids(4) {
        scenario.set_agent_state(&agent, SimState::Available);
    }
    let plan = scenario.setup.schedule.clone().expect("a schedule");
    scenario.import(&plan).await;
    scenario.wait_until_observed().await;
    let is_ready = |agent: &'static str| {
        let scenario = &scenario;
        scenario.wait_until("the rule made the agent ready", move || async move {
            let state = scenario.state_of(agent);
            if state == SimState::Available { Ok(()) } else { Err(format!("{state:?} at {}", scenario.clock.now())) }
        })
    };

    let set =
        preview(&scenario, json!({"select": {"agents": ["u_0001"]}, "to": "NotReady", "reason": "MEETING"})).await;
    assert_eq!(
        (&agent_entry(&set, "u_0001")["planned"], &agent_entry(&set, "u_0001")["would_be"]),
        (&json!("work"), &json!("out"))
    );
    start(&scenario, &set).await;
    wait_for_status(&scenario, &set, "done").await;
    scenario.set_agent_state("u_0002", SimState::Unavailable);
    // The rule acts on agents who are not ready for a shorter time, and of their own accord.
    is_ready("u_0002").await;
    scenario.let_time_pass(Duration::from_secs(10 * 60)).await;
    assert_eq!((scenario.state_of("u_0001"), scenario.posts_for("u_0001").len()), (SimState::Unavailable, 1));

    scenario.set_agent_state("u_0001", SimState::Available);
    scenario
        .wait_until("that is seen", || async {
            let now = fetch_agent(&scenario, "u_0001").await;
            if now["state"] == "Ready" { Ok(()) } else { Err(now.to_string()) }
        })
        .await;
    scenario.set_agent_state("u_0001", SimState::Unavailable);
    is_ready("u_0001").await;
    assert_eq!(scenario.posts_for("u_0001").len(), 2, "what he does by himself is the rule's again");
    scenario.assert_nothing_left_over().await;
}
