//! The `Idempotency-Key` header of a request, and the response stored under it.

use std::future::Future;
use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use utoipa::IntoParams;

use super::etag::Version;
use super::extract::Json;
use crate::domain::ids::TenantId;
use crate::engine::changes::idempotency::StoredResponse;
use crate::engine::changes::request::IdempotencyKey;
use crate::http::auth::Caller;
use crate::http::problem::Problem;
use crate::http::state::ApiState;

/// The longest accepted key, in characters.
const MAX_KEY_CHARS: usize = 1000;

/// The idempotency key of a request, if it has one, with the method and path.
pub(in crate::http) struct RequestKey {
    key: Option<String>,
    route: String,
}

impl FromRequestParts<ApiState> for RequestKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &ApiState) -> Result<Self, Problem> {
        let key = parts.headers.get("idempotency-key").map(|key| {
            let key = key.to_str().ok().filter(|key| !key.is_empty() && key.len() <= MAX_KEY_CHARS);
            let wrong = || Problem::bad_request("Idempotency-Key: expects 1 to 1000 visible ASCII characters");
            key.map(str::to_owned).ok_or_else(wrong)
        });
        let path = parts.uri.path_and_query().map_or("", |place| place.as_str());
        Ok(Self { key: key.transpose()?, route: format!("{} {path}", parts.method) })
    }
}

impl RequestKey {
    /// Returns the key with a hash of the whole request, or `None` if the request has no key.
    pub(in crate::http) fn into_key(self, body: &[u8]) -> Option<IdempotencyKey> {
        let hash = Sha256::new().chain_update(self.route).chain_update([0]).chain_update(body);
        self.key.map(|key| IdempotencyKey { key, request_hash: hash.finalize().into() })
    }
}

/// A JSON body, and the idempotency key of its request. The layout of the JSON makes no difference to the key.
pub(in crate::http) struct KeyedJson<T> {
    pub(in crate::http) body: T,
    pub(in crate::http) key: Option<IdempotencyKey>,
}

impl<T> FromRequest<ApiState> for KeyedJson<T>
where
    T: Serialize + DeserializeOwned,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let key = RequestKey::from_request_parts(&mut parts, state).await?;
        let Json(body) = Json::<T>::from_request(Request::from_parts(parts, body), state).await?;
        let text = serde_json::to_vec(&body).map_err(|_| Problem::bad_request("the body cannot be read"))?;
        Ok(Self { body, key: key.into_key(&text) })
    }
}

/// Creates the response of a handler whose work does not store the response itself.
pub(in crate::http) fn json_answer(status: StatusCode, body: &impl Serialize) -> StoredResponse {
    let body = serde_json::to_string(body).unwrap_or_else(|error| {
        // The types are ours and have text for keys.
        tracing::error!(%error, "defect: an answer cannot be encoded");
        "null".to_owned()
    });
    StoredResponse { status: status.as_u16(), body, is_stored: false }
}

/// The header as documented; [`RequestKey`] reads it.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it describes what `RequestKey` reads")]
pub(in crate::http) struct IdempotencyKeyHeader {
    /// A key that makes it safe to repeat the request: for one day, requests with the same key are carried out once,
    /// and repetitions get the first response.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 1000, pattern = "^[!-~]+$")]
    key: Option<String>,
}

/// Carries out a request, only once if it has a key, and answers with the result as JSON. The caller's rights must have
/// been checked.
pub(in crate::http) async fn run_once<T: Serialize>(
    state: &ApiState,
    caller: &Caller,
    tenant: Option<&TenantId>,
    key: Option<IdempotencyKey>,
    status: StatusCode,
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<Response, Problem> {
    let work = Box::pin(async move { Ok(json_answer(status, &work.await?)) });
    run_once_for_answer(state, caller, tenant, key, work).await
}

/// Like [`run_once`], for work that makes the answer itself.
pub(in crate::http) async fn run_once_for_answer(
    state: &ApiState,
    caller: &Caller,
    tenant: Option<&TenantId>,
    key: Option<IdempotencyKey>,
    work: impl Future<Output = Result<StoredResponse, Problem>> + Send + 'static,
) -> Result<Response, Problem> {
    Ok(answer_response(Box::pin(run_idempotent(state, caller, tenant, key, work)).await?))
}

/// Like [`run_once_for_answer`], with the `version` in the response's body as its `ETag`.
pub(in crate::http) async fn run_once_versioned(
    state: &ApiState,
    caller: &Caller,
    tenant: Option<&TenantId>,
    key: Option<IdempotencyKey>,
    work: impl Future<Output = Result<StoredResponse, Problem>> + Send + 'static,
) -> Result<Response, Problem> {
    let answer = Box::pin(run_idempotent(state, caller, tenant, key, work)).await?;
    let version = version_of(&answer);
    let mut response = answer_response(answer);
    response.headers_mut().extend(version.map(|version| version.header()));
    Ok(response)
}

/// Returns the version in the response's body, a text or a number; a response about a deleted object has none.
fn version_of(answer: &StoredResponse) -> Option<Version> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        version: serde_json::Value,
    }
    match serde_json::from_str(&answer.body).ok()? {
        Versioned { version: serde_json::Value::String(text) } => Some(Version::new(text)),
        Versioned { version: serde_json::Value::Number(number) } => Some(Version::new(number)),
        Versioned { .. } => None,
    }
}

async fn run_idempotent(
    state: &ApiState,
    caller: &Caller,
    tenant: Option<&TenantId>,
    key: Option<IdempotencyKey>,
    work: impl Future<Output = Result<StoredResponse, Problem>> + Send + 'static,
) -> Result<StoredResponse, Problem> {
    let token: Arc<str> = caller.idempotency_owner();
    match key {
        Some(key) => state.idempotency.run_once(tenant.cloned(), token, key, work).await,
        None => work.await,
    }
}

fn answer_response(answer: StoredResponse) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = (status, answer.body).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
