//! The kinds of scheduled jobs.

/// The kind of a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JobKind {
    /// Signs the head of each tenant's audit chain and sends it out.
    AuditHead,
    /// Deletes data that has reached its retention limit.
    Retention,
    /// Writes the write-ahead log into the database file.
    Checkpoint,
    /// Copies the database into a folder.
    Backup,
    /// Imports the schedule files dropped into a tenant's folder.
    ScheduleFolder,
    /// Reads the schedules of a tenant's agents from its platform.
    PlatformSchedules,
    /// Makes the files of a report.
    Report,
}

impl JobKind {
    pub(super) const ALL: [Self; 7] = [
        Self::AuditHead,
        Self::Retention,
        Self::Checkpoint,
        Self::Backup,
        Self::ScheduleFolder,
        Self::PlatformSchedules,
        Self::Report,
    ];

    /// Returns the name in the configuration, which is also the id of the default job of this kind.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AuditHead => "audit-head",
            Self::Retention => "retention",
            Self::Checkpoint => "checkpoint",
            Self::Backup => "backup",
            Self::ScheduleFolder => "schedule-folder",
            Self::PlatformSchedules => "platform-schedules",
            Self::Report => "report",
        }
    }

    /// Returns the default time expression.
    pub(super) const fn default_cron(self) -> &'static str {
        match self {
            Self::AuditHead | Self::Checkpoint => "*/5 * * * *",
            Self::Retention => "17 * * * *",
            Self::Backup => "30 2 * * *",
            Self::ScheduleFolder => "* * * * *",
            Self::PlatformSchedules => "45 0 * * *",
            Self::Report => "15 1 * * *",
        }
    }

    /// Returns whether there is one job for each tenant.
    pub const fn is_per_tenant(self) -> bool {
        match self {
            Self::AuditHead | Self::ScheduleFolder | Self::PlatformSchedules | Self::Report => true,
            Self::Retention | Self::Checkpoint | Self::Backup => false,
        }
    }
}
