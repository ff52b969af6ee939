//! Staffing per quarter hour, and imports of required staff.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::board::history_of;
use super::imports::import_problem;
use crate::domain::adherence::timeline::Span;
use crate::domain::ids::{AgentId, TeamName, TenantId};
use crate::domain::schedules::schedule::AgentPlan;
use crate::domain::schedules::staffing::{RequiredStaffing, StaffingInterval, StaffingSums};
use crate::domain::time::UtcMicros;
use crate::engine::agents::agent_list::AgentSummary;
use crate::http::api::agents::history::{SpanFacts, day_span, parse_zone};
use crate::http::api::agents::is_accessible;
use crate::http::auth::{Caller, Right};
use crate::http::problem::Problem;
use crate::http::request::extract::Query;
use crate::http::request::idempotency::{IdempotencyKeyHeader, RequestKey, run_once};
use crate::http::services::staffing::{StaffingImportRequest, StaffingImportResult};
use crate::http::state::ApiState;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct StaffingImportQuery {
    /// The id of the tenant.
    tenant: TenantId,
    /// The name of the file.
    name: String,
    /// The IANA time zone of local times and days in the file; `import.default_zone` by default.
    zone: Option<String>,
}

/// Import required staff
///
/// The file is a CSV table with the columns `date`, `interval`, `queue` and `required`, or `start` and `minutes` in
/// place of the first two. It replaces what was imported before for its queues and days. It is imported completely or
/// not at all. Importing the same file again changes nothing.
#[utoipa::path(
    post,
    path = "/api/v1/staffing-imports",
    tag = "shifts",
    operation_id = "import_staffing",
    params(StaffingImportQuery, IdempotencyKeyHeader),
    request_body(content_type = "application/octet-stream", content = Vec<u8>, description = "The file."),
    responses((status = 200, description = "The required staff is stored.", body = StaffingImportResult))
)]
pub(in crate::http) async fn import(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<StaffingImportQuery>,
    key: RequestKey,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    caller.check_all_teams(&state, Right::Import, &query.tenant)?;
    let body = body?;
    let key = key.into_key(&body);
    let StaffingImportQuery { tenant, name, zone } = query;
    let actor = format!("person:{}", caller.id());
    let request = StaffingImportRequest { tenant: tenant.clone(), name, bytes: body.as_ref().into(), zone, actor };
    let importer = state.importer.clone();
    let work = async move { importer.import_staffing(request).await.map_err(import_problem) };
    run_once(&state, &caller, Some(&tenant), key, StatusCode::OK, work).await
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct StaffingQuery {
    /// The id of the tenant.
    tenant: TenantId,
    /// Only agents of this team, compared with the queues of the team.
    team: Option<TeamName>,
    /// The local day, such as `2026-10-25`; today by default.
    #[param(value_type = Option<String>, format = Date)]
    day: Option<Date>,
    /// The IANA time zone of the day; UTC by default.
    zone: Option<String>,
}

/// The staffing of a day, quarter hour by quarter hour.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StaffingResponse {
    /// The local day.
    #[schema(value_type = String, format = Date)]
    pub day: Date,
    /// The IANA time zone of the day.
    pub zone: String,
    /// The start of the day (inclusive).
    pub from: UtcMicros,
    /// The end of the day (exclusive).
    pub to: UtcMicros,
    /// The time of the response.
    pub now: UtcMicros,
    /// The number of agents who are counted.
    pub agents: usize,
    /// The queues with required staff on this day that the agents are compared with.
    #[schema(value_type = Vec<String>)]
    pub queues: Vec<Arc<str>>,
    /// Why the agents are compared with no queue, although queues may have required staff; null if they are compared.
    pub not_compared: Option<String>,
    /// The quarter hours of the day. A day on which the clocks change has 92 or 100.
    pub intervals: Vec<StaffingInterval>,
}

/// Retrieve the staffing of a day
///
/// Returns how many agents are planned, present, on a contact and required, for each quarter hour. An agent counts by
/// the share of the quarter hour.
#[utoipa::path(
    get,
    path = "/api/v1/staffing",
    tag = "shifts",
    operation_id = "staffing",
    params(StaffingQuery),
    responses((status = 200, description = "The staffing.", body = StaffingResponse))
)]
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<StaffingQuery>,
) -> Result<Json<StaffingResponse>, Problem> {
    let tenant = &query.tenant;
    caller.check(&state, Right::Read, tenant)?;
    let list = state.boards.get(tenant).await?;
    let zone = query.zone.unwrap_or_else(|| "UTC".to_owned());
    let time_zone = parse_zone(&zone)?;
    let day = query.day.unwrap_or_else(|| list.at.timestamp().to_zoned(time_zone.clone()).date());
    let (from, to) = day_span(day, &time_zone)?;
    let is_counted = |card: &&AgentSummary| {
        is_accessible(&caller, tenant, card) && query.team.as_ref().is_none_or(|team| card.team.as_ref() == Some(team))
    };
    let cards: Vec<&AgentSummary> = list.agents.iter().filter(is_counted).collect();
    let mut sums = StaffingSums::new((from, to));
    let plans = state.reader.plans(tenant, (from, to), None).await?;
    let counted: BTreeSet<&AgentId> = cards.iter().map(|card| &card.id).collect();
    for plan in plans.into_iter().filter(|plan| counted.contains(&plan.agent)) {
        sums.add_plan(&AgentPlan::new(plan.shifts, plan.coverage));
    }
    if from < list.at {
        let mut rows = history_of(&state, tenant, &cards, list.agents.len(), (from, to.min(list.at))).await?;
        let facts = SpanFacts::load(&state, tenant, &list, (from, to)).await?;
        for card in &cards {
            sums.add_states(&facts.known_states(card, &rows.remove(&card.id).unwrap_or_default()));
        }
    }
    let compared = compared_queues(&state, &caller, tenant, query.team.as_ref());
    let required = match &compared {
        Ok(queues) => required_of(&state, tenant, (from, to), queues.as_ref()).await?,
        Err(_) => Vec::new(),
    };
    for row in &required {
        sums.add_required(row);
    }
    let mut queues: Vec<Arc<str>> = required.into_iter().map(|row| row.queue).collect();
    queues.dedup();
    let intervals = sums.intervals(list.at);
    let (agents, not_compared) = (cards.len(), compared.err());
    Ok(Json(StaffingResponse { day, zone, from, to, now: list.at, agents, queues, not_compared, intervals }))
}

/// Returns the queues that the agents of an answer are compared with, `None` for all; the error says why there are
/// none.
fn compared_queues(
    state: &ApiState,
    caller: &Caller,
    tenant: &TenantId,
    team: Option<&TeamName>,
) -> Result<Option<BTreeSet<Arc<str>>>, String> {
    let own_teams = caller.teams(tenant);
    let teams: Vec<&TeamName> = match (team, own_teams) {
        (None, None) => return Ok(None),
        (Some(team), _) if caller.has_team(tenant, Some(team)) => vec![team],
        (Some(_), _) => return Ok(Some(BTreeSet::new())),
        (None, Some(teams)) => teams.iter().collect(),
    };
    let link = state.keepers.tenants().link(tenant);
    let team_queues = link.map(|link| link.team_queues.borrow().clone()).unwrap_or_default();
    team_queues.of(teams).map(Some).map_err(|team| {
        format!("the configuration names no queues of {team}: add them as team_queues in [tenants.staffing]")
    })
}

/// Returns the required staff of some queues, or of all, in a span.
async fn required_of(
    state: &ApiState,
    tenant: &TenantId,
    span: Span,
    queues: Option<&BTreeSet<Arc<str>>>,
) -> Result<Vec<RequiredStaffing>, Problem> {
    let mut rows = state.reader.required_staffing(tenant, span).await?;
    rows.retain(|row| queues.is_none_or(|queues| queues.contains(&row.queue)));
    Ok(rows)
}
