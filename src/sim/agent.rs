//! One simulated agent and what it does next. Pure: the instant is an argument, the draws are the agent's own.
//!
//! An agent has three timers. `edge` is the next edge of its schedule; `intention` is something it means to do (go to its
//! break, come back, log out); `turn` is the next step of its contacts. Whichever is due first is acted on.

use std::sync::Arc;
use std::time::Duration;

use super::calendar::{Activity, Calendar, Phase, Span};
use super::dice::Dice;
use super::state::SimState;
use crate::domain::ids::AgentId;
use crate::domain::time::UtcMicros;

const QUEUES: [&str; 4] = ["Billing", "Orders", "Returns", "Technical"];
const WRAP_UPS: [&str; 4] = ["ANSWERED", "CALL_BACK", "ORDER_PLACED", "PASSED_ON"];
/// An agent that comes back this much too early is not sent away again.
const EARLY_RETURN: Duration = Duration::from_secs(90);

/// Why a state changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A state change request.
    Api,
    /// The agent's own doing.
    Agent,
    /// A contact came, ended or was wrapped up.
    Contact,
    /// A test or an operator through the simulator's back door.
    Script,
}

/// What an agent means to do at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Intention {
    LogIn,
    GetReady,
    StepAway,
    LogOut,
    TakeBack(SimState),
}

/// The next step of an agent's contacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    ContactArrives,
    ContactEnds,
    WrapUpEnds,
}

/// A state change that was accepted during a contact and takes effect when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) state: SimState,
    pub(super) request_seq: u64,
}

/// A change of state as the agent reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) at: UtcMicros,
    pub(super) from: SimState,
    pub(super) to: SimState,
    pub(super) cause: Cause,
    pub(super) request_seq: Option<u64>,
}

/// Facts that a script laid over the calendar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Overrides {
    pub(super) scheduled: Option<bool>,
    pub(super) mandatory_break: Option<bool>,
}

/// Who an agent is, and how it begins.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) id: AgentId,
    pub(super) name: Arc<str>,
    pub(super) team: Arc<str>,
    pub(super) calendar: Calendar,
    /// False for an agent that does nothing of its own accord.
    pub(super) lives: bool,
    /// The state to begin in, where it does not follow from the calendar.
    pub(super) begins: Option<SimState>,
}

/// How often agents do what nobody asked of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Habits {
    /// The share of changes by the API that an agent takes back after a while.
    pub(super) reversal: f64,
}

/// One agent, living.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) person: Person,
    pub(super) state: SimState,
    pub(super) since: UtcMicros,
    pub(super) queue: Option<&'static str>,
    pub(super) wrap_up: Option<&'static str>,
    pub(super) pending: Option<Pending>,
    pub(super) overrides: Overrides,
    dice: Dice,
    edge: UtcMicros,
    intention: Option<(UtcMicros, Intention)>,
    turn: Option<(UtcMicros, Turn)>,
}

impl Agent {
    /// The agent as it is when the simulator starts: doing what its schedule suggests, mostly.
    pub(super) fn new(person: Person, dice: Dice, start: UtcMicros) -> Self {
        let span = person.calendar.span_at(start);
        let state = person.begins.unwrap_or_else(|| match span.phase {
            Phase::Off => SimState::LoggedOut,
            Phase::In(_) => SimState::Unavailable,
            Phase::Work if person.lives => dice
                .pick(&[
                    SimState::Available,
                    SimState::Available,
                    SimState::OnContact,
                    SimState::OnContact,
                    SimState::Acw,
                ])
                .copied()
                .unwrap_or(SimState::Available),
            Phase::Work => SimState::Available,
        });
        let since = if person.lives { start - dice.seconds(0, 180) } else { start };
        let mut agent = Self {
            person,
            state,
            since,
            queue: None,
            wrap_up: None,
            pending: None,
            overrides: Overrides::default(),
            dice,
            edge: UtcMicros::MAX,
            intention: None,
            turn: None,
        };
        agent.label();
        agent.settle(start);
        agent
    }

    /// When the agent next does something; `None` when it never does.
    pub(super) fn wakes_at(&self) -> Option<UtcMicros> {
        let due = [Some(self.edge), self.intention.map(|(at, _)| at), self.turn.map(|(at, _)| at)];
        due.into_iter().flatten().min().filter(|at| self.person.lives && *at < UtcMicros::MAX)
    }

    /// Does the one thing that is due at `now`, if any.
    pub(super) fn wake(&mut self, now: UtcMicros, habits: Habits) -> Option<Step> {
        if !self.person.lives {
            return None;
        }
        if self.edge <= now {
            self.meet_edge(now);
            return None;
        }
        if let Some((_, turn)) = self.turn.take_if(|(at, _)| *at <= now) {
            return self.take_turn(turn, now, habits);
        }
        let (_, intention) = self.intention.take_if(|(at, _)| *at <= now)?;
        self.carry_out(intention, now)
    }

    /// Scheduled at this instant, by the calendar or a script's word.
    pub(super) fn scheduled(&self, now: UtcMicros) -> bool {
        self.overrides.scheduled.unwrap_or_else(|| self.person.calendar.span_at(now).phase != Phase::Off)
    }

    /// In a mandatory break at this instant, by the calendar or a script's word.
    pub(super) fn mandatory_break(&self, now: UtcMicros) -> bool {
        let by_calendar = || self.person.calendar.span_at(now).phase == Phase::In(Activity::Rest { mandatory: true });
        self.overrides.mandatory_break.unwrap_or_else(by_calendar)
    }

    /// Takes effect of an accepted state change: at once, or when the contact ends. `None` when nothing changes now.
    pub(super) fn obey(&mut self, state: SimState, request_seq: u64, now: UtcMicros, habits: Habits) -> Option<Step> {
        match self.state {
            SimState::OnContact => {
                self.pending = Some(Pending { state, request_seq });
                None
            }
            // An answer that came late finds an agent who has gone home.
            SimState::LoggedOut => None,
            current if current == state => None,
            SimState::Available | SimState::Unavailable | SimState::Paused | SimState::Idle | SimState::Acw => {
                Some(self.follow(Pending { state, request_seq }, now, habits))
            }
        }
    }

    /// Puts the agent into a state by a script. A contact that this ends lets a waiting change take effect after it.
    pub(super) fn script(&mut self, state: SimState, now: UtcMicros, habits: Habits) -> Vec<Step> {
        let ended_contact = self.state == SimState::OnContact && state != SimState::OnContact;
        let mut steps = Vec::new();
        if state != self.state {
            steps.push(self.change(state, now, Cause::Script, None));
        }
        self.settle(now);
        if ended_contact && let Some(pending) = self.pending.take() {
            if state == SimState::LoggedOut || state == pending.state {
                return steps;
            }
            steps.push(self.follow(pending, now, habits));
        }
        steps
    }

    /// Sets the timers to what fits the state and the schedule, as if the agent had just come into the state.
    pub(super) fn settle(&mut self, now: UtcMicros) {
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

    fn plan(&mut self, at: UtcMicros, intention: Intention) {
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

    fn meet_edge(&mut self, now: UtcMicros) {
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

    fn carry_out(&mut self, intention: Intention, now: UtcMicros) -> Option<Step> {
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

    fn take_turn(&mut self, turn: Turn, now: UtcMicros, habits: Habits) -> Option<Step> {
        match turn {
            Turn::ContactArrives => {
                let step = self.change(SimState::OnContact, now, Cause::Contact, None);
                self.start_turn(now);
                Some(step)
            }
            Turn::ContactEnds => {
                if let Some(pending) = self.pending.take() {
                    return Some(self.follow(pending, now, habits));
                }
                let next = if self.dice.chance(0.9) { SimState::Acw } else { SimState::Available };
                let step = self.change(next, now, Cause::Contact, None);
                self.start_turn(now);
                Some(step)
            }
            Turn::WrapUpEnds => Some(self.finish_wrap_up(now)),
        }
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

    /// Changes as the API asked, and lives on from there; now and then the agent takes it back.
    fn follow(&mut self, wanted: Pending, now: UtcMicros, habits: Habits) -> Step {
        let before = self.state;
        self.pending = None;
        let step = self.change(wanted.state, now, Cause::Api, Some(wanted.request_seq));
        self.settle(now);
        if self.dice.chance(habits.reversal) {
            let back = if before.takes_contacts() { SimState::Available } else { before };
            if back != wanted.state {
                self.plan(now + self.dice.seconds(20, 120), Intention::TakeBack(back));
            }
        }
        step
    }

    fn start_turn(&mut self, now: UtcMicros) {
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

    fn change(&mut self, to: SimState, now: UtcMicros, cause: Cause, request_seq: Option<u64>) -> Step {
        let from = std::mem::replace(&mut self.state, to);
        self.since = now;
        if !to.takes_contacts() || to == SimState::Available {
            self.turn = None;
        }
        if to == SimState::LoggedOut {
            self.pending = None;
        }
        self.label();
        Step { at: now, from, to, cause, request_seq }
    }

    /// The queue and the wrap-up code that go with the state.
    fn label(&mut self) {
        self.queue = match self.state {
            SimState::OnContact => self.dice.pick(&QUEUES).copied(),
            SimState::Acw => self.queue.or_else(|| self.dice.pick(&QUEUES).copied()),
            SimState::Available | SimState::Unavailable | SimState::Paused | SimState::Idle | SimState::LoggedOut => {
                None
            }
        };
        self.wrap_up = if self.state == SimState::Acw { self.dice.pick(&WRAP_UPS).copied() } else { None };
    }
}
