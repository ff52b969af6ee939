//! Runs the workers of `[[tenants]]` under one supervisor per tenant, so that a reload restarts only the tenants that
//! changed, and one that cannot start does not affect the others.
//!
//! [`TenantRuntime::start_workers`] lists the workers and what they are made of.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tokio::sync::{Mutex, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::budget;
use super::settings::{SettingsError, platform_with_transport, tenant_settings};
use crate::clock::{SharedClock, SharedRandom};
use crate::config::{Config, Tenant};
use crate::domain::analytics::analytics_run::ConfiguredQuery;
use crate::domain::audit::AuditDraft;
use crate::domain::changes::transition::Actor;
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::rules::rule::Rule;
use crate::domain::time::UtcMicros;
use crate::engine::adherence::adherence_days::{self, AdherenceDaysParts};
use crate::engine::agents::erasure::{self, ErasureContext, ErasureServices};
use crate::engine::analytics::anomalies;
use crate::engine::analytics::{self, Analytics};
use crate::engine::audit::heads::{self, HeadParts};
use crate::engine::keeper::{self, KeeperContext};
use crate::engine::keeper_message::{INBOX_CAPACITY, KeeperMessage};
use crate::engine::live::Live;
use crate::engine::live::figures;
use crate::engine::operations::meter::Meter;
use crate::engine::operations::readiness::Readiness;
use crate::engine::operations::settings::TenantSettings;
use crate::engine::operations::supervisor::{OnFailure, Supervisor};
use crate::engine::operations::tenants::Tenants;
use crate::engine::operations::workers::WorkerSet;
use crate::engine::platform::feed;
use crate::engine::platform::link::BudgetKind;
use crate::engine::platform::link::Link;
use crate::engine::platform::past_states::{self, PastStateParts};
use crate::engine::platform::{directory, observation};
use crate::engine::webhooks::deliver::{self, DeliverParts};
use crate::platform::budget::Budget;
use crate::platform::client::Transport;
use crate::store::{Commit, Reader, Writer};

/// How long a tenant's workers may take to finish their work, in real time: longer than a keeper waits for answers,
/// shorter than the whole daemon has.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(6);

/// The running tenants.
pub(super) type RunningTenants = Arc<[Arc<TenantRuntime>]>;

/// What the workers of every tenant are made of.
#[derive(Clone)]
pub(super) struct TenantServices {
    pub(super) clock: SharedClock,
    pub(super) random: SharedRandom,
    pub(super) writer: Writer,
    pub(super) reader: Reader,
    pub(super) readiness: Readiness,
    pub(super) directory: Tenants,
    pub(super) live: Live,
    pub(super) analytics: Analytics,
    pub(super) transport: Option<Arc<dyn Transport>>,
}

/// One tenant with its platform. Kept while its workers can continue; a reload that changes more creates another one.
pub(super) struct TenantRuntime {
    link: Arc<Link>,
    inbox: Arc<Mutex<mpsc::Receiver<KeeperMessage>>>,
    settings: watch::Sender<Arc<TenantSettings>>,
    analytics: Analytics,
    /// The audit log's action for the reload that created it.
    created_by: Option<&'static str>,
}

/// A tenant and the settings it was created from.
struct ConfiguredTenant {
    tenant: Tenant,
    rules: Vec<Rule>,
    runtime: Arc<TenantRuntime>,
}

/// The tenants in effect, as changed by reloads.
pub(super) struct TenantList {
    tenants: Vec<ConfiguredTenant>,
    target: watch::Sender<RunningTenants>,
    services: TenantServices,
}

/// The list for a newer configuration, not yet in effect.
pub(super) struct NextTenantList {
    tenants: Vec<ConfiguredTenant>,
    /// Tenants that continue with other settings.
    settings_updates: Vec<(Arc<TenantRuntime>, Arc<TenantSettings>)>,
}

impl TenantList {
    /// Creates the list of a configuration's tenants, and a receiver of its changes for the workers.
    pub(super) fn new(
        config: &Config,
        services: TenantServices,
    ) -> Result<(Self, watch::Receiver<RunningTenants>), SettingsError> {
        let (target, target_updates) = watch::channel(RunningTenants::from([]));
        let mut list = Self { tenants: Vec::new(), target, services };
        let initial = list.next(config, None)?;
        list.activate(initial);
        Ok((list, target_updates))
    }

    /// Returns the list for a newer configuration.
    pub(super) fn read(&self, config: &Config) -> Result<NextTenantList, SettingsError> {
        self.next(config, Some("tenant.added"))
    }

    fn next(&self, config: &Config, added: Option<&'static str>) -> Result<NextTenantList, SettingsError> {
        let mut next =
            NextTenantList { tenants: Vec::with_capacity(config.tenants.len()), settings_updates: Vec::new() };
        for tenant in &config.tenants {
            let rules = config.rules_for(tenant);
            let known = self.tenants.iter().find(|made| made.tenant.id == tenant.id);
            let runtime = match known {
                Some(made) if made.tenant.is_same_tenant(tenant) => {
                    if made.tenant != *tenant || made.rules != rules {
                        next.settings_updates.push((made.runtime.clone(), Arc::new(tenant_settings(config, tenant)?)));
                    }
                    made.runtime.clone()
                }
                Some(_) => Arc::new(self.create_runtime(config, tenant, Some("configuration.reloaded"))?),
                None => Arc::new(self.create_runtime(config, tenant, added)?),
            };
            next.tenants.push(ConfiguredTenant { tenant: tenant.clone(), rules, runtime });
        }
        Ok(next)
    }

    /// Puts the list into effect.
    pub(super) fn activate(&mut self, next: NextTenantList) {
        self.tenants = next.tenants;
        for (runtime, settings) in next.settings_updates {
            runtime.settings.send_replace(settings);
        }
        for ConfiguredTenant { tenant, runtime, .. } in &self.tenants {
            runtime.link.thresholds.send_replace(Arc::new(tenant.thresholds.clone()));
            runtime.link.team_queues.send_replace(Arc::new(tenant.team_queues.clone()));
            runtime.link.queries.send_replace(queries(tenant));
            runtime.link.watched_series.send_replace(tenant.series.clone().into());
        }
        self.services.live.retain_tenants(&self.tenants.iter().map(|made| made.tenant.id.clone()).collect());
        self.services.directory.set_links(self.tenants.iter().map(|made| made.runtime.link.clone()));
        self.target.send_replace(self.tenants.iter().map(|made| made.runtime.clone()).collect());
    }

    fn create_runtime(
        &self,
        config: &Config,
        tenant: &Tenant,
        created_by: Option<&'static str>,
    ) -> Result<TenantRuntime, SettingsError> {
        let services = &self.services;
        let settings = Arc::new(tenant_settings(config, tenant)?);
        let (inbox, received) = mpsc::channel(INBOX_CAPACITY);
        let link = Link {
            tenant: tenant.id.clone(),
            platform: platform_with_transport(services.transport.clone(), tenant, services.clock.clone())?,
            clock: services.clock.clone(),
            random: services.random.clone(),
            writer: services.writer.clone(),
            reader: services.reader.clone(),
            readiness: services.readiness.clone(),
            inbox,
            live: services.live.open(&tenant.id),
            budget: std::sync::Mutex::new(Budget::closed()),
            reporting_budget: std::sync::Mutex::new(Budget::closed()),
            figures: watch::Sender::default(),
            watched_series: watch::Sender::new(tenant.series.clone().into()),
            anomalies: watch::Sender::default(),
            thresholds: watch::Sender::new(Arc::new(tenant.thresholds.clone())),
            team_queues: watch::Sender::new(Arc::new(tenant.team_queues.clone())),
            queries: watch::Sender::new(queries(tenant)),
            offset: std::sync::Mutex::default(),
            meter: Meter::default(),
            feed: std::sync::Mutex::default(),
            directory: std::sync::Mutex::default(),
            erasures: tokio::sync::Notify::new(),
            subscriptions: std::sync::Mutex::default(),
        };
        let settings = watch::Sender::new(settings);
        let (inbox, analytics) = (Arc::new(Mutex::new(received)), services.analytics.clone());
        Ok(TenantRuntime { link: Arc::new(link), inbox, settings, analytics, created_by })
    }
}

/// The analytics queries of a tenant.
fn queries(tenant: &Tenant) -> Arc<[ConfiguredQuery]> {
    tenant.analytics.iter().map(|query| query.configured.clone()).collect()
}

impl TenantRuntime {
    fn id(&self) -> TenantId {
        self.link.tenant.clone()
    }

    /// Starts the tenant's workers, one per line. All stop together when the tenant or the daemon does; one that fails
    /// is restarted alone.
    fn start_workers(&self, supervisor: &mut Supervisor, erasure_services: &ErasureServices) {
        let (roster_in, roster) = watch::channel::<Arc<[AgentId]>>(Arc::from([]));
        let (link, settings) = (self.link.clone(), self.settings.subscribe());
        let parts = KeeperContext {
            link: link.clone(),
            inbox: self.inbox.clone(),
            settings: settings.clone(),
            roster: roster_in,
        };
        let (feed_link, feed_settings) = (link.clone(), settings.clone());
        let (directory_link, directory_settings) = (link.clone(), settings.clone());
        let (figures_link, figures_settings) = (link.clone(), settings.clone());
        let (analytics_link, analytics_service) = (link.clone(), self.analytics.clone());
        let (watch_link, watch_settings) = (link.clone(), settings.clone());
        let (days_settings, days) = (
            settings.clone(),
            AdherenceDaysParts {
                tenant: link.tenant.clone(),
                clock: link.clock.clone(),
                writer: link.writer.clone(),
                reader: link.reader.clone(),
                compute_lock: Arc::default(),
            },
        );
        let erasures = ErasureContext {
            link: link.clone(),
            services: erasure_services.clone(),
            adherence_days: days.compute_lock.clone(),
        };
        let past = PastStateParts {
            link: link.clone(),
            settings: settings.clone(),
            roster: roster.clone(),
            adherence_days: days.compute_lock.clone(),
        };
        let mut spawn = WorkerSpawner { supervisor, runtime: self };
        spawn.spawn_worker("keeper", move |soft| keeper::run(parts.clone(), soft));
        spawn.spawn_worker("feed", move |soft| feed::run(feed_link.clone(), feed_settings.clone(), soft));
        spawn.spawn_worker("directory", move |soft| {
            directory::run(directory_link.clone(), directory_settings.clone(), soft)
        });
        spawn.spawn_worker("figures", move |soft| figures::run(figures_link.clone(), figures_settings.clone(), soft));
        let anomaly_analytics = analytics_service.clone();
        spawn.spawn_worker("analytics", move |soft| {
            analytics::run(analytics_link.clone(), analytics_service.clone(), soft)
        });
        spawn.spawn_worker("anomalies", move |soft| {
            anomalies::run(watch_link.clone(), watch_settings.clone(), anomaly_analytics.clone(), soft)
        });
        spawn
            .spawn_worker("adherence days", move |soft| adherence_days::run(days.clone(), days_settings.clone(), soft));
        spawn.spawn_worker("state history", move |soft| past_states::run(past.clone(), soft));
        spawn.spawn_worker("erasures", move |soft| erasure::run(erasures.clone(), soft));
        spawn.spawn_worker("sight", move |soft| observation::run(link.clone(), settings.clone(), roster.clone(), soft));
    }

    /// Runs the workers until `soft` is cancelled.
    async fn run(self: Arc<Self>, shared: Arc<TenantSupervisorContext>, soft: CancellationToken) -> anyhow::Result<()> {
        if let Err(error) = self.prepare(&shared).await {
            // Dropping the messages fails their senders at once, as with a keeper that cannot start.
            let mut inbox = self.inbox.lock().await;
            while inbox.try_recv().is_ok() {}
            return Err(error);
        }
        let mut supervisor = Supervisor::new(soft, self.link.readiness.clone());
        self.start_workers(&mut supervisor, &shared.erasure_services);
        supervisor.run(DRAIN_TIMEOUT).await;
        Ok(())
    }

    /// Prepares what must exist before the first worker starts.
    async fn prepare(&self, shared: &TenantSupervisorContext) -> anyhow::Result<()> {
        let (link, settings) = (&self.link, self.settings.borrow().clone());
        // An endpoint that receives the tenant's events must receive the first of them too.
        let endpoints = shared.deliveries.endpoints.borrow().clone();
        deliver::register(&shared.deliveries, &endpoints)
            .await
            .context("the positions of the webhooks could not be read")?;
        let budgets = budget::restore_budgets(&link.reader, &link.tenant, &settings, &link.clock).await;
        let budgets = budgets.context("the calls of the last minute could not be read")?;
        if let Some(action) = self.created_by {
            shared.log_change(&link.tenant, action, serde_json::Value::Null).await?;
        }
        *link.budget_of(BudgetKind::Ordinary) = budgets.ordinary;
        *link.budget_of(BudgetKind::Reporting) = budgets.reporting;
        Ok(())
    }
}

/// Spawns workers under the tenant's name.
struct WorkerSpawner<'a> {
    supervisor: &'a mut Supervisor,
    runtime: &'a TenantRuntime,
}

impl WorkerSpawner<'_> {
    fn spawn_worker<F, T>(&mut self, name: &str, factory: F)
    where
        F: Fn(CancellationToken) -> T + Send + Sync + 'static,
        T: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.supervisor.spawn(self.runtime.link.part(name), OnFailure::Restart, factory);
    }
}

/// What the task that runs the tenants needs.
#[derive(Clone)]
pub(super) struct TenantSupervisorContext {
    pub(super) target: watch::Receiver<RunningTenants>,
    pub(super) deliveries: DeliverParts,
    pub(super) heads: HeadParts,
    pub(super) erasure_services: ErasureServices,
}

/// Runs the workers of all tenants until `soft` is cancelled, and follows reloads.
pub(super) async fn run(parts: TenantSupervisorContext, soft: CancellationToken) -> anyhow::Result<()> {
    let parts = Arc::new(parts);
    let mut target = parts.target.clone();
    let mut workers: WorkerSet<TenantId, TenantRuntime> = WorkerSet::default();
    loop {
        let runtimes = target.borrow_and_update().clone();
        workers.reconcile(&runtimes, &soft, TenantRuntime::id, |runtime, stop| supervise(parts.clone(), runtime, stop));
        tokio::select! {
            () = soft.cancelled() => break,
            changed = target.changed() => changed?,
            Some(ended) = workers.next_ended() => {
                let tenant = ended?.id();
                let is_configured = target.borrow().iter().any(|runtime| runtime.id() == tenant);
                if !is_configured && !soft.is_cancelled() {
                    parts.remove_tenant(&tenant).await;
                }
            }
        }
    }
    workers.join_all().await;
    Ok(())
}

/// Runs one tenant until it is stopped. If it cannot start, it is retried without affecting the others.
async fn supervise(parts: Arc<TenantSupervisorContext>, runtime: Arc<TenantRuntime>, stop: CancellationToken) {
    let link = runtime.link.clone();
    let mut supervisor = Supervisor::new(stop, link.readiness.clone());
    supervisor.spawn(link.part("workers"), OnFailure::Restart, move |soft| runtime.clone().run(parts.clone(), soft));
    supervisor.run(DRAIN_TIMEOUT).await;
    link.readiness.remove_all(&link.part(""));
}

impl TenantSupervisorContext {
    /// Records in the audit chain, and with a last signed head, that a tenant is no longer configured. Its data stays
    /// in the store.
    async fn remove_tenant(&self, tenant: &TenantId) {
        let result = async {
            let open = self
                .deliveries
                .reader
                .open_transitions(tenant)
                .await
                .context("the open transitions could not be read")?
                .len();
            self.log_change(tenant, "tenant.removed", json!({ "open_transitions": open })).await?;
            heads::make_heads(&self.heads, tenant).await?;
            Ok::<_, anyhow::Error>(open)
        };
        match result.await {
            Ok(open) => tracing::info!(%tenant, open_transitions = open,
                "the tenant is stopped; its open transitions stay in the store, and continue or expire when it is configured again"),
            Err(error) => tracing::error!(%tenant, error = format!("{error:#}"),
                "the tenant is stopped; that could not be recorded"),
        }
    }

    async fn log_change(
        &self,
        tenant: &TenantId,
        action: &'static str,
        details: serde_json::Value,
    ) -> anyhow::Result<()> {
        let at: UtcMicros = self.deliveries.clock.now();
        let draft = AuditDraft::new(tenant.clone(), at, Actor::Daemon.label(), action, details);
        let commit = Commit { audit: vec![draft], ..Commit::default() };
        self.deliveries.writer.commit(commit).await.context("the change of the tenant could not be recorded")?;
        Ok(())
    }
}
