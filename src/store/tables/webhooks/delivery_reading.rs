//! Reads the outbox: what the delivery workers need to continue, and lists for people.

use std::ops::RangeInclusive;

use sqlx::any::AnyRow;

use super::events::{self, StoredEvent};
use crate::domain::ids::{AgentId, EndpointId, EventId, TenantId};
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::delivery::{DisableReason, ParkReason, STATUS_NAMES};
use crate::domain::webhooks::event::EventKind;
use crate::store::batch::Values;
use crate::store::cells::Cells;
use crate::store::error::ReadError;
use crate::store::outbox::AttemptWrite;
use crate::store::reader::Reader;

pub(in crate::store) const ENDPOINTS: &str = "SELECT tenant, id, created_at, sent_through, failing_since, last_error, disabled_at, \
     disabled_for FROM endpoints WHERE tenant = $1 ORDER BY id";
/// The numbers after the cursor that already have a row.
pub(in crate::store) const NUMBERS_AFTER: &str = "SELECT event_number FROM deliveries WHERE tenant = $1 AND endpoint = $2 AND event_number > $3 \
     ORDER BY event_number";
pub(in crate::store) const WAITING_BY_AGENT: &str = "SELECT agent, COUNT(*) AS total FROM deliveries WHERE tenant = $1 AND endpoint = $2 \
     AND status = 'waiting' AND status <> 'delivered' GROUP BY agent";
pub(in crate::store) const DUE: &str = "SELECT e.tenant, e.number, e.id, e.at, e.kind, e.agent, e.sequence, e.body, d.attempts, d.earlier \
     FROM deliveries d JOIN events e ON e.tenant = d.tenant AND e.number = d.event_number \
     WHERE d.tenant = $1 AND d.endpoint = $2 AND d.next_at IS NOT NULL AND d.next_at <= $3 \
     ORDER BY d.next_at, d.event_number LIMIT $4";
pub(in crate::store) const NEXT_DUE: &str = "SELECT next_at FROM deliveries WHERE tenant = $1 AND endpoint = $2 AND next_at IS NOT NULL \
     AND next_at > $3 ORDER BY next_at LIMIT 1";
/// The attempts of deliveries that wait for a time, which are few and have an index, and the instants at which
/// deliveries without attempts in the present round became due.
pub(in crate::store) const LATEST_INSTANT_OF_WAITING: &str = "SELECT o.at FROM \
     (SELECT a.sent_at AS at FROM deliveries d JOIN delivery_attempts a \
      ON a.tenant = d.tenant AND a.endpoint = d.endpoint AND a.event_number = d.event_number \
      WHERE d.tenant = $1 AND d.endpoint = $2 AND d.next_at IS NOT NULL \
      UNION ALL \
      SELECT next_at AS at FROM deliveries \
      WHERE tenant = $1 AND endpoint = $2 AND next_at IS NOT NULL AND attempts = 0) o ORDER BY o.at DESC LIMIT 1";
/// The waiting and parked deliveries, and the number of events after the cursor.
pub(in crate::store) const BACKLOG: &str = "SELECT \
     (SELECT COUNT(*) FROM deliveries d WHERE d.tenant = n.tenant AND d.endpoint = n.id AND d.status = 'waiting' \
      AND d.status <> 'delivered') AS waiting, \
     (SELECT COUNT(*) FROM deliveries d WHERE d.tenant = n.tenant AND d.endpoint = n.id AND d.status = 'parked' \
      AND d.status <> 'delivered') AS parked, \
     (SELECT COUNT(*) FROM events e WHERE e.tenant = n.tenant AND e.number > n.sent_through) AS unread \
     FROM endpoints n WHERE n.tenant = $1 AND n.id = $2";

/// The oldest event that waits or is parked. Queried for each status, because the index of open deliveries has the
/// status before the number.
pub(in crate::store) const OLDEST_OPEN: &str = "SELECT e.tenant, e.number, e.at FROM events e WHERE e.tenant = $1 AND e.number = \
     (SELECT MIN(o.event_number) FROM \
      (SELECT event_number FROM deliveries WHERE tenant = $1 AND endpoint = $2 AND status = 'waiting' AND status <> 'delivered' \
       UNION ALL \
       SELECT event_number FROM deliveries WHERE tenant = $1 AND endpoint = $2 AND status = 'parked' AND status <> 'delivered') o)";

/// The oldest event still to be sent: it waits, or is after the cursor.
pub(in crate::store) const OLDEST_UNSENT: &str = "SELECT e.tenant, e.number, e.at FROM events e WHERE e.tenant = $1 AND e.number = \
     (SELECT MIN(o.number) FROM \
      (SELECT event_number AS number FROM deliveries WHERE tenant = $1 AND endpoint = $2 AND status = 'waiting' \
       AND status <> 'delivered' \
       UNION ALL \
       SELECT MIN(u.number) AS number FROM events u JOIN endpoints n ON n.tenant = u.tenant \
       WHERE u.tenant = $1 AND n.id = $2 AND u.number > n.sent_through) o)";

macro_rules! listing {
    ($rest:literal) => {
        concat!(
            "SELECT d.tenant, d.event_number, d.status, d.attempts, d.earlier, d.next_at, d.settled_at, d.parked_for, \
             e.id, e.at, e.kind, e.agent, e.sequence FROM deliveries d JOIN events e ON e.tenant = d.tenant \
             AND e.number = d.event_number WHERE d.tenant = $1 AND d.endpoint = $2 AND d.event_number >= $3 \
             AND d.event_number < $4 ",
            $rest
        )
    };
}

pub(in crate::store) const LIST: &str = listing!("ORDER BY d.event_number DESC LIMIT $5");
pub(in crate::store) const LIST_OPEN: &str =
    listing!("AND d.status = $6 AND d.status <> 'delivered' ORDER BY d.event_number DESC LIMIT $5");
pub(in crate::store) const LIST_DELIVERED: &str =
    listing!("AND d.status = 'delivered' ORDER BY d.event_number DESC LIMIT $5");
pub(in crate::store) const ATTEMPTS: &str = "SELECT tenant, endpoint, event_number, attempt, sent_at, latency_ms, status_code, error, \
     answer FROM delivery_attempts WHERE tenant = $1 AND endpoint = $2 AND event_number = $3 ORDER BY attempt";
pub(in crate::store) const EVENT: &str = "SELECT tenant, number, id, at, kind, agent, sequence, body FROM events WHERE tenant = $1 \
     AND id = $2";
pub(in crate::store) const FIRST_SINCE: &str =
    "SELECT number FROM events WHERE tenant = $1 AND at >= $2 ORDER BY number LIMIT 1";
pub(in crate::store) const OLDEST_EVENTS: &str =
    "SELECT tenant, number, at FROM events WHERE tenant = $1 ORDER BY number LIMIT $2";

/// An endpoint as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEndpoint {
    /// The id.
    pub id: EndpointId,
    /// The time when it was added.
    pub created_at: UtcMicros,
    /// Every event up to this number has a delivery or was not selected.
    pub sent_through: u64,
    /// The time of the first failure since the last success.
    pub failing_since: Option<UtcMicros>,
    /// The last error, while the endpoint fails.
    pub last_error: Option<String>,
    /// The time and reason of disabling it.
    pub disabled: Option<(UtcMicros, DisableReason)>,
}

/// A delivery that may be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueDelivery {
    /// The event.
    pub event: StoredEvent,
    /// The number of attempts so far.
    pub attempts: u32,
    /// The number of attempts before it was last resent by a person.
    pub earlier_attempts: u32,
}

/// The open work of an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// The number of waiting deliveries.
    pub waiting: u64,
    /// The number of parked deliveries.
    pub parked: u64,
    /// The number of events not yet processed; not all of them may be selected.
    pub unprocessed: u64,
}

/// A delivery in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDelivery {
    /// The event's number in the tenant's outbox.
    pub event_number: u64,
    /// The event's id.
    pub event: EventId,
    /// The time of the event.
    pub at: UtcMicros,
    /// The kind of event.
    pub kind: EventKind,
    /// The agent concerned.
    pub agent: Option<AgentId>,
    /// The event's sequence number for the agent.
    pub sequence: Option<u64>,
    /// The status, one of [`STATUS_NAMES`].
    pub status: &'static str,
    /// The number of attempts, over all resends.
    pub attempts: u32,
    /// The time when the next attempt is due; `None` if it waits behind another delivery.
    pub next_at: Option<UtcMicros>,
    /// The time at which it was delivered or parked.
    pub settled_at: Option<UtcMicros>,
    /// The reason why it is parked.
    pub parked_for: Option<ParkReason>,
}

/// The conditions of a list of deliveries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// The status, one of [`STATUS_NAMES`].
    pub status: Option<&'static str>,
    /// Only events at this time or later.
    pub since: Option<UtcMicros>,
    /// Only events before this number, the last one of the previous page.
    pub before: Option<u64>,
}

fn bind_endpoint(tenant: &TenantId, endpoint: &EndpointId) -> Values {
    Values::of(tenant).text(endpoint.as_str())
}

impl Reader {
    /// Returns a tenant's endpoints, including those that are no longer configured.
    pub async fn endpoints(&self, tenant: &TenantId) -> Result<Vec<StoredEndpoint>, ReadError> {
        self.read_rows(ENDPOINTS, Values::of(tenant), decode_endpoint).await
    }

    /// Returns the number of a tenant's newest event; 0 if there is none.
    pub async fn last_event_number(&self, tenant: &TenantId) -> Result<u64, ReadError> {
        let read = |row: &AnyRow| Cells::new("events", row).number("number");
        Ok(self.read_row(events::LAST_NUMBER, Values::of(tenant), read).await?.unwrap_or_default())
    }

    /// Returns the numbers after an endpoint's cursor that already have a delivery.
    pub async fn delivered_after(
        &self,
        tenant: &TenantId,
        endpoint: &EndpointId,
        cursor: u64,
    ) -> Result<Vec<u64>, ReadError> {
        self.read_rows(NUMBERS_AFTER, bind_endpoint(tenant, endpoint).count(cursor), |row| {
            Cells::new("deliveries", row).number("event_number")
        })
        .await
    }

    /// Returns the number of waiting deliveries of each agent, without those of no agent.
    pub async fn waiting_by_agent(
        &self,
        tenant: &TenantId,
        endpoint: &EndpointId,
    ) -> Result<Vec<(AgentId, u64)>, ReadError> {
        let mut waiting = Vec::new();
        self.for_each_row(WAITING_BY_AGENT, bind_endpoint(tenant, endpoint), |row| {
            let cells = Cells::new("deliveries", row);
            if let Some(agent) = cells.text_or_null("agent")? {
                waiting.push((AgentId::new(agent), cells.number("total")?));
            }
            Ok(())
        })
        .await?;
        Ok(waiting)
    }

    /// Returns the deliveries whose next attempt is due, the longest due first.
    pub async fn due_deliveries(
        &self,
        tenant: &TenantId,
        endpoint: &EndpointId,
        now: UtcMicros,
        limit: u32,
    ) -> Result<Vec<DueDelivery>, ReadError> {
        self.read_rows(DUE, bind_endpoint(tenant, endpoint).instant(now).int(i64::from(limit)), |row| {
            let cells = Cells::new("deliveries", row);
            Ok(DueDelivery {
                event: events::decode(row)?,
                attempts: cells.number("attempts")?,
                earlier_attempts: cells.number("earlier")?,
            })
        })
        .await
    }

    /// Returns the time of the next attempt that is due after a given time.
    pub async fn next_due(
        &self,
        tenant: &TenantId,
        endpoint: &EndpointId,
        after: UtcMicros,
    ) -> Result<Option<UtcMicros>, ReadError> {
        self.read_row(NEXT_DUE, bind_endpoint(tenant, endpoint).instant(after), |row| {
            Cells::new("deliveries", row).instant("next_at")
        })
        .await
    }

    /// Returns the latest instant that is recorded of an endpoint's waiting deliveries: that of an attempt, or the one
    /// at which a delivery without attempts became due.
    pub async fn latest_instant_of_waiting(
        &self,
        tenant: &TenantId,
        endpoint: &EndpointId,
    ) -> Result<Option<UtcMicros>, ReadError> {
        self.read_row(LATEST_INSTANT_OF_WAITING, bind_endpoint(tenant, endpoint), |row| {
            Cells::new("deliveries", row).instant("at")
        })
        .await
    }

    /// Returns the open work of an endpoint; empty if the endpoint is unknown.
    pub async fn backlog(&self, tenant: &TenantId, endpoint: &EndpointId) -> Result<Backlog, ReadError> {
        let read = |row: &AnyRow| {
            let cells = Cells::new("deliveries", row);
            let (waiting, parked) = (cells.number("waiting")?, cells.number("parked")?);
            Ok(Backlog { waiting, parked, unprocessed: cells.number("unread")? })
        };
        Ok(self.read_row(BACKLOG, bind_endpoint(tenant, endpoint), read).await?.unwrap_or_default())
    }

    /// Returns the time of the oldest event that waits or is parked at an endpoint.
    pub async fn oldest_open(&self, tenant: &TenantId, endpoint: &EndpointId) -> Result<Option<UtcMicros>, ReadError> {
        self.read_row(OLDEST_OPEN, bind_endpoint(tenant, endpoint), |row| Cells::new("events", row).instant("at")).await
    }

    /// Returns the time of the oldest event still to be sent to an endpoint, without parked ones.
    pub async fn oldest_unsent(
        &self,
        tenant: &TenantId,
        endpoint: &EndpointId,
    ) -> Result<Option<UtcMicros>, ReadError> {
        self.read_row(OLDEST_UNSENT, bind_endpoint(tenant, endpoint), |row| Cells::new("events", row).instant("at"))
            .await
    }

    /// Returns the deliveries of an endpoint, newest event first, at most `limit` (capped at
    /// [`crate::store::PAGE_LIMIT`]).
    pub async fn deliveries(
        &self,
        tenant: &TenantId,
        endpoint: &EndpointId,
        filter: &DeliveryFilter,
        limit: u32,
    ) -> Result<Vec<StoredDelivery>, ReadError> {
        let from = match filter.since {
            None => 0,
            Some(since) => match self.first_event_since(tenant, since).await? {
                Some(number) => number,
                None => return Ok(Vec::new()),
            },
        };
        let values = bind_endpoint(tenant, endpoint).count(from).count(filter.before.unwrap_or(u64::MAX)).page(limit);
        let (statement, values) = match filter.status {
            None => (LIST, values),
            Some("delivered") => (LIST_DELIVERED, values),
            Some(open) => (LIST_OPEN, values.text(open)),
        };
        self.read_rows(statement, values, decode_delivery).await
    }

    /// Returns the attempts of one delivery, in order.
    pub async fn delivery_attempts(
        &self,
        tenant: &TenantId,
        endpoint: &EndpointId,
        event_number: u64,
    ) -> Result<Vec<AttemptWrite>, ReadError> {
        self.read_rows(ATTEMPTS, bind_endpoint(tenant, endpoint).count(event_number), decode_attempt).await
    }

    /// Returns one event by its id.
    pub async fn event(&self, tenant: &TenantId, id: EventId) -> Result<Option<StoredEvent>, ReadError> {
        self.read_row(EVENT, Values::of(tenant).text(id.to_string()), events::decode).await
    }

    /// Returns the number of the first event at or after a given time.
    pub async fn first_event_since(&self, tenant: &TenantId, since: UtcMicros) -> Result<Option<u64>, ReadError> {
        self.read_row(FIRST_SINCE, Values::of(tenant).instant(since), |row| Cells::new("events", row).number("number"))
            .await
    }

    /// Returns the numbers of at most `limit` of the oldest events before a given time: one slice to delete. `None` if
    /// the oldest event is newer.
    pub async fn events_to_delete(
        &self,
        tenant: &TenantId,
        before: UtcMicros,
        limit: u64,
    ) -> Result<Option<RangeInclusive<u64>>, ReadError> {
        // One more, because the tenant's last event is kept.
        let values = Values::of(tenant).count(limit + 1);
        let read = |row: &AnyRow| {
            let cells = Cells::new("events", row);
            Ok((cells.number("number")?, cells.instant("at")?))
        };
        let mut events: Vec<(u64, UtcMicros)> = self.read_rows(OLDEST_EVENTS, values, read).await?;
        events.pop();
        let count = events.iter().take_while(|(_, at)| *at < before).count();
        Ok(events[..count].first().zip(events[..count].last()).map(|((first, _), (last, _))| *first..=*last))
    }
}

fn decode_endpoint(row: &AnyRow) -> Result<StoredEndpoint, ReadError> {
    let cells = Cells::new("endpoints", row);
    let disabled = match cells.instant_or_null("disabled_at")? {
        None => None,
        Some(at) => Some((at, cells.known_value("disabled_for", DisableReason::from_name)?)),
    };
    Ok(StoredEndpoint {
        id: EndpointId::new(cells.text("id")?),
        created_at: cells.instant("created_at")?,
        sent_through: cells.number("sent_through")?,
        failing_since: cells.instant_or_null("failing_since")?,
        last_error: cells.text_or_null("last_error")?.map(str::to_owned),
        disabled,
    })
}

fn decode_delivery(row: &AnyRow) -> Result<StoredDelivery, ReadError> {
    let cells = Cells::new("deliveries", row);
    let parked_for = cells.known_value_or_null("parked_for", ParkReason::from_name)?;
    Ok(StoredDelivery {
        event_number: cells.number("event_number")?,
        event: cells.parsed("id")?,
        at: cells.instant("at")?,
        kind: cells.known_value("kind", EventKind::from_selector)?,
        agent: cells.text_or_null("agent")?.map(AgentId::new),
        sequence: cells.number_or_null("sequence")?,
        status: cells.known_value("status", |name| STATUS_NAMES.into_iter().find(|known| *known == name))?,
        attempts: cells.number::<u32>("attempts")? + cells.number::<u32>("earlier")?,
        next_at: cells.instant_or_null("next_at")?,
        settled_at: cells.instant_or_null("settled_at")?,
        parked_for,
    })
}

fn decode_attempt(row: &AnyRow) -> Result<AttemptWrite, ReadError> {
    let cells = Cells::new("delivery_attempts", row);
    Ok(AttemptWrite {
        tenant: TenantId::new(cells.text("tenant")?),
        endpoint: EndpointId::new(cells.text("endpoint")?),
        event_number: cells.number("event_number")?,
        attempt: cells.number("attempt")?,
        sent_at: cells.instant("sent_at")?,
        latency_ms: cells.number("latency_ms")?,
        status_code: cells.number_or_null("status_code")?,
        error: cells.text_or_null("error")?.map(str::to_owned),
        response: cells.text("answer")?.to_owned(),
    })
}
