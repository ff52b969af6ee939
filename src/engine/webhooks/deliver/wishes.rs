//! What people ask of one endpoint: one event again, all that was given up, a test. Each is answered once it is durable.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::outbox::{OutboxError, Recovered, Reply, Retried, Wish};
use super::send::Outgoing;
use super::stream::{Ended, STOP_REAL, Stream};
use crate::domain::ids::EventId;
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::delivery::{Health, Standing};
use crate::domain::webhooks::event::{Event, WebhookTest};
use crate::store::{DeliveryFilter, EndpointWrite, Recovery, StoredEvent};

impl Stream {
    pub(super) async fn obey(&mut self, wish: Wish) -> anyhow::Result<()> {
        match wish {
            // The worker itself does: it is another one afterwards.
            Wish::Rest { .. } => {}
            Wish::Test { reply } => {
                let request = self.test_event()?;
                let sender = self.parts.endpoint.sender.clone();
                self.tasks.spawn(async move {
                    answer(reply, Ok(sender.post(request).await));
                    Ended::Tested
                });
            }
            Wish::Retry { event, actor, reply } => {
                let result = self.retry(event, &actor).await?;
                answer(reply, result);
            }
            Wish::Recover { since, actor, reply } => {
                let recovered = self.recover(since, &actor).await?;
                answer(reply, Ok(recovered));
            }
        }
        Ok(())
    }

    /// Ends what is under way, and begins anew from the store when the rest is over; `None` where the daemon stops meanwhile.
    pub(super) async fn rest(
        self,
        reply: Reply<()>,
        over: oneshot::Receiver<()>,
        soft: &CancellationToken,
    ) -> anyhow::Result<Option<Self>> {
        let parts = self.parts.clone();
        self.stop(STOP_REAL).await?;
        answer(reply, Ok(()));
        tokio::select! {
            // Whoever let it rest may be gone: then it is over as well.
            _ = over => Self::load(parts).await.map(Some),
            () = soft.cancelled() => Ok(None),
        }
    }

    fn test_event(&self) -> anyhow::Result<Outgoing> {
        let (tenant, now) = (self.parts.tenant.clone(), self.parts.shared.clock.now());
        let id = EventId(self.parts.shared.random.id_at(now));
        let data = WebhookTest { webhook_id: self.parts.endpoint.id.clone() }.into();
        let event = Event { id, tenant: tenant.clone(), at: now, data };
        let stored = StoredEvent {
            number: 0,
            id,
            at: now,
            kind: event.data.kind(),
            agent: None,
            sequence: None,
            body: serde_json::to_string(&event.body())?,
        };
        Ok(Outgoing { event_id: id, body: (self.parts.endpoint.shape)(&tenant, &stored), tenant })
    }

    async fn retry(&mut self, id: EventId, actor: &Arc<str>) -> anyhow::Result<Result<Retried, OutboxError>> {
        self.flush().await?;
        let (tenant, endpoint) = (self.parts.tenant.clone(), self.parts.endpoint.id.clone());
        let reader = &self.parts.shared.reader;
        let Some(event) = reader.event(&tenant, id).await? else { return Ok(Err(OutboxError::NoEvent(id))) };
        let filter = DeliveryFilter { before: Some(event.number + 1), ..DeliveryFilter::default() };
        let found = reader.deliveries(&tenant, &endpoint, &filter, 1).await?;
        let row = found.into_iter().find(|row| row.event_number == event.number);
        // Without a row it is still to come, unless it is past the cursor: then it was not selected, and a person wants it.
        let comes_anyway = row.is_none() && event.number > self.line.cursor();
        if !comes_anyway && !self.holds(event.number) {
            let waits = row.as_ref().is_some_and(|row| row.status == "waiting");
            if waits && row.as_ref().is_some_and(|row| row.next_at.is_none()) {
                return Ok(Err(OutboxError::Behind { event: id }));
            }
            let now = self.parts.shared.clock.now();
            if !waits {
                self.line.waits_again(event.agent.as_ref());
            }
            let earlier = row.map_or(0, |row| row.attempts);
            self.write_row(event.number, event.agent, Standing::Waiting { attempts: 0, next_at: now }, earlier);
        }
        let enabled = self.enable();
        self.audit("webhook.retried", format!("person:{actor}"), json!({"webhook": endpoint, "event": id}));
        self.flush().await?;
        Ok(Ok(Retried { event: id, enabled }))
    }

    async fn recover(&mut self, since: UtcMicros, actor: &Arc<str>) -> anyhow::Result<Recovered> {
        self.flush().await?;
        let (tenant, endpoint) = (self.parts.tenant.clone(), self.parts.endpoint.id.clone());
        let reader = self.parts.shared.reader.clone();
        let before = reader.backlog(&tenant, &endpoint).await?;
        let now = self.parts.shared.clock.now();
        // With no event since then, nothing that was parked is meant.
        let from_number = reader.first_event_since(&tenant, since).await?.unwrap_or(u64::MAX);
        let enabled = self.enable();
        let why = json!({"webhook": endpoint, "since": since});
        self.audit("webhook.recovered", format!("person:{actor}"), why);
        self.pending.commit.outbox.recoveries.push(Recovery {
            tenant: tenant.clone(),
            endpoint: endpoint.clone(),
            from_number,
            at: now,
        });
        self.pending.is_due_at(now);
        self.flush().await?;
        self.line.set_waiting(reader.waiting_by_agent(&tenant, &endpoint).await?);
        let after = reader.backlog(&tenant, &endpoint).await?;
        Ok(Recovered { revived: before.parked.saturating_sub(after.parked), waiting: after.waiting, enabled })
    }

    /// Lets the endpoint have events again, and its five days begin anew. True when it had been disabled.
    fn enable(&mut self) -> bool {
        let was = self.disabled.take().is_some();
        if was {
            self.health = Health::default();
            let (tenant, endpoint) = (self.parts.tenant.clone(), self.parts.endpoint.id.clone());
            let write = EndpointWrite::Disable { tenant, endpoint, disabled: None };
            self.pending.commit.outbox.endpoints.push(write);
        }
        self.due_at = Some(UtcMicros::EPOCH);
        self.tell_readiness();
        was
    }
}

/// A reply that nobody may be waiting for any more.
fn answer<T>(reply: oneshot::Sender<T>, with: T) {
    let _ = reply.send(with);
}
