//! The options that reports share: time range, agents, format and target.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::cli::shared::scope::{one_tenant, usage_error};
use crate::config::Config;
use crate::domain::ids::{AgentId, TeamName, TenantId};
use crate::domain::time::UtcMicros;
use crate::report::compliance::ComplianceSpan;
use crate::report::export::file_name;
use crate::report::request::{Filters, ReportKind, Request};
use crate::report::writers::ReportFormat;

/// A date or an instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DateOrInstant {
    /// Midnight at the start of the date, in the report's zone.
    Day(Date),
    /// The instant.
    At(UtcMicros),
}

impl DateOrInstant {
    /// Parses a date or an instant.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Ok(at) = text.parse() {
            return Ok(Self::At(at));
        }
        // Parse the date alone first, for an error about the date. jiff would also take the date of an instant, and
        // an instant without a zone is not valid.
        let day = text.split_once(['T', ' ']).map_or(text, |(day, _)| day);
        match (day.parse(), has_date_shape(day)) {
            (Ok(read), _) if day == text => Ok(Self::Day(read)),
            (Err(_), true) => Err(format!("there is no such day as {day}")),
            (Ok(_) | Err(_), _) => {
                Err("write a date or an instant, such as 2026-10-26 or 2026-10-26T08:00:00Z".to_owned())
            }
        }
    }

    /// Returns the instant in a zone.
    pub fn in_zone(self, zone: &TimeZone) -> UtcMicros {
        match self {
            Self::At(at) => at,
            Self::Day(day) => day.to_zoned(zone.clone()).map_or(UtcMicros::MAX, |at| at.timestamp().into()),
        }
    }
}

/// Options for agents and time range.
#[derive(clap::Args, Clone, Debug)]
pub struct PeriodArgs {
    /// The tenant. Optional if there is only one.
    #[arg(long, value_name = "ID")]
    pub tenant: Option<TenantId>,
    /// From this date or instant. The default is the beginning of the data.
    #[arg(long, value_name = "WHEN", value_parser = DateOrInstant::parse)]
    pub from: Option<DateOrInstant>,
    /// Before this date or instant. The default is now.
    #[arg(long, value_name = "WHEN", value_parser = DateOrInstant::parse)]
    pub to: Option<DateOrInstant>,
    /// The time zone of dates and of the instants shown.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub zone: String,
}

/// Options for the agents to include.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct AgentFilterArgs {
    /// Only agents of this team. May be given more than once.
    #[arg(long, value_name = "NAME")]
    pub team: Vec<TeamName>,
    /// Only this agent. May be given more than once.
    #[arg(long, value_name = "ID")]
    pub agent: Vec<AgentId>,
}

impl AgentFilterArgs {
    /// Returns the filters of the options.
    pub fn filters(&self) -> Filters {
        Filters { teams: self.team.clone(), agents: self.agent.clone(), ..Filters::default() }
    }

    /// Returns whether no agent filter is set.
    pub const fn is_everybody(&self) -> bool {
        self.team.is_empty() && self.agent.is_empty()
    }
}

/// Options for the output file.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct TargetArgs {
    /// The file format. Not needed if the name of --out shows it.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<OutputFormat>,
    /// Write to this file, with a manifest beside it. An existing file is replaced.
    #[arg(long, value_name = "FILE", conflicts_with = "folder")]
    pub out: Option<PathBuf>,
    /// Write to this folder, with a name made of report, tenant and time range, and a manifest beside it.
    #[arg(long, value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// For formats with one section: the section. The default is the most detailed one.
    #[arg(long, value_name = "NAME")]
    pub section: Option<String>,
}

/// Returns whether a text has the form `2026-10-26`.
fn has_date_shape(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let digits = |part: &&str, long: usize| part.len() == long && part.bytes().all(|byte| byte.is_ascii_digit());
    matches!(parts.as_slice(), [year, month, day] if digits(year, 4) && digits(month, 2) && digits(day, 2))
}

/// The file format of a report.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum OutputFormat {
    /// A table for the terminal.
    Table,
    /// One section as comma-separated values.
    Csv,
    /// The whole report as one JSON document.
    Json,
    /// The whole report as an Excel workbook.
    Xlsx,
    /// The whole report as a web page, also for printing.
    Html,
    /// One section as an Apache Parquet file.
    #[cfg_attr(not(feature = "parquet"), value(hide = true))]
    Parquet,
}

impl OutputFormat {
    const fn format(self) -> Option<ReportFormat> {
        match self {
            Self::Table => None,
            Self::Csv => Some(ReportFormat::Csv),
            Self::Json => Some(ReportFormat::Json),
            Self::Xlsx => Some(ReportFormat::Xlsx),
            Self::Html => Some(ReportFormat::Html),
            Self::Parquet => Some(ReportFormat::Parquet),
        }
    }
}

impl TargetArgs {
    /// Returns whether neither target nor format is set.
    pub const fn is_unset(&self) -> bool {
        self.format.is_none() && self.out.is_none() && self.folder.is_none() && self.section.is_none()
    }

    /// Returns the format of the file or the output, or `None` for a table.
    pub(super) fn format(&self) -> anyhow::Result<Option<ReportFormat>> {
        let ending = self.out.as_deref().and_then(Path::extension).and_then(OsStr::to_str);
        let by_name = ending.and_then(|ending| ending.to_ascii_lowercase().parse().ok());
        let format = match self.format {
            Some(form) => form.format(),
            None => by_name,
        };
        if let Some(why) = format.and_then(ReportFormat::unavailable_reason) {
            return Err(usage_error(why));
        }
        let is_file = self.out.is_some() || self.folder.is_some();
        match (format, self.format) {
            (None, Some(OutputFormat::Table)) if is_file => Err(usage_error(
                "a table goes to the terminal: leave --out and --folder out, or name another --format".to_owned(),
            )),
            (None, None) if is_file => {
                let formats = ReportFormat::ALL.map(ReportFormat::name).join(", ");
                Err(usage_error(format!("say how to write the file with --format, which takes {formats}")))
            }
            (Some(format @ (ReportFormat::Xlsx | ReportFormat::Html | ReportFormat::Parquet)), _) if !is_file => {
                Err(usage_error(format!("{format} is a file: name it with --out FILE or --folder DIR")))
            }
            (format, _) => Ok(format),
        }
    }

    /// Returns the path of the file.
    pub(super) fn file_path(
        &self,
        request: &Request,
        section: Option<&str>,
        format: ReportFormat,
        now: UtcMicros,
    ) -> Option<PathBuf> {
        let named = |folder: &PathBuf| folder.join(file_name(request, section, format, now));
        self.out.clone().or_else(|| self.folder.as_ref().map(named))
    }
}

/// The output format of a report.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ReportOutput {
    /// A table.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// The log, one line per state change.
    Csv,
}

/// Returns the time zone of `--zone`.
pub(super) fn zone(name: &str) -> anyhow::Result<TimeZone> {
    TimeZoneDatabase::bundled()
        .get(name)
        .map_err(|_| usage_error(format!("--zone: there is no time zone {name:?}; write one such as Europe/Berlin")))
}

/// Checks that a report begins in the past and before its end.
pub(super) fn check_order(span: ComplianceSpan, now: UtcMicros) -> anyhow::Result<()> {
    match (span.from, span.to) {
        (Some(from), _) if from >= now => {
            Err(usage_error(format!("--from {from:.0} lies ahead: now it is {now:.0}, and a report is of what was")))
        }
        (Some(from), Some(to)) if from >= to => {
            Err(usage_error(format!("--from {from} does not lie before --to {to}")))
        }
        _ => Ok(()),
    }
}

/// Builds a request for a tenant of the configuration.
pub fn build_request(
    config: &Config,
    report: ReportKind,
    period: &PeriodArgs,
    filters: Filters,
    now: UtcMicros,
) -> anyhow::Result<Request> {
    let tenant = one_tenant(config, period.tenant.as_ref())?.id.clone();
    let mut request = Request { zone: period.zone.clone(), filters, ..Request::whole_tenant(report, tenant, now) };
    request.check().map_err(usage_error)?;
    let zone = request.time_zone();
    request.from = period.from.map(|from| from.in_zone(&zone));
    request.to = period.to.map_or(now, |to| to.in_zone(&zone));
    check_order(ComplianceSpan { from: request.from, to: Some(request.to) }, now)?;
    request.check().map_err(usage_error)?;
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_that_there_is_not_is_called_so() {
        let refused = |text: &str| DateOrInstant::parse(text).expect_err("refused");
        for text in ["2026-11-31", "2026-11-31T08:00:00Z", "2026-13-01"] {
            let day = text.split('T').next().unwrap_or_default();
            assert_eq!(refused(text), format!("there is no such day as {day}"));
        }
        for text in ["yesterday", "2026-11", "31-11-2026", "2026-11-30T25:00:00Z", "2026-11-30T08:00:00"] {
            assert!(refused(text).starts_with("write a date or an instant"), "{text}: {}", refused(text));
        }
        assert!(DateOrInstant::parse("2026-11-30").is_ok() && DateOrInstant::parse("2026-11-30T08:00:00Z").is_ok());
    }

    #[test]
    fn a_span_that_lies_ahead_is_refused_with_the_present_instant() {
        let at = |text: &str| Some(text.parse::<UtcMicros>().expect("an instant"));
        let now = at("2026-11-23T08:00:00Z").expect("now");
        let refused =
            |from, to| check_order(ComplianceSpan { from: at(from), to }, now).map_err(|error| error.to_string());
        let said =
            "--from 2030-01-01T00:00:00Z lies ahead: now it is 2026-11-23T08:00:00Z, and a report is of what was";
        assert_eq!(refused("2030-01-01T00:00:00Z", None), Err(said.to_owned()));
        let said = "--from 2026-11-02T00:00:00Z does not lie before --to 2026-11-01T00:00:00Z";
        assert_eq!(refused("2026-11-02T00:00:00Z", at("2026-11-01T00:00:00Z")), Err(said.to_owned()));
        assert_eq!(refused("2026-11-02T00:00:00Z", None), Ok(()));
    }
}
