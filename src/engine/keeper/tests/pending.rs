//! Changes that the platform accepts during a contact: they take effect when the contact ends.

use super::harness::{KeeperHarness, ScriptedResponse, at};
use super::{history_states, not_ready_s, states_set_by};
use crate::domain::agents::state::AgentState::{AfterContactWork, Idle, NotReady, OnContact, Paused, Ready};
use crate::domain::changes::policy::OnContact as WhenOnContact;
use crate::domain::changes::transition::Transition;
use crate::domain::ids::TransitionId;
use crate::platform::Failure;

/// A keeper whose agent is on a contact since second 60, with a change to Paused that was accepted at second 100.
async fn with_pending_change() -> (KeeperHarness, TransitionId) {
    let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
    harness.set_on_contact(WhenOnContact::Now);
    harness.observe(99, &[("u_1", OnContact, 60)]).await;
    harness.advance_to_second(100);
    let id = harness.request_accepted_change("u_1", Paused).await;
    (harness, id)
}

#[tokio::test]
async fn a_change_during_a_contact_is_pending_and_confirmed_after_it() {
    for crashes in [false, true] {
        let (mut harness, id) = with_pending_change().await;
        assert_eq!(harness.status(id).await.name(), "pending");
        for second in [110, 120, 130, 140, 150] {
            if crashes {
                harness.crash().await;
            }
            harness.observe(second, &[("u_1", OnContact, 60)]).await;
            assert_eq!(harness.status(id).await.name(), "pending", "at second {second}");
        }
        harness.observe(160, &[("u_1", AfterContactWork, 155)]).await;
        // For a moment the agent is ready.
        harness.observe(170, &[("u_1", Ready, 169)]).await;
        assert_eq!(harness.status(id).await.name(), "pending");
        harness.observe(180, &[("u_1", Paused, 170)]).await;
        assert_eq!(harness.status(id).await.name(), "confirmed");
        let rows = harness.history("u_1").await;
        assert_eq!(
            history_states(&rows),
            [(OnContact, 60_000_000), (AfterContactWork, 155_000_000), (Ready, 169_000_000), (Paused, 170_000_000)]
        );
        assert_eq!(states_set_by(&rows, id), [Paused], "crashes: {crashes}");
    }
}

#[tokio::test]
async fn an_agent_who_chose_another_state_after_the_contact_ends_the_change() {
    let (mut harness, id) = with_pending_change().await;
    for (second, expected) in [(110, "pending"), (120, "pending"), (130, "unconfirmed")] {
        harness.observe(second, &[("u_1", Idle, 105)]).await;
        assert_eq!(harness.status(id).await.name(), expected, "at second {second}");
    }
}

#[tokio::test]
async fn a_contact_that_nobody_had_seen_when_the_change_was_accepted_makes_it_pending() {
    for (before, expected_s) in [(Ready, 22), (NotReady, 104 + 22)] {
        let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
        harness.observe(99, &[("u_1", before.clone(), 0)]).await;
        harness.advance_to_second(107);
        let id = harness.request_accepted_change("u_1", Paused).await;
        assert_eq!(harness.status(id).await.name(), "accepted");
        for second in [110, 120] {
            harness.observe(second, &[("u_1", OnContact, 104)]).await;
            assert_eq!(harness.status(id).await.name(), "pending");
            let rows = harness.history("u_1").await;
            assert_eq!(history_states(&rows), [(before.clone(), 0), (OnContact, 104_000_000)]);
        }
        harness.observe(130, &[("u_1", Paused, 126)]).await;
        assert_eq!(harness.status(id).await.name(), "confirmed");
        let rows = harness.history("u_1").await;
        assert_eq!(history_states(&rows), [(before.clone(), 0), (OnContact, 104_000_000), (Paused, 126_000_000)]);
        assert_eq!(states_set_by(&rows, id), [Paused]);
        harness.observe(148, &[("u_1", Ready, 148)]).await;
        assert_eq!(not_ready_s(&harness).await, expected_s, "after {before}");
    }
}

#[tokio::test]
async fn a_newer_request_replaces_a_pending_change_during_the_contact() {
    let (mut harness, id) = with_pending_change().await;
    // Such a request would otherwise wait for the contact to end.
    harness.set_on_contact(WhenOnContact::After);
    harness.observe(110, &[("u_1", OnContact, 60)]).await;
    let newer = harness.request_accepted_change("u_1", NotReady).await;
    assert_eq!((harness.status(id).await.name(), harness.status(newer).await.name()), ("superseded", "pending"));
    // The same wish again costs no call.
    let same = harness.request_change("u_1", NotReady).await.id.expect("an id");
    assert_eq!(harness.status(same).await.name(), "waiting");
    harness.observe(120, &[("u_1", NotReady, 115)]).await;
    assert_eq!(harness.status(newer).await.name(), "confirmed");
}

#[tokio::test]
async fn cancelling_a_pending_change_requests_the_opposite() {
    let (mut harness, id) = with_pending_change().await;
    harness.script_response(ScriptedResponse::Accept);
    let shown = harness.cancel(id).await.expect("it can be withdrawn");
    let withdrawal: TransitionId =
        serde_json::from_value(shown.explanation[Transition::WITHDRAWN_BY].clone()).expect("the id of the withdrawal");
    assert!(harness.cancel(id).await.is_none(), "it is withdrawn already");
    harness.complete_next_change().await;
    assert_eq!((harness.status(id).await.name(), harness.status(withdrawal).await.name()), ("superseded", "pending"));
    harness.observe(120, &[("u_1", Ready, 118)]).await;
    assert_eq!(harness.status(withdrawal).await.name(), "confirmed");
}

#[tokio::test]
async fn another_contact_shows_that_the_agent_was_made_ready_in_between() {
    let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
    harness.set_on_contact(WhenOnContact::Now);
    harness.observe(99, &[("u_1", OnContact, 60)]).await;
    harness.advance_to_second(100);
    let id = harness.request_accepted_change("u_1", Ready).await;
    for (second, state, since, expected) in
        [(110, OnContact, 60, "pending"), (120, AfterContactWork, 115, "pending"), (130, OnContact, 126, "confirmed")]
    {
        harness.observe(second, &[("u_1", state, since)]).await;
        assert_eq!(harness.status(id).await.name(), expected, "at second {second}");
    }
}

#[tokio::test]
async fn a_withdrawal_that_failed_can_be_requested_again() {
    let (mut harness, id) = with_pending_change().await;
    harness.script_response(ScriptedResponse::Fail(Failure::NotFound));
    harness.cancel(id).await.expect("it can be withdrawn");
    harness.complete_next_change().await;
    assert_eq!(harness.status(id).await.name(), "pending");
    harness.script_response(ScriptedResponse::Accept);
    harness.cancel(id).await.expect("the first withdrawal has ended");
    harness.complete_next_change().await;
    assert_eq!(harness.status(id).await.name(), "superseded");
}

#[tokio::test]
async fn a_pending_change_does_not_wait_for_ever() {
    let (mut harness, id) = with_pending_change().await;
    for (hours, expected) in [(4, "pending"), (5, "unconfirmed")] {
        let second = 99 + hours * 3600;
        harness.advance_to(at(second));
        harness.observe(second, &[("u_1", OnContact, 60)]).await;
        assert_eq!(harness.status(id).await.name(), expected, "after {hours} hours");
    }
}
