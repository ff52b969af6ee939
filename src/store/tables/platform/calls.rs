//! API calls: the budget's log of the last minute and the attempts of transitions.

use std::sync::Arc;

use sqlx::any::AnyRow;

use crate::domain::ids::{AgentId, TenantId, TransitionId};
use crate::domain::time::UtcMicros;
use crate::store::batch::{self, ManyRows, Transaction, Values, last_of_each};
use crate::store::cells::Cells;
use crate::store::change::CallWrite;
use crate::store::error::{CommitError, ReadError};
use crate::store::reader::Reader;

pub(in crate::store) const UPSERT: ManyRows = ManyRows {
    head: "INSERT INTO platform_calls (tenant, id, kind, agent, transition, attempt, sent_at, answered_at, outcome, \
           status_code, latency_ms, error, steady_us, host_start) VALUES",
    width: 14,
    tail: "ON CONFLICT (tenant, id) DO UPDATE SET sent_at = excluded.sent_at, answered_at = excluded.answered_at, \
           outcome = excluded.outcome, status_code = excluded.status_code, latency_ms = excluded.latency_ms, \
           error = excluded.error, steady_us = excluded.steady_us, host_start = excluded.host_start",
};
/// Calls that may still use a slot: sent or answered since a given time, and unanswered ones, which are selected by id
/// as open transitions are.
pub(in crate::store) const RECENT: &str = "SELECT tenant, id, kind, agent, transition, attempt, sent_at, answered_at, outcome, status_code, \
     latency_ms, error, steady_us, host_start FROM platform_calls WHERE tenant = $1 AND sent_at >= $2 \
     UNION SELECT tenant, id, kind, agent, transition, attempt, sent_at, answered_at, outcome, status_code, latency_ms, \
     error, steady_us, host_start FROM platform_calls WHERE tenant = $1 AND id IN \
     (SELECT id FROM platform_calls WHERE tenant = $1 AND answered_at IS NULL) ORDER BY 7, 2";
pub(in crate::store) const OF_TRANSITION: &str = "SELECT tenant, id, kind, agent, transition, attempt, sent_at, answered_at, outcome, \
     status_code, latency_ms, error, steady_us, host_start FROM platform_calls WHERE tenant = $1 AND transition = $2 \
     ORDER BY sent_at, id";
/// Calls in a span of the host's steady time, newest first.
pub(in crate::store) const STEADY: &str = "SELECT tenant, id, kind, agent, transition, attempt, sent_at, answered_at, outcome, \
     status_code, latency_ms, error, steady_us, host_start FROM platform_calls \
     WHERE tenant = $1 AND steady_us >= $2 AND steady_us <= $3 ORDER BY steady_us DESC LIMIT $4";

pub(in crate::store) async fn write(
    transaction: &mut Transaction<'_>,
    calls: impl Iterator<Item = &CallWrite>,
) -> Result<(), CommitError> {
    let rows = last_of_each(calls, |call| (&call.tenant, call.id));
    batch::run(transaction, &UPSERT, &rows, |call, values| {
        values
            .text(call.tenant.as_str())
            .text(call.id.to_string())
            .text(&*call.kind)
            .text_or_null(call.agent.as_ref().map(AgentId::as_str))
            .text_or_null(call.transition.map(|id| id.to_string()))
            .int_or_null(call.attempt.map(i64::from))
            .instant(call.sent_at)
            .instant_or_null(call.answered_at)
            .text_or_null(call.outcome.as_deref())
            .int_or_null(call.status_code.map(i64::from))
            .count_or_null(call.latency_ms)
            .text_or_null(call.error.as_deref())
            .count_or_null(call.steady_us)
            .int_or_null(call.host_start)
    })
    .await
}

pub(in crate::store) fn decode(row: &AnyRow) -> Result<CallWrite, ReadError> {
    let cells = Cells::new("platform_calls", row);
    Ok(CallWrite {
        tenant: TenantId::new(cells.text("tenant")?),
        id: cells.parsed("id")?,
        kind: Arc::from(cells.text("kind")?),
        agent: cells.text_or_null("agent")?.map(AgentId::new),
        transition: cells.parsed_or_null("transition")?,
        attempt: cells.number_or_null("attempt")?,
        sent_at: cells.instant("sent_at")?,
        answered_at: cells.instant_or_null("answered_at")?,
        outcome: cells.text_or_null("outcome")?.map(Arc::from),
        status_code: cells.number_or_null("status_code")?,
        latency_ms: cells.number_or_null("latency_ms")?,
        error: cells.text_or_null("error")?.map(str::to_owned),
        steady_us: cells.number_or_null("steady_us")?,
        host_start: cells.int_or_null("host_start")?,
    })
}

impl Reader {
    /// Returns a tenant's calls sent at or after `since`, and all unanswered ones, in the order of sending. A response
    /// arrives at most one request timeout after sending, so a caller that counts slots by response should start that
    /// much earlier.
    pub async fn recent_calls(&self, tenant: &TenantId, since: UtcMicros) -> Result<Vec<CallWrite>, ReadError> {
        self.read_rows(RECENT, Values::of(tenant).instant(since), decode).await
    }

    /// Returns at most `limit` of a tenant's newest calls whose steady time, in microseconds, lies in a span. They may
    /// by chance include calls of another start of the host, or of another host.
    pub async fn steady_calls(
        &self,
        tenant: &TenantId,
        (from_us, to_us): (u64, u64),
        limit: usize,
    ) -> Result<Vec<CallWrite>, ReadError> {
        let int = |us| i64::try_from(us).unwrap_or(i64::MAX);
        self.read_rows(
            STEADY,
            Values::of(tenant).int(int(from_us)).int(int(to_us)).int(i64::try_from(limit).unwrap_or(i64::MAX)),
            decode,
        )
        .await
    }

    /// Returns the attempts of a transition, in order.
    pub async fn attempts(&self, tenant: &TenantId, transition: TransitionId) -> Result<Vec<CallWrite>, ReadError> {
        self.read_rows(OF_TRANSITION, Values::of(tenant).text(transition.to_string()), decode).await
    }
}
