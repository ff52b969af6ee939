//! Access by configuration alone: its tokens, and the trusted identity proxy.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use axum::http::HeaderName;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::domain::access::network::Network;
use crate::domain::access::rights::{Right, Role, Scope};
use crate::domain::access::secret::Secret;
use crate::domain::ids::TenantId;
use crate::engine::access::accounts::{CredentialKind, Permissions};

/// A token from the configuration and its access.
#[derive(Clone, Debug)]
pub struct ConfiguredToken {
    /// The token's name, in logs and in the audit log.
    pub id: Arc<str>,
    /// The token.
    pub token: Secret,
    /// The tenants that the token is for; all of them if `None`.
    pub tenants: Option<BTreeSet<TenantId>>,
    /// The rights of the token.
    pub rights: BTreeSet<Right>,
}

/// Which proxies in front of the daemon are trusted, and with which headers.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct TrustedProxy {
    /// The networks whose statements about users are trusted.
    pub peers: Vec<Network>,
    /// The header that names the signed-in user.
    pub user: Option<HeaderName>,
    /// The header that names the user's groups.
    pub groups: Option<HeaderName>,
    /// The character between groups.
    pub separator: char,
    /// The roles of groups; the first group that the user is in decides.
    pub roles: Vec<GroupRole>,
}

/// What members of a group may do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupRole {
    /// The group, as the proxy spells it.
    pub group: String,
    /// The role of its members.
    pub role: Role,
    /// The tenants and teams that the role is for.
    pub reach: Scope,
}

impl TrustedProxy {
    /// Whether statements of a peer about users are trusted.
    pub(super) fn trusts(&self, peer: IpAddr) -> bool {
        self.peers.iter().any(|network| network.contains(peer))
    }

    /// Returns the permissions of a user who is in these groups.
    pub(super) fn group_permissions(&self, user: &Arc<str>, groups: &[String]) -> Option<Arc<Permissions>> {
        let found = self.roles.iter().find(|given| groups.contains(&given.group))?;
        Some(Arc::new(Permissions {
            id: user.clone(),
            name: user.clone(),
            kind: CredentialKind::Proxy,
            role: Some(found.role),
            rights: found.role.rights(),
            scope: found.reach.clone(),
        }))
    }
}

/// All configured tokens by the hash of their text, and the trusted proxies.
///
/// Comparing hashes takes the same time whether a token is nearly right or not.
#[derive(Default)]
pub struct ConfiguredAccess {
    tokens: Vec<([u8; 32], Arc<Permissions>)>,
    proxy: TrustedProxy,
}

impl ConfiguredAccess {
    /// Creates the access of these tokens, without a proxy.
    pub fn new(tokens: Vec<ConfiguredToken>) -> Self {
        let tokens = tokens.into_iter().map(|access| {
            let powers = Permissions {
                id: access.id.clone(),
                name: access.id,
                kind: CredentialKind::Configured,
                role: None,
                rights: access.rights,
                scope: access.tenants.map_or(Scope::Everywhere, Scope::for_tenants),
            };
            (token_digest(access.token.expose()), Arc::new(powers))
        });
        Self { tokens: tokens.collect(), proxy: TrustedProxy::default() }
    }

    /// Sets the trusted proxy.
    #[must_use]
    pub fn with_proxy(self, proxy: TrustedProxy) -> Self {
        Self { proxy, ..self }
    }

    /// Returns the trusted proxy.
    pub(in crate::http) const fn proxy(&self) -> &TrustedProxy {
        &self.proxy
    }

    /// Returns the permissions of a token.
    pub(super) fn find_token(&self, hash: &[u8; 32]) -> Option<Arc<Permissions>> {
        let mut found = None;
        for (known, powers) in &self.tokens {
            if bool::from(known.ct_eq(hash)) {
                found = Some(powers);
            }
        }
        found.cloned()
    }
}

/// Returns the SHA-256 hash of a token's text.
pub(super) fn token_digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
