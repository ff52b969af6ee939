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
    /// The platform itself, which logs an agent out when the timeout of an unavailable code is over.
    Platform,
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

/// A requested change of state. During a contact it is kept and takes effect later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::sim) struct StateRequest {
    /// The number of the request in the journal.
    pub(in crate::sim) seq: u64,
    pub(in crate::sim) state: SimState,
    /// The unavailable code, if the request names one.
    pub(in crate::sim) code: Option<i64>,
    /// Whether it waits for the end of wrap-up as well, and not only of the contact.
    pub(in crate::sim) through_wrap_up: bool,
    /// The instant of the request.
    pub(in crate::sim) at: UtcMicros,
}

/// A change of state as the agent reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) struct StateChange {
    pub(in crate::sim) at: UtcMicros,
    pub(in crate::sim) from: SimState,
    pub(in crate::sim) to: SimState,
    pub(in crate::sim) cause: ChangeCause,
    pub(in crate::sim) request_seq: Option<u64>,
    /// The agent's labels in the new state.
    pub(in crate::sim) labels: StateLabels,
}

/// What belongs to a state of an agent besides its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::sim) struct StateLabels {
    /// The skill of the contact.
    pub(in crate::sim) queue: Option<SkillIndex>,
    /// The unavailable code that a request named.
    pub(in crate::sim) code: Option<i64>,
    /// The number of the contact, counted from 1 for each agent.
    pub(in crate::sim) contact: Option<u32>,
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
    /// Whether a change that was requested during a contact is dropped when the agent or the contact moves on.
    pub(in crate::sim) own_choice_wins: bool,
}

/// One agent.
#[derive(Debug)]
pub(in crate::sim) struct Agent {
    pub(in crate::sim) profile: AgentProfile,
    pub(in crate::sim) state: SimState,
    pub(in crate::sim) since: UtcMicros,
    pub(in crate::sim) labels: StateLabels,
    pub(in crate::sim) wrap_up: Option<&'static str>,
    pub(in crate::sim) pending: Option<StateRequest>,
    pub(in crate::sim) overrides: Overrides,
    random: RandomStream,
    next_schedule_edge: UtcMicros,
    intention: Option<(UtcMicros, Intention)>,
    next_contact_step: Option<(UtcMicros, ContactStep)>,
    /// The skill of the next contact.
    next_skill: Option<SkillIndex>,
    /// The number of contacts so far.
    contacts: u32,
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
            labels: StateLabels::default(),
            wrap_up: None,
            pending: None,
            overrides: Overrides::default(),
            random,
            next_schedule_edge: UtcMicros::MAX,
            intention: None,
            next_contact_step: None,
            next_skill: None,
            contacts: 0,
        };
        agent.update_labels(None);
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

    /// Returns whether a request now would wait for the end of a contact or of wrap-up.
    pub(in crate::sim) fn would_wait(&self, through_wrap_up: bool) -> bool {
        self.state == SimState::OnContact || (self.state == SimState::Acw && through_wrap_up)
    }

    /// Applies an accepted state change at once, or keeps it until the contact ends; a newer one replaces it. Returns
    /// `None` if nothing changes now.
    pub(in crate::sim) fn apply_request(
        &mut self,
        request: StateRequest,
        now: UtcMicros,
        behaviour: BehaviourSettings,
    ) -> Option<StateChange> {
        // The agent may have logged out before a delayed change takes effect.
        if self.state == SimState::LoggedOut {
            return None;
        }
        if self.would_wait(request.through_wrap_up) {
            self.pending = Some(request);
            return None;
        }
        let is_new = self.state != request.state || self.labels.code != request.code;
        is_new.then(|| self.apply_pending_change(request, now, behaviour))
    }

    /// Puts the agent into a state by a script. If this ends what a pending change waits for, the change takes effect
    /// after it.
    pub(in crate::sim) fn apply_script(
        &mut self,
        state: SimState,
        now: UtcMicros,
        behaviour: BehaviourSettings,
    ) -> Vec<StateChange> {
        let waits = |pending: &StateRequest| match state {
            SimState::OnContact => true,
            SimState::Acw => pending.through_wrap_up,
            SimState::Available | SimState::Unavailable | SimState::Paused | SimState::Idle | SimState::LoggedOut => {
                false
            }
        };
        let released = self.pending.take_if(|pending| !waits(pending));
        let mut steps = Vec::new();
        if state != self.state {
            steps.push(self.change_state(state, now, ChangeCause::Script, None));
        }
        self.reset_timers(now);
        if let Some(pending) = released
            && !behaviour.own_choice_wins
            && state != SimState::LoggedOut
            && (state, None) != (pending.state, pending.code)
        {
            steps.push(self.apply_pending_change(pending, now, behaviour));
        }
        steps
    }

    /// Logs the agent out because the timeout of its unavailable code is over.
    pub(in crate::sim) fn log_out_by_timeout(&mut self, now: UtcMicros) -> StateChange {
        let step = self.change_state(SimState::LoggedOut, now, ChangeCause::Platform, None);
        self.reset_timers(now);
        step
    }

    /// Applies a change by the API. Now and then the agent reverts it later.
    fn apply_pending_change(
        &mut self,
        request: StateRequest,
        now: UtcMicros,
        behaviour: BehaviourSettings,
    ) -> StateChange {
        let before = self.state;
        self.pending = None;
        let step = self.change_state(request.state, now, ChangeCause::Api, Some(&request));
        self.reset_timers(now);
        if request.state != SimState::LoggedOut && self.random.chance(behaviour.reversal_share) {
            let back = if before.takes_contacts() { SimState::Available } else { before };
            if back != request.state {
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
        request: Option<&StateRequest>,
    ) -> StateChange {
        let from = std::mem::replace(&mut self.state, to);
        self.since = now;
        if !to.takes_contacts() || to == SimState::Available {
            self.next_contact_step = None;
        }
        if to == SimState::LoggedOut {
            self.pending = None;
        }
        self.update_labels(request.and_then(|request| request.code));
        StateChange { at: now, from, to, cause, request_seq: request.map(|request| request.seq), labels: self.labels }
    }

    /// Updates the labels and the wrap-up code for the state; `code` is the one that a request named.
    fn update_labels(&mut self, code: Option<i64>) {
        let queue = match self.state {
            SimState::OnContact => self.next_skill.take().or_else(|| self.random.pick(&self.profile.skills).copied()),
            SimState::Acw => self.labels.queue.or_else(|| self.random.pick(&self.profile.skills).copied()),
            SimState::Available | SimState::Unavailable | SimState::Paused | SimState::Idle | SimState::LoggedOut => {
                None
            }
        };
        self.contacts += u32::from(self.state == SimState::OnContact);
        self.labels = StateLabels { queue, code, contact: queue.map(|_| self.contacts.max(1)) };
        self.wrap_up = if self.state == SimState::Acw { self.random.pick(&WRAP_UPS).copied() } else { None };
    }
}
