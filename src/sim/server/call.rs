//! Parses a request into a call.

use axum::Form;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::connection::ConnectionSignals;
use super::context::ServerContext;
use crate::sim::call::Call;
use crate::sim::wire::TokenForm;

/// The most characters of a path in the journal; longer paths are cut.
const MAX_LOGGED_PATH_CHARS: usize = 512;
const FORM_CONTENT_TYPE: &str = "application/x-www-form-urlencoded";

/// A call with the platform state and the connection that it came on.
pub(super) struct IncomingCall {
    pub(super) context: ServerContext,
    pub(super) signals: ConnectionSignals,
    pub(super) call: Call,
}

impl FromRequest<ServerContext> for IncomingCall {
    type Rejection = Response;

    async fn from_request(request: Request, context: &ServerContext) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let params =
            RawPathParams::from_request_parts(&mut parts, context).await.map_err(IntoResponse::into_response)?;
        let signals = parts.extensions.get::<ConnectionSignals>().cloned().unwrap_or_default();
        let mut call = Call {
            base_url: context.base_url.clone(),
            path: parts.uri.path().chars().take(MAX_LOGGED_PATH_CHARS).collect(),
            unit: param(&params, "unit"),
            subject: param(&params, "subject").unwrap_or_default(),
            bearer: credential(&parts.headers, "bearer"),
            basic: credential(&parts.headers, "basic"),
            form: None,
            body: Bytes::new(),
            raw_query: parts.uri.query().map(|query| query.chars().take(MAX_LOGGED_PATH_CHARS).collect()),
            query: Query::try_from_uri(&parts.uri).map(|Query(query)| query).unwrap_or_default(),
            upgrade: false,
        };
        let form = parts
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(FORM_CONTENT_TYPE.as_bytes()));
        let request = Request::from_parts(parts, body);
        if form {
            let Form(form) =
                Form::<TokenForm>::from_request(request, context).await.map_err(IntoResponse::into_response)?;
            call.form = Some(form);
        } else {
            call.body = Bytes::from_request(request, context).await.map_err(|error| {
                let status = error.status();
                (if status == StatusCode::PAYLOAD_TOO_LARGE { status } else { StatusCode::BAD_REQUEST }).into_response()
            })?;
        }
        Ok(Self { context: context.clone(), signals, call })
    }
}

fn param(params: &RawPathParams, name: &str) -> Option<String> {
    params.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}

/// Returns the credential after a scheme in the `Authorization` header, ignoring the scheme's case (RFC 9110).
fn credential(headers: &HeaderMap, scheme: &str) -> Option<String> {
    let (found, rest) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    found.eq_ignore_ascii_case(scheme).then(|| rest.trim().to_owned())
}
