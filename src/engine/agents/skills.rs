//! The skills of agents, their staffing floors and their staffing.

mod request;

use std::collections::HashMap;

use crate::domain::access::rights::{Requester, TeamScope};
use crate::domain::agents::skill::Skill;
use crate::domain::ids::{AgentId, SkillId, TenantId};
use crate::engine::changes::keeper_handle::KeeperHandle;
use crate::engine::changes::request::KeeperError;
use crate::engine::keeper_message::KeeperMessage;

pub use self::request::{SkillError, SkillRequest, SkillStaffing};

/// A service for skills. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SkillService {
    keeper: KeeperHandle,
}

impl SkillService {
    /// Creates a service for these keepers.
    pub const fn new(keeper: KeeperHandle) -> Self {
        Self { keeper }
    }

    /// Replaces the skills of an agent.
    pub async fn set_agent(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        skills: Vec<SkillId>,
        requester: Requester,
        teams: TeamScope,
    ) -> Result<(), SkillError> {
        let request = |reply| SkillRequest::SetAgent { agent, skills, requester, teams, reply };
        self.keeper.ask_to_write(tenant, |reply| KeeperMessage::Skills(request(reply))).await?
    }

    /// Sets the name and the staffing floor of a skill.
    pub async fn set_skill(&self, tenant: &TenantId, skill: Skill, requester: Requester) -> Result<(), SkillError> {
        let request = |reply| SkillRequest::SetSkill { skill, requester, reply };
        self.keeper.ask_to_write(tenant, |reply| KeeperMessage::Skills(request(reply))).await?
    }

    /// Returns the staffing of all skills that some agent has.
    pub async fn staffing(&self, tenant: &TenantId) -> Result<HashMap<SkillId, SkillStaffing>, KeeperError> {
        self.keeper.ask(tenant, |reply| KeeperMessage::Skills(SkillRequest::GetStaffing { reply })).await
    }
}
