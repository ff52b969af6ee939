//! `shiftkeeper report`: prints reports over the store or writes them to files, and verifies such files. It only
//! reads; long logs are written page by page.

mod adherence;
mod files;
mod table;
mod trend;

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use comfy_table::{Table, presets};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde_json::{Value, json};

use self::files::{AgentFilterArgs, DateOrInstant, PeriodArgs, TargetArgs};
use crate::app::clock_for;
use crate::cli::shared::config_args::ConfigArgs;
use crate::cli::shared::exit::Exit;
use crate::cli::shared::output::{Output, pipe_status};
use crate::cli::shared::scope::{one_tenant, open_reader, usage_error};
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::report::compliance::{
    ComplianceSpan, ComplianceSummary, DEFINITIONS, LOG_COLUMNS, TransitionLog, TransitionLogLine,
};
use crate::report::csv_sheet::CsvSheet;
use crate::report::request::ReportKind;
use crate::store::Reader;

/// Subcommands of `report`.
#[derive(clap::Subcommand, Debug)]
pub enum ReportCommand {
    /// State changes, policy violations, and platform latency.
    Compliance(ComplianceArgs),
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
    #[command(after_help = "A break counts as taken only if it was taken in one piece. Its minutes are never rounded.

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

/// Options of `report compliance`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "The report covers changes requested at or after --from and before --to; a date means midnight in --zone.
A file gets a manifest next to it, which `shiftkeeper report verify` checks.

Examples:
  shiftkeeper report compliance
  shiftkeeper report compliance --tenant acme --from 2026-10-26 --to 2026-11-02 --output json
  shiftkeeper report compliance --from 2026-10-26T08:00:00Z --output csv > log.csv
  shiftkeeper report compliance --from 2026-10-26 --zone Europe/Rome --team 'Team B' --out care.xlsx
  shiftkeeper report compliance --format html --folder reports"
)]
pub struct ComplianceArgs {
    /// Options for the configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The time range.
    #[command(flatten)]
    pub period: PeriodArgs,
    /// The agents to include.
    #[command(flatten)]
    pub agent_filter: AgentFilterArgs,
    /// Options for the output file.
    #[command(flatten)]
    pub target: TargetArgs,
    /// The output format: figures as a table, figures and log as JSON, or the log as CSV.
    #[arg(long, short, value_enum, default_value_t, conflicts_with_all = ["format", "out", "folder", "section", "team", "agent"])]
    pub output: ReportOutput,
    /// Also print the log under the table. JSON and CSV always include it.
    #[arg(long)]
    pub logs: bool,
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

/// Runs a subcommand.
pub async fn run(command: ReportCommand) -> anyhow::Result<ExitCode> {
    match command {
        ReportCommand::Compliance(args) => compliance(args).await,
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

async fn compliance(args: ComplianceArgs) -> anyhow::Result<ExitCode> {
    let loaded = args.config.load_for_command()?;
    let config = &loaded.config;
    if !args.target.is_unset() || !args.agent_filter.is_everybody() {
        let build_request =
            |now| files::build_request(config, ReportKind::Compliance, &args.period, args.agent_filter.filters(), now);
        return files::make_report(config, &args.target, build_request).await;
    }
    let tenant = &one_tenant(config, args.period.tenant.as_ref())?.id;
    let span = args.span()?;
    check_order(span, clock_for(config).await.now())?;
    let reader = open_reader(&loaded.config).await?;
    let mut out = io::stdout();
    let written = write_report(&reader, tenant, span, &args, &mut out).await;
    reader.close().await;
    exit_after_write(written)
}

impl ComplianceArgs {
    fn span(&self) -> anyhow::Result<ComplianceSpan> {
        let zone = zone(&self.period.zone)?;
        let instant = |when: Option<DateOrInstant>| when.map(|when| when.in_zone(&zone));
        Ok(ComplianceSpan { from: instant(self.period.from), to: instant(self.period.to) })
    }
}

fn zone(name: &str) -> anyhow::Result<TimeZone> {
    TimeZoneDatabase::bundled()
        .get(name)
        .map_err(|_| usage_error(format!("--zone: there is no time zone {name:?}; write one such as Europe/Berlin")))
}

fn check_order(span: ComplianceSpan, now: UtcMicros) -> anyhow::Result<()> {
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

/// Returns the exit code after printing a report.
fn exit_after_write(written: anyhow::Result<()>) -> anyhow::Result<ExitCode> {
    match written.map_err(anyhow::Error::downcast::<io::Error>) {
        Ok(()) => {}
        Err(Ok(error)) => drop(pipe_status(Err(error))?),
        Err(Err(other)) => return Err(other),
    }
    Ok(Exit::Done.into())
}

async fn write_report(
    reader: &Reader,
    tenant: &TenantId,
    span: ComplianceSpan,
    args: &ComplianceArgs,
    out: &mut (impl Write + Send),
) -> anyhow::Result<()> {
    let mut log = TransitionLog::new(reader, tenant, span);
    match args.output {
        ReportOutput::Json => {
            write_json(&ComplianceSummary::read(reader, tenant, span).await?, tenant, span, &mut log, out).await
        }
        ReportOutput::Csv => write_csv(&mut log, out).await,
        ReportOutput::Table => {
            let figures = ComplianceSummary::read(reader, tenant, span).await?;
            out.write_all(figures_table(&figures, tenant, span).as_bytes())?;
            if args.logs {
                write_log_table(&mut log, out).await?;
            }
            Ok(out.flush()?)
        }
    }
}

/// Writes `{"tenant", "from", "to", "totalTransitions", …, "logs": [ … ]}`; the log is written as it is read.
async fn write_json(
    figures: &ComplianceSummary,
    tenant: &TenantId,
    span: ComplianceSpan,
    log: &mut TransitionLog,
    out: &mut (impl Write + Send),
) -> anyhow::Result<()> {
    let mut head = json!({ "tenant": tenant, "from": span.from, "to": span.to });
    if let (Some(head), Value::Object(figures)) = (head.as_object_mut(), json!(figures)) {
        head.extend(figures);
    }
    let head = head.to_string();
    // Remove only one brace, since the last figure may end with one too.
    write!(out, "{},\"logs\":[", head.strip_suffix('}').unwrap_or(&head))?;
    let mut first = true;
    loop {
        let page = log.next_page().await?;
        if page.is_empty() {
            break;
        }
        let mut text = String::new();
        for line in &page {
            if !std::mem::take(&mut first) {
                text.push(',');
            }
            text.push_str(&serde_json::to_string(line)?);
        }
        out.write_all(text.as_bytes())?;
    }
    out.write_all(b"]}\n")?;
    Ok(out.flush()?)
}

async fn write_csv(log: &mut TransitionLog, out: &mut (impl Write + Send)) -> anyhow::Result<()> {
    let mut sheet = CsvSheet::default();
    sheet.write_row(LOG_COLUMNS)?;
    loop {
        out.write_all(&std::mem::take(&mut sheet).finish()?)?;
        let page = log.next_page().await?;
        if page.is_empty() {
            return Ok(out.flush()?);
        }
        for line in &page {
            sheet.write_row(line.cells().iter().map(String::as_str))?;
        }
    }
}

fn plain_table() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table
}

fn figures_table(figures: &ComplianceSummary, tenant: &TenantId, span: ComplianceSpan) -> String {
    let bound = |instant: Option<UtcMicros>, open: &str| instant.map_or_else(|| open.to_owned(), |at| at.to_string());
    let mut rows = plain_table();
    rows.add_row(["totalTransitions", &figures.total_transitions.to_string()]);
    rows.add_row(["violationFrequency", &format!("{:.4}", figures.violation_frequency)]);
    rows.add_row(["averageLatencyMs", &figures.average_latency_ms.to_string()]);
    for (violation, count) in &figures.violations {
        rows.add_row([format!("violations {violation}"), count.to_string()]);
    }
    for (status, count) in figures.outcomes.iter().filter(|(_, count)| **count > 0) {
        rows.add_row([format!("outcomes {status}"), count.to_string()]);
    }
    for (rule, outcomes) in &figures.rules {
        let parts: Vec<_> = outcomes.iter().map(|(status, count)| format!("{count} {status}")).collect();
        rows.add_row([format!("rules {rule}"), format!("{} ({})", outcomes.values().sum::<u64>(), parts.join(", "))]);
    }
    let mut text = format!(
        "Compliance of {tenant}, requests from {} to {}\n\n{}\n\n",
        bound(span.from, "the first"),
        bound(span.to, "the last"),
        rows.trim_fmt(),
    );
    for (figure, meaning) in DEFINITIONS {
        let _ = writeln!(text, "{figure}: {meaning}");
    }
    text
}

async fn write_log_table(log: &mut TransitionLog, out: &mut (impl Write + Send)) -> anyhow::Result<()> {
    let mut header = true;
    loop {
        let page = log.next_page().await?;
        if page.is_empty() {
            return Ok(());
        }
        let mut rows = plain_table();
        if std::mem::take(&mut header) {
            rows.set_header(LOG_COLUMNS);
        }
        for cells in page.iter().map(TransitionLogLine::cells) {
            rows.add_row(cells);
        }
        writeln!(out, "\n{}", rows.trim_fmt())?;
    }
}

#[cfg(test)]
mod tests;
