//! What a person sees where a page cannot be shown: what is wrong, and what to do about it.

use askama::Template;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::shell::page_with;
use crate::http::problem::{self, Problem};
use crate::store::ReadError;

#[derive(Template)]
#[template(path = "shared/failure.html")]
struct FailurePage {
    heading: &'static str,
    detail: String,
    code: String,
}

/// A page that cannot be shown.
#[derive(Debug)]
pub(in crate::http) struct Failure(Problem);

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Self(error.into())
    }
}

impl Failure {
    /// What is wrong with what a person asked for, where that is it.
    ///
    /// # Errors
    /// It is something else.
    pub(in crate::http::console) fn of_what_was_asked(self) -> Result<String, Self> {
        if self.0.status() == StatusCode::BAD_REQUEST { Ok(self.0.detail().to_owned()) } else { Err(self) }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = self.0.status();
        let heading = match status {
            StatusCode::FORBIDDEN => "You do not have access to this",
            StatusCode::NOT_FOUND => "Page not found",
            StatusCode::SERVICE_UNAVAILABLE => "Not available right now",
            status if status.is_client_error() => "This page cannot be shown",
            _ => "Something went wrong",
        };
        page_with(status, &FailurePage { heading, detail: self.0.detail().to_owned(), code: self.0.code().to_owned() })
    }
}

/// Whether a browser asks for a page, and no program for a document.
fn wants_page(request: &Request) -> bool {
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

/// Nothing is served at a path: said to people as a page, and to programs as a problem document.
pub(in crate::http) async fn no_such_page(request: Request) -> Response {
    let problem = problem::no_such_place(request.uri());
    if wants_page(&request) { Failure(problem).into_response() } else { problem.into_response() }
}
