//! The API at its edges: shapes of errors, limits, and news of the platform that people should have.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shiftkeeper::domain::webhooks::event::EventKind;

use shiftkeeper::sim::RequestEntry;

use crate::harness::{OPERATOR, Scenario, Setup, VIEWER, send};

/// Checks that an answer is a problem document with this status and code.
async fn problem(request: reqwest::RequestBuilder, status: StatusCode, code: &str) -> Value {
    let response = request.send().await.expect("answered");
    let (found, kind) = (response.status(), response.headers().get("content-type").cloned());
    let body: Value = response.json().await.expect("JSON");
    assert_eq!((found, &body["code"], &body["status"]), (status, &json!(code), &json!(status.as_u16())), "{body}");
    assert_eq!(kind.as_ref().and_then(|kind| kind.to_str().ok()), Some("application/problem+json"), "{body}");
    assert!(body["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{body}");
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_problem_documents_that_say_what_to_do() {
    let mut setup = Setup::default();
    setup.sim.tenants = 2;
    let scenario = Scenario::start(setup).await;
    scenario.wait_until_observed().await;
    let ask = |token: &str, body: &Value| scenario.request_as(token, Method::POST, "/api/v1/transitions").json(body);
    let sound = json!({"tenant": "acme", "agents": ["u_0001"], "to": "Paused"});
    let path = "/api/v1/transitions";
    let get = |path: &str| scenario.request(Method::GET, path);

    problem(ask("wrong-token-wrong-token", &sound), StatusCode::UNAUTHORIZED, "unauthorized").await;
    problem(ask(VIEWER, &sound), StatusCode::FORBIDDEN, "not_permitted").await;
    let elsewhere = json!({"tenant": "bravo", "agents": ["u_0001"], "to": "Paused"});
    problem(ask(VIEWER, &elsewhere), StatusCode::FORBIDDEN, "not_permitted").await;
    let looked = scenario.request_as(VIEWER, Method::GET, "/api/v1/transitions?tenant=bravo");
    problem(looked, StatusCode::NOT_FOUND, "no_such_tenant").await;
    let nowhere = json!({"tenant": "nobody", "agents": ["u_0001"], "to": "Paused"});
    problem(scenario.request(Method::POST, path).json(&nowhere), StatusCode::NOT_FOUND, "no_such_tenant").await;
    let hovering = json!({"tenant": "acme", "agents": ["u_0001"], "to": "Hovering"});
    problem(scenario.request(Method::POST, path).json(&hovering), StatusCode::BAD_REQUEST, "bad_request").await;
    let unsettable = json!({"tenant": "acme", "agents": ["u_0001"], "to": "LoggedOut"});
    problem(
        scenario.request(Method::POST, path).json(&unsettable),
        StatusCode::UNPROCESSABLE_ENTITY,
        "state_not_settable",
    )
    .await;
    let unknown_key = json!({"tenant": "acme", "agents": ["u_0001"], "to": "Paused", "colour": "red"});
    problem(scenario.request(Method::POST, path).json(&unknown_key), StatusCode::UNPROCESSABLE_ENTITY, "bad_body")
        .await;
    problem(get("/api/v1/nothing"), StatusCode::NOT_FOUND, "no_such_place").await;
    problem(scenario.request(Method::DELETE, path), StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed").await;
    let missing = "/api/v1/transitions/01a17867-8856-72c9-b800-1bbdb913b733?tenant=acme";
    problem(get(missing), StatusCode::NOT_FOUND, "no_such_transition").await;
    problem(get("/api/v1/transitions/nonsense?tenant=acme"), StatusCode::BAD_REQUEST, "bad_request").await;
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_refused_and_an_unknown_agent_is_an_entry_of_its_own() {
    let scenario = Scenario::start(Setup::default()).await;
    scenario.wait_until_observed().await;
    let note = "x".repeat(2 * 1024 * 1024);
    let huge = json!({"tenant": "acme", "agents": ["u_0001"], "to": "Paused", "note": note});
    let request = scenario.request(Method::POST, "/api/v1/transitions").json(&huge);
    let body = problem(request, StatusCode::PAYLOAD_TOO_LARGE, "body_too_large").await;
    assert!(body["detail"].as_str().is_some_and(|detail| detail.contains("1 MiB")), "{body}");
    let too_many: Vec<String> = (0..10_001).map(|number| format!("u_{number}")).collect();
    let many = json!({"tenant": "acme", "agents": too_many, "to": "Paused"});
    problem(scenario.request(Method::POST, "/api/v1/transitions").json(&many), StatusCode::BAD_REQUEST, "bad_request")
        .await;

    let taken = scenario.request_change(&["u_0001", "u_9999"], "Paused").await;
    scenario.wait_for_status(&taken[0], "confirmed").await;
    assert_eq!((&taken[1]["id"], &taken[1]["status"]), (&Value::Null, &json!("refused")));
    assert!(taken[1]["error"].as_str().is_some_and(|error| error.contains("u_9999")), "{}", taken[1]);
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_a_problem_document_too() {
    let scenario = Scenario::start(Setup::default()).await;
    let get = |path: &str| scenario.request(Method::GET, path);
    let path = "/api/v1/transitions";
    let bad = StatusCode::BAD_REQUEST;
    problem(get("/api/v1/transitions/%ff?tenant=acme"), bad, "bad_request").await;
    problem(scenario.request(Method::POST, "/api/v1/transitions/%ff/cancel?tenant=acme"), bad, "bad_request").await;
    problem(get("/api/v1/transitions?tenant=acme&colour=red"), bad, "bad_request").await;
    problem(get("/api/v1/transitions?tenant=acme&limit=many"), bad, "bad_request").await;
    problem(get(path), bad, "bad_request").await;
    let json =
        |body: &'static str| scenario.request(Method::POST, path).header("content-type", "application/json").body(body);
    problem(json("{"), bad, "bad_body").await;
    problem(json("{}"), StatusCode::UNPROCESSABLE_ENTITY, "bad_body").await;
    let no_json = scenario.request(Method::POST, path).body("tenant=acme");
    problem(no_json, StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json").await;
    let refused = scenario.request(Method::PUT, "/api/v1/schedule-imports").send().await.expect("answered");
    assert_eq!(refused.headers().get("allow").and_then(|allow| allow.to_str().ok()), Some("POST"));
    let put = scenario.request(Method::PUT, "/api/v1/schedule-imports");
    problem(put, StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed").await;
    for path in ["/api", "/api/v1/transitions/", "/healthz/deeper"] {
        problem(get(path), StatusCode::NOT_FOUND, "no_such_place").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_is_not_there_is_not_found_whatever_is_asked_of_it() {
    let scenario = Scenario::start(Setup::default()).await;
    let one = "/api/v1/transitions/01a17867-8856-72c9-b800-1bbdb913b733";
    for (method, path) in [
        (Method::GET, "/api/v1/transitions?tenant=nobody".to_owned()),
        (Method::GET, format!("{one}?tenant=nobody")),
        (Method::POST, format!("{one}/cancel?tenant=nobody")),
        (Method::POST, "/api/v1/schedule-imports?tenant=nobody&name=week.csv".to_owned()),
    ] {
        problem(scenario.request(method, &path), StatusCode::NOT_FOUND, "no_such_tenant").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_the_platform_does_not_know_fails_by_name() {
    let scenario = Scenario::start(Setup { lists_all_agents: false, ..Setup::default() }).await;
    let csv = crate::harness::schedule(["u_0001".to_owned(), "u_4711".to_owned()], &[]);
    scenario.import(&csv).await;
    scenario.wait_for_readiness("ready").await;
    let taken = scenario.request_change(&["u_0001", "u_4711"], "Paused").await;
    scenario.wait_for_status(&taken[0], "confirmed").await;
    let failed = scenario.wait_for_status(&taken[1], "failed").await;
    assert!(failed["error"].as_str().is_some_and(|error| error.contains("404")), "{failed}");
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversize_snapshot_is_reported_used_and_followed_by_fewer_columns() {
    let mut setup = Setup::team(120);
    setup.tenant_tables = "[tenants.subscription]\noversize_bytes = 10000\n";
    let scenario = Scenario::start_team(setup).await;
    let reader = scenario.reader().await;
    let told = scenario
        .wait_until("the size is told", || async {
            let events = scenario.events(&reader).await;
            events
                .into_iter()
                .find(|event| event.kind == EventKind::SnapshotOversize)
                .ok_or_else(|| "not yet".to_owned())
        })
        .await;
    let body: Value = serde_json::from_str(&told.body).expect("JSON");
    assert!(body["data"]["bytes"].as_u64().is_some_and(|bytes| bytes > 10_000), "{body}");
    assert_eq!(body["data"]["limitBytes"], 10_000, "{body}");
    let taken = scenario.request_change(&["u_0001"], "Ready").await.remove(0);
    scenario.wait_for_status(&taken, "confirmed").await;
    let events = scenario.events(&reader).await;
    let told = events.iter().filter(|event| event.kind == EventKind::SnapshotOversize).count();
    assert_eq!(told, 1, "not at every snapshot");
    let log = scenario.log();
    let subscribed = |call: &&RequestEntry| call.method == "POST" && call.path.ends_with("/realtime/subscription");
    assert_eq!(log.requests.iter().filter(subscribed).count(), 2, "a leaner one takes the place of the first");
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unsent_changes_can_be_cancelled_and_sent_ones_cannot() {
    let scenario = Scenario::start(Setup::default()).await;
    scenario.wait_until_observed().await;
    let resting = scenario.sim.description().tenants.remove(0).break_user.expect("one").to_string();
    let taken = scenario.request_change(&[resting.as_str(), "u_0001"], "Ready").await;
    scenario.wait_for_status(&taken[1], "confirmed").await;
    let cancel = |taken: &Value| {
        let path = format!("/api/v1/transitions/{}/cancel?tenant=acme", taken["id"].as_str().expect("an id"));
        scenario.request(Method::POST, &path)
    };
    let (status, body) = send(cancel(&taken[0])).await;
    assert_eq!(
        (status, &body["status"], &body["by"]),
        (StatusCode::OK, &json!("cancelled"), &json!("person:operator")),
        "{body}"
    );
    problem(cancel(&taken[1]), StatusCode::CONFLICT, "too_late").await;
    assert!(scenario.posts_for(&resting).is_empty());
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_shown_and_run_only_within_a_tokens_rights() {
    let mut setup = Setup::default();
    setup.sim.tenants = 2;
    let scenario = Scenario::start(setup).await;
    let ask = |token: &str, method: Method, path: &str| scenario.request_as(token, method, path);
    let (status, shown) = send(ask(VIEWER, Method::GET, "/api/v1/jobs")).await;
    let ids: Vec<_> = shown["jobs"].as_array().expect("a list").iter().map(|job| job["id"].clone()).collect();
    let expected = ["audit-head", "retention", "checkpoint", "report"].map(|id| json!(id)).to_vec();
    assert_eq!((status, ids), (StatusCode::OK, expected), "only the own tenant's, and the daemon's: {shown}");
    let jobs = &shown["jobs"];
    assert_eq!((&jobs[0]["tenant"], &jobs[1]["tenant"]), (&json!("acme"), &Value::Null), "{shown}");
    assert!(jobs[1]["next_due_at"].is_string(), "{shown}");
    let run = "/api/v1/jobs/retention/run";
    problem(ask("nobody", Method::GET, "/api/v1/jobs"), StatusCode::UNAUTHORIZED, "unauthorized").await;
    problem(ask(VIEWER, Method::POST, run), StatusCode::FORBIDDEN, "not_permitted").await;
    let of_tenant = "/api/v1/jobs/retention/run?tenant=acme";
    problem(ask(OPERATOR, Method::POST, of_tenant), StatusCode::NOT_FOUND, "no_such_job").await;
    let (status, begun) = send(ask(OPERATOR, Method::POST, run)).await;
    assert_eq!((status, &begun["job"]), (StatusCode::ACCEPTED, &json!("retention")), "{begun}");
    let ended = scenario
        .wait_until("the run has ended", || async {
            let (_, body) = send(ask(VIEWER, Method::GET, "/api/v1/jobs/retention/runs")).await;
            let runs = body["runs"].as_array().cloned().unwrap_or_default();
            let run = runs.into_iter().find(|run| run["run"] == begun["run"] && run["outcome"] == "done");
            run.ok_or_else(|| body.to_string())
        })
        .await;
    assert_eq!(ended["asked_by"], "operator", "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_check_takes_the_right_to_change_and_leaves_the_reserve_alone() {
    let setup = Setup { speed: 1, tenant_keys: "requests_per_minute = 6\nurgent_reserve = 2\n", ..Setup::default() };
    let scenario = Scenario::start(setup).await;
    let path = format!("/api/v1/platform-checks?tenant={}&agent=u_0001", scenario.tenant);
    let ask = |token: &str, path: &str| scenario.request_as(token, Method::POST, path);
    problem(ask(VIEWER, &path), StatusCode::FORBIDDEN, "not_permitted").await;
    problem(ask(OPERATOR, "/api/v1/platform-checks?tenant=nobody&agent=x"), StatusCode::NOT_FOUND, "no_such_tenant")
        .await;
    problem(ask(OPERATOR, "/api/v1/platform-checks"), StatusCode::BAD_REQUEST, "bad_request").await;
    let (status, first) = send(ask(OPERATOR, &path)).await;
    let outcomes: Vec<_> = first["questions"].as_array().expect("a list").iter().map(|one| &one["outcome"]).collect();
    assert_eq!((status, outcomes), (StatusCode::OK, vec![&json!("ok"), &json!("ok")]), "{first}");
    assert!(first["clock_offset_ms"].is_i64(), "{first}");
    let full = scenario
        .wait_until("no slot is left but the reserve", || async {
            let (_, body) = send(ask(OPERATOR, &path)).await;
            let refused =
                body["questions"].as_array().is_some_and(|all| all.iter().all(|one| one["outcome"] == "no_slot"));
            if refused { Ok(body) } else { Err(body.to_string()) }
        })
        .await;
    assert_eq!(full["budget_free"], 2, "{full}");
}
