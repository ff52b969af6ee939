//! The API's face through the binary: agents on the command line, manual pages, and a webhook key that is rotated by request.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shiftkeeper::platform::client::{ClientSettings, build_client};

use crate::harness::process::{CommandFolder, Server, run, shiftkeeper};
use crate::harness::{OPERATOR, WAIT_TIMEOUT, send, wait_until};

const OLD_KEY: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";

#[tokio::test(flavor = "multi_thread")]
async fn agents_are_listed_and_one_is_described_on_the_command_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["simulate", "--listen", "127.0.0.1:0", "--agents", "8", "--quiet"];
    let simulator = Server::start(shiftkeeper(folder.path(), &arguments)).await;
    let desk = CommandFolder::new(&simulator.ready, "");
    let early = run(desk.command(&["agents"])).await;
    assert_eq!(early.code, Some(69), "no daemon runs yet: {early:?}");
    let _daemon = Server::start(desk.command(&["run"])).await;
    let list = wait_until("everyone is seen", WAIT_TIMEOUT, || async {
        let list = run(desk.command(&["agents", "--sort", "id", "--output", "json"])).await.json();
        let seen = list["agents"].as_array().into_iter().flatten().filter(|agent| agent["state"].is_string()).count();
        if seen == 8 { Ok(list) } else { Err(list.to_string()) }
    })
    .await;
    assert_eq!((&list["total"], &list["matching"], &list["agents"][0]["id"]), (&json!(8), &json!(8), &json!("u_0001")));
    let table = run(desk.command(&["agents", "--limit", "2", "--sort", "-id"])).await;
    assert_eq!(table.code, Some(0), "{table:?}");
    assert!(table.stdout.contains("u_0008") && !table.stdout.contains("u_0001"), "{table:?}");
    let one = run(desk.command(&["agents", "u_0001"])).await;
    assert!(one.stdout.contains("adherence") && one.stdout.contains("u_0001"), "{one:?}");
    let nobody = run(desk.command(&["agents", "u_9999"])).await;
    assert_eq!(nobody.code, Some(1), "{nobody:?}");
    let wrong = run(desk.command(&["agents", "--verdict", "late"])).await;
    assert!(wrong.code == Some(1) && wrong.stderr.contains("unscheduled"), "{wrong:?}");
    let pages = folder.path().join("man1");
    let made = run(shiftkeeper(folder.path(), &["man", "man1"])).await;
    assert_eq!((made.code, pages.join("shiftkeeper-agents.1").exists()), (Some(0), true), "{made:?}");
    let script = run(shiftkeeper(folder.path(), &["completions", "bash"])).await;
    assert!(script.stdout.contains("shiftkeeper__"), "{script:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_a_file_is_rotated_by_request_and_one_in_the_environment_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["simulate", "--listen", "127.0.0.1:0", "--agents", "4", "--quiet"];
    let simulator = Server::start(shiftkeeper(folder.path(), &arguments)).await;
    let file = folder.path().join("secret");
    std::fs::write(&file, format!("{OLD_KEY}\n")).expect("written");
    let target = "url = \"http://127.0.0.1:1/\"\nallow = [\"127.0.0.1:1\"]";
    let hooks = format!(
        "[[webhooks]]\nid = \"filed\"\n{target}\nsecret = {{ file = {file:?} }}\n\
         [[webhooks]]\nid = \"held\"\n{target}\nsecret = {{ env = \"HOOK\" }}\n"
    );
    let desk = CommandFolder::new(&simulator.ready, &hooks);
    let mut command = desk.command(&["run"]);
    command.env("HOOK", OLD_KEY);
    let daemon = Server::start(command).await;
    let http = build_client(&ClientSettings::default()).expect("a client");
    let base = format!("http://{}", daemon.ready["listen"].as_str().expect("an address"));
    let rotate = async |id: &str, drop_old: bool| -> (StatusCode, Value) {
        let body = json!({"tenant": "acme", "drop_old": drop_old});
        let url = format!("{base}/api/v1/webhooks/{id}/rotate");
        send(http.request(Method::POST, url).bearer_auth(OPERATOR).json(&body)).await
    };
    let (status, rotated) = rotate("filed", false).await;
    assert_eq!((status, &rotated["in_force"]), (StatusCode::OK, &json!(true)), "{rotated}");
    assert!(rotated["previous_until"].is_string() && !rotated.to_string().contains("whsec_"), "{rotated}");
    let text = std::fs::read_to_string(&file).expect("text");
    let mut lines = text.lines();
    assert!(lines.next().is_some_and(|key| key.starts_with("whsec_") && key != OLD_KEY));
    assert!(lines.next().is_some_and(|before| before.starts_with(OLD_KEY)));
    let (status, again) = rotate("filed", false).await;
    assert_eq!((status, &again["code"]), (StatusCode::CONFLICT, &json!("rotated_lately")), "{again}");
    let (status, dropped) = rotate("filed", true).await;
    assert_eq!((status, &dropped["previous_until"]), (StatusCode::OK, &Value::Null), "{dropped}");
    let (status, held) = rotate("held", false).await;
    assert_eq!((status, &held["code"]), (StatusCode::CONFLICT, &json!("secret_not_here")), "{held}");
    assert!(held["detail"].as_str().is_some_and(|detail| detail.contains("openssl rand")), "{held}");
    let (status, missing) = rotate("none", false).await;
    assert_eq!((status, &missing["code"]), (StatusCode::NOT_FOUND, &json!("no_such_webhook")), "{missing}");
    let export = run(desk.command(&["audit", "export"])).await;
    let bodies = export.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["body"].clone());
    let bodies = bodies.map(|body| serde_json::from_str::<Value>(body.as_str().expect("text")).expect("a body"));
    let told: Vec<Value> = bodies.filter(|body| body["action"] == "webhook.key_rotated").collect();
    let outcomes: Vec<_> = told.iter().map(|body| &body["outcome"]).collect();
    // The second was refused after its entry.
    assert_eq!(outcomes, [&Value::Null, &Value::Null, &json!("failed"), &Value::Null], "{told:?}");
    assert!(!daemon.stderr_text().contains("whsec_"));
}
