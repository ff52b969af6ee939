//! Reads history and feeds it to a replay, slice by slice: what is in memory is one slice, the plans of some days, and what is counted.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::kit::TrialKit;
use super::result::{TrialResult, shape};
use crate::clock::{RealTime, Stopwatch};
use crate::domain::adherence::exception::{Exception, excused_spans};
use crate::domain::agents::agent::Agent;
use crate::domain::agents::state::AgentState;
use crate::domain::analytics::anomaly::Anomalies;
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::rules::replay::{MOST_COMPARED, Replay, step_for};
use crate::domain::schedules::schedule::{AgentPlan, LOOKS_AHEAD, LOOKS_BACK};
use crate::domain::time::UtcMicros;
use crate::engine::agents::picture::observed;
use crate::store::{ReadError, Reader, StoredHistory};

/// Plans are read for a day at a time, and what a rule can see around it.
const PLANS_FOR: Duration = Duration::from_hours(24);
/// Before the span, history is read without deciding, so that rests of the shift that is running are known.
const WARM_UP: Duration = Duration::from_hours(24);
/// The longest slice of history that is in memory.
const LONGEST_SLICE: Duration = Duration::from_hours(1);
const SHORTEST_SLICE: Duration = Duration::from_mins(5);
/// Agents whose hour is one slice; with more of them slices are shorter.
const AGENTS_AN_HOUR: usize = 10_000;
/// After so much work others have their turn, in real time.
const TURN_REAL: Duration = Duration::from_millis(5);
/// Versions of the schedule that are read at once.
const VERSIONS_PAGE: u32 = 100;

/// The span of a trial: first instant, and first instant after it.
pub type Span = (UtcMicros, UtcMicros);

/// How a trial is stopped, and where it tells how far it is. As long as it works it rests, so that at most half of a processor's time
/// goes into it.
pub struct Pace<'a> {
    /// It stops soon after this is cancelled.
    pub stop: &'a CancellationToken,
    /// Told how much of it is done, 0 to 1.
    pub progress: &'a (dyn Fn(f64) + Sync),
}

/// Why a trial came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum TrialFailed {
    /// Somebody stopped it.
    #[error("it was cancelled")]
    Cancelled,
    /// History could not be read.
    #[error("the history could not be read")]
    Read(#[from] ReadError),
}

/// Replays the rules of a kit over a span of a tenant's history.
///
/// # Errors
/// The store cannot be read, or the trial was stopped.
pub async fn run(
    reader: &Reader,
    tenant: &TenantId,
    kit: &TrialKit,
    span: Span,
    pace: &Pace<'_>,
) -> Result<TrialResult, TrialFailed> {
    let agents = roster(reader, tenant, span).await?;
    let exceptions = reader.exceptions_touching(tenant, span).await?;
    let side = |rules: &Arc<_>| {
        let mut replay =
            Replay::new(tenant.clone(), agents.iter().cloned(), Arc::clone(rules), &kit.decide, kit.subject.clone());
        replay.set_excused(|agent| excused(&exceptions, agent));
        replay
    };
    let mut sides: Vec<Replay> = std::iter::once(&kit.replayed).chain(&kit.present).map(side).collect();
    let step = step_for(agents.len(), span.1.since(span.0));
    let anomalies = known_anomalies(reader, tenant, kit, span).await?;
    for side in &mut sides {
        side.set_anomalies(anomalies.clone());
    }
    let mut course = Course { reader, tenant, span, sides, imports: imports(reader, tenant, span).await?, plans: None };
    course.warm_up().await?;
    course.replay(step, slice_for(agents.len()), pace).await?;
    let mut tallies = course.sides.into_iter().map(Replay::finish);
    let replayed = tallies.next().unwrap_or_default();
    let limit = u32::try_from(MOST_COMPARED).unwrap_or(u32::MAX);
    let really = reader.changed_by_rules(tenant, span, kit.subject.as_ref(), limit).await?;
    Ok(shape(kit, &agents, span, step, (replayed, tallies.next()), really))
}

/// Those whom a rule could have looked at: with a plan or with history in the span. Teams and zones are those of now.
async fn roster(reader: &Reader, tenant: &TenantId, (from, _): Span) -> Result<Vec<Agent>, ReadError> {
    let gone: HashSet<AgentId> = reader
        .states_before(tenant, from)
        .await?
        .into_iter()
        .filter(|stored| stored.row.state == AgentState::off_roster() && stored.left_at.is_none())
        .map(|stored| stored.row.agent)
        .collect();
    let known = reader.agents(tenant).await?.into_iter().map(|stored| stored.agent);
    Ok(known.filter(|agent| !gone.contains(&agent.id)).collect())
}

fn excused(exceptions: &[Exception], agent: &Agent) -> Vec<crate::domain::schedules::schedule::Coverage> {
    excused_spans(exceptions, &agent.id, agent.team.as_ref())
}

/// What was found of watched series in a span and up to a week before. Watched are those of now and those of which something was found.
async fn known_anomalies(
    reader: &Reader,
    tenant: &TenantId,
    kit: &TrialKit,
    (from, to): Span,
) -> Result<Arc<Anomalies>, ReadError> {
    let mut recent = reader.anomalies_since(tenant, from - Anomalies::KEPT).await?;
    recent.retain(|record| record.found_at < to);
    let found = recent.iter().map(|record| &record.series);
    let mut watched: Vec<_> = found.chain(&kit.series).cloned().collect();
    watched.sort_unstable();
    watched.dedup();
    Ok(Arc::new(Anomalies { watched, recent }))
}

fn slice_for(agents: usize) -> Duration {
    let parts = u32::try_from(agents.div_ceil(AGENTS_AN_HOUR)).unwrap_or(u32::MAX).max(1);
    (LONGEST_SLICE / parts).max(SHORTEST_SLICE)
}

/// Since when each version of the schedule that counted in a span was in force, oldest first.
async fn imports(reader: &Reader, tenant: &TenantId, (from, to): Span) -> Result<Vec<(UtcMicros, u64)>, ReadError> {
    let mut found = Vec::new();
    let mut before = None;
    loop {
        let page = reader.schedule_versions(tenant, before, VERSIONS_PAGE).await?;
        let full = page.len() == VERSIONS_PAGE as usize;
        for version in page {
            before = Some(version.version);
            if version.imported_at < to {
                found.push((version.imported_at, version.version));
            }
            if version.imported_at <= from {
                found.reverse();
                return Ok(found);
            }
        }
        if !full {
            found.reverse();
            return Ok(found);
        }
    }
}

/// The plans that a replay has now.
struct PlansNow {
    version: Option<u64>,
    until: UtcMicros,
}

/// Replays on their way through history.
struct Course<'a> {
    reader: &'a Reader,
    tenant: &'a TenantId,
    span: Span,
    sides: Vec<Replay>,
    imports: Vec<(UtcMicros, u64)>,
    plans: Option<PlansNow>,
}

impl Course<'_> {
    /// What everybody was in when the span began, and their rests of the day before.
    async fn warm_up(&mut self) -> Result<(), TrialFailed> {
        let (from, begin) = (self.span.0, self.span.0 - WARM_UP);
        self.plan(from).await?;
        for stored in self.reader.states_before(self.tenant, begin).await? {
            self.observe(stored);
        }
        let mut at = begin;
        while at < from {
            let end = (at + LONGEST_SLICE).min(from);
            for stored in self.reader.entered_in(self.tenant, (at, end)).await? {
                self.observe(stored);
            }
            at = end;
        }
        Ok(())
    }

    async fn replay(&mut self, step: Duration, slice: Duration, pace: &Pace<'_>) -> Result<(), TrialFailed> {
        let (from, to) = self.span;
        let (mut at, mut now) = (from, from);
        let mut turn = Stopwatch::start();
        while at < to {
            self.plan(at).await?;
            let import = self.imports.iter().map(|(since, _)| *since).find(|since| *since > at);
            let end = (at + slice).min(to).min(import.unwrap_or(to));
            let mut rows = self.reader.entered_in(self.tenant, (at, end)).await?.into_iter().peekable();
            while now < end {
                while let Some(stored) = rows.next_if(|stored| stored.row.entered_at <= now) {
                    self.observe(stored);
                }
                for side in &mut self.sides {
                    side.look(now);
                }
                now = now + step;
                if turn.elapsed() >= TURN_REAL {
                    if pace.stop.is_cancelled() {
                        return Err(TrialFailed::Cancelled);
                    }
                    RealTime::sleep(turn.elapsed()).await;
                    turn = Stopwatch::start();
                }
            }
            for stored in rows {
                self.observe(stored);
            }
            at = end;
            (pace.progress)(share(at.since(from), to.since(from)));
            if pace.stop.is_cancelled() {
                return Err(TrialFailed::Cancelled);
            }
        }
        Ok(())
    }

    /// The plans as they were in force at an instant, where others are at hand.
    async fn plan(&mut self, at: UtcMicros) -> Result<(), TrialFailed> {
        let version = self.imports.iter().rev().find(|(since, _)| *since <= at).map(|(_, version)| *version);
        if self.plans.as_ref().is_some_and(|plans| plans.version == version && at < plans.until) {
            return Ok(());
        }
        let until = at + PLANS_FOR;
        let mut plans: HashMap<AgentId, Arc<AgentPlan>> = HashMap::new();
        if let Some(version) = version {
            let around = (at - LOOKS_BACK, until + LOOKS_AHEAD);
            for plan in self.reader.plans(self.tenant, around, Some(version)).await? {
                plans.insert(plan.agent, Arc::new(AgentPlan::new(plan.shifts, plan.coverage)));
            }
        }
        for side in &mut self.sides {
            side.set_plans(&plans);
        }
        self.plans = Some(PlansNow { version, until });
        Ok(())
    }

    fn observe(&mut self, stored: StoredHistory) {
        let agent = stored.row.agent.clone();
        let seen = observed(stored.row);
        for side in &mut self.sides {
            side.observe(&agent, seen.clone());
        }
    }
}

fn share(part: Duration, whole: Duration) -> f64 {
    if whole.is_zero() { 1.0 } else { part.as_secs_f64() / whole.as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_shorter_for_more_agents() {
        for (agents, minutes) in [(1, 60), (10_000, 60), (10_001, 30), (1_000_000, 5)] {
            assert_eq!(slice_for(agents), Duration::from_mins(minutes), "{agents}");
        }
    }
}
