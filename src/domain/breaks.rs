//! Breaks at an instant: due, running, over, overdue, and how long the agent has worked without one.
//!
//! Facts alone; whether anything is done about them is for the rules.

use std::time::Duration;

use super::agent::Observed;
use super::roster::AgentSlot;
use super::schedule::{AgentPlan, Planned, Segment};
use super::state::AgentState;
use super::time::UtcMicros;

/// A stay away from contacts shorter than this is a pause, not a rest: the shortest break that schedules plan.
pub const SHORTEST_REST: Duration = Duration::from_mins(5);

/// What the plan and the last sight say of an agent's breaks. Break and lunch are breaks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BreakFacts<'a> {
    /// The break that is planned for now, whether the agent takes it or not.
    pub running: Option<&'a Segment>,
    /// The running break must be taken.
    pub mandatory: bool,
    /// A break is planned for now and the agent does not rest: since the break's start.
    pub overdue_since: Option<UtcMicros>,
    /// The planned break came directly before, has ended, and the agent still rests as before its end: since that end.
    pub over_since: Option<UtcMicros>,
    /// When the next break of this shift starts.
    pub next_due_at: Option<UtcMicros>,
    /// Time in the shift since the last rest, or since the shift's start; zero while resting and outside of shifts.
    pub worked: Duration,
}

/// Away from contacts: what an agent in a break is in.
pub const fn is_resting(state: &AgentState) -> bool {
    match state {
        AgentState::NotReady | AgentState::Paused | AgentState::Idle | AgentState::LoggedOut => true,
        AgentState::Ready | AgentState::OnContact | AgentState::AfterContactWork | AgentState::Unknown(_) => false,
    }
}

/// Whether a stay in a state that ended at `left_at` was a rest: away from contacts, at least [`SHORTEST_REST`] long, and not
/// begun in a meeting or training.
pub fn counts_as_rest(plan: &AgentPlan, stay: &Observed, left_at: UtcMicros) -> bool {
    is_resting(&stay.state) && left_at.since(stay.entered_at) >= SHORTEST_REST && may_rest(plan.at(stay.entered_at))
}

fn may_rest(planned: Planned<'_>) -> bool {
    use super::schedule::Activity::{Break, Lunch, Meeting, Other, Training, Work};
    match planned {
        Planned::NotCovered | Planned::Off => true,
        Planned::In(segment) => match segment.activity {
            Work | Break | Lunch => true,
            Meeting | Training | Other(_) => false,
        },
    }
}

impl<'a> BreakFacts<'a> {
    /// The facts of one agent.
    pub fn of(slot: &'a AgentSlot, now: UtcMicros) -> Self {
        let standing = slot.standing(now);
        let segments = slot.plan().segments();
        let running = standing.segment(slot.plan()).filter(|segment| segment.activity.is_rest());
        let resting = slot.observed().is_some_and(|observed| is_resting(&observed.state));
        let shift_end = standing.shift().map(|(_, end)| end);
        let coming = &segments[slot.plan().first_starting_after(now)..];
        let next = coming.iter().take_while(|s| Some(s.shift_end) == shift_end).find(|s| s.activity.is_rest());
        Self {
            running,
            mandatory: standing.mandatory(),
            overdue_since: running.filter(|_| is_overdue(slot, now)).map(|segment| segment.start),
            over_since: over_since(slot, now).filter(|_| resting),
            next_due_at: next.map(|segment| segment.start),
            worked: worked(slot, now),
        }
    }
}

/// A break is planned for now and the agent was seen doing something else than rest.
pub fn is_overdue(slot: &AgentSlot, now: UtcMicros) -> bool {
    slot.standing(now).kind().is_rest()
        && slot.observed().is_some_and(|observed| match observed.state {
            AgentState::Ready | AgentState::OnContact | AgentState::AfterContactWork => true,
            AgentState::NotReady
            | AgentState::Paused
            | AgentState::Idle
            | AgentState::LoggedOut
            | AgentState::Unknown(_) => false,
        })
}

/// When the break that came directly before ended, where the agent rests since before that end.
pub fn over_since(slot: &AgentSlot, now: UtcMicros) -> Option<UtcMicros> {
    let standing = slot.standing(now);
    let ended = standing.since().filter(|_| standing.before().is_rest() && !standing.kind().is_rest())?;
    let observed = slot.observed()?;
    (is_resting(&observed.state) && observed.entered_at < ended && standing.kind().is_in_shift()).then_some(ended)
}

/// Time in the shift since the last rest, or since the shift's start; zero while resting and outside of shifts.
pub fn worked(slot: &AgentSlot, now: UtcMicros) -> Duration {
    let Some((shift_start, _)) = slot.standing(now).shift() else { return Duration::ZERO };
    let Some(observed) = slot.observed() else { return Duration::ZERO };
    if is_resting(&observed.state) && may_rest(slot.plan().at(observed.entered_at)) {
        return Duration::ZERO;
    }
    let since = slot.last_rest_ended_at().map_or(shift_start, |ended| ended.max(shift_start));
    now.since(since)
}
