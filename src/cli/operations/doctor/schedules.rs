//! The sources of schedules: how old the last good version of each is, from the store alone.

use super::context::CheckContext;
use crate::app::{clock_for, configured_job_infos};
use crate::cli::shared::finding::{Finding, FindingGroup};
use crate::config::Tenant;
use crate::domain::time::UtcMicros;
use crate::domain::time::rough_duration_text;
use crate::engine::jobs::JobInfo;
use crate::engine::jobs::sources::{ScheduleSourceView, lateness, tenant_sources};
use crate::store::{ReadError, Reader};

/// Checks the sources of a tenant. Returns no findings if it has none.
pub(super) async fn check(context: &CheckContext, tenant: &Tenant) -> Vec<Finding> {
    let mut group = FindingGroup::new(format!("schedules {}", tenant.id));
    let infos = configured_job_infos(&context.config);
    let has_sources = infos.iter().any(|info| info.source.is_some() && info.key.tenant.as_ref() == Some(&tenant.id));
    let Some(reader) = context.reader.as_ref().filter(|_| has_sources) else { return group.into_findings() };
    let now = clock_for(&context.config).await.now();
    match sources(reader, tenant, &infos, now).await {
        Ok(sources) => sources.iter().for_each(|source| report(&mut group, tenant, source, now)),
        Err(error) => group.skipped("sources", format!("the store could not be read: {error}")),
    }
    group.into_findings()
}

async fn sources(
    reader: &Reader,
    tenant: &Tenant,
    infos: &[JobInfo],
    now: UtcMicros,
) -> Result<Vec<ScheduleSourceView>, ReadError> {
    let (stored, last_runs) = (reader.schedule_sources(&tenant.id).await?, reader.last_job_runs().await?);
    Ok(tenant_sources(infos, &tenant.id, &stored, &last_runs, now))
}

fn report(group: &mut FindingGroup, tenant: &Tenant, source: &ScheduleSourceView, now: UtcMicros) {
    let id = format!("source {}", source.id);
    let advice = format!("correct the cause; then `shiftkeeper jobs run {} --tenant {}`", source.job, tenant.id);
    let error = source.last_error.as_ref();
    if source.late {
        let cause = error.map_or_else(String::new, |error| format!("; the last run: {error}"));
        return group.wrong(id, format!("late: {}{cause}", lateness(source)), advice);
    }
    match (error, source.good_at, source.version) {
        (Some(error), _, _) => group.warning(id, error, advice),
        (None, Some(at), Some(version)) => {
            let age = rough_duration_text(now.since(at));
            group.ok(id, format!("gave or confirmed version {version} {age} ago"));
        }
        (None, _, _) => group.skipped(id, "it has given no version yet"),
    }
}
