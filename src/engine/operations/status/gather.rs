//! Takes a look: reads the workers' memory, and the store now and then.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;
use tokio::sync::Mutex;

use super::view::{
    AuditStatus, BreakerStatus, BudgetStatus, ConfigurationStatus, FeedStatus, FigureAge, FiguresStatus, JobStatus,
    PictureStatus, SCHEMA_VERSION, Status, StoreStatus, SubscriptionStatus, TenantStatus, TokenStatus, WebhookStatus,
};
use super::{Look, StatusParts};
use crate::clock::Stopwatch;
use crate::domain::analytics::anomaly::Anomalies;
use crate::domain::analytics::trend::AnomalyKind;
use crate::domain::ids::{EndpointId, TenantId};
use crate::domain::jobs::job::JobKey;
use crate::domain::live::figures::Figures;
use crate::domain::time::UtcMicros;
use crate::engine::analytics::RunTotals;
use crate::engine::jobs::JobView;
use crate::engine::operations::meter::{Counts, KeeperFacts, Totals};
use crate::engine::platform::calls::{Purse, real_millis};
use crate::engine::platform::feed::{FeedStanding, FeedState};
use crate::engine::platform::link::{Link, SubscriptionNow};
use crate::engine::webhooks::deliver::TOLD_AFTER;
use crate::platform::CallKind;
use crate::platform::vitals::TokenVitals;
use crate::store::{Backlog, Footprint, ReadError, StoredEndpoint};

/// The store is asked at most this often, in real time.
pub const STORE_EVERY_REAL: Duration = Duration::from_secs(5);

/// What is counted of one tenant.
#[derive(Debug)]
pub struct Meters {
    /// The tenant.
    pub tenant: TenantId,
    /// Calls to the platform by kind and outcome.
    pub calls: Vec<(CallKind, &'static str, u64)>,
    /// How long they took.
    pub call_durations: Vec<(CallKind, Histogram)>,
    /// For how long the keeper has made no pass, in real time; none while none runs.
    pub quiet: Option<Duration>,
    /// How long the keeper's passes took.
    pub passes: Histogram,
    /// What the keeper committed.
    pub totals: Totals,
    /// Attempts at each endpoint by outcome.
    pub deliveries: Vec<(EndpointId, [(&'static str, u64); 3])>,
    /// Analytics runs that have ended.
    pub runs: RunTotals,
    /// Anomalies of watched series that were found, by kind.
    pub anomalies: Counts,
    /// Those that go on, by kind.
    pub open_anomalies: Counts,
}

/// What the store says.
#[derive(Debug, Default)]
struct Stored {
    tenants: HashMap<TenantId, OfTenant>,
    jobs: Vec<JobView>,
    successes: HashMap<JobKey, UtcMicros>,
    footprint: Footprint,
}

#[derive(Debug, Default)]
struct OfTenant {
    endpoints: Vec<(StoredEndpoint, Backlog, Option<UtcMicros>)>,
    entries: u64,
    head: Option<(u64, UtcMicros)>,
}

/// Takes looks.
pub(super) struct Desk {
    parts: StatusParts,
    stored: Mutex<Option<(Stopwatch, Arc<Stored>)>>,
}

impl Desk {
    pub(super) fn new(parts: StatusParts) -> Self {
        Self { parts, stored: Mutex::default() }
    }

    pub(super) async fn look(&self, within_reach: &(dyn Fn(&TenantId) -> bool + Send + Sync)) -> Look {
        // A store that cannot be read is itself a finding; what is in memory is shown all the same.
        let stored = match self.stored().await {
            Ok(stored) => Some(stored),
            Err(error) => {
                tracing::warn!(%error, "the store could not be read for a look at the daemon");
                None
            }
        };
        let now = self.parts.clock.now();
        let (seen, unseen): (Vec<_>, Vec<_>) =
            self.parts.tenants.links().into_iter().partition(|link| within_reach(&link.tenant));
        let empty = OfTenant::default();
        let tenants: Vec<TenantStatus> = seen
            .iter()
            .map(|link| {
                let of = stored.as_ref().map(|stored| stored.tenants.get(&link.tenant).unwrap_or(&empty));
                tenant(link, of, now)
            })
            .collect();
        let report = self.parts.readiness.report();
        let jobs = stored.as_deref().map_or_else(Vec::new, |stored| jobs(stored, within_reach));
        let writer = self.parts.writer.vitals();
        let store = self.store(stored.as_deref(), writer.queued);
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
                .filter(|part| !unseen.iter().any(|link| part.is_of(&link.tenant)))
                .collect(),
            tenants,
            jobs,
            store,
            configuration: ConfigurationStatus { ok: reloaded, loaded_at },
        };
        status.ok = status.has_nothing_wrong();
        let tenants = seen.iter().map(|link| self.meters(link)).collect();
        let log_lines_lost = self.parts.log.as_ref().map_or(0, |log| log.state().borrow().lines_lost);
        Look { status, tenants, writer, viewers: self.parts.live.viewers(), log_lines_lost }
    }

    fn store(&self, stored: Option<&Stored>, queued: usize) -> StoreStatus {
        let trouble = self.parts.writer.trouble();
        let writes = { trouble.borrow().commit.is_none() };
        let Footprint { bytes, log_bytes, disk_free_bytes } = stored.map(|stored| stored.footprint).unwrap_or_default();
        StoreStatus { ok: writes && stored.is_some(), bytes, log_bytes, disk_free_bytes, queued }
    }

    fn meters(&self, link: &Link) -> Meters {
        let calls = link.platform.vitals().calls;
        let counts = |id: &EndpointId| self.parts.outbox.counts(&link.tenant, id).map(|counts| counts.by_outcome());
        let endpoints = self.parts.outbox.endpoints(&link.tenant);
        Meters {
            tenant: link.tenant.clone(),
            calls: calls.by_outcome(),
            call_durations: calls.durations(),
            quiet: link.meter.quiet_for(),
            passes: link.meter.pass_durations(),
            totals: link.meter.totals(),
            deliveries: endpoints.into_iter().filter_map(|id| counts(&id).map(|counts| (id, counts))).collect(),
            runs: self.parts.analytics.totals(&link.tenant),
            anomalies: link.meter.anomalies(),
            open_anomalies: open_anomalies(&link.anomalies.borrow()),
        }
    }

    /// What the store says, read anew where it was read too long ago. Whoever asks meanwhile waits for that one reading.
    async fn stored(&self) -> Result<Arc<Stored>, ReadError> {
        let mut kept = self.stored.lock().await;
        if let Some((read, stored)) = &*kept
            && read.elapsed() < STORE_EVERY_REAL
        {
            return Ok(stored.clone());
        }
        let read = Stopwatch::start();
        let stored = Arc::new(self.read().await?);
        *kept = Some((read, stored.clone()));
        Ok(stored)
    }

    async fn read(&self) -> Result<Stored, ReadError> {
        let reader = &self.parts.reader;
        let mut tenants = HashMap::new();
        for tenant in self.parts.tenants.ids() {
            let read = self.read_tenant(&tenant).await?;
            tenants.insert(tenant, read);
        }
        Ok(Stored {
            tenants,
            jobs: self.parts.jobs.views(reader).await?,
            successes: reader.last_successes().await?.into_iter().collect(),
            footprint: reader.footprint().await?,
        })
    }

    async fn read_tenant(&self, tenant: &TenantId) -> Result<OfTenant, ReadError> {
        let reader = &self.parts.reader;
        let serving = self.parts.outbox.endpoints(tenant);
        let mut endpoints = Vec::new();
        for endpoint in reader.endpoints(tenant).await?.into_iter().filter(|stored| serving.contains(&stored.id)) {
            let backlog = reader.backlog(tenant, &endpoint.id).await?;
            let oldest = reader.oldest_unsent(tenant, &endpoint.id).await?;
            endpoints.push((endpoint, backlog, oldest));
        }
        let head = reader.last_audit_head(tenant).await?;
        Ok(OfTenant {
            endpoints,
            entries: reader.chain_head(tenant).await?.seq,
            head: head.and_then(|head| head.signed).map(|signed| (signed.claim.seq, signed.claim.at)),
        })
    }
}

impl Status {
    fn has_nothing_wrong(&self) -> bool {
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

fn tenant(link: &Link, stored: Option<&OfTenant>, now: UtcMicros) -> TenantStatus {
    let facts = link.meter.facts();
    TenantStatus {
        id: link.tenant.clone(),
        token: token(link.platform.vitals().token),
        budget: budget(link, Purse::Ordinary),
        reporting_budget: budget(link, Purse::Reporting),
        breaker: breaker(facts.as_ref()),
        picture: picture(facts.as_ref(), now),
        feed: feed(link.feed(), now),
        figures: figures(&link.figures.borrow(), now),
        open_transitions: words(facts.as_ref().map(|facts| &facts.open)),
        subscriptions: subscriptions(link, facts.as_ref(), now),
        webhooks: stored.map_or_else(Vec::new, |stored| webhooks(&stored.endpoints, now)),
        audit: stored.map(|stored| AuditStatus {
            entries: stored.entries,
            signed_through: stored.head.map_or(0, |(seq, _)| seq),
            head_age_ms: stored.head.map(|(_, at)| real_millis(now.since(at))),
        }),
    }
}

/// Those that go on, by kind.
fn open_anomalies(anomalies: &Anomalies) -> Counts {
    let mut counts = Counts::from(AnomalyKind::ALL.map(|kind| (kind.word(), 0)));
    for open in anomalies.recent.iter().filter(|record| record.ended_at.is_none()) {
        *counts.entry(open.kind.word()).or_default() += 1;
    }
    counts
}

fn budget(link: &Link, purse: Purse) -> BudgetStatus {
    let (budget, now) = (link.budget_of(purse), link.clock.monotonic());
    BudgetStatus { limit: budget.limit(), used: budget.used(now), free: budget.free(now) }
}

fn figures(figures: &Figures, now: UtcMicros) -> FiguresStatus {
    let age = |id: &str, at| FigureAge { id: id.to_owned(), age_ms: real_millis(now.since(at)) };
    let skills = figures.skills.iter().map(|taken| (taken.figures.id.as_str(), taken.at));
    let queues = figures.queues.iter().map(|taken| (taken.figures.id.as_str(), taken.at));
    FiguresStatus {
        ok: skills.clone().chain(queues.clone()).all(|(_, at)| figures.fresh(at, now)),
        good_for_ms: real_millis(figures.good_for),
        skills: skills.map(|(id, at)| age(id, at)).collect(),
        queues: queues.map(|(id, at)| age(id, at)).collect(),
    }
}

fn token(vitals: TokenVitals) -> TokenStatus {
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

fn breaker(facts: Option<&KeeperFacts>) -> BreakerStatus {
    let since = facts.and_then(|facts| facts.halted_since);
    let state = match (since, facts.is_some_and(|facts| facts.probing)) {
        (None, _) => "closed",
        (Some(_), false) => "open",
        (Some(_), true) => "probing",
    };
    BreakerStatus { ok: since.is_none(), state: state.to_owned(), since }
}

fn picture(facts: Option<&KeeperFacts>, now: UtcMicros) -> PictureStatus {
    let age = facts.and_then(|facts| facts.sight_from).map(|from| now.since(from));
    let stale_after = facts.map(|facts| facts.stale_after).unwrap_or_default();
    PictureStatus {
        ok: facts.is_some() && age.is_none_or(|age| age <= stale_after),
        agents: words(facts.map(|facts| &facts.agents)),
        age_ms: age.map(real_millis),
        stale_after_ms: real_millis(stale_after),
    }
}

fn feed(state: FeedState, now: UtcMicros) -> FeedStatus {
    let FeedState { standing, last_message_at, losses, messages, odd_messages } = state;
    let (ok, state, reason, since, attempt) = match standing {
        FeedStanding::Off(reason) => (true, "off", Some(reason.to_owned()), None, None),
        FeedStanding::Connecting { since, attempt } => (attempt <= 1, "connecting", None, Some(since), Some(attempt)),
        FeedStanding::Live { since } => (true, "live", None, Some(since), None),
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

fn words(counts: Option<&Counts>) -> BTreeMap<String, u64> {
    counts.into_iter().flatten().map(|(word, count)| ((*word).to_owned(), *count)).collect()
}

fn subscriptions(link: &Link, facts: Option<&KeeperFacts>, now: UtcMicros) -> Vec<SubscriptionStatus> {
    let one = |of: SubscriptionNow| {
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

fn webhooks(endpoints: &[(StoredEndpoint, Backlog, Option<UtcMicros>)], now: UtcMicros) -> Vec<WebhookStatus> {
    let one = |(stored, backlog, oldest): &(StoredEndpoint, Backlog, Option<UtcMicros>)| {
        let failing_since = stored.failing_since.filter(|since| now.since(*since) >= TOLD_AFTER);
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
            unread: backlog.unread,
            oldest_unsent_age_ms: oldest.map(|at| real_millis(now.since(at))),
            since,
            last_error: stored.last_error.clone(),
        }
    };
    endpoints.iter().map(one).collect()
}

fn jobs(stored: &Stored, within_reach: &(dyn Fn(&TenantId) -> bool + Send + Sync)) -> Vec<JobStatus> {
    let shown = stored.jobs.iter().filter(|job| job.tenant.as_ref().is_none_or(within_reach));
    let one = |job: &JobView| {
        let key = JobKey { tenant: job.tenant.clone(), job: job.id.clone() };
        let went_wrong = ["failed", "panicked", "timed_out", "cut_off"];
        JobStatus {
            ok: job.last.as_ref().is_none_or(|run| !went_wrong.contains(&run.outcome.as_str())),
            last_success_at: stored.successes.get(&key).copied(),
            job: job.clone(),
        }
    };
    shown.map(one).collect()
}
