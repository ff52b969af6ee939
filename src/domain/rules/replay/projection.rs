//! What rules would do under a plan in the hours to come, and how that differs under another plan.
//!
//! Nobody knows what agents will do. A projection assumes that they change nothing by themselves: an agent keeps the
//! present state until a rule changes it, becomes ready when a shift starts, and logs out when it ends. An agent on a
//! contact counts as ready, since contacts end soon. Figures of skills and queues are unknown, so rules that need them
//! do nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::{DecideSettings, Replay, ReplayedAction};
use crate::domain::adherence::timeline::Span;
use crate::domain::agents::agent::{Agent, ObservationSource, ObservedState};
use crate::domain::agents::state::AgentState;
use crate::domain::ids::{AgentId, RuleId, TenantId};
use crate::domain::rules::rule::Mode;
use crate::domain::rules::rule::compile::RuleSet;
use crate::domain::schedules::schedule::{AgentPlan, Coverage};
use crate::domain::time::UtcMicros;

/// The number of agents up to which every minute is evaluated; with more agents, every fifth one.
const AGENTS_PER_MINUTE_STEP: usize = 2_000;

/// An agent at the start of a projection.
#[derive(Clone, Debug)]
pub struct ProjectedAgent {
    /// The agent.
    pub agent: Agent,
    /// The state at the start; without one, it follows from the plan.
    pub observed: Option<ObservedState>,
    /// The times of approved exceptions.
    pub exceptions: Vec<Coverage>,
}

/// What a projection is about, apart from the plans.
#[derive(Debug)]
pub struct Projection {
    /// The tenant.
    pub tenant: TenantId,
    /// All agents of the roster.
    pub agents: Vec<ProjectedAgent>,
    /// The rules in force.
    pub rules: Arc<RuleSet>,
    /// The guards and adherence settings.
    pub settings: DecideSettings,
    /// The time range.
    pub span: Span,
}

/// An action of a rule that differs between two plans.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ChangedAction {
    /// The rule.
    pub rule: RuleId,
    /// The agent.
    pub agent: AgentId,
    /// The action, such as `set Ready (WORKING)`.
    pub action: String,
    /// When the rule acts under the first plan; `None` if it does not.
    pub before: Option<UtcMicros>,
    /// When the rule acts under the second plan; `None` if it does not.
    pub after: Option<UtcMicros>,
}

impl Projection {
    /// Returns the actions that differ between two plans, by rule, agent and time. `changed` has the agents whose plans
    /// differ, with both plans; all others have the plan of `common`.
    pub fn compare(
        &self,
        common: &HashMap<AgentId, Arc<AgentPlan>>,
        changed: &HashMap<AgentId, [Arc<AgentPlan>; 2]>,
    ) -> Vec<ChangedAction> {
        let side = |which: usize| {
            let mut plans = common.clone();
            plans.extend(changed.iter().map(|(agent, both)| (agent.clone(), Arc::clone(&both[which]))));
            self.project(&plans)
        };
        changed_actions(side(0), side(1), self.step())
    }

    /// Returns the mode of a rule.
    pub fn mode_of(&self, rule: &RuleId) -> Option<Mode> {
        self.rules.rules().iter().find(|known| known.id == *rule).map(|known| known.mode)
    }

    const fn step(&self) -> Duration {
        if self.agents.len() <= AGENTS_PER_MINUTE_STEP { Duration::from_mins(1) } else { Duration::from_mins(5) }
    }

    fn project(&self, plans: &HashMap<AgentId, Arc<AgentPlan>>) -> Vec<ReplayedAction> {
        let (from, to) = self.span;
        let agents = self.agents.iter().map(|projected| projected.agent.clone());
        let mut replay = Replay::new(self.tenant.clone(), agents, Arc::clone(&self.rules), &self.settings, None);
        replay.max_listed = usize::MAX;
        replay.set_plans(plans);
        let exceptions: HashMap<&AgentId, &[Coverage]> =
            self.agents.iter().map(|projected| (&projected.agent.id, projected.exceptions.as_slice())).collect();
        replay.set_exceptions(|agent| exceptions.get(&agent.id).copied().unwrap_or_default().to_vec());
        let nothing_planned = AgentPlan::default();
        let mut events = Vec::new();
        for ProjectedAgent { agent, observed, .. } in &self.agents {
            let plan = plans.get(&agent.id).map_or(&nothing_planned, Arc::as_ref);
            let start = match observed {
                Some(present) if present.state.is_on_contact() => self::observed(AgentState::Ready, from),
                Some(present) => present.clone(),
                None => state_by_plan(plan, from),
            };
            replay.observe(&agent.id, start);
            events.extend(shift_events(plan, self.span).map(|(at, event)| (at, event, &agent.id)));
        }
        // An agent whose shift ends when the next one starts logs out first.
        events.sort_unstable();
        let mut events = events.into_iter().peekable();
        let mut now = from;
        while now < to {
            while let Some((at, event, agent)) = events.next_if(|(at, ..)| *at <= now) {
                replay.begin_or_end_shift(agent, event, at);
            }
            replay.evaluate_at(now);
            now = now + self.step();
        }
        replay.finish().listed_actions
    }
}

/// What an agent does at an end of a shift.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum ShiftEvent {
    End,
    Start,
}

/// Returns the starts and ends of shifts within a time range.
fn shift_events(plan: &AgentPlan, (from, to): Span) -> impl Iterator<Item = (UtcMicros, ShiftEvent)> {
    let mut shifts: Vec<Span> = plan.segments().iter().map(|segment| plan.shift_of(segment)).collect();
    shifts.dedup();
    let ends = shifts.into_iter().flat_map(|(start, end)| [(start, ShiftEvent::Start), (end, ShiftEvent::End)]);
    ends.filter(move |(at, _)| from < *at && *at < to)
}

/// Returns the state of an agent who follows the plan.
fn state_by_plan(plan: &AgentPlan, at: UtcMicros) -> ObservedState {
    match plan.index_at(at).and_then(|index| plan.segments().get(index)) {
        Some(segment) => observed(AgentState::Ready, plan.shift_of(segment).0),
        None => observed(AgentState::LoggedOut, at),
    }
}

fn observed(state: AgentState, at: UtcMicros) -> ObservedState {
    ObservedState::new(state, at, ObservationSource::Snapshot)
}

impl Replay {
    fn begin_or_end_shift(&mut self, agent: &AgentId, event: ShiftEvent, at: UtcMicros) {
        let is_present = self
            .roster
            .agent(agent.as_str())
            .and_then(|record| record.observed())
            .is_some_and(|observed| observed.state != AgentState::LoggedOut && !observed.state.is_unobserved());
        match (event, is_present) {
            (ShiftEvent::Start, false) => self.observe(agent, observed(AgentState::Ready, at)),
            (ShiftEvent::End, true) => self.observe(agent, observed(AgentState::LoggedOut, at)),
            (ShiftEvent::Start, true) | (ShiftEvent::End, false) => {}
        }
    }
}

/// Returns what differs between two lists of actions. Actions at most `tolerance` apart are the same.
fn changed_actions(before: Vec<ReplayedAction>, after: Vec<ReplayedAction>, tolerance: Duration) -> Vec<ChangedAction> {
    type Times = [Vec<UtcMicros>; 2];
    let mut times: BTreeMap<(RuleId, AgentId, String), Times> = BTreeMap::new();
    for (side, actions) in [before, after].into_iter().enumerate() {
        for ReplayedAction { at, rule, agent, action, .. } in actions {
            times.entry((rule, agent, action)).or_default()[side].push(at);
        }
    }
    let mut changed = Vec::new();
    for ((rule, agent, action), [before, after]) in times {
        let [before, after] = without_same(before, after, tolerance);
        for index in 0..before.len().max(after.len()) {
            let (before, after) = (before.get(index).copied(), after.get(index).copied());
            changed.push(ChangedAction {
                rule: rule.clone(),
                agent: agent.clone(),
                action: action.clone(),
                before,
                after,
            });
        }
    }
    changed
}

/// Returns the times of each list, both in order, that the other one does not have.
fn without_same(before: Vec<UtcMicros>, after: Vec<UtcMicros>, tolerance: Duration) -> [Vec<UtcMicros>; 2] {
    let (mut before, mut after) = (before.into_iter().peekable(), after.into_iter().peekable());
    let mut left = [Vec::new(), Vec::new()];
    while let (Some(one), Some(other)) = (before.peek().copied(), after.peek().copied()) {
        if one.since(other).max(other.since(one)) <= tolerance {
            before.next();
            after.next();
        } else if one < other {
            left[0].extend(before.next());
        } else {
            left[1].extend(after.next());
        }
    }
    left[0].extend(before);
    left[1].extend(after);
    left
}
