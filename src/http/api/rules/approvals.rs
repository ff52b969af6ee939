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

/// Which page; `cursor` is the `next` of the page before.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ApprovalListQuery {
    tenant: TenantId,
    /// Of this agent alone.
    agent: Option<AgentId>,
    cursor: Option<String>,
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// A page of what waits.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ApprovalsResponse {
    /// The oldest first.
    approvals: Vec<ApprovalView>,
    /// The `cursor` of the next page; null on the last.
    next: Option<TransitionId>,
}

/// Changes of rules that wait for a person, the oldest first
#[utoipa::path(
    get,
    path = "/api/v1/approvals",
    tag = "approvals",
    operation_id = "approvals",
    params(ApprovalListQuery),
    responses((status = 200, description = "a page of them", body = ApprovalsResponse))
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

/// Which page of what was decided.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct DecisionListQuery {
    tenant: TenantId,
    /// The `next` of the page before.
    cursor: Option<u64>,
    /// How many; 100 without it.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// A page of what was decided.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct DecisionsResponse {
    /// The newest first. There may be few here and more behind `next` where the caller sees some teams alone.
    decisions: Vec<DecisionView>,
    /// The `cursor` of the next page; null on the last.
    next: Option<u64>,
}

/// What people approved and denied, the newest first
///
/// As the audit chain has it, of the agents whom the caller sees now.
#[utoipa::path(
    get,
    path = "/api/v1/approvals/decided",
    tag = "approvals",
    operation_id = "decided_approvals",
    params(DecisionListQuery),
    responses((status = 200, description = "a page of them", body = DecisionsResponse))
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

/// The body of a yes.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct AcceptApprovalBody {
    tenant: TenantId,
    /// Kept apart from the audit chain.
    #[serde(default)]
    #[schema(max_length = 1000)]
    note: Option<String>,
}

has_tenant!(AcceptApprovalBody, DenyApprovalBody);

/// Let a change of a rule go
///
/// Policy is asked again at once; the answer says where the change stands then.
#[utoipa::path(
    post,
    path = "/api/v1/approvals/{transition}/accept",
    tag = "approvals",
    operation_id = "accept_approval",
    params(("transition" = TransitionId, Path, description = "The transition that waits."), IdempotencyKeyHeader),
    request_body = AcceptApprovalBody,
    responses((status = 200, description = "where it stands", body = DecisionResult))
)]
pub(in crate::http) async fn accept(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    AuthorizedRequest { caller, tenant, body, key }: AuthorizedRequest<AcceptApprovalBody>,
) -> Result<Response, Problem> {
    check_length("note", body.note.as_deref(), MAX_NOTE_CHARS)?;
    decide(&state, &caller, tenant, parse_id(&id)?, Decision::Accept { note: body.note }, key).await
}

/// The body of a no.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct DenyApprovalBody {
    tenant: TenantId,
    /// Why; kept apart from the audit chain.
    #[schema(min_length = 1, max_length = 1000)]
    note: String,
}

/// Refuse a change of a rule
///
/// The rule leaves the agent alone for a while, as after a change that the agent took back.
#[utoipa::path(
    post,
    path = "/api/v1/approvals/{transition}/deny",
    tag = "approvals",
    operation_id = "deny_approval",
    params(("transition" = TransitionId, Path, description = "The transition that waits."), IdempotencyKeyHeader),
    request_body = DenyApprovalBody,
    responses((status = 200, description = "how it ended", body = DecisionResult))
)]
pub(in crate::http) async fn deny(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    AuthorizedRequest { caller, tenant, body, key }: AuthorizedRequest<DenyApprovalBody>,
) -> Result<Response, Problem> {
    check_length("note", Some(&body.note), MAX_NOTE_CHARS)?;
    if body.note.trim().is_empty() {
        return Err(Problem::bad_request("note: say why"));
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
