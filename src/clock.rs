//! The only source of instants, monotonic time, sleeps and randomness.
//!
//! A clock may run faster than real time (in the demo, the simulator and scaled tests) or stand still until a test
//! moves it. Code that needs real time at any clock speed (socket time limits, measured latencies, webhook timestamps)
//! uses [`Stopwatch`] and [`RealTime`]. Nothing else in the crate may read the system's clock or generate random
//! numbers.

#![expect(clippy::disallowed_methods, reason = "this module is the seam that the forbidden calls point to")]

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use tokio::sync::watch;
use tokio::time::Instant as RuntimeInstant;
use uuid::Uuid;

use crate::domain::time::UtcMicros;

/// A boxed future that can be sent between threads.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The longest single sleep before the wall clock is checked again, since tokio's timers stand still while the host is
/// suspended.
const MAX_REAL_SLEEP: Duration = Duration::from_secs(1);

/// Two readings of the steady clock closer together than this count as simultaneous.
const MAX_READING_GAP: Duration = Duration::from_millis(500);

/// How many times a simultaneous pair of readings is attempted.
const MAX_READINGS: usize = 8;

/// Instants, monotonic time and sleeps, all at the same speed.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Returns the wall clock's time.
    fn now(&self) -> UtcMicros;

    /// Returns the time since this clock was created. It never goes back, not even when the wall clock is set.
    fn monotonic(&self) -> Duration;

    /// Completes when this clock's [`Clock::monotonic`] has advanced by `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<()>;

    /// Completes once [`Clock::now`] is at or after `instant`, also when the wall clock is set forward past it.
    fn sleep_until(&self, instant: UtcMicros) -> BoxFuture<()>;

    /// Returns the time since the host booted, including time suspended, unaffected by changes of the wall clock. All
    /// processes since the same boot share it. `None` if the system does not provide it.
    fn steady(&self) -> Option<Duration>;

    /// Returns a number that identifies the boot from which [`Clock::steady`] counts; no other boot of any host has the
    /// same. `None` if the system does not provide it.
    fn host_start(&self) -> Option<i64>;

    /// Returns how far the wall clock is ahead of [`Clock::steady`], in microseconds. The value changes only when the
    /// wall clock is set. `None` if it cannot be determined, now or ever.
    fn wall_minus_steady(&self) -> Option<i64> {
        // The two clocks cannot be read at the same instant. A reading between two steady readings that are close
        // enough is found soon, even if the clock runs fast and the host is busy.
        (0..MAX_READINGS).find_map(|_| {
            let (before, now, after) = (self.steady()?, self.now(), self.steady()?);
            let close = after.saturating_sub(before) < MAX_READING_GAP;
            close.then(|| now.as_micros().saturating_sub(i64::try_from(after.as_micros()).unwrap_or(i64::MAX)))
        })
    }

    /// Returns how many seconds pass on this clock in one real second.
    fn speed(&self) -> u32;

    /// Converts a duration of real time, such as a socket's time limit, to this clock.
    fn scale_real(&self, real: Duration) -> Duration {
        real.saturating_mul(self.speed())
    }
}

/// A clock shared between tasks.
pub type SharedClock = Arc<dyn Clock>;

/// An instant by both the wall clock and the host's steady time, in a form that can be stored. Its age remains known
/// after the wall clock was set and after a restart of the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClockReading {
    /// The wall clock's time.
    pub wall: UtcMicros,
    /// The value of [`Clock::steady`].
    pub steady: Option<Duration>,
    /// The boot that `steady` counts from.
    pub host_start: Option<i64>,
}

impl ClockReading {
    /// Reads `clock` now.
    pub fn now(clock: &dyn Clock) -> Self {
        Self { wall: clock.now(), steady: clock.steady(), host_start: clock.host_start() }
    }

    /// Returns how long before `now` this reading was taken.
    ///
    /// Steady time gives the exact age if both readings are from the same boot. After another boot, or on another host,
    /// only the wall clock counts. If the boots are unknown, the smaller of the two ages counts. `None` if only the
    /// wall clock can tell and this reading is in its future.
    pub fn age_at(&self, now: Self) -> Option<Duration> {
        let by_wall = (self.wall <= now.wall).then(|| now.wall.since(self.wall));
        // A steady time later than `now` is from another boot and gives no age.
        let by_steady = now.steady.zip(self.steady).and_then(|(now, then)| now.checked_sub(then));
        let same_start = self.host_start.zip(now.host_start).map(|(then, now)| then == now);
        match (by_steady, same_start) {
            (Some(by_steady), Some(true)) => Some(by_steady),
            (Some(by_steady), None) => by_wall.map(|by_wall| by_wall.min(by_steady)),
            (Some(_), Some(false)) | (None, _) => by_wall,
        }
    }
}

/// An age that grows with the host's steady time, independent of changes of the wall clock while the process runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AgeTracker {
    known: Duration,
    known_at: Duration,
}

impl AgeTracker {
    /// Starts with the age `known` now.
    pub fn of(known: Duration, clock: &dyn Clock) -> Self {
        Self { known, known_at: steady_or_monotonic(clock) }
    }

    /// Returns the current age.
    pub fn now(&self, clock: &dyn Clock) -> Duration {
        self.known.saturating_add(steady_or_monotonic(clock).saturating_sub(self.known_at))
    }
}

/// Returns a time within one process that is unaffected by changes of the wall clock. It includes time suspended if the
/// system provides that.
fn steady_or_monotonic(clock: &dyn Clock) -> Duration {
    clock.steady().unwrap_or_else(|| clock.monotonic())
}

/// The system's clock, either in real time or faster from a chosen instant.
#[derive(Debug, Clone)]
pub struct SystemClock {
    origin: Instant,
    start: UtcMicros,
    /// Time since boot at the origin, for a clock that does not follow the system.
    steady_start: Option<Duration>,
    host_start: Option<i64>,
    speed: u32,
    follows_system: bool,
}

impl SystemClock {
    /// Returns a clock of real time.
    pub fn real() -> Self {
        Self::scaled(None, 1)
    }

    /// Returns a clock that starts at `start` (or at the system's time) and runs `speed` times as fast. A speed of 0
    /// counts as 1.
    pub fn scaled(start: Option<UtcMicros>, speed: u32) -> Self {
        Self {
            origin: Instant::now(),
            start: start.unwrap_or_else(system_now),
            steady_start: since_boot().map(|since| since.saturating_mul(speed.max(1))),
            host_start: boot_id(),
            speed: speed.max(1),
            follows_system: start.is_none() && speed <= 1,
        }
    }
}

fn system_now() -> UtcMicros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UtcMicros::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// Returns the time since boot, including time suspended.
#[cfg(target_os = "linux")]
fn since_boot() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Some(Duration::new(u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?))
}

/// Returns the first eight bytes of the random id that the kernel generates at each boot.
#[cfg(target_os = "linux")]
fn boot_id() -> Option<i64> {
    let id: Uuid = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().parse().ok()?;
    id.as_bytes().first_chunk().copied().map(i64::from_be_bytes)
}

/// Returns `None`: only implemented for Linux.
#[cfg(not(target_os = "linux"))]
fn since_boot() -> Option<Duration> {
    None
}

/// Returns `None`: only implemented for Linux.
#[cfg(not(target_os = "linux"))]
fn boot_id() -> Option<i64> {
    None
}

impl Clock for SystemClock {
    fn now(&self) -> UtcMicros {
        if self.follows_system { system_now() } else { self.start + self.monotonic() }
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed().saturating_mul(self.speed)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        Box::pin(tokio::time::sleep(duration / self.speed))
    }

    fn sleep_until(&self, instant: UtcMicros) -> BoxFuture<()> {
        let clock = self.clone();
        Box::pin(async move {
            loop {
                let left = instant.since(clock.now());
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep((left / clock.speed).clamp(Duration::from_micros(50), MAX_REAL_SLEEP)).await;
            }
        })
    }

    fn steady(&self) -> Option<Duration> {
        if self.follows_system { since_boot() } else { Some(self.steady_start? + self.monotonic()) }
    }

    fn host_start(&self) -> Option<i64> {
        self.host_start
    }

    fn speed(&self) -> u32 {
        self.speed
    }
}

/// A clock that stands still until it is moved. Sleepers wake when it reaches their time.
#[derive(Debug, Clone)]
pub struct ManualClock {
    state: Arc<watch::Sender<ManualTime>>,
}

#[derive(Debug, Clone, Copy)]
struct ManualTime {
    now: UtcMicros,
    monotonic: Duration,
    steady: Duration,
}

impl ManualClock {
    /// Returns a clock that stands at `now`.
    pub fn at(now: UtcMicros) -> Self {
        Self {
            state: Arc::new(watch::channel(ManualTime { now, monotonic: Duration::ZERO, steady: Duration::ZERO }).0),
        }
    }

    /// Moves the wall clock and monotonic time forward together.
    pub fn advance(&self, by: Duration) {
        self.state.send_modify(|time| {
            time.now = time.now + by;
            time.monotonic += by;
            time.steady += by;
        });
    }

    /// Simulates a suspended host: the wall clock and steady time advance, while monotonic time and its sleepers stand
    /// still.
    pub fn suspend(&self, by: Duration) {
        self.state.send_modify(|time| {
            time.now = time.now + by;
            time.steady += by;
        });
    }

    /// Sets the wall clock alone, as an operator or NTP would. Monotonic time does not move.
    pub fn step_to(&self, now: UtcMicros) {
        self.state.send_modify(|time| time.now = now);
    }

    fn wait(&self, done: impl Fn(&ManualTime) -> bool + Send + Sync + 'static) -> BoxFuture<()> {
        let mut changes = self.state.subscribe();
        Box::pin(async move {
            // An error means that the clock was dropped, so nothing can be waited for any more.
            let _ = changes.wait_for(|time| done(time)).await;
        })
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UtcMicros {
        self.state.borrow().now
    }

    fn monotonic(&self) -> Duration {
        self.state.borrow().monotonic
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        let due = self.monotonic() + duration;
        self.wait(move |time| time.monotonic >= due)
    }

    fn sleep_until(&self, instant: UtcMicros) -> BoxFuture<()> {
        self.wait(move |time| time.now >= instant)
    }

    fn steady(&self) -> Option<Duration> {
        Some(self.state.borrow().steady)
    }

    fn host_start(&self) -> Option<i64> {
        Some(1)
    }

    fn speed(&self) -> u32 {
        1
    }
}

/// Measures elapsed real time, whatever the clock's speed, for latencies. Uses the runtime's instants, as [`RealTime`]
/// does, so that a simulation that pauses the runtime measures simulated time.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(RuntimeInstant);

impl Stopwatch {
    /// Starts measuring now.
    pub fn start() -> Self {
        Self(RuntimeInstant::now())
    }

    /// Returns the real time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Real-time sleeps, for waits that a faster clock must not shorten, such as the time limit of a stop or a pause before
/// a reconnect.
#[derive(Debug, Clone, Copy)]
pub struct RealTime;

impl RealTime {
    /// Completes after `duration` of real time.
    pub fn sleep(duration: Duration) -> BoxFuture<()> {
        Box::pin(tokio::time::sleep(duration))
    }

    /// Returns the system's wall clock, for timestamps that leave the host and are compared with another clock.
    pub fn now() -> UtcMicros {
        system_now()
    }
}

/// A source of randomness for jitter and ids, seeded in tests and provided by the system otherwise.
pub trait Random: fmt::Debug + Send + Sync {
    /// Returns a number uniformly distributed in `0.0..1.0`.
    fn unit(&self) -> f64;

    /// Returns sixteen random bytes, which are unguessable if they come from the system.
    fn bytes(&self) -> [u8; 16];

    /// Returns a version 7 UUID for `now`, which sorts by time and has 74 random bits.
    fn time_ordered_id(&self, now: UtcMicros) -> Uuid {
        let millis = u64::try_from(now.as_micros() / 1000).unwrap_or(0);
        let [a, b, c, d, e, f, g, h, i, j, ..] = self.bytes();
        uuid::Builder::from_unix_timestamp_millis(millis, &[a, b, c, d, e, f, g, h, i, j]).into_uuid()
    }

    /// Returns thirty-two random bytes as base64 text, for links and tokens.
    fn secret(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode([self.bytes(), self.bytes()].concat())
    }

    /// Returns a random version 4 UUID.
    fn random_id(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.bytes()).into_uuid()
    }
}

/// A source of randomness shared between tasks.
pub type SharedRandom = Arc<dyn Random>;

/// The operating system's random generator.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn unit(&self) -> f64 {
        fastrand::f64()
    }

    fn bytes(&self) -> [u8; 16] {
        // `Uuid` draws from the system's generator. The second draw covers the version and variant bits of the first.
        let (first, second) = (Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes());
        let mut bytes = first;
        bytes[6] = second[0];
        bytes[8] = second[1];
        bytes
    }
}

/// Reproducible randomness: the same seed gives the same draws in the same order.
#[derive(Debug)]
pub struct SeededRandom(Mutex<fastrand::Rng>);

impl SeededRandom {
    /// Creates a generator whose draws depend on `seed` alone.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(fastrand::Rng::with_seed(seed)))
    }

    fn rng(&self) -> MutexGuard<'_, fastrand::Rng> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Random for SeededRandom {
    fn unit(&self) -> f64 {
        self.rng().f64()
    }

    fn bytes(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.rng().fill(&mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sleeper_on_a_manual_clock_wakes_when_the_clock_passes_it() {
        let clock = ManualClock::at(UtcMicros::EPOCH);
        let sleeper = clock.sleep(Duration::from_secs(60));
        let until = clock.sleep_until(UtcMicros::from_micros(90_000_000));
        clock.advance(Duration::from_secs(60));
        sleeper.await;
        assert_eq!(clock.now(), UtcMicros::from_micros(60_000_000));
        clock.step_to(UtcMicros::from_micros(100_000_000));
        until.await;
        assert_eq!(clock.monotonic(), Duration::from_secs(60), "a step of the wall clock moves no monotonic time");
    }

    #[tokio::test]
    async fn a_scaled_clock_starts_at_the_given_time_and_runs_faster() {
        let start = UtcMicros::from_micros(1_000_000_000_000_000);
        let clock = SystemClock::scaled(Some(start), 1000);
        let watch = Stopwatch::start();
        clock.sleep_until(start + Duration::from_secs(20)).await;
        assert!(clock.now() >= start + Duration::from_secs(20));
        assert!(
            watch.elapsed() < Duration::from_secs(10),
            "20 s at a thousand times the speed took {:?}",
            watch.elapsed()
        );
    }

    #[test]
    fn only_a_setting_of_the_wall_clock_moves_it_against_steady_time() {
        let clock = ManualClock::at(UtcMicros::from_micros(7));
        let before = clock.wall_minus_steady();
        clock.advance(Duration::from_secs(60));
        clock.suspend(Duration::from_secs(8 * 3600));
        assert_eq!(clock.wall_minus_steady(), before);
        assert_eq!(clock.monotonic(), Duration::from_secs(60), "which stands still while the host sleeps");
        clock.step_to(clock.now() - Duration::from_secs(3600));
        assert_eq!(clock.wall_minus_steady(), before.map(|ahead| ahead - 3_600_000_000));
    }

    #[test]
    fn an_age_is_exact_within_one_boot_and_uses_the_wall_clock_otherwise() {
        let moment = |wall_s: i64, steady_s: Option<u64>, host_start| ClockReading {
            wall: UtcMicros::from_micros(wall_s * 1_000_000),
            steady: steady_s.map(Duration::from_secs),
            host_start,
        };
        let (this, another) = (Some(1), Some(2));
        let now = moment(10_000, Some(500), this);
        for (then, expected, why) in [
            (moment(9_960, Some(460), this), Some(40), "nothing was set"),
            (moment(6_360, Some(460), this), Some(40), "the clock was set forward by an hour"),
            (moment(13_560, Some(460), this), Some(40), "and back by an hour"),
            (moment(9_960, Some(480), another), Some(40), "the host started anew"),
            (moment(13_560, Some(480), another), None, "and its clock is behind: nobody knows"),
            (moment(9_960, None, None), Some(40), "there was no steady time"),
            (moment(9_960, Some(480), None), Some(20), "nobody knows which start it was: the younger of both"),
            (moment(9_960, Some(600), None), Some(40), "a steady time that is still to come is of another start"),
        ] {
            assert_eq!(then.age_at(now), expected.map(Duration::from_secs), "{why}");
        }
    }

    #[test]
    fn an_age_keeps_growing_while_the_wall_clock_is_set_and_the_host_sleeps() {
        let clock = ManualClock::at(UtcMicros::from_micros(7));
        let age = AgeTracker::of(Duration::from_secs(60), &clock);
        clock.advance(Duration::from_secs(1));
        clock.step_to(clock.now() + Duration::from_secs(86_400));
        clock.suspend(Duration::from_secs(2));
        assert_eq!(age.now(&clock), Duration::from_secs(63));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn clocks_of_one_host_share_steady_time_and_a_scaled_one_keeps_its_distance() {
        let (one, other) = (SystemClock::real(), SystemClock::real());
        let apart =
            |a: &dyn Clock, b: &dyn Clock| a.wall_minus_steady().zip(b.wall_minus_steady()).map(|(a, b)| a.abs_diff(b));
        assert!(apart(&one, &other).is_some_and(|apart| apart < 2_000_000));
        assert!(one.host_start().is_some() && one.host_start() == other.host_start());
        let scaled = SystemClock::scaled(Some(UtcMicros::EPOCH), 1000);
        let first = scaled.wall_minus_steady().expect("read");
        assert!(first.abs_diff(scaled.wall_minus_steady().expect("read")) < 2_000_000);
    }

    #[test]
    fn seeded_randomness_repeats_and_ids_sort_by_time() {
        let draw = |seed| {
            let random = SeededRandom::new(seed);
            (random.unit(), random.bytes())
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let random = SeededRandom::new(1);
        let early = random.time_ordered_id(UtcMicros::from_micros(1_700_000_000_000_000));
        let late = random.time_ordered_id(UtcMicros::from_micros(1_700_000_000_001_000));
        assert!(early < late);
        assert_eq!(early.get_version_num(), 7);
    }
}
