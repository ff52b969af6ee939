//! What the demo did, from the store and from the simulator's own books.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use super::Demo;
use crate::cli::audit;
use crate::domain::ids::RuleId;
use crate::domain::state::AgentState;
use crate::domain::words::count;
use crate::store::{ChainTrust, Reader, Store, TransitionFilter};

/// The summary; its JSON shape is part of the command's interface.
#[derive(Serialize, Debug)]
pub(super) struct Summary {
    agents: usize,
    transitions: Transitions,
    platform: Platform,
    violations: u64,
    rules: BTreeMap<RuleId, u64>,
    webhooks: Webhooks,
    pub(super) audit: Audit,
    not_ready_ms: u64,
    seconds: f64,
    /// Why the busiest rules acted, by an example each.
    #[serde(skip)]
    because: Vec<String>,
}

#[derive(Serialize, Debug, Default)]
struct Transitions {
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

#[derive(Serialize, Debug)]
struct Platform {
    calls: u64,
    state_posts: u64,
    calls_per_transition: f64,
    throttled: u64,
}

/// What the receiver counted, beside what the outbox holds.
#[derive(Serialize, Debug)]
struct Webhooks {
    /// Events in the outbox.
    events: u64,
    /// Events that the receiver took, each once.
    delivered: u64,
    /// Those of them with a good signature by the receiver's judgement: it takes no others.
    verified: u64,
    /// Events that it has not taken.
    pending: u64,
}

fn webhooks(demo: &Demo, events: u64) -> Webhooks {
    let counts = demo.receiver.counts();
    let delivered = counts.distinct;
    Webhooks { events, delivered, verified: delivered, pending: events.saturating_sub(delivered) }
}

#[derive(Serialize, Debug)]
pub(super) struct Audit {
    entries: u64,
    pub(super) verified: bool,
}

/// How many busiest rules are explained.
const EXPLAINED: usize = 3;

/// Counts; the daemon has stopped.
pub(super) async fn collect(demo: &Demo, ran: Duration) -> anyhow::Result<Summary> {
    let reader = Store::read(&demo.store_url).await.context("the demo's store")?;
    let now = demo.clock.now();
    let figures = reader.compliance(&demo.tenant, demo.start, now).await?;
    let count = |status: &str| figures.by_status.get(status).copied().unwrap_or(0);
    let rules: BTreeMap<RuleId, u64> =
        figures.by_rule.iter().map(|(rule, by_status)| (rule.clone(), by_status.values().sum())).collect();
    let chain = audit::verify_tenant(&reader, &demo.tenant, ChainTrust::default()).await?;
    let times = reader.time_in_state(&demo.tenant, demo.start, now).await?;
    let not_ready: u64 = AgentState::KNOWN
        .iter()
        .filter(|state| state.counts_as_not_ready())
        .map(|state| times.iter().map(|time| time.of(state)).sum::<u64>())
        .sum();
    let sim = demo.simulator.counts(&demo.tenant);
    let events = reader.event_counts(&demo.tenant).await?.iter().map(|(_, count)| count).sum();
    let summary = Summary {
        agents: reader.agents(&demo.tenant).await?.len(),
        transitions: Transitions {
            requested: figures.total,
            confirmed: count("confirmed"),
            unconfirmed: count("unconfirmed"),
            refused: count("refused"),
            failed: count("failed"),
            superseded: count("superseded"),
            expired: count("expired"),
            cancelled: count("cancelled"),
            open: ["requested", "waiting", "sending", "in_doubt", "accepted"].map(count).iter().sum(),
        },
        platform: Platform {
            calls: sim.calls,
            state_posts: sim.state_posts,
            calls_per_transition: ratio(sim.calls, sim.applied_changes),
            throttled: sim.throttled,
        },
        violations: figures.violations.values().sum(),
        because: examples(&reader, demo, &rules).await?,
        rules,
        webhooks: webhooks(demo, events),
        audit: Audit { entries: chain.entries, verified: chain.verified },
        not_ready_ms: not_ready / 1000,
        seconds: (ran.as_secs_f64() * 10.0).round() / 10.0,
    };
    reader.close().await;
    Ok(summary)
}

/// Two decimals are what people compare.
pub(super) fn ratio(calls: u64, changes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a demo's counts are far below 2^52")]
    let ratio = calls as f64 / changes.max(1) as f64;
    (ratio * 10_000.0).round() / 10_000.0
}

async fn examples(reader: &Reader, demo: &Demo, rules: &BTreeMap<RuleId, u64>) -> anyhow::Result<Vec<String>> {
    let mut busiest: Vec<_> = rules.iter().collect();
    busiest.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let mut lines = Vec::new();
    for (rule, count) in busiest.into_iter().take(EXPLAINED) {
        let filter = TransitionFilter { rule: Some(rule.clone()), ..TransitionFilter::default() };
        let newest = reader.transitions(&demo.tenant, &filter, 1).await?.pop();
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
        writeln!(f, "{}, {} s of real time", count(self.agents, "agent"), self.seconds)?;
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
            count(w.events, "event"),
            w.delivered,
            w.verified,
            w.pending
        )?;
        let verdict = if self.audit.verified { "verified" } else { "BROKEN" };
        writeln!(f, "audit chain      {}, {verdict}", count(self.audit.entries, "entry"))?;
        writeln!(f, "not-ready time   {} min over all agents", self.not_ready_ms / 60_000)?;
        writeln!(f, "busiest rules")?;
        self.because.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}
