//! `shiftkeeper change`: requests a change of one agent or many from the running daemon, and can wait until each has
//! ended. Its subcommands plan a bulk change first, and start, follow and undo it.

mod change_sets;
mod follow;
mod options;
mod row;
mod table;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

pub(in crate::cli) use self::options::parse_span;
use self::options::{WhenOnContact, whole_seconds, with_even_if_in_state};
use self::row::{Row, RowOutcome};
use crate::cli::shared::daemon::DaemonError;
use crate::cli::shared::exit::Exit;
use crate::cli::shared::messages::print_message;
use crate::cli::shared::output::{Output, table_with_header};
use crate::cli::shared::tenant_client::TenantArgs;
use crate::config::Right;
use crate::domain::changes::policy::OnContact;
use crate::domain::ids::{AgentId, ReasonCode};
use crate::domain::wording::list_names;
use crate::engine::changes::request::RequestedChange;

/// Options of `change`.
#[derive(clap::Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    subcommand_help_heading = "Commands for many agents, with a preview",
    after_help = "Ends with 0 when every change is confirmed (without --wait: accepted), with 3 when some are, with 1 when none \
                  is, and with 75 when all of them are still open at the end of the wait, or when the daemon stopped answering and \
                  it is not known how they ended. Needs a running daemon.

Examples:
  shiftkeeper change u_0001 --to Ready --wait 60s
  shiftkeeper change u_0001 u_0002 --to NotReady --reason TRAINING --on-contact after --deadline 30m
  shiftkeeper change u_0001 --to Paused --note \"asked by phone\" --output json
  shiftkeeper change plan --team 'Team A' --to NotReady --reason MEETING --on-contact after"
)]
pub struct ChangeArgs {
    #[command(subcommand)]
    command: Option<change_sets::ChangeSetCommand>,
    #[command(flatten)]
    send: SendArgs,
}

/// Options of a change that is sent at once.
#[derive(clap::Args, Debug)]
pub struct SendArgs {
    #[command(flatten)]
    scope: TenantArgs,
    /// The agents' ids on the platform.
    #[arg(value_name = "AGENT", required = true)]
    pub agents: Vec<AgentId>,
    /// The new state; required without a subcommand.
    #[arg(long, value_name = "STATE", required = true, help = "The wanted state, such as Ready or NotReady")]
    pub to: Option<String>,
    /// The reason code. Each state has a default.
    #[arg(long, value_name = "CODE")]
    pub reason: Option<ReasonCode>,
    /// Also set the reason for agents who are already in this state, with one API call each. Otherwise they are not
    /// changed.
    #[arg(long, requires = "reason")]
    pub even_if_in_state: bool,
    /// What to do while an agent is on a contact. The default is the tenant's setting.
    #[arg(long, value_name = "WHEN", value_enum)]
    pub on_contact: Option<WhenOnContact>,
    /// How long a change may wait before it is sent, such as 30m. The default is the tenant's setting.
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    pub deadline: Option<Duration>,
    /// A note, which is stored separately from the audit chain.
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Wait until every change has ended, at most this long in real time.
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    pub wait: Option<Duration>,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// Requests the changes, waits if asked to, and prints the result.
pub async fn run(args: ChangeArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        Some(command) => change_sets::run(command).await,
        None => send(args.send).await,
    }
}

async fn send(args: SendArgs) -> anyhow::Result<ExitCode> {
    let client = args.scope.connect().await?;
    let TransitionsResponse { transitions: accepted } =
        client.post(Right::Change, "/api/v1/transitions", request_body(&args)).await?;
    unchanged_agent_notes(&accepted).iter().for_each(print_message);
    let mut rows: Vec<Row> = accepted.into_iter().map(Row::from_accepted).collect();
    let mut follow_error = None;
    let exit = match args.wait {
        None => exit_without_wait(&rows),
        Some(wait) => {
            follow_error = follow::wait_until_final(&client, &mut rows, wait).await.err();
            follow_error.as_ref().map_or_else(|| exit_after_wait(&rows), exit_after_follow_error)
        }
    };
    // Print the ids in any case: the changes were accepted, whatever became of the wait.
    args.output.print(&rows, || table(&rows))?;
    match follow_error {
        Some(error) => print_message(unknown_outcome_text(&rows, &error)),
        None if exit == Exit::TryLater => print_message("still open at the end of the wait; the daemon continues"),
        None => {}
    }
    Ok(exit.into())
}

/// Describes changes that could not be followed to their end.
fn unknown_outcome_text(rows: &[Row], error: &DaemonError) -> String {
    let open = rows.iter().filter(|row| row.outcome == RowOutcome::Open).count();
    let (changes, they) =
        if open == 1 { ("1 change was".to_owned(), "it") } else { (format!("{open} changes were"), "they") };
    let why = if error.is_transient() { "the daemon stopped answering" } else { "the daemon does not say" };
    format!("{changes} accepted; how {they} ended is not known, because {why}: {error}")
}

/// Returns notes about agents for whom nothing is sent, since they are in the state already, and how to change them
/// anyway.
fn unchanged_agent_notes(accepted: &[RequestedChange]) -> Vec<String> {
    let mut notes: BTreeMap<&str, Vec<AgentId>> = BTreeMap::new();
    for one in accepted {
        if let Some(note) = &one.note {
            notes.entry(note).or_default().push(one.agent.clone());
        }
    }
    let option = |note: &str| note.replace("even_if_in_state", "--even-if-in-state");
    notes.into_iter().map(|(note, agents)| format!("{}: {}", list_names(&agents), option(note))).collect()
}

/// The daemon's answer.
#[derive(Deserialize)]
struct TransitionsResponse {
    transitions: Vec<RequestedChange>,
}

fn request_body(args: &SendArgs) -> Value {
    let body = json!({
        "agents": args.agents,
        "to": args.to,
        "reason": args.reason,
        "on_contact": args.on_contact.map(OnContact::from),
        "deadline_s": args.deadline.map(whole_seconds),
        "note": args.note,
    });
    with_even_if_in_state(body, args.even_if_in_state)
}

/// Returns the exit code without a wait, by the accepted changes.
fn exit_without_wait(rows: &[Row]) -> Exit {
    exit_by_successes(rows, |row| row.outcome != RowOutcome::Unsuccessful)
}

/// Returns the exit code after a wait, by the confirmed changes.
fn exit_after_wait(rows: &[Row]) -> Exit {
    if rows.iter().all(|row| row.outcome == RowOutcome::Open) {
        return Exit::TryLater;
    }
    exit_by_successes(rows, |row| row.outcome == RowOutcome::Confirmed)
}

/// Returns the exit code if the result of the changes is unknown. A daemon that is away may tell it later.
fn exit_after_follow_error(error: &DaemonError) -> Exit {
    if error.is_transient() { Exit::TryLater } else { error.exit() }
}

fn exit_by_successes(rows: &[Row], is_success: impl Fn(&Row) -> bool) -> Exit {
    match rows.iter().filter(|row| is_success(row)).count() {
        0 => Exit::Failed,
        well if well == rows.len() => Exit::Done,
        _ => Exit::Partial,
    }
}

fn table(rows: &[Row]) -> String {
    let mut table = table_with_header(["AGENT", "STATUS", "TRANSITION", "WHY"]);
    for row in rows {
        let id = row.id.map(|id| id.to_string()).unwrap_or_default();
        table.add_row([row.agent.as_str(), &row.status, &id, row.error.as_deref().unwrap_or_default()]);
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests;
