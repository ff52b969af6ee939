//! `shiftkeeper report adherence|segments|not-ready|breaks`: planned against actual.

use std::process::ExitCode;

use super::files;
use super::options::{AgentFilterArgs, OutputFormat, PeriodArgs, TargetArgs, build_request};
use crate::cli::shared::config_args::ConfigArgs;
use crate::cli::shared::output::Output;
use crate::cli::shared::scope::usage_error;
use crate::report::request::{ReportKind, Request};

/// Options of `report adherence`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "A day is the agent's own local day, where the schedule says the agent's zone, else one of --zone. Figures and variants
are explained in docs/reports.md and in the file itself.

Examples:
  shiftkeeper report adherence --from 2026-10-01 --to 2026-11-01 --zone Europe/Berlin --output json
  shiftkeeper report adherence --from 2026-10-26 --variant exceptions-outside --by team --format csv
  shiftkeeper report adherence --from 2026-10-26 --to 2026-11-02 --team 'Team B' --out care.xlsx"
)]
pub struct AdherenceArgs {
    /// Options that all reports have.
    #[command(flatten)]
    pub document: DocumentArgs,
    /// The adherence formula; the first by default.
    #[arg(long, value_name = "NAME", value_parser = variant)]
    pub variant: Option<String>,
    /// For CSV, which contains one section: one row per agent and day, per agent, or per team.
    #[arg(long, value_enum, conflicts_with = "section")]
    pub by: Option<AdherenceRows>,
}

/// Rows of the adherence report.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum AdherenceRows {
    /// One row per agent and day.
    Day,
    /// One row per agent.
    Agent,
    /// One row per team.
    Team,
}

impl AdherenceRows {
    const fn section(self) -> &'static str {
        match self {
            Self::Day => "days",
            Self::Agent => "agents",
            Self::Team => "teams",
        }
    }
}

/// Options that reports without a variant have.
#[derive(clap::Args, Debug)]
pub struct DocumentArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The time range.
    #[command(flatten)]
    pub period: PeriodArgs,
    /// The agents to include.
    #[command(flatten)]
    pub agent_filter: AgentFilterArgs,
    /// Options for the output file.
    #[command(flatten)]
    pub target: TargetArgs,
    /// The output format. --format offers more.
    #[arg(long, short, value_enum, conflicts_with_all = ["format", "out", "folder", "section"])]
    pub output: Option<Output>,
}

fn variant(text: &str) -> Result<String, String> {
    let known = ReportKind::Adherence.variants();
    if known.iter().any(|(name, _)| *name == text) {
        return Ok(text.to_owned());
    }
    let names: Vec<_> = known.iter().map(|(name, formula)| format!("{name} ({formula})")).collect();
    Err(format!("there are {}", names.join(", ")))
}

/// Makes the adherence report.
pub async fn adherence(mut args: AdherenceArgs) -> anyhow::Result<ExitCode> {
    if let Some(by) = args.by {
        args.document.target.section = Some(by.section().to_owned());
    }
    make_report(&args.document, ReportKind::Adherence, args.variant).await
}

/// Makes a report without variants.
pub async fn make_without_variant(args: &DocumentArgs, report: ReportKind) -> anyhow::Result<ExitCode> {
    make_report(args, report, None).await
}

async fn make_report(args: &DocumentArgs, report: ReportKind, variant: Option<String>) -> anyhow::Result<ExitCode> {
    let loaded = args.config.load_for_command()?;
    let mut target = args.target.clone();
    match args.output {
        Some(Output::Json) => target.format = Some(OutputFormat::Json),
        Some(Output::Table) => target.format = Some(OutputFormat::Table),
        None => {}
    }
    let build = |now| {
        let request = build_request(&loaded.config, report, &args.period, args.agent_filter.filters(), now)?;
        // The future is not unknown time, so leave it out.
        let request = Request { to: request.to.min(now), variant, ..request };
        request.check().map_err(usage_error)?;
        Ok(request)
    };
    files::make_report(&loaded.config, &target, build).await
}
