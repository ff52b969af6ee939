//! Adherence rows: the sums of agents' days, observed periods and settings, and which days are stale.
//!
//! Every change of the past (late history, a new schedule, an exception) marks the days that it may affect in its own
//! commit. A reader can therefore rely on a row that is not marked.

pub(in crate::store) mod adherence_reading;
pub(in crate::store) mod exceptions;
pub(in crate::store) mod time_in_state;

use std::collections::HashMap;

use sqlx::AnyConnection;

use crate::domain::ids::{AgentId, TenantId};
use crate::domain::time::UtcMicros;
use crate::store::batch::{self, ManyRows, Transaction, Values};
use crate::store::change::{AdherenceDay, Commit};
use crate::store::error::CommitError;

pub(in crate::store) const SET_DAYS: ManyRows = ManyRows {
    head: "INSERT INTO adherence_days (tenant, agent, day, starts_at, ends_at, settles_at, stale, basis, schedule_version, \
           history_id, computed_at, sums) VALUES",
    width: 12,
    tail: "ON CONFLICT (tenant, agent, day) DO UPDATE SET starts_at = excluded.starts_at, ends_at = excluded.ends_at, \
           settles_at = excluded.settles_at, stale = excluded.stale, basis = excluded.basis, schedule_version = excluded.schedule_version, \
           history_id = excluded.history_id, computed_at = excluded.computed_at, sums = excluded.sums",
};
/// Rows: tenant, agent, day. Marks days whose history has changed since it was read. It looks up history by id, which
/// selects only the few rows since then, and therefore does not use the primary key.
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
/// Rows: tenant, agent, the earliest time of history that changed.
pub(in crate::store) const MARK_LATE: ManyRows = ManyRows {
    head: "UPDATE adherence_days SET stale = 1 FROM (VALUES",
    width: 3,
    tail: ") AS v WHERE adherence_days.tenant = v.column1 AND adherence_days.agent = v.column2 \
           AND adherence_days.settles_at > v.column3 AND adherence_days.stale = 0",
};
/// Rows: tenant, start of an exception or of a gap that was filled in. The original end of an exception that was ended
/// early is no longer stored.
pub(in crate::store) const MARK_SINCE: ManyRows = ManyRows {
    head: "UPDATE adherence_days SET stale = 1 FROM (VALUES",
    width: 2,
    tail: ") AS v WHERE adherence_days.tenant = v.column1 AND adherence_days.settles_at > v.column2 AND adherence_days.stale = 0",
};
/// `$1` tenant, `$2` the version to activate, `$3` the first time it covers.
pub(in crate::store) const MARK_RESCHEDULED: &str = "UPDATE adherence_days SET stale = 1 WHERE tenant = $1 AND settles_at > $3 AND stale = 0 \
     AND agent IN (SELECT c.agent FROM schedule_coverage c WHERE c.tenant = $1 AND c.version_from = $2)";
pub(in crate::store) const LAST_SETTLED: &str =
    "SELECT COALESCE(MAX(settles_at), 0) FROM adherence_days WHERE tenant = $1";
pub(in crate::store) const SET_OBSERVED_SPANS: ManyRows = ManyRows {
    head: "INSERT INTO sight_spans (tenant, starts_at, ends_at) VALUES",
    width: 3,
    tail: "ON CONFLICT (tenant, starts_at) DO UPDATE SET ends_at = excluded.ends_at",
};
pub(in crate::store) const SET_BASIS: ManyRows = ManyRows {
    head: "INSERT INTO adherence_basis (tenant, settings) VALUES",
    width: 2,
    tail: "ON CONFLICT (tenant) DO UPDATE SET settings = excluded.settings",
};

/// The time up to which each tenant's days are settled: only an earlier change can make one stale.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct SettledDays(HashMap<TenantId, i64>);

impl SettledDays {
    pub(in crate::store) async fn load(
        &mut self,
        connection: &mut AnyConnection,
        tenant: &TenantId,
    ) -> Result<(), CommitError> {
        let last = batch::fetch_integer(connection, LAST_SETTLED, Values::of(tenant)).await?;
        self.0.insert(tenant.clone(), last);
        Ok(())
    }

    fn record_day(&mut self, day: &AdherenceDay) {
        let last = self.0.entry(day.tenant.clone()).or_default();
        *last = day.settles_at.as_micros().max(*last);
    }

    fn may_affect(&self, tenant: &TenantId, instant: UtcMicros) -> bool {
        self.0.get(tenant).is_none_or(|last| instant.as_micros() < *last)
    }
}

pub(in crate::store) async fn write(
    transaction: &mut Transaction<'_>,
    settled: &mut SettledDays,
    commits: &[&Commit],
) -> Result<(), CommitError> {
    let spans = commits.iter().map(|commit| &commit.adherence);
    let spans = spans.flat_map(|adherence| adherence.observed_spans.iter().chain(&adherence.filled_gaps));
    let observed_spans = batch::last_of_each(spans, |row| (&row.tenant, row.starts_at));
    batch::run(transaction, &SET_OBSERVED_SPANS, &observed_spans, |row, values| {
        values.text(row.tenant.as_str()).instant(row.starts_at).instant(row.ends_at)
    })
    .await?;
    let basis = batch::last_of_each(commits.iter().flat_map(|commit| &commit.adherence.basis), |(tenant, _)| tenant);
    batch::run(transaction, &SET_BASIS, &basis, |(tenant, settings), values| {
        values.text(tenant.as_str()).text(&**settings)
    })
    .await?;
    write_days(transaction, settled, commits).await?;
    mark_stale(transaction, settled, commits).await
}

async fn write_days(
    transaction: &mut Transaction<'_>,
    settled: &mut SettledDays,
    commits: &[&Commit],
) -> Result<(), CommitError> {
    let days = batch::last_of_each(commits.iter().flat_map(|commit| &commit.adherence.days), |row| {
        (&row.tenant, &row.agent, row.day)
    });
    batch::run(transaction, &SET_DAYS, &days, |row, values| {
        values
            .text(row.tenant.as_str())
            .text(row.agent.as_str())
            .text(row.day.to_string())
            .instant(row.starts_at)
            .instant(row.ends_at)
            .instant(row.settles_at)
            .int(i64::from(row.stale))
            .text(&*row.basis)
            .count(row.schedule_version)
            .count(row.history_id)
            .instant(row.computed_at)
            .text(row.sums.to_stored())
    })
    .await?;
    for day in &days {
        settled.record_day(day);
    }
    batch::run(transaction, &RECHECK, &days, |row, values| {
        values.text(row.tenant.as_str()).text(row.agent.as_str()).text(row.day.to_string())
    })
    .await
}

/// Marks the days that changes of the same group may affect.
async fn mark_stale(
    transaction: &mut Transaction<'_>,
    settled: &SettledDays,
    commits: &[&Commit],
) -> Result<(), CommitError> {
    let mut late: HashMap<(&TenantId, &AgentId), UtcMicros> = HashMap::new();
    for step in commits.iter().flat_map(|commit| &commit.history) {
        let (agent, earliest) = step.agent_and_time();
        if settled.may_affect(agent.0, earliest) {
            late.entry(agent).and_modify(|known| *known = earliest.min(*known)).or_insert(earliest);
        }
    }
    let late: Vec<_> = late.into_iter().collect();
    batch::run(transaction, &MARK_LATE, &late, |((tenant, agent), low), values| {
        values.text(tenant.as_str()).text(agent.as_str()).instant(*low)
    })
    .await?;
    let exceptions = commits.iter().flat_map(|commit| &commit.exceptions);
    let exceptions = exceptions.map(|exception| (&exception.tenant, exception.from));
    let gaps = commits.iter().flat_map(|commit| &commit.adherence.filled_gaps);
    let past = exceptions.chain(gaps.map(|gap| (&gap.tenant, gap.starts_at)));
    let past: Vec<_> = past.filter(|(tenant, from)| settled.may_affect(tenant, *from)).collect();
    batch::run(transaction, &MARK_SINCE, &past, |(tenant, from), values| values.text(tenant.as_str()).instant(*from))
        .await
}

/// Marks the days that the activation of a schedule may affect.
pub(in crate::store) async fn mark_rescheduled(
    connection: &mut AnyConnection,
    tenant: &TenantId,
    version: i64,
    from: UtcMicros,
) -> Result<(), CommitError> {
    batch::execute(connection, MARK_RESCHEDULED, Values::of(tenant).int(version).instant(from)).await.map(|_| ())
}
