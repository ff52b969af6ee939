//! What a page shows is what the API answers: the same handler is asked, in this process, with the same caller and so with the
//! same rights; its answer is read as the shape that is documented.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::handler::Handler;
use axum::http::{Request, StatusCode, header};
use axum::routing::get;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tower::ServiceExt as _;
use url::form_urlencoded::Serializer;

use super::ask::Ask;
use super::failure::Failure;
use crate::http::ApiState;
use crate::http::problem::{Code, Problem};

/// The largest answer that a page is made of: a set of ten thousand agents takes some six megabytes.
const LARGEST: usize = 32 << 20;

/// Which handler's route is meant, and with what.
pub(in crate::http::console) struct Want<'a> {
    /// As the table has it, with `{id}` where the path has a part of its own.
    pub(in crate::http::console) route: &'a str,
    /// What stands for `{id}`.
    pub(in crate::http::console) id: Option<&'a str>,
    /// Beside the tenant.
    pub(in crate::http::console) query: &'a [(&'a str, &'a str)],
}

#[derive(Deserialize)]
struct Said {
    detail: String,
}

/// Asks a handler for what a page shows.
pub(in crate::http::console) async fn read<T, H, X>(
    state: &ApiState,
    ask: &Ask,
    want: Want<'_>,
    handler: H,
) -> Result<T, Failure>
where
    T: DeserializeOwned,
    H: Handler<X, ApiState>,
    X: 'static,
{
    let request = Request::get(address(ask, &want)).extension(ask.caller.clone()).body(Body::empty());
    let request = request.map_err(|_| bad("the address cannot be read"))?;
    let routes = Router::new().route(want.route, get(handler)).with_state(state.clone());
    let Ok(response) = routes.oneshot(request).await;
    let status = response.status();
    let is_problem =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json");
    let bytes =
        to_bytes(response.into_body(), LARGEST).await.map_err(|_| bad("there is more of it than a page can show"))?;
    if !status.is_success() {
        let said: Option<Said> = serde_json::from_slice(&bytes).ok().filter(|_| is_problem);
        return Err(refused(status, said));
    }
    serde_json::from_slice(&bytes).map_err(|error| {
        // The shapes are ours on both sides; the pages' tests read all of them.
        tracing::error!(%error, route = want.route, "defect: a page cannot read what the API answers");
        Problem::of(Code::Internal, "the page could not be made; see the log").into()
    })
}

/// The path and query of the handler's route.
fn address(ask: &Ask, want: &Want<'_>) -> String {
    let mut query = Serializer::new(String::new());
    query.append_pair("tenant", ask.tenant.as_str());
    query.extend_pairs(want.query.iter().filter(|(_, value)| !value.is_empty()));
    let id: String =
        want.id.map(|id| url::form_urlencoded::byte_serialize(id.as_bytes()).collect()).unwrap_or_default();
    // A form writes a blank as a plus, a path does not know that.
    let path = want.route.replace("{id}", &id.replace('+', "%20"));
    format!("{path}?{}", query.finish())
}

fn bad(detail: &str) -> Failure {
    Problem::bad_request(detail).into()
}

fn refused(status: StatusCode, said: Option<Said>) -> Failure {
    let code = match status {
        StatusCode::NOT_FOUND => Code::NoSuchPlace,
        StatusCode::FORBIDDEN => Code::NotPermitted,
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        status if status.is_client_error() => Code::BadRequest,
        _ => Code::Internal,
    };
    let detail = said.map_or_else(|| "the daemon could not answer; see its log".to_owned(), |said| said.detail);
    Problem::of(code, detail).into()
}
