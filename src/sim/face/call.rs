//! Reads a request into a call.

use axum::Form;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::Lobby;
use super::line::Line;
use crate::sim::rules::Call;
use crate::sim::wire::TokenForm;

/// A path that is longer is cut in the account.
const LONGEST_KEPT_PATH: usize = 512;
const FORM: &str = "application/x-www-form-urlencoded";

/// A call, the stage it is for, and the connection that it came on.
pub(super) struct Incoming {
    pub(super) lobby: Lobby,
    pub(super) line: Line,
    pub(super) call: Call,
}

impl FromRequest<Lobby> for Incoming {
    type Rejection = Response;

    async fn from_request(request: Request, lobby: &Lobby) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let params = RawPathParams::from_request_parts(&mut parts, lobby).await.map_err(IntoResponse::into_response)?;
        let line = parts.extensions.get::<Line>().cloned().unwrap_or_default();
        let mut call = Call {
            path: parts.uri.path().chars().take(LONGEST_KEPT_PATH).collect(),
            unit: param(&params, "unit"),
            subject: param(&params, "subject").unwrap_or_default(),
            bearer: credential(&parts.headers, "bearer"),
            basic: credential(&parts.headers, "basic"),
            form: None,
            body: Bytes::new(),
            query: Query::try_from_uri(&parts.uri).map(|Query(query)| query).unwrap_or_default(),
            upgrade: false,
        };
        let form = parts.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(FORM.as_bytes()));
        let request = Request::from_parts(parts, body);
        if form {
            let Form(form) =
                Form::<TokenForm>::from_request(request, lobby).await.map_err(IntoResponse::into_response)?;
            call.form = Some(form);
        } else {
            call.body = Bytes::from_request(request, lobby).await.map_err(|error| {
                let status = error.status();
                (if status == StatusCode::PAYLOAD_TOO_LARGE { status } else { StatusCode::BAD_REQUEST }).into_response()
            })?;
        }
        Ok(Self { lobby: lobby.clone(), line, call })
    }
}

fn param(params: &RawPathParams, name: &str) -> Option<String> {
    params.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}

/// What follows a scheme in the `Authorization` header; schemes are compared in any case (RFC 9110).
fn credential(headers: &HeaderMap, scheme: &str) -> Option<String> {
    let (found, rest) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    found.eq_ignore_ascii_case(scheme).then(|| rest.trim().to_owned())
}
