//! `shiftkeeper rules`: the rules that are in force, what they did, what they make of an agent, what they would have done. Asked of the
//! running daemon, as the token may.
//!
//! `check FILE` alone needs no daemon: it checks the text against what this configuration says of the platform.

mod explain;
pub mod plan;
mod replay;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use comfy_table::{Table, presets};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::shared::caller::{Caller, path_part};
use super::shared::config_args::ConfigArgs;
use super::shared::daemon::DaemonError;
use super::shared::exit::Exit;
use super::shared::output::{Output, print, print_json};
use super::shared::scope::tenants;
use super::shared::talk::{Failure, say};
use crate::app::tenant_settings;
use crate::config::{Config, Right, Tenant};
use crate::domain::ids::{RuleId, TenantId};
use crate::domain::rules::rule::Mode;
use crate::domain::rules::rule::check::check as check_rules;
use crate::domain::rules::rule::parse::{RulesError, parse};
use crate::domain::rules::rule::subjects::unknown_subjects;
use crate::domain::rules::rule::written::{LineComplaint, placed};
use crate::domain::time::UtcMicros;
use crate::domain::words::count;

/// What `rules` can do.
#[derive(clap::Subcommand, Debug)]
pub enum RulesCommand {
    /// List the rules, where each comes from, and its counts.
    List(ListArgs),
    /// Check files of rules, or the rules that there are.
    Check(CheckArgs),
    /// Explain how every rule applies to an agent now, and why.
    Explain(explain::ExplainArgs),
    /// Backtest rules over stored history.
    Replay(replay::ReplayArgs),
    /// Set the mode of a rule: monitoring, requires approval, or enforcing.
    SetMode(SetModeArgs),
}

/// Options of `rules list`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Needs a running daemon. CHANGED counts the transitions that a rule requested, WOULD CHANGE those that it would have
requested while monitoring, NOTIFIED the messages that it sent, HELD the changes that a policy or guard held, and REVERTED
the changes that agents reverted.

Examples:
  shiftkeeper rules list
  shiftkeeper rules list --tenant acme --days 7
  shiftkeeper rules list --output json"
)]
pub struct ListArgs {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// One tenant; all of them without it.
    #[arg(long, value_name = "ID")]
    pub tenant: Option<TenantId>,
    /// Count activity over this many days.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=31))]
    pub days: u64,
    /// How to print.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// Options of `rules check`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Without a file, the rules that the daemon has, of its configuration and its store. Files are checked here, without a
daemon, for the platforms of this configuration. Ends with 4 when something is wrong.

Examples:
  shiftkeeper rules check
  shiftkeeper rules check new-rule.toml
  shiftkeeper rules check config/rules.toml --tenant acme"
)]
pub struct CheckArgs {
    /// Files of `[[rules]]` tables.
    #[arg(id = "rule-files", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// For this tenant's platform; all of them without it.
    #[arg(long, value_name = "ID")]
    pub tenant: Option<TenantId>,
    /// How to print.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// Options of `rules set-mode`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Needs a running daemon. The mode takes effect at once and survives restarts. A rule of the configuration gets a copy
in the store that replaces it.

Examples:
  shiftkeeper rules set-mode back-from-break enforce --reason \"a quiet week of monitoring\"
  shiftkeeper rules set-mode back-from-break watch --tenant acme"
)]
pub struct SetModeArgs {
    /// The rule.
    #[arg(value_name = "RULE")]
    pub rule: RuleId,
    /// The mode.
    #[arg(value_name = "MODE", value_enum)]
    pub mode: ModeArg,
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
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

/// Whether a rule acts.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum ModeArg {
    /// Monitoring: the rule records what it would have changed.
    Watch,
    /// Requires approval: each change waits for a person.
    Approve,
    /// Enforcing: the rule changes agents by itself.
    Enforce,
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Watch => Self::Watch,
            ModeArg::Approve => Self::Approve,
            ModeArg::Enforce => Self::Enforce,
        }
    }
}

/// Carries one out.
pub async fn run(command: RulesCommand) -> anyhow::Result<ExitCode> {
    match command {
        RulesCommand::List(args) => list(args).await,
        RulesCommand::Check(args) => check(args).await,
        RulesCommand::Explain(args) => explain::run(args).await,
        RulesCommand::Replay(args) => replay::run(args).await,
        RulesCommand::SetMode(args) => set_mode(args).await,
    }
}

/// The rules of a tenant as the daemon shows them, as far as they are looked at here.
#[derive(Deserialize)]
struct Rules {
    tenant: TenantId,
    rules: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    id: RuleId,
    origin: String,
    mode: Mode,
    in_force: bool,
    why_not: Option<String>,
    complaints: Vec<LineComplaint>,
    counts: Counts,
}

#[derive(Deserialize)]
struct Counts {
    would: u64,
    told: u64,
    reversed: u64,
    held: Vec<Held>,
    transitions: Transitions,
}

#[derive(Deserialize)]
struct Held {
    times: u64,
}

#[derive(Deserialize)]
struct Transitions {
    total: u64,
}

async fn list(args: ListArgs) -> anyhow::Result<ExitCode> {
    let mut answers = Vec::new();
    for caller in Caller::of_each(&args.config, args.tenant.as_ref()).await? {
        answers.push(rules_of(&caller, args.days).await.map_err(DaemonError::into_failure)?);
    }
    match args.output {
        Output::Json => print_json(&json!({ "tenants": answers }))?,
        Output::Table => {
            let all: Vec<Rules> = answers.into_iter().map(serde_json::from_value).collect::<Result<_, _>>()?;
            print(table(&all))?;
        }
    }
    Ok(Exit::Done.into())
}

/// The rules of a tenant, with what they did in the last days.
async fn rules_of(caller: &Caller, days: u64) -> Result<Value, DaemonError> {
    const PATH: &str = "/api/v1/rules";
    let last_day: Value = caller.get(PATH, &[]).await?;
    // What the present is, the daemon says, whose clock may be another.
    let now = last_day["to"].as_str().and_then(|to| to.parse::<UtcMicros>().ok()).filter(|_| days != 1);
    let Some(now) = now else { return Ok(last_day) };
    let from = now - Duration::from_secs(days * 24 * 3600);
    caller.get(PATH, &[("from", &from.to_string()), ("to", &now.to_string())]).await
}

fn table(all: &[Rules]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header([
        "TENANT",
        "RULE",
        "FROM",
        "MODE",
        "ACTIVE",
        "CHANGED",
        "WOULD CHANGE",
        "NOTIFIED",
        "HELD",
        "REVERTED",
    ]);
    for (tenant, rule) in all.iter().flat_map(|of| of.rules.iter().map(|rule| (&of.tenant, rule))) {
        let counts = &rule.counts;
        let in_force = match (rule.in_force, rule.complaints.is_empty()) {
            (true, _) => "yes".to_owned(),
            (false, true) => format!("no: {}", rule.why_not.as_deref().unwrap_or("see `rules check`")),
            (false, false) => "no: see `rules check`".to_owned(),
        };
        table.add_row([
            tenant.to_string(),
            rule.id.to_string(),
            rule.origin.clone(),
            rule.mode.name().to_owned(),
            in_force,
            counts.transitions.total.to_string(),
            counts.would.to_string(),
            counts.told.to_string(),
            counts.held.iter().map(|held| held.times).sum::<u64>().to_string(),
            counts.reversed.to_string(),
        ]);
    }
    table.trim_fmt()
}

/// Something wrong with a rule, and where.
#[derive(Serialize, Debug, PartialEq, Eq)]
struct Wrong {
    /// The file, or the tenant and the rule of the store.
    place: String,
    #[serde(flatten)]
    complaint: LineComplaint,
}

impl Wrong {
    fn line(&self) -> String {
        let LineComplaint { line, field, message } = &self.complaint;
        let field = if field.is_empty() { String::new() } else { format!("{field}: ") };
        format!("{}:{line}: {field}{message}", self.place)
    }
}

async fn check(args: CheckArgs) -> anyhow::Result<ExitCode> {
    let (checked, wrong) = if args.files.is_empty() { check_there(&args).await? } else { check_files(&args)? };
    match args.output {
        Output::Json => print_json(&json!({ "ok": wrong.is_empty(), "complaints": wrong }))?,
        Output::Table => {
            let mut lines: Vec<String> = wrong.iter().map(Wrong::line).collect();
            lines.push(match wrong.len() {
                0 => format!("ok: {}", count(checked, "rule")),
                faults => format!("{} found", count(faults, "mistake")),
            });
            print(lines.join("\n"))?;
        }
    }
    Ok(if wrong.is_empty() { Exit::Done } else { Exit::Problems }.into())
}

/// What the daemon says is wrong with the rules that it has, and how many it has.
async fn check_there(args: &CheckArgs) -> anyhow::Result<(usize, Vec<Wrong>)> {
    let (mut checked, mut wrong) = (0, Vec::new());
    for caller in Caller::of_each(&args.config, args.tenant.as_ref()).await? {
        let Rules { tenant, rules } = caller.get("/api/v1/rules", &[]).await.map_err(DaemonError::into_failure)?;
        checked += rules.len();
        for rule in rules {
            let place = format!("{tenant}, rule {}", rule.id);
            wrong.extend(rule.complaints.into_iter().map(|complaint| Wrong { place: place.clone(), complaint }));
        }
    }
    Ok((checked, wrong))
}

/// What is wrong with files, and how many rules are in them.
fn check_files(args: &CheckArgs) -> anyhow::Result<(usize, Vec<Wrong>)> {
    let loaded = args.config.load_for_command()?;
    let wanted = tenants(&loaded.config, args.tenant.as_ref())?;
    let (mut checked, mut wrong, mut unknown) = (0, Vec::new(), Vec::new());
    for file in &args.files {
        let text = std::fs::read_to_string(file)
            .map_err(|error| Failure::because(Exit::Failed, format!("{}: {error}", file.display())))?;
        let mut most = 0;
        for tenant in &wanted {
            let (rules, complaints) = check_text(&loaded.config, tenant, &text, &mut unknown)?;
            most = most.max(rules);
            let place = file.display().to_string();
            wrong.extend(complaints.into_iter().map(|complaint| Wrong { place: place.clone(), complaint }));
        }
        checked += most;
    }
    // What is wrong for every tenant is said once.
    wrong.dedup();
    unknown.iter().for_each(say);
    Ok((checked, wrong))
}

/// How many rules a text has, and what is wrong with them on a tenant's platform.
/// What its conditions name and the tenant does not have goes into `unknown`, a sentence each.
fn check_text(
    config: &Config,
    tenant: &Tenant,
    text: &str,
    unknown: &mut Vec<String>,
) -> anyhow::Result<(usize, Vec<LineComplaint>)> {
    let whole = |line: usize, message: String| vec![LineComplaint { line, field: String::new(), message }];
    let (rules, unread) = match parse(text) {
        Ok(read) => read,
        Err(RulesError::Syntax(error)) => {
            let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            return Ok((0, whole(line, format!("not valid TOML: {}", error.message().replace('\n', ", ")))));
        }
        Err(error @ RulesError::NotRules(_)) => return Ok((0, whole(1, error.to_string()))),
    };
    if !unread.is_empty() {
        return Ok((rules.len(), placed(text, &unread)));
    }
    let settings = tenant_settings(config, tenant)?;
    for rule in &rules {
        let found = unknown_subjects(rule, |subject| settings.has(subject)).into_iter();
        unknown.extend(found.map(|(field, what)| format!("{}: rule {}, {field}: {what}", tenant.id, rule.id)));
    }
    let complaints = check_rules(&rules, settings.capabilities);
    Ok((rules.len(), placed(text, &complaints)))
}

async fn set_mode(args: SetModeArgs) -> anyhow::Result<ExitCode> {
    let mode = Mode::from(args.mode);
    let caller = Caller::of(&args.config, args.tenant.as_ref()).await?;
    let path = format!("/api/v1/rules/{}/mode", path_part(args.rule.as_str()));
    let asked = caller.post(Right::EditRules, &path, json!({ "mode": mode, "reason": args.reason })).await;
    let answer: Value = asked.map_err(DaemonError::into_failure)?;
    match args.output {
        Output::Json => print_json(&answer)?,
        Output::Table => {
            let (tenant, version) = (caller.tenant(), &answer["version"]);
            print(format!("{tenant}: {} is in mode {} now, as version {version}", args.rule, mode.name()))?;
        }
    }
    Ok(Exit::Done.into())
}
