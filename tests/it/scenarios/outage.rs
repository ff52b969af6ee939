//! The platform is gone for a while, at the daemon's start or later: the daemon serves, says so, and catches up by itself.

use std::time::Duration;

use shiftkeeper::sim::{Restart, SimState};

use crate::harness::{Scenario, Setup, agents};

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_goes_and_comes_back_is_met_again_without_a_restart() {
    let mut scenario = Scenario::start_team(Setup::team(6)).await;
    scenario.sim.stop_listening().await;
    let report = scenario.until_complaint("no connection to the platform").await;
    assert_eq!((&report["status"], &report["ready"]), (&"degraded".into(), &true.into()), "{report}");
    let taken = scenario.change(&agents(6), "Ready").await;
    scenario.pass(Duration::from_secs(180)).await;
    // It comes back as a service does: tokens and subscriptions are forgotten.
    scenario.sim.restart(Restart::SameWorld).await.expect("the same port");
    scenario.until_readiness("ready").await;
    scenario.until_all(&taken, "confirmed").await;
    assert_eq!(scenario.sim.counts(&scenario.tenant).applied_changes, 6);
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_starts_and_serves_while_the_platform_is_down() {
    let mut scenario = Scenario::without_daemon(Setup::team(4)).await;
    for agent in agents(4) {
        scenario.put(&agent, SimState::Unavailable);
    }
    scenario.sim.stop_listening().await;
    scenario.start_daemon().await;
    let schedule = scenario.setup.schedule.clone().expect("a team has one");
    scenario.import(&schedule).await;
    let report = scenario.until_complaint("no connection to the platform").await;
    assert_eq!(report["ready"], true, "{report}");
    let taken = scenario.change(&agents(4), "Ready").await;
    scenario.sim.listen_again().await.expect("the same port");
    scenario.until_in_sight().await;
    scenario.until_all(&taken, "confirmed").await;
    scenario.assert_nothing_left_over().await;
}
