//! A tenant on the published services: the same daemon observes and changes its agents by another dialect.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use shiftkeeper::sim::{AgentIds, ChangeCause, CodeScript, SimOptions, SimState, Trap};

use crate::harness::{Dialect, Scenario, Setup, agent_ids, schedule, send};

const CODES_WITH_IDLE: &str = "[tenants.incontact]\ncodes = { NotReady = 11, Paused = 12, Idle = 13 }\n\
                               [tenants.policy]\nwait_at_most = \"12h\"\n[tenants.automation]\nstale_intervals = 30\n";
const CODES: &str = "[tenants.incontact]\ncodes = { NotReady = 11, Paused = 12 }\n\
                     [tenants.policy]\nwait_at_most = \"12h\"\n[tenants.automation]\nstale_intervals = 30\n";

pub(super) fn setup() -> Setup {
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

/// Logs out whoever is not ready for long.
const LOG_OUT_RULE: &str = r#"
[[rules]]
id = "end-of-day"
when = { state = "NotReady", for = "10s" }
then = { log_out = true }
mode = "enforce"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_logs_agents_out_where_the_tenant_allows_it() {
    let tables = "[tenants.incontact]\ncodes = { NotReady = 11, Paused = 12 }\nlog_out = true\n\
                  [tenants.policy]\nwait_at_most = \"12h\"\n";
    let mut scenario = Scenario::without_daemon(Setup { rules: LOG_OUT_RULE, tenant_tables: tables, ..setup() }).await;
    scenario.set_agent_state("10001", SimState::Unavailable);
    scenario.set_agent_state("10002", SimState::Available);
    scenario.start_daemon().await;
    scenario
        .wait_until("the agent is logged out", || async {
            let state = scenario.state_of("10001");
            if state == SimState::LoggedOut { Ok(()) } else { Err(format!("{state:?}")) }
        })
        .await;
    scenario.wait_until_settled().await;
    let requests = scenario.log().requests;
    let logged_out: Vec<_> = requests.iter().filter(|call| call.path.ends_with("/logout")).collect();
    assert!(logged_out.len() == 1 && logged_out[0].path.ends_with("/agents/10001/logout"), "{logged_out:?}");
    assert_eq!(scenario.state_of("10002"), SimState::Available);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contact_that_is_seen_only_after_the_change_was_accepted_makes_it_pending() {
    let mut scenario = Scenario::without_daemon(setup()).await;
    scenario.set_agent_state("10001", SimState::Available);
    scenario.start_daemon().await;
    scenario.wait_until_observed().await;
    // No poll shows the contact before the change leaves.
    scenario.add_fault("status:on=snapshot,code=503,count=2");
    scenario.set_agent_state("10001", SimState::OnContact);
    let change = scenario.request_change(&["10001"], "Paused").await.remove(0);
    scenario.wait_for_status(&change, "pending").await;
    // More polls than would disprove a change that did not take effect.
    scenario.let_time_pass(Duration::from_secs(90)).await;
    assert_eq!(scenario.transition(&change).await["status"], "pending");
    scenario.set_agent_state("10001", SimState::Available);
    let done = scenario.wait_for_status(&change, "confirmed").await;
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

/// Agents in a break are paused, and afterwards made ready. The rules name no state, so only the planner keeps them off
/// agents who are logged out.
const BREAK_RULES: &str = r#"
[[rules]]
id = "into-break"
when = { planned = "break", for = "10s" }
then = { set_state = "Paused" }
mode = "enforce"

[[rules]]
id = "back-from-break"
when = { planned = "work", after = "break", for = "30s" }
then = { set_state = "Ready" }
mode = "enforce"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whom_the_timeout_of_a_code_logs_out_is_left_alone() {
    let csv = schedule(agent_ids(4), &[("break", "13:31", "13:45", false)]);
    let mut setup = Setup { rules: BREAK_RULES, ..Setup::team(4) }.on(Dialect::Incontact);
    (setup.sim.traps, setup.schedule) = (vec![Trap::CodeTimeouts], Some(csv.clone()));
    let scenario = Scenario::without_daemon(setup).await;
    let timeout = CodeScript { id: 12, timeout_minutes: Some(5), ..CodeScript::default() };
    scenario.sim.apply_code_script(&timeout).expect("a code");
    for agent in agent_ids(4) {
        scenario.set_agent_state(&agent, SimState::Available);
    }
    let mut scenario = scenario;
    scenario.start_daemon().await;
    scenario.import(&csv).await;
    scenario
        .wait_until("all are logged out by the timeout", || async {
            let out = scenario.log().changes.into_iter().filter(|change| change.to == SimState::LoggedOut);
            let causes: Vec<_> = out.map(|change| change.cause).collect();
            if causes == [ChangeCause::Platform; 4] { Ok(()) } else { Err(format!("{causes:?}")) }
        })
        .await;
    // Until well after the break.
    scenario.let_time_pass(Duration::from_secs(12 * 60)).await;
    for agent in agent_ids(4) {
        let posts = scenario.posts_for(&agent);
        assert_eq!(posts.len(), 1, "one into the break and none after the log-out: {posts:?}");
        let (_, shown) = scenario.get(&format!("/api/v1/agents/{agent}?tenant={}", scenario.tenant)).await;
        assert_eq!(shown["state"], "LoggedOut", "{shown}");
        let path = format!("/api/v1/transitions?tenant={}&agent={agent}", scenario.tenant);
        let (_, changes) = scenario.get(&path).await;
        let changes = changes["transitions"].as_array().expect("a list");
        assert!(changes.iter().all(|change| change["status"] == "confirmed"), "{changes:?}");
    }
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_are_exported_by_user_account_and_for_a_week_at_most() {
    let mut setup = Setup::team(4).on(Dialect::Incontact);
    setup.schedule = Some(schedule(agent_ids(4), &[("lunch", "14:00", "14:30", true)]));
    let mut scenario = Scenario::without_daemon(setup).await;
    scenario.start_daemon().await;
    scenario.wait_until_observed().await;
    let path = "/api/v1/jobs/platform-schedules/run?tenant=acme";
    let result = scenario
        .wait_until("the schedules are read", || async {
            let (_, runs) = scenario.get("/api/v1/jobs/platform-schedules/runs?tenant=acme").await;
            let last = runs["runs"].as_array().and_then(|runs| runs.first().cloned()).unwrap_or_default();
            match last["outcome"].as_str() {
                Some("done") => return Ok(last["message"].to_string()),
                // The directory may not have been read yet.
                None | Some("failed") => drop(send(scenario.request(Method::POST, path)).await),
                Some(_) => {}
            }
            Err(last.to_string())
        })
        .await;
    assert!(result.contains("of 4 agents with 4 shifts"), "{result}");
    let log = scenario.log();
    let exports: Vec<_> = log.requests.iter().filter(|call| call.path.ends_with("/schedules/export")).collect();
    assert!(exports.len() >= 4 && exports.iter().all(|call| call.status == Some(200)), "{exports:?}");
    let (_, shown) = scenario.get("/api/v1/agents/u_0001?tenant=acme").await;
    assert_eq!(shown["planned"]["activity"], "work", "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_moves_to_the_published_services_keeps_what_it_has() {
    let mut scenario = Scenario::start_team(Setup::team(4)).await;
    let before = scenario.request_change(&agent_ids(4), "Ready").await;
    scenario.wait_for_all(&before, "confirmed").await;
    scenario.stop_daemon().await;
    let reader = scenario.reader().await;
    let (old_audit, old_history) = (scenario.audit(&reader).await, scenario.history(&reader, &"u_0001".into()).await);
    reader.close().await;
    scenario.setup = scenario.setup.clone().on(Dialect::Incontact);
    scenario.start_daemon().await;
    scenario.wait_until_observed().await;
    let after = scenario.request_change(&agent_ids(4), "Paused").await;
    scenario.wait_for_all(&after, "confirmed").await;
    for id in &before {
        assert_eq!(scenario.transition(id).await["status"], "confirmed");
    }
    let (_, shown) = scenario.get("/api/v1/agents/u_0001?tenant=acme").await;
    assert_eq!((&shown["state"], &shown["planned"]["activity"]), (&json!("Paused"), &json!("work")), "{shown}");
    let reader = scenario.reader().await;
    let (audit, history) = (scenario.audit(&reader).await, scenario.history(&reader, &"u_0001".into()).await);
    reader.close().await;
    assert_eq!(audit[..old_audit.len()], old_audit);
    assert!(history.len() > old_history.len(), "{history:?}");
    let kept = history.iter().zip(&old_history).take(old_history.len() - 1);
    for (now, then) in kept {
        assert_eq!((&now.row.state, now.row.entered_at), (&then.row.state, then.row.entered_at));
    }
    scenario.assert_nothing_left_over().await;
}

async fn wait_for_contact(scenario: &Scenario, agent: &str) {
    scenario
        .wait_until("the contact is observed", || async {
            let (_, shown) = scenario.get(&format!("/api/v1/agents/{agent}?tenant={}", scenario.tenant)).await;
            if shown["state"] == "OnContact" { Ok(()) } else { Err(shown.to_string()) }
        })
        .await;
}
