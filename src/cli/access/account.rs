//! `shiftkeeper account`: the accounts of people.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use super::password::PasswordArgs;
use super::{AccessRequest, AccountEdits, ReachArgs, execute, table};
use crate::cli::shared::config_args::ConfigArgs;
use crate::cli::shared::exit::Exit;
use crate::cli::shared::output::Output;
use crate::cli::shared::scope::usage_error;
use crate::domain::access::rights::Role;
use crate::domain::time::span;
use crate::engine::access::accounts::NewAccount;

/// Subcommands of `account`.
#[derive(clap::Subcommand, Debug)]
#[command(
    after_help = "If a daemon is running, these commands need a token with the right `accounts`. Otherwise they write to
the store directly."
)]
pub enum AccountCommand {
    /// Create an account.
    Add(AddArgs),
    /// List the accounts.
    List(ListArgs),
    /// Change the role, tenants, teams or name of an account.
    Set(SetArgs),
    /// Set another password. All sessions of the account end.
    Password(SetPasswordArgs),
    /// Create a link for one sign-in without a password.
    Link(LinkArgs),
    /// Disable an account. All its sessions end.
    #[command(after_help = "Examples:
  shiftkeeper account disable ann
  shiftkeeper account disable ann --reason 'has left'")]
    Disable(AccountChangeArgs),
    /// Enable an account again.
    #[command(after_help = "Examples:
  shiftkeeper account enable ann
  shiftkeeper account enable ann --output json")]
    Enable(AccountChangeArgs),
}

/// Options of every command that changes an account.
#[derive(clap::Args, Debug)]
pub struct AccountChangeArgs {
    /// Options for the configuration.
    #[command(flatten)]
    config: ConfigArgs,
    /// The account's id.
    #[arg(value_name = "ID")]
    id: String,
    /// The reason, for the audit trail.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

/// Options of `account add`.
#[derive(clap::Args, Debug)]
#[command(after_help = "The command asks for the password, or reads it from standard input or a file.

Examples:
  shiftkeeper account add ann --role supervisor --tenant acme --team 'Team A' --team 'Team B'
  shiftkeeper account add root --role admin --tenant '*' --password-file /run/secrets/root
  shiftkeeper account add bea --role analyst --no-password && shiftkeeper account link bea")]
pub struct AddArgs {
    #[command(flatten)]
    common: AccountChangeArgs,
    /// The role.
    #[arg(long, value_name = "ROLE", value_parser = role)]
    role: Role,
    #[command(flatten)]
    reach: ReachArgs,
    /// The name of its owner.
    #[arg(long, value_name = "NAME", default_value = "")]
    name: String,
    #[command(flatten)]
    password: PasswordArgs,
    /// Without a password: the owner signs in with links only.
    #[arg(long, conflicts_with = "password_file")]
    no_password: bool,
}

/// Options of `account list`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  shiftkeeper account list
  shiftkeeper account list --output json")]
pub struct ListArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

/// Options of `account set`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Settings that are not given stay the same. --tenant and --team replace all tenants and teams.

Examples:
  shiftkeeper account set ann --team 'Team A' --team 'Team C' --reason 'takes over Team C'
  shiftkeeper account set bea --role admin")]
pub struct SetArgs {
    #[command(flatten)]
    common: AccountChangeArgs,
    /// The role.
    #[arg(long, value_name = "ROLE", value_parser = role)]
    role: Option<Role>,
    #[command(flatten)]
    reach: ReachArgs,
    /// The name of its owner.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// Options of `account password`.
#[derive(clap::Args, Debug)]
#[command(after_help = "The command asks for the password, or reads it from standard input or a file.

Examples:
  shiftkeeper account password ann
  pwgen 20 1 | shiftkeeper account password ann")]
pub struct SetPasswordArgs {
    #[command(flatten)]
    common: AccountChangeArgs,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Options of `account link`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Needs a running daemon, which keeps the link in memory. Anyone who has the link can sign in once.

Examples:
  shiftkeeper account link ann
  shiftkeeper account link ann --lasts 8h --reason 'first day'"
)]
pub struct LinkArgs {
    #[command(flatten)]
    common: AccountChangeArgs,
    /// How long the link is valid, at most a day.
    #[arg(long, value_name = "SPAN", value_parser = span::parse, default_value = "15m")]
    lasts: Duration,
}

/// Parses a role option.
pub(in crate::cli) fn role(text: &str) -> Result<Role, String> {
    Role::from_name(text).ok_or_else(|| {
        let known: Vec<_> = Role::ALL.iter().map(|role| role.name()).collect();
        format!("there are {}", known.join(", "))
    })
}

/// Runs a subcommand.
pub async fn run(command: AccountCommand) -> anyhow::Result<ExitCode> {
    match command {
        AccountCommand::Add(args) => add(args).await,
        AccountCommand::List(args) => list(args).await,
        AccountCommand::Set(args) => set(args).await,
        AccountCommand::Password(args) => {
            let password = args.password.read()?;
            change(&args.common, |id| AccessRequest::SetPassword(id, password), "has a new password").await
        }
        AccountCommand::Link(args) => link(args).await,
        AccountCommand::Disable(args) => disable(&args, true).await,
        AccountCommand::Enable(args) => disable(&args, false).await,
    }
}

async fn add(args: AddArgs) -> anyhow::Result<ExitCode> {
    let loaded = args.common.config.load_for_command()?;
    let reach = args.reach.requested_reach(&loaded.config)?;
    let password = if args.no_password { None } else { Some(args.password.read()?) };
    let new = NewAccount { id: args.common.id.clone(), name: args.name, role: args.role, scope: reach, password };
    let response = execute(&loaded.config, AccessRequest::AddAccount(new), args.common.reason.as_deref()).await?;
    print_outcome(&response, "is there", args.common.output)
}

async fn list(args: ListArgs) -> anyhow::Result<ExitCode> {
    let loaded = args.config.load_for_command()?;
    let response = execute(&loaded.config, AccessRequest::Accounts, None).await?;
    let columns = ["id", "name", "role", "reach", "disabled", "has_password", "changed_at"];
    args.output.print(&response, || table(&columns, &response["accounts"]))?;
    Ok(Exit::Done.into())
}

async fn set(args: SetArgs) -> anyhow::Result<ExitCode> {
    let loaded = args.common.config.load_for_command()?;
    let reach = if args.reach.is_empty() { None } else { Some(args.reach.requested_reach(&loaded.config)?) };
    if reach.is_none() && args.role.is_none() && args.name.is_none() {
        return Err(usage_error("say what is to be different: --role, --tenant, --team or --name".to_owned()));
    }
    let edits = AccountEdits { name: args.name, role: args.role, reach, disabled: None };
    change(&args.common, |id| AccessRequest::ChangeAccount(id, edits), "is changed").await
}

async fn disable(args: &AccountChangeArgs, disabled: bool) -> anyhow::Result<ExitCode> {
    let edits = AccountEdits { disabled: Some(disabled), ..AccountEdits::default() };
    let outcome = if disabled { "is disabled" } else { "can be used again" };
    change(args, |id| AccessRequest::ChangeAccount(id, edits), outcome).await
}

async fn link(args: LinkArgs) -> anyhow::Result<ExitCode> {
    let loaded = args.common.config.load_for_command()?;
    let request = AccessRequest::MakeLink(args.common.id.clone(), args.lasts);
    let response = execute(&loaded.config, request, args.common.reason.as_deref()).await?;
    args.common.output.print(&response, || response["url"].as_str().unwrap_or_default().to_owned())?;
    Ok(Exit::Done.into())
}

async fn change(
    args: &AccountChangeArgs,
    build_request: impl FnOnce(String) -> AccessRequest,
    what: &str,
) -> anyhow::Result<ExitCode> {
    let loaded = args.config.load_for_command()?;
    let changed = execute(&loaded.config, build_request(args.id.clone()), args.reason.as_deref()).await?;
    print_outcome(&changed, what, args.output)
}

fn print_outcome(account: &Value, what: &str, output: Output) -> anyhow::Result<ExitCode> {
    output.print(account, || format!("account {} {what}", account["id"].as_str().unwrap_or_default()))?;
    Ok(Exit::Done.into())
}
