//! The disk under the daemon's database: slow, full or failing on order. The engine itself is the real one, on threads of its own; while
//! it works the world stands still, so that what it does is one step.

use std::fmt;
use std::future::ready;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use fastrand::Rng;
use shiftkeeper::clock::{BoxFuture, Clock as _};
use shiftkeeper::store::{EngineInterceptor, EngineOperation};
use tokio::runtime::Runtime;

use crate::host::Host;

/// What a disk does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DiskHealth {
    #[default]
    Healthy,
    /// Writing fails with this error.
    Failing(io::ErrorKind),
    /// Every operation takes up to this number of milliseconds more.
    Slow(u64),
}

#[derive(Clone)]
pub struct Disk(Arc<Inner>);

struct Inner {
    clock: Host,
    state: Mutex<State>,
    /// Where the engine's own tasks run.
    engine: Runtime,
}

struct State {
    health: DiskHealth,
    rng: Rng,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disk")
    }
}

impl Disk {
    pub fn new(seed: u64, clock: Host) -> Self {
        let engine = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let state = State { health: DiskHealth::Healthy, rng: Rng::with_seed(seed) };
        Self(Arc::new(Inner { clock, state: Mutex::new(state), engine: engine.expect("a runtime") }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("a lock")
    }

    pub fn set_health(&self, health: DiskHealth) {
        self.state().health = health;
    }

    fn pause(&self) -> Duration {
        let mut state = self.state();
        if let DiskHealth::Slow(most_ms) = state.health {
            return Duration::from_millis(state.rng.u64(0..=most_ms));
        }
        // Most work is done at once; some lets others come between.
        if state.rng.u8(0..8) > 0 { Duration::ZERO } else { Duration::from_micros(state.rng.u64(0..3_000)) }
    }

    fn wait(&self) -> BoxFuture<()> {
        let pause = self.pause();
        if pause.is_zero() { Box::pin(ready(())) } else { self.0.clock.sleep(pause) }
    }
}

impl EngineInterceptor for Disk {
    fn before(&self, work: EngineOperation) -> BoxFuture<io::Result<()>> {
        let (disk, wait) = (self.clone(), self.wait());
        Box::pin(async move {
            wait.await;
            match disk.state().health {
                DiskHealth::Failing(kind) if matches!(work, EngineOperation::Write | EngineOperation::Checkpoint) => {
                    Err(kind.into())
                }
                DiskHealth::Healthy | DiskHealth::Failing(_) | DiskHealth::Slow(_) => Ok(()),
            }
        })
    }

    fn poll_to_completion(&self, poll: &mut dyn FnMut(&mut Context<'_>) -> Poll<()>) {
        let _engine = self.0.engine.enter();
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        while poll(&mut context).is_pending() {
            thread::park();
        }
    }

    fn after(&self, work: EngineOperation) -> BoxFuture<()> {
        // Between a commit and its answer: where a crash leaves what is durable unknown.
        if work == EngineOperation::Write { self.wait() } else { Box::pin(ready(())) }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
