//! Access keys, refresh tokens and discovery.
//!
//! A token is renewed with its refresh token. If that is refused, the key is used, once. The token is sent only to the
//! origin of the configuration or, without one, to the origin that discovery names.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use reqwest::{Method, RequestBuilder, Url};
use serde_json::{Value, json};

use crate::clock::{BoxFuture, SharedClock};
use crate::domain::access::secret::Secret;
use crate::platform::client::{ApiReply, HttpCaller};
use crate::platform::error::Failure;
use crate::platform::token::{
    DEFAULT_LIFETIME, ExpiresIn, Grant, TokenEndpoint, allowed_origin, bearer_header, exchange,
};
use crate::platform::url_path::join_path;

/// How a token is requested.
#[derive(Clone, Debug)]
pub enum TokenKind {
    /// With an access key alone, at the user hub.
    AccessKey,
    /// With an access key and an application that is registered with the vendor.
    App {
        /// The application's client id.
        client_id: String,
        /// The application's client secret, if it has one.
        client_secret: Option<Secret>,
    },
}

/// The settings of token requests.
#[derive(Clone, Debug)]
pub struct TokenSettings {
    /// How a token is requested.
    pub kind: TokenKind,
    /// The origin of discovery, and of tokens with an application.
    pub auth_url: Url,
    /// The origin of tokens with an access key alone.
    pub user_hub_url: Url,
    /// The origin of all other calls. If `None`, discovery names it.
    pub api_url: Option<Url>,
    /// The access key's id.
    pub key_id: String,
    /// The access key's secret.
    pub key_secret: Secret,
}

/// Requests tokens.
#[derive(Clone, Debug)]
pub(super) struct AccessKeyTokens {
    pub(super) caller: HttpCaller,
    pub(super) clock: SharedClock,
    pub(super) settings: Arc<TokenSettings>,
    memory: Arc<Mutex<Memory>>,
}

/// What is kept from earlier answers.
#[derive(Debug, Default)]
struct Memory {
    refresh_token: Option<Secret>,
    /// The id token's tenant. An answer without an id token keeps it.
    tenant: Option<String>,
    api_url: Option<Url>,
}

/// A token answer under the names of either service.
#[derive(Debug)]
struct Tokens {
    access: Secret,
    lifetime: Duration,
}

impl AccessKeyTokens {
    pub(super) fn new(caller: HttpCaller, clock: SharedClock, settings: TokenSettings) -> Self {
        Self { caller, clock, settings: Arc::new(settings), memory: Arc::default() }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn grant(&self) -> Result<Grant, Failure> {
        let requested_at = self.clock.monotonic();
        let tokens = match self.refresh().await {
            Some(Ok(tokens)) => tokens,
            Some(Err(Failure::TokenRefused { .. })) | None => self.with_key().await?,
            Some(Err(failure)) => return Err(failure),
        };
        let header = bearer_header(tokens.access.expose())
            .ok_or_else(|| unavailable("the token endpoint's answer holds a token that no header can carry"))?;
        let base = self.api_url().await?;
        Ok(Grant { text: tokens.access, header, base, requested_at, lifetime: tokens.lifetime })
    }

    /// Returns the tenant that the id token named, and whether there is a refresh token.
    pub(super) fn known(&self) -> (Option<String>, bool) {
        let memory = self.memory();
        (memory.tenant.clone(), memory.refresh_token.is_some())
    }

    /// Tries the refresh token and returns the lifetime of the new token, which is not used. Returns `None` if there is
    /// no refresh token.
    pub(super) async fn try_refresh(&self) -> Option<Result<Duration, Failure>> {
        Some(self.refresh().await?.map(|tokens| tokens.lifetime))
    }

    /// Uses the refresh token, which is then used up. Returns `None` if there is none.
    async fn refresh(&self) -> Option<Result<Tokens, Failure>> {
        let refresh_token = self.memory().refresh_token.take()?;
        let settings = &self.settings;
        let request = match &settings.kind {
            TokenKind::AccessKey => self
                .post(&settings.user_hub_url, "/public/user/refresh")
                .map(|request| request.json(&json!({ "token": refresh_token.expose() }))),
            TokenKind::App { client_id, .. } => self.post(&settings.auth_url, "/auth/token").map(|request| {
                let form = [
                    ("grant_type", "refresh_token"),
                    ("refresh_token", refresh_token.expose()),
                    ("client_id", client_id),
                ];
                request.form(&form)
            }),
        };
        Some(match request {
            Ok(request) => self.exchange(request, &[refresh_token.expose()]).await,
            Err(failure) => Err(failure),
        })
    }

    async fn with_key(&self) -> Result<Tokens, Failure> {
        let settings = &self.settings;
        let (id, secret) = (settings.key_id.as_str(), settings.key_secret.expose());
        let request = match &settings.kind {
            TokenKind::AccessKey => self
                .post(&settings.user_hub_url, "/authentication/v1/token/access-key")?
                .json(&json!({ "accessKeyId": id, "accessKeySecret": secret })),
            TokenKind::App { client_id, client_secret } => {
                let request = self.post(&settings.auth_url, "/auth/token")?;
                let mut form = vec![("grant_type", "password"), ("username", id), ("password", secret)];
                if let Some(client_secret) = client_secret {
                    // Both parts are form-encoded first.
                    let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
                    let (name, password): (String, String) = (encoded(client_id), encoded(client_secret.expose()));
                    request.basic_auth(name, Some(password)).form(&form)
                } else {
                    form.push(("client_id", client_id));
                    request.form(&form)
                }
            }
        };
        self.exchange(request, &[]).await
    }

    fn post(&self, origin: &Url, path: &str) -> Result<RequestBuilder, Failure> {
        Ok(self.caller.request(Method::POST, join_path(origin, path, &[])?))
    }

    async fn exchange(&self, request: RequestBuilder, secrets: &[&str]) -> Result<Tokens, Failure> {
        let reply = self.send(request, secrets).await?;
        let answer: Value = reply.parse_object().ok_or_else(|| {
            unavailable(&format!("the token endpoint's answer ({}) is no JSON object", reply.status.as_u16()))
        })?;
        let field = |names: [&str; 2]| {
            let object = answer.as_object()?;
            object
                .iter()
                .find(|(name, _)| names.iter().any(|known| known.eq_ignore_ascii_case(name)))
                .map(|(_, value)| value)
        };
        let text = |names| field(names).and_then(Value::as_str).filter(|text| !text.is_empty());
        // A refusal of the answer must not show it: it may contain a token.
        let access = text(["access_token", "token"])
            .ok_or_else(|| unavailable("the token endpoint's answer has no access_token and no token"))?;
        let lifetime = field(["expires_in", "tokenExpirationTimeSec"])
            .and_then(|value| serde_json::from_value::<ExpiresIn>(value.clone()).ok())
            .and_then(|seconds| seconds.duration());
        let mut memory = self.memory();
        memory.refresh_token = text(["refresh_token", "refreshToken"]).map(Secret::new);
        if let Some(tenant) = text(["id_token", "idToken"]).and_then(tenant_of) {
            memory.tenant = Some(tenant);
        }
        Ok(Tokens { access: Secret::new(access), lifetime: lifetime.unwrap_or(DEFAULT_LIFETIME) })
    }

    /// Returns the origin of the API: the configured one, or the one that discovery names.
    async fn api_url(&self) -> Result<Url, Failure> {
        if let Some(configured) = self.settings.api_url.clone() {
            return Ok(configured);
        }
        let (known, tenant) = {
            let memory = self.memory();
            (memory.api_url.clone(), memory.tenant.clone())
        };
        if let Some(known) = known {
            return Ok(known);
        }
        let tenant = tenant.ok_or_else(|| {
            unavailable("the token endpoint's answer names no tenant, so discovery is not possible: set api_url")
        })?;
        let mut url = join_path(&self.settings.auth_url, "/.well-known/cxone-configuration", &[])?;
        url.query_pairs_mut().append_pair("tenantId", &tenant);
        let reply = self.send(self.caller.request(Method::GET, url), &[]).await?;
        let answer: Value =
            reply.parse_object().ok_or_else(|| unavailable("discovery did not answer with a JSON object"))?;
        let named = answer.get("api_endpoint").and_then(Value::as_str);
        let named = named.ok_or_else(|| unavailable("discovery names no api_endpoint: set api_url"))?;
        let url = allowed_origin(named, &self.settings.auth_url, &self.clock)
            .map_err(|why| unavailable(&format!("discovery names an api_endpoint {why}")))?;
        self.memory().api_url = Some(url.clone());
        Ok(url)
    }

    async fn send(&self, request: RequestBuilder, secrets: &[&str]) -> Result<ApiReply, Failure> {
        let mut hidden = vec![self.settings.key_secret.expose()];
        hidden.extend(secrets);
        exchange(&self.caller, &self.clock, request, &hidden).await
    }
}

impl TokenEndpoint for AccessKeyTokens {
    fn request(&self) -> BoxFuture<Result<Grant, Failure>> {
        let tokens = self.clone();
        Box::pin(async move { tokens.grant().await })
    }

    fn secret(&self) -> &Secret {
        &self.settings.key_secret
    }
}

fn unavailable(reason: &str) -> Failure {
    Failure::TokenUnavailable { reason: reason.to_owned(), retry_after: None }
}

/// Returns the tenant that an id token names. Its signature is not checked: it came with the token, over the same
/// connection.
fn tenant_of(id_token: &str) -> Option<String> {
    let claims = BASE64_URL_SAFE_NO_PAD.decode(id_token.split('.').nth(1)?.trim_end_matches('=')).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    ["tenantId", "tenant"].iter().find_map(|name| claims.get(name)?.as_str().map(str::to_owned))
}
