//! `[[jobs]]` and `[retention]`: what the calendar asks for, and how long things are kept.
//!
//! Every kind of job is there by itself; an entry with the kind's name as its id changes it or switches it off, one with another id
//! is a job of its own.

mod report;

use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;

pub use self::report::{ReportOrder, ReportSpan};
use super::operations::tenant::Tenant;
use super::shared::complaint::Fault;
use super::shared::kind::{self, Kind};
use super::shared::reader::{Section, reloads};
use crate::domain::ids::{JobId, TenantId};
use crate::domain::jobs::cron::{Calendar, Pattern};
use crate::domain::jobs::job::CatchUp;

/// What a job does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JobKind {
    /// Signs the head of each tenant's audit chain and sends it out.
    AuditHead,
    /// Lets go of what has served its time.
    Retention,
    /// Folds the write-ahead log into the database file.
    Checkpoint,
    /// Copies the database into a folder.
    Backup,
    /// Imports schedule files that are dropped into a tenant's folder.
    ScheduleFolder,
    /// Makes files of a report.
    Report,
}

const KINDS: &[(&str, JobKind)] = &[
    ("audit-head", JobKind::AuditHead),
    ("retention", JobKind::Retention),
    ("checkpoint", JobKind::Checkpoint),
    ("backup", JobKind::Backup),
    ("schedule-folder", JobKind::ScheduleFolder),
    ("report", JobKind::Report),
];

impl JobKind {
    /// The name in the configuration, and the id of the job of this kind that is there by itself.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AuditHead => "audit-head",
            Self::Retention => "retention",
            Self::Checkpoint => "checkpoint",
            Self::Backup => "backup",
            Self::ScheduleFolder => "schedule-folder",
            Self::Report => "report",
        }
    }

    /// When it is due unless the configuration says otherwise.
    const fn usual_cron(self) -> &'static str {
        match self {
            Self::AuditHead | Self::Checkpoint => "*/5 * * * *",
            Self::Retention => "17 * * * *",
            Self::Backup => "30 2 * * *",
            Self::ScheduleFolder => "* * * * *",
            Self::Report => "15 1 * * *",
        }
    }

    /// There is one for each tenant.
    pub const fn is_per_tenant(self) -> bool {
        match self {
            Self::AuditHead | Self::ScheduleFolder | Self::Report => true,
            Self::Retention | Self::Checkpoint | Self::Backup => false,
        }
    }
}

/// One job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobSettings {
    /// Its id.
    pub id: JobId,
    /// What it does.
    pub kind: JobKind,
    /// For this tenant alone; for every tenant (or the daemon) where there is none.
    pub tenant: Option<TenantId>,
    /// When it is due.
    pub calendar: Calendar,
    /// What becomes of due instants that passed while it could not run.
    pub catch_up: CatchUp,
    /// The longest that it may take, in real time.
    pub time_limit_real: Duration,
    /// False switches it off.
    pub enabled: bool,
    /// Where copies go; relative to the working directory.
    pub folder: Option<PathBuf>,
    /// How many copies are kept.
    pub keep: usize,
    /// For a report: which, and how.
    pub report: ReportOrder,
}

/// How long things are kept, in days.
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
            |name, about, default: u32| section.value(reloads(name, about), &kind::integer(1..=36_500_u32), default);
        Self {
            history_days: days(
                "history_days",
                "Days that state history, transitions and their attempts are kept after they ended, figures of skills and \
                 queues, and results of analytics.",
                400,
            ),
            audit_days: days(
                "audit_days",
                "Days that audit entries are kept; they go only below a signed head that has left the host.",
                1461,
            ),
            deliveries_days: days("deliveries_days", "Days that events and their deliveries are kept.", 30),
            job_runs_days: days("job_runs_days", "Days that runs of jobs are kept.", 30),
        }
    }
}

/// All jobs: those of the file, then those that are there by themselves.
pub(super) fn read(section: &mut Section<'_, '_>, tenants: &[Tenant]) -> Vec<JobSettings> {
    let mut jobs = section.tables("jobs", |section| JobSettings::read(section, tenants));
    for (name, kind) in KINDS {
        if !jobs.iter().any(|job| job.id.as_str() == *name) {
            jobs.extend(JobSettings::usual(*kind));
        }
    }
    jobs
}

impl JobSettings {
    /// The job of a kind that is there by itself; copies need a folder first.
    fn usual(kind: JobKind) -> Option<Self> {
        Some(Self {
            id: JobId::new(kind.name()),
            kind,
            tenant: None,
            calendar: Calendar::new(Pattern::parse(kind.usual_cron()).ok()?, TimeZone::UTC),
            catch_up: CatchUp::Once,
            time_limit_real: TIME_LIMIT,
            enabled: kind != JobKind::Backup,
            folder: None,
            keep: COPIES,
            report: ReportOrder::default(),
        })
    }

    fn read(section: &mut Section<'_, '_>, tenants: &[Tenant]) -> Option<Self> {
        let id: Option<JobId> = section.required(
            reloads("id", "Names the job. The name of a kind changes the job of that kind that is there by itself."),
            &kind::id(),
        );
        let kind = read_kind(section, id.as_ref());
        let tenant = read_tenant(section, kind, tenants);
        let cron = section.optional(
            reloads(
                "cron",
                "When it is due, by the zone's clock: minute, hour, day of month, month, day of week. By default as the kind has it.",
            ),
            &cron(),
        );
        let zone =
            section.value(reloads("zone", "The IANA time zone that cron is in."), &kind::zone(), "UTC".to_owned());
        let catch_up = section.value(
            reloads(
                "catch_up",
                "What becomes of due times that passed while the daemon was down: it runs once for all of them (once), or not (skip).",
            ),
            &kind::choice(&[("once", CatchUp::Once), ("skip", CatchUp::Skip)]),
            CatchUp::Once,
        );
        let time_limit_real = section.value(
            reloads("time_limit", "A run that takes longer, in real time, is stopped and counts as failed."),
            &kind::duration(Duration::from_secs(1)..=Duration::from_secs(24 * 3600)),
            TIME_LIMIT,
        );
        let enabled = section.value(reloads("enabled", "False switches the job off."), &kind::boolean(), true);
        let (folder, keep) = read_copies(section, kind, enabled);
        let report = report::read(section, kind);
        let (id, kind) = (id?, kind?);
        let pattern = cron.or_else(|| Pattern::parse(kind.usual_cron()).ok())?;
        let calendar = Calendar::new(pattern, TimeZone::get(&zone).ok()?);
        Some(Self { id, kind, tenant, calendar, catch_up, time_limit_real, enabled, folder, keep, report })
    }
}

/// The longest that a run may take unless the configuration says otherwise.
const TIME_LIMIT: Duration = Duration::from_secs(3600);

/// Copies that are kept unless the configuration says otherwise.
const COPIES: usize = 7;

fn read_kind(section: &mut Section<'_, '_>, id: Option<&JobId>) -> Option<JobKind> {
    let key = reloads("kind", "What it does; may be left out where the id is a kind's name.");
    let named = section.optional(key, &kind::choice(KINDS));
    let by_id = id.and_then(|id| KINDS.iter().find(|(name, _)| *name == id.as_str())).map(|(_, kind)| *kind);
    match (named, by_id) {
        (Some(named), Some(by_id)) if named != by_id => {
            let fault = Fault::new("is not the kind that the id names");
            section.complain("kind", fault.advise("choose another id, or leave kind out"));
        }
        (None, None) if id.is_some() => {
            let words = KINDS.iter().map(|(name, _)| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
            section.complain("kind", Fault::new(Fault::MISSING).advise(format!("one of {words}")));
        }
        (Some(_) | None, Some(_) | None) => {}
    }
    named.or(by_id)
}

fn read_tenant(section: &mut Section<'_, '_>, kind: Option<JobKind>, tenants: &[Tenant]) -> Option<TenantId> {
    let about = "For this tenant alone, where the kind is one job for each: audit-head, schedule-folder and report.";
    let tenant: Option<TenantId> = section.optional(reloads("tenant", about), &kind::id());
    if tenant.as_ref().is_some_and(|id| tenants.iter().all(|tenant| tenant.id != *id)) {
        section.complain("tenant", Fault::new("names a tenant that is not configured"));
    }
    if tenant.is_some() && kind.is_some_and(|kind| !kind.is_per_tenant()) {
        section.complain("tenant", Fault::new("goes with kinds that have a job for each tenant").advise("remove it"));
    }
    tenant
}

fn read_copies(section: &mut Section<'_, '_>, kind: Option<JobKind>, enabled: bool) -> (Option<PathBuf>, usize) {
    let folder = section.optional(
        reloads(
            "folder",
            "For backup: the folder that copies go to. For report: a folder for its files that others look after, instead of the daemon's \
             own. Relative to the working directory.",
        ),
        &kind::text(),
    );
    let keep =
        section.value(reloads("keep", "For backup: how many copies are kept."), &kind::integer(1..=10_000), COPIES);
    match kind {
        Some(JobKind::Backup) if enabled && folder.is_none() => {
            section.complain("folder", Fault::new(Fault::MISSING).advise("name the folder that copies go to"));
        }
        Some(JobKind::AuditHead | JobKind::Retention | JobKind::Checkpoint | JobKind::ScheduleFolder)
            if folder.is_some() =>
        {
            let fault = Fault::new("is for jobs of kind backup and report");
            section.complain("folder", fault.advise("the folder that is watched is the tenant's schedule_folder"));
        }
        Some(_) | None => {}
    }
    (folder.map(PathBuf::from), keep)
}

pub(super) fn cron() -> Kind<Pattern> {
    let convert = |text: &str| {
        Pattern::parse(text).map_err(|fault| {
            let place = fault.position.map_or_else(String::new, |position| format!(" (at character {position} of it)"));
            Fault::new(format!("{}{place}", fault.what)).advise(fault.suggestion)
        })
    };
    Kind::from_text("cron text of five fields", convert, |pattern| format!("{:?}", pattern.as_str()))
}
