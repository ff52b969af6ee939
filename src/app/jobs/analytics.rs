//! The job that runs a configured analytics query.

use crate::clock::BoxFuture;
use crate::domain::analytics::analytics_run::ConfiguredQuery;
use crate::domain::ids::{JobId, TenantId};
use crate::domain::reports::report_run::RunStatus;
use crate::domain::time::UtcMicros;
use crate::domain::wording::count_with_noun;
use crate::engine::analytics::{Analytics, AnalyticsRunRequest};
use crate::engine::jobs::Job;

/// The job. Cheap to clone.
#[derive(Clone)]
pub(super) struct AnalyticsJob {
    pub(super) analytics: Analytics,
    pub(super) tenant: TenantId,
    pub(super) job: JobId,
    pub(super) configured: ConfiguredQuery,
}

impl Job for AnalyticsJob {
    fn run(&self, due: UtcMicros, _failure: Option<String>) -> BoxFuture<anyhow::Result<String>> {
        let job = self.clone();
        Box::pin(async move { job.request(due).await })
    }
}

impl AnalyticsJob {
    /// Requests the query and waits for its end. A run that an earlier daemon requested for the same due instant is
    /// continued and waited for instead.
    async fn request(&self, due: UtcMicros) -> anyhow::Result<String> {
        let request = self.configured.request(due);
        let run = if let Some(run) = self.analytics.open_run_of_job(&self.tenant, &self.job, &request).await? {
            run
        } else {
            let order = AnalyticsRunRequest {
                tenant: self.tenant.clone(),
                query: Some(self.configured.id.clone()),
                request,
                actor: format!("job:{}", self.job),
                job: Some(self.job.clone()),
            };
            self.analytics.request_run(order).await?
        };
        let run = self.analytics.wait_for_end(&self.tenant, run.id).await?;
        match (run.status, &run.result) {
            (RunStatus::Done, Some(result)) => Ok(format!(
                "run {} brought {}, SHA-256 {}",
                run.id,
                count_with_noun(result.received, "row"),
                result.sha256
            )),
            (RunStatus::Cancelled, _) => anyhow::bail!("run {} was cancelled", run.id),
            _ => anyhow::bail!(run.failure.map_or_else(|| format!("run {} failed", run.id), |failure| failure.text)),
        }
    }
}
