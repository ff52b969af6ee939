//! Webhooks: how endpoints are, what was delivered and what was not, and what people ask of them.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::delivery::{ParkedFor, STATUS_NAMES};
use crate::domain::ids::{EndpointId, EventId, TenantId};
use crate::domain::time::UtcMicros;
use crate::engine::deliver::OutboxError;
use crate::http::ApiState;
use crate::http::auth::{Caller, Right};
use crate::http::problem::Problem;
use crate::http::request_key::{RequestKey, answer, once};
use crate::store::{AttemptWrite, Backlog, DeliveryFilter, PAGE_LIMIT, StoredDelivery, StoredEndpoint};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct OfTenant {
    tenant: TenantId,
}

/// Every endpoint that serves the tenant, with how it is and what it has before it.
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    query: Result<Query<OfTenant>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(OfTenant { tenant }) = query?;
    caller.check(&state, Right::Read, &tenant)?;
    let serving = state.outbox.endpoints(&tenant);
    let mut webhooks = Vec::new();
    for stored in state.reader.endpoints(&tenant).await? {
        let backlog = state.reader.backlog(&tenant, &stored.id).await?;
        webhooks.push(endpoint(&stored, backlog, serving.contains(&stored.id)));
    }
    Ok(Json(json!({ "webhooks": webhooks })))
}

/// How an endpoint is; the command line prints the same.
pub fn endpoint(stored: &StoredEndpoint, backlog: Backlog, configured: bool) -> Value {
    let status = match (configured, stored.disabled, stored.failing_since) {
        (false, _, _) => "removed",
        (true, Some(_), _) => "disabled",
        (true, None, Some(_)) => "failing",
        (true, None, None) => "healthy",
    };
    json!({
        "id": stored.id,
        "status": status,
        "created_at": stored.created_at,
        "failing_since": stored.failing_since,
        "last_error": stored.last_error,
        "disabled_at": stored.disabled.map(|(at, _)| at),
        "disabled_for": stored.disabled.map(|(_, why)| why.name()),
        "waiting": backlog.waiting,
        "parked": backlog.parked,
        "unread": backlog.unread,
    })
}

/// Filters of the list; `cursor` is the `next` of the page before.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ListQuery {
    tenant: TenantId,
    status: Option<String>,
    since: Option<UtcMicros>,
    event: Option<EventId>,
    cursor: Option<u64>,
    limit: Option<u32>,
}

/// Deliveries of an endpoint, the newest event first; with `event`, that one alone and its attempts.
pub(in crate::http) async fn deliveries(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<EndpointId>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(query) = query?;
    caller.check(&state, Right::Read, &query.tenant)?;
    known(&state, &query.tenant, &id).await?;
    if let Some(event) = query.event {
        return one(&state, &query.tenant, &id, event).await;
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
    let limit = query.limit.unwrap_or(100).clamp(1, PAGE_LIMIT);
    let filter = DeliveryFilter { status, since: query.since, before: query.cursor };
    let rows = state.reader.deliveries(&query.tenant, &id, &filter, limit).await?;
    let full = rows.len() == limit as usize;
    let next = rows.last().filter(|_| full).map(|row| row.event_number);
    Ok(Json(json!({"deliveries": rows.iter().map(delivery).collect::<Vec<_>>(), "next": next})))
}

async fn one(state: &ApiState, tenant: &TenantId, id: &EndpointId, event: EventId) -> Result<Json<Value>, Problem> {
    let stored = state.reader.event(tenant, event).await?.ok_or(OutboxError::NoEvent(event))?;
    let filter = DeliveryFilter { before: Some(stored.number + 1), ..DeliveryFilter::default() };
    let rows = state.reader.deliveries(tenant, id, &filter, 1).await?;
    let attempts = state.reader.delivery_attempts(tenant, id, stored.number).await?;
    let mut rows: Vec<Value> = rows.iter().filter(|row| row.event == event).map(delivery).collect();
    for row in rows.iter_mut().filter_map(Value::as_object_mut) {
        row.insert("attempt_log".to_owned(), attempts.iter().map(attempt).collect());
    }
    Ok(Json(json!({"deliveries": rows, "next": null})))
}

/// A delivery in a list; the command line prints the same.
pub fn delivery(row: &StoredDelivery) -> Value {
    json!({
        "event": row.event,
        "at": row.at,
        "kind": row.kind.selector(),
        "agent": row.agent,
        "sequence": row.sequence,
        "status": row.status,
        "attempts": row.attempts,
        "next_at": row.next_at,
        "settled_at": row.settled_at,
        "parked_for": row.parked_for.map(ParkedFor::name),
    })
}

/// An attempt; the command line prints the same.
pub fn attempt(row: &AttemptWrite) -> Value {
    json!({
        "attempt": row.attempt,
        "sent_at": row.sent_at,
        "latency_ms": row.latency_ms,
        "status_code": row.status_code,
        "error": row.error,
        "answer": row.answer,
    })
}

async fn known(state: &ApiState, tenant: &TenantId, id: &EndpointId) -> Result<(), Problem> {
    if state.reader.endpoints(tenant).await?.iter().any(|stored| stored.id == *id) {
        return Ok(());
    }
    Err(OutboxError::NoEndpoint { tenant: tenant.clone(), endpoint: id.clone() }.into())
}

/// The body of `POST …/retry`.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RetryBody {
    tenant: TenantId,
    event: EventId,
}

/// Sends one event again.
pub(in crate::http) async fn retry(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<EndpointId>,
    key: RequestKey,
    body: Result<Json<RetryBody>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(body) = body?;
    caller.check(&state, Right::Change, &body.tenant)?;
    let (key, tenant) = (key.with_json(&body)?, body.tenant.clone());
    let (outbox, actor) = (state.outbox.clone(), caller.id());
    let work = async move {
        let retried = outbox.retry(&body.tenant, &id, body.event, actor).await?;
        Ok(answer(StatusCode::OK, &json!(retried)))
    };
    once(&state, &caller, Some(&tenant), key, work).await
}

/// The body of `POST …/recover`.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RecoverBody {
    tenant: TenantId,
    since: UtcMicros,
}

/// Tries again what was given up of events since an instant, and enables the endpoint. Repeating it finds nothing left to do.
pub(in crate::http) async fn recover(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<EndpointId>,
    key: RequestKey,
    body: Result<Json<RecoverBody>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(body) = body?;
    caller.check(&state, Right::Change, &body.tenant)?;
    let (key, tenant) = (key.with_json(&body)?, body.tenant.clone());
    let (outbox, actor) = (state.outbox.clone(), caller.id());
    let work = async move {
        let recovered = outbox.recover(&body.tenant, &id, body.since, actor).await?;
        Ok(answer(StatusCode::OK, &json!(recovered)))
    };
    once(&state, &caller, Some(&tenant), key, work).await
}

/// The body of `POST …/test`.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct TestBody {
    tenant: TenantId,
}

/// Sends a test event once, and answers with how that ended.
pub(in crate::http) async fn test(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<EndpointId>,
    key: RequestKey,
    body: Result<Json<TestBody>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(body) = body?;
    caller.check(&state, Right::Change, &body.tenant)?;
    let (key, tenant, outbox) = (key.with_json(&body)?, body.tenant.clone(), state.outbox.clone());
    let work = async move {
        let attempt = outbox.test(&body.tenant, &id).await?;
        let delivered = attempt.status_code.is_some_and(|code| (200..300).contains(&code));
        let shape = json!({
            "delivered": delivered,
            "status_code": attempt.status_code,
            "latency_ms": attempt.latency_ms,
            "error": attempt.error,
            "answer": attempt.answer,
        });
        Ok(answer(StatusCode::OK, &shape))
    };
    once(&state, &caller, Some(&tenant), key, work).await
}
