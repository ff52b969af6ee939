//! Skills: which agents have which, and their staffing floors.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::agents::skill::{MAX_FLOOR, MAX_SKILL_CHARS, MAX_SKILLS_PER_AGENT, Skill};
use crate::domain::ids::{AgentId, SkillId, TenantId};
use crate::engine::agents::skills::{SkillError, SkillService};
use crate::http::auth::{Caller, Right};
use crate::http::problem::{Code, Problem};
use crate::http::request::authorized_request::{AuthorizedRequest, has_tenant};
use crate::http::request::extract::{Path, Query};
use crate::http::request::idempotency::{IdempotencyKeyHeader, run_once};
use crate::http::request::query::TenantQuery;
use crate::http::state::ApiState;

/// The skills of an agent.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct AgentSkillsResponse {
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
    params(("id" = AgentId, Path, description = "The agent."), TenantQuery),
    responses((status = 200, description = "the skills", body = AgentSkillsResponse))
)]
pub(in crate::http) async fn agent_skills(
    State(state): State<ApiState>,
    caller: Caller,
    Path(agent): Path<AgentId>,
    Query(TenantQuery { tenant }): Query<TenantQuery>,
) -> Result<Json<AgentSkillsResponse>, Problem> {
    caller.check_agents(&state, Right::Read, &tenant, std::slice::from_ref(&agent)).await?;
    let skills = state.reader.agent_skills(&tenant).await?.remove(&agent).unwrap_or_default();
    Ok(Json(AgentSkillsResponse { agent, skills }))
}

/// The body of an agent's skills.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct AgentSkillsBody {
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
    params(("id" = AgentId, Path, description = "The agent."), IdempotencyKeyHeader),
    request_body = AgentSkillsBody,
    responses((status = 200, description = "the skills", body = AgentSkillsResponse))
)]
pub(in crate::http) async fn set_agent_skills(
    State(state): State<ApiState>,
    Path(agent): Path<AgentId>,
    AuthorizedRequest { caller, tenant, body, key }: AuthorizedRequest<AgentSkillsBody>,
) -> Result<Response, Problem> {
    caller.check_agents(&state, Right::Import, &tenant, std::slice::from_ref(&agent)).await?;
    if body.skills.len() > MAX_SKILLS_PER_AGENT {
        return Err(Problem::bad_request(format!("skills: an agent has at most {MAX_SKILLS_PER_AGENT}")));
    }
    for skill in &body.skills {
        check_text("skills", skill.as_str())?;
    }
    let (skills_service, requester, teams) =
        (skill_service(&state), caller.requester(), caller.teams(&tenant).cloned());
    let mut skills = body.skills;
    skills.sort();
    skills.dedup();
    let work = async move {
        skills_service.set_agent(&body.tenant, agent.clone(), skills.clone(), requester, teams).await?;
        Ok(AgentSkillsResponse { agent, skills })
    };
    run_once(&state, &caller, Some(&tenant), key, StatusCode::OK, work).await
}

/// The body of a skill.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct SkillBody {
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

has_tenant!(AgentSkillsBody, SkillBody);

/// A skill as it was set.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct SetSkillResponse {
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
    params(("id" = SkillId, Path, description = "The skill, by the platform's id."), IdempotencyKeyHeader),
    request_body = SkillBody,
    responses((status = 200, description = "the skill", body = SetSkillResponse))
)]
pub(in crate::http) async fn set_skill(
    State(state): State<ApiState>,
    Path(id): Path<SkillId>,
    AuthorizedRequest { caller, tenant, body, key }: AuthorizedRequest<SkillBody>,
) -> Result<Response, Problem> {
    check_text("id", id.as_str())?;
    if let Some(name) = &body.name {
        check_text("name", name)?;
    }
    if body.floor.is_some_and(|floor| floor > MAX_FLOOR) {
        return Err(Problem::bad_request(format!("floor: at most {MAX_FLOOR}")));
    }
    let (skills_service, requester) = (skill_service(&state), caller.requester());
    let work = async move {
        let SkillBody { tenant, name, floor } = body;
        let skill = Skill { id: id.clone(), name: name.as_deref().map(Into::into), floor };
        skills_service.set_skill(&tenant, skill, requester).await?;
        let staffed = skills_service.staffing(&tenant).await?.get(&id).copied().unwrap_or_default();
        Ok(SetSkillResponse { id, name, floor, agents: staffed.agents, available: staffed.available })
    };
    run_once(&state, &caller, Some(&tenant), key, StatusCode::OK, work).await
}

fn skill_service(state: &ApiState) -> SkillService {
    SkillService::new(state.keepers.clone())
}

fn check_text(name: &str, text: &str) -> Result<(), Problem> {
    let is_too_long = text.chars().count() > MAX_SKILL_CHARS;
    if text.trim().is_empty() || is_too_long || text.chars().any(char::is_control) {
        let most = MAX_SKILL_CHARS;
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
            SkillError::Keeper(error) => error.into(),
            SkillError::NoAgent(_) => Self::from_code(Code::NoSuchAgent, detail),
            SkillError::TooMany => Self::from_code(Code::TooManySkills, detail),
        }
    }
}
