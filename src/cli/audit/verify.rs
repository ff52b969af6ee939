//! `shiftkeeper audit verify`: verifies the stored audit chains, and compares them with signed heads.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::json;

use super::audited_tenants;
use crate::cli::shared::config_args::ConfigArgs;
use crate::cli::shared::exit::Exit;
use crate::cli::shared::messages::print_message;
use crate::cli::shared::output::{Output, print, print_json};
use crate::cli::shared::scope::{open_reader, usage_error};
use crate::config::Config;
use crate::domain::audit::InvalidEntry;
use crate::domain::audit::head::{PublicKey, SignedHead, read_heads};
use crate::domain::ids::TenantId;
use crate::domain::wording::count_with_noun;
use crate::engine::audit::heads::key;
use crate::store::{BadHead, ChainTrust, Reader};

/// Options of `audit verify`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Exit codes: 0 if all chains are intact, 4 if one is not.

Examples:
  shiftkeeper audit verify
  shiftkeeper audit verify --head heads.jsonl          # heads that were kept elsewhere
  shiftkeeper audit verify --tenant acme --output json")]
pub struct VerifyArgs {
    /// Options for the configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// One tenant. The default is all tenants.
    #[arg(long, value_name = "ID")]
    pub tenant: Option<TenantId>,
    /// A file of heads that were published, as received from webhooks, the log, the heads folder or `audit heads`. May
    /// be given more than once.
    #[arg(long, value_name = "FILE")]
    pub head: Vec<PathBuf>,
    /// The trusted public key, in base64, instead of the key on this host and `audit.former_keys`. May be given more
    /// than once.
    #[arg(long, value_name = "PUBLIC", value_parser = parse_key)]
    pub key: Vec<PublicKey>,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

fn parse_key(text: &str) -> Result<PublicKey, String> {
    PublicKey::from_base64(text).ok_or_else(|| "expects 32 bytes in base64, as `audit key` prints them".to_owned())
}

/// The verification of one tenant's chain. Its JSON format is part of the command's interface.
#[derive(Serialize, Debug)]
pub struct TenantAudit {
    /// The tenant's id.
    pub id: TenantId,
    /// The number of entries checked, including the bad one.
    pub entries: u64,
    /// Whether all entries and heads are valid.
    pub verified: bool,
    /// The first bad entry; entries after it were not checked.
    pub first_bad: Option<InvalidEntry>,
    /// The number of the first entry, which is greater than 1 if retention removed entries.
    pub from: u64,
    /// The number of signed heads compared with the entries.
    pub heads: u64,
    /// The heads that are not valid.
    pub bad_heads: Vec<BadHead>,
}

/// Verifies one tenant's chain.
pub async fn verify_tenant(reader: &Reader, tenant: &TenantId, trust: ChainTrust<'_>) -> anyhow::Result<TenantAudit> {
    let verdict = reader.verify_chain(tenant, trust).await?;
    Ok(TenantAudit {
        id: tenant.clone(),
        entries: verdict.entries,
        verified: verdict.is_valid(),
        first_bad: verdict.first_bad,
        from: verdict.from,
        heads: verdict.heads,
        bad_heads: verdict.bad_heads,
    })
}

pub(super) async fn run(args: VerifyArgs) -> anyhow::Result<ExitCode> {
    let loaded = args.config.load_for_command()?;
    let heads = read_head_files(&args.head)?;
    let keys = if args.key.is_empty() { local_public_keys(&loaded.config) } else { args.key };
    let reader = open_reader(&loaded.config).await?;
    let mut tenants = audited_tenants(&loaded.config, &reader, args.tenant.clone()).await?;
    // A tenant whose entries are all gone may still have heads.
    tenants.extend(heads.iter().map(|head| head.claim.tenant.clone()).filter(|_| args.tenant.is_none()));
    tenants.sort();
    tenants.dedup();
    let trust = ChainTrust { keys: &keys, heads: &heads };
    let mut audits = Vec::new();
    for tenant in tenants {
        audits.push(verify_tenant(&reader, &tenant, trust).await?);
    }
    reader.close().await;
    let key_texts: Vec<String> = keys.iter().map(ToString::to_string).collect();
    match args.output {
        Output::Json => print_json(&json!({ "tenants": audits, "keys": key_texts }))?,
        Output::Table => {
            let mut lines: Vec<String> = audits.iter().flat_map(TenantAudit::summary_lines).collect();
            match key_texts.as_slice() {
                [] => {
                    lines.push("no key is known here: heads were compared, whose they are was not checked".to_owned());
                }
                keys => lines.push(format!("heads must be signed with {}", keys.join(" or "))),
            }
            print(lines.join("\n"))?;
        }
    }
    let all_hold = audits.iter().all(|audit| audit.verified);
    Ok(if all_hold { Exit::Done } else { Exit::Problems }.into())
}

/// Returns the public key of this host, if it can be read, and the former keys.
pub(in crate::cli) fn local_public_keys(config: &Config) -> Vec<PublicKey> {
    let mut keys = config.audit.former_keys.clone();
    match key::read(&config.audit.key_file(&config.store)) {
        Ok(own) => keys.extend(own.map(|key| key.public_key())),
        Err(error) => print_message(format!("warning: {error}")),
    }
    keys
}

fn read_head_files(files: &[PathBuf]) -> anyhow::Result<Vec<SignedHead>> {
    let mut heads = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
        heads.extend(read_heads(&text).map_err(|error| usage_error(format!("--head {}: {error}", file.display())))?);
    }
    Ok(heads)
}

impl TenantAudit {
    fn summary_lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        let id = &self.id;
        lines.extend(
            self.first_bad.as_ref().map(|bad| format!("{id}: entry {} does not hold: {}", bad.seq, bad.reason)),
        );
        let heads = self.bad_heads.iter();
        lines.extend(heads.map(|bad| format!("{id}: the head of entry {} does not hold: {}", bad.seq, bad.reason)));
        if self.verified {
            let from = if self.from > 1 { format!(" from {} on", self.from) } else { String::new() };
            let (entries, heads) = (count_with_noun(self.entries, "entry"), count_with_noun(self.heads, "head"));
            lines.push(format!("{id}: {entries}{from}, verified, {heads}"));
        }
        lines
    }
}
