//! The ends of each tenant's sequences of rows, cached because only the writer changes them.
//! Numbers assigned in a rolled-back transaction are assigned again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::AnyConnection;
use tokio::sync::watch;

use super::change::Commit;
use super::error::CommitError;
use super::last_numbers::LastNumbers;
use super::tables::adherence::SettledDays;
use super::tables::agents::history;
use super::tables::audit;
use super::tables::webhooks::events;
use crate::domain::audit::ChainHead;
use crate::domain::ids::TenantId;

/// The last numbers of the tenants written to so far.
#[derive(Clone, Debug, Default)]
pub(super) struct SequenceEnds {
    pub(super) heads: HashMap<TenantId, ChainHead>,
    pub(super) history: LastNumbers,
    pub(super) events: LastNumbers,
    pub(super) settled_days: SettledDays,
}

impl SequenceEnds {
    /// Returns whether [`SequenceEnds::load`] would read nothing.
    pub(super) fn contains_all<'a>(&self, mut tenants: impl Iterator<Item = &'a TenantId>) -> bool {
        tenants.all(|tenant| self.heads.contains_key(tenant))
    }

    /// Reads the last numbers of the tenants not yet cached.
    pub(super) async fn load<'a>(
        &mut self,
        connection: &mut AnyConnection,
        tenants: impl Iterator<Item = &'a TenantId> + Send,
    ) -> Result<(), CommitError> {
        for tenant in tenants {
            if !self.heads.contains_key(tenant) {
                let head = audit::stored_head(connection, tenant).await?;
                self.history.load(tenant, history::last_id(connection, tenant).await?);
                self.events.load(tenant, events::last_number(connection, tenant).await?);
                self.settled_days.load(connection, tenant).await?;
                self.heads.insert(tenant.clone(), head);
            }
        }
        Ok(())
    }
}

/// The channels that publish each tenant's last event number.
#[derive(Clone, Debug, Default)]
pub(super) struct EventNumberChannels(Arc<Mutex<HashMap<TenantId, watch::Sender<u64>>>>);

impl EventNumberChannels {
    pub(super) fn subscribe(&self, tenant: &TenantId) -> watch::Receiver<u64> {
        let mut senders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        senders.entry(tenant.clone()).or_insert_with(|| watch::channel(0).0).subscribe()
    }

    /// Publishes the numbers after a commit; wakes only the receivers of tenants whose number has grown.
    pub(super) fn notify(&self, events: &LastNumbers) {
        for (tenant, sender) in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            let Some(last) = events.last(tenant).and_then(|last| u64::try_from(last).ok()) else { continue };
            sender.send_if_modified(|notified| std::mem::replace(notified, last) != last);
        }
    }
}

/// Returns the tenants whose numbers a change needs.
pub(super) fn tenants_with_numbered_rows(commit: &Commit) -> impl Iterator<Item = &TenantId> {
    let history = commit.history.iter().map(|step| step.agent_and_time().0.0);
    history.chain(commit.audit.iter().map(|draft| &draft.tenant)).chain(commit.events.iter().map(|event| &event.tenant))
}
