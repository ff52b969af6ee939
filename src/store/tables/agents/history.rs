//! Writes state history: adds, retimes and removes rows, and keeps each row's end equal to the start of the next one.

use std::collections::HashMap;

use sqlx::{AnyConnection, Row};

use crate::domain::agents::agent::ObservationSource;
use crate::domain::ids::{AgentId, ReasonCode, TenantId};
use crate::domain::time::UtcMicros;
use crate::store::batch::{self, ManyRows, Transaction, Values};
use crate::store::cells::Cells;
use crate::store::change::{HistoryRow, HistoryWrite};
use crate::store::error::CommitError;
use crate::store::last_numbers::LastNumbers;

pub(in crate::store) const ENTER: ManyRows = ManyRows {
    head: "INSERT INTO state_history (tenant, agent, entered_at, id, state, source, reason, queue, transition, platform_at, \
           by_person) VALUES",
    width: 11,
    tail: "ON CONFLICT (tenant, agent, entered_at) DO UPDATE SET id = excluded.id, state = excluded.state, \
           source = excluded.source, reason = excluded.reason, queue = excluded.queue, transition = excluded.transition, \
           platform_at = excluded.platform_at, by_person = excluded.by_person",
};
/// Rows: tenant, agent, from, to. Deletes the row at `to`, but only if there is a row to move there.
pub(in crate::store) const DELETE_AT_TARGET: ManyRows = ManyRows {
    head: "DELETE FROM state_history WHERE (tenant, agent, entered_at) IN (SELECT f.tenant, f.agent, v.column4 FROM (VALUES",
    width: 4,
    tail: ") AS v JOIN state_history f ON f.tenant = v.column1 AND f.agent = v.column2 AND f.entered_at = v.column3 \
           WHERE v.column3 <> v.column4)",
};
/// Rows: tenant, agent, from, to, source, id, time by the platform's clock.
pub(in crate::store) const RETIME: ManyRows = ManyRows {
    head: "UPDATE state_history SET entered_at = v.column4, source = v.column5, id = v.column6, \
           platform_at = v.column7 FROM (VALUES",
    width: 7,
    tail: ") AS v WHERE state_history.tenant = v.column1 AND state_history.agent = v.column2 \
           AND state_history.entered_at = v.column3 RETURNING state_history.id",
};
/// Rows: tenant, agent, time.
pub(in crate::store) const REMOVE: ManyRows =
    ManyRows { head: "DELETE FROM state_history WHERE (tenant, agent, entered_at) IN (VALUES", width: 3, tail: ")" };
/// Rows: tenant, agent, the earliest changed time. From the row before it on, sets each row's end to the start of the
/// next.
pub(in crate::store) const RELINK: ManyRows = ManyRows {
    head: "UPDATE state_history SET left_at = (SELECT MIN(n.entered_at) FROM state_history n \
           WHERE n.tenant = state_history.tenant AND n.agent = state_history.agent \
           AND n.entered_at > state_history.entered_at) FROM (VALUES",
    width: 3,
    tail: ") AS v WHERE state_history.tenant = v.column1 AND state_history.agent = v.column2 \
           AND state_history.entered_at >= COALESCE((SELECT MAX(p.entered_at) FROM state_history p \
           WHERE p.tenant = v.column1 AND p.agent = v.column2 AND p.entered_at < v.column3), v.column3) \
           RETURNING state_history.tenant, state_history.agent, state_history.entered_at, state_history.left_at",
};
/// Rows: tenant, agent, time of a row, time of the next row. Does what [`RELINK`] does for rows that were appended at
/// the end.
pub(in crate::store) const CLOSE: ManyRows = ManyRows {
    head: "UPDATE state_history SET left_at = v.column4 FROM (VALUES",
    width: 4,
    tail: ") AS v WHERE state_history.tenant = v.column1 AND state_history.agent = v.column2 \
           AND state_history.entered_at = v.column3",
};
pub(in crate::store) const LAST_ID: &str = "SELECT id FROM state_history WHERE tenant = $1 ORDER BY id DESC LIMIT 1";

type RowKey<'a> = (&'a TenantId, &'a AgentId);

/// The time of each agent's latest history row, of those written to so far: a later row can be appended without reading
/// its neighbours.
#[derive(Debug, Default)]
pub(in crate::store) struct LatestEntries(HashMap<(TenantId, AgentId), UtcMicros>);

impl LatestEntries {
    fn of(&self, tenant: &TenantId, agent: &AgentId) -> Option<UtcMicros> {
        self.0.get(&(tenant.clone(), agent.clone())).copied()
    }

    /// Applies the updates of a committed change.
    pub(in crate::store) fn apply(&mut self, updates: LatestEntryUpdates) {
        for (key, latest) in updates {
            match latest {
                Some(instant) => self.0.insert(key, instant),
                None => self.0.remove(&key),
            };
        }
    }
}

/// Updates of agents' latest rows; `None` if the time is not known.
pub(in crate::store) type LatestEntryUpdates = Vec<((TenantId, AgentId), Option<UtcMicros>)>;

/// The steps of one statement: all of one kind, each for a different row.
#[derive(Default)]
struct PendingSteps<'a> {
    enter: Vec<(&'a HistoryRow, i64)>,
    retime: Vec<Retiming<'a>>,
    remove: Vec<(&'a TenantId, &'a AgentId, UtcMicros)>,
    /// The rows of agents that this round changes; an agent with two steps that are not both entries needs two rounds.
    keys: HashMap<RowKey<'a>, Vec<UtcMicros>>,
}

struct Retiming<'a> {
    tenant: &'a TenantId,
    agent: &'a AgentId,
    from: UtcMicros,
    to: UtcMicros,
    platform_at: Option<UtcMicros>,
    source: ObservationSource,
    id: i64,
    index: usize,
}

/// How to set the ends of the changed agents' rows.
#[derive(Default)]
struct LinkUpdates<'a> {
    /// Rows that were appended at the end of their agent's history, with the row before each.
    closed: Vec<(RowKey<'a>, UtcMicros, UtcMicros)>,
    /// The latest row of each agent whose steps so far were all appended.
    appended: HashMap<RowKey<'a>, UtcMicros>,
    /// The earliest changed time of each agent whose rows must be linked again.
    touched: HashMap<RowKey<'a>, UtcMicros>,
}

/// Writes the steps in their order. Returns the row id of each step and the new latest rows of the agents.
pub(in crate::store) async fn write<'a>(
    transaction: &mut Transaction<'_>,
    numbers: &mut LastNumbers,
    latest: &LatestEntries,
    steps: impl Iterator<Item = &'a HistoryWrite> + Send,
) -> Result<(Vec<Option<u64>>, LatestEntryUpdates), CommitError> {
    let mut ids = Vec::new();
    let mut links = LinkUpdates::default();
    let mut pending = PendingSteps::default();
    for step in steps {
        if !pending.can_add(step) {
            flush(transaction, std::mem::take(&mut pending), &mut ids).await?;
        }
        pending.add(step, numbers, &mut ids);
        links.record(step, latest);
    }
    flush(transaction, pending, &mut ids).await?;
    Ok((ids, links.write_links(transaction).await?))
}

impl<'a> LinkUpdates<'a> {
    fn record(&mut self, step: &'a HistoryWrite, latest: &LatestEntries) {
        let (key, earliest) = step.agent_and_time();
        if let Some(known) = self.touched.get_mut(&key) {
            *known = earliest.min(*known);
            return;
        }
        let before = self.appended.get(&key).copied().or_else(|| latest.of(key.0, key.1));
        match (step, before) {
            (HistoryWrite::Enter(_), Some(before)) if before < earliest => {
                self.closed.push((key, before, earliest));
                self.appended.insert(key, earliest);
            }
            (HistoryWrite::Enter(_) | HistoryWrite::Retime { .. } | HistoryWrite::Remove { .. }, _) => {
                // Rows appended before this step are linked again with the rest.
                self.appended.remove(&key);
                let first = self.closed.iter().filter(|(other, ..)| *other == key).map(|(_, before, _)| *before).min();
                self.closed.retain(|(other, ..)| *other != key);
                self.touched.insert(key, first.map_or(earliest, |first| first.min(earliest)));
            }
        }
    }

    async fn write_links(self, transaction: &mut Transaction<'_>) -> Result<LatestEntryUpdates, CommitError> {
        batch::run(transaction, &CLOSE, &self.closed, |((tenant, agent), at, next), values| {
            values.text(tenant.as_str()).text(agent.as_str()).instant(*at).instant(*next)
        })
        .await?;
        let rows: Vec<_> = self.touched.into_iter().collect();
        let linked = batch::run_returning(transaction, &RELINK, &rows, |((tenant, agent), low), values| {
            values.text(tenant.as_str()).text(agent.as_str()).instant(*low)
        })
        .await?;
        let owned = |(tenant, agent): RowKey<'_>| (tenant.clone(), agent.clone());
        let mut updates: LatestEntryUpdates = rows.iter().map(|(key, _)| (owned(*key), None)).collect();
        updates.extend(self.appended.into_iter().map(|(key, at)| (owned(key), Some(at))));
        for row in &linked {
            let cells = Cells::new("state_history", row);
            let broken = |error| CommitError::Broken(std::sync::Arc::new(error));
            if cells.int_or_null("left_at").map_err(broken)?.is_none() {
                let key = (
                    TenantId::new(cells.text("tenant").map_err(broken)?),
                    AgentId::new(cells.text("agent").map_err(broken)?),
                );
                updates.push((key, Some(cells.instant("entered_at").map_err(broken)?)));
            }
        }
        Ok(updates)
    }
}

impl<'a> PendingSteps<'a> {
    fn can_add(&self, step: &HistoryWrite) -> bool {
        let (agent, at) = step.agent_and_time();
        let touched_instants = self.keys.get(&agent);
        match step {
            HistoryWrite::Enter(_) => {
                self.retime.is_empty()
                    && self.remove.is_empty()
                    && !touched_instants.is_some_and(|instants| instants.contains(&at))
            }
            HistoryWrite::Retime { .. } => {
                self.enter.is_empty() && self.remove.is_empty() && touched_instants.is_none()
            }
            HistoryWrite::Remove { .. } => {
                self.enter.is_empty() && self.retime.is_empty() && touched_instants.is_none()
            }
        }
    }

    /// Adds a step.
    fn add(&mut self, step: &'a HistoryWrite, numbers: &mut LastNumbers, ids: &mut Vec<Option<u64>>) {
        let (key, earliest) = step.agent_and_time();
        let id = match step {
            HistoryWrite::Enter(row) => {
                let id = numbers.next(&row.tenant);
                self.enter.push((row, id));
                Some(id)
            }
            HistoryWrite::Retime { tenant, agent, from, to, platform_at, source } => {
                let id = numbers.next(tenant);
                let (from, to, platform_at, source) = (*from, *to, *platform_at, *source);
                self.retime.push(Retiming { tenant, agent, from, to, platform_at, source, id, index: ids.len() });
                Some(id)
            }
            HistoryWrite::Remove { tenant, agent, entered_at } => {
                self.remove.push((tenant, agent, *entered_at));
                None
            }
        };
        ids.push(id.map(i64::unsigned_abs));
        self.keys.entry(key).or_default().push(earliest);
    }
}

async fn flush(
    transaction: &mut Transaction<'_>,
    pending: PendingSteps<'_>,
    ids: &mut [Option<u64>],
) -> Result<(), CommitError> {
    batch::run(transaction, &ENTER, &pending.enter, |(row, id), values| {
        values
            .text(row.tenant.as_str())
            .text(row.agent.as_str())
            .instant(row.entered_at)
            .int(*id)
            .text(row.state.name())
            .text(source_name(row.source))
            .text_or_null(row.reason.as_ref().map(ReasonCode::as_str))
            .text_or_null(row.queue.as_deref())
            .text_or_null(row.transition.map(|id| id.to_string()))
            .instant_or_null(row.platform_at)
            .int(i64::from(row.by_person))
    })
    .await?;
    retime(transaction, &pending.retime, ids).await?;
    batch::run(transaction, &REMOVE, &pending.remove, |(tenant, agent, at), values| {
        values.text(tenant.as_str()).text(agent.as_str()).instant(*at)
    })
    .await
}

async fn retime(
    transaction: &mut Transaction<'_>,
    rows: &[Retiming<'_>],
    ids: &mut [Option<u64>],
) -> Result<(), CommitError> {
    batch::run(transaction, &DELETE_AT_TARGET, rows, |row, values| {
        values.text(row.tenant.as_str()).text(row.agent.as_str()).instant(row.from).instant(row.to)
    })
    .await?;
    let moved = batch::run_returning(transaction, &RETIME, rows, |row, values| {
        values
            .text(row.tenant.as_str())
            .text(row.agent.as_str())
            .instant(row.from)
            .instant(row.to)
            .text(source_name(row.source))
            .int(row.id)
            .instant_or_null(row.platform_at)
    })
    .await?;
    let mut found = std::collections::HashSet::new();
    for row in &moved {
        found.insert(row.try_get::<i64, _>(0).map_err(CommitError::from_engine)?);
    }
    for row in rows.iter().filter(|row| !found.contains(&row.id)) {
        ids[row.index] = None;
    }
    Ok(())
}

pub(in crate::store) async fn last_id(connection: &mut AnyConnection, tenant: &TenantId) -> Result<i64, CommitError> {
    batch::fetch_integer(connection, LAST_ID, Values::of(tenant)).await
}

/// Returns the source's name in the store.
pub(in crate::store) const fn source_name(source: ObservationSource) -> &'static str {
    match source {
        ObservationSource::Snapshot => "snapshot",
        ObservationSource::Feed => "feed",
        ObservationSource::Post => "post",
        ObservationSource::History => "history",
    }
}
