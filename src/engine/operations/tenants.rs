//! The tenants that are served, as they are now. A reload brings tenants and takes them: whoever works for all of them, or for one that
//! somebody names, looks here each time and keeps no list of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::domain::ids::TenantId;
use crate::engine::platform::link::Link;

type All = Arc<BTreeMap<TenantId, Option<Arc<Link>>>>;

/// The directory of tenants. Cheap to clone; clones share what is in it.
#[derive(Clone, Debug)]
pub struct Tenants(Arc<watch::Sender<All>>);

/// Tells that the directory was written.
#[derive(Debug)]
pub struct TenantsNews(watch::Receiver<All>);

impl TenantsNews {
    /// Waits for the next time; for ever where the directory is gone.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Default for Tenants {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(All::default())))
    }
}

impl Tenants {
    /// Tenants of a store without workers in this process.
    pub fn named(ids: impl IntoIterator<Item = TenantId>) -> Self {
        let tenants = Self::default();
        tenants.name(ids);
        tenants
    }

    /// These are served from now on, without workers in this process, and no others.
    pub fn name(&self, ids: impl IntoIterator<Item = TenantId>) {
        self.0.send_replace(Arc::new(ids.into_iter().map(|id| (id, None)).collect()));
    }

    /// These are served from now on, and no others.
    pub fn put(&self, links: impl IntoIterator<Item = Arc<Link>>) {
        let all = links.into_iter().map(|link| (link.tenant.clone(), Some(link))).collect();
        self.0.send_replace(Arc::new(all));
    }

    /// Their ids, in order.
    pub fn ids(&self) -> Vec<TenantId> {
        self.0.borrow().keys().cloned().collect()
    }

    /// Wakes whoever looks on when other tenants are served, and perhaps when not.
    pub fn news(&self) -> TenantsNews {
        TenantsNews(self.0.subscribe())
    }

    /// Whether this one is served.
    pub fn has(&self, id: &TenantId) -> bool {
        self.0.borrow().contains_key(id)
    }

    /// What the workers of this one share.
    pub fn link(&self, id: &TenantId) -> Option<Arc<Link>> {
        self.0.borrow().get(id).cloned().flatten()
    }

    /// What the workers of each share, in the order of the ids.
    pub fn links(&self) -> Vec<Arc<Link>> {
        self.0.borrow().values().flatten().cloned().collect()
    }
}
