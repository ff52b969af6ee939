//! Reports asked of the daemon: made, fetched, checked, and kept from those who may not see them.

use std::collections::BTreeSet;
use std::path::Path;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shiftkeeper::domain::access::rights::{Role, ScopeRequest, TenantScopeRequest};
use shiftkeeper::domain::reports::report_run::ReportFormat;
use shiftkeeper::domain::webhooks::event::EventKind;
use shiftkeeper::engine::access::accounts::{Author, NewToken};
use shiftkeeper::report::verify::verify;

use crate::harness::{Scenario, Setup, send};

/// A token limited to teams.
pub(super) async fn token(scenario: &Scenario, id: &str, role: Role, teams: &[&str]) -> String {
    let teams = Some(teams.iter().map(|team| (*team).into()).collect());
    let reach = ScopeRequest { everywhere: false, tenants: vec![TenantScopeRequest { id: "acme".into(), teams }] };
    let new = NewToken {
        id: id.into(),
        role: Some(role),
        rights: BTreeSet::new(),
        account: None,
        scope: reach,
        expires_in_days: None,
    };
    let made = scenario.accounts().add_token(new, &Author::command_line("scenario", None)).await.expect("made");
    made.1.expose().to_owned()
}

async fn request_report(scenario: &Scenario, token: &str, more: &Value) -> (StatusCode, Value) {
    let mut body = json!({"tenant": "acme", "report": "compliance", "format": "csv"});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    send(scenario.request_as(token, Method::POST, "/api/v1/reports").json(&body)).await
}

async fn wait_until_done(scenario: &Scenario, token: &str, run: &Value) -> Value {
    let path = format!("/api/v1/reports/{}?tenant=acme", run["id"].as_str().expect("an id"));
    scenario
        .wait_until("the report is done", || async {
            let (_, run) = send(scenario.request_as(token, Method::GET, &path)).await;
            if run["status"] == "done" { Ok(run) } else { Err(run.to_string()) }
        })
        .await
}

async fn fetch(scenario: &Scenario, token: &str, run: &Value, what: &str) -> (StatusCode, Vec<u8>) {
    let path = format!("/api/v1/reports/{}/{what}?tenant=acme", run["id"].as_str().expect("an id"));
    let response = scenario.request_as(token, Method::GET, &path).send().await.expect("answered");
    (response.status(), response.bytes().await.expect("a body").to_vec())
}

/// What was fetched, side by side in a folder as people keep it.
async fn save_files(scenario: &Scenario, token: &str, run: &Value, folder: &Path) -> std::path::PathBuf {
    let file = folder.join(run["file_name"].as_str().expect("a name"));
    for (what, place) in [("file", file.clone()), ("manifest", shiftkeeper::report::manifest::path_for(&file))] {
        let (status, bytes) = fetch(scenario, token, run, what).await;
        assert_eq!(status, StatusCode::OK, "{what}");
        std::fs::write(place, bytes).expect("written");
    }
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn supervisors_get_reports_only_about_their_teams() {
    let scenario = Scenario::start_team(Setup::team(8)).await;
    let taken = scenario.request_change(&["u_0001", "u_0002", "u_0003"], "Ready").await;
    scenario.wait_for_all(&taken, "confirmed").await;
    scenario.wait_until_settled().await;
    let floor = token(&scenario, "floor", Role::Supervisor, &["Team 0"]).await;
    let other = token(&scenario, "other", Role::Supervisor, &["Team 1"]).await;
    let analyst = token(&scenario, "analyst", Role::Analyst, &["*"]).await;

    let (status, run) = request_report(&scenario, &floor, &json!({})).await;
    assert_eq!((status, &run["status"]), (StatusCode::ACCEPTED, &json!("waiting")), "{run}");
    let done = wait_until_done(&scenario, &floor, &run).await;
    assert_eq!(done["request"]["filters"]["teams"], json!(["Team 0"]));
    let folder = tempfile::tempdir().expect("a folder");
    let file = save_files(&scenario, &floor, &done, folder.path()).await;
    let text = std::fs::read_to_string(&file).expect("text");
    assert!(text.contains("u_0001") && !text.contains("u_0002") && !text.contains("u_0003"), "{text}");
    let reader = scenario.reader().await;
    let verdict = verify(&reader, &file).await.expect("checked");
    assert!(verdict.holds, "{verdict:?}");

    // What is out of reach looks as if it did not exist.
    for what in ["", "/file", "/manifest"] {
        let path = format!("/api/v1/reports/{}{what}?tenant=acme", done["id"].as_str().expect("an id"));
        let (status, body) = send(scenario.request_as(&other, Method::GET, &path)).await;
        assert_eq!((status, &body["code"]), (StatusCode::NOT_FOUND, &json!("no_such_report")), "{what}");
    }
    let (status, body) = request_report(&scenario, &floor, &json!({"filters": {"teams": ["Team 1"]}})).await;
    assert_eq!((status, &body["code"]), (StatusCode::NOT_FOUND, &json!("no_such_team")), "{body}");
    let (_, list) = send(scenario.request_as(&other, Method::GET, "/api/v1/reports?tenant=acme")).await;
    assert_eq!(list["reports"], json!([]));

    // A caller with access to all teams gets every agent, in every format, and sees what others requested.
    for format in ReportFormat::ALL {
        let (status, run) =
            request_report(&scenario, &analyst, &json!({"format": format, "zone": "Europe/Berlin"})).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{run}");
        let done = wait_until_done(&scenario, &analyst, &run).await;
        let file = save_files(&scenario, &analyst, &done, folder.path()).await;
        let verdict = verify(&reader, &file).await.expect("checked");
        assert!(verdict.holds, "{format}: {verdict:?}");
    }
    let (_, list) = send(scenario.request_as(&analyst, Method::GET, "/api/v1/reports?tenant=acme")).await;
    assert_eq!(list["reports"].as_array().map(Vec::len), Some(1 + ReportFormat::ALL.len()), "{list}");

    // Each report has an event and an audit entry, with the file's hash and without an agent's id.
    let entries = scenario.audit(&reader).await;
    let made: Vec<_> = entries.iter().filter(|entry| entry.action == "report.completed").collect();
    assert_eq!(made.len(), 1 + ReportFormat::ALL.len());
    assert!(made[0].actor == "person:floor" && made[0].why["sha256"] == done["sha256"], "{:?}", made[0]);
    let events = scenario.events(&reader).await;
    assert_eq!(
        events.iter().filter(|event| event.kind == EventKind::ReportCompleted).count(),
        1 + ReportFormat::ALL.len()
    );
    scenario.assert_nothing_left_over().await;
}

/// The formats that the console's page offers.
async fn offered_formats(scenario: &Scenario, token: &str) -> BTreeSet<String> {
    let page = scenario.request_as(token, Method::GET, "/reports?tenant=acme").send().await.expect("answered");
    let page = page.text().await.expect("text");
    let choice = page.split("<select id=\"report-format\">").nth(1).and_then(|rest| rest.split("</select>").next());
    let options = choice.expect("a choice of formats").split("<option value=\"").skip(1);
    options.filter_map(|option| option.split_once('"')).map(|(value, _)| value.to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn impossible_reports_are_refused_and_the_daily_export_runs_on_schedule() {
    let scenario = Scenario::start_team(Setup::team(4)).await;
    let analyst = token(&scenario, "analyst", Role::Analyst, &["*"]).await;
    let viewer = token(&scenario, "looker", Role::Viewer, &["*"]).await;
    assert_eq!(
        offered_formats(&scenario, &analyst).await,
        BTreeSet::from(ReportFormat::ALL.map(|format| format.to_string()))
    );
    for (more, status, code) in [
        (json!({"zone": "Mars/Base"}), 422, "report_refused"),
        (json!({"section": "nothing"}), 422, "report_refused"),
        (json!({"from": "2026-10-27T00:00:00Z", "to": "2026-10-26T00:00:00Z"}), 422, "report_refused"),
        (json!({"report": "trend"}), 422, "report_refused"),
        #[cfg(not(feature = "parquet"))]
        (json!({"format": "parquet"}), 422, "report_refused"),
        (json!({"format": "papyrus"}), 422, "bad_body"),
        (json!({"report": "horoscope"}), 422, "bad_body"),
        (json!({"colour": "red"}), 422, "bad_body"),
    ] {
        let (answered, body) = request_report(&scenario, &analyst, &more).await;
        assert_eq!(answered.as_u16(), status, "{more}: {body}");
        assert_eq!(body["code"].as_str().unwrap_or_default(), code, "{more}: {body}");
    }
    let (status, body) = request_report(&scenario, &viewer, &json!({})).await;
    assert_eq!((status, &body["code"]), (StatusCode::FORBIDDEN, &json!("not_permitted")), "{body}");

    let list = "/api/v1/reports?tenant=acme";
    let (status, body) = send(scenario.request(Method::POST, "/api/v1/jobs/report/run?tenant=acme")).await;
    assert!(status.is_success(), "{body}");
    scenario
        .wait_until("the export of the day before is there in both formats", || async {
            let (_, list) = send(scenario.request_as(&analyst, Method::GET, list)).await;
            let runs = list["reports"].as_array().expect("a list").clone();
            let made = runs.iter().filter(|run| run["job"] == "report" && run["status"] == "done");
            let formats: Vec<_> = made.map(|run| run["format"].as_str().unwrap_or_default().to_owned()).collect();
            if formats == ["xlsx", "csv"] { Ok(()) } else { Err(list.to_string()) }
        })
        .await;
    scenario.assert_nothing_left_over().await;
}
