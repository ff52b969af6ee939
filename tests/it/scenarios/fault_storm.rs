//! A contact centre that lives, the shipped rules, and a platform that fails at everything now and then: what is left in the
//! books must still be true.

use std::time::Duration;

use shiftkeeper::domain::ids::AgentId;
use shiftkeeper::sim::SimOptions;

use crate::harness::ledger::state_posts;
use crate::harness::{Dialect, Scenario, Setup, full_size, on_both_dialects};

on_both_dialects!(the_books_are_true_after_a_storm_with_crashes,);

const SCHEDULE: &str = include_str!("../../../config/samples/schedule-300.csv");
const RULES: &str = include_str!("../../../config/rules.toml");

/// What goes wrong, in shares of the requests.
const FAULTS: [&str; 9] = [
    "lost_answer:on=state,probability=0.1",
    "reset_before:on=state,probability=0.1",
    "reset_mid:on=state,probability=0.05",
    "status:on=state,code=503,probability=0.05",
    "status:on=state,code=502,applied=true,probability=0.05",
    "status:on=state,code=429,retry_after=5,probability=0.05",
    "html:on=any,probability=0.03",
    "status:on=snapshot,code=500,probability=0.1",
    "truncated:on=snapshot,probability=0.05",
];

async fn the_books_are_true_after_a_storm_with_crashes(dialect: Dialect) {
    let (rounds, minutes) = if full_size() { (7, 12) } else { (2, 5) };
    let setup = Setup {
        dialect,
        speed: 60,
        sim: SimOptions { agents: 300, autonomous_agents: true, special_users: false, ..SimOptions::default() },
        lists_all_agents: false,
        schedule: Some(SCHEDULE.to_owned()),
        tenant_tables: "[tenants.automation]\nenforce = [\"all\"]\nstale_intervals = 30\n",
        rules: RULES,
        ..Setup::default()
    };
    let mut scenario = Scenario::start(setup).await;
    scenario.import(SCHEDULE).await;
    scenario.wait_until_observed().await;
    let everyone = scenario.sim.description().tenants.remove(0).agents;
    for round in 0..rounds {
        for fault in FAULTS {
            scenario.add_fault(fault);
        }
        // People ask for changes too, all through it.
        let people: Vec<&str> = everyone.iter().skip(round * 40).take(40).map(AgentId::as_str).collect();
        scenario.request_change(&people, if round % 2 == 0 { "NotReady" } else { "Ready" }).await;
        scenario.let_time_pass(Duration::from_secs(minutes * 60)).await;
        scenario.add_fault("revoke_tokens");
        scenario.add_fault("expire_subscriptions");
        if round % 2 == 0 {
            scenario.kill_daemon().await;
            scenario.start_daemon().await;
        }
        scenario.sim.clear_faults();
        scenario.let_time_pass(Duration::from_secs(120)).await;
    }
    let posts = state_posts(&scenario.log()).count();
    assert!(posts > 20, "there was something to reckon: {posts} POSTs");
    scenario.assert_within_budget_but_for_faults(100);
    scenario.assert_nothing_left_over().await;
}
