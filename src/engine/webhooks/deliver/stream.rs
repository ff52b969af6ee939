//! One worker: the events of one tenant to one endpoint.
//!
//! What an attempt means becomes durable before the agent's next event leaves, so that a crash repeats at most what was under
//! way and never turns the order round. Results gather while a commit runs. A commit that fails ends the worker; it is started
//! again and reads the store.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::line::{Behind, Line, Piece};
use super::outbox::{DeliveryCounts, Wish, Wishes};
use super::send::{Attempt, Outgoing};
use super::{DeliverParts, Endpoint, Leaving, TOLD_AFTER};
use crate::clock::{BoxFuture, RealTime, Stopwatch};
use crate::domain::audit::AuditDraft;
use crate::domain::ids::{AgentId, EventId, TenantId};
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::delivery::{Answer, DisabledFor, Health, Outcome, Standing, Step};
use crate::domain::webhooks::event::{Event, WebhookDisabled};
use crate::store::{
    AttemptWrite, Commit, CommitError, Committed, DeliveryWrite, DueDelivery, EndpointWrite, PAGE_LIMIT, ReadError,
    Release, StoredEvent,
};

/// Events of one page, as many as the reader gives.
const PAGE: usize = PAGE_LIMIT as usize;

/// Another page is read when fewer deliveries than this may leave.
const LOW: usize = 256;

/// Rows that wait for the commit under way, beyond which nothing more is read.
const MOST_PENDING: usize = 2 * PAGE;

/// Due deliveries that are claimed at once.
const MOST_DUE: usize = 256;

/// How often slow attempts are looked for and a cursor that moved alone is stored, in real time.
const TICK_REAL: Duration = Duration::from_secs(1);

/// An attempt that takes longer than this, in real time, gets a row that waits, so that it holds up nobody else's cursor.
const SLOW_REAL: Duration = Duration::from_secs(1);

/// How long a worker goes on at a stop, in real time.
pub(super) const STOP_REAL: Duration = Duration::from_secs(4);

/// What outlives a worker's restart.
pub(super) struct StreamParts {
    pub(super) tenant: TenantId,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) wishes: Wishes,
    pub(super) counts: Arc<DeliveryCounts>,
    pub(super) shared: DeliverParts,
    pub(super) leaving: Leaving,
}

impl StreamParts {
    /// The name in the readiness report.
    pub(super) fn part(&self) -> String {
        format!("webhook {} of {}", self.endpoint.id, self.tenant)
    }
}

/// An attempt under way.
struct UnderWay {
    agent: Option<AgentId>,
    event: EventId,
    attempts: u32,
    earlier: u32,
    recorded: bool,
    sent_at: UtcMicros,
    since: Stopwatch,
}

/// What a task of the worker came back with.
pub(super) enum Ended {
    Posted { number: u64, attempt: Attempt },
    Tested,
}

/// What was read.
enum Page {
    Events(Vec<StoredEvent>),
    Due { found: Vec<DueDelivery>, whole: bool, later: Option<UtcMicros> },
}

/// What is to be committed next, and what follows once it is.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) commit: Commit,
    /// Attempts whose results are in it.
    durable: Vec<(u64, Option<AgentId>)>,
    /// The earliest instant at which something in it becomes due.
    due_at: Option<UtcMicros>,
}

impl Pending {
    pub(super) fn is_due_at(&mut self, at: UtcMicros) {
        self.due_at = Some(self.due_at.map_or(at, |due| due.min(at)));
    }

    fn rows(&self) -> usize {
        self.commit.outbox.deliveries.len()
    }
}

/// The worker.
pub(super) struct Stream {
    pub(super) parts: Arc<StreamParts>,
    pub(super) line: Line,
    pub(super) tasks: JoinSet<Ended>,
    under_way: HashMap<u64, UnderWay>,
    pub(super) pending: Pending,
    committing: Option<BoxFuture<Result<Committed, CommitError>>>,
    /// What follows from the commit under way.
    following: Pending,
    reading: Option<BoxFuture<Result<Page, ReadError>>>,
    /// When the store is to be asked for due deliveries.
    pub(super) due_at: Option<UtcMicros>,
    /// Attempts whose results became durable since due deliveries were asked for: what was read of them is stale.
    stale: HashSet<u64>,
    /// A due delivery could not be taken: ask again after the next commit.
    ask_again: bool,
    numbers: watch::Receiver<u64>,
    newest: u64,
    stored_cursor: u64,
    pub(super) health: Health,
    last_error: Option<String>,
    pub(super) disabled: Option<(UtcMicros, DisabledFor)>,
    /// When the oldest event happened that a recovery would try again; looked up while the endpoint is disabled.
    oldest_open: Option<UtcMicros>,
    /// How far the wall clock is ahead of steady time, as far as it was taken in.
    pub(super) ahead_of_steady_us: Option<i64>,
}

/// Runs until `soft` is cancelled, or until something fails that only a fresh start can mend.
pub(super) async fn run(parts: Arc<StreamParts>, soft: CancellationToken) -> anyhow::Result<()> {
    let mut wishes = parts.wishes.clone().lock_owned().await;
    let mut stream = Stream::load(parts).await?;
    let (mut tick, mut limit) = (RealTime::sleep(TICK_REAL), RealTime::sleep(Duration::MAX));
    let leaving = stream.parts.leaving.clone();
    // Set when the daemon stops: what is left then goes on for a little.
    let mut until: Option<UtcMicros> = None;
    loop {
        stream.watch_clock().await?;
        stream.start_commit();
        stream.fill();
        if until.is_some_and(|until| leaving.rest_ended.is_cancelled() && !stream.has_work_before(until)) {
            return stream.stop(Duration::ZERO).await;
        }
        let due = stream.sleep_until_due();
        tokio::select! {
            () = soft.cancelled(), if until.is_none() => {
                // A reload takes the endpoint away as it was: nothing more leaves for there.
                if !leaving.soft.is_cancelled() {
                    return stream.stop(STOP_REAL).await;
                }
                let clock = &stream.parts.shared.clock;
                until = Some(clock.now() + clock.span_of_real(STOP_REAL));
                limit = RealTime::sleep(STOP_REAL);
            }
            () = &mut limit, if until.is_some() => return stream.stop(Duration::ZERO).await,
            () = leaving.rest_ended.cancelled(), if until.is_some() && !leaving.rest_ended.is_cancelled() => {}
            Some(ended) = stream.tasks.join_next() => {
                stream.take_ended(ended?)?;
                while let Some(ended) = stream.tasks.try_join_next() {
                    stream.take_ended(ended?)?;
                }
            }
            done = finished(&mut stream.committing) => {
                stream.committing = None;
                stream.follow(done?);
                stream.look_what_is_open().await?;
            }
            page = finished(&mut stream.reading) => {
                stream.reading = None;
                stream.take_page(page?);
            }
            changed = stream.numbers.changed() => {
                changed?;
                stream.newest = *stream.numbers.borrow_and_update();
            }
            Some(handed) = wishes.recv() => match handed.take() {
                Some(Wish::Rest { reply, over }) => match stream.rest(reply, over, &soft).await? {
                    Some(rested) => stream = rested,
                    None => return Ok(()),
                },
                Some(wish) => stream.obey(wish).await?,
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

/// The end of a future that may not be there; never, when it is not.
async fn finished<T>(future: &mut Option<BoxFuture<T>>) -> T {
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
        let told = *numbers.borrow_and_update();
        let stored = reader.endpoints(tenant).await?.into_iter().find(|endpoint| endpoint.id == *id);
        let stored = stored.ok_or_else(|| anyhow::anyhow!("webhook {id} of {tenant} is not known to the store"))?;
        let known = reader.delivered_past(tenant, id, stored.sent_through).await?;
        let waiting = reader.waiting_by_agent(tenant, id).await?;
        let newest = reader.last_event_number(tenant).await?.max(told);
        let mut stream = Self {
            line: Line::new(stored.sent_through, known, waiting),
            tasks: JoinSet::new(),
            under_way: HashMap::new(),
            pending: Pending::default(),
            committing: None,
            following: Pending::default(),
            reading: None,
            due_at: Some(UtcMicros::EPOCH),
            stale: HashSet::new(),
            ask_again: false,
            numbers,
            newest,
            stored_cursor: stored.sent_through,
            health: Health { failing_since: stored.failing_since },
            last_error: stored.last_error,
            disabled: stored.disabled,
            oldest_open: None,
            ahead_of_steady_us: shared.clock.ahead_of_steady(),
            parts,
        };
        stream.look_back().await?;
        stream.tell_readiness();
        stream.look_what_is_open().await?;
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

    /// Lets deliveries leave, and reads more when there is room.
    fn fill(&mut self) {
        if self.disabled.is_some() {
            return;
        }
        while self.under_way.len() < self.parts.endpoint.concurrency {
            let Some(piece) = self.line.next() else { break };
            self.post(piece);
        }
        if self.reading.is_some() || self.pending.rows() >= MOST_PENDING {
            return;
        }
        let (reader, tenant) = (self.parts.shared.reader.clone(), self.parts.tenant.clone());
        let now = self.now();
        if self.due_at.is_some_and(|due| due <= now) && self.line.claimed() < MOST_DUE {
            // What is claimed already is due too, and found again.
            let limit = u32::try_from(self.line.claimed() + MOST_DUE).unwrap_or(u32::MAX);
            let endpoint = self.parts.endpoint.id.clone();
            self.due_at = None;
            self.stale.clear();
            self.reading = Some(Box::pin(async move {
                let found = reader.due_deliveries(&tenant, &endpoint, now, limit).await?;
                let whole = found.len() < limit as usize;
                let later = if whole { reader.next_due(&tenant, &endpoint, now).await? } else { None };
                Ok(Page::Due { found, whole, later })
            }));
        } else if self.newest > self.line.read_through() && self.line.has_room(PAGE, LOW) {
            let after = self.line.read_through();
            self.reading =
                Some(Box::pin(async move { Ok(Page::Events(reader.events(&tenant, after, PAGE_LIMIT).await?)) }));
        }
    }

    fn take_page(&mut self, page: Page) {
        match page {
            Page::Events(events) => {
                if events.is_empty() {
                    // Retention has taken what was left.
                    self.newest = self.line.read_through();
                }
                for event in events {
                    let selected = self.parts.endpoint.kinds.as_ref().is_none_or(|kinds| kinds.contains(&event.kind));
                    let behind = self.line.take(event, selected);
                    self.write_behind(behind);
                }
            }
            Page::Due { found, whole, later } => {
                for due in found {
                    if !self.stale.contains(&due.event.number) && !self.line.take_due(due) {
                        self.ask_again = true;
                    }
                }
                self.ask_again |= !whole;
                if let Some(later) = later {
                    self.due_at = Some(self.due_at.map_or(later, |due| due.min(later)));
                }
            }
        }
    }

    fn post(&mut self, piece: Piece) {
        let Piece { event, attempts, earlier, recorded } = piece;
        let number = event.number;
        let request = Outgoing {
            event_id: event.id,
            tenant: self.parts.tenant.clone(),
            body: (self.parts.endpoint.shape)(&self.parts.tenant, &event),
        };
        let (sent_at, since) = (self.now(), Stopwatch::start());
        self.under_way.insert(
            number,
            UnderWay { agent: event.agent, event: event.id, attempts, earlier, recorded, sent_at, since },
        );
        let sender = self.parts.endpoint.sender.clone();
        self.tasks.spawn(async move { Ended::Posted { number, attempt: sender.post(request).await } });
    }

    fn take_ended(&mut self, ended: Ended) -> anyhow::Result<()> {
        match ended {
            Ended::Tested => Ok(()),
            Ended::Posted { number, attempt } => self.take_attempt(number, attempt),
        }
    }

    /// Notes how an attempt ended.
    fn take_attempt(&mut self, number: u64, attempt: Attempt) -> anyhow::Result<()> {
        let Some(under_way) = self.under_way.remove(&number) else { return Ok(()) };
        let now = self.now();
        let answer = Answer::of(attempt.status_code);
        let outcome =
            Outcome { answer, retry_after: attempt.retry_after, at: now, jitter: self.parts.shared.random.unit() };
        let UnderWay { agent, event, attempts, earlier, recorded, sent_at, .. } = under_way;
        let before = if recorded { Standing::Waiting { attempts, next_at: now } } else { Standing::New };
        let standing = before.step(Step::Answered(outcome))?;
        self.parts.counts.note(standing);
        if let Standing::Parked { why, .. } = standing {
            tracing::warn!(webhook = %self.parts.endpoint.id, tenant = %self.parts.tenant, %event, why = why.name(),
                "a delivery is parked and the next one goes on");
        }
        if standing.is_settled() {
            if self.line.is_settled(number, agent.as_ref(), recorded)
                && let Some(agent) = &agent
            {
                let (tenant, endpoint) = (self.parts.tenant.clone(), self.parts.endpoint.id.clone());
                let release = Release { tenant, endpoint, agent: agent.clone(), at: now };
                self.pending.commit.outbox.releases.push(release);
                self.pending.is_due_at(now);
            }
        } else if !recorded {
            let behind = self.line.becomes_waiting(number, agent.as_ref());
            self.write_behind(behind);
        }
        self.write_row(number, agent.clone(), standing, earlier);
        self.watch_health(answer, &attempt, now);
        self.pending.commit.outbox.attempts.push(AttemptWrite {
            tenant: self.parts.tenant.clone(),
            endpoint: self.parts.endpoint.id.clone(),
            event_number: number,
            attempt: earlier + standing.attempts(),
            sent_at,
            latency_ms: attempt.latency_ms,
            status_code: attempt.status_code,
            error: attempt.error,
            answer: attempt.answer,
        });
        self.pending.durable.push((number, agent));
        Ok(())
    }

    pub(super) fn write_row(&mut self, number: u64, agent: Option<AgentId>, standing: Standing, earlier: u32) {
        let settled_at = standing.is_settled().then(|| self.now());
        if let Standing::Waiting { next_at, .. } = standing {
            self.pending.is_due_at(next_at);
        }
        self.pending.commit.outbox.deliveries.push(DeliveryWrite {
            tenant: self.parts.tenant.clone(),
            endpoint: self.parts.endpoint.id.clone(),
            event_number: number,
            agent,
            standing,
            earlier,
            settled_at,
        });
    }

    fn write_behind(&mut self, fallen: impl IntoIterator<Item = Behind>) {
        for Behind { number, agent } in fallen {
            self.write_row(number, Some(agent), Standing::Behind, 0);
        }
    }

    fn watch_health(&mut self, answer: Answer, attempt: &Attempt, now: UtcMicros) {
        let was_failing = self.health.failing_since.is_some();
        let disable;
        (self.health, disable) = self.health.after(answer, now);
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
            self.tell_readiness();
        }
    }

    fn disable(&mut self, why: DisabledFor, now: UtcMicros) {
        self.disabled = Some((now, why));
        let (tenant, endpoint) = (self.parts.tenant.clone(), self.parts.endpoint.id.clone());
        tracing::error!(webhook = %endpoint, %tenant, why = why.name(), "a webhook is disabled");
        self.pending.commit.events.push(Event {
            id: EventId(self.parts.shared.random.id_at(now)),
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

    /// Says in the readiness report how the endpoint is.
    pub(super) fn tell_readiness(&self) {
        let (part, readiness) = (self.parts.part(), &self.parts.shared.readiness);
        let id = &self.parts.endpoint.id;
        let last = self.last_error.as_deref().unwrap_or("no answer");
        match (self.disabled, self.health.failing_since) {
            (Some((at, why)), _) => readiness.given_up(
                &part,
                format!(
                    "disabled since {at}, as {} (last: {last}); when it is mended: shiftkeeper webhooks recover {id} \
                     --since {} --tenant {}",
                    why.words(),
                    self.oldest_open.unwrap_or(at),
                    self.parts.tenant
                ),
            ),
            (None, Some(since)) if self.now().since(since) >= TOLD_AFTER => {
                readiness.degraded(&part, format!("fails since {since}: {last}; deliveries wait and are tried again"));
            }
            (None, Some(_) | None) => readiness.restored(&part),
        }
    }

    /// Names in the readiness report the event from which on a recovery has everything: it is older than the failure that disabled
    /// the endpoint, and what was under way then may still come to be open.
    async fn look_what_is_open(&mut self) -> anyhow::Result<()> {
        if self.disabled.is_some() {
            let (tenant, id) = (&self.parts.tenant, &self.parts.endpoint.id);
            self.oldest_open = self.parts.shared.reader.oldest_open(tenant, id).await?;
            self.tell_readiness();
        }
        Ok(())
    }

    /// Begins a commit when there is something to commit and none is under way.
    fn start_commit(&mut self) {
        if self.committing.is_none() && !self.pending.commit.is_empty() {
            self.begin_commit();
        }
    }

    fn begin_commit(&mut self) {
        self.stored_cursor = self.line.cursor();
        let mut pending = std::mem::take(&mut self.pending);
        pending.commit.outbox.endpoints.push(EndpointWrite::Progress {
            tenant: self.parts.tenant.clone(),
            endpoint: self.parts.endpoint.id.clone(),
            sent_through: self.stored_cursor,
            failing_since: self.health.failing_since,
            last_error: self.last_error.clone(),
        });
        let (commit, writer) = (std::mem::take(&mut pending.commit), self.parts.shared.writer.clone());
        self.following = pending;
        self.committing = Some(Box::pin(async move { writer.commit(commit).await }));
    }

    /// What follows once a commit is durable.
    fn follow(&mut self, _durable: Committed) {
        let following = std::mem::take(&mut self.following);
        for (number, agent) in following.durable {
            if self.reading.is_some() {
                self.stale.insert(number);
            }
            let behind = self.line.is_durable(number, agent.as_ref());
            self.write_behind(behind);
        }
        let again = std::mem::take(&mut self.ask_again).then_some(UtcMicros::EPOCH);
        self.due_at = [self.due_at, following.due_at, again].into_iter().flatten().min();
    }

    /// Commits all that there is, and waits for it: afterwards the store knows what this worker knows, but for what is under
    /// way.
    pub(super) async fn flush(&mut self) -> anyhow::Result<()> {
        while self.committing.is_some() || !self.pending.commit.is_empty() {
            self.start_commit();
            let done = finished(&mut self.committing).await;
            self.committing = None;
            self.follow(done?);
        }
        Ok(())
    }

    /// Gives slow attempts a row, and stores a cursor that moved alone.
    fn tick(&mut self) {
        self.parts.endpoint.sender.close_idle();
        let slow: Vec<u64> = self
            .under_way
            .iter()
            .filter(|(_, under_way)| !under_way.recorded && under_way.since.elapsed() >= SLOW_REAL)
            .map(|(number, _)| *number)
            .collect();
        let now = self.now();
        for number in slow {
            let Some(under_way) = self.under_way.get_mut(&number) else { continue };
            under_way.recorded = true;
            let (agent, earlier) = (under_way.agent.clone(), under_way.earlier);
            let behind = self.line.becomes_waiting(number, agent.as_ref());
            self.write_row(number, agent, Standing::Waiting { attempts: 0, next_at: now }, earlier);
            self.write_behind(behind);
        }
        if self.committing.is_none() && self.line.cursor() > self.stored_cursor {
            self.begin_commit();
        }
    }

    /// Whether an event is in this worker's hands just now.
    pub(super) fn holds(&self, number: u64) -> bool {
        self.under_way.contains_key(&number)
    }

    /// Something is to be sent, under way or to be recorded, or becomes due before an instant.
    fn has_work_before(&self, until: UtcMicros) -> bool {
        let sends =
            self.line.cursor() < *self.numbers.borrow() || self.line.claimed() > 0 || !self.under_way.is_empty();
        let records = self.committing.is_some() || !self.pending.commit.is_empty() || self.reading.is_some();
        self.disabled.is_none() && (sends || records || self.due_at.is_some_and(|due| due < until))
    }

    /// Waits for what is under way as long as it is told, and records it; the rest is sent again by the next start.
    pub(super) async fn stop(mut self, wait: Duration) -> anyhow::Result<()> {
        let mut limit = RealTime::sleep(wait);
        while !self.tasks.is_empty() {
            tokio::select! {
                Some(ended) = self.tasks.join_next() => self.take_ended(ended?)?,
                done = finished(&mut self.committing) => {
                    self.committing = None;
                    self.follow(done?);
                }
                () = &mut limit => break,
            }
            self.start_commit();
        }
        self.flush().await?;
        if self.line.cursor() > self.stored_cursor {
            self.begin_commit();
            self.flush().await?;
        }
        Ok(())
    }
}
