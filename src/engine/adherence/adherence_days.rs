//! Keeps the daily adherence sums of agents: computes days that have ended, and recomputes those whose past has
//! changed, for at most half of the time.
//!
//! The store knows which days are stale: whatever changes the past marks them in its own commit. The values before a
//! recomputation are kept in the audit chain. Nobody waits for this worker: a reader that finds a day missing or stale
//! computes it from its segments.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::{RealTime, SharedClock, Stopwatch};
use crate::domain::adherence::AdherenceSettings;
use crate::domain::adherence::days::{day_span, days_overlapping};
use crate::domain::adherence::figures::{AdherenceTimes, computation_basis};
use crate::domain::adherence::ledger::{Ledger, extend_to_shifts};
use crate::domain::adherence::sums::Sums;
use crate::domain::adherence::timeline::Span;
use crate::domain::audit::AuditDraft;
use crate::domain::changes::transition::Actor;
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::time::UtcMicros;
use crate::engine::operations::settings::TenantSettings;
use crate::store::{AdherenceChange, AdherenceDay, Commit, Reader, StoredAgent, Writer};

/// How long ago a missing day may have ended to be computed. An existing day is recomputed however old it is.
const LOOKBACK: Duration = Duration::from_hours(31 * 24);

/// How often stale days are looked for, in the clock's time and in real time, whichever is longer.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);
const CHECK_INTERVAL_REAL: Duration = Duration::from_secs(5);

/// How often days that have ended are looked for; they end at midnight of the agents' time zones.
const ENDED_DAYS_INTERVAL: Duration = Duration::from_mins(15);

/// The most days of an agent computed at once.
const MAX_DAYS_PER_RUN: usize = 31;

/// The number of stale days in one page.
const STALE_PAGE: u32 = 500;

/// Runs the worker of one tenant until `soft` is cancelled.
pub async fn run(
    parts: AdherenceDaysParts,
    mut settings: watch::Receiver<Arc<TenantSettings>>,
    soft: CancellationToken,
) -> anyhow::Result<()> {
    let clock = parts.clock.clone();
    let mut worker = AdherenceDaysWorker::new(parts);
    loop {
        let current = settings.borrow_and_update().decide.adherence.clone();
        let every = CHECK_INTERVAL.max(clock.scale_real(CHECK_INTERVAL_REAL));
        tokio::select! {
            biased;
            // Unfinished work is computed again.
            () = soft.cancelled() => return Ok(()),
            done = worker.update(&current) => done?,
        }
        tokio::select! {
            () = soft.cancelled() => return Ok(()),
            changed = settings.changed() => changed?,
            () = clock.sleep(every) => {}
        }
    }
}

/// The dependencies of the worker.
#[derive(Clone, Debug)]
pub struct AdherenceDaysParts {
    /// The tenant.
    pub tenant: TenantId,
    /// The daemon's clock.
    pub clock: SharedClock,
    /// The store's writer.
    pub writer: Writer,
    /// The store's reader.
    pub reader: Reader,
    /// Held while days of an agent are computed, so that nobody else changes the agent's data meanwhile.
    pub compute_lock: Arc<Mutex<()>>,
}

/// The worker, which works one pass at a time.
#[derive(Debug)]
pub struct AdherenceDaysWorker {
    parts: AdherenceDaysParts,
    /// The last computed day of each agent, and the basis it was computed with.
    computed_through: HashMap<AgentId, (Date, String)>,
    /// When days that have ended were last looked for.
    ended_checked_at: Option<UtcMicros>,
}

impl AdherenceDaysWorker {
    /// Creates a worker without any record of computed days.
    pub fn new(parts: AdherenceDaysParts) -> Self {
        Self { parts, computed_through: HashMap::new(), ended_checked_at: None }
    }

    /// Updates the stored days, using these settings from now on.
    pub async fn update(&mut self, settings: &AdherenceSettings) -> anyhow::Result<()> {
        self.store_basis(settings).await.context("the settings of adherence could not be stored")?;
        self.recompute_stale().await.context("the stale days of adherence could not be read")?;
        let now = self.parts.clock.now();
        if self.ended_checked_at.is_none_or(|at| now.since(at) >= ENDED_DAYS_INTERVAL || now < at) {
            self.compute_ended().await.context("the ended days of adherence could not be read")?;
            self.ended_checked_at = Some(now);
        }
        Ok(())
    }

    /// Stores the adherence settings, for readers that have only the store.
    async fn store_basis(&mut self, settings: &AdherenceSettings) -> anyhow::Result<()> {
        let tenant = &self.parts.tenant;
        if self.parts.reader.adherence_settings(tenant).await? != *settings {
            let basis = vec![(tenant.clone(), settings.to_stored().into())];
            let adherence = AdherenceChange { basis, ..AdherenceChange::default() };
            self.parts.writer.commit(Commit { adherence, ..Commit::default() }).await?;
            self.ended_checked_at = None;
        }
        Ok(())
    }

    async fn recompute_stale(&self) -> anyhow::Result<()> {
        let (reader, tenant) = (&self.parts.reader, &self.parts.tenant);
        let mut before = Vec::new();
        loop {
            let Some((_, last_observed)) = reader.last_observed_span(tenant).await? else { return Ok(()) };
            let page = reader.stale_days(tenant, last_observed, STALE_PAGE).await?;
            // Days that cannot be computed (of agents who are no longer known) are left to retention.
            if page.is_empty() || page == before {
                return Ok(());
            }
            for of_agent in page.chunk_by(|(one, _), (other, _)| one == other) {
                let took = Stopwatch::start();
                let days: Vec<Date> = of_agent.iter().map(|(_, day)| *day).collect();
                let guard = self.parts.compute_lock.lock().await;
                if let Some(stored) = reader.agent(tenant, &of_agent[0].0).await? {
                    self.compute(&stored, &days).await?;
                }
                drop(guard);
                RealTime::sleep(took.elapsed()).await;
            }
            before = page;
        }
    }

    async fn compute_ended(&mut self) -> anyhow::Result<()> {
        let (reader, tenant) = (self.parts.reader.clone(), self.parts.tenant.clone());
        let Some((_, last_observed)) = reader.last_observed_span(&tenant).await? else { return Ok(()) };
        let settings = reader.adherence_settings(&tenant).await?;
        let agents = reader.agents(&tenant).await?;
        let known: HashSet<&AgentId> = agents.iter().map(|stored| &stored.agent.id).collect();
        self.computed_through.retain(|agent, _| known.contains(agent));
        for stored in &agents {
            let took = Stopwatch::start();
            let agent = &stored.agent;
            let basis = computation_basis(&settings, zone_name(stored), agent.team.as_ref());
            let known = self.computed_through.get(&agent.id).filter(|(_, by)| *by == basis).map(|(day, _)| *day);
            let zone = zone_of(stored);
            let ended = days_overlapping((last_observed - LOOKBACK, last_observed), &zone);
            let ended = ended
                .into_iter()
                .filter(|(day, (_, end))| *end <= last_observed && known.is_none_or(|known| *day > known));
            let ended: Vec<(Date, Span)> = ended.collect();
            let (Some(first), Some(last)) = (ended.first(), ended.last()) else { continue };
            let guard = self.parts.compute_lock.clone().lock_owned().await;
            let Some(entered) = reader.first_entered(&tenant, &agent.id).await? else { continue };
            let stored_days = reader.days_of_agent(&tenant, &agent.id, (first.0, last.0)).await?;
            let is_stored = |day: Date| stored_days.iter().any(|row| row.day == day && *row.basis == *basis);
            let missing = ended.iter().filter(|(day, (_, end))| *end > entered && !is_stored(*day));
            let missing: Vec<Date> = missing.map(|(day, _)| *day).collect();
            let unsettled = self.compute(stored, &missing).await?;
            if let Some(through) = unsettled.map_or(Some(last.0), |day| day.yesterday().ok()) {
                self.computed_through.insert(agent.id.clone(), (through, basis));
            }
            drop(guard);
            RealTime::sleep(took.elapsed()).await;
        }
        Ok(())
    }

    /// Computes some days of an agent, in order, and stores those that are settled; returns the first that is not. An
    /// unsettled day that was stored before stays stale until it is settled.
    async fn compute(&self, stored: &StoredAgent, days: &[Date]) -> anyhow::Result<Option<Date>> {
        let zone = zone_of(stored);
        let spans = days.iter().filter_map(|day| Some((*day, day_span(*day, &zone)?)));
        let spans: Vec<(Date, Span)> = spans.collect();
        let mut unsettled = None;
        for run in
            spans.chunk_by(|(_, before), (_, next)| before.1 == next.0).flat_map(|run| run.chunks(MAX_DAYS_PER_RUN))
        {
            if let Some(day) = self.compute_run(stored, run).await? {
                unsettled = unsettled.or(Some(day));
            }
        }
        Ok(unsettled)
    }

    /// Computes consecutive days, like [`Self::compute`].
    async fn compute_run(&self, stored: &StoredAgent, run: &[(Date, Span)]) -> anyhow::Result<Option<Date>> {
        let (Some((first, (from, _))), Some((last, (_, to)))) = (run.first(), run.last()) else { return Ok(None) };
        let (reader, tenant, agent) = (&self.parts.reader, &self.parts.tenant, &stored.agent);
        let (computed_at, span) = (self.parts.clock.now(), (*from, *to));
        let ground = reader.adherence_inputs(tenant, span).await?;
        let facts = reader.agent_facts(&ground, &agent.id, agent.team.as_ref(), span).await?;
        let ledger = Ledger::new(facts.course(&ground.settings), span);
        let before = reader.days_of_agent(tenant, &agent.id, (*first, *last)).await?;
        let basis: Arc<str> = computation_basis(&ground.settings, zone_name(stored), agent.team.as_ref()).into();
        let (mut commit, mut changed, mut unsettled) = (Commit::default(), Vec::new(), None);
        for (day, part) in run {
            let settles_at =
                extend_to_shifts(&facts.course(&ground.settings), *part).1 + ground.settings.max_tolerance();
            let is_settled = ground.last_observed.is_some_and(|observed| settles_at <= observed);
            let known = before.iter().find(|row| row.day == *day);
            if !is_settled {
                unsettled = unsettled.or(Some(*day));
                if known.is_none() {
                    continue;
                }
            }
            let sums = ledger.sums(*part);
            if let Some(known) = known.filter(|known| known.sums != sums) {
                changed
                    .push(json!({"day": day.to_string(), "before": sums_json(&known.sums), "after": sums_json(&sums)}));
            }
            commit.adherence.days.push(AdherenceDay {
                tenant: tenant.clone(),
                agent: agent.id.clone(),
                day: *day,
                starts_at: part.0,
                ends_at: part.1,
                settles_at,
                stale: !is_settled,
                basis: basis.clone(),
                schedule_version: ground.schedule_version,
                history_id: ground.history_id,
                computed_at,
                sums,
            });
        }
        if !changed.is_empty() {
            commit.audit.push(self.recompute_entry(stored, computed_at, &changed));
        }
        if !commit.is_empty() {
            self.parts.writer.commit(commit).await?;
        }
        Ok(unsettled)
    }

    fn recompute_entry(&self, stored: &StoredAgent, at: UtcMicros, days: &[Value]) -> AuditDraft {
        AuditDraft {
            tenant: self.parts.tenant.clone(),
            at,
            actor: Actor::Daemon.label(),
            action: "rollup.recomputed",
            subject: Some(stored.subject),
            transition: None,
            before: None,
            after: None,
            outcome: None,
            facts: json!({ "days": days }),
            note_hash: None,
        }
    }
}

/// Returns the figures of a day for the audit chain: the usual ones by name, and all of them as stored.
fn sums_json(sums: &Sums) -> Value {
    let times = AdherenceTimes::from_sums(sums);
    json!({
        "scheduled_us": times.scheduled_us, "in_us": times.in_us, "out_us": times.out_us, "neutral_us": times.neutral_us,
        "unknown_us": times.unknown_us, "sums": sums.to_stored(),
    })
}

/// Returns the agent's time zone; UTC if it is unknown or invalid.
fn zone_of(stored: &StoredAgent) -> TimeZone {
    TimeZone::get(zone_name(stored)).unwrap_or(TimeZone::UTC)
}

fn zone_name(stored: &StoredAgent) -> &str {
    stored.agent.zone.as_deref().unwrap_or("UTC")
}
