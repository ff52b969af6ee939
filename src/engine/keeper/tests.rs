//! The life of an accepted and of a doubtful change, pass by pass.

mod clock_set;
mod feed;
mod harness;
mod interleavings;
mod observation_gap;
mod observed_span;
mod pending;
mod publish;
mod reasons;
mod unobserved;

use std::time::Duration;

use self::harness::{INTERVAL, KeeperHarness, ScriptedResponse, TIMEOUT, at};
use super::Arrival;
use super::pass::Pass;
use crate::domain::agents::roster::AgentRecord;
use crate::domain::agents::state::AgentState::{self, Idle, NotReady, OnContact, Paused, Ready};
use crate::domain::changes::policy::PlatformPlan;
use crate::domain::changes::transition::{TransitionStatus, WaitReason};
use crate::domain::ids::{RuleId, TransitionId};
use crate::domain::webhooks::event::EventKind;
use crate::platform::Failure;
use crate::store::{HistoryRow, StoredEvent};

/// What history tells of an agent, without who did it.
fn history_states(rows: &[HistoryRow]) -> Vec<(AgentState, i64)> {
    rows.iter().map(|row| (row.state.clone(), row.entered_at.as_micros() - at(0).as_micros())).collect()
}

fn states_set_by(rows: &[HistoryRow], id: TransitionId) -> Vec<AgentState> {
    rows.iter().filter(|row| row.transition == Some(id)).map(|row| row.state.clone()).collect()
}

/// The agent's counted not-ready time, in seconds.
async fn not_ready_s(harness: &KeeperHarness) -> u64 {
    let counters = harness.store.reader().counters(&"acme".into()).await.expect("readable");
    counters.first().map_or(0, |counters| counters.not_ready_us / 1_000_000)
}

#[tokio::test]
async fn an_estimate_is_settled_after_a_crash_as_without_one() {
    let mut outcomes = Vec::new();
    for crashes in [false, true] {
        let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
        harness.observe(99, &[("u_1", NotReady, 98)]).await;
        harness.advance_to_second(100);
        let id = harness.request_accepted_change("u_1", Paused).await;
        if crashes {
            harness.crash().await;
        }
        // The platform's instant jitters to before the state that was left.
        harness.observe(110, &[("u_1", Paused, 97)]).await;
        harness.observe(200, &[("u_1", Ready, 198)]).await;
        let rows = harness.history("u_1").await;
        assert_eq!(states_set_by(&rows, id), [Paused]);
        assert_eq!(history_states(&rows)[0].0, NotReady, "no change stands before the one that it followed");
        outcomes.push((history_states(&rows), not_ready_s(&harness).await));
    }
    assert_eq!(outcomes[0], outcomes[1], "without and with a crash");
}

#[tokio::test]
async fn a_disproved_estimate_is_removed_after_a_crash_as_without_one() {
    let mut outcomes = Vec::new();
    for crashes in [false, true] {
        let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
        harness.observe(50, &[("u_1", NotReady, 0)]).await;
        harness.advance_to_second(100);
        let id = harness.request_accepted_change("u_1", Ready).await;
        if crashes {
            harness.crash().await;
        }
        for second in [110, 120, 130] {
            // Within the jitter of the instant that was seen before.
            harness.observe(second, &[("u_1", NotReady, 1)]).await;
        }
        assert_eq!(harness.status(id).await.name(), "unconfirmed");
        harness.observe(200, &[("u_1", Ready, 200)]).await;
        outcomes.push((history_states(&harness.history("u_1").await), not_ready_s(&harness).await));
    }
    assert_eq!(outcomes[0].1, 200, "the stay is counted once");
    assert_eq!(outcomes[0], outcomes[1], "without and with a crash");
}

#[tokio::test]
async fn what_a_person_set_is_known_as_such_until_the_agent_leaves_it_also_after_a_crash() {
    for crashes in [false, true] {
        let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
        harness.observe(99, &[("u_1", Ready, 98)]).await;
        harness.advance_to_second(100);
        harness.request_accepted_change("u_1", NotReady).await;
        if crashes {
            harness.crash().await;
        }
        assert!(harness.is_by_person("u_1"), "by the answer, crashes: {crashes}");
        harness.observe(110, &[("u_1", NotReady, 101)]).await;
        if crashes {
            harness.crash().await;
        }
        assert!(harness.is_by_person("u_1"), "by the snapshot that settles it, crashes: {crashes}");
        harness.observe(120, &[("u_1", Ready, 115)]).await;
        assert!(!harness.is_by_person("u_1"), "the agent went on");
        let by_person: Vec<_> = harness.history("u_1").await.into_iter().map(|row| row.by_person).collect();
        assert_eq!(by_person, [false, true, false]);
    }
}

#[tokio::test]
async fn a_doubted_row_next_to_an_accepted_change_is_no_interval_if_it_is_the_previous_one() {
    let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
    harness.observe(99, &[("u_1", Ready, 50)]).await;
    harness.advance_to_second(107);
    harness.request_accepted_change("u_1", Paused).await;
    harness.observe(110, &[("u_1", Ready, 50)]).await;
    harness.observe(130, &[("u_1", Paused, 120)]).await;
    assert_eq!(history_states(&harness.history("u_1").await), [(Ready, 50_000_000), (Paused, 120_000_000)]);
}

#[tokio::test]
async fn a_doubt_after_a_crash_is_judged_by_the_state_before_the_send() {
    let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
    harness.observe(50, &[("u_1", NotReady, 0)]).await;
    harness.advance_to_second(100);
    let id = harness.request_change("u_1", Ready).await.id.expect("an id");
    harness.observe(105, &[("u_1", Ready, 101)]).await;
    assert_eq!(harness.status(id).await.name(), "sending");
    harness.crash().await;
    harness.observe(150, &[("u_1", OnContact, 104)]).await;
    assert_eq!(harness.status(id).await.name(), "confirmed", "only an agent who was made ready gets a contact");
}

#[tokio::test]
async fn a_change_that_a_row_shows_is_shown_once_also_after_a_crash() {
    let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
    harness.observe(50, &[("u_1", NotReady, 0)]).await;
    harness.advance_to_second(100);
    let id = harness.request_change("u_1", Paused).await.id.expect("an id");
    harness.observe(102, &[("u_1", Paused, 101)]).await;
    harness.observe(110, &[("u_1", Idle, 109)]).await;
    harness.crash().await;
    harness.observe(120, &[("u_1", Paused, 119)]).await;
    assert_eq!(states_set_by(&harness.history("u_1").await, id), [Paused], "the second time is the agent's own doing");
}

#[tokio::test]
async fn an_accepted_change_to_the_state_that_was_seen_has_its_row_when_the_agent_had_left_it() {
    // The snapshot after the answer, and the snapshot before it.
    for snapshot_first in [false, true] {
        let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
        harness.observe(50, &[("u_1", Paused, 0)]).await;
        harness.advance_to_second(100);
        harness.script_response(ScriptedResponse::Accept);
        let id = harness.request_change("u_1", Paused).await.id.expect("an id");
        harness.advance_to_second(101);
        if snapshot_first {
            harness.observe(101, &[("u_1", Paused, 100)]).await;
            harness.complete_next_change().await;
        } else {
            harness.complete_next_change().await;
        }
        harness.observe(110, &[("u_1", Paused, 100)]).await;
        assert_eq!(harness.status(id).await.name(), "confirmed");
        let rows = harness.history("u_1").await;
        assert_eq!(history_states(&rows), [(Paused, 0), (Paused, 100_000_000)], "the snapshot first: {snapshot_first}");
        assert_eq!(rows[1].transition, Some(id), "the snapshot first: {snapshot_first}");
    }
}

#[tokio::test]
async fn an_accepted_change_that_changed_nothing_has_no_row() {
    let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
    harness.observe(50, &[("u_1", Paused, 0)]).await;
    harness.advance_to_second(100);
    let id = harness.request_accepted_change("u_1", Paused).await;
    harness.observe(110, &[("u_1", Paused, 0)]).await;
    assert_eq!(harness.status(id).await.name(), "confirmed");
    let rows = harness.history("u_1").await;
    assert_eq!(
        (history_states(&rows), rows[0].transition),
        (vec![(Paused, 0)], None),
        "the state is the agent's own doing"
    );
}

#[tokio::test]
async fn three_snapshots_without_the_agent_end_what_is_accepted() {
    let mut harness = KeeperHarness::with_agents(&["u_1", "u_2"]).await;
    harness.observe(50, &[("u_1", NotReady, 0), ("u_2", NotReady, 0)]).await;
    harness.advance_to_second(100);
    let id = harness.request_accepted_change("u_1", Paused).await;
    for (second, expected) in [(105, "accepted"), (106, "accepted"), (107, "unconfirmed")] {
        harness.observe(second, &[("u_2", NotReady, 0)]).await;
        assert_eq!(harness.status(id).await.name(), expected, "after the snapshot of second {second}");
    }
}

#[tokio::test]
async fn three_intervals_without_a_snapshot_end_what_is_accepted_and_not_what_is_in_doubt() {
    let mut harness = KeeperHarness::with_agents(&["u_1", "u_2"]).await;
    harness.observe(50, &[("u_1", NotReady, 0), ("u_2", NotReady, 0)]).await;
    harness.advance_to_second(100);
    let accepted = harness.request_accepted_change("u_1", Paused).await;
    harness.script_response(ScriptedResponse::Fail(Failure::Timeout));
    let doubtful = harness.request_change("u_2", Paused).await.id.expect("an id");
    harness.complete_next_change().await;
    let statuses =
        async |harness: &KeeperHarness| (harness.status(accepted).await.name(), harness.status(doubtful).await.name());
    // The third interval's snapshot may take the time limit of a request to arrive.
    harness.advance_to_second(135);
    harness.pass().await;
    assert_eq!(statuses(&harness).await, ("accepted", "in_doubt"));
    harness.advance_to_second(136);
    harness.pass().await;
    assert_eq!(statuses(&harness).await, ("unconfirmed", "in_doubt"), "nobody looked: the doubt waits for sight");
    harness.advance_to_second(100 + 15 + 15 * 60);
    harness.pass().await;
    assert_eq!(statuses(&harness).await.1, "in_doubt");
    harness.advance_to_second(100 + 15 + 15 * 60 + 1);
    harness.pass().await;
    assert_eq!(statuses(&harness).await.1, "unconfirmed", "and not for ever");
}

#[tokio::test]
async fn three_readable_snapshots_without_the_agent_end_a_doubt() {
    let mut harness = KeeperHarness::with_agents(&["u_1", "u_2"]).await;
    harness.observe(50, &[("u_1", NotReady, 0), ("u_2", NotReady, 0)]).await;
    harness.advance_to_second(100);
    harness.script_response(ScriptedResponse::Fail(Failure::Timeout));
    let id = harness.request_change("u_1", Paused).await.id.expect("an id");
    harness.complete_next_change().await;
    for (second, expected) in [
        (105, "in_doubt"),
        (110, "in_doubt"),
        (115, "in_doubt"),
        (120, "in_doubt"),
        (130, "in_doubt"),
        (140, "unconfirmed"),
    ] {
        harness.observe(second, &[("u_2", NotReady, 0)]).await;
        assert_eq!(harness.status(id).await.name(), expected, "after the snapshot of second {second}");
    }
}

#[tokio::test]
async fn a_doubt_is_readable_one_time_limit_and_one_interval_after_the_send() {
    let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
    harness.observe(50, &[("u_1", NotReady, 0)]).await;
    harness.advance_to_second(100);
    harness.script_response(ScriptedResponse::Fail(Failure::Timeout));
    let id = harness.request_change("u_1", Paused).await.id.expect("an id");
    // The POST leaves now; that no answer came is known a time limit later.
    tokio::task::yield_now().await;
    harness.advance_to_second(105);
    harness.complete_next_change().await;
    let expected = at(100) + TIMEOUT + INTERVAL;
    assert_eq!(harness.status(id).await, TransitionStatus::InDoubt { sent_at: at(100), readable_after: expected });
}

#[tokio::test]
async fn each_subscription_is_as_fresh_as_its_own_snapshots() {
    let mut harness = KeeperHarness::with_agents(&["u_1", "u_2", "u_3"]).await;
    let first = || vec!["u_1".into(), "u_2".into()];
    let second = || vec!["u_3".into()];
    let stale = |events: &[StoredEvent]| events.iter().filter(|event| event.kind == EventKind::PictureStale).count();
    for now in [10, 20] {
        harness.observe_subscription(0, now, &[("u_1", NotReady, 0), ("u_2", NotReady, 0)], first()).await;
        harness.observe_subscription(1, now, &[("u_3", NotReady, 0)], second()).await;
    }
    for now in [30, 40, 50] {
        harness.observe_subscription(0, now, &[("u_1", NotReady, 0), ("u_2", NotReady, 0)], first()).await;
    }
    assert_eq!(stale(&harness.events().await), 0, "the second is 30 s old");
    assert!(harness.readiness_detail().is_none());
    harness.observe_subscription(0, 60, &[("u_1", NotReady, 0), ("u_2", NotReady, 0)], first()).await;
    assert_eq!(stale(&harness.events().await), 1, "the second is 40 s old, whatever the first shows");
    assert!(
        harness.readiness_detail().is_some_and(|detail| detail.contains("40 s")),
        "{:?}",
        harness.readiness_detail()
    );
    harness.observe_subscription(1, 61, &[("u_3", NotReady, 0)], second()).await;
    assert!(harness.readiness_detail().is_none(), "{:?}", harness.readiness_detail());
    assert_eq!(stale(&harness.events().await), 1);
}

#[tokio::test]
async fn while_automation_is_halted_a_persons_change_waits_and_says_why_and_the_first_in_line_is_the_probe() {
    let mut harness = KeeperHarness::with_agents(&["u_1", "u_2", "u_3", "u_4", "u_5"]).await;
    for (second, agent) in [(1, "u_1"), (2, "u_2"), (3, "u_3")] {
        harness.advance_to_second(second);
        for _ in 0..3 {
            harness.script_response(ScriptedResponse::Fail(Failure::NotSent { reason: "refused".to_owned() }));
        }
        harness.request_change(agent, Paused).await;
    }
    for second in [3, 7, 11] {
        harness.advance_to_second(second);
        harness.pass().await;
        while !harness.keeper.state_change_tasks.is_empty() {
            harness.complete_next_change().await;
        }
    }
    let halted = harness.request_change("u_4", Paused).await;
    let error = halted.error.as_deref();
    assert_eq!((halted.status.as_str(), error), ("waiting", Some("waits for automation, which is halted, to resume")));
    harness.advance_to_second(42);
    harness.script_response(ScriptedResponse::Accept);
    harness.pass().await;
    assert_eq!(harness.keeper.state_change_tasks.len(), 1, "one probe");
    harness.complete_next_change().await;
    assert_eq!(harness.history("u_1").await.len(), 1, "the oldest of the most urgent was the probe");
    assert_eq!(harness.keeper.state_change_tasks.len(), 3, "and the others follow");
}

const HOUR_US: i64 = 3_600_000_000;

/// Settings of the clock, from what an estimate of two clocks may be off by to days.
const CLOCK_CHANGES_US: [i64; 8] =
    [5_170_000, -5_170_000, 60_000_000, -60_000_000, HOUR_US, -HOUR_US, 24 * HOUR_US, -24 * HOUR_US];

#[tokio::test]
async fn an_interval_keeps_one_row_and_its_length_when_the_clock_is_set() {
    for (by_us, seen) in CLOCK_CHANGES_US.into_iter().flat_map(|by_us| [(by_us, true), (by_us, false)]) {
        let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
        harness.observe(50, &[("u_1", Paused, 0)]).await;
        harness.observe(110, &[("u_1", NotReady, 100)]).await;
        harness.set_clock(by_us);
        // With the daemon running, and while none ran.
        if seen {
            harness.pass().await;
            assert_eq!(harness.state_since("u_1"), 100, "set by {by_us}, before any sight");
        } else {
            harness.crash().await;
        }
        harness.observe(120, &[("u_1", NotReady, 100)]).await;
        assert_eq!(harness.state_since("u_1"), 100, "set by {by_us}, seen: {seen}");
        assert_eq!(harness.history("u_1").await.len(), 2, "set by {by_us}, seen: {seen}");
        harness.crash().await;
        harness.observe(130, &[("u_1", NotReady, 100)]).await;
        assert_eq!(harness.state_since("u_1"), 100, "set by {by_us}, seen: {seen}, after another crash");
        harness.observe(140, &[("u_1", Paused, 135)]).await;
        assert_eq!(harness.state_since("u_1"), 135, "set by {by_us}, seen: {seen}");
        harness.observe(150, &[("u_1", Paused, 145)]).await;
        assert_eq!(harness.state_since("u_1"), 145, "set by {by_us}, seen: {seen}: entered again");
        let states: Vec<_> =
            history_states(&harness.history("u_1").await).into_iter().map(|(state, _)| state).collect();
        assert_eq!(states, [Paused, NotReady, Paused, Paused], "set by {by_us}, seen: {seen}");
    }
}

/// What is seen wins within three snapshots, whatever the clock was set to.
#[tokio::test]
async fn an_accepted_change_does_not_block_later_observations_when_the_clock_is_set() {
    use AgentState::{NotReady, OnContact, Paused, Ready};
    for by_us in CLOCK_CHANGES_US {
        for crashes in [false, true] {
            let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
            harness.observe(10, &[("u_1", NotReady, 0)]).await;
            harness.observe(20, &[("u_1", Paused, 15)]).await;
            harness.advance_to_second(22);
            harness.request_accepted_change("u_1", Ready).await;
            harness.set_clock(by_us);
            if crashes {
                harness.crash().await;
            } else {
                harness.pass().await;
            }
            harness.observe(30, &[("u_1", Paused, 15)]).await;
            for (second, state, since) in [(40, OnContact, 32), (50, NotReady, 45), (60, Paused, 55)] {
                harness.observe(second, &[("u_1", state.clone(), since)]).await;
                let now = harness.keeper.roster.agent("u_1").and_then(|slot| slot.observed()).expect("seen");
                assert_eq!(now.state, state, "set by {by_us}, crashes: {crashes}, at {second}");
            }
        }
    }
}

#[tokio::test]
async fn an_accepted_change_that_never_comes_is_disproved_whatever_the_clock_is_set_to() {
    use AgentState::{NotReady, Paused, Ready};
    for by_us in CLOCK_CHANGES_US {
        for crashes in [false, true] {
            let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
            harness.observe(10, &[("u_1", NotReady, 0)]).await;
            harness.observe(20, &[("u_1", Paused, 15)]).await;
            harness.advance_to_second(22);
            harness.request_accepted_change("u_1", Ready).await;
            harness.set_clock(by_us);
            if crashes {
                harness.crash().await;
            }
            for second in [30, 40, 50] {
                harness.observe(second, &[("u_1", Paused, 15)]).await;
            }
            let now = harness.keeper.roster.agent("u_1").and_then(|slot| slot.observed()).expect("seen");
            assert_eq!(now.state, Paused, "set by {by_us}, crashes: {crashes}");
        }
    }
}

#[tokio::test]
async fn setting_the_platforms_clock_before_a_start_moves_no_interval() {
    // Calls of this start of the host reach back no further.
    for by_us in CLOCK_CHANGES_US.into_iter().filter(|by_us| by_us.abs() <= HOUR_US) {
        let mut harness = KeeperHarness::with_agents(&["u_1", "u_2", "u_3"]).await;
        harness.observe(50, &[("u_1", Paused, 0), ("u_2", Paused, 0), ("u_3", NotReady, 0)]).await;
        // A call that shows whether our own clock was set.
        harness.request_accepted_change("u_3", Paused).await;
        harness.observe(5095, &[("u_1", NotReady, 5090), ("u_2", NotReady, 5091), ("u_3", Paused, 50)]).await;
        harness.receive_feed(5100, &[("u_2", Ready, 0)]).await;
        harness.set_platform_clock(by_us);
        harness.crash().await;
        harness.observe(5120, &[("u_1", Ready, 5110), ("u_2", Ready, 5099), ("u_3", Paused, 50)]).await;
        let since = ["u_1", "u_2", "u_3"].map(|agent| harness.state_since(agent));
        assert_eq!(since, [5110, 5099, 50], "set by {by_us}");
        for (agent, count, began) in [("u_1", 3, 5090), ("u_2", 3, 5091), ("u_3", 2, 50)] {
            let rows = history_states(&harness.history(agent).await);
            assert_eq!((rows.len(), rows[1].1), (count, began * 1_000_000), "{agent}, set by {by_us}: {rows:?}");
        }
    }
}

#[tokio::test]
async fn an_estimate_is_settled_when_the_clock_was_set() {
    for (by_us, seen) in CLOCK_CHANGES_US.into_iter().flat_map(|by_us| [(by_us, true), (by_us, false)]) {
        let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
        harness.observe(99, &[("u_1", NotReady, 90)]).await;
        harness.advance_to_second(100);
        let id = harness.request_accepted_change("u_1", Paused).await;
        harness.set_clock(by_us);
        if seen {
            harness.pass().await;
        } else {
            harness.crash().await;
        }
        harness.observe(110, &[("u_1", Paused, 101)]).await;
        assert_eq!(harness.status(id).await.name(), "confirmed", "set by {by_us}, seen: {seen}");
        assert_eq!(harness.state_since("u_1"), 101, "set by {by_us}, seen: {seen}");
        let rows = harness.history("u_1").await;
        assert_eq!((rows.len(), states_set_by(&rows, id)), (2, vec![Paused]), "set by {by_us}, seen: {seen}");
    }
}

#[tokio::test]
async fn a_change_while_no_daemon_ran_is_seen_whatever_the_clock_was_set_to() {
    for by_us in CLOCK_CHANGES_US {
        for (state, since) in [(Ready, 115), (NotReady, 115)] {
            let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
            harness.observe(50, &[("u_1", Paused, 0)]).await;
            harness.observe(110, &[("u_1", NotReady, 100)]).await;
            harness.set_clock(by_us);
            harness.crash().await;
            harness.observe(120, &[("u_1", state.clone(), since)]).await;
            assert_eq!(harness.state_since("u_1"), since, "{state}, set by {by_us}");
            assert_eq!(harness.history("u_1").await.len(), 3, "{state}, set by {by_us}");
        }
    }
}

#[tokio::test]
async fn a_slot_is_free_a_minute_after_the_answer_however_late_the_keeper_takes_it_in() {
    let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
    harness.observe(99, &[("u_1", NotReady, 90)]).await;
    harness.advance_to_second(100);
    harness.script_response(ScriptedResponse::Accept);
    harness.request_change("u_1", Paused).await;
    let answer = harness.keeper.state_change_tasks.join_next().await.expect("a POST is under way").expect("no panic");
    harness.advance_to_second(130);
    harness.keeper.run_pass(vec![Arrival::StateChangeResult(answer)]).await.expect("a pass");
    let used = |second| harness.keeper.link.budget().used_slots(Duration::from_secs(second));
    assert_eq!((used(159), used(160)), (1, 0));
}

#[tokio::test]
async fn what_automation_remembers_moves_with_the_clock_that_was_set_while_no_daemon_ran() {
    let rule = RuleId::new("back");
    for (by_us, seen) in CLOCK_CHANGES_US.into_iter().flat_map(|by_us| [(by_us, true), (by_us, false)]) {
        let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
        harness.observe(50, &[("u_1", Paused, 0)]).await;
        let index = harness.keeper.roster.find("u_1").expect("known");
        harness.keeper.roster.record_rule_action(index, &rule, 7, false, at(50));
        let mut pass = Pass::new(at(50));
        pass.mark_memory_changed(index, &rule);
        harness.keeper.commit(&mut pass).await.expect("commits");
        harness.advance_to_second(60);
        harness.set_clock(by_us);
        if seen {
            harness.pass().await;
        }
        for second in [70, 80] {
            harness.crash().await;
            harness.observe(second, &[("u_1", Paused, 0)]).await;
            let memory = harness.keeper.roster.agent("u_1").and_then(AgentRecord::memory).expect("remembered");
            let acted_at = memory.last_action(&rule).expect("acted").at;
            assert_eq!(acted_at, at(50).offset(by_us), "set by {by_us}, seen: {seen}, crash before {second}");
        }
    }
}

#[tokio::test]
async fn a_change_accepted_before_the_first_observation_after_a_clock_change_is_understood() {
    for (by_us, crashes) in CLOCK_CHANGES_US.into_iter().flat_map(|by_us| [(by_us, false), (by_us, true)]) {
        let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
        harness.observe(50, &[("u_1", Paused, 0)]).await;
        harness.observe(110, &[("u_1", NotReady, 100)]).await;
        harness.set_clock(by_us);
        harness.crash().await;
        harness.advance_to_second(115);
        let id = harness.request_accepted_change("u_1", Ready).await;
        if crashes {
            harness.crash().await;
        }
        harness.observe(116, &[("u_1", NotReady, 100)]).await;
        harness.observe(126, &[("u_1", Ready, 115)]).await;
        assert_eq!(harness.state_since("u_1"), 115, "set by {by_us}, crashes: {crashes}");
        let rows = harness.history("u_1").await;
        let states: Vec<_> = history_states(&rows).into_iter().map(|(state, _)| state).collect();
        assert_eq!(
            (states, states_set_by(&rows, id)),
            (vec![Paused, NotReady, Ready], vec![Ready]),
            "set by {by_us}, {crashes}"
        );
    }
}

#[tokio::test]
async fn while_the_platform_cannot_be_asked_a_change_waits_until_its_deadline() {
    let open_until = Failure::CircuitOpen { until: at(40) };
    let failures = [
        Failure::Unauthorized,
        Failure::TokenRefused { status: 401, excerpt: "invalid_client".to_owned() },
        Failure::Forbidden { scope: None },
        open_until,
        Failure::NotSent { reason: "refused".to_owned() },
    ];
    let agents = ["u_1", "u_2", "u_3", "u_4", "u_5"];
    let mut harness = KeeperHarness::with_agents(&agents).await;
    let mut requested = Vec::new();
    for (agent, failure) in agents.into_iter().zip(failures) {
        harness.clear_plan_answers(agent);
        let change = harness.request_change(agent, Ready).await;
        assert_eq!(change.status, "waiting", "{change:?}");
        harness.answer_plan_query(agent, Err(failure.clone())).await;
        let id = change.id.expect("an id");
        let expected = TransitionStatus::Waiting { why: WaitReason::PlatformAnswer, until: None };
        assert_eq!(harness.status(id).await, expected, "after {failure:?}");
        requested.push(id);
    }
    // The credentials are mended.
    harness.advance_to_second(60);
    harness.script_response(ScriptedResponse::Accept);
    harness.answer_plan_query("u_2", Ok(PlatformPlan { scheduled: Some(true), break_required: Some(false) })).await;
    harness.complete_next_change().await;
    assert_eq!(harness.status(requested[1]).await.name(), "accepted");
    // Of one that the platform does not know nothing is to be expected.
    harness.answer_plan_query("u_5", Err(Failure::NotFound)).await;
    assert_eq!(harness.status(requested[4]).await.name(), "failed");
    harness.advance_to_second(36_002);
    harness.pass().await;
    for id in [requested[0], requested[2], requested[3]] {
        let expected = TransitionStatus::Expired { waiting_for: Some(WaitReason::PlatformAnswer) };
        assert_eq!(harness.status(id).await, expected);
    }
}
