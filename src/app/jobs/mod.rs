//! The jobs of a configuration: which there are, and what each does.

mod analytics;
mod folder;
mod report;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use self::analytics::AnalyticsJob;
use self::folder::ScheduleFolder;
pub(super) use self::folder::{DONE, FAILED};
use self::report::ReportJob;
use super::Importer;
use super::reports::ReportDesk;
use jiff::tz::TimeZoneDatabase;

use crate::clock::SharedClock;
use crate::config::{AnalyticsQuery, Config, JobKind, JobSettings, RetentionSettings};
use crate::domain::ids::TenantId;
use crate::domain::jobs::job::{CatchUp, JobKey};
use crate::engine::analytics::Analytics;
use crate::engine::audit::heads::HeadParts;
use crate::engine::jobs::audit_head::AuditHead;
use crate::engine::jobs::backup::Backup;
use crate::engine::jobs::checkpoint::Checkpoint;
use crate::engine::jobs::retention::{Kept, Retention};
use crate::engine::jobs::{Job, JobInfo, JobSpec};
use crate::engine::operations::tenants::Tenants;
use crate::store::{Reader, Writer};

/// What jobs work with.
pub(super) struct JobTools {
    pub(super) writer: Writer,
    pub(super) reader: Reader,
    pub(super) clock: SharedClock,
    pub(super) tenants: Tenants,
    pub(super) importer: Importer,
    pub(super) heads: HeadParts,
    pub(super) reports: ReportDesk,
    pub(super) analytics: Analytics,
}

/// A run ends by its own deadline, which may be a day and begins when a place is free.
const QUERY_LIMIT: Duration = Duration::from_secs(48 * 3600);

/// A job that is to run, and the folder that it works on.
struct Planned<'a> {
    info: JobInfo,
    settings: &'a JobSettings,
    folder: Option<PathBuf>,
}

/// The jobs that a daemon with this configuration runs.
pub fn job_infos(config: &Config) -> Vec<JobInfo> {
    let queries = queries(config).map(|(info, _)| info);
    planned(config).into_iter().map(|planned| planned.info).chain(queries).collect()
}

pub(super) fn job_specs(config: &Config, tools: &JobTools) -> Arc<[JobSpec]> {
    let spec = |planned: Planned<'_>| Some(JobSpec { job: job_of(config, &planned, tools)?, info: planned.info });
    let queries = queries(config).filter_map(|(info, query)| {
        let job = AnalyticsJob {
            desk: tools.analytics.clone(),
            tenant: info.key.tenant.clone()?,
            job: info.key.job.clone(),
            standing: query.standing.clone(),
        };
        Some(JobSpec { job: Arc::new(job), info })
    });
    planned(config).into_iter().filter_map(spec).chain(queries).collect()
}

/// What the calendar asks of the platforms' analytics. No job of the file has a name with a colon.
fn queries(config: &Config) -> impl Iterator<Item = (JobInfo, &AnalyticsQuery)> {
    config.tenants.iter().flat_map(|tenant| {
        tenant.analytics.iter().filter_map(|query| {
            let info = JobInfo {
                key: JobKey { tenant: Some(tenant.id.clone()), job: query.standing.job() },
                kind: "analytics",
                calendar: query.calendar.clone()?,
                catch_up: CatchUp::Once,
                time_limit_real: QUERY_LIMIT,
            };
            Some((info, query))
        })
    })
}

fn planned(config: &Config) -> Vec<Planned<'_>> {
    let mut all = Vec::new();
    for settings in config.jobs.iter().filter(|job| job.enabled) {
        let plan = |tenant: Option<TenantId>, folder| Planned {
            info: JobInfo {
                key: JobKey { tenant, job: settings.id.clone() },
                kind: settings.kind.name(),
                calendar: settings.calendar.clone(),
                catch_up: settings.catch_up,
                time_limit_real: settings.time_limit_real,
            },
            settings,
            folder,
        };
        let named = |id: &TenantId| settings.tenant.as_ref().is_none_or(|only| only == id);
        let tenants = config.tenants.iter().filter(|tenant| named(&tenant.id));
        match settings.kind {
            // Without a folder there is nowhere for its files to go.
            JobKind::Report => {
                let goes = settings.folder.is_some() || config.reports.folder_beside(&config.store).is_some();
                let tenants = tenants.filter(|_| goes);
                all.extend(tenants.map(|tenant| plan(Some(tenant.id.clone()), settings.folder.clone())));
            }
            JobKind::AuditHead => all.extend(tenants.map(|tenant| plan(Some(tenant.id.clone()), None))),
            JobKind::Retention | JobKind::Checkpoint | JobKind::Backup => all.push(plan(None, settings.folder.clone())),
            JobKind::ScheduleFolder => all.extend(tenants.filter_map(|tenant| {
                let folder = tenant.schedule_folder.clone()?;
                Some(plan(Some(tenant.id.clone()), Some(folder)))
            })),
        }
    }
    all
}

fn job_of(config: &Config, planned: &Planned<'_>, tools: &JobTools) -> Option<Arc<dyn Job>> {
    let clock = tools.clock.clone();
    Some(match planned.settings.kind {
        JobKind::AuditHead => {
            Arc::new(AuditHead { heads: tools.heads.clone(), tenant: planned.info.key.tenant.clone()? })
        }
        JobKind::Retention => Arc::new(Retention {
            writer: tools.writer.clone(),
            reader: tools.reader.clone(),
            clock,
            tenants: tools.tenants.clone(),
            heads: tools.heads.clone(),
            kept: kept(&config.retention),
        }),
        JobKind::Checkpoint => Arc::new(Checkpoint { writer: tools.writer.clone() }),
        JobKind::Backup => Arc::new(Backup {
            url: config.store.connection_url(),
            folder: planned.folder.clone()?,
            keep: planned.settings.keep,
            clock,
        }),
        JobKind::Report => Arc::new(ReportJob {
            desk: tools.reports.clone(),
            tenant: planned.info.key.tenant.clone()?,
            job: planned.info.key.job.clone(),
            order: planned.settings.report.clone(),
            zone: TimeZoneDatabase::bundled().get(planned.info.calendar.zone_name()).ok()?,
            folder: planned.folder.clone(),
        }),
        JobKind::ScheduleFolder => Arc::new(ScheduleFolder::new(
            planned.info.key.tenant.clone()?,
            planned.folder.clone()?,
            tools.importer.clone(),
        )),
    })
}

fn kept(settings: &RetentionSettings) -> Kept {
    let days = |days: u32| Duration::from_secs(u64::from(days) * 24 * 3600);
    Kept {
        history: days(settings.history_days),
        audit: days(settings.audit_days),
        deliveries: days(settings.deliveries_days),
        job_runs: days(settings.job_runs_days),
    }
}
