//! Approvals: the changes that rules in mode `approve` propose, and people's decisions about them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::ids::{AgentId, TenantId, TransitionId};
use crate::engine::changes::request::IdempotencyKey;
use crate::engine::rules::approvals::{
    ApprovalError, ApprovalView, Approvals, Decision, DecisionResult, DecisionView, Page,
};
use crate::http::api::changes::transitions::parse_id;
use crate::http::auth::{Caller, Right};
use crate::http::problem::{Code, Problem};
use crate::http::request::authorized_request::{AuthorizedRequest, has_tenant};
use crate::http::request::extract::{Path, Query};
use crate::http::request::idempotency::{IdempotencyKeyHeader, run_once};
use crate::http::request::query::page_size;
use crate::http::request::text::check_length;
use crate::http::state::ApiState;

/// The longest accepted note, in characters.
const MAX_NOTE_CHARS: usize = 1000;

/// Filters and page of a list of approvals.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ApprovalListQuery {
    /// The id of the tenant.
    tenant: TenantId,
    /// Only changes of this agent.
    agent: Option<AgentId>,
    /// The `next` of the previous page; omit it for the first page.
    cursor: Option<String>,
    /// The maximum number of items to return; 100 by default.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// A page of changes that wait for approval.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ApprovalsResponse {
    /// The changes, oldest first.
    approvals: Vec<ApprovalView>,
    /// The `cursor` of the next page; null on the last page.
    next: Option<TransitionId>,
}

/// List pending approvals
///
/// Returns changes of rules that wait for approval, oldest first.
#[utoipa::path(
    get,
    path = "/api/v1/approvals",
    tag = "approvals",
    operation_id = "approvals",
    params(ApprovalListQuery),
    responses((status = 200, description = "A page of changes.", body = ApprovalsResponse))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<ApprovalListQuery>,
) -> Result<Json<ApprovalsResponse>, Problem> {
    caller.check(&state, Right::Read, &query.tenant)?;
    let after = query.cursor.as_deref().map(parse_id).transpose()?;
    let limit = page_size(query.limit) as usize;
    let teams = caller.teams(&query.tenant).cloned();
    let page = Page { after, limit };
    let (approvals, next) = approvals(&state).list(&query.tenant, &teams, query.agent.as_ref(), page).await?;
    Ok(Json(ApprovalsResponse { approvals, next }))
}

/// The page of a list of decisions.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct DecisionListQuery {
    /// The id of the tenant.
    tenant: TenantId,
    /// The `next` of the previous page; omit it for the first page.
    cursor: Option<u64>,
    /// The maximum number of decisions to return; 100 by default.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// A page of decisions.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct DecisionsResponse {
    /// The decisions, newest first. If the caller can access only some teams, a page may have few items although `next`
    /// is set.
    decisions: Vec<DecisionView>,
    /// The `cursor` of the next page; null on the last page.
    next: Option<u64>,
}

/// List decisions
///
/// Returns the changes that people approved or denied, newest first, as recorded in the audit chain, for the agents
/// that the caller can access now.
#[utoipa::path(
    get,
    path = "/api/v1/approvals/decided",
    tag = "approvals",
    operation_id = "decided_approvals",
    params(DecisionListQuery),
    responses((status = 200, description = "A page of decisions.", body = DecisionsResponse))
)]
pub(in crate::http) async fn decisions(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<DecisionListQuery>,
) -> Result<Json<DecisionsResponse>, Problem> {
    caller.check(&state, Right::Read, &query.tenant)?;
    let limit = page_size(query.limit);
    let teams = caller.teams(&query.tenant).cloned();
    let (decisions, next) = approvals(&state).list_decisions(&query.tenant, &teams, query.cursor, limit).await?;
    Ok(Json(DecisionsResponse { decisions, next }))
}

/// Returns how many changes wait for the caller's decision, or `None` if the caller may not decide or the store cannot
/// be read.
pub(in crate::http) async fn count_pending(state: &ApiState, caller: &Caller, tenant: &TenantId) -> Option<u64> {
    if !caller.has_right(Right::Change) || !caller.can_access_tenant(tenant) {
        return None;
    }
    let teams = caller.teams(tenant).cloned();
    approvals(state)
        .count(tenant, &teams)
        .await
        .inspect_err(|error| tracing::warn!(%error, "approvals not counted"))
        .ok()
}

/// An approval of a change.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct AcceptApprovalBody {
    /// The id of the tenant.
    tenant: TenantId,
    /// A note, which is stored apart from the audit chain.
    #[serde(default)]
    #[schema(max_length = 1000)]
    note: Option<String>,
}

has_tenant!(AcceptApprovalBody, DenyApprovalBody);

/// Approve a change
///
/// Policy is checked again at once; the response has the status of the change after that.
#[utoipa::path(
    post,
    path = "/api/v1/approvals/{transition}/accept",
    tag = "approvals",
    operation_id = "accept_approval",
    params(("transition" = TransitionId, Path, description = "The id of the transition that waits for approval."), IdempotencyKeyHeader),
    request_body = AcceptApprovalBody,
    responses((status = 200, description = "The status of the change.", body = DecisionResult))
)]
pub(in crate::http) async fn accept(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    AuthorizedRequest { caller, tenant, body, key }: AuthorizedRequest<AcceptApprovalBody>,
) -> Result<Response, Problem> {
    check_length("note", body.note.as_deref(), MAX_NOTE_CHARS)?;
    decide(&state, &caller, tenant, parse_id(&id)?, Decision::Accept { note: body.note }, key).await
}

/// A denial of a change.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct DenyApprovalBody {
    /// The id of the tenant.
    tenant: TenantId,
    /// The reason for the denial, which is stored apart from the audit chain.
    #[schema(min_length = 1, max_length = 1000)]
    note: String,
}

/// Deny a change
///
/// No rule changes the agent's state for a while, as after a change that the agent reverted.
#[utoipa::path(
    post,
    path = "/api/v1/approvals/{transition}/deny",
    tag = "approvals",
    operation_id = "deny_approval",
    params(("transition" = TransitionId, Path, description = "The id of the transition that waits for approval."), IdempotencyKeyHeader),
    request_body = DenyApprovalBody,
    responses((status = 200, description = "The status of the change.", body = DecisionResult))
)]
pub(in crate::http) async fn deny(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    AuthorizedRequest { caller, tenant, body, key }: AuthorizedRequest<DenyApprovalBody>,
) -> Result<Response, Problem> {
    check_length("note", Some(&body.note), MAX_NOTE_CHARS)?;
    if body.note.trim().is_empty() {
        return Err(Problem::bad_request("note: give the reason"));
    }
    decide(&state, &caller, tenant, parse_id(&id)?, Decision::Deny { note: body.note }, key).await
}

async fn decide(
    state: &ApiState,
    caller: &Caller,
    tenant: TenantId,
    id: TransitionId,
    decision: Decision,
    key: Option<IdempotencyKey>,
) -> Result<Response, Problem> {
    let (approvals, owner) = (approvals(state), tenant.clone());
    let (requester, teams) = (caller.requester(), caller.teams(&tenant).cloned());
    let work = async move { Ok(approvals.decide(&owner, id, decision, requester, teams).await?) };
    run_once(state, caller, Some(&tenant), key, StatusCode::OK, work).await
}

fn approvals(state: &ApiState) -> Approvals {
    Approvals::new(state.keepers.clone(), state.reader.clone())
}

impl From<ApprovalError> for Problem {
    fn from(error: ApprovalError) -> Self {
        let detail = error.to_string();
        match error {
            ApprovalError::Keeper(error) => error.into(),
            ApprovalError::Read(error) => error.into(),
            ApprovalError::NotFound(_) => Self::from_code(Code::NoSuchApproval, detail),
            ApprovalError::TooLate { .. } => Self::from_code(Code::TooLate, detail),
        }
    }
}
