//! A checked set of rules, arranged for fast passes over the roster.
//!
//! A table by planned kind and state tells which rules can match at all, and only those are evaluated.

use crate::domain::agents::kind_sets::{PLAN_KINDS, PlanKind};
use crate::domain::agents::state::{AgentState, STATE_KINDS};
use crate::domain::ids::TeamName;

use super::anomaly::AnomalyTest;
use super::check::{Capabilities, compile_all};
use super::compiled_rule::RuleReferences;
pub use super::compiled_rule::{CompiledRule, Limits, MAX_RULES, RuleAction};
use super::condition::Condition;
use super::figures::FigureTest;
use super::{Rule, RuleDiagnostic};

/// The table index for agents that have not been observed, after the indices of states.
const NEVER_OBSERVED: usize = STATE_KINDS;

/// A set of rules, in the order in which they are tried.
#[derive(Clone, Debug)]
pub struct RuleSet {
    rules: Vec<CompiledRule>,
    references: RuleReferences,
    candidates: [[u64; STATE_KINDS + 1]; PLAN_KINDS],
}

impl RuleSet {
    /// Checks and compiles the rules; the errors are those of [`super::check::check`].
    pub fn compile(rules: &[Rule], capabilities: Capabilities) -> Result<Self, Vec<RuleDiagnostic>> {
        let mut references = RuleReferences::default();
        let (mut compiled, diagnostics) = compile_all(rules, capabilities, &mut references);
        if !diagnostics.is_empty() {
            return Err(diagnostics);
        }
        // The sort is stable, so that rules of a class keep the order of the file.
        compiled.sort_by_key(|rule| std::cmp::Reverse(rule.class.priority()));
        let mut candidates = [[0; STATE_KINDS + 1]; PLAN_KINDS];
        for (kind, by_state) in PlanKind::ALL.into_iter().zip(&mut candidates) {
            for (state, mask) in by_state.iter_mut().enumerate() {
                for (bit, rule) in compiled.iter().enumerate() {
                    *mask |= u64::from(can_match(&rule.when, kind, state)) << bit;
                }
            }
        }
        Ok(Self { rules: compiled, references, candidates })
    }

    /// Returns the rules in the order in which they are tried.
    pub fn rules(&self) -> &[CompiledRule] {
        &self.rules
    }

    /// Returns the teams named by conditions, at the indices held by [`super::condition::ConditionTest::Team`].
    pub fn teams(&self) -> &[TeamName] {
        &self.references.teams
    }

    /// Returns the figures tested by conditions, at the indices held by [`super::condition::ConditionTest::Figure`].
    pub fn figures(&self) -> &[FigureTest] {
        &self.references.figures
    }

    /// Returns the anomalies tested by conditions, at the indices held by [`super::condition::ConditionTest::Anomaly`].
    pub fn anomalies(&self) -> &[AnomalyTest] {
        &self.references.anomalies
    }

    /// Returns one bit for each rule that can match an agent with this planned kind and state; the state is `None` for
    /// an agent not yet observed.
    pub const fn candidates(&self, kind: PlanKind, state: Option<&AgentState>) -> u64 {
        let state = match state {
            Some(state) => state.index(),
            None => NEVER_OBSERVED,
        };
        self.candidates[kind.index()][state]
    }
}

fn can_match(when: &[Condition], kind: PlanKind, state: usize) -> bool {
    when.iter().all(|condition| {
        let state_fits = condition.test.states().is_none_or(|states| states.contains_index(state));
        state_fits && condition.test.can_hold_in(kind)
    })
}
