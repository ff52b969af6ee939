//! Whom a report is of and where it goes: the options that all reports share, and the making of files.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::table::Table;
use super::{Span, check_order, ended};
use crate::app::clock_of;
use crate::cli::shared::exit::Exit;
use crate::cli::shared::output::print;
use crate::cli::shared::scope::{one_tenant, open_reader, usage};
use crate::cli::shared::talk::{Failure, say};
use crate::config::Config;
use crate::domain::ids::{AgentId, TeamName, TenantId};
use crate::domain::time::UtcMicros;
use crate::domain::words::count;
use crate::report::document::{Heading, ReportError, WriteError};
use crate::report::export::{ExportError, Wanted, export, file_name, fill, section_of};
use crate::report::manifest::{Manifest, beside};
use crate::report::request::{Filters, Kind, Request};
use crate::report::tally::Progress;
use crate::report::writers::csv::Csv;
use crate::report::writers::json::Json;
use crate::report::writers::{Format, Writer};
use crate::store::Reader;

/// Files that a person asks for at a terminal have no other bound than the disk.
const MOST_BYTES: u64 = u64::MAX;

/// A date, or an instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// Its midnight, in the report's zone.
    Day(Date),
    /// The instant.
    At(UtcMicros),
}

impl When {
    /// Reads one.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Ok(at) = text.parse() {
            return Ok(Self::At(at));
        }
        // A day alone says what is wrong with the day; jiff takes one from an instant too, and without a zone that is none.
        let day = text.split_once(['T', ' ']).map_or(text, |(day, _)| day);
        match (day.parse(), is_written_as_a_day(day)) {
            (Ok(read), _) if day == text => Ok(Self::Day(read)),
            (Err(_), true) => Err(format!("there is no such day as {day}")),
            (Ok(_) | Err(_), _) => {
                Err("write a date or an instant, such as 2026-10-26 or 2026-10-26T08:00:00Z".to_owned())
            }
        }
    }

    /// The instant that it is in a zone.
    pub fn in_zone(self, zone: &TimeZone) -> UtcMicros {
        match self {
            Self::At(at) => at,
            Self::Day(day) => day.to_zoned(zone.clone()).map_or(UtcMicros::MAX, |at| at.timestamp().into()),
        }
    }
}

/// Of whom and of when.
#[derive(clap::Args, Clone, Debug)]
pub struct Subject {
    /// The tenant; may be left out where there is only one.
    #[arg(long, value_name = "ID")]
    pub tenant: Option<TenantId>,
    /// From this date or instant on; from the beginning without it.
    #[arg(long, value_name = "WHEN", value_parser = When::parse)]
    pub from: Option<When>,
    /// Before this date or instant; up to now without it.
    #[arg(long, value_name = "WHEN", value_parser = When::parse)]
    pub to: Option<When>,
    /// The time zone that dates begin in and that instants are shown in.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub zone: String,
}

/// Of which agents.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Whose {
    /// Only agents of this team; may be given more than once.
    #[arg(long, value_name = "NAME")]
    pub team: Vec<TeamName>,
    /// Only this agent; may be given more than once.
    #[arg(long, value_name = "ID")]
    pub agent: Vec<AgentId>,
}

impl Whose {
    /// The filters that it makes.
    pub fn filters(&self) -> Filters {
        Filters { teams: self.team.clone(), agents: self.agent.clone(), ..Filters::default() }
    }

    /// No agent is named.
    pub const fn is_everybody(&self) -> bool {
        self.team.is_empty() && self.agent.is_empty()
    }
}

/// Where a report goes.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Target {
    /// How to write it; may be left out where the name of --out says it.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<Form>,
    /// Write it to this file, with a manifest beside it; what is there is replaced.
    #[arg(long, value_name = "FILE", conflicts_with = "folder")]
    pub out: Option<PathBuf>,
    /// Write it to this folder, under a name that says report, tenant and span, with a manifest beside it.
    #[arg(long, value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// For a format that holds one: the section; without it the rows that all the others can be counted from.
    #[arg(long, value_name = "NAME")]
    pub section: Option<String>,
}

/// Whether a text has the shape `2026-10-26`.
fn is_written_as_a_day(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let digits = |part: &&str, long: usize| part.len() == long && part.bytes().all(|byte| byte.is_ascii_digit());
    matches!(parts.as_slice(), [year, month, day] if digits(year, 4) && digits(month, 2) && digits(day, 2))
}

/// How a report is written.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// For people, at a terminal.
    Table,
    /// One section as comma-separated values.
    Csv,
    /// All of it as one JSON document.
    Json,
    /// All of it as a workbook.
    Xlsx,
    /// All of it as a page to look at and to print.
    Html,
    /// One section as typed columns.
    #[cfg_attr(not(feature = "parquet"), value(hide = true))]
    Parquet,
}

impl Form {
    const fn format(self) -> Option<Format> {
        match self {
            Self::Table => None,
            Self::Csv => Some(Format::Csv),
            Self::Json => Some(Format::Json),
            Self::Xlsx => Some(Format::Xlsx),
            Self::Html => Some(Format::Html),
            Self::Parquet => Some(Format::Parquet),
        }
    }
}

impl Target {
    /// Nobody said where it goes or how it is written.
    pub const fn is_unsaid(&self) -> bool {
        self.format.is_none() && self.out.is_none() && self.folder.is_none() && self.section.is_none()
    }

    /// The format of the file, where it is to be one or to be printed as one; none for a table.
    fn format(&self) -> anyhow::Result<Option<Format>> {
        let ending = self.out.as_deref().and_then(Path::extension).and_then(OsStr::to_str);
        let by_name = ending.and_then(|ending| ending.to_ascii_lowercase().parse().ok());
        let format = match self.format {
            Some(form) => form.format(),
            None => by_name,
        };
        if let Some(why) = format.and_then(Format::missing) {
            return Err(usage(why));
        }
        let is_file = self.out.is_some() || self.folder.is_some();
        match (format, self.format) {
            (None, Some(Form::Table)) if is_file => Err(usage(
                "a table goes to the terminal: leave --out and --folder out, or name another --format".to_owned(),
            )),
            (None, None) if is_file => {
                let formats = Format::ALL.map(Format::name).join(", ");
                Err(usage(format!("say how to write the file with --format, which takes {formats}")))
            }
            (Some(format @ (Format::Xlsx | Format::Html | Format::Parquet)), _) if !is_file => {
                Err(usage(format!("{format} is a file: name it with --out FILE or --folder DIR")))
            }
            (format, _) => Ok(format),
        }
    }

    /// The file's place.
    fn place(&self, request: &Request, section: Option<&str>, format: Format, now: UtcMicros) -> Option<PathBuf> {
        let named = |folder: &PathBuf| folder.join(file_name(request, section, format, now));
        self.out.clone().or_else(|| self.folder.as_ref().map(named))
    }
}

/// What is asked for, of a tenant of the configuration.
pub fn request(
    config: &Config,
    report: Kind,
    subject: &Subject,
    filters: Filters,
    now: UtcMicros,
) -> anyhow::Result<Request> {
    let tenant = one_tenant(config, subject.tenant.as_ref())?.id.clone();
    let mut request = Request { zone: subject.zone.clone(), filters, ..Request::whole(report, tenant, now) };
    request.check().map_err(usage)?;
    let zone = request.time_zone();
    request.from = subject.from.map(|from| from.in_zone(&zone));
    request.to = subject.to.map_or(now, |to| to.in_zone(&zone));
    check_order(Span { from: request.from, to: Some(request.to) }, now)?;
    request.check().map_err(usage)?;
    Ok(request)
}

/// Makes the report that `asked` asks for at this instant, and lets it go where it goes.
pub async fn make(
    config: &Config,
    target: &Target,
    asked: impl FnOnce(UtcMicros) -> anyhow::Result<Request>,
) -> anyhow::Result<ExitCode> {
    let format = target.format()?;
    let now = clock_of(config).await.now();
    let request = asked(now)?;
    let section = match format {
        Some(format) => section_of(request.report, format, target.section.as_deref()).map_err(refused)?,
        None => None,
    };
    if let Some(folder) = &target.folder {
        std::fs::create_dir_all(folder).map_err(|error| {
            anyhow::Error::from(error).context(format!("the folder {} cannot be made", folder.display()))
        })?;
    }
    let reader = open_reader(config).await?;
    let place = format.and_then(|format| Some((format, target.place(&request, section.as_deref(), format, now)?)));
    let made = match place {
        Some((format, target)) => {
            let wanted = Wanted { request, format, section, target, most_bytes: MOST_BYTES };
            to_file(&reader, &wanted, now).await.map(|()| Exit::Done.into())
        }
        None => ended(to_output(&reader, request, format, section.as_deref(), now).await),
    };
    reader.close().await;
    made
}

async fn to_file(reader: &Reader, wanted: &Wanted, now: UtcMicros) -> anyhow::Result<()> {
    let manifest = export(reader, wanted, now, &Progress::default()).await.map_err(not_made)?;
    print(told(&wanted.target, &manifest))
}

/// A line about a file that was made.
pub fn told(place: &Path, manifest: &Manifest) -> String {
    let rows = count(manifest.rows(), "row");
    format!("{}  {rows}, {} bytes, SHA-256 {}", place.display(), manifest.file.bytes, manifest.file.sha256)
}

async fn to_output(
    reader: &Reader,
    request: Request,
    format: Option<Format>,
    section: Option<&str>,
    now: UtcMicros,
) -> anyhow::Result<()> {
    let heading = Heading::read(reader, request, now).await.map_err(refused)?;
    let out = io::BufWriter::new(io::stdout());
    let mut writer: Box<dyn Writer> = match format {
        Some(Format::Csv) => Box::new(Csv::new(&heading, out)),
        Some(Format::Json) => Box::new(Json::new(&heading, out).map_err(|error| refused(error.into()))?),
        Some(Format::Xlsx | Format::Html | Format::Parquet) | None => {
            Box::new(Table::new(&heading, out, line_of_terminal()))
        }
    };
    fill(reader, &heading.request, section, &mut *writer, &Progress::default()).await.map_err(refused)?;
    Ok(())
}

/// None where what is printed goes elsewhere.
fn line_of_terminal() -> Option<usize> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0))
}

/// As the command ends for it.
fn refused(error: ReportError) -> anyhow::Error {
    match error {
        ReportError::Refused(why) => usage(why),
        ReportError::Write(WriteError::Io(error)) => error.into(),
        other @ (ReportError::Read(_) | ReportError::Write(WriteError::CalledOff | WriteError::TooLarge { .. })) => {
            other.into()
        }
    }
}

fn not_made(error: ExportError) -> anyhow::Error {
    match error {
        ExportError::Report(error) => refused(error),
        other @ ExportError::File { .. } => other.into(),
    }
}

/// Checks a file that was made; see [`crate::report::verify`].
pub async fn verify(config: &Config, file: &Path, as_json: bool) -> anyhow::Result<ExitCode> {
    use crate::report::verify::{Outcome, VerifyError, verify};
    let reader = open_reader(config).await?;
    let verdict = verify(&reader, file).await;
    reader.close().await;
    let verdict = verdict.map_err(|error| match error {
        VerifyError::File { .. } => Failure::because(Exit::Failed, error.to_string()),
        VerifyError::Store(_) => error.into(),
    })?;
    if as_json {
        crate::cli::shared::output::print_json(&verdict)?;
    } else {
        let mut text = String::new();
        for check in &verdict.checks {
            let word = match check.outcome {
                Outcome::Holds => "holds",
                Outcome::Differs => "DIFFERS",
                Outcome::Unknown => "unknown",
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
    say(format!(
        "{} or its manifest {} is not what was written, or the store is not what it was",
        file.display(),
        beside(file).display()
    ));
    Ok(Exit::Problems.into())
}
