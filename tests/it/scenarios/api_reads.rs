//! What the API reads out to the console and to other systems: agents, a day of one, shifts, figures, the audit chain, tenants, the
//! document and its page.

use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::harness::{Scenario, Setup, VIEWER, send};

/// `GET` that has to succeed.
async fn get_ok(scenario: &Scenario, path: &str) -> Value {
    let (status, body) = scenario.get(path).await;
    assert_eq!(status, StatusCode::OK, "{path}: {body}");
    body
}

async fn get_refused(scenario: &Scenario, path: &str) -> (u16, String) {
    let (status, body) = scenario.get(path).await;
    (status.as_u16(), body["code"].as_str().unwrap_or_default().to_owned())
}

fn ids(list: &Value) -> Vec<&str> {
    list["agents"].as_array().expect("agents").iter().filter_map(|agent| agent["id"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_are_listed_narrowed_and_shown_one_by_one() {
    let scenario = Scenario::start_team(Setup::team(12)).await;
    let all = get_ok(&scenario, "/api/v1/agents?tenant=acme").await;
    assert_eq!((&all["total"], &all["matching"], &all["next"]), (&json!(12), &json!(12), &Value::Null));
    let first = get_ok(&scenario, "/api/v1/agents?tenant=acme&sort=id&limit=5").await;
    assert_eq!(ids(&first), ["u_0001", "u_0002", "u_0003", "u_0004", "u_0005"]);
    let cursor = first["next"].as_str().expect("more");
    let second = get_ok(&scenario, &format!("/api/v1/agents?tenant=acme&sort=id&limit=10&cursor={cursor}")).await;
    assert_eq!((ids(&second).len(), ids(&second)[0]), (7, "u_0006"));
    let team = get_ok(&scenario, "/api/v1/agents?tenant=acme&team=Team%201&sort=id").await;
    assert_eq!(
        (ids(&team), &team["matching"], &team["total"]),
        (vec!["u_0002", "u_0006", "u_0010"], &json!(3), &json!(12))
    );

    let taken = scenario.request_change(&["u_0003"], "Ready").await;
    scenario.wait_for_status(&taken[0], "confirmed").await;
    let ready = scenario
        .wait_until("the list shows the change", || async {
            let list = get_ok(&scenario, "/api/v1/agents?tenant=acme&state=Ready").await;
            if ids(&list) == ["u_0003"] { Ok(list["agents"][0].clone()) } else { Err(list.to_string()) }
        })
        .await;
    assert_eq!((&ready["planned"]["activity"], &ready["adherence"]["verdict"]), (&json!("work"), &json!("in")));
    assert_eq!(ready["zone"], "UTC");
    assert!(ready["in_state_ms"].is_u64() && ready["transition"].is_string(), "{ready}");
    let one = get_ok(&scenario, "/api/v1/agents/u_0003?tenant=acme").await;
    assert_eq!((&one["tenant"], &one["id"], &one["state"]), (&json!("acme"), &json!("u_0003"), &json!("Ready")));
    assert_eq!(get_refused(&scenario, "/api/v1/agents/u_9999?tenant=acme").await, (404, "no_such_agent".to_owned()));
    assert_eq!(get_refused(&scenario, "/api/v1/agents?tenant=nobody").await, (404, "no_such_tenant".to_owned()));
    assert_eq!(get_refused(&scenario, "/api/v1/agents?tenant=acme&colour=red").await, (400, "bad_request".to_owned()));
    let (status, strange) = scenario.get("/api/v1/agents?tenant=acme&state=Redy").await;
    assert_eq!((status, &strange["code"]), (StatusCode::BAD_REQUEST, &json!("bad_request")), "{strange}");
    assert!(strange["detail"].as_str().expect("words").ends_with("did you mean Ready?"), "{strange}");
    assert_eq!(ids(&get_ok(&scenario, "/api/v1/agents?tenant=acme&state=ready").await), ["u_0003"]);
    // Nobody is in these, which may be so tomorrow no longer.
    for state in ["Paused", "Unseen", "", "lunch-with-clients"] {
        let list = get_ok(&scenario, &format!("/api/v1/agents?tenant=acme&state={state}")).await;
        assert_eq!(ids(&list), Vec::<&str>::new(), "{state}");
    }
    assert_eq!(get_refused(&scenario, "/api/v1/agents/%00?tenant=acme").await, (400, "bad_request".to_owned()));

    let tenants = get_ok(&scenario, "/api/v1/tenants").await;
    assert_eq!(tenants["tenants"][0]["id"], "acme");
    assert_eq!((&tenants["tenants"][0]["agents"], &tenants["tenants"][0]["zones"]), (&json!(12), &json!(["UTC"])));
    assert_eq!(tenants["tenants"][0]["teams"].as_array().map(Vec::len), Some(4));
    scenario.assert_nothing_left_over().await;
}

/// The same day once the agent is excused for all of it.
async fn assert_exception_makes_neutral(scenario: &Scenario, day: &Value) {
    let (from, to) = (day["from"].clone(), day["to"].clone());
    let excuse = json!({"tenant": "acme", "agents": ["u_0001"], "from": from, "to": to, "reason": "fire drill"});
    let (status, made) = send(scenario.request(Method::POST, "/api/v1/exceptions").json(&excuse)).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let day = get_ok(scenario, "/api/v1/agents/u_0001/timeline?tenant=acme&day=2026-10-26").await;
    assert_eq!((&day["exceptions"][0]["id"], &day["exceptions"][0]["reason"]), (&made["id"], &json!("fire drill")));
    assert_eq!(
        (&day["adherence"]["in_s"], &day["adherence"]["share"]),
        (&json!(0.0), &Value::Null),
        "{}",
        day["adherence"]
    );
    assert!(day["adherence"]["neutral_s"].as_f64() > Some(0.0), "{}", day["adherence"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeline_has_plan_states_verdicts_and_changes() {
    let scenario = Scenario::start_team(Setup::team(4)).await;
    let taken = scenario.request_change(&["u_0001"], "Ready").await;
    let settled = scenario.wait_for_status(&taken[0], "confirmed").await;
    let accepted_at = settled["accepted_at"].clone();
    let day = scenario
        .wait_until("the day shows the change", || async {
            let day = get_ok(&scenario, "/api/v1/agents/u_0001/timeline?tenant=acme&day=2026-10-26").await;
            let states: Vec<_> =
                day["actual"].as_array().expect("spans").iter().map(|span| span["state"].clone()).collect();
            if states.last() == Some(&json!("Ready")) { Ok(day) } else { Err(format!("{states:?}")) }
        })
        .await;
    assert_eq!(
        (&day["length_s"], &day["zone"], &day["agent"]["team"]),
        (&json!(86_400), &json!("UTC"), &json!("Team 0"))
    );
    let planned: Vec<_> =
        day["planned"].as_array().expect("a plan").iter().map(|span| span["activity"].as_str()).collect();
    assert_eq!(planned, [Some("off"), Some("work"), Some("off")]);
    let pieces = day["pieces"].as_array().expect("pieces");
    assert_eq!((&pieces[0]["start"], &pieces[pieces.len() - 1]["end"]), (&day["from"], &day["now"]));
    assert!(pieces.windows(2).all(|pair| pair[0]["end"] == pair[1]["start"]), "{pieces:?}");
    assert_eq!((&pieces[0]["verdict"], &pieces[0]["state"]), (&json!("unknown"), &Value::Null), "nobody saw the night");
    let verdicts: Vec<_> =
        pieces.iter().filter(|piece| piece["state"] == "Ready").map(|piece| &piece["verdict"]).collect();
    assert_eq!(verdicts, [&json!("in")]);
    let ready = day["actual"].as_array().expect("spans").last().expect("a span").clone();
    assert_eq!(ready["ongoing"], true);
    let seconds = |key: &str| day["adherence"][key].as_f64().expect("seconds");
    let sum: f64 = ["in_s", "out_s", "neutral_s", "unscheduled_s", "unknown_s"].into_iter().map(seconds).sum();
    let instant =
        |value: &Value| value.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok()).expect("an instant");
    let length = instant(&day["now"]).duration_since(instant(&day["from"])).as_secs_f64();
    assert!((sum - length).abs() < 0.01, "{sum} of {length}");
    assert_eq!(day["changes"][0]["id"], taken[0]["id"]);
    assert_eq!(day["changes"][0]["actor"], "person:operator");

    let history = get_ok(
        &scenario,
        "/api/v1/agents/u_0001/history?tenant=acme&from=2026-10-26T00:00:00Z&to=2026-10-27T00:00:00Z",
    )
    .await;
    let rows = history["history"].as_array().expect("rows");
    let last = rows.last().expect("a row");
    assert_eq!(
        (&last["state"], &last["actor"], &last["left_at"]),
        (&json!("Ready"), &json!("person:operator"), &Value::Null)
    );
    assert!(accepted_at.is_string());
    let paged = get_ok(
        &scenario,
        "/api/v1/agents/u_0001/history?tenant=acme&from=2026-10-26T00:00:00Z&to=2026-10-27T00:00:00Z&limit=1",
    )
    .await;
    assert_eq!((paged["history"].as_array().map(Vec::len), paged["next"].is_string()), (Some(1), true));
    assert_exception_makes_neutral(&scenario, &day).await;
    for wrong in ["day=yesterday", "zone=Mars", "from=2026-10-26T00:00:00Z", "day=2026-10-26&to=2026-10-26T00:00:00Z"] {
        let path = format!("/api/v1/agents/u_0001/timeline?tenant=acme&{wrong}");
        assert_eq!(get_refused(&scenario, &path).await, (400, "bad_request".to_owned()), "{wrong}");
    }
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shifts_of_a_day_are_replaced_only_with_the_latest_version() {
    let scenario = Scenario::start_team(Setup::team(4)).await;
    let place = "/api/v1/agents/u_0002/shifts/2026-10-26";
    let read = scenario.request(Method::GET, &format!("{place}?tenant=acme")).send().await.expect("answered");
    let tag = read.headers()[header::ETAG].to_str().expect("text").to_owned();
    let day: Value = read.json().await.expect("JSON");
    assert_eq!((&day["covered"], day["shifts"].as_array().map(Vec::len)), (&json!(true), Some(1)));
    assert_eq!(format!("\"{}\"", day["version"].as_str().expect("a version")), tag);
    let lunch =
        json!({"activity": "lunch", "start": "2026-10-26T16:00:00Z", "end": "2026-10-26T16:30:00Z", "mandatory": true});
    let shift = json!({"start": "2026-10-26T13:00:00Z", "end": "2026-10-26T20:00:00Z", "activities": [lunch]});
    let body = json!({"tenant": "acme", "shifts": [shift]});
    let put = |tag: Option<&str>, body: &Value| {
        let request = scenario.request(Method::PUT, place).json(body);
        if let Some(tag) = tag { request.header(header::IF_MATCH, tag) } else { request }
    };
    let code = async |request: reqwest::RequestBuilder| {
        let (status, body) = send(request).await;
        (status.as_u16(), body["code"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(code(put(None, &body)).await, (428, "if_match_missing".to_owned()));
    let done = put(Some(&tag), &body).send().await.expect("answered");
    assert_eq!(done.status(), StatusCode::OK);
    let newer = done.headers()[header::ETAG].to_str().expect("text").to_owned();
    assert_ne!(newer, tag);
    let now: Value = done.json().await.expect("JSON");
    assert_eq!(now["shifts"][0]["activities"][0]["activity"], "lunch");
    assert_eq!(code(put(Some(&tag), &body)).await, (412, "changed_meanwhile".to_owned()));
    let again = get_ok(&scenario, &format!("{place}?tenant=acme")).await;
    assert_eq!(format!("\"{}\"", again["version"].as_str().expect("a version")), newer);

    let wrong = json!({"tenant": "acme", "shifts": [{"start": "2026-10-27T13:00:00Z", "end": "2026-10-27T12:00:00Z"}]});
    let (status, told) = send(put(Some(&newer), &wrong)).await;
    assert_eq!((status.as_u16(), &told["code"]), (422, &json!("shifts_refused")));
    assert_eq!(told["complaints"].as_array().map(Vec::len), Some(2), "{told}");

    // The keeper goes by it, and the others are as they were.
    scenario
        .wait_until("the picture has the new plan", || async {
            let day = get_ok(&scenario, "/api/v1/agents/u_0002/timeline?tenant=acme&day=2026-10-26").await;
            let agent = get_ok(&scenario, "/api/v1/agents/u_0002?tenant=acme").await;
            let planned = &day["planned"][2]["activity"];
            let is_so = planned == "lunch" && agent["planned"]["until"] == "2026-10-26T16:00:00Z";
            if is_so { Ok(()) } else { Err(format!("{planned} {agent}")) }
        })
        .await;
    let span = "from=2026-10-26T00:00:00Z&to=2026-10-27T00:00:00Z";
    let other = get_ok(&scenario, &format!("/api/v1/agents/u_0001/shifts?tenant=acme&{span}")).await;
    assert_eq!(other["shifts"][0]["start"], "2026-10-26T00:30:00Z");
    let off = put(Some(&newer), &json!({"tenant": "acme", "shifts": []})).send().await.expect("answered");
    assert_eq!(off.status(), StatusCode::OK);
    let chain = get_ok(&scenario, "/api/v1/audit?tenant=acme&action=schedule.&agent=u_0002").await;
    let actions: Vec<_> = chain["entries"].as_array().expect("entries").iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions, [&json!("schedule.day_put"), &json!("schedule.day_put")]);
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_are_the_newest_and_how_they_went() {
    let keys = "skills = [\"1001\", \"1002\"]\nqueues = [\"q_1001\"]";
    let scenario = Scenario::start(Setup { tenant_keys: keys, ..Setup::team(8) }).await;
    let queues = scenario
        .wait_until("a queue is read", || async {
            let queues = get_ok(&scenario, "/api/v1/queues?tenant=acme").await;
            if queues["queues"][0]["taken_at"].is_string() { Ok(queues) } else { Err(queues.to_string()) }
        })
        .await;
    assert_eq!((&queues["queues"][0]["id"], &queues["queues"][0]["stale"]), (&json!("q_1001"), &json!(false)));
    assert!(queues["queues"][0]["agents_logged_on"].is_u64(), "{queues}");
    let skills = get_ok(&scenario, "/api/v1/skills?tenant=acme").await;
    assert_eq!(skills["skills"].as_array().map(Vec::len), Some(2), "{skills}");
    let span = "from=2026-10-26T00:00:00Z&to=2026-10-27T00:00:00Z";
    let went = get_ok(&scenario, &format!("/api/v1/skills/1001/history?tenant=acme&{span}")).await;
    let point = &went["points"][0];
    assert_eq!((&point["span_s"], &point["polls"]), (&json!(0), &json!(1)));
    assert!(point["figures"]["agents_staffed"]["mean"].is_f64(), "{point}");
    let queue = get_ok(&scenario, &format!("/api/v1/queues/q_1001/history?tenant=acme&{span}")).await;
    assert!(queue["points"][0]["figures"]["calls_waiting"].is_object(), "{queue}");
    let missing = format!("/api/v1/queues/q_9/history?tenant=acme&{span}");
    assert_eq!(get_refused(&scenario, &missing).await, (404, "no_such_queue".to_owned()));
    let missing = format!("/api/v1/skills/9/history?tenant=acme&{span}");
    assert_eq!(get_refused(&scenario, &missing).await, (404, "no_such_skill".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_chain_is_read_checked_and_written_out() {
    let scenario = Scenario::start_team(Setup::team(5)).await;
    let body = json!({"tenant": "acme", "agents": ["u_0001"], "to": "Ready", "note": "<b>please</b>"});
    let (_, taken) = send(scenario.request(Method::POST, "/api/v1/transitions").json(&body)).await;
    scenario.wait_for_status(&taken["transitions"][0], "confirmed").await;
    let page = get_ok(&scenario, "/api/v1/audit?tenant=acme&agent=u_0001&action=transition.").await;
    let entries = page["entries"].as_array().expect("entries");
    assert!(entries.len() >= 2, "{page}");
    assert!(entries.windows(2).all(|pair| pair[0]["seq"].as_u64() > pair[1]["seq"].as_u64()), "{page}");
    assert!(entries.iter().all(|entry| entry["agent"] == "u_0001" && entry["agent_name"] == "Agent 0"), "{page}");
    assert!(entries.iter().any(|entry| entry["note"] == "<b>please</b>"), "{page}");
    let (mut seqs, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = get_ok(&scenario, &format!("/api/v1/audit?tenant=acme&limit=3{cursor}")).await;
        seqs.extend(page["entries"].as_array().expect("entries").iter().filter_map(|entry| entry["seq"].as_u64()));
        let Some(next) = page["next"].as_u64() else { break };
        cursor = format!("&cursor={next}");
    }
    let newest = seqs[0];
    assert_eq!(seqs, (1..=newest).rev().collect::<Vec<_>>());

    let verify = scenario.request(Method::POST, "/api/v1/audit/verify").json(&json!({"tenant": "acme"}));
    let (status, verdict) = send(verify).await;
    assert_eq!(
        (status, &verdict["verified"], &verdict["first_bad"]),
        (StatusCode::OK, &json!(true), &Value::Null),
        "{verdict}"
    );
    assert!(verdict["entries"].as_u64() >= Some(newest), "{verdict}");
    assert_eq!(verdict["keys"].as_array().map(Vec::len), Some(1));

    let export = scenario.request(Method::GET, "/api/v1/audit/export?tenant=acme&agents=true&from=2").send().await;
    let export = export.expect("answered");
    assert_eq!(export.headers()[header::CONTENT_TYPE], "application/x-ndjson");
    let text = export.text().await.expect("text");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(lines.len() as u64 >= newest - 1);
    assert_eq!(lines[0]["seq"], 2);
    assert!(lines.iter().any(|line| line["agent"] == "u_0001"));
    let parsed: Value = serde_json::from_str(lines[0]["body"].as_str().expect("text")).expect("a body");
    assert_eq!(parsed["seq"], 2);
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_and_its_page_need_no_token_and_every_other_route_does() {
    let scenario = Scenario::start(Setup::default()).await;
    let bare = reqwest_without_token(&scenario);
    let (status, document) = send(bare("GET", "/api/v1/openapi.json")).await;
    assert_eq!((status, &document["openapi"]), (StatusCode::OK, &json!("3.1.0")));
    assert_eq!(
        (&document["info"]["title"], &document["info"]["version"]),
        (&json!("Shiftkeeper"), &json!(env!("CARGO_PKG_VERSION")))
    );
    let page = bare("GET", "/api/docs/").send().await.expect("answered");
    assert_eq!(page.status(), StatusCode::OK);
    assert!(page.headers().contains_key(header::CONTENT_SECURITY_POLICY));
    for route in shiftkeeper::http::list_routes() {
        let Some(method) = route.method else { continue };
        let path = route.path.replace("{day}", "2026-10-26").replace("{id}", "x");
        let (status, body) = send(bare(method, &path)).await;
        match route.access {
            shiftkeeper::http::AccessRequirement::Public => {
                assert_ne!(status, StatusCode::NOT_FOUND, "{method} {path}");
            }
            shiftkeeper::http::AccessRequirement::Right(_) | shiftkeeper::http::AccessRequirement::SignedIn => {
                assert_eq!(
                    (status, &body["code"]),
                    (StatusCode::UNAUTHORIZED, &json!("unauthorized")),
                    "{method} {path}"
                );
            }
        }
    }
    let change = scenario.request_as(VIEWER, Method::PUT, "/api/v1/agents/u_0001/shifts/2026-10-26");
    let (status, body) = send(change).await;
    assert_eq!((status, &body["code"]), (StatusCode::FORBIDDEN, &json!("not_permitted")));
}

/// Asks without a token.
fn reqwest_without_token(scenario: &Scenario) -> impl Fn(&str, &str) -> reqwest::RequestBuilder {
    move |method, path| {
        let method: Method = method.parse().expect("a method");
        let mut request = scenario.request(method, path).build().expect("a request");
        request.headers_mut().remove(header::AUTHORIZATION);
        reqwest::RequestBuilder::from_parts(scenario.client(), request)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schedule_board_shows_each_agents_day_as_the_timeline_does() {
    let scenario = Scenario::start_team(Setup::team(8)).await;
    let taken = scenario.request_change(&["u_0001"], "Ready").await;
    scenario.wait_for_status(&taken[0], "confirmed").await;
    let board = get_ok(&scenario, "/api/v1/schedule-board?tenant=acme&day=2026-10-26&zone=America/New_York").await;
    let agents = board["agents"].as_array().expect("agents");
    let names: Vec<_> = agents.iter().map(|row| (row["agent"]["team"].clone(), row["agent"]["name"].clone())).collect();
    assert!(names.is_sorted_by_key(|(team, name)| (team.to_string(), name.to_string())), "{names:?}");
    assert_eq!((agents.len(), &board["total"], &board["zone"]), (8, &json!(8), &json!("America/New_York")));
    for row in agents {
        let id = row["agent"]["id"].as_str().expect("an id");
        let path = format!("/api/v1/agents/{id}/timeline?tenant=acme&day=2026-10-26&zone=America/New_York");
        let day = get_ok(&scenario, &path).await;
        assert_eq!(
            [&row["planned"], &board["from"], &board["to"]],
            [&day["planned"], &day["from"], &day["to"]],
            "{id}"
        );
        let starts = |of: &Value| -> Vec<(Value, Value)> {
            let spans = of["actual"].as_array().expect("spans");
            spans.iter().map(|span| (span["state"].clone(), span["start"].clone())).collect()
        };
        assert_eq!(starts(row), starts(&day), "{id}");
        assert_eq!(row["pieces"].as_array().and_then(|all| all.last()).map(|last| &last["end"]), Some(&board["now"]));
    }
    let ready = agents.iter().find(|row| row["agent"]["id"] == "u_0001").expect("the agent");
    let last = ready["actual"].as_array().and_then(|all| all.last()).expect("a state");
    assert_eq!((&last["state"], &last["ongoing"]), (&json!("Ready"), &json!(true)));

    let team = get_ok(&scenario, "/api/v1/schedule-board?tenant=acme&day=2026-10-26&team=Team%200").await;
    let of_team: Vec<_> = team["agents"].as_array().expect("agents").iter().map(|row| &row["agent"]["team"]).collect();
    assert!((1..8).contains(&of_team.len()) && of_team.iter().all(|name| **name == "Team 0"), "{of_team:?}");
    assert_eq!(team["total"], of_team.len());
    let none = get_ok(&scenario, "/api/v1/schedule-board?tenant=acme&team=nobody").await;
    assert_eq!((&none["agents"], &none["total"]), (&json!([]), &json!(0)));
    for wrong in ["day=yesterday", "zone=Mars", "days=8"] {
        let path = format!("/api/v1/schedule-board?tenant=acme&{wrong}");
        assert_eq!(get_refused(&scenario, &path).await, (400, "bad_request".to_owned()), "{wrong}");
    }
    scenario.assert_nothing_left_over().await;
}
