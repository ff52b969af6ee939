//! `rules replay`: backtests of rules over stored history, run by the daemon one at a time beside its other work.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use super::diagnostic::RuleDiagnostic;
use crate::cli::shared::daemon::DaemonError;
use crate::cli::shared::exit::{CommandFailure, Exit};
use crate::cli::shared::messages::print_message;
use crate::cli::shared::output::{Output, print, print_json};
use crate::cli::shared::tenant_client::{TenantArgs, TenantClient};
use crate::clock::RealTime;
use crate::config::Right;
use crate::domain::ids::RuleId;
use crate::domain::rules::rule::rule_text::LineDiagnostic;
use crate::domain::time::UtcMicros;
use crate::domain::wording::count_with_noun;
use crate::engine::rules::backtests::{Backtest, BacktestResult, BacktestSide, BacktestStatus};

/// The interval between progress requests, in real time.
const POLL_INTERVAL: Duration = Duration::from_millis(300);

/// The most actions listed in the table.
const MAX_LISTED_ACTS: usize = 20;

/// Options of `rules replay`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Needs a running daemon, which runs one backtest at a time; Ctrl-C cancels it.

A rule that is named, or defined in a file, is replayed as if it were enforced. The result is compared with the actual changes
and with the active version of the rule, if there is one. Without either, all rules are replayed as they are. Nothing is changed.

Examples:
  shiftkeeper rules replay back-from-break
  shiftkeeper rules replay --file rule.toml --from 2026-11-16T00:00:00Z --to 2026-11-23T00:00:00Z
  shiftkeeper rules replay --tenant acme --output json")]
pub struct ReplayArgs {
    /// The id of an existing rule.
    #[arg(value_name = "RULE", conflicts_with = "file")]
    pub rule: Option<RuleId>,
    /// A file with one `[[rules]]` table: a new rule, or a new version of an existing one.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The start, as in 2026-11-16T00:00:00Z. The default is the longest allowed time before `--to`.
    #[arg(long, value_name = "INSTANT")]
    pub from: Option<UtcMicros>,
    /// The end (exclusive). The default is now.
    #[arg(long, value_name = "INSTANT")]
    pub to: Option<UtcMicros>,
    #[command(flatten)]
    scope: TenantArgs,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// Starts a backtest, waits for its end and prints the result.
pub(super) async fn run(args: ReplayArgs) -> anyhow::Result<ExitCode> {
    let text = match &args.file {
        None => None,
        Some(file) => Some(
            std::fs::read_to_string(file)
                .map_err(|error| CommandFailure::with_exit(Exit::Failed, format!("{}: {error}", file.display())))?,
        ),
    };
    let client = args.scope.connect().await?;
    let body = json!({ "rule": args.rule, "text": text, "from": args.from, "to": args.to });
    let response = client.post(Right::EditRules, "/api/v1/rule-trials", body).await;
    let started: Backtest = response.map_err(|error| request_error(error, args.file.as_deref()))?;
    let ended = tokio::select! {
        ended = wait_until_ended(&client, &started) => ended,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            cancel(&client, &started).await
        }
    };
    let backtest = ended?;
    if args.output == Output::Json {
        print_json(&backtest)?;
    } else if let Some(result) = &backtest.result {
        print(result_text(&backtest, result))?;
    }
    match backtest.status {
        BacktestStatus::Done => Ok(Exit::Done.into()),
        BacktestStatus::Cancelled => Err(CommandFailure::with_exit(Exit::Failed, "the backtest was cancelled")),
        BacktestStatus::Waiting | BacktestStatus::Running | BacktestStatus::Failed => {
            let why = backtest.error.unwrap_or_else(|| "it did not end".to_owned());
            Err(CommandFailure::with_exit(Exit::Failed, format!("the backtest failed: {why}")))
        }
    }
}

/// Formats an invalid rule text as `rules check` does.
fn request_error(error: DaemonError, file: Option<&std::path::Path>) -> anyhow::Error {
    let DaemonError::Refused { problem, .. } = &error else { return error.into() };
    let complaints = problem.get("complaints").filter(|_| problem["code"] == "rule_refused");
    let complaints: Option<Vec<LineDiagnostic>> = complaints.and_then(|all| serde_json::from_value(all.clone()).ok());
    let (Some(complaints), Some(file)) = (complaints, file) else { return error.into() };
    let place = file.display().to_string();
    let lines = RuleDiagnostic::all_at(&place, complaints).map(|diagnostic| diagnostic.summary_line());
    CommandFailure::with_exit(Exit::Problems, lines.collect::<Vec<_>>().join("\n"))
}

/// Waits for the end of the backtest and returns it. Prints the progress in steps of a tenth.
async fn wait_until_ended(client: &TenantClient, started: &Backtest) -> Result<Backtest, DaemonError> {
    let path = format!("/api/v1/rule-trials/{}", started.id);
    let mut last_reported = 0;
    loop {
        let backtest: Backtest = client.get_as(Right::EditRules, &path, &[]).await?;
        match backtest.status {
            BacktestStatus::Done | BacktestStatus::Cancelled | BacktestStatus::Failed => return Ok(backtest),
            BacktestStatus::Waiting | BacktestStatus::Running => {}
        }
        let tenths = tenths(backtest.progress);
        if tenths > last_reported {
            last_reported = tenths;
            print_message(format!("{} % of the history is replayed", tenths * 10));
        }
        RealTime::sleep(POLL_INTERVAL).await;
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of ten is a small number")]
const fn tenths(share: f64) -> u32 {
    (share * 10.0) as u32
}

async fn cancel(client: &TenantClient, started: &Backtest) -> Result<Backtest, DaemonError> {
    client.post(Right::EditRules, &format!("/api/v1/rule-trials/{}/cancel", started.id), json!({})).await
}

fn result_text(backtest: &Backtest, result: &BacktestResult) -> String {
    let subject = backtest.rule.as_ref().map_or_else(|| "all rules".to_owned(), ToString::to_string);
    let mut text = format!(
        "{}, {subject}, {:.0} to {:.0}: {}, checked every {} s\n",
        backtest.tenant,
        backtest.from,
        backtest.to,
        count_with_noun(result.agents, "agent"),
        result.step_s
    );
    let mut line = |name: &str, side: &BacktestSide| {
        let held: Vec<String> = side.held.iter().map(|held| format!("{} {}", held.guard, held.times)).collect();
        let held = if held.is_empty() { String::new() } else { format!("; held: {}", held.join(", ")) };
        let _ = writeln!(
            text,
            "{name}: {} on {}{held}",
            count_with_noun(side.acts, "action"),
            count_with_noun(side.agents, "agent")
        );
    };
    line("replayed", &result.replayed);
    if let Some(present) = &result.present {
        line("active version", present);
    }
    let (actual, compared) = (&result.really, &result.compared);
    let _ = writeln!(
        text,
        "actual: {} of {}",
        count_with_noun(actual.acts, "transition"),
        count_with_noun(actual.agents, "agent")
    );
    let _ = writeln!(
        text,
        "in both {}, only in the replay {}, only actual {}",
        compared.both, compared.only_replayed, compared.only_really
    );
    for act in result.replayed.listed.iter().take(MAX_LISTED_ACTS) {
        let _ = writeln!(text, "  {:.0} {}: {} would {}: {}", act.at, act.agent, act.rule, act.wants, act.because);
    }
    if result.replayed.acts > MAX_LISTED_ACTS as u64 {
        let _ = writeln!(text, "  … ({} more; --output json lists 500)", result.replayed.acts - MAX_LISTED_ACTS as u64);
    }
    text.push_str("limits of this backtest:\n");
    for what in &result.cannot_know {
        let _ = writeln!(text, "  - {what}");
    }
    text
}
