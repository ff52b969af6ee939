//! Two clocks over one: the world's, by which the simulator and the test go, and the daemon's, whose wall clock a test may set.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use shiftkeeper::clock::{BoxFuture, Clock, SharedClock, SystemClock};
use shiftkeeper::domain::time::UtcMicros;

/// Between two looks at a clock that may be set.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// What both clocks are read off.
#[derive(Debug)]
pub struct TestClocks {
    base: SystemClock,
    /// The host's steady time at the start, as a daemon in a process of its own reads it too.
    steady_start: Duration,
    /// How long the host has slept: all but monotonic time has gone on.
    slept_us: AtomicI64,
    /// How far the daemon's wall clock is off.
    off_us: AtomicI64,
    settings: AtomicI64,
}

impl TestClocks {
    pub fn new(start: UtcMicros, speed: u32) -> Arc<Self> {
        let base = SystemClock::scaled(Some(start), speed);
        let steady_start = base.steady().expect("a steady time").saturating_sub(base.monotonic());
        Arc::new(Self { base, steady_start, slept_us: 0.into(), off_us: 0.into(), settings: 0.into() })
    }

    pub fn world_clock(self: &Arc<Self>) -> SharedClock {
        Arc::new(TestClock { clocks: self.clone(), is_daemon_clock: false })
    }

    pub fn daemon_clock(self: &Arc<Self>) -> SharedClock {
        Arc::new(TestClock { clocks: self.clone(), is_daemon_clock: true })
    }

    /// Sets the daemon's wall clock by this number of seconds, whether or not a daemon runs.
    pub fn set_by(&self, seconds: i64) {
        self.settings.fetch_add(1, Ordering::SeqCst);
        self.off_us.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }

    /// Whether the daemon's wall clock was ever set.
    pub fn was_set(&self) -> bool {
        self.settings.load(Ordering::SeqCst) > 0
    }

    /// The daemon's host sleeps for so long; the world does not.
    pub fn sleep_host(&self, span: Duration) {
        self.slept_us.fetch_add(i64::try_from(span.as_micros()).expect("a span"), Ordering::SeqCst);
    }

    /// The world's instant of a steady time of the daemon's, whether it runs here or in a process of its own.
    pub fn world_at(&self, steady_us: u64) -> UtcMicros {
        super::start() + Duration::from_micros(steady_us).saturating_sub(self.steady_start)
    }

    fn slept(&self) -> Duration {
        Duration::from_micros(self.slept_us.load(Ordering::SeqCst).unsigned_abs())
    }
}

#[derive(Debug)]
struct TestClock {
    clocks: Arc<TestClocks>,
    is_daemon_clock: bool,
}

impl Clock for TestClock {
    fn now(&self) -> UtcMicros {
        let off_us = if self.is_daemon_clock { self.clocks.off_us.load(Ordering::SeqCst) } else { 0 };
        (self.clocks.base.now() + self.clocks.slept()).offset(off_us)
    }

    fn monotonic(&self) -> Duration {
        let awake = self.clocks.base.monotonic();
        if self.is_daemon_clock { awake } else { awake + self.clocks.slept() }
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        self.clocks.base.sleep(duration)
    }

    fn sleep_until(&self, instant: UtcMicros) -> BoxFuture<()> {
        let clock = Self { clocks: self.clocks.clone(), is_daemon_clock: self.is_daemon_clock };
        Box::pin(async move {
            while clock.now() < instant {
                clock.sleep(instant.since(clock.now()).min(POLL_INTERVAL)).await;
            }
        })
    }

    fn steady(&self) -> Option<Duration> {
        Some(self.clocks.steady_start + self.clocks.base.monotonic() + self.clocks.slept())
    }

    fn host_start(&self) -> Option<i64> {
        Some(1)
    }

    fn speed(&self) -> u32 {
        self.clocks.base.speed()
    }
}
