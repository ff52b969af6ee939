//! What a dialect provides so that there are tokens: one request, and the grant that answers it. What all token requests
//! have in common is here too.

use std::fmt;
use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::{RequestBuilder, StatusCode, Url};
use serde::Deserialize;

use crate::clock::{BoxFuture, SharedClock};
use crate::domain::access::secret::Secret;
use crate::platform::client::{ApiReply, HttpCaller};
use crate::platform::error::{Failure, excerpt};

/// Where tokens come from: one request for a token, in the way of a dialect.
pub trait TokenEndpoint: Send + Sync + fmt::Debug {
    /// Requests a token once. [`super::TokenSource`] never runs two requests at the same time.
    fn request(&self) -> BoxFuture<Result<Grant, Failure>>;

    /// Returns the secret of the credentials, for removal from anything that is shown.
    fn secret(&self) -> &Secret;
}

/// A token that was granted.
pub struct Grant {
    /// The token.
    pub text: Secret,
    /// The value of `Authorization`, marked as sensitive.
    pub header: HeaderValue,
    /// The base of every URL that is called with the token.
    pub base: Url,
    /// The clock's monotonic time before the request, from which the lifetime is counted.
    pub requested_at: Duration,
    /// How long the token is valid.
    pub lifetime: Duration,
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("base", &self.base.as_str())
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

/// The maximum size of a token answer, in bytes. A larger one is something else.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// The lifetime of a token if its answer does not say (source: the guides, and the vendor's help for access keys).
pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(3600);

/// A number of seconds as a number or a string; servers send both.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum ExpiresIn {
    /// As a number.
    Number(f64),
    /// As a string.
    Text(String),
}

impl ExpiresIn {
    /// Returns the duration, or `None` if it is less than a second or no number.
    pub fn duration(&self) -> Option<Duration> {
        let seconds = match self {
            Self::Number(number) => *number,
            Self::Text(text) => text.trim().parse().ok()?,
        };
        Duration::try_from_secs_f64(seconds).ok().filter(|life| *life >= Duration::from_secs(1))
    }
}

/// Sends one request to a token endpoint and returns its answer, which is a success. `secrets` are removed from what a
/// failure shows.
pub async fn exchange(
    caller: &HttpCaller,
    clock: &SharedClock,
    request: RequestBuilder,
    secrets: &[&str],
) -> Result<ApiReply, Failure> {
    let unavailable = |reason, retry_after| Failure::TokenUnavailable { reason, retry_after };
    let reply = caller.exchange(request, clock, MAX_ANSWER_BYTES).await;
    let reply = reply.map_err(|failure| unavailable(format!("the token endpoint: {failure}"), None))?;
    match reply.status {
        StatusCode::TOO_MANY_REQUESTS => {
            Err(unavailable("the token endpoint throttles us (429)".to_owned(), reply.retry_after()))
        }
        status if status.is_client_error() => {
            Err(Failure::TokenRefused { status: status.as_u16(), excerpt: excerpt(&reply.body, secrets) })
        }
        status if status.is_success() => Ok(reply),
        status => Err(unavailable(format!("the token endpoint failed ({})", status.as_u16()), reply.retry_after())),
    }
}

/// Returns the origin that an answer names, if the token may be sent there: never a change from https to http, and with
/// a clock faster than real time only this host. `trusted` is the configured origin that gave the answer. The error
/// completes the sentence "it names an origin …".
pub fn allowed_origin(text: &str, trusted: &Url, clock: &SharedClock) -> Result<Url, &'static str> {
    let origin = Url::parse(text.trim()).map_err(|_| "that is no URL")?;
    if !matches!(origin.scheme(), "http" | "https") || !origin.has_host() {
        return Err("that is no http URL");
    }
    if trusted.scheme() == "https" && origin.scheme() != "https" {
        return Err("without TLS");
    }
    if clock.speed() != 1 && !is_loopback(&origin) {
        return Err("beyond this host, while the clock does not run at real speed");
    }
    Ok(origin)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Returns the `Authorization` header of a token, or `None` if no header can contain it.
pub fn bearer_header(token: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    header.set_sensitive(true);
    Some(header)
}
