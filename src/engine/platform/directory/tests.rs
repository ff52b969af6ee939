//! The directory's worker on a clock that stands still: whom it stores, and how often it reads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::mpsc;

use super::*;
use crate::clock::{Clock as _, SharedClock};
use crate::domain::agents::state::AgentState;
use crate::domain::ids::{ReasonCode, SubscriptionId};
use crate::domain::time::UtcMicros;
use crate::engine::operations::settings::DirectorySettings;
use crate::engine::operations::settings::tests::settings as usual_settings;
use crate::engine::platform::link::tests::TenantFixture;
use crate::platform::{Answer, Capabilities, Platform, PlatformHealth, SnapshotBody, SnapshotReader};

/// A platform that has a directory and nothing else.
#[derive(Debug)]
struct ListingPlatform {
    clock: SharedClock,
    agents: Mutex<Vec<ListedAgent>>,
    reads: AtomicUsize,
    is_outdated: AtomicBool,
}

impl ListingPlatform {
    fn page<T>(&self, rows: Vec<T>) -> Answer<ListPage<T>> {
        let now = self.clock.now();
        let page = ListPage { received: rows.len(), total: Some(rows.len()), rows, polled_at: None, hidden: 0 };
        Answer { value: page, latency: Duration::ZERO, sent_at: now, received_at: now, platform_now: None }
    }
}

impl Platform for ListingPlatform {
    fn capabilities(&self) -> Capabilities {
        unreachable!("nobody asks")
    }

    fn status(&self) -> PlatformHealth {
        unreachable!("nobody looks")
    }

    fn set_state<'a>(&'a self, _: &'a AgentId, _: &'a AgentState, _: &'a ReasonCode) -> Call<'a, ()> {
        unreachable!("nothing is changed")
    }

    fn snapshot<'a>(&'a self, _: &'a SubscriptionId) -> Call<'a, SnapshotBody> {
        unreachable!("nobody is observed")
    }

    fn reader(&self, _: &[AgentId]) -> Box<dyn SnapshotReader> {
        unreachable!("nobody is observed")
    }

    fn teams(&self, _: usize) -> Call<'_, ListPage<ListedTeam>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok(self.page(Vec::new())) })
    }

    fn listed_agents<'a>(&'a self, _: Option<&'a str>, _: usize) -> Call<'a, ListPage<ListedAgent>> {
        Box::pin(async { Ok(self.page(self.agents.lock().expect("a lock").clone())) })
    }

    fn is_directory_outdated(&self) -> bool {
        self.is_outdated.load(Ordering::SeqCst)
    }
}

struct Bench {
    tenant: TenantFixture,
    platform: Arc<ListingPlatform>,
    reader: DirectoryReader,
    settings: watch::Sender<Arc<TenantSettings>>,
    _inbox: mpsc::Receiver<KeeperMessage>,
}

/// A directory in which `u_1` is active and `u_2` is not.
async fn bench(joins_roster: bool) -> Bench {
    let tenant = TenantFixture::at(UtcMicros::EPOCH + Duration::from_secs(3_600_000)).await;
    let listed = |id: &str, is_active| ListedAgent {
        id: AgentId::new(id),
        user_id: Some(format!("user of {id}").into()),
        user_name: None,
        name: None,
        team: None,
        zone: None,
        is_active,
    };
    let platform = Arc::new(ListingPlatform {
        clock: tenant.shared_clock(),
        agents: Mutex::new(vec![listed("u_1", true), listed("u_2", false)]),
        reads: AtomicUsize::new(0),
        is_outdated: AtomicBool::new(false),
    });
    let (inbox, received) = mpsc::channel(64);
    let link = Arc::new(tenant.link(platform.clone(), inbox));
    let settings = watch::Sender::new(Arc::new(settings(joins_roster, &[])));
    let reader = DirectoryReader::new(link, settings.subscribe());
    Bench { tenant, platform, reader, settings, _inbox: received }
}

fn settings(joins_roster: bool, agents: &[&str]) -> TenantSettings {
    let agents: Vec<AgentId> = agents.iter().map(|id| AgentId::new(*id)).collect();
    TenantSettings { directory: DirectorySettings { joins_roster }, ..usual_settings(&agents) }
}

impl Bench {
    /// The stored agents and their user accounts.
    async fn stored(&self) -> Vec<(String, Option<String>)> {
        let agents = self.tenant.store.reader().agents(&"acme".into()).await.expect("readable");
        let row =
            |agent: crate::store::StoredAgent| (agent.agent.id.to_string(), agent.user_id.map(|id| id.to_string()));
        agents.into_iter().map(row).collect()
    }
}

#[tokio::test]
async fn people_who_are_not_observed_are_not_stored() {
    let mut bench = bench(true).await;
    bench.reader.read().await.expect("stored").expect("read");
    let of_first = ("u_1".to_owned(), Some("user of u_1".to_owned()));
    assert_eq!(bench.stored().await, [of_first]);
    // An agent who is deactivated is known, so that the deactivation is stored.
    bench.platform.agents.lock().expect("a lock")[0].is_active = false;
    bench.reader.read().await.expect("stored").expect("read");
    let agents = bench.tenant.store.reader().agents(&"acme".into()).await.expect("readable");
    assert_eq!((agents.len(), agents[0].is_on_roster()), (1, false));
}

#[tokio::test]
async fn an_agent_who_becomes_known_later_gets_the_facts_of_the_list_without_a_call() {
    let mut bench = bench(false).await;
    bench.reader.read().await.expect("stored").expect("read");
    assert_eq!(bench.stored().await, []);
    bench.settings.send_replace(Arc::new(settings(false, &["u_1"])));
    bench.reader.store_listed(&[], false).await.expect("stored");
    assert_eq!(bench.stored().await, [("u_1".to_owned(), Some("user of u_1".to_owned()))]);
    assert_eq!(bench.platform.reads.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_directory_that_stays_outdated_is_read_every_ten_minutes_at_most() {
    let mut bench = bench(true).await;
    bench.platform.is_outdated.store(true, Ordering::SeqCst);
    let clock = bench.tenant.clock.clone();
    let from = clock.monotonic();
    let time_passes = async {
        loop {
            clock.advance(CHECK_EVERY);
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        }
    };
    tokio::select! {
        read = bench.reader.wait(READ_EVERY) => read.expect("stored"),
        () = time_passes => {}
    }
    let waited = clock.monotonic().saturating_sub(from);
    assert!((MIN_REREAD..MIN_REREAD + CHECK_EVERY * 2).contains(&waited), "{waited:?}");
    assert_eq!(bench.reader.read_all_at, None, "all codes are read then");
}
