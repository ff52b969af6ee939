//! Analytics queries of the platform: runs that people and jobs ask for, carried out at most five at once per tenant, and recorded
//! with their ends.
//!
//! The store is the queue and the count, so that both hold over restarts: a run that was under way at a kill is taken up again by the
//! platform's id of its query. Every change of a run goes through `change`, which looks at the row first: one that has
//! ended stays as it is, whoever comes second. Rows of a result are stored in slices that nobody sees before the run says that they
//! are there. What may be asked and how answers must hold together is `domain::analytics`'s business.

pub mod anomalies;
mod asking;
mod counts;
mod record;
mod worker;

use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::{Mutex, watch};

use self::record::{asked_entry, end_entry, end_event};
use crate::clock::{SharedClock, SharedRandom};
use crate::domain::analytics::QueryFault;
use crate::domain::analytics::analytics_run::{AnalyticsRun, RunPart, RunRequest};
use crate::domain::ids::{AnalyticsQueryId, AnalyticsRunId, JobId, TenantId};
use crate::domain::reports::report_run::RunStatus;
use crate::domain::time::UtcMicros;
use crate::store::{Commit, CommitError, Pruned, ReadError, Reader, Slice, Writer};

pub use self::counts::RunTotals;
pub use self::worker::run;

/// Runs of a tenant that may wait or run at once.
pub const MOST_OPEN: usize = 50;

/// Results of one query of the configuration (and of all that is asked beside it) whose rows are kept.
pub const MOST_RESULTS: usize = 100;

/// Rows of these results, all together; the newest result is kept in any case.
pub const MOST_STORED_ROWS: u64 = 500_000;

/// A run that somebody wants.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Whose.
    pub tenant: TenantId,
    /// The query of the configuration that it is of.
    pub query: Option<AnalyticsQueryId>,
    /// What is asked.
    pub request: RunRequest,
    /// Who asks, as audit entries have it.
    pub actor: String,
    /// The job of the calendar that asks.
    pub job: Option<JobId>,
}

/// Why a run was not taken in, or not changed.
#[derive(Debug, thiserror::Error)]
pub enum AnalyticsRefused {
    /// It cannot be asked; everything that stands against it.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Query(Vec<QueryFault>),
    /// As many as may be wait or run.
    #[error(
        "{MOST_OPEN} analytics runs of this tenant wait or run, which is the most: cancel one, or wait for one to end"
    )]
    TooMany,
    /// What there is could not be read.
    #[error("the analytics runs could not be read")]
    Read(#[from] ReadError),
    /// The store did not take it.
    #[error("the analytics run could not be recorded; nothing was changed")]
    Store(#[from] CommitError),
}

/// The runs of the daemon. Cheap to clone; clones share them.
#[derive(Clone, Debug)]
pub struct Analytics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    writer: Writer,
    reader: Reader,
    clock: SharedClock,
    random: SharedRandom,
    /// One change of a run at a time, so that each sees what the one before left.
    turn: Mutex<()>,
    /// Counts what workers have to look at: runs that were asked for, and ends.
    news: watch::Sender<u64>,
    totals: counts::Totals,
}

impl Analytics {
    /// Those of a store. What is asked for waits until the tenant's worker runs.
    pub fn new(writer: Writer, reader: Reader, clock: SharedClock, random: SharedRandom) -> Self {
        let (turn, news, totals) = (Mutex::default(), watch::Sender::new(0), counts::Totals::default());
        Self(Arc::new(Inner { writer, reader, clock, random, turn, news, totals }))
    }

    /// Takes a run in. Nothing that the platform would refuse by its limits leaves.
    pub async fn ask(&self, asked: Asked) -> Result<AnalyticsRun, AnalyticsRefused> {
        let inner = &self.0;
        let parts = asked.request.parts().map_err(AnalyticsRefused::Query)?;
        let now = inner.clock.now();
        let run = AnalyticsRun {
            id: AnalyticsRunId(inner.random.id_at(now)),
            tenant: asked.tenant,
            query: asked.query,
            asked_by: asked.actor.into(),
            asked_at: now,
            job: asked.job,
            request: asked.request,
            status: RunStatus::Waiting,
            parts: parts.into_iter().map(RunPart::new).collect(),
            started_at: None,
            ended_at: None,
            result: None,
            failure: None,
        };
        let _turn = inner.turn.lock().await;
        if inner.reader.open_analytics_runs(&run.tenant).await?.len() >= MOST_OPEN {
            return Err(AnalyticsRefused::TooMany);
        }
        let commit = Commit { audit: vec![asked_entry(&run)], analytics_runs: vec![run.clone()], ..Commit::default() };
        inner.writer.commit(commit).await?;
        inner.news.send_modify(|count| *count += 1);
        Ok(run)
    }

    /// Calls a run off; one that has ended stays as it is. `None` where there is none. A query that the platform is at goes on there,
    /// and takes its place until the run's deadline.
    pub async fn cancel(
        &self,
        tenant: &TenantId,
        id: AnalyticsRunId,
        actor: &str,
    ) -> Result<Option<AnalyticsRun>, AnalyticsRefused> {
        let called_off = |run: &mut AnalyticsRun| {
            run.status = RunStatus::Cancelled;
            if let Some(started) = run.started_at {
                run.let_go_of_queries(started + run.request.deadline());
            }
        };
        match self.change(tenant, id, Some(actor), called_off).await? {
            Some(run) => Ok(Some(run)),
            None => Ok(self.0.reader.analytics_run(tenant, id).await?),
        }
    }

    /// Waits for the end of a run.
    pub async fn end_of(&self, tenant: &TenantId, id: AnalyticsRunId) -> anyhow::Result<AnalyticsRun> {
        let mut news = self.news();
        loop {
            news.borrow_and_update();
            let run = self.0.reader.analytics_run(tenant, id).await?.context("the run was let go of")?;
            if run.status.is_final() {
                return Ok(run);
            }
            news.changed().await.context("the runs are gone")?;
        }
    }

    /// The run that a job asked for with the same question and that has not ended.
    pub async fn open_of_job(
        &self,
        tenant: &TenantId,
        job: &JobId,
        request: &RunRequest,
    ) -> Result<Option<AnalyticsRun>, ReadError> {
        let open = self.0.reader.open_analytics_runs(tenant).await?;
        Ok(open.into_iter().find(|run| run.job.as_ref() == Some(job) && run.request == *request))
    }

    /// What is counted of a tenant's runs since the start.
    pub fn totals(&self, tenant: &TenantId) -> RunTotals {
        self.0.totals.of(tenant)
    }

    /// The daemon's clock.
    pub fn now(&self) -> UtcMicros {
        self.0.clock.now()
    }

    /// Says when a run of any tenant was asked for or has ended.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.0.news.subscribe()
    }

    /// Changes a run that has not ended, and gives it as it is then. With its end go an audit entry and an event, in one commit; who
    /// asked for it is the one who ended it, unless another is named.
    async fn change(
        &self,
        tenant: &TenantId,
        id: AnalyticsRunId,
        actor: Option<&str>,
        change: impl FnOnce(&mut AnalyticsRun),
    ) -> Result<Option<AnalyticsRun>, AnalyticsRefused> {
        let inner = &self.0;
        let _turn = inner.turn.lock().await;
        let open = inner.reader.analytics_run(tenant, id).await?.filter(|run| !run.status.is_final());
        let Some(mut run) = open else { return Ok(None) };
        change(&mut run);
        let mut commit = Commit::default();
        let ends = run.status.is_final();
        if ends {
            let now = inner.clock.now();
            run.ended_at = Some(now);
            commit.audit.push(end_entry(&run, now, actor.unwrap_or(&run.asked_by)));
            commit.events.push(end_event(&run, now, inner.random.id_at(now)));
        }
        commit.analytics_runs.push(run.clone());
        inner.writer.commit(commit).await?;
        if ends {
            inner.totals.add(&run);
            inner.news.send_modify(|count| *count += 1);
        }
        Ok(Some(run))
    }

    /// Clears away the rows of a run whose result does not count.
    async fn clear_rows(&self, tenant: &TenantId, id: AnalyticsRunId) -> Result<(), CommitError> {
        let before = self.0.clock.now();
        let slice = Slice { tenant: Some(tenant.clone()), what: Pruned::AnalyticsRowsOf(id), before };
        while self.0.writer.prune(slice.clone()).await? > 0 {}
        Ok(())
    }

    /// Lets go of the oldest results of a query where there are more than may be. Their runs stay, and say so.
    async fn let_go(&self, tenant: &TenantId, query: Option<&AnalyticsQueryId>) -> anyhow::Result<()> {
        let stored = self.0.reader.stored_analytics_runs(tenant, query, u32::MAX).await?;
        let mut rows = 0;
        for (place, mut run) in stored.into_iter().enumerate() {
            rows += run.result.as_ref().map_or(0, |result| result.received);
            if place == 0 || (place < MOST_RESULTS && rows <= MOST_STORED_ROWS) {
                continue;
            }
            if let Some(result) = &mut run.result {
                result.there = false;
            }
            let id = run.id;
            self.0.writer.commit(Commit { analytics_runs: vec![run], ..Commit::default() }).await?;
            self.clear_rows(tenant, id).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
