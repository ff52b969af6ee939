//! Exceptions: who is excused when, and why.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::adherence::exception::{Exception, LONGEST_EXCEPTION, LONGEST_REASON, MOST_EXCUSED, Whom};
use crate::domain::agents::agent::Agent;
use crate::domain::ids::{AgentId, ExceptionId, TeamName, TenantId};
use crate::domain::time::UtcMicros;
use crate::engine::rules::{EndException, ExceptionRefused, NewException};
use crate::http::ApiState;
use crate::http::api::rules::check_words;
use crate::http::auth::{Caller, Right};
use crate::http::extract::{Path, Query};
use crate::http::problem::{Code, Problem};
use crate::http::request_key::{KeyHeader, answer, once};
use crate::http::wish::{Wish, of_tenant};
use crate::store::{ExceptionFilter, PAGE_LIMIT, Reader};

/// An exception as people see it.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ExceptionView {
    /// Its id.
    id: ExceptionId,
    /// Whose agents.
    tenant: TenantId,
    /// `agents`, `team` or `everyone`.
    scope: &'static str,
    /// Those it names; to who is bound to teams, theirs alone.
    agents: Vec<ExcusedAgent>,
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
pub(in crate::http) struct ExcusedAgent {
    /// Who.
    agent: AgentId,
    /// The name, where one is known.
    name: Option<String>,
    /// The team, where it is known.
    team: Option<TeamName>,
}

/// An exception as whoever is bound to these teams sees it; none where it is about none of their agents.
async fn view(
    reader: &Reader,
    exception: Exception,
    teams: Option<&BTreeSet<TeamName>>,
    now: UtcMicros,
) -> Result<Option<ExceptionView>, Problem> {
    let sees = |team: Option<&TeamName>| teams.is_none_or(|teams| team.is_some_and(|team| teams.contains(team)));
    let (mut agents, mut team): (Vec<Agent>, Option<TeamName>) = (Vec::new(), None);
    match &exception.whom {
        Whom::Everyone => {}
        Whom::Team(name) if sees(Some(name)) => team = Some(name.clone()),
        Whom::Team(_) => return Ok(None),
        Whom::Agents(_) => {
            agents = reader.excused_agents(&exception.tenant, exception.id).await?;
            agents.retain(|agent| sees(agent.team.as_ref()));
            if agents.is_empty() {
                return Ok(None);
            }
        }
    }
    let name_of = |agent: Agent| ExcusedAgent {
        agent: agent.id,
        name: agent.name.as_deref().map(str::to_owned),
        team: agent.team,
    };
    let ended = exception.ended.as_ref();
    Ok(Some(ExceptionView {
        id: exception.id,
        scope: exception.whom.scope(),
        agents: agents.into_iter().map(name_of).collect(),
        team,
        from: exception.from,
        to: exception.to,
        reason: exception.reason.to_string(),
        standing: exception.standing(now).name(),
        made_by: exception.made_by.to_string(),
        made_at: exception.made_at,
        ended_by: ended.map(|ended| ended.by.to_string()),
        ended_at: ended.map(|ended| ended.at),
        ended_why: ended.and_then(|ended| ended.why.as_deref()).map(str::to_owned),
        tenant: exception.tenant,
    }))
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

of_tenant!(NewExceptionBody, EndBody);

/// Excuse agents, a team or everyone
///
/// Before or after the fact. Excused time is neutral in adherence, and rules that look at the plan leave the excused alone. Whoever is
/// bound to teams excuses their agents alone.
#[utoipa::path(
    post,
    path = "/api/v1/exceptions",
    tag = "exceptions",
    operation_id = "excuse",
    params(KeyHeader),
    request_body = NewExceptionBody,
    responses((status = 201, description = "it counts from now on", body = ExceptionView))
)]
pub(in crate::http) async fn create(
    State(state): State<ApiState>,
    Wish { caller, tenant, body, key }: Wish<NewExceptionBody>,
) -> Result<Response, Problem> {
    let new = wanted(&state, &caller, body).await?;
    let (door, reader, of) = (state.door.clone(), state.reader.clone(), tenant.clone());
    let (teams, readiness) = (caller.teams(&tenant).cloned(), state.readiness.clone());
    let work = async move {
        let exception = door.excuse(&of, new).await??;
        let id = exception.id;
        let view = view(&reader, exception, teams.as_ref(), readiness.now()).await?.ok_or_else(|| unknown(id))?;
        Ok(answer(StatusCode::CREATED, &view))
    };
    once(&state, &caller, Some(&tenant), key, work).await
}

async fn wanted(state: &ApiState, caller: &Caller, body: NewExceptionBody) -> Result<NewException, Problem> {
    let NewExceptionBody { tenant, agents, team, everyone, from, to, reason } = body;
    if from >= to || to.since(from) > LONGEST_EXCEPTION {
        return Err(Problem::bad_request("from and to: a span of at most 400 days, `from` before `to`"));
    }
    if reason.trim().is_empty() || reason.chars().count() > LONGEST_REASON {
        return Err(Problem::bad_request(format!("reason: 1 to {LONGEST_REASON} characters")));
    }
    let whom = match (agents, team, everyone) {
        (Some(mut agents), None, false) => {
            agents.sort_unstable();
            agents.dedup();
            if agents.is_empty() || agents.len() > MOST_EXCUSED {
                return Err(Problem::bad_request(format!("agents: name 1 to {MOST_EXCUSED}, or a team")));
            }
            caller.check_agents(state, Right::Excuse, &tenant, &agents).await?;
            Whom::Agents(agents)
        }
        (None, Some(team), false) => {
            if caller.teams(&tenant).is_some_and(|teams| !teams.contains(&team)) {
                return Err(Problem::from(ExceptionRefused::NoTeam(team)));
            }
            Whom::Team(team)
        }
        (None, None, true) => {
            may_excuse_everyone(caller, &tenant)?;
            Whom::Everyone
        }
        _ => return Err(Problem::bad_request("name exactly one of `agents`, `team` and `everyone`")),
    };
    Ok(NewException { whom, from, to, reason, asker: caller.asker() })
}

fn may_excuse_everyone(caller: &Caller, tenant: &TenantId) -> Result<(), Problem> {
    if caller.teams(tenant).is_none() {
        return Ok(());
    }
    let detail =
        "only someone who is not limited to teams can approve an exception for everyone: name one of your teams";
    Err(Problem::of(Code::NotPermitted, detail))
}

impl From<ExceptionRefused> for Problem {
    fn from(refused: ExceptionRefused) -> Self {
        let detail = refused.to_string();
        match refused {
            ExceptionRefused::NoAgent(_) => Self::of(Code::NoSuchAgent, detail),
            ExceptionRefused::NoTeam(_) => Self::of(Code::NoSuchTeam, detail),
            ExceptionRefused::TooMany => Self::of(Code::TooManyExceptions, detail),
            ExceptionRefused::Over(_) => Self::of(Code::ExceptionOver, detail),
        }
    }
}

/// Which exceptions.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ListQuery {
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
pub(in crate::http) struct ExceptionsView {
    /// Newest first.
    exceptions: Vec<ExceptionView>,
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
    params(ListQuery),
    responses((status = 200, description = "the exceptions", body = ExceptionsView))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<ExceptionsView>, Problem> {
    caller.check(&state, Right::Read, &query.tenant)?;
    let about = match query.agent {
        None => None,
        Some(agent) => {
            caller.check_agents(&state, Right::Read, &query.tenant, std::slice::from_ref(&agent)).await?;
            let known = state.reader.team_of(&query.tenant, &agent).await?;
            Some((agent, known))
        }
    };
    let limit = query.limit.unwrap_or(100).clamp(1, PAGE_LIMIT);
    let filter = ExceptionFilter {
        from: query.from.unwrap_or(UtcMicros::EPOCH),
        to: query.to.unwrap_or(UtcMicros::MAX),
        about,
        before: query.cursor,
    };
    let rows = state.reader.exceptions(&query.tenant, &filter, limit).await?;
    let next = rows.last().filter(|_| rows.len() == limit as usize).map(|row| row.id);
    let (teams, now) = (caller.teams(&query.tenant), state.readiness.now());
    let mut exceptions = Vec::with_capacity(rows.len());
    for row in rows {
        exceptions.extend(view(&state.reader, row, teams, now).await?);
    }
    Ok(Json(ExceptionsView { exceptions, next }))
}

/// Which tenant is meant.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct OfTenant {
    /// Whose.
    tenant: TenantId,
}

/// One exception
#[utoipa::path(
    get,
    path = "/api/v1/exceptions/{id}",
    tag = "exceptions",
    operation_id = "show_exception",
    params(("id" = ExceptionId, Path, description = "The exception."), OfTenant),
    responses((status = 200, description = "the exception", body = ExceptionView))
)]
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<ExceptionId>,
    Query(OfTenant { tenant }): Query<OfTenant>,
) -> Result<Json<ExceptionView>, Problem> {
    caller.check(&state, Right::Read, &tenant)?;
    let stored = state.reader.exception(&tenant, id).await?.ok_or_else(|| unknown(id))?;
    let shown = view(&state.reader, stored, caller.teams(&tenant), state.readiness.now()).await?;
    shown.map(Json).ok_or_else(|| unknown(id))
}

/// An exception that is to end.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct EndBody {
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
    params(("id" = ExceptionId, Path, description = "The exception."), KeyHeader),
    request_body = EndBody,
    responses((status = 200, description = "the exception as it is now", body = ExceptionView))
)]
pub(in crate::http) async fn end(
    State(state): State<ApiState>,
    Path(id): Path<ExceptionId>,
    Wish { caller, tenant, body, key }: Wish<EndBody>,
) -> Result<Response, Problem> {
    check_words(body.reason.as_deref())?;
    let stored = state.reader.exception(&tenant, id).await?.ok_or_else(|| unknown(id))?;
    match &stored.whom {
        Whom::Everyone => may_excuse_everyone(&caller, &tenant)?,
        Whom::Team(team) if caller.teams(&tenant).is_some_and(|teams| !teams.contains(team)) => {
            return Err(unknown(id));
        }
        Whom::Team(_) => {}
        Whom::Agents(agents) => {
            caller.check_agents(&state, Right::Excuse, &tenant, agents).await.map_err(|_| unknown(id))?;
        }
    }
    let why = body.reason.filter(|reason| !reason.trim().is_empty());
    let end = EndException { exception: stored, whole: body.whole, why, asker: caller.asker() };
    let (door, reader, of) = (state.door.clone(), state.reader.clone(), tenant.clone());
    let (teams, readiness) = (caller.teams(&tenant).cloned(), state.readiness.clone());
    let work = async move {
        let exception = door.end_exception(&of, end).await??;
        let view = view(&reader, exception, teams.as_ref(), readiness.now()).await?.ok_or_else(|| unknown(id))?;
        Ok(answer(StatusCode::OK, &view))
    };
    once(&state, &caller, Some(&tenant), key, work).await
}

fn unknown(id: ExceptionId) -> Problem {
    Problem::of(Code::NoSuchException, format!("there is no exception {id}"))
}
