//! Where each tenant's numbered rows end, and each agent's history: what only the writer changes, so that it may remember it.
//! What a rolled back transaction gave out is given out again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::AnyConnection;
use tokio::sync::watch;

use super::change::{Commit, HistoryWrite};
use super::error::CommitError;
use super::tables::adherence::Settled;
use super::tables::agents::history;
use super::tables::audit;
use super::tables::webhooks::events;
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
    pub(super) settled: Settled,
}

impl Tails {
    /// Whether [`Tails::load`] would read nothing.
    pub(super) fn know_all<'a>(&self, mut tenants: impl Iterator<Item = &'a TenantId>) -> bool {
        tenants.all(|tenant| self.heads.contains_key(tenant))
    }

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
                self.settled.load(connection, tenant).await?;
                self.heads.insert(tenant.clone(), head);
            }
        }
        Ok(())
    }
}

/// Tells whoever waits for events how far each tenant's have come.
#[derive(Clone, Debug, Default)]
pub(super) struct EventNews(Arc<Mutex<HashMap<TenantId, watch::Sender<u64>>>>);

impl EventNews {
    pub(super) fn subscribe(&self, tenant: &TenantId) -> watch::Receiver<u64> {
        let mut senders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        senders.entry(tenant.clone()).or_insert_with(|| watch::channel(0).0).subscribe()
    }

    /// After a commit: only who waits for a tenant whose number has grown is woken.
    pub(super) fn tell(&self, events: &Numbers) {
        for (tenant, sender) in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            let Some(last) = events.0.get(tenant).and_then(|last| u64::try_from(*last).ok()) else { continue };
            sender.send_if_modified(|told| std::mem::replace(told, last) != last);
        }
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

/// The tenants whose numbers a change needs.
pub(super) fn numbered_tenants(commit: &Commit) -> impl Iterator<Item = &TenantId> {
    let history = commit.history.iter().map(|step| match step {
        HistoryWrite::Enter(row) => &row.tenant,
        HistoryWrite::Retime { tenant, .. } | HistoryWrite::Remove { tenant, .. } => tenant,
    });
    history.chain(commit.audit.iter().map(|draft| &draft.tenant)).chain(commit.events.iter().map(|event| &event.tenant))
}
