//! The task: waits for what wakes a pass, and for runs that end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::Notify;
use tokio_cron_scheduler::{Job as Tick, JobScheduler};
use tokio_util::sync::CancellationToken;

use super::JobParts;
use super::keeper::JobKeeper;
use crate::clock::RealTime;

/// Each second, so that a job starts within about that of its instant; a pass before anything is due costs a comparison.
const EVERY_SECOND: &str = "* * * * * *";

/// A pass also begins this often in real time: the scheduler goes by the host's wall clock, and one that was set back a day would
/// otherwise keep it silent for that day.
const SAFETY_REAL: Duration = Duration::from_secs(30);

/// Runs under way at a stop get this long, in real time; what is not done then shows as cut off and is done again at the next start.
const DRAIN_REAL: Duration = Duration::from_secs(5);

/// Runs until `soft` is cancelled.
pub async fn run(parts: JobParts, soft: CancellationToken) -> anyhow::Result<()> {
    let mut requests = parts.requests.clone().lock_owned().await;
    let mut specs = parts.specs.clone();
    let wake = Arc::new(Notify::new());
    let mut scheduler = scheduler(&wake).await?;
    let first = specs.borrow_and_update().clone();
    let mut keeper = JobKeeper::load(parts, &first).await?;
    // Once at the start: what came due while the daemon was down.
    wake.notify_one();
    let ended = loop {
        tokio::select! {
            () = soft.cancelled() => break keeper.drain(DRAIN_REAL).await,
            () = wake.notified() => {}
            () = RealTime::sleep(SAFETY_REAL) => {}
            Ok(()) = specs.changed() => {
                let newer = specs.borrow_and_update().clone();
                if let Err(error) = keeper.follow(&newer).await {
                    break Err(error);
                }
            }
            Some(request) = requests.recv() => keeper.ask(request),
            Some(ended) = keeper.next_end() => keeper.end(ended),
        }
        if let Err(error) = keeper.pass().await {
            break Err(error);
        }
    };
    scheduler.shutdown().await.context("the scheduler's stop")?;
    ended
}

async fn scheduler(wake: &Arc<Notify>) -> anyhow::Result<JobScheduler> {
    let scheduler = JobScheduler::new().await.context("the scheduler")?;
    let bell = wake.clone();
    let tick = Tick::new(EVERY_SECOND, move |_, _| bell.notify_one()).context("the scheduler's tick")?;
    scheduler.add(tick).await.context("the scheduler's tick")?;
    scheduler.start().await.context("the scheduler")?;
    Ok(scheduler)
}
