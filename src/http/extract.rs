//! What a request brings, read so that whatever is wrong with it is a problem document. They stand in for axum's own of the same
//! names, whose refusals are plain text.
//!
//! A NUL is refused here once for all: it is in no id or name, and PostgreSQL takes no text that holds one.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// The parts of the path.
pub(super) struct Path<T>(pub(super) T);

/// The query. A key that may come more than once is none for this.
pub(super) struct Query<T>(pub(super) T);

/// A JSON body.
pub(super) struct Json<T>(pub(super) T);

impl<T, S> FromRequestParts<S> for Path<T>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        refuse_nul(parts.uri.path().contains("%00"))?;
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
        refuse_nul(parts.uri.query().is_some_and(|query| query.contains("%00")))?;
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
        refuse_nul(names_nul(&bytes))?;
        let again = Request::from_parts(parts, Body::from(bytes));
        let axum::Json(read) = axum::Json::from_request(again, state).await?;
        Ok(Self(read))
    }
}

fn refuse_nul(is_there: bool) -> Result<(), Problem> {
    if is_there {
        Err(Problem::bad_request("ids, names and texts must not contain the character U+0000"))
    } else {
        Ok(())
    }
}

/// Whether JSON has an escaped NUL: `\u0000` behind an even number of backslashes.
fn names_nul(json: &[u8]) -> bool {
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
            assert_eq!(names_nul(json.as_bytes()), there, "{json}");
        }
    }
}
