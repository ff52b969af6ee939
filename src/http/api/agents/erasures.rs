//! Erasures of agents: request, follow, list.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::agents::erasure::{Erasure, ErasureResult, MAX_REASON_CHARS};
use crate::domain::ids::{AgentId, ErasureId, TenantId};
use crate::domain::time::UtcMicros;
use crate::engine::agents::erasure::ErasureError;
use crate::http::auth::{Caller, Right};
use crate::http::problem::{Code, Problem};
use crate::http::request::authorized_request::{AuthorizedRequest, has_tenant};
use crate::http::request::extract::{Path, Query};
use crate::http::request::idempotency::{IdempotencyKeyHeader, run_once};
use crate::http::request::query::{TenantQuery, next_cursor};
use crate::http::state::ApiState;

/// The maximum number of erasures per page.
const MAX_PAGE_SIZE: u32 = 100;

/// An erasure of an agent. It never contains the agent's id or name.
#[derive(Serialize, Deserialize, ToSchema)]
pub(in crate::http) struct ErasureResponse {
    /// The id of the erasure.
    id: ErasureId,
    /// The id of the tenant.
    tenant: TenantId,
    /// The status: `under_way` or `done`.
    standing: String,
    /// The id that replaces the agent's id in all rows. No real agent has or gets this id.
    stand_in: AgentId,
    /// When the erasure was requested.
    asked_at: UtcMicros,
    /// Who requested the erasure.
    asked_by: String,
    /// The reason for the erasure, with the agent's id and name removed; null until the erasure is complete.
    reason: Option<String>,
    /// When the erasure was completed; null while it is in progress.
    done_at: Option<UtcMicros>,
    /// What has been erased so far, and what cannot be erased.
    #[serde(flatten)]
    outcome: ErasureResult,
}

impl From<Erasure> for ErasureResponse {
    fn from(erasure: Erasure) -> Self {
        Self {
            id: erasure.id,
            standing: erasure.status().to_owned(),
            tenant: erasure.tenant,
            stand_in: erasure.stand_in,
            asked_at: erasure.requested_at,
            asked_by: erasure.requested_by.to_string(),
            reason: erasure.completed_at.map(|_| erasure.reason.to_string()),
            done_at: erasure.completed_at,
            outcome: erasure.result,
        }
    }
}

/// A request to erase an agent.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct EraseAgentBody {
    /// The id of the tenant.
    tenant: TenantId,
    /// The reason for the erasure, 1 to 500 characters.
    reason: String,
}

has_tenant!(EraseAgentBody);

/// Erase an agent permanently
///
/// Removes the agent's id, name and all notes about the agent from the store and from the daemon's folders. The rows
/// are kept under a random id, so that figures of teams do not change. The erasure runs in the background and continues
/// after a restart; follow it with `GET /api/v1/erasures/{id}`. If an erasure of the agent is in progress, it is
/// returned.
#[utoipa::path(
    post,
    path = "/api/v1/agents/{id}/erase",
    tag = "agents",
    operation_id = "erase_agent",
    params(("id" = AgentId, Path, description = "The id of the agent."), IdempotencyKeyHeader),
    request_body = EraseAgentBody,
    responses((status = 202, description = "The erasure was accepted.", body = ErasureResponse))
)]
pub(in crate::http) async fn create(
    State(state): State<ApiState>,
    Path(agent): Path<AgentId>,
    AuthorizedRequest { caller, tenant, body, key }: AuthorizedRequest<EraseAgentBody>,
) -> Result<Response, Problem> {
    caller.check_all_teams(&state, Right::Erase, &tenant)?;
    if body.reason.trim().is_empty() || body.reason.chars().count() > MAX_REASON_CHARS {
        return Err(Problem::bad_request(format!(
            "reason: 1 to {MAX_REASON_CHARS} characters, none of them blank alone"
        )));
    }
    let (keepers, resources, requester) = (state.keepers.clone(), state.tenant_resources.clone(), caller.requester());
    let work = async move {
        let files = resources.waiting(body.tenant.clone(), agent.clone()).await.map_err(|error| {
            let cause = format!("{error:#}");
            Problem::from_code(
                Code::AgentStillReferenced,
                format!("whether schedule files name the agent cannot be seen: {cause}"),
            )
        })?;
        if !files.is_empty() {
            return Err(ErasureError::NamedInFiles { agent, files }.into());
        }
        let erasure = keepers.erase(&body.tenant, agent, body.reason, requester).await??;
        Ok(ErasureResponse::from(erasure))
    };
    run_once(&state, &caller, Some(&tenant), key, StatusCode::ACCEPTED, work).await
}

/// Filters and page of a list of erasures.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ErasureListQuery {
    /// The id of the tenant.
    tenant: TenantId,
    /// The `next` of the previous page; omit it for the first page.
    #[serde(default)]
    #[param(required = false, value_type = Option<String>, format = "uuid")]
    before: Option<ErasureId>,
}

/// A page of erasures.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ErasuresResponse {
    /// The erasures, newest first.
    erasures: Vec<ErasureResponse>,
    /// The `before` of the next page; null on the last page.
    next: Option<ErasureId>,
}

/// List erasures
///
/// Returns erasures, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/erasures",
    tag = "agents",
    operation_id = "erasures",
    params(ErasureListQuery),
    responses((status = 200, description = "A page of erasures.", body = ErasuresResponse))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<ErasureListQuery>,
) -> Result<Json<ErasuresResponse>, Problem> {
    caller.check_all_teams(&state, Right::Erase, &query.tenant)?;
    let found = state.reader.erasures(&query.tenant, query.before, MAX_PAGE_SIZE).await?;
    let next = next_cursor(&found, MAX_PAGE_SIZE, |last| last.id);
    Ok(Json(ErasuresResponse { erasures: found.into_iter().map(ErasureResponse::from).collect(), next }))
}

/// Retrieve an erasure
#[utoipa::path(
    get,
    path = "/api/v1/erasures/{id}",
    tag = "agents",
    operation_id = "erasure",
    params(("id" = ErasureId, Path, description = "The id of the erasure."), TenantQuery),
    responses((status = 200, description = "The erasure.", body = ErasureResponse))
)]
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<ErasureId>,
    Query(TenantQuery { tenant }): Query<TenantQuery>,
) -> Result<Json<ErasureResponse>, Problem> {
    caller.check_all_teams(&state, Right::Erase, &tenant)?;
    let erasure = state.reader.erasure(&tenant, id).await?;
    let erasure = erasure
        .ok_or_else(|| Problem::from_code(Code::NoSuchErasure, format!("tenant {tenant} has no erasure {id}")))?;
    Ok(Json(erasure.into()))
}

impl From<ErasureError> for Problem {
    fn from(refused: ErasureError) -> Self {
        let detail = refused.to_string();
        match refused {
            ErasureError::NoAgent(_) => Self::from_code(Code::NoSuchAgent, detail),
            ErasureError::InConfiguration { .. } | ErasureError::NamedInFiles { .. } => {
                Self::from_code(Code::AgentStillReferenced, detail)
            }
        }
    }
}
