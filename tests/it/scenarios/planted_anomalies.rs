//! Monitored series of analytics: exactly the anomalies in the simulator's aggregates are found, reported once, and
//! drawn.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::domain::webhooks::event::EventKind;
use shiftkeeper::sim::{ReceiverOptions, SimOptions, SimState};
use shiftkeeper::store::StoredEvent;

use super::webhooks::{endpoint_config, receiver, wait_until_delivered};
use crate::harness::{Scenario, Setup, agent_ids, send};

const RUNS: &str = "/api/v1/analytics/runs";

/// The series with their ids, what they are of, and what else they are judged by.
const SERIES: [(&str, &str, &str); 4] = [
    ("calls", "analytics:daily:count", ""),
    ("voice", "analytics:daily:count:channel=voice", ""),
    ("lengths", "analytics:daily:duration:channel=chat", "window = 20\nthreshold = 6.0\nseasonal = false"),
    (
        "solved",
        "analytics:daily:first_contact_resolved:channel=email",
        "window = 20\nthreshold = 6.0\nseasonal = false",
    ),
];

/// One query from June on, up to a day.
fn tables(to: &str) -> &'static str {
    let one = |(id, of, more): &(&str, &str, &str)| format!("[[tenants.series]]\nid = {id:?}\nof = {of:?}\n{more}\n");
    let series = SERIES.iter().map(one).collect::<Vec<_>>().concat();
    let text = format!(
        "[tenants.figures]\nrequests_per_minute = 600\n[[tenants.analytics]]\nid = \"daily\"\n\
         metrics = [\"sum count\", \"avg duration\", \"pct first_contact_resolved\"]\ndimensions = [\"channel\"]\n\
         from = \"2026-06-01T00:00:00Z\"\nto = \"{to}T00:00:00Z\"\n{series}"
    );
    text.leak()
}

fn setup(to: &str, usual: Setup) -> Setup {
    let sim = SimOptions { analytics_duration: Duration::from_secs(2), reporting_per_minute: 600, ..usual.sim };
    Setup { sim, tenant_tables: tables(to), speed: 300, ..usual }
}

/// What `docs/simulator.md` says of a metric's days: which way, and how many times the usual.
fn planted_anomaly(metric: &str, day: i8) -> Option<(&'static str, f64)> {
    match (metric, day) {
        ("count", 13) => Some(("SPIKE", 3.0)),
        ("count", 21) => Some(("DROP", 0.2)),
        ("duration", 7) => Some(("SPIKE", 2.5)),
        ("first_contact_resolved", 25) => Some(("DROP", 0.4)),
        _ => None,
    }
}

/// Asks the query and waits until its result is there.
async fn run_query(scenario: &Scenario) -> Value {
    let request = scenario.request(Method::POST, RUNS).json(&json!({ "tenant": "acme", "query": "daily" }));
    let (status, run) = send(request).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{run}");
    let path = format!("{RUNS}/{}?tenant=acme", run["id"].as_str().expect("an id"));
    scenario
        .wait_until("the run is done", || async {
            let (_, now) = scenario.get(&path).await;
            if now["status"] == "done" { Ok(now) } else { Err(now.to_string()) }
        })
        .await
}

/// Waits until each series was judged once. The first judgement says from which day on anomalies are reported.
async fn wait_until_series_judged(scenario: &Scenario) {
    let reader = scenario.reader().await;
    for (id, of, _) in SERIES {
        scenario
            .wait_until("the series is judged", || async {
                let through = reader.judged_through(&scenario.tenant, &id.into(), of).await.expect("readable");
                through.ok_or_else(|| format!("{id} is not"))
            })
            .await;
    }
}

/// The query goes up to another day from now on.
async fn extend_query(scenario: &mut Scenario, to: &str) {
    scenario.setup.tenant_tables = tables(to);
    scenario.reload();
    let wanted = json!(format!("{to}T00:00:00Z"));
    scenario
        .wait_until("the longer span is in force", || async {
            let (_, queries) = scenario.get("/api/v1/analytics/queries?tenant=acme").await;
            if queries["queries"][0]["request"]["to"] == wanted { Ok(()) } else { Err(queries.to_string()) }
        })
        .await;
}

/// The anomalies that are listed, as series, kind and day.
async fn listed_anomalies(scenario: &Scenario) -> Vec<(String, String, String)> {
    let (status, page) = scenario.get("/api/v1/anomalies?tenant=acme&limit=100").await;
    assert_eq!(status, StatusCode::OK, "{page}");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let all = page["anomalies"].as_array().expect("a list").iter();
    let mut all: Vec<_> =
        all.map(|one| (text(&one["series"]), text(&one["kind"]), text(&one["at"])[..10].to_owned())).collect();
    all.sort();
    all
}

/// What ought to be found from the thirteenth of September on.
fn expected() -> Vec<(String, String, String)> {
    let mut all = Vec::new();
    for (id, of, _) in SERIES {
        let metric = of.split(':').nth(2).expect("a metric");
        for (month, day) in (13..=30).map(|day| (9, day)).chain((1..=25).map(|day| (10, day))) {
            if let Some((kind, _)) = planted_anomaly(metric, day) {
                all.push((id.to_owned(), kind.to_owned(), format!("2026-{month:02}-{day:02}")));
            }
        }
    }
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn planted_anomalies_are_found_and_reported_once_and_no_others() {
    let told = receiver(ReceiverOptions::default()).await;
    let webhooks = endpoint_config("wfm", told.address(), "events = [\"anomaly.detected\"]");
    let mut scenario = Scenario::start(Setup { webhooks, ..setup("2026-09-13", Setup::default()) }).await;
    run_query(&scenario).await;
    wait_until_series_judged(&scenario).await;
    extend_query(&mut scenario, "2026-10-26").await;
    run_query(&scenario).await;
    let all = expected();
    scenario
        .wait_until("all of it is found", || async {
            let found = listed_anomalies(&scenario).await;
            if found == all { Ok(()) } else { Err(format!("{found:?}\n{}", scenario.readiness().await)) }
        })
        .await;

    assert_metrics_count(&scenario).await;

    // The same days again, rewritten by another run, and after a restart: nothing is reported twice.
    run_query(&scenario).await;
    scenario.kill_daemon().await;
    scenario.start_daemon().await;
    run_query(&scenario).await;
    scenario.let_time_pass(Duration::from_mins(32)).await;
    assert_eq!(listed_anomalies(&scenario).await, all);
    wait_until_delivered(&scenario, "wfm").await;
    let reader = scenario.reader().await;
    let events = scenario.events(&reader).await;
    assert_eq!(anomaly_events(&events), all, "each once");
    assert_eq!(usize::try_from(told.counts().distinct), Ok(all.len()));
    let entries = scenario.audit(&reader).await;
    let entries: Vec<_> = entries.iter().filter(|entry| entry.action == "anomaly.detected").collect();
    assert_eq!(entries.len(), all.len());
    assert!(entries.iter().all(|entry| !entry.why["of"].as_str().expect("text").contains('=')), "{entries:?}");
    assert_days_match_planted(&scenario).await;
    assert_chart_marks(&scenario).await;
    scenario.assert_nothing_left_over().await;
}

/// The events of anomalies that begin, as series, kind and day.
fn anomaly_events(events: &[StoredEvent]) -> Vec<(String, String, String)> {
    let detected = events.iter().filter(|event| event.kind == EventKind::AnomalyDetected);
    let mut days: Vec<(String, String, String)> = detected
        .map(|event| {
            let body: Value = serde_json::from_str(&event.body).expect("JSON");
            let data = &body["data"];
            let text = |name: &str| data[name].as_str().expect("text").to_owned();
            (text("seriesId"), text("kind"), text("at")[..10].to_owned())
        })
        .collect();
    days.sort();
    days
}

async fn assert_metrics_count(scenario: &Scenario) {
    scenario
        .wait_until("the metrics have counted it", || async {
            let answer = scenario.request(Method::GET, "/metrics").send().await.expect("answered");
            let text = answer.text().await.expect("text");
            let wanted = [
                "shiftkeeper_analytics_runs_total{tenant=\"acme\",outcome=\"done\"} 2\n",
                "shiftkeeper_analytics_runs_total{tenant=\"acme\",outcome=\"failed\"} 0\n",
                // Three channels on 104 days, and on 147.
                "shiftkeeper_analytics_rows_received_total{tenant=\"acme\"} 753\n",
                "shiftkeeper_analytics_rows_promised_total{tenant=\"acme\"} 753\n",
                "shiftkeeper_analytics_run_duration_seconds_count{tenant=\"acme\"} 2\n",
                "shiftkeeper_anomalies_detected_total{tenant=\"acme\",kind=\"spike\"} 5\n",
                "shiftkeeper_anomalies_detected_total{tenant=\"acme\",kind=\"drop\"} 6\n",
                "shiftkeeper_anomalies_open{tenant=\"acme\",kind=\"drop\"} 1\n",
            ];
            let missing: Vec<_> = wanted.into_iter().filter(|line| !text.contains(line)).collect();
            if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?} of {text}")) }
        })
        .await;
}

/// Every day from September on: an anomaly where one was planted, with its size, and in the expected range otherwise.
async fn assert_days_match_planted(scenario: &Scenario) {
    for (id, of, more) in SERIES {
        let metric = of.split(':').nth(2).expect("a metric");
        let judged = if more.is_empty() { "" } else { "&window=20&threshold=6&seasonal=false" };
        let of = of.replace('=', "%3D");
        let (status, trend) = scenario.get(&format!("/api/v1/trend?tenant=acme&series={of}{judged}")).await;
        assert_eq!(status, StatusCode::OK, "{trend}");
        let points = trend["points"].as_array().expect("points");
        assert_eq!((points.len(), &trend["gaps"], &trend["by"]), (147, &json!(0), &json!("day")), "{id}");
        let mut checked = BTreeMap::new();
        for point in points {
            let at: UtcMicros = point["at"].as_str().expect("an instant").parse().expect("an instant");
            let date = at.timestamp().to_zoned(jiff::tz::TimeZone::UTC).date();
            if date.month() < 9 {
                continue;
            }
            let wanted = planted_anomaly(metric, date.day());
            let found = point["anomaly"]["kind"].as_str();
            assert_eq!(found, wanted.map(|(kind, _)| kind), "{id}, {date}: {point}");
            if let (Some(usual), Some(value)) = (point["season"]["expected"].as_f64(), point["value"].as_f64()) {
                let times = wanted.map_or(1.0, |(_, times)| times);
                // Noise is 4 % of the value, and of what was usual as well.
                assert!((value / usual / times - 1.0).abs() < 0.085, "{id}, {date}: {point}");
            }
            *checked.entry(found.unwrap_or("usual").to_owned()).or_insert(0) += 1;
        }
        assert_eq!(checked.values().sum::<i32>(), 55, "{id}: 30 days and 25");
    }
}

/// The page of the series and that of the newest run draw as many marks as there are days with planted anomalies.
async fn assert_chart_marks(scenario: &Scenario) {
    let page = async |path: &str| {
        let answer = scenario.request(Method::GET, path).send().await.expect("answered");
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.text().await.expect("text")
    };
    let drawn = |page: &str, class: &str| {
        let svg = page.split("<svg viewBox").nth(1).and_then(|rest| rest.split("</svg>").next()).expect("a drawing");
        svg.matches(&format!("class=\"mark {class}\"")).count()
    };
    let trends = page("/trends?tenant=acme&days=28&series=analytics:daily:count").await;
    assert_eq!([drawn(&trends, "spike"), drawn(&trends, "drop")], [1, 1], "the 13th and the 21st of October");
    assert!(trends.contains("<polygon class=\"usual\"") && trends.contains("spike, by the season"));
    for (_, of, _) in SERIES {
        assert!(trends.contains(&format!("value=\"{of}\"")), "{of} is offered");
    }
    let whole = page("/trends?tenant=acme&days=365&series=analytics:daily:count").await;
    assert!(drawn(&whole, "spike") >= 2 && drawn(&whole, "drop") >= 2);
    let (_, list) = scenario.get(&format!("{RUNS}?tenant=acme&limit=1")).await;
    let run = list["runs"][0]["id"].as_str().expect("an id");
    let (_, named) = scenario.get(&format!("/api/v1/analytics/series?tenant=acme&run={run}")).await;
    let of_run = named["series"].as_array().expect("a list");
    // Of the sum the whole and three channels, of the mean and the share the channels.
    assert_eq!(of_run.len(), 10, "{named}");
    let drawn = page(&format!("/analytics/{run}?tenant=acme")).await;
    assert_eq!(drawn.matches("<svg viewBox").count(), 3, "each metric of the first channel");
    assert!(drawn.contains("All runs of this query") && drawn.contains("Count of analytics run"), "{drawn}");
    let everything = page(&format!("/analytics/{run}?tenant=acme&group=0")).await;
    assert_eq!(everything.matches("<svg viewBox").count(), 1, "the sum alone is put together");
}

/// One rule acts on a spike of a channel, the other says that there was a drop.
const RULES: &str = r#"
[[rules]]
id = "all-hands"
when = { state = "NotReady", anomaly = { series = "voice", kind = "spike", within = "1h" } }
then = { set_state = "Ready", reason = "WORKING" }
mode = "enforce"

[[rules]]
id = "quiet"
when = { state = "NotReady", anomaly = { series = "voice", kind = "drop", within = "1h" } }
then = { tell = "few call" }
mode = "enforce"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_acts_on_a_spike_that_a_query_brought_and_not_on_a_drop() {
    // The newest day is the drop of the 21st of September.
    let mut scenario = Scenario::start_team(Setup { rules: RULES, ..setup("2026-09-22", Setup::team(4)) }).await;
    run_query(&scenario).await;
    let reader = scenario.reader().await;
    let team = agent_ids(4);
    let drop = ("voice".to_owned(), "DROP".to_owned(), "2026-09-21".to_owned());
    scenario
        .wait_until("everyone is told of the drop", || async {
            let events = scenario.events(&reader).await;
            let told = events.iter().filter(|event| event.kind == EventKind::RuleTold);
            if told.count() == team.len() { Ok(()) } else { Err(format!("{:?}", listed_anomalies(&scenario).await)) }
        })
        .await;
    // The same pass looked at both rules.
    assert!(listed_anomalies(&scenario).await.contains(&drop));
    assert!(team.iter().all(|agent| scenario.posts_for(agent).is_empty()), "a drop is no spike");

    extend_query(&mut scenario, "2026-10-14").await;
    run_query(&scenario).await;
    scenario
        .wait_until("everyone is made ready", || async {
            let states: Vec<_> = team.iter().map(|agent| scenario.state_of(agent)).collect();
            if states.iter().all(|state| *state == SimState::Available) { Ok(()) } else { Err(format!("{states:?}")) }
        })
        .await;
    let spike = ("voice".to_owned(), "SPIKE".to_owned(), "2026-10-13".to_owned());
    let events = scenario.events(&reader).await;
    assert_eq!(anomaly_events(&events).into_iter().filter(|(id, ..)| id == "voice").collect::<Vec<_>>(), [drop, spike]);
    assert!(team.iter().all(|agent| scenario.posts_for(agent).len() == 1), "each once");
    let entries = scenario.audit(&reader).await;
    assert!(entries.iter().any(|entry| entry.actor == "rule:all-hands"));
    scenario.assert_nothing_left_over().await;
}
