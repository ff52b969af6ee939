//! Schedule imports: staged in slices that no reader sees, then activated in one small commit.
//!
//! Between two slices the writer commits the waiting changes. Rows staged by an interrupted import are deleted when the
//! store is next opened, and before the tenant's next import.

use sqlx::AnyConnection;

use super::batch::{self, Transaction, Values};
use super::change::{AgentSchedule, AgentSkillsWrite, AgentWrite, Commit, ScheduleImport};
use super::error::CommitError;
use super::tables::adherence;
use super::tables::schedules::schedule::{
    ADD_COVERAGE, ADD_SHIFTS, ADD_VERSION, CLEAR_STAGED, CURRENT_VERSION, RETIRE_COVERAGE, RETIRE_IN_COVERAGE,
    RETIRE_OVERLAPPED, TENANTS, UNCHANGED_VERSION,
};
use crate::domain::ids::TenantId;
use crate::domain::schedules::schedule::Shift;
use crate::domain::time::UtcMicros;

/// The number of shifts staged in one commit, so that other changes wait tens of milliseconds at most.
const SHIFTS_PER_SLICE: usize = 2000;

/// Splits an import into slices of agents.
pub(super) fn slices(import: &ScheduleImport) -> Vec<&[AgentSchedule]> {
    let mut slices = Vec::new();
    let (mut start, mut shifts) = (0, 0);
    for (index, agent) in import.agents.iter().enumerate() {
        // An agent without shifts still has a row of coverage.
        shifts += agent.shifts.len().max(1);
        if shifts >= SHIFTS_PER_SLICE {
            slices.push(&import.agents[start..=index]);
            (start, shifts) = (index + 1, 0);
        }
    }
    if start < import.agents.len() {
        slices.push(&import.agents[start..]);
    }
    slices
}

/// Returns the version with exactly this content, if it is still active and unchanged.
pub(super) async fn unchanged_version(
    connection: &mut AnyConnection,
    import: &ScheduleImport,
) -> Result<Option<u64>, CommitError> {
    let values = Values::of(&import.tenant).bytes(&import.content_hash.0);
    let version = batch::fetch_integer(connection, UNCHANGED_VERSION, values).await?;
    Ok((version > 0).then(|| version.unsigned_abs()))
}

/// Returns the active version; 0 before the first.
pub(super) async fn current_version(connection: &mut AnyConnection, tenant: &TenantId) -> Result<i64, CommitError> {
    batch::fetch_integer(connection, CURRENT_VERSION, Values::of(tenant)).await
}

/// Deletes what is staged for a tenant beyond the active version.
pub(super) async fn clear_staged(
    connection: &mut AnyConnection,
    tenant: &TenantId,
    current: i64,
) -> Result<(), CommitError> {
    for statement in CLEAR_STAGED {
        batch::execute(connection, statement, Values::of(tenant).int(current)).await?;
    }
    Ok(())
}

/// Deletes what is staged for any tenant.
pub(super) async fn clear_all_staged(connection: &mut AnyConnection) -> Result<(), CommitError> {
    let rows = sqlx::query(TENANTS).fetch_all(&mut *connection).await.map_err(CommitError::from_engine)?;
    for row in &rows {
        let tenant = TenantId::new(sqlx::Row::try_get::<&str, _>(row, 0).map_err(CommitError::from_engine)?);
        let current = current_version(connection, &tenant).await?;
        clear_staged(connection, &tenant, current).await?;
    }
    Ok(())
}

/// Writes the rows of some agents for a version that is not active yet.
pub(super) async fn stage(
    transaction: &mut Transaction<'_>,
    tenant: &TenantId,
    version: i64,
    agents: &[AgentSchedule],
) -> Result<(), CommitError> {
    let span = |agent: &AgentSchedule, start: UtcMicros, end: UtcMicros, values: Values| {
        values.text(tenant.as_str()).text(agent.agent.id.as_str()).instant(start).instant(end).int(version)
    };
    let covered: Vec<_> = agents.iter().filter(|agent| agent.is_covered).collect();
    let of_coverage =
        |agent: &AgentSchedule, values: Values| span(agent, agent.coverage.start, agent.coverage.end, values);
    for statement in [&RETIRE_IN_COVERAGE, &RETIRE_COVERAGE] {
        batch::run(transaction, statement, agents, of_coverage).await?;
    }
    batch::run(transaction, &ADD_COVERAGE, &covered, |agent, values| of_coverage(agent, values)).await?;
    let mut shifts: Vec<(&AgentSchedule, &Shift, String)> = Vec::new();
    for agent in agents {
        for shift in &agent.shifts {
            let activities = serde_json::to_string(&shift.activities)
                .map_err(|error| CommitError::Refused(std::sync::Arc::new(error)))?;
            shifts.push((agent, shift, activities));
        }
    }
    batch::run(transaction, &RETIRE_OVERLAPPED, &shifts, |(agent, shift, _), values| {
        span(agent, shift.start, shift.end, values)
    })
    .await?;
    batch::run(transaction, &ADD_SHIFTS, &shifts, |(agent, shift, activities), values| {
        span(agent, shift.start, shift.end, values).text(&**activities)
    })
    .await
}

/// Activates a staged version.
pub(super) async fn activate(
    transaction: &mut Transaction<'_>,
    version: i64,
    now: UtcMicros,
    import: &ScheduleImport,
) -> Result<(), CommitError> {
    let from = import.agents.iter().map(|agent| agent.coverage.start).min().unwrap_or(now);
    let to = import.agents.iter().map(|agent| agent.coverage.end).max().unwrap_or(now);
    batch::run(transaction, &ADD_VERSION, &[import], |import, values| {
        values
            .text(import.tenant.as_str())
            .int(version)
            .text(&*import.name)
            .bytes(&import.content_hash.0)
            .instant(now)
            .text(&*import.actor)
            .instant(from)
            .instant(to)
            .count(import.agents.len() as u64)
            .count(import.shift_count() as u64)
    })
    .await?;
    adherence::mark_rescheduled(transaction.connection, &import.tenant, version, from).await
}

impl ScheduleImport {
    /// Returns the number of shifts.
    pub(super) fn shift_count(&self) -> usize {
        self.agents.iter().map(|agent| agent.shifts.len()).sum()
    }

    /// Returns the commit that is written together with the activation.
    pub(super) fn activation_commit(&self) -> Commit {
        let mut commit = self.with_activation.clone();
        commit.agents.extend(self.agents.iter().map(|agent| AgentWrite {
            tenant: self.tenant.clone(),
            agent: agent.agent.clone(),
            subject: agent.subject,
        }));
        commit.agent_skills.extend(self.agents.iter().filter_map(|agent| {
            let skills = agent.skills.clone()?;
            Some(AgentSkillsWrite { tenant: self.tenant.clone(), agent: agent.agent.id.clone(), skills })
        }));
        commit
    }
}
