//! Bulk changes from the command line: plan, apply, follow, undo, list, show and cancel, all through the running
//! daemon.

use std::collections::HashSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::options::{WhenOnContact, parse_span, parse_state, whole_seconds, with_even_if_in_state};
use super::table::{agents_table, set_summary, sets_table};
use crate::cli::shared::daemon::DaemonError;
use crate::cli::shared::exit::Exit;
use crate::cli::shared::messages::print_message;
use crate::cli::shared::output::{Output, print, print_json};
use crate::cli::shared::scope::usage_error;
use crate::cli::shared::tenant_client::{TenantArgs, TenantClient};
use crate::clock::{RealTime, Stopwatch};
use crate::config::Right;
use crate::domain::agents::state::AgentState;
use crate::domain::changes::policy::OnContact;
use crate::domain::ids::{AgentId, ChangeSetId, ReasonCode};
use crate::engine::changes::change_sets::view::{ChangeSetStatus, ChangeSetView};

/// The interval between requests about a running set, in real time.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// How long a set is followed by default, in real time.
const DEFAULT_FOLLOW_TIME: Duration = Duration::from_secs(3600);

/// Subcommands for bulk changes.
#[derive(clap::Subcommand, Debug)]
pub enum ChangeSetCommand {
    /// Preview a change of many agents; nothing is changed.
    Plan(Box<PlanArgs>),
    /// Apply a plan.
    Apply(ApplyArgs),
    /// Follow a bulk change until all its changes have ended.
    Follow(FollowArgs),
    /// Plan an undo: each agent goes back to the previous state.
    Undo(UndoArgs),
    /// List the newest bulk changes.
    List(ListArgs),
    /// Show a bulk change with its agents.
    Show(ChangeSetArgs),
    /// Discard a plan, or cancel the changes that were not sent yet.
    Cancel(CancelArgs),
}

/// Options for the daemon, the tenant and the output.
#[derive(clap::Args, Debug)]
pub struct CommonArgs {
    #[command(flatten)]
    scope: TenantArgs,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

/// Options of `change plan`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Prints the result for each agent and why, the cost, the estimated completion, and the id and hash that start
the change within ten minutes. Ends with 0 when some agent would be changed, with 1 when none would.

Examples:
  shiftkeeper change plan u_0001 u_0002 --to NotReady --reason MEETING
  shiftkeeper change plan --team 'Team A' --to NotReady --reason MEETING --save plan.json
  shiftkeeper change plan --file agents.txt --to Ready --urgent --note \"storm in queue Voice\""
)]
pub struct PlanArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// The agents' ids on the platform. Staffing floors are applied in this order.
    #[arg(value_name = "AGENT")]
    agents: Vec<AgentId>,
    /// A file with one id per line; `-` reads standard input.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["agents", "team", "state", "skill", "verdict", "search", "everybody"])]
    file: Option<PathBuf>,
    /// Agents of this team. May be given more than once.
    #[arg(long, value_name = "NAME", conflicts_with = "agents")]
    team: Vec<String>,
    /// Agents in this state. May be given more than once.
    #[arg(long, value_name = "STATE", value_parser = parse_state, conflicts_with = "agents")]
    state: Vec<AgentState>,
    /// Agents with this skill, by id or name, or shown with this queue. May be given more than once.
    #[arg(long, value_name = "SKILL", conflicts_with = "agents")]
    skill: Vec<String>,
    /// Agents with this adherence: in, out, neutral, unscheduled or unknown. May be given more than once.
    #[arg(long, value_name = "VERDICT", conflicts_with = "agents")]
    verdict: Vec<String>,
    /// Agents whose id or name contains this text.
    #[arg(long, value_name = "TEXT", conflicts_with = "agents")]
    search: Option<String>,
    /// Every agent of the tenant.
    #[arg(long, conflicts_with = "agents")]
    everybody: bool,
    /// The new state.
    #[arg(long, value_name = "STATE", help = "The wanted state, such as Ready or NotReady")]
    to: String,
    /// The reason code. Each state has a default.
    #[arg(long, value_name = "CODE")]
    reason: Option<ReasonCode>,
    /// Also set the reason for agents who are already in this state, with one API call each. Otherwise they are not
    /// changed.
    #[arg(long, requires = "reason")]
    even_if_in_state: bool,
    /// How long a change may wait before it is sent, such as 30m. The default is long enough for the estimated
    /// completion.
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    deadline: Option<Duration>,
    #[command(flatten)]
    execution: ExecutionArgs,
    /// Save the plan to a file, for `change apply --plan`.
    #[arg(long, value_name = "PATH")]
    save: Option<PathBuf>,
}

/// How a bulk change is carried out.
#[derive(clap::Args, Debug)]
pub struct ExecutionArgs {
    /// What to do while an agent is on a contact. The default is the tenant's setting.
    #[arg(long, value_name = "WHEN", value_enum)]
    on_contact: Option<WhenOnContact>,
    /// Take precedence over everything except mandatory breaks.
    #[arg(long)]
    urgent: bool,
    /// Allow skills to fall below their staffing floors, for this reason.
    #[arg(long, value_name = "REASON")]
    below_floor: Option<String>,
    /// A note, which is stored separately from the audit chain.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

/// Options of `change apply`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Only what was shown is started: with another hash, or after ten minutes, nothing starts. Ends as `change follow` does
with --wait, else with 0 once the change has started.

Examples:
  shiftkeeper change apply 0192f0c1-7d2e-7cc0-8a51-3f2e6d1b9a77 --hash 5f1c… --wait 30m
  shiftkeeper change apply --plan plan.json"
)]
pub struct ApplyArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// The plan's id.
    #[arg(value_name = "ID", required_unless_present = "plan", conflicts_with = "plan")]
    id: Option<ChangeSetId>,
    /// The plan's hash.
    #[arg(long, value_name = "HASH", required_unless_present = "plan", conflicts_with = "plan")]
    hash: Option<String>,
    /// A plan file, written by `change plan --save` or `--output json`.
    #[arg(long, value_name = "PATH")]
    plan: Option<PathBuf>,
    /// Wait until every change has ended, at most this long in real time.
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    wait: Option<Duration>,
}

/// Options of `change follow`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Ends with 0 when every change is confirmed, with 3 when some are, with 1 when none is, and with 75 when some are still
open at the end of the wait.

Examples:
  shiftkeeper change follow 0192f0c1-7d2e-7cc0-8a51-3f2e6d1b9a77 --wait 30m"
)]
pub struct FollowArgs {
    #[command(flatten)]
    change_set: ChangeSetArgs,
    /// The longest time to wait, in real time. The default is an hour.
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    wait: Option<Duration>,
}

/// Options of `change undo`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Shows a plan as `change plan` does: each agent goes back to the previous state if still in the one that was set.
Start it with `change apply`. Possible within an hour after the set has ended.

Examples:
  shiftkeeper change undo 0192f0c1-7d2e-7cc0-8a51-3f2e6d1b9a77 --note \"the meeting was cancelled\""
)]
pub struct UndoArgs {
    #[command(flatten)]
    change_set: ChangeSetArgs,
    #[command(flatten)]
    execution: ExecutionArgs,
    /// Save the plan to a file, for `change apply --plan`.
    #[arg(long, value_name = "PATH")]
    save: Option<PathBuf>,
}

/// Options of `change list`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  shiftkeeper change list --limit 10 --output json")]
pub struct ListArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// The maximum number.
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: u32,
}

/// Options of `change show`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  shiftkeeper change show 0192f0c1-7d2e-7cc0-8a51-3f2e6d1b9a77")]
pub struct ChangeSetArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// The id, as listed by `change list`.
    #[arg(value_name = "ID")]
    id: ChangeSetId,
}

/// Options of `change cancel`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  shiftkeeper change cancel 0192f0c1-7d2e-7cc0-8a51-3f2e6d1b9a77 --note \"wrong team\""
)]
pub struct CancelArgs {
    #[command(flatten)]
    change_set: ChangeSetArgs,
    /// A note, which is stored separately from the audit chain.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

/// Runs a subcommand.
pub(super) async fn run(command: ChangeSetCommand) -> anyhow::Result<ExitCode> {
    match command {
        ChangeSetCommand::Plan(args) => plan(*args).await,
        ChangeSetCommand::Apply(args) => apply(args).await,
        ChangeSetCommand::Follow(args) => follow(args).await,
        ChangeSetCommand::Undo(args) => undo(args).await,
        ChangeSetCommand::List(args) => list(args).await,
        ChangeSetCommand::Show(args) => show(args).await,
        ChangeSetCommand::Cancel(args) => cancel(args).await,
    }
}

/// A client for the bulk changes of one tenant, with the output format.
struct ChangeSetClient {
    client: TenantClient,
    output: Output,
}

impl ChangeSetClient {
    async fn connect(common: &CommonArgs) -> anyhow::Result<Self> {
        Ok(Self { client: common.scope.connect().await?, output: common.output })
    }

    async fn post(&self, path: &str, body: Value) -> anyhow::Result<ChangeSetView> {
        Ok(self.client.post(Right::Change, path, body).await?)
    }

    async fn fetch(&self, id: ChangeSetId, agents: bool) -> Result<ChangeSetView, DaemonError> {
        let agents = if agents { "true" } else { "false" };
        self.client.get(&format!("/api/v1/change-sets/{id}"), &[("agents", agents)]).await
    }

    /// Prints a plan and how to go on.
    fn print_plan(&self, plan: &ChangeSetView, save: Option<&Path>) -> anyhow::Result<Exit> {
        if let Some(path) = save {
            std::fs::write(path, serde_json::to_vec(plan)?)
                .map_err(|error| anyhow::anyhow!("{} cannot be written: {error}", path.display()))?;
        }
        self.print_set(plan)?;
        if plan.counts.will_change == 0 {
            print_message("no agent would be changed");
            return Ok(Exit::Failed);
        }
        match save {
            Some(path) => print_message(format!("start it with: shiftkeeper change apply --plan {}", path.display())),
            None => print_message(format!("start it with: shiftkeeper change apply {} --hash {}", plan.id, plan.hash)),
        }
        Ok(Exit::Done)
    }

    fn print_set(&self, set: &ChangeSetView) -> anyhow::Result<()> {
        self.output.print(set, || format!("{}\n{}", agents_table(set), set_summary(set)))
    }

    /// Returns the set once it has ended, or its state at the end of the wait. A daemon that is away for a while is
    /// waited for.
    async fn wait_until_ended(&self, id: ChangeSetId, wait: Duration) -> anyhow::Result<ChangeSetView> {
        let (watch, mut last_progress) = (Stopwatch::start(), String::new());
        loop {
            let left = wait.saturating_sub(watch.elapsed());
            match self.fetch(id, false).await {
                Ok(set) => {
                    let progress = format!(
                        "{} confirmed, {} open, {} failed",
                        set.counts.confirmed, set.counts.open, set.counts.failed
                    );
                    if progress != last_progress {
                        print_message(&progress);
                        last_progress = progress;
                    }
                    if set.status != ChangeSetStatus::Running || left.is_zero() {
                        return Ok(self.fetch(id, true).await?);
                    }
                }
                Err(error) if !error.is_transient() || left.is_zero() => return Err(error.into()),
                Err(_) => {}
            }
            RealTime::sleep(POLL_INTERVAL.min(left)).await;
        }
    }
}

async fn plan(args: PlanArgs) -> anyhow::Result<ExitCode> {
    let select = selection(&args)?;
    let client = ChangeSetClient::connect(&args.common).await?;
    let body = plan_body(&args, &select);
    let plan = client.post("/api/v1/change-sets", body).await?;
    Ok(client.print_plan(&plan, args.save.as_deref())?.into())
}

fn plan_body(args: &PlanArgs, select: &Value) -> Value {
    let body = json!({
        "select": select,
        "to": args.to,
        "reason": args.reason,
        "on_contact": args.execution.on_contact.map(OnContact::from),
        "urgent": args.execution.urgent,
        "below_floor": args.execution.below_floor,
        "deadline_s": args.deadline.map(whole_seconds),
        "note": args.execution.note,
    });
    with_even_if_in_state(body, args.even_if_in_state)
}

/// Returns the selection of agents by the options, in the format of the API.
fn selection(args: &PlanArgs) -> anyhow::Result<Value> {
    if let Some(path) = &args.file {
        return Ok(json!({"agents": read_ids(path)?}));
    }
    if !args.agents.is_empty() {
        return Ok(json!({"agents": args.agents}));
    }
    let filter = json!({
        "teams": args.team, "states": args.state, "skills": args.skill, "verdicts": args.verdict, "search": args.search,
    });
    let names_nobody =
        args.team.is_empty() && args.state.is_empty() && args.skill.is_empty() && args.verdict.is_empty();
    if names_nobody && args.search.is_none() && !args.everybody {
        return Err(usage_error("name agents, a --file, a filter such as --team, or --everybody".into()));
    }
    Ok(json!({"filter": filter}))
}

/// Reads the ids of a file, one per line. Blank lines and comments after `#` are skipped.
fn read_ids(path: &Path) -> anyhow::Result<Vec<String>> {
    let text = if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.map_err(|error| anyhow::anyhow!("{} cannot be read: {error}", path.display()))?;
    let mut seen = HashSet::new();
    let ids = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    Ok(ids.filter(|id| !id.is_empty() && seen.insert((*id).to_owned())).map(str::to_owned).collect())
}

async fn apply(args: ApplyArgs) -> anyhow::Result<ExitCode> {
    let mut common = args.common;
    let (id, hash) = match (&args.plan, args.id, args.hash) {
        (Some(path), ..) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| anyhow::anyhow!("{} cannot be read: {error}", path.display()))?;
            let plan: ChangeSetView = serde_json::from_str(&text)
                .map_err(|error| anyhow::anyhow!("{} is not a plan of a change: {error}", path.display()))?;
            common.scope.tenant = Some(plan.tenant);
            (plan.id, plan.hash)
        }
        (None, Some(id), Some(hash)) => (id, hash),
        (None, ..) => return Err(usage_error("name a plan's ID with --hash, or its file with --plan".into())),
    };
    let client = ChangeSetClient::connect(&common).await?;
    let body = json!({"hash": hash});
    let started = client.post(&format!("/api/v1/change-sets/{id}/start"), body).await?;
    let Some(wait) = args.wait else {
        client.print_set(&started)?;
        return Ok(Exit::Done.into());
    };
    let set = client.wait_until_ended(id, wait).await?;
    client.print_set(&set)?;
    Ok(exit_of(&set).into())
}

async fn follow(args: FollowArgs) -> anyhow::Result<ExitCode> {
    let client = ChangeSetClient::connect(&args.change_set.common).await?;
    let set = client.wait_until_ended(args.change_set.id, args.wait.unwrap_or(DEFAULT_FOLLOW_TIME)).await?;
    client.print_set(&set)?;
    Ok(exit_of(&set).into())
}

async fn undo(args: UndoArgs) -> anyhow::Result<ExitCode> {
    let client = ChangeSetClient::connect(&args.change_set.common).await?;
    let body = json!({
        "on_contact": args.execution.on_contact.map(OnContact::from),
        "urgent": args.execution.urgent,
        "below_floor": args.execution.below_floor,
        "note": args.execution.note,
    });
    let plan = client.post(&format!("/api/v1/change-sets/{}/undo", args.change_set.id), body).await?;
    Ok(client.print_plan(&plan, args.save.as_deref())?.into())
}

async fn list(args: ListArgs) -> anyhow::Result<ExitCode> {
    let client = ChangeSetClient::connect(&args.common).await?;
    let limit = args.limit.to_string();
    let answer: Value = client.client.get("/api/v1/change-sets", &[("limit", &limit)]).await?;
    match client.output {
        Output::Json => print_json(&answer)?,
        Output::Table => {
            let sets: Vec<ChangeSetView> =
                serde_json::from_value(answer.get("change_sets").cloned().unwrap_or_default())?;
            print(sets_table(&sets))?;
        }
    }
    Ok(Exit::Done.into())
}

async fn show(args: ChangeSetArgs) -> anyhow::Result<ExitCode> {
    let client = ChangeSetClient::connect(&args.common).await?;
    let set = client.fetch(args.id, true).await?;
    client.print_set(&set)?;
    Ok(Exit::Done.into())
}

async fn cancel(args: CancelArgs) -> anyhow::Result<ExitCode> {
    let client = ChangeSetClient::connect(&args.change_set.common).await?;
    let body = json!({"note": args.note});
    let set = client.post(&format!("/api/v1/change-sets/{}/cancel", args.change_set.id), body).await?;
    client.print_set(&set)?;
    Ok(Exit::Done.into())
}

/// Returns the exit code after a wait.
fn exit_of(set: &ChangeSetView) -> Exit {
    let counts = &set.counts;
    if counts.open > 0 {
        return Exit::TryLater;
    }
    let unsuccessful = counts.failed + counts.left_out_at_start;
    match (counts.confirmed, unsuccessful) {
        (0, _) => Exit::Failed,
        (1.., 0) => Exit::Done,
        (1.., 1..) => Exit::Partial,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(subcommand)]
        command: ChangeSetCommand,
    }

    #[test]
    fn the_choice_to_change_the_reason_of_everybody_is_sent_where_it_is_made() {
        let body = |options: &[&str]| {
            let words = ["change", "plan", "u_1", "--to", "Ready"].into_iter().chain(options.iter().copied());
            match Command::try_parse_from(words)?.command {
                ChangeSetCommand::Plan(args) => Ok::<_, clap::Error>(plan_body(&args, &json!({"agents": ["u_1"]}))),
                _ => unreachable!("a plan was asked for"),
            }
        };
        let plain = body(&["--reason", "WORKING"]).expect("known options");
        assert_eq!((&plain["reason"], plain.get("even_if_in_state")), (&json!("WORKING"), None));
        let chosen = body(&["--reason", "WORKING", "--even-if-in-state"]).expect("known options");
        assert_eq!(chosen["even_if_in_state"], json!(true));
        let refused = body(&["--even-if-in-state"]).expect_err("no reason").to_string();
        assert!(refused.contains("--reason"), "{refused}");
    }

    fn parse_selection(options: &[&str]) -> anyhow::Result<Value> {
        let words = ["change", "plan"].into_iter().chain(options.iter().copied());
        match Command::try_parse_from(words)?.command {
            ChangeSetCommand::Plan(args) => selection(&args),
            _ => unreachable!("a plan was asked for"),
        }
    }

    #[test]
    fn agents_are_named_listed_in_a_file_or_filtered_and_never_meant_by_silence() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("agents.txt");
        std::fs::write(&path, "u_1\n\n u_2 # late shift\nu_1\n").expect("written");
        let path = path.to_str().expect("text");
        let to = ["--to", "NotReady"];
        let with = |options: &[&str]| parse_selection(&[options, &to].concat());
        assert_eq!(with(&["u_1", "u_2"]).expect("named"), json!({"agents": ["u_1", "u_2"]}));
        assert_eq!(with(&["--file", path]).expect("listed"), json!({"agents": ["u_1", "u_2"]}));
        let filter = with(&["--team", "Billing", "--state", "ready"]).expect("filtered");
        assert_eq!((&filter["filter"]["teams"], &filter["filter"]["states"]), (&json!(["Billing"]), &json!(["Ready"])));
        assert!(with(&["--everybody"]).is_ok());
        assert!(with(&[]).expect_err("nobody").to_string().contains("--everybody"));
        assert!(with(&["u_1", "--team", "Billing"]).is_err(), "a list and a filter");
        assert!(with(&["--file", "/no/such/file"]).expect_err("no file").to_string().contains("/no/such/file"));
    }
}
