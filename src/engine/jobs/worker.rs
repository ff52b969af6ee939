//! The worker: waits for whatever triggers a pass, and for runs to end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::Notify;
use tokio_cron_scheduler::{Job as Tick, JobScheduler};
use tokio_util::sync::CancellationToken;

use super::JobParts;
use super::runner::JobRunner;
use crate::clock::RealTime;

/// Every second, so that a job starts within about a second of its due instant. A pass with nothing due is one
/// comparison.
const EVERY_SECOND: &str = "* * * * * *";

/// The longest time without a pass, in real time. The scheduler follows the host's wall clock and would otherwise be
/// silent for a day if that were set back by a day.
const MAX_PASS_INTERVAL_REAL: Duration = Duration::from_secs(30);

/// How long running jobs may take to finish at a stop, in real time. Later ones are shown as cut off and run again at
/// the next start.
const DRAIN_TIMEOUT_REAL: Duration = Duration::from_secs(5);

/// Runs the jobs until `soft` is cancelled.
pub async fn run(parts: JobParts, soft: CancellationToken) -> anyhow::Result<()> {
    let mut requests = parts.requests.clone().lock_owned().await;
    let mut specs = parts.specs.clone();
    let wake = Arc::new(Notify::new());
    let mut scheduler = scheduler(&wake).await?;
    let first = specs.borrow_and_update().clone();
    let mut runner = JobRunner::load(parts, &first).await?;
    // Once at the start, for what became due while the daemon was down.
    wake.notify_one();
    let ended = loop {
        tokio::select! {
            () = soft.cancelled() => break runner.drain(DRAIN_TIMEOUT_REAL).await,
            () = wake.notified() => {}
            () = RealTime::sleep(MAX_PASS_INTERVAL_REAL) => {}
            Ok(()) = specs.changed() => {
                let newer = specs.borrow_and_update().clone();
                if let Err(error) = runner.set_specs(&newer).await {
                    break Err(error);
                }
            }
            Some(request) = requests.recv() => runner.request_run(request),
            Some(ended) = runner.next_end() => runner.finish_run(ended),
        }
        if let Err(error) = runner.pass().await {
            break Err(error);
        }
    };
    scheduler.shutdown().await.context("the scheduler could not be stopped")?;
    ended
}

async fn scheduler(wake: &Arc<Notify>) -> anyhow::Result<JobScheduler> {
    let scheduler = JobScheduler::new().await.context("the scheduler failed")?;
    let bell = wake.clone();
    let tick = Tick::new(EVERY_SECOND, move |_, _| bell.notify_one()).context("the scheduler's timer failed")?;
    scheduler.add(tick).await.context("the scheduler's timer failed")?;
    scheduler.start().await.context("the scheduler failed")?;
    Ok(scheduler)
}
