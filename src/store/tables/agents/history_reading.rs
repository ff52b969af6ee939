//! Reads state history: the latest states, periods, and rows after an id.

use std::sync::Arc;
use std::time::Duration;

use sqlx::any::AnyRow;

use crate::domain::agents::agent::ObservationSource;
use crate::domain::agents::state::AgentState;
use crate::domain::ids::{AgentId, ReasonCode, TenantId};
use crate::domain::time::UtcMicros;
use crate::store::batch::Values;
use crate::store::cells::Cells;
use crate::store::change::HistoryRow;
use crate::store::error::ReadError;
use crate::store::reader::Reader;
use crate::store::tables::agents::history::LAST_ID;

/// The maximum number of rows on one page of history.
pub const HISTORY_PAGE_LIMIT: u32 = 10_000;

/// A query over all agents, `a`. Steps from agent to agent by the key, with one seek each, whatever the number of rows.
macro_rules! by_agent {
    (ROWS $rest:literal) => {
        // A cross join, because SQLite keeps its order; it may reorder any other join and then reads the whole table.
        by_agent!(
            "SELECT h.tenant, h.agent, h.entered_at, h.left_at, h.state, h.id, h.source, h.reason, h.queue, h.transition, \
             h.platform_at, h.by_person FROM a CROSS JOIN state_history h WHERE h.tenant = $1 AND h.agent = a.agent AND ",
            $rest
        )
    };
    ($($rest:literal),+) => {
        concat!(
            "WITH RECURSIVE a(agent) AS (SELECT MIN(agent) FROM state_history WHERE tenant = $1 \
             UNION ALL SELECT (SELECT MIN(h.agent) FROM state_history h WHERE h.tenant = $1 AND h.agent > a.agent) \
             FROM a WHERE a.agent IS NOT NULL) ",
            $($rest),+
        )
    };
}

macro_rules! selecting {
    ($rest:literal) => {
        concat!(
            "SELECT tenant, agent, entered_at, left_at, state, id, source, reason, queue, transition, platform_at, by_person \
             FROM state_history WHERE tenant = $1 AND ",
            $rest
        )
    };
}

/// The agents with a row that ended before a given time.
pub(in crate::store) const AGENTS_BEFORE: &str = by_agent!(
    "SELECT a.agent AS agent FROM a WHERE a.agent IS NOT NULL AND EXISTS (SELECT 1 FROM state_history h \
     WHERE h.tenant = $1 AND h.agent = a.agent AND h.entered_at < $2 AND h.left_at < $2)"
);
pub(in crate::store) const LATEST: &str = by_agent!(ROWS "h.entered_at = \
     (SELECT MAX(l.entered_at) FROM state_history l WHERE l.tenant = $1 AND l.agent = a.agent) ORDER BY h.agent");
/// The ended periods away from contacts that began since a given time and lasted long enough, packed for each agent as
/// `began,ended;began,ended`, because a row for each takes many times as long and the start waits for them. `$1`
/// tenant, `$2` since, `$3` minimum duration in microseconds.
pub(in crate::store) const RESTS: &str = by_agent!(
    "SELECT a.agent AS agent, (SELECT string_agg(CAST(h.entered_at AS TEXT) || ',' || CAST(h.left_at AS TEXT), ';') \
     FROM state_history h WHERE h.tenant = $1 AND h.agent = a.agent AND h.entered_at >= $2 \
     AND h.left_at - h.entered_at >= $3 AND h.state IN ('NotReady', 'Paused', 'Idle', 'LoggedOut')) AS stays \
     FROM a WHERE a.agent IS NOT NULL ORDER BY a.agent"
);
/// The state of each agent just before the time `$2`.
pub(in crate::store) const STATES_BEFORE: &str = by_agent!(ROWS "h.entered_at = \
     (SELECT MAX(l.entered_at) FROM state_history l WHERE l.tenant = $1 AND l.agent = a.agent AND l.entered_at < $2) \
     ORDER BY h.agent");
/// The rows entered in a period, `$2` to `$3`, ordered by time. One seek for each agent, however long the history is.
pub(in crate::store) const ENTERED_IN: &str = by_agent!(ROWS "h.entered_at >= $2 AND h.entered_at < $3 \
     ORDER BY h.entered_at, h.agent");
pub(in crate::store) const OF_AGENT: &str = selecting!(
    "agent = $2 AND entered_at > $3 AND entered_at < $5 \
     AND (left_at > $4 OR left_at IS NULL) ORDER BY entered_at LIMIT $6"
);
pub(in crate::store) const SPAN: &str = selecting!(
    "(agent, entered_at) > ($2, $3) AND entered_at < $5 \
     AND (left_at > $4 OR left_at IS NULL) ORDER BY agent, entered_at LIMIT $6"
);
pub(in crate::store) const AFTER_ID: &str = selecting!("id > $2 ORDER BY id LIMIT $3");

/// A row of history as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredHistory {
    /// The id, which increases per tenant with every row that is written or corrected.
    pub id: u64,
    /// The row.
    pub row: HistoryRow,
    /// The time when the agent's next state began; `None` for the latest row.
    pub left_at: Option<UtcMicros>,
}

impl Reader {
    /// Returns the agents with a row of history that ended before a given time.
    pub async fn agents_with_history_before(
        &self,
        tenant: &TenantId,
        before: UtcMicros,
    ) -> Result<Vec<AgentId>, ReadError> {
        self.read_rows(AGENTS_BEFORE, Values::of(tenant).instant(before), |row| {
            Cells::new("state_history", row).text("agent").map(AgentId::new)
        })
        .await
    }

    /// Returns the latest state of every agent of a tenant, by agent.
    pub async fn latest_states(&self, tenant: &TenantId) -> Result<Vec<StoredHistory>, ReadError> {
        self.read_rows(LATEST, Values::of(tenant), decode).await
    }

    /// Returns the state that each agent entered last before a given time, by agent.
    pub async fn states_before(&self, tenant: &TenantId, at: UtcMicros) -> Result<Vec<StoredHistory>, ReadError> {
        self.read_rows(STATES_BEFORE, Values::of(tenant).instant(at), decode).await
    }

    /// Returns the rows entered in a period, ordered by time. Keep the period short: all of it is held in memory.
    pub async fn entered_in(
        &self,
        tenant: &TenantId,
        (from, to): (UtcMicros, UtcMicros),
    ) -> Result<Vec<StoredHistory>, ReadError> {
        self.read_rows(ENTERED_IN, Values::of(tenant).instant(from).instant(to), decode).await
    }

    /// Returns the ended periods away from contacts ([`crate::domain::schedules::rest::is_resting`]) that began at
    /// `since` or later and lasted at least `least`: the start and end of each, by agent.
    pub async fn rest_periods(
        &self,
        tenant: &TenantId,
        since: UtcMicros,
        least: Duration,
    ) -> Result<Vec<(AgentId, Vec<(UtcMicros, UtcMicros)>)>, ReadError> {
        let values = Values::of(tenant).instant(since).count(u64::try_from(least.as_micros()).unwrap_or(u64::MAX));
        let mut periods = Vec::new();
        self.for_each_row(RESTS, values, |row| {
            let cells = Cells::new("state_history", row);
            let Some(text) = cells.text_or_null("stays")? else { return Ok(()) };
            let spans = text.split(';').map(parse_span).collect::<Option<_>>();
            let stays =
                spans.ok_or_else(|| cells.decode_error("stays", Arc::from(Box::from("not two instants each"))))?;
            periods.push((AgentId::new(cells.text("agent")?), stays));
            Ok(())
        })
        .await?;
        Ok(periods)
    }

    /// Returns one agent's states that overlap `from..to`, in order, at most `limit` (capped at
    /// [`HISTORY_PAGE_LIMIT`]). The next page begins after the last row's `entered_at`.
    pub async fn agent_history(
        &self,
        tenant: &TenantId,
        agent: &AgentId,
        (from, to): (UtcMicros, UtcMicros),
        after: Option<UtcMicros>,
        limit: u32,
    ) -> Result<Vec<StoredHistory>, ReadError> {
        self.read_rows(
            OF_AGENT,
            Values::of(tenant)
                .text(agent.as_str())
                .int(after.map_or(i64::MIN, UtcMicros::as_micros))
                .instant(from)
                .instant(to)
                .int(i64::from(limit.min(HISTORY_PAGE_LIMIT))),
            decode,
        )
        .await
    }

    /// Returns all agents' states that overlap `from..to`, by agent and time, at most `limit` (capped at
    /// [`HISTORY_PAGE_LIMIT`]). The next page begins after the last row's agent and `entered_at`.
    pub async fn history(
        &self,
        tenant: &TenantId,
        (from, to): (UtcMicros, UtcMicros),
        after: Option<(&AgentId, UtcMicros)>,
        limit: u32,
    ) -> Result<Vec<StoredHistory>, ReadError> {
        let (agent, at) = after.map_or(("", i64::MIN), |(agent, at)| (agent.as_str(), at.as_micros()));
        self.read_rows(
            SPAN,
            Values::of(tenant)
                .text(agent)
                .int(at)
                .instant(from)
                .instant(to)
                .int(i64::from(limit.min(HISTORY_PAGE_LIMIT))),
            decode,
        )
        .await
    }

    /// Returns the highest row id of a tenant; 0 if there is none.
    pub async fn last_history_id(&self, tenant: &TenantId) -> Result<u64, ReadError> {
        let read = |row: &AnyRow| Cells::new("state_history", row).number("id");
        Ok(self.read_row(LAST_ID, Values::of(tenant), read).await?.unwrap_or_default())
    }

    /// Returns the rows written or corrected after the id `after`, ordered by id, so that a reader can catch up.
    pub async fn history_after(
        &self,
        tenant: &TenantId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<StoredHistory>, ReadError> {
        self.read_rows(AFTER_ID, Values::of(tenant).count(after).int(i64::from(limit.min(HISTORY_PAGE_LIMIT))), decode)
            .await
    }
}

fn decode(row: &AnyRow) -> Result<StoredHistory, ReadError> {
    let cells = Cells::new("state_history", row);
    Ok(StoredHistory {
        id: cells.number("id")?,
        left_at: cells.instant_or_null("left_at")?,
        row: HistoryRow {
            tenant: TenantId::new(cells.text("tenant")?),
            agent: AgentId::new(cells.text("agent")?),
            entered_at: cells.instant("entered_at")?,
            platform_at: cells.instant_or_null("platform_at")?,
            by_person: cells.int("by_person")? != 0,
            state: AgentState::from_stored_name(cells.text("state")?),
            reason: cells.text_or_null("reason")?.map(ReasonCode::new),
            queue: cells.text_or_null("queue")?.map(Arc::from),
            source: cells.known_value("source", parse_source)?,
            transition: cells.parsed_or_null("transition")?,
        },
    })
}

fn parse_span(text: &str) -> Option<(UtcMicros, UtcMicros)> {
    let (began, ended) = text.split_once(',')?;
    Some((UtcMicros::from_micros(began.parse().ok()?), UtcMicros::from_micros(ended.parse().ok()?)))
}

fn parse_source(name: &str) -> Option<ObservationSource> {
    [ObservationSource::Snapshot, ObservationSource::Feed, ObservationSource::Post, ObservationSource::History]
        .into_iter()
        .find(|source| super::history::source_name(*source) == name)
}
