//! Where each tenant's numbered rows end: the chain's head and the last ids given out. Only the writer gives numbers, so it
//! may remember them; what a rolled back transaction gave out is given out again.

use std::collections::HashMap;

use sqlx::AnyConnection;

use super::error::CommitError;
use super::tables::{audit, events, history};
use crate::domain::audit::ChainHead;
use crate::domain::ids::TenantId;

/// The ends of one tenant's numbered rows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tail {
    pub(super) head: ChainHead,
    history: i64,
    event: i64,
}

impl Tail {
    pub(super) const fn next_history(&mut self) -> i64 {
        self.history += 1;
        self.history
    }

    pub(super) const fn next_event(&mut self) -> i64 {
        self.event += 1;
        self.event
    }
}

/// The tails of the tenants that were written to so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Tails(HashMap<TenantId, Tail>);

impl Tails {
    /// Reads the tails of those tenants that are not known yet.
    pub(super) async fn load<'a>(
        &mut self,
        connection: &mut AnyConnection,
        tenants: impl Iterator<Item = &'a TenantId> + Send,
    ) -> Result<(), CommitError> {
        for tenant in tenants {
            if !self.0.contains_key(tenant) {
                let tail = Tail {
                    head: audit::stored_head(connection, tenant).await?,
                    history: history::last_id(connection, tenant).await?,
                    event: events::last_number(connection, tenant).await?,
                };
                self.0.insert(tenant.clone(), tail);
            }
        }
        Ok(())
    }

    /// The tail of a tenant; one that was not loaded starts from nothing, and a number that exists already is refused by its
    /// key.
    pub(super) fn of(&mut self, tenant: &TenantId) -> &mut Tail {
        self.0.entry(tenant.clone()).or_default()
    }
}
