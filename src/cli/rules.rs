//! `shiftkeeper rules`: the rules in force, what they did, how they apply to an agent, and what they would have done,
//! from the running daemon within the token's rights.
//!
//! Only `check FILE` needs no daemon: it checks the text against this configuration's description of the platform.

mod diagnostic;
mod explain;
pub mod plan;
mod replay;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use self::diagnostic::RuleDiagnostic;
use super::shared::config_args::ConfigArgs;
use super::shared::daemon::DaemonError;
use super::shared::exit::{CommandFailure, Exit};
use super::shared::messages::print_message;
use super::shared::output::{Output, print, print_json, table_with_header};
use super::shared::scope::selected_tenants;
use super::shared::tenant_client::{TenantArgs, TenantClient, path_part};
use crate::app::tenant_settings;
use crate::config::{Config, Right, Tenant};
use crate::domain::ids::{RuleId, TenantId};
use crate::domain::rules::rule::Mode;
use crate::domain::rules::rule::check::check as check_rules;
use crate::domain::rules::rule::parse::{RulesFileError, parse_rules};
use crate::domain::rules::rule::rule_text::{LineDiagnostic, locate_diagnostics};
use crate::domain::rules::rule::subjects::unknown_references;
use crate::domain::time::UtcMicros;
use crate::domain::wording::count_with_noun;

/// Subcommands of `rules`.
#[derive(clap::Subcommand, Debug)]
pub enum RulesCommand {
    /// List the rules with their origin and their counts.
    List(ListArgs),
    /// Check files of rules, or the rules in effect.
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
    #[command(flatten)]
    config: ConfigArgs,
    /// One tenant. The default is all tenants.
    #[arg(long, value_name = "ID")]
    pub tenant: Option<TenantId>,
    /// The number of days for the counts.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=31))]
    pub days: u64,
    /// The output format.
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
    #[command(flatten)]
    config: ConfigArgs,
    /// Check for this tenant's platform. The default is all tenants.
    #[arg(long, value_name = "ID")]
    pub tenant: Option<TenantId>,
    /// The output format.
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
    /// The rule's id.
    #[arg(value_name = "RULE")]
    pub rule: RuleId,
    /// The new mode.
    #[arg(value_name = "MODE", value_enum)]
    pub mode: ModeArg,
    /// The reason, for the audit trail.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    #[command(flatten)]
    scope: TenantArgs,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// The mode of a rule.
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

/// Runs a subcommand.
pub async fn run(command: RulesCommand) -> anyhow::Result<ExitCode> {
    match command {
        RulesCommand::List(args) => list(args).await,
        RulesCommand::Check(args) => check(args).await,
        RulesCommand::Explain(args) => explain::run(args).await,
        RulesCommand::Replay(args) => replay::run(args).await,
        RulesCommand::SetMode(args) => set_mode(args).await,
    }
}

/// The relevant part of a tenant's rules as the daemon shows them.
#[derive(Deserialize)]
struct TenantRules {
    tenant: TenantId,
    rules: Vec<ListedRule>,
}

#[derive(Deserialize)]
struct ListedRule {
    id: RuleId,
    origin: String,
    mode: Mode,
    in_force: bool,
    why_not: Option<String>,
    complaints: Vec<LineDiagnostic>,
    counts: RuleCounts,
}

#[derive(Deserialize)]
struct RuleCounts {
    would: u64,
    told: u64,
    reversed: u64,
    held: Vec<HeldCount>,
    transitions: TransitionCount,
}

#[derive(Deserialize)]
struct HeldCount {
    times: u64,
}

#[derive(Deserialize)]
struct TransitionCount {
    total: u64,
}

async fn list(args: ListArgs) -> anyhow::Result<ExitCode> {
    let mut answers = Vec::new();
    for client in TenantClient::connect_each(&args.config, args.tenant.as_ref()).await? {
        answers.push(fetch_rules(&client, args.days).await?);
    }
    match args.output {
        Output::Json => print_json(&json!({ "tenants": answers }))?,
        Output::Table => {
            let all: Vec<TenantRules> = answers.into_iter().map(serde_json::from_value).collect::<Result<_, _>>()?;
            print(table(&all))?;
        }
    }
    Ok(Exit::Done.into())
}

/// Fetches the rules of a tenant and their activity in the last days.
async fn fetch_rules(client: &TenantClient, days: u64) -> Result<Value, DaemonError> {
    const PATH: &str = "/api/v1/rules";
    let last_day: Value = client.get(PATH, &[]).await?;
    // Take the present from the daemon, whose clock may differ.
    let now = last_day["to"].as_str().and_then(|to| to.parse::<UtcMicros>().ok()).filter(|_| days != 1);
    let Some(now) = now else { return Ok(last_day) };
    let from = now - Duration::from_secs(days * 24 * 3600);
    client.get(PATH, &[("from", &from.to_string()), ("to", &now.to_string())]).await
}

fn table(all: &[TenantRules]) -> String {
    let mut table = table_with_header([
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

async fn check(args: CheckArgs) -> anyhow::Result<ExitCode> {
    let (checked, wrong) = if args.files.is_empty() { check_on_daemon(&args).await? } else { check_files(&args)? };
    args.output.print(&json!({ "ok": wrong.is_empty(), "complaints": wrong }), || {
        let mut lines: Vec<String> = wrong.iter().map(RuleDiagnostic::summary_line).collect();
        lines.push(match wrong.len() {
            0 => format!("ok: {}", count_with_noun(checked, "rule")),
            faults => format!("{} found", count_with_noun(faults, "mistake")),
        });
        lines.join("\n")
    })?;
    Ok(if wrong.is_empty() { Exit::Done } else { Exit::Problems }.into())
}

/// Returns the number of the daemon's rules and the mistakes that it reports.
async fn check_on_daemon(args: &CheckArgs) -> anyhow::Result<(usize, Vec<RuleDiagnostic>)> {
    let (mut checked, mut wrong) = (0, Vec::new());
    for client in TenantClient::connect_each(&args.config, args.tenant.as_ref()).await? {
        let TenantRules { tenant, rules } = client.get("/api/v1/rules", &[]).await?;
        checked += rules.len();
        for rule in rules {
            wrong.extend(RuleDiagnostic::all_at(&format!("{tenant}, rule {}", rule.id), rule.complaints));
        }
    }
    Ok((checked, wrong))
}

/// Returns the number of rules in files and their mistakes.
fn check_files(args: &CheckArgs) -> anyhow::Result<(usize, Vec<RuleDiagnostic>)> {
    let loaded = args.config.load_for_command()?;
    let selected = selected_tenants(&loaded.config, args.tenant.as_ref())?;
    let (mut checked, mut wrong, mut unknown) = (0, Vec::new(), Vec::new());
    for file in &args.files {
        let text = std::fs::read_to_string(file)
            .map_err(|error| CommandFailure::with_exit(Exit::Failed, format!("{}: {error}", file.display())))?;
        let mut rule_count = 0;
        for tenant in &selected {
            let (rules, complaints) = check_text(&loaded.config, tenant, &text, &mut unknown)?;
            rule_count = rule_count.max(rules);
            wrong.extend(RuleDiagnostic::all_at(&file.display().to_string(), complaints));
        }
        checked += rule_count;
    }
    // Report a mistake that applies to every tenant only once.
    wrong.dedup();
    unknown.iter().for_each(print_message);
    Ok((checked, wrong))
}

/// Checks the rules of a text against a tenant's platform. Returns their number and mistakes. Names in conditions
/// that the tenant does not have are added to `unknown`, a sentence each.
fn check_text(
    config: &Config,
    tenant: &Tenant,
    text: &str,
    unknown: &mut Vec<String>,
) -> anyhow::Result<(usize, Vec<LineDiagnostic>)> {
    let whole = |line: usize, message: String| vec![LineDiagnostic { line, field: String::new(), message }];
    let (rules, unread) = match parse_rules(text) {
        Ok(read) => read,
        Err(RulesFileError::Syntax(error)) => {
            let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            return Ok((0, whole(line, format!("not valid TOML: {}", error.message().replace('\n', ", ")))));
        }
        Err(error @ RulesFileError::NotRules(_)) => return Ok((0, whole(1, error.to_string()))),
    };
    if !unread.is_empty() {
        return Ok((rules.len(), locate_diagnostics(text, &unread)));
    }
    let settings = tenant_settings(config, tenant)?;
    for rule in &rules {
        let found = unknown_references(rule, |subject| settings.has(subject)).into_iter();
        unknown.extend(found.map(|(field, what)| format!("{}: rule {}, {field}: {what}", tenant.id, rule.id)));
    }
    let diagnostics = check_rules(&rules, settings.capabilities);
    Ok((rules.len(), locate_diagnostics(text, &diagnostics)))
}

async fn set_mode(args: SetModeArgs) -> anyhow::Result<ExitCode> {
    let mode = Mode::from(args.mode);
    let client = args.scope.connect().await?;
    let path = format!("/api/v1/rules/{}/mode", path_part(args.rule.as_str()));
    let body = json!({ "mode": mode, "reason": args.reason });
    let answer: Value = client.post(Right::EditRules, &path, body).await?;
    let (tenant, version) = (client.tenant(), &answer["version"]);
    args.output
        .print(&answer, || format!("{tenant}: {} is in mode {} now, as version {version}", args.rule, mode.name()))?;
    Ok(Exit::Done.into())
}
