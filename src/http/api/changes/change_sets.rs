//! Bulk changes: previewed, started, followed, called off, taken back.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};

use super::transitions::{check_reason, wanted_state};
use crate::domain::audit::Hash;
use crate::domain::changes::change_set::{MOST_AGENTS_PER_SET, Selection};
use crate::domain::changes::policy::OnContact;
use crate::domain::ids::{AgentId, ChangeSetId, ReasonCode, TenantId};
use crate::engine::changes::change_sets::view::SetView;
use crate::engine::changes::change_sets::{ChangeSets, NewSet, Select, SetError, UndoOptions, Who};
use crate::http::ApiState;
use crate::http::auth::{Caller, Right};
use crate::http::extract::{Path, Query};
use crate::http::problem::{Code, Problem};
use crate::http::request_key::{KeyHeader, answer, once};
use crate::http::wish::{Wish, of_tenant};

/// Longest accepted note, reason for going below a floor, and reason code.
const LONGEST_TEXT: usize = 1000;

/// The most names in one list of a filter.
const MOST_NAMES: usize = 100;

/// The most sets of one page.
const MOST_SETS: u32 = 100;

/// The body of a preview.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewChangeSet {
    tenant: TenantId,
    select: Choice,
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
    /// `policy.wait_at_most` at least.
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
pub(in crate::http) enum Choice {
    /// These; floors are counted in this order.
    Agents(Vec<AgentId>),
    /// Those who fit now, by id. An empty filter takes everybody.
    Filter(Selection),
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
    params(KeyHeader),
    request_body = NewChangeSet,
    responses((status = 201, description = "the preview", body = SetView))
)]
pub(in crate::http) async fn create(
    State(state): State<ApiState>,
    Wish { caller, tenant, body, key }: Wish<NewChangeSet>,
) -> Result<Response, Problem> {
    let wanted = new_set(&state, body, who(&caller, &tenant))?;
    let (sets, of) = (desk(&state), tenant.clone());
    let work = async move { Ok(answer(StatusCode::CREATED, &sets.preview(&of, wanted).await?)) };
    once(&state, &caller, Some(&tenant), key, work).await
}

fn new_set(state: &ApiState, body: NewChangeSet, who: Who) -> Result<NewSet, Problem> {
    let to = wanted_state(state, &body.tenant, &body.to)?;
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
        Choice::Agents(agents) => Select::Agents(each_once(agents)?),
        Choice::Filter(filter) => {
            let lists = [filter.teams.len(), filter.states.len(), filter.skills.len(), filter.verdicts.len()];
            if lists.iter().any(|names| *names > MOST_NAMES) {
                return Err(Problem::bad_request(format!("filter: a list holds at most {MOST_NAMES} names")));
            }
            check_texts(&[("filter.search", filter.search.as_deref())])?;
            Select::Filter(filter)
        }
    };
    Ok(NewSet {
        select,
        to: Some(to),
        reason: body.reason,
        on_contact: body.on_contact,
        urgent: body.urgent,
        even_if_in_state: body.even_if_in_state,
        below_floor: body.below_floor,
        deadline: body.deadline_s.map(Duration::from_secs),
        note: body.note,
        undoes: None,
        asker: who.asker,
        teams: who.teams,
    })
}

fn each_once(mut agents: Vec<AgentId>) -> Result<Vec<AgentId>, Problem> {
    if agents.is_empty() || agents.len() > MOST_AGENTS_PER_SET {
        return Err(Problem::bad_request(format!("agents: name 1 to {MOST_AGENTS_PER_SET}")));
    }
    let mut seen = HashSet::new();
    agents.retain(|agent| seen.insert(agent.clone()));
    Ok(agents)
}

fn check_texts(texts: &[(&str, Option<&str>)]) -> Result<(), Problem> {
    for (name, text) in texts {
        if text.is_some_and(|text| text.chars().count() > LONGEST_TEXT) {
            return Err(Problem::bad_request(format!("{name}: at most {LONGEST_TEXT} characters")));
        }
    }
    Ok(())
}

of_tenant!(NewChangeSet, StartChangeSet, CancelChangeSet, UndoChangeSet);

/// Filters of the list; `cursor` is the `next` of the page before.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ListQuery {
    tenant: TenantId,
    cursor: Option<String>,
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// A page of sets.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ChangeSetPage {
    /// Newest first, without their agents.
    change_sets: Vec<SetView>,
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
    params(ListQuery),
    responses((status = 200, description = "a page of them", body = ChangeSetPage))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<ChangeSetPage>, Problem> {
    caller.check(&state, Right::Read, &query.tenant)?;
    let before = query.cursor.as_deref().map(parse_id).transpose()?;
    let limit = query.limit.unwrap_or(50).clamp(1, MOST_SETS);
    let (change_sets, next) = desk(&state).list(&query.tenant, &who(&caller, &query.tenant), before, limit).await?;
    Ok(Json(ChangeSetPage { change_sets, next }))
}

/// Which tenant, and whether its agents are wanted.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct OneQuery {
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
    params(("id" = ChangeSetId, Path, description = "The set."), OneQuery),
    responses((status = 200, description = "the set", body = SetView))
)]
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<OneQuery>,
) -> Result<Json<SetView>, Problem> {
    caller.check(&state, Right::Read, &query.tenant)?;
    let id = parse_id(&id)?;
    let agents = query.agents.unwrap_or(true);
    Ok(Json(desk(&state).show(&query.tenant, id, &who(&caller, &query.tenant), agents).await?))
}

/// The body of a start.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct StartChangeSet {
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
    params(("id" = ChangeSetId, Path, description = "The set."), KeyHeader),
    request_body = StartChangeSet,
    responses((status = 202, description = "it has begun", body = SetView))
)]
pub(in crate::http) async fn start(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    Wish { caller, tenant, body, key }: Wish<StartChangeSet>,
) -> Result<Response, Problem> {
    let id = parse_id(&id)?;
    let hash = Hash::from_hex(&body.hash)
        .ok_or_else(|| Problem::bad_request("hash: the 64 lower-case hexadecimal digits of the preview's `hash`"))?;
    let (sets, of, who) = (desk(&state), tenant.clone(), who(&caller, &tenant));
    let work = async move { Ok(answer(StatusCode::ACCEPTED, &sets.start(&of, id, hash, who).await?)) };
    once(&state, &caller, Some(&tenant), key, work).await
}

/// The body of a cancellation.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct CancelChangeSet {
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
    params(("id" = ChangeSetId, Path, description = "The set."), KeyHeader),
    request_body = CancelChangeSet,
    responses((status = 200, description = "the set with its current status", body = SetView))
)]
pub(in crate::http) async fn cancel(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    Wish { caller, tenant, body, key }: Wish<CancelChangeSet>,
) -> Result<Response, Problem> {
    check_texts(&[("note", body.note.as_deref())])?;
    let id = parse_id(&id)?;
    let (sets, of, who, note) = (desk(&state), tenant.clone(), who(&caller, &tenant), body.note);
    let work = async move { Ok(answer(StatusCode::OK, &sets.cancel(&of, id, note, who).await?)) };
    once(&state, &caller, Some(&tenant), key, work).await
}

/// The body of a way back.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct UndoChangeSet {
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
    params(("id" = ChangeSetId, Path, description = "The set to undo."), KeyHeader),
    request_body = UndoChangeSet,
    responses((status = 201, description = "the preview of the undo", body = SetView))
)]
pub(in crate::http) async fn undo(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    Wish { caller, tenant, body, key }: Wish<UndoChangeSet>,
) -> Result<Response, Problem> {
    check_texts(&[("note", body.note.as_deref()), ("below_floor", body.below_floor.as_deref())])?;
    let id = parse_id(&id)?;
    let (sets, of, who) = (desk(&state), tenant.clone(), who(&caller, &tenant));
    let options = UndoOptions {
        on_contact: body.on_contact,
        urgent: body.urgent,
        below_floor: body.below_floor,
        note: body.note,
    };
    let work = async move { Ok(answer(StatusCode::CREATED, &sets.undo(&of, id, options, who).await?)) };
    once(&state, &caller, Some(&tenant), key, work).await
}

fn desk(state: &ApiState) -> ChangeSets {
    ChangeSets::new(state.door.clone(), state.reader.clone())
}

fn who(caller: &Caller, tenant: &TenantId) -> Who {
    Who { asker: caller.asker(), teams: caller.teams(tenant).cloned() }
}

fn parse_id(text: &str) -> Result<ChangeSetId, Problem> {
    text.parse().map_err(|_| Problem::bad_request(format!("{text:?} is not the id of a change set")))
}

impl From<SetError> for Problem {
    fn from(error: SetError) -> Self {
        let detail = error.to_string();
        let code = match error {
            SetError::Door(error) => return error.into(),
            SetError::Read(error) => return error.into(),
            SetError::NotFound(_) => Code::NoSuchChangeSet,
            SetError::Nobody => Code::NobodyChosen,
            SetError::TooMany { .. } => Code::TooManyAgents,
            SetError::TooManyPreviews { .. } => Code::TooManyPreviews,
            SetError::HashDiffers => Code::HashDiffers,
            SetError::Expired { .. } => Code::PreviewExpired,
            SetError::StartedAlready { .. } => Code::StartedAlready,
            SetError::CancelledAlready { .. } => Code::CancelledAlready,
            SetError::TooLate => Code::TooLate,
            SetError::NotStarted => Code::NotStarted,
            SetError::StillLeaving { .. } => Code::StillLeaving,
            SetError::NothingToChange { .. } => Code::NothingToChange,
            SetError::TooLateToUndo { .. } => Code::TooLateToUndo,
            SetError::NotWritable(_) => {
                tracing::error!(error = detail, "defect: a change set cannot be read or written");
                return Self::of(Code::Internal, "the change set cannot be read; see the log");
            }
        };
        Self::of(code, detail)
    }
}
