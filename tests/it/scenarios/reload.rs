//! A reload: changes that the new configuration does not want are cancelled, and agents that are no longer named leave
//! the roster.

use reqwest::Method;
use serde_json::{Value, json};
use shiftkeeper::sim::SimState;

use crate::harness::{Scenario, Setup, send};

/// A rule that takes agents off the phone, once their contact has ended.
const AFTER_THE_CONTACT: &str = r#"
[[rules]]
id = "off-the-phone"
when = { state = "OnContact", for = "1s" }
then = { set_state = "NotReady", reason = "BREAK" }
mode = "enforce"
"#;

/// The transitions of an agent, newest first, as the API lists them.
async fn transitions_of(scenario: &Scenario, agent: &str) -> Vec<Value> {
    let path = format!("/api/v1/transitions?tenant={}&agent={agent}", scenario.tenant);
    let (_, body) = scenario.get(&path).await;
    body["transitions"].as_array().expect("a list").clone()
}

/// A team of four whose first agent is with a contact that a rule waits for the end of.
async fn start_with_waiting_rule() -> Scenario {
    let mut setup = Setup::team(4);
    setup.rules = AFTER_THE_CONTACT;
    let scenario = Scenario::start_team(setup).await;
    scenario.set_agent_state("u_0001", SimState::OnContact);
    scenario
        .wait_until("the rule's change waits", || async {
            let list = transitions_of(&scenario, "u_0001").await;
            if list.first().is_some_and(|first| first["why"] == "contact") { Ok(()) } else { Err(format!("{list:?}")) }
        })
        .await;
    scenario
}

async fn wait_until_cancelled(scenario: &Scenario, agent: &str, words: &str) {
    scenario
        .wait_until("the change is called off", || async {
            let list = transitions_of(scenario, agent).await;
            if list[0]["status"] == "cancelled" { Ok(()) } else { Err(format!("{list:?}")) }
        })
        .await;
    let reader = scenario.reader().await;
    let entries = scenario.audit(&reader).await;
    let told = entries.iter().find(|entry| entry.action == "transition.cancelled").expect("an entry");
    assert!(told.outcome.as_deref().is_some_and(|outcome| outcome.contains(words)), "{told:?}");
    assert!(told.subject.is_some(), "{told:?}");
    assert!(scenario.posts_for(agent).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_only_watches_now_calls_off_what_it_still_waits_with() {
    let mut scenario = start_with_waiting_rule().await;
    scenario.setup.rules = Box::leak(AFTER_THE_CONTACT.replace("enforce", "watch").into_boxed_str());
    scenario.reload();
    wait_until_cancelled(&scenario, "u_0001", "watch").await;
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_is_removed_while_the_daemon_is_down_calls_off_what_it_still_waits_with() {
    let mut scenario = start_with_waiting_rule().await;
    scenario.stop_daemon().await;
    scenario.setup.rules = "";
    scenario.start_daemon().await;
    wait_until_cancelled(&scenario, "u_0001", "no longer exists").await;
    scenario.assert_nothing_left_over().await;
}

async fn request_change(scenario: &Scenario, agent: &str, to: &str) -> Value {
    let body = json!({"tenant": scenario.tenant, "agents": [agent], "to": to});
    let (_, body) = send(scenario.request(Method::POST, "/api/v1/transitions").json(&body)).await;
    body["transitions"][0].clone()
}

async fn wait_until_unknown(scenario: &Scenario, agent: &str) {
    scenario
        .wait_until("the agent is not in the roster", || async {
            let taken = request_change(scenario, agent, "Paused").await;
            if taken["error"].as_str().is_some_and(|error| error.contains("has no agent")) {
                Ok(())
            } else {
                Err(taken.to_string())
            }
        })
        .await;
}

/// What stands for the agents of each subscription.
async fn subscription_filters(scenario: &Scenario) -> Vec<String> {
    let rows = scenario.reader().await.subscriptions(&scenario.tenant).await.expect("readable");
    rows.iter().map(|row| row.agents_hash.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_removed_from_the_list_leaves_the_roster_and_can_return() {
    let mut scenario = Scenario::start(Setup::default()).await;
    scenario.wait_until_observed().await;
    scenario.set_agent_state("u_0003", SimState::OnContact);
    let reader = scenario.reader().await;
    scenario
        .wait_until("the contact is seen", || async {
            let seen = reader.latest_states(&scenario.tenant).await.expect("readable");
            let state = seen.iter().find(|row| row.row.agent.as_str() == "u_0003").map(|row| row.row.state.clone());
            if state.as_ref().is_some_and(shiftkeeper::domain::agents::state::AgentState::is_on_contact) {
                Ok(())
            } else {
                Err(format!("{state:?}"))
            }
        })
        .await;
    let taken = request_change(&scenario, "u_0003", "NotReady").await;
    assert_eq!(taken["status"], "waiting", "{taken}");

    let before = subscription_filters(&scenario).await;
    scenario.setup.unlisted = &["u_0003"];
    scenario.reload();
    scenario.wait_for_status(&taken, "cancelled").await;
    wait_until_unknown(&scenario, "u_0003").await;
    let entries = scenario.audit(&reader).await;
    let left: Vec<_> = entries.iter().filter(|entry| entry.action == "agent.left_roster").collect();
    assert!(left.len() == 1 && left[0].subject.is_some(), "{left:?}");
    scenario
        .wait_until("the subscription is for other agents", || async {
            let now = subscription_filters(&scenario).await;
            if now.len() == 1 && now != before { Ok(()) } else { Err(format!("{now:?}")) }
        })
        .await;

    scenario.stop_daemon().await;
    scenario.start_daemon().await;
    wait_until_unknown(&scenario, "u_0003").await;

    scenario.setup.unlisted = &[];
    scenario.reload();
    let taken = scenario
        .wait_until("the agent is back", || async {
            let taken = request_change(&scenario, "u_0003", "Paused").await;
            if taken["id"].is_string() { Ok(taken) } else { Err(taken.to_string()) }
        })
        .await;
    scenario.set_agent_state("u_0003", SimState::Unavailable);
    // It may have left before the contact was seen, and is pending then.
    scenario.wait_for_status(&taken, "confirmed").await;
    scenario.assert_nothing_left_over().await;
}
