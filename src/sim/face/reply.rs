//! Writes a reply: status, headers and body, coloured by the fault that the call met.

use axum::body::Bytes;
use axum::http::header::{CONTENT_TYPE, DATE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::fmt::rfc2822::DateTimePrinter;
use serde_json::{Value, json};

use super::Lobby;
use crate::domain::time::UtcMicros;
use crate::sim::faults::Kind;
use crate::sim::rules::{Ask, Call, Reply, Served, TokenStyle};
use crate::sim::wire;

/// The whole answer of a call, or none where there is to be none.
pub(super) fn write(
    lobby: &Lobby,
    ask: Ask,
    call: &Call,
    served: &Served,
    now: UtcMicros,
) -> Option<(Response, Bytes)> {
    let reply = served.reply.as_ref()?;
    let fault = served.fault.as_ref().map(|fault| fault.kind);
    let mut bytes = body(lobby, ask, call, served, reply);
    if fault == Some(Kind::Truncated) {
        bytes.truncate(bytes.len() / 2);
    }
    let status = StatusCode::from_u16(reply.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = status.into_response();
    let headers = response.headers_mut();
    let kind = if matches!(reply, Reply::Page) { "text/html; charset=utf-8" } else { "application/json" };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Reply::Problem(problem) = reply
        && let Some(seconds) = problem.retry_after
    {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(date) = date(now.offset(served.ambience.skew_ms.saturating_mul(1000))) {
        headers.insert(DATE, date);
    }
    Some((response, bytes))
}

/// An instant as a `Date` header (RFC 9110); none for years that it cannot write.
pub(super) fn date(at: UtcMicros) -> Option<HeaderValue> {
    let text = DateTimePrinter::new().timestamp_to_rfc9110_string(&at.timestamp()).ok()?;
    HeaderValue::try_from(text).ok()
}

fn body(lobby: &Lobby, ask: Ask, call: &Call, served: &Served, reply: &Reply) -> Bytes {
    let ambience = served.ambience;
    let user = || Value::from(call.subject.as_str());
    let fault = served.fault.as_ref().map(|fault| fault.kind);
    let value = match reply {
        Reply::Page => return Bytes::from_static(wire::PAGE.as_bytes()),
        Reply::SkillData { asked, figures, idle_too } => {
            wire::skill_data(asked, &lobby.stage().skills, figures, *idle_too, fault)
        }
        Reply::Queues => wire::queue_list(&lobby.stage().skills),
        Reply::QueueFigures { asked, figures } => wire::queue_figures(asked, &lobby.stage().skills, figures, fault),
        Reply::Submitted(id) => json!({ "id": id, "status": "PENDING" }),
        Reply::QueryResult(value) => value.clone(),
        // The connection speaks for itself from now on.
        Reply::Feed(_) => return Bytes::new(),
        Reply::Snapshot(snapshot) => {
            let dice = lobby.stage().dice.clone();
            return wire::snapshot(snapshot, ambience, fault, &dice);
        }
        Reply::Problem(problem) => problem.body(matches!(ask, Ask::Token(_))),
        Reply::Token { token, expires_in, scopes, style, tenant } => {
            // Guides 000 and 002 spell the type differently; a client has to take either.
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
                TokenStyle::Legacy => value["resource_server_base_uri"] = lobby.unit_base(tenant.as_str()).into(),
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
            "acceptedTimestamp": wire::instant(*at, ambience.skew_ms),
        }),
        Reply::Subscribed { id, interval } => {
            let interval = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
            json!({ "subscriptionId": id, "status": "active", "interval": interval })
        }
    };
    value.to_string().into()
}
