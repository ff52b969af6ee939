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

/// Returns the last item of each key, in the order in which the keys first occur, because a statement may change a row
/// only once.
fn last_of_each<'a, T, K: std::hash::Hash + Eq>(
    items: impl Iterator<Item = &'a T>,
    key: impl Fn(&'a T) -> K,
) -> Vec<&'a T> {
    let mut indexes = std::collections::HashMap::new();
    let mut last: Vec<&T> = Vec::new();
    for item in items {
        match indexes.entry(key(item)) {
            std::collections::hash_map::Entry::Occupied(place) => last[*place.get()] = item,
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(last.len());
                last.push(item);
            }
        }
    }
    last
}

/// Returns the integer of a tenant's last row, or 0 if the tenant has none.
async fn last_integer(
    connection: &mut sqlx::AnyConnection,
    statement: &'static str,
    tenant: &crate::domain::ids::TenantId,
) -> Result<i64, super::error::CommitError> {
    let failed = super::error::CommitError::from_engine;
    let mut values = super::batch::Values::default();
    values.text(tenant.as_str());
    let arguments = values.into_arguments().map_err(failed)?;
    match sqlx::query_with(statement, arguments).fetch_optional(connection).await.map_err(failed)? {
        None => Ok(0),
        Some(row) => sqlx::Row::try_get(&row, 0).map_err(failed),
    }
}
