//! The schedule board: the plans and states of a team's agents over a day or several days.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::adherence::timeline::Span;
use crate::domain::ids::{AgentId, TeamName, TenantId};
use crate::domain::schedules::schedule::Shift;
use crate::domain::time::UtcMicros;
use crate::engine::agents::agent_list::AgentSummary;
use crate::http::api::agents::history::{
    ActualSpan, AdherenceSegment, AdherenceTotals, Comparison, PlannedSpan, SpanFacts, day_span, history_rows,
    parse_zone,
};
use crate::http::api::agents::{AgentName, is_accessible};
use crate::http::auth::{Caller, Right};
use crate::http::problem::Problem;
use crate::http::request::extract::Query;
use crate::http::state::ApiState;
use crate::store::{HISTORY_PAGE_LIMIT, StoredHistory, StoredPlan};

/// The maximum number of agents of an answer about one day.
const MAX_AGENTS: usize = 500;

/// The maximum number of agents of an answer about several days, which has as many times the bars.
const MAX_AGENTS_OF_DAYS: usize = 100;

/// The maximum number of days.
const MAX_DAYS: u8 = 7;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ScheduleBoardQuery {
    /// The id of the tenant.
    tenant: TenantId,
    /// Only agents of this team.
    team: Option<TeamName>,
    /// The first local day, such as `2026-10-25`; today by default.
    #[param(value_type = Option<String>, format = Date)]
    day: Option<Date>,
    /// The number of days, 1 to 7; 1 by default.
    #[param(minimum = 1, maximum = 7)]
    days: Option<u8>,
    /// The IANA time zone of the days; UTC by default.
    zone: Option<String>,
}

/// The plans and states of agents over one day or several.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ScheduleBoardResponse {
    /// The IANA time zone of the days.
    zone: String,
    /// The start of the first day (inclusive).
    from: UtcMicros,
    /// The end of the last day (exclusive). A day on which the clocks change has 23 or 25 hours.
    to: UtcMicros,
    /// The time of the response.
    now: UtcMicros,
    /// The agents in the order of team, name and id; at most 500, or 100 for several days.
    agents: Vec<ScheduleBoardAgent>,
    /// The number of agents that match. If it exceeds the number of `agents`, choose a team.
    total: usize,
}

/// An agent's days.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ScheduleBoardAgent {
    /// The agent.
    agent: AgentName,
    /// The shifts that overlap the days, in full.
    shifts: Vec<ScheduleBoardShift>,
    /// The planned activities, which cover the days without gaps.
    planned: Vec<PlannedSpan>,
    /// The agent's states, cut to the days. Gaps are times without usable observations.
    actual: Vec<ActualSpan>,
    /// Segments in which neither the planned activity nor the state changes, from the start of the first day until now.
    pieces: Vec<AdherenceSegment>,
    /// The time in each verdict.
    adherence: AdherenceTotals,
}

/// A shift on the board, which may begin before the first day or end after the last.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ScheduleBoardShift {
    /// The local day in the agent's time zone on which the shift begins. An edit of the shift names this day.
    #[schema(value_type = String, format = Date)]
    day: Date,
    /// The start of the shift (inclusive).
    start: UtcMicros,
    /// The end of the shift (exclusive).
    end: UtcMicros,
}

impl ScheduleBoardShift {
    fn new(shift: &Shift, zone: &TimeZone) -> Self {
        let day = shift.start.timestamp().to_zoned(zone.clone()).date();
        Self { day, start: shift.start, end: shift.end }
    }
}

/// Retrieve the schedule board
///
/// Compares the plans of agents with their states over one to seven days, as the timeline of an agent does.
#[utoipa::path(
    get,
    path = "/api/v1/schedule-board",
    tag = "shifts",
    operation_id = "schedule_board",
    params(ScheduleBoardQuery),
    responses((status = 200, description = "The board.", body = ScheduleBoardResponse))
)]
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<ScheduleBoardQuery>,
) -> Result<Json<ScheduleBoardResponse>, Problem> {
    let tenant = &query.tenant;
    caller.check(&state, Right::Read, tenant)?;
    let list = state.boards.get(tenant).await?;
    let zone = query.zone.unwrap_or_else(|| "UTC".to_owned());
    let time_zone = parse_zone(&zone)?;
    let day = query.day.unwrap_or_else(|| list.at.timestamp().to_zoned(time_zone.clone()).date());
    let days = query.days.unwrap_or(1);
    let (from, to) = days_span(day, days, &time_zone)?;
    let is_wanted = |card: &&AgentSummary| {
        is_accessible(&caller, tenant, card) && query.team.as_ref().is_none_or(|team| card.team.as_ref() == Some(team))
    };
    let mut cards: Vec<&AgentSummary> = list.agents.iter().filter(is_wanted).collect();
    cards.sort_by(|one, other| (&one.team, &one.name, &one.id).cmp(&(&other.team, &other.name, &other.id)));
    let total = cards.len();
    cards.truncate(if days > 1 { MAX_AGENTS_OF_DAYS } else { MAX_AGENTS });
    let plans = state.reader.plans(tenant, (from, to), None).await?;
    let mut plans: HashMap<AgentId, _> = plans.into_iter().map(|plan| (plan.agent.clone(), plan)).collect();
    let mut rows = history_of(&state, tenant, &cards, list.agents.len(), (from, to)).await?;
    let facts = SpanFacts::load(&state, tenant, &list, (from, to)).await?;
    let agents = cards.into_iter().map(|card| {
        let rows = rows.remove(&card.id).unwrap_or_default();
        let plan: Option<StoredPlan> = plans.remove(&card.id);
        let zone = card.zone.as_deref().and_then(|zone| TimeZone::get(zone).ok()).unwrap_or(TimeZone::UTC);
        let shifts = plan.iter().flat_map(|plan| &plan.shifts).map(|shift| ScheduleBoardShift::new(shift, &zone));
        let shifts = shifts.collect();
        let Comparison { planned, actual, pieces, adherence } = facts.compare(card, plan, &rows);
        ScheduleBoardAgent { agent: AgentName::from(card.clone()), shifts, planned, actual, pieces, adherence }
    });
    let agents = agents.collect();
    Ok(Json(ScheduleBoardResponse { zone, from, to, now: list.at, agents, total }))
}

/// Returns the span of a number of local days.
fn days_span(day: Date, days: u8, zone: &TimeZone) -> Result<Span, Problem> {
    if !(1..=MAX_DAYS).contains(&days) {
        return Err(Problem::bad_request(format!("days: must be 1 to {MAX_DAYS}")));
    }
    let (from, _) = day_span(day, zone)?;
    let (_, to) = day_span(day.saturating_add((i64::from(days) - 1).days()), zone)?;
    Ok((from, to))
}

/// Returns the rows of history of these agents that overlap a span; `all` is the number of agents of the tenant.
pub(super) async fn history_of(
    state: &ApiState,
    tenant: &TenantId,
    cards: &[&AgentSummary],
    all: usize,
    span: Span,
) -> Result<HashMap<AgentId, Vec<StoredHistory>>, Problem> {
    let mut rows: HashMap<AgentId, Vec<StoredHistory>> = HashMap::new();
    // The rows of single agents are found by an index; those of most agents are read faster in one go.
    if cards.len() * 2 < all {
        for card in cards {
            rows.insert(card.id.clone(), history_rows(state, tenant, &card.id, span).await?);
        }
        return Ok(rows);
    }
    let mut after: Option<(AgentId, UtcMicros)> = None;
    loop {
        let from = after.as_ref().map(|(agent, at)| (agent, *at));
        let page = state.reader.history(tenant, span, from, HISTORY_PAGE_LIMIT).await?;
        let is_last = page.len() < HISTORY_PAGE_LIMIT as usize;
        after = page.last().map(|last| (last.row.agent.clone(), last.row.entered_at));
        for stored in page {
            rows.entry(stored.row.agent.clone()).or_default().push(stored);
        }
        if is_last {
            return Ok(rows);
        }
    }
}
