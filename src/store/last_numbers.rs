//! The last number that each tenant's rows of one table have.

use std::collections::HashMap;

use crate::domain::ids::TenantId;

/// The last assigned numbers, by tenant.
#[derive(Clone, Debug, Default)]
pub(super) struct LastNumbers(HashMap<TenantId, i64>);

impl LastNumbers {
    /// Sets the last number of a tenant, as read from the store.
    pub(super) fn load(&mut self, tenant: &TenantId, last: i64) {
        self.0.insert(tenant.clone(), last);
    }

    /// Returns the last number of a tenant, if it was loaded or assigned.
    pub(super) fn last(&self, tenant: &TenantId) -> Option<i64> {
        self.0.get(tenant).copied()
    }

    /// Returns the next number. A tenant that was not loaded starts from the beginning; an existing number is refused
    /// by its primary key.
    pub(super) fn next(&mut self, tenant: &TenantId) -> i64 {
        let last = self.0.entry(tenant.clone()).or_default();
        *last += 1;
        *last
    }
}
