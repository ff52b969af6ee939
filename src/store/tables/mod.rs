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

/// Writes the rows that need no sequence number and no row of another table.
pub(super) async fn write_rows(
    connection: &mut sqlx::AnyConnection,
    script: &mut super::batch::Script,
    commits: &[&super::change::Commit],
) -> Result<(), super::error::CommitError> {
    jobs::write(connection, script, commits).await?;
    rules::write(connection, script, commits).await?;
    adherence::exceptions::write(connection, script, commits).await?;
    reports::report_runs::write(connection, script, commits).await?;
    analytics::write(connection, script, commits).await?;
    analytics::anomalies::write(connection, script, commits).await?;
    audit::audit_heads::write(connection, script, commits).await?;
    changes::change_sets::write(connection, script, commits).await?;
    agents::skills::write(connection, script, commits).await
}
