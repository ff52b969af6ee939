//! Who may use the HTTP face by the configuration alone: its tokens, and what an identity proxy is believed.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use axum::http::HeaderName;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::domain::access::network::Network;
use crate::domain::access::rights::{Reach, Right, Role};
use crate::domain::access::secret::Secret;
use crate::domain::ids::TenantId;
use crate::engine::access::accounts::{Kind, Powers};

/// One token of the configuration and what it may do.
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

/// What those who stand in front of the daemon are believed.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Proxy {
    /// Who is believed at all.
    pub peers: Vec<Network>,
    /// The header that names who has signed in there.
    pub user: Option<HeaderName>,
    /// The header that names the groups.
    pub groups: Option<HeaderName>,
    /// What parts them.
    pub separator: char,
    /// What the groups give; the first that somebody is in counts.
    pub roles: Vec<GroupRole>,
}

/// What a group gives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupRole {
    /// The group, as the proxy spells it.
    pub group: String,
    /// The role.
    pub role: Role,
    /// Where.
    pub reach: Reach,
}

impl Proxy {
    /// Whether what a peer says of others is believed.
    pub(super) fn believes(&self, peer: IpAddr) -> bool {
        self.peers.iter().any(|network| network.has(peer))
    }

    /// What somebody has who is in these groups.
    pub(super) fn powers(&self, user: &Arc<str>, groups: &[String]) -> Option<Arc<Powers>> {
        let found = self.roles.iter().find(|given| groups.contains(&given.group))?;
        Some(Arc::new(Powers {
            id: user.clone(),
            name: user.clone(),
            kind: Kind::Proxy,
            role: Some(found.role),
            rights: found.role.rights(),
            reach: found.reach.clone(),
        }))
    }
}

/// All tokens, by the hash of their text: comparing hashes takes as long for a near miss as for a far one. And the proxies.
#[derive(Default)]
pub struct Tokens {
    tokens: Vec<([u8; 32], Arc<Powers>)>,
    proxy: Proxy,
}

impl Tokens {
    /// These tokens.
    pub fn new(tokens: Vec<Access>) -> Self {
        let tokens = tokens.into_iter().map(|access| {
            let powers = Powers {
                id: access.id.clone(),
                name: access.id,
                kind: Kind::Configured,
                role: None,
                rights: access.rights,
                reach: access.tenants.map_or(Reach::Everywhere, Reach::tenants),
            };
            (digest(access.token.expose()), Arc::new(powers))
        });
        Self { tokens: tokens.collect(), proxy: Proxy::default() }
    }

    /// And these proxies.
    #[must_use]
    pub fn behind(self, proxy: Proxy) -> Self {
        Self { proxy, ..self }
    }

    /// What the proxies are believed.
    pub(in crate::http) const fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// What the holder of a token has.
    pub(super) fn find(&self, hash: &[u8; 32]) -> Option<Arc<Powers>> {
        let mut found = None;
        for (known, powers) in &self.tokens {
            if bool::from(known.ct_eq(hash)) {
                found = Some(powers);
            }
        }
        found.cloned()
    }
}

/// SHA-256 of a token's text.
pub(super) fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
