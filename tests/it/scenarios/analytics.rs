//! Analytics queries of the platform: runs that come out whole, and every way in which the platform keeps one from it.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shiftkeeper::domain::analytics::analytics_run::RunRequest;
use shiftkeeper::domain::analytics::{ResultRow, result_digest};
use shiftkeeper::domain::ids::AnalyticsRunId;
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::domain::webhooks::event::EventKind;
use shiftkeeper::sim::SimOptions;

use crate::harness::{Scenario, Setup, VIEWER, send};

const RUNS: &str = "/api/v1/analytics/runs";

/// Two queries of the configuration, and a budget of reads that keeps no test waiting.
const TABLES: &str = r#"
[tenants.figures]
requests_per_minute = 600
[[tenants.analytics]]
id = "calls"
metrics = ["sum count", "avg duration"]
dimensions = ["channel"]
last = 14
page_rows = 10
[[tenants.analytics]]
id = "years"
metrics = ["sum count"]
bucket = "MONTH"
zone = "Europe/Berlin"
from = "2023-01-01T00:00:00Z"
to = "2026-01-01T00:00:00Z"
cron = "0 3 * * *"
"#;

/// The platform takes `takes` over a query.
fn setup(takes: Duration) -> Setup {
    let usual = Setup::default();
    let sim = SimOptions { analytics_duration: takes, reporting_per_minute: 600, ..usual.sim };
    Setup { sim, tenant_tables: TABLES, ..usual }
}

async fn post(scenario: &Scenario, body: Value) -> (StatusCode, Value) {
    let mut whole = json!({ "tenant": "acme" });
    whole.as_object_mut().expect("an object").extend(body.as_object().expect("an object").clone());
    send(scenario.request(Method::POST, RUNS).json(&whole)).await
}

/// Asks for a run that is taken in.
async fn start_run(scenario: &Scenario, body: Value) -> Value {
    let (status, run) = post(scenario, body).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{run}");
    run
}

fn field_text(run: &Value, what: &str) -> String {
    format!("{RUNS}/{}{what}?tenant=acme", run["id"].as_str().expect("an id"))
}

async fn wait_for_status(scenario: &Scenario, run: &Value, status: &str) -> Value {
    scenario
        .wait_until(&format!("the run is {status}"), || async {
            let (_, now) = scenario.get(&field_text(run, "")).await;
            if now["status"] == status { Ok(now) } else { Err(now.to_string()) }
        })
        .await
}

fn id(run: &Value) -> AnalyticsRunId {
    run["id"].as_str().expect("an id").parse().expect("an id")
}

/// How the platform answered the submissions.
fn submissions(scenario: &Scenario) -> Vec<Option<u16>> {
    let log = scenario.log();
    let sent = log.requests.iter().filter(|call| call.method == "POST" && call.path.ends_with("/analytics/query"));
    sent.map(|call| call.status).collect()
}

/// A query of the test's own, in pages of ten.
fn own_query(deadline_s: u64) -> Value {
    json!({ "name": "own", "metrics": [{"name": "count", "aggregation": "sum"}], "dimensions": ["channel"], "last": 14,
            "page_rows": 10, "deadline_s": deadline_s })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_comes_out_whole_is_read_and_is_on_the_record() {
    let scenario = Scenario::start(setup(Duration::from_secs(4))).await;
    let key = |request: reqwest::RequestBuilder| request.header("Idempotency-Key", "once");
    let body = json!({ "tenant": "acme", "query": "calls" });
    let (status, run) = send(key(scenario.request(Method::POST, RUNS)).json(&body)).await;
    assert_eq!((status, &run["status"]), (StatusCode::ACCEPTED, &json!("waiting")), "{run}");
    let (_, again) = send(key(scenario.request(Method::POST, RUNS)).json(&body)).await;
    assert_eq!(again["id"], run["id"], "one request, one run");

    let done = wait_for_status(&scenario, &run, "done").await;
    assert_eq!((&done["received"], &done["promised"]), (&json!(42), &json!(42)), "14 days of three channels");
    assert_eq!(done["completeness_ppm"], 1_000_000);
    assert!(done["latency_ms"].as_u64().is_some_and(|took| took >= 4_000), "{done}");
    assert_eq!(done["parts"][0]["submissions"], 1);
    let (mut rows, mut path) = (Vec::new(), format!("{}&limit=30", field_text(&run, "/rows")));
    loop {
        let (status, page) = scenario.get(&path).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        rows.extend(page["rows"].as_array().expect("rows").clone());
        let Some(next) = page["next"].as_u64() else { break };
        path = format!("{}&limit=30&cursor={next}", field_text(&run, "/rows"));
    }
    assert_eq!(rows.len(), 42);
    assert_eq!(rows[0]["dimensions"], json!(["chat"]));
    // Anybody who has the rows can compute their hash.
    let request: RunRequest = serde_json::from_value(done["request"].clone()).expect("a request");
    let texts = rows.iter().map(|row| {
        let row: Vec<_> = [&row["dimensions"], &row["metrics"]].map(Value::clone).into();
        row
    });
    let canonical = texts.zip(&rows).map(|(parts, row)| {
        let text = |value: &Value| value.as_str().map(Into::into);
        let row = ResultRow {
            at: row["at"].as_str().expect("an instant").parse::<UtcMicros>().expect("an instant"),
            dimensions: parts[0].as_array().expect("a list").iter().map(text).collect(),
            metrics: parts[1].as_array().expect("a list").iter().map(Value::as_f64).collect(),
        };
        row.to_canonical()
    });
    let query = request.query().expect("a zone");
    assert_eq!(done["sha256"], result_digest(&query.canonical_request(request.span()), canonical).to_string());

    let csv = scenario.request(Method::GET, &field_text(&run, "/csv")).send().await.expect("answered");
    assert_eq!(csv.headers()["content-type"], "text/csv; charset=utf-8");
    let csv = csv.text().await.expect("text");
    assert!(csv.starts_with("at,channel,sum count,avg duration\r\n") && csv.lines().count() == 43, "{csv}");

    let reader = scenario.reader().await;
    let events = scenario.events(&reader).await;
    assert_eq!(events.iter().filter(|event| event.kind == EventKind::AnalyticsCompleted).count(), 1);
    let entries = scenario.audit(&reader).await;
    let of_runs = entries.iter().filter(|entry| entry.action.starts_with("analytics.run."));
    let told: Vec<_> = of_runs.map(|entry| (&*entry.action, &*entry.actor, entry.outcome.as_deref())).collect();
    assert_eq!(
        told,
        [
            ("analytics.run.asked", "person:operator", None),
            ("analytics.run.completed", "person:operator", Some("done")),
        ]
    );
    assert_is_series(&scenario, &rows).await;
    scenario.assert_nothing_left_over().await;
}

async fn assert_is_series(scenario: &Scenario, rows: &[Value]) {
    let (_, trend) = scenario.get("/api/v1/trend?tenant=acme&series=analytics:calls:duration:channel%3Dchat").await;
    let points: Vec<_> = trend["points"].as_array().expect("points").iter().map(|point| &point["value"]).collect();
    let chat = rows.iter().filter(|row| row["dimensions"] == json!(["chat"])).map(|row| &row["metrics"][1]);
    assert_eq!(points, chat.collect::<Vec<_>>(), "{trend}");
    assert_eq!((&trend["by"], &trend["of"]), (&json!("day"), &json!("analytics calls, channel chat")), "{trend}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_platform_would_refuse_never_leaves_and_rights_are_kept() {
    let scenario = Scenario::start(setup(Duration::from_secs(1))).await;
    let metrics: Vec<_> = (0..11).map(|n| json!({"name": format!("m{n}"), "aggregation": "sum"})).collect();
    let one = json!([{"name": "count", "aggregation": "sum"}]);
    for (body, status, code) in [
        (json!({ "metrics": metrics }), 422, "query_refused"),
        (json!({ "metrics": one, "dimensions": ["a", "b", "c", "d", "e", "f"] }), 422, "query_refused"),
        (json!({ "metrics": one, "from": "2001-01-01T00:00:00Z" }), 422, "query_refused"),
        (json!({ "metrics": one, "last": 2, "from": "2026-10-01T00:00:00Z" }), 422, "query_refused"),
        (json!({ "metrics": one, "zone": "Mars/Base" }), 422, "query_refused"),
        (json!({ "metrics": one, "page_rows": 1001 }), 422, "query_refused"),
        (json!({ "metrics": one, "deadline_s": 1 }), 422, "query_refused"),
        (json!({ "query": "calls", "last": 3 }), 422, "query_refused"),
        (json!({ "query": "nothing" }), 404, "no_such_query"),
        (json!({ "colour": "red" }), 422, "bad_body"),
    ] {
        let (answered, problem) = post(&scenario, body.clone()).await;
        assert_eq!((answered.as_u16(), &problem["code"]), (status, &json!(code)), "{body}: {problem}");
    }
    for path in ["queries", "runs"] {
        let request = scenario.request_as(VIEWER, Method::GET, &format!("/api/v1/analytics/{path}?tenant=acme"));
        assert_eq!(send(request).await.0, StatusCode::FORBIDDEN, "{path}");
    }
    let (_, queries) = scenario.get("/api/v1/analytics/queries?tenant=acme").await;
    let ids: Vec<_> = queries["queries"].as_array().expect("a list").iter().map(|query| query["id"].clone()).collect();
    assert_eq!(ids, ["calls", "years"]);
    assert_eq!((&queries["queries"][0]["job"], &queries["queries"][0]["last"]), (&Value::Null, &Value::Null));
    assert_eq!(queries["queries"][1]["job"]["next_due_at"], "2026-10-27T02:00:00Z", "{queries}");
    let refused = scenario.request_as(VIEWER, Method::GET, "/analytics?tenant=acme").send().await.expect("answered");
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let page = scenario.request(Method::GET, "/analytics?tenant=acme").send().await.expect("answered");
    let page = page.text().await.expect("text");
    for shown in [
        "sum count, avg duration<br><span class=\"sub\">by channel, of everything</span>",
        "2026-10-12 to 2026-10-25<br><span class=\"sub\">by day in UTC</span>",
        "2023-01-01 to 2026-01-31<br><span class=\"sub\">by month in Europe/Berlin</span>",
        "<td data-label=\"Schedule\"><span class=\"sub\">none</span></td>",
        "<code>0 3 * * *</code>",
        "data-ask=\"calls\"",
        "data-ask=\"years\"",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    assert_eq!(page.matches("<span class=\"sub\">not yet</span>").count(), 2);
    let (status, problem) = scenario.get(&format!("{RUNS}/01990000-0000-7000-8000-000000000001?tenant=acme")).await;
    assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("no_such_run")));
    assert!(submissions(&scenario).is_empty());
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_in_which_the_platform_fails_ends_in_an_error_that_names_the_run_and_leaves_nothing() {
    let scenario = Scenario::start(setup(Duration::from_secs(2))).await;
    let reader = scenario.reader().await;
    for (fault, class) in [
        ("skip_rows:on=analytics_result", "count"),
        ("repeat:on=analytics_result", "repeat"),
        ("stop_short:on=analytics_result", "count"),
        ("nonsense:on=analytics_result", ""),
        ("wrong_types:on=analytics_result", "call_failed"),
        ("status:on=analytics_result,code=503", "call_failed"),
        ("status:on=analytics_result,code=404", "forgotten"),
        ("status:on=analytics_query,code=400", "call_failed"),
        ("fail_query:on=analytics_query", "platform_failed"),
        ("never_finish:on=analytics_query", "deadline"),
        ("lost_answer:on=analytics_query", "unanswered"),
    ] {
        scenario.add_fault(fault);
        let run = start_run(&scenario, own_query(if class == "deadline" { 30 } else { 900 })).await;
        let failed = wait_for_status(&scenario, &run, "failed").await;
        scenario.sim.clear_faults();
        assert!(class.is_empty() || failed["failure"] == class, "{fault}: {failed}");
        let error = failed["error"].as_str().expect("an error");
        assert!(error.contains(run["id"].as_str().expect("an id")) && error.contains("\"own\""), "{fault}: {error}");
        assert_eq!((&failed["received"], &failed["sha256"]), (&Value::Null, &Value::Null), "{fault}");
        let (status, problem) = scenario.get(&field_text(&run, "/rows")).await;
        assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("no_rows")), "{fault}");
        let stored = reader.analytics_rows(&scenario.tenant, id(&run), 0, 100).await.expect("reads");
        assert!(stored.is_empty(), "{fault}: {stored:?}");
        let entries = scenario.audit(&reader).await;
        let last = entries.iter().rfind(|entry| entry.action == "analytics.run.completed").expect("recorded");
        assert_eq!((last.outcome.as_deref(), &last.why["failure"]), (Some("failed"), &failed["failure"]), "{fault}");
    }
    // Faults that pass are lived through.
    for fault in [
        "status:on=analytics_query,code=503,count=2",
        "reset_mid:on=analytics_result,count=2",
        "fail_query:on=analytics_query,count=1",
        "status:on=analytics_result,code=429,retry_after=3,count=3",
    ] {
        scenario.add_fault(fault);
        let run = start_run(&scenario, own_query(3_600)).await;
        let done = wait_for_status(&scenario, &run, "done").await;
        scenario.sim.clear_faults();
        assert_eq!(done["received"], 42, "{fault}");
    }
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_the_platform_forgets_is_submitted_again() {
    let scenario = Scenario::start(setup(Duration::from_secs(120))).await;
    let run = start_run(&scenario, json!({ "query": "calls" })).await;
    let taken = scenario
        .wait_until("the platform has the query", || async {
            let (_, now) = scenario.get(&field_text(&run, "")).await;
            if now["parts"][0]["state"] == "submitted" { Ok(now) } else { Err(now.to_string()) }
        })
        .await;
    scenario.add_fault("forget_queries");
    let done = wait_for_status(&scenario, &run, "done").await;
    assert_eq!(done["parts"][0]["submissions"], 2, "{done}");
    assert_ne!(done["parts"][0]["query_id"], taken["parts"][0]["query_id"]);
    assert_eq!(done["received"], 42);
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_run_at_once_over_a_kill_too_and_go_on_where_they_were() {
    let mut scenario = Scenario::start(setup(Duration::from_secs(300))).await;
    let mut runs = Vec::new();
    for _ in 0..8 {
        runs.push(start_run(&scenario, own_query(7_200)).await);
    }
    let look = async |scenario: &Scenario| {
        let (_, list) = scenario.get(&format!("{RUNS}?tenant=acme")).await;
        list["runs"].as_array().expect("a list").clone()
    };
    let submitted = |runs: &[Value]| {
        let at_work = runs.iter().filter(|run| run["status"] == "running" && run["parts"][0]["state"] == "submitted");
        at_work.map(|run| run["parts"][0]["query_id"].to_string()).collect::<BTreeSet<_>>()
    };
    let before = scenario
        .wait_until("five are under way", || async {
            let runs = look(&scenario).await;
            let at_work = submitted(&runs);
            if at_work.len() == 5 { Ok(at_work) } else { Err(format!("{at_work:?}")) }
        })
        .await;
    assert_eq!(look(&scenario).await.iter().filter(|run| run["status"] == "waiting").count(), 3);
    scenario.kill_daemon().await;
    scenario.start_daemon().await;
    for run in &runs {
        let done = wait_for_status(&scenario, run, "done").await;
        assert_eq!((&done["received"], &done["parts"][0]["submissions"]), (&json!(42), &json!(1)), "{done}");
    }
    let after: BTreeSet<_> = look(&scenario).await.iter().map(|run| run["parts"][0]["query_id"].to_string()).collect();
    assert!(before.is_subset(&after), "taken up by the platform's ids");
    assert_eq!(submissions(&scenario), [Some(202); 8], "none too many at once, and none twice");
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_without_an_answer_keeps_its_place_and_is_made_again() {
    let scenario = Scenario::start(setup(Duration::from_secs(300))).await;
    scenario.add_fault("lost_answer:on=analytics_query,count=2");
    let mut runs = Vec::new();
    for _ in 0..8 {
        runs.push(start_run(&scenario, own_query(7_200)).await);
    }
    let mut unanswered = 0;
    for run in &runs {
        let done = wait_for_status(&scenario, run, "done").await;
        let part = &done["parts"][0];
        assert_eq!((&done["received"], &part["submissions"]), (&json!(42), &json!(1)), "{done}");
        let (lost, holds) = (part["unanswered"].as_u64().expect("a count"), &part["holds"]);
        assert_eq!(holds.as_array().map(Vec::len), usize::try_from(lost).ok(), "{done}");
        unanswered += lost;
    }
    assert_eq!(unanswered, 2);
    let sent = submissions(&scenario);
    assert!(sent.len() == 10 && !sent.contains(&Some(429)), "never more than five at once: {sent:?}");
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_that_a_kill_cut_off_counts_as_taken() {
    let mut scenario = Scenario::start(setup(Duration::from_secs(300))).await;
    scenario.add_fault("delay:on=analytics_query,ms=20000,count=5");
    let mut runs = Vec::new();
    for _ in 0..6 {
        runs.push(start_run(&scenario, own_query(1_200)).await);
    }
    scenario
        .wait_until("five have left", || async {
            let sent = submissions(&scenario);
            if sent.len() == 5 { Ok(()) } else { Err(format!("{sent:?}")) }
        })
        .await;
    scenario.kill_daemon().await;
    scenario.start_daemon().await;
    let mut unanswered = 0;
    for run in &runs {
        let done = wait_for_status(&scenario, run, "done").await;
        let instant = |name: &str| done[name].as_str().expect("there").parse::<UtcMicros>().expect("an instant");
        let waited = instant("started_at").since(instant("asked_at"));
        assert!(waited >= Duration::from_secs(1_200), "the five places were kept: {done}");
        unanswered += done["parts"][0]["unanswered"].as_u64().expect("a count");
    }
    assert_eq!(unanswered, 5);
    let sent = submissions(&scenario);
    assert!(sent.len() == 11 && !sent.contains(&Some(429)), "{sent:?}");
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_keeps_its_place_until_its_deadline_and_has_no_rows() {
    let scenario = Scenario::start(setup(Duration::from_secs(100))).await;
    let mut runs = Vec::new();
    for _ in 0..6 {
        runs.push(start_run(&scenario, own_query(1_200)).await);
    }
    scenario
        .wait_until("five are under way", || async {
            let (_, list) = scenario.get(&format!("{RUNS}?tenant=acme")).await;
            let at_work = list["runs"].as_array().expect("a list").iter();
            let at_work = at_work.filter(|run| run["parts"][0]["state"] == "submitted").count();
            if at_work == 5 { Ok(()) } else { Err(at_work.to_string()) }
        })
        .await;
    let cancel = |run: &Value| {
        let path = format!("{RUNS}/{}/cancel", run["id"].as_str().expect("an id"));
        scenario.request(Method::POST, &path).json(&json!({ "tenant": "acme" }))
    };
    for run in &runs[..5] {
        let (status, cancelled) = send(cancel(run)).await;
        assert_eq!((status, &cancelled["status"]), (StatusCode::OK, &json!("cancelled")), "{cancelled}");
    }
    let last = wait_for_status(&scenario, &runs[5], "done").await;
    let instant = |run: &Value| run["started_at"].as_str().expect("begun").parse::<UtcMicros>().expect("an instant");
    let (_, first) = scenario.get(&field_text(&runs[0], "")).await;
    assert!(instant(&last).since(instant(&first)) >= Duration::from_secs(1_200), "{first} {last}");
    let (_, again) = send(cancel(&runs[5])).await;
    assert_eq!(again["status"], "done", "what has ended stays as it is");
    assert_eq!(submissions(&scenario), [Some(202); 6]);
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_calendar_asks_for_years_in_parts_that_are_put_together() {
    let scenario = Scenario::start(setup(Duration::from_secs(4))).await;
    let (status, body) = send(scenario.request(Method::POST, "/api/v1/jobs/analytics:years/run?tenant=acme")).await;
    assert!(status.is_success(), "{body}");
    let run = scenario
        .wait_until("the job's run is done", || async {
            let (_, list) = scenario.get(&format!("{RUNS}?tenant=acme&query=years")).await;
            let run = list["runs"][0].clone();
            if run["status"] == "done" { Ok(run) } else { Err(list.to_string()) }
        })
        .await;
    assert_eq!(run["parts"].as_array().map(Vec::len), Some(4), "each of at most 365 days in whole months: {run}");
    assert_eq!((&run["received"], &run["job"]), (&json!(37), &json!("analytics:years")), "{run}");
    scenario
        .wait_until("the job says so", || async {
            let (_, jobs) = scenario.get("/api/v1/jobs?tenant=acme").await;
            let job = jobs["jobs"].as_array().expect("a list").iter().find(|job| job["id"] == "analytics:years");
            let message = job.map_or_else(String::new, |job| job["last"]["message"].to_string());
            if message.contains("37 rows") { Ok(()) } else { Err(jobs.to_string()) }
        })
        .await;
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_scope_is_reported_with_its_setting() {
    let scenario = Scenario::start(Setup { tenant_tables: "", ..setup(Duration::from_secs(1)) }).await;
    let run = start_run(&scenario, own_query(900)).await;
    let failed = wait_for_status(&scenario, &run, "failed").await;
    let error = failed["error"].as_str().expect("an error");
    assert_eq!(failed["failure"], "call_failed");
    for part in ["403", "the scope analytics:query", "[[tenants.analytics]]", "token.scope"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    scenario.assert_nothing_left_over().await;
}
