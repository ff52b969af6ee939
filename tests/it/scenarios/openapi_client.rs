//! A property-based client (schemathesis) that knows nothing but the OpenAPI document, on the whole API of a daemon that has something
//! to tell: it finds no 5xx, and no status, content type, header or shape that the document does not have.
//!
//! Where the tool is not at hand the test says so; `tests/run` sees to it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use reqwest::Method;
use serde_json::{Value, json};

use crate::faults::print_progress;
use crate::harness::{OPERATOR, Scenario, Setup, agent_ids, full_size, send};

/// What the client is not let loose on: what lasts never ends, and the page is no part of the API.
const LEFT_OUT: [&str; 2] = ["/live", "/live/events"];

/// What it looks for in every answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance";

#[expect(clippy::disallowed_methods, reason = "how the tests are run is not for the configuration")]
fn schemathesis() -> Option<PathBuf> {
    let tool =
        std::env::var_os("SHIFTKEEPER_TEST_SCHEMATHESIS").map(PathBuf::from).filter(|tool| tool.as_os_str() != "none");
    if tool.is_none() {
        print_progress(
            "SKIPPED: no property-based client was let loose on the API; tests/run sees to one, or name schemathesis in \
             SHIFTKEEPER_TEST_SCHEMATHESIS",
        );
    }
    tool
}

/// The document, with what there is in this world in place of any text: else hardly a request gets past the first look.
fn narrow_document(mut document: Value, known: &[(&str, Vec<String>)]) -> Value {
    for path in LEFT_OUT {
        document["paths"].as_object_mut().expect("paths").remove(path);
    }
    let values_of = |name: &str| known.iter().find(|(of, _)| *of == name).map(|(_, values)| values);
    let mut bodies = BTreeSet::new();
    for (path, item) in document["paths"].as_object_mut().expect("paths") {
        for operation in item.as_object_mut().expect("operations").values_mut() {
            for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap_or_default().to_owned();
                let is_instant = parameter["schema"].to_string().contains("UtcMicros");
                let name = match name.as_str() {
                    // What the id is of stands before it.
                    "id" => path.split('/').nth(3).unwrap_or_default().to_owned(),
                    "from" | "to" if !is_instant => continue,
                    name => name.to_owned(),
                };
                if let Some(values) = values_of(&name) {
                    parameter["schema"] = narrow_schema(&parameter["schema"], values);
                }
            }
            let schema =
                operation.pointer("/requestBody/content/application~1json/schema/$ref").and_then(Value::as_str);
            bodies.extend(schema.and_then(|place| place.rsplit('/').next()).map(str::to_owned));
        }
    }
    for body in bodies {
        let properties = document["components"]["schemas"][&body]["properties"].as_object_mut();
        for (name, property) in properties.into_iter().flatten() {
            let name = if name == "to" { "state" } else { name };
            if let Some(values) = values_of(name) {
                *property = narrow_schema(property, values);
            }
        }
    }
    document
}

/// The places of the document that answered a `GET` well, by the tool's own log (HAR).
fn successful_paths(log: &Value, document: &Value) -> BTreeSet<String> {
    let fits = |template: &str, path: &str| {
        let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
        let part = |(known, found): (&&str, &&str)| known.starts_with('{') || known == found;
        template.len() == path.len() && template.iter().zip(&path).all(part)
    };
    let mut places = BTreeSet::new();
    for entry in log["log"]["entries"].as_array().expect("entries") {
        let is_good = entry["response"]["status"].as_u64().is_some_and(|status| (200..300).contains(&status));
        if is_good && entry["request"]["method"] == "GET" {
            let url = entry["request"]["url"].as_str().and_then(|url| reqwest::Url::parse(url).ok()).expect("a URL");
            let known = document["paths"].as_object().expect("paths").keys();
            places.extend(known.filter(|template| fits(template, url.path())).cloned());
        }
    }
    places
}

fn narrow_schema(schema: &Value, values: &[String]) -> Value {
    let one = json!({"type": "string", "enum": values});
    if schema["type"] == "array" { json!({"type": "array", "items": one, "minItems": 1, "maxItems": 3}) } else { one }
}

/// The client, ready to go.
fn client(tool: &Path, scenario: &Scenario, file: &Path, examples: &str) -> Command {
    let mut command = Command::new(tool);
    command
        .current_dir(scenario.folder.path())
        .args(["--no-color", "run"])
        .arg(file)
        .args(["--url", scenario.base(), "--header", &format!("Authorization: Bearer {OPERATOR}")])
        .args(["--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--max-examples", examples])
        .args([
            "--seed",
            "5",
            "--request-timeout",
            "30",
            "--workers",
            "1",
            "--continue-on-failure",
            "--warnings",
            "off",
        ])
        .args(["--generation-database", "none", "--report-har-path", "log.har"])
        .stdin(Stdio::null());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_knows_the_document_alone_finds_nothing_that_is_not_in_it() {
    let Some(tool) = schemathesis() else { return };
    let keys = "skills = [\"1001\", \"1002\"]\nqueues = [\"q_1001\"]";
    let hook = "[[webhooks]]\nid = \"wfm\"\nurl = \"http://127.0.0.1:1/\"\nsecret = { env = \"HOOK\" }\nallow = [\"127.0.0.1:1\"]\n";
    let usual = Setup::team(6);
    let query = "[[tenants.analytics]]\nid = \"calls\"\nmetrics = [\"sum count\"]\nlast = 7\n";
    let tables = format!("{}{query}", usual.tenant_tables).leak();
    let setup = Setup { tenant_keys: keys, tenant_tables: tables, webhooks: hook.to_owned(), ..usual };
    let scenario = Scenario::start_team(setup).await;
    let taken = scenario.request_change(&["u_0001", "u_0002"], "Ready").await;
    scenario.wait_for_all(&taken, "confirmed").await;
    let (_, document) = send(scenario.request(Method::GET, "/api/v1/openapi.json")).await;
    let transitions = taken.iter().filter_map(|taken| taken["id"].as_str().map(str::to_owned)).collect();
    let known = [
        ("tenant", vec!["acme".to_owned()]),
        ("agents", agent_ids(6)),
        ("agent", agent_ids(6)),
        ("transitions", transitions),
        ("webhooks", vec!["wfm".to_owned()]),
        ("queues", vec!["q_1001".to_owned()]),
        ("skills", vec!["1001".to_owned()]),
        ("query", vec!["calls".to_owned()]),
        ("series", vec!["skill:1001:contacts_queued".to_owned(), "adherence".to_owned()]),
        ("state", ["Ready", "Paused", "NotReady"].map(str::to_owned).to_vec()),
        ("verdict", vec!["in".to_owned()]),
        ("status", vec!["confirmed".to_owned()]),
        ("sort", vec!["worst".to_owned(), "-name".to_owned()]),
        ("zone", vec!["Europe/Berlin".to_owned()]),
        ("day", vec!["2026-10-26".to_owned()]),
        ("from", vec!["2026-10-26T00:00:00Z".to_owned()]),
        ("to", vec!["2026-10-27T00:00:00Z".to_owned()]),
    ];
    let file = scenario.folder.path().join("openapi.json");
    let document = narrow_document(document, &known);
    std::fs::write(&file, document.to_string()).expect("written");
    let examples = if full_size() { "50" } else { "8" };
    let mut command = client(&tool, &scenario, &file, examples);
    let done = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("the tool runs");
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{said}");
    // Else it would have looked at refusals alone.
    let log = std::fs::read_to_string(scenario.folder.path().join("log.har")).expect("a log");
    let answered = successful_paths(&serde_json::from_str(&log).expect("JSON"), &document);
    let paths = document["paths"].as_object().expect("paths").iter();
    let gets = paths.filter(|(_, item)| item.get("get").is_some()).map(|(path, _)| path.clone());
    // Of what has an id, those are meant of which there is one.
    let is_known = |path: &String| {
        let of = path.split('/').nth(3).unwrap_or_default();
        !path.contains('{') || known.iter().any(|(name, _)| *name == of)
    };
    let missed: Vec<String> = gets.filter(|path| is_known(path) && !answered.contains(path)).collect();
    assert!(missed.is_empty(), "nothing but refusals came of {missed:?}: {said}");
    let summary: Vec<&str> = said.lines().rev().take(25).collect();
    print_progress(summary.into_iter().rev().collect::<Vec<_>>().join("\n"));
}
