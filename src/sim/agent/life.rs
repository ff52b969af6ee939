//! What an agent does next: how late it comes, how long it talks, whether it forgets its break. Every figure here is made up
//! so that an hour of a contact centre holds some of everything; none is measured.

use std::time::Duration;

use super::{Agent, Cause, Habits, Intention, Step, Turn};
use crate::domain::time::UtcMicros;
use crate::sim::calendar::{Activity, Phase, Span};
use crate::sim::state::SimState;

/// An agent that comes back this much too early is not sent away again.
const EARLY_RETURN: Duration = Duration::from_secs(90);

impl Agent {
    /// Sets the timers to what fits the state and the schedule, as if the agent had just come into the state.
    pub(in crate::sim) fn settle(&mut self, now: UtcMicros) {
        let span = self.person.calendar.span_at(now);
        self.edge = span.until;
        self.intention = None;
        self.turn = None;
        match self.state {
            SimState::LoggedOut => {
                if span.phase != Phase::Off {
                    self.plan(now + self.dice.seconds(30, 600), Intention::LogIn);
                }
            }
            SimState::Available | SimState::OnContact | SimState::Acw => {
                self.start_turn(now);
                if span.phase == Phase::Off {
                    self.plan(now + self.dice.seconds(600, 1800), Intention::LogOut);
                }
            }
            SimState::Unavailable | SimState::Paused | SimState::Idle => self.plan_return(span, now),
        }
    }

    pub(super) fn plan(&mut self, at: UtcMicros, intention: Intention) {
        self.intention = Some((at, intention));
    }

    /// When an agent that is away means to be back: some a little early, most in time, some late, some not for long.
    fn plan_return(&mut self, span: Span, now: UtcMicros) {
        let (at, intention) = match span.phase {
            Phase::Work => (now + self.dice.seconds(600, 1800), Intention::GetReady),
            Phase::Off => (now + self.dice.seconds(60, 900), Intention::LogOut),
            Phase::In(Activity::Away) => (span.until + self.dice.seconds(0, 60), Intention::GetReady),
            Phase::In(Activity::Rest { .. }) if self.dice.chance(0.12) => {
                (span.until - self.dice.seconds(0, 60), Intention::GetReady)
            }
            Phase::In(Activity::Rest { .. }) => {
                let late = match self.dice.pick(&[0_u8, 0, 0, 1, 1, 2]) {
                    Some(0) => self.dice.seconds(0, 50),
                    Some(1) => self.dice.seconds(150, 720),
                    _ => self.dice.seconds(900, 2700),
                };
                (span.until + late, Intention::GetReady)
            }
        };
        self.plan(at.max(now + Duration::from_secs(1)), intention);
    }

    pub(super) fn meet_edge(&mut self, now: UtcMicros) {
        let span = self.person.calendar.span_at(now);
        self.edge = span.until.max(now + Duration::from_secs(1));
        let there = self.state != SimState::LoggedOut;
        match span.phase {
            Phase::Off if there => self.end_of_shift(now),
            Phase::Off => self.intention = None,
            Phase::Work | Phase::In(_) if !there => {
                if self.intention.is_none() {
                    let late =
                        if self.dice.chance(0.2) { self.dice.seconds(120, 900) } else { self.dice.seconds(0, 60) };
                    self.plan(now + late, Intention::LogIn);
                }
            }
            // Whoever forgot the break, or is still here from the shift before, works on.
            Phase::Work => {
                if matches!(self.intention, Some((_, Intention::StepAway | Intention::LogOut))) {
                    self.intention = None;
                }
            }
            Phase::In(_) => {
                let to_go = match self.dice.pick(&[0_u8, 0, 0, 1, 1, 2]) {
                    Some(0) => Some(self.dice.seconds(0, 45)),
                    Some(1) => Some(self.dice.seconds(150, 480)),
                    _ => None,
                };
                if let Some(after) = to_go {
                    self.plan(now + after, Intention::StepAway);
                }
            }
        }
    }

    fn end_of_shift(&mut self, now: UtcMicros) {
        match self.dice.pick(&[0_u8, 0, 0, 0, 1, 1, 2]) {
            Some(0) => self.plan(now + self.dice.seconds(0, 100), Intention::LogOut),
            Some(1) => self.plan(now + self.dice.seconds(600, 2400), Intention::LogOut),
            _ => self.plan(now + self.dice.seconds(0, 60), Intention::StepAway),
        }
    }

    pub(super) fn carry_out(&mut self, intention: Intention, now: UtcMicros) -> Option<Step> {
        if self.state == SimState::OnContact {
            let contact_ends = self.turn.map_or(now, |(at, _)| at);
            self.plan(contact_ends + Duration::from_secs(1), intention);
            return None;
        }
        let span = self.person.calendar.span_at(now);
        match intention {
            Intention::LogIn => Some(self.log_in(span, now)),
            Intention::GetReady => self.get_ready(span, now),
            Intention::StepAway => {
                let step = self.change_unless_there(SimState::Unavailable, now);
                self.turn = None;
                self.plan_return(span, now);
                step
            }
            Intention::LogOut => {
                self.turn = None;
                self.change_unless_there(SimState::LoggedOut, now)
            }
            Intention::TakeBack(state) => {
                let step = self.change_unless_there(state, now);
                self.settle(now);
                step
            }
        }
    }

    fn log_in(&mut self, span: Span, now: UtcMicros) -> Step {
        if span.phase == Phase::Work && self.dice.chance(0.5) {
            let step = self.change(SimState::Available, now, Cause::Agent, None);
            self.start_turn(now);
            return step;
        }
        let step = self.change(SimState::Unavailable, now, Cause::Agent, None);
        if span.phase == Phase::Work {
            let late = if self.dice.chance(0.5) { self.dice.seconds(20, 100) } else { self.dice.seconds(240, 1200) };
            self.plan(now + late, Intention::GetReady);
        } else {
            self.plan_return(span, now);
        }
        step
    }

    fn get_ready(&mut self, span: Span, now: UtcMicros) -> Option<Step> {
        match span.phase {
            Phase::Off => {
                self.plan(now + self.dice.seconds(5, 120), Intention::LogOut);
                None
            }
            Phase::In(_) if span.until.since(now) > EARLY_RETURN => {
                self.plan_return(span, now);
                None
            }
            Phase::Work | Phase::In(_) => {
                let step = self.change_unless_there(SimState::Available, now);
                self.start_turn(now);
                step
            }
        }
    }

    pub(super) fn take_turn(&mut self, turn: Turn, now: UtcMicros, habits: Habits) -> Step {
        let next = match turn {
            Turn::WrapUpEnds => return self.finish_wrap_up(now),
            Turn::ContactArrives => SimState::OnContact,
            Turn::ContactEnds => {
                if let Some(pending) = self.pending.take() {
                    return self.follow(pending, now, habits);
                }
                if self.dice.chance(0.9) { SimState::Acw } else { SimState::Available }
            }
        };
        let step = self.change(next, now, Cause::Contact, None);
        self.start_turn(now);
        step
    }

    fn finish_wrap_up(&mut self, now: UtcMicros) -> Step {
        if !self.dice.chance(0.08) {
            let step = self.change(SimState::Available, now, Cause::Contact, None);
            self.start_turn(now);
            return step;
        }
        // A pause that nobody planned. What the agent meant to do before (a break to go to) is forgotten over it.
        let state = if self.dice.chance(0.85) { SimState::Paused } else { SimState::Idle };
        let step = self.change(state, now, Cause::Agent, None);
        let length = if self.dice.chance(0.4) { self.dice.seconds(60, 240) } else { self.dice.seconds(480, 1800) };
        self.plan(now + length, Intention::GetReady);
        step
    }

    fn start_turn(&mut self, now: UtcMicros) {
        if self.state == SimState::Available {
            self.calling = self.dice.pick(&self.person.skills).copied();
        }
        self.turn = match self.state {
            SimState::Available => Some((now + self.dice.around(70, 4, 400), Turn::ContactArrives)),
            SimState::OnContact => Some((now + self.dice.around(180, 15, 1200), Turn::ContactEnds)),
            SimState::Acw => {
                let length =
                    if self.dice.chance(0.2) { self.dice.seconds(300, 1200) } else { self.dice.seconds(10, 90) };
                Some((now + length, Turn::WrapUpEnds))
            }
            SimState::Unavailable | SimState::Paused | SimState::Idle | SimState::LoggedOut => None,
        };
    }

    fn change_unless_there(&mut self, to: SimState, now: UtcMicros) -> Option<Step> {
        (self.state != to).then(|| self.change(to, now, Cause::Agent, None))
    }
}
