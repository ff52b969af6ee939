//! Calls of API handlers by pages, so that a page shows what the API returns. The handler is called in this process
//! with the same caller, and so with the same rights; its response is read in the documented form.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::handler::Handler;
use axum::http::{Request, StatusCode, header};
use axum::routing::get;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tower::ServiceExt as _;
use url::form_urlencoded::Serializer;

use super::page_error::PageError;
use super::page_request::PageRequest;
use crate::http::problem::{Code, Problem};
use crate::http::state::ApiState;

/// The largest response that a page reads, in bytes: a change set of ten thousand agents takes about 6 MB.
const MAX_ANSWER_BYTES: usize = 32 << 20;

#[derive(Deserialize)]
struct ProblemDetail {
    detail: String,
}

impl PageRequest {
    /// Prepares a call of an API route, which is named as in the table of routes.
    pub(in crate::http::console) fn api<'a>(&'a self, route: &'static str) -> ApiCall<'a> {
        ApiCall { request: self, route, id: "", query: &[] }
    }
}

/// A call of an API route.
pub(in crate::http::console) struct ApiCall<'a> {
    request: &'a PageRequest,
    route: &'static str,
    /// The value of `{id}`.
    id: &'a str,
    query: &'a [(&'a str, &'a str)],
}

impl<'a> ApiCall<'a> {
    /// Sets the path parameter `{id}`.
    pub(in crate::http::console) fn id(self, id: &'a str) -> Self {
        Self { id, ..self }
    }

    /// Sets the query, without the tenant. Empty values are left out.
    pub(in crate::http::console) fn query(self, query: &'a [(&'a str, &'a str)]) -> Self {
        Self { query, ..self }
    }

    /// Calls the handler of the route.
    pub(in crate::http::console) async fn call<T, H, X>(self, state: &ApiState, handler: H) -> Result<T, PageError>
    where
        T: DeserializeOwned,
        H: Handler<X, ApiState>,
        X: 'static,
    {
        let request = Request::get(self.address()).extension(self.request.caller.clone()).body(Body::empty());
        let request = request.map_err(|_| bad_request("the address cannot be read"))?;
        let routes = Router::new().route(self.route, get(handler)).with_state(state.clone());
        let Ok(response) = routes.oneshot(request).await;
        let status = response.status();
        let is_problem =
            response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json");
        let bytes = to_bytes(response.into_body(), MAX_ANSWER_BYTES)
            .await
            .map_err(|_| bad_request("there is more of it than a page can show"))?;
        if !status.is_success() {
            let problem: Option<ProblemDetail> = serde_json::from_slice(&bytes).ok().filter(|_| is_problem);
            return Err(error_from_response(status, problem));
        }
        serde_json::from_slice(&bytes).map_err(|error| {
            // Both sides use our own types, and tests of the pages read all of them.
            tracing::error!(%error, route = self.route, "defect: a page cannot read what the API answers");
            Problem::from_code(Code::Internal, "the page could not be made; see the log").into()
        })
    }

    /// Returns the path and query.
    fn address(&self) -> String {
        let mut query = Serializer::new(String::new());
        query.append_pair("tenant", self.request.tenant.as_str());
        query.extend_pairs(self.query.iter().filter(|(_, value)| !value.is_empty()));
        let id: String = url::form_urlencoded::byte_serialize(self.id.as_bytes()).collect();
        // Form encoding writes a space as a plus, which a path does not support.
        let path = self.route.replace("{id}", &id.replace('+', "%20"));
        format!("{path}?{}", query.finish())
    }
}

fn bad_request(detail: &str) -> PageError {
    Problem::bad_request(detail).into()
}

fn error_from_response(status: StatusCode, problem: Option<ProblemDetail>) -> PageError {
    let code = match status {
        StatusCode::NOT_FOUND => Code::NoSuchPath,
        StatusCode::FORBIDDEN => Code::NotPermitted,
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        status if status.is_client_error() => Code::BadRequest,
        _ => Code::Internal,
    };
    let detail = problem.map_or_else(|| "the daemon could not answer; see its log".to_owned(), |said| said.detail);
    Problem::from_code(code, detail).into()
}
