//! Skills of agents and their staffing floors, set by files or people, kept in the store and shared by the agents of
//! the roster.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::json;

use crate::domain::access::rights::{Requester, TeamScope};
use crate::domain::agents::roster::AgentRecord;
use crate::domain::agents::skill::{MAX_SKILLS, Skill, Skills};
use crate::domain::agents::staffing::{StaffingCount, staffing_by_skill};
use crate::domain::changes::transition::{Actor, WaitReason};
use crate::domain::ids::{AgentId, SkillId};
use crate::engine::agents::skills::{SkillError, SkillRequest, SkillStaffing};
use crate::engine::agents::stored_live_view::apply_skills;
use crate::engine::keeper::pass::Pass;
use crate::engine::keeper::state::Keeper;
use crate::store::{AgentSkillsWrite, SkillWrite};

impl Keeper {
    /// Handles a request about skills.
    pub(in crate::engine::keeper) async fn handle_skill_request(
        &mut self,
        pass: &mut Pass,
        message: SkillRequest,
    ) -> anyhow::Result<()> {
        match message {
            SkillRequest::SetAgent { agent, skills, requester: asker, teams, reply } => {
                let result = self.set_agent_skills(pass, &agent, skills, &asker, &teams).await?;
                pass.reply_after_commit(reply, result);
            }
            SkillRequest::SetSkill { skill, requester: asker, reply } => {
                let result = self.set_skill(pass, skill, &asker).await?;
                pass.reply_after_commit(reply, result);
            }
            SkillRequest::GetStaffing { reply } => {
                let staffing = self.staffing(pass);
                pass.reply_after_commit(reply, staffing);
            }
        }
        Ok(())
    }

    async fn set_agent_skills(
        &mut self,
        pass: &mut Pass,
        agent: &AgentId,
        mut skills: Vec<SkillId>,
        requester: &Requester,
        teams: &TeamScope,
    ) -> anyhow::Result<Result<(), SkillError>> {
        let index = self.roster.find(agent.as_str()).filter(|index| {
            let team = self.roster.get(*index).and_then(|slot| slot.agent().team.as_ref());
            teams.as_ref().is_none_or(|mine| team.is_some_and(|team| mine.contains(team)))
        });
        let Some(index) = index else { return Ok(Err(SkillError::NoAgent(agent.clone()))) };
        skills.sort();
        skills.dedup();
        let details = json!({"skills": skills});
        let details = crate::engine::keeper::changes::change_sets::with_source(details, requester);
        self.audit_agent(pass, index, &Actor::Person { id: requester.id.clone() }, "agent.skills_set", details);
        let mut known = self.known_skills(pass.commit.skills.clone()).await?;
        let agent_skills: Skills = skills.iter().map(|id| shared_skill(&mut known, id)).collect();
        self.roster.set_skills(index, agent_skills);
        let (tenant, agent) = (self.link.tenant.clone(), agent.clone());
        pass.commit.agent_skills.push(AgentSkillsWrite { tenant, agent, skills });
        Ok(Ok(()))
    }

    async fn set_skill(
        &mut self,
        pass: &mut Pass,
        skill: Skill,
        requester: &Requester,
    ) -> anyhow::Result<Result<(), SkillError>> {
        let known = self.known_skills(pass.commit.skills.clone()).await?;
        if !known.contains_key(&skill.id) && known.len() >= MAX_SKILLS {
            return Ok(Err(SkillError::TooMany));
        }
        let details = json!({"skill": skill.id, "name": skill.name, "floor": skill.floor});
        self.audit_person_action(pass, requester, "skill.set", details, None);
        let shared = Arc::new(skill.clone());
        let agents_with_skill: Vec<_> = self
            .roster
            .iter()
            .filter(|(_, slot)| slot.skills().iter().any(|agent_skill| agent_skill.id == skill.id))
            .map(|(index, slot)| {
                let replaced = |agent_skill: &Arc<Skill>| {
                    if agent_skill.id == shared.id { shared.clone() } else { agent_skill.clone() }
                };
                (index, slot.skills().iter().map(replaced).collect::<Skills>())
            })
            .collect();
        for (index, skills) in agents_with_skill {
            self.roster.set_skills(index, skills);
        }
        pass.commit.skills.push(SkillWrite { tenant: self.link.tenant.clone(), skill });
        Ok(Ok(()))
    }

    /// Returns the named skills, including those that this pass writes.
    async fn known_skills(&self, written: Vec<SkillWrite>) -> anyhow::Result<BTreeMap<SkillId, Arc<Skill>>> {
        let stored = self.link.reader.skills(&self.link.tenant).await?;
        let new = written.into_iter().map(|write| write.skill);
        Ok(stored.into_iter().chain(new).map(|skill| (skill.id.clone(), Arc::new(skill))).collect())
    }

    /// Reloads the skills of all agents from the store.
    pub(in crate::engine::keeper) async fn reload_skills(&mut self) -> anyhow::Result<()> {
        let tenant = self.link.tenant.clone();
        let (named_skills, agent_skills) =
            (self.link.reader.skills(&tenant).await?, self.link.reader.agent_skills(&tenant).await?);
        apply_skills(&mut self.roster, named_skills, &agent_skills);
        Ok(())
    }

    /// Returns the staffing of every skill that some agent has.
    fn staffing(&self, pass: &Pass) -> HashMap<SkillId, SkillStaffing> {
        let is_leaving = |slot: &AgentRecord| {
            self.open_transitions.of_agent(slot.id()).any(|open| {
                let is_approved = open.transition.status.wait_reason() != Some(WaitReason::Approval);
                is_approved && !open.transition.target.is_working()
            })
        };
        let counts = staffing_by_skill(&self.roster, self.settings.decide.stale_after, pass.now, is_leaving);
        let count = |StaffingCount { agents, available }| SkillStaffing { agents, available };
        counts.into_iter().map(|(skill, staffing)| (skill, count(staffing))).collect()
    }
}

fn shared_skill(known: &mut BTreeMap<SkillId, Arc<Skill>>, id: &SkillId) -> Arc<Skill> {
    known.entry(id.clone()).or_insert_with(|| Arc::new(Skill::unnamed(id.clone()))).clone()
}
