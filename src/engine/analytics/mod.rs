//! Analytics queries of the platform: runs requested by people and jobs, executed at most five at once per tenant, and
//! recorded with their results.
//!
//! The store is both the queue and the count, so both survive a restart: a run interrupted by a crash is resumed with
//! the platform's id of its query. Every change of a run goes through `update_run`, which reads the row first; a run
//! that has ended is never changed again. The rows of a result are stored in slices that stay invisible until the run
//! records that they are complete. Which queries are valid and how answers must fit together is decided in
//! `domain::analytics`.

pub mod anomalies;
mod counts;
mod run_executor;
mod run_records;
mod worker;

use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::{Mutex, watch};

use self::run_records::{end_entry, end_event, request_entry};
use crate::clock::{SharedClock, SharedRandom};
use crate::domain::analytics::QueryError;
use crate::domain::analytics::analytics_run::{AnalyticsRun, RunPart, RunRequest};
use crate::domain::ids::{AnalyticsQueryId, AnalyticsRunId, JobId, TenantId};
use crate::domain::reports::report_run::RunStatus;
use crate::domain::time::UtcMicros;
use crate::store::{Commit, CommitError, PruneSlice, PruneTarget, ReadError, Reader, Writer};

pub use self::counts::RunTotals;
pub use self::worker::run;

/// The most runs of a tenant that may wait or run at the same time.
pub const MAX_OPEN_RUNS: usize = 50;

/// The most results whose rows are kept, for each configured query (and for all other runs together).
pub const MAX_RESULTS_PER_QUERY: usize = 100;

/// The most rows kept over all of these results. The newest result is always kept.
pub const MAX_STORED_ROWS: u64 = 500_000;

/// A request for an analytics run.
#[derive(Clone, Debug)]
pub struct AnalyticsRunRequest {
    /// The tenant.
    pub tenant: TenantId,
    /// The configured query that the run belongs to, if any.
    pub query: Option<AnalyticsQueryId>,
    /// The query itself.
    pub request: RunRequest,
    /// Who requested it, as written in audit entries.
    pub actor: String,
    /// The scheduled job that requested it, if any.
    pub job: Option<JobId>,
}

/// Why a run was not accepted or not changed.
#[derive(Debug, thiserror::Error)]
pub enum AnalyticsError {
    /// The query is invalid; lists every problem.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Query(Vec<QueryError>),
    /// The tenant has the maximum number of open runs.
    #[error(
        "{MAX_OPEN_RUNS} analytics runs of this tenant wait or run, which is the limit: cancel one, or wait for one to end"
    )]
    TooMany,
    /// The store could not be read.
    #[error("the analytics runs could not be read")]
    Read(#[from] ReadError),
    /// The store did not accept the change.
    #[error("the analytics run could not be recorded; nothing was changed")]
    Store(#[from] CommitError),
}

/// The analytics runs of the daemon. Cheap to clone; clones share the same runs.
#[derive(Clone, Debug)]
pub struct Analytics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    writer: Writer,
    reader: Reader,
    clock: SharedClock,
    random: SharedRandom,
    /// Serialises the changes of runs, so that each sees the result of the previous one.
    change_lock: Mutex<()>,
    /// A counter that increases when a run is requested or has ended, to wake the workers.
    updates: watch::Sender<u64>,
    totals: counts::TotalsByTenant,
}

impl Analytics {
    /// Creates the service over a store. Requested runs wait until the tenant's worker starts.
    pub fn new(writer: Writer, reader: Reader, clock: SharedClock, random: SharedRandom) -> Self {
        let (turn, news, totals) = (Mutex::default(), watch::Sender::new(0), counts::TotalsByTenant::default());
        Self(Arc::new(Inner { writer, reader, clock, random, change_lock: turn, updates: news, totals }))
    }

    /// Records a new run and wakes the worker. A query beyond the platform's limits is rejected and never sent.
    pub async fn request_run(&self, requested: AnalyticsRunRequest) -> Result<AnalyticsRun, AnalyticsError> {
        let inner = &self.0;
        let parts = requested.request.parts().map_err(AnalyticsError::Query)?;
        let now = inner.clock.now();
        let run = AnalyticsRun {
            id: AnalyticsRunId(inner.random.time_ordered_id(now)),
            tenant: requested.tenant,
            query: requested.query,
            requested_by: requested.actor.into(),
            requested_at: now,
            job: requested.job,
            request: requested.request,
            status: RunStatus::Waiting,
            parts: parts.into_iter().map(RunPart::new).collect(),
            started_at: None,
            ended_at: None,
            result: None,
            failure: None,
        };
        let _turn = inner.change_lock.lock().await;
        if inner.reader.open_analytics_runs(&run.tenant).await?.len() >= MAX_OPEN_RUNS {
            return Err(AnalyticsError::TooMany);
        }
        let commit =
            Commit { audit: vec![request_entry(&run)], analytics_runs: vec![run.clone()], ..Commit::default() };
        inner.writer.commit(commit).await?;
        inner.updates.send_modify(|count| *count += 1);
        Ok(run)
    }

    /// Cancels a run; one that has ended stays as it is. Returns `None` if there is no such run.
    ///
    /// A query that the platform is already working on continues there and occupies its slot until the run's deadline.
    pub async fn cancel(
        &self,
        tenant: &TenantId,
        id: AnalyticsRunId,
        actor: &str,
    ) -> Result<Option<AnalyticsRun>, AnalyticsError> {
        let cancelled = |run: &mut AnalyticsRun| {
            run.status = RunStatus::Cancelled;
            if let Some(started) = run.started_at {
                run.abandon_queries(started + run.request.deadline());
            }
        };
        match self.update_run(tenant, id, Some(actor), cancelled).await? {
            Some(run) => Ok(Some(run)),
            None => Ok(self.0.reader.analytics_run(tenant, id).await?),
        }
    }

    /// Waits until a run has ended and returns it.
    pub async fn wait_for_end(&self, tenant: &TenantId, id: AnalyticsRunId) -> anyhow::Result<AnalyticsRun> {
        let mut updates = self.subscribe();
        loop {
            updates.borrow_and_update();
            let run = self.0.reader.analytics_run(tenant, id).await?.context("the run was dropped")?;
            if run.status.is_final() {
                return Ok(run);
            }
            updates.changed().await.context("the analytics worker has stopped")?;
        }
    }

    /// Returns the run that a job requested with the same query and that has not ended.
    pub async fn open_run_of_job(
        &self,
        tenant: &TenantId,
        job: &JobId,
        request: &RunRequest,
    ) -> Result<Option<AnalyticsRun>, ReadError> {
        let open = self.0.reader.open_analytics_runs(tenant).await?;
        Ok(open.into_iter().find(|run| run.job.as_ref() == Some(job) && run.request == *request))
    }

    /// Returns the totals of a tenant's runs since the start of the daemon.
    pub fn totals(&self, tenant: &TenantId) -> RunTotals {
        self.0.totals.of(tenant)
    }

    /// Returns the current time of the daemon's clock.
    pub fn now(&self) -> UtcMicros {
        self.0.clock.now()
    }

    /// Returns a receiver that is notified when a run of any tenant is requested or has ended.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.updates.subscribe()
    }

    /// Changes a run that has not ended, and returns it as changed; `None` if it is unknown or has ended. If the change
    /// ends it, an audit entry and an event are added in the same commit. The audit entry names `actor`, or else
    /// whoever requested the run.
    async fn update_run(
        &self,
        tenant: &TenantId,
        id: AnalyticsRunId,
        actor: Option<&str>,
        change: impl FnOnce(&mut AnalyticsRun),
    ) -> Result<Option<AnalyticsRun>, AnalyticsError> {
        let inner = &self.0;
        let _turn = inner.change_lock.lock().await;
        let open = inner.reader.analytics_run(tenant, id).await?.filter(|run| !run.status.is_final());
        let Some(mut run) = open else { return Ok(None) };
        change(&mut run);
        let mut commit = Commit::default();
        let ends = run.status.is_final();
        if ends {
            let now = inner.clock.now();
            run.ended_at = Some(now);
            commit.audit.push(end_entry(&run, now, actor.unwrap_or(&run.requested_by)));
            commit.events.push(end_event(&run, now, inner.random.time_ordered_id(now)));
        }
        commit.analytics_runs.push(run.clone());
        inner.writer.commit(commit).await?;
        if ends {
            inner.totals.add(&run);
            inner.updates.send_modify(|count| *count += 1);
        }
        Ok(Some(run))
    }

    /// Deletes the stored rows of a run whose result does not count.
    async fn delete_rows(&self, tenant: &TenantId, id: AnalyticsRunId) -> Result<(), CommitError> {
        let before = self.0.clock.now();
        let slice = PruneSlice { tenant: Some(tenant.clone()), target: PruneTarget::AnalyticsRowsOf(id), before };
        while self.0.writer.prune(slice.clone()).await? > 0 {}
        Ok(())
    }

    /// Discards the rows of a query's oldest results beyond the limits. The runs stay, marked as having no rows.
    async fn discard_old_results(&self, tenant: &TenantId, query: Option<&AnalyticsQueryId>) -> anyhow::Result<()> {
        let stored = self.0.reader.stored_analytics_runs(tenant, query, u32::MAX).await?;
        let mut rows = 0;
        for (index, mut run) in stored.into_iter().enumerate() {
            rows += run.result.as_ref().map_or(0, |result| result.received);
            if index == 0 || (index < MAX_RESULTS_PER_QUERY && rows <= MAX_STORED_ROWS) {
                continue;
            }
            if let Some(result) = &mut run.result {
                result.has_rows = false;
            }
            let id = run.id;
            self.0.writer.commit(Commit { analytics_runs: vec![run], ..Commit::default() }).await?;
            self.delete_rows(tenant, id).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
