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

#[tokio::test(flavor = "multi_thread")]
async fn agents_of_the_platforms_directory_are_observed_without_being_named_anywhere() {
    let scenario = Scenario::start(Setup { lists_all_agents: false, ..setup() }).await;
    scenario.wait_until_observed().await;
    let (_, agents) = scenario.get(&format!("/api/v1/agents?tenant={}", scenario.tenant)).await;
    let teams: Vec<_> =
        agents["agents"].as_array().expect("a list").iter().map(|agent| agent["team"].clone()).collect();
    assert_eq!(teams.len(), 8, "{agents}");
    assert!(teams.iter().all(|team| team.as_str().is_some_and(|team| team.starts_with("Team "))), "{agents}");
    let requested = scenario.request_change(&["10001"], "Paused").await;
    scenario.wait_for_status(&requested[0], "confirmed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_during_a_contact_is_pending_and_confirmed_when_the_contact_ends() {
    let scenario = Scenario::start(setup()).await;
    scenario.wait_until_observed().await;
    scenario.set_agent_state("10001", SimState::OnContact);
    scenario
        .wait_until("the contact is observed", || async {
            let (_, agent) = scenario.get(&format!("/api/v1/agents/10001?tenant={}", scenario.tenant)).await;
            if agent["state"] == "OnContact" { Ok(()) } else { Err(agent.to_string()) }
        })
        .await;
    let body = json!({"tenant": scenario.tenant, "agents": ["10001"], "to": "Paused", "on_contact": "now"});
    let (_, taken) = send(scenario.request(Method::POST, "/api/v1/transitions").json(&body)).await;
    let taken = &taken["transitions"][0];
    let pending = scenario.wait_for_status(taken, "pending").await;
    assert_eq!(pending["attempts"], json!(1), "{pending}");
    // Another agent's change is not held up.
    let other = scenario.request_change(&["10002"], "Paused").await;
    scenario.wait_for_status(&other[0], "confirmed").await;
    assert_eq!(scenario.transition(taken).await["status"], "pending");
    scenario.set_agent_state("10001", SimState::Available);
    let done = scenario.wait_for_status(taken, "confirmed").await;
    assert_eq!((&done["attempts"], scenario.state_of("10001")), (&json!(1), SimState::Paused), "{done}");
}
