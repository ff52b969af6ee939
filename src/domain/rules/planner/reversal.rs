//! Detects that an agent has reverted an automatic change.

use std::time::Duration;

use crate::domain::agents::agent::ObservedState;
use crate::domain::agents::state::AgentState;
use crate::domain::schedules::schedule::AgentPlan;
use crate::domain::time::UtcMicros;

/// Whether `new` reverts an automatic change that took effect at `set_at` and led to `previous`.
///
/// It does if it comes within `window`, was made by the agent, leads from working to away or from away to working, and
/// the plan has not changed in between.
///
/// Not counted are the start and end of a contact, the platform's own `Idle`, logging out, and anything after the next
/// boundary of the plan: an agent who comes back at the end of a break follows the plan.
pub fn is_reversal(
    previous: &ObservedState,
    set_at: UtcMicros,
    new: &ObservedState,
    plan: &AgentPlan,
    window: Duration,
) -> bool {
    let by_agent = new.transition.is_none() && previous.transition.is_some();
    let in_time = new.entered_at >= set_at && new.entered_at.since(set_at) <= window;
    let same_plan = plan.next_boundary(set_at).is_none_or(|edge| new.entered_at < edge);
    by_agent && in_time && same_plan && is_opposite_change(&previous.state, &new.state)
}

fn is_opposite_change(from: &AgentState, to: &AgentState) -> bool {
    use AgentState::{AfterContactWork, Idle, LoggedOut, NotReady, OnContact, Paused, Ready, Unknown};
    match to {
        Ready => matches!(from, NotReady | Paused | Idle),
        NotReady | Paused => matches!(from, Ready),
        Idle | LoggedOut | OnContact | AfterContactWork | Unknown(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::agents::agent::ObservationSource;
    use crate::domain::ids::TransitionId;
    use crate::domain::schedules::schedule::Shift;

    fn at(minute: i64) -> UtcMicros {
        UtcMicros::from_micros(minute * 60_000_000)
    }

    fn observed(state: AgentState, minute: i64, ours: bool) -> ObservedState {
        let transition = ours.then_some(TransitionId(Uuid::nil()));
        ObservedState { transition, ..ObservedState::new(state, at(minute), ObservationSource::Snapshot) }
    }

    #[test]
    fn only_turning_around_soon_and_by_oneself_is_a_reversal() {
        use AgentState::{Idle, LoggedOut, NotReady, OnContact, Paused, Ready};
        let plan = AgentPlan::new(vec![Shift { start: at(0), end: at(108), activities: vec![] }], vec![]);
        let window = Duration::from_mins(10);
        for (from, from_ours, to, to_ours, minute, expected, case) in [
            (Ready, true, Paused, false, 101, true, "set ready, paused again"),
            (NotReady, true, Ready, false, 107, true, "set not ready, ready again"),
            (NotReady, true, Ready, false, 108, false, "the shift ended in between"),
            (Ready, true, Paused, false, 99, false, "before the change"),
            (Ready, false, Paused, false, 101, false, "the state before was not ours"),
            (Ready, true, Paused, true, 101, false, "the new state is ours too"),
            (Ready, true, OnContact, false, 101, false, "a contact came"),
            (Ready, true, LoggedOut, false, 101, false, "the agent left"),
            (Ready, true, Idle, false, 101, false, "the platform's own measure"),
            (NotReady, true, Paused, false, 101, false, "away before and after"),
        ] {
            let reversed =
                is_reversal(&observed(from, 100, from_ours), at(100), &observed(to, minute, to_ours), &plan, window);
            assert_eq!(reversed, expected, "{case}");
        }
        let no_plan = AgentPlan::default();
        for (micros, expected) in [(0, true), (1, false)] {
            let mut new = observed(Paused, 110, false);
            new.entered_at = new.entered_at.offset(micros);
            assert_eq!(
                is_reversal(&observed(Ready, 100, true), at(100), &new, &no_plan, window),
                expected,
                "{micros} µs after"
            );
        }
    }
}
