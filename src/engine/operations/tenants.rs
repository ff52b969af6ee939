//! The tenants served at present. A reload adds and removes tenants, so code that works for all of them, or for a named
//! one, looks here each time and keeps no list of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::domain::ids::TenantId;
use crate::engine::platform::link::Link;

type TenantMap = Arc<BTreeMap<TenantId, Option<Arc<Link>>>>;

/// The directory of tenants. Cheap to clone; clones share their content.
#[derive(Clone, Debug)]
pub struct Tenants(Arc<watch::Sender<TenantMap>>);

/// A receiver of changes to the directory.
#[derive(Debug)]
pub struct TenantsUpdates(watch::Receiver<TenantMap>);

impl TenantsUpdates {
    /// Waits for the next change; for ever if the directory no longer exists.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Default for Tenants {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(TenantMap::default())))
    }
}

impl Tenants {
    /// Creates a directory of tenants without workers in this process.
    pub fn from_ids(ids: impl IntoIterator<Item = TenantId>) -> Self {
        let tenants = Self::default();
        tenants.set_ids(ids);
        tenants
    }

    /// Replaces the tenants by these, without workers in this process.
    pub fn set_ids(&self, ids: impl IntoIterator<Item = TenantId>) {
        self.0.send_replace(Arc::new(ids.into_iter().map(|id| (id, None)).collect()));
    }

    /// Replaces the tenants by those of these links.
    pub fn set_links(&self, links: impl IntoIterator<Item = Arc<Link>>) {
        let all = links.into_iter().map(|link| (link.tenant.clone(), Some(link))).collect();
        self.0.send_replace(Arc::new(all));
    }

    /// Returns the tenants' ids, in order.
    pub fn ids(&self) -> Vec<TenantId> {
        self.0.borrow().keys().cloned().collect()
    }

    /// Returns a receiver that is notified when the tenants change; a notification may come without a change.
    pub fn subscribe(&self) -> TenantsUpdates {
        TenantsUpdates(self.0.subscribe())
    }

    /// Returns whether the tenant is served.
    pub fn contains(&self, id: &TenantId) -> bool {
        self.0.borrow().contains_key(id)
    }

    /// Returns the link shared by the tenant's workers; `None` if it is not served or has none.
    pub fn link(&self, id: &TenantId) -> Option<Arc<Link>> {
        self.0.borrow().get(id).cloned().flatten()
    }

    /// Returns the links of all tenants, in the order of their ids.
    pub fn links(&self) -> Vec<Arc<Link>> {
        self.0.borrow().values().flatten().cloned().collect()
    }
}
