//! The task of one tenant: begins what may begin, takes up what was cut off, and ends each run.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Analytics;
use super::asking::{Asking, Halt, failure};
use crate::domain::analytics::analytics_run::{AnalyticsRun, RunFailure, RunResult};
use crate::domain::analytics::{MOST_AT_ONCE, QueryResult};
use crate::domain::ids::AnalyticsRunId;
use crate::domain::reports::report_run::RunStatus;
use crate::domain::time::{UtcMicros, duration_text};
use crate::engine::platform::link::Link;

/// Carries the tenant's runs out until `soft` is cancelled. A run that is under way then is taken up at the next start.
///
/// # Errors
/// The store fails; nothing is lost, since the next start reads it.
pub async fn run(link: Arc<Link>, desk: Analytics, soft: CancellationToken) -> anyhow::Result<()> {
    let mut news = desk.news();
    let mut work = Work { link, desk, under_way: HashMap::new(), tasks: JoinSet::new() };
    loop {
        news.borrow_and_update();
        let place_free_at = work.look().await?;
        let wait = place_free_at.map(|at| at.since(work.link.clock.now()));
        tokio::select! {
            () = soft.cancelled() => return Ok(()),
            changed = news.changed() => changed.context("the runs are gone")?,
            Some(ended) = work.tasks.join_next() => {
                work.under_way.remove(&ended.context("an analytics run panicked")??);
            }
            () = work.link.clock.sleep(wait.unwrap_or_default()), if wait.is_some() => {}
        }
    }
}

struct Work {
    link: Arc<Link>,
    desk: Analytics,
    under_way: HashMap<AnalyticsRunId, CancellationToken>,
    tasks: JoinSet<anyhow::Result<AnalyticsRunId>>,
}

impl Work {
    /// Stops what others have ended, takes up what is under way by the store, and begins what waits as far as there are places. Gives
    /// the instant at which a place comes free that no run of now has.
    async fn look(&mut self) -> anyhow::Result<Option<UtcMicros>> {
        let (link, desk) = (self.link.clone(), self.desk.clone());
        let open = link.reader.open_analytics_runs(&link.tenant).await.context("the open analytics runs")?;
        for (id, stop) in &self.under_way {
            if !open.iter().any(|run| run.id == *id) {
                stop.cancel();
            }
        }
        let holds =
            link.reader.analytics_holds(&link.tenant, link.clock.now()).await.context("places that are held")?;
        let (running, waiting): (Vec<_>, Vec<_>) = open.into_iter().partition(|run| run.status == RunStatus::Running);
        let free = MOST_AT_ONCE.saturating_sub(running.len() + holds.len());
        for run in running {
            self.take_up(run);
        }
        let is_kept_waiting = waiting.len() > free;
        for run in waiting.into_iter().take(free) {
            let now = link.clock.now();
            let begin = |run: &mut AnalyticsRun| (run.status, run.started_at) = (RunStatus::Running, Some(now));
            // It may have been called off meanwhile.
            if let Some(run) = desk.change(&run.tenant, run.id, None, begin).await? {
                self.take_up(run);
            }
        }
        Ok(holds.first().copied().filter(|_| is_kept_waiting))
    }

    fn take_up(&mut self, run: AnalyticsRun) {
        if self.under_way.contains_key(&run.id) {
            return;
        }
        let stop = CancellationToken::new();
        self.under_way.insert(run.id, stop.clone());
        self.tasks.spawn(carry_out(self.link.clone(), self.desk.clone(), run, stop));
    }
}

/// One run to its end, or until it is nothing of ours any more: somebody else ended it, or it waits for another place.
async fn carry_out(
    link: Arc<Link>,
    desk: Analytics,
    run: AnalyticsRun,
    stop: CancellationToken,
) -> anyhow::Result<AnalyticsRunId> {
    let deadline = run.request.deadline();
    let left = run.started_at.map_or(deadline, |started| deadline.saturating_sub(link.clock.now().since(started)));
    let too_long = || {
        let what = format!(
            "it was not done {} after its beginning; give it a longer deadline, or ask for less",
            duration_text(deadline)
        );
        failure(&run, "deadline", what)
    };
    let outcome = match Asking::new(link.clone(), desk.clone(), run.clone()) {
        None => Some(Err(failure(&run, "request", format!("the time zone {:?} is not known", run.request.zone)))),
        Some(asking) => tokio::select! {
            () = stop.cancelled() => None,
            () = link.clock.sleep(left) => Some(Err(too_long())),
            asked = asking.ask() => match asked {
                Ok(result) => Some(Ok(result)),
                Err(Halt::Failed(failure)) => Some(Err(failure)),
                Err(Halt::Over) => None,
                Err(Halt::Daemon(error)) => return Err(error.context(format!("analytics run {}", run.id))),
            },
        },
    };
    let came_out = match outcome {
        None => None,
        Some(outcome) => desk.change(&run.tenant, run.id, None, |run| end(run, outcome, link.clock.now())).await?,
    };
    match came_out {
        Some(run) if run.status == RunStatus::Done => desk.let_go(&run.tenant, run.query.as_ref()).await?,
        Some(_) | None => desk.clear_rows(&run.tenant, run.id).await?,
    }
    Ok(run.id)
}

/// Writes into a run how it came out.
fn end(run: &mut AnalyticsRun, outcome: Result<QueryResult, RunFailure>, now: UtcMicros) {
    match outcome {
        Ok(result) => {
            run.status = RunStatus::Done;
            run.result = run.request.query().map(|query| RunResult {
                there: true,
                received: result.received(),
                promised: result.promised,
                sha256: result.digest(&query).to_string(),
            });
        }
        Err(failure) => {
            tracing::warn!(tenant = %run.tenant, run = %run.id, class = failure.class, "{}", failure.text);
            run.status = RunStatus::Failed;
            // How long the platform goes on with it nobody knows: as long again as it was given.
            run.let_go_of_queries(now + run.request.deadline());
            run.failure = Some(failure);
        }
    }
}
