//! Exceptions: which agents are excused when, and why.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::adherence::exception::{
    Exception, ExceptionScope, MAX_EXCEPTION_AGENTS, MAX_EXCEPTION_DURATION, MAX_REASON_LENGTH,
};
use crate::domain::agents::agent::Agent;
use crate::domain::ids::{AgentId, ExceptionId, TeamName, TenantId};
use crate::domain::time::UtcMicros;
use crate::engine::rules::{EndException, ExceptionError, NewException};
use crate::http::auth::{Caller, Right};
use crate::http::problem::{Code, Problem};
use crate::http::request::authorized_request::{AuthorizedRequest, has_tenant};
use crate::http::request::extract::{Path, Query};
use crate::http::request::idempotency::{IdempotencyKeyHeader, run_once};
use crate::http::request::query::{TenantQuery, next_cursor, page_size};
use crate::http::request::text::check_length;
use crate::http::state::ApiState;
use crate::store::{ExceptionFilter, Reader};

/// An exception: a period that is neutral in adherence because somebody approved it.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ExceptionResponse {
    /// The id of the exception.
    id: ExceptionId,
    /// The id of the tenant.
    tenant: TenantId,
    /// Who the exception applies to: `agents`, `team` or `everyone`.
    scope: &'static str,
    /// The agents that the exception names. A caller restricted to teams sees only the agents of those teams.
    agents: Vec<ExceptionAgent>,
    /// The team that the exception applies to; null if `scope` is not `team`.
    team: Option<TeamName>,
    /// The start of the exception (inclusive).
    from: UtcMicros,
    /// The end of the exception (exclusive). If it was ended early, this is when it was ended.
    to: UtcMicros,
    /// The reason for the exception.
    reason: String,
    /// The status of the exception: `to_come`, `running` or `over`.
    standing: &'static str,
    /// Who created the exception.
    made_by: String,
    /// When the exception was created.
    made_at: UtcMicros,
    /// Who ended the exception early; null if nobody did.
    ended_by: Option<String>,
    /// When the exception was ended early; null if it was not.
    ended_at: Option<UtcMicros>,
    /// Why the exception was ended early; null if no reason was given.
    ended_why: Option<String>,
}

/// An agent that an exception names.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ExceptionAgent {
    /// The id of the agent.
    agent: AgentId,
    /// The name of the agent; null if unknown.
    name: Option<String>,
    /// The team of the agent; null if unknown.
    team: Option<TeamName>,
}

/// Returns an exception as a caller with these teams sees it, or `None` if it concerns none of their agents.
async fn exception_response(
    reader: &Reader,
    exception: Exception,
    teams: Option<&BTreeSet<TeamName>>,
    now: UtcMicros,
) -> Result<Option<ExceptionResponse>, Problem> {
    let includes_team =
        |team: Option<&TeamName>| teams.is_none_or(|teams| team.is_some_and(|team| teams.contains(team)));
    let (mut agents, mut team): (Vec<Agent>, Option<TeamName>) = (Vec::new(), None);
    match &exception.scope {
        ExceptionScope::Everyone => {}
        ExceptionScope::Team(name) if includes_team(Some(name)) => team = Some(name.clone()),
        ExceptionScope::Team(_) => return Ok(None),
        ExceptionScope::Agents(_) => {
            agents = reader.exception_agents(&exception.tenant, exception.id).await?;
            agents.retain(|agent| includes_team(agent.team.as_ref()));
            if agents.is_empty() {
                return Ok(None);
            }
        }
    }
    let exception_agent = |agent: Agent| ExceptionAgent {
        agent: agent.id,
        name: agent.name.as_deref().map(str::to_owned),
        team: agent.team,
    };
    let ended = exception.early_end.as_ref();
    Ok(Some(ExceptionResponse {
        id: exception.id,
        scope: exception.scope.name(),
        agents: agents.into_iter().map(exception_agent).collect(),
        team,
        from: exception.from,
        to: exception.to,
        reason: exception.reason.to_string(),
        standing: exception.status(now).name(),
        made_by: exception.created_by.to_string(),
        made_at: exception.created_at,
        ended_by: ended.map(|ended| ended.by.to_string()),
        ended_at: ended.map(|ended| ended.at),
        ended_why: ended.and_then(|ended| ended.reason.as_deref()).map(str::to_owned),
        tenant: exception.tenant,
    }))
}

/// Like [`exception_response`], with an error if the exception concerns none of the caller's agents.
async fn visible_exception(
    state: &ApiState,
    exception: Exception,
    teams: Option<&BTreeSet<TeamName>>,
) -> Result<ExceptionResponse, Problem> {
    let id = exception.id;
    let response = exception_response(&state.reader, exception, teams, state.readiness.now()).await?;
    response.ok_or_else(|| no_such_exception(id))
}

/// A new exception, for exactly one of `agents`, `team` and `everyone`.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewExceptionBody {
    /// The id of the tenant.
    tenant: TenantId,
    /// The ids of the agents that the exception applies to, at most 1,000.
    #[serde(default)]
    agents: Option<Vec<AgentId>>,
    /// The team whose agents the exception applies to.
    #[serde(default)]
    team: Option<TeamName>,
    /// Whether the exception applies to all agents.
    #[serde(default)]
    everyone: bool,
    /// The start of the exception (inclusive), which may be in the past.
    from: UtcMicros,
    /// The end of the exception (exclusive), at most 400 days after its start.
    to: UtcMicros,
    /// The reason for the exception, 1 to 500 characters.
    reason: String,
}

has_tenant!(NewExceptionBody, EndExceptionBody);

/// Create an exception
///
/// Approves a period for agents, a team or everyone, in advance or afterwards. The time is neutral in adherence, and
/// rules whose conditions depend on the plan do not act on these agents. A caller restricted to teams can create
/// exceptions only for agents of those teams.
#[utoipa::path(
    post,
    path = "/api/v1/exceptions",
    tag = "exceptions",
    operation_id = "excuse",
    params(IdempotencyKeyHeader),
    request_body = NewExceptionBody,
    responses((status = 201, description = "The new exception, which is in force at once.", body = ExceptionResponse))
)]
pub(in crate::http) async fn create(
    State(state): State<ApiState>,
    AuthorizedRequest { caller, tenant, body, key }: AuthorizedRequest<NewExceptionBody>,
) -> Result<Response, Problem> {
    let new_exception = parse_new_exception(&state, &caller, body).await?;
    let (shared, owner, teams) = (state.clone(), tenant.clone(), caller.teams(&tenant).cloned());
    let work = async move {
        let exception = shared.keepers.approve_exception(&owner, new_exception).await??;
        visible_exception(&shared, exception, teams.as_ref()).await
    };
    run_once(&state, &caller, Some(&tenant), key, StatusCode::CREATED, work).await
}

async fn parse_new_exception(
    state: &ApiState,
    caller: &Caller,
    body: NewExceptionBody,
) -> Result<NewException, Problem> {
    let NewExceptionBody { tenant, agents, team, everyone, from, to, reason } = body;
    if from >= to || to.since(from) > MAX_EXCEPTION_DURATION {
        return Err(Problem::bad_request("from and to: expects at most 400 days, with `from` before `to`"));
    }
    if reason.trim().is_empty() || reason.chars().count() > MAX_REASON_LENGTH {
        return Err(Problem::bad_request(format!("reason: 1 to {MAX_REASON_LENGTH} characters")));
    }
    let scope = match (agents, team, everyone) {
        (Some(mut agents), None, false) => {
            agents.sort_unstable();
            agents.dedup();
            if agents.is_empty() || agents.len() > MAX_EXCEPTION_AGENTS {
                return Err(Problem::bad_request(format!("agents: name 1 to {MAX_EXCEPTION_AGENTS}, or a team")));
            }
            caller.check_agents(state, Right::Excuse, &tenant, &agents).await?;
            ExceptionScope::Agents(agents)
        }
        (None, Some(team), false) => {
            if caller.teams(&tenant).is_some_and(|teams| !teams.contains(&team)) {
                return Err(Problem::from(ExceptionError::NoTeam(team)));
            }
            ExceptionScope::Team(team)
        }
        (None, None, true) => {
            check_not_team_limited(caller, &tenant)?;
            ExceptionScope::Everyone
        }
        _ => return Err(Problem::bad_request("name exactly one of `agents`, `team` and `everyone`")),
    };
    Ok(NewException { scope, from, to, reason, requester: caller.requester() })
}

fn check_not_team_limited(caller: &Caller, tenant: &TenantId) -> Result<(), Problem> {
    if caller.teams(tenant).is_none() {
        return Ok(());
    }
    let detail =
        "only someone who is not limited to teams can approve an exception for everyone: name one of your teams";
    Err(Problem::from_code(Code::NotPermitted, detail))
}

impl From<ExceptionError> for Problem {
    fn from(refused: ExceptionError) -> Self {
        let detail = refused.to_string();
        match refused {
            ExceptionError::NoAgent(_) => Self::from_code(Code::NoSuchAgent, detail),
            ExceptionError::NoTeam(_) => Self::from_code(Code::NoSuchTeam, detail),
            ExceptionError::TooMany => Self::from_code(Code::TooManyExceptions, detail),
            ExceptionError::Ended(_) => Self::from_code(Code::ExceptionOver, detail),
        }
    }
}

/// Filters and page of a list of exceptions.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ExceptionListQuery {
    /// The id of the tenant.
    tenant: TenantId,
    /// Only exceptions that apply to this agent, whether by id, by team or to everyone.
    agent: Option<AgentId>,
    /// Only exceptions that end after this instant.
    from: Option<UtcMicros>,
    /// Only exceptions that begin before this instant.
    to: Option<UtcMicros>,
    /// The `next` of the previous page; omit it for the first page.
    cursor: Option<ExceptionId>,
    /// The maximum number of exceptions to return, 1 to 500; 100 by default.
    limit: Option<u32>,
}

/// A page of exceptions.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ExceptionsResponse {
    /// The exceptions, newest first.
    exceptions: Vec<ExceptionResponse>,
    /// The `cursor` of the next page; null on the last page.
    next: Option<ExceptionId>,
}

/// List exceptions
///
/// Returns exceptions, newest first. A caller restricted to teams gets only exceptions about agents of those teams, so
/// a page may have fewer items than `limit` although more follow.
#[utoipa::path(
    get,
    path = "/api/v1/exceptions",
    tag = "exceptions",
    operation_id = "list_exceptions",
    params(ExceptionListQuery),
    responses((status = 200, description = "A page of exceptions.", body = ExceptionsResponse))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<ExceptionListQuery>,
) -> Result<Json<ExceptionsResponse>, Problem> {
    caller.check(&state, Right::Read, &query.tenant)?;
    let for_agent = match query.agent {
        None => None,
        Some(agent) => {
            caller.check_agents(&state, Right::Read, &query.tenant, std::slice::from_ref(&agent)).await?;
            let known = state.reader.team_of(&query.tenant, &agent).await?;
            Some((agent, known))
        }
    };
    let limit = page_size(query.limit);
    let filter = ExceptionFilter {
        from: query.from.unwrap_or(UtcMicros::EPOCH),
        to: query.to.unwrap_or(UtcMicros::MAX),
        agent: for_agent,
        before: query.cursor,
    };
    let rows = state.reader.exceptions(&query.tenant, &filter, limit).await?;
    let next = next_cursor(&rows, limit, |row| row.id);
    let (teams, now) = (caller.teams(&query.tenant), state.readiness.now());
    let mut exceptions = Vec::with_capacity(rows.len());
    for row in rows {
        exceptions.extend(exception_response(&state.reader, row, teams, now).await?);
    }
    Ok(Json(ExceptionsResponse { exceptions, next }))
}

/// Retrieve an exception
#[utoipa::path(
    get,
    path = "/api/v1/exceptions/{id}",
    tag = "exceptions",
    operation_id = "show_exception",
    params(("id" = ExceptionId, Path, description = "The id of the exception."), TenantQuery),
    responses((status = 200, description = "The exception.", body = ExceptionResponse))
)]
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<ExceptionId>,
    Query(TenantQuery { tenant }): Query<TenantQuery>,
) -> Result<Json<ExceptionResponse>, Problem> {
    caller.check(&state, Right::Read, &tenant)?;
    let stored = state.reader.exception(&tenant, id).await?.ok_or_else(|| no_such_exception(id))?;
    Ok(Json(visible_exception(&state, stored, caller.teams(&tenant)).await?))
}

/// How an exception is to end.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct EndExceptionBody {
    /// The id of the tenant.
    tenant: TenantId,
    /// The reason for ending the exception, recorded with it.
    #[serde(default)]
    reason: Option<String>,
    /// Whether to revoke the exception: it then has no effect on any time, past time included. This is also possible
    /// after it is over.
    #[serde(default)]
    whole: bool,
}

/// End or revoke an exception
///
/// Ends an exception now; the time until now stays neutral unless the exception is revoked. An exception that has not
/// begun never takes effect. A caller restricted to teams can end only exceptions that apply to no other agents.
#[utoipa::path(
    post,
    path = "/api/v1/exceptions/{id}/end",
    tag = "exceptions",
    operation_id = "end_exception",
    params(("id" = ExceptionId, Path, description = "The id of the exception."), IdempotencyKeyHeader),
    request_body = EndExceptionBody,
    responses((status = 200, description = "The exception after the change.", body = ExceptionResponse))
)]
pub(in crate::http) async fn end(
    State(state): State<ApiState>,
    Path(id): Path<ExceptionId>,
    AuthorizedRequest { caller, tenant, body, key }: AuthorizedRequest<EndExceptionBody>,
) -> Result<Response, Problem> {
    check_length("reason", body.reason.as_deref(), MAX_REASON_LENGTH)?;
    let stored = state.reader.exception(&tenant, id).await?.ok_or_else(|| no_such_exception(id))?;
    match &stored.scope {
        ExceptionScope::Everyone => check_not_team_limited(&caller, &tenant)?,
        ExceptionScope::Team(team) if caller.teams(&tenant).is_some_and(|teams| !teams.contains(team)) => {
            return Err(no_such_exception(id));
        }
        ExceptionScope::Team(_) => {}
        ExceptionScope::Agents(agents) => {
            caller.check_agents(&state, Right::Excuse, &tenant, agents).await.map_err(|_| no_such_exception(id))?;
        }
    }
    let reason = body.reason.filter(|reason| !reason.trim().is_empty());
    let end = EndException { exception: stored, revoke: body.whole, reason, requester: caller.requester() };
    let (shared, owner, teams) = (state.clone(), tenant.clone(), caller.teams(&tenant).cloned());
    let work = async move {
        let exception = shared.keepers.end_exception(&owner, end).await??;
        visible_exception(&shared, exception, teams.as_ref()).await
    };
    run_once(&state, &caller, Some(&tenant), key, StatusCode::OK, work).await
}

fn no_such_exception(id: ExceptionId) -> Problem {
    Problem::from_code(Code::NoSuchException, format!("there is no exception {id}"))
}
