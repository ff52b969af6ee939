//! What a daemon finds around it: time, chance, the network and the disk. The system's own in the product; a simulated world
//! brings its own.

use std::sync::Arc;

use crate::clock::{SharedClock, SharedRandom, SystemRandom};
use crate::engine::operations::log::Log;
use crate::engine::webhooks::deliver::send::Network;
use crate::platform::client::Transport;
use crate::store::EngineGate;

/// Where work is done that would hold up other tasks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeavyWork {
    /// On a thread of its own.
    Apart,
    /// Where it is asked for: in a simulated world, whose time stands still meanwhile.
    InPlace,
}

impl HeavyWork {
    /// Does the work; an error where it panicked on its own thread.
    pub(super) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, tokio::task::JoinError> {
        match self {
            Self::Apart => tokio::task::spawn_blocking(work).await,
            Self::InPlace => Ok(work()),
        }
    }
}

/// What a daemon runs on.
#[derive(Clone)]
pub struct Surroundings {
    /// Instants and sleeps.
    pub clock: SharedClock,
    /// Ids and jitter.
    pub random: SharedRandom,
    /// What carries requests to platforms; sockets where there is none.
    pub transport: Option<Arc<dyn Transport>>,
    /// What carries webhooks; the system's network where there is none.
    pub webhooks: Option<Network>,
    /// What stands between the store and its engine; nothing where there is none.
    pub gate: Option<Arc<dyn EngineGate>>,
    /// The log, where the daemon is to say how it is.
    pub log: Option<Log>,
    /// Where schedule files are read.
    pub heavy_work: HeavyWork,
}

impl Surroundings {
    /// The system's, by this clock.
    pub fn system(clock: SharedClock) -> Self {
        Self {
            clock,
            random: Arc::new(SystemRandom),
            transport: None,
            webhooks: None,
            gate: None,
            log: None,
            heavy_work: HeavyWork::Apart,
        }
    }
}
