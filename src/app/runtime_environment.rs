//! The daemon's environment: time, randomness, the network and the disk. The product uses the system's; a simulation
//! brings its own.

use std::sync::Arc;

use crate::clock::{SharedClock, SharedRandom, SystemRandom};
use crate::engine::operations::log::Log;
use crate::engine::webhooks::deliver::send::Network;
use crate::platform::client::Transport;
use crate::store::EngineInterceptor;

/// Where work runs that would block other tasks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeavyWork {
    /// On a thread of its own.
    OwnThread,
    /// On the calling task: for a simulation, whose time stands still meanwhile.
    Inline,
}

impl HeavyWork {
    /// Does the work. Fails if the work panicked on its own thread.
    pub(super) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, tokio::task::JoinError> {
        match self {
            Self::OwnThread => tokio::task::spawn_blocking(work).await,
            Self::Inline => Ok(work()),
        }
    }
}

/// What a daemon runs on.
#[derive(Clone)]
pub struct RuntimeEnvironment {
    /// The source of instants and sleeps.
    pub clock: SharedClock,
    /// The source of ids and jitter.
    pub random: SharedRandom,
    /// Carries requests to platforms; sockets if `None`.
    pub transport: Option<Arc<dyn Transport>>,
    /// Carries webhooks; the system's network if `None`.
    pub webhooks: Option<Network>,
    /// An interceptor between the store and its database engine, if any.
    pub interceptor: Option<Arc<dyn EngineInterceptor>>,
    /// The log, if the daemon is to report about it.
    pub log: Option<Log>,
    /// Where schedule files are parsed.
    pub heavy_work: HeavyWork,
}

impl RuntimeEnvironment {
    /// Returns the system's environment with this clock.
    pub fn system(clock: SharedClock) -> Self {
        Self {
            clock,
            random: Arc::new(SystemRandom),
            transport: None,
            webhooks: None,
            interceptor: None,
            log: None,
            heavy_work: HeavyWork::OwnThread,
        }
    }
}
