//! A tenant on the published services: the same daemon observes and changes its agents by another dialect.

use reqwest::Method;
use serde_json::json;
use shiftkeeper::sim::{AgentIds, SimOptions, SimState, Trap};

use crate::harness::{Scenario, Setup, send};

const CODES_WITH_IDLE: &str = "[tenants.incontact]\ncodes = { NotReady = 11, Paused = 12, Idle = 13 }\n\
                               [tenants.policy]\nwait_at_most = \"12h\"\n[tenants.automation]\nstale_intervals = 30\n";
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
    wait_for_contact(&scenario, "10001").await;
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

/// Whatever the platform does otherwise than its documents say, agents are observed, and a change costs one call.
#[tokio::test(flavor = "multi_thread")]
async fn the_traps_of_the_published_services_cost_no_sight_and_no_further_call() {
    for trap in [
        Trap::SmallPages,
        Trap::MovingRows,
        Trap::ResultSet,
        Trap::OtherCases,
        Trap::NumbersAsText,
        Trap::StatusHeader,
        Trap::NoContent,
        Trap::NoRetryAfter,
        Trap::PollTimeInRows,
        Trap::NoPollTime,
        Trap::ForeignLinks,
        Trap::WrapUpEndsAtOnce,
        Trap::NoRefresh,
    ] {
        let mut setup = setup();
        (setup.sim.agents, setup.sim.traps) = (25, vec![trap]);
        let scenario = Scenario::start(setup).await;
        scenario.wait_until_observed().await;
        let requested = scenario.request_change(&["10001", "10025"], "Paused").await;
        for taken in &requested {
            let done = scenario.wait_for_status(taken, "confirmed").await;
            assert_eq!(done["attempts"], json!(1), "{trap}: {done}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_who_chooses_another_state_after_the_contact_ends_a_pending_change() {
    let mut setup = setup();
    setup.sim.traps = vec![Trap::AgentChooses];
    let scenario = Scenario::start(setup).await;
    scenario.wait_until_observed().await;
    scenario.set_agent_state("10001", SimState::OnContact);
    wait_for_contact(&scenario, "10001").await;
    let body = json!({"tenant": scenario.tenant, "agents": ["10001"], "to": "Paused", "on_contact": "now"});
    let (_, taken) = send(scenario.request(Method::POST, "/api/v1/transitions").json(&body)).await;
    let taken = &taken["transitions"][0];
    scenario.wait_for_status(taken, "pending").await;
    scenario.set_agent_state("10001", SimState::Available);
    let done = scenario.wait_for_status(taken, "unconfirmed").await;
    assert_eq!(done["attempts"], json!(1), "{done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_is_another_in_the_agents_team_is_refused_by_name_before_a_call() {
    let mut setup = setup();
    setup.sim.traps = vec![Trap::TeamCodes];
    let scenario = Scenario::start(Setup { tenant_tables: CODES_WITH_IDLE, ..setup }).await;
    // A configured code that a team does not have is reported.
    scenario.wait_for_readiness("degraded").await;
    let reader = scenario.reader().await;
    scenario
        .wait_until("every agent is seen", || async {
            let seen = reader.latest_states(&scenario.tenant).await.expect("readable").len();
            if seen == 8 { Ok(()) } else { Err(seen.to_string()) }
        })
        .await;
    let refused = scenario
        .wait_until("the codes are known", || async {
            let (_, taken) = scenario.get(&format!("/api/v1/status?tenant={}", scenario.tenant)).await;
            let faults = taken["tenants"][0]["directory"]["code_faults"].as_array().cloned().unwrap_or_default();
            if faults.is_empty() { Err(taken.to_string()) } else { Ok(faults) }
        })
        .await;
    assert!(refused.iter().all(|fault| fault.as_str().is_some_and(|fault| fault.contains("13"))), "{refused:?}");
    let ids: Vec<String> = (1..=8).map(|number| (10_000 + number).to_string()).collect();
    let body = json!({"tenant": scenario.tenant, "agents": ids, "to": "Idle"});
    let (_, taken) = send(scenario.request(Method::POST, "/api/v1/transitions").json(&body)).await;
    let taken = taken["transitions"].as_array().expect("one each").clone();
    let is_refused = |one: &&serde_json::Value| one["status"] == "refused";
    let (refused, others): (Vec<_>, Vec<_>) = taken.iter().partition(is_refused);
    assert!(!refused.is_empty() && !others.is_empty(), "{taken:?}");
    for one in refused {
        let error = one["error"].as_str().expect("a reason");
        assert!(error.contains("13") && error.contains("Team "), "{error}");
    }
    let first = others.first().expect("some");
    scenario.wait_for_status(first, "confirmed").await;
}

async fn wait_for_contact(scenario: &Scenario, agent: &str) {
    scenario
        .wait_until("the contact is observed", || async {
            let (_, shown) = scenario.get(&format!("/api/v1/agents/{agent}?tenant={}", scenario.tenant)).await;
            if shown["state"] == "OnContact" { Ok(()) } else { Err(shown.to_string()) }
        })
        .await;
}
