//! The binary from outside: what it prints, how it ends, what signals do.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};
use shiftkeeper::domain::audit::Hash;
use shiftkeeper::domain::reports::report_run::ReportFormat;
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::platform::client::{ClientSettings, build_client};

use crate::harness::process::{CommandFolder, CommandOutput, Server, run, shiftkeeper};
use crate::harness::{WAIT_TIMEOUT, send, wait_until};

async fn simulator(desk: &Path) -> Server {
    Server::start(shiftkeeper(desk, &["simulate", "--listen", "127.0.0.1:0", "--agents", "8", "--quiet"])).await
}

/// A request to the simulator's back door.
async fn control_request(simulator: &Server, method: Method, path: &str, body: &Value) -> Value {
    let http = build_client(&ClientSettings::default()).expect("a client");
    let url = format!("{}/_sim/{path}", simulator.ready["base_url"].as_str().expect("a URL"));
    let (status, body) = send(http.request(method, url).json(body)).await;
    assert!(status.is_success(), "{status}: {body}");
    body
}

async fn change(desk: &CommandFolder, agents: &[&str], to: &str, wait: &str) -> CommandOutput {
    let mut arguments = vec!["change"];
    arguments.extend(agents);
    arguments.extend(["--tenant", "acme", "--to", to, "--wait", wait, "--output", "json"]);
    run(desk.command(&arguments)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_from_the_command_line_uses_the_daemon_and_reports_the_result() {
    let folder = tempfile::tempdir().expect("a folder");
    let simulator = simulator(folder.path()).await;
    let desk = CommandFolder::new(&simulator.ready, "");
    let daemon = Server::start(desk.command(&["run"])).await;
    assert_eq!(daemon.ready["ready"], true);
    assert!(daemon.ready["listen"].as_str().is_some_and(|listen| listen.starts_with("127.0.0.1:")), "{}", daemon.ready);

    let done = change(&desk, &["u_0001"], "Ready", "60s").await;
    let rows = done.json();
    assert_eq!(
        (done.code, &rows[0]["status"], &rows[0]["agent"]),
        (Some(0), &json!("confirmed"), &json!("u_0001")),
        "{done:?}"
    );
    assert!(rows[0]["id"].is_string() && rows[0]["error"].is_null(), "{rows}");

    let tenant = &simulator.ready["tenants"][0];
    let (resting, off) = (tenant["break_user"].as_str().expect("one"), tenant["off_user"].as_str().expect("one"));
    let refused = change(&desk, &[off], "Ready", "20s").await;
    assert_eq!((refused.code, &refused.json()[0]["status"]), (Some(1), &json!("refused")), "{refused:?}");
    assert!(refused.json()[0]["error"].as_str().is_some_and(|why| why.contains("AGENT_NOT_SCHEDULED")), "{refused:?}");
    let held = change(&desk, &[resting], "Ready", "2s").await;
    assert_eq!((held.code, &held.json()[0]["status"]), (Some(75), &json!("waiting")), "{held:?}");
    assert!(held.json()[0]["error"].as_str().is_some_and(|why| why.contains("MANDATORY_BREAK_VIOLATION")), "{held:?}");

    daemon.signal("TERM");
    let (status, took, said) = daemon.wait_for_exit().await;
    assert!(status.success() && took < Duration::from_secs(10), "{status} after {took:?}: {said}");
    let unreachable = change(&desk, &["u_0001"], "Paused", "1s").await;
    assert_eq!(unreachable.code, Some(69), "{unreachable:?}");
    assert!(unreachable.stderr.contains("daemon"), "{unreachable:?}");
    let verified = run(desk.command(&["audit", "verify", "--output", "json"])).await;
    let chain = &verified.json()["tenants"][0];
    assert_eq!(
        (verified.code, &chain["id"], &chain["verified"]),
        (Some(0), &json!("acme"), &json!(true)),
        "{verified:?}"
    );
    // The chain names subjects; who they are is said when it is asked for, beside the untouched entry.
    let lines = |ended: CommandOutput| -> Vec<Value> {
        ended.stdout.lines().map(|line| serde_json::from_str(line).expect("an entry")).collect()
    };
    let plain = lines(run(desk.command(&["audit", "export"])).await);
    let named = lines(run(desk.command(&["audit", "export", "--agents"])).await);
    assert!(plain.iter().all(|line| line.get("agent").is_none()) && plain.len() == named.len());
    for (plain, named) in plain.iter().zip(&named) {
        assert_eq!((&plain["seq"], &plain["hash"], &plain["body"]), (&named["seq"], &named["hash"], &named["body"]));
    }
    let agents: Vec<_> = named.iter().filter_map(|line| line["agent"].as_str()).collect();
    assert!(agents.contains(&"u_0001") && agents.contains(&off), "{agents:?}");
    let report = run(desk.command(&["report", "compliance", "--output", "json"])).await.json();
    assert_eq!(report["totalTransitions"], 3, "{report}");
    assert_a_report_as_a_file_is_checked(&desk, folder.path()).await;
    assert_secrets_are_needed_by_who_uses_them(&desk).await;
    assert_an_auditor_finds_what_was_changed(&desk, folder.path()).await;
}

/// Each format is written with its manifest and holds; a changed byte is found, and said where.
async fn assert_a_report_as_a_file_is_checked(desk: &CommandFolder, folder: &Path) {
    for format in ReportFormat::ALL {
        let file = folder.join(format!("compliance.{format}"));
        let file = file.to_str().expect("a plain path");
        let made = run(desk.command(&["report", "compliance", "--out", file])).await;
        assert_eq!(made.code, Some(0), "{made:?}");
        let good = run(desk.command(&["report", "verify", file, "--output", "json"])).await;
        assert_eq!((good.code, &good.json()["holds"]), (Some(0), &json!(true)), "{good:?}");
        let mut bytes = std::fs::read(file).expect("a file");
        let place = bytes.len() / 3;
        bytes[place] = bytes[place].wrapping_add(1);
        std::fs::write(file, bytes).expect("written");
        let bad = run(desk.command(&["report", "verify", file])).await;
        assert!(bad.code == Some(4) && bad.stdout.contains("file        DIFFERS"), "{bad:?}");
    }
    let help = run(desk.command(&["report", "compliance", "--help"])).await;
    assert!(help.stdout.contains("xlsx") && help.stdout.contains("parquet") == cfg!(feature = "parquet"), "{help:?}");
    for (wrong, says) in [
        (&["report", "compliance", "--format", "xlsx"][..], "--out FILE"),
        (&["report", "compliance", "--out", "report"], "--format"),
        #[cfg(not(feature = "parquet"))]
        (&["report", "compliance", "--out", "report.parquet"], "cargo build --release --features parquet"),
        #[cfg(feature = "parquet")]
        (&["report", "compliance", "--format", "parquet"], "--out FILE"),
        (&["report", "compliance", "--format", "json", "--section", "logs"], "has all of them"),
        (&["report", "compliance", "--format", "csv", "--zone", "Mars"], "Europe/Berlin"),
    ] {
        let ended = run(desk.command(wrong)).await;
        assert!(ended.code == Some(2) && ended.stderr.contains(says), "{wrong:?}: {ended:?}");
    }
}

/// Writes one entry of an exported folder again and adapts everything after it, as a patient forger would.
fn rewrite(export: &Path, seq: u64) {
    let text = std::fs::read_to_string(export.join("entries.jsonl")).expect("entries");
    let (mut rewritten, mut before) = (String::new(), None::<String>);
    for line in text.lines() {
        let mut line: Value = serde_json::from_str(line).expect("an entry");
        let mut body = line["body"].as_str().expect("text").to_owned();
        if line["seq"] == seq {
            body = body.replace("\"actor\":\"", "\"actor\":\"not-");
        }
        if let Some(before) = &before {
            let parsed: Value = serde_json::from_str(&body).expect("JSON");
            body = body.replace(parsed["prev"].as_str().expect("a link"), before);
        }
        if line["seq"].as_u64() >= Some(seq) {
            let hash = Hash::of(body.as_bytes()).to_string();
            (line["body"], line["hash"]) = (json!(body), json!(hash));
            before = Some(hash);
        }
        rewritten.extend([line.to_string().as_str(), "\n"]);
    }
    std::fs::write(export.join("entries.jsonl"), &rewritten).expect("written");
    let manifest = export.join("manifest.json");
    let mut said: Value = serde_json::from_slice(&std::fs::read(&manifest).expect("a manifest")).expect("JSON");
    let sha256 = Hash::of(rewritten.as_bytes()).to_string();
    said["files"]["entries.jsonl"] = json!({"bytes": rewritten.len(), "sha256": sha256});
    said.as_object_mut().expect("an object").remove("sha256");
    said["sha256"] = json!(Hash::of_json(&said).expect("canonical").to_string());
    std::fs::write(manifest, said.to_string()).expect("written");
}

/// The folder that `audit export --folder` writes, before the script that lies in it.
async fn assert_an_auditor_finds_what_was_changed(desk: &CommandFolder, at: &Path) {
    let python = std::process::Command::new("python3").arg("--version").output();
    assert!(
        python.is_ok(),
        "python3 runs the verifier of an exported audit trail: install it (tests/run needs it too)"
    );
    let key = run(desk.command(&["audit", "key", "--output", "json"])).await.json();
    let key = key["publicKey"].as_str().expect("a key").to_owned();
    let export = |name: &str| {
        let folder = at.join(name);
        let written = run(desk.command(&["audit", "export", "--folder", folder.to_str().expect("text")]));
        async move {
            let ended = written.await;
            assert_eq!(ended.code, Some(0), "{ended:?}");
            folder
        }
    };
    let judged = |folder: &Path, key: &str| {
        let script = folder.join("verify.py");
        let output = std::process::Command::new("python3").arg(script).args(["--key", key]).output().expect("runs");
        (output.status.code(), String::from_utf8(output.stdout).expect("text"))
    };
    let whole = export("whole").await;
    let (code, said) = judged(&whole, &key);
    assert!(code == Some(0) && said.contains("acme: entries 1 to ") && !said.contains("Nothing signed"), "{said}");
    let stranger = STANDARD.encode([7; 32]);
    let (code, said) = judged(&whole, &stranger);
    assert!(code == Some(1) && said.contains("not one of the keys to be trusted"), "{said}");
    let again = run(desk.command(&["audit", "export", "--folder", whole.to_str().expect("text")])).await;
    assert!(again.code == Some(2) && again.stderr.contains("is not empty"), "{again:?}");

    let forged = export("forged").await;
    rewrite(&forged, 2);
    let (code, said) = judged(&forged, &key);
    assert!(code == Some(1) && said.contains("entry 2 is not the one that the head"), "{said}");
    for file in ["entries.jsonl", "heads.jsonl", "verify.py"] {
        let damaged = export(&format!("damaged-{file}")).await;
        let mut bytes = std::fs::read(damaged.join(file)).expect("a file");
        // Within a comment or a text.
        let place = bytes.iter().rposition(u8::is_ascii_lowercase).expect("a letter");
        bytes[place] ^= 1;
        std::fs::write(damaged.join(file), bytes).expect("written");
        let script = std::fs::copy(whole.join("verify.py"), damaged.join("checked-by.py")).map(|_| "checked-by.py");
        let output = std::process::Command::new("python3").arg(damaged.join(script.expect("copied"))).output();
        let output = output.expect("runs");
        let said = String::from_utf8(output.stdout).expect("text");
        assert!(output.status.code() == Some(1) && said.contains(&format!("{file} is not the file")), "{said}");
    }
    let restated = export("restated").await;
    let manifest = std::fs::read_to_string(restated.join("manifest.json")).expect("a manifest");
    let later = manifest.replacen("\"made_at\": \"2", "\"made_at\": \"3", 1);
    assert_ne!(manifest, later);
    std::fs::write(restated.join("manifest.json"), later).expect("written");
    let (code, said) = judged(&restated, &key);
    assert!(code == Some(1) && said.contains("manifest.json is not what was exported"), "{said}");
    let part = at.join("part");
    let part_text = part.to_str().expect("text");
    let ended = run(desk.command(&["audit", "export", "--from", "3", "--to", "4", "--folder", part_text])).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let (code, said) = judged(&part, &key);
    assert!(code == Some(0) && said.contains("entries 3 to 4 hold") && !said.contains("Nothing signed"), "{said}");
}

/// Who may read the store need not have the daemon's secrets.
async fn assert_secrets_are_needed_by_who_uses_them(desk: &CommandFolder) {
    let without_secrets = |arguments: &[&str]| {
        let mut command = desk.command(arguments);
        command.env_clear();
        run(command)
    };
    for arguments in [
        &["audit", "verify"][..],
        &["audit", "export"],
        &["audit", "heads"],
        &["audit", "key"],
        &["report", "compliance"],
        &["plan"],
        &["jobs"],
        &["webhooks", "list"],
        &["db", "check"],
        &["db", "stats"],
    ] {
        let ended = without_secrets(arguments).await;
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_printed_also_where_the_daemon_dies_during_the_wait() {
    let folder = tempfile::tempdir().expect("a folder");
    let simulator = simulator(folder.path()).await;
    let desk = CommandFolder::new(&simulator.ready, "");
    let daemon = Server::start(desk.command(&["run"])).await;
    let resting = simulator.ready["tenants"][0]["break_user"].as_str().expect("one");
    let agents = [resting];
    let dies = async {
        wait_until("the change is held", WAIT_TIMEOUT, || async {
            let report = run(desk.command(&["audit", "export"])).await;
            if report.stdout.contains("transition.held") { Ok(()) } else { Err(format!("{report:?}")) }
        })
        .await;
        daemon.signal("KILL");
    };
    let (asked, ()) = tokio::join!(change(&desk, &agents, "Ready", "15s"), dies);
    let rows = asked.json();
    let row = &rows[0];
    assert_eq!((asked.code, &row["agent"]), (Some(75), &json!(resting)), "{asked:?}");
    assert!(row["id"].is_string() && row["status"] == "waiting", "{row}");
    let words = "1 change was accepted; how it ended is not known, because the daemon stopped answering";
    assert!(asked.stderr.contains(words), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_with_a_post_unanswered_is_in_time_and_the_next_start_settles_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let simulator = simulator(folder.path()).await;
    let desk = CommandFolder::new(&simulator.ready, "request_timeout = \"6s\"");
    let daemon = Server::start(desk.command(&["run"])).await;
    // The platform's clock is known to a second: a state that is no older than that could have come after the POST, which would
    // then rightly not be repeated.
    wait_until("the agent's state is some seconds old", WAIT_TIMEOUT, || async {
        let world = control_request(&simulator, Method::GET, "world", &Value::Null).await;
        let instant = |value: &Value| value.as_str().and_then(|text| text.parse::<UtcMicros>().ok());
        let (now, since) = (instant(&world["now"]), instant(&world["tenants"][0]["agents"][0]["since"]));
        match (now, since) {
            (Some(now), Some(since)) if now.since(since) >= Duration::from_secs(3) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    control_request(&simulator, Method::POST, "faults", &json!({"kind": "stop_answering", "on": "state", "count": 1}))
        .await;
    let asked = run(desk.command(&["change", "u_0001", "--to", "Paused", "--output", "json"])).await;
    assert_eq!(asked.code, Some(0), "taken: {asked:?}");
    wait_until("the POST is under way", WAIT_TIMEOUT, || async {
        let log = control_request(&simulator, Method::GET, "log", &Value::Null).await;
        let posts = log["requests"]
            .as_array()
            .map_or(0, |all| all.iter().filter(|call| call["fault"] == "stop_answering").count());
        if posts == 1 { Ok(()) } else { Err(format!("{posts}")) }
    })
    .await;
    daemon.signal("TERM");
    let (status, took, said) = daemon.wait_for_exit().await;
    assert!(status.success() && took < Duration::from_secs(10), "{status} after {took:?}: {said}");

    let id = asked.json()[0]["id"].as_str().expect("an id").to_owned();
    let again = Server::start(desk.command(&["run"])).await;
    let show = |status: &'static str, limit: Duration| {
        let url = format!(
            "http://{}/api/v1/transitions/{id}?tenant=acme",
            again.ready["listen"].as_str().expect("an address")
        );
        wait_until(status, limit, move || {
            let http = build_client(&ClientSettings::default()).expect("a client");
            let url = url.clone();
            async move {
                let (_, body) = send(http.get(url).bearer_auth(crate::harness::OPERATOR)).await;
                if body["status"] == status { Ok(body) } else { Err(body.to_string()) }
            }
        })
    };
    show("in_doubt", Duration::from_secs(10)).await;
    let settled = show("confirmed", Duration::from_secs(90)).await;
    assert_eq!(settled["attempts"], 2, "it had not arrived, so it was sent again: {settled}");
    again.signal("TERM");
    assert!(again.wait_for_exit().await.0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_with_a_broken_file_changes_nothing_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let simulator = simulator(folder.path()).await;
    let desk = CommandFolder::new(&simulator.ready, "");
    let daemon = Server::start(desk.command(&["run"])).await;
    let sound = std::fs::read_to_string(desk.config()).expect("readable");
    std::fs::write(desk.config(), sound.replace("[store]", "[shop]")).expect("written");
    daemon.signal("HUP");
    daemon.wait_for_stderr("the configuration was not reloaded").await;
    daemon.wait_for_stderr("shop").await;
    let mended = sound.replace("agents = [", "requests_per_minute = 90\nagents = [");
    std::fs::write(desk.config(), mended).expect("written");
    daemon.signal("HUP");
    daemon.wait_for_stderr("configuration").await;
    let done = change(&desk, &["u_0001"], "Ready", "60s").await;
    assert_eq!(done.code, Some(0), "it goes on: {done:?}\n{}", daemon.stderr_text());
    daemon.signal("TERM");
    assert!(daemon.wait_for_exit().await.0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_key_is_changed_under_a_daemon_that_reloads_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let simulator = simulator(folder.path()).await;
    let webhook = "[[webhooks]]\nid = \"wfm\"\nurl = \"https://wfm.example/hooks\"\nsecret = { file = \"wfm.secret\" }\nevents = [\"audit.head\"]";
    let desk = CommandFolder::new(&simulator.ready, webhook);
    let file = desk.folder.path().join("wfm.secret");
    let old = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    std::fs::write(&file, format!("{old}\n")).expect("written");
    let rotate =
        |more: &[&str]| run(desk.command(&[&["webhooks", "rotate", "wfm", "--output", "json"], more].concat()));
    let daemon = Server::start(desk.command(&["run"])).await;

    let done = rotate(&[]).await;
    assert_eq!((done.code, &done.json()["daemon"]), (Some(0), &"told to reload".into()), "{done:?}");
    daemon.wait_for_stderr("webhooks[wfm].secret").await;
    let keys = std::fs::read_to_string(&file).expect("text");
    let until = done.json()["previous_until"].as_str().expect("an end").to_owned();
    assert!(keys.starts_with("whsec_") && keys.ends_with(&format!("\n{old} until {until}\n")), "both keys stand there");
    let again = rotate(&[]).await;
    assert_eq!(again.code, Some(75), "{again:?}");
    let unknown = run(desk.command(&["webhooks", "rotate", "wfn"])).await;
    assert!(unknown.code == Some(2) && unknown.stderr.contains("it has wfm"), "{unknown:?}");

    // From another folder the store is not found, and the daemon that answers must not be taken for none.
    let away = tempfile::tempdir().expect("a folder");
    let (config, address) = (desk.config().display().to_string(), daemon.ready["listen"].as_str().expect("an address"));
    let client = format!("client.url=http://{address}");
    let from_away = |more: &[&str]| {
        let arguments = ["webhooks", "rotate", "wfm", "--now", "--output", "json", "--config", &config];
        let mut command = desk.command(&[&arguments, more].concat());
        command.current_dir(away.path());
        run(command)
    };
    let elsewhere = from_away(&["--set", &client]).await;
    assert_eq!((elsewhere.code, &elsewhere.json()["daemon"]), (Some(3), &"not told".into()), "{elsewhere:?}");
    assert!(elsewhere.stderr.contains(address) && elsewhere.stderr.contains("SIGHUP"), "{elsewhere:?}");
    let unknown = from_away(&[]).await;
    assert_eq!((unknown.code, &unknown.json()["daemon"]), (Some(3), &"not known".into()), "{unknown:?}");
    assert!(unknown.stderr.contains("it is unknown whether a daemon runs; reload it (SIGHUP)"), "{unknown:?}");

    daemon.signal("TERM");
    let (status, _, said) = daemon.wait_for_exit().await;
    assert!(status.success());
    let late = rotate(&["--now"]).await;
    assert_eq!((late.code, &late.json()["daemon"]), (Some(0), &"not running".into()), "{late:?}");
    let all = [done, again, late, elsewhere, unknown].map(|ended| format!("{ended:?}"));
    for said in all.into_iter().chain([said]) {
        assert!(!said.contains("whsec_"), "a key is printed: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_configuration_is_refused_without_printing_a_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = "hunter2-hunter2-hunter2";
    let text = format!(
        "[server]\nlisten = \"{secret}\"\n[[server.tokens]]\nid = \"operator\"\ntoken = \"{secret}\"\nmay = [\"{secret}\"]\n\
         [store]\nurl = \"postgres://user:{secret}@127.0.0.1/shiftkeeper\"\n\
         [[tenants]]\nid = \"acme\"\nbase_url = \"https://user:{secret}@platform.example\"\nclient_id = \"x\"\n\
         client_secret = \"{secret}\"\nrequest_timeout = \"{secret}\"\nmode = \"{secret}\"\n"
    );
    std::fs::write(folder.path().join("shiftkeeper.toml"), text).expect("written");
    for arguments in [&["run"][..], &["check"], &["check", "--show"], &["check", "--output", "json"], &["plan"]] {
        let ended = run(shiftkeeper(folder.path(), arguments)).await;
        assert_eq!(ended.code, Some(78), "{arguments:?}: {ended:?}");
        assert!(!format!("{ended:?}").contains("hunter2"), "{arguments:?} prints a secret: {ended:?}");
        assert!(format!("{ended:?}").contains("client_secret"), "{arguments:?} names the place: {ended:?}");
    }
    assert!(!folder.path().join("shiftkeeper.db").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_keeps_the_plan_and_reports_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let data = data.to_str().expect("a plain path");
    // The folder is named as a person at this place would.
    let demo = run(shiftkeeper(folder.path(), &["demo", "--for", "20s", "--output", "json", "--data", "data"])).await;
    assert_eq!(demo.code, Some(0), "{demo:?}");
    let summary = demo.json();
    for key in ["agents", "violations", "not_ready_ms", "seconds"] {
        assert!(summary[key].is_number(), "{key}: {summary}");
    }
    let parts =
        ["requested", "confirmed", "unconfirmed", "refused", "failed", "superseded", "expired", "cancelled", "open"];
    let count = |part: &str| summary["transitions"][part].as_u64().unwrap_or_else(|| panic!("{part}: {summary}"));
    assert_eq!(count("requested"), parts[1..].iter().map(|part| count(part)).sum::<u64>(), "{summary}");
    assert!(count("confirmed") > 0, "{summary}");
    for key in ["calls", "state_posts", "calls_per_transition", "throttled"] {
        assert!(summary["platform"][key].is_number(), "{key}: {summary}");
    }
    for key in ["events", "delivered", "verified", "pending"] {
        assert!(summary["webhooks"][key].is_number(), "{key}: {summary}");
    }
    assert!(summary["rules"].as_object().is_some_and(|rules| !rules.is_empty()), "{summary}");
    let tenants = summary["tenants"].as_array().expect("a list");
    assert_eq!((tenants.len(), &summary["agents"]), (2, &json!(300)), "{summary}");
    for tenant in tenants {
        assert_eq!(tenant["feed"]["state"], "live", "{tenant}");
        assert!(tenant["feed"]["last_message_age_ms"].is_u64(), "{tenant}");
        assert!(tenant["subscriptions"][0]["snapshot_age_ms"].is_u64(), "{tenant}");
        assert!(tenant["transitions"]["confirmed"].as_u64() > Some(0), "{tenant}");
    }
    assert_eq!(
        (&summary["platform"]["throttled"], &summary["audit"]["verified"]),
        (&json!(0), &json!(true)),
        "{summary}"
    );
    for format in ReportFormat::ALL {
        let file = Path::new(data).join("reports").join(format!("compliance.{format}"));
        let manifest = std::fs::read_to_string(shiftkeeper::report::manifest::path_for(&file)).expect("a manifest");
        let manifest: Value = serde_json::from_str(&manifest).expect("JSON");
        let bytes = file.metadata().expect("a report").len();
        assert!(manifest["file"]["bytes"] == bytes && bytes > 0, "{format}: {manifest}");
    }
    // What it left is enough to read on: its configuration names its store.
    let command = |arguments: &[&str]| {
        let mut command = shiftkeeper(folder.path(), arguments);
        command.env("SHIFTKEEPER_CONFIG", Path::new(data).join("shiftkeeper.toml"));
        run(command)
    };
    let file = Path::new(data).join("reports").join("adherence.csv");
    let verified = command(&["report", "verify", file.to_str().expect("a plain path")]).await;
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let verified = command(&["audit", "verify"]).await;
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let report = command(&["report", "compliance", "--tenant", "bravo", "--output", "json"]).await;
    assert!(report.code == Some(0) && report.json()["totalTransitions"].as_u64() > Some(0), "{report:?}");
    // Its query of the platform's analytics was asked by the calendar, and what it brought holds a planted spike.
    let trend =
        command(&["report", "trend", "--series", "analytics:calls:count", "--tenant", "acme", "--output", "json"])
            .await;
    let points = trend.json()["points"].as_array().expect("points").clone();
    let odd =
        |day: &str| points.iter().any(|point| point["at"] == format!("{day}T00:00:00Z") && !point["anomaly"].is_null());
    assert!(odd("2026-10-13") && !odd("2026-10-12"), "{trend:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_keeps_the_plan_by_the_published_services() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let arguments =
        ["demo", "--dialect", "incontact", "--for", "20s", "--output", "json", "--data", data.to_str().expect("plain")];
    let demo = run(shiftkeeper(folder.path(), &arguments)).await;
    assert_eq!(demo.code, Some(0), "{demo:?}");
    let summary = demo.json();
    let tenants = summary["tenants"].as_array().expect("a list");
    assert_eq!((tenants.len(), &summary["agents"]), (2, &json!(300)), "{summary}");
    for tenant in tenants {
        assert!(tenant["transitions"]["confirmed"].as_u64() > Some(0), "{tenant}");
        assert_ne!(tenant["feed"]["state"], "live", "{tenant}");
    }
    assert!(summary["rules"].as_object().is_some_and(|rules| rules.len() > 1), "{summary}");
    assert_eq!(
        (&summary["platform"]["throttled"], &summary["audit"]["verified"]),
        (&json!(0), &json!(true)),
        "{summary}"
    );
    let configuration = std::fs::read_to_string(data.join("shiftkeeper.toml")).expect("the configuration");
    assert!(configuration.contains("codes = { NotReady = 11, Paused = 12, Idle = 13 }"), "{configuration}");
}
