//! The jobs of a configuration and what each of them does.

mod analytics;
mod folder;
mod platform_schedules;
mod report;
mod schedule_url;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use self::analytics::AnalyticsJob;
use self::folder::ScheduleFolder;
pub(super) use self::folder::{DONE, FAILED};
use self::platform_schedules::PlatformSchedules;
use self::report::ReportJob;
use self::schedule_url::ScheduleUrlJob;
use super::Importer;
use super::reports::ReportRunner;
use jiff::tz::TimeZoneDatabase;

use crate::clock::SharedClock;
use crate::config::{
    AnalyticsQuery, Config, FOLDER_SOURCE, JobKind, JobSettings, RetentionSettings, ScheduleUrl, Tenant,
};
use crate::domain::ids::{ScheduleSourceId, TenantId};
use crate::domain::jobs::job::{CatchUp, JobKey};
use crate::engine::analytics::Analytics;
use crate::engine::audit::heads::HeadParts;
use crate::engine::jobs::SourceInfo;
use crate::engine::jobs::audit_head::AuditHead;
use crate::engine::jobs::backup::Backup;
use crate::engine::jobs::checkpoint::Checkpoint;
use crate::engine::jobs::retention::{Retention, RetentionPeriods};
use crate::engine::jobs::{Job, JobInfo, JobSpec};
use crate::engine::operations::tenants::Tenants;
use crate::platform::client::Transport;
use crate::store::{Reader, Writer};

/// What jobs need to run.
pub(super) struct JobServices {
    pub(super) writer: Writer,
    pub(super) reader: Reader,
    pub(super) clock: SharedClock,
    pub(super) tenants: Tenants,
    pub(super) importer: Importer,
    pub(super) heads: HeadParts,
    pub(super) reports: ReportRunner,
    pub(super) analytics: Analytics,
    /// Used for requests instead of sockets.
    pub(super) transport: Option<Arc<dyn Transport>>,
}

/// A query has its own deadline, which may be a day and starts when the query does.
const QUERY_TIMEOUT: Duration = Duration::from_secs(48 * 3600);

/// A source is fetched and imported within this time: a whole file takes five minutes at most to arrive.
const SOURCE_TIMEOUT: Duration = Duration::from_secs(3600);

/// A job to run and its folder.
struct ConfiguredJob<'a> {
    info: JobInfo,
    settings: &'a JobSettings,
    folder: Option<PathBuf>,
}

/// Returns the jobs that a daemon with this configuration runs.
pub fn configured_job_infos(config: &Config) -> Vec<JobInfo> {
    let queries = queries(config).map(|(info, _)| info);
    let addresses = schedule_urls(config).map(|(info, _)| info);
    configured_jobs(config).into_iter().map(|planned| planned.info).chain(addresses).chain(queries).collect()
}

pub(super) fn job_specs(config: &Config, services: &JobServices) -> Arc<[JobSpec]> {
    let spec =
        |planned: ConfiguredJob<'_>| Some(JobSpec { job: create_job(config, &planned, services)?, info: planned.info });
    let queries = queries(config).filter_map(|(info, query)| {
        let job = AnalyticsJob {
            analytics: services.analytics.clone(),
            tenant: info.key.tenant.clone()?,
            job: info.key.job.clone(),
            configured: query.configured.clone(),
        };
        Some(JobSpec { job: Arc::new(job), info })
    });
    let addresses = schedule_urls(config).filter_map(|(info, source)| {
        let job = ScheduleUrlJob {
            tenant: info.key.tenant.clone()?,
            source: source.clone(),
            importer: services.importer.clone(),
            transport: services.transport.clone(),
        };
        Some(JobSpec { job: Arc::new(job), info })
    });
    configured_jobs(config).into_iter().filter_map(spec).chain(addresses).chain(queries).collect()
}

/// Returns the analytics queries with a calendar, as jobs. Names of other jobs contain no colon.
fn queries(config: &Config) -> impl Iterator<Item = (JobInfo, &AnalyticsQuery)> {
    config.tenants.iter().flat_map(|tenant| {
        tenant.analytics.iter().filter_map(|query| {
            let info = JobInfo {
                key: JobKey { tenant: Some(tenant.id.clone()), job: query.configured.job_id() },
                kind: "analytics",
                calendar: query.calendar.clone()?,
                catch_up: CatchUp::Once,
                time_limit_real: QUERY_TIMEOUT,
                source: None,
            };
            Some((info, query))
        })
    })
}

/// Returns the addresses of schedule files, as jobs.
fn schedule_urls(config: &Config) -> impl Iterator<Item = (JobInfo, &ScheduleUrl)> {
    config.tenants.iter().flat_map(|tenant| {
        tenant.schedule_sources.iter().map(|source| {
            let info = JobInfo {
                key: JobKey { tenant: Some(tenant.id.clone()), job: source.job_id() },
                kind: "schedule-source",
                calendar: source.calendar.clone(),
                catch_up: CatchUp::Once,
                time_limit_real: SOURCE_TIMEOUT,
                source: Some(SourceInfo { id: source.id.clone(), kind: "https", max_age: source.max_age }),
            };
            (info, source)
        })
    })
}

/// Returns the folder of a tenant as a source of schedules.
fn folder_source(tenant: &Tenant) -> SourceInfo {
    SourceInfo { id: ScheduleSourceId::new(FOLDER_SOURCE), kind: "folder", max_age: tenant.schedule_max_age }
}

fn configured_jobs(config: &Config) -> Vec<ConfiguredJob<'_>> {
    let mut all = Vec::new();
    for settings in config.jobs.iter().filter(|job| job.is_enabled) {
        let configured_job = |tenant: Option<TenantId>, folder| ConfiguredJob {
            info: JobInfo {
                key: JobKey { tenant, job: settings.id.clone() },
                kind: settings.kind.name(),
                calendar: settings.calendar.clone(),
                catch_up: settings.catch_up,
                time_limit_real: settings.time_limit_real,
                source: None,
            },
            settings,
            folder,
        };
        let applies_to = |id: &TenantId| settings.tenant.as_ref().is_none_or(|only| only == id);
        let tenants = config.tenants.iter().filter(|tenant| applies_to(&tenant.id));
        match settings.kind {
            // Without a folder there is nowhere to put the files.
            JobKind::Report => {
                let has_folder =
                    settings.folder.is_some() || config.reports.folder_beside_store(&config.store).is_some();
                let tenants = tenants.filter(|_| has_folder);
                all.extend(tenants.map(|tenant| configured_job(Some(tenant.id.clone()), settings.folder.clone())));
            }
            JobKind::AuditHead => all.extend(tenants.map(|tenant| configured_job(Some(tenant.id.clone()), None))),
            JobKind::Retention | JobKind::Checkpoint | JobKind::Backup => {
                all.push(configured_job(None, settings.folder.clone()));
            }
            JobKind::PlatformSchedules => {
                let tenants = tenants.filter(|tenant| tenant.exports_schedules());
                all.extend(tenants.map(|tenant| configured_job(Some(tenant.id.clone()), None)));
            }
            JobKind::ScheduleFolder => all.extend(tenants.filter_map(|tenant| {
                let folder = tenant.schedule_folder.clone()?;
                let mut job = configured_job(Some(tenant.id.clone()), Some(folder));
                job.info.source = Some(folder_source(tenant));
                Some(job)
            })),
        }
    }
    all
}

fn create_job(config: &Config, configured: &ConfiguredJob<'_>, services: &JobServices) -> Option<Arc<dyn Job>> {
    let clock = services.clock.clone();
    Some(match configured.settings.kind {
        JobKind::AuditHead => {
            Arc::new(AuditHead { heads: services.heads.clone(), tenant: configured.info.key.tenant.clone()? })
        }
        JobKind::Retention => Arc::new(Retention {
            writer: services.writer.clone(),
            reader: services.reader.clone(),
            clock,
            tenants: services.tenants.clone(),
            heads: services.heads.clone(),
            periods: retention_periods(&config.retention),
        }),
        JobKind::Checkpoint => Arc::new(Checkpoint { writer: services.writer.clone() }),
        JobKind::Backup => Arc::new(Backup {
            url: config.store.connection_url(),
            folder: configured.folder.clone()?,
            keep: configured.settings.keep,
            clock,
        }),
        JobKind::Report => Arc::new(ReportJob {
            reports: services.reports.clone(),
            tenant: configured.info.key.tenant.clone()?,
            job: configured.info.key.job.clone(),
            order: configured.settings.report.clone(),
            zone: TimeZoneDatabase::bundled().get(configured.info.calendar.zone_name()).ok()?,
            folder: configured.folder.clone(),
        }),
        JobKind::PlatformSchedules => {
            let id = configured.info.key.tenant.clone()?;
            let tenant = config.tenants.iter().find(|tenant| tenant.id == id)?;
            Arc::new(PlatformSchedules {
                agents: tenant.agents.clone(),
                titles: tenant.activity_titles().clone(),
                requests_per_minute: tenant.requests_per_minute,
                tenant: id,
                tenants: services.tenants.clone(),
                reader: services.reader.clone(),
                importer: services.importer.clone(),
                job: format!("job:{}", configured.info.key.job),
            })
        }
        JobKind::ScheduleFolder => Arc::new(ScheduleFolder::new(
            configured.info.key.tenant.clone()?,
            configured.folder.clone()?,
            config.tenant(configured.info.key.tenant.as_ref()?)?.schedule_profile.clone(),
            services.importer.clone(),
        )),
    })
}

fn retention_periods(settings: &RetentionSettings) -> RetentionPeriods {
    let days = |days: u32| Duration::from_secs(u64::from(days) * 24 * 3600);
    RetentionPeriods {
        history: days(settings.history_days),
        audit: days(settings.audit_days),
        deliveries: days(settings.deliveries_days),
        job_runs: days(settings.job_runs_days),
    }
}
