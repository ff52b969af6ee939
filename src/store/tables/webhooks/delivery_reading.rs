//! The outbox as it is read: what a worker needs to go on, and the lists that people look at.

use std::ops::RangeInclusive;

use sqlx::any::AnyRow;

use super::events::{self, StoredEvent};
use crate::domain::ids::{AgentId, EndpointId, EventId, TenantId};
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::delivery::{DisabledFor, ParkedFor, STATUS_NAMES};
use crate::domain::webhooks::event::EventKind;
use crate::store::batch::Values;
use crate::store::cells::Cells;
use crate::store::error::ReadError;
use crate::store::outbox::AttemptWrite;
use crate::store::reader::Reader;

pub(in crate::store) const ENDPOINTS: &str = "SELECT tenant, id, created_at, sent_through, failing_since, last_error, disabled_at, \
     disabled_for FROM endpoints WHERE tenant = $1 ORDER BY id";
/// Numbers past the cursor that have a row already.
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
/// Only those deliveries that wait by the clock: they are few, and have an index.
pub(in crate::store) const LATEST_ATTEMPT: &str = "SELECT a.sent_at FROM deliveries d JOIN delivery_attempts a \
     ON a.tenant = d.tenant AND a.endpoint = d.endpoint AND a.event_number = d.event_number \
     WHERE d.tenant = $1 AND d.endpoint = $2 AND d.next_at IS NOT NULL ORDER BY a.sent_at DESC LIMIT 1";
/// What waits and what is parked, and how many events lie past the cursor.
pub(in crate::store) const BACKLOG: &str = "SELECT \
     (SELECT COUNT(*) FROM deliveries d WHERE d.tenant = n.tenant AND d.endpoint = n.id AND d.status = 'waiting' \
      AND d.status <> 'delivered') AS waiting, \
     (SELECT COUNT(*) FROM deliveries d WHERE d.tenant = n.tenant AND d.endpoint = n.id AND d.status = 'parked' \
      AND d.status <> 'delivered') AS parked, \
     (SELECT COUNT(*) FROM events e WHERE e.tenant = n.tenant AND e.number > n.sent_through) AS unread \
     FROM endpoints n WHERE n.tenant = $1 AND n.id = $2";

/// The oldest event that waits or is parked. Of each status by itself: the index of open deliveries has the status before the number.
pub(in crate::store) const OLDEST_OPEN: &str = "SELECT e.tenant, e.number, e.at FROM events e WHERE e.tenant = $1 AND e.number = \
     (SELECT MIN(o.event_number) FROM \
      (SELECT event_number FROM deliveries WHERE tenant = $1 AND endpoint = $2 AND status = 'waiting' AND status <> 'delivered' \
       UNION ALL \
       SELECT event_number FROM deliveries WHERE tenant = $1 AND endpoint = $2 AND status = 'parked' AND status <> 'delivered') o)";

/// The oldest event that has still to be sent: it waits, or lies past the cursor.
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
pub(in crate::store) const OLDEST: &str =
    "SELECT tenant, number, at FROM events WHERE tenant = $1 ORDER BY number LIMIT $2";

/// An endpoint as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEndpoint {
    /// Which.
    pub id: EndpointId,
    /// Since when it is known.
    pub created_at: UtcMicros,
    /// Every event up to this number has a row in the deliveries or was not selected.
    pub sent_through: u64,
    /// The first failure after the last success.
    pub failing_since: Option<UtcMicros>,
    /// What went wrong last, while it fails.
    pub last_error: Option<String>,
    /// Since when and why it gets nothing.
    pub disabled: Option<(UtcMicros, DisabledFor)>,
}

/// A delivery that may be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueDelivery {
    /// The event.
    pub event: StoredEvent,
    /// Attempts so far.
    pub attempts: u32,
    /// Attempts before a person asked for it again.
    pub earlier: u32,
}

/// What an endpoint has before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Deliveries that wait.
    pub waiting: u64,
    /// Deliveries that are not tried any more.
    pub parked: u64,
    /// Events that have not been looked at; not all of them need be selected.
    pub unread: u64,
}

/// A delivery in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDelivery {
    /// The event's number in the tenant's outbox.
    pub event_number: u64,
    /// The event's id.
    pub event: EventId,
    /// When it happened.
    pub at: UtcMicros,
    /// What kind.
    pub kind: EventKind,
    /// The agent concerned.
    pub agent: Option<AgentId>,
    /// The number among the agent's events.
    pub sequence: Option<u64>,
    /// One of [`STATUS_NAMES`].
    pub status: &'static str,
    /// Attempts of all.
    pub attempts: u32,
    /// When the next attempt is due; none for one that waits behind another.
    pub next_at: Option<UtcMicros>,
    /// When it was settled.
    pub settled_at: Option<UtcMicros>,
    /// Why it is parked.
    pub parked_for: Option<ParkedFor>,
}

/// Which deliveries are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// One of [`STATUS_NAMES`].
    pub status: Option<&'static str>,
    /// Of events that happened at or after this instant.
    pub since: Option<UtcMicros>,
    /// Of events before this number: the last of the page before.
    pub before: Option<u64>,
}

fn of_endpoint(tenant: &TenantId, endpoint: &EndpointId) -> Values {
    let mut values = Values::default();
    values.text(tenant.as_str()).text(endpoint.as_str());
    values
}

impl Reader {
    /// A tenant's endpoints, also those that the configuration does not name any more.
    pub async fn endpoints(&self, tenant: &TenantId) -> Result<Vec<StoredEndpoint>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str());
        self.all(ENDPOINTS, values).await?.iter().map(decode_endpoint).collect()
    }

    /// The number of a tenant's newest event; 0 when there is none.
    pub async fn last_event_number(&self, tenant: &TenantId) -> Result<u64, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str());
        let row = self.optional(events::LAST_NUMBER, values).await?;
        row.map_or(Ok(0), |row| Cells::of("events", &row).number("number"))
    }

    /// Numbers past an endpoint's cursor that have a delivery already.
    pub async fn delivered_past(
        &self,
        tenant: &TenantId,
        endpoint: &EndpointId,
        cursor: u64,
    ) -> Result<Vec<u64>, ReadError> {
        let mut values = of_endpoint(tenant, endpoint);
        values.count(cursor);
        let rows = self.all(NUMBERS_AFTER, values).await?;
        rows.iter().map(|row| Cells::of("deliveries", row).number("event_number")).collect()
    }

    /// How many deliveries of each agent wait; those of no agent are left out.
    pub async fn waiting_by_agent(
        &self,
        tenant: &TenantId,
        endpoint: &EndpointId,
    ) -> Result<Vec<(AgentId, u64)>, ReadError> {
        let rows = self.all(WAITING_BY_AGENT, of_endpoint(tenant, endpoint)).await?;
        let mut waiting = Vec::with_capacity(rows.len());
        for row in &rows {
            let cells = Cells::of("deliveries", row);
            if let Some(agent) = cells.text_or_null("agent")? {
                waiting.push((AgentId::new(agent), cells.number("total")?));
            }
        }
        Ok(waiting)
    }

    /// Deliveries whose next attempt is due, the longest due first.
    pub async fn due_deliveries(
        &self,
        tenant: &TenantId,
        endpoint: &EndpointId,
        now: UtcMicros,
        limit: u32,
    ) -> Result<Vec<DueDelivery>, ReadError> {
        let mut values = of_endpoint(tenant, endpoint);
        values.int(now.as_micros()).int(i64::from(limit));
        let rows = self.all(DUE, values).await?;
        rows.iter()
            .map(|row| {
                let cells = Cells::of("deliveries", row);
                Ok(DueDelivery {
                    event: events::decode(row)?,
                    attempts: cells.number("attempts")?,
                    earlier: cells.number("earlier")?,
                })
            })
            .collect()
    }

    /// When the next attempt after an instant is due.
    pub async fn next_due(
        &self,
        tenant: &TenantId,
        endpoint: &EndpointId,
        after: UtcMicros,
    ) -> Result<Option<UtcMicros>, ReadError> {
        let mut values = of_endpoint(tenant, endpoint);
        values.int(after.as_micros());
        let row = self.optional(NEXT_DUE, values).await?;
        row.map(|row| Cells::of("deliveries", &row).instant("next_at")).transpose()
    }

    /// When the latest attempt left of those deliveries that wait at an endpoint.
    pub async fn latest_attempt_of_waiting(
        &self,
        tenant: &TenantId,
        endpoint: &EndpointId,
    ) -> Result<Option<UtcMicros>, ReadError> {
        let row = self.optional(LATEST_ATTEMPT, of_endpoint(tenant, endpoint)).await?;
        row.map(|row| Cells::of("delivery_attempts", &row).instant("sent_at")).transpose()
    }

    /// What an endpoint has before it; nothing for one that is not known.
    pub async fn backlog(&self, tenant: &TenantId, endpoint: &EndpointId) -> Result<Backlog, ReadError> {
        let Some(row) = self.optional(BACKLOG, of_endpoint(tenant, endpoint)).await? else {
            return Ok(Backlog::default());
        };
        let cells = Cells::of("deliveries", &row);
        Ok(Backlog {
            waiting: cells.number("waiting")?,
            parked: cells.number("parked")?,
            unread: cells.number("unread")?,
        })
    }

    /// When the oldest event happened that waits or is parked at an endpoint.
    pub async fn oldest_open(&self, tenant: &TenantId, endpoint: &EndpointId) -> Result<Option<UtcMicros>, ReadError> {
        let row = self.optional(OLDEST_OPEN, of_endpoint(tenant, endpoint)).await?;
        row.map(|row| Cells::of("events", &row).instant("at")).transpose()
    }

    /// When the oldest event happened that has still to be sent to an endpoint; parked ones are not sent.
    pub async fn oldest_unsent(
        &self,
        tenant: &TenantId,
        endpoint: &EndpointId,
    ) -> Result<Option<UtcMicros>, ReadError> {
        let row = self.optional(OLDEST_UNSENT, of_endpoint(tenant, endpoint)).await?;
        row.map(|row| Cells::of("events", &row).instant("at")).transpose()
    }

    /// Deliveries of an endpoint, the newest event first, at most `limit` (held to [`crate::store::PAGE_LIMIT`]).
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
        let mut values = of_endpoint(tenant, endpoint);
        values.count(from).count(filter.before.unwrap_or(u64::MAX)).int(crate::store::page(limit));
        let statement = match filter.status {
            None => LIST,
            Some("delivered") => LIST_DELIVERED,
            Some(open) => {
                values.text(open);
                LIST_OPEN
            }
        };
        self.all(statement, values).await?.iter().map(decode_delivery).collect()
    }

    /// The attempts of one delivery, in order.
    pub async fn delivery_attempts(
        &self,
        tenant: &TenantId,
        endpoint: &EndpointId,
        event_number: u64,
    ) -> Result<Vec<AttemptWrite>, ReadError> {
        let mut values = of_endpoint(tenant, endpoint);
        values.count(event_number);
        self.all(ATTEMPTS, values).await?.iter().map(decode_attempt).collect()
    }

    /// One event by its id.
    pub async fn event(&self, tenant: &TenantId, id: EventId) -> Result<Option<StoredEvent>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str()).text(id.to_string());
        self.optional(EVENT, values).await?.as_ref().map(events::decode).transpose()
    }

    /// The number of the first event that happened at or after an instant.
    pub async fn first_event_since(&self, tenant: &TenantId, since: UtcMicros) -> Result<Option<u64>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str()).int(since.as_micros());
        let row = self.optional(FIRST_SINCE, values).await?;
        row.map(|row| Cells::of("events", &row).number("number")).transpose()
    }

    /// The numbers of the oldest events that may be let go since they happened before an instant, at most `limit` of them: one
    /// slice of what retention deletes. `None` when the oldest is younger.
    pub async fn events_to_forget(
        &self,
        tenant: &TenantId,
        before: UtcMicros,
        limit: u64,
    ) -> Result<Option<RangeInclusive<u64>>, ReadError> {
        let mut values = Values::default();
        // One more, since the tenant's last event stays.
        values.text(tenant.as_str()).count(limit + 1);
        let rows = self.all(OLDEST, values).await?;
        let mut numbers: Option<RangeInclusive<u64>> = None;
        for row in rows.iter().take(rows.len().saturating_sub(1)) {
            let cells = Cells::of("events", row);
            if cells.instant("at")? >= before {
                break;
            }
            let number = cells.number("number")?;
            numbers = Some(numbers.map_or(number, |numbers| *numbers.start())..=number);
        }
        Ok(numbers)
    }
}

fn decode_endpoint(row: &AnyRow) -> Result<StoredEndpoint, ReadError> {
    let cells = Cells::of("endpoints", row);
    let disabled = match cells.instant_or_null("disabled_at")? {
        None => None,
        Some(at) => Some((at, cells.word("disabled_for", DisabledFor::from_name)?)),
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
    let cells = Cells::of("deliveries", row);
    let parked_for = match cells.text_or_null("parked_for")? {
        None => None,
        Some(_) => Some(cells.word("parked_for", ParkedFor::from_name)?),
    };
    Ok(StoredDelivery {
        event_number: cells.number("event_number")?,
        event: cells.parsed("id")?,
        at: cells.instant("at")?,
        kind: cells.word("kind", EventKind::from_selector)?,
        agent: cells.text_or_null("agent")?.map(AgentId::new),
        sequence: cells.number_or_null("sequence")?,
        status: cells.word("status", |name| STATUS_NAMES.into_iter().find(|known| *known == name))?,
        attempts: cells.number::<u32>("attempts")? + cells.number::<u32>("earlier")?,
        next_at: cells.instant_or_null("next_at")?,
        settled_at: cells.instant_or_null("settled_at")?,
        parked_for,
    })
}

fn decode_attempt(row: &AnyRow) -> Result<AttemptWrite, ReadError> {
    let cells = Cells::of("delivery_attempts", row);
    Ok(AttemptWrite {
        tenant: TenantId::new(cells.text("tenant")?),
        endpoint: EndpointId::new(cells.text("endpoint")?),
        event_number: cells.number("event_number")?,
        attempt: cells.number("attempt")?,
        sent_at: cells.instant("sent_at")?,
        latency_ms: cells.number("latency_ms")?,
        status_code: cells.number_or_null("status_code")?,
        error: cells.text_or_null("error")?.map(str::to_owned),
        answer: cells.text("answer")?.to_owned(),
    })
}
