//! `rules replay`: rules tried over stored history, by the daemon, one trial at a time beside everything else.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use crate::cli::shared::caller::Caller;
use crate::cli::shared::config_args::ConfigArgs;
use crate::cli::shared::daemon::DaemonError;
use crate::cli::shared::exit::Exit;
use crate::cli::shared::output::{Output, print, print_json};
use crate::cli::shared::talk::{Failure, say};
use crate::clock::RealTime;
use crate::config::Right;
use crate::domain::ids::{RuleId, TenantId};
use crate::domain::rules::rule::written::LineComplaint;
use crate::domain::time::UtcMicros;
use crate::domain::words::count;
use crate::engine::rules::trials::{Trial, TrialResult, TrialSide, TrialStatus};

/// Between two looks at a trial, in real time.
const PAUSE: Duration = Duration::from_millis(300);

/// Acts that the table lists.
const ACTS_SHOWN: usize = 20;

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
    /// An existing rule.
    #[arg(value_name = "RULE", conflicts_with = "file")]
    pub rule: Option<RuleId>,
    /// A file with one `[[rules]]` table: a new rule, or another version of an existing one.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// First instant, as in 2026-11-16T00:00:00Z; by default as long before `--to` as is allowed.
    #[arg(long, value_name = "INSTANT")]
    pub from: Option<UtcMicros>,
    /// First instant after the time range; now by default.
    #[arg(long, value_name = "INSTANT")]
    pub to: Option<UtcMicros>,
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The tenant; may be left out where there is only one.
    #[arg(long, value_name = "ID")]
    pub tenant: Option<TenantId>,
    /// How to print.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// Asks for it, waits until it has ended, and prints.
pub(super) async fn run(args: ReplayArgs) -> anyhow::Result<ExitCode> {
    let text = match &args.file {
        None => None,
        Some(file) => Some(
            std::fs::read_to_string(file)
                .map_err(|error| Failure::because(Exit::Failed, format!("{}: {error}", file.display())))?,
        ),
    };
    let caller = Caller::of(&args.config, args.tenant.as_ref()).await?;
    let wish = json!({ "rule": args.rule, "text": text, "from": args.from, "to": args.to });
    let asked = caller.post(Right::EditRules, "/api/v1/rule-trials", wish).await;
    let asked: Trial = asked.map_err(|error| refusal(error, args.file.as_deref()))?;
    let ended = tokio::select! {
        ended = until_ended(&caller, &asked) => ended,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            stop(&caller, &asked).await
        }
    };
    let trial = ended.map_err(DaemonError::into_failure)?;
    if args.output == Output::Json {
        print_json(&trial)?;
    } else if let Some(result) = &trial.result {
        print(shown(&trial, result))?;
    }
    match trial.status {
        TrialStatus::Done => Ok(Exit::Done.into()),
        TrialStatus::Cancelled => Err(Failure::because(Exit::Failed, "the backtest was cancelled")),
        TrialStatus::Waiting | TrialStatus::Running | TrialStatus::Failed => {
            let why = trial.error.unwrap_or_else(|| "it did not end".to_owned());
            Err(Failure::because(Exit::Failed, format!("the backtest failed: {why}")))
        }
    }
}

/// A text that does not pass the check is told of as `rules check` does.
fn refusal(error: DaemonError, file: Option<&std::path::Path>) -> anyhow::Error {
    let DaemonError::Refused { problem, .. } = &error else { return error.into_failure() };
    let complaints = problem.get("complaints").filter(|_| problem["code"] == "rule_refused");
    let complaints: Option<Vec<LineComplaint>> = complaints.and_then(|all| serde_json::from_value(all.clone()).ok());
    let (Some(complaints), Some(file)) = (complaints, file) else { return error.into_failure() };
    let lines =
        complaints.into_iter().map(|complaint| super::Wrong { place: file.display().to_string(), complaint }.line());
    Failure::because(Exit::Problems, lines.collect::<Vec<_>>().join("\n"))
}

/// The trial once it has ended. Says every tenth how far it is.
async fn until_ended(caller: &Caller, asked: &Trial) -> Result<Trial, DaemonError> {
    let path = format!("/api/v1/rule-trials/{}", asked.id);
    let mut told = 0;
    loop {
        let trial: Trial = caller.get_as(Right::EditRules, &path, &[]).await?;
        match trial.status {
            TrialStatus::Done | TrialStatus::Cancelled | TrialStatus::Failed => return Ok(trial),
            TrialStatus::Waiting | TrialStatus::Running => {}
        }
        let tenths = tenths(trial.progress);
        if tenths > told {
            told = tenths;
            say(format!("{} % of the history is replayed", tenths * 10));
        }
        RealTime::sleep(PAUSE).await;
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of ten is a small number")]
const fn tenths(share: f64) -> u32 {
    (share * 10.0) as u32
}

async fn stop(caller: &Caller, asked: &Trial) -> Result<Trial, DaemonError> {
    caller.post(Right::EditRules, &format!("/api/v1/rule-trials/{}/cancel", asked.id), json!({})).await
}

fn shown(trial: &Trial, result: &TrialResult) -> String {
    let subject = trial.rule.as_ref().map_or_else(|| "all rules".to_owned(), ToString::to_string);
    let mut text = format!(
        "{}, {subject}, {:.0} to {:.0}: {}, looked at every {} s\n",
        trial.tenant,
        trial.from,
        trial.to,
        count(result.agents, "agent"),
        result.step_s
    );
    let mut line = |name: &str, side: &TrialSide| {
        let held: Vec<String> = side.held.iter().map(|held| format!("{} {}", held.guard, held.times)).collect();
        let held = if held.is_empty() { String::new() } else { format!("; held: {}", held.join(", ")) };
        let _ = writeln!(text, "{name}: {} on {}{held}", count(side.acts, "act"), count(side.agents, "agent"));
    };
    line("replayed", &result.replayed);
    if let Some(present) = &result.present {
        line("active version", present);
    }
    let (really, compared) = (&result.really, &result.compared);
    let _ = writeln!(text, "actual: {} of {}", count(really.acts, "transition"), count(really.agents, "agent"));
    let _ = writeln!(
        text,
        "in both {}, only in the replay {}, only actual {}",
        compared.both, compared.only_replayed, compared.only_really
    );
    for act in result.replayed.listed.iter().take(ACTS_SHOWN) {
        let _ = writeln!(text, "  {:.0} {}: {} would {}: {}", act.at, act.agent, act.rule, act.wants, act.because);
    }
    if result.replayed.acts > ACTS_SHOWN as u64 {
        let _ = writeln!(text, "  … ({} more; --output json lists 500)", result.replayed.acts - ACTS_SHOWN as u64);
    }
    text.push_str("what a replay cannot show:\n");
    for what in &result.cannot_know {
        let _ = writeln!(text, "  - {what}");
    }
    text
}
