//! A monitored figure that jumps: reported once, also across a restart, and visible to rules.

use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;
use shiftkeeper::domain::live::figures::{SkillFigures, TimedFigures};
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::domain::webhooks::event::EventKind;
use shiftkeeper::sim::{ReceiverOptions, SimState};
use shiftkeeper::store::{Commit, FiguresWrite, ProcessIdentity, ProcessRole, Store};

use super::webhooks::{endpoint_config, receiver, wait_until_delivered};
use crate::harness::{Scenario, Setup, VIEWER, agent_ids, send, start};

pub const QUARTER: Duration = Duration::from_mins(15);

/// Puts reads of skill 1001 into the store, as a daemon would have that ran before the start: an instant and how many were staffed.
pub async fn put_reads(scenario: &Scenario, reads: &[(UtcMicros, u64)]) {
    let identity = ProcessIdentity { host: "before".to_owned(), pid: 1, version: "0".to_owned() };
    let clock = Arc::clone(&scenario.clock);
    let store = Store::open(&scenario.store_url(), ProcessRole::Daemon, clock, &identity).await.expect("opens");
    let row = |(at, staffed): &(UtcMicros, u64)| FiguresWrite {
        tenant: scenario.tenant.clone(),
        reading: TimedFigures {
            at: *at,
            figures: SkillFigures { agents_staffed: Some(*staffed), ..SkillFigures::idle("1001".into()) },
        },
    };
    for some in reads.chunks(500) {
        let commit = Commit { skill_figures: some.iter().map(row).collect(), ..Commit::default() };
        store.writer().commit(commit).await.expect("commits");
    }
    store.close().await;
}

/// One rule for each kind of anomaly.
const RULES: &str = r#"
[[rules]]
id = "nobody-there"
when = { team = "Team 1", state = "NotReady", anomaly = { series = "staff", kind = "drop", within = "1h" } }
then = { tell = "the floor is empty" }
mode = "enforce"

[[rules]]
id = "too-many"
when = { state = "NotReady", anomaly = { series = "staff", kind = "spike", within = "1h" } }
then = { tell = "the floor is full" }
mode = "enforce"
"#;

/// More agents than there are by far were staffed in the hour before the start.
async fn start_with_staffing_drop(setup: Setup) -> Scenario {
    let mut scenario = Scenario::without_daemon(setup).await;
    let before = |quarters: u32| start() - QUARTER * quarters;
    put_reads(&scenario, &[(before(4), 101), (before(3), 103), (before(2), 102), (before(1), 101)]).await;
    for agent in agent_ids(scenario.setup.sim.agents) {
        scenario.set_agent_state(&agent, SimState::Unavailable);
    }
    scenario.start_daemon().await;
    let schedule = scenario.setup.schedule.clone().expect("a team has a schedule");
    scenario.import(&schedule).await;
    scenario.wait_until_observed().await;
    scenario
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_is_reported_once_and_a_rule_acts_on_it() {
    let told = receiver(ReceiverOptions::default()).await;
    let setup = Setup {
        speed: 300,
        tenant_keys: "skills = [\"1001\"]",
        tenant_tables: "[[tenants.series]]\nid = \"staff\"\nof = \"skill:1001:agents_staffed\"\n",
        rules: RULES,
        webhooks: endpoint_config("wfm", told.address(), "events = [\"anomaly.detected\", \"anomaly.ended\"]"),
        ..Setup::team(4)
    };
    let mut scenario = start_with_staffing_drop(setup).await;
    let tenant = scenario.tenant.to_string();
    let reader = scenario.reader().await;
    let of_rules = async || {
        let events = scenario.events(&reader).await.into_iter();
        events.filter(|event| event.kind == EventKind::RuleTold).map(|event| event.body).collect::<Vec<_>>()
    };
    scenario
        .wait_until("the rule tells of it", || async {
            let bodies = of_rules().await;
            if bodies.is_empty() { Err(scenario.readiness().await.to_string()) } else { Ok(()) }
        })
        .await;
    assert!(of_rules().await.iter().all(|body| body.contains("the floor is empty")), "{:?}", of_rules().await);
    let (status, page) = scenario.get(&format!("/api/v1/anomalies?tenant={tenant}")).await;
    let one = &page["anomalies"][0];
    assert_eq!(
        (status, &one["series"], &one["kind"], &one["at"], &one["baseline"]),
        (StatusCode::OK, &json!("staff"), &json!("DROP"), &json!(start()), &json!("window")),
        "{page}"
    );
    let (_, listed) = scenario.get(&format!("/api/v1/series?tenant={tenant}")).await;
    assert_eq!(listed["series"][0]["of"], "skill:1001:agents_staffed", "{listed}");
    let (_, trend) = scenario.get(&format!("/api/v1/trend?tenant={tenant}&series=skill:1001:agents_staffed")).await;
    assert_eq!(trend["points"][4]["anomaly"]["kind"], "DROP", "{trend}");
    assert!(trend["points"][4]["usual"]["low"].as_f64() > trend["points"][4]["value"].as_f64(), "{trend}");

    // A worker that starts again judges the same quarter hour again, and reports nothing.
    scenario.stop_daemon().await;
    scenario.start_daemon().await;
    scenario
        .wait_until("it is over", || async {
            let (_, page) = scenario.get(&format!("/api/v1/anomalies?tenant={tenant}")).await;
            if page["anomalies"][0]["ended_at"].is_string() { Ok(()) } else { Err(page.to_string()) }
        })
        .await;
    wait_until_delivered(&scenario, "wfm").await;
    let reader = scenario.reader().await;
    let events = scenario.events(&reader).await;
    let of = |kind| events.iter().filter(|event| event.kind == kind).count();
    assert_eq!((of(EventKind::AnomalyDetected), of(EventKind::AnomalyEnded)), (1, 1));
    assert_eq!((told.counts().distinct, told.counts().verified), (2, told.counts().received));
    let entries = scenario.audit(&reader).await;
    let entries = entries.iter().filter(|entry| entry.action.starts_with("anomaly."));
    assert_eq!(entries.map(|entry| entry.action.as_str()).collect::<Vec<_>>(), ["anomaly.detected", "anomaly.ended"]);
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn impossible_requests_are_refused_with_the_reason() {
    let scenario = Scenario::start_team(Setup { tenant_keys: "skills = [\"1001\"]", ..Setup::team(4) }).await;
    let tenant = scenario.tenant.to_string();
    for (query, status, words) in [
        ("series=occupancy", 400, "write skill:ID:FIGURE"),
        ("series=skill:1001:calls_waiting", 400, "there are contacts_queued"),
        ("series=adherence&window=1", 400, "2 to 1000"),
        ("series=adherence&threshold=-1", 400, "greater than 0"),
        ("series=adherence&zone=Mars/Base", 400, "such as Europe/Berlin"),
        ("series=adherence&from=2020-01-01T00:00:00Z", 400, "366 days"),
        ("series=adherence-15m&from=2026-10-26T12:00:00Z", 200, ""),
        ("series=adherence", 200, ""),
    ] {
        let (found, answered) = scenario.get(&format!("/api/v1/trend?tenant={tenant}&{query}")).await;
        assert_eq!(found.as_u16(), status, "{query}: {answered}");
        assert!(
            words.is_empty() || answered["detail"].as_str().is_some_and(|detail| detail.contains(words)),
            "{query}: {answered}"
        );
    }
    let path = format!("/api/v1/anomalies?tenant={tenant}");
    let refused = send(scenario.request_as("nobody", reqwest::Method::GET, &path)).await;
    assert_eq!(refused.0, StatusCode::UNAUTHORIZED);
    let (status, page) = send(scenario.request_as(VIEWER, reqwest::Method::GET, &path)).await;
    assert_eq!((status, page), (StatusCode::OK, json!({"anomalies": [], "next": null})));
    scenario.assert_nothing_left_over().await;
}
