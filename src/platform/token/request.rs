//! The token request in its three styles, and the checks of its answer.

use std::fmt;
use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;

use crate::clock::SharedClock;
use crate::domain::access::secret::Secret;
use crate::platform::client::{ApiReply, HttpCaller};
use crate::platform::error::{Failure, excerpt};
use crate::platform::url_path::join_path;

/// The maximum size of a token answer, in bytes. A larger one is something else.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// The lifetime of a token if its answer does not say (source: the guides).
const DEFAULT_LIFETIME: Duration = Duration::from_secs(3600);

/// How the credentials are sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenStyle {
    /// In the form, together with the grant type (guides 001 and 003).
    Body,
    /// As HTTP Basic authentication (guide 002).
    Basic,
    /// In the form; the answer gives the base of every other URL (guide 000).
    Legacy,
}

impl TokenStyle {
    /// Returns the path that the style's guide gives.
    pub const fn default_path(self) -> &'static str {
        match self {
            Self::Body => "/oauth2/token",
            Self::Basic => "/oauth/token",
            Self::Legacy => "/InContactAuthorizationServer/Token",
        }
    }
}

/// The settings of token requests.
#[derive(Clone, Debug)]
pub struct TokenSettings {
    /// How the credentials are sent.
    pub style: TokenStyle,
    /// The base of the token request's URL, and of all others unless the answer gives another.
    pub base_url: Url,
    /// The path of token requests below the base.
    pub path: String,
    /// The client's id.
    pub client_id: String,
    /// The client's secret.
    pub client_secret: Secret,
    /// The requested scopes, separated by spaces; not sent if empty.
    pub scope: String,
    /// The platform's own id of the tenant, if it needs one.
    pub tenant_id: Option<String>,
}

/// A usable token answer.
pub(super) struct Grant {
    pub(super) text: Secret,
    pub(super) header: HeaderValue,
    pub(super) base: Url,
    /// The clock's monotonic time before the request, from which the lifetime is counted.
    pub(super) requested_at: Duration,
    pub(super) lifetime: Duration,
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("base", &self.base.as_str())
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct TokenResponse {
    access_token: String,
    #[serde(default)]
    expires_in: Option<ExpiresIn>,
    #[serde(default)]
    resource_server_base_uri: Option<String>,
}

/// A number of seconds as a number or a string; servers send both.
#[derive(Deserialize)]
#[serde(untagged)]
enum ExpiresIn {
    Number(f64),
    Text(String),
}

impl ExpiresIn {
    fn duration(&self) -> Option<Duration> {
        let seconds = match self {
            Self::Number(number) => *number,
            Self::Text(text) => text.trim().parse().ok()?,
        };
        Duration::try_from_secs_f64(seconds).ok().filter(|life| *life >= Duration::from_secs(1))
    }
}

/// Sends one token request.
pub(super) async fn request_token(
    caller: &HttpCaller,
    clock: &SharedClock,
    settings: &TokenSettings,
) -> Result<Grant, Failure> {
    let asked_at = clock.monotonic();
    let url = join_path(&settings.base_url, &settings.path, &[])?;
    let mut form = vec![("grant_type", "client_credentials")];
    let mut request = caller.request(Method::POST, url);
    match settings.style {
        TokenStyle::Body | TokenStyle::Legacy => {
            form.push(("client_id", &settings.client_id));
            form.push(("client_secret", settings.client_secret.expose()));
        }
        TokenStyle::Basic => {
            request = request.basic_auth(&settings.client_id, Some(settings.client_secret.expose()));
        }
    }
    form.extend(settings.tenant_id.as_deref().map(|tenant| ("tenant_id", tenant)));
    if !settings.scope.is_empty() {
        form.push(("scope", &settings.scope));
    }
    let reply = caller.exchange(request.form(&form), clock, MAX_ANSWER_BYTES).await;
    let reply = reply.map_err(|failure| token_unavailable(&failure))?;
    let client_secret = settings.client_secret.expose();
    match reply.status {
        StatusCode::TOO_MANY_REQUESTS => Err(Failure::TokenUnavailable {
            reason: "the token endpoint throttles us (429)".to_owned(),
            retry_after: reply.retry_after(),
        }),
        status if status.is_client_error() => {
            Err(Failure::TokenRefused { status: status.as_u16(), excerpt: excerpt(&reply.body, &[client_secret]) })
        }
        status if status.is_success() => parse_grant(&reply, clock, settings, asked_at),
        status => Err(Failure::TokenUnavailable {
            reason: format!("the token endpoint failed ({})", status.as_u16()),
            retry_after: reply.retry_after(),
        }),
    }
}

fn token_unavailable(failure: &Failure) -> Failure {
    Failure::TokenUnavailable { reason: format!("the token endpoint: {failure}"), retry_after: None }
}

fn parse_grant(
    reply: &ApiReply,
    clock: &SharedClock,
    settings: &TokenSettings,
    asked_at: Duration,
) -> Result<Grant, Failure> {
    // The answer may contain a token even if it makes no sense as a whole, so none of it is shown.
    let unusable = |what: &str| Failure::TokenUnavailable {
        reason: format!("the token endpoint's answer ({}) {what}", reply.status.as_u16()),
        retry_after: None,
    };
    let response: TokenResponse =
        reply.parse_object().ok_or_else(|| unusable("is no JSON object with an access_token"))?;
    if response.access_token.is_empty() {
        return Err(unusable("holds an empty access_token"));
    }
    let mut header = HeaderValue::from_str(&format!("Bearer {}", response.access_token))
        .map_err(|_| unusable("holds a token that no header can carry"))?;
    header.set_sensitive(true);
    let life = match &response.expires_in {
        None => DEFAULT_LIFETIME,
        Some(seconds) => seconds.duration().ok_or_else(|| unusable("has an expires_in that is no time"))?,
    };
    let base = match (&response.resource_server_base_uri, settings.style) {
        (Some(text), _) => allowed_base(text, clock, settings).map_err(unusable)?,
        (None, TokenStyle::Legacy) => return Err(unusable("lacks resource_server_base_uri")),
        (None, TokenStyle::Body | TokenStyle::Basic) => settings.base_url.clone(),
    };
    Ok(Grant { text: Secret::new(response.access_token), header, base, requested_at: asked_at, lifetime: life })
}

/// Returns the base that the answer gives, if requests may be sent there: never a change from https to http, and with a
/// clock faster than real time only this host.
fn allowed_base(text: &str, clock: &SharedClock, settings: &TokenSettings) -> Result<Url, &'static str> {
    let base = Url::parse(text.trim()).map_err(|_| "has a resource_server_base_uri that is no URL")?;
    if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
        return Err("has a resource_server_base_uri that is no http URL");
    }
    if settings.base_url.scheme() == "https" && base.scheme() != "https" {
        return Err("has a resource_server_base_uri without TLS");
    }
    if clock.speed() != 1 && !is_loopback(&base) {
        return Err("has a resource_server_base_uri beyond this host, while the clock does not run at real speed");
    }
    Ok(base)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
