//! What a pass decides: the actions to take, those that a guard holds back, and the guards.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::facts::Facts;
use crate::domain::agents::roster::AgentIndex;
use crate::domain::changes::policy::Violation;
use crate::domain::changes::priority::Priority;
use crate::domain::ids::{AgentId, RuleId};
use crate::domain::rules::rule::Mode;
use crate::domain::rules::rule::compile::RuleAction;

/// The result of one pass.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Decisions {
    /// The actions to take now.
    pub intents: Vec<Intent>,
    /// The actions that a guard holds back.
    ///
    /// Not listed are those whose agent is in the target state already, those that were given before with the same
    /// facts, and those held by an open transition.
    pub held: Vec<HeldIntent>,
}

/// An action that a rule decided on for an agent.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Intent {
    /// The agent's index in the roster that was decided on.
    #[serde(skip)]
    pub index: AgentIndex,
    /// The agent.
    pub agent: AgentId,
    /// The rule.
    pub rule: RuleId,
    /// The version of the rule.
    pub rule_version: Arc<str>,
    /// The priority.
    pub priority: Priority,
    /// What to do with the intent: carry it out (`enforce`), record it (`watch`), or hold it for a person (`approve`).
    pub mode: Mode,
    /// The action.
    pub action: RuleAction,
    /// The facts behind it.
    pub facts: Facts,
    /// A key that stays the same while rule, agent, state and planned activity stay the same.
    pub fact_key: u64,
}

/// Formats as `u_0007: back-from-break would set Ready (WORKING): planned work since 13:15 UTC+1, …`.
impl fmt::Display for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agent, rule, action, facts, .. } = self;
        write!(f, "{agent}: {rule} {} {action}: {facts}", self.mode.verb())
    }
}

/// An action that a guard holds back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct HeldIntent {
    /// The agent's index in the roster that was decided on.
    #[serde(skip)]
    pub index: AgentIndex,
    /// The agent.
    pub agent: AgentId,
    /// The rule.
    pub rule: RuleId,
    /// The version of the rule.
    pub rule_version: Arc<str>,
    /// The mode of the rule.
    pub mode: Mode,
    /// The guard that holds it back.
    pub guard: Guard,
    /// A key that stays the same while rule, agent, guard, state and planned activity stay the same. Record the intent
    /// when the key is new.
    pub fact_key: u64,
}

/// A condition that holds an action back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// The rule's `unless` holds.
    Unless,
    /// The rule depends on the plan, and the agent has an approved exception.
    Excused,
    /// The agent has not been observed yet.
    NeverSeen,
    /// The newest observation of the agent is too old.
    StaleSight,
    /// The agent is in an unknown state.
    UnknownState,
    /// The agent is in the target state already.
    AsWanted,
    /// The agent is logged out, and no platform changes such agents.
    LoggedOut,
    /// Policy forbids the change.
    Policy(Violation),
    /// The agent is with a contact, and the rule skips such agents.
    OnContact,
    /// The agent has an open transition of the same or a higher priority.
    OpenTransition,
    /// A person set the agent's state, and the planned activity has not changed since.
    SetByPerson,
    /// The agent has recently reverted an automatic change.
    LeftAlone,
    /// The agent has had the largest allowed number of automatic changes in the last hour.
    Flapping,
    /// The rule offers a change of a shift, and the agent has none that runs or comes next.
    NoShift,
    /// The same was told, asked or recorded before, and the facts have not changed.
    SaidAlready,
    /// The rule acted on this agent within its cooldown.
    Cooldown,
    /// The rule has reached its limit of actions per minute.
    PerMinute,
    /// The rule has reached its limit of agents of the team per minute.
    ShareOfTeam,
}

impl Guard {
    /// Returns the name used in the store, the API and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unless => "unless",
            Self::Excused => "excused",
            Self::NeverSeen => "never_seen",
            Self::StaleSight => "stale_sight",
            Self::UnknownState => "unknown_state",
            Self::AsWanted => "as_wanted",
            Self::LoggedOut => "logged_out",
            Self::Policy(_) => "policy",
            Self::OnContact => "on_contact",
            Self::OpenTransition => "open_transition",
            Self::SetByPerson => "set_by_person",
            Self::LeftAlone => "left_alone",
            Self::Flapping => "flapping",
            Self::NoShift => "no_shift",
            Self::SaidAlready => "said_already",
            Self::Cooldown => "cooldown",
            Self::PerMinute => "per_minute",
            Self::ShareOfTeam => "share_of_team",
        }
    }

    /// Whether an action held by this guard is listed in [`Decisions::held`].
    pub const fn is_listed(self) -> bool {
        match self {
            Self::AsWanted | Self::LoggedOut | Self::OpenTransition | Self::SaidAlready => false,
            Self::Unless
            | Self::Excused
            | Self::NeverSeen
            | Self::StaleSight
            | Self::UnknownState
            | Self::Policy(_)
            | Self::OnContact
            | Self::SetByPerson
            | Self::LeftAlone
            | Self::Flapping
            | Self::NoShift
            | Self::Cooldown
            | Self::PerMinute
            | Self::ShareOfTeam => true,
        }
    }
}
