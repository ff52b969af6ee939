//! Lets go of what has served its time: answers kept for repeated requests, calls that were no attempt of a transition.
//!
//! `tokio-cron-scheduler` only wakes the pass, in UTC and real time; what is due is read off the daemon's own clock, so that a
//! wake-up that is missed or doubled does no harm.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::Notify;
use tokio_cron_scheduler::{Job, JobScheduler};
use tokio_util::sync::CancellationToken;

use crate::clock::SharedClock;
use crate::domain::ids::TenantId;
use crate::store::{Commit, Expired, Writer};

/// Each minute, at its start.
const EVERY_MINUTE: &str = "0 * * * * *";

/// A repeated request finds its first answer for this long.
const ANSWERS_KEPT: Duration = Duration::from_secs(24 * 3600);

/// Questions about schedules and breaks, and new subscriptions, are kept for this long; the budget looks back one minute.
const QUESTIONS_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Runs until `soft` is cancelled.
pub async fn run(
    writer: Writer,
    clock: SharedClock,
    tenants: Arc<[TenantId]>,
    soft: CancellationToken,
) -> anyhow::Result<()> {
    let wake = Arc::new(Notify::new());
    let mut scheduler = JobScheduler::new().await.context("the scheduler")?;
    let bell = wake.clone();
    let job = Job::new(EVERY_MINUTE, move |_, _| bell.notify_one()).context("the minute's job")?;
    scheduler.add(job).await.context("the minute's job")?;
    scheduler.start().await.context("the scheduler")?;
    // Once at the start: what came due while the daemon was down.
    wake.notify_one();
    let ended = loop {
        tokio::select! {
            () = soft.cancelled() => break Ok(()),
            () = wake.notified() => {}
        }
        let now = clock.now();
        if let Err(error) = pass(&writer, &tenants, now).await {
            break Err(error);
        }
    };
    scheduler.shutdown().await.context("the scheduler's stop")?;
    ended
}

async fn pass(writer: &Writer, tenants: &[TenantId], now: crate::domain::time::UtcMicros) -> anyhow::Result<()> {
    let expired = tenants
        .iter()
        .map(|tenant| Expired {
            tenant: tenant.clone(),
            answers_before: now - ANSWERS_KEPT,
            questions_before: now - QUESTIONS_KEPT,
        })
        .collect();
    writer.commit(Commit { expired, ..Commit::default() }).await.context("letting go of what has expired")?;
    Ok(())
}
