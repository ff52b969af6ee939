//! Keeps one tenant's live feed open, and hands what it tells to the keeper.
//!
//! There is never more than one connection. It is a connection of worth once it has said something: until then, and after a
//! loss, the pauses before the next one grow. What it says of agents is the keeper's business; nothing here decides what a
//! change is.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::link::Link;
use crate::clock::{BoxFuture, RealTime, SharedClock, Stopwatch};
use crate::domain::agents::merge::{Fed, SAME_CHANGE};
use crate::domain::ids::{AgentId, SkillId};
use crate::domain::time::{UtcMicros, duration_text};
use crate::engine::message::Message;
use crate::engine::operations::settings::{FeedSettings, TenantSettings};
use crate::platform::error::CallSite;
use crate::platform::retry::RetryCurve;
use crate::platform::{CallError, Command, Failure, Feed, FeedMessage};

/// Before the next connection: a second, doubling to half a minute (source: guide 000).
const BEFORE_NEXT: RetryCurve = RetryCurve { first: Duration::from_secs(1), cap: Duration::from_secs(30) };

/// The keeper is handed so many messages at once at most; it gets what has come without waiting for more.
const MOST_AT_ONCE: usize = 512;

/// How long the other side may take to end a connection that we end, in real time.
const CLOSE_REAL: Duration = Duration::from_secs(1);

/// While nothing is said the worker wakes this often, in real time, to know that it could have read.
const AWAKE_EVERY: Duration = Duration::from_secs(1);

/// Who has not been awake for longer than this, in real time, was stopped or asleep with the host.
const STOOD_STILL: Duration = Duration::from_millis(2_500);

/// A heartbeat may be so much later than the ones before it, in real time.
const LATE_BEAT: Duration = Duration::from_secs(2);

/// Why a connection is given up that went on after it had missed a heartbeat.
const LATE_HEARTBEAT: &str = "it stood still for longer than its heartbeats allow";

/// How a tenant's feed is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FeedState {
    /// Whether it is there.
    pub standing: FeedStanding,
    /// When it last said anything, heartbeats included.
    pub last_message_at: Option<UtcMicros>,
    /// Connections that were lost or could not be made, since the start of the daemon.
    pub losses: u64,
    /// What it has said since the start of the daemon.
    pub messages: u64,
    /// What of that made no sense.
    pub odd_messages: u64,
}

/// Whether a feed is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FeedStanding {
    /// There is to be none, for this reason.
    Off(&'static str),
    /// There is none, or one that has said nothing yet.
    Connecting {
        /// Since when.
        since: UtcMicros,
        /// Which attempt, from 1.
        attempt: u32,
    },
    /// It has said something.
    Live {
        /// Since when.
        since: UtcMicros,
    },
}

impl Default for FeedStanding {
    fn default() -> Self {
        Self::Off("not started yet")
    }
}

/// What a connection is made by: another value means another connection.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Wanted {
    settings: FeedSettings,
    skills: Vec<SkillId>,
    /// An answer is awaited so long, in real time.
    request_timeout_real: Duration,
}

impl Wanted {
    fn of(settings: &TenantSettings) -> Self {
        Self {
            settings: settings.feed.clone(),
            skills: settings.skills.clone(),
            request_timeout_real: settings.budget.request_timeout_real,
        }
    }
}

/// The worker of one tenant.
pub async fn run(
    link: Arc<Link>,
    mut settings: watch::Receiver<Arc<TenantSettings>>,
    soft: CancellationToken,
) -> anyhow::Result<()> {
    let mut worker = Worker {
        link,
        feed: None,
        told: Vec::new(),
        heartbeat_interval: None,
        failures: 0,
        refused: false,
        complained: false,
    };
    loop {
        let wanted = Wanted::of(&settings.borrow_and_update());
        let stopped = tokio::select! {
            () = soft.cancelled() => true,
            changed = settings.wait_for(|newer| Wanted::of(newer) != wanted) => {
                changed?;
                false
            }
            ended = worker.keep(&wanted) => return ended,
        };
        worker.close().await;
        if stopped {
            return Ok(());
        }
        worker.failures = 0;
    }
}

struct Worker {
    link: Arc<Link>,
    /// The one connection.
    feed: Option<Box<dyn Feed>>,
    /// What it has told of agents and the keeper has not got yet.
    told: Vec<(AgentId, Fed)>,
    /// The shortest time between two heartbeats so far, as learnt from this connection and those before it.
    heartbeat_interval: Option<Duration>,
    /// Attempts in a row of which nothing came.
    failures: u32,
    /// The last attempt ended because the platform did not take our token.
    refused: bool,
    /// Something on this connection made no sense, and the log has it.
    complained: bool,
}

impl Worker {
    /// Keeps a connection until the future is dropped; ends where the keeper is gone.
    async fn keep(&mut self, wanted: &Wanted) -> anyhow::Result<()> {
        if let Some(why) = self.why_off(wanted) {
            self.link.readiness.forget(&[self.part()]);
            self.link.note_feed(|state| state.standing = FeedStanding::Off(why));
            return std::future::pending().await;
        }
        let mut since = self.link.clock.now();
        loop {
            let attempt = self.failures + 1;
            self.link.note_feed(|state| state.standing = FeedStanding::Connecting { since, attempt });
            let error = match self.connect(&wanted.skills).await {
                Ok(()) => self.listen(wanted).await?,
                Err(error) => error,
            };
            self.close().await;
            if self.is_live() {
                since = self.link.clock.now();
            }
            self.wait_for_next(&error).await;
        }
    }

    fn why_off(&self, wanted: &Wanted) -> Option<&'static str> {
        if !wanted.settings.enabled {
            Some("the configuration has it switched off")
        } else if !self.link.platform.capabilities().has_feed {
            Some("the platform's dialect has none")
        } else if wanted.skills.is_empty() {
            Some("the tenant has no skills")
        } else {
            None
        }
    }

    fn part(&self) -> String {
        self.link.part("feed")
    }

    fn is_live(&self) -> bool {
        match self.link.feed().standing {
            FeedStanding::Live { .. } => true,
            FeedStanding::Off(_) | FeedStanding::Connecting { .. } => false,
        }
    }

    async fn connect(&mut self, skills: &[SkillId]) -> Result<(), CallError> {
        self.complained = false;
        let opened = self.link.platform.feed().await?;
        self.link.learn_offset(&opened);
        self.feed.insert(opened.value).tell(Command::Subscribe(skills)).await
    }

    /// Listens until the connection is lost.
    async fn listen(&mut self, wanted: &Wanted) -> anyhow::Result<CallError> {
        let clock = self.link.clock.clone();
        let mut heard_at = clock.monotonic();
        // A connection whose heartbeats were late is the last to go by that interval: the platform may have lengthened it.
        let mut wakefulness = Wakefulness::new(clock.clone(), self.heartbeat_interval);
        // When there was last nothing left to read: what is there to be read at once has come since then.
        let mut empty_at = heard_at;
        loop {
            let Some(feed) = &mut self.feed else { return Ok(lost("it is closed".to_owned())) };
            let at_once = if self.told.len() < MOST_AT_ONCE { feed.next().now_or_never() } else { None };
            let (message, waited) = match at_once {
                Some(message) => (message, clock.monotonic().saturating_sub(empty_at)),
                None if !self.told.is_empty() => {
                    if self.told.len() < MOST_AT_ONCE {
                        empty_at = clock.monotonic();
                    }
                    self.hand_over().await?;
                    // Nobody could listen meanwhile; what waited says for how long.
                    (wakefulness.awake, heard_at) = (Stopwatch::start(), clock.monotonic());
                    continue;
                }
                None => {
                    let silence = clock.monotonic().saturating_sub(heard_at);
                    let quiet = clock.sleep(wanted.settings.silent_after.saturating_sub(silence));
                    wakefulness.awake = Stopwatch::start();
                    (next_or_ping(&mut **feed, quiet, wanted, &mut wakefulness).await, Duration::ZERO)
                }
            };
            let stood_still = wakefulness.stood_still(&message, heard_at);
            let is_late = stood_still == Some(LATE_HEARTBEAT);
            self.heartbeat_interval = wakefulness.heartbeat_interval.filter(|_| !is_late);
            if let (Some(why), Ok(message)) = (stood_still, &message) {
                // What waited on its way says nothing of now, and nobody knows of when: the next connection has nothing that waited.
                tracing::debug!(tenant = %self.link.tenant, ?message, "passed over");
                self.hand_over().await?;
                return Ok(lost(why.to_owned()));
            }
            let taken = match message {
                Ok(FeedMessage::LineLives) => continue,
                Ok(message) => self.take(message, waited).await,
                Err(error) => Err(error),
            };
            if let Err(error) = taken {
                self.hand_over().await?;
                return Ok(error);
            }
            heard_at = clock.monotonic();
        }
    }

    async fn take(&mut self, message: FeedMessage, waited: Duration) -> Result<(), CallError> {
        self.note_life(matches!(message, FeedMessage::Odd(_)));
        match message {
            FeedMessage::AgentState { agent, state, lasted } => {
                let received_at = self.link.clock.now();
                let (began_at, connection) = (received_at - lasted, self.link.feed().losses);
                self.told.push((agent, Fed { state, received_at, began_at, waited, connection }));
            }
            FeedMessage::Heartbeat => {
                if let Some(feed) = &mut self.feed {
                    feed.tell(Command::Pong).await?;
                }
            }
            FeedMessage::Odd(words) => {
                if !std::mem::replace(&mut self.complained, true) {
                    tracing::warn!(tenant = %self.link.tenant, "the live feed says something odd, and perhaps more of it: {words}");
                }
            }
            // The figures of skills are read, not counted along: a count that misses one message is wrong for ever.
            FeedMessage::ContactQueued(_) | FeedMessage::ContactDequeued(_) | FeedMessage::LineLives => {}
        }
        Ok(())
    }

    /// It has said something.
    fn note_life(&mut self, odd: bool) {
        let now = self.link.clock.now();
        if !self.is_live() {
            (self.failures, self.refused) = (0, false);
            tracing::info!(tenant = %self.link.tenant, "the live feed is there");
            self.link.readiness.restored(&self.part());
            self.link.note_feed(|state| state.standing = FeedStanding::Live { since: now });
        }
        self.link.note_feed(|state| {
            state.last_message_at = Some(now);
            state.messages += 1;
            state.odd_messages += u64::from(odd);
        });
    }

    /// Nothing is lost where the future is dropped.
    async fn hand_over(&mut self) -> anyhow::Result<()> {
        if !self.told.is_empty() {
            let place = self.link.inbox.reserve().await?;
            place.send(Message::Fed(std::mem::take(&mut self.told)));
        }
        Ok(())
    }

    /// Says what came of the connection, and lets pass what has to pass before the next one.
    async fn wait_for_next(&mut self, error: &CallError) {
        self.failures = self.failures.saturating_add(1);
        self.link.note_feed(|state| state.losses += 1);
        let tenant = &self.link.tenant;
        if self.failures == 1 && self.is_live() {
            // The platform ends each feed with its token: that is no trouble while the next one comes.
            tracing::info!(%tenant, %error, "the live feed ended; the next one is opened");
        } else {
            tracing::warn!(%tenant, %error, failures = self.failures, "no live feed");
        }
        self.link.readiness.degraded(&self.part(), format!("no live feed, snapshots alone: {error}"));
        let refused = matches!(error.failure, Failure::Unauthorized);
        // The next attempt has another token.
        if refused && !std::mem::replace(&mut self.refused, refused) {
            return;
        }
        let now = self.link.clock.now();
        let floor = match &error.failure {
            Failure::CircuitOpen { until } => until.since(now),
            failure => failure.retry_after().unwrap_or_default(),
        };
        // Half of it always passes, so that a platform that drops us is not called in a tight loop.
        let pause = BEFORE_NEXT.ceiling(self.failures).mul_f64(f64::midpoint(1.0, self.link.random.unit()));
        self.link.clock.sleep(floor + pause).await;
    }

    /// Ends the connection, and lets the other side end it too: only then is there none, and the next one is never a second.
    async fn close(&mut self) {
        let Some(mut feed) = self.feed.take() else { return };
        let both_end = async {
            // One that is broken already cannot be told.
            if feed.tell(Command::Close).await.is_ok() {
                while feed.next().await.is_ok() {}
            }
        };
        tokio::select! {
            () = both_end => {}
            () = RealTime::sleep(CLOSE_REAL) => {}
        }
    }
}

/// Whether the worker, its host and the connection were there all the time: else messages may have waited, and claim to be of now.
struct Wakefulness {
    clock: SharedClock,
    /// Since the worker last knew that there was nothing to read, or was busy by itself.
    awake: Stopwatch,
    /// How long the host has slept.
    slept: Duration,
    /// When the last heartbeat came, by monotonic time.
    last_heartbeat: Option<Duration>,
    /// The shortest time between two heartbeats so far, but for those that came together.
    heartbeat_interval: Option<Duration>,
}

impl Wakefulness {
    fn new(clock: SharedClock, heartbeat_interval: Option<Duration>) -> Self {
        let slept = slept(&clock);
        Self { clock, awake: Stopwatch::start(), slept, last_heartbeat: None, heartbeat_interval }
    }

    /// Why a message that was just read may have waited, if so.
    fn stood_still(&mut self, message: &Result<FeedMessage, CallError>, heard_at: Duration) -> Option<&'static str> {
        let (slept, now) = (slept(&self.clock), self.clock.monotonic());
        let napped = slept.saturating_sub(std::mem::replace(&mut self.slept, slept));
        let silence = now.saturating_sub(heard_at);
        let late = self
            .heartbeat_interval
            .is_some_and(|interval| silence > interval + interval / 4 + self.clock.span_of_real(LATE_BEAT));
        if matches!(message, Ok(FeedMessage::Heartbeat)) {
            let since = self.last_heartbeat.replace(now).map(|last| now.saturating_sub(last));
            let apart = since.filter(|since| *since >= SAME_CHANGE);
            self.heartbeat_interval = apart.into_iter().chain(self.heartbeat_interval).min();
        }
        if napped >= self.clock.span_of_real(STOOD_STILL) {
            Some("the host slept while it was open")
        } else if self.awake.elapsed() >= STOOD_STILL {
            Some("the daemon was stopped while it was open")
        } else if late {
            Some(LATE_HEARTBEAT)
        } else {
            None
        }
    }
}

/// How long the host has slept, and more.
fn slept(clock: &SharedClock) -> Duration {
    clock.steady().map_or(Duration::ZERO, |steady| steady.saturating_sub(clock.monotonic()))
}

/// The next message; after `quiet` a ping, and what that brings within the time limit of an answer. That the line lives is no
/// life of the feed.
async fn next_or_ping(
    feed: &mut dyn Feed,
    mut quiet: BoxFuture<()>,
    wanted: &Wanted,
    wakefulness: &mut Wakefulness,
) -> Result<FeedMessage, CallError> {
    loop {
        tokio::select! {
            biased;
            message = feed.next() => return message,
            () = &mut quiet => break,
            () = RealTime::sleep(AWAKE_EVERY) => wakefulness.awake = Stopwatch::start(),
        }
    }
    feed.tell(Command::Ping).await?;
    let mut answered = false;
    let mut limit = RealTime::sleep(wanted.request_timeout_real);
    loop {
        tokio::select! {
            biased;
            message = feed.next() => match message {
                Ok(FeedMessage::LineLives) => answered = true,
                other => return other,
            },
            () = RealTime::sleep(AWAKE_EVERY) => wakefulness.awake = Stopwatch::start(),
            () = &mut limit => {
                let silent = duration_text(wanted.settings.silent_after);
                let ping = if answered { "although the line answers a ping" } else { "and no ping is answered" };
                return Err(lost(format!("it has said nothing for {silent}, {ping}")));
            }
        }
    }
}

fn lost(reason: String) -> CallError {
    let site = CallSite { purpose: "read the feed", method: "", path: String::new() };
    CallError { site, failure: Failure::Broken { reason }, asked_at: None }
}

#[cfg(test)]
mod tests;
