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

/// An erasure as people see it. It does not say who it was, not even while it is under way.
#[derive(Serialize, Deserialize, ToSchema)]
pub(in crate::http) struct ErasureResponse {
    /// Its id.
    id: ErasureId,
    /// Whose agent.
    tenant: TenantId,
    /// `in_flight` or `done`.
    standing: String,
    /// Whom the rows are of from now on: no agent of that id is or will be.
    stand_in: AgentId,
    /// When it was asked for.
    asked_at: UtcMicros,
    /// By whom.
    asked_by: String,
    /// Why; null until it is done, when id and name of the agent have been taken out of it.
    reason: Option<String>,
    /// When it was done.
    done_at: Option<UtcMicros>,
    /// What was done, as far as it is, and what cannot be.
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

/// An agent to be erased.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct EraseAgentBody {
    /// Whose.
    tenant: TenantId,
    /// Why, in 1 to 500 characters.
    reason: String,
}

has_tenant!(EraseAgentBody);

/// Erase an agent, for good
///
/// Id, name and whatever was typed about the agent go from the store and from the daemon's folders; the rows go on as a stand-in's, so
/// that figures of teams stay. It goes on by itself, also over a restart: follow it with `GET /api/v1/erasures/{id}`. Who is being
/// erased already gets that erasure.
#[utoipa::path(
    post,
    path = "/api/v1/agents/{id}/erase",
    tag = "agents",
    operation_id = "erase_agent",
    params(("id" = AgentId, Path, description = "The agent."), IdempotencyKeyHeader),
    request_body = EraseAgentBody,
    responses((status = 202, description = "accepted", body = ErasureResponse))
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

/// Which.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ErasureListQuery {
    /// Whose.
    tenant: TenantId,
    /// Older than this one: `next` of the page before.
    #[serde(default)]
    #[param(required = false, value_type = Option<String>, format = "uuid")]
    before: Option<ErasureId>,
}

/// A page of erasures.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ErasuresResponse {
    /// The newest first.
    erasures: Vec<ErasureResponse>,
    /// Where the next page begins; null at the end.
    next: Option<ErasureId>,
}

/// Erasures, the newest first
#[utoipa::path(
    get,
    path = "/api/v1/erasures",
    tag = "agents",
    operation_id = "erasures",
    params(ErasureListQuery),
    responses((status = 200, description = "the erasures", body = ErasuresResponse))
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

/// One erasure
#[utoipa::path(
    get,
    path = "/api/v1/erasures/{id}",
    tag = "agents",
    operation_id = "erasure",
    params(("id" = ErasureId, Path, description = "The erasure."), TenantQuery),
    responses((status = 200, description = "how it stands", body = ErasureResponse))
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
