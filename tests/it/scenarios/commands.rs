//! The commands that ask a daemon, from a desk that knows nothing of it but its address and a token: with rules, and over TLS.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::tls::certificate;
use crate::harness::process::{CommandOutput, run, shiftkeeper};
use crate::harness::{OPERATOR, Scenario, Setup, VIEWER};

/// A rule that wants everybody back after some minutes.
const BACK: &str = "[[rules]]\nid = \"back\"\nmode = \"watch\"\nwhen = { planned = \"work\", state = \"NotReady\", for = \"2m\" }\n\
                    then = { set_state = \"Ready\", reason = \"WORKING\" }\n";

/// A configuration of the command line alone.
fn write_client_config(folder: &Path, url: &str, more: &str) {
    let text = format!("[client]\nurl = {url:?}\ntoken = {{ env = \"TOKEN\" }}\n{more}");
    std::fs::write(folder.join("client.toml"), text).expect("written");
}

fn command(folder: &Path, token: &str, arguments: &[&str]) -> Command {
    let mut command = shiftkeeper(folder, arguments);
    command.args(["--config", "client.toml"]).env("TOKEN", token);
    command
}

/// As JSON, with the exit code that is expected.
async fn run_for_json(folder: &Path, code: i32, arguments: &[&str]) -> Value {
    let ended = run(command(folder, OPERATOR, &[arguments, &["--tenant", "acme", "--output", "json"]].concat())).await;
    assert_eq!(ended.code, Some(code), "{arguments:?}: {ended:?}");
    ended.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_listed_checked_explained_tried_and_switched_with_a_token() {
    let scenario = Scenario::start_team(Setup { rules: BACK, ..Setup::team(4) }).await;
    scenario.let_time_pass(std::time::Duration::from_secs(5 * 60)).await;
    let folder = scenario.folder.path();
    write_client_config(folder, scenario.base(), "");
    let listed = run_for_json(folder, 0, &["rules", "list"]).await;
    let rule = &listed["tenants"][0]["rules"][0];
    assert_eq!(
        (&rule["id"], &rule["origin"], &rule["in_force"]),
        (&json!("back"), &json!("configuration"), &json!(true))
    );
    assert_eq!(rule["counts"]["would"], 4, "{listed}");
    let week = run_for_json(folder, 0, &["rules", "list", "--days", "7"]).await;
    let at = |answer: &Value, key: &str| {
        answer["tenants"][0][key].as_str().expect("an instant").parse().expect("an instant")
    };
    let (from, to): (shiftkeeper::domain::time::UtcMicros, shiftkeeper::domain::time::UtcMicros) =
        (at(&week, "from"), at(&week, "to"));
    assert_eq!(to.since(from).as_secs(), 7 * 86_400, "{week}");
    assert_eq!(run_for_json(folder, 0, &["rules", "check"]).await, json!({"ok": true, "complaints": []}));

    let explained = run_for_json(folder, 0, &["rules", "explain", "u_0001"]).await;
    assert_eq!(
        (&explained["agent"], &explained["rules"][0]["rule"]),
        (&json!("u_0001"), &json!("back")),
        "{explained}"
    );
    let said = run(command(folder, OPERATOR, &["rules", "explain", "u_0001", "--tenant", "acme"])).await;
    assert!(said.stdout.contains("u_0001: back wants to set Ready (WORKING) and is held"), "{said:?}");
    let nobody = run(command(folder, OPERATOR, &["rules", "explain", "u_9999", "--tenant", "acme"])).await;
    assert!(nobody.code == Some(1) && nobody.stderr.contains("u_9999"), "{nobody:?}");

    let from = crate::harness::start().to_string();
    let tried = run_for_json(folder, 0, &["rules", "replay", "back", "--from", &from]).await;
    assert_eq!(
        (&tried["status"], &tried["rule"], &tried["from"]),
        (&json!("done"), &json!("back"), &json!(from)),
        "{tried}"
    );
    assert_eq!(tried["result"]["replayed"]["acts"], 4, "{tried}");
    std::fs::write(folder.join("sooner.toml"), BACK.replace("2m", "1m")).expect("written");
    let said = run(command(
        folder,
        OPERATOR,
        &["rules", "replay", "--file", "sooner.toml", "--from", &from, "--tenant", "acme"],
    ))
    .await;
    assert!(said.code == Some(0) && said.stdout.contains("replayed: 4 actions on 4 agents"), "{said:?}");
    assert!(said.stdout.contains("active version: 4 actions"), "{said:?}");
    std::fs::write(folder.join("wrong.toml"), BACK.replace("NotReady", "NotRedy")).expect("written");
    let wrong = run(command(folder, OPERATOR, &["rules", "replay", "--file", "wrong.toml", "--tenant", "acme"])).await;
    assert!(wrong.code == Some(4) && wrong.stderr.contains("wrong.toml:4: "), "{wrong:?}");
    let viewer = run(command(folder, VIEWER, &["rules", "replay", "back", "--tenant", "acme"])).await;
    assert!(viewer.code == Some(77) && viewer.stderr.contains("edit_rules"), "{viewer:?}");

    let switched = run_for_json(folder, 0, &["rules", "set-mode", "back", "enforce", "--reason", "quiet"]).await;
    assert_eq!((&switched["mode"], &switched["origin"]), (&json!("enforce"), &json!("replaced")), "{switched}");
    scenario.assert_nothing_left_over().await;
}

/// Asks as somebody whose configuration has an address and a token and nothing more; gives how it ended.
async fn run_remote(folder: &Path, arguments: &[&str]) -> CommandOutput {
    run(command(folder, OPERATOR, arguments)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_only_an_address_and_a_token_reads_imports_follows_and_changes() {
    let setup = Setup::team(4);
    let schedule = setup.schedule.clone().expect("a schedule");
    let scenario = Scenario::start_team(setup).await;
    let files = tempfile::tempdir().expect("a folder");
    let folder = files.path();
    write_client_config(folder, scenario.base(), "");
    std::fs::write(folder.join("week.csv"), schedule).expect("written");

    let status = run_remote(folder, &["status", "--output", "json"]).await;
    assert_eq!((status.code, &status.json()["tenants"][0]["id"]), (Some(0), &json!("acme")), "{status:?}");
    let status = run_remote(folder, &["status", "--tenant", "nobody"]).await;
    assert!(status.code == Some(1) && status.stderr.contains("no tenant nobody that the token"), "{status:?}");
    let jobs = run_remote(folder, &["jobs", "--output", "json"]).await;
    let ids: Vec<_> = jobs.json()["jobs"].as_array().expect("jobs").iter().map(|job| job["id"].clone()).collect();
    assert!(jobs.code == Some(0) && ids.contains(&json!("retention")), "{jobs:?}");
    let ran = run_remote(folder, &["jobs", "run", "retention", "--wait", "60s", "--output", "json"]).await;
    assert_eq!((ran.code, &ran.json()["last"]["outcome"]), (Some(0), &json!("done")), "{ran:?}");
    let strange = run_remote(folder, &["jobs", "run", "polish"]).await;
    assert!(strange.code == Some(2) && strange.stderr.contains("the daemon has no job polish; it has "), "{strange:?}");
    let imported = run_remote(folder, &["import", "week.csv"]).await;
    assert!(imported.code == Some(0) && imported.stdout.contains("in force for acme"), "{imported:?}");
    let watched = run_remote(folder, &["watch", "--for", "2s", "--output", "json"]).await;
    assert!(watched.code == Some(0) && watched.stdout.contains("\"u_0001\""), "{watched:?}");
    let agents = run_remote(folder, &["agents", "--output", "json"]).await;
    assert_eq!((agents.code, &agents.json()["total"]), (Some(0), &json!(4)), "{agents:?}");

    // What cannot be set is refused at once, with what can be, by the tenant's own platform.
    for wrong in ["Redy", "OnContact"] {
        for arguments in [&["change", "u_0001"][..], &["change", "plan", "u_0001"]] {
            let ended = run_remote(folder, &[arguments, &["--to", wrong]].concat()).await;
            assert!(
                ended.code == Some(1) && ended.stderr.contains("can set Ready, NotReady, Paused, Idle"),
                "{ended:?}"
            );
        }
    }
    // A plan for nobody ends as its start does.
    let arguments = ["change", "plan", "u_0001", "--to", "NotReady", "--save", "plan.json"];
    let planned = run_remote(folder, &arguments).await;
    assert!(planned.code == Some(1) && planned.stderr.contains("no agent would be changed"), "{planned:?}");
    let applied = run_remote(folder, &["change", "apply", "--plan", "plan.json", "--wait", "10s"]).await;
    assert!(applied.code == Some(1) && applied.stderr.contains("u_0001 (already there)"), "{applied:?}");
    let nobody = run_remote(folder, &["change", "plan", "--search", "nobody", "--to", "Ready"]).await;
    assert!(nobody.code == Some(1) && nobody.stderr.contains("the selection contains no agent"), "{nobody:?}");
    let changed = run_remote(folder, &["change", "u_0001", "--to", "ready", "--wait", "60s"]).await;
    assert_eq!(changed.code, Some(0), "{changed:?}");
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_reaches_several_tenants_names_them_where_one_has_to_be_named() {
    let mut setup = Setup::team(4);
    setup.sim.tenants = 2;
    let scenario = Scenario::start(setup).await;
    let files = tempfile::tempdir().expect("a folder");
    write_client_config(files.path(), scenario.base(), "");
    let ended = run_remote(files.path(), &["agents"]).await;
    let said = "name a tenant with --tenant: the token can access acme, bravo";
    assert!(ended.code == Some(2) && ended.stderr.contains(said), "{ended:?}");
    let status = run_remote(files.path(), &["status", "--output", "json"]).await;
    assert_eq!(status.json()["tenants"].as_array().map(Vec::len), Some(2), "{status:?}");
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_rules_are_checked_without_a_daemon_and_everything_else_says_that_none_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let tenant = "[[tenants]]\nid = \"acme\"\nbase_url = \"http://127.0.0.1:9\"\nclient_id = \"x\"\nclient_secret = { env = \"TOKEN\" }\n";
    write_client_config(folder, "http://127.0.0.1:9", tenant);
    std::fs::write(folder.join("good.toml"), BACK).expect("written");
    std::fs::write(folder.join("wrong.toml"), BACK.replace("NotReady", "NotRedy")).expect("written");
    assert_eq!(run_for_json(folder, 0, &["rules", "check", "good.toml"]).await["ok"], true);
    let wrong = run_for_json(folder, 4, &["rules", "check", "good.toml", "wrong.toml"]).await;
    assert_eq!(
        (&wrong["complaints"][0]["place"], &wrong["complaints"][0]["line"]),
        (&json!("wrong.toml"), &json!(4)),
        "{wrong}"
    );
    for arguments in
        [&["rules", "list"][..], &["rules", "check"], &["rules", "explain", "u_1"], &["rules", "replay"], &["agents"]]
    {
        let ended = run(command(folder, OPERATOR, arguments)).await;
        assert!(
            ended.code == Some(69) && ended.stderr.contains("no daemon answers at http://127.0.0.1:9"),
            "{ended:?}"
        );
    }
}

/// The same command with and without a word about the certificate.
async fn run_with_ca(folder: &Path, url: &str, more: &str, arguments: &[&str]) -> CommandOutput {
    write_client_config(folder, url, more);
    run(command(folder, OPERATOR, arguments)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_the_daemon_signed_itself_is_taken_where_it_is_named() {
    let files = tempfile::tempdir().expect("a folder");
    let folder = files.path();
    certificate(folder);
    let tls = format!("[server.tls]\ncertificate = {:?}\nkey = {:?}\n", folder.join("tls.crt"), folder.join("tls.key"));
    let scenario = Scenario::start(Setup { webhooks: tls.clone(), ..Setup::default() }).await;
    let (address, agents) = (scenario.address(), ["agents", "--tenant", "acme", "--output", "json"]);
    let url = format!("https://{address}");
    // By its address, which the certificate does not have.
    let trusted = run_with_ca(folder, &url, "ca = \"tls.crt\"\n", &agents).await;
    assert!(trusted.code == Some(0) && trusted.json()["total"] == 8, "{trusted:?}");
    let strange = run_with_ca(folder, &url, "", &agents).await;
    assert!(strange.code == Some(69) && strange.stderr.contains("certificate"), "{strange:?}");
    let other = tempfile::tempdir().expect("a folder");
    certificate(other.path());
    let ca = format!("ca = {:?}\n", other.path().join("tls.crt"));
    let strange = run_with_ca(folder, &url, &ca, &agents).await;
    assert!(strange.code == Some(69) && strange.stderr.contains("certificate"), "{strange:?}");
    let missing = run_with_ca(folder, &url, "ca = \"nothing.crt\"\n", &agents).await;
    assert!(missing.code == Some(78) && missing.stderr.contains("nothing.crt"), "{missing:?}");

    // The daemon's own configuration names its certificate, and so needs no word more.
    let own = format!(
        "[server]\nlisten = \"{address}\"\n[[server.tokens]]\nid = \"ops\"\ntoken = {{ env = \"TOKEN\" }}\n{tls}\
         [[tenants]]\nid = \"acme\"\nbase_url = \"http://127.0.0.1:9\"\nclient_id = \"x\"\nclient_secret = {{ env = \"TOKEN\" }}\n"
    );
    std::fs::write(folder.join("client.toml"), &own).expect("written");
    let ended = run(command(folder, OPERATOR, &agents)).await;
    assert!(ended.code == Some(0) && ended.json()["total"] == 8, "{ended:?}");
    let alive = run(command(folder, OPERATOR, &["healthcheck"])).await;
    assert_eq!(alive.code, Some(0), "{alive:?}");
    // A certificate that came and is not in force yet, or cannot be, is no reason to restart what serves.
    std::fs::write(folder.join("tls.crt"), "half a certificate").expect("written");
    let alive = run(command(folder, OPERATOR, &["healthcheck"])).await;
    assert_eq!(alive.code, Some(0), "{alive:?}");
}
