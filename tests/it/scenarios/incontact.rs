//! A tenant on the published services: the same daemon observes and changes its agents by another dialect.

use reqwest::Method;
use serde_json::json;
use shiftkeeper::sim::{AgentIds, SimOptions, SimState};

use crate::harness::{Scenario, Setup, send};

const CODES: &str = "[tenants.incontact]\ncodes = { NotReady = 11, Paused = 12 }\n\
                     [tenants.policy]\nwait_at_most = \"12h\"\n[tenants.automation]\nstale_intervals = 30\n";

fn setup() -> Setup {
    Setup {
        sim: SimOptions { agent_ids: AgentIds::Numbers, special_users: false, ..Setup::default().sim },
        tenant_keys: "dialect = \"incontact\"",
        tenant_tables: CODES,
        ..Setup::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_are_observed_and_changed_without_an_import() {
    let scenario = Scenario::start(setup()).await;
    scenario.wait_until_observed().await;
    let requested = scenario.request_change(&["10001", "10002"], "Paused").await;
    for (agent, transition) in ["10001", "10002"].into_iter().zip(&requested) {
        let done = scenario.wait_for_status(transition, "confirmed").await;
        assert_eq!((&done["attempts"], scenario.state_of(agent)), (&json!(1), SimState::Paused), "{done}");
    }
    let log = scenario.log();
    let polls = log.requests.iter().filter(|call| call.path.ends_with("/agents/states")).count();
    let others = log.requests.iter().filter(|call| call.path.starts_with("/api/")).count();
    assert!(polls > 1 && others == 0, "{polls} polls, {others} calls of the other dialect");

    // A state without a code is refused before anything is sent.
    let body = json!({"tenant": scenario.tenant, "agents": ["10003"], "to": "Idle"});
    let (status, refused) = send(scenario.request(Method::POST, "/api/v1/transitions").json(&body)).await;
    assert!(status.is_client_error(), "{status} {refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_who_logged_out_costs_one_change_and_no_breaker() {
    let scenario = Scenario::start(setup()).await;
    scenario.wait_until_observed().await;
    for agent in ["10001", "10002", "10003", "10004", "10005"] {
        scenario.set_agent_state(agent, SimState::LoggedOut);
    }
    let requested = scenario.request_change(&["10001", "10002", "10003", "10004", "10005", "10006"], "Paused").await;
    let last = scenario.wait_for_status(&requested[5], "confirmed").await;
    assert_eq!(last["attempts"], json!(1), "{last}");
    scenario
        .wait_until("the others have ended", || async {
            let mut open = Vec::new();
            for transition in &requested[..5] {
                let now = scenario.transition(transition).await;
                if ["waiting", "sending", "accepted"].contains(&now["status"].as_str().unwrap_or_default()) {
                    open.push(now.to_string());
                }
            }
            if open.is_empty() { Ok(()) } else { Err(open.join("\n")) }
        })
        .await;
}
