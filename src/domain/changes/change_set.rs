//! A bulk change by a person, before it is started: what would happen to each agent and why not, and a hash of what was shown.
//!
//! The preview is a function of the picture and of what is wanted. The same function runs again at the start, over the agents who
//! were shown as changed: nothing that was not shown is changed, and what has become impossible is left out with its reason. How
//! long it takes is reckoned in [`finish`]. Nothing here sends, stores or reads a clock.

pub mod finish;
mod preview;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use preview::{ONLY_THE_REASON, Picture, Policy, Preview, Selection, preview, selected};

use super::policy::OnContact;
use crate::domain::adherence::Verdict;
use crate::domain::agents::state::AgentState;
use crate::domain::audit::Hash;
use crate::domain::ids::{AgentId, ChangeSetId, ReasonCode, SkillId, TeamName, TenantId, TransitionId};
use crate::domain::time::UtcMicros;

/// The most agents of one set.
pub const MOST_AGENTS_PER_SET: usize = 10_000;

/// What would happen to an agent, or why nothing would.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Changed as soon as the budget allows.
    Change,
    /// Changed when the contact is over.
    AfterContact,
    /// In the state already, and changed all the same, since the reason is to be set too.
    ChangeReason,
    /// The last sight shows the agent there.
    AlreadyThere,
    /// No shift now, and policy forbids the state without one.
    NotScheduled,
    /// In a break that must be taken.
    MandatoryBreak,
    /// A change into such a break is under way.
    BreakUnderWay,
    /// An urgent change of the agent waits to leave, and this one is not urgent.
    UrgentUnderWay,
    /// On a contact, and such agents are to be left alone.
    OnContact,
    /// A skill of the agent would fall below its floor.
    BelowFloor,
    /// Logged out: the platform changes nobody who is.
    LoggedOut,
    /// No sight has ever shown the agent, or shows him no more.
    Unseen,
    /// The last sight is too old to tell what the agent is doing.
    Stale,
    /// No such agent, or none of the caller's teams.
    UnknownAgent,
    /// Of a set that takes another back: that one did not change the agent.
    NotChanged,
    /// Of such a set: the agent is no longer in the state that was set.
    MovedOn,
    /// Of such a set: the platform cannot set the state before.
    CannotGoBack,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Change,
        Self::AfterContact,
        Self::ChangeReason,
        Self::AlreadyThere,
        Self::NotScheduled,
        Self::MandatoryBreak,
        Self::BreakUnderWay,
        Self::UrgentUnderWay,
        Self::OnContact,
        Self::BelowFloor,
        Self::LoggedOut,
        Self::Unseen,
        Self::Stale,
        Self::UnknownAgent,
        Self::NotChanged,
        Self::MovedOn,
        Self::CannotGoBack,
    ];

    /// The name in messages and the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::AfterContact => "after_contact",
            Self::ChangeReason => "change_reason",
            Self::AlreadyThere => "already_there",
            Self::NotScheduled => "not_scheduled",
            Self::MandatoryBreak => "mandatory_break",
            Self::BreakUnderWay => "break_under_way",
            Self::UrgentUnderWay => "urgent_under_way",
            Self::OnContact => "on_contact",
            Self::BelowFloor => "below_floor",
            Self::LoggedOut => "logged_out",
            Self::Unseen => "unseen",
            Self::Stale => "stale",
            Self::UnknownAgent => "unknown_agent",
            Self::NotChanged => "not_changed",
            Self::MovedOn => "moved_on",
            Self::CannotGoBack => "cannot_go_back",
        }
    }

    /// The outcome of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }

    /// Whether the agent is changed.
    pub const fn changes(self) -> bool {
        matches!(self, Self::Change | Self::AfterContact | Self::ChangeReason)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is wanted of one agent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WantedOf {
    /// Who.
    pub agent: AgentId,
    /// The wanted state.
    pub to: AgentState,
    /// With this reason; the state's default where none is named.
    pub reason: Option<ReasonCode>,
    /// The agent must still be in the state that this transition brought about.
    pub takes_back: Option<TransitionId>,
    /// Settled beforehand: nothing is wanted of the agent, and why.
    pub aside: Option<(Outcome, Option<String>)>,
}

impl WantedOf {
    /// The plain wish.
    pub const fn plain(agent: AgentId, to: AgentState, reason: Option<ReasonCode>) -> Self {
        Self { agent, to, reason, takes_back: None, aside: None }
    }
}

/// What is wanted as a whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// Each agent once; floors are counted in this order.
    pub agents: Vec<WantedOf>,
    /// What to do with those who are on a contact.
    pub on_contact: OnContact,
    /// Ahead of what other people asked for.
    pub urgent: bool,
    /// Whoever is in the state already gets the named reason too.
    pub even_if_in_state: bool,
    /// Why skills may fall below their floors, where they may.
    pub below_floor: Option<String>,
    /// The teams of whoever asks, where that is bound to some: others' agents are not known.
    pub teams: Option<BTreeSet<TeamName>>,
}

/// What would happen to one agent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Previewed {
    /// Who.
    pub agent: AgentId,
    /// The state that the last sight showed; none where the agent is not known or was never seen.
    pub state: Option<AgentState>,
    /// With this reason, where one is known.
    pub state_reason: Option<ReasonCode>,
    /// The wanted state.
    pub to: AgentState,
    /// With this reason, where one was named.
    pub reason: Option<ReasonCode>,
    /// The transition whose work is taken back.
    pub takes_back: Option<TransitionId>,
    /// What would happen.
    pub outcome: Outcome,
    /// Words for people, where the outcome does not say all.
    pub why: Option<String>,
    /// In [`Outcome::BelowFloor`]: the skills that would fall below.
    pub skills: Vec<SkillId>,
    /// What was planned when it was shown; none of an agent who is not known.
    pub against: Option<AgainstPlan>,
}

/// A wish beside what is planned for the agent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AgainstPlan {
    /// The activity's name; `off` and `uncovered` as in [`PlanKind`](crate::domain::agents::sets::PlanKind).
    pub planned: Arc<str>,
    /// When something else is planned, where that is known.
    pub until: Option<UtcMicros>,
    /// The verdict on the agent in the wanted state, once that has lasted for longer than the tolerance.
    pub would_be: Verdict,
}

/// How a set would leave a skill that has a floor.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct FloorShown {
    /// The skill.
    pub skill: SkillId,
    /// What people call it.
    #[schema(value_type = Option<String>)]
    pub name: Option<Arc<str>>,
    /// Its agents who are at work now and stay there as far as is known.
    pub available: u32,
    /// Of these, how many the set leaves at work.
    pub after: u32,
    /// How many are to stay.
    pub floor: u32,
}

/// What was shown, as it is hashed: the same choice over the same picture gives the same hash. Instants are not in it, since a
/// preview of a minute later may show the very same.
#[derive(Serialize, Debug)]
pub struct Shown<'a> {
    /// Whose agents.
    pub tenant: &'a TenantId,
    /// The wanted state, where all are to go to the same.
    pub to: Option<&'a AgentState>,
    /// The reason that goes with it.
    pub reason: Option<&'a ReasonCode>,
    /// What is done with those on a contact.
    pub on_contact: OnContact,
    /// Ahead of what other people asked for.
    pub urgent: bool,
    /// Whoever is in the state already gets the reason too.
    pub even_if_in_state: bool,
    /// Why skills may fall below their floors.
    pub below_floor: Option<&'a str>,
    /// The set that is taken back.
    pub undoes: Option<ChangeSetId>,
    /// The skills with floors.
    pub floors: &'a [FloorShown],
    /// The agents, in order.
    pub agents: Vec<ShownAgent<'a>>,
}

/// One agent of [`Shown`].
#[derive(Serialize, Debug)]
pub struct ShownAgent<'a> {
    agent: &'a AgentId,
    state: Option<&'a AgentState>,
    to: &'a AgentState,
    reason: Option<&'a ReasonCode>,
    outcome: Outcome,
    skills: &'a [SkillId],
    would_be: Option<Verdict>,
}

impl<'a> From<&'a Previewed> for ShownAgent<'a> {
    fn from(shown: &'a Previewed) -> Self {
        Self {
            agent: &shown.agent,
            state: shown.state.as_ref(),
            to: &shown.to,
            reason: shown.reason.as_ref(),
            outcome: shown.outcome,
            skills: &shown.skills,
            would_be: shown.against.as_ref().map(|against| against.would_be),
        }
    }
}

impl Shown<'_> {
    /// SHA-256 over the RFC 8785 JSON of what was shown.
    ///
    /// # Errors
    /// Where a text cannot be written as JSON; none that came in as JSON can fail.
    pub fn hash(&self) -> Result<Hash, serde_json::Error> {
        Ok(Hash::of(serde_jcs::to_string(self)?.as_bytes()))
    }
}

#[cfg(test)]
mod tests;
