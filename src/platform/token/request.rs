//! The token request in its three styles, and the checks of its answer.

use std::time::Duration;

use reqwest::{Method, Url};
use serde::Deserialize;

use super::endpoint::{DEFAULT_LIFETIME, ExpiresIn, Grant, TokenEndpoint, allowed_origin, bearer_header, exchange};
use crate::clock::{BoxFuture, SharedClock};
use crate::domain::access::secret::Secret;
use crate::platform::client::{ApiReply, HttpCaller};
use crate::platform::error::Failure;
use crate::platform::url_path::join_path;

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

/// Tokens by client credentials, as in the guides.
#[derive(Clone, Debug)]
pub struct ClientCredentials {
    /// Sends the requests.
    pub caller: HttpCaller,
    /// The daemon's clock.
    pub clock: SharedClock,
    /// The settings of the requests.
    pub settings: TokenSettings,
}

impl TokenEndpoint for ClientCredentials {
    fn request(&self) -> BoxFuture<Result<Grant, Failure>> {
        let Self { caller, clock, settings } = self.clone();
        Box::pin(async move { request_token(&caller, &clock, &settings).await })
    }

    fn secret(&self) -> &Secret {
        &self.settings.client_secret
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

/// Sends one token request.
async fn request_token(caller: &HttpCaller, clock: &SharedClock, settings: &TokenSettings) -> Result<Grant, Failure> {
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
    let client_secret = settings.client_secret.expose();
    let reply = exchange(caller, clock, request.form(&form), &[client_secret]).await?;
    parse_grant(&reply, clock, settings, asked_at)
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
    let header =
        bearer_header(&response.access_token).ok_or_else(|| unusable("holds a token that no header can carry"))?;
    let life = match &response.expires_in {
        None => DEFAULT_LIFETIME,
        Some(seconds) => seconds.duration().ok_or_else(|| unusable("has an expires_in that is no time"))?,
    };
    let base = match (&response.resource_server_base_uri, settings.style) {
        (Some(text), _) => allowed_origin(text, &settings.base_url, clock)
            .map_err(|why| unusable(&format!("has a resource_server_base_uri {why}")))?,
        (None, TokenStyle::Legacy) => return Err(unusable("lacks resource_server_base_uri")),
        (None, TokenStyle::Body | TokenStyle::Basic) => settings.base_url.clone(),
    };
    Ok(Grant { text: Secret::new(response.access_token), header, base, requested_at: asked_at, lifetime: life })
}
