//! A checked set of rules, arranged for fast passes over the roster.
//!
//! A table by planned kind and state tells which rules can match at all, and only those are evaluated.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::agents::kind_sets::{PLAN_KINDS, PlanKind};
use crate::domain::agents::state::{AgentState, STATE_KINDS};
use crate::domain::changes::policy::OnContact;
use crate::domain::ids::{ReasonCode, RuleId, TeamName};

use super::anomaly::AnomalyTest;
use super::check::{Capabilities, compile_all};
use super::condition::Condition;
use super::figures::FigureTest;
use super::{Class, Mode, Rule, RuleDiagnostic};

/// The largest number of rules in a set: each has one bit in the table.
pub const MAX_RULES: usize = u64::BITS as usize;

/// A rule with all names resolved.
#[derive(Clone, PartialEq, Debug)]
pub struct CompiledRule {
    /// The id.
    pub id: RuleId,
    /// The version; see [`Rule::version`].
    pub version: Arc<str>,
    /// The class.
    pub class: Class,
    /// The mode of the rule.
    pub mode: Mode,
    /// The action.
    pub action: RuleAction,
    /// The least time between two actions on the same agent.
    pub cooldown: Duration,
    /// The limits within any minute.
    pub limits: Limits,
    /// The conditions that must all hold.
    pub when: Vec<Condition>,
    /// The conditions that hold the rule back if all of them hold.
    pub unless: Option<Vec<Condition>>,
    /// Whether a condition of `when` depends on the plan. Such a rule is held for agents with an approved exception.
    pub depends_on_plan: bool,
}

/// The action of a rule, as recorded: `{"set_state": {"state": "Ready", "reason": "WORKING", …}}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleAction {
    /// Set the agent's state.
    SetState {
        /// The state.
        state: AgentState,
        /// The reason code.
        reason: ReasonCode,
        /// How the change treats an agent with a contact.
        on_contact: OnContact,
    },
    /// Log the agent out.
    LogOut {
        /// How the change treats an agent with a contact.
        on_contact: OnContact,
    },
    /// Send this message to people.
    Tell(Arc<str>),
    /// Ask a person this question.
    Ask(Arc<str>),
}

impl RuleAction {
    /// Returns the target state and how the change treats a contact; `None` if the action changes no state.
    pub const fn target(&self) -> Option<(&AgentState, OnContact)> {
        match self {
            Self::SetState { state, on_contact, .. } => Some((state, *on_contact)),
            Self::LogOut { on_contact } => Some((&AgentState::LoggedOut, *on_contact)),
            Self::Tell(_) | Self::Ask(_) => None,
        }
    }

    /// Whether the action changes the agent's state.
    pub const fn changes_state(&self) -> bool {
        self.target().is_some()
    }
}

/// Formats the action as the object of a sentence: `set Ready (WORKING)`.
impl fmt::Display for RuleAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetState { state, reason, .. } => write!(f, "set {state} ({reason})"),
            Self::LogOut { .. } => f.write_str("log out"),
            Self::Tell(text) => write!(f, "tell \"{text}\""),
            Self::Ask(text) => write!(f, "ask \"{text}\""),
        }
    }
}

/// The largest number of actions of a rule within any minute.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Limits {
    /// Actions on all agents.
    pub per_minute: Option<usize>,
    /// Actions on one team, as a share of its agents at work.
    pub share_of_team: Option<f64>,
}

/// The table index for agents that have not been observed, after the indices of states.
const NEVER_OBSERVED: usize = STATE_KINDS;

/// The values that conditions refer to by index, so that a pass looks each up only once.
#[derive(Clone, Debug, Default)]
pub(super) struct RuleReferences {
    /// Teams.
    pub(super) teams: Vec<TeamName>,
    /// Figures with their bounds.
    pub(super) figures: Vec<FigureTest>,
    /// Anomalies of monitored series.
    pub(super) anomalies: Vec<AnomalyTest>,
}

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
