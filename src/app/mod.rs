//! From a configuration to a running daemon, and to its orderly stop.
//!
//! Everything is made here and handed in; the rooms below do not know each other's makers.

mod budget;
mod import;
mod jobs;
mod reload;
mod settings;
mod webhooks;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::{RealTime, SharedClock, SharedRandom, SystemClock, SystemRandom};
use crate::config::{Config, Tenant};
use crate::domain::ids::AgentId;
use crate::domain::import::ImportOptions;
use crate::domain::time::UtcMicros;
use crate::engine::deliver::{self, DeliverParts, Endpoints, Outbox};
use crate::engine::door::Door;
use crate::engine::figures;
use crate::engine::heads::{self, HeadParts, HeadSettings};
use crate::engine::jobs::{self as calendar, JobParts, Jobs};
use crate::engine::keeper::{self, KeeperParts};
use crate::engine::link::Link;
use crate::engine::message::INBOX;
use crate::engine::probe::Probes;
use crate::engine::readiness::Readiness;
use crate::engine::repeats::Repeats;
use crate::engine::sight;
use crate::engine::store_watch;
use crate::engine::supervisor::{Ended, OnFailure, Supervisor};
use crate::http::{self, ApiState};
use crate::store::{Identity, Reader, Role, Store};

use self::webhooks::Webhooks;

pub use import::{Importer, wanted_from_file};
pub use jobs::job_infos;
pub use reload::Reload;
pub use settings::{SettingsError, platform_of, tenant_settings};

/// How long tasks may take to finish what they hold at a stop, in real time.
const DRAIN_REAL: Duration = Duration::from_secs(7);

/// How long the store may take to close after that, in real time: with the drain, less than the ten seconds after which service
/// managers kill.
const CLOSE_REAL: Duration = Duration::from_secs(2);

/// A daemon that is ready to run.
pub struct App {
    store: Store,
    supervisor: Supervisor,
    soft: CancellationToken,
    reload: Reload,
    clock: SharedClock,
    random: SharedRandom,
    import_options: ImportOptions,
    /// Where it listens.
    pub listen: SocketAddr,
    /// What is ready and what is not.
    pub readiness: Readiness,
    /// The way in for changes.
    pub door: Door,
    outbox: Outbox,
}

/// The clock that a configuration asks for. A clock that runs faster goes on after the newest instant of the store, so that
/// time does not go back at a restart.
pub async fn clock_of(config: &Config) -> SharedClock {
    if !config.clock.is_simulated() {
        return Arc::new(SystemClock::real());
    }
    let newest = match Store::read(config.store.connection_url().expose()).await {
        Ok(reader) => {
            let newest = newest_instant(&reader, config).await;
            reader.close().await;
            newest
        }
        // A store that is not there yet holds no time; one that cannot be opened is refused when it is opened for good.
        Err(_) => None,
    };
    let start = config.clock.start.into_iter().chain(newest).max();
    Arc::new(SystemClock::scaled(start, config.clock.speed))
}

async fn newest_instant(reader: &Reader, config: &Config) -> Option<UtcMicros> {
    let stopped = reader.daemon().await.ok().flatten().and_then(|daemon| daemon.stopped_at);
    let mut newest = stopped;
    for tenant in &config.tenants {
        let Ok(head) = reader.chain_head(&tenant.id).await else { continue };
        let last = reader.audit_entries(&tenant.id, head.seq.saturating_sub(1), 1).await.unwrap_or_default();
        newest = newest.max(last.first().map(|entry| entry.columns.at));
    }
    newest
}

/// Who this process is, for the next one that wants the store.
pub fn identity() -> Identity {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    Identity {
        host: if host.is_empty() { "unknown" } else { host }.to_owned(),
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

impl App {
    /// Opens the store, binds the address, makes every worker. Nothing runs before [`App::run`].
    pub async fn start(config: Config, clock: SharedClock, soft: CancellationToken) -> anyhow::Result<Self> {
        let random: SharedRandom = Arc::new(SystemRandom);
        let url = config.store.connection_url();
        let store = Store::open(url.expose(), Role::Daemon, clock.clone(), &identity()).await?;
        let listener = TcpListener::bind(config.server.listen).await.with_context(|| {
            format!("cannot listen on {}: free the address or change [server] listen", config.server.listen)
        })?;
        let listen = listener.local_addr().context("the bound address")?;
        store.writer().set_listen(&listen.to_string()).await?;
        let readiness = Readiness::new(clock.clone());
        readiness.ready(store_watch::PART);
        let outbox = Outbox::default();
        let (webhooks, endpoints) = Webhooks::new(&config, outbox.clone())?;
        let mut app = Self {
            supervisor: Supervisor::new(soft.clone(), readiness.clone()),
            reload: Reload::new(webhooks),
            door: Door::new(HashMap::new()),
            clock: clock.clone(),
            random: random.clone(),
            import_options: config.import.clone(),
            store,
            soft,
            listen,
            readiness,
            outbox,
        };
        // Before anything can happen, so that a new endpoint is told of it.
        app.start_deliveries(endpoints).await?;
        let (mut inboxes, mut links) = (HashMap::new(), Vec::new());
        for tenant in &config.tenants {
            let link = app.start_tenant(&config, tenant, &clock, &random).await?;
            inboxes.insert(tenant.id.clone(), link.inbox.clone());
            links.push(link);
        }
        app.door = Door::new(inboxes).closed_in(app.store.writer().trouble());
        let heads = app.start_heads(&config)?;
        app.start_faces(&config, listener, heads, Probes::new(links));
        Ok(app)
    }

    async fn start_tenant(
        &mut self,
        config: &Config,
        tenant: &Tenant,
        clock: &SharedClock,
        random: &SharedRandom,
    ) -> anyhow::Result<Arc<Link>> {
        let settings = Arc::new(tenant_settings(config, tenant)?);
        let (inbox, arrivals) = mpsc::channel(INBOX);
        let budgets = budget::restored(self.store.reader(), &tenant.id, &settings, clock).await?;
        let link = Arc::new(Link {
            tenant: tenant.id.clone(),
            platform: platform_of(tenant, clock.clone())?,
            clock: clock.clone(),
            random: random.clone(),
            writer: self.store.writer().clone(),
            reader: self.store.reader().clone(),
            readiness: self.readiness.clone(),
            inbox,
            budget: std::sync::Mutex::new(budgets.ordinary),
            reporting_budget: std::sync::Mutex::new(budgets.reporting),
            figures: watch::Sender::default(),
            offset: std::sync::Mutex::default(),
        });
        let (settings_in, settings) = watch::channel(settings);
        let (roster_in, roster) = watch::channel::<Arc<[AgentId]>>(Arc::from([]));
        let parts = KeeperParts {
            link: link.clone(),
            inbox: Arc::new(Mutex::new(arrivals)),
            settings: settings.clone(),
            roster: roster_in,
        };
        self.supervisor
            .spawn(format!("keeper {}", tenant.id), OnFailure::Restart, move |soft| keeper::run(parts.clone(), soft));
        let (figures_link, figures_settings) = (link.clone(), settings.clone());
        self.supervisor.spawn(format!("figures {}", tenant.id), OnFailure::Restart, move |soft| {
            figures::run(figures_link.clone(), figures_settings.clone(), soft)
        });
        let sight_link = link.clone();
        self.supervisor.spawn(format!("sight {}", tenant.id), OnFailure::Restart, move |soft| {
            sight::run(sight_link.clone(), settings.clone(), roster.clone(), soft)
        });
        self.reload.add(tenant.id.clone(), settings_in);
        Ok(link)
    }

    async fn start_deliveries(&mut self, endpoints: watch::Receiver<Endpoints>) -> anyhow::Result<()> {
        let parts = DeliverParts {
            clock: self.clock.clone(),
            random: self.random.clone(),
            writer: self.store.writer().clone(),
            reader: self.store.reader().clone(),
            readiness: self.readiness.clone(),
            outbox: self.outbox.clone(),
            endpoints,
        };
        let first = parts.endpoints.borrow().clone();
        deliver::register(&parts, &first).await?;
        self.supervisor.spawn_lasting("deliver", OnFailure::Restart, move |soft, rest_ended| {
            deliver::run(parts.clone(), soft, rest_ended)
        });
        Ok(())
    }

    /// Takes schedule files in.
    pub fn importer(&self) -> Importer {
        Importer {
            writer: self.store.writer().clone(),
            reader: self.store.reader().clone(),
            clock: self.clock.clone(),
            random: self.random.clone(),
            door: self.door.clone(),
            options: self.import_options.clone(),
        }
    }

    /// Makes signed heads of the audit chains. The store is held, so that nobody else makes the key.
    fn start_heads(&mut self, config: &Config) -> anyhow::Result<HeadParts> {
        let file = config.audit.key_file(&config.store);
        let parts = HeadParts {
            writer: self.store.writer().clone(),
            reader: self.store.reader().clone(),
            clock: self.clock.clone(),
            random: self.random.clone(),
            key: heads::key::read_or_make(&file, &*self.random)?,
            tenants: config.tenants.iter().map(|tenant| tenant.id.clone()).collect(),
            settings: HeadSettings { entries: config.audit.head_entries, folder: config.audit.heads_folder.clone() },
            turn: Arc::default(),
        };
        let watched = parts.clone();
        self.supervisor.spawn("audit heads", OnFailure::Restart, move |soft| heads::run(watched.clone(), soft));
        Ok(parts)
    }

    fn start_faces(&mut self, config: &Config, listener: TcpListener, heads: HeadParts, probes: Probes) {
        let jobs = self.start_jobs(config, heads);
        let state = ApiState::new(http::ApiParts {
            tokens: settings::access(&config.server),
            door: self.door.clone(),
            reader: self.store.reader().clone(),
            readiness: self.readiness.clone(),
            imports: Arc::new(self.importer()),
            jobs,
            probes,
            outbox: self.outbox.clone(),
            repeats: Repeats::new(self.store.reader().clone(), self.store.writer().clone(), self.clock.clone()),
        });
        let (writer, clock) = (self.store.writer().clone(), self.clock.clone());
        let (readiness, place) = (self.readiness.clone(), config.store.url.clone());
        self.supervisor.spawn("store watch", OnFailure::Restart, move |soft| {
            store_watch::run(writer.clone(), clock.clone(), readiness.clone(), place.clone(), soft)
        });
        let listener = Arc::new(listener);
        self.supervisor
            .spawn("http", OnFailure::Restart, move |soft| http::serve(listener.clone(), state.clone(), soft));
    }

    /// Starts the jobs of the calendar; gives the way in for people.
    fn start_jobs(&mut self, config: &Config, heads: HeadParts) -> Jobs {
        let tools = jobs::JobTools {
            writer: self.store.writer().clone(),
            reader: self.store.reader().clone(),
            clock: self.clock.clone(),
            tenants: config.tenants.iter().map(|tenant| tenant.id.clone()).collect(),
            importer: self.importer(),
            heads,
        };
        let specs = jobs::job_specs(config, &tools);
        let (way_in, requests) = Jobs::new(&specs, self.clock.clone());
        let parts = JobParts {
            specs,
            tenants: tools.tenants,
            writer: tools.writer,
            reader: tools.reader,
            clock: tools.clock,
            random: self.random.clone(),
            readiness: self.readiness.clone(),
            requests,
        };
        self.supervisor.spawn("jobs", OnFailure::Restart, move |soft| calendar::run(parts.clone(), soft));
        way_in
    }

    /// What a reload of the configuration goes through.
    pub fn reload(&self) -> Reload {
        self.reload.clone()
    }

    /// Runs until the soft token is cancelled or a task that must not fail does; leaves the store closed, where it closes in
    /// time.
    pub async fn run(self) -> Ended {
        let ended = self.supervisor.run(DRAIN_REAL).await;
        self.soft.cancel();
        close_in_time(self.store).await;
        ended
    }
}

/// What was committed is durable with or without the closing: a store that was left open is read as after a crash.
async fn close_in_time(store: Store) {
    tokio::select! {
        () = store.close() => {}
        () = RealTime::sleep(CLOSE_REAL) => {
            tracing::warn!(limit_ms = CLOSE_REAL.as_millis(), "the store did not close in time and is left as it is");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::config::{ConfigText, Environment};

    #[tokio::test]
    async fn a_clock_that_runs_faster_goes_on_where_the_store_stands() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("s.db").display());
        let text = format!(
            "[clock]\nspeed = 60\nstart = \"2026-10-26T08:00:00Z\"\n[store]\nurl = {url:?}\n[[tenants]]\nid = \"acme\"\n\
             base_url = \"http://127.0.0.1:1\"\nclient_id = \"x\"\nclient_secret = {{ env = \"SECRET\" }}\n"
        );
        let environment: Environment = [("SECRET".to_owned(), "x".to_owned())].into_iter().collect();
        let texts = [ConfigText { file: "c.toml".into(), text }];
        let config = Config::load_texts(&texts, &environment, &[]).expect("sound").config;
        let start: UtcMicros = "2026-10-26T08:00:00Z".parse().expect("an instant");
        let fresh = clock_of(&config).await.now();
        assert!(fresh >= start && fresh.since(start) < Duration::from_secs(3600), "{fresh}");

        let later = start + Duration::from_secs(30 * 24 * 3600);
        let store =
            Store::open(&url, Role::Daemon, Arc::new(ManualClock::at(later)), &identity()).await.expect("opens");
        store.close().await;
        assert!(clock_of(&config).await.now() >= later, "time does not go back");
    }
}
