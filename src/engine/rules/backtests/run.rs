//! Reads history and feeds it to a replay in slices: memory holds one slice, the plans of some days, and the counts.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::input::BacktestInput;
use super::result::{BacktestResult, build_result};
use crate::clock::{RealTime, Stopwatch};
use crate::domain::adherence::exception::{Exception, exception_spans};
use crate::domain::adherence::timeline::Span;
use crate::domain::agents::agent::Agent;
use crate::domain::agents::state::AgentState;
use crate::domain::analytics::anomaly::Anomalies;
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::rules::replay::{MAX_COMPARED, Replay, step_for_roster};
use crate::domain::schedules::schedule::{AgentPlan, PLAN_LOOKAHEAD, PLAN_LOOKBACK};
use crate::domain::time::UtcMicros;
use crate::engine::agents::stored_live_view::observation_of;
use crate::store::{ReadError, Reader, StoredHistory};

/// The span for which plans are read at once, apart from what rules can see around it.
const PLAN_SPAN: Duration = Duration::from_hours(24);
/// How much history before the span is read without deciding, so that breaks in the current shift are known.
const WARM_UP_SPAN: Duration = Duration::from_hours(24);
/// The longest slice of history in memory.
const MAX_SLICE: Duration = Duration::from_hours(1);
const MIN_SLICE: Duration = Duration::from_mins(5);
/// The number of agents for whom an hour is one slice; with more agents, slices are shorter.
const AGENTS_PER_HOUR_SLICE: usize = 10_000;
/// How long the replay works before it yields, in real time.
const WORK_SLICE_REAL: Duration = Duration::from_millis(5);
/// The number of schedule versions read at once.
const VERSIONS_PAGE: u32 = 100;

/// How a backtest is cancelled and reports its progress. It pauses as long as it works, so that it uses at most half of
/// a processor.
pub struct BacktestControl<'a> {
    /// Cancelled to stop the backtest soon.
    pub stop: &'a CancellationToken,
    /// Called with the share that is done, from 0 to 1.
    pub progress: &'a (dyn Fn(f64) + Sync),
}

/// Why a backtest failed.
#[derive(Debug, thiserror::Error)]
pub enum BacktestFailure {
    /// It was cancelled.
    #[error("it was cancelled")]
    Cancelled,
    /// History could not be read.
    #[error("the history could not be read")]
    Read(#[from] ReadError),
}

/// Replays the rules of a backtest over a span of a tenant's history.
///
/// # Errors
///
/// Fails if the store cannot be read or the backtest was cancelled.
pub async fn run(
    reader: &Reader,
    tenant: &TenantId,
    input: &BacktestInput,
    span: Span,
    control: &BacktestControl<'_>,
) -> Result<BacktestResult, BacktestFailure> {
    let agents = roster(reader, tenant, span).await?;
    let exceptions = reader.exceptions_touching(tenant, span).await?;
    let side = |rules: &Arc<_>| {
        let mut replay = Replay::new(
            tenant.clone(),
            agents.iter().cloned(),
            Arc::clone(rules),
            &input.decide,
            input.subject.clone(),
        );
        replay.set_exceptions(|agent| exceptions_of_agent(&exceptions, agent));
        replay
    };
    let mut sides: Vec<Replay> = std::iter::once(&input.replayed).chain(&input.present).map(side).collect();
    let step = step_for_roster(agents.len(), span.1.since(span.0));
    let anomalies = known_anomalies(reader, tenant, input, span).await?;
    for side in &mut sides {
        side.set_anomalies(anomalies.clone());
    }
    let mut replays = HistoryReplay {
        reader,
        tenant,
        span,
        sides,
        imports: schedule_imports(reader, tenant, span).await?,
        plans: None,
    };
    replays.warm_up().await?;
    replays.replay(step, slice_for(agents.len()), control).await?;
    let mut tallies = replays.sides.into_iter().map(Replay::finish);
    let replayed = tallies.next().unwrap_or_default();
    let limit = u32::try_from(MAX_COMPARED).unwrap_or(u32::MAX);
    let actual = reader.changed_by_rules(tenant, span, input.subject.as_ref(), limit).await?;
    Ok(build_result(input, &agents, span, step, (replayed, tallies.next()), actual))
}

/// Returns the agents that rules could have considered: those with a plan or history in the span. Teams and zones are
/// the present ones.
async fn roster(reader: &Reader, tenant: &TenantId, (from, _): Span) -> Result<Vec<Agent>, ReadError> {
    let left: HashSet<AgentId> = reader
        .states_before(tenant, from)
        .await?
        .into_iter()
        .filter(|stored| stored.row.state == AgentState::off_roster() && stored.left_at.is_none())
        .map(|stored| stored.row.agent)
        .collect();
    let known = reader.agents(tenant).await?.into_iter().map(|stored| stored.agent);
    Ok(known.filter(|agent| !left.contains(&agent.id)).collect())
}

fn exceptions_of_agent(exceptions: &[Exception], agent: &Agent) -> Vec<crate::domain::schedules::schedule::Coverage> {
    exception_spans(exceptions, &agent.id, agent.team.as_ref())
}

/// Returns the anomalies of a span and up to a week before. The series are those monitored now and those with an
/// anomaly.
async fn known_anomalies(
    reader: &Reader,
    tenant: &TenantId,
    input: &BacktestInput,
    (from, to): Span,
) -> Result<Arc<Anomalies>, ReadError> {
    let mut recent = reader.anomalies_since(tenant, from - Anomalies::RETENTION).await?;
    recent.retain(|record| record.detected_at < to);
    let found = recent.iter().map(|record| &record.series);
    let mut watched: Vec<_> = found.chain(&input.series).cloned().collect();
    watched.sort_unstable();
    watched.dedup();
    Ok(Arc::new(Anomalies { monitored: watched, recent }))
}

fn slice_for(agents: usize) -> Duration {
    let parts = u32::try_from(agents.div_ceil(AGENTS_PER_HOUR_SLICE)).unwrap_or(u32::MAX).max(1);
    (MAX_SLICE / parts).max(MIN_SLICE)
}

/// Returns since when each version of the schedule that counted in a span was in force, oldest first.
async fn schedule_imports(
    reader: &Reader,
    tenant: &TenantId,
    (from, to): Span,
) -> Result<Vec<(UtcMicros, u64)>, ReadError> {
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

/// The plans that a replay uses at present.
struct CurrentPlans {
    version: Option<u64>,
    until: UtcMicros,
}

/// The replays on their way through history.
struct HistoryReplay<'a> {
    reader: &'a Reader,
    tenant: &'a TenantId,
    span: Span,
    sides: Vec<Replay>,
    imports: Vec<(UtcMicros, u64)>,
    plans: Option<CurrentPlans>,
}

impl HistoryReplay<'_> {
    /// Reads the agents' states at the start of the span, and their breaks of the day before.
    async fn warm_up(&mut self) -> Result<(), BacktestFailure> {
        let (from, begin) = (self.span.0, self.span.0 - WARM_UP_SPAN);
        self.load_plans(from).await?;
        for stored in self.reader.states_before(self.tenant, begin).await? {
            self.observe(stored);
        }
        let mut at = begin;
        while at < from {
            let end = (at + MAX_SLICE).min(from);
            for stored in self.reader.entered_in(self.tenant, (at, end)).await? {
                self.observe(stored);
            }
            at = end;
        }
        Ok(())
    }

    async fn replay(
        &mut self,
        step: Duration,
        slice: Duration,
        control: &BacktestControl<'_>,
    ) -> Result<(), BacktestFailure> {
        let (from, to) = self.span;
        let (mut at, mut now) = (from, from);
        let mut work_time = Stopwatch::start();
        while at < to {
            self.load_plans(at).await?;
            let import = self.imports.iter().map(|(since, _)| *since).find(|since| *since > at);
            let end = (at + slice).min(to).min(import.unwrap_or(to));
            let mut rows = self.reader.entered_in(self.tenant, (at, end)).await?.into_iter().peekable();
            while now < end {
                while let Some(stored) = rows.next_if(|stored| stored.row.entered_at <= now) {
                    self.observe(stored);
                }
                for side in &mut self.sides {
                    side.evaluate_at(now);
                }
                now = now + step;
                if work_time.elapsed() >= WORK_SLICE_REAL {
                    if control.stop.is_cancelled() {
                        return Err(BacktestFailure::Cancelled);
                    }
                    RealTime::sleep(work_time.elapsed()).await;
                    work_time = Stopwatch::start();
                }
            }
            for stored in rows {
                self.observe(stored);
            }
            at = end;
            (control.progress)(share(at.since(from), to.since(from)));
            if control.stop.is_cancelled() {
                return Err(BacktestFailure::Cancelled);
            }
        }
        Ok(())
    }

    /// Loads the plans in force at an instant, unless they are already loaded.
    async fn load_plans(&mut self, at: UtcMicros) -> Result<(), BacktestFailure> {
        let version = self.imports.iter().rev().find(|(since, _)| *since <= at).map(|(_, version)| *version);
        if self.plans.as_ref().is_some_and(|plans| plans.version == version && at < plans.until) {
            return Ok(());
        }
        let until = at + PLAN_SPAN;
        let mut plans: HashMap<AgentId, Arc<AgentPlan>> = HashMap::new();
        if let Some(version) = version {
            let around = (at - PLAN_LOOKBACK, until + PLAN_LOOKAHEAD);
            for plan in self.reader.plans(self.tenant, around, Some(version)).await? {
                plans.insert(plan.agent, Arc::new(AgentPlan::new(plan.shifts, plan.coverage)));
            }
        }
        for side in &mut self.sides {
            side.set_plans(&plans);
        }
        self.plans = Some(CurrentPlans { version, until });
        Ok(())
    }

    fn observe(&mut self, stored: StoredHistory) {
        let agent = stored.row.agent.clone();
        let observation = observation_of(stored.row);
        for side in &mut self.sides {
            side.observe(&agent, observation.clone());
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
