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
        /// The state is changed as soon as the budget allows.
        Change = "change",
        /// The state is changed when the contact has ended.
        AfterContact = "after_contact",
        /// The agent is already in the state, and only the reason code is set.
        ChangeReason = "change_reason",
        /// The agent is already in the state, according to the latest observation.
        AlreadyThere = "already_there",
        /// The agent has no shift now, and policy forbids the state without one.
        NotScheduled = "not_scheduled",
        /// The agent is in a mandatory break.
        MandatoryBreak = "mandatory_break",
        /// A change into a mandatory break is in progress for the agent.
        BreakUnderWay = "break_under_way",
        /// An urgent change of the agent waits to be sent, and this change is not urgent.
        UrgentUnderWay = "urgent_under_way",
        /// The agent is on a contact, and the request leaves such agents alone.
        OnContact = "on_contact",
        /// A skill of the agent would fall below its staffing floor.
        BelowFloor = "below_floor",
        /// The agent is logged out, and the platform cannot change the state of agents who are.
        LoggedOut = "logged_out",
        /// The platform has no unavailable code for the state in the agent's team.
        NotSettable = "not_settable",
        /// The agent has never been observed or is no longer observed.
        Unseen = "unseen",
        /// The latest observation is stale.
        Stale = "stale",
        /// The agent does not exist or is outside the caller's teams.
        UnknownAgent = "unknown_agent",
        /// For an undo: the change set did not change the agent.
        NotChanged = "not_changed",
        /// For an undo: the agent is no longer in the state that the change set gave.
        MovedOn = "moved_on",
        /// For an undo: the platform cannot set the previous state.
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

/// The effect of a change set on a skill with a staffing floor.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct FloorImpact {
    /// The id of the skill.
    pub skill: SkillId,
    /// The display name of the skill; null if it has none.
    #[schema(value_type = Option<String>)]
    pub name: Option<Arc<str>>,
    /// The number of agents with the skill who are working now and are not known to stop.
    pub available: u32,
    /// How many of them would still be working after the change set.
    pub after: u32,
    /// The staffing floor.
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
