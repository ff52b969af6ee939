//! What automation remembers over a restart, so that it neither hurries nor repeats itself.

use std::time::Duration;

use shiftkeeper::domain::webhooks::event::EventKind;
use shiftkeeper::sim::{AgentScript, SimState};

use super::rules::start_with_overrun_break;
use crate::harness::{Dialect, Scenario, Setup, on_both_dialects};

on_both_dialects!(
    an_agent_that_reverted_a_change_is_left_alone_after_a_restart_too,
    a_cooldown_continues_across_a_restart,
);

async fn an_agent_that_reverted_a_change_is_left_alone_after_a_restart_too(dialect: Dialect) {
    let mut setup = Setup::team(4).on(dialect);
    setup.speed = 60;
    setup.rules = r#"
[[rules]]
id = "back"
when = { planned = "work", state = ["NotReady", "Paused"], for = "1m" }
then = { set_state = "Ready" }
mode = "enforce"
cooldown = "1m"
"#;
    let mut scenario = Scenario::start_team(setup).await;
    scenario
        .wait_until("the agent is made ready", || async {
            let state = scenario.state_of("u_0001");
            if state == SimState::Available { Ok(()) } else { Err(format!("{state:?}")) }
        })
        .await;
    scenario.wait_until_settled().await;
    scenario.let_time_pass(Duration::from_secs(20)).await;
    scenario.apply_script(&AgentScript {
        state: Some(SimState::Paused),
        hold: Some(true),
        ..Scenario::agent_script("u_0001")
    });
    let reader = scenario.reader().await;
    scenario
        .wait_until("the reversal is told", || async {
            let told = scenario.events(&reader).await.iter().any(|event| event.kind == EventKind::AgentReversedChange);
            if told { Ok(()) } else { Err("not yet".to_owned()) }
        })
        .await;
    scenario.kill_daemon().await;
    scenario.start_daemon().await;
    let held = |entries: &[shiftkeeper::domain::audit::AuditBody]| {
        entries.iter().filter(|entry| entry.action == "rule.held").count()
    };
    // Longer than the rule's cooldown and the time in the state that it asks for.
    scenario.let_time_pass(Duration::from_secs(5 * 60)).await;
    assert_eq!(scenario.posts_for("u_0001").len(), 1, "left alone");
    assert_eq!(held(&scenario.audit(&reader).await), 1, "that it is held is recorded once");
    scenario.stop_daemon().await;
    scenario.start_daemon().await;
    scenario.let_time_pass(Duration::from_secs(60)).await;
    assert_eq!(held(&scenario.audit(&reader).await), 1, "and not once more after a restart");
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_watching_rule_found_is_recorded_once_over_a_restart() {
    let mut scenario = start_with_overrun_break("watch").await;
    let reader = scenario.reader().await;
    let found =
        || async { scenario.audit(&reader).await.iter().filter(|entry| entry.action == "rule.would_have").count() };
    scenario
        .wait_until("the rule would have acted", || async {
            if found().await == 1 { Ok(()) } else { Err(String::new()) }
        })
        .await;
    scenario.stop_daemon().await;
    scenario.start_daemon().await;
    // Longer than the rule's cooldown.
    scenario.let_time_pass(Duration::from_secs(6 * 60)).await;
    let found = scenario.audit(&reader).await.iter().filter(|entry| entry.action == "rule.would_have").count();
    assert_eq!(found, 1);
    scenario.assert_nothing_left_over().await;
}

async fn a_cooldown_continues_across_a_restart(dialect: Dialect) {
    let mut setup = Setup::team(4).on(dialect);
    setup.speed = 60;
    setup.rules = r#"
[[rules]]
id = "idle"
when = { planned = "work", state = "Idle", for = "20s" }
then = { tell = "idle again" }
mode = "enforce"
cooldown = "30m"
"#;
    let mut scenario = Scenario::start_team(setup).await;
    let reader = scenario.reader().await;
    let told = || async { scenario.audit(&reader).await.iter().filter(|entry| entry.action == "rule.told").count() };
    scenario.set_agent_state("u_0001", SimState::Idle);
    scenario
        .wait_until("the rule tells", || async { if told().await == 1 { Ok(()) } else { Err(String::new()) } })
        .await;
    scenario.set_agent_state("u_0001", SimState::Available);
    scenario.let_time_pass(Duration::from_secs(30)).await;
    scenario.set_agent_state("u_0001", SimState::Idle);
    scenario.stop_daemon().await;
    scenario.start_daemon().await;
    scenario.let_time_pass(Duration::from_secs(5 * 60)).await;
    let told = scenario.audit(&reader).await.iter().filter(|entry| entry.action == "rule.told").count();
    assert_eq!(told, 1, "the cooldown runs");
    scenario.assert_nothing_left_over().await;
}
