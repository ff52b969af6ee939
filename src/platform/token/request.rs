//! The token request on the wire, in its three styles, and what its answer must hold.

use std::fmt;
use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;

use crate::clock::SharedClock;
use crate::domain::access::secret::Secret;
use crate::platform::address::below;
use crate::platform::client::{Caller, Reply};
use crate::platform::error::{Failure, excerpt};

/// A token answer is small; more than this is something else. In bytes.
const ANSWER_LIMIT: usize = 256 * 1024;

/// How long a token lives when its answer does not say (source: the guides).
const USUAL_LIFE: Duration = Duration::from_secs(3600);

/// How the credentials are sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenStyle {
    /// In the form, beside the grant (guides 001 and 003).
    Body,
    /// As HTTP Basic (guide 002).
    Basic,
    /// In the form; the answer names the base of every other URL (guide 000).
    Legacy,
}

impl TokenStyle {
    /// The path that the style's guide names.
    pub const fn usual_path(self) -> &'static str {
        match self {
            Self::Body => "/oauth2/token",
            Self::Basic => "/oauth/token",
            Self::Legacy => "/InContactAuthorizationServer/Token",
        }
    }
}

/// Where and with what a token is asked for.
#[derive(Clone, Debug)]
pub struct TokenSettings {
    /// How the credentials are sent.
    pub style: TokenStyle,
    /// The base of the token's URL, and of all others unless the answer names another.
    pub base_url: Url,
    /// The token's path below the base.
    pub path: String,
    /// The client's id.
    pub client_id: String,
    /// The client's secret.
    pub client_secret: Secret,
    /// The scopes, parted by spaces; not sent when empty.
    pub scope: String,
    /// The platform's own id of the tenant, where it wants one.
    pub tenant_id: Option<String>,
}

/// A usable answer.
pub(super) struct Grant {
    pub(super) text: Secret,
    pub(super) header: HeaderValue,
    pub(super) base: Url,
    /// The clock's monotonic time before the request: the life counts from there at the latest.
    pub(super) asked_at: Duration,
    pub(super) life: Duration,
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").field("base", &self.base.as_str()).field("life", &self.life).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    #[serde(default)]
    expires_in: Option<Seconds>,
    #[serde(default)]
    resource_server_base_uri: Option<String>,
}

/// Seconds as a number or as text; servers send both.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(f64),
    Text(String),
}

impl Seconds {
    fn duration(&self) -> Option<Duration> {
        let seconds = match self {
            Self::Number(number) => *number,
            Self::Text(text) => text.trim().parse().ok()?,
        };
        Duration::try_from_secs_f64(seconds).ok().filter(|life| *life >= Duration::from_secs(1))
    }
}

/// Asks once.
pub(super) async fn ask(caller: &Caller, clock: &SharedClock, settings: &TokenSettings) -> Result<Grant, Failure> {
    let asked_at = clock.monotonic();
    let url = below(&settings.base_url, &settings.path, &[])?;
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
    let reply = caller.exchange(request.form(&form), clock, ANSWER_LIMIT).await;
    let reply = reply.map_err(|failure| unavailable(&failure))?;
    let most = settings.client_secret.expose();
    match reply.status {
        StatusCode::TOO_MANY_REQUESTS => Err(Failure::TokenUnavailable {
            reason: "the token endpoint throttles us (429)".to_owned(),
            retry_after: reply.retry_after(),
        }),
        status if status.is_client_error() => {
            Err(Failure::TokenRefused { status: status.as_u16(), excerpt: excerpt(&reply.body, &[most]) })
        }
        status if status.is_success() => granted(&reply, clock, settings, asked_at),
        status => Err(Failure::TokenUnavailable {
            reason: format!("the token endpoint failed ({})", status.as_u16()),
            retry_after: reply.retry_after(),
        }),
    }
}

fn unavailable(failure: &Failure) -> Failure {
    Failure::TokenUnavailable { reason: format!("the token endpoint: {failure}"), retry_after: None }
}

fn granted(reply: &Reply, clock: &SharedClock, settings: &TokenSettings, asked_at: Duration) -> Result<Grant, Failure> {
    // The answer may hold a token even where it makes no sense as a whole, so none of it is shown.
    let unusable = |what: &str| Failure::TokenUnavailable {
        reason: format!("the token endpoint's answer ({}) {what}", reply.status.as_u16()),
        retry_after: None,
    };
    let granted: Granted = reply.object().ok_or_else(|| unusable("is no JSON object with an access_token"))?;
    if granted.access_token.is_empty() {
        return Err(unusable("holds an empty access_token"));
    }
    let mut header = HeaderValue::from_str(&format!("Bearer {}", granted.access_token))
        .map_err(|_| unusable("holds a token that no header can carry"))?;
    header.set_sensitive(true);
    let life = match &granted.expires_in {
        None => USUAL_LIFE,
        Some(seconds) => seconds.duration().ok_or_else(|| unusable("has an expires_in that is no time"))?,
    };
    let base = match (&granted.resource_server_base_uri, settings.style) {
        (Some(text), _) => allowed_base(text, clock, settings).map_err(unusable)?,
        (None, TokenStyle::Legacy) => return Err(unusable("lacks resource_server_base_uri")),
        (None, TokenStyle::Body | TokenStyle::Basic) => settings.base_url.clone(),
    };
    Ok(Grant { text: Secret::new(granted.access_token), header, base, asked_at, life })
}

/// The base that the answer names, if our requests may go there: never from https down to http, and with a clock that runs
/// faster than real time nowhere but to this host.
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
