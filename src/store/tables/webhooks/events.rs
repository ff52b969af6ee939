//! The outbox: events for webhooks, in the order of their commits.

use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::domain::ids::{AgentId, EventId, TenantId};
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::event::{Event, EventKind};
use crate::store::batch::{self, ManyRows, Transaction, Values};
use crate::store::cells::Cells;
use crate::store::error::{CommitError, ReadError};
use crate::store::last_numbers::LastNumbers;
use crate::store::reader::Reader;

pub(in crate::store) const ADD: ManyRows = ManyRows {
    head: "INSERT INTO events (tenant, number, id, at, kind, agent, sequence, body) VALUES",
    width: 8,
    tail: "",
};
pub(in crate::store) const LAST_NUMBER: &str =
    "SELECT number FROM events WHERE tenant = $1 ORDER BY number DESC LIMIT 1";
pub(in crate::store) const AFTER: &str = "SELECT tenant, number, id, at, kind, agent, sequence, body FROM events \
     WHERE tenant = $1 AND number > $2 ORDER BY number LIMIT $3";
pub(in crate::store) const COUNTS: &str =
    "SELECT kind, COUNT(*) AS total FROM events WHERE tenant = $1 GROUP BY kind ORDER BY kind";

/// An event as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// The number in the tenant's outbox, from 1 in the order of the commits.
    pub number: u64,
    /// The id, the same in every delivery.
    pub id: EventId,
    /// The time of the event.
    pub at: UtcMicros,
    /// The kind of event.
    pub kind: EventKind,
    /// The agent concerned.
    pub agent: Option<AgentId>,
    /// The event's sequence number for the agent.
    pub sequence: Option<u64>,
    /// The exact body that is delivered.
    pub body: String,
}

pub(in crate::store) async fn last_number(
    connection: &mut AnyConnection,
    tenant: &TenantId,
) -> Result<i64, CommitError> {
    batch::fetch_integer(connection, LAST_NUMBER, Values::of(tenant)).await
}

/// An event with its number and its body.
pub(in crate::store) type NumberedEvent<'a> = (&'a Event, i64, String);

/// Numbers the events in order and writes their bodies.
pub(in crate::store) fn assign_numbers<'a>(
    numbers: &mut LastNumbers,
    events: impl Iterator<Item = &'a Event>,
) -> Result<Vec<NumberedEvent<'a>>, CommitError> {
    let mut rows = Vec::new();
    for event in events {
        let body = serde_json::to_string(&event.body());
        let body = body.map_err(|error| CommitError::Refused(std::sync::Arc::new(error)))?;
        rows.push((event, numbers.next(&event.tenant), body));
    }
    Ok(rows)
}

pub(in crate::store) async fn write(
    transaction: &mut Transaction<'_>,
    rows: &[NumberedEvent<'_>],
) -> Result<(), CommitError> {
    batch::run(transaction, &ADD, rows, |(event, number, body), values| {
        let (agent, sequence) = event.data.about().unzip();
        values
            .text(event.tenant.as_str())
            .int(*number)
            .text(event.id.to_string())
            .instant(event.at)
            .text(event.data.kind().selector())
            .text_or_null(agent.map(AgentId::as_str))
            .count_or_null(sequence)
            .text(&**body)
    })
    .await
}

pub(in crate::store) fn decode(row: &AnyRow) -> Result<StoredEvent, ReadError> {
    let cells = Cells::new("events", row);
    Ok(StoredEvent {
        number: cells.number("number")?,
        id: cells.parsed("id")?,
        at: cells.instant("at")?,
        kind: cells.known_value("kind", EventKind::from_selector)?,
        agent: cells.text_or_null("agent")?.map(AgentId::new),
        sequence: cells.number_or_null("sequence")?,
        body: cells.text("body")?.to_owned(),
    })
}

impl Reader {
    /// Returns the events after number `after`, in order, at most `limit` (capped at [`crate::store::PAGE_LIMIT`]).
    pub async fn events(&self, tenant: &TenantId, after: u64, limit: u32) -> Result<Vec<StoredEvent>, ReadError> {
        self.read_rows(AFTER, Values::of(tenant).count(after).page(limit), decode).await
    }

    /// Returns the number of a tenant's stored events, by kind.
    pub async fn event_counts(&self, tenant: &TenantId) -> Result<Vec<(EventKind, u64)>, ReadError> {
        self.read_rows(COUNTS, Values::of(tenant), |row| {
            let cells = Cells::new("events", row);
            Ok((cells.known_value("kind", EventKind::from_selector)?, cells.number("total")?))
        })
        .await
    }
}
