//! Where a browser goes after an attempt to sign in, and why the attempt failed.

use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Redirect, Response};

use crate::engine::access::accounts::SignInError;
use crate::http::request::query::is_local_path;

/// The longest path that a user is redirected to after signing in, in bytes.
const MAX_NEXT_BYTES: usize = 2000;

/// Why the last attempt failed, for the sign-in page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SignInFailure {
    /// The name or the password is wrong.
    Password,
    /// There were too many attempts.
    Throttled,
    /// The daemon is busy, or cannot store the session.
    Busy,
    /// The link can no longer be used.
    UsedLink,
}

impl SignInFailure {
    const ALL: [Self; 4] = [Self::Password, Self::Throttled, Self::Busy, Self::UsedLink];

    const fn name(self) -> &'static str {
        match self {
            Self::Password => "wrong",
            Self::Throttled => "slow",
            Self::Busy => "busy",
            Self::UsedLink => "link",
        }
    }

    pub(super) const fn message(self) -> &'static str {
        match self {
            Self::Password => "The name or the password is wrong.",
            Self::Throttled => "There were too many wrong passwords. Wait a minute, then try again.",
            Self::Busy => "That did not work just now. Try again in a few seconds.",
            Self::UsedLink => {
                "This link was used already, or its time is over. Ask for a new one, or sign in with a password."
            }
        }
    }

    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Password => StatusCode::UNAUTHORIZED,
            Self::Throttled => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::UsedLink => StatusCode::GONE,
        }
    }

    pub(super) const fn from_error(error: &SignInError) -> Self {
        match error {
            SignInError::WrongPassword => Self::Password,
            SignInError::InvalidLink => Self::UsedLink,
            SignInError::Throttled(_) => Self::Throttled,
            SignInError::Busy | SignInError::Store(_) => Self::Busy,
        }
    }
}

/// Returns the path if it is one of this server, otherwise `/`.
pub(super) fn local_path(path: &str) -> String {
    if path.len() <= MAX_NEXT_BYTES && is_local_path(path) { path.to_owned() } else { "/".to_owned() }
}

/// Reads the query of the sign-in page: where to go afterwards, and why the last attempt failed.
pub(super) fn parse_page_query(parts: &Parts) -> (String, Option<SignInFailure>) {
    let (mut next, mut problem) = ("/".to_owned(), None);
    for (key, value) in url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
        match &*key {
            "next" => next = local_path(&value),
            "problem" => problem = SignInFailure::ALL.into_iter().find(|wrong| wrong.name() == value),
            _ => {}
        }
    }
    (next, problem)
}

pub(super) fn redirect_with_failure(next: &str, failure: SignInFailure) -> Response {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("problem", failure.name());
    if next != "/" {
        query.append_pair("next", next);
    }
    Redirect::to(&format!("/sign-in?{}", query.finish())).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::header;

    use super::*;

    #[test]
    fn nobody_is_sent_to_another_site() {
        for path in ["/", "/agents?team=Care%20%26%20Co", "/a//b", "/a/../b"] {
            assert_eq!(local_path(path), path);
        }
        for path in ["", "agents", "//evil.example", "/\\evil.example", "https://evil.example", "/a\nb", "/ b", "/ä"] {
            assert_eq!(local_path(path), "/", "{path}");
        }
        assert_eq!(local_path(&format!("/{}", "a".repeat(MAX_NEXT_BYTES))), "/");
    }

    #[test]
    fn every_reason_comes_back_to_the_page_with_where_to_go() {
        for wrong in SignInFailure::ALL {
            let answer = redirect_with_failure("/agents?team=A&b", wrong);
            let location = answer.headers()[header::LOCATION].to_str().expect("text").to_owned();
            let (mut parts, ()) = axum::http::Request::get(&location).body(()).expect("a request").into_parts();
            assert_eq!(parse_page_query(&parts), ("/agents?team=A&b".to_owned(), Some(wrong)));
            parts.uri = axum::http::Uri::from_static("/sign-in?next=//evil.example&problem=nonsense");
            assert_eq!(parse_page_query(&parts), ("/".to_owned(), None));
        }
    }
}
