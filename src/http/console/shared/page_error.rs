//! Error pages: what is wrong, and what to do about it.

use askama::Template;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::shell::render_page_with_status;
use crate::http::problem::{self, Problem};
use crate::store::ReadError;

#[derive(Template)]
#[template(path = "shared/failure.html")]
struct ErrorPage {
    heading: &'static str,
    detail: String,
    code: String,
}

/// An error shown as a page.
#[derive(Debug)]
pub(in crate::http) struct PageError(Problem);

impl From<Problem> for PageError {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<ReadError> for PageError {
    fn from(error: ReadError) -> Self {
        Self(error.into())
    }
}

impl PageError {
    /// Returns the message if the error is caused by invalid input.
    ///
    /// # Errors
    /// Returns the error itself if it has another cause.
    pub(in crate::http::console) fn into_input_error(self) -> Result<String, Self> {
        if self.0.status() == StatusCode::BAD_REQUEST { Ok(self.0.detail().to_owned()) } else { Err(self) }
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let status = self.0.status();
        let heading = match status {
            StatusCode::FORBIDDEN => "You do not have access to this",
            StatusCode::NOT_FOUND => "Page not found",
            StatusCode::SERVICE_UNAVAILABLE => "Not available right now",
            status if status.is_client_error() => "This page cannot be shown",
            _ => "Something went wrong",
        };
        render_page_with_status(
            status,
            &ErrorPage { heading, detail: self.0.detail().to_owned(), code: self.0.code().to_owned() },
        )
    }
}

/// Whether the client is a browser that asks for a page, rather than a program.
fn wants_page(request: &Request) -> bool {
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

/// Responds to a path where nothing is served: with a page for people, with a problem document for programs.
pub(in crate::http) async fn page_not_found(request: Request) -> Response {
    let problem = problem::no_such_path(request.uri());
    if wants_page(&request) { PageError(problem).into_response() } else { problem.into_response() }
}
