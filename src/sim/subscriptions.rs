//! Real-time subscriptions: their agents, interval and expiry, and the last snapshot of each.
//!
//! Snapshots are made on the grid `creation + n × interval` and not on request, as guide 004 describes.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Bytes;

use super::contacts::Skill;
use super::world::{AgentSnapshot, Identity, World};
use crate::clock::{Random, SystemRandom};
use crate::domain::ids::SubscriptionId;
use crate::domain::time::UtcMicros;

/// The most subscriptions of a tenant at once.
const MAX_SUBSCRIPTIONS: usize = 1_000;

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
    /// All columns, in the order of the rows.
    pub(super) const ALL: [Self; 7] = [
        Self::UserId,
        Self::UserName,
        Self::AgentState,
        Self::QueueName,
        Self::WrapUpCode,
        Self::StatusChangedTimestamp,
        Self::TeamName,
    ];

    /// Returns the column's name on the wire.
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

/// What a subscription shows, fixed at its creation.
#[derive(Clone, Debug)]
pub(super) struct SubscriptionView {
    pub(super) interval: Duration,
    /// The agents' positions in the roster.
    pub(super) positions: Vec<usize>,
    pub(super) metrics: Vec<Metric>,
}

/// What the agents of one subscription were doing at one instant.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) id: SubscriptionId,
    pub(super) generated: UtcMicros,
    pub(super) metrics: Vec<Metric>,
    pub(super) agents: Vec<AgentSnapshot>,
    pub(super) roster: Arc<[Identity]>,
    pub(super) skills: Arc<[Skill]>,
    /// The bytes of the answer, made on the first request.
    pub(super) rendered: OnceLock<Bytes>,
}

#[derive(Debug)]
struct Subscription {
    id: SubscriptionId,
    view: SubscriptionView,
    created: UtcMicros,
    snapshot: Arc<Snapshot>,
    /// The instant before which, less the tolerance, the next poll is too early.
    next_poll: UtcMicros,
}

/// The reason why a poll gets no snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PollError {
    /// The subscription expired or never existed: 404.
    Unknown,
    /// The poll came sooner than the interval: 429, with the time to wait.
    TooFast(Duration),
}

/// The subscriptions of one tenant.
#[derive(Debug)]
pub(super) struct Subscriptions {
    lifetime: Duration,
    /// How much too early a poll may come in real time, however fast the clock, since arrival times jitter.
    tolerance: Duration,
    entries: Vec<Subscription>,
}

impl Subscriptions {
    /// Creates an empty set; each subscription will live for `lifetime` from its creation.
    pub(super) fn new(lifetime: Duration, tolerance: Duration) -> Self {
        Self { lifetime, tolerance, entries: Vec::new() }
    }

    /// Creates a subscription and its first snapshot. Returns `None` if the tenant has too many.
    pub(super) fn create(&mut self, view: SubscriptionView, world: &World) -> Option<SubscriptionId> {
        if self.entries.len() >= MAX_SUBSCRIPTIONS {
            return None;
        }
        let id = SubscriptionId::from(format!("sub_{}", SystemRandom.random_id()));
        let created = world.current_time();
        let snapshot = take_snapshot(&id, &view, created, world);
        self.entries.push(Subscription { id: id.clone(), view, created, snapshot, next_poll: created });
        Some(id)
    }

    /// Advances the world to `now`, making the last snapshot due by then for each subscription on the way.
    pub(super) fn advance(&mut self, world: &mut World, now: UtcMicros) {
        let lifetime = self.lifetime;
        self.entries.retain(|subscription| now.since(subscription.created) < lifetime);
        let mut due: Vec<(UtcMicros, &mut Subscription)> = self
            .entries
            .iter_mut()
            .map(|subscription| (subscription.last_due(now), subscription))
            .filter(|(at, subscription)| *at > subscription.snapshot.generated)
            .collect();
        due.sort_by_key(|(at, _)| *at);
        for (at, subscription) in due {
            world.advance(at);
            subscription.snapshot = take_snapshot(&subscription.id, &subscription.view, at, world);
        }
        world.advance(now);
    }

    /// Returns the snapshot of a subscription. A late poll does not make the next one too early, up to one interval.
    pub(super) fn poll(&mut self, id: &str, now: UtcMicros) -> Result<Arc<Snapshot>, PollError> {
        let tolerance = self.tolerance;
        let subscription =
            self.entries.iter_mut().find(|subscription| subscription.id.as_str() == id).ok_or(PollError::Unknown)?;
        let interval = subscription.view.interval;
        if now + tolerance + interval / 10 < subscription.next_poll {
            return Err(PollError::TooFast(subscription.next_poll.since(now)));
        }
        subscription.next_poll = subscription.next_poll.max(now - interval) + interval;
        Ok(subscription.snapshot.clone())
    }

    /// Expires every subscription.
    pub(super) fn expire_all(&mut self) {
        self.entries.clear();
    }
}

impl Subscription {
    /// Returns the latest instant of the grid that is not after `now`.
    fn last_due(&self, now: UtcMicros) -> UtcMicros {
        let interval = self.view.interval.as_micros().max(1);
        let whole = now.since(self.created).as_micros() / interval * interval;
        self.created + Duration::from_micros(u64::try_from(whole).unwrap_or(u64::MAX))
    }
}

fn take_snapshot(id: &SubscriptionId, view: &SubscriptionView, generated: UtcMicros, world: &World) -> Arc<Snapshot> {
    Arc::new(Snapshot {
        id: id.clone(),
        generated,
        metrics: view.metrics.clone(),
        agents: world.agent_snapshots(&view.positions),
        roster: world.roster().clone(),
        skills: world.skills().clone(),
        rendered: OnceLock::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::agent::BehaviourSettings;

    #[test]
    fn the_number_of_subscriptions_is_limited_until_some_die() {
        let day = Duration::from_secs(24 * 3600);
        let mut world = World::new(
            Vec::new(),
            Arc::from([]),
            &"acme".into(),
            1,
            BehaviourSettings { reversal_share: 0.0, own_choice_wins: false },
            UtcMicros::EPOCH,
        );
        let mut subscriptions = Subscriptions::new(day, Duration::ZERO);
        let view = SubscriptionView {
            interval: Duration::from_secs(10),
            positions: Vec::new(),
            metrics: Metric::ALL.to_vec(),
        };
        for _ in 0..MAX_SUBSCRIPTIONS {
            assert!(subscriptions.create(view.clone(), &world).is_some());
        }
        assert!(subscriptions.create(view.clone(), &world).is_none());
        subscriptions.advance(&mut world, UtcMicros::EPOCH + day);
        assert!(subscriptions.create(view, &world).is_some());
    }
}
