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
    /// The id of the agent.
    agent: AgentId,
    /// The ids of the skills, ordered.
    skills: Vec<SkillId>,
}

/// Retrieve an agent's skills
///
/// Skills are assigned by a schedule file or a person; the platform does not report them.
#[utoipa::path(
    get,
    path = "/api/v1/agents/{id}/skills",
    tag = "skills",
    operation_id = "agent_skills",
    params(("id" = AgentId, Path, description = "The id of the agent."), TenantQuery),
    responses((status = 200, description = "The agent's skills.", body = AgentSkillsResponse))
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

/// The new skills of an agent.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct AgentSkillsBody {
    /// The id of the tenant.
    tenant: TenantId,
    /// The ids of all skills that the agent is to have. Skills that are not listed are removed.
    #[schema(max_items = 100)]
    skills: Vec<SkillId>,
}

/// Set an agent's skills
///
/// Replaces all skills of the agent.
#[utoipa::path(
    put,
    path = "/api/v1/agents/{id}/skills",
    tag = "skills",
    operation_id = "set_agent_skills",
    params(("id" = AgentId, Path, description = "The id of the agent."), IdempotencyKeyHeader),
    request_body = AgentSkillsBody,
    responses((status = 200, description = "The agent's skills.", body = AgentSkillsResponse))
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

/// The new name and staffing floor of a skill.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct SkillBody {
    /// The id of the tenant.
    tenant: TenantId,
    /// The display name of the skill; null for none.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 128)]
    name: Option<String>,
    /// The staffing floor: how many agents with the skill must stay available; null for no floor.
    #[serde(default)]
    #[schema(maximum = 100_000)]
    floor: Option<u32>,
}

has_tenant!(AgentSkillsBody, SkillBody);

/// A skill after a change.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct SetSkillResponse {
    /// The platform's id of the skill.
    id: SkillId,
    /// The display name of the skill; null if it has none.
    name: Option<String>,
    /// The staffing floor: how many agents with the skill must stay available; null if there is no floor.
    floor: Option<u32>,
    /// The number of agents with the skill.
    agents: u32,
    /// The number of these agents who are ready, on a contact or in wrap-up, according to an observation that is not
    /// stale.
    available: u32,
}

/// Set a skill's name and staffing floor
#[utoipa::path(
    put,
    path = "/api/v1/skills/{id}",
    tag = "skills",
    operation_id = "set_skill",
    params(("id" = SkillId, Path, description = "The platform's id of the skill."), IdempotencyKeyHeader),
    request_body = SkillBody,
    responses((status = 200, description = "The skill.", body = SetSkillResponse))
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
