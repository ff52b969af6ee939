//! Writes a reply: status, headers and body, changed by the fault that the call met.

use axum::body::Bytes;
use axum::http::header::{CONTENT_TYPE, DATE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::fmt::rfc2822::DateTimePrinter;
use serde_json::{Value, json};

use super::context::ServerContext;
use crate::domain::time::UtcMicros;
use crate::sim::call::Call;
use crate::sim::faults::FaultKind;
use crate::sim::incontact::operations::PublishedReply;
use crate::sim::incontact::trap::Trap;
use crate::sim::rules::{CallResult, Operation, Reply, TokenStyle};
use crate::sim::wire;

/// The header in which older published services say what an error is.
const STATUS_DESCRIPTION: HeaderName = HeaderName::from_static("icstatusdescription");

/// Returns the complete answer of a call, or `None` if there is none.
pub(super) fn write_response(
    context: &ServerContext,
    operation: Operation,
    call: &Call,
    served: &CallResult,
    now: UtcMicros,
) -> Option<(Response, Bytes)> {
    let reply = served.reply.as_ref()?;
    let fault = served.fault.as_ref().map(|fault| fault.kind);
    let traps = context.lock_state().traps.clone();
    let is_header_only = traps.has(Trap::StatusHeader) && matches!(operation, Operation::Published(_));
    let mut bytes = match reply {
        Reply::Problem(_) if is_header_only => Bytes::new(),
        _ => response_body(context, operation, call, served, reply),
    };
    if fault == Some(FaultKind::Truncated) {
        bytes.truncate(bytes.len() / 2);
    }
    let status = StatusCode::from_u16(reply.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = status.into_response();
    let headers = response.headers_mut();
    let kind = if matches!(reply, Reply::Page) { "text/html; charset=utf-8" } else { "application/json" };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Reply::Problem(problem) = reply {
        let is_told = problem.status != 429 || !traps.has(Trap::NoRetryAfter);
        if let Some(seconds) = problem.retry_after.filter(|_| is_told) {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if is_header_only && let Ok(text) = HeaderValue::try_from(problem.message.as_str()) {
            headers.insert(STATUS_DESCRIPTION, text);
        }
    }
    if let Some(date) = date_header(now.offset(served.clock_error.skew_ms.saturating_mul(1000))) {
        headers.insert(DATE, date);
    }
    Some((response, bytes))
}

/// Formats an instant as a `Date` header (RFC 9110). Returns `None` for years that the format does not cover.
pub(super) fn date_header(at: UtcMicros) -> Option<HeaderValue> {
    let text = DateTimePrinter::new().timestamp_to_rfc9110_string(&at.timestamp()).ok()?;
    HeaderValue::try_from(text).ok()
}

fn response_body(
    context: &ServerContext,
    operation: Operation,
    call: &Call,
    served: &CallResult,
    reply: &Reply,
) -> Bytes {
    let clock_error = served.clock_error;
    let user = || Value::from(call.subject.as_str());
    let fault = served.fault.as_ref().map(|fault| fault.kind);
    let value = match reply {
        Reply::Page => return Bytes::from_static(wire::HTML_PAGE.as_bytes()),
        Reply::SkillData { requested, figures, with_idle } => {
            wire::skill_data(requested, &context.lock_state().skills, figures, *with_idle, fault)
        }
        Reply::Queues => wire::queue_list(&context.lock_state().skills),
        Reply::QueueFigures { requested, figures } => {
            wire::queue_figures(requested, &context.lock_state().skills, figures, fault)
        }
        Reply::Submitted(id) => json!({ "id": id, "status": "PENDING" }),
        Reply::QueryResult(value) | Reply::Published(PublishedReply { body: Some(value), .. }) => value.clone(),
        // The connection becomes a feed, which has no body.
        Reply::Feed(_) | Reply::Published(PublishedReply { body: None, .. }) => return Bytes::new(),
        Reply::Snapshot(snapshot) => {
            let random = context.lock_state().random.clone();
            return wire::snapshot_body(snapshot, clock_error, fault, &random);
        }
        Reply::Problem(problem) => match operation {
            Operation::Published(published) => published.problem_body(problem),
            _ => problem.body(matches!(operation, Operation::Token(_))),
        },
        Reply::Token { token, expires_in, scopes, style, tenant } => {
            // Guides 000 and 002 spell the type differently, and a client must accept either.
            let token_type = match style {
                TokenStyle::Body | TokenStyle::Legacy => "bearer",
                TokenStyle::Basic => "Bearer",
            };
            let mut value = json!({ "access_token": token, "token_type": token_type, "expires_in": expires_in });
            match style {
                TokenStyle::Body => {}
                TokenStyle::Basic => {
                    let names: Vec<_> = scopes.iter().map(|scope| scope.name()).collect();
                    value["scope"] = names.join(" ").into();
                }
                TokenStyle::Legacy => value["resource_server_base_uri"] = context.unit_base(tenant.as_str()).into(),
            }
            value
        }
        Reply::Shift { active } => {
            json!({ "userId": user(), "status": if *active { "ACTIVE" } else { "INACTIVE" } })
        }
        Reply::Break { required } => json!({ "userId": user(), "mandatoryBreakRequired": required }),
        Reply::Accepted { state, reason, at } => json!({
            "userId": user(),
            "state": state,
            "reasonCode": reason,
            "acceptedTimestamp": wire::instant_text(*at, clock_error.skew_ms),
        }),
        Reply::Subscribed { id, interval } => {
            let interval = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
            json!({ "subscriptionId": id, "status": "active", "interval": interval })
        }
    };
    value.to_string().into()
}
