//! The instants of an open change move once with the clock, however often a keeper is loaded afterwards.

use super::harness::{KeeperHarness, ScriptedResponse};
use super::{CLOCK_CHANGES_US, TIMEOUT};
use crate::clock::Clock as _;
use crate::domain::agents::state::AgentState::{NotReady, Paused};
use crate::domain::changes::transition::TransitionStatus;
use crate::domain::ids::TransitionId;
use crate::platform::Failure;

/// A keeper with one change that the platform accepted, or whose effect is unknown.
async fn with_sent_change(response: ScriptedResponse) -> (KeeperHarness, TransitionId) {
    let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
    harness.observe(99, &[("u_1", NotReady, 90)]).await;
    harness.advance_to_second(100);
    harness.script_response(response);
    let id = harness.request_change("u_1", Paused).await.id.expect("an id");
    harness.complete_next_change().await;
    (harness, id)
}

#[tokio::test]
async fn a_sent_change_moves_once_with_a_clock_that_is_set() {
    for response in [ScriptedResponse::Accept, ScriptedResponse::Fail(Failure::Timeout)] {
        for (by_us, seen) in CLOCK_CHANGES_US.into_iter().flat_map(|by_us| [(by_us, true), (by_us, false)]) {
            let (mut harness, id) = with_sent_change(response.clone()).await;
            let expected = harness.status(id).await.adjusted_for_clock_change(by_us);
            harness.advance_to_second(101);
            harness.set_clock(by_us);
            if seen {
                harness.pass().await;
            }
            for start in 1..=2 {
                harness.advance_to_second(101 + start);
                harness.crash().await;
                assert_eq!(harness.status(id).await, expected, "set by {by_us}, seen: {seen}, start {start}");
            }
            // The clock is set right again while no keeper runs.
            harness.set_clock(-by_us);
            harness.crash().await;
            let expected = expected.adjusted_for_clock_change(-by_us);
            assert_eq!(harness.status(id).await, expected, "set by {by_us} and back, seen: {seen}");
        }
    }
}

#[tokio::test]
async fn a_change_without_an_answer_moves_once_with_a_clock_that_is_set() {
    for (by_us, seen) in CLOCK_CHANGES_US.into_iter().flat_map(|by_us| [(by_us, true), (by_us, false)]) {
        let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
        harness.observe(99, &[("u_1", NotReady, 90)]).await;
        harness.advance_to_second(100);
        let id = harness.request_change("u_1", Paused).await.id.expect("an id");
        let TransitionStatus::Sending { since } = harness.status(id).await else { panic!("it is being sent") };
        harness.set_clock(by_us);
        if seen {
            harness.pass().await;
        }
        let mut found = Vec::new();
        for second in [101, 102] {
            harness.advance_to_second(second);
            harness.crash().await;
            found.push(harness.status(id).await);
        }
        let TransitionStatus::InDoubt { sent_at, .. } = found[0] else { panic!("it is in doubt: {found:?}") };
        assert_eq!(sent_at, since.offset(by_us), "set by {by_us}, seen: {seen}");
        assert_eq!(found[0], found[1], "set by {by_us}, seen: {seen}");
    }
}

/// The call's row has both instants by the clock at the answer.
#[tokio::test]
async fn a_doubt_found_after_the_clock_was_set_moves_with_the_next_setting_only() {
    for by_us in CLOCK_CHANGES_US {
        let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
        harness.observe(99, &[("u_1", NotReady, 90)]).await;
        harness.advance_to_second(100);
        harness.script_response(ScriptedResponse::Fail(Failure::Timeout));
        let id = harness.request_change("u_1", Paused).await.id.expect("an id");
        harness.set_clock(by_us);
        harness.pass().await;
        harness.advance_to(harness.clock.now() + TIMEOUT);
        harness.complete_next_change().await;
        let expected = harness.status(id).await.adjusted_for_clock_change(7_000_000);
        harness.set_clock(7_000_000);
        harness.crash().await;
        assert_eq!(harness.status(id).await, expected, "set by {by_us}");
    }
}
