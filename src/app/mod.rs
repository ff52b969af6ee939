//! Starts a daemon from its configuration, runs it and stops it in order.
//!
//! All parts are created here and passed to each other; the other modules do not know how their dependencies are made.

mod access;
mod agent_files;
mod budget;
mod jobs;
mod open_files;
mod reload;
mod reports;
pub mod rotation;
mod runtime_environment;
mod schedules;
mod service_manager;
mod settings;
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
use crate::engine::agents::erasure::ErasureServices;
use crate::engine::analytics::Analytics;
use crate::engine::audit::heads::{self, HeadParts, HeadSettings};
use crate::engine::changes::idempotency::IdempotentRequests;
use crate::engine::changes::keeper_handle::KeeperHandle;
use crate::engine::jobs::sources::{self, SourceWatchParts};
use crate::engine::jobs::{self as calendar, JobParts, JobSpecs, Jobs};
use crate::engine::live::Live;
use crate::engine::operations::log::{self, Log};
use crate::engine::operations::readiness::Readiness;
use crate::engine::operations::status::{Reloads, StatusParts, StatusService};
use crate::engine::operations::store_watch;
use crate::engine::operations::supervisor::{OnFailure, Supervisor, SupervisorExit};
use crate::engine::operations::tenants::Tenants;
use crate::engine::platform::probe::Probes;
use crate::engine::rules::backtests::Backtests;
use crate::engine::webhooks::deliver::{self, DeliverParts, Endpoints, Outbox};
use crate::http::{self, ApiState, Certificate};
use crate::platform::client::Transport;
use crate::store::{EngineInterceptor, ProcessIdentity, ProcessRole, Reader, Store};

use self::access::{AccessSettings, TlsParts};
use self::agent_files::{AgentFilesOnDisk, FileLocations};
use self::jobs::{JobServices, job_specs};
use self::reload::ActiveSettings;
use self::reports::ReportRunner;
use self::rotation::KeyFiles;
use self::tenants::{TenantList, TenantServices, TenantSupervisorContext};
use self::webhooks::Webhooks;

pub use access::open_accounts;
pub use jobs::configured_job_infos;
pub use reload::Reload;
pub use runtime_environment::{HeavyWork, RuntimeEnvironment};
pub use schedules::{Importer, check_file, file_request_parts, request_of_file};
pub use service_manager::ServiceManager;
pub use settings::{SettingsError, guide_platform_for, incontact_platform_for, platform_for, tenant_settings};

/// How long tasks may take to finish their work at a stop, in real time.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(7);

/// How long the store may take to close after [`DRAIN_TIMEOUT`], in real time. The sum is below the ten seconds after
/// which service managers kill a process.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A daemon that is ready to run.
pub struct App {
    services: AppServices,
    reload_requested: Arc<Notify>,
    supervisor: Supervisor,
    stop: CancellationToken,
    reload: Reload,
    importer: Importer,
    status: StatusService,
    accounts: Accounts,
    api: axum::Router,
    /// The address that the daemon listens on.
    pub listen: SocketAddr,
    /// The hub of the live view.
    pub live: Live,
}

/// What the other parts are built from.
struct AppServices {
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

/// Returns the clock that a configuration asks for. A simulated clock continues after the newest instant in the store,
/// so that time does not go back at a restart.
pub async fn clock_for(config: &Config) -> SharedClock {
    if !config.clock.is_simulated() {
        return Arc::new(SystemClock::real());
    }
    let newest = match Store::read(config.store.connection_url().expose()).await {
        Ok(reader) => {
            let newest = newest_instant(&reader, config).await;
            reader.close().await;
            newest
        }
        // A store that does not exist yet contains no instants. One that cannot be opened is reported when the daemon
        // opens it.
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

/// Returns the identity of this process, which is shown to the next process that tries to open the store.
pub fn identity() -> ProcessIdentity {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    ProcessIdentity {
        host: if host.is_empty() { "unknown" } else { host }.to_owned(),
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

impl App {
    /// Opens the store, binds the address and creates every worker. Nothing runs before [`App::run`].
    pub async fn start(config: Config, clock: SharedClock, soft: CancellationToken) -> anyhow::Result<Self> {
        Self::start_with_environment(RuntimeEnvironment::system(clock), config, soft).await
    }

    /// As [`App::start`], in another environment than the system's, such as a simulation.
    pub async fn start_with_environment(
        environment: RuntimeEnvironment,
        config: Config,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let RuntimeEnvironment { clock, random, transport, webhooks, interceptor, log, heavy_work } = environment;
        let store = open_store(&config, interceptor, clock.clone()).await?;
        let tls = access::certificate(&config.server)?;
        let (listener, listen) = bind(&config, &store).await?;
        let readiness = Readiness::new(clock.clone());
        readiness.ready(store_watch::PART);
        let mut supervisor = Supervisor::new(stop.clone(), readiness.clone());
        let live = start_live(&mut supervisor, &store, clock.clone(), config.server.max_viewers);
        start_log_watch(&mut supervisor, log.clone(), &readiness);
        let services = AppServices::new(store, (clock, random), transport, readiness, live.clone());
        let (webhooks, endpoints) = Webhooks::new(&config, services.outbox.clone(), webhooks)?;
        // Started first, so that a new endpoint receives every later event.
        let deliveries = services.start_deliveries(&mut supervisor, endpoints).await?;
        let heads = services.start_heads(&mut supervisor, &config)?;
        let import_options = watch::Sender::new(config.import.clone());
        let importer = services.importer(import_options.subscribe(), heavy_work);
        let reports = services.start_reports(&mut supervisor, &config);
        let locations = watch::Sender::new(Arc::new(FileLocations::of(&config)));
        let backtests = services.start_backtests(&mut supervisor);
        let erasure = services.erasure_services(&locations, &importer, &reports, &backtests);
        let tenants = services.start_tenants(&mut supervisor, &config, deliveries, heads.clone(), erasure.clone())?;
        let access = AccessSettings::new(&config.server);
        let accounts = services.start_accounts(&mut supervisor, &access).await?;
        let reader = services.store.reader().clone();
        let audit_keys = config.audit.former_keys.iter().copied().chain([heads.key.public_key()]).collect();
        let job_services = services.job_services(importer.clone(), heads, reports.clone());
        let jobs = watch::Sender::new(job_specs(&config, &job_services));
        let jobs_handle = services.start_jobs(&mut supervisor, jobs.subscribe());
        let reloads = Reloads::new(services.clock.now());
        let status = services.status_service(jobs_handle.clone(), reloads.clone(), log);
        let reload_requested = Arc::new(Notify::new());
        let api_services = http::ApiServices {
            tokens: access.tokens(),
            accounts: accounts.clone(),
            keepers: importer.keeper_client.clone(),
            reader: reader.clone(),
            readiness: services.readiness.clone(),
            importer: Arc::new(importer.clone()),
            offers: Arc::new(importer.clone()),
            jobs: jobs_handle,
            probes: Probes::new(services.tenants.clone()),
            outbox: services.outbox.clone(),
            live: live.clone(),
            idempotency: IdempotentRequests::new(reader, services.store.writer().clone(), services.clock.clone()),
            status: status.clone(),
            backtests,
            metrics_open: config.server.metrics == MetricsAccess::Open,
            audit_keys,
            key_rotator: services.key_files(webhooks.files(), reloads.clone(), reload_requested.clone()),
            reports: Arc::new(reports),
            analytics: services.analytics.clone(),
            tenant_resources: erasure.files,
        };
        let api = start_server(&mut supervisor, listener, tls, ApiState::new(api_services));
        services.start_store_watch(&mut supervisor, &config);
        let active =
            ActiveSettings { tenants, webhooks, access, import_options, locations, jobs, job_services, reloads };
        let reload = Reload::new(active);
        Ok(Self { services, reload_requested, supervisor, stop, reload, importer, status, accounts, api, listen, live })
    }

    /// Returns the importer of schedule files.
    pub fn importer(&self) -> Importer {
        self.importer.clone()
    }

    /// Returns the accounts of the people who may use the daemon.
    pub fn accounts(&self) -> Accounts {
        self.accounts.clone()
    }

    /// Returns the routes of the API, for callers in this process. Such requests have no peer address.
    pub fn api(&self) -> axum::Router {
        self.api.clone()
    }

    /// Returns the service that reports the daemon's status.
    pub fn status(&self) -> StatusService {
        self.status.clone()
    }

    /// Returns the handle that reloads the configuration.
    pub fn reload(&self) -> Reload {
        self.reload.clone()
    }

    /// Returns the notification that is sent when a request to the daemon needs a reload of the configuration.
    pub fn reload_requested(&self) -> Arc<Notify> {
        self.reload_requested.clone()
    }

    /// Reports the daemon's state and liveness to a service manager from now on.
    pub fn log_start(&mut self, manager: ServiceManager) {
        if !manager.is_present() {
            return;
        }
        let liveness = service_manager::Liveness {
            writer: self.services.store.writer().clone(),
            tenants: self.services.tenants.clone(),
            readiness: self.services.readiness.clone(),
        };
        self.supervisor.spawn("service manager", OnFailure::Restart, move |soft| manager.run(liveness.clone(), soft));
    }

    /// Runs until the soft token is cancelled or an essential task fails. Then closes the store, if that succeeds
    /// within the time limit.
    pub async fn run(self) -> SupervisorExit {
        let ended = self.supervisor.run(DRAIN_TIMEOUT).await;
        self.stop.cancel();
        close_store(self.services.store).await;
        ended
    }
}

impl AppServices {
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

    /// Prepares the signed heads of the audit chains. The store is locked by now, so no other process creates the
    /// signing key at the same time.
    fn start_heads(&self, supervisor: &mut Supervisor, config: &Config) -> anyhow::Result<HeadParts> {
        let file = config.audit.key_file(&config.store);
        let parts = HeadParts {
            writer: self.store.writer().clone(),
            reader: self.store.reader().clone(),
            clock: self.clock.clone(),
            random: self.random.clone(),
            key: heads::key::read_or_create(&file, &*self.random)?,
            tenants: self.tenants.clone(),
            settings: HeadSettings { entries: config.audit.head_entries, folder: config.audit.heads_folder.clone() },
            signing_lock: Arc::default(),
        };
        let worker_heads = parts.clone();
        supervisor.spawn("audit heads", OnFailure::Restart, move |soft| heads::run(worker_heads.clone(), soft));
        Ok(parts)
    }

    /// Activates the configuration's tenants. Reloads work on the returned list.
    fn start_tenants(
        &self,
        supervisor: &mut Supervisor,
        config: &Config,
        deliveries: DeliverParts,
        heads: HeadParts,
        erasure_services: ErasureServices,
    ) -> anyhow::Result<TenantList> {
        let tenant_services = TenantServices {
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
        let (list, wanted) = TenantList::new(config, tenant_services)?;
        let parts = TenantSupervisorContext { target: wanted, deliveries, heads, erasure_services };
        supervisor.spawn("tenants", OnFailure::Restart, move |soft| tenants::run(parts.clone(), soft));
        Ok(list)
    }

    /// Reads the accounts and starts the task that maintains them.
    async fn start_accounts(&self, supervisor: &mut Supervisor, access: &AccessSettings) -> anyhow::Result<Accounts> {
        let (clock, random) = (self.clock.clone(), self.random.clone());
        let accounts = access.accounts(&self.store, clock, random, self.tenants.clone()).await?;
        let worker_accounts = accounts.clone();
        supervisor.spawn("accounts", OnFailure::Restart, move |soft| {
            accounts::maintenance::run(worker_accounts.clone(), soft)
        });
        Ok(accounts)
    }

    fn key_files(
        &self,
        files: watch::Receiver<rotation::SecretFiles>,
        reloads: Reloads,
        reload: Arc<Notify>,
    ) -> Arc<dyn http::KeyRotator> {
        let (writer, clock, random) = (self.store.writer().clone(), self.clock.clone(), self.random.clone());
        Arc::new(KeyFiles { files, writer, clock, random, reloads, reload })
    }

    fn importer(&self, options: watch::Receiver<ImportOptions>, heavy_work: HeavyWork) -> Importer {
        Importer {
            writer: self.store.writer().clone(),
            reader: self.store.reader().clone(),
            clock: self.clock.clone(),
            random: self.random.clone(),
            keeper_client: KeeperHandle::new(self.tenants.clone()).with_store_watch(self.store.writer().failure()),
            options,
            import_lock: Arc::default(),
            heavy_work,
        }
    }

    fn job_services(&self, importer: Importer, heads: HeadParts, reports: ReportRunner) -> JobServices {
        JobServices {
            writer: self.store.writer().clone(),
            reader: self.store.reader().clone(),
            clock: self.clock.clone(),
            tenants: self.tenants.clone(),
            importer,
            heads,
            reports,
            analytics: self.analytics.clone(),
            transport: self.transport.clone(),
        }
    }

    /// Starts the scheduled jobs and returns the handle for requests about them.
    fn start_jobs(&self, supervisor: &mut Supervisor, specs: JobSpecs) -> Jobs {
        let (handle, requests) = Jobs::new(specs.clone(), self.clock.clone());
        let watch = SourceWatchParts {
            specs: specs.clone(),
            writer: self.store.writer().clone(),
            reader: self.store.reader().clone(),
            clock: self.clock.clone(),
            readiness: self.readiness.clone(),
        };
        supervisor.spawn("schedule sources", OnFailure::Restart, move |soft| sources::run(watch.clone(), soft));
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
        handle
    }

    /// Starts the worker that runs backtests and returns the handle for requesting them.
    fn start_backtests(&self, supervisor: &mut Supervisor) -> Backtests {
        let backtests = Backtests::new(self.store.reader().clone(), self.clock.clone(), self.random.clone());
        let worker = backtests.clone();
        supervisor.spawn("rule trials", OnFailure::Restart, move |soft| worker.clone().run(soft));
        backtests
    }

    /// Returns what the erasure of agents needs.
    fn erasure_services(
        &self,
        locations: &watch::Sender<Arc<FileLocations>>,
        importer: &Importer,
        reports: &ReportRunner,
        backtests: &Backtests,
    ) -> ErasureServices {
        ErasureServices {
            outbox: self.outbox.clone(),
            files: Arc::new(AgentFilesOnDisk { locations: locations.subscribe(), reports: reports.clone() }),
            backtests: backtests.clone(),
            imports: importer.import_lock.clone(),
        }
    }

    /// Starts the worker that makes reports and returns the handle for requesting them.
    fn start_reports(&self, supervisor: &mut Supervisor, config: &Config) -> ReportRunner {
        let store = (self.store.writer().clone(), self.store.reader().clone());
        let reports = ReportRunner::new(config, self.tenants.clone(), store, self.clock.clone(), self.random.clone());
        let worker = reports.clone();
        supervisor.spawn("reports", OnFailure::Restart, move |soft| worker.clone().run(soft));
        reports
    }

    fn status_service(&self, jobs: Jobs, reloads: Reloads, log: Option<Log>) -> StatusService {
        StatusService::new(StatusParts {
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
        let (readiness, store_url) = (self.readiness.clone(), config.store.url.clone());
        supervisor.spawn("store watch", OnFailure::Restart, move |soft| {
            store_watch::run(writer.clone(), clock.clone(), readiness.clone(), store_url.clone(), soft)
        });
    }
}

fn start_log_watch(supervisor: &mut Supervisor, log: Option<Log>, readiness: &Readiness) {
    let Some(log) = log else { return };
    let readiness = readiness.clone();
    supervisor.spawn("log watch", OnFailure::Restart, move |soft| log::run(log.clone(), readiness.clone(), soft));
}

fn start_live(supervisor: &mut Supervisor, store: &Store, clock: SharedClock, max_viewers: usize) -> Live {
    let live = Live::new(clock, store.reader().clone(), max_viewers);
    let worker = live.clone();
    supervisor.spawn("live", OnFailure::Restart, move |soft| worker.clone().run(soft));
    live
}

async fn open_store(
    config: &Config,
    interceptor: Option<Arc<dyn EngineInterceptor>>,
    clock: SharedClock,
) -> anyhow::Result<Store> {
    let url = config.store.connection_url();
    Ok(Store::open_with_interceptor(interceptor, url.expose(), ProcessRole::Daemon, clock, &identity()).await?)
}

/// Binds the address and records it for commands that look for the daemon.
async fn bind(config: &Config, store: &Store) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(config.server.listen).await.with_context(|| {
        format!("cannot listen on {}: free the address or change [server] listen", config.server.listen)
    })?;
    open_files::raise_limit(config.server.max_viewers);
    let listen = listener.local_addr().context("the address of the listening socket is unknown")?;
    store.writer().set_listen(&listen.to_string()).await?;
    Ok((listener, listen))
}

/// Starts the HTTP server, and reloads its certificate when that changes, if it has one. Returns the routes.
fn start_server(
    supervisor: &mut Supervisor,
    listener: TcpListener,
    tls: Option<TlsParts>,
    state: ApiState,
) -> axum::Router {
    let certificate: Option<Certificate> = tls.map(|(files, certificate, in_force)| {
        supervisor.spawn("certificate", OnFailure::Restart, move |soft| {
            http::watch_files(files.clone(), in_force.clone(), soft)
        });
        certificate
    });
    let (listener, routes) = (Arc::new(listener), http::router(state.clone()));
    supervisor.spawn("http", OnFailure::Restart, move |soft| {
        http::serve(listener.clone(), state.clone(), certificate.clone(), soft)
    });
    routes
}

/// Closes the store within [`CLOSE_TIMEOUT`]. Committed data is durable either way: a store that was left open is
/// recovered as after a crash.
async fn close_store(store: Store) {
    tokio::select! {
        () = store.close() => {}
        () = RealTime::sleep(CLOSE_TIMEOUT) => {
            tracing::warn!(limit_ms = CLOSE_TIMEOUT.as_millis(), "the store did not close in time");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::config::{ConfigText, Environment};

    #[tokio::test]
    async fn an_accelerated_clock_continues_from_the_time_of_the_store() {
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
        let fresh = clock_for(&config).await.now();
        assert!(fresh >= start && fresh.since(start) < Duration::from_secs(3600), "{fresh}");

        let later = start + Duration::from_secs(30 * 24 * 3600);
        let store =
            Store::open(&url, ProcessRole::Daemon, Arc::new(ManualClock::at(later)), &identity()).await.expect("opens");
        store.close().await;
        assert!(clock_for(&config).await.now() >= later, "time does not go back");
    }
}
