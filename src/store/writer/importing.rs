//! Schedule imports: staged in slices between other commits, then activated at once.

use super::{TransactionWork, WriterTask};
use crate::store::change::{ImportOutcome, ScheduleImport};
use crate::store::error::CommitError;
use crate::store::import;
use crate::store::interceptor::EngineOperation;

impl WriterTask {
    pub(super) async fn import(&mut self, import: &ScheduleImport) -> Result<ImportOutcome, CommitError> {
        let gate = self.interceptor.clone();
        let (unchanged, current) =
            gate.run(EngineOperation::Read, CommitError::from_engine, self.schedule_versions(import)).await?;
        if let Some(version) = unchanged {
            return Ok(ImportOutcome::Unchanged { version });
        }
        let staged = self.stage_and_activate(import, current).await;
        if let Err(error) = staged {
            // Rows that cannot be cleared now are cleared before the next import.
            if let Err(cleanup_error) = self.transact(TransactionWork::ClearStaged(&import.tenant, current)).await {
                tracing::warn!(error = %cleanup_error, "the leavings of a failed import stay until the next one");
            }
            return Err(error);
        }
        Ok(ImportOutcome::Activated {
            version: (current + 1).unsigned_abs(),
            agents: import.agents.len(),
            shifts: import.shift_count(),
        })
    }

    /// Returns the active version if the import would change nothing, and the active version.
    async fn schedule_versions(&mut self, import: &ScheduleImport) -> Result<(Option<u64>, i64), CommitError> {
        let connection = self.connect().await?;
        let unchanged = import::unchanged_version(connection, import).await?;
        Ok((unchanged, import::current_version(connection, &import.tenant).await?))
    }

    async fn stage_and_activate(&mut self, import: &ScheduleImport, current: i64) -> Result<(), CommitError> {
        let version = current + 1;
        self.transact(TransactionWork::ClearStaged(&import.tenant, current)).await?;
        for slice in import::slices(import) {
            self.transact(TransactionWork::Stage(&import.tenant, version, slice)).await?;
            let (mut commits, mut answers) = (Vec::new(), Vec::new());
            self.collect_queued(&mut commits, &mut answers);
            if !commits.is_empty() {
                self.commit_group(&commits, answers).await;
            }
        }
        self.transact(TransactionWork::Activate(version, import, &import.activation_commit())).await.map(|_| ())
    }
}
