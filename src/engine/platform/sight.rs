//! Keeps one subscription's snapshots coming: subscribes, polls without drift, renews beside the running one, heals.
//!
//! It sees and reports; what a sight means is the keeper's business. A poll that is late is skipped, never made up for.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::calls::{CallKind, budgeted, real_millis};
use super::link::{Link, SubscriptionNow};
use crate::clock::{Age, BoxFuture, Moment};
use crate::domain::audit::Hash;
use crate::domain::ids::{AgentId, SubscriptionId};
use crate::domain::time::UtcMicros;
use crate::domain::words::{count, names};
use crate::engine::message::{Message, Sight, SliceNotice};
use crate::engine::operations::settings::TenantSettings;
use crate::platform::budget::Urgency;
use crate::platform::poll::PollGrid;
use crate::platform::retry::RetryCurve;
use crate::platform::{CallError, ClockOffset, Detail, Failure, SnapshotReader, SubscriptionRequest, UnreadableRows};
use crate::store::{Commit, CommitError, SubscriptionRow, SubscriptionWrite};

/// The worker of one tenant: one loop per subscription, made anew when the roster changes.
pub async fn run(
    link: Arc<Link>,
    settings: watch::Receiver<Arc<TenantSettings>>,
    mut roster: watch::Receiver<Arc<[AgentId]>>,
    soft: CancellationToken,
) -> anyhow::Result<()> {
    // What was kept of subscriptions is not judged by a roster that is not known yet.
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
        let sight = &settings.borrow().sight;
        (sight.agents_per_subscription.max(1), sight.interval)
    };
    forget_beyond(link, &stored, agents.len().div_ceil(per_slice)).await?;
    for (number, agents) in (0_u32..).zip(agents.chunks(per_slice)) {
        let hash = asked_hash(agents, interval);
        let adopted = stored.iter().find(|row| row.slice == number && row.agents_hash == hash);
        slices.spawn(Slice::new(link, settings, number, agents, adopted).run(soft.clone()));
    }
    Ok(slices)
}

/// Of a smaller roster's slices there are fewer: nothing is kept of those that are no more.
async fn forget_beyond(link: &Link, stored: &[SubscriptionRow], count: usize) -> anyhow::Result<()> {
    let is_gone = |slice: u32| usize::try_from(slice).is_ok_and(|slice| slice >= count);
    let gone: Vec<u32> = stored.iter().map(|row| row.slice).filter(|slice| is_gone(*slice)).collect();
    link.forget_subscriptions(is_gone);
    link.readiness.forget(&gone.iter().map(|slice| part(link, *slice)).collect::<Vec<_>>());
    let drop_row = |slice: &u32| SubscriptionWrite::Drop { tenant: link.tenant.clone(), slice: *slice };
    let subscriptions: Vec<_> = gone.iter().map(drop_row).collect();
    if !subscriptions.is_empty() {
        link.writer.commit(Commit { subscriptions, ..Commit::default() }).await?;
    }
    Ok(())
}

/// When a snapshot was generated, by our clock. It cannot have been after its receipt: an instant that says so would keep an
/// old sight fresh, and let a snapshot from before a lost answer tell what became of it.
fn generated_at(offset: ClockOffset, said: UtcMicros, received_at: UtcMicros) -> UtcMicros {
    offset.to_ours(said).min(received_at)
}

/// Of what a subscription is asked for: one that was made for anything else is not taken up.
fn asked_hash(agents: &[AgentId], interval: Duration) -> Hash {
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
struct Live {
    id: SubscriptionId,
    /// What it was asked for, by [`asked_hash`].
    asked: Hash,
    created: Moment,
    age: Age,
    interval: Duration,
    detail: Detail,
}

struct Slice {
    link: Arc<Link>,
    settings: watch::Receiver<Arc<TenantSettings>>,
    number: u32,
    agents: Arc<[AgentId]>,
    reader: Box<dyn SnapshotReader>,
    live: Option<Live>,
    /// Under way beside the polls, so that it costs none of them.
    renewal: JoinSet<Made>,
    /// Made, and taken over by the next poll, which it answers or is dropped.
    successor: Option<Live>,
    grid: PollGrid,
    /// When the last poll was sent, also by the process before; none where nobody knows.
    polled: Option<Moment>,
    failures: u32,
    /// The last subscription was gone before it gave a snapshot: the next one is not made in haste.
    gone: bool,
    next_renewal: Duration,
    told_near_expiry: bool,
    told_oversize: bool,
    /// What subscriptions ask for; leaner once a snapshot was too large.
    detail: Detail,
    /// When the last snapshot was generated, by our clock.
    generated_at: Option<UtcMicros>,
    /// The rows of the last snapshot that could not be read.
    unreadable: UnreadableRows,
}

/// A subscription, or why there is none; an error where the store did not take the call.
type Made = Result<Result<Live, CallError>, CommitError>;

/// Pauses after a poll or a subscription failed; polls keep to their grid beside it.
const AFTER_FAILURE: RetryCurve = RetryCurve { first: Duration::from_secs(1), cap: Duration::from_secs(30) };

/// Between two tries to renew.
const RENEWAL_PAUSE: Duration = Duration::from_secs(60);

fn part(link: &Link, slice: u32) -> String {
    link.part(&format!("subscription {slice}"))
}

/// Whom nobody sees because of rows that cannot be read, for the readiness report.
fn unseen(rows: &UnreadableRows) -> Option<String> {
    let agents = (!rows.agents.is_empty()).then(|| format!("of {}", names(&rows.agents)));
    let nameless = (rows.nameless > 0).then(|| format!("{} of no known agent", count(rows.nameless, "row")));
    let whose: Vec<String> = agents.into_iter().chain(nameless).collect();
    (!whose.is_empty()).then(|| {
        let whose = whose.join(", ");
        format!(
            "the snapshot has rows that cannot be read ({whose}), and their agents are not seen; the log has each fault"
        )
    })
}

impl Slice {
    /// Goes on with a subscription of the process before, where there is one.
    fn new(
        link: &Arc<Link>,
        settings: &watch::Receiver<Arc<TenantSettings>>,
        number: u32,
        agents: &[AgentId],
        adopted: Option<&SubscriptionRow>,
    ) -> Self {
        let (interval, renew_after) = {
            let sight = &settings.borrow().sight;
            (sight.interval, sight.renew_after)
        };
        let (clock, now) = (&*link.clock, Moment::now(&*link.clock));
        let age = adopted.and_then(|row| row.created.age_at(now));
        let live = adopted.map(|row| Live {
            id: row.id.clone(),
            asked: row.agents_hash,
            created: row.created,
            // Nobody knows how old it is: it is replaced like an old one.
            age: Age::of(age.unwrap_or(renew_after), clock),
            interval: Duration::from_millis(row.interval_ms),
            detail: Detail::Full,
        });
        let polled = adopted.and_then(|row| row.polled);
        let grid = match &live {
            None => PollGrid::new(clock.monotonic(), interval),
            Some(live) => {
                // Where nobody knows when it was polled last, that may have been a moment ago.
                let since_last = polled.and_then(|polled| polled.age_at(now)).unwrap_or_default();
                PollGrid::resumed(clock.monotonic(), since_last, live.interval)
            }
        };
        Self {
            link: link.clone(),
            settings: settings.clone(),
            number,
            reader: link.platform.reader(agents),
            agents: agents.into(),
            live,
            renewal: JoinSet::new(),
            successor: None,
            grid,
            polled,
            failures: 0,
            gone: false,
            next_renewal: Duration::ZERO,
            // That nobody knows its age is no reason to warn of its end.
            told_near_expiry: adopted.is_some() && age.is_none(),
            told_oversize: false,
            detail: Detail::Full,
            generated_at: None,
            unreadable: UnreadableRows::default(),
        }
    }

    async fn run(mut self, soft: CancellationToken) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                () = soft.cancelled() => return Ok(()),
                result = self.turn() => result?,
            }
        }
    }

    /// One poll, with what has to go before it. Safe to drop at any await: the store holds what matters.
    async fn turn(&mut self) -> anyhow::Result<()> {
        let result = match self.live.clone() {
            None => self.subscribe_first().await?,
            Some(live) => {
                self.wait_for_due().await;
                self.renew_if_due(&live).await?;
                let polled = self.poll_newest(&live).await?;
                if polled.is_ok() {
                    (self.failures, self.gone) = (0, false);
                    let part = part(&self.link, self.number);
                    match unseen(&self.unreadable) {
                        None => self.link.readiness.restored(&part),
                        Some(detail) => self.link.readiness.degraded(&part, detail),
                    }
                }
                polled
            }
        };
        match result {
            Ok(()) => Ok(()),
            Err(error) => self.failed(error).await,
        }
    }

    fn wait_for_due(&self) -> BoxFuture<()> {
        let wait = self.grid.due().saturating_sub(self.link.clock.monotonic());
        self.link.clock.sleep(wait)
    }

    async fn subscribe_first(&mut self) -> anyhow::Result<Result<(), CallError>> {
        // A renewal that is under way becomes the first.
        let made = match self.renewal.join_next().await {
            Some(made) => made?,
            None => self.subscription().await,
        };
        Ok(match made? {
            Ok(live) => {
                self.reader.forget();
                self.go_on_with(live).await?;
                self.grid = PollGrid::new(self.link.clock.monotonic(), self.interval());
                Ok(())
            }
            Err(error) => Err(error),
        })
    }

    /// A new subscription as the slice wants it now.
    fn subscription(&self) -> impl Future<Output = Made> + Send + 'static {
        let interval = self.settings.borrow().sight.interval;
        let (link, agents, number, detail) = (self.link.clone(), self.agents.clone(), self.number, self.detail);
        async move {
            let name = format!("shiftkeeper-{}-{number}", link.tenant);
            let wanted = SubscriptionRequest { name: &name, interval, agents: &agents, detail };
            let call = link.platform.subscribe(wanted);
            // Sight is what every decision rests on: it does not queue behind the changes it is needed for.
            let made = budgeted(&link, CallKind::Subscribe, Urgency::Urgent, None, call).await?;
            Ok(made.map(|answer| {
                let (made, clock) = (answer.value, &*link.clock);
                let asked = asked_hash(&agents, interval);
                let (created, age) = (Moment::now(clock), Age::of(Duration::ZERO, clock));
                let live = Live { id: made.id, asked, created, age, interval: made.interval, detail };
                tracing::info!(tenant = %link.tenant, slice = number, subscription = %live.id,
                    agents = agents.len(), interval_ms = live.interval.as_millis(), "subscribed");
                live
            }))
        }
    }

    /// From now on this is the slice's subscription, also for the next process.
    async fn go_on_with(&mut self, live: Live) -> anyhow::Result<()> {
        self.store(&live).await?;
        (self.live, self.told_near_expiry) = (Some(live), false);
        Ok(())
    }

    /// Stores the slice's subscription, with when it was polled last.
    async fn store(&self, live: &Live) -> Result<(), CommitError> {
        let row = SubscriptionRow {
            tenant: self.link.tenant.clone(),
            slice: self.number,
            id: live.id.clone(),
            created: live.created,
            polled: self.polled,
            interval_ms: real_millis(live.interval),
            agents_hash: live.asked,
        };
        let subscriptions = vec![SubscriptionWrite::Set(row)];
        self.link.writer.commit(Commit { subscriptions, ..Commit::default() }).await.map(drop)
    }

    /// Stores that the slice is polled now, before it is: whoever starts after a crash at any instant then knows when the platform may be
    /// polled next. A store that cannot take it costs no sight; a start may then be told to slow down.
    async fn note_poll(&mut self) -> Result<(), CommitError> {
        let Some(live) = self.live.clone() else { return Ok(()) };
        // Where the commit took longer than a poll may be late by, the instant is told anew.
        for _ in 0..2 {
            let began = self.link.clock.monotonic();
            self.polled = Some(Moment::now(&*self.link.clock));
            match self.store(&live).await {
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
        self.live.as_ref().map_or_else(|| self.settings.borrow().sight.interval, |live| live.interval)
    }

    /// Begins to make a successor when the subscription is old enough, and takes in one that was made. A failure leaves the running
    /// one as it is until the next try.
    async fn renew_if_due(&mut self, live: &Live) -> anyhow::Result<()> {
        match self.renewal.try_join_next().transpose()?.transpose()? {
            Some(Ok(successor)) => self.successor = Some(successor),
            Some(Err(error)) => self.put_off_renewal(&error),
            None => {}
        }
        let (renew_after, alert_after) = {
            let settings = self.settings.borrow();
            (settings.sight.renew_after, settings.sight.near_expiry_after)
        };
        let age = live.age.now(&*self.link.clock);
        if self.successor.is_some() {
            return Ok(());
        }
        if age >= alert_after && !self.told_near_expiry {
            self.told_near_expiry = true;
            let created_at = self.link.clock.now() - age;
            let notice = SliceNotice::NearExpiry { slice: self.number, created_at };
            self.link.inbox.send(Message::SliceNotice(notice)).await?;
        }
        // A subscription that asks for more than it should is replaced like one that is old.
        let is_due = age >= renew_after || live.detail != self.detail;
        if is_due && self.renewal.is_empty() && self.link.clock.monotonic() >= self.next_renewal {
            let subscription = self.subscription();
            self.renewal.spawn(subscription);
        }
        Ok(())
    }

    fn put_off_renewal(&mut self, error: &CallError) {
        self.next_renewal = self.link.clock.monotonic() + RENEWAL_PAUSE;
        tracing::warn!(tenant = %self.link.tenant, slice = self.number, error = %error,
            "the subscription could not be renewed; trying again in a minute");
    }

    /// Polls the successor where there is one, which takes the place of the running subscription with its first snapshot. One that
    /// gives none is dropped, and the running one is polled instead: no cycle is lost, and the two never go on side by side.
    async fn poll_newest(&mut self, live: &Live) -> anyhow::Result<Result<(), CallError>> {
        let Some(successor) = self.successor.take() else { return self.poll(live).await };
        match self.poll(&successor).await? {
            Ok(()) => {
                let interval = successor.interval;
                self.go_on_with(successor).await?;
                if interval != live.interval {
                    self.grid = PollGrid::new(self.link.clock.monotonic() + interval, interval);
                }
                Ok(Ok(()))
            }
            Err(error) => {
                self.put_off_renewal(&error);
                self.poll(live).await
            }
        }
    }

    async fn poll(&mut self, target: &Live) -> anyhow::Result<Result<(), CallError>> {
        self.note_poll().await?;
        self.grid.sent(self.link.clock.monotonic());
        let answer = match self.link.platform.snapshot(&target.id).await {
            Ok(answer) => answer,
            Err(error) => return Ok(Err(error)),
        };
        self.link.learn_offset(&answer);
        let received_at = answer.answered_at;
        let bytes = answer.value.bytes.len();
        let oversize = bytes > self.settings.borrow().sight.oversize_bytes;
        // Told when it begins, and answered by asking for less; a large roster stays large.
        if oversize && !std::mem::replace(&mut self.told_oversize, true) {
            self.detail = Detail::Needed;
            let notice = SliceNotice::Oversize { slice: self.number, bytes };
            self.link.inbox.send(Message::SliceNotice(notice)).await?;
        }
        self.told_oversize = oversize;
        let delta = match self.reader.read(&target.id, answer.value) {
            Ok(delta) => delta,
            Err(error) => return Ok(Err(error)),
        };
        for complaint in &delta.complaints {
            tracing::warn!(tenant = %self.link.tenant, slice = self.number, ?complaint, "a row of the snapshot is odd");
        }
        self.unreadable = delta.unreadable;
        let offset = self.link.offset();
        // The same snapshot again is no newer because the offset is known better meanwhile.
        // Nor may it be from after now because our clock was set back.
        let known = self.generated_at.filter(|_| delta.repeated).map(|known| known.min(received_at));
        let generated_at = known.unwrap_or_else(|| generated_at(offset, delta.generated_at, received_at));
        self.generated_at = Some(generated_at);
        self.link.note_subscription(SubscriptionNow {
            slice: self.number,
            agents: self.agents.len(),
            interval: target.interval,
            age: target.age,
            generated_at,
            bytes,
        });
        let sight = Sight {
            slice: self.number,
            generated_at,
            offset_us: offset.micros(),
            changed: delta.changed,
            agents: self.agents.clone(),
            absent: delta.absent,
            missing: delta.missing,
        };
        self.link.inbox.send(Message::Sight(sight)).await?;
        Ok(Ok(()))
    }

    async fn failed(&mut self, error: CallError) -> anyhow::Result<()> {
        self.failures += 1;
        tracing::warn!(tenant = %self.link.tenant, slice = self.number, error = %error, failures = self.failures,
            "no snapshot");
        self.link.readiness.degraded(&part(&self.link, self.number), format!("no snapshot: {error}"));
        if matches!(error.failure, Failure::NotFound) {
            // It is replaced at once.
            self.live = None;
            if !std::mem::replace(&mut self.gone, true) {
                return Ok(());
            }
        }
        let floor = error.failure.retry_after();
        let pause = AFTER_FAILURE.delay(self.failures, floor, &*self.link.random);
        self.link.clock.sleep(pause).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
