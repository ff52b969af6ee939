//! The demo's summary, from the store and the simulator's own counts.

use std::collections::BTreeMap;
use std::fmt;
use std::iter::Sum;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use super::running::Demo;
use super::status::{calls_per_change, observation_age_text};
use crate::domain::agents::state::AgentState;
use crate::domain::ids::{RuleId, TenantId};
use crate::domain::wording::count_with_noun;
use crate::engine::operations::status::{FeedStatus, SubscriptionStatus, TenantStatus};
use crate::store::{ChainTrust, Reader, Store, TransitionFilter};

/// The summary. Its JSON format is part of the command's interface.
#[derive(Serialize, Debug)]
pub(super) struct Summary {
    agents: usize,
    transitions: TransitionCounts,
    platform: PlatformCounts,
    violations: u64,
    rules: BTreeMap<RuleId, u64>,
    webhooks: WebhookCounts,
    pub(super) audit: AuditSummary,
    not_ready_ms: u64,
    seconds: f64,
    /// The summary of each tenant.
    tenants: Vec<TenantSummary>,
    /// Examples of why the busiest rules acted, one for each.
    #[serde(skip)]
    rule_examples: Vec<String>,
}

/// One tenant.
#[derive(Serialize, Debug)]
struct TenantSummary {
    id: TenantId,
    agents: usize,
    transitions: TransitionCounts,
    platform: PlatformCounts,
    violations: u64,
    audit: AuditSummary,
    not_ready_ms: u64,
    /// The status of the live feed just before the end.
    feed: Option<FeedStatus>,
    /// The status of the subscriptions just before the end.
    subscriptions: Vec<SubscriptionStatus>,
    /// The age of their observations, in words.
    #[serde(skip)]
    observation_age: Option<String>,
    #[serde(skip)]
    rules: BTreeMap<RuleId, u64>,
    #[serde(skip)]
    applied_changes: u64,
}

#[derive(Serialize, Clone, Copy, Debug, Default)]
struct TransitionCounts {
    requested: u64,
    confirmed: u64,
    unconfirmed: u64,
    refused: u64,
    failed: u64,
    superseded: u64,
    expired: u64,
    cancelled: u64,
    open: u64,
}

impl Sum for TransitionCounts {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            requested: sum.requested + one.requested,
            confirmed: sum.confirmed + one.confirmed,
            unconfirmed: sum.unconfirmed + one.unconfirmed,
            refused: sum.refused + one.refused,
            failed: sum.failed + one.failed,
            superseded: sum.superseded + one.superseded,
            expired: sum.expired + one.expired,
            cancelled: sum.cancelled + one.cancelled,
            open: sum.open + one.open,
        })
    }
}

#[derive(Serialize, Debug)]
struct PlatformCounts {
    calls: u64,
    state_posts: u64,
    calls_per_transition: f64,
    throttled: u64,
}

/// The receiver's counts, and those of the outbox.
#[derive(Serialize, Debug)]
struct WebhookCounts {
    /// The events in the outbox.
    events: u64,
    /// The distinct events that the receiver accepted.
    delivered: u64,
    /// Those of them whose signature the receiver found valid; it accepts no others.
    verified: u64,
    /// The events not accepted yet.
    pending: u64,
}

fn count_webhooks(demo: &Demo, events: u64) -> WebhookCounts {
    let counts = demo.receiver.counts();
    let delivered = counts.distinct;
    WebhookCounts { events, delivered, verified: delivered, pending: events.saturating_sub(delivered) }
}

#[derive(Serialize, Debug)]
pub(super) struct AuditSummary {
    entries: u64,
    pub(super) verified: bool,
}

/// The number of busiest rules that are explained.
const EXPLAINED_RULES: usize = 3;

/// Collects the summary after the daemon has stopped. `last_statuses` is the status of its tenants just before.
pub(super) async fn collect(
    demo: &Demo,
    last_statuses: Vec<TenantStatus>,
    run_time: Duration,
) -> anyhow::Result<Summary> {
    let reader = Store::read(&demo.store_url).await.context("the demo's store could not be read")?;
    let (mut tenants, mut events) = (Vec::new(), 0);
    for tenant in &demo.tenants {
        let last_status = last_statuses.iter().find(|status| status.id == *tenant);
        tenants.push(summarize_tenant(&reader, demo, tenant, last_status).await?);
        events += reader.event_counts(tenant).await?.iter().map(|(_, count)| count).sum::<u64>();
    }
    let mut rules = BTreeMap::new();
    for (rule, count) in tenants.iter().flat_map(|tenant| &tenant.rules) {
        *rules.entry(rule.clone()).or_default() += count;
    }
    let calls = tenants.iter().map(|tenant| tenant.platform.calls).sum();
    let changes = tenants.iter().map(|tenant| tenant.applied_changes).sum();
    let summary = Summary {
        agents: tenants.iter().map(|tenant| tenant.agents).sum(),
        transitions: tenants.iter().map(|tenant| tenant.transitions).sum(),
        platform: PlatformCounts {
            calls,
            state_posts: tenants.iter().map(|tenant| tenant.platform.state_posts).sum(),
            calls_per_transition: calls_per_change(calls, changes),
            throttled: tenants.iter().map(|tenant| tenant.platform.throttled).sum(),
        },
        violations: tenants.iter().map(|tenant| tenant.violations).sum(),
        rule_examples: explain_busiest_rules(&reader, demo, &rules).await?,
        rules,
        webhooks: count_webhooks(demo, events),
        audit: AuditSummary {
            entries: tenants.iter().map(|tenant| tenant.audit.entries).sum(),
            verified: tenants.iter().all(|tenant| tenant.audit.verified),
        },
        not_ready_ms: tenants.iter().map(|tenant| tenant.not_ready_ms).sum(),
        seconds: (run_time.as_secs_f64() * 10.0).round() / 10.0,
        tenants,
    };
    reader.close().await;
    Ok(summary)
}

async fn summarize_tenant(
    reader: &Reader,
    demo: &Demo,
    tenant: &TenantId,
    seen: Option<&TenantStatus>,
) -> anyhow::Result<TenantSummary> {
    let now = demo.clock.now();
    let figures = reader.compliance_figures(tenant, demo.start, now).await?;
    let count = |status: &str| figures.by_status.get(status).copied().unwrap_or(0);
    let chain = reader.verify_chain(tenant, ChainTrust::default()).await?;
    let times = reader.time_in_state(tenant, demo.start, now).await?;
    let not_ready: u64 = AgentState::KNOWN
        .iter()
        .filter(|state| state.is_not_ready())
        .map(|state| times.iter().map(|time| time.micros_in(state)).sum::<u64>())
        .sum();
    let sim = demo.simulator.counts(tenant);
    // A pending change costs no further call.
    let applied_changes = sim.applied_changes + count("pending");
    Ok(TenantSummary {
        id: tenant.clone(),
        agents: reader.agents(tenant).await?.len(),
        transitions: TransitionCounts {
            requested: figures.total,
            confirmed: count("confirmed"),
            unconfirmed: count("unconfirmed"),
            refused: count("refused"),
            failed: count("failed"),
            superseded: count("superseded"),
            expired: count("expired"),
            cancelled: count("cancelled"),
            open: ["requested", "waiting", "sending", "in_doubt", "accepted", "pending"].map(count).iter().sum(),
        },
        platform: PlatformCounts {
            calls: sim.calls,
            state_posts: sim.state_posts,
            calls_per_transition: calls_per_change(sim.calls, applied_changes),
            throttled: sim.throttled,
        },
        violations: figures.violations.values().sum(),
        audit: AuditSummary { entries: chain.entries, verified: chain.is_valid() },
        not_ready_ms: not_ready / 1000,
        feed: seen.map(|status| status.feed.clone()),
        subscriptions: seen.map(|status| status.subscriptions.clone()).unwrap_or_default(),
        observation_age: seen.map(observation_age_text),
        rules: figures.by_rule.iter().map(|(rule, by_status)| (rule.clone(), by_status.values().sum())).collect(),
        applied_changes,
    })
}

async fn explain_busiest_rules(
    reader: &Reader,
    demo: &Demo,
    rules: &BTreeMap<RuleId, u64>,
) -> anyhow::Result<Vec<String>> {
    let mut busiest: Vec<_> = rules.iter().collect();
    busiest.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let mut lines = Vec::new();
    for (rule, count) in busiest.into_iter().take(EXPLAINED_RULES) {
        let filter = TransitionFilter { rule: Some(rule.clone()), ..TransitionFilter::default() };
        let mut newest = None;
        for tenant in &demo.tenants {
            newest = newest.or(reader.transitions(tenant, &filter, 1).await?.pop());
        }
        let because = newest.and_then(|stored| {
            let because = stored.transition.explanation.get("because")?.as_str()?.to_owned();
            Some(format!("{}: {because}", stored.transition.agent))
        });
        lines.push(format!("{rule}, {count} ×; last for {}", because.unwrap_or_default()));
    }
    Ok(lines)
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (t, p) = (&self.transitions, &self.platform);
        writeln!(f, "{}, {} s of real time", count_with_noun(self.agents, "agent"), self.seconds)?;
        writeln!(
            f,
            "transitions      {} requested: {} confirmed, {} unconfirmed, {} refused, {} failed, {} superseded, {} expired, \
             {} cancelled, {} open",
            t.requested, t.confirmed, t.unconfirmed, t.refused, t.failed, t.superseded, t.expired, t.cancelled, t.open
        )?;
        writeln!(
            f,
            "platform         calls {}, per applied change {} (the simulator's count); answers 429: {}",
            p.calls, p.calls_per_transition, p.throttled
        )?;
        writeln!(f, "violations       {}", self.violations)?;
        let w = &self.webhooks;
        writeln!(
            f,
            "webhooks         {} recorded, {} delivered, {} of them with a good signature, {} pending (the receiver's count)",
            count_with_noun(w.events, "event"),
            w.delivered,
            w.verified,
            w.pending
        )?;
        for tenant in &self.tenants {
            let name = format!("tenant {}", tenant.id);
            let sight = tenant.observation_age.as_deref().unwrap_or("nothing observed yet");
            writeln!(
                f,
                "{name:<16} {}, {} transitions; last observed: {sight}",
                count_with_noun(tenant.agents, "agent"),
                tenant.transitions.requested
            )?;
        }
        let verdict = if self.audit.verified { "verified" } else { "BROKEN" };
        writeln!(f, "audit chain      {}, {verdict}", count_with_noun(self.audit.entries, "entry"))?;
        writeln!(f, "not-ready time   {} min over all agents", self.not_ready_ms / 60_000)?;
        writeln!(f, "busiest rules")?;
        self.rule_examples.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}
