//! Writes webhook endpoints, deliveries and attempts. A delivery that succeeds at its first attempt is two rows, in one
//! statement each; nothing is read per delivery.

use crate::domain::ids::AgentId;
use crate::domain::webhooks::delivery::DeliveryStatus;
use crate::store::batch::{self, ManyRows, Transaction, Values, last_of_each};
use crate::store::change::Commit;
use crate::store::error::CommitError;
use crate::store::outbox::{AttemptWrite, DeliveryWrite, EndpointWrite};

pub(in crate::store) const ADD_ENDPOINTS: ManyRows = ManyRows {
    head: "INSERT INTO endpoints (tenant, id, created_at, sent_through) VALUES",
    width: 4,
    tail: "ON CONFLICT (tenant, id) DO NOTHING",
};
/// Rows: tenant, endpoint, number, time, error.
pub(in crate::store) const UPDATE_ENDPOINTS: ManyRows = ManyRows {
    head: "UPDATE endpoints SET sent_through = v.column3, failing_since = v.column4, last_error = v.column5 FROM (VALUES",
    width: 5,
    tail: ") AS v WHERE endpoints.tenant = v.column1 AND endpoints.id = v.column2",
};
/// Rows: tenant, endpoint, time, reason.
pub(in crate::store) const DISABLE_ENDPOINTS: ManyRows = ManyRows {
    head: "UPDATE endpoints SET disabled_at = v.column3, disabled_for = v.column4 FROM (VALUES",
    width: 4,
    tail: ") AS v WHERE endpoints.tenant = v.column1 AND endpoints.id = v.column2",
};
pub(in crate::store) const UPSERT_DELIVERIES: ManyRows = ManyRows {
    head: "INSERT INTO deliveries (tenant, endpoint, event_number, agent, status, attempts, earlier, next_at, settled_at, \
           parked_for) VALUES",
    width: 10,
    tail: "ON CONFLICT (tenant, endpoint, event_number) DO UPDATE SET status = excluded.status, \
           attempts = excluded.attempts, earlier = excluded.earlier, next_at = excluded.next_at, \
           settled_at = excluded.settled_at, parked_for = excluded.parked_for",
};
pub(in crate::store) const ADD_ATTEMPTS: ManyRows = ManyRows {
    head: "INSERT INTO delivery_attempts (tenant, endpoint, event_number, attempt, sent_at, latency_ms, status_code, error, \
           answer) VALUES",
    width: 9,
    tail: "",
};
/// Rows: tenant, endpoint, agent, time.
pub(in crate::store) const RELEASE: ManyRows = ManyRows {
    head: "UPDATE deliveries SET next_at = v.column4 FROM (VALUES",
    width: 4,
    tail: ") AS v WHERE deliveries.tenant = v.column1 AND deliveries.endpoint = v.column2 AND deliveries.next_at IS NULL \
           AND deliveries.event_number = (SELECT MIN(d.event_number) FROM deliveries d WHERE d.tenant = v.column1 \
           AND d.endpoint = v.column2 AND d.status = 'waiting' AND d.status <> 'delivered' AND d.agent = v.column3)",
};
/// Rows: tenant, endpoint, number.
pub(in crate::store) const RESEND_PARKED: ManyRows = ManyRows {
    head: "UPDATE deliveries SET status = 'waiting', earlier = earlier + attempts, attempts = 0, next_at = NULL, \
           settled_at = NULL, parked_for = NULL WHERE (tenant, endpoint, event_number) IN \
           (SELECT d.tenant, d.endpoint, d.event_number FROM (VALUES",
    width: 3,
    tail: ") AS v JOIN deliveries d ON d.tenant = v.column1 AND d.endpoint = v.column2 AND d.status = 'parked' \
           AND d.status <> 'delivered' AND d.event_number >= v.column3)",
};
/// Rows: tenant, endpoint, time. Makes due the first delivery of each agent and all without an agent. The others follow
/// the first, also one that was first before an older one was resent.
pub(in crate::store) const MAKE_DUE_NOW: ManyRows = ManyRows {
    head: "UPDATE deliveries SET next_at = CASE WHEN deliveries.agent IS NULL OR deliveries.event_number IN \
           (SELECT MIN(d.event_number) FROM deliveries d WHERE d.tenant = v.column1 AND d.endpoint = v.column2 \
           AND d.status = 'waiting' AND d.status <> 'delivered' GROUP BY d.agent) THEN v.column3 END FROM (VALUES",
    width: 3,
    tail: ") AS v WHERE deliveries.tenant = v.column1 AND deliveries.endpoint = v.column2 AND deliveries.status = 'waiting' \
           AND deliveries.status <> 'delivered'",
};
/// Rows: tenant, endpoint, microseconds.
pub(in crate::store) const SHIFT_DUE_TIMES: ManyRows = ManyRows {
    head: "UPDATE deliveries SET next_at = next_at + v.column3 FROM (VALUES",
    width: 3,
    tail: ") AS v WHERE deliveries.tenant = v.column1 AND deliveries.endpoint = v.column2 AND deliveries.next_at IS NOT NULL \
           AND deliveries.status <> 'delivered'",
};
/// Rows: tenant, number.
pub(in crate::store) const DELETE_ATTEMPTS: ManyRows = ManyRows {
    head: "DELETE FROM delivery_attempts WHERE (tenant, endpoint, event_number) IN \
           (SELECT d.tenant, d.endpoint, d.event_number FROM (VALUES",
    width: 2,
    tail: ") AS v JOIN endpoints e ON e.tenant = v.column1 JOIN delivery_attempts d ON d.tenant = e.tenant \
           AND d.endpoint = e.id AND d.event_number <= v.column2)",
};
/// Rows: tenant, number.
pub(in crate::store) const DELETE_DELIVERIES: ManyRows = ManyRows {
    head: "DELETE FROM deliveries WHERE (tenant, endpoint, event_number) IN \
           (SELECT d.tenant, d.endpoint, d.event_number FROM (VALUES",
    width: 2,
    tail: ") AS v JOIN endpoints e ON e.tenant = v.column1 JOIN deliveries d ON d.tenant = e.tenant \
           AND d.endpoint = e.id AND d.event_number <= v.column2)",
};
/// Rows: tenant, number. Keeps the last event, because numbers continue from it.
pub(in crate::store) const DELETE_EVENTS: ManyRows = ManyRows {
    head: "DELETE FROM events WHERE (tenant, number) IN (SELECT d.tenant, d.number FROM (VALUES",
    width: 2,
    tail: ") AS v JOIN events d ON d.tenant = v.column1 AND d.number <= v.column2 \
           AND d.number < (SELECT MAX(l.number) FROM events l WHERE l.tenant = v.column1))",
};

pub(in crate::store) async fn write(transaction: &mut Transaction<'_>, commits: &[&Commit]) -> Result<(), CommitError> {
    if commits.iter().all(|commit| commit.outbox.is_empty()) {
        return Ok(());
    }
    write_endpoints(transaction, commits).await?;
    let deliveries = last_of_each(commits.iter().flat_map(|commit| &commit.outbox.deliveries), |row| {
        (&row.tenant, &row.endpoint, row.event_number)
    });
    batch::run(transaction, &UPSERT_DELIVERIES, &deliveries, |row, values| bind_delivery(row, values)).await?;
    let attempts: Vec<_> = commits.iter().flat_map(|commit| &commit.outbox.attempts).collect();
    batch::run(transaction, &ADD_ATTEMPTS, &attempts, |row, values| bind_attempt(row, values)).await?;
    write_parked_resends(transaction, commits).await?;
    let releases = last_of_each(commits.iter().flat_map(|commit| &commit.outbox.releases), |row| {
        (&row.tenant, &row.endpoint, &row.agent)
    });
    batch::run(transaction, &RELEASE, &releases, |row, values| {
        values.text(row.tenant.as_str()).text(row.endpoint.as_str()).text(row.agent.as_str()).instant(row.at)
    })
    .await?;
    let clock_set: Vec<_> = commits.iter().flat_map(|commit| &commit.outbox.clock_adjustments).collect();
    batch::run(transaction, &SHIFT_DUE_TIMES, &clock_set, |row, values| {
        values.text(row.tenant.as_str()).text(row.endpoint.as_str()).int(row.by_us)
    })
    .await?;
    delete_events(transaction, commits).await
}

fn bind_delivery(row: &DeliveryWrite, values: Values) -> Values {
    let (next_at, parked_for) = match row.status {
        DeliveryStatus::New | DeliveryStatus::Blocked | DeliveryStatus::Delivered { .. } => (None, None),
        DeliveryStatus::Waiting { next_at, .. } => (Some(next_at), None),
        DeliveryStatus::Parked { reason: why, .. } => (None, Some(why.name())),
    };
    values
        .text(row.tenant.as_str())
        .text(row.endpoint.as_str())
        .count(row.event_number)
        .text_or_null(row.agent.as_ref().map(AgentId::as_str))
        .text(row.status.name())
        .int(i64::from(row.status.attempts()))
        .int(i64::from(row.earlier_attempts))
        .instant_or_null(next_at)
        .instant_or_null(row.settled_at)
        .text_or_null(parked_for)
}

fn bind_attempt(row: &AttemptWrite, values: Values) -> Values {
    values
        .text(row.tenant.as_str())
        .text(row.endpoint.as_str())
        .count(row.event_number)
        .int(i64::from(row.attempt))
        .instant(row.sent_at)
        .count(row.latency_ms)
        .int_or_null(row.status_code.map(i64::from))
        .text_or_null(row.error.as_deref())
        .text(&*row.response)
}

async fn write_endpoints(transaction: &mut Transaction<'_>, commits: &[&Commit]) -> Result<(), CommitError> {
    let (mut added, mut progressed, mut disabled) = (Vec::new(), Vec::new(), Vec::new());
    let last = last_of_each(commits.iter().flat_map(|commit| &commit.outbox.endpoints), |write| match write {
        EndpointWrite::Add { tenant, endpoint, .. } => (0, tenant, endpoint),
        EndpointWrite::Progress { tenant, endpoint, .. } => (1, tenant, endpoint),
        EndpointWrite::Disable { tenant, endpoint, .. } => (2, tenant, endpoint),
    });
    for write in last {
        match write {
            EndpointWrite::Add { tenant, endpoint, at, sent_through } => {
                added.push((tenant, endpoint, at, sent_through));
            }
            EndpointWrite::Progress { tenant, endpoint, sent_through, failing_since, last_error } => {
                progressed.push((tenant, endpoint, sent_through, failing_since, last_error));
            }
            EndpointWrite::Disable { tenant, endpoint, disabled: since } => disabled.push((tenant, endpoint, since)),
        }
    }
    batch::run(transaction, &ADD_ENDPOINTS, &added, |(tenant, endpoint, at, through), values| {
        values.text(tenant.as_str()).text(endpoint.as_str()).instant(**at).count(**through)
    })
    .await?;
    batch::run(transaction, &UPDATE_ENDPOINTS, &progressed, |(tenant, endpoint, through, since, error), values| {
        values
            .text(tenant.as_str())
            .text(endpoint.as_str())
            .count(**through)
            .instant_or_null(**since)
            .text_or_null(error.as_deref())
    })
    .await?;
    batch::run(transaction, &DISABLE_ENDPOINTS, &disabled, |(tenant, endpoint, since), values| {
        values
            .text(tenant.as_str())
            .text(endpoint.as_str())
            .int_or_null(since.map(|(at, _)| at.as_micros()))
            .text_or_null(since.map(|(_, why)| why.name()))
    })
    .await
}

async fn write_parked_resends(transaction: &mut Transaction<'_>, commits: &[&Commit]) -> Result<(), CommitError> {
    let resends: Vec<_> = commits.iter().flat_map(|commit| &commit.outbox.parked_resends).collect();
    batch::run(transaction, &RESEND_PARKED, &resends, |row, values| {
        values.text(row.tenant.as_str()).text(row.endpoint.as_str()).count(row.from_number)
    })
    .await?;
    batch::run(transaction, &MAKE_DUE_NOW, &resends, |row, values| {
        values.text(row.tenant.as_str()).text(row.endpoint.as_str()).instant(row.at)
    })
    .await
}

async fn delete_events(transaction: &mut Transaction<'_>, commits: &[&Commit]) -> Result<(), CommitError> {
    let forgotten = last_of_each(commits.iter().flat_map(|commit| &commit.outbox.event_prunes), |row| &row.tenant);
    for statement in [&DELETE_ATTEMPTS, &DELETE_DELIVERIES, &DELETE_EVENTS] {
        batch::run(transaction, statement, &forgotten, |row, values| {
            values.text(row.tenant.as_str()).count(row.through)
        })
        .await?;
    }
    Ok(())
}
