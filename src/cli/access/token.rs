//! `shiftkeeper token`: stored API tokens. Those of `[[server.tokens]]` belong to the configuration.

use std::process::ExitCode;

use super::account::role;
use super::{AccessRequest, ReachArgs, execute, table};
use crate::cli::shared::config_args::ConfigArgs;
use crate::cli::shared::exit::Exit;
use crate::cli::shared::messages::print_message;
use crate::cli::shared::output::{Output, print, print_json};
use crate::cli::shared::scope::usage_error;
use crate::domain::access::rights::{Right, Role};
use crate::engine::access::accounts::NewToken;

/// Subcommands of `token`.
#[derive(clap::Subcommand, Debug)]
#[command(
    after_help = "If a daemon is running, these commands need a token with the right `accounts`. Otherwise they write to
the store directly."
)]
pub enum TokenCommand {
    /// Create a token and print it; it cannot be shown again.
    Create(CreateArgs),
    /// List the accounts.
    List(ListArgs),
    /// Revoke a token at once.
    Revoke(RevokeArgs),
}

/// Options of `token create`.
#[derive(clap::Args, Debug)]
#[command(after_help = "The token is printed on standard output. Only its hash is stored.

Examples:
  shiftkeeper token create wallboard --role viewer --tenant acme --expires-in-days 365
  shiftkeeper token create loader --may read --may import --tenant acme > loader.token
  shiftkeeper token create ann-cli --account ann --tenant acme")]
pub struct CreateArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The name of the token in the audit trail.
    #[arg(value_name = "ID")]
    id: String,
    /// The rights of this role.
    #[arg(long, value_name = "ROLE", value_parser = role)]
    role: Option<Role>,
    /// This right. May be given more than once.
    #[arg(long, value_name = "RIGHT", value_parser = right, conflicts_with = "role")]
    may: Vec<Right>,
    /// The rights of this account, as they are when the token is used.
    #[arg(long, value_name = "ID", conflicts_with_all = ["role", "may"])]
    account: Option<String>,
    #[command(flatten)]
    reach: ReachArgs,
    /// The number of days that the token is valid. Without it, it is valid until it is revoked.
    #[arg(long, value_name = "DAYS")]
    expires_in_days: Option<u32>,
    /// The reason, for the audit trail.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

/// Options of `token list`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  shiftkeeper token list
  shiftkeeper token list --output json")]
pub struct ListArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

/// Options of `token revoke`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  shiftkeeper token revoke wallboard
  shiftkeeper token revoke wallboard --output json")]
pub struct RevokeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The token's id.
    #[arg(value_name = "ID")]
    id: String,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

fn right(text: &str) -> Result<Right, String> {
    Right::from_name(text).ok_or_else(|| {
        let known: Vec<_> = Right::ALL.iter().map(|right| right.name()).collect();
        format!("there are {}", known.join(", "))
    })
}

/// Runs a subcommand.
pub async fn run(command: TokenCommand) -> anyhow::Result<ExitCode> {
    match command {
        TokenCommand::Create(args) => create(args).await,
        TokenCommand::List(args) => list(args).await,
        TokenCommand::Revoke(args) => revoke(args).await,
    }
}

async fn create(args: CreateArgs) -> anyhow::Result<ExitCode> {
    let loaded = args.config.load_for_command()?;
    if args.role.is_none() && args.may.is_empty() && args.account.is_none() {
        return Err(usage_error("say what it may do: --role, --may or --account".to_owned()));
    }
    let new = NewToken {
        id: args.id,
        role: args.role,
        rights: args.may.into_iter().collect(),
        account: args.account,
        scope: args.reach.requested_reach(&loaded.config)?,
        expires_in_days: args.expires_in_days,
    };
    let response = execute(&loaded.config, AccessRequest::CreateToken(new), args.reason.as_deref()).await?;
    match args.output {
        Output::Json => print_json(&response)?,
        Output::Table => {
            print_message("This is the token. It is not shown again:");
            print(response["token"].as_str().unwrap_or_default())?;
        }
    }
    Ok(Exit::Done.into())
}

async fn list(args: ListArgs) -> anyhow::Result<ExitCode> {
    let loaded = args.config.load_for_command()?;
    let response = execute(&loaded.config, AccessRequest::Tokens, None).await?;
    let columns = ["id", "role", "may", "account", "reach", "expires_at", "revoked_at", "last_used_at"];
    args.output.print(&response, || table(&columns, &response["tokens"]))?;
    Ok(Exit::Done.into())
}

async fn revoke(args: RevokeArgs) -> anyhow::Result<ExitCode> {
    let loaded = args.config.load_for_command()?;
    let revoked = execute(&loaded.config, AccessRequest::RevokeToken(args.id), None).await?;
    args.output.print(&revoked, || format!("token {} is revoked", revoked["id"].as_str().unwrap_or_default()))?;
    Ok(Exit::Done.into())
}
