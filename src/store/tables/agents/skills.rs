//! Skills with their staffing floors, and the skills of agents.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::agents::skill::Skill;
use crate::domain::ids::{AgentId, SkillId, TenantId};
use crate::store::batch::{self, ManyRows, Transaction, Values, last_of_each};
use crate::store::cells::Cells;
use crate::store::change::Commit;
use crate::store::error::{CommitError, ReadError};
use crate::store::reader::Reader;

pub(in crate::store) const SET_SKILLS: ManyRows = ManyRows {
    head: "INSERT INTO skills (tenant, id, name, floor) VALUES",
    width: 4,
    tail: "ON CONFLICT (tenant, id) DO UPDATE SET name = excluded.name, floor = excluded.floor",
};
pub(in crate::store) const CLEAR_AGENT_SKILLS: ManyRows =
    ManyRows { head: "DELETE FROM agent_skills WHERE (tenant, agent) IN (VALUES", width: 2, tail: ")" };
pub(in crate::store) const ADD_AGENT_SKILLS: ManyRows =
    ManyRows { head: "INSERT INTO agent_skills (tenant, agent, skill) VALUES", width: 3, tail: "" };
pub(in crate::store) const SKILLS: &str = "SELECT tenant, id, name, floor FROM skills WHERE tenant = $1 ORDER BY id";
pub(in crate::store) const AGENT_SKILLS: &str =
    "SELECT tenant, agent, skill FROM agent_skills WHERE tenant = $1 ORDER BY agent, skill";

pub(in crate::store) async fn write(transaction: &mut Transaction<'_>, commits: &[&Commit]) -> Result<(), CommitError> {
    let skills =
        last_of_each(commits.iter().flat_map(|commit| &commit.skills), |write| (&write.tenant, &write.skill.id));
    batch::run(transaction, &SET_SKILLS, &skills, |write, values| {
        values
            .text(write.tenant.as_str())
            .text(write.skill.id.as_str())
            .text_or_null(write.skill.name.as_deref())
            .int_or_null(write.skill.floor.map(i64::from))
    })
    .await?;
    let agents =
        last_of_each(commits.iter().flat_map(|commit| &commit.agent_skills), |write| (&write.tenant, &write.agent));
    batch::run(transaction, &CLEAR_AGENT_SKILLS, &agents, |write, values| {
        values.text(write.tenant.as_str()).text(write.agent.as_str())
    })
    .await?;
    let rows: Vec<_> = agents
        .iter()
        .flat_map(|write| {
            let mut skills: Vec<&SkillId> = write.skills.iter().collect();
            skills.sort();
            skills.dedup();
            skills.into_iter().map(|skill| (&write.tenant, &write.agent, skill))
        })
        .collect();
    batch::run(transaction, &ADD_AGENT_SKILLS, &rows, |(tenant, agent, skill), values| {
        values.text(tenant.as_str()).text(agent.as_str()).text(skill.as_str())
    })
    .await
}

impl Reader {
    /// Returns the skills that have a name or a staffing floor, ordered by id.
    pub async fn skills(&self, tenant: &TenantId) -> Result<Vec<Skill>, ReadError> {
        self.read_rows(SKILLS, Values::of(tenant), |row| {
            let cells = Cells::new("skills", row);
            Ok(Skill {
                id: SkillId::new(cells.text("id")?),
                name: cells.text_or_null("name")?.map(Arc::from),
                floor: cells.number_or_null("floor")?,
            })
        })
        .await
    }

    /// Returns the skills of each agent, ordered by id.
    pub async fn agent_skills(&self, tenant: &TenantId) -> Result<BTreeMap<AgentId, Vec<SkillId>>, ReadError> {
        let mut skills: BTreeMap<AgentId, Vec<SkillId>> = BTreeMap::new();
        self.for_each_row(AGENT_SKILLS, Values::of(tenant), |row| {
            let cells = Cells::new("agent_skills", row);
            let agent = cells.text("agent")?;
            let skill = SkillId::new(cells.text("skill")?);
            match skills.get_mut(agent) {
                Some(known) => known.push(skill),
                None => drop(skills.insert(AgentId::new(agent), vec![skill])),
            }
            Ok(())
        })
        .await?;
        Ok(skills)
    }
}
