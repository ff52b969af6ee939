//! A runtime that runs only when the world says so, until it has nothing left to do, and whose own timers follow the world's time.

use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// After the first park the runtime's own timers have been looked at, and after the second what they woke has run.
const PARKS: u32 = 2;

pub struct SteppedRuntime {
    runtime: Option<Runtime>,
    parks: Arc<AtomicU32>,
    root: Arc<Mutex<Option<Waker>>>,
}

impl SteppedRuntime {
    pub fn new() -> Self {
        let (parks, root) = (Arc::new(AtomicU32::new(0)), Arc::new(Mutex::new(None::<Waker>)));
        let (counted, waked) = (Arc::clone(&parks), Arc::clone(&root));
        let runtime = Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .on_thread_park(move || {
                counted.fetch_add(1, Ordering::Relaxed);
                if let Some(root) = waked.lock().expect("a lock").as_ref() {
                    root.wake_by_ref();
                }
            })
            .build()
            .expect("a runtime");
        Self { runtime: Some(runtime), parks, root }
    }

    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.runtime.as_ref().expect("it runs").spawn(future)
    }

    /// Lets `time` pass for its own timers, and runs until nothing is left to do.
    pub fn step(&self, time: Duration) {
        let runtime = self.runtime.as_ref().expect("it runs");
        let (parks, root) = (&self.parks, &self.root);
        runtime.block_on(async {
            if !time.is_zero() {
                tokio::time::advance(time).await;
            }
            parks.store(0, Ordering::Relaxed);
            poll_fn(|context| {
                if parks.load(Ordering::Relaxed) >= PARKS {
                    return Poll::Ready(());
                }
                *root.lock().expect("a lock") = Some(context.waker().clone());
                Poll::Pending
            })
            .await;
            *root.lock().expect("a lock") = None;
        });
    }
}

impl Drop for SteppedRuntime {
    /// Every task ends where it stands, as in a crash.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
