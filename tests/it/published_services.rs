//! The way to a first connection by the published services, through the real binary: `init`, `check`, `doctor --tenant`.

use std::process::Command;

use serde_json::{Value, json};
use shiftkeeper::platform::client::{ClientSettings, build_client};

use crate::harness::process::{CommandOutput, Server, run, shiftkeeper};

/// A simulator with numbered agents, and a folder for a configuration.
struct Desk {
    folder: tempfile::TempDir,
    simulator: Server,
    http: reqwest::Client,
}

impl Desk {
    async fn start(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let fixed = ["simulate", "--dialect", "incontact", "--listen", "127.0.0.1:0", "--agents", "30", "--quiet"];
        let simulator = Server::start(shiftkeeper(folder.path(), &[&fixed, options].concat())).await;
        let http = build_client(&ClientSettings::default()).expect("a client");
        Self { folder, simulator, http }
    }

    fn tenant(&self) -> &Value {
        &self.simulator.ready["tenants"][0]
    }

    fn url(&self) -> &str {
        self.simulator.ready["base_url"].as_str().expect("a URL")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = shiftkeeper(self.folder.path(), arguments);
        command.env("ACME_KEY", self.tenant()["client_secret"].as_str().expect("a secret"));
        command
    }

    async fn run(&self, arguments: &[&str]) -> CommandOutput {
        run(self.command(arguments)).await
    }

    /// Runs `init` with the answers for this simulator.
    async fn init(&self, more: &[&str]) -> CommandOutput {
        let id = self.tenant()["client_id"].as_str().expect("an id");
        let fixed =
            ["init", "--tenant", "acme", "--base-url", self.url(), "--client-id", id, "--secret", "env:ACME_KEY"];
        self.run(&[&fixed, more].concat()).await
    }

    /// Adds a fault to the simulator.
    async fn fault(&self, fault: Value) {
        let url = format!("{}/_sim/faults", self.url());
        let added = self.http.post(url).json(&fault).send().await.expect("answers");
        assert!(added.status().is_success(), "{added:?}");
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.http.get(format!("{}{path}", self.url())).send().await.expect("answers");
        answer.json().await.expect("JSON")
    }

    /// The number of state changes that were received.
    async fn changes(&self) -> usize {
        let log = self.get("/_sim/log").await;
        let requests = log["requests"].as_array().expect("requests");
        requests
            .iter()
            .filter(|request| {
                request["method"] == "POST" && request["path"].as_str().is_some_and(|path| path.ends_with("/state"))
            })
            .count()
    }

    /// An agent as the simulator has it, without what time changes.
    async fn state(&self, agent: &str) -> Value {
        let world = self.get("/_sim/world").await;
        let agents = world["tenants"][0]["agents"].as_array().expect("agents");
        agents.iter().find(|row| row["id"] == agent).expect("an agent")["state"].clone()
    }

    fn config(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("shiftkeeper.toml")).expect("a configuration")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn init_writes_a_configuration_that_check_accepts_and_only_reads() {
    let desk = Desk::start(&[]).await;
    let made = desk.init(&["--output", "json"]).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    let result = made.json();
    assert_eq!(result["codes"], json!({"NotReady": 11, "Paused": 12, "Idle": 13}), "{result:#}");
    assert_eq!((&result["team_codes"], &result["agents"]), (&json!({}), &json!(30)), "{result:#}");
    assert!(made.stderr.contains("all teams: Paused = 12 (Break)"), "{made:?}");
    let text = desk.config();
    for line in ["mode = \"dry_run\"", "# 14 Old break: inactive; ", "# 19 Wrap-up: after-contact work; "] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let secret = desk.tenant()["client_secret"].as_str().expect("a secret");
    assert!(!text.contains(secret) && !made.stdout.contains(secret) && !made.stderr.contains(secret));
    assert_eq!(desk.changes().await, 0);
    let checked = desk.run(&["check"]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");

    // The file is kept, and so is the token of the command line.
    let token = std::fs::read_to_string(desk.folder.path().join("operator-token")).expect("a token");
    let again = desk.init(&[]).await;
    assert!(again.code == Some(1) && again.stderr.contains("--force"), "{again:?}");
    std::fs::write(desk.folder.path().join("shiftkeeper.toml"), "other").expect("written");
    let forced = desk.init(&["--force"]).await;
    assert!(forced.code == Some(0) && forced.stdout.contains("doctor --tenant acme"), "{forced:?}");
    assert_eq!(desk.config(), text);
    desk.fault(json!({"kind": "status", "on": "roster", "code": 429, "retry_after": 1, "count": 2})).await;
    let throttled = desk.init(&["--force"]).await;
    assert!(throttled.code == Some(0) && throttled.stderr.contains("waiting 1s"), "{throttled:?}");
    assert_eq!(desk.config(), text, "a throttled read is repeated");
    assert_eq!(std::fs::read_to_string(desk.folder.path().join("operator-token")).expect("a token"), token);
}

#[tokio::test(flavor = "multi_thread")]
async fn init_says_what_is_missing_or_refused_and_leaves_no_file() {
    let desk = Desk::start(&[]).await;
    let missing = desk.run(&["init", "--tenant", "acme"]).await;
    assert!(missing.code == Some(2) && missing.stderr.contains("--area is missing"), "{missing:?}");
    let refused = desk.init(&["--secret", "env:OTHER"]).await;
    assert_eq!(refused.code, Some(2), "an option that is given twice: {refused:?}");
    let id = desk.tenant()["client_id"].as_str().expect("an id");
    let with = |dialect: &'static str, url: String, secret: &'static str| {
        let arguments = [
            "init",
            "--dialect",
            dialect,
            "--tenant",
            "acme",
            "--base-url",
            &url,
            "--client-id",
            id,
            "--secret",
            "env:KEY",
        ];
        let mut command = desk.command(&arguments);
        command.env("KEY", secret);
        run(command)
    };
    let refused = with("incontact", desk.url().to_owned(), "wrong-secret").await;
    assert_eq!(refused.code, Some(77), "{refused:?}");
    assert!(refused.stderr.contains("--secret") && !refused.stderr.contains("wrong-secret"), "{refused:?}");
    let refused = with("guide", desk.url().to_owned(), "wrong-secret").await;
    assert_eq!(refused.code, Some(77), "{refused:?}");
    let unreachable = with("incontact", "http://127.0.0.1:1".to_owned(), "any-secret").await;
    assert_eq!(unreachable.code, Some(69), "{unreachable:?}");
    assert!(!desk.folder.path().join("shiftkeeper.toml").exists());
    assert!(!desk.folder.path().join("operator-token").exists());
    let made = desk.init(&["--dialect", "guide"]).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    assert_eq!(desk.run(&["check"]).await.code, Some(0));
}

/// The status and the text of a finding.
fn finding(found: &Value, id: &str) -> (String, String) {
    let checks = found["checks"].as_array().expect("checks");
    let check = checks.iter().find(|check| check["group"] == "platform acme" && check["id"] == id);
    let check = check.unwrap_or_else(|| panic!("no finding {id}: {found:#}"));
    (check["status"].as_str().expect("a status").to_owned(), format!("{} -> {}", check["detail"], check["advice"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_shows_what_only_the_tenants_own_platform_can_tell() {
    let desk = Desk::start(&[]).await;
    assert_eq!(desk.init(&[]).await.code, Some(0));
    let found = desk.run(&["doctor", "--tenant", "acme", "--output", "json"]).await;
    assert_eq!(found.code, Some(0), "{found:?}");
    let json = found.json();
    for (id, detail) in [
        ("token", "access key alone; valid for 1h; the id token names the tenant"),
        ("origins", "from discovery"),
        ("states", "v31.0 answers; rows not wrapped; lastPollTime beside the rows"),
        ("pages", "30 rows of 30 received for a page of 10000"),
        ("changes", " of 30 right after the full read"),
        ("agents", "30 active agents of 30 listed"),
        ("hidden agents", "none"),
        ("teams", "active team"),
        ("codes", "NotReady, Paused, Idle can be set in"),
        ("refresh", "the refresh token gives a token that is valid for"),
        ("clock", "ms"),
        ("budget", "left in this minute"),
    ] {
        let (status, text) = finding(&json, id);
        assert!(status == "ok" && text.contains(detail), "{id}: {status} {text}");
    }
    let checks = json["checks"].as_array().expect("checks");
    assert!(checks.iter().all(|check| check["group"] != "disk"), "only this tenant's platform: {json:#}");
    let all = desk.run(&["doctor", "--output", "json"]).await.json();
    assert_eq!(finding(&all, "token").0, "skipped", "{all:#}");

    // A code that is switched off, one for after-contact work, and one that nobody has.
    let text = desk.config();
    let wrong = text.replace("Paused = 12", "Paused = 14").replace("Idle = 13", "Idle = 19").replace("= 11 ", "= 99 ");
    std::fs::write(desk.folder.path().join("shiftkeeper.toml"), wrong).expect("written");
    let found = desk.run(&["doctor", "--tenant", "acme", "--output", "json"]).await;
    assert_eq!(found.code, Some(4), "{found:?}");
    let json = found.json();
    let checks = json["checks"].as_array().expect("checks");
    let of_team = checks.iter().find(|check| check["id"].as_str().is_some_and(|id| id.starts_with("codes ")));
    let (status, text) = finding(&json, of_team.expect("a team")["id"].as_str().expect("an id"));
    assert_eq!(status, "wrong", "{text}");
    for fault in
        ["NotReady = 99: the team does not have it", "\\\"Old break\\\" is not active", "is for after-contact work"]
    {
        assert!(text.contains(fault), "{fault}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_says_which_version_answers_and_what_is_off_without_a_right() {
    let desk = Desk::start(&[]).await;
    assert_eq!(desk.init(&[]).await.code, Some(0));
    desk.fault(json!({"kind": "status", "on": "roster", "code": 403})).await;
    desk.fault(json!({"kind": "status", "on": "snapshot", "code": 404, "count": 1})).await;
    let found = desk.run(&["doctor", "--tenant", "acme", "--output", "json"]).await;
    assert_eq!(found.code, Some(4), "{found:?}");
    let json = found.json();
    let (status, text) = finding(&json, "states");
    assert!(status == "wrong" && text.contains("set incontact.version = \\\"34.0\\\""), "{text}");
    for (id, off) in [("agents", "no agent joins the roster"), ("teams", "codes are not checked")] {
        let (status, text) = finding(&json, id);
        assert!(status == "warning" && text.contains(off) && text.contains("the right to read it"), "{text}");
    }
    // The same version would be written by init.
    desk.fault(json!({"kind": "status", "on": "snapshot", "code": 404, "count": 1})).await;
    let made = desk.init(&["--force"]).await;
    assert!(made.code == Some(0) && made.stderr.contains("no codes are proposed"), "{made:?}");
    assert!(desk.config().contains("version = \"34.0\""), "{}", desk.config());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_change_is_proved_with_a_test_agent_who_is_put_back() {
    let desk = Desk::start(&["--requests-per-minute", "1000"]).await;
    assert_eq!(desk.init(&[]).await.code, Some(0));
    let doctor = ["doctor", "--tenant", "acme", "--write", "10001", "--output", "json"];
    let live = ["--set", "tenants.acme.mode=live", "--set", "tenants.acme.requests_per_minute=1000"];
    let unasked = desk.run(&[&doctor[..], &live].concat()).await;
    assert!(unasked.code == Some(2) && unasked.stderr.contains("--yes"), "{unasked:?}");
    let dry = desk.run(&[&doctor[..], &["--yes"]].concat()).await;
    let (status, text) = finding(&dry.json(), "set state");
    assert!(status == "wrong" && text.contains("mode=live"), "{text}");
    let before = desk.state("10001").await;
    assert_eq!(desk.changes().await, 0, "nothing was sent");

    let proved = desk.run(&[&doctor[..], &live, &["--yes"]].concat()).await.json();
    for (id, shown) in [("set state", "with code 12 \\\"Break\\\""), ("set back", "with code 11 \\\"Meeting\\\"")] {
        let (status, text) = finding(&proved, id);
        assert!(status == "ok" && text.contains(shown), "{id}: {status} {text}");
    }
    assert_eq!((desk.changes().await, desk.state("10001").await), (2, before));

    // A change that does not show; the minute passes faster than it does.
    desk.fault(json!({"kind": "late", "on": "state", "ms": 3_600_000})).await;
    let late = desk.run(&[&doctor[..], &live, &["--yes", "--set", "clock.speed=100"]].concat()).await;
    assert_eq!(late.code, Some(4), "{late:?}");
    let (status, text) = finding(&late.json(), "set state");
    assert!(status == "wrong" && text.contains("the platform shows NotReady with code 11"), "{status} {text}");
    let stranger =
        desk.run(&["doctor", "--tenant", "acme", "--write", "9", "--yes", "--output", "json", live[0], live[1]]).await;
    let (status, text) = finding(&stranger.json(), "set state");
    assert!(status == "wrong" && text.contains("not in the list of states"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_notes_what_a_tenant_of_the_other_dialect_left_behind() {
    let desk = Desk::start(&[]).await;
    assert_eq!(desk.init(&[]).await.code, Some(0));
    let fresh = desk.run(&["check", "--output", "json"]).await.json();
    let notes = fresh["notes"].as_array().expect("notes").clone();
    assert!(notes.iter().any(|note| note.as_str().is_some_and(|note| note.contains("no live feed"))), "{fresh:#}");
    let guide = desk.config().replace("dialect = \"incontact\"", "dialect = \"guide\"\nagents = [\"u_0001\"]");
    let file = desk.folder.path().join("guide.toml");
    std::fs::write(&file, guide).expect("written");
    let daemon =
        Server::start(desk.command(&["run", "--config", "guide.toml", "--set", "server.listen=127.0.0.1:0"])).await;
    daemon.signal("TERM");
    assert!(daemon.wait_for_exit().await.0.success());
    assert_eq!(desk.run(&["check", "--config", "guide.toml", "--output", "json"]).await.json()["notes"], json!([]));
    let after = desk.run(&["check", "--output", "json"]).await.json();
    let found = after["notes"].as_array().expect("notes");
    let left = found.iter().find(|note| !notes.contains(note)).and_then(Value::as_str).unwrap_or_default();
    assert!(left.contains("the store has 1 agent whose ids are no numbers") && left.contains("u_0001"), "{after:#}");
}
