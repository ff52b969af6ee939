//! Skills: who has which, and their floors. Said by a file or a person, kept in the store, shared by the agents of the roster.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::json;

use crate::domain::access::rights::{Asker, Teams};
use crate::domain::agents::roster::AgentSlot;
use crate::domain::agents::skill::{MOST_SKILLS, Skill, Skills, Staffing, staffing};
use crate::domain::changes::transition::{Actor, WaitReason};
use crate::domain::ids::{AgentId, SkillId};
use crate::engine::agents::picture::skills_of;
use crate::engine::agents::skills::{SkillError, SkillMessage, SkillStaffed};
use crate::engine::keeper::Keeper;
use crate::engine::keeper::record::Pass;
use crate::store::{AgentSkillsWrite, SkillWrite};

impl Keeper {
    /// What somebody asks about skills.
    pub(in crate::engine::keeper) async fn take_skills(
        &mut self,
        pass: &mut Pass,
        message: SkillMessage,
    ) -> anyhow::Result<()> {
        match message {
            SkillMessage::SetAgent { agent, skills, asker, teams, reply } => {
                let set = self.set_agent_skills(pass, &agent, skills, &asker, &teams).await?;
                pass.answer(reply, set);
            }
            SkillMessage::SetSkill { skill, asker, reply } => {
                let set = self.set_skill(pass, skill, &asker).await?;
                pass.answer(reply, set);
            }
            SkillMessage::Look { reply } => {
                let staffed = self.staffed(pass);
                pass.answer(reply, staffed);
            }
        }
        Ok(())
    }

    async fn set_agent_skills(
        &mut self,
        pass: &mut Pass,
        agent: &AgentId,
        mut skills: Vec<SkillId>,
        asker: &Asker,
        teams: &Teams,
    ) -> anyhow::Result<Result<(), SkillError>> {
        let index = self.roster.find(agent.as_str()).filter(|index| {
            let team = self.roster.get(*index).and_then(|slot| slot.agent().team.as_ref());
            teams.as_ref().is_none_or(|mine| team.is_some_and(|team| mine.contains(team)))
        });
        let Some(index) = index else { return Ok(Err(SkillError::NoAgent(agent.clone()))) };
        skills.sort();
        skills.dedup();
        let facts = json!({"skills": skills});
        let facts = crate::engine::keeper::changes::sets::with_source(facts, asker);
        self.audit_agent(pass, index, &Actor::Person { id: asker.id.clone() }, "agent.skills_set", facts);
        let mut known = self.known_skills(pass.commit.skills.clone()).await?;
        let carried: Skills = skills.iter().map(|id| shared(&mut known, id)).collect();
        self.roster.set_skills(index, carried);
        let (tenant, agent) = (self.link.tenant.clone(), agent.clone());
        pass.commit.agent_skills.push(AgentSkillsWrite { tenant, agent, skills });
        Ok(Ok(()))
    }

    async fn set_skill(
        &mut self,
        pass: &mut Pass,
        skill: Skill,
        asker: &Asker,
    ) -> anyhow::Result<Result<(), SkillError>> {
        let known = self.known_skills(pass.commit.skills.clone()).await?;
        if !known.contains_key(&skill.id) && known.len() >= MOST_SKILLS {
            return Ok(Err(SkillError::TooMany));
        }
        let facts = json!({"skill": skill.id, "name": skill.name, "floor": skill.floor});
        self.audit_person(pass, asker, "skill.set", facts, None);
        let shared = Arc::new(skill.clone());
        let carriers: Vec<_> = self
            .roster
            .iter()
            .filter(|(_, slot)| slot.skills().iter().any(|carried| carried.id == skill.id))
            .map(|(index, slot)| {
                let replaced = |carried: &Arc<Skill>| {
                    if carried.id == shared.id { shared.clone() } else { carried.clone() }
                };
                (index, slot.skills().iter().map(replaced).collect::<Skills>())
            })
            .collect();
        for (index, skills) in carriers {
            self.roster.set_skills(index, skills);
        }
        pass.commit.skills.push(SkillWrite { tenant: self.link.tenant.clone(), skill });
        Ok(Ok(()))
    }

    /// The skills that people named, those included that this pass writes.
    async fn known_skills(&self, written: Vec<SkillWrite>) -> anyhow::Result<BTreeMap<SkillId, Arc<Skill>>> {
        let stored = self.link.reader.skills(&self.link.tenant).await?;
        let new = written.into_iter().map(|write| write.skill);
        Ok(stored.into_iter().chain(new).map(|skill| (skill.id.clone(), Arc::new(skill))).collect())
    }

    /// Reads anew who has which skills.
    pub(in crate::engine::keeper) async fn read_skills(&mut self) -> anyhow::Result<()> {
        let tenant = self.link.tenant.clone();
        let (named, carried) = (self.link.reader.skills(&tenant).await?, self.link.reader.agent_skills(&tenant).await?);
        skills_of(&mut self.roster, named, &carried);
        Ok(())
    }

    /// How every skill is staffed that some agent has.
    fn staffed(&self, pass: &Pass) -> HashMap<SkillId, SkillStaffed> {
        let leaves = |slot: &AgentSlot| {
            self.book.of_agent(slot.id()).any(|open| {
                let goes_on = open.transition.status.waits_for() != Some(WaitReason::Approval);
                goes_on && !open.transition.target.is_working()
            })
        };
        let staffed = staffing(&self.roster, self.settings.decide.stale_after, pass.now, leaves);
        let count = |Staffing { agents, available }| SkillStaffed { agents, available };
        staffed.into_iter().map(|(skill, staffing)| (skill, count(staffing))).collect()
    }
}

fn shared(known: &mut BTreeMap<SkillId, Arc<Skill>>, id: &SkillId) -> Arc<Skill> {
    known.entry(id.clone()).or_insert_with(|| Arc::new(Skill::unnamed(id.clone()))).clone()
}
