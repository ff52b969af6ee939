//! `shiftkeeper analytics`: analytics queries of the platform, run through the daemon.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::shared::daemon::DaemonError;
use super::shared::exit::Exit;
use super::shared::messages::print_message;
use super::shared::output::{Output, print, print_json, table_with_header};
use super::shared::tenant_client::{TenantArgs, TenantClient, path_part};
use crate::clock::{RealTime, Stopwatch};
use crate::config::Right;
use crate::domain::analytics::{EqualsFilter, MetricRequest, QueryBucket};
use crate::domain::ids::{AnalyticsQueryId, AnalyticsRunId};
use crate::domain::reports::report_run::RunStatus;
use crate::domain::time::UtcMicros;
use crate::domain::time::span;
use crate::domain::wording::count_with_noun;
use crate::http::{AnalyticsRowResponse, AnalyticsRowsResponse, AnalyticsRunResponse, AnalyticsRunsResponse};

/// The interval between requests to the daemon, in real time.
const POLL_INTERVAL_REAL: Duration = Duration::from_millis(500);

/// The number of rows per request.
const PAGE_SIZE: &str = "2000";

const RUNS_PATH: &str = "/api/v1/analytics/runs";

/// Subcommands of `analytics`.
#[derive(clap::Subcommand, Debug)]
pub enum AnalyticsCommand {
    /// Run a configured query, or one given by options, and print its result.
    Run(Box<RunArgs>),
    /// List runs, newest first.
    List(ListArgs),
    /// Print a run with its rows.
    #[command(after_help = "Needs a running daemon.

Examples:
  shiftkeeper analytics show 019a20b8-9d40-7000-8000-000000000003
  shiftkeeper analytics show 019a20b8-9d40-7000-8000-000000000003 --output json")]
    Show(RunSelectionArgs),
    /// Cancel a run.
    #[command(
        after_help = "Needs a running daemon. A query that the platform has started keeps its slot among the five until the run's deadline.

Examples:
  shiftkeeper analytics cancel 019a20b8-9d40-7000-8000-000000000003"
    )]
    Cancel(RunSelectionArgs),
}

/// Options of `analytics run`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Needs a running daemon, which asks the platform: at most five runs of a tenant at once, the others wait. Ends with 0 once the
result is there, with 1 when the run failed, and with 75 when it is still running at the end of the wait.

Examples:
  shiftkeeper analytics run calls
  shiftkeeper analytics run --metric \"avg duration\" --dimension channel --last 14
  shiftkeeper analytics run --metric \"sum count\" --filter group.id=grp_001 --bucket HOUR --last 7"
)]
pub struct RunArgs {
    /// A configured query, with all its settings.
    #[arg(value_name = "QUERY", conflicts_with_all = ["metric", "dimension", "filter", "bucket", "zone", "last", "from", "to"])]
    pub query: Option<AnalyticsQueryId>,
    #[command(flatten)]
    scope: TenantArgs,
    /// A metric and its aggregation: sum, avg, pct, min or max.
    #[arg(long, value_name = "HOW NAME", required_unless_present = "query")]
    pub metric: Vec<MetricRequest>,
    /// A dimension to group values by.
    #[arg(long, value_name = "NAME")]
    pub dimension: Vec<String>,
    /// A filter, as FIELD=VALUE.
    #[arg(long, value_name = "FIELD=VALUE")]
    pub filter: Option<EqualsFilter>,
    /// The length of each bucket: HOUR, DAY, WEEK or MONTH; DAY by default.
    #[arg(long, value_name = "BUCKET")]
    pub bucket: Option<QueryBucket>,
    /// The IANA time zone of hours and days; UTC by default.
    #[arg(long, value_name = "ZONE")]
    pub zone: Option<String>,
    /// The last N complete buckets; 30 by default.
    #[arg(long, value_name = "N", conflicts_with = "from")]
    pub last: Option<u32>,
    /// Start with the bucket that contains this instant.
    #[arg(long, value_name = "INSTANT")]
    pub from: Option<UtcMicros>,
    /// End with the bucket before the one that contains this instant.
    #[arg(long, value_name = "INSTANT", requires = "from")]
    pub to: Option<UtcMicros>,
    /// How long to wait for the result, in real time. With 0s, only the run is printed.
    #[arg(long, value_name = "SPAN", value_parser = span::parse, default_value = "10m")]
    pub wait: Duration,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// Options of `analytics list`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Needs a running daemon.

Examples:
  shiftkeeper analytics list
  shiftkeeper analytics list --query calls --limit 5 --output json")]
pub struct ListArgs {
    #[command(flatten)]
    scope: TenantArgs,
    /// Only runs of this configured query.
    #[arg(long, value_name = "QUERY")]
    pub query: Option<AnalyticsQueryId>,
    /// The maximum number of agents.
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub limit: u32,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// Options of `analytics show` and `analytics cancel`.
#[derive(clap::Args, Debug)]
pub struct RunSelectionArgs {
    /// The run's id.
    #[arg(value_name = "RUN")]
    pub id: AnalyticsRunId,
    #[command(flatten)]
    scope: TenantArgs,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// Runs a subcommand.
pub async fn run(command: AnalyticsCommand) -> anyhow::Result<ExitCode> {
    match command {
        AnalyticsCommand::Run(args) => run_query(*args).await,
        AnalyticsCommand::List(args) => list(args).await,
        AnalyticsCommand::Show(one) => {
            let client = one.scope.connect().await?;
            let run = fetch_run(&client, one.id).await?;
            print_run_with_rows(&client, &run, one.output).await
        }
        AnalyticsCommand::Cancel(one) => {
            let client = one.scope.connect().await?;
            let path = format!("{RUNS_PATH}/{}/cancel", one.id);
            let run: AnalyticsRunResponse = client.post(Right::Analytics, &path, json!({})).await?;
            print_run(&run, one.output)?;
            Ok(Exit::Done.into())
        }
    }
}

async fn run_query(args: RunArgs) -> anyhow::Result<ExitCode> {
    let client = args.scope.connect().await?;
    let mut run: AnalyticsRunResponse = client.post(Right::Analytics, RUNS_PATH, request_body(&args)).await?;
    let watch = Stopwatch::start();
    while !run.status.is_final() {
        let left = args.wait.saturating_sub(watch.elapsed());
        if left.is_zero() {
            print_run(&run, args.output)?;
            if args.wait.is_zero() {
                return Ok(Exit::Done.into());
            }
            print_message(format!("still running; see `shiftkeeper analytics show {}`", run.id));
            return Ok(Exit::TryLater.into());
        }
        RealTime::sleep(POLL_INTERVAL_REAL.min(left)).await;
        run = fetch_run(&client, run.id).await?;
    }
    print_run_with_rows(&client, &run, args.output).await
}

/// Returns the body of the request; what is not given is left to the daemon.
fn request_body(args: &RunArgs) -> Value {
    if let Some(query) = &args.query {
        return json!({ "query": query });
    }
    json!({
        "metrics": args.metric,
        "dimensions": args.dimension,
        "filter": args.filter,
        "bucket": args.bucket,
        "zone": args.zone,
        "last": args.last,
        "from": args.from,
        "to": args.to,
    })
}

async fn fetch_run(client: &TenantClient, id: AnalyticsRunId) -> Result<AnalyticsRunResponse, DaemonError> {
    client.get_as(Right::Analytics, &format!("{RUNS_PATH}/{}", path_part(&id.to_string())), &[]).await
}

/// Prints a run with its rows, and returns the exit code for its result.
async fn print_run_with_rows(
    client: &TenantClient,
    run: &AnalyticsRunResponse,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let rows = if run.has_rows { fetch_rows(client, run.id).await? } else { Vec::new() };
    match output {
        Output::Json => print_json(&json!({ "run": run, "rows": rows }))?,
        Output::Table => {
            let metrics = run.request.metrics.iter().map(ToString::to_string);
            let mut table = table_with_header(
                std::iter::once("at".to_owned()).chain(run.request.dimensions.iter().cloned()).chain(metrics),
            );
            for row in &rows {
                let dimensions = row.dimensions.iter().map(|value| value.clone().unwrap_or_else(|| "-".to_owned()));
                let metrics =
                    row.metrics.iter().map(|value| value.map_or_else(|| "-".to_owned(), |value| value.to_string()));
                table.add_row(std::iter::once(row.at.to_string()).chain(dimensions).chain(metrics));
            }
            if !rows.is_empty() {
                print(table.trim_fmt())?;
            }
            print_message(run_summary(run));
        }
    }
    Ok(match run.status {
        RunStatus::Failed | RunStatus::Cancelled => Exit::Failed,
        RunStatus::Waiting | RunStatus::Running | RunStatus::Done => Exit::Done,
    }
    .into())
}

async fn fetch_rows(client: &TenantClient, id: AnalyticsRunId) -> Result<Vec<AnalyticsRowResponse>, DaemonError> {
    let (path, mut all, mut cursor) = (format!("{RUNS_PATH}/{id}/rows"), Vec::new(), 0);
    loop {
        let cursor_text = cursor.to_string();
        let page: AnalyticsRowsResponse =
            client.get_as(Right::Analytics, &path, &[("cursor", &cursor_text), ("limit", PAGE_SIZE)]).await?;
        all.extend(page.rows);
        match page.next {
            Some(next) => cursor = next,
            None => return Ok(all),
        }
    }
}

fn print_run(run: &AnalyticsRunResponse, output: Output) -> anyhow::Result<()> {
    output.print(&json!({ "run": run }), || run_summary(run))
}

/// Describes a run in a sentence.
fn run_summary(run: &AnalyticsRunResponse) -> String {
    let head = format!("run {} of {:?} is {}", run.id, run.request.name, run.status.name());
    match (&run.error, run.received) {
        (Some(error), _) => format!("{head}: {error}"),
        (None, Some(received)) => {
            let promised = run.promised.map_or_else(String::new, |promised| format!(" of {promised} expected"));
            let sha256 = run.sha256.as_deref().unwrap_or_default();
            format!("{head}: {}{promised}, SHA-256 {sha256}", count_with_noun(received, "row"))
        }
        (None, None) => head,
    }
}

async fn list(args: ListArgs) -> anyhow::Result<ExitCode> {
    let client = args.scope.connect().await?;
    let limit = args.limit.to_string();
    let mut query = vec![("limit", &*limit)];
    query.extend(args.query.as_ref().map(|query| ("query", query.as_str())));
    let page: AnalyticsRunsResponse = client.get_as(Right::Analytics, RUNS_PATH, &query).await?;
    args.output.print(&page, || runs_table(&page))?;
    Ok(Exit::Done.into())
}

fn runs_table(page: &AnalyticsRunsResponse) -> String {
    let mut table = table_with_header(["RUN", "QUERY", "STATUS", "REQUESTED", "FROM", "TO", "ROWS", "WHY"]);
    for run in &page.runs {
        table.add_row([
            run.id.to_string(),
            run.request.name.clone(),
            run.status.name().to_owned(),
            run.asked_at.to_string(),
            run.request.from.to_string(),
            run.request.to.to_string(),
            run.received.map_or_else(|| "-".to_owned(), |rows| rows.to_string()),
            run.failure.clone().unwrap_or_default(),
        ]);
    }
    table.trim_fmt()
}
