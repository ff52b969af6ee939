//! Where each tenant's numbered rows end, and each agent's history: what only the writer changes, so that it may remember it.
//! What a rolled back transaction gave out is given out again.

use std::collections::HashMap;

use sqlx::AnyConnection;

use super::error::CommitError;
use super::tables::{audit, events, history};
use crate::domain::audit::ChainHead;
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::time::UtcMicros;

/// The last numbers that were given out, by tenant.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers(HashMap<TenantId, i64>);

impl Numbers {
    /// The next number. A tenant that was not loaded starts from nothing; a number that exists already is refused by its key.
    pub(super) fn next(&mut self, tenant: &TenantId) -> i64 {
        let last = self.0.entry(tenant.clone()).or_default();
        *last += 1;
        *last
    }
}

/// The ends of the tenants' numbered rows, of those that were written to so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Tails {
    pub(super) heads: HashMap<TenantId, ChainHead>,
    pub(super) history: Numbers,
    pub(super) events: Numbers,
}

impl Tails {
    /// Reads the tails of those tenants that are not known yet.
    pub(super) async fn load<'a>(
        &mut self,
        connection: &mut AnyConnection,
        tenants: impl Iterator<Item = &'a TenantId> + Send,
    ) -> Result<(), CommitError> {
        for tenant in tenants {
            if !self.heads.contains_key(tenant) {
                let head = audit::stored_head(connection, tenant).await?;
                self.history.0.insert(tenant.clone(), history::last_id(connection, tenant).await?);
                self.events.0.insert(tenant.clone(), events::last_number(connection, tenant).await?);
                self.heads.insert(tenant.clone(), head);
            }
        }
        Ok(())
    }
}

/// The instant of each agent's latest row, of those that were written to so far: a row after it needs no look at its
/// neighbours.
#[derive(Debug, Default)]
pub(super) struct Latest(HashMap<(TenantId, AgentId), UtcMicros>);

impl Latest {
    pub(super) fn of(&self, tenant: &TenantId, agent: &AgentId) -> Option<UtcMicros> {
        self.0.get(&(tenant.clone(), agent.clone())).copied()
    }

    /// Takes over what a committed change has made of it.
    pub(super) fn learn(&mut self, news: LatestNews) {
        for (key, latest) in news {
            match latest {
                Some(instant) => self.0.insert(key, instant),
                None => self.0.remove(&key),
            };
        }
    }
}

/// What became of agents' latest rows; `None` where it is not known.
pub(super) type LatestNews = Vec<((TenantId, AgentId), Option<UtcMicros>)>;
