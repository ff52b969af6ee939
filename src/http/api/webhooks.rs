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
    /// The id of the tenant.
    tenant: TenantId,
}

/// The webhook endpoints of a tenant.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct WebhooksResponse {
    /// All endpoints that receive or have received events of the tenant.
    webhooks: Vec<EndpointResponse>,
}

/// The status of a webhook endpoint. The command line prints the same fields.
#[derive(Serialize, ToSchema)]
#[schema(as = Webhook)]
pub struct EndpointResponse {
    /// The id of the endpoint in the configuration.
    id: EndpointId,
    /// The status: `healthy`, `failing`, `disabled`, or `removed` if it is no longer in the configuration.
    status: &'static str,
    /// When the endpoint was first configured.
    created_at: UtcMicros,
    /// The first failure after the last success; null if the last attempt succeeded.
    failing_since: Option<UtcMicros>,
    /// The last error; null unless the endpoint is failing.
    last_error: Option<String>,
    /// When the endpoint was disabled; null if it is not.
    disabled_at: Option<UtcMicros>,
    /// Why the endpoint is disabled; null if it is not.
    disabled_for: Option<&'static str>,
    /// The number of deliveries that wait for an attempt.
    waiting: u64,
    /// The number of deliveries whose attempts have ended without success.
    parked: u64,
    /// The number of events that the daemon has not read for this endpoint yet.
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

/// List webhook endpoints
///
/// Returns the endpoints of a tenant with their status and the number of waiting deliveries.
#[utoipa::path(
    get,
    path = "/api/v1/webhooks",
    tag = "webhooks",
    operation_id = "list_webhooks",
    params(TenantQuery),
    responses((status = 200, description = "The endpoints.", body = WebhooksResponse))
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
    /// The id of the tenant.
    tenant: TenantId,
    /// Only deliveries with this status: `waiting`, `delivered` or `parked`.
    status: Option<String>,
    /// Only deliveries of events that happened at this instant or later.
    since: Option<UtcMicros>,
    /// Only the delivery of this event, with its attempts.
    event: Option<EventId>,
    /// The `next` of the previous page; omit it for the first page.
    cursor: Option<u64>,
    /// The maximum number of deliveries to return, 1 to 500; 100 by default.
    limit: Option<u32>,
}

/// A page of deliveries.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct DeliveriesResponse {
    /// The deliveries; those of the newest events come first.
    deliveries: Vec<DeliveryResponse>,
    /// The `cursor` of the next page; null on the last page.
    next: Option<u64>,
}

/// A delivery of an event to an endpoint. The command line prints the same fields.
#[derive(Serialize, ToSchema)]
#[schema(as = Delivery)]
pub struct DeliveryResponse {
    /// The id of the event.
    event: EventId,
    /// When the event happened.
    at: UtcMicros,
    /// The kind of event, as endpoints select it.
    kind: &'static str,
    /// The id of the agent; null if the event is not about an agent.
    agent: Option<AgentId>,
    /// The number of the event among the agent's events; null if the event is not about an agent.
    sequence: Option<u64>,
    /// The status: `waiting`, `delivered` or `parked`.
    status: &'static str,
    /// The total number of attempts.
    attempts: u32,
    /// When the next attempt is due; null if the delivery waits for an earlier event of the same agent, or has ended.
    next_at: Option<UtcMicros>,
    /// When the delivery ended; null while it waits.
    settled_at: Option<UtcMicros>,
    /// Why the delivery is parked; null if it is not.
    parked_for: Option<&'static str>,
    /// The attempts, if a single event was requested; otherwise left out.
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

/// An attempt to deliver an event. The command line prints the same fields.
#[derive(Serialize, ToSchema)]
#[schema(as = DeliveryAttempt)]
pub struct DeliveryAttemptResponse {
    /// The number of the attempt, from 1.
    attempt: u32,
    /// When the attempt was sent.
    sent_at: UtcMicros,
    /// Milliseconds of real time until the attempt ended.
    latency_ms: u64,
    /// The HTTP status of the response; null if there was no response.
    status_code: Option<u16>,
    /// What went wrong; null if the attempt succeeded.
    error: Option<String>,
    /// The first kilobyte of the response.
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

/// List the deliveries of an endpoint
///
/// The deliveries of the newest events come first. With `event`, only the delivery of that event is returned, with its
/// attempts.
#[utoipa::path(
    get,
    path = "/api/v1/webhooks/{id}/deliveries",
    tag = "webhooks",
    operation_id = "list_deliveries",
    params(("id" = EndpointId, Path, description = "The id of the endpoint."), DeliveryListQuery),
    responses((status = 200, description = "A page of deliveries.", body = DeliveriesResponse))
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

/// A request to resend an event.
#[derive(Deserialize, Serialize, ToSchema)]
#[schema(as = WebhookRetry)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RetryBody {
    /// The id of the tenant.
    tenant: TenantId,
    /// The id of the event.
    event: EventId,
}

has_tenant!(RetryBody, RecoverBody, TestBody, RotateBody);

/// Resend an event
///
/// The response is 409 if the event has to wait for an earlier event of the same agent.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/{id}/retry",
    tag = "webhooks",
    operation_id = "retry_webhook",
    params(("id" = EndpointId, Path, description = "The id of the endpoint."), IdempotencyKeyHeader),
    request_body = RetryBody,
    responses((status = 200, description = "What was done.", body = RetryResult))
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

/// A request to retry parked deliveries.
#[derive(Deserialize, Serialize, ToSchema)]
#[schema(as = WebhookRecover)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RecoverBody {
    /// The id of the tenant.
    tenant: TenantId,
    /// Parked deliveries of events that happened at this instant or later are retried.
    since: UtcMicros,
}

/// Recover an endpoint
///
/// Enables the endpoint and retries the parked deliveries of events since an instant. Repeating the request has no
/// further effect.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/{id}/recover",
    tag = "webhooks",
    operation_id = "recover_webhook",
    params(("id" = EndpointId, Path, description = "The id of the endpoint."), IdempotencyKeyHeader),
    request_body = RecoverBody,
    responses((status = 200, description = "What was done.", body = RecoveryResult))
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

/// The result of a test delivery.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookTested)]
pub(in crate::http) struct TestDeliveryResponse {
    /// Whether the endpoint accepted the event.
    delivered: bool,
    /// The HTTP status of the response; null if there was no response.
    status_code: Option<u16>,
    /// Milliseconds of real time until the attempt ended.
    latency_ms: u64,
    /// What went wrong; null if the delivery succeeded.
    error: Option<String>,
    /// The first kilobyte of the response.
    answer: String,
}

/// A request to test an endpoint.
#[derive(Deserialize, Serialize, ToSchema)]
#[schema(as = WebhookTest)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct TestBody {
    /// The id of the tenant.
    tenant: TenantId,
}

/// Send a test event
///
/// Sends a test event once. The response has the result.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/{id}/test",
    tag = "webhooks",
    operation_id = "test_webhook",
    params(("id" = EndpointId, Path, description = "The id of the endpoint."), IdempotencyKeyHeader),
    request_body = TestBody,
    responses((status = 200, description = "The result of the test.", body = TestDeliveryResponse))
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

/// A request to rotate an endpoint's signing key.
#[derive(Deserialize, Serialize, ToSchema)]
#[schema(as = WebhookRotate)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RotateBody {
    /// The id of the tenant whose audit chain records the rotation.
    tenant: TenantId,
    /// Whether the old key stops signing at once, for a key that has been disclosed.
    #[serde(default)]
    drop_old: bool,
}

/// The result of a key rotation.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookRotated)]
pub(in crate::http) struct RotatedKeyResponse {
    /// The id of the endpoint.
    id: EndpointId,
    /// The time until which deliveries are also signed with the old key; null if it was dropped.
    previous_until: Option<UtcMicros>,
    /// Whether the daemon already signs with the new key. If not, it does so after it has reloaded its configuration.
    in_force: bool,
}

/// Rotate an endpoint's signing key
///
/// Writes a new key to the first line of the secret's file, from where the receiver has to get it: the API never
/// returns keys. For a day, deliveries are signed with the old key too, unless `drop_old` is set. The caller needs the
/// right for every tenant that the endpoint serves, and the secret must be in a file that the daemon may write;
/// otherwise the response is 409 and says what to do.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/{id}/rotate",
    tag = "webhooks",
    operation_id = "rotate_webhook",
    params(("id" = EndpointId, Path, description = "The id of the endpoint."), IdempotencyKeyHeader),
    request_body = RotateBody,
    responses((status = 200, description = "The key was rotated.", body = RotatedKeyResponse))
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
