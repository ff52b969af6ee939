//! Requests to the keeper about skills, and the replies.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use utoipa::ToSchema;

use crate::domain::access::rights::{Requester, TeamScope};
use crate::domain::agents::skill::{MAX_SKILLS, Skill};
use crate::domain::ids::{AgentId, SkillId};
use crate::engine::changes::request::KeeperError;

/// A request about skills, answered after the commit.
#[derive(Debug)]
pub enum SkillRequest {
    /// Replace the skills of an agent.
    SetAgent {
        /// The agent.
        agent: AgentId,
        /// The agent's skills from now on.
        skills: Vec<SkillId>,
        /// Who requests it.
        requester: Requester,
        /// The requester's teams.
        teams: TeamScope,
        /// Receives the result.
        reply: oneshot::Sender<Result<(), SkillError>>,
    },
    /// Set the name and the staffing floor of a skill.
    SetSkill {
        /// The skill.
        skill: Skill,
        /// Who requests it.
        requester: Requester,
        /// Receives the result.
        reply: oneshot::Sender<Result<(), SkillError>>,
    },
    /// Report the staffing of all skills.
    GetStaffing {
        /// Receives the staffing by skill, for skills that some agent has.
        reply: oneshot::Sender<HashMap<SkillId, SkillStaffing>>,
    },
}

/// The staffing of a skill.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize, ToSchema)]
pub struct SkillStaffing {
    /// The number of agents with the skill.
    pub agents: u32,
    /// The number of these agents who work according to an observation that is not stale, and are not known to stop.
    pub available: u32,
}

/// Why skills could not be set.
#[derive(Debug, thiserror::Error)]
pub enum SkillError {
    /// The keeper could not be reached or rejected the request.
    #[error(transparent)]
    Keeper(#[from] KeeperError),
    /// There is no such agent within the requester's teams.
    #[error("there is no agent {0}")]
    NoAgent(AgentId),
    /// The tenant already has as many named skills as it may.
    #[error(
        "the tenant has {MAX_SKILLS} skills with a name or a floor, which is the limit; remove the name and the floor of one first"
    )]
    TooMany,
}
