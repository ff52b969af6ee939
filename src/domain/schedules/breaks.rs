//! Breaks at an instant: overdue or over, and the time worked without one.
//!
//! This module only states facts; the rules decide what to do about them.

use std::time::Duration;

use super::rest::{can_begin_rest, is_resting};
use crate::domain::agents::roster::AgentRecord;
use crate::domain::time::UtcMicros;

/// Whether a break is planned for now and the agent was observed working.
pub fn is_overdue(slot: &AgentRecord, now: UtcMicros) -> bool {
    slot.plan_position(now).kind().is_rest() && slot.observed().is_some_and(|observed| observed.state.is_working())
}

/// Returns the end of the previous break if the agent has been resting since before that end.
pub fn over_since(slot: &AgentRecord, now: UtcMicros) -> Option<UtcMicros> {
    let standing = slot.plan_position(now);
    let ended = standing.since().filter(|_| standing.previous_kind().is_rest() && !standing.kind().is_rest())?;
    let observed = slot.observed()?;
    (is_resting(&observed.state) && observed.entered_at < ended && standing.kind().is_in_shift()).then_some(ended)
}

/// Returns the time in the shift since the last rest, or since the start of the shift; zero during a rest and outside
/// of shifts.
pub fn worked(slot: &AgentRecord, now: UtcMicros) -> Duration {
    let Some((shift_start, _)) = slot.plan_position(now).shift() else { return Duration::ZERO };
    let Some(observed) = slot.observed() else { return Duration::ZERO };
    if is_resting(&observed.state) && can_begin_rest(slot.plan(), observed.entered_at) {
        return Duration::ZERO;
    }
    let since = slot.last_rest_ended_at().map_or(shift_start, |ended| ended.max(shift_start));
    now.since(since)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::agents::agent::{Agent, ObservationSource, ObservedState};
    use crate::domain::agents::roster::{AgentIndex, Roster};
    use crate::domain::agents::state::AgentState;
    use crate::domain::ids::TenantId;
    use crate::domain::schedules::rest::counts_as_rest;
    use crate::domain::schedules::schedule::{Activity, AgentPlan, Shift, ShiftActivity};

    fn at(minute: i64) -> UtcMicros {
        UtcMicros::from_micros(minute * 60_000_000)
    }

    /// A shift from 0 to 300 with a mandatory lunch at 100, a meeting at 130 and a break at 200.
    fn roster() -> (Roster, AgentIndex) {
        let activity =
            |activity, start, end, mandatory| ShiftActivity { activity, start: at(start), end: at(end), mandatory };
        let activities = vec![
            activity(Activity::Lunch, 100, 130, true),
            activity(Activity::Meeting, 130, 150, false),
            activity(Activity::Break, 200, 215, false),
        ];
        let later =
            Shift { start: at(1000), end: at(1100), activities: vec![activity(Activity::Break, 1050, 1060, false)] };
        let plan = AgentPlan::new(vec![Shift { start: at(0), end: at(300), activities }, later], vec![]);
        let mut roster = Roster::new(TenantId::new("acme"));
        let index = roster.upsert(Agent { id: "a".into(), name: None, team: None, zone: None });
        roster.set_plan(index, Arc::new(plan));
        (roster, index)
    }

    fn enter(roster: &mut Roster, index: AgentIndex, state: AgentState, minute: i64) {
        roster.record_observation(index, state_interval(state, at(minute)), at(minute));
    }

    #[test]
    fn a_break_is_overdue_and_over() {
        use AgentState::{NotReady, OnContact, Paused, Ready};
        // (state, since), now → (overdue, over since)
        for (state, since, now, overdue, over) in [
            (Ready, 0, 99, false, None),
            (Ready, 0, 100, true, None),
            (OnContact, 90, 110, true, None),
            (NotReady, 101, 110, false, None),
            (NotReady, 101, 130, false, Some(130)),
            (NotReady, 201, 214, false, None),
            (NotReady, 201, 230, false, Some(215)),
            (Ready, 214, 230, false, None),
            (Paused, 216, 230, false, None),
            (NotReady, 201, 301, false, None),
        ] {
            let (mut roster, index) = roster();
            enter(&mut roster, index, state.clone(), since);
            let slot = roster.get(index).expect("there");
            let found = (is_overdue(slot, at(now)), over_since(slot, at(now)));
            assert_eq!(found, (overdue, over.map(at)), "{state} since {since} at {now}");
        }
    }

    #[test]
    fn continuous_work_counts_from_the_last_rest_and_pauses_without_a_shift() {
        use AgentState::{NotReady, Ready};
        let (mut roster, index) = roster();
        let worked_at = |roster: &Roster, minute| roster.get(index).map(|slot| worked(slot, at(minute)).as_secs() / 60);
        assert_eq!(worked_at(&roster, 50), Some(0), "never seen");
        enter(&mut roster, index, Ready, -20);
        assert_eq!(worked_at(&roster, 60), Some(60), "not before the shift's start");
        enter(&mut roster, index, NotReady, 60);
        assert_eq!(worked_at(&roster, 62), Some(0), "resting");
        enter(&mut roster, index, Ready, 63);
        assert_eq!(worked_at(&roster, 70), Some(70), "three minutes are no rest");
        enter(&mut roster, index, NotReady, 101);
        enter(&mut roster, index, Ready, 125);
        assert_eq!(worked_at(&roster, 128), Some(3));
        enter(&mut roster, index, NotReady, 131);
        assert_eq!(worked_at(&roster, 149), Some(24), "a meeting is no rest");
        enter(&mut roster, index, Ready, 150);
        assert_eq!(worked_at(&roster, 160), Some(35));
        assert_eq!(worked_at(&roster, 300), Some(0), "the shift is over");
    }

    fn state_interval(state: AgentState, entered_at: UtcMicros) -> ObservedState {
        ObservedState::new(state, entered_at, ObservationSource::Snapshot)
    }

    #[test]
    fn a_rest_is_five_minutes_away_from_contacts_that_did_not_begin_in_a_meeting() {
        use AgentState::{AfterContactWork, Idle, LoggedOut, NotReady, OnContact, Paused, Ready, Unknown};
        let (roster, index) = roster();
        let plan = roster.get(index).expect("there").plan();
        let rests = |state, from, until| counts_as_rest(plan, &state_interval(state, from), until);
        for (state, resting) in [
            (NotReady, true),
            (Paused, true),
            (Idle, true),
            (LoggedOut, true),
            (Ready, false),
            (OnContact, false),
            (AfterContactWork, false),
            (Unknown("coffee".into()), false),
        ] {
            assert_eq!(is_resting(&state), resting, "{state}");
            assert_eq!(rests(state.clone(), at(10), at(15)), resting, "{state}");
        }
        assert!(!rests(NotReady, at(10), at(15).offset(-1)), "a pause");
        for (minute, may, why) in [
            (-10, true, "before the shift"),
            (0, true, "in work"),
            (100, true, "in the lunch"),
            (130, false, "in the meeting"),
            (150, true, "after it"),
            (200, true, "in the break"),
        ] {
            assert_eq!(can_begin_rest(plan, at(minute)), may, "{why}");
            assert_eq!(rests(NotReady, at(minute), at(minute + 10)), may, "{why}");
        }
    }

    #[test]
    fn an_interval_that_begins_as_the_break_ends_is_not_part_of_it() {
        for (since, over) in [(130, None), (129, Some(at(130)))] {
            let (mut roster, index) = roster();
            enter(&mut roster, index, AgentState::NotReady, since);
            assert_eq!(over_since(roster.get(index).expect("there"), at(131)), over, "since {since}");
        }
    }

    #[test]
    fn no_agent_is_overdue_in_an_unknown_state() {
        use AgentState::{AfterContactWork, Idle, LoggedOut, OnContact, Paused, Ready, Unknown};
        for (state, overdue) in [
            (Ready, true),
            (OnContact, true),
            (AfterContactWork, true),
            (Paused, false),
            (Idle, false),
            (LoggedOut, false),
            (Unknown("coffee".into()), false),
        ] {
            let (mut roster, index) = roster();
            enter(&mut roster, index, state.clone(), 0);
            let slot = roster.get(index).expect("there");
            assert_eq!(is_overdue(slot, at(110)), overdue, "{state} in the lunch");
            assert!(!is_overdue(slot, at(140)), "{state} in the meeting");
        }
    }
}
