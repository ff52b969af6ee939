//! A checked set of rules in the shape that a pass over the roster reads fastest.
//!
//! A table over planned kind and state says which rules can match at all; only those are evaluated.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::agents::sets::{PLAN_KINDS, PlanKind};
use crate::domain::agents::state::{AgentState, STATE_KINDS};
use crate::domain::changes::policy::OnContact;
use crate::domain::ids::{ReasonCode, RuleId, TeamName};

use super::anomaly::AnomalyTest;
use super::check::{Capabilities, translate_all};
use super::condition::Condition;
use super::figures::FigureTest;
use super::{Class, Mode, Rule, RuleComplaint};

/// How many rules a set holds: one bit each in the table.
pub const MOST_RULES: usize = u64::BITS as usize;

/// A rule with everything resolved.
#[derive(Clone, PartialEq, Debug)]
pub struct CompiledRule {
    /// Its id.
    pub id: RuleId,
    /// Its version (see [`Rule::version`]).
    pub version: Arc<str>,
    /// Its class.
    pub class: Class,
    /// Whether it acts.
    pub mode: Mode,
    /// What it wants.
    pub action: Wanted,
    /// The least time between two acts on the same agent.
    pub cooldown: Duration,
    /// How much it may do within a minute.
    pub limits: Limits,
    /// All of these must hold.
    pub when: Vec<Condition>,
    /// Not all of these may.
    pub unless: Option<Vec<Condition>>,
    /// Some condition of `when` looks at the plan, so that the rule leaves the excused alone.
    pub looks_at_plan: bool,
}

/// What a rule wants of an agent, in the shape that is recorded: `{"set_state": {"state": "Ready", "reason": "WORKING", …}}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// Put the agent into a state.
    SetState {
        /// Which.
        state: AgentState,
        /// With which reason code.
        reason: ReasonCode,
        /// What to do while the agent is with a contact.
        on_contact: OnContact,
    },
    /// Log the agent out.
    LogOut {
        /// What to do while the agent is with a contact.
        on_contact: OnContact,
    },
    /// Tell people this.
    Tell(Arc<str>),
    /// Ask a person this.
    Ask(Arc<str>),
}

impl Wanted {
    /// The state it leads to and what to do during a contact; `None` for what changes no state.
    pub const fn target(&self) -> Option<(&AgentState, OnContact)> {
        match self {
            Self::SetState { state, on_contact, .. } => Some((state, *on_contact)),
            Self::LogOut { on_contact } => Some((&AgentState::LoggedOut, *on_contact)),
            Self::Tell(_) | Self::Ask(_) => None,
        }
    }

    /// Whether it changes the agent's state.
    pub const fn changes_state(&self) -> bool {
        self.target().is_some()
    }
}

/// As the object of a sentence: `set Ready (WORKING)`.
impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetState { state, reason, .. } => write!(f, "set {state} ({reason})"),
            Self::LogOut { .. } => f.write_str("log out"),
            Self::Tell(text) => write!(f, "tell \"{text}\""),
            Self::Ask(text) => write!(f, "ask \"{text}\""),
        }
    }
}

/// How much a rule may do within any minute.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Limits {
    /// Acts.
    pub per_minute: Option<usize>,
    /// Acts on one team, as a share of its agents at work.
    pub share_of_team: Option<f64>,
}

/// Stands for "never seen" beside the indices of states.
const NEVER_SEEN: usize = STATE_KINDS;

/// What conditions hold by its place in a list, so that a pass looks it up once.
#[derive(Clone, Debug, Default)]
pub(super) struct Named {
    /// Teams.
    pub(super) teams: Vec<TeamName>,
    /// Figures with their bounds.
    pub(super) figures: Vec<FigureTest>,
    /// Anomalies of watched series.
    pub(super) anomalies: Vec<AnomalyTest>,
}

/// A set of rules, in the order in which they are tried.
#[derive(Clone, Debug)]
pub struct RuleSet {
    rules: Vec<CompiledRule>,
    named: Named,
    candidates: [[u64; STATE_KINDS + 1]; PLAN_KINDS],
}

impl RuleSet {
    /// Checks and compiles; the complaints are those of [`super::check::check`].
    pub fn compile(rules: &[Rule], capabilities: Capabilities) -> Result<Self, Vec<RuleComplaint>> {
        let mut named = Named::default();
        let (mut compiled, complaints) = translate_all(rules, capabilities, &mut named);
        if !complaints.is_empty() {
            return Err(complaints);
        }
        // Stable: within a class the order of the file stays.
        compiled.sort_by_key(|rule| std::cmp::Reverse(rule.class.priority()));
        let mut candidates = [[0; STATE_KINDS + 1]; PLAN_KINDS];
        for (kind, by_state) in PlanKind::ALL.into_iter().zip(&mut candidates) {
            for (state, mask) in by_state.iter_mut().enumerate() {
                for (bit, rule) in compiled.iter().enumerate() {
                    *mask |= u64::from(can_match(&rule.when, kind, state)) << bit;
                }
            }
        }
        Ok(Self { rules: compiled, named, candidates })
    }

    /// The rules, in the order in which they are tried.
    pub fn rules(&self) -> &[CompiledRule] {
        &self.rules
    }

    /// The teams that conditions name, by the places that [`super::condition::Test::Team`] holds.
    pub fn teams(&self) -> &[TeamName] {
        &self.named.teams
    }

    /// The figures that conditions look at, by the places that [`super::condition::Test::Figure`] holds.
    pub fn figures(&self) -> &[FigureTest] {
        &self.named.figures
    }

    /// The anomalies that conditions look at, by the places that [`super::condition::Test::Anomaly`] holds.
    pub fn anomalies(&self) -> &[AnomalyTest] {
        &self.named.anomalies
    }

    /// One bit for each rule that can match an agent with this planned kind and state (`None`: never seen).
    pub const fn candidates(&self, kind: PlanKind, state: Option<&AgentState>) -> u64 {
        let state = match state {
            Some(state) => state.index(),
            None => NEVER_SEEN,
        };
        self.candidates[kind.index()][state]
    }
}

fn can_match(when: &[Condition], kind: PlanKind, state: usize) -> bool {
    when.iter().all(|condition| {
        let state_fits = condition.test.states().is_none_or(|states| states.contains_index(state));
        state_fits && condition.test.can_hold_for(kind)
    })
}
