//! A reason that is named for an agent who is in the state already.

use super::desk::{Desk, Told};
use crate::domain::agents::state::AgentState::Ready;
use crate::domain::changes::transition::Status;

#[tokio::test]
async fn a_named_reason_is_sent_to_whoever_is_in_the_state_by_choice_alone_also_after_a_crash() {
    for (crashes, even_if_in_state) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut desk = Desk::of(&["u_1"]).await;
        desk.see(99, &[("u_1", Ready, 98)]).await;
        // Nothing leaves before the platform has been asked.
        desk.forget_what_the_platform_said("u_1");
        desk.go_to(100);
        desk.tell(Told::Accept);
        let taken = desk.ask_with("u_1", Ready, Some("WORKING"), even_if_in_state).await;
        assert_eq!(taken.note.is_some(), !even_if_in_state, "{taken:?}");
        let id = taken.id.expect("an id");
        if crashes {
            desk.crash().await;
        } else {
            desk.let_all_be_scheduled();
        }
        desk.see(110, &[("u_1", Ready, 98)]).await;
        let why = format!("crashes: {crashes}, even if in state: {even_if_in_state}");
        if even_if_in_state {
            desk.take_answer().await;
            assert!(matches!(desk.status(id).await, Status::Accepted { .. }), "{why}");
        } else {
            assert!(matches!(desk.status(id).await, Status::Confirmed { .. }), "{why}");
        }
    }
}
