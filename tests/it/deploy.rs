//! What lies in `deploy/` says what is true: every metric, key, option and secret that it names exists; its rules and its unit
//! stand before promtool and systemd-analyze where those are at hand (`tests/run` sees to both).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use shiftkeeper::platform::client::{ClientSettings, build_client};

use crate::faults::print_progress;
use crate::harness::process::{CommandFolder, CommandOutput, Server, run, shiftkeeper};
use crate::harness::{OPERATOR, WAIT_TIMEOUT, wait_until};

const HOOK: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";

/// The largest exposure that the unit may have by systemd's assessment.
const MAX_EXPOSURE: f64 = 1.5;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file below `deploy/` with its text.
fn files() -> Vec<(PathBuf, String)> {
    let (mut found, mut folders) = (Vec::new(), vec![root().join("deploy")]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = std::fs::read_to_string(&path).expect("text");
                found.push((path, text));
            }
        }
    }
    found
}

/// The words of a text that begin so, as far as names of metrics go.
fn metric_names<'t>(text: &'t str, beginning: &'t str) -> impl Iterator<Item = &'t str> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.split(move |c: char| !is_name(c)).filter(move |word| word.starts_with(beginning))
}

/// A tool for a test: named by a variable, or on the path.
#[expect(clippy::disallowed_methods, reason = "how the tests are run is not for the configuration")]
fn tool(variable: &str, name: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let on_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
    };
    let found = named.or_else(on_path).filter(|tool| tool.as_os_str() != "none");
    if found.is_none() {
        print_progress(format!(
            "skipped in part: there is no {name} here; tests/run sees to it, or name one in {variable}"
        ));
    }
    found
}

fn promtool() -> Option<PathBuf> {
    tool("SHIFTKEEPER_TEST_PROMTOOL", "promtool")
}

/// Runs a tool that must be content.
fn assert_tool_accepts(mut command: Command) -> String {
    let output = command.output().expect("the tool runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {said}");
    said
}

/// The metrics of a daemon that has everything: a platform, a webhook, jobs.
async fn exposition() -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["simulate", "--listen", "127.0.0.1:0", "--agents", "8", "--quiet"];
    let simulator = Server::start(shiftkeeper(folder.path(), &arguments)).await;
    let hook = "[[webhooks]]\nid = \"wfm\"\nurl = \"http://127.0.0.1:1/\"\nsecret = { env = \"HOOK\" }\nallow = [\"127.0.0.1:1\"]\n";
    let desk = CommandFolder::new(&simulator.ready, hook);
    let mut command = desk.command(&["run"]);
    command.env("HOOK", HOOK);
    let daemon = Server::start(command).await;
    let http = build_client(&ClientSettings::default()).expect("a client");
    let url = format!("http://{}/metrics", daemon.ready["listen"].as_str().expect("an address"));
    wait_until("every worker has something to count", WAIT_TIMEOUT, || async {
        let page = http.get(&url).bearer_auth(OPERATOR).send().await.expect("an answer").text().await.expect("text");
        let seen = ["kind=\"snapshot\",outcome=\"ok\"", "shiftkeeper_subscription_age_seconds{", "state=\"ready\""];
        if seen.iter().all(|words| page.contains(words)) { Ok(page) } else { Err(page) }
    })
    .await
}

/// The names under which the samples of a page are asked for.
fn names(page: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for declared in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = declared.split_once(' ').expect("a name and a kind");
        if kind == "histogram" {
            names.extend(["_bucket", "_sum", "_count"].map(|part| format!("{name}{part}")));
        } else {
            names.insert(name.to_owned());
        }
    }
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_that_is_named_exists_and_promtool_finds_nothing_wrong_with_them() {
    let page = exposition().await;
    let known = names(&page);
    for (path, text) in files() {
        let named = metric_names(&text, "shiftkeeper_").chain(metric_names(&text, "process_"));
        for name in named {
            assert!(known.contains(name), "{}: there is no metric {name}", path.display());
        }
    }
    // The operations manual has a section about each of them.
    let manual = text("docs/operations.md");
    for declared in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = declared.split_once(' ').expect("a name").0;
        assert!(manual.contains(&format!("`{name}")), "docs/operations.md says nothing of {name}");
    }
    if let Some(promtool) = promtool() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("page"), &page).expect("written");
        let mut command = Command::new(promtool);
        command.args(["check", "metrics"]).stdin(std::fs::File::open(folder.path().join("page")).expect("a file"));
        assert_eq!(assert_tool_accepts(command), "");
    }
}

#[test]
fn the_rules_hold_before_promtool() {
    let Some(promtool) = promtool() else { return };
    let folder = root().join("deploy/prometheus");
    let of = |arguments: &[&str]| {
        let mut command = Command::new(&promtool);
        command.args(arguments).current_dir(&folder);
        assert_tool_accepts(command)
    };
    of(&["check", "rules", "--lint=all", "--lint-fatal", "alerts.yml"]);
    let tested = of(&["test", "rules", "alerts.test.yml"]);
    assert!(tested.contains("SUCCESS"), "{tested}");
    // The token's file is the container's.
    let away = tempfile::tempdir().expect("a folder");
    for file in ["prometheus.yml", "alerts.yml"] {
        let text = std::fs::read_to_string(folder.join(file)).expect("text");
        let token = away.path().join("token").display().to_string();
        std::fs::write(away.path().join(file), text.replace("/run/secrets/metrics-token", &token)).expect("written");
    }
    std::fs::write(away.path().join("token"), "x").expect("written");
    let mut command = Command::new(&promtool);
    command.args(["check", "config", "prometheus.yml"]).current_dir(away.path());
    assert_tool_accepts(command);
}

/// The values of every line `key: value` or `- key: value`.
fn values<'t>(text: &'t str, key: &'t str) -> impl Iterator<Item = &'t str> {
    text.lines().filter_map(move |line| line.trim().trim_start_matches("- ").strip_prefix(key)?.strip_prefix(": "))
}

#[test]
fn every_alert_has_its_test_and_its_section_and_every_section_its_alert() {
    let alerts = text("deploy/prometheus/alerts.yml");
    let (tests, manual) = (text("deploy/prometheus/alerts.test.yml"), text("docs/operations.md"));
    let names: BTreeSet<&str> = values(&alerts, "alert").collect();
    let tested: BTreeSet<&str> = values(&tests, "alertname").collect();
    let sections: BTreeSet<&str> = manual
        .lines()
        .filter_map(|line| line.strip_prefix("### ").filter(|name| name.starts_with("Shiftkeeper")))
        .collect();
    assert_eq!(names, tested);
    assert_eq!(names, sections);
    let runbooks: Vec<&str> = values(&alerts, "runbook").collect();
    let expected: Vec<String> =
        values(&alerts, "alert").map(|name| format!("docs/operations.md#{}", name.to_lowercase())).collect();
    assert_eq!(runbooks, expected);
    for key in ["severity", "summary", "description", "for"] {
        assert_eq!(values(&alerts, key).count(), names.len(), "every alert has {key}");
    }
}

#[test]
fn the_dashboard_is_one_that_grafana_takes_and_promtool_understands() {
    let dashboard: Value = serde_json::from_str(&text("deploy/grafana/dashboards/shiftkeeper.json")).expect("JSON");
    assert!(dashboard["uid"].is_string() && dashboard.get("id").is_none_or(Value::is_null), "a fixed uid and no id");
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has an id of its own");
    let mut rules = "groups:\n  - name: dashboard\n    rules:\n".to_owned();
    let mut count = 0;
    for target in panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten() {
        let expr = target["expr"].as_str().expect("an expression");
        let expr = expr.replace("$__rate_interval", "5m").replace("$tenant", ".*");
        assert!(!expr.contains('$'), "an unknown variable: {expr}");
        let _ = write!(rules, "      - record: panel:{count}\n        expr: {}\n", Value::from(expr));
        count += 1;
    }
    assert!(count > 20, "{count} expressions");
    if let Some(promtool) = promtool() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("rules.yml"), rules).expect("written");
        let mut command = Command::new(promtool);
        command.args(["check", "rules", "rules.yml"]).current_dir(folder.path());
        assert_tool_accepts(command);
    }
}

#[test]
fn systemd_rates_the_unit_as_hardened() {
    let Some(analyze) = tool("SHIFTKEEPER_TEST_SYSTEMD_ANALYZE", "systemd-analyze") else { return };
    let mut command = Command::new(analyze);
    command.args(["security", "--offline=true", "--no-pager"]).arg(root().join("deploy/shiftkeeper.service"));
    let said = assert_tool_accepts(command);
    let verdict = said.lines().find_map(|line| line.split_once("Overall exposure level for")).expect("a verdict").1;
    let level = verdict.split_whitespace().find_map(|word| word.parse::<f64>().ok()).expect("a number");
    assert!(level <= MAX_EXPOSURE, "{level}\n{said}");
}

/// A folder with the configuration that is shipped, its rules and a file for each of these secrets.
fn install_configuration(secrets: &BTreeSet<&str>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("shiftkeeper.toml"), text("deploy/shiftkeeper.toml")).expect("written");
    std::fs::write(folder.path().join("rules.toml"), text("config/rules.toml")).expect("written");
    std::fs::create_dir(folder.path().join("secrets")).expect("a folder");
    for name in secrets {
        let secret = format!("{name}-0123456789abcdef");
        std::fs::write(folder.path().join("secrets").join(name), secret).expect("written");
    }
    folder
}

async fn check(folder: &Path, environment: &[(&str, &str)]) -> CommandOutput {
    let mut command = shiftkeeper(folder, &["check", "--config", "shiftkeeper.toml"]);
    command.env("CREDENTIALS_DIRECTORY", folder.join("secrets")).envs(environment.iter().copied());
    run(command).await
}

/// A command of the binary as a file of `deploy/` has it: its arguments are taken when help is asked for after them.
async fn assert_arguments_accepted(arguments: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let ended = run(shiftkeeper(folder.path(), &[arguments, &["--help"]].concat())).await;
    assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
}

#[tokio::test]
async fn the_unit_names_options_and_credentials_that_exist() {
    let unit = text("deploy/shiftkeeper.service");
    let of = |key: &str| -> Vec<String> {
        unit.lines().filter_map(|line| Some(line.strip_prefix(key)?.strip_prefix('=')?.to_owned())).collect()
    };
    let start = of("ExecStart").pop().expect("a command");
    let arguments: Vec<&str> = start.split(' ').skip(1).collect();
    assert_arguments_accepted(&arguments).await;
    let credentials = of("LoadCredential");
    let names: BTreeSet<&str> = credentials.iter().filter_map(|line| Some(line.split_once(':')?.0)).collect();
    let folder = install_configuration(&names);
    let checked = check(folder.path(), &[]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    for name in names {
        let named = format!("{{ credential = \"{name}\" }}");
        assert!(text("deploy/shiftkeeper.toml").contains(&named), "the configuration has no {named}");
    }
    assert_eq!(of("RestartPreventExitStatus"), ["78"], "the code of a bad configuration");
    // Secrets that are not there are named as such.
    let without = check(install_configuration(&BTreeSet::new()).path(), &[]).await;
    assert_eq!(without.code, Some(78), "{without:?}");
}

#[tokio::test]
async fn the_image_and_the_composition_name_keys_options_and_secrets_that_exist() {
    let (image, compose) = (text("deploy/Dockerfile"), text("deploy/compose.yaml"));
    let lists =
        image.lines().filter(|line| ["CMD", "HEALTHCHECK", "ENTRYPOINT"].iter().any(|word| line.starts_with(word)));
    for line in lists {
        let list: Vec<String> = serde_json::from_str(&line[line.find('[').expect("a list")..]).expect("JSON");
        let arguments: Vec<&str> = list.iter().map(String::as_str).filter(|word| *word != "/shiftkeeper").collect();
        assert_arguments_accepted(&arguments).await;
    }
    let variables: Vec<(&str, &str)> = image
        .lines()
        .map(|line| line.trim_start_matches("ENV").trim().trim_end_matches('\\').trim())
        .filter(|line| line.starts_with("SHIFTKEEPER__"))
        .filter_map(|line| line.split_once('='))
        .collect();
    assert!(!variables.is_empty(), "the image listens to its network");
    let listed = values(&compose, "secrets").next().expect("a list");
    let names: BTreeSet<&str> = listed.trim_matches(['[', ']']).split(", ").collect();
    for name in &names {
        assert!(compose.contains(&format!("\n  {name}:\n    file: ./secrets/{name}\n")), "the secret {name} is a file");
    }
    let checked = check(install_configuration(&names).path(), &variables).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    // What is mounted or copied is there.
    let mounted =
        compose.lines().filter_map(|line| line.trim().strip_prefix("- ./").or(line.trim().strip_prefix("- ../")));
    for path in mounted.map(|line| line.split(':').next().expect("a path")) {
        let there = [root().join("deploy").join(path), root().join(path)].iter().any(|path| path.exists());
        assert!(there, "{path} is mounted and is not there");
    }
    let copied = image.lines().filter(|line| line.contains("&& cp deploy/")).flat_map(|line| line.split_whitespace());
    for path in copied.filter(|word| Path::new(word).extension().is_some_and(|ending| ending == "toml")) {
        assert!(root().join(path).exists(), "{path} is copied and is not there");
    }
}
