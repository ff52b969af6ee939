//! What every handler of the server shares: the clock, the platform state and the address.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::SharedClock;
use crate::sim::platform_state::PlatformState;

/// The context of every handler.
#[derive(Clone)]
pub(in crate::sim) struct ServerContext {
    pub(in crate::sim) clock: SharedClock,
    pub(in crate::sim) base_url: Arc<str>,
    state: Arc<Mutex<PlatformState>>,
}

impl ServerContext {
    /// Creates the context of a platform state reached under `base_url`.
    pub(in crate::sim) fn new(clock: SharedClock, base_url: Arc<str>, state: PlatformState) -> Self {
        Self { clock, base_url, state: Arc::new(Mutex::new(state)) }
    }

    /// Locks the platform state. Hold the lock for one decision only, never across an await.
    pub(in crate::sim) fn lock_state(&self) -> MutexGuard<'_, PlatformState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the platform state as it is now.
    pub(in crate::sim) fn lock_current_state(&self) -> MutexGuard<'_, PlatformState> {
        let mut state = self.lock_state();
        state.advance(self.clock.now());
        state
    }

    /// Returns the base of a business unit's calls, as in the legacy token answer.
    pub(super) fn unit_base(&self, unit: &str) -> String {
        format!("{}/bu/{unit}/", self.base_url)
    }
}
