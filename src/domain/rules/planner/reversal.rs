//! Did an agent take back what automation had set?

use std::time::Duration;

use crate::domain::agents::agent::Observed;
use crate::domain::agents::state::AgentState;
use crate::domain::schedules::schedule::AgentPlan;
use crate::domain::time::UtcMicros;

/// Whether `new` reverses an automatic change that took effect at `set_at` and led to `previous`: within `window`, by the
/// agent's own doing, from working to away or from away to working, while the plan stayed the same.
///
/// Not reversals: a contact that comes and goes, the platform's own `Idle`, logging out (the agent leaves the field), and what
/// the agent does after the next edge of the plan (who comes back at the end of a break follows the plan).
pub fn is_reversal(previous: &Observed, set_at: UtcMicros, new: &Observed, plan: &AgentPlan, window: Duration) -> bool {
    let own_doing = new.transition.is_none() && previous.transition.is_some();
    let in_time = new.entered_at >= set_at && new.entered_at.since(set_at) <= window;
    let same_plan = plan.next_edge(set_at).is_none_or(|edge| new.entered_at < edge);
    own_doing && in_time && same_plan && turns_around(&previous.state, &new.state)
}

fn turns_around(from: &AgentState, to: &AgentState) -> bool {
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
    use crate::domain::agents::agent::Source;
    use crate::domain::ids::TransitionId;
    use crate::domain::schedules::schedule::Shift;

    fn at(minute: i64) -> UtcMicros {
        UtcMicros::from_micros(minute * 60_000_000)
    }

    fn seen(state: AgentState, minute: i64, ours: bool) -> Observed {
        let transition = ours.then_some(TransitionId(Uuid::nil()));
        Observed {
            state,
            reason: None,
            queue: None,
            entered_at: at(minute),
            platform_at: None,
            row_at: at(minute),
            source: Source::Snapshot,
            transition,
            by_person: false,
        }
    }

    #[test]
    fn only_turning_around_soon_and_by_oneself_is_a_reversal() {
        use AgentState::{Idle, LoggedOut, NotReady, OnContact, Paused, Ready};
        let plan = AgentPlan::new(vec![Shift { start: at(0), end: at(108), activities: vec![] }], vec![]);
        let window = Duration::from_mins(10);
        for (from, from_ours, to, to_ours, minute, expected, why) in [
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
            let reversed = is_reversal(&seen(from, 100, from_ours), at(100), &seen(to, minute, to_ours), &plan, window);
            assert_eq!(reversed, expected, "{why}");
        }
        let no_plan = AgentPlan::default();
        for (micros, expected) in [(0, true), (1, false)] {
            let mut new = seen(Paused, 110, false);
            new.entered_at = new.entered_at.offset(micros);
            assert_eq!(
                is_reversal(&seen(Ready, 100, true), at(100), &new, &no_plan, window),
                expected,
                "{micros} µs after"
            );
        }
    }
}
