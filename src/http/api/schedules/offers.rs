//! Offers of changes of shifts: make them, see who answered, and withdraw them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::edits::{change_problem, chosen_agents};
use super::imports::NOT_STORED;
use crate::domain::ids::{AgentId, OfferId, TeamName, TenantId};
use crate::domain::schedules::edit::ShiftEdit;
use crate::domain::schedules::offer::{MAX_OFFERED_AGENTS, Offer, OfferStatus, OfferedAgent};
use crate::domain::time::UtcMicros;
use crate::http::api::access::accounts::unrecorded_answer;
use crate::http::auth::{Caller, Right};
use crate::http::problem::{Code, Problem, store_unavailable};
use crate::http::request::authorized_request::{AuthorizedRequest, has_tenant};
use crate::http::request::extract::{Path, Query};
use crate::http::request::idempotency::{IdempotencyKeyHeader, json_answer, run_once, run_once_for_answer};
use crate::http::request::query::{TenantQuery, next_cursor, page_size};
use crate::http::services::schedule_changes::LeftOutAgent;
use crate::http::services::schedule_offers::{MadeOffer, NewOffer, OfferError};
use crate::http::state::ApiState;

/// A change of shifts to offer to agents.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewOfferBody {
    /// The id of the tenant.
    tenant: TenantId,
    /// The ids of the agents. Leave it out to make the offer to all agents of `team`.
    #[serde(default)]
    #[schema(max_items = 500)]
    agents: Vec<AgentId>,
    /// The team to whose agents to make the offer, if `agents` is empty.
    #[serde(default)]
    team: Option<TeamName>,
    /// The local day, such as `2026-10-26`, in each agent's time zone. The shifts that begin on it are edited.
    #[schema(value_type = String, format = Date)]
    day: Date,
    /// The edit.
    edit: ShiftEdit,
    /// How many agents can accept; the first get the places.
    #[schema(minimum = 1, maximum = 500)]
    places: u32,
    /// Until when agents can answer: later than now, and not later than the end of the day.
    expires_at: UtcMicros,
}

/// A request to approve or withdraw an offer.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct OfferDecisionBody {
    /// The id of the tenant.
    tenant: TenantId,
}

has_tenant!(NewOfferBody, OfferDecisionBody);

/// An offer.
#[derive(Serialize, Deserialize, ToSchema)]
pub(in crate::http) struct OfferResponse {
    /// The id of the offer.
    pub(in crate::http) id: OfferId,
    /// The id of the tenant.
    pub(in crate::http) tenant: TenantId,
    /// The local day in each agent's time zone.
    #[schema(value_type = String, format = Date)]
    pub(in crate::http) day: Date,
    /// The edit of the shifts that begin on the day.
    pub(in crate::http) edit: ShiftEdit,
    /// `proposed` (a rule proposed it, and it waits for approval), `open`, `filled` (all places are taken), `expired` or
    /// `withdrawn`.
    pub(in crate::http) status: String,
    /// How many agents can accept.
    pub(in crate::http) places: u32,
    /// How many agents accepted.
    pub(in crate::http) accepted: usize,
    /// How many agents declined.
    pub(in crate::http) declined: usize,
    /// Until when agents can answer.
    pub(in crate::http) expires_at: UtcMicros,
    /// Who made the offer: a person, or the rule that proposed it.
    pub(in crate::http) made_by: String,
    /// When the offer was made or proposed.
    pub(in crate::http) made_at: UtcMicros,
    /// Who approved the offer; null while it is proposed. An offer by a person is approved by that person.
    pub(in crate::http) approved_by: Option<String>,
    /// When the offer was approved; null while it is proposed.
    pub(in crate::http) approved_at: Option<UtcMicros>,
    /// Who withdrew the offer; null if nobody did.
    pub(in crate::http) withdrawn_by: Option<String>,
    /// When the offer was withdrawn; null if it was not.
    pub(in crate::http) withdrawn_at: Option<UtcMicros>,
    /// The agents to whom the offer was made. A caller restricted to teams sees only the agents of those teams.
    pub(in crate::http) agents: Vec<OfferedAgentResponse>,
}

/// An agent to whom an offer was made.
#[derive(Serialize, Deserialize, ToSchema)]
pub(in crate::http) struct OfferedAgentResponse {
    /// The id of the agent.
    pub(in crate::http) agent: AgentId,
    /// The name of the agent; null if unknown.
    pub(in crate::http) name: Option<String>,
    /// The team of the agent; null if unknown.
    pub(in crate::http) team: Option<TeamName>,
    /// `accepted` or `declined`; null without an answer.
    pub(in crate::http) answer: Option<String>,
    /// When the agent answered; null without an answer.
    pub(in crate::http) answered_at: Option<UtcMicros>,
    /// The version of the schedule that the acceptance made; null if the agent has not accepted. Undo the version to undo it.
    pub(in crate::http) version: Option<u64>,
}

/// An offer that was made.
#[derive(Serialize, Deserialize, ToSchema)]
pub(in crate::http) struct MadeOfferResponse {
    /// The offer.
    offer: OfferResponse,
    /// The link of each agent. They are returned only now, and in the events `offer.made`.
    links: Vec<OfferLink>,
    /// Agents to whom the offer was not made, and why.
    left_out: Vec<LeftOutAgent>,
}

/// The link by which an agent answers an offer.
#[derive(Serialize, Deserialize, ToSchema)]
pub(in crate::http) struct OfferLink {
    /// The id of the agent.
    agent: AgentId,
    /// The path of the page on which the agent answers, without an account. Append it to the address of the daemon.
    path: String,
}

/// Make an offer
///
/// Offers a change of shifts to agents: time off, overtime or a moved break. Each agent gets a link by the event
/// `offer.made`. The first to accept get the places, and their schedules change at once, each as a version that can be
/// undone. Nothing changes for agents who do not accept.
#[utoipa::path(
    post,
    path = "/api/v1/schedule-offers",
    tag = "shifts",
    operation_id = "make_offer",
    params(IdempotencyKeyHeader),
    request_body = NewOfferBody,
    responses((status = 201, description = "The offer was made.", body = MadeOfferResponse))
)]
pub(in crate::http) async fn create(
    State(state): State<ApiState>,
    AuthorizedRequest { caller, tenant, body, key }: AuthorizedRequest<NewOfferBody>,
) -> Result<Response, Problem> {
    let agents = chosen_agents(&state, &caller, &tenant, body.agents, body.team).await?;
    if agents.len() > MAX_OFFERED_AGENTS {
        let detail = format!("an offer is for 1 to {MAX_OFFERED_AGENTS} agents, and this one is for {}", agents.len());
        return Err(Problem::bad_request(detail));
    }
    if body.places == 0 || body.places.try_into().is_ok_and(|places: usize| places > MAX_OFFERED_AGENTS) {
        return Err(Problem::bad_request(format!("places: 1 to {MAX_OFFERED_AGENTS}")));
    }
    let new = NewOffer {
        tenant: tenant.clone(),
        agents,
        day: body.day,
        edit: body.edit,
        places: body.places,
        expires_at: body.expires_at,
        actor: format!("person:{}", caller.id()),
    };
    let (offers, now) = (state.offers.clone(), state.readiness.now());
    let work = async move {
        let made = offers.make_offer(new).await.map_err(offer_problem)?;
        Ok(unrecorded_answer(json_answer(StatusCode::CREATED, &made_response(made, now))))
    };
    Box::pin(run_once_for_answer(&state, &caller, Some(&tenant), key, work)).await
}

/// The page of a list of offers.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct OfferListQuery {
    /// The id of the tenant.
    tenant: TenantId,
    /// The `next` of the previous page; omit it for the first page.
    cursor: Option<OfferId>,
    /// The maximum number of offers to return, 1 to 500; 100 by default.
    limit: Option<u32>,
}

/// A page of offers.
#[derive(Serialize, Deserialize, ToSchema)]
pub(in crate::http) struct OffersResponse {
    /// The offers, newest first.
    pub(in crate::http) offers: Vec<OfferResponse>,
    /// The `cursor` of the next page; null on the last page.
    pub(in crate::http) next: Option<OfferId>,
}

/// List offers
///
/// Returns offers, newest first, with the answers of agents. A caller restricted to teams gets only offers to agents of
/// those teams, so a page may have fewer items than `limit` although more follow.
#[utoipa::path(
    get,
    path = "/api/v1/schedule-offers",
    tag = "shifts",
    operation_id = "list_offers",
    params(OfferListQuery),
    responses((status = 200, description = "A page of offers.", body = OffersResponse))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<OfferListQuery>,
) -> Result<Json<OffersResponse>, Problem> {
    caller.check(&state, Right::Read, &query.tenant)?;
    let limit = page_size(query.limit);
    let rows = state.reader.offers(&query.tenant, query.cursor, limit).await?;
    let next = next_cursor(&rows, limit, |offer| offer.id);
    let now = state.readiness.now();
    let has_access = |agent: &OfferedAgent| caller.has_team(&query.tenant, agent.team.as_ref());
    let offers = rows.into_iter().map(|offer| offer_response(offer, now, has_access));
    Ok(Json(OffersResponse { offers: offers.filter(|offer| !offer.agents.is_empty()).collect(), next }))
}

/// Retrieve an offer
#[utoipa::path(
    get,
    path = "/api/v1/schedule-offers/{id}",
    tag = "shifts",
    operation_id = "show_offer",
    params(("id" = OfferId, Path, description = "The id of the offer."), TenantQuery),
    responses((status = 200, description = "The offer.", body = OfferResponse))
)]
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<OfferId>,
    Query(TenantQuery { tenant }): Query<TenantQuery>,
) -> Result<Json<OfferResponse>, Problem> {
    caller.check(&state, Right::Read, &tenant)?;
    let offer = state.reader.offer(&tenant, id).await?.ok_or_else(|| no_such_offer(id))?;
    let offer = offer_response(offer, state.readiness.now(), |agent| caller.has_team(&tenant, agent.team.as_ref()));
    if offer.agents.is_empty() { Err(no_such_offer(id)) } else { Ok(Json(offer)) }
}

/// Approve an offer
///
/// Makes an offer that a rule proposed. Each agent whose shift it still changes gets a link by the event `offer.made`.
#[utoipa::path(
    post,
    path = "/api/v1/schedule-offers/{id}/approve",
    tag = "shifts",
    operation_id = "approve_offer",
    params(("id" = OfferId, Path, description = "The id of the offer."), IdempotencyKeyHeader),
    request_body = OfferDecisionBody,
    responses((status = 200, description = "The offer was made.", body = MadeOfferResponse))
)]
pub(in crate::http) async fn approve(
    State(state): State<ApiState>,
    Path(id): Path<OfferId>,
    AuthorizedRequest { caller, tenant, key, .. }: AuthorizedRequest<OfferDecisionBody>,
) -> Result<Response, Problem> {
    check_may_decide(&state, &caller, &tenant, id).await?;
    let (offers, now, actor) = (state.offers.clone(), state.readiness.now(), format!("person:{}", caller.id()));
    let owner = tenant.clone();
    let work = async move {
        let made = offers.approve_offer(owner, id, actor).await.map_err(offer_problem)?;
        Ok(unrecorded_answer(json_answer(StatusCode::OK, &made_response(made, now))))
    };
    Box::pin(run_once_for_answer(&state, &caller, Some(&tenant), key, work)).await
}

/// Withdraw an offer
///
/// Nobody can accept the offer any more. What was accepted before stays in force. Declines an offer that a rule proposed.
/// An offer that is neither proposed nor open stays as it is.
#[utoipa::path(
    post,
    path = "/api/v1/schedule-offers/{id}/withdraw",
    tag = "shifts",
    operation_id = "withdraw_offer",
    params(("id" = OfferId, Path, description = "The id of the offer."), IdempotencyKeyHeader),
    request_body = OfferDecisionBody,
    responses((status = 200, description = "The offer.", body = OfferResponse))
)]
pub(in crate::http) async fn withdraw(
    State(state): State<ApiState>,
    Path(id): Path<OfferId>,
    AuthorizedRequest { caller, tenant, key, .. }: AuthorizedRequest<OfferDecisionBody>,
) -> Result<Response, Problem> {
    check_may_decide(&state, &caller, &tenant, id).await?;
    let (offers, now, actor) = (state.offers.clone(), state.readiness.now(), format!("person:{}", caller.id()));
    let owner = tenant.clone();
    let work = async move {
        let offer = offers.withdraw_offer(owner, id, actor).await.map_err(offer_problem)?;
        Ok(offer_response(offer, now, |_| true))
    };
    run_once(&state, &caller, Some(&tenant), key, StatusCode::OK, work).await
}

/// Checks that the caller may edit the schedules of all agents of an offer.
async fn check_may_decide(state: &ApiState, caller: &Caller, tenant: &TenantId, id: OfferId) -> Result<(), Problem> {
    caller.check(state, Right::EditSchedules, tenant)?;
    let offer = state.reader.offer(tenant, id).await?.ok_or_else(|| no_such_offer(id))?;
    let mut accessible = offer.agents.iter().map(|agent| caller.has_team(tenant, agent.team.as_ref()));
    if accessible.all(|is_accessible| is_accessible) {
        return Ok(());
    }
    Err(Problem::from_code(Code::NotPermitted, "the offer is also for agents of teams that you cannot access"))
}

fn made_response(made: MadeOffer, now: UtcMicros) -> MadeOfferResponse {
    let MadeOffer { offer, links, left_out } = made;
    let links = links.into_iter().map(|(agent, path)| OfferLink { agent, path }).collect();
    MadeOfferResponse { offer: offer_response(offer, now, |_| true), links, left_out }
}

/// Returns an offer with the agents whom the caller can access.
fn offer_response(offer: Offer, now: UtcMicros, has_access: impl Fn(&OfferedAgent) -> bool) -> OfferResponse {
    let status: OfferStatus = offer.status(now);
    let (accepted, declined) = (offer.accepted(), offer.declined());
    let (approved, withdrawn) = (offer.approved, offer.withdrawn);
    OfferResponse {
        id: offer.id,
        tenant: offer.tenant,
        day: offer.day,
        edit: offer.edit,
        status: status.name().to_owned(),
        places: offer.places,
        accepted,
        declined,
        expires_at: offer.expires_at,
        made_by: offer.made_by.to_string(),
        made_at: offer.made_at,
        approved_by: approved.as_ref().map(|(_, by)| by.to_string()),
        approved_at: approved.map(|(at, _)| at),
        withdrawn_by: withdrawn.as_ref().map(|(_, by)| by.to_string()),
        withdrawn_at: withdrawn.map(|(at, _)| at),
        agents: offer.agents.into_iter().filter(has_access).map(OfferedAgentResponse::from).collect(),
    }
}

impl From<OfferedAgent> for OfferedAgentResponse {
    fn from(offered: OfferedAgent) -> Self {
        Self {
            agent: offered.agent,
            name: offered.name.as_deref().map(str::to_owned),
            team: offered.team,
            answer: offered.answer.map(|answer| answer.name().to_owned()),
            answered_at: offered.answer.map(|answer| answer.at),
            version: offered.answer.and_then(|answer| answer.accepted_as),
        }
    }
}

fn no_such_offer(id: OfferId) -> Problem {
    Problem::from_code(Code::NoSuchOffer, format!("there is no offer {id}"))
}

/// Returns the problem document of an error.
pub(in crate::http) fn offer_problem(error: OfferError) -> Problem {
    let detail = error.to_string();
    match error {
        OfferError::NoOffer => Problem::from_code(Code::NoSuchOffer, detail),
        OfferError::NotProposed => Problem::from_code(Code::OfferNotProposed, detail),
        OfferError::BadExpiry(_) => Problem::bad_request(detail),
        OfferError::Change(error) => change_problem(error),
        OfferError::Read(cause) => Problem::from(cause),
        OfferError::Store(cause) => store_unavailable(cause, NOT_STORED, detail),
    }
}
