//! The table of routes. Both the router and the OpenAPI document are built from it, so no route exists without a row
//! that states its access requirement, its limits on size and time, and its errors.
//!
//! The right of a row is checked before its handler is called. The handler itself checks the tenant and the agents,
//! because only it knows which are meant.

pub(super) mod limits;
pub(super) mod role_table;
pub(super) mod route;
mod table;

use std::sync::LazyLock;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, FromRequestParts as _, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::Response;
use axum::routing::MethodRouter;
use axum::{Extension, Router};
use bytes::Bytes;
use tower_http::timeout::TimeoutLayer;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::HttpMethod;
use utoipa_axum::router::OpenApiRouter;

use self::limits::{BODY_LIMIT, RouteKind};
use self::route::{AccessRequirement, Route, RouteHandlers};
use self::table::table;
use super::auth::{Caller, redirect_to_sign_in};
use super::openapi::OpenApiSource;
use super::problem::{self, Problem};
use super::state::ApiState;
use super::{console, guard, openapi};

/// Builds the router from the table.
///
/// It does not build the OpenAPI document, because few daemons are ever asked for it.
pub fn router(state: ApiState) -> Router {
    let mut routes = Router::new();
    for Route { access, kind, handlers, .. } in table() {
        let is_page = matches!(handlers, RouteHandlers::Page(..));
        let prepared = |methods| with_limits(with_access_check(methods, access, is_page, &state), kind);
        match handlers {
            RouteHandlers::Documented(describe) => {
                let (_, paths, methods) = describe();
                let methods = prepared(methods);
                for path in paths.paths.keys() {
                    routes = routes.route(path, methods.clone());
                }
            }
            RouteHandlers::Page(path, methods) => routes = routes.route(path, prepared(*methods)),
        }
    }
    routes
        .fallback(console::page_not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(from_fn_with_state(state.clone(), guard::reject_cross_site))
        .layer(tower_http::catch_panic::CatchPanicLayer::custom(problem::panic_response))
        .layer(from_fn_with_state(state.clone(), guard::add_headers))
        .layer(Extension(OpenApiSource(&OPENAPI_JSON)))
        .with_state(state)
}

/// The OpenAPI document as JSON, built when it is first requested.
pub(super) static OPENAPI_JSON: LazyLock<Bytes> =
    LazyLock::new(|| Bytes::from(openapi_document().to_json().unwrap_or_default()));

/// Builds the OpenAPI document from the table.
fn openapi_document() -> OpenApi {
    let mut document_router = OpenApiRouter::with_openapi(openapi::base_document());
    for Route { access, kind, error_codes, handlers } in table() {
        if let RouteHandlers::Documented(describe) = handlers {
            let (schemas, mut paths, methods) = describe();
            openapi::complete_operations(&mut paths, access, kind, &error_codes);
            document_router = document_router.routes((schemas, paths, methods));
        }
    }
    document_router.into_openapi()
}

/// Adds the check of the access requirement. It passes the caller on to the handler, so that nobody has to authenticate
/// twice.
fn with_access_check(
    methods: MethodRouter<ApiState>,
    access: AccessRequirement,
    is_page: bool,
    state: &ApiState,
) -> MethodRouter<ApiState> {
    match access {
        AccessRequirement::Public => methods,
        AccessRequirement::Right(_) | AccessRequirement::SignedIn => {
            methods.route_layer(from_fn_with_state((state.clone(), access, is_page), check_access))
        }
    }
}

async fn check_access(
    State((state, access, is_page)): State<(ApiState, AccessRequirement, bool)>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let caller = match Caller::from_request_parts(&mut parts, &state).await {
        Ok(caller) => caller,
        Err(problem) if is_page => return Ok(redirect_to_sign_in(&parts, problem)),
        Err(problem) => return Err(problem),
    };
    match access {
        AccessRequirement::Right(right) => caller.require(right)?,
        AccessRequirement::Public | AccessRequirement::SignedIn => {}
    }
    parts.extensions.insert(caller);
    parts.extensions.insert(access);
    Ok(next.run(Request::from_parts(parts, body)).await)
}

/// Adds the limits on the size and the time of requests.
fn with_limits(methods: MethodRouter<ApiState>, kind: RouteKind) -> MethodRouter<ApiState> {
    let Some((body_bytes, timeout)) = kind.limits() else {
        return methods.route_layer(DefaultBodyLimit::max(BODY_LIMIT));
    };
    with_body_and_time_limits(methods, body_bytes, timeout)
}

fn with_body_and_time_limits<S>(methods: MethodRouter<S>, body_bytes: usize, timeout: Duration) -> MethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    methods
        .route_layer(DefaultBodyLimit::max(body_bytes))
        .route_layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, timeout))
        .route_layer(map_response(problem::replace_timeout))
}

/// A route, as tests of access rights enumerate it.
#[derive(Clone, Debug)]
pub struct RouteInfo {
    /// `GET`, `POST`, `PUT` or `DELETE`; `None` for a page, whose router decides.
    pub method: Option<&'static str>,
    /// The path, with `{id}` for its parameters.
    pub path: String,
    /// The access requirement.
    pub access: AccessRequirement,
}

/// Returns every route of the table.
pub fn list_routes() -> Vec<RouteInfo> {
    let mut all = Vec::new();
    for Route { access, handlers, .. } in table() {
        match handlers {
            RouteHandlers::Page(path, _) => all.push(RouteInfo { method: None, path: path.to_owned(), access }),
            RouteHandlers::Documented(describe) => {
                for (path, item) in describe().1.paths {
                    let methods = METHODS.iter().filter(|(method, _)| openapi::operation(&item, method).is_some());
                    all.extend(methods.map(|(_, name)| RouteInfo { method: Some(name), path: path.clone(), access }));
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
        let methods = with_body_and_time_limits(get(std::future::pending::<()>), BODY_LIMIT, Duration::from_millis(1));
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
        for route in list_routes() {
            assert!(seen.insert((route.method, route.path.clone())), "{route:?} is there twice");
        }
        assert!(seen.len() > 15, "{seen:?}");
    }
}
