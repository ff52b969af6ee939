//! One simulated agent and what it does next. Pure: the instant is an argument, and the agent has a random stream of
//! its own.
//!
//! An agent has three timers: `next_schedule_edge` is the next edge of its schedule, `intention` is something that it
//! intends to do (start its break, return, log out), and `next_contact_step` is the next step of its contacts. The
//! one that is due first is acted on.

mod behaviour;

use std::sync::Arc;

use super::calendar::{Activity, Calendar, Phase};
use super::contacts::SkillIndex;
use super::random::RandomStream;
use super::state::SimState;
use crate::domain::ids::AgentId;
use crate::domain::time::UtcMicros;

const WRAP_UPS: [&str; 4] = ["ANSWERED", "CALL_BACK", "ORDER_PLACED", "PASSED_ON"];

/// The cause of a change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeCause {
    /// A state change request.
    Api,
    /// The agent itself.
    Agent,
    /// A contact that arrived, ended or was wrapped up.
    Contact,
    /// A test or an operator through the simulator's control API.
    Script,
}

/// What an agent intends to do at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Intention {
    LogIn,
    GetReady,
    StepAway,
    LogOut,
    RevertChange(SimState),
}

/// The next step of an agent's contacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ContactStep {
    ContactArrives,
    ContactEnds,
    WrapUpEnds,
}

/// A state change that was accepted during a contact and takes effect when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) struct PendingChange {
    pub(in crate::sim) state: SimState,
    pub(in crate::sim) request_seq: u64,
}

/// A change of state as the agent reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) struct StateChange {
    pub(in crate::sim) at: UtcMicros,
    pub(in crate::sim) from: SimState,
    pub(in crate::sim) to: SimState,
    pub(in crate::sim) cause: ChangeCause,
    pub(in crate::sim) request_seq: Option<u64>,
}

/// Scripted facts that override the calendar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::sim) struct Overrides {
    pub(in crate::sim) scheduled: Option<bool>,
    pub(in crate::sim) mandatory_break: Option<bool>,
}

/// The identity and the initial state of an agent.
#[derive(Debug)]
pub(in crate::sim) struct AgentProfile {
    pub(in crate::sim) id: AgentId,
    pub(in crate::sim) name: Arc<str>,
    pub(in crate::sim) team: Arc<str>,
    /// The skills of its contacts, one or two.
    pub(in crate::sim) skills: [SkillIndex; 2],
    pub(in crate::sim) calendar: Calendar,
    /// Whether the agent acts of its own accord.
    pub(in crate::sim) acts: bool,
    /// The initial state, if it does not follow from the calendar.
    pub(in crate::sim) initial_state: Option<SimState>,
}

/// How often agents act unprompted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::sim) struct BehaviourSettings {
    /// The share of changes by the API that an agent reverts after a while, from 0 to 1.
    pub(in crate::sim) reversal_share: f64,
}

/// One agent.
#[derive(Debug)]
pub(in crate::sim) struct Agent {
    pub(in crate::sim) profile: AgentProfile,
    pub(in crate::sim) state: SimState,
    pub(in crate::sim) since: UtcMicros,
    pub(in crate::sim) queue: Option<SkillIndex>,
    pub(in crate::sim) wrap_up: Option<&'static str>,
    pub(in crate::sim) pending: Option<PendingChange>,
    pub(in crate::sim) overrides: Overrides,
    random: RandomStream,
    next_schedule_edge: UtcMicros,
    intention: Option<(UtcMicros, Intention)>,
    next_contact_step: Option<(UtcMicros, ContactStep)>,
    /// The skill of the next contact.
    next_skill: Option<SkillIndex>,
}

impl Agent {
    /// Creates an agent as it is when the simulator starts: mostly doing what its schedule plans.
    pub(in crate::sim) fn new(profile: AgentProfile, random: RandomStream, start: UtcMicros) -> Self {
        let span = profile.calendar.span_at(start);
        let state = profile.initial_state.unwrap_or_else(|| match span.phase {
            Phase::Off => SimState::LoggedOut,
            Phase::In(_) => SimState::Unavailable,
            Phase::Work if profile.acts => random
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
        let since = if profile.acts { start - random.seconds(0, 180) } else { start };
        let mut agent = Self {
            profile,
            state,
            since,
            queue: None,
            wrap_up: None,
            pending: None,
            overrides: Overrides::default(),
            random,
            next_schedule_edge: UtcMicros::MAX,
            intention: None,
            next_contact_step: None,
            next_skill: None,
        };
        agent.update_contact_labels();
        agent.reset_timers(start);
        agent
    }

    /// Returns when the agent acts next, or `None` if never.
    pub(in crate::sim) fn next_action_at(&self) -> Option<UtcMicros> {
        let due =
            [Some(self.next_schedule_edge), self.intention.map(|(at, _)| at), self.next_contact_step.map(|(at, _)| at)];
        due.into_iter().flatten().min().filter(|at| self.profile.acts && *at < UtcMicros::MAX)
    }

    /// Returns when the agent will take its next contact, as currently planned, and the contact's skill.
    pub(in crate::sim) fn next_contact(&self) -> Option<(UtcMicros, SkillIndex)> {
        match self.next_contact_step {
            Some((at, ContactStep::ContactArrives)) if self.profile.acts => self.next_skill.map(|skill| (at, skill)),
            Some((_, ContactStep::ContactArrives | ContactStep::ContactEnds | ContactStep::WrapUpEnds)) | None => None,
        }
    }

    /// Carries out the one action due at `now`, if any.
    pub(in crate::sim) fn act(&mut self, now: UtcMicros, behaviour: BehaviourSettings) -> Option<StateChange> {
        if !self.profile.acts {
            return None;
        }
        if self.next_schedule_edge <= now {
            self.on_schedule_edge(now);
            return None;
        }
        if let Some((_, turn)) = self.next_contact_step.take_if(|(at, _)| *at <= now) {
            return Some(self.advance_contact(turn, now, behaviour));
        }
        let (_, intention) = self.intention.take_if(|(at, _)| *at <= now)?;
        self.perform(intention, now)
    }

    /// Returns its skills, each once.
    pub(in crate::sim) fn distinct_skills(&self) -> impl Iterator<Item = SkillIndex> + use<> {
        let [first, second] = self.profile.skills;
        std::iter::once(first).chain((second != first).then_some(second))
    }

    /// Returns whether the agent is scheduled at this instant, by the calendar or a script.
    pub(in crate::sim) fn is_scheduled(&self, now: UtcMicros) -> bool {
        self.overrides.scheduled.unwrap_or_else(|| self.profile.calendar.span_at(now).phase != Phase::Off)
    }

    /// Returns whether the agent is in a mandatory break at this instant, by the calendar or a script.
    pub(in crate::sim) fn is_in_mandatory_break(&self, now: UtcMicros) -> bool {
        let by_calendar = || self.profile.calendar.span_at(now).phase == Phase::In(Activity::Rest { mandatory: true });
        self.overrides.mandatory_break.unwrap_or_else(by_calendar)
    }

    /// Applies an accepted state change at once, or when the contact ends. Returns `None` if nothing changes now.
    pub(in crate::sim) fn apply_request(
        &mut self,
        state: SimState,
        request_seq: u64,
        now: UtcMicros,
        behaviour: BehaviourSettings,
    ) -> Option<StateChange> {
        match self.state {
            SimState::OnContact => {
                self.pending = Some(PendingChange { state, request_seq });
                None
            }
            // The agent may have logged out before a delayed change takes effect.
            SimState::LoggedOut => None,
            current if current == state => None,
            SimState::Available | SimState::Unavailable | SimState::Paused | SimState::Idle | SimState::Acw => {
                Some(self.apply_pending_change(PendingChange { state, request_seq }, now, behaviour))
            }
        }
    }

    /// Puts the agent into a state by a script. If this ends a contact, a pending change takes effect after it.
    pub(in crate::sim) fn apply_script(
        &mut self,
        state: SimState,
        now: UtcMicros,
        behaviour: BehaviourSettings,
    ) -> Vec<StateChange> {
        let ended_contact = self.state == SimState::OnContact && state != SimState::OnContact;
        let mut steps = Vec::new();
        if state != self.state {
            steps.push(self.change_state(state, now, ChangeCause::Script, None));
        }
        self.reset_timers(now);
        if ended_contact && let Some(pending) = self.pending.take() {
            if state == SimState::LoggedOut || state == pending.state {
                return steps;
            }
            steps.push(self.apply_pending_change(pending, now, behaviour));
        }
        steps
    }

    /// Applies a change by the API. Now and then the agent reverts it later.
    fn apply_pending_change(
        &mut self,
        pending: PendingChange,
        now: UtcMicros,
        behaviour: BehaviourSettings,
    ) -> StateChange {
        let before = self.state;
        self.pending = None;
        let step = self.change_state(pending.state, now, ChangeCause::Api, Some(pending.request_seq));
        self.reset_timers(now);
        if self.random.chance(behaviour.reversal_share) {
            let back = if before.takes_contacts() { SimState::Available } else { before };
            if back != pending.state {
                self.set_intention(now + self.random.seconds(20, 120), Intention::RevertChange(back));
            }
        }
        step
    }

    fn change_state(
        &mut self,
        to: SimState,
        now: UtcMicros,
        cause: ChangeCause,
        request_seq: Option<u64>,
    ) -> StateChange {
        let from = std::mem::replace(&mut self.state, to);
        self.since = now;
        if !to.takes_contacts() || to == SimState::Available {
            self.next_contact_step = None;
        }
        if to == SimState::LoggedOut {
            self.pending = None;
        }
        self.update_contact_labels();
        StateChange { at: now, from, to, cause, request_seq }
    }

    /// Updates the queue and the wrap-up code for the state.
    fn update_contact_labels(&mut self) {
        self.queue = match self.state {
            SimState::OnContact => self.next_skill.take().or_else(|| self.random.pick(&self.profile.skills).copied()),
            SimState::Acw => self.queue.or_else(|| self.random.pick(&self.profile.skills).copied()),
            SimState::Available | SimState::Unavailable | SimState::Paused | SimState::Idle | SimState::LoggedOut => {
                None
            }
        };
        self.wrap_up = if self.state == SimState::Acw { self.random.pick(&WRAP_UPS).copied() } else { None };
    }
}
