//! Tokens of the published services: by an access key alone or with a registered application, and by refresh tokens.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::domain::time::UtcMicros;
use crate::sim::call::Call;
use crate::sim::platform_state::{PlatformState, Tenant};
use crate::sim::tokens::{Scope, TokenBase, Tokens};
use crate::sim::wire::Problem;

use super::operations::{PublishedCall, PublishedReply};
use super::trap::Trap;

/// How many times longer than an access token a refresh token is valid.
const REFRESH_LIFETIMES: u32 = 3;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccessKey {
    access_key_id: String,
    access_key_secret: String,
}

#[derive(Deserialize)]
struct RefreshBody {
    token: String,
}

/// What a token request offers.
enum Offer {
    Key { id: String, secret: String },
    Refresh(String),
}

fn read_offer(published: PublishedCall, call: &Call) -> Result<Offer, Problem> {
    let malformed = |error: serde_json::Error| Problem::new(400, "invalid_request", error.to_string());
    match published {
        PublishedCall::KeyToken => {
            let AccessKey { access_key_id: id, access_key_secret: secret } =
                serde_json::from_slice(&call.body).map_err(malformed)?;
            Ok(Offer::Key { id, secret })
        }
        PublishedCall::KeyRefresh => {
            let body: RefreshBody = serde_json::from_slice(&call.body).map_err(malformed)?;
            Ok(Offer::Refresh(body.token))
        }
        _ => {
            let form = call.form.as_ref().ok_or_else(|| Problem::new(400, "invalid_request", "the form is missing"))?;
            match form.grant_type.as_str() {
                "password" => Ok(Offer::Key { id: form.username.clone(), secret: form.password.clone() }),
                "refresh_token" => Ok(Offer::Refresh(form.refresh_token.clone())),
                _ => Err(Problem::new(400, "unsupported_grant_type", "only password and refresh_token")),
            }
        }
    }
}

/// Returns the application's id and, if there is one, its secret: as HTTP Basic, each part form-encoded first, or in the
/// form.
fn offered_app(call: &Call) -> Option<(String, Option<String>)> {
    if let Some(basic) = &call.basic {
        let text = String::from_utf8(BASE64_STANDARD.decode(basic).ok()?).ok()?;
        let (id, secret) = text.split_once(':')?;
        let decoded = |part: &str| {
            let pair = format!("part={part}");
            url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, part)| part.into_owned())
        };
        return Some((decoded(id)?, Some(decoded(secret)?)));
    }
    let form = call.form.as_ref().filter(|form| !form.client_id.is_empty())?;
    Some((form.client_id.clone(), Some(form.client_secret.clone()).filter(|secret| !secret.is_empty())))
}

impl PlatformState {
    /// Returns the tenant that a token request claims, whether or not its credentials are valid.
    pub(super) fn claimed_tenant(&self, published: PublishedCall, call: &Call) -> Option<usize> {
        match read_offer(published, call).ok()? {
            Offer::Key { id, .. } => self.tenants.iter().position(|tenant| tenant.client_id == id),
            Offer::Refresh(token) => {
                let claimed = Tokens::claimed_tenant(&token);
                self.tenants.iter().position(|tenant| tenant.id.as_str() == claimed)
            }
        }
    }

    /// Answers a token request of either kind.
    pub(super) fn grant_token(
        &mut self,
        published: PublishedCall,
        call: &Call,
        tenant: Option<usize>,
        now: UtcMicros,
    ) -> Result<PublishedReply, Problem> {
        let offer = read_offer(published, call)?;
        let is_refresh = matches!(offer, Offer::Refresh(_));
        let refused = || match published {
            PublishedCall::KeyToken | PublishedCall::KeyRefresh => {
                Problem::new(401, "invalid_grant", "the key or token is not valid")
            }
            _ => Problem::new(400, "invalid_grant", "the key or token is not valid"),
        };
        let tenant = tenant.and_then(|at| self.tenants.get(at)).ok_or_else(refused)?;
        if published == PublishedCall::AppToken && !is_own_app(tenant, call) {
            return Err(Problem::new(
                400,
                "invalid_client",
                "the application is not registered or its secret is wrong",
            ));
        }
        let is_right = match &offer {
            Offer::Key { secret, .. } => *secret == tenant.client_secret,
            Offer::Refresh(token) => {
                self.tokens.take_refresh(token, now).is_some_and(|id| id == tenant.id) && !tenant.has(Trap::NoRefresh)
            }
        };
        if !is_right {
            return Err(refused());
        }
        let lifetime = self.token_lifetime;
        let access = self.tokens.issue(&tenant.id, Scope::ALL.to_vec(), TokenBase::Root, now, lifetime);
        let refresh = self.tokens.issue_refresh(&tenant.id, now, lifetime * REFRESH_LIFETIMES);
        if is_refresh && published == PublishedCall::KeyRefresh {
            return Ok(PublishedReply::json(json!({
                "token": access,
                "tokenExpirationTimeSec": lifetime.as_secs(),
                "refreshToken": refresh,
                "refreshTokenExpirationTimeSec": 0,
            })));
        }
        let mut body = json!({
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": lifetime.as_secs(),
            "refresh_token": refresh,
        });
        if published == PublishedCall::KeyToken {
            body["refresh_token_expires_in"] = (lifetime * REFRESH_LIFETIMES).as_secs().into();
        }
        if !tenant.has(Trap::NoIdToken) {
            body["id_token"] = id_token(tenant).into();
        }
        Ok(PublishedReply::json(body))
    }
}

fn is_own_app(tenant: &Tenant, call: &Call) -> bool {
    offered_app(call)
        .is_some_and(|(id, secret)| id == tenant.app_id && secret.is_none_or(|secret| secret == tenant.app_secret))
}

/// Returns an id token that names the tenant. Nobody signs it.
fn id_token(tenant: &Tenant) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({ "tenantId": tenant.id, "icBUId": tenant.published.business_unit, "icClusterId": "sim" });
    format!("{}.{}.", part(&json!({ "alg": "none" })), part(&claims))
}
