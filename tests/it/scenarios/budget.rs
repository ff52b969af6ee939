//! The platform's budget: never overrun, not over a restart either, and never in the way of what is urgent.

use std::time::Duration;

use shiftkeeper::sim::{AgentScript, SimState};

use crate::harness::ledger::state_posts;
use crate::harness::{Dialect, Scenario, Setup, agent_ids, full_size, on_both_dialects};

on_both_dialects!(
    a_shift_change_stays_within_the_budget_over_a_crash_too,
    an_urgent_change_leaves_within_two_seconds_of_a_burst_of_automatic_ones,
);

async fn a_shift_change_stays_within_the_budget_over_a_crash_too(dialect: Dialect) {
    let count = if full_size() { 500 } else { 300 };
    let mut scenario = Scenario::start_team(Setup::team(count).on(dialect)).await;
    let taken = scenario.request_change(&agent_ids(count), "Ready").await;
    scenario
        .wait_until("the second minute's changes leave", || async {
            let posts = state_posts(&scenario.log()).count();
            if posts > 130 { Ok(()) } else { Err(format!("{posts}")) }
        })
        .await;
    scenario.kill_daemon().await;
    scenario.start_daemon().await;
    scenario.wait_for_all(&taken, "confirmed").await;
    scenario.assert_within_budget(100);
    assert_eq!(scenario.sim.counts(&scenario.tenant).applied_changes, count as u64);
    scenario.assert_nothing_left_over().await;
}

/// Everyone who is not ready while work is planned is made ready.
const EVERYONE: &str = r#"
[[rules]]
id = "everyone-works"
when = { planned = "work", state = ["NotReady"], for = "30s" }
then = { set_state = "Ready", reason = "WORKING" }
mode = "enforce"
"#;

async fn an_urgent_change_leaves_within_two_seconds_of_a_burst_of_automatic_ones(dialect: Dialect) {
    let mut setup = Setup::team(160).on(dialect);
    // Two seconds must be long beside what the machine itself needs.
    setup.speed = 10;
    setup.rules = EVERYONE;
    let scenario = Scenario::start_team(setup).await;
    scenario.apply_script(&AgentScript {
        state: Some(SimState::Paused),
        hold: Some(true),
        ..Scenario::agent_script("u_0001")
    });
    scenario
        .wait_until("the automatic ones have used up the minute", || async {
            let posts = state_posts(&scenario.log()).count();
            if posts >= 90 { Ok(()) } else { Err(format!("{posts} POSTs; {}", scenario.readiness().await)) }
        })
        .await;
    let asked_at = scenario.clock.now();
    let taken = scenario.request_change(&["u_0001"], "Ready").await.remove(0);
    scenario.wait_for_status(&taken, "confirmed").await;
    let left_at = scenario.posts_for("u_0001").first().expect("a POST").at;
    assert!(left_at.since(asked_at) <= Duration::from_secs(2), "it left after {:?}", left_at.since(asked_at));
    scenario
        .wait_until("the burst ends", || async {
            let posts = state_posts(&scenario.log()).count();
            if posts >= 160 { Ok(()) } else { Err(format!("{posts} POSTs")) }
        })
        .await;
    scenario.assert_within_budget(100);
    scenario.assert_nothing_left_over().await;
}
