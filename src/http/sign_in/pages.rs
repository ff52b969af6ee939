//! The pages on which people sign in. They work without a script.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};

use super::{Wrong, local, query_of};
use crate::http::ApiState;
use crate::http::auth::{Arrival, Caller};
use crate::http::problem::{Code, Problem};

/// `GET /sign-in`.
#[derive(Template)]
#[template(path = "access/sign_in.html")]
struct SignInPage {
    /// Where to go afterwards: a path of ours.
    next: String,
    /// What was wrong with the last try.
    problem: Option<&'static str>,
    /// Why nobody can sign in here.
    refused: Option<&'static str>,
}

/// `GET /sign-in/once/{code}`. A look at it changes nothing: mail programs and browsers look by themselves.
#[derive(Template)]
#[template(path = "access/sign_in_once.html")]
struct OncePage {
    /// Where the button leads.
    action: String,
    /// Why the link does not do.
    problem: Option<&'static str>,
    /// Why nobody can sign in here.
    refused: Option<&'static str>,
}

/// The form. Who has signed in already is sent on.
pub(super) async fn form(State(state): State<ApiState>, caller: Option<Caller>, parts: Parts) -> Response {
    let (next, problem) = query_of(&parts);
    if caller.is_some() && problem.is_none() {
        return Redirect::to(&next).into_response();
    }
    let refused = refusal(&parts, &state);
    let status = problem.map_or(StatusCode::OK, Wrong::status);
    drawn(status, &SignInPage { next, problem: problem.map(Wrong::sentence), refused })
}

/// The button.
pub(super) async fn button(State(state): State<ApiState>, Path(code): Path<String>, parts: Parts) -> Response {
    let refused = refusal(&parts, &state);
    let is_good = state.accounts.is_link(&code);
    let problem = (!is_good).then(|| Wrong::Link.sentence());
    let action = local(parts.uri.path());
    drawn(if is_good { StatusCode::OK } else { StatusCode::GONE }, &OncePage { action, problem, refused })
}

fn refusal(parts: &Parts, state: &ApiState) -> Option<&'static str> {
    Arrival::of(parts, state.tokens.borrow().proxy()).line.refusal()
}

fn drawn(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(page) => (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be drawn");
            Problem::of(Code::Internal, "something went wrong here; see the log").into_response()
        }
    }
}
