//! An agent who went through everything is erased: no table, no byte of the database, no file of the daemon's folders and no answer knows
//! who it was; teams have the figures that they had, the chain holds, and what the platform goes on showing brings nobody back.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shiftkeeper::domain::reports::report_run::ReportFormat;
use shiftkeeper::sim::{ReceiverMode, ReceiverOptions, SimState};

use super::webhooks::{endpoint_config, receiver};
use crate::faults::print_progress;
use crate::harness::process::{run, shiftkeeper};
use crate::harness::{Binary, OPERATOR, Scenario, Setup, agent_ids, schedule, send};

const ERASED_AGENT: &str = "u_0003";
const NAME: &str = "Zoë Quuxington";
const NOTE: &str = "xylophones at night";

const RULES: &str = r#"
[[rules]]
id = "back"
when = { planned = "work", state = "Paused", for = "1m" }
then = { set_state = "Ready" }

[[rules]]
id = "told"
when = { state = "Paused", for = "30s" }
then = { tell = "is paused" }
mode = "enforce"
"#;

fn named_schedule() -> String {
    schedule(agent_ids(4), &[("lunch", "13:35", "13:50", false)]).replace("Agent 2", NAME)
}

async fn post(scenario: &Scenario, path: &str, mut body: Value) -> (StatusCode, Value) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    body["tenant"] = json!(scenario.tenant);
    // A key is the client's own text: no agent's id belongs into it.
    let key = format!("key-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let request = scenario.request(Method::POST, path).header("Idempotency-Key", key);
    send(request.json(&body)).await
}

/// A report as the daemon made it, in a format.
async fn report(scenario: &Scenario, kind: &str, format: &str, (from, to): (&str, &str)) -> (Value, Vec<u8>) {
    let body = json!({"report": kind, "format": format, "from": from, "to": to});
    let (status, asked) = post(scenario, "/api/v1/reports", body).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{asked}");
    let path = format!("/api/v1/reports/{}", asked["id"].as_str().expect("an id"));
    let done = scenario
        .wait_until("the report is done", || async {
            let (_, run) = scenario.get(&format!("{path}?tenant={}", scenario.tenant)).await;
            if run["status"] == "done" { Ok(run) } else { Err(run.to_string()) }
        })
        .await;
    let file = scenario.request(Method::GET, &format!("{path}/file?tenant={}", scenario.tenant)).send().await;
    (done, file.expect("answered").bytes().await.expect("a body").to_vec())
}

/// What a report of adherence says of all and of teams.
async fn totals(scenario: &Scenario, kind: &str, sections: &[&str], span: (&str, &str)) -> Vec<Value> {
    let (_, bytes) = report(scenario, kind, "json", span).await;
    let whole: Value = serde_json::from_slice(&bytes).expect("JSON");
    sections.iter().map(|section| whole["sections"][section]["rows"].clone()).collect()
}

async fn wait_until_done(scenario: &Scenario, erasure: &Value) -> Value {
    let path = format!("/api/v1/erasures/{}?tenant={}", erasure["id"].as_str().expect("an id"), scenario.tenant);
    scenario
        .wait_until("the erasure is done", || async {
            let (_, now) = scenario.get(&path).await;
            if now["standing"] == "done" { Ok(now) } else { Err(format!("{now} {}", scenario.readiness().await)) }
        })
        .await
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found
}

/// Who it was stands in no file below a folder, in no table, and in no byte.
fn assert_erased(folder: &Path) {
    for path in files_below(folder) {
        let bytes = std::fs::read(&path).expect("a file");
        for needle in [ERASED_AGENT, NAME, "Quuxington", NOTE] {
            let at = bytes.windows(needle.len()).position(|window| window == needle.as_bytes());
            let around = at.map(|at| {
                String::from_utf8_lossy(&bytes[at.saturating_sub(80)..(at + 80).min(bytes.len())]).into_owned()
            });
            assert!(at.is_none(), "{} has {needle}: {around:?}", path.display());
        }
    }
}

/// A life: changes with notes, an exception, a set, a rule that finds something, deliveries that wait, reports in every format.
async fn create_agent_data(scenario: &Scenario) {
    let ok = |(status, body): (StatusCode, Value)| {
        assert!(status.is_success(), "{status} {body}");
        body
    };
    let change = json!({"agents": [ERASED_AGENT], "to": "Ready", "note": NOTE});
    let taken = ok(post(scenario, "/api/v1/transitions", change).await)["transitions"][0].clone();
    scenario.wait_for_status(&taken, "confirmed").await;
    let together = json!({"agents": [ERASED_AGENT, "u_0002"], "to": "Paused", "note": format!("with {NAME}")});
    let taken = ok(post(scenario, "/api/v1/transitions", together).await)["transitions"][0].clone();
    scenario.wait_for_status(&taken, "confirmed").await;
    let (from, to) = (scenario.clock.now() - Duration::from_secs(60), scenario.clock.now() + Duration::from_secs(7200));
    let alone = json!({"agents": [ERASED_AGENT], "from": from, "to": to, "reason": NOTE});
    ok(post(scenario, "/api/v1/exceptions", alone).await);
    let several =
        json!({"agents": [ERASED_AGENT, "u_0001"], "from": from, "to": to, "reason": format!("{NAME} and a friend")});
    ok(post(scenario, "/api/v1/exceptions", several).await);
    let set = json!({"select": {"agents": [ERASED_AGENT]}, "to": "Idle", "note": NOTE});
    let set = ok(post(scenario, "/api/v1/change-sets", set).await);
    let start = format!("/api/v1/change-sets/{}/start", set["id"].as_str().expect("an id"));
    ok(post(scenario, &start, json!({"hash": set["hash"]})).await);
    let skills = scenario.request(Method::PUT, &format!("/api/v1/agents/{ERASED_AGENT}/skills"));
    ok(send(skills.json(&json!({"tenant": scenario.tenant, "skills": ["7"]}))).await);
    // Paused long enough for both rules to find something.
    scenario.set_agent_state(ERASED_AGENT, SimState::Paused);
    let findings = format!("/api/v1/rule-findings?tenant={}", scenario.tenant);
    scenario
        .wait_until("a rule has found something", || async {
            let (_, found) = scenario.get(&findings).await;
            if found.to_string().contains(ERASED_AGENT) { Ok(()) } else { Err(found.to_string()) }
        })
        .await;
    scenario.wait_until_settled().await;
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one life, from its changes to what an auditor sees of it")]
async fn an_erased_agent_is_nowhere_any_more_and_teams_keep_their_figures() {
    let (good, bad) = (receiver(ReceiverOptions::default()).await, receiver(ReceiverOptions::default()).await);
    bad.set_mode(ReceiverMode::Refuse(500));
    let webhooks = endpoint_config("good", good.address(), "")
        + &endpoint_config("bad", bad.address(), "format = \"cloudevents\"");
    let setup = Setup { rules: RULES, webhooks, schedule: Some(named_schedule()), ..Setup::team(4) };
    let mut scenario = Scenario::without_daemon(setup).await;
    let drop_folder = scenario.folder.path().join("drop");
    std::fs::create_dir_all(drop_folder.join("done")).expect("a folder");
    scenario.setup.tenant_keys = Box::leak(format!("schedule_folder = {drop_folder:?}").into_boxed_str());
    for agent in agent_ids(4) {
        scenario.set_agent_state(&agent, SimState::Unavailable);
    }
    scenario.start_daemon().await;
    scenario.import(&named_schedule()).await;
    scenario.wait_until_observed().await;
    create_agent_data(&scenario).await;

    let (from, to) = (scenario.clock.now() - Duration::from_secs(2 * 3600), scenario.clock.now());
    let (from, to) = (from.to_string(), to.to_string());
    let span = (from.as_str(), to.as_str());
    // Until the roster was observed so long after the time range that no deviation in it can still be within its
    // tolerance.
    let settled = scenario.clock.now() + Duration::from_secs(600);
    let reader = scenario.reader().await;
    scenario
        .wait_until("the span is settled", || async {
            let seen = reader.last_observed_span(&scenario.tenant).await.expect("reads").map(|(_, until)| until);
            if seen.is_some_and(|seen| seen > settled) { Ok(()) } else { Err(format!("{seen:?}")) }
        })
        .await;
    let adherence = totals(&scenario, "adherence", &["total", "teams"], span).await;
    let compliance = totals(&scenario, "compliance", &["figures", "violations", "outcomes", "rules"], span).await;
    for format in ReportFormat::ALL {
        let (run, bytes) = report(&scenario, "segments", format.name(), span).await;
        assert_eq!(run["status"], "done");
        let is_packed = matches!(format, ReportFormat::Xlsx | ReportFormat::Parquet);
        assert!(is_packed || String::from_utf8_lossy(&bytes).contains(ERASED_AGENT), "{format}");
    }

    // While the configuration or a file names the agent, an erasure would not last.
    let erase = format!("/api/v1/agents/{ERASED_AGENT}/erase");
    let reason = format!("{NAME} wants it");
    let (status, refused) = post(&scenario, &erase, json!({"reason": reason})).await;
    assert_eq!((status, &refused["code"]), (StatusCode::CONFLICT, &json!("still_named")), "{refused}");
    assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains("`agents`")), "{refused}");
    scenario.setup.unlisted = &[ERASED_AGENT];
    scenario.reload();
    let waits = drop_folder.join("waits.csv");
    std::fs::write(&waits, format!("agent_id\n{ERASED_AGENT}\n")).expect("written");
    let (status, refused) = post(&scenario, &erase, json!({"reason": "a file waits"})).await;
    assert_eq!((status, &refused["code"]), (StatusCode::CONFLICT, &json!("still_named")), "{refused}");
    // The folder's job may have moved it to the files with faults.
    let _ = std::fs::remove_file(&waits);
    std::fs::write(drop_folder.join("done").join("old.csv"), named_schedule()).expect("written");
    std::fs::write(drop_folder.join("done").join("other.csv"), "agent_id\nu_0001\n").expect("written");

    let viewer = scenario.request_as(crate::harness::VIEWER, Method::POST, &erase);
    let (status, _) = send(viewer.json(&json!({"tenant": scenario.tenant, "reason": "x"}))).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, asked) = post(&scenario, &erase, json!({"reason": reason})).await;
    assert_eq!((status, &asked["reason"]), (StatusCode::ACCEPTED, &Value::Null), "{asked}");
    assert!(!asked.to_string().contains(ERASED_AGENT), "{asked}");
    let done = wait_until_done(&scenario, &asked).await;
    print_progress(format!("{done}"));
    let stand_in = done["stand_in"].as_str().expect("an id").to_owned();
    assert_eq!(done["reason"], json!(format!("{stand_in} wants it")));
    assert!(done["rows"].as_u64() > Some(30) && done["notes"].as_u64() >= Some(2), "{done}");
    assert_eq!(done["import_files"].as_array().map(Vec::len), Some(1), "{done}");
    assert!(drop_folder.join("done").join("other.csv").exists());
    assert!(done["report_files"].as_array().map(Vec::len) >= Some(2 + ReportFormat::ALL.len()), "{done}");
    // What is packed shows no name in its bytes: that it is not there any more is what counts.
    let left = files_below(scenario.folder.path());
    for format in ReportFormat::ALL {
        let ending = format!(".{format}");
        let of_format = |file: &Value| file.as_str().is_some_and(|file| file.ends_with(&ending));
        assert!(done["report_files"].as_array().is_some_and(|files| files.iter().any(of_format)), "{format}: {done}");
    }
    assert!(!left.iter().any(|path| path.to_string_lossy().contains("segments")), "{left:?}");

    let (status, again) = post(&scenario, &erase, json!({"reason": "again"})).await;
    assert_eq!((status, &again["code"]), (StatusCode::NOT_FOUND, &json!("no_such_agent")), "{again}");
    let (_, listed) = scenario.get(&format!("/api/v1/erasures?tenant={}", scenario.tenant)).await;
    assert_eq!((&listed["erasures"][0]["id"], &listed["next"]), (&done["id"], &Value::Null), "{listed}");

    assert_eq!(totals(&scenario, "adherence", &["total", "teams"], span).await, adherence);
    assert_eq!(
        totals(&scenario, "compliance", &["figures", "violations", "outcomes", "rules"], span).await,
        compliance
    );
    assert!(adherence[1].as_array().is_some_and(|teams| teams.len() == 4), "{adherence:?}");
    let some = |place: usize| compliance[place].as_array().is_some_and(|rows| !rows.is_empty());
    assert!(some(0) && some(2), "figures and outcomes: {compliance:?}");

    // The platform still shows the agent.
    scenario.set_agent_state(ERASED_AGENT, SimState::Available);
    scenario.let_time_pass(Duration::from_secs(180)).await;
    let reader = scenario.reader().await;
    let known = reader.agents(&scenario.tenant).await.expect("readable");
    assert_eq!(known.len(), 4);
    assert!(
        known
            .iter()
            .all(|stored| stored.agent.id.as_str() != ERASED_AGENT && stored.agent.name.as_deref() != Some(NAME))
    );
    bad.set_mode(ReceiverMode::Accept);
    scenario
        .wait_until("what waited for the bad endpoint arrives", || async {
            let backlog = reader.backlog(&scenario.tenant, &"bad".into()).await.expect("readable");
            if backlog.waiting == 0 { Ok(()) } else { Err(format!("{backlog:?}")) }
        })
        .await;
    let entries = scenario.audit(&reader).await;
    let actions: Vec<&str> = entries.iter().map(|entry| entry.action.as_str()).collect();
    let place =
        |action: &str| actions.iter().position(|found| *found == action).unwrap_or_else(|| panic!("no {action}"));
    assert!(
        place("agent.erasure_asked") < place("agent.left_roster") && place("agent.left_roster") < place("agent.erased")
    );
    reader.close().await;
    scenario.stop_daemon().await;
    assert_erased(scenario.folder.path());
    export_and_verify(&scenario).await;
}

/// The chain as an auditor checks it, by a script that shares no code.
async fn export_and_verify(scenario: &Scenario) {
    let folder = scenario.folder.path();
    let url = scenario.store_url();
    let config = folder.join("audit.toml");
    let tenant = format!(
        "[[tenants]]\nid = {:?}\nbase_url = \"http://127.0.0.1:1\"\nclient_id = \"x\"\nclient_secret = {{ env = \"OPERATOR\" }}\n",
        scenario.tenant.as_str()
    );
    std::fs::write(&config, format!("{tenant}[store]\nurl = {url:?}\n")).expect("written");
    let config = config.display().to_string();
    let verified = run(shiftkeeper(folder, &["audit", "verify", "--config", &config])).await;
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let arguments =
        ["audit", "export", "--config", &config, "--tenant", scenario.tenant.as_str(), "--folder", "export"];
    let exported = run(shiftkeeper(folder, &arguments)).await;
    assert_eq!(exported.code, Some(0), "{exported:?}");
    let mut script = Command::new("python3");
    script.arg("verify.py").current_dir(folder.join("export"));
    let checked = run(script).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert_erased(&folder.join("export"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_outlives_a_kill_and_the_command_follows_it_to_its_end() {
    let binary = Some(Binary { path: env!("CARGO_BIN_EXE_shiftkeeper").into(), environment: Vec::new() });
    let setup = Setup { binary, unlisted: &[ERASED_AGENT], schedule: Some(named_schedule()), ..Setup::team(4) };
    let mut scenario = Scenario::without_daemon(setup).await;
    for agent in agent_ids(4) {
        scenario.set_agent_state(&agent, SimState::Unavailable);
    }
    scenario.start_daemon().await;
    scenario.import(&named_schedule()).await;
    scenario.wait_until_observed().await;
    let (status, asked) =
        post(&scenario, &format!("/api/v1/agents/{ERASED_AGENT}/erase"), json!({"reason": "T-1"})).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{asked}");
    scenario.kill_daemon().await;
    scenario.start_daemon().await;
    let done = wait_until_done(&scenario, &asked).await;
    assert_eq!((&done["id"], &done["reason"]), (&asked["id"], &json!("T-1")));

    let folder = scenario.folder.path().to_owned();
    let client = folder.join("client.toml");
    let text = format!(
        "[client]\nurl = {:?}\ntoken = {{ env = \"OPERATOR\" }}\n[[tenants]]\nid = {:?}\nbase_url = \"http://127.0.0.1:1\"\n\
         client_id = \"x\"\nclient_secret = {{ env = \"OPERATOR\" }}\n[store]\nurl = {:?}\n",
        scenario.base(),
        scenario.tenant.as_str(),
        scenario.store_url()
    );
    std::fs::write(&client, text).expect("written");
    let client = client.display().to_string();
    let command = |arguments: &[&str]| {
        let mut command = shiftkeeper(&folder, arguments);
        command.env("OPERATOR", OPERATOR).args(["--config", &client]);
        command
    };
    let again = run(command(&["erase", ERASED_AGENT, "--reason", "T-2", "--yes"])).await;
    assert!(again.code == Some(1) && again.stderr.contains("there is no agent"), "{again:?}");
    let unsure = run(command(&["erase", "u_0002", "--reason", "T-3"])).await;
    assert!(unsure.code == Some(2) && unsure.stderr.contains("--yes"), "{unsure:?}");
    let listed = run(command(&["erase", "--list", "--output", "json"])).await;
    assert_eq!(listed.json()["erasures"].as_array().map(Vec::len), Some(1), "{listed:?}");

    let server = scenario.take_process();
    server.signal("TERM");
    let (status, _, said) = server.wait_for_exit().await;
    assert!(status.success() && !said.contains(NAME), "{said}");
    assert_erased(&folder);
}
