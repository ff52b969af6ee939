//! What rules found about agents, and how they evaluate one agent now.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::rule_responses::{AgentRulesResponse, FindingResponse};
use crate::domain::ids::{AgentId, FindingId, RuleId, TeamName, TenantId};
use crate::domain::time::UtcMicros;
use crate::http::auth::{Caller, Right};
use crate::http::problem::{Code, Problem};
use crate::http::request::extract::{Path, Query};
use crate::http::request::query::{TenantQuery, next_cursor, page_size};
use crate::http::state::ApiState;
use crate::store::{FindingFilter, FindingKind};

/// Filters and page of a list of findings.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct FindingsQuery {
    /// The id of the tenant.
    tenant: TenantId,
    /// Only findings of this rule.
    rule: Option<RuleId>,
    /// Only findings about this agent.
    agent: Option<AgentId>,
    /// Only findings of this kind: `would`, `told`, `held` or `reversed`.
    kind: Option<String>,
    /// Only findings at this instant or later, with millisecond precision; by default from the first one on.
    from: Option<UtcMicros>,
    /// Only findings before this instant; now by default.
    to: Option<UtcMicros>,
    /// The `next` of the previous page; omit it for the first page.
    cursor: Option<FindingId>,
    /// The maximum number of findings to return, 1 to 500; 100 by default.
    limit: Option<u32>,
}

/// A page of findings.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct FindingsResponse {
    /// The findings, newest first.
    findings: Vec<FindingResponse>,
    /// The `cursor` of the next page; null on the last page.
    next: Option<FindingId>,
}

/// List findings of rules
///
/// Returns what rules recorded besides their changes: what monitoring rules would have done, notifications, changes
/// held by guards, and changes that agents reverted. A caller restricted to teams gets findings about agents of those
/// teams, so a page may have fewer items than `limit` although more follow.
#[utoipa::path(
    get,
    path = "/api/v1/rule-findings",
    tag = "rules",
    operation_id = "rule_findings",
    params(FindingsQuery),
    responses((status = 200, description = "A page of findings.", body = FindingsResponse))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<FindingsQuery>,
) -> Result<Json<FindingsResponse>, Problem> {
    caller.check(&state, Right::Read, &query.tenant)?;
    let names = FindingKind::ALL.map(FindingKind::name).join(", ");
    let kind = query
        .kind
        .as_deref()
        .map(|name| FindingKind::from_name(name).ok_or_else(|| Problem::bad_request(format!("kind: one of {names}"))));
    let limit = page_size(query.limit);
    let filter = FindingFilter {
        from: query.from.unwrap_or(UtcMicros::EPOCH),
        to: query.to.unwrap_or(UtcMicros::MAX),
        rule: query.rule,
        agent: query.agent,
        kind: kind.transpose()?,
        before: query.cursor,
    };
    let rows = state.reader.rule_findings(&query.tenant, &filter, limit).await?;
    let next = next_cursor(&rows, limit, |row| row.finding.id);
    let teams = caller.teams(&query.tenant);
    let is_visible = |team: Option<&TeamName>| teams.is_none_or(|teams| team.is_some_and(|team| teams.contains(team)));
    let findings =
        rows.into_iter().filter(|row| is_visible(row.team.as_ref())).map(FindingResponse::from_stored).collect();
    Ok(Json(FindingsResponse { findings, next }))
}

/// Evaluate all rules for an agent
///
/// Returns what each rule decides about the agent now, and why.
#[utoipa::path(
    get,
    path = "/api/v1/agents/{id}/rules",
    tag = "rules",
    operation_id = "explain_agent",
    params(("id" = AgentId, Path, description = "The id of the agent."), TenantQuery),
    responses((status = 200, description = "The rules, in the order in which they are evaluated.", body = AgentRulesResponse))
)]
pub(in crate::http) async fn explain(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<AgentId>,
    Query(TenantQuery { tenant }): Query<TenantQuery>,
) -> Result<Json<AgentRulesResponse>, Problem> {
    caller.check_agents(&state, Right::Read, &tenant, std::slice::from_ref(&id)).await?;
    let explained = state.keepers.explain_agent(&tenant, id.clone()).await?;
    let explained =
        explained.ok_or_else(|| Problem::from_code(Code::NoSuchAgent, format!("{tenant} has no agent {id}")))?;
    Ok(Json(AgentRulesResponse::from_explanation(tenant, explained)))
}
