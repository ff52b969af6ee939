//! The live view of one tenant: every agent with plan, last observation and the automation's memory, in one flat list.
//!
//! The engine updates it after a commit, and the planner reads it. It decides nothing and reads no clock. Its methods
//! keep derived values (the position in the plan, the number of rule actions) consistent with their sources.

mod index;
pub mod memory;
pub mod plan_position;

use std::collections::HashMap;
use std::sync::Arc;

use jiff::tz::TimeZone;

pub use self::index::{AgentIndex, TeamIndex};

use self::memory::{AutomationMemory, RuleMemory};
use self::plan_position::PlanPosition;
use super::agent::{Agent, ObservedState};
use super::kind_sets::PlanKind;
use super::skill::Skills;
use crate::domain::adherence::exception::exception_at;
use crate::domain::analytics::anomaly::Anomalies;
use crate::domain::changes::policy::PlatformPlan;
use crate::domain::changes::priority::Priority;
use crate::domain::changes::transition::{Transition, WaitReason};
use crate::domain::ids::{AgentId, RuleId, TeamName, TenantId};
use crate::domain::live::figures::Figures;
use crate::domain::schedules::rest;
use crate::domain::schedules::schedule::{AgentPlan, Coverage};
use crate::domain::schedules::staffing::{RequiredStaffing, TeamQueues};
use crate::domain::time::UtcMicros;

/// The platform's own answers, and how long they are valid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CachedPlatformPlan {
    /// The answers.
    pub plan: PlatformPlan,
    /// The first instant at which they are no longer valid.
    pub valid_until: UtcMicros,
}

/// An open transition, as far as it blocks rules from its agent. A greater one blocks everything that a smaller one
/// does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct BlockingTransition {
    /// Its priority.
    pub priority: Priority,
    /// Whether it also blocks rules of the same priority; a transition that waits for approval does not.
    pub blocks_same_priority: bool,
}

impl BlockingTransition {
    /// Returns how a transition blocks rules.
    pub fn from_transition(transition: &Transition) -> Self {
        let needs_no_approval = transition.status.wait_reason() != Some(WaitReason::Approval);
        Self { priority: transition.priority, blocks_same_priority: needs_no_approval }
    }

    /// Returns whether a rule of this priority has to wait.
    pub fn blocks(self, rule_priority: Priority) -> bool {
        if self.blocks_same_priority { self.priority >= rule_priority } else { self.priority > rule_priority }
    }
}

/// Everything known of one agent. Changed only through [`Roster`].
#[derive(Clone, Debug)]
pub struct AgentRecord {
    plan_position: PlanPosition,
    observed: Option<ObservedState>,
    last_observed_at: Option<UtcMicros>,
    memory: Option<Box<AutomationMemory>>,
    platform_plan: Option<Box<CachedPlatformPlan>>,
    last_rest_ended_at: Option<UtcMicros>,
    plan: Arc<AgentPlan>,
    team: TeamIndex,
    zone: u16,
    blocking_transition: Option<BlockingTransition>,
    skills: Skills,
    exceptions: Option<Arc<[Coverage]>>,
    agent: Agent,
}

impl AgentRecord {
    /// Returns the agent's identity.
    pub const fn agent(&self) -> &Agent {
        &self.agent
    }

    /// Returns the agent's id.
    pub const fn id(&self) -> &AgentId {
        &self.agent.id
    }

    /// Returns the team's number.
    pub const fn team(&self) -> TeamIndex {
        self.team
    }

    /// Returns the skills from a file or a person, ordered by id.
    pub const fn skills(&self) -> &Skills {
        &self.skills
    }

    /// Returns the last observed state.
    pub const fn observed(&self) -> Option<&ObservedState> {
        self.observed.as_ref()
    }

    /// Returns when the newest observation that included the agent was generated.
    pub const fn last_observed_at(&self) -> Option<UtcMicros> {
        self.last_observed_at
    }

    /// Returns the plan.
    pub const fn plan(&self) -> &Arc<AgentPlan> {
        &self.plan
    }

    /// Returns the position in the plan at `now`. Searches the plan if [`Roster::advance`] was not called for `now`.
    pub fn plan_position(&self, now: UtcMicros) -> PlanPosition {
        if self.plan_position.is_valid_at(now) { self.plan_position } else { PlanPosition::at(&self.plan, now) }
    }

    /// Returns the platform's answers that are valid at `now`.
    pub fn platform_plan(&self, now: UtcMicros) -> PlatformPlan {
        self.platform_plan
            .as_deref()
            .filter(|cached| now < cached.valid_until)
            .map_or_else(PlatformPlan::default, |cached| cached.plan)
    }

    /// Returns the agent's open transition that blocks the most rules.
    pub const fn blocking_transition(&self) -> Option<BlockingTransition> {
        self.blocking_transition
    }

    /// Returns the span of the exception that covers `now`, if any.
    pub fn exception(&self, now: UtcMicros) -> Option<Coverage> {
        self.exceptions.as_deref().and_then(|spans| exception_at(spans, now))
    }

    /// Returns when the agent's last exception ended, if it is recent enough to be kept.
    pub fn last_exception_ended_at(&self, now: UtcMicros) -> Option<UtcMicros> {
        self.exceptions.as_deref()?.iter().map(|span| span.end).rfind(|end| *end <= now)
    }

    /// Returns the automation's memory; `None` if it did nothing recently.
    pub fn memory(&self) -> Option<&AutomationMemory> {
        self.memory.as_deref()
    }

    /// Returns when the last state interval that counts as a rest ended (see [`rest::counts_as_rest`]).
    pub const fn last_rest_ended_at(&self) -> Option<UtcMicros> {
        self.last_rest_ended_at
    }

    fn set_state(&mut self, observed: ObservedState) {
        if let Some(before) = self.observed.take().filter(|before| before.state != observed.state) {
            self.record_rest(rest::counts_as_rest(&self.plan, &before, observed.entered_at), observed.entered_at);
        }
        self.observed = Some(observed);
    }

    fn record_rest(&mut self, counts_as_rest: bool, ended_at: UtcMicros) {
        if counts_as_rest {
            self.last_rest_ended_at = self.last_rest_ended_at.max(Some(ended_at));
        }
    }

    fn adjust_for_clock_change(&mut self, offset_us: i64, now: UtcMicros) {
        self.last_observed_at = self.last_observed_at.map(|at| at.offset(offset_us).min(now));
        self.last_rest_ended_at = self.last_rest_ended_at.map(|at| at.offset(offset_us).min(now));
        if let Some(memory) = &mut self.memory {
            memory.adjust_for_clock_change(offset_us, now);
        }
    }

    /// Returns whether the agent is at work, as far as is known: in a shift, or logged in without one.
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
    time_zone: TimeZone,
}

/// The agents of one tenant.
#[derive(Debug)]
pub struct Roster {
    tenant: TenantId,
    agents: Vec<AgentRecord>,
    by_id: HashMap<AgentId, AgentIndex>,
    teams: Vec<TeamName>,
    zones: Vec<Zone>,
    rules: HashMap<RuleId, RuleMemory>,
    figures: Arc<Figures>,
    anomalies: Arc<Anomalies>,
    required_staffing: Arc<[RequiredStaffing]>,
    team_queues: Arc<TeamQueues>,
    /// The earliest instant at which some agent's plan position ends.
    next_plan_change: UtcMicros,
    advanced_to: UtcMicros,
}

/// The highest team number: agents of further teams count as having none.
const MAX_TEAMS: usize = u16::MAX as usize;

impl Roster {
    /// Creates an empty roster.
    pub fn new(tenant: TenantId) -> Self {
        Self {
            tenant,
            agents: Vec::new(),
            by_id: HashMap::new(),
            teams: Vec::new(),
            zones: Vec::new(),
            rules: HashMap::new(),
            figures: Arc::default(),
            anomalies: Arc::default(),
            required_staffing: Arc::default(),
            team_queues: Arc::default(),
            next_plan_change: UtcMicros::EPOCH,
            advanced_to: UtcMicros::EPOCH,
        }
    }

    /// Returns the tenant of the agents.
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Returns all agents.
    pub fn agents(&self) -> &[AgentRecord] {
        &self.agents
    }

    /// Returns all agents with their indices.
    pub fn iter(&self) -> impl Iterator<Item = (AgentIndex, &AgentRecord)> {
        (0..).map(AgentIndex).zip(&self.agents)
    }

    /// Returns the number of agents.
    pub const fn len(&self) -> usize {
        self.agents.len()
    }

    /// Returns whether there are no agents.
    pub const fn is_empty(&self) -> bool {
        self.agents.is_empty()
    }

    /// Returns the agent at an index.
    pub fn get(&self, index: AgentIndex) -> Option<&AgentRecord> {
        self.agents.get(index.position())
    }

    /// Returns the index of an agent.
    pub fn find(&self, agent: &str) -> Option<AgentIndex> {
        self.by_id.get(agent).copied()
    }

    /// Returns the agent with this id.
    pub fn agent(&self, agent: &str) -> Option<&AgentRecord> {
        self.get(self.find(agent)?)
    }

    /// Returns the length of a table over teams, including [`TeamIndex::NONE`].
    pub const fn team_count(&self) -> usize {
        self.teams.len() + 1
    }

    /// Returns the number of a team that some agent belongs or belonged to.
    pub fn team(&self, name: &TeamName) -> Option<TeamIndex> {
        let position = self.teams.iter().position(|team| team == name)?;
        u16::try_from(position + 1).ok().map(TeamIndex)
    }

    /// Returns what a rule did within the last minute.
    pub fn rule_memory(&self, rule: &RuleId) -> Option<&RuleMemory> {
        self.rules.get(rule)
    }

    /// Returns the newest figures of skills and queues.
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// Replaces the figures.
    pub fn set_figures(&mut self, figures: Arc<Figures>) {
        self.figures = figures;
    }

    /// Returns the known anomalies of monitored series.
    pub fn anomalies(&self) -> &Anomalies {
        &self.anomalies
    }

    /// Replaces the anomalies.
    pub fn set_anomalies(&mut self, anomalies: Arc<Anomalies>) {
        self.anomalies = anomalies;
    }

    /// Returns the agents required in the queues, as far as the plans were read.
    pub fn required_staffing(&self) -> &[RequiredStaffing] {
        &self.required_staffing
    }

    /// Replaces the agents required in the queues.
    pub fn set_required_staffing(&mut self, required: Arc<[RequiredStaffing]>) {
        self.required_staffing = required;
    }

    /// Returns the queues of each team.
    pub fn team_queues(&self) -> &TeamQueues {
        &self.team_queues
    }

    /// Replaces the queues of each team.
    pub fn set_team_queues(&mut self, team_queues: Arc<TeamQueues>) {
        self.team_queues = team_queues;
    }

    /// Returns the offset of local time from UTC in seconds at `now`, for each zone number.
    pub fn utc_offsets(&self, now: UtcMicros) -> Vec<i32> {
        self.zones.iter().map(|zone| zone.time_zone.to_offset(now.timestamp()).seconds()).collect()
    }

    /// Returns the offset of an agent's local time, from [`Roster::utc_offsets`]; `None` if the zone is unknown.
    pub fn utc_offset_of(agent: &AgentRecord, offsets: &[i32]) -> Option<i32> {
        offsets.get(usize::from(agent.zone)).copied()
    }

    /// Adds an agent or replaces its identity; state, plan and memory are kept.
    pub fn upsert(&mut self, agent: Agent) -> AgentIndex {
        let team = agent.team.as_ref().map_or(TeamIndex::NONE, |name| self.intern_team(name));
        let zone = agent.zone.as_ref().map_or(NO_ZONE, |name| self.intern_zone(name));
        if let Some(index) = self.by_id.get(&agent.id).copied() {
            let record = &mut self.agents[index.position()];
            (record.agent, record.team, record.zone) = (agent, team, zone);
            return index;
        }
        let index = AgentIndex(u32::try_from(self.agents.len()).unwrap_or(u32::MAX));
        self.by_id.insert(agent.id.clone(), index);
        let plan = Arc::new(AgentPlan::default());
        self.agents.push(AgentRecord {
            plan_position: PlanPosition::at(&plan, self.advanced_to),
            observed: None,
            last_observed_at: None,
            memory: None,
            platform_plan: None,
            last_rest_ended_at: None,
            plan,
            team,
            zone,
            blocking_transition: None,
            skills: Skills::default(),
            exceptions: None,
            agent,
        });
        index
    }

    /// Removes an agent; the last agent of the list moves to its index.
    pub fn remove(&mut self, agent: &str) -> Option<AgentRecord> {
        let index = self.by_id.remove(agent)?;
        let removed = self.agents.swap_remove(index.position());
        if let Some(moved) = self.agents.get(index.position()) {
            self.by_id.insert(moved.agent.id.clone(), index);
        }
        Some(removed)
    }

    /// Replaces an agent's plan.
    pub fn set_plan(&mut self, index: AgentIndex, plan: Arc<AgentPlan>) {
        let now = self.advanced_to;
        if let Some(record) = self.agents.get_mut(index.position()) {
            record.plan_position = PlanPosition::at(&plan, now);
            record.plan = plan;
            self.next_plan_change = self.next_plan_change.min(record.plan_position.until());
        }
    }

    /// Sets the observed state and when the observation was generated. `last_observed_at` never becomes earlier.
    pub fn record_observation(&mut self, index: AgentIndex, observed: ObservedState, observed_at: UtcMicros) {
        if let Some(record) = self.agents.get_mut(index.position()) {
            record.set_state(observed);
            record.last_observed_at = record.last_observed_at.max(Some(observed_at));
        }
    }

    /// Marks the agent as no longer observed, with `unobserved_state`. Does not change `last_observed_at`.
    pub fn mark_unobserved(&mut self, index: AgentIndex, unobserved_state: ObservedState) {
        if let Some(record) = self.agents.get_mut(index.position()) {
            record.set_state(unobserved_state);
        }
    }

    /// Records an observation generated at `observed_at` that included the agent and showed nothing new.
    pub fn mark_observed(&mut self, index: AgentIndex, observed_at: UtcMicros) {
        if let Some(record) = self.agents.get_mut(index.position()) {
            record.last_observed_at = record.last_observed_at.max(Some(observed_at));
        }
    }

    /// Records a time away from contacts, long enough for a rest, that ended before the last observed state. Used after
    /// a restart, from the store; set the plan first.
    pub fn record_past_rest(&mut self, index: AgentIndex, (began_at, ended_at): (UtcMicros, UtcMicros)) {
        if let Some(record) = self.agents.get_mut(index.position()) {
            record.record_rest(rest::can_begin_rest(&record.plan, began_at), ended_at);
        }
    }

    /// Sets the platform's own answers.
    pub fn set_platform_plan(&mut self, index: AgentIndex, plan: Option<CachedPlatformPlan>) {
        if let Some(record) = self.agents.get_mut(index.position()) {
            record.platform_plan = plan.map(Box::new);
        }
    }

    /// Sets the agent's skills, ordered by id.
    pub fn set_skills(&mut self, index: AgentIndex, skills: Skills) {
        if let Some(record) = self.agents.get_mut(index.position()) {
            record.skills = skills;
        }
    }

    /// Sets the agent's open transition.
    pub fn set_blocking_transition(&mut self, index: AgentIndex, blocking_transition: Option<BlockingTransition>) {
        if let Some(record) = self.agents.get_mut(index.position()) {
            record.blocking_transition = blocking_transition;
        }
    }

    /// Sets when exceptions cover the agent, as spans returned by
    /// [`exception_spans`](crate::domain::adherence::exception::exception_spans).
    pub fn set_exceptions(&mut self, index: AgentIndex, spans: Vec<Coverage>) {
        if let Some(record) = self.agents.get_mut(index.position()) {
            record.exceptions = (!spans.is_empty()).then(|| spans.into());
        }
    }

    /// Records that a rule acted on an agent. `changes_state` is `false` for an action that only notifies, requests or
    /// monitors: it counts for cooldown and limits, but not as an automatic change.
    pub fn record_rule_action(
        &mut self,
        index: AgentIndex,
        rule: &RuleId,
        fact_key: u64,
        changes_state: bool,
        now: UtcMicros,
    ) {
        let Some(record) = self.agents.get_mut(index.position()) else { return };
        record.memory.get_or_insert_default().record_action(rule, now, fact_key);
        let team = record.team;
        if changes_state {
            self.record_change(index, now);
        }
        match self.rules.get_mut(rule) {
            Some(rule_memory) => rule_memory.record_action(team, now),
            None => self.rules.entry(rule.clone()).or_default().record_action(team, now),
        }
    }

    /// Records an automatic change of the agent, for the guard against flapping.
    pub fn record_change(&mut self, index: AgentIndex, at: UtcMicros) {
        if let Some(record) = self.agents.get_mut(index.position()) {
            record.memory.get_or_insert_default().record_change(at);
        }
    }

    /// Records the facts on which a rule was held for an agent, and returns whether they are new.
    pub fn record_held(&mut self, index: AgentIndex, rule: &RuleId, fact_key: u64) -> bool {
        let record = self.agents.get_mut(index.position());
        record.is_some_and(|slot| slot.memory.get_or_insert_default().record_held(rule, fact_key))
    }

    /// Forgets which rules were held, so that they count as new again.
    pub fn clear_held(&mut self) {
        for memory in self.agents.iter_mut().filter_map(|record| record.memory.as_mut()) {
            memory.clear_held();
        }
    }

    /// Records that the agent reverted an automatic change and is left alone until `until`.
    pub fn pause_automation(&mut self, index: AgentIndex, until: UtcMicros) {
        if let Some(record) = self.agents.get_mut(index.position()) {
            record.memory.get_or_insert_default().pause_until(until);
        }
    }

    /// Adjusts to a wall clock that was moved by `offset_us` microseconds and is now at `now`: observations and the
    /// automation's memory keep their age, and are never in the future. The platform's answers are dropped, since they
    /// are valid until an instant of the old clock.
    pub fn adjust_for_clock_change(&mut self, offset_us: i64, now: UtcMicros) {
        for record in &mut self.agents {
            record.adjust_for_clock_change(offset_us, now);
            record.platform_plan = None;
        }
        for rule_memory in self.rules.values_mut() {
            rule_memory.adjust_for_clock_change(offset_us, now);
        }
    }

    /// Does the same for one agent, where the clock of its own past is known.
    pub fn adjust_agent_for_clock_change(&mut self, index: AgentIndex, offset_us: i64, now: UtcMicros) {
        if let Some(record) = self.agents.get_mut(index.position()) {
            record.adjust_for_clock_change(offset_us, now);
        }
    }

    /// Moves every agent's plan position to `now`. Cheap until the next edge of some plan; without it the planner
    /// searches outdated plans on every pass.
    pub fn advance(&mut self, now: UtcMicros) {
        if self.advanced_to <= now && now < self.next_plan_change {
            self.advanced_to = now;
            return;
        }
        let mut next_plan_change = UtcMicros::MAX;
        for record in &mut self.agents {
            if !record.plan_position.is_valid_at(now) {
                record.plan_position = PlanPosition::at(&record.plan, now);
            }
            next_plan_change = next_plan_change.min(record.plan_position.until());
        }
        (self.next_plan_change, self.advanced_to) = (next_plan_change, now);
    }

    fn intern_team(&mut self, name: &TeamName) -> TeamIndex {
        if let Some(team) = self.team(name) {
            return team;
        }
        if self.teams.len() >= MAX_TEAMS {
            return TeamIndex::NONE;
        }
        self.teams.push(name.clone());
        u16::try_from(self.teams.len()).map_or(TeamIndex::NONE, TeamIndex)
    }

    fn intern_zone(&mut self, name: &Arc<str>) -> u16 {
        let known = self.zones.iter().position(|zone| zone.name == *name);
        let zone_position = known.or_else(|| {
            let time_zone = TimeZone::get(name).ok()?;
            self.zones.push(Zone { name: Arc::clone(name), time_zone });
            Some(self.zones.len() - 1)
        });
        zone_position.and_then(|position| u16::try_from(position).ok()).unwrap_or(NO_ZONE)
    }
}

/// The zone number of agents whose zone is unknown.
const NO_ZONE: u16 = u16::MAX;

#[cfg(test)]
mod tests;
