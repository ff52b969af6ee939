//! `[[jobs]]` and `[retention]`: scheduled jobs, and how long data is kept.
//!
//! Every kind of job has a default job. An entry with the kind's name as its id changes it or switches it off; an entry
//! with another id is an additional job.

mod job_kind;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;

pub use self::job_kind::JobKind;
pub use self::report::{ReportSpan, ScheduledReport};
use super::operations::tenant::Tenant;
use super::shared::diagnostic::ValueFault;
use super::shared::kind;
use super::shared::reader::{Section, reloadable};
use crate::domain::ids::{JobId, TenantId};
use crate::domain::jobs::cron::{Calendar, Pattern};
use crate::domain::jobs::job::CatchUp;

/// The settings of one job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobSettings {
    /// The job's id.
    pub id: JobId,
    /// The job's kind.
    pub kind: JobKind,
    /// The tenant that the job is for. `None` for every tenant, or for the daemon.
    pub tenant: Option<TenantId>,
    /// When it is due.
    pub calendar: Calendar,
    /// What happens to due times that passed while the job could not run.
    pub catch_up: CatchUp,
    /// The time limit of a run, in real time.
    pub time_limit_real: Duration,
    /// Whether the job runs.
    pub is_enabled: bool,
    /// The folder of the job's files, relative to the working directory.
    pub folder: Option<PathBuf>,
    /// How many copies are kept.
    pub keep: usize,
    /// The report of a report job.
    pub report: ScheduledReport,
}

/// How long data is kept, in days.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetentionSettings {
    /// State history, transitions and their attempts, figures of skills and queues, and results of analytics.
    pub history_days: u32,
    /// Audit entries.
    pub audit_days: u32,
    /// Events and their deliveries.
    pub deliveries_days: u32,
    /// Runs of jobs.
    pub job_runs_days: u32,
}

impl RetentionSettings {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let mut days =
            |name, about, default: u32| section.value(reloadable(name, about), &kind::integer(1..=36_500_u32), default);
        Self {
            history_days: days(
                "history_days",
                "How many days to keep state history, transitions and their attempts after their end, figures of \
                 skills and queues, and analytics results.",
                400,
            ),
            audit_days: days(
                "audit_days",
                "How many days to keep audit entries. They are deleted only if a published signed head covers them.",
                1461,
            ),
            deliveries_days: days("deliveries_days", "How many days to keep events and their deliveries.", 30),
            job_runs_days: days("job_runs_days", "How many days to keep the runs of jobs.", 30),
        }
    }
}

/// Reads all jobs: those of the file, then the default jobs.
pub(super) fn read(section: &mut Section<'_, '_>, tenants: &[Tenant]) -> Vec<JobSettings> {
    let mut jobs = section.tables("jobs", |section| JobSettings::read(section, tenants));
    for kind in JobKind::ALL {
        if !jobs.iter().any(|job| job.id.as_str() == kind.name()) {
            jobs.extend(JobSettings::default_settings(kind));
        }
    }
    jobs
}

impl JobSettings {
    /// Returns the default job of a kind. The backup job is disabled by default, since it needs a folder.
    fn default_settings(kind: JobKind) -> Option<Self> {
        Some(Self {
            id: JobId::new(kind.name()),
            kind,
            tenant: None,
            calendar: Calendar::new(Pattern::parse(kind.default_cron()).ok()?, TimeZone::UTC),
            catch_up: CatchUp::Once,
            time_limit_real: DEFAULT_TIME_LIMIT,
            is_enabled: kind != JobKind::Backup,
            folder: None,
            keep: DEFAULT_COPIES,
            report: ScheduledReport::default(),
        })
    }

    fn read(section: &mut Section<'_, '_>, tenants: &[Tenant]) -> Option<Self> {
        let id: Option<JobId> = section.required(
            reloadable("id", "The name of the job. A job named after a kind changes the built-in job of that kind."),
            &kind::id(),
        );
        let kind = read_kind(section, id.as_ref());
        let tenant = read_tenant(section, kind, tenants);
        let cron = section.optional(
            reloadable(
                "cron",
                "When the job runs, in the zone: minute, hour, day of month, month, day of week. Each kind has a \
                 default.",
            ),
            &kind::cron(),
        );
        let zone = section.value(reloadable("zone", "The IANA time zone of cron."), &kind::zone(), "UTC".to_owned());
        let catch_up = section.value(
            reloadable(
                "catch_up",
                "What happens to runs that were due while the daemon was down: one run for all of them (`once`), or \
                 none (`skip`).",
            ),
            &kind::choice(&[("once", CatchUp::Once), ("skip", CatchUp::Skip)]),
            CatchUp::Once,
        );
        let time_limit_real = section.value(
            reloadable("time_limit", "A run that takes longer, in real time, is stopped and counts as failed."),
            &kind::duration(Duration::from_secs(1)..=Duration::from_secs(24 * 3600)),
            DEFAULT_TIME_LIMIT,
        );
        let enabled = section.value(reloadable("enabled", "Whether the job runs."), &kind::boolean(), true);
        let (folder, keep) = read_folder_and_keep(section, kind, enabled);
        let report = report::read(section, kind);
        let (id, kind) = (id?, kind?);
        let pattern = cron.or_else(|| Pattern::parse(kind.default_cron()).ok())?;
        let calendar = Calendar::new(pattern, TimeZone::get(&zone).ok()?);
        Some(Self { id, kind, tenant, calendar, catch_up, time_limit_real, is_enabled: enabled, folder, keep, report })
    }
}

/// The default time limit of a run.
const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(3600);

/// The default number of copies that are kept.
const DEFAULT_COPIES: usize = 7;

fn read_kind(section: &mut Section<'_, '_>, id: Option<&JobId>) -> Option<JobKind> {
    let key = reloadable("kind", "What the job does. Not needed if the id is the name of a kind.");
    let named = section.optional(key, &kind::named(&JobKind::ALL, JobKind::name));
    let by_id = id.and_then(|id| JobKind::ALL.into_iter().find(|kind| kind.name() == id.as_str()));
    match (named, by_id) {
        (Some(named), Some(by_id)) if named != by_id => {
            let fault = ValueFault::new("is not the kind that the id names");
            section.add_diagnostic("kind", fault.with_suggestion("choose another id, or leave kind out"));
        }
        (None, None) if id.is_some() => {
            let names = JobKind::ALL.map(|kind| format!("\"{}\"", kind.name())).join(", ");
            section.add_diagnostic(
                "kind",
                ValueFault::new(ValueFault::MISSING).with_suggestion(format!("one of {names}")),
            );
        }
        (Some(_) | None, Some(_) | None) => {}
    }
    named.or(by_id)
}

fn read_tenant(section: &mut Section<'_, '_>, kind: Option<JobKind>, tenants: &[Tenant]) -> Option<TenantId> {
    let about = "Limits the job to this tenant, for kinds with one job per tenant: audit-head, schedule-folder and \
             report.";
    let tenant: Option<TenantId> = section.optional(reloadable("tenant", about), &kind::id());
    if tenant.as_ref().is_some_and(|id| tenants.iter().all(|tenant| tenant.id != *id)) {
        section.add_diagnostic("tenant", ValueFault::new("names a tenant that is not configured"));
    }
    if tenant.is_some() && kind.is_some_and(|kind| !kind.is_per_tenant()) {
        section.add_diagnostic(
            "tenant",
            ValueFault::new("goes with kinds that have a job for each tenant").with_suggestion("remove it"),
        );
    }
    tenant
}

fn read_folder_and_keep(
    section: &mut Section<'_, '_>,
    kind: Option<JobKind>,
    enabled: bool,
) -> (Option<PathBuf>, usize) {
    let folder = section.optional(
        reloadable(
            "folder",
            "For backup: the folder for copies. For report: a folder for the report files, which you manage, instead \
             of the daemon's own folder. Relative to the working directory.",
        ),
        &kind::text(),
    );
    let keep = section.value(
        reloadable("keep", "For backup: the number of copies to keep."),
        &kind::integer(1..=10_000),
        DEFAULT_COPIES,
    );
    match kind {
        Some(JobKind::Backup) if enabled && folder.is_none() => {
            section.add_diagnostic(
                "folder",
                ValueFault::new(ValueFault::MISSING).with_suggestion("name the folder that copies go to"),
            );
        }
        Some(
            JobKind::AuditHead
            | JobKind::Retention
            | JobKind::Checkpoint
            | JobKind::ScheduleFolder
            | JobKind::PlatformSchedules,
        ) if folder.is_some() => {
            let fault = ValueFault::new("is for jobs of kind backup and report");
            section.add_diagnostic(
                "folder",
                fault.with_suggestion("the folder that is watched is the tenant's schedule_folder"),
            );
        }
        Some(_) | None => {}
    }
    (folder.map(PathBuf::from), keep)
}
