//! State history as it is read: the latest states, spans, and what came after an id.

use std::sync::Arc;
use std::time::Duration;

use sqlx::any::AnyRow;

use crate::domain::agents::agent::Source;
use crate::domain::agents::state::AgentState;
use crate::domain::ids::{AgentId, ReasonCode, TenantId};
use crate::domain::time::UtcMicros;
use crate::store::batch::Values;
use crate::store::cells::Cells;
use crate::store::change::HistoryRow;
use crate::store::error::ReadError;
use crate::store::reader::Reader;
use crate::store::tables::agents::history::LAST_ID;

/// The most rows of one page of history.
pub const HISTORY_PAGE_LIMIT: u32 = 10_000;

/// Walks from agent to agent by the key, one seek each, whatever the number of rows.
/// Of agents with a row that ended before an instant.
pub(in crate::store) const AGENTS_BEFORE: &str = "WITH RECURSIVE a(agent) AS (SELECT MIN(agent) FROM state_history WHERE tenant = $1 \
     UNION ALL SELECT (SELECT MIN(h.agent) FROM state_history h WHERE h.tenant = $1 AND h.agent > a.agent) \
     FROM a WHERE a.agent IS NOT NULL) SELECT a.agent AS agent FROM a WHERE a.agent IS NOT NULL AND EXISTS (SELECT 1 FROM state_history h \
     WHERE h.tenant = $1 AND h.agent = a.agent AND h.entered_at < $2 AND h.left_at < $2)";
/// A cross join, since SQLite keeps its order: any other it may turn round, and then it walks the whole table.
pub(in crate::store) const LATEST: &str = "WITH RECURSIVE a(agent) AS (SELECT MIN(agent) FROM state_history WHERE tenant = $1 \
     UNION ALL SELECT (SELECT MIN(h.agent) FROM state_history h WHERE h.tenant = $1 AND h.agent > a.agent) \
     FROM a WHERE a.agent IS NOT NULL) \
     SELECT h.tenant, h.agent, h.entered_at, h.left_at, h.state, h.id, h.source, h.reason, h.queue, h.transition, h.platform_at, h.by_person \
     FROM a CROSS JOIN state_history h WHERE h.tenant = $1 AND h.agent = a.agent AND h.entered_at = \
     (SELECT MAX(l.entered_at) FROM state_history l WHERE l.tenant = $1 AND l.agent = a.agent) ORDER BY h.agent";
/// The ended stays away from contacts that began since an instant and lasted long enough, an agent's strung together as
/// `began,ended;began,ended`: a row for each takes many times as long, and a start waits for them.
/// `$1` tenant, `$2` since, `$3` at least so many microseconds.
pub(in crate::store) const RESTS: &str = "WITH RECURSIVE a(agent) AS (SELECT MIN(agent) FROM state_history WHERE tenant = $1 \
     UNION ALL SELECT (SELECT MIN(h.agent) FROM state_history h WHERE h.tenant = $1 AND h.agent > a.agent) \
     FROM a WHERE a.agent IS NOT NULL) \
     SELECT a.agent AS agent, (SELECT string_agg(CAST(h.entered_at AS TEXT) || ',' || CAST(h.left_at AS TEXT), ';') \
     FROM state_history h WHERE h.tenant = $1 AND h.agent = a.agent AND h.entered_at >= $2 \
     AND h.left_at - h.entered_at >= $3 AND h.state IN ('NotReady', 'Paused', 'Idle', 'LoggedOut')) AS stays \
     FROM a WHERE a.agent IS NOT NULL ORDER BY a.agent";
/// What each agent was in just before an instant: `$2`.
pub(in crate::store) const JUST_BEFORE: &str = "WITH RECURSIVE a(agent) AS (SELECT MIN(agent) FROM state_history WHERE tenant = $1 \
     UNION ALL SELECT (SELECT MIN(h.agent) FROM state_history h WHERE h.tenant = $1 AND h.agent > a.agent) \
     FROM a WHERE a.agent IS NOT NULL) \
     SELECT h.tenant, h.agent, h.entered_at, h.left_at, h.state, h.id, h.source, h.reason, h.queue, h.transition, h.platform_at, h.by_person \
     FROM a CROSS JOIN state_history h WHERE h.tenant = $1 AND h.agent = a.agent AND h.entered_at = \
     (SELECT MAX(l.entered_at) FROM state_history l WHERE l.tenant = $1 AND l.agent = a.agent AND l.entered_at < $2) \
     ORDER BY h.agent";
/// What agents entered in a span, `$2` to `$3`, in order of time. One seek for each agent, however long history is.
pub(in crate::store) const ENTERED_IN: &str = "WITH RECURSIVE a(agent) AS (SELECT MIN(agent) FROM state_history WHERE tenant = $1 \
     UNION ALL SELECT (SELECT MIN(h.agent) FROM state_history h WHERE h.tenant = $1 AND h.agent > a.agent) \
     FROM a WHERE a.agent IS NOT NULL) \
     SELECT h.tenant, h.agent, h.entered_at, h.left_at, h.state, h.id, h.source, h.reason, h.queue, h.transition, h.platform_at, h.by_person \
     FROM a CROSS JOIN state_history h WHERE h.tenant = $1 AND h.agent = a.agent AND h.entered_at >= $2 AND h.entered_at < $3 \
     ORDER BY h.entered_at, h.agent";
pub(in crate::store) const OF_AGENT: &str = "SELECT tenant, agent, entered_at, left_at, state, id, source, reason, queue, transition, platform_at, by_person \
     FROM state_history WHERE tenant = $1 AND agent = $2 AND entered_at > $3 AND entered_at < $5 \
     AND (left_at > $4 OR left_at IS NULL) ORDER BY entered_at LIMIT $6";
pub(in crate::store) const SPAN: &str = "SELECT tenant, agent, entered_at, left_at, state, id, source, reason, queue, transition, platform_at, by_person \
     FROM state_history WHERE tenant = $1 AND (agent, entered_at) > ($2, $3) AND entered_at < $5 \
     AND (left_at > $4 OR left_at IS NULL) ORDER BY agent, entered_at LIMIT $6";
pub(in crate::store) const AFTER_ID: &str = "SELECT tenant, agent, entered_at, left_at, state, id, source, reason, queue, transition, platform_at, by_person \
     FROM state_history WHERE tenant = $1 AND id > $2 ORDER BY id LIMIT $3";

/// A row of history as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredHistory {
    /// Its id: rises per tenant with every row that is written or corrected.
    pub id: u64,
    /// The row.
    pub row: HistoryRow,
    /// When the agent's next state began; `None` for the latest.
    pub left_at: Option<UtcMicros>,
}

impl Reader {
    /// The agents of whom a row of history ended before an instant.
    pub async fn agents_with_history_before(
        &self,
        tenant: &TenantId,
        before: UtcMicros,
    ) -> Result<Vec<AgentId>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str()).int(before.as_micros());
        let rows = self.all(AGENTS_BEFORE, values).await?;
        rows.iter().map(|row| Cells::of("state_history", row).text("agent").map(AgentId::new)).collect()
    }

    /// The latest state of every agent of a tenant that has one, by agent.
    pub async fn latest_states(&self, tenant: &TenantId) -> Result<Vec<StoredHistory>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str());
        self.all(LATEST, values).await?.iter().map(decode).collect()
    }

    /// What each agent entered last before an instant, by agent.
    pub async fn states_before(&self, tenant: &TenantId, at: UtcMicros) -> Result<Vec<StoredHistory>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str()).int(at.as_micros());
        let mut rows = Vec::new();
        self.each(JUST_BEFORE, values, |row| {
            rows.push(decode(row)?);
            Ok(())
        })
        .await?;
        Ok(rows)
    }

    /// What agents entered from an instant up to another, in order of time. Whoever asks keeps the span short: all of it is held
    /// in memory.
    pub async fn entered_in(
        &self,
        tenant: &TenantId,
        (from, to): (UtcMicros, UtcMicros),
    ) -> Result<Vec<StoredHistory>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str()).int(from.as_micros()).int(to.as_micros());
        let mut rows = Vec::new();
        self.each(ENTERED_IN, values, |row| {
            rows.push(decode(row)?);
            Ok(())
        })
        .await?;
        Ok(rows)
    }

    /// The ended stays away from contacts ([`crate::domain::schedules::breaks::is_resting`]) that began at `since` or later and lasted `least`
    /// or longer: when each began and ended, by agent.
    pub async fn rests(
        &self,
        tenant: &TenantId,
        since: UtcMicros,
        least: Duration,
    ) -> Result<Vec<(AgentId, Vec<(UtcMicros, UtcMicros)>)>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str()).int(since.as_micros()).count(u64::try_from(least.as_micros()).unwrap_or(u64::MAX));
        let mut rests = Vec::new();
        for row in &self.all(RESTS, values).await? {
            let cells = Cells::of("state_history", row);
            let Some(text) = cells.text_or_null("stays")? else { continue };
            let stays = text.split(';').map(stay).collect::<Option<_>>();
            let stays = stays.ok_or_else(|| cells.bad("stays", Arc::from(Box::from("not two instants each"))))?;
            rests.push((AgentId::new(cells.text("agent")?), stays));
        }
        Ok(rests)
    }

    /// One agent's states that overlap `from..to`, in order, at most `limit` (held to [`HISTORY_PAGE_LIMIT`]); the next page
    /// begins after the `entered_at` of the last.
    pub async fn agent_history(
        &self,
        tenant: &TenantId,
        agent: &AgentId,
        (from, to): (UtcMicros, UtcMicros),
        after: Option<UtcMicros>,
        limit: u32,
    ) -> Result<Vec<StoredHistory>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str()).text(agent.as_str()).int(after.map_or(i64::MIN, UtcMicros::as_micros));
        values.int(from.as_micros()).int(to.as_micros()).int(i64::from(limit.min(HISTORY_PAGE_LIMIT)));
        self.all(OF_AGENT, values).await?.iter().map(decode).collect()
    }

    /// All agents' states that overlap `from..to`, by agent and instant, at most `limit` (held to [`HISTORY_PAGE_LIMIT`]); the
    /// next page begins after the agent and `entered_at` of the last.
    pub async fn history(
        &self,
        tenant: &TenantId,
        (from, to): (UtcMicros, UtcMicros),
        after: Option<(&AgentId, UtcMicros)>,
        limit: u32,
    ) -> Result<Vec<StoredHistory>, ReadError> {
        let (agent, at) = after.map_or(("", i64::MIN), |(agent, at)| (agent.as_str(), at.as_micros()));
        let mut values = Values::default();
        values.text(tenant.as_str()).text(agent).int(at);
        values.int(from.as_micros()).int(to.as_micros()).int(i64::from(limit.min(HISTORY_PAGE_LIMIT)));
        self.all(SPAN, values).await?.iter().map(decode).collect()
    }

    /// The highest id of a tenant's rows; 0 where there is none.
    pub async fn last_history_id(&self, tenant: &TenantId) -> Result<u64, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str());
        let rows = self.all(LAST_ID, values).await?;
        rows.first().map_or(Ok(0), |row| Cells::of("state_history", row).number("id"))
    }

    /// Rows written or corrected after the one with id `after`, by id: how a viewer that fell behind catches up.
    pub async fn history_after(
        &self,
        tenant: &TenantId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<StoredHistory>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str()).count(after).int(i64::from(limit.min(HISTORY_PAGE_LIMIT)));
        self.all(AFTER_ID, values).await?.iter().map(decode).collect()
    }
}

fn decode(row: &AnyRow) -> Result<StoredHistory, ReadError> {
    let cells = Cells::of("state_history", row);
    Ok(StoredHistory {
        id: cells.number("id")?,
        left_at: cells.instant_or_null("left_at")?,
        row: HistoryRow {
            tenant: TenantId::new(cells.text("tenant")?),
            agent: AgentId::new(cells.text("agent")?),
            entered_at: cells.instant("entered_at")?,
            platform_at: cells.instant_or_null("platform_at")?,
            by_person: cells.int("by_person")? != 0,
            state: AgentState::stored(cells.text("state")?),
            reason: cells.text_or_null("reason")?.map(ReasonCode::new),
            queue: cells.text_or_null("queue")?.map(Arc::from),
            source: cells.word("source", source_of)?,
            transition: cells.parsed_or_null("transition")?,
        },
    })
}

fn stay(text: &str) -> Option<(UtcMicros, UtcMicros)> {
    let (began, ended) = text.split_once(',')?;
    Some((UtcMicros::from_micros(began.parse().ok()?), UtcMicros::from_micros(ended.parse().ok()?)))
}

fn source_of(name: &str) -> Option<Source> {
    [Source::Snapshot, Source::Feed, Source::Post]
        .into_iter()
        .find(|source| super::history::source_name(*source) == name)
}
