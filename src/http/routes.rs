//! The one table of routes. The router and the OpenAPI document are both made of it, so that no route can be without a row: what
//! it needs, how large and how long a request may be, and which errors it answers with.
//!
//! A row's right is enforced before its handler is asked; which tenant and which agents are meant only the handler knows, and it
//! checks those.

mod table;

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts as _, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::Response;
use axum::routing::MethodRouter;
use tower_http::timeout::TimeoutLayer;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::HttpMethod;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use self::table::table;
use super::auth::{Caller, Right, sent_to_sign_in};
use super::problem::{self, Code, Problem};
use super::{ApiState, console, document, guard};
use crate::domain::schedules::import::LARGEST_FILE;

/// The largest request body but for imports.
pub(super) const BODY_LIMIT: usize = 1024 * 1024;

/// A request is answered within this, or ended with 408.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);

/// The same for what takes its time: a large schedule to be read and stored, a long chain to be checked.
pub const IMPORTED_WITHIN: Duration = Duration::from_secs(300);

/// What a request needs to be let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Needs {
    /// Nothing: whoever reaches the port may ask.
    Nothing,
    /// This right, at some tenant at least.
    Right(Right),
    /// To be known, whatever the rights.
    SignedIn,
}

/// How large a request may be, and how long it may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// 1 MiB, 60 s.
    Ordinary,
    /// 1 MiB, 300 s.
    Long,
    /// A file: 64 MiB, 300 s.
    Import,
    /// It lasts; what limits it stands in `live` and `stall`.
    Lasting,
}

impl Kind {
    /// Bytes and time, where there are limits.
    const fn limits(self) -> Option<(usize, Duration)> {
        match self {
            Self::Ordinary => Some((BODY_LIMIT, ANSWERED_WITHIN)),
            Self::Long => Some((BODY_LIMIT, IMPORTED_WITHIN)),
            Self::Import => Some((LARGEST_FILE, IMPORTED_WITHIN)),
            Self::Lasting => None,
        }
    }
}

enum Serves {
    /// It stands in the document, with one path. Made when it is needed and one at a time: all descriptions together take 15 MB.
    Described(fn() -> UtoipaMethodRouter<ApiState>),
    /// A page or a file for browsers.
    Page(&'static str, Box<MethodRouter<ApiState>>),
}

/// One row.
pub(super) struct Row {
    pub(super) needs: Needs,
    pub(super) kind: Kind,
    /// Errors of its own, beside those that every request may end with.
    pub(super) refuses: &'static [Code],
    serves: Serves,
}

impl Row {
    /// Handlers with `#[utoipa::path]` of one path that need the same.
    pub(super) const fn new(needs: Needs, routes: fn() -> UtoipaMethodRouter<ApiState>) -> Self {
        Self { needs, kind: Kind::Ordinary, refuses: &[], serves: Serves::Described(routes) }
    }

    /// A page, which the document does not have.
    pub(super) fn page(needs: Needs, path: &'static str, methods: MethodRouter<ApiState>) -> Self {
        Self { needs, kind: Kind::Ordinary, refuses: &[], serves: Serves::Page(path, Box::new(methods)) }
    }

    /// With other limits.
    pub(super) fn of(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    /// With errors of its own.
    pub(super) fn refusing(self, refuses: &'static [Code]) -> Self {
        Self { refuses, ..self }
    }
}

/// The router of the table. It leaves the document unmade: few daemons are ever asked for it.
pub fn router(state: ApiState) -> Router {
    let mut routes = Router::new();
    for Row { needs, kind, serves, .. } in table() {
        let is_page = matches!(serves, Serves::Page(..));
        let kept = |methods| limited(guarded(methods, needs, is_page, &state), kind);
        match serves {
            Serves::Described(describe) => {
                let (_, paths, methods) = describe();
                let methods = kept(methods);
                for path in paths.paths.keys() {
                    routes = routes.route(path, methods.clone());
                }
            }
            Serves::Page(path, methods) => routes = routes.route(path, kept(*methods)),
        }
    }
    routes
        .fallback(console::no_such_page)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(from_fn_with_state(state.clone(), guard::refuse_other_sites))
        .layer(tower_http::catch_panic::CatchPanicLayer::custom(problem::panicked))
        .layer(from_fn_with_state(state.clone(), guard::add_headers))
        .with_state(state)
}

/// The document of the table.
pub(super) fn described() -> OpenApi {
    let mut described = OpenApiRouter::with_openapi(document::frame());
    for Row { needs, kind, refuses, serves } in table() {
        match serves {
            Serves::Described(describe) => {
                let (schemas, mut paths, methods) = describe();
                document::complete(&mut paths, needs, kind, refuses);
                described = described.routes((schemas, paths, methods));
            }
            Serves::Page(..) => {}
        }
    }
    described.into_openapi()
}

/// Lets in whom the row lets in. The caller is handed on, so that nobody has to look twice.
fn guarded(methods: MethodRouter<ApiState>, needs: Needs, is_page: bool, state: &ApiState) -> MethodRouter<ApiState> {
    match needs {
        Needs::Nothing => methods,
        Needs::Right(_) | Needs::SignedIn => {
            methods.route_layer(from_fn_with_state((state.clone(), needs, is_page), enforce))
        }
    }
}

async fn enforce(
    State((state, needs, is_page)): State<(ApiState, Needs, bool)>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let caller = match Caller::from_request_parts(&mut parts, &state).await {
        Ok(caller) => caller,
        Err(problem) if is_page => return Ok(sent_to_sign_in(&parts, problem)),
        Err(problem) => return Err(problem),
    };
    match needs {
        Needs::Right(right) => caller.may(right)?,
        Needs::Nothing | Needs::SignedIn => {}
    }
    parts.extensions.insert(caller);
    parts.extensions.insert(needs);
    Ok(next.run(Request::from_parts(parts, body)).await)
}

/// Requests may be so large and take so long.
fn limited(methods: MethodRouter<ApiState>, kind: Kind) -> MethodRouter<ApiState> {
    let Some((body_bytes, within)) = kind.limits() else {
        return methods.route_layer(DefaultBodyLimit::max(BODY_LIMIT));
    };
    within_limits(methods, body_bytes, within)
}

fn within_limits<S>(methods: MethodRouter<S>, body_bytes: usize, within: Duration) -> MethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    methods
        .route_layer(DefaultBodyLimit::max(body_bytes))
        .route_layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, within))
        .route_layer(map_response(problem::ended))
}

/// A route as tests of rights walk it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// `GET`, `POST`, `PUT` or `DELETE`; none where a page takes what its router says.
    pub method: Option<&'static str>,
    /// The path, with `{id}` for its parts.
    pub path: String,
    /// What it needs.
    pub needs: Needs,
}

/// Every route of the table.
pub fn listed() -> Vec<Listed> {
    let mut all = Vec::new();
    for Row { needs, serves, .. } in table() {
        match serves {
            Serves::Page(path, _) => all.push(Listed { method: None, path: path.to_owned(), needs }),
            Serves::Described(describe) => {
                for (path, item) in describe().1.paths {
                    let methods = METHODS.iter().filter(|(method, _)| document::operation(&item, method).is_some());
                    all.extend(methods.map(|(_, name)| Listed { method: Some(name), path: path.clone(), needs }));
                }
            }
        }
    }
    all
}

/// The methods that rows may have, with their names.
pub(super) const METHODS: [(HttpMethod, &str); 4] =
    [(HttpMethod::Get, "GET"), (HttpMethod::Post, "POST"), (HttpMethod::Put, "PUT"), (HttpMethod::Delete, "DELETE")];

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::header;
    use axum::routing::get;
    use serde_json::{Value, json};
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_request_that_is_not_answered_in_time_ends_with_a_problem_document() {
        let methods = within_limits(get(std::future::pending::<()>), BODY_LIMIT, Duration::from_millis(1));
        let request = Request::get("/").body(Body::empty()).expect("a request");
        let answered = Router::new().route("/", methods).oneshot(request).await.expect("an answer");
        assert_eq!(answered.status(), StatusCode::REQUEST_TIMEOUT);
        assert_eq!(answered.headers()[header::CONTENT_TYPE], "application/problem+json");
        let body = axum::body::to_bytes(answered.into_body(), BODY_LIMIT).await.expect("a body");
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!((&body["code"], &body["status"]), (&json!("not_in_time"), &json!(408)));
    }

    #[test]
    fn every_row_has_a_place_of_its_own() {
        let mut seen = std::collections::BTreeSet::new();
        for route in listed() {
            assert!(seen.insert((route.method, route.path.clone())), "{route:?} is there twice");
        }
        assert!(seen.len() > 15, "{seen:?}");
    }
}
