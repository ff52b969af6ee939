//! What is recorded of the sources of schedules.

use super::Importer;
use crate::domain::ids::{ScheduleSourceId, TenantId};
use crate::store::{Commit, CommitError, GoodVersion, ScheduleSourceWrite};

impl Importer {
    /// Records that a source has given or confirmed a good version now.
    pub(in crate::app) async fn record_good_version(
        &self,
        tenant: &TenantId,
        source: ScheduleSourceId,
        good: GoodVersion,
    ) -> Result<(), CommitError> {
        let write = ScheduleSourceWrite { tenant: tenant.clone(), source, at: self.clock.now(), good: Some(good) };
        self.writer.commit(Commit { schedule_sources: vec![write], ..Commit::default() }).await?;
        Ok(())
    }
}
