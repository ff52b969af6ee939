//! The way to skills: who has which, their floors, and how they are staffed.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use utoipa::ToSchema;

use crate::domain::access::rights::{Asker, Teams};
use crate::domain::agents::skill::{MOST_SKILLS, Skill};
use crate::domain::ids::{AgentId, SkillId, TenantId};
use crate::engine::changes::door::{Door, DoorError};
use crate::engine::message::Message;

/// What a keeper is asked about skills. Each is answered after the commit.
#[derive(Debug)]
pub enum SkillMessage {
    /// The agent has these skills from now on, and no others.
    SetAgent {
        /// Who.
        agent: AgentId,
        /// Which.
        skills: Vec<SkillId>,
        /// Who asks.
        asker: Asker,
        /// The asker's teams.
        teams: Teams,
        /// Done.
        reply: oneshot::Sender<Result<(), SkillError>>,
    },
    /// The skill has this name and floor from now on.
    SetSkill {
        /// The skill.
        skill: Skill,
        /// Who asks.
        asker: Asker,
        /// Done.
        reply: oneshot::Sender<Result<(), SkillError>>,
    },
    /// How the skills are staffed.
    Look {
        /// By skill; only those that some agent has.
        reply: oneshot::Sender<HashMap<SkillId, SkillStaffed>>,
    },
}

/// How a skill is staffed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize, ToSchema)]
pub struct SkillStaffed {
    /// How many agents have it.
    pub agents: u32,
    /// How many of them are at work by fresh sight and stay there as far as is known.
    pub available: u32,
}

/// Why skills were not set.
#[derive(Debug, thiserror::Error)]
pub enum SkillError {
    /// The way to the keeper.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// No such agent, or none of the asker's teams.
    #[error("there is no agent {0}")]
    NoAgent(AgentId),
    /// Too many skills.
    #[error("the tenant has {MOST_SKILLS} skills with a name or floor, and more are not kept")]
    TooMany,
}

/// The way to skills. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SkillDesk {
    door: Door,
}

impl SkillDesk {
    /// Over these keepers.
    pub const fn new(door: Door) -> Self {
        Self { door }
    }

    /// The agent has these skills from now on.
    pub async fn set_agent(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        skills: Vec<SkillId>,
        asker: Asker,
        teams: Teams,
    ) -> Result<(), SkillError> {
        let (reply, answer) = oneshot::channel();
        self.door.tell(tenant, Message::Skills(SkillMessage::SetAgent { agent, skills, asker, teams, reply })).await?;
        answer.await.unwrap_or(Err(SkillError::Door(DoorError::Unavailable)))
    }

    /// The skill has this name and floor from now on.
    pub async fn set_skill(&self, tenant: &TenantId, skill: Skill, asker: Asker) -> Result<(), SkillError> {
        let (reply, answer) = oneshot::channel();
        self.door.tell(tenant, Message::Skills(SkillMessage::SetSkill { skill, asker, reply })).await?;
        answer.await.unwrap_or(Err(SkillError::Door(DoorError::Unavailable)))
    }

    /// How the skills are staffed that some agent has.
    pub async fn staffed(&self, tenant: &TenantId) -> Result<HashMap<SkillId, SkillStaffed>, DoorError> {
        let (reply, answer) = oneshot::channel();
        self.door.look(tenant, Message::Skills(SkillMessage::Look { reply })).await?;
        answer.await.map_err(|_| DoorError::Unavailable)
    }
}
