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

/// An exception as people see it.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ExceptionResponse {
    /// Its id.
    id: ExceptionId,
    /// Whose agents.
    tenant: TenantId,
    /// `agents`, `team` or `everyone`.
    scope: &'static str,
    /// Those it names; to who is bound to teams, theirs alone.
    agents: Vec<ExceptionAgent>,
    /// The team, where it is one.
    team: Option<TeamName>,
    /// First instant.
    from: UtcMicros,
    /// First instant after it; where it was ended early, that instant.
    to: UtcMicros,
    /// Why.
    reason: String,
    /// `to_come`, `running` or `over`.
    standing: &'static str,
    /// Who made it.
    made_by: String,
    /// When.
    made_at: UtcMicros,
    /// Who ended it early.
    ended_by: Option<String>,
    /// When.
    ended_at: Option<UtcMicros>,
    /// Why.
    ended_why: Option<String>,
}

/// An agent whom an exception names.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ExceptionAgent {
    /// Who.
    agent: AgentId,
    /// The name, where one is known.
    name: Option<String>,
    /// The team, where it is known.
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

/// Somebody to be excused: exactly one of `agents`, `team` and `everyone`.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewExceptionBody {
    /// Of whom.
    tenant: TenantId,
    /// These agents, at most 1,000.
    #[serde(default)]
    agents: Option<Vec<AgentId>>,
    /// Whoever is in this team.
    #[serde(default)]
    team: Option<TeamName>,
    /// All of them.
    #[serde(default)]
    everyone: bool,
    /// First instant; may be past.
    from: UtcMicros,
    /// First instant after it, at most 400 days later.
    to: UtcMicros,
    /// Why, in 1 to 500 characters.
    reason: String,
}

has_tenant!(NewExceptionBody, EndExceptionBody);

/// Excuse agents, a team or everyone
///
/// Before or after the fact. Excused time is neutral in adherence, and rules that look at the plan leave the excused alone. Whoever is
/// bound to teams excuses their agents alone.
#[utoipa::path(
    post,
    path = "/api/v1/exceptions",
    tag = "exceptions",
    operation_id = "excuse",
    params(IdempotencyKeyHeader),
    request_body = NewExceptionBody,
    responses((status = 201, description = "it counts from now on", body = ExceptionResponse))
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
        return Err(Problem::bad_request("from and to: a span of at most 400 days, `from` before `to`"));
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

/// Which exceptions.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ExceptionListQuery {
    /// Of whose agents.
    tenant: TenantId,
    /// About this agent, by name, by team or with everyone.
    agent: Option<AgentId>,
    /// Those that reach beyond this instant.
    from: Option<UtcMicros>,
    /// Those that begin before this one.
    to: Option<UtcMicros>,
    /// The `next` of the page before.
    cursor: Option<ExceptionId>,
    /// At most so many, 100 without it, at most 500.
    limit: Option<u32>,
}

/// Exceptions.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ExceptionsResponse {
    /// Newest first.
    exceptions: Vec<ExceptionResponse>,
    /// The cursor of the next page; null on the last.
    next: Option<ExceptionId>,
}

/// Exceptions, the newest first
///
/// Whoever is bound to teams sees those about their agents; a page may then be short of the limit and have a next one.
#[utoipa::path(
    get,
    path = "/api/v1/exceptions",
    tag = "exceptions",
    operation_id = "list_exceptions",
    params(ExceptionListQuery),
    responses((status = 200, description = "the exceptions", body = ExceptionsResponse))
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

/// One exception
#[utoipa::path(
    get,
    path = "/api/v1/exceptions/{id}",
    tag = "exceptions",
    operation_id = "show_exception",
    params(("id" = ExceptionId, Path, description = "The exception."), TenantQuery),
    responses((status = 200, description = "the exception", body = ExceptionResponse))
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

/// An exception that is to end.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct EndExceptionBody {
    /// Whose.
    tenant: TenantId,
    /// Why, for the record.
    #[serde(default)]
    reason: Option<String>,
    /// It is taken back, also where it is over: what it excused before now counts again too.
    #[serde(default)]
    whole: bool,
}

/// End an exception now, or take it back
///
/// What it excused until now stays excused, unless it is taken back whole; one that has not begun never does. Whoever is bound to
/// teams ends what is about their agents alone.
#[utoipa::path(
    post,
    path = "/api/v1/exceptions/{id}/end",
    tag = "exceptions",
    operation_id = "end_exception",
    params(("id" = ExceptionId, Path, description = "The exception."), IdempotencyKeyHeader),
    request_body = EndExceptionBody,
    responses((status = 200, description = "the exception as it is now", body = ExceptionResponse))
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
