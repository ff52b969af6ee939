//! A rule with all names resolved, and the values that its conditions refer to.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::agents::state::AgentState;
use crate::domain::changes::policy::OnContact;
use crate::domain::ids::{ReasonCode, RuleId, TeamName};
use crate::domain::schedules::edit::ShiftEdit;

use super::anomaly::AnomalyTest;
use super::condition::Condition;
use super::figures::FigureTest;
use super::{Class, Mode};

/// The largest number of rules in a set: each has one bit in the table.
pub const MAX_RULES: usize = u64::BITS as usize;

/// A rule with all names resolved.
#[derive(Clone, PartialEq, Debug)]
pub struct CompiledRule {
    /// The id.
    pub id: RuleId,
    /// The version; see [`Rule::version`](super::Rule::version).
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
    /// Propose to offer the agent a change of the shift that runs or comes next.
    Offer {
        /// The change.
        edit: ShiftEdit,
        /// How many agents can accept.
        places: u32,
        /// How many minutes agents have to answer.
        open_minutes: u32,
    },
}

impl RuleAction {
    /// Returns the target state and how the change treats a contact; `None` if the action changes no state.
    pub const fn target(&self) -> Option<(&AgentState, OnContact)> {
        match self {
            Self::SetState { state, on_contact, .. } => Some((state, *on_contact)),
            Self::LogOut { on_contact } => Some((&AgentState::LoggedOut, *on_contact)),
            Self::Tell(_) | Self::Ask(_) | Self::Offer { .. } => None,
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
            Self::Offer { edit, .. } => write!(f, "offer \"{edit}\""),
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
