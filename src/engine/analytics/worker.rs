//! The worker of one tenant: starts waiting runs, resumes interrupted ones and ends each run.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Analytics;
use super::run_executor::{RunExecutor, StopReason, run_failure};
use crate::domain::analytics::analytics_run::{AnalyticsRun, RunFailure, RunResult};
use crate::domain::analytics::{MAX_RUNNING_QUERIES, QueryResult};
use crate::domain::ids::AnalyticsRunId;
use crate::domain::reports::report_run::RunStatus;
use crate::domain::time::{UtcMicros, duration_text};
use crate::engine::platform::link::Link;

/// Executes the tenant's runs until `soft` is cancelled. A run in progress at that time is resumed at the next start.
///
/// # Errors
///
/// Fails if the store fails. Nothing is lost, because the next start reads the store.
pub async fn run(link: Arc<Link>, analytics: Analytics, soft: CancellationToken) -> anyhow::Result<()> {
    let mut updates = analytics.subscribe();
    let mut work = AnalyticsWorker { link, analytics, running: HashMap::new(), tasks: JoinSet::new() };
    loop {
        updates.borrow_and_update();
        let slot_free_at = work.reconcile().await?;
        let wait = slot_free_at.map(|at| at.since(work.link.clock.now()));
        tokio::select! {
            () = soft.cancelled() => return Ok(()),
            changed = updates.changed() => changed.context("the analytics worker has stopped")?,
            Some(ended) = work.tasks.join_next() => {
                work.running.remove(&ended.context("an analytics run panicked")??);
            }
            () = work.link.clock.sleep(wait.unwrap_or_default()), if wait.is_some() => {}
        }
    }
}

struct AnalyticsWorker {
    link: Arc<Link>,
    analytics: Analytics,
    running: HashMap<AnalyticsRunId, CancellationToken>,
    tasks: JoinSet<anyhow::Result<AnalyticsRunId>>,
}

impl AnalyticsWorker {
    /// Stops the runs that others have ended, resumes those that the store says are running, and starts waiting ones
    /// while slots are free. If runs still wait, returns when the next slot held by a finished run is freed.
    async fn reconcile(&mut self) -> anyhow::Result<Option<UtcMicros>> {
        let (link, desk) = (self.link.clone(), self.analytics.clone());
        let open =
            link.reader.open_analytics_runs(&link.tenant).await.context("the open analytics runs could not be read")?;
        for (id, stop) in &self.running {
            if !open.iter().any(|run| run.id == *id) {
                stop.cancel();
            }
        }
        let holds = link
            .reader
            .occupied_slots_until(&link.tenant, link.clock.now())
            .await
            .context("the reserved places of analytics runs could not be read")?;
        let (running, waiting): (Vec<_>, Vec<_>) = open.into_iter().partition(|run| run.status == RunStatus::Running);
        let free = MAX_RUNNING_QUERIES.saturating_sub(running.len() + holds.len());
        for run in running {
            self.spawn_run(run);
        }
        let has_waiting = waiting.len() > free;
        for run in waiting.into_iter().take(free) {
            let now = link.clock.now();
            let begin = |run: &mut AnalyticsRun| (run.status, run.started_at) = (RunStatus::Running, Some(now));
            // It may have been cancelled meanwhile.
            if let Some(run) = desk.update_run(&run.tenant, run.id, None, begin).await? {
                self.spawn_run(run);
            }
        }
        Ok(holds.first().copied().filter(|_| has_waiting))
    }

    fn spawn_run(&mut self, run: AnalyticsRun) {
        if self.running.contains_key(&run.id) {
            return;
        }
        let stop = CancellationToken::new();
        self.running.insert(run.id, stop.clone());
        self.tasks.spawn(execute_run(self.link.clone(), self.analytics.clone(), run, stop));
    }
}

/// Executes one run until it ends, somebody else ends it, or it has to wait for another slot.
async fn execute_run(
    link: Arc<Link>,
    analytics: Analytics,
    run: AnalyticsRun,
    stop: CancellationToken,
) -> anyhow::Result<AnalyticsRunId> {
    let deadline = run.request.deadline();
    let remaining = run.started_at.map_or(deadline, |started| deadline.saturating_sub(link.clock.now().since(started)));
    let deadline_failure = || {
        let what = format!(
            "it was not done {} after its beginning; give it a longer deadline, or ask for less",
            duration_text(deadline)
        );
        run_failure(&run, "deadline", what)
    };
    let outcome = match RunExecutor::new(link.clone(), analytics.clone(), run.clone()) {
        None => Some(Err(run_failure(&run, "request", format!("the time zone {:?} is not known", run.request.zone)))),
        Some(executor) => tokio::select! {
            () = stop.cancelled() => None,
            () = link.clock.sleep(remaining) => Some(Err(deadline_failure())),
            executed = executor.execute() => match executed {
                Ok(result) => Some(Ok(result)),
                Err(StopReason::Failed(failure)) => Some(Err(failure)),
                Err(StopReason::Released) => None,
                Err(StopReason::Internal(error)) => return Err(error.context(format!("analytics run {}", run.id))),
            },
        },
    };
    let ended_run = match outcome {
        None => None,
        Some(outcome) => {
            analytics.update_run(&run.tenant, run.id, None, |run| record_end(run, outcome, link.clock.now())).await?
        }
    };
    match ended_run {
        Some(run) if run.status == RunStatus::Done => {
            analytics.discard_old_results(&run.tenant, run.query.as_ref()).await?;
        }
        Some(_) | None => analytics.delete_rows(&run.tenant, run.id).await?,
    }
    Ok(run.id)
}

/// Writes the outcome into a run.
fn record_end(run: &mut AnalyticsRun, outcome: Result<QueryResult, RunFailure>, now: UtcMicros) {
    match outcome {
        Ok(result) => {
            run.status = RunStatus::Done;
            run.result = run.request.query().map(|query| RunResult {
                has_rows: true,
                received: result.received(),
                promised: result.promised,
                sha256: result.digest(&query).to_string(),
            });
        }
        Err(failure) => {
            tracing::warn!(tenant = %run.tenant, run = %run.id, class = failure.class, "{}", failure.text);
            run.status = RunStatus::Failed;
            // The platform may continue the query for an unknown time: assume as long again as it was given.
            run.abandon_queries(now + run.request.deadline());
            run.failure = Some(failure);
        }
    }
}
