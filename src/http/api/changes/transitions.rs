//! Transitions: request, read, cancel.

use std::collections::HashSet;
use std::time::Duration;

use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::agents::state::AgentState;
use crate::domain::changes::policy::OnContact;
use crate::domain::changes::transition::{STATUS_NAMES, Transition};
use crate::domain::ids::{AgentId, ReasonCode, TenantId, TransitionId};
use crate::domain::time::UtcMicros;
use crate::engine::changes::idempotency::StoredResponse;
use crate::engine::changes::request::{ChangeRequest, IdempotencyKey, MAX_AGENTS_PER_REQUEST, RequestedChange};
use crate::http::auth::{Caller, Right};
use crate::http::problem::{Code, Problem};
use crate::http::request::authorized_request::{AuthorizedRequest, has_tenant};
use crate::http::request::extract::{Path, Query};
use crate::http::request::idempotency::{IdempotencyKeyHeader, RequestKey, run_once, run_once_for_answer};
use crate::http::request::query::{next_cursor, page_size};
use crate::http::state::ApiState;
use crate::store::{CallWrite, StoredTransition, TransitionFilter};

/// The longest accepted note and reason, in characters.
const MAX_TEXT_CHARS: usize = 1000;

/// A request to change the state of one or more agents.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewTransitionsBody {
    /// The id of the tenant.
    tenant: TenantId,
    /// The ids of the agents; repetitions are ignored.
    #[schema(min_items = 1, max_items = 10_000)]
    agents: Vec<AgentId>,
    /// The name of the requested state.
    to: String,
    /// The reason code to set; by default that of the state.
    #[serde(default)]
    reason: Option<ReasonCode>,
    /// Whether to set `reason` also for agents who are already in the state, with one call each. By default nothing is
    /// sent for them.
    #[serde(default)]
    even_if_in_state: bool,
    /// How to treat an agent who is on a contact; by default as the tenant is configured.
    #[serde(default)]
    on_contact: Option<OnContact>,
    /// How long the change may wait before it is sent, in seconds; by default as the tenant is configured.
    #[serde(default)]
    deadline_s: Option<u64>,
    /// A note, which is stored apart from the audit chain.
    #[serde(default)]
    #[schema(max_length = 1000)]
    note: Option<String>,
}

has_tenant!(NewTransitionsBody);

/// The transitions that were created.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct NewTransitionsResponse {
    /// One entry per agent, in the order of the request.
    transitions: Vec<RequestedChange>,
}

/// Request state changes
///
/// Requests the same state for one or more agents. The response is 202 with one entry per agent, in the order of the
/// request. Follow each transition with `GET /api/v1/transitions/{id}`.
#[utoipa::path(
    post,
    path = "/api/v1/transitions",
    tag = "transitions",
    operation_id = "create_transitions",
    params(IdempotencyKeyHeader),
    request_body = NewTransitionsBody,
    responses((status = 202, description = "The requests were recorded.", body = NewTransitionsResponse))
)]
pub(in crate::http) async fn create(
    State(state): State<ApiState>,
    AuthorizedRequest { caller, tenant, body, key }: AuthorizedRequest<NewTransitionsBody>,
) -> Result<Response, Problem> {
    caller.check_agents(&state, Right::Change, &tenant, &body.agents).await?;
    let request = change_request(&state, &body, &caller, key.clone())?;
    check_log_out(&state, &caller, &tenant, Some(&request.target))?;
    let (keepers, owner) = (state.keepers.clone(), tenant.clone());
    let work = async move { Ok(StoredResponse::from_changes(&keepers.request_changes(&owner, request).await?)) };
    run_once_for_answer(&state, &caller, Some(&tenant), key, work).await
}

/// Checks that a caller who requests that agents are logged out may do so.
pub(super) fn check_log_out(
    state: &ApiState,
    caller: &Caller,
    tenant: &TenantId,
    target: Option<&AgentState>,
) -> Result<(), Problem> {
    match target {
        Some(AgentState::LoggedOut) => caller.check(state, Right::LogOut, tenant),
        _ => Ok(()),
    }
}

/// Checks that a request that also applies to agents already in the state names a reason.
pub(super) fn check_reason(even_if_in_state: bool, reason: Option<&ReasonCode>) -> Result<(), Problem> {
    if even_if_in_state && reason.is_none() {
        let what = "even_if_in_state: name the reason to set for agents who are already in the state";
        return Err(Problem::bad_request(what));
    }
    Ok(())
}

/// Returns the states that the platform of a tenant can set.
pub(in crate::http) fn settable_states(state: &ApiState, tenant: &TenantId) -> Vec<AgentState> {
    state.keepers.tenants().link(tenant).map(|link| link.platform.capabilities().settable).unwrap_or_default()
}

/// Returns the state of a name; the error for an unknown name lists the states that can be set. Whether the platform
/// can set the state is checked by the keeper.
pub(super) fn parse_state(state: &ApiState, tenant: &TenantId, name: &str) -> Result<AgentState, Problem> {
    AgentState::from_name(name).ok_or_else(|| {
        let settable = settable_states(state, tenant);
        let settable: Vec<_> = settable.iter().map(AgentState::name).collect();
        let can = format!("the platform of tenant {tenant} can set {}", settable.join(", "));
        Problem::bad_request(format!("to: there is no state {name:?}; {can}"))
    })
}

/// Checks the number of agents that a request names, and removes repetitions.
pub(super) fn deduplicate_agents(mut agents: Vec<AgentId>, max: usize) -> Result<Vec<AgentId>, Problem> {
    if agents.is_empty() || agents.len() > max {
        return Err(Problem::bad_request(format!("agents: name 1 to {max}")));
    }
    let mut seen = HashSet::new();
    agents.retain(|agent| seen.insert(agent.clone()));
    Ok(agents)
}

fn change_request(
    state: &ApiState,
    body: &NewTransitionsBody,
    caller: &Caller,
    idempotency: Option<IdempotencyKey>,
) -> Result<ChangeRequest, Problem> {
    let target = parse_state(state, &body.tenant, &body.to)?;
    let agents = deduplicate_agents(body.agents.clone(), MAX_AGENTS_PER_REQUEST)?;
    let too_long = |text: Option<&str>| text.is_some_and(|text| text.chars().count() > MAX_TEXT_CHARS);
    if too_long(body.note.as_deref()) || too_long(body.reason.as_ref().map(ReasonCode::as_str)) {
        return Err(Problem::bad_request(format!("note and reason: at most {MAX_TEXT_CHARS} characters")));
    }
    check_reason(body.even_if_in_state, body.reason.as_ref())?;
    Ok(ChangeRequest {
        agents,
        target,
        reason: body.reason.clone(),
        even_if_in_state: body.even_if_in_state,
        on_contact: body.on_contact,
        deadline: body.deadline_s.map(Duration::from_secs),
        note: body.note.clone(),
        actor: caller.id(),
        idempotency,
    })
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct TenantQuery {
    /// The id of the tenant.
    tenant: TenantId,
}

/// A request about one transition: the caller, the tenant and the transition.
pub(in crate::http) struct TransitionTarget {
    caller: Caller,
    tenant: TenantId,
    id: TransitionId,
}

impl FromRequestParts<ApiState> for TransitionTarget {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let Query(TenantQuery { tenant }) = Query::from_request_parts(parts, state).await?;
        let Path(id) = Path::<String>::from_request_parts(parts, state).await?;
        Ok(Self { caller, tenant, id: parse_id(&id)? })
    }
}

/// A transition as stored.
#[derive(Serialize, ToSchema)]
#[schema(as = StoredTransition)]
pub(in crate::http) struct TransitionResponse {
    #[serde(flatten)]
    transition: Transition,
    /// When the platform accepted the change; null if it has not.
    accepted_at: Option<UtcMicros>,
    /// When the transition ended; null while it is open.
    finished_at: Option<UtcMicros>,
}

/// A transition with its attempts.
#[derive(Serialize, ToSchema)]
#[schema(as = TransitionWithAttempts)]
pub(in crate::http) struct TransitionWithAttempts {
    #[serde(flatten)]
    transition: TransitionResponse,
    /// The attempts, in order.
    attempt_log: Vec<AttemptResponse>,
}

/// An attempt to send a change to the platform.
#[derive(Serialize, ToSchema)]
#[schema(as = TransitionAttempt)]
pub(in crate::http) struct AttemptResponse {
    /// The number of the attempt, from 1.
    attempt: Option<u32>,
    /// When the attempt was recorded, which is before it is sent.
    sent_at: UtcMicros,
    /// When the response or the failure arrived; null while the attempt is in progress or if the daemon crashed during
    /// it.
    answered_at: Option<UtcMicros>,
    /// How the attempt ended.
    outcome: Option<String>,
    /// Milliseconds of real time until the response.
    latency_ms: Option<u64>,
    /// What went wrong; null if nothing did.
    error: Option<String>,
}

/// Retrieve a transition
///
/// Returns a transition with its attempts and the explanation of why it was requested.
#[utoipa::path(
    get,
    path = "/api/v1/transitions/{id}",
    tag = "transitions",
    operation_id = "show_transition",
    params(("id" = TransitionId, Path, description = "The id of the transition."), TenantQuery),
    responses((status = 200, description = "The transition.", body = TransitionWithAttempts))
)]
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    TransitionTarget { caller, tenant, id }: TransitionTarget,
) -> Result<axum::Json<TransitionWithAttempts>, Problem> {
    caller.check(&state, Right::Read, &tenant)?;
    let stored = find_visible(&state, &caller, &tenant, id).await?;
    let attempts = state.reader.attempts(&tenant, id).await?;
    Ok(axum::Json(TransitionWithAttempts {
        transition: stored.into(),
        attempt_log: attempts.into_iter().map(AttemptResponse::from).collect(),
    }))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct TransitionListQuery {
    /// The id of the tenant.
    tenant: TenantId,
    /// Only transitions of this agent.
    agent: Option<AgentId>,
    /// Only transitions with this status.
    status: Option<String>,
    /// Only transitions requested by this rule.
    rule: Option<crate::domain::ids::RuleId>,
    /// Only transitions requested at this instant or later.
    from: Option<UtcMicros>,
    /// Only transitions requested before this instant.
    to: Option<UtcMicros>,
    /// The `next` of the previous page; omit it for the first page.
    cursor: Option<String>,
    /// The maximum number of transitions to return, 1 to 500; 100 by default.
    limit: Option<u32>,
}

/// A page of transitions.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct TransitionsResponse {
    /// The transitions, newest first.
    transitions: Vec<TransitionResponse>,
    /// The `cursor` of the next page; null on the last page.
    next: Option<TransitionId>,
}

/// List transitions
///
/// Returns transitions, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/transitions",
    tag = "transitions",
    operation_id = "list_transitions",
    params(TransitionListQuery),
    responses((status = 200, description = "A page of transitions.", body = TransitionsResponse))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<TransitionListQuery>,
) -> Result<axum::Json<TransitionsResponse>, Problem> {
    caller.check(&state, Right::Read, &query.tenant)?;
    if let Some(status) = &query.status
        && !STATUS_NAMES.contains(&status.as_str())
    {
        return Err(Problem::bad_request(format!("status: one of {}", STATUS_NAMES.join(", "))));
    }
    let limit = page_size(query.limit);
    let before = query.cursor.as_deref().map(parse_id).transpose()?;
    let filter = TransitionFilter {
        agent: query.agent,
        status: query.status,
        rule: query.rule,
        from: query.from,
        to: query.to,
        before,
    };
    let mut rows = state.reader.transitions(&query.tenant, &filter, limit).await?;
    let next = next_cursor(&rows, limit, |row| row.transition.id);
    if let Some(visible) = caller.visible_agents(&state, &query.tenant).await? {
        rows.retain(|row| visible.contains(&row.transition.agent));
    }
    Ok(axum::Json(TransitionsResponse { transitions: rows.into_iter().map(TransitionResponse::from).collect(), next }))
}

/// Cancel a transition
///
/// A transition that has not been sent is cancelled at once. A pending one is withdrawn: a change to Ready is requested,
/// whose id is in `explanation.withdrawn_by`, and the transition is superseded once the platform accepts it.
#[utoipa::path(
    post,
    path = "/api/v1/transitions/{id}/cancel",
    tag = "transitions",
    operation_id = "cancel_transition",
    params(("id" = TransitionId, Path, description = "The id of the transition."), TenantQuery, IdempotencyKeyHeader),
    responses((status = 200, description = "The transition, cancelled or to be withdrawn.", body = Transition))
)]
pub(in crate::http) async fn cancel(
    State(state): State<ApiState>,
    TransitionTarget { caller, tenant, id }: TransitionTarget,
    key: RequestKey,
) -> Result<Response, Problem> {
    caller.check(&state, Right::Change, &tenant)?;
    if caller.teams(&tenant).is_some() {
        find_visible(&state, &caller, &tenant, id).await?;
    }
    let (keepers, reader, owner, actor) = (state.keepers.clone(), state.reader.clone(), tenant.clone(), caller.id());
    let work = async move {
        if let Some(transition) = keepers.cancel_transition(&owner, id, actor).await? {
            return Ok(transition);
        }
        let stored = reader.transition(&owner, id).await?.ok_or_else(|| no_such_transition(id))?;
        let detail = format!("it is {} and can no longer be cancelled", stored.transition.status);
        Err(Problem::from_code(Code::TooLate, detail))
    };
    run_once(&state, &caller, Some(&tenant), key.into_key(&[]), StatusCode::OK, work).await
}

/// Returns a transition of an agent whom the caller may see.
async fn find_visible(
    state: &ApiState,
    caller: &Caller,
    tenant: &TenantId,
    id: TransitionId,
) -> Result<StoredTransition, Problem> {
    let stored = state.reader.transition(tenant, id).await?.ok_or_else(|| no_such_transition(id))?;
    match caller.visible_agents(state, tenant).await? {
        Some(agents) if !agents.contains(&stored.transition.agent) => Err(no_such_transition(id)),
        Some(_) | None => Ok(stored),
    }
}

pub(in crate::http::api) fn parse_id(text: &str) -> Result<TransitionId, Problem> {
    text.parse().map_err(|_| Problem::bad_request(format!("{text:?} is not the id of a transition")))
}

fn no_such_transition(id: TransitionId) -> Problem {
    Problem::from_code(Code::NoSuchTransition, format!("there is no transition {id}"))
}

impl From<StoredTransition> for TransitionResponse {
    fn from(stored: StoredTransition) -> Self {
        let StoredTransition { transition, accepted_at, finished_at } = stored;
        Self { transition, accepted_at, finished_at }
    }
}

impl From<CallWrite> for AttemptResponse {
    fn from(call: CallWrite) -> Self {
        Self {
            attempt: call.attempt,
            sent_at: call.sent_at,
            answered_at: call.answered_at,
            outcome: call.outcome.map(|outcome| outcome.to_string()),
            latency_ms: call.latency_ms,
            error: call.error,
        }
    }
}
