//! One worker: the events of one tenant to one endpoint.
//!
//! The result of an attempt becomes durable before the agent's next event is sent, so that a crash repeats at most what
//! was in progress and never changes the order. Results gather while a commit runs. A failed commit ends the worker; it
//! is restarted and reads the store.

mod stopping;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::delivery_queue::{BlockedDelivery, DeliveryQueue, ReadyDelivery};
use super::endpoint::FAILING_AFTER;
use super::outbox::OutboxRequest;
use super::parts::StreamParts;
use super::send::{Attempt, DeliveryRequest};
use crate::clock::{BoxFuture, RealTime, Stopwatch};
use crate::domain::audit::AuditDraft;
use crate::domain::ids::{AgentId, EventId};
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::delivery::{
    AttemptResult, DeliveryStatus, DeliveryStep, DisableReason, EndpointHealth, ResponseKind,
};
use crate::domain::webhooks::event::{Event, WebhookDisabled};
use crate::store::{
    AttemptWrite, Commit, CommitError, CommitResult, DeliveryRelease, DeliveryWrite, DueDelivery, EndpointWrite,
    PAGE_LIMIT, ReadError, StoredEvent,
};

/// The number of events in one page, which is the reader's limit.
const PAGE: usize = PAGE_LIMIT as usize;

/// Another page is read when fewer deliveries than this are ready.
const LOW_WATER_MARK: usize = 256;

/// The number of rows waiting for the current commit above which nothing more is read.
const MAX_PENDING: usize = 2 * PAGE;

/// The most due deliveries claimed at once.
const MAX_DUE: usize = 256;

/// How often slow attempts are checked and a cursor that moved alone is stored, in real time.
const TICK_REAL: Duration = Duration::from_secs(1);

/// How long an attempt may take, in real time, before it gets a waiting row, so that it does not hold up the cursor.
const SLOW_AFTER_REAL: Duration = Duration::from_secs(1);

/// How long a worker continues at a stop, in real time.
pub(super) const STOP_TIMEOUT_REAL: Duration = Duration::from_secs(4);

/// An attempt in progress.
struct ActiveAttempt {
    agent: Option<AgentId>,
    event: EventId,
    attempts: u32,
    earlier: u32,
    recorded: bool,
    sent_at: UtcMicros,
    since: Stopwatch,
}

/// The result of one of the worker's tasks.
pub(super) enum TaskResult {
    Posted { number: u64, attempt: Attempt },
    Tested,
}

/// The result of a read.
enum Page {
    Events(Vec<StoredEvent>),
    Due { found: Vec<DueDelivery>, is_complete: bool, next_due: Option<UtcMicros> },
}

/// What is committed next, and what follows from it.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) commit: Commit,
    /// The attempts whose results it contains.
    durable: Vec<(u64, Option<AgentId>)>,
    /// The earliest instant at which something in it becomes due.
    due_at: Option<UtcMicros>,
}

impl Pending {
    pub(super) fn add_due_at(&mut self, at: UtcMicros) {
        self.due_at = Some(self.due_at.map_or(at, |due| due.min(at)));
    }

    fn rows(&self) -> usize {
        self.commit.outbox.deliveries.len()
    }
}

/// The worker.
pub(super) struct Stream {
    pub(super) parts: Arc<StreamParts>,
    pub(super) queue: DeliveryQueue,
    pub(super) tasks: JoinSet<TaskResult>,
    active_attempts: HashMap<u64, ActiveAttempt>,
    pub(super) pending: Pending,
    committing: Option<BoxFuture<Result<CommitResult, CommitError>>>,
    /// What follows from the commit in progress.
    after_commit: Pending,
    reading: Option<BoxFuture<Result<Page, ReadError>>>,
    /// When the store must be asked for due deliveries.
    pub(super) due_at: Option<UtcMicros>,
    /// Attempts whose results became durable since due deliveries were requested; what was read about them is stale.
    stale: HashSet<u64>,
    /// A due delivery could not be accepted: ask again after the next commit.
    requery_due: bool,
    numbers: watch::Receiver<u64>,
    newest: u64,
    stored_cursor: u64,
    pub(super) health: EndpointHealth,
    last_error: Option<String>,
    pub(super) disabled: Option<(UtcMicros, DisableReason)>,
    /// The time of the oldest event that a recovery would send again; looked up while the endpoint is disabled.
    oldest_open: Option<UtcMicros>,
    /// How far the wall clock is ahead of steady time, as last accepted, in microseconds.
    pub(super) ahead_of_steady_us: Option<i64>,
}

/// Runs until `soft` is cancelled, or until a failure that only a restart can fix.
pub(super) async fn run(parts: Arc<StreamParts>, soft: CancellationToken) -> anyhow::Result<()> {
    let mut requests = parts.requests.clone().lock_owned().await;
    let mut stream = Stream::load(parts).await?;
    let (mut tick, mut limit) = (RealTime::sleep(TICK_REAL), RealTime::sleep(Duration::MAX));
    let shutdown = stream.parts.shutdown.clone();
    // Set when the daemon stops: remaining deliveries continue until then.
    let mut until: Option<UtcMicros> = None;
    loop {
        stream.check_clock().await?;
        stream.start_commit();
        stream.dispatch();
        if until.is_some_and(|until| shutdown.others_ended.is_cancelled() && !stream.has_work_before(until)) {
            return stream.stop(Duration::ZERO).await;
        }
        let due = stream.sleep_until_due();
        tokio::select! {
            () = soft.cancelled(), if until.is_none() => {
                // A reload removes the endpoint in its present form: nothing more is sent to it.
                if !shutdown.soft.is_cancelled() {
                    return stream.stop(STOP_TIMEOUT_REAL).await;
                }
                let clock = &stream.parts.shared.clock;
                until = Some(clock.now() + clock.scale_real(STOP_TIMEOUT_REAL));
                limit = RealTime::sleep(STOP_TIMEOUT_REAL);
            }
            () = &mut limit, if until.is_some() => return stream.stop(Duration::ZERO).await,
            () = shutdown.others_ended.cancelled(), if until.is_some() && !shutdown.others_ended.is_cancelled() => {}
            Some(ended) = stream.tasks.join_next() => {
                stream.handle_task_result(ended?)?;
                while let Some(ended) = stream.tasks.try_join_next() {
                    stream.handle_task_result(ended?)?;
                }
            }
            done = completion(&mut stream.committing) => {
                stream.committing = None;
                stream.finish_commit(done?);
                stream.update_oldest_open().await?;
            }
            page = completion(&mut stream.reading) => {
                stream.reading = None;
                stream.accept_page(page?);
            }
            changed = stream.numbers.changed() => {
                changed?;
                stream.newest = *stream.numbers.borrow_and_update();
            }
            Some(handed) = requests.recv() => match handed.accept() {
                Some(OutboxRequest::Pause { reply, ended }) => match stream.pause(reply, ended, &soft).await? {
                    Some(rested) => stream = rested,
                    None => return Ok(()),
                },
                Some(wish) => stream.handle_request(wish).await?,
                None => {}
            },
            () = due => {}
            () = &mut tick => {
                tick = RealTime::sleep(TICK_REAL);
                stream.tick();
            }
        }
    }
}

/// Waits for a future that may not exist; waits for ever if it does not.
async fn completion<T>(future: &mut Option<BoxFuture<T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

impl Stream {
    pub(super) async fn load(parts: Arc<StreamParts>) -> anyhow::Result<Self> {
        let (tenant, id, shared) = (&parts.tenant, &parts.endpoint.id, &parts.shared);
        let reader = &shared.reader;
        let mut numbers = shared.writer.event_numbers(tenant);
        let announced = *numbers.borrow_and_update();
        let stored = reader.endpoints(tenant).await?.into_iter().find(|endpoint| endpoint.id == *id);
        let stored = stored.ok_or_else(|| anyhow::anyhow!("webhook {id} of tenant {tenant} is not in the store"))?;
        let known = reader.delivered_after(tenant, id, stored.sent_through).await?;
        let waiting = reader.waiting_by_agent(tenant, id).await?;
        let newest = reader.last_event_number(tenant).await?.max(announced);
        let mut stream = Self {
            queue: DeliveryQueue::new(stored.sent_through, known, waiting),
            tasks: JoinSet::new(),
            active_attempts: HashMap::new(),
            pending: Pending::default(),
            committing: None,
            after_commit: Pending::default(),
            reading: None,
            due_at: Some(UtcMicros::EPOCH),
            stale: HashSet::new(),
            requery_due: false,
            numbers,
            newest,
            stored_cursor: stored.sent_through,
            health: EndpointHealth { failing_since: stored.failing_since },
            last_error: stored.last_error,
            disabled: stored.disabled,
            oldest_open: None,
            ahead_of_steady_us: shared.clock.wall_minus_steady(),
            parts,
        };
        stream.correct_future_instants().await?;
        stream.update_readiness();
        stream.update_oldest_open().await?;
        Ok(stream)
    }

    fn sleep_until_due(&self) -> BoxFuture<()> {
        match self.due_at {
            Some(due) if self.disabled.is_none() && self.reading.is_none() && due > self.now() => {
                self.parts.shared.clock.sleep_until(due)
            }
            Some(_) | None => Box::pin(std::future::pending()),
        }
    }

    /// Starts ready deliveries, and reads more if there is room.
    fn dispatch(&mut self) {
        if self.disabled.is_some() {
            return;
        }
        while self.active_attempts.len() < self.parts.endpoint.concurrency {
            let Some(piece) = self.queue.pop_ready() else { break };
            self.send(piece);
        }
        if self.reading.is_some() || self.pending.rows() >= MAX_PENDING {
            return;
        }
        let (reader, tenant) = (self.parts.shared.reader.clone(), self.parts.tenant.clone());
        let now = self.now();
        if self.due_at.is_some_and(|due| due <= now) && self.queue.claimed() < MAX_DUE {
            // Claimed deliveries are also due and are found again.
            let limit = u32::try_from(self.queue.claimed() + MAX_DUE).unwrap_or(u32::MAX);
            let endpoint = self.parts.endpoint.id.clone();
            self.due_at = None;
            self.stale.clear();
            self.reading = Some(Box::pin(async move {
                let found = reader.due_deliveries(&tenant, &endpoint, now, limit).await?;
                let is_complete = found.len() < limit as usize;
                let next_due = if is_complete { reader.next_due(&tenant, &endpoint, now).await? } else { None };
                Ok(Page::Due { found, is_complete, next_due })
            }));
        } else if self.newest > self.queue.read_through() && self.queue.has_room(PAGE, LOW_WATER_MARK) {
            let after = self.queue.read_through();
            self.reading =
                Some(Box::pin(async move { Ok(Page::Events(reader.events(&tenant, after, PAGE_LIMIT).await?)) }));
        }
    }

    fn accept_page(&mut self, page: Page) {
        match page {
            Page::Events(events) => {
                if events.is_empty() {
                    // Retention has deleted the rest.
                    self.newest = self.queue.read_through();
                }
                for event in events {
                    let selected = self.parts.endpoint.kinds.as_ref().is_none_or(|kinds| kinds.contains(&event.kind));
                    let blocked = self.queue.accept(event, selected);
                    self.write_blocked(blocked);
                }
            }
            Page::Due { found, is_complete: whole, next_due: later } => {
                for due in found {
                    if !self.stale.contains(&due.event.number) && !self.queue.accept_due(due) {
                        self.requery_due = true;
                    }
                }
                self.requery_due |= !whole;
                if let Some(later) = later {
                    self.due_at = Some(self.due_at.map_or(later, |due| due.min(later)));
                }
            }
        }
    }

    fn send(&mut self, delivery: ReadyDelivery) {
        let ReadyDelivery { event, attempts, earlier, recorded } = delivery;
        let number = event.number;
        let request = DeliveryRequest {
            event_id: event.id,
            tenant: self.parts.tenant.clone(),
            body: (self.parts.endpoint.format_body)(&self.parts.tenant, &event),
        };
        let (sent_at, since) = (self.now(), Stopwatch::start());
        self.active_attempts.insert(
            number,
            ActiveAttempt { agent: event.agent, event: event.id, attempts, earlier, recorded, sent_at, since },
        );
        let sender = self.parts.endpoint.sender.clone();
        self.tasks.spawn(async move { TaskResult::Posted { number, attempt: sender.post(request).await } });
    }

    fn handle_task_result(&mut self, ended: TaskResult) -> anyhow::Result<()> {
        match ended {
            TaskResult::Tested => Ok(()),
            TaskResult::Posted { number, attempt } => self.record_attempt(number, attempt),
        }
    }

    /// Records the result of an attempt.
    fn record_attempt(&mut self, number: u64, attempt: Attempt) -> anyhow::Result<()> {
        let Some(active) = self.active_attempts.remove(&number) else { return Ok(()) };
        let now = self.now();
        let answer = ResponseKind::from_status_code(attempt.status_code);
        let outcome = AttemptResult {
            response: answer,
            retry_after: attempt.retry_after,
            at: now,
            jitter: self.parts.shared.random.unit(),
        };
        let ActiveAttempt { agent, event, attempts, earlier, recorded, sent_at, .. } = active;
        let before = if recorded { DeliveryStatus::Waiting { attempts, next_at: now } } else { DeliveryStatus::New };
        let standing = before.step(DeliveryStep::AttemptEnded(outcome))?;
        self.parts.counts.record(standing);
        if let DeliveryStatus::Parked { reason: why, .. } = standing {
            tracing::warn!(webhook = %self.parts.endpoint.id, tenant = %self.parts.tenant, %event, why = why.name(),
                "a delivery is parked and the next one continues");
        }
        if standing.is_settled() {
            if self.queue.mark_settled(number, agent.as_ref(), recorded)
                && let Some(agent) = &agent
            {
                let (tenant, endpoint) = (self.parts.tenant.clone(), self.parts.endpoint.id.clone());
                let release = DeliveryRelease { tenant, endpoint, agent: agent.clone(), at: now };
                self.pending.commit.outbox.releases.push(release);
                self.pending.add_due_at(now);
            }
        } else if !recorded {
            let blocked = self.queue.mark_waiting(number, agent.as_ref());
            self.write_blocked(blocked);
        }
        self.write_row(number, agent.clone(), standing, earlier);
        self.update_health(answer, &attempt, now);
        self.pending.commit.outbox.attempts.push(AttemptWrite {
            tenant: self.parts.tenant.clone(),
            endpoint: self.parts.endpoint.id.clone(),
            event_number: number,
            attempt: earlier + standing.attempts(),
            sent_at,
            latency_ms: attempt.latency_ms,
            status_code: attempt.status_code,
            error: attempt.error,
            response: attempt.answer,
        });
        self.pending.durable.push((number, agent));
        Ok(())
    }

    pub(super) fn write_row(&mut self, number: u64, agent: Option<AgentId>, standing: DeliveryStatus, earlier: u32) {
        let settled_at = standing.is_settled().then(|| self.now());
        if let DeliveryStatus::Waiting { next_at, .. } = standing {
            self.pending.add_due_at(next_at);
        }
        self.pending.commit.outbox.deliveries.push(DeliveryWrite {
            tenant: self.parts.tenant.clone(),
            endpoint: self.parts.endpoint.id.clone(),
            event_number: number,
            agent,
            status: standing,
            earlier_attempts: earlier,
            settled_at,
        });
    }

    fn write_blocked(&mut self, blocked: impl IntoIterator<Item = BlockedDelivery>) {
        for BlockedDelivery { number, agent } in blocked {
            self.write_row(number, Some(agent), DeliveryStatus::Blocked, 0);
        }
    }

    fn update_health(&mut self, answer: ResponseKind, attempt: &Attempt, now: UtcMicros) {
        let was_failing = self.health.failing_since.is_some();
        let disable;
        (self.health, disable) = self.health.after_attempt(answer, now);
        if self.health.failing_since.is_none() {
            self.last_error = None;
        } else {
            let status = || attempt.status_code.map_or_else(|| "no answer".to_owned(), |code| format!("HTTP {code}"));
            self.last_error = Some(attempt.error.clone().unwrap_or_else(status));
        }
        if let Some(why) = disable.filter(|_| self.disabled.is_none()) {
            self.disable(why, now);
        }
        if was_failing || self.health.failing_since.is_some() {
            self.update_readiness();
        }
    }

    fn disable(&mut self, why: DisableReason, now: UtcMicros) {
        self.disabled = Some((now, why));
        let (tenant, endpoint) = (self.parts.tenant.clone(), self.parts.endpoint.id.clone());
        tracing::error!(webhook = %endpoint, %tenant, why = why.name(), "a webhook is disabled");
        self.pending.commit.events.push(Event {
            id: EventId(self.parts.shared.random.time_ordered_id(now)),
            tenant: tenant.clone(),
            at: now,
            data: WebhookDisabled {
                webhook_id: endpoint.clone(),
                reason: why,
                failing_since: self.health.failing_since.unwrap_or(now),
                last_error: self.last_error.clone().unwrap_or_default(),
            }
            .into(),
        });
        self.audit("webhook.disabled", "daemon".to_owned(), json!({"webhook": endpoint, "reason": why.name()}));
        let disabled = self.disabled;
        self.pending.commit.outbox.endpoints.push(EndpointWrite::Disable { tenant, endpoint, disabled });
    }

    pub(super) fn audit(&mut self, action: &'static str, actor: String, why: Value) {
        self.pending.commit.audit.push(AuditDraft::new(
            self.parts.tenant.clone(),
            self.parts.shared.clock.now(),
            actor,
            action,
            why,
        ));
    }

    /// Reports the endpoint's state in readiness.
    pub(super) fn update_readiness(&self) {
        let (part, readiness) = (self.parts.part(), &self.parts.shared.readiness);
        let id = &self.parts.endpoint.id;
        let last = self.last_error.as_deref().unwrap_or("no answer");
        match (self.disabled, self.health.failing_since) {
            (Some((at, why)), _) => readiness.needs_attention(
                &part,
                format!(
                    "disabled since {at}, as {} (last: {last}); when it is mended: shiftkeeper webhooks recover {id} \
                     --since {} --tenant {}",
                    why.text(),
                    self.oldest_open.unwrap_or(at),
                    self.parts.tenant
                ),
            ),
            (None, Some(since)) if self.now().since(since) >= FAILING_AFTER => {
                readiness.degraded(&part, format!("fails since {since}: {last}; deliveries wait and are tried again"));
            }
            (None, Some(_) | None) => readiness.restored(&part),
        }
    }

    /// Names in the readiness report the event from which a recovery covers everything. It is older than the failure
    /// that disabled the endpoint, and deliveries then in progress may still become open.
    async fn update_oldest_open(&mut self) -> anyhow::Result<()> {
        if self.disabled.is_some() {
            let (tenant, id) = (&self.parts.tenant, &self.parts.endpoint.id);
            self.oldest_open = self.parts.shared.reader.oldest_open(tenant, id).await?;
            self.update_readiness();
        }
        Ok(())
    }

    /// Starts a commit if there is something to commit and none is in progress.
    fn start_commit(&mut self) {
        if self.committing.is_none() && !self.pending.commit.is_empty() {
            self.begin_commit();
        }
    }

    fn begin_commit(&mut self) {
        self.stored_cursor = self.queue.cursor();
        let mut pending = std::mem::take(&mut self.pending);
        pending.commit.outbox.endpoints.push(EndpointWrite::Progress {
            tenant: self.parts.tenant.clone(),
            endpoint: self.parts.endpoint.id.clone(),
            sent_through: self.stored_cursor,
            failing_since: self.health.failing_since,
            last_error: self.last_error.clone(),
        });
        let (commit, writer) = (std::mem::take(&mut pending.commit), self.parts.shared.writer.clone());
        self.after_commit = pending;
        self.committing = Some(Box::pin(async move { writer.commit(commit).await }));
    }

    /// Continues after a commit is durable.
    fn finish_commit(&mut self, _durable: CommitResult) {
        let after_commit = std::mem::take(&mut self.after_commit);
        for (number, agent) in after_commit.durable {
            if self.reading.is_some() {
                self.stale.insert(number);
            }
            let blocked = self.queue.mark_durable(number, agent.as_ref());
            self.write_blocked(blocked);
        }
        let again = std::mem::take(&mut self.requery_due).then_some(UtcMicros::EPOCH);
        self.due_at = [self.due_at, after_commit.due_at, again].into_iter().flatten().min();
    }

    /// Commits everything and waits for it: afterwards the store knows what this worker knows, except what is in
    /// progress.
    pub(super) async fn flush(&mut self) -> anyhow::Result<()> {
        while self.committing.is_some() || !self.pending.commit.is_empty() {
            self.start_commit();
            let done = completion(&mut self.committing).await;
            self.committing = None;
            self.finish_commit(done?);
        }
        Ok(())
    }

    /// Gives slow attempts a row, and stores a cursor that moved alone.
    fn tick(&mut self) {
        self.parts.endpoint.sender.close_idle();
        let slow: Vec<u64> = self
            .active_attempts
            .iter()
            .filter(|(_, under_way)| !under_way.recorded && under_way.since.elapsed() >= SLOW_AFTER_REAL)
            .map(|(number, _)| *number)
            .collect();
        let now = self.now();
        for number in slow {
            let Some(under_way) = self.active_attempts.get_mut(&number) else { continue };
            under_way.recorded = true;
            let (agent, earlier) = (under_way.agent.clone(), under_way.earlier);
            let blocked = self.queue.mark_waiting(number, agent.as_ref());
            self.write_row(number, agent, DeliveryStatus::Waiting { attempts: 0, next_at: now }, earlier);
            self.write_blocked(blocked);
        }
        if self.committing.is_none() && self.queue.cursor() > self.stored_cursor {
            self.begin_commit();
        }
    }

    /// Returns whether this worker is handling an event at present.
    pub(super) fn is_in_flight(&self, number: u64) -> bool {
        self.active_attempts.contains_key(&number)
    }

    /// Returns whether anything is to be sent, in progress, to be recorded, or due before an instant.
    fn has_work_before(&self, until: UtcMicros) -> bool {
        let sends = self.queue.cursor() < *self.numbers.borrow()
            || self.queue.claimed() > 0
            || !self.active_attempts.is_empty();
        let records = self.committing.is_some() || !self.pending.commit.is_empty() || self.reading.is_some();
        self.disabled.is_none() && (sends || records || self.due_at.is_some_and(|due| due < until))
    }
}
