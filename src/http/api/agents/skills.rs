//! Skills: who has which, and their floors.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::agents::skill::{GREATEST_FLOOR, LONGEST_SKILL_TEXT, MOST_SKILLS_PER_AGENT, Skill};
use crate::domain::ids::{AgentId, SkillId, TenantId};
use crate::engine::agents::skills::{SkillDesk, SkillError};
use crate::http::ApiState;
use crate::http::auth::{Caller, Right};
use crate::http::extract::{Json as Body, Path, Query};
use crate::http::problem::{Code, Problem};
use crate::http::request_key::{KeyHeader, RequestKey, answer, once};

/// Whose.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct OfTenant {
    tenant: TenantId,
}

/// The skills of an agent.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct AgentSkills {
    /// Who.
    agent: AgentId,
    /// Which, by id.
    skills: Vec<SkillId>,
}

/// The skills of an agent
///
/// Said by a schedule file or a person; the platform says none.
#[utoipa::path(
    get,
    path = "/api/v1/agents/{id}/skills",
    tag = "skills",
    operation_id = "agent_skills",
    params(("id" = AgentId, Path, description = "The agent."), OfTenant),
    responses((status = 200, description = "the skills", body = AgentSkills))
)]
pub(in crate::http) async fn of_agent(
    State(state): State<ApiState>,
    caller: Caller,
    Path(agent): Path<AgentId>,
    Query(OfTenant { tenant }): Query<OfTenant>,
) -> Result<Json<AgentSkills>, Problem> {
    caller.check_agents(&state, Right::Read, &tenant, std::slice::from_ref(&agent)).await?;
    let skills = state.reader.agent_skills(&tenant).await?.remove(&agent).unwrap_or_default();
    Ok(Json(AgentSkills { agent, skills }))
}

/// The body of an agent's skills.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct SetAgentSkills {
    tenant: TenantId,
    /// All of them: those that are not named the agent has no more.
    #[schema(max_items = 100)]
    skills: Vec<SkillId>,
}

/// Give an agent skills
#[utoipa::path(
    put,
    path = "/api/v1/agents/{id}/skills",
    tag = "skills",
    operation_id = "set_agent_skills",
    params(("id" = AgentId, Path, description = "The agent."), KeyHeader),
    request_body = SetAgentSkills,
    responses((status = 200, description = "the skills", body = AgentSkills))
)]
pub(in crate::http) async fn set_of_agent(
    State(state): State<ApiState>,
    caller: Caller,
    Path(agent): Path<AgentId>,
    key: RequestKey,
    Body(body): Body<SetAgentSkills>,
) -> Result<Response, Problem> {
    caller.check_agents(&state, Right::Import, &body.tenant, std::slice::from_ref(&agent)).await?;
    if body.skills.len() > MOST_SKILLS_PER_AGENT {
        return Err(Problem::bad_request(format!("skills: an agent has at most {MOST_SKILLS_PER_AGENT}")));
    }
    for skill in &body.skills {
        check_text("skills", skill.as_str())?;
    }
    let key = key.with_json(&body)?;
    let (desk, of, tenant) = (desk(&state), body.tenant.clone(), body.tenant);
    let (asker, teams) = (caller.asker(), caller.teams(&tenant).cloned());
    let mut skills = body.skills;
    skills.sort();
    skills.dedup();
    let work = async move {
        desk.set_agent(&of, agent.clone(), skills.clone(), asker, teams).await?;
        Ok(answer(StatusCode::OK, &AgentSkills { agent, skills }))
    };
    once(&state, &caller, Some(&tenant), key, work).await
}

/// The body of a skill.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct SetSkill {
    tenant: TenantId,
    /// What people call it.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 128)]
    name: Option<String>,
    /// So many of its agents are to stay available; null for no floor.
    #[serde(default)]
    #[schema(maximum = 100_000)]
    floor: Option<u32>,
}

/// A skill as it was set.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct SkillSet {
    /// The platform's id.
    id: SkillId,
    /// What people call it.
    name: Option<String>,
    /// So many of its agents are to stay available.
    floor: Option<u32>,
    /// How many agents have it.
    agents: u32,
    /// How many of them are at work by fresh sight.
    available: u32,
}

/// Name a skill and set its floor
#[utoipa::path(
    put,
    path = "/api/v1/skills/{id}",
    tag = "skills",
    operation_id = "set_skill",
    params(("id" = SkillId, Path, description = "The skill, by the platform's id."), KeyHeader),
    request_body = SetSkill,
    responses((status = 200, description = "the skill", body = SkillSet))
)]
pub(in crate::http) async fn set(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<SkillId>,
    key: RequestKey,
    Body(body): Body<SetSkill>,
) -> Result<Response, Problem> {
    caller.check(&state, Right::Import, &body.tenant)?;
    check_text("id", id.as_str())?;
    if let Some(name) = &body.name {
        check_text("name", name)?;
    }
    if body.floor.is_some_and(|floor| floor > GREATEST_FLOOR) {
        return Err(Problem::bad_request(format!("floor: at most {GREATEST_FLOOR}")));
    }
    let key = key.with_json(&body)?;
    let (desk, of, asker) = (desk(&state), body.tenant.clone(), caller.asker());
    let skill = Skill { id: id.clone(), name: body.name.as_deref().map(Into::into), floor: body.floor };
    let (name, floor) = (body.name, body.floor);
    let work = async move {
        desk.set_skill(&of, skill, asker).await?;
        let staffed = desk.staffed(&of).await?.get(&id).copied().unwrap_or_default();
        let (agents, available) = (staffed.agents, staffed.available);
        Ok(answer(StatusCode::OK, &SkillSet { id, name, floor, agents, available }))
    };
    once(&state, &caller, Some(&body.tenant), key, work).await
}

fn desk(state: &ApiState) -> SkillDesk {
    SkillDesk::new(state.door.clone())
}

fn check_text(name: &str, text: &str) -> Result<(), Problem> {
    let long = text.chars().count() > LONGEST_SKILL_TEXT;
    if text.trim().is_empty() || long || text.chars().any(char::is_control) {
        let most = LONGEST_SKILL_TEXT;
        return Err(Problem::bad_request(format!(
            "{name}: 1 to {most} characters on one line, none of them blank alone"
        )));
    }
    Ok(())
}

impl From<SkillError> for Problem {
    fn from(error: SkillError) -> Self {
        let detail = error.to_string();
        match error {
            SkillError::Door(error) => error.into(),
            SkillError::NoAgent(_) => Self::of(Code::NoSuchAgent, detail),
            SkillError::TooMany => Self::of(Code::TooManySkills, detail),
        }
    }
}
