//! What the tests of workers stand on: a clock that stands still, a store in a folder of its own, a link with nothing behind it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::{mpsc, watch};

use super::Link;
use crate::clock::{ManualClock, SeededRandom, SharedClock};
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::engine::keeper_message::KeeperMessage;
use crate::engine::live::Live;
use crate::engine::operations::meter::Meter;
use crate::engine::operations::readiness::Readiness;
use crate::platform::Platform;
use crate::platform::budget::Budget;
use crate::store::{ProcessIdentity, ProcessRole, Store};

/// Gone with its folder when it is dropped.
pub(in crate::engine) struct TenantFixture {
    pub(in crate::engine) clock: ManualClock,
    pub(in crate::engine) store: Store,
    pub(in crate::engine) live: Live,
    pub(in crate::engine) folder: TempDir,
}

impl TenantFixture {
    /// An empty store, at this instant.
    pub(in crate::engine) async fn at(start: UtcMicros) -> Self {
        let clock = ManualClock::at(start);
        let shared: SharedClock = Arc::new(clock.clone());
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("s.db").display());
        let identity = ProcessIdentity { host: "desk".to_owned(), pid: 1, version: "0".to_owned() };
        let store = Store::open(&url, ProcessRole::Daemon, shared.clone(), &identity).await.expect("opens");
        let live = Live::new(shared, store.reader().clone(), 10);
        Self { clock, store, live, folder }
    }

    pub(in crate::engine) fn shared_clock(&self) -> SharedClock {
        Arc::new(self.clock.clone())
    }

    /// A link of the tenant `acme` with a budget that no test spends, and none for figures.
    pub(in crate::engine) fn link(&self, platform: Arc<dyn Platform>, inbox: mpsc::Sender<KeeperMessage>) -> Link {
        let tenant = TenantId::from("acme");
        Link {
            platform,
            clock: self.shared_clock(),
            random: Arc::new(SeededRandom::new(1)),
            writer: self.store.writer().clone(),
            reader: self.store.reader().clone(),
            readiness: Readiness::new(self.shared_clock()),
            live: self.live.open(&tenant),
            tenant,
            inbox,
            thresholds: watch::Sender::default(),
            team_queues: watch::Sender::default(),
            queries: watch::Sender::new(Arc::from([])),
            budget: Mutex::new(Budget::new(1000, Duration::from_secs(60), 0)),
            reporting_budget: Mutex::new(Budget::closed()),
            figures: watch::Sender::default(),
            watched_series: watch::Sender::new(Arc::from([])),
            anomalies: watch::Sender::default(),
            offset: Mutex::default(),
            meter: Meter::default(),
            feed: Mutex::default(),
            directory: std::sync::Mutex::default(),
            erasures: tokio::sync::Notify::new(),
            subscriptions: Mutex::default(),
        }
    }
}
