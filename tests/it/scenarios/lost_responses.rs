//! Answers that never come: what was asked for happens once, whatever became of the answer.

use shiftkeeper::sim::SimState;

use crate::harness::{Dialect, Scenario, Setup, agent_ids, full_size, on_both_dialects};

on_both_dialects!(
    every_change_is_made_once_whatever_became_of_its_answer,
    a_daemon_killed_among_its_posts_settles_them_at_its_next_start,
    a_change_in_doubt_at_an_orderly_stop_is_settled_by_the_next_start,
);

/// How many answers are lost after the change was made, how many requests before it, and how many changes come late.
struct Size {
    lost: usize,
    reset: usize,
    late: usize,
    requests_per_minute: &'static str,
}

fn size() -> Size {
    if full_size() {
        Size { lost: 500, reset: 500, late: 50, requests_per_minute: "requests_per_minute = 100" }
    } else {
        Size { lost: 50, reset: 50, late: 10, requests_per_minute: "requests_per_minute = 1000" }
    }
}

async fn every_change_is_made_once_whatever_became_of_its_answer(dialect: Dialect) {
    let Size { lost, reset, late, requests_per_minute } = size();
    let count = lost + reset + late;
    let mut setup = Setup::team(count).on(dialect);
    setup.tenant_keys = requests_per_minute;
    setup.sim.requests_per_minute = if full_size() { 100 } else { 1000 };
    let scenario = Scenario::start_team(setup).await;
    scenario.add_fault(&format!("lost_answer:on=state,count={lost}"));
    scenario.add_fault(&format!("reset_before:on=state,count={reset}"));
    // Late enough that one snapshot still shows the state before.
    scenario.add_fault(&format!("late:on=state,count={late},ms=15000"));
    let taken = scenario.request_change(&agent_ids(count), "Ready").await;
    scenario.wait_for_all(&taken, "confirmed").await;
    for agent in agent_ids(count) {
        assert_eq!(scenario.state_of(&agent), SimState::Available, "{agent}");
    }
    let counts = scenario.sim.counts(&scenario.tenant);
    assert_eq!(counts.applied_changes, count as u64, "each was made once");
    assert_eq!(counts.state_posts, (count + reset) as u64, "only what was not made was sent again");
    assert_eq!(counts.throttled, 0);
    scenario.assert_nothing_left_over().await;
}

async fn a_daemon_killed_among_its_posts_settles_them_at_its_next_start(dialect: Dialect) {
    let mut scenario = Scenario::start_team(Setup::team(40).on(dialect)).await;
    // The first answers wait, so that the kill finds POSTs on their way: made, and not known to be made.
    scenario.add_fault("delay:on=state,ms=500,count=20");
    let taken = scenario.request_change(&agent_ids(40), "Ready").await;
    scenario
        .wait_until("POSTs are on their way", || async {
            let posts = scenario.log().requests.iter().filter(|call| call.path.ends_with("/state")).count();
            if posts >= 10 { Ok(()) } else { Err(format!("{posts}")) }
        })
        .await;
    scenario.kill_daemon().await;
    scenario.start_daemon().await;
    scenario.wait_for_all(&taken, "confirmed").await;
    assert_eq!(scenario.sim.counts(&scenario.tenant).applied_changes, 40);
    scenario.assert_within_budget(100);
    scenario.assert_nothing_left_over().await;
}

async fn a_change_in_doubt_at_an_orderly_stop_is_settled_by_the_next_start(dialect: Dialect) {
    let mut scenario = Scenario::start_team(Setup::team(4).on(dialect)).await;
    scenario.add_fault("stop_answering:on=state,agent=u_0001,count=1");
    scenario.add_fault("lost_answer:on=state,agent=u_0002,count=1");
    let taken = scenario.request_change(&["u_0001", "u_0002"], "Ready").await;
    scenario
        .wait_until("both left", || async {
            let posts = scenario.posts_for("u_0001").len() + scenario.posts_for("u_0002").len();
            if posts == 2 { Ok(()) } else { Err(format!("{posts}")) }
        })
        .await;
    scenario.stop_daemon().await;
    let reader = scenario.reader().await;
    let open = reader.open_transitions(&scenario.tenant).await.expect("readable");
    assert!(open.iter().all(|stored| stored.transition.status.name() == "in_doubt"), "{open:?}");
    assert_eq!(open.len(), 2);
    reader.close().await;
    scenario.start_daemon().await;
    scenario.wait_for_all(&taken, "confirmed").await;
    assert_eq!(scenario.posts_for("u_0001").len(), 2, "it had not arrived");
    assert_eq!(scenario.posts_for("u_0002").len(), 1, "it had");
    scenario.assert_nothing_left_over().await;
}
