//! Bulk changes: preview, start, follow, cancel, undo.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};

use super::transitions::{check_log_out, check_reason, deduplicate_agents, parse_state};
use crate::domain::audit::Hash;
use crate::domain::changes::change_set::{MAX_AGENTS_PER_SET, SelectionCriteria};
use crate::domain::changes::policy::OnContact;
use crate::domain::ids::{AgentId, ChangeSetId, ReasonCode, TenantId};
use crate::engine::changes::change_sets::view::ChangeSetView;
use crate::engine::changes::change_sets::{
    ChangeSetError, ChangeSetSelection, ChangeSetService, NewChangeSet, ScopedRequester, UndoOptions,
};
use crate::http::auth::{Caller, Right};
use crate::http::problem::{Code, Problem};
use crate::http::request::authorized_request::{AuthorizedRequest, has_tenant};
use crate::http::request::extract::{Path, Query};
use crate::http::request::idempotency::{IdempotencyKeyHeader, run_once};
use crate::http::request::text::check_length;
use crate::http::state::ApiState;

/// The longest accepted note, reason for going below a floor, and reason code, in characters.
const MAX_TEXT_CHARS: usize = 1000;

/// The maximum number of names in one list of a filter.
const MAX_FILTER_NAMES: usize = 100;

/// The maximum number of change sets per page.
const MAX_PAGE_SIZE: u32 = 100;

/// A request for the preview of a bulk change.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewChangeSetBody {
    /// The id of the tenant.
    tenant: TenantId,
    /// The agents to change.
    select: AgentSelection,
    /// The requested state.
    to: String,
    /// The reason code to set; by default that of the state.
    #[serde(default)]
    reason: Option<ReasonCode>,
    /// How to treat agents who are on a contact; by default as the tenant's `policy.on_contact` says.
    #[serde(default)]
    on_contact: Option<OnContact>,
    /// Whether the changes take precedence over everything except mandatory breaks.
    #[serde(default)]
    urgent: bool,
    /// Whether to set `reason` also for agents who are already in the state, with one call each. By default nothing is
    /// sent for them.
    #[serde(default)]
    even_if_in_state: bool,
    /// Why skills may fall below their staffing floors. By default they may not.
    #[serde(default)]
    #[schema(max_length = 1000)]
    below_floor: Option<String>,
    /// How long each change may wait before it is sent, in seconds. By default long enough for the estimated finish,
    /// and at least the tenant's `policy.max_wait`.
    #[serde(default)]
    deadline_s: Option<u64>,
    /// A note, which is stored apart from the audit chain.
    #[serde(default)]
    #[schema(max_length = 1000)]
    note: Option<String>,
}

/// The agents to change, as a list or a filter.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum AgentSelection {
    /// The ids of the agents. Staffing floors are checked in this order.
    Agents(Vec<AgentId>),
    /// A filter for agents, ordered by id. An empty filter selects all agents.
    Filter(SelectionCriteria),
}

/// Preview a bulk change
///
/// Changes nothing. The response says for each agent whether the state would change, and if not why, and estimates the
/// number of calls and the finish. Start the change within ten minutes with the `hash` of the preview.
#[utoipa::path(
    post,
    path = "/api/v1/change-sets",
    tag = "change sets",
    operation_id = "preview_change_set",
    params(IdempotencyKeyHeader),
    request_body = NewChangeSetBody,
    responses((status = 201, description = "The preview.", body = ChangeSetView))
)]
pub(in crate::http) async fn create(
    State(state): State<ApiState>,
    AuthorizedRequest { caller, tenant, body, key }: AuthorizedRequest<NewChangeSetBody>,
) -> Result<Response, Problem> {
    let new_set = into_new_set(&state, body, requester_of(&caller, &tenant))?;
    check_log_out(&state, &caller, &tenant, new_set.to.as_ref())?;
    let (sets, owner) = (change_sets(&state), tenant.clone());
    let work = async move { Ok(sets.preview(&owner, new_set).await?) };
    run_once(&state, &caller, Some(&tenant), key, StatusCode::CREATED, work).await
}

fn into_new_set(state: &ApiState, body: NewChangeSetBody, requester: ScopedRequester) -> Result<NewChangeSet, Problem> {
    let to = parse_state(state, &body.tenant, &body.to)?;
    check_texts(&[
        ("note", body.note.as_deref()),
        ("below_floor", body.below_floor.as_deref()),
        ("reason", body.reason.as_ref().map(ReasonCode::as_str)),
    ])?;
    if body.below_floor.as_deref().is_some_and(|why| why.trim().is_empty()) {
        return Err(Problem::bad_request("below_floor: give the reason for going below the staffing floors"));
    }
    check_reason(body.even_if_in_state, body.reason.as_ref())?;
    let select = match body.select {
        AgentSelection::Agents(agents) => ChangeSetSelection::Agents(deduplicate_agents(agents, MAX_AGENTS_PER_SET)?),
        AgentSelection::Filter(filter) => {
            let lists = [filter.teams.len(), filter.states.len(), filter.skills.len(), filter.verdicts.len()];
            if lists.iter().any(|names| *names > MAX_FILTER_NAMES) {
                return Err(Problem::bad_request(format!("filter: at most {MAX_FILTER_NAMES} names in a list")));
            }
            check_texts(&[("filter.search", filter.search.as_deref())])?;
            ChangeSetSelection::Filter(filter)
        }
    };
    Ok(NewChangeSet {
        selection: select,
        to: Some(to),
        reason: body.reason,
        on_contact: body.on_contact,
        urgent: body.urgent,
        even_if_in_state: body.even_if_in_state,
        below_floor: body.below_floor,
        deadline: body.deadline_s.map(Duration::from_secs),
        note: body.note,
        undoes: None,
        requester: requester.requester,
        teams: requester.teams,
    })
}

fn check_texts(texts: &[(&str, Option<&str>)]) -> Result<(), Problem> {
    texts.iter().try_for_each(|(name, text)| check_length(name, *text, MAX_TEXT_CHARS))
}

has_tenant!(NewChangeSetBody, StartChangeSetBody, CancelChangeSetBody, UndoChangeSetBody);

/// Filters and page of a list of change sets.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ChangeSetListQuery {
    /// The id of the tenant.
    tenant: TenantId,
    /// The `next` of the previous page; omit it for the first page.
    cursor: Option<String>,
    /// The maximum number of items to return; 50 by default.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// A page of change sets.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ChangeSetsResponse {
    /// The change sets, newest first, without their agents.
    change_sets: Vec<ChangeSetView>,
    /// The `cursor` of the next page; null on the last page.
    next: Option<ChangeSetId>,
}

/// List change sets
///
/// Returns change sets that were started, and the caller's own previews that can still be started, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/change-sets",
    tag = "change sets",
    operation_id = "change_sets",
    params(ChangeSetListQuery),
    responses((status = 200, description = "A page of change sets.", body = ChangeSetsResponse))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<ChangeSetListQuery>,
) -> Result<Json<ChangeSetsResponse>, Problem> {
    caller.check(&state, Right::Read, &query.tenant)?;
    let before = query.cursor.as_deref().map(parse_id).transpose()?;
    let limit = query.limit.unwrap_or(50).clamp(1, MAX_PAGE_SIZE);
    let (change_sets, next) =
        change_sets(&state).list(&query.tenant, &requester_of(&caller, &query.tenant), before, limit).await?;
    Ok(Json(ChangeSetsResponse { change_sets, next }))
}

/// The tenant, and whether to return the agents.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ChangeSetQuery {
    /// The id of the tenant.
    tenant: TenantId,
    /// Whether to return the agents; true by default.
    agents: Option<bool>,
}

/// Retrieve a change set
#[utoipa::path(
    get,
    path = "/api/v1/change-sets/{id}",
    tag = "change sets",
    operation_id = "change_set",
    params(("id" = ChangeSetId, Path, description = "The id of the change set."), ChangeSetQuery),
    responses((status = 200, description = "The change set.", body = ChangeSetView))
)]
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<ChangeSetQuery>,
) -> Result<Json<ChangeSetView>, Problem> {
    caller.check(&state, Right::Read, &query.tenant)?;
    let id = parse_id(&id)?;
    let agents = query.agents.unwrap_or(true);
    Ok(Json(change_sets(&state).get(&query.tenant, id, &requester_of(&caller, &query.tenant), agents).await?))
}

/// The confirmation of a preview.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct StartChangeSetBody {
    /// The id of the tenant.
    tenant: TenantId,
    /// The `hash` of the preview.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    hash: String,
}

/// Start a change set
///
/// Starts the change that was previewed. Each agent is checked again: agents that the preview left out are not changed,
/// and agents who can no longer be changed are left out with the reason. If the caller has started the change set
/// before, it is returned as it is.
#[utoipa::path(
    post,
    path = "/api/v1/change-sets/{id}/start",
    tag = "change sets",
    operation_id = "start_change_set",
    params(("id" = ChangeSetId, Path, description = "The id of the change set."), IdempotencyKeyHeader),
    request_body = StartChangeSetBody,
    responses((status = 202, description = "The change set, which has started.", body = ChangeSetView))
)]
pub(in crate::http) async fn start(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    AuthorizedRequest { caller, tenant, body, key }: AuthorizedRequest<StartChangeSetBody>,
) -> Result<Response, Problem> {
    let id = parse_id(&id)?;
    let hash = Hash::from_hex(&body.hash)
        .ok_or_else(|| Problem::bad_request("hash: the 64 lower-case hexadecimal digits of the preview's `hash`"))?;
    let (sets, requester) = (change_sets(&state), requester_of(&caller, &tenant));
    let work = async move { Ok(sets.start(&body.tenant, id, hash, requester).await?) };
    run_once(&state, &caller, Some(&tenant), key, StatusCode::ACCEPTED, work).await
}

/// A request to cancel a change set.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct CancelChangeSetBody {
    /// The id of the tenant.
    tenant: TenantId,
    /// A note, which is stored apart from the audit chain.
    #[serde(default)]
    #[schema(max_length = 1000)]
    note: Option<String>,
}

/// Cancel a change set
///
/// Cancels the changes that have not been sent. A preview is discarded.
#[utoipa::path(
    post,
    path = "/api/v1/change-sets/{id}/cancel",
    tag = "change sets",
    operation_id = "cancel_change_set",
    params(("id" = ChangeSetId, Path, description = "The id of the change set."), IdempotencyKeyHeader),
    request_body = CancelChangeSetBody,
    responses((status = 200, description = "The change set with its current status.", body = ChangeSetView))
)]
pub(in crate::http) async fn cancel(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    AuthorizedRequest { caller, tenant, body, key }: AuthorizedRequest<CancelChangeSetBody>,
) -> Result<Response, Problem> {
    check_texts(&[("note", body.note.as_deref())])?;
    let id = parse_id(&id)?;
    let (sets, requester) = (change_sets(&state), requester_of(&caller, &tenant));
    let work = async move { Ok(sets.cancel(&body.tenant, id, body.note, requester).await?) };
    run_once(&state, &caller, Some(&tenant), key, StatusCode::OK, work).await
}

/// A request for the preview of an undo.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct UndoChangeSetBody {
    /// The id of the tenant.
    tenant: TenantId,
    /// How to treat agents who are on a contact; by default as the change set to undo does.
    #[serde(default)]
    on_contact: Option<OnContact>,
    /// Whether the changes take precedence over everything except mandatory breaks.
    #[serde(default)]
    urgent: bool,
    /// Why skills may fall below their staffing floors. By default they may not.
    #[serde(default)]
    #[schema(max_length = 1000)]
    below_floor: Option<String>,
    /// A note, which is stored apart from the audit chain.
    #[serde(default)]
    #[schema(max_length = 1000)]
    note: Option<String>,
}

/// Preview an undo
///
/// Returns the preview of a new change set that sets agents back to their previous state, if they are still in the
/// state that the change set gave them. The other agents are listed with the reason. This is possible within an hour
/// after the change set has ended.
#[utoipa::path(
    post,
    path = "/api/v1/change-sets/{id}/undo",
    tag = "change sets",
    operation_id = "undo_change_set",
    params(("id" = ChangeSetId, Path, description = "The id of the change set to undo."), IdempotencyKeyHeader),
    request_body = UndoChangeSetBody,
    responses((status = 201, description = "The preview of the undo.", body = ChangeSetView))
)]
pub(in crate::http) async fn undo(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    AuthorizedRequest { caller, tenant, body, key }: AuthorizedRequest<UndoChangeSetBody>,
) -> Result<Response, Problem> {
    check_texts(&[("note", body.note.as_deref()), ("below_floor", body.below_floor.as_deref())])?;
    let id = parse_id(&id)?;
    let (sets, requester) = (change_sets(&state), requester_of(&caller, &tenant));
    let options = UndoOptions {
        on_contact: body.on_contact,
        urgent: body.urgent,
        below_floor: body.below_floor,
        note: body.note,
    };
    let work = async move { Ok(sets.undo(&body.tenant, id, options, requester).await?) };
    run_once(&state, &caller, Some(&tenant), key, StatusCode::CREATED, work).await
}

fn change_sets(state: &ApiState) -> ChangeSetService {
    ChangeSetService::new(state.keepers.clone(), state.reader.clone())
}

fn requester_of(caller: &Caller, tenant: &TenantId) -> ScopedRequester {
    ScopedRequester { requester: caller.requester(), teams: caller.teams(tenant).cloned() }
}

fn parse_id(text: &str) -> Result<ChangeSetId, Problem> {
    text.parse().map_err(|_| Problem::bad_request(format!("{text:?} is not the id of a change set")))
}

impl From<ChangeSetError> for Problem {
    fn from(error: ChangeSetError) -> Self {
        let detail = error.to_string();
        let code = match error {
            ChangeSetError::Keeper(error) => return error.into(),
            ChangeSetError::Read(error) => return error.into(),
            ChangeSetError::NotFound(_) => Code::NoSuchChangeSet,
            ChangeSetError::NoAgents => Code::NoAgentsSelected,
            ChangeSetError::TooMany { .. } => Code::TooManyAgents,
            ChangeSetError::TooManyPreviews { .. } => Code::TooManyPreviews,
            ChangeSetError::HashMismatch => Code::HashMismatch,
            ChangeSetError::Expired { .. } => Code::PreviewExpired,
            ChangeSetError::AlreadyStarted { .. } => Code::AlreadyStarted,
            ChangeSetError::AlreadyCancelled { .. } => Code::AlreadyCancelled,
            ChangeSetError::NothingToCancel => Code::TooLate,
            ChangeSetError::NotStarted => Code::NotStarted,
            ChangeSetError::Unfinished { .. } => Code::ChangesInFlight,
            ChangeSetError::NothingToChange { .. } => Code::NothingToChange,
            ChangeSetError::TooLateToUndo { .. } => Code::TooLateToUndo,
            ChangeSetError::InvalidBody(_) => {
                tracing::error!(error = detail, "defect: a change set cannot be read or written");
                return Self::from_code(Code::Internal, "the change set cannot be read; see the log");
            }
        };
        Self::from_code(code, detail)
    }
}
