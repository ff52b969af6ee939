//! Real-time subscriptions: which agents, how often, until when, and the snapshot that was last made for each.
//!
//! Snapshots are made on the grid `creation + n × interval` and not when they are asked for, as guide 004 describes it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Bytes;

use super::contacts::Skill;
use super::world::{Identity, Look, World};
use crate::clock::{Random, SystemRandom};
use crate::domain::ids::SubscriptionId;
use crate::domain::time::UtcMicros;

/// The most subscriptions that a tenant may hold at once.
const MOST_SUBSCRIPTIONS: usize = 1_000;

/// A column of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Metric {
    UserId,
    UserName,
    AgentState,
    QueueName,
    WrapUpCode,
    StatusChangedTimestamp,
    TeamName,
}

impl Metric {
    /// Every column, in the order in which rows show them.
    pub(super) const ALL: [Self; 7] = [
        Self::UserId,
        Self::UserName,
        Self::AgentState,
        Self::QueueName,
        Self::WrapUpCode,
        Self::StatusChangedTimestamp,
        Self::TeamName,
    ];

    /// The column's name on the wire.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::UserId => "userId",
            Self::UserName => "userName",
            Self::AgentState => "agentState",
            Self::QueueName => "queueName",
            Self::WrapUpCode => "wrapUpCode",
            Self::StatusChangedTimestamp => "statusChangedTimestamp",
            Self::TeamName => "teamName",
        }
    }
}

/// What a subscription shows, fixed when it is made.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) interval: Duration,
    /// Where the agents stand in the roster.
    pub(super) positions: Vec<usize>,
    pub(super) metrics: Vec<Metric>,
}

/// What the agents of one subscription were doing at one instant.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) id: SubscriptionId,
    pub(super) generated: UtcMicros,
    pub(super) metrics: Vec<Metric>,
    pub(super) looks: Vec<Look>,
    pub(super) roster: Arc<[Identity]>,
    pub(super) skills: Arc<[Skill]>,
    /// The answer's bytes, made when they are first asked for.
    pub(super) rendered: OnceLock<Bytes>,
}

#[derive(Debug)]
struct Subscription {
    id: SubscriptionId,
    view: View,
    created: UtcMicros,
    snapshot: Arc<Snapshot>,
    /// Before this instant, less the tolerance, the next poll is too early.
    next_poll: UtcMicros,
}

/// Why a poll gets no snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PollRefusal {
    /// Expired, or never made: 404.
    Unknown,
    /// Polled faster than the interval: 429, and how long to wait.
    TooFast(Duration),
}

/// The subscriptions of one tenant.
#[derive(Debug)]
pub(super) struct Subscriptions {
    lifetime: Duration,
    /// How much too early a poll may be: arrival jitters, in real time, however fast the clock.
    tolerance: Duration,
    list: Vec<Subscription>,
}

impl Subscriptions {
    /// None yet; each will live for `lifetime` from its creation.
    pub(super) fn new(lifetime: Duration, tolerance: Duration) -> Self {
        Self { lifetime, tolerance, list: Vec::new() }
    }

    /// Makes a subscription and its first snapshot; `None` when the tenant has too many.
    pub(super) fn create(&mut self, view: View, world: &World) -> Option<SubscriptionId> {
        if self.list.len() >= MOST_SUBSCRIPTIONS {
            return None;
        }
        let id = SubscriptionId::from(format!("sub_{}", SystemRandom.opaque_id()));
        let created = world.reached();
        let snapshot = capture(&id, &view, created, world);
        self.list.push(Subscription { id: id.clone(), view, created, snapshot, next_poll: created });
        Some(id)
    }

    /// Lets the world pass to `now`, making on the way the last snapshot that each subscription is due by then.
    pub(super) fn advance(&mut self, world: &mut World, now: UtcMicros) {
        let lifetime = self.lifetime;
        self.list.retain(|subscription| now.since(subscription.created) < lifetime);
        let mut due: Vec<(UtcMicros, &mut Subscription)> = self
            .list
            .iter_mut()
            .map(|subscription| (subscription.last_due(now), subscription))
            .filter(|(at, subscription)| *at > subscription.snapshot.generated)
            .collect();
        due.sort_by_key(|(at, _)| *at);
        for (at, subscription) in due {
            world.step(at);
            subscription.snapshot = capture(&subscription.id, &subscription.view, at, world);
        }
        world.step(now);
    }

    /// The snapshot of a subscription. A poll that came late does not make the next one early, up to one interval.
    pub(super) fn poll(&mut self, id: &str, now: UtcMicros) -> Result<Arc<Snapshot>, PollRefusal> {
        let tolerance = self.tolerance;
        let subscription =
            self.list.iter_mut().find(|subscription| subscription.id.as_str() == id).ok_or(PollRefusal::Unknown)?;
        let interval = subscription.view.interval;
        if now + tolerance + interval / 10 < subscription.next_poll {
            return Err(PollRefusal::TooFast(subscription.next_poll.since(now)));
        }
        subscription.next_poll = subscription.next_poll.max(now - interval) + interval;
        Ok(subscription.snapshot.clone())
    }

    /// Forgets every subscription.
    pub(super) fn expire_all(&mut self) {
        self.list.clear();
    }
}

impl Subscription {
    /// The latest instant of the grid that is not after `now`.
    fn last_due(&self, now: UtcMicros) -> UtcMicros {
        let interval = self.view.interval.as_micros().max(1);
        let whole = now.since(self.created).as_micros() / interval * interval;
        self.created + Duration::from_micros(u64::try_from(whole).unwrap_or(u64::MAX))
    }
}

fn capture(id: &SubscriptionId, view: &View, generated: UtcMicros, world: &World) -> Arc<Snapshot> {
    Arc::new(Snapshot {
        id: id.clone(),
        generated,
        metrics: view.metrics.clone(),
        looks: world.look(&view.positions),
        roster: world.roster().clone(),
        skills: world.skills().clone(),
        rendered: OnceLock::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::agent::Habits;

    #[test]
    fn the_number_of_subscriptions_is_limited_until_some_die() {
        let day = Duration::from_secs(24 * 3600);
        let mut world =
            World::new(Vec::new(), Arc::from([]), &"acme".into(), 1, Habits { reversal: 0.0 }, UtcMicros::EPOCH);
        let mut subscriptions = Subscriptions::new(day, Duration::ZERO);
        let view = View { interval: Duration::from_secs(10), positions: Vec::new(), metrics: Metric::ALL.to_vec() };
        for _ in 0..MOST_SUBSCRIPTIONS {
            assert!(subscriptions.create(view.clone(), &world).is_some());
        }
        assert!(subscriptions.create(view.clone(), &world).is_none());
        subscriptions.advance(&mut world, UtcMicros::EPOCH + day);
        assert!(subscriptions.create(view, &world).is_some());
    }
}
