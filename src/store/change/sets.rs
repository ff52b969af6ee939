//! Rows of bulk changes and of skills.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::domain::agents::skill::Skill;
use crate::domain::audit::Hash;
use crate::domain::changes::change_set::{Outcome, Previewed};
use crate::domain::ids::{AgentId, ChangeSetId, SkillId, TeamName, TenantId};
use crate::domain::time::UtcMicros;

/// A bulk change: what was shown of it as a whole, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeSetRow {
    /// Whose.
    pub tenant: TenantId,
    /// Which.
    pub id: ChangeSetId,
    /// When it was shown.
    pub made_at: UtcMicros,
    /// To whom.
    pub made_by: Arc<str>,
    /// It can be started before this instant.
    pub expires_at: UtcMicros,
    /// The hash of what was shown.
    pub hash: Hash,
    /// The set that it takes back.
    pub undoes: Option<ChangeSetId>,
    /// The teams of its agents; `None` stands for agents without one.
    pub teams: BTreeSet<Option<TeamName>>,
    /// What was asked for and what it costs, as JSON; its shape is the engine's.
    pub body: String,
    /// When it was started, and by whom.
    pub started: Option<(UtcMicros, Arc<str>)>,
    /// When it was called off, and by whom.
    pub cancelled: Option<(UtcMicros, Arc<str>)>,
}

/// A step of a bulk change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeSetWrite {
    /// It was shown.
    Add {
        /// The set; neither started nor called off.
        set: ChangeSetRow,
        /// Its agents, in order.
        agents: Vec<Previewed>,
    },
    /// It was started. Its transitions are in the same commit.
    Start {
        /// Whose.
        tenant: TenantId,
        /// Which.
        id: ChangeSetId,
        /// When.
        at: UtcMicros,
        /// By whom.
        by: Arc<str>,
        /// Agents who were shown as changed and are left out.
        left_out: Vec<LeftOut>,
    },
    /// It was called off.
    Cancel {
        /// Whose.
        tenant: TenantId,
        /// Which.
        id: ChangeSetId,
        /// When.
        at: UtcMicros,
        /// By whom.
        by: Arc<str>,
    },
    /// It was never started, and goes.
    Forget {
        /// Whose.
        tenant: TenantId,
        /// Which.
        id: ChangeSetId,
    },
}

/// An agent of a set of whom something else was true at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The agent's place in the set.
    pub place: usize,
    /// What is true of the agent now.
    pub outcome: Outcome,
    /// In words.
    pub why: Option<String>,
}

/// A skill of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkillWrite {
    /// Whose.
    pub tenant: TenantId,
    /// The skill.
    pub skill: Skill,
}

/// The skills of one agent; those that are not named go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentSkillsWrite {
    /// Whose.
    pub tenant: TenantId,
    /// Of whom.
    pub agent: AgentId,
    /// Which.
    pub skills: Vec<SkillId>,
}
