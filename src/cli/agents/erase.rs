//! `shiftkeeper erase`: an agent's personal data goes for good, asked of the running daemon and followed to its end.

use std::io::{BufRead as _, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use comfy_table::{Table, presets};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::cli::shared::caller::{Caller, path_part};
use crate::cli::shared::config_args::ConfigArgs;
use crate::cli::shared::daemon::DaemonError;
use crate::cli::shared::exit::Exit;
use crate::cli::shared::output::{Output, print, print_json};
use crate::cli::shared::scope::usage;
use crate::cli::shared::talk::say;
use crate::clock::{RealTime, Stopwatch};
use crate::config::Right;
use crate::domain::agents::erasure::Outcome;
use crate::domain::ids::{AgentId, ErasureId, TenantId};
use crate::domain::time::UtcMicros;
use crate::domain::words::count;

/// How often the daemon is asked how far it is, in real time.
const ASK_AGAIN_REAL: Duration = Duration::from_millis(500);

/// Options of `erase`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Id, name and what was typed about the agent go from the store, its log and the daemon's folders; the rows go on under a
random stand-in, so that figures of teams stay as they are. The audit chain is left as it is: it never held either. There is no way
back. An agent whom the configuration or a schedule file that waits still names is refused. Copies of the database are listed and not
changed (docs/erasing.md).

Examples:
  shiftkeeper erase u_0001 --reason TICKET-4711
  shiftkeeper erase u_0001 --tenant acme --reason TICKET-4711 --yes --output json
  shiftkeeper erase --list"
)]
pub struct EraseArgs {
    /// The agent, by the platform's id.
    #[arg(value_name = "AGENT", required_unless_present = "list")]
    pub agent: Option<AgentId>,
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The tenant; may be left out where there is only one.
    #[arg(long, value_name = "ID")]
    pub tenant: Option<TenantId>,
    /// Why: a ticket rather than a name. It is kept.
    #[arg(long, value_name = "TEXT", required_unless_present = "list")]
    pub reason: Option<String>,
    /// Skip the confirmation.
    #[arg(long)]
    pub yes: bool,
    /// Wait at most this long for the end, in real time; the erasure continues in any case.
    #[arg(long, value_name = "SPAN", default_value = "10m", value_parser = crate::cli::changes::change::parse_span)]
    pub wait: Duration,
    /// List past erasures instead.
    #[arg(long, conflicts_with_all = ["agent", "reason", "yes"])]
    pub list: bool,
    /// How to print.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// An erasure, as the daemon shows it.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
struct Shown {
    id: ErasureId,
    tenant: TenantId,
    standing: String,
    stand_in: AgentId,
    asked_at: UtcMicros,
    asked_by: String,
    reason: Option<String>,
    done_at: Option<UtcMicros>,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Deserialize)]
struct Page {
    erasures: Vec<Shown>,
    next: Option<ErasureId>,
}

/// Asks, follows and prints.
pub async fn run(args: EraseArgs) -> anyhow::Result<ExitCode> {
    let caller = Caller::of(&args.config, args.tenant.as_ref()).await?;
    let (Some(agent), Some(reason)) = (&args.agent, &args.reason) else {
        return list(&caller, args.output).await;
    };
    if !args.yes {
        confirm(agent, caller.tenant())?;
    }
    let path = format!("/api/v1/agents/{}/erase", path_part(agent.as_str()));
    let asked: Result<Shown, DaemonError> = caller.post(Right::Erase, &path, json!({"reason": reason})).await;
    let erasure = follow(&caller, asked.map_err(DaemonError::into_failure)?, args.wait).await?;
    match args.output {
        Output::Json => print_json(&erasure)?,
        Output::Table => print(described(&erasure))?,
    }
    if erasure.done_at.is_some() {
        return Ok(Exit::Done.into());
    }
    say("not done yet; the daemon continues, and `shiftkeeper erase --list` shows when it is done");
    Ok(Exit::TryLater.into())
}

/// Has the id repeated: what is erased does not come back.
fn confirm(agent: &AgentId, tenant: &TenantId) -> anyhow::Result<()> {
    if !std::io::stdin().is_terminal() {
        return Err(usage("cannot ask for confirmation: use --yes".to_owned()));
    }
    say(format!(
        "Everything that says who agent {agent} of tenant {tenant} is will be gone for good. Type the id to go on:"
    ));
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("standard input cannot be read")?;
    if line.trim() == agent.as_str() { Ok(()) } else { Err(usage("that is another id; nothing was done".to_owned())) }
}

async fn follow(caller: &Caller, mut erasure: Shown, wait: Duration) -> anyhow::Result<Shown> {
    let (path, since) = (format!("/api/v1/erasures/{}", erasure.id), Stopwatch::start());
    while erasure.done_at.is_none() && since.elapsed() < wait {
        RealTime::sleep(ASK_AGAIN_REAL).await;
        erasure = caller.get_as(Right::Erase, &path, &[]).await.map_err(DaemonError::into_failure)?;
    }
    Ok(erasure)
}

async fn list(caller: &Caller, output: Output) -> anyhow::Result<ExitCode> {
    let (mut all, mut before): (Vec<Shown>, Option<ErasureId>) = (Vec::new(), None);
    loop {
        let cursor = before.map(|id| id.to_string());
        let query: Vec<(&str, &str)> = cursor.iter().map(|id| ("before", id.as_str())).collect();
        let page: Result<Page, DaemonError> = caller.get_as(Right::Erase, "/api/v1/erasures", &query).await;
        let mut page = page.map_err(DaemonError::into_failure)?;
        all.append(&mut page.erasures);
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    match output {
        Output::Json => print_json(&json!({ "erasures": all }))?,
        Output::Table => print(table(&all))?,
    }
    Ok(Exit::Done.into())
}

fn table(all: &[Shown]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(["REQUESTED", "BY", "STATUS", "STAND-IN", "ROWS", "WHY"]);
    for erasure in all {
        let (rows, why) = (erasure.outcome.rows.to_string(), erasure.reason.as_deref().unwrap_or_default());
        let asked = erasure.asked_at.to_string();
        table.add_row([&asked, &erasure.asked_by, &erasure.standing, erasure.stand_in.as_str(), &rows, why]);
    }
    table.trim_fmt()
}

fn described(erasure: &Shown) -> String {
    let Outcome { rows, notes, report_files, import_files, copies, audit_entries } = &erasure.outcome;
    let done = erasure.done_at.map_or_else(|| "running".to_owned(), |at| format!("done at {at}"));
    let mut lines = vec![
        format!("erasure    {} {done}", erasure.id),
        format!("stand-in   {}", erasure.stand_in),
        format!("store      {}, {}", count(*rows, "row"), count(*notes, "note")),
    ];
    for (word, files) in [("removed", report_files), ("removed", import_files)] {
        lines.extend(files.iter().map(|file| format!("{word:<10} {file}")));
    }
    if !copies.is_empty() {
        lines.push("These copies of the database still hold the agent; delete them, or let them expire:".to_owned());
        lines.extend(copies.iter().map(|copy| format!("copy       {copy}")));
    }
    if !audit_entries.is_empty() {
        let numbers: Vec<String> = audit_entries.iter().map(u64::to_string).collect();
        lines.push(format!(
            "Entries of the audit chain have the id or the name in words that people chose (the name of a file), and cannot be \
             changed: {}",
            numbers.join(", ")
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_said() {
        let shown: Shown = serde_json::from_value(json!({
            "id": "01a17867-8856-72c9-b800-1bbdb913b733", "tenant": "acme", "standing": "done", "stand_in": "erased-1",
            "asked_at": "2026-10-26T13:30:00Z", "asked_by": "person:ops", "reason": "T-1", "done_at": "2026-10-26T13:30:02Z",
            "rows": 12, "notes": 1, "report_files": ["/r/a.csv"], "import_files": ["/s/done/a.csv"], "copies": ["/b/k.db"],
            "audit_entries": [7]
        }))
        .expect("an erasure");
        let text = described(&shown);
        for part in [
            "done at 2026-10-26T13:30:02Z",
            "12 rows, 1 note",
            "removed    /r/a.csv",
            "copy       /b/k.db",
            "changed: 7",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(table(&[shown]).contains("T-1"));
    }
}
