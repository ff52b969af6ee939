//! A reason that is named for an agent who is in the state already.

use super::harness::{KeeperHarness, ScriptedResponse};
use crate::domain::agents::state::AgentState::Ready;
use crate::domain::changes::policy::{PlatformPlan, RefusedBy};
use crate::domain::changes::transition::TransitionStatus;

#[tokio::test]
async fn a_reason_for_agents_already_in_the_state_is_sent_only_on_request_also_after_a_crash() {
    for (crashes, even_if_in_state) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
        harness.observe(99, &[("u_1", Ready, 98)]).await;
        // Nothing leaves before the platform has been asked.
        harness.clear_plan_answers("u_1");
        harness.advance_to_second(100);
        harness.script_response(ScriptedResponse::Accept);
        let change = harness.request_change_with("u_1", Ready, Some("WORKING"), even_if_in_state).await;
        assert_eq!(change.note.is_some(), !even_if_in_state, "{change:?}");
        let id = change.id.expect("an id");
        if crashes {
            harness.crash().await;
        } else {
            harness.schedule_everyone();
        }
        harness.observe(110, &[("u_1", Ready, 98)]).await;
        let why = format!("crashes: {crashes}, even if in state: {even_if_in_state}");
        if even_if_in_state {
            harness.complete_next_change().await;
            assert!(matches!(harness.status(id).await, TransitionStatus::Accepted { .. }), "{why}");
        } else {
            assert!(matches!(harness.status(id).await, TransitionStatus::Confirmed { .. }), "{why}");
        }
    }
}

#[tokio::test]
async fn a_refusal_says_whose_word_it_rests_on() {
    let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
    harness.clear_plan_answers("u_1");
    let first = harness.request_change("u_1", Ready).await;
    assert_eq!((first.status.as_str(), first.refused_by), ("waiting", None));
    harness.answer_plan_query("u_1", Ok(PlatformPlan { scheduled: Some(false), break_required: None })).await;
    let stored = harness.store.reader().transition(&"acme".into(), first.id.expect("an id")).await;
    let stored = stored.expect("readable").expect("stored").transition;
    assert_eq!(stored.refused_by(), Some(RefusedBy::Platform));
    assert_eq!(stored.explanation["asked_by"], "anna", "what was known stays");
    let again = harness.request_change("u_1", Ready).await;
    assert_eq!((again.status.as_str(), again.refused_by), ("refused", Some(RefusedBy::Platform)));
}
