//! `[[tenants]]` as running workers: one supervisor per tenant, so that a reload stops and starts those alone that changed, and one
//! that cannot start leaves the others alone.
//!
//! What a worker of a tenant is made of, and that it exists, is said in [`Tenancy::workers`].

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tokio::sync::{Mutex, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::budget;
use super::settings::{SettingsError, platform_over, tenant_settings};
use crate::clock::{SharedClock, SharedRandom};
use crate::config::{Config, Tenant};
use crate::domain::analytics::analytics_run::StandingQuery;
use crate::domain::audit::AuditDraft;
use crate::domain::changes::transition::Actor;
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::rules::rule::Rule;
use crate::domain::time::UtcMicros;
use crate::engine::adherence::adherence_days::{self, DaysParts};
use crate::engine::agents::erase::{self, EraseParts, EraseTools};
use crate::engine::analytics::anomalies;
use crate::engine::analytics::{self, Analytics};
use crate::engine::audit::heads::{self, HeadParts};
use crate::engine::keeper::{self, KeeperParts};
use crate::engine::live::Live;
use crate::engine::live::figures;
use crate::engine::message::{INBOX, Message};
use crate::engine::operations::crew::Crew;
use crate::engine::operations::meter::Meter;
use crate::engine::operations::readiness::Readiness;
use crate::engine::operations::settings::TenantSettings;
use crate::engine::operations::supervisor::{OnFailure, Supervisor};
use crate::engine::operations::tenants::Tenants;
use crate::engine::platform::calls::Purse;
use crate::engine::platform::feed;
use crate::engine::platform::link::Link;
use crate::engine::platform::sight;
use crate::engine::webhooks::deliver::{self, DeliverParts};
use crate::platform::budget::Budget;
use crate::platform::client::Transport;
use crate::store::{Commit, Reader, Writer};

/// How long the workers of a tenant may take to finish what they hold, in real time: more than a keeper waits for answers, less
/// than the whole daemon has.
const DRAIN_REAL: Duration = Duration::from_secs(6);

/// The tenants in force.
pub(super) type Tenancies = Arc<[Arc<Tenancy>]>;

/// What the workers of every tenant are made of.
#[derive(Clone)]
pub(super) struct TenantTools {
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

/// One tenant with its platform. It stays the same as long as its workers can go on; a reload that changes more makes another.
pub(super) struct Tenancy {
    link: Arc<Link>,
    inbox: Arc<Mutex<mpsc::Receiver<Message>>>,
    settings: watch::Sender<Arc<TenantSettings>>,
    analytics: Analytics,
    /// What the audit chain says of a reload that made it.
    made_by: Option<&'static str>,
}

/// A tenant and what it was made of.
struct Made {
    tenant: Tenant,
    rules: Vec<Rule>,
    tenancy: Arc<Tenancy>,
}

/// The tenants in force, as a reload sees them.
pub(super) struct TenantList {
    made: Vec<Made>,
    wanted: watch::Sender<Tenancies>,
    tools: TenantTools,
}

/// What a newer configuration makes of the list. Nothing of it is in force.
pub(super) struct NewerList {
    made: Vec<Made>,
    /// Those that go on with other settings.
    told: Vec<(Arc<Tenancy>, Arc<TenantSettings>)>,
}

impl TenantList {
    /// Those of a configuration, and where the workers see what becomes of them.
    pub(super) fn new(
        config: &Config,
        tools: TenantTools,
    ) -> Result<(Self, watch::Receiver<Tenancies>), SettingsError> {
        let (wanted, seen) = watch::channel(Tenancies::from([]));
        let mut list = Self { made: Vec::new(), wanted, tools };
        let first = list.newer(config, None)?;
        list.put_in_force(first);
        Ok((list, seen))
    }

    /// What a newer configuration makes of it.
    pub(super) fn read(&self, config: &Config) -> Result<NewerList, SettingsError> {
        self.newer(config, Some("tenant.added"))
    }

    fn newer(&self, config: &Config, added: Option<&'static str>) -> Result<NewerList, SettingsError> {
        let mut newer = NewerList { made: Vec::with_capacity(config.tenants.len()), told: Vec::new() };
        for tenant in &config.tenants {
            let rules = config.rules_for(tenant);
            let known = self.made.iter().find(|made| made.tenant.id == tenant.id);
            let tenancy = match known {
                Some(made) if made.tenant.goes_on_as(tenant) => {
                    if made.tenant != *tenant || made.rules != rules {
                        newer.told.push((made.tenancy.clone(), Arc::new(tenant_settings(config, tenant)?)));
                    }
                    made.tenancy.clone()
                }
                Some(_) => Arc::new(self.tenancy(config, tenant, Some("configuration.reloaded"))?),
                None => Arc::new(self.tenancy(config, tenant, added)?),
            };
            newer.made.push(Made { tenant: tenant.clone(), rules, tenancy });
        }
        Ok(newer)
    }

    /// From now on these are the tenants.
    pub(super) fn put_in_force(&mut self, newer: NewerList) {
        self.made = newer.made;
        for (tenancy, settings) in newer.told {
            tenancy.settings.send_replace(settings);
        }
        for Made { tenant, tenancy, .. } in &self.made {
            tenancy.link.thresholds.send_replace(Arc::new(tenant.thresholds.clone()));
            tenancy.link.queries.send_replace(queries(tenant));
            tenancy.link.watched.send_replace(tenant.series.clone().into());
        }
        self.tools.live.keep(&self.made.iter().map(|made| made.tenant.id.clone()).collect());
        self.tools.directory.put(self.made.iter().map(|made| made.tenancy.link.clone()));
        self.wanted.send_replace(self.made.iter().map(|made| made.tenancy.clone()).collect());
    }

    fn tenancy(
        &self,
        config: &Config,
        tenant: &Tenant,
        made_by: Option<&'static str>,
    ) -> Result<Tenancy, SettingsError> {
        let tools = &self.tools;
        let settings = Arc::new(tenant_settings(config, tenant)?);
        let (inbox, arrivals) = mpsc::channel(INBOX);
        let link = Link {
            tenant: tenant.id.clone(),
            platform: platform_over(tools.transport.clone(), tenant, tools.clock.clone())?,
            clock: tools.clock.clone(),
            random: tools.random.clone(),
            writer: tools.writer.clone(),
            reader: tools.reader.clone(),
            readiness: tools.readiness.clone(),
            inbox,
            live: tools.live.open(&tenant.id),
            budget: std::sync::Mutex::new(Budget::closed()),
            reporting_budget: std::sync::Mutex::new(Budget::closed()),
            figures: watch::Sender::default(),
            watched: watch::Sender::new(tenant.series.clone().into()),
            anomalies: watch::Sender::default(),
            thresholds: watch::Sender::new(Arc::new(tenant.thresholds.clone())),
            queries: watch::Sender::new(queries(tenant)),
            offset: std::sync::Mutex::default(),
            meter: Meter::default(),
            feed: std::sync::Mutex::default(),
            erasures: tokio::sync::Notify::new(),
            subscriptions: std::sync::Mutex::default(),
        };
        let settings = watch::Sender::new(settings);
        let (inbox, analytics) = (Arc::new(Mutex::new(arrivals)), tools.analytics.clone());
        Ok(Tenancy { link: Arc::new(link), inbox, settings, analytics, made_by })
    }
}

/// The analytics queries of a tenant.
fn queries(tenant: &Tenant) -> Arc<[StandingQuery]> {
    tenant.analytics.iter().map(|query| query.standing.clone()).collect()
}

impl Tenancy {
    fn id(&self) -> TenantId {
        self.link.tenant.clone()
    }

    /// The workers of the tenant, a line each. All stop together, when the tenant or the daemon does; one that fails is started again
    /// alone.
    fn workers(&self, supervisor: &mut Supervisor, erasing: &EraseTools) {
        let (roster_in, roster) = watch::channel::<Arc<[AgentId]>>(Arc::from([]));
        let (link, settings) = (self.link.clone(), self.settings.subscribe());
        let parts = KeeperParts {
            link: link.clone(),
            inbox: self.inbox.clone(),
            settings: settings.clone(),
            roster: roster_in,
        };
        let (feed_link, feed_settings) = (link.clone(), settings.clone());
        let (figures_link, figures_settings) = (link.clone(), settings.clone());
        let (analytics_link, desk) = (link.clone(), self.analytics.clone());
        let (watch_link, watch_settings) = (link.clone(), settings.clone());
        let (days_settings, days) = (
            settings.clone(),
            DaysParts {
                tenant: link.tenant.clone(),
                clock: link.clock.clone(),
                writer: link.writer.clone(),
                reader: link.reader.clone(),
                turn: Arc::default(),
            },
        );
        let erasures = EraseParts { link: link.clone(), tools: erasing.clone(), days: days.turn.clone() };
        let mut spawn = Workers { supervisor, tenancy: self };
        spawn.worker("keeper", move |soft| keeper::run(parts.clone(), soft));
        spawn.worker("feed", move |soft| feed::run(feed_link.clone(), feed_settings.clone(), soft));
        spawn.worker("figures", move |soft| figures::run(figures_link.clone(), figures_settings.clone(), soft));
        let news = desk.clone();
        spawn.worker("analytics", move |soft| analytics::run(analytics_link.clone(), desk.clone(), soft));
        spawn.worker("anomalies", move |soft| {
            anomalies::run(watch_link.clone(), watch_settings.clone(), news.clone(), soft)
        });
        spawn.worker("adherence days", move |soft| adherence_days::run(days.clone(), days_settings.clone(), soft));
        spawn.worker("erasures", move |soft| erase::run(erasures.clone(), soft));
        spawn.worker("sight", move |soft| sight::run(link.clone(), settings.clone(), roster.clone(), soft));
    }

    /// Runs the workers until `soft` is cancelled.
    async fn run(self: Arc<Self>, shared: Arc<TenantParts>, soft: CancellationToken) -> anyhow::Result<()> {
        if let Err(error) = self.prepare(&shared).await {
            // Who asks is told at once, as by a keeper that cannot start.
            let mut inbox = self.inbox.lock().await;
            while inbox.try_recv().is_ok() {}
            return Err(error);
        }
        let mut supervisor = Supervisor::new(soft, self.link.readiness.clone());
        self.workers(&mut supervisor, &shared.erasing);
        supervisor.run(DRAIN_REAL).await;
        Ok(())
    }

    /// What has to be there before the first worker.
    async fn prepare(&self, shared: &TenantParts) -> anyhow::Result<()> {
        let (link, settings) = (&self.link, self.settings.borrow().clone());
        // An endpoint that gets the tenant's events is to get the first of them too.
        let endpoints = shared.deliveries.endpoints.borrow().clone();
        deliver::register(&shared.deliveries, &endpoints).await.context("the webhooks' cursors")?;
        let budgets = budget::restored(&link.reader, &link.tenant, &settings, &link.clock).await;
        let budgets = budgets.context("the calls of the last minute")?;
        if let Some(action) = self.made_by {
            shared.note(&link.tenant, action, serde_json::Value::Null).await?;
        }
        *link.budget_of(Purse::Ordinary) = budgets.ordinary;
        *link.budget_of(Purse::Reporting) = budgets.reporting;
        Ok(())
    }
}

/// Spawns workers under the tenant's name.
struct Workers<'a> {
    supervisor: &'a mut Supervisor,
    tenancy: &'a Tenancy,
}

impl Workers<'_> {
    fn worker<F, T>(&mut self, name: &str, factory: F)
    where
        F: Fn(CancellationToken) -> T + Send + Sync + 'static,
        T: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.supervisor.spawn(self.tenancy.link.part(name), OnFailure::Restart, factory);
    }
}

/// What the task that runs the tenants is made of.
#[derive(Clone)]
pub(super) struct TenantParts {
    pub(super) wanted: watch::Receiver<Tenancies>,
    pub(super) deliveries: DeliverParts,
    pub(super) heads: HeadParts,
    pub(super) erasing: EraseTools,
}

/// Runs the workers of all tenants until `soft` is cancelled; follows what a reload brings.
pub(super) async fn run(parts: TenantParts, soft: CancellationToken) -> anyhow::Result<()> {
    let parts = Arc::new(parts);
    let mut wanted = parts.wanted.clone();
    let mut crew: Crew<TenantId, Tenancy> = Crew::default();
    loop {
        let tenancies = wanted.borrow_and_update().clone();
        crew.follow(&tenancies, &soft, Tenancy::id, |tenancy, stop| supervise(parts.clone(), tenancy, stop));
        tokio::select! {
            () = soft.cancelled() => break,
            changed = wanted.changed() => changed?,
            Some(ended) = crew.ended() => {
                let tenant = ended?.id();
                let is_wanted = wanted.borrow().iter().any(|tenancy| tenancy.id() == tenant);
                if !is_wanted && !soft.is_cancelled() {
                    parts.see_off(&tenant).await;
                }
            }
        }
    }
    crew.finish().await;
    Ok(())
}

/// One tenant, until it is stopped. What cannot start is tried again, alone.
async fn supervise(parts: Arc<TenantParts>, tenancy: Arc<Tenancy>, stop: CancellationToken) {
    let link = tenancy.link.clone();
    let mut supervisor = Supervisor::new(stop, link.readiness.clone());
    supervisor.spawn(link.part("workers"), OnFailure::Restart, move |soft| tenancy.clone().run(parts.clone(), soft));
    supervisor.run(DRAIN_REAL).await;
    link.readiness.forget_all(&link.part(""));
}

impl TenantParts {
    /// What is left of a tenant that the configuration names no more stays in the store; the chain says so, under a last head.
    async fn see_off(&self, tenant: &TenantId) {
        let result = async {
            let open = self.deliveries.reader.open_transitions(tenant).await.context("its open transitions")?.len();
            self.note(tenant, "tenant.removed", json!({ "open_transitions": open })).await?;
            heads::make(&self.heads, tenant).await?;
            Ok::<_, anyhow::Error>(open)
        };
        match result.await {
            Ok(open) => tracing::info!(%tenant, open_transitions = open,
                "the tenant is stopped; its open transitions stay in the store, and go on or expire when it is configured again"),
            Err(error) => tracing::error!(%tenant, error = format!("{error:#}"),
                "the tenant is stopped; that could not be recorded"),
        }
    }

    async fn note(&self, tenant: &TenantId, action: &'static str, why: serde_json::Value) -> anyhow::Result<()> {
        let at: UtcMicros = self.deliveries.clock.now();
        let draft = AuditDraft::new(tenant.clone(), at, Actor::Daemon.label(), action, why);
        let commit = Commit { audit: vec![draft], ..Commit::default() };
        self.deliveries.writer.commit(commit).await.context("recording what became of the tenant")?;
        Ok(())
    }
}
