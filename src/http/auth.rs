//! Bearer tokens from the configuration: who is asking, for which tenants, with which rights.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::ApiState;
use super::problem::{Code, Problem};
use crate::domain::ids::{AgentId, TeamName, TenantId};
pub use crate::domain::rights::Right;
use crate::domain::rights::Asker;
use crate::domain::secret::Secret;

/// One token and what it may do.
#[derive(Clone, Debug)]
pub struct Access {
    /// Its name, in logs and in the audit chain.
    pub id: Arc<str>,
    /// The token.
    pub token: Secret,
    /// The tenants it is for; every one when there is no list.
    pub tenants: Option<BTreeSet<TenantId>>,
    /// What it may do.
    pub rights: BTreeSet<Right>,
}

/// All tokens, by the hash of their text: comparing hashes takes as long for a near miss as for a far one.
pub struct Tokens(Vec<([u8; 32], Access)>);

impl Tokens {
    /// These tokens.
    pub fn new(tokens: Vec<Access>) -> Self {
        Self(tokens.into_iter().map(|access| (digest(access.token.expose()), access)).collect())
    }

    fn find(&self, token: &str) -> Option<&Access> {
        let wanted = digest(token);
        let mut found = None;
        for (hash, access) in &self.0 {
            if bool::from(hash.ct_eq(&wanted)) {
                found = Some(access);
            }
        }
        found
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Whoever asks, known by a token.
#[derive(Clone, Debug)]
pub(super) struct Caller(Access);

impl Caller {
    /// The token's name.
    pub(super) fn id(&self) -> Arc<str> {
        self.0.id.clone()
    }

    /// The same with where it comes from.
    pub(super) fn asker(&self) -> Asker {
        Asker { id: self.0.id.clone(), source: None }
    }

    /// The teams of the tenant that the caller is bound to; none: all of them.
    #[expect(clippy::unused_self, reason = "tokens of the configuration are bound to no team")]
    pub(super) fn teams(&self, _: &TenantId) -> Option<&BTreeSet<TeamName>> {
        None
    }

    /// Whether the caller may do this to these agents.
    pub(super) async fn check_agents(
        &self,
        state: &ApiState,
        right: Right,
        tenant: &TenantId,
        _: &[AgentId],
    ) -> Result<(), Problem> {
        self.check(state, right, tenant)
    }

    /// Whether the token may do this to the tenant by a newer list of tokens.
    pub(super) fn may_still(&self, tokens: &Tokens, right: Right, tenant: &TenantId) -> bool {
        let access = tokens.find(self.0.token.expose());
        access.is_some_and(|access| {
            access.rights.contains(&right) && access.tenants.as_ref().is_none_or(|tenants| tenants.contains(tenant))
        })
    }

    /// Whether the caller may do this to the tenant. A tenant out of reach looks like one that does not exist.
    pub(super) fn check(&self, state: &ApiState, right: Right, tenant: &TenantId) -> Result<(), Problem> {
        if !self.reaches(tenant) || !state.door.tenants().has(tenant) {
            let detail = format!("there is no tenant {tenant} within reach of the token {}", self.0.id);
            return Err(Problem::of(Code::NoSuchTenant, detail));
        }
        self.may(right)
    }

    /// Whether the tenant is one of the caller's.
    pub(super) fn reaches(&self, tenant: &TenantId) -> bool {
        self.0.tenants.as_ref().is_none_or(|tenants| tenants.contains(tenant))
    }

    /// Whether the caller may do this at all.
    pub(super) fn may(&self, right: Right) -> Result<(), Problem> {
        if self.0.rights.contains(&right) {
            return Ok(());
        }
        let detail =
            format!("the token {} may not {}; give it the right in [[server.tokens]]", self.0.id, right.name());
        Err(Problem::of(Code::NotPermitted, detail))
    }
}

/// The subprotocol of `/live`.
pub(super) const SUBPROTOCOL: &str = "shiftkeeper.live.v1";

/// What stands before the token where it comes as a subprotocol.
const TOKEN_PROTOCOL: &str = "bearer.";

fn bearer(headers: &HeaderMap) -> Option<String> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

/// A browser cannot give a WebSocket a header of its own. It offers `bearer.` and the token in base64url beside the real
/// subprotocol; in the address the token would stand in the logs of whatever is in between.
fn subprotocol_token(headers: &HeaderMap) -> Option<String> {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let encoded =
        offered.flat_map(|value| value.split(',')).find_map(|name| name.trim().strip_prefix(TOKEN_PROTOCOL))?;
    String::from_utf8(URL_SAFE_NO_PAD.decode(encoded.trim_end_matches('=')).ok()?).ok()
}

impl FromRequestParts<ApiState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        // The row of the route has looked already.
        if let Some(caller) = parts.extensions.get::<Self>() {
            return Ok(caller.clone());
        }
        let token = bearer(&parts.headers).or_else(|| subprotocol_token(&parts.headers));
        let unauthorized = |detail: &str| Problem::of(Code::Unauthorized, detail);
        let token = token
            .ok_or_else(|| unauthorized("send `Authorization: Bearer TOKEN` with a token of [[server.tokens]]"))?;
        let access = state.tokens.borrow().find(&token).cloned();
        access
            .map(Self)
            .ok_or_else(|| unauthorized("this token is none of [[server.tokens]] of the daemon at this address"))
    }
}
