//! The planner: decides what the rules do with each agent at an instant, and explains why.
//!
//! It is a function of `(roster, rules, settings, now)` that returns intents, without a clock, input or output, or
//! memory of its own. Live passes, `plan`, dry runs and backtests call the same [`decide`]; [`explain()`] is the same
//! pass with its findings recorded.
//!
//! - Rules are tried by class, then in file order. The first enforcing or approval-requiring rule that matches and
//!   changes the state claims the agent, even if a guard holds it or the agent is in the target state already. A
//!   monitoring rule (`watch`) claims the agent only from later monitoring rules. Rules that only tell or ask claim no
//!   agent.
//! - An intent that changes a state is repeated in each pass until its transition is marked as open on the roster.
//!   Every other intent is given once per change of its facts, provided that [`record_intent`] is called.

mod explain;
mod facts;
mod pass;
mod reversal;
mod view;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::rule::Mode;
use super::rule::compile::RuleSet;
use crate::domain::adherence::AdherenceSettings;
use crate::domain::agents::roster::{AgentIndex, Roster};
use crate::domain::changes::policy::{UnscheduledPolicy, Violation};
use crate::domain::changes::priority::Priority;
use crate::domain::ids::{AgentId, RuleId};
use crate::domain::time::UtcMicros;

pub use super::rule::compile::RuleAction;
pub use explain::{Explanation, RuleExplanation, RuleOutcome, explain, mode_verb};
pub use facts::{Facts, Finding};
pub use reversal::is_reversal;
pub use view::live_verdict;

/// The settings of the guards.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DecideSettings {
    /// The age beyond which an observation is too old to decide on: three polling intervals.
    pub stale_after: Duration,
    /// The largest number of automatic changes of one agent in any hour.
    pub changes_per_hour: usize,
    /// How long rules leave an agent alone after the agent has reverted an automatic change.
    pub leave_alone_duration: Duration,
    /// The time after an automatic change within which the agent's own change can count as reverting it.
    pub reversal_window: Duration,
    /// The target states that are forbidden for an unscheduled agent.
    pub unscheduled_forbids: UnscheduledPolicy,
    /// The adherence settings, such as the tolerance.
    pub adherence: AdherenceSettings,
}

impl Default for DecideSettings {
    /// Returns the designed defaults, for snapshots every 10 seconds.
    fn default() -> Self {
        Self {
            stale_after: Duration::from_secs(30),
            changes_per_hour: 4,
            leave_alone_duration: Duration::from_mins(30),
            reversal_window: Duration::from_mins(10),
            unscheduled_forbids: UnscheduledPolicy::default(),
            adherence: AdherenceSettings::default(),
        }
    }
}

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
        write!(f, "{agent}: {rule} {} {action}: {facts}", explain::mode_verb(self.mode))
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

impl HeldIntent {
    /// Returns the facts behind the held action; `None` if the roster or the rules are not those decided on.
    ///
    /// They are made on demand, since most held actions were held in the previous pass too.
    pub fn facts(&self, roster: &Roster, rules: &RuleSet, settings: &DecideSettings, now: UtcMicros) -> Option<Facts> {
        pass::facts_for(&self.agent, &self.rule, roster, rules, settings, now)
    }
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
            Self::Policy(_) => "policy",
            Self::OnContact => "on_contact",
            Self::OpenTransition => "open_transition",
            Self::SetByPerson => "set_by_person",
            Self::LeftAlone => "left_alone",
            Self::Flapping => "flapping",
            Self::SaidAlready => "said_already",
            Self::Cooldown => "cooldown",
            Self::PerMinute => "per_minute",
            Self::ShareOfTeam => "share_of_team",
        }
    }

    /// Whether an action held by this guard is listed in [`Decisions::held`].
    pub const fn is_listed(self) -> bool {
        match self {
            Self::AsWanted | Self::OpenTransition | Self::SaidAlready => false,
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
            | Self::Cooldown
            | Self::PerMinute
            | Self::ShareOfTeam => true,
        }
    }
}

/// Decides what the rules do with the agents of the roster at `now`, in one pass. It remembers nothing; see
/// [`record_intent`].
pub fn decide(roster: &Roster, rules: &RuleSet, settings: &DecideSettings, now: UtcMicros) -> Decisions {
    pass::Pass::new(roster, rules, settings, now).run()
}

/// Decides for one agent only. The limits count the earlier actions on all agents.
pub fn decide_one(
    roster: &Roster,
    rules: &RuleSet,
    settings: &DecideSettings,
    agent: AgentIndex,
    now: UtcMicros,
) -> Decisions {
    pass::Pass::new(roster, rules, settings, now).run_for(agent)
}

/// Records on the roster that an intent was taken up: enforced, recorded or held for a person.
///
/// The record serves cooldowns, limits and the flapping guard, and keeps messages from being repeated.
pub fn record_intent(roster: &mut Roster, intent: &Intent, now: UtcMicros) {
    let changes = intent.mode == Mode::Enforce && intent.action.changes_state();
    roster.record_rule_action(intent.index, &intent.rule, intent.fact_key, changes, now);
}

#[cfg(test)]
mod tests;
