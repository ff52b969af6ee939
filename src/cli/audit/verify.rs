//! `shiftkeeper audit verify`: verifies the stored audit chains, and compares them with signed heads.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::json;

use super::chains::{audited_tenants, fault_texts, local_public_keys};
use crate::cli::shared::config_args::ConfigArgs;
use crate::cli::shared::exit::Exit;
use crate::cli::shared::output::Output;
use crate::cli::shared::scope::{open_reader, usage_error};
use crate::domain::audit::InvalidEntry;
use crate::domain::audit::head::{PublicKey, SignedHead, read_heads};
use crate::domain::ids::TenantId;
use crate::domain::wording::count_with_noun;
use crate::store::{BadHead, ChainTrust, ChainVerdict};

/// Options of `audit verify`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Ends with 0 when every chain holds, with 4 when one does not.

Examples:
  shiftkeeper audit verify
  shiftkeeper audit verify --head heads.jsonl          # heads that were kept elsewhere
  shiftkeeper audit verify --tenant acme --output json")]
pub struct VerifyArgs {
    #[command(flatten)]
    config: ConfigArgs,
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
struct TenantAudit {
    /// The tenant's id.
    id: TenantId,
    /// The number of entries checked, including the bad one.
    entries: u64,
    /// Whether all entries and heads are valid.
    verified: bool,
    /// The first bad entry; entries after it were not checked.
    first_bad: Option<InvalidEntry>,
    /// The number of the first entry, which is greater than 1 if retention removed entries.
    from: u64,
    /// The number of signed heads compared with the entries.
    heads: u64,
    /// The heads that are not valid.
    bad_heads: Vec<BadHead>,
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
        let verdict = reader.verify_chain(&tenant, trust).await?;
        audits.push(TenantAudit::new(tenant, verdict));
    }
    reader.close().await;
    let key_texts: Vec<String> = keys.iter().map(ToString::to_string).collect();
    args.output.print(&json!({ "tenants": audits, "keys": key_texts }), || {
        let mut lines: Vec<String> = audits.iter().flat_map(TenantAudit::summary_lines).collect();
        lines.push(match key_texts.as_slice() {
            [] => "no key is known here: heads were compared, whose they are was not checked".to_owned(),
            keys => format!("heads must be signed with {}", keys.join(" or ")),
        });
        lines.join("\n")
    })?;
    let all_hold = audits.iter().all(|audit| audit.verified);
    Ok(if all_hold { Exit::Done } else { Exit::Problems }.into())
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
    fn new(id: TenantId, verdict: ChainVerdict) -> Self {
        Self {
            id,
            entries: verdict.entries,
            verified: verdict.is_valid(),
            first_bad: verdict.first_bad,
            from: verdict.from,
            heads: verdict.heads,
            bad_heads: verdict.bad_heads,
        }
    }

    fn summary_lines(&self) -> Vec<String> {
        let id = &self.id;
        let faults = fault_texts(self.first_bad.as_ref(), &self.bad_heads);
        let mut lines: Vec<String> = faults.map(|fault| format!("{id}: {fault}")).collect();
        if self.verified {
            let from = if self.from > 1 { format!(" from {} on", self.from) } else { String::new() };
            let (entries, heads) = (count_with_noun(self.entries, "entry"), count_with_noun(self.heads, "head"));
            lines.push(format!("{id}: {entries}{from}, verified, {heads}"));
        }
        lines
    }
}
