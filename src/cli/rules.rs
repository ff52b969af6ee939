//! `shiftkeeper rules`: the rules of the configuration and the store, what they did, what they make of an agent, what they would have
//! done.
//!
//! All but `set-mode` read the store beside a running daemon or without one; `set-mode` asks the daemon, which alone writes.

mod replay;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use comfy_table::{Table, presets};
use reqwest::Method;
use serde::Serialize;
use serde_json::json;

use super::config_args::ConfigArgs;
use super::daemon::{Ask, Daemon, DaemonError};
use super::exit::Exit;
use super::output::{Output, print, print_json};
use super::plan::{self, PlanArgs, rules_in_force};
use super::scope::{one_tenant, open_reader, tenants, usage};
use super::talk::Failure;
use crate::app::{clock_of, tenant_settings};
use crate::config::{Config, Right, Tenant};
use crate::domain::ids::{AgentId, RuleId, TenantId};
use crate::domain::rule::Mode;
use crate::domain::rule::check::check as check_rules;
use crate::domain::rule::parse::{RulesError, parse};
use crate::domain::rule::shelf::Listed;
use crate::domain::rule::written::{LineComplaint, placed};
use crate::domain::words::count;
use crate::store::{AskedByRule, FindingCount, FindingKind, Reader};

/// What `rules` can do.
#[derive(clap::Subcommand, Debug)]
pub enum RulesCommand {
    /// List the rules, where each comes from, and what it did.
    List(ListArgs),
    /// Check files of rules, or the rules that there are.
    Check(CheckArgs),
    /// Say what every rule makes of an agent now, and why.
    Explain(ExplainArgs),
    /// Replay rules over stored history.
    Replay(replay::ReplayArgs),
    /// Let a rule watch, wait for approval, or act.
    SetMode(SetModeArgs),
}

/// Options of `rules list`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "ASKED are the transitions that a rule asked for, WOULD what it would have done while it watched, HELD what
policy or a guard against flapping held back.

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
    /// What they did is counted over so many days.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=31))]
    pub days: u64,
    /// How to print.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// Options of `rules check`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Without a file, the rules of the configuration and the store together. Ends with 4 when something is wrong.

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

/// Options of `rules explain`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "The same as `shiftkeeper plan --agent`. What the store knows last of the agent counts as seen now.

Examples:
  shiftkeeper rules explain u_0001
  shiftkeeper rules explain u_0001 --tenant acme --output json"
)]
pub struct ExplainArgs {
    /// The agent.
    #[arg(value_name = "AGENT")]
    pub agent: AgentId,
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// One tenant; all of them without it.
    #[arg(long, value_name = "ID")]
    pub tenant: Option<TenantId>,
    /// How to print.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// Options of `rules set-mode`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Asked of the running daemon; it takes effect at once and stays over restarts. A rule of the configuration gets a copy
in the store that stands in for it.

Examples:
  shiftkeeper rules set-mode back-from-break enforce --reason \"a week in watch was quiet\"
  shiftkeeper rules set-mode back-from-break watch --tenant acme"
)]
pub struct SetModeArgs {
    /// The rule.
    #[arg(value_name = "RULE")]
    pub rule: RuleId,
    /// Whether it acts.
    #[arg(value_name = "MODE", value_enum)]
    pub mode: ModeArg,
    /// Why, for the record.
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
    /// It records what it would have done.
    Watch,
    /// It waits for a person.
    Approve,
    /// It acts.
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
        RulesCommand::Explain(args) => {
            let ExplainArgs { agent, config, tenant, output } = args;
            plan::run(PlanArgs { config, tenant, agent: Some(agent), all: false, output }).await
        }
        RulesCommand::Replay(args) => replay::run(args).await,
        RulesCommand::SetMode(args) => set_mode(args).await,
    }
}

/// One rule of the list; its JSON shape is part of the command's interface.
#[derive(Serialize, Debug)]
struct Row {
    tenant: TenantId,
    id: RuleId,
    origin: &'static str,
    version: u64,
    mode: Option<Mode>,
    enabled: bool,
    in_force: bool,
    complaints: Vec<LineComplaint>,
    asked: u64,
    would: u64,
    told: u64,
    held: u64,
    reversed: u64,
}

async fn list(args: ListArgs) -> anyhow::Result<ExitCode> {
    let loaded = args.config.load_for_command()?;
    let config = &loaded.config;
    let reader = open_reader(config).await?;
    let now = clock_of(config).await.now();
    let span = (now - Duration::from_secs(args.days * 24 * 3600), now);
    let mut rows = Vec::new();
    for tenant in tenants(config, args.tenant.as_ref())? {
        let (_, listed) = rules_in_force(&reader, config, tenant).await?;
        let asked = reader.asked_by_rules(&tenant.id, span).await?;
        let found = reader.rule_finding_counts(&tenant.id, span).await?;
        rows.extend(listed.into_iter().map(|rule| row(&tenant.id, rule, &asked, &found)));
    }
    reader.close().await;
    match args.output {
        Output::Json => print_json(&json!({ "days": args.days, "rules": rows }))?,
        Output::Table => print(table(&rows))?,
    }
    Ok(Exit::Done.into())
}

fn row(tenant: &TenantId, listed: Listed, asked: &AskedByRule, found: &[FindingCount]) -> Row {
    let of = |kind: FindingKind| {
        let counts = found.iter().filter(|count| count.rule == listed.id && count.kind == kind);
        counts.map(|count| count.times).sum()
    };
    Row {
        tenant: tenant.clone(),
        origin: listed.origin.name(),
        version: listed.version(),
        mode: listed.rule.as_ref().map(|rule| rule.mode),
        enabled: listed.is_enabled(),
        in_force: listed.in_force,
        asked: asked.get(&listed.id).map(|by_status| by_status.values().sum()).unwrap_or_default(),
        would: of(FindingKind::Would),
        told: of(FindingKind::Told),
        held: of(FindingKind::Held),
        reversed: of(FindingKind::Reversed),
        complaints: listed.complaints,
        id: listed.id,
    }
}

fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_header(["TENANT", "RULE", "FROM", "MODE", "IN FORCE", "ASKED", "WOULD", "TOLD", "HELD", "REVERSED"]);
    for row in rows {
        let in_force = match (row.in_force, row.enabled) {
            (true, _) => "yes",
            (false, false) => "no: disabled",
            (false, true) => "no: see `rules check`",
        };
        table.add_row([
            row.tenant.to_string(),
            row.id.to_string(),
            row.origin.to_owned(),
            row.mode.map_or("-", Mode::name).to_owned(),
            in_force.to_owned(),
            row.asked.to_string(),
            row.would.to_string(),
            row.told.to_string(),
            row.held.to_string(),
            row.reversed.to_string(),
        ]);
    }
    table.to_string()
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
    let loaded = args.config.load_for_command()?;
    let config = &loaded.config;
    let wanted = tenants(config, args.tenant.as_ref())?;
    let mut wrong = Vec::new();
    let mut checked = 0;
    if args.files.is_empty() {
        let reader = open_reader(config).await?;
        for tenant in wanted {
            let (of_tenant, faults) = check_stored(&reader, config, tenant).await?;
            checked += of_tenant;
            wrong.extend(faults);
        }
        reader.close().await;
    } else {
        for file in &args.files {
            let text = std::fs::read_to_string(file)
                .map_err(|error| Failure::because(Exit::Failed, format!("{}: {error}", file.display())))?;
            for tenant in &wanted {
                let (rules, complaints) = check_text(config, tenant, &text)?;
                checked += rules;
                let place = file.display().to_string();
                wrong.extend(complaints.into_iter().map(|complaint| Wrong { place: place.clone(), complaint }));
            }
        }
        // What is wrong for every tenant is said once.
        wrong.dedup();
    }
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

async fn check_stored(reader: &Reader, config: &Config, tenant: &Tenant) -> anyhow::Result<(usize, Vec<Wrong>)> {
    let (_, listed) = rules_in_force(reader, config, tenant).await?;
    let mut wrong = Vec::new();
    for rule in &listed {
        let place = format!("{}, rule {}", tenant.id, rule.id);
        let complaints = rule.complaints.iter().cloned();
        wrong.extend(complaints.map(|complaint| Wrong { place: place.clone(), complaint }));
    }
    Ok((listed.len(), wrong))
}

/// How many rules a text has, and what is wrong with them on a tenant's platform.
fn check_text(config: &Config, tenant: &Tenant, text: &str) -> anyhow::Result<(usize, Vec<LineComplaint>)> {
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
    let complaints = check_rules(&rules, tenant_settings(config, tenant)?.capabilities);
    Ok((rules.len(), placed(text, &complaints)))
}

async fn set_mode(args: SetModeArgs) -> anyhow::Result<ExitCode> {
    let loaded = args.config.load_for_command()?;
    let config = &loaded.config;
    let tenant = &one_tenant(config, args.tenant.as_ref())?.id;
    if args.rule.as_str().contains('/') {
        return Err(usage(format!("{} is not the id of a rule", args.rule)));
    }
    let mode = Mode::from(args.mode);
    let body = json!({ "tenant": tenant, "mode": mode, "reason": args.reason });
    let path = format!("/api/v1/rules/{}/mode", args.rule);
    let ask = Ask { method: Method::POST, path: &path, right: Right::EditRules, tenant, query: &[] };
    let daemon = Daemon::find(config).await?;
    let asked = daemon.ask(config, ask, |request| request.json(&body)).await;
    let answer = asked.map_err(DaemonError::into_failure)?;
    match args.output {
        Output::Json => print_json(&answer)?,
        Output::Table => {
            print(format!(
                "{}: {} is in mode {} now, as version {}",
                tenant,
                args.rule,
                mode.name(),
                answer["version"]
            ))?;
        }
    }
    Ok(Exit::Done.into())
}
