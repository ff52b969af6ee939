//! What operators see of a running daemon: `status`, `healthcheck`, `/api/v1/status` and `/metrics`, through the real binary.

use reqwest::StatusCode;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde_json::Value;
use shiftkeeper::platform::client::{ClientSettings, build_client};

use crate::harness::process::{CommandFolder, CommandOutput, Server, run, shiftkeeper};
use crate::harness::{OPERATOR, VIEWER, WAIT_TIMEOUT, wait_until};

/// A second tenant, whose platform is not there, and a token that reaches the first alone.
const MORE_CONFIGURATION: &str = "[[tenants]]\nid = \"globex\"\nbase_url = \"http://127.0.0.1:1\"\nclient_id = \"x\"\n\
    client_secret = { env = \"ACME_CLIENT_SECRET\" }\nagents = [\"g_1\"]\n\
    [[server.tokens]]\nid = \"acme-only\"\ntoken = { env = \"VIEWER\" }\ntenants = [\"acme\"]\nmay = [\"read\"]\n\
    [[server.tokens]]\nid = \"importer\"\ntoken = { env = \"IMPORTER\" }\nmay = [\"import\"]\n";

const IMPORTER: &str = "importer-token-of-the-scenario";

async fn simulator(folder: &std::path::Path, listen: &str) -> Server {
    Server::start(shiftkeeper(folder, &["simulate", "--listen", listen, "--agents", "8", "--quiet"])).await
}

async fn run_command(desk: &CommandFolder, arguments: &[&str]) -> CommandOutput {
    let mut command = desk.command(arguments);
    command.env("VIEWER", VIEWER).env("IMPORTER", IMPORTER);
    run(command).await
}

async fn daemon(desk: &CommandFolder) -> Server {
    let mut command = desk.command(&["run"]);
    command.env("VIEWER", VIEWER).env("IMPORTER", IMPORTER);
    Server::start(command).await
}

async fn get(daemon: &Server, path: &str, token: Option<&str>, accept: &str) -> (StatusCode, String, String) {
    let http = build_client(&ClientSettings::default()).expect("a client");
    let url = format!("http://{}{path}", daemon.ready["listen"].as_str().expect("an address"));
    let mut request = http.get(url).header(ACCEPT, accept);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let response = request.send().await.expect("an answer");
    let kind = response.headers()[CONTENT_TYPE].to_str().expect("text").to_owned();
    (response.status(), kind, response.text().await.expect("a body"))
}

#[tokio::test(flavor = "multi_thread")]
async fn status_is_0_when_all_is_well_4_when_something_is_wrong_and_69_without_a_daemon() {
    let folder = tempfile::tempdir().expect("a folder");
    let platform = simulator(folder.path(), "127.0.0.1:0").await;
    let desk = CommandFolder::new(&platform.ready, "");
    let nobody = run_command(&desk, &["status"]).await;
    assert_eq!(nobody.code, Some(69), "{nobody:?}");
    let unhealthy = run_command(&desk, &["healthcheck"]).await;
    assert_eq!(unhealthy.code, Some(1), "{unhealthy:?}");

    let daemon = daemon(&desk).await;
    let healthy = run_command(&desk, &["healthcheck"]).await;
    assert_eq!((healthy.code, healthy.stdout.as_str()), (Some(0), ""), "{healthy:?}");
    let status = ["status", "--output", "json"];
    let well = wait_until("all is well and seen", WAIT_TIMEOUT, || async {
        let ended = run_command(&desk, &status).await;
        let json: Value = serde_json::from_str(&ended.stdout).unwrap_or_default();
        let seen = json["tenants"][0]["picture"]["agents"]["unseen"].is_null();
        let subscribed = json["tenants"][0]["subscriptions"][0]["age_ms"].is_u64();
        if ended.code == Some(0) && seen && subscribed { Ok(json) } else { Err(format!("{ended:?}")) }
    })
    .await;
    let acme = &well["tenants"][0];
    assert_eq!((&well["schema_version"], &well["status"], &well["ok"]), (&1.into(), &"ready".into(), &true.into()));
    assert!(acme["token"]["age_ms"].is_u64() && acme["token"]["expires_in_ms"].as_u64() > Some(0), "{acme:#}");
    assert_eq!((&acme["budget"]["limit"], &acme["breaker"]["state"]), (&100.into(), &"closed".into()), "{acme:#}");
    assert!(acme["audit"]["entries"].is_u64() && well["store"]["bytes"].as_u64() > Some(0), "{well:#}");
    assert!(well["jobs"].as_array().is_some_and(|jobs| jobs.iter().any(|job| job["id"] == "retention")), "{well:#}");
    let page = run_command(&desk, &["status"]).await;
    for words in
        ["ready, up for", "token", "budget", "circuit breaker", "live view", "subscription 0", "job retention", "store"]
    {
        assert!(page.stdout.contains(words), "{words}: {page:?}");
    }

    platform.signal("KILL");
    platform.wait_for_exit().await;
    let wrong = wait_until("the outage shows", WAIT_TIMEOUT, || async {
        let ended = run_command(&desk, &["status"]).await;
        if ended.code == Some(4) { Ok(ended) } else { Err(format!("{ended:?}")) }
    })
    .await;
    let marked = wrong.stdout.lines().filter(|line| line.trim_start().starts_with('!'));
    assert!(wrong.stdout.contains("degraded") && marked.count() > 0, "{wrong:?}");
    assert_eq!(run_command(&desk, &["healthcheck"]).await.code, Some(0), "an outage of the platform kills no daemon");
    daemon.signal("TERM");
    assert!(daemon.wait_for_exit().await.0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_needs_a_token_and_shows_only_its_tenants() {
    let folder = tempfile::tempdir().expect("a folder");
    let platform = simulator(folder.path(), "127.0.0.1:0").await;
    let desk = CommandFolder::new(&platform.ready, MORE_CONFIGURATION);
    let daemon = daemon(&desk).await;
    for path in ["/metrics", "/api/v1/status"] {
        assert_eq!(get(&daemon, path, None, "*/*").await.0, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(get(&daemon, path, Some(IMPORTER), "*/*").await.0, StatusCode::FORBIDDEN, "{path}");
        let (status, _, all) = get(&daemon, path, Some(OPERATOR), "*/*").await;
        assert!(status.is_success() && all.contains("acme") && all.contains("globex"), "{path}: {all}");
        let (status, _, one) = get(&daemon, path, Some(VIEWER), "*/*").await;
        assert!(status.is_success() && one.contains("acme") && !one.contains("globex"), "{path}: {one}");
    }
    let (status, _, _) = get(&daemon, "/api/v1/status?tenant=globex", Some(VIEWER), "*/*").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let both = run_command(&desk, &["status", "--output", "json"]).await.json();
    let ids: Vec<&Value> = both["tenants"].as_array().expect("a list").iter().map(|tenant| &tenant["id"]).collect();
    assert_eq!(ids, ["acme", "globex"]);

    let (_, kind, page) = get(&daemon, "/metrics", Some(OPERATOR), "application/openmetrics-text").await;
    assert!(kind.starts_with("application/openmetrics-text") && page.ends_with("# EOF\n"), "{kind}");
    let (_, kind, page) = get(&daemon, "/metrics", Some(OPERATOR), "text/plain").await;
    assert!(kind.starts_with("text/plain") && !page.contains("# EOF"), "{kind}");
    assert!(!page.contains("u_000"), "no agent is a label");
    daemon.signal("TERM");
    assert!(daemon.wait_for_exit().await.0.success());

    // If the configuration says so, anybody who can reach the port may read the metrics, and nothing else.
    let text = std::fs::read_to_string(desk.config()).expect("readable");
    std::fs::write(desk.config(), text.replace("[server]\n", "[server]\nmetrics = \"open\"\n")).expect("written");
    let daemon = self::daemon(&desk).await;
    assert_eq!(get(&daemon, "/metrics", None, "*/*").await.0, StatusCode::OK);
    assert_eq!(get(&daemon, "/api/v1/status", None, "*/*").await.0, StatusCode::UNAUTHORIZED);
    daemon.signal("TERM");
    assert!(daemon.wait_for_exit().await.0.success());
}
