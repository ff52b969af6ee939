//! `schedules`: `list` and `undo` show the versions of the schedule and undo one; `export` and `sources` have files of
//! their own.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde_json::json;

use super::check::check_text;
use super::export::{self, ScheduleExportArgs};
use super::sources::{self, SourcesArgs};
use crate::cli::shared::exit::Exit;
use crate::cli::shared::output::Output;
use crate::cli::shared::tenant_client::TenantArgs;
use crate::config::Right;
use crate::domain::wording::count_with_noun;
use crate::http::{AppliedScheduleChange, ScheduleCheck, ScheduleVersionSummary};

/// `schedules`.
#[derive(clap::Subcommand, Debug)]
pub enum SchedulesCommand {
    /// List the versions of the schedule, newest first.
    List(ListArgs),
    /// Undo what a version changed: show what would change, or apply what was shown.
    Undo(UndoArgs),
    /// Write the schedule in force to a file that `import` reads.
    Export(ScheduleExportArgs),
    /// List the sources of the schedule with the ages of their last good versions.
    Sources(SourcesArgs),
}

/// Options of `schedules list`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  shiftkeeper schedules list
  shiftkeeper schedules list --limit 100 --output json")]
pub struct ListArgs {
    #[command(flatten)]
    scope: TenantArgs,
    /// The number of versions, 100 at most.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

/// Options of `schedules undo`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Without --apply nothing changes: the command shows what would change, and the hash to apply exactly that.
Agents whose days a later version changed again are left out.

Examples:
  shiftkeeper schedules undo 12
  shiftkeeper schedules undo 12 --apply 3f2a…"
)]
pub struct UndoArgs {
    /// The version, as `schedules list` shows it.
    #[arg(value_name = "VERSION")]
    number: u64,
    #[command(flatten)]
    scope: TenantArgs,
    /// Apply the changes that have this hash.
    #[arg(long, value_name = "HASH")]
    apply: Option<String>,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

#[derive(serde::Deserialize, serde::Serialize)]
struct Versions {
    versions: Vec<ScheduleVersionSummary>,
}

/// Runs a command of `schedules`.
pub async fn run(command: SchedulesCommand) -> anyhow::Result<ExitCode> {
    match command {
        SchedulesCommand::List(args) => list(args).await,
        SchedulesCommand::Undo(args) => undo(args).await,
        SchedulesCommand::Export(args) => export::run(args).await,
        SchedulesCommand::Sources(args) => sources::run(args).await,
    }
}

async fn list(args: ListArgs) -> anyhow::Result<ExitCode> {
    let client = args.scope.connect().await?;
    let limit = args.limit.to_string();
    let found: Versions = client.get("/api/v1/schedule-versions", &[("limit", &limit)]).await?;
    args.output.print(&found, || {
        let mut text = String::new();
        for version in &found.versions {
            let ScheduleVersionSummary { version, name, actor, at, agents, shifts, .. } = version;
            let (agents, shifts) = (count_with_noun(*agents, "agent"), count_with_noun(*shifts, "shift"));
            let _ = writeln!(text, "{version:>6}  {at:.0}  {name}: {agents}, {shifts}, by {actor}");
        }
        if text.is_empty() { "there is no schedule yet".to_owned() } else { text.trim_end().to_owned() }
    })?;
    Ok(Exit::Done.into())
}

async fn undo(args: UndoArgs) -> anyhow::Result<ExitCode> {
    let client = args.scope.connect().await?;
    let path = format!("/api/v1/schedule-versions/{}/undo", args.number);
    let Some(hash) = &args.apply else {
        let check: ScheduleCheck = client.post(Right::Import, &format!("{path}/check"), json!({})).await?;
        let apply = format!("shiftkeeper schedules undo {}", args.number);
        args.output.print(&check, || check_text(&check, &apply))?;
        return Ok(Exit::Done.into());
    };
    let applied: AppliedScheduleChange = client.post(Right::Import, &path, json!({"hash": hash})).await?;
    args.output.print(&applied, || {
        let agents = count_with_noun(applied.agents, "agent");
        format!("version {} is undone for {agents}; version {} is in force", args.number, applied.version)
    })?;
    Ok(Exit::Done.into())
}
