//! What counts as a rest: which states, how long, and when the plan lets one begin.

use std::time::Duration;

use super::schedule::{AgentPlan, PlanAt};
use crate::domain::agents::agent::ObservedState;
use crate::domain::agents::state::AgentState;
use crate::domain::time::UtcMicros;

/// The least time away from contacts that counts as a rest: the shortest break that schedules plan.
pub const MIN_REST: Duration = Duration::from_mins(5);

/// Whether the state is one away from contacts, as in a break.
pub const fn is_resting(state: &AgentState) -> bool {
    match state {
        AgentState::NotReady | AgentState::Paused | AgentState::Idle | AgentState::LoggedOut => true,
        AgentState::Ready | AgentState::OnContact | AgentState::AfterContactWork | AgentState::Unknown(_) => false,
    }
}

/// Whether a state interval that ended at `left_at` was a rest: away from contacts, at least [`MIN_REST`] long, and not
/// begun in a meeting or training.
pub fn counts_as_rest(plan: &AgentPlan, interval: &ObservedState, left_at: UtcMicros) -> bool {
    is_resting(&interval.state)
        && left_at.since(interval.entered_at) >= MIN_REST
        && can_begin_rest(plan, interval.entered_at)
}

/// Whether a rest can begin at `instant` according to the plan: not in a meeting or training.
pub fn can_begin_rest(plan: &AgentPlan, instant: UtcMicros) -> bool {
    can_rest(plan.at(instant))
}

fn can_rest(planned: PlanAt<'_>) -> bool {
    use super::schedule::Activity::{Break, Lunch, Meeting, Other, Training, Work};
    match planned {
        PlanAt::NotCovered | PlanAt::Off => true,
        PlanAt::In(segment) => match segment.activity {
            Work | Break | Lunch => true,
            Meeting | Training | Other(_) => false,
        },
    }
}
