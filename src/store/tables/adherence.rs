//! What agents' days add up to, when somebody looked, and by what is judged: as it is written, and how a day is known to be stale.
//!
//! Whatever changes the past marks the days that it may have changed, in its own commit: late history, another schedule, an exception. So
//! a reader takes a row that is not marked for what it says.

pub(in crate::store) mod adherence_reading;
pub(in crate::store) mod exceptions;
pub(in crate::store) mod time_in_state;

use std::collections::HashMap;

use sqlx::AnyConnection;

use crate::domain::ids::{AgentId, TenantId};
use crate::domain::time::UtcMicros;
use crate::store::batch::{self, ManyRows, Script, Values};
use crate::store::change::{AdherenceDay, Commit, HistoryWrite};
use crate::store::error::CommitError;

pub(in crate::store) const SET_DAYS: ManyRows = ManyRows {
    head: "INSERT INTO adherence_days (tenant, agent, day, starts_at, ends_at, settles_at, stale, basis, schedule_version, \
           history_id, computed_at, sums) VALUES",
    width: 12,
    tail: "ON CONFLICT (tenant, agent, day) DO UPDATE SET starts_at = excluded.starts_at, ends_at = excluded.ends_at, \
           settles_at = excluded.settles_at, stale = excluded.stale, basis = excluded.basis, schedule_version = excluded.schedule_version, \
           history_id = excluded.history_id, computed_at = excluded.computed_at, sums = excluded.sums",
};
/// Rows: tenant, agent, day. Marks what was computed from a past that has changed since it was read. History is looked at by its ids:
/// the few rows since then; hence the detour round the key.
pub(in crate::store) const RECHECK: ManyRows = ManyRows {
    head: "UPDATE adherence_days SET stale = 1 FROM (VALUES",
    width: 3,
    tail: ") AS v WHERE adherence_days.tenant = v.column1 AND adherence_days.agent = v.column2 AND adherence_days.day = v.column3 \
           AND (adherence_days.schedule_version < COALESCE((SELECT MAX(s.version) FROM schedule_versions s \
           WHERE s.tenant = v.column1), 0) \
           OR EXISTS (SELECT 1 FROM state_history h WHERE h.tenant = v.column1 AND h.id > adherence_days.history_id \
           AND h.agent || '' = v.column2 AND +h.entered_at < adherence_days.settles_at) \
           OR EXISTS (SELECT 1 FROM exceptions e WHERE e.tenant = v.column1 AND e.starts_at < adherence_days.settles_at \
           AND (e.made_at >= adherence_days.computed_at OR e.ended_at >= adherence_days.computed_at)))",
};
/// Rows: tenant, agent, the earliest instant of history that was touched.
pub(in crate::store) const MARK_LATE: ManyRows = ManyRows {
    head: "UPDATE adherence_days SET stale = 1 FROM (VALUES",
    width: 3,
    tail: ") AS v WHERE adherence_days.tenant = v.column1 AND adherence_days.agent = v.column2 \
           AND adherence_days.settles_at > v.column3 AND adherence_days.stale = 0",
};
/// Rows: tenant, the beginning of an exception. An exception that is ended no longer says when it would have ended.
pub(in crate::store) const MARK_EXCUSED: ManyRows = ManyRows {
    head: "UPDATE adherence_days SET stale = 1 FROM (VALUES",
    width: 2,
    tail: ") AS v WHERE adherence_days.tenant = v.column1 AND adherence_days.settles_at > v.column2 AND adherence_days.stale = 0",
};
/// `$1` tenant, `$2` the version that comes into force, `$3` the first instant that it speaks for.
pub(in crate::store) const MARK_PLANNED: &str = "UPDATE adherence_days SET stale = 1 WHERE tenant = $1 AND settles_at > $3 AND stale = 0 \
     AND agent IN (SELECT c.agent FROM schedule_coverage c WHERE c.tenant = $1 AND c.version_from = $2)";
pub(in crate::store) const LAST_SETTLED: &str =
    "SELECT COALESCE(MAX(settles_at), 0) FROM adherence_days WHERE tenant = $1";
pub(in crate::store) const SET_SIGHTS: ManyRows = ManyRows {
    head: "INSERT INTO sight_spans (tenant, starts_at, ends_at) VALUES",
    width: 3,
    tail: "ON CONFLICT (tenant, starts_at) DO UPDATE SET ends_at = excluded.ends_at",
};
pub(in crate::store) const SET_BASIS: ManyRows = ManyRows {
    head: "INSERT INTO adherence_basis (tenant, settings) VALUES",
    width: 2,
    tail: "ON CONFLICT (tenant) DO UPDATE SET settings = excluded.settings",
};

/// Until when each tenant's days are settled: only what touches an earlier instant can make one stale.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Settled(HashMap<TenantId, i64>);

impl Settled {
    pub(in crate::store) async fn load(
        &mut self,
        connection: &mut AnyConnection,
        tenant: &TenantId,
    ) -> Result<(), CommitError> {
        let last = super::last_integer(connection, LAST_SETTLED, tenant).await?;
        self.0.insert(tenant.clone(), last);
        Ok(())
    }

    fn learn(&mut self, day: &AdherenceDay) {
        let last = self.0.entry(day.tenant.clone()).or_default();
        *last = day.settles_at.as_micros().max(*last);
    }

    fn may_hold(&self, tenant: &TenantId, instant: UtcMicros) -> bool {
        self.0.get(tenant).is_none_or(|last| instant.as_micros() < *last)
    }
}

pub(in crate::store) async fn write(
    connection: &mut AnyConnection,
    script: &mut Script,
    settled: &mut Settled,
    commits: &[&Commit],
) -> Result<(), CommitError> {
    let sights = super::last_of_each(commits.iter().flat_map(|commit| &commit.adherence.sights), |row| {
        (&row.tenant, row.starts_at)
    });
    batch::run(connection, script, &SET_SIGHTS, &sights, |row, values| {
        values.text(row.tenant.as_str()).int(row.starts_at.as_micros()).int(row.ends_at.as_micros());
    })
    .await?;
    let basis = super::last_of_each(commits.iter().flat_map(|commit| &commit.adherence.basis), |(tenant, _)| tenant);
    batch::run(connection, script, &SET_BASIS, &basis, |(tenant, settings), values| {
        values.text(tenant.as_str()).text(&**settings);
    })
    .await?;
    write_days(connection, script, settled, commits).await?;
    mark(connection, script, settled, commits).await
}

async fn write_days(
    connection: &mut AnyConnection,
    script: &mut Script,
    settled: &mut Settled,
    commits: &[&Commit],
) -> Result<(), CommitError> {
    let days = super::last_of_each(commits.iter().flat_map(|commit| &commit.adherence.days), |row| {
        (&row.tenant, &row.agent, row.day)
    });
    batch::run(connection, script, &SET_DAYS, &days, |row, values| {
        values
            .text(row.tenant.as_str())
            .text(row.agent.as_str())
            .text(row.day.to_string())
            .int(row.starts_at.as_micros())
            .int(row.ends_at.as_micros())
            .int(row.settles_at.as_micros())
            .int(i64::from(row.stale))
            .text(&*row.basis)
            .count(row.schedule_version)
            .count(row.history_id)
            .int(row.computed_at.as_micros())
            .text(row.sums.to_stored());
    })
    .await?;
    for day in &days {
        settled.learn(day);
    }
    batch::run(connection, script, &RECHECK, &days, |row, values| {
        values.text(row.tenant.as_str()).text(row.agent.as_str()).text(row.day.to_string());
    })
    .await
}

/// Marks the days that changes of the same group may have changed.
async fn mark(
    connection: &mut AnyConnection,
    script: &mut Script,
    settled: &Settled,
    commits: &[&Commit],
) -> Result<(), CommitError> {
    let mut late: HashMap<(&TenantId, &AgentId), UtcMicros> = HashMap::new();
    for step in commits.iter().flat_map(|commit| &commit.history) {
        let (tenant, agent, low) = match step {
            HistoryWrite::Enter(row) => (&row.tenant, &row.agent, row.entered_at),
            HistoryWrite::Retime { tenant, agent, from, to, .. } => (tenant, agent, *from.min(to)),
            HistoryWrite::Remove { tenant, agent, entered_at } => (tenant, agent, *entered_at),
        };
        if settled.may_hold(tenant, low) {
            late.entry((tenant, agent)).and_modify(|known| *known = low.min(*known)).or_insert(low);
        }
    }
    let late: Vec<_> = late.into_iter().collect();
    batch::run(connection, script, &MARK_LATE, &late, |((tenant, agent), low), values| {
        values.text(tenant.as_str()).text(agent.as_str()).int(low.as_micros());
    })
    .await?;
    let exceptions = commits.iter().flat_map(|commit| &commit.exceptions);
    let past: Vec<_> = exceptions.filter(|exception| settled.may_hold(&exception.tenant, exception.from)).collect();
    batch::run(connection, script, &MARK_EXCUSED, &past, |exception, values| {
        values.text(exception.tenant.as_str()).int(exception.from.as_micros());
    })
    .await
}

/// Marks the days that a schedule may change which comes into force.
pub(in crate::store) async fn mark_planned(
    connection: &mut AnyConnection,
    tenant: &TenantId,
    version: i64,
    from: UtcMicros,
) -> Result<(), CommitError> {
    let mut values = Values::default();
    values.text(tenant.as_str()).int(version).int(from.as_micros());
    let arguments = values.into_arguments().map_err(CommitError::from_engine)?;
    let done = sqlx::query_with(MARK_PLANNED, arguments).execute(connection).await;
    done.map(|_| ()).map_err(CommitError::from_engine)
}
