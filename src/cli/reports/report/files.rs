//! The agents and targets of reports: the options that all reports share, and the writing of files.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::table::TerminalTable;
use super::{ComplianceSpan, check_order, exit_after_write};
use crate::app::clock_for;
use crate::cli::shared::exit::Exit;
use crate::cli::shared::messages::{CommandFailure, print_message};
use crate::cli::shared::output::print;
use crate::cli::shared::scope::{one_tenant, open_reader, usage_error};
use crate::config::Config;
use crate::domain::ids::{AgentId, TeamName, TenantId};
use crate::domain::time::UtcMicros;
use crate::domain::wording::count_with_noun;
use crate::report::document::{Heading, ReportError, WriteError};
use crate::report::export::{ExportError, ExportRequest, export, file_name, fill, section_of};
use crate::report::manifest::{Manifest, path_for};
use crate::report::request::{Filters, ReportKind, Request};
use crate::report::tally::Progress;
use crate::report::writers::csv::Csv;
use crate::report::writers::json::Json;
use crate::report::writers::{ReportFormat, Writer};
use crate::store::Reader;

/// The largest file, in bytes: files requested in a terminal are limited only by the disk.
const MAX_BYTES: u64 = u64::MAX;

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
    fn format(&self) -> anyhow::Result<Option<ReportFormat>> {
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
    fn file_path(
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

/// Makes the report that `build` requests at this instant, and writes it to its target.
pub async fn make_report(
    config: &Config,
    target: &TargetArgs,
    build: impl FnOnce(UtcMicros) -> anyhow::Result<Request>,
) -> anyhow::Result<ExitCode> {
    let format = target.format()?;
    let now = clock_for(config).await.now();
    let request = build(now)?;
    let section = match format {
        Some(format) => section_of(request.report, format, target.section.as_deref()).map_err(report_error)?,
        None => None,
    };
    if let Some(folder) = &target.folder {
        std::fs::create_dir_all(folder).map_err(|error| {
            anyhow::Error::from(error).context(format!("the folder {} cannot be made", folder.display()))
        })?;
    }
    let reader = open_reader(config).await?;
    let destination =
        format.and_then(|format| Some((format, target.file_path(&request, section.as_deref(), format, now)?)));
    let result = match destination {
        Some((format, target)) => {
            let export_request = ExportRequest { request, format, section, target, max_bytes: MAX_BYTES };
            write_to_file(&reader, &export_request, now).await.map(|()| Exit::Done.into())
        }
        None => exit_after_write(print_to_stdout(&reader, request, format, section.as_deref(), now).await),
    };
    reader.close().await;
    result
}

async fn write_to_file(reader: &Reader, export_request: &ExportRequest, now: UtcMicros) -> anyhow::Result<()> {
    let manifest = export(reader, export_request, now, &Progress::default()).await.map_err(export_error)?;
    print(file_line(&export_request.target, &manifest))
}

/// Formats a line about a written file.
pub fn file_line(path: &Path, manifest: &Manifest) -> String {
    let rows = count_with_noun(manifest.rows(), "row");
    format!("{}  {rows}, {} bytes, SHA-256 {}", path.display(), manifest.file.bytes, manifest.file.sha256)
}

async fn print_to_stdout(
    reader: &Reader,
    request: Request,
    format: Option<ReportFormat>,
    section: Option<&str>,
    now: UtcMicros,
) -> anyhow::Result<()> {
    let heading = Heading::read(reader, request, now).await.map_err(report_error)?;
    let out = io::BufWriter::new(io::stdout());
    let mut writer: Box<dyn Writer> = match format {
        Some(ReportFormat::Csv) => Box::new(Csv::new(&heading, out)),
        Some(ReportFormat::Json) => Box::new(Json::new(&heading, out).map_err(|error| report_error(error.into()))?),
        Some(ReportFormat::Xlsx | ReportFormat::Html | ReportFormat::Parquet) | None => {
            Box::new(TerminalTable::new(&heading, out, terminal_width()))
        }
    };
    fill(reader, &heading.request, section, &mut *writer, &Progress::default()).await.map_err(report_error)?;
    Ok(())
}

/// Returns the width of the terminal, or `None` if the output goes elsewhere.
fn terminal_width() -> Option<usize> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0))
}

/// Converts a report error into one that ends the command.
fn report_error(error: ReportError) -> anyhow::Error {
    match error {
        ReportError::Refused(why) => usage_error(why),
        ReportError::Write(WriteError::Io(error)) => error.into(),
        other @ (ReportError::Read(_) | ReportError::Write(WriteError::Cancelled | WriteError::TooLarge { .. })) => {
            other.into()
        }
    }
}

fn export_error(error: ExportError) -> anyhow::Error {
    match error {
        ExportError::Report(error) => report_error(error),
        other @ ExportError::File { .. } => other.into(),
    }
}

/// Verifies a report file; see [`crate::report::verify`].
pub async fn verify(config: &Config, file: &Path, as_json: bool) -> anyhow::Result<ExitCode> {
    use crate::report::verify::{CheckOutcome, VerifyError, verify};
    let reader = open_reader(config).await?;
    let verdict = verify(&reader, file).await;
    reader.close().await;
    let verdict = verdict.map_err(|error| match error {
        VerifyError::File { .. } => CommandFailure::with_exit(Exit::Failed, error.to_string()),
        VerifyError::Store(_) => error.into(),
    })?;
    if as_json {
        crate::cli::shared::output::print_json(&verdict)?;
    } else {
        let mut text = String::new();
        for check in &verdict.checks {
            let word = match check.outcome {
                CheckOutcome::Holds => "holds",
                CheckOutcome::Differs => "DIFFERS",
                CheckOutcome::Unknown => "unknown",
            };
            for (place, says) in check.says.iter().enumerate() {
                let (what, word) = if place == 0 { (check.what, word) } else { ("", "") };
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{what:<11} {word:<8} {says}");
            }
        }
        print(text)?;
    }
    if verdict.holds {
        return Ok(Exit::Done.into());
    }
    print_message(format!(
        "{} or its manifest {} is not what was written, or the store is not what it was",
        file.display(),
        path_for(file).display()
    ));
    Ok(Exit::Problems.into())
}
