//! Bulk changes before they are started: what would happen to each agent and why, and a hash of the preview.
//!
//! The preview is a function of the roster and the requested changes. The same function runs again at the start, over
//! the agents that were previewed as changed: no other agent is changed, and agents that can no longer be changed are
//! left out with a reason. [`cost_estimate`] computes how long it takes. Nothing here sends, stores or reads a clock.

pub mod cost_estimate;
mod preview;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use preview::{
    ONLY_REASON_CHANGES, Preview, PreviewInput, PreviewPolicy, SelectionCriteria, preview, select_agents,
};

use super::policy::OnContact;
use crate::domain::adherence::Verdict;
use crate::domain::agents::state::AgentState;
use crate::domain::audit::Hash;
use crate::domain::ids::{AgentId, ChangeSetId, ReasonCode, SkillId, TeamName, TenantId, TransitionId};
use crate::domain::time::UtcMicros;
use crate::domain::wording::named_enum;

/// The largest number of agents in one bulk change.
pub const MAX_AGENTS_PER_SET: usize = 10_000;

named_enum! {
    /// What would happen to an agent, or why nothing would.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum PreviewOutcome {
        /// Changed as soon as the budget allows.
        Change = "change",
        /// Changed when the contact is over.
        AfterContact = "after_contact",
        /// In the state already, and changed all the same, since the reason is to be set too.
        ChangeReason = "change_reason",
        /// The last sight shows the agent there.
        AlreadyThere = "already_there",
        /// No shift now, and policy forbids the state without one.
        NotScheduled = "not_scheduled",
        /// In a break that must be taken.
        MandatoryBreak = "mandatory_break",
        /// A change into such a break is under way.
        BreakUnderWay = "break_under_way",
        /// An urgent change of the agent waits to leave, and this one is not urgent.
        UrgentUnderWay = "urgent_under_way",
        /// On a contact, and such agents are to be left alone.
        OnContact = "on_contact",
        /// A skill of the agent would fall below its floor.
        BelowFloor = "below_floor",
        /// Logged out: the platform changes nobody who is.
        LoggedOut = "logged_out",
        /// The platform has no unavailable code for the state in the agent's team.
        NotSettable = "not_settable",
        /// No sight has ever shown the agent, or shows him no more.
        Unseen = "unseen",
        /// The last sight is too old to tell what the agent is doing.
        Stale = "stale",
        /// No such agent, or none of the caller's teams.
        UnknownAgent = "unknown_agent",
        /// Of a set that takes another back: that one did not change the agent.
        NotChanged = "not_changed",
        /// Of such a set: the agent is no longer in the state that was set.
        MovedOn = "moved_on",
        /// Of such a set: the platform cannot set the state before.
        CannotGoBack = "cannot_go_back",
    }
}

impl PreviewOutcome {
    /// Returns whether the agent is changed.
    pub const fn is_change(self) -> bool {
        matches!(self, Self::Change | Self::AfterContact | Self::ChangeReason)
    }
}

/// The requested change of one agent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AgentChange {
    /// The agent.
    pub agent: AgentId,
    /// The requested state.
    pub target: AgentState,
    /// The reason code; `None` for the state's default.
    pub reason: Option<ReasonCode>,
    /// The transition to undo: the agent must still be in the state that it set.
    pub undoes_transition: Option<TransitionId>,
    /// The outcome and detail, if it is known in advance that the agent is not changed.
    pub excluded: Option<(PreviewOutcome, Option<String>)>,
}

impl AgentChange {
    /// Creates a change without further conditions.
    pub const fn new(agent: AgentId, target: AgentState, reason: Option<ReasonCode>) -> Self {
        Self { agent, target, reason, undoes_transition: None, excluded: None }
    }
}

/// The request for a bulk change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChangeSetRequest {
    /// The agents, each once; staffing floors are checked in this order.
    pub agents: Vec<AgentChange>,
    /// What to do with agents who are on a contact.
    pub on_contact: OnContact,
    /// Whether the changes go ahead of other people's.
    pub urgent: bool,
    /// Whether agents already in the state get the reason code too.
    pub even_if_in_state: bool,
    /// Why skills may fall below their staffing floors; `None` if they may not.
    pub below_floor_reason: Option<String>,
    /// The teams of the requester; `None` if not limited to teams. Agents of other teams count as unknown.
    pub teams: Option<BTreeSet<TeamName>>,
}

/// The preview of one agent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PreviewedAgent {
    /// The agent.
    pub agent: AgentId,
    /// The last observed state; `None` if the agent is unknown or was never observed.
    pub state: Option<AgentState>,
    /// The reason code of that state, if known.
    pub state_reason: Option<ReasonCode>,
    /// The requested state.
    pub target: AgentState,
    /// The requested reason code, if any.
    pub reason: Option<ReasonCode>,
    /// The transition to undo.
    pub undoes_transition: Option<TransitionId>,
    /// The outcome.
    pub outcome: PreviewOutcome,
    /// An explanation for people, where the outcome does not say enough.
    pub detail: Option<String>,
    /// For [`PreviewOutcome::BelowFloor`], the skills that would fall below their floors.
    pub skills: Vec<SkillId>,
    /// The comparison with the plan at the time of the preview; `None` for an unknown agent.
    pub plan_comparison: Option<PlanComparison>,
}

/// The requested state compared with the agent's plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlanComparison {
    /// The activity's name, or `off` or `uncovered` as in [`PlanKind`](crate::domain::agents::kind_sets::PlanKind).
    pub planned: Arc<str>,
    /// When something else is planned, if known.
    pub until: Option<UtcMicros>,
    /// The verdict on the agent in the requested state, once it has lasted longer than the tolerance.
    pub resulting_verdict: Verdict,
}

/// How a set would leave a skill that has a floor.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct FloorImpact {
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

/// The preview as it is hashed: the same request over the same roster gives the same hash. Instants are left out, since
/// a preview one minute later may be identical.
#[derive(Serialize, Debug)]
pub struct HashedPreview<'a> {
    /// The tenant of the agents.
    pub tenant: &'a TenantId,
    /// The requested state, if it is the same for all agents.
    pub to: Option<&'a AgentState>,
    /// The requested reason code.
    pub reason: Option<&'a ReasonCode>,
    /// What to do with agents who are on a contact.
    pub on_contact: OnContact,
    /// Whether the changes go ahead of other people's.
    pub urgent: bool,
    /// Whether agents already in the state get the reason code too.
    pub even_if_in_state: bool,
    /// Why skills may fall below their staffing floors.
    pub below_floor: Option<&'a str>,
    /// The bulk change to undo.
    pub undoes: Option<ChangeSetId>,
    /// The skills with staffing floors.
    pub floors: &'a [FloorImpact],
    /// The agents, in order.
    pub agents: Vec<HashedAgent<'a>>,
}

/// One agent of [`HashedPreview`].
#[derive(Serialize, Debug)]
pub struct HashedAgent<'a> {
    agent: &'a AgentId,
    state: Option<&'a AgentState>,
    to: &'a AgentState,
    reason: Option<&'a ReasonCode>,
    outcome: PreviewOutcome,
    skills: &'a [SkillId],
    would_be: Option<Verdict>,
}

impl<'a> From<&'a PreviewedAgent> for HashedAgent<'a> {
    fn from(preview: &'a PreviewedAgent) -> Self {
        Self {
            agent: &preview.agent,
            state: preview.state.as_ref(),
            to: &preview.target,
            reason: preview.reason.as_ref(),
            outcome: preview.outcome,
            skills: &preview.skills,
            would_be: preview.plan_comparison.as_ref().map(|comparison| comparison.resulting_verdict),
        }
    }
}

impl HashedPreview<'_> {
    /// Returns the SHA-256 of the preview's RFC 8785 JSON.
    ///
    /// # Errors
    /// Returns an error if a text cannot be written as JSON. This cannot happen for text that was read from JSON.
    pub fn hash(&self) -> Result<Hash, serde_json::Error> {
        Ok(Hash::of(serde_jcs::to_string(self)?.as_bytes()))
    }
}

#[cfg(test)]
mod tests;
