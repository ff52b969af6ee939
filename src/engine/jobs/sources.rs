//! The sources of schedules: when each was tried, when it last gave a good version, and whether it is late.
//!
//! A source is read by a job, whose last run says when it was tried and what went wrong. A source is late when its last
//! good version is older than allowed. That does not depend on a run, so a worker looks regularly.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use super::spec::{JobInfo, JobSpecs, SourceInfo};
use crate::clock::{RealTime, SharedClock};
use crate::domain::ids::{JobId, ScheduleSourceId, TenantId};
use crate::domain::jobs::job::JobOutcome;
use crate::domain::time::{UtcMicros, rough_duration_text};
use crate::engine::operations::readiness::Readiness;
use crate::engine::platform::calls::real_millis;
use crate::store::{Commit, JobRun, Reader, ScheduleSourceWrite, StoredScheduleSource, Writer};

/// How often the worker looks, in real time.
const CHECK_INTERVAL_REAL: Duration = Duration::from_secs(5);

/// A source of schedules with its age.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ScheduleSource)]
pub struct ScheduleSourceView {
    /// The id of the source; `folder` for the tenant's folder.
    pub id: ScheduleSourceId,
    /// The kind of source: `https` or `folder`.
    pub kind: String,
    /// The id of the job that reads the source.
    pub job: JobId,
    /// When the source was last tried; null if it never was.
    pub tried_at: Option<UtcMicros>,
    /// When the source last gave a good version: a file that was imported, or that was in force already; null if it
    /// never did.
    pub good_at: Option<UtcMicros>,
    /// The age of the last good version in milliseconds; null if there is none.
    pub age_ms: Option<u64>,
    /// The version of the schedule that the last good version made or confirmed; null if there is none.
    pub version: Option<u64>,
    /// The age of the last good version, in milliseconds, above which the source is late; null if it is never late.
    pub max_age_ms: Option<u64>,
    /// Whether the source is late.
    pub late: bool,
    /// The error of the last run; null if the last run succeeded.
    pub last_error: Option<String>,
}

/// Returns the sources of a tenant, in the order of the jobs.
pub fn tenant_sources(
    infos: &[JobInfo],
    tenant: &TenantId,
    stored: &[StoredScheduleSource],
    last_runs: &[JobRun],
    now: UtcMicros,
) -> Vec<ScheduleSourceView> {
    sources_of(infos, tenant)
        .map(|(info, source)| {
            let state = stored.iter().find(|stored| stored.source == source.id);
            let run = last_runs.iter().find(|run| run.key == info.key);
            source_view(info, source, state, run, now)
        })
        .collect()
}

/// Returns the sources of a tenant, each with its job. A second job for the same source is left out.
fn sources_of<'a>(infos: &'a [JobInfo], tenant: &'a TenantId) -> impl Iterator<Item = (&'a JobInfo, &'a SourceInfo)> {
    let mut seen = BTreeSet::new();
    infos
        .iter()
        .filter(move |info| info.key.tenant.as_ref() == Some(tenant))
        .filter_map(|info| Some((info, info.source.as_ref()?)))
        .filter(move |(_, source)| seen.insert(&source.id))
}

fn source_view(
    info: &JobInfo,
    source: &SourceInfo,
    stored: Option<&StoredScheduleSource>,
    run: Option<&JobRun>,
    now: UtcMicros,
) -> ScheduleSourceView {
    let good = stored.and_then(|stored| stored.good.as_ref());
    // The time without a good version counts from when the source became known.
    let since = good.map(|(at, _)| *at).or(stored.map(|stored| stored.since));
    let is_late = |max_age| since.is_some_and(|since| now.since(since) > max_age);
    let failed = run.filter(|run| run.outcome.is_some_and(JobOutcome::is_failure));
    ScheduleSourceView {
        id: source.id.clone(),
        kind: source.kind.to_owned(),
        job: info.key.job.clone(),
        tried_at: run.map(|run| run.started_at),
        good_at: good.map(|(at, _)| *at),
        age_ms: good.map(|(at, _)| real_millis(now.since(*at))),
        version: good.map(|(_, good)| good.version),
        max_age_ms: source.max_age.map(real_millis),
        late: source.max_age.is_some_and(is_late),
        last_error: failed.and_then(|run| run.message.clone()),
    }
}

/// The dependencies of the worker.
#[derive(Clone)]
pub struct SourceWatchParts {
    /// The configured jobs.
    pub specs: JobSpecs,
    /// The store's writer.
    pub writer: Writer,
    /// The store's reader.
    pub reader: Reader,
    /// The daemon's clock.
    pub clock: SharedClock,
    /// Where late sources are shown.
    pub readiness: Readiness,
}

/// Reports sources that become late and that recover, until `soft` is cancelled.
pub async fn run(parts: SourceWatchParts, soft: CancellationToken) -> anyhow::Result<()> {
    let mut specs = parts.specs.clone();
    let mut reported = BTreeMap::new();
    loop {
        let infos: Vec<JobInfo> = specs.borrow_and_update().iter().map(|spec| spec.info.clone()).collect();
        let has_limit = infos.iter().any(is_limited);
        if let Err(error) = check(&parts, &infos, &mut reported).await {
            // A store that does not work is reported by its own part.
            tracing::debug!(%error, "the sources of schedules could not be checked");
        }
        tokio::select! {
            () = soft.cancelled() => return Ok(()),
            Ok(()) = specs.changed() => {}
            () = RealTime::sleep(CHECK_INTERVAL_REAL), if has_limit => {}
        }
    }
}

fn is_limited(info: &JobInfo) -> bool {
    info.source.as_ref().is_some_and(|source| source.max_age.is_some())
}

/// Checks every source that has a limit. `reported` has the part of each and whether it is late.
async fn check(
    parts: &SourceWatchParts,
    infos: &[JobInfo],
    reported: &mut BTreeMap<String, bool>,
) -> anyhow::Result<()> {
    let tenants: BTreeSet<&TenantId> =
        infos.iter().filter(|info| is_limited(info)).filter_map(|info| info.key.tenant.as_ref()).collect();
    let last_runs = if tenants.is_empty() { Vec::new() } else { parts.reader.last_job_runs().await? };
    let mut known = BTreeMap::new();
    for tenant in tenants {
        let stored = stored_sources(parts, infos, tenant).await?;
        for view in tenant_sources(infos, tenant, &stored, &last_runs, parts.clock.now()) {
            if view.max_age_ms.is_some() {
                let part = format!("schedule source {} of {tenant}", view.id);
                let was_late = reported.get(&part).is_some_and(|late| *late);
                report(&parts.readiness, (&part, tenant), &view, was_late);
                known.insert(part, view.late);
            }
        }
    }
    let removed: Vec<String> = reported.keys().filter(|part| !known.contains_key(*part)).cloned().collect();
    parts.readiness.remove(&removed);
    *reported = known;
    Ok(())
}

/// Returns the stored sources of a tenant, after those that are new were stored.
async fn stored_sources(
    parts: &SourceWatchParts,
    infos: &[JobInfo],
    tenant: &TenantId,
) -> anyhow::Result<Vec<StoredScheduleSource>> {
    let stored = parts.reader.schedule_sources(tenant).await?;
    let is_new = |id: &ScheduleSourceId| stored.iter().all(|stored| stored.source != *id);
    let at = parts.clock.now();
    let new: Vec<_> = sources_of(infos, tenant)
        .filter(|(info, source)| is_limited(info) && is_new(&source.id))
        .map(|(_, source)| ScheduleSourceWrite { tenant: tenant.clone(), source: source.id.clone(), at, good: None })
        .collect();
    if new.is_empty() {
        return Ok(stored);
    }
    parts.writer.commit(Commit { schedule_sources: new, ..Commit::default() }).await?;
    Ok(parts.reader.schedule_sources(tenant).await?)
}

/// Reports a source in readiness, and in the log when it becomes late or recovers.
fn report(readiness: &Readiness, (part, tenant): (&str, &TenantId), view: &ScheduleSourceView, was_late: bool) {
    let source = &view.id;
    if view.late {
        let problem = lateness(view);
        if !was_late {
            tracing::warn!(%tenant, %source, "a source of schedules is late: {problem}");
        }
        readiness.degraded(part, format!("{problem}; `shiftkeeper schedules sources` shows the last error"));
    } else {
        if was_late {
            tracing::info!(%tenant, %source, version = view.version, "a source of schedules has recovered");
        }
        readiness.restored(part);
    }
}

/// Says since when a late source has given no good version.
pub fn lateness(view: &ScheduleSourceView) -> String {
    let text = |ms: u64| rough_duration_text(Duration::from_millis(ms));
    let limit = view.max_age_ms.map_or_else(String::new, |ms| format!(", and the limit is {}", text(ms)));
    match view.age_ms {
        Some(age) => format!("its last good version is {} old{limit}", text(age)),
        None => format!("it has never given a good version{limit}"),
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::domain::jobs::cron::{Calendar, Pattern};
    use crate::domain::jobs::job::{CatchUp, JobKey};
    use crate::store::GoodVersion;

    fn at(minutes: i64) -> UtcMicros {
        UtcMicros::from_micros(minutes * 60_000_000)
    }

    fn info(job: &str, source: &str, max_age: Option<Duration>) -> JobInfo {
        JobInfo {
            key: JobKey { tenant: Some("acme".into()), job: job.into() },
            kind: "schedule-source",
            calendar: Calendar::new(Pattern::parse("* * * * *").expect("a pattern"), TimeZone::UTC),
            catch_up: CatchUp::Once,
            time_limit_real: Duration::from_secs(60),
            source: Some(SourceInfo { id: source.into(), kind: "https", max_age }),
        }
    }

    fn stored(since: i64, good_at: Option<i64>) -> StoredScheduleSource {
        let good = |minutes| (at(minutes), GoodVersion { version: 7, ..GoodVersion::default() });
        StoredScheduleSource { source: "wfm".into(), since: at(since), good: good_at.map(good) }
    }

    #[test]
    fn a_source_is_late_when_its_last_good_version_is_older_than_its_limit() {
        let hour = Some(Duration::from_secs(3600));
        for (limit, state, now, late) in [
            (hour, None, 1000, false),
            (hour, Some(stored(0, None)), 60, false),
            (hour, Some(stored(0, None)), 61, true),
            (hour, Some(stored(0, Some(30))), 90, false),
            (hour, Some(stored(0, Some(30))), 91, true),
            (None, Some(stored(0, Some(30))), 1000, false),
        ] {
            let states: Vec<_> = state.clone().into_iter().collect();
            let views = tenant_sources(&[info("a", "wfm", limit)], &"acme".into(), &states, &[], at(now));
            assert_eq!(views.len(), 1);
            let age = state.and_then(|state| state.good).map(|(good, _)| real_millis(at(now).since(good)));
            assert_eq!((views[0].late, views[0].age_ms), (late, age), "{limit:?} {states:?} {now}");
        }
    }

    #[test]
    fn a_source_shows_the_last_run_of_its_first_job() {
        let run = |job: &str, outcome, message: &str| JobRun {
            key: JobKey { tenant: Some("acme".into()), job: job.into() },
            run: 1,
            due_at: at(1),
            attempt: 1,
            requested_by: None,
            started_at: at(2),
            finished_at: Some(at(3)),
            outcome: Some(outcome),
            message: Some(message.to_owned()),
        };
        let infos = [info("a", "wfm", None), info("b", "wfm", None), info("c", "other", None)];
        let runs = [run("a", JobOutcome::Failed, "refused"), run("c", JobOutcome::Done, "imported")];
        let views = tenant_sources(&infos, &"acme".into(), &[], &runs, at(10));
        let shown: Vec<_> = views.iter().map(|view| (view.id.as_str(), view.job.as_str(), view.tried_at)).collect();
        assert_eq!(shown, [("wfm", "a", Some(at(2))), ("other", "c", Some(at(2)))]);
        assert_eq!((views[0].last_error.as_deref(), views[1].last_error.as_deref()), (Some("refused"), None));
        assert_eq!(tenant_sources(&infos, &"bravo".into(), &[], &runs, at(10)), []);
    }
}
