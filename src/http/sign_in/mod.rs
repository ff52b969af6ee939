//! Signing in and out: with a name and a password or a link, from a form or a program. The cookie is all that a browser gets.

mod pages;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{MethodRouter, get};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ApiState;
use super::auth::{Arrival, Caller, Line};
use super::problem::{Code, Problem, bad_body};
use crate::domain::access::rights::Role;
use crate::domain::access::secret::Secret;
use crate::engine::access::accounts::{SignInError, SignedIn};

/// The longest path that somebody is sent to afterwards.
const LONGEST_NEXT: usize = 2000;

/// The longest name that is looked up, in bytes.
const LONGEST_NAME: usize = 1000;

/// What the sign-in page says of the try before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wrong {
    /// The name or the password.
    Password,
    /// Too many tries.
    Slow,
    /// The daemon has too much to do, or cannot store it.
    Busy,
    /// The link is used up.
    Link,
}

impl Wrong {
    const ALL: [Self; 4] = [Self::Password, Self::Slow, Self::Busy, Self::Link];

    const fn name(self) -> &'static str {
        match self {
            Self::Password => "wrong",
            Self::Slow => "slow",
            Self::Busy => "busy",
            Self::Link => "link",
        }
    }

    const fn sentence(self) -> &'static str {
        match self {
            Self::Password => "The name or the password is wrong.",
            Self::Slow => "There were too many wrong passwords. Wait a minute, then try again.",
            Self::Busy => "That did not work just now. Try again in a few seconds.",
            Self::Link => {
                "This link was used already, or its time is over. Ask for a new one, or sign in with a password."
            }
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::Password => StatusCode::UNAUTHORIZED,
            Self::Slow => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Link => StatusCode::GONE,
        }
    }

    const fn of(error: &SignInError) -> Self {
        match error {
            SignInError::Wrong => Self::Password,
            SignInError::Link => Self::Link,
            SignInError::Slow(_) => Self::Slow,
            SignInError::Busy | SignInError::Store(_) => Self::Busy,
        }
    }
}

/// The page with the form.
pub(super) fn page() -> MethodRouter<ApiState> {
    get(pages::form)
}

/// The page with the button, and what it does.
pub(super) fn once() -> MethodRouter<ApiState> {
    get(pages::button).post(sign_in_once)
}

/// A name and a password.
#[derive(Deserialize, ToSchema)]
#[schema(as = SignIn)]
struct Typed {
    /// The account.
    name: String,
    /// Its password.
    password: String,
    /// Where to go afterwards, for forms: a path of the daemon.
    #[serde(default)]
    #[schema(ignore)]
    next: Option<String>,
}

/// Somebody who has signed in.
#[derive(Serialize, ToSchema)]
struct In {
    /// The account.
    id: String,
    /// What it may do.
    role: Option<Role>,
}

/// Sign in
///
/// The answer has the cookie of a session. A form gets a redirect.
#[utoipa::path(
    post,
    path = "/sign-in",
    tag = "accounts",
    request_body = Typed,
    responses((status = 200, description = "signed in", body = In))
)]
pub(super) async fn sign_in(
    State(state): State<ApiState>,
    before: Option<Caller>,
    parts: Parts,
    body: Bytes,
) -> Result<Response, Problem> {
    let arrival = Arrival::of(&parts, state.tokens.borrow().proxy());
    let is_form = is_form(&parts.headers);
    if let Some(refusal) = arrival.line.refusal() {
        return if is_form { Ok(Redirect::to("/sign-in").into_response()) } else { Err(refused(refusal)) };
    }
    let typed = read(&parts.headers, is_form, &body)?;
    let next = local(typed.next.as_deref().unwrap_or("/"));
    let tried = if typed.name.len() > LONGEST_NAME {
        Err(SignInError::Wrong)
    } else {
        state.accounts.sign_in(&typed.name, Secret::new(&typed.password), arrival.source).await
    };
    match tried {
        Ok(signed_in) => {
            end_before(&state, before.as_ref(), &arrival).await;
            let answer = if is_form {
                Redirect::to(&next).into_response()
            } else {
                axum::Json(In { id: signed_in.powers.id.to_string(), role: signed_in.powers.role }).into_response()
            };
            Ok(with_cookie(answer, &state, &arrival.line, &signed_in))
        }
        Err(error) if is_form => Ok(back(&next, Wrong::of(&error))),
        Err(error) => Err(error.into()),
    }
}

async fn sign_in_once(
    State(state): State<ApiState>,
    before: Option<Caller>,
    Path(code): Path<String>,
    parts: Parts,
) -> Response {
    let arrival = Arrival::of(&parts, state.tokens.borrow().proxy());
    if arrival.line.refusal().is_some() {
        // The page says why; the link stays good.
        return Redirect::to(&local(parts.uri.path())).into_response();
    }
    match state.accounts.sign_in_once(&code, arrival.source).await {
        Ok(signed_in) => {
            end_before(&state, before.as_ref(), &arrival).await;
            with_cookie(Redirect::to("/").into_response(), &state, &arrival.line, &signed_in)
        }
        Err(error) => back("/", Wrong::of(&error)),
    }
}

/// Sign out
///
/// Ends the session of the cookie that comes with the request; whoever has none is out as well.
#[utoipa::path(
    post,
    path = "/sign-out",
    tag = "accounts",
    responses(
        (status = 204, description = "signed out"),
        (status = 303, description = "signed out, for a browser that wants a page")
    )
)]
pub(super) async fn sign_out(
    State(state): State<ApiState>,
    caller: Option<Caller>,
    parts: Parts,
) -> Result<Response, Problem> {
    let arrival = Arrival::of(&parts, state.tokens.borrow().proxy());
    if let Some(session) = caller.as_ref().and_then(Caller::session) {
        state.accounts.sign_out(*session, arrival.source).await.map_err(SignInError::Store)?;
    }
    let wants_page = parts.headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let mut answer = if wants_page.is_some_and(|accept| accept.contains("text/html")) {
        Redirect::to("/sign-in").into_response()
    } else {
        StatusCode::NO_CONTENT.into_response()
    };
    if let Some(cookie) = arrival.line.cookie() {
        set_cookie(&mut answer, &arrival.line, &format!("{cookie}="), 0);
    }
    Ok(answer)
}

/// A session that is replaced ends: its cookie goes, and nobody could end it any more.
async fn end_before(state: &ApiState, before: Option<&Caller>, arrival: &Arrival) {
    if let Some(session) = before.and_then(Caller::session)
        && let Err(error) = state.accounts.sign_out(*session, arrival.source).await
    {
        tracing::warn!(%error, "the session before could not be ended; it ends by itself");
    }
}

fn refused(why: &str) -> Problem {
    Problem::of(Code::SignInRefused, why)
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
}

fn read(headers: &HeaderMap, is_form: bool, body: &Bytes) -> Result<Typed, Problem> {
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
        return Ok(Typed { name: name.ok_or_else(missing)?, password: password.ok_or_else(missing)?, next });
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.to_ascii_lowercase().contains("json") {
        return Err(Problem::of(
            Code::NotJson,
            "send a form, or JSON with the header `Content-Type: application/json`",
        ));
    }
    // What does not fit is not repeated in the answer: it may be the password.
    match serde_json::from_slice::<serde_json::Value>(body) {
        Err(_) => Err(Problem::of(Code::BadBody, "the body is no JSON")),
        Ok(value) => serde_json::from_value(value).map_err(|_| {
            let detail = "the body is to be {\"name\": TEXT, \"password\": TEXT}";
            bad_body(StatusCode::UNPROCESSABLE_ENTITY, detail.to_owned())
        }),
    }
}

/// Where somebody is sent: a path of ours, whatever was asked for.
fn local(path: &str) -> String {
    let is_ours = path.len() <= LONGEST_NEXT
        && path.starts_with('/')
        && !path[1..].starts_with(['/', '\\'])
        && path.bytes().all(|byte| byte.is_ascii_graphic());
    if is_ours { path.to_owned() } else { "/".to_owned() }
}

/// What the query of the sign-in page says.
fn query_of(parts: &Parts) -> (String, Option<Wrong>) {
    let (mut next, mut problem) = ("/".to_owned(), None);
    for (key, value) in url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
        match &*key {
            "next" => next = local(&value),
            "problem" => problem = Wrong::ALL.into_iter().find(|wrong| wrong.name() == value),
            _ => {}
        }
    }
    (next, problem)
}

fn back(next: &str, wrong: Wrong) -> Response {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("problem", wrong.name());
    if next != "/" {
        query.append_pair("next", next);
    }
    Redirect::to(&format!("/sign-in?{}", query.finish())).into_response()
}

fn with_cookie(mut answer: Response, state: &ApiState, line: &Line, signed_in: &SignedIn) -> Response {
    if let Some(name) = line.cookie() {
        let lasts = state.accounts.limits().longest.as_secs();
        set_cookie(&mut answer, line, &format!("{name}={}", signed_in.cookie.expose()), lasts);
    }
    answer
}

fn set_cookie(answer: &mut Response, line: &Line, pair: &str, lasts_s: u64) {
    let secure = if *line == Line::Tls { "; Secure" } else { "" };
    let text = format!("{pair}; Path=/; Max-Age={lasts_s}; HttpOnly; SameSite=Lax{secure}");
    if let Ok(mut value) = HeaderValue::from_str(&text) {
        value.set_sensitive(true);
        answer.headers_mut().append(header::SET_COOKIE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_site() {
        for path in ["/", "/agents?team=Care%20%26%20Co", "/a//b", "/a/../b"] {
            assert_eq!(local(path), path);
        }
        for path in ["", "agents", "//evil.example", "/\\evil.example", "https://evil.example", "/a\nb", "/ b", "/ä"] {
            assert_eq!(local(path), "/", "{path}");
        }
        assert_eq!(local(&format!("/{}", "a".repeat(LONGEST_NEXT))), "/");
    }

    #[test]
    fn every_reason_comes_back_to_the_page_with_where_to_go() {
        for wrong in Wrong::ALL {
            let answer = back("/agents?team=A&b", wrong);
            let place = answer.headers()[header::LOCATION].to_str().expect("text").to_owned();
            let (mut parts, ()) = axum::http::Request::get(&place).body(()).expect("a request").into_parts();
            assert_eq!(query_of(&parts), ("/agents?team=A&b".to_owned(), Some(wrong)));
            parts.uri = axum::http::Uri::from_static("/sign-in?next=//evil.example&problem=nonsense");
            assert_eq!(query_of(&parts), ("/".to_owned(), None));
        }
    }

    #[test]
    fn a_cookie_is_for_this_host_and_no_script() {
        for (line, expected) in [
            (Line::Tls, "__Host-shiftkeeper=x; Path=/; Max-Age=9; HttpOnly; SameSite=Lax; Secure"),
            (Line::Loopback { port: 80 }, "shiftkeeper-80=x; Path=/; Max-Age=9; HttpOnly; SameSite=Lax"),
        ] {
            let mut answer = StatusCode::OK.into_response();
            set_cookie(&mut answer, &line, &format!("{}=x", line.cookie().expect("a cookie")), 9);
            assert_eq!(answer.headers()[header::SET_COOKIE], expected);
        }
    }

    #[test]
    fn a_form_and_json_are_read_and_what_is_neither_is_not_repeated() {
        let headers =
            |kind: &'static str| HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
        let form = headers("application/x-www-form-urlencoded; charset=utf-8");
        assert!(is_form(&form));
        let typed = read(&form, true, &Bytes::from_static(b"name=ann&password=a%26b+c&next=%2Fagents")).expect("read");
        assert_eq!((&*typed.name, &*typed.password, typed.next.as_deref()), ("ann", "a&b c", Some("/agents")));
        let json = headers("application/json");
        assert!(read(&json, false, &Bytes::from_static(b"{\"name\":\"ann\",\"password\":\"x\"}")).is_ok());
        for body in ["hunter2hunter2", "[\"hunter2hunter2\"]", "{\"name\":\"hunter2hunter2\"}"] {
            let problem = read(&json, false, &Bytes::from(body)).err().expect("refused");
            assert!(!problem.detail().contains("hunter2"), "{}", problem.detail());
        }
        assert!(read(&headers("text/plain"), false, &Bytes::new()).is_err());
    }
}
