//! A query of the configuration that the calendar asks for, and its end.

use crate::clock::BoxFuture;
use crate::domain::analytics::analytics_run::StandingQuery;
use crate::domain::ids::{JobId, TenantId};
use crate::domain::reports::report_run::RunStatus;
use crate::domain::time::UtcMicros;
use crate::domain::words::count;
use crate::engine::analytics::{Analytics, Asked};
use crate::engine::jobs::Job;

/// The job. Cheap to clone.
#[derive(Clone)]
pub(super) struct AnalyticsJob {
    pub(super) desk: Analytics,
    pub(super) tenant: TenantId,
    pub(super) job: JobId,
    pub(super) standing: StandingQuery,
}

impl Job for AnalyticsJob {
    fn run(&self, due: UtcMicros, _failure: Option<String>) -> BoxFuture<anyhow::Result<String>> {
        let job = self.clone();
        Box::pin(async move { job.ask(due).await })
    }
}

impl AnalyticsJob {
    /// Asks, and waits for the end. What an earlier daemon asked for the same due instant goes on by itself, and is waited for.
    async fn ask(&self, due: UtcMicros) -> anyhow::Result<String> {
        let request = self.standing.request(due);
        let run = if let Some(run) = self.desk.open_of_job(&self.tenant, &self.job, &request).await? {
            run
        } else {
            let asked = Asked {
                tenant: self.tenant.clone(),
                query: Some(self.standing.id.clone()),
                request,
                actor: format!("job:{}", self.job),
                job: Some(self.job.clone()),
            };
            self.desk.ask(asked).await?
        };
        let run = self.desk.end_of(&self.tenant, run.id).await?;
        match (run.status, &run.result) {
            (RunStatus::Done, Some(result)) => {
                Ok(format!("run {} brought {}, SHA-256 {}", run.id, count(result.received, "row"), result.sha256))
            }
            (RunStatus::Cancelled, _) => anyhow::bail!("run {} was cancelled", run.id),
            _ => anyhow::bail!(run.failure.map_or_else(|| format!("run {} failed", run.id), |failure| failure.text)),
        }
    }
}
