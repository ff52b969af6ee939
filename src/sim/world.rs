//! The agents of one tenant and the passing of their time. Pure: it is told the instant, and returns what changed up to it.
//! It knows nothing of HTTP, tokens or faults.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::agent::{Agent, Cause, Habits, Overrides, Person, Step};
use super::contacts::{Contacts, Move, Skill, SkillAt};
use super::dice::Dice;
use super::figures::SkillFigures;
use super::state::SimState;
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::time::UtcMicros;

/// One change of state, with its cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) agent: AgentId,
    pub(super) step: Step,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Happening {
    /// An agent changed.
    Change(Change),
    /// A contact came into a line or left it.
    Move(Move),
}

/// Why the platform does not change a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    UnknownAgent,
    NotScheduled,
    MandatoryBreak,
    LoggedOut,
}

/// One agent at an instant, as the back door and snapshots show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) index: usize,
    pub(super) state: SimState,
    pub(super) since: UtcMicros,
    pub(super) queue: Option<SkillAt>,
    pub(super) wrap_up: Option<&'static str>,
}

/// What a script wants of an agent; what it leaves out stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) state: Option<SimState>,
    pub(super) hold: Option<bool>,
    pub(super) overrides: Overrides,
}

/// Who an agent is, for the rows of snapshots.
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
    /// When to look at which agent. An entry that no longer agrees with its agent is skipped.
    wakes: BinaryHeap<Reverse<(UtcMicros, usize)>>,
    /// Requests that were answered at once and take effect later: instant, request, agent, state.
    late: BinaryHeap<Reverse<(UtcMicros, u64, usize, SimState)>>,
    habits: Habits,
    reached: UtcMicros,
    happened: Vec<Happening>,
}

impl World {
    /// Agents at `start`, each with draws of its own under `seed` and `tenant`.
    pub(super) fn new(
        people: Vec<Person>,
        skills: Arc<[Skill]>,
        tenant: &TenantId,
        seed: u64,
        habits: Habits,
        start: UtcMicros,
    ) -> Self {
        let identity =
            |person: &Person| Identity { id: person.id.clone(), name: person.name.clone(), team: person.team.clone() };
        let roster = people.iter().map(identity).collect();
        let agents: Vec<Agent> = people
            .into_iter()
            .map(|person| {
                let dice = Dice::of(seed, &["life", tenant.as_str(), person.id.as_str()]);
                Agent::new(person, dice, start)
            })
            .collect();
        let index = agents.iter().enumerate().map(|(at, agent)| (agent.person.id.clone(), at)).collect();
        let wakes =
            agents.iter().enumerate().filter_map(|(at, agent)| Some(Reverse((agent.wakes_at()?, at)))).collect();
        let mut contacts = Contacts::new(&crews(&agents, skills.len()), tenant, seed, start);
        for (at, agent) in agents.iter().enumerate() {
            contacts.follow(at, agent.next_contact(), start);
        }
        let (late, happened) = (BinaryHeap::new(), Vec::new());
        Self { agents, roster, skills, contacts, index, wakes, late, habits, reached: start, happened }
    }

    /// Lets time pass up to `now`. An instant before the one already reached changes nothing.
    pub(super) fn step(&mut self, now: UtcMicros) {
        loop {
            let contact = self.contacts.due_at();
            let wake = self.wakes.peek().map(|Reverse((at, _))| *at);
            let late = self.late.peek().map(|Reverse((at, ..))| *at);
            // At one instant a contact comes before the agent who takes it.
            let Some(first) = [contact, wake, late].into_iter().flatten().min().filter(|at| *at <= now) else { break };
            if contact == Some(first) {
                self.contacts.wake();
                self.happened.extend(self.contacts.take_moves().map(Happening::Move));
            } else if wake == Some(first) {
                self.take_wake();
            } else {
                self.take_late();
            }
        }
        self.reached = self.reached.max(now);
    }

    fn take_wake(&mut self) {
        let Some(Reverse((at, index))) = self.wakes.pop() else { return };
        let habits = self.habits;
        let Some(agent) = self.agents.get_mut(index).filter(|agent| agent.wakes_at() == Some(at)) else { return };
        let step = agent.wake(at, habits);
        self.note(index, step, at);
    }

    fn take_late(&mut self) {
        let Some(Reverse((at, request_seq, index, state))) = self.late.pop() else { return };
        let habits = self.habits;
        let Some(agent) = self.agents.get_mut(index) else { return };
        let step = agent.obey(state, request_seq, at, habits);
        self.note(index, step, at);
    }

    /// Keeps what an agent did at `now`, and when to look at it next.
    fn note(&mut self, index: usize, steps: impl IntoIterator<Item = Step>, now: UtcMicros) {
        let Some(agent) = self.agents.get(index) else { return };
        for step in steps {
            if step.to == SimState::OnContact && step.cause == Cause::Contact {
                self.contacts.taken(index, step.at);
                self.happened.extend(self.contacts.take_moves().map(Happening::Move));
            }
            self.happened.push(Happening::Change(Change { agent: agent.person.id.clone(), step }));
        }
        self.contacts.follow(index, agent.next_contact(), now);
        if let Some(at) = agent.wakes_at() {
            self.wakes.push(Reverse((at, index)));
        }
    }

    /// Everything that happened since the last call.
    pub(super) fn take_happenings(&mut self) -> Vec<Happening> {
        std::mem::take(&mut self.happened)
    }

    /// The tenant's skills.
    pub(super) fn skills(&self) -> &Arc<[Skill]> {
        &self.skills
    }

    /// The figures of every skill at the instant reached.
    pub(super) fn figures(&self) -> Vec<SkillFigures> {
        let mut figures: Vec<SkillFigures> = (0..)
            .zip(self.skills.iter())
            .map(|(at, _)| SkillFigures { line: self.contacts.figures(at, self.reached), ..SkillFigures::default() })
            .collect();
        for agent in &self.agents {
            SkillFigures::count(&mut figures, agent);
        }
        figures
    }

    /// A state change request at an instant that was already stepped to; it takes effect `after` that.
    pub(super) fn request(
        &mut self,
        id: &str,
        state: SimState,
        request_seq: u64,
        after: Duration,
    ) -> Result<(), Refusal> {
        let (now, habits) = (self.reached, self.habits);
        let index = *self.index.get(id).ok_or(Refusal::UnknownAgent)?;
        let agent = self.agents.get_mut(index).ok_or(Refusal::UnknownAgent)?;
        if state == SimState::Available {
            if !agent.scheduled(now) {
                return Err(Refusal::NotScheduled);
            }
            if agent.mandatory_break(now) {
                return Err(Refusal::MandatoryBreak);
            }
        }
        if agent.state == SimState::LoggedOut {
            return Err(Refusal::LoggedOut);
        }
        if after.is_zero() {
            let step = agent.obey(state, request_seq, now, habits);
            self.note(index, step, now);
        } else {
            self.late.push(Reverse((now + after, request_seq, index, state)));
        }
        Ok(())
    }

    /// A script's word about one agent, at the instant reached.
    pub(super) fn order(&mut self, id: &str, order: Order) -> Result<(), Refusal> {
        let (now, habits) = (self.reached, self.habits);
        let index = *self.index.get(id).ok_or(Refusal::UnknownAgent)?;
        let agent = self.agents.get_mut(index).ok_or(Refusal::UnknownAgent)?;
        agent.overrides.scheduled = order.overrides.scheduled.or(agent.overrides.scheduled);
        agent.overrides.mandatory_break = order.overrides.mandatory_break.or(agent.overrides.mandatory_break);
        if let Some(hold) = order.hold {
            agent.person.lives = !hold;
        }
        let steps = if let Some(state) = order.state {
            agent.script(state, now, habits)
        } else {
            agent.settle(now);
            Vec::new()
        };
        self.note(index, steps, now);
        Ok(())
    }

    /// The agent of this id.
    pub(super) fn agent(&self, id: &str) -> Option<&Agent> {
        self.index.get(id).and_then(|at| self.agents.get(*at))
    }

    /// Every agent, in the order of the roster.
    pub(super) fn agents(&self) -> &[Agent] {
        &self.agents
    }

    /// Who the agents are, in the order of the roster.
    pub(super) fn roster(&self) -> &Arc<[Identity]> {
        &self.roster
    }

    /// The instant reached.
    pub(super) fn reached(&self) -> UtcMicros {
        self.reached
    }

    /// Where in the roster each of these ids stands; unknown ones are left out.
    pub(super) fn positions<'a>(&self, ids: impl IntoIterator<Item = &'a str>) -> Vec<usize> {
        ids.into_iter().filter_map(|id| self.index.get(id).copied()).collect()
    }

    /// What these agents are doing at the instant reached.
    pub(super) fn look(&self, positions: &[usize]) -> Vec<Look> {
        let look = |index: &usize| {
            let agent = self.agents.get(*index)?;
            let (state, since, queue, wrap_up) = (agent.state, agent.since, agent.queue, agent.wrap_up);
            Some(Look { index: *index, state, since, queue, wrap_up })
        };
        positions.iter().filter_map(look).collect()
    }
}

/// How many agents who live have each skill.
fn crews(agents: &[Agent], skills: usize) -> Vec<u32> {
    let mut crews = vec![0; skills];
    for agent in agents.iter().filter(|agent| agent.person.lives) {
        for skill in agent.distinct_skills() {
            if let Some(crew) = crews.get_mut(usize::from(skill)) {
                *crew += 1;
            }
        }
    }
    crews
}
