//! Keeps one tenant's live feed open, and passes its messages to the keeper.
//!
//! There is never more than one connection. A connection counts as successful once it has sent a message; until then,
//! and after a loss, the pauses between attempts grow. The keeper decides what the observations mean.

mod state;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use self::state::{FeedConnection, FeedState};
use super::link::Link;
use crate::clock::{BoxFuture, RealTime, SharedClock, Stopwatch};
use crate::domain::agents::merge::{FeedObservation, SAME_CHANGE_WINDOW};
use crate::domain::ids::{AgentId, SkillId};
use crate::domain::time::duration_text;
use crate::engine::keeper_message::KeeperMessage;
use crate::engine::operations::settings::{FeedSettings, TenantSettings};
use crate::platform::error::CallSite;
use crate::platform::retry::RetryBackoff;
use crate::platform::{CallError, Failure, Feed, FeedCommand, FeedMessage};

/// The pauses before the next connection: one second, doubling to half a minute (source: guide 000).
const RECONNECT_CURVE: RetryBackoff = RetryBackoff { first: Duration::from_secs(1), cap: Duration::from_secs(30) };

/// The most observations passed to the keeper at once; it gets what has arrived without waiting for more.
const MAX_BATCH: usize = 512;

/// How long the platform may take to end a connection that we close, in real time.
const CLOSE_TIMEOUT_REAL: Duration = Duration::from_secs(1);

/// How often the worker wakes while the feed is silent, in real time, so that it knows it could have read.
const WAKE_INTERVAL_REAL: Duration = Duration::from_secs(1);

/// A worker that was not awake for longer than this, in real time, was stopped or asleep with the host.
const STALL_LIMIT_REAL: Duration = Duration::from_millis(2_500);

/// How much later than the previous ones a heartbeat may arrive, in real time.
const HEARTBEAT_TOLERANCE_REAL: Duration = Duration::from_secs(2);

/// Why a connection that continued after a late heartbeat is closed.
const LATE_HEARTBEAT_REASON: &str = "it stood still for longer than its heartbeats allow";

/// The settings that a connection depends on; a change requires a new connection.
#[derive(Clone, PartialEq, Eq, Debug)]
struct ConnectionSettings {
    settings: FeedSettings,
    skills: Vec<SkillId>,
    /// How long to wait for an answer, in real time.
    request_timeout_real: Duration,
}

impl ConnectionSettings {
    fn of(settings: &TenantSettings) -> Self {
        Self {
            settings: settings.feed.clone(),
            skills: settings.skills.clone(),
            request_timeout_real: settings.budget.request_timeout_real,
        }
    }
}

/// Runs the worker of one tenant until `soft` is cancelled.
pub async fn run(
    link: Arc<Link>,
    mut settings: watch::Receiver<Arc<TenantSettings>>,
    soft: CancellationToken,
) -> anyhow::Result<()> {
    let mut worker = FeedWorker {
        link,
        feed: None,
        received: Vec::new(),
        heartbeat_interval: None,
        failures: 0,
        token_refused: false,
        logged_invalid: false,
    };
    loop {
        let required = ConnectionSettings::of(&settings.borrow_and_update());
        let stopped = tokio::select! {
            () = soft.cancelled() => true,
            changed = settings.wait_for(|newer| ConnectionSettings::of(newer) != required) => {
                changed?;
                false
            }
            ended = worker.maintain(&required) => return ended,
        };
        worker.close().await;
        if stopped {
            return Ok(());
        }
        worker.failures = 0;
    }
}

struct FeedWorker {
    link: Arc<Link>,
    /// The connection, if there is one.
    feed: Option<Box<dyn Feed>>,
    /// Observations of agents not yet passed to the keeper.
    received: Vec<(AgentId, FeedObservation)>,
    /// The shortest time between two heartbeats so far, learnt from this connection and earlier ones.
    heartbeat_interval: Option<Duration>,
    /// Failed attempts in a row.
    failures: u32,
    /// The last attempt ended because the platform rejected our token.
    token_refused: bool,
    /// An invalid message on this connection was already logged.
    logged_invalid: bool,
}

impl FeedWorker {
    /// Keeps a connection until the future is dropped; returns only if the keeper has gone.
    async fn maintain(&mut self, required: &ConnectionSettings) -> anyhow::Result<()> {
        if let Some(reason) = self.off_reason(required) {
            self.link.readiness.remove(&[self.part()]);
            self.link.update_feed(|state| state.connection = FeedConnection::Off(reason));
            return std::future::pending().await;
        }
        let mut since = self.link.clock.now();
        loop {
            let attempt = self.failures + 1;
            self.link.update_feed(|state| state.connection = FeedConnection::Connecting { since, attempt });
            let error = match self.connect(&required.skills).await {
                Ok(()) => self.receive(required).await?,
                Err(error) => error,
            };
            self.close().await;
            if self.is_live() {
                since = self.link.clock.now();
            }
            self.wait_to_reconnect(&error).await;
        }
    }

    fn off_reason(&self, required: &ConnectionSettings) -> Option<&'static str> {
        if !required.settings.enabled {
            Some("the configuration has it switched off")
        } else if !self.link.platform.capabilities().has_feed {
            Some("the platform's dialect has none")
        } else if required.skills.is_empty() {
            Some("the tenant has no skills")
        } else {
            None
        }
    }

    fn part(&self) -> String {
        self.link.part("feed")
    }

    fn is_live(&self) -> bool {
        match self.link.feed().connection {
            FeedConnection::Live { .. } => true,
            FeedConnection::Off(_) | FeedConnection::Connecting { .. } => false,
        }
    }

    async fn connect(&mut self, skills: &[SkillId]) -> Result<(), CallError> {
        self.logged_invalid = false;
        let opened = self.link.platform.feed().await?;
        self.link.learn_offset(&opened);
        self.feed.insert(opened.value).send(FeedCommand::Subscribe(skills)).await
    }

    /// Receives messages until the connection is lost.
    async fn receive(&mut self, required: &ConnectionSettings) -> anyhow::Result<CallError> {
        let clock = self.link.clock.clone();
        let mut last_message_at = clock.monotonic();
        // After a late heartbeat the interval is forgotten for the next connection: the platform may have lengthened
        // it.
        let mut stall_detector = StallDetector::new(clock.clone(), self.heartbeat_interval);
        // When there was last nothing to read: a message that is ready now has arrived since then.
        let mut empty_at = last_message_at;
        loop {
            let Some(feed) = &mut self.feed else { return Ok(connection_lost("it is closed".to_owned())) };
            let at_once = if self.received.len() < MAX_BATCH { feed.next().now_or_never() } else { None };
            let (message, waited) = match at_once {
                Some(message) => (message, clock.monotonic().saturating_sub(empty_at)),
                None if !self.received.is_empty() => {
                    if self.received.len() < MAX_BATCH {
                        empty_at = clock.monotonic();
                    }
                    self.send_to_keeper().await?;
                    // Nothing could be read meanwhile; `waited` says how long messages waited.
                    (stall_detector.last_awake, last_message_at) = (Stopwatch::start(), clock.monotonic());
                    continue;
                }
                None => {
                    let silence = clock.monotonic().saturating_sub(last_message_at);
                    let quiet = clock.sleep(required.settings.silent_after.saturating_sub(silence));
                    stall_detector.last_awake = Stopwatch::start();
                    (next_message_or_ping(&mut **feed, quiet, required, &mut stall_detector).await, Duration::ZERO)
                }
            };
            let stall_reason = stall_detector.stall_reason(&message, last_message_at);
            let is_late = stall_reason == Some(LATE_HEARTBEAT_REASON);
            self.heartbeat_interval = stall_detector.heartbeat_interval.filter(|_| !is_late);
            if let (Some(why), Ok(message)) = (stall_reason, &message) {
                // A message that waited does not tell the present, and its age is unknown. A new connection has no such
                // messages.
                tracing::debug!(tenant = %self.link.tenant, ?message, "passed over");
                self.send_to_keeper().await?;
                return Ok(connection_lost(why.to_owned()));
            }
            let accepted = match message {
                Ok(FeedMessage::Activity) => continue,
                Ok(message) => self.accept_message(message, waited).await,
                Err(error) => Err(error),
            };
            if let Err(error) = accepted {
                self.send_to_keeper().await?;
                return Ok(error);
            }
            last_message_at = clock.monotonic();
        }
    }

    async fn accept_message(&mut self, message: FeedMessage, waited: Duration) -> Result<(), CallError> {
        self.record_message(matches!(message, FeedMessage::Unreadable(_)));
        match message {
            FeedMessage::AgentState { agent, state, elapsed: lasted } => {
                let received_at = self.link.clock.now();
                let (began_at, connection) = (received_at - lasted, self.link.feed().losses);
                self.received.push((
                    agent,
                    FeedObservation { state, received_at, estimated_start: began_at, buffered_for: waited, connection },
                ));
            }
            FeedMessage::Heartbeat => {
                if let Some(feed) = &mut self.feed {
                    feed.send(FeedCommand::Pong).await?;
                }
            }
            FeedMessage::Unreadable(words) => {
                if !std::mem::replace(&mut self.logged_invalid, true) {
                    tracing::warn!(tenant = %self.link.tenant, "the live feed says something odd, and perhaps more of it: {words}");
                }
            }
            // The figures of skills are read and not derived from messages: a count that misses one message stays
            // wrong.
            FeedMessage::ContactQueued(_) | FeedMessage::ContactDequeued(_) | FeedMessage::Activity => {}
        }
        Ok(())
    }

    /// Records that a message arrived.
    fn record_message(&mut self, odd: bool) {
        let now = self.link.clock.now();
        if !self.is_live() {
            (self.failures, self.token_refused) = (0, false);
            tracing::info!(tenant = %self.link.tenant, "the live feed is there");
            self.link.readiness.restored(&self.part());
            self.link.update_feed(|state| state.connection = FeedConnection::Live { since: now });
        }
        self.link.update_feed(|state| {
            state.last_message_at = Some(now);
            state.messages += 1;
            state.invalid_messages += u64::from(odd);
        });
    }

    /// Passes the observations to the keeper. Nothing is lost if the future is dropped.
    async fn send_to_keeper(&mut self) -> anyhow::Result<()> {
        if !self.received.is_empty() {
            let permit = self.link.inbox.reserve().await?;
            permit.send(KeeperMessage::FeedObservations(std::mem::take(&mut self.received)));
        }
        Ok(())
    }

    /// Reports the end of the connection, and waits before the next one.
    async fn wait_to_reconnect(&mut self, error: &CallError) {
        self.failures = self.failures.saturating_add(1);
        self.link.update_feed(|state| state.losses += 1);
        let tenant = &self.link.tenant;
        if self.failures == 1 && self.is_live() {
            // The platform ends each feed with its token; this is normal as long as the next connection succeeds.
            tracing::info!(%tenant, %error, "the live feed ended; the next one is opened");
        } else {
            tracing::warn!(%tenant, %error, failures = self.failures, "no live feed");
        }
        self.link.readiness.degraded(&self.part(), format!("no live feed, snapshots alone: {error}"));
        let refused = matches!(error.failure, Failure::Unauthorized);
        // The next attempt uses another token.
        if refused && !std::mem::replace(&mut self.token_refused, refused) {
            return;
        }
        let now = self.link.clock.now();
        let floor = match &error.failure {
            Failure::CircuitOpen { until } => until.since(now),
            failure => failure.retry_after().unwrap_or_default(),
        };
        // At least half of the pause is kept, so that a platform that drops us is not called in a tight loop.
        let pause = RECONNECT_CURVE.max_delay(self.failures).mul_f64(f64::midpoint(1.0, self.link.random.unit()));
        self.link.clock.sleep(floor + pause).await;
    }

    /// Closes the connection and waits for the platform to end it too, so that there are never two connections.
    async fn close(&mut self) {
        let Some(mut feed) = self.feed.take() else { return };
        let both_end = async {
            // A broken connection cannot be closed in an orderly way.
            if feed.send(FeedCommand::Close).await.is_ok() {
                while feed.next().await.is_ok() {}
            }
        };
        tokio::select! {
            () = both_end => {}
            () = RealTime::sleep(CLOSE_TIMEOUT_REAL) => {}
        }
    }
}

/// Detects whether the worker, its host or the connection was stopped. Messages may then have waited although they
/// claim to be current.
struct StallDetector {
    clock: SharedClock,
    /// The time since the worker last knew that there was nothing to read, or was busy itself.
    last_awake: Stopwatch,
    /// How long the host has slept.
    host_sleep: Duration,
    /// When the last heartbeat arrived, in monotonic time.
    last_heartbeat: Option<Duration>,
    /// The shortest time between two heartbeats so far, except those that arrived together.
    heartbeat_interval: Option<Duration>,
}

impl StallDetector {
    fn new(clock: SharedClock, heartbeat_interval: Option<Duration>) -> Self {
        let host_sleep = total_host_sleep(&clock);
        Self { clock, last_awake: Stopwatch::start(), host_sleep, last_heartbeat: None, heartbeat_interval }
    }

    /// Returns why a message that was just read may have waited; `None` if it did not.
    fn stall_reason(
        &mut self,
        message: &Result<FeedMessage, CallError>,
        last_message_at: Duration,
    ) -> Option<&'static str> {
        let (slept, now) = (total_host_sleep(&self.clock), self.clock.monotonic());
        let newly_slept = slept.saturating_sub(std::mem::replace(&mut self.host_sleep, slept));
        let silence = now.saturating_sub(last_message_at);
        let is_late = self.heartbeat_interval.is_some_and(|interval| {
            silence > interval + interval / 4 + self.clock.scale_real(HEARTBEAT_TOLERANCE_REAL)
        });
        if matches!(message, Ok(FeedMessage::Heartbeat)) {
            let since = self.last_heartbeat.replace(now).map(|last| now.saturating_sub(last));
            let apart = since.filter(|since| *since >= SAME_CHANGE_WINDOW);
            self.heartbeat_interval = apart.into_iter().chain(self.heartbeat_interval).min();
        }
        if newly_slept >= self.clock.scale_real(STALL_LIMIT_REAL) {
            Some("the host slept while it was open")
        } else if self.last_awake.elapsed() >= STALL_LIMIT_REAL {
            Some("the daemon was stopped while it was open")
        } else if is_late {
            Some(LATE_HEARTBEAT_REASON)
        } else {
            None
        }
    }
}

/// Returns how long the host has slept, plus a constant.
fn total_host_sleep(clock: &SharedClock) -> Duration {
    clock.steady().map_or(Duration::ZERO, |steady| steady.saturating_sub(clock.monotonic()))
}

/// Returns the next message. After `quiet` it sends a ping and waits for a message within the time limit of an answer.
/// An answer to the ping alone does not count as a sign of life of the feed.
async fn next_message_or_ping(
    feed: &mut dyn Feed,
    mut quiet: BoxFuture<()>,
    required: &ConnectionSettings,
    stall_detector: &mut StallDetector,
) -> Result<FeedMessage, CallError> {
    loop {
        tokio::select! {
            biased;
            message = feed.next() => return message,
            () = &mut quiet => break,
            () = RealTime::sleep(WAKE_INTERVAL_REAL) => stall_detector.last_awake = Stopwatch::start(),
        }
    }
    feed.send(FeedCommand::Ping).await?;
    let mut answered = false;
    let mut limit = RealTime::sleep(required.request_timeout_real);
    loop {
        tokio::select! {
            biased;
            message = feed.next() => match message {
                Ok(FeedMessage::Activity) => answered = true,
                other => return other,
            },
            () = RealTime::sleep(WAKE_INTERVAL_REAL) => stall_detector.last_awake = Stopwatch::start(),
            () = &mut limit => {
                let silent = duration_text(required.settings.silent_after);
                let ping = if answered { "although the line answers a ping" } else { "and no ping is answered" };
                return Err(connection_lost(format!("it has said nothing for {silent}, {ping}")));
            }
        }
    }
}

fn connection_lost(reason: String) -> CallError {
    let site = CallSite { purpose: "read the feed", method: "", path: String::new() };
    CallError { site, failure: Failure::ConnectionBroken { reason }, sent_at: None }
}

#[cfg(test)]
mod tests;
