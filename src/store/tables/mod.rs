//! One file per family of tables: its SQL statements, the values bound to them, and the types read from them.

pub(super) mod access;
pub(super) mod adherence;
pub(super) mod agents;
pub(super) mod analytics;
pub(super) mod audit;
pub(super) mod changes;
pub(super) mod jobs;
pub(super) mod live;
pub(super) mod operations;
pub(super) mod platform;
pub(super) mod reports;
pub(super) mod rules;
pub(super) mod schedules;
pub(super) mod webhooks;

use super::batch::Transaction;
use super::change::Commit;
use super::error::CommitError;

/// Writes the rows that need no sequence number and no row of another table.
pub(super) async fn write_rows(transaction: &mut Transaction<'_>, commits: &[&Commit]) -> Result<(), CommitError> {
    jobs::write(transaction, commits).await?;
    rules::write(transaction, commits).await?;
    adherence::exceptions::write(transaction, commits).await?;
    reports::report_runs::write(transaction, commits).await?;
    analytics::write(transaction, commits).await?;
    analytics::anomalies::write(transaction, commits).await?;
    audit::audit_heads::write(transaction, commits).await?;
    changes::change_sets::write(transaction, commits).await?;
    agents::skills::write(transaction, commits).await?;
    schedules::required_staffing::write(transaction, commits).await?;
    schedules::sources::write(transaction, commits).await?;
    schedules::offers::write(transaction, commits).await
}
