//! The daemon's wall clock is set under it, or its host sleeps: nothing is sent twice, nothing waits for a clock to catch up, and
//! the books say what happened.

use std::time::Duration;

use shiftkeeper::domain::webhooks::event::EventKind;
use shiftkeeper::sim::SimState;

use crate::harness::{Dialect, INTERVAL, Scenario, Setup, agent_ids, on_both_dialects};

on_both_dialects!(
    what_is_in_doubt_is_not_sent_twice_when_the_clock_is_set_forward,
    what_is_in_doubt_does_not_wait_for_a_clock_that_was_set_back,
    what_is_in_doubt_survives_a_restart_on_another_clock,
    a_host_that_slept_for_eight_hours_catches_up,
);

/// Shifts all around the clock, for days on both sides.
pub fn around_the_clock(count: usize) -> String {
    let mut lines = vec!["agent_id,agent_name,team,time_zone,activity,start,end,mandatory".to_owned()];
    for agent in agent_ids(count) {
        lines.extend(
            (24..30).map(|day| format!("{agent},,Team,UTC,shift,2026-10-{day}T00:00,2026-10-{}T00:00,false", day + 1)),
        );
    }
    lines.join("\n") + "\n"
}

const DAY: i64 = 24 * 3600;

/// The audit entries that say that the clock was set.
async fn clock_set_entries(scenario: &Scenario) -> usize {
    let reader = scenario.reader().await;
    scenario.audit(&reader).await.iter().filter(|entry| entry.action == "clock.set").count()
}

/// Waits until so many changes have been in doubt. Some may no longer be: a snapshot may come before the test looks.
async fn wait_for_doubts(scenario: &Scenario, count: usize) {
    let reader = scenario.reader().await;
    scenario
        .wait_until("the changes are in doubt", || async {
            let entries = scenario.audit(&reader).await;
            let doubts = entries.iter().filter(|entry| entry.action == "transition.in_doubt").count();
            if doubts >= count { Ok(()) } else { Err(format!("{doubts} of {count}")) }
        })
        .await;
    reader.close().await;
}

fn team(count: usize) -> Setup {
    let mut setup = Setup::team(count);
    setup.speed = 60;
    setup.schedule = Some(around_the_clock(count));
    setup
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_by_seconds_and_by_days_stops_nothing() {
    let scenario = Scenario::start_team(team(6)).await;
    let mut ready = true;
    for by in [5, -5, 30, -30, 3600, -3600, DAY, -DAY, -DAY, DAY] {
        scenario.clocks.set_by(by);
        let taken = scenario.request_change(&agent_ids(6), if ready { "Ready" } else { "NotReady" }).await;
        let asked_at = scenario.clock.now();
        scenario.wait_for_all(&taken, "confirmed").await;
        let took = scenario.clock.now().since(asked_at);
        assert!(took < Duration::from_secs(120), "after a setting by {by} s it took {took:?}");
        ready = !ready;
    }
    assert_eq!(scenario.sim.counts(&scenario.tenant).applied_changes, 60);
    assert!(clock_set_entries(&scenario).await >= 8, "each setting but the small ones is said");
    scenario.wait_for_readiness("ready").await;
    scenario.assert_within_budget(100);
    scenario.assert_nothing_left_over().await;
}

/// A lost answer is the case in which a clock that is set could send a change twice or keep it for ever.
async fn lost_answers_while_the_clock_is_set(by: i64, applied: bool, dialect: Dialect) {
    // Slow enough that most are in doubt when the clock is set: the next snapshot settles those that were applied.
    let scenario = Scenario::start_team(Setup { speed: 15, ..team(6).on(dialect) }).await;
    let fault = if applied { "lost_answer:on=state,count=6" } else { "reset_before:on=state,count=6" };
    scenario.add_fault(fault);
    let taken = scenario.request_change(&agent_ids(6), "Ready").await;
    wait_for_doubts(&scenario, taken.len()).await;
    let doubted_at = scenario.clock.now();
    scenario.clocks.set_by(by);
    for one in &taken {
        scenario.wait_for_status(one, "confirmed").await;
    }
    // A request timeout, two intervals, the pause of a retry, and confirmation.
    let took = scenario.clock.now().since(doubted_at);
    assert!(took < Duration::from_secs(240), "after a setting by {by} s it took {took:?}");
    assert_eq!(scenario.sim.counts(&scenario.tenant).applied_changes, 6, "each was applied once");
    assert_eq!(clock_set_entries(&scenario).await, 1);
    scenario.assert_nothing_left_over().await;
}

async fn what_is_in_doubt_is_not_sent_twice_when_the_clock_is_set_forward(dialect: Dialect) {
    lost_answers_while_the_clock_is_set(DAY, true, dialect).await;
    lost_answers_while_the_clock_is_set(3600, false, dialect).await;
}

async fn what_is_in_doubt_does_not_wait_for_a_clock_that_was_set_back(dialect: Dialect) {
    lost_answers_while_the_clock_is_set(-DAY, true, dialect).await;
    lost_answers_while_the_clock_is_set(-3600, false, dialect).await;
}

async fn what_is_in_doubt_survives_a_restart_on_another_clock(dialect: Dialect) {
    for by in [3600, -3600] {
        let mut scenario = Scenario::start_team(team(6).on(dialect)).await;
        scenario.add_fault("reset_before:on=state,count=6");
        let taken = scenario.request_change(&agent_ids(6), "Ready").await;
        wait_for_doubts(&scenario, taken.len()).await;
        let doubted_at = scenario.clock.now();
        scenario.kill_daemon().await;
        scenario.clocks.set_by(by);
        scenario.start_daemon().await;
        for one in &taken {
            scenario.wait_for_status(one, "confirmed").await;
        }
        let first_again = scenario.posts_for("u_0001").last().expect("a POST").at.since(doubted_at);
        assert!(first_again >= INTERVAL, "after a setting by {by} s it was sent again after {first_again:?}");
        assert_eq!(scenario.sim.counts(&scenario.tenant).applied_changes, 6);
        assert_eq!(clock_set_entries(&scenario).await, 1);
        scenario.assert_nothing_left_over().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_brings_no_warning_about_a_subscription_and_no_new_one() {
    let mut scenario = Scenario::start_team(team(4)).await;
    let polls = |scenario: &Scenario| scenario.polls().iter().map(|(_, at)| at.len()).sum::<usize>();
    for (by, seen) in [-3600, 3600, DAY, -DAY].into_iter().flat_map(|by| [(by, true), (by, false)]) {
        if seen {
            scenario.clocks.set_by(by);
        } else {
            scenario.kill_daemon().await;
            scenario.clocks.set_by(by);
            scenario.start_daemon().await;
        }
        let before = polls(&scenario);
        scenario
            .wait_until("the subscription is polled again", || async {
                let found = polls(&scenario);
                if found >= before + 3 { Ok(()) } else { Err(format!("{found} polls, {before} before")) }
            })
            .await;
        let reader = scenario.reader().await;
        let warned = scenario.events(&reader).await.iter().any(|event| event.kind == EventKind::SubscriptionNearExpiry);
        assert!(!warned, "set by {by} s (seen: {seen}): a false warning");
        let made: Vec<_> = scenario.polls().into_iter().map(|(id, _)| id).collect();
        assert_eq!(made.len(), 1, "set by {by} s (seen: {seen}): {made:?}");
    }
    scenario.assert_nothing_left_over().await;
}

/// Who is not ready for two minutes while work is planned is made ready.
const BACK: &str = r#"
[[rules]]
id = "back"
when = { planned = "work", state = ["NotReady", "Paused"], for = "2m" }
then = { set_state = "Ready" }
mode = "enforce"
cooldown = "5m"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn rules_wait_as_long_as_they_say_whatever_the_clock_is_set_to() {
    // Set by this number of seconds while the daemon runs, and while it does not.
    let settings = [(DAY, true), (-DAY, true), (-3600, true), (3600, false), (-DAY, false), (DAY, false)];
    let team_of = agent_ids(settings.len());
    let mut setup = team(team_of.len());
    setup.rules = BACK;
    let mut scenario = Scenario::start_team(setup).await;
    scenario
        .wait_until("everyone is ready", || async {
            let all = team_of.iter().all(|agent| scenario.state_of(agent) == SimState::Available);
            if all { Ok(()) } else { Err(String::new()) }
        })
        .await;
    scenario.wait_until_settled().await;
    // Longer than the cooldown, and than a taking back that would count as a reversal.
    scenario.let_time_pass(Duration::from_secs(11 * 60)).await;
    for ((by, seen), agent) in settings.into_iter().zip(&team_of) {
        let posts = scenario.posts_for(agent).len();
        scenario.set_agent_state(agent, SimState::Paused);
        let paused_at = scenario.clock.now();
        scenario.let_time_pass(Duration::from_secs(30)).await;
        if seen {
            scenario.clocks.set_by(by);
        } else {
            scenario.stop_daemon().await;
            scenario.clocks.set_by(by);
            scenario.start_daemon().await;
        }
        let post = scenario
            .wait_until("the rule acts again", || async {
                let post = scenario.posts_for(agent).get(posts).cloned();
                let reader = scenario.reader().await;
                let told = scenario.audit(&reader).await;
                post.ok_or_else(|| format!("{by}, {seen}: {:?}", told.iter().rev().take(4).collect::<Vec<_>>()))
            })
            .await;
        let waited = post.at.since(paused_at);
        let due = Duration::from_secs(115)..Duration::from_secs(240);
        assert!(due.contains(&waited), "set by {by} s (seen: {seen}): the rule acted {waited:?} after the pause began");
    }
    scenario.assert_nothing_left_over().await;
}

async fn a_host_that_slept_for_eight_hours_catches_up(dialect: Dialect) {
    let scenario = Scenario::start_team(team(6).on(dialect)).await;
    scenario.add_fault("reset_before:on=state,count=3");
    let taken = scenario.request_change(&agent_ids(6), "Ready").await;
    scenario
        .wait_until("three are in doubt", || async {
            let mut doubts = 0;
            for one in &taken {
                doubts += usize::from(scenario.transition(one).await["status"] == "in_doubt");
            }
            if doubts == 3 { Ok(()) } else { Err(format!("{doubts}")) }
        })
        .await;
    scenario.clocks.sleep_host(Duration::from_secs(8 * 3600));
    let woke_at = scenario.clock.now();
    // The token expired long ago, which only the platform can say; the subscription continues.
    for one in &taken {
        scenario.wait_for_status(one, "confirmed").await;
    }
    for one in &scenario.request_change(&agent_ids(6), "NotReady").await {
        scenario.wait_for_status(one, "confirmed").await;
    }
    let took = scenario.clock.now().since(woke_at);
    assert!(took < Duration::from_secs(240), "it took {took:?} after the host woke");
    assert_eq!(scenario.sim.counts(&scenario.tenant).applied_changes, 12);
    assert_eq!(clock_set_entries(&scenario).await, 0, "time that passed is no setting");
    scenario.wait_for_readiness("ready").await;
    scenario.assert_within_budget(100);
    scenario.assert_nothing_left_over().await;
}
