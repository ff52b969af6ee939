//! Collects the status: reads the workers' memory each time, and the store from time to time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;
use tokio::sync::Mutex;

use super::reloads::Reloads;
use super::view::{
    AuditStatus, BreakerStatus, BudgetStatus, ConfigurationStatus, DirectoryStatus, FeedStatus, FigureAge,
    FiguresStatus, JobStatus, LiveViewStatus, SCHEMA_VERSION, Status, StoreStatus, SubscriptionStatus, TenantStatus,
    TokenStatus, WebhookStatus,
};
use crate::clock::{SharedClock, Stopwatch};
use crate::domain::analytics::anomaly::Anomalies;
use crate::domain::analytics::trend::AnomalyKind;
use crate::domain::ids::{EndpointId, TenantId};
use crate::domain::jobs::job::JobKey;
use crate::domain::live::figures::Figures;
use crate::domain::time::UtcMicros;
use crate::engine::analytics::{Analytics, RunTotals};
use crate::engine::jobs::sources::ScheduleSourceView;
use crate::engine::jobs::{JobView, Jobs};
use crate::engine::live::{Live, ViewerCounts};
use crate::engine::operations::log::Log;
use crate::engine::operations::meter::{Counts, KeeperFacts, KeeperTotals};
use crate::engine::operations::readiness::Readiness;
use crate::engine::operations::tenants::Tenants;
use crate::engine::platform::calls::real_millis;
use crate::engine::platform::feed::{FeedConnection, FeedState};
use crate::engine::platform::link::{BudgetKind, Link, SubscriptionState};
use crate::engine::webhooks::deliver::{FAILING_AFTER, Outbox};
use crate::platform::CallKind;
use crate::platform::status::TokenHealth;
use crate::store::{
    Backlog, JobRun, ReadError, Reader, ScheduleReads, StoreSize, StoredEndpoint, StoredScheduleSource, Writer,
    WriterMetrics,
};

/// The shortest time between two reads of the store, in real time.
pub const STORE_READ_INTERVAL_REAL: Duration = Duration::from_secs(5);

/// The dependencies of the status.
pub struct StatusParts {
    /// The tenants that are served.
    pub tenants: Tenants,
    /// The store's reader.
    pub reader: Reader,
    /// The store's writer.
    pub writer: Writer,
    /// The readiness of the parts.
    pub readiness: Readiness,
    /// The webhook outbox.
    pub outbox: Outbox,
    /// The scheduled jobs.
    pub jobs: Jobs,
    /// The hub of live messages.
    pub live: Live,
    /// The analytics runs.
    pub analytics: Analytics,
    /// The results of configuration reloads.
    pub reloads: Reloads,
    /// The log, if it is monitored.
    pub log: Option<Log>,
    /// The daemon's clock.
    pub clock: SharedClock,
    /// When the daemon was started, in its clock.
    pub started_at: UtcMicros,
}

/// The status and metrics at one instant.
#[derive(Debug)]
pub struct StatusSnapshot {
    /// The status shown to people and programs.
    pub status: Status,
    /// The metrics of each tenant.
    pub tenants: Vec<TenantMetrics>,
    /// The metrics of the store's writer.
    pub writer: WriterMetrics,
    /// The numbers of live viewers.
    pub viewers: ViewerCounts,
    /// The number of log lines lost.
    pub log_lines_lost: u64,
}

/// Metrics of one tenant.
#[derive(Debug)]
pub struct TenantMetrics {
    /// The tenant.
    pub tenant: TenantId,
    /// Calls to the platform by kind and outcome.
    pub calls: Vec<(CallKind, &'static str, u64)>,
    /// The durations of these calls.
    pub call_durations: Vec<(CallKind, Histogram)>,
    /// How long the keeper has made no pass, in real time; `None` if no keeper is running.
    pub since_last_pass: Option<Duration>,
    /// The durations of the keeper's passes.
    pub passes: Histogram,
    /// Totals of what the keeper committed.
    pub totals: KeeperTotals,
    /// Delivery attempts by endpoint and outcome.
    pub deliveries: Vec<(EndpointId, [(&'static str, u64); 3])>,
    /// Totals of the analytics runs that have ended.
    pub runs: RunTotals,
    /// Anomalies found since the start of the daemon, by kind.
    pub anomalies: Counts,
    /// Anomalies that have not ended, by kind.
    pub open_anomalies: Counts,
}

/// The part of the status that is read from the store.
#[derive(Debug, Default)]
struct StoredStatus {
    tenants: HashMap<TenantId, StoredTenantStatus>,
    jobs: Vec<JobView>,
    last_runs: Vec<JobRun>,
    successes: HashMap<JobKey, UtcMicros>,
    footprint: StoreSize,
}

#[derive(Debug, Default)]
struct StoredTenantStatus {
    endpoints: Vec<(StoredEndpoint, Backlog, Option<UtcMicros>)>,
    entries: u64,
    head: Option<(u64, UtcMicros)>,
    schedule_reads: ScheduleReads,
    sources: Vec<StoredScheduleSource>,
}

/// What was last read from the store, and how long ago.
type CachedStoredStatus = Option<(Stopwatch, Arc<StoredStatus>)>;

/// The status service. Cheap to clone.
#[derive(Clone)]
pub struct StatusService {
    parts: Arc<StatusParts>,
    stored: Arc<Mutex<CachedStoredStatus>>,
}

impl StatusService {
    /// Creates the service; nothing is read yet.
    pub fn new(parts: StatusParts) -> Self {
        Self { parts: Arc::new(parts), stored: Arc::default() }
    }

    /// Returns the status of the visible tenants and of what all tenants share.
    pub async fn collect(&self, is_visible: impl Fn(&TenantId) -> bool + Send + Sync) -> StatusSnapshot {
        // A store that cannot be read is part of the status; what is in memory is still shown.
        let stored = match self.stored().await {
            Ok(stored) => Some(stored),
            Err(error) => {
                tracing::warn!(%error, "the store could not be read for the status of the daemon");
                None
            }
        };
        let now = self.parts.clock.now();
        let (visible, hidden): (Vec<_>, Vec<_>) =
            self.parts.tenants.links().into_iter().partition(|link| is_visible(&link.tenant));
        let empty = StoredTenantStatus::default();
        let tenants: Vec<TenantStatus> = visible
            .iter()
            .map(|link| {
                let of = stored.as_ref().map(|stored| stored.tenants.get(&link.tenant).unwrap_or(&empty));
                TenantStatus { schedule_sources: self.sources(link, stored.as_deref()), ..tenant_status(link, of, now) }
            })
            .collect();
        let report = self.parts.readiness.report();
        let jobs = stored.as_deref().map_or_else(Vec::new, |stored| job_statuses(stored, &is_visible));
        let writer = self.parts.writer.metrics();
        let store = self.store_status(stored.as_deref(), writer.queued);
        let (reloaded, loaded_at) = self.parts.reloads.last();
        let mut status = Status {
            schema_version: SCHEMA_VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.parts.started_at,
            at: now,
            status: report.status.to_owned(),
            ok: false,
            parts: report
                .parts
                .into_iter()
                .filter(|part| !hidden.iter().any(|link| part.is_of(&link.tenant)))
                .collect(),
            tenants,
            jobs,
            store,
            configuration: ConfigurationStatus { ok: reloaded, loaded_at },
        };
        status.ok = status.is_healthy();
        let tenants = visible.iter().map(|link| self.tenant_metrics(link)).collect();
        let log_lines_lost = self.parts.log.as_ref().map_or(0, |log| log.state().borrow().lines_lost);
        StatusSnapshot { status, tenants, writer, viewers: self.parts.live.viewer_counts(), log_lines_lost }
    }

    fn sources(&self, link: &Link, stored: Option<&StoredStatus>) -> Vec<ScheduleSourceView> {
        let of_tenant = stored.and_then(|stored| Some((stored.tenants.get(&link.tenant)?, &stored.last_runs)));
        of_tenant.map_or_else(Vec::new, |(tenant, last_runs)| {
            self.parts.jobs.sources_from(&link.tenant, &tenant.sources, last_runs)
        })
    }

    fn store_status(&self, stored: Option<&StoredStatus>, queued: usize) -> StoreStatus {
        let failure = self.parts.writer.failure();
        let writes = { failure.borrow().commit.is_none() };
        let StoreSize { bytes, log_bytes, disk_free_bytes } = stored.map(|stored| stored.footprint).unwrap_or_default();
        StoreStatus { ok: writes && stored.is_some(), bytes, log_bytes, disk_free_bytes, queued }
    }

    fn tenant_metrics(&self, link: &Link) -> TenantMetrics {
        let calls = link.platform.status().calls;
        let counts = |id: &EndpointId| self.parts.outbox.counts(&link.tenant, id).map(|counts| counts.by_outcome());
        let endpoints = self.parts.outbox.endpoints(&link.tenant);
        TenantMetrics {
            tenant: link.tenant.clone(),
            calls: calls.by_outcome(),
            call_durations: calls.durations(),
            since_last_pass: link.meter.time_since_pass(),
            passes: link.meter.pass_durations(),
            totals: link.meter.totals(),
            deliveries: endpoints.into_iter().filter_map(|id| counts(&id).map(|counts| (id, counts))).collect(),
            runs: self.parts.analytics.totals(&link.tenant),
            anomalies: link.meter.anomalies(),
            open_anomalies: open_anomalies(&link.anomalies.borrow()),
        }
    }

    /// Returns the stored part, read again if it is too old. Concurrent callers wait for the same read.
    async fn stored(&self) -> Result<Arc<StoredStatus>, ReadError> {
        let mut cached = self.stored.lock().await;
        if let Some((read, stored)) = &*cached
            && read.elapsed() < STORE_READ_INTERVAL_REAL
        {
            return Ok(stored.clone());
        }
        let read = Stopwatch::start();
        let stored = Arc::new(self.read().await?);
        *cached = Some((read, stored.clone()));
        Ok(stored)
    }

    async fn read(&self) -> Result<StoredStatus, ReadError> {
        let reader = &self.parts.reader;
        let mut tenants = HashMap::new();
        for tenant in self.parts.tenants.ids() {
            let read = self.read_tenant(&tenant).await?;
            tenants.insert(tenant, read);
        }
        Ok(StoredStatus {
            tenants,
            jobs: self.parts.jobs.views(reader).await?,
            last_runs: reader.last_job_runs().await?,
            successes: reader.last_successes().await?.into_iter().collect(),
            footprint: reader.store_size().await?,
        })
    }

    async fn read_tenant(&self, tenant: &TenantId) -> Result<StoredTenantStatus, ReadError> {
        let reader = &self.parts.reader;
        let serving = self.parts.outbox.endpoints(tenant);
        let mut endpoints = Vec::new();
        for endpoint in reader.endpoints(tenant).await?.into_iter().filter(|stored| serving.contains(&stored.id)) {
            let backlog = reader.backlog(tenant, &endpoint.id).await?;
            let oldest = reader.oldest_unsent(tenant, &endpoint.id).await?;
            endpoints.push((endpoint, backlog, oldest));
        }
        let head = reader.last_audit_head(tenant).await?;
        Ok(StoredTenantStatus {
            endpoints,
            entries: reader.chain_head(tenant).await?.seq,
            schedule_reads: reader.schedule_reads(tenant).await?,
            sources: reader.schedule_sources(tenant).await?,
            head: head.and_then(|head| head.signed).map(|signed| (signed.claim.seq, signed.claim.at)),
        })
    }
}

impl Status {
    fn is_healthy(&self) -> bool {
        let tenant = |tenant: &TenantStatus| {
            let own = [tenant.token.ok, tenant.breaker.ok, tenant.picture.ok, tenant.feed.ok, tenant.figures.ok];
            own.iter().all(|ok| *ok) && tenant.webhooks.iter().all(|webhook| webhook.ok)
        };
        self.parts.iter().all(|part| part.ready)
            && self.tenants.iter().all(tenant)
            && self.jobs.iter().all(|job| job.ok)
            && self.store.ok
            && self.configuration.ok
    }
}

fn tenant_status(link: &Link, stored: Option<&StoredTenantStatus>, now: UtcMicros) -> TenantStatus {
    let facts = link.meter.facts();
    TenantStatus {
        id: link.tenant.clone(),
        token: token_status(link.platform.status().token),
        budget: budget_status(link, BudgetKind::Ordinary),
        reporting_budget: budget_status(link, BudgetKind::Reporting),
        breaker: breaker_status(facts.as_ref()),
        picture: live_view_status(facts.as_ref(), now),
        directory: directory_status(link, stored.map(|stored| stored.schedule_reads).unwrap_or_default(), now),
        feed: feed_status(link.feed(), now),
        figures: figures_status(&link.figures.borrow(), now),
        open_transitions: owned_counts(facts.as_ref().map(|facts| &facts.open)),
        subscriptions: subscription_statuses(link, facts.as_ref(), now),
        webhooks: stored.map_or_else(Vec::new, |stored| webhook_statuses(&stored.endpoints, now)),
        // The jobs know them.
        schedule_sources: Vec::new(),
        audit: stored.map(|stored| AuditStatus {
            entries: stored.entries,
            signed_through: stored.head.map_or(0, |(seq, _)| seq),
            head_age_ms: stored.head.map(|(_, at)| real_millis(now.since(at))),
        }),
    }
}

fn directory_status(link: &Link, schedules: ScheduleReads, now: UtcMicros) -> Option<DirectoryStatus> {
    if !link.platform.capabilities().has_directory {
        return None;
    }
    let (state, code_faults) = (link.directory(), link.platform.code_faults());
    let age_ms = |at: Option<UtcMicros>| at.map(|at| real_millis(now.since(at)));
    Some(DirectoryStatus {
        ok: state.read_at.is_some() && code_faults.is_empty(),
        age_ms: age_ms(state.read_at),
        teams: state.teams,
        agents: schedules.agents,
        hidden_agents: state.hidden_agents,
        code_faults,
        scheduled_agents: schedules.read_agents,
        oldest_schedule_age_ms: age_ms(schedules.oldest),
    })
}

/// Returns the number of anomalies that have not ended, by kind.
fn open_anomalies(anomalies: &Anomalies) -> Counts {
    let mut counts = Counts::from(AnomalyKind::ALL.map(|kind| (kind.label(), 0)));
    for open in anomalies.recent.iter().filter(|record| record.ended_at.is_none()) {
        *counts.entry(open.kind.label()).or_default() += 1;
    }
    counts
}

fn budget_status(link: &Link, kind: BudgetKind) -> BudgetStatus {
    let (budget, now) = (link.budget_of(kind), link.clock.monotonic());
    BudgetStatus { limit: budget.limit(), used: budget.used_slots(now), free: budget.free_slots(now) }
}

fn figures_status(figures: &Figures, now: UtcMicros) -> FiguresStatus {
    let age = |id: &str, at| FigureAge { id: id.to_owned(), age_ms: real_millis(now.since(at)) };
    let skills = figures.skills.iter().map(|taken| (taken.figures.id.as_str(), taken.at));
    let queues = figures.queues.iter().map(|taken| (taken.figures.id.as_str(), taken.at));
    FiguresStatus {
        ok: skills.clone().chain(queues.clone()).all(|(_, at)| figures.is_fresh(at, now)),
        good_for_ms: real_millis(figures.fresh_for),
        skills: skills.map(|(id, at)| age(id, at)).collect(),
        queues: queues.map(|(id, at)| age(id, at)).collect(),
    }
}

fn token_status(vitals: TokenHealth) -> TokenStatus {
    TokenStatus {
        ok: !vitals.circuit_open && vitals.last_failure.is_none(),
        age_ms: vitals.age.map(real_millis),
        expires_in_ms: vitals.expires_in.map(real_millis),
        requests_granted: vitals.granted,
        requests_failed: vitals.failed,
        circuit_open: vitals.circuit_open,
        last_failure: vitals.last_failure.map(str::to_owned),
    }
}

fn breaker_status(facts: Option<&KeeperFacts>) -> BreakerStatus {
    let since = facts.and_then(|facts| facts.halted_since);
    let state = match (since, facts.is_some_and(|facts| facts.probing)) {
        (None, _) => "closed",
        (Some(_), false) => "open",
        (Some(_), true) => "probing",
    };
    BreakerStatus { ok: since.is_none(), state: state.to_owned(), since }
}

fn live_view_status(facts: Option<&KeeperFacts>, now: UtcMicros) -> LiveViewStatus {
    let age = facts.and_then(|facts| facts.oldest_observation).map(|from| now.since(from));
    let stale_after = facts.map(|facts| facts.stale_after).unwrap_or_default();
    LiveViewStatus {
        ok: facts.is_some() && age.is_none_or(|age| age <= stale_after),
        agents: owned_counts(facts.map(|facts| &facts.agents)),
        age_ms: age.map(real_millis),
        stale_after_ms: real_millis(stale_after),
    }
}

fn feed_status(state: FeedState, now: UtcMicros) -> FeedStatus {
    let FeedState { connection: standing, last_message_at, losses, messages, invalid_messages: odd_messages } = state;
    let (ok, state, reason, since, attempt) = match standing {
        FeedConnection::Off(reason) => (true, "off", Some(reason.to_owned()), None, None),
        FeedConnection::Connecting { since, attempt } => (attempt <= 1, "connecting", None, Some(since), Some(attempt)),
        FeedConnection::Live { since } => (true, "live", None, Some(since), None),
    };
    let last_message_age_ms = last_message_at.map(|at| real_millis(now.since(at)));
    FeedStatus {
        ok,
        state: state.to_owned(),
        reason,
        since,
        attempt,
        last_message_age_ms,
        losses,
        messages,
        odd_messages,
    }
}

fn owned_counts(counts: Option<&Counts>) -> BTreeMap<String, u64> {
    counts.into_iter().flatten().map(|(word, count)| ((*word).to_owned(), *count)).collect()
}

fn subscription_statuses(link: &Link, facts: Option<&KeeperFacts>, now: UtcMicros) -> Vec<SubscriptionStatus> {
    let one = |of: SubscriptionState| {
        let age = of.age.now(&*link.clock);
        SubscriptionStatus {
            ok: facts.is_none_or(|facts| of.bytes <= facts.oversize_bytes),
            slice: of.slice,
            created_at: now - age,
            age_ms: real_millis(age),
            interval_ms: real_millis(of.interval),
            agents: of.agents,
            snapshot_age_ms: real_millis(now.since(of.generated_at)),
            snapshot_bytes: of.bytes,
        }
    };
    link.subscriptions().into_iter().map(one).collect()
}

fn webhook_statuses(endpoints: &[(StoredEndpoint, Backlog, Option<UtcMicros>)], now: UtcMicros) -> Vec<WebhookStatus> {
    let one = |(stored, backlog, oldest): &(StoredEndpoint, Backlog, Option<UtcMicros>)| {
        let failing_since = stored.failing_since.filter(|since| now.since(*since) >= FAILING_AFTER);
        let (status, since) = match (stored.disabled, failing_since) {
            (Some((at, _)), _) => ("disabled", Some(at)),
            (None, Some(since)) => ("failing", Some(since)),
            (None, None) => ("healthy", None),
        };
        WebhookStatus {
            id: stored.id.clone(),
            ok: since.is_none(),
            status: status.to_owned(),
            waiting: backlog.waiting,
            parked: backlog.parked,
            unread: backlog.unprocessed,
            oldest_unsent_age_ms: oldest.map(|at| real_millis(now.since(at))),
            since,
            last_error: stored.last_error.clone(),
        }
    };
    endpoints.iter().map(one).collect()
}

fn job_statuses(stored: &StoredStatus, is_visible: &(dyn Fn(&TenantId) -> bool + Send + Sync)) -> Vec<JobStatus> {
    let visible = stored.jobs.iter().filter(|job| job.tenant.as_ref().is_none_or(is_visible));
    let one = |job: &JobView| {
        let key = JobKey { tenant: job.tenant.clone(), job: job.id.clone() };
        let failure_outcomes = ["failed", "panicked", "timed_out", "cut_off"];
        JobStatus {
            ok: job.last.as_ref().is_none_or(|run| !failure_outcomes.contains(&run.outcome.as_str())),
            last_success_at: stored.successes.get(&key).copied(),
            job: job.clone(),
        }
    };
    visible.map(one).collect()
}
