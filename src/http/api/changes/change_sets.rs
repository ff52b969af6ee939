//! Bulk changes: preview, start, follow, cancel, undo.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};

use super::transitions::{check_reason, deduplicate_agents, parse_state};
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

/// The body of a preview.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewChangeSetBody {
    tenant: TenantId,
    select: AgentSelection,
    /// The wanted state.
    to: String,
    /// The reason that goes with it; the state's default without one.
    #[serde(default)]
    reason: Option<ReasonCode>,
    /// What to do with those on a contact; the tenant's `policy.on_contact` without it.
    #[serde(default)]
    on_contact: Option<OnContact>,
    /// Ahead of everything but mandatory breaks.
    #[serde(default)]
    urgent: bool,
    /// Whoever is in the state already gets the `reason` too, with a call each. Without it they are left alone.
    #[serde(default)]
    even_if_in_state: bool,
    /// Why skills may fall below their floors. Without it they may not.
    #[serde(default)]
    #[schema(max_length = 1000)]
    below_floor: Option<String>,
    /// How long one change may wait before it leaves. Without it long enough for the finish that is shown, and the tenant's
    /// `policy.max_wait` at least.
    #[serde(default)]
    deadline_s: Option<u64>,
    /// Kept apart from the audit chain.
    #[serde(default)]
    #[schema(max_length = 1000)]
    note: Option<String>,
}

/// Which agents: by list, or by filter.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum AgentSelection {
    /// These; floors are counted in this order.
    Agents(Vec<AgentId>),
    /// Those who fit now, by id. An empty filter takes everybody.
    Filter(SelectionCriteria),
}

/// Preview a bulk change
///
/// Nothing is changed. The answer says of each agent what would happen and why not, what it costs and when it is done; its hash
/// starts it, within ten minutes.
#[utoipa::path(
    post,
    path = "/api/v1/change-sets",
    tag = "change sets",
    operation_id = "preview_change_set",
    params(IdempotencyKeyHeader),
    request_body = NewChangeSetBody,
    responses((status = 201, description = "the preview", body = ChangeSetView))
)]
pub(in crate::http) async fn create(
    State(state): State<ApiState>,
    AuthorizedRequest { caller, tenant, body, key }: AuthorizedRequest<NewChangeSetBody>,
) -> Result<Response, Problem> {
    let new_set = into_new_set(&state, body, requester_of(&caller, &tenant))?;
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
                return Err(Problem::bad_request(format!("filter: a list holds at most {MAX_FILTER_NAMES} names")));
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

/// Filters of the list; `cursor` is the `next` of the page before.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ChangeSetListQuery {
    tenant: TenantId,
    cursor: Option<String>,
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// A page of sets.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ChangeSetsResponse {
    /// Newest first, without their agents.
    change_sets: Vec<ChangeSetView>,
    /// The `cursor` of the next page; null on the last.
    next: Option<ChangeSetId>,
}

/// Bulk changes, newest first
///
/// Those that were started, and the caller's own previews that still can be.
#[utoipa::path(
    get,
    path = "/api/v1/change-sets",
    tag = "change sets",
    operation_id = "change_sets",
    params(ChangeSetListQuery),
    responses((status = 200, description = "a page of them", body = ChangeSetsResponse))
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

/// Which tenant, and whether its agents are wanted.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ChangeSetQuery {
    tenant: TenantId,
    /// `false` leaves the agents out.
    agents: Option<bool>,
}

/// One bulk change as it stands
#[utoipa::path(
    get,
    path = "/api/v1/change-sets/{id}",
    tag = "change sets",
    operation_id = "change_set",
    params(("id" = ChangeSetId, Path, description = "The set."), ChangeSetQuery),
    responses((status = 200, description = "the set", body = ChangeSetView))
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

/// The body of a start.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct StartChangeSetBody {
    tenant: TenantId,
    /// The preview's.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    hash: String,
}

/// Start what was shown
///
/// Each agent is looked at again: who was shown as left out is not changed, and of whom something else is true by now is left out
/// with the reason. Who started a set and asks again gets it as it is.
#[utoipa::path(
    post,
    path = "/api/v1/change-sets/{id}/start",
    tag = "change sets",
    operation_id = "start_change_set",
    params(("id" = ChangeSetId, Path, description = "The set."), IdempotencyKeyHeader),
    request_body = StartChangeSetBody,
    responses((status = 202, description = "it has begun", body = ChangeSetView))
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

/// The body of a cancellation.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct CancelChangeSetBody {
    tenant: TenantId,
    /// Kept apart from the audit chain.
    #[serde(default)]
    #[schema(max_length = 1000)]
    note: Option<String>,
}

/// Call off what has not left
///
/// A preview is thrown away.
#[utoipa::path(
    post,
    path = "/api/v1/change-sets/{id}/cancel",
    tag = "change sets",
    operation_id = "cancel_change_set",
    params(("id" = ChangeSetId, Path, description = "The set."), IdempotencyKeyHeader),
    request_body = CancelChangeSetBody,
    responses((status = 200, description = "the set with its current status", body = ChangeSetView))
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

/// The body of a way back.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct UndoChangeSetBody {
    tenant: TenantId,
    /// What to do with those on a contact; as the set that is taken back without it.
    #[serde(default)]
    on_contact: Option<OnContact>,
    /// Ahead of everything but mandatory breaks.
    #[serde(default)]
    urgent: bool,
    /// Why skills may fall below their floors. Without it they may not.
    #[serde(default)]
    #[schema(max_length = 1000)]
    below_floor: Option<String>,
    /// Kept apart from the audit chain.
    #[serde(default)]
    #[schema(max_length = 1000)]
    note: Option<String>,
}

/// Preview the way back
///
/// A new set that takes each agent to the state before, where the agent is still in the one that was set; the others are listed
/// with the reason. Within an hour after the set has ended.
#[utoipa::path(
    post,
    path = "/api/v1/change-sets/{id}/undo",
    tag = "change sets",
    operation_id = "undo_change_set",
    params(("id" = ChangeSetId, Path, description = "The set to undo."), IdempotencyKeyHeader),
    request_body = UndoChangeSetBody,
    responses((status = 201, description = "the preview of the undo", body = ChangeSetView))
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
