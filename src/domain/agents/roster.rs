//! The picture of one tenant: every agent with plan, last sight and what automation remembers, in one flat list.
//!
//! It is advanced by the engine after a commit and read by the planner. It decides nothing and reads no clock. Its methods keep
//! what is derived (the place in the plan, the count of acts) in step with what it is derived from.

pub mod memory;
pub mod standing;

use std::collections::HashMap;
use std::sync::Arc;

use jiff::tz::TimeZone;

use self::memory::{AutomationMemory, RuleMemory};
use self::standing::Standing;
use super::agent::{Agent, Observed};
use super::sets::PlanKind;
use super::skill::Skills;
use crate::domain::adherence::exception::excused_at;
use crate::domain::analytics::anomaly::Anomalies;
use crate::domain::changes::policy::PlatformSays;
use crate::domain::changes::priority::Priority;
use crate::domain::changes::transition::{Transition, WaitReason};
use crate::domain::ids::{AgentId, RuleId, TeamName, TenantId};
use crate::domain::live::figures::Figures;
use crate::domain::schedules::breaks;
use crate::domain::schedules::schedule::{AgentPlan, Coverage};
use crate::domain::time::UtcMicros;

/// An agent's place in the roster; good until the next [`Roster::upsert`] or [`Roster::remove`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AgentIndex(u32);

impl AgentIndex {
    /// The position in [`Roster::slots`].
    pub const fn position(self) -> usize {
        self.0 as usize
    }
}

/// A team's number in one roster. Agents of no known team share [`TeamIndex::NONE`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TeamIndex(u16);

impl TeamIndex {
    /// No known team.
    pub const NONE: Self = Self(0);

    /// The position in tables that are as long as [`Roster::team_count`].
    pub const fn position(self) -> usize {
        self.0 as usize
    }
}

/// The platform's own answers, and how long they may be believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PlatformAnswers {
    /// What it said.
    pub says: PlatformSays,
    /// First instant at which it no longer counts.
    pub good_until: UtcMicros,
}

/// An open transition, as far as it keeps rules off its agent. Of two, the greater one keeps off all that the other does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Busy {
    /// Its priority.
    pub priority: Priority,
    /// Whether it goes its way by itself; one that waits for a person to approve it gives way to its own class too.
    pub goes_on: bool,
}

impl Busy {
    /// What a transition keeps off.
    pub fn of(transition: &Transition) -> Self {
        let goes_on = transition.status.waits_for() != Some(WaitReason::Approval);
        Self { priority: transition.priority, goes_on }
    }

    /// Whether a rule of this class has to wait for it.
    pub fn keeps_off(self, class: Priority) -> bool {
        if self.goes_on { self.priority >= class } else { self.priority > class }
    }
}

/// All that is known of one agent. Changed through [`Roster`] alone.
#[derive(Clone, Debug)]
pub struct AgentSlot {
    standing: Standing,
    observed: Option<Observed>,
    seen_at: Option<UtcMicros>,
    memory: Option<Box<AutomationMemory>>,
    platform: Option<Box<PlatformAnswers>>,
    last_rest_ended_at: Option<UtcMicros>,
    plan: Arc<AgentPlan>,
    team: TeamIndex,
    zone: u16,
    busy: Option<Busy>,
    skills: Skills,
    excused: Option<Arc<[Coverage]>>,
    agent: Agent,
}

impl AgentSlot {
    /// Who it is.
    pub const fn agent(&self) -> &Agent {
        &self.agent
    }

    /// The agent's id.
    pub const fn id(&self) -> &AgentId {
        &self.agent.id
    }

    /// The team's number.
    pub const fn team(&self) -> TeamIndex {
        self.team
    }

    /// The skills that a file or a person gave the agent, by id.
    pub const fn skills(&self) -> &Skills {
        &self.skills
    }

    /// The state last observed.
    pub const fn observed(&self) -> Option<&Observed> {
        self.observed.as_ref()
    }

    /// When the newest sight that included the agent was generated.
    pub const fn seen_at(&self) -> Option<UtcMicros> {
        self.seen_at
    }

    /// The plan.
    pub const fn plan(&self) -> &Arc<AgentPlan> {
        &self.plan
    }

    /// The place in the plan at `now`; searched anew where [`Roster::advance`] was not called for `now`.
    pub fn standing(&self, now: UtcMicros) -> Standing {
        if self.standing.holds_at(now) { self.standing } else { Standing::of(&self.plan, now) }
    }

    /// The platform's answers as they count at `now`.
    pub fn platform(&self, now: UtcMicros) -> PlatformSays {
        self.platform
            .as_deref()
            .filter(|answers| now < answers.good_until)
            .map_or_else(PlatformSays::default, |a| a.says)
    }

    /// The agent's open transition that keeps most rules off.
    pub const fn busy(&self) -> Option<Busy> {
        self.busy
    }

    /// The span in which the agent is excused, where that is so at `now`.
    pub fn excused(&self, now: UtcMicros) -> Option<Coverage> {
        self.excused.as_deref().and_then(|spans| excused_at(spans, now))
    }

    /// When the agent was excused last, as far as spans are held that ended so lately.
    pub fn excused_until(&self, now: UtcMicros) -> Option<UtcMicros> {
        self.excused.as_deref()?.iter().map(|span| span.end).rfind(|end| *end <= now)
    }

    /// What automation remembers; `None` where it did nothing lately.
    pub fn memory(&self) -> Option<&AutomationMemory> {
        self.memory.as_deref()
    }

    /// When the last stay that counts as a rest ended (see [`breaks::counts_as_rest`]).
    pub const fn last_rest_ended_at(&self) -> Option<UtcMicros> {
        self.last_rest_ended_at
    }

    fn enter(&mut self, observed: Observed) {
        if let Some(before) = self.observed.take().filter(|before| before.state != observed.state) {
            self.note_rest(breaks::counts_as_rest(&self.plan, &before, observed.entered_at), observed.entered_at);
        }
        self.observed = Some(observed);
    }

    fn note_rest(&mut self, counts: bool, ended_at: UtcMicros) {
        if counts {
            self.last_rest_ended_at = self.last_rest_ended_at.max(Some(ended_at));
        }
    }

    fn clock_set(&mut self, by_us: i64, now: UtcMicros) {
        self.seen_at = self.seen_at.map(|at| at.offset(by_us).min(now));
        self.last_rest_ended_at = self.last_rest_ended_at.map(|at| at.offset(by_us).min(now));
        if let Some(memory) = &mut self.memory {
            memory.clock_set(by_us, now);
        }
    }

    /// At work as far as can be told: in a shift, or logged in without one.
    pub fn is_at_work(&self, kind: PlanKind) -> bool {
        use super::state::AgentState::{
            AfterContactWork, Idle, LoggedOut, NotReady, OnContact, Paused, Ready, Unknown,
        };
        kind.is_in_shift()
            || self.observed.as_ref().is_some_and(|observed| match observed.state {
                Ready | NotReady | Paused | Idle | OnContact | AfterContactWork => true,
                LoggedOut | Unknown(_) => false,
            })
    }
}

#[derive(Debug)]
struct Zone {
    name: Arc<str>,
    rules: TimeZone,
}

/// One tenant's agents.
#[derive(Debug)]
pub struct Roster {
    tenant: TenantId,
    slots: Vec<AgentSlot>,
    by_id: HashMap<AgentId, AgentIndex>,
    teams: Vec<TeamName>,
    zones: Vec<Zone>,
    rules: HashMap<RuleId, RuleMemory>,
    figures: Arc<Figures>,
    anomalies: Arc<Anomalies>,
    /// The earliest instant at which some agent's standing ends.
    next_edge: UtcMicros,
    advanced_to: UtcMicros,
}

/// A team number beyond the table: agents of the 65,535th and later teams count as having none.
const MOST_TEAMS: usize = u16::MAX as usize;

impl Roster {
    /// An empty roster.
    pub fn new(tenant: TenantId) -> Self {
        Self {
            tenant,
            slots: Vec::new(),
            by_id: HashMap::new(),
            teams: Vec::new(),
            zones: Vec::new(),
            rules: HashMap::new(),
            figures: Arc::default(),
            anomalies: Arc::default(),
            next_edge: UtcMicros::EPOCH,
            advanced_to: UtcMicros::EPOCH,
        }
    }

    /// Whose agents they are.
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// All agents.
    pub fn slots(&self) -> &[AgentSlot] {
        &self.slots
    }

    /// All agents with their places.
    pub fn iter(&self) -> impl Iterator<Item = (AgentIndex, &AgentSlot)> {
        (0..).map(AgentIndex).zip(&self.slots)
    }

    /// How many agents there are.
    pub const fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is no agent.
    pub const fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The agent at a place.
    pub fn get(&self, index: AgentIndex) -> Option<&AgentSlot> {
        self.slots.get(index.position())
    }

    /// The place of an agent.
    pub fn find(&self, agent: &str) -> Option<AgentIndex> {
        self.by_id.get(agent).copied()
    }

    /// The agent of this id.
    pub fn agent(&self, agent: &str) -> Option<&AgentSlot> {
        self.get(self.find(agent)?)
    }

    /// The length of a table over teams, [`TeamIndex::NONE`] included.
    pub const fn team_count(&self) -> usize {
        self.teams.len() + 1
    }

    /// The number of a team, where some agent belongs or belonged to it.
    pub fn team(&self, name: &TeamName) -> Option<TeamIndex> {
        let position = self.teams.iter().position(|team| team == name)?;
        u16::try_from(position + 1).ok().map(TeamIndex)
    }

    /// What a rule did within the last minute.
    pub fn rule_memory(&self, rule: &RuleId) -> Option<&RuleMemory> {
        self.rules.get(rule)
    }

    /// The newest figures of skills and queues.
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// Puts newer figures in.
    pub fn set_figures(&mut self, figures: Arc<Figures>) {
        self.figures = figures;
    }

    /// What is known of the anomalies of watched series.
    pub fn anomalies(&self) -> &Anomalies {
        &self.anomalies
    }

    /// Puts what is known of them in.
    pub fn set_anomalies(&mut self, anomalies: Arc<Anomalies>) {
        self.anomalies = anomalies;
    }

    /// The offset of local time from UTC in seconds, for each zone number, at `now`.
    pub fn zone_offsets(&self, now: UtcMicros) -> Vec<i32> {
        self.zones.iter().map(|zone| zone.rules.to_offset(now.timestamp()).seconds()).collect()
    }

    /// The offset of an agent's local time, out of [`Roster::zone_offsets`]; `None` where the zone is not known.
    pub fn offset_of(slot: &AgentSlot, offsets: &[i32]) -> Option<i32> {
        offsets.get(usize::from(slot.zone)).copied()
    }

    /// Adds an agent, or replaces what is known of who it is; state, plan and memory stay.
    pub fn upsert(&mut self, agent: Agent) -> AgentIndex {
        let team = agent.team.as_ref().map_or(TeamIndex::NONE, |name| self.intern_team(name));
        let zone = agent.zone.as_ref().map_or(NO_ZONE, |name| self.intern_zone(name));
        if let Some(index) = self.by_id.get(&agent.id).copied() {
            let slot = &mut self.slots[index.position()];
            (slot.agent, slot.team, slot.zone) = (agent, team, zone);
            return index;
        }
        let index = AgentIndex(u32::try_from(self.slots.len()).unwrap_or(u32::MAX));
        self.by_id.insert(agent.id.clone(), index);
        let plan = Arc::new(AgentPlan::default());
        self.slots.push(AgentSlot {
            standing: Standing::of(&plan, self.advanced_to),
            observed: None,
            seen_at: None,
            memory: None,
            platform: None,
            last_rest_ended_at: None,
            plan,
            team,
            zone,
            busy: None,
            skills: Skills::default(),
            excused: None,
            agent,
        });
        index
    }

    /// Takes an agent out; the last agent of the list moves to the free place.
    pub fn remove(&mut self, agent: &str) -> Option<AgentSlot> {
        let index = self.by_id.remove(agent)?;
        let removed = self.slots.swap_remove(index.position());
        if let Some(moved) = self.slots.get(index.position()) {
            self.by_id.insert(moved.agent.id.clone(), index);
        }
        Some(removed)
    }

    /// Replaces an agent's plan.
    pub fn set_plan(&mut self, index: AgentIndex, plan: Arc<AgentPlan>) {
        let now = self.advanced_to;
        if let Some(slot) = self.slots.get_mut(index.position()) {
            slot.standing = Standing::of(&plan, now);
            slot.plan = plan;
            self.next_edge = self.next_edge.min(slot.standing.until());
        }
    }

    /// Puts in what was observed, and when the sight was generated. A sight never makes `seen_at` earlier.
    pub fn observe(&mut self, index: AgentIndex, observed: Observed, seen_at: UtcMicros) {
        if let Some(slot) = self.slots.get_mut(index.position()) {
            slot.enter(observed);
            slot.seen_at = slot.seen_at.max(Some(seen_at));
        }
    }

    /// Nobody sees the agent any more: the state is `unknown` from an instant on, and no sight is newer for that.
    pub fn lose_sight(&mut self, index: AgentIndex, unknown: Observed) {
        if let Some(slot) = self.slots.get_mut(index.position()) {
            slot.enter(unknown);
        }
    }

    /// A sight generated at `seen_at` included the agent and showed nothing new.
    pub fn seen(&mut self, index: AgentIndex, seen_at: UtcMicros) {
        if let Some(slot) = self.slots.get_mut(index.position()) {
            slot.seen_at = slot.seen_at.max(Some(seen_at));
        }
    }

    /// Puts in a stay away from contacts, long enough for a rest, that ended before the state in which the agent was observed
    /// last, as the store remembers it (after a restart); the plan is to be there before it.
    pub fn note_past_rest(&mut self, index: AgentIndex, (began_at, ended_at): (UtcMicros, UtcMicros)) {
        if let Some(slot) = self.slots.get_mut(index.position()) {
            slot.note_rest(breaks::may_begin(&slot.plan, began_at), ended_at);
        }
    }

    /// Puts in the platform's own answers.
    pub fn set_platform(&mut self, index: AgentIndex, answers: Option<PlatformAnswers>) {
        if let Some(slot) = self.slots.get_mut(index.position()) {
            slot.platform = answers.map(Box::new);
        }
    }

    /// Says which skills the agent has, by id.
    pub fn set_skills(&mut self, index: AgentIndex, skills: Skills) {
        if let Some(slot) = self.slots.get_mut(index.position()) {
            slot.skills = skills;
        }
    }

    /// Says which open transition the agent has, or none.
    pub fn set_busy(&mut self, index: AgentIndex, busy: Option<Busy>) {
        if let Some(slot) = self.slots.get_mut(index.position()) {
            slot.busy = busy;
        }
    }

    /// Says when the agent is excused: spans as [`excused_spans`](crate::domain::adherence::exception::excused_spans) gives them.
    pub fn set_excused(&mut self, index: AgentIndex, spans: Vec<Coverage>) {
        if let Some(slot) = self.slots.get_mut(index.position()) {
            slot.excused = (!spans.is_empty()).then(|| spans.into());
        }
    }

    /// Remembers that `rule` acted on an agent. `changes_state` is false for what only tells, asks or watches: such an act
    /// counts for cooldown and limits, and not as an automatic change.
    pub fn note_act(&mut self, index: AgentIndex, rule: &RuleId, fact_key: u64, changes_state: bool, now: UtcMicros) {
        let Some(slot) = self.slots.get_mut(index.position()) else { return };
        slot.memory.get_or_insert_default().act(rule, now, fact_key);
        let team = slot.team;
        if changes_state {
            self.note_change(index, now);
        }
        match self.rules.get_mut(rule) {
            Some(known) => known.act(team, now),
            None => self.rules.entry(rule.clone()).or_default().act(team, now),
        }
    }

    /// Remembers an automatic change of the agent, for the guard against flapping.
    pub fn note_change(&mut self, index: AgentIndex, at: UtcMicros) {
        if let Some(slot) = self.slots.get_mut(index.position()) {
            slot.memory.get_or_insert_default().change(at);
        }
    }

    /// Remembers on which facts a rule was held back from an agent; gives whether that is news.
    pub fn note_held(&mut self, index: AgentIndex, rule: &RuleId, fact_key: u64) -> bool {
        let slot = self.slots.get_mut(index.position());
        slot.is_some_and(|slot| slot.memory.get_or_insert_default().hold(rule, fact_key))
    }

    /// Forgets what was held back: it is news again.
    pub fn forget_held(&mut self) {
        for memory in self.slots.iter_mut().filter_map(|slot| slot.memory.as_mut()) {
            memory.forget_held();
        }
    }

    /// Remembers that the agent reversed an automatic change and is left alone until `until`.
    pub fn note_reversal(&mut self, index: AgentIndex, until: UtcMicros) {
        if let Some(slot) = self.slots.get_mut(index.position()) {
            slot.memory.get_or_insert_default().leave_alone(until);
        }
    }

    /// The wall clock was set by so many microseconds and stands at `now`: sights and what automation remembers are as long ago
    /// as before, and never ahead. What the platform said until an instant of the old clock is forgotten.
    pub fn clock_set(&mut self, by_us: i64, now: UtcMicros) {
        for slot in &mut self.slots {
            slot.clock_set(by_us, now);
            slot.platform = None;
        }
        for rule in self.rules.values_mut() {
            rule.clock_set(by_us, now);
        }
    }

    /// The same for what is known of one agent, where the clock of its own past is known.
    pub fn clock_set_for(&mut self, index: AgentIndex, by_us: i64, now: UtcMicros) {
        if let Some(slot) = self.slots.get_mut(index.position()) {
            slot.clock_set(by_us, now);
        }
    }

    /// Moves every agent's place in the plan on to `now`. Cheap until the next edge of some plan; without it the planner
    /// searches the plans that are behind, pass by pass.
    pub fn advance(&mut self, now: UtcMicros) {
        if self.advanced_to <= now && now < self.next_edge {
            self.advanced_to = now;
            return;
        }
        let mut next_edge = UtcMicros::MAX;
        for slot in &mut self.slots {
            if !slot.standing.holds_at(now) {
                slot.standing = Standing::of(&slot.plan, now);
            }
            next_edge = next_edge.min(slot.standing.until());
        }
        (self.next_edge, self.advanced_to) = (next_edge, now);
    }

    fn intern_team(&mut self, name: &TeamName) -> TeamIndex {
        if let Some(team) = self.team(name) {
            return team;
        }
        if self.teams.len() >= MOST_TEAMS {
            return TeamIndex::NONE;
        }
        self.teams.push(name.clone());
        u16::try_from(self.teams.len()).map_or(TeamIndex::NONE, TeamIndex)
    }

    fn intern_zone(&mut self, name: &Arc<str>) -> u16 {
        let known = self.zones.iter().position(|zone| zone.name == *name);
        let position = known.or_else(|| {
            let rules = TimeZone::get(name).ok()?;
            self.zones.push(Zone { name: Arc::clone(name), rules });
            Some(self.zones.len() - 1)
        });
        position.and_then(|position| u16::try_from(position).ok()).unwrap_or(NO_ZONE)
    }
}

/// The zone number of agents whose zone is not known.
const NO_ZONE: u16 = u16::MAX;

#[cfg(test)]
mod tests;
