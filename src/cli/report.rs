//! `shiftkeeper report`: prints reports over the store. Reads alone; long logs go out page by page.

mod trend;

use std::fmt::Write as _;
use std::io::{self, Write};
use std::process::ExitCode;

use comfy_table::{Table, presets};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::config_args::ConfigArgs;
use super::exit::Exit;
use super::scope::{one_tenant, open_reader, usage};
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::report::compliance::{Compliance, DEFINITIONS, LOG_COLUMNS, Log, LogLine, Span};
use crate::report::sheet::Sheet;
use crate::store::Reader;

/// Which report.
#[derive(clap::Subcommand, Debug)]
pub enum ReportCommand {
    /// How many state changes, how often policy spoke against them, how fast the platform answered.
    Compliance(ComplianceArgs),
    /// How a figure of a skill or queue moves, and where it is odd.
    Trend(trend::TrendArgs),
}

/// Options of `report compliance`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "The span holds what was requested at or after --from and before --to; a date is its midnight in UTC.

Examples:
  shiftkeeper report compliance
  shiftkeeper report compliance --tenant acme --from 2026-10-26 --to 2026-11-02 --output json
  shiftkeeper report compliance --from 2026-10-26T08:00:00Z --output csv > log.csv"
)]
pub struct ComplianceArgs {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The tenant; may be left out where there is only one.
    #[arg(long, value_name = "ID")]
    pub tenant: Option<TenantId>,
    /// From this date or instant on; from the first request without it.
    #[arg(long, value_name = "WHEN", value_parser = parse_instant)]
    pub from: Option<UtcMicros>,
    /// Before this date or instant; to the last request without it.
    #[arg(long, value_name = "WHEN", value_parser = parse_instant)]
    pub to: Option<UtcMicros>,
    /// How to print: figures as a table, figures and log as JSON, the log as CSV.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: ReportOutput,
    /// Print the log under the table too; JSON and CSV always have it.
    #[arg(long)]
    pub logs: bool,
}

/// How a report is printed.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ReportOutput {
    /// For people.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// The log, one line per state change.
    Csv,
}

/// Prints it.
pub async fn run(command: ReportCommand) -> anyhow::Result<ExitCode> {
    match command {
        ReportCommand::Compliance(args) => compliance(args).await,
        ReportCommand::Trend(args) => trend::run(args).await,
    }
}

async fn compliance(args: ComplianceArgs) -> anyhow::Result<ExitCode> {
    let loaded = args.config.load_for_command()?;
    let tenant = &one_tenant(&loaded.config, args.tenant.as_ref())?.id;
    let span = Span { from: args.from, to: args.to };
    check_order(span)?;
    let reader = open_reader(&loaded.config).await?;
    let mut out = io::stdout();
    let written = write(&reader, tenant, span, &args, &mut out).await;
    reader.close().await;
    ended(written)
}

fn check_order(span: Span) -> anyhow::Result<()> {
    match (span.from, span.to) {
        (Some(from), Some(to)) if from >= to => Err(usage(format!("--from {from} does not lie before --to {to}"))),
        _ => Ok(()),
    }
}

fn ended(written: anyhow::Result<()>) -> anyhow::Result<ExitCode> {
    match written {
        // Whoever reads the output has had enough.
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) => {}
        other => other?,
    }
    Ok(Exit::Done.into())
}

async fn write(
    reader: &Reader,
    tenant: &TenantId,
    span: Span,
    args: &ComplianceArgs,
    out: &mut (impl Write + Send),
) -> anyhow::Result<()> {
    let mut log = Log::new(reader, tenant, span);
    match args.output {
        ReportOutput::Json => {
            write_json(&Compliance::read(reader, tenant, span).await?, tenant, span, &mut log, out).await
        }
        ReportOutput::Csv => write_csv(&mut log, out).await,
        ReportOutput::Table => {
            let figures = Compliance::read(reader, tenant, span).await?;
            out.write_all(table(&figures, tenant, span).as_bytes())?;
            if args.logs {
                write_log_table(&mut log, out).await?;
            }
            Ok(out.flush()?)
        }
    }
}

/// `{"tenant", "from", "to", "totalTransitions", …, "logs": [ … ]}`; the log goes out as it is read.
async fn write_json(
    figures: &Compliance,
    tenant: &TenantId,
    span: Span,
    log: &mut Log,
    out: &mut (impl Write + Send),
) -> anyhow::Result<()> {
    let mut head = json!({ "tenant": tenant, "from": span.from, "to": span.to });
    if let (Some(head), Value::Object(figures)) = (head.as_object_mut(), json!(figures)) {
        head.extend(figures);
    }
    let head = head.to_string();
    // One brace alone: the last figure may end with one of its own.
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

async fn write_csv(log: &mut Log, out: &mut (impl Write + Send)) -> anyhow::Result<()> {
    let mut sheet = Sheet::default();
    sheet.row(LOG_COLUMNS)?;
    loop {
        out.write_all(&std::mem::take(&mut sheet).finish()?)?;
        let page = log.next_page().await?;
        if page.is_empty() {
            return Ok(out.flush()?);
        }
        for line in &page {
            sheet.row(line.cells().iter().map(String::as_str))?;
        }
    }
}

fn plain_table() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table
}

fn table(figures: &Compliance, tenant: &TenantId, span: Span) -> String {
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

async fn write_log_table(log: &mut Log, out: &mut (impl Write + Send)) -> anyhow::Result<()> {
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
        for cells in page.iter().map(LogLine::cells) {
            rows.add_row(cells);
        }
        writeln!(out, "\n{}", rows.trim_fmt())?;
    }
}

/// An RFC 3339 instant, or a date as its midnight in UTC.
fn parse_instant(text: &str) -> Result<UtcMicros, String> {
    if let Ok(instant) = text.parse::<UtcMicros>() {
        return Ok(instant);
    }
    let midnight = text.parse::<Date>().ok().and_then(|date| date.to_zoned(TimeZone::UTC).ok());
    midnight
        .map(|midnight| midnight.timestamp().into())
        .ok_or_else(|| "write a date or an instant, such as 2026-10-26 or 2026-10-26T08:00:00Z".to_owned())
}

#[cfg(test)]
mod tests;
