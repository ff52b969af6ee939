//! Webhooks: the status of endpoints, their deliveries, and people's requests about them.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::ids::{AgentId, EndpointId, EventId, TenantId};
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::delivery::{DisableReason, ParkReason, STATUS_NAMES};
use crate::engine::webhooks::deliver::{OutboxError, RecoveryResult, RetryResult};
use crate::http::auth::{Caller, Right};
use crate::http::problem::{Code, Problem, store_unavailable};
use crate::http::request::authorized_request::{AuthorizedRequest, has_tenant};
use crate::http::request::extract::{Path, Query};
use crate::http::request::idempotency::{IdempotencyKeyHeader, run_once};
use crate::http::request::query::{next_cursor, page_size};
use crate::http::services::webhooks::{KeyRotation, KeyRotationError, KeyRotationRequest};
use crate::http::state::ApiState;
use crate::store::{AttemptWrite, Backlog, DeliveryFilter, StoredDelivery, StoredEndpoint};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct TenantQuery {
    /// Whose events.
    tenant: TenantId,
}

/// Endpoints.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct WebhooksResponse {
    /// Every one that serves the tenant, or did.
    webhooks: Vec<EndpointResponse>,
}

/// How an endpoint is; the command line prints the same.
#[derive(Serialize, ToSchema)]
#[schema(as = Webhook)]
pub struct EndpointResponse {
    /// Its name in the configuration.
    id: EndpointId,
    /// `healthy`, `failing`, `disabled`, or `removed` where the configuration has it no more.
    status: &'static str,
    /// Since when it is known.
    created_at: UtcMicros,
    /// The first failure after the last success.
    failing_since: Option<UtcMicros>,
    /// What went wrong last, while it fails.
    last_error: Option<String>,
    /// Since when it gets nothing.
    disabled_at: Option<UtcMicros>,
    /// Why it gets nothing.
    disabled_for: Option<&'static str>,
    /// Deliveries that wait.
    waiting: u64,
    /// Deliveries that are not tried any more.
    parked: u64,
    /// Events that have not been looked at.
    unread: u64,
}

/// Returns the status of an endpoint; `configured` says whether the configuration has it for the tenant.
pub(in crate::http) const fn endpoint_status(stored: &StoredEndpoint, configured: bool) -> &'static str {
    match (configured, stored.disabled, stored.failing_since) {
        (false, _, _) => "removed",
        (true, Some(_), _) => "disabled",
        (true, None, Some(_)) => "failing",
        (true, None, None) => "healthy",
    }
}

impl EndpointResponse {
    /// Creates the response from the store; `configured` says whether the configuration has the endpoint for the
    /// tenant.
    pub fn from_stored(stored: StoredEndpoint, backlog: Backlog, configured: bool) -> Self {
        Self {
            status: endpoint_status(&stored, configured),
            id: stored.id,
            created_at: stored.created_at,
            failing_since: stored.failing_since,
            last_error: stored.last_error,
            disabled_at: stored.disabled.map(|(at, _)| at),
            disabled_for: stored.disabled.map(|(_, why)| DisableReason::name(why)),
            waiting: backlog.waiting,
            parked: backlog.parked,
            unread: backlog.unprocessed,
        }
    }
}

/// Every endpoint that serves the tenant
///
/// With how it is and what it has before it.
#[utoipa::path(
    get,
    path = "/api/v1/webhooks",
    tag = "webhooks",
    operation_id = "list_webhooks",
    params(TenantQuery),
    responses((status = 200, description = "the endpoints", body = WebhooksResponse))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Query(TenantQuery { tenant }): Query<TenantQuery>,
) -> Result<axum::Json<WebhooksResponse>, Problem> {
    caller.check(&state, Right::Read, &tenant)?;
    let configured_endpoints = state.outbox.endpoints(&tenant);
    let mut webhooks = Vec::new();
    for stored in state.reader.endpoints(&tenant).await? {
        let backlog = state.reader.backlog(&tenant, &stored.id).await?;
        let configured = configured_endpoints.contains(&stored.id);
        webhooks.push(EndpointResponse::from_stored(stored, backlog, configured));
    }
    Ok(axum::Json(WebhooksResponse { webhooks }))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct DeliveryListQuery {
    /// Whose events.
    tenant: TenantId,
    /// `waiting`, `delivered` or `parked`.
    status: Option<String>,
    /// Of events that happened at this instant or later.
    since: Option<UtcMicros>,
    /// This event alone, with its attempts.
    event: Option<EventId>,
    /// The `next` of the page before.
    cursor: Option<u64>,
    /// How many; 100 without it, at most 500.
    limit: Option<u32>,
}

/// Deliveries.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct DeliveriesResponse {
    /// Of the newest event first.
    deliveries: Vec<DeliveryResponse>,
    /// The `cursor` of the next page; null on the last.
    next: Option<u64>,
}

/// A delivery in a list; the command line prints the same.
#[derive(Serialize, ToSchema)]
#[schema(as = Delivery)]
pub struct DeliveryResponse {
    /// The event's id.
    event: EventId,
    /// When it happened.
    at: UtcMicros,
    /// What kind, as subscriptions select it.
    kind: &'static str,
    /// The agent concerned.
    agent: Option<AgentId>,
    /// The number among the agent's events.
    sequence: Option<u64>,
    /// `waiting`, `delivered` or `parked`.
    status: &'static str,
    /// Attempts of all.
    attempts: u32,
    /// When the next attempt is due; none for one that waits behind another.
    next_at: Option<UtcMicros>,
    /// When it was settled.
    settled_at: Option<UtcMicros>,
    /// Why it is parked.
    parked_for: Option<&'static str>,
    /// Every attempt, where one event was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt_log: Option<Vec<DeliveryAttemptResponse>>,
}

impl DeliveryResponse {
    /// Creates the response from the store.
    pub fn from_stored(row: &StoredDelivery) -> Self {
        Self {
            event: row.event,
            at: row.at,
            kind: row.kind.selector(),
            agent: row.agent.clone(),
            sequence: row.sequence,
            status: row.status,
            attempts: row.attempts,
            next_at: row.next_at,
            settled_at: row.settled_at,
            parked_for: row.parked_for.map(ParkReason::name),
            attempt_log: None,
        }
    }

    /// Adds the attempts.
    #[must_use]
    pub fn with_attempts(self, attempts: &[AttemptWrite]) -> Self {
        Self { attempt_log: Some(attempts.iter().map(DeliveryAttemptResponse::from_attempt).collect()), ..self }
    }
}

/// An attempt; the command line prints the same.
#[derive(Serialize, ToSchema)]
#[schema(as = DeliveryAttempt)]
pub struct DeliveryAttemptResponse {
    /// The how-manieth of all, from 1.
    attempt: u32,
    /// When it left.
    sent_at: UtcMicros,
    /// Real milliseconds to its end.
    latency_ms: u64,
    /// The HTTP status, where there was one.
    status_code: Option<u16>,
    /// What went wrong.
    error: Option<String>,
    /// The first kilobyte of the answer.
    answer: String,
}

impl DeliveryAttemptResponse {
    fn from_attempt(row: &AttemptWrite) -> Self {
        Self {
            attempt: row.attempt,
            sent_at: row.sent_at,
            latency_ms: row.latency_ms,
            status_code: row.status_code,
            error: row.error.clone(),
            answer: row.response.clone(),
        }
    }
}

/// Deliveries of an endpoint, the newest event first
///
/// With `event`, that one alone and its attempts.
#[utoipa::path(
    get,
    path = "/api/v1/webhooks/{id}/deliveries",
    tag = "webhooks",
    operation_id = "list_deliveries",
    params(("id" = EndpointId, Path, description = "The endpoint."), DeliveryListQuery),
    responses((status = 200, description = "a page", body = DeliveriesResponse))
)]
pub(in crate::http) async fn deliveries(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<EndpointId>,
    Query(query): Query<DeliveryListQuery>,
) -> Result<axum::Json<DeliveriesResponse>, Problem> {
    caller.check(&state, Right::Read, &query.tenant)?;
    check_endpoint(&state, &query.tenant, &id).await?;
    if let Some(event) = query.event {
        return deliveries_of_event(&state, &caller, &query.tenant, &id, event).await;
    }
    let status = match &query.status {
        None => None,
        Some(status) => Some(
            STATUS_NAMES
                .into_iter()
                .find(|known| known == status)
                .ok_or_else(|| Problem::bad_request(format!("status: one of {}", STATUS_NAMES.join(", "))))?,
        ),
    };
    let limit = page_size(query.limit);
    let filter = DeliveryFilter { status, since: query.since, before: query.cursor };
    let mut rows = state.reader.deliveries(&query.tenant, &id, &filter, limit).await?;
    let next = next_cursor(&rows, limit, |row| row.event_number);
    retain_visible(&state, &caller, &query.tenant, &mut rows).await?;
    Ok(axum::Json(DeliveriesResponse { deliveries: rows.iter().map(DeliveryResponse::from_stored).collect(), next }))
}

/// Removes deliveries about agents whom the caller may not see.
async fn retain_visible(
    state: &ApiState,
    caller: &Caller,
    tenant: &TenantId,
    rows: &mut Vec<StoredDelivery>,
) -> Result<(), Problem> {
    if let Some(visible) = caller.visible_agents(state, tenant).await? {
        rows.retain(|row| row.agent.as_ref().is_none_or(|agent| visible.contains(agent)));
    }
    Ok(())
}

async fn deliveries_of_event(
    state: &ApiState,
    caller: &Caller,
    tenant: &TenantId,
    id: &EndpointId,
    event: EventId,
) -> Result<axum::Json<DeliveriesResponse>, Problem> {
    let stored = state.reader.event(tenant, event).await?.ok_or(OutboxError::NoEvent(event))?;
    let filter = DeliveryFilter { before: Some(stored.number + 1), ..DeliveryFilter::default() };
    let mut rows = state.reader.deliveries(tenant, id, &filter, 1).await?;
    retain_visible(state, caller, tenant, &mut rows).await?;
    let attempts = state.reader.delivery_attempts(tenant, id, stored.number).await?;
    let of_event = rows.iter().filter(|row| row.event == event);
    let deliveries = of_event.map(|row| DeliveryResponse::from_stored(row).with_attempts(&attempts)).collect();
    Ok(axum::Json(DeliveriesResponse { deliveries, next: None }))
}

async fn check_endpoint(state: &ApiState, tenant: &TenantId, id: &EndpointId) -> Result<(), Problem> {
    if state.reader.endpoints(tenant).await?.iter().any(|stored| stored.id == *id) {
        return Ok(());
    }
    Err(OutboxError::NoEndpoint { tenant: tenant.clone(), endpoint: id.clone() }.into())
}

/// The body of `POST …/retry`.
#[derive(Deserialize, Serialize, ToSchema)]
#[schema(as = WebhookRetry)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RetryBody {
    tenant: TenantId,
    event: EventId,
}

has_tenant!(RetryBody, RecoverBody, TestBody, RotateBody);

/// Send one event again
///
/// 409 when it waits behind an earlier one of its agent.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/{id}/retry",
    tag = "webhooks",
    operation_id = "retry_webhook",
    params(("id" = EndpointId, Path, description = "The endpoint."), IdempotencyKeyHeader),
    request_body = RetryBody,
    responses((status = 200, description = "what was done", body = RetryResult))
)]
pub(in crate::http) async fn retry(
    State(state): State<ApiState>,
    Path(id): Path<EndpointId>,
    AuthorizedRequest { caller, tenant, body, key }: AuthorizedRequest<RetryBody>,
) -> Result<Response, Problem> {
    let (outbox, actor) = (state.outbox.clone(), caller.id());
    let work = async move { Ok(outbox.retry(&body.tenant, &id, body.event, actor).await?) };
    run_once(&state, &caller, Some(&tenant), key, StatusCode::OK, work).await
}

/// The body of `POST …/recover`.
#[derive(Deserialize, Serialize, ToSchema)]
#[schema(as = WebhookRecover)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RecoverBody {
    tenant: TenantId,
    since: UtcMicros,
}

/// Try again what was given up since an instant
///
/// And enable the endpoint. Repeating it finds nothing left to do.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/{id}/recover",
    tag = "webhooks",
    operation_id = "recover_webhook",
    params(("id" = EndpointId, Path, description = "The endpoint."), IdempotencyKeyHeader),
    request_body = RecoverBody,
    responses((status = 200, description = "what was done", body = RecoveryResult))
)]
pub(in crate::http) async fn recover(
    State(state): State<ApiState>,
    Path(id): Path<EndpointId>,
    AuthorizedRequest { caller, tenant, body, key }: AuthorizedRequest<RecoverBody>,
) -> Result<Response, Problem> {
    let (outbox, actor) = (state.outbox.clone(), caller.id());
    let work = async move { Ok(outbox.recover(&body.tenant, &id, body.since, actor).await?) };
    run_once(&state, &caller, Some(&tenant), key, StatusCode::OK, work).await
}

/// How a test ended.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookTested)]
pub(in crate::http) struct TestDeliveryResponse {
    /// The endpoint took it.
    delivered: bool,
    /// The HTTP status, where there was one.
    status_code: Option<u16>,
    /// Real milliseconds to its end.
    latency_ms: u64,
    /// What went wrong.
    error: Option<String>,
    /// The first kilobyte of the answer.
    answer: String,
}

/// The body of `POST …/test`.
#[derive(Deserialize, Serialize, ToSchema)]
#[schema(as = WebhookTest)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct TestBody {
    tenant: TenantId,
}

/// Send a test event once
///
/// The answer says how that ended.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/{id}/test",
    tag = "webhooks",
    operation_id = "test_webhook",
    params(("id" = EndpointId, Path, description = "The endpoint."), IdempotencyKeyHeader),
    request_body = TestBody,
    responses((status = 200, description = "how it ended", body = TestDeliveryResponse))
)]
pub(in crate::http) async fn test(
    State(state): State<ApiState>,
    Path(id): Path<EndpointId>,
    AuthorizedRequest { caller, tenant, body, key }: AuthorizedRequest<TestBody>,
) -> Result<Response, Problem> {
    let outbox = state.outbox.clone();
    let work = async move {
        let attempt = outbox.test(&body.tenant, &id).await?;
        Ok(TestDeliveryResponse {
            delivered: attempt.status_code.is_some_and(|code| (200..300).contains(&code)),
            status_code: attempt.status_code,
            latency_ms: attempt.latency_ms,
            error: attempt.error,
            answer: attempt.answer,
        })
    };
    run_once(&state, &caller, Some(&tenant), key, StatusCode::OK, work).await
}

/// The body of `POST …/rotate`.
#[derive(Deserialize, Serialize, ToSchema)]
#[schema(as = WebhookRotate)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RotateBody {
    /// In whose audit chain it stands.
    tenant: TenantId,
    /// The old key is known to others: it stops at once.
    #[serde(default)]
    drop_old: bool,
}

/// A key that was changed.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookRotated)]
pub(in crate::http) struct RotatedKeyResponse {
    /// The endpoint.
    id: EndpointId,
    /// Until when the old key signs beside the new one; null where it was dropped.
    previous_until: Option<UtcMicros>,
    /// The daemon signs with the new key; where not, it will once it has read its configuration again.
    in_force: bool,
}

/// Put a new signing key in the place of the old one
///
/// In the file of the secret, whose first line then is what the receiver has to be given: no key is ever answered. The old key signs
/// too for a day, unless it is dropped. It takes the right at every tenant that the endpoint serves, and a secret in a file that the daemon
/// may write; 409 says what to do where it is not.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/{id}/rotate",
    tag = "webhooks",
    operation_id = "rotate_webhook",
    params(("id" = EndpointId, Path, description = "The endpoint."), IdempotencyKeyHeader),
    request_body = RotateBody,
    responses((status = 200, description = "the new key is there", body = RotatedKeyResponse))
)]
pub(in crate::http) async fn rotate(
    State(state): State<ApiState>,
    Path(id): Path<EndpointId>,
    AuthorizedRequest { caller, tenant, body, key }: AuthorizedRequest<RotateBody>,
) -> Result<Response, Problem> {
    check_endpoint(&state, &tenant, &id).await?;
    for other in state.keepers.tenants().ids() {
        if state.outbox.endpoints(&other).contains(&id) && caller.check(&state, Right::Webhooks, &other).is_err() {
            let detail =
                "the endpoint serves other tenants too, and its key is one for all: it takes the right at every one";
            return Err(Problem::from_code(Code::NotPermitted, detail));
        }
    }
    let (rotator, actor) = (state.key_rotator.clone(), format!("person:{}", caller.id()));
    let work = async move {
        let request = KeyRotationRequest { id: id.clone(), tenant: body.tenant, drop_old: body.drop_old, actor };
        let rotated = rotator.rotate(request).await.map_err(rotation_problem)?;
        let KeyRotation { previous_until, in_force } = rotated;
        Ok(RotatedKeyResponse { id, previous_until, in_force })
    };
    run_once(&state, &caller, Some(&tenant), key, StatusCode::OK, work).await
}

fn rotation_problem(refused: KeyRotationError) -> Problem {
    let detail = refused.to_string();
    match refused {
        KeyRotationError::UnknownEndpoint => Problem::from_code(Code::NoSuchWebhook, detail),
        KeyRotationError::NotRotatable(_) => Problem::from_code(Code::SecretNotWritable, detail),
        KeyRotationError::TooSoon(_) => Problem::from_code(Code::RotatedRecently, detail),
        KeyRotationError::Store(cause) => store_unavailable(cause, "a change of a key could not be recorded", detail),
    }
}
