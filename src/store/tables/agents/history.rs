//! State history as it is written: entered, retimed, removed, and each row's end kept in step with its neighbour.

use std::collections::HashMap;

use sqlx::{AnyConnection, Row};

use crate::domain::agents::agent::Source;
use crate::domain::ids::{AgentId, ReasonCode, TenantId};
use crate::domain::time::UtcMicros;
use crate::store::batch::{self, ManyRows, Script};
use crate::store::cells::Cells;
use crate::store::change::{HistoryRow, HistoryWrite};
use crate::store::error::CommitError;
use crate::store::tables::last_integer;
use crate::store::tails::{Latest, LatestNews, Numbers};

pub(in crate::store) const ENTER: ManyRows = ManyRows {
    head: "INSERT INTO state_history (tenant, agent, entered_at, id, state, source, reason, queue, transition, platform_at, \
           by_person) VALUES",
    width: 11,
    tail: "ON CONFLICT (tenant, agent, entered_at) DO UPDATE SET id = excluded.id, state = excluded.state, \
           source = excluded.source, reason = excluded.reason, queue = excluded.queue, transition = excluded.transition, \
           platform_at = excluded.platform_at, by_person = excluded.by_person",
};
/// Rows: tenant, agent, from, to. Takes away what stands at `to`, but only for a row that is there to be moved.
pub(in crate::store) const GIVE_WAY: ManyRows = ManyRows {
    head: "DELETE FROM state_history WHERE (tenant, agent, entered_at) IN (SELECT f.tenant, f.agent, v.column4 FROM (VALUES",
    width: 4,
    tail: ") AS v JOIN state_history f ON f.tenant = v.column1 AND f.agent = v.column2 AND f.entered_at = v.column3 \
           WHERE v.column3 <> v.column4)",
};
/// Rows: tenant, agent, from, to, source, id, instant by the platform's clock.
pub(in crate::store) const RETIME: ManyRows = ManyRows {
    head: "UPDATE state_history SET entered_at = v.column4, source = v.column5, id = v.column6, \
           platform_at = v.column7 FROM (VALUES",
    width: 7,
    tail: ") AS v WHERE state_history.tenant = v.column1 AND state_history.agent = v.column2 \
           AND state_history.entered_at = v.column3 RETURNING state_history.id",
};
/// Rows: tenant, agent, instant.
pub(in crate::store) const REMOVE: ManyRows =
    ManyRows { head: "DELETE FROM state_history WHERE (tenant, agent, entered_at) IN (VALUES", width: 3, tail: ")" };
/// Rows: tenant, agent, the earliest instant that was touched. From the row before it on, each row ends where the next begins.
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
/// Rows: tenant, agent, instant of a row, instant of the row that follows it. What [`RELINK`] does for rows that come after
/// all others.
pub(in crate::store) const CLOSE: ManyRows = ManyRows {
    head: "UPDATE state_history SET left_at = v.column4 FROM (VALUES",
    width: 4,
    tail: ") AS v WHERE state_history.tenant = v.column1 AND state_history.agent = v.column2 \
           AND state_history.entered_at = v.column3",
};
pub(in crate::store) const LAST_ID: &str = "SELECT id FROM state_history WHERE tenant = $1 ORDER BY id DESC LIMIT 1";

type RowKey<'a> = (&'a TenantId, &'a AgentId);

/// What is written in one round: steps of one kind, each of another row.
#[derive(Default)]
struct Pending<'a> {
    enter: Vec<(&'a HistoryRow, i64)>,
    retime: Vec<Retiming<'a>>,
    remove: Vec<(&'a TenantId, &'a AgentId, UtcMicros)>,
    /// Rows of agents that this round touches; an agent with two steps that are not both entries gets two rounds.
    keys: HashMap<RowKey<'a>, Vec<UtcMicros>>,
}

struct Retiming<'a> {
    tenant: &'a TenantId,
    agent: &'a AgentId,
    from: UtcMicros,
    to: UtcMicros,
    platform_at: Option<UtcMicros>,
    source: Source,
    id: i64,
    place: usize,
}

/// How the rows of the touched agents are put in step again.
#[derive(Default)]
struct Links<'a> {
    /// Rows that came after all others of their agent, with the one before each.
    closed: Vec<(RowKey<'a>, UtcMicros, UtcMicros)>,
    /// The latest row of each agent whose steps so far all came after all others.
    appended: HashMap<RowKey<'a>, UtcMicros>,
    /// The earliest instant touched of each agent that needs a closer look.
    touched: HashMap<RowKey<'a>, UtcMicros>,
}

/// Writes the steps in their order; gives for each the id of the row that it left behind, and what became of the agents'
/// latest rows.
pub(in crate::store) async fn write<'a>(
    connection: &mut AnyConnection,
    script: &mut Script,
    numbers: &mut Numbers,
    latest: &Latest,
    steps: impl Iterator<Item = &'a HistoryWrite> + Send,
) -> Result<(Vec<Option<u64>>, LatestNews), CommitError> {
    let mut ids = Vec::new();
    let mut links = Links::default();
    let mut pending = Pending::default();
    for step in steps {
        if !pending.can_take(step) {
            flush(connection, script, std::mem::take(&mut pending), &mut ids).await?;
        }
        let (key, low) = pending.take(step, numbers, &mut ids);
        links.note(step, key, low, latest);
    }
    flush(connection, script, pending, &mut ids).await?;
    Ok((ids, links.put_in_step(connection, script).await?))
}

impl<'a> Links<'a> {
    fn note(&mut self, step: &HistoryWrite, key: RowKey<'a>, low: UtcMicros, latest: &Latest) {
        if let Some(known) = self.touched.get_mut(&key) {
            *known = low.min(*known);
            return;
        }
        let before = self.appended.get(&key).copied().or_else(|| latest.of(key.0, key.1));
        match (step, before) {
            (HistoryWrite::Enter(_), Some(before)) if before < low => {
                self.closed.push((key, before, low));
                self.appended.insert(key, low);
            }
            (HistoryWrite::Enter(_) | HistoryWrite::Retime { .. } | HistoryWrite::Remove { .. }, _) => {
                // What was appended before this step is looked at again with the rest.
                self.appended.remove(&key);
                let first = self.closed.iter().filter(|(other, ..)| *other == key).map(|(_, before, _)| *before).min();
                self.closed.retain(|(other, ..)| *other != key);
                self.touched.insert(key, first.map_or(low, |first| first.min(low)));
            }
        }
    }

    async fn put_in_step(self, connection: &mut AnyConnection, script: &mut Script) -> Result<LatestNews, CommitError> {
        batch::run(connection, script, &CLOSE, &self.closed, |((tenant, agent), at, next), values| {
            values.text(tenant.as_str()).text(agent.as_str()).int(at.as_micros()).int(next.as_micros());
        })
        .await?;
        let rows: Vec<_> = self.touched.into_iter().collect();
        let linked = batch::run_returning(connection, script, &RELINK, &rows, |((tenant, agent), low), values| {
            values.text(tenant.as_str()).text(agent.as_str()).int(low.as_micros());
        })
        .await?;
        let owned = |(tenant, agent): RowKey<'_>| (tenant.clone(), agent.clone());
        let mut news: LatestNews = rows.iter().map(|(key, _)| (owned(*key), None)).collect();
        news.extend(self.appended.into_iter().map(|(key, at)| (owned(key), Some(at))));
        for row in &linked {
            let cells = Cells::of("state_history", row);
            let broken = |error| CommitError::Broken(std::sync::Arc::new(error));
            if cells.int_or_null("left_at").map_err(broken)?.is_none() {
                let key = (
                    TenantId::new(cells.text("tenant").map_err(broken)?),
                    AgentId::new(cells.text("agent").map_err(broken)?),
                );
                news.push((key, Some(cells.instant("entered_at").map_err(broken)?)));
            }
        }
        Ok(news)
    }
}

impl<'a> Pending<'a> {
    fn can_take(&self, step: &HistoryWrite) -> bool {
        let (tenant, agent) = match step {
            HistoryWrite::Enter(row) => (&row.tenant, &row.agent),
            HistoryWrite::Retime { tenant, agent, .. } | HistoryWrite::Remove { tenant, agent, .. } => (tenant, agent),
        };
        let seen = self.keys.get(&(tenant, agent));
        match step {
            HistoryWrite::Enter(row) => {
                self.retime.is_empty()
                    && self.remove.is_empty()
                    && !seen.is_some_and(|instants| instants.contains(&row.entered_at))
            }
            HistoryWrite::Retime { .. } => self.enter.is_empty() && self.remove.is_empty() && seen.is_none(),
            HistoryWrite::Remove { .. } => self.enter.is_empty() && self.retime.is_empty() && seen.is_none(),
        }
    }

    /// Takes a step in; gives whose row it touches, and from which instant on.
    fn take(
        &mut self,
        step: &'a HistoryWrite,
        numbers: &mut Numbers,
        ids: &mut Vec<Option<u64>>,
    ) -> (RowKey<'a>, UtcMicros) {
        let (key, low, id) = match step {
            HistoryWrite::Enter(row) => {
                let id = numbers.next(&row.tenant);
                self.enter.push((row, id));
                ((&row.tenant, &row.agent), row.entered_at, Some(id.unsigned_abs()))
            }
            HistoryWrite::Retime { tenant, agent, from, to, platform_at, source } => {
                let id = numbers.next(tenant);
                let place = ids.len();
                let (low, platform_at) = (*from.min(to), *platform_at);
                self.retime.push(Retiming {
                    tenant,
                    agent,
                    from: *from,
                    to: *to,
                    platform_at,
                    source: *source,
                    id,
                    place,
                });
                ((tenant, agent), low, Some(id.unsigned_abs()))
            }
            HistoryWrite::Remove { tenant, agent, entered_at } => {
                self.remove.push((tenant, agent, *entered_at));
                ((tenant, agent), *entered_at, None)
            }
        };
        ids.push(id);
        self.keys.entry(key).or_default().push(low);
        (key, low)
    }
}

async fn flush(
    connection: &mut AnyConnection,
    script: &mut Script,
    pending: Pending<'_>,
    ids: &mut [Option<u64>],
) -> Result<(), CommitError> {
    batch::run(connection, script, &ENTER, &pending.enter, |(row, id), values| {
        values
            .text(row.tenant.as_str())
            .text(row.agent.as_str())
            .int(row.entered_at.as_micros())
            .int(*id)
            .text(row.state.name())
            .text(source_name(row.source))
            .text_or_null(row.reason.as_ref().map(ReasonCode::as_str))
            .text_or_null(row.queue.as_deref())
            .text_or_null(row.transition.map(|id| id.to_string()))
            .int_or_null(row.platform_at.map(UtcMicros::as_micros))
            .int(i64::from(row.by_person));
    })
    .await?;
    retime(connection, script, &pending.retime, ids).await?;
    batch::run(connection, script, &REMOVE, &pending.remove, |(tenant, agent, at), values| {
        values.text(tenant.as_str()).text(agent.as_str()).int(at.as_micros());
    })
    .await
}

async fn retime(
    connection: &mut AnyConnection,
    script: &mut Script,
    rows: &[Retiming<'_>],
    ids: &mut [Option<u64>],
) -> Result<(), CommitError> {
    batch::run(connection, script, &GIVE_WAY, rows, |row, values| {
        values.text(row.tenant.as_str()).text(row.agent.as_str()).int(row.from.as_micros()).int(row.to.as_micros());
    })
    .await?;
    let moved = batch::run_returning(connection, script, &RETIME, rows, |row, values| {
        values
            .text(row.tenant.as_str())
            .text(row.agent.as_str())
            .int(row.from.as_micros())
            .int(row.to.as_micros())
            .text(source_name(row.source))
            .int(row.id)
            .int_or_null(row.platform_at.map(UtcMicros::as_micros));
    })
    .await?;
    let mut found = std::collections::HashSet::new();
    for row in &moved {
        found.insert(row.try_get::<i64, _>(0).map_err(CommitError::from_engine)?);
    }
    for row in rows.iter().filter(|row| !found.contains(&row.id)) {
        ids[row.place] = None;
    }
    Ok(())
}

pub(in crate::store) async fn last_id(connection: &mut AnyConnection, tenant: &TenantId) -> Result<i64, CommitError> {
    last_integer(connection, LAST_ID, tenant).await
}

/// The source's name in the store.
pub(in crate::store) const fn source_name(source: Source) -> &'static str {
    match source {
        Source::Snapshot => "snapshot",
        Source::Feed => "feed",
        Source::Post => "post",
    }
}
