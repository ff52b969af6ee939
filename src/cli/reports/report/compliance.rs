//! `shiftkeeper report compliance`: state changes, policy violations and latency, with the log of every change.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::files::{self, exit_after_write};
use super::options::{
    AgentFilterArgs, DateOrInstant, PeriodArgs, ReportOutput, TargetArgs, build_request, check_order, zone,
};
use crate::app::clock_for;
use crate::cli::shared::config_args::ConfigArgs;
use crate::cli::shared::output::plain_table;
use crate::cli::shared::scope::{one_tenant, open_reader};
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::report::compliance::{
    ComplianceSpan, ComplianceSummary, DEFINITIONS, LOG_COLUMNS, TransitionLog, TransitionLogLine,
};
use crate::report::csv_sheet::CsvSheet;
use crate::report::request::ReportKind;
use crate::store::Reader;

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
    /// The output format: figures as a table, figures and log as JSON, or the log as CSV.
    #[arg(long, short, value_enum, default_value_t, conflicts_with_all = ["format", "out", "folder", "section", "team", "agent"])]
    pub output: ReportOutput,
    /// Also print the log under the table. JSON and CSV always include it.
    #[arg(long)]
    pub logs: bool,
}

/// Runs the command.
pub(super) async fn run(args: ComplianceArgs) -> anyhow::Result<ExitCode> {
    let loaded = args.config.load_for_command()?;
    let config = &loaded.config;
    if !args.target.is_unset() || !args.agent_filter.is_everybody() {
        let build = |now| build_request(config, ReportKind::Compliance, &args.period, args.agent_filter.filters(), now);
        return files::make_report(config, &args.target, build).await;
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
