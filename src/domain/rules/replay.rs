//! Backtests: runs rules over recorded history with the same planner that decides live.
//!
//! The caller (`engine::rules::backtests`) passes the recorded states in order and says when to evaluate. In addition,
//! an agent is evaluated just before its next recorded change, so that conditions which held until the end of a state
//! are not missed; otherwise a rule's actual change would hide its own cause. A change that a rule requests takes
//! effect at once and lasts until the agent's next recorded change, because nobody knows what the agent would have done
//! instead. A change during a contact waits for the end of the contact, as it does live. Known states count as freshly
//! observed.
//!
//! The following are not replayed because they are not recorded: the age of observations, figures of skills and queues,
//! the platform's own schedules and breaks, open transitions of people, and whether an agent would have reverted a
//! change.

mod projection;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::planner::{DecideSettings, Decisions, Intent, decide, decide_one, record_intent};
use super::rule::Mode;
use super::rule::compile::RuleSet;
use crate::domain::agents::agent::{Agent, ObservationSource, ObservedState};
use crate::domain::agents::roster::{AgentIndex, BlockingTransition, Roster};
use crate::domain::agents::state::AgentState;
use crate::domain::analytics::anomaly::Anomalies;
use crate::domain::changes::policy::OnContact;
use crate::domain::ids::{AgentId, RuleId, TenantId};
use crate::domain::schedules::schedule::{AgentPlan, Coverage};
use crate::domain::time::UtcMicros;

pub use projection::{ChangedAction, ProjectedAgent, Projection};

/// The largest number of actions that are listed one by one.
pub const MAX_LISTED: usize = 500;
/// The largest number of actions whose times are kept for comparison; later ones are only counted.
pub const MAX_COMPARED: usize = 100_000;
/// The largest distance at which a replayed action and an actual change count as the same: a rule's default cooldown.
pub const SAME_CHANGE_WINDOW: Duration = Duration::from_mins(5);
/// One hour in microseconds.
pub const HOUR_US: i64 = 3_600_000_000;

/// Returns the start of the hour (UTC) that contains an instant.
pub const fn hour_of(at: UtcMicros) -> UtcMicros {
    UtcMicros::from_micros(at.as_micros().div_euclid(HOUR_US) * HOUR_US)
}

/// Returns the time between two evaluations. It is longer for large rosters and long ranges, to bound the planner's
/// work.
pub fn step_for_roster(agents: usize, span: Duration) -> Duration {
    const MOST_AGENT_LOOKS: u64 = 200_000_000;
    const STEPS_S: [u64; 5] = [30, 60, 120, 300, 600];
    let looks = |step: u64| span.as_secs() / step * agents as u64;
    let step = STEPS_S.into_iter().find(|step| looks(*step) <= MOST_AGENT_LOOKS).unwrap_or(STEPS_S[4]);
    Duration::from_secs(step)
}

/// An action that a rule would have taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplayedAction {
    /// When it would have been taken.
    pub at: UtcMicros,
    /// The rule.
    pub rule: RuleId,
    /// The agent.
    pub agent: AgentId,
    /// The action, such as `set Ready (WORKING)`.
    pub action: String,
    /// The facts as text.
    pub facts: String,
}

/// The result of a backtest.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReplayResult {
    /// How many actions the rules would have taken.
    pub action_count: u64,
    /// The number of actions by rule, with the rule's mode in the backtest.
    pub by_rule: BTreeMap<RuleId, (Mode, u64)>,
    /// The number of actions by hour (UTC).
    pub by_hour: BTreeMap<UtcMicros, u64>,
    /// The number of actions by agent.
    pub by_agent: BTreeMap<AgentId, u64>,
    /// How often each guard held a rule back, counted once per change of the facts.
    pub held: BTreeMap<&'static str, u64>,
    /// The first actions, in order.
    pub listed_actions: Vec<ReplayedAction>,
    /// The times of actions by agent, in order.
    pub times_by_agent: BTreeMap<AgentId, Vec<UtcMicros>>,
    /// How many actions are kept in `times_by_agent`.
    compared_count: usize,
}

impl ReplayResult {
    /// Counts one action.
    fn count_action(&mut self, intent: &Intent, now: UtcMicros, max_listed: usize) {
        self.action_count += 1;
        self.by_rule.entry(intent.rule.clone()).or_insert((intent.mode, 0)).1 += 1;
        *self.by_hour.entry(hour_of(now)).or_default() += 1;
        *self.by_agent.entry(intent.agent.clone()).or_default() += 1;
        if self.listed_actions.len() < max_listed {
            self.listed_actions.push(ReplayedAction {
                at: now,
                rule: intent.rule.clone(),
                agent: intent.agent.clone(),
                action: intent.action.to_string(),
                facts: intent.facts.to_string(),
            });
        }
        if self.compared_count < MAX_COMPARED {
            self.compared_count += 1;
            self.times_by_agent.entry(intent.agent.clone()).or_default().push(now);
        }
    }

    /// Whether the times of all counted actions were kept for comparison.
    pub fn is_complete(&self) -> bool {
        self.action_count == self.compared_count as u64
    }
}

/// A change that waits for the end of a contact.
struct DeferredChange {
    state: AgentState,
    until: UtcMicros,
}

/// A set of rules running over recorded history.
pub struct Replay {
    roster: Roster,
    rules: Arc<RuleSet>,
    settings: DecideSettings,
    /// The rule whose actions are counted; `None` counts those of all rules.
    counted_rule: Option<RuleId>,
    deferred: HashMap<AgentIndex, DeferredChange>,
    /// When all agents were last evaluated.
    last_evaluated_at: Option<UtcMicros>,
    /// The largest number of actions that are listed one by one.
    max_listed: usize,
    result: ReplayResult,
}

impl Replay {
    /// Creates a replay with these agents, none of them observed yet.
    pub fn new(
        tenant: TenantId,
        agents: impl IntoIterator<Item = Agent>,
        rules: Arc<RuleSet>,
        settings: &DecideSettings,
        subject: Option<RuleId>,
    ) -> Self {
        let mut roster = Roster::new(tenant);
        for agent in agents {
            roster.upsert(agent);
        }
        // The age of observations is not recorded.
        let settings = DecideSettings { stale_after: Duration::MAX, ..settings.clone() };
        Self {
            roster,
            rules,
            settings,
            counted_rule: subject,
            deferred: HashMap::new(),
            last_evaluated_at: None,
            max_listed: MAX_LISTED,
            result: ReplayResult::default(),
        }
    }

    /// Sets the plans of the current days. An agent without an entry gets an empty plan.
    pub fn set_plans(&mut self, plans: &HashMap<AgentId, Arc<AgentPlan>>) {
        for (index, agent) in self.indices() {
            self.roster.set_plan(index, plans.get(&agent).cloned().unwrap_or_default());
        }
    }

    /// Sets the approved exceptions of each agent.
    pub fn set_exceptions(&mut self, spans_of: impl Fn(&Agent) -> Vec<Coverage>) {
        for (index, agent) in self.indices() {
            let spans = self.roster.agent(agent.as_str()).map(|slot| spans_of(slot.agent())).unwrap_or_default();
            self.roster.set_exceptions(index, spans);
        }
    }

    /// Sets the anomalies of monitored series. Each evaluation considers those that had been found by then.
    pub fn set_anomalies(&mut self, anomalies: Arc<Anomalies>) {
        self.roster.set_anomalies(anomalies);
    }

    fn indices(&self) -> Vec<(AgentIndex, AgentId)> {
        self.roster.iter().map(|(index, slot)| (index, slot.id().clone())).collect()
    }

    /// Takes in the next recorded state of an agent; an agent outside the roster is ignored.
    ///
    /// After the first evaluation, the rules are also evaluated at the instant before the change.
    pub fn observe(&mut self, agent: &AgentId, observed: ObservedState) {
        let Some(index) = self.roster.find(agent.as_str()) else { return };
        let at = observed.entered_at;
        if let Some(before_change) = self.last_evaluated_at.map(|looked_at| looked_at.max(at.offset(-1))) {
            self.drop_expired_changes(before_change);
            let decisions = decide_one(&self.roster, &self.rules, &self.settings, index, before_change);
            self.apply_decisions(decisions, before_change);
        }
        let on_contact = observed.state.is_on_contact();
        let already_in_state = self.deferred.get(&index).is_some_and(|waiting| waiting.state == observed.state);
        self.roster.record_observation(index, observed, at);
        if on_contact {
            return;
        }
        let Some(waiting) = self.deferred.remove(&index) else { return };
        self.roster.set_blocking_transition(index, None);
        if !already_in_state && at < waiting.until {
            self.change_state(index, waiting.state, at);
        }
    }

    /// Evaluates the rules at an instant. Instants must ascend, and everything recorded up to `now` must have been
    /// observed.
    pub fn evaluate_at(&mut self, now: UtcMicros) {
        self.roster.advance(now);
        self.drop_expired_changes(now);
        self.last_evaluated_at = Some(now);
        let decisions = decide(&self.roster, &self.rules, &self.settings, now);
        self.apply_decisions(decisions, now);
    }

    fn apply_decisions(&mut self, decisions: Decisions, now: UtcMicros) {
        for intent in decisions.intents {
            record_intent(&mut self.roster, &intent, now);
            if self.counted_rule.as_ref().is_none_or(|subject| *subject == intent.rule) {
                self.result.count_action(&intent, now, self.max_listed);
            }
            if intent.mode == Mode::Enforce {
                self.apply_intent(&intent, now);
            }
        }
        for held in decisions.held {
            let is_new = self.roster.record_held(held.index, &held.rule, held.fact_key);
            if is_new && self.counted_rule.as_ref().is_none_or(|subject| *subject == held.rule) {
                *self.result.held.entry(held.guard.name()).or_default() += 1;
            }
        }
    }

    /// Drops the deferred changes whose planned activity has ended.
    fn drop_expired_changes(&mut self, now: UtcMicros) {
        let expired: Vec<AgentIndex> =
            self.deferred.iter().filter(|(_, waiting)| waiting.until <= now).map(|(index, _)| *index).collect();
        for index in expired {
            self.deferred.remove(&index);
            self.roster.set_blocking_transition(index, None);
        }
    }

    fn apply_intent(&mut self, intent: &Intent, now: UtcMicros) {
        let Some((state, on_contact)) = intent.action.target() else { return };
        let is_on_contact = self
            .roster
            .get(intent.index)
            .and_then(|slot| slot.observed())
            .is_some_and(|observed| observed.state.is_on_contact());
        if is_on_contact && on_contact == OnContact::After {
            let until = intent.facts.planned_until.unwrap_or(UtcMicros::MAX);
            self.deferred.insert(intent.index, DeferredChange { state: state.clone(), until });
            self.roster.set_blocking_transition(
                intent.index,
                Some(BlockingTransition { priority: intent.priority, blocks_same_priority: true }),
            );
        } else {
            self.change_state(intent.index, state.clone(), now);
        }
    }

    fn change_state(&mut self, index: AgentIndex, state: AgentState, at: UtcMicros) {
        let observed = ObservedState::new(state, at, ObservationSource::Post);
        self.roster.record_observation(index, observed, at);
    }

    /// Returns the result.
    pub fn finish(self) -> ReplayResult {
        self.result
    }
}

/// The comparison of replayed actions with actual changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ComparisonResult {
    /// Actions that match an actual change.
    pub matched: u64,
    /// Actions without an actual change.
    pub only_replayed: u64,
    /// Actual changes without a replayed action.
    pub only_actual: u64,
}

/// Matches actions with actual changes of the same agent within [`SAME_CHANGE_WINDOW`], each at most once. All times
/// must be in order.
pub fn compare_with_actual(
    replayed: &BTreeMap<AgentId, Vec<UtcMicros>>,
    actual: &BTreeMap<AgentId, Vec<UtcMicros>>,
) -> ComparisonResult {
    let mut comparison = ComparisonResult::default();
    let none = Vec::new();
    for (agent, acts) in replayed {
        let (mut acts, mut changes) = (acts.iter().peekable(), actual.get(agent).unwrap_or(&none).iter().peekable());
        while let (Some(act), Some(change)) = (acts.peek(), changes.peek()) {
            if act.since(**change).max(change.since(**act)) <= SAME_CHANGE_WINDOW {
                comparison.matched += 1;
                acts.next();
                changes.next();
            } else if act < change {
                comparison.only_replayed += 1;
                acts.next();
            } else {
                comparison.only_actual += 1;
                changes.next();
            }
        }
        comparison.only_replayed += acts.count() as u64;
        comparison.only_actual += changes.count() as u64;
    }
    let unreplayed = actual.iter().filter(|(agent, _)| !replayed.contains_key(*agent));
    comparison.only_actual += unreplayed.map(|(_, changes)| changes.len() as u64).sum::<u64>();
    comparison
}

#[cfg(test)]
mod tests;
