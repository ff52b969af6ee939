//! Rules from the imported plan to the agent's state, and the guards that keep them from being a nuisance.

use std::time::Duration;

use shiftkeeper::domain::webhooks::event::EventKind;
use shiftkeeper::sim::{AgentScript, SimState};

use crate::harness::{Scenario, Setup, schedule};

/// The rule that ships, by itself, and with another mode.
fn back_from_break(mode: &str) -> String {
    format!(
        r#"
[[rules]]
id = "back-from-break"
when = {{ planned = "work", break = "over", state = ["NotReady", "Paused"], for = "3m", planned_for = "2m" }}
then = {{ set_state = "Ready", reason = "WORKING" }}
mode = "{mode}"
"#
    )
}

/// Four agents, with a break that begins a minute after the start and lasts four.
pub(super) async fn start_with_overrun_break(mode: &str) -> Scenario {
    let csv = schedule(crate::harness::agent_ids(4), &[("break", "13:31", "13:35", false)]);
    let mut setup = Setup::team(4);
    setup.speed = 60;
    setup.schedule = Some(csv);
    setup.rules = Box::leak(back_from_break(mode).into_boxed_str());
    let scenario = Scenario::start(setup).await;
    for agent in crate::harness::agent_ids(4) {
        scenario.set_agent_state(&agent, SimState::Available);
    }
    let schedule = scenario.setup.schedule.clone().expect("a schedule");
    scenario.import(&schedule).await;
    scenario.wait_until_observed().await;
    scenario
        .wait_until("the break begins", || async {
            if scenario.clock.now() >= "2026-10-26T13:31:05Z".parse().expect("an instant") {
                Ok(())
            } else {
                Err(String::new())
            }
        })
        .await;
    scenario.set_agent_state("u_0001", SimState::Unavailable);
    scenario
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overrun_break_is_ended_once_and_an_agent_that_reverts_it_is_left_alone() {
    let scenario = start_with_overrun_break("enforce").await;
    scenario
        .wait_until("the agent is made ready", || async {
            let state = scenario.state_of("u_0001");
            if state == SimState::Available { Ok(()) } else { Err(format!("{state:?} at {}", scenario.clock.now())) }
        })
        .await;
    let made_ready = scenario.posts_for("u_0001");
    assert_eq!(made_ready.len(), 1, "{made_ready:?}");
    let over: shiftkeeper::domain::time::UtcMicros = "2026-10-26T13:35:00Z".parse().expect("an instant");
    assert!(made_ready[0].at.since(over) >= Duration::from_secs(120), "the plan's edge has its grace");
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
    scenario.let_time_pass(Duration::from_secs(10 * 60)).await;
    assert_eq!(scenario.posts_for("u_0001").len(), 1, "left alone");
    for other in ["u_0002", "u_0003", "u_0004"] {
        assert!(scenario.posts_for(other).is_empty(), "{other} was where the plan wants it");
    }
    let entries = scenario.audit(&reader).await;
    assert!(entries.iter().any(|entry| entry.action == "agent.reversed_change"));
    assert!(
        entries.iter().any(|entry| entry.actor == "rule:back-from-break" && entry.action == "transition.requested")
    );
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watching_rule_records_what_it_would_have_done_and_does_nothing() {
    let scenario = start_with_overrun_break("watch").await;
    let reader = scenario.reader().await;
    scenario
        .wait_until("the rule would have acted", || async {
            let entries = scenario.audit(&reader).await;
            if entries.iter().any(|entry| entry.action == "rule.would_have") {
                Ok(())
            } else {
                Err(format!("{} entries", entries.len()))
            }
        })
        .await;
    scenario.let_time_pass(Duration::from_secs(60)).await;
    assert!(scenario.posts_for("u_0001").is_empty());
    assert_eq!(scenario.state_of("u_0001"), SimState::Unavailable);
    let figures = reader
        .compliance_figures(
            &scenario.tenant,
            shiftkeeper::domain::time::UtcMicros::EPOCH,
            shiftkeeper::domain::time::UtcMicros::MAX,
        )
        .await
        .expect("readable");
    assert_eq!(figures.total, 0, "a watching rule asks for nothing");
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_approval_keeps_no_rule_of_its_class_from_the_agent() {
    let mut setup = Setup::team(4);
    setup.rules = r#"
[[rules]]
id = "back"
when = { planned = "work", state = "NotReady", for = "3m" }
then = { set_state = "Ready" }
mode = "enforce"

[[rules]]
id = "rest"
when = { planned = "work", state = "NotReady", for = "30s" }
then = { set_state = "Paused" }
mode = "approve"
"#;
    let scenario = Scenario::start_team(setup).await;
    scenario
        .wait_until("the enforcing rule acts", || async {
            let state = scenario.state_of("u_0001");
            if state == SimState::Available { Ok(()) } else { Err(format!("{state:?} at {}", scenario.clock.now())) }
        })
        .await;
    let reader = scenario.reader().await;
    let entries = scenario.audit(&reader).await;
    let superseded = entries.iter().find(|entry| entry.action == "transition.superseded").expect("an entry");
    assert_eq!(superseded.actor, "rule:rest");
    assert!(entries.iter().any(|entry| entry.action == "transition.held" && entry.actor == "rule:rest"));
    scenario.assert_nothing_left_over().await;
}
