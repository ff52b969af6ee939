//! One simulated agent and what it does next. Pure: the instant is an argument, the draws are the agent's own.
//!
//! An agent has three timers. `edge` is the next edge of its schedule; `intention` is something it means to do (go to its
//! break, come back, log out); `turn` is the next step of its contacts. Whichever is due first is acted on.

mod life;

use std::sync::Arc;

use super::calendar::{Activity, Calendar, Phase};
use super::contacts::SkillAt;
use super::dice::Dice;
use super::state::SimState;
use crate::domain::ids::AgentId;
use crate::domain::time::UtcMicros;

const WRAP_UPS: [&str; 4] = ["ANSWERED", "CALL_BACK", "ORDER_PLACED", "PASSED_ON"];

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
pub(in crate::sim) struct Pending {
    pub(in crate::sim) state: SimState,
    pub(in crate::sim) request_seq: u64,
}

/// A change of state as the agent reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) struct Step {
    pub(in crate::sim) at: UtcMicros,
    pub(in crate::sim) from: SimState,
    pub(in crate::sim) to: SimState,
    pub(in crate::sim) cause: Cause,
    pub(in crate::sim) request_seq: Option<u64>,
}

/// Facts that a script laid over the calendar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::sim) struct Overrides {
    pub(in crate::sim) scheduled: Option<bool>,
    pub(in crate::sim) mandatory_break: Option<bool>,
}

/// Who an agent is, and how it begins.
#[derive(Debug)]
pub(in crate::sim) struct Person {
    pub(in crate::sim) id: AgentId,
    pub(in crate::sim) name: Arc<str>,
    pub(in crate::sim) team: Arc<str>,
    /// The skills of its contacts, one or two.
    pub(in crate::sim) skills: [SkillAt; 2],
    pub(in crate::sim) calendar: Calendar,
    /// False for an agent that does nothing of its own accord.
    pub(in crate::sim) lives: bool,
    /// The state to begin in, where it does not follow from the calendar.
    pub(in crate::sim) begins: Option<SimState>,
}

/// How often agents do what nobody asked of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::sim) struct Habits {
    /// The share of changes by the API that an agent takes back after a while.
    pub(in crate::sim) reversal: f64,
}

/// One agent, living.
#[derive(Debug)]
pub(in crate::sim) struct Agent {
    pub(in crate::sim) person: Person,
    pub(in crate::sim) state: SimState,
    pub(in crate::sim) since: UtcMicros,
    pub(in crate::sim) queue: Option<SkillAt>,
    pub(in crate::sim) wrap_up: Option<&'static str>,
    pub(in crate::sim) pending: Option<Pending>,
    pub(in crate::sim) overrides: Overrides,
    dice: Dice,
    edge: UtcMicros,
    intention: Option<(UtcMicros, Intention)>,
    turn: Option<(UtcMicros, Turn)>,
    /// The skill of the contact that comes next.
    calling: Option<SkillAt>,
}

impl Agent {
    /// The agent as it is when the simulator starts: doing what its schedule suggests, mostly.
    pub(in crate::sim) fn new(person: Person, dice: Dice, start: UtcMicros) -> Self {
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
            calling: None,
        };
        agent.label();
        agent.settle(start);
        agent
    }

    /// When the agent next does something; `None` when it never does.
    pub(in crate::sim) fn wakes_at(&self) -> Option<UtcMicros> {
        let due = [Some(self.edge), self.intention.map(|(at, _)| at), self.turn.map(|(at, _)| at)];
        due.into_iter().flatten().min().filter(|at| self.person.lives && *at < UtcMicros::MAX)
    }

    /// When the agent will take its next contact, as it stands now, and which skill the contact wants.
    pub(in crate::sim) fn next_contact(&self) -> Option<(UtcMicros, SkillAt)> {
        match self.turn {
            Some((at, Turn::ContactArrives)) if self.person.lives => self.calling.map(|skill| (at, skill)),
            Some((_, Turn::ContactArrives | Turn::ContactEnds | Turn::WrapUpEnds)) | None => None,
        }
    }

    /// Does the one thing that is due at `now`, if any.
    pub(in crate::sim) fn wake(&mut self, now: UtcMicros, habits: Habits) -> Option<Step> {
        if !self.person.lives {
            return None;
        }
        if self.edge <= now {
            self.meet_edge(now);
            return None;
        }
        if let Some((_, turn)) = self.turn.take_if(|(at, _)| *at <= now) {
            return Some(self.take_turn(turn, now, habits));
        }
        let (_, intention) = self.intention.take_if(|(at, _)| *at <= now)?;
        self.carry_out(intention, now)
    }

    /// Its skills, each once.
    pub(in crate::sim) fn distinct_skills(&self) -> impl Iterator<Item = SkillAt> + use<> {
        let [first, second] = self.person.skills;
        std::iter::once(first).chain((second != first).then_some(second))
    }

    /// Scheduled at this instant, by the calendar or a script's word.
    pub(in crate::sim) fn scheduled(&self, now: UtcMicros) -> bool {
        self.overrides.scheduled.unwrap_or_else(|| self.person.calendar.span_at(now).phase != Phase::Off)
    }

    /// In a mandatory break at this instant, by the calendar or a script's word.
    pub(in crate::sim) fn mandatory_break(&self, now: UtcMicros) -> bool {
        let by_calendar = || self.person.calendar.span_at(now).phase == Phase::In(Activity::Rest { mandatory: true });
        self.overrides.mandatory_break.unwrap_or_else(by_calendar)
    }

    /// Takes effect of an accepted state change: at once, or when the contact ends. `None` when nothing changes now.
    pub(in crate::sim) fn obey(
        &mut self,
        state: SimState,
        request_seq: u64,
        now: UtcMicros,
        habits: Habits,
    ) -> Option<Step> {
        match self.state {
            SimState::OnContact => {
                self.pending = Some(Pending { state, request_seq });
                None
            }
            // A change that takes effect late may find that the agent has gone home.
            SimState::LoggedOut => None,
            current if current == state => None,
            SimState::Available | SimState::Unavailable | SimState::Paused | SimState::Idle | SimState::Acw => {
                Some(self.follow(Pending { state, request_seq }, now, habits))
            }
        }
    }

    /// Puts the agent into a state by a script. A contact that this ends lets a waiting change take effect after it.
    pub(in crate::sim) fn script(&mut self, state: SimState, now: UtcMicros, habits: Habits) -> Vec<Step> {
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
            SimState::OnContact => self.calling.take().or_else(|| self.dice.pick(&self.person.skills).copied()),
            SimState::Acw => self.queue.or_else(|| self.dice.pick(&self.person.skills).copied()),
            SimState::Available | SimState::Unavailable | SimState::Paused | SimState::Idle | SimState::LoggedOut => {
                None
            }
        };
        self.wrap_up = if self.state == SimState::Acw { self.dice.pick(&WRAP_UPS).copied() } else { None };
    }
}
