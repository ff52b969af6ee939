//! Rows of bulk changes and of skills.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::domain::agents::skill::Skill;
use crate::domain::audit::Hash;
use crate::domain::changes::change_set::{PreviewOutcome, PreviewedAgent};
use crate::domain::ids::{AgentId, ChangeSetId, SkillId, TeamName, TenantId};
use crate::domain::time::UtcMicros;

/// A bulk change: its preview as a whole and its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeSetRow {
    /// The tenant.
    pub tenant: TenantId,
    /// The id.
    pub id: ChangeSetId,
    /// The time of the preview.
    pub made_at: UtcMicros,
    /// The actor who previewed it.
    pub made_by: Arc<str>,
    /// The time from which it can no longer be started.
    pub expires_at: UtcMicros,
    /// The hash of the preview.
    pub hash: Hash,
    /// The change set that it undoes.
    pub undoes: Option<ChangeSetId>,
    /// The teams of its agents; `None` stands for agents without a team.
    pub teams: BTreeSet<Option<TeamName>>,
    /// The request and its cost as JSON, in a form defined by the engine.
    pub body: String,
    /// The time and actor of the start.
    pub started: Option<(UtcMicros, Arc<str>)>,
    /// The time and actor of the cancellation.
    pub cancelled: Option<(UtcMicros, Arc<str>)>,
}

/// A step of a bulk change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeSetWrite {
    /// Stores a preview.
    Add {
        /// The change set, neither started nor cancelled.
        set: ChangeSetRow,
        /// Its agents, in order.
        agents: Vec<PreviewedAgent>,
    },
    /// Starts it. Its transitions are in the same commit.
    Start {
        /// The tenant.
        tenant: TenantId,
        /// The id.
        id: ChangeSetId,
        /// The time.
        at: UtcMicros,
        /// The actor.
        by: Arc<str>,
        /// Agents that the preview showed as changed and that are left out.
        excluded: Vec<ExcludedAgent>,
    },
    /// Cancels it.
    Cancel {
        /// The tenant.
        tenant: TenantId,
        /// The id.
        id: ChangeSetId,
        /// The time.
        at: UtcMicros,
        /// The actor.
        by: Arc<str>,
    },
    /// Deletes a preview that was never started.
    Delete {
        /// The tenant.
        tenant: TenantId,
        /// The id.
        id: ChangeSetId,
    },
}

/// An agent of a change set whose state at the start differed from the preview.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExcludedAgent {
    /// The agent's position in the change set.
    pub position: usize,
    /// The outcome for the agent at the start.
    pub outcome: PreviewOutcome,
    /// The reason in words.
    pub reason: Option<String>,
}

/// A skill of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkillWrite {
    /// The tenant.
    pub tenant: TenantId,
    /// The skill.
    pub skill: Skill,
}

/// The complete skills of one agent; others are removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentSkillsWrite {
    /// The tenant.
    pub tenant: TenantId,
    /// The agent.
    pub agent: AgentId,
    /// The ids of the skills.
    pub skills: Vec<SkillId>,
}
