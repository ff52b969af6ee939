//! Versions of what can be edited: responses carry a strong `ETag`, and changes need an `If-Match`, so that of two
//! people who edit the same thing the later one gets an error instead of overwriting the other's change.

use std::fmt::Display;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::header::{ETAG, IF_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use utoipa::IntoParams;

use crate::http::problem::{Code, Problem};

/// The largest `If-Match` header that is read, in bytes.
const MAX_HEADER_BYTES: usize = 1000;

/// A version of an object. Two versions of the same object are equal if and only if nothing was changed between them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::http) struct Version(String);

impl Version {
    /// Creates a version from a name or number; characters that a tag may not contain are left out.
    pub(in crate::http) fn new(version: impl Display) -> Self {
        Self(version.to_string().chars().filter(|c| c.is_ascii_graphic() && *c != '"').collect())
    }

    /// Returns the `ETag` header.
    pub(in crate::http) fn header(&self) -> (HeaderName, HeaderValue) {
        let tag = HeaderValue::from_str(&format!("\"{}\"", self.0));
        (ETAG, tag.unwrap_or_else(|_| HeaderValue::from_static("\"\"")))
    }
}

/// The header as documented; [`IfMatch`] reads it.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it describes what `IfMatch` reads")]
pub(in crate::http) struct IfMatchHeader {
    /// The `ETag` of the version that you read. Without it, the request is rejected.
    #[param(rename = "If-Match", required = false)]
    version: String,
}

/// The versions of which one must be current for a change to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::http) enum IfMatch {
    /// Any version.
    Any,
    /// One of these versions.
    OneOf(Vec<Version>),
}

impl IfMatch {
    /// Returns an error if the object was changed since the caller read it.
    pub(in crate::http) fn check(&self, current: &Version) -> Result<(), Problem> {
        match self {
            Self::Any => Ok(()),
            Self::OneOf(known) if known.contains(current) => Ok(()),
            Self::OneOf(_) => {
                let detail = "it was changed since you read it, and nothing was written: read it again, and make your change to that";
                Err(Problem::from_code(Code::ChangedMeanwhile, detail))
            }
        }
    }
}

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut versions = Vec::new();
        for value in parts.headers.get_all(IF_MATCH) {
            let text = value.to_str().ok().filter(|text| text.len() <= MAX_HEADER_BYTES);
            let text =
                text.ok_or_else(|| Problem::bad_request("If-Match: expects `*`, or tags in the form of `ETag`"))?;
            if text.trim() == "*" {
                return Ok(Self::Any);
            }
            // A weak tag (`W/"…"`) never matches in a strong comparison.
            let tags = text.split(',').map(str::trim).filter_map(|tag| tag.strip_prefix('"')?.strip_suffix('"'));
            versions.extend(tags.map(|tag| Version(tag.to_owned())));
        }
        if versions.is_empty() {
            let detail = "read it first, and send its `ETag` as `If-Match`, so that no change is lost";
            return Err(Problem::from_code(Code::IfMatchMissing, detail));
        }
        Ok(Self::OneOf(versions))
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Problem> {
        if !parts.headers.contains_key(IF_MATCH) {
            return Ok(None);
        }
        <Self as FromRequestParts<S>>::from_request_parts(parts, state).await.map(Some)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{Request, StatusCode};

    use super::*;

    async fn read(value: Option<&str>) -> Result<IfMatch, Problem> {
        let mut request = Request::put("/");
        if let Some(value) = value {
            request = request.header(IF_MATCH, value);
        }
        let (mut parts, ()) = request.body(()).expect("a request").into_parts();
        <IfMatch as FromRequestParts<()>>::from_request_parts(&mut parts, &()).await
    }

    #[tokio::test]
    async fn a_change_needs_the_version_that_is_in_force() {
        let in_force = Version::new(7);
        assert_eq!(in_force.header().1, "\"7\"");
        for good in ["\"7\"", "\"6\", \"7\"", "*"] {
            assert_eq!(read(Some(good)).await.expect("read").check(&in_force), Ok(()), "{good}");
        }
        let lost = read(Some("\"6\"")).await.expect("read").check(&in_force).expect_err("another version");
        assert_eq!(lost.status(), StatusCode::PRECONDITION_FAILED);
        for missing in [None, Some(""), Some("W/\"7\""), Some("7")] {
            let refused = read(missing).await.expect_err("no version");
            assert_eq!(refused.status(), StatusCode::PRECONDITION_REQUIRED, "{missing:?}");
        }
    }

    #[test]
    fn a_version_is_a_tag_whatever_it_was_made_of() {
        assert_eq!(Version::new("a\"b c\nd").header().1, "\"abcd\"");
    }
}
