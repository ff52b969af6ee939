//! Keeps one subscription's snapshots coming: subscribes, polls without drift, renews while the old subscription runs,
//! and recovers from failures.
//!
//! It observes and reports; the keeper decides what an observation means. A poll that is late is skipped, never made up
//! for.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::calls::{CallKind, call_within_budget, real_millis};
use super::link::{Link, SubscriptionState};
use crate::clock::{AgeTracker, BoxFuture, ClockReading};
use crate::domain::audit::Hash;
use crate::domain::ids::{AgentId, SubscriptionId};
use crate::domain::time::UtcMicros;
use crate::domain::wording::{count_with_noun, list_names};
use crate::engine::keeper_message::{KeeperMessage, SnapshotObservation, SubscriptionNotice};
use crate::engine::operations::settings::TenantSettings;
use crate::platform::budget::Urgency;
use crate::platform::poll::PollGrid;
use crate::platform::retry::RetryBackoff;
use crate::platform::{
    Answer, CallError, ClockOffset, Detail, Failure, SnapshotBody, SnapshotReader, SubscriptionRequest, UnreadableRows,
};
use crate::store::{Commit, CommitError, SubscriptionRow, SubscriptionWrite};

/// Runs the worker of one tenant: one loop per subscription, restarted when the roster changes.
pub async fn run(
    link: Arc<Link>,
    settings: watch::Receiver<Arc<TenantSettings>>,
    mut roster: watch::Receiver<Arc<[AgentId]>>,
    soft: CancellationToken,
) -> anyhow::Result<()> {
    // Stored subscriptions are not compared with the roster before it is known.
    tokio::select! {
        () = soft.cancelled() => return Ok(()),
        known = roster.changed() => known?,
    }
    loop {
        let agents = roster.borrow_and_update().clone();
        let mut slices = start_slices(&link, &settings, &agents, &soft).await?;
        let part = link.part("roster");
        if agents.is_empty() {
            link.readiness.degraded(&part, "no agents: import a schedule or list them in the tenant's `agents`");
        } else {
            link.readiness.restored(&part);
        }
        tokio::select! {
            () = soft.cancelled() => return Ok(()),
            changed = roster.changed() => changed?,
            Some(ended) = slices.join_next() => {
                ended??;
                anyhow::bail!("a subscription's loop ended by itself");
            }
        }
    }
}

async fn start_slices(
    link: &Arc<Link>,
    settings: &watch::Receiver<Arc<TenantSettings>>,
    agents: &[AgentId],
    soft: &CancellationToken,
) -> anyhow::Result<JoinSet<anyhow::Result<()>>> {
    let stored = link.reader.subscriptions(&link.tenant).await?;
    let mut slices = JoinSet::new();
    let (per_slice, interval) = {
        let observation = &settings.borrow().observation;
        (observation.agents_per_subscription.max(1), observation.interval)
    };
    // Without subscriptions, one snapshot shows everybody.
    let has_subscriptions = link.platform.capabilities().subscription_lifetime.is_some();
    let per_slice = if has_subscriptions { per_slice } else { agents.len().max(1) };
    drop_surplus_slices(link, &stored, agents.len().div_ceil(per_slice)).await?;
    for (number, agents) in (0_u32..).zip(agents.chunks(per_slice)) {
        let hash = request_hash(agents, interval);
        let adopted = stored.iter().find(|row| row.slice == number && row.agents_hash == hash);
        slices.spawn(Slice::new(link, settings, number, agents, adopted).run(soft.clone()));
    }
    Ok(slices)
}

/// Removes what is stored of subscriptions beyond those that the roster needs.
async fn drop_surplus_slices(link: &Link, stored: &[SubscriptionRow], count: usize) -> anyhow::Result<()> {
    let is_surplus = |slice: u32| usize::try_from(slice).is_ok_and(|slice| slice >= count);
    let surplus: Vec<u32> = stored.iter().map(|row| row.slice).filter(|slice| is_surplus(*slice)).collect();
    link.remove_subscriptions(is_surplus);
    link.readiness.remove(&surplus.iter().map(|slice| readiness_part(link, *slice)).collect::<Vec<_>>());
    let drop_row = |slice: &u32| SubscriptionWrite::Drop { tenant: link.tenant.clone(), slice: *slice };
    let subscriptions: Vec<_> = surplus.iter().map(drop_row).collect();
    if !subscriptions.is_empty() {
        link.writer.commit(Commit { subscriptions, ..Commit::default() }).await?;
    }
    Ok(())
}

/// Returns when a snapshot was generated, in our clock. The result is never after its receipt: a later time would keep
/// an old observation fresh, and let a snapshot from before a lost answer decide what became of it.
fn generated_at(offset: ClockOffset, reported_at: UtcMicros, received_at: UtcMicros) -> UtcMicros {
    offset.to_local(reported_at).min(received_at)
}

/// Returns a hash of what a subscription asks for. A stored subscription with another hash is not adopted.
fn request_hash(agents: &[AgentId], interval: Duration) -> Hash {
    let mut text = String::with_capacity(agents.len() * 12 + 12);
    text.push_str(&real_millis(interval).to_string());
    text.push('\n');
    for agent in agents {
        text.push_str(agent.as_str());
        text.push('\n');
    }
    Hash::of(text.as_bytes())
}

#[derive(Clone, Debug)]
struct ActiveSubscription {
    id: SubscriptionId,
    /// The hash of what it asked for, see [`request_hash`].
    request_hash: Hash,
    created: ClockReading,
    age: AgeTracker,
    interval: Duration,
    detail: Detail,
}

struct Slice {
    link: Arc<Link>,
    settings: watch::Receiver<Arc<TenantSettings>>,
    number: u32,
    agents: Arc<[AgentId]>,
    reader: Box<dyn SnapshotReader>,
    active: Option<ActiveSubscription>,
    /// A renewal in progress, which runs beside the polls so that none is missed.
    renewal: JoinSet<SubscribeResult>,
    /// The successor, polled next: it takes over if it answers and is dropped otherwise.
    successor: Option<ActiveSubscription>,
    grid: PollGrid,
    /// When the last poll was sent, also by the previous process; `None` if unknown.
    last_polled: Option<ClockReading>,
    failures: u32,
    /// The last subscription was lost before it delivered a snapshot, so the next one is made after a pause.
    was_lost: bool,
    next_renewal: Duration,
    near_expiry_reported: bool,
    oversize_reported: bool,
    /// The detail that subscriptions ask for; reduced after a snapshot was too large.
    detail: Detail,
    /// When the last snapshot was generated, in our clock.
    generated_at: Option<UtcMicros>,
    /// The rows of the last snapshot that could not be read.
    unreadable: UnreadableRows,
}

/// A subscription, or why there is none; the outer error means that the store did not record the call.
type SubscribeResult = Result<Result<ActiveSubscription, CallError>, CommitError>;

/// The pauses after a failed poll or subscription; polls also stay on their grid.
const RETRY_CURVE: RetryBackoff = RetryBackoff { first: Duration::from_secs(1), cap: Duration::from_secs(30) };

/// The time between two attempts to renew.
const RENEWAL_RETRY_INTERVAL: Duration = Duration::from_secs(60);

fn readiness_part(link: &Link, slice: u32) -> String {
    link.part(&format!("subscription {slice}"))
}

/// Returns, for the readiness report, which agents are not observed because their rows cannot be read.
fn describe_unreadable(rows: &UnreadableRows) -> Option<String> {
    let agents = (!rows.agents.is_empty()).then(|| format!("of {}", list_names(&rows.agents)));
    let nameless =
        (rows.without_id > 0).then(|| format!("{} of no known agent", count_with_noun(rows.without_id, "row")));
    let whose: Vec<String> = agents.into_iter().chain(nameless).collect();
    (!whose.is_empty()).then(|| {
        let whose = whose.join(", ");
        format!(
            "the snapshot has rows that cannot be read ({whose}), and their agents are not seen; the log has each fault"
        )
    })
}

impl Slice {
    /// Creates a slice, which adopts a subscription of the previous process if there is one.
    fn new(
        link: &Arc<Link>,
        settings: &watch::Receiver<Arc<TenantSettings>>,
        number: u32,
        agents: &[AgentId],
        adopted: Option<&SubscriptionRow>,
    ) -> Self {
        let (interval, renew_after) = {
            let observation = &settings.borrow().observation;
            (observation.interval, observation.renew_after)
        };
        let (clock, now) = (&*link.clock, ClockReading::now(&*link.clock));
        let age = adopted.and_then(|row| row.created.age_at(now));
        let active = adopted.map(|row| ActiveSubscription {
            id: row.id.clone(),
            request_hash: row.agents_hash,
            created: row.created,
            // A subscription of unknown age is replaced like an old one.
            age: AgeTracker::of(age.unwrap_or(renew_after), clock),
            interval: Duration::from_millis(row.interval_ms),
            detail: Detail::Full,
        });
        let last_polled = adopted.and_then(|row| row.polled);
        let grid = match &active {
            None => PollGrid::new(clock.monotonic(), interval),
            Some(live) => {
                // If the last poll is unknown, it may have been a moment ago.
                let since_last = last_polled.and_then(|polled| polled.age_at(now)).unwrap_or_default();
                PollGrid::resume(clock.monotonic(), since_last, live.interval)
            }
        };
        Self {
            link: link.clone(),
            settings: settings.clone(),
            number,
            reader: link.platform.reader(agents),
            agents: agents.into(),
            active,
            renewal: JoinSet::new(),
            successor: None,
            grid,
            last_polled,
            failures: 0,
            was_lost: false,
            next_renewal: Duration::ZERO,
            // An unknown age is no reason to warn that it expires.
            near_expiry_reported: adopted.is_some() && age.is_none(),
            oversize_reported: false,
            detail: Detail::Full,
            generated_at: None,
            unreadable: UnreadableRows::default(),
        }
    }

    async fn run(mut self, soft: CancellationToken) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                () = soft.cancelled() => return Ok(()),
                result = self.poll_once() => result?,
            }
        }
    }

    /// Makes one poll, with what has to precede it. Safe to drop at any await, because the store holds what matters.
    async fn poll_once(&mut self) -> anyhow::Result<()> {
        let result = match self.active.clone() {
            None => self.subscribe_initially().await?,
            Some(live) => {
                self.wait_for_due().await;
                self.renew_if_due(&live).await?;
                let polled = self.poll_newest(&live).await?;
                if polled.is_ok() {
                    (self.failures, self.was_lost) = (0, false);
                    let part = readiness_part(&self.link, self.number);
                    match describe_unreadable(&self.unreadable) {
                        None => self.link.readiness.restored(&part),
                        Some(detail) => self.link.readiness.degraded(&part, detail),
                    }
                }
                polled
            }
        };
        match result {
            Ok(()) => Ok(()),
            Err(error) => self.handle_failure(error).await,
        }
    }

    fn wait_for_due(&self) -> BoxFuture<()> {
        let wait = self.grid.next_due().saturating_sub(self.link.clock.monotonic());
        self.link.clock.sleep(wait)
    }

    async fn subscribe_initially(&mut self) -> anyhow::Result<Result<(), CallError>> {
        // A renewal in progress becomes the first subscription.
        let made = match self.renewal.join_next().await {
            Some(made) => made?,
            None => self.subscribe().await,
        };
        Ok(match made? {
            Ok(live) => {
                self.reader.reset();
                self.activate(live).await?;
                self.grid = PollGrid::new(self.link.clock.monotonic(), self.interval());
                Ok(())
            }
            Err(error) => Err(error),
        })
    }

    /// Makes a new subscription with the present settings.
    fn subscribe(&self) -> impl Future<Output = SubscribeResult> + Send + 'static {
        let interval = self.settings.borrow().observation.interval;
        let (link, agents, number, detail) = (self.link.clone(), self.agents.clone(), self.number, self.detail);
        async move {
            let name = format!("shiftkeeper-{}-{number}", link.tenant);
            if link.platform.capabilities().subscription_lifetime.is_none() {
                let clock = &*link.clock;
                return Ok(Ok(ActiveSubscription {
                    id: SubscriptionId::new(name),
                    request_hash: request_hash(&agents, interval),
                    created: ClockReading::now(clock),
                    age: AgeTracker::of(Duration::ZERO, clock),
                    interval,
                    detail,
                }));
            }
            let request = SubscriptionRequest { name: &name, interval, agents: &agents, detail };
            let call = link.platform.subscribe(request);
            // Every decision rests on observations: this call does not queue behind the changes that need them.
            let made = call_within_budget(&link, CallKind::Subscribe, Urgency::Urgent, None, call).await?;
            Ok(made.map(|answer| {
                let (made, clock) = (answer.value, &*link.clock);
                let request_hash = request_hash(&agents, interval);
                let (created, age) = (ClockReading::now(clock), AgeTracker::of(Duration::ZERO, clock));
                let active =
                    ActiveSubscription { id: made.id, request_hash, created, age, interval: made.interval, detail };
                tracing::info!(tenant = %link.tenant, slice = number, subscription = %active.id,
                    agents = agents.len(), interval_ms = active.interval.as_millis(), "subscribed");
                active
            }))
        }
    }

    /// Makes this the slice's subscription, also for the next process.
    async fn activate(&mut self, subscription: ActiveSubscription) -> anyhow::Result<()> {
        self.store_subscription(&subscription).await?;
        (self.active, self.near_expiry_reported) = (Some(subscription), false);
        Ok(())
    }

    /// Stores the slice's subscription and when it was last polled.
    async fn store_subscription(&self, subscription: &ActiveSubscription) -> Result<(), CommitError> {
        let row = SubscriptionRow {
            tenant: self.link.tenant.clone(),
            slice: self.number,
            id: subscription.id.clone(),
            created: subscription.created,
            polled: self.last_polled,
            interval_ms: real_millis(subscription.interval),
            agents_hash: subscription.request_hash,
        };
        let subscriptions = vec![SubscriptionWrite::Set(row)];
        self.link.writer.commit(Commit { subscriptions, ..Commit::default() }).await.map(drop)
    }

    /// Stores that the slice is polled now, before the poll: after a crash the next process then knows when the
    /// platform may be polled again. If the store fails, the poll is made anyway; the next process may then be
    /// throttled.
    async fn record_poll(&mut self) -> Result<(), CommitError> {
        let Some(live) = self.active.clone() else { return Ok(()) };
        // If the commit took longer than a poll may be late, the time is stored again.
        for _ in 0..2 {
            let began = self.link.clock.monotonic();
            self.last_polled = Some(ClockReading::now(&*self.link.clock));
            match self.store_subscription(&live).await {
                Ok(()) => {}
                Err(error @ (CommitError::LostEpoch { .. } | CommitError::Closed)) => return Err(error),
                Err(
                    error @ (CommitError::Full
                    | CommitError::ReadOnly
                    | CommitError::Refused(_)
                    | CommitError::Broken(_)
                    | CommitError::Unknown(_)),
                ) => {
                    tracing::debug!(tenant = %self.link.tenant, slice = self.number, %error, "a poll is not stored");
                    return Ok(());
                }
            }
            if self.link.clock.monotonic().saturating_sub(began) <= self.grid.slack() {
                break;
            }
        }
        Ok(())
    }

    fn interval(&self) -> Duration {
        self.active.as_ref().map_or_else(|| self.settings.borrow().observation.interval, |live| live.interval)
    }

    /// Starts making a successor if the subscription is old enough, and accepts one that was made. After a failure the
    /// running one stays until the next attempt.
    async fn renew_if_due(&mut self, live: &ActiveSubscription) -> anyhow::Result<()> {
        match self.renewal.try_join_next().transpose()?.transpose()? {
            Some(Ok(successor)) => self.successor = Some(successor),
            Some(Err(error)) => self.postpone_renewal(&error),
            None => {}
        }
        let (renew_after, alert_after) = {
            let settings = self.settings.borrow();
            (settings.observation.renew_after, settings.observation.near_expiry_after)
        };
        let age = live.age.now(&*self.link.clock);
        if self.successor.is_some() {
            return Ok(());
        }
        if age >= alert_after && !self.near_expiry_reported {
            self.near_expiry_reported = true;
            let created_at = self.link.clock.now() - age;
            let notice = SubscriptionNotice::NearExpiry { slice: self.number, created_at };
            self.link.inbox.send(KeeperMessage::SubscriptionNotice(notice)).await?;
        }
        // A subscription with more detail than it should have is replaced like an old one.
        let is_due = age >= renew_after || live.detail != self.detail;
        if is_due && self.renewal.is_empty() && self.link.clock.monotonic() >= self.next_renewal {
            let subscription = self.subscribe();
            self.renewal.spawn(subscription);
        }
        Ok(())
    }

    fn postpone_renewal(&mut self, error: &CallError) {
        self.next_renewal = self.link.clock.monotonic() + RENEWAL_RETRY_INTERVAL;
        tracing::warn!(tenant = %self.link.tenant, slice = self.number, error = %error,
            "the subscription could not be renewed; trying again in a minute");
    }

    /// Polls the successor if there is one; with its first snapshot it replaces the running subscription. If it
    /// delivers none, it is dropped and the running one is polled instead, so that no poll is missed and the two never
    /// run side by side.
    async fn poll_newest(&mut self, live: &ActiveSubscription) -> anyhow::Result<Result<(), CallError>> {
        let Some(successor) = self.successor.take() else { return self.poll(live).await };
        match self.poll(&successor).await? {
            Ok(()) => {
                let interval = successor.interval;
                self.activate(successor).await?;
                if interval != live.interval {
                    self.grid = PollGrid::new(self.link.clock.monotonic() + interval, interval);
                }
                Ok(Ok(()))
            }
            Err(error) => {
                self.postpone_renewal(&error);
                self.poll(live).await
            }
        }
    }

    async fn poll(&mut self, target: &ActiveSubscription) -> anyhow::Result<Result<(), CallError>> {
        self.record_poll().await?;
        self.grid.record_sent(self.link.clock.monotonic());
        let mut bytes = 0;
        let (delta, received_at) = loop {
            let answer = match self.fetch_page(target).await? {
                Ok(answer) => answer,
                Err(error) => return Ok(Err(error)),
            };
            bytes += answer.value.bytes.len();
            match self.reader.read(&target.id, answer.value) {
                Ok(Some(delta)) => break (delta, answer.received_at),
                Ok(None) => {}
                Err(error) => return Ok(Err(error)),
            }
        };
        let oversize = bytes > self.settings.borrow().observation.oversize_bytes;
        // Reported when it begins, and answered by asking for less detail; a large roster stays large.
        if oversize && !std::mem::replace(&mut self.oversize_reported, true) {
            self.detail = Detail::Needed;
            let notice = SubscriptionNotice::Oversize { slice: self.number, bytes };
            self.link.inbox.send(KeeperMessage::SubscriptionNotice(notice)).await?;
        }
        self.oversize_reported = oversize;
        for diagnostic in &delta.diagnostics {
            tracing::warn!(tenant = %self.link.tenant, slice = self.number, ?diagnostic, "a row of the snapshot is odd");
        }
        self.unreadable = delta.unreadable;
        let offset = self.link.offset();
        // A repeated snapshot does not become newer because the offset is now known better, nor later than now because
        // our clock was set back.
        let known = self.generated_at.filter(|_| delta.repeated).map(|known| known.min(received_at));
        let generated_at = known.unwrap_or_else(|| generated_at(offset, delta.generated_at, received_at));
        self.generated_at = Some(generated_at);
        self.link.record_subscription(SubscriptionState {
            slice: self.number,
            agents: self.agents.len(),
            interval: target.interval,
            age: target.age,
            generated_at,
            bytes,
        });
        let observation = SnapshotObservation {
            slice: self.number,
            generated_at,
            offset_us: offset.offset_micros(),
            changed: delta.changed,
            agents: self.agents.clone(),
            absent: delta.absent,
            omitted: delta.missing,
        };
        self.link.inbox.send(KeeperMessage::Observation(observation)).await?;
        Ok(Ok(()))
    }

    /// Fetches a snapshot, or its next page. Where polls count against the budget, they go before everything else.
    async fn fetch_page(
        &self,
        target: &ActiveSubscription,
    ) -> Result<Result<Answer<SnapshotBody>, CallError>, CommitError> {
        let (link, call) = (&self.link, self.link.platform.snapshot(&target.id));
        if link.platform.capabilities().polls_count {
            return call_within_budget(link, CallKind::Snapshot, Urgency::Poll, None, call).await;
        }
        let answer = call.await;
        if let Ok(answer) = &answer {
            link.learn_offset(answer);
        }
        Ok(answer)
    }

    async fn handle_failure(&mut self, error: CallError) -> anyhow::Result<()> {
        self.failures += 1;
        tracing::warn!(tenant = %self.link.tenant, slice = self.number, error = %error, failures = self.failures,
            "no snapshot");
        self.link.readiness.degraded(&readiness_part(&self.link, self.number), format!("no snapshot: {error}"));
        if matches!(error.failure, Failure::NotFound) {
            // It is replaced at once.
            self.active = None;
            if !std::mem::replace(&mut self.was_lost, true) {
                return Ok(());
            }
        }
        let floor = error.failure.retry_after();
        let pause = RETRY_CURVE.delay(self.failures, floor, &*self.link.random);
        self.link.clock.sleep(pause).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
