//! `shiftkeeper audit heads` and `audit key`: the signed heads and the public key.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::shared::config_args::ConfigArgs;
use crate::cli::shared::exit::{CommandFailure, Exit};
use crate::cli::shared::output::{Output, print, print_json};
use crate::cli::shared::scope::open_reader;
use crate::domain::audit::head::SignedHead;
use crate::domain::ids::TenantId;
use crate::engine::audit::heads::key;
use crate::store::{PAGE_LIMIT, StoredHead};

use super::chains::audited_tenants;

/// Options of `audit heads`.
#[derive(clap::Args, Debug)]
#[command(after_help = "What `--output json` prints is what `audit verify --head` takes.

Examples:
  shiftkeeper audit heads --tenant acme
  shiftkeeper audit heads --output json > heads.json")]
pub struct HeadsArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// One tenant. The default is all tenants.
    #[arg(long, value_name = "ID")]
    pub tenant: Option<TenantId>,
    /// Only heads of entries after this one.
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    pub after: u64,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// Options of `audit key`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Keep the public key away from this host, and give it to `audit verify --key`.

Examples:
  shiftkeeper audit key
  shiftkeeper audit key --output json | jq -r .pem")]
pub struct KeyArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

pub(super) async fn list(args: HeadsArgs) -> anyhow::Result<ExitCode> {
    let loaded = args.config.load_for_command()?;
    let reader = open_reader(&loaded.config).await?;
    let (mut heads, mut lines) = (Vec::new(), Vec::new());
    for tenant in audited_tenants(&loaded.config, &reader, args.tenant).await? {
        let mut after = args.after;
        loop {
            let page = reader.audit_heads(&tenant, after, PAGE_LIMIT).await?;
            let Some(last) = page.last() else { break };
            after = last.seq;
            match args.output {
                Output::Json => {
                    heads.extend(page.iter().filter_map(|head| head.signed.as_ref()).map(SignedHead::to_value));
                }
                Output::Table => lines.extend(page.iter().map(|head| head_line(&tenant, head))),
            }
        }
    }
    reader.close().await;
    match args.output {
        Output::Json => print_json(&json!({ "heads": Value::Array(heads) }))?,
        Output::Table if lines.is_empty() => print("no heads yet")?,
        Output::Table => print(lines.join("\n"))?,
    }
    Ok(Exit::Done.into())
}

fn head_line(tenant: &TenantId, head: &StoredHead) -> String {
    let checkpoint = if head.is_checkpoint { "  checkpoint" } else { "" };
    match &head.signed {
        Some(signed) => {
            let claim = &signed.claim;
            format!("{tenant}  entry {}  {}  {}  key {}{checkpoint}", head.seq, claim.at, claim.hash, claim.key.id())
        }
        None => format!("{tenant}  entry {}  is not a head: see `audit verify`", head.seq),
    }
}

pub(super) fn key(args: &KeyArgs) -> anyhow::Result<ExitCode> {
    let loaded = args.config.load_for_command()?;
    let file = loaded.config.audit.key_file(&loaded.config.store);
    let Some(key) = key::read(&file)? else {
        return Err(CommandFailure::with_exit(
            Exit::Failed,
            format!("there is no audit key at {}: the daemon creates it at its first start", file.display()),
        ));
    };
    let public = key.public_key();
    let value = json!({
        "id": public.id(), "publicKey": public.to_string(), "pem": public.pem(), "file": file.display().to_string(),
    });
    args.output.print(&value, || format!("{public}  id {}  {}", public.id(), file.display()))?;
    Ok(Exit::Done.into())
}
