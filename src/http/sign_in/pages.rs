//! The pages for signing in. They work without scripts.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Redirect, Response};

use super::redirect::{SignInFailure, local_path, parse_page_query};
use crate::http::auth::{Caller, ConnectionInfo};
use crate::http::console::render_page_with_status;
use crate::http::state::ApiState;

/// `GET /sign-in`.
#[derive(Template)]
#[template(path = "access/sign_in.html")]
struct SignInPage {
    /// The path to go to afterwards, on this server.
    next: String,
    /// Why the last attempt failed.
    problem: Option<&'static str>,
    /// Why nobody can sign in over this connection.
    refused: Option<&'static str>,
}

/// `GET /sign-in/once/{code}`. Opening it changes nothing, because mail programs and browsers open links by themselves.
#[derive(Template)]
#[template(path = "access/sign_in_once.html")]
struct OneTimeLinkPage {
    /// Where the button leads.
    action: String,
    /// Why the link cannot be used.
    problem: Option<&'static str>,
    /// Why nobody can sign in over this connection.
    refused: Option<&'static str>,
}

/// Shows the sign-in form; a user who has signed in already is redirected.
pub(super) async fn show_sign_in(State(state): State<ApiState>, caller: Option<Caller>, parts: Parts) -> Response {
    let (next, problem) = parse_page_query(&parts);
    if caller.is_some() && problem.is_none() {
        return Redirect::to(&next).into_response();
    }
    let refused = sign_in_refusal(&parts, &state);
    let status = problem.map_or(StatusCode::OK, SignInFailure::status);
    render_page_with_status(status, &SignInPage { next, problem: problem.map(SignInFailure::message), refused })
}

/// Shows the button that signs in.
pub(super) async fn show_one_time_link(
    State(state): State<ApiState>,
    Path(code): Path<String>,
    parts: Parts,
) -> Response {
    let refused = sign_in_refusal(&parts, &state);
    let is_good = state.accounts.is_valid_link(&code);
    let problem = (!is_good).then(|| SignInFailure::UsedLink.message());
    let action = local_path(parts.uri.path());
    render_page_with_status(
        if is_good { StatusCode::OK } else { StatusCode::GONE },
        &OneTimeLinkPage { action, problem, refused },
    )
}

fn sign_in_refusal(parts: &Parts, state: &ApiState) -> Option<&'static str> {
    ConnectionInfo::from_parts(parts, state.tokens.borrow().proxy()).transport.sign_in_refusal()
}
