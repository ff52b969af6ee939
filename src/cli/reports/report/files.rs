//! Makes reports, in files or on standard output, and verifies files.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use super::options::TargetArgs;
use super::table::TerminalTable;
use crate::app::clock_for;
use crate::cli::shared::exit::{CommandFailure, Exit};
use crate::cli::shared::messages::print_message;
use crate::cli::shared::output::{pipe_status, print, print_json};
use crate::cli::shared::scope::{open_reader, usage_error};
use crate::config::Config;
use crate::domain::time::UtcMicros;
use crate::domain::wording::count_with_noun;
use crate::report::document::{Heading, ReportError, WriteError};
use crate::report::export::{ExportError, ExportRequest, export, fill, section_of};
use crate::report::manifest::{Manifest, path_for};
use crate::report::request::Request;
use crate::report::tally::Progress;
use crate::report::writers::csv::Csv;
use crate::report::writers::json::Json;
use crate::report::writers::{ReportFormat, Writer};
use crate::store::Reader;

/// The largest file, in bytes: files requested in a terminal are limited only by the disk.
const MAX_BYTES: u64 = u64::MAX;

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
            anyhow::Error::from(error).context(format!("the folder {} cannot be created", folder.display()))
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

/// Returns the exit code after printing a report.
pub(super) fn exit_after_write(written: anyhow::Result<()>) -> anyhow::Result<ExitCode> {
    match written.map_err(anyhow::Error::downcast::<io::Error>) {
        Ok(()) => {}
        Err(Ok(error)) => drop(pipe_status(Err(error))?),
        Err(Err(other)) => return Err(other),
    }
    Ok(Exit::Done.into())
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
        print_json(&verdict)?;
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
