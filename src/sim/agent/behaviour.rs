//! The behaviour of agents: how late they come, how long they talk, whether they forget their breaks. All figures are
//! made up, so that an hour holds some of everything; none is measured.

use std::time::Duration;

use super::{Agent, BehaviourSettings, ChangeCause, ContactStep, Intention, StateChange};
use crate::domain::time::UtcMicros;
use crate::sim::calendar::{Activity, Phase, Span};
use crate::sim::state::SimState;

/// How much too early an agent may return without being sent away again.
const EARLY_RETURN: Duration = Duration::from_secs(90);

impl Agent {
    /// Sets the timers for the state and the schedule, as if the agent had just entered the state.
    pub(in crate::sim) fn reset_timers(&mut self, now: UtcMicros) {
        let span = self.profile.calendar.span_at(now);
        self.next_schedule_edge = span.until;
        self.intention = None;
        self.next_contact_step = None;
        match self.state {
            SimState::LoggedOut => {
                if span.phase != Phase::Off {
                    self.set_intention(now + self.random.seconds(30, 600), Intention::LogIn);
                }
            }
            SimState::Available | SimState::OnContact | SimState::Acw => {
                self.plan_contact_step(now);
                if span.phase == Phase::Off {
                    self.set_intention(now + self.random.seconds(600, 1800), Intention::LogOut);
                }
            }
            SimState::Unavailable | SimState::Paused | SimState::Idle => self.plan_return(span, now),
        }
    }

    pub(super) fn set_intention(&mut self, at: UtcMicros, intention: Intention) {
        self.intention = Some((at, intention));
    }

    /// Plans the return of an agent that is away: some a little early, most in time, some late, and some much later.
    fn plan_return(&mut self, span: Span, now: UtcMicros) {
        let (at, intention) = match span.phase {
            Phase::Work => (now + self.random.seconds(600, 1800), Intention::GetReady),
            Phase::Off => (now + self.random.seconds(60, 900), Intention::LogOut),
            Phase::In(Activity::Away) => (span.until + self.random.seconds(0, 60), Intention::GetReady),
            Phase::In(Activity::Rest { .. }) if self.random.chance(0.12) => {
                (span.until - self.random.seconds(0, 60), Intention::GetReady)
            }
            Phase::In(Activity::Rest { .. }) => {
                let late = match self.random.pick(&[0_u8, 0, 0, 1, 1, 2]) {
                    Some(0) => self.random.seconds(0, 50),
                    Some(1) => self.random.seconds(150, 720),
                    _ => self.random.seconds(900, 2700),
                };
                (span.until + late, Intention::GetReady)
            }
        };
        self.set_intention(at.max(now + Duration::from_secs(1)), intention);
    }

    pub(super) fn on_schedule_edge(&mut self, now: UtcMicros) {
        let span = self.profile.calendar.span_at(now);
        self.next_schedule_edge = span.until.max(now + Duration::from_secs(1));
        let logged_in = self.state != SimState::LoggedOut;
        match span.phase {
            Phase::Off if logged_in => self.plan_end_of_shift(now),
            Phase::Off => self.intention = None,
            Phase::Work | Phase::In(_) if !logged_in => {
                if self.intention.is_none() {
                    let late = if self.random.chance(0.2) {
                        self.random.seconds(120, 900)
                    } else {
                        self.random.seconds(0, 60)
                    };
                    self.set_intention(now + late, Intention::LogIn);
                }
            }
            // Agents that forgot the break, or are still here from the shift before, keep working.
            Phase::Work => {
                if matches!(self.intention, Some((_, Intention::StepAway | Intention::LogOut))) {
                    self.intention = None;
                }
            }
            Phase::In(_) => {
                let delay = match self.random.pick(&[0_u8, 0, 0, 1, 1, 2]) {
                    Some(0) => Some(self.random.seconds(0, 45)),
                    Some(1) => Some(self.random.seconds(150, 480)),
                    _ => None,
                };
                if let Some(after) = delay {
                    self.set_intention(now + after, Intention::StepAway);
                }
            }
        }
    }

    fn plan_end_of_shift(&mut self, now: UtcMicros) {
        match self.random.pick(&[0_u8, 0, 0, 0, 1, 1, 2]) {
            Some(0) => self.set_intention(now + self.random.seconds(0, 100), Intention::LogOut),
            Some(1) => self.set_intention(now + self.random.seconds(600, 2400), Intention::LogOut),
            _ => self.set_intention(now + self.random.seconds(0, 60), Intention::StepAway),
        }
    }

    pub(super) fn perform(&mut self, intention: Intention, now: UtcMicros) -> Option<StateChange> {
        // An agent acts after the contact, and after wrap-up if another state was requested for then.
        if self.pending.is_some_and(|pending| self.would_wait(pending.through_wrap_up))
            || self.state == SimState::OnContact
        {
            let contact_ends = self.next_contact_step.map_or(now, |(at, _)| at);
            self.set_intention(contact_ends + Duration::from_secs(1), intention);
            return None;
        }
        let span = self.profile.calendar.span_at(now);
        match intention {
            Intention::LogIn => Some(self.log_in(span, now)),
            Intention::GetReady => self.get_ready(span, now),
            Intention::StepAway => {
                let step = self.change_state_if_different(SimState::Unavailable, now);
                self.next_contact_step = None;
                self.plan_return(span, now);
                step
            }
            Intention::LogOut => {
                self.next_contact_step = None;
                self.change_state_if_different(SimState::LoggedOut, now)
            }
            Intention::RevertChange(state) => {
                let step = self.change_state_if_different(state, now);
                self.reset_timers(now);
                step
            }
        }
    }

    fn log_in(&mut self, span: Span, now: UtcMicros) -> StateChange {
        if span.phase == Phase::Work && self.random.chance(0.5) {
            let step = self.change_state(SimState::Available, now, ChangeCause::Agent, None);
            self.plan_contact_step(now);
            return step;
        }
        let step = self.change_state(SimState::Unavailable, now, ChangeCause::Agent, None);
        if span.phase == Phase::Work {
            let late =
                if self.random.chance(0.5) { self.random.seconds(20, 100) } else { self.random.seconds(240, 1200) };
            self.set_intention(now + late, Intention::GetReady);
        } else {
            self.plan_return(span, now);
        }
        step
    }

    fn get_ready(&mut self, span: Span, now: UtcMicros) -> Option<StateChange> {
        match span.phase {
            Phase::Off => {
                self.set_intention(now + self.random.seconds(5, 120), Intention::LogOut);
                None
            }
            Phase::In(_) if span.until.since(now) > EARLY_RETURN => {
                self.plan_return(span, now);
                None
            }
            Phase::Work | Phase::In(_) => {
                let step = self.change_state_if_different(SimState::Available, now);
                self.plan_contact_step(now);
                step
            }
        }
    }

    pub(super) fn advance_contact(
        &mut self,
        step: ContactStep,
        now: UtcMicros,
        behaviour: BehaviourSettings,
    ) -> StateChange {
        if step != ContactStep::ContactArrives && behaviour.own_choice_wins {
            self.pending = None;
        }
        let next = match step {
            ContactStep::WrapUpEnds => {
                return match self.pending {
                    Some(pending) => self.apply_pending_change(pending, now, behaviour),
                    None => self.finish_wrap_up(now),
                };
            }
            ContactStep::ContactArrives => SimState::OnContact,
            ContactStep::ContactEnds => match self.pending {
                Some(pending) if !pending.through_wrap_up => {
                    return self.apply_pending_change(pending, now, behaviour);
                }
                pending => {
                    let wraps_up = self.random.chance(0.9);
                    match pending {
                        Some(pending) if !wraps_up => return self.apply_pending_change(pending, now, behaviour),
                        Some(_) | None if wraps_up => SimState::Acw,
                        Some(_) | None => SimState::Available,
                    }
                }
            },
        };
        let step = self.change_state(next, now, ChangeCause::Contact, None);
        self.plan_contact_step(now);
        step
    }

    fn finish_wrap_up(&mut self, now: UtcMicros) -> StateChange {
        if !self.random.chance(0.08) {
            let step = self.change_state(SimState::Available, now, ChangeCause::Contact, None);
            self.plan_contact_step(now);
            return step;
        }
        // An unplanned pause. The agent forgets what it intended before, such as a break.
        let state = if self.random.chance(0.85) { SimState::Paused } else { SimState::Idle };
        let step = self.change_state(state, now, ChangeCause::Agent, None);
        let length =
            if self.random.chance(0.4) { self.random.seconds(60, 240) } else { self.random.seconds(480, 1800) };
        self.set_intention(now + length, Intention::GetReady);
        step
    }

    fn plan_contact_step(&mut self, now: UtcMicros) {
        if self.state == SimState::Available {
            self.next_skill = self.random.pick(&self.profile.skills).copied();
        }
        self.next_contact_step = match self.state {
            SimState::Available => Some((now + self.random.exponential(70, 4, 400), ContactStep::ContactArrives)),
            SimState::OnContact => Some((now + self.random.exponential(180, 15, 1200), ContactStep::ContactEnds)),
            SimState::Acw => {
                let length =
                    if self.random.chance(0.2) { self.random.seconds(300, 1200) } else { self.random.seconds(10, 90) };
                Some((now + length, ContactStep::WrapUpEnds))
            }
            SimState::Unavailable | SimState::Paused | SimState::Idle | SimState::LoggedOut => None,
        };
    }

    fn change_state_if_different(&mut self, to: SimState, now: UtcMicros) -> Option<StateChange> {
        (self.state != to).then(|| self.change_state(to, now, ChangeCause::Agent, None))
    }
}
