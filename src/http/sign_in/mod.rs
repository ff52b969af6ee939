//! Signing in and out: with a name and password or a link, from a form or a program. A browser gets nothing but a
//! cookie.

mod pages;
mod redirect;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{MethodRouter, get};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use self::redirect::{SignInFailure, local_path, redirect_with_failure};
use super::auth::{Caller, ConnectionInfo, TransportSecurity};
use super::problem::{Code, Problem, body_problem};
use super::state::ApiState;
use crate::domain::access::rights::Role;
use crate::domain::access::secret::Secret;
use crate::engine::access::accounts::{SignInError, SignedIn};

/// The longest name that is looked up, in bytes.
const MAX_NAME_BYTES: usize = 1000;

/// Returns the page with the sign-in form.
pub(super) fn sign_in_page() -> MethodRouter<ApiState> {
    get(pages::show_sign_in)
}

/// Returns the page of a sign-in link: a button, and the handler of the button.
pub(super) fn one_time_link_page() -> MethodRouter<ApiState> {
    get(pages::show_one_time_link).post(sign_in_once)
}

/// The credentials of a user.
#[derive(Deserialize, ToSchema)]
#[schema(as = SignIn)]
struct SignInBody {
    /// The id of the account.
    name: String,
    /// The password of the account.
    password: String,
    /// Where to go afterwards, for forms: a path of the daemon.
    #[serde(default)]
    #[schema(ignore)]
    next: Option<String>,
}

/// The user who has signed in.
#[derive(Serialize, ToSchema)]
struct SignedInResponse {
    /// The id of the account.
    id: String,
    /// The role of the account.
    role: Option<Role>,
}

/// Sign in
///
/// The response sets the session cookie. A form is redirected.
#[utoipa::path(
    post,
    path = "/sign-in",
    tag = "accounts",
    request_body = SignInBody,
    responses((status = 200, description = "The user has signed in.", body = SignedInResponse))
)]
pub(super) async fn sign_in(
    State(state): State<ApiState>,
    before: Option<Caller>,
    parts: Parts,
    body: Bytes,
) -> Result<Response, Problem> {
    let connection = ConnectionInfo::from_parts(&parts, state.tokens.borrow().proxy());
    let is_form = is_form(&parts.headers);
    if let Some(refusal) = connection.transport.sign_in_refusal() {
        return if is_form { Ok(Redirect::to("/sign-in").into_response()) } else { Err(sign_in_refused(refusal)) };
    }
    let credentials = parse_credentials(&parts.headers, is_form, &body)?;
    let next = local_path(credentials.next.as_deref().unwrap_or("/"));
    let result = if credentials.name.len() > MAX_NAME_BYTES {
        Err(SignInError::WrongPassword)
    } else {
        state.accounts.sign_in(&credentials.name, Secret::new(&credentials.password), connection.source).await
    };
    match result {
        Ok(signed_in) => {
            end_previous_session(&state, before.as_ref(), &connection).await;
            let answer = if is_form {
                Redirect::to(&next).into_response()
            } else {
                axum::Json(SignedInResponse {
                    id: signed_in.permissions.id.to_string(),
                    role: signed_in.permissions.role,
                })
                .into_response()
            };
            Ok(with_cookie(answer, &state, &connection.transport, &signed_in))
        }
        Err(error) if is_form => Ok(redirect_with_failure(&next, SignInFailure::from_error(&error))),
        Err(error) => Err(error.into()),
    }
}

async fn sign_in_once(
    State(state): State<ApiState>,
    before: Option<Caller>,
    Path(code): Path<String>,
    parts: Parts,
) -> Response {
    let connection = ConnectionInfo::from_parts(&parts, state.tokens.borrow().proxy());
    if connection.transport.sign_in_refusal().is_some() {
        // The page says why; the link stays valid.
        return Redirect::to(&local_path(parts.uri.path())).into_response();
    }
    match state.accounts.sign_in_by_link(&code, connection.source).await {
        Ok(signed_in) => {
            end_previous_session(&state, before.as_ref(), &connection).await;
            with_cookie(Redirect::to("/").into_response(), &state, &connection.transport, &signed_in)
        }
        Err(error) => redirect_with_failure("/", SignInFailure::from_error(&error)),
    }
}

/// Sign out
///
/// Ends the session of the request's cookie. Without a session, nothing changes.
#[utoipa::path(
    post,
    path = "/sign-out",
    tag = "accounts",
    responses(
        (status = 204, description = "The user has signed out."),
        (status = 303, description = "The user has signed out; a redirect for browsers that expect a page.")
    )
)]
pub(super) async fn sign_out(
    State(state): State<ApiState>,
    caller: Option<Caller>,
    parts: Parts,
) -> Result<Response, Problem> {
    let connection = ConnectionInfo::from_parts(&parts, state.tokens.borrow().proxy());
    if let Some(session) = caller.as_ref().and_then(Caller::session) {
        state.accounts.sign_out(*session, connection.source).await.map_err(SignInError::Store)?;
    }
    let wants_page = parts.headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let mut answer = if wants_page.is_some_and(|accept| accept.contains("text/html")) {
        Redirect::to("/sign-in").into_response()
    } else {
        StatusCode::NO_CONTENT.into_response()
    };
    if let Some(cookie) = connection.transport.session_cookie_name() {
        set_cookie(&mut answer, &connection.transport, &format!("{cookie}="), 0);
    }
    Ok(answer)
}

/// Ends the session that a new one replaces: its cookie is overwritten, so nobody could end it later.
async fn end_previous_session(state: &ApiState, previous: Option<&Caller>, connection: &ConnectionInfo) {
    if let Some(session) = previous.and_then(Caller::session)
        && let Err(error) = state.accounts.sign_out(*session, connection.source).await
    {
        tracing::warn!(%error, "the session before could not be ended; it ends by itself");
    }
}

fn sign_in_refused(why: &str) -> Problem {
    Problem::from_code(Code::SignInRefused, why)
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
}

fn parse_credentials(headers: &HeaderMap, is_form: bool, body: &Bytes) -> Result<SignInBody, Problem> {
    if is_form {
        let (mut name, mut password, mut next) = (None, None, None);
        for (key, value) in url::form_urlencoded::parse(body) {
            match &*key {
                "name" => name = Some(value.into_owned()),
                "password" => password = Some(value.into_owned()),
                "next" => next = Some(value.into_owned()),
                _ => {}
            }
        }
        let missing = || Problem::bad_request("the form has a name and a password");
        return Ok(SignInBody { name: name.ok_or_else(missing)?, password: password.ok_or_else(missing)?, next });
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.to_ascii_lowercase().contains("json") {
        return Err(Problem::from_code(
            Code::NotJson,
            "send a form, or JSON with the header `Content-Type: application/json`",
        ));
    }
    // The response must not repeat an invalid body: it may contain the password.
    match serde_json::from_slice::<serde_json::Value>(body) {
        Err(_) => Err(Problem::from_code(Code::BadBody, "the body is not JSON")),
        Ok(value) => serde_json::from_value(value).map_err(|_| {
            let detail = "the body is to be {\"name\": TEXT, \"password\": TEXT}";
            body_problem(StatusCode::UNPROCESSABLE_ENTITY, detail.to_owned())
        }),
    }
}

fn with_cookie(
    mut answer: Response,
    state: &ApiState,
    transport: &TransportSecurity,
    signed_in: &SignedIn,
) -> Response {
    if let Some(name) = transport.session_cookie_name() {
        let max_age_s = state.accounts.limits().absolute.as_secs();
        set_cookie(&mut answer, transport, &format!("{name}={}", signed_in.cookie.expose()), max_age_s);
    }
    answer
}

fn set_cookie(answer: &mut Response, transport: &TransportSecurity, pair: &str, max_age_s: u64) {
    let secure = if *transport == TransportSecurity::Tls { "; Secure" } else { "" };
    let text = format!("{pair}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{secure}");
    if let Ok(mut value) = HeaderValue::from_str(&text) {
        value.set_sensitive(true);
        answer.headers_mut().append(header::SET_COOKIE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_for_this_host_and_no_script() {
        for (line, expected) in [
            (TransportSecurity::Tls, "__Host-shiftkeeper=x; Path=/; Max-Age=9; HttpOnly; SameSite=Lax; Secure"),
            (TransportSecurity::Loopback { port: 80 }, "shiftkeeper-80=x; Path=/; Max-Age=9; HttpOnly; SameSite=Lax"),
        ] {
            let mut answer = StatusCode::OK.into_response();
            set_cookie(&mut answer, &line, &format!("{}=x", line.session_cookie_name().expect("a cookie")), 9);
            assert_eq!(answer.headers()[header::SET_COOKIE], expected);
        }
    }

    #[test]
    fn a_form_and_json_are_read_and_what_is_neither_is_not_repeated() {
        let headers =
            |kind: &'static str| HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
        let form = headers("application/x-www-form-urlencoded; charset=utf-8");
        assert!(is_form(&form));
        let typed = parse_credentials(&form, true, &Bytes::from_static(b"name=ann&password=a%26b+c&next=%2Fagents"))
            .expect("read");
        assert_eq!((&*typed.name, &*typed.password, typed.next.as_deref()), ("ann", "a&b c", Some("/agents")));
        let json = headers("application/json");
        assert!(parse_credentials(&json, false, &Bytes::from_static(b"{\"name\":\"ann\",\"password\":\"x\"}")).is_ok());
        for body in ["hunter2hunter2", "[\"hunter2hunter2\"]", "{\"name\":\"hunter2hunter2\"}"] {
            let problem = parse_credentials(&json, false, &Bytes::from(body)).err().expect("refused");
            assert!(!problem.detail().contains("hunter2"), "{}", problem.detail());
        }
        assert!(parse_credentials(&headers("text/plain"), false, &Bytes::new()).is_err());
    }
}
