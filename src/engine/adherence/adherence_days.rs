//! Keeps what agents' days add up to: computes the days that have ended, and those anew whose past has changed, at most half of the time.
//!
//! Which days are stale the store knows: whatever changes the past marks them in its own commit. What was computed before stands in
//! the audit chain from then on. Nobody waits for this worker: who reads a day that is missing or stale computes it from its segments.

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
use crate::domain::adherence::course::Span;
use crate::domain::adherence::days::{day_span, days_touching};
use crate::domain::adherence::figures::{Times, basis};
use crate::domain::adherence::ledger::{Ledger, hull};
use crate::domain::adherence::sums::Sums;
use crate::domain::audit::AuditDraft;
use crate::domain::changes::transition::Actor;
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::time::UtcMicros;
use crate::engine::operations::settings::TenantSettings;
use crate::store::{AdherenceChange, AdherenceDay, Commit, Reader, StoredAgent, Writer};

/// Days that ended so long ago are computed where they are missing; a day that is there is computed anew however old it is.
const LOOKS_BACK: Duration = Duration::from_hours(31 * 24);

/// Days that changes of the past made stale are looked for this often, in the clock's time and in real time, whichever is longer.
const LOOKS_EVERY: Duration = Duration::from_secs(10);
const LOOKS_EVERY_REAL: Duration = Duration::from_secs(5);

/// And days that have ended, which they do at midnights of zones.
const ENDED_EVERY: Duration = Duration::from_mins(15);

/// Days of an agent that are computed in one go.
const DAYS_AT_ONCE: usize = 31;

/// Stale days of one page.
const STALE_PAGE: u32 = 500;

/// The worker of one tenant.
pub async fn run(
    parts: DaysParts,
    mut settings: watch::Receiver<Arc<TenantSettings>>,
    soft: CancellationToken,
) -> anyhow::Result<()> {
    let clock = parts.clock.clone();
    let mut worker = Worker::new(parts);
    loop {
        let wanted = settings.borrow_and_update().decide.adherence.clone();
        let every = LOOKS_EVERY.max(clock.span_of_real(LOOKS_EVERY_REAL));
        tokio::select! {
            biased;
            // What is under way is computed anew.
            () = soft.cancelled() => return Ok(()),
            done = worker.work(&wanted) => done?,
        }
        tokio::select! {
            () = soft.cancelled() => return Ok(()),
            changed = settings.changed() => changed?,
            () = clock.sleep(every) => {}
        }
    }
}

/// What the worker is made of.
#[derive(Clone, Debug)]
pub struct DaysParts {
    /// Whose days.
    pub tenant: TenantId,
    /// The daemon's clock.
    pub clock: SharedClock,
    /// The one writer.
    pub writer: Writer,
    /// The readers.
    pub reader: Reader,
    /// Held while days of an agent are computed, so that nobody else changes of whom they are meanwhile.
    pub turn: Arc<Mutex<()>>,
}

/// Does the work, a pass at a time.
#[derive(Debug)]
pub struct Worker {
    parts: DaysParts,
    /// Up to which day each agent's days are computed, and by what.
    computed_through: HashMap<AgentId, (Date, String)>,
    /// When days that have ended were looked for last.
    ended_at: Option<UtcMicros>,
}

impl Worker {
    /// Nothing is computed yet as far as it knows.
    pub fn new(parts: DaysParts) -> Self {
        Self { parts, computed_through: HashMap::new(), ended_at: None }
    }

    /// Brings the store's days up to date, judged by these settings from now on.
    pub async fn work(&mut self, wanted: &AdherenceSettings) -> anyhow::Result<()> {
        self.keep_basis(wanted).await.context("what adherence is judged by")?;
        self.mend_stale().await.context("days of adherence whose past has changed")?;
        let now = self.parts.clock.now();
        if self.ended_at.is_none_or(|at| now.since(at) >= ENDED_EVERY || now < at) {
            self.add_ended().await.context("days of adherence that have ended")?;
            self.ended_at = Some(now);
        }
        Ok(())
    }

    /// Stores what the daemon judges by, for whoever judges from the store alone.
    async fn keep_basis(&mut self, settings: &AdherenceSettings) -> anyhow::Result<()> {
        let tenant = &self.parts.tenant;
        if self.parts.reader.adherence_settings(tenant).await? != *settings {
            let basis = vec![(tenant.clone(), settings.to_stored().into())];
            let adherence = AdherenceChange { basis, ..AdherenceChange::default() };
            self.parts.writer.commit(Commit { adherence, ..Commit::default() }).await?;
            self.ended_at = None;
        }
        Ok(())
    }

    async fn mend_stale(&self) -> anyhow::Result<()> {
        let (reader, tenant) = (&self.parts.reader, &self.parts.tenant);
        let mut before = Vec::new();
        loop {
            let Some((_, seen)) = reader.last_sight(tenant).await? else { return Ok(()) };
            let page = reader.stale_days(tenant, seen, STALE_PAGE).await?;
            // Days that cannot be computed (of agents whom nobody knows any more) are left to retention.
            if page.is_empty() || page == before {
                return Ok(());
            }
            for of_agent in page.chunk_by(|(one, _), (other, _)| one == other) {
                let took = Stopwatch::start();
                let days: Vec<Date> = of_agent.iter().map(|(_, day)| *day).collect();
                let turn = self.parts.turn.lock().await;
                if let Some(stored) = reader.agent(tenant, &of_agent[0].0).await? {
                    self.compute(&stored, &days).await?;
                }
                drop(turn);
                RealTime::sleep(took.elapsed()).await;
            }
            before = page;
        }
    }

    async fn add_ended(&mut self) -> anyhow::Result<()> {
        let (reader, tenant) = (self.parts.reader.clone(), self.parts.tenant.clone());
        let Some((_, seen)) = reader.last_sight(&tenant).await? else { return Ok(()) };
        let settings = reader.adherence_settings(&tenant).await?;
        let agents = reader.agents(&tenant).await?;
        let known: HashSet<&AgentId> = agents.iter().map(|stored| &stored.agent.id).collect();
        self.computed_through.retain(|agent, _| known.contains(agent));
        for stored in &agents {
            let took = Stopwatch::start();
            let agent = &stored.agent;
            let basis = basis(&settings, zone_name(stored), agent.team.as_ref());
            let known = self.computed_through.get(&agent.id).filter(|(_, by)| *by == basis).map(|(day, _)| *day);
            let zone = zone_of(stored);
            let ended = days_touching((seen - LOOKS_BACK, seen), &zone);
            let ended =
                ended.into_iter().filter(|(day, (_, end))| *end <= seen && known.is_none_or(|known| *day > known));
            let ended: Vec<(Date, Span)> = ended.collect();
            let (Some(first), Some(last)) = (ended.first(), ended.last()) else { continue };
            let turn = self.parts.turn.clone().lock_owned().await;
            let Some(entered) = reader.first_entered(&tenant, &agent.id).await? else { continue };
            let there = reader.days_of_agent(&tenant, &agent.id, (first.0, last.0)).await?;
            let is_there = |day: Date| there.iter().any(|row| row.day == day && *row.basis == *basis);
            let missing = ended.iter().filter(|(day, (_, end))| *end > entered && !is_there(*day));
            let missing: Vec<Date> = missing.map(|(day, _)| *day).collect();
            let unsettled = self.compute(stored, &missing).await?;
            if let Some(through) = unsettled.map_or(Some(last.0), |day| day.yesterday().ok()) {
                self.computed_through.insert(agent.id.clone(), (through, basis));
            }
            drop(turn);
            RealTime::sleep(took.elapsed()).await;
        }
        Ok(())
    }

    /// Computes some days of an agent, in order, and stores those that are settled; gives the first that is not. One that is not and was
    /// stored before is stale until it is.
    async fn compute(&self, stored: &StoredAgent, days: &[Date]) -> anyhow::Result<Option<Date>> {
        let zone = zone_of(stored);
        let spans = days.iter().filter_map(|day| Some((*day, day_span(*day, &zone)?)));
        let spans: Vec<(Date, Span)> = spans.collect();
        let mut unsettled = None;
        for run in spans.chunk_by(|(_, before), (_, next)| before.1 == next.0).flat_map(|run| run.chunks(DAYS_AT_ONCE))
        {
            if let Some(day) = self.compute_run(stored, run).await? {
                unsettled = unsettled.or(Some(day));
            }
        }
        Ok(unsettled)
    }

    /// The same of days side by side.
    async fn compute_run(&self, stored: &StoredAgent, run: &[(Date, Span)]) -> anyhow::Result<Option<Date>> {
        let (Some((first, (from, _))), Some((last, (_, to)))) = (run.first(), run.last()) else { return Ok(None) };
        let (reader, tenant, agent) = (&self.parts.reader, &self.parts.tenant, &stored.agent);
        let (computed_at, span) = (self.parts.clock.now(), (*from, *to));
        let ground = reader.adherence_ground(tenant, span).await?;
        let facts = reader.agent_facts(&ground, &agent.id, agent.team.as_ref(), span).await?;
        let ledger = Ledger::new(facts.course(&ground.settings), span);
        let before = reader.days_of_agent(tenant, &agent.id, (*first, *last)).await?;
        let basis: Arc<str> = basis(&ground.settings, zone_name(stored), agent.team.as_ref()).into();
        let (mut commit, mut changed, mut unsettled) = (Commit::default(), Vec::new(), None);
        for (day, part) in run {
            let settles_at = hull(&facts.course(&ground.settings), *part).1 + ground.settings.longest_tolerance();
            let is_settled = ground.last_sight.is_some_and(|seen| settles_at <= seen);
            let known = before.iter().find(|row| row.day == *day);
            if !is_settled {
                unsettled = unsettled.or(Some(*day));
                if known.is_none() {
                    continue;
                }
            }
            let sums = ledger.sums(*part);
            if let Some(known) = known.filter(|known| known.sums != sums) {
                changed.push(json!({"day": day.to_string(), "before": told(&known.sums), "after": told(&sums)}));
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
            commit.audit.push(self.recomputed(stored, computed_at, &changed));
        }
        if !commit.is_empty() {
            self.parts.writer.commit(commit).await?;
        }
        Ok(unsettled)
    }

    fn recomputed(&self, stored: &StoredAgent, at: UtcMicros, days: &[Value]) -> AuditDraft {
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
            why: json!({ "days": days }),
            note: None,
        }
    }
}

/// Figures of a day for the audit chain: the usual ones by name, and all of them as they are stored.
fn told(sums: &Sums) -> Value {
    let times = Times::of(sums);
    json!({
        "scheduled_us": times.scheduled_us, "in_us": times.in_us, "out_us": times.out_us, "neutral_us": times.neutral_us,
        "unknown_us": times.unknown_us, "sums": sums.to_stored(),
    })
}

/// The agent's zone; UTC where none is known, or none of that name is.
fn zone_of(stored: &StoredAgent) -> TimeZone {
    TimeZone::get(zone_name(stored)).unwrap_or(TimeZone::UTC)
}

fn zone_name(stored: &StoredAgent) -> &str {
    stored.agent.zone.as_deref().unwrap_or("UTC")
}
