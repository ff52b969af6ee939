//! The automation's memory of agents and rules, which prevents flapping, haste and repetition.
//!
//! All of it is bounded; nothing here makes decisions.

use std::collections::VecDeque;
use std::time::Duration;

use super::index::TeamIndex;
use crate::domain::ids::RuleId;
use crate::domain::time::UtcMicros;

/// The longest time that any setting may look back.
pub const MAX_LOOKBACK: Duration = Duration::from_hours(1);
/// The window of a rule's limits.
pub const LIMIT_WINDOW: Duration = Duration::from_mins(1);
/// The number of automatic changes remembered per agent, far above any sensible limit within [`MAX_LOOKBACK`].
const MAX_CHANGES: usize = 64;
/// The number of rules remembered per agent: as many as a rule set holds.
const MAX_RULES: usize = 64;
/// The number of actions remembered per rule within [`LIMIT_WINDOW`]: one for each agent of the largest roster.
const MAX_ACTIONS: usize = 100_000;

/// The last action of a rule on an agent, and the facts it was based on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleAction {
    /// The rule.
    pub rule: RuleId,
    /// When it acted.
    pub at: UtcMicros,
    /// The key of the facts.
    pub fact_key: u64,
}

/// The automation's recent actions on one agent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AutomationMemory {
    changes: VecDeque<UtcMicros>,
    last_actions: Vec<RuleAction>,
    /// The keys of the facts on which rules were last recorded as held.
    held: Vec<(RuleId, u64)>,
    paused_until: Option<UtcMicros>,
}

impl AutomationMemory {
    /// Returns how many automatic changes fall within the `window` that ends at `now`.
    pub fn changes_within(&self, window: Duration, now: UtcMicros) -> usize {
        self.changes.iter().filter(|at| now.since(**at) < window).count()
    }

    /// Returns the rule's last action on this agent.
    pub fn last_action(&self, rule: &RuleId) -> Option<&RuleAction> {
        self.last_actions.iter().find(|action| action.rule == *rule)
    }

    /// Returns the key of the facts on which the rule was last recorded as held.
    pub fn held_key(&self, rule: &RuleId) -> Option<u64> {
        self.held.iter().find(|(held, _)| held == rule).map(|(_, key)| *key)
    }

    /// Returns until when the agent is left alone after reverting a change.
    pub const fn paused_until(&self) -> Option<UtcMicros> {
        self.paused_until
    }

    pub(super) fn record_change(&mut self, now: UtcMicros) {
        while self.changes.len() >= MAX_CHANGES || self.changes.front().is_some_and(|at| now.since(*at) >= MAX_LOOKBACK)
        {
            self.changes.pop_front();
        }
        self.changes.push_back(now);
    }

    pub(super) fn record_action(&mut self, rule: &RuleId, now: UtcMicros, fact_key: u64) {
        if let Some(action) = self.last_actions.iter_mut().find(|acted| acted.rule == *rule) {
            (action.at, action.fact_key) = (now, fact_key);
            return;
        }
        if self.last_actions.len() >= MAX_RULES
            && let Some(oldest) = (0..self.last_actions.len()).min_by_key(|i| self.last_actions[*i].at)
        {
            self.last_actions.swap_remove(oldest);
        }
        self.last_actions.push(RuleAction { rule: rule.clone(), at: now, fact_key });
    }

    /// Records the key and returns whether it differs from the one before.
    pub(super) fn record_held(&mut self, rule: &RuleId, fact_key: u64) -> bool {
        if let Some((_, held_key)) = self.held.iter_mut().find(|(held, _)| held == rule) {
            return std::mem::replace(held_key, fact_key) != fact_key;
        }
        if self.held.len() >= MAX_RULES {
            self.held.remove(0);
        }
        self.held.push((rule.clone(), fact_key));
        true
    }

    pub(super) fn clear_held(&mut self) {
        self.held.clear();
    }

    /// Returns the rules that acted on the agent.
    pub fn acting_rules(&self) -> impl Iterator<Item = &RuleId> {
        self.last_actions.iter().map(|action| &action.rule)
    }

    /// Adjusts to a clock change, so that everything keeps its age.
    pub(super) fn adjust_for_clock_change(&mut self, offset_us: i64, now: UtcMicros) {
        let action_times = self.last_actions.iter_mut().map(|acted| &mut acted.at);
        for at in self.changes.iter_mut().chain(action_times) {
            *at = at.offset(offset_us).min(now);
        }
        self.paused_until = self.paused_until.map(|until| until.offset(offset_us));
    }

    pub(super) const fn pause_until(&mut self, until: UtcMicros) {
        self.paused_until = Some(until);
    }
}

/// The actions of one rule within [`LIMIT_WINDOW`], over all agents.
#[derive(Clone, Debug, Default)]
pub struct RuleMemory {
    actions: VecDeque<(UtcMicros, TeamIndex)>,
}

impl RuleMemory {
    /// Returns the teams of the agents that the rule acted on in the minute that ends at `now`, one entry per action.
    pub fn recent_action_teams(&self, now: UtcMicros) -> impl Iterator<Item = TeamIndex> {
        self.actions.iter().filter(move |(at, _)| now.since(*at) < LIMIT_WINDOW).map(|(_, team)| *team)
    }

    pub(super) fn adjust_for_clock_change(&mut self, offset_us: i64, now: UtcMicros) {
        for (at, _) in &mut self.actions {
            *at = at.offset(offset_us).min(now);
        }
    }

    pub(super) fn record_action(&mut self, team: TeamIndex, now: UtcMicros) {
        while self.actions.len() >= MAX_ACTIONS
            || self.actions.front().is_some_and(|(at, _)| now.since(*at) >= LIMIT_WINDOW)
        {
            self.actions.pop_front();
        }
        self.actions.push_back((now, team));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> UtcMicros {
        UtcMicros::from_micros(second * 1_000_000)
    }

    #[test]
    fn changes_are_counted_within_the_window_and_forgotten_after_an_hour() {
        let mut memory = AutomationMemory::default();
        for second in [0, 100, 200] {
            memory.record_change(at(second));
        }
        assert_eq!(
            memory.changes_within(Duration::from_secs(200), at(200)),
            2,
            "the window's first instant is outside"
        );
        memory.record_change(at(3_650));
        assert_eq!(memory.changes.len(), 3, "the one of an hour ago is forgotten");
    }

    #[test]
    fn memory_has_limits() {
        let (mut memory, mut rule) = (AutomationMemory::default(), RuleMemory::default());
        for n in 0..200 {
            memory.record_change(at(n));
            memory.record_action(&RuleId::new(format!("rule-{n}")), at(n), 0);
            assert!(memory.record_held(&RuleId::new(format!("rule-{n}")), 0));
        }
        assert_eq!(
            (memory.changes.len(), memory.last_actions.len(), memory.held.len()),
            (MAX_CHANGES, MAX_RULES, MAX_RULES)
        );
        assert!(memory.last_action(&RuleId::new("rule-199")).is_some());
        assert!(memory.last_action(&RuleId::new("rule-0")).is_none());
        for _ in 0..=MAX_ACTIONS {
            rule.record_action(TeamIndex::NONE, at(0));
        }
        assert_eq!(rule.actions.len(), MAX_ACTIONS);
        rule.record_action(TeamIndex::NONE, at(60));
        assert_eq!((rule.actions.len(), rule.recent_action_teams(at(60)).count()), (1, 1));
    }

    #[test]
    fn a_rule_that_acts_again_is_remembered_once() {
        let mut memory = AutomationMemory::default();
        let rule = RuleId::new("r");
        memory.record_action(&rule, at(1), 7);
        memory.record_action(&rule, at(9), 8);
        assert_eq!(memory.last_actions, [RuleAction { rule, at: at(9), fact_key: 8 }]);
    }
}
