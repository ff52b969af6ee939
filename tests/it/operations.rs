//! What the operator runs beside the daemon, through the real binary: `doctor`, `db`, and the drill of docs/operations.md.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::Value;
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::platform::client::{ClientSettings, build_client};
use shiftkeeper::sim::{Receiver, ReceiverMode, ReceiverOptions};
use shiftkeeper::store::Store;

use crate::harness::process::{CommandFolder, CommandOutput, Server, run, shiftkeeper};
use crate::harness::{OPERATOR, WAIT_TIMEOUT, send, wait_until};

const WEBHOOK_SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

async fn start_simulator(tenant_lines: &str) -> (tempfile::TempDir, Server, CommandFolder) {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["simulate", "--listen", "127.0.0.1:0", "--agents", "8", "--quiet"];
    let simulator = Server::start(shiftkeeper(folder.path(), &arguments)).await;
    let desk = CommandFolder::new(&simulator.ready, tenant_lines);
    (folder, simulator, desk)
}

async fn run_command(desk: &CommandFolder, arguments: &[&str]) -> CommandOutput {
    let mut command = desk.command(arguments);
    command.env("HOOK_SECRET", WEBHOOK_SECRET);
    run(command).await
}

async fn daemon(desk: &CommandFolder) -> Server {
    let mut command = desk.command(&["run"]);
    command.env("HOOK_SECRET", WEBHOOK_SECRET);
    Server::start(command).await
}

async fn stop(daemon: Server) {
    daemon.signal("TERM");
    assert!(daemon.wait_for_exit().await.0.success());
}

/// What lies in a folder, but for the empty log and the shared memory that a reader of SQLite leaves behind.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let counts = |path: &PathBuf| {
        let name = path.to_string_lossy();
        let len = path.metadata().map_or(0, |file| file.len());
        path.is_file() && !name.ends_with("-shm") && !(name.ends_with("-wal") && len == 0)
    };
    files.filter(counts).map(|path| (path.clone(), std::fs::read(path).expect("a file"))).collect()
}

fn status<'a>(found: &'a Value, group: &str, id: &str) -> &'a str {
    let checks = found["checks"].as_array().expect("a list");
    let check = checks.iter().find(|check| check["group"] == group && check["id"] == id);
    check.and_then(|check| check["status"].as_str()).unwrap_or_else(|| panic!("no {group} {id}: {found:#}"))
}

/// How many requests the simulator has seen.
async fn requests(simulator: &Server) -> usize {
    let http = build_client(&ClientSettings::default()).expect("a client");
    let url = format!("{}/_sim/log", simulator.ready["base_url"].as_str().expect("a URL"));
    let (_, log) = send(http.request(Method::GET, url)).await;
    log["requests"].as_array().map_or(0, Vec::len)
}

async fn change(desk: &CommandFolder, to: &str) {
    let done = run_command(desk, &["change", "u_0001", "--to", to, "--wait", "60s"]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_checks_everything_without_a_daemon_writes_nothing_and_prints_no_secret() {
    let (_folder, simulator, desk) = start_simulator("").await;
    let found = run_command(&desk, &["doctor", "--output", "json"]).await;
    assert_eq!(found.code, Some(0), "{found:?}");
    let json = found.json();
    for (group, id) in [
        ("configuration", "file"),
        ("store", "settings"),
        ("disk", "database"),
        ("time zones", "rules"),
        ("platform acme", "token"),
        ("platform acme", "schedule"),
        ("platform acme", "break"),
        ("platform acme", "subscription"),
        ("platform acme", "budget"),
        ("platform acme", "clock"),
    ] {
        // A machine of the tests may have little space.
        let seen = status(&json, group, id);
        assert!(seen == "ok" || (group == "disk" && seen == "warning"), "{group} {id}: {found:?}");
    }
    assert_eq!(status(&json, "daemon", "running"), "skipped", "{found:?}");
    assert!(!desk.folder.path().join("shiftkeeper.db").exists(), "it makes no store");

    // A receiver that is not there, credentials that are wrong.
    let text = std::fs::read_to_string(desk.config()).expect("readable");
    let hook = "[[webhooks]]\nid = \"wfm\"\nurl = \"http://127.0.0.1:1/hooks/path-that-is-a-secret\"\n\
                secret = { env = \"HOOK_SECRET\" }\nallow = [\"127.0.0.1:1\"]\n";
    std::fs::write(desk.config(), format!("{text}{hook}")).expect("written");
    stop(daemon(&desk).await).await;
    let before = contents(desk.folder.path());
    let mut wrong = desk.command(&["doctor", "--output", "json"]);
    wrong.env("HOOK_SECRET", WEBHOOK_SECRET).env("ACME_CLIENT_SECRET", "quite-another-secret");
    let wrong = run(wrong).await;
    assert_eq!(wrong.code, Some(4), "{wrong:?}");
    let json = wrong.json();
    assert_eq!(status(&json, "platform acme", "token"), "wrong", "{wrong:?}");
    assert_eq!(status(&json, "webhooks", "wfm"), "wrong", "{wrong:?}");
    for ended in [&found, &wrong] {
        for secret in [OPERATOR, WEBHOOK_SECRET, "quite-another-secret", "path-that-is-a-secret"] {
            assert!(!ended.stdout.contains(secret) && !ended.stderr.contains(secret), "{ended:?}");
        }
    }
    assert!(contents(desk.folder.path()) == before, "nothing is written");

    let asked = requests(&simulator).await;
    let offline = run_command(&desk, &["doctor", "--offline"]).await;
    assert_eq!((offline.code, requests(&simulator).await), (Some(0), asked), "{offline:?}");
    assert!(offline.stdout.contains("nothing is wrong"), "{offline:?}");

    // Without the daemon's secrets, the checks that need them are skipped and the rest are reported.
    let mut poor = desk.command(&["doctor", "--output", "json"]);
    poor.env_remove("ACME_CLIENT_SECRET");
    let poor = run(poor).await.json();
    assert_eq!(status(&poor, "configuration", "secrets"), "warning", "{poor:#}");
    assert_eq!(status(&poor, "platform acme", "questions"), "skipped", "{poor:#}");

    std::fs::write(desk.config(), text.replace("[store]", "[shop]")).expect("written");
    let broken = run_command(&desk, &["doctor"]).await;
    assert!(broken.code == Some(4) && broken.stdout.contains("shop"), "{broken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_lets_a_running_daemon_make_the_calls_so_that_its_budget_counts_them() {
    let (_folder, _simulator, desk) = start_simulator("").await;
    let daemon = daemon(&desk).await;
    wait_until("the daemon reads snapshots", WAIT_TIMEOUT, || async {
        let found = run_command(&desk, &["doctor", "--output", "json"]).await;
        let json = found.json();
        if status(&json, "platform acme", "subscription") == "ok" { Ok(()) } else { Err(format!("{json:#}")) }
    })
    .await;
    let url = format!("sqlite://{}", desk.folder.path().join("shiftkeeper.db").display());
    let reader = Store::read(&url).await.expect("a store");
    let asked = || async {
        let calls = reader.recent_calls(&"acme".into(), UtcMicros::EPOCH).await.expect("reads");
        let of = |kind: &str| calls.iter().filter(|call| &*call.kind == kind).count();
        (of("schedule"), of("break"), of("subscribe"))
    };
    let before = asked().await;
    let found = run_command(&desk, &["doctor", "--output", "json"]).await;
    let json = found.json();
    assert_eq!(found.code, Some(0), "{found:?}");
    for (group, id) in [
        ("daemon", "running"),
        ("daemon", "readyz"),
        ("platform acme", "token"),
        ("platform acme", "schedule"),
        ("platform acme", "break"),
        ("platform acme", "clock"),
    ] {
        assert_eq!(status(&json, group, id), "ok", "{group} {id}: {json:#}");
    }
    assert_eq!(asked().await, (before.0 + 1, before.1 + 1, before.2), "each read is in the log of calls");
    reader.close().await;
    daemon.signal("KILL");
    daemon.wait_for_exit().await;
    let after = run_command(&desk, &["doctor", "--offline", "--output", "json"]).await;
    assert_eq!(
        (after.code, status(&after.json(), "daemon", "running")),
        (Some(4), "wrong"),
        "it was killed: {after:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_exits_with_4_and_advice_if_a_person_has_to_act() {
    let gone = Receiver::start(ReceiverOptions { keys: vec![WEBHOOK_SECRET.into()], ..ReceiverOptions::default() });
    let gone = gone.await.expect("a receiver");
    gone.set_mode(ReceiverMode::Gone);
    let hook = format!(
        "[[webhooks]]\nid = \"wfm\"\nurl = \"{}\"\nsecret = {{ env = \"HOOK_SECRET\" }}\nallow = [\"{}\"]\n",
        gone.url(),
        gone.address(),
    );
    let (_folder, _simulator, desk) = start_simulator(&hook).await;
    let running = daemon(&desk).await;
    change(&desk, "Ready").await;
    let doctor = ["doctor", "--offline", "--output", "json"];
    let found = wait_until("the webhook is disabled", WAIT_TIMEOUT, || async {
        let found = run_command(&desk, &doctor).await;
        if found.code == Some(4) { Ok(found) } else { Err(format!("{found:?}")) }
    })
    .await;
    assert_eq!(status(&found.json(), "daemon", "webhook wfm of acme"), "wrong", "{found:?}");
    assert!(found.stdout.contains("shiftkeeper webhooks recover wfm --since "), "{found:?}");
    assert_eq!(status(&found.json(), "audit", "chain of acme"), "ok", "{found:?}");

    // From another folder the daemon answers and has another store.
    let away = tempfile::tempdir().expect("a folder");
    let url = format!("client.url=http://{}", running.ready["listen"].as_str().expect("an address"));
    let config = desk.config().display().to_string();
    let mut elsewhere = desk.command(&[&doctor[..], &["--config", &config, "--set", &url]].concat());
    elsewhere.env("HOOK_SECRET", WEBHOOK_SECRET).current_dir(away.path());
    let elsewhere = run(elsewhere).await;
    assert_eq!(status(&elsewhere.json(), "store", "database"), "warning", "{elsewhere:?}");
    assert_eq!(status(&elsewhere.json(), "daemon", "running"), "ok", "{elsewhere:?}");
    stop(running).await;

    let found = run_command(&desk, &doctor).await;
    assert_eq!((found.code, status(&found.json(), "webhooks", "wfm of acme")), (Some(4), "wrong"), "{found:?}");
    assert!(found.stdout.contains("webhooks recover wfm --since "), "{found:?}");
    let forger = rusqlite::Connection::open(desk.folder.path().join("shiftkeeper.db")).expect("opens");
    forger
        .execute_batch(
            "DROP TRIGGER audit_entries_refuse_update; UPDATE audit_entries SET body = REPLACE(body, 'acme', 'acne') \
             WHERE seq = (SELECT MAX(seq) FROM audit_entries)",
        )
        .expect("forged");
    drop(forger);
    let found = run_command(&desk, &doctor).await;
    assert_eq!((found.code, status(&found.json(), "audit", "chain of acme")), (Some(4), "wrong"), "{found:?}");
}

/// The commands of the drill in docs/operations.md, in their order.
fn drill_commands() -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md")).expect("docs");
    let section = text.split("## The restore drill").nth(1).expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let lines = section.lines().filter_map(|line| line.strip_prefix("    "));
    let commands = lines.map(|line| line.split('#').next().unwrap_or_default().trim());
    // The store of the test is in its own folder.
    commands.map(|command| command.replace("/var/lib/shiftkeeper/", "")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_restore_drill_works_as_it_is_written() {
    let (_folder, _simulator, desk) = start_simulator("").await;
    let mut running = Some(daemon(&desk).await);
    change(&desk, "Ready").await;
    let steps = drill_commands();
    assert!(steps.len() >= 8 && steps.iter().any(|step| step.contains("db restore")), "{steps:?}");
    for step in steps {
        match step.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["systemctl", "stop", "shiftkeeper"] => stop(running.take().expect("it runs")).await,
            ["systemctl", "start", "shiftkeeper"] => running = Some(daemon(&desk).await),
            ["shiftkeeper", arguments @ ..] | ["runuser", "-u", "shiftkeeper", "--", "shiftkeeper", arguments @ ..] => {
                let done = run_command(&desk, arguments).await;
                assert_eq!(done.code, Some(0), "{step}: {done:?}");
            }
            other => panic!("{other:?} is no step that can be run"),
        }
    }
    // The daemon continues from the copy.
    change(&desk, "Paused").await;
    let verified = run_command(&desk, &["audit", "verify", "--output", "json"]).await;
    assert_eq!((verified.code, &verified.json()["tenants"][0]["verified"]), (Some(0), &true.into()), "{verified:?}");
    stop(running.take().expect("it runs")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_holds_what_was_there_and_a_main_file_without_its_log_is_refused_everywhere() {
    let (_folder, _simulator, desk) = start_simulator("").await;
    let running = daemon(&desk).await;
    change(&desk, "Ready").await;
    let backup = run_command(&desk, &["db", "backup", "copies/", "--output", "json"]).await;
    let made = backup.json();
    assert_eq!(backup.code, Some(0), "{backup:?}");
    let copy = made["path"].as_str().expect("a path").to_owned();
    let size = std::fs::metadata(desk.folder.path().join(&copy)).expect("is there").len();
    assert_eq!((made["bytes"].as_u64(), made["sha256"].as_str().map(str::len)), (Some(size), Some(64)), "{made}");
    let again = run_command(&desk, &["db", "backup", &copy]).await;
    assert!(again.code == Some(2) && again.stderr.contains("is there already"), "{again:?}");

    change(&desk, "Paused").await;
    std::fs::copy(desk.folder.path().join("shiftkeeper.db"), desk.folder.path().join("torn.db")).expect("copied");
    let held = run_command(&desk, &["db", "restore", &copy]).await;
    assert!(held.code == Some(75) && held.stderr.contains("is in use by"), "{held:?}");
    let stats = run_command(&desk, &["db", "stats", "--output", "json"]).await.json();
    let events = stats["tables"].as_array().and_then(|all| all.iter().find(|table| table["name"] == "events")).cloned();
    let events = events.unwrap_or_else(|| panic!("{stats:#}"));
    assert!(events["rows"].as_u64() > Some(0) && events["bytes"].as_u64() > Some(0), "{events}");
    assert_eq!(events["tenants"]["acme"], events["rows"], "{events}");
    let table = run_command(&desk, &["db", "stats"]).await;
    assert!(table.code == Some(0) && table.stdout.contains("audit_entries"), "{table:?}");
    running.signal("KILL");
    running.wait_for_exit().await;

    for arguments in [
        &["run", "--set", "store.url=sqlite://torn.db"][..],
        &["audit", "verify", "--set", "store.url=sqlite://torn.db"],
        &["report", "compliance", "--set", "store.url=sqlite://torn.db"],
        &["db", "check", "--set", "store.url=sqlite://torn.db"],
        &["doctor", "--offline", "--set", "store.url=sqlite://torn.db"],
        &["db", "restore", "torn.db"],
    ] {
        let refused = run_command(&desk, arguments).await;
        let said = format!("{}{}", refused.stdout, refused.stderr);
        assert!(refused.code != Some(0) && said.contains("without its write-ahead log"), "{arguments:?}: {refused:?}");
    }
    let restored = run_command(&desk, &["db", "restore", &copy, "--output", "json"]).await;
    assert_eq!(restored.code, Some(0), "{restored:?}");
    assert_eq!(restored.json()["entries"], made["entries"], "{restored:?}");
    let exported = run_command(&desk, &["audit", "export"]).await;
    let last: serde_json::Value =
        exported.stdout.lines().last().and_then(|line| serde_json::from_str(line).ok()).expect("an entry");
    let body: serde_json::Value = serde_json::from_str(last["body"].as_str().expect("text")).expect("JSON");
    assert_eq!((&body["action"], &body["why"]["without_log"]), (&"store.restored".into(), &false.into()), "{body}");
    let kept = restored.json()["set_aside"][0].as_str().expect("kept").to_owned();
    let kept = format!("store.url=sqlite://{kept}");
    let verified = run_command(&desk, &["audit", "verify", "--output", "json", "--set", &kept]).await.json();
    assert!(verified["tenants"][0]["entries"].as_u64() > made["entries"].as_u64(), "the crash's changes: {verified}");

    let forced = run_command(&desk, &["db", "restore", "torn.db", "--force", "--output", "json"]).await;
    assert!(forced.code == Some(0) && forced.stderr.contains("WARNING"), "{forced:?}");
    assert_eq!(forced.json()["without_log"], true, "{forced:?}");
    let checked = run_command(&desk, &["db", "check", "--output", "json"]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    stop(daemon(&desk).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_found_by_the_check_and_refused_by_the_restore() {
    let (_folder, _simulator, desk) = start_simulator("").await;
    stop(daemon(&desk).await).await;
    let good = run_command(&desk, &["db", "backup", "good.db"]).await;
    assert_eq!(good.code, Some(0), "{good:?}");
    let bad = desk.folder.path().join("bad.db");
    let mut bytes = std::fs::read(desk.folder.path().join("good.db")).expect("read");
    // Every page but the first, so that no choice of pages decides.
    bytes[4096..].fill(0x5a);
    std::fs::write(&bad, bytes).expect("written");
    let checked = run_command(&desk, &["db", "check", "--output", "json", "--set", "store.url=sqlite://bad.db"]).await;
    assert!(checked.code == Some(4) && checked.json()["ok"] == false, "{checked:?}");
    let before = contents(desk.folder.path());
    let refused = run_command(&desk, &["db", "restore", "bad.db", "--force"]).await;
    assert!(refused.code == Some(4) && refused.stderr.contains("bad.db"), "{refused:?}");
    assert!(contents(desk.folder.path()) == before, "nothing is touched");
    let text = run_command(&desk, &["db", "restore", "shiftkeeper.toml"]).await;
    assert!(text.code == Some(4) && text.stderr.contains("is not a database"), "{text:?}");
    let folder = run_command(&desk, &["db", "restore", "."]).await;
    assert!(folder.code == Some(1) && folder.stderr.contains("is a folder"), "{folder:?}");
    let gone = run_command(&desk, &["db", "restore", "gone.db"]).await;
    assert!(gone.code == Some(1) && gone.stderr.contains("gone.db does not exist"), "{gone:?}");
}
