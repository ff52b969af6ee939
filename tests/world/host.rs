//! The clock of one host: it drifts, is set, and stands still while the host sleeps, each host's by itself.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use shiftkeeper::clock::{BoxFuture, Clock};
use shiftkeeper::domain::time::UtcMicros;

/// How a host stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stillness {
    /// The host sleeps: monotonic time stands still too.
    Asleep,
    /// The process is stopped while time continues.
    Stopped,
}

/// A host's clock, as the world moves it.
#[derive(Clone)]
pub struct Host(Arc<Mutex<State>>);

struct State {
    start: UtcMicros,
    monotonic: Duration,
    steady: Duration,
    off_us: i64,
    drift_ppm: i64,
    still: Option<Stillness>,
    timers: BTreeMap<(Duration, u64), Option<Waker>>,
    alarms: BTreeMap<(UtcMicros, u64), Option<Waker>>,
    next_id: u64,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Host")
    }
}

impl Host {
    pub fn at(start: UtcMicros) -> Self {
        Self(Arc::new(Mutex::new(State {
            start,
            monotonic: Duration::ZERO,
            steady: Duration::ZERO,
            off_us: 0,
            drift_ppm: 0,
            still: None,
            timers: BTreeMap::new(),
            alarms: BTreeMap::new(),
            next_id: 0,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("a lock")
    }

    /// Sets the wall clock by so much.
    pub fn set_by(&self, us: i64) {
        self.state().off_us += us;
    }

    pub fn drift(&self, ppm: i64) {
        self.state().drift_ppm = ppm;
    }

    pub fn pause_host(&self, how: Stillness) {
        self.state().still = Some(how);
    }

    pub fn resume_host(&self) {
        self.state().still = None;
    }

    pub fn stillness(&self) -> Option<Stillness> {
        self.state().still
    }

    /// How much of the world's time passes until something is due here; none while the host stands still.
    pub fn next_due(&self) -> Option<Duration> {
        let state = self.state();
        if state.still.is_some() {
            return None;
        }
        let timer = state.timers.keys().next().map(|(due, _)| due.saturating_sub(state.monotonic));
        let alarm = state.alarms.keys().next().map(|(due, _)| due.since(state.now()));
        let own = [timer, alarm].into_iter().flatten().min()?;
        // Rounded up, so that it is due then, whatever the drift.
        Some(own + own / 1_000 + Duration::from_micros(1))
    }

    /// Lets the world's time pass here.
    pub fn advance(&self, time: Duration) {
        let mut state = self.state();
        let ns = i128::try_from(time.as_nanos()).expect("a span") * i128::from(1_000_000 + state.drift_ppm) / 1_000_000;
        let own = Duration::from_nanos(u64::try_from(ns).expect("a span"));
        state.steady += own;
        if state.still != Some(Stillness::Asleep) {
            state.monotonic += own;
        }
    }

    /// Takes out who is due.
    pub fn take_due(&self) -> Vec<Waker> {
        let mut state = self.state();
        let (now, monotonic) = (state.now(), state.monotonic);
        let mut due = Vec::new();
        for ((at, _), waker) in &mut state.timers {
            if *at > monotonic {
                break;
            }
            due.extend(waker.take());
        }
        for ((at, _), waker) in &mut state.alarms {
            if *at > now {
                break;
            }
            due.extend(waker.take());
        }
        state.timers.retain(|(at, _), _| *at > monotonic);
        state.alarms.retain(|(at, _), _| *at > now);
        due
    }

    fn id(&self) -> u64 {
        let mut state = self.state();
        state.next_id += 1;
        state.next_id
    }
}

impl State {
    fn now(&self) -> UtcMicros {
        (self.start + self.steady).offset(self.off_us)
    }
}

struct Timer {
    host: Host,
    key: (Duration, u64),
}

impl Future for Timer {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.host.state();
        if state.monotonic >= self.key.0 {
            return Poll::Ready(());
        }
        state.timers.insert(self.key, Some(context.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.host.state().timers.remove(&self.key);
    }
}

struct Alarm {
    host: Host,
    key: (UtcMicros, u64),
}

impl Future for Alarm {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.host.state();
        if state.now() >= self.key.0 {
            return Poll::Ready(());
        }
        state.alarms.insert(self.key, Some(context.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.host.state().alarms.remove(&self.key);
    }
}

impl Clock for Host {
    fn now(&self) -> UtcMicros {
        self.state().now()
    }

    fn monotonic(&self) -> Duration {
        self.state().monotonic
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        let due = self.monotonic().saturating_add(duration);
        Box::pin(Timer { key: (due, self.id()), host: self.clone() })
    }

    fn sleep_until(&self, instant: UtcMicros) -> BoxFuture<()> {
        Box::pin(Alarm { key: (instant, self.id()), host: self.clone() })
    }

    fn steady(&self) -> Option<Duration> {
        Some(self.state().steady)
    }

    fn host_start(&self) -> Option<i64> {
        Some(1)
    }

    fn speed(&self) -> u32 {
        1
    }
}
