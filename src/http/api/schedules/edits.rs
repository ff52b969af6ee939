//! Edits of schedules: a check shows what would change, and its hash applies exactly that.

use std::collections::HashSet;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::imports::NOT_STORED;
use crate::domain::ids::{AgentId, TeamName, TenantId};
use crate::domain::schedules::edit::ShiftEdit;
use crate::http::api::agents::is_accessible;
use crate::http::auth::{Caller, Right};
use crate::http::problem::{Code, Problem, store_unavailable};
use crate::http::request::authorized_request::{AuthorizedRequest, has_tenant};
use crate::http::request::idempotency::{IdempotencyKeyHeader, run_once};
use crate::http::services::schedule_changes::{
    AppliedScheduleChange, ScheduleChange, ScheduleChangeError, ScheduleChangeRequest, ScheduleCheck,
};
use crate::http::state::ApiState;

/// The maximum number of agents of one edit.
const MAX_AGENTS: usize = 2000;

/// An edit of the shifts of agents on one day.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ScheduleEditBody {
    /// The id of the tenant.
    tenant: TenantId,
    /// The ids of the agents. Leave it out to edit all agents of `team`.
    #[serde(default)]
    #[schema(max_items = 2000)]
    agents: Vec<AgentId>,
    /// The team whose agents to edit, if `agents` is empty.
    #[serde(default)]
    team: Option<TeamName>,
    /// The local day, such as `2026-10-26`, in each agent's time zone. The shifts that begin on it are edited.
    #[schema(value_type = String, format = Date)]
    day: Date,
    /// The edit.
    edit: ShiftEdit,
    /// The hash of the check; needed to apply the edit.
    #[serde(default)]
    hash: Option<String>,
}

has_tenant!(ScheduleEditBody);

/// Check an edit of schedules
///
/// Returns what an edit would change for each agent, whom it leaves out and why, and what to look at first. Nothing
/// changes.
#[utoipa::path(
    post,
    path = "/api/v1/schedule-edits/check",
    tag = "shifts",
    operation_id = "check_schedule_edit",
    request_body = ScheduleEditBody,
    responses((status = 200, description = "The changes.", body = ScheduleCheck))
)]
pub(in crate::http) async fn check(
    State(state): State<ApiState>,
    AuthorizedRequest { caller, body, .. }: AuthorizedRequest<ScheduleEditBody>,
) -> Result<Json<ScheduleCheck>, Problem> {
    let (request, _) = change_request(&state, &caller, body).await?;
    Ok(Json(state.importer.check_change(request).await.map_err(change_problem)?))
}

/// Edit schedules
///
/// Applies an edit as its check showed it: `hash` is the check's. Creates a version of the schedule, which can be
/// undone, and an audit entry.
#[utoipa::path(
    post,
    path = "/api/v1/schedule-edits",
    tag = "shifts",
    operation_id = "edit_schedule",
    params(IdempotencyKeyHeader),
    request_body = ScheduleEditBody,
    responses((status = 200, description = "The schedule is in force.", body = AppliedScheduleChange))
)]
pub(in crate::http) async fn create(
    State(state): State<ApiState>,
    AuthorizedRequest { caller, tenant, body, key }: AuthorizedRequest<ScheduleEditBody>,
) -> Result<Response, Problem> {
    let (request, hash) = change_request(&state, &caller, body).await?;
    let hash = checked_hash(hash)?;
    let importer = state.importer.clone();
    let work = async move { importer.apply_change(request, hash).await.map_err(change_problem) };
    run_once(&state, &caller, Some(&tenant), key, StatusCode::OK, work).await
}

/// Returns the change that a body asks for, and the hash of its check.
async fn change_request(
    state: &ApiState,
    caller: &Caller,
    body: ScheduleEditBody,
) -> Result<(ScheduleChangeRequest, Option<String>), Problem> {
    let ScheduleEditBody { tenant, agents, team, day, edit, hash } = body;
    let agents = chosen_agents(state, caller, &tenant, agents, team).await?;
    if agents.len() > MAX_AGENTS {
        let detail = format!("an edit is for 1 to {MAX_AGENTS} agents, and this one is for {}", agents.len());
        return Err(Problem::from_code(Code::BadRequest, detail));
    }
    let change = ScheduleChange::Edit { agents, day, edit };
    Ok((ScheduleChangeRequest { tenant, change, actor: format!("person:{}", caller.id()) }, hash))
}

/// Returns the agents whose schedules a request is about, each once: those it names, or all of a team. The caller has to be
/// permitted to edit the schedules of all of them.
pub(super) async fn chosen_agents(
    state: &ApiState,
    caller: &Caller,
    tenant: &TenantId,
    agents: Vec<AgentId>,
    team: Option<TeamName>,
) -> Result<Vec<AgentId>, Problem> {
    caller.check(state, Right::EditSchedules, tenant)?;
    let list = state.boards.get(tenant).await?;
    let accessible = list.agents.iter().filter(|card| is_accessible(caller, tenant, card));
    if agents.is_empty() {
        let Some(team) = team else {
            return Err(Problem::from_code(Code::BadRequest, "name `agents` or a `team`"));
        };
        let members: Vec<_> =
            accessible.filter(|card| card.team.as_ref() == Some(&team)).map(|card| card.id.clone()).collect();
        if members.is_empty() {
            let detail = format!("tenant {tenant} has no team {team}, or you cannot access it");
            return Err(Problem::from_code(Code::NoSuchTeam, detail));
        }
        return Ok(members);
    }
    let accessible: HashSet<&AgentId> = accessible.map(|card| &card.id).collect();
    if let Some(unknown) = agents.iter().find(|id| !accessible.contains(id)) {
        return Err(Problem::from_code(Code::NoSuchAgent, format!("tenant {tenant} has no agent {unknown}")));
    }
    let mut named = HashSet::new();
    Ok(agents.into_iter().filter(|id| named.insert(id.clone())).collect())
}

pub(super) fn checked_hash(hash: Option<String>) -> Result<String, Problem> {
    hash.ok_or_else(|| {
        Problem::from_code(Code::BadRequest, "`hash` is missing: check first, and send the check's hash")
    })
}

pub(super) fn change_problem(error: ScheduleChangeError) -> Problem {
    let detail = error.to_string();
    match error {
        ScheduleChangeError::HashDiffers => Problem::from_code(Code::HashMismatch, detail),
        ScheduleChangeError::NoVersion(_) => Problem::from_code(Code::NoSuchScheduleVersion, detail),
        ScheduleChangeError::NothingChanges(_) => Problem::from_code(Code::NothingChanges, detail),
        ScheduleChangeError::BadDay(_) => Problem::from_code(Code::BadRequest, detail),
        ScheduleChangeError::Read(cause) => store_unavailable(cause, NOT_STORED, detail),
        ScheduleChangeError::Store(cause) => store_unavailable(cause, NOT_STORED, detail),
    }
}
