//! Schedules are checked before they take effect, applied as they were shown, and undone.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Scenario, Setup, agent_ids, schedule, send};

const LUNCH: (&str, &str, &str, bool) = ("lunch", "16:00", "16:30", true);

async fn post(scenario: &Scenario, path: &str, body: &Value) -> (StatusCode, Value) {
    send(scenario.request(Method::POST, path).json(body)).await
}

/// A team of four with lunch at 16:00.
async fn team_with_lunch() -> Scenario {
    let scenario = Scenario::start_team(Setup::team(4)).await;
    scenario.import(&schedule(agent_ids(4), &[LUNCH])).await;
    scenario
}

fn lunch_later(agents: &[&str]) -> Value {
    json!({"tenant": "acme", "agents": agents, "day": "2026-10-26", "edit": {"move": {"activity": "lunch", "by_minutes": 30}}})
}

/// When the lunch of an agent starts.
async fn lunch_of(scenario: &Scenario, agent: &str) -> Value {
    let span = "from=2026-10-26T00:00:00Z&to=2026-10-27T00:00:00Z";
    let (_, plan) = scenario.get(&format!("/api/v1/agents/{agent}/shifts?tenant=acme&{span}")).await;
    let activities = plan["shifts"][0]["activities"].as_array().cloned().unwrap_or_default();
    activities.iter().find(|one| one["activity"] == "lunch").map_or(Value::Null, |one| one["start"].clone())
}

async fn check(scenario: &Scenario, path: &str, body: &Value) -> Value {
    let (status, check) = post(scenario, &format!("{path}/check"), body).await;
    assert_eq!(status, StatusCode::OK, "{check}");
    check
}

fn with_hash(body: &Value, check: &Value) -> Value {
    let mut body = body.clone();
    body["hash"] = check["hash"].clone();
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_lunch_is_shown_first_changes_the_plan_and_is_taken_back() {
    let scenario = team_with_lunch().await;
    let edit = lunch_later(&["u_0001", "u_0002"]);
    let shown = check(&scenario, "/api/v1/schedule-edits", &edit).await;
    let counts = [&shown["agents"], &shown["changed"], &shown["added"], &shown["removed"], &shown["in_past"]];
    assert_eq!(counts, [&json!(2), &json!(2), &json!(0), &json!(0), &json!(2)], "{shown}");
    let first = &shown["changes"][0]["shifts"][0];
    let start = |shift: &Value| shift["activities"][0]["start"].clone();
    assert_eq!(first["kind"], "changed");
    let (before, after) = (start(&first["before"]), start(&first["after"]));
    assert_eq!((before, after), (json!("2026-10-26T16:00:00Z"), json!("2026-10-26T16:30:00Z")));
    assert_eq!(lunch_of(&scenario, "u_0001").await, "2026-10-26T16:00:00Z", "a check changes nothing");

    let (status, refused) = post(&scenario, "/api/v1/schedule-edits", &edit).await;
    assert_eq!((status, &refused["code"]), (StatusCode::BAD_REQUEST, &json!("bad_request")), "{refused}");
    let (status, applied) = post(&scenario, "/api/v1/schedule-edits", &with_hash(&edit, &shown)).await;
    assert_eq!((status, &applied["agents"]), (StatusCode::OK, &json!(2)), "{applied}");
    assert_eq!(lunch_of(&scenario, "u_0001").await, "2026-10-26T16:30:00Z");
    assert_eq!(lunch_of(&scenario, "u_0003").await, "2026-10-26T16:00:00Z", "others stay as they are");
    scenario
        .wait_until("the keeper has the new plan", || async {
            let (_, agent) = scenario.get("/api/v1/agents/u_0001?tenant=acme").await;
            let until = &agent["planned"]["until"];
            if until == "2026-10-26T16:30:00Z" { Ok(()) } else { Err(agent.to_string()) }
        })
        .await;

    let (_, versions) = scenario.get("/api/v1/schedule-versions?tenant=acme").await;
    let newest = &versions["versions"][0];
    assert_eq!((&newest["version"], &newest["agents"]), (&applied["version"], &json!(2)), "{versions}");
    assert_eq!(newest["name"], "lunch moved by 30 min on 2026-10-26");
    let undo = format!("/api/v1/schedule-versions/{}/undo", applied["version"]);
    let body = json!({"tenant": "acme"});
    let back = check(&scenario, &undo, &body).await;
    assert_eq!((&back["agents"], &back["changed"]), (&json!(2), &json!(2)), "{back}");
    let (status, undone) = post(&scenario, &undo, &with_hash(&body, &back)).await;
    assert_eq!(status, StatusCode::OK, "{undone}");
    assert_eq!(lunch_of(&scenario, "u_0001").await, "2026-10-26T16:00:00Z");
    let chain = scenario.get("/api/v1/audit?tenant=acme&action=schedule.&limit=2").await.1;
    let actions: Vec<_> = chain["entries"].as_array().expect("entries").iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions, [&json!("schedule.undone"), &json!("schedule.edited")], "{chain}");
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_overwritten_that_was_not_shown() {
    let scenario = team_with_lunch().await;
    let (one, other) = (lunch_later(&["u_0001", "u_0002"]), lunch_later(&["u_0002", "u_0003"]));
    let (shown_to_one, shown_to_other) = (
        check(&scenario, "/api/v1/schedule-edits", &one).await,
        check(&scenario, "/api/v1/schedule-edits", &other).await,
    );
    let (status, first) = post(&scenario, "/api/v1/schedule-edits", &with_hash(&one, &shown_to_one)).await;
    assert_eq!(status, StatusCode::OK, "{first}");
    let (status, refused) = post(&scenario, "/api/v1/schedule-edits", &with_hash(&other, &shown_to_other)).await;
    assert_eq!((status, &refused["code"]), (StatusCode::CONFLICT, &json!("hash_differs")), "{refused}");
    assert_eq!(lunch_of(&scenario, "u_0003").await, "2026-10-26T16:00:00Z");
    let again = check(&scenario, "/api/v1/schedule-edits", &other).await;
    let (status, second) = post(&scenario, "/api/v1/schedule-edits", &with_hash(&other, &again)).await;
    assert_eq!(status, StatusCode::OK, "{second}");
    assert_eq!(lunch_of(&scenario, "u_0002").await, "2026-10-26T17:00:00Z");

    // Of the first edit, only what nobody changed since is undone.
    let undo = format!("/api/v1/schedule-versions/{}/undo", first["version"]);
    let body = json!({"tenant": "acme"});
    let back = check(&scenario, &undo, &body).await;
    assert_eq!((&back["agents"], &back["left_out"][0]["agent"]), (&json!(1), &json!("u_0002")), "{back}");
    let (status, undone) = post(&scenario, &undo, &with_hash(&body, &back)).await;
    assert_eq!(status, StatusCode::OK, "{undone}");
    let lunches = [lunch_of(&scenario, "u_0001").await, lunch_of(&scenario, "u_0002").await];
    assert_eq!(lunches, ["2026-10-26T16:00:00Z", "2026-10-26T17:00:00Z"]);
    let (status, refused) = post(&scenario, "/api/v1/schedule-versions/99/undo/check", &body).await;
    assert_eq!((status, &refused["code"]), (StatusCode::NOT_FOUND, &json!("no_such_version")), "{refused}");
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_leaves_out_whom_it_does_not_fit_and_says_why() {
    let scenario = team_with_lunch().await;
    let meeting = |start: &str, end: &str, agents: Value| {
        json!({"tenant": "acme", "agents": agents, "day": "2026-10-26",
               "edit": {"add": {"activity": "meeting", "start": start, "end": end}}})
    };
    let body = meeting("2026-10-26T16:15:00Z", "2026-10-26T17:00:00Z", json!(["u_0001"]));
    let shown = check(&scenario, "/api/v1/schedule-edits", &body).await;
    assert_eq!(
        (&shown["agents"], &shown["left_out"][0]["why"]),
        (&json!(0), &json!("the meeting would overlap the lunch"))
    );
    let (status, refused) = post(&scenario, "/api/v1/schedule-edits", &with_hash(&body, &shown)).await;
    assert_eq!((status, &refused["code"]), (StatusCode::CONFLICT, &json!("nothing_changes")), "{refused}");

    let team = json!({"tenant": "acme", "team": "Team 0", "day": "2026-10-26",
                      "edit": {"set_shift": {"end": "2026-10-26T15:00:00Z"}}});
    let shown = check(&scenario, "/api/v1/schedule-edits", &team).await;
    assert_eq!(shown["changes"][0]["team"], "Team 0", "{shown}");
    assert_eq!(shown["changes"][0]["shifts"][0]["after"]["activities"], json!([]), "lunch would be after the end");
    let kinds: Vec<_> = shown["findings"].as_array().expect("findings").iter().map(|one| &one["kind"]).collect();
    assert!(kinds.contains(&&json!("no_break")), "{shown}");
    for (wrong, code) in [
        (json!({"tenant": "acme", "day": "2026-10-26", "edit": {"remove": {"activity": "lunch"}}}), "bad_request"),
        (
            json!({"tenant": "acme", "agents": ["u_9999"], "day": "2026-10-26", "edit": {"remove": {"activity": "lunch"}}}),
            "no_such_agent",
        ),
        (json!({"tenant": "acme", "agents": ["u_0001"], "day": "2026-10-26", "edit": {"swap": {}}}), "bad_body"),
    ] {
        let (_, refused) = post(&scenario, "/api/v1/schedule-edits/check", &wrong).await;
        assert_eq!(refused["code"], code, "{refused}");
    }
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_edits_the_schedules_of_their_teams_and_imports_or_undoes_nothing() {
    let scenario = team_with_lunch().await;
    let wanted = json!({"id": "floor", "role": "supervisor", "tenants": [{"id": "acme", "teams": ["Team 0"]}]});
    let (status, made) = post(&scenario, "/api/v1/tokens", &wanted).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let token = made["token"].as_str().expect("a token").to_owned();
    let ask = |path: &'static str, body: Value| send(scenario.request_as(&token, Method::POST, path).json(&body));
    let edits = "/api/v1/schedule-edits";
    let own = lunch_later(&["u_0001"]);
    let (status, shown) = ask("/api/v1/schedule-edits/check", own.clone()).await;
    assert_eq!((status, &shown["agents"]), (StatusCode::OK, &json!(1)), "{shown}");
    let (status, applied) = ask(edits, with_hash(&own, &shown)).await;
    assert_eq!((status, &applied["agents"]), (StatusCode::OK, &json!(1)), "{applied}");
    assert_eq!(lunch_of(&scenario, "u_0001").await, "2026-10-26T16:30:00Z");

    let other_team = json!({"tenant": "acme", "team": "Team 1", "day": "2026-10-26",
                            "edit": {"remove": {"activity": "lunch"}}});
    for (body, code) in [
        (lunch_later(&["u_0002"]), "no_such_agent"),
        (lunch_later(&["u_0001", "u_0002"]), "no_such_agent"),
        (other_team, "no_such_team"),
    ] {
        for path in [edits, "/api/v1/schedule-edits/check"] {
            let (status, refused) = ask(path, body.clone()).await;
            assert_eq!((status, &refused["code"]), (StatusCode::NOT_FOUND, &json!(code)), "{body}: {refused}");
        }
    }
    assert_eq!(lunch_of(&scenario, "u_0002").await, "2026-10-26T16:00:00Z");
    for path in ["/api/v1/schedule-imports?tenant=acme&name=week.csv", "/api/v1/schedule-versions/2/undo"] {
        let (status, refused) = ask(path, json!({"tenant": "acme"})).await;
        assert_eq!((status, &refused["code"]), (StatusCode::FORBIDDEN, &json!("not_permitted")), "{path}: {refused}");
    }
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_is_compared_with_the_schedule_in_force_and_applied_as_shown() {
    let scenario = team_with_lunch().await;
    let later = ("lunch", "17:00", "17:30", true);
    let csv = schedule(["u_0001".to_owned(), "u_0002".to_owned(), "u_0900".to_owned()], &[later]);
    let upload = |path: &str, hash: Option<&str>| {
        let hash = hash.map(|hash| format!("&hash={hash}")).unwrap_or_default();
        let path = format!("/api/v1/schedule-imports{path}?tenant=acme&name=week.csv{hash}");
        scenario.request(Method::POST, &path).body(csv.clone())
    };
    let (status, shown) = send(upload("/check", None)).await;
    assert_eq!(status, StatusCode::OK, "{shown}");
    let counts = [&shown["agents"], &shown["added"], &shown["changed"], &shown["removed"]];
    assert_eq!(counts, [&json!(3), &json!(1), &json!(2), &json!(0)], "{shown}");
    let findings = shown["findings"].as_array().expect("findings");
    let about = |kind: &str| -> Vec<&Value> {
        findings.iter().filter(|one| one["kind"] == kind).map(|one| &one["agent"]).collect()
    };
    assert_eq!(about("unknown_agent"), [&json!("u_0900")], "{shown}");
    assert_eq!(about("missing_agent"), [&json!("u_0003"), &json!("u_0004")], "{shown}");
    assert_eq!(lunch_of(&scenario, "u_0001").await, "2026-10-26T16:00:00Z");

    // Somebody changes one of the agents in between.
    let edit = lunch_later(&["u_0001"]);
    let edit_check = check(&scenario, "/api/v1/schedule-edits", &edit).await;
    assert_eq!(post(&scenario, "/api/v1/schedule-edits", &with_hash(&edit, &edit_check)).await.0, StatusCode::OK);
    let (status, refused) = send(upload("", shown["hash"].as_str())).await;
    assert_eq!((status, &refused["code"]), (StatusCode::CONFLICT, &json!("hash_differs")), "{refused}");
    let (_, again) = send(upload("/check", None)).await;
    let (status, imported) = send(upload("", again["hash"].as_str())).await;
    assert_eq!((status, &imported["changed"]), (StatusCode::OK, &json!(true)), "{imported}");
    assert_eq!(lunch_of(&scenario, "u_0001").await, "2026-10-26T17:00:00Z");
    let (_, same) = send(upload("/check", None)).await;
    assert_eq!((&same["agents"], &same["unchanged"]), (&json!(0), &json!(3)), "{same}");

    // An agent who had no schedule before has none after the import is undone: no day off either.
    let undo = format!("/api/v1/schedule-versions/{}/undo", imported["version"]);
    let body = json!({"tenant": "acme"});
    let back = check(&scenario, &undo, &body).await;
    let counts = [&back["agents"], &back["removed"], &back["changed"]];
    assert_eq!(counts, [&json!(3), &json!(1), &json!(2)], "{back}");
    assert_eq!(post(&scenario, &undo, &with_hash(&body, &back)).await.0, StatusCode::OK);
    let (_, board) = scenario.get("/api/v1/schedule-board?tenant=acme&day=2026-10-26").await;
    let planned = board["agents"].as_array().expect("agents").iter().find(|row| row["agent"]["id"] == "u_0900");
    assert!(planned.is_none_or(|row| row["planned"][0]["activity"] == "uncovered"), "{planned:?}");
    assert_eq!(lunch_of(&scenario, "u_0001").await, "2026-10-26T16:30:00Z");
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exported_schedule_is_the_one_in_force() {
    let scenario = team_with_lunch().await;
    let days = "tenant=acme&from=2026-10-25&through=2026-10-27";
    for format in ["csv", "ics"] {
        let path = format!("/api/v1/schedule-export?{days}&format={format}");
        let answer = scenario.request(Method::GET, &path).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK);
        let header = |name: &str| answer.headers()[name].to_str().expect("text").to_owned();
        let disposition = format!("attachment; filename=\"schedule-acme-2026-10-25-2026-10-27.{format}\"");
        assert_eq!(header("content-disposition"), disposition);
        assert_eq!(header("shiftkeeper-partly-covered-agents"), "0");
        let file = answer.text().await.expect("a file");
        assert!(file.contains("u_0003") && file.to_lowercase().contains("lunch"), "{file}");
        let path = format!("/api/v1/schedule-imports/check?tenant=acme&name=back.{format}");
        let (status, check) = send(scenario.request(Method::POST, &path).body(file)).await;
        assert_eq!((status, &check["agents"], &check["unchanged"]), (StatusCode::OK, &json!(0), &json!(4)), "{check}");
    }
    let (status, refused) =
        scenario.get("/api/v1/schedule-export?tenant=acme&from=2026-10-27&through=2026-10-25").await;
    assert_eq!((status, &refused["code"]), (StatusCode::BAD_REQUEST, &json!("bad_request")), "{refused}");
}

const LUNCH_RULE: &str = r#"[[rules]]
id = "lunch-starts"
mode = "enforce"
when = { planned = "lunch" }
unless = { state = "Paused" }
then = { set_state = "Paused", on_contact = "after" }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_check_shows_what_the_rules_would_do_differently() {
    let scenario = Scenario::start_team(Setup { rules: LUNCH_RULE, ..Setup::team(4) }).await;
    scenario.import(&schedule(agent_ids(4), &[("lunch", "20:00", "20:30", true)])).await;
    let edit = lunch_later(&["u_0001"]);
    let shown = check(&scenario, "/api/v1/schedule-edits", &edit).await;
    let preview = &shown["rules"];
    let action = json!({
        "rule": "lunch-starts", "mode": "enforce", "agent": "u_0001", "name": "Agent 0",
        "action": preview["changes"][0]["action"], "before": preview["changes"][0]["before"],
        "after": preview["changes"][0]["after"],
    });
    assert_eq!(preview["changes"], json!([action]), "{shown}");
    assert!(action["action"].as_str().is_some_and(|text| text.starts_with("set Paused")), "{action}");
    let minute = |at: &Value| at.as_str().unwrap_or_default().get(..16).unwrap_or_default().to_owned();
    let minutes = [minute(&action["before"]), minute(&action["after"])];
    assert_eq!(minutes, ["2026-10-26T20:00", "2026-10-26T20:30"], "{preview}");
    assert_eq!((&preview["more_changes"], &preview["uses_figures"]), (&json!(0), &json!(false)));
    let past = json!({"tenant": "acme", "agents": ["u_0001"], "day": "2026-10-20", "edit": edit["edit"]});
    let (_, nothing) = post(&scenario, "/api/v1/schedule-edits/check", &past).await;
    assert_eq!(nothing["rules"], Value::Null, "{nothing}");
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_names_the_quarter_hours_below_the_floor_of_a_skill() {
    let scenario = team_with_lunch().await;
    let put = async |path: &str, body: Value| {
        let (status, answer) = send(scenario.request(Method::PUT, path).json(&body)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    };
    put("/api/v1/skills/4711", json!({"tenant": "acme", "name": "Voice", "floor": 2})).await;
    for agent in ["u_0001", "u_0002"] {
        put(&format!("/api/v1/agents/{agent}/skills"), json!({"tenant": "acme", "skills": ["4711"]})).await;
    }
    let below = |start: &str, end: &str| {
        json!({"start": format!("2026-10-26T{start}:00Z"), "end": format!("2026-10-26T{end}:00Z"), "team": null,
               "skill": "Voice", "required": 2.0, "before": 0.0, "after": -1.0})
    };
    let shown = check(&scenario, "/api/v1/schedule-edits", &lunch_later(&["u_0001", "u_0003"])).await;
    assert_eq!(shown["shortfalls"], json!([below("16:30", "16:45"), below("16:45", "17:00")]), "{shown}");
    let other = check(&scenario, "/api/v1/schedule-edits", &lunch_later(&["u_0003"])).await;
    assert_eq!(other["shortfalls"], json!([]), "u_0003 does not have the skill");
    scenario.assert_nothing_left_over().await;
}
