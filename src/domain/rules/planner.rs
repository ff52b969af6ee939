//! The deciding: what the rules want of the agents at an instant, and why, also where nothing is done.
//!
//! `(roster, rules, settings, now)` in, intents out; no clock, no IO, no memory of its own. Live passes, `plan`, dry runs and
//! replays call the same [`decide`]; [`explain()`] is the same pass with its findings written down.
//!
//! - Rules are tried by class, then in file order. The first enforcing or approving rule that wants to change an agent's state
//!   has the agent, also while a guard holds it back or its wish is met. A watching rule takes the agent from later watching
//!   rules alone. What only tells or asks takes nobody.
//! - An intent that changes a state is repeated at each pass until its transition is marked as open on the roster; everything
//!   else is given once per change of its facts, provided that [`note`] is called.

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
use crate::domain::changes::policy::{UnscheduledForbids, Violation};
use crate::domain::changes::priority::Priority;
use crate::domain::ids::{AgentId, RuleId};
use crate::domain::time::UtcMicros;

pub use super::rule::compile::Wanted;
pub use explain::{Explanation, Outcome, RuleExplanation, auxiliary, explain};
pub use facts::{Facts, Finding};
pub use reversal::is_reversal;
pub use view::verdict;

/// The guards' settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DecideSettings {
    /// Nothing is decided on sight older than this: three polling intervals.
    pub stale_after: Duration,
    /// At most this many automatic changes of one agent in any hour.
    pub changes_per_hour: usize,
    /// How long an agent who reversed an automatic change is left alone.
    pub left_alone_for: Duration,
    /// A change of the agent's own within this time after an automatic one can be a reversal of it.
    pub reversal_within: Duration,
    /// Which targets are forbidden to an agent who is not scheduled.
    pub unscheduled_forbids: UnscheduledForbids,
    /// What adherence allows.
    pub adherence: AdherenceSettings,
}

impl Default for DecideSettings {
    /// The figures of the design, with snapshots every 10 seconds.
    fn default() -> Self {
        Self {
            stale_after: Duration::from_secs(30),
            changes_per_hour: 4,
            left_alone_for: Duration::from_mins(30),
            reversal_within: Duration::from_mins(10),
            unscheduled_forbids: UnscheduledForbids::default(),
            adherence: AdherenceSettings::default(),
        }
    }
}

/// What one pass decided.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Decisions {
    /// What is wanted now.
    pub intents: Vec<Intent>,
    /// What is wanted and held back by a guard. Not listed: what is as wanted already, what was said already, and what an open
    /// transition holds back.
    pub held: Vec<Held>,
}

/// One thing that a rule wants of an agent.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Intent {
    /// The agent's place in the roster that was decided on.
    #[serde(skip)]
    pub index: AgentIndex,
    /// The agent.
    pub agent: AgentId,
    /// The rule.
    pub rule: RuleId,
    /// Its version.
    pub rule_version: Arc<str>,
    /// How urgent it is.
    pub priority: Priority,
    /// `enforce`: carry it out; `watch`: record it; `approve`: hold it for a person.
    pub mode: Mode,
    /// What is wanted.
    pub action: Wanted,
    /// What led to it.
    pub facts: Facts,
    /// The same for as long as rule, agent, state and planned activity are the same ones.
    pub fact_key: u64,
}

/// `u_0007: back-from-break would set Ready (WORKING): planned work since 13:15 UTC+1, …`
impl fmt::Display for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agent, rule, action, facts, .. } = self;
        write!(f, "{agent}: {rule} {} {action}: {facts}", explain::auxiliary(self.mode))
    }
}

/// A wish that a guard holds back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Held {
    /// The agent's place in the roster that was decided on.
    #[serde(skip)]
    pub index: AgentIndex,
    /// The agent.
    pub agent: AgentId,
    /// The rule.
    pub rule: RuleId,
    /// Its version.
    pub rule_version: Arc<str>,
    /// Whether the rule would act.
    pub mode: Mode,
    /// What holds it back.
    pub guard: Guard,
    /// The same for as long as rule, agent, guard, state and planned activity are the same ones: record it when it is new.
    pub fact_key: u64,
}

impl Held {
    /// What led to the wish; made on demand, since most of what is held was held a pass ago already. `None` when the roster or
    /// the rules are others than those decided on.
    pub fn facts(&self, roster: &Roster, rules: &RuleSet, settings: &DecideSettings, now: UtcMicros) -> Option<Facts> {
        pass::facts_of(&self.agent, &self.rule, roster, rules, settings, now)
    }
}

/// What can hold a wish back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// The rule's `unless` holds.
    Unless,
    /// The rule looks at the plan, and the agent is excused from it.
    Excused,
    /// No sight has shown the agent yet.
    NeverSeen,
    /// The newest sight of the agent is too old.
    StaleSight,
    /// The agent is in a state that no table knows.
    UnknownState,
    /// The agent is in the wanted state already.
    AsWanted,
    /// Policy forbids it.
    Policy(Violation),
    /// The agent is with a contact, and the rule leaves such agents alone.
    OnContact,
    /// The agent has an open transition of the same or a higher priority.
    OpenTransition,
    /// A person set the state that the agent is in, and the planned activity is still the one of then.
    SetByPerson,
    /// The agent reversed an automatic change lately.
    LeftAlone,
    /// The agent has had as many automatic changes in the last hour as are allowed.
    Flapping,
    /// It was told, asked or recorded already, and the facts are the same.
    SaidAlready,
    /// The rule acted on this agent a short while ago.
    Cooldown,
    /// The rule acted as often in the last minute as its limit allows.
    PerMinute,
    /// The rule acted on as many agents of the team in the last minute as its limit allows.
    ShareOfTeam,
}

impl Guard {
    /// The name in the store, the API and messages.
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

    /// Whether it is listed under [`Decisions::held`].
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

/// What the rules want of the roster's agents at `now`. One pass; nothing is remembered (see [`note`]).
pub fn decide(roster: &Roster, rules: &RuleSet, settings: &DecideSettings, now: UtcMicros) -> Decisions {
    pass::Pass::new(roster, rules, settings, now).run()
}

/// The same of one agent alone, with the limits that the others leave.
pub fn decide_one(
    roster: &Roster,
    rules: &RuleSet,
    settings: &DecideSettings,
    agent: AgentIndex,
    now: UtcMicros,
) -> Decisions {
    pass::Pass::new(roster, rules, settings, now).run_for(agent)
}

/// Remembers on the roster that an intent was taken up (enforced, recorded or held for a person), for cooldown, limits,
/// flapping, and so that what is only said is said once.
pub fn note(roster: &mut Roster, intent: &Intent, now: UtcMicros) {
    let changes = intent.mode == Mode::Enforce && intent.action.changes_state();
    roster.note_act(intent.index, &intent.rule, intent.fact_key, changes, now);
}

#[cfg(test)]
mod tests;
