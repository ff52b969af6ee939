//! Errors as RFC 9457 problem documents with a stable `code`. What goes wrong inside is logged here, once, and not told.

use std::any::Any;

use axum::Json;
use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::BODY_LIMIT;
use crate::domain::import::LARGEST_FILE;
use crate::engine::deliver::OutboxError;
use crate::engine::door::DoorError;
use crate::engine::jobs::RunRefused;
use crate::store::ReadError;

/// An answer that says what went wrong and what to do about it.
#[derive(Clone, PartialEq, Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    more: Map<String, Value>,
    retry_after_s: Option<u32>,
}

impl Problem {
    /// `code` is stable; `detail` is for a person.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), more: Map::new(), retry_after_s: None }
    }

    /// 400 with what is wrong.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", detail)
    }

    /// The status of the answer.
    pub(super) const fn status(&self) -> StatusCode {
        self.status
    }

    /// With one more member.
    #[must_use]
    pub fn with(mut self, key: &str, value: Value) -> Self {
        self.more.insert(key.to_owned(), value);
        self
    }

    /// With a `Retry-After`.
    #[must_use]
    pub(super) fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
        });
        if let Some(fields) = body.as_object_mut() {
            fields.extend(self.more);
        }
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<DoorError> for Problem {
    fn from(error: DoorError) -> Self {
        let detail = error.to_string();
        match error {
            DoorError::NoTenant(_) => Self::new(StatusCode::NOT_FOUND, "no_such_tenant", detail),
            DoorError::KeyReused => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail),
            DoorError::NotSettable { .. } => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "state_not_settable", detail),
            DoorError::TooMany { .. } => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "too_many_agents", detail),
            DoorError::NotRecordable(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", detail).retry_after(2)
            }
            DoorError::Unavailable => Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail).retry_after(2),
        }
    }
}

impl From<RunRefused> for Problem {
    fn from(refused: RunRefused) -> Self {
        let detail = refused.to_string();
        match refused {
            RunRefused::Unknown { .. } => Self::new(StatusCode::NOT_FOUND, "no_such_job", detail),
            RunRefused::Running { run, .. } => {
                Self::new(StatusCode::CONFLICT, "job_running", detail).with("run", run.into())
            }
            RunRefused::Unavailable => Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail).retry_after(2),
        }
    }
}

impl From<OutboxError> for Problem {
    fn from(error: OutboxError) -> Self {
        let detail = error.to_string();
        match error {
            OutboxError::NoEndpoint { .. } => Self::new(StatusCode::NOT_FOUND, "no_such_webhook", detail),
            OutboxError::NoEvent(_) => Self::new(StatusCode::NOT_FOUND, "no_such_event", detail),
            OutboxError::Behind { .. } => Self::new(StatusCode::CONFLICT, "behind_another", detail),
            OutboxError::Unavailable => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail).retry_after(2)
            }
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        let cause = anyhow::Error::from(error);
        tracing::error!(error = format!("{cause:#}"), "a request could not read the store");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "store_unreadable", "the store could not be read; see the log")
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        bad_body(rejection.status(), rejection.body_text())
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        bad_body(rejection.status(), rejection.body_text())
    }
}

fn bad_body(status: StatusCode, text: String) -> Problem {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let detail = format!(
                "the body is too large: a schedule file may have {} MiB (import it in parts), anything else {} MiB",
                LARGEST_FILE >> 20,
                BODY_LIMIT >> 20,
            );
            Problem::new(status, "body_too_large", detail)
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            Problem::new(status, "not_json", "send the body as JSON, with the header `Content-Type: application/json`")
        }
        _ => Problem::new(status, "bad_body", text),
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::bad_request(rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_request(rejection.body_text())
    }
}

pub(super) async fn no_such_place(uri: Uri) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no_such_place", format!("nothing is served at {}", uri.path()))
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not take {method}; the Allow header names what it takes", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

/// What a request that was not answered in time becomes: the layer that ends it knows the status alone.
pub(super) async fn ended(response: Response) -> Response {
    if response.status() != StatusCode::REQUEST_TIMEOUT {
        return response;
    }
    let detail = "it was not answered in time and may have been carried out all the same: look before repeating it; what \
                  has an Idempotency-Key, and an import, may be repeated as it is";
    Problem::new(StatusCode::REQUEST_TIMEOUT, "not_in_time", detail).into_response()
}

#[expect(clippy::needless_pass_by_value, reason = "the layer hands the panic over")]
pub(super) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("of another type"), "a request handler panicked");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "something went wrong here; see the log")
        .into_response()
}
