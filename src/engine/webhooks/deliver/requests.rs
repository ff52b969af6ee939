//! People's requests about one endpoint: resend one event, recover everything parked, send a test. Each is answered
//! once it is durable.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::outbox::{OutboxError, OutboxRequest, RecoveryResult, Reply, RetryResult};
use super::send::DeliveryRequest;
use super::stream::{STOP_TIMEOUT_REAL, Stream, TaskResult};
use crate::domain::ids::EventId;
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::delivery::{DeliveryStatus, EndpointHealth};
use crate::domain::webhooks::event::{Event, WebhookTest};
use crate::store::{DeliveryFilter, EndpointWrite, ParkedResend, StoredEvent};

impl Stream {
    pub(super) async fn handle_request(&mut self, request: OutboxRequest) -> anyhow::Result<()> {
        match request {
            // Handled by the worker, which is replaced by a new one.
            OutboxRequest::Pause { .. } => {}
            OutboxRequest::Test { reply } => {
                let request = self.test_event()?;
                let sender = self.parts.endpoint.sender.clone();
                self.tasks.spawn(async move {
                    send_reply(reply, Ok(sender.post(request).await));
                    TaskResult::Tested
                });
            }
            OutboxRequest::Retry { event, actor, reply } => {
                let result = self.retry(event, &actor).await?;
                send_reply(reply, result);
            }
            OutboxRequest::Recover { since, actor, reply } => {
                let recovered = self.recover(since, &actor).await?;
                send_reply(reply, Ok(recovered));
            }
        }
        Ok(())
    }

    /// Finishes deliveries in progress, and loads the stream anew when the pause is over; `None` if the daemon stops
    /// meanwhile.
    pub(super) async fn pause(
        self,
        reply: Reply<()>,
        ended: oneshot::Receiver<()>,
        soft: &CancellationToken,
    ) -> anyhow::Result<Option<Self>> {
        let parts = self.parts.clone();
        self.stop(STOP_TIMEOUT_REAL).await?;
        send_reply(reply, Ok(()));
        tokio::select! {
            // The pause also ends if whoever asked for it has gone.
            _ = ended => Self::load(parts).await.map(Some),
            () = soft.cancelled() => Ok(None),
        }
    }

    fn test_event(&self) -> anyhow::Result<DeliveryRequest> {
        let (tenant, now) = (self.parts.tenant.clone(), self.parts.shared.clock.now());
        let id = EventId(self.parts.shared.random.time_ordered_id(now));
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
        Ok(DeliveryRequest { event_id: id, body: (self.parts.endpoint.format_body)(&tenant, &stored), tenant })
    }

    async fn retry(&mut self, id: EventId, actor: &Arc<str>) -> anyhow::Result<Result<RetryResult, OutboxError>> {
        self.flush().await?;
        let (tenant, endpoint) = (self.parts.tenant.clone(), self.parts.endpoint.id.clone());
        let reader = &self.parts.shared.reader;
        let Some(event) = reader.event(&tenant, id).await? else { return Ok(Err(OutboxError::NoEvent(id))) };
        let filter = DeliveryFilter { before: Some(event.number + 1), ..DeliveryFilter::default() };
        let rows = reader.deliveries(&tenant, &endpoint, &filter, 1).await?;
        let row = rows.into_iter().find(|row| row.event_number == event.number);
        // An event without a row is still to come, unless the cursor has passed it: then it was not selected, and a
        // person wants it sent.
        let is_upcoming = row.is_none() && event.number > self.queue.cursor();
        if !is_upcoming && !self.is_in_flight(event.number) {
            let waits = row.as_ref().is_some_and(|row| row.status == "waiting");
            if waits && row.as_ref().is_some_and(|row| row.next_at.is_none()) {
                return Ok(Err(OutboxError::Blocked { event: id }));
            }
            let now = self.parts.shared.clock.now();
            if !waits {
                self.queue.mark_waiting_again(event.agent.as_ref());
            }
            let earlier = row.map_or(0, |row| row.attempts);
            self.write_row(event.number, event.agent, DeliveryStatus::Waiting { attempts: 0, next_at: now }, earlier);
        }
        let enabled = self.enable();
        self.audit("webhook.retried", format!("person:{actor}"), json!({"webhook": endpoint, "event": id}));
        self.flush().await?;
        Ok(Ok(RetryResult { event: id, enabled }))
    }

    async fn recover(&mut self, since: UtcMicros, actor: &Arc<str>) -> anyhow::Result<RecoveryResult> {
        self.flush().await?;
        let (tenant, endpoint) = (self.parts.tenant.clone(), self.parts.endpoint.id.clone());
        let reader = self.parts.shared.reader.clone();
        let before = reader.backlog(&tenant, &endpoint).await?;
        let now = self.parts.shared.clock.now();
        // Without an event since then, no parked delivery is included.
        let from_number = reader.first_event_since(&tenant, since).await?.unwrap_or(u64::MAX);
        let enabled = self.enable();
        let why = json!({"webhook": endpoint, "since": since});
        self.audit("webhook.recovered", format!("person:{actor}"), why);
        self.pending.commit.outbox.parked_resends.push(ParkedResend {
            tenant: tenant.clone(),
            endpoint: endpoint.clone(),
            from_number,
            at: now,
        });
        self.pending.add_due_at(now);
        self.flush().await?;
        self.queue.set_waiting(reader.waiting_by_agent(&tenant, &endpoint).await?);
        let after = reader.backlog(&tenant, &endpoint).await?;
        Ok(RecoveryResult { revived: before.parked.saturating_sub(after.parked), waiting: after.waiting, enabled })
    }

    /// Enables the endpoint, whose five days until it is disabled start again. Returns `true` if it had been disabled.
    fn enable(&mut self) -> bool {
        let was = self.disabled.take().is_some();
        if was {
            self.health = EndpointHealth::default();
            let (tenant, endpoint) = (self.parts.tenant.clone(), self.parts.endpoint.id.clone());
            let write = EndpointWrite::Disable { tenant, endpoint, disabled: None };
            self.pending.commit.outbox.endpoints.push(write);
        }
        self.due_at = Some(UtcMicros::EPOCH);
        self.update_readiness();
        was
    }
}

/// Sends a reply; the caller may have gone.
fn send_reply<T>(reply: oneshot::Sender<T>, with: T) {
    let _ = reply.send(with);
}
