//! The `Idempotency-Key` of a request: what it stands for, and the answer under it.

use std::future::Future;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::IntoParams;

use super::ApiState;
use super::auth::Caller;
use super::etag::Version;
use super::problem::Problem;
use crate::domain::ids::TenantId;
use crate::engine::changes::door::IdempotencyKey;
use crate::engine::changes::repeats::Answer;

/// Longest accepted key.
const LONGEST_KEY: usize = 1000;

/// The key of a request that has one, and where the request goes.
pub(super) struct RequestKey {
    key: Option<String>,
    route: String,
}

impl FromRequestParts<ApiState> for RequestKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &ApiState) -> Result<Self, Problem> {
        let key = parts.headers.get("idempotency-key").map(|key| {
            let key = key.to_str().ok().filter(|key| !key.is_empty() && key.len() <= LONGEST_KEY);
            let wrong = || Problem::bad_request("Idempotency-Key holds 1 to 1000 visible ASCII characters");
            key.map(str::to_owned).ok_or_else(wrong)
        });
        let place = parts.uri.path_and_query().map_or("", |place| place.as_str());
        Ok(Self { key: key.transpose()?, route: format!("{} {place}", parts.method) })
    }
}

impl RequestKey {
    /// With a hash of all that was asked; none where the request has no key.
    pub(super) fn with(self, body: &[u8]) -> Option<IdempotencyKey> {
        let hash = Sha256::new().chain_update(self.route).chain_update([0]).chain_update(body);
        self.key.map(|key| IdempotencyKey { key, request_hash: hash.finalize().into() })
    }

    /// The same of a body that was read already: how it was laid out makes no difference.
    pub(super) fn with_json(self, body: &impl Serialize) -> Result<Option<IdempotencyKey>, Problem> {
        let body = serde_json::to_vec(body).map_err(|_| Problem::bad_request("the body cannot be read"))?;
        Ok(self.with(&body))
    }
}

/// The answer of a handler whose work the store does not know.
pub(super) fn answer(status: StatusCode, body: &impl Serialize) -> Answer {
    let body = serde_json::to_string(body).unwrap_or_else(|error| {
        // The shapes are ours and have text for keys.
        tracing::error!(%error, "defect: an answer cannot be encoded");
        "null".to_owned()
    });
    Answer { status: status.as_u16(), body, kept: false }
}

/// The header, as the document describes it; [`RequestKey`] reads it.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it describes what `RequestKey` reads")]
pub(super) struct KeyHeader {
    /// What comes again under the same key within a day is done once, and the first answer comes again.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 1000, pattern = "^[!-~]+$")]
    key: Option<String>,
}

/// Does what is asked, under a key only once. Rights have been checked.
pub(super) async fn once(
    state: &ApiState,
    caller: &Caller,
    tenant: Option<&TenantId>,
    key: Option<IdempotencyKey>,
    work: impl Future<Output = Result<Answer, Problem>> + Send + 'static,
) -> Result<Response, Problem> {
    Ok(told(Box::pin(carried_out(state, caller, tenant, key, work)).await?))
}

/// As [`once`], with the `version` of what is answered as its `ETag`.
pub(super) async fn once_versioned(
    state: &ApiState,
    caller: &Caller,
    tenant: Option<&TenantId>,
    key: Option<IdempotencyKey>,
    work: impl Future<Output = Result<Answer, Problem>> + Send + 'static,
) -> Result<Response, Problem> {
    let answer = Box::pin(carried_out(state, caller, tenant, key, work)).await?;
    let version = version_of(&answer);
    let mut response = told(answer);
    response.headers_mut().extend(version.map(|version| version.header()));
    Ok(response)
}

/// A text or a number; what is gone has none.
fn version_of(answer: &Answer) -> Option<Version> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        version: serde_json::Value,
    }
    match serde_json::from_str(&answer.body).ok()? {
        Versioned { version: serde_json::Value::String(text) } => Some(Version::of(text)),
        Versioned { version: serde_json::Value::Number(number) } => Some(Version::of(number)),
        Versioned { .. } => None,
    }
}

async fn carried_out(
    state: &ApiState,
    caller: &Caller,
    tenant: Option<&TenantId>,
    key: Option<IdempotencyKey>,
    work: impl Future<Output = Result<Answer, Problem>> + Send + 'static,
) -> Result<Answer, Problem> {
    let token: Arc<str> = caller.owner();
    match key {
        Some(key) => state.repeats.once(tenant.cloned(), token, key, work).await,
        None => work.await,
    }
}

fn told(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = (status, answer.body).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
