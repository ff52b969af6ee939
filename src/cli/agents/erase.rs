//! `shiftkeeper erase`: erases an agent's personal data for good through the running daemon, and follows the erasure
//! to its end.

use std::process::ExitCode;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::cli::shared::confirmation::require_typed;
use crate::cli::shared::exit::Exit;
use crate::cli::shared::messages::print_message;
use crate::cli::shared::output::{Output, table_with_header};
use crate::cli::shared::tenant_client::{TenantArgs, TenantClient, path_part};
use crate::clock::{RealTime, Stopwatch};
use crate::config::Right;
use crate::domain::agents::erasure::ErasureResult;
use crate::domain::ids::{AgentId, ErasureId, TenantId};
use crate::domain::time::UtcMicros;
use crate::domain::wording::count_with_noun;

/// The interval between progress requests, in real time.
const POLL_INTERVAL_REAL: Duration = Duration::from_millis(500);

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
    #[command(flatten)]
    scope: TenantArgs,
    /// The reason. It is kept, so use a ticket number rather than a name.
    #[arg(long, value_name = "TEXT", required_unless_present = "list")]
    pub reason: Option<String>,
    /// Skip the confirmation.
    #[arg(long)]
    pub yes: bool,
    /// How long to wait for the end, in real time. The erasure continues in any case.
    #[arg(long, value_name = "SPAN", default_value = "10m", value_parser = crate::cli::changes::change::parse_span)]
    pub wait: Duration,
    /// List past erasures instead.
    #[arg(long, conflicts_with_all = ["agent", "reason", "yes"])]
    pub list: bool,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// An erasure as the daemon shows it.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
struct ErasureView {
    id: ErasureId,
    tenant: TenantId,
    standing: String,
    stand_in: AgentId,
    asked_at: UtcMicros,
    asked_by: String,
    reason: Option<String>,
    done_at: Option<UtcMicros>,
    #[serde(flatten)]
    outcome: ErasureResult,
}

#[derive(Deserialize)]
struct ErasurePage {
    erasures: Vec<ErasureView>,
    next: Option<ErasureId>,
}

/// Runs the command.
pub async fn run(args: EraseArgs) -> anyhow::Result<ExitCode> {
    let client = args.scope.connect().await?;
    let (Some(agent), Some(reason)) = (&args.agent, &args.reason) else {
        return list(&client, args.output).await;
    };
    if !args.yes {
        confirm(agent, client.tenant())?;
    }
    let path = format!("/api/v1/agents/{}/erase", path_part(agent.as_str()));
    let erasure: ErasureView = client.post(Right::Erase, &path, json!({"reason": reason})).await?;
    let erasure = follow(&client, erasure, args.wait).await?;
    args.output.print(&erasure, || describe(&erasure))?;
    if erasure.done_at.is_some() {
        return Ok(Exit::Done.into());
    }
    print_message("not done yet; the daemon continues, and `shiftkeeper erase --list` shows when it is done");
    Ok(Exit::TryLater.into())
}

/// Asks the user to repeat the id, since the erasure cannot be undone.
fn confirm(agent: &AgentId, tenant: &TenantId) -> anyhow::Result<()> {
    let announcement = format!(
        "All data that identifies agent {agent} of tenant {tenant} will be erased permanently. Type the id to continue:"
    );
    require_typed(announcement, agent.as_str(), "that is another id; nothing was done")
}

async fn follow(client: &TenantClient, mut erasure: ErasureView, wait: Duration) -> anyhow::Result<ErasureView> {
    let (path, stopwatch) = (format!("/api/v1/erasures/{}", erasure.id), Stopwatch::start());
    while erasure.done_at.is_none() && stopwatch.elapsed() < wait {
        RealTime::sleep(POLL_INTERVAL_REAL).await;
        erasure = client.get_as(Right::Erase, &path, &[]).await?;
    }
    Ok(erasure)
}

async fn list(client: &TenantClient, output: Output) -> anyhow::Result<ExitCode> {
    let (mut all, mut before): (Vec<ErasureView>, Option<ErasureId>) = (Vec::new(), None);
    loop {
        let cursor = before.map(|id| id.to_string());
        let query: Vec<(&str, &str)> = cursor.iter().map(|id| ("before", id.as_str())).collect();
        let mut page: ErasurePage = client.get_as(Right::Erase, "/api/v1/erasures", &query).await?;
        all.append(&mut page.erasures);
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    output.print(&json!({ "erasures": all }), || table(&all))?;
    Ok(Exit::Done.into())
}

fn table(all: &[ErasureView]) -> String {
    let mut table = table_with_header(["REQUESTED", "BY", "STATUS", "STAND-IN", "ROWS", "WHY"]);
    for erasure in all {
        let (rows, why) = (erasure.outcome.rows.to_string(), erasure.reason.as_deref().unwrap_or_default());
        let requested_at = erasure.asked_at.to_string();
        table.add_row([&requested_at, &erasure.asked_by, &erasure.standing, erasure.stand_in.as_str(), &rows, why]);
    }
    table.trim_fmt()
}

fn describe(erasure: &ErasureView) -> String {
    let ErasureResult { rows, notes, report_files, import_files, copies, audit_entries } = &erasure.outcome;
    let done = erasure.done_at.map_or_else(|| "running".to_owned(), |at| format!("done at {at}"));
    let mut lines = vec![
        format!("erasure    {} {done}", erasure.id),
        format!("stand-in   {}", erasure.stand_in),
        format!("store      {}, {}", count_with_noun(*rows, "row"), count_with_noun(*notes, "note")),
    ];
    lines.extend(report_files.iter().chain(import_files).map(|file| format!("removed    {file}")));
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
        let shown: ErasureView = serde_json::from_value(json!({
            "id": "01a17867-8856-72c9-b800-1bbdb913b733", "tenant": "acme", "standing": "done", "stand_in": "erased-1",
            "asked_at": "2026-10-26T13:30:00Z", "asked_by": "person:ops", "reason": "T-1", "done_at": "2026-10-26T13:30:02Z",
            "rows": 12, "notes": 1, "report_files": ["/r/a.csv"], "import_files": ["/s/done/a.csv"], "copies": ["/b/k.db"],
            "audit_entries": [7]
        }))
        .expect("an erasure");
        let text = describe(&shown);
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
