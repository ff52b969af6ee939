//! A cache for lists of agents: requests within a second share one list of the keeper.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::agent_list::AgentList;
use crate::domain::ids::TenantId;
use crate::engine::changes::request::KeeperError;
use crate::engine::keeper_message::KeeperMessage;
use crate::engine::operations::tenants::Tenants;

/// How old a cached list may be, in real time.
const MAX_CACHED_AGE_REAL: Duration = Duration::from_secs(1);

/// A shared list with the steady time at which it was taken; the lock makes concurrent requests wait for one list.
type CachedList = Arc<tokio::sync::Mutex<Option<(Duration, Arc<AgentList>)>>>;

/// A cache for lists of agents, which asks the keepers. Cheap to clone; clones share the lists.
#[derive(Clone, Debug)]
pub struct AgentListCache {
    tenants: Tenants,
    cached: Arc<Mutex<BTreeMap<TenantId, CachedList>>>,
}

impl AgentListCache {
    /// Creates an empty cache for these tenants.
    pub fn new(tenants: Tenants) -> Self {
        Self { tenants, cached: Arc::default() }
    }

    /// Returns a tenant's list, at most a second old.
    ///
    /// # Errors
    /// Fails if there is no such tenant or its keeper is unavailable.
    pub async fn get(&self, tenant: &TenantId) -> Result<Arc<AgentList>, KeeperError> {
        let link = self.tenants.link(tenant).ok_or_else(|| KeeperError::NoTenant(tenant.clone()))?;
        let cached = self.cached_list(tenant);
        let mut cached = cached.lock().await;
        // Steady time includes sleep of the host, so a list from before a sleep is old.
        let now = link.clock.steady().unwrap_or_else(|| link.clock.monotonic());
        let max_age = link.clock.scale_real(MAX_CACHED_AGE_REAL);
        if let Some((_, list)) = cached.as_ref().filter(|(taken, _)| now.saturating_sub(*taken) < max_age) {
            return Ok(list.clone());
        }
        let (reply, response) = oneshot::channel();
        link.inbox.send(KeeperMessage::GetAgents { reply }).await.map_err(|_| KeeperError::Unavailable)?;
        let list = Arc::new(response.await.map_err(|_| KeeperError::Unavailable)?);
        *cached = Some((now, list.clone()));
        Ok(list)
    }

    fn cached_list(&self, tenant: &TenantId) -> CachedList {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        // Drop the lists of tenants that no longer exist.
        cached.retain(|id, _| self.tenants.contains(id));
        cached.entry(tenant.clone()).or_default().clone()
    }
}
