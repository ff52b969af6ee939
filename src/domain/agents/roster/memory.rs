//! What automation has to remember of an agent and of a rule, so that it does not flap, hurry or repeat itself.
//!
//! Everything is bounded; nothing here decides.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::ids::RuleId;
use crate::domain::time::UtcMicros;

use super::TeamIndex;

/// No setting may look further back than this.
pub const LONGEST_MEMORY: Duration = Duration::from_hours(1);
/// The window of a rule's limits.
pub const LIMIT_WINDOW: Duration = Duration::from_mins(1);
/// More automatic changes of one agent are not remembered; far above any sensible limit in [`LONGEST_MEMORY`].
const MOST_CHANGES: usize = 64;
/// More rules are not remembered for one agent: as many as a rule set holds.
const MOST_RULES: usize = 64;
/// More acts of one rule within [`LIMIT_WINDOW`] are not remembered: one for each agent of the largest roster.
const MOST_ACTS: usize = 100_000;

/// When a rule last acted on an agent, and on which facts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Acted {
    /// The rule.
    pub rule: RuleId,
    /// When.
    pub at: UtcMicros,
    /// The key of the facts that it acted on.
    pub fact_key: u64,
}

/// What automation did to one agent lately.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AutomationMemory {
    changes: VecDeque<UtcMicros>,
    acted: Vec<Acted>,
    /// The keys of the facts on which rules were last recorded as held.
    held: Vec<(RuleId, u64)>,
    left_alone_until: Option<UtcMicros>,
}

impl AutomationMemory {
    /// How many automatic changes fell into the `window` that ends at `now`.
    pub fn changes_within(&self, window: Duration, now: UtcMicros) -> usize {
        self.changes.iter().filter(|at| now.since(**at) < window).count()
    }

    /// When the rule last acted on this agent.
    pub fn last_acted(&self, rule: &RuleId) -> Option<&Acted> {
        self.acted.iter().find(|acted| acted.rule == *rule)
    }

    /// The key of the facts on which the rule was last recorded as held.
    pub fn held_key(&self, rule: &RuleId) -> Option<u64> {
        self.held.iter().find(|(held, _)| held == rule).map(|(_, key)| *key)
    }

    /// The agent is left alone until this instant, after having reversed a change.
    pub const fn left_alone_until(&self) -> Option<UtcMicros> {
        self.left_alone_until
    }

    pub(super) fn change(&mut self, now: UtcMicros) {
        while self.changes.len() >= MOST_CHANGES
            || self.changes.front().is_some_and(|at| now.since(*at) >= LONGEST_MEMORY)
        {
            self.changes.pop_front();
        }
        self.changes.push_back(now);
    }

    pub(super) fn act(&mut self, rule: &RuleId, now: UtcMicros, fact_key: u64) {
        if let Some(acted) = self.acted.iter_mut().find(|acted| acted.rule == *rule) {
            (acted.at, acted.fact_key) = (now, fact_key);
            return;
        }
        if self.acted.len() >= MOST_RULES
            && let Some(oldest) = (0..self.acted.len()).min_by_key(|i| self.acted[*i].at)
        {
            self.acted.swap_remove(oldest);
        }
        self.acted.push(Acted { rule: rule.clone(), at: now, fact_key });
    }

    /// Gives whether the key is another than the one before.
    pub(super) fn hold(&mut self, rule: &RuleId, fact_key: u64) -> bool {
        if let Some((_, known)) = self.held.iter_mut().find(|(held, _)| held == rule) {
            return std::mem::replace(known, fact_key) != fact_key;
        }
        if self.held.len() >= MOST_RULES {
            self.held.remove(0);
        }
        self.held.push((rule.clone(), fact_key));
        true
    }

    pub(super) fn forget_held(&mut self) {
        self.held.clear();
    }

    /// The rules that acted on the agent.
    pub fn rules(&self) -> impl Iterator<Item = &RuleId> {
        self.acted.iter().map(|acted| &acted.rule)
    }

    /// The wall clock was set: everything is as long ago as before.
    pub(super) fn clock_set(&mut self, by_us: i64, now: UtcMicros) {
        let acted = self.acted.iter_mut().map(|acted| &mut acted.at);
        for at in self.changes.iter_mut().chain(acted) {
            *at = at.offset(by_us).min(now);
        }
        self.left_alone_until = self.left_alone_until.map(|until| until.offset(by_us));
    }

    pub(super) const fn leave_alone(&mut self, until: UtcMicros) {
        self.left_alone_until = Some(until);
    }
}

/// What one rule did within [`LIMIT_WINDOW`], over all agents.
#[derive(Clone, Debug, Default)]
pub struct RuleMemory {
    acts: VecDeque<(UtcMicros, TeamIndex)>,
}

impl RuleMemory {
    /// The teams of the agents that the rule acted on in the minute that ends at `now`, one entry per act.
    pub fn acts(&self, now: UtcMicros) -> impl Iterator<Item = TeamIndex> {
        self.acts.iter().filter(move |(at, _)| now.since(*at) < LIMIT_WINDOW).map(|(_, team)| *team)
    }

    pub(super) fn clock_set(&mut self, by_us: i64, now: UtcMicros) {
        for (at, _) in &mut self.acts {
            *at = at.offset(by_us).min(now);
        }
    }

    pub(super) fn act(&mut self, team: TeamIndex, now: UtcMicros) {
        while self.acts.len() >= MOST_ACTS || self.acts.front().is_some_and(|(at, _)| now.since(*at) >= LIMIT_WINDOW) {
            self.acts.pop_front();
        }
        self.acts.push_back((now, team));
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
            memory.change(at(second));
        }
        assert_eq!(
            memory.changes_within(Duration::from_secs(200), at(200)),
            2,
            "the window's first instant is outside"
        );
        memory.change(at(3_650));
        assert_eq!(memory.changes.len(), 3, "the one of an hour ago is forgotten");
    }

    #[test]
    fn memory_has_limits() {
        let (mut memory, mut rule) = (AutomationMemory::default(), RuleMemory::default());
        for n in 0..200 {
            memory.change(at(n));
            memory.act(&RuleId::new(format!("rule-{n}")), at(n), 0);
            assert!(memory.hold(&RuleId::new(format!("rule-{n}")), 0));
        }
        assert_eq!(
            (memory.changes.len(), memory.acted.len(), memory.held.len()),
            (MOST_CHANGES, MOST_RULES, MOST_RULES)
        );
        assert!(memory.last_acted(&RuleId::new("rule-199")).is_some());
        assert!(memory.last_acted(&RuleId::new("rule-0")).is_none());
        for _ in 0..=MOST_ACTS {
            rule.act(TeamIndex::NONE, at(0));
        }
        assert_eq!(rule.acts.len(), MOST_ACTS);
        rule.act(TeamIndex::NONE, at(60));
        assert_eq!((rule.acts.len(), rule.acts(at(60)).count()), (1, 1));
    }

    #[test]
    fn a_rule_that_acts_again_is_remembered_once() {
        let mut memory = AutomationMemory::default();
        let rule = RuleId::new("r");
        memory.act(&rule, at(1), 7);
        memory.act(&rule, at(9), 8);
        assert_eq!(memory.acted, [Acted { rule, at: at(9), fact_key: 8 }]);
    }
}
