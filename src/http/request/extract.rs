//! Extractors whose errors are problem documents. They replace axum's extractors of the same names, whose errors are
//! plain text.
//!
//! They also reject the character NUL: no id or name contains one, and PostgreSQL does not accept text with one.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::http::problem::Problem;

/// The parameters of the path.
pub(in crate::http) struct Path<T>(pub(in crate::http) T);

/// The query. It does not support keys that may occur more than once.
pub(in crate::http) struct Query<T>(pub(in crate::http) T);

/// A JSON body.
pub(in crate::http) struct Json<T>(pub(in crate::http) T);

impl<T, S> FromRequestParts<S> for Path<T>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        reject_nul(parts.uri.path().contains("%00"))?;
        let axum::extract::Path(read) = axum::extract::Path::from_request_parts(parts, state).await?;
        Ok(Self(read))
    }
}

impl<T, S> FromRequestParts<S> for Query<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        reject_nul(parts.uri.query().is_some_and(|query| query.contains("%00")))?;
        let axum::extract::Query(read) = axum::extract::Query::from_request_parts(parts, state).await?;
        Ok(Self(read))
    }
}

impl<T, S> FromRequest<S> for Json<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = Bytes::from_request(Request::from_parts(parts.clone(), body), state).await?;
        reject_nul(has_escaped_nul(&bytes))?;
        let rebuilt = Request::from_parts(parts, Body::from(bytes));
        let axum::Json(read) = axum::Json::from_request(rebuilt, state).await?;
        Ok(Self(read))
    }
}

fn reject_nul(has_nul: bool) -> Result<(), Problem> {
    if has_nul {
        Err(Problem::bad_request("ids, names and texts must not contain the character U+0000"))
    } else {
        Ok(())
    }
}

/// Whether JSON text contains an escaped NUL: `\u0000` after an even number of backslashes.
fn has_escaped_nul(json: &[u8]) -> bool {
    let mut at = 0;
    while let Some(found) = json.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'\\')) {
        let escape = at + found;
        if json.get(escape + 1..escape + 6) == Some(b"u0000") {
            return true;
        }
        at = escape + 2;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escaped_nul_is_found_and_an_escaped_backslash_is_none() {
        for (json, there) in [
            (r#"{"a":"\u0000"}"#, true),
            (r#"{"a":"x\\\u0000"}"#, true),
            (r#"{"a":"\\u0000"}"#, false),
            (r#"{"a":"\u00001"}"#, true),
            (r#"{"a":"\u0001\n"}"#, false),
            ("\\", false),
            ("", false),
        ] {
            assert_eq!(has_escaped_nul(json.as_bytes()), there, "{json}");
        }
    }
}
