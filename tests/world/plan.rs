//! What goes wrong in a world, and when: drawn from the seed, printed as a list, and shortened by the shrinker.

use std::fmt;
use std::io::ErrorKind;
use std::time::Duration;

use fastrand::Rng;

use crate::disk::DiskHealth;
use crate::host::Stillness;
use crate::network::Route;

/// Trouble begins after this, so that there is something to trouble.
const FAULTS_FROM: Duration = Duration::from_secs(60);

/// Trouble begins before this; the longest lasts two minutes.
const FAULTS_UNTIL: Duration = Duration::from_secs(8 * 60);

/// After this nothing is wrong any more.
pub const CALM_AFTER: Duration = Duration::from_secs(11 * 60);

/// By then everything must have settled: ten minutes after the last fault.
pub const END: Duration = Duration::from_secs(21 * 60);

/// In a crowded world the rules have spent their share of the budget by then.
const CROWDED_AFTER: Duration = Duration::from_secs(32);

/// For so long after the break of all begins nothing else happens in a crowded world.
const CROWDED_FOR: Duration = Duration::from_secs(130);

/// How a webhook receiver fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiverMode {
    Accept,
    Refuse(u16),
    /// Takes it and never answers.
    Silent,
    /// Takes it and breaks the connection.
    Disconnect,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum PlannedEvent {
    /// A person asks for a state.
    RequestState {
        agent: usize,
        to: &'static str,
    },
    /// A client sends the same request again, under the same idempotency key: the first time or a later one.
    RequestWithKey {
        agent: usize,
        to: &'static str,
        key: u64,
    },
    /// A supervisor previews and starts a change of several agents.
    ChangeSet {
        agents: Vec<usize>,
        to: &'static str,
    },
    /// A supervisor undoes the last change set.
    Undo,
    /// An analyst adds a rule, or removes the one added before.
    EditRule,
    /// A supervisor excuses an agent for a while.
    ApproveException {
        agent: usize,
        span: Duration,
    },
    /// An analyst imports a schedule with other breaks.
    Import(Vec<Break>),
    /// An operator edits the configuration and reloads it.
    Reload,
    /// A fault of the platform, in the simulator's own short form.
    Platform(String),
    /// The platform's faults end.
    ClearPlatformFaults,
    /// The daemon's wall clock is set by this number of seconds.
    SetClock(i64),
    /// Clocks drift, in millionths: the daemon's, the platform's.
    Drift(i64, i64),
    /// The daemon's host stands still.
    PauseHost(Stillness, Duration),
    BreakConnections(Option<Route>),
    Stall(Route, Duration),
    Refuse(Route, Duration),
    /// Pieces take up to so long from now on, for a while.
    Slow(Route, Duration, Duration),
    Disk(DiskHealth, Duration),
    Receiver(ReceiverMode, Duration),
    /// The daemon is killed, and started again after a while.
    Kill(Duration),
    /// The daemon is stopped in order, and started again after a while.
    Restart(Duration),
}

impl PlannedEvent {
    /// The kind, for the count of what was covered.
    pub fn kind(&self) -> String {
        match self {
            Self::RequestState { .. } => "ask".to_owned(),
            Self::RequestWithKey { .. } => "ask under a key".to_owned(),
            Self::ChangeSet { .. } => "change set".to_owned(),
            Self::Undo => "undo".to_owned(),
            Self::EditRule => "rule edited".to_owned(),
            Self::ApproveException { .. } => "exception".to_owned(),
            Self::Import(_) => "import".to_owned(),
            Self::Reload => "reload".to_owned(),
            Self::Platform(text) => format!("platform {}", text.split(',').next().unwrap_or(text)),
            Self::ClearPlatformFaults => "platform heals".to_owned(),
            Self::SetClock(_) => "clock set".to_owned(),
            Self::Drift(..) => "drift".to_owned(),
            Self::PauseHost(Stillness::Asleep, _) => "host asleep".to_owned(),
            Self::PauseHost(Stillness::Stopped, _) => "process stopped".to_owned(),
            Self::BreakConnections(_) => "network cut".to_owned(),
            Self::Stall(..) => "network stalled".to_owned(),
            Self::Refuse(..) => "network refused".to_owned(),
            Self::Slow(..) => "network slow".to_owned(),
            Self::Disk(DiskHealth::Failing(kind), _) => format!("disk {kind}"),
            Self::Disk(..) => "disk slow".to_owned(),
            Self::Receiver(conduct, _) => format!("receiver {conduct:?}"),
            Self::Kill(_) => "kill".to_owned(),
            Self::Restart(_) => "restart".to_owned(),
        }
    }
}

impl PlannedEvent {
    /// Whether it is somebody's everyday work, and no trouble.
    pub fn is_work(&self) -> bool {
        match self {
            Self::RequestState { .. }
            | Self::RequestWithKey { .. }
            | Self::ChangeSet { .. }
            | Self::Undo
            | Self::EditRule
            | Self::ApproveException { .. }
            | Self::Import(_)
            | Self::Reload => true,
            Self::Platform(_)
            | Self::ClearPlatformFaults
            | Self::SetClock(_)
            | Self::Drift(..)
            | Self::PauseHost(..)
            | Self::BreakConnections(_)
            | Self::Stall(..)
            | Self::Refuse(..)
            | Self::Slow(..)
            | Self::Disk(..)
            | Self::Receiver(..)
            | Self::Kill(_)
            | Self::Restart(_) => false,
        }
    }
}

fn secs(span: &Duration) -> f64 {
    span.as_secs_f64()
}

impl fmt::Display for PlannedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RequestState { agent, to } => write!(f, "a person asks for {to} for u_{:04}", agent + 1),
            Self::RequestWithKey { agent, to, key } => {
                write!(f, "a client asks for {to} for u_{:04} under the idempotency key {key}", agent + 1)
            }
            Self::ChangeSet { agents, to } => {
                write!(f, "a supervisor previews and starts a change of {} agents to {to}", agents.len())
            }
            Self::Undo => f.write_str("a supervisor undoes the last change set"),
            Self::EditRule => f.write_str("an analyst adds a rule, or removes the one added before"),
            Self::ApproveException { agent, span } => {
                write!(f, "a supervisor excuses u_{:04} for {:.0} s", agent + 1, secs(span))
            }
            Self::Import(_) => f.write_str("an analyst imports a schedule with other breaks"),
            Self::Reload => f.write_str("an operator edits the configuration and reloads it"),
            Self::Platform(text) => write!(f, "the platform: {text}"),
            Self::ClearPlatformFaults => f.write_str("the platform's faults end"),
            Self::SetClock(by) => write!(f, "the daemon's wall clock is set by {by} s"),
            Self::Drift(daemon, platform) => {
                write!(f, "clocks drift: the daemon's {daemon} ppm, the platform's {platform} ppm")
            }
            Self::PauseHost(Stillness::Asleep, span) => write!(f, "the daemon's host sleeps for {:.1} s", secs(span)),
            Self::PauseHost(Stillness::Stopped, span) => {
                write!(f, "the daemon's process is stopped for {:.1} s", secs(span))
            }
            Self::BreakConnections(None) => f.write_str("every connection breaks"),
            Self::BreakConnections(Some(route)) => write!(f, "every connection to the {route:?} breaks"),
            Self::Stall(route, span) => {
                write!(f, "nothing gets through to or from the {route:?} for {:.1} s", secs(span))
            }
            Self::Refuse(route, span) => write!(f, "the {route:?} refuses connections for {:.1} s", secs(span)),
            Self::Slow(route, most, span) => {
                write!(f, "the way to the {route:?} takes up to {:.2} s, for {:.1} s", secs(most), secs(span))
            }
            Self::Disk(DiskHealth::Failing(kind), span) => write!(f, "the disk fails ({kind}) for {:.1} s", secs(span)),
            Self::Disk(DiskHealth::Slow(ms), span) => {
                write!(f, "the disk takes up to {ms} ms, for {:.1} s", secs(span))
            }
            Self::Disk(DiskHealth::Healthy, _) => f.write_str("the disk is well"),
            Self::Receiver(conduct, span) => write!(f, "the receiver: {conduct:?} for {:.1} s", secs(span)),
            Self::Kill(down) => write!(f, "the daemon is killed, and started again after {:.1} s", secs(down)),
            Self::Restart(down) => {
                write!(f, "the daemon is stopped in order, and started again after {:.1} s", secs(down))
            }
        }
    }
}

/// An agent's break: when it begins, how long it is, and whether it is mandatory.
pub type Break = (Duration, Duration, bool);

/// What is drawn for a world.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub agents: usize,
    pub requests_per_minute: u32,
    pub feed: bool,
    pub token_lifetime: Duration,
    /// Each agent's break.
    pub breaks: Vec<Break>,
    pub events: Vec<(Duration, PlannedEvent)>,
}

/// The platform's faults that a world may meet; those without a count last until it heals.
const FAULTS: &[&str] = &[
    "lost_answer:on=state,count=2",
    "reset_before:on=state,count=2",
    "reset_mid:on=state,count=2",
    "truncated:on=state,count=1",
    "html:on=state,count=1",
    "status:on=state,code=503,count=3",
    "status:on=state,code=503,count=2,applied=true",
    "status:on=state,code=409,count=2",
    "status:on=state,code=429,count=2,retry_after=7",
    "late:on=state,ms=9000,count=2",
    "late:on=state,ms=45000,count=1",
    "delay:on=state,ms=1500,count=2",
    "stop_answering:on=state,ms=30000,count=1",
    "status:on=snapshot,code=500,count=3",
    "status:on=snapshot,code=404,count=1",
    "truncated:on=snapshot,count=2",
    "missing_rows:on=snapshot,count=2",
    "repeat:on=snapshot,count=2",
    "old_times:on=snapshot,count=2",
    "wrong_types:on=snapshot,count=2",
    "nonsense:on=snapshot,count=1",
    "other_zones:on=snapshot,count=3",
    "delay:on=snapshot,ms=4000,count=3",
    "lost_answer:on=snapshot,count=2",
    "timestamp_jitter:on=snapshot,ms=900",
    "clock_skew:ms=-20000",
    "clock_skew:ms=45000",
    "status:on=token,code=500,count=2",
    "status:on=token,code=401,count=1",
    "revoke_tokens",
    "expire_subscriptions",
    "drop_feeds",
    "close_feeds",
    "silent:on=feed_message,count=15",
    "repeat:on=feed_message,count=5",
    "wrong_types:on=feed_message,count=3",
    "status:on=feed,code=503,count=3",
    "status:on=subscribe,code=500,count=2",
    "status:code=503,probability=0.3",
    "status:code=503",
];

impl Plan {
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed ^ 0x5eed);
        let some = rng.usize(4..=7);
        // In some worlds everybody takes the same break, so that rules need the whole budget at once.
        let crowded = rng.u8(0..4) == 0;
        let agents = if crowded { 7 } else { some };
        let breaks = if crowded { common_breaks(&mut rng, agents) } else { random_breaks(&mut rng, agents) };
        let mut plan = Self {
            seed,
            agents,
            requests_per_minute: if crowded { 6 } else { [6, 12, 20, 60][rng.usize(0..4)] },
            feed: rng.u8(0..4) > 0,
            token_lifetime: Duration::from_secs([600, 1200, 3600][rng.usize(0..3)]),
            breaks,
            events: Vec::new(),
        };
        // Some worlds meet much, some little, so that what needs quiet is met too.
        let troubles = [2, 4, 8, 14][rng.usize(0..4)];
        for _ in 0..troubles {
            let at = random_duration_between(&mut rng, FAULTS_FROM, FAULTS_UNTIL);
            let what = random_fault(&mut rng);
            plan.events.push((at, what));
        }
        for _ in 0..rng.usize(2..10) {
            let ask = random_request(&mut rng, agents);
            plan.events.push((random_duration_between(&mut rng, FAULTS_FROM / 2, FAULTS_UNTIL + FAULTS_FROM), ask));
        }
        for _ in 0..rng.usize(0..5) {
            plan.add_people_actions(&mut rng);
        }
        if rng.bool() {
            plan.events.push((
                random_duration_between(&mut rng, FAULTS_FROM, FAULTS_UNTIL),
                PlannedEvent::ClearPlatformFaults,
            ));
        }
        if crowded {
            plan.crowd_budget(&mut rng);
        }
        plan.events.sort_by_key(|(at, _)| *at);
        plan
    }

    /// While rules want the whole budget a person asks for something, or the daemon is killed, and nothing else happens.
    fn crowd_budget(&mut self, rng: &mut Rng) {
        let begins = self.breaks[0].0;
        for (at, _) in &mut self.events {
            if *at < begins + CROWDED_FOR {
                *at = begins + CROWDED_FOR + *at / 2;
            }
        }
        let (at, what) = if rng.bool() {
            (
                begins + CROWDED_AFTER + random_duration_between(rng, Duration::ZERO, FAULTS_FROM / 2),
                random_request(rng, self.agents),
            )
        } else {
            (
                begins + random_duration_between(rng, Duration::from_secs(5), FAULTS_FROM),
                PlannedEvent::Kill(random_duration(rng, 5)),
            )
        };
        self.events.push((at, what));
    }

    /// What people do beside asking for single states.
    fn add_people_actions(&mut self, rng: &mut Rng) {
        let at = random_duration_between(rng, FAULTS_FROM / 2, FAULTS_UNTIL + FAULTS_FROM);
        let agents = self.agents;
        let what = match rng.u8(0..7) {
            0 | 1 => {
                let (agent, to, key) = (rng.usize(0..agents), random_state(rng), rng.u64(..));
                // The client does not hear the answer, or does not wait for it, and asks again.
                let again = at + random_duration(rng, 40);
                self.events.push((again, PlannedEvent::RequestWithKey { agent, to, key }));
                PlannedEvent::RequestWithKey { agent, to, key }
            }
            2 => {
                let chosen = (0..agents).filter(|_| rng.bool()).collect();
                self.events.push((at + random_duration(rng, 120), PlannedEvent::Undo));
                PlannedEvent::ChangeSet { agents: chosen, to: random_state(rng) }
            }
            3 => PlannedEvent::EditRule,
            4 => PlannedEvent::ApproveException { agent: rng.usize(0..agents), span: random_duration(rng, 300) },
            5 => PlannedEvent::Import(random_breaks(rng, agents)),
            _ => PlannedEvent::Reload,
        };
        self.events.push((at, what));
    }

    /// The same with only some of its happenings.
    pub fn keep_events(&self, kept: &[usize]) -> Self {
        let happenings = kept.iter().filter_map(|index| self.events.get(*index).cloned()).collect();
        Self { events: happenings, ..self.clone() }
    }
}

fn random_state(rng: &mut Rng) -> &'static str {
    ["Ready", "NotReady", "Paused", "Idle"][rng.usize(0..4)]
}

fn random_request(rng: &mut Rng, agents: usize) -> PlannedEvent {
    let to = random_state(rng);
    PlannedEvent::RequestState { agent: rng.usize(0..agents), to }
}

/// Breaks at different times.
fn random_breaks(rng: &mut Rng, agents: usize) -> Vec<Break> {
    (0..agents)
        .map(|_| (Duration::from_secs(rng.u64(120..900)), Duration::from_secs(rng.u64(120..420)), rng.bool()))
        .collect()
}

/// The same break for everybody; not mandatory, so that the rule that acts on it has no priority.
fn common_breaks(rng: &mut Rng, agents: usize) -> Vec<Break> {
    vec![(Duration::from_secs(rng.u64(40..200)), Duration::from_secs(rng.u64(240..420)), false); agents]
}

fn random_duration_between(rng: &mut Rng, least: Duration, most: Duration) -> Duration {
    let us = |span: Duration| u64::try_from(span.as_micros()).expect("short");
    Duration::from_micros(rng.u64(us(least)..us(most)))
}

fn random_duration(rng: &mut Rng, most_s: u64) -> Duration {
    // Short ones more often than long ones.
    let share = rng.f64();
    Duration::from_millis(200) + Duration::from_secs(most_s).mul_f64(share * share)
}

fn random_fault(rng: &mut Rng) -> PlannedEvent {
    let route = if rng.u8(0..4) > 0 { Route::Platform } else { Route::Receiver };
    match rng.u8(0..22) {
        0..7 => PlannedEvent::Platform(FAULTS[rng.usize(0..FAULTS.len())].to_owned()),
        7 => {
            let by = [5, 30, 90, 600, 3600, 86_400][rng.usize(0..6)];
            PlannedEvent::SetClock(if rng.bool() { by } else { -by })
        }
        8 => PlannedEvent::Drift(rng.i64(-300..=300), rng.i64(-300..=300)),
        9 | 10 => PlannedEvent::PauseHost(Stillness::Asleep, random_duration(rng, 120)),
        11 => PlannedEvent::PauseHost(Stillness::Stopped, random_duration(rng, 120)),
        12 => PlannedEvent::BreakConnections(if rng.bool() { None } else { Some(route) }),
        13 | 14 => PlannedEvent::Stall(route, random_duration(rng, 120)),
        15 => PlannedEvent::Refuse(route, random_duration(rng, 120)),
        16 => PlannedEvent::Slow(route, random_duration(rng, 4), random_duration(rng, 120)),
        17 => {
            let kind = if rng.bool() { ErrorKind::StorageFull } else { ErrorKind::Other };
            PlannedEvent::Disk(DiskHealth::Failing(kind), random_duration(rng, 90))
        }
        18 => PlannedEvent::Disk(DiskHealth::Slow(rng.u64(5..800)), random_duration(rng, 90)),
        19 => {
            let conduct =
                [ReceiverMode::Refuse(503), ReceiverMode::Refuse(500), ReceiverMode::Silent, ReceiverMode::Disconnect]
                    [rng.usize(0..4)];
            PlannedEvent::Receiver(conduct, random_duration(rng, 120))
        }
        20 => PlannedEvent::Kill(random_duration(rng, 30)),
        _ => PlannedEvent::Restart(random_duration(rng, 30)),
    }
}
