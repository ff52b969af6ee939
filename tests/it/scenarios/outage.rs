//! The platform is gone for a while, at the daemon's start or later: the daemon serves, says so, and catches up by itself.

use std::time::Duration;

use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::sim::{RequestEntry, Restart, SimState};

use crate::harness::ledger::state_posts;
use crate::harness::{Dialect, Scenario, Setup, agent_ids, full_size, on_both_dialects};

on_both_dialects!(
    the_daemon_recovers_from_a_platform_outage_without_a_restart,
    a_daemon_starts_and_serves_while_the_platform_is_down,
    ten_minutes_without_state_changes_are_made_up_for_at_full_speed,
    ten_minutes_without_any_service_are_made_up_for_at_full_speed,
);

const MINUTE: Duration = Duration::from_secs(60);

async fn the_daemon_recovers_from_a_platform_outage_without_a_restart(dialect: Dialect) {
    let mut scenario = Scenario::start_team(Setup::team(6).on(dialect)).await;
    scenario.sim.stop_listening().await;
    let report = scenario.wait_for_readiness_detail("no connection to the platform").await;
    assert_eq!((&report["status"], &report["ready"]), (&"degraded".into(), &true.into()), "{report}");
    let taken = scenario.request_change(&agent_ids(6), "Ready").await;
    scenario.let_time_pass(Duration::from_secs(180)).await;
    // It comes back as a service does: tokens and subscriptions are forgotten.
    scenario.sim.restart(Restart::SameWorld).await.expect("the same port");
    scenario.wait_for_readiness("ready").await;
    scenario.wait_for_all(&taken, "confirmed").await;
    assert_eq!(scenario.sim.counts(&scenario.tenant).applied_changes, 6);
    scenario.assert_nothing_left_over().await;
}

async fn a_daemon_starts_and_serves_while_the_platform_is_down(dialect: Dialect) {
    let mut scenario = Scenario::without_daemon(Setup::team(4).on(dialect)).await;
    for agent in agent_ids(4) {
        scenario.set_agent_state(&agent, SimState::Unavailable);
    }
    scenario.sim.stop_listening().await;
    scenario.start_daemon().await;
    let schedule = scenario.setup.schedule.clone().expect("a team has one");
    scenario.import(&schedule).await;
    let report = scenario.wait_for_readiness_detail("no connection to the platform").await;
    assert_eq!(report["ready"], true, "{report}");
    let taken = scenario.request_change(&agent_ids(4), "Ready").await;
    scenario.sim.resume_listening().await.expect("the same port");
    scenario.wait_until_observed().await;
    scenario.wait_for_all(&taken, "confirmed").await;
    scenario.assert_nothing_left_over().await;
}

/// The share of a tenant's calls of a minute that may be retries, in per cent, and the number that is always allowed.
const RETRY_PERCENT: usize = 20;
const RETRIES_ALWAYS: usize = 10;

/// What may lie between the sending, by which the allowance counts, and the arrival, by which the log does: the sixth of a
/// second of real time.
const WAY: Duration = Duration::from_secs(10);

fn within(posts: &[RequestEntry], from: UtcMicros, span: Duration) -> impl Iterator<Item = &RequestEntry> {
    posts.iter().filter(move |post| post.at >= from && post.at.since(from) < span)
}

/// In the minute before each retry there were no more of them than the allowance.
fn assert_retries_within_allowance(posts: &[RequestEntry]) {
    let mut seen = std::collections::HashSet::new();
    let retries: Vec<bool> = posts.iter().map(|post| !seen.insert(post.agent.clone())).collect();
    for (last, post) in posts.iter().enumerate().filter(|(at, _)| retries[*at]) {
        let since = |span| posts.partition_point(|other| post.at.since(other.at) >= span);
        let of_the_minute = retries[since(MINUTE.saturating_sub(WAY))..=last].iter().filter(|retry| **retry).count();
        // What left before this one may have arrived after it.
        let left_before = posts.partition_point(|other| other.at <= post.at || other.at.since(post.at) <= WAY);
        let calls = left_before - since(MINUTE + WAY);
        let allowed = RETRIES_ALWAYS.max(calls * RETRY_PERCENT / 100);
        assert!(of_the_minute <= allowed, "{of_the_minute} retries of {calls} calls before {}", post.at);
    }
}

/// The platform answers 503 for ten minutes while many changes wait.
async fn ten_minutes_out_of_service(on: &str, dialect: Dialect) {
    let count = if full_size() { 2_000 } else { 500 };
    let mut setup = Setup::team(count).on(dialect);
    setup.speed = if full_size() { 30 } else { 60 };
    let scenario = Scenario::start_team(setup).await;
    scenario.add_fault(&format!("status:on={on},code=503"));
    let out_from = scenario.clock.now();
    let taken = scenario.request_change(&agent_ids(count), "Ready").await;
    scenario.let_time_pass(MINUTE * 10).await;
    scenario.sim.clear_faults();
    let healed_at = scenario.clock.now();
    scenario.wait_for_all(&taken, "confirmed").await;
    let posts: Vec<RequestEntry> = state_posts(&scenario.log()).cloned().collect();
    let halted = posts.iter().take_while(|post| post.at < healed_at);
    // Until the failures are known to persist, changes leave; from then on probes alone.
    for post in halted.skip_while(|post| post.at.since(out_from) < MINUTE * 2) {
        let probes = within(&posts, post.at, MINUTE.saturating_sub(Duration::from_secs(1)))
            .filter(|probe| probe.at < healed_at)
            .count();
        assert!(probes <= 2, "{probes} probes within a minute of {}", post.at);
    }
    assert_retries_within_allowance(&posts);
    // The budget comes in bursts, so the best minute of those that begin in time is the one that tells.
    let in_time = posts.iter().filter(|post| post.at >= healed_at && post.at.since(healed_at) <= MINUTE);
    let full_speed = in_time.map(|first| within(&posts, first.at, MINUTE).count()).max();
    assert!(full_speed >= Some(90), "{full_speed:?} POSTs in the best minute that began within one of the healing");
    assert_eq!(scenario.sim.counts(&scenario.tenant).applied_changes, count as u64, "nothing is lost or doubled");
    scenario.assert_within_budget(100);
    scenario.wait_for_readiness("ready").await;
    scenario.assert_nothing_left_over().await;
}

async fn ten_minutes_without_state_changes_are_made_up_for_at_full_speed(dialect: Dialect) {
    ten_minutes_out_of_service("state", dialect).await;
}

async fn ten_minutes_without_any_service_are_made_up_for_at_full_speed(dialect: Dialect) {
    ten_minutes_out_of_service("any", dialect).await;
}
