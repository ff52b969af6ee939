//! From a configuration to a running daemon, and to its orderly stop.
//!
//! Everything is made here and handed in; the rooms below do not know each other's makers.

mod belongings;
mod budget;
mod import;
mod jobs;
mod open_files;
mod people;
mod reload;
mod reports;
pub mod rotation;
mod service_manager;
mod settings;
mod surroundings;
mod tenants;
mod webhooks;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::{RealTime, SharedClock, SharedRandom, SystemClock};
use crate::config::{Config, MetricsAccess};
use crate::domain::schedules::import::ImportOptions;
use crate::domain::time::UtcMicros;
use crate::engine::access::accounts::{self, Accounts};
use crate::engine::agents::erase::EraseTools;
use crate::engine::analytics::Analytics;
use crate::engine::audit::heads::{self, HeadParts, HeadSettings};
use crate::engine::changes::door::Door;
use crate::engine::changes::repeats::Repeats;
use crate::engine::jobs::{self as calendar, JobParts, JobSpecs, Jobs};
use crate::engine::live::Live;
use crate::engine::operations::log::{self, Log};
use crate::engine::operations::readiness::Readiness;
use crate::engine::operations::status::{Reloads, StatusDesk, StatusParts};
use crate::engine::operations::store_watch;
use crate::engine::operations::supervisor::{Ended, OnFailure, Supervisor};
use crate::engine::operations::tenants::Tenants;
use crate::engine::platform::probe::Probes;
use crate::engine::rules::trials::Trials;
use crate::engine::webhooks::deliver::{self, DeliverParts, Endpoints, Outbox};
use crate::http::{self, ApiState, Certificate};
use crate::platform::client::Transport;
use crate::store::{Identity, Reader, Role, Store};

use self::belongings::{Outside, Places};
use self::jobs::{JobTools, job_specs};
use self::people::{Access, Secured};
use self::reload::InForce;
use self::reports::ReportDesk;
use self::rotation::KeyFiles;
use self::tenants::{TenantList, TenantParts, TenantTools};
use self::webhooks::Webhooks;

pub use import::{Importer, wanted_from_file};
pub use jobs::job_infos;
pub use people::accounts_of;
pub use reload::Reload;
pub use service_manager::ServiceManager;
pub use settings::{SettingsError, platform_of, tenant_settings};
pub use surroundings::{HeavyWork, Surroundings};

/// How long tasks may take to finish what they hold at a stop, in real time.
const DRAIN_REAL: Duration = Duration::from_secs(7);

/// How long the store may take to close after that, in real time: with the drain, less than the ten seconds after which service
/// managers kill.
const CLOSE_REAL: Duration = Duration::from_secs(2);

/// A daemon that is ready to run.
pub struct App {
    parts: Parts,
    reload_wanted: Arc<Notify>,
    supervisor: Supervisor,
    soft: CancellationToken,
    reload: Reload,
    importer: Importer,
    status: StatusDesk,
    accounts: Accounts,
    api: axum::Router,
    /// Where it listens.
    pub listen: SocketAddr,
    /// The live picture's hub.
    pub live: Live,
}

/// What everything is made of.
struct Parts {
    store: Store,
    clock: SharedClock,
    random: SharedRandom,
    transport: Option<Arc<dyn Transport>>,
    readiness: Readiness,
    outbox: Outbox,
    tenants: Tenants,
    live: Live,
    analytics: Analytics,
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
        Self::start_in(Surroundings::system(clock), config, soft).await
    }

    /// The same in other surroundings than the system's.
    pub async fn start_in(surroundings: Surroundings, config: Config, soft: CancellationToken) -> anyhow::Result<Self> {
        let Surroundings { clock, random, transport, webhooks, gate, log, heavy_work } = surroundings;
        let url = config.store.connection_url();
        let store = Store::open_through(gate, url.expose(), Role::Daemon, clock.clone(), &identity()).await?;
        let secured = people::certificate(&config.server)?;
        let (listener, listen) = bind(&config, &store).await?;
        let readiness = Readiness::new(clock.clone());
        readiness.ready(store_watch::PART);
        let mut supervisor = Supervisor::new(soft.clone(), readiness.clone());
        let live = Live::new(clock.clone(), store.reader().clone(), config.server.viewers);
        start_live(&mut supervisor, live.clone());
        start_log_watch(&mut supervisor, log.clone(), &readiness);
        let parts = Parts::new(store, (clock, random), transport, readiness, live.clone());
        let (webhooks, endpoints) = Webhooks::new(&config, parts.outbox.clone(), webhooks)?;
        // Before anything can happen, so that a new endpoint is told of it.
        let deliveries = parts.start_deliveries(&mut supervisor, endpoints).await?;
        let heads = parts.start_heads(&mut supervisor, &config)?;
        let import_options = watch::Sender::new(config.import.clone());
        let importer = parts.importer(import_options.subscribe(), heavy_work);
        let desk = parts.start_reports(&mut supervisor, &config);
        let places = watch::Sender::new(Arc::new(Places::of(&config)));
        let trials = parts.start_trials(&mut supervisor);
        let erasing = parts.erasing(&places, &importer, &desk, &trials);
        let tenants = parts.start_tenants(&mut supervisor, &config, deliveries, heads.clone(), erasing.clone())?;
        let access = Access::new(&config.server);
        let accounts = parts.start_accounts(&mut supervisor, &access).await?;
        let audit_keys = config.audit.former_keys.iter().copied().chain([heads.key.public()]).collect();
        let job_tools = parts.job_tools(importer.clone(), heads, desk.clone());
        let jobs = watch::Sender::new(job_specs(&config, &job_tools));
        let jobs_door = parts.start_jobs(&mut supervisor, jobs.subscribe());
        let reloads = Reloads::new(parts.clock.now());
        let status = parts.status_desk(jobs_door.clone(), reloads.clone(), log);
        let reload_wanted = Arc::new(Notify::new());
        let rotations = parts.key_files(webhooks.files(), reloads.clone(), reload_wanted.clone());
        let face = http::ApiParts {
            tokens: access.tokens(),
            accounts: accounts.clone(),
            door: importer.door.clone(),
            reader: parts.store.reader().clone(),
            readiness: parts.readiness.clone(),
            imports: Arc::new(importer.clone()),
            jobs: jobs_door,
            probes: Probes::new(parts.tenants.clone()),
            outbox: parts.outbox.clone(),
            live: live.clone(),
            repeats: Repeats::new(parts.store.reader().clone(), parts.store.writer().clone(), parts.clock.clone()),
            status: status.clone(),
            trials,
            metrics_open: config.server.metrics == MetricsAccess::Open,
            audit_keys,
            rotations,
            reports: Arc::new(desk),
            analytics: parts.analytics.clone(),
            belongings: erasing.belongings,
        };
        let api = start_face(&mut supervisor, listener, secured, ApiState::new(face));
        parts.start_store_watch(&mut supervisor, &config);
        let reload =
            Reload::new(InForce { tenants, webhooks, access, import_options, places, jobs, job_tools, reloads });
        Ok(Self { parts, reload_wanted, supervisor, soft, reload, importer, status, accounts, api, listen, live })
    }

    /// Takes schedule files in.
    pub fn importer(&self) -> Importer {
        self.importer.clone()
    }

    /// Who may use it.
    pub fn accounts(&self) -> Accounts {
        self.accounts.clone()
    }

    /// Answers the requests of its HTTP face, for callers in this process; they come without an address of their own.
    pub fn api(&self) -> axum::Router {
        self.api.clone()
    }

    /// Looks at how the daemon is.
    pub fn status(&self) -> StatusDesk {
        self.status.clone()
    }

    /// What a reload of the configuration goes through.
    pub fn reload(&self) -> Reload {
        self.reload.clone()
    }

    /// Told when somebody asked the daemon for what takes a reload of the configuration.
    pub fn reload_wanted(&self) -> Arc<Notify> {
        self.reload_wanted.clone()
    }

    /// Tells a service manager, from now on, how the daemon is and that it lives.
    pub fn tell(&mut self, manager: ServiceManager) {
        if !manager.is_there() {
            return;
        }
        let vital = service_manager::Vital {
            writer: self.parts.store.writer().clone(),
            tenants: self.parts.tenants.clone(),
            readiness: self.parts.readiness.clone(),
        };
        self.supervisor.spawn("service manager", OnFailure::Restart, move |soft| manager.run(vital.clone(), soft));
    }

    /// Runs until the soft token is cancelled or a task that must not fail does; leaves the store closed, where it closes in
    /// time.
    pub async fn run(self) -> Ended {
        let ended = self.supervisor.run(DRAIN_REAL).await;
        self.soft.cancel();
        close_in_time(self.parts.store).await;
        ended
    }
}

impl Parts {
    fn new(
        store: Store,
        (clock, random): (SharedClock, SharedRandom),
        transport: Option<Arc<dyn Transport>>,
        readiness: Readiness,
        live: Live,
    ) -> Self {
        let (writer, reader) = (store.writer().clone(), store.reader().clone());
        let analytics = Analytics::new(writer, reader, clock.clone(), random.clone());
        let (outbox, tenants) = (Outbox::default(), Tenants::default());
        Self { store, clock, random, transport, readiness, outbox, tenants, live, analytics }
    }

    async fn start_deliveries(
        &self,
        supervisor: &mut Supervisor,
        endpoints: watch::Receiver<Endpoints>,
    ) -> anyhow::Result<DeliverParts> {
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
        let shared = parts.clone();
        supervisor.spawn_lasting("deliver", OnFailure::Restart, move |soft, rest_ended| {
            deliver::run(shared.clone(), soft, rest_ended)
        });
        Ok(parts)
    }

    /// Makes signed heads of the audit chains. The store is held, so that nobody else makes the key.
    fn start_heads(&self, supervisor: &mut Supervisor, config: &Config) -> anyhow::Result<HeadParts> {
        let file = config.audit.key_file(&config.store);
        let parts = HeadParts {
            writer: self.store.writer().clone(),
            reader: self.store.reader().clone(),
            clock: self.clock.clone(),
            random: self.random.clone(),
            key: heads::key::read_or_make(&file, &*self.random)?,
            tenants: self.tenants.clone(),
            settings: HeadSettings { entries: config.audit.head_entries, folder: config.audit.heads_folder.clone() },
            turn: Arc::default(),
        };
        let watched = parts.clone();
        supervisor.spawn("audit heads", OnFailure::Restart, move |soft| heads::run(watched.clone(), soft));
        Ok(parts)
    }

    /// Puts the tenants of the configuration in force; the list is where a reload goes on from.
    fn start_tenants(
        &self,
        supervisor: &mut Supervisor,
        config: &Config,
        deliveries: DeliverParts,
        heads: HeadParts,
        erasing: EraseTools,
    ) -> anyhow::Result<TenantList> {
        let tools = TenantTools {
            clock: self.clock.clone(),
            random: self.random.clone(),
            writer: self.store.writer().clone(),
            reader: self.store.reader().clone(),
            readiness: self.readiness.clone(),
            directory: self.tenants.clone(),
            live: self.live.clone(),
            analytics: self.analytics.clone(),
            transport: self.transport.clone(),
        };
        let (list, wanted) = TenantList::new(config, tools)?;
        let parts = TenantParts { wanted, deliveries, heads, erasing };
        supervisor.spawn("tenants", OnFailure::Restart, move |soft| tenants::run(parts.clone(), soft));
        Ok(list)
    }

    /// Reads the accounts, and looks after them.
    async fn start_accounts(&self, supervisor: &mut Supervisor, access: &Access) -> anyhow::Result<Accounts> {
        let (clock, random) = (self.clock.clone(), self.random.clone());
        let accounts = access.accounts(&self.store, clock, random, self.tenants.clone()).await?;
        let watched = accounts.clone();
        supervisor.spawn("accounts", OnFailure::Restart, move |soft| accounts::upkeep::run(watched.clone(), soft));
        Ok(accounts)
    }

    fn key_files(
        &self,
        files: watch::Receiver<rotation::SecretFiles>,
        reloads: Reloads,
        reload: Arc<Notify>,
    ) -> Arc<dyn http::Rotations> {
        let (writer, clock, random) = (self.store.writer().clone(), self.clock.clone(), self.random.clone());
        Arc::new(Arc::new(KeyFiles { files, writer, clock, random, reloads, reload }))
    }

    fn importer(&self, options: watch::Receiver<ImportOptions>, heavy_work: HeavyWork) -> Importer {
        Importer {
            writer: self.store.writer().clone(),
            reader: self.store.reader().clone(),
            clock: self.clock.clone(),
            random: self.random.clone(),
            door: Door::new(self.tenants.clone()).closed_in(self.store.writer().trouble()),
            options,
            turn: Arc::default(),
            heavy_work,
        }
    }

    fn job_tools(&self, importer: Importer, heads: HeadParts, reports: ReportDesk) -> JobTools {
        JobTools {
            writer: self.store.writer().clone(),
            reader: self.store.reader().clone(),
            clock: self.clock.clone(),
            tenants: self.tenants.clone(),
            importer,
            heads,
            reports,
            analytics: self.analytics.clone(),
        }
    }

    /// Starts the jobs of the calendar; gives the way in for people.
    fn start_jobs(&self, supervisor: &mut Supervisor, specs: JobSpecs) -> Jobs {
        let (way_in, requests) = Jobs::new(specs.clone(), self.clock.clone());
        let parts = JobParts {
            specs,
            tenants: self.tenants.clone(),
            writer: self.store.writer().clone(),
            reader: self.store.reader().clone(),
            clock: self.clock.clone(),
            random: self.random.clone(),
            readiness: self.readiness.clone(),
            requests,
        };
        supervisor.spawn("jobs", OnFailure::Restart, move |soft| calendar::run(parts.clone(), soft));
        way_in
    }

    /// Starts what carries trials of rules out; gives the way in for people.
    fn start_trials(&self, supervisor: &mut Supervisor) -> Trials {
        let trials = Trials::new(self.store.reader().clone(), self.clock.clone(), self.random.clone());
        let worker = trials.clone();
        supervisor.spawn("rule trials", OnFailure::Restart, move |soft| worker.clone().run(soft));
        trials
    }

    /// What agents are erased with.
    fn erasing(
        &self,
        places: &watch::Sender<Arc<Places>>,
        importer: &Importer,
        desk: &ReportDesk,
        trials: &Trials,
    ) -> EraseTools {
        EraseTools {
            outbox: self.outbox.clone(),
            belongings: Arc::new(Outside { places: places.subscribe(), desk: desk.clone() }),
            trials: trials.clone(),
            imports: importer.turn.clone(),
        }
    }

    /// Starts what makes reports; gives the way in.
    fn start_reports(&self, supervisor: &mut Supervisor, config: &Config) -> ReportDesk {
        let store = (self.store.writer().clone(), self.store.reader().clone());
        let desk = ReportDesk::new(config, self.tenants.clone(), store, self.clock.clone(), self.random.clone());
        let worker = desk.clone();
        supervisor.spawn("reports", OnFailure::Restart, move |soft| worker.clone().run(soft));
        desk
    }

    fn status_desk(&self, jobs: Jobs, reloads: Reloads, log: Option<Log>) -> StatusDesk {
        StatusDesk::new(StatusParts {
            tenants: self.tenants.clone(),
            reader: self.store.reader().clone(),
            writer: self.store.writer().clone(),
            readiness: self.readiness.clone(),
            outbox: self.outbox.clone(),
            jobs,
            live: self.live.clone(),
            analytics: self.analytics.clone(),
            reloads,
            log,
            clock: self.clock.clone(),
            started_at: self.clock.now(),
        })
    }

    fn start_store_watch(&self, supervisor: &mut Supervisor, config: &Config) {
        let (writer, clock) = (self.store.writer().clone(), self.clock.clone());
        let (readiness, place) = (self.readiness.clone(), config.store.url.clone());
        supervisor.spawn("store watch", OnFailure::Restart, move |soft| {
            store_watch::run(writer.clone(), clock.clone(), readiness.clone(), place.clone(), soft)
        });
    }
}

fn start_log_watch(supervisor: &mut Supervisor, log: Option<Log>, readiness: &Readiness) {
    let Some(log) = log else { return };
    let readiness = readiness.clone();
    supervisor.spawn("log watch", OnFailure::Restart, move |soft| log::run(log.clone(), readiness.clone(), soft));
}

fn start_live(supervisor: &mut Supervisor, hub: Live) {
    supervisor.spawn("live", OnFailure::Restart, move |soft| hub.clone().run(soft));
}

/// Binds the address, and notes it for commands that look for the daemon.
async fn bind(config: &Config, store: &Store) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(config.server.listen).await.with_context(|| {
        format!("cannot listen on {}: free the address or change [server] listen", config.server.listen)
    })?;
    open_files::allow(config.server.viewers);
    let listen = listener.local_addr().context("the bound address")?;
    store.writer().set_listen(&listen.to_string()).await?;
    Ok((listener, listen))
}

/// Starts the HTTP face, and follows its certificate where it has one; gives its routes.
fn start_face(
    supervisor: &mut Supervisor,
    listener: TcpListener,
    secured: Option<Secured>,
    state: ApiState,
) -> axum::Router {
    let certificate: Option<Certificate> = secured.map(|(files, certificate, in_force)| {
        supervisor.spawn("certificate", OnFailure::Restart, move |soft| {
            http::follow_files(files.clone(), in_force.clone(), soft)
        });
        certificate
    });
    let (listener, routes) = (Arc::new(listener), http::router(state.clone()));
    supervisor.spawn("http", OnFailure::Restart, move |soft| {
        http::serve(listener.clone(), state.clone(), certificate.clone(), soft)
    });
    routes
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
