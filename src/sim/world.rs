//! The agents of one tenant over time. Pure: it is given the instant, and returns what changed up to it. It knows
//! nothing of HTTP, tokens or faults.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::agent::{Agent, AgentProfile, BehaviourSettings, ChangeCause, Overrides, StateChange, StateRequest};
use super::contacts::{Contacts, QueueMove, Skill, SkillIndex};
use super::figures::SkillFigures;
use super::random::RandomStream;
use super::state::SimState;
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::time::UtcMicros;

/// One change of state, with its cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AgentChange {
    pub(super) agent: AgentId,
    pub(super) state_change: StateChange,
}

/// Something that happened in the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WorldEvent {
    /// An agent changed its state.
    Change(AgentChange),
    /// A contact entered or left a queue.
    Move(QueueMove),
}

/// The reason why the platform refuses a change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    UnknownAgent,
    NotScheduled,
    MandatoryBreak,
    LoggedOut,
}

/// One agent at an instant, as shown by the control API and snapshots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AgentSnapshot {
    pub(super) index: usize,
    pub(super) state: SimState,
    pub(super) since: UtcMicros,
    pub(super) queue: Option<SkillIndex>,
    pub(super) wrap_up: Option<&'static str>,
}

/// A scripted change of an agent; what is not set stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ScriptedChange {
    pub(super) state: Option<SimState>,
    pub(super) hold: Option<bool>,
    pub(super) overrides: Overrides,
}

/// An agent's identity, for the rows of snapshots.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) id: AgentId,
    pub(super) name: Arc<str>,
    pub(super) team: Arc<str>,
}

/// The agents of one tenant.
#[derive(Debug)]
pub(super) struct World {
    agents: Vec<Agent>,
    roster: Arc<[Identity]>,
    skills: Arc<[Skill]>,
    contacts: Contacts,
    index: HashMap<AgentId, usize>,
    /// The instants at which agents act next. An entry that no longer agrees with its agent is skipped.
    wakes: BinaryHeap<Reverse<(UtcMicros, usize)>>,
    /// Requests that were answered at once and take effect later: instant, request and agent.
    delayed_requests: BinaryHeap<Reverse<(UtcMicros, StateRequest, usize)>>,
    behaviour: BehaviourSettings,
    current_time: UtcMicros,
    events: Vec<WorldEvent>,
}

impl World {
    /// Creates the agents at `start`, each with its own random stream from `seed` and `tenant`.
    pub(super) fn new(
        profiles: Vec<AgentProfile>,
        skills: Arc<[Skill]>,
        tenant: &TenantId,
        seed: u64,
        behaviour: BehaviourSettings,
        start: UtcMicros,
    ) -> Self {
        let identity = |person: &AgentProfile| Identity {
            id: person.id.clone(),
            name: person.name.clone(),
            team: person.team.clone(),
        };
        let roster = profiles.iter().map(identity).collect();
        let agents: Vec<Agent> = profiles
            .into_iter()
            .map(|person| {
                let random = RandomStream::for_path(seed, &["life", tenant.as_str(), person.id.as_str()]);
                Agent::new(person, random, start)
            })
            .collect();
        let index = agents.iter().enumerate().map(|(at, agent)| (agent.profile.id.clone(), at)).collect();
        let wakes =
            agents.iter().enumerate().filter_map(|(at, agent)| Some(Reverse((agent.next_action_at()?, at)))).collect();
        let mut contacts = Contacts::new(&agents_by_skill(&agents, skills.len()), tenant, seed, start);
        for (at, agent) in agents.iter().enumerate() {
            contacts.plan_contact(at, agent.next_contact(), start);
        }
        let (delayed_requests, events) = (BinaryHeap::new(), Vec::new());
        Self {
            agents,
            roster,
            skills,
            contacts,
            index,
            wakes,
            delayed_requests,
            behaviour,
            current_time: start,
            events,
        }
    }

    /// Advances time to `now`. An earlier instant than the current one changes nothing.
    pub(super) fn advance(&mut self, now: UtcMicros) {
        loop {
            let contact = self.contacts.due_at();
            let wake = self.wakes.peek().map(|Reverse((at, _))| *at);
            let delayed = self.delayed_requests.peek().map(|Reverse((at, ..))| *at);
            // At the same instant, process a contact before the agent who takes it.
            let Some(first) = [contact, wake, delayed].into_iter().flatten().min().filter(|at| *at <= now) else {
                break;
            };
            if contact == Some(first) {
                self.contacts.process_next();
                self.events.extend(self.contacts.drain_moves().map(WorldEvent::Move));
            } else if wake == Some(first) {
                self.process_wake();
            } else {
                self.process_delayed_request();
            }
        }
        self.current_time = self.current_time.max(now);
    }

    fn process_wake(&mut self) {
        let Some(Reverse((at, index))) = self.wakes.pop() else { return };
        let behaviour = self.behaviour;
        let Some(agent) = self.agents.get_mut(index).filter(|agent| agent.next_action_at() == Some(at)) else { return };
        let step = agent.act(at, behaviour);
        self.record(index, step, at);
    }

    fn process_delayed_request(&mut self) {
        let Some(Reverse((at, request, index))) = self.delayed_requests.pop() else { return };
        let behaviour = self.behaviour;
        let Some(agent) = self.agents.get_mut(index) else { return };
        let step = agent.apply_request(request, at, behaviour);
        self.record(index, step, at);
    }

    /// Records what an agent did at `now`, and when it acts next.
    fn record(&mut self, index: usize, steps: impl IntoIterator<Item = StateChange>, now: UtcMicros) {
        let Some(agent) = self.agents.get(index) else { return };
        for step in steps {
            if step.to == SimState::OnContact && step.cause == ChangeCause::Contact {
                self.contacts.contact_taken(index, step.at);
                self.events.extend(self.contacts.drain_moves().map(WorldEvent::Move));
            }
            self.events.push(WorldEvent::Change(AgentChange { agent: agent.profile.id.clone(), state_change: step }));
        }
        self.contacts.plan_contact(index, agent.next_contact(), now);
        if let Some(at) = agent.next_action_at() {
            self.wakes.push(Reverse((at, index)));
        }
    }

    /// Returns everything that happened since the last call.
    pub(super) fn take_events(&mut self) -> Vec<WorldEvent> {
        std::mem::take(&mut self.events)
    }

    /// Returns the tenant's skills.
    pub(super) fn skills(&self) -> &Arc<[Skill]> {
        &self.skills
    }

    /// Returns the figures of every skill at the current instant.
    pub(super) fn figures(&self) -> Vec<SkillFigures> {
        let mut figures: Vec<SkillFigures> = (0..)
            .zip(self.skills.iter())
            .map(|(at, _)| SkillFigures {
                queue: self.contacts.figures(at, self.current_time),
                ..SkillFigures::default()
            })
            .collect();
        for agent in &self.agents {
            SkillFigures::count_agent(&mut figures, agent);
        }
        figures
    }

    /// Requests a change of state at an instant already reached; it takes effect after a delay of `after`.
    pub(super) fn request(
        &mut self,
        id: &str,
        state: SimState,
        request_seq: u64,
        after: Duration,
    ) -> Result<(), Refusal> {
        let agent = self.agent(id).ok_or(Refusal::UnknownAgent)?;
        if state == SimState::Available {
            if !agent.is_scheduled(self.current_time) {
                return Err(Refusal::NotScheduled);
            }
            if agent.is_in_mandatory_break(self.current_time) {
                return Err(Refusal::MandatoryBreak);
            }
        }
        let at = self.current_time;
        self.request_unchecked(
            id,
            StateRequest { seq: request_seq, state, code: None, through_wrap_up: false, at },
            after,
        )
    }

    /// As [`World::request`], whatever the agent's shift and break.
    pub(super) fn request_unchecked(
        &mut self,
        id: &str,
        request: StateRequest,
        after: Duration,
    ) -> Result<(), Refusal> {
        let (now, behaviour) = (self.current_time, self.behaviour);
        let index = *self.index.get(id).ok_or(Refusal::UnknownAgent)?;
        let agent = self.agents.get_mut(index).ok_or(Refusal::UnknownAgent)?;
        if agent.state == SimState::LoggedOut {
            return Err(Refusal::LoggedOut);
        }
        if after.is_zero() {
            let step = agent.apply_request(request, now, behaviour);
            self.record(index, step, now);
        } else {
            self.delayed_requests.push(Reverse((now + after, request, index)));
        }
        Ok(())
    }

    /// Logs out the agents for whom `is_over` says so, because the timeouts of their unavailable codes are over.
    pub(super) fn log_out_by_timeout(&mut self, is_over: impl Fn(&Agent, UtcMicros) -> bool) {
        let now = self.current_time;
        for index in 0..self.agents.len() {
            let Some(agent) = self.agents.get_mut(index).filter(|agent| is_over(agent, now)) else { continue };
            let step = agent.log_out_by_timeout(now);
            self.record(index, [step], now);
        }
    }

    /// Sets how often agents act unprompted.
    pub(super) fn set_behaviour(&mut self, behaviour: BehaviourSettings) {
        self.behaviour = behaviour;
    }

    /// Applies a scripted change to one agent at the current instant.
    pub(super) fn apply_script(&mut self, id: &str, order: ScriptedChange) -> Result<(), Refusal> {
        let (now, behaviour) = (self.current_time, self.behaviour);
        let index = *self.index.get(id).ok_or(Refusal::UnknownAgent)?;
        let agent = self.agents.get_mut(index).ok_or(Refusal::UnknownAgent)?;
        agent.overrides.scheduled = order.overrides.scheduled.or(agent.overrides.scheduled);
        agent.overrides.mandatory_break = order.overrides.mandatory_break.or(agent.overrides.mandatory_break);
        if let Some(hold) = order.hold {
            agent.profile.acts = !hold;
        }
        let steps = if let Some(state) = order.state {
            agent.apply_script(state, now, behaviour)
        } else {
            agent.reset_timers(now);
            Vec::new()
        };
        self.record(index, steps, now);
        Ok(())
    }

    /// Returns the agent with this id.
    pub(super) fn agent(&self, id: &str) -> Option<&Agent> {
        self.index.get(id).and_then(|at| self.agents.get(*at))
    }

    /// Returns the position of the agent with this id in the roster.
    pub(super) fn position(&self, id: &str) -> Option<usize> {
        self.index.get(id).copied()
    }

    /// Returns all agents, in the order of the roster.
    pub(super) fn agents(&self) -> &[Agent] {
        &self.agents
    }

    /// Returns the agents' identities, in the order of the roster.
    pub(super) fn roster(&self) -> &Arc<[Identity]> {
        &self.roster
    }

    /// Returns the current instant.
    pub(super) fn current_time(&self) -> UtcMicros {
        self.current_time
    }

    /// Returns the positions of these ids in the roster; unknown ids are left out.
    pub(super) fn positions<'a>(&self, ids: impl IntoIterator<Item = &'a str>) -> Vec<usize> {
        ids.into_iter().filter_map(|id| self.index.get(id).copied()).collect()
    }

    /// Returns what these agents are doing at the current instant.
    pub(super) fn agent_snapshots(&self, positions: &[usize]) -> Vec<AgentSnapshot> {
        let agent_snapshot = |index: &usize| {
            let agent = self.agents.get(*index)?;
            let (state, since, queue, wrap_up) = (agent.state, agent.since, agent.labels.queue, agent.wrap_up);
            Some(AgentSnapshot { index: *index, state, since, queue, wrap_up })
        };
        positions.iter().filter_map(agent_snapshot).collect()
    }
}

/// Counts the active agents of each skill.
fn agents_by_skill(agents: &[Agent], skills: usize) -> Vec<u32> {
    let mut crews = vec![0; skills];
    for agent in agents.iter().filter(|agent| agent.profile.acts) {
        for skill in agent.distinct_skills() {
            if let Some(crew) = crews.get_mut(usize::from(skill)) {
                *crew += 1;
            }
        }
    }
    crews
}
