//! Erasures of agents: asked for, followed, listed.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::agents::erasure::{Erasure, LONGEST_REASON, Outcome};
use crate::domain::ids::{AgentId, ErasureId, TenantId};
use crate::domain::time::UtcMicros;
use crate::engine::agents::erase::EraseRefused;
use crate::http::ApiState;
use crate::http::auth::{Caller, Right};
use crate::http::extract::{Json as Body, Path, Query};
use crate::http::problem::{Code, Problem};
use crate::http::request_key::{KeyHeader, RequestKey, answer, once};

/// The most erasures of one page.
const MOST_LISTED: u32 = 100;

/// An erasure as people see it. It does not say who it was, not even while it is under way.
#[derive(Serialize, Deserialize, ToSchema)]
pub(in crate::http) struct ErasureView {
    /// Its id.
    id: ErasureId,
    /// Whose agent.
    tenant: TenantId,
    /// `under_way` or `done`.
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
    outcome: Outcome,
}

impl From<Erasure> for ErasureView {
    fn from(erasure: Erasure) -> Self {
        Self {
            id: erasure.id,
            standing: erasure.standing().to_owned(),
            tenant: erasure.tenant,
            stand_in: erasure.stand_in,
            asked_at: erasure.asked_at,
            asked_by: erasure.asked_by.to_string(),
            reason: erasure.done_at.map(|_| erasure.reason.to_string()),
            done_at: erasure.done_at,
            outcome: erasure.outcome,
        }
    }
}

/// An agent to be erased.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct EraseBody {
    /// Whose.
    tenant: TenantId,
    /// Why, in 1 to 500 characters.
    reason: String,
}

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
    params(("id" = AgentId, Path, description = "The agent."), KeyHeader),
    request_body = EraseBody,
    responses((status = 202, description = "accepted", body = ErasureView))
)]
pub(in crate::http) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    Path(agent): Path<AgentId>,
    key: RequestKey,
    Body(body): Body<EraseBody>,
) -> Result<Response, Problem> {
    caller.check_whole(&state, Right::Erase, &body.tenant)?;
    if body.reason.trim().is_empty() || body.reason.chars().count() > LONGEST_REASON {
        return Err(Problem::bad_request(format!(
            "reason: 1 to {LONGEST_REASON} characters, none of them blank alone"
        )));
    }
    let key = key.with_json(&body)?;
    let (door, belongings, asker) = (state.door.clone(), state.belongings.clone(), caller.asker());
    let tenant = body.tenant.clone();
    let work = async move {
        let files = belongings.waiting(body.tenant.clone(), agent.clone()).await.map_err(|error| {
            let cause = format!("{error:#}");
            Problem::of(Code::StillNamed, format!("whether schedule files name the agent cannot be seen: {cause}"))
        })?;
        if !files.is_empty() {
            return Err(EraseRefused::InFiles { agent, files }.into());
        }
        let erasure = door.erase(&body.tenant, agent, body.reason, asker).await??;
        Ok(answer(StatusCode::ACCEPTED, &ErasureView::from(erasure)))
    };
    once(&state, &caller, Some(&tenant), key, work).await
}

/// Which.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ListQuery {
    /// Whose.
    tenant: TenantId,
    /// Older than this one: `next` of the page before.
    #[serde(default)]
    #[param(required = false, value_type = Option<String>, format = "uuid")]
    before: Option<ErasureId>,
}

/// A page of erasures.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ErasureList {
    /// The newest first.
    erasures: Vec<ErasureView>,
    /// Where the next page begins; null at the end.
    next: Option<ErasureId>,
}

/// Erasures, the newest first
#[utoipa::path(
    get,
    path = "/api/v1/erasures",
    tag = "agents",
    operation_id = "erasures",
    params(ListQuery),
    responses((status = 200, description = "the erasures", body = ErasureList))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<ErasureList>, Problem> {
    caller.check_whole(&state, Right::Erase, &query.tenant)?;
    let found = state.reader.erasures(&query.tenant, query.before, MOST_LISTED).await?;
    let next = found.last().filter(|_| found.len() == MOST_LISTED as usize).map(|last| last.id);
    Ok(Json(ErasureList { erasures: found.into_iter().map(ErasureView::from).collect(), next }))
}

/// Whose.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct OfTenant {
    tenant: TenantId,
}

/// One erasure
#[utoipa::path(
    get,
    path = "/api/v1/erasures/{id}",
    tag = "agents",
    operation_id = "erasure",
    params(("id" = ErasureId, Path, description = "The erasure."), OfTenant),
    responses((status = 200, description = "how it stands", body = ErasureView))
)]
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<ErasureId>,
    Query(OfTenant { tenant }): Query<OfTenant>,
) -> Result<Json<ErasureView>, Problem> {
    caller.check_whole(&state, Right::Erase, &tenant)?;
    let erasure = state.reader.erasure(&tenant, id).await?;
    let erasure =
        erasure.ok_or_else(|| Problem::of(Code::NoSuchErasure, format!("tenant {tenant} has no erasure {id}")))?;
    Ok(Json(erasure.into()))
}

impl From<EraseRefused> for Problem {
    fn from(refused: EraseRefused) -> Self {
        let detail = refused.to_string();
        match refused {
            EraseRefused::NoAgent(_) => Self::of(Code::NoSuchAgent, detail),
            EraseRefused::Listed { .. } | EraseRefused::InFiles { .. } => Self::of(Code::StillNamed, detail),
        }
    }
}
