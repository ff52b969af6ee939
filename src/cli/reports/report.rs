//! `shiftkeeper report`: prints reports over the store or writes them to files, and verifies such files. It only
//! reads; long logs are written page by page.

mod adherence;
mod compliance;
mod files;
mod options;
mod table;
mod trend;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli::shared::config_args::ConfigArgs;
use crate::cli::shared::output::Output;
use crate::report::request::ReportKind;

/// Subcommands of `report`.
#[derive(clap::Subcommand, Debug)]
pub enum ReportCommand {
    /// State changes, policy violations, and platform latency.
    Compliance(compliance::ComplianceArgs),
    /// Trend of a figure of a skill or queue, with anomalies.
    Trend(trend::TrendArgs),
    /// Adherence, conformance, occupancy and related figures, by agent and day.
    Adherence(adherence::AdherenceArgs),
    /// Planned and actual time, segment by segment, to the microsecond.
    #[command(after_help = "All other figures are computed from these rows.

Examples:
  shiftkeeper report segments --from 2026-10-26 --to 2026-10-27 --agent u_0001 --output json
  shiftkeeper report segments --from 2026-10-26 --to 2026-11-02 --team 'Team B' --out segments.csv")]
    Segments(adherence::DocumentArgs),
    /// Not-ready time by state and reason code.
    #[command(after_help = "Not ready is time in NotReady, Paused or Idle.

Examples:
  shiftkeeper report not-ready --from 2026-10-26 --to 2026-11-02
  shiftkeeper report not-ready --from 2026-10-26 --to 2026-11-02 --team 'Team B' --format csv")]
    NotReady(adherence::DocumentArgs),
    /// Mandatory breaks, planned against taken.
    #[command(after_help = "A break is taken in one go; its minutes are never rounded.

Examples:
  shiftkeeper report breaks --from 2026-10-26 --to 2026-11-02
  shiftkeeper report breaks --from 2026-10-26 --to 2026-11-02 --format html --folder reports")]
    Breaks(adherence::DocumentArgs),
    /// Verify a report file against its manifest, the audit chain, the store, and its own rows.
    Verify(VerifyArgs),
}

/// Options of `report verify`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "The manifest must be next to the file. Exit code 4 means that something differs; the first line says where.

Examples:
  shiftkeeper report verify compliance-acme-20261026-20261101.csv
  shiftkeeper report verify november.xlsx --output json"
)]
pub struct VerifyArgs {
    /// Options for the configuration, which names the store.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The report file.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// Runs a subcommand.
pub async fn run(command: ReportCommand) -> anyhow::Result<ExitCode> {
    match command {
        ReportCommand::Compliance(args) => compliance::run(args).await,
        ReportCommand::Trend(args) => trend::run(args).await,
        ReportCommand::Adherence(args) => adherence::adherence(args).await,
        ReportCommand::Segments(args) => adherence::make_without_variant(&args, ReportKind::Segments).await,
        ReportCommand::NotReady(args) => adherence::make_without_variant(&args, ReportKind::NotReady).await,
        ReportCommand::Breaks(args) => adherence::make_without_variant(&args, ReportKind::Breaks).await,
        ReportCommand::Verify(args) => {
            let loaded = args.config.load_for_command()?;
            files::verify(&loaded.config, &args.file, args.output == Output::Json).await
        }
    }
}
